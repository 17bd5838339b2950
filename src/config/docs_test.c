#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "config/docs.h"
#include "config/schema.h"
#include "os/file.h"

enum { PAGE_MAX = 1 << 20 };

/* Every key Litestream 0.3 or 0.5 knows, by section: a file that uses one of them must not get an
 * unknown-key warning. */
static const char *const litestream_root[] = {"addr",
                                              "socket",
                                              "levels",
                                              "snapshot",
                                              "l0-retention",
                                              "l0-retention-check-interval",
                                              "retention",
                                              "verify-compaction",
                                              "validation",
                                              "heartbeat-url",
                                              "heartbeat-interval",
                                              "exec",
                                              "mcp-addr",
                                              "shutdown-sync-timeout",
                                              "shutdown-sync-interval",
                                              "logging",
                                              "dbs",
                                              NULL};
static const char *const litestream_db[] = {"path",
                                            "dir",
                                            "pattern",
                                            "recursive",
                                            "watch",
                                            "meta-path",
                                            "meta-dir",
                                            "monitor-interval",
                                            "checkpoint-interval",
                                            "busy-timeout",
                                            "min-checkpoint-page-count",
                                            "max-checkpoint-page-count",
                                            "truncate-page-n",
                                            "max-sync-wal-bytes",
                                            "snapshot",
                                            "restore-if-db-not-exists",
                                            "replica",
                                            "replicas",
                                            NULL};
static const char *const litestream_replica[] = {"type",
                                                 "name",
                                                 "path",
                                                 "url",
                                                 "sync-interval",
                                                 "max-sync-ltx-files",
                                                 "auto-recover",
                                                 "validation-interval",
                                                 "retention",
                                                 "retention-check-interval",
                                                 "snapshot-interval",
                                                 "age",
                                                 "access-key-id",
                                                 "secret-access-key",
                                                 "region",
                                                 "bucket",
                                                 "endpoint",
                                                 "force-path-style",
                                                 "sign-payload",
                                                 "require-content-md5",
                                                 "skip-verify",
                                                 "storage-class",
                                                 "part-size",
                                                 "concurrency",
                                                 "sse-customer-algorithm",
                                                 "sse-customer-key",
                                                 "sse-customer-key-path",
                                                 "sse-kms-key-id",
                                                 "account-name",
                                                 "account-key",
                                                 "sas-token",
                                                 "host",
                                                 "user",
                                                 "password",
                                                 "key-path",
                                                 "host-key",
                                                 "concurrent-writes",
                                                 "jwt",
                                                 "seed",
                                                 "creds",
                                                 "nkey",
                                                 "username",
                                                 "token",
                                                 "tls",
                                                 "root-cas",
                                                 "client-cert",
                                                 "client-key",
                                                 "max-reconnects",
                                                 "reconnect-wait",
                                                 "timeout",
                                                 "webdav-url",
                                                 "webdav-username",
                                                 "webdav-password",
                                                 NULL};

static void assert_has(const struct hf_section *s, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (hf_schema_find(s, *names) == NULL)
            fail_msg("%s has no row for %s", s->path, *names);
    }
}

static void test_litestream_keys(void **state)
{
    (void)state;
    assert_has(&hf_section_root, litestream_root);
    assert_has(&hf_section_db, litestream_db);
    assert_has(&hf_section_replica, litestream_replica);
    /* and what may be a global default there is one here */
    for (const char *const *n = litestream_replica; *n != NULL; n++) {
        const struct hf_key *key = hf_schema_find(&hf_section_replica, *n);
        bool is_place = strcmp(*n, "type") == 0 || strcmp(*n, "name") == 0 ||
                        strcmp(*n, "path") == 0 || strcmp(*n, "url") == 0 ||
                        strstr(*n, "retention") != NULL || strcmp(*n, "snapshot-interval") == 0;
        if (is_place == ((key->flags & HF_KEY_GLOBAL) != 0))
            fail_msg("%s: wrong about the top of the file", *n);
    }
}

/* Rows are consistent: unique names, documented, defaults inside their range. */
static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < hf_n_sections; i++) {
        const struct hf_section *s = hf_sections[i];
        for (size_t k = 0; k < s->n_keys; k++) {
            const struct hf_key *key = &s->keys[k];
            if (hf_schema_find(s, key->name) != key)
                fail_msg("%s.%s is there twice", s->path, key->name);
            assert_non_null(key->doc);
            assert_non_null(key->since);
            size_t len = strlen(key->doc);
            if (key->doc[len - 1] != '.' || strchr(key->doc, '|') != NULL)
                fail_msg("%s.%s: text must end in a full stop and hold no '|'", s->path, key->name);
            const char *why = key->not_honoured;
            if (why != NULL && why[strlen(why) - 1] == '.')
                fail_msg("%s.%s: the reason must not end in a full stop", s->path, key->name);
            const char *how = key->differs;
            if (how != NULL && (how[strlen(how) - 1] == '.' || strchr(how, '|') != NULL))
                fail_msg("%s.%s: the difference must not end in a full stop", s->path, key->name);
        }
    }
    struct hf_raw_replica replica; /* asserts inside if a default does not parse */
    struct hf_raw_db db;
    struct hf_config cfg;
    hf_schema_defaults(&hf_section_replica, &replica);
    hf_schema_defaults(&hf_section_db, &db);
    hf_schema_defaults(&hf_section_root, &cfg);
}

typedef enum hf_code page_fn(struct hf_buf *out, struct hf_err *err);

/* fmt: how a key looks on the page. */
static void assert_lists_all(page_fn *page, const char *fmt)
{
    struct hf_buf out;
    hf_buf_init(&out, PAGE_MAX);
    assert_int_equal(page(&out, NULL), HF_OK);
    for (size_t i = 0; i < hf_n_sections; i++) {
        for (size_t k = 0; k < hf_sections[i]->n_keys; k++) {
            char want[80];
            snprintf(want, sizeof(want), fmt, hf_sections[i]->keys[k].name);
            if (strstr(hf_buf_str(&out), want) == NULL)
                fail_msg("%s is missing", want);
        }
    }
    hf_buf_deinit(&out);
}

static void test_reference(void **state)
{
    (void)state;
    assert_lists_all(hf_docs_reference, "| `%s` |");
}

/* docs/config.md is the page as of now. */
static void test_page_is_current(void **state)
{
    (void)state;
    struct hf_buf out;
    HF_AUTO_FREE char *page = NULL;
    size_t len = 0;
    hf_buf_init(&out, PAGE_MAX);
    assert_int_equal(hf_docs_reference(&out, NULL), HF_OK);
    assert_int_equal(hf_path_read(HF_FIXTURES "/../../docs/config.md", PAGE_MAX, &page, &len, NULL),
                     HF_OK);
    if (strcmp(page, hf_buf_str(&out)) != 0)
        fail_msg("docs/config.md is stale: holdfast config docs > docs/config.md");
    hf_buf_deinit(&out);
}

static void test_json_schema(void **state)
{
    (void)state;
    struct hf_buf out;
    struct hf_err err = HF_ERR_INIT;
    assert_lists_all(hf_docs_json_schema, "\"%s\": {");
    hf_buf_init(&out, PAGE_MAX);
    assert_int_equal(hf_docs_json_schema(&out, NULL), HF_OK);
    /* duplicate keys are refused too: a key that stands in two views of one mapping */
    if (hf_json_check(hf_buf_str(&out), out.len, &err) != HF_OK)
        fail_msg("%s", err.text);
    hf_buf_deinit(&out);
}

/* The example loads as it stands, without a warning. */
static void test_example(void **state)
{
    (void)state;
    struct hf_buf out;
    struct hf_config *cfg = NULL;
    struct hf_err err = HF_ERR_INIT;
    hf_buf_init(&out, PAGE_MAX);
    assert_int_equal(hf_docs_example(&out, NULL), HF_OK);
    if (hf_config_parse("example", hf_buf_str(&out), out.len, NULL, &cfg, &err) != HF_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < cfg->n_warnings; i++)
        assert_int_equal(cfg->warnings[i].kind, HF_CONFIG_DIFFERS);
    assert_int_equal(cfg->n_dbs, 1);
    hf_config_free(cfg);
    hf_buf_deinit(&out);
}

static void test_explain(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    for (size_t i = 0; i < hf_n_sections; i++) {
        for (size_t k = 0; k < hf_sections[i]->n_keys; k++) {
            struct hf_buf out;
            hf_buf_init(&out, PAGE_MAX);
            const char *name = hf_sections[i]->keys[k].name;
            assert_int_equal(hf_docs_explain(name, &out, NULL), HF_OK);
            assert_non_null(strstr(hf_buf_str(&out), hf_sections[i]->keys[k].doc));
            hf_buf_reset(&out);
            assert_int_equal(hf_docs_explain_json(name, &out, NULL), HF_OK);
            assert_int_equal(hf_json_check(hf_buf_str(&out), out.len, NULL), HF_OK);
            hf_buf_deinit(&out);
        }
    }
    struct hf_buf out;
    hf_buf_init(&out, PAGE_MAX);
    assert_int_equal(hf_docs_explain("dbs[].replica.retention", &out, NULL), HF_OK);
    assert_null(strstr(hf_buf_str(&out), "snapshot.retention\n")); /* only the one asked for */
    static const char *const as_messages[] = {"dbs[0].replica.pack", "dbs.replica.pack",
                                              "dbs[0].replicas[1].pack", "gateway.hosts[3].memory",
                                              "gateway.hosts.memory"};
    for (size_t i = 0; i < HF_ARRAY_LEN(as_messages); i++)
        assert_int_equal(hf_docs_explain(as_messages[i], &out, &err), HF_OK);
    assert_int_equal(hf_docs_explain("retentoin", &out, &err), HF_E_NOT_FOUND);
    assert_string_equal(err.hint, "did you mean retention?");
    hf_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_litestream_keys), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_reference),       cmocka_unit_test(test_json_schema),
        cmocka_unit_test(test_page_is_current), cmocka_unit_test(test_example),
        cmocka_unit_test(test_explain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
