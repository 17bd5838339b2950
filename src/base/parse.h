/*
 * Text from outside into numbers: integers, Go-style durations, sizes, RFC 3339 times, TXIDs.
 *
 * Whole string or nothing: trailing characters, overflow and signs that make no sense are
 * HF_E_INVALID with a text that names the value and shows a good one. Pure, any thread.
 */
#ifndef HF_BASE_PARSE_H
#define HF_BASE_PARSE_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

/* Decimal, min <= value <= max. */
HF_MUST enum hf_code hf_parse_i64(const char *text, int64_t min, int64_t max, int64_t *out,
                                  struct hf_err *err);
/* "1s", "250ms", "1h30m", "0.02s", "20us", "0"; result in nanoseconds, never negative. */
HF_MUST enum hf_code hf_parse_duration_ns(const char *text, int64_t *out, struct hf_err *err);
/* "4096", "64KB", "64KiB", "5MB", "1GiB": bytes. KB = 1024 as Litestream reads it. */
HF_MUST enum hf_code hf_parse_size(const char *text, int64_t *out, struct hf_err *err);
/* RFC 3339 with any offset and fraction, "2026-11-22T10:49:03.5+01:00": ms since the epoch. */
HF_MUST enum hf_code hf_parse_time_ms(const char *text, int64_t *out, struct hf_err *err);
/* "12", "0.88", ".5": millionths, 0 <= value <= max, never through a floating number. More than six
 * digits behind the point are refused. */
HF_MUST enum hf_code hf_parse_micro(const char *text, int64_t max, int64_t *out,
                                    struct hf_err *err);
/* "0.88", "-12", "3.000001": millionths as a decimal without zeros at its end. */
#define HF_MICRO_TEXT 32
void hf_micro_format(int64_t micro, char out[HF_MICRO_TEXT]);
/* One to 16 hex digits, at least 1. */
HF_MUST enum hf_code hf_parse_txid(const char *text, uint64_t *out, struct hf_err *err);

/* "1.5s", "250ms", "1h0m0s": the way Go prints durations. Buffer of 32 bytes. */
#define HF_DURATION_TEXT 32
void hf_duration_format(int64_t ns, char out[HF_DURATION_TEXT]);

/* true / false / yes / no / on / off in any case. */
HF_MUST enum hf_code hf_parse_bool(const char *text, int *out, struct hf_err *err);

#endif
