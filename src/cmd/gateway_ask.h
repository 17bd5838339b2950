/*
 * Questions to a running gateway, over HTTP at its gateway.listen. With keys configured an admin's
 * is shown: HOLDFAST_GATEWAY_KEY, else the first of the configuration whose secret stands there.
 * Main thread.
 */
#ifndef HF_CMD_GATEWAY_ASK_H
#define HF_CMD_GATEWAY_ASK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "config/gateway.h"

struct hf_gw_plan;
struct hf_http_reply;
struct hf_jsonscan_value;

struct hf_gateway_ask {
    const struct hf_config_gateway *conf;
    bool is_json;
    const char *down; /* NULL: as it is */
};

/* One call; body NULL: none. An answer but 200 is an error with its text. */
struct hf_gateway_call {
    const char *method;
    const char *path; /* with the query, escaped */
    const char *body; /* JSON */
};
HF_MUST enum hf_code hf_gateway_ask_call(const struct hf_gateway_ask *a,
                                         const struct hf_gateway_call *c,
                                         struct hf_http_reply *reply, struct hf_err *err);
/* A table: one row a member of the array, one column a key (16 at most). */
HF_MUST enum hf_code hf_gateway_ask_table(const struct hf_jsonscan_value *array,
                                          const char *const *keys, size_t n, struct hf_err *err);

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
