/* holdfast databases: what the configuration covers. */
#include <stdio.h>
#include <string.h>

#include "cmd/common.h"
#include "cmd/out.h"
#include "cmd/rows.h"

struct options {
    struct hf_config_flags config;
    bool theirs; /* -json, Litestream's form */
    bool json;
};

static const struct hf_flag flags[] = {
    HF_CONFIG_FLAGS(struct options, config),
    {.name = "json",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct options, theirs),
     .doc = "As JSON the way Litestream prints it: an array."},
    {.name = "json",
     .kind = HF_FLAG_BOOL,
     .marks = HF_FLAG_OURS,
     .offset = offsetof(struct options, json),
     .doc = "As JSON, schema holdfast.databases/1."},
};

enum { TYPES_TEXT = 240 };

/* "file", "file,s3(encrypted)": the types in the order of the file. */
static void type_list(const struct hf_config_db *db, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t i = 0; i < db->n_replicas; i++) {
        size_t len = strlen(out);
        snprintf(out + len, size - len, "%s%s%s", i == 0 ? "" : ",",
                 hf_replica_type_word(db->replicas[i].type),
                 db->replicas[i].encryption.enabled ? "(encrypted)" : "");
    }
}

static enum hf_code print_table(const struct hf_config *cfg, struct hf_err *err)
{
    struct hf_table t;
    char types[TYPES_TEXT];
    hf_table_init(&t, 2);
    hf_table_cell(&t, "path");
    hf_table_cell(&t, "replica");
    for (size_t i = 0; i < cfg->n_dbs; i++) {
        type_list(cfg->dbs[i], types, sizeof(types));
        hf_table_cell(&t, cfg->dbs[i]->path);
        hf_table_cell(&t, types);
    }
    enum hf_code rc = hf_table_print(&t, err);
    hf_table_deinit(&t);
    return rc;
}

static void put_db(struct hf_json *j, const struct hf_config_db *db)
{
    char types[TYPES_TEXT];
    type_list(db, types, sizeof(types));
    hf_json_object_begin(j);
    hf_json_kstr(j, "path", db->path);
    hf_json_kstr(j, "replica", types);
    hf_json_key(j, "replicas");
    hf_json_array_begin(j);
    for (size_t i = 0; i < db->n_replicas; i++) {
        hf_json_object_begin(j);
        hf_json_kstr(j, "name", db->replicas[i].name);
        hf_json_kstr(j, "type", hf_replica_type_word(db->replicas[i].type));
        hf_json_kstr(j, "url", db->replicas[i].url);
        hf_json_kbool(j, "encrypted", db->replicas[i].encryption.enabled);
        hf_json_object_end(j);
    }
    hf_json_array_end(j);
    hf_json_object_end(j);
}

static enum hf_code print_json(const struct hf_config *cfg, bool has_schema, struct hf_err *err)
{
    struct hf_out_json o;
    hf_out_json_begin(&o, has_schema ? "holdfast.databases/1" : NULL);
    hf_out_json_list_begin(&o, "databases");
    for (size_t i = 0; i < cfg->n_dbs; i++)
        put_db(&o.j, cfg->dbs[i]);
    hf_out_json_list_end(&o);
    return hf_out_json_end(&o, err);
}

static enum hf_code run_databases(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    struct hf_config *cfg = NULL;
    HF_TRY(hf_cmd_load_config(&o->config, &cfg, err));
    enum hf_code rc = o->json || o->theirs ? print_json(cfg, o->json, err) : print_table(cfg, err);
    hf_config_free(cfg);
    return rc;
}

static const struct hf_example examples[] = {
    {"holdfast databases", "every database of /etc/holdfast.yml and its replica types"},
    {NULL, NULL},
};

const struct hf_command hf_cmd_databases = {
    .name = "databases",
    .group = "Look",
    .summary = "list the databases of the configuration",
    .args = "",
    .flags = flags,
    .n_flags = HF_ARRAY_LEN(flags),
    .options_size = sizeof(struct options),
    .examples = examples,
    .run = run_databases,
    .doc = "Lists each database with the types of its replicas; directories are looked through "
           "for the databases they hold now.",
};
