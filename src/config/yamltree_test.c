#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "config/yamltree.h"

static enum hf_code parse(struct hf_arena *a, const char *text, struct hf_yaml **out,
                          struct hf_err *err)
{
    return hf_yaml_parse(a, "f", text, strlen(text), out, err);
}

static void test_positions(void **state)
{
    (void)state;
    struct hf_arena *a = hf_arena_new(256);
    struct hf_yaml *n = NULL;
    assert_int_equal(parse(a, "# c\na:\n  - x: '1'\n    y: ~\n", &n, NULL), HF_OK);
    const struct hf_yaml *item = hf_yaml_get(n, "a")->items[0];
    const struct hf_yaml *x = hf_yaml_get(item, "x");
    assert_int_equal(item->line, 3);
    assert_int_equal(item->column, 5);
    assert_int_equal(x->column, 8);
    assert_int_equal(x->kind, HF_YAML_TEXT);
    assert_int_equal(hf_yaml_get(item, "y")->kind, HF_YAML_NULL);
    assert_null(hf_yaml_get(item, "z"));
    assert_null(hf_yaml_get(x, "z"));
    hf_arena_free(a);
}

static void test_empty(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n", "# only\n", "---\n", "~"};
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++) {
        struct hf_arena *a = hf_arena_new(256);
        struct hf_yaml *n = NULL;
        assert_int_equal(parse(a, texts[i], &n, NULL), HF_OK);
        assert_int_equal(n->kind, HF_YAML_NULL);
        hf_arena_free(a);
    }
}

static void test_merge(void **state)
{
    (void)state;
    struct hf_arena *a = hf_arena_new(256);
    struct hf_yaml *n = NULL;
    assert_int_equal(parse(a,
                           "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\n"
                           "c: {<<: [*a, *b], x: 0}\nd: *a\n",
                           &n, NULL),
                     HF_OK);
    const struct hf_yaml *c = hf_yaml_get(n, "c");
    assert_int_equal(c->n, 3);
    assert_string_equal(hf_yaml_get(c, "x")->text, "0"); /* its own wins */
    assert_string_equal(hf_yaml_get(c, "y")->text, "1"); /* then the first of the list */
    assert_string_equal(hf_yaml_get(c, "z")->text, "2");
    assert_ptr_equal(hf_yaml_get(n, "d"), hf_yaml_get(n, "a")); /* nothing is copied */
    hf_arena_free(a);
}

struct bad_row {
    const char *text;
    const char *want;
};

static void test_refused(void **state)
{
    (void)state;
    static const struct bad_row rows[] = {
        {"a: 1\nb: {a: 1, a: 2}", "f:2:11: a is here a second time (first on line 2)"},
        {"a: *x", "f:1:4: no anchor stands before the alias *x"},
        {"a: &x [*x]", "f:1:8: no anchor stands before the alias *x"},
        {"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "f:1:17: nested too deeply"},
        {"{[a]: 1}", "f:1:2: a key must be plain text"},
        {"~: 1", "f:1:1: a key must be plain text"},
        {"a: {<<: 3}", "f:1:10: << needs a mapping"},
        {"a: \"\xff\"", "f: byte 4: invalid leading UTF-8 octet"},
        {"a: 'x", "f:1:6: found unexpected end of stream"},
        {"\tx: 1", "f:1:1: found character that cannot start any token"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_arena *a = hf_arena_new(256);
        struct hf_yaml *n = NULL;
        struct hf_err err = HF_ERR_INIT;
        assert_int_equal(parse(a, rows[i].text, &n, &err), HF_E_INVALID);
        if (strcmp(err.text, rows[i].want) != 0)
            fail_msg("row %zu: got %s", i, err.text);
        hf_arena_free(a);
    }
}

/* Nine lines of nine aliases each stand for 9^9 values: refused before anybody walks them. */
static void test_alias_bomb(void **state)
{
    (void)state;
    struct hf_buf b;
    struct hf_err err = HF_ERR_INIT;
    hf_buf_init(&b, 10000);
    assert_int_equal(hf_buf_appendf(&b, NULL, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"), HF_OK);
    for (int i = 1; i < 9; i++) {
        assert_int_equal(hf_buf_appendf(&b, NULL, "a%d: &a%d [", i, i), HF_OK);
        for (int k = 0; k < 9; k++)
            assert_int_equal(hf_buf_appendf(&b, NULL, "%s*a%d", k ? "," : "", i - 1), HF_OK);
        assert_int_equal(hf_buf_appendf(&b, NULL, "]\n"), HF_OK);
    }
    struct hf_arena *a = hf_arena_new(256);
    struct hf_yaml *n = NULL;
    assert_int_equal(hf_yaml_parse(a, "f", hf_buf_str(&b), b.len, &n, &err), HF_E_INVALID);
    assert_non_null(strstr(err.text, "aliases repeat more than 2,000,000 values"));
    hf_arena_free(a);
    hf_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_positions),  cmocka_unit_test(test_empty),
        cmocka_unit_test(test_merge),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_alias_bomb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
