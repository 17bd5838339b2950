#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/suggest.h"

static void test_distance(void **state)
{
    (void)state;
    assert_int_equal(hf_edit_distance("", ""), 0);
    assert_int_equal(hf_edit_distance("abc", ""), 3);
    assert_int_equal(hf_edit_distance("", "abc"), 3);
    assert_int_equal(hf_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(hf_edit_distance("pahts", "paths"), 1); /* a swap is one mistake */
    assert_int_equal(hf_edit_distance("sync-interval", "sync-intervall"), 1);
}

struct row {
    const char *word;
    const char *want; /* NULL: nothing */
    const char *why;
};

static void test_suggest(void **state)
{
    (void)state;
    static const char *const words[] = {"path", "pattern", "sync-interval", "snapshot", "url"};
    static const struct row rows[] = {
        {"pth", "path", "a letter missing"},
        {"paht", "path", "swap"},
        {"sync_interval", "sync-interval", "wrong joiner"},
        {"syncinterval", "sync-interval", "joiner missing"},
        {"snapshots", "snapshot", "plural"},
        {"uri", "url", "one letter of three"},
        {"xyz", NULL, "nothing near"},
        {"a-very-long-word-that-is-longer-than-the-limit", NULL, "too long to compare"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_suggest s;
        hf_suggest_init(&s, rows[i].word);
        for (size_t k = 0; k < HF_ARRAY_LEN(words); k++)
            hf_suggest_offer(&s, words[k]);
        bool same = s.best == rows[i].want ||
                    (s.best != NULL && rows[i].want != NULL && strcmp(s.best, rows[i].want) == 0);
        if (!same)
            fail_msg("%s (%s): got %s", rows[i].word, rows[i].why, s.best ? s.best : "nothing");
    }
}

static void test_arena(void **state)
{
    (void)state;
    struct hf_arena *a = hf_arena_new(64);
    char *first = hf_arena_strdup(a, "first");
    for (int i = 0; i < 1000; i++) {
        uint8_t *p = hf_arena_alloc(a, (size_t)i, 7);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (int k = 0; k < i * 7; k++)
            assert_int_equal(p[k], 0);
        memset(p, 0xff, (size_t)i * 7); /* a piece that overlaps another shows in the next round */
    }
    assert_string_equal(hf_arena_printf(a, "%s-%d", "x", 7), "x-7");
    assert_string_equal(first, "first");
    assert_non_null(hf_arena_alloc(a, 1, 1 << 20)); /* larger than any block */
    hf_arena_free(a);
    hf_arena_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_suggest),
        cmocka_unit_test(test_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
