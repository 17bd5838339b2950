/*
 * Timers fire once or again and again, a wake from another thread ends a waiting turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "os/loop.h"

static int wakes;
static int fired;

static void on_wake(void *arg)
{
    assert_ptr_equal(arg, &wakes);
    wakes++;
}

static void on_fire(void *arg)
{
    (void)arg;
    fired++;
}

static void *wake_later(void *arg)
{
    hf_loop_wake(arg);
    return NULL;
}

static void test_loop(void **state)
{
    (void)state;
    struct hf_loop l;
    struct hf_timer once;
    struct hf_timer again;
    pthread_t th;
    hf_loop_init(&l, on_wake, &wakes);
    hf_timer_init(&once, &l, on_fire, NULL);
    hf_timer_init(&again, &l, on_fire, NULL);
    assert_int_equal(pthread_create(&th, NULL, wake_later, &l), 0);
    while (wakes == 0)
        hf_loop_turn(&l, true);
    pthread_join(th, NULL);
    assert_int_equal(wakes, 1);

    hf_timer_start(&once, 1, 0);
    while (fired == 0)
        hf_loop_turn(&l, true);
    hf_timer_start(&again, 1, 1);
    while (fired < 4)
        hf_loop_turn(&l, true);
    hf_timer_stop(&again);
    hf_loop_turn(&l, false);
    assert_int_equal(fired, 4);
    hf_loop_deinit(&l);
}

static void test_exe_path(void **state)
{
    (void)state;
    char path[4096];
    assert_int_equal(hf_exe_path(path, sizeof(path), NULL), HF_OK);
    assert_int_equal(path[0], '/');
    assert_non_null(strstr(path, "loop_test"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loop),
        cmocka_unit_test(test_exe_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
