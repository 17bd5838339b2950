/*
 * What is kept is what was put, by replica, TXIDs and size; bounded, the oldest goes first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "replica/kept.h"

enum { SIZE = 1000, MAX = 10 * SIZE };

static void put(struct hf_kept *k, struct hf_kept_list *list, uint64_t txid, uint8_t fill)
{
    uint8_t data[SIZE];
    struct hf_ltx_info info = {.min_txid = txid, .max_txid = txid, .size = SIZE};
    memset(data, fill, SIZE);
    hf_kept_add(k, list, &info, data, SIZE);
}

/* The byte it is filled with; -1: not kept. */
static int get(struct hf_kept *k, struct hf_kept_list *list, uint64_t txid, uint64_t size)
{
    struct hf_ltx_info info = {.min_txid = txid, .max_txid = txid, .size = size};
    HF_AUTO_FREE uint8_t *copy = hf_kept_copy(k, list, &info);
    if (copy == NULL)
        return -1;
    for (size_t i = 1; i < SIZE; i++)
        assert_int_equal(copy[i], copy[0]);
    return copy[0];
}

static void test_kept(void **state)
{
    (void)state;
    struct hf_kept *k = hf_kept_new(MAX);
    struct hf_kept_list a = {0};
    struct hf_kept_list b = {0};
    for (uint64_t txid = 1; txid <= 5; txid++) {
        put(k, &a, txid, (uint8_t)txid);
        put(k, &b, txid, (uint8_t)(100 + txid));
    }
    assert_int_equal(get(k, &a, 3, SIZE), 3);
    assert_int_equal(get(k, &b, 3, SIZE), 103);
    assert_int_equal(get(k, &a, 3, SIZE + 1), -1); /* somebody else's */
    assert_int_equal(get(k, &a, 6, SIZE), -1);

    put(k, &a, 6, 6); /* the eleventh */
    assert_int_equal(get(k, &a, 1, SIZE), -1);
    assert_int_equal(get(k, &b, 1, SIZE), 101);
    hf_kept_forget(k, &b, 4);
    assert_int_equal(get(k, &b, 4, SIZE), -1);
    assert_int_equal(get(k, &b, 5, SIZE), 105);
    assert_int_equal(get(k, &a, 2, SIZE), 2);
    for (uint64_t txid = 7; txid < 100; txid++)
        put(k, &a, txid, (uint8_t)txid);
    assert_int_equal(get(k, &b, 5, SIZE), -1);
    assert_int_equal(get(k, &a, 99, SIZE), 99);
    hf_kept_forget(k, &a, UINT64_MAX);
    hf_kept_forget(k, &b, UINT64_MAX);
    hf_kept_free(k);
}

static void test_large(void **state)
{
    (void)state;
    struct hf_kept *k = hf_kept_new(HF_LIMIT_KEPT);
    struct hf_kept_list a = {0};
    struct hf_ltx_info info = {.min_txid = 1, .max_txid = 1, .size = HF_LIMIT_KEPT_FILE + 1};
    HF_AUTO_FREE uint8_t *data = hf_calloc(1, (size_t)info.size);
    hf_kept_add(k, &a, &info, data, (size_t)info.size);
    assert_null(a.first);
    hf_kept_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kept), cmocka_unit_test(test_large)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
