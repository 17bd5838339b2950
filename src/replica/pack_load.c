/*
 * Looking at the packs there are: their list, and the tables of those that are not known yet,
 * several at once where they are on a server.
 *
 * A pack whose table is damaged is kept as an empty one. What it held is missing, what the others
 * hold is not; who wants the newest state is told by hf_packs_hides().
 */
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/pool.h"
#include "replica/fetch.h"
#include "replica/packs_int.h"

enum {
    FIRST_READ = 16 << 10, /* header and table of most packs */
    SKEW_MS = 120 * 1000,  /* between a writer's clock and the store's */
};

/* A pack that is listed and not known yet. */
struct unread {
    uint64_t number;
    int64_t time_ms; /* as listed */
    enum hf_code rc;
    struct hf_pack pack; /* rc HF_OK */
    struct hf_err *err;  /* else */
};

struct listed {
    struct unread *items; /* ascending */
    size_t n;
    size_t cap;
};

static enum hf_code add_listed(void *arg, const struct hf_store_object *o, struct hf_err *err)
{
    (void)err;
    struct listed *l = arg;
    uint64_t number = 0;
    if (!hf_pack_name_parse(o->name, &number))
        return HF_OK;
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->items = hf_realloc(l->items, l->cap, sizeof(*l->items));
    }
    l->items[l->n++] = (struct unread){.number = number, .time_ms = o->time_ms};
    return HF_OK;
}

static void listed_deinit(struct listed *l)
{
    for (size_t i = 0; i < l->n; i++) {
        hf_pack_deinit(&l->items[i].pack); /* unless it was taken */
        hf_free(l->items[i].err);
    }
    hf_free(l->items);
}

/* ---- tables ---- */

enum hf_code packs_read_all(struct hf_store_reader *r, uint8_t *data, size_t size, size_t *got,
                            struct hf_err *err)
{
    *got = 0;
    for (size_t n = 1; n > 0 && *got < size; *got += n)
        HF_TRY(hf_store_reader_read(r, data + *got, size - *got, &n, err));
    return HF_OK;
}

static enum hf_code read_table(struct hf_store_reader *r, uint8_t **data, struct hf_pack *out,
                               struct hf_err *err)
{
    size_t got = 0;
    size_t more = 0;
    size_t size = 0;
    HF_TRY(packs_read_all(r, *data, FIRST_READ, &got, err));
    if (got < HF_PACK_HEADER_SIZE)
        return hf_err_set(err, HF_E_CORRUPT, "a pack of %zu bytes", got);
    HF_TRY(hf_pack_head_size(*data, &size, err));
    if (size > got) {
        *data = hf_realloc(*data, size, 1);
        HF_TRY(packs_read_all(r, *data + got, size - got, &more, err));
    }
    if (size > got + more)
        return hf_err_set(err, HF_E_CORRUPT, "a pack of %zu bytes, its table has %zu", got + more,
                          size);
    return hf_pack_parse(*data, size, out, err);
}

static enum hf_code read_pack(struct hf_packs *p, uint64_t number, struct hf_pack *out,
                              struct hf_err *err)
{
    HF_AUTO_FREE char *name = hf_packs_object(p, number);
    HF_AUTO_FREE uint8_t *data = hf_malloc(FIRST_READ);
    struct hf_store_reader *r = NULL;
    HF_TRY(hf_store_reader_new(p->store, name, 0, &r, err));
    enum hf_code rc = read_table(r, &data, out, err);
    hf_store_reader_free(r);
    if (rc == HF_OK && out->number != number) {
        hf_pack_deinit(out);
        rc = hf_err_set(err, HF_E_CORRUPT, "the pack says another number");
    }
    return rc == HF_OK ? HF_OK : hf_err_wrap(err, "%s/%s", hf_store_url(p->store), name);
}

/* What several threads read: each takes the next one until there is none, or an error. */
struct reading {
    struct hf_packs *packs;
    struct unread *items;
    size_t n;
    atomic_size_t next;
};

struct reader_task {
    struct hf_task task;
    struct reading *reading;
};

static void read_some(struct reading *g)
{
    for (size_t i; (i = atomic_fetch_add(&g->next, 1)) < g->n;) {
        struct unread *u = &g->items[i];
        struct hf_err err = HF_ERR_INIT;
        u->rc = read_pack(g->packs, u->number, &u->pack, &err);
        if (u->rc == HF_OK)
            continue;
        u->err = hf_malloc(sizeof(err));
        *u->err = err;
        if (u->rc != HF_E_CORRUPT && u->rc != HF_E_NOT_FOUND)
            atomic_store(&g->next, g->n);
    }
}

static void run_reader(struct hf_task *task)
{
    read_some(((struct reader_task *)task)->reading);
}

/* This thread reads, too; of threads that do not start there are fewer. */
static void read_tables(struct hf_packs *p, struct unread *items, size_t n)
{
    struct reading g = {.packs = p, .items = items, .n = n};
    struct reader_task tasks[HF_FETCH_REQUESTS - 1];
    struct hf_pool *pool = NULL;
    size_t more = n < HF_FETCH_REQUESTS ? n : HF_FETCH_REQUESTS;
    more = more == 0 || hf_store_is_local(p->store) ? 0 : more - 1;
    for (size_t i = 0; i < n; i++)
        items[i].rc = HF_E_CANCELED; /* until it is read */
    if (more > 0 && hf_pool_new("hf-tables", more, false, &pool, NULL) != HF_OK)
        more = 0;
    for (size_t i = 0; i < more; i++) {
        tasks[i] = (struct reader_task){{run_reader, NULL}, &g};
        hf_pool_submit(pool, &tasks[i].task);
    }
    read_some(&g);
    hf_pool_free(pool); /* waits for them */
}

/* ---- what they say ---- */

static void touch_members(struct hf_packs *p, const struct hf_pack *pack)
{
    for (size_t i = 0; i < pack->n; i++) {
        struct hf_packs_member *m = packs_member(p, pack->entries[i].path);
        if (m != NULL)
            m->is_touched = true;
    }
}

static enum hf_code take_table(struct hf_packs *p, struct unread *u)
{
    bool is_damaged = u->rc == HF_E_CORRUPT;
    if (u->rc == HF_E_NOT_FOUND)
        return HF_OK; /* deleted meanwhile */
    if (is_damaged) {
        hf_log(HF_LOG_ERROR, "pack is damaged", HF_F_ERR(u->err), HF_F_END);
        u->pack = (struct hf_pack){.number = u->number};
    } else if (u->rc != HF_OK) {
        return u->rc;
    }
    pthread_mutex_lock(&p->lock);
    if (p->is_loaded)
        touch_members(p, &u->pack);
    packs_add(p, &u->pack, NULL, 0);
    u->pack = (struct hf_pack){0};
    struct pack_item *it = &p->items[p->n_items - 1];
    it->listed_ms = u->time_ms;
    it->is_damaged = is_damaged;
    if (is_damaged)
        it->n_kept = 1; /* never deleted */
    pthread_mutex_unlock(&p->lock);
    return HF_OK;
}

/* The first error in the order of the numbers; those that were not read stand behind it, or before
 * it when it came from another thread: nothing is taken beyond a gap. */
static enum hf_code take_tables(struct hf_packs *p, struct unread *items, size_t n,
                                struct hf_err *err)
{
    enum hf_code rc = HF_OK;
    size_t i = 0;
    for (; rc == HF_OK && i < n; i++)
        rc = take_table(p, &items[i]);
    for (i -= rc != HF_OK; rc != HF_OK && i < n; i++) {
        if (items[i].err == NULL || items[i].rc == HF_E_CORRUPT || items[i].rc == HF_E_NOT_FOUND)
            continue;
        if (err != NULL)
            *err = *items[i].err;
        return items[i].rc;
    }
    return rc;
}

/* lock held. What is not listed any more; a pack behind the newest listed one may be younger than
 * the list. */
static void drop_gone(struct hf_packs *p, const struct listed *l)
{
    uint64_t newest = l->n == 0 ? 0 : l->items[l->n - 1].number;
    size_t at = 0;
    for (size_t i = 0; i < p->n_items && p->items[i].number < newest;) {
        while (l->items[at].number < p->items[i].number)
            at++;
        if (l->items[at].number == p->items[i].number)
            i++;
        else
            packs_remove(p, i);
    }
}

enum hf_code packs_load(struct hf_packs *p, struct hf_err *err)
{
    struct listed l = {0};
    size_t known = 0;
    uint64_t begin_ms = hf_clock_mono_ms();
    enum hf_code rc = hf_store_list(p->store, p->dir, NULL, add_listed, &l, err);
    uint64_t next = hf_packs_next(p);
    if (rc == HF_OK) {
        pthread_mutex_lock(&p->lock);
        drop_gone(p, &l);
        pthread_mutex_unlock(&p->lock);
        while (known < l.n && l.items[known].number < next)
            known++;
        read_tables(p, l.items + known, l.n - known);
        rc = take_tables(p, l.items + known, l.n - known, err);
    }
    listed_deinit(&l);
    if (rc != HF_OK)
        return hf_err_wrap(err, "read the packs in %s of %s", p->dir, hf_store_url(p->store));
    pthread_mutex_lock(&p->lock);
    p->is_loaded = true;
    p->is_stale = false;
    p->known_ms = begin_ms;
    pthread_mutex_unlock(&p->lock);
    return HF_OK;
}

/* ---- what can't be read ---- */

/* A later pack that begins at or before the next TXID, or an earlier one that holds it, shows that
 * it was not in this one: a database's TXIDs go up with the numbers. */
static bool is_beside(const struct pack_item *it, bool is_later, const char *path, uint64_t txid)
{
    for (size_t i = 0; i < it->pack.n; i++) {
        const struct hf_pack_entry *e = &it->pack.entries[i];
        bool shows = is_later ? e->min_txid <= txid + 1 : e->max_txid > txid;
        if (shows && strcmp(e->path, path) == 0)
            return true;
    }
    return false;
}

/* lock held. */
static bool may_hold(const struct hf_packs *p, size_t at, const char *path, uint64_t txid)
{
    for (size_t i = 0; i < p->n_items; i++) {
        if (i != at && is_beside(&p->items[i], i > at, path, txid))
            return false;
    }
    return true;
}

uint64_t hf_packs_hides(struct hf_packs *p, const char *path, uint64_t from, uint64_t txid,
                        int64_t time_ms)
{
    uint64_t number = 0;
    hf_assert_magic(p, PACKS_MAGIC);
    pthread_mutex_lock(&p->lock);
    for (size_t i = packs_find(p, from); number == 0 && i < p->n_items; i++) {
        const struct pack_item *it = &p->items[i];
        if (it->is_damaged && time_ms < it->listed_ms + SKEW_MS && may_hold(p, i, path, txid))
            number = it->number;
    }
    pthread_mutex_unlock(&p->lock);
    return number;
}
