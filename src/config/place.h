/*
 * Where databases and replicas are: paths made absolute, replica URLs and keys resolved into one
 * place, and the check that no two databases share one.
 *
 * Private to config/. Reads $HOME, the working directory and (for the check) symbolic links.
 */
#ifndef HF_CONFIG_PLACE_H
#define HF_CONFIG_PLACE_H

#include "config/schema.h"

/* "~", relative and "a/../b" paths made absolute and clean, without looking at the disk. */
const char *hf_place_absolute(struct hf_arena *arena, const char *path);
/* Without "sqlite://" or "sqlite3://". */
const char *hf_place_strip_sqlite(const char *path);
/* "<dir>/.NAME-holdfast" of a database file, under dir or, when dir is NULL, beside it. */
const char *hf_place_meta(struct hf_arena *arena, const char *dir, const char *db_path);
/* A configured meta-path: absolute; a trailing "-litestream" becomes "-holdfast". */
const char *hf_place_meta_given(struct hf_arena *arena, const char *meta_path);

/* Fills type, url, path, bucket, host... of raw->r from raw's url or keys. at, name: for errors. */
HF_MUST enum hf_code hf_place_replica(struct hf_reading *rd, struct hf_raw_replica *raw,
                                      const struct hf_yaml *at, const char *name);
/* r->url from the other fields, without secrets. */
const char *hf_place_url(struct hf_arena *arena, const struct hf_config_replica *r);
/* HF_E_INVALID when two databases share a file, a state directory or a replica's place. */
/* The section encryption: enter before a layer's rows are applied (a key named there replaces those
 * of weaker layers), then resolve. hf_place_replica does the latter. */
void hf_place_enter_encryption(const struct hf_yaml *node, struct hf_raw_replica *raw);
HF_MUST enum hf_code hf_place_encryption(struct hf_reading *rd, struct hf_raw_replica *raw,
                                         const struct hf_yaml *at, const char *name);
HF_MUST enum hf_code hf_place_check_shared(const struct hf_config *cfg, struct hf_err *err);

#endif
