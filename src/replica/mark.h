/*
 * What each of several destinations of a database was last known to hold, one small file each
 * ("replica-<hash of its URL>") in the database's local state directory:
 *
 *   magic "HFMARK01" | TXID u64 | CRC-64 of the bytes before it; big-endian
 *
 * Written after each upload without fsync: a destination found at this TXID later holds our history
 * and no other. A stale or missing one costs a look at the destination's newest file, or at worst a
 * snapshot. Any thread, one writer a destination.
 */
#ifndef HF_REPLICA_MARK_H
#define HF_REPLICA_MARK_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

/* url: of the replica, without secrets; endpoint: of its service, NULL = the usual one.
 * HF_E_NOT_FOUND: none. HF_E_CORRUPT: damaged. */
HF_MUST enum hf_code hf_mark_load(const char *dir, const char *url, const char *endpoint,
                                  uint64_t *txid, struct hf_err *err);
HF_MUST enum hf_code hf_mark_save(const char *dir, const char *url, const char *endpoint,
                                  uint64_t txid, struct hf_err *err);
/* Removes all of them. */
void hf_mark_clean(const char *dir);

#endif
