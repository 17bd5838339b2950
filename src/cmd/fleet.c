#include "cmd/fleet.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/file.h"

enum { SCAN_DEPTH = 32 }; /* as deep as directories are looked through when replicating */

/* ---- where it goes ---- */

static size_t trim_slashes(const char *path, size_t len)
{
    while (len > 1 && path[len - 1] == '/')
        len--;
    return len;
}

/* Length of the map's left side if it is a leading part of path, else 0. */
static size_t match_map(const char *map, const char *path)
{
    size_t len = trim_slashes(map, strcspn(map, "="));
    if (strncmp(map, path, len) != 0)
        return 0;
    if (len == 1) /* the root */
        return 1;
    return path[len] == '/' || path[len] == '\0' ? len : 0;
}

char *hf_cmd_fleet_map(const struct hf_flag_list *maps, const char *path)
{
    const char *best = NULL;
    size_t best_len = 0;
    for (size_t i = 0; maps != NULL && i < maps->n; i++) {
        size_t len = match_map(maps->items[i], path);
        if (len > best_len) {
            best = maps->items[i];
            best_len = len;
        }
    }
    if (best == NULL)
        return hf_strdup(path);
    const char *to = strchr(best, '=') + 1;
    size_t to_len = trim_slashes(to, strlen(to));
    const char *rest = path + best_len;
    if (rest[0] == '/')
        rest++;
    if (rest[0] == '\0')
        return hf_strndup(to, to_len);
    bool has_slash = to[to_len - 1] == '/';
    return hf_asprintf("%.*s%s%s", (int)to_len, to, has_slash ? "" : "/", rest);
}

static enum hf_code check_maps(const struct hf_flag_list *maps, struct hf_err *err)
{
    for (size_t i = 0; maps != NULL && i < maps->n; i++) {
        const char *map = maps->items[i];
        const char *equals = strchr(map, '=');
        if (map[0] == '/' && equals != NULL && equals[1] == '/')
            continue;
        hf_err_set(err, HF_E_INVALID, "-map: '%.200s' is not two absolute paths", map);
        hf_err_hint(err, "-map /var/lib=/srv/standby");
        return HF_E_INVALID;
    }
    return HF_OK;
}

/* ---- members by path ---- */

static size_t bucket_of(const struct hf_cmd_fleet *f, const char *path)
{
    uint64_t h = 14695981039346656037u;
    for (; *path != '\0'; path++)
        h = (h ^ (unsigned char)*path) * 1099511628211u;
    return (size_t)((h ^ (h >> 32)) % f->n_buckets);
}

/* The place of path in the table: its own, or the free one where it belongs. */
static size_t *find_place(const struct hf_cmd_fleet *f, const char *path)
{
    size_t b = bucket_of(f, path);
    while (f->buckets[b] != 0 && strcmp(f->members[f->buckets[b] - 1]->path, path) != 0)
        b = (b + 1) % f->n_buckets;
    return &f->buckets[b];
}

static void grow_table(struct hf_cmd_fleet *f)
{
    if (f->n * 2 < f->n_buckets)
        return;
    hf_free(f->buckets);
    f->n_buckets = f->n_buckets == 0 ? 251 : f->n_buckets * 2 + 1;
    f->buckets = hf_calloc(f->n_buckets, sizeof(*f->buckets));
    for (size_t i = 0; i < f->n; i++)
        *find_place(f, f->members[i]->path) = i + 1;
}

static void free_member(struct hf_cmd_member *m)
{
    for (size_t i = 0; i < m->n_replicas; i++) {
        hf_replica_free(m->replicas[i]);
        hf_store_close(m->stores[i]);
    }
    hf_free(m->stores);
    hf_free(m->replicas);
    hf_config_db_free(m->own_db);
    hf_free(m->path);
    hf_free(m);
}

static void open_replicas(struct hf_cmd_member *m, const char *only)
{
    bool is_known = false;
    m->stores = hf_calloc(m->db->n_replicas, sizeof(struct hf_store *));
    m->replicas = hf_calloc(m->db->n_replicas, sizeof(struct hf_replica *));
    for (size_t i = 0; i < m->db->n_replicas; i++) {
        const struct hf_config_replica *conf = &m->db->replicas[i];
        if (only != NULL && strcmp(only, conf->name) != 0)
            continue;
        is_known = true;
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc =
            hf_cmd_open_replica(conf, &m->stores[m->n_replicas], &m->replicas[m->n_replicas], &err);
        if (rc == HF_OK)
            m->n_replicas++;
        else if (m->err.code == HF_OK)
            m->err = err;
    }
    if (!is_known)
        hf_err_set(&m->err, HF_E_NOT_FOUND, "%s has no replica%s%.100s", m->db->path,
                   only == NULL ? "" : " named ", only == NULL ? "" : only);
}

/* own_db is taken, also when the database is known already. */
static enum hf_code add_member(struct hf_cmd_fleet *f, const struct hf_config_db *db,
                               struct hf_config_db *own_db, struct hf_err *err)
{
    struct hf_cmd_member *m = hf_calloc(1, sizeof(*m));
    m->db = db;
    m->own_db = own_db;
    m->path = hf_cmd_fleet_map(f->o.maps, db->path);
    grow_table(f);
    size_t *place = find_place(f, m->path);
    if (*place != 0) {
        const struct hf_config_db *other = f->members[*place - 1]->db;
        enum hf_code rc = HF_OK;
        if (strcmp(other->path, db->path) != 0)
            rc = hf_err_set(err, HF_E_INVALID, "-map: %s and %s would both become %s", other->path,
                            db->path, m->path);
        free_member(m);
        return rc;
    }
    open_replicas(m, f->o.replica);
    if (f->n == f->cap) {
        f->cap = f->cap == 0 ? 64 : f->cap * 2;
        f->members = hf_realloc(f->members, f->cap, sizeof(struct hf_cmd_member *));
    }
    f->members[f->n++] = m;
    *place = f->n;
    return HF_OK;
}

/* ---- tiers ---- */

static bool has_tier(const struct hf_config_db *db, const char *tier)
{
    return tier == NULL || (db->tier != NULL && strcmp(db->tier, tier) == 0);
}

static size_t n_rounds(const struct hf_cmd_fleet *f)
{
    return f->o.tiers == NULL || f->o.tiers->n == 0 ? 1 : f->o.tiers->n;
}

/* The tier of round i; NULL: all. */
static const char *tier_of_round(const struct hf_cmd_fleet *f, size_t i)
{
    return f->o.tiers == NULL || f->o.tiers->n == 0 ? NULL : f->o.tiers->items[i];
}

static enum hf_code add_tier(struct hf_cmd_fleet *f, const char *tier, struct hf_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < f->cfg->n_dbs; i++) {
        if (!has_tier(f->cfg->dbs[i], tier))
            continue;
        HF_TRY(add_member(f, f->cfg->dbs[i], NULL, err));
        n++;
    }
    for (size_t i = 0; i < f->cfg->n_dirs; i++)
        n += has_tier(f->cfg->dirs[i], tier);
    if (n > 0)
        return HF_OK;
    if (tier != NULL)
        return hf_err_set(err, HF_E_INVALID, "%s: no database has tier: %.80s", f->cfg->file, tier);
    return hf_err_set(err, HF_E_INVALID, "%s names no database", f->cfg->file);
}

/* ---- what the replicas of a directory hold ---- */

struct names {
    char **items;
    size_t n;
};

static void free_names(struct names *n)
{
    for (size_t i = 0; i < n->n; i++)
        hf_free(n->items[i]);
    hf_free(n->items);
}

static enum hf_code take_name(void *arg, const struct hf_store_object *o, struct hf_err *err)
{
    struct names *n = arg;
    (void)err;
    n->items = hf_realloc(n->items, n->n + 1, sizeof(char *));
    n->items[n->n++] = hf_strdup(o->name);
    return HF_OK;
}

struct scan {
    struct hf_cmd_fleet *f;
    const struct hf_config_db *dir;
    struct hf_store *store;
};

static enum hf_code found(struct scan *s, const char *relative, struct hf_err *err)
{
    HF_AUTO_FREE char *path = hf_path_join(s->dir->path, relative);
    if (!hf_config_dir_match(s->dir, path))
        return HF_OK;
    HF_AUTO_FREE char *mapped = hf_cmd_fleet_map(s->f->o.maps, path);
    grow_table(s->f);
    size_t at = *find_place(s->f, mapped);
    if (at != 0 && strcmp(s->f->members[at - 1]->db->path, path) == 0)
        return HF_OK;
    struct hf_config_db *db = hf_config_dir_db(s->dir, path);
    return add_member(s->f, db, db, err);
}

static bool is_layout(const char *name)
{
    return strcmp(name, "ltx") == 0 || strcmp(name, "generations") == 0;
}

/* prefix: "" for the directory's own place; below it everything is a database or a directory. */
static enum hf_code scan_prefix(struct scan *s, const char *prefix, int depth, struct hf_err *err)
{
    struct names below = {NULL, 0};
    bool is_database = false;
    enum hf_code rc = hf_store_list_prefixes(s->store, prefix, take_name, &below, err);
    for (size_t i = 0; rc == HF_OK && i < below.n; i++) {
        if (is_layout(below.items[i]) && prefix[0] != '\0') {
            is_database = true;
        } else if (depth < (s->dir->recursive ? SCAN_DEPTH : 1)) {
            HF_AUTO_FREE char *next = prefix[0] == '\0' ? hf_strdup(below.items[i])
                                                        : hf_path_join(prefix, below.items[i]);
            rc = scan_prefix(s, next, depth + 1, err);
        }
    }
    free_names(&below);
    return rc == HF_OK && is_database ? found(s, prefix, err) : rc;
}

/* Every replica is looked at: a database may have reached only one of them. */
static enum hf_code scan_dir(struct hf_cmd_fleet *f, const struct hf_config_db *dir,
                             struct hf_err *err)
{
    enum hf_code first = HF_OK;
    for (size_t i = 0; i < dir->n_replicas; i++) {
        const struct hf_config_replica *conf = &dir->replicas[i];
        if (f->o.replica != NULL && strcmp(f->o.replica, conf->name) != 0)
            continue;
        struct scan s = {f, dir, NULL};
        struct hf_replica *r = NULL;
        struct hf_err one = HF_ERR_INIT;
        enum hf_code rc = hf_cmd_open_replica(conf, &s.store, &r, &one);
        if (rc == HF_OK) {
            rc = scan_prefix(&s, hf_replica_path(r), 0, &one);
            hf_replica_free(r);
            hf_store_close(s.store);
        }
        if (rc != HF_OK && first == HF_OK) {
            hf_err_wrap(&one, "databases of %s", dir->path);
            if (err != NULL)
                *err = one;
            first = rc;
        }
    }
    return first;
}

enum hf_code hf_cmd_fleet_scan(struct hf_cmd_fleet *f, struct hf_err *err)
{
    enum hf_code first = HF_OK;
    for (size_t t = 0; t < n_rounds(f); t++) {
        for (size_t i = 0; i < f->cfg->n_dirs; i++) {
            if (!has_tier(f->cfg->dirs[i], tier_of_round(f, t)))
                continue;
            enum hf_code rc = scan_dir(f, f->cfg->dirs[i], first == HF_OK ? err : NULL);
            first = first == HF_OK ? rc : first;
        }
    }
    return first;
}

/* ---- life ---- */

enum hf_code hf_cmd_fleet_open(const struct hf_cmd_fleet_options *o, struct hf_cmd_fleet *f,
                               struct hf_err *err)
{
    *f = (struct hf_cmd_fleet){.o = *o};
    HF_TRY(check_maps(o->maps, err));
    struct hf_config_options opt = {.path = o->config->path,
                                    .no_expand_env = o->config->no_expand_env};
    HF_TRY(hf_config_load(&opt, &f->cfg, err));
    hf_cmd_print_warnings(f->cfg);
    for (size_t i = 0; i < n_rounds(f); i++)
        HF_TRY(add_tier(f, tier_of_round(f, i), err));
    return HF_OK;
}

void hf_cmd_fleet_close(struct hf_cmd_fleet *f)
{
    for (size_t i = 0; i < f->n; i++)
        free_member(f->members[i]);
    hf_free(f->members);
    hf_free(f->buckets);
    hf_config_free(f->cfg);
    *f = (struct hf_cmd_fleet){.n = 0};
}
