#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/arena.h"
#include "gateway/keys.h"

static const char *scope[] = {"qwen*", "tier-1"};

/* printf %s third-key | sha256sum */
#define THIRD "c3459480502070372835c7c5cc038c81d457d1fe08de10d76fb5bbb4b7d6af8c"

static struct hf_config_gateway_key key_rows[] = {
    {.name = "kim", .key = "first-key"},
    {.name = "bot", .key = "second-key", .is_private = true, .priority = 1},
    {.name = "hashed", .sha256 = THIRD},
};
static const struct hf_config_gateway conf = {.keys = key_rows, .n_keys = 3};

static struct hf_gw_keys keys_of(struct hf_arena *arena)
{
    struct hf_gw_keys keys;
    key_rows[1].models = (struct hf_config_strings){scope, 2};
    assert_int_equal(hf_gw_keys_new(&conf, arena, &keys, NULL), HF_OK);
    return keys;
}

static void test_headers(void **state)
{
    static const struct {
        const char *why;
        const char *authorization;
        const char *api_key;
        const char *name; /* NULL: nobody */
    } rows[] = {
        {"nothing", NULL, NULL, NULL},
        {"bearer", "Bearer first-key", NULL, "kim"},
        {"any case of the scheme", "bearer  first-key", NULL, "kim"},
        {"x-api-key", NULL, "second-key", "bot"},
        {"basic, as a URL with a password makes it", "Basic b2xsYW1hOmZpcnN0LWtleQ==", NULL, "kim"},
        {"both, and the first is somebody else's", "Bearer other", "second-key", "bot"},
        {"known by its hash", "Bearer third-key", NULL, "hashed"},
        {"the hash is no key", "Bearer " THIRD, NULL, NULL},
        {"the beginning of a key", "Bearer first-ke", NULL, NULL},
        {"more than a key", "Bearer first-key2", NULL, NULL},
        {"case of the key", "Bearer First-key", NULL, NULL},
        {"empty", "Bearer ", "", NULL},
        {"no scheme", "first-key", NULL, NULL},
        {"base64 that is none", "Basic ***", NULL, NULL},
        {"basic without a colon", "Basic Zmlyc3Qta2V5", NULL, NULL},
    };
    struct hf_arena *arena = hf_arena_new(1024);
    struct hf_gw_keys keys = keys_of(arena);
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        const struct hf_gw_key *k = hf_gw_key_of(&keys, rows[i].authorization, rows[i].api_key);
        const char *name = k == NULL ? NULL : k->name;
        if ((name == NULL) != (rows[i].name == NULL) ||
            (name != NULL && strcmp(name, rows[i].name) != 0))
            fail_msg("%s: %s", rows[i].why, name == NULL ? "nobody" : name);
    }
    hf_arena_free(arena);
}

static void test_scope(void **state)
{
    struct hf_arena *arena = hf_arena_new(1024);
    struct hf_gw_keys keys = keys_of(arena);
    const struct hf_gw_key *bot = &keys.list[1];
    (void)state;
    assert_true(hf_gw_key_may_ask(&keys.list[0], "anything"));
    assert_true(hf_gw_key_may_ask(bot, "Qwen3:32b"));
    assert_true(hf_gw_key_may_ask(bot, "tier-1:latest"));
    assert_false(hf_gw_key_may_ask(bot, "tier-2"));
    assert_true(bot->is_private && bot->is_batch && !bot->is_admin);
    assert_false(hf_gw_keys_have_admin(&keys));
    hf_arena_free(arena);
}

static void test_what_cannot_be(void **state)
{
    static struct hf_config_gateway_key bad[][2] = {
        {{.name = "a", .key = "k"}, {.name = "a", .key = "l"}},
        {{.name = "a", .key = "k"}, {.name = "b", .key = "k"}},
        {{.name = "a", .sha256 = "12"}, {.name = "b", .key = "k"}},
        {{.name = "a", .sha256 = THIRD "0"}, {.name = "b", .key = "k"}},
        {{.name = "a", .key = ""}, {.name = "b", .key = "k"}},
        {{.name = "a", .key_file = "/nonexistent/key"}, {.name = "b", .key = "k"}},
    };
    struct hf_arena *arena = hf_arena_new(1024);
    struct hf_gw_keys keys;
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        struct hf_config_gateway c = {.keys = bad[i], .n_keys = 2};
        struct hf_err err = HF_ERR_INIT;
        assert_int_not_equal(hf_gw_keys_new(&c, arena, &keys, &err), HF_OK);
        assert_non_null(strstr(err.text, "gateway key"));
    }
    hf_arena_free(arena);
}

static void test_glob(void **state)
{
    static const struct {
        const char *pattern;
        const char *text;
        bool is_it;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "abc", true},
        {"a*c", "abbc", true},
        {"a*c", "abcd", false},
        {"*ab*ab", "xabab", true},
        {"?", "", false},
        {"a?c", "aBC", true},
        {"**a", "bba", true},
        {"a*b*c", "a-b-b-c", true},
        {"abc", "ab", false},
    };
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        if (hf_gw_glob(rows[i].pattern, rows[i].text) != rows[i].is_it)
            fail_msg("%s %s", rows[i].pattern, rows[i].text);
    }
}

static void test_rate(void **state)
{
    struct hf_gw_rate r = {0};
    uint64_t wait_ms = 0;
    uint64_t now_ms = 1000000;
    (void)state;
    for (int i = 0; i < 6; i++)
        assert_true(hf_gw_rate_take(&r, 6, now_ms, &wait_ms));
    assert_false(hf_gw_rate_take(&r, 6, now_ms, &wait_ms));
    assert_int_equal(wait_ms, 10000);
    assert_false(hf_gw_rate_take(&r, 6, now_ms + 9999, &wait_ms));
    assert_true(hf_gw_rate_take(&r, 6, now_ms + 10000, &wait_ms));
    assert_false(hf_gw_rate_take(&r, 6, now_ms + 10001, &wait_ms));
    now_ms += 1000000; /* a long rest gives a minute's worth, not more */
    int n = 0;
    while (hf_gw_rate_take(&r, 6, now_ms, &wait_ms))
        n++;
    assert_int_equal(n, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),        cmocka_unit_test(test_scope),
        cmocka_unit_test(test_what_cannot_be), cmocka_unit_test(test_glob),
        cmocka_unit_test(test_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
