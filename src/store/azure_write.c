/*
 * Putting blobs: one Put Blob for what fits HF_LIMIT_STORE_BLOCK, else blocks and a block list. A
 * create-only condition stands on the call that makes the blob visible, so blocks of a loser are
 * never seen; the service drops them after a week. A few blocks are under way at once.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "store/azure_int.h"
#include "store/parts.h"

enum { BLOCKS_MAX = 50000, LIST_MAX = 4 << 20 };

/* What the call that makes a blob visible carries. */
struct condition {
    bool is_new;      /* only if there is none */
    const char *etag; /* only if it is still this one; NULL: whatever it is */
};

struct mark {
    const char *name;
    int64_t time_ms;
    struct condition condition;
    const char *key_id; /* NULL: not encrypted */
    char nonce[HF_NONCE_TEXT];
    char stamp[32];
};

static void mark_init(struct mark *m, const char *name, int64_t time_ms, struct condition c)
{
    *m = (struct mark){.name = name, .time_ms = time_ms, .condition = c};
    hf_nonce_make(m->nonce);
    azure_stamp_format(time_ms, m->stamp);
}

static void add_mark(struct hf_azure_request *r, const struct mark *m)
{
    hf_azure_request_header(r, "x-ms-meta-holdfastnonce", m->nonce);
    hf_azure_request_header(r, "x-ms-meta-litestreamtimestamp", m->stamp);
    if (m->key_id != NULL)
        hf_azure_request_header(r, "x-ms-meta-holdfastkey", m->key_id);
    if (m->condition.is_new)
        hf_azure_request_header(r, "If-None-Match", "*");
    else if (m->condition.etag != NULL)
        hf_azure_request_header(r, "If-Match", m->condition.etag);
}

/* --- whose is it? --- */

struct lookup {
    struct azure *s;
    const char *name;
    struct azure_head head;
};

static enum hf_code read_nonce(void *arg, char out[HF_NONCE_TEXT], struct hf_err *err)
{
    struct lookup *l = arg;
    HF_TRY(azure_head(l->s, l->name, &l->head, err));
    memcpy(out, l->head.nonce, HF_NONCE_TEXT);
    return HF_OK;
}

/* After a conditional call. A loser without doubt is told so; after a lost answer the object
 * itself says who won. */
static enum hf_code settle(struct azure *s, const struct mark *m, enum hf_code rc, bool is_unknown,
                           char etag[HF_STORE_ETAG], struct hf_err *err)
{
    struct lookup l = {.s = s, .name = m->name};
    bool is_conditional = m->condition.is_new || m->condition.etag != NULL;
    if (m->condition.is_new && rc == HF_E_CONFLICT) { /* 412 where 409 is documented */
        rc = HF_E_EXISTS;
        if (err != NULL)
            err->code = rc;
    }
    if (rc == HF_OK || !is_unknown || !is_conditional || rc == HF_E_CANCELED)
        return rc;
    enum hf_code end = hf_unknown_resolve(rc, m->nonce, read_nonce, &l, err);
    if (end == HF_OK && etag != NULL)
        memcpy(etag, l.head.etag, HF_STORE_ETAG);
    if (end == HF_E_EXISTS && !m->condition.is_new)
        return hf_err_set(err, HF_E_CONFLICT, "%s was changed by somebody else", m->name);
    return end;
}

/* The call itself: 201 or an error. etag may be NULL. */
static enum hf_code put(struct azure *s, struct hf_azure_request *r, const struct mark *m,
                        char etag[HF_STORE_ETAG], struct hf_err *err)
{
    struct hf_attempts a = {0};
    struct hf_http_reply reply;
    HF_AUTO_FREE char *what = hf_asprintf("put %s", m->name);
    hf_http_reply_init(&reply, AZURE_ERROR_MAX);
    enum hf_code rc = azure_do(s, r, &a, &reply, err);
    if (rc == HF_OK && reply.head.status != 201)
        rc = azure_error(s, what, &reply.head, &reply.body, err);
    else if (rc != HF_OK)
        hf_err_wrap(err, "%s", what);
    if (rc == HF_OK && etag != NULL) {
        const char *tag = hf_http_head_get(&reply.head, "ETag");
        snprintf(etag, HF_STORE_ETAG, "%s", tag ? tag : "");
    }
    hf_http_reply_deinit(&reply);
    return settle(s, m, rc, a.is_unknown, etag, err);
}

struct body {
    const void *data;
    size_t len;
};

static enum hf_code put_blob(struct azure *s, const struct mark *m, struct body body,
                             char etag[HF_STORE_ETAG], struct hf_err *err)
{
    struct hf_azure_request r;
    HF_TRY(azure_request_init(s, "PUT", m->name, &r, err));
    hf_azure_request_header(&r, "Content-Type", "application/octet-stream");
    hf_azure_request_header(&r, "x-ms-blob-type", "BlockBlob");
    add_mark(&r, m);
    r.body = body.data;
    r.body_len = body.len;
    enum hf_code rc = put(s, &r, m, etag, err);
    hf_azure_request_deinit(&r);
    return rc;
}

enum hf_code azure_put_if(struct hf_store *base, const struct hf_store_put_if_args *args,
                          char etag[HF_STORE_ETAG], struct hf_err *err)
{
    struct mark m;
    struct body body = {args->data, args->len};
    mark_init(&m, args->name, args->time_ms, (struct condition){args->etag == NULL, args->etag});
    m.key_id = args->key_id;
    return put_blob((struct azure *)base, &m, body, etag, err);
}

/* --- the streaming writer --- */

struct azure_writer {
    struct hf_store_writer base;
    struct mark mark;
    char *name;
    struct hf_buf buf; /* of one block */
    struct hf_parts *blocks;
};

/* Of equal length for all blocks of a blob, and nobody else's. */
static enum hf_code block_id(const struct azure_writer *w, unsigned i, struct hf_buf *out,
                             struct hf_err *err)
{
    char raw[HF_NONCE_TEXT + 8];
    int n = snprintf(raw, sizeof(raw), "%s%06u", w->mark.nonce, i % 1000000u);
    return hf_base64_encode(out, raw, (size_t)n, err);
}

/* A block has no condition: again and again is harmless. */
static enum hf_code block_call(struct azure_writer *w, struct hf_azure_request *r, unsigned number,
                               struct hf_err *err)
{
    struct azure *s = (struct azure *)w->base.store;
    struct hf_attempts a = {0};
    struct hf_http_reply reply;
    struct hf_buf id;
    hf_buf_init(&id, 128);
    hf_http_reply_init(&reply, AZURE_ERROR_MAX);
    enum hf_code rc = block_id(w, number, &id, err);
    if (rc == HF_OK)
        rc = hf_query_add(&r->query, "comp", "block", err);
    if (rc == HF_OK)
        rc = hf_query_add(&r->query, "blockid", hf_buf_str(&id), err);
    if (rc == HF_OK)
        rc = azure_do(s, r, &a, &reply, err);
    if (rc == HF_OK && reply.head.status != 201)
        rc = azure_error(s, w->name, &reply.head, &reply.body, err);
    hf_http_reply_deinit(&reply);
    hf_buf_deinit(&id);
    return rc;
}

/* On a thread of the blocks'. */
static enum hf_code put_block(void *arg, struct hf_part *part, struct hf_err *err)
{
    struct azure_writer *w = arg;
    struct hf_azure_request r;
    HF_TRY(azure_request_init((struct azure *)w->base.store, "PUT", w->name, &r, err));
    hf_azure_request_header(&r, "Content-Type", "application/octet-stream");
    r.body = part->body->data;
    r.body_len = part->body->len;
    enum hf_code rc = block_call(w, &r, part->number, err);
    hf_azure_request_deinit(&r);
    return rc == HF_OK ? HF_OK : hf_err_wrap(err, "put block %u of %s", part->number, w->name);
}

enum hf_code azure_writer_new(struct hf_store *s, const struct hf_store_put_args *args,
                              struct hf_store_writer **out, struct hf_err *err)
{
    struct condition c = {(args->flags & HF_STORE_CREATE_ONLY) != 0, NULL};
    bool is_ignored = false; /* never allowed here */
    if (c.is_new)
        HF_TRY(hf_store_check_create_only(s, &is_ignored, err));
    struct azure_writer *w = hf_calloc(1, sizeof(*w));
    w->base.store = s;
    w->name = hf_strdup(args->name);
    mark_init(&w->mark, w->name, args->time_ms, c);
    w->mark.key_id = args->key_id;
    hf_buf_init(&w->buf, HF_LIMIT_STORE_BLOCK);
    w->blocks = hf_parts_new(HF_LIMIT_STORE_BLOCK, HF_PARTS_AT_ONCE, put_block, w);
    *out = &w->base;
    return HF_OK;
}

void azure_writer_abort(struct hf_store_writer *base)
{
    struct azure_writer *w = (struct azure_writer *)base;
    hf_parts_free(w->blocks);
    hf_buf_deinit(&w->buf);
    hf_free(w->name);
    hf_free(w);
}

static enum hf_code flush(struct azure_writer *w, struct hf_err *err)
{
    if (hf_parts_count(w->blocks) == BLOCKS_MAX)
        return hf_err_set(err, HF_E_LIMIT, "put %s: more than %d blocks", w->name, BLOCKS_MAX);
    return hf_parts_send(w->blocks, &w->buf, err);
}

enum hf_code azure_writer_write(struct hf_store_writer *base, const void *data, size_t len,
                                struct hf_err *err)
{
    struct azure_writer *w = (struct azure_writer *)base;
    const uint8_t *p = data;
    while (len > 0) {
        if (w->buf.len == HF_LIMIT_STORE_BLOCK)
            HF_TRY(flush(w, err));
        size_t room = HF_LIMIT_STORE_BLOCK - w->buf.len;
        size_t n = len < room ? len : room;
        HF_TRY(hf_buf_append(&w->buf, p, n, err));
        p += n;
        len -= n;
    }
    return HF_OK;
}

static enum hf_code list_body(const struct azure_writer *w, struct hf_buf *out, struct hf_err *err)
{
    HF_TRY(hf_buf_appendf(out, err, "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>"));
    for (unsigned i = 0; i < hf_parts_count(w->blocks); i++) {
        HF_TRY(hf_buf_appendf(out, err, "<Latest>"));
        HF_TRY(block_id(w, i, out, err));
        HF_TRY(hf_buf_appendf(out, err, "</Latest>"));
    }
    return hf_buf_appendf(out, err, "</BlockList>");
}

static enum hf_code put_list(struct azure_writer *w, struct hf_err *err)
{
    struct azure *s = (struct azure *)w->base.store;
    struct hf_azure_request r;
    struct hf_buf body;
    HF_TRY(azure_request_init(s, "PUT", w->name, &r, err));
    hf_buf_init(&body, LIST_MAX);
    hf_azure_request_header(&r, "Content-Type", "application/xml");
    hf_azure_request_header(&r, "x-ms-blob-content-type", "application/octet-stream");
    add_mark(&r, &w->mark);
    enum hf_code rc = hf_query_add(&r.query, "comp", "blocklist", err);
    if (rc == HF_OK)
        rc = list_body(w, &body, err);
    r.body = body.data;
    r.body_len = body.len;
    if (rc == HF_OK)
        rc = put(s, &r, &w->mark, NULL, err);
    hf_buf_deinit(&body);
    hf_azure_request_deinit(&r);
    return rc;
}

enum hf_code azure_writer_commit(struct hf_store_writer *base, struct hf_err *err)
{
    struct azure_writer *w = (struct azure_writer *)base;
    enum hf_code rc = HF_OK;
    if (hf_parts_count(w->blocks) == 0) {
        rc = put_blob((struct azure *)base->store, &w->mark, (struct body){w->buf.data, w->buf.len},
                      NULL, err);
    } else {
        if (w->buf.len > 0)
            rc = flush(w, err);
        if (rc == HF_OK)
            rc = hf_parts_wait(w->blocks, err);
        if (rc == HF_OK)
            rc = put_list(w, err);
    }
    azure_writer_abort(base);
    return rc;
}
