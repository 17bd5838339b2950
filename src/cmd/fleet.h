/*
 * The databases of a configuration taken as a whole, for `restore -all` and `verify -all`: which
 * they are, where each goes, and their open replicas.
 *
 * Nothing of the source machine is looked at. The databases of a `dir:` entry are those its
 * replicas hold: every prefix below the entry's path that has LTX files (or, from Litestream 0.3,
 * generations) under a name that fits the entry's pattern.
 *
 * Main thread. Replicas stay open until hf_cmd_fleet_close.
 */
#ifndef HF_CMD_FLEET_H
#define HF_CMD_FLEET_H

#include "cmd/common.h"
#include "replica/replica.h"

struct hf_cmd_fleet_options {
    const struct hf_config_flags *config;
    const struct hf_flag_list *tiers; /* only these, in this order; empty: all */
    const struct hf_flag_list *maps;  /* "/from=/to": where databases go; the longest one counts */
    const char *replica;              /* only the replica of this name; NULL: all */
};

struct hf_cmd_member {
    const struct hf_config_db *db;
    struct hf_config_db *own_db; /* of a directory; NULL */
    char *path;                  /* where it goes */
    struct hf_store **stores;
    struct hf_replica **replicas;
    size_t n_replicas; /* 0: none could be opened, and err says why */
    struct hf_err err;
};

struct hf_cmd_fleet {
    struct hf_cmd_fleet_options o;
    struct hf_config *cfg;
    struct hf_cmd_member **members; /* in order of tiers, then of the file; they do not move */
    size_t n;
    size_t cap;
    size_t *buckets; /* hash by path: index + 1 */
    size_t n_buckets;
};

/* Loads the configuration, prints its warnings, opens the databases with a path. f is initialized
 * in any case. HF_E_INVALID for a map that is none, a tier that nobody has, two databases that
 * would get one path. */
HF_MUST enum hf_code hf_cmd_fleet_open(const struct hf_cmd_fleet_options *o, struct hf_cmd_fleet *f,
                                       struct hf_err *err);
/* Adds what the replicas of directory entries hold and is not known yet; again at any time.
 * Returns the first error; the other entries are looked at all the same. */
HF_MUST enum hf_code hf_cmd_fleet_scan(struct hf_cmd_fleet *f, struct hf_err *err);
void hf_cmd_fleet_close(struct hf_cmd_fleet *f);

/* "/srv/a/x.db" under "/srv=/mnt": "/mnt/a/x.db"; path itself if no map is for it. The caller
 * frees. Pure. */
HF_MUST char *hf_cmd_fleet_map(const struct hf_flag_list *maps, const char *path);

#endif
