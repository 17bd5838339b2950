#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "codec/sse.h"

struct seen {
    char text[400];
};

static enum hf_code note(void *arg, const char *event, const char *data, size_t len,
                         struct hf_err *err)
{
    struct seen *s = arg;
    size_t at = strlen(s->text);
    (void)err;
    snprintf(s->text + at, sizeof(s->text) - at, "%s=%.*s;", event, (int)len, data);
    return HF_OK;
}

/* The stream in pieces of step bytes. */
static void run(const char *in, size_t step, struct seen *s)
{
    struct hf_sse p;
    size_t len = strlen(in);
    s->text[0] = '\0';
    hf_sse_init(&p);
    for (size_t i = 0; i < len; i += step)
        assert_int_equal(hf_sse_feed(&p, in + i, len - i < step ? len - i : step, note, s, NULL),
                         HF_OK);
    assert_int_equal(hf_sse_finish(&p, note, s, NULL), HF_OK);
    hf_sse_deinit(&p);
}

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out;
        const char *why;
    } rows[] = {
        {"data: a\n\n", "message=a;", "the plain one"},
        {"data:a\r\n\r\ndata:b\r\n\r\n", "message=a;message=b;", "CRLF, no blank"},
        {"data: a\r\ndata: b\r\n\r\n", "message=a\nb;", "CRLF is one line end"},
        {"data: a\r\rdata: b\r\r", "message=a;message=b;", "CR"},
        {"event: ping\ndata: {}\n\ndata: x\n\n", "ping={};message=x;", "a name is for one event"},
        {"data: a\ndata: b\ndata\n\n", "message=a\nb\n;", "data lines join"},
        {": hello\n\n:\n\ndata: a\n\n", "message=a;", "comments"},
        {"event: x\n\n", "", "a name without data is no event"},
        {"id: 7\nretry: 5\nfoo: bar\ndata: a\n\n", "message=a;", "other fields"},
        {"\xef\xbb\xbf"
         "data: a\n\n",
         "message=a;", "byte order mark"},
        {"data:  a\n\n", "message= a;", "one blank only is taken off"},
        {"data: [DONE]\n", "message=[DONE];", "the last empty line never came"},
        {"data: [DONE]", "message=[DONE];", "not even a line end"},
        {"database: x\n\n", "", "a longer field name"},
        {"", "", "nothing"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        for (size_t step = 1; step <= strlen(rows[i].in) + 1; step++) {
            struct seen s;
            run(rows[i].in, step, &s);
            if (strcmp(s.text, rows[i].out) != 0)
                fail_msg("%s, step %zu: '%s'", rows[i].why, step, s.text);
        }
    }
}

static void test_comments_count(void **state)
{
    (void)state;
    struct hf_sse p;
    struct seen s = {""};
    hf_sse_init(&p);
    assert_int_equal(hf_sse_feed(&p, ": a\n: b\n\n", 9, note, &s, NULL), HF_OK);
    assert_int_equal(p.n_comments, 2);
    hf_sse_deinit(&p);
}

static void test_limits(void **state)
{
    (void)state;
    static const char field[] = {'d', 'a', 't', 'a', ':'};
    struct hf_sse p;
    struct seen s = {""};
    size_t n = HF_LIMIT_STREAM_EVENT / 2 + 100;
    char *big = hf_malloc(n);
    enum hf_code rc = HF_OK;
    memset(big, 'x', n);
    hf_sse_init(&p);
    assert_int_equal(hf_sse_feed(&p, "data:", 5, note, &s, NULL), HF_OK);
    assert_int_equal(hf_sse_feed(&p, big, n, note, &s, NULL), HF_OK);
    assert_int_equal(hf_sse_feed(&p, big, n, note, &s, NULL), HF_E_LIMIT);
    hf_sse_deinit(&p);
    hf_sse_init(&p);
    for (int i = 0; i < 3 && rc == HF_OK; i++) {
        memcpy(big, field, sizeof(field));
        big[n - 1] = '\n';
        rc = hf_sse_feed(&p, big, n, note, &s, NULL);
    }
    assert_int_equal(rc, HF_E_LIMIT);
    assert_string_equal(s.text, "");
    hf_sse_deinit(&p);
    hf_free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_comments_count),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
