/*
 * Buckets of S3 and of services that speak its language: where one is and how requests to it are
 * signed.
 *
 * Credentials: the configuration's, else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (with
 * AWS_SESSION_TOKEN), else LITESTREAM_ACCESS_KEY_ID and LITESTREAM_SECRET_ACCESS_KEY. Region: the
 * configuration's, else the provider's, else AWS_REGION, AWS_DEFAULT_REGION, us-east-1; an answer
 * that names another is believed. What a provider wants differently is in one table, by the
 * endpoint's host.
 *
 * A struct hf_s3_bucket is shared by all stores of one bucket with the same settings: what it
 * learns (region, the server's clock, whether create-only holds) is learned once. Any thread.
 */
#ifndef HF_STORE_S3_AUTH_H
#define HF_STORE_S3_AUTH_H

#include <stdatomic.h>

#include "codec/sigv4.h"
#include "config/config.h"
#include "store/httpstore.h"

struct hf_s3_bucket;

enum { HF_S3_HEADERS = 24 };

/* One request in the making. Headers' strings are borrowed but for those of _authorize. */
struct hf_s3_request {
    const char *method;
    struct hf_buf path;  /* escaped, from its '/'; begins with hf_s3_base_path */
    struct hf_buf query; /* escaped */
    struct hf_http_header headers[HF_S3_HEADERS];
    size_t n_headers;
    const void *body;
    size_t body_len;
    size_t expects; /* bytes of the answer, if they are many */
    /* set by _authorize, anew for each try */
    struct hf_buf url;
    struct hf_buf authorization;
    char region[64];
    char time[HF_SIGV4_TIME];
    char hash[HF_SIGV4_HASH];
    size_t n_own;
};

void hf_s3_request_init(struct hf_s3_request *r, const char *method);
void hf_s3_request_deinit(struct hf_s3_request *r);
void hf_s3_request_header(struct hf_s3_request *r, const char *name, const char *value);

/* HF_E_INVALID for settings that can't be meant. No request is made. */
HF_MUST enum hf_code hf_s3_bucket_get(const struct hf_config_replica *conf,
                                      struct hf_s3_bucket **out, struct hf_err *err);
void hf_s3_bucket_put(struct hf_s3_bucket *b);
struct hf_httpstore *hf_s3_http(struct hf_s3_bucket *b);
/* Before the key: "/" or "/BUCKET/". */
const char *hf_s3_base_path(const struct hf_s3_bucket *b);
bool hf_s3_wants_md5(const struct hf_s3_bucket *b);
/* Deletes of many objects in one request are known there. */
bool hf_s3_has_batches(const struct hf_s3_bucket *b);
/* Headers of encryption by the server: puts carry all, reads and parts only the customer's key. */
void hf_s3_add_encryption(const struct hf_s3_bucket *b, struct hf_s3_request *r, bool is_put);

/* Whether create-only puts hold there: for hf_store_check_create_only. */
struct hf_trial *hf_s3_trial(struct hf_s3_bucket *b);

/* Completes r for one try and fills out with it; out borrows from r. */
HF_MUST enum hf_code hf_s3_authorize(struct hf_s3_bucket *b, struct hf_s3_request *r,
                                     struct hf_http_request *out, struct hf_err *err);
/* After an answer: true if it taught something (clock, region) that makes another try worth it.
 * code: the error's, "" without; region: the one its text names, "" without. */
bool hf_s3_learn(struct hf_s3_bucket *b, const struct hf_http_head *head, const char *code,
                 const char *region);

#endif
