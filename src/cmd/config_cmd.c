/* holdfast config check | explain | schema | example | docs | migrate. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "cmd/common.h"
#include "cmd/out.h"
#include "cmd/rows.h"
#include "config/docs.h"
#include "gateway/plan.h"
#include "os/file.h"

struct options {
    struct hf_config_flags config;
    bool json;
};

static const struct hf_flag check_flags[] = {
    HF_CONFIG_FLAGS(struct options, config),
    {.name = "json",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct options, json),
     .marks = HF_FLAG_OURS,
     .doc = "As JSON, schema holdfast.config-check/1."},
};

static const struct hf_flag json_flag[] = {
    {.name = "json",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct options, json),
     .marks = HF_FLAG_OURS,
     .doc = "As JSON, schema holdfast.config-explain/1."},
};

/* A file given as argument is the same as -config. */
static struct hf_config_options load_options(const struct hf_run *run)
{
    const struct options *o = run->options;
    return (struct hf_config_options){
        .path = run->n_args > 0 ? run->args[0] : o->config.path,
        .no_expand_env = o->config.no_expand_env,
    };
}

static const char *kind_word(enum hf_config_warning_kind kind)
{
    return kind == HF_CONFIG_UNKNOWN_KEY    ? "unknown-key"
           : kind == HF_CONFIG_NOT_HONOURED ? "no-effect"
           : kind == HF_CONFIG_EXPOSED      ? "exposed"
           : kind == HF_CONFIG_DIFFERS      ? "differs"
                                            : "unset-variable";
}

static size_t count_unknown(const struct hf_config *cfg)
{
    size_t n = 0;
    for (size_t i = 0; i < cfg->n_warnings; i++)
        n += cfg->warnings[i].kind == HF_CONFIG_UNKNOWN_KEY;
    return n;
}

static void gateway_json(struct hf_json *j, const struct hf_gw_plan *plan)
{
    hf_json_key(j, "gateway");
    hf_json_object_begin(j);
    hf_json_ku64(j, "hosts", plan->n_hosts);
    hf_json_ku64(j, "routes", plan->n_routes);
    hf_json_key(j, "warnings");
    hf_json_array_begin(j);
    for (size_t i = 0; i < plan->n_warnings; i++)
        hf_json_str(j, plan->warnings[i]);
    hf_json_array_end(j);
    hf_json_object_end(j);
}

static enum hf_code check_json(const struct hf_config *cfg, const struct hf_gw_plan *plan,
                               struct hf_err *err)
{
    struct hf_out_json o;
    hf_out_json_begin(&o, "holdfast.config-check/1");
    hf_json_kstr(&o.j, "file", cfg->file);
    hf_json_kbool(&o.j, "ok", count_unknown(cfg) == 0);
    hf_json_ku64(&o.j, "databases", cfg->n_dbs);
    hf_json_ku64(&o.j, "directories", cfg->n_dirs);
    hf_json_key(&o.j, "warnings");
    hf_json_array_begin(&o.j);
    for (size_t i = 0; i < cfg->n_warnings; i++) {
        const struct hf_config_warning *w = &cfg->warnings[i];
        hf_json_object_begin(&o.j);
        hf_json_kstr(&o.j, "kind", kind_word(w->kind));
        hf_json_ki64(&o.j, "line", w->line);
        hf_json_ki64(&o.j, "column", w->column);
        hf_json_kstr(&o.j, "key", w->key);
        hf_json_kstr(&o.j, "text", w->text);
        hf_json_ku64(&o.j, "more", w->n_more);
        hf_json_object_end(&o.j);
    }
    hf_json_array_end(&o.j);
    if (plan != NULL)
        gateway_json(&o.j, plan);
    return hf_out_json_end(&o, err);
}

/* What is honoured, but not quite as by Litestream. */
static enum hf_code print_differences(const struct hf_config *cfg, struct hf_err *err)
{
    bool has_head = false;
    for (size_t i = 0; i < cfg->n_warnings; i++) {
        const struct hf_config_warning *w = &cfg->warnings[i];
        char more[HF_CMD_MORE_TEXT];
        if (w->kind != HF_CONFIG_DIFFERS)
            continue;
        if (!has_head)
            HF_TRY(hf_out_print(err, "not quite as with Litestream:\n"));
        has_head = true;
        hf_cmd_more_text(w, more);
        HF_TRY(hf_out_print(err, "  line %d, %s%s: %s\n", w->line, w->key, more, w->text));
    }
    return HF_OK;
}

static enum hf_code gateway_text(const struct hf_config *cfg, const struct hf_gw_plan *plan,
                                 struct hf_err *err)
{
    for (size_t i = 0; i < plan->n_warnings; i++)
        fprintf(stderr, "holdfast: warning: %s: gateway: %s\n", cfg->file, plan->warnings[i]);
    return hf_out_print(err, "%s: gateway of %zu host%s, %zu route%s\n", cfg->file, plan->n_hosts,
                        plan->n_hosts == 1 ? "" : "s", plan->n_routes,
                        plan->n_routes == 1 ? "" : "s");
}

static enum hf_code check_text(const struct hf_config *cfg, const struct hf_gw_plan *plan,
                               struct hf_err *err)
{
    size_t replicas = 0;
    hf_cmd_print_warnings(cfg);
    for (size_t i = 0; i < cfg->n_dbs; i++)
        replicas += cfg->dbs[i]->n_replicas;
    for (size_t i = 0; i < cfg->n_dirs; i++)
        replicas += cfg->dirs[i]->n_replicas;
    HF_TRY(hf_out_print(err, "%s: %zu database%s, %zu director%s, %zu replica%s\n", cfg->file,
                        cfg->n_dbs, cfg->n_dbs == 1 ? "" : "s", cfg->n_dirs,
                        cfg->n_dirs == 1 ? "y" : "ies", replicas, replicas == 1 ? "" : "s"));
    if (plan != NULL)
        HF_TRY(gateway_text(cfg, plan, err));
    return print_differences(cfg, err);
}

enum hf_code hf_cmd_config_check(const struct hf_config_options *o, bool is_json,
                                 struct hf_err *err)
{
    struct hf_config *cfg = NULL;
    struct hf_gw_plan *plan = NULL;
    HF_TRY(hf_config_load(o, &cfg, err));
    enum hf_code rc = cfg->gateway.is_set ? hf_gw_plan_new(&cfg->gateway, &plan, err) : HF_OK;
    if (rc == HF_OK)
        rc = is_json ? check_json(cfg, plan, err) : check_text(cfg, plan, err);
    size_t unknown = count_unknown(cfg);
    if (rc == HF_OK && unknown > 0) {
        rc = hf_err_set(err, HF_E_INVALID, "%zu unknown key%s", unknown, unknown == 1 ? "" : "s");
        hf_err_hint(err, "holdfast config docs lists the keys; replicate ignores unknown ones");
    }
    hf_gw_plan_free(plan);
    hf_config_free(cfg);
    return rc;
}

static enum hf_code run_check(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    struct hf_config_options opt = load_options(run);
    return hf_cmd_config_check(&opt, o->json, err);
}

static enum hf_code print_buf(struct hf_buf *out, enum hf_code rc, struct hf_err *err)
{
    if (rc == HF_OK)
        rc = hf_out_write((const char *)out->data, out->len, err);
    hf_buf_deinit(out);
    return rc;
}

static enum hf_code run_explain(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    struct hf_buf out;
    hf_buf_init(&out, HF_OUT_MAX);
    return print_buf(&out,
                     o->json ? hf_docs_explain_json(run->args[0], &out, err)
                             : hf_docs_explain(run->args[0], &out, err),
                     err);
}

static enum hf_code run_schema(struct hf_run *run HF_UNUSED, struct hf_err *err)
{
    struct hf_buf out;
    hf_buf_init(&out, HF_OUT_MAX);
    return print_buf(&out, hf_docs_json_schema(&out, err), err);
}

static enum hf_code run_example(struct hf_run *run HF_UNUSED, struct hf_err *err)
{
    struct hf_buf out;
    hf_buf_init(&out, HF_OUT_MAX);
    return print_buf(&out, hf_docs_example(&out, err), err);
}

static enum hf_code run_docs(struct hf_run *run HF_UNUSED, struct hf_err *err)
{
    struct hf_buf out;
    hf_buf_init(&out, HF_OUT_MAX);
    return print_buf(&out, hf_docs_reference(&out, err), err);
}

static enum hf_code annotate_one(const struct hf_config_warning *w, int indent, struct hf_buf *out,
                                 struct hf_err *err)
{
    char more[HF_CMD_MORE_TEXT];
    hf_cmd_more_text(w, more);
    return hf_buf_appendf(out, err, "%*s# holdfast: %s%s %s%s\n", indent, "", w->key, more,
                          w->kind == HF_CONFIG_DIFFERS ? "unlike Litestream: " : "", w->text);
}

/* The warnings of one line as comments above it, as far in as the line itself. */
static enum hf_code annotate(const struct hf_config *cfg, int line, const char *text,
                             struct hf_buf *out, struct hf_err *err)
{
    int indent = (int)strspn(text, " ");
    for (size_t i = 0; i < cfg->n_warnings; i++) {
        const struct hf_config_warning *w = &cfg->warnings[i];
        if (w->line == line)
            HF_TRY(annotate_one(w, indent, out, err));
    }
    return HF_OK;
}

static enum hf_code migrate_head(const struct hf_config *cfg, struct hf_buf *out,
                                 struct hf_err *err)
{
    return hf_buf_appendf(
        out, err,
        "# holdfast.yml, from %s: %zu database%s, %zu remark%s below.\n"
        "# What changes against Litestream:\n"
        "# - local state is kept in .NAME-holdfast beside each database; .NAME-litestream is left\n"
        "#   alone and may be deleted once Litestream is gone\n"
        "# - retention, retention-check-interval and snapshot-interval of a replica are honoured,\n"
        "#   as in 0.3; 0.5 ignored them\n"
        "# - several replicas of a database are real, as in 0.3\n"
        "# - the replicas stay where they are, in the same format\n",
        cfg->file, cfg->n_dbs + cfg->n_dirs, cfg->n_dbs + cfg->n_dirs == 1 ? "" : "s",
        cfg->n_warnings, cfg->n_warnings == 1 ? "" : "s");
}

static enum hf_code migrate_text(const struct hf_config *cfg, const char *text, struct hf_buf *out,
                                 struct hf_err *err)
{
    int line = 1;
    HF_TRY(migrate_head(cfg, out, err));
    for (const char *p = text; *p != '\0'; line++) {
        size_t len = strcspn(p, "\n");
        HF_TRY(annotate(cfg, line, p, out, err));
        HF_TRY(hf_buf_append(out, p, len, err));
        HF_TRY(hf_buf_append(out, "\n", 1, err));
        p += len + (p[len] == '\n');
    }
    return HF_OK;
}

/* The file as it was, variables and comments included, with remarks where something changes. */
static enum hf_code run_migrate(struct hf_run *run, struct hf_err *err)
{
    struct hf_config_options opt = load_options(run);
    HF_AUTO_FREE char *file = hf_config_find_file(&opt);
    HF_AUTO_FREE char *text = NULL;
    struct hf_config *cfg = NULL;
    size_t len = 0;
    HF_TRY(hf_config_load(&opt, &cfg, err));
    struct hf_buf out;
    hf_buf_init(&out, HF_OUT_MAX);
    enum hf_code rc = hf_path_read(file, HF_LIMIT_CONFIG_BYTES, &text, &len, err);
    if (rc == HF_OK)
        rc = migrate_text(cfg, text, &out, err);
    hf_config_free(cfg);
    return print_buf(&out, rc, err);
}

static const struct hf_command check = {
    .name = "check",
    .group = "Set up",
    .summary = "read a configuration and name what is wrong",
    .args = "[FILE]",
    .max_args = 1,
    .flags = check_flags,
    .n_flags = HF_ARRAY_LEN(check_flags),
    .options_size = sizeof(struct options),
    .run = run_check,
    .exits = "2 when the file has an error or an unknown key; keys without effect and variables "
             "that are not set are only named.",
};

static const struct hf_command explain = {
    .name = "explain",
    .group = "Set up",
    .summary = "say what a key means",
    .args = "KEY",
    .min_args = 1,
    .max_args = 1,
    .flags = json_flag,
    .n_flags = HF_ARRAY_LEN(json_flag),
    .options_size = sizeof(struct options),
    .run = run_explain,
};

static const struct hf_command schema = {
    .name = "schema",
    .group = "Set up",
    .summary = "print the JSON schema of the file, for editors",
    .args = "",
    .run = run_schema,
};

static const struct hf_command example = {
    .name = "example",
    .group = "Set up",
    .summary = "print an example with every key",
    .args = "",
    .run = run_example,
};

static const struct hf_command docs = {
    .name = "docs",
    .group = "Set up",
    .summary = "print the reference page (Markdown)",
    .args = "",
    .run = run_docs,
};

static const struct hf_command migrate = {
    .name = "migrate",
    .group = "Set up",
    .summary = "print a litestream.yml as holdfast.yml, with remarks",
    .args = "[FILE]",
    .max_args = 1,
    .flags = check_flags,
    .n_flags = HF_ARRAY_LEN(check_flags) - 1,
    .options_size = sizeof(struct options),
    .run = run_migrate,
};

static const struct hf_command *const subs[] = {&check, &explain, &schema, &example,
                                                &docs,  &migrate, NULL};

const struct hf_command hf_cmd_config = {
    .name = "config",
    .group = "Set up",
    .summary = "check, explain and migrate configurations",
    .args = "COMMAND",
    .subs = subs,
};
