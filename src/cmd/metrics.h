/*
 * What a running `replicate` tells about itself: a copy of the engine's status, and that as
 * Prometheus metrics and as a verdict for health checks. docs/metrics.md lists the metrics.
 *
 * A snapshot is taken on any thread; the rest is pure.
 */
#ifndef HF_CMD_METRICS_H
#define HF_CMD_METRICS_H

#include "base/arena.h"
#include "base/buf.h"
#include "replica/engine.h"

struct hf_snapshot {
    struct hf_arena *arena;
    struct hf_db_status *rows; /* one a database and replica; those of a database stand together */
    size_t n;
    size_t cap;
};

void hf_snapshot_take(struct hf_snapshot *s, struct hf_engine *e);
void hf_snapshot_deinit(struct hf_snapshot *s);
/* True for the first row of its database. */
bool hf_snapshot_is_first(const struct hf_snapshot *s, size_t i);

HF_MUST enum hf_code hf_metrics_write(const struct hf_snapshot *s, struct hf_buf *out,
                                      struct hf_err *err);

enum {
    HF_HEALTH_LAG_MS = 60000, /* older commits that are nowhere but here: not healthy */
};
/* The first database that is not well, or NULL: an error stands, or the lag is too large. */
const struct hf_db_status *hf_health_worst(const struct hf_snapshot *s);

#endif
