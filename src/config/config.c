#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "config/expand.h"
#include "config/place.h"
#include "config/schema.h"
#include "config/yamltree.h"
#include "os/file.h"

enum {
    TRUNCATE_PAGE_N = 121359, /* Litestream's default; about 500 MB of 4 KiB pages */
    HOUR_MS = 3600 * 1000,
    NAME_BYTES = 160,
};

/* What reading dbs: needs besides the reading itself. */
struct loader {
    struct hf_reading rd;
    const struct hf_yaml *root;
    struct hf_raw_replica global; /* defaults of every replica */
};

static struct hf_config *config_new(const char *file)
{
    struct hf_arena *arena = hf_arena_new(4096);
    struct hf_config *cfg = hf_arena_alloc(arena, 1, sizeof(*cfg));
    cfg->arena = arena;
    cfg->file = hf_arena_strdup(arena, file);
    hf_schema_defaults(&hf_section_root, cfg);
    cfg->level_interval_ms[0] = 30 * 1000;
    cfg->level_interval_ms[1] = 5 * 60 * 1000;
    cfg->level_interval_ms[2] = HOUR_MS;
    cfg->n_levels = 3;
    return cfg;
}

void hf_config_free(struct hf_config *cfg)
{
    if (cfg == NULL)
        return;
    for (size_t i = 0; i < cfg->n_dbs; i++)
        hf_config_db_free(cfg->dbs[i]);
    hf_free(cfg->dbs);
    hf_arena_free(cfg->arena);
}

void hf_config_db_free(struct hf_config_db *db)
{
    if (db != NULL && db->own != NULL)
        hf_arena_free(db->own); /* db itself lives in it */
}

/* Settings of 0.3 that a replica has for itself win over its database's. */
static void resolve_retention(struct hf_raw_replica *raw, const struct hf_config_db *db)
{
    struct hf_config_replica *r = &raw->r;
    r->snapshot_retention_ms =
        raw->retention_ms >= 0 ? raw->retention_ms : db->snapshot.retention_ms;
    r->snapshot_interval_ms =
        raw->snapshot_interval_ms >= 0 ? raw->snapshot_interval_ms : db->snapshot.interval_ms;
    int64_t check = r->snapshot_retention_ms < HOUR_MS ? r->snapshot_retention_ms : HOUR_MS;
    r->retention_check_interval_ms =
        raw->retention_check_interval_ms >= 0 ? raw->retention_check_interval_ms : check;
}

static enum hf_code read_replica(struct loader *l, const struct hf_yaml *node, const char *name,
                                 const struct hf_raw_replica *base, struct hf_config_db *db)
{
    struct hf_raw_replica raw = *base;
    struct hf_view views[] = {{&hf_section_replica, 0, &raw}, {NULL, 0, NULL}};
    hf_place_enter_encryption(node, &raw);
    HF_TRY(hf_schema_apply(&l->rd, node, name, views));
    HF_TRY(hf_place_replica(&l->rd, &raw, node, name));
    resolve_retention(&raw, db);
    db->replicas[db->n_replicas++] = raw.r;
    return HF_OK;
}

/* A misspelt key is the likeliest reason, and what is read stops here: say it now. */
static enum hf_code no_replica(struct loader *l, const struct hf_yaml *node, const char *name)
{
    for (size_t i = 0; i < node->n; i++) {
        struct hf_suggest s;
        hf_suggest_init(&s, node->pairs[i].key);
        hf_suggest_offer(&s, "replica");
        hf_suggest_offer(&s, "replicas");
        if (s.best != NULL && s.best_distance > 0 && strcmp(node->pairs[i].key, "replica") != 0)
            return hf_reading_fail(&l->rd, node, name,
                                   "has no replica: %.40s is no key (did you mean %s?)",
                                   node->pairs[i].key, s.best);
    }
    return hf_reading_fail(&l->rd, node, name, "has no replica (add replica: with a url)");
}

static enum hf_code read_replicas(struct loader *l, const struct hf_yaml *node, const char *name,
                                  const struct hf_raw_replica *base, struct hf_config_db *db)
{
    char item_name[NAME_BYTES + 32];
    const struct hf_yaml *one = hf_yaml_get(node, "replica");
    const struct hf_yaml *list = hf_yaml_get(node, "replicas");
    bool has_one = one != NULL && one->kind != HF_YAML_NULL;
    bool has_list = list != NULL && list->kind != HF_YAML_NULL;
    if (has_one && has_list)
        return hf_reading_fail(&l->rd, one, name, "has both replica and replicas: keep one");
    if (has_list && list->kind != HF_YAML_LIST)
        return hf_reading_fail(&l->rd, list, name, "replicas needs a list (- url: ...)");
    size_t n = has_list ? list->n : has_one;
    if (n == 0)
        return no_replica(l, node, name);
    db->replicas = hf_arena_alloc(l->rd.cfg->arena, n, sizeof(*db->replicas));
    if (has_one) {
        snprintf(item_name, sizeof(item_name), "%s.replica", name);
        return read_replica(l, one, item_name, base, db);
    }
    for (size_t i = 0; i < n; i++) {
        snprintf(item_name, sizeof(item_name), "%s.replicas[%zu]", name, i);
        HF_TRY(read_replica(l, list->items[i], item_name, base, db));
    }
    return HF_OK;
}

static enum hf_code unknown_tier(struct loader *l, const struct hf_yaml *tier,
                                 const struct hf_yaml *tiers, const char *name)
{
    struct hf_suggest s;
    const char *word = tier->kind == HF_YAML_TEXT ? tier->text : "";
    hf_suggest_init(&s, word);
    for (size_t i = 0; tiers != NULL && tiers->kind == HF_YAML_MAP && i < tiers->n; i++)
        hf_suggest_offer(&s, tiers->pairs[i].key);
    return hf_reading_fail(&l->rd, tier, name, "tier %.60s is not among tiers: at the top%s%.60s%s",
                           word, s.best == NULL ? "" : " (did you mean ",
                           s.best == NULL ? "" : s.best, s.best == NULL ? "" : "?)");
}

/* Settings of the tier a database names, under its own. They were checked by read_tiers. */
static enum hf_code apply_tier(struct loader *l, const struct hf_yaml *node, const char *name,
                               struct hf_raw_db *db, struct hf_raw_replica *replica)
{
    const struct hf_yaml *tier = hf_yaml_get(node, "tier");
    if (tier == NULL || tier->kind == HF_YAML_NULL)
        return HF_OK;
    const struct hf_yaml *tiers = hf_yaml_get(l->root, "tiers");
    const struct hf_yaml *bundle =
        tier->kind == HF_YAML_TEXT ? hf_yaml_get(tiers, tier->text) : NULL;
    if (bundle == NULL)
        return unknown_tier(l, tier, tiers, name);
    struct hf_view views[] = {{&hf_section_db, HF_KEY_TIER, db},
                              {&hf_section_replica, HF_KEY_TIER, replica},
                              {NULL, 0, NULL}};
    hf_place_enter_encryption(bundle, replica);
    l->rd.is_muted = true;
    enum hf_code rc = hf_schema_apply(&l->rd, bundle, "tiers", views);
    l->rd.is_muted = false;
    return rc;
}

static enum hf_code place_dir(struct loader *l, struct hf_raw_db *raw, const struct hf_yaml *node,
                              const char *name)
{
    struct hf_arena *arena = l->rd.cfg->arena;
    if (raw->d.pattern == NULL)
        return hf_reading_fail(&l->rd, node, name, "dir needs pattern (try pattern: \"*.db\")");
    if (strchr(raw->d.pattern, '/') != NULL)
        return hf_reading_fail(&l->rd, node, name,
                               "pattern '%.60s' holds a '/': it is for file names", raw->d.pattern);
    if (raw->meta_path != NULL)
        return hf_reading_fail(&l->rd, node, name, "dir takes meta-dir, not meta-path");
    raw->d.is_dir = true;
    raw->d.path = hf_place_absolute(arena, raw->dir);
    if (raw->meta_dir != NULL)
        raw->d.meta_path = hf_place_absolute(arena, raw->meta_dir);
    return HF_OK;
}

static enum hf_code place_db(struct loader *l, struct hf_raw_db *raw, const struct hf_yaml *node,
                             const char *name)
{
    struct hf_arena *arena = l->rd.cfg->arena;
    if (raw->path != NULL && raw->dir != NULL)
        return hf_reading_fail(&l->rd, node, name, "has both path and dir: keep one");
    if (raw->path == NULL && raw->dir == NULL)
        return hf_reading_fail(&l->rd, node, name, "needs path, or dir and pattern");
    if (raw->dir != NULL)
        return place_dir(l, raw, node, name);
    const char *path = hf_place_strip_sqlite(raw->path);
    if (path[0] == '\0' || path[strlen(path) - 1] == '/')
        return hf_reading_fail(&l->rd, node, name, "path '%.80s' is no file name", raw->path);
    if (raw->meta_dir != NULL)
        return hf_reading_fail(&l->rd, node, name, "meta-dir is for dir; use meta-path");
    raw->d.path = hf_place_absolute(arena, path);
    raw->d.meta_path = raw->meta_path == NULL ? hf_place_meta(arena, NULL, raw->d.path)
                                              : hf_place_meta_given(arena, raw->meta_path);
    return HF_OK;
}

static enum hf_code read_db(struct loader *l, const struct hf_yaml *node, size_t index)
{
    struct hf_config *cfg = l->rd.cfg;
    struct hf_raw_db raw = {0};
    struct hf_raw_replica base = l->global;
    char name[NAME_BYTES];
    snprintf(name, sizeof(name), "dbs[%zu]", index);
    hf_schema_defaults(&hf_section_db, &raw);
    raw.d.snapshot = cfg->snapshot;
    HF_TRY(apply_tier(l, node, name, &raw, &base));
    struct hf_view views[] = {{&hf_section_db, 0, &raw}, {NULL, 0, NULL}};
    HF_TRY(hf_schema_apply(&l->rd, node, name, views));
    if (node->kind == HF_YAML_NULL)
        return hf_reading_fail(&l->rd, node, name, "is empty");
    HF_TRY(place_db(l, &raw, node, name));
    if (raw.d.truncate_page_n == 0)
        raw.d.truncate_page_n = TRUNCATE_PAGE_N;
    HF_TRY(read_replicas(l, node, name, &base, &raw.d));
    raw.d.line = node->line;
    struct hf_config_db *db = hf_arena_alloc(cfg->arena, 1, sizeof(*db));
    *db = raw.d;
    if (db->is_dir)
        cfg->dirs[cfg->n_dirs++] = db;
    else
        cfg->dbs[cfg->n_dbs++] = db;
    return HF_OK;
}

static enum hf_code read_dbs(struct loader *l)
{
    struct hf_config *cfg = l->rd.cfg;
    const struct hf_yaml *list = hf_yaml_get(l->root, "dbs");
    if (list == NULL || list->kind == HF_YAML_NULL)
        return HF_OK;
    if (list->kind != HF_YAML_LIST)
        return hf_reading_fail(&l->rd, list, "dbs", "needs a list (- path: /var/lib/app.db)");
    cfg->cap_dbs = list->n;
    cfg->dbs = hf_calloc(list->n + 1, sizeof(struct hf_config_db *));
    cfg->dirs = hf_arena_alloc(cfg->arena, list->n + 1, sizeof(struct hf_config_db *));
    for (size_t i = 0; i < list->n; i++)
        HF_TRY(read_db(l, list->items[i], i));
    return HF_OK;
}

static enum hf_code read_level(struct loader *l, const struct hf_yaml *node, size_t index)
{
    struct hf_config *cfg = l->rd.cfg;
    int64_t interval_ms = -1;
    char name[NAME_BYTES];
    snprintf(name, sizeof(name), "levels[%zu]", index);
    struct hf_view views[] = {{&hf_section_level, 0, &interval_ms}, {NULL, 0, NULL}};
    HF_TRY(hf_schema_apply(&l->rd, node, name, views));
    if (interval_ms < 0)
        return hf_reading_fail(&l->rd, node, name, "needs interval (try interval: 30s)");
    if (index > 0 && interval_ms <= cfg->level_interval_ms[index - 1])
        return hf_reading_fail(&l->rd, node, name,
                               "interval must be longer than that of the level before");
    cfg->level_interval_ms[index] = interval_ms;
    cfg->n_levels = index + 1;
    return HF_OK;
}

static enum hf_code read_levels(struct loader *l)
{
    const struct hf_yaml *list = hf_yaml_get(l->root, "levels");
    if (list == NULL || list->kind == HF_YAML_NULL)
        return HF_OK;
    if (list->kind != HF_YAML_LIST)
        return hf_reading_fail(&l->rd, list, "levels", "needs a list (- interval: 30s)");
    if (list->n > HF_CONFIG_LEVELS)
        return hf_reading_fail(&l->rd, list, "levels", "has %zu levels (at most %d)", list->n,
                               HF_CONFIG_LEVELS);
    for (size_t i = 0; i < list->n; i++)
        HF_TRY(read_level(l, list->items[i], i));
    return HF_OK;
}

/* Checks every tier once, used or not; apply_tier reads it again for each database. */
static enum hf_code read_tiers(struct loader *l)
{
    const struct hf_yaml *tiers = hf_yaml_get(l->root, "tiers");
    if (tiers == NULL || tiers->kind == HF_YAML_NULL)
        return HF_OK;
    if (tiers->kind != HF_YAML_MAP)
        return hf_reading_fail(&l->rd, tiers, "tiers", "needs a mapping of names to settings");
    for (size_t i = 0; i < tiers->n; i++) {
        struct hf_raw_db db = {0};
        struct hf_raw_replica replica = {0};
        char name[NAME_BYTES];
        snprintf(name, sizeof(name), "tiers.%.80s", tiers->pairs[i].key);
        struct hf_view views[] = {{&hf_section_db, HF_KEY_TIER, &db},
                                  {&hf_section_replica, HF_KEY_TIER, &replica},
                                  {NULL, 0, NULL}};
        HF_TRY(hf_schema_apply(&l->rd, tiers->pairs[i].value, name, views));
    }
    return HF_OK;
}

static enum hf_code read_root(struct loader *l)
{
    hf_schema_defaults(&hf_section_replica, &l->global);
    struct hf_view views[] = {{&hf_section_root, 0, l->rd.cfg},
                              {&hf_section_replica, HF_KEY_GLOBAL, &l->global},
                              {NULL, 0, NULL}};
    hf_place_enter_encryption(l->root, &l->global);
    HF_TRY(hf_schema_apply(&l->rd, l->root, "", views));
    HF_TRY(read_levels(l));
    HF_TRY(read_tiers(l));
    HF_TRY(read_dbs(l));
    HF_TRY(hf_config_read_gateway(&l->rd, l->root));
    return hf_place_check_shared(l->rd.cfg, l->rd.err);
}

static void note_unset(void *arg, const char *name, int line)
{
    struct hf_reading *rd = arg;
    struct hf_config_warning w = {.kind = HF_CONFIG_UNSET, .line = line, .column = 1};
    for (size_t i = 0; i < rd->cfg->n_warnings; i++) {
        if (strcmp(rd->cfg->warnings[i].key + 1, name) == 0)
            return; /* once a name */
    }
    w.key = hf_arena_printf(rd->cfg->arena, "$%s", name);
    w.text = "is not set in the environment: empty";
    hf_reading_warn(rd, &w);
}

/* Text -> expanded text -> nodes (their own arena, freed here) -> cfg. */
static enum hf_code parse_into(struct hf_config *cfg, const char *text, size_t len,
                               bool no_expand_env, struct hf_err *err)
{
    struct loader l = {.rd = {.file = cfg->file, .cfg = cfg, .err = err}};
    struct hf_expand_env env = {.unset = note_unset, .arg = &l.rd};
    struct hf_buf expanded;
    struct hf_yaml *root = NULL;
    hf_buf_init(&expanded, HF_LIMIT_CONFIG_BYTES);
    enum hf_code rc = no_expand_env ? hf_buf_append(&expanded, text, len, err)
                                    : hf_expand(text, len, &env, &expanded, err);
    struct hf_arena *nodes = hf_arena_new(4096);
    if (rc == HF_OK)
        rc = hf_yaml_parse(nodes, cfg->file, hf_buf_str(&expanded), expanded.len, &root, err);
    else
        rc = hf_err_wrap(err, "%s", cfg->file);
    if (rc == HF_OK) {
        l.root = root;
        rc = read_root(&l);
    }
    hf_arena_free(nodes);
    hf_buf_deinit(&expanded);
    return rc;
}

enum hf_code hf_config_parse(const char *file, const char *text, size_t len,
                             const struct hf_config_options *opt, struct hf_config **out,
                             struct hf_err *err)
{
    struct hf_err why = HF_ERR_INIT; /* hf_err_wrap needs a text to wrap, err may be NULL */
    struct hf_config *cfg = config_new(file);
    enum hf_code rc = parse_into(cfg, text, len, opt != NULL && opt->no_expand_env, &why);
    if (rc != HF_OK) {
        hf_config_free(cfg);
        if (err != NULL)
            *err = why;
        return rc;
    }
    *out = cfg;
    return HF_OK;
}

char *hf_config_find_file(const struct hf_config_options *opt)
{
    static const char *const names[] = {"/etc/holdfast.yml", "/etc/litestream.yml"};
    static const char *const vars[] = {"HOLDFAST_CONFIG", "LITESTREAM_CONFIG"};
    if (opt->path != NULL)
        return hf_strdup(opt->path);
    for (size_t i = 0; i < HF_ARRAY_LEN(vars); i++) {
        const char *value = getenv(vars[i]);
        if (value != NULL && value[0] != '\0')
            return hf_strdup(value);
    }
    for (size_t i = 0; i < HF_ARRAY_LEN(names); i++) {
        if (hf_path_exists(names[i]))
            return hf_strdup(names[i]);
    }
    return NULL;
}

enum hf_code hf_config_load(const struct hf_config_options *opt, struct hf_config **out,
                            struct hf_err *err)
{
    HF_AUTO_FREE char *file = hf_config_find_file(opt);
    HF_AUTO_FREE char *text = NULL;
    size_t len = 0;
    if (file == NULL) {
        hf_err_set(err, HF_E_NOT_FOUND, "there is no configuration file");
        hf_err_hint(err, "name one with -config or HOLDFAST_CONFIG, or write /etc/holdfast.yml "
                         "(holdfast config example shows one)");
        return HF_E_NOT_FOUND;
    }
    struct hf_arena *scratch = hf_arena_new(64);
    enum hf_code rc =
        hf_path_read(hf_place_absolute(scratch, file), HF_LIMIT_CONFIG_BYTES, &text, &len, err);
    hf_arena_free(scratch);
    return rc != HF_OK ? rc : hf_config_parse(file, text, len, opt, out, err);
}

static enum hf_code replicas_from_args(struct loader *l, const char *const *urls, size_t n_urls,
                                       struct hf_config_db *db)
{
    struct hf_yaml nowhere = {.kind = HF_YAML_NULL};
    db->replicas = hf_arena_alloc(l->rd.cfg->arena, n_urls + 1, sizeof(*db->replicas));
    for (size_t i = 0; i < n_urls; i++) {
        struct hf_raw_replica raw = l->global;
        const char **key_file = hf_arena_alloc(l->rd.cfg->arena, 1, sizeof(*key_file));
        raw.url = hf_arena_strdup(l->rd.cfg->arena, urls[i]);
        hf_config_encryption_from_env(&raw.r.encryption, key_file);
        raw.has_encryption = raw.r.encryption.enabled;
        HF_TRY(hf_place_replica(&l->rd, &raw, &nowhere, "replica URL"));
        resolve_retention(&raw, db);
        db->replicas[db->n_replicas++] = raw.r;
    }
    return HF_OK;
}

enum hf_code hf_config_from_args(const char *path, const char *const *urls, size_t n_urls,
                                 struct hf_config **out, struct hf_err *err)
{
    struct hf_config *cfg = config_new("(flags)");
    struct loader l = {.rd = {.file = cfg->file, .cfg = cfg, .err = err}};
    struct hf_raw_db raw = {0};
    hf_schema_defaults(&hf_section_replica, &l.global);
    hf_schema_defaults(&hf_section_db, &raw);
    raw.d.snapshot = cfg->snapshot;
    if (path != NULL) {
        raw.d.path = hf_place_absolute(cfg->arena, hf_place_strip_sqlite(path));
        raw.d.meta_path = hf_place_meta(cfg->arena, NULL, raw.d.path);
    }
    struct hf_config_db *db = hf_arena_alloc(cfg->arena, 1, sizeof(*db));
    *db = raw.d;
    enum hf_code rc = replicas_from_args(&l, urls, n_urls, db);
    if (rc != HF_OK) {
        hf_config_free(cfg);
        return rc;
    }
    cfg->dbs = hf_calloc(1, sizeof(struct hf_config_db *));
    cfg->dbs[cfg->n_dbs++] = db;
    cfg->cap_dbs = 1;
    *out = cfg;
    return HF_OK;
}

static void set_interval(struct hf_config_db *db, int64_t sync_interval_ns)
{
    for (size_t i = 0; i < db->n_replicas; i++)
        db->replicas[i].sync_interval_ns = sync_interval_ns;
}

void hf_config_set_sync_interval(struct hf_config *cfg, int64_t sync_interval_ns)
{
    for (size_t i = 0; i < cfg->n_dbs; i++)
        set_interval(cfg->dbs[i], sync_interval_ns);
    for (size_t i = 0; i < cfg->n_dirs; i++)
        set_interval(cfg->dirs[i], sync_interval_ns);
}

const struct hf_config_db *hf_config_find_db(const struct hf_config *cfg, const char *path)
{
    struct hf_arena *scratch = hf_arena_new(256);
    const char *want = hf_place_absolute(scratch, hf_place_strip_sqlite(path));
    const struct hf_config_db *found = NULL;
    for (size_t i = 0; i < cfg->n_dbs && found == NULL; i++) {
        if (cfg->dbs[i]->path != NULL && strcmp(cfg->dbs[i]->path, want) == 0)
            found = cfg->dbs[i];
    }
    hf_arena_free(scratch);
    return found;
}
