/*
 * Every key of the configuration file. See schema.h for the columns.
 *
 * "since" names the Litestream version a key comes from, or holdfast for ours. A key whose
 * not_honoured is set is read and checked, then named in a warning. Rows are laid out by hand: one
 * field a line, as clang-format would, makes a table nobody can read.
 */
#include "config/schema.h"

#include <stddef.h>

#include "base/log.h"

#define SEC_NS INT64_C(1000000000)
#define MS_NS INT64_C(1000000)
#define DAY_MS INT64_C(86400000)
#define YEARS_MS (DAY_MS * 36500)

#define SECTION(id, name_, path_, doc_)                                                            \
    const struct hf_section hf_section_##id = {name_, path_, doc_, id##_keys,                      \
                                               HF_ARRAY_LEN(id##_keys)}

/* clang-format off */

static const char *const level_words[] = {"debug", "info", "warn", "error", NULL};
static const char *const log_type_words[] = {"text", "json", "pretty", NULL};
static const char *const page_format_words[] = {"auto", "block", "frame", NULL};

#define F(field) offsetof(struct hf_config_logging, field)
static const struct hf_key logging_keys[] = {
    {.name = "level", .kind = HF_KEY_ENUM, .offset = F(level), .def = "info",
     .words = level_words, .since = "0.3", .flags = HF_KEY_RELOAD,
     .doc = "Least severe level that is logged. LOG_LEVEL in the environment and -log-level win "
            "over it."},
    {.name = "type", .kind = HF_KEY_ENUM, .offset = F(type), .def = "text",
     .words = log_type_words, .since = "0.3",
     .doc = "Form of a log line. pretty is for people: text with colours on a terminal."},
    {.name = "stderr", .kind = HF_KEY_BOOL, .offset = F(to_stderr), .def = "false", .since = "0.3",
     .doc = "Log to standard error instead of standard output."},
    {.name = "source", .kind = HF_KEY_BOOL, .offset = F(source), .def = "false", .since = "0.5",
     .not_honoured = "log lines never name source files; their event names are unique",
     .doc = "Litestream adds the source line to each log line."},
};
#undef F
static SECTION(logging, "logging", "logging", "How and where to log.");

#define F(field) offsetof(struct hf_config_socket, field)
static const struct hf_key socket_keys[] = {
    {.name = "enabled", .kind = HF_KEY_BOOL, .offset = F(enabled), .def = "false", .since = "0.5",
     .doc = "Serve the control socket."},
    {.name = "path", .kind = HF_KEY_STRING, .offset = F(path), .def = "/var/run/holdfast.sock",
     .since = "0.5", .doc = "Path of the Unix socket."},
    {.name = "permissions", .kind = HF_KEY_OCTAL, .offset = F(permissions), .def = "0600",
     .max = 0777, .since = "0.5", .doc = "Mode bits of the socket; its only protection."},
};
#undef F
static SECTION(socket, "socket", "socket", "The control socket.");

#define F(field) offsetof(struct hf_config_snapshot, field)
static const struct hf_key snapshot_keys[] = {
    {.name = "interval", .kind = HF_KEY_MS, .offset = F(interval_ms), .def = "24h",
     .max = YEARS_MS, .since = "0.5", .flags = HF_KEY_RELOAD,
     .doc = "Time between two snapshots; 0 takes none by time."},
    {.name = "retention", .kind = HF_KEY_MS, .offset = F(retention_ms), .def = "24h", .min = 1,
     .max = YEARS_MS, .since = "0.5", .flags = HF_KEY_RELOAD,
     .doc = "How far back a restore reaches: snapshots older than this are deleted, the newest one "
            "never. A replica's own retention wins."},
};
#undef F
SECTION(snapshot, "snapshot", "snapshot",
        "Snapshots and how long history is kept. At the top for all databases, under a database "
        "for that one (Litestream takes only equal values there).");

static const struct hf_key level_keys[] = {
    {.name = "interval", .kind = HF_KEY_MS, .offset = 0, .def = NULL, .min = 10, .max = YEARS_MS,
     .since = "0.5", .doc = "Time between two compactions into this level."},
};
SECTION(level, "levels", "levels[]",
        "Compaction levels, L1 first; at most 8. Without the key: 30s, 5m and 1h. Each interval "
        "must be longer than the one before.");

static const struct hf_key retention_keys[] = {
    {.name = "enabled", .kind = HF_KEY_BOOL, .offset = 0, .def = "true", .since = "0.5",
     .doc = "false: nothing is ever deleted; the store's own life-cycle rules must do it."},
};
static SECTION(retention, "retention", "retention", "Whether old files are deleted at all.");

static const struct hf_key validation_keys[] = {
    {.name = "interval", .kind = HF_KEY_MS, .offset = 0, .def = "0", .max = YEARS_MS,
     .since = "0.5",
     .not_honoured = "replicate does not restore by itself; `holdfast verify -sample N` from a "
                     "timer compares replicas with their databases",
     .doc = "Time between two checks of each replica; 0 = off."},
};
static SECTION(validation, "validation", "validation", "Checks of replicas by themselves.");

#define F(field) offsetof(struct hf_config_encryption, field)
static const struct hf_key encryption_keys[] = {
    {.name = "key-file", .kind = HF_KEY_STRINGS, .offset = F(key_files), .since = "holdfast",
     .doc = "File of the key, or a list of files. A key is 32 random bytes as base64 or hex "
            "(holdfast keygen makes one), one a line. The first key writes; those behind it only "
            "read what was written with them: that is how a key is changed."},
    {.name = "key-env", .kind = HF_KEY_STRING, .offset = F(key_env), .since = "holdfast",
     .doc = "Name of an environment variable that holds the keys, instead."},
    {.name = "key-command", .kind = HF_KEY_STRING, .offset = F(key_command), .since = "holdfast",
     .doc = "Command line (for /bin/sh) that prints the keys, instead: one of a secret store."},
    {.name = "enabled", .kind = HF_KEY_BOOL, .offset = F(enabled), .def = "true",
     .since = "holdfast",
     .doc = "false: this replica is not encrypted although the top of the file or its tier says "
            "so."},
    {.name = "allow-plain", .kind = HF_KEY_BOOL, .offset = F(allow_plain), .def = "false",
     .since = "holdfast",
     .doc = "Also read what is not encrypted: for a replica that is older than its encryption, "
            "until retention has removed the old part. Who may write to the store can slip in "
            "plain objects as long as this is on."},
    {.name = "bind-path", .kind = HF_KEY_BOOL, .offset = F(bind_path), .def = "false",
     .since = "holdfast",
     .doc = "Bind the replica's path to each object, too: objects of databases that share a key "
            "can't be exchanged for one another, and a replica that is moved to another path "
            "can't be read there."},
};
#undef F
static SECTION(encryption, "encryption", "dbs[].replica.encryption",
               "Encryption before anything leaves this machine: XChaCha20-Poly1305, the object's "
               "name bound. Restoring takes the same keys: keep them elsewhere. A replica named by "
               "its URL takes HOLDFAST_ENCRYPTION_KEY_FILE, HOLDFAST_ENCRYPTION_KEY or "
               "HOLDFAST_ENCRYPTION_KEY_COMMAND.");

#define F(field) offsetof(struct hf_raw_replica, field)
#define S3(field) offsetof(struct hf_raw_replica, r.s3.field)
#define NATS(field) offsetof(struct hf_raw_replica, r.nats.field)
#define SHARED (HF_KEY_GLOBAL | HF_KEY_TIER)
static const struct hf_key replica_keys[] = {
    {.name = "type", .kind = HF_KEY_STRING, .offset = F(type), .since = "0.3",
     .doc = "file, s3, abs, gs, sftp, nats, webdav or oss; the URL's scheme wins. Without both: "
            "file."},
    {.name = "url", .kind = HF_KEY_STRING, .offset = F(url), .since = "0.3",
     .doc = "Where the replica lives in one line, instead of type, bucket, path and host: "
            "file:///var/backups/app, s3://BUCKET/PATH, abs://ACCOUNT@CONTAINER/PATH, "
            "sftp://USER@HOST:22/PATH."},
    {.name = "path", .kind = HF_KEY_STRING, .offset = F(path), .since = "0.3",
     .doc = "Directory of a file replica, or the prefix inside the bucket. Never empty, never "
            "shared by two databases."},
    {.name = "name", .kind = HF_KEY_STRING, .offset = F(r.name), .since = "0.3",
     .doc = "Name in logs and for restore -replica. Default: the type."},
    {.name = "sync-interval", .kind = HF_KEY_NS, .offset = F(r.sync_interval_ns), .def = "1s",
     .min = MS_NS, .max = 86400 * SEC_NS, .since = "0.3", .flags = SHARED | HF_KEY_RELOAD,
     .differs = "the first commit after a quiet interval goes at once; Litestream waits for its "
                "next tick",
     .doc = "Least time between two uploads of a database that is being written. The first commit "
            "after a quiet interval goes at once, and 1 MiB of changes never waits."},
    {.name = "page-format", .kind = HF_KEY_ENUM, .offset = F(r.page_format), .def = "auto",
     .words = page_format_words, .since = "holdfast", .flags = SHARED,
     .doc = "Form of the pages in LTX files. block: what Litestream 0.5.16 and later write. frame: "
            "what older 0.5 versions can restore. auto: the form the replica already holds, block "
            "in a new one."},
    {.name = "pack", .kind = HF_KEY_BOOL, .offset = F(r.pack), .def = "false", .since = "holdfast",
     .flags = SHARED,
     .differs = "packed changes can't be read by Litestream until they are compacted into L1",
     .doc = "Put the changes of all databases that are due into one object, in the directory packs "
            "beside the replicas: one write request an interval instead of one for each database. "
            "Litestream sees a change only when it has been compacted into L1."},
    {.name = "pack-path", .kind = HF_KEY_STRING, .offset = F(r.pack_path), .since = "holdfast",
     .flags = SHARED,
     .doc = "Directory above the replica's path in which packs is. Databases with the same one "
            "share packs. Must not change while a replica has changes in packs. Default: the "
            "directory the replica's own is in."},
    {.name = "retention", .kind = HF_KEY_MS, .offset = F(retention_ms), .min = 1, .max = YEARS_MS,
     .since = "0.3", .flags = HF_KEY_TIER | HF_KEY_RELOAD,
     .differs = "it counts, as in 0.3; Litestream 0.5 ignores it and keeps what "
                "snapshot.retention says",
     .doc = "How far back a restore from this replica reaches. Wins over snapshot.retention "
            "(Litestream 0.5 ignores it)."},
    {.name = "retention-check-interval", .kind = HF_KEY_MS,
     .offset = F(retention_check_interval_ms), .min = 10, .max = YEARS_MS, .since = "0.3",
     .flags = HF_KEY_TIER | HF_KEY_RELOAD,
     .not_honoured = "what is too old is looked for after each snapshot and each compaction into "
                     "L1, not by a clock of its own",
     .doc = "Time between two searches for snapshots that are too old. Default: 1h, or the "
            "retention if that is shorter."},
    {.name = "snapshot-interval", .kind = HF_KEY_MS, .offset = F(snapshot_interval_ms),
     .max = YEARS_MS, .since = "0.3", .flags = HF_KEY_TIER | HF_KEY_RELOAD,
     .differs = "it counts, as in 0.3; Litestream 0.5 ignores it",
     .doc = "Time between two snapshots of this replica. Wins over snapshot.interval."},
    {.name = "validation-interval", .kind = HF_KEY_MS, .offset = F(r.validation_interval_ms),
     .def = "0", .max = YEARS_MS, .since = "0.3", .flags = SHARED,
     .not_honoured = "replicate does not restore by itself; `holdfast verify -sample N` from a "
                     "timer compares replicas with their databases",
     .doc = "Time between two trial restores of this replica; 0 = off."},
    {.name = "max-sync-ltx-files", .kind = HF_KEY_INT, .offset = F(r.max_sync_ltx_files),
     .def = "256", .min = 1, .max = 1000000, .since = "0.5", .flags = SHARED,
     .not_honoured = "changes go to the replica directly, there is no local queue of LTX files",
     .doc = "Litestream: LTX files uploaded in one turn."},
    {.name = "auto-recover", .kind = HF_KEY_BOOL, .offset = F(r.auto_recover), .def = "false",
     .since = "0.5", .flags = SHARED,
     .not_honoured = "damaged local state is always rebuilt, by shipping only what differs",
     .doc = "Litestream: reset the local state when it is damaged."},
    {.name = "encryption", .kind = HF_KEY_SECTION, .offset = F(r.encryption),
     .section = &hf_section_encryption, .since = "holdfast", .flags = SHARED,
     .differs = "what is written to this replica can't be read by Litestream",
     .doc = "Encrypt what is written to the replica. Litestream can't read such a replica."},
    {.name = "age", .kind = HF_KEY_REFUSED, .since = "0.3", .flags = HF_KEY_GLOBAL,
     .not_honoured = "age encryption is not supported, and writing the replica in the clear "
                     "instead would be wrong: replace it by encryption:, or remove the key if "
                     "plain is what you want",
     .doc = "Encryption with age. Refused: a replica must not silently become plain text."},

    {.name = "bucket", .kind = HF_KEY_STRING, .offset = F(r.bucket), .since = "0.3",
     .only = "s3, abs, gs, nats, oss", .flags = SHARED,
     .doc = "Bucket, container (abs) or object store (nats)."},
    {.name = "endpoint", .kind = HF_KEY_STRING, .offset = F(r.endpoint), .since = "0.3",
     .only = "s3, abs, oss", .flags = SHARED,
     .doc = "Address of the service when it is not the provider's usual one."},
    {.name = "region", .kind = HF_KEY_STRING, .offset = S3(region), .since = "0.3",
     .only = "s3, oss", .flags = SHARED, .doc = "Region of the bucket."},
    {.name = "access-key-id", .kind = HF_KEY_STRING, .offset = S3(access_key_id), .since = "0.3",
     .only = "s3, oss", .flags = SHARED,
     .doc = "Access key. Without it: AWS_ACCESS_KEY_ID or LITESTREAM_ACCESS_KEY_ID."},
    {.name = "secret-access-key", .kind = HF_KEY_STRING, .offset = S3(secret_access_key),
     .since = "0.3", .only = "s3, oss", .flags = SHARED | HF_KEY_SECRET,
     .doc = "Secret of the access key."},
    {.name = "force-path-style", .kind = HF_KEY_TRI, .offset = F(force_path_style), .since = "0.3",
     .only = "s3", .flags = SHARED,
     .doc = "Put the bucket into the path instead of the host name. Default: true if endpoint is "
            "set."},
    {.name = "sign-payload", .kind = HF_KEY_BOOL, .offset = S3(sign_payload), .def = "true",
     .since = "0.5", .only = "s3", .flags = SHARED, .doc = "Sign the hash of each body."},
    {.name = "require-content-md5", .kind = HF_KEY_BOOL, .offset = S3(require_content_md5),
     .def = "true", .since = "0.5", .only = "s3", .flags = SHARED,
     .doc = "Send Content-MD5 where the API asks for it."},
    {.name = "skip-verify", .kind = HF_KEY_BOOL, .offset = S3(skip_verify), .def = "false",
     .since = "0.3", .only = "s3", .flags = SHARED,
     .doc = "Accept any TLS certificate. For tests only."},
    {.name = "allow-unconditional-puts", .kind = HF_KEY_BOOL,
     .offset = S3(allow_unconditional_puts), .def = "false", .since = "holdfast", .only = "s3",
     .flags = SHARED,
     .doc = "Replicate to a service that ignores If-None-Match: *, too; it is refused otherwise. "
            "Each name is then looked up before it is written, one request more an object, and two "
            "replicators on one path may overwrite each other if they write at the same moment."},
    {.name = "storage-class", .kind = HF_KEY_STRING, .offset = S3(storage_class), .since = "0.5",
     .only = "s3", .flags = SHARED, .doc = "Storage class of new objects."},
    {.name = "part-size", .kind = HF_KEY_SIZE, .offset = S3(part_size_bytes), .def = "5MB",
     .min = 5 << 20, .max = INT64_C(5) << 30, .since = "0.5", .only = "s3", .flags = SHARED,
     .doc = "Size of a part of a large upload."},
    {.name = "concurrency", .kind = HF_KEY_INT, .offset = S3(concurrency), .def = "5", .min = 1,
     .max = 256, .since = "0.5", .only = "s3", .flags = SHARED,
     .differs = "at most 4 parts, and no more than 12MB of one upload, are under way at once",
     .doc = "Parts of one upload in flight; at most 4, and as many as fit into 12MB."},
    {.name = "sse-customer-algorithm", .kind = HF_KEY_STRING, .offset = S3(sse_customer_algorithm),
     .since = "0.5", .only = "s3", .flags = SHARED,
     .doc = "Encryption by the server with your key: AES256."},
    {.name = "sse-customer-key", .kind = HF_KEY_STRING, .offset = S3(sse_customer_key),
     .since = "0.5", .only = "s3", .flags = SHARED | HF_KEY_SECRET, .doc = "The key, base64."},
    {.name = "sse-customer-key-path", .kind = HF_KEY_STRING, .offset = S3(sse_customer_key_path),
     .since = "0.5", .only = "s3", .flags = SHARED, .doc = "File that holds the key."},
    {.name = "sse-kms-key-id", .kind = HF_KEY_STRING, .offset = S3(sse_kms_key_id), .since = "0.5",
     .only = "s3", .flags = SHARED, .doc = "Encryption by the server with this KMS key."},

    {.name = "account-name", .kind = HF_KEY_STRING, .offset = F(r.abs.account_name), .since = "0.3",
     .only = "abs", .flags = SHARED,
     .doc = "Storage account. Default: the first label of the endpoint's host."},
    {.name = "account-key", .kind = HF_KEY_STRING, .offset = F(r.abs.account_key), .since = "0.3",
     .only = "abs", .flags = SHARED | HF_KEY_SECRET,
     .doc = "Shared key of the account. Without it: LITESTREAM_AZURE_ACCOUNT_KEY, then the usual "
            "Azure identities."},
    {.name = "sas-token", .kind = HF_KEY_STRING, .offset = F(r.abs.sas_token), .since = "0.5",
     .only = "abs", .flags = SHARED | HF_KEY_SECRET,
     .doc = "Shared access signature; wins over account-key."},
    {.name = "sas-token-path", .kind = HF_KEY_STRING, .offset = F(r.abs.sas_token_path),
     .since = "holdfast", .only = "abs", .flags = SHARED,
     .doc = "File that holds the shared access signature, without sas-token. Read again when it is "
            "refused: a new one needs no restart. Or LITESTREAM_AZURE_SAS_TOKEN_FILE."},

    {.name = "host", .kind = HF_KEY_STRING, .offset = F(host), .since = "0.3",
     .only = "sftp, nats", .flags = SHARED,
     .doc = "HOST or HOST:PORT (22 for sftp, 4222 for nats)."},
    {.name = "user", .kind = HF_KEY_STRING, .offset = F(r.sftp.user), .since = "0.3",
     .only = "sftp", .flags = SHARED, .doc = "User of the server."},
    {.name = "password", .kind = HF_KEY_STRING, .offset = F(password), .since = "0.3",
     .only = "sftp, nats", .flags = SHARED | HF_KEY_SECRET, .doc = "Its password."},
    {.name = "key-path", .kind = HF_KEY_STRING, .offset = F(r.sftp.key_path), .since = "0.3",
     .only = "sftp", .flags = SHARED,
     .doc = "File of the private key, without passphrase. Without it and without password: keys "
            "of ssh-agent, then ~/.ssh/id_ed25519, id_ecdsa and id_rsa."},
    {.name = "host-key", .kind = HF_KEY_STRING, .offset = F(r.sftp.host_key), .since = "0.5",
     .only = "sftp", .flags = SHARED,
     .doc = "The server's public key as in authorized_keys. Without it the server must be in "
            "known_hosts (Litestream would not verify it)."},
    {.name = "concurrent-writes", .kind = HF_KEY_BOOL, .offset = F(r.sftp.concurrent_writes),
     .def = "true", .since = "0.5", .only = "sftp", .flags = SHARED,
     .doc = "Several write requests in flight; false: one."},

    {.name = "jwt", .kind = HF_KEY_STRING, .offset = NATS(jwt), .since = "0.5", .only = "nats",
     .flags = SHARED | HF_KEY_SECRET, .doc = "User JWT."},
    {.name = "seed", .kind = HF_KEY_STRING, .offset = NATS(seed), .since = "0.5", .only = "nats",
     .flags = SHARED | HF_KEY_SECRET, .doc = "Seed of the user's key."},
    {.name = "creds", .kind = HF_KEY_STRING, .offset = NATS(creds), .since = "0.5", .only = "nats",
     .flags = SHARED, .doc = "Credentials file."},
    {.name = "nkey", .kind = HF_KEY_STRING, .offset = NATS(nkey), .since = "0.5", .only = "nats",
     .flags = SHARED | HF_KEY_SECRET, .doc = "NKey."},
    {.name = "username", .kind = HF_KEY_STRING, .offset = NATS(username), .since = "0.5",
     .only = "nats", .flags = SHARED, .doc = "User of the server."},
    {.name = "token", .kind = HF_KEY_STRING, .offset = NATS(token), .since = "0.5", .only = "nats",
     .flags = SHARED | HF_KEY_SECRET, .doc = "Token."},
    {.name = "tls", .kind = HF_KEY_BOOL, .offset = NATS(tls), .def = "false", .since = "0.5",
     .only = "nats", .flags = SHARED, .doc = "Require TLS."},
    {.name = "root-cas", .kind = HF_KEY_STRINGS, .offset = NATS(root_cas), .since = "0.5",
     .only = "nats", .flags = SHARED, .doc = "Files of the authorities to trust."},
    {.name = "client-cert", .kind = HF_KEY_STRING, .offset = NATS(client_cert), .since = "0.5",
     .only = "nats", .flags = SHARED, .doc = "File of the client's certificate."},
    {.name = "client-key", .kind = HF_KEY_STRING, .offset = NATS(client_key), .since = "0.5",
     .only = "nats", .flags = SHARED, .doc = "File of its key."},
    {.name = "max-reconnects", .kind = HF_KEY_INT, .offset = NATS(max_reconnects), .def = "60",
     .min = -1, .max = 1000000, .since = "0.5", .only = "nats", .flags = SHARED,
     .doc = "Attempts to connect again; -1 = for ever."},
    {.name = "reconnect-wait", .kind = HF_KEY_MS, .offset = NATS(reconnect_wait_ms), .def = "2s",
     .max = DAY_MS, .since = "0.5", .only = "nats", .flags = SHARED,
     .doc = "Pause between two attempts."},
    {.name = "timeout", .kind = HF_KEY_MS, .offset = NATS(timeout_ms), .def = "10s", .min = 1,
     .max = DAY_MS, .since = "0.5", .only = "nats", .flags = SHARED, .doc = "Of a request."},

    {.name = "webdav-url", .kind = HF_KEY_STRING, .offset = F(r.webdav.url), .since = "0.5",
     .only = "webdav", .flags = SHARED, .doc = "Root of the server: https://HOST/dav."},
    {.name = "webdav-username", .kind = HF_KEY_STRING, .offset = F(r.webdav.username),
     .since = "0.5", .only = "webdav", .flags = SHARED, .doc = "User of the server."},
    {.name = "webdav-password", .kind = HF_KEY_STRING, .offset = F(r.webdav.password),
     .since = "0.5", .only = "webdav", .flags = SHARED | HF_KEY_SECRET, .doc = "Its password."},
};
#undef F
SECTION(replica, "replica", "dbs[].replica",
        "Where a database is copied to. replica: takes one, replicas: a list of any number; each "
        "is written and kept independently. All but type, url, path, name and the retention keys "
        "may also stand at the top of the file as default of all replicas.");

#define F(field) offsetof(struct hf_raw_db, field)
static const struct hf_key db_keys[] = {
    {.name = "path", .kind = HF_KEY_STRING, .offset = F(path), .since = "0.3",
     .doc = "The database file. ~ and the prefixes sqlite:// and sqlite3:// are understood."},
    {.name = "dir", .kind = HF_KEY_STRING, .offset = F(dir), .since = "0.5",
     .doc = "A directory instead: every SQLite database in it that fits pattern. The path inside "
            "the directory is appended to the replica's path."},
    {.name = "pattern", .kind = HF_KEY_STRING, .offset = F(d.pattern), .since = "0.5",
     .doc = "Shell pattern of the file names; required with dir: \"*.db\"."},
    {.name = "recursive", .kind = HF_KEY_BOOL, .offset = F(d.recursive), .def = "false",
     .since = "0.5", .doc = "Look into sub-directories of dir too."},
    {.name = "watch", .kind = HF_KEY_BOOL, .offset = F(d.watch), .def = "false", .since = "0.5",
     .doc = "Take up databases that appear in dir later, drop those that go."},
    {.name = "meta-path", .kind = HF_KEY_STRING, .offset = F(meta_path), .since = "0.3",
     .differs = "our state is kept apart: a name that ends in -litestream gets -holdfast",
     .doc = "Directory of our local state. Default: .NAME-holdfast beside the database. A name "
            "that ends in -litestream gets -holdfast instead: Litestream's own state is never "
            "touched."},
    {.name = "meta-dir", .kind = HF_KEY_STRING, .offset = F(meta_dir), .since = "0.5",
     .doc = "With dir: directory under which each database gets its .NAME-holdfast."},
    {.name = "tier", .kind = HF_KEY_STRING, .offset = F(d.tier), .since = "holdfast",
     .doc = "Name of a bundle of settings under tiers: at the top. What stands here wins over it."},
    {.name = "monitor-interval", .kind = HF_KEY_NS, .offset = F(d.monitor_interval_ns), .def = "1s",
     .min = MS_NS, .max = 86400 * SEC_NS, .since = "0.3", .flags = HF_KEY_TIER,
     .not_honoured = "writes are noticed when they happen; only files that can't be watched are "
                     "looked at, every second",
     .doc = "Time between two looks at a database whose writes can't be watched, and the longest "
            "time until a new or replaced file is noticed."},
    {.name = "checkpoint-interval", .kind = HF_KEY_NS, .offset = F(d.checkpoint_interval_ns),
     .def = "1m", .max = 86400 * SEC_NS, .since = "0.3", .flags = HF_KEY_TIER,
     .not_honoured = "the application's own checkpoints are left to it; a database that has been "
                     "quiet for 10s with a log that is not copied back is checkpointed",
     .doc = "Checkpoint a WAL that has had changes for this long; 0 = not by time."},
    {.name = "busy-timeout", .kind = HF_KEY_MS, .offset = F(d.busy_timeout_ms), .def = "1s",
     .max = DAY_MS, .since = "0.3", .flags = HF_KEY_TIER,
     .doc = "How long to wait for a lock another program holds before trying again later."},
    {.name = "min-checkpoint-page-count", .kind = HF_KEY_INT,
     .offset = F(d.min_checkpoint_page_count), .def = "1000", .min = 1, .max = INT64_C(1) << 31,
     .since = "0.3", .flags = HF_KEY_TIER,
     .not_honoured = "only the log of an application that does not checkpoint itself is copied "
                     "back by us, from 3000 pages on",
     .doc = "Checkpoint a WAL of this many pages."},
    {.name = "max-checkpoint-page-count", .kind = HF_KEY_NODE, .since = "0.3",
     .flags = HF_KEY_TIER | HF_KEY_DEPRECATED,
     .not_honoured = "writers are never blocked until a log is copied back; they are held for "
                     "50ms at most",
     .doc = "Litestream 0.3: size from which a checkpoint blocks writers."},
    {.name = "truncate-page-n", .kind = HF_KEY_INT, .offset = F(d.truncate_page_n),
     .def = "121359", .max = INT64_C(1) << 31, .since = "0.5", .flags = HF_KEY_TIER,
     .not_honoured = "a log is never truncated by force: what its application leaves is copied "
                     "back in steps, and writers are held for 50ms at most",
     .doc = "WAL size in pages from which it is truncated; 0 = the default."},
    {.name = "max-sync-wal-bytes", .kind = HF_KEY_SIZE, .offset = F(d.max_sync_wal_bytes),
     .def = "64MB", .min = 4096, .max = INT64_C(1) << 40, .since = "0.5", .flags = HF_KEY_TIER,
     .not_honoured = "a file holds what was committed in one interval, however much; memory for "
                     "it is bounded",
     .doc = "WAL bytes that one LTX file may take in."},
    {.name = "snapshot", .kind = HF_KEY_SECTION, .offset = F(d.snapshot),
     .section = &hf_section_snapshot, .since = "0.5", .flags = HF_KEY_TIER,
     .differs = "it counts for this database alone; Litestream has one value for all",
     .doc = "Snapshot settings of this database; what is not set comes from the top."},
    {.name = "restore-if-db-not-exists", .kind = HF_KEY_BOOL,
     .offset = F(d.restore_if_db_not_exists), .def = "false", .since = "0.5",
     .flags = HF_KEY_TIER,
     .doc = "replicate restores the database first when the file is not there."},
    {.name = "replica", .kind = HF_KEY_NODE, .section = &hf_section_replica, .since = "0.5",
     .doc = "The replica."},
    {.name = "replicas", .kind = HF_KEY_NODE, .section = &hf_section_replica, .since = "0.3",
     .differs = "each one is written; Litestream 0.5 takes exactly one",
     .doc = "A list of replicas (Litestream 0.5 takes one only)."},
};
#undef F
SECTION(db, "dbs", "dbs[]", "A database, or a directory of databases.");

static const struct hf_section tier_section = {
    "tiers", "tiers.NAME",
    "A named bundle of settings that databases refer to by tier: NAME. Takes the keys of a "
    "database but those that name files, and those of a replica but those that name places.",
    NULL, 0};

#define F(field) offsetof(struct hf_config, field)
static const struct hf_key root_keys[] = {
    {.name = "dbs", .kind = HF_KEY_NODE, .section = &hf_section_db, .since = "0.3",
     .doc = "The databases."},
    {.name = "tiers", .kind = HF_KEY_NODE, .section = &tier_section, .since = "holdfast",
     .doc = "Named bundles of settings."},
    {.name = "snapshot", .kind = HF_KEY_SECTION, .offset = F(snapshot),
     .section = &hf_section_snapshot, .since = "0.5", .doc = "Snapshots of all databases."},
    {.name = "levels", .kind = HF_KEY_NODE, .section = &hf_section_level, .since = "0.5",
     .doc = "Compaction levels."},
    {.name = "l0-retention", .kind = HF_KEY_MS, .offset = F(l0_retention_ms), .def = "5m",
     .max = YEARS_MS, .since = "0.5", .flags = HF_KEY_RELOAD,
     .doc = "How long an L0 file stays after it was compacted into L1; followers read them. 0 = "
            "not at all. The newest one always stays."},
    {.name = "l0-retention-check-interval", .kind = HF_KEY_MS,
     .offset = F(l0_retention_check_interval_ms), .def = "15s", .min = 10, .max = DAY_MS,
     .since = "0.5", .flags = HF_KEY_RELOAD,
     .not_honoured = "L0 files that are too old are looked for after each compaction into L1",
     .doc = "Time between two searches for such files."},
    {.name = "retention", .kind = HF_KEY_SECTION, .offset = F(retention_enabled),
     .section = &hf_section_retention, .since = "0.5", .doc = "Whether anything is deleted."},
    {.name = "verify-compaction", .kind = HF_KEY_BOOL, .offset = F(verify_compaction),
     .def = "false", .since = "0.5",
     .not_honoured = "every merge verifies the checksums of what it reads anyway",
     .doc = "Litestream: check files after compaction."},
    {.name = "validation", .kind = HF_KEY_SECTION, .offset = F(validation_interval_ms),
     .section = &hf_section_validation, .since = "0.5", .doc = "Checks of replicas."},
    {.name = "exec", .kind = HF_KEY_STRING, .offset = F(exec), .since = "0.3",
     .doc = "Program to run while replicating; replicate ends when it does. -exec wins."},
    {.name = "shutdown-sync-timeout", .kind = HF_KEY_MS, .offset = F(shutdown_sync_timeout_ms),
     .def = "30s", .max = DAY_MS, .since = "0.5",
     .doc = "How long the last sync is tried when asked to stop; 0 = once. The upload of an image "
            "that is under way is waited for in any case; what the service refuses (credentials, "
            "no such container, another host key) is not tried for longer than a second or two."},
    {.name = "shutdown-sync-interval", .kind = HF_KEY_MS, .offset = F(shutdown_sync_interval_ms),
     .def = "500ms", .min = 1, .max = DAY_MS, .since = "0.5",
     .differs = "only what failed is tried again; what works goes on until it is done",
     .doc = "Pause between those tries."},
    {.name = "addr", .kind = HF_KEY_STRING, .offset = F(addr), .since = "0.3",
     .differs = "it also serves /healthz and the replication lag, and no pprof",
     .doc = "Address that serves /metrics (Prometheus) and /healthz: \":9090\" on every interface, "
            "\"127.0.0.1:9090\" on this machine only."},
    {.name = "mcp-addr", .kind = HF_KEY_STRING, .offset = F(mcp_addr), .since = "0.5",
     .not_honoured = "this version has no MCP server",
     .doc = "Address of the MCP server."},
    {.name = "heartbeat-url", .kind = HF_KEY_STRING, .offset = F(heartbeat_url), .since = "0.5",
     .flags = HF_KEY_SECRET,
     .doc = "Called (GET) at each heartbeat-interval in which every database was synced: none is "
            "stopped, failing, or has an older commit that is in no replica."},
    {.name = "heartbeat-interval", .kind = HF_KEY_MS, .offset = F(heartbeat_interval_ms),
     .def = "5m", .min = 60000, .max = DAY_MS, .since = "0.5",
     .doc = "Time between two heartbeats, at least 1m."},
    {.name = "socket", .kind = HF_KEY_SECTION, .offset = F(socket),
     .section = &hf_section_socket, .since = "0.5",
     .differs = "Litestream's /debug paths are not served, /status is ours",
     .doc = "The control socket."},
    {.name = "logging", .kind = HF_KEY_SECTION, .offset = F(logging),
     .section = &hf_section_logging, .since = "0.3", .doc = "How and where to log."},
    {.name = "gateway", .kind = HF_KEY_SECTION, .offset = F(gateway),
     .section = &hf_section_gateway, .since = "holdfast",
     .doc = "The gateway for model requests (holdfast gateway)."},
};
#undef F
SECTION(root, "", "", "The top of the file.");

const struct hf_section *const hf_sections[] = {
    &hf_section_root,     &hf_section_db,      &hf_section_replica,   &hf_section_encryption,
    &tier_section,
    &hf_section_snapshot, &hf_section_level,   &hf_section_retention, &hf_section_validation,
    &hf_section_socket,   &hf_section_logging, &hf_section_gateway,
    &hf_section_gateway_host, &hf_section_gateway_route, &hf_section_gateway_key,
    &hf_section_gateway_price,
};
const size_t hf_n_sections = HF_ARRAY_LEN(hf_sections);

/* clang-format on */
