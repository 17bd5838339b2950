/*
 * A fixed set of worker threads and a FIFO of tasks, and a mailbox that carries results back to a
 * loop thread.
 *
 * The queue holds tasks that their owners embed (no allocation, no copy); an owner never submits a
 * task that is still queued or running, so the queue is bounded by the number of owners. run() may
 * block. Any thread may submit; hf_pool_free() waits for every queued task.
 */
#ifndef HF_OS_POOL_H
#define HF_OS_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"

struct hf_task {
    void (*run)(struct hf_task *task); /* on a worker thread */
    struct hf_task *next;              /* the pool's and the mailbox's own */
};

struct hf_pool;

/* threads: 1 to 128. name: thread name for debuggers (at most 15 bytes), static. is_background: see
 * hf_thread_set_background. */
HF_MUST enum hf_code hf_pool_new(const char *name, size_t threads, bool is_background,
                                 struct hf_pool **out, struct hf_err *err);
void hf_pool_submit(struct hf_pool *p, struct hf_task *task);
/* Tasks queued or running. */
size_t hf_pool_load(struct hf_pool *p);
/* Runs what is queued, then ends the threads. NULL is allowed. */
void hf_pool_free(struct hf_pool *p);

/*
 * Mailbox: worker threads post tasks, the loop thread takes them all in order. wake() is called by
 * the poster when the mailbox was empty (uv_async_send); it must be safe from any thread.
 */
struct hf_mailbox;

struct hf_mailbox *hf_mailbox_new(void (*wake)(void *arg), void *arg);
void hf_mailbox_post(struct hf_mailbox *m, struct hf_task *task);
/* The posted tasks, oldest first, linked by next; NULL if none. */
struct hf_task *hf_mailbox_take(struct hf_mailbox *m);
void hf_mailbox_free(struct hf_mailbox *m);

/* Processors this process may use, at least 1. */
size_t hf_cpu_count(void);

#endif
