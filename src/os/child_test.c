#include "os/child.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "os/file.h"

static char dir[] = "/tmp/hf-child-XXXXXX";

static char *log_path(void)
{
    return hf_path_join(dir, "log");
}

static char *read_log(void)
{
    HF_AUTO_FREE char *path = log_path();
    char *data = NULL;
    size_t len = 0;
    assert_int_equal(hf_path_read(path, 4096, &data, &len, NULL), HF_OK);
    return data;
}

static void start_shell(const char *script, struct hf_child *c)
{
    HF_AUTO_FREE char *path = log_path();
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct hf_child_spec spec = {.argv = argv, .output = path};
    assert_int_equal(hf_path_remove(path, NULL), HF_OK);
    assert_int_equal(hf_child_start(&spec, c, NULL), HF_OK);
}

static void wait_for_log(void)
{
    for (int i = 0; i < 1000; i++) {
        HF_AUTO_FREE char *text = read_log();
        if (strchr(text, '\n') != NULL)
            return;
        hf_clock_sleep_us(5000);
    }
    fail();
}

static void test_output_and_exit_code(void **state)
{
    (void)state;
    struct hf_child c;
    char text[HF_CHILD_TEXT];
    start_shell("echo out; echo err >&2; exit 3", &c);
    hf_child_describe(&c, text);
    assert_string_equal(text, "running");
    assert_true(hf_child_wait(&c, 10000));
    hf_child_describe(&c, text);
    assert_string_equal(text, "exit code 3");
    HF_AUTO_FREE char *log = read_log();
    assert_string_equal(log, "out\nerr\n");
}

static void test_wait_has_a_limit(void **state)
{
    (void)state;
    struct hf_child c;
    char text[HF_CHILD_TEXT];
    start_shell("exec sleep 60", &c);
    assert_false(hf_child_wait(&c, 30));
    assert_true(hf_child_is_running(&c));
    hf_child_kill(&c);
    hf_child_describe(&c, text);
    assert_non_null(strstr(text, "signal 9"));
    hf_child_kill(&c);
    assert_true(hf_child_wait(&c, 0));
}

/* A child that does not listen to SIGTERM is killed. */
static void test_stop(void **state)
{
    (void)state;
    struct hf_child c;
    start_shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done", &c);
    wait_for_log();
    assert_true(hf_child_stop(&c, 10000));
    assert_int_equal(WEXITSTATUS(c.status), 7);
    start_shell("trap '' TERM; echo ready; while :; do sleep 0.01; done", &c);
    wait_for_log();
    assert_false(hf_child_stop(&c, 50));
    assert_int_equal(c.pid, 0);
    /* A stopped one, too. */
    start_shell("echo ready; exec sleep 60", &c);
    wait_for_log();
    hf_child_signal(&c, SIGSTOP);
    int status = 0;
    assert_int_equal(waitpid(c.pid, &status, WUNTRACED), c.pid);
    assert_true(WIFSTOPPED(status));
    assert_false(hf_child_stop(&c, 50));
}

/* What the child started goes with it. */
static void test_group_is_killed(void **state)
{
    (void)state;
    struct hf_child c;
    start_shell("sleep 60 & echo $!; wait", &c);
    wait_for_log();
    HF_AUTO_FREE char *log = read_log();
    pid_t grandchild = (pid_t)strtol(log, NULL, 10);
    assert_true(grandchild > 0);
    assert_int_equal(kill(grandchild, 0), 0);
    hf_child_kill(&c);
    /* Its new parent may take a moment to wait for it, or never do so in a container. */
    for (int i = 0; i < 1000 && kill(grandchild, 0) == 0; i++) {
        HF_AUTO_FREE char *path = hf_asprintf("/proc/%d/stat", (int)grandchild);
        char *data = NULL;
        size_t len = 0;
        if (hf_path_read(path, 4096, &data, &len, NULL) != HF_OK)
            return;
        bool is_zombie = strstr(data, ") Z ") != NULL;
        hf_free(data);
        if (is_zombie)
            return;
        hf_clock_sleep_us(5000);
    }
    assert_int_not_equal(kill(grandchild, 0), 0);
}

static int say(void *arg)
{
    (void)!write(STDOUT_FILENO, arg, strlen(arg));
    return 5;
}

static void test_function(void **state)
{
    (void)state;
    char text[] = "from a function\n";
    HF_AUTO_FREE char *path = log_path();
    struct hf_child_spec spec = {.run = say, .arg = text, .output = path};
    struct hf_child c;
    assert_int_equal(hf_path_remove(path, NULL), HF_OK);
    assert_int_equal(hf_child_start(&spec, &c, NULL), HF_OK);
    assert_true(hf_child_wait(&c, 10000));
    assert_int_equal(WEXITSTATUS(c.status), 5);
    HF_AUTO_FREE char *log = read_log();
    assert_string_equal(log, text);
}

static void test_cannot_start(void **state)
{
    (void)state;
    struct hf_child c = {0};
    struct hf_err err = HF_ERR_INIT;
    HF_AUTO_FREE char *path = log_path();
    const char *const argv[] = {"/nonexistent/program", NULL};
    struct hf_child_spec spec = {.argv = argv, .output = path};
    assert_int_equal(hf_child_start(&spec, &c, NULL), HF_OK);
    assert_true(hf_child_wait(&c, 10000));
    assert_int_equal(WEXITSTATUS(c.status), 127);
    spec.output = "/nonexistent/log";
    assert_int_equal(hf_child_start(&spec, &c, &err), HF_E_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/log"));
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_and_exit_code),
        cmocka_unit_test(test_wait_has_a_limit),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_group_is_killed),
        cmocka_unit_test(test_function),
        cmocka_unit_test(test_cannot_start),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    HF_AUTO_FREE char *path = log_path();
    (void)!hf_path_remove(path, NULL);
    rmdir(dir);
    return rc;
}
