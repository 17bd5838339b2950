/*
 * holdfast reset: forgets what is known locally about a database. The replica and the database stay
 * as they are.
 *
 * Only files that we write are removed, by name: meta-path may point to a directory of others.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cmd/local.h"
#include "cmd/out.h"
#include "cmd/rows.h"
#include "ltx/ltx.h"
#include "os/file.h"

struct options {
    struct hf_config_flags config;
    bool dry_run;
    bool json;
};

static const struct hf_flag flags[] = {
    HF_CONFIG_FLAGS(struct options, config),
    {.name = "dry-run",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct options, dry_run),
     .doc = "Only list what would be removed."},
    {.name = "json",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct options, json),
     .marks = HF_FLAG_OURS,
     .doc = "As JSON, schema holdfast.reset/1."},
};

struct found {
    const char *dir;
    bool is_standby;
    char **paths;
    size_t n;
};

struct spool_dir {
    struct found *found;
    const char *path;
};

static bool has_ends(const char *name, const char *first, const char *last)
{
    size_t len = strlen(name);
    size_t a = strlen(first);
    size_t b = strlen(last);
    return len >= a + b && memcmp(name, first, a) == 0 && memcmp(name + len - b, last, b) == 0;
}

/* The position, page checksums, what each of several replicas holds, and what a killed process may
 * have left of a base image. */
static bool is_ours(const char *name)
{
    return strcmp(name, "position") == 0 || has_ends(name, "replica-", "") ||
           has_ends(name, "pages.sum", "") || has_ends(name, "base-", ".tmp") ||
           has_ends(name, ".holdfast-spill-", "");
}

static enum hf_code note(void *arg, const char *name, bool is_dir, struct hf_err *err)
{
    struct found *f = arg;
    (void)err;
    if (is_dir)
        return HF_OK;
    f->is_standby |= strcmp(name, "follow") == 0;
    if (!is_ours(name))
        return HF_OK;
    f->paths = hf_realloc(f->paths, f->n + 1, sizeof(*f->paths));
    f->paths[f->n++] = hf_path_join(f->dir, name);
    return HF_OK;
}

static enum hf_code note_spooled(void *arg, const char *name, bool is_dir, struct hf_err *err)
{
    struct spool_dir *s = arg;
    uint64_t min = 0;
    uint64_t max = 0;
    (void)err;
    if (is_dir || !hf_ltx_name_parse(name, &min, &max))
        return HF_OK;
    struct found *f = s->found;
    f->paths = hf_realloc(f->paths, f->n + 1, sizeof(*f->paths));
    f->paths[f->n++] = hf_path_join(s->path, name);
    return HF_OK;
}

static const char *const spool_dirs[] = {"spool/ltx/0", "spool/ltx/9", "spool/ltx", "spool"};

/* What waits for one of several replicas. */
static void look_at_spool(struct found *f)
{
    for (size_t i = 0; i < 2; i++) {
        HF_AUTO_FREE char *path = hf_path_join(f->dir, spool_dirs[i]);
        struct spool_dir s = {f, path};
        (void)!hf_path_list(path, note_spooled, &s, NULL);
    }
}

static void remove_dirs(const struct found *f)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(spool_dirs); i++) {
        HF_AUTO_FREE char *path = hf_path_join(f->dir, spool_dirs[i]);
        (void)!hf_path_rmdir(path, NULL);
    }
    (void)!hf_path_rmdir(f->dir, NULL);
}

static void found_deinit(struct found *f)
{
    for (size_t i = 0; i < f->n; i++)
        hf_free(f->paths[i]);
    hf_free(f->paths);
}

static enum hf_code look(const struct hf_config_db *db, struct found *f, struct hf_err *err)
{
    if (!hf_path_exists(db->path) && !hf_path_exists(f->dir))
        return hf_err_set(err, HF_E_NOT_FOUND, "database does not exist: %s", db->path);
    enum hf_code rc = hf_path_list(f->dir, note, f, err);
    if (rc != HF_OK && rc != HF_E_NOT_FOUND)
        return rc;
    hf_err_reset(err);
    look_at_spool(f);
    if (!f->is_standby || f->n > 0)
        return HF_OK;
    hf_err_set(err, HF_E_INVALID, "%s is a copy that `restore -f` keeps", db->path);
    hf_err_hint(err, "restore -f -force makes it anew");
    return HF_E_INVALID;
}

static enum hf_code clear(const struct found *f, struct hf_err *err)
{
    for (size_t i = 0; i < f->n; i++)
        HF_TRY(hf_path_remove(f->paths[i], err));
    /* The directories, too, if nothing else is in them. */
    if (f->n > 0)
        remove_dirs(f);
    return HF_OK;
}

static enum hf_code print_text(const struct hf_config_db *db, const struct found *f, bool is_dry,
                               struct hf_err *err)
{
    HF_TRY(hf_out_print(err,
                        is_dry ? "Dry run: local state would be reset for: %s\n"
                               : "Reset local state for: %s\n",
                        db->path));
    for (size_t i = 0; i < f->n; i++)
        HF_TRY(hf_out_print(err, "%s: %s\n", is_dry ? "Would remove" : "Removed", f->paths[i]));
    if (f->n == 0)
        return hf_out_print(err, "There was no local state.\n");
    if (is_dry)
        return HF_OK;
    return hf_out_print(err, "The next start goes on from the replica's newest TXID and ships one "
                             "difference.\n");
}

static enum hf_code print_json(const struct hf_config_db *db, const struct found *f, bool is_dry,
                               struct hf_err *err)
{
    struct hf_out_json o;
    hf_out_json_begin(&o, "holdfast.reset/1");
    hf_json_kstr(&o.j, "path", db->path);
    hf_json_kbool(&o.j, "dry_run", is_dry);
    hf_json_key(&o.j, "removed");
    hf_json_array_begin(&o.j);
    for (size_t i = 0; i < f->n; i++)
        hf_json_str(&o.j, f->paths[i]);
    hf_json_array_end(&o.j);
    return hf_out_json_end(&o, err);
}

static enum hf_code reset(const struct hf_config_db *db, const struct options *o,
                          struct hf_err *err)
{
    struct found f = {.dir = db->meta_path};
    enum hf_code rc = look(db, &f, err);
    if (rc == HF_OK && !o->dry_run)
        rc = clear(&f, err);
    if (rc == HF_OK)
        rc = o->json ? print_json(db, &f, o->dry_run, err) : print_text(db, &f, o->dry_run, err);
    found_deinit(&f);
    return rc;
}

static enum hf_code run_reset(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    struct hf_cmd_local l;
    if (run->n_args == 0) {
        hf_err_set(err, HF_E_INVALID, "database path required");
        hf_err_hint(err, "holdfast reset /path/to/db");
        return HF_E_INVALID;
    }
    HF_TRY(hf_cmd_local_open(&o->config, run->args[0], &l, err));
    enum hf_code rc = reset(l.dbs[0], o, err);
    hf_cmd_local_close(&l);
    return rc;
}

static const struct hf_example examples[] = {
    {"holdfast reset /var/lib/app.db", "forgets the position; the next start ships a difference"},
    {"holdfast reset -dry-run /var/lib/app.db", "shows what that would remove"},
    {NULL, NULL},
};

const struct hf_command hf_cmd_reset = {
    .name = "reset",
    .group = "Protect",
    .summary = "forget the local state of a database",
    .args = "DB_PATH",
    .max_args = 1,
    .flags = flags,
    .n_flags = HF_ARRAY_LEN(flags),
    .options_size = sizeof(struct options),
    .examples = examples,
    .run = run_reset,
    .doc = "Removes what Holdfast noted beside the database: position and page checksums. The "
           "database and its replica are not touched. The next start takes its position from the "
           "replica and ships what differs. Stop a running `replicate` first: it would write its "
           "position again.",
};
