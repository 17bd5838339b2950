#include "net/httpserver.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/httpclient.h"
#include "net/httpserver_int.h"
#include "net/httpserver_tls.h"
#include "os/pool.h"
#include "os/thread.h"

enum {
    DEFAULT_CONNECTIONS = 4096,
    DEFAULT_IDLE_S = 60,
    THREADS_MAX = 4,
    REST_TICKS = 20,       /* ticks without any call before the watcher rests */
    CALLS_PER_TICK_MS = 8, /* many calls are looked at less often: 1,000 every 125 ms */
    WATCH_MAX = 4096,      /* calls looked at in one tick */
    PULSE_MS = 1000,       /* how late idle_s may be on a client's thread */
    CROWD = 128,           /* calls under way from which on woken ones wait for each other */
    CROWD_MS = 1,          /* for so long */
    FRUITLESS = 8,         /* runs of the daemon without any effect, at once behind each other */
    STUCK_MS = 20          /* pause then */
};

/* ---- the list of calls ---- */

void hf_httpd_list(struct hf_httpd *s, struct hf_httpd_call *c)
{
    pthread_mutex_lock(&s->lock);
    c->next = s->first;
    if (s->first != NULL)
        s->first->prev = c;
    s->first = c;
    c->is_listed = true;
    s->n_listed++;
    s->n_open++;
    if (s->is_resting)
        pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void hf_httpd_unlist(struct hf_httpd *s, struct hf_httpd_call *c)
{
    pthread_mutex_lock(&s->lock);
    hf_assert(c->is_listed);
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        s->first = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    c->is_listed = false;
    s->n_listed--;
    pthread_mutex_unlock(&s->lock);
}

void hf_httpd_forget(struct hf_httpd *s)
{
    pthread_mutex_lock(&s->lock);
    hf_assert(s->n_open > 0);
    s->n_open--;
    if (atomic_load(&s->is_draining))
        pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* ---- the watcher: looks whether clients of waiting calls are still there ---- */

#ifdef POLLRDHUP
#define WATCH_EVENTS POLLRDHUP
#else
#define WATCH_EVENTS POLLIN
#endif

static bool has_left(const struct pollfd *p)
{
    char byte;
    if ((p->revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
        return true;
#ifdef POLLRDHUP
    if ((p->revents & POLLRDHUP) != 0)
        return true;
#endif
    if ((p->revents & POLLIN) == 0)
        return false;
    return recv(p->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* With the server locked: the fds of calls that are asleep. A call that is on the list when its
 * event is read was there all the time, so its fd was open and its own. */
static size_t collect(struct hf_httpd *s, struct pollfd *fds, struct hf_httpd_call **calls)
{
    size_t n = 0;
    for (struct hf_httpd_call *c = s->first; c != NULL && n < WATCH_MAX; c = c->next) {
        fds[n] = (struct pollfd){.fd = c->fd, .events = WATCH_EVENTS};
        calls[n++] = c;
    }
    return n;
}

/* The call, with a reference of ours, if it is still on the list. */
static struct hf_httpd_call *hold(struct hf_httpd *s, struct hf_httpd_call *want, int fd)
{
    struct hf_httpd_call *c = NULL;
    pthread_mutex_lock(&s->lock);
    for (c = s->first; c != NULL && (c != want || c->fd != fd); c = c->next)
        continue;
    if (c != NULL) {
        pthread_mutex_lock(&c->lock);
        c->refs++;
        pthread_mutex_unlock(&c->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return c;
}

static void look(struct hf_httpd *s, struct pollfd *fds, struct hf_httpd_call **calls)
{
    pthread_mutex_lock(&s->lock);
    size_t n = collect(s, fds, calls);
    pthread_mutex_unlock(&s->lock);
    if (n == 0 || poll(fds, n, 0) <= 0)
        return;
    for (size_t i = 0; i < n; i++) {
        struct hf_httpd_call *c = has_left(&fds[i]) ? hold(s, calls[i], fds[i].fd) : NULL;
        if (c != NULL)
            hf_httpd_call_set_gone(c);
    }
}

static void rest(struct hf_httpd *s)
{
    pthread_mutex_lock(&s->lock);
    s->is_resting = true;
    while (s->first == NULL && !atomic_load(&s->is_stopping))
        pthread_cond_wait(&s->changed, &s->lock);
    s->is_resting = false;
    pthread_mutex_unlock(&s->lock);
}

static size_t listed(struct hf_httpd *s)
{
    pthread_mutex_lock(&s->lock);
    size_t n = s->n_listed;
    pthread_mutex_unlock(&s->lock);
    return n;
}

static unsigned pause_ms(size_t calls)
{
    size_t ms = calls / CALLS_PER_TICK_MS;
    return ms < HF_HTTPD_WATCH_MS ? HF_HTTPD_WATCH_MS : (unsigned)ms;
}

static void *watch(void *arg)
{
    struct hf_httpd *s = arg;
    struct pollfd *fds = hf_calloc(WATCH_MAX, sizeof(*fds));
    struct hf_httpd_call **calls = hf_calloc(WATCH_MAX, sizeof(*calls));
    int idle = 0;
    size_t n = 0;
    hf_thread_name("hf-http-watch");
    while (!atomic_load(&s->is_stopping)) {
        hf_clock_sleep_us(pause_ms(n) * 1000);
        look(s, fds, calls);
        n = listed(s);
        idle = n > 0 ? 0 : idle + 1;
        if (idle >= REST_TICKS) {
            rest(s);
            idle = 0;
        }
    }
    hf_free(fds);
    hf_free(calls);
    return NULL;
}

/* ---- start and stop ---- */

static size_t thread_count(const struct hf_httpd_options *o)
{
    size_t n = o->threads > 0 ? o->threads : hf_cpu_count();
    return n > THREADS_MAX && o->threads == 0 ? THREADS_MAX : n;
}

static bool has_epoll(void)
{
    return MHD_is_feature_supported(MHD_FEATURE_EPOLL) == MHD_YES;
}

static unsigned daemon_flags(const struct hf_httpd_options *o)
{
    unsigned flags = MHD_ALLOW_SUSPEND_RESUME;
    if (o->on_client == NULL)
        flags |= MHD_USE_INTERNAL_POLLING_THREAD;
    flags |= has_epoll() ? MHD_USE_EPOLL : MHD_USE_POLL;
    return o->tls_cert_pem != NULL ? flags | MHD_USE_TLS : flags;
}

static struct MHD_Daemon *start_daemon(struct hf_httpd *s)
{
    const struct hf_httpd_options *o = &s->o;
    size_t threads = thread_count(o);
    struct MHD_OptionItem opts[16];
    size_t n = 0;
#define OPTION(name, number, pointer)                                                              \
    opts[n++] = (struct MHD_OptionItem){(name), (intptr_t)(number), (pointer)}
    OPTION(MHD_OPTION_LISTEN_SOCKET, s->fd, NULL);
    OPTION(MHD_OPTION_CONNECTION_MEMORY_LIMIT, HF_LIMIT_HTTPD_HEAD, NULL);
    OPTION(MHD_OPTION_CONNECTION_MEMORY_INCREMENT, 4096, NULL);
    OPTION(MHD_OPTION_CONNECTION_LIMIT, o->max_connections, NULL);
    OPTION(MHD_OPTION_PER_IP_CONNECTION_LIMIT, o->max_per_address, NULL);
    OPTION(MHD_OPTION_CONNECTION_TIMEOUT, o->idle_s, NULL);
    OPTION(MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)hf_httpd_on_completed, s);
    if (threads > 1 && o->on_client == NULL)
        OPTION(MHD_OPTION_THREAD_POOL_SIZE, threads, NULL);
    if (o->tls_cert_pem != NULL) {
        OPTION(MHD_OPTION_HTTPS_CERT_CALLBACK, 0, hf_httpd_tls_callback());
    }
    OPTION(MHD_OPTION_END, 0, NULL);
#undef OPTION
    return MHD_start_daemon(daemon_flags(o), 0, NULL, NULL, hf_httpd_on_access, s, MHD_OPTION_ARRAY,
                            opts, MHD_OPTION_END);
}

static void fill_defaults(struct hf_httpd_options *o)
{
    o->max_connections = o->max_connections > 0 ? o->max_connections : DEFAULT_CONNECTIONS;
    o->max_body_bytes = o->max_body_bytes > 0 ? o->max_body_bytes : HF_MIB;
    o->max_bodies_bytes = o->max_bodies_bytes > 0 ? o->max_bodies_bytes : 64 * HF_MIB;
    o->idle_s = o->idle_s > 0 ? o->idle_s : DEFAULT_IDLE_S;
    o->unix_mode = o->unix_mode > 0 ? o->unix_mode : 0600;
    if (!has_epoll()) /* one descriptor to watch is what makes it run inside another loop */
        o->on_client = NULL;
}

static enum hf_code begin_tls(struct hf_httpd *s, struct hf_err *err)
{
    const struct hf_httpd_options *o = &s->o;
    if ((o->tls_cert_pem == NULL) != (o->tls_key_pem == NULL))
        return hf_err_set(err, HF_E_INVALID, "TLS needs a certificate and a key, not one of them");
    if (o->tls_cert_pem != NULL && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return hf_err_set(err, HF_E_UNSUPPORTED,
                          "this libmicrohttpd was built without TLS: put a proxy in front");
    if (o->tls_cert_pem == NULL)
        return HF_OK;
    if (hf_httpd_tls_is_used())
        return hf_err_set(err, HF_E_UNSUPPORTED, "a process has one server with TLS");
    HF_TRY(hf_httpd_tls_show(o->tls_cert_pem, o->tls_key_pem, err));
    s->has_tls = true;
    return HF_OK;
}

enum hf_code hf_httpd_set_cert(struct hf_httpd *s, const char *cert_pem, const char *key_pem,
                               struct hf_err *err)
{
    hf_assert(s->has_tls);
    return hf_httpd_tls_show(cert_pem, key_pem, err);
}

/* ---- on a client's transfer thread ---- */

void hf_httpd_note_due(struct hf_httpd *s)
{
    if (s->o.on_client == NULL)
        return;
    atomic_store(&s->is_due, true);
    if (!hf_http_client_is_here(s->o.on_client))
        hf_loop_wake(hf_http_client_loop(s->o.on_client));
}

void hf_httpd_note_step(struct hf_httpd *s)
{
    atomic_fetch_add_explicit(&s->n_steps, 1, memory_order_relaxed);
}

/* What it has read already, or could not do in one go, shows on no descriptor. It also wants to run
 * when it can't get on: with a line between two chunks that is larger than the connection's memory.
 * A run that did nothing a few times is therefore not repeated at once. */
static void run_again(struct hf_httpd *s, bool has_done_something)
{
    s->fruitless = has_done_something ? 0 : s->fruitless + 1;
    if (s->fruitless < FRUITLESS)
        atomic_store(&s->is_due, true);
    else
        hf_timer_start(s->later, STUCK_MS, 0);
}

static void run_daemon(void *arg)
{
    struct hf_httpd *s = arg;
    MHD_UNSIGNED_LONG_LONG wait_ms = 1;
    unsigned before = atomic_load_explicit(&s->n_steps, memory_order_relaxed);
    atomic_store(&s->is_due, false);
    s->ran_ns = hf_clock_mono_ns();
    (void)MHD_run(s->daemon);
    if (MHD_get_timeout(s->daemon, &wait_ms) == MHD_YES && wait_ms == 0)
        run_again(s, atomic_load_explicit(&s->n_steps, memory_order_relaxed) != before);
    else
        s->fruitless = 0;
}

static void on_ready(void *arg, int fd, int events)
{
    (void)fd;
    (void)events;
    run_daemon(arg);
}

/* For one connection that was woken libmicrohttpd walks over all that sleep: with a thousand
 * streams that costs more than the piece of text, so one walk is made for all of a millisecond. */
static bool may_wait(struct hf_httpd *s)
{
    if (listed(s) < CROWD || hf_clock_mono_ns() - s->ran_ns >= (uint64_t)CROWD_MS * 1000000)
        return false;
    hf_timer_start(s->later, CROWD_MS, 0);
    return true;
}

static bool settle_daemon(void *arg)
{
    struct hf_httpd *s = arg;
    if (!atomic_load(&s->is_due) || may_wait(s))
        return false;
    run_daemon(s);
    return true;
}

struct errand {
    struct hf_task task;
    struct hf_httpd *s;
    void (*fn)(struct hf_httpd *s);
    bool is_done;
};

static void run_errand(struct hf_task *task)
{
    struct errand *e = (struct errand *)(void *)task;
    struct hf_httpd *s = e->s;
    e->fn(s);
    pthread_mutex_lock(&s->lock);
    e->is_done = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* Has fn done where the daemon runs; returns when it is. */
static void where_it_runs(struct hf_httpd *s, void (*fn)(struct hf_httpd *s))
{
    struct errand e = {.task.run = run_errand, .s = s, .fn = fn};
    if (s->o.on_client == NULL) {
        fn(s);
        return;
    }
    hf_http_client_post(s->o.on_client, &e.task);
    pthread_mutex_lock(&s->lock);
    while (!e.is_done)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void attach(struct hf_httpd *s)
{
    struct hf_loop *l = hf_http_client_loop(s->o.on_client);
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    hf_assert(info != NULL);
    hf_assert(hf_io_new(l, info->epoll_fd, on_ready, s, &s->io, NULL) == HF_OK);
    hf_io_watch(s->io, HF_IO_READ);
    s->pulse = hf_timer_new(l, run_daemon, s);
    s->later = hf_timer_new(l, run_daemon, s);
    hf_timer_start(s->pulse, PULSE_MS, PULSE_MS);
    hf_loop_settle(l, &s->settle, settle_daemon, s);
}

static void detach(struct hf_httpd *s)
{
    if (s->io == NULL)
        return;
    hf_io_free(s->io);
    hf_timer_free(s->pulse);
    hf_timer_free(s->later);
    hf_loop_unsettle(hf_http_client_loop(s->o.on_client), &s->settle);
    s->io = NULL;
    s->pulse = NULL;
    s->later = NULL;
}

static enum hf_code start(struct hf_httpd *s, struct hf_err *err)
{
    HF_TRY(begin_tls(s, err));
    HF_TRY(hf_listen_open(s->o.listen, s->o.unix_mode, &s->fd, s->bound, err));
    s->daemon = start_daemon(s);
    if (s->daemon == NULL)
        return hf_err_set(err, HF_E_INVALID, "listen on %s: the HTTP server did not start",
                          s->bound);
    if (pthread_create(&s->watcher, NULL, watch, s) != 0)
        return hf_err_set(err, HF_E_INTERNAL, "cannot start a thread");
    s->is_watching = true;
    if (s->o.on_client != NULL)
        where_it_runs(s, attach);
    return HF_OK;
}

enum hf_code hf_httpd_start(const struct hf_httpd_options *o, struct hf_httpd **out,
                            struct hf_err *err)
{
    hf_assert(o->listen != NULL && o->on_request != NULL);
    struct hf_httpd *s = hf_calloc(1, sizeof(*s));
    s->o = *o;
    s->fd = -1;
    fill_defaults(&s->o);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    enum hf_code rc = start(s, err);
    if (rc != HF_OK) {
        hf_httpd_stop(s);
        hf_httpd_free(s);
        return rc;
    }
    *out = s;
    return HF_OK;
}

const char *hf_httpd_address(const struct hf_httpd *s)
{
    return s->bound;
}

size_t hf_httpd_calls(struct hf_httpd *s)
{
    pthread_mutex_lock(&s->lock);
    size_t n = s->n_open;
    pthread_mutex_unlock(&s->lock);
    return n;
}

static void quiesce(struct hf_httpd *s)
{
    /* A quiesced daemon leaves the listening socket to us. */
    if (!atomic_exchange(&s->is_draining, true) && s->daemon != NULL)
        (void)MHD_quiesce_daemon(s->daemon);
}

bool hf_httpd_drain(struct hf_httpd *s, uint64_t timeout_ms)
{
    uint64_t end = hf_clock_mono_ms() + timeout_ms;
    where_it_runs(s, quiesce);
    while (hf_httpd_calls(s) > 0 && hf_clock_mono_ms() < end)
        hf_clock_sleep_us(10000);
    return hf_httpd_calls(s) == 0;
}

/* Any call on the list that is not gone yet, with a reference. */
static struct hf_httpd_call *next_alive(struct hf_httpd *s)
{
    struct hf_httpd_call *c = NULL;
    bool is_alive = false;
    pthread_mutex_lock(&s->lock);
    for (c = s->first; c != NULL; c = c->next) {
        pthread_mutex_lock(&c->lock);
        is_alive = !c->is_gone;
        c->refs += is_alive ? 1 : 0;
        pthread_mutex_unlock(&c->lock);
        if (is_alive)
            break;
    }
    pthread_mutex_unlock(&s->lock);
    return c;
}

static void stop_daemon(struct hf_httpd *s)
{
    struct hf_httpd_call *c;
    /* No call may sleep when the daemon stops; none falls asleep any longer. */
    while ((c = next_alive(s)) != NULL)
        hf_httpd_call_set_gone(c);
    detach(s);
    quiesce(s);
    if (s->daemon != NULL)
        MHD_stop_daemon(s->daemon);
    s->daemon = NULL;
}

void hf_httpd_stop(struct hf_httpd *s)
{
    if (atomic_exchange(&s->is_stopping, true))
        return;
    pthread_mutex_lock(&s->lock);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (s->is_watching)
        pthread_join(s->watcher, NULL);
    where_it_runs(s, stop_daemon);
    hf_listen_close(s->fd, s->bound);
    s->fd = -1;
}

void hf_httpd_free(struct hf_httpd *s)
{
    if (s == NULL)
        return;
    hf_assert(s->daemon == NULL && s->n_open == 0);
    if (s->has_tls)
        hf_httpd_tls_forget();
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    hf_free(s);
}
