/*
 * Metrics as text, as Prometheus scrapes it ("Text-based format", version 0.0.4).
 *
 *   # HELP litestream_txid Newest transaction id in the replica.
 *   # TYPE litestream_txid gauge
 *   litestream_txid{db="/var/lib/app.db"} 4711
 *
 * All samples of a family stand together under its head: hf_prom_family, then hf_prom_value for
 * each. Label values are escaped here. A buffer that is full is remembered: hf_prom_end tells once.
 * Pure, one thread.
 */
#ifndef HF_CODEC_PROMETHEUS_H
#define HF_CODEC_PROMETHEUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define HF_PROM_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct hf_prom {
    struct hf_buf *out;
    const char *family; /* the one samples belong to */
    bool is_full;
};

struct hf_prom_label {
    const char *name;
    const char *value; /* NULL is "" */
};

void hf_prom_init(struct hf_prom *p, struct hf_buf *out);
/* type: "gauge", "counter" or "histogram". name and help: static texts; a newline in help is
 * escaped. */
void hf_prom_family(struct hf_prom *p, const char *name, const char *type, const char *help);
/* Whole numbers up to 2^53 are written as such. */
void hf_prom_value(struct hf_prom *p, const struct hf_prom_label *labels, size_t n, double value);
/* counts: n, one a bound and not cumulative; what is beyond all bounds is only in count. */
struct hf_prom_hist {
    const double *bounds;
    const uint64_t *counts;
    size_t n;
    uint64_t count;
    double sum;
};
/* _bucket of each bound and of +Inf, _sum and _count. */
void hf_prom_histogram(struct hf_prom *p, const struct hf_prom_label *labels, size_t n,
                       const struct hf_prom_hist *h);
HF_MUST enum hf_code hf_prom_end(struct hf_prom *p, struct hf_err *err);

#endif
