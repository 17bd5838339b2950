/*
 * Time. Wall time is milliseconds since the Unix epoch, UTC; monotonic time never goes back and is
 * only for differences. Any thread.
 */
#ifndef HF_BASE_CLOCK_H
#define HF_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t hf_clock_wall_ms(void);
uint64_t hf_clock_mono_ns(void);
uint64_t hf_clock_mono_ms(void);
void hf_clock_sleep_us(uint64_t us);

/* "2026-11-22T10:49:03.125Z": RFC 3339, UTC, milliseconds. Buffer of HF_TIME_TEXT bytes. */
#define HF_TIME_TEXT 32
void hf_clock_format(int64_t wall_ms, char out[HF_TIME_TEXT]);

#endif
