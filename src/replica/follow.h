/*
 * Keeps a copy of a database up to date from its replica: a warm standby that any number of readers
 * may use while it follows.
 *
 *   hf_follow_open (restores the base, or resumes) → hf_follow_run until hf_follow_stop, or
 *   hf_follow_step by a caller with a clock of its own → hf_follow_close; closing is promotion:
 *   the copy is an ordinary database in WAL mode from then on.
 *
 * How far the copy is:
 *
 *   floor    everything up to this TXID is in the main file and synced; durable, written after a
 *            complete checkpoint
 *   ceiling  the highest TXID that may have been applied; written (not synced) before each commit,
 *            with the marks by which apply.h tells that nobody else wrote
 *
 * After any end, a kill or a power cut included, the copy is somewhere between the two, and playing
 * old transactions one by one over newer content would show readers a mixture. So the first
 * transaction after a start folds everything from the floor to at least the ceiling into one, and
 * so is each batch of files that is found waiting. A power cut may lose the ceiling: folding to the
 * newest covers it, and marks of another boot are not believed.
 *
 * State lies in .NAME-holdfast beside the copy (files "follow", "follow-mark"); NAME-txid is
 * written as Litestream's followers do, and a copy that only has that (followed by Litestream
 * before) is taken over.
 *
 * New files: a watch on the replica's directory where it has one, and at most interval_ms; the next
 * name is opened directly, lists are read when that does not lead on. Any level continues any
 * other. A gap that nothing bridges is logged, at growing intervals, and looked at again each time.
 * Fatal (hf_follow_is_fatal) are a fork and a replica that ends before the copy.
 *
 * A changed page size can't be applied: a new copy is restored beside this one, which readers may
 * use meanwhile, and takes its name once everything of this one is copied back and nobody wrote to
 * it. Programs that have the old one open see it until they open the copy anew.
 *
 * Blocking; one thread, but hf_follow_stop and hf_follow_status from any. The replica is borrowed.
 */
#ifndef HF_REPLICA_FOLLOW_H
#define HF_REPLICA_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "replica/replica.h"

enum {
    HF_FOLLOW_BATCH_BYTES =
        32 << 20,                   /* compressed input of one folded transaction, more only where
                                       floor and ceiling demand it: keeps the standby's log small */
    HF_FOLLOW_BATCH_FILES = 256,    /* files probed by name before the next batch begins */
    HF_FOLLOW_IDLE_MS = 1000,       /* quiet time after which the log is copied back */
    HF_FOLLOW_QUIET_LIST_MS = 5000, /* L0 is listed this often when its watch tells nothing */
    HF_FOLLOW_LIST_MS = 30000,      /* all levels are listed this often even if nothing seems new */
};

/* Writes a restored copy to path (which does not exist, nor its -wal and -shm), durable, and tells
 * its TXID. hf_restore_run behind a small function. */
typedef enum hf_code hf_follow_base_fn(void *arg, const char *path, uint64_t *txid,
                                       struct hf_err *err);

struct hf_follow_options {
    struct hf_replica *replica;
    const char *path;      /* the copy */
    const char *state_dir; /* NULL: .NAME-holdfast beside it */
    uint64_t interval_ms;  /* longest time between two looks, at least 1 */
    bool is_forced;        /* an existing file that is not ours is replaced */
    bool is_driven;        /* the caller steps and hints: no watch of its own, no hf_follow_run */
    hf_follow_base_fn *base;
    void *base_arg;
};

struct hf_follow;

struct hf_follow_status {
    uint64_t txid;          /* visible to readers */
    uint64_t floor;         /* durable in the main file */
    int64_t commit_time_ms; /* timestamp of that TXID's file; 0 before the first */
    int64_t lag_ms;         /* from that timestamp to when it became visible */
    uint64_t files;         /* applied since open */
    uint64_t wal_bytes;     /* the copy's log */
    enum hf_code code;      /* of the last failed look, HF_OK after a good one */
    char text[600];
};

/* HF_E_EXISTS: the target is there and is not a copy of this replica (or was replaced). */
HF_MUST enum hf_code hf_follow_open(const struct hf_follow_options *options, struct hf_follow **out,
                                    struct hf_err *err);
/* Applies what there is, waits for nothing; then copies back if it is time. *is_applied: something
 * became visible. */
HF_MUST enum hf_code hf_follow_step(struct hf_follow *f, bool *is_applied, struct hf_err *err);
/* The replica's directory changed. From the thread that steps. */
void hf_follow_hint(struct hf_follow *f);
/* The directory to watch for that, NULL if the store has none. Caller frees. */
char *hf_follow_watch_dir(struct hf_replica *r);
/* True for errors that no retry can mend. */
bool hf_follow_is_fatal(enum hf_code code);
/* Follows until stopped (HF_OK) or until a fatal error; others are logged and tried again. */
HF_MUST enum hf_code hf_follow_run(struct hf_follow *f, struct hf_err *err);
/* Ends hf_follow_run soon. Any thread, signal handlers too. */
void hf_follow_stop(struct hf_follow *f);
/* Any thread. */
void hf_follow_status(struct hf_follow *f, struct hf_follow_status *out);
/* Copies back what readers allow, notes the floor, lets go of the copy. NULL is allowed. */
void hf_follow_close(struct hf_follow *f);

#endif
