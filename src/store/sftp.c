/*
 * The sftp back end: objects are files under a directory of an SFTP server, laid out as Litestream
 * lays them out there. Here: reading, listing, deleting; sftp_put.c writes.
 *
 * A reader whose connection breaks goes on at its offset on a new one. Times are whole seconds: the
 * protocol has no more. What a killed writer left behind is removed by a listing once the time in
 * its name is a day old: clocks of several writers may differ, and the server's is not asked.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/file.h"
#include "store/sftp_int.h"

enum {
    TEMP_AGE_S = 24 * 3600,
    PACKET = 30000, /* what libssh2 sends in one request */
    RETRY_US = 300 * 1000,
    ENTRY_MAX = 1024, /* bytes of a name in a directory; longer ones are not ours */
};

static struct sftp_store *of(struct hf_store *s)
{
    return (struct sftp_store *)s;
}

char *sftp_path(const struct hf_store *s, const char *name)
{
    return hf_store_join(((const struct sftp_store *)s)->root, name);
}

static void sftp_close(struct hf_store *s)
{
    struct sftp_store *st = of(s);
    hf_sftp_server_put(st->server);
    hf_free(st->root);
    hf_free(st->base.url);
    st->base.magic = 0;
    hf_free(st);
}

/* ---- one call, tried again when its connection breaks ---- */

static bool can_retry(enum hf_code rc, int *tries)
{
    if ((rc != HF_E_IO && rc != HF_E_TIMEOUT) || ++*tries >= HF_LIMIT_SFTP_TRIES)
        return false;
    if (*tries > 1)
        hf_clock_sleep_us(RETRY_US);
    return true;
}

enum hf_code sftp_call(struct sftp_store *st, sftp_call_fn *fn, void *arg, struct hf_err *err)
{
    for (int tries = 0;;) {
        struct hf_sftp_session *s = NULL;
        enum hf_code rc = hf_sftp_acquire(st->server, &s, err);
        bool is_final = false;
        if (rc == HF_OK) {
            rc = fn(s, arg, err);
            is_final = !s->is_broken;
            hf_sftp_release(s);
        }
        if (rc == HF_OK || is_final || !can_retry(rc, &tries))
            return rc;
        hf_err_reset(err);
    }
}

/* ---- small calls ---- */

struct stat_call {
    const char *path;
    bool is_file;
    uint64_t size;
    int64_t time_ms;
};

static enum hf_code call_stat(struct hf_sftp_session *s, void *arg, struct hf_err *err)
{
    struct stat_call *c = arg;
    LIBSSH2_SFTP_ATTRIBUTES a;
    if (libssh2_sftp_stat(s->sftp, c->path, &a) != 0)
        return hf_sftp_fail(s, err, "%s", c->path);
    c->is_file =
        (a.flags & LIBSSH2_SFTP_ATTR_PERMISSIONS) == 0 || LIBSSH2_SFTP_S_ISREG(a.permissions);
    c->size = a.flags & LIBSSH2_SFTP_ATTR_SIZE ? a.filesize : 0;
    c->time_ms = a.flags & LIBSSH2_SFTP_ATTR_ACMODTIME ? (int64_t)a.mtime * 1000 : 0;
    return HF_OK;
}

static enum hf_code sftp_head(struct hf_store *s, const char *name, uint64_t *size,
                              int64_t *time_ms, struct hf_err *err)
{
    HF_AUTO_FREE char *path = sftp_path(s, name);
    struct stat_call c = {.path = path};
    enum hf_code rc = sftp_call(of(s), call_stat, &c, err);
    if (rc != HF_OK)
        return hf_err_wrap(err, "%s", s->url);
    if (!c.is_file)
        return hf_err_set(err, HF_E_NOT_FOUND, "%s: %s is not a file", s->url, path);
    if (size != NULL)
        *size = c.size;
    if (time_ms != NULL)
        *time_ms = c.time_ms;
    return HF_OK;
}

enum hf_code sftp_unlink(struct hf_sftp_session *s, void *arg, struct hf_err *err)
{
    const char *path = arg;
    if (libssh2_sftp_unlink(s->sftp, path) == 0)
        return HF_OK;
    enum hf_code rc = hf_sftp_fail(s, err, "delete %s", path);
    if (rc != HF_E_NOT_FOUND)
        return rc;
    hf_err_reset(err);
    return HF_OK;
}

static enum hf_code sftp_remove(struct hf_store *s, const char *const *names, size_t n,
                                struct hf_err *err)
{
    for (size_t i = 0; i < n; i++) {
        HF_AUTO_FREE char *path = sftp_path(s, names[i]);
        if (sftp_call(of(s), sftp_unlink, path, err) != HF_OK)
            return hf_err_wrap(err, "%s", s->url);
    }
    return HF_OK;
}

/* ---- reading ---- */

struct sftp_reader {
    struct hf_store_reader base;
    char *path;
    uint64_t offset;
    struct hf_sftp_session *session; /* of handle, while there is one */
    LIBSSH2_SFTP_HANDLE *handle;
};

static void close_handle(struct sftp_reader *r)
{
    if (r->handle != NULL)
        hf_sftp_drop_handle(r->session, r->handle);
    r->handle = NULL;
    r->session = NULL;
}

static enum hf_code call_open(struct hf_sftp_session *s, void *arg, struct hf_err *err)
{
    struct sftp_reader *r = arg;
    r->handle = libssh2_sftp_open(s->sftp, r->path, LIBSSH2_FXF_READ, 0);
    if (r->handle == NULL)
        return hf_sftp_fail(s, err, "%s", r->path);
    libssh2_sftp_seek64(r->handle, r->offset);
    r->session = s;
    hf_sftp_keep(s);
    return HF_OK;
}

static enum hf_code reader_open(struct hf_store *s, const char *path, uint64_t offset,
                                struct sftp_reader **out, struct hf_err *err)
{
    struct sftp_reader *r = hf_calloc(1, sizeof(*r));
    r->base.store = s;
    r->path = hf_strdup(path);
    r->offset = offset;
    enum hf_code rc = sftp_call(of(s), call_open, r, err);
    if (rc != HF_OK) {
        hf_free(r->path);
        hf_free(r);
        return hf_err_wrap(err, "%s", s->url);
    }
    hf_assert(r->handle != NULL && r->session != NULL);
    *out = r;
    return HF_OK;
}

static enum hf_code sftp_reader_new(struct hf_store *s, const char *name, uint64_t offset,
                                    struct hf_store_reader **out, struct hf_err *err)
{
    HF_AUTO_FREE char *path = sftp_path(s, name);
    struct sftp_reader *r = NULL;
    HF_TRY(reader_open(s, path, offset, &r, err));
    hf_assert(r != NULL);
    *out = &r->base;
    return HF_OK;
}

/* One piece of at most len bytes; *got 0 at the end. */
static enum hf_code read_piece(struct sftp_reader *r, void *buf, size_t len, size_t *got,
                               struct hf_err *err)
{
    struct hf_sftp_session *s = r->session;
    hf_assert(s != NULL && r->handle != NULL);
    hf_sftp_acquire_same(s);
    enum hf_code rc = HF_OK;
    ssize_t n = libssh2_sftp_read(r->handle, buf, len);
    if (n < 0) {
        rc = hf_sftp_fail(s, err, "read %s", r->path);
        s->is_broken = true; /* answers to what was read ahead are still to come */
    }
    hf_sftp_release(s);
    *got = n < 0 ? 0 : (size_t)n;
    r->offset += *got;
    return rc;
}

static enum hf_code sftp_reader_read(struct hf_store_reader *sr, void *buf, size_t len, size_t *got,
                                     struct hf_err *err)
{
    struct sftp_reader *r = (struct sftp_reader *)sr;
    size_t done = 0;
    int tries = 0;
    while (done < len) {
        size_t want = len - done < HF_LIMIT_SFTP_PIECE ? len - done : HF_LIMIT_SFTP_PIECE;
        size_t n = 0;
        enum hf_code rc = HF_OK;
        if (r->handle == NULL)
            rc = sftp_call(of(sr->store), call_open, r, err);
        if (rc == HF_OK)
            rc = read_piece(r, (uint8_t *)buf + done, want, &n, err);
        if (rc != HF_OK) {
            close_handle(r);
            if (!can_retry(rc, &tries))
                return hf_err_wrap(err, "%s", sr->store->url);
            hf_err_reset(err);
            continue;
        }
        if (n == 0)
            break;
        done += n;
        tries = 0;
    }
    *got = done;
    return HF_OK;
}

static void sftp_reader_free(struct hf_store_reader *sr)
{
    struct sftp_reader *r = (struct sftp_reader *)sr;
    close_handle(r);
    hf_free(r->path);
    hf_free(r);
}

static enum hf_code compare(struct sftp_reader *a, struct sftp_reader *b, bool *is_same,
                            struct hf_err *err)
{
    HF_AUTO_FREE char *x = hf_malloc(HF_LIMIT_SFTP_PIECE);
    HF_AUTO_FREE char *y = hf_malloc(HF_LIMIT_SFTP_PIECE);
    size_t nx = 1;
    size_t ny = 1;
    *is_same = true;
    while (*is_same && nx > 0) {
        HF_TRY(sftp_reader_read(&a->base, x, HF_LIMIT_SFTP_PIECE, &nx, err));
        HF_TRY(sftp_reader_read(&b->base, y, HF_LIMIT_SFTP_PIECE, &ny, err));
        *is_same = nx == ny && memcmp(x, y, nx) == 0;
    }
    return HF_OK;
}

enum hf_code sftp_same_content(struct hf_store *s, const char *a, const char *b, bool *is_same,
                               struct hf_err *err)
{
    struct sftp_reader *ra = NULL;
    struct sftp_reader *rb = NULL;
    HF_TRY(reader_open(s, a, 0, &ra, err));
    hf_assert(ra != NULL);
    enum hf_code rc = reader_open(s, b, 0, &rb, err);
    if (rc == HF_OK && rb != NULL) {
        rc = compare(ra, rb, is_same, err);
        sftp_reader_free(&rb->base);
    }
    sftp_reader_free(&ra->base);
    return rc;
}

/* ---- listing ---- */

struct entry {
    char *name;
    uint64_t size;
    int64_t time_ms;
};

struct listing {
    const struct hf_store_list_query *query;
    const char *dir;
    struct entry *items;
    size_t len;
    size_t cap;
};

static void listing_reset(struct listing *l)
{
    for (size_t i = 0; i < l->len; i++)
        hf_free(l->items[i].name);
    l->len = 0;
}

static bool is_temp(const char *name)
{
    size_t len = strlen(name);
    return len >= 4 && strcmp(name + len - 4, ".tmp") == 0;
}

/* One of ours, and a day old by the time in its name. */
static bool is_stale(const char *name)
{
    size_t len = strlen(name);
    if (len < SFTP_TEMP_HEX + 6 || name[len - 4 - SFTP_TEMP_HEX - 1] != '.')
        return false;
    const char *hex = name + len - 4 - SFTP_TEMP_HEX;
    int64_t made = 0;
    for (size_t i = 0; i < SFTP_TEMP_HEX; i++) {
        char c = (char)tolower((unsigned char)hex[i]);
        if (!isxdigit((unsigned char)c))
            return false;
        if (i < 8)
            made = made << 4 | (c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return hf_clock_wall_ms() / 1000 - made > TEMP_AGE_S;
}

static void remove_stale(struct hf_sftp_session *s, const char *dir, const char *name)
{
    HF_AUTO_FREE char *path = hf_path_join(dir, name);
    struct hf_err ignored = HF_ERR_INIT; /* cleaning is a courtesy; the next listing tries again */
    if (sftp_unlink(s, path, &ignored) != HF_OK)
        hf_err_reset(&ignored);
}

static void collect(struct listing *l, struct hf_sftp_session *s, const char *name,
                    const LIBSSH2_SFTP_ATTRIBUTES *a)
{
    bool is_dir = LIBSSH2_SFTP_S_ISDIR(a->permissions);
    bool is_wanted =
        l->query->is_prefixes ? is_dir : LIBSSH2_SFTP_S_ISREG(a->permissions) && !is_temp(name);
    if (!is_dir && is_temp(name) && is_stale(name))
        remove_stale(s, l->dir, name);
    if (!is_wanted || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return;
    if (l->query->start_after != NULL && strcmp(name, l->query->start_after) <= 0)
        return;
    if (l->len == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->items = hf_realloc(l->items, l->cap, sizeof(*l->items));
    }
    struct entry e = {hf_strdup(name), is_dir ? 0 : a->filesize,
                      is_dir ? 0 : (int64_t)a->mtime * 1000};
    l->items[l->len++] = e;
}

static enum hf_code call_list(struct hf_sftp_session *s, void *arg, struct hf_err *err)
{
    struct listing *l = arg;
    listing_reset(l);
    LIBSSH2_SFTP_HANDLE *h = libssh2_sftp_opendir(s->sftp, l->dir);
    if (h == NULL)
        return hf_sftp_fail(s, err, "list %s", l->dir);
    char name[ENTRY_MAX];
    LIBSSH2_SFTP_ATTRIBUTES a;
    enum hf_code rc = HF_OK;
    for (;;) {
        memset(&a, 0, sizeof(a));
        int n = libssh2_sftp_readdir(h, name, sizeof(name) - 1, &a);
        if (n == 0)
            break;
        if (n < 0 && n != LIBSSH2_ERROR_BUFFER_TOO_SMALL) {
            rc = hf_sftp_fail(s, err, "list %s", l->dir);
            break;
        }
        name[n > 0 ? n : 0] = '\0';
        if (n > 0)
            collect(l, s, name, &a);
    }
    if (libssh2_sftp_closedir(h) != 0)
        s->is_broken = true;
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static enum hf_code sftp_list(struct hf_store *s, const struct hf_store_list_query *q,
                              struct hf_err *err)
{
    HF_AUTO_FREE char *dir = sftp_path(s, q->prefix);
    struct listing l = {.query = q, .dir = dir};
    enum hf_code rc = sftp_call(of(s), call_list, &l, err);
    if (rc == HF_E_NOT_FOUND) {
        hf_err_reset(err);
        rc = HF_OK;
    } else if (rc != HF_OK) {
        hf_err_wrap(err, "%s", s->url);
    }
    if (l.len > 1)
        qsort(l.items, l.len, sizeof(*l.items), by_name);
    for (size_t i = 0; i < l.len && rc == HF_OK; i++) {
        struct hf_store_object o = {l.items[i].name, l.items[i].size, l.items[i].time_ms};
        rc = q->fn(q->arg, &o, err);
    }
    listing_reset(&l);
    hf_free(l.items);
    return rc;
}

/* ---- the store ---- */

static const struct hf_store_ops sftp_ops = {
    .type = "sftp",
    .times = HF_STORE_TIMES_SECONDS,
    .close = sftp_close,
    .writer_new = sftp_writer_new,
    .writer_write = sftp_writer_write,
    .writer_commit = sftp_writer_commit,
    .writer_abort = sftp_writer_abort,
    .reader_new = sftp_reader_new,
    .reader_read = sftp_reader_read,
    .reader_free = sftp_reader_free,
    .head = sftp_head,
    .list = sftp_list,
    .remove = sftp_remove,
};

enum hf_code hf_store_sftp_open(const struct hf_config_replica *conf, struct hf_store **out,
                                struct hf_err *err)
{
    struct hf_sftp_server *server = NULL;
    HF_TRY(hf_sftp_server_get(&conf->sftp, &server, err));
    struct sftp_store *st = hf_calloc(1, sizeof(*st));
    st->base.magic = HF_STORE_MAGIC;
    st->base.ops = &sftp_ops;
    st->base.url = hf_strdup(conf->url);
    st->server = server;
    st->root = hf_strdup(conf->path);
    st->piece = conf->sftp.concurrent_writes ? HF_LIMIT_SFTP_PIECE : PACKET;
    *out = &st->base;
    hf_assert(st->root[0] != '\0');
    return HF_OK;
}
