/*
 * SQL on a live database, run in a child process.
 *
 * The capturing process holds its locks through SQLite's VFS; a SQL connection of the same process
 * would park a descriptor until they go, and its checkpoint would share our locks. So the few
 * statements we need (recovery by reading once, conversion to WAL, a passive checkpoint) run in one
 * child that is started on demand and restarted when it dies. One request at a time, blocking: call
 * from a worker thread.
 *
 * The child is this program again (exe with the argument HF_SQLPROC_ARG; main.c calls
 * hf_sqlproc_serve), or a plain fork where exe is NULL (tests; only while single-threaded).
 */
#ifndef HF_SQLITE_SQLPROC_H
#define HF_SQLITE_SQLPROC_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define HF_SQLPROC_ARG "__sql"
enum {
    HF_SQLPROC_FD = 3, /* where that child finds its socket */
    HF_SQL_LOCK_WAIT_MS = 500,
    HF_SQL_LOCK_KEEP_MS = 250,
};

enum hf_sql_action {
    /* Opens, reads a row of sqlite_schema, closes: runs recovery if it is due; as the last
     * connection it also checkpoints and removes the log, as any program's close would. */
    HF_SQL_TOUCH,
    /* PRAGMA journal_mode=wal. HF_E_BUSY while others read or write. */
    HF_SQL_CONVERT,
    /* PRAGMA wal_checkpoint(PASSIVE) after reading a row. Only while the caller holds a read slot.
     */
    HF_SQL_CHECKPOINT,
    /* The same twice, the second time under the WRITE lock, which it waits for up to
     * HF_SQL_LOCK_WAIT_MS (HF_E_BUSY) and keeps until HF_SQL_LET_GO or for HF_SQL_LOCK_KEEP_MS:
     * then everything is copied back and nobody appends, until the caller has let go of the log.
     * For writers that never checkpoint; they need a busy timeout. */
    HF_SQL_DRAIN,
    /* As HF_SQL_TOUCH, but stays open until HF_SQL_LET_GO, or another HF_SQL_HOLD, closes it. Asked
     * for while the caller still holds the database: nobody then runs recovery, so a log that is
     * copied back already stays so, and the close leaves the main file as it is. */
    HF_SQL_HOLD,
    HF_SQL_LET_GO,
};

struct hf_sql_result {
    int32_t log_frames; /* of HF_SQL_CHECKPOINT, as SQLite reports them; -1 unknown */
    int32_t ckpt_frames;
};

struct hf_sqlproc;

/* exe: path of this program, borrowed text is copied. Starts nothing yet. */
struct hf_sqlproc *hf_sqlproc_new(const char *exe);
/* Ends the child. NULL is allowed. */
void hf_sqlproc_free(struct hf_sqlproc *p);
/* Any thread; callers wait for each other. busy_ms: SQLite's busy timeout. HF_E_TIMEOUT when the
 * child did not answer for busy_ms + 60 s (it is killed then). result may be NULL. */
HF_MUST enum hf_code hf_sqlproc_run(struct hf_sqlproc *p, enum hf_sql_action action,
                                    const char *path, uint32_t busy_ms,
                                    struct hf_sql_result *result, struct hf_err *err);

/* The child's side: serves requests on descriptor fd until it is closed. Returns the exit code. */
int hf_sqlproc_serve(int fd);

#endif
