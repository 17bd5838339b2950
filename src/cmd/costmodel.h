/*
 * What a replica costs a month: requests, bytes and money, from how it is configured and how much
 * is written. Pure arithmetic over rates; decision 0065 says where the formulas come from.
 *
 * Commits are taken to come at random (Poisson). Rates are per second, sizes in bytes, intervals in
 * seconds; what comes out is per month of 30.4375 days. Any thread.
 */
#ifndef HF_CMD_COSTMODEL_H
#define HF_CMD_COSTMODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

#define HF_COST_MONTH_S 2629800.0

/* How a replica is kept. */
struct hf_cost_setup {
    double sync_s;
    double levels_s[HF_CONFIG_LEVELS];
    size_t n_levels;
    double l0_retention_s;
    double snapshot_s; /* 0: none by time */
    double retention_s;
};

/* What its database does. */
struct hf_cost_load {
    double commits;          /* a second */
    double bytes_per_commit; /* of LTX, without what each file has once */
    double snapshot_bytes;   /* of the whole database, compressed */
};

/* A month of it. */
struct hf_cost_use {
    double writes; /* puts, parts included */
    double reads;
    double lists; /* pages */
    double up_bytes;
    double down_bytes;
    double stored_bytes; /* on average */
};

/* A price table; dollars. Requests per million, free allowances per month and account. */
struct hf_cost_prices {
    char id[16];
    char name[48];
    char as_of[16];
    char source[128];
    double storage_gb;
    double writes_m;
    double reads_m;
    double lists_m;
    double egress_gb;
    double free_storage_gb;
    double free_writes;
    double free_reads;
    double free_lists;
    double free_egress_gb;
    double free_egress_of_stored; /* so many times what is stored may be read for nothing */
    double list_page;             /* names in one answer */
};

/* Uploads a second: the first commit after a quiet interval at once, then one an interval. */
double hf_cost_uploads(double commits, double sync_s);
/* ... and back: the commits that make so many uploads. Near one an interval they can't be told
 * from uploads any more: then the least that fits. */
double hf_cost_commits(double uploads, double sync_s);
/* What was measured: uploads and their bytes a second under an interval. */
struct hf_cost_load hf_cost_load_of(double uploads, double bytes, double sync_s,
                                    double snapshot_bytes);
/* list_page: of the store's price table. */
void hf_cost_predict(const struct hf_cost_setup *s, const struct hf_cost_load *l, double list_page,
                     struct hf_cost_use *out);
/* Databases that share packs: their uploads become one an interval; what is measured per database
 * comes in sum. out is the change of writes and reads, both negative or 0. */
void hf_cost_pack(double sum_uploads, double sum_commits, double sync_s, struct hf_cost_use *out);
void hf_cost_add(struct hf_cost_use *sum, const struct hf_cost_use *u);
/* Dollars. with_free: allowances are taken off, for what an account pays in all. is_near: reading
 * costs no egress (the process runs in the same region). */
double hf_cost_money(const struct hf_cost_prices *p, const struct hf_cost_use *u, bool with_free,
                     bool is_near);

#endif
