#include "codec/sigv4.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "codec/digest.h"

enum { TEXT_MAX = 256 << 10, DATE_LEN = 8 };

struct pair {
    const char *name;
    const char *value;
};

void hf_sigv4_time(int64_t wall_ms, char out[HF_SIGV4_TIME])
{
    char text[HF_TIME_TEXT];
    hf_clock_format(wall_ms, text); /* 2013-05-24T00:00:00.000Z */
    snprintf(out, HF_SIGV4_TIME, "%.4s%.2s%.2sT%.2s%.2s%.2sZ", text, text + 5, text + 8, text + 11,
             text + 14, text + 17);
}

void hf_sigv4_payload_hash(const void *data, size_t len, char out[HF_SIGV4_HASH])
{
    uint8_t hash[HF_SHA256_BYTES];
    hf_sha256(len > 0 ? data : "", len, hash);
    hf_hex(hash, sizeof(hash), out);
}

static int by_name_and_value(const void *a, const void *b)
{
    const struct pair *x = a;
    const struct pair *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : strcmp(x->value, y->value);
}

static enum hf_code add_query(const char *query, struct hf_arena *arena, struct hf_buf *out,
                              struct hf_err *err)
{
    size_t n = 0;
    size_t cap = 1;
    for (const char *p = query; *p != '\0'; p++)
        cap += *p == '&';
    struct pair *pairs = hf_arena_alloc(arena, cap, sizeof(*pairs));
    for (const char *p = query; *p != '\0';) {
        size_t len = strcspn(p, "&");
        size_t name = strcspn(p, "=&");
        const char *value = name < len ? hf_arena_strndup(arena, p + name + 1, len - name - 1) : "";
        if (len > 0)
            pairs[n++] = (struct pair){hf_arena_strndup(arena, p, name), value};
        p += len + (p[len] == '&');
    }
    qsort(pairs, n, sizeof(*pairs), by_name_and_value);
    for (size_t i = 0; i < n; i++)
        HF_TRY(
            hf_buf_appendf(out, err, "%s%s=%s", i > 0 ? "&" : "", pairs[i].name, pairs[i].value));
    return HF_OK;
}

static const char *lower(struct hf_arena *arena, const char *text)
{
    char *out = hf_arena_strdup(arena, text);
    for (char *p = out; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    return out;
}

/* Blanks at the ends gone, runs inside made one. */
static const char *fold(struct hf_arena *arena, const char *value)
{
    char *out = hf_arena_strdup(arena, value);
    char *to = out;
    for (const char *p = value; *p != '\0'; p++) {
        bool is_blank = *p == ' ' || *p == '\t';
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

/* Lower-case names and folded values, sorted. */
static struct pair *sorted_headers(const struct hf_sigv4_request *req, struct hf_arena *arena)
{
    struct pair *pairs = hf_arena_alloc(arena, req->n_headers + 1, sizeof(*pairs));
    for (size_t i = 0; i < req->n_headers; i++)
        pairs[i] =
            (struct pair){lower(arena, req->headers[i].name), fold(arena, req->headers[i].value)};
    qsort(pairs, req->n_headers, sizeof(*pairs), by_name_and_value);
    return pairs;
}

static enum hf_code add_names(const struct pair *headers, size_t n, struct hf_buf *out,
                              struct hf_err *err)
{
    for (size_t i = 0; i < n; i++)
        HF_TRY(hf_buf_appendf(out, err, "%s%s", i > 0 ? ";" : "", headers[i].name));
    return HF_OK;
}

static enum hf_code canonical(const struct hf_sigv4_request *req, const struct pair *headers,
                              struct hf_arena *arena, struct hf_buf *out, struct hf_err *err)
{
    HF_TRY(hf_buf_appendf(out, err, "%s\n%s\n", req->method, req->path));
    if (req->query != NULL)
        HF_TRY(add_query(req->query, arena, out, err));
    HF_TRY(hf_buf_append(out, "\n", 1, err));
    for (size_t i = 0; i < req->n_headers; i++)
        HF_TRY(hf_buf_appendf(out, err, "%s:%s\n", headers[i].name, headers[i].value));
    HF_TRY(hf_buf_append(out, "\n", 1, err));
    HF_TRY(add_names(headers, req->n_headers, out, err));
    return hf_buf_appendf(out, err, "\n%s", req->payload_hash);
}

enum hf_code hf_sigv4_canonical(const struct hf_sigv4_request *req, struct hf_buf *out,
                                struct hf_err *err)
{
    struct hf_arena *arena = hf_arena_new(2048);
    enum hf_code rc = canonical(req, sorted_headers(req, arena), arena, out, err);
    hf_arena_free(arena);
    return rc;
}

static void chain(uint8_t key[HF_SHA256_BYTES], const char *text, size_t len)
{
    uint8_t next[HF_SHA256_BYTES];
    hf_hmac_sha256(key, HF_SHA256_BYTES, text, len, next);
    memcpy(key, next, sizeof(next));
}

/* The key of a day, region and service, and with it the signature of text. */
static void signature(const struct hf_sigv4_key *key, const char *time, const struct hf_buf *text,
                      char hex[HF_SIGV4_HASH])
{
    uint8_t k[HF_SHA256_BYTES];
    HF_AUTO_FREE char *secret = hf_asprintf("AWS4%s", key->secret);
    hf_hmac_sha256(secret, strlen(secret), time, DATE_LEN, k);
    chain(k, key->region, strlen(key->region));
    chain(k, key->service, strlen(key->service));
    chain(k, "aws4_request", strlen("aws4_request"));
    chain(k, (const char *)text->data, text->len);
    hf_hex(k, sizeof(k), hex);
    hf_wipe(secret, strlen(secret));
}

static enum hf_code sign(const struct hf_sigv4_key *key, const struct hf_sigv4_request *req,
                         struct hf_arena *arena, struct hf_buf *out, struct hf_err *err)
{
    char hash[HF_SIGV4_HASH];
    struct hf_buf text;
    const struct pair *headers = sorted_headers(req, arena);
    const char *scope = hf_arena_printf(arena, "%.*s/%s/%s/aws4_request", DATE_LEN, req->time,
                                        key->region, key->service);
    hf_buf_init(&text, TEXT_MAX);
    enum hf_code rc = canonical(req, headers, arena, &text, err);
    if (rc == HF_OK) {
        hf_sigv4_payload_hash(text.data, text.len, hash);
        hf_buf_reset(&text);
        rc = hf_buf_appendf(&text, err, "AWS4-HMAC-SHA256\n%s\n%s\n%s", req->time, scope, hash);
    }
    if (rc == HF_OK) {
        signature(key, req->time, &text, hash);
        rc = hf_buf_appendf(out, err, "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=", key->id,
                            scope);
    }
    if (rc == HF_OK)
        rc = add_names(headers, req->n_headers, out, err);
    if (rc == HF_OK)
        rc = hf_buf_appendf(out, err, ",Signature=%s", hash);
    hf_buf_deinit(&text);
    return rc;
}

enum hf_code hf_sigv4_sign(const struct hf_sigv4_key *key, const struct hf_sigv4_request *req,
                           struct hf_buf *out, struct hf_err *err)
{
    hf_assert(strlen(req->time) == HF_SIGV4_TIME - 1);
    struct hf_arena *arena = hf_arena_new(2048);
    enum hf_code rc = sign(key, req, arena, out, err);
    hf_arena_free(arena);
    return rc;
}
