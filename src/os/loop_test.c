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
#include <sys/socket.h>
#include <unistd.h>

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
    wakes = 0; /* those of other loops are in it */
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

struct seen {
    struct hf_io *io;
    int events;
    bool frees;
};

static void on_io(void *arg, int fd, int events)
{
    struct seen *s = arg;
    char byte;
    s->events |= events;
    if (events & HF_IO_READ)
        assert_true(read(fd, &byte, 1) >= 0);
    if (s->frees) {
        hf_io_free(s->io);
        s->io = NULL;
    }
}

static void test_io(void **state)
{
    (void)state;
    struct hf_loop l;
    struct seen seen = {0};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    hf_loop_init(&l, on_wake, &wakes);
    assert_int_equal(hf_io_new(&l, fds[0], on_io, &seen, &seen.io, NULL), HF_OK);
    hf_io_watch(seen.io, HF_IO_WRITE);
    while (seen.events == 0)
        hf_loop_turn(&l, true);
    assert_int_equal(seen.events, HF_IO_WRITE);
    hf_io_watch(seen.io, 0);
    assert_int_equal(write(fds[1], "a", 1), 1);
    seen.events = 0;
    hf_loop_turn(&l, false);
    assert_int_equal(seen.events, 0);
    hf_io_watch(seen.io, HF_IO_READ);
    seen.frees = true;
    while (seen.io != NULL)
        hf_loop_turn(&l, true);
    assert_int_equal(seen.events, HF_IO_READ);
    close(fds[0]);
    close(fds[1]);
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

static void *wake_for_long(void *arg)
{
    for (int i = 0; i < 20000; i++)
        hf_loop_wake(arg);
    return NULL;
}

/* A thread that hands over a result and then wakes may be late: the loop has ended meanwhile. */
static void test_late_wakes(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct hf_loop l;
        pthread_t th;
        hf_loop_init(&l, on_wake, &wakes);
        assert_int_equal(pthread_create(&th, NULL, wake_for_long, &l), 0);
        for (int k = 0; k < i; k++)
            hf_loop_turn(&l, false);
        hf_loop_deinit(&l);
        pthread_join(th, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_late_wakes),
        cmocka_unit_test(test_loop),
        cmocka_unit_test(test_io),
        cmocka_unit_test(test_exe_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
