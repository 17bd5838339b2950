#include "cmd/local.h"

#include "base/mem.h"
#include "os/file.h"

static bool has_config(const struct hf_config_flags *flags)
{
    struct hf_config_options opt = {.path = flags->path};
    HF_AUTO_FREE char *file = hf_config_find_file(&opt);
    return file != NULL;
}

/* Among the databases, or one that is not there now but belongs to a directory's pattern. */
static enum hf_code find(struct hf_cmd_local *l, const char *path, struct hf_err *err)
{
    l->one = hf_config_find_db(l->cfg, path);
    if (l->one != NULL)
        return HF_OK;
    HF_AUTO_FREE char *absolute = NULL;
    HF_TRY(hf_path_absolute(path, &absolute, err));
    for (size_t i = 0; i < l->cfg->n_dirs && l->own_db == NULL; i++) {
        if (hf_config_dir_match(l->cfg->dirs[i], absolute))
            l->own_db = hf_config_dir_db(l->cfg->dirs[i], absolute);
    }
    l->one = l->own_db;
    return HF_OK;
}

static enum hf_code open_one(const struct hf_config_flags *flags, const char *path,
                             struct hf_cmd_local *l, struct hf_err *err)
{
    if (has_config(flags)) {
        HF_TRY(hf_cmd_load_config(flags, &l->cfg, err));
        HF_TRY(find(l, path, err));
        if (l->one != NULL)
            return HF_OK;
        hf_config_free(l->cfg);
        l->cfg = NULL;
    }
    HF_TRY(hf_config_from_args(path, NULL, 0, &l->cfg, err));
    l->one = l->cfg->dbs[0];
    return HF_OK;
}

enum hf_code hf_cmd_local_open(const struct hf_config_flags *flags, const char *path,
                               struct hf_cmd_local *out, struct hf_err *err)
{
    *out = (struct hf_cmd_local){0};
    if (path == NULL) {
        HF_TRY(hf_cmd_load_config(flags, &out->cfg, err));
        out->dbs = (const struct hf_config_db *const *)out->cfg->dbs;
        out->n = out->cfg->n_dbs;
        return HF_OK;
    }
    enum hf_code rc = open_one(flags, path, out, err);
    out->dbs = &out->one;
    out->n = 1;
    if (rc != HF_OK)
        hf_cmd_local_close(out);
    return rc;
}

void hf_cmd_local_close(struct hf_cmd_local *l)
{
    if (l->own_db != NULL)
        hf_config_db_free(l->own_db);
    hf_config_free(l->cfg);
    *l = (struct hf_cmd_local){0};
}
