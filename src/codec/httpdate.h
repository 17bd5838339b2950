/*
 * Dates of HTTP headers as RFC 9110 wants them sent (IMF-fixdate, always GMT). Pure.
 */
#ifndef HF_CODEC_HTTPDATE_H
#define HF_CODEC_HTTPDATE_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define HF_HTTP_DATE_TEXT 32

/* wall_ms: ms since the epoch, 1970 to 9999; milliseconds are dropped. */
void hf_http_date_format(int64_t wall_ms, char out[HF_HTTP_DATE_TEXT]);
/* HF_E_INVALID for anything but the form above; the weekday is not checked. */
HF_MUST enum hf_code hf_http_date_parse(const char *text, int64_t *out, struct hf_err *err);

#endif
