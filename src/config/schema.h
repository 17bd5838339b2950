/*
 * The schema: one row a key, one table a section (schema_table.c). The rows drive the parser and
 * its errors (schema.c), and the reference page, the example file, the JSON schema and "config
 * explain" (docs.c). To add a key: a row, a field at its offset, and nothing else unless the value
 * needs resolving (config.c).
 *
 * Private to config/, apart from docs.h. Pure.
 */
#ifndef HF_CONFIG_SCHEMA_H
#define HF_CONFIG_SCHEMA_H

#include "base/arena.h"
#include "config/config.h"
#include "config/yamltree.h"

enum hf_key_kind {
    HF_KEY_BOOL,    /* bool */
    HF_KEY_TRI,     /* int64_t: 0, 1, or -1 when it is not set */
    HF_KEY_INT,     /* int64_t */
    HF_KEY_OCTAL,   /* int64_t, written as permission bits: 0600 */
    HF_KEY_SIZE,    /* int64_t bytes */
    HF_KEY_NS,      /* int64_t nanoseconds, a duration in the file */
    HF_KEY_MS,      /* int64_t milliseconds, a duration in the file */
    HF_KEY_MICRO,   /* int64_t millionths, a decimal in the file */
    HF_KEY_STRING,  /* const char * */
    HF_KEY_STRINGS, /* struct hf_config_strings: a list, or one */
    HF_KEY_ENUM,    /* int: index into words */
    HF_KEY_SECTION, /* a mapping described by section, placed at offset */
    HF_KEY_NODE,    /* a list or mapping that config.c reads itself; section describes the items */
    HF_KEY_REFUSED, /* an error: the text is in not_honoured */
};

enum {
    HF_KEY_SECRET = 1,     /* never printed */
    HF_KEY_RELOAD = 2,     /* may change without a restart */
    HF_KEY_GLOBAL = 4,     /* replica key that may stand at the top as default of all replicas */
    HF_KEY_TIER = 8,       /* may stand in a tier */
    HF_KEY_DEPRECATED = 16 /* works, but there is a better one (doc says which) */
};

struct hf_section;

struct hf_key {
    const char *name;
    enum hf_key_kind kind;
    size_t offset;
    const char *def; /* as it would be written in the file; NULL: not set (integers: -1) */
    int64_t min;     /* range of numbers, in the unit of the field */
    int64_t max;     /* 0: no range */
    unsigned flags;
    const char *since; /* "0.3", "0.5" (of Litestream), "holdfast" */
    const char *only;  /* replica types it is for: "s3", "sftp, nats"; NULL: all */
    const char *doc;
    const struct hf_section *section;
    const char *const *words; /* ENUM, ended by NULL */
    const char *not_honoured; /* what happens instead; NULL: it is honoured */
    const char *differs;      /* from Litestream, although it is honoured; NULL: nothing */
};

struct hf_section {
    const char *name; /* "replica"; "" for the top */
    const char *path; /* "dbs[].replica" */
    const char *doc;
    const struct hf_key *keys;
    size_t n_keys;
};

/* What the rows of the replica section fill. */
struct hf_raw_replica {
    struct hf_config_replica r;
    const char *type;
    const char *url;
    const char *path;
    const char *host;
    const char *password;
    bool has_encryption; /* a layer has the section */
    int64_t force_path_style;
    int64_t retention_ms;
    int64_t retention_check_interval_ms;
    int64_t snapshot_interval_ms;
};

/* What the rows of the db section fill. */
struct hf_raw_db {
    struct hf_config_db d;
    const char *path;
    const char *dir;
    const char *meta_path;
    const char *meta_dir;
};

extern const struct hf_section hf_section_root;
extern const struct hf_section hf_section_db;
extern const struct hf_section hf_section_replica;
extern const struct hf_section hf_section_level;
extern const struct hf_section hf_section_snapshot;
extern const struct hf_section hf_section_gateway;
extern const struct hf_section hf_section_gateway_host;
extern const struct hf_section hf_section_gateway_route;
extern const struct hf_section hf_section_gateway_key;
extern const struct hf_section hf_section_gateway_price;
/* All of them, the order of the reference page. */
extern const struct hf_section *const hf_sections[];
extern const size_t hf_n_sections;

/* What a pass over the file needs; one a load. */
struct hf_reading {
    const char *file;
    struct hf_config *cfg; /* takes the warnings; its arena takes the strings */
    struct hf_err *err;
    size_t cap_warnings;
    bool is_muted; /* a part is read again: its warnings are known */
};

/* Rows that may stand in one mapping, and the struct they fill. */
struct hf_view {
    const struct hf_section *section; /* NULL ends a list of views */
    unsigned mask;                    /* only rows with one of these flags; 0: all */
    void *base;
};

/* Sets every field of the section (and its sub-sections) to its default. */
void hf_schema_defaults(const struct hf_section *section, void *base);
/* Reads a mapping into the structs of the views. prefix: the mapping's name in messages, "" for the
 * top. Unknown keys become warnings. NODE keys are left to the caller. */
HF_MUST enum hf_code hf_schema_apply(struct hf_reading *rd, const struct hf_yaml *node,
                                     const char *prefix, const struct hf_view *views);
/* One value of row key into the struct at base. */
HF_MUST enum hf_code hf_schema_set(struct hf_reading *rd, const struct hf_key *key,
                                   const struct hf_yaml *value, const char *name, void *base);
const struct hf_key *hf_schema_find(const struct hf_section *section, const char *name);

/* HF_E_INVALID "FILE:LINE:COL NAME: text", or "NAME: text" when at->line is 0 (not from a file). */
HF_MUST enum hf_code hf_reading_fail(struct hf_reading *rd, const struct hf_yaml *at,
                                     const char *name, const char *fmt, ...) HF_PRINTF(4, 5);
void hf_reading_warn(struct hf_reading *rd, const struct hf_config_warning *w);
/* Warns when others than its owner may read the file of a secret; once a file. path may be NULL;
 * key lives as long as the configuration. */
void hf_reading_check_private(struct hf_reading *rd, const struct hf_yaml *at, const char *key,
                              const char *path);

/* The lists of the gateway: section, and its paths made absolute (gateway.c). */
HF_MUST enum hf_code hf_config_read_gateway(struct hf_reading *rd, const struct hf_yaml *root);

#endif
