#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "codec/prometheus.h"

static const struct {
    double value;
    const char *want;
} numbers[] = {
    {0, "0"},
    {-3, "-3"},
    {0.5, "0.5"},
    {1732500000.125, "1732500000.125"},
    {1e15, "1000000000000000"},
    {INFINITY, "+Inf"},
    {-INFINITY, "-Inf"},
    {NAN, "NaN"},
};

static void test_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(numbers); i++) {
        struct hf_buf out;
        struct hf_prom p;
        char want[100];
        hf_buf_init(&out, 1000);
        hf_prom_init(&p, &out);
        hf_prom_family(&p, "x", "gauge", "X.");
        hf_prom_value(&p, NULL, 0, numbers[i].value);
        assert_int_equal(hf_prom_end(&p, NULL), HF_OK);
        snprintf(want, sizeof(want), "# HELP x X.\n# TYPE x gauge\nx %s\n", numbers[i].want);
        assert_string_equal(hf_buf_str(&out), want);
        hf_buf_deinit(&out);
    }
}

static void test_labels(void **state)
{
    (void)state;
    struct hf_prom_label labels[] = {{"db", "a\\b\"c\nd\x01é"}, {"replica", NULL}};
    struct hf_buf out;
    struct hf_prom p;
    hf_buf_init(&out, 1000);
    hf_prom_init(&p, &out);
    hf_prom_family(&p, "x", "counter", "one\ntwo \\ \"three\"");
    hf_prom_value(&p, labels, 2, 7);
    assert_int_equal(hf_prom_end(&p, NULL), HF_OK);
    assert_string_equal(hf_buf_str(&out), "# HELP x one\\ntwo \\\\ \"three\"\n# TYPE x counter\n"
                                          "x{db=\"a\\\\b\\\"c\\nd?é\",replica=\"\"} 7\n");
    hf_buf_deinit(&out);
}

static void test_histogram(void **state)
{
    static const double bounds[] = {0.25, 1};
    static const uint64_t counts[] = {2, 1};
    struct hf_prom_hist h = {.bounds = bounds, .counts = counts, .n = 2, .count = 4, .sum = 7.5};
    struct hf_prom_label label = {"host", "a"};
    struct hf_buf out;
    struct hf_prom p;
    (void)state;
    hf_buf_init(&out, 1000);
    hf_prom_init(&p, &out);
    hf_prom_family(&p, "x", "histogram", "X.");
    hf_prom_histogram(&p, &label, 1, &h);
    hf_prom_histogram(&p, NULL, 0, &h);
    assert_int_equal(hf_prom_end(&p, NULL), HF_OK);
    assert_string_equal(hf_buf_str(&out),
                        "# HELP x X.\n# TYPE x histogram\nx_bucket{host=\"a\",le=\"0.25\"} 2\n"
                        "x_bucket{host=\"a\",le=\"1\"} 3\nx_bucket{host=\"a\",le=\"+Inf\"} 4\n"
                        "x_sum{host=\"a\"} 7.5\nx_count{host=\"a\"} 4\nx_bucket{le=\"0.25\"} 2\n"
                        "x_bucket{le=\"1\"} 3\nx_bucket{le=\"+Inf\"} 4\nx_sum 7.5\nx_count 4\n");
    hf_buf_deinit(&out);
}

static void test_full(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_buf out;
    struct hf_prom p;
    hf_buf_init(&out, 40);
    hf_prom_init(&p, &out);
    hf_prom_family(&p, "a_rather_long_name", "gauge", "And a text that does not fit.");
    hf_prom_value(&p, NULL, 0, 1);
    assert_int_equal(hf_prom_end(&p, &err), HF_E_LIMIT);
    assert_string_equal(err.text, "metrics are larger than 40 bytes");
    hf_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_labels),
        cmocka_unit_test(test_histogram), cmocka_unit_test(test_full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
