/*
 * What httpserver.c (the daemon), httpserver_call.c (one request) and httpserver_answer.c (its
 * answer) share. Private to net/.
 *
 * A call has two holders: the connection (until libmicrohttpd reports it completed) and the
 * application (from on_request until it ends the call). Everything below "under lock" is shared
 * between them; the lock is taken before any call into libmicrohttpd that wakes or puts to sleep.
 */
#ifndef HF_NET_HTTPSERVER_INT_H
#define HF_NET_HTTPSERVER_INT_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "net/httpserver.h"
#include "net/listen.h"
#include "os/loop.h"

enum { HF_HTTPD_CALL_MAGIC = 0x68635631 };

struct hf_httpd_call {
    uint32_t magic;
    struct hf_httpd *server;
    struct hf_arena *arena;
    struct MHD_Connection *conn; /* the connection's threads only, and under lock */
    const char *method;
    const char *path;
    const char *peer;
    struct hf_http_header *headers;
    size_t n_headers;
    struct hf_http_header *args;
    size_t n_args;
    char *body;
    size_t body_len;
    size_t body_cap;
    size_t body_expected; /* Content-Length, SIZE_MAX without */
    size_t discarded;     /* bytes of a body that was refused */
    enum hf_code refused;
    uint64_t start_ns;
    void *data;
    int fd;

    pthread_mutex_t lock;
    /* under lock */
    int refs;
    bool is_handed; /* the application holds it */
    bool is_gone;
    bool is_asleep; /* suspended in libmicrohttpd */
    bool is_finished;
    bool is_aborted;
    bool wants_drain;
    bool is_stream;
    int status;
    struct MHD_Response *response; /* made, not yet queued */
    struct hf_buf queue;
    size_t queue_off;

    /* under the server's lock */
    struct hf_httpd_call *prev;
    struct hf_httpd_call *next;
    bool is_listed;
};

struct hf_httpd {
    struct hf_httpd_options o;
    struct MHD_Daemon *daemon;
    char bound[HF_LISTEN_TEXT];
    int fd;
    atomic_size_t bodies; /* bytes of all bodies */
    atomic_bool is_draining;
    atomic_bool is_stopping;
    /* On a client's transfer thread: that thread's only, but for is_due. */
    struct hf_io *io; /* the daemon's epoll descriptor */
    struct hf_timer *pulse;
    struct hf_loop_hook settle;
    atomic_bool is_due; /* a connection was woken: the daemon has work */
    struct hf_timer *later;
    uint64_t ran_ns;     /* when the daemon ran last */
    unsigned fruitless;  /* runs in a row that did nothing and want another one at once */
    atomic_uint n_steps; /* calls of libmicrohttpd into ours: what a run did */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t watcher;
    bool has_tls;
    bool is_watching;            /* the thread runs */
    bool is_resting;             /* it waits for a first call */
    struct hf_httpd_call *first; /* calls on connections */
    size_t n_listed;
    size_t n_open; /* calls not yet freed */
};

/* The handler of libmicrohttpd: called for the head, each piece of the body, the end of it and
 * after each time the connection was woken. */
enum MHD_Result hf_httpd_on_access(void *cls, struct MHD_Connection *conn, const char *url,
                                   const char *method, const char *version, const char *data,
                                   size_t *size, void **slot);
void hf_httpd_on_completed(void *cls, struct MHD_Connection *conn, void **slot,
                           enum MHD_RequestTerminationCode toe);
/* The client left: tells the application, wakes the connection so that it is closed. */
void hf_httpd_call_set_gone(struct hf_httpd_call *c);
/* Wakes the connection if it sleeps. With the call locked. */
void hf_httpd_call_wake(struct hf_httpd_call *c);
/* With the call locked; unlocks it, and frees it when that was the last reference. */
void hf_httpd_call_release(struct hf_httpd_call *c);
/* A response with a copy of the reply's body, without its headers; the caller destroys it. */
struct MHD_Response *hf_httpd_whole_response(const struct hf_httpd_reply *r);
/* libmicrohttpd called us: the daemon gets on. */
void hf_httpd_note_step(struct hf_httpd *s);
/* A connection was woken: the daemon has to run. */
void hf_httpd_note_due(struct hf_httpd *s);
/* The list of calls on connections. */
void hf_httpd_list(struct hf_httpd *s, struct hf_httpd_call *c);
void hf_httpd_unlist(struct hf_httpd *s, struct hf_httpd_call *c);
void hf_httpd_forget(struct hf_httpd *s);

#endif
