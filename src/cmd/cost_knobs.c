/*
 * What would save: the same load priced again with one setting changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cmd/cost.h"
#include "config/docs.h"

enum { LONGER = 5, PACK_GROUPS = 64 };

struct hf_cost_use hf_cost_total(const struct hf_cost_fleet *f, hf_cost_change *change,
                                 const char *only_tier)
{
    struct hf_cost_use sum = {0};
    for (size_t i = 0; i < f->n; i++) {
        const struct hf_cost_entry *e = &f->items[i];
        struct hf_cost_setup s = e->setup;
        struct hf_cost_use u;
        bool is_in =
            only_tier == NULL || (e->db->tier != NULL && strcmp(e->db->tier, only_tier) == 0);
        if (change != NULL && is_in)
            change(&s);
        hf_cost_predict(&s, &e->load, f->provider->list_page, &u);
        hf_cost_add(&sum, &u);
    }
    return sum;
}

static void slower_sync(struct hf_cost_setup *s)
{
    s->sync_s *= LONGER;
}

static void slower_levels(struct hf_cost_setup *s)
{
    for (size_t i = 0; i < s->n_levels; i++)
        s->levels_s[i] *= LONGER;
}

static void fewer_snapshots(struct hf_cost_setup *s)
{
    s->snapshot_s *= 2;
}

static void shorter_retention(struct hf_cost_setup *s)
{
    s->retention_s /= 2;
}

struct list {
    const struct hf_cost_fleet *f;
    double now; /* dollars a month */
    struct hf_cost_knob *out;
    size_t n;
};

static void add(struct list *l, const char *key, const char *what, const struct hf_cost_use *use)
{
    if (l->n == HF_COST_KNOBS)
        return;
    struct hf_cost_knob *k = &l->out[l->n++];
    *k = (struct hf_cost_knob){.key = key, .use = *use};
    snprintf(k->what, sizeof(k->what), "%s", what);
    k->saves = l->now - hf_cost_money(l->f->provider, use, true, l->f->o->same_region);
}

static void add_change(struct list *l, const char *key, const char *what, hf_cost_change *change,
                       const char *tier)
{
    struct hf_cost_use use = hf_cost_total(l->f, change, tier);
    add(l, key, what, &use);
}

static bool is_first_of_tier(const struct hf_cost_fleet *f, size_t i)
{
    const char *tier = f->items[i].db->tier;
    if (tier == NULL)
        return false;
    for (size_t k = 0; k < i; k++) {
        if (f->items[k].db->tier != NULL && strcmp(f->items[k].db->tier, tier) == 0)
            return false;
    }
    return true;
}

static void add_tiers(struct list *l)
{
    for (size_t i = 0; i < l->f->n; i++) {
        char what[HF_COST_KNOB_TEXT];
        if (!is_first_of_tier(l->f, i))
            continue;
        snprintf(what, sizeof(what), "sync-interval %d times as long in tier %.60s", LONGER,
                 l->f->items[i].db->tier);
        add_change(l, "tiers", what, slower_sync, l->f->items[i].db->tier);
    }
}

/* Databases that may share packs: one service and bucket, one interval. */
static bool is_same_pack(const struct hf_cost_entry *a, const struct hf_cost_entry *b)
{
    const struct hf_config_replica *x = a->replica;
    const struct hf_config_replica *y = b->replica;
    bool is_same_bucket = x->bucket != NULL && y->bucket != NULL && !strcmp(x->bucket, y->bucket);
    return x->type == y->type && a->setup.sync_s == b->setup.sync_s &&
           (is_same_bucket || (x->bucket == NULL && y->bucket == NULL));
}

static void add_pack(struct list *l)
{
    const struct hf_cost_fleet *f = l->f;
    struct hf_buf page;
    hf_buf_init(&page, 1 << 16);
    bool is_known = hf_docs_explain("pack", &page, NULL) == HF_OK;
    hf_buf_deinit(&page);
    if (!is_known) /* a build without packed shipping */
        return;
    struct hf_cost_use use = hf_cost_total(f, NULL, NULL);
    for (size_t i = 0; i < f->n; i++) {
        double uploads = 0;
        double commits = 0;
        bool is_first = true;
        for (size_t k = 0; k < f->n; k++) {
            if (!is_same_pack(&f->items[i], &f->items[k]))
                continue;
            is_first = is_first && k >= i;
            uploads += hf_cost_uploads(f->items[k].load.commits, f->items[k].setup.sync_s);
            commits += f->items[k].load.commits;
        }
        struct hf_cost_use less;
        hf_cost_pack(uploads, commits, f->items[i].setup.sync_s, &less);
        if (is_first)
            hf_cost_add(&use, &less);
    }
    add(l, "pack", "true: one object an interval for all databases of a destination", &use);
}

static int by_saving(const void *a, const void *b)
{
    const struct hf_cost_knob *x = a;
    const struct hf_cost_knob *y = b;
    return x->saves > y->saves ? -1 : x->saves < y->saves;
}

size_t hf_cost_knobs(const struct hf_cost_fleet *f, struct hf_cost_knob out[HF_COST_KNOBS])
{
    struct list l = {.f = f, .out = out};
    struct hf_cost_use now = hf_cost_total(f, NULL, NULL);
    l.now = hf_cost_money(f->provider, &now, true, f->o->same_region);
    add_change(&l, "sync-interval", "5 times as long everywhere", slower_sync, NULL);
    add_change(&l, "levels", "each interval 5 times as long", slower_levels, NULL);
    add_change(&l, "snapshot-interval", "twice as long everywhere", fewer_snapshots, NULL);
    add_change(&l, "retention", "half as long everywhere", shorter_retention, NULL);
    add_tiers(&l);
    add_pack(&l);
    qsort(out, l.n, sizeof(*out), by_saving);
    return l.n;
}
