/*
 * What may be deleted, and why that is safe.
 *
 * L0: a file [a, b] goes when one file of levels 1 to 8 holds all of it (begins at or before a,
 * ends at or behind b), because that file continues whatever [a, b] continued. A snapshot holds it,
 * too, but is much to read for a follower; it counts where compaction has gone past b without
 * taking [a, b] (an empty level begins behind the snapshot). Only from the oldest on, up to the
 * first that is too young. The newest L0 stays: Litestream takes its position from it.
 *
 * Levels 1 to 9: let B, the window's base, be the newest file that begins at TXID 1 and is older
 * than the retention. Everything that ends before B goes, but the newest of each level. Every state
 * from B on, thus every moment of the last `retention`, stays as restorable as it was: a chain that
 * led there can begin with B instead, and its files behind B are all kept. Any copy that stands
 * before B is continued by B itself. Deleting any part of what was picked is as safe as all of it,
 * so being killed half-way is no special case.
 *
 * (Litestream deletes a snapshot as soon as it is older than the retention. With one snapshot a day
 * kept for a day that leaves, each day anew, nothing older than the newest snapshot; the moments
 * that `retention: 24h` promised are gone. One snapshot more is the price of keeping the promise.)
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "replica/compact.h"

struct cover {
    uint64_t min;
    uint64_t max; /* largest max of all covers up to this one in the order of min */
};

struct picker {
    const struct hf_ltx_list *all;
    const struct hf_retention *policy;
    int64_t now_ms;
    struct hf_ltx_list *out;
    uint64_t newest[HF_LIMIT_LEVELS]; /* highest max TXID of each level */
    uint64_t snapshot;                /* of the newest snapshot */
};

static bool is_older(const struct picker *p, const struct hf_ltx_info *f, int64_t than_ms)
{
    return f->time_ms <= p->now_ms && p->now_ms - f->time_ms > than_ms;
}

/* ---- L0 ---- */

static int cover_by_min(const void *a, const void *b)
{
    const struct cover *x = a;
    const struct cover *y = b;
    return x->min < y->min ? -1 : x->min > y->min;
}

static struct cover *covers_of(const struct hf_ltx_list *all, size_t *n)
{
    struct cover *c = hf_calloc(all->len + 1, sizeof(*c));
    *n = 0;
    for (size_t i = 0; i < all->len; i++) {
        const struct hf_ltx_info *f = &all->items[i];
        if (f->level >= 1 && f->level < HF_LEVEL_SNAPSHOT)
            c[(*n)++] = (struct cover){f->min_txid, f->max_txid};
    }
    qsort(c, *n, sizeof(*c), cover_by_min);
    for (size_t i = 1; i < *n; i++)
        c[i].max = c[i].max > c[i - 1].max ? c[i].max : c[i - 1].max;
    return c;
}

static bool is_covered(const struct cover *c, size_t n, const struct hf_ltx_info *f)
{
    size_t lo = 0;
    size_t hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c[mid].min <= f->min_txid)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 && c[lo - 1].max >= f->max_txid;
}

static int info_by_max(const void *a, const void *b)
{
    const struct hf_ltx_info *x = a;
    const struct hf_ltx_info *y = b;
    return x->max_txid < y->max_txid ? -1 : x->max_txid > y->max_txid;
}

static void pick_l0(const struct picker *p)
{
    struct hf_ltx_list l0 = {NULL, 0, 0};
    size_t n = 0;
    struct cover *c = covers_of(p->all, &n);
    for (size_t i = 0; i < p->all->len; i++) {
        if (p->all->items[i].level == 0)
            hf_ltx_list_push(&l0, &p->all->items[i]);
    }
    if (l0.len > 1)
        qsort(l0.items, l0.len, sizeof(*l0.items), info_by_max);
    uint64_t passed = p->newest[1] > 0 ? p->newest[1] : p->snapshot;
    for (size_t i = 0; i + 1 < l0.len; i++) {
        const struct hf_ltx_info *f = &l0.items[i];
        if (f->max_txid == p->newest[0])
            break;
        if (p->policy->l0_retention_ms > 0 && !is_older(p, f, p->policy->l0_retention_ms))
            break;
        if (is_covered(c, n, f) || (f->max_txid <= p->snapshot && f->max_txid <= passed))
            hf_ltx_list_push(p->out, f);
    }
    hf_ltx_list_deinit(&l0);
    hf_free(c);
}

/* ---- levels 1 to 9 ---- */

static const struct hf_ltx_info *window_base(const struct picker *p)
{
    const struct hf_ltx_info *base = NULL;
    for (size_t i = 0; i < p->all->len; i++) {
        const struct hf_ltx_info *f = &p->all->items[i];
        if (f->level == 0 || f->min_txid != 1)
            continue;
        if (!is_older(p, f, p->policy->snapshot_retention_ms))
            continue;
        if (base == NULL || f->max_txid > base->max_txid)
            base = f;
    }
    return base;
}

static void pick_levels(const struct picker *p)
{
    const struct hf_ltx_info *base = window_base(p);
    if (base == NULL)
        return;
    for (size_t i = 0; i < p->all->len; i++) {
        const struct hf_ltx_info *f = &p->all->items[i];
        bool is_needed =
            f->level == 0 || f->max_txid >= base->max_txid || f->max_txid == p->newest[f->level];
        if (!is_needed && is_older(p, f, p->policy->snapshot_retention_ms))
            hf_ltx_list_push(p->out, f);
    }
}

void hf_retention_pick(const struct hf_ltx_list *all, const struct hf_retention *policy,
                       int64_t now_ms, bool l0_only, struct hf_ltx_list *out)
{
    if (!policy->is_enabled)
        return;
    struct picker p = {.all = all, .policy = policy, .now_ms = now_ms, .out = out};
    for (size_t i = 0; i < all->len; i++) {
        const struct hf_ltx_info *f = &all->items[i];
        hf_assert(f->level >= 0 && f->level < HF_LIMIT_LEVELS);
        if (f->max_txid > p.newest[f->level])
            p.newest[f->level] = f->max_txid;
        if (f->level == HF_LEVEL_SNAPSHOT && f->min_txid == 1 && f->max_txid > p.snapshot)
            p.snapshot = f->max_txid;
    }
    pick_l0(&p);
    if (!l0_only)
        pick_levels(&p);
}

enum hf_code hf_retention_run(struct hf_replica *r, const struct hf_retention *policy,
                              int64_t now_ms, bool l0_only, size_t *deleted, struct hf_err *err)
{
    struct hf_ltx_list all = {NULL, 0, 0};
    struct hf_ltx_list gone = {NULL, 0, 0};
    enum hf_code rc = HF_OK;
    if (policy->is_enabled)
        rc = hf_replica_list_all(r, &all, err);
    if (rc == HF_OK) {
        hf_retention_pick(&all, policy, now_ms, l0_only, &gone);
        rc = hf_replica_delete(r, gone.items, gone.len, err);
    }
    if (rc == HF_OK && deleted != NULL)
        *deleted = gone.len;
    hf_ltx_list_deinit(&all);
    hf_ltx_list_deinit(&gone);
    return rc == HF_OK ? HF_OK : hf_err_wrap(err, "retention of %s", hf_replica_name(r));
}
