/*
 * Every submitted task runs once, also those queued when the pool is freed; a mailbox keeps order
 * and wakes once per batch.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "os/pool.h"

enum { TASKS = 1000 };

struct item {
    struct hf_task task;
    struct hf_mailbox *box;
    int n;
};

static atomic_int ran;
static atomic_int wakes;

static void run_item(struct hf_task *t)
{
    struct item *it = (struct item *)t;
    atomic_fetch_add(&ran, 1);
    hf_mailbox_post(it->box, t);
}

static void wake(void *arg)
{
    (void)arg;
    atomic_fetch_add(&wakes, 1);
}

static void test_all_run(void **state)
{
    (void)state;
    static struct item items[TASKS];
    struct hf_pool *p = NULL;
    struct hf_mailbox *box = hf_mailbox_new(wake, NULL);
    assert_int_equal(hf_pool_new("test", 3, true, &p, NULL), HF_OK);
    for (int i = 0; i < TASKS; i++) {
        items[i] = (struct item){.task = {.run = run_item}, .box = box, .n = i};
        hf_pool_submit(p, &items[i].task);
    }
    hf_pool_free(p);
    assert_int_equal(atomic_load(&ran), TASKS);
    int got = 0;
    for (struct hf_task *t = hf_mailbox_take(box); t != NULL; t = t->next)
        got++;
    assert_int_equal(got, TASKS);
    assert_int_equal(atomic_load(&wakes), 1); /* nobody took in between: one wake is enough */
    assert_null(hf_mailbox_take(box));
    hf_mailbox_free(box);
}

static void test_mailbox_order(void **state)
{
    (void)state;
    struct item a = {.n = 1};
    struct item b = {.n = 2};
    struct hf_mailbox *box = hf_mailbox_new(wake, NULL);
    hf_mailbox_post(box, &a.task);
    hf_mailbox_post(box, &b.task);
    struct hf_task *t = hf_mailbox_take(box);
    assert_ptr_equal(t, &a.task);
    assert_ptr_equal(t->next, &b.task);
    hf_mailbox_free(box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_run),
        cmocka_unit_test(test_mailbox_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
