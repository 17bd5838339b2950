#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "gateway/budget.h"

static struct hf_config_gateway_price prices[] = {
    {.model = "cloud/llama-*", .input = 880000, .output = 880000, .cached = -1, .cache_write = -1},
    {.model = "*/sonnet",
     .input = 3000000,
     .output = 15000000,
     .cached = 300000,
     .cache_write = 3750000},
    {.model = "cloud/*", .input = 1, .output = 1, .cached = -1, .cache_write = -1},
};
static const struct hf_config_gateway conf = {.prices = prices, .n_prices = 3};

static void test_cost(void **state)
{
    static const struct {
        const char *why;
        const char *model;
        struct hf_gw_tokens t;
        int64_t micro;
    } rows[] = {
        {"rounded up once", "llama-70b", {.input = 7, .output = 5}, 11},
        {"a million is the price", "llama-70b", {.input = 1000000}, 880000},
        {"cached is cheaper", "sonnet", {.input = 1000, .output = 100, .cached = 900}, 2070},
        {"a cache that is written costs more",
         "sonnet",
         {.input = 1000, .cache_write = 1000},
         3750},
        {"more cached than read is nonsense, and bounded",
         "sonnet",
         {.input = 10, .cached = 1000},
         3},
        {"nothing", "sonnet", {0}, 0},
        {"a millionth of a millionth still counts", "tiny", {.input = 1}, 1},
        {"negative is nothing", "sonnet", {.input = -5, .output = -1}, 0},
        {"no number of tokens overflows",
         "sonnet",
         {.input = INT64_MAX, .output = INT64_MAX},
         INT64_C(1800000000)},
    };
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        int64_t got = hf_gw_cost(hf_gw_price_find(&conf, "cloud", rows[i].model), &rows[i].t);
        if (got != rows[i].micro)
            fail_msg("%s: %lld", rows[i].why, (long long)got);
    }
    assert_null(hf_gw_price_find(&conf, "anvil", "llama-70b"));
    assert_int_equal(hf_gw_cost(NULL, &rows[0].t), 0);
}

/* The bound is never less than the cost, whatever the cache does. */
static void test_bound(void **state)
{
    (void)state;
    for (size_t p = 0; p < HF_ARRAY_LEN(prices); p++) {
        for (int64_t cached = 0; cached <= 1000; cached += 250) {
            for (int64_t written = 0; written <= 1000 - cached; written += 250) {
                struct hf_gw_tokens t = {
                    .input = 1000, .output = 77, .cached = cached, .cache_write = written};
                assert_true(hf_gw_cost(&prices[p], &t) <= hf_gw_cost_bound(&prices[p], 1000, 77));
            }
        }
    }
}

static void test_days(void **state)
{
    const int64_t noon = INT64_C(1795780800000); /* 2026-11-27T12:00:00Z */
    const int64_t hour = 3600000;
    (void)state;
    int64_t day = hf_gw_day(noon, 0);
    assert_int_equal(hf_gw_day_end_ms(day, 0), noon + 12 * hour);
    assert_int_equal(hf_gw_day(noon + 12 * hour - 1, 0), day);
    assert_int_equal(hf_gw_day(noon + 12 * hour, 0), day + 1);
    assert_int_equal(hf_gw_day(noon + 11 * hour, 60), day + 1);
    assert_int_equal(hf_gw_day_end_ms(day, 60), noon + 11 * hour);
    assert_int_equal(hf_gw_day(noon - 12 * hour, -30), day - 1);
    assert_int_equal(hf_gw_day(-1, 0), -1);
}

static struct hf_gw_hold hold_of(int64_t day, int64_t micro, int64_t tokens)
{
    return (struct hf_gw_hold){.day = day, .amount = {micro, tokens}};
}

/* 200 that come at once against money for 50: what is held counts as gone. */
static void test_a_budget_for_50_lets_50_of_200_pass(void **state)
{
    static const struct hf_config_budget limits = {500, -1, -1, -1};
    struct hf_gw_budget b = {.day = 3};
    struct hf_gw_hold h = hold_of(3, 10, 100);
    struct hf_gw_amount used = {7, 60};
    int n = 0;
    (void)state;
    for (int i = 0; i < 200; i++) {
        if (hf_gw_budget_check(&b, &limits, &h.amount) != HF_GW_LIMITS_)
            continue;
        hf_gw_budget_hold(&b, &h);
        n++;
    }
    assert_int_equal(n, 50);
    assert_int_equal(hf_gw_budget_left(&b, &limits, HF_GW_MONEY_DAY), 0);
    for (int i = 0; i < n; i++)
        hf_gw_budget_settle(&b, &h, 3, &used);
    assert_int_equal(b.spent_day.micro, 350);
    assert_int_equal(b.held_all.micro, 0);
    assert_int_equal(hf_gw_budget_left(&b, &limits, HF_GW_MONEY_DAY), 150);
}

static void test_limits(void **state)
{
    static const struct {
        const char *why;
        struct hf_config_budget limits;
        struct hf_gw_amount spent_day;
        struct hf_gw_amount spent_all;
        struct hf_gw_amount want;
        enum hf_gw_limit got;
    } rows[] = {
        {"none", {-1, -1, -1, -1}, {1, 1}, {9, 9}, {5, 5}, HF_GW_LIMITS_},
        {"to the last", {10, -1, -1, -1}, {5, 0}, {5, 0}, {5, 0}, HF_GW_LIMITS_},
        {"one more", {10, -1, -1, -1}, {5, 0}, {5, 0}, {6, 0}, HF_GW_MONEY_DAY},
        {"in all", {-1, 10, -1, -1}, {0, 0}, {10, 0}, {1, 0}, HF_GW_MONEY_ALL},
        {"what is free passes a money limit that was overdrawn",
         {10, 10, -1, -1},
         {20, 0},
         {20, 0},
         {0, 1000},
         HF_GW_LIMITS_},
        {"tokens of what is free count",
         {-1, -1, 100, -1},
         {0, 90},
         {0, 90},
         {0, 11},
         HF_GW_TOKENS_DAY},
        {"tokens in all", {-1, -1, -1, 100}, {0, 0}, {0, 100}, {0, 1}, HF_GW_TOKENS_ALL},
        {"zero is a limit", {0, -1, -1, -1}, {0, 0}, {0, 0}, {1, 0}, HF_GW_MONEY_DAY},
        {"no sum overflows",
         {INT64_MAX, -1, -1, -1},
         {INT64_MAX, 0},
         {0, 0},
         {1, 0},
         HF_GW_MONEY_DAY},
    };
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_gw_budget b = {.spent_day = rows[i].spent_day, .spent_all = rows[i].spent_all};
        enum hf_gw_limit got = hf_gw_budget_check(&b, &rows[i].limits, &rows[i].want);
        if (got != rows[i].got)
            fail_msg("%s: %d", rows[i].why, (int)got);
    }
}

/* A request that ends on the next day is charged to the day it began on. */
static void test_midnight(void **state)
{
    static const struct hf_config_budget limits = {100, 1000, -1, -1};
    struct hf_gw_budget b = {.day = 5};
    struct hf_gw_hold h = hold_of(5, 60, 0);
    struct hf_gw_amount used = {50, 0};
    (void)state;
    hf_gw_budget_hold(&b, &h);
    hf_gw_budget_roll(&b, 6);
    assert_int_equal(hf_gw_budget_left(&b, &limits, HF_GW_MONEY_DAY), 100);
    assert_int_equal(hf_gw_budget_left(&b, &limits, HF_GW_MONEY_ALL), 940);
    hf_gw_budget_settle(&b, &h, 5, &used);
    assert_int_equal(b.spent_day.micro, 0);
    assert_int_equal(b.spent_all.micro, 50);
    assert_int_equal(b.held_all.micro, 0);
    hf_gw_budget_roll(&b, 5); /* the clock was set back: the day is not given again */
    assert_int_equal(b.day, 6);
}

/* Any order of holds, ends and midnights: what was held covers what is used, so no limit is passed,
 * and in the end nothing is held. */
static void test_any_order(void **state)
{
    enum { OPEN = 16, STEPS = 5000, LIMIT = 1000 };
    static const struct hf_config_budget limits = {LIMIT, 50 * LIMIT, LIMIT, -1};
    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        struct hf_gw_budget b = {.day = 1};
        struct hf_gw_hold open[OPEN] = {{0}};
        uint32_t x = seed;
        for (int i = 0; i < STEPS; i++) {
            x = x * 1664525u + 1013904223u;
            struct hf_gw_hold *h = &open[x >> 8 & (OPEN - 1)];
            int64_t n = x >> 20 & 255;
            if (h->day != 0) {
                struct hf_gw_amount used = {h->amount.micro * (n & 3) / 3, h->amount.tokens / 2};
                hf_gw_budget_settle(&b, h, h->day, &used);
                *h = (struct hf_gw_hold){0};
            } else if (n == 7) {
                hf_gw_budget_roll(&b, b.day + 1);
            } else if (hf_gw_budget_check(&b, &limits, &(struct hf_gw_amount){n, n}) ==
                       HF_GW_LIMITS_) {
                *h = hold_of(b.day, n, n);
                hf_gw_budget_hold(&b, h);
            }
            if (b.spent_day.micro + b.held_day.micro > LIMIT ||
                b.spent_day.tokens + b.held_day.tokens > LIMIT ||
                b.spent_all.micro + b.held_all.micro > 50 * LIMIT)
                fail_msg("seed %u step %d: a limit was passed", seed, i);
        }
        for (int i = 0; i < OPEN; i++) {
            if (open[i].day != 0)
                hf_gw_budget_settle(&b, &open[i], open[i].day, &open[i].amount);
        }
        assert_int_equal(b.held_all.micro + b.held_all.tokens, 0);
        assert_int_equal(b.held_day.micro + b.held_day.tokens, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_days),
        cmocka_unit_test(test_a_budget_for_50_lets_50_of_200_pass),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_midnight),
        cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
