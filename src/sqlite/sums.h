/*
 * Page checksums beside the database: the image of one TXID, so that after a break only pages that
 * differ are shipped.
 *
 *   header (64) | 8 bytes a page: the LTX page checksum (0 for the lock page)
 *   header: "HFSUMS01" | page size u32 | pages u32 | TXID u64 | state u32 (1 = whole, 2 = being
 *           changed) | 24 reserved | CRC-64 of the bytes before it; big-endian
 *
 * The file states one TXID and never runs ahead of what the replica holds durably: it is brought up
 * to date from the replica's own files. While it is being changed it says so on disk first (fsync),
 * so a crash in between leaves a file that says "rebuild me", never a wrong one. One thread at a
 * time.
 */
#ifndef HF_SQLITE_SUMS_H
#define HF_SQLITE_SUMS_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct hf_sums;

/* Opens a whole file. HF_E_NOT_FOUND: none. HF_E_CORRUPT: damaged, or a change was cut short. */
HF_MUST enum hf_code hf_sums_open(const char *path, struct hf_sums **out, struct hf_err *err);
/* A new, empty file (an old one is replaced) in the state "being changed", TXID 0. */
HF_MUST enum hf_code hf_sums_create(const char *path, uint32_t page_size, struct hf_sums **out,
                                    struct hf_err *err);
void hf_sums_close(struct hf_sums *s);

uint64_t hf_sums_txid(const struct hf_sums *s);
uint32_t hf_sums_pages(const struct hf_sums *s);
uint32_t hf_sums_page_size(const struct hf_sums *s);

/* Change: _begin (durable), _set in ascending page order, _commit (durable). Without _commit the
 * file is "being changed" and will be rebuilt. */
HF_MUST enum hf_code hf_sums_begin(struct hf_sums *s, struct hf_err *err);
HF_MUST enum hf_code hf_sums_set(struct hf_sums *s, uint32_t pgno, uint64_t sum,
                                 struct hf_err *err);
HF_MUST enum hf_code hf_sums_commit(struct hf_sums *s, uint64_t txid, uint32_t pages,
                                    struct hf_err *err);

/* Sums of n pages from pgno first on; 0 (which no page has) beyond the last. */
HF_MUST enum hf_code hf_sums_get(struct hf_sums *s, uint32_t first, uint32_t n, uint64_t *out,
                                 struct hf_err *err);

#endif
