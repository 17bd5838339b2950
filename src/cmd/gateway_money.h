/*
 * holdfast gateway usage and override: what was used, and what is overridden. Main thread.
 */
#ifndef HF_CMD_GATEWAY_MONEY_H
#define HF_CMD_GATEWAY_MONEY_H

#include "cmd/gateway_ask.h"

struct hf_gateway_usage {
    const char *by;    /* "key,model"; NULL: that */
    const char *since; /* NULL: all */
};
HF_MUST enum hf_code hf_gateway_usage_show(const struct hf_gateway_ask *a,
                                           const struct hf_gateway_usage *u, struct hf_err *err);

struct hf_gateway_override {
    const char *verb;    /* list, set, pin, clear */
    const char *subject; /* host or route */
    const char *host;    /* of pin */
    const char *why;
    const char *by;   /* NULL: who runs this */
    const char *span; /* "2h"; NULL: 24h, with a warning */
};
HF_MUST enum hf_code hf_gateway_override_do(const struct hf_gateway_ask *a,
                                            const struct hf_gateway_override *o,
                                            struct hf_err *err);

#endif
