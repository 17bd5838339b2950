/*
 * The blocking half of the HTTP client: a thread waits for what the transfer thread brings.
 */
#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/httpclient_int.h"

/* --- a whole reply --- */

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_done;
    struct hf_http_reply *reply;
    struct hf_err err;
};

void hf_http_reply_init(struct hf_http_reply *r, size_t max_body)
{
    *r = (struct hf_http_reply){0};
    hf_buf_init(&r->body, max_body);
}

static void reply_reset(struct hf_http_reply *r)
{
    hf_http_call_free(r->call);
    r->call = NULL;
    r->head = (struct hf_http_head){0};
    r->result = (struct hf_http_result){0};
    hf_buf_reset(&r->body);
}

void hf_http_reply_deinit(struct hf_http_reply *r)
{
    reply_reset(r);
    hf_buf_deinit(&r->body);
}

static void reply_head(void *arg, const struct hf_http_head *head)
{
    struct waiter *w = arg;
    w->reply->head = *head;
}

static enum hf_http_flow reply_body(void *arg, const uint8_t *data, size_t len)
{
    struct waiter *w = arg;
    if (hf_buf_append(&w->reply->body, data, len, &w->err) == HF_OK)
        return HF_HTTP_GO;
    hf_err_wrap(&w->err, "answer");
    return HF_HTTP_STOP;
}

static void reply_done(void *arg, const struct hf_http_result *result)
{
    struct waiter *w = arg;
    pthread_mutex_lock(&w->lock);
    w->reply->result = *result;
    w->reply->result.err = NULL;
    if (w->err.code != HF_OK)
        w->reply->result.code = w->err.code; /* our buffer's limit, not the cancel it led to */
    else
        w->err = *result->err;
    w->is_done = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

enum hf_code hf_http_do(struct hf_http_client *c, const struct hf_http_request *req,
                        struct hf_http_reply *r, struct hf_err *err)
{
    static const struct hf_http_events events = {reply_head, reply_body, NULL, reply_done};
    hf_assert(!pthread_equal(pthread_self(), c->thread) && !req->is_streamed);
    reply_reset(r);
    struct waiter w = {.reply = r, .err = HF_ERR_INIT};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.changed, NULL);
    enum hf_code rc = hf_http_start(c, req, &events, &w, &r->call, err);
    if (rc == HF_OK) {
        pthread_mutex_lock(&w.lock);
        while (!w.is_done)
            pthread_cond_wait(&w.changed, &w.lock);
        pthread_mutex_unlock(&w.lock);
        rc = w.err.code;
        if (rc != HF_OK && err != NULL)
            *err = w.err;
    }
    pthread_cond_destroy(&w.changed);
    pthread_mutex_destroy(&w.lock);
    return rc;
}

/* --- a body read piece by piece --- */

struct hf_http_stream {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct hf_http_call *call;
    struct hf_http_head head;
    bool has_head;
    bool is_done;
    bool is_paused; /* the transfer waits for room */
    struct hf_err err;
    size_t start; /* ring: what waits begins here */
    size_t len;
    size_t wanted; /* bytes the reader waits for */
    uint8_t ring[HF_LIMIT_HTTP_STREAM];
};

static void stream_head(void *arg, const struct hf_http_head *head)
{
    struct hf_http_stream *s = arg;
    pthread_mutex_lock(&s->lock);
    s->head = *head;
    s->has_head = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static enum hf_http_flow stream_body(void *arg, const uint8_t *data, size_t len)
{
    struct hf_http_stream *s = arg;
    enum hf_http_flow flow = HF_HTTP_GO;
    hf_assert(len <= sizeof(s->ring) / 2);
    pthread_mutex_lock(&s->lock);
    if (len > sizeof(s->ring) - s->len) {
        s->is_paused = true;
        flow = HF_HTTP_PAUSE;
    } else {
        size_t at = (s->start + s->len) % sizeof(s->ring);
        size_t n = len < sizeof(s->ring) - at ? len : sizeof(s->ring) - at;
        memcpy(s->ring + at, data, n);
        memcpy(s->ring, data + n, len - n);
        s->len += len;
        if (s->len >= s->wanted && s->len - len < s->wanted)
            pthread_cond_signal(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return flow;
}

static void stream_done(void *arg, const struct hf_http_result *result)
{
    struct hf_http_stream *s = arg;
    pthread_mutex_lock(&s->lock);
    s->err = *result->err;
    s->is_done = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void stream_destroy(struct hf_http_stream *s)
{
    hf_http_call_free(s->call);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    hf_free(s);
}

enum hf_code hf_http_stream_open(struct hf_http_client *c, const struct hf_http_request *req,
                                 struct hf_http_stream **out, struct hf_err *err)
{
    static const struct hf_http_events events = {stream_head, stream_body, NULL, stream_done};
    hf_assert(!pthread_equal(pthread_self(), c->thread) && !req->is_streamed);
    struct hf_http_stream *s = hf_malloc(sizeof(*s));
    memset(s, 0, offsetof(struct hf_http_stream, ring));
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    enum hf_code rc = hf_http_start(c, req, &events, s, &s->call, err);
    if (rc != HF_OK) {
        stream_destroy(s);
        return rc;
    }
    pthread_mutex_lock(&s->lock);
    while (!s->has_head && !s->is_done)
        pthread_cond_wait(&s->changed, &s->lock);
    if (!s->has_head)
        rc = s->err.code;
    pthread_mutex_unlock(&s->lock);
    if (rc != HF_OK) {
        if (err != NULL)
            *err = s->err;
        stream_destroy(s);
        return rc;
    }
    *out = s;
    return HF_OK;
}

const struct hf_http_head *hf_http_stream_head(const struct hf_http_stream *s)
{
    return &s->head;
}

/* Under the lock. */
static size_t take(struct hf_http_stream *s, uint8_t *buf, size_t len)
{
    size_t n = len < s->len ? len : s->len;
    size_t first = n < sizeof(s->ring) - s->start ? n : sizeof(s->ring) - s->start;
    memcpy(buf, s->ring + s->start, first);
    memcpy(buf + first, s->ring, n - first);
    s->start = (s->start + n) % sizeof(s->ring);
    s->len -= n;
    return n;
}

enum hf_code hf_http_stream_read(struct hf_http_stream *s, void *buf, size_t len, size_t *got,
                                 struct hf_err *err)
{
    size_t n = 0;
    enum hf_code rc = HF_OK;
    pthread_mutex_lock(&s->lock);
    while (n < len) {
        n += take(s, (uint8_t *)buf + n, len - n);
        /* Half empty: waking the transfer for every few bytes would cost more than it brings. */
        if (s->is_paused && s->len <= sizeof(s->ring) / 2) {
            s->is_paused = false;
            hf_http_resume(s->call);
        }
        if (n == len || (s->is_done && s->len == 0))
            break;
        /* Not for every few bytes, but before the ring is full: nothing more would come. */
        s->wanted = len - n < sizeof(s->ring) / 2 ? len - n : sizeof(s->ring) / 2;
        while (s->len < s->wanted && !s->is_done)
            pthread_cond_wait(&s->changed, &s->lock);
        s->wanted = 0;
    }
    if (n < len && s->err.code != HF_OK) {
        rc = s->err.code;
        if (err != NULL)
            *err = s->err;
    }
    pthread_mutex_unlock(&s->lock);
    if (rc == HF_OK)
        *got = n;
    return rc;
}

void hf_http_stream_free(struct hf_http_stream *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    bool is_done = s->is_done;
    pthread_mutex_unlock(&s->lock);
    if (!is_done)
        hf_http_cancel(s->call);
    pthread_mutex_lock(&s->lock);
    while (!s->is_done)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    stream_destroy(s);
}
