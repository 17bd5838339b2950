#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/jsonread.h"
#include "base/mem.h"

static void test_shape(void **state)
{
    (void)state;
    struct hf_buf b;
    struct hf_json j;
    hf_buf_init(&b, 4096);
    hf_json_init(&j, &b, false);
    hf_json_object_begin(&j);
    hf_json_kstr(&j, "a", "x");
    hf_json_key(&j, "list");
    hf_json_array_begin(&j);
    hf_json_i64(&j, INT64_MIN);
    hf_json_u64(&j, UINT64_MAX);
    hf_json_dbl(&j, NAN);
    hf_json_object_begin(&j);
    hf_json_object_end(&j);
    hf_json_array_end(&j);
    hf_json_kbool(&j, "b", true);
    hf_json_kstr(&j, "n", NULL);
    hf_json_ktxid(&j, "t", 26);
    hf_json_object_end(&j);
    assert_int_equal(hf_json_end(&j, NULL), HF_OK);
    assert_string_equal(hf_buf_str(&b),
                        "{\"a\":\"x\",\"list\":[-9223372036854775808,18446744073709551615,null,{}],"
                        "\"b\":true,\"n\":null,\"t\":\"000000000000001a\"}");
    hf_buf_deinit(&b);
}

/* Whatever bytes come in (file names!), what goes out is JSON that a strict reader takes. */
static void test_any_bytes(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\x01\x1f\"\\/\n\r\t",
        "\xc3\xa6\xe2\x82\xac\xf0\x9f\x98\x80",
        "\xff\xfe",
        "\xc0\xaf",
        "\xed\xa0\x80",
        "\xe2\x82",
        "\xf5\x80\x80\x80",
        "cut\xc3",
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++) {
        struct hf_buf b;
        struct hf_json j;
        hf_buf_init(&b, 4096);
        hf_json_init(&j, &b, true);
        hf_json_array_begin(&j);
        hf_json_str(&j, texts[i]);
        hf_json_array_end(&j);
        assert_int_equal(hf_json_end(&j, NULL), HF_OK);
        json_t *back = json_loads(hf_buf_str(&b), JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(back);
        if (i < 2) /* valid text comes back as it was */
            assert_string_equal(json_string_value(json_array_get(back, 0)), texts[i]);
        json_decref(back);
        hf_buf_deinit(&b);
    }
}

static void test_limit(void **state)
{
    (void)state;
    struct hf_buf b;
    struct hf_json j;
    hf_buf_init(&b, 5);
    hf_json_init(&j, &b, false);
    hf_json_array_begin(&j);
    hf_json_str(&j, "more than five");
    hf_json_array_end(&j);
    assert_int_equal(hf_json_end(&j, NULL), HF_E_LIMIT);
    hf_buf_deinit(&b);
}

static void test_check(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_json_check("{\"a\": [1, 2]}", 13, &err), HF_OK);
    assert_int_equal(hf_json_check("{\"a\":1,\"a\":2}", 13, &err), HF_E_INVALID);
    assert_int_equal(hf_json_check("{\"a\":1}x", 8, &err), HF_E_INVALID);
    assert_int_equal(strncmp(err.text, "line 1, column", 14), 0);
}

static void test_member(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want; /* NULL: code */
        enum hf_code code;
    } rows[] = {
        {"{\"a\":\"x\\ny\"}", "x\ny", HF_OK},
        {"{\"b\":1,\"a\":3599}", "3599", HF_OK},
        {"{\"a\":\"\"}", "", HF_OK},
        {"{\"b\":1}", NULL, HF_E_NOT_FOUND},
        {"{\"a\":{}}", NULL, HF_E_NOT_FOUND},
        {"{\"a\":1.5}", NULL, HF_E_NOT_FOUND},
        {"{\"a\":1,\"a\":2}", NULL, HF_E_INVALID},
        {"[\"a\"]", NULL, HF_E_INVALID},
        {"{\"a\":1} x", NULL, HF_E_INVALID},
        {"", NULL, HF_E_INVALID},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char *got = NULL;
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = hf_json_member(rows[i].text, strlen(rows[i].text), "a", &got, &err);
        if (rc != rows[i].code || (rows[i].want && strcmp(got, rows[i].want) != 0))
            fail_msg("%s: %d %s", rows[i].text, (int)rc, got ? got : "-");
        hf_free(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_member),    cmocka_unit_test(test_shape),
        cmocka_unit_test(test_any_bytes), cmocka_unit_test(test_limit),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
