#include "store/store.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "config/config.h"
#include "store/backend.h"
#include "store/crypt.h"
#include "store/seal.h"
#include "store/stats.h"
#include "store/url.h"

/* Types of Litestream's that are not built in, and what to use instead. */
static const struct {
    enum hf_replica_type type;
    const char *instead;
} alternatives[] = {
    {HF_REPLICA_GS, "Google Cloud Storage speaks S3: type s3 with endpoint "
                    "https://storage.googleapis.com and an HMAC key"}, /* the first put tries it */
    {HF_REPLICA_OSS, "Alibaba's OSS speaks S3: type s3 with endpoint "
                     "https://s3.oss-REGION.aliyuncs.com"},
    {HF_REPLICA_NATS, "use s3, abs, sftp or file"},
    {HF_REPLICA_WEBDAV, "use sftp to the same server, or mount it and use file"},
};

static enum hf_code refuse_type(enum hf_replica_type type, struct hf_err *err)
{
    hf_err_set(err, HF_E_UNSUPPORTED, "replica type '%s' is not supported",
               hf_replica_type_word(type));
    for (size_t i = 0; i < HF_ARRAY_LEN(alternatives); i++) {
        if (alternatives[i].type == type)
            hf_err_hint(err, "%s", alternatives[i].instead);
    }
    return HF_E_UNSUPPORTED;
}

static enum hf_code open_plain(const struct hf_config_replica *conf, struct hf_store **out,
                               struct hf_err *err)
{
    switch (conf->type) {
    case HF_REPLICA_FILE:
        return hf_store_file_open(conf->path, out, err);
    case HF_REPLICA_ABS:
        return hf_store_azure_open(conf, out, err);
    case HF_REPLICA_SFTP:
        return hf_store_sftp_open(conf, out, err);
    case HF_REPLICA_S3:
        return hf_store_s3_open(conf, out, err);
    case HF_REPLICA_GS:
    case HF_REPLICA_NATS:
    case HF_REPLICA_WEBDAV:
    case HF_REPLICA_OSS:
        break;
    }
    return refuse_type(conf->type, err);
}

enum hf_code hf_store_open_replica(const struct hf_config_replica *conf, struct hf_store **out,
                                   struct hf_err *err)
{
    struct hf_store *plain = NULL;
    HF_TRY(open_plain(conf, &plain, err));
    if (conf->encryption.enabled)
        return hf_store_crypt_open(plain, &conf->encryption, conf->path, out, err);
    *out = plain;
    return HF_OK;
}

static enum hf_code open_file(const char *path, struct hf_store **out, struct hf_err *err)
{
    struct hf_config_encryption encryption;
    const char *key_file = NULL;
    struct hf_store *plain = NULL;
    HF_TRY(hf_store_file_open(path, &plain, err));
    hf_config_encryption_from_env(&encryption, &key_file);
    if (encryption.enabled)
        return hf_store_crypt_open(plain, &encryption, path, out, err);
    *out = plain;
    return HF_OK;
}

enum hf_code hf_store_open(const char *url, struct hf_store **out, struct hf_err *err)
{
    struct hf_store_url u = {NULL, NULL};
    HF_TRY(hf_store_url_parse(url, &u, err));
    enum hf_code rc;
    if (strcmp(u.type, "file") == 0) {
        rc = open_file(u.path, out, err);
    } else {
        struct hf_config *cfg = NULL;
        rc = hf_config_from_args(NULL, &url, 1, &cfg, err);
        if (rc == HF_OK)
            rc = hf_store_open_replica(&cfg->dbs[0]->replicas[0], out, err);
        hf_config_free(cfg);
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

bool hf_store_is_local(const struct hf_store *s)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    return s->ops->is_local;
}

enum hf_store_times hf_store_times(const struct hf_store *s)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    return s->ops->times;
}

bool hf_store_is_encrypted(const struct hf_store *s)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    return s->is_sealed;
}

char *hf_store_watch_dir(const struct hf_store *s, const char *name)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    return s->ops->watch_dir ? s->ops->watch_dir(s, name) : NULL;
}

char *hf_store_join(const char *root, const char *name)
{
    size_t len = strlen(root);
    while (len > 0 && root[len - 1] == '/')
        len--;
    for (; strncmp(name, "../", 3) == 0; name += 3) {
        while (len > 0 && root[len - 1] != '/')
            len--;
        while (len > 0 && root[len - 1] == '/')
            len--;
    }
    bool has_slash = (len > 0 || root[0] == '/') && name[0] != '\0';
    return hf_asprintf("%.*s%s%s", (int)len, root, has_slash ? "/" : "", name);
}

/* Names come from our own code and from configuration paths: one rule for all back ends, so that a
 * name that works on files works everywhere. */
static enum hf_code check_name(const char *name, bool is_prefix, struct hf_err *err)
{
    while (strncmp(name, "../", 3) == 0) /* see store.h */
        name += 3;
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
    struct hf_store_put_args args = {.name = name, .flags = flags, .time_ms = time_ms};
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
    if (rc == HF_OK && offset == 0 && !s->is_sealed)
        (*out)->object = hf_strdup(name);
    return rc;
}

/* An encrypted object is not ours to make sense of without a key: said so, instead of "corrupt". */
static enum hf_code check_sealed(const struct hf_store *s, const char *object, const uint8_t *data,
                                 size_t len, struct hf_err *err)
{
    char id[HF_KEY_ID_TEXT];
    if (!hf_seal_is_sealed(data, len) || len < HF_SEAL_HEADER)
        return HF_OK;
    hf_seal_key_id(data, id);
    hf_err_set(err, HF_E_DENIED, "%s/%s: encrypted with key %s, and no key is given", s->url,
               object, id);
    hf_err_hint(err, "encryption.key-file in the configuration; with a URL "
                     "HOLDFAST_ENCRYPTION_KEY_FILE or HOLDFAST_ENCRYPTION_KEY");
    return HF_E_DENIED;
}

enum hf_code hf_store_reader_read(struct hf_store_reader *r, void *buf, size_t len, size_t *got,
                                  struct hf_err *err)
{
    hf_assert_magic(r->store, HF_STORE_MAGIC);
    enum hf_code rc = r->store->ops->reader_read(r, buf, len, got, err);
    if (rc == HF_OK)
        hf_store_stats_bytes(r->store->ops->type, HF_STORE_OP_GET, *got);
    if (rc == HF_OK && r->object != NULL)
        rc = check_sealed(r->store, r->object, buf, *got, err);
    hf_free(r->object);
    r->object = NULL;
    return rc;
}

void hf_store_reader_free(struct hf_store_reader *r)
{
    if (r == NULL)
        return;
    hf_assert_magic(r->store, HF_STORE_MAGIC);
    hf_free(r->object);
    r->store->ops->reader_free(r);
}

bool hf_store_reader_is_light(const struct hf_store_reader *r)
{
    hf_assert_magic(r->store, HF_STORE_MAGIC);
    return r->store->ops->reader_is_light != NULL && r->store->ops->reader_is_light(r);
}

bool hf_store_has_ranges(const struct hf_store *s)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    return s->ops->read_range != NULL;
}

enum hf_code hf_store_read_range(struct hf_store *s, const char *name, uint64_t offset, size_t len,
                                 struct hf_buf *out, struct hf_err *err)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    hf_assert(s->ops->read_range != NULL && len > 0);
    HF_TRY(check_name(name, false, err));
    uint64_t begin_ns = hf_clock_mono_ns();
    struct hf_store_range range = {offset, len};
    hf_buf_reset(out);
    enum hf_code rc = s->ops->read_range(s, name, range, out, err);
    hf_store_stats_note(s->ops->type, HF_STORE_OP_GET, begin_ns, rc);
    if (rc == HF_OK)
        hf_store_stats_bytes(s->ops->type, HF_STORE_OP_GET, out->len);
    if (rc == HF_OK && offset == 0 && !s->is_sealed)
        rc = check_sealed(s, name, out->data, out->len, err);
    return rc;
}

bool hf_store_reader_rest(struct hf_store_reader *r)
{
    hf_assert_magic(r->store, HF_STORE_MAGIC);
    if (r->store->ops->reader_rest == NULL)
        return false;
    r->store->ops->reader_rest(r);
    return true;
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
    struct hf_store_list_query q = {
        .prefix = prefix, .start_after = start_after, .fn = fn, .arg = arg};
    return list(s, &q, err);
}

bool hf_store_has_deep_lists(const struct hf_store *s)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    return s->ops->has_deep_lists;
}

enum hf_code hf_store_list_deep(struct hf_store *s, const char *prefix, hf_store_list_fn *fn,
                                void *arg, struct hf_err *err)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    hf_assert(s->ops->has_deep_lists);
    HF_TRY(check_name(prefix, true, err));
    struct hf_store_list_query q = {.prefix = prefix, .is_deep = true, .fn = fn, .arg = arg};
    return list(s, &q, err);
}

enum hf_code hf_store_list_prefixes(struct hf_store *s, const char *prefix, hf_store_list_fn *fn,
                                    void *arg, struct hf_err *err)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    HF_TRY(check_name(prefix, true, err));
    struct hf_store_list_query q = {.prefix = prefix, .is_prefixes = true, .fn = fn, .arg = arg};
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

enum hf_code hf_store_put_if(struct hf_store *s, const char *name, const void *data, size_t len,
                             const char *etag, char etag_out[HF_STORE_ETAG], struct hf_err *err)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    HF_TRY(check_name(name, false, err));
    if (s->ops->put_if == NULL)
        return hf_err_set(err, HF_E_UNSUPPORTED, "%s: no conditional writes there", s->url);
    struct hf_store_put_if_args args = {
        .name = name, .data = data, .len = len, .etag = etag, .time_ms = hf_clock_wall_ms()};
    return s->ops->put_if(s, &args, etag_out, err);
}

enum hf_code hf_store_get(struct hf_store *s, const char *name, struct hf_buf *out,
                          char etag_out[HF_STORE_ETAG], struct hf_err *err)
{
    hf_assert_magic(s, HF_STORE_MAGIC);
    HF_TRY(check_name(name, false, err));
    if (s->ops->get == NULL)
        return hf_err_set(err, HF_E_UNSUPPORTED, "%s: no versions there", s->url);
    return s->ops->get(s, name, out, etag_out, err);
}
