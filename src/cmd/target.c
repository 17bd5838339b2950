#include "cmd/target.h"

#include <string.h>

#include "base/mem.h"
#include "os/file.h"
#include "store/url.h"

/* Takes the store. */
static enum hf_code add_source(struct hf_cmd_target *t, const char *name,
                               struct hf_store *take_store, struct hf_err *err)
{
    struct hf_cmd_source s = {.name = name, .store = take_store};
    enum hf_code rc = hf_replica_new(s.store, "", &s.replica, err);
    if (rc != HF_OK) {
        hf_store_close(s.store);
        return rc;
    }
    t->sources = hf_realloc(t->sources, t->n + 1, sizeof(*t->sources));
    t->sources[t->n++] = s;
    return HF_OK;
}

static enum hf_code open_url(const struct hf_config_flags *flags, const char *url,
                             struct hf_cmd_target *t, struct hf_err *err)
{
    if (flags->path != NULL)
        return hf_err_set(err, HF_E_INVALID, "cannot specify a replica URL and the -config flag");
    struct hf_store *store = NULL;
    HF_TRY(hf_store_open(url, &store, err));
    return add_source(t, hf_store_type(store), store, err);
}

static bool is_replica_dir(const char *path)
{
    HF_AUTO_FREE char *ltx = hf_path_join(path, "ltx");
    HF_AUTO_FREE char *generations = hf_path_join(path, "generations");
    return hf_path_exists(ltx) || hf_path_exists(generations);
}

static enum hf_code find_db(struct hf_cmd_target *t, const char *path,
                            const struct hf_config_db **out, struct hf_err *err)
{
    *out = hf_config_find_db(t->cfg, path);
    if (*out != NULL)
        return HF_OK;
    HF_AUTO_FREE char *absolute = NULL;
    HF_TRY(hf_path_absolute(path, &absolute, err));
    for (size_t i = 0; i < t->cfg->n_dirs; i++) {
        if (!hf_config_dir_match(t->cfg->dirs[i], absolute))
            continue;
        t->own_db = hf_config_dir_db(t->cfg->dirs[i], absolute);
        *out = t->own_db;
        return HF_OK;
    }
    hf_err_set(err, HF_E_NOT_FOUND, "database not found in config: %s", path);
    hf_err_hint(err, "`holdfast databases` lists those of %s; a replica is named by its URL",
                t->cfg->file);
    return HF_E_NOT_FOUND;
}

static enum hf_code open_replicas(struct hf_cmd_target *t, const struct hf_config_db *db,
                                  const char *only, struct hf_err *err)
{
    enum hf_code rc = HF_OK;
    bool is_known = only == NULL;
    for (size_t i = 0; i < db->n_replicas; i++) {
        const struct hf_config_replica *r = &db->replicas[i];
        if (only != NULL && strcmp(only, r->name) != 0)
            continue;
        is_known = true;
        struct hf_err one = HF_ERR_INIT;
        struct hf_store *store = NULL;
        enum hf_code opened = hf_store_open_replica(r, &store, &one);
        if (opened == HF_OK)
            opened = add_source(t, r->name, store, &one);
        if (opened != HF_OK && t->skipped.code == HF_OK) {
            t->skipped = one;
            rc = opened;
        }
    }
    if (!is_known)
        return hf_err_set(err, HF_E_NOT_FOUND, "%s has no replica named '%s'", db->path, only);
    if (t->n > 0)
        return HF_OK;
    if (rc == HF_OK)
        return hf_err_set(err, HF_E_NOT_FOUND, "%s has no replicas", db->path);
    if (err != NULL)
        *err = t->skipped;
    return rc;
}

enum hf_code hf_cmd_target_open(const struct hf_config_flags *flags, const char *arg,
                                const char *replica_name, struct hf_cmd_target *t,
                                struct hf_err *err)
{
    *t = (struct hf_cmd_target){.n = 0};
    if (hf_store_url_has_scheme(arg) && strncmp(arg, "sqlite", 6) != 0)
        return open_url(flags, arg, t, err);
    enum hf_code rc = hf_cmd_load_config(flags, &t->cfg, err);
    const struct hf_config_db *db = NULL;
    if (rc == HF_OK)
        rc = find_db(t, arg, &db, err);
    if (rc == HF_E_NOT_FOUND && flags->path == NULL && is_replica_dir(arg)) {
        hf_err_reset(err);
        return open_url(flags, arg, t, err);
    }
    HF_TRY(rc);
    t->db_path = db->path;
    return open_replicas(t, db, replica_name, err);
}

void hf_cmd_target_close(struct hf_cmd_target *t)
{
    for (size_t i = 0; i < t->n; i++) {
        hf_replica_free(t->sources[i].replica);
        hf_store_close(t->sources[i].store);
    }
    hf_free(t->sources);
    hf_config_db_free(t->own_db);
    hf_config_free(t->cfg);
    *t = (struct hf_cmd_target){.n = 0};
}

enum hf_code hf_cmd_source_check(const struct hf_cmd_source *s, struct hf_err *err)
{
    HF_AUTO_FREE char *dir = hf_store_watch_dir(s->store, hf_replica_path(s->replica));
    if (dir == NULL || hf_path_exists(dir))
        return HF_OK;
    return hf_err_set(err, HF_E_NOT_FOUND, "no such replica: %s does not exist", dir);
}
