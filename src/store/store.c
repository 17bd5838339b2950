#include "store/store.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "store/backend.h"
#include "store/stats.h"
#include "store/url.h"

enum hf_code hf_store_open(const char *url, struct hf_store **out, struct hf_err *err)
{
    struct hf_store_url u = {NULL, NULL};
    HF_TRY(hf_store_url_parse(url, &u, err));
    enum hf_code rc;
    if (strcmp(u.type, "file") == 0) {
        rc = hf_store_file_open(u.path, out, err);
    } else {
        rc = hf_err_set(err, HF_E_UNSUPPORTED, "replica type '%s' is not supported", u.type);
        hf_err_hint(err, "supported: a path or file:///path");
    }
    hf_store_url_deinit(&u);
    return rc;
}

void hf_store_close(struct hf_store *s)
{
    if (s == NULL)
        return;
    hf_assert_magic(s, HF_STORE_MAGIC);
    s->ops->close(s);
}

const char *hf_store_url(const struct hf_store *s)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    return s->url;
}

const char *hf_store_type(const struct hf_store *s)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    return s->ops->type;
}

char *hf_store_watch_dir(const struct hf_store *s, const char *name)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    return s->ops->watch_dir ? s->ops->watch_dir(s, name) : NULL;
}

/* Names come from our own code and from configuration paths: one rule for all back ends, so that a
 * name that works on files works everywhere. */
static enum hf_code check_name(const char *name, bool is_prefix, struct hf_err *err)
{
    size_t len = strlen(name);
    if (is_prefix && len == 0)
        return HF_OK;
    if (len == 0 || len >= HF_LIMIT_PATH / 2)
        return hf_err_set(err, HF_E_INVALID, "object name is %s", len ? "too long" : "empty");
    for (const char *p = name;;) {
        size_t n = strcspn(p, "/");
        bool is_dots = (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.');
        if (n == 0 || is_dots)
            return hf_err_set(err, HF_E_INVALID, "object name '%s' has an empty or dot part", name);
        if (p[n] == '\0')
            break;
        p += n + 1;
    }
    /* Unfinished objects carry this suffix on stores without atomic creation. */
    if (!is_prefix && len >= 4 && strcmp(name + len - 4, ".tmp") == 0)
        return hf_err_set(err, HF_E_INVALID, "object name '%s' ends in .tmp", name);
    return HF_OK;
}

enum hf_code hf_store_put(struct hf_store *s, const char *name, const void *data, size_t len,
                          int flags, int64_t time_ms, struct hf_err *err)
{
    struct hf_store_writer *w;
    HF_TRY(hf_store_writer_new(s, name, flags, time_ms, &w, err));
    enum hf_code rc = hf_store_writer_write(w, data, len, err);
    if (rc != HF_OK) {
        hf_store_writer_abort(w);
        return rc;
    }
    return hf_store_writer_commit(w, err);
}

enum hf_code hf_store_writer_new(struct hf_store *s, const char *name, int flags, int64_t time_ms,
                                 struct hf_store_writer **out, struct hf_err *err)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    hf_assert((flags & ~HF_STORE_CREATE_ONLY) == 0);
    HF_TRY(check_name(name, false, err));
    struct hf_store_put_args args = {name, flags, time_ms};
    return s->ops->writer_new(s, &args, out, err);
}

enum hf_code hf_store_writer_write(struct hf_store_writer *w, const void *data, size_t len,
                                   struct hf_err *err)
{
    hf_assert_magic(w->store, HF_STORE_MAGIC);
    if (len == 0)
        return HF_OK;
    uint64_t begin_ns = hf_clock_mono_ns();
    enum hf_code rc = w->store->ops->writer_write(w, data, len, err);
    if (rc == HF_OK)
        hf_store_stats_bytes(w->store->ops->type, HF_STORE_OP_PUT, len);
    else
        hf_store_stats_note(w->store->ops->type, HF_STORE_OP_PUT, begin_ns, rc);
    return rc;
}

enum hf_code hf_store_writer_commit(struct hf_store_writer *w, struct hf_err *err)
{
    hf_assert_magic(w->store, HF_STORE_MAGIC);
    const char *type = w->store->ops->type;
    uint64_t begin_ns = hf_clock_mono_ns();
    enum hf_code rc = w->store->ops->writer_commit(w, err);
    hf_store_stats_note(type, HF_STORE_OP_PUT, begin_ns, rc);
    return rc;
}

void hf_store_writer_abort(struct hf_store_writer *w)
{
    if (w == NULL)
        return;
    hf_assert_magic(w->store, HF_STORE_MAGIC);
    w->store->ops->writer_abort(w);
}

enum hf_code hf_store_reader_new(struct hf_store *s, const char *name, uint64_t offset,
                                 struct hf_store_reader **out, struct hf_err *err)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    HF_TRY(check_name(name, false, err));
    uint64_t begin_ns = hf_clock_mono_ns();
    enum hf_code rc = s->ops->reader_new(s, name, offset, out, err);
    hf_store_stats_note(s->ops->type, HF_STORE_OP_GET, begin_ns, rc);
    return rc;
}

enum hf_code hf_store_reader_read(struct hf_store_reader *r, void *buf, size_t len, size_t *got,
                                  struct hf_err *err)
{
    hf_assert_magic(r->store, HF_STORE_MAGIC);
    enum hf_code rc = r->store->ops->reader_read(r, buf, len, got, err);
    if (rc == HF_OK)
        hf_store_stats_bytes(r->store->ops->type, HF_STORE_OP_GET, *got);
    return rc;
}

void hf_store_reader_free(struct hf_store_reader *r)
{
    if (r == NULL)
        return;
    hf_assert_magic(r->store, HF_STORE_MAGIC);
    r->store->ops->reader_free(r);
}

enum hf_code hf_store_head(struct hf_store *s, const char *name, uint64_t *size, int64_t *time_ms,
                           struct hf_err *err)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    HF_TRY(check_name(name, false, err));
    uint64_t begin_ns = hf_clock_mono_ns();
    enum hf_code rc = s->ops->head(s, name, size, time_ms, err);
    hf_store_stats_note(s->ops->type, HF_STORE_OP_HEAD, begin_ns, rc);
    return rc;
}

static enum hf_code list(struct hf_store *s, const struct hf_store_list_query *q,
                         struct hf_err *err)
{
    uint64_t begin_ns = hf_clock_mono_ns();
    enum hf_code rc = s->ops->list(s, q, err);
    hf_store_stats_note(s->ops->type, HF_STORE_OP_LIST, begin_ns, rc);
    return rc;
}

enum hf_code hf_store_list(struct hf_store *s, const char *prefix, const char *start_after,
                           hf_store_list_fn *fn, void *arg, struct hf_err *err)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    HF_TRY(check_name(prefix, true, err));
    struct hf_store_list_query q = {prefix, start_after, false, fn, arg};
    return list(s, &q, err);
}

enum hf_code hf_store_list_prefixes(struct hf_store *s, const char *prefix, hf_store_list_fn *fn,
                                    void *arg, struct hf_err *err)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    HF_TRY(check_name(prefix, true, err));
    struct hf_store_list_query q = {prefix, NULL, true, fn, arg};
    return list(s, &q, err);
}

enum hf_code hf_store_delete(struct hf_store *s, const char *const *names, size_t n,
                             struct hf_err *err)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    for (size_t i = 0; i < n; i++)
        HF_TRY(check_name(names[i], false, err));
    if (n == 0)
        return HF_OK;
    uint64_t begin_ns = hf_clock_mono_ns();
    enum hf_code rc = s->ops->remove(s, names, n, err);
    hf_store_stats_note(s->ops->type, HF_STORE_OP_DELETE, begin_ns, rc);
    return rc;
}
