/*
 * The inside of apply: the open database and its locks (apply_db.c), transactions (apply.c),
 * checkpoints and restarting the log (apply_ckpt.c). Only these three files and the tests include
 * it.
 */
#ifndef HF_SQLITE_APPLY_INT_H
#define HF_SQLITE_APPLY_INT_H

#include <sqlite3.h>

#include "os/file.h"
#include "sqlite/apply.h"
#include "sqlite/wal.h"

enum hf_apply_state { HF_APPLY_IDLE, HF_APPLY_OPEN, HF_APPLY_PREPARED };

#define HF_APPLY_MAGIC 0x4150504cu

struct hf_apply {
    uint32_t magic;
    char *path;       /* as resolved by the VFS; owned */
    const char *name; /* the same, in the form xOpen needs */
    sqlite3_vfs *vfs;
    sqlite3_file *file; /* main file: SHARED held while open */
    bool is_guarded;
    volatile void *region0; /* block 0 of the index, valid while open */
    struct hf_file wal;
    uint32_t page_size;
    uint64_t wal_keep;
    struct hf_walindex last; /* published last, by us or found at open */
    struct hf_apply_mark
        kept; /* the last commit: what a recovery finds if the log was only reset */
    hf_apply_step_fn *step_fn;
    void *step_arg;

    /* the transaction */
    enum hf_apply_state state;
    struct hf_wal_header log; /* salts and byte order of the log written to */
    uint32_t commit;
    uint32_t frames;      /* in the log, with this transaction's flushed ones */
    uint32_t first_frame; /* of the transaction */
    uint32_t cksum[2];    /* of frame "frames" */
    uint8_t *batch;       /* frames not written yet, header and page */
    uint32_t batch_len;
    uint32_t batch_cap;
    volatile void *block; /* block of the index that was used last */
    uint32_t block_no;
};

/* Calls the step hook. */
void hf_apply_step(struct hf_apply *a, const char *step);

struct hf_apply_mark hf_apply_mark_of(const struct hf_walindex *h);

/* One lock of the index, or n from lock on. HF_E_BUSY if somebody has it. exclusive or shared. */
HF_MUST enum hf_code hf_apply_lock(struct hf_apply *a, int lock, int n, bool exclusive,
                                   struct hf_err *err);
void hf_apply_unlock(struct hf_apply *a, int lock, int n, bool exclusive);
/* Maps a block of the index; under WRITE it may be created. */
HF_MUST enum hf_code hf_apply_map(struct hf_apply *a, uint32_t block, bool extend,
                                  volatile void **out, struct hf_err *err);
/* Takes WRITE, waiting up to wait_ms, and reads the index header, letting SQLite recover it if its
 * writer died; checks that nobody else wrote. h is what is in force. On failure WRITE is not held.
 */
HF_MUST enum hf_code hf_apply_enter(struct hf_apply *a, uint64_t wait_ms, struct hf_walindex *h,
                                    struct hf_err *err);
void hf_apply_leave(struct hf_apply *a);

/* A short-lived SQL connection: reads one row of the schema, so that SQLite creates or recovers log
 * and index; with convert sets WAL mode; with passive checkpoints, *is_complete tells if everything
 * was copied back. */
enum hf_apply_sql { HF_APPLY_SQL_READ, HF_APPLY_SQL_CONVERT, HF_APPLY_SQL_PASSIVE };
HF_MUST enum hf_code hf_apply_sql(struct hf_apply *a, enum hf_apply_sql what, bool *is_complete,
                                  struct hf_err *err);
/* The error for an SQLite result code of a VFS call or connection. */
HF_MUST enum hf_code hf_apply_sqlite_err(struct hf_err *err, const struct hf_apply *a, int rc,
                                         const char *what);

#endif
