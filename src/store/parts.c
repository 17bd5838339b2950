#include "store/parts.h"

#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/pool.h"

struct slot {
    struct hf_task task;
    struct hf_parts *parts;
    struct hf_part part;
    struct hf_buf body;
    bool is_busy;
};

struct hf_parts {
    hf_parts_fn *fn;
    void *arg;
    size_t part_size;
    struct hf_pool *pool; /* from the first part on */
    struct slot slots[HF_PARTS_AT_ONCE];
    size_t n_slots;
    unsigned n; /* parts taken */
    char (*etags)[HF_STORE_ETAG];
    size_t etags_cap;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct hf_err failed; /* the first failure */
};

static size_t slots_for(size_t part_size, unsigned at_once)
{
    size_t n = HF_LIMIT_STORE_AHEAD / part_size;
    n = n < at_once ? n : at_once;
    return n < 1 ? 1 : n < HF_PARTS_AT_ONCE ? n : HF_PARTS_AT_ONCE;
}

struct hf_parts *hf_parts_new(size_t part_size, unsigned at_once, hf_parts_fn *fn, void *arg)
{
    struct hf_parts *p = hf_calloc(1, sizeof(*p));
    p->fn = fn;
    p->arg = arg;
    p->part_size = part_size;
    p->n_slots = slots_for(part_size, at_once);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    return p;
}

static void run(struct hf_task *task)
{
    struct slot *s = (struct slot *)task;
    struct hf_parts *p = s->parts;
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = p->fn(p->arg, &s->part, &err);
    pthread_mutex_lock(&p->lock);
    if (rc != HF_OK && p->failed.code == HF_OK)
        p->failed = err;
    s->is_busy = false;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static struct slot *idle_slot(struct hf_parts *p)
{
    for (size_t i = 0; i < p->n_slots; i++) {
        if (!p->slots[i].is_busy)
            return &p->slots[i];
    }
    return NULL;
}

static enum hf_code failure(const struct hf_parts *p, struct hf_err *err)
{
    if (p->failed.code != HF_OK && err != NULL)
        *err = p->failed;
    return p->failed.code;
}

/* What the slot's last part brought; the sending thread owns the list. */
static void keep_etag(struct hf_parts *p, struct slot *s)
{
    if (s->part.body == NULL)
        return;
    memcpy(p->etags[s->part.number], s->part.etag, HF_STORE_ETAG);
    s->part.body = NULL;
}

static void make_room(struct hf_parts *p)
{
    if (p->n < p->etags_cap)
        return;
    p->etags_cap = p->etags_cap > 0 ? p->etags_cap * 2 : 16;
    p->etags = hf_realloc(p->etags, p->etags_cap, sizeof(*p->etags));
}

enum hf_code hf_parts_send(struct hf_parts *p, struct hf_buf *body, struct hf_err *err)
{
    hf_assert(body->len > 0 && body->len <= p->part_size);
    if (p->pool == NULL)
        HF_TRY(hf_pool_new("parts", p->n_slots, false, &p->pool, err));
    struct slot *s = NULL;
    pthread_mutex_lock(&p->lock);
    while (p->failed.code == HF_OK && (s = idle_slot(p)) == NULL)
        pthread_cond_wait(&p->changed, &p->lock);
    enum hf_code rc = failure(p, err);
    if (rc == HF_OK)
        s->is_busy = true;
    pthread_mutex_unlock(&p->lock);
    if (rc != HF_OK)
        return rc;
    keep_etag(p, s);
    make_room(p);
    struct hf_buf empty = s->body;
    s->body = *body;
    *body = (struct hf_buf){.data = empty.data, .cap = empty.cap, .max = s->body.max};
    s->parts = p;
    s->part = (struct hf_part){.number = p->n++, .body = &s->body};
    s->task = (struct hf_task){run, NULL};
    hf_pool_submit(p->pool, &s->task);
    return HF_OK;
}

static bool is_busy(const struct hf_parts *p)
{
    for (size_t i = 0; i < p->n_slots; i++) {
        if (p->slots[i].is_busy)
            return true;
    }
    return false;
}

enum hf_code hf_parts_wait(struct hf_parts *p, struct hf_err *err)
{
    pthread_mutex_lock(&p->lock);
    while (is_busy(p))
        pthread_cond_wait(&p->changed, &p->lock);
    enum hf_code rc = failure(p, err);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < p->n_slots; i++)
        keep_etag(p, &p->slots[i]);
    return rc;
}

unsigned hf_parts_count(const struct hf_parts *p)
{
    return p->n;
}

const char *hf_parts_etag(const struct hf_parts *p, unsigned i)
{
    hf_assert(i < p->n);
    return p->etags[i];
}

void hf_parts_free(struct hf_parts *p)
{
    if (p == NULL)
        return;
    hf_pool_free(p->pool);
    for (size_t i = 0; i < p->n_slots; i++)
        hf_buf_deinit(&p->slots[i].body);
    hf_free(p->etags);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    hf_free(p);
}
