/*
 * What a failed try means: may the request go elsewhere, and what does it say about the host. One
 * table, one row a class of failure (hf_gw_failures); pure.
 *
 * Before the commit point (the first byte of the answer that the client gets) everything the table
 * allows may be tried again elsewhere; after it nothing may.
 */
#ifndef HF_GATEWAY_FAILURE_H
#define HF_GATEWAY_FAILURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* X(name, same host, other host, cloud, health, word)
 *   same    once more on the same host (another address or connection)
 *   other   on another host;   cloud  on a cloud, if the route has one
 *   health  none: says nothing about the host; model: counts in its breaker; dead: the host cannot
 *           be reached; denied: our configuration is wrong; busy: not dead, come back later;
 *           missing: its list of models is out of date */
#define HF_GW_FAILURES(X)                                                                          \
    X(HF_GW_OK, 0, 0, 0, HF_GW_SAYS_GOOD, "ok")                                                    \
    X(HF_GW_REFUSED, 0, 1, 1, HF_GW_SAYS_DEAD, "connect-refused")                                  \
    X(HF_GW_CONNECT_TIMEOUT, 0, 1, 1, HF_GW_SAYS_DEAD, "connect-timeout")                          \
    X(HF_GW_STALE, 1, 1, 1, HF_GW_SAYS_NOTHING, "stale-connection")                                \
    X(HF_GW_RESET, 0, 1, 1, HF_GW_SAYS_DEAD, "reset")                                              \
    X(HF_GW_HOST_DIED, 0, 1, 1, HF_GW_SAYS_MODEL, "host-died")                                     \
    X(HF_GW_FIRST_BYTE_TIMEOUT, 0, 1, 0, HF_GW_SAYS_MODEL, "first-byte-timeout")                   \
    X(HF_GW_IDLE_TIMEOUT, 0, 1, 1, HF_GW_SAYS_MODEL, "idle-timeout")                               \
    X(HF_GW_CUT, 0, 1, 1, HF_GW_SAYS_MODEL, "cut-without-terminator")                              \
    X(HF_GW_NONSENSE, 0, 1, 1, HF_GW_SAYS_MODEL, "nonsense")                                       \
    X(HF_GW_IN_BAND, 0, 1, 1, HF_GW_SAYS_MODEL, "error-in-stream")                                 \
    X(HF_GW_SERVER, 0, 1, 1, HF_GW_SAYS_MODEL, "server-error")                                     \
    X(HF_GW_UNAVAILABLE, 0, 1, 1, HF_GW_SAYS_BUSY, "unavailable")                                  \
    X(HF_GW_RATE, 0, 1, 1, HF_GW_SAYS_BUSY, "rate-limited")                                        \
    X(HF_GW_BILLING, 0, 1, 1, HF_GW_SAYS_DENIED, "billing")                                        \
    X(HF_GW_DENIED, 0, 1, 1, HF_GW_SAYS_DENIED, "denied")                                          \
    X(HF_GW_NO_MODEL, 0, 1, 1, HF_GW_SAYS_MISSING, "no-such-model")                                \
    X(HF_GW_REQUEST, 0, 0, 0, HF_GW_SAYS_NOTHING, "bad-request")                                   \
    X(HF_GW_CONTEXT, 0, 0, 0, HF_GW_SAYS_NOTHING, "context-too-long")                              \
    X(HF_GW_CLIENT_LEFT, 0, 0, 0, HF_GW_SAYS_NOTHING, "client-left")                               \
    X(HF_GW_DEADLINE, 0, 0, 0, HF_GW_SAYS_NOTHING, "deadline")                                     \
    X(HF_GW_UNTRANSLATABLE, 0, 1, 1, HF_GW_SAYS_NOTHING, "untranslatable")                         \
    X(HF_GW_NO_KEY, 0, 0, 0, HF_GW_SAYS_NOTHING, "no-key")                                         \
    X(HF_GW_SCOPE, 0, 0, 0, HF_GW_SAYS_NOTHING, "out-of-scope")                                    \
    X(HF_GW_KEY_LIMIT, 0, 0, 0, HF_GW_SAYS_NOTHING, "key-limit")                                   \
    X(HF_GW_BUDGET, 0, 0, 0, HF_GW_SAYS_NOTHING, "over-budget")                                    \
    X(HF_GW_JOURNAL, 0, 0, 0, HF_GW_SAYS_NOTHING, "journal-failed")

enum hf_gw_says {
    HF_GW_SAYS_GOOD,
    HF_GW_SAYS_NOTHING,
    HF_GW_SAYS_MODEL,
    HF_GW_SAYS_DEAD,
    HF_GW_SAYS_BUSY,
    HF_GW_SAYS_DENIED,
    HF_GW_SAYS_MISSING
};

enum hf_gw_failure {
#define X(name, same, other, cloud, says, word) name,
    HF_GW_FAILURES(X)
#undef X
        HF_GW_FAILURES_
};

enum {
    HF_GW_TRIES = 3,             /* of one request, all hosts together */
    HF_GW_RETRY_PERCENT = 20,    /* retries under way, of requests under way */
    HF_GW_RETRY_MIN = 3,         /* that many are always allowed */
    HF_GW_RETRY_AFTER_MAX_S = 55 /* clients ignore more than 60 */
};

struct hf_gw_rule {
    bool may_same;
    bool may_other;
    bool may_cloud;
    enum hf_gw_says says;
    const char *word;
};

const struct hf_gw_rule *hf_gw_failure_rule(enum hf_gw_failure f);
/* The class of an answer's status, by what the dialect's error says (enum hf_api_class values are
 * mapped by the caller). status is not 2xx. */
enum hf_gw_failure hf_gw_failure_of_status(int status);
/* Seconds for Retry-After: at least 1, at most HF_GW_RETRY_AFTER_MAX_S. */
int hf_gw_retry_after_s(uint64_t wait_ms);
/* What a Retry-After header says, seconds or an HTTP date; 0: nothing that can be used. */
uint64_t hf_gw_retry_after_ms(const char *text, int64_t wall_ms);
/* Whether the retry budget allows one more retry. */
bool hf_gw_retry_allowed(int64_t active, int64_t retries);

#endif
