/*
 * An event loop with timers and a wake-up from other threads: libuv under our names, so that
 * folders above os/ need no libuv of their own. Watches (watch.h) run on it, too.
 *
 * A loop, its timers and their callbacks belong to one thread; only hf_loop_wake() may be called
 * from any. Times in milliseconds of the monotonic clock.
 */
#ifndef HF_OS_LOOP_H
#define HF_OS_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/attr.h"
#include "base/err.h"

/* Work that is done before a loop waits: see hf_loop_settle. */
struct hf_loop_hook {
    struct hf_loop_hook *next;
    bool (*fn)(void *arg);
    void *arg;
};

struct hf_loop {
    uv_loop_t uv;
    uv_poll_t wake;
    int wake_fds[2]; /* a pipe: at most one byte is in it */
    atomic_bool is_woken;
    uv_prepare_t before;
    struct hf_loop_hook *hooks;
    void (*on_wake)(void *arg);
    void *arg;
};

/* In place; must not move while in use. */
struct hf_timer {
    uv_timer_t uv;
    void (*fn)(void *arg);
    void *arg;
};

/* on_wake: called on the loop's thread after hf_loop_wake(), once for several wakes in a row. */
void hf_loop_init(struct hf_loop *l, void (*on_wake)(void *arg), void *arg);
/* Closes every timer; watches must be freed before. */
void hf_loop_deinit(struct hf_loop *l);
/* One turn: what is due now; with can_wait it sleeps until something is. */
void hf_loop_turn(struct hf_loop *l, bool can_wait);
/* Any thread; harmless when the loop has ended, as long as its memory is there. */
void hf_loop_wake(struct hf_loop *l);
/*
 * fn is called each time before the loop waits, again and again with those of the other hooks until
 * all of them say false: nothing was left to do. What a callback leaves for "as soon as I have
 * returned" is done there, without a system call to wake the thread that is awake already. The
 * loop's thread; the hook must stay where it is until hf_loop_unsettle.
 */
void hf_loop_settle(struct hf_loop *l, struct hf_loop_hook *hook, bool (*fn)(void *arg), void *arg);
/* Not from within fn. Harmless if it is not there. */
void hf_loop_unsettle(struct hf_loop *l, struct hf_loop_hook *hook);

void hf_timer_init(struct hf_timer *t, struct hf_loop *l, void (*fn)(void *arg), void *arg);
/* Fires after delay_ms, then every repeat_ms (0: once). Starting it again replaces the old time. */
void hf_timer_start(struct hf_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void hf_timer_stop(struct hf_timer *t);
/* A timer that may end before its loop does. */
HF_MUST struct hf_timer *hf_timer_new(struct hf_loop *l, void (*fn)(void *arg), void *arg);
/* Of hf_timer_new only. NULL is allowed. */
void hf_timer_free(struct hf_timer *t);

enum { HF_IO_READ = 1, HF_IO_WRITE = 2 };

/*
 * Readiness of a socket. fn gets what of HF_IO_READ | HF_IO_WRITE is possible now; an error of the
 * socket shows as both. Free it before the descriptor is closed: epoll remembers closed ones.
 */
struct hf_io;
typedef void hf_io_fn(void *arg, int fd, int events);

/* HF_E_IO for what can't be polled. Watches nothing until hf_io_watch. */
HF_MUST enum hf_code hf_io_new(struct hf_loop *l, int fd, hf_io_fn *fn, void *arg,
                               struct hf_io **out, struct hf_err *err);
/* events: 0 for none. Replaces what was watched. */
void hf_io_watch(struct hf_io *io, int events);
/* From a callback, too. NULL is allowed. */
void hf_io_free(struct hf_io *io);

/* Absolute path of this program. HF_E_INTERNAL if the system does not tell. */
HF_MUST enum hf_code hf_exe_path(char *out, size_t cap, struct hf_err *err);

#endif
