/*
 * What a follower knows about its copy between two lives. Two files in the copy's state directory:
 *
 *   follow       text, replaced atomically, durable
 *                  holdfast-follow 1
 *                  replica file:///backups/app
 *                  file <device> <inode>            of the copy
 *                  floor 000000000000002a           0000000000000000: the base is being restored
 *                  clean <size> <mtime in ns>       of the copy when it was let go of with
 * everything copied back, 0 0 while it is followed follow-mark  two slots of 128 bytes, written in
 * turn, not synced: boot id (64 bytes) | sequence u64 | ceiling u64 | two marks (change, frame,
 *                  checksum: 4 x u32 each) | 8 zero bytes | CRC-64 of the 120 bytes before
 *
 * Integers big-endian. A slot that is torn or of another boot does not count. Used by follow.c; one
 * thread.
 */
#ifndef HF_REPLICA_FOLLOW_STATE_H
#define HF_REPLICA_FOLLOW_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "os/dirwait.h"
#include "os/file.h"
#include "sqlite/apply.h"

struct hf_follow_state {
    char *dir;     /* owned */
    char *sidecar; /* "<copy>-txid"; owned */
    char *replica; /* name of the replica; owned, NULL if there is no state */
    uint64_t dev;
    uint64_t inode;
    uint64_t floor;
    uint64_t clean_size;
    int64_t clean_mtime_ns; /* 0: was not let go of in order */
    uint64_t ceiling;       /* 0: unknown */
    bool has_marks;         /* of this boot */
    struct hf_apply_mark marks[2];
    uint64_t seq;
    char boot[HF_BOOT_ID_TEXT];
    struct hf_file mark_file;
};

/* dir: NULL = .NAME-holdfast beside copy. Reads nothing. */
void hf_follow_state_init(struct hf_follow_state *s, const char *copy, const char *dir);
void hf_follow_state_deinit(struct hf_follow_state *s);
/* Reads both files. *is_there: a state file was found (or, with is_litestream, only the sidecar).
 */
HF_MUST enum hf_code hf_follow_state_load(struct hf_follow_state *s, bool *is_there,
                                          bool *is_litestream, struct hf_err *err);
/* Makes floor durable (with replica and file identity as they are in s) and writes the sidecar. */
HF_MUST enum hf_code hf_follow_state_save(struct hf_follow_state *s, uint64_t floor,
                                          struct hf_err *err);
/* Notes ceiling and marks, before a commit. */
HF_MUST enum hf_code hf_follow_state_note(struct hf_follow_state *s, uint64_t ceiling,
                                          const struct hf_apply_mark marks[2], struct hf_err *err);

#endif
