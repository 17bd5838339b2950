/*
 * The base image of a database that is being written, or the difference to what the replica holds.
 *
 * The main file is read in chunks while capture goes on ("fuzzy"); what is committed meanwhile is
 * kept as overlay runs; at the end everything is merged, newest image wins, into one L0 file, which
 * is consistent at the position of the last run whatever checkpoints wrote in between. The log
 * never waits for us. Pieces lie in the local state directory as LTX files named "base-*.tmp" and
 * are removed at the end and at the next start.
 *
 *   hf_base_new → hf_base_chunk … and hf_base_run … in any order → hf_base_finish → hf_base_free
 *
 * With page checksums (sums) only pages that differ are kept. Worker threads, one call at a time.
 * Memory: one chunk.
 */
#ifndef HF_REPLICA_BASE_H
#define HF_REPLICA_BASE_H

#include "replica/ship.h"

enum { HF_BASE_CHUNK = 1 << 20, HF_BASE_RUNS_MAX = 64 };

struct hf_base;

/* dir: local state directory (created). pages: size of the database at the start. sums_path: file
 * that states the image of the newest TXID, NULL for a full image. wal_path as in hf_ship. */
HF_MUST enum hf_code hf_base_new(const char *dir, uint32_t page_size, uint32_t pages,
                                 const char *sums_path, const char *wal_path, struct hf_base **out,
                                 struct hf_err *err);
/* n pages from first on, as read from the main file, in ascending order over all calls. */
HF_MUST enum hf_code hf_base_chunk(struct hf_base *b, uint32_t first, uint32_t n,
                                   const uint8_t *data, struct hf_err *err);
/* Keeps a batch captured meanwhile. */
HF_MUST enum hf_code hf_base_run(struct hf_base *b, struct hf_batch *batch, struct hf_err *err);
/* Writes the L0 file min = max = txid: header fields from h (commit, WAL fields, time). */
HF_MUST enum hf_code hf_base_finish(struct hf_base *b, const struct hf_ship *s,
                                    const struct hf_ltx_header *h, uint64_t *bytes,
                                    struct hf_err *err);
/* Removes the pieces. NULL is allowed. */
void hf_base_free(struct hf_base *b);
/* Pages kept so far because they differ (or all). */
uint64_t hf_base_kept(const struct hf_base *b);
bool hf_base_has_runs(const struct hf_base *b);

/* True if page pgno of the image equals what sums says. */
HF_MUST enum hf_code hf_base_filter(const char *sums_path, uint32_t first, uint32_t n,
                                    uint32_t page_size, const uint8_t *data, bool *differs,
                                    struct hf_err *err);

/* Removes pieces a crash left behind. */
void hf_base_clean(const char *dir);

#endif
