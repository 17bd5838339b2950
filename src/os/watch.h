/*
 * Watches directories for changes of the files in them: inotify on Linux, FSEvents through libuv on
 * macOS.
 *
 * One watcher per loop; callbacks run on the loop's thread. Events are hints: identical ones are
 * merged, and after an overflow of the kernel's queue every directory's callback gets name NULL
 * ("look at everything"). A burst is read at most every HF_WATCH_PACE_MS, so that a writer at full
 * speed costs a bounded share of a core.
 */
#ifndef HF_OS_WATCH_H
#define HF_OS_WATCH_H

#include <stdbool.h>
#include <uv.h>

#include "base/attr.h"
#include "base/err.h"

enum { HF_WATCH_PACE_MS = 1 };

enum hf_watch_event {
    HF_WATCH_MODIFIED = 1,  /* content written or truncated */
    HF_WATCH_CREATED = 2,   /* a name appeared (created or moved in) */
    HF_WATCH_REMOVED = 4,   /* a name went away (deleted or moved out) */
    HF_WATCH_DIR_GONE = 8,  /* the directory itself; name is NULL, the watch has ended */
    HF_WATCH_OVERFLOW = 16, /* events were lost; name is NULL */
};

/* name: relative to the directory, valid during the call; NULL see above. */
typedef void hf_watch_fn(void *arg, const char *name, unsigned events);

struct hf_watch;
struct hf_watch_dir;

HF_MUST enum hf_code hf_watch_new(uv_loop_t *loop, struct hf_watch **out, struct hf_err *err);
/* HF_E_NOT_FOUND if dir does not exist; HF_E_LIMIT with a hint when the system has no watch left.
 * A directory may be added once only (the caller shares). */
HF_MUST enum hf_code hf_watch_add(struct hf_watch *w, const char *dir, hf_watch_fn *fn, void *arg,
                                  struct hf_watch_dir **out, struct hf_err *err);
/* Not from inside a callback of the same directory. NULL is allowed. */
void hf_watch_remove(struct hf_watch *w, struct hf_watch_dir *d);
/* Ends all watches; the loop must run once more afterwards to close its handles. */
void hf_watch_free(struct hf_watch *w);

#endif
