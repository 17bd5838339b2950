/*
 * Filling and writing packs: puts that come within one interval share one object.
 *
 * The first put after a quiet interval goes at once. Later ones wait for the next multiple of the
 * interval on the monotonic clock, and GATHER_MS more: databases that are due take what they have
 * at that multiple (db_ship.c), so a pack holds what was committed until just before.
 *
 * What goes wrong, and what happens then:
 *   the number is taken         the pack there is read; whose databases it does not touch tries the
 *                               next number, the others get HF_E_EXISTS
 *   it is not known whether     all get the error and try again; then the directory is listed
 *   the pack was written        first, and what was written after all counts as somebody else's:
 *                               HF_E_EXISTS, and the database goes on from what the replica holds
 *   others wrote and deleted    their numbers are free again, and too low: what is known counts for
 *   packs meanwhile             trust_ms, shorter than any pack lives; then the directory is listed
 */
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "ltx/crc64.h"
#include "replica/packs_int.h"

enum {
    GATHER_MS = 80,
    LATE_MS =
        300, /* longer for those that are being encoded: on a busy machine all of them take it */
    POLL_MS = 10,
    URGENT_MS = 300,
};

/* ---- one pack ---- */

/* Its putter goes on, and the struct is gone, only when is_done is set by lead(). */
static void end_wait(struct pack_wait *w, enum hf_code rc, const struct hf_err *err)
{
    w->rc = rc;
    if (rc != HF_OK)
        w->err = *err;
    w->has_result = true;
}

static void end_all(struct pack_wait *list, enum hf_code rc, const struct hf_err *err)
{
    for (struct pack_wait *w = list; w != NULL; w = w->next) {
        if (!w->has_result)
            end_wait(w, rc, err);
    }
}

/* lock held. It is in a pack already: an answer was lost. */
static bool is_packed(const struct hf_packs *p, const struct pack_wait *w)
{
    for (size_t i = 0; i < p->n_items; i++) {
        const struct hf_pack *pack = &p->items[i].pack;
        for (size_t k = 0; pack->writer == p->writer && k < pack->n; k++) {
            const struct hf_pack_entry *e = &pack->entries[k];
            if (e->min_txid == w->entry.min_txid && e->max_txid == w->entry.max_txid &&
                e->crc == w->entry.crc && e->size == w->entry.size &&
                strcmp(e->path, w->entry.path) == 0)
                return true;
        }
    }
    return false;
}

/* lock held. Those somebody else wrote for meanwhile; the number of those left. */
static size_t end_touched(struct hf_packs *p, struct pack_wait *list)
{
    size_t n_left = 0;
    for (struct pack_wait *w = list; w != NULL; w = w->next) {
        if (!w->has_result && w->member->is_touched) {
            struct hf_err err = HF_ERR_INIT;
            bool is_ours = is_packed(p, w);
            hf_err_set(&err, HF_E_EXISTS, "a pack in %s holds changes of %s that are not ours",
                       p->dir, w->entry.path);
            end_wait(w, is_ours ? HF_OK : HF_E_EXISTS, &err);
            w->member->is_touched = false;
        }
        n_left += !w->has_result;
    }
    return n_left;
}

static void collect(struct hf_packs *p, const struct pack_wait *list, size_t n, uint64_t number,
                    struct hf_pack *out)
{
    size_t path_bytes = 0;
    for (const struct pack_wait *w = list; w != NULL; w = w->next)
        path_bytes += strlen(w->entry.path) + 1;
    *out = (struct hf_pack){.writer = p->writer, .number = number, .time_ms = hf_clock_wall_ms()};
    out->entries = hf_calloc(n, sizeof(*out->entries));
    out->paths = hf_malloc(path_bytes);
    char *at = out->paths;
    for (const struct pack_wait *w = list; w != NULL; w = w->next) {
        if (w->has_result)
            continue;
        size_t len = strlen(w->entry.path) + 1;
        out->entries[out->n] = w->entry;
        out->entries[out->n++].path = memcpy(at, w->entry.path, len);
        at += len;
    }
    hf_assert(out->n == n);
}

/* In one piece of the right size: it is kept, and packs can be large. */
static enum hf_code fill(struct hf_pack *pack, const struct pack_wait *list, struct hf_buf *buf,
                         struct hf_err *err)
{
    size_t size = HF_PACK_HEADER_SIZE;
    for (size_t i = 0; i < pack->n; i++)
        size += hf_pack_entry_size(pack->entries[i].path) + pack->entries[i].size;
    HF_TRY(hf_buf_reserve(buf, size, err));
    HF_TRY(hf_pack_write(pack, buf, err));
    for (const struct pack_wait *w = list; w != NULL; w = w->next) {
        if (!w->has_result)
            HF_TRY(hf_buf_append(buf, w->data, w->entry.size, err));
    }
    return HF_OK;
}

/* io_lock held. One try; HF_E_EXISTS: another number. */
static enum hf_code write_pack(struct hf_packs *p, struct pack_wait *list, size_t n,
                               struct hf_err *err)
{
    struct hf_pack pack;
    struct hf_buf buf;
    hf_buf_init(&buf, HF_PACK_HEADER_SIZE + HF_LIMIT_PACK_TABLE + 2 * HF_LIMIT_PACK_BYTES);
    pthread_mutex_lock(&p->lock);
    uint64_t number = packs_next_number(p);
    pthread_mutex_unlock(&p->lock);
    collect(p, list, n, number, &pack);
    HF_AUTO_FREE char *name = hf_packs_object(p, number);
    enum hf_code rc = fill(&pack, list, &buf, err);
    if (rc == HF_OK)
        rc = hf_store_put(p->store, name, buf.data, buf.len, HF_STORE_CREATE_ONLY, pack.time_ms,
                          err);
    pthread_mutex_lock(&p->lock);
    if (rc == HF_OK) {
        packs_add(p, &pack, hf_steal(&buf.data), buf.len);
        p->known_ms = hf_clock_mono_ms();
    } else {
        p->is_stale = true;
        hf_pack_deinit(&pack);
    }
    pthread_mutex_unlock(&p->lock);
    hf_buf_deinit(&buf);
    return rc;
}

/* io_lock held. */
static enum hf_code try_once(struct hf_packs *p, struct pack_wait *list, struct hf_err *err)
{
    pthread_mutex_lock(&p->lock);
    bool is_old = hf_clock_mono_ms() >= p->known_ms + p->trust_ms;
    bool must_load = !p->is_loaded || p->is_stale || is_old;
    pthread_mutex_unlock(&p->lock);
    if (must_load)
        HF_TRY(packs_load(p, err));
    pthread_mutex_lock(&p->lock);
    size_t n = end_touched(p, list);
    pthread_mutex_unlock(&p->lock);
    return n == 0 ? HF_OK : write_pack(p, list, n, err);
}

static void write_list(struct hf_packs *p, struct pack_wait *list)
{
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = HF_E_EXISTS;
    pthread_mutex_lock(&p->io_lock);
    for (int i = 0; rc == HF_E_EXISTS && i < HF_LIMIT_PACK_TRIES; i++) {
        hf_err_reset(&err);
        rc = try_once(p, list, &err);
    }
    pthread_mutex_unlock(&p->io_lock);
    if (rc == HF_E_EXISTS)
        rc = hf_err_set(&err, HF_E_BUSY, "others were faster %d times at writing a pack in %s",
                        HF_LIMIT_PACK_TRIES, p->dir);
    end_all(list, rc, &err);
}

/* ---- gathering ---- */

static uint64_t due_at(const struct hf_packs *p, uint64_t now)
{
    if (p->last_begin_ms == 0 || now >= p->last_begin_ms + p->interval_ms + GATHER_MS)
        return now;
    return (p->last_begin_ms / p->interval_ms + 1) * p->interval_ms + GATHER_MS;
}

static bool is_full(const struct hf_packs *p)
{
    return p->n_queued >= HF_LIMIT_PACK_SHIPPERS || p->queued_bytes >= HF_LIMIT_PACK_BYTES ||
           p->queued_table >= HF_LIMIT_PACK_TABLE / 2;
}

/* Takes one pack's worth off the queue. */
static struct pack_wait *take_list(struct hf_packs *p)
{
    struct pack_wait *list = p->queue;
    struct pack_wait **end = &p->queue;
    uint64_t bytes = 0;
    size_t table = 0;
    while (*end != NULL && bytes < HF_LIMIT_PACK_BYTES && table < HF_LIMIT_PACK_TABLE / 2) {
        bytes += (*end)->entry.size;
        table += hf_pack_entry_size((*end)->entry.path);
        p->n_queued--;
        end = &(*end)->next;
    }
    p->queued_bytes -= bytes;
    p->queued_table -= table;
    struct pack_wait *rest = *end;
    *end = NULL;
    p->queue = rest;
    if (rest == NULL)
        p->queue_end = &p->queue;
    return list;
}

/* lock held, given up in between. */
static void gather(struct hf_packs *p)
{
    uint64_t now = hf_clock_mono_ms();
    uint64_t due = due_at(p, now);
    uint64_t late = due > now ? due + LATE_MS : now; /* after a quiet time nobody is waited for */
    for (; now < late && !is_full(p) && now >= p->urgent_until_ms; now = hf_clock_mono_ms()) {
        if (now >= due && p->n_coming == 0)
            break;
        uint64_t left = now < due ? due - now : late - now;
        pthread_mutex_unlock(&p->lock);
        hf_clock_sleep_us((left < POLL_MS ? left : POLL_MS) * 1000);
        pthread_mutex_lock(&p->lock);
    }
}

/* lock held, given up in between. */
static void lead(struct hf_packs *p)
{
    gather(p);
    p->last_begin_ms = hf_clock_mono_ms();
    struct pack_wait *list = take_list(p);
    pthread_mutex_unlock(&p->lock);
    write_list(p, list);
    pthread_mutex_lock(&p->lock);
    for (struct pack_wait *next; list != NULL; list = next) {
        next = list->next;
        list->is_done = true;
    }
}

void hf_packs_coming(struct hf_packs *p, int more)
{
    hf_assert_magic(p, PACKS_MAGIC);
    pthread_mutex_lock(&p->lock);
    hf_assert(more > 0 || p->n_coming > 0);
    p->n_coming += more > 0 ? 1 : -1;
    pthread_mutex_unlock(&p->lock);
}

void hf_packs_flush(struct hf_packs *p)
{
    hf_assert_magic(p, PACKS_MAGIC);
    pthread_mutex_lock(&p->lock);
    p->urgent_until_ms = hf_clock_mono_ms() + URGENT_MS;
    pthread_mutex_unlock(&p->lock);
}

enum hf_code hf_packs_put(struct hf_packs *p, struct hf_packs_member *m,
                          const struct hf_ltx_header *h, const void *data, size_t len,
                          struct hf_err *err)
{
    hf_assert_magic(p, PACKS_MAGIC);
    hf_assert(len <= HF_LIMIT_PACK_FILE && p->interval_ms > 0);
    struct pack_wait w = {.member = m, .data = data, .err = HF_ERR_INIT};
    w.entry = (struct hf_pack_entry){.min_txid = h->min_txid,
                                     .max_txid = h->max_txid,
                                     .time_ms = h->timestamp_ms,
                                     .size = len,
                                     .crc = hf_crc64(0, data, len),
                                     .is_elsewhere = len == 0,
                                     .path = m->path};
    pthread_mutex_lock(&p->lock);
    *p->queue_end = &w;
    p->queue_end = &w.next;
    p->n_queued++;
    p->queued_bytes += len;
    p->queued_table += hf_pack_entry_size(m->path);
    while (!w.is_done) {
        if (p->has_leader) {
            pthread_cond_wait(&p->done, &p->lock);
            continue;
        }
        p->has_leader = true;
        lead(p);
        p->has_leader = false;
        pthread_cond_broadcast(&p->done);
    }
    pthread_mutex_unlock(&p->lock);
    if (w.rc != HF_OK && err != NULL)
        *err = w.err;
    return w.rc;
}
