/*
 * Percent escapes of URLs (RFC 3986). Pure, any thread.
 *
 * What is escaped here is exactly what the request signatures of object stores escape: all but
 * A-Z a-z 0-9 - . _ ~ as %XX with upper-case digits; a path keeps its '/'.
 */
#ifndef HF_CODEC_HTTPURL_H
#define HF_CODEC_HTTPURL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

/* Appends text escaped as one query value or path segment; keep_slash: as a path. */
HF_MUST enum hf_code hf_url_escape(struct hf_buf *out, const char *text, bool keep_slash,
                                   struct hf_err *err);
/* Undoes escapes in place (never grows); '+' stays. HF_E_INVALID for a broken escape or %00. */
HF_MUST enum hf_code hf_url_unescape(char *text, struct hf_err *err);

#endif
