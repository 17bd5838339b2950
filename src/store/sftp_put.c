/*
 * The sftp back end's writer.
 *
 * Put: "<name>.<8 hex: time><8 hex: random>.tmp" beside the object, write, time, fsync (where the
 * server has fsync@openssh.com), close, rename. Version 3 of the protocol, which everybody speaks,
 * has a rename that fails when the new name exists: that is create-only. OpenSSH does it by link
 * and unlink, which is atomic; on a file system without hard links it looks first, which is not.
 * Replacing needs posix-rename (libssh2 1.11); before it the old object is removed first.
 *
 * When the connection breaks
 *   a put            that still has all its bytes (HF_LIMIT_SFTP_BUFFER) is sent again; a longer
 *                    one fails, for nobody knows what of it the server still has
 *   a rename         may have happened: if the temporary file is gone it has; if it is still there
 *                    and the name, too, their contents tell
 */
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "os/file.h"
#include "store/sftp_int.h"

enum {
    DIR_PERM = 0700, /* a replica is as private as its database */
    FILE_PERM = 0600,
};

struct sftp_writer {
    struct hf_store_writer base;
    char *path;
    char *temp;
    struct hf_buf buf;               /* not sent yet */
    uint64_t sent;                   /* bytes the server has said it wrote */
    struct hf_sftp_session *session; /* of handle, while there is one */
    LIBSSH2_SFTP_HANDLE *handle;
    int64_t time_ms;
    bool is_create_only;
    bool has_temp; /* on the server, perhaps */
};

static struct sftp_store *store_of(const struct sftp_writer *w)
{
    return (struct sftp_store *)w->base.store;
}

static void drop_handle(struct sftp_writer *w)
{
    if (w->handle != NULL)
        hf_sftp_drop_handle(w->session, w->handle);
    w->handle = NULL;
    w->session = NULL;
}

static void writer_free(struct sftp_writer *w)
{
    drop_handle(w);
    hf_buf_deinit(&w->buf);
    hf_free(w->path);
    hf_free(w->temp);
    hf_free(w);
}

enum hf_code sftp_writer_new(struct hf_store *s, const struct hf_store_put_args *args,
                             struct hf_store_writer **out, struct hf_err *err)
{
    (void)err;
    struct sftp_writer *w = hf_calloc(1, sizeof(*w));
    w->base.store = s;
    w->path = sftp_path(s, args->name);
    w->temp = hf_asprintf("%s.%08llx%08x.tmp", w->path,
                          (unsigned long long)(hf_clock_wall_ms() / 1000) & 0xffffffffULL,
                          hf_random_u32());
    hf_buf_init(&w->buf, HF_LIMIT_SFTP_BUFFER);
    w->time_ms = args->time_ms;
    w->is_create_only = (args->flags & HF_STORE_CREATE_ONLY) != 0;
    *out = &w->base;
    return HF_OK;
}

/* path[0..len) and the directories above it that are missing. */
static enum hf_code make_dirs(struct hf_sftp_session *s, const char *path, struct hf_err *err)
{
    HF_AUTO_FREE char *dir = hf_path_dir(path);
    if (libssh2_sftp_mkdir(s->sftp, dir, DIR_PERM) == 0)
        return HF_OK;
    enum hf_code rc = hf_sftp_fail(s, err, "make directory %s", dir);
    if (s->is_broken)
        return rc;
    if (rc == HF_E_NOT_FOUND && strchr(dir + 1, '/') != NULL) {
        HF_TRY(make_dirs(s, dir, err));
        if (libssh2_sftp_mkdir(s->sftp, dir, DIR_PERM) == 0)
            return HF_OK;
        rc = hf_sftp_fail(s, err, "make directory %s", dir);
    }
    /* OpenSSH answers "failure" when it is there already. */
    LIBSSH2_SFTP_ATTRIBUTES a;
    if (!s->is_broken && libssh2_sftp_stat(s->sftp, dir, &a) == 0) {
        hf_err_reset(err);
        return HF_OK;
    }
    return rc;
}

/* Opens the temporary file, emptied, unless it is open; the name is nobody else's. */
static enum hf_code open_temp(struct sftp_writer *w, struct hf_sftp_session *s, struct hf_err *err)
{
    if (w->handle != NULL)
        return HF_OK;
    unsigned long flags = LIBSSH2_FXF_WRITE | LIBSSH2_FXF_CREAT | LIBSSH2_FXF_TRUNC;
    for (int i = 0; w->handle == NULL; i++) {
        w->has_temp = true;
        w->handle = libssh2_sftp_open(s->sftp, w->temp, flags, FILE_PERM);
        if (w->handle != NULL)
            break;
        enum hf_code rc = hf_sftp_fail(s, err, "create %s", w->temp);
        if (rc != HF_E_NOT_FOUND || i > 0)
            return rc;
        hf_err_reset(err);
        HF_TRY(make_dirs(s, w->temp, err));
    }
    w->session = s;
    hf_sftp_keep(s);
    return HF_OK;
}

/* SFTP 3 has no status for a full disk: ask how full it is. */
static enum hf_code write_failed(struct sftp_writer *w, struct hf_sftp_session *s,
                                 struct hf_err *err)
{
    enum hf_code rc = hf_sftp_fail(s, err, "write %s", w->temp);
    LIBSSH2_SFTP_STATVFS v;
    if (rc == HF_E_IO && !s->is_broken &&
        libssh2_sftp_statvfs(s->sftp, w->temp, strlen(w->temp), &v) == 0 && v.f_bavail == 0)
        rc = hf_err_set(err, HF_E_NO_SPACE, "write %s: no space left on the server", w->temp);
    s->is_broken = true; /* pieces behind the failed one are still on their way */
    return rc;
}

/* All of buf; it is kept, so that it can be sent again. */
static enum hf_code send_buf(struct sftp_writer *w, struct hf_sftp_session *s, struct hf_err *err)
{
    for (size_t done = 0; done < w->buf.len;) {
        size_t len = w->buf.len - done;
        len = len > store_of(w)->piece ? store_of(w)->piece : len;
        ssize_t n = libssh2_sftp_write(w->handle, (const char *)w->buf.data + done, len);
        if (n < 0)
            return write_failed(w, s, err);
        done += (size_t)n;
    }
    return HF_OK;
}

/* Runs fn with the writer's own session, or, while nothing is on the server for good, with any. */
static enum hf_code write_call(struct sftp_writer *w, sftp_call_fn *fn, struct hf_err *err)
{
    if (w->sent == 0)
        return sftp_call(store_of(w), fn, w, err);
    struct hf_sftp_session *s = w->session;
    hf_sftp_acquire_same(s);
    enum hf_code rc = fn(s, w, err);
    hf_sftp_release(s);
    return rc;
}

/* The handle of an earlier try, and its session, are of no use any more. */
static void start_over(struct sftp_writer *w, const struct hf_sftp_session *s)
{
    if (w->session != s)
        drop_handle(w);
}

static enum hf_code call_flush(struct hf_sftp_session *s, void *arg, struct hf_err *err)
{
    struct sftp_writer *w = arg;
    start_over(w, s);
    HF_TRY(open_temp(w, s, err));
    return send_buf(w, s, err);
}

static enum hf_code flush(struct sftp_writer *w, struct hf_err *err)
{
    HF_TRY(write_call(w, call_flush, err));
    w->sent += w->buf.len;
    hf_buf_reset(&w->buf);
    return HF_OK;
}

enum hf_code sftp_writer_write(struct hf_store_writer *sw, const void *data, size_t len,
                               struct hf_err *err)
{
    struct sftp_writer *w = (struct sftp_writer *)sw;
    const uint8_t *p = data;
    while (len > 0) {
        if (w->buf.len == w->buf.max && flush(w, err) != HF_OK)
            return hf_err_wrap(err, "%s", w->base.store->url);
        size_t room = w->buf.max - w->buf.len;
        size_t n = len < room ? len : room;
        HF_TRY(hf_buf_append(&w->buf, p, n, err));
        p += n;
        len -= n;
    }
    return HF_OK;
}

static enum hf_code set_time(struct sftp_writer *w, struct hf_sftp_session *s, struct hf_err *err)
{
    unsigned long seconds = w->time_ms < 0 ? 0 : (unsigned long)(w->time_ms / 1000);
    LIBSSH2_SFTP_ATTRIBUTES a = {
        .flags = LIBSSH2_SFTP_ATTR_ACMODTIME, .atime = seconds, .mtime = seconds};
    if (libssh2_sftp_fsetstat(w->handle, &a) != 0)
        return hf_sftp_fail(s, err, "set the time of %s", w->temp);
    return HF_OK;
}

static enum hf_code sync_file(struct sftp_writer *w, struct hf_sftp_session *s, struct hf_err *err)
{
    if (s->has_no_sync || libssh2_sftp_fsync(w->handle) == 0)
        return HF_OK;
    enum hf_code rc = hf_sftp_fail(s, err, "sync %s", w->temp);
    if (rc != HF_E_UNSUPPORTED)
        return rc;
    hf_err_reset(err);
    s->has_no_sync = true;
    return HF_OK;
}

static enum hf_code call_finish(struct hf_sftp_session *s, void *arg, struct hf_err *err)
{
    struct sftp_writer *w = arg;
    HF_TRY(call_flush(s, w, err));
    HF_TRY(set_time(w, s, err));
    return sync_file(w, s, err);
}

/* ---- taking the name ---- */

struct rename_call {
    struct sftp_writer *w;
    int tries; /* of which the earlier ones may have happened */
};

static bool exists(struct hf_sftp_session *s, const char *path)
{
    LIBSSH2_SFTP_ATTRIBUTES a;
    if (libssh2_sftp_stat(s->sftp, path, &a) == 0)
        return true;
    (void)!hf_sftp_fail(s, NULL, "%s", path); /* notes a broken session */
    return false;
}

static enum hf_code rename_over(struct hf_sftp_session *s, struct sftp_writer *w,
                                struct hf_err *err)
{
#if LIBSSH2_VERSION_NUM >= 0x010b00
    if (libssh2_sftp_posix_rename(s->sftp, w->temp, w->path) == 0)
        return HF_OK;
    enum hf_code rc = hf_sftp_fail(s, err, "rename %s", w->temp);
    if (rc != HF_E_UNSUPPORTED)
        return rc;
#endif
    HF_TRY(sftp_unlink(s, w->path, err));
    if (libssh2_sftp_rename(s->sftp, w->temp, w->path) == 0)
        return HF_OK;
    return hf_sftp_fail(s, err, "rename %s", w->temp);
}

static enum hf_code call_rename(struct hf_sftp_session *s, void *arg, struct hf_err *err)
{
    struct rename_call *c = arg;
    struct sftp_writer *w = c->w;
    bool was_sent = c->tries++ > 0;
    if (libssh2_sftp_rename(s->sftp, w->temp, w->path) == 0)
        return HF_OK;
    enum hf_code rc = hf_sftp_fail(s, err, "rename %s", w->temp);
    if (s->is_broken)
        return rc;
    if (rc == HF_E_NOT_FOUND && was_sent && exists(s, w->path)) {
        hf_err_reset(err); /* only we know the temporary name: the earlier try has moved it */
        return HF_OK;
    }
    if (s->is_broken || (rc != HF_E_EXISTS && !exists(s, w->path)))
        return s->is_broken ? HF_E_IO : rc;
    if (!w->is_create_only) {
        hf_err_reset(err);
        return rename_over(s, w, err);
    }
    return hf_err_set(err, HF_E_EXISTS, "%s exists already", w->path);
}

/* Linked by a try whose answer was lost, in a server that died before it removed the old name? */
static enum hf_code settle(struct sftp_writer *w, struct hf_err *err)
{
    bool is_same = false;
    struct hf_err why = HF_ERR_INIT;
    if (sftp_same_content(w->base.store, w->temp, w->path, &is_same, &why) != HF_OK) {
        if (err != NULL)
            *err = why;
        return why.code;
    }
    if (!is_same)
        return HF_E_EXISTS;
    hf_err_reset(err);
    return sftp_call(store_of(w), sftp_unlink, w->temp, err);
}

static enum hf_code publish(struct sftp_writer *w, struct hf_err *err)
{
    HF_TRY(write_call(w, call_finish, err));
    drop_handle(w);
    struct rename_call c = {.w = w};
    enum hf_code rc = sftp_call(store_of(w), call_rename, &c, err);
    return rc == HF_E_EXISTS && c.tries > 1 ? settle(w, err) : rc;
}

/* Not when the server can't be reached: a listing removes what stays. */
static void drop_temp(struct sftp_writer *w, enum hf_code why)
{
    drop_handle(w);
    if (!w->has_temp || why == HF_E_IO || why == HF_E_TIMEOUT)
        return;
    struct hf_err ignored = HF_ERR_INIT;
    if (sftp_call(store_of(w), sftp_unlink, w->temp, &ignored) != HF_OK)
        hf_err_reset(&ignored);
}

enum hf_code sftp_writer_commit(struct hf_store_writer *sw, struct hf_err *err)
{
    struct sftp_writer *w = (struct sftp_writer *)sw;
    enum hf_code rc = publish(w, err);
    if (rc != HF_OK) {
        drop_temp(w, rc);
        hf_err_wrap(err, "%s", sw->store->url);
    }
    writer_free(w);
    return rc;
}

void sftp_writer_abort(struct hf_store_writer *sw)
{
    struct sftp_writer *w = (struct sftp_writer *)sw;
    drop_temp(w, HF_E_CANCELED);
    writer_free(w);
}
