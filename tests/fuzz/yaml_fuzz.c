/*
 * libFuzzer target: any bytes as a configuration file. Loading must neither crash nor hang; what
 * loads must be consistent, load to the same again, and its warnings must be printable. The same
 * bytes also go in as a replica URL.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_db(const struct hf_config_db *db)
{
    hf_assert(db->path != NULL && db->path[0] == '/');
    hf_assert(db->is_dir ? db->pattern != NULL : db->meta_path != NULL);
    hf_assert(db->n_replicas > 0);
    hf_assert(db->truncate_page_n > 0 && db->max_sync_wal_bytes > 0);
    for (size_t i = 0; i < db->n_replicas; i++) {
        const struct hf_config_replica *r = &db->replicas[i];
        hf_assert(r->path != NULL && r->path[0] != '\0' && strcmp(r->path, "/") != 0);
        hf_assert(r->url != NULL && r->name != NULL);
        hf_assert(r->sync_interval_ns > 0 && r->snapshot_retention_ms > 0);
        hf_assert(r->snapshot_interval_ms >= 0 && r->retention_check_interval_ms > 0);
    }
}

static void check(const struct hf_config *cfg)
{
    hf_assert(cfg->n_levels >= 1 && cfg->n_levels <= HF_CONFIG_LEVELS);
    hf_assert(cfg->l0_retention_ms >= 0 && cfg->l0_retention_check_interval_ms > 0);
    for (size_t i = 0; i < cfg->n_dbs; i++)
        check_db(cfg->dbs[i]);
    for (size_t i = 0; i < cfg->n_dirs; i++)
        check_db(cfg->dirs[i]);
    for (size_t i = 0; i < cfg->n_warnings; i++)
        hf_assert(strlen(cfg->warnings[i].key) + strlen(cfg->warnings[i].text) > 0);
}

static void load(const char *text, size_t size, bool no_expand_env)
{
    struct hf_config_options opt = {.no_expand_env = no_expand_env};
    struct hf_config *cfg = NULL;
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = hf_config_parse("fuzz", text, size, &opt, &cfg, &err);
    hf_assert((rc == HF_OK) == (cfg != NULL));
    hf_assert(rc == HF_OK || (err.code == rc && err.text[0] != '\0'));
    if (cfg == NULL)
        return;
    check(cfg);
    hf_config_free(cfg);
}

static void load_url(const char *text)
{
    struct hf_config *cfg = NULL;
    if (hf_config_from_args("/d/a.db", &text, 1, &cfg, NULL) == HF_OK) {
        check(cfg);
        hf_config_free(cfg);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = hf_strndup((const char *)data, size);
    load(text, size, false);
    load(text, size, true);
    load_url(text);
    hf_free(text);
    return 0;
}
