/*
 * HTTP client: libcurl's multi interface on a transfer thread of its own.
 *
 * Each struct hf_http_client owns one thread ("transfer"), one connection pool and one event loop,
 * so several are independent: object storage, gateway streams and lease traffic never delay each
 * other. Two ways to use one:
 *
 *   hf_http_do(), hf_http_stream_*  block; any thread but the transfer thread.
 *   hf_http_start()                 returns at once, any thread; the callbacks of struct
 *                                   hf_http_events then run on the transfer thread and must not
 *                                   block.
 *
 * What it never does: retry, follow a redirect, use a proxy from the environment (unless asked),
 * ask for or undo compression, skip the verification of a certificate (unless asked). libcurl
 * itself repeats a request on a new connection when a kept one turned out to be closed; that is
 * suppressed here, because the server may have acted on the first one: such a call ends with
 * is_stale set, and the caller, who knows whether the request may be repeated, decides.
 *
 * A response of any status is HF_OK: statuses are the caller's business. Error texts name method,
 * scheme, host and port, never path or query (those may hold secrets).
 *
 * Limits (base/limits.h): calls at once, connections per host and in all, bytes of response
 * headers, bytes that wait in a stream; a consumer that can't take more pauses its transfer, and
 * TCP holds the sender.
 */
#ifndef HF_NET_HTTPCLIENT_H
#define HF_NET_HTTPCLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/httpheader.h"
#include "net/tls.h"

struct hf_http_client;
struct hf_http_call;
struct hf_http_stream;
struct hf_loop;
struct hf_task;

struct hf_http_client_opts {
    const char *thread_name; /* at most 15 bytes, static; NULL: "transfer" */
    struct hf_tls_opts tls;
    unsigned conns_per_host; /* 0: HF_LIMIT_HTTP_CONNS_PER_HOST */
    unsigned conns_all;      /* 0: HF_LIMIT_HTTP_CONNS */
    unsigned recv_buffer;    /* bytes a transfer reads at once; 0: 64 KiB. 1 KiB to 512 KiB */
    unsigned send_buffer;    /* of a body that it sends; 0: 64 KiB. 16 KiB to 2 MiB */
    bool use_env_proxy;      /* HTTP_PROXY and friends count */
    bool use_http2;          /* offer it over TLS */
};

/* Milliseconds; 0: none. Each ends the call with HF_E_TIMEOUT and a text that says which it was. */
struct hf_http_deadlines {
    uint32_t connect_ms;    /* name, TCP and TLS; 0: 10 s */
    uint32_t first_byte_ms; /* from the start until the response's head */
    uint32_t idle_ms;       /* without a byte in either direction; a paused call is not idle */
    uint32_t total_ms;      /* from the start to the end, waiting for a connection included */
    uint32_t slow_bytes_s;  /* slower than this many bytes/s ... */
    uint32_t slow_s;        /* ... for this many seconds */
};

struct hf_http_request {
    const char *method; /* "GET"; only HEAD has no response body */
    const char *url;    /* http or https, all that must be escaped is escaped */
    const struct hf_http_header *headers;
    size_t n_headers;
    const void *body; /* borrowed until on_done; not copied */
    size_t body_len;
    bool is_streamed;   /* the body comes from on_send instead */
    int64_t stream_len; /* its length; -1: unknown, sent in chunks */
    struct hf_http_deadlines deadlines;
};

/* A response's status and headers. */
struct hf_http_head {
    int status;
    const struct hf_http_header *headers;
    size_t n_headers;
};

/* The first header of that name (any case), NULL if there is none. */
const char *hf_http_head_get(const struct hf_http_head *head, const char *name);

struct hf_http_result {
    enum hf_code code;        /* HF_OK: the response came whole, whatever its status */
    const struct hf_err *err; /* text and hint when code is not HF_OK */
    int status;               /* 0: no response head came */
    bool was_sent;            /* the server may have seen the request: its effect is unknown if the
                                 code is not HF_OK */
    bool is_stale;            /* a kept connection was closed before any byte of a response */
    bool is_tls_refused;      /* the peer's certificate was not accepted: repeating won't help */
    uint64_t first_byte_us;   /* since the call was taken up; 0: none came */
    uint64_t total_us;
    uint64_t received_bytes; /* of the body */
};

enum hf_http_flow {
    HF_HTTP_GO,
    HF_HTTP_PAUSE, /* nothing was taken: the same comes again after hf_http_resume() */
    HF_HTTP_STOP,  /* the call ends with HF_E_CANCELED */
};

/* All on the transfer thread. Only on_done is required; nothing is called after it. Within them
 * hf_http_start, _resume, _cancel and _call_free may be used, the blocking calls may not. */
struct hf_http_events {
    /* Once, with the final head (1xx are passed over); it is valid until the call is freed. */
    void (*on_head)(void *arg, const struct hf_http_head *head);
    /* A piece of the body; NULL drops it. */
    enum hf_http_flow (*on_body)(void *arg, const uint8_t *data, size_t len);
    /* Fills at most cap bytes of a streamed request body; HF_HTTP_GO with *got == 0 is its end. */
    enum hf_http_flow (*on_send)(void *arg, uint8_t *buf, size_t cap, size_t *got);
    void (*on_done)(void *arg, const struct hf_http_result *result);
};

/* HF_E_INVALID for a certificate or CA file that isn't there, HF_E_IO if no thread can start. */
HF_MUST enum hf_code hf_http_client_new(const struct hf_http_client_opts *opts,
                                        struct hf_http_client **out, struct hf_err *err);
/* Every call ends with HF_E_CANCELED, now and later: what blocks in here returns soon. */
void hf_http_client_shutdown(struct hf_http_client *c);
/* Shuts down and ends the thread; call handles must not be used afterwards but for _call_free. Not
 * on the transfer thread. NULL is allowed. */
void hf_http_client_free(struct hf_http_client *c);
/* The transfer thread's loop, for timers that belong to it: only to be used on that thread. */
struct hf_loop *hf_http_client_loop(struct hf_http_client *c);
/* Whether the caller is on the transfer thread. */
bool hf_http_client_is_here(const struct hf_http_client *c);
/* Runs task on the transfer thread; in order with hf_http_start. After a shutdown it still runs. */
void hf_http_client_post(struct hf_http_client *c, struct hf_task *task);

/*
 * Starts a call. What req points to is copied, but for the body. *out (NULL: not wanted) is freed
 * by the caller with hf_http_call_free at any time, before or after the end.
 * HF_E_INVALID for a bad URL, method or header (a line break in a value), HF_E_LIMIT when too many
 * calls are under way, HF_E_CANCELED after a shutdown: then no event comes.
 */
HF_MUST enum hf_code hf_http_start(struct hf_http_client *c, const struct hf_http_request *req,
                                   const struct hf_http_events *events, void *arg,
                                   struct hf_http_call **out, struct hf_err *err);
/* Goes on after HF_HTTP_PAUSE, both directions; harmless otherwise. Any thread. */
void hf_http_resume(struct hf_http_call *call);
/* on_done follows with HF_E_CANCELED, unless the call had just ended. Any thread. */
void hf_http_cancel(struct hf_http_call *call);
/* Lets go of the handle; the call itself goes on. NULL is allowed. */
void hf_http_call_free(struct hf_http_call *call);

/* What hf_http_do brought; also when it failed, as far as it came. */
struct hf_http_reply {
    struct hf_http_head head;     /* valid until _deinit */
    struct hf_http_result result; /* its err is NULL: the text is in hf_http_do's err */
    struct hf_buf body;           /* born with its maximum by _init; more is HF_E_LIMIT */
    struct hf_http_call *call;
};

void hf_http_reply_init(struct hf_http_reply *r, size_t max_body);
void hf_http_reply_deinit(struct hf_http_reply *r);
/* Blocks until the whole response is there. r is emptied first, and can be used again and again. */
HF_MUST enum hf_code hf_http_do(struct hf_http_client *c, const struct hf_http_request *req,
                                struct hf_http_reply *r, struct hf_err *err);

/*
 * A response read piece by piece by one blocking thread: at most HF_LIMIT_HTTP_STREAM bytes wait.
 * _open returns when the head is there. req's total deadline spans the whole reading: give idle_ms.
 */
HF_MUST enum hf_code hf_http_stream_open(struct hf_http_client *c,
                                         const struct hf_http_request *req,
                                         struct hf_http_stream **out, struct hf_err *err);
const struct hf_http_head *hf_http_stream_head(const struct hf_http_stream *s);
/* *got < len only at the end of the body; an end that came too early is an error. */
HF_MUST enum hf_code hf_http_stream_read(struct hf_http_stream *s, void *buf, size_t len,
                                         size_t *got, struct hf_err *err);
/* Cancels what is left. NULL is allowed. */
void hf_http_stream_free(struct hf_http_stream *s);

#endif
