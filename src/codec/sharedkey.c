#include "codec/sharedkey.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "codec/base64.h"
#include "codec/digest.h"
#include "codec/httpurl.h"

enum { TEXT_MAX = 64 << 10 };

struct pair {
    const char *name;
    const char *value;
};

static int by_name(const void *a, const void *b)
{
    const struct pair *x = a;
    const struct pair *y = b;
    int d = strcmp(x->name, y->name);
    return d != 0 ? d : strcmp(x->value, y->value);
}

static char *lower(struct hf_arena *arena, const char *text, size_t len)
{
    char *out = hf_arena_strndup(arena, text, len);
    for (char *p = out; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return out;
}

static const char *header_value(const struct hf_sharedkey_request *req, const char *name)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        if (strcasecmp(req->headers[i].name, name) == 0)
            return req->headers[i].value;
    }
    return "";
}

static enum hf_code add_standard(const struct hf_sharedkey_request *req, struct hf_buf *out,
                                 struct hf_err *err)
{
    static const char *const before[] = {"Content-Encoding", "Content-Language"};
    static const char *const after[] = {"Content-MD5",         "Content-Type", "Date",
                                        "If-Modified-Since",   "If-Match",     "If-None-Match",
                                        "If-Unmodified-Since", "Range"};
    HF_TRY(hf_buf_appendf(out, err, "%s\n", req->method));
    for (size_t i = 0; i < HF_ARRAY_LEN(before); i++)
        HF_TRY(hf_buf_appendf(out, err, "%s\n", header_value(req, before[i])));
    if (req->content_length > 0)
        HF_TRY(hf_buf_appendf(out, err, "%llu", (unsigned long long)req->content_length));
    HF_TRY(hf_buf_append(out, "\n", 1, err));
    bool has_ms_date = header_value(req, "x-ms-date")[0] != '\0';
    for (size_t i = 0; i < HF_ARRAY_LEN(after); i++) {
        bool is_unsigned = has_ms_date && strcmp(after[i], "Date") == 0;
        HF_TRY(hf_buf_appendf(out, err, "%s\n", is_unsigned ? "" : header_value(req, after[i])));
    }
    return HF_OK;
}

/* Blanks at the ends gone, runs inside made one. */
static char *fold(struct hf_arena *arena, const char *value)
{
    char *out = hf_arena_strdup(arena, value);
    char *to = out;
    for (const char *p = value; *p; p++) {
        bool is_blank = isspace((unsigned char)*p);
        if (!is_blank)
            *to++ = *p;
        else if (to > out && to[-1] != ' ')
            *to++ = ' ';
    }
    while (to > out && to[-1] == ' ')
        to--;
    *to = '\0';
    return out;
}

static enum hf_code add_ms_headers(const struct hf_sharedkey_request *req, struct hf_arena *arena,
                                   struct hf_buf *out, struct hf_err *err)
{
    struct pair *pairs = hf_arena_alloc(arena, req->n_headers + 1, sizeof(*pairs));
    size_t n = 0;
    for (size_t i = 0; i < req->n_headers; i++) {
        const struct hf_http_header *h = &req->headers[i];
        if (strncasecmp(h->name, "x-ms-", 5) == 0)
            pairs[n++] =
                (struct pair){lower(arena, h->name, strlen(h->name)), fold(arena, h->value)};
    }
    qsort(pairs, n, sizeof(*pairs), by_name);
    for (size_t i = 0; i < n; i++)
        HF_TRY(hf_buf_appendf(out, err, "%s:%s\n", pairs[i].name, pairs[i].value));
    return HF_OK;
}

static enum hf_code add_query(const char *query, struct hf_arena *arena, struct hf_buf *out,
                              struct hf_err *err)
{
    size_t n = 0;
    size_t cap = 1;
    for (const char *p = query; *p; p++)
        cap += *p == '&';
    struct pair *pairs = hf_arena_alloc(arena, cap, sizeof(*pairs));
    for (const char *p = query; *p;) {
        size_t len = strcspn(p, "&");
        size_t name = strcspn(p, "=&");
        char *value = hf_arena_strndup(arena, p + name, len - name);
        value += *value == '=';
        char *key = lower(arena, p, name);
        HF_TRY(hf_url_unescape(value, err));
        HF_TRY(hf_url_unescape(key, err));
        if (len > 0)
            pairs[n++] = (struct pair){key, value};
        p += len + (p[len] == '&');
    }
    qsort(pairs, n, sizeof(*pairs), by_name);
    for (size_t i = 0; i < n; i++) {
        bool is_again = i > 0 && strcmp(pairs[i].name, pairs[i - 1].name) == 0;
        if (is_again)
            HF_TRY(hf_buf_appendf(out, err, ",%s", pairs[i].value));
        else
            HF_TRY(hf_buf_appendf(out, err, "\n%s:%s", pairs[i].name, pairs[i].value));
    }
    return HF_OK;
}

enum hf_code hf_sharedkey_text(const char *account, const struct hf_sharedkey_request *req,
                               struct hf_buf *out, struct hf_err *err)
{
    struct hf_arena *arena = hf_arena_new(2048);
    enum hf_code rc = add_standard(req, out, err);
    if (rc == HF_OK)
        rc = add_ms_headers(req, arena, out, err);
    if (rc == HF_OK)
        rc = hf_buf_appendf(out, err, "/%s%s", account, req->path);
    if (rc == HF_OK && req->query != NULL)
        rc = add_query(req->query, arena, out, err);
    hf_arena_free(arena);
    return rc;
}

enum hf_code hf_sharedkey_sign(const char *account, const struct hf_buf *key,
                               const struct hf_sharedkey_request *req, struct hf_buf *out,
                               struct hf_err *err)
{
    struct hf_buf text;
    uint8_t mac[HF_SHA256_BYTES];
    hf_buf_init(&text, TEXT_MAX);
    enum hf_code rc = hf_sharedkey_text(account, req, &text, err);
    if (rc == HF_OK) {
        hf_hmac_sha256(key->data, key->len, text.data, text.len, mac);
        rc = hf_buf_appendf(out, err, "SharedKey %s:", account);
    }
    if (rc == HF_OK)
        rc = hf_base64_encode(out, mac, sizeof(mac), err);
    hf_buf_deinit(&text);
    return rc;
}
