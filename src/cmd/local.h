/*
 * The databases whose local state a command looks at (status, reset): those of the configuration,
 * or one by its path, which needs no configuration. Main thread.
 */
#ifndef HF_CMD_LOCAL_H
#define HF_CMD_LOCAL_H

#include "cmd/common.h"

struct hf_cmd_local {
    struct hf_config *cfg;
    struct hf_config_db *own_db; /* a lost one that a directory's pattern names; NULL */
    const struct hf_config_db *const *dbs;
    size_t n;
    const struct hf_config_db *one; /* dbs points here for a single one */
};

/* path NULL: all databases of the configuration. A path it does not name is taken with the local
 * state beside it, as `replicate DB URL` keeps it. */
HF_MUST enum hf_code hf_cmd_local_open(const struct hf_config_flags *flags, const char *path,
                                       struct hf_cmd_local *out, struct hf_err *err);
void hf_cmd_local_close(struct hf_cmd_local *l);

#endif
