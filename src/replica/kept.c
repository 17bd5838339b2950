#include "replica/kept.h"

#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

struct hf_kept_file {
    struct hf_kept_list *list;
    struct hf_kept_file *next_in_list;
    struct hf_kept_file *prev; /* of all, by age */
    struct hf_kept_file *next;
    uint64_t min_txid;
    uint64_t max_txid;
    size_t len;
    uint8_t data[];
};

struct hf_kept {
    pthread_mutex_t lock; /* guards the rest, and all lists */
    size_t max;
    size_t bytes;
    struct hf_kept_file *oldest;
    struct hf_kept_file *newest;
};

struct hf_kept *hf_kept_new(size_t max_bytes)
{
    struct hf_kept *k = hf_calloc(1, sizeof(*k));
    pthread_mutex_init(&k->lock, NULL);
    k->max = max_bytes;
    return k;
}

void hf_kept_free(struct hf_kept *k)
{
    if (k == NULL)
        return;
    hf_assert(k->oldest == NULL && k->bytes == 0);
    pthread_mutex_destroy(&k->lock);
    hf_free(k);
}

/* What is oldest of all is oldest in its list: both are filled in the order of puts. */
static void drop_first(struct hf_kept *k, struct hf_kept_list *list)
{
    struct hf_kept_file *f = list->first;
    list->first = f->next_in_list;
    if (list->first == NULL)
        list->last = NULL;
    *(f->prev != NULL ? &f->prev->next : &k->oldest) = f->next;
    *(f->next != NULL ? &f->next->prev : &k->newest) = f->prev;
    k->bytes -= f->len;
    hf_free(f);
}

static void append(struct hf_kept *k, struct hf_kept_file *f)
{
    f->prev = k->newest;
    *(k->newest != NULL ? &k->newest->next : &k->oldest) = f;
    k->newest = f;
    *(f->list->last != NULL ? &f->list->last->next_in_list : &f->list->first) = f;
    f->list->last = f;
    k->bytes += f->len;
}

void hf_kept_add(struct hf_kept *k, struct hf_kept_list *list, const struct hf_ltx_info *info,
                 const void *data, size_t len)
{
    if (len > HF_LIMIT_KEPT_FILE || len > k->max)
        return;
    struct hf_kept_file *f = hf_malloc(sizeof(*f) + len);
    *f = (struct hf_kept_file){
        .list = list, .min_txid = info->min_txid, .max_txid = info->max_txid, .len = len};
    memcpy(f->data, data, len);
    pthread_mutex_lock(&k->lock);
    while (k->bytes + len > k->max)
        drop_first(k, k->oldest->list);
    append(k, f);
    pthread_mutex_unlock(&k->lock);
}

uint8_t *hf_kept_copy(struct hf_kept *k, const struct hf_kept_list *list,
                      const struct hf_ltx_info *info)
{
    uint8_t *copy = NULL;
    pthread_mutex_lock(&k->lock);
    struct hf_kept_file *f = list->first;
    while (f != NULL && (f->min_txid != info->min_txid || f->max_txid != info->max_txid))
        f = f->next_in_list;
    if (f != NULL && f->len == info->size) {
        copy = hf_malloc(f->len);
        memcpy(copy, f->data, f->len);
    }
    pthread_mutex_unlock(&k->lock);
    return copy;
}

void hf_kept_forget(struct hf_kept *k, struct hf_kept_list *list, uint64_t max_txid)
{
    pthread_mutex_lock(&k->lock);
    while (list->first != NULL && list->first->max_txid <= max_txid)
        drop_first(k, list);
    pthread_mutex_unlock(&k->lock);
}
