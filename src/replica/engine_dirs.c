/*
 * The directories the engine watches: events to databases by name, and new files that a directory
 * entry of the configuration covers.
 */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "replica/db.h"

/* ---- names to databases ---- */

static size_t bucket_of(const struct engine *e, const struct db_dir *dir, const char *name,
                        size_t len)
{
    size_t h = (size_t)dir >> 4;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)name[i]) * 1099511628211u;
    return (h ^ (h >> 31)) % e->n_buckets;
}

static struct db *find_db(const struct engine *e, const struct db_dir *dir, const char *name,
                          size_t len)
{
    struct db *db = e->by_name[bucket_of(e, dir, name, len)];
    while (db != NULL && (db->is_gone || db->dir != dir || strncmp(db->name, name, len) != 0 ||
                          db->name[len] != '\0'))
        db = db->hash_next;
    return db;
}

void engine_rehash(struct engine *e)
{
    e->n_buckets = e->n_dbs < 64 ? 127 : e->n_dbs * 2 + 1;
    hf_free(e->by_name);
    e->by_name = hf_calloc(e->n_buckets, sizeof(struct db *));
    for (size_t i = 0; i < e->n_dbs; i++) {
        struct db *db = e->dbs[i];
        size_t b = bucket_of(e, db->dir, db->name, strlen(db->name));
        db->hash_next = e->by_name[b];
        e->by_name[b] = db;
    }
}

/* ---- watching ---- */

/* A new file in a watched directory that a directory entry of the configuration covers. */
static bool is_unregistered(const struct engine *e, const char *path)
{
    for (size_t i = 0; i < e->n_dbs; i++) {
        if (e->dbs[i]->is_gone && strcmp(e->dbs[i]->path, path) == 0)
            return true;
    }
    return false;
}

static void adopt_new_file(struct db_dir *dir, const char *name)
{
    struct engine *e = dir->e;
    HF_AUTO_FREE char *path = hf_path_join(dir->path, name);
    if (is_unregistered(e, path))
        return;
    for (size_t i = 0; i < e->cfg->n_dirs; i++) {
        const struct hf_config_db *entry = e->cfg->dirs[i];
        if (!entry->watch || !hf_config_dir_match(entry, path) || !hf_config_is_database(path))
            continue;
        struct hf_config_db *conf = hf_config_dir_db(entry, path);
        struct hf_err err = HF_ERR_INIT;
        struct db *db = engine_add_db(e, conf, &err);
        if (db == NULL) {
            hf_log(HF_LOG_ERROR, "cannot replicate", HF_F_STR("db", path), HF_F_ERR(&err),
                   HF_F_END);
            hf_config_db_free(conf);
            return;
        }
        db->take_conf = conf;
        engine_rehash(e);
        hf_log(HF_LOG_INFO, "new database", HF_F_STR("db", path), HF_F_END);
        db_start(db);
        return;
    }
}

/* ---- sub-directories of a recursive entry ---- */

static void found_file(void *arg, const char *path)
{
    struct engine *e = arg;
    HF_AUTO_FREE char *parent = hf_path_dir(path);
    HF_AUTO_FREE char *name = hf_path_base(path);
    struct db_dir *dir = engine_get_dir(e, parent);
    if (find_db(e, dir, name, strlen(name)) == NULL)
        adopt_new_file(dir, name);
}

static void found_dir(void *arg, const char *path)
{
    struct engine *e = arg;
    size_t n = e->n_dirs;
    struct db_dir *dir = engine_get_dir(e, path);
    if (e->n_dirs > n)
        dir->is_found = true;
}

/* Watched first, then looked through: what appears in between is seen twice, not missed. */
static void adopt_new_dir(struct db_dir *parent, const char *name)
{
    struct engine *e = parent->e;
    HF_AUTO_FREE char *path = hf_path_join(parent->path, name);
    struct hf_config_visit visit = {found_dir, found_file, e};
    for (size_t i = 0; i < e->cfg->n_dirs; i++) {
        const struct hf_config_db *entry = e->cfg->dirs[i];
        struct hf_err err = HF_ERR_INIT;
        if (!entry->watch || !entry->recursive)
            continue;
        if (hf_config_dir_visit(entry, path, &visit, &err) != HF_OK && err.code != HF_E_NOT_FOUND)
            hf_log(HF_LOG_WARN, "cannot look through a directory", HF_F_STR("dir", path),
                   HF_F_ERR(&err), HF_F_END);
    }
}

void engine_watch_below(struct engine *e, const struct hf_config_db *entry)
{
    struct hf_config_visit visit = {found_dir, NULL, e};
    struct hf_err err = HF_ERR_INIT;
    (void)engine_get_dir(e, entry->path);
    if (!entry->watch || !entry->recursive)
        return;
    if (hf_config_dir_visit(entry, entry->path, &visit, &err) != HF_OK)
        hf_log(HF_LOG_WARN, "cannot look through a directory", HF_F_STR("dir", entry->path),
               HF_F_ERR(&err), HF_F_END);
}

static bool is_used(const struct engine *e, const struct db_dir *dir)
{
    for (size_t i = 0; i < e->n_dbs; i++) {
        if (e->dbs[i]->dir == dir)
            return true;
    }
    return false;
}

void engine_drop_gone_dirs(struct engine *e)
{
    struct db_dir **p = &e->dirs;
    while (*p != NULL) {
        struct db_dir *d = *p;
        bool is_gone = d->is_found && d->watch == NULL && !hf_path_exists(d->path);
        if (!is_gone || is_used(e, d)) {
            p = &d->next;
            continue;
        }
        *p = d->next;
        e->n_dirs--;
        hf_free(d->path);
        hf_free(d);
    }
}

/* ---- events ---- */

static size_t strip_suffix(const char *name, bool *is_main)
{
    static const char *const suffixes[] = {"-wal", "-journal", "-shm"};
    size_t len = strlen(name);
    *is_main = true;
    for (size_t i = 0; i < HF_ARRAY_LEN(suffixes); i++) {
        size_t n = strlen(suffixes[i]);
        if (len > n && strcmp(name + len - n, suffixes[i]) == 0) {
            *is_main = false;
            return len - n;
        }
    }
    return len;
}

static void look_at_dir(struct engine *e, const struct db_dir *dir)
{
    for (size_t i = 0; i < e->n_dbs; i++) {
        if (e->dbs[i]->dir == dir)
            db_event(e->dbs[i], true);
    }
}

static bool is_new_dir(const struct db_dir *dir, const char *name, unsigned events)
{
    struct hf_file_stat st;
    if ((events & HF_WATCH_CREATED) == 0 || dir->e->cfg->n_dirs == 0)
        return false;
    HF_AUTO_FREE char *path = hf_path_join(dir->path, name);
    return hf_path_stat(path, &st, NULL) == HF_OK && st.is_dir;
}

static void on_watch(void *arg, const char *name, unsigned events)
{
    struct db_dir *dir = arg;
    struct engine *e = dir->e;
    if (e->is_ending)
        return;
    if ((events & HF_WATCH_DIR_GONE) != 0) {
        hf_watch_remove(e->watch, dir->watch);
        dir->watch = NULL; /* the tick sets it anew when the directory is back */
    }
    if (name == NULL) {
        look_at_dir(e, dir);
        return;
    }
    bool is_main = true;
    size_t len = strip_suffix(name, &is_main);
    struct db *db = find_db(e, dir, name, len);
    if (db != NULL)
        db_event(db, is_main);
    else if (is_new_dir(dir, name, events))
        adopt_new_dir(dir, name);
    else if (is_main && (events & (HF_WATCH_CREATED | HF_WATCH_MODIFIED)) != 0)
        adopt_new_file(dir, name);
}

void engine_set_watch(struct engine *e, struct db_dir *dir)
{
    struct hf_err err = HF_ERR_INIT;
    if (dir->watch != NULL || e->watch == NULL)
        return;
    enum hf_code rc = hf_watch_add(e->watch, dir->path, on_watch, dir, &dir->watch, &err);
    if (rc != HF_OK)
        dir->watch = NULL;
    if (rc == HF_OK && e->tick_count > 0)
        look_at_dir(e, dir);
    if (rc != HF_OK && rc != HF_E_NOT_FOUND && e->tick_count % 60 == 0)
        hf_log(HF_LOG_WARN, "cannot watch, looking every second instead",
               HF_F_STR("dir", dir->path), HF_F_ERR(&err), HF_F_END);
}

struct db_dir *engine_get_dir(struct engine *e, const char *path)
{
    for (struct db_dir *d = e->dirs; d != NULL; d = d->next) {
        if (strcmp(d->path, path) == 0)
            return d;
    }
    struct db_dir *d = hf_calloc(1, sizeof(*d));
    d->path = hf_strdup(path);
    d->e = e;
    d->next = e->dirs;
    e->dirs = d;
    e->n_dirs++;
    engine_set_watch(e, d);
    return d;
}
