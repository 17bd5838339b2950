#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "codec/jsonscan.h"

struct row {
    const char *text;
    bool is_good;
    const char *why;
};

static void test_syntax(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{}", true, "empty object"},
        {" [ ] ", true, "blanks"},
        {"\"a\"", true, "a text"},
        {"-0.5e+10", true, "a number"},
        {"{\"a\":[1,{\"b\":null}],\"c\":true}", true, "nesting"},
        {"[[],{},[[]],{\"a\":{}}]", true, "empty brackets inside"},
        {"\"\\u00e9\\n\\ud83d\\ude00\"", true, "escapes"},
        {"\"\xc3\xa9\xf0\x9f\x98\x80\"", true, "UTF-8"},
        {"", false, "nothing"},
        {" ", false, "blanks only"},
        {"{", false, "open"},
        {"[1", false, "open array"},
        {"[1,]", false, "comma at the end"},
        {"{\"a\":1,}", false, "comma at the end of an object"},
        {"{,}", false, "comma first"},
        {"{a:1}", false, "bare key"},
        {"{\"a\" 1}", false, "no colon"},
        {"{\"a\":}", false, "no value"},
        {"[1 2]", false, "no comma"},
        {"[1}", false, "wrong bracket"},
        {"{}}", false, "one too many"},
        {"{} {}", false, "two values"},
        {"01", false, "leading zero"},
        {"1.", false, "no digit behind the point"},
        {"1e", false, "no exponent"},
        {"+1", false, "plus"},
        {"-", false, "only a minus"},
        {"NaN", false, "not a number"},
        {"tru", false, "cut word"},
        {"'a'", false, "single quotes"},
        {"\"a", false, "open text"},
        {"\"\\", false, "cut escape"},
        {"\"\\x\"", false, "unknown escape"},
        {"\"\\u12g4\"", false, "bad hex"},
        {"\"\\u12\"", false, "short hex"},
        {"\"a\nb\"", false, "line end in a text"},
        {"\"\xff\"", false, "not UTF-8"},
        {"\"\xc0\xaf\"", false, "overlong UTF-8"},
        {"\"\xed\xa0\x80\"", false, "a surrogate in UTF-8"},
        {"\"1234567\xe2\x82\"", false, "UTF-8 cut by the quote"},
        {"[\"0123456789abcdef\x01\"]", false, "a control character behind plain text"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_jsonscan_value v;
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = hf_jsonscan_value(rows[i].text, strlen(rows[i].text), &v, &err);
        if ((rc == HF_OK) != rows[i].is_good)
            fail_msg("%s (%s): %d %s", rows[i].text, rows[i].why, rc, err.text);
        if (rc != HF_OK)
            assert_non_null(strstr(err.text, "JSON, byte"));
    }
}

/* Whatever the scanner accepts, the tree parser accepts too (but for duplicates and surrogates). */
static void test_same_as_tree(void **state)
{
    (void)state;
    static const char good[] =
        "{\"m\":\"x\\u0041\",\"a\":[1,-2.5e3,true,false,null,{\"k\":[]}],\"t\":\"\xc3\xa9\"}";
    char text[sizeof(good)];
    struct hf_jsonscan_value v;
    static const char swaps[] = "{}[],:\"\\1ae.-\x01\xff ";
    for (size_t at = 0; at < sizeof(good) - 1; at++) {
        for (size_t s = 0; s < sizeof(swaps) - 1; s++) {
            memcpy(text, good, sizeof(good));
            text[at] = swaps[s];
            bool mine = hf_jsonscan_value(text, sizeof(good) - 1, &v, NULL) == HF_OK;
            bool tree = hf_json_check(text, sizeof(good) - 1, NULL) == HF_OK;
            if (tree && !mine)
                fail_msg("refused: %s", text);
            if (mine && !tree && strstr(text, "\\u") != NULL)
                continue;
            if (mine != tree)
                fail_msg("byte %zu: mine %d, tree %d: %s", at, mine, tree, text);
        }
    }
}

static void test_depth(void **state)
{
    (void)state;
    char text[2 * HF_JSONSCAN_DEPTH + 4];
    struct hf_jsonscan_value v;
    memset(text, '[', HF_JSONSCAN_DEPTH);
    memset(text + HF_JSONSCAN_DEPTH, ']', HF_JSONSCAN_DEPTH);
    assert_int_equal(hf_jsonscan_value(text, (size_t)2 * HF_JSONSCAN_DEPTH, &v, NULL), HF_OK);
    memset(text, '[', HF_JSONSCAN_DEPTH + 1);
    memset(text + HF_JSONSCAN_DEPTH + 1, ']', HF_JSONSCAN_DEPTH + 1);
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_jsonscan_value(text, (size_t)2 * HF_JSONSCAN_DEPTH + 2, &v, &err),
                     HF_E_INVALID);
    assert_non_null(strstr(err.text, "too deep"));
}

static void test_find(void **state)
{
    (void)state;
    static const char *const keys[] = {"model", "stream", "none"};
    static const char text[] = " { \"x\" : {\"model\":1} , \"mod\\u0065l\" : \"a\\\"b\" ,\n"
                               "\"stream\":false}\n";
    struct hf_jsonscan_value v[3];
    char model[8];
    assert_int_equal(hf_jsonscan_find(text, strlen(text), keys, 3, v, NULL), HF_OK);
    assert_int_equal(v[0].kind, HF_JSON_STRING);
    assert_int_equal(v[0].len, 6);
    assert_int_equal(hf_jsonscan_str(&v[0], model, sizeof(model), NULL), HF_OK);
    assert_string_equal(model, "a\"b");
    assert_int_equal(v[1].kind, HF_JSON_FALSE);
    assert_int_equal(v[2].kind, HF_JSON_ABSENT);
}

/* Two servers may take different ones of two equal keys: such a body is refused. */
static void test_find_twice(void **state)
{
    (void)state;
    static const char *const keys[] = {"model"};
    static const char text[] = "{\"model\":\"a\",\"m\\u006fdel\":\"b\"}";
    struct hf_jsonscan_value v[1] = {{HF_JSON_NULL, NULL, 0}};
    assert_int_equal(hf_jsonscan_find(text, strlen(text), keys, 1, v, NULL), HF_E_INVALID);
    assert_int_equal(v[0].kind, HF_JSON_NULL);
    assert_int_equal(hf_jsonscan_find("[]", 2, keys, 1, v, NULL), HF_E_INVALID);
    assert_int_equal(hf_jsonscan_find("{} x", 4, keys, 1, v, NULL), HF_E_INVALID);
}

/* A reader that does not look at case would take the other one: a key's scope must not depend on
 * it.
 */
static void test_find_alike(void **state)
{
    (void)state;
    static const char *const keys[] = {"model", "stream", "keep"};
    static const struct {
        const char *text;
        bool is_good;
    } rows[] = {
        {"{\"model\":\"a\",\"models\":1,\"mode\":2,\"\":3,\"mod\u00e9l\":4}", true},
        {"{\"model\":\"a\",\"x\":{\"Model\":1}}", true},
        {"{\"model\":\"a\",\"Model\":\"b\"}", false},
        {"{\"MODEL\":\"b\",\"model\":\"a\"}", false},
        {"{\"m\\u004fdel\":\"b\"}", false},
        {"{\"\xc5\xbftream\":true}", false},
        {"{\"\\u017fTREAM\":true}", false},
        {"{\"\xe2\x84\xaa"
         "eep\":1}",
         false},
        {"{\"model\\ud800\":1}", true},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_jsonscan_value v[3];
        size_t len = strlen(rows[i].text);
        assert_int_equal(hf_jsonscan_find(rows[i].text, len, keys, 3, v, NULL), HF_OK);
        if (hf_jsonscan_find_sure(rows[i].text, len, keys, 3, v, NULL) !=
            (rows[i].is_good ? HF_OK : HF_E_INVALID))
            fail_msg("%s", rows[i].text);
    }
}

static void test_walk(void **state)
{
    (void)state;
    static const char text[] = "[1, \"two\" ,[3],{\"k\":4}]";
    static const char *const want[] = {"1", "\"two\"", "[3]", "{\"k\":4}"};
    struct hf_jsonscan s;
    struct hf_jsonscan_value v;
    bool is_member = true;
    assert_int_equal(hf_jsonscan_open(&s, text, strlen(text), NULL), HF_OK);
    for (size_t i = 0; i < HF_ARRAY_LEN(want); i++) {
        assert_int_equal(hf_jsonscan_next(&s, NULL, &v, &is_member, NULL), HF_OK);
        assert_true(is_member);
        assert_int_equal(v.len, strlen(want[i]));
        assert_memory_equal(v.text, want[i], v.len);
    }
    assert_int_equal(hf_jsonscan_next(&s, NULL, &v, &is_member, NULL), HF_OK);
    assert_false(is_member);
}

static void test_strings(void **state)
{
    (void)state;
    char out[8];
    struct hf_jsonscan_value v;
    const char *text = "\"\\ud83d\\ude00\\t\"";
    assert_int_equal(hf_jsonscan_value(text, strlen(text), &v, NULL), HF_OK);
    assert_int_equal(hf_jsonscan_str(&v, out, sizeof(out), NULL), HF_OK);
    assert_string_equal(out, "\xf0\x9f\x98\x80\t");
    assert_int_equal(hf_jsonscan_str(&v, out, 5, NULL), HF_E_LIMIT);
    assert_true(hf_jsonscan_is(&v, "\xf0\x9f\x98\x80\t"));
    assert_false(hf_jsonscan_is(&v, "\xf0\x9f\x98\x80"));
    assert_false(hf_jsonscan_is(&v, "\xf0\x9f\x98\x80\tx"));
    static const char *const bad[] = {"\"\\ud83d\"", "\"\\ud83dx\"", "\"\\ude00\"",
                                      "\"\\ud83d\\u0041\"", "\"\\u0000\""};
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        assert_int_equal(hf_jsonscan_value(bad[i], strlen(bad[i]), &v, NULL), HF_OK);
        assert_int_equal(hf_jsonscan_str(&v, out, sizeof(out), NULL), HF_E_INVALID);
        assert_false(hf_jsonscan_is(&v, "x"));
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_good;
        int64_t want;
    } rows[] = {{"0", true, 0},
                {"-7", true, -7},
                {"9223372036854775807", true, INT64_MAX},
                {"-9223372036854775808", true, INT64_MIN},
                {"9223372036854775808", false, 0},
                {"1.0", false, 0},
                {"1e3", false, 0},
                {"\"1\"", false, 0}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_jsonscan_value v;
        int64_t n = 0;
        assert_int_equal(hf_jsonscan_value(rows[i].text, strlen(rows[i].text), &v, NULL), HF_OK);
        assert_int_equal(hf_jsonscan_i64(&v, &n), rows[i].is_good);
        assert_int_equal(n, rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syntax),     cmocka_unit_test(test_same_as_tree),
        cmocka_unit_test(test_depth),      cmocka_unit_test(test_find),
        cmocka_unit_test(test_find_twice), cmocka_unit_test(test_walk),
        cmocka_unit_test(test_strings),    cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_find_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
