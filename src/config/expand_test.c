#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/expand.h"

/* A is "one", EMPTY is empty, ODD holds what looks like a variable; nothing else is set. */
static const char *lookup(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "A") == 0       ? "one"
           : strcmp(name, "a.b") == 0   ? "dotted"
           : strcmp(name, "EMPTY") == 0 ? ""
           : strcmp(name, "ODD") == 0   ? "$A"
                                        : NULL;
}

struct unset_log {
    char names[200];
};

static void note(void *arg, const char *name, int line)
{
    struct unset_log *log = arg;
    size_t len = strlen(log->names);
    snprintf(log->names + len, sizeof(log->names) - len, "%s:%d ", name, line);
}

struct row {
    const char *in;
    const char *out;
    const char *unset;
    const char *why;
};

static void test_table(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", "", "", "empty"},
        {"no variable", "no variable", "", "plain"},
        {"$A", "one", "", "bare name"},
        {"${A}", "one", "", "braces"},
        {"x$A-y${A}z", "xone-yonez", "", "inside text"},
        {"$A_B", "", "A_B:1 ", "the longest name is taken"},
        {"${a.b}", "dotted", "", "braces take anything"},
        {"[$EMPTY]", "[]", "", "set but empty is set"},
        {"[$NOPE]", "[]", "NOPE:1 ", "not set is empty"},
        {"\n\n$NOPE", "\n\n", "NOPE:3 ", "its line is told"},
        {"# $NOPE\nx: 1 # ${NOPE}", "# \nx: 1 # ", "", "comments don't matter"},
        {"a#$NOPE", "a#", "NOPE:1 ", "a # inside a word is no comment"},
        {"$ODD", "$A", "", "values are not expanded again"},
        {"$", "$", "", "nothing behind it"},
        {"a $ b", "a $ b", "", "a blank behind it"},
        {"$$A", "A", "$:1 ", "no escape: $$ is a variable nobody has"},
        {"$5.00", ".00", "5:1 ", "a digit is a name"},
        {"$-x", "x", "-:1 ", "so are the shell's special ones"},
        {"${}x", "x", "", "empty braces vanish"},
        {"${A", "A", "", "open braces lose their two characters"},
        {"$/", "$/", "", "not a name"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct unset_log log = {""};
        struct hf_expand_env env = {lookup, note, &log};
        struct hf_buf out;
        hf_buf_init(&out, 1000);
        assert_int_equal(hf_expand(rows[i].in, strlen(rows[i].in), &env, &out, NULL), HF_OK);
        if (strcmp(hf_buf_str(&out), rows[i].out) != 0 || strcmp(log.names, rows[i].unset) != 0)
            fail_msg("'%s' (%s): got '%s', unset '%s'", rows[i].in, rows[i].why, hf_buf_str(&out),
                     log.names);
        hf_buf_deinit(&out);
    }
}

static void test_pid(void **state)
{
    (void)state;
    struct hf_expand_env env = {.lookup = lookup};
    struct hf_buf out;
    char want[32];
    hf_buf_init(&out, 100);
    snprintf(want, sizeof(want), "%ld", (long)getpid());
    assert_int_equal(hf_expand("$PID", 4, &env, &out, NULL), HF_OK);
    assert_string_equal(hf_buf_str(&out), want);
    hf_buf_deinit(&out);
}

static void test_limit(void **state)
{
    (void)state;
    struct hf_expand_env env = {.lookup = lookup};
    struct hf_buf out;
    hf_buf_init(&out, 5);
    assert_int_equal(hf_expand("$A$A", 4, &env, &out, NULL), HF_E_LIMIT);
    hf_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_pid),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
