/*
 * Price tables of object stores: those of packaging/prices.json, built in, or a file of the same
 * form. Main thread.
 */
#ifndef HF_CMD_PRICES_H
#define HF_CMD_PRICES_H

#include "cmd/costmodel.h"

enum { HF_PRICES_MAX = 16 };

struct hf_cost_tables {
    struct hf_cost_prices items[HF_PRICES_MAX];
    size_t n;
};

/* file NULL: what is built in. HF_E_INVALID names what is missing or wrong. */
HF_MUST enum hf_code hf_prices_load(const char *file, struct hf_cost_tables *out,
                                    struct hf_err *err);
HF_MUST enum hf_code hf_prices_parse(const char *text, size_t len, struct hf_cost_tables *out,
                                     struct hf_err *err);
/* The table a replica's store is priced by; NULL: none (files, sftp, unknown services). */
const struct hf_cost_prices *hf_prices_of(const struct hf_cost_tables *t,
                                          const struct hf_config_replica *r);
const struct hf_cost_prices *hf_prices_find(const struct hf_cost_tables *t, const char *id);

#endif
