/*
 * Directory entries of dbs:, the hf_config_dir_* half of config.h.
 */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/mem.h"
#include "config/config.h"
#include "config/place.h"
#include "os/file.h"

/* The first bytes of every SQLite database; an empty database has none. */
static const char magic[] = "SQLite format 3";

enum { SCAN_DEPTH = 32 };

bool hf_config_is_database(const char *path)
{
    struct hf_file f = HF_FILE_CLOSED;
    struct hf_file_stat st;
    char head[sizeof(magic)];
    size_t got = 0;
    /* stat first: opening a FIFO would wait for its other end. */
    if (hf_path_stat(path, &st, NULL) != HF_OK || !st.is_regular || st.size < sizeof(magic))
        return false;
    if (hf_file_open(path, HF_FILE_READ, 0, &f, NULL) != HF_OK)
        return false;
    enum hf_code rc = hf_file_read_some(&f, head, sizeof(head), 0, &got, NULL);
    hf_file_close(&f);
    return rc == HF_OK && got == sizeof(head) && memcmp(head, magic, sizeof(magic)) == 0;
}

/* The part of path below the directory, NULL if it is not below it. */
static const char *relative(const struct hf_config_db *dir, const char *path)
{
    size_t len = strlen(dir->path);
    if (strncmp(path, dir->path, len) != 0)
        return NULL;
    if (dir->path[len - 1] == '/') /* the root */
        return path + len;
    return path[len] == '/' ? path + len + 1 : NULL;
}

bool hf_config_dir_match(const struct hf_config_db *dir, const char *path)
{
    hf_assert(dir->is_dir);
    const char *rest = relative(dir, path);
    if (rest == NULL || rest[0] == '\0')
        return false;
    const char *slash = strrchr(rest, '/');
    if (slash != NULL && !dir->recursive)
        return false;
    return fnmatch(dir->pattern, slash == NULL ? rest : slash + 1, FNM_PERIOD) == 0;
}

struct hf_config_db *hf_config_dir_db(const struct hf_config_db *dir, const char *path)
{
    const char *rest = relative(dir, path);
    hf_assert(dir->is_dir && rest != NULL);
    struct hf_arena *own = hf_arena_new(sizeof(struct hf_config_db) + 512);
    struct hf_config_db *db = hf_arena_alloc(own, 1, sizeof(*db));
    *db = *dir;
    db->own = own;
    db->is_dir = false;
    db->path = hf_arena_strdup(own, path);
    const char *slash = strrchr(rest, '/');
    const char *meta_dir = dir->meta_path;
    if (meta_dir != NULL && slash != NULL)
        meta_dir = hf_arena_printf(own, "%s/%.*s", meta_dir, (int)(slash - rest), rest);
    db->meta_path = hf_place_meta(own, meta_dir, db->path);
    db->replicas = hf_arena_alloc(own, dir->n_replicas, sizeof(*db->replicas));
    for (size_t i = 0; i < dir->n_replicas; i++) {
        struct hf_config_replica *r = &db->replicas[i];
        *r = dir->replicas[i];
        r->path = hf_arena_printf(own, "%s/%s", r->path, rest);
        r->url = hf_place_url(own, r);
    }
    return db;
}

/* ---- looking through a directory ---- */

struct walk {
    const struct hf_config_db *dir;
    const struct hf_config_visit *visit;
    const char *path; /* being listed */
    const char *real; /* the same without symbolic links */
    int depth;
};

static enum hf_code walk_name(void *arg, const char *name, bool is_dir, struct hf_err *err);

/* Symbolic links to directories are not followed: two that point upwards would never end. */
static enum hf_code walk_below(const struct walk *w, const char *path, const char *name,
                               struct hf_err *err)
{
    HF_AUTO_FREE char *expected = hf_path_join(w->real, name);
    HF_AUTO_FREE char *real = NULL;
    HF_TRY(hf_path_absolute(path, &real, err));
    if (strcmp(real, expected) != 0)
        return HF_OK;
    struct walk below = *w;
    below.path = path;
    below.real = real;
    below.depth++;
    if (w->visit->dir != NULL)
        w->visit->dir(w->visit->arg, path);
    enum hf_code rc = hf_path_list(path, walk_name, &below, err);
    if (rc == HF_E_NOT_FOUND && w->visit->dir != NULL) { /* gone meanwhile: that is watched */
        hf_err_reset(err);
        rc = HF_OK;
    }
    return rc;
}

static enum hf_code walk_name(void *arg, const char *name, bool is_dir, struct hf_err *err)
{
    struct walk *w = arg;
    HF_AUTO_FREE char *path = hf_path_join(w->path, name);
    size_t len = strlen(name);
    if (is_dir) {
        bool is_state =
            name[0] == '.' && ((len > 9 && strcmp(name + len - 9, "-holdfast") == 0) ||
                               (len > 11 && strcmp(name + len - 11, "-litestream") == 0));
        if (!w->dir->recursive || is_state || w->depth >= SCAN_DEPTH)
            return HF_OK;
        return walk_below(w, path, name, err);
    }
    if (w->visit->file != NULL && hf_config_dir_match(w->dir, path))
        w->visit->file(w->visit->arg, path);
    return HF_OK;
}

static int depth_of(const struct hf_config_db *dir, const char *path)
{
    const char *rest = relative(dir, path);
    int depth = 0;
    for (; rest != NULL && *rest != '\0'; rest++)
        depth += *rest == '/';
    return rest == NULL ? 0 : depth + 1;
}

enum hf_code hf_config_dir_visit(const struct hf_config_db *dir, const char *name,
                                 const struct hf_config_visit *visit, struct hf_err *err)
{
    HF_AUTO_FREE char *parent = hf_path_dir(name);
    HF_AUTO_FREE char *real = NULL;
    HF_AUTO_FREE char *base = hf_path_base(name);
    hf_assert(dir->is_dir);
    bool is_top = strcmp(name, dir->path) == 0;
    HF_TRY(hf_path_absolute(is_top ? name : parent, &real, err));
    struct walk w = {dir, visit, is_top ? name : parent, real,
                     is_top ? 0 : depth_of(dir, name) - 1};
    if (is_top)
        return hf_path_list(name, walk_name, &w, err);
    return relative(dir, name) == NULL ? HF_OK : walk_name(&w, base, true, err);
}

/* ---- the databases there are now ---- */

struct scan {
    struct hf_config *cfg;
    const struct hf_config_db *dir;
    size_t n_before; /* databases known before this scan */
};

static void push_db(struct hf_config *cfg, struct hf_config_db *db)
{
    if (cfg->n_dbs == cfg->cap_dbs) {
        cfg->cap_dbs = cfg->cap_dbs < 16 ? 16 : cfg->cap_dbs * 2;
        cfg->dbs = hf_realloc(cfg->dbs, cfg->cap_dbs, sizeof(struct hf_config_db *));
    }
    cfg->dbs[cfg->n_dbs++] = db;
}

static bool is_listed(const struct scan *s, const char *path)
{
    for (size_t i = 0; i < s->n_before; i++) {
        if (strcmp(s->cfg->dbs[i]->path, path) == 0)
            return true;
    }
    return false;
}

static void scan_file(void *arg, const char *path)
{
    struct scan *s = arg;
    if (!is_listed(s, path) && hf_config_is_database(path))
        push_db(s->cfg, hf_config_dir_db(s->dir, path));
}

static int compare_paths(const void *a, const void *b)
{
    const struct hf_config_db *const *x = a;
    const struct hf_config_db *const *y = b;
    return strcmp((*x)->path, (*y)->path);
}

enum hf_code hf_config_scan_dirs(struct hf_config *cfg, struct hf_err *err)
{
    for (size_t i = 0; i < cfg->n_dirs; i++) {
        const struct hf_config_db *dir = cfg->dirs[i];
        size_t before = cfg->n_dbs;
        struct scan s = {cfg, dir, before};
        struct hf_config_visit visit = {NULL, scan_file, &s};
        enum hf_code rc = hf_config_dir_visit(dir, dir->path, &visit, err);
        if (rc != HF_OK)
            return hf_err_wrap(err, "%s:%d dir", cfg->file, dir->line);
        if (cfg->n_dbs > before) /* the file system's order is not the same twice */
            qsort(cfg->dbs + before, cfg->n_dbs - before, sizeof(*cfg->dbs), compare_paths);
    }
    return hf_place_check_shared(cfg, err);
}
