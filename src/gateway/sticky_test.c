/* The table of conversations: bounded, expires, forgets a host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/sticky.h"

static struct hf_sticky table;

static int empty(void **state)
{
    (void)state;
    memset(&table, 0, sizeof(table));
    return 0;
}

static void test_keys(void **state)
{
    char a[HF_STICKY_PREFIX * 2];
    char b[HF_STICKY_PREFIX * 2];
    (void)state;
    memset(a, 'x', sizeof(a));
    memset(b, 'x', sizeof(b));
    b[HF_STICKY_PREFIX] = 'y'; /* behind the prefix: the same conversation, later */
    assert_true(hf_sticky_key("m", a, sizeof(a)) == hf_sticky_key("m", b, sizeof(b)));
    b[HF_STICKY_PREFIX - 1] = 'y';
    assert_true(hf_sticky_key("m", a, sizeof(a)) != hf_sticky_key("m", b, sizeof(b)));
    assert_true(hf_sticky_key("m", "n", 1) != hf_sticky_key("mn", "", 0));
}

static void test_expiry_slides(void **state)
{
    (void)state;
    hf_sticky_put(&table, 7, 3, 1000);
    assert_int_equal(hf_sticky_get(&table, 7, 1000 + HF_STICKY_MS - 1), 3);
    assert_int_equal(hf_sticky_get(&table, 7, 1000 + HF_STICKY_MS), HF_STICKY_NONE);
    hf_sticky_put(&table, 7, 4, 2000);
    assert_int_equal(hf_sticky_get(&table, 7, 1000 + HF_STICKY_MS), 4);
    assert_int_equal(hf_sticky_get(&table, 8, 2000), HF_STICKY_NONE);
    assert_int_equal(hf_sticky_get(&table, 0, 2000), HF_STICKY_NONE);
}

static void test_a_host_that_falls_is_forgotten(void **state)
{
    (void)state;
    for (uint64_t k = 1; k <= 100; k++)
        hf_sticky_put(&table, k, (uint32_t)(k % 2), 1000);
    hf_sticky_drop(&table, 1);
    for (uint64_t k = 1; k <= 100; k++)
        assert_int_equal(hf_sticky_get(&table, k, 1000), k % 2 == 1 ? HF_STICKY_NONE : 0);
}

static void test_the_newest_stay_when_it_is_full(void **state)
{
    size_t n_old = 0;
    size_t n_new = 0;
    (void)state;
    for (uint64_t k = 1; k <= 20000; k++)
        hf_sticky_put(&table, hf_sticky_key("m", (const char *)&k, sizeof(k)), 5, 1000 + k);
    for (uint64_t k = 1; k <= 20000; k++) {
        uint64_t key = hf_sticky_key("m", (const char *)&k, sizeof(k));
        bool is_there = hf_sticky_get(&table, key, 30000) == 5;
        n_old += k <= 10000 && is_there;
        n_new += k > 19000 && is_there;
    }
    assert_int_equal(n_old, 0);
    assert_true(n_new > 990);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_keys, empty),
        cmocka_unit_test_setup(test_expiry_slides, empty),
        cmocka_unit_test_setup(test_a_host_that_falls_is_forgotten, empty),
        cmocka_unit_test_setup(test_the_newest_stay_when_it_is_full, empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
