/*
 * Keeps the page checksums beside a database (sqlite/sums.h) at a TXID of its replica, by reading
 * the replica's own files from where the checksums stand.
 *
 * Worker thread, one call per database at a time. A missing or damaged checksum file is rebuilt
 * from a snapshot on. HF_E_CONFLICT: the replica does not lead there.
 */
#ifndef HF_REPLICA_SUMSYNC_H
#define HF_REPLICA_SUMSYNC_H

#include "replica/replica.h"

/* dir: the local state directory (created if missing). target: TXID the checksums shall state.
 * sums_path (out, may be NULL): their file's name; the caller frees. */
HF_MUST enum hf_code hf_sums_catch_up(struct hf_replica *r, const char *dir, uint64_t target,
                                      char **sums_path, struct hf_err *err);
/* The same when this file, of which all but the time is known, leads there: nothing is listed. */
HF_MUST enum hf_code hf_sums_follow(struct hf_replica *r, const char *dir,
                                    const struct hf_ltx_info *file, struct hf_err *err);

#endif
