/*
 * Base64 with the standard alphabet and padding (RFC 4648, section 4). Pure, any thread.
 */
#ifndef HF_BASE_BASE64_H
#define HF_BASE_BASE64_H

#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

/* NUL-terminated; the caller frees. len is bounded by the caller. */
HF_MUST char *hf_base64_encode(const void *data, size_t len);
/* Appends the bytes of text[0..len) to out (HF_E_LIMIT past its maximum). HF_E_INVALID, and
 * nothing appended, for other characters, white space, missing or wrong padding, or bits that
 * would be lost: each value has one spelling. The text is in no message: it may be a key. */
HF_MUST enum hf_code hf_base64_decode(const char *text, size_t len, struct hf_buf *out,
                                      struct hf_err *err);

#endif
