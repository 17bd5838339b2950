/*
 * The file back end: objects are files under one directory, laid out as Litestream lays them out.
 *
 * An object appears by rename: data goes to "<name>.<16 hex>.tmp" beside it, is fsynced, gets its
 * time as mtime, and takes its name by a rename that refuses (create-only) or replaces; then the
 * directory is fsynced. So a reader never sees half an object, a power cut leaves the object or
 * nothing, and two writers that meet on a name cannot both win.
 *
 * Whether a directory exists is not remembered: the temporary file is opened at once and only a
 * "not found" makes directories, so a directory removed behind our back heals by itself and a hot
 * path pays nothing. What a killed writer left behind is removed by a later listing, once it has
 * not changed for an hour.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "os/file.h"
#include "store/backend.h"
#include "store/url.h"

enum {
    DIR_PERM = 0700, /* a replica is as private as its database */
    FILE_PERM = 0600,
    WRITE_BUFFER = 128 << 10,
    WRITE_BEHIND = 8 << 20, /* start write-back in steps: a final fsync then has little left */
    TEMP_HEX = 16,
    TEMP_AGE_MS = 3600 * 1000, /* no upload stands still for an hour */
    MKDIR_TRIES = 3,
};

struct file_store {
    struct hf_store base;
    char *root; /* absolute */
};

struct file_writer {
    struct hf_store_writer base;
    char *path; /* the object's */
    char *temp;
    struct hf_file file;
    struct hf_buf buf; /* small writes gather here */
    uint64_t size;     /* bytes in the file */
    uint64_t behind;   /* bytes whose write-back was started */
    int64_t time_ms;
    bool is_create_only;
};

struct file_reader {
    struct hf_store_reader base;
    struct hf_file file;
    uint64_t offset;
};

static char *object_path(const struct hf_store *s, const char *name)
{
    return hf_store_join(((const struct file_store *)s)->root, name);
}

static void file_close(struct hf_store *s)
{
    struct file_store *fs = (struct file_store *)s;
    hf_free(fs->root);
    hf_free(fs->base.url);
    fs->base.magic = 0;
    hf_free(fs);
}

/* ---- writing ---- */

static enum hf_code open_temp(struct file_writer *w, struct hf_err *err)
{
    for (int i = 0;; i++) {
        enum hf_code rc = hf_file_open(w->temp, HF_FILE_CREATE_NEW, FILE_PERM, &w->file, err);
        if (rc != HF_E_NOT_FOUND || i == MKDIR_TRIES)
            return rc;
        HF_AUTO_FREE char *dir = hf_path_dir(w->path);
        HF_TRY(hf_path_mkdirs(dir, DIR_PERM, err));
    }
}

static void writer_free(struct file_writer *w)
{
    hf_file_close(&w->file);
    hf_buf_deinit(&w->buf);
    hf_free(w->path);
    hf_free(w->temp);
    hf_free(w);
}

static enum hf_code file_writer_new(struct hf_store *s, const struct hf_store_put_args *args,
                                    struct hf_store_writer **out, struct hf_err *err)
{
    struct file_writer *w = hf_calloc(1, sizeof(*w));
    w->base.store = s;
    w->path = object_path(s, args->name);
    w->temp = hf_asprintf("%s.%016llx.tmp", w->path, (unsigned long long)hf_random_u64());
    w->file = (struct hf_file)HF_FILE_CLOSED;
    hf_buf_init(&w->buf, WRITE_BUFFER);
    w->time_ms = args->time_ms;
    w->is_create_only = (args->flags & HF_STORE_CREATE_ONLY) != 0;
    enum hf_code rc = open_temp(w, err);
    if (rc != HF_OK) {
        writer_free(w);
        return rc;
    }
    *out = &w->base;
    return HF_OK;
}

static enum hf_code write_through(struct file_writer *w, const void *data, size_t len,
                                  struct hf_err *err)
{
    HF_TRY(hf_file_write_at(&w->file, data, len, w->size, err));
    w->size += len;
    if (w->size - w->behind >= WRITE_BEHIND) {
        hf_file_write_behind(&w->file, w->behind, w->size - w->behind);
        w->behind = w->size;
    }
    return HF_OK;
}

static enum hf_code flush(struct file_writer *w, struct hf_err *err)
{
    if (w->buf.len == 0)
        return HF_OK;
    HF_TRY(write_through(w, w->buf.data, w->buf.len, err));
    hf_buf_reset(&w->buf);
    return HF_OK;
}

static enum hf_code file_writer_write(struct hf_store_writer *sw, const void *data, size_t len,
                                      struct hf_err *err)
{
    struct file_writer *w = (struct file_writer *)sw;
    bool is_large = len >= WRITE_BUFFER / 2;
    if (is_large || w->buf.len + len > WRITE_BUFFER)
        HF_TRY(flush(w, err));
    if (is_large)
        return write_through(w, data, len, err);
    return hf_buf_append(&w->buf, data, len, err);
}

static enum hf_code publish(struct file_writer *w, struct hf_err *err)
{
    HF_TRY(flush(w, err));
    /* The time first: a listing that sees the name must see its time. */
    HF_TRY(hf_file_set_mtime_ms(&w->file, w->time_ms, err));
    HF_TRY(hf_file_sync(&w->file, err));
    if (!w->is_create_only)
        return hf_path_rename(w->temp, w->path, err);
    enum hf_code rc = hf_path_rename_new(w->temp, w->path, err);
    if (rc == HF_E_EXISTS)
        hf_err_set(err, rc, "%s exists already", w->path);
    return rc;
}

static void drop_temp(const struct file_writer *w)
{
    struct hf_err ignored = HF_ERR_INIT; /* a listing removes what stays */
    if (hf_path_remove(w->temp, &ignored) != HF_OK)
        hf_err_reset(&ignored);
}

static enum hf_code file_writer_commit(struct hf_store_writer *sw, struct hf_err *err)
{
    struct file_writer *w = (struct file_writer *)sw;
    enum hf_code rc = publish(w, err);
    if (rc == HF_OK) {
        HF_AUTO_FREE char *dir = hf_path_dir(w->path);
        rc = hf_path_sync_dir(dir, err);
    } else {
        drop_temp(w);
    }
    writer_free(w);
    return rc;
}

static void file_writer_abort(struct hf_store_writer *sw)
{
    struct file_writer *w = (struct file_writer *)sw;
    drop_temp(w);
    writer_free(w);
}

/* ---- reading ---- */

static enum hf_code file_reader_new(struct hf_store *s, const char *name, uint64_t offset,
                                    struct hf_store_reader **out, struct hf_err *err)
{
    HF_AUTO_FREE char *path = object_path(s, name);
    struct hf_file f = HF_FILE_CLOSED;
    HF_TRY(hf_file_open(path, HF_FILE_READ, 0, &f, err));
    struct file_reader *r = hf_calloc(1, sizeof(*r));
    r->base.store = s;
    r->file = f;
    r->offset = offset;
    *out = &r->base;
    return HF_OK;
}

static enum hf_code file_reader_read(struct hf_store_reader *sr, void *buf, size_t len, size_t *got,
                                     struct hf_err *err)
{
    struct file_reader *r = (struct file_reader *)sr;
    size_t n = 0;
    HF_TRY(hf_file_read_some(&r->file, buf, len, r->offset, &n, err));
    r->offset += n;
    *got = n;
    return HF_OK;
}

static void file_reader_free(struct hf_store_reader *sr)
{
    struct file_reader *r = (struct file_reader *)sr;
    hf_file_close(&r->file);
    hf_free(r);
}

static enum hf_code file_head(struct hf_store *s, const char *name, uint64_t *size,
                              int64_t *time_ms, struct hf_err *err)
{
    HF_AUTO_FREE char *path = object_path(s, name);
    struct hf_file_stat st;
    HF_TRY(hf_path_stat(path, &st, err));
    if (!st.is_regular)
        return hf_err_set(err, HF_E_NOT_FOUND, "%s is not a file", path);
    if (size != NULL)
        *size = st.size;
    if (time_ms != NULL)
        *time_ms = st.mtime_ns / 1000000;
    return HF_OK;
}

/* ---- listing ---- */

struct listing {
    const struct hf_store_list_query *query;
    const char *dir;
    char **names;
    size_t len;
    size_t cap;
};

static bool is_temp(const char *name)
{
    size_t len = strlen(name);
    return len >= 4 && strcmp(name + len - 4, ".tmp") == 0;
}

/* "<something>.<16 hex>.tmp": made by file_writer_new, not somebody else's. */
static bool is_our_temp(const char *name)
{
    size_t len = strlen(name);
    if (len < TEMP_HEX + 6 || !is_temp(name) || name[len - 4 - TEMP_HEX - 1] != '.')
        return false;
    for (size_t i = len - 4 - TEMP_HEX; i < len - 4; i++) {
        if (!isxdigit((unsigned char)name[i]))
            return false;
    }
    return true;
}

static void remove_stale(const char *dir, const char *name)
{
    HF_AUTO_FREE char *path = hf_path_join(dir, name);
    struct hf_file_stat st;
    struct hf_err ignored = HF_ERR_INIT; /* cleaning is a courtesy; the next listing tries again */
    if (hf_path_stat(path, &st, &ignored) != HF_OK || !st.is_regular)
        return;
    /* ctime: mtime is the object's own time, which may be old on purpose. */
    if (hf_clock_wall_ms() - st.ctime_ns / 1000000 < TEMP_AGE_MS)
        return;
    if (hf_path_remove(path, &ignored) != HF_OK)
        hf_err_reset(&ignored);
}

static enum hf_code collect(void *arg, const char *name, bool is_dir, struct hf_err *err)
{
    (void)err;
    struct listing *l = arg;
    if (is_temp(name)) {
        if (!is_dir && is_our_temp(name))
            remove_stale(l->dir, name);
        return HF_OK;
    }
    if (is_dir != l->query->is_prefixes)
        return HF_OK;
    if (l->query->start_after != NULL && strcmp(name, l->query->start_after) <= 0)
        return HF_OK;
    if (l->len == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->names = hf_realloc(l->names, l->cap, sizeof(*l->names));
    }
    l->names[l->len++] = hf_strdup(name);
    return HF_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum hf_code report(const struct listing *l, const char *name, struct hf_err *err)
{
    struct hf_store_object o = {name, 0, 0};
    if (!l->query->is_prefixes) {
        HF_AUTO_FREE char *path = hf_path_join(l->dir, name);
        struct hf_file_stat st;
        enum hf_code rc = hf_path_stat(path, &st, err);
        if (rc == HF_E_NOT_FOUND) /* deleted since we read its name */
            return HF_OK;
        if (rc != HF_OK || !st.is_regular)
            return rc;
        o.size = st.size;
        o.time_ms = st.mtime_ns / 1000000;
    }
    return l->query->fn(l->query->arg, &o, err);
}

static enum hf_code file_list(struct hf_store *s, const struct hf_store_list_query *q,
                              struct hf_err *err)
{
    HF_AUTO_FREE char *dir = object_path(s, q->prefix);
    struct listing l = {.query = q, .dir = dir};
    enum hf_code rc = hf_path_list(dir, collect, &l, err);
    if (rc == HF_E_NOT_FOUND) {
        hf_err_reset(err);
        rc = HF_OK;
    }
    if (l.len > 1)
        qsort(l.names, l.len, sizeof(*l.names), by_name);
    for (size_t i = 0; i < l.len && rc == HF_OK; i++)
        rc = report(&l, l.names[i], err);
    for (size_t i = 0; i < l.len; i++)
        hf_free(l.names[i]);
    hf_free(l.names);
    return rc;
}

/* Not made durable: a name that comes back after a power cut is deleted again. */
static enum hf_code file_remove(struct hf_store *s, const char *const *names, size_t n,
                                struct hf_err *err)
{
    for (size_t i = 0; i < n; i++) {
        HF_AUTO_FREE char *path = object_path(s, names[i]);
        HF_TRY(hf_path_remove(path, err));
    }
    return HF_OK;
}

static char *file_watch_dir(const struct hf_store *s, const char *name)
{
    return object_path(s, name);
}

static const struct hf_store_ops file_ops = {
    .type = "file",
    .is_local = true,
    .close = file_close,
    .watch_dir = file_watch_dir,
    .writer_new = file_writer_new,
    .writer_write = file_writer_write,
    .writer_commit = file_writer_commit,
    .writer_abort = file_writer_abort,
    .reader_new = file_reader_new,
    .reader_read = file_reader_read,
    .reader_free = file_reader_free,
    .head = file_head,
    .list = file_list,
    .remove = file_remove,
};

enum hf_code hf_store_file_open(const char *path, struct hf_store **out, struct hf_err *err)
{
    char *root = NULL;
    if (path[0] == '/')
        root = hf_strdup(path); /* as given: a symbolic link may be pointed elsewhere later */
    else
        HF_TRY(hf_path_absolute(path, &root, err));
    struct file_store *fs = hf_calloc(1, sizeof(*fs));
    fs->root = root;
    fs->base.magic = HF_STORE_MAGIC;
    fs->base.ops = &file_ops;
    fs->base.url = hf_asprintf("file://%s", root);
    *out = &fs->base;
    hf_assert(fs->root[0] == '/');
    return HF_OK;
}
