#include "store/httpstore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "codec/httpurl.h"

enum {
    CONNECT_MS = 5000,
    IDLE_MS = 20000,
    ANSWER_MS = 20000,
    SLOWEST_BYTES_S = 32 << 10, /* a body gets its total deadline from this */
};

struct hf_httpstore {
    struct hf_http_client *client;
    struct hf_budget budget;
    char *ca_file;
    bool is_unverified;
    unsigned refs; /* under the list's lock */
    struct hf_httpstore *next;
};

/* Stores with the same TLS settings share one. */
static struct {
    pthread_mutex_t lock;
    struct hf_httpstore *first;
} shared = {PTHREAD_MUTEX_INITIALIZER, NULL};

static bool is_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static enum hf_code make(const struct hf_tls_opts *tls, struct hf_httpstore **out,
                         struct hf_err *err)
{
    struct hf_http_client_opts o = {
        .thread_name = "transfer", .tls = *tls, .conns_per_host = HF_LIMIT_STORE_CONNS};
    struct hf_http_client *client = NULL;
    HF_TRY(hf_http_client_new(&o, &client, err));
    struct hf_httpstore *h = hf_calloc(1, sizeof(*h));
    h->client = client;
    h->ca_file = tls->ca_file ? hf_strdup(tls->ca_file) : NULL;
    h->is_unverified = tls->is_unverified;
    h->refs = 1;
    hf_budget_init(&h->budget, HF_LIMIT_STORE_REQUESTS_S, HF_LIMIT_STORE_BYTES);
    h->next = shared.first;
    shared.first = h;
    *out = h;
    return HF_OK;
}

enum hf_code hf_httpstore_get(const struct hf_tls_opts *tls, struct hf_httpstore **out,
                              struct hf_err *err)
{
    struct hf_tls_opts o = *tls;
    const char *env = getenv("SSL_CERT_FILE");
    if (o.ca_file == NULL && env != NULL && env[0] != '\0')
        o.ca_file = env;
    enum hf_code rc = HF_OK;
    pthread_mutex_lock(&shared.lock);
    struct hf_httpstore *h = shared.first;
    while (h != NULL && !(is_same(h->ca_file, o.ca_file) && h->is_unverified == o.is_unverified))
        h = h->next;
    if (h != NULL) {
        h->refs++;
        *out = h;
    } else {
        rc = make(&o, out, err);
    }
    pthread_mutex_unlock(&shared.lock);
    return rc;
}

void hf_httpstore_put(struct hf_httpstore *h)
{
    if (h == NULL)
        return;
    pthread_mutex_lock(&shared.lock);
    bool is_last = --h->refs == 0;
    struct hf_httpstore **p = &shared.first;
    while (is_last && *p != h)
        p = &(*p)->next;
    if (is_last)
        *p = h->next;
    pthread_mutex_unlock(&shared.lock);
    if (!is_last)
        return;
    hf_http_client_free(h->client);
    hf_budget_deinit(&h->budget);
    hf_free(h->ca_file);
    hf_free(h);
}

struct hf_http_client *hf_httpstore_client(struct hf_httpstore *h)
{
    return h->client;
}

struct hf_budget *hf_httpstore_budget(struct hf_httpstore *h)
{
    return &h->budget;
}

static uint32_t time_of(uint64_t bytes)
{
    return (uint32_t)(bytes * 1000 / SLOWEST_BYTES_S);
}

static void set_deadlines(struct hf_http_request *req, size_t expects, bool is_whole)
{
    struct hf_http_deadlines *d = &req->deadlines;
    uint32_t body_ms = time_of(req->body_len);
    if (d->connect_ms == 0)
        d->connect_ms = CONNECT_MS;
    if (d->idle_ms == 0)
        d->idle_ms = IDLE_MS;
    if (d->first_byte_ms == 0)
        d->first_byte_ms = ANSWER_MS + body_ms;
    if (is_whole && d->total_ms == 0)
        d->total_ms = 4 * ANSWER_MS + body_ms + time_of(expects);
}

enum hf_code hf_httpstore_do(struct hf_httpstore *h, struct hf_http_request *req, size_t expects,
                             struct hf_http_reply *reply, struct hf_err *err)
{
    set_deadlines(req, expects, true);
    hf_budget_take(&h->budget, req->body_len + expects);
    enum hf_code rc = hf_http_do(h->client, req, reply, err);
    hf_budget_give(&h->budget, req->body_len + expects);
    return rc;
}

enum hf_code hf_httpstore_stream(struct hf_httpstore *h, struct hf_http_request *req,
                                 struct hf_http_stream **out, struct hf_err *err)
{
    set_deadlines(req, 0, false);
    hf_budget_take(&h->budget, 0);
    return hf_http_stream_open(h->client, req, out, err);
}

struct hf_attempt hf_attempt_of(enum hf_code rc, const struct hf_http_reply *reply)
{
    return (struct hf_attempt){
        .rc = rc,
        .status = reply->head.status,
        .retry_after = hf_http_head_get(&reply->head, "Retry-After"),
        .was_sent = reply->result.was_sent,
        .is_stale = reply->result.is_stale,
    };
}

bool hf_attempts_again(struct hf_attempts *a, struct hf_attempt t)
{
    bool is_lost = t.rc == HF_E_IO || t.rc == HF_E_TIMEOUT;
    bool is_refused = t.rc == HF_OK && hf_retry_is_status(t.status);
    if (!is_lost && !is_refused)
        return false;
    /* "Too many requests" was not done. Whatever says 5xx may stand before a server that did it. */
    a->is_unknown |= t.was_sent && !(is_refused && t.status == 429);
    if (t.is_stale && !a->had_stale) { /* a kept connection was gone: that is no failure */
        a->had_stale = true;
        return true;
    }
    uint64_t wait_ms = 0;
    int64_t after_ms = hf_retry_after_ms(t.retry_after, hf_clock_wall_ms());
    if (!hf_retry_next(&a->retry, after_ms, hf_random_u64(), hf_clock_mono_ms(), &wait_ms))
        return false;
    hf_clock_sleep_us(wait_ms * 1000);
    return true;
}

void hf_range_format(uint64_t offset, size_t len, char out[64])
{
    hf_assert(len > 0 && offset + len > offset);
    snprintf(out, 64, "bytes=%llu-%llu", (unsigned long long)offset,
             (unsigned long long)(offset + len - 1));
}

void hf_reply_lend(struct hf_http_reply *reply, struct hf_buf *out, size_t len, size_t error_max)
{
    hf_assert(len <= out->max);
    hf_http_reply_init(reply, len > error_max ? len : error_max);
    size_t max = reply->body.max;
    reply->body = *out;
    reply->body.len = 0;
    reply->body.max = max;
    (void)!hf_buf_reserve(&reply->body, len, NULL); /* at once: growing would copy */
    *out = (struct hf_buf){.max = out->max};
}

void hf_reply_return(struct hf_http_reply *reply, struct hf_buf *out, bool is_empty)
{
    size_t max = out->max;
    *out = reply->body;
    out->max = max;
    if (is_empty || out->len > max)
        out->len = 0;
    reply->body = (struct hf_buf){.max = 1};
    hf_http_reply_deinit(reply);
}

enum hf_code hf_query_add(struct hf_buf *query, const char *name, const char *value,
                          struct hf_err *err)
{
    HF_TRY(hf_buf_appendf(query, err, "%s%s=", query->len > 0 ? "&" : "", name));
    return hf_url_escape(query, value, false, err);
}
