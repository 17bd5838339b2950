/*
 * The configuration: holdfast.yml, and litestream.yml of 0.3 and 0.5 as it stands, resolved into
 * plain values. Keys, types, defaults, ranges and texts are in schema_table.c, one row a key.
 *
 *   YAML text -> $VAR expansion -> nodes (yamltree.h) -> schema rows -> these structs
 *
 * Loaded once by a command on its main thread, then read-only: any thread may read. Every string
 * and array belongs to the hf_config (its arena) and lives until hf_config_free. Numbers carry
 * their unit in the name; they are resolved: defaults, global settings, tier and per-database
 * settings are already applied, nobody looks further than the struct at hand. A string that is not
 * set is NULL.
 *
 * Limits: HF_LIMIT_CONFIG_BYTES of text, nesting HF_YAML_DEPTH, no YAML aliases.
 * Errors name file, line, column and key: "holdfast.yml:12:15 dbs[2].sync-interval: 'ten' is not a
 * duration (try 10s)".
 */
#ifndef HF_CONFIG_CONFIG_H
#define HF_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "config/gateway.h"

struct hf_arena;

enum { HF_CONFIG_LEVELS = 8 }; /* L1 to L8 */

enum hf_replica_type {
    HF_REPLICA_FILE,
    HF_REPLICA_S3,
    HF_REPLICA_ABS,
    HF_REPLICA_GS,
    HF_REPLICA_SFTP,
    HF_REPLICA_NATS,
    HF_REPLICA_WEBDAV,
    HF_REPLICA_OSS,
};

/* The form LTX pages are written in; auto = the form the replica already holds. */
enum hf_page_format { HF_PAGE_FORMAT_AUTO, HF_PAGE_FORMAT_BLOCK, HF_PAGE_FORMAT_FRAME };

enum hf_config_log_type { HF_CONFIG_LOG_TEXT, HF_CONFIG_LOG_JSON, HF_CONFIG_LOG_PRETTY };

struct hf_config_snapshot {
    int64_t interval_ms;  /* 0: no snapshots by time */
    int64_t retention_ms; /* snapshots older than this go, the newest stays */
};

/* Credentials and settings of object stores; each store reads its own. */
struct hf_config_s3 {
    const char *access_key_id;
    const char *secret_access_key;
    const char *region;
    const char *storage_class;
    const char *sse_customer_algorithm;
    const char *sse_customer_key;
    const char *sse_customer_key_path;
    const char *sse_kms_key_id;
    int64_t part_size_bytes;
    int64_t concurrency;
    bool force_path_style; /* default: true when endpoint is set */
    bool sign_payload;
    bool require_content_md5;
    bool skip_verify;
    bool allow_unconditional_puts;
};

struct hf_config_abs {
    const char *account_name;
    const char *account_key;
    const char *sas_token;
    const char *sas_token_path;
};

struct hf_config_sftp {
    const char *host; /* without port */
    int64_t port;
    const char *user;
    const char *password;
    const char *key_path;
    const char *host_key; /* authorized-key format; NULL: known_hosts */
    bool concurrent_writes;
};

struct hf_config_nats {
    const char *host; /* HOST:PORT */
    const char *jwt;
    const char *seed;
    const char *creds;
    const char *nkey;
    const char *username;
    const char *password;
    const char *token;
    struct hf_config_strings root_cas;
    const char *client_cert;
    const char *client_key;
    int64_t max_reconnects;
    int64_t reconnect_wait_ms;
    int64_t timeout_ms;
    bool tls;
};

struct hf_config_webdav {
    const char *url; /* http(s)://HOST[/...] */
    const char *username;
    const char *password;
};

/* Client-side encryption of a replica: where its keys come from (store/keyring.h). */
struct hf_config_encryption {
    bool enabled; /* resolved: a source is named, and it is not switched off */
    bool allow_plain;
    bool bind_path;
    struct hf_config_strings key_files;
    const char *key_env;
    const char *key_command;
};

struct hf_config_replica {
    enum hf_replica_type type;
    const char *name; /* never NULL: the configured name, else the type's word */
    /* For hf_store_open and for messages: file:///var/backups/app, s3://BUCKET/PATH,
     * abs://ACCOUNT@CONTAINER/PATH... Never holds a password, key or token. */
    const char *url;
    /* file: absolute directory; others: prefix inside the bucket, no '/' at either end. */
    const char *path;
    const char *bucket;   /* bucket, container or object store; NULL for file, sftp, webdav */
    const char *endpoint; /* s3, abs, oss: address of the service; NULL: the provider's */

    int64_t sync_interval_ns;
    /* The effective ones: 0.3's snapshot-interval and retention of this replica, else the
     * database's snapshot section, else the global one. */
    int64_t snapshot_interval_ms;
    int64_t snapshot_retention_ms;
    int64_t retention_check_interval_ms; /* of snapshots and levels above L0 */
    int64_t validation_interval_ms;      /* 0 = off */
    enum hf_page_format page_format;
    bool pack;
    const char *pack_path; /* as path, but above it; NULL: the directory above path */
    int64_t max_sync_ltx_files;
    bool auto_recover;

    struct hf_config_encryption encryption;
    struct hf_config_s3 s3;
    struct hf_config_abs abs;
    struct hf_config_sftp sftp;
    struct hf_config_nats nats;
    struct hf_config_webdav webdav;
};

/* One database, or (is_dir) a directory of them. */
struct hf_config_db {
    bool is_dir;
    /* Absolute path of the database file; of the directory when is_dir. */
    const char *path;
    /* Our local state directory of this database, default "<dir>/.NAME-holdfast". is_dir: the
     * meta-dir (NULL when each database keeps its state beside it). */
    const char *meta_path;
    /* is_dir only. */
    const char *pattern; /* shell pattern of the file name: "*.db" */
    bool recursive;
    bool watch;

    int64_t monitor_interval_ns;
    int64_t checkpoint_interval_ns; /* 0 = not by time */
    int64_t busy_timeout_ms;
    int64_t min_checkpoint_page_count;
    int64_t truncate_page_n; /* 0 in the file means the default, which is then here */
    int64_t max_sync_wal_bytes;
    struct hf_config_snapshot snapshot;
    bool restore_if_db_not_exists;

    struct hf_config_replica *replicas;
    size_t n_replicas;

    const char *tier;     /* as named in the file; NULL: none */
    int line;             /* of its entry in the file; 0 when it comes from the command line */
    struct hf_arena *own; /* memory of a database found in a directory, else NULL */
};

struct hf_config_logging {
    int level; /* enum hf_log_level; LOG_LEVEL in the environment wins */
    enum hf_config_log_type type;
    bool to_stderr;
    bool source;
};

struct hf_config_socket {
    bool enabled;
    const char *path;
    int64_t permissions; /* mode bits */
};

/* Why a part of the file does not mean what its author may think. */
enum hf_config_warning_kind {
    HF_CONFIG_UNKNOWN_KEY,  /* config check fails on these */
    HF_CONFIG_NOT_HONOURED, /* known to Litestream; the text says what happens instead */
    HF_CONFIG_DIFFERS,      /* honoured, but not quite as Litestream does: for config check only */
    HF_CONFIG_UNSET,        /* $VAR that is not set in the environment: it became empty */
    HF_CONFIG_EXPOSED,      /* a file of a secret that others may read */
};

struct hf_config_warning {
    enum hf_config_warning_kind kind;
    int line; /* from 1 */
    int column;
    const char *key;  /* "dbs[2].replica.sync-intervall" */
    const char *text; /* "unknown key (did you mean sync-interval?)" */
    size_t n_more;    /* further places of the same key; those without effect are told once */
    const void *row;  /* private to config/ */
};

struct hf_config {
    const char *file; /* as named in messages; "(flags)" when there is none */

    /* Databases with a path. hf_config_scan_dirs adds those found in dirs. */
    struct hf_config_db **dbs;
    size_t n_dbs;
    /* Directory entries. */
    struct hf_config_db **dirs;
    size_t n_dirs;

    struct hf_config_logging logging;
    struct hf_config_socket socket;
    struct hf_config_gateway gateway;
    const char *addr;     /* "HOST:PORT" or ":PORT" of the metrics endpoint; NULL = off */
    const char *mcp_addr; /* NULL = off */
    const char *exec;     /* command line to run; NULL = none */
    int64_t level_interval_ms[HF_CONFIG_LEVELS]; /* [0] is L1's */
    size_t n_levels;
    struct hf_config_snapshot snapshot;
    int64_t l0_retention_ms; /* 0 = L0 files go as soon as they are compacted */
    int64_t l0_retention_check_interval_ms;
    bool retention_enabled;
    bool verify_compaction;
    int64_t validation_interval_ms; /* 0 = off */
    const char *heartbeat_url;      /* NULL = off */
    int64_t heartbeat_interval_ms;
    int64_t shutdown_sync_timeout_ms;
    int64_t shutdown_sync_interval_ms;

    struct hf_config_warning *warnings;
    size_t n_warnings;

    /* Private to config/. */
    struct hf_arena *arena;
    size_t cap_dbs;
};

struct hf_config_options {
    const char *path; /* -config; NULL: HOLDFAST_CONFIG, LITESTREAM_CONFIG, then
                       * /etc/holdfast.yml, /etc/litestream.yml */
    bool no_expand_env;
};

/* The file that hf_config_load would read, or NULL when there is none. Caller frees. */
char *hf_config_find_file(const struct hf_config_options *opt);

/* HF_E_NOT_FOUND when there is no file, HF_E_INVALID for what is wrong in it, HF_E_UNSUPPORTED for
 * encryption we would silently leave out (age). Directories are not scanned. */
HF_MUST enum hf_code hf_config_load(const struct hf_config_options *opt, struct hf_config **out,
                                    struct hf_err *err);
/* The same from text; file is the name in messages. */
HF_MUST enum hf_code hf_config_parse(const char *file, const char *text, size_t len,
                                     const struct hf_config_options *opt, struct hf_config **out,
                                     struct hf_err *err);
/* A configuration without a file: one database and n_urls replicas with default settings, as
 * "replicate DB URL". path NULL: the database's path is left NULL (restore from a URL). */
HF_MUST enum hf_code hf_config_from_args(const char *path, const char *const *urls, size_t n_urls,
                                         struct hf_config **out, struct hf_err *err);
/* NULL is allowed. */
void hf_config_free(struct hf_config *cfg);

/* What a replica named by its URL gets: HOLDFAST_ENCRYPTION_KEY_FILE, HOLDFAST_ENCRYPTION_KEY or
 * HOLDFAST_ENCRYPTION_KEY_COMMAND; not enabled without them. key_file: one place the result refers
 * to. */
void hf_config_encryption_from_env(struct hf_config_encryption *out, const char **key_file);

/* Sets the sync interval of every replica (the flag --sync-interval). */
void hf_config_set_sync_interval(struct hf_config *cfg, int64_t sync_interval_ns);

/* The entry of the database at path (any spelling of it), looked up among dbs; NULL if none. */
const struct hf_config_db *hf_config_find_db(const struct hf_config *cfg, const char *path);

/* Directories (dir.c).
 * Adds every SQLite database found now in cfg->dirs to cfg->dbs; those listed already are left
 * alone. Blocking file reads: a command's main thread, before others hold cfg. */
HF_MUST enum hf_code hf_config_scan_dirs(struct hf_config *cfg, struct hf_err *err);
/* True if path (absolute) lies in the directory at the right depth and its name fits the pattern.
 * Names only: nothing is opened. */
bool hf_config_dir_match(const struct hf_config_db *dir, const char *path);
/* True if the file begins as SQLite databases do; false if it can't be read, is empty, or is a
 * database this process already holds locks on (hf_file_guard_add). */
bool hf_config_is_database(const char *path);
/* What a walk through a directory finds; both may be NULL. */
struct hf_config_visit {
    void (*dir)(void *arg, const char *path);  /* a sub-directory, before what is in it */
    void (*file)(void *arg, const char *path); /* a file whose name fits; not opened */
    void *arg;
};
/* Walks through the directory, or through what is below it at path (absolute). Sub-directories only
 * if it is recursive, at most 32 deep; no links to directories, no state directories of ours. */
HF_MUST enum hf_code hf_config_dir_visit(const struct hf_config_db *dir, const char *path,
                                         const struct hf_config_visit *visit, struct hf_err *err);
/* The settings of one database of a directory: its path relative to the directory is appended to
 * every replica's path. Strings it shares with dir stay dir's: free it before the hf_config. */
struct hf_config_db *hf_config_dir_db(const struct hf_config_db *dir, const char *path);
void hf_config_db_free(struct hf_config_db *db);

/* "file", "s3"...: the word in type:, in URLs and in listings. */
const char *hf_replica_type_word(enum hf_replica_type type);

#endif
