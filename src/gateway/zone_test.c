#include "gateway/zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

enum { HOUR = 3600 };

static void test_offsets(void **state)
{
    static const struct hf_config_gateway conf = {.budget_zone_min = 120};
    (void)state;
    int64_t day = hf_gw_zone_day(&conf, INT64_C(1790000000000));
    int64_t end = hf_gw_zone_day_end_ms(&conf, day);
    assert_int_equal(hf_gw_zone_day(&conf, end - 1), day);
    assert_int_equal(hf_gw_zone_day(&conf, end), day + 1);
    assert_int_equal(end % (24 * HOUR * INT64_C(1000)), 22 * HOUR * INT64_C(1000));
}

/* Clocks are set on in the night to the second of these days, back in the one to the fourth. */
static void test_days_of_23_and_25_hours(void **state)
{
    static const struct hf_config_gateway conf = {.budget_zone_min = HF_CONFIG_ZONE_NAMED,
                                                  .budget_zone = "Europe/Berlin"};
    static const struct {
        int64_t noon_utc_s;
        int hours;
    } rows[] = {{1774695600, 24}, {1774782000, 23}, {1774868400, 24},
                {1792926000, 25}, {1793012400, 24}, {1768474800, 24}};
    (void)state;
    if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) != 0)
        skip();
    hf_gw_zone_use(&conf);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t day = hf_gw_zone_day(&conf, rows[i].noon_utc_s * 1000);
        int64_t begin = hf_gw_zone_day_end_ms(&conf, day - 1);
        int64_t end = hf_gw_zone_day_end_ms(&conf, day);
        assert_int_equal((end - begin) / 1000, rows[i].hours * HOUR);
        assert_int_equal(hf_gw_zone_day(&conf, begin - 1), day - 1);
        assert_int_equal(hf_gw_zone_day(&conf, begin), day);
        assert_int_equal(hf_gw_zone_day(&conf, end - 1), day);
        assert_int_equal(hf_gw_zone_day(&conf, end), day + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_offsets),
                                       cmocka_unit_test(test_days_of_23_and_25_hours)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
