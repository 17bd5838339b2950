/*
 * The failure table: every class at every moment it can happen, as the design's fault table says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gateway/failure.h"

static void test_table(void **state)
{
    static const struct {
        enum hf_gw_failure f;
        bool other;
        bool cloud;
        enum hf_gw_says says;
        const char *why;
    } rows[] = {
        {HF_GW_REFUSED, true, true, HF_GW_SAYS_DEAD, "a dead host: at once elsewhere"},
        {HF_GW_SERVER, true, true, HF_GW_SAYS_MODEL, "a 500 counts: it must not attract traffic"},
        {HF_GW_UNAVAILABLE, true, true, HF_GW_SAYS_BUSY, "busy is not dead"},
        {HF_GW_NO_MODEL, true, true, HF_GW_SAYS_MISSING, "its list is out of date"},
        {HF_GW_DENIED, true, true, HF_GW_SAYS_DENIED, "our key, not its health"},
        {HF_GW_REQUEST, false, false, HF_GW_SAYS_NOTHING, "wrong everywhere"},
        {HF_GW_CONTEXT, false, false, HF_GW_SAYS_NOTHING, "too long everywhere"},
        {HF_GW_CLIENT_LEFT, false, false, HF_GW_SAYS_NOTHING, "nobody listens"},
        {HF_GW_FIRST_BYTE_TIMEOUT, true, false, HF_GW_SAYS_MODEL, "a load that never ends"},
        {HF_GW_CUT, true, true, HF_GW_SAYS_MODEL, "no terminator is no success"},
        {HF_GW_IN_BAND, true, true, HF_GW_SAYS_MODEL, "200, then an error, is an error"},
    };
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        const struct hf_gw_rule *r = hf_gw_failure_rule(rows[i].f);
        if (r->may_other != rows[i].other || r->may_cloud != rows[i].cloud ||
            r->says != rows[i].says)
            fail_msg("%s: %s", r->word, rows[i].why);
    }
    for (int f = 0; f < HF_GW_FAILURES_; f++) {
        const struct hf_gw_rule *r = hf_gw_failure_rule((enum hf_gw_failure)f);
        assert_true(strlen(r->word) > 1);
        assert_true(r->may_other || !r->may_same); /* what may be repeated may go elsewhere */
        assert_true(r->may_other || !r->may_cloud);
    }
}

static void test_statuses(void **state)
{
    static const struct {
        int status;
        enum hf_gw_failure want;
    } rows[] = {
        {400, HF_GW_REQUEST},     {401, HF_GW_DENIED},      {403, HF_GW_DENIED},
        {404, HF_GW_NO_MODEL},    {413, HF_GW_REQUEST},     {422, HF_GW_REQUEST},
        {429, HF_GW_RATE},        {500, HF_GW_SERVER},      {501, HF_GW_SERVER},
        {502, HF_GW_UNAVAILABLE}, {503, HF_GW_UNAVAILABLE}, {529, HF_GW_UNAVAILABLE},
        {301, HF_GW_NONSENSE},
    };
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++)
        assert_int_equal(hf_gw_failure_of_status(rows[i].status), rows[i].want);
}

static void test_numbers(void **state)
{
    (void)state;
    assert_int_equal(hf_gw_retry_after_s(0), 1);
    assert_int_equal(hf_gw_retry_after_s(1001), 2);
    assert_int_equal(hf_gw_retry_after_s(90000), 55);
    assert_int_equal(hf_gw_retry_after_ms("2", 0), 2000);
    assert_int_equal(hf_gw_retry_after_ms("99999999999999999999", 0), UINT64_C(1000) * UINT32_MAX);
    assert_int_equal(hf_gw_retry_after_ms("Thu, 01 Jan 1970 00:01:00 GMT", 20000), 40000);
    assert_int_equal(hf_gw_retry_after_ms("Thu, 01 Jan 1970 00:01:00 GMT", 90000), 0);
    assert_int_equal(hf_gw_retry_after_ms("soon", 0), 0);
    assert_int_equal(hf_gw_retry_after_ms("-1", 0), 0);
    assert_true(hf_gw_retry_allowed(1, 2));
    assert_false(hf_gw_retry_allowed(10, 3));
    assert_true(hf_gw_retry_allowed(100, 19));
    assert_false(hf_gw_retry_allowed(100, 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
