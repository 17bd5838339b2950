#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "codec/ndjson.h"

struct seen {
    char text[200];
};

static enum hf_code note(void *arg, const char *line, size_t len, struct hf_err *err)
{
    struct seen *s = arg;
    size_t at = strlen(s->text);
    (void)err;
    snprintf(s->text + at, sizeof(s->text) - at, "%.*s;", (int)len, line);
    return HF_OK;
}

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out;
        const char *why;
    } rows[] = {
        {"{}\n{}\n", "{};{};", "plain"},
        {"{\"a\":1}\r\n{}\r\n", "{\"a\":1};{};", "CRLF"},
        {"\n\n{}\n \t\n{}\n", "{};{};", "blank lines"},
        {"{}", "{};", "no end of line"},
        {"{}\n{\"cut", "{};{\"cut;", "a cut line is handed over"},
        {"", "", "nothing"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        size_t len = strlen(rows[i].in);
        for (size_t step = 1; step <= len + 1; step++) {
            struct hf_ndjson n;
            struct seen s = {""};
            hf_ndjson_init(&n);
            for (size_t at = 0; at < len; at += step)
                assert_int_equal(hf_ndjson_feed(&n, rows[i].in + at,
                                                len - at < step ? len - at : step, note, &s, NULL),
                                 HF_OK);
            assert_int_equal(hf_ndjson_finish(&n, note, &s, NULL), HF_OK);
            if (strcmp(s.text, rows[i].out) != 0)
                fail_msg("%s, step %zu: '%s'", rows[i].why, step, s.text);
            hf_ndjson_deinit(&n);
        }
    }
}

static void test_limit(void **state)
{
    (void)state;
    struct hf_ndjson n;
    struct seen s = {""};
    char *big = hf_malloc(HF_LIMIT_STREAM_EVENT);
    memset(big, 'x', HF_LIMIT_STREAM_EVENT);
    hf_ndjson_init(&n);
    assert_int_equal(hf_ndjson_feed(&n, big, HF_LIMIT_STREAM_EVENT, note, &s, NULL), HF_OK);
    assert_int_equal(hf_ndjson_feed(&n, big, 1, note, &s, NULL), HF_E_LIMIT);
    hf_ndjson_deinit(&n);
    hf_free(big);
}

static enum hf_code refuse(void *arg, const char *line, size_t len, struct hf_err *err)
{
    (void)arg;
    (void)line;
    return hf_err_set(err, HF_E_CORRUPT, "%zu", len);
}

static void test_error_stops(void **state)
{
    (void)state;
    struct hf_ndjson n;
    struct hf_err err = HF_ERR_INIT;
    hf_ndjson_init(&n);
    assert_int_equal(hf_ndjson_feed(&n, "{}\n{}\n", 6, refuse, NULL, &err), HF_E_CORRUPT);
    assert_string_equal(err.text, "2");
    hf_ndjson_deinit(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_error_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
