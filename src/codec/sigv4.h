/*
 * AWS Signature Version 4, as S3 wants it: the path escaped once and not normalised.
 *
 *   canonical  METHOD; path as sent; query, sorted by name, then value; "name:value" of each
 * header, names in lower case, sorted, blanks trimmed and folded; an empty line; the names joined
 * by ';'; the payload's hash: each on a line of its own to sign    AWS4-HMAC-SHA256; time;
 * DATE/REGION/SERVICE/aws4_request; hex SHA-256 of the above key        HMAC chain: "AWS4" +
 * secret, date, region, service, "aws4_request"
 *
 * All headers given are signed; Host and every x-amz-* header must be among them. The payload's
 * hash is hex SHA-256, or UNSIGNED-PAYLOAD (only over TLS). What is signed must be what is sent.
 * Pure.
 */
#ifndef HF_CODEC_SIGV4_H
#define HF_CODEC_SIGV4_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "codec/httpheader.h"

#define HF_SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"
#define HF_SIGV4_TIME 17 /* "20130524T000000Z" and NUL */
#define HF_SIGV4_HASH 65 /* hex SHA-256 and NUL */

struct hf_sigv4_key {
    const char *id;
    const char *secret;
    const char *region;
    const char *service; /* "s3" */
};

struct hf_sigv4_request {
    const char *method;
    const char *path;  /* escaped, from its '/' */
    const char *query; /* escaped, without '?', any order, a name without value as "name="; NULL */
    const struct hf_http_header *headers;
    size_t n_headers;
    const char *payload_hash;
    const char *time; /* the value of x-amz-date */
};

/* wall_ms: ms since the epoch. */
void hf_sigv4_time(int64_t wall_ms, char out[HF_SIGV4_TIME]);
void hf_sigv4_payload_hash(const void *data, size_t len, char out[HF_SIGV4_HASH]);
/* Appends the canonical request. */
HF_MUST enum hf_code hf_sigv4_canonical(const struct hf_sigv4_request *req, struct hf_buf *out,
                                        struct hf_err *err);
/* Appends the value of Authorization. */
HF_MUST enum hf_code hf_sigv4_sign(const struct hf_sigv4_key *key,
                                   const struct hf_sigv4_request *req, struct hf_buf *out,
                                   struct hf_err *err);

#endif
