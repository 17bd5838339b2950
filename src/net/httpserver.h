/*
 * An HTTP/1.1 server: libmicrohttpd behind two structs, hf_httpd and hf_httpd_call.
 *
 *   server thread:  head, body (whole, limited) ──► on_request(call)
 *   any thread:     hf_httpd_call_reply()                 one answer of known length
 *              or   hf_httpd_call_start(), _write()*, _finish() or _abort()   a stream (chunked)
 *
 * The server runs threads of its own (epoll on Linux, poll elsewhere), or, where there is epoll, on
 * the transfer thread of an HTTP client: then a request that is handed on to another server and its
 * answer never change threads. on_request must not block; it may answer at once or keep the call
 * and answer later from any thread: the connection sleeps meanwhile. Every call that was handed to
 * on_request must be ended exactly once, by hf_httpd_call_reply, _finish or _abort, also when its
 * client has left; the call is invalid afterwards. One thread at a time works on a call.
 *
 * Back-pressure: what was written and not yet sent waits in a buffer. hf_httpd_call_write takes
 * everything up to HF_LIMIT_HTTPD_QUEUE; the caller stops writing when hf_httpd_call_queued() says
 * HF_HTTPD_HIGH_WATER or more and goes on after on_drain (below HF_HTTPD_LOW_WATER).
 *
 * A client that leaves (closes, resets, or only ends its sending side, as nginx reads it) is told
 * by on_gone, within about HF_HTTPD_WATCH_MS (half a second with 4,000 calls). on_gone and on_drain
 * are called on a server thread with the call locked: they must only note or post something, never
 * call back into the server, and never come after the call was ended.
 *
 * Streams are sent chunked without "Connection: close" (one that was finished before its head left
 * is sent whole, with its length); _abort cuts the connection without the last chunk, so that a
 * client sees that something is missing.
 *
 * Limits: head of HF_LIMIT_HTTPD_HEAD bytes, HF_HTTPD_HEADERS headers, body of max_body_bytes, all
 * bodies together max_bodies_bytes, max_connections.
 */
#ifndef HF_NET_HTTPSERVER_H
#define HF_NET_HTTPSERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "codec/httpheader.h"

struct hf_httpd;
struct hf_httpd_call;
struct hf_http_client;

enum {
    HF_HTTPD_HEADERS = 100,
    HF_HTTPD_WATCH_MS = 50,
    HF_HTTPD_HIGH_WATER = 256 << 10,
    HF_HTTPD_LOW_WATER = 64 << 10
};

struct hf_httpd_options {
    /* "HOST:PORT", ":PORT" (every address), "[::1]:PORT", "unix:/path". Port 0: any free one. */
    const char *listen;
    size_t threads; /* 0: one a processor, 4 at most */
    /* On this client's transfer thread instead, if the system can; the client must outlive the
     * server, and start, drain and stop are not for that thread. NULL: threads of its own. */
    struct hf_http_client *on_client;
    size_t max_connections;   /* 0: 4096 */
    size_t max_per_address;   /* of one IP address; 0: no limit of its own. More are closed */
    size_t max_body_bytes;    /* 0: 1 MiB. Larger: answered 413 */
    size_t max_bodies_bytes;  /* 0: 64 MiB. All bodies held at a time; more: answered 503 */
    unsigned idle_s;          /* 0: 60. A connection without progress is closed */
    uint32_t unix_mode;       /* 0: 0600. Permission bits of a unix socket */
    const char *tls_cert_pem; /* certificate chain and key as PEM texts; both NULL: no TLS */
    const char *tls_key_pem;  /* secret: never in a message */
    void (*on_request)(void *arg, struct hf_httpd_call *call);
    void (*on_gone)(void *arg, struct hf_httpd_call *call);  /* may be NULL */
    void (*on_drain)(void *arg, struct hf_httpd_call *call); /* may be NULL */
    /* A request refused for its size (HF_E_LIMIT) or because the server is full or draining
     * (HF_E_BUSY), its body dropped: must hf_httpd_call_reply at once. NULL: a plain answer. */
    void (*on_refused)(void *arg, struct hf_httpd_call *call, enum hf_code why);
    void *arg;
};

/* Listens and starts. HF_E_INVALID for a bad address or certificate, HF_E_EXISTS when the address
 * is in use, HF_E_DENIED when it is not allowed. */
HF_MUST enum hf_code hf_httpd_start(const struct hf_httpd_options *o, struct hf_httpd **out,
                                    struct hf_err *err);
/* Another certificate for connections to come, of a server that has one: a process has one server
 * with TLS. HF_E_INVALID for texts that are none, or no pair: then the old one stays. Any thread.
 */
HF_MUST enum hf_code hf_httpd_set_cert(struct hf_httpd *s, const char *cert_pem,
                                       const char *key_pem, struct hf_err *err);
/* "127.0.0.1:41234", "[::1]:8080", "unix:/path": the address really bound. */
const char *hf_httpd_address(const struct hf_httpd *s);
/* Calls handed out and not yet wholly sent or ended. */
size_t hf_httpd_calls(struct hf_httpd *s);
/* Stops accepting connections; requests that come on open ones are answered 503. Waits until every
 * call is done, for timeout_ms at most; true when all are. */
bool hf_httpd_drain(struct hf_httpd *s, uint64_t timeout_ms);
/* Cuts every connection (on_gone for calls that are open) and ends the threads. Afterwards open
 * calls may still be used and must still be ended. */
void hf_httpd_stop(struct hf_httpd *s);
/* After stop, when every call was ended (asserted). NULL is allowed. */
void hf_httpd_free(struct hf_httpd *s);

/* ---- the request; strings live as long as the call ---- */

const char *hf_httpd_call_method(const struct hf_httpd_call *c);
/* Percent-decoded, without the query. */
const char *hf_httpd_call_path(const struct hf_httpd_call *c);
/* From now on it is this one (copied): for paths that are other names of known ones. */
void hf_httpd_call_set_path(struct hf_httpd_call *c, const char *path);
/* Value of a query argument, "" for one without a value, NULL if it is not there. */
const char *hf_httpd_call_query(const struct hf_httpd_call *c, const char *name);
/* First header of that name (any case), NULL if none. */
const char *hf_httpd_call_header(const struct hf_httpd_call *c, const char *name);
size_t hf_httpd_call_headers(const struct hf_httpd_call *c, const struct hf_http_header **out);
/* NUL-terminated behind len. Never NULL. */
const char *hf_httpd_call_body(const struct hf_httpd_call *c, size_t *len);
/* "127.0.0.1", "::1", "unix". */
const char *hf_httpd_call_peer(const struct hf_httpd_call *c);
/* Bytes [at, at+len) of the body become text[0..n): a body that goes on need not be copied for it.
 * What hf_httpd_call_body said before is not valid any more. */
void hf_httpd_call_edit_body(struct hf_httpd_call *c, size_t at, size_t len, const char *text,
                             size_t n);
/* A place for the application's own pointer; NULL at first. */
void hf_httpd_call_set_data(struct hf_httpd_call *c, void *data);
void *hf_httpd_call_data(const struct hf_httpd_call *c);
/* When the request was whole, hf_clock_mono_ns. */
uint64_t hf_httpd_call_start_ns(const struct hf_httpd_call *c);
bool hf_httpd_call_is_gone(struct hf_httpd_call *c);
/* The body is not needed any longer: its memory is given back now. */
void hf_httpd_call_drop_body(struct hf_httpd_call *c);

/* ---- the answer ---- */

struct hf_httpd_reply {
    int status;
    const char *content_type;             /* NULL: none is sent */
    const struct hf_http_header *headers; /* copied */
    size_t n_headers;
    const void *body; /* copied */
    size_t len;
};

/* The whole answer; ends the call. */
void hf_httpd_call_reply(struct hf_httpd_call *c, const struct hf_httpd_reply *r);
/* Status and headers of a stream (body and len of r are not used). */
void hf_httpd_call_start(struct hf_httpd_call *c, const struct hf_httpd_reply *r);
/* More of the stream, copied. HF_E_CANCELED when the client is gone, HF_E_LIMIT (nothing taken)
 * when more than HF_LIMIT_HTTPD_QUEUE would wait. */
HF_MUST enum hf_code hf_httpd_call_write(struct hf_httpd_call *c, const void *data, size_t len,
                                         struct hf_err *err);
/* Bytes written and not yet sent. */
size_t hf_httpd_call_queued(struct hf_httpd_call *c);
/* The stream is whole; ends the call (what is queued is still sent). */
void hf_httpd_call_finish(struct hf_httpd_call *c);
/* What is queued is sent, then the connection is cut; before an answer was started it is cut
 * without one. Ends the call. */
void hf_httpd_call_abort(struct hf_httpd_call *c);

#endif
