/*
 * heartbeat-url: a GET at each heartbeat-interval in which every database was synced, for a service
 * that raises an alarm when they stop coming. One that fails is logged, and tried again at the
 * next look; nothing waits for it.
 *
 * A thread of its own (and the HTTP client's); started and stopped on the main thread. The two
 * decisions are pure.
 */
#ifndef HF_CMD_HEARTBEAT_H
#define HF_CMD_HEARTBEAT_H

#include "cmd/metrics.h"
#include "config/config.h"

struct hf_heartbeat;

/* *out NULL without a heartbeat-url. cfg and engine are borrowed until the stop. */
HF_MUST enum hf_code hf_heartbeat_start(const struct hf_config *cfg, struct hf_engine *engine,
                                        struct hf_heartbeat **out, struct hf_err *err);
/* A call under way is given up. NULL is allowed. */
void hf_heartbeat_stop(struct hf_heartbeat *h);

/* The first database that was not synced within the interval, NULL if there is none: one that is
 * stopped, has never been replicated, has an older commit that is only here, or an error that no
 * upload within the interval speaks against. */
const struct hf_db_status *hf_heartbeat_late(const struct hf_snapshot *s, int64_t interval_ms,
                                             int64_t now_ms);
/* pinged_ms: of the last one that arrived, 0 before the first. Monotonic times. */
bool hf_heartbeat_is_due(uint64_t pinged_ms, int64_t interval_ms, uint64_t now_ms);

#endif
