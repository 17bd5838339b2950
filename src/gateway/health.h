/*
 * The health of one host: a state machine driven by probes (active) and by what requests meet
 * (passive). Pure: one owner, time comes in as milliseconds of the monotonic clock.
 *
 * Fall: one failure makes a host suspect (no new requests while others can take them, probed every
 * second), a second one makes it down. Rise: two good probes make it recovering, where few
 * requests at a time are let in, and after HF_HEALTH_SLOW_MS it is up. What is wrong with our
 * configuration (401, 403) is not "dead": config-error. Drained is what an operator said.
 *
 * The table health_moves prints itself: hf_health_table().
 */
#ifndef HF_GATEWAY_HEALTH_H
#define HF_GATEWAY_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum hf_health_state {
    HF_HEALTH_NEW, /* not probed yet: taken for up */
    HF_HEALTH_UP,
    HF_HEALTH_SUSPECT, /* one failure */
    HF_HEALTH_DOWN,
    HF_HEALTH_RECOVERING, /* back, slow start */
    HF_HEALTH_CONFIG,     /* it answers, but refuses us */
    HF_HEALTH_DRAINED,    /* taken out by an override */
    HF_HEALTH_STATES_
};

enum hf_health_event {
    HF_HEALTH_PROBE_OK,
    HF_HEALTH_PROBE_FAILED, /* no answer, or 5xx */
    HF_HEALTH_REFUSED,      /* a request could not connect, or was reset */
    HF_HEALTH_DENIED,       /* 401, 403 */
    HF_HEALTH_DRAIN,
    HF_HEALTH_UNDRAIN,
    HF_HEALTH_EVENTS_
};

enum {
    HF_HEALTH_RISE = 2,
    HF_HEALTH_FAST_MS = 1000,      /* between probes while something is unclear */
    HF_HEALTH_BACKOFF_MS = 2000,   /* first wait between probes of a dead host; doubles */
    HF_HEALTH_BACKOFF_MAX = 30000, /* a host that comes back is noticed within this */
    HF_HEALTH_SLOW_MS = 30000,     /* slow start */
    HF_HEALTH_CONFIG_MS = 30000
};

struct hf_health {
    enum hf_health_state state;
    uint64_t since_ms;
    uint64_t next_probe_ms;
    int good;            /* good probes in a row */
    int failed;          /* failures in a row */
    uint64_t last_ok_ms; /* 0: never */
    const char *reason;  /* of the last change, from the table */
};

void hf_health_init(struct hf_health *h, uint64_t now_ms);
/* True when the state changed. jitter: any number, spreads the next probe by +-25 %. */
bool hf_health_step(struct hf_health *h, enum hf_health_event ev, uint64_t interval_ms,
                    uint64_t now_ms, uint32_t jitter);
/* Time alone: slow start is over. True when the state changed. */
bool hf_health_tick(struct hf_health *h, uint64_t now_ms);
/* New requests may go there without a second thought. */
bool hf_health_is_routable(const struct hf_health *h);
/* It cannot be reached: conditions "if A down" count. */
bool hf_health_is_down(const struct hf_health *h);
/* Requests at a time that slow start allows; 0: no limit. */
int64_t hf_health_cap(const struct hf_health *h, uint64_t now_ms);
const char *hf_health_word(enum hf_health_state s);
const char *hf_health_event_word(enum hf_health_event e);
/* The table, as Mermaid's stateDiagram lines. */
HF_MUST enum hf_code hf_health_table(struct hf_buf *out, struct hf_err *err);

#endif
