/*
 * L0 files that were just put on a server, kept for the first compaction, so that it reads nothing.
 *
 * One for all replicas of a process; what is oldest goes first when HF_LIMIT_KEPT bytes are there.
 * A file that is not kept is read, so nothing depends on it. Any thread; the list belongs to a
 * replica and is only touched in here.
 */
#ifndef HF_REPLICA_KEPT_H
#define HF_REPLICA_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replica/replica.h"

struct hf_kept;
struct hf_kept_file;

/* Of one replica, oldest first. All zeros: empty. */
struct hf_kept_list {
    struct hf_kept_file *first;
    struct hf_kept_file *last;
};

struct hf_kept *hf_kept_new(size_t max_bytes);
/* Every list has been emptied. NULL is allowed. */
void hf_kept_free(struct hf_kept *k);
/* The file is in the store now. More than HF_LIMIT_KEPT_FILE bytes are not kept. */
void hf_kept_add(struct hf_kept *k, struct hf_kept_list *list, const struct hf_ltx_info *info,
                 const void *data, size_t len);
/* A copy of the file of these TXIDs and this size; the caller frees. NULL: not kept. */
HF_MUST uint8_t *hf_kept_copy(struct hf_kept *k, const struct hf_kept_list *list,
                              const struct hf_ltx_info *info);
/* Up to this TXID they are not needed any more. */
void hf_kept_forget(struct hf_kept *k, struct hf_kept_list *list, uint64_t max_txid);

#endif
