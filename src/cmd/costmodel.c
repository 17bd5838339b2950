#include "cmd/costmodel.h"

#include <math.h>

#include "base/limits.h"

enum {
    FILE_BYTES = 220,      /* of an LTX file besides its pages: header, index, trailer */
    LISTS_OF_SNAPSHOT = 2, /* of everything: for its plan, and by retention after it */
    SOLVE_STEPS = 200,
};

#define GB 1e9
#define MILLION 1e6
/* Uploads closer to one an interval than this say nothing about commits. */
#define SATURATED 0.98

double hf_cost_uploads(double commits, double sync_s)
{
    if (commits <= 0)
        return 0;
    return 1 / (sync_s + exp(-commits * sync_s) / commits);
}

double hf_cost_commits(double uploads, double sync_s)
{
    double low = uploads;
    double high = uploads + 1;
    if (uploads <= 0)
        return 0;
    if (uploads * sync_s > SATURATED)
        uploads = SATURATED / sync_s;
    while (hf_cost_uploads(high, sync_s) < uploads)
        high *= 2;
    low = low < high ? low : high;
    for (int i = 0; i < SOLVE_STEPS; i++) {
        double middle = (low + high) / 2;
        if (hf_cost_uploads(middle, sync_s) < uploads)
            low = middle;
        else
            high = middle;
    }
    return high;
}

struct hf_cost_load hf_cost_load_of(double uploads, double bytes, double sync_s,
                                    double snapshot_bytes)
{
    struct hf_cost_load l = {.snapshot_bytes = snapshot_bytes};
    l.commits = hf_cost_commits(uploads, sync_s);
    double pages = bytes - uploads * FILE_BYTES;
    l.bytes_per_commit = l.commits > 0 && pages > 0 ? pages / l.commits : 0;
    return l;
}

/* Requests that put an object of so many bytes. */
static double puts_of(double bytes)
{
    double parts = ceil(bytes / HF_LIMIT_STORE_BLOCK);
    return parts <= 1 ? 1 : parts + 1; /* and the call that puts them together */
}

/* The pages of a listing of a level with so many files; an empty one is an answer, too. */
static double pages_of(double files, double list_page)
{
    double pages = ceil(files / list_page);
    return pages < 1 ? 1 : pages;
}

struct flow {
    double files; /* a second */
    double bytes;
};

struct counting {
    const struct hf_cost_setup *s;
    const struct hf_cost_load *l;
    double list_page;
    double all_pages; /* of a listing of everything there is */
    double kept_s;    /* how long levels keep what was written */
    struct hf_cost_use rate;
};

/* What a level makes of the one below. */
static struct flow level_of(const struct counting *c, struct flow below, double interval_s)
{
    struct flow f = {.files = fmin(1 / interval_s, below.files)};
    /* Pages changed again are there once: no file is larger than the database. */
    f.bytes = fmin(below.bytes, f.files * (c->l->snapshot_bytes + FILE_BYTES));
    return f;
}

static void add_level(struct counting *c, struct flow below, struct flow f, bool is_first)
{
    /* The level's own files, those new below it; after L1 everything, by retention. */
    double lists = pages_of(f.files * c->kept_s, c->list_page) + 1;
    if (is_first)
        lists += c->all_pages;
    c->rate.writes += f.files > 0 ? f.files * puts_of(f.bytes / f.files) : 0;
    c->rate.reads += below.files;
    c->rate.lists += f.files * lists;
    c->rate.up_bytes += f.bytes;
    c->rate.down_bytes += below.bytes;
    c->rate.stored_bytes += f.bytes * c->kept_s;
}

static void add_snapshots(struct counting *c, struct flow top, double commits)
{
    double size = c->l->snapshot_bytes;
    double every = c->s->snapshot_s > 0 ? fmin(commits, 1 / c->s->snapshot_s) : 0;
    if (every <= 0) { /* the first one is all there is */
        c->rate.stored_bytes += size;
        return;
    }
    double changes = top.bytes / every;
    c->rate.writes += every * puts_of(size);
    c->rate.reads += every * (1 + top.files / every);
    c->rate.lists += every * LISTS_OF_SNAPSHOT * c->all_pages;
    c->rate.up_bytes += every * size;
    c->rate.down_bytes += every * (size + changes);
    c->rate.stored_bytes += size * (c->s->retention_s * every + 1);
}

void hf_cost_predict(const struct hf_cost_setup *s, const struct hf_cost_load *l, double list_page,
                     struct hf_cost_use *out)
{
    struct counting c = {.s = s, .l = l, .list_page = list_page};
    struct flow flows[HF_CONFIG_LEVELS + 1];
    double uploads = hf_cost_uploads(l->commits, s->sync_s);
    flows[0] = (struct flow){uploads, l->commits * l->bytes_per_commit + uploads * FILE_BYTES};
    double first = s->n_levels > 0 ? s->levels_s[0] : 0;
    double files = uploads * (s->l0_retention_s + first);
    c.kept_s = s->retention_s + s->snapshot_s;
    for (size_t i = 0; i < s->n_levels; i++) {
        flows[i + 1] = level_of(&c, flows[i], s->levels_s[i]);
        files += flows[i + 1].files * c.kept_s;
    }
    c.all_pages = pages_of(files, list_page);
    c.rate.writes = uploads > 0 ? uploads * puts_of(flows[0].bytes / uploads) : 0;
    c.rate.up_bytes = flows[0].bytes;
    c.rate.stored_bytes = flows[0].bytes * (s->l0_retention_s + first);
    for (size_t i = 0; i < s->n_levels && uploads > 0; i++)
        add_level(&c, flows[i], flows[i + 1], i == 0);
    add_snapshots(&c, flows[s->n_levels], l->commits);
    *out = (struct hf_cost_use){
        .writes = c.rate.writes * HF_COST_MONTH_S,
        .reads = c.rate.reads * HF_COST_MONTH_S,
        .lists = c.rate.lists * HF_COST_MONTH_S,
        .up_bytes = c.rate.up_bytes * HF_COST_MONTH_S,
        .down_bytes = c.rate.down_bytes * HF_COST_MONTH_S,
        .stored_bytes = c.rate.stored_bytes,
    };
}

void hf_cost_pack(double sum_uploads, double sum_commits, double sync_s, struct hf_cost_use *out)
{
    double packs = hf_cost_uploads(sum_commits, sync_s);
    double less = sum_uploads > packs ? packs - sum_uploads : 0;
    *out = (struct hf_cost_use){.writes = less * HF_COST_MONTH_S, .reads = less * HF_COST_MONTH_S};
}

void hf_cost_add(struct hf_cost_use *sum, const struct hf_cost_use *u)
{
    sum->writes += u->writes;
    sum->reads += u->reads;
    sum->lists += u->lists;
    sum->up_bytes += u->up_bytes;
    sum->down_bytes += u->down_bytes;
    sum->stored_bytes += u->stored_bytes;
}

static double beyond(double n, double allowance, bool with_free)
{
    double left = with_free ? n - allowance : n;
    return left > 0 ? left : 0;
}

double hf_cost_money(const struct hf_cost_prices *p, const struct hf_cost_use *u, bool with_free,
                     bool is_near)
{
    double stored_gb = u->stored_bytes / GB;
    double free_gb = p->free_egress_gb + p->free_egress_of_stored * stored_gb;
    double egress = is_near ? 0 : beyond(u->down_bytes / GB, free_gb, with_free) * p->egress_gb;
    return beyond(stored_gb, p->free_storage_gb, with_free) * p->storage_gb +
           beyond(u->writes, p->free_writes, with_free) / MILLION * p->writes_m +
           beyond(u->reads, p->free_reads, with_free) / MILLION * p->reads_m +
           beyond(u->lists, p->free_lists, with_free) / MILLION * p->lists_m + egress;
}
