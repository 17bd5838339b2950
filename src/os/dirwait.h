/*
 * Waits on the caller's thread until a directory changes, a time is over or another thread wakes
 * it.
 *
 * For threads that have no loop of their own (follow). A directory that does not exist yet is
 * looked for again at every wait. One waiting thread; hf_dirwait_wake from any thread or a signal
 * handler.
 */
#ifndef HF_OS_DIRWAIT_H
#define HF_OS_DIRWAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct hf_dirwait;

/* dir: NULL = only time and wake. Copied. */
HF_MUST enum hf_code hf_dirwait_new(const char *dir, struct hf_dirwait **out, struct hf_err *err);
/* Returns after the first change since the last call, after timeout_ms, or when woken; true unless
 * it was the time. */
bool hf_dirwait_wait(struct hf_dirwait *w, uint64_t timeout_ms);
/* Ends the present wait, or the next one if none is under way. */
void hf_dirwait_wake(struct hf_dirwait *w);
/* From the waiting thread. NULL is allowed. */
void hf_dirwait_free(struct hf_dirwait *w);

/* A text that differs after every start of the machine: tells whether what was written without
 * fsync is still what was written. */
#define HF_BOOT_ID_TEXT 64
void hf_boot_id(char out[HF_BOOT_ID_TEXT]);

#endif
