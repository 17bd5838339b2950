/*
 * The circuit breaker of one model on one host: a daemon that answers health checks may still fail
 * every request (a GPU that fell off the bus). Pure; times in ms of the monotonic clock.
 *
 *   closed ──5 failures in a row, or half of 5 or more within a minute──► open (15 s, doubling,
 *   5 min at most) ──time is over──► half-open: one request at a time ──2 good──► closed
 *                                                   └──1 failure──► open, longer
 */
#ifndef HF_GATEWAY_BREAKER_H
#define HF_GATEWAY_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum hf_breaker_state { HF_BREAKER_CLOSED, HF_BREAKER_OPEN, HF_BREAKER_HALF_OPEN };

enum {
    HF_BREAKER_ROW = 5,
    HF_BREAKER_WINDOW_MS = 60000,
    HF_BREAKER_WINDOW_MIN = 5,
    HF_BREAKER_OPEN_MS = 15000,
    HF_BREAKER_OPEN_MAX = 300000,
    HF_BREAKER_CLOSE_AFTER = 2
};

struct hf_breaker {
    enum hf_breaker_state state;
    int row;    /* failures in a row */
    int total;  /* requests in the window */
    int failed; /* of them */
    int good;   /* in half-open */
    int openings;
    bool is_trying; /* the one request of half-open is under way */
    uint64_t window_ms;
    uint64_t until_ms; /* open: when it becomes half-open */
};

/* May a request go there now? Turns open into half-open when its time is over. */
bool hf_breaker_allows(struct hf_breaker *b, uint64_t now_ms);
/* A request was sent. */
void hf_breaker_sent(struct hf_breaker *b);
/* How it ended; jitter spreads the opening by +-20 %. True when the state changed. */
bool hf_breaker_result(struct hf_breaker *b, bool is_ok, uint64_t now_ms, uint32_t jitter);
/* It ended without saying anything about the host (the client left). */
void hf_breaker_dropped(struct hf_breaker *b);
/* The host told us to stay away until then (Retry-After). */
void hf_breaker_hold(struct hf_breaker *b, uint64_t until_ms);
const char *hf_breaker_word(enum hf_breaker_state s);

#endif
