#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/httpdate.h"

static void test_both_ways(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {784111777000, "Sun, 06 Nov 1994 08:49:37 GMT"},
        {1795323720000, "Sun, 22 Nov 2026 05:02:00 GMT"},
        {951782400000, "Tue, 29 Feb 2000 00:00:00 GMT"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char text[HF_HTTP_DATE_TEXT];
        int64_t ms = -1;
        hf_http_date_format(rows[i].ms + 999, text);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(hf_http_date_parse(text, &ms, NULL), HF_OK);
        assert_int_equal(ms, rows[i].ms);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 anF 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        int64_t ms = 7;
        if (hf_http_date_parse(rows[i], &ms, NULL) != HF_E_INVALID || ms != 7)
            fail_msg("'%s' was taken", rows[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
