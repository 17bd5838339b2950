#include "os/loop.h"

#include "base/assert.h"

static void on_async(uv_async_t *h)
{
    struct hf_loop *l = h->data;
    l->on_wake(l->arg);
}

void hf_loop_init(struct hf_loop *l, void (*on_wake)(void *arg), void *arg)
{
    l->on_wake = on_wake;
    l->arg = arg;
    hf_assert(uv_loop_init(&l->uv) == 0);
    hf_assert(uv_async_init(&l->uv, &l->wake, on_async) == 0);
    l->wake.data = l;
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
}

void hf_loop_turn(struct hf_loop *l, bool can_wait)
{
    uv_run(&l->uv, can_wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

void hf_loop_wake(struct hf_loop *l)
{
    uv_async_send(&l->wake);
}

static void on_timer(uv_timer_t *h)
{
    struct hf_timer *t = h->data;
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

enum hf_code hf_exe_path(char *out, size_t cap, struct hf_err *err)
{
    int rc = uv_exepath(out, &cap);
    if (rc != 0)
        return hf_err_set(err, HF_E_INTERNAL, "cannot find this program's own path: %s",
                          uv_strerror(rc));
    return HF_OK;
}
