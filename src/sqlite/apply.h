/*
 * Applies transactions to a live copy of a database the way a SQLite writer in WAL mode would, over
 * SQLite's own OS layer: readers in other processes keep their snapshots and see each transaction
 * whole or not at all, and any program may open the copy for writing once applying has stopped.
 *
 *   hf_apply_open → { hf_apply_begin → hf_apply_page … → hf_apply_commit } … → hf_apply_close
 *
 * What is held: SHARED on the main file all the time (so nobody's last close deletes the log),
 * WRITE from begin to commit or abort, no read slot. Frames go to the log as they come and their
 * page numbers into the index; nobody sees them until commit publishes the index header. So memory
 * is one batch of frames, whatever the size of a transaction, and a kill between any two steps
 * leaves the last published transaction: what lies beyond it is overwritten by the next writer.
 *
 * Nobody else may write: every begin compares the index header with what was published last. What
 * others may do is checkpoint and reset the log. Anything else is HF_E_CONFLICT, a fork: stop.
 *
 * Durability comes from checkpoints (hf_apply_checkpoint with is_complete), not from commits. The
 * log's header is synced before a restarted log gets its first frame: otherwise a power cut could
 * bring back old frames over a newer main file.
 *
 * Transactions must follow each other. Never replay older ones over a copy that may already hold
 * newer ones: fold them into one (replica/follow.h).
 *
 * The main file and its -shm are opened by SQLite's VFS only and are registered with
 * hf_file_guard_add. Recovery and checkpoints use a short-lived SQL connection of this process:
 * locks are kept, SQLite parks its descriptor while ours is open and takes the same one again next
 * time, so a database costs four descriptors (main, parked main, -shm, -wal).
 *
 * Blocking (waits for other writers up to HF_APPLY_BUSY_MS, and for fsync in checkpoints). One
 * hf_apply, one thread at a time. Errors: HF_E_BUSY (locked by somebody, try again), HF_E_CONFLICT
 * (fork), HF_E_UNSUPPORTED (page size changed: a new base is needed), HF_E_INVALID, HF_E_CORRUPT,
 * HF_E_IO and HF_E_NO_SPACE. Formats: sqlite/wal.h.
 */
#ifndef HF_SQLITE_APPLY_H
#define HF_SQLITE_APPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum {
    HF_APPLY_BUSY_MS = 5000,          /* how long begin waits for WRITE: a checkpoint's last part */
    HF_APPLY_BATCH_BYTES = 256 << 10, /* frames written by one call; at least one */
    HF_APPLY_RESTART_FRAMES = 1000,   /* a log this long should be checkpointed and restarted */
    HF_APPLY_WAL_KEEP = 16 << 20,     /* a restarted log longer than this is cut */
};

struct hf_apply;

/* What the index header says after a commit: lets a later process see that nobody wrote since. */
struct hf_apply_mark {
    uint32_t change;
    uint32_t max_frame;
    uint32_t cksum[2];
};

struct hf_apply_info {
    uint32_t page_size;
    uint32_t pages;     /* of the database, committed */
    uint32_t frames;    /* committed, in the log */
    uint32_t copied;    /* of them copied back (nBackfill) */
    uint64_t wal_bytes; /* length of the log */
};

/* Opens an existing, non-empty database; a rollback-mode one is converted to WAL mode.
 * HF_E_NOT_FOUND, HF_E_INVALID (empty, not a database), HF_E_BUSY. */
HF_MUST enum hf_code hf_apply_open(const char *path, struct hf_apply **out, struct hf_err *err);
/* Drops a transaction that is open, all locks and descriptors. NULL is allowed. */
void hf_apply_close(struct hf_apply *a);

/* Right after open, before the first begin: the marks a former process may have left (the last it
 * published and the one it was about to). HF_E_CONFLICT if the log holds commits and ends with none
 * of them. An empty log passes: a checkpoint by any reader's last close empties it. */
HF_MUST enum hf_code hf_apply_expect(struct hf_apply *a, const struct hf_apply_mark *marks,
                                     unsigned n, struct hf_err *err);

/* Begins a transaction that leaves the database with commit pages. */
HF_MUST enum hf_code hf_apply_begin(struct hf_apply *a, uint32_t page_size, uint32_t commit,
                                    struct hf_err *err);
/* data: page_size bytes, read at once. pgno 1 to commit in any order, not the lock page. In page 1
 * the two format bytes (18, 19) are set to WAL. */
HF_MUST enum hf_code hf_apply_page(struct hf_apply *a, uint32_t pgno, const void *data,
                                   struct hf_err *err);
/* Seals the transaction before its last frames are written: *mark is how the index will look after
 * commit (the present one for a transaction without pages). For a caller that notes it before: from
 * the start of commit on a recovery may find the transaction. Optional; then only commit or abort
 * may follow. */
void hf_apply_prepare(struct hf_apply *a, struct hf_apply_mark *mark);
/* Publishes; readers that begin from here on see the transaction. On failure the transaction is
 * still open: abort it. A transaction without pages is no commit at all. */
HF_MUST enum hf_code hf_apply_commit(struct hf_apply *a, struct hf_err *err);
/* Forgets an open transaction; nothing of it becomes visible. */
void hf_apply_abort(struct hf_apply *a);

struct hf_apply_info hf_apply_info(const struct hf_apply *a);
/* The last commit (found or published), also when the log was reset since. */
struct hf_apply_mark hf_apply_mark(const struct hf_apply *a);

struct hf_apply_ckpt {
    bool is_complete;  /* everything committed is in the main file, synced */
    bool is_restarted; /* the log begins anew */
};

/* Between transactions: copies back what readers allow (PASSIVE, with fsync); if that is everything
 * and no reader uses the log, restarts it. Somebody in the way is no error: it is tried again for
 * wait_ms (0 = once), then see ckpt and come back later. Readers that overlap all the time need a
 * few ms without a commit to move off the log. */
HF_MUST enum hf_code hf_apply_checkpoint(struct hf_apply *a, uint64_t wait_ms,
                                         struct hf_apply_ckpt *ckpt, struct hf_err *err);

/* A restarted log longer than bytes is cut (HF_APPLY_WAL_KEEP at first). 0 before the last
 * checkpoint of a copy that is let go of: what is left in the file would be copied back again by
 * the next reader's close, and change the main file. */
void hf_apply_set_wal_keep(struct hf_apply *a, uint64_t bytes);

/* Tests: fn is called before every step that another process could see, with the step's name (to
 * kill the process there, or to let somebody else act). NULL = none. */
typedef void hf_apply_step_fn(void *arg, const char *step);
void hf_apply_set_step_hook(struct hf_apply *a, hf_apply_step_fn *fn, void *arg);

#endif
