/*
 * Sums over the usage journal, by key, model, host and day. Reads the file on a connection of its
 * own, so the writer is not held up. Blocking; any thread.
 */
#ifndef HF_GATEWAY_USAGE_H
#define HF_GATEWAY_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

/* X(name, column of the journal, word) */
#define HF_USAGE_GROUPS(X)                                                                         \
    X(HF_USAGE_KEY, "key", "key")                                                                  \
    X(HF_USAGE_ROUTE, "route", "route")                                                            \
    X(HF_USAGE_MODEL, "model", "model")                                                            \
    X(HF_USAGE_HOST, "host", "host")                                                               \
    X(HF_USAGE_DAY, "day", "day")                                                                  \
    X(HF_USAGE_OUTCOME, "outcome", "outcome")

enum hf_usage_group {
#define X(name, column, word) name,
    HF_USAGE_GROUPS(X)
#undef X
        HF_USAGE_GROUPS_
};

struct hf_usage_ask {
    unsigned groups;  /* bit 1 << enum hf_usage_group; 0: one row over all */
    int64_t since_ms; /* wall time; 0: all that is kept */
};

/* "key,model" into bits; NULL or "" is key and model. HF_E_INVALID names the words there are. */
HF_MUST enum hf_code hf_usage_parse_groups(const char *text, unsigned *out, struct hf_err *err);
/* "24h", "2026-11-27", "2026-11-27T10:00:00Z" before now_ms; NULL or "": 0. */
HF_MUST enum hf_code hf_usage_parse_since(const char *text, int64_t now_ms, int64_t *out,
                                          struct hf_err *err);
/* An array of objects: the groups' words, then requests, failed, tokens_in, tokens_out,
 * tokens_cached, cost (a decimal in quotes), estimated; most expensive first. HF_LIMIT_USAGE_ROWS
 * rows at most. On failure j is left in the middle: throw it away. */
HF_MUST enum hf_code hf_usage_write(const char *path, const struct hf_usage_ask *ask,
                                    struct hf_json *j, struct hf_err *err);

#endif
