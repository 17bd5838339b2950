/*
 * Azure Storage's Shared Key signature (Blob service, the form since version 2009-09-19).
 *
 * The text that is signed, every line but the last ended by '\n':
 *
 *   VERB, then the values of Content-Encoding, Content-Language, Content-Length (empty when 0),
 *   Content-MD5, Content-Type, Date (empty: x-ms-date is sent), If-Modified-Since, If-Match,
 *   If-None-Match, If-Unmodified-Since, Range
 *   name:value of each x-ms-* header, lower case, sorted by name, blanks trimmed and folded
 *   /ACCOUNT + path as sent, then for each query parameter, sorted by name, '\n' name:value with
 * the value decoded; repeated ones joined by ','
 *
 * signature = base64(HMAC-SHA256(key, text)). What is signed must be what is sent: the caller sets
 * every header above itself, or its HTTP library adds one and the service answers 403. Pure.
 */
#ifndef HF_CODEC_SHAREDKEY_H
#define HF_CODEC_SHAREDKEY_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "codec/httpheader.h"

struct hf_sharedkey_request {
    const char *method;
    const char *path;  /* escaped, from its '/', as in the request line */
    const char *query; /* escaped, without '?'; "" or NULL for none */
    const struct hf_http_header *headers;
    size_t n_headers;
    uint64_t content_length;
};

/* Appends the text to sign. HF_E_INVALID for a query with a broken escape. */
HF_MUST enum hf_code hf_sharedkey_text(const char *account, const struct hf_sharedkey_request *req,
                                       struct hf_buf *out, struct hf_err *err);
/* Appends "SharedKey ACCOUNT:SIGNATURE", the value of Authorization. key: decoded. */
HF_MUST enum hf_code hf_sharedkey_sign(const char *account, const struct hf_buf *key,
                                       const struct hf_sharedkey_request *req, struct hf_buf *out,
                                       struct hf_err *err);

#endif
