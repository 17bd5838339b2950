/*
 * A shortest path over positions. Files are taken in the order of their max TXID; for a file [min,
 * max] the cheapest known position in [min-1, max-1] is wanted. All positions known by then are
 * below max, so that is "the cheapest position >= min-1", which a stack answers: positions rise and
 * costs rise from bottom to top, because a new position throws out all that are not cheaper than
 * itself.
 */
#include "replica/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"

/* No file is larger; keeps sums of costs far from overflow. */
#define SIZE_MAX_COUNTED (1ull << 44)
#define NO_PARENT SIZE_MAX

struct node {
    const struct hf_ltx_info *info;
    uint64_t cost;  /* bytes from the start up to and with this file */
    size_t parent;  /* node before it */
    bool is_chosen; /* the cheapest way to its max TXID */
};

struct rung {
    uint64_t position;
    uint64_t cost;
    size_t node;
};

struct filter {
    uint64_t max_txid; /* files up to it */
    int64_t time_ms;   /* and not later */
};

struct solution {
    struct node *nodes; /* by max TXID */
    size_t len;
    struct rung *rungs;
    size_t n_rungs;
    uint64_t reach; /* highest position */
    size_t last;    /* the node that ends there */
};

static const struct filter everything = {UINT64_MAX, INT64_MAX};

static int by_max(const void *a, const void *b)
{
    const struct hf_ltx_info *x = ((const struct node *)a)->info;
    const struct hf_ltx_info *y = ((const struct node *)b)->info;
    if (x->max_txid != y->max_txid)
        return x->max_txid < y->max_txid ? -1 : 1;
    if (x->level != y->level)
        return x->level > y->level ? -1 : 1; /* of equals the one that stays longest */
    return x->min_txid < y->min_txid ? -1 : x->min_txid > y->min_txid;
}

static void collect(struct solution *s, const struct hf_ltx_list *all, uint64_t cur,
                    const struct filter *filter)
{
    s->nodes = hf_calloc(all->len + 1, sizeof(*s->nodes));
    for (size_t i = 0; i < all->len; i++) {
        const struct hf_ltx_info *f = &all->items[i];
        hf_assert(f->min_txid >= 1 && f->min_txid <= f->max_txid);
        if (f->max_txid > cur && f->max_txid <= filter->max_txid && f->time_ms <= filter->time_ms)
            s->nodes[s->len++] = (struct node){.info = f, .parent = NO_PARENT};
    }
    qsort(s->nodes, s->len, sizeof(*s->nodes), by_max);
}

/* The cheapest rung at or above position; NULL if all are below. */
static const struct rung *cheapest_from(const struct solution *s, uint64_t position)
{
    size_t lo = 0;
    size_t hi = s->n_rungs;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->rungs[mid].position < position)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->n_rungs ? &s->rungs[lo] : NULL;
}

/* Prices the files [from, to) of one max TXID; NO_PARENT if none continues anything. */
static size_t price_group(struct solution *s, size_t from, size_t to)
{
    size_t best = NO_PARENT;
    for (size_t i = from; i < to; i++) {
        struct node *n = &s->nodes[i];
        const struct rung *r = cheapest_from(s, n->info->min_txid - 1);
        if (r == NULL)
            continue;
        uint64_t size = n->info->size < SIZE_MAX_COUNTED ? n->info->size : SIZE_MAX_COUNTED;
        n->cost = r->cost + size + HF_PLAN_OPEN_BYTES;
        n->parent = r->node;
        if (best == NO_PARENT || n->cost < s->nodes[best].cost)
            best = i;
    }
    return best;
}

static void push_rung(struct solution *s, uint64_t position, uint64_t cost, size_t node)
{
    while (s->n_rungs > 0 && s->rungs[s->n_rungs - 1].cost >= cost)
        s->n_rungs--;
    hf_assert(s->n_rungs == 0 || s->rungs[s->n_rungs - 1].position < position);
    s->rungs[s->n_rungs++] = (struct rung){position, cost, node};
    s->reach = position;
    s->last = node;
}

static void solve(struct solution *s, const struct hf_ltx_list *all, uint64_t cur,
                  const struct filter *filter)
{
    *s = (struct solution){.last = NO_PARENT};
    collect(s, all, cur, filter);
    s->rungs = hf_calloc(s->len + 1, sizeof(*s->rungs));
    push_rung(s, cur, 0, NO_PARENT);
    for (size_t i = 0; i < s->len;) {
        size_t end = i;
        while (end < s->len && s->nodes[end].info->max_txid == s->nodes[i].info->max_txid)
            end++;
        size_t best = price_group(s, i, end);
        if (best != NO_PARENT) {
            s->nodes[best].is_chosen = true;
            push_rung(s, s->nodes[best].info->max_txid, s->nodes[best].cost, best);
        }
        i = end;
    }
    hf_assert(s->reach >= cur);
}

static void solution_deinit(struct solution *s)
{
    hf_free(s->nodes);
    hf_free(s->rungs);
}

static void emit(const struct solution *s, struct hf_ltx_list *out)
{
    size_t n = 0;
    for (size_t i = s->last; i != NO_PARENT; i = s->nodes[i].parent)
        n++;
    size_t first = out->len;
    for (size_t i = 0; i < n; i++)
        hf_ltx_list_push(out, s->nodes[s->last].info);
    for (size_t i = s->last; i != NO_PARENT; i = s->nodes[i].parent)
        out->items[first + --n] = *s->nodes[i].info;
}

uint64_t hf_plan_reach(const struct hf_ltx_list *all, uint64_t cur)
{
    struct solution s;
    solve(&s, all, cur, &everything);
    uint64_t reach = s.reach;
    solution_deinit(&s);
    return reach;
}

/* ---- what there is, for the error texts ---- */

struct extent {
    uint64_t newest; /* highest TXID */
    uint64_t oldest; /* lowest TXID a file that begins at 1 ends at; 0 = there is none */
    int64_t oldest_ms;
    int64_t newest_ms;
};

static struct extent extent_of(const struct hf_ltx_list *all)
{
    struct extent e = {0, 0, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < all->len; i++) {
        const struct hf_ltx_info *f = &all->items[i];
        e.newest = f->max_txid > e.newest ? f->max_txid : e.newest;
        e.newest_ms = f->time_ms > e.newest_ms ? f->time_ms : e.newest_ms;
        if (f->min_txid != 1)
            continue;
        e.oldest = e.oldest == 0 || f->max_txid < e.oldest ? f->max_txid : e.oldest;
        e.oldest_ms = f->time_ms < e.oldest_ms ? f->time_ms : e.oldest_ms;
    }
    return e;
}

bool hf_plan_time_range(const struct hf_ltx_list *all, int64_t *oldest_ms, int64_t *newest_ms)
{
    struct extent e = extent_of(all);
    if (e.oldest == 0)
        return false;
    *oldest_ms = e.oldest_ms;
    *newest_ms = e.newest_ms;
    return true;
}

/* Nothing continues position although files beyond it exist. */
static enum hf_code gap_error(const struct hf_ltx_list *all, uint64_t position, struct hf_err *err)
{
    uint64_t next = UINT64_MAX;
    uint64_t newest = 0;
    for (size_t i = 0; i < all->len; i++) {
        const struct hf_ltx_info *f = &all->items[i];
        if (f->max_txid <= position)
            continue;
        next = f->min_txid < next ? f->min_txid : next;
        newest = f->max_txid > newest ? f->max_txid : newest;
    }
    hf_assert(next != UINT64_MAX && next > position + 1);
    char from[HF_TXID_TEXT];
    char to[HF_TXID_TEXT];
    char go_on[HF_TXID_TEXT];
    char end[HF_TXID_TEXT];
    char last[HF_TXID_TEXT];
    hf_txid_format(position + 1, from);
    hf_txid_format(next - 1, to);
    hf_txid_format(next, go_on);
    hf_txid_format(newest, end);
    hf_txid_format(position, last);
    if (position == 0) {
        hf_err_set(err, HF_E_CORRUPT,
                   "no snapshot: TXIDs %s to %s are missing on every level, there is only %s to %s",
                   from, to, go_on, end);
        hf_err_hint(err, "is this the whole replica? ltx/9 holds the snapshots");
        return HF_E_CORRUPT;
    }
    hf_err_set(err, HF_E_CORRUPT,
               "non-contiguous: TXIDs %s to %s are missing on every level (files lead up to %s and "
               "go on from %s to %s)",
               from, to, last, go_on, end);
    hf_err_hint(err, "-txid %s restores the last state before the gap", last);
    return HF_E_CORRUPT;
}

/* ---- targets ---- */

static enum hf_code finish(struct solution *s, struct hf_ltx_list *out)
{
    emit(s, out);
    solution_deinit(s);
    return HF_OK;
}

static enum hf_code plan_latest(const struct hf_ltx_list *all, struct hf_ltx_list *out,
                                struct hf_err *err)
{
    struct solution s;
    solve(&s, all, 0, &everything);
    if (s.reach == extent_of(all).newest)
        return finish(&s, out);
    uint64_t reach = s.reach;
    solution_deinit(&s);
    return gap_error(all, reach, err);
}

/* The smallest position above txid that a restore can reach; 0 if there is none. */
static uint64_t next_position(const struct hf_ltx_list *all, uint64_t txid)
{
    struct solution s;
    uint64_t found = 0;
    solve(&s, all, 0, &everything);
    for (size_t i = 0; i < s.len && found == 0; i++) {
        if (s.nodes[i].is_chosen && s.nodes[i].info->max_txid > txid)
            found = s.nodes[i].info->max_txid;
    }
    solution_deinit(&s);
    return found;
}

static enum hf_code txid_error(const struct hf_ltx_list *all, uint64_t txid, uint64_t reach,
                               struct hf_err *err)
{
    struct extent e = extent_of(all);
    char want[HF_TXID_TEXT];
    char oldest[HF_TXID_TEXT];
    char newest[HF_TXID_TEXT];
    hf_txid_format(txid, want);
    hf_txid_format(e.oldest, oldest);
    hf_txid_format(e.newest, newest);
    if (e.oldest > 0 && (txid > e.newest || txid < e.oldest))
        return hf_err_set(err, HF_E_RANGE, "TXID %s is not kept: oldest %s, newest %s", want,
                          oldest, newest);
    uint64_t next = next_position(all, txid);
    if (next == 0)
        return gap_error(all, reach, err);
    char before[HF_TXID_TEXT];
    char after[HF_TXID_TEXT];
    hf_txid_format(reach, before);
    hf_txid_format(next, after);
    return hf_err_set(err, HF_E_RANGE,
                      "TXID %s was compacted away: the nearest kept states are %s and %s", want,
                      before, after);
}

static enum hf_code plan_txid(const struct hf_ltx_list *all, uint64_t txid, struct hf_ltx_list *out,
                              struct hf_err *err)
{
    struct filter filter = everything;
    filter.max_txid = txid;
    struct solution s;
    solve(&s, all, 0, &filter);
    if (s.reach == txid && txid > 0)
        return finish(&s, out);
    uint64_t reach = s.reach;
    solution_deinit(&s);
    return txid_error(all, txid, reach, err);
}

/* A hole that hides eligible files: not a matter of resolution, their TXIDs are gone. */
static bool is_gap_at(const struct hf_ltx_list *all, uint64_t reach, int64_t time_ms)
{
    bool has_more = false;
    for (size_t i = 0; i < all->len; i++)
        has_more |= all->items[i].time_ms <= time_ms && all->items[i].max_txid > reach;
    return has_more && hf_plan_reach(all, reach) == reach;
}

static enum hf_code plan_time(const struct hf_ltx_list *all, int64_t time_ms,
                              struct hf_ltx_list *out, struct hf_err *err)
{
    struct extent e = extent_of(all);
    if (e.oldest == 0)
        return gap_error(all, 0, err);
    if (time_ms < e.oldest_ms || time_ms > e.newest_ms) {
        char want[HF_TIME_TEXT];
        char oldest[HF_TIME_TEXT];
        char newest[HF_TIME_TEXT];
        hf_clock_format(time_ms, want);
        hf_clock_format(e.oldest_ms, oldest);
        hf_clock_format(e.newest_ms, newest);
        hf_err_set(err, HF_E_RANGE, "time %s is not kept: oldest %s, newest %s", want, oldest,
                   newest);
        if (time_ms > e.newest_ms)
            hf_err_hint(err, "nothing came after the newest: leave the time out to get that state");
        return HF_E_RANGE;
    }
    struct filter filter = everything;
    filter.time_ms = time_ms;
    struct solution s;
    solve(&s, all, 0, &filter);
    uint64_t reach = s.reach;
    hf_assert(reach > 0); /* the file that oldest_ms came from is eligible */
    if (!is_gap_at(all, reach, time_ms))
        return finish(&s, out);
    solution_deinit(&s);
    return gap_error(all, reach, err);
}

enum hf_code hf_plan_restore(const struct hf_ltx_list *all, const struct hf_restore_target *target,
                             struct hf_ltx_list *out, struct hf_err *err)
{
    if (all->len == 0)
        return hf_err_set(err, HF_E_NOT_FOUND, "no matching backup files available");
    switch (target->kind) {
    case HF_TARGET_LATEST:
        return plan_latest(all, out, err);
    case HF_TARGET_TXID:
        return plan_txid(all, target->txid, out, err);
    case HF_TARGET_TIME:
        return plan_time(all, target->time_ms, out, err);
    }
    hf_assert(!"unknown target");
    return HF_E_INTERNAL;
}

enum hf_code hf_plan_follow(const struct hf_ltx_list *all, uint64_t cur, struct hf_ltx_list *out,
                            struct hf_err *err)
{
    hf_assert(cur >= 1);
    uint64_t newest = extent_of(all).newest;
    if (newest == cur)
        return HF_OK;
    if (newest < cur) {
        char have[HF_TXID_TEXT];
        char ends[HF_TXID_TEXT];
        hf_txid_format(cur, have);
        hf_txid_format(newest, ends);
        hf_err_set(err, HF_E_CONFLICT, "the replica ends at TXID %s, this copy stands at %s", ends,
                   have);
        hf_err_hint(err, "the replica was reset or is another database's: restore anew");
        return HF_E_CONFLICT;
    }
    struct solution s;
    solve(&s, all, cur, &everything);
    if (s.reach > cur)
        return finish(&s, out);
    solution_deinit(&s);
    return gap_error(all, cur, err);
}
