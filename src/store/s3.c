/*
 * S3 and what speaks its language (type s3): objects of one bucket below the replica's path, the
 * time of an object in its metadata (litestream-timestamp), a nonce of its writer beside it
 * (holdfast-nonce). Litestream names its level directories differently here: "0000/" to "0009/"
 * instead of "ltx/0/" to "ltx/9/"; s3_key() translates.
 *
 * What goes wrong, and what happens then:
 *   the answer to a put is lost        the next try finds the name taken; the nonce tells whose it
 * is 503, 429, 500, 408, reset          another try after a jittered wait, Retry-After honoured 409
 * ConditionalRequestConflict     another try: somebody else writes the name this moment our clock
 * is wrong                 403; the offset is learned from the Date of the answer another region
 * 301 or 400; the answer names it a body ends too early              read on from there, if the
 * object is still the same (ETag) two writers of one name            If-None-Match: * ; 412 for the
 * loser a server that ignores conditions   is found out before the first create-only put, and
 * refused
 *
 * Lists don't hold metadata: the times they tell are those of the upload.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/parse.h"
#include "codec/httpdate.h"
#include "codec/httpurl.h"
#include "codec/storexml.h"
#include "store/s3_int.h"

enum { TOKEN_MAX = 4096 };

/* --- requests --- */

char *s3_key(const struct s3 *s, const char *name)
{
    HF_AUTO_FREE char *key = hf_store_join(s->prefix, name);
    const char *level = strncmp(name, "../", 3) == 0 ? strstr(name, "/ltx/") : NULL;
    level = level != NULL ? level + 1 : name;
    bool is_level = strncmp(level, "ltx/", 4) == 0 && level[4] >= '0' && level[4] <= '9' &&
                    (level[5] == '/' || level[5] == '\0');
    if (!is_level)
        return hf_steal(&key);
    size_t above = strlen(key) - strlen(level);
    return hf_asprintf("%.*s000%c%s", (int)above, key, level[4], level + 5);
}

enum hf_code s3_request_init(struct s3 *s, const char *method, const char *name,
                             struct hf_s3_request *r, struct hf_err *err)
{
    hf_s3_request_init(r, method);
    const char *base = hf_s3_base_path(s->bucket);
    enum hf_code rc = hf_buf_append(&r->path, base, strlen(base), err);
    HF_AUTO_FREE char *key = name == NULL ? NULL : s3_key(s, name);
    if (rc == HF_OK && key != NULL)
        rc = hf_url_escape(&r->path, key, true, err);
    else if (rc == HF_OK && r->path.len > 1)
        r->path.len--; /* "/BUCKET" */
    if (rc != HF_OK)
        hf_s3_request_deinit(r);
    return rc;
}

bool s3_learn(struct s3 *s, const struct hf_http_head *head, const struct hf_buf *body)
{
    struct hf_storexml_error xml = {0};
    if (head->status >= 300 && body != NULL && body->len > 0)
        (void)!hf_storexml_error(body, &xml, NULL);
    return hf_s3_learn(s->bucket, head, xml.code, xml.region);
}

/* Answers that are worth another try though their status alone does not say so. */
static bool is_passing(const struct hf_http_reply *reply)
{
    static const char *const codes[] = {"ConditionalRequestConflict", "OperationAborted",
                                        "RequestTimeout", "SlowDown"};
    struct hf_storexml_error xml = {0};
    bool may_be = reply->head.status == 409 || reply->head.status == 400;
    if (!may_be || hf_storexml_error(&reply->body, &xml, NULL) != HF_OK)
        return false;
    for (size_t i = 0; i < HF_ARRAY_LEN(codes); i++) {
        if (strcmp(xml.code, codes[i]) == 0)
            return true;
    }
    return false;
}

enum hf_code s3_do(struct s3 *s, struct hf_s3_request *r, struct hf_attempts *a,
                   struct hf_http_reply *reply, struct hf_err *err)
{
    for (;;) {
        struct hf_http_request req;
        HF_TRY(hf_s3_authorize(s->bucket, r, &req, err));
        enum hf_code rc = hf_httpstore_do(hf_s3_http(s->bucket), &req, r->expects, reply, err);
        bool has_learned = rc == HF_OK && s3_learn(s, &reply->head, &reply->body);
        bool is_other = has_learned && !a->has_reauthorized;
        a->has_reauthorized |= is_other;
        struct hf_attempt t = hf_attempt_of(rc, reply);
        if (rc == HF_OK && is_passing(reply))
            t.status = 503;
        if (!is_other && !hf_attempts_again(a, t))
            return rc;
        hf_err_reset(err);
    }
}

/* --- errors --- */

static const struct {
    const char *code;
    enum hf_code rc;
    const char *hint;
} known[] = {
    {"NoSuchBucket", HF_E_NOT_FOUND, "create the bucket, or correct its name"},
    {"InvalidAccessKeyId", HF_E_DENIED, "check access-key-id"},
    {"NotSignedUp", HF_E_DENIED, "check access-key-id"},
    {"SignatureDoesNotMatch", HF_E_DENIED, "check secret-access-key and region"},
    {"AccessDenied", HF_E_DENIED,
     "the key needs s3:GetObject, PutObject, DeleteObject on the objects and ListBucket on the "
     "bucket"},
    {"RequestTimeTooSkewed", HF_E_DENIED, "check the clock of this machine"},
    {"ExpiredToken", HF_E_DENIED, "the session token has ended: restart with a new one"},
    {"InvalidToken", HF_E_DENIED, "check AWS_SESSION_TOKEN"},
    {"PermanentRedirect", HF_E_INVALID,
     "the bucket is at another endpoint: set region, or endpoint"},
    {"NotImplemented", HF_E_UNSUPPORTED, "the service does not know this request"},
    {"QuotaExceeded", HF_E_NO_SPACE, NULL},
    {"XMinioStorageFull", HF_E_NO_SPACE, NULL},
    {"EntityTooLarge", HF_E_LIMIT, NULL},
};

static enum hf_code code_of_status(int status)
{
    switch (status) {
    case 404:
        return HF_E_NOT_FOUND;
    case 401:
    case 403:
        return HF_E_DENIED;
    case 412:
        return HF_E_CONFLICT;
    case 413:
        return HF_E_LIMIT;
    case 501:
        return HF_E_UNSUPPORTED;
    case 507:
        return HF_E_NO_SPACE;
    case 409:
    case 429:
    case 500:
    case 503:
        return HF_E_BUSY;
    default:
        return HF_E_IO;
    }
}

enum hf_code s3_error(const struct s3 *s, const char *what, const struct hf_http_head *head,
                      const struct hf_buf *body, struct hf_err *err)
{
    struct hf_storexml_error xml = {0};
    if (body != NULL && body->len > 0)
        (void)!hf_storexml_error(body, &xml, NULL);
    const char *id = hf_http_head_get(head, "x-amz-request-id");
    enum hf_code rc = code_of_status(head->status);
    const char *hint = NULL;
    for (size_t i = 0; i < HF_ARRAY_LEN(known); i++) {
        if (strcmp(xml.code, known[i].code) == 0) {
            rc = known[i].rc;
            hint = known[i].hint;
        }
    }
    hf_err_set(err, rc, "%s: %s: %d %s%s%s%s%s%s", s->base.url, what, head->status, xml.code,
               xml.message[0] ? ": " : "", xml.message, id ? " (request " : "", id ? id : "",
               id ? ")" : "");
    if (hint != NULL)
        hf_err_hint(err, "%s", hint);
    return rc;
}

/* --- times --- */

void s3_stamp_format(int64_t time_ms, char out[32])
{
    char text[HF_TIME_TEXT];
    hf_clock_format(time_ms, text); /* ...05.120Z */
    size_t len = strlen(text) - 1;
    while (text[len - 1] == '0')
        len--;
    if (text[len - 1] == '.')
        len--;
    snprintf(out, 32, "%.*sZ", (int)len, text);
}

/* --- head --- */

static enum hf_code read_head(const struct hf_http_head *h, struct s3_head *out, struct hf_err *err)
{
    const char *size = hf_http_head_get(h, "Content-Length");
    const char *nonce = hf_http_head_get(h, "x-amz-meta-holdfast-nonce");
    const char *stamp = hf_http_head_get(h, "x-amz-meta-litestream-timestamp");
    const char *modified = hf_http_head_get(h, "Last-Modified");
    const char *etag = hf_http_head_get(h, "ETag");
    int64_t n = 0;
    if (size == NULL || hf_parse_i64(size, 0, INT64_MAX, &n, err) != HF_OK)
        return hf_err_set(err, HF_E_CORRUPT, "answer without a length");
    *out = (struct s3_head){.size = (uint64_t)n};
    if ((stamp == NULL || hf_parse_time_ms(stamp, &out->time_ms, NULL) != HF_OK) &&
        (modified == NULL || hf_http_date_parse(modified, &out->time_ms, NULL) != HF_OK))
        out->time_ms = 0;
    snprintf(out->nonce, sizeof(out->nonce), "%s", nonce ? nonce : "");
    snprintf(out->etag, sizeof(out->etag), "%s", etag ? etag : "");
    return HF_OK;
}

enum hf_code s3_head(struct s3 *s, const char *name, struct s3_head *out, struct hf_err *err)
{
    struct hf_s3_request r;
    struct hf_http_reply reply;
    struct hf_attempts a = {0};
    HF_TRY(s3_request_init(s, "HEAD", name, &r, err));
    hf_s3_add_encryption(s->bucket, &r, false);
    hf_http_reply_init(&reply, S3_ERROR_MAX);
    HF_AUTO_FREE char *what = hf_asprintf("look at %s", name);
    enum hf_code rc = s3_do(s, &r, &a, &reply, err);
    if (rc == HF_OK && reply.head.status != 200)
        rc = s3_error(s, what, &reply.head, NULL, err);
    else if (rc == HF_OK)
        rc = read_head(&reply.head, out, err);
    else
        hf_err_wrap(err, "%s: %s", s->base.url, what);
    hf_http_reply_deinit(&reply);
    hf_s3_request_deinit(&r);
    return rc;
}

static enum hf_code store_head(struct hf_store *base, const char *name, uint64_t *size,
                               int64_t *time_ms, struct hf_err *err)
{
    struct s3_head h = {0};
    HF_TRY(s3_head((struct s3 *)base, name, &h, err));
    if (size != NULL)
        *size = h.size;
    if (time_ms != NULL)
        *time_ms = h.time_ms;
    return HF_OK;
}

/* --- listing --- */

struct listing {
    const struct hf_store_list_query *q;
    const char *prefix; /* of keys: the store's, the query's, '/' */
    size_t prefix_len;
};

static enum hf_code on_item(void *arg, const struct hf_storexml_item *item, struct hf_err *err)
{
    struct listing *l = arg;
    if (strncmp(item->name, l->prefix, l->prefix_len) != 0)
        return hf_err_set(err, HF_E_CORRUPT, "listing of %s holds another prefix", l->prefix);
    const char *name = item->name + l->prefix_len;
    size_t len = strlen(name);
    HF_AUTO_FREE char *dir = item->is_prefix && len > 1 ? hf_strndup(name, len - 1) : NULL;
    if (item->is_prefix != l->q->is_prefixes || len == 0 || (item->is_prefix && dir == NULL))
        return HF_OK;
    struct hf_store_object o = {.name = dir != NULL ? dir : name, .size = item->size};
    if (!item->is_prefix && hf_parse_time_ms(item->time, &o.time_ms, NULL) != HF_OK)
        o.time_ms = 0;
    if (l->q->start_after != NULL && strcmp(o.name, l->q->start_after) <= 0)
        return HF_OK;
    return l->q->fn(l->q->arg, &o, err);
}

static enum hf_code list_query(const struct listing *l, const char *token, struct hf_buf *query,
                               struct hf_err *err)
{
    hf_buf_reset(query);
    if (token[0] != '\0')
        HF_TRY(hf_query_add(query, "continuation-token", token, err));
    if (!l->q->is_deep)
        HF_TRY(hf_query_add(query, "delimiter", "/", err));
    HF_TRY(hf_query_add(query, "list-type", "2", err));
    HF_TRY(hf_query_add(query, "prefix", l->prefix, err));
    if (l->q->start_after == NULL || token[0] != '\0')
        return HF_OK;
    HF_AUTO_FREE char *after = hf_asprintf("%s%s", l->prefix, l->q->start_after);
    return hf_query_add(query, "start-after", after, err);
}

static enum hf_code list_pages(struct s3 *s, struct hf_s3_request *r, struct hf_http_reply *reply,
                               struct listing *l, struct hf_err *err)
{
    struct hf_buf token;
    HF_AUTO_FREE char *what = hf_asprintf("list %s", l->prefix);
    hf_buf_init(&token, TOKEN_MAX);
    enum hf_code rc;
    do {
        struct hf_attempts a = {0};
        rc = list_query(l, hf_buf_str(&token), &r->query, err);
        if (rc == HF_OK)
            rc = s3_do(s, r, &a, reply, err);
        if (rc == HF_OK && reply->head.status != 200)
            rc = s3_error(s, what, &reply->head, &reply->body, err);
        else if (rc == HF_OK)
            rc = hf_storexml_list(&hf_storexml_s3, &reply->body, on_item, l, &token, err);
        else
            hf_err_wrap(err, "%s: %s", s->base.url, what);
    } while (rc == HF_OK && token.len > 0);
    hf_buf_deinit(&token);
    return rc;
}

static enum hf_code s3_list(struct hf_store *base, const struct hf_store_list_query *q,
                            struct hf_err *err)
{
    struct s3 *s = (struct s3 *)base;
    struct hf_s3_request r;
    struct hf_http_reply reply;
    HF_AUTO_FREE char *key = s3_key(s, q->prefix);
    bool is_levels = q->is_deep && strcmp(q->prefix, "ltx") == 0; /* "0000/" to "0009/" */
    HF_AUTO_FREE char *prefix =
        is_levels ? hf_asprintf("%s000", s->prefix) : hf_asprintf("%s%s", key, key[0] ? "/" : "");
    struct listing l = {q, prefix, strlen(prefix)};
    HF_TRY(s3_request_init(s, "GET", NULL, &r, err));
    hf_http_reply_init(&reply, HF_LIMIT_XML);
    enum hf_code rc = list_pages(s, &r, &reply, &l, err);
    hf_http_reply_deinit(&reply);
    hf_s3_request_deinit(&r);
    return rc;
}

/* --- life --- */

static void s3_close(struct hf_store *base)
{
    struct s3 *s = (struct s3 *)base;
    hf_s3_bucket_put(s->bucket);
    hf_free(s->prefix);
    hf_free(s->base.url);
    s->base.magic = 0;
    hf_free(s);
}

static struct hf_trial *s3_trial(struct hf_store *s)
{
    return hf_s3_trial(((struct s3 *)s)->bucket);
}

static const struct hf_store_ops s3_ops = {
    .type = "s3",
    .times = HF_STORE_TIMES_UPLOAD,
    .close = s3_close,
    .trial = s3_trial,
    .writer_new = s3_writer_new,
    .writer_write = s3_writer_write,
    .writer_commit = s3_writer_commit,
    .writer_abort = s3_writer_abort,
    .reader_new = s3_reader_new,
    .reader_read = s3_reader_read,
    .reader_free = s3_reader_free,
    .read_range = s3_read_range,
    .has_deep_lists = true,
    .head = store_head,
    .list = s3_list,
    .remove = s3_remove,
    .put_if = s3_put_if,
    .get = s3_get,
};

enum hf_code hf_store_s3_open(const struct hf_config_replica *conf, struct hf_store **out,
                              struct hf_err *err)
{
    struct hf_s3_bucket *bucket = NULL;
    enum hf_code rc = hf_s3_bucket_get(conf, &bucket, err);
    if (rc != HF_OK)
        return hf_err_wrap(err, "%s", conf->url);
    int64_t part = conf->s3.part_size_bytes;
    struct s3 *s = hf_calloc(1, sizeof(*s));
    s->base =
        (struct hf_store){.magic = HF_STORE_MAGIC, .ops = &s3_ops, .url = hf_strdup(conf->url)};
    s->base.allows_unconditional = conf->s3.allow_unconditional_puts;
    s->bucket = bucket;
    s->prefix = hf_asprintf("%s%s", conf->path, conf->path[0] ? "/" : "");
    s->concurrency = (unsigned)conf->s3.concurrency;
    s->part_size = part < HF_LIMIT_S3_PART_MIN   ? HF_LIMIT_S3_PART_MIN
                   : part > HF_LIMIT_S3_PART_MAX ? HF_LIMIT_S3_PART_MAX
                                                 : (size_t)part;
    *out = &s->base;
    return HF_OK;
}
