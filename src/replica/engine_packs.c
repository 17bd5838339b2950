/*
 * Directories of packs, shared by the databases that ship into the same one, and their upkeep.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "replica/compact.h"
#include "replica/db.h"
#include "replica/packs.h"

enum {
    TIDY_TICKS = 5,             /* between two looks */
    GRACE_MS = 60 * 1000,       /* after l0-retention: compaction comes first */
    KEEP_MAX_MS = 600 * 1000,   /* of l0-retention; what is kept longer is copied to ltx/0 */
    OTHER_AGE_MS = 3600 * 1000, /* who shipped it has compacted it by then, or never will */
};

struct packs_ref {
    struct hf_task task; /* on the upkeep pool; never queued twice */
    struct engine *e;
    char *key;
    struct hf_packs *packs;
    atomic_bool is_busy;
    bool has_failed;
    const struct hf_config_encryption *encryption; /* the configuration's */
    struct packs_ref *next;
};

/* ---- upkeep ---- */

static enum hf_code retain(void *arg, struct hf_replica *r, struct hf_err *err)
{
    const struct engine *e = arg;
    struct hf_retention policy = {.is_enabled = e->cfg->retention_enabled,
                                  .l0_retention_ms = e->cfg->l0_retention_ms};
    return hf_retention_run(r, &policy, hf_clock_wall_ms(), true, NULL, err);
}

/* Whatever the configuration says: tables are in memory, and read by whoever begins to look. */
static int64_t own_age_ms(const struct engine *e)
{
    int64_t grace = e->cfg->n_levels > 0 ? 2 * e->cfg->level_interval_ms[0] : GRACE_MS;
    int64_t kept = e->cfg->l0_retention_ms;
    return (kept < KEEP_MAX_MS ? kept : KEEP_MAX_MS) + (grace < KEEP_MAX_MS ? grace : KEEP_MAX_MS);
}

static struct hf_packs_policy policy_of(struct engine *e)
{
    return (struct hf_packs_policy){
        .now_ms = hf_clock_wall_ms(),
        .own_age_ms = own_age_ms(e),
        .other_age_ms = own_age_ms(e) + OTHER_AGE_MS,
        .retain = retain,
        .arg = e,
    };
}

static void tidy(struct hf_task *task)
{
    struct packs_ref *ref = (struct packs_ref *)task;
    struct hf_err err = HF_ERR_INIT;
    struct hf_packs_policy policy = policy_of(ref->e);
    enum hf_code rc = hf_packs_tidy(ref->packs, &policy, &err);
    if (rc != HF_OK && !ref->has_failed)
        hf_log(HF_LOG_WARN, "old packs stay", HF_F_STR("packs", ref->key), HF_F_ERR(&err),
               HF_F_END);
    ref->has_failed = rc != HF_OK;
    atomic_store(&ref->is_busy, false);
}

void engine_flush_packs(struct engine *e)
{
    for (struct packs_ref *ref = e->packs; ref != NULL; ref = ref->next)
        hf_packs_flush(ref->packs);
}

/* ---- opening ---- */

static const char *or_empty(const char *s)
{
    return s == NULL ? "" : s;
}

/* Directories from path's own up to root: 0 if root is not above it. */
static unsigned steps_below(const char *root, const char *path)
{
    size_t len = strlen(root);
    while (len > 0 && root[len - 1] == '/')
        len--;
    if (strncmp(root, path, len) != 0 || (len > 0 && path[len] != '/'))
        return 0;
    unsigned n = 0;
    for (const char *p = path + len; *p != '\0'; p += strcspn(p, "/")) {
        p += strspn(p, "/");
        n += *p != '\0';
    }
    return n;
}

static enum hf_code steps_up(const struct hf_config_replica *conf, unsigned *up, struct hf_err *err)
{
    *up = conf->pack_path == NULL ? 1 : steps_below(conf->pack_path, conf->path);
    if (*up >= 1 && *up <= HF_LIMIT_PACK_UP && conf->path[0] != '\0')
        return HF_OK;
    hf_err_set(err, HF_E_INVALID, "pack-path '%s' is not a directory above the replica's '%s'",
               or_empty(conf->pack_path), conf->path);
    hf_err_hint(err, "packs are kept beside the replicas that share them: path: backup/app, "
                     "pack-path: backup");
    return HF_E_INVALID;
}

/* A pack is encrypted as one object. */
static bool is_same_key(const struct hf_config_encryption *a, const struct hf_config_encryption *b)
{
    bool is_same = a->enabled == b->enabled && a->key_files.n == b->key_files.n &&
                   strcmp(or_empty(a->key_env), or_empty(b->key_env)) == 0 &&
                   strcmp(or_empty(a->key_command), or_empty(b->key_command)) == 0;
    for (size_t i = 0; is_same && i < a->key_files.n; i++)
        is_same = strcmp(a->key_files.items[i], b->key_files.items[i]) == 0;
    return is_same;
}

static enum hf_code check_key(const struct packs_ref *ref, const struct hf_config_replica *conf,
                              struct hf_err *err)
{
    if (is_same_key(ref->encryption, &conf->encryption))
        return HF_OK;
    hf_err_set(err, HF_E_INVALID, "%s shares packs with replicas that have another encryption key",
               conf->url);
    hf_err_hint(err, "give them the same key, or packs of their own: pack-path, or another "
                     "directory");
    return HF_E_INVALID;
}

enum hf_code engine_pack(struct engine *e, const struct hf_config_replica *conf,
                         struct hf_replica *r, struct hf_err *err)
{
    unsigned up = 0;
    HF_TRY(steps_up(conf, &up, err));
    HF_AUTO_FREE char *base = NULL;
    HF_AUTO_FREE char *path = NULL;
    hf_replica_above(r, up, &base, &path);
    size_t root = strlen(hf_replica_name(r)) - strlen(path);
    HF_AUTO_FREE char *key =
        hf_asprintf("%.*s %s", (int)root, hf_replica_name(r), or_empty(conf->endpoint));
    struct packs_ref *ref = e->packs;
    while (ref != NULL && strcmp(ref->key, key) != 0)
        ref = ref->next;
    uint64_t interval = (uint64_t)(conf->sync_interval_ns / 1000000);
    if (ref == NULL) {
        ref = hf_calloc(1, sizeof(*ref));
        ref->e = e;
        ref->encryption = &conf->encryption;
        ref->task.run = tidy;
        ref->key = hf_steal(&key);
        ref->packs = hf_packs_new(hf_replica_store(r), base, interval, (uint64_t)own_age_ms(e));
        ref->next = e->packs;
        e->packs = ref;
    }
    HF_TRY(check_key(ref, conf, err));
    hf_packs_hurry(ref->packs, interval);
    hf_replica_pack(r, ref->packs, up);
    return HF_OK;
}

void engine_free_packs(struct engine *e)
{
    while (e->packs != NULL) {
        struct packs_ref *ref = e->packs;
        e->packs = ref->next;
        hf_packs_free(ref->packs);
        hf_free(ref->key);
        hf_free(ref);
    }
}

void engine_tidy_packs(struct engine *e)
{
    if (e->packs == NULL || e->tick_count % TIDY_TICKS != 0)
        return;
    struct hf_packs_policy policy = policy_of(e);
    for (struct packs_ref *ref = e->packs; ref != NULL; ref = ref->next) {
        if (atomic_load(&ref->is_busy) || !hf_packs_is_untidy(ref->packs, &policy))
            continue;
        atomic_store(&ref->is_busy, true);
        hf_pool_submit(e->upkeep_pool, &ref->task);
    }
}
