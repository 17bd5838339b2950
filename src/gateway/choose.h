/*
 * Which candidate of a route takes a request: a pure function of what is known, which says for
 * every candidate why it was or was not taken ("why did this go to the cloud?").
 *
 *   1  the first candidate, in the route's order, whose condition holds, whose host is routable,
 *      which has the model, whose breaker is closed, and which this request has not tried
 *   2  of candidates of the same rank (a name that is no route: every host that has the model) one
 *      that need not queue; of those the one that answered this conversation last, then one with
 *      the model loaded, then one with room for it, then the most free slots
 *   3  a host of ours where the model would push one in use out of memory comes after every other
 *      of ours, and before a cloud
 *   4  nobody: a suspect host rather than none ("fail open"), never one that refuses us or was
 *      taken out
 *   5  still nobody: wait (a host may come back) or give up, the caller decides
 */
#ifndef HF_GATEWAY_CHOOSE_H
#define HF_GATEWAY_CHOOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/fit.h"
#include "gateway/health.h"
#include "gateway/plan.h"

enum hf_gw_model_state {
    HF_GW_MODEL_UNKNOWN, /* nobody has listed yet */
    HF_GW_MODEL_MISSING,
    HF_GW_MODEL_ON_DISK,
    HF_GW_MODEL_LOADED
};

/* X(name, word) */
#define HF_GW_VERDICTS(X)                                                                          \
    X(HF_GW_TAKEN, "taken")                                                                        \
    X(HF_GW_SPARE, "not needed: a better one was there")                                           \
    X(HF_GW_NOT_YET, "not yet: only when other hosts are down")                                    \
    X(HF_GW_TRIED, "tried already")                                                                \
    X(HF_GW_IS_SUSPECT, "host is suspect")                                                         \
    X(HF_GW_IS_DOWN, "host is down")                                                               \
    X(HF_GW_IS_CONFIG, "host refuses us: check its key")                                           \
    X(HF_GW_IS_DRAINED, "host was taken out by an override")                                       \
    X(HF_GW_NO_ROOM, "its model does not fit in memory beside what is in use: others first")       \
    X(HF_GW_HAS_NOT, "host does not have the model")                                               \
    X(HF_GW_IS_OPEN, "its breaker is open: too many failures")                                     \
    X(HF_GW_NO_CLOUD, "a cloud, and the last failure does not allow one")                          \
    X(HF_GW_IS_PRIVATE, "a cloud, and the route or the key is private")                            \
    X(HF_GW_PINNED, "another host was asked for")

enum hf_gw_verdict {
#define X(name, word) name,
    HF_GW_VERDICTS(X)
#undef X
        HF_GW_VERDICTS_
};

enum hf_gw_reason {
    HF_GW_PRIMARY,
    HF_GW_FAILOVER,
    HF_GW_TO_CLOUD,
    HF_GW_FAIL_OPEN,
    HF_GW_PIN,
    HF_GW_DISCOVERED,
    HF_GW_OVERRIDDEN, /* the caller's: the pin came of an override */
    HF_GW_REASONS_
};

/* What is known of one candidate. */
struct hf_gw_facts {
    enum hf_health_state health;
    enum hf_gw_model_state model;
    bool is_open;  /* breaker */
    bool is_tried; /* by this request */
    bool is_cloud;
    bool is_sticky; /* it answered this conversation last */
    enum hf_gw_fit fit;
    int64_t free_slots; /* negative: that many wait */
};

struct hf_gw_ask {
    const struct hf_gw_route *route;
    const struct hf_gw_facts *facts; /* one a candidate */
    uint64_t down;                   /* hosts that are down, or failed this request */
    bool is_ranked_alike;            /* the route was discovered: rule 2 */
    bool may_cloud;
    bool is_private; /* clouds are out of the question */
    size_t pin;      /* host asked for; SIZE_MAX: none */
};

struct hf_gw_choice {
    bool is_found;
    size_t candidate;
    enum hf_gw_reason reason;
    bool may_come_back; /* not found: a host of the route is down, so waiting makes sense */
    enum hf_gw_verdict verdicts[HF_GW_CANDIDATES];
};

void hf_gw_choose(const struct hf_gw_ask *ask, struct hf_gw_choice *out);
const char *hf_gw_verdict_word(enum hf_gw_verdict v);
const char *hf_gw_reason_word(enum hf_gw_reason r);

#endif
