/*
 * When to try again, and whose an object is: the pure parts of what network stores share.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "store/httpstore.h"
#include "store/retry.h"

static void test_waits(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        unsigned tries;
        int64_t after_ms;
        uint64_t elapsed_ms;
        uint64_t random;
        bool again;
        uint64_t wait_ms;
    } rows[] = {
        {"first failure: up to twice the base", 0, -1, 0, 400, true, 400},
        {"full jitter reaches zero", 0, -1, 0, 401, true, 0},
        {"the second grows", 1, -1, 0, 800, true, 800},
        {"the server's wish is the least", 0, 3000, 0, 10, true, 3000},
        {"a wish of nothing", 0, 0, 0, 10, true, 10},
        {"the last try", HF_RETRY_TRIES - 1, -1, 0, 1, false, 0},
        {"a wish beyond our time", 0, HF_RETRY_TOTAL_MS + 1, 0, 1, false, 0},
        {"our time is over", 1, -1, HF_RETRY_TOTAL_MS + 1, 0, false, 0},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_retry r = {rows[i].tries, 1000};
        uint64_t wait = 0;
        bool again =
            hf_retry_next(&r, rows[i].after_ms, rows[i].random, 1000 + rows[i].elapsed_ms, &wait);
        if (again != rows[i].again || wait != rows[i].wait_ms)
            fail_msg("%s: %d %llu", rows[i].why, again, (unsigned long long)wait);
    }
    struct hf_retry r = {0};
    uint64_t wait = 0;
    for (uint64_t n = 0; hf_retry_next(&r, -1, UINT64_MAX - n, 5000, &wait); n++)
        assert_in_range(wait, 0, HF_RETRY_CAP_MS);
    assert_int_equal(r.tries, HF_RETRY_TRIES);
}

static void test_retry_after(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int64_t want;
    } rows[] = {
        {NULL, -1},
        {"0", 0},
        {"120", 120000},
        {"-1", -1},
        {"soon", -1},
        {"99999999999", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 7000},
        {"Sun, 06 Nov 1994 08:49:00 GMT", 0},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        int64_t got = hf_retry_after_ms(rows[i].value, 784111770000);
        if (got != rows[i].want)
            fail_msg("%s: %lld", rows[i].value ? rows[i].value : "none", (long long)got);
    }
}

static void test_attempts(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct hf_attempt t;
        bool again;
        bool is_unknown;
    } rows[] = {
        {"done", {.rc = HF_OK, .status = 201, .was_sent = true}, false, false},
        {"an answer that is final", {.rc = HF_OK, .status = 409, .was_sent = true}, false, false},
        {"never connected", {.rc = HF_E_IO}, true, false},
        {"lost answer", {.rc = HF_E_IO, .was_sent = true}, true, true},
        {"timed out", {.rc = HF_E_TIMEOUT, .was_sent = true}, true, true},
        {"failed behind the request", {.rc = HF_OK, .status = 500, .was_sent = true}, true, true},
        {"busy, perhaps only on the way back",
         {.rc = HF_OK, .status = 503, .was_sent = true},
         true,
         true},
        {"too many requests: not done",
         {.rc = HF_OK, .status = 429, .was_sent = true},
         true,
         false},
        {"stale connection", {.rc = HF_E_IO, .was_sent = true, .is_stale = true}, true, true},
        {"not trusted", {.rc = HF_E_DENIED}, false, false},
        {"stopped", {.rc = HF_E_CANCELED, .was_sent = true}, false, false},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_attempts a = {0};
        bool again = hf_attempts_again(&a, rows[i].t);
        if (again != rows[i].again || a.is_unknown != rows[i].is_unknown)
            fail_msg("%s: %d %d", rows[i].why, again, a.is_unknown);
    }
}

struct there {
    enum hf_code rc;
    const char *nonce;
};

static enum hf_code read_there(void *arg, char out[HF_NONCE_TEXT], struct hf_err *err)
{
    const struct there *t = arg;
    if (t->rc != HF_OK)
        return hf_err_set(err, t->rc, "could not look");
    memcpy(out, t->nonce, strlen(t->nonce) + 1);
    return HF_OK;
}

#define OURS "00112233445566778899aabbccddeeff"
#define OTHER "ff112233445566778899aabbccddeeff"

static void test_unknown(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        enum hf_code rc;
        struct there there;
        enum hf_code want;
    } rows[] = {
        {"the retry met our own object", HF_E_EXISTS, {HF_OK, OURS}, HF_OK},
        {"the answer was lost, the object is ours", HF_E_IO, {HF_OK, OURS}, HF_OK},
        {"somebody else was first", HF_E_EXISTS, {HF_OK, OTHER}, HF_E_EXISTS},
        {"lost, and somebody else's", HF_E_TIMEOUT, {HF_OK, OTHER}, HF_E_EXISTS},
        {"an object without a nonce: Litestream's", HF_E_EXISTS, {HF_OK, ""}, HF_E_EXISTS},
        {"lost, and nothing there", HF_E_IO, {HF_E_NOT_FOUND, ""}, HF_E_IO},
        {"lost, and can't look", HF_E_IO, {HF_E_TIMEOUT, ""}, HF_E_IO},
        {"taken, and can't look: no conflict yet", HF_E_EXISTS, {HF_E_TIMEOUT, ""}, HF_E_TIMEOUT},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_err err = HF_ERR_INIT;
        struct there t = rows[i].there;
        hf_err_set(&err, rows[i].rc, "put");
        enum hf_code rc = hf_unknown_resolve(rows[i].rc, OURS, read_there, &t, &err);
        if (rc != rows[i].want || (rc != HF_OK && err.code != rc))
            fail_msg("%s: %d, text of %d", rows[i].why, (int)rc, (int)err.code);
    }
    char a[HF_NONCE_TEXT];
    char b[HF_NONCE_TEXT];
    hf_nonce_make(a);
    hf_nonce_make(b);
    assert_int_equal(strlen(a), HF_NONCE_TEXT - 1);
    assert_string_not_equal(a, b);
}

static void test_budget(void **state)
{
    (void)state;
    struct hf_budget b;
    hf_budget_init(&b, 100, 1000);
    uint64_t begun = hf_clock_mono_ms();
    for (int i = 0; i < 45; i++) { /* a quarter of a second is credit, the rest waits */
        hf_budget_take(&b, 10);
        hf_budget_give(&b, 10);
    }
    assert_true(hf_clock_mono_ms() - begun >= 150);
    hf_budget_take(&b, 5000); /* more than all of it: when it is alone */
    hf_budget_give(&b, 5000);
    hf_budget_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits),    cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_attempts), cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
