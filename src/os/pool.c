#include "os/pool.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "os/thread.h"

enum { POOL_THREADS_MAX = 128 };

struct task_list {
    struct hf_task *head;
    struct hf_task *tail;
};

struct hf_pool {
    const char *name;
    bool is_background;
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    struct task_list queue;
    size_t load; /* queued + running */
    bool is_ending;
    size_t n_threads;
    pthread_t threads[POOL_THREADS_MAX];
};

struct hf_mailbox {
    pthread_mutex_t lock;
    struct task_list posted;
    void (*wake)(void *arg);
    void *arg;
};

static void list_push(struct task_list *l, struct hf_task *t)
{
    t->next = NULL;
    if (l->tail != NULL)
        l->tail->next = t;
    else
        l->head = t;
    l->tail = t;
}

static struct hf_task *list_pop(struct task_list *l)
{
    struct hf_task *t = l->head;
    if (t != NULL)
        l->head = t->next;
    if (l->head == NULL)
        l->tail = NULL;
    return t;
}

static void *work(void *arg)
{
    struct hf_pool *p = arg;
    hf_thread_name(p->name);
    if (p->is_background)
        hf_thread_set_background();
    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct hf_task *t = list_pop(&p->queue);
        if (t == NULL && p->is_ending)
            break;
        if (t == NULL) {
            pthread_cond_wait(&p->has_work, &p->lock);
            continue;
        }
        pthread_mutex_unlock(&p->lock);
        t->run(t); /* t may be submitted again, or freed, by what it posts */
        pthread_mutex_lock(&p->lock);
        p->load--;
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

enum hf_code hf_pool_new(const char *name, size_t threads, bool is_background, struct hf_pool **out,
                         struct hf_err *err)
{
    hf_assert(threads >= 1 && threads <= POOL_THREADS_MAX);
    struct hf_pool *p = hf_calloc(1, sizeof(*p));
    p->name = name;
    p->is_background = is_background;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->has_work, NULL);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 512u * 1024u);
    int sys = 0;
    for (size_t i = 0; i < threads && sys == 0; i++) {
        sys = pthread_create(&p->threads[i], &attr, work, p);
        if (sys == 0)
            p->n_threads++;
    }
    pthread_attr_destroy(&attr);
    if (sys != 0) {
        hf_pool_free(p);
        return hf_err_sys(err, sys, "start thread %s", name);
    }
    *out = p;
    return HF_OK;
}

void hf_pool_submit(struct hf_pool *p, struct hf_task *task)
{
    hf_assert(task->run != NULL);
    pthread_mutex_lock(&p->lock);
    hf_assert(!p->is_ending);
    list_push(&p->queue, task);
    p->load++;
    pthread_cond_signal(&p->has_work);
    pthread_mutex_unlock(&p->lock);
}

size_t hf_pool_load(struct hf_pool *p)
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->load;
    pthread_mutex_unlock(&p->lock);
    return n;
}

void hf_pool_free(struct hf_pool *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->is_ending = true;
    pthread_cond_broadcast(&p->has_work);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->has_work);
    pthread_mutex_destroy(&p->lock);
    hf_free(p);
}

struct hf_mailbox *hf_mailbox_new(void (*wake)(void *arg), void *arg)
{
    struct hf_mailbox *m = hf_calloc(1, sizeof(*m));
    pthread_mutex_init(&m->lock, NULL);
    m->wake = wake;
    m->arg = arg;
    return m;
}

void hf_mailbox_post(struct hf_mailbox *m, struct hf_task *task)
{
    pthread_mutex_lock(&m->lock);
    bool was_empty = m->posted.head == NULL;
    list_push(&m->posted, task);
    pthread_mutex_unlock(&m->lock);
    if (was_empty)
        m->wake(m->arg);
}

struct hf_task *hf_mailbox_take(struct hf_mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    struct hf_task *t = m->posted.head;
    m->posted = (struct task_list){NULL, NULL};
    pthread_mutex_unlock(&m->lock);
    return t;
}

void hf_mailbox_free(struct hf_mailbox *m)
{
    if (m == NULL)
        return;
    pthread_mutex_destroy(&m->lock);
    hf_free(m);
}

size_t hf_cpu_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (size_t)n;
}
