/*
 * Reading objects: one streamed GET; one that breaks is gone on with from where it was, as long as
 * the object is still the one that was begun (If-Match).
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/parse.h"
#include "store/s3_int.h"

struct s3_reader {
    struct hf_store_reader base;
    char *name;
    struct hf_http_stream *stream; /* NULL: at the end */
    uint64_t offset;               /* of the next byte */
    uint64_t left;                 /* of the object */
    char etag[HF_STORE_ETAG];
    struct hf_attempts attempts; /* in a row without a byte */
};

static enum hf_code fail(struct s3_reader *r, struct hf_http_stream *st, struct hf_err *err)
{
    struct s3 *s = (struct s3 *)r->base.store;
    struct hf_buf body;
    size_t got = 0;
    hf_buf_init(&body, S3_ERROR_MAX);
    HF_AUTO_FREE char *what = hf_asprintf("get %s", r->name);
    if (hf_buf_reserve(&body, S3_ERROR_MAX, NULL) == HF_OK &&
        hf_http_stream_read(st, body.data, S3_ERROR_MAX, &got, NULL) == HF_OK)
        body.len = got;
    enum hf_code rc = s3_error(s, what, hf_http_stream_head(st), &body, err);
    hf_buf_deinit(&body);
    return rc;
}

/* The length of the answer's body: what is left of the object. */
static enum hf_code take_answer(struct s3_reader *r, struct hf_http_stream *st, struct hf_err *err)
{
    const struct hf_http_head *h = hf_http_stream_head(st);
    const char *len = hf_http_head_get(h, "Content-Length");
    const char *etag = hf_http_head_get(h, "ETag");
    int64_t n = 0;
    if (h->status == 416 && r->etag[0] == '\0') { /* begins behind the end */
        r->left = 0;
        return HF_OK;
    }
    if (h->status != (r->offset > 0 ? 206 : 200))
        return fail(r, st, err);
    if (len == NULL || hf_parse_i64(len, 0, INT64_MAX, &n, err) != HF_OK)
        return hf_err_set(err, HF_E_CORRUPT, "get %s: answer without a length", r->name);
    if (r->etag[0] == '\0')
        snprintf(r->etag, sizeof(r->etag), "%s", etag ? etag : "");
    r->left = (uint64_t)n;
    return HF_OK;
}

static enum hf_code open_once(struct s3_reader *r, struct hf_s3_request *q,
                              struct hf_attempt *attempt, struct hf_err *err)
{
    struct s3 *s = (struct s3 *)r->base.store;
    struct hf_http_request req;
    struct hf_http_stream *st = NULL;
    HF_TRY(hf_s3_authorize(s->bucket, q, &req, err));
    enum hf_code rc = hf_httpstore_stream(hf_s3_http(s->bucket), &req, &st, err);
    *attempt = (struct hf_attempt){.rc = rc, .was_sent = true};
    if (rc != HF_OK)
        return hf_err_wrap(err, "get %s", r->name);
    const struct hf_http_head *head = hf_http_stream_head(st);
    attempt->status = head->status;
    bool has_other = s3_learn(s, head, NULL) && !r->attempts.has_reauthorized;
    r->attempts.has_reauthorized |= has_other;
    if (has_other)
        attempt->status = 503;
    rc = take_answer(r, st, err);
    if (rc == HF_OK && r->left > 0)
        r->stream = st;
    else
        hf_http_stream_free(st);
    return rc;
}

static enum hf_code open_at(struct s3_reader *r, struct hf_err *err)
{
    struct s3 *s = (struct s3 *)r->base.store;
    struct hf_s3_request q;
    struct hf_attempt attempt = {0};
    char range[48];
    enum hf_code rc;
    HF_TRY(s3_request_init(s, "GET", r->name, &q, err));
    hf_s3_add_encryption(s->bucket, &q, false);
    if (r->offset > 0) {
        snprintf(range, sizeof(range), "bytes=%llu-", (unsigned long long)r->offset);
        hf_s3_request_header(&q, "Range", range);
    }
    if (r->etag[0] != '\0')
        hf_s3_request_header(&q, "If-Match", r->etag);
    do {
        hf_err_reset(err);
        rc = open_once(r, &q, &attempt, err);
    } while (rc != HF_OK && hf_attempts_again(&r->attempts, attempt));
    hf_s3_request_deinit(&q);
    return rc;
}

enum hf_code s3_reader_new(struct hf_store *s, const char *name, uint64_t offset,
                           struct hf_store_reader **out, struct hf_err *err)
{
    struct s3_reader *r = hf_calloc(1, sizeof(*r));
    r->base.store = s;
    r->name = hf_strdup(name);
    r->offset = offset;
    enum hf_code rc = open_at(r, err);
    if (rc != HF_OK) {
        s3_reader_free(&r->base);
        return rc;
    }
    *out = &r->base;
    return HF_OK;
}

enum hf_code s3_reader_read(struct hf_store_reader *base, void *buf, size_t len, size_t *got,
                            struct hf_err *err)
{
    struct s3_reader *r = (struct s3_reader *)base;
    size_t want = len < r->left ? len : (size_t)r->left;
    size_t done = 0;
    while (done < want) {
        size_t n = 0;
        /* By pieces, so that what came before a break is kept. */
        size_t piece = want - done < 65536 ? want - done : 65536;
        enum hf_code rc = r->stream == NULL ? HF_E_IO
                                            : hf_http_stream_read(r->stream, (uint8_t *)buf + done,
                                                                  piece, &n, err);
        if (rc == HF_OK && n == piece) {
            done += n;
            r->offset += n;
            r->left -= n;
            r->attempts = (struct hf_attempts){0};
            continue;
        }
        hf_http_stream_free(r->stream);
        r->stream = NULL;
        struct hf_attempt broken = {.rc = rc == HF_OK ? HF_E_IO : rc};
        if (!hf_attempts_again(&r->attempts, broken))
            return hf_err_wrap(err, "get %s at byte %llu", r->name, (unsigned long long)r->offset);
        HF_TRY(open_at(r, err));
    }
    *got = done;
    return HF_OK;
}

void s3_reader_free(struct hf_store_reader *base)
{
    struct s3_reader *r = (struct s3_reader *)base;
    hf_http_stream_free(r->stream);
    hf_free(r->name);
    hf_free(r);
}

enum hf_code s3_read_range(struct hf_store *base, const char *name, struct hf_store_range range,
                           struct hf_buf *out, struct hf_err *err)
{
    struct s3 *s = (struct s3 *)base;
    struct hf_s3_request r;
    struct hf_http_reply reply;
    struct hf_attempts a = {0};
    char text[64];
    HF_TRY(s3_request_init(s, "GET", name, &r, err));
    hf_s3_add_encryption(s->bucket, &r, false);
    hf_range_format(range.offset, range.len, text);
    hf_s3_request_header(&r, "Range", text);
    r.expects = range.len;
    HF_AUTO_FREE char *what = hf_asprintf("get %s", name);
    hf_reply_lend(&reply, out, range.len, S3_ERROR_MAX);
    enum hf_code rc = s3_do(s, &r, &a, &reply, err);
    bool is_behind = rc == HF_OK && reply.head.status == 416; /* begins behind the end */
    if (rc == HF_OK && !is_behind && reply.head.status != 206)
        rc = s3_error(s, what, &reply.head, &reply.body, err);
    else if (rc != HF_OK)
        hf_err_wrap(err, "%s: %s", s->base.url, what);
    hf_reply_return(&reply, out, is_behind);
    hf_s3_request_deinit(&r);
    return rc;
}

enum hf_code s3_get(struct hf_store *base, const char *name, struct hf_buf *out,
                    char etag[HF_STORE_ETAG], struct hf_err *err)
{
    struct s3 *s = (struct s3 *)base;
    struct hf_s3_request r;
    struct hf_http_reply reply;
    struct hf_attempts a = {0};
    HF_TRY(s3_request_init(s, "GET", name, &r, err));
    hf_s3_add_encryption(s->bucket, &r, false);
    HF_AUTO_FREE char *what = hf_asprintf("get %s", name);
    hf_http_reply_init(&reply, out->max > S3_ERROR_MAX ? out->max : S3_ERROR_MAX);
    enum hf_code rc = s3_do(s, &r, &a, &reply, err);
    if (rc == HF_OK && reply.head.status != 200)
        rc = s3_error(s, what, &reply.head, &reply.body, err);
    else if (rc == HF_OK)
        rc = hf_buf_append(out, reply.body.data, reply.body.len, err);
    if (rc == HF_OK) {
        const char *tag = hf_http_head_get(&reply.head, "ETag");
        snprintf(etag, HF_STORE_ETAG, "%s", tag ? tag : "");
    }
    hf_http_reply_deinit(&reply);
    hf_s3_request_deinit(&r);
    return rc;
}
