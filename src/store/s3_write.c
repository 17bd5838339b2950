/*
 * Putting objects: one PUT for what fits a part, else a multipart upload, a few parts of it under
 * way at once. A condition stands on the call that makes the object visible, so parts of a loser
 * are never seen.
 *
 * Services exist that drop If-None-Match without a word: hf_store_check_create_only tries it. Where
 * that is allowed (allow-unconditional-puts) a name is looked up before it is written: of two
 * writers that meet only those of the very same moment do not find out.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/storexml.h"
#include "codec/xml.h"
#include "store/parts.h"
#include "store/s3_int.h"

enum { PARTS_MAX = 10000, COMPLETE_MAX = 2 << 20, UPLOAD_ID_MAX = 1024 };

/* What the call that makes an object visible carries. */
struct condition {
    bool is_new;      /* only if there is none */
    const char *etag; /* only if it is still this one; NULL: whatever it is */
};

struct mark {
    const char *name;
    struct condition condition;
    bool is_looked_up;  /* in place of If-None-Match */
    const char *key_id; /* NULL: not encrypted */
    char nonce[HF_NONCE_TEXT];
    char stamp[32];
};

static void mark_init(struct mark *m, const char *name, int64_t time_ms, struct condition c)
{
    *m = (struct mark){.name = name, .condition = c};
    hf_nonce_make(m->nonce);
    s3_stamp_format(time_ms, m->stamp);
}

/* What an object carries from its first request on. */
static void add_mark(const struct s3 *s, struct hf_s3_request *r, const struct mark *m)
{
    hf_s3_request_header(r, "Content-Type", "application/octet-stream");
    hf_s3_request_header(r, "x-amz-meta-holdfast-nonce", m->nonce);
    hf_s3_request_header(r, "x-amz-meta-litestream-timestamp", m->stamp);
    if (m->key_id != NULL)
        hf_s3_request_header(r, "x-amz-meta-holdfast-key", m->key_id);
    hf_s3_add_encryption(s->bucket, r, true);
}

static void add_condition(struct hf_s3_request *r, const struct mark *m)
{
    if (m->condition.is_new && !m->is_looked_up)
        hf_s3_request_header(r, "If-None-Match", "*");
    else if (m->condition.etag != NULL)
        hf_s3_request_header(r, "If-Match", m->condition.etag);
}

/* --- whose is it? --- */

struct lookup {
    struct s3 *s;
    const char *name;
    struct s3_head head;
};

static enum hf_code read_nonce(void *arg, char out[HF_NONCE_TEXT], struct hf_err *err)
{
    struct lookup *l = arg;
    HF_TRY(s3_head(l->s, l->name, &l->head, err));
    memcpy(out, l->head.nonce, HF_NONCE_TEXT);
    return HF_OK;
}

/* After a conditional call. A loser without doubt is told so; after a lost answer the object
 * itself says who won. */
static enum hf_code settle(struct s3 *s, const struct mark *m, enum hf_code rc, bool is_unknown,
                           char etag[HF_STORE_ETAG], struct hf_err *err)
{
    struct lookup l = {.s = s, .name = m->name};
    bool is_conditional = m->condition.is_new || m->condition.etag != NULL;
    if (rc == HF_OK || !is_unknown || !is_conditional || rc == HF_E_CANCELED)
        return rc;
    enum hf_code end = hf_unknown_resolve(rc, m->nonce, read_nonce, &l, err);
    if (end == HF_OK && etag != NULL)
        memcpy(etag, l.head.etag, HF_STORE_ETAG);
    if (end == HF_E_EXISTS && !m->condition.is_new)
        return hf_err_set(err, HF_E_CONFLICT, "%s was changed by somebody else", m->name);
    return end;
}

/* The error that an answer to a conditional call is. */
static enum hf_code refused(struct s3 *s, const struct mark *m, const char *what,
                            const struct hf_http_reply *reply, struct hf_err *err)
{
    enum hf_code rc = s3_error(s, what, &reply->head, &reply->body, err);
    if (reply->head.status == 412 && m->condition.is_new)
        return hf_err_set(err, HF_E_EXISTS, "%s: %s exists already", s->base.url, m->name);
    if (reply->head.status == 404 && m->condition.etag != NULL)
        return hf_err_set(err, HF_E_CONFLICT, "%s: %s is gone", s->base.url, m->name);
    return rc;
}

static void take_etag(const struct hf_http_reply *reply, char etag[HF_STORE_ETAG])
{
    const char *tag = hf_http_head_get(&reply->head, "ETag");
    if (etag != NULL)
        snprintf(etag, HF_STORE_ETAG, "%s", tag != NULL ? tag : "");
}

static enum hf_code put_object(struct s3 *s, const struct mark *m, const struct hf_buf *body,
                               char etag[HF_STORE_ETAG], struct hf_err *err)
{
    struct hf_s3_request r;
    struct hf_http_reply reply;
    struct hf_attempts a = {0};
    HF_TRY(s3_request_init(s, "PUT", m->name, &r, err));
    add_mark(s, &r, m);
    add_condition(&r, m);
    r.body = body->data;
    r.body_len = body->len;
    HF_AUTO_FREE char *what = hf_asprintf("put %s", m->name);
    hf_http_reply_init(&reply, S3_ERROR_MAX);
    enum hf_code rc = s3_do(s, &r, &a, &reply, err);
    if (rc == HF_OK && reply.head.status != 200 && reply.head.status != 201)
        rc = refused(s, m, what, &reply, err);
    else if (rc == HF_OK)
        take_etag(&reply, etag);
    else
        hf_err_wrap(err, "%s: %s", s->base.url, what);
    hf_http_reply_deinit(&reply);
    hf_s3_request_deinit(&r);
    return settle(s, m, rc, a.is_unknown, etag, err);
}

enum hf_code s3_put_if(struct hf_store *base, const struct hf_store_put_if_args *args,
                       char etag[HF_STORE_ETAG], struct hf_err *err)
{
    struct mark m;
    struct hf_buf body;
    hf_buf_init(&body, args->len);
    mark_init(&m, args->name, args->time_ms, (struct condition){args->etag == NULL, args->etag});
    m.key_id = args->key_id;
    enum hf_code rc = hf_buf_append(&body, args->data, args->len, err);
    if (rc == HF_OK)
        rc = put_object((struct s3 *)base, &m, &body, etag, err);
    hf_buf_deinit(&body);
    return rc;
}

/* --- the streaming writer --- */

struct s3_writer {
    struct hf_store_writer base;
    struct mark mark;
    char *name;
    struct hf_buf buf; /* of one part */
    struct hf_parts *parts;
    struct hf_buf upload; /* id; empty: not begun */
    const char *upload_id;
};

static struct s3 *store_of(const struct s3_writer *w)
{
    return (struct s3 *)w->base.store;
}

static void writer_free(struct s3_writer *w)
{
    hf_parts_free(w->parts);
    hf_buf_deinit(&w->buf);
    hf_buf_deinit(&w->upload);
    hf_free(w->name);
    hf_free(w);
}

/* One request of the upload; want: its good status. The reply is the caller's. */
static enum hf_code upload_call(struct s3_writer *w, struct hf_s3_request *r, const char *what,
                                struct hf_http_reply *reply, struct hf_err *err)
{
    struct hf_attempts a = {0};
    enum hf_code rc = s3_do(store_of(w), r, &a, reply, err);
    if (rc == HF_OK && reply->head.status != 200)
        return s3_error(store_of(w), what, &reply->head, &reply->body, err);
    return rc == HF_OK ? HF_OK : hf_err_wrap(err, "%s: %s", w->base.store->url, what);
}

static enum hf_code on_upload_id(void *arg, const char *path, const char *text, struct hf_err *err)
{
    struct hf_buf *id = arg;
    if (strcmp(path, "InitiateMultipartUploadResult/UploadId") != 0)
        return HF_OK;
    hf_buf_reset(id);
    return hf_buf_append(id, text, strlen(text), err);
}

static enum hf_code begin(struct s3_writer *w, struct hf_err *err)
{
    static const struct hf_xml_events events = {NULL, on_upload_id};
    struct s3 *s = store_of(w);
    struct hf_s3_request r;
    struct hf_http_reply reply;
    HF_TRY(s3_request_init(s, "POST", w->name, &r, err));
    HF_AUTO_FREE char *what = hf_asprintf("begin %s", w->name);
    hf_http_reply_init(&reply, S3_ERROR_MAX);
    add_mark(s, &r, &w->mark);
    enum hf_code rc = hf_query_add(&r.query, "uploads", "", err);
    if (rc == HF_OK)
        rc = upload_call(w, &r, what, &reply, err);
    if (rc == HF_OK)
        rc = hf_xml_read(reply.body.data, reply.body.len, &events, &w->upload, err);
    if (rc == HF_OK && w->upload.len == 0)
        rc = hf_err_set(err, HF_E_CORRUPT, "%s: answer without an upload id", what);
    hf_http_reply_deinit(&reply);
    hf_s3_request_deinit(&r);
    return rc;
}

/* Quotes of an ETag are text in XML; other signs that are not do not occur in one. */
static enum hf_code note_part(struct hf_part *part, const struct hf_http_reply *reply,
                              struct hf_err *err)
{
    const char *etag = hf_http_head_get(&reply->head, "ETag");
    if (etag == NULL || strpbrk(etag, "<>&") != NULL || strlen(etag) >= sizeof(part->etag))
        return hf_err_set(err, HF_E_CORRUPT, "answer to a part without an ETag");
    memcpy(part->etag, etag, strlen(etag) + 1);
    return HF_OK;
}

/* A part has no condition: again and again is harmless. On a thread of the parts'. */
static enum hf_code put_part(void *arg, struct hf_part *part, struct hf_err *err)
{
    struct s3_writer *w = arg;
    struct s3 *s = store_of(w);
    struct hf_s3_request r;
    struct hf_http_reply reply;
    char number[16];
    HF_TRY(s3_request_init(s, "PUT", w->name, &r, err));
    HF_AUTO_FREE char *what = hf_asprintf("put part %u of %s", part->number + 1, w->name);
    hf_http_reply_init(&reply, S3_ERROR_MAX);
    hf_s3_add_encryption(s->bucket, &r, false);
    hf_s3_request_header(&r, "Content-Type", "application/octet-stream");
    r.body = part->body->data;
    r.body_len = part->body->len;
    snprintf(number, sizeof(number), "%u", part->number + 1);
    enum hf_code rc = hf_query_add(&r.query, "partNumber", number, err);
    if (rc == HF_OK)
        rc = hf_query_add(&r.query, "uploadId", w->upload_id, err);
    if (rc == HF_OK)
        rc = upload_call(w, &r, what, &reply, err);
    if (rc == HF_OK)
        rc = note_part(part, &reply, err);
    hf_http_reply_deinit(&reply);
    hf_s3_request_deinit(&r);
    return rc;
}

enum hf_code s3_writer_new(struct hf_store *base, const struct hf_store_put_args *args,
                           struct hf_store_writer **out, struct hf_err *err)
{
    struct s3 *s = (struct s3 *)base;
    struct condition c = {(args->flags & HF_STORE_CREATE_ONLY) != 0, NULL};
    bool is_ignored = false;
    if (c.is_new)
        HF_TRY(hf_store_check_create_only(base, &is_ignored, err));
    struct s3_writer *w = hf_calloc(1, sizeof(*w));
    w->base.store = base;
    w->name = hf_strdup(args->name);
    mark_init(&w->mark, w->name, args->time_ms, c);
    w->mark.key_id = args->key_id;
    w->mark.is_looked_up = is_ignored;
    hf_buf_init(&w->buf, s->part_size);
    w->parts = hf_parts_new(s->part_size, s->concurrency, put_part, w);
    hf_buf_init(&w->upload, UPLOAD_ID_MAX);
    *out = &w->base;
    return HF_OK;
}

static enum hf_code flush(struct s3_writer *w, struct hf_err *err)
{
    if (hf_parts_count(w->parts) == PARTS_MAX) {
        hf_err_set(err, HF_E_LIMIT, "put %s: more than %d parts", w->name, PARTS_MAX);
        hf_err_hint(err, "raise part-size");
        return HF_E_LIMIT;
    }
    if (w->upload.len == 0) {
        HF_TRY(begin(w, err));
        w->upload_id = hf_buf_str(&w->upload);
    }
    return hf_parts_send(w->parts, &w->buf, err);
}

enum hf_code s3_writer_write(struct hf_store_writer *base, const void *data, size_t len,
                             struct hf_err *err)
{
    struct s3_writer *w = (struct s3_writer *)base;
    const uint8_t *p = data;
    while (len > 0) {
        if (w->buf.len == w->buf.max)
            HF_TRY(flush(w, err));
        size_t room = w->buf.max - w->buf.len;
        size_t n = len < room ? len : room;
        HF_TRY(hf_buf_append(&w->buf, p, n, err));
        p += n;
        len -= n;
    }
    return HF_OK;
}

/* 200 may still bring an error: the service begins to answer before it knows. */
static enum hf_code check_completed(struct s3_writer *w, struct hf_http_reply *reply,
                                    const char *what, struct hf_err *err)
{
    struct hf_storexml_error xml = {0};
    if (reply->head.status != 200)
        return refused(store_of(w), &w->mark, what, reply, err);
    if (reply->body.len == 0 || hf_storexml_error(&reply->body, &xml, NULL) != HF_OK)
        return HF_OK;
    if (strcmp(xml.code, "PreconditionFailed") == 0 && w->mark.condition.is_new)
        return hf_err_set(err, HF_E_EXISTS, "%s exists already", w->name);
    return hf_err_set(err, HF_E_BUSY, "%s: %s: %s: %s", w->base.store->url, what, xml.code,
                      xml.message);
}

static enum hf_code complete_body(const struct s3_writer *w, struct hf_buf *out, struct hf_err *err)
{
    HF_TRY(hf_buf_appendf(out, err, "<CompleteMultipartUpload>"));
    for (unsigned i = 0; i < hf_parts_count(w->parts); i++)
        HF_TRY(hf_buf_appendf(out, err, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>",
                              i + 1, hf_parts_etag(w->parts, i)));
    return hf_buf_appendf(out, err, "</CompleteMultipartUpload>");
}

static enum hf_code complete(struct s3_writer *w, struct hf_err *err)
{
    struct s3 *s = store_of(w);
    struct hf_s3_request r;
    struct hf_http_reply reply;
    struct hf_buf body;
    struct hf_attempts a = {0};
    HF_TRY(s3_request_init(s, "POST", w->name, &r, err));
    HF_AUTO_FREE char *what = hf_asprintf("complete %s", w->name);
    hf_http_reply_init(&reply, S3_ERROR_MAX);
    hf_buf_init(&body, COMPLETE_MAX);
    hf_s3_request_header(&r, "Content-Type", "application/xml");
    add_condition(&r, &w->mark);
    enum hf_code rc = hf_query_add(&r.query, "uploadId", hf_buf_str(&w->upload), err);
    if (rc == HF_OK)
        rc = complete_body(w, &body, err);
    r.body = body.data;
    r.body_len = body.len;
    if (rc == HF_OK)
        rc = s3_do(s, &r, &a, &reply, err);
    if (rc == HF_OK)
        rc = check_completed(w, &reply, what, err);
    else
        hf_err_wrap(err, "%s: %s", s->base.url, what);
    /* An upload that is gone was completed by the try whose answer was lost, or by nobody. */
    bool is_unknown = a.is_unknown || reply.head.status == 404;
    hf_buf_deinit(&body);
    hf_http_reply_deinit(&reply);
    hf_s3_request_deinit(&r);
    return settle(s, &w->mark, rc, is_unknown, NULL, err);
}

/* Parts cost money until they are dropped. */
static void drop_upload(struct s3_writer *w)
{
    struct hf_s3_request r;
    struct hf_http_reply reply;
    struct hf_attempts a = {0};
    if (w->upload.len == 0 || s3_request_init(store_of(w), "DELETE", w->name, &r, NULL) != HF_OK)
        return;
    hf_http_reply_init(&reply, S3_ERROR_MAX);
    if (hf_query_add(&r.query, "uploadId", hf_buf_str(&w->upload), NULL) == HF_OK)
        (void)!s3_do(store_of(w), &r, &a, &reply, NULL);
    hf_http_reply_deinit(&reply);
    hf_s3_request_deinit(&r);
}

void s3_writer_abort(struct hf_store_writer *base)
{
    struct s3_writer *w = (struct s3_writer *)base;
    (void)!hf_parts_wait(w->parts, NULL); /* a part that comes after the drop would stay */
    drop_upload(w);
    writer_free(w);
}

static enum hf_code look_up(struct s3_writer *w, struct hf_err *err)
{
    struct s3_head head;
    struct hf_err local = HF_ERR_INIT;
    enum hf_code rc = s3_head(store_of(w), w->name, &head, &local);
    if (rc == HF_E_NOT_FOUND)
        return HF_OK;
    if (rc == HF_OK)
        return hf_err_set(err, HF_E_EXISTS, "%s: %s exists already", w->base.store->url, w->name);
    if (err != NULL)
        *err = local;
    return rc;
}

enum hf_code s3_writer_commit(struct hf_store_writer *base, struct hf_err *err)
{
    struct s3_writer *w = (struct s3_writer *)base;
    enum hf_code rc = w->mark.is_looked_up ? look_up(w, err) : HF_OK;
    if (rc != HF_OK) {
        s3_writer_abort(base);
        return rc;
    }
    if (w->upload.len == 0) {
        rc = put_object(store_of(w), &w->mark, &w->buf, NULL, err);
    } else {
        if (w->buf.len > 0)
            rc = flush(w, err);
        enum hf_code sent = hf_parts_wait(w->parts, rc == HF_OK ? err : NULL);
        if (rc == HF_OK)
            rc = sent;
        if (rc == HF_OK)
            rc = complete(w, err);
        if (rc != HF_OK)
            drop_upload(w);
    }
    writer_free(w);
    return rc;
}
