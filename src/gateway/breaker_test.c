/*
 * The breaker: what opens it, how long, and what closes it again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/breaker.h"

static void fail_times(struct hf_breaker *b, int n, uint64_t now)
{
    for (int i = 0; i < n; i++)
        hf_breaker_result(b, false, now, 0);
}

static void test_five_in_a_row(void **state)
{
    struct hf_breaker b = {0};
    (void)state;
    for (int i = 0; i < 20; i++)
        hf_breaker_result(&b, true, 0, 0);
    fail_times(&b, 4, 1);
    assert_true(hf_breaker_allows(&b, 1));
    assert_true(hf_breaker_result(&b, false, 1, 0));
    assert_false(hf_breaker_allows(&b, 1));
    assert_false(hf_breaker_allows(&b, 1 + HF_BREAKER_OPEN_MS * 4 / 5 - 1));
    assert_true(hf_breaker_allows(&b, 1 + HF_BREAKER_OPEN_MS * 4 / 5));
}

static void test_half_of_a_minute(void **state)
{
    struct hf_breaker b = {0};
    (void)state;
    for (int i = 0; i < 2; i++) {
        hf_breaker_result(&b, false, 10, 0);
        hf_breaker_result(&b, true, 10, 0);
    }
    assert_int_equal(b.state, HF_BREAKER_CLOSED);
    hf_breaker_result(&b, false, 10, 0);
    assert_int_equal(b.state, HF_BREAKER_OPEN);
    /* Spread over more than a minute the same is no reason. */
    struct hf_breaker slow = {0};
    for (uint64_t i = 0; i < 20; i++)
        hf_breaker_result(&slow, i % 2 == 0, i * 40000, 0);
    assert_int_equal(slow.state, HF_BREAKER_CLOSED);
}

static void test_half_open(void **state)
{
    struct hf_breaker b = {0};
    (void)state;
    fail_times(&b, 5, 0);
    uint64_t first = b.until_ms;
    assert_true(hf_breaker_allows(&b, first));
    hf_breaker_sent(&b);
    assert_false(hf_breaker_allows(&b, first)); /* one at a time */
    hf_breaker_dropped(&b);
    assert_true(hf_breaker_allows(&b, first));
    hf_breaker_sent(&b);
    hf_breaker_result(&b, false, first, 0);
    assert_int_equal(b.state, HF_BREAKER_OPEN);
    assert_int_equal(b.until_ms - first, first * 2); /* a second failure lengthens it */
    uint64_t second = b.until_ms;
    assert_true(hf_breaker_allows(&b, second));
    hf_breaker_result(&b, true, second, 0);
    assert_int_equal(b.state, HF_BREAKER_HALF_OPEN);
    hf_breaker_result(&b, true, second, 0);
    assert_int_equal(b.state, HF_BREAKER_CLOSED);
}

static void test_longest_and_hold(void **state)
{
    struct hf_breaker b = {0};
    uint64_t now = 0;
    (void)state;
    for (int i = 0; i < 20; i++) {
        fail_times(&b, 5, now);
        assert_true(b.until_ms - now <= HF_BREAKER_OPEN_MAX * 6 / 5);
        now = b.until_ms;
        assert_true(hf_breaker_allows(&b, now));
    }
    hf_breaker_hold(&b, now + 60000);
    assert_false(hf_breaker_allows(&b, now + 59999));
    assert_true(hf_breaker_allows(&b, now + 60000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_five_in_a_row),
        cmocka_unit_test(test_half_of_a_minute),
        cmocka_unit_test(test_half_open),
        cmocka_unit_test(test_longest_and_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
