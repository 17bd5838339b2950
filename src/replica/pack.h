/*
 * The format of a pack: LTX files of many databases in one object, a table of them in front.
 *
 *   header, 64 bytes   magic "HFPACK01" | table bytes u32 | entries u32 | writer u64 | number u64 |
 *                      time ms u64 | zero u64 x 2 | CRC-64 of the header so far and the table u64
 *   table              per entry: min TXID u64 | max TXID u64 | time ms u64 | offset u64 |
 *                      bytes u64 | CRC-64 of them u64 | flags u16 | path bytes u16 | path
 *   LTX files          one after the other, as they would stand in ltx/0
 *
 * All numbers big-endian; offsets count from the object's first byte. A path is the replica's,
 * relative to the directory the packs' own lies in. Flag 1: the entry only says that its TXIDs are
 * taken; the file is an object of its own. docs/formats/pack.md says how packs are used.
 *
 * Pure; any thread.
 */
#ifndef HF_REPLICA_PACK_H
#define HF_REPLICA_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    HF_PACK_HEADER_SIZE = 64,
    HF_PACK_NAME_SIZE = 22,   /* "%016x.pack" with NUL */
    HF_PACK_MARKER_SIZE = 26, /* "packs-%x-%016x" with NUL */
};

struct hf_pack_entry {
    uint64_t min_txid;
    uint64_t max_txid;
    int64_t time_ms;
    uint64_t offset;
    uint64_t size;
    uint64_t crc;
    bool is_elsewhere; /* no bytes here: an object of its own has them */
    const char *path;  /* relative, without "." and ".." parts */
};

struct hf_pack {
    uint64_t writer; /* random, of one run of a process */
    uint64_t number;
    int64_t time_ms;
    struct hf_pack_entry *entries;
    size_t n;
    char *paths; /* what the entries' paths point into */
};

void hf_pack_deinit(struct hf_pack *p);

/* Bytes of header and table, from the header's HF_PACK_HEADER_SIZE bytes. HF_E_CORRUPT. */
HF_MUST enum hf_code hf_pack_head_size(const uint8_t *data, size_t *size, struct hf_err *err);
/* Header and table; size: what hf_pack_head_size said. HF_E_CORRUPT. out: hf_pack_deinit. */
HF_MUST enum hf_code hf_pack_parse(const uint8_t *data, size_t size, struct hf_pack *out,
                                   struct hf_err *err);
/* Sets the entries' offsets from their sizes and appends header and table to buf; the files follow
 * in the entries' order. HF_E_LIMIT: the table is too long. */
HF_MUST enum hf_code hf_pack_write(struct hf_pack *p, struct hf_buf *buf, struct hf_err *err);
/* What an entry takes in the table. */
size_t hf_pack_entry_size(const char *path);

/* "000000000000002a.pack": names go up with the numbers. */
void hf_pack_name_format(uint64_t number, char out[HF_PACK_NAME_SIZE]);
bool hf_pack_name_parse(const char *name, uint64_t *number);

/* "packs-1-0000000000000001" in a replica's ltx/0 says that changes of it are in the directory
 * "packs", so many directories up, in packs from that number on. It sorts behind all LTX files. */
void hf_pack_marker_format(unsigned up, uint64_t from, char out[HF_PACK_MARKER_SIZE]);
bool hf_pack_marker_parse(const char *name, unsigned *up, uint64_t *from);

#endif
