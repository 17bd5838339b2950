/*
 * W3C trace context (Recommendation of 2021, level 1) of a request: what came in goes on with a
 * span of our own as its parent, what did not come is made.
 *
 *   traceparent: 00-<32 hex: trace>-<16 hex: parent span>-<2 hex: flags, 01 = sampled>
 *
 * A header that is not well-formed counts as none, and then tracestate does not count either. A
 * version from the future is read as far as version 00 goes. Pure.
 */
#ifndef HF_GATEWAY_TRACE_H
#define HF_GATEWAY_TRACE_H

#include <stdbool.h>
#include <stdint.h>

enum { HF_TRACE_TEXT = 56, HF_TRACE_ID = 33, HF_TRACE_RANDOM = 24 };

struct hf_trace {
    bool is_ours; /* nobody handed one in */
    char parent[HF_TRACE_TEXT];
};

/* incoming may be NULL. random: used for the span, and for the trace if there is none. */
void hf_trace_begin(struct hf_trace *t, const char *incoming,
                    const uint8_t random[HF_TRACE_RANDOM]);
/* The 32 digits that name the trace. */
void hf_trace_id(const struct hf_trace *t, char out[HF_TRACE_ID]);

#endif
