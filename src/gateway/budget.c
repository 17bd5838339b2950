#include "gateway/budget.h"

#include <stdio.h>

#include "base/assert.h"
#include "gateway/keys.h"

enum { MILLION = 1000000, NAME = 600 };

#define DAY_MS INT64_C(86400000)
#define MINUTE_MS INT64_C(60000)

/* ---- prices ---- */

const struct hf_config_gateway_price *hf_gw_price_find(const struct hf_config_gateway *conf,
                                                       const char *host, const char *model)
{
    char name[NAME];
    if (conf->n_prices == 0)
        return NULL;
    snprintf(name, sizeof(name), "%s/%s", host, model);
    for (size_t i = 0; i < conf->n_prices; i++) {
        if (hf_gw_glob(conf->prices[i].model, name))
            return &conf->prices[i];
    }
    return NULL;
}

static int64_t within(int64_t n, int64_t max)
{
    if (n < 0)
        return 0;
    return n < max ? n : max;
}

int64_t hf_gw_cost(const struct hf_config_gateway_price *price, const struct hf_gw_tokens *t)
{
    if (price == NULL)
        return 0;
    int64_t input = within(t->input, HF_GW_TOKENS_MAX);
    int64_t cached = within(t->cached, input);
    int64_t written = within(t->cache_write, input - cached);
    int64_t output = within(t->output, HF_GW_TOKENS_MAX);
    int64_t at_cached = price->cached < 0 ? price->input : price->cached;
    int64_t at_written = price->cache_write < 0 ? price->input : price->cache_write;
    int64_t sum = (input - cached - written) * price->input + cached * at_cached +
                  written * at_written + output * price->output;
    hf_assert(sum >= 0);
    return sum / MILLION + (sum % MILLION != 0);
}

int64_t hf_gw_cost_bound(const struct hf_config_gateway_price *price, int64_t input, int64_t output)
{
    if (price == NULL)
        return 0;
    struct hf_config_gateway_price p = *price;
    p.input = p.cached > p.input ? p.cached : p.input;
    p.input = p.cache_write > p.input ? p.cache_write : p.input;
    struct hf_gw_tokens t = {.input = input, .output = output};
    return hf_gw_cost(&p, &t);
}

/* ---- days ---- */

int64_t hf_gw_day(int64_t wall_ms, int64_t zone_min)
{
    int64_t ms = wall_ms + zone_min * MINUTE_MS;
    return ms / DAY_MS - (ms % DAY_MS < 0);
}

int64_t hf_gw_day_end_ms(int64_t day, int64_t zone_min)
{
    return (day + 1) * DAY_MS - zone_min * MINUTE_MS;
}

/* ---- limits ---- */

struct limit_row {
    const char *word;
    bool is_day;
    bool is_money;
};

static const struct limit_row rows[HF_GW_LIMITS_] = {
#define X(name, limit, what, is_day, word)                                                         \
    [name] = {word, is_day, offsetof(struct hf_gw_amount, what) == 0},
    HF_GW_LIMITS(X)
#undef X
};

int64_t hf_gw_limit_of(const struct hf_config_budget *limits, enum hf_gw_limit which)
{
    const int64_t of[] = {
#define X(name, limit, what, is_day, word) [name] = limits->limit,
        HF_GW_LIMITS(X)
#undef X
    };
    hf_assert(which < HF_GW_LIMITS_);
    return of[which];
}

bool hf_gw_limit_is_money(enum hf_gw_limit which)
{
    return rows[which].is_money;
}

bool hf_gw_limit_is_day(enum hf_gw_limit which)
{
    return rows[which].is_day;
}

const char *hf_gw_limit_word(enum hf_gw_limit which)
{
    hf_assert(which < HF_GW_LIMITS_);
    return rows[which].word;
}

bool hf_gw_is_limited(const struct hf_config_budget *limits)
{
    return hf_gw_has_token_limit(limits) || limits->money_day >= 0 || limits->money_all >= 0;
}

bool hf_gw_has_token_limit(const struct hf_config_budget *limits)
{
    return limits->tokens_day >= 0 || limits->tokens_all >= 0;
}

static int64_t of_amount(const struct hf_gw_amount *a, enum hf_gw_limit which)
{
    return rows[which].is_money ? a->micro : a->tokens;
}

/* Spent and held. */
static int64_t taken(const struct hf_gw_budget *b, enum hf_gw_limit which)
{
    return rows[which].is_day ? of_amount(&b->spent_day, which) + of_amount(&b->held_day, which)
                              : of_amount(&b->spent_all, which) + of_amount(&b->held_all, which);
}

enum hf_gw_limit hf_gw_budget_check(const struct hf_gw_budget *b,
                                    const struct hf_config_budget *limits,
                                    const struct hf_gw_amount *want)
{
    for (int i = 0; i < HF_GW_LIMITS_; i++) {
        enum hf_gw_limit which = (enum hf_gw_limit)i;
        int64_t limit = hf_gw_limit_of(limits, which);
        int64_t wanted = of_amount(want, which);
        if (limit >= 0 && wanted > 0 && wanted > limit - taken(b, which))
            return which;
    }
    return HF_GW_LIMITS_;
}

int64_t hf_gw_budget_left(const struct hf_gw_budget *b, const struct hf_config_budget *limits,
                          enum hf_gw_limit which)
{
    int64_t left = hf_gw_limit_of(limits, which) - taken(b, which);
    return left > 0 ? left : 0;
}

/* ---- moving amounts ---- */

static void add(struct hf_gw_amount *to, const struct hf_gw_amount *a)
{
    to->micro += a->micro;
    to->tokens += a->tokens;
}

static void take(struct hf_gw_amount *from, const struct hf_gw_amount *a)
{
    from->micro -= a->micro;
    from->tokens -= a->tokens;
    hf_assert(from->micro >= 0 && from->tokens >= 0);
}

void hf_gw_budget_roll(struct hf_gw_budget *b, int64_t day)
{
    if (day <= b->day) /* a clock that was set back does not give a day twice */
        return;
    b->day = day;
    b->spent_day = (struct hf_gw_amount){0};
    b->held_day = (struct hf_gw_amount){0};
}

void hf_gw_budget_hold(struct hf_gw_budget *b, const struct hf_gw_hold *h)
{
    hf_assert(h->day == b->day && h->amount.micro >= 0 && h->amount.tokens >= 0);
    add(&b->held_day, &h->amount);
    add(&b->held_all, &h->amount);
}

void hf_gw_budget_settle(struct hf_gw_budget *b, const struct hf_gw_hold *h, int64_t day,
                         const struct hf_gw_amount *used)
{
    hf_assert(used->micro >= 0 && used->tokens >= 0);
    if (h != NULL) {
        hf_assert(h->day == day);
        take(&b->held_all, &h->amount);
        if (h->day == b->day)
            take(&b->held_day, &h->amount);
    }
    add(&b->spent_all, used);
    if (day == b->day)
        add(&b->spent_day, used);
}
