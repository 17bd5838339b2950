/*
 * Measurements under OpenTelemetry's names for generative AI (semantic conventions, gen_ai.*), as
 * Prometheus histograms: dots become underscores, the unit follows, buckets are the ones advised
 * there. One set a model of a host and kind of operation. Adding is pure; one owner thread.
 */
#ifndef HF_GATEWAY_GENAI_H
#define HF_GATEWAY_GENAI_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/translate.h"

enum hf_genai_op { HF_GENAI_CHAT, HF_GENAI_COMPLETION, HF_GENAI_EMBEDDINGS, HF_GENAI_OPS };

enum { HF_GENAI_BUCKETS = 16 };

struct hf_genai_hist {
    uint64_t counts[HF_GENAI_BUCKETS + 1]; /* not cumulative; the last: beyond all bounds */
    uint64_t count;
    double sum;
};

struct hf_genai {
    struct hf_genai_hist duration;    /* s, all tries and waiting together */
    struct hf_genai_hist first_token; /* s, of the try that gave it */
    struct hf_genai_hist per_token;   /* s, between tokens after the first */
    struct hf_genai_hist input;       /* tokens */
    struct hf_genai_hist output;
};

/* What one good request was like. Milliseconds of the monotonic clock; 0: did not happen. */
struct hf_genai_sample {
    uint64_t start_ms;
    uint64_t sent_ms;
    uint64_t first_token_ms;
    uint64_t end_ms;
    const struct hf_usage *usage;
};

struct hf_prom;
struct hf_gateway;

enum hf_genai_op hf_genai_op(enum hf_endpoint ep);
void hf_genai_add(struct hf_genai *g, const struct hf_genai_sample *s);
/* Every family with its samples. Transfer thread. */
void hf_genai_write(const struct hf_gateway *g, struct hf_prom *p);

#endif
