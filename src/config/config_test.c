#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "config/config.h"

#define SEC_NS INT64_C(1000000000)
#define HOUR_MS INT64_C(3600000)

static struct hf_config *must_parse(const char *text)
{
    struct hf_config *cfg = NULL;
    struct hf_err err = HF_ERR_INIT;
    if (hf_config_parse("holdfast.yml", text, strlen(text), NULL, &cfg, &err) != HF_OK)
        fail_msg("%s", err.text);
    return cfg;
}

static size_t n_of(const struct hf_config *cfg, enum hf_config_warning_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < cfg->n_warnings; i++)
        n += cfg->warnings[i].kind == kind;
    return n;
}

/* Nothing but what is only told by config check, and n keys without effect. */
static void expect_warnings(const struct hf_config *cfg, size_t n_without_effect)
{
    assert_int_equal(n_of(cfg, HF_CONFIG_NOT_HONOURED), n_without_effect);
    assert_int_equal(n_of(cfg, HF_CONFIG_DIFFERS) + n_without_effect, cfg->n_warnings);
}

static void test_fleet(void **state)
{
    (void)state;
    struct hf_config_options opt = {.path = HF_FIXTURES "/fleet/litestream.yml"};
    struct hf_config *cfg = NULL;
    struct hf_err err = HF_ERR_INIT;
    int by_hours[800] = {0};
    int slow = 0;
    setenv("FLEET_DATA", "/srv/fleet", 1);
    if (hf_config_load(&opt, &cfg, &err) != HF_OK)
        fail_msg("%s", err.text);
    assert_int_equal(cfg->n_dbs, 69);
    expect_warnings(cfg, 1); /* retention-check-interval, told once for 69 databases */
    assert_int_equal(cfg->warnings[0].n_more + cfg->warnings[1].n_more, 2 * 68);
    for (size_t i = 0; i < cfg->n_dbs; i++) {
        const struct hf_config_replica *r = &cfg->dbs[i]->replicas[0];
        assert_int_equal(cfg->dbs[i]->n_replicas, 1);
        assert_int_equal(r->type, HF_REPLICA_ABS);
        assert_string_equal(r->abs.account_name, "fleetbackups");
        assert_string_equal(r->bucket, "system-db-backups");
        assert_int_equal(r->retention_check_interval_ms, HOUR_MS);
        by_hours[r->snapshot_retention_ms / HOUR_MS]++;
        slow += r->sync_interval_ns == 10 * SEC_NS;
    }
    assert_int_equal(by_hours[168], 13);
    assert_int_equal(by_hours[720], 4);
    assert_int_equal(by_hours[72], 42);
    assert_int_equal(by_hours[24], 10);
    assert_int_equal(slow, 11);
    const struct hf_config_db *db = cfg->dbs[0];
    assert_string_equal(db->path, "/srv/fleet/databases/mission-control.db");
    assert_string_equal(db->meta_path, "/srv/fleet/databases/.mission-control.db-holdfast");
    assert_string_equal(db->replicas[0].name, "mission-control-abs");
    assert_string_equal(db->replicas[0].path, "litestream/mission-control");
    assert_string_equal(db->replicas[0].url,
                        "abs://fleetbackups@system-db-backups/litestream/mission-control");
    assert_ptr_equal(hf_config_find_db(cfg, "sqlite3:///srv/fleet/x/../databases/tasks.db"),
                     cfg->dbs[2]);
    hf_config_free(cfg);
}

static void test_defaults(void **state)
{
    (void)state;
    struct hf_config *cfg = must_parse("dbs: [{path: /d/a.db, replica: {path: /r/a}}]");
    const struct hf_config_db *db = cfg->dbs[0];
    const struct hf_config_replica *r = &db->replicas[0];
    assert_int_equal(cfg->n_levels, 3);
    assert_int_equal(cfg->level_interval_ms[0], 30000);
    assert_int_equal(cfg->level_interval_ms[2], HOUR_MS);
    assert_int_equal(cfg->l0_retention_ms, 300000);
    assert_int_equal(cfg->l0_retention_check_interval_ms, 15000);
    assert_true(cfg->retention_enabled);
    assert_int_equal(cfg->shutdown_sync_timeout_ms, 30000);
    assert_int_equal(cfg->logging.level, HF_LOG_INFO);
    assert_int_equal(cfg->socket.permissions, 0600);
    assert_null(cfg->addr);
    assert_int_equal(db->monitor_interval_ns, SEC_NS);
    assert_int_equal(db->checkpoint_interval_ns, 60 * SEC_NS);
    assert_int_equal(db->busy_timeout_ms, 1000);
    assert_int_equal(db->min_checkpoint_page_count, 1000);
    assert_int_equal(db->truncate_page_n, 121359);
    assert_int_equal(db->max_sync_wal_bytes, 64 << 20);
    assert_int_equal(r->type, HF_REPLICA_FILE);
    assert_int_equal(r->sync_interval_ns, SEC_NS);
    assert_int_equal(r->snapshot_retention_ms, 24 * HOUR_MS);
    assert_int_equal(r->snapshot_interval_ms, 24 * HOUR_MS);
    assert_int_equal(r->page_format, HF_PAGE_FORMAT_AUTO);
    assert_string_equal(r->name, "file");
    assert_string_equal(r->url, "file:///r/a");
    hf_config_free(cfg);
}

/* Which of the settings that can stand in several places wins. */
static void test_who_wins(void **state)
{
    (void)state;
    struct hf_config *cfg = must_parse(
        "sync-interval: 5s\n"
        "page-format: frame\n"
        "snapshot: {retention: 48h}\n"
        "tiers:\n"
        "  p0: {sync-interval: 200ms, retention: 720h, busy-timeout: 7s, monitor-interval: 2s}\n"
        "dbs:\n"
        "  - path: /d/global.db\n"
        "    replica: {path: /r/1}\n"
        "  - path: /d/own.db\n"
        "    snapshot: {retention: 72h}\n"
        "    replicas:\n"
        "      - {path: /r/2, sync-interval: 3s}\n"
        "      - {path: /r/3, retention: 96h, page-format: block}\n"
        "  - path: /d/tier.db\n"
        "    tier: p0\n"
        "    busy-timeout: 9s\n"
        "    replicas: [{path: /r/4}, {path: /r/5, sync-interval: 1s, retention: 1h}]\n");
    expect_warnings(cfg, 1); /* monitor-interval */
    const struct hf_config_replica *r = cfg->dbs[0]->replicas;
    assert_int_equal(r->sync_interval_ns, 5 * SEC_NS);
    assert_int_equal(r->snapshot_retention_ms, 48 * HOUR_MS);
    assert_int_equal(r->page_format, HF_PAGE_FORMAT_FRAME);
    r = cfg->dbs[1]->replicas;
    assert_int_equal(r[0].sync_interval_ns, 3 * SEC_NS);
    assert_int_equal(r[0].snapshot_retention_ms, 72 * HOUR_MS);
    assert_int_equal(r[0].snapshot_interval_ms, 24 * HOUR_MS); /* not set there: from the top */
    assert_int_equal(r[1].sync_interval_ns, 5 * SEC_NS);
    assert_int_equal(r[1].snapshot_retention_ms, 96 * HOUR_MS);
    assert_int_equal(r[1].page_format, HF_PAGE_FORMAT_BLOCK);
    r = cfg->dbs[2]->replicas;
    assert_int_equal(cfg->dbs[2]->busy_timeout_ms, 9000);
    assert_int_equal(cfg->dbs[2]->monitor_interval_ns, 2 * SEC_NS);
    assert_int_equal(r[0].sync_interval_ns, 200000000);
    assert_int_equal(r[0].snapshot_retention_ms, 720 * HOUR_MS);
    assert_int_equal(r[1].sync_interval_ns, SEC_NS);
    assert_int_equal(r[1].snapshot_retention_ms, HOUR_MS);
    assert_int_equal(r[1].retention_check_interval_ms, HOUR_MS);
    hf_config_set_sync_interval(cfg, 42);
    assert_int_equal(r[1].sync_interval_ns, 42);
    hf_config_free(cfg);
}

static void test_global_section(void **state)
{
    (void)state;
    struct hf_config *cfg =
        must_parse("exec: \"app --serve\"\nlevels: [{interval: 10s}, {interval: 1m}]\n"
                   "l0-retention: 0\nretention: {enabled: false}\nshutdown-sync-timeout: 5s\n"
                   "logging: {level: WARNING, type: json, stderr: true}\n"
                   "socket: {enabled: false, path: /run/x.sock, permissions: 0660}\n");
    assert_string_equal(cfg->exec, "app --serve");
    assert_int_equal(cfg->n_levels, 2);
    assert_int_equal(cfg->level_interval_ms[1], 60000);
    assert_int_equal(cfg->l0_retention_ms, 0);
    assert_false(cfg->retention_enabled);
    assert_int_equal(cfg->shutdown_sync_timeout_ms, 5000);
    assert_int_equal(cfg->logging.level, HF_LOG_WARN);
    assert_int_equal(cfg->logging.type, HF_CONFIG_LOG_JSON);
    assert_true(cfg->logging.to_stderr);
    assert_int_equal(cfg->socket.permissions, 0660);
    assert_string_equal(cfg->socket.path, "/run/x.sock");
    expect_warnings(cfg, 0);
    assert_int_equal(cfg->n_dbs, 0);
    hf_config_free(cfg);
}

static void test_paths(void **state)
{
    (void)state;
    setenv("HOME", "/home/u", 1);
    struct hf_config *cfg = must_parse(
        "dbs:\n"
        "  - {path: ~/a.db, replica: {path: ~/r/a}}\n"
        "  - {path: 'sqlite:///d//x/../b.db', replica: {url: 'file:///r//b/'}}\n"
        "  - {path: sqlite3://~/c.db, meta-path: /m/.c.db-litestream, replica: {path: /r/c}}\n"
        "  - {path: /d/d.db, meta-path: ~/meta, replica: {path: /r/d}}\n");
    assert_string_equal(cfg->dbs[0]->path, "/home/u/a.db");
    assert_string_equal(cfg->dbs[0]->replicas[0].path, "/home/u/r/a");
    assert_string_equal(cfg->dbs[1]->path, "/d/b.db");
    assert_string_equal(cfg->dbs[1]->replicas[0].url, "file:///r/b");
    assert_string_equal(cfg->dbs[2]->path, "/home/u/c.db");
    /* Litestream's own state is never touched */
    assert_string_equal(cfg->dbs[2]->meta_path, "/m/.c.db-holdfast");
    assert_string_equal(cfg->dbs[3]->meta_path, "/home/u/meta");
    hf_config_free(cfg);
}

#define DB(rest) "dbs:\n  - path: /d/a.db\n    " rest "\n"
#define REPLICA(rest) DB("replica: {path: /r/a}\n    " rest)

struct error_row {
    const char *yaml;
    enum hf_code code;
    const char *text; /* exactly */
};

static const struct error_row error_rows[] = {
    {"gateway:\n  keys:\n    - {name: kim}", HF_E_INVALID,
     "holdfast.yml:3:7 gateway.keys[0]: needs one of key, key-file and sha256"},
    {"gateway:\n  keys:\n    - {name: kim, key: a, sha256: b}", HF_E_INVALID,
     "holdfast.yml:3:7 gateway.keys[0]: needs one of key, key-file and sha256"},
    {"gateway:\n  keys:\n    - {name: kim, key: a, money-per-day: 1.2345678}", HF_E_INVALID,
     "holdfast.yml:3:42 gateway.keys[0].money-per-day: '1.2345678' is not an amount (try 2.50; six "
     "digits behind the point)"},
    {"gateway:\n  keys:\n    - {name: kim, key: a, tokens-per-day: 5}", HF_E_INVALID,
     "holdfast.yml:2:3 gateway: a budget needs journal: FILE, or a restart would forget what was "
     "spent"},
    {"gateway:\n  prices:\n    - {model: sonnet, input: 3}", HF_E_INVALID,
     "holdfast.yml:3:7 gateway.prices[0]: needs model: HOST/MODEL"},
    {"gateway:\n  prices:\n    - {model: a/b, input: 10000.1}", HF_E_INVALID,
     "holdfast.yml:3:27 gateway.prices[0].input: '10000.1' is more than 10000"},
    {"gateway: {budget-zone: Europe/Bern}", HF_E_INVALID,
     "holdfast.yml:1:10 gateway.budget-zone: 'Europe/Bern' is neither UTC, an offset such as "
     "+01:00, nor a zone that this system has in /usr/share/zoneinfo"},
    {"gateway: {budget-zone: ../zoneinfo/UTC}", HF_E_INVALID,
     "holdfast.yml:1:10 gateway.budget-zone: '../zoneinfo/UTC' is neither UTC, an offset such as "
     "+01:00, nor a zone that this system has in /usr/share/zoneinfo"},
    {REPLICA("monitor-interval: ten"), HF_E_INVALID,
     "holdfast.yml:4:23 dbs[0].monitor-interval: 'ten' is not a duration (try 10s)"},
    {DB("replicas:\n      - path: /r/a\n        sync-interval: 10"), HF_E_INVALID,
     "holdfast.yml:5:24 dbs[0].replicas[0].sync-interval: '10' has no unit (try 10s)"},
    {DB("replica: {path: /r/a, sync-interval: 0s}"), HF_E_INVALID,
     "holdfast.yml:3:42 dbs[0].replica.sync-interval: '0s' is too short (at least 1ms)"},
    {DB("replica: {path: /r/a, retention: 7d}"), HF_E_INVALID,
     "holdfast.yml:3:38 dbs[0].replica.retention: '7d' is not a duration: there are no days (try "
     "168h)"},
    {REPLICA("min-checkpoint-page-count: 0"), HF_E_INVALID,
     "holdfast.yml:4:32 dbs[0].min-checkpoint-page-count: '0' is not between 1 and 2147483648"},
    {"logging: {level: loud}", HF_E_INVALID,
     "holdfast.yml:1:18 logging.level: 'loud' is not one of debug, info, warn, error"},
    {"page-format: zip", HF_E_INVALID,
     "holdfast.yml:1:14 page-format: 'zip' is not one of auto, block, frame"},
    {"retention: {enabled: maybe}", HF_E_INVALID,
     "holdfast.yml:1:22 retention.enabled: 'maybe' is neither true nor false"},
    {"socket: {permissions: 999}", HF_E_INVALID,
     "holdfast.yml:1:23 socket.permissions: '999' are not permission bits (try 0600)"},
    {"part-size: 5XB", HF_E_INVALID, "holdfast.yml:1:12 part-size: '5XB' is not a size (try 64KB)"},
    {"exec: [a, b]", HF_E_INVALID, "holdfast.yml:1:7 exec: needs one value, not a list"},
    {"logging: yes", HF_E_INVALID, "holdfast.yml:1:10 logging: needs a mapping of keys and values"},
    {"- a\n- b\n", HF_E_INVALID, "holdfast.yml:1:1 needs a mapping of keys and values"},
    {"dbs: {path: x}", HF_E_INVALID,
     "holdfast.yml:1:6 dbs: needs a list (- path: /var/lib/app.db)"},
    {"dbs:\n  -\n", HF_E_INVALID, "holdfast.yml:2:4 dbs[0]: is empty"},
    {"dbs:\n  - replica: {path: /r}\n", HF_E_INVALID,
     "holdfast.yml:2:5 dbs[0]: needs path, or dir and pattern"},
    {"dbs: [{path: /a, dir: /b}]", HF_E_INVALID,
     "holdfast.yml:1:7 dbs[0]: has both path and dir: keep one"},
    {"dbs: [{path: /a/}]", HF_E_INVALID, "holdfast.yml:1:7 dbs[0]: path '/a/' is no file name"},
    {"dbs: [{dir: /a, replica: {path: /r}}]", HF_E_INVALID,
     "holdfast.yml:1:7 dbs[0]: dir needs pattern (try pattern: \"*.db\")"},
    {"dbs: [{path: /a}]", HF_E_INVALID,
     "holdfast.yml:1:7 dbs[0]: has no replica (add replica: with a url)"},
    {"dbs: [{path: /a, replcia: {path: /r}}]", HF_E_INVALID,
     "holdfast.yml:1:7 dbs[0]: has no replica: replcia is no key (did you mean replica?)"},
    {"dbs: [{path: /a, replica: null}]", HF_E_INVALID,
     "holdfast.yml:1:7 dbs[0]: has no replica (add replica: with a url)"},
    {"dbs: [{path: /a, replicas: []}]", HF_E_INVALID,
     "holdfast.yml:1:7 dbs[0]: has no replica (add replica: with a url)"},
    {"dbs: [{path: /a, replica: {path: /r}, replicas: [{path: /s}]}]", HF_E_INVALID,
     "holdfast.yml:1:27 dbs[0]: has both replica and replicas: keep one"},
    {DB("replica: {type: abs, bucket: b, account-name: n}"), HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: needs a path: a replica may not fill the root of a bucket"},
    {DB("replica: {url: 's3://bucket/'}"), HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: needs a path: a replica may not fill the root of a bucket"},
    {DB("replica: {url: 'file:///'}"), HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: needs a path: a replica may not fill the root of a file "
     "system"},
    {DB("replica: {sync-interval: 1s}"), HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: needs a path: a replica may not fill the root of a file "
     "system"},
    {DB("replica: {path: 's3://b/p'}"), HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: path holds a URL: write it as url: s3://b/p"},
    {DB("replica: {url: 's3://b/p', path: q}"), HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: has both url and path: keep one"},
    {DB("replica: {url: /r/a}"), HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: '/r/a' is not a URL (try file:///var/backups/app)"},
    {DB("replica: {type: s4, path: p}"), HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: 's4' is not a replica type (did you mean s3? there are "
     "file, s3, abs, gs, sftp, nats, webdav, oss)"},
    {DB("replica: {type: s3, path: p}"), HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: a replica of type s3 needs bucket"},
    {DB("replica: {type: sftp, path: p}"), HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: a replica of type sftp needs host"},
    {DB("replica: {type: sftp, path: p, host: 'h:99999'}"), HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: port of h:99999: '99999' is not between 1 and 65535"},
    {DB("replica: {path: /r/a, encryption: {}}"), HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: encryption has no key: key-file, key-env or key-command"},
    {DB("replica: {path: /r/a, encryption: }"), HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: encryption has no key: key-file, key-env or key-command"},
    {DB("replica: {path: /r/a, encryption: {key-fiel: /k}}"), HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: encryption has no key: key-file, key-env or key-command"},
    {DB("replica: {path: /r/a, pack: true, encryption: {key-file: /k, bind-path: true}}"),
     HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: pack and encryption.bind-path do not go together (a pack "
     "is of many replicas): pack: false here, or bind-path: false"},
    {DB("replica: {path: /r/a, encryption: {key-file: /k, key-env: K}}"), HF_E_INVALID,
     "holdfast.yml:3:14 dbs[0].replica: encryption has several of key-file, key-env and "
     "key-command: keep one"},
    {DB("replica: {path: /r/a, age: {recipients: [x]}}"), HF_E_UNSUPPORTED,
     "holdfast.yml:3:32 dbs[0].replica.age: age encryption is not supported, and writing the "
     "replica in the clear instead would be wrong: replace it by encryption:, or remove the key "
     "if plain is what you want"},
    {"dbs:\n  - {path: /d/a.db, replica: {path: /r/a}}\n  - {path: /d/./a.db, replica: {path: "
     "/r/b}}\n",
     HF_E_INVALID, "holdfast.yml:3: two databases /d/a.db (the other one is on line 2)"},
    {"dbs:\n  - {path: /d/a.db, replica: {path: /r/a}}\n  - {path: /d/b.db, replica: {url: "
     "'file:///r//a'}}\n",
     HF_E_INVALID,
     "holdfast.yml:3: two databases write to the replica file:///r/a (the other one is on line 2)"},
    {DB("replicas: [{path: /r/a}, {path: /r/a/}]"), HF_E_INVALID,
     "holdfast.yml:2: two replicas of one database are at file:///r/a"},
    {"dbs:\n  - {path: /d/a.db, meta-path: /m, replica: {path: /r/a}}\n"
     "  - {path: /d/b.db, meta-path: /m, replica: {path: /r/b}}\n",
     HF_E_INVALID,
     "holdfast.yml:3: two databases keep their state in /m (the other one is on line 2)"},
    {REPLICA("tier: p9"), HF_E_INVALID,
     "holdfast.yml:4:11 dbs[0]: tier p9 is not among tiers: at the top"},
    {"tiers: {gold: {sync-interval: 5s}, silver: {}}\n"
     "dbs: [{path: /a, tier: silvr, replica: {path: /r}}]",
     HF_E_INVALID,
     "holdfast.yml:2:24 dbs[0]: tier silvr is not among tiers: at the top (did you mean silver?)"},
    {"levels: [{interval: 1m}, {interval: 30s}]", HF_E_INVALID,
     "holdfast.yml:1:26 levels[1]: interval must be longer than that of the level before"},
    {"levels: [{}]", HF_E_INVALID,
     "holdfast.yml:1:10 levels[0]: needs interval (try interval: 30s)"},
    {"addr: 1\naddr: 2\n", HF_E_INVALID,
     "holdfast.yml:2:1: addr is here a second time (first on line 1)"},
    {"dbs: [", HF_E_INVALID, "holdfast.yml:2:1: did not find expected node content"},
    {"a: 1\n---\nb: 2\n", HF_E_INVALID, "holdfast.yml:2:1: a second YAML document begins here"},
    {"exec: \"a\\0b\"", HF_E_INVALID, "holdfast.yml:1:7: a value holds a NUL byte"},
};

/* What stands closer to the replica wins, a key as a whole; off is only what says so. */
static void test_encryption(void **state)
{
    (void)state;
    struct hf_config *cfg =
        must_parse("encryption: {key-file: [/k/new, /k/old], bind-path: true}\n"
                   "tiers: {gold: {encryption: {key-command: 'get key'}}}\n"
                   "dbs:\n"
                   "  - {path: /a, replica: {path: /r/a}}\n"
                   "  - {path: /b, tier: gold, replica: {path: /r/b}}\n"
                   "  - {path: /c, tier: gold, replica: {path: /r/c, encryption: {key-env: K}}}\n"
                   "  - {path: /d, replica: {path: /r/d, encryption: {allow-plain: true}}}\n"
                   "  - {path: /e, replica: {path: /r/e, encryption: {enabled: false}}}\n");
    const struct hf_config_encryption *e[5];
    for (size_t i = 0; i < 5; i++)
        e[i] = &cfg->dbs[i]->replicas[0].encryption;
    assert_true(e[0]->enabled && e[0]->bind_path && !e[0]->allow_plain);
    assert_int_equal(e[0]->key_files.n, 2);
    assert_string_equal(e[0]->key_files.items[1], "/k/old");
    assert_string_equal(e[1]->key_command, "get key");
    assert_int_equal(e[1]->key_files.n, 0);
    assert_true(e[1]->bind_path);
    assert_string_equal(e[2]->key_env, "K");
    assert_null(e[2]->key_command);
    assert_true(e[3]->allow_plain && e[3]->key_files.n == 2);
    assert_false(e[4]->enabled);
    assert_int_equal(e[4]->key_files.n, 0);
    assert_int_equal(n_of(cfg, HF_CONFIG_DIFFERS), 1); /* not readable by Litestream */
    hf_config_free(cfg);
    cfg = must_parse("dbs: [{path: /a, replica: {path: /r/a}}]");
    assert_false(cfg->dbs[0]->replicas[0].encryption.enabled);
    hf_config_free(cfg);
}

static void test_error_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(error_rows); i++) {
        const struct error_row *row = &error_rows[i];
        struct hf_config *cfg = NULL;
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc =
            hf_config_parse("holdfast.yml", row->yaml, strlen(row->yaml), NULL, &cfg, &err);
        if (rc != row->code || err.code != row->code || strcmp(err.text, row->text) != 0)
            fail_msg("row %zu:\n%s\ncode %d\n got: %s\nwant: %s", i, row->yaml, rc, err.text,
                     row->text);
        assert_null(cfg);
        assert_int_equal(hf_config_parse("x", row->yaml, strlen(row->yaml), NULL, &cfg, NULL),
                         row->code); /* a caller that wants no text */
    }
}

struct warning_row {
    const char *yaml;
    enum hf_config_warning_kind kind;
    int line;
    int column;
    const char *key;
    const char *text;
};

static const struct warning_row warning_rows[] = {
    {REPLICA("monitor-intervall: 1s"), HF_CONFIG_UNKNOWN_KEY, 4, 5, "dbs[0].monitor-intervall",
     "unknown key (did you mean monitor-interval?)"},
    {DB("replica: {path: /r/a, sync_interval: 1s}"), HF_CONFIG_UNKNOWN_KEY, 3, 27,
     "dbs[0].replica.sync_interval", "unknown key (did you mean sync-interval?)"},
    {REPLICA("sync-interval: 1s"), HF_CONFIG_UNKNOWN_KEY, 4, 5, "dbs[0].sync-interval",
     "unknown key here (it belongs in dbs[].replica)"},
    {REPLICA("addr: x"), HF_CONFIG_UNKNOWN_KEY, 4, 5, "dbs[0].addr",
     "unknown key here (it belongs at the top of the file)"},
    {"zzzzzzzz: 1", HF_CONFIG_UNKNOWN_KEY, 1, 1, "zzzzzzzz", "unknown key"},
    {"tiers: {p0: {path: /x}}", HF_CONFIG_UNKNOWN_KEY, 1, 14, "tiers.p0.path",
     "unknown key here (it belongs in dbs[])"},
    {"mcp-addr: \":3001\"", HF_CONFIG_NOT_HONOURED, 1, 11, "mcp-addr",
     "has no effect: this version has no MCP server"},
    {REPLICA("max-checkpoint-page-count: 10000"), HF_CONFIG_NOT_HONOURED, 4, 32,
     "dbs[0].max-checkpoint-page-count",
     "has no effect: writers are never blocked until a log is copied back; they are held for 50ms "
     "at most"},
    {"# $HF_TEST_NOT_SET is fine in a comment\nexec: ${HF_TEST_NOT_SET}\n", HF_CONFIG_UNSET, 2, 1,
     "$HF_TEST_NOT_SET", "is not set in the environment: empty"},
};

static void test_warnings(void **state)
{
    (void)state;
    unsetenv("HF_TEST_NOT_SET");
    for (size_t i = 0; i < HF_ARRAY_LEN(warning_rows); i++) {
        const struct warning_row *row = &warning_rows[i];
        struct hf_config *cfg = must_parse(row->yaml);
        if (cfg->n_warnings != 1)
            fail_msg("row %zu: %zu warnings", i, cfg->n_warnings);
        const struct hf_config_warning *w = &cfg->warnings[0];
        assert_string_equal(w->key, row->key);
        assert_string_equal(w->text, row->text);
        assert_int_equal(w->kind, row->kind);
        assert_int_equal(w->line, row->line);
        assert_int_equal(w->column, row->column);
        hf_config_free(cfg);
    }
}

/* A tier that many databases use is complained about once; so is a key that has its default. */
static void test_warned_once(void **state)
{
    (void)state;
    struct hf_config *cfg = must_parse("verify-compaction: false\n"
                                       "tiers: {t: {bogus-key: 1}}\n"
                                       "dbs:\n"
                                       "  - {path: /d/a, tier: t, replica: {path: /r/a}}\n"
                                       "  - {path: /d/b, tier: t, replica: {path: /r/b}}\n");
    assert_int_equal(cfg->n_warnings, 1);
    assert_string_equal(cfg->warnings[0].key, "tiers.t.bogus-key");
    hf_config_free(cfg);
}

static void test_anchors(void **state)
{
    (void)state;
    struct hf_config *cfg = must_parse("x-common: &c\n"
                                       "  sync-interval: 7s\n"
                                       "  retention: 9h\n"
                                       "dbs:\n"
                                       "  - path: /d/a\n"
                                       "    replica: {<<: *c, path: /r/a, retention: 5h}\n");
    assert_int_equal(cfg->dbs[0]->replicas[0].sync_interval_ns, 7 * SEC_NS);
    assert_int_equal(cfg->dbs[0]->replicas[0].snapshot_retention_ms, 5 * HOUR_MS);
    hf_config_free(cfg);
}

static void test_from_args(void **state)
{
    (void)state;
    const char *const urls[] = {"file:///r/a", "s3://b/p"};
    const char *const bad[] = {"s3://b"};
    struct hf_config *cfg = NULL;
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_config_from_args("/d/a.db", urls, 2, &cfg, &err), HF_OK);
    assert_int_equal(cfg->n_dbs, 1);
    assert_string_equal(cfg->dbs[0]->meta_path, "/d/.a.db-holdfast");
    assert_int_equal(cfg->dbs[0]->n_replicas, 2);
    assert_int_equal(cfg->dbs[0]->replicas[1].type, HF_REPLICA_S3);
    assert_int_equal(cfg->dbs[0]->replicas[1].snapshot_retention_ms, 24 * HOUR_MS);
    hf_config_free(cfg);
    cfg = NULL;
    assert_int_equal(hf_config_from_args(NULL, urls, 1, &cfg, &err), HF_OK);
    assert_null(cfg->dbs[0]->path);
    hf_config_free(cfg);
    assert_int_equal(hf_config_from_args("/d/a.db", bad, 1, &cfg, &err), HF_E_INVALID);
    assert_string_equal(err.text, "replica URL: needs a path: a replica may not fill the root of "
                                  "a bucket");
}

static void test_file_search(void **state)
{
    (void)state;
    struct hf_config_options opt = {0};
    setenv("HOLDFAST_CONFIG", "/nowhere/h.yml", 1);
    setenv("LITESTREAM_CONFIG", "/nowhere/l.yml", 1);
    char *file = hf_config_find_file(&opt);
    assert_string_equal(file, "/nowhere/h.yml");
    hf_free(file);
    unsetenv("HOLDFAST_CONFIG");
    file = hf_config_find_file(&opt);
    assert_string_equal(file, "/nowhere/l.yml");
    hf_free(file);
    opt.path = "/nowhere/flag.yml";
    struct hf_config *cfg = NULL;
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_config_load(&opt, &cfg, &err), HF_E_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nowhere/flag.yml"));
    unsetenv("LITESTREAM_CONFIG");
}

static void test_no_expand(void **state)
{
    (void)state;
    struct hf_config_options opt = {.no_expand_env = true};
    struct hf_config *cfg = NULL;
    const char *text = "exec: a$HOME";
    assert_int_equal(hf_config_parse("f", text, strlen(text), &opt, &cfg, NULL), HF_OK);
    assert_string_equal(cfg->exec, "a$HOME");
    hf_config_free(cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fleet),       cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_who_wins),    cmocka_unit_test(test_global_section),
        cmocka_unit_test(test_paths),       cmocka_unit_test(test_encryption),
        cmocka_unit_test(test_error_texts), cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_warned_once), cmocka_unit_test(test_anchors),
        cmocka_unit_test(test_from_args),   cmocka_unit_test(test_file_search),
        cmocka_unit_test(test_no_expand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
