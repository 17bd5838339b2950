/*
 * Every key of Litestream's configuration, 0.3 and 0.5, and what becomes of it here: honoured,
 * honoured but not quite the same (config check tells), without effect (a warning says what happens
 * instead), or refused. Nothing is dropped in silence, and no row of the schema that is marked as
 * Litestream's is missing here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "config/schema.h"

enum place { IN_TOP, IN_DB, IN_REPLICA, IN_S3, IN_ABS, IN_SFTP, IN_NATS, IN_WEBDAV };

enum fate { HONOURED, DIFFERS, NO_EFFECT, REFUSED };

static const struct {
    enum place place;
    const char *key;
    const char *value;
    enum fate fate;
} rows[] = {
    {IN_TOP, "addr", "\":9090\"", DIFFERS},
    {IN_TOP, "mcp-addr", "\":3001\"", NO_EFFECT},
    {IN_TOP, "exec", "app", HONOURED},
    {IN_TOP, "levels", "[{interval: 45s}]", HONOURED},
    {IN_TOP, "snapshot", "{interval: 1h, retention: 2h}", HONOURED},
    {IN_TOP, "l0-retention", "3m", HONOURED},
    {IN_TOP, "l0-retention-check-interval", "20s", NO_EFFECT},
    {IN_TOP, "retention", "{enabled: false}", HONOURED},
    {IN_TOP, "verify-compaction", "true", NO_EFFECT},
    {IN_TOP, "validation", "{interval: 1h}", NO_EFFECT},
    {IN_TOP, "heartbeat-url", "http://127.0.0.1/", HONOURED},
    {IN_TOP, "heartbeat-interval", "6m", HONOURED},
    {IN_TOP, "shutdown-sync-timeout", "10s", HONOURED},
    {IN_TOP, "shutdown-sync-interval", "1s", DIFFERS},
    {IN_TOP, "socket", "{enabled: true, path: /run/x.sock, permissions: 0660}", DIFFERS},
    {IN_TOP, "logging", "{level: warn, type: json, stderr: true}", HONOURED},
    {IN_TOP, "logging", "{source: true}", NO_EFFECT},
    {IN_TOP, "dbs", "[]", HONOURED},
    {IN_DB, "meta-path", "/m/x", DIFFERS},
    {IN_DB, "monitor-interval", "2s", NO_EFFECT},
    {IN_DB, "checkpoint-interval", "2m", NO_EFFECT},
    {IN_DB, "busy-timeout", "2s", HONOURED},
    {IN_DB, "min-checkpoint-page-count", "2000", NO_EFFECT},
    {IN_DB, "max-checkpoint-page-count", "10000", NO_EFFECT},
    {IN_DB, "truncate-page-n", "500000", NO_EFFECT},
    {IN_DB, "max-sync-wal-bytes", "32MB", NO_EFFECT},
    {IN_DB, "snapshot", "{interval: 1h}", DIFFERS},
    {IN_DB, "restore-if-db-not-exists", "true", HONOURED},
    {IN_TOP, "dbs", "[{path: /d/a, replica: {path: /r/a}}]", HONOURED},
    {IN_TOP, "dbs", "[{path: /d/a, replicas: [{path: /r/a}, {path: /r/b}]}]", DIFFERS},
    {IN_TOP, "dbs",
     "[{dir: /d, pattern: \"*.db\", recursive: true, watch: true, meta-dir: /m, replica: {path: "
     "/r/a}}]",
     HONOURED},
    {IN_REPLICA, "type", "file", HONOURED},
    {IN_REPLICA, "name", "near", HONOURED},
    {IN_REPLICA, "sync-interval", "5s", DIFFERS},
    {IN_REPLICA, "retention", "48h", DIFFERS},
    {IN_REPLICA, "retention-check-interval", "2h", NO_EFFECT},
    {IN_REPLICA, "snapshot-interval", "6h", DIFFERS},
    {IN_REPLICA, "validation-interval", "12h", NO_EFFECT},
    {IN_REPLICA, "max-sync-ltx-files", "100", NO_EFFECT},
    {IN_REPLICA, "auto-recover", "true", NO_EFFECT},
    {IN_REPLICA, "age", "{identities: [x]}", REFUSED},
    {IN_S3, "bucket", "b", HONOURED},
    {IN_S3, "endpoint", "http://127.0.0.1:9000", HONOURED},
    {IN_S3, "region", "eu-west-1", HONOURED},
    {IN_S3, "access-key-id", "k", HONOURED},
    {IN_S3, "secret-access-key", "s", HONOURED},
    {IN_S3, "force-path-style", "true", HONOURED},
    {IN_S3, "sign-payload", "false", HONOURED},
    {IN_S3, "require-content-md5", "false", HONOURED},
    {IN_S3, "skip-verify", "true", HONOURED},
    {IN_S3, "storage-class", "STANDARD_IA", HONOURED},
    {IN_S3, "part-size", "8MB", HONOURED},
    {IN_S3, "concurrency", "3", DIFFERS},
    {IN_S3, "sse-customer-algorithm", "AES256", HONOURED},
    {IN_S3, "sse-customer-key", "a2V5", HONOURED},
    {IN_S3, "sse-customer-key-path", "/k", HONOURED},
    {IN_S3, "sse-kms-key-id", "id", HONOURED},
    {IN_S3, "url", "s3://b/p", HONOURED},
    {IN_S3, "path", "p/q", HONOURED},
    {IN_ABS, "account-name", "a", HONOURED},
    {IN_ABS, "account-key", "a2V5", HONOURED},
    {IN_ABS, "sas-token", "sv=1", HONOURED},
    {IN_SFTP, "host", "h:2222", HONOURED},
    {IN_SFTP, "user", "u", HONOURED},
    {IN_SFTP, "password", "p", HONOURED},
    {IN_SFTP, "key-path", "/k", HONOURED},
    {IN_SFTP, "host-key", "ssh-ed25519 AAAA", HONOURED},
    {IN_SFTP, "concurrent-writes", "false", HONOURED},
    {IN_NATS, "jwt", "j", HONOURED},
    {IN_NATS, "seed", "s", HONOURED},
    {IN_NATS, "creds", "/c", HONOURED},
    {IN_NATS, "nkey", "n", HONOURED},
    {IN_NATS, "username", "u", HONOURED},
    {IN_NATS, "token", "t", HONOURED},
    {IN_NATS, "tls", "true", HONOURED},
    {IN_NATS, "root-cas", "[/ca.pem]", HONOURED},
    {IN_NATS, "client-cert", "/c.pem", HONOURED},
    {IN_NATS, "client-key", "/k.pem", HONOURED},
    {IN_NATS, "max-reconnects", "3", HONOURED},
    {IN_NATS, "reconnect-wait", "1s", HONOURED},
    {IN_NATS, "timeout", "5s", HONOURED},
    {IN_WEBDAV, "webdav-username", "u", HONOURED},
    {IN_WEBDAV, "webdav-password", "p", HONOURED},
};

/* What stands around the key; %s is "key: value". A key that is there already is replaced. */
static const char *const around[] = {
    [IN_TOP] = "%s\n",
    [IN_DB] = "dbs: [{path: /d/a, replica: {path: /r/a}, %s}]\n",
    [IN_REPLICA] = "dbs: [{path: /d/a, replica: {path: /r/a, %s}}]\n",
    [IN_S3] = "dbs: [{path: /d/a, replica: {type: s3, %s%s}}]\n",
    [IN_ABS] = "dbs: [{path: /d/a, replica: {type: abs, bucket: b, path: p, endpoint: "
               "\"http://127.0.0.1:1\", %s}}]\n",
    [IN_SFTP] = "dbs: [{path: /d/a, replica: {type: sftp, path: /p, %s%s}}]\n",
    [IN_NATS] = "dbs: [{path: /d/a, replica: {type: nats, bucket: b, path: p, host: h, %s}}]\n",
    [IN_WEBDAV] = "dbs: [{path: /d/a, replica: {type: webdav, path: p, webdav-url: "
                  "\"http://h/d\", %s}}]\n",
};

/* Keys the type needs and the tested one is not. */
static const char *rest_of(enum place place, const char *key)
{
    if (place == IN_SFTP)
        return strcmp(key, "host") == 0 ? "" : "host: h, ";
    if (strcmp(key, "url") == 0)
        return "";
    if (strcmp(key, "bucket") == 0)
        return "path: p, ";
    return strcmp(key, "path") == 0 ? "bucket: b, " : "bucket: b, path: p, ";
}

static void build(size_t i, char *out, size_t size)
{
    char pair[400];
    snprintf(pair, sizeof(pair), "%s: %s", rows[i].key, rows[i].value);
    if (rows[i].place == IN_S3 || rows[i].place == IN_SFTP)
        snprintf(out, size, around[rows[i].place], rest_of(rows[i].place, rows[i].key), pair);
    else
        snprintf(out, size, around[rows[i].place], pair);
}

static enum fate fate_of(const struct hf_config *cfg, const char *yaml)
{
    enum fate fate = HONOURED;
    for (size_t i = 0; i < cfg->n_warnings; i++) {
        const struct hf_config_warning *w = &cfg->warnings[i];
        if (w->kind == HF_CONFIG_UNKNOWN_KEY || w->kind == HF_CONFIG_UNSET)
            fail_msg("%s: %s %s", yaml, w->key, w->text);
        if (strlen(w->text) < 20)
            fail_msg("%s: '%s' does not say what happens instead", yaml, w->text);
        fate = w->kind == HF_CONFIG_NOT_HONOURED ? NO_EFFECT : fate == NO_EFFECT ? fate : DIFFERS;
    }
    return fate;
}

static void test_every_key(void **state)
{
    (void)state;
    static const char *const words[] = {"honoured", "differs", "no effect", "refused"};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char yaml[700];
        struct hf_config *cfg = NULL;
        struct hf_err err = HF_ERR_INIT;
        build(i, yaml, sizeof(yaml));
        enum hf_code rc = hf_config_parse("l.yml", yaml, strlen(yaml), NULL, &cfg, &err);
        if (rc != HF_OK && rows[i].fate != REFUSED)
            fail_msg("%s: %s", yaml, err.text);
        enum fate fate = rc == HF_OK ? fate_of(cfg, yaml) : REFUSED;
        if (fate != rows[i].fate)
            fail_msg("%s: %s, not %s", yaml, words[fate], words[rows[i].fate]);
        hf_config_free(cfg);
    }
}

/* True if a row tests the key, or names it inside its value. */
static bool is_tested(const char *key)
{
    char inside[80];
    snprintf(inside, sizeof(inside), "%s:", key);
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].key, key) == 0 || strstr(rows[i].value, inside) != NULL)
            return true;
    }
    return false;
}

static void test_no_key_is_missing(void **state)
{
    (void)state;
    for (size_t i = 0; i < hf_n_sections; i++) {
        const struct hf_section *s = hf_sections[i];
        for (size_t k = 0; k < s->n_keys; k++) {
            const struct hf_key *key = &s->keys[k];
            bool is_ours = strcmp(key->since, "holdfast") == 0;
            bool is_around = strcmp(key->name, "webdav-url") == 0;
            if (!is_ours && !is_around && !is_tested(key->name))
                fail_msg("%s.%s has no row", s->path, key->name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_key),
                                       cmocka_unit_test(test_no_key_is_missing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
