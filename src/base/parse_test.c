#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"

struct i64_row {
    const char *text;
    int64_t min;
    int64_t max;
    enum hf_code code;
    int64_t value;
    const char *why;
};

static void test_i64(void **state)
{
    (void)state;
    static const struct i64_row rows[] = {
        {"0", 0, 9, HF_OK, 0, "lowest"},
        {"9", 0, 9, HF_OK, 9, "highest"},
        {"-5", -9, 9, HF_OK, -5, "sign where the range has one"},
        {"9223372036854775807", 0, INT64_MAX, HF_OK, INT64_MAX, "largest there is"},
        {"9223372036854775808", 0, INT64_MAX, HF_E_INVALID, 0, "overflow is no saturation"},
        {"10", 0, 9, HF_E_INVALID, 0, "above"},
        {"-1", 0, 9, HF_E_INVALID, 0, "below"},
        {"", 0, 9, HF_E_INVALID, 0, "empty"},
        {" 1", 0, 9, HF_E_INVALID, 0, "blank in front (strtoll would take it)"},
        {"1 ", 0, 9, HF_E_INVALID, 0, "blank behind"},
        {"+1", 0, 9, HF_E_INVALID, 0, "plus"},
        {"0x1", 0, 9, HF_E_INVALID, 0, "hex"},
        {"1e3", 0, 9999, HF_E_INVALID, 0, "exponent"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        int64_t v = 77;
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = hf_parse_i64(rows[i].text, rows[i].min, rows[i].max, &v, &err);
        if (rc != rows[i].code || v != (rc == HF_OK ? rows[i].value : 77))
            fail_msg("'%s' (%s): code %d value %lld", rows[i].text, rows[i].why, rc, (long long)v);
    }
}

struct duration_row {
    const char *text;
    enum hf_code code;
    int64_t ns;
    const char *printed; /* NULL: not checked */
    const char *why;
};

#define SEC INT64_C(1000000000)

static void test_duration(void **state)
{
    (void)state;
    static const struct duration_row rows[] = {
        {"1s", HF_OK, SEC, "1s", "plain"},
        {"250ms", HF_OK, 250000000, "250ms", "ms is not m"},
        {"1h30m", HF_OK, 5400 * SEC, "1h30m0s", "two units; Go prints all three"},
        {"90m", HF_OK, 5400 * SEC, "1h30m0s", "carry"},
        {"5m", HF_OK, 300 * SEC, "5m0s", "minutes and seconds"},
        {"0.02s", HF_OK, 20000000, "20ms", "fraction"},
        {".5s", HF_OK, 500000000, "500ms", "no leading zero (Go takes it)"},
        {"1.5s", HF_OK, 1500000000, "1.5s", "fraction of a second stays"},
        {"20us", HF_OK, 20000, "20\xc2\xb5s", "u for micro"},
        {"20\xc2\xb5s", HF_OK, 20000, "20\xc2\xb5s", "micro sign"},
        {"20\xce\xbcs", HF_OK, 20000, NULL, "Greek mu"},
        {"7ns", HF_OK, 7, "7ns", "smallest unit"},
        {"0", HF_OK, 0, "0s", "zero needs no unit"},
        {"0s", HF_OK, 0, "0s", "zero with one"},
        {"+1s", HF_OK, SEC, "1s", "Go takes a plus"},
        {"720h", HF_OK, 2592000 * SEC, "720h0m0s", "the longest retention of the fleet"},
        {"2540400h10m10s", HF_OK, INT64_C(9145440610) * SEC, NULL, "almost 290 years"},
        {"2562048h", HF_E_INVALID, 0, NULL, "just past int64 nanoseconds"},
        {"99999999999999999999s", HF_E_INVALID, 0, NULL, "digits overflow"},
        {"-1s", HF_E_INVALID, 0, NULL, "negative"},
        {"10", HF_E_INVALID, 0, NULL, "no unit"},
        {"1d", HF_E_INVALID, 0, NULL, "Go has no days"},
        {"ten", HF_E_INVALID, 0, NULL, "word"},
        {"", HF_E_INVALID, 0, NULL, "empty"},
        {"s", HF_E_INVALID, 0, NULL, "unit alone"},
        {".s", HF_E_INVALID, 0, NULL, "dot alone"},
        {"1s ", HF_E_INVALID, 0, NULL, "trailing blank"},
        {"1 s", HF_E_INVALID, 0, NULL, "blank inside"},
        {"1S", HF_E_INVALID, 0, NULL, "upper case"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        int64_t ns = 77;
        char text[HF_DURATION_TEXT];
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = hf_parse_duration_ns(rows[i].text, &ns, &err);
        if (rc != rows[i].code || ns != (rc == HF_OK ? rows[i].ns : 77))
            fail_msg("'%s' (%s): code %d, %lld ns", rows[i].text, rows[i].why, rc, (long long)ns);
        if (rows[i].printed == NULL)
            continue;
        hf_duration_format(ns, text);
        assert_string_equal(text, rows[i].printed);
    }
}

static void test_duration_texts(void **state)
{
    (void)state;
    struct hf_err err;
    int64_t ns;
    assert_int_equal(hf_parse_duration_ns("ten", &ns, &err), HF_E_INVALID);
    assert_string_equal(err.text, "'ten' is not a duration (try 10s)");
    assert_int_equal(hf_parse_duration_ns("30", &ns, &err), HF_E_INVALID);
    assert_string_equal(err.text, "'30' has no unit (try 30s)");
    assert_int_equal(hf_parse_duration_ns("7d", &ns, &err), HF_E_INVALID);
    assert_string_equal(err.text, "'7d' is not a duration: there are no days (try 168h)");
    assert_int_equal(hf_parse_duration_ns("-1s", &ns, NULL), HF_E_INVALID);
}

static void test_duration_extremes(void **state)
{
    (void)state;
    char text[HF_DURATION_TEXT];
    hf_duration_format(INT64_MIN, text);
    assert_string_equal(text, "-2562047h47m16.854775808s");
    hf_duration_format(-1500000, text);
    assert_string_equal(text, "-1.5ms");
}

struct size_row {
    const char *text;
    enum hf_code code;
    int64_t bytes;
    const char *why;
};

static void test_size(void **state)
{
    (void)state;
    static const struct size_row rows[] = {
        {"4096", HF_OK, 4096, "bytes"},
        {"64KB", HF_OK, 65536, "KB is 1024"},
        {"64KiB", HF_OK, 65536, "and so is KiB"},
        {"64kb", HF_OK, 65536, "any case"},
        {"5M", HF_OK, 5 << 20, "short"},
        {"5 MB", HF_OK, 5 << 20, "blank before the unit"},
        {"1GiB", HF_OK, 1 << 30, "giga"},
        {"1.5MB", HF_OK, 1572864, "fraction"},
        {"2TB", HF_OK, INT64_C(2) << 40, "tera"},
        {"0", HF_OK, 0, "zero"},
        {"9999999TB", HF_E_INVALID, 0, "overflow"},
        {"5XB", HF_E_INVALID, 0, "unknown unit"},
        {"-1", HF_E_INVALID, 0, "negative"},
        {"", HF_E_INVALID, 0, "empty"},
        {"KB", HF_E_INVALID, 0, "no number"},
        {"5MB ", HF_E_INVALID, 0, "trailing blank"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        int64_t v = 77;
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = hf_parse_size(rows[i].text, &v, &err);
        if (rc != rows[i].code || v != (rc == HF_OK ? rows[i].bytes : 77))
            fail_msg("'%s' (%s): code %d value %lld", rows[i].text, rows[i].why, rc, (long long)v);
    }
}

static void test_time(void **state)
{
    (void)state;
    static const struct size_row rows[] = {
        {"1970-01-01T00:00:00Z", HF_OK, 0, "epoch"},
        {"2026-11-22T10:49:03.125Z", HF_OK, INT64_C(1795344543125), "milliseconds"},
        {"2026-11-22T10:49:03.5+01:00", HF_OK, INT64_C(1795340943500), "offset east is earlier"},
        {"2026-11-22T10:49:03-05:30", HF_OK, INT64_C(1795364343000), "offset west is later"},
        {"2026-11-22t10:49:03z", HF_OK, INT64_C(1795344543000), "lower case is allowed"},
        {"2026-11-22T10:49:03.1259999Z", HF_OK, INT64_C(1795344543125), "finer is cut off"},
        {"2024-02-29T00:00:00Z", HF_OK, INT64_C(1709164800000), "leap day"},
        {"2000-02-29T00:00:00Z", HF_OK, INT64_C(951782400000), "400-year rule"},
        {"1969-12-31T23:59:59.250Z", HF_OK, -750, "before the epoch"},
        {"2023-02-29T00:00:00Z", HF_E_INVALID, 0, "no leap day"},
        {"1900-02-29T00:00:00Z", HF_E_INVALID, 0, "100-year rule"},
        {"2026-13-01T00:00:00Z", HF_E_INVALID, 0, "month 13"},
        {"2026-00-01T00:00:00Z", HF_E_INVALID, 0, "month 0"},
        {"2026-01-01T24:00:00Z", HF_E_INVALID, 0, "hour 24"},
        {"2026-01-01T00:00:00", HF_E_INVALID, 0, "no offset: which zone?"},
        {"2026-01-01", HF_E_INVALID, 0, "date only"},
        {"2026-01-01T00:00:00.Z", HF_E_INVALID, 0, "empty fraction"},
        {"2026-01-01T00:00:00Zx", HF_E_INVALID, 0, "trailing"},
        {"2026-01-01T00:00:00+0100", HF_E_INVALID, 0, "offset without colon"},
        {"", HF_E_INVALID, 0, "empty"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        int64_t v = 77;
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = hf_parse_time_ms(rows[i].text, &v, &err);
        if (rc != rows[i].code || v != (rc == HF_OK ? rows[i].bytes : 77))
            fail_msg("'%s' (%s): code %d value %lld", rows[i].text, rows[i].why, rc, (long long)v);
    }
}

/* What hf_clock_format writes is read back to the same millisecond. */
static void test_time_round_trip(void **state)
{
    (void)state;
    for (int64_t ms = INT64_C(-2208988800000); ms < INT64_C(4102444800000);
         ms += INT64_C(86399 * 1000) * 7 + 13) {
        char text[HF_TIME_TEXT];
        int64_t back;
        hf_clock_format(ms, text);
        assert_int_equal(hf_parse_time_ms(text, &back, NULL), HF_OK);
        if (back != ms)
            fail_msg("%s: %lld became %lld", text, (long long)ms, (long long)back);
    }
}

struct txid_row {
    const char *text;
    enum hf_code code;
    uint64_t txid;
    const char *why;
};

static void test_txid(void **state)
{
    (void)state;
    static const struct txid_row rows[] = {
        {"000000000000001a", HF_OK, 0x1a, "as files are named"},
        {"1A", HF_OK, 0x1a, "short, upper case"},
        {"ffffffffffffffff", HF_OK, UINT64_MAX, "largest"},
        {"0", HF_E_INVALID, 0, "they begin at 1"},
        {"0000000000000000", HF_E_INVALID, 0, "long zero"},
        {"", HF_E_INVALID, 0, "empty"},
        {"00000000000000001", HF_E_INVALID, 0, "17 digits"},
        {"0x1a", HF_E_INVALID, 0, "prefix"},
        {"1g", HF_E_INVALID, 0, "not hex"},
        {"-1", HF_E_INVALID, 0, "sign"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        uint64_t v = 77;
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = hf_parse_txid(rows[i].text, &v, &err);
        if (rc != rows[i].code || v != (rc == HF_OK ? rows[i].txid : 77))
            fail_msg("'%s' (%s): code %d", rows[i].text, rows[i].why, rc);
    }
}

static void test_bool(void **state)
{
    (void)state;
    static const char *const yes[] = {"true", "True", "YES", "on"};
    static const char *const no[] = {"false", "FALSE", "No", "off"};
    static const char *const bad[] = {"", "1", "0", "y", "truee", " true"};
    int v = 7;
    for (size_t i = 0; i < HF_ARRAY_LEN(yes); i++) {
        assert_int_equal(hf_parse_bool(yes[i], &v, NULL), HF_OK);
        assert_int_equal(v, 1);
        assert_int_equal(hf_parse_bool(no[i], &v, NULL), HF_OK);
        assert_int_equal(v, 0);
    }
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        v = 7;
        assert_int_equal(hf_parse_bool(bad[i], &v, NULL), HF_E_INVALID);
        assert_int_equal(v, 7);
    }
}

/* Advice at the end of the text must survive a value of any length. */
static void test_micro(void **state)
{
    static const struct {
        const char *text;
        int64_t micro;     /* -1: refused */
        const char *shown; /* NULL: as it was written */
    } rows[] = {
        {"0", 0, NULL},
        {"3", 3000000, NULL},
        {"0.88", 880000, NULL},
        {".5", 500000, "0.5"},
        {"3.", 3000000, "3"},
        {"1.500000", 1500000, "1.5"},
        {"0.000001", 1, NULL},
        {"1000000", INT64_C(1000000000000), NULL},
        {"1000000.000001", -1, NULL},
        {"9223372036854775807", -1, NULL},
        {"99999999999999999999999", -1, NULL},
        {"0.0000001", -1, NULL},
        {"1.2.3", -1, NULL},
        {"-1", -1, NULL},
        {"1e3", -1, NULL},
        {"", -1, NULL},
        {".", -1, NULL},
    };
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char shown[HF_MICRO_TEXT];
        int64_t v = -1;
        enum hf_code rc = hf_parse_micro(rows[i].text, INT64_C(1000000000000), &v, NULL);
        if (rc != (rows[i].micro < 0 ? HF_E_INVALID : HF_OK) || v != rows[i].micro)
            fail_msg("'%s' is %lld", rows[i].text, (long long)v);
        if (rc != HF_OK)
            continue;
        hf_micro_format(v, shown);
        assert_string_equal(shown, rows[i].shown == NULL ? rows[i].text : rows[i].shown);
    }
    char shown[HF_MICRO_TEXT];
    hf_micro_format(INT64_MIN, shown);
    assert_string_equal(shown, "-9223372036854.775808");
}

static void test_long_values_are_cut(void **state)
{
    (void)state;
    char text[3000];
    struct hf_err err;
    int64_t v;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(hf_parse_duration_ns(text, &v, &err), HF_E_INVALID);
    assert_non_null(strstr(err.text, "(try 10s)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_i64),
        cmocka_unit_test(test_duration),
        cmocka_unit_test(test_duration_texts),
        cmocka_unit_test(test_duration_extremes),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_time_round_trip),
        cmocka_unit_test(test_txid),
        cmocka_unit_test(test_bool),
        cmocka_unit_test(test_micro),
        cmocka_unit_test(test_long_values_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
