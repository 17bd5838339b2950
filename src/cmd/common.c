#include "cmd/common.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

void hf_cmd_more_text(const struct hf_config_warning *w, char out[HF_CMD_MORE_TEXT])
{
    out[0] = '\0';
    if (w->n_more > 0)
        snprintf(out, HF_CMD_MORE_TEXT, " (and in %zu more place%s)", w->n_more,
                 w->n_more == 1 ? "" : "s");
}

void hf_cmd_print_warnings(const struct hf_config *cfg)
{
    for (size_t i = 0; i < cfg->n_warnings; i++) {
        const struct hf_config_warning *w = &cfg->warnings[i];
        char more[HF_CMD_MORE_TEXT];
        hf_cmd_more_text(w, more);
        if (w->kind != HF_CONFIG_DIFFERS)
            fprintf(stderr, "holdfast: warning: %s:%d:%d %s: %s%s\n", cfg->file, w->line, w->column,
                    w->key, w->text, more);
    }
}

enum hf_code hf_cmd_load_config(const struct hf_config_flags *flags, struct hf_config **out,
                                struct hf_err *err)
{
    struct hf_config_options opt = {.path = flags->path, .no_expand_env = flags->no_expand_env};
    struct hf_config *cfg = NULL;
    HF_TRY(hf_config_load(&opt, &cfg, err));
    enum hf_code rc = hf_config_scan_dirs(cfg, err);
    if (rc != HF_OK) {
        hf_config_free(cfg);
        return rc;
    }
    hf_cmd_print_warnings(cfg);
    *out = cfg;
    return HF_OK;
}

enum hf_code hf_cmd_setup_log(const struct hf_config *cfg, const char *level_flag,
                              struct hf_err *err)
{
    enum hf_log_level level = (enum hf_log_level)cfg->logging.level;
    const char *env = getenv("LOG_LEVEL");
    const char *word = level_flag != NULL ? level_flag : env;
    if (word != NULL && word[0] != '\0' && !hf_log_parse_level(word, &level))
        return hf_err_set(err, HF_E_INVALID, "%s: '%.60s' is not one of debug, info, warn, error",
                          level_flag != NULL ? "-log-level" : "LOG_LEVEL", word);
    hf_log_setup(level, cfg->logging.type == HF_CONFIG_LOG_JSON ? HF_LOG_JSON : HF_LOG_TEXT,
                 cfg->logging.to_stderr);
    return HF_OK;
}

enum hf_code hf_cmd_open_replica(const struct hf_config_replica *conf, struct hf_store **store,
                                 struct hf_replica **replica, struct hf_err *err)
{
    struct hf_store *s = NULL;
    HF_TRY(hf_store_open_replica(conf, &s, err));
    enum hf_code rc = hf_replica_new(s, "", replica, err);
    if (rc != HF_OK)
        hf_store_close(s);
    else
        *store = s;
    return rc;
}

void hf_cmd_print_error(const char *name, const struct hf_err *err)
{
    fprintf(stderr, "holdfast%s%s: %s\n", name[0] == '\0' ? "" : " ", name, err->text);
    if (err->hint[0] != '\0')
        fprintf(stderr, "  %s\n", err->hint);
}
