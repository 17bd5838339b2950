/* holdfast cost: what the replicas cost a month, and what would save most. */
#include "cmd/cost.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/suggest.h"
#include "cmd/out.h"
#include "cmd/rows.h"

static const struct hf_flag flags[] = {
    HF_CONFIG_FLAGS(struct hf_cost_options, config),
    {.name = "writes-per-second",
     .kind = HF_FLAG_STRING,
     .offset = offsetof(struct hf_cost_options, writes_per_second),
     .value = "N",
     .marks = HF_FLAG_OURS,
     .doc = "Assume so many commits a second in each database (0.2, 5) instead of measuring."},
    {.name = "bytes-per-write",
     .kind = HF_FLAG_INT,
     .offset = offsetof(struct hf_cost_options, bytes_per_write),
     .value = "BYTES",
     .def = "1024",
     .min = 0,
     .max = INT64_C(1) << 30,
     .marks = HF_FLAG_OURS,
     .doc = "With --writes-per-second: compressed changes of one commit."},
    {.name = "db-size",
     .kind = HF_FLAG_STRING,
     .offset = offsetof(struct hf_cost_options, db_size),
     .value = "SIZE",
     .marks = HF_FLAG_OURS,
     .doc = "Size of each database (500MB) where neither a snapshot nor the file tells it."},
    {.name = "socket",
     .kind = HF_FLAG_STRING,
     .offset = offsetof(struct hf_cost_options, socket),
     .value = "PATH",
     .marks = HF_FLAG_OURS,
     .doc = "Control socket of the running process. Without it: the configuration's, if it is "
            "turned on there."},
    {.name = "provider",
     .kind = HF_FLAG_STRING,
     .offset = offsetof(struct hf_cost_options, provider),
     .value = "ID",
     .marks = HF_FLAG_OURS,
     .doc = "Count savings by this price table (azure, s3, r2, b2). Without it: that of most "
            "replicas, else azure."},
    {.name = "prices",
     .kind = HF_FLAG_STRING,
     .offset = offsetof(struct hf_cost_options, prices),
     .value = "FILE",
     .marks = HF_FLAG_OURS,
     .doc = "Price tables of your own, in the form of packaging/prices.json."},
    {.name = "same-region",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct hf_cost_options, same_region),
     .marks = HF_FLAG_OURS,
     .doc = "Holdfast runs where the store is: what it reads is no egress."},
    {.name = "json",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct hf_cost_options, json),
     .marks = HF_FLAG_OURS,
     .doc = "As JSON, schema holdfast.cost/1."},
};

/* ---- what is priced ---- */

static double seconds(int64_t ms)
{
    return (double)ms / 1000;
}

static struct hf_cost_setup setup_of(const struct hf_config *cfg, const struct hf_config_replica *r)
{
    struct hf_cost_setup s = {.sync_s = (double)r->sync_interval_ns / 1e9,
                              .n_levels = cfg->n_levels,
                              .l0_retention_s = seconds(cfg->l0_retention_ms),
                              .snapshot_s = seconds(r->snapshot_interval_ms),
                              .retention_s = seconds(r->snapshot_retention_ms)};
    for (size_t i = 0; i < cfg->n_levels; i++)
        s.levels_s[i] = seconds(cfg->level_interval_ms[i]);
    if (!cfg->retention_enabled) /* everything stays; a year of it is what is priced */
        s.retention_s = HF_COST_MONTH_S * 12;
    return s;
}

static void add_entries(struct hf_cost_fleet *f, const struct hf_config_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        const struct hf_config_replica *r = &db->replicas[i];
        struct hf_cost_entry *e = &f->items[f->n++];
        *e = (struct hf_cost_entry){.db = db,
                                    .replica = r,
                                    .priced_by = hf_prices_of(&f->tables, r),
                                    .from = "unknown",
                                    .setup = setup_of(f->cfg, r)};
    }
}

static void collect(struct hf_cost_fleet *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->cfg->n_dbs; i++)
        n += f->cfg->dbs[i]->n_replicas;
    f->items = hf_calloc(n + 1, sizeof(*f->items));
    for (size_t i = 0; i < f->cfg->n_dbs; i++)
        add_entries(f, f->cfg->dbs[i]);
}

static enum hf_code pick_provider(struct hf_cost_fleet *f, struct hf_err *err)
{
    size_t count[HF_PRICES_MAX] = {0};
    size_t best = 0;
    if (f->o->provider != NULL) {
        f->provider = hf_prices_find(&f->tables, f->o->provider);
        if (f->provider != NULL)
            return HF_OK;
        struct hf_suggest s;
        hf_suggest_init(&s, f->o->provider);
        for (size_t i = 0; i < f->tables.n; i++)
            hf_suggest_offer(&s, f->tables.items[i].id);
        hf_err_set(err, HF_E_INVALID, "--provider: there is no price table '%.40s'",
                   f->o->provider);
        hf_err_hint(err, "%s%s",
                    s.best ? "did you mean " : "the tables are in packaging/prices.json",
                    s.best ? s.best : "");
        return HF_E_INVALID;
    }
    for (size_t i = 0; i < f->n; i++) {
        if (f->items[i].priced_by != NULL)
            count[f->items[i].priced_by - f->tables.items]++;
    }
    for (size_t i = 1; i < f->tables.n; i++)
        best = count[i] > count[best] ? i : best;
    f->provider = &f->tables.items[best];
    return HF_OK;
}

/* ---- telling ---- */

static struct hf_cost_use use_of(const struct hf_cost_fleet *f, const struct hf_cost_entry *e)
{
    struct hf_cost_use u;
    hf_cost_predict(&e->setup, &e->load, f->provider->list_page, &u);
    return u;
}

static struct hf_cost_use use_of_tier(const struct hf_cost_fleet *f, const char *tier)
{
    struct hf_cost_use sum = {0};
    for (size_t i = 0; i < f->n; i++) {
        const struct hf_cost_entry *e = &f->items[i];
        bool is_in = e->db->tier != NULL && strcmp(e->db->tier, tier) == 0;
        struct hf_cost_use u = use_of(f, e);
        if (is_in)
            hf_cost_add(&sum, &u);
    }
    return sum;
}

static const char *tier_of(const struct hf_cost_fleet *f, size_t i)
{
    return f->items[i].db->tier;
}

/* Every tier once, in the order of the file. */
static bool is_new_tier(const struct hf_cost_fleet *f, size_t i)
{
    for (size_t k = 0; tier_of(f, i) != NULL && k < i; k++) {
        if (tier_of(f, k) != NULL && strcmp(tier_of(f, k), tier_of(f, i)) == 0)
            return false;
    }
    return tier_of(f, i) != NULL;
}

static void put_count(struct hf_table *t, double n)
{
    if (n < 10000)
        hf_table_cellf(t, "%.0f", n);
    else if (n < 1e7)
        hf_table_cellf(t, "%.1fk", n / 1e3);
    else
        hf_table_cellf(t, "%.1fM", n / 1e6);
}

static void put_use(struct hf_table *t, const struct hf_cost_fleet *f, const struct hf_cost_use *u,
                    bool with_free)
{
    const double bytes[] = {u->up_bytes, u->down_bytes, u->stored_bytes};
    put_count(t, u->writes);
    put_count(t, u->reads);
    put_count(t, u->lists);
    for (size_t i = 0; i < HF_ARRAY_LEN(bytes); i++) {
        char text[HF_SIZE_TEXT];
        hf_size_format((uint64_t)bytes[i], text);
        hf_table_cell(t, text);
    }
    for (size_t i = 0; i < f->tables.n; i++)
        hf_table_cellf(t, "$%.2f",
                       hf_cost_money(&f->tables.items[i], u, with_free, f->o->same_region));
}

static void put_heads(struct hf_table *t, const struct hf_cost_fleet *f)
{
    static const char *const heads[] = {"database", "tier",  "commits/s", "from", "writes",
                                        "reads",    "lists", "sent",      "read", "kept"};
    for (size_t i = 0; i < HF_ARRAY_LEN(heads); i++)
        hf_table_cell(t, heads[i]);
    for (size_t i = 0; i < f->tables.n; i++)
        hf_table_cell(t, f->tables.items[i].id);
}

static void put_sum(struct hf_table *t, const struct hf_cost_fleet *f, const char *name,
                    const char *tier, const struct hf_cost_use *u)
{
    bool is_all = tier == NULL;
    hf_table_cell(t, name);
    hf_table_cell(t, is_all ? "" : tier);
    hf_table_cell(t, "");
    hf_table_cell(t, "");
    put_use(t, f, u, is_all);
}

static enum hf_code print_table(const struct hf_cost_fleet *f, struct hf_err *err)
{
    struct hf_table t;
    struct hf_cost_use all = hf_cost_total(f, NULL, NULL);
    hf_table_init(&t, 10 + f->tables.n);
    put_heads(&t, f);
    for (size_t i = 0; i < f->n; i++) {
        const struct hf_cost_entry *e = &f->items[i];
        struct hf_cost_use u = use_of(f, e);
        hf_table_cellf(&t, "%s%s%s", e->db->path, e->db->n_replicas > 1 ? " " : "",
                       e->db->n_replicas > 1 ? e->replica->name : "");
        hf_table_cell(&t, e->db->tier == NULL ? "-" : e->db->tier);
        hf_table_cellf(&t, "%.3g", e->load.commits);
        hf_table_cell(&t, e->from);
        put_use(&t, f, &u, false);
    }
    for (size_t i = 0; i < f->n; i++) {
        if (!is_new_tier(f, i))
            continue;
        struct hf_cost_use u = use_of_tier(f, tier_of(f, i));
        put_sum(&t, f, "all of tier", tier_of(f, i), &u);
    }
    put_sum(&t, f, "all, less what is free", NULL, &all);
    enum hf_code rc = hf_table_print(&t, err);
    hf_table_deinit(&t);
    return rc;
}

static enum hf_code print_knobs(const struct hf_cost_fleet *f, struct hf_err *err)
{
    struct hf_cost_knob knobs[HF_COST_KNOBS];
    size_t n = hf_cost_knobs(f, knobs);
    HF_TRY(hf_out_print(err,
                        "\na month, in US dollars by the tables of packaging/prices.json;\n"
                        "what would save most with %s:\n",
                        f->provider->name));
    for (size_t i = 0; i < n; i++) {
        if (knobs[i].saves >= 0.005)
            HF_TRY(hf_out_print(err, "  $%-9.2f %s: %s\n", knobs[i].saves, knobs[i].key,
                                knobs[i].what));
    }
    return n > 0 && knobs[0].saves >= 0.005
               ? HF_OK
               : hf_out_print(err, "  nothing: it costs next to nothing as it is\n");
}

/* One line, however many: where one store does not answer, none of its replicas does. */
static void warn_unknown(const struct hf_cost_fleet *f)
{
    const struct hf_cost_entry *first = NULL;
    size_t n_more = 0;
    char more[60] = "";
    for (size_t i = 0; i < f->n; i++) {
        if (strcmp(f->items[i].from, "unknown") != 0)
            continue;
        n_more += first != NULL;
        first = first == NULL ? &f->items[i] : first;
    }
    if (first == NULL)
        return;
    if (n_more > 0)
        snprintf(more, sizeof(more), " (and %zu more)", n_more);
    fprintf(stderr,
            "holdfast cost: warning: %s%s: counted as idle: %s\n"
            "  --writes-per-second assumes a rate instead\n",
            first->replica->url, more, first->why.text);
}

static enum hf_code print_text(const struct hf_cost_fleet *f, struct hf_err *err)
{
    HF_TRY(print_table(f, err));
    HF_TRY(print_knobs(f, err));
    warn_unknown(f);
    return HF_OK;
}

static void put_json_use(struct hf_json *j, const struct hf_cost_fleet *f,
                         const struct hf_cost_use *u, bool with_free)
{
    hf_json_ku64(j, "writes", (uint64_t)u->writes);
    hf_json_ku64(j, "reads", (uint64_t)u->reads);
    hf_json_ku64(j, "lists", (uint64_t)u->lists);
    hf_json_ku64(j, "sent_bytes", (uint64_t)u->up_bytes);
    hf_json_ku64(j, "read_bytes", (uint64_t)u->down_bytes);
    hf_json_ku64(j, "kept_bytes", (uint64_t)u->stored_bytes);
    hf_json_key(j, "dollars");
    hf_json_object_begin(j);
    for (size_t i = 0; i < f->tables.n; i++)
        hf_json_kdbl(j, f->tables.items[i].id,
                     hf_cost_money(&f->tables.items[i], u, with_free, f->o->same_region));
    hf_json_object_end(j);
}

static void put_json_entries(struct hf_json *j, const struct hf_cost_fleet *f)
{
    hf_json_key(j, "databases");
    hf_json_array_begin(j);
    for (size_t i = 0; i < f->n; i++) {
        const struct hf_cost_entry *e = &f->items[i];
        struct hf_cost_use u = use_of(f, e);
        hf_json_object_begin(j);
        hf_json_kstr(j, "path", e->db->path);
        hf_json_kstr(j, "replica", e->replica->url);
        hf_json_kstr(j, "tier", e->db->tier);
        hf_json_kstr(j, "from", e->from);
        if (strcmp(e->from, "unknown") == 0)
            hf_json_kstr(j, "error", e->why.text);
        hf_json_kdbl(j, "commits_per_second", e->load.commits);
        hf_json_kdbl(j, "uploads_per_second", hf_cost_uploads(e->load.commits, e->setup.sync_s));
        hf_json_kdbl(j, "snapshot_bytes", e->load.snapshot_bytes);
        put_json_use(j, f, &u, false);
        hf_json_object_end(j);
    }
    hf_json_array_end(j);
    hf_json_key(j, "tiers");
    hf_json_object_begin(j);
    for (size_t i = 0; i < f->n; i++) {
        if (!is_new_tier(f, i))
            continue;
        struct hf_cost_use u = use_of_tier(f, tier_of(f, i));
        hf_json_key(j, tier_of(f, i));
        hf_json_object_begin(j);
        put_json_use(j, f, &u, false);
        hf_json_object_end(j);
    }
    hf_json_object_end(j);
}

static void put_json_knobs(struct hf_json *j, const struct hf_cost_fleet *f)
{
    struct hf_cost_knob knobs[HF_COST_KNOBS];
    size_t n = hf_cost_knobs(f, knobs);
    hf_json_kstr(j, "provider", f->provider->id);
    hf_json_key(j, "savings");
    hf_json_array_begin(j);
    for (size_t i = 0; i < n; i++) {
        hf_json_object_begin(j);
        hf_json_kstr(j, "key", knobs[i].key);
        hf_json_kstr(j, "change", knobs[i].what);
        hf_json_kdbl(j, "dollars", knobs[i].saves);
        hf_json_object_end(j);
    }
    hf_json_array_end(j);
}

static enum hf_code print_json(const struct hf_cost_fleet *f, struct hf_err *err)
{
    struct hf_out_json o;
    struct hf_cost_use all = hf_cost_total(f, NULL, NULL);
    hf_out_json_begin(&o, "holdfast.cost/1");
    put_json_entries(&o.j, f);
    hf_json_key(&o.j, "total");
    hf_json_object_begin(&o.j);
    put_json_use(&o.j, f, &all, true);
    hf_json_object_end(&o.j);
    put_json_knobs(&o.j, f);
    hf_json_key(&o.j, "prices");
    hf_json_array_begin(&o.j);
    for (size_t i = 0; i < f->tables.n; i++) {
        hf_json_object_begin(&o.j);
        hf_json_kstr(&o.j, "id", f->tables.items[i].id);
        hf_json_kstr(&o.j, "name", f->tables.items[i].name);
        hf_json_kstr(&o.j, "as_of", f->tables.items[i].as_of);
        hf_json_kstr(&o.j, "source", f->tables.items[i].source);
        hf_json_object_end(&o.j);
    }
    hf_json_array_end(&o.j);
    return hf_out_json_end(&o, err);
}

static enum hf_code run_cost(struct hf_run *run, struct hf_err *err)
{
    struct hf_cost_fleet f = {.o = run->options};
    HF_TRY(hf_prices_load(f.o->prices, &f.tables, err));
    HF_TRY(hf_cmd_load_config(&f.o->config, &f.cfg, err));
    collect(&f);
    enum hf_code rc = f.n == 0 ? hf_err_set(err, HF_E_NOT_FOUND, "%s has no databases", f.cfg->file)
                               : pick_provider(&f, err);
    if (rc == HF_OK)
        rc = hf_cost_measure(&f, err);
    if (rc == HF_OK)
        rc = f.o->json ? print_json(&f, err) : print_text(&f, err);
    hf_free(f.items);
    hf_config_free(f.cfg);
    return rc;
}

static const struct hf_example examples[] = {
    {"holdfast cost", "by what the running process has counted, else by what the replicas hold"},
    {"holdfast cost --writes-per-second 0.5 --db-size 200MB", "before anything runs"},
    {"holdfast cost --provider r2 --prices mine.json", "savings there, by prices of your own"},
    {NULL, NULL},
};

const struct hf_command hf_cmd_cost = {
    .name = "cost",
    .group = "Look",
    .summary = "predict what the replicas cost a month",
    .args = "",
    .flags = flags,
    .n_flags = HF_ARRAY_LEN(flags),
    .options_size = sizeof(struct hf_cost_options),
    .examples = examples,
    .run = run_cost,
    .doc = "For every database and replica: requests, bytes and money of a month, as if it were "
           "kept at each of the services in the price tables; then which setting saves most. Rates "
           "come from the running process (since it started), else from the newest files of the "
           "replica, which cost two listings each, else from the flags. Free allowances are taken "
           "off the total only. The model: docs/decisions/0065-cost.md.",
};
