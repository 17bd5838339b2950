/*
 * LTX version 3, the file format Litestream 0.5 keeps in its replicas: page sets of a SQLite
 * database between two transaction ids.
 *
 *   header (100) | page frames, ascending | six zero bytes | page index | index size u64 | trailer
 * (16)
 *
 * This header holds the shared types; the parts: crc64.h, encode.h, decode.h, merge.h.
 * Integers are big-endian. Both page forms (block and frame) are read; a writer picks one. Files
 * are always written with flag 2 (no checksum) and zero rolling checksums, as Litestream's
 * compaction needs. Format facts: docs/formats/ltx.md.
 */
#ifndef HF_LTX_LTX_H
#define HF_LTX_LTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum {
    HF_LTX_HEADER_SIZE = 100,
    HF_LTX_TRAILER_SIZE = 16,
    HF_LTX_PAGE_HEADER_SIZE = 6,
    HF_LTX_NAME_SIZE = 38, /* "%016x-%016x.ltx" with NUL */
    HF_TXID_TEXT = 17,     /* 16 hex digits and NUL */
};

#define HF_LTX_FLAG_NO_CHECKSUM 0x2u

enum hf_ltx_form {
    HF_LTX_FORM_FRAME, /* Litestream 0.5.0 to 0.5.15 writes it; every 0.5 reads it */
    HF_LTX_FORM_BLOCK, /* Litestream 0.5.16 and later */
};

struct hf_ltx_header {
    uint32_t flags;
    uint32_t page_size;
    uint32_t commit; /* pages in the database after applying */
    uint64_t min_txid;
    uint64_t max_txid;
    int64_t timestamp_ms;
    uint64_t pre_apply;
    int64_t wal_offset; /* where this file's frames begin in the WAL; 0 = none */
    int64_t wal_size;
    uint32_t wal_salt1;
    uint32_t wal_salt2;
    uint64_t node_id; /* 0, or the epoch of the writer */
};

struct hf_ltx_trailer {
    uint64_t post_apply;
    uint64_t file_checksum;
};

/* Where encoded bytes go. write() gets them in order, once. */
struct hf_sink {
    enum hf_code (*write)(void *arg, const void *data, size_t len, struct hf_err *err);
    void *arg;
};

/* Where encoded bytes come from, in order. *got < cap only at the end. */
struct hf_source {
    enum hf_code (*read)(void *arg, void *buf, size_t cap, size_t *got, struct hf_err *err);
    void *arg;
    const char *name; /* for error texts: "replica/ltx/0/...ltx" */
};

/* The page number SQLite never uses (byte 2^30 of the file). */
static inline uint32_t hf_lock_page(uint32_t page_size)
{
    return 0x40000000u / page_size + 1;
}

static inline bool hf_page_size_is_valid(uint32_t n)
{
    return n >= 512 && n <= 65536 && (n & (n - 1)) == 0;
}

/* "0000000000000001-000000000000000a.ltx" */
void hf_ltx_name_format(uint64_t min_txid, uint64_t max_txid, char out[HF_LTX_NAME_SIZE]);
/* false if name is not exactly of that form or min is 0 or max < min. */
bool hf_ltx_name_parse(const char *name, uint64_t *min_txid, uint64_t *max_txid);
void hf_txid_format(uint64_t txid, char out[HF_TXID_TEXT]);

/* Validates (HF_E_INVALID), packs and unpacks a header; unpacking a bad one: HF_E_CORRUPT. */
HF_MUST enum hf_code hf_ltx_header_check(const struct hf_ltx_header *h, struct hf_err *err);
void hf_ltx_header_pack(const struct hf_ltx_header *h, uint8_t out[HF_LTX_HEADER_SIZE]);
HF_MUST enum hf_code hf_ltx_header_unpack(const uint8_t in[HF_LTX_HEADER_SIZE],
                                          struct hf_ltx_header *h, struct hf_err *err);

#endif
