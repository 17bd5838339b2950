/*
 * What all stores over a network share: when to try again, how much may be under way, and how a
 * put whose outcome is unknown is resolved.
 *
 * hf_retry_* and hf_unknown_* are pure but for the reading back; a struct hf_budget may be used by
 * any number of threads. Retries inside a store are few and short (HF_RETRY_TRIES): whoever calls
 * the store waits longer between its own, and must be able to stop.
 */
#ifndef HF_STORE_RETRY_H
#define HF_STORE_RETRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum {
    HF_RETRY_TRIES = 5,
    HF_RETRY_BASE_MS = 200,    /* full jitter: a wait is 0 to BASE * 2^n */
    HF_RETRY_CAP_MS = 5000,    /* ... and no longer than this */
    HF_RETRY_TOTAL_MS = 15000, /* a Retry-After beyond what is left of it ends the trying */
};

struct hf_retry {
    unsigned tries; /* failed so far */
    uint64_t start_ms;
};

/* After a failed try: how long to wait before the next, false if there is none. retry_after_ms:
 * what the server asked for, -1 for nothing. random: any number. */
bool hf_retry_next(struct hf_retry *r, int64_t retry_after_ms, uint64_t random, uint64_t now_ms,
                   uint64_t *wait_ms);
/* 408, 429, 500, 502, 503, 504. */
bool hf_retry_is_status(int status);
/* The value of Retry-After (seconds or a date) in ms from now_ms on; -1 for NULL or nonsense. */
int64_t hf_retry_after_ms(const char *value, int64_t now_wall_ms);

/* Requests per second and bytes in flight, over all stores that share it. */
struct hf_budget {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t bytes_max;
    uint64_t bytes; /* in flight */
    uint64_t interval_ns;
    uint64_t next_ns; /* when the next request may start, at the earliest */
};

void hf_budget_init(struct hf_budget *b, unsigned requests_per_s, uint64_t bytes_max);
void hf_budget_deinit(struct hf_budget *b);
enum { HF_BUDGET_SMALL = 256 << 10 };
/* Blocks until a request with so many bytes may start. More than bytes_max waits to be alone; up
 * to HF_BUDGET_SMALL waits for no bytes: what is shipped must not queue behind the blocks of a
 * snapshot, and the threads that ship are few. */
void hf_budget_take(struct hf_budget *b, uint64_t bytes);
void hf_budget_give(struct hf_budget *b, uint64_t bytes);

/* A mark put beside each object by its writer: 32 hex digits. */
#define HF_NONCE_TEXT 33
void hf_nonce_make(char out[HF_NONCE_TEXT]);

/* Reads the mark of the object as it is now; HF_E_NOT_FOUND without the object; "" without one. */
typedef enum hf_code hf_nonce_fn(void *arg, char out[HF_NONCE_TEXT], struct hf_err *err);
/*
 * The outcome of a create-only put that ended with rc after a try whose effect is not known (the
 * answer was lost, or a server failed behind the request): HF_OK if the object bears our nonce,
 * HF_E_EXISTS if it bears another, rc otherwise.
 */
HF_MUST enum hf_code hf_unknown_resolve(enum hf_code rc, const char *nonce, hf_nonce_fn *read,
                                        void *arg, struct hf_err *err);

#endif
