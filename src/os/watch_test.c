/*
 * The watcher says which file changed, once the change is there to be seen, and says so when the
 * directory goes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/watch.h"

struct seen {
    char last[64];
    unsigned events;
    int count;
};

static void on_change(void *arg, const char *name, unsigned events)
{
    struct seen *s = arg;
    snprintf(s->last, sizeof(s->last), "%s", name == NULL ? "" : name);
    s->events |= events;
    s->count++;
}

static void run_until(uv_loop_t *loop, struct seen *s, unsigned want)
{
    uint64_t end = hf_clock_mono_ms() + 3000;
    while ((s->events & want) == 0 && hf_clock_mono_ms() < end) {
        uv_run(loop, UV_RUN_NOWAIT);
        hf_clock_sleep_us(200);
    }
}

static void write_file(const char *path, const char *text)
{
    struct hf_file f = HF_FILE_CLOSED;
    assert_int_equal(hf_file_open(path, HF_FILE_CREATE, 0600, &f, NULL), HF_OK);
    assert_int_equal(hf_file_write_at(&f, text, strlen(text), 0, NULL), HF_OK);
    hf_file_close(&f);
}

static void test_events(void **state)
{
    (void)state;
    char dir[] = "/tmp/hf-watch-XXXXXX";
    assert_non_null(mkdtemp(dir));
    HF_AUTO_FREE char *path = hf_path_join(dir, "a.db-wal");
    uv_loop_t loop;
    struct hf_watch *w = NULL;
    struct hf_watch_dir *d = NULL;
    struct seen s = {0};
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(hf_watch_new(&loop, &w, NULL), HF_OK);
    assert_int_equal(hf_watch_add(w, dir, on_change, &s, &d, NULL), HF_OK);

    write_file(path, "one");
    run_until(&loop, &s, HF_WATCH_CREATED);
    run_until(&loop, &s, HF_WATCH_MODIFIED);
    assert_true(s.events & HF_WATCH_CREATED);
    assert_true(s.events & HF_WATCH_MODIFIED);
    assert_string_equal(s.last, "a.db-wal");

    s = (struct seen){0};
    assert_int_equal(hf_path_remove(path, NULL), HF_OK);
    run_until(&loop, &s, HF_WATCH_REMOVED);
    assert_true(s.events & HF_WATCH_REMOVED);

    s = (struct seen){0};
    assert_int_equal(hf_path_rmdir(dir, NULL), HF_OK);
    run_until(&loop, &s, HF_WATCH_DIR_GONE);
    assert_true(s.events & HF_WATCH_DIR_GONE);

    hf_watch_remove(w, d);
    hf_watch_free(w);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_missing_dir(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct hf_watch *w = NULL;
    struct hf_watch_dir *d = NULL;
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(hf_watch_new(&loop, &w, NULL), HF_OK);
    assert_int_equal(hf_watch_add(w, "/nonexistent-dir", on_change, NULL, &d, &err),
                     HF_E_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent-dir"));
    hf_watch_free(w);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_missing_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
