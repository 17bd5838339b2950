/*
 * "DB_PATH or REPLICA_URL": the argument of restore and ltx, resolved into open replicas.
 *
 * A URL names one replica and excludes -config. A path is looked up in the configuration, where the
 * database may have several replicas, and directories of databases count even when the database is
 * lost. A path that no configuration knows but that holds a replica is taken for one.
 */
#ifndef HF_CMD_TARGET_H
#define HF_CMD_TARGET_H

#include "cmd/common.h"
#include "replica/replica.h"

struct hf_cmd_source {
    const char *name; /* "file", or as configured */
    struct hf_store *store;
    struct hf_replica *replica;
};

struct hf_cmd_target {
    struct hf_config *cfg;         /* NULL for a URL */
    struct hf_config_db *own_db;   /* found by a directory's pattern; NULL */
    const char *db_path;           /* NULL for a URL */
    struct hf_cmd_source *sources; /* at least one */
    size_t n;
    struct hf_err skipped; /* why a replica could not be opened, if one was left out */
};

/* replica_name: only the replica of that name; NULL = all. t is initialized in any case. */
HF_MUST enum hf_code hf_cmd_target_open(const struct hf_config_flags *flags, const char *arg,
                                        const char *replica_name, struct hf_cmd_target *t,
                                        struct hf_err *err);
void hf_cmd_target_close(struct hf_cmd_target *t);

/* For a replica without files: HF_E_NOT_FOUND "no such replica" if its place itself is missing. */
HF_MUST enum hf_code hf_cmd_source_check(const struct hf_cmd_source *s, struct hf_err *err);

#endif
