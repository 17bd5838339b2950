#include "os/watch.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/inotify.h>
#endif

#include "base/assert.h"
#include "base/mem.h"

#if defined(__linux__)

enum {
    EVENT_BYTES = 64 * 1024,
    BURST_EVENTS = 4, /* reads in a row with no pause between that make us pace */
};

struct hf_watch_dir {
    int wd;
    hf_watch_fn *fn;
    void *arg;
    struct hf_watch_dir *next; /* hash chain by wd */
};

enum { BUCKETS = 1024 };

struct hf_watch {
    int fd;
    uv_poll_t poll;
    uv_timer_t pace;
    int open_handles; /* poll and pace, until their close callbacks ran */
    uint64_t last_read_ns;
    int quick_reads;
    struct hf_watch_dir *buckets[BUCKETS];
    char buf[EVENT_BYTES] __attribute__((aligned(8)));
};

static void on_readable(uv_poll_t *h, int status, int events);

static struct hf_watch_dir **find(struct hf_watch *w, int wd)
{
    struct hf_watch_dir **p = &w->buckets[(unsigned)wd % BUCKETS];
    while (*p != NULL && (*p)->wd != wd)
        p = &(*p)->next;
    return p;
}

static void tell_all_overflow(struct hf_watch *w)
{
    for (int i = 0; i < BUCKETS; i++) {
        for (struct hf_watch_dir *d = w->buckets[i]; d != NULL; d = d->next)
            d->fn(d->arg, NULL, HF_WATCH_OVERFLOW);
    }
}

static unsigned translate(uint32_t mask)
{
    unsigned ev = 0;
    if (mask & IN_MODIFY)
        ev |= HF_WATCH_MODIFIED;
    if (mask & (IN_CREATE | IN_MOVED_TO))
        ev |= HF_WATCH_CREATED;
    if (mask & (IN_DELETE | IN_MOVED_FROM))
        ev |= HF_WATCH_REMOVED;
    if (mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT))
        ev |= HF_WATCH_DIR_GONE;
    return ev;
}

static void deliver(struct hf_watch *w, const struct inotify_event *e)
{
    if (e->mask & IN_Q_OVERFLOW) {
        tell_all_overflow(w);
        return;
    }
    struct hf_watch_dir *d = *find(w, e->wd);
    unsigned ev = translate(e->mask);
    if (d == NULL || ev == 0)
        return;
    d->fn(d->arg, e->len > 0 && (ev & HF_WATCH_DIR_GONE) == 0 ? e->name : NULL, ev);
}

static void on_pace_over(uv_timer_t *t)
{
    struct hf_watch *w = t->data;
    uv_poll_start(&w->poll, UV_READABLE, on_readable);
}

/* Reads following each other at once mean a writer at full speed: let events gather for a moment.
 */
static void pace(struct hf_watch *w)
{
    uint64_t now = uv_hrtime();
    bool is_quick = now - w->last_read_ns < 1000000u;
    w->quick_reads = is_quick ? w->quick_reads + 1 : 0;
    w->last_read_ns = now;
    if (w->quick_reads < BURST_EVENTS)
        return;
    uv_poll_stop(&w->poll);
    uv_timer_start(&w->pace, on_pace_over, HF_WATCH_PACE_MS, 0);
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct hf_watch *w = h->data;
    (void)events;
    if (status < 0)
        return;
    ssize_t n = read(w->fd, w->buf, sizeof(w->buf));
    if (n <= 0)
        return;
    for (char *p = w->buf; p < w->buf + n;) {
        const struct inotify_event *e = (const struct inotify_event *)(void *)p;
        p += sizeof(*e) + e->len;
        deliver(w, e);
    }
    pace(w);
}

enum hf_code hf_watch_new(uv_loop_t *loop, struct hf_watch **out, struct hf_err *err)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return hf_err_sys(err, errno, "start watching files (inotify)");
    struct hf_watch *w = hf_calloc(1, sizeof(*w));
    w->fd = fd;
    w->poll.data = w;
    w->pace.data = w;
    hf_assert(uv_poll_init(loop, &w->poll, fd) == 0);
    hf_assert(uv_timer_init(loop, &w->pace) == 0);
    w->open_handles = 2;
    hf_assert(uv_poll_start(&w->poll, UV_READABLE, on_readable) == 0);
    *out = w;
    return HF_OK;
}

enum hf_code hf_watch_add(struct hf_watch *w, const char *dir, hf_watch_fn *fn, void *arg,
                          struct hf_watch_dir **out, struct hf_err *err)
{
    int wd = inotify_add_watch(w->fd, dir,
                               IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
                                   IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
    if (wd < 0 && errno == ENOSPC) {
        hf_err_set(err, HF_E_LIMIT, "watch %s: the system has no directory watch left", dir);
        hf_err_hint(err, "raise fs.inotify.max_user_watches");
        return HF_E_LIMIT;
    }
    if (wd < 0)
        return hf_err_sys(err, errno, "watch %s", dir);
    struct hf_watch_dir **slot = find(w, wd);
    if (*slot != NULL)
        return hf_err_set(err, HF_E_EXISTS, "%s is watched already", dir);
    struct hf_watch_dir *d = hf_calloc(1, sizeof(*d));
    d->wd = wd;
    d->fn = fn;
    d->arg = arg;
    *slot = d;
    *out = d;
    return HF_OK;
}

void hf_watch_remove(struct hf_watch *w, struct hf_watch_dir *d)
{
    if (d == NULL)
        return;
    struct hf_watch_dir **slot = find(w, d->wd);
    hf_assert(*slot == d);
    *slot = d->next;
    inotify_rm_watch(w->fd, d->wd); /* fails when the directory is gone: nothing to undo */
    hf_free(d);
}

static void on_closed(uv_handle_t *h)
{
    struct hf_watch *w = h->data;
    if (--w->open_handles > 0)
        return;
    close(w->fd);
    hf_free(w);
}

void hf_watch_free(struct hf_watch *w)
{
    if (w == NULL)
        return;
    for (int i = 0; i < BUCKETS; i++) {
        while (w->buckets[i] != NULL) {
            struct hf_watch_dir *d = w->buckets[i];
            w->buckets[i] = d->next;
            hf_free(d);
        }
    }
    uv_close((uv_handle_t *)&w->poll, on_closed);
    uv_close((uv_handle_t *)&w->pace, on_closed);
}

#else /* FSEvents through libuv */

struct hf_watch_dir {
    uv_fs_event_t ev;
    hf_watch_fn *fn;
    void *arg;
    struct hf_watch_dir *next;
};

struct hf_watch {
    uv_loop_t *loop;
    struct hf_watch_dir *dirs;
};

static void on_event(uv_fs_event_t *h, const char *name, int events, int status)
{
    struct hf_watch_dir *d = h->data;
    if (status < 0) {
        d->fn(d->arg, NULL, HF_WATCH_OVERFLOW);
        return;
    }
    /* a rename event does not say in which direction: the receiver looks at the file */
    unsigned ev = events & UV_RENAME ? HF_WATCH_CREATED | HF_WATCH_REMOVED : HF_WATCH_MODIFIED;
    d->fn(d->arg, name, ev | HF_WATCH_MODIFIED);
}

enum hf_code hf_watch_new(uv_loop_t *loop, struct hf_watch **out, struct hf_err *err)
{
    (void)err;
    struct hf_watch *w = hf_calloc(1, sizeof(*w));
    w->loop = loop;
    *out = w;
    return HF_OK;
}

enum hf_code hf_watch_add(struct hf_watch *w, const char *dir, hf_watch_fn *fn, void *arg,
                          struct hf_watch_dir **out, struct hf_err *err)
{
    struct hf_watch_dir *d = hf_calloc(1, sizeof(*d));
    d->fn = fn;
    d->arg = arg;
    d->ev.data = d;
    hf_assert(uv_fs_event_init(w->loop, &d->ev) == 0);
    int rc = uv_fs_event_start(&d->ev, on_event, dir, 0);
    if (rc != 0) {
        uv_close((uv_handle_t *)&d->ev, NULL);
        return hf_err_sys(err, -rc, "watch %s", dir);
    }
    d->next = w->dirs;
    w->dirs = d;
    *out = d;
    return HF_OK;
}

static void on_closed(uv_handle_t *h)
{
    hf_free(h->data);
}

void hf_watch_remove(struct hf_watch *w, struct hf_watch_dir *d)
{
    if (d == NULL)
        return;
    struct hf_watch_dir **p = &w->dirs;
    while (*p != d)
        p = &(*p)->next;
    *p = d->next;
    uv_close((uv_handle_t *)&d->ev, on_closed);
}

void hf_watch_free(struct hf_watch *w)
{
    if (w == NULL)
        return;
    while (w->dirs != NULL)
        hf_watch_remove(w, w->dirs);
    hf_free(w);
}

#endif
