/*
 * What several commands share: the flags that find a configuration, loading it, logging set-up.
 */
#ifndef HF_CMD_COMMON_H
#define HF_CMD_COMMON_H

#include "cmd/command.h"
#include "config/config.h"
#include "replica/replica.h"

struct hf_config_flags {
    const char *path;
    bool no_expand_env;
};

/* Two rows for a command's flag table; member is the struct hf_config_flags in its options type. */
#define HF_CONFIG_FLAGS(type, member)                                                              \
    {.name = "config",                                                                             \
     .kind = HF_FLAG_STRING,                                                                       \
     .offset = offsetof(type, member.path),                                                        \
     .value = "FILE",                                                                              \
     .doc = "Configuration file. Without it: HOLDFAST_CONFIG, LITESTREAM_CONFIG, "                 \
            "/etc/holdfast.yml, /etc/litestream.yml."},                                            \
    {                                                                                              \
        .name = "no-expand-env", .kind = HF_FLAG_BOOL,                                             \
        .offset = offsetof(type, member.no_expand_env),                                            \
        .doc = "Leave $VAR in the configuration as it stands."                                     \
    }

/* Loads the configuration and finds the databases of its directories; prints warnings to stderr. */
HF_MUST enum hf_code hf_cmd_load_config(const struct hf_config_flags *flags, struct hf_config **out,
                                        struct hf_err *err);
/* " (and in 68 more places)", or nothing. */
#define HF_CMD_MORE_TEXT 60
void hf_cmd_more_text(const struct hf_config_warning *w, char out[HF_CMD_MORE_TEXT]);
/* "holdfast: warning: FILE:LINE:COL KEY: TEXT" for each, to stderr; not what only differs. */
void hf_cmd_print_warnings(const struct hf_config *cfg);
/* What `config check` prints, for -config-validate, too; o->path: the file. HF_E_INVALID when it
 * has an error or an unknown key. config_cmd.c. */
HF_MUST enum hf_code hf_cmd_config_check(const struct hf_config_options *o, bool is_json,
                                         struct hf_err *err);
/* Level: flag (may be NULL), else LOG_LEVEL, else the configuration's. HF_E_INVALID for a word that
 * is no level. */
HF_MUST enum hf_code hf_cmd_setup_log(const struct hf_config *cfg, const char *level_flag,
                                      struct hf_err *err);
/* The store of a configured replica and the replica in it; the caller frees both, replica first. */
HF_MUST enum hf_code hf_cmd_open_replica(const struct hf_config_replica *conf,
                                         struct hf_store **store, struct hf_replica **replica,
                                         struct hf_err *err);
/* "holdfast NAME: text" and, if there is one, a line with the hint, to stderr. */
void hf_cmd_print_error(const char *name, const struct hf_err *err);

#endif
