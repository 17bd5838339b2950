/*
 * The open standby database: descriptors, locks, mapped index, recovery, and the check that nobody
 * else wrote.
 */
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "sqlite/apply_int.h"
#include "sqlite/vfs.h"

enum {
    OPEN_TRIES = 5,     /* conversions and recoveries somebody else undoes meanwhile */
    ENTER_TRIES = 5,    /* the same for a recovery of the index */
    SQL_BUSY_MS = 2000, /* somebody else recovers: 0.4 s for a log of 500 MB */
    RETRY_US = 1000,
    DB_HEADER = 100,
};

void hf_apply_step(struct hf_apply *a, const char *step)
{
    if (a->step_fn != NULL)
        a->step_fn(a->step_arg, step);
}

void hf_apply_set_step_hook(struct hf_apply *a, hf_apply_step_fn *fn, void *arg)
{
    a->step_fn = fn;
    a->step_arg = arg;
}

enum hf_code hf_apply_sqlite_err(struct hf_err *err, const struct hf_apply *a, int rc,
                                 const char *what)
{
    enum hf_code code = HF_E_IO;
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        code = HF_E_BUSY;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        code = HF_E_CORRUPT;
        break;
    case SQLITE_FULL:
        code = HF_E_NO_SPACE;
        break;
    case SQLITE_PERM:
    case SQLITE_READONLY:
        code = HF_E_DENIED;
        break;
    default:
        break;
    }
    return hf_err_set(err, code, "%s %s: %s (SQLite code %d)", what, a->path, sqlite3_errstr(rc),
                      rc);
}

/* ---- locks and the index ---- */

enum hf_code hf_apply_lock(struct hf_apply *a, int lock, int n, bool exclusive, struct hf_err *err)
{
    int flags = SQLITE_SHM_LOCK | (exclusive ? SQLITE_SHM_EXCLUSIVE : SQLITE_SHM_SHARED);
    int rc = hf_vfs_shm_lock(a->file, a->path, lock, n, flags);
    if (rc != SQLITE_OK)
        return hf_apply_sqlite_err(err, a, rc, "lock the WAL index of");
    return HF_OK;
}

void hf_apply_unlock(struct hf_apply *a, int lock, int n, bool exclusive)
{
    int flags = SQLITE_SHM_UNLOCK | (exclusive ? SQLITE_SHM_EXCLUSIVE : SQLITE_SHM_SHARED);
    (void)hf_vfs_shm_lock(a->file, a->path, lock, n, flags);
}

enum hf_code hf_apply_map(struct hf_apply *a, uint32_t block, bool extend, volatile void **out,
                          struct hf_err *err)
{
    volatile void *p = NULL;
    int rc = hf_vfs_shm_map(a->file, a->path, (int)block, extend, &p);
    if (rc != SQLITE_OK)
        return hf_apply_sqlite_err(err, a, rc, "map the WAL index of");
    *out = p;
    return HF_OK;
}

/* ---- a short-lived SQL connection ---- */

static int run_passive(sqlite3 *db, bool *is_complete)
{
    int log = -1;
    int copied = -1;
    int rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &log, &copied);
    *is_complete = rc == SQLITE_OK && log >= 0 && copied == log;
    return rc == SQLITE_BUSY ? SQLITE_OK : rc; /* somebody else checkpoints: not now */
}

static int run_sql(sqlite3 *db, enum hf_apply_sql what, bool *is_complete)
{
    sqlite3_busy_timeout(db, SQL_BUSY_MS);
    /* Our SHARED would make the attempt at the log's removal fail anyway, but not before it has
     * kept new readers out for a moment. */
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    int rc = SQLITE_OK;
    if (what == HF_APPLY_SQL_CONVERT)
        rc = sqlite3_exec(db, "PRAGMA journal_mode=wal", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "PRAGMA synchronous=NORMAL; PRAGMA checkpoint_fullfsync=1", NULL,
                          NULL, NULL);
    /* Without a row having been read a checkpoint returns OK and does nothing. */
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL);
    if (rc == SQLITE_OK && what == HF_APPLY_SQL_PASSIVE)
        rc = run_passive(db, is_complete);
    return rc;
}

enum hf_code hf_apply_sql(struct hf_apply *a, enum hf_apply_sql what, bool *is_complete,
                          struct hf_err *err)
{
    sqlite3 *db = NULL;
    bool ignored;
    int rc = sqlite3_open_v2(a->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = run_sql(db, what, is_complete != NULL ? is_complete : &ignored);
    enum hf_code code = HF_OK;
    if (rc != SQLITE_OK)
        code = hf_apply_sqlite_err(err, a, rc, "read through SQL");
    sqlite3_close(db);
    return code;
}

/* ---- WRITE, and whether somebody else wrote ---- */

static enum hf_code check_is_ours(struct hf_apply *a, const struct hf_walindex *h,
                                  struct hf_err *err)
{
    const struct hf_walindex *l = &a->last;
    bool is_same = h->max_frame == l->max_frame && h->frame_cksum[0] == l->frame_cksum[0] &&
                   h->frame_cksum[1] == l->frame_cksum[1] &&
                   (h->change == l->change || h->change == 0);
    bool is_reset = h->max_frame == 0 && h->change == l->change;
    /* Reset, no frame since, and recovered: the file still held the log of before. */
    bool is_back = l->max_frame == 0 && h->change == 0 && h->max_frame == a->kept.max_frame &&
                   h->frame_cksum[0] == a->kept.cksum[0] && h->frame_cksum[1] == a->kept.cksum[1];
    if (is_same || is_reset || is_back)
        return HF_OK;
    hf_err_set(err, HF_E_CONFLICT,
               "%s was written by somebody else: its log is at frame %u, change %u; applied were "
               "frame %u, change %u",
               a->path, (unsigned)h->max_frame, (unsigned)h->change, (unsigned)l->max_frame,
               (unsigned)l->change);
    hf_err_hint(err, "a copy that is followed may only be read; restore it anew");
    return HF_E_CONFLICT;
}

static enum hf_code check_in_place(struct hf_apply *a, struct hf_err *err)
{
    int has_moved = 0;
    int rc = a->file->pMethods->xFileControl(a->file, SQLITE_FCNTL_HAS_MOVED, &has_moved);
    if (rc != SQLITE_OK || !has_moved)
        return HF_OK;
    return hf_err_set(err, HF_E_CONFLICT, "%s was removed or replaced by another file", a->path);
}

static enum hf_code lock_write(struct hf_apply *a, uint64_t deadline, struct hf_err *err)
{
    for (;;) {
        enum hf_code rc = hf_apply_lock(a, HF_WAL_LOCK_WRITE, 1, true, err);
        if (rc != HF_E_BUSY || hf_clock_mono_ms() >= deadline)
            return rc;
        hf_clock_sleep_us(RETRY_US);
    }
}

enum hf_code hf_apply_enter(struct hf_apply *a, uint64_t wait_ms, struct hf_walindex *h,
                            struct hf_err *err)
{
    uint64_t deadline = hf_clock_mono_ms() + wait_ms;
    HF_TRY(check_in_place(a, err));
    for (int i = 0; i < ENTER_TRIES; i++) {
        HF_TRY(lock_write(a, deadline, err));
        struct hf_walindex now;
        enum hf_walindex_state state = hf_walindex_read(a->region0, &now);
        enum hf_code rc = HF_OK;
        if (state == HF_WALINDEX_OK) {
            rc = check_is_ours(a, &now, err);
            if (rc == HF_OK) {
                a->last = now;
                *h = now;
                return HF_OK;
            }
        }
        hf_apply_leave(a);
        HF_TRY(rc);
        if (state == HF_WALINDEX_FOREIGN)
            return hf_err_set(err, HF_E_UNSUPPORTED, "%s-shm: another format version", a->path);
        HF_TRY(hf_apply_sql(a, HF_APPLY_SQL_READ, NULL, err));
    }
    return hf_err_set(err, HF_E_CORRUPT, "%s-shm: SQLite does not recover the WAL index", a->path);
}

void hf_apply_leave(struct hf_apply *a)
{
    hf_apply_unlock(a, HF_WAL_LOCK_WRITE, 1, true);
}

/* ---- opening ---- */

static enum hf_code resolve(struct hf_apply *a, const char *path, struct hf_err *err)
{
    int max = a->vfs->mxPathname + 1;
    a->path = hf_calloc(1, (size_t)max);
    int rc = a->vfs->xFullPathname(a->vfs, path, max, a->path);
    if ((rc & 0xff) != SQLITE_OK)
        return hf_err_set(err, HF_E_INVALID, "%s: %s", path, sqlite3_errstr(rc));
    return HF_OK;
}

static enum hf_code open_main(struct hf_apply *a, struct hf_err *err)
{
    HF_AUTO_FREE char *journal = hf_asprintf("%s-journal", a->path);
    HF_AUTO_FREE char *wal = hf_asprintf("%s-wal", a->path);
    a->name = sqlite3_create_filename(a->path, journal, wal, 0, NULL);
    hf_assert(a->name != NULL);
    hf_file_guard_add(a->path);
    a->is_guarded = true;
    a->file = hf_calloc(1, (size_t)a->vfs->szOsFile);
    int flags = 0;
    int rc =
        hf_vfs_open(a->vfs, a->name, a->file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MAIN_DB, &flags);
    if (rc != SQLITE_OK)
        return hf_apply_sqlite_err(err, a, rc, "open");
    if (flags & SQLITE_OPEN_READONLY)
        return hf_err_set(err, HF_E_DENIED, "%s: no permission to write", a->path);
    if (a->file->pMethods->iVersion < 2)
        return hf_err_set(err, HF_E_UNSUPPORTED, "%s: this SQLite has no shared memory", a->path);
    return HF_OK;
}

static enum hf_code lock_shared(struct hf_apply *a, struct hf_err *err)
{
    uint64_t deadline = hf_clock_mono_ms() + HF_APPLY_BUSY_MS;
    for (;;) {
        int rc = hf_vfs_lock(a->file, a->path, SQLITE_LOCK_SHARED);
        if (rc == SQLITE_OK)
            return HF_OK;
        if ((rc & 0xff) != SQLITE_BUSY || hf_clock_mono_ms() >= deadline)
            return hf_apply_sqlite_err(err, a, rc, "lock");
        hf_clock_sleep_us(RETRY_US);
    }
}

/* Takes SHARED and reads the header. *is_wal: it is still held; otherwise it was let go at once,
 * it would lock a rollback-mode writer out. */
static enum hf_code look(struct hf_apply *a, bool *is_wal, struct hf_err *err)
{
    HF_TRY(lock_shared(a, err));
    uint8_t head[DB_HEADER];
    int rc = hf_vfs_read(a->file, a->path, head, DB_HEADER, 0);
    uint32_t size = 0;
    if (rc == SQLITE_OK && memcmp(head, "SQLite format 3", 16) == 0)
        size = hf_be16(head + 16) == 1 ? 65536 : hf_be16(head + 16);
    bool is_valid = size >= 512 && (size & (size - 1)) == 0;
    *is_wal = is_valid && head[18] == 2 && head[19] == 2;
    if (!*is_wal)
        a->file->pMethods->xUnlock(a->file, SQLITE_LOCK_NONE);
    if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ)
        return hf_apply_sqlite_err(err, a, rc, "read");
    if (!is_valid)
        return hf_err_set(err, HF_E_INVALID, "%s: empty or not a database", a->path);
    a->page_size = size;
    return HF_OK;
}

static enum hf_code open_index(struct hf_apply *a, struct hf_err *err)
{
    uint64_t torn_until = hf_clock_mono_ms() + 20; /* a live writer needs far less */
    for (int i = 0; i < OPEN_TRIES;) {
        volatile void *p = NULL;
        HF_TRY(hf_apply_map(a, 0, false, &p, err));
        enum hf_walindex_state state = HF_WALINDEX_NOT_INIT;
        if (p != NULL)
            state = hf_walindex_read(p, &a->last);
        if (state == HF_WALINDEX_OK) {
            a->region0 = p;
            return HF_OK;
        }
        if (state == HF_WALINDEX_FOREIGN)
            return hf_err_set(err, HF_E_UNSUPPORTED, "%s-shm: another format version", a->path);
        if (state == HF_WALINDEX_TORN && hf_clock_mono_ms() < torn_until) {
            hf_clock_sleep_us(RETRY_US);
            continue;
        }
        HF_TRY(hf_apply_sql(a, HF_APPLY_SQL_READ, NULL, err));
        i++;
    }
    return hf_err_set(err, HF_E_CORRUPT, "%s-shm: SQLite does not recover the WAL index", a->path);
}

static enum hf_code open_wal(struct hf_apply *a, struct hf_err *err)
{
    HF_AUTO_FREE char *path = hf_asprintf("%s-wal", a->path);
    enum hf_code rc = hf_file_open(path, HF_FILE_WRITE, 0, &a->wal, err);
    if (rc != HF_E_NOT_FOUND)
        return rc;
    /* SQLite makes it with the main file's owner and permissions. */
    HF_TRY(hf_apply_sql(a, HF_APPLY_SQL_READ, NULL, err));
    return hf_file_open(path, HF_FILE_WRITE, 0, &a->wal, err);
}

static enum hf_code open_all(struct hf_apply *a, const char *path, struct hf_err *err)
{
    struct hf_file_stat st;
    HF_TRY(hf_path_stat(path, &st, err));
    if (!st.is_regular || st.size == 0)
        return hf_err_set(err, HF_E_INVALID, "%s: %s", path,
                          st.is_regular ? "empty, needs a base image first" : "not a file");
    HF_TRY(resolve(a, path, err));
    HF_TRY(open_main(a, err));
    bool is_wal = false;
    for (int i = 0; i < OPEN_TRIES && !is_wal; i++) {
        HF_TRY(look(a, &is_wal, err));
        if (!is_wal)
            HF_TRY(hf_apply_sql(a, HF_APPLY_SQL_CONVERT, NULL, err));
    }
    if (!is_wal)
        return hf_err_set(err, HF_E_BUSY, "%s: somebody keeps it out of WAL mode", a->path);
    HF_TRY(open_index(a, err));
    if (a->last.page_size != 0 && a->last.page_size != a->page_size)
        return hf_err_set(err, HF_E_CORRUPT, "%s: page size %u, in its WAL %u", a->path,
                          (unsigned)a->page_size, (unsigned)a->last.page_size);
    return open_wal(a, err);
}

enum hf_code hf_apply_open(const char *path, struct hf_apply **out, struct hf_err *err)
{
    hf_assert(path != NULL && out != NULL);
    if (sqlite3_initialize() != SQLITE_OK)
        return hf_err_set(err, HF_E_INTERNAL, "SQLite does not initialize");
    struct hf_apply *a = hf_calloc(1, sizeof(*a));
    a->magic = HF_APPLY_MAGIC;
    a->wal = (struct hf_file)HF_FILE_CLOSED;
    a->vfs = sqlite3_vfs_find(NULL);
    hf_assert(a->vfs != NULL);
    enum hf_code rc = open_all(a, path, err);
    if (rc != HF_OK) {
        hf_apply_close(a);
        return rc;
    }
    a->wal_keep = HF_APPLY_WAL_KEEP;
    a->kept = hf_apply_mark_of(&a->last);
    uint32_t frame = HF_WAL_FRAME_HEADER_SIZE + a->page_size;
    a->batch_cap = HF_APPLY_BATCH_BYTES / frame > 0 ? HF_APPLY_BATCH_BYTES / frame : 1;
    *out = a;
    return HF_OK;
}

static void close_main(struct hf_apply *a)
{
    if (a->file == NULL || a->file->pMethods == NULL)
        return;
    if (a->file->pMethods->iVersion >= 2)
        a->file->pMethods->xShmUnmap(a->file, 0);
    a->file->pMethods->xUnlock(a->file, SQLITE_LOCK_NONE);
    a->file->pMethods->xClose(a->file);
}

void hf_apply_close(struct hf_apply *a)
{
    if (a == NULL)
        return;
    hf_assert_magic(a, HF_APPLY_MAGIC);
    hf_apply_abort(a);
    hf_file_close(&a->wal);
    close_main(a);
    if (a->is_guarded)
        hf_file_guard_remove(a->path);
    sqlite3_free_filename(a->name);
    hf_free(a->file);
    hf_free(a->batch);
    hf_free(a->path);
    hf_free(a);
}
