/* holdfast ltx: the files of a replica. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "cmd/out.h"
#include "cmd/rows.h"
#include "cmd/target.h"

enum { LEVEL_ALL = HF_LIMIT_LEVELS };

static const char *const levels[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "all", NULL};

struct options {
    struct hf_config_flags config;
    const char *replica;
    int level;
    bool theirs; /* -json, Litestream's form */
    bool json;
};

static const struct hf_flag flags[] = {
    HF_CONFIG_FLAGS(struct options, config),
    {.name = "level",
     .kind = HF_FLAG_ENUM,
     .offset = offsetof(struct options, level),
     .words = levels,
     .value = "0-9|all",
     .def = "0",
     .doc = "0: as captured; 1 to 8: compacted; 9: snapshots; all."},
    {.name = "replica",
     .kind = HF_FLAG_STRING,
     .offset = offsetof(struct options, replica),
     .value = "NAME",
     .marks = HF_FLAG_OURS,
     .doc = "The replica to list when the database has several; without it the first."},
    {.name = "json",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct options, theirs),
     .doc = "As JSON the way Litestream prints it: an array."},
    {.name = "json",
     .kind = HF_FLAG_BOOL,
     .marks = HF_FLAG_OURS,
     .offset = offsetof(struct options, json),
     .doc = "As JSON, schema holdfast.ltx/1."},
};

static enum hf_code print_table(const struct hf_ltx_list *l, struct hf_err *err)
{
    struct hf_table t;
    char text[HF_TIME_TEXT];
    hf_table_init(&t, 5);
    hf_table_cell(&t, "level");
    hf_table_cell(&t, "min_txid");
    hf_table_cell(&t, "max_txid");
    hf_table_cell(&t, "size");
    hf_table_cell(&t, "created");
    for (size_t i = 0; i < l->len; i++) {
        const struct hf_ltx_info *f = &l->items[i];
        hf_clock_format(f->time_ms, text);
        hf_table_cellf(&t, "%d", f->level);
        hf_table_cellf(&t, "%016llx", (unsigned long long)f->min_txid);
        hf_table_cellf(&t, "%016llx", (unsigned long long)f->max_txid);
        hf_table_cellf(&t, "%llu", (unsigned long long)f->size);
        hf_table_cell(&t, text);
    }
    enum hf_code rc = hf_table_print(&t, err);
    hf_table_deinit(&t);
    return rc;
}

static enum hf_code print_json(const struct hf_cmd_source *s, const struct hf_ltx_list *l,
                               bool has_schema, struct hf_err *err)
{
    struct hf_out_json o;
    char text[HF_TIME_TEXT];
    hf_out_json_begin(&o, has_schema ? "holdfast.ltx/1" : NULL);
    if (has_schema) {
        hf_json_kstr(&o.j, "replica", s->name);
        hf_json_kstr(&o.j, "url", hf_replica_name(s->replica));
    }
    hf_out_json_list_begin(&o, "files");
    for (size_t i = 0; i < l->len; i++) {
        const struct hf_ltx_info *f = &l->items[i];
        hf_clock_format(f->time_ms, text);
        hf_json_object_begin(&o.j);
        hf_json_ki64(&o.j, "level", f->level);
        hf_json_ktxid(&o.j, "min_txid", f->min_txid);
        hf_json_ktxid(&o.j, "max_txid", f->max_txid);
        hf_json_ku64(&o.j, "size", f->size);
        hf_json_kstr(&o.j, "timestamp", text);
        hf_json_object_end(&o.j);
    }
    hf_out_json_list_end(&o);
    return hf_out_json_end(&o, err);
}

static enum hf_code list(const struct hf_cmd_source *s, int level, struct hf_ltx_list *l,
                         struct hf_err *err)
{
    HF_TRY(level == LEVEL_ALL ? hf_replica_list_all(s->replica, l, err)
                              : hf_replica_list(s->replica, level, 0, l, err));
    return l->len > 0 ? HF_OK : hf_cmd_source_check(s, err);
}

static enum hf_code run_ltx(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    struct hf_cmd_target t;
    struct hf_ltx_list l = {NULL, 0, 0};
    if (strcmp(run->name, "wal") == 0)
        fputs("Warning: 'wal' command is deprecated, please use 'ltx' instead\n", stderr);
    enum hf_code rc = hf_cmd_target_open(&o->config, run->args[0], o->replica, &t, err);
    if (rc == HF_OK)
        rc = list(&t.sources[0], o->level, &l, err);
    if (rc == HF_OK)
        rc = o->json || o->theirs ? print_json(&t.sources[0], &l, o->json, err)
                                  : print_table(&l, err);
    hf_ltx_list_deinit(&l);
    hf_cmd_target_close(&t);
    return rc;
}

static const struct hf_example examples[] = {
    {"holdfast ltx /var/lib/app.db", "the captured files of the database's replica"},
    {"holdfast ltx -level all file:///var/backups/app", "everything a replica holds"},
    {NULL, NULL},
};

const struct hf_command hf_cmd_ltx = {
    .name = "ltx",
    .alias = "wal",
    .group = "Look",
    .summary = "list the LTX files of a replica",
    .args = "DB_PATH | REPLICA_URL",
    .min_args = 1,
    .max_args = 1,
    .flags = flags,
    .n_flags = HF_ARRAY_LEN(flags),
    .options_size = sizeof(struct options),
    .examples = examples,
    .run = run_ltx,
    .doc = "Each file holds the pages that changed between two transaction ids (hex). A restore "
           "can go to the max_txid of any chain of files that begins at 1; `restore -dry-run` "
           "shows which it would take. Times are what -timestamp understands.",
};
