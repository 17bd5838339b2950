#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* Everything written to fd 2 while body runs, as one string. */
static void capture_start(int keep[2])
{
    int p[2];
    assert_int_equal(pipe(p), 0);
    keep[0] = dup(STDERR_FILENO);
    keep[1] = p[0];
    dup2(p[1], STDERR_FILENO);
    close(p[1]);
}

static void capture_end(int keep[2], char *out, size_t size)
{
    dup2(keep[0], STDERR_FILENO);
    close(keep[0]);
    size_t len = 0;
    ssize_t n;
    while (len + 1 < size && (n = read(keep[1], out + len, size - 1 - len)) > 0)
        len += (size_t)n;
    out[len] = '\0';
    close(keep[1]);
}

/* The line without its time, which changes. */
static const char *behind_time(const char *line)
{
    const char *p = strstr(line, "level");
    assert_non_null(p);
    return p;
}

static void test_text(void **state)
{
    (void)state;
    char out[9000];
    int keep[2];
    capture_start(keep);
    hf_log_setup(HF_LOG_INFO, HF_LOG_TEXT, true);
    hf_log(HF_LOG_DEBUG, "hidden", HF_F_END);
    hf_log(HF_LOG_WARN, "sync", HF_F_STR("db", "/a b/x.db"), HF_F_U64("n", 5), HF_F_I64("d", -3),
           HF_F_I64("min", INT64_MIN), HF_F_U64("max", UINT64_MAX), HF_F_U64("zero", 0),
           HF_F_TXID("txid", 0x1a), HF_F_STR("none", NULL), HF_F_STR("empty", ""),
           HF_F_DBL("s", 1.5), HF_F_END);
    capture_end(keep, out, sizeof(out));
    assert_int_equal(strncmp(out, "time=2", 6), 0);
    assert_string_equal(behind_time(out),
                        "level=warn msg=sync db=\"/a b/x.db\" n=5 d=-3 min=-9223372036854775808 "
                        "max=18446744073709551615 zero=0 txid=000000000000001a "
                        "s=1.500\n");
}

static void test_json(void **state)
{
    (void)state;
    char out[9000];
    int keep[2];
    capture_start(keep);
    hf_log_setup(HF_LOG_DEBUG, HF_LOG_JSON, true);
    hf_log(HF_LOG_ERROR, "a \"quoted\" event", HF_F_STR("db", "line\nbreak\\"), HF_F_TXID("t", 1),
           HF_F_END);
    capture_end(keep, out, sizeof(out));
    assert_int_equal(strncmp(out, "{\"time\":\"2", 10), 0);
    assert_string_equal(behind_time(out), "level\":\"error\",\"msg\":\"a \\\"quoted\\\" event\","
                                          "\"db\":\"line\\u000abreak\\\\\","
                                          "\"t\":\"0000000000000001\"}\n");
}

/* What a client says must not write on the terminal that the log is read on. */
static void test_control_characters(void **state)
{
    (void)state;
    char out[9000];
    int keep[2];
    capture_start(keep);
    hf_log_setup(HF_LOG_DEBUG, HF_LOG_TEXT, true);
    hf_log(HF_LOG_INFO, "x", HF_F_STR("a", "\033[2J"), HF_F_STR("b", "\a"), HF_F_STR("c", "\177"),
           HF_F_STR("d", "\xc3\xa9"), HF_F_END);
    capture_end(keep, out, sizeof(out));
    assert_string_equal(behind_time(out), "level=info msg=x a=\"\\u001b[2J\" b=\"\\u0007\" "
                                          "c=\"\\u007f\" d=\xc3\xa9\n");
}

static void test_held_lines(void **state)
{
    (void)state;
    char out[40000];
    char small[4096];
    int keep[2];
    hf_log_setup(HF_LOG_INFO, HF_LOG_TEXT, true);
    hf_log_hold(true);
    capture_start(keep);
    hf_log(HF_LOG_INFO, "one", HF_F_END);
    hf_log(HF_LOG_INFO, "two", HF_F_END);
    capture_end(keep, small, sizeof(small));
    assert_string_equal(small, "");
    capture_start(keep); /* a warning waits for nobody, and what was before it comes before it */
    hf_log(HF_LOG_WARN, "three", HF_F_END);
    capture_end(keep, out, sizeof(out));
    const char *two = strstr(out, "msg=two"), *three = strstr(out, "msg=three");
    assert_non_null(strstr(out, "msg=one"));
    assert_true(two != NULL && three != NULL && two < three);
    capture_start(keep); /* more than may wait */
    for (int i = 0; i < 100; i++)
        hf_log(HF_LOG_INFO, "many", HF_F_STR("text", "a text of some length, as they are"),
               HF_F_END);
    hf_log_hold(false);
    hf_log(HF_LOG_INFO, "last", HF_F_END);
    capture_end(keep, out, sizeof(out));
    size_t n = 0;
    for (const char *p = out; (p = strstr(p, "msg=many")) != NULL; p++)
        n++;
    assert_int_equal(n, 100);
    assert_non_null(strstr(out, "msg=last"));
}

/* A huge value is cut, the line still ends and stays one write. */
static void test_long_value(void **state)
{
    (void)state;
    char big[6000];
    char out[9000];
    int keep[2];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    capture_start(keep);
    hf_log_setup(HF_LOG_INFO, HF_LOG_TEXT, true);
    hf_log(HF_LOG_INFO, "big", HF_F_STR("v", big), HF_F_U64("after", 1), HF_F_END);
    capture_end(keep, out, sizeof(out));
    size_t len = strlen(out);
    assert_true(len > 4000 && len <= 4096);
    assert_int_equal(out[len - 1], '\n');
}

/* A log line that is no JSON breaks whoever reads the log; a cut value must keep its quote. */
static void test_long_json(void **state)
{
    (void)state;
    char big[6000];
    char out[9000];
    int keep[2];
    memset(big, '"', sizeof(big) - 1); /* every character becomes two */
    big[sizeof(big) - 1] = '\0';
    capture_start(keep);
    hf_log_setup(HF_LOG_INFO, HF_LOG_JSON, true);
    hf_log(HF_LOG_INFO, "big", HF_F_STR("v", big), HF_F_U64("after", 1), HF_F_END);
    capture_end(keep, out, sizeof(out));
    json_t *line = json_loads(out, 0, NULL);
    assert_non_null(line);
    assert_true(json_string_length(json_object_get(line, "v")) > 1900);
    json_decref(line);
}

static void test_levels(void **state)
{
    (void)state;
    enum hf_log_level level = HF_LOG_DEBUG;
    assert_true(hf_log_parse_level("WARNING", &level));
    assert_int_equal(level, HF_LOG_WARN);
    assert_true(hf_log_parse_level("error", &level));
    assert_int_equal(level, HF_LOG_ERROR);
    assert_false(hf_log_parse_level("loud", &level));
    assert_int_equal(level, HF_LOG_ERROR);
    hf_log_setup(HF_LOG_WARN, HF_LOG_TEXT, true);
    assert_false(hf_log_is_on(HF_LOG_INFO));
    assert_true(hf_log_is_on(HF_LOG_WARN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_held_lines),
        cmocka_unit_test(test_long_value),
        cmocka_unit_test(test_long_json),
        cmocka_unit_test(test_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
