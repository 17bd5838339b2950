#include "sqlite/live.h"

#include <sqlite3.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/file.h"
#include "sqlite/vfs.h"

enum { LIVE_MAGIC = 0x4c495645, DB_HEADER = 100, SLOTS_FIRST = 1, NO_SLOT = -1 };

struct hf_live {
    uint32_t magic;
    sqlite3_file *file;
    const char *name; /* as the VFS wants it; outlives file */
    char *path;
    char *wal_path;
    struct hf_file wal;
    volatile void *index; /* region 0 of the -shm */
    uint32_t page_size;
    uint64_t dev;
    uint64_t inode;
    int slot; /* 1 to 4, NO_SLOT */
    bool has_zero;
    bool has_write;
    bool has_shared;
    bool is_guarded;
};

static enum hf_code vfs_error(struct hf_err *err, int rc, const char *what, const char *path)
{
    enum hf_code code = HF_E_IO;
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        code = HF_E_BUSY;
        break;
    case SQLITE_CANTOPEN:
        code = HF_E_DENIED;
        break;
    case SQLITE_FULL:
        code = HF_E_NO_SPACE;
        break;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        code = HF_E_DENIED;
        break;
    default:
        break;
    }
    return hf_err_set(err, code, "%s %s: %s", what, path, sqlite3_errstr(rc));
}

static enum hf_code open_file(struct hf_live *l, const char *path, struct hf_err *err)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    hf_assert(vfs != NULL);
    char full[HF_LIMIT_PATH];
    /* xOpen fails on a symbolic link, so the path is resolved first; newer SQLite reports that a
     * link was followed as SQLITE_OK_SYMLINK */
    int rc = vfs->xFullPathname(vfs, path, (int)sizeof(full), full);
    if (rc != SQLITE_OK && rc != (SQLITE_OK | (2 << 8)))
        return vfs_error(err, rc, "resolve", path);
    struct hf_file_stat st;
    HF_TRY(hf_path_stat(full, &st, err));
    if (!st.is_regular)
        return hf_err_set(err, HF_E_INVALID, "%s is not a regular file", full);
    l->path = hf_strdup(full);
    l->wal_path = hf_asprintf("%s-wal", full);
    l->dev = st.dev;
    l->inode = st.inode;
    HF_AUTO_FREE char *journal = hf_asprintf("%s-journal", full);
    l->name = sqlite3_create_filename(full, journal, l->wal_path, 0, NULL);
    hf_assert(l->name != NULL);
    l->file = hf_calloc(1, (size_t)vfs->szOsFile);
    int out = 0;
    hf_file_guard_add(l->path);
    l->is_guarded = true;
    rc = hf_vfs_open(vfs, l->name, l->file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MAIN_DB, &out);
    if (rc == SQLITE_OK && (out & SQLITE_OPEN_READONLY) != 0)
        return hf_err_set(err, HF_E_DENIED, "%s can only be read: WAL locks need write permission",
                          full);
    if (rc != SQLITE_OK)
        return vfs_error(err, rc, "open", full);
    return HF_OK;
}

/* As SQLite tells one: a journal kept for the next transaction begins with zeros. */
bool hf_live_has_hot_journal(const char *path)
{
    HF_AUTO_FREE char *journal = hf_asprintf("%s-journal", path);
    struct hf_file f = HF_FILE_CLOSED;
    uint8_t first = 0;
    size_t got = 0;
    if (hf_file_open(journal, HF_FILE_READ, 0, &f, NULL) != HF_OK)
        return false;
    bool is_hot = hf_file_read_some(&f, &first, 1, 0, &got, NULL) == HF_OK && got == 1;
    hf_file_close(&f);
    return is_hot && first != 0;
}

/* What the file is, read under the SHARED lock just taken. */
static enum hf_code look_at_header(struct hf_live *l, enum hf_live_kind *kind, struct hf_err *err)
{
    uint8_t head[DB_HEADER];
    sqlite3_int64 size = 0;
    int rc = hf_vfs_size(l->file, l->path, &size);
    if (rc != SQLITE_OK)
        return vfs_error(err, rc, "size of", l->path);
    if (size == 0) {
        *kind = HF_LIVE_EMPTY;
        return HF_OK;
    }
    rc = hf_vfs_read(l->file, l->path, head, DB_HEADER, 0);
    if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ)
        return vfs_error(err, rc, "read", l->path);
    uint32_t page_size = hf_be16(head + 16);
    if (page_size == 1)
        page_size = 65536;
    if (memcmp(head, "SQLite format 3", 16) != 0 || page_size < 512 ||
        (page_size & (page_size - 1)) != 0) {
        hf_err_set(err, HF_E_INVALID, "%s is not a SQLite database", l->path);
        hf_err_hint(err, "encrypted databases can't be replicated");
        return HF_E_INVALID;
    }
    l->page_size = page_size;
    bool is_wal = head[18] == 2 && head[19] == 2 && !hf_live_has_hot_journal(l->path);
    *kind = is_wal ? HF_LIVE_WAL : HF_LIVE_ROLLBACK;
    return HF_OK;
}

static enum hf_code attach(struct hf_live *l, enum hf_live_kind *kind, struct hf_err *err)
{
    int rc = hf_vfs_lock(l->file, l->path, SQLITE_LOCK_SHARED);
    if (rc != SQLITE_OK) {
        vfs_error(err, rc, "lock", l->path);
        hf_err_hint(err, "another program holds it exclusively (locking_mode=EXCLUSIVE?); "
                         "it is tried again");
        return err == NULL ? HF_E_BUSY : err->code;
    }
    l->has_shared = true;
    HF_TRY(look_at_header(l, kind, err));
    if (*kind != HF_LIVE_WAL)
        return HF_OK;
    void volatile *p = NULL;
    rc = hf_vfs_shm_map(l->file, l->path, 0, 1, &p);
    if (rc != SQLITE_OK || p == NULL)
        return vfs_error(err, rc == SQLITE_OK ? SQLITE_IOERR : rc, "map the wal-index of", l->path);
    l->index = p;
    return HF_OK;
}

enum hf_code hf_live_open(const char *path, struct hf_live **out, enum hf_live_kind *kind,
                          struct hf_err *err)
{
    struct hf_live *l = hf_calloc(1, sizeof(*l));
    l->magic = LIVE_MAGIC;
    l->slot = NO_SLOT;
    l->wal = (struct hf_file)HF_FILE_CLOSED;
    enum hf_live_kind k = HF_LIVE_EMPTY;
    enum hf_code rc = open_file(l, path, err);
    if (rc == HF_OK)
        rc = attach(l, &k, err);
    if (rc != HF_OK || k != HF_LIVE_WAL) {
        hf_live_close(l);
        l = NULL;
    }
    if (rc != HF_OK)
        return rc;
    *kind = k;
    *out = l;
    return HF_OK;
}

void hf_live_close(struct hf_live *l)
{
    if (l == NULL)
        return;
    hf_assert_magic(l, LIVE_MAGIC);
    hf_live_forget_wal(l);
    hf_live_drop_write(l);
    hf_live_drop_slot(l);
    hf_live_drop_zero(l);
    if (l->file != NULL && l->file->pMethods != NULL) {
        if (l->index != NULL)
            l->file->pMethods->xShmUnmap(l->file, 0);
        if (l->has_shared)
            l->file->pMethods->xUnlock(l->file, SQLITE_LOCK_NONE);
        l->file->pMethods->xClose(l->file);
    }
    if (l->is_guarded)
        hf_file_guard_remove(l->path);
    if (l->name != NULL)
        sqlite3_free_filename(l->name);
    hf_free(l->file);
    hf_free(l->path);
    hf_free(l->wal_path);
    l->magic = 0;
    hf_free(l);
}

const char *hf_live_path(const struct hf_live *l)
{
    return l->path;
}

uint32_t hf_live_page_size(const struct hf_live *l)
{
    return l->page_size;
}

uint64_t hf_live_dev(const struct hf_live *l)
{
    return l->dev;
}

uint64_t hf_live_inode(const struct hf_live *l)
{
    return l->inode;
}

enum hf_walindex_state hf_live_index(const struct hf_live *l, struct hf_walindex *h,
                                     uint32_t *backfill)
{
    enum hf_walindex_state s = hf_walindex_read(l->index, h);
    hf_walindex_barrier();
    *backfill = hf_walindex_backfill(l->index);
    return s;
}

bool hf_live_is_checkpointing(const struct hf_live *l)
{
    return hf_walindex_backfill_attempted(l->index) > hf_walindex_backfill(l->index);
}

static int shm_lock(struct hf_live *l, int lock, int flags)
{
    return hf_vfs_shm_lock(l->file, l->path, lock, 1, flags);
}

/* There is no downgrade: SHARED asked for while EXCLUSIVE is held is BUSY. So the mark is set under
 * EXCLUSIVE, the lock taken again as SHARED, and the mark looked at once more: somebody may have
 * taken the slot in between. */
static enum hf_code try_slot(struct hf_live *l, int slot, struct hf_err *err)
{
    int lock = HF_WAL_LOCK_READ0 + slot;
    int rc = shm_lock(l, lock, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
    if (rc != SQLITE_OK)
        return vfs_error(err, rc, "take a read slot of", l->path);
    hf_walindex_set_mark(l->index, slot, HF_WAL_MARK_UNUSED);
    (void)shm_lock(l, lock, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
    rc = shm_lock(l, lock, SQLITE_SHM_LOCK | SQLITE_SHM_SHARED);
    if (rc != SQLITE_OK)
        return vfs_error(err, rc, "take a read slot of", l->path);
    l->file->pMethods->xShmBarrier(l->file);
    if (hf_walindex_mark(l->index, slot) == HF_WAL_MARK_UNUSED)
        return HF_OK;
    (void)shm_lock(l, lock, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED);
    return hf_err_set(err, HF_E_BUSY, "a reader took the slot of %s first", l->path);
}

enum hf_code hf_live_take_slot(struct hf_live *l, struct hf_err *err)
{
    hf_assert(l->slot == NO_SLOT);
    /* from the top: SQLite's own readers search from the bottom */
    for (int slot = HF_WAL_READ_MARKS - 1; slot >= SLOTS_FIRST; slot--) {
        enum hf_code rc = try_slot(l, slot, err);
        if (rc == HF_OK) {
            l->slot = slot;
            return HF_OK;
        }
        if (rc != HF_E_BUSY)
            return rc;
    }
    return hf_err_set(err, HF_E_BUSY, "readers hold every slot of %s", l->path);
}

void hf_live_drop_slot(struct hf_live *l)
{
    if (l->slot == NO_SLOT)
        return;
    (void)shm_lock(l, HF_WAL_LOCK_READ0 + l->slot, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED);
    l->slot = NO_SLOT;
}

bool hf_live_has_slot(const struct hf_live *l)
{
    return l->slot != NO_SLOT;
}

enum hf_code hf_live_take_zero(struct hf_live *l, struct hf_err *err)
{
    hf_assert(!l->has_zero);
    int rc = shm_lock(l, HF_WAL_LOCK_READ0, SQLITE_SHM_LOCK | SQLITE_SHM_SHARED);
    if (rc != SQLITE_OK)
        return vfs_error(err, rc, "take slot 0 of", l->path);
    l->file->pMethods->xShmBarrier(l->file);
    l->has_zero = true;
    return HF_OK;
}

void hf_live_drop_zero(struct hf_live *l)
{
    if (!l->has_zero)
        return;
    (void)shm_lock(l, HF_WAL_LOCK_READ0, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED);
    l->has_zero = false;
}

bool hf_live_has_zero(const struct hf_live *l)
{
    return l->has_zero;
}

enum hf_code hf_live_take_write(struct hf_live *l, struct hf_err *err)
{
    hf_assert(!l->has_write);
    int rc = shm_lock(l, HF_WAL_LOCK_WRITE, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
    if (rc != SQLITE_OK)
        return vfs_error(err, rc, "take the write lock of", l->path);
    l->has_write = true;
    return HF_OK;
}

void hf_live_drop_write(struct hf_live *l)
{
    if (!l->has_write)
        return;
    (void)shm_lock(l, HF_WAL_LOCK_WRITE, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
    l->has_write = false;
}

enum hf_code hf_live_read_main(struct hf_live *l, void *buf, size_t len, uint64_t offset,
                               struct hf_err *err)
{
    hf_assert(len <= 1u << 30);
    int rc = hf_vfs_read(l->file, l->path, buf, (int)len, (sqlite3_int64)offset);
    if (rc == SQLITE_IOERR_SHORT_READ) /* the VFS fills the rest with zeros */
        return HF_OK;
    if (rc != SQLITE_OK)
        return vfs_error(err, rc, "read", l->path);
    return HF_OK;
}

enum hf_code hf_live_main_size(struct hf_live *l, uint64_t *size, struct hf_err *err)
{
    sqlite3_int64 n = 0;
    int rc = hf_vfs_size(l->file, l->path, &n);
    if (rc != SQLITE_OK)
        return vfs_error(err, rc, "size of", l->path);
    *size = (uint64_t)n;
    return HF_OK;
}

enum hf_code hf_live_read_wal(struct hf_live *l, void *buf, size_t len, uint64_t offset,
                              struct hf_err *err)
{
    if (l->wal.fd < 0)
        HF_TRY(hf_file_open(l->wal_path, HF_FILE_READ, 0, &l->wal, err));
    return hf_file_read_at(&l->wal, buf, len, offset, err);
}

void hf_live_forget_wal(struct hf_live *l)
{
    hf_file_close(&l->wal);
}

uint64_t hf_live_wal_size(const struct hf_live *l)
{
    struct hf_file_stat st;
    return hf_path_stat(l->wal_path, &st, NULL) == HF_OK ? st.size : 0;
}
