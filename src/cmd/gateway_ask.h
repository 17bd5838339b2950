/*
 * Questions to a running gateway, over HTTP at its gateway.listen. Main thread.
 */
#ifndef HF_CMD_GATEWAY_ASK_H
#define HF_CMD_GATEWAY_ASK_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "config/gateway.h"

struct hf_gw_plan;

struct hf_gateway_ask {
    const struct hf_config_gateway *conf;
    bool is_json;
    const char *down; /* NULL: as it is */
};

HF_MUST enum hf_code hf_gateway_ask_status(const struct hf_gateway_ask *a, struct hf_err *err);
HF_MUST enum hf_code hf_gateway_ask_hosts(const struct hf_gateway_ask *a, struct hf_err *err);
/* Every route with its decision. */
HF_MUST enum hf_code hf_gateway_ask_routes(const struct hf_gateway_ask *a,
                                           const struct hf_gw_plan *plan, struct hf_err *err);
/* What would become of every route, and of the other hosts, without a->down. */
HF_MUST enum hf_code hf_gateway_ask_what_if(const struct hf_gateway_ask *a, struct hf_err *err);
HF_MUST enum hf_code hf_gateway_ask_explain(const struct hf_gateway_ask *a, const char *model,
                                            struct hf_err *err);

#endif
