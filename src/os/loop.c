/*
 * Waking is a pipe of ours and not uv_async: libuv before 1.45 makes the loop spin while a thread
 * that wakes it has not returned from the call yet, and on a busy machine that thread is not
 * running.
 */
#include "os/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"

struct hf_io {
    uv_poll_t uv;
    int fd;
    hf_io_fn *fn;
    void *arg;
};

/* The byte is taken out before the flag falls: a wake from then on writes another one. */
static void on_wake_fd(uv_poll_t *h, int status, int events)
{
    struct hf_loop *l = h->data;
    char byte;
    (void)status;
    (void)events;
    ssize_t n = read(l->wake_fds[0], &byte, 1);
    hf_assert(n == 1 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
    if (n == 1) {
        atomic_store(&l->is_woken, false);
        l->on_wake(l->arg);
    }
}

static void init_wake(struct hf_loop *l)
{
    hf_assert(pipe(l->wake_fds) == 0);
    for (int i = 0; i < 2; i++) {
        hf_assert(fcntl(l->wake_fds[i], F_SETFD, FD_CLOEXEC) == 0);
        hf_assert(fcntl(l->wake_fds[i], F_SETFL, O_NONBLOCK) == 0);
    }
    atomic_init(&l->is_woken, false);
    hf_assert(uv_poll_init(&l->uv, &l->wake, l->wake_fds[0]) == 0);
    l->wake.data = l;
    hf_assert(uv_poll_start(&l->wake, UV_READABLE, on_wake_fd) == 0);
}

enum { ROUNDS_MAX = 32 }; /* of all hooks, before the rest of the loop gets a turn again */

static bool run_hooks(struct hf_loop *l)
{
    bool is_busy = false;
    for (struct hf_loop_hook *h = l->hooks; h != NULL; h = h->next)
        is_busy = h->fn(h->arg) || is_busy;
    return is_busy;
}

static void before_waiting(uv_prepare_t *h)
{
    struct hf_loop *l = h->data;
    int i = 0;
    while (i < ROUNDS_MAX && run_hooks(l))
        i++;
    hf_log_flush();
    if (i == ROUNDS_MAX)
        hf_loop_wake(l);
}

void hf_loop_settle(struct hf_loop *l, struct hf_loop_hook *hook, bool (*fn)(void *arg), void *arg)
{
    *hook = (struct hf_loop_hook){l->hooks, fn, arg};
    l->hooks = hook;
    hf_assert(uv_prepare_start(&l->before, before_waiting) == 0);
}

void hf_loop_unsettle(struct hf_loop *l, struct hf_loop_hook *hook)
{
    struct hf_loop_hook **at = &l->hooks;
    while (*at != NULL && *at != hook)
        at = &(*at)->next;
    if (*at != NULL)
        *at = hook->next;
}

void hf_loop_init(struct hf_loop *l, void (*on_wake)(void *arg), void *arg)
{
    l->on_wake = on_wake;
    l->arg = arg;
    hf_assert(uv_loop_init(&l->uv) == 0);
    init_wake(l);
    l->hooks = NULL;
    hf_assert(uv_prepare_init(&l->uv, &l->before) == 0);
    l->before.data = l;
}

/* Who raised the flag may not have written his byte yet: it is waited for. From then on the flag
 * stays up, so late wakes, of a worker whose result was seen before it got to waking, touch
 * nothing. */
static void end_wake(struct hf_loop *l)
{
    struct pollfd ready = {.fd = l->wake_fds[0], .events = POLLIN};
    char byte;
    if (atomic_exchange(&l->is_woken, true)) {
        while (read(l->wake_fds[0], &byte, 1) != 1)
            (void)poll(&ready, 1, -1);
    }
    close(l->wake_fds[0]);
    close(l->wake_fds[1]);
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

void hf_loop_deinit(struct hf_loop *l)
{
    uv_run(&l->uv, UV_RUN_NOWAIT); /* close callbacks of what was freed before */
    uv_walk(&l->uv, close_handle, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    hf_assert(uv_loop_close(&l->uv) == 0);
    end_wake(l);
}

void hf_loop_turn(struct hf_loop *l, bool can_wait)
{
    uv_run(&l->uv, can_wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

void hf_loop_wake(struct hf_loop *l)
{
    if (atomic_exchange(&l->is_woken, true))
        return;
    ssize_t n;
    do {
        n = write(l->wake_fds[1], "", 1);
    } while (n < 0 && errno == EINTR);
    hf_assert(n == 1);
}

static void on_timer(uv_timer_t *h)
{
    struct hf_timer *t = h->data;
    /* A timer that is due when a turn begins fires before libuv waits for events: what it asked for
     * must be looked at first, so this turn no longer waits. */
    uv_stop(h->loop);
    t->fn(t->arg);
}

void hf_timer_init(struct hf_timer *t, struct hf_loop *l, void (*fn)(void *arg), void *arg)
{
    t->fn = fn;
    t->arg = arg;
    hf_assert(uv_timer_init(&l->uv, &t->uv) == 0);
    t->uv.data = t;
}

void hf_timer_start(struct hf_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
    hf_assert(uv_timer_start(&t->uv, on_timer, delay_ms, repeat_ms) == 0);
}

void hf_timer_stop(struct hf_timer *t)
{
    uv_timer_stop(&t->uv);
}

struct hf_timer *hf_timer_new(struct hf_loop *l, void (*fn)(void *arg), void *arg)
{
    struct hf_timer *t = hf_calloc(1, sizeof(*t));
    hf_timer_init(t, l, fn, arg);
    return t;
}

static void free_closed(uv_handle_t *h)
{
    hf_free(h->data);
}

void hf_timer_free(struct hf_timer *t)
{
    if (t != NULL)
        uv_close((uv_handle_t *)&t->uv, free_closed);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct hf_io *io = h->data;
    int got = (events & UV_READABLE ? HF_IO_READ : 0) | (events & UV_WRITABLE ? HF_IO_WRITE : 0);
    io->fn(io->arg, io->fd, status < 0 ? HF_IO_READ | HF_IO_WRITE : got);
}

enum hf_code hf_io_new(struct hf_loop *l, int fd, hf_io_fn *fn, void *arg, struct hf_io **out,
                       struct hf_err *err)
{
    struct hf_io *io = hf_calloc(1, sizeof(*io));
    int rc = uv_poll_init(&l->uv, &io->uv, fd);
    if (rc != 0) {
        hf_free(io);
        return hf_err_set(err, HF_E_IO, "watch socket: %s", uv_strerror(rc));
    }
    io->uv.data = io;
    io->fd = fd;
    io->fn = fn;
    io->arg = arg;
    *out = io;
    return HF_OK;
}

void hf_io_watch(struct hf_io *io, int events)
{
    if (events == 0) {
        hf_assert(uv_poll_stop(&io->uv) == 0);
        return;
    }
    int want = (events & HF_IO_READ ? UV_READABLE : 0) | (events & HF_IO_WRITE ? UV_WRITABLE : 0);
    hf_assert(uv_poll_start(&io->uv, want, on_poll) == 0);
}

void hf_io_free(struct hf_io *io)
{
    if (io == NULL)
        return;
    uv_poll_stop(&io->uv);
    uv_close((uv_handle_t *)&io->uv, free_closed);
}

enum hf_code hf_exe_path(char *out, size_t cap, struct hf_err *err)
{
    int rc = uv_exepath(out, &cap);
    if (rc != 0)
        return hf_err_set(err, HF_E_INTERNAL, "cannot find this program's own path: %s",
                          uv_strerror(rc));
    return HF_OK;
}
