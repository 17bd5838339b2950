/*
 * An event loop with timers and a wake-up from other threads: libuv under our names, so that
 * folders above os/ need no libuv of their own. Watches (watch.h) run on it, too.
 *
 * A loop, its timers and their callbacks belong to one thread; only hf_loop_wake() may be called
 * from any. Times in milliseconds of the monotonic clock.
 */
#ifndef HF_OS_LOOP_H
#define HF_OS_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/attr.h"
#include "base/err.h"

struct hf_loop {
    uv_loop_t uv;
    uv_async_t wake;
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
/* Any thread. */
void hf_loop_wake(struct hf_loop *l);

void hf_timer_init(struct hf_timer *t, struct hf_loop *l, void (*fn)(void *arg), void *arg);
/* Fires after delay_ms, then every repeat_ms (0: once). Starting it again replaces the old time. */
void hf_timer_start(struct hf_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void hf_timer_stop(struct hf_timer *t);

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
