/*
 * What the files of the HTTP client share: httpclient.c (thread, loop, inbox), httpcall.c (one
 * request as libcurl sees it). Nobody else includes this.
 */
#ifndef HF_NET_HTTPCLIENT_INT_H
#define HF_NET_HTTPCLIENT_INT_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "net/httpclient.h"
#include "os/loop.h"
#include "os/pool.h"

enum { HF_HTTP_CALL_MAGIC = 0x68746370, HF_HTTP_CLIENT_MAGIC = 0x68746363 };
enum { HF_HTTP_IDLE_EASY = 64 }; /* easy handles kept for reuse; each is about 10 KiB */

/* A connection that is kept stays watched for reading: the next call on it needs no system call to
 * be told of its answer. */
struct hf_http_socket {
    struct hf_io *io;
    int watched; /* HF_IO_READ | HF_IO_WRITE */
    bool is_kept;
};

struct hf_http_client {
    uint32_t magic;
    struct hf_http_client_opts opts; /* its file names point to: */
    char *files[3];
    pthread_t thread;
    CURLM *multi;
    struct hf_loop loop;
    struct hf_timer curl_timer;
    struct hf_timer scan_timer;     /* deadlines that libcurl has no option for */
    uint64_t scan_due_ms;           /* none of them can have passed before */
    struct hf_http_socket *sockets; /* by descriptor */
    size_t n_sockets;
    struct hf_http_call *active; /* transfer thread */
    bool is_done;                /* transfer thread: nothing left, the loop ends */
    bool has_own;                /* transfer thread: it put something into the inbox itself */
    bool is_curl_due;            /* transfer thread: libcurl wants to be called at once */
    struct hf_loop_hook settle;

    pthread_mutex_t lock; /* guards all below */
    struct hf_http_call *inbox;
    struct hf_http_call *inbox_tail;
    struct hf_task *tasks;
    struct hf_task *tasks_tail;
    size_t n_calls; /* started and not done */
    bool is_shut;
    bool is_ending;
    CURL *idle[HF_HTTP_IDLE_EASY];
    size_t n_idle;
};

struct hf_http_call {
    uint32_t magic;
    atomic_int refs; /* the caller's handle and the transfer thread's */
    atomic_bool is_canceled;
    struct hf_http_client *client;
    CURL *easy;
    struct curl_slist *lines;
    struct hf_arena *arena; /* strings of request and response */
    struct hf_http_events events;
    void *arg;
    struct hf_http_deadlines deadlines;
    char *where; /* "PUT https://host:port", for texts */
    char curl_text[CURL_ERROR_SIZE];

    struct hf_http_head head;
    struct hf_http_header *headers; /* head.headers, growing */
    size_t headers_cap;
    size_t head_bytes;
    bool has_head;
    int n_sends; /* times libcurl was about to send the request */
    bool is_paused;
    uint64_t start_ms;
    uint64_t last_ms;     /* a byte came or went */
    uint64_t received;    /* body bytes handed over */
    int64_t sent;         /* body bytes that were out when last asked */
    struct hf_err failed; /* our own reason to end it, if code is not HF_OK */

    /* under client->lock */
    bool is_new;
    bool wants_resume;
    bool is_queued;
    struct hf_http_call *next_inbox;
    /* transfer thread */
    bool is_added;
    struct hf_http_call *prev;
    struct hf_http_call *next;
};

/* Makes the call with its easy handle set up. HF_E_INVALID as hf_http_start says. */
HF_MUST enum hf_code hf_http_call_new(struct hf_http_client *c, const struct hf_http_request *req,
                                      struct hf_http_call **out, struct hf_err *err);
void hf_http_call_unref(struct hf_http_call *call);
/* Result of a call that libcurl ended with rc, or that ends for call->failed. */
void hf_http_call_result(struct hf_http_call *call, CURLcode rc, struct hf_http_result *out,
                         struct hf_err *err);
/* The deadline that has passed at now_ms goes into call->failed; false if none has. */
bool hf_http_call_is_late(struct hf_http_call *call, uint64_t now_ms);
/* When the next of its deadlines can pass at the earliest. */
uint64_t hf_http_call_due_ms(const struct hf_http_call *call);

/* Easy handles to use again. */
void hf_http_easy_set(CURL *easy, const struct hf_http_client_opts *o);
CURL *hf_http_easy_take(struct hf_http_client *c);
void hf_http_easy_give(struct hf_http_client *c, CURL *easy);

#endif
