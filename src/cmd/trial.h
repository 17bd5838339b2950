/*
 * At the start of replicate: does each service honour create-only puts? Two replicators on one path
 * find out about each other by nothing else, so a service that does not is refused before anything
 * is followed (decision 0021), not once for each database at its first upload.
 *
 * Services are asked side by side, each on a thread of its own. One that is slow holds nobody up:
 * the caller goes on after a while and asks later what came out; uploads there wait for the answer.
 * One that can't be asked is asked by the first upload. Called by the main thread.
 */
#ifndef HF_CMD_TRIAL_H
#define HF_CMD_TRIAL_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "config/config.h"

struct hf_trials;

/* Begins to ask. cfg is not kept. HF_E_INVALID and the like: a replica that can't be opened. */
HF_MUST enum hf_code hf_trials_start(const struct hf_config *cfg, struct hf_trials **out,
                                     struct hf_err *err);
/* HF_E_UNSUPPORTED: a service is refused. HF_E_TIMEOUT: some did not answer yet. One that ignores
 * conditions and may is warned about, once. */
HF_MUST enum hf_code hf_trials_wait(struct hf_trials *t, uint32_t timeout_ms, struct hf_err *err);
/* Waits for calls under way. Until then what was learned is known to all stores of this process. */
void hf_trials_free(struct hf_trials *t);

#endif
