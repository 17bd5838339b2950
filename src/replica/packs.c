#include "replica/packs.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "os/gate.h"
#include "replica/packs_int.h"

enum { TRUST_MAX_MS = 60000 };

/* ---- life ---- */

struct hf_packs *hf_packs_new(struct hf_store *store, const char *base, uint64_t interval_ms,
                              uint64_t keep_ms)
{
    struct hf_packs *p = hf_calloc(1, sizeof(*p));
    p->magic = PACKS_MAGIC;
    p->store = store;
    p->base = hf_strdup(base);
    p->dir = hf_asprintf("%spacks", base);
    p->writer = hf_random_u64();
    p->interval_ms = interval_ms;
    p->trust_ms = keep_ms / 2 < TRUST_MAX_MS ? keep_ms / 2 : TRUST_MAX_MS;
    p->queue_end = &p->queue;
    p->gate = hf_gate_new(HF_LIMIT_PACK_BUSY);
    pthread_mutex_init(&p->io_lock, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->done, NULL);
    return p;
}

static void drop_bytes(struct hf_packs *p, struct pack_item *it)
{
    if (it->bytes == NULL)
        return;
    p->cached_bytes -= it->size;
    hf_free(it->bytes);
    it->bytes = NULL;
}

static void item_deinit(struct hf_packs *p, struct pack_item *it)
{
    drop_bytes(p, it);
    hf_pack_deinit(&it->pack);
    hf_free(it->is_released);
}

void hf_packs_free(struct hf_packs *p)
{
    if (p == NULL)
        return;
    hf_assert_magic(p, PACKS_MAGIC);
    hf_assert(p->queue == NULL && !p->has_leader);
    for (size_t i = 0; i < p->n_items; i++)
        item_deinit(p, &p->items[i]);
    while (p->members != NULL) {
        struct hf_packs_member *m = p->members;
        p->members = m->next;
        hf_free(m->path);
        hf_free(m);
    }
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->io_lock);
    hf_gate_free(p->gate);
    hf_free(p->items);
    hf_free(p->base);
    hf_free(p->dir);
    p->magic = 0;
    hf_free(p);
}

struct hf_packs_member *packs_member(const struct hf_packs *p, const char *path)
{
    struct hf_packs_member *m = p->members;
    while (m != NULL && strcmp(m->path, path) != 0)
        m = m->next;
    return m;
}

struct hf_packs_member *hf_packs_join(struct hf_packs *p, struct hf_replica *r, const char *path)
{
    hf_assert_magic(p, PACKS_MAGIC);
    pthread_mutex_lock(&p->lock);
    struct hf_packs_member *m = packs_member(p, path);
    if (m == NULL) {
        m = hf_calloc(1, sizeof(*m));
        m->path = hf_strdup(path);
        m->replica = r;
        m->next = p->members;
        p->members = m;
    }
    m->refs++;
    pthread_mutex_unlock(&p->lock);
    return m;
}

void hf_packs_leave(struct hf_packs *p, struct hf_packs_member *m, const struct hf_replica *r)
{
    hf_assert_magic(p, PACKS_MAGIC);
    pthread_mutex_lock(&p->lock);
    hf_assert(m->refs > 0);
    bool is_last = --m->refs == 0;
    struct hf_packs_member **at = &p->members;
    while (*at != m)
        at = &(*at)->next;
    if (is_last)
        *at = m->next;
    else if (m->replica == r)
        m->replica = NULL; /* nobody's retention looks after it */
    pthread_mutex_unlock(&p->lock);
    if (is_last) {
        hf_free(m->path);
        hf_free(m);
    }
}

void hf_packs_hurry(struct hf_packs *p, uint64_t interval_ms)
{
    hf_assert(interval_ms > 0);
    pthread_mutex_lock(&p->lock);
    if (interval_ms < p->interval_ms)
        p->interval_ms = interval_ms;
    pthread_mutex_unlock(&p->lock);
}

struct hf_gate *hf_packs_gate(struct hf_packs *p)
{
    hf_assert_magic(p, PACKS_MAGIC);
    return p->gate;
}

char *hf_packs_object(const struct hf_packs *p, uint64_t number)
{
    char name[HF_PACK_NAME_SIZE];
    hf_pack_name_format(number, name);
    return hf_asprintf("%s/%s", p->dir, name);
}

/* ---- tables ---- */

uint64_t packs_next_number(const struct hf_packs *p)
{
    return p->n_items == 0 ? 1 : p->items[p->n_items - 1].number + 1;
}

size_t packs_find(const struct hf_packs *p, uint64_t number)
{
    size_t lo = 0;
    size_t hi = p->n_items;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (p->items[mid].number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void trim_cache(struct hf_packs *p)
{
    for (size_t i = 0; i < p->n_items && p->cached_bytes > HF_LIMIT_PACK_CACHE; i++)
        drop_bytes(p, &p->items[i]);
}

void packs_add(struct hf_packs *p, struct hf_pack *take_pack, uint8_t *take_bytes, size_t size)
{
    hf_assert(take_pack->number >= packs_next_number(p));
    if (p->n_items == p->cap_items) {
        p->cap_items = p->cap_items ? p->cap_items * 2 : 64;
        p->items = hf_realloc(p->items, p->cap_items, sizeof(*p->items));
    }
    struct pack_item *it = &p->items[p->n_items++];
    *it = (struct pack_item){.number = take_pack->number, .pack = *take_pack, .bytes = take_bytes};
    it->is_released = hf_calloc(it->pack.n + 1, sizeof(bool));
    for (size_t i = 0; i < it->pack.n; i++)
        it->n_kept += !it->pack.entries[i].is_elsewhere;
    if (take_bytes != NULL) {
        it->size = size;
        p->cached_bytes += size;
        trim_cache(p);
    }
}

void packs_remove(struct hf_packs *p, size_t i)
{
    item_deinit(p, &p->items[i]);
    memmove(&p->items[i], &p->items[i + 1], (p->n_items - i - 1) * sizeof(*p->items));
    p->n_items--;
}

/* ---- looking ---- */

uint64_t hf_packs_next(struct hf_packs *p)
{
    pthread_mutex_lock(&p->lock);
    uint64_t next = packs_next_number(p);
    pthread_mutex_unlock(&p->lock);
    return next;
}

static bool must_load(struct hf_packs *p)
{
    pthread_mutex_lock(&p->lock);
    bool must = !p->is_loaded || p->is_stale || p->interval_ms == 0;
    pthread_mutex_unlock(&p->lock);
    return must;
}

enum hf_code hf_packs_refresh(struct hf_packs *p, struct hf_err *err)
{
    hf_assert_magic(p, PACKS_MAGIC);
    if (!must_load(p))
        return HF_OK;
    pthread_mutex_lock(&p->io_lock);
    enum hf_code rc = must_load(p) ? packs_load(p, err) : HF_OK;
    pthread_mutex_unlock(&p->io_lock);
    return rc;
}

/* ---- the files of one replica ---- */

static void list_item(const struct pack_item *it, const char *path, uint64_t after,
                      struct hf_ltx_list *out)
{
    for (size_t i = 0; i < it->pack.n; i++) {
        const struct hf_pack_entry *e = &it->pack.entries[i];
        if (it->is_released[i] || e->is_elsewhere || e->max_txid <= after ||
            strcmp(e->path, path) != 0)
            continue;
        struct hf_ltx_info info = {.min_txid = e->min_txid,
                                   .max_txid = e->max_txid,
                                   .size = e->size,
                                   .time_ms = e->time_ms,
                                   .pack = it->number,
                                   .offset = e->offset};
        hf_ltx_list_push(out, &info);
    }
}

void hf_packs_list(struct hf_packs *p, const char *path, uint64_t from, uint64_t after,
                   struct hf_ltx_list *out)
{
    hf_assert_magic(p, PACKS_MAGIC);
    pthread_mutex_lock(&p->lock);
    for (size_t i = packs_find(p, from); i < p->n_items; i++)
        list_item(&p->items[i], path, after, out);
    pthread_mutex_unlock(&p->lock);
}

static struct pack_item *find_item(struct hf_packs *p, uint64_t number)
{
    size_t i = packs_find(p, number);
    return i < p->n_items && p->items[i].number == number ? &p->items[i] : NULL;
}

/* One that was written lately. */
static bool read_cached(struct hf_packs *p, const struct hf_ltx_info *info, uint8_t *out)
{
    pthread_mutex_lock(&p->lock);
    const struct pack_item *it = find_item(p, info->pack);
    bool is_there = it != NULL && it->bytes != NULL && info->offset <= it->size &&
                    info->size <= it->size - info->offset;
    if (is_there)
        memcpy(out, it->bytes + info->offset, info->size);
    pthread_mutex_unlock(&p->lock);
    return is_there;
}

static enum hf_code read_part(struct hf_packs *p, const char *object,
                              const struct hf_ltx_info *info, struct hf_buf *buf,
                              struct hf_err *err)
{
    if (hf_store_has_ranges(p->store))
        return hf_store_read_range(p->store, object, info->offset, info->size, buf, err);
    struct hf_store_reader *r = NULL;
    HF_TRY(hf_buf_reserve(buf, info->size, err));
    HF_TRY(hf_store_reader_new(p->store, object, info->offset, &r, err));
    enum hf_code rc = packs_read_all(r, (uint8_t *)buf->data, info->size, &buf->len, err);
    hf_store_reader_free(r);
    return rc;
}

enum hf_code hf_packs_read(struct hf_packs *p, const struct hf_ltx_info *info, uint8_t *out,
                           struct hf_err *err)
{
    if (read_cached(p, info, out))
        return HF_OK;
    HF_AUTO_FREE char *object = hf_packs_object(p, info->pack);
    struct hf_buf buf;
    hf_buf_init(&buf, info->size);
    enum hf_code rc = read_part(p, object, info, &buf, err);
    if (rc == HF_OK && buf.len < info->size)
        rc = hf_err_set(err, HF_E_CORRUPT, "%s/%s ends too early", hf_store_url(p->store), object);
    if (rc == HF_OK)
        memcpy(out, buf.data, info->size);
    hf_buf_deinit(&buf);
    if (rc == HF_E_NOT_FOUND) {
        pthread_mutex_lock(&p->lock);
        p->is_stale = true; /* listed, and gone: so may be others */
        pthread_mutex_unlock(&p->lock);
    }
    return rc;
}

static void release_one(struct pack_item *it, const char *path, const struct hf_ltx_info *f)
{
    for (size_t i = 0; i < it->pack.n; i++) {
        const struct hf_pack_entry *e = &it->pack.entries[i];
        if (it->is_released[i] || e->is_elsewhere || e->offset != f->offset ||
            strcmp(e->path, path) != 0)
            continue;
        it->is_released[i] = true;
        it->n_kept--;
    }
}

void hf_packs_release(struct hf_packs *p, const char *path, const struct hf_ltx_info *infos,
                      size_t n)
{
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < n; i++) {
        struct pack_item *it = infos[i].pack == 0 ? NULL : find_item(p, infos[i].pack);
        if (it != NULL)
            release_one(it, path, &infos[i]);
    }
    pthread_mutex_unlock(&p->lock);
}
