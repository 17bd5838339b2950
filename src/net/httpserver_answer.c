/* The answer to a call, whole or as a stream: from the application's side and the daemon's. */
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/httpserver_int.h"

enum { READ_BLOCK = 4 << 10 };

static void add_headers(struct hf_httpd_call *c, struct MHD_Response *resp,
                        const struct hf_httpd_reply *r)
{
    if (r->content_type != NULL)
        MHD_add_response_header(resp, "Content-Type", r->content_type);
    for (size_t i = 0; i < r->n_headers; i++)
        MHD_add_response_header(resp, r->headers[i].name, r->headers[i].value);
    if (!c->is_stream && atomic_load(&c->server->is_draining))
        MHD_add_response_header(resp, "Connection", "close");
}

struct MHD_Response *hf_httpd_whole_response(const struct hf_httpd_reply *r)
{
    void *copy = hf_malloc(r->len + 1);
    if (r->len > 0)
        memcpy(copy, r->body, r->len);
    struct MHD_Response *resp =
        MHD_create_response_from_buffer_with_free_callback(r->len, copy, hf_free);
    hf_assert(resp != NULL);
    return resp;
}

void hf_httpd_call_reply(struct hf_httpd_call *c, const struct hf_httpd_reply *r)
{
    hf_assert_magic(c, HF_HTTPD_CALL_MAGIC);
    struct MHD_Response *resp = hf_httpd_whole_response(r);
    pthread_mutex_lock(&c->lock);
    hf_assert(c->is_handed && !c->is_stream && !c->is_finished && c->response == NULL);
    add_headers(c, resp, r);
    c->is_finished = true;
    c->response = resp;
    c->status = r->status;
    hf_httpd_call_wake(c);
    hf_httpd_call_release(c);
}

/* Called by the connection's thread for more of the stream. */
static ssize_t read_stream(void *cls, uint64_t pos, char *out, size_t max)
{
    struct hf_httpd_call *c = cls;
    ssize_t n = 0;
    (void)pos;
    hf_httpd_note_step(c->server);
    pthread_mutex_lock(&c->lock);
    size_t queued = c->queue.len - c->queue_off;
    if (c->is_gone || atomic_load(&c->server->is_stopping)) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (queued > 0) {
        n = (ssize_t)(queued < max ? queued : max);
        memcpy(out, c->queue.data + c->queue_off, (size_t)n);
        c->queue_off += (size_t)n;
        if (c->queue_off == c->queue.len) {
            hf_buf_reset(&c->queue);
            c->queue_off = 0;
        }
    } else if (c->is_aborted) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (c->is_finished) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        c->is_asleep = true;
        MHD_suspend_connection(c->conn);
    }
    if (c->wants_drain && c->queue.len - c->queue_off < HF_HTTPD_LOW_WATER) {
        c->wants_drain = false;
        if (!c->is_finished && !c->is_aborted && c->server->o.on_drain != NULL)
            c->server->o.on_drain(c->server->o.arg, c);
    }
    pthread_mutex_unlock(&c->lock);
    return n;
}

void hf_httpd_call_start(struct hf_httpd_call *c, const struct hf_httpd_reply *r)
{
    hf_assert_magic(c, HF_HTTPD_CALL_MAGIC);
    struct MHD_Response *resp =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, READ_BLOCK, read_stream, c, NULL);
    hf_assert(resp != NULL);
    pthread_mutex_lock(&c->lock);
    hf_assert(c->is_handed && !c->is_stream && !c->is_finished);
    c->is_stream = true;
    add_headers(c, resp, r);
    c->response = resp;
    c->status = r->status;
    hf_httpd_call_wake(c);
    pthread_mutex_unlock(&c->lock);
}

static void close_gap(struct hf_httpd_call *c)
{
    if (c->queue_off == 0)
        return;
    size_t left = c->queue.len - c->queue_off;
    memmove(c->queue.data, c->queue.data + c->queue_off, left);
    c->queue.len = left;
    c->queue_off = 0;
}

enum hf_code hf_httpd_call_write(struct hf_httpd_call *c, const void *data, size_t len,
                                 struct hf_err *err)
{
    enum hf_code rc;
    hf_assert_magic(c, HF_HTTPD_CALL_MAGIC);
    pthread_mutex_lock(&c->lock);
    hf_assert(c->is_stream && !c->is_finished);
    if (c->is_gone || c->conn == NULL) {
        rc = hf_err_set(err, HF_E_CANCELED, "the client has left");
    } else {
        close_gap(c);
        rc = hf_buf_append(&c->queue, data, len, err);
    }
    if (rc == HF_OK && len > 0) {
        c->wants_drain = c->wants_drain || c->queue.len >= HF_HTTPD_HIGH_WATER;
        hf_httpd_call_wake(c);
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

size_t hf_httpd_call_queued(struct hf_httpd_call *c)
{
    pthread_mutex_lock(&c->lock);
    size_t n = c->queue.len - c->queue_off;
    pthread_mutex_unlock(&c->lock);
    return n;
}

static enum MHD_Result copy_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    (void)kind;
    return MHD_add_response_header(cls, name, value);
}

/* A stream that is whole before anything of it was sent leaves in one piece, its length known. With
 * the call locked. */
static void make_whole(struct hf_httpd_call *c)
{
    struct hf_httpd_reply r = {.body = c->queue.data, .len = c->queue.len};
    struct MHD_Response *resp = hf_httpd_whole_response(&r);
    MHD_get_response_headers(c->response, copy_header, resp);
    MHD_destroy_response(c->response);
    c->response = resp;
    hf_buf_reset(&c->queue);
}

static void end(struct hf_httpd_call *c, bool is_aborted)
{
    hf_assert_magic(c, HF_HTTPD_CALL_MAGIC);
    pthread_mutex_lock(&c->lock);
    hf_assert(c->is_handed && !c->is_finished);
    c->is_finished = true;
    c->is_aborted = is_aborted;
    if (c->response != NULL && c->is_stream && !is_aborted)
        make_whole(c);
    hf_httpd_call_wake(c);
    hf_httpd_call_release(c);
}

void hf_httpd_call_finish(struct hf_httpd_call *c)
{
    hf_assert(c->is_stream);
    end(c, false);
}

void hf_httpd_call_abort(struct hf_httpd_call *c)
{
    end(c, true);
}
