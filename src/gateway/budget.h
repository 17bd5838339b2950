/*
 * What tokens cost, and whether there is money for them: integers all the way.
 *
 *   price  millionths of the currency for a million tokens     "0.88" ─► 880000
 *   cost   millionths, rounded up once a request               12 tokens ─► 11
 *
 * A budget has spent (settled) and held (set aside for what is under way). Before a request is sent
 * an upper bound is held; at its end the hold goes and what it really used is spent. As only one
 * thread does this, the check and the hold are one step: no number of requests at once passes a
 * limit, unless an answer uses more than was held for it.
 *
 *   fits: spent + held + wanted <= limit, for the day and in all, for money and for tokens
 *
 * Money limits look only at what costs money: a model without a price still answers when they are
 * used up. A hold belongs to the day it was made on, also when its request ends on the next.
 *
 * Pure; owned by the gateway's loop.
 */
#ifndef HF_GATEWAY_BUDGET_H
#define HF_GATEWAY_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/gateway.h"

enum { HF_GW_TOKENS_MAX = 100000000 /* of one request; prices times this fit 63 bits */ };

struct hf_gw_tokens {
    int64_t input; /* all of it */
    int64_t output;
    int64_t cached;      /* part of input */
    int64_t cache_write; /* part of input */
};

struct hf_gw_amount {
    int64_t micro; /* millionths of the currency */
    int64_t tokens;
};

struct hf_gw_budget {
    int64_t day; /* of spent_day and held_day */
    struct hf_gw_amount spent_day;
    struct hf_gw_amount spent_all;
    struct hf_gw_amount held_day;
    struct hf_gw_amount held_all;
};

struct hf_gw_hold {
    int64_t day;
    struct hf_gw_amount amount;
};

/* X(name, field of hf_config_budget and hf_gw_amount, is of the day, word) */
#define HF_GW_LIMITS(X)                                                                            \
    X(HF_GW_MONEY_DAY, money_day, micro, 1, "money-per-day")                                       \
    X(HF_GW_MONEY_ALL, money_all, micro, 0, "money-in-all")                                        \
    X(HF_GW_TOKENS_DAY, tokens_day, tokens, 1, "tokens-per-day")                                   \
    X(HF_GW_TOKENS_ALL, tokens_all, tokens, 0, "tokens-in-all")

enum hf_gw_limit {
#define X(name, limit, what, is_day, word) name,
    HF_GW_LIMITS(X)
#undef X
        HF_GW_LIMITS_ /* none of them */
};

/* The price of a host's model; NULL: it costs nothing. */
const struct hf_config_gateway_price *hf_gw_price_find(const struct hf_config_gateway *conf,
                                                       const char *host, const char *model);
/* Millionths, rounded up. price may be NULL: 0. */
int64_t hf_gw_cost(const struct hf_config_gateway_price *price, const struct hf_gw_tokens *t);
/* The most that so many tokens can cost, whatever a cache makes of them. */
int64_t hf_gw_cost_bound(const struct hf_config_gateway_price *price, int64_t input,
                         int64_t output);

/* Days since 1970 in a zone of so many minutes east of UTC; when a day ends, wall time. */
int64_t hf_gw_day(int64_t wall_ms, int64_t zone_min);
int64_t hf_gw_day_end_ms(int64_t day, int64_t zone_min);

bool hf_gw_is_limited(const struct hf_config_budget *limits);
bool hf_gw_has_token_limit(const struct hf_config_budget *limits);
/* A new day begins if it is one. */
void hf_gw_budget_roll(struct hf_gw_budget *b, int64_t day);
/* The limit that want would pass; HF_GW_LIMITS_: it fits. */
enum hf_gw_limit hf_gw_budget_check(const struct hf_gw_budget *b,
                                    const struct hf_config_budget *limits,
                                    const struct hf_gw_amount *want);
/* After a roll to the hold's day. */
void hf_gw_budget_hold(struct hf_gw_budget *b, const struct hf_gw_hold *h);
/* The hold (NULL: none was made) is over, and so much was used on that day. */
void hf_gw_budget_settle(struct hf_gw_budget *b, const struct hf_gw_hold *h, int64_t day,
                         const struct hf_gw_amount *used);
/* What is left, not below 0; only of a limit that is set. */
int64_t hf_gw_budget_left(const struct hf_gw_budget *b, const struct hf_config_budget *limits,
                          enum hf_gw_limit which);
/* The limit itself; -1: not set. */
int64_t hf_gw_limit_of(const struct hf_config_budget *limits, enum hf_gw_limit which);
bool hf_gw_limit_is_money(enum hf_gw_limit which);
bool hf_gw_limit_is_day(enum hf_gw_limit which);
const char *hf_gw_limit_word(enum hf_gw_limit which);

#endif
