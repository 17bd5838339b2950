/* Price tables: those built in are whole, and what is wrong in a file of one's own is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/prices.h"

static void test_built_in(void **state)
{
    (void)state;
    static const char *const ids[] = {"azure", "s3", "r2", "b2"};
    struct hf_cost_tables t;
    struct hf_err err = HF_ERR_INIT;
    if (hf_prices_load(NULL, &t, &err) != HF_OK)
        fail_msg("%s", err.text);
    assert_int_equal(t.n, 4);
    for (size_t i = 0; i < t.n; i++) {
        const struct hf_cost_prices *p = hf_prices_find(&t, ids[i]);
        assert_non_null(p);
        assert_true(p->storage_gb > 0.001 && p->storage_gb < 0.1);
        assert_true(p->writes_m <= 10 && p->lists_m <= 10 && p->reads_m < 1);
        assert_true(strlen(p->as_of) >= 4 && strlen(p->source) > 10 && p->list_page >= 1000);
    }
    assert_null(hf_prices_find(&t, "gcs"));
}

static void test_which_table(void **state)
{
    (void)state;
    static const struct {
        enum hf_replica_type type;
        const char *endpoint;
        const char *want;
    } rows[] = {
        {HF_REPLICA_ABS, NULL, "azure"},
        {HF_REPLICA_S3, NULL, "s3"},
        {HF_REPLICA_S3, "https://s3.eu-west-1.amazonaws.com", "s3"},
        {HF_REPLICA_S3, "https://abc.r2.cloudflarestorage.com", "r2"},
        {HF_REPLICA_S3, "https://s3.us-west-004.backblazeb2.com", "b2"},
        {HF_REPLICA_S3, "http://minio.local:9000", NULL},
        {HF_REPLICA_FILE, NULL, NULL},
    };
    struct hf_cost_tables t;
    assert_int_equal(hf_prices_load(NULL, &t, NULL), HF_OK);
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_config_replica r = {.type = rows[i].type, .endpoint = rows[i].endpoint};
        const struct hf_cost_prices *p = hf_prices_of(&t, &r);
        assert_true((p == NULL) == (rows[i].want == NULL));
        if (p != NULL)
            assert_string_equal(p->id, rows[i].want);
    }
}

#define TABLE(more)                                                                                \
    "{\"tables\": [{\"id\": \"x\", \"name\": \"X\", \"as_of\": \"2026\", \"source\": \"me\", "     \
    "\"storage_gb\": 1, \"writes_million\": 1, \"reads_million\": 1, \"lists_million\": 1" more    \
    "}]}"

static void test_own_file(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum hf_code want;
        const char *says;
    } rows[] = {
        {TABLE(", \"egress_gb\": 0.5, \"list_page\": 10"), HF_OK, ""},
        {TABLE(", \"egress_gb\": 0.5"), HF_E_INVALID, "'x': list_page is not a number"},
        {TABLE(", \"egress_gb\": -1, \"list_page\": 10"), HF_E_INVALID, "egress_gb"},
        {TABLE(", \"egress_gb\": \"1\", \"list_page\": 10"), HF_E_INVALID, "egress_gb"},
        {TABLE(", \"egress_gb\": 1, \"list_page\": 0"), HF_E_INVALID, "list_page is 0"},
        {"{\"tables\": [{\"id\": \"x\"}]}", HF_E_INVALID, "'x' has no name"},
        {"{\"tables\": [1]}", HF_E_INVALID, "not an object"},
        {"{\"tables\": []}", HF_E_INVALID, "no price table"},
        {"{}", HF_E_INVALID, "tables"},
        {"[", HF_E_INVALID, ""},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_cost_tables t;
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = hf_prices_parse(rows[i].text, strlen(rows[i].text), &t, &err);
        if (rc != rows[i].want || strstr(err.text, rows[i].says) == NULL)
            fail_msg("%s: %s %s", rows[i].text, hf_code_word(rc), err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in),
        cmocka_unit_test(test_which_table),
        cmocka_unit_test(test_own_file),
    };
    return cmocka_run_group_tests_name("prices", tests, NULL, NULL);
}
