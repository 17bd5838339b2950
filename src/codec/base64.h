/*
 * Base64 (RFC 4648 section 4, with padding). Pure, any thread.
 */
#ifndef HF_CODEC_BASE64_H
#define HF_CODEC_BASE64_H

#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"

HF_MUST enum hf_code hf_base64_encode(struct hf_buf *out, const void *data, size_t len,
                                      struct hf_err *err);
/* Strict: padding required, no white space, no bits left over. HF_E_INVALID, out untouched. */
HF_MUST enum hf_code hf_base64_decode(struct hf_buf *out, const char *text, size_t len,
                                      struct hf_err *err);

#endif
