/*
 * The queue: bounded, fair between clients, priorities that age, leavers and deadlines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "gateway/queue.h"

enum { N = 40 };

static struct hf_gwq_lane lane;
static size_t total;
static struct hf_gwq_entry entries[N];

static int setup(void **state)
{
    (void)state;
    total = 0;
    hf_gwq_init(&lane, 20, &total, 30);
    for (int i = 0; i < N; i++)
        entries[i] = (struct hf_gwq_entry){.deadline_ms = UINT64_MAX};
    return 0;
}

static enum hf_code push(int i, uint64_t client, enum hf_gwq_class class_)
{
    entries[i].client = client;
    entries[i].class_ = class_;
    return hf_gwq_push(&lane, &entries[i], NULL);
}

static void test_fair(void **state)
{
    static const int want[] = {0, 4, 1, 5, 2, 3};
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(push(i, 1, HF_GWQ_INTERACTIVE), HF_OK);
    for (int i = 4; i < 6; i++)
        assert_int_equal(push(i, 2, HF_GWQ_INTERACTIVE), HF_OK);
    for (size_t i = 0; i < HF_ARRAY_LEN(want); i++)
        assert_ptr_equal(hf_gwq_pop(&lane, 0), &entries[want[i]]);
    assert_null(hf_gwq_pop(&lane, 0));
    assert_int_equal(total, 0);
}

static void test_priority_and_age(void **state)
{
    (void)state;
    assert_int_equal(push(0, 1, HF_GWQ_BATCH), HF_OK);
    assert_int_equal(push(1, 2, HF_GWQ_INTERACTIVE), HF_OK);
    assert_int_equal(push(2, 3, HF_GWQ_BATCH), HF_OK);
    entries[2].since_ms = 1000;
    assert_ptr_equal(hf_gwq_pop(&lane, 1000), &entries[1]);
    assert_int_equal(push(3, 2, HF_GWQ_INTERACTIVE), HF_OK);
    entries[3].since_ms = HF_GWQ_AGE_MS;
    assert_ptr_equal(hf_gwq_pop(&lane, HF_GWQ_AGE_MS), &entries[0]); /* old enough */
    assert_ptr_equal(hf_gwq_pop(&lane, HF_GWQ_AGE_MS), &entries[3]);
}

static void test_bounds(void **state)
{
    static struct hf_gwq_lane other;
    (void)state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(push(i, 1, HF_GWQ_INTERACTIVE), HF_OK);
    assert_int_equal(push(10, 1, HF_GWQ_INTERACTIVE), HF_E_BUSY); /* half is its share */
    for (int i = 10; i < 20; i++)
        assert_int_equal(push(i, 2, HF_GWQ_INTERACTIVE), HF_OK);
    assert_int_equal(push(20, 3, HF_GWQ_INTERACTIVE), HF_E_BUSY); /* the lane is full */
    hf_gwq_init(&other, 20, &total, 30);
    for (int i = 20; i < 30; i++) {
        entries[i].client = (uint64_t)i;
        assert_int_equal(hf_gwq_push(&other, &entries[i], NULL), HF_OK);
    }
    assert_int_equal(hf_gwq_push(&other, &entries[30], NULL), HF_E_BUSY); /* all lanes are */
    hf_gwq_remove(&entries[25]);
    hf_gwq_remove(&entries[25]); /* twice is harmless */
    assert_int_equal(hf_gwq_push(&other, &entries[30], NULL), HF_OK);
}

static void test_leave_and_expire(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(push(i, (uint64_t)i, HF_GWQ_INTERACTIVE), HF_OK);
    entries[2].deadline_ms = 50;
    hf_gwq_remove(&entries[0]);
    assert_null(hf_gwq_expired(&lane, 49));
    assert_ptr_equal(hf_gwq_expired(&lane, 50), &entries[2]);
    assert_ptr_equal(hf_gwq_pop(&lane, 50), &entries[1]);
    assert_int_equal(lane.n, 0);
}

/* More clients than turns are remembered: nobody is lost, everybody is served. */
static void test_many_clients(void **state)
{
    static struct hf_gwq_lane big;
    static struct hf_gwq_entry all[HF_GWQ_CLIENTS * 3];
    (void)state;
    hf_gwq_init(&big, HF_ARRAY_LEN(all), &total, HF_ARRAY_LEN(all));
    for (size_t i = 0; i < HF_ARRAY_LEN(all); i++) {
        all[i].client = i;
        assert_int_equal(hf_gwq_push(&big, &all[i], NULL), HF_OK);
    }
    for (size_t i = 0; i < HF_ARRAY_LEN(all); i++)
        assert_non_null(hf_gwq_pop(&big, 0));
    assert_null(hf_gwq_pop(&big, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_fair, setup),
        cmocka_unit_test_setup(test_priority_and_age, setup),
        cmocka_unit_test_setup(test_bounds, setup),
        cmocka_unit_test_setup(test_leave_and_expire, setup),
        cmocka_unit_test_setup(test_many_clients, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
