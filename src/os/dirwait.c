#include "os/dirwait.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/watch.h"

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

struct hf_dirwait {
    uv_loop_t loop;
    uv_timer_t timer;
    uv_async_t async;
    struct hf_watch *watch;
    struct hf_watch_dir *dir_watch;
    char *dir;
    bool is_changed;
    bool is_gone;
};

static void on_timer(uv_timer_t *t)
{
    uv_stop(t->loop);
}

static void on_async(uv_async_t *a)
{
    struct hf_dirwait *w = a->data;
    w->is_changed = true;
    uv_stop(a->loop);
}

static void on_change(void *arg, const char *name, unsigned events)
{
    struct hf_dirwait *w = arg;
    (void)name;
    if (events == HF_WATCH_MODIFIED)
        return;
    w->is_changed = true;
    w->is_gone = w->is_gone || (events & HF_WATCH_DIR_GONE) != 0;
    uv_stop(&w->loop);
}

enum hf_code hf_dirwait_new(const char *dir, struct hf_dirwait **out, struct hf_err *err)
{
    struct hf_dirwait *w = hf_calloc(1, sizeof(*w));
    int rc = uv_loop_init(&w->loop);
    if (rc != 0) {
        hf_free(w);
        return hf_err_sys(err, -rc, "event loop");
    }
    hf_assert(uv_timer_init(&w->loop, &w->timer) == 0);
    rc = uv_async_init(&w->loop, &w->async, on_async);
    hf_assert(rc == 0);
    w->async.data = w;
    w->dir = dir != NULL ? hf_strdup(dir) : NULL;
    enum hf_code code = hf_watch_new(&w->loop, &w->watch, err);
    if (code != HF_OK) {
        hf_dirwait_free(w);
        return code;
    }
    *out = w;
    return HF_OK;
}

/* A failure leaves time as the only waker. A new watch counts as a change: what came before it was
 * not seen. */
static void watch_again(struct hf_dirwait *w)
{
    if (w->is_gone) {
        hf_watch_remove(w->watch, w->dir_watch);
        w->dir_watch = NULL;
        w->is_gone = false;
    }
    if (w->dir == NULL || w->dir_watch != NULL)
        return;
    if (hf_watch_add(w->watch, w->dir, on_change, w, &w->dir_watch, NULL) == HF_OK)
        w->is_changed = true;
    else
        w->dir_watch = NULL;
}

bool hf_dirwait_wait(struct hf_dirwait *w, uint64_t timeout_ms)
{
    watch_again(w);
    uv_update_time(&w->loop);
    hf_assert(uv_timer_start(&w->timer, on_timer, timeout_ms, 0) == 0);
    if (w->is_changed)
        uv_run(&w->loop, UV_RUN_NOWAIT);
    else
        uv_run(&w->loop, UV_RUN_DEFAULT);
    uv_timer_stop(&w->timer);
    bool is_changed = w->is_changed;
    w->is_changed = false;
    return is_changed;
}

void hf_dirwait_wake(struct hf_dirwait *w)
{
    uv_async_send(&w->async);
}

void hf_dirwait_free(struct hf_dirwait *w)
{
    if (w == NULL)
        return;
    if (w->watch != NULL)
        hf_watch_free(w->watch);
    uv_close((uv_handle_t *)&w->timer, NULL);
    uv_close((uv_handle_t *)&w->async, NULL);
    while (uv_run(&w->loop, UV_RUN_DEFAULT) != 0)
        continue;
    hf_assert(uv_loop_close(&w->loop) == 0);
    hf_free(w->dir);
    hf_free(w);
}

void hf_boot_id(char out[HF_BOOT_ID_TEXT])
{
    memset(out, 0, HF_BOOT_ID_TEXT);
#ifdef __APPLE__
    size_t len = HF_BOOT_ID_TEXT - 1;
    if (sysctlbyname("kern.bootsessionuuid", out, &len, NULL, 0) != 0)
        out[0] = '\0';
#else
    char *text = NULL;
    size_t len = 0;
    if (hf_path_read("/proc/sys/kernel/random/boot_id", HF_BOOT_ID_TEXT, &text, &len, NULL) !=
        HF_OK)
        return;
    snprintf(out, HF_BOOT_ID_TEXT, "%s", text);
    out[strcspn(out, "\n")] = '\0';
    hf_free(text);
#endif
}
