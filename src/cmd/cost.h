/*
 * The pieces of `holdfast cost`: what is priced, where the traffic comes from (cost_load.c), what
 * would save (cost_knobs.c), how it is shown (cost.c). Main thread.
 */
#ifndef HF_CMD_COST_H
#define HF_CMD_COST_H

#include "cmd/common.h"
#include "cmd/costmodel.h"
#include "cmd/prices.h"

struct hf_cost_options {
    struct hf_config_flags config;
    const char *socket;
    const char *writes_per_second; /* a number: assumed instead of measured */
    int64_t bytes_per_write;
    const char *db_size;
    const char *prices;
    const char *provider;
    bool same_region;
    bool json;
};

/* One database in one replica. */
struct hf_cost_entry {
    const struct hf_config_db *db;
    const struct hf_config_replica *replica;
    const struct hf_cost_prices *priced_by; /* of its own service; NULL: none */
    const char *from;                       /* "running", "history", "assumed", "unknown" */
    struct hf_err why;                      /* then: why it is not known */
    struct hf_cost_setup setup;
    struct hf_cost_load load;
};

struct hf_cost_fleet {
    const struct hf_cost_options *o;
    struct hf_config *cfg;
    struct hf_cost_tables tables;
    const struct hf_cost_prices *provider; /* what savings are counted by */
    struct hf_cost_entry *items;
    size_t n;
};

/* Fills load and from of every entry: from the flags, else from a running process, else from what
 * the replicas hold. What can't be known costs nothing and says so. */
HF_MUST enum hf_code hf_cost_measure(struct hf_cost_fleet *f, struct hf_err *err);

/* The use of all entries, each with its setup as change makes it (NULL: as it is). */
typedef void hf_cost_change(struct hf_cost_setup *s);
struct hf_cost_use hf_cost_total(const struct hf_cost_fleet *f, hf_cost_change *change,
                                 const char *only_tier);

enum { HF_COST_KNOBS = 64, HF_COST_KNOB_TEXT = 120 };

struct hf_cost_knob {
    const char *key;              /* "sync-interval" */
    char what[HF_COST_KNOB_TEXT]; /* "five times as long in tier p2" */
    double saves;                 /* dollars a month */
    struct hf_cost_use use;       /* in all, with it */
};

/* The most saving first; returns how many. */
size_t hf_cost_knobs(const struct hf_cost_fleet *f, struct hf_cost_knob out[HF_COST_KNOBS]);

#endif
