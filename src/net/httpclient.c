/*
 * The transfer thread: a loop that libcurl's multi handle runs on, and an inbox for what other
 * threads ask of it.
 *
 * libuv aborts when a watched descriptor was closed behind its back, so libcurl closes its sockets
 * through close_socket(), which ends the watch first. Easy handles are never freed inside one of
 * their callbacks: ends are handled in reap(), after libcurl has returned.
 */
#include "net/httpclient_int.h"

#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/thread.h"

enum { SCAN_MS = 20 };

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static _Thread_local struct hf_http_client *own; /* of which this is the transfer thread */

static void init_curl(void)
{
    hf_assert(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

/* --- easy handles --- */

static int close_socket(void *arg, curl_socket_t fd);

CURL *hf_http_easy_take(struct hf_http_client *c)
{
    CURL *easy = NULL;
    pthread_mutex_lock(&c->lock);
    if (c->n_idle > 0)
        easy = c->idle[--c->n_idle];
    pthread_mutex_unlock(&c->lock);
    if (easy == NULL) {
        easy = curl_easy_init();
        hf_assert(easy != NULL);
        hf_http_easy_set(easy, &c->opts);
        curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
        curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, c);
    }
    return easy;
}

/* Its options stay: what differs between calls is set for each of them. */
void hf_http_easy_give(struct hf_http_client *c, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_PRIVATE, NULL);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
    pthread_mutex_lock(&c->lock);
    bool is_kept = c->n_idle < HF_HTTP_IDLE_EASY;
    if (is_kept)
        c->idle[c->n_idle++] = easy;
    pthread_mutex_unlock(&c->lock);
    if (!is_kept)
        curl_easy_cleanup(easy);
}

/* --- calls on the transfer thread --- */

static void link_active(struct hf_http_call *call)
{
    struct hf_http_client *c = call->client;
    call->prev = NULL;
    call->next = c->active;
    if (c->active != NULL)
        c->active->prev = call;
    else
        hf_timer_start(&c->scan_timer, SCAN_MS, SCAN_MS);
    c->active = call;
}

static void unlink_active(struct hf_http_call *call)
{
    struct hf_http_client *c = call->client;
    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        c->active = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    if (c->active == NULL)
        hf_timer_stop(&c->scan_timer);
}

/* Not inside a callback of libcurl. The call may be gone afterwards. */
static void finish(struct hf_http_call *call, CURLcode rc)
{
    struct hf_http_client *c = call->client;
    struct hf_err err = HF_ERR_INIT;
    struct hf_http_result result;
    hf_http_call_result(call, rc, &result, &err);
    if (call->is_added) {
        hf_assert(curl_multi_remove_handle(c->multi, call->easy) == CURLM_OK);
        unlink_active(call);
        call->is_added = false;
    }
    hf_http_easy_give(c, call->easy);
    call->easy = NULL;
    pthread_mutex_lock(&c->lock);
    c->n_calls--;
    pthread_mutex_unlock(&c->lock);
    call->events.on_done(call->arg, &result);
    hf_http_call_unref(call);
}

/* Ends what libcurl has finished. */
static void reap(struct hf_http_client *c)
{
    CURLMsg *m;
    int left = 0;
    while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
        struct hf_http_call *call = NULL;
        CURLcode rc = m->data.result;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        hf_assert_magic(call, HF_HTTP_CALL_MAGIC);
        finish(call, rc);
    }
}

static void act(struct hf_http_client *c, curl_socket_t fd, int events)
{
    int running = 0;
    hf_assert(curl_multi_socket_action(c->multi, fd, events, &running) == CURLM_OK);
    reap(c);
}

static void set_watch(struct hf_http_client *c, int fd, int events)
{
    struct hf_http_socket *s = &c->sockets[fd];
    s->is_kept = false;
    if (s->watched != events)
        hf_io_watch(s->io, events);
    s->watched = events;
}

static void on_ready(void *arg, int fd, int events)
{
    struct hf_http_client *c = arg;
    hf_assert_magic(c, HF_HTTP_CLIENT_MAGIC);
    if (c->sockets[fd].is_kept) {
        set_watch(c, fd, 0); /* closed while nobody used it: libcurl finds out when it wants to */
        return;
    }
    act(c, fd,
        (events & HF_IO_READ ? CURL_CSELECT_IN : 0) |
            (events & HF_IO_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_curl_timer(void *arg)
{
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void scan_by(struct hf_http_client *c, const struct hf_http_call *call)
{
    uint64_t due_ms = hf_http_call_due_ms(call);
    c->scan_due_ms = due_ms < c->scan_due_ms ? due_ms : c->scan_due_ms;
}

static void on_scan(void *arg)
{
    struct hf_http_client *c = arg;
    uint64_t now_ms = hf_clock_mono_ms();
    struct hf_http_call *next;
    if (now_ms < c->scan_due_ms)
        return;
    c->scan_due_ms = UINT64_MAX;
    for (struct hf_http_call *call = c->active; call != NULL; call = next) {
        next = call->next; /* on_done may start and cancel others, but only through the inbox */
        if (hf_http_call_is_late(call, now_ms))
            finish(call, CURLE_OPERATION_TIMEDOUT);
        else
            scan_by(c, call);
    }
}

/* --- what libcurl tells --- */

static int set_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct hf_http_client *c = arg;
    (void)multi;
    c->is_curl_due = timeout_ms == 0;
    if (timeout_ms <= 0)
        hf_timer_stop(&c->curl_timer);
    else
        hf_timer_start(&c->curl_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

static void drop_socket(struct hf_http_client *c, curl_socket_t fd)
{
    if ((size_t)fd >= c->n_sockets)
        return;
    hf_io_free(c->sockets[fd].io);
    c->sockets[fd] = (struct hf_http_socket){.io = NULL};
}

static void need_socket(struct hf_http_client *c, curl_socket_t fd)
{
    hf_assert(fd >= 0);
    if ((size_t)fd >= c->n_sockets) {
        size_t n = (size_t)fd + 64;
        c->sockets = hf_realloc(c->sockets, n, sizeof(*c->sockets));
        memset(c->sockets + c->n_sockets, 0, (n - c->n_sockets) * sizeof(*c->sockets));
        c->n_sockets = n;
    }
    if (c->sockets[fd].io == NULL)
        hf_assert(hf_io_new(&c->loop, fd, on_ready, c, &c->sockets[fd].io, NULL) == HF_OK);
}

/* Whether an answer came over the socket that easy is done with: then it is a connection, and one
 * that close_socket will close. Name resolvers and failed attempts to connect close their own. */
static bool has_answered(CURL *easy)
{
    struct hf_http_call *call = NULL;
    if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call) != CURLE_OK || call == NULL)
        return false;
    hf_assert_magic(call, HF_HTTP_CALL_MAGIC);
    return call->has_head;
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct hf_http_client *c = arg;
    (void)socket_arg;
    hf_assert_magic(c, HF_HTTP_CLIENT_MAGIC);
    if (what == CURL_POLL_REMOVE) {
        bool is_watched = (size_t)fd < c->n_sockets && c->sockets[fd].watched == HF_IO_READ;
        if (is_watched && has_answered(easy))
            c->sockets[fd].is_kept = true;
        else
            drop_socket(c, fd);
        return 0;
    }
    need_socket(c, fd);
    set_watch(c, fd,
              (what & CURL_POLL_IN ? HF_IO_READ : 0) | (what & CURL_POLL_OUT ? HF_IO_WRITE : 0));
    return 0;
}

static int close_socket(void *arg, curl_socket_t fd)
{
    drop_socket(arg, fd);
    return close(fd);
}

/* --- inbox --- */

/* Something was put into the inbox. */
static void notify(struct hf_http_client *c)
{
    if (hf_http_client_is_here(c))
        c->has_own = true;
    else
        hf_loop_wake(&c->loop);
}

static void enqueue(struct hf_http_call *call)
{
    struct hf_http_client *c = call->client;
    if (call->is_queued)
        return;
    atomic_fetch_add(&call->refs, 1);
    call->is_queued = true;
    call->next_inbox = NULL;
    if (c->inbox_tail != NULL)
        c->inbox_tail->next_inbox = call;
    else
        c->inbox = call;
    c->inbox_tail = call;
}

static void add_call(struct hf_http_call *call)
{
    struct hf_http_client *c = call->client;
    call->start_ms = call->last_ms = hf_clock_mono_ms();
    hf_assert(curl_multi_add_handle(c->multi, call->easy) == CURLM_OK);
    call->is_added = true;
    link_active(call);
    scan_by(c, call);
}

/* One call out of the inbox. A call that has ended has no easy handle any more. */
static void attend(struct hf_http_call *call, bool is_new, bool wants_resume)
{
    if (call->easy == NULL)
        return;
    if (atomic_load(&call->is_canceled)) {
        finish(call, CURLE_ABORTED_BY_CALLBACK);
        return;
    }
    if (is_new)
        add_call(call);
    if (wants_resume && call->is_paused) {
        call->is_paused = false;
        call->last_ms = hf_clock_mono_ms();
        scan_by(call->client, call);
        (void)curl_easy_pause(call->easy, CURLPAUSE_CONT); /* a failure ends the call: see reap */
        reap(call->client);
    }
}

static bool attend_next(struct hf_http_client *c)
{
    pthread_mutex_lock(&c->lock);
    struct hf_http_call *call = c->inbox;
    struct hf_task *task = call == NULL ? c->tasks : NULL;
    bool is_new = false;
    bool wants_resume = false;
    if (call != NULL) {
        c->inbox = call->next_inbox;
        if (c->inbox == NULL)
            c->inbox_tail = NULL;
        is_new = call->is_new;
        wants_resume = call->wants_resume;
        call->is_new = call->wants_resume = call->is_queued = false;
    } else if (task != NULL) {
        c->tasks = task->next;
        if (c->tasks == NULL)
            c->tasks_tail = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    if (call != NULL) {
        attend(call, is_new, wants_resume);
        hf_http_call_unref(call);
    } else if (task != NULL) {
        task->run(task);
    }
    return call != NULL || task != NULL;
}

static void cancel_active(struct hf_http_client *c)
{
    while (c->active != NULL) {
        atomic_store(&c->active->is_canceled, true);
        finish(c->active, CURLE_ABORTED_BY_CALLBACK);
    }
}

static void on_wake(void *arg)
{
    struct hf_http_client *c = arg;
    hf_assert_magic(c, HF_HTTP_CLIENT_MAGIC);
    while (attend_next(c)) {
    }
    pthread_mutex_lock(&c->lock);
    bool is_shut = c->is_shut;
    bool is_ending = c->is_ending;
    pthread_mutex_unlock(&c->lock);
    if (is_shut)
        cancel_active(c);
    pthread_mutex_lock(&c->lock);
    c->is_done = is_ending && c->inbox == NULL && c->tasks == NULL;
    pthread_mutex_unlock(&c->lock);
    if (is_ending)
        hf_loop_wake(&c->loop);
}

static bool settle(void *arg)
{
    struct hf_http_client *c = arg;
    bool is_busy = c->has_own || c->is_curl_due;
    if (c->has_own) {
        c->has_own = false;
        on_wake(c);
    }
    if (c->is_curl_due) {
        c->is_curl_due = false;
        act(c, CURL_SOCKET_TIMEOUT, 0);
    }
    return is_busy;
}

static void *transfer(void *arg)
{
    struct hf_http_client *c = arg;
    hf_thread_name(c->opts.thread_name);
    own = c;
    hf_log_hold(true); /* the loop writes them before it waits */
    while (!c->is_done)
        hf_loop_turn(&c->loop, true);
    hf_log_hold(false);
    return NULL;
}

/* --- life --- */

static enum hf_code check_file(const char *path, const char *what, struct hf_err *err)
{
    if (path == NULL || access(path, R_OK) == 0)
        return HF_OK;
    return hf_err_set(err, HF_E_INVALID, "%s %s can't be read", what, path);
}

static char *copy(const char *s)
{
    return s ? hf_strdup(s) : NULL;
}

static void set_multi(struct hf_http_client *c)
{
    const struct hf_http_client_opts *o = &c->opts;
    long all = o->conns_all ? (long)o->conns_all : HF_LIMIT_HTTP_CONNS;
    long per_host = o->conns_per_host ? (long)o->conns_per_host : HF_LIMIT_HTTP_CONNS_PER_HOST;
    curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, all);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, per_host);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, all);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_curl_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
}

/* All but the thread. */
static void destroy(struct hf_http_client *c)
{
    hf_assert(c->n_calls == 0 && c->active == NULL);
    while (c->n_idle > 0)
        curl_easy_cleanup(c->idle[--c->n_idle]);
    curl_multi_cleanup(c->multi); /* closes connections: through close_socket */
    for (size_t i = 0; i < c->n_sockets; i++)
        hf_io_free(c->sockets[i].io);
    hf_loop_deinit(&c->loop);
    hf_free(c->sockets);
    for (size_t i = 0; i < HF_ARRAY_LEN(c->files); i++)
        hf_free(c->files[i]);
    pthread_mutex_destroy(&c->lock);
    c->magic = 0;
    hf_free(c);
}

enum hf_code hf_http_client_new(const struct hf_http_client_opts *opts, struct hf_http_client **out,
                                struct hf_err *err)
{
    HF_TRY(check_file(opts->tls.ca_file, "CA file", err));
    HF_TRY(check_file(opts->tls.cert_file, "certificate file", err));
    HF_TRY(check_file(opts->tls.key_file, "key file", err));
    pthread_once(&curl_once, init_curl);
    struct hf_http_client *c = hf_calloc(1, sizeof(*c));
    c->magic = HF_HTTP_CLIENT_MAGIC;
    c->opts = *opts;
    if (c->opts.thread_name == NULL)
        c->opts.thread_name = "transfer";
    c->opts.tls.ca_file = c->files[0] = copy(opts->tls.ca_file);
    c->opts.tls.cert_file = c->files[1] = copy(opts->tls.cert_file);
    c->opts.tls.key_file = c->files[2] = copy(opts->tls.key_file);
    pthread_mutex_init(&c->lock, NULL);
    hf_loop_init(&c->loop, on_wake, c);
    hf_loop_settle(&c->loop, &c->settle, settle, c);
    hf_timer_init(&c->curl_timer, &c->loop, on_curl_timer, c);
    hf_timer_init(&c->scan_timer, &c->loop, on_scan, c);
    c->multi = curl_multi_init();
    hf_assert(c->multi != NULL);
    set_multi(c);
    int sys = pthread_create(&c->thread, NULL, transfer, c);
    if (sys != 0) {
        destroy(c);
        return hf_err_sys(err, sys, "start the transfer thread");
    }
    *out = c;
    return HF_OK;
}

void hf_http_client_shutdown(struct hf_http_client *c)
{
    hf_assert_magic(c, HF_HTTP_CLIENT_MAGIC);
    pthread_mutex_lock(&c->lock);
    c->is_shut = true;
    pthread_mutex_unlock(&c->lock);
    hf_loop_wake(&c->loop);
}

void hf_http_client_free(struct hf_http_client *c)
{
    if (c == NULL)
        return;
    hf_assert_magic(c, HF_HTTP_CLIENT_MAGIC);
    hf_assert(!pthread_equal(pthread_self(), c->thread));
    pthread_mutex_lock(&c->lock);
    c->is_shut = c->is_ending = true;
    pthread_mutex_unlock(&c->lock);
    hf_loop_wake(&c->loop);
    pthread_join(c->thread, NULL);
    destroy(c);
}

struct hf_loop *hf_http_client_loop(struct hf_http_client *c)
{
    hf_assert_magic(c, HF_HTTP_CLIENT_MAGIC);
    return &c->loop;
}

bool hf_http_client_is_here(const struct hf_http_client *c)
{
    return own == c;
}

void hf_http_client_post(struct hf_http_client *c, struct hf_task *task)
{
    hf_assert_magic(c, HF_HTTP_CLIENT_MAGIC);
    hf_assert(task->run != NULL);
    task->next = NULL;
    pthread_mutex_lock(&c->lock);
    if (c->tasks_tail != NULL)
        c->tasks_tail->next = task;
    else
        c->tasks = task;
    c->tasks_tail = task;
    pthread_mutex_unlock(&c->lock);
    notify(c);
}

enum hf_code hf_http_start(struct hf_http_client *c, const struct hf_http_request *req,
                           const struct hf_http_events *events, void *arg,
                           struct hf_http_call **out, struct hf_err *err)
{
    hf_assert_magic(c, HF_HTTP_CLIENT_MAGIC);
    hf_assert(events->on_done != NULL && (!req->is_streamed || events->on_send != NULL));
    struct hf_http_call *call = NULL;
    HF_TRY(hf_http_call_new(c, req, &call, err));
    call->events = *events;
    call->arg = arg;
    enum hf_code rc = HF_OK;
    pthread_mutex_lock(&c->lock);
    if (c->is_shut) {
        rc = hf_err_set(err, HF_E_CANCELED, "%s: shutting down", call->where);
    } else if (c->n_calls >= HF_LIMIT_HTTP_CALLS) {
        rc = hf_err_set(err, HF_E_LIMIT, "%s: %d calls are under way already", call->where,
                        HF_LIMIT_HTTP_CALLS);
    } else {
        c->n_calls++;
        call->is_new = true;
        if (out != NULL) {
            atomic_fetch_add(&call->refs, 1);
            *out = call;
        }
        enqueue(call);
    }
    pthread_mutex_unlock(&c->lock);
    if (rc != HF_OK)
        hf_http_call_unref(call);
    else
        notify(c);
    return rc;
}

void hf_http_resume(struct hf_http_call *call)
{
    hf_assert_magic(call, HF_HTTP_CALL_MAGIC);
    pthread_mutex_lock(&call->client->lock);
    call->wants_resume = true;
    enqueue(call);
    pthread_mutex_unlock(&call->client->lock);
    notify(call->client);
}

void hf_http_cancel(struct hf_http_call *call)
{
    hf_assert_magic(call, HF_HTTP_CALL_MAGIC);
    atomic_store(&call->is_canceled, true);
    pthread_mutex_lock(&call->client->lock);
    enqueue(call);
    pthread_mutex_unlock(&call->client->lock);
    notify(call->client);
}
