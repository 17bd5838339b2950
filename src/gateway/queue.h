/*
 * Who waits for a slot: bounded, fair between clients, with priorities. Pure; entries are embedded
 * in their owners, one owner thread.
 *
 * A lane is what is waited for (one model of one host, or a host's return). Within a lane the
 * higher class goes first, but an entry that waited HF_GWQ_AGE_MS counts as interactive. Within a
 * class clients take turns: the one served longest ago goes first, its own entries in order of
 * arrival. No client holds more than half of a lane while others could come.
 */
#ifndef HF_GATEWAY_QUEUE_H
#define HF_GATEWAY_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum hf_gwq_class { HF_GWQ_INTERACTIVE, HF_GWQ_BATCH };

enum { HF_GWQ_AGE_MS = 20000, HF_GWQ_CLIENTS = 64 };

struct hf_gwq_entry {
    struct hf_gwq_entry *next;
    struct hf_gwq_entry *prev;
    struct hf_gwq_lane *lane; /* NULL: not queued */
    uint64_t client;          /* hash of key or address */
    enum hf_gwq_class class_;
    uint64_t since_ms;
    uint64_t deadline_ms;
};

/* A client and when it was last served. */
struct hf_gwq_turn {
    uint64_t client;
    uint64_t served;
};

struct hf_gwq_lane {
    struct hf_gwq_entry *first;
    struct hf_gwq_entry *last;
    size_t n;
    size_t max;
    size_t *total; /* over all lanes */
    size_t total_max;
    uint64_t serial;
    struct hf_gwq_turn turns[HF_GWQ_CLIENTS];
    size_t n_turns;
};

void hf_gwq_init(struct hf_gwq_lane *lane, size_t max, size_t *total, size_t total_max);
/* HF_E_BUSY when the lane, all lanes together or the client's share is full. */
HF_MUST enum hf_code hf_gwq_push(struct hf_gwq_lane *lane, struct hf_gwq_entry *e,
                                 struct hf_err *err);
/* Takes the next one out; NULL if none waits. */
struct hf_gwq_entry *hf_gwq_pop(struct hf_gwq_lane *lane, uint64_t now_ms);
/* Takes e out if it is queued. */
void hf_gwq_remove(struct hf_gwq_entry *e);
/* Takes one out whose deadline has passed; NULL if none. */
struct hf_gwq_entry *hf_gwq_expired(struct hf_gwq_lane *lane, uint64_t now_ms);

#endif
