/* What fits beside what: a table of situations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/fit.h"

static void test_table(void **state)
{
    static const struct {
        const char *why;
        struct hf_gw_memory memory;
        int64_t need;
        bool is_loaded;
        enum hf_gw_fit want;
    } rows[] = {
        {"memory is not configured", {0, 10, 10}, 5, false, HF_GW_FIT_UNKNOWN},
        {"the host does not say how large it is", {100, 0, 0}, 0, false, HF_GW_FIT_UNKNOWN},
        {"it is there", {100, 0, 90}, 90, true, HF_GW_FIT_LOADED},
        {"an empty host, just", {100, 0, 0}, 100, false, HF_GW_FIT_FREE},
        {"larger than the host", {100, 0, 0}, 101, false, HF_GW_FIT_NEVER},
        {"beside an idle one", {100, 40, 0}, 60, false, HF_GW_FIT_FREE},
        {"instead of an idle one", {100, 41, 0}, 60, false, HF_GW_FIT_SWAP},
        {"one in use is in the way", {100, 0, 41}, 60, false, HF_GW_FIT_IN_USE},
        {"an idle one goes, one in use stays", {100, 30, 40}, 60, false, HF_GW_FIT_SWAP},
        {"more is loaded than we know the host to have",
         {100, 0, 120},
         10,
         false,
         HF_GW_FIT_IN_USE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum hf_gw_fit got = hf_gw_fit(&rows[i].memory, rows[i].need, rows[i].is_loaded);
        if (got != rows[i].want)
            fail_msg("%s: %s", rows[i].why, hf_gw_fit_word(got));
        assert_int_equal(hf_gw_fit_is_bad(got), got == HF_GW_FIT_NEVER || got == HF_GW_FIT_IN_USE);
        assert_true(strlen(hf_gw_fit_word(got)) > 5);
    }
    assert_int_equal(hf_gw_fit_need(800), 900);
    assert_int_equal(hf_gw_fit_need(0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
