/*
 * Building a plan: plan.c makes hosts and routes of the configuration, tiers.c those of the tier
 * file. Private to gateway/.
 */
#ifndef HF_GATEWAY_PLAN_INT_H
#define HF_GATEWAY_PLAN_INT_H

#include "base/arena.h"
#include "gateway/plan.h"

struct hf_gw_builder {
    struct hf_gw_plan *plan;
    const struct hf_config_gateway *conf;
    struct hf_err *err;
    size_t cap_warnings;
};

/* A new host, or the one of that name. NULL when there are too many (err is set). */
struct hf_gw_host *hf_gw_builder_host(struct hf_gw_builder *b, const char *name);
/* A new empty route; NULL when there are too many or the name is taken (err is set). */
struct hf_gw_route *hf_gw_builder_route(struct hf_gw_builder *b, const char *name);
/* Appends unless the same host and model are there already. */
void hf_gw_builder_add(struct hf_gw_builder *b, struct hf_gw_route *r,
                       const struct hf_gw_candidate *c);
void hf_gw_builder_warn(struct hf_gw_builder *b, const char *fmt, ...) HF_PRINTF(2, 3);
/* Adds url to the host's addresses unless it may not be used here. */
HF_MUST enum hf_code hf_gw_builder_url(struct hf_gw_builder *b, struct hf_gw_host *h,
                                       const char *url);
/* Hosts, then routes of a tier file (text checked to be JSON by the scanner). */
HF_MUST enum hf_code hf_gw_tiers_hosts(struct hf_gw_builder *b, const char *text, size_t len);
HF_MUST enum hf_code hf_gw_tiers_routes(struct hf_gw_builder *b, const char *text, size_t len);

#endif
