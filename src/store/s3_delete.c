/*
 * Deleting objects: up to a thousand in one request, with the MD5 that S3 wants there; one by one
 * where the service does not know that request.
 */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "codec/digest.h"
#include "codec/xml.h"
#include "store/s3_int.h"

enum { BATCH = 1000, BODY_MAX = 8 << 20, ANSWER_MAX = 4 << 20 };

static enum hf_code remove_one(struct s3 *s, const char *name, struct hf_err *err)
{
    struct hf_s3_request r;
    struct hf_http_reply reply;
    struct hf_attempts a = {0};
    HF_TRY(s3_request_init(s, "DELETE", name, &r, err));
    HF_AUTO_FREE char *what = hf_asprintf("delete %s", name);
    hf_http_reply_init(&reply, S3_ERROR_MAX);
    enum hf_code rc = s3_do(s, &r, &a, &reply, err);
    int status = reply.head.status;
    if (rc == HF_OK && status != 204 && status != 200 && status != 404)
        rc = s3_error(s, what, &reply.head, &reply.body, err);
    else if (rc != HF_OK)
        hf_err_wrap(err, "%s: %s", s->base.url, what);
    hf_http_reply_deinit(&reply);
    hf_s3_request_deinit(&r);
    return rc;
}

static enum hf_code add_escaped(struct hf_buf *out, const char *text, struct hf_err *err)
{
    for (const char *p = text; *p != '\0'; p++) {
        const char *as = *p == '&' ? "&amp;" : *p == '<' ? "&lt;" : *p == '>' ? "&gt;" : NULL;
        HF_TRY(hf_buf_append(out, as != NULL ? as : p, as != NULL ? strlen(as) : 1, err));
    }
    return HF_OK;
}

static enum hf_code batch_body(struct s3 *s, const char *const *names, size_t n, struct hf_buf *out,
                               struct hf_err *err)
{
    HF_TRY(hf_buf_appendf(out, err, "<Delete><Quiet>true</Quiet>"));
    for (size_t i = 0; i < n; i++) {
        HF_AUTO_FREE char *key = s3_key(s, names[i]);
        HF_TRY(hf_buf_appendf(out, err, "<Object><Key>"));
        HF_TRY(add_escaped(out, key, err));
        HF_TRY(hf_buf_appendf(out, err, "</Key></Object>"));
    }
    return hf_buf_appendf(out, err, "</Delete>");
}

/* The first object the answer says could not be deleted. */
struct failure {
    char key[512];
    char code[64];
    char message[256];
    bool is_known; /* all three are of the first one */
};

static enum hf_code on_failure(void *arg, const char *path, const char *text, struct hf_err *err)
{
    (void)err;
    struct failure *f = arg;
    static const char *const paths[] = {"DeleteResult/Error/Key", "DeleteResult/Error/Code",
                                        "DeleteResult/Error/Message"};
    char *const to[] = {f->key, f->code, f->message};
    const size_t size[] = {sizeof(f->key), sizeof(f->code), sizeof(f->message)};
    for (size_t i = 0; i < HF_ARRAY_LEN(paths); i++) {
        size_t len = strlen(text);
        if (f->is_known || strcmp(path, paths[i]) != 0)
            continue;
        len = len < size[i] - 1 ? len : size[i] - 1;
        memcpy(to[i], text, len);
        to[i][len] = '\0';
    }
    f->is_known |= strcmp(path, "DeleteResult/Error") == 0;
    return HF_OK;
}

static enum hf_code check_answer(struct s3 *s, const struct hf_http_reply *reply,
                                 struct hf_err *err)
{
    static const struct hf_xml_events events = {NULL, on_failure};
    struct failure f = {.is_known = false};
    if (reply->head.status != 200)
        return s3_error(s, "delete objects", &reply->head, &reply->body, err);
    if (reply->body.len > 0)
        HF_TRY(hf_xml_read(reply->body.data, reply->body.len, &events, &f, err));
    if (!f.is_known || strcmp(f.code, "NoSuchKey") == 0)
        return HF_OK;
    return hf_err_set(err, strcmp(f.code, "AccessDenied") == 0 ? HF_E_DENIED : HF_E_IO,
                      "%s: delete %s: %s: %s", s->base.url, f.key, f.code, f.message);
}

static enum hf_code remove_batch(struct s3 *s, const char *const *names, size_t n,
                                 struct hf_err *err)
{
    struct hf_s3_request r;
    struct hf_http_reply reply;
    struct hf_buf body;
    struct hf_buf md5;
    struct hf_attempts a = {0};
    uint8_t sum[HF_MD5_BYTES];
    HF_TRY(s3_request_init(s, "POST", NULL, &r, err));
    hf_buf_init(&body, BODY_MAX);
    hf_buf_init(&md5, 64);
    hf_http_reply_init(&reply, ANSWER_MAX);
    enum hf_code rc = hf_query_add(&r.query, "delete", "", err);
    if (rc == HF_OK)
        rc = batch_body(s, names, n, &body, err);
    if (rc == HF_OK) {
        hf_md5(body.data, body.len, sum);
        rc = hf_base64_encode(&md5, sum, sizeof(sum), err);
    }
    hf_s3_request_header(&r, "Content-Type", "application/xml");
    if (hf_s3_wants_md5(s->bucket))
        hf_s3_request_header(&r, "Content-MD5", hf_buf_str(&md5));
    r.body = body.data;
    r.body_len = body.len;
    if (rc == HF_OK)
        rc = s3_do(s, &r, &a, &reply, err);
    if (rc == HF_OK)
        rc = check_answer(s, &reply, err);
    else
        hf_err_wrap(err, "%s: delete objects", s->base.url);
    hf_http_reply_deinit(&reply);
    hf_buf_deinit(&md5);
    hf_buf_deinit(&body);
    hf_s3_request_deinit(&r);
    return rc;
}

enum hf_code s3_remove(struct hf_store *base, const char *const *names, size_t n,
                       struct hf_err *err)
{
    struct s3 *s = (struct s3 *)base;
    size_t step = hf_s3_has_batches(s->bucket) ? BATCH : 1;
    for (size_t i = 0; i < n; i += step) {
        size_t len = n - i < step ? n - i : step;
        if (len == 1)
            HF_TRY(remove_one(s, names[i], err));
        else
            HF_TRY(remove_batch(s, names + i, len, err));
    }
    return HF_OK;
}
