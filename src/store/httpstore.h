/*
 * Requests of the HTTP stores (azure.c, s3.c): one HTTP client and one budget for all of them, and
 * the loop of tries.
 *
 *   struct hf_attempts a; hf_attempts_init(&a, h);
 *   do {
 *       ... headers with the time of this try, signature ...
 *       rc = hf_httpstore_do(h, &req, 0, &reply, err);
 *   } while (hf_attempts_again(&a, hf_attempt_of(rc, &reply)));
 *   ... a.is_unknown: an earlier try may have had its effect ...
 *
 * A struct hf_httpstore is shared by every store with the same TLS settings, so connections stay
 * warm over databases; any thread.
 */
#ifndef HF_STORE_HTTPSTORE_H
#define HF_STORE_HTTPSTORE_H

#include "net/httpclient.h"
#include "store/retry.h"

struct hf_httpstore;

/* tls: ca_file NULL means SSL_CERT_FILE of the environment, else the system's list. */
HF_MUST enum hf_code hf_httpstore_get(const struct hf_tls_opts *tls, struct hf_httpstore **out,
                                      struct hf_err *err);
/* The last one ends the client. NULL is allowed. */
void hf_httpstore_put(struct hf_httpstore *h);
struct hf_http_client *hf_httpstore_client(struct hf_httpstore *h);
struct hf_budget *hf_httpstore_budget(struct hf_httpstore *h);

/* hf_http_do within the budget; fills deadlines that are 0. expects: bytes of the answer's body if
 * they are many, for deadline and budget. */
HF_MUST enum hf_code hf_httpstore_do(struct hf_httpstore *h, struct hf_http_request *req,
                                     size_t expects, struct hf_http_reply *reply,
                                     struct hf_err *err);
/* hf_http_stream_open within the budget of requests. */
HF_MUST enum hf_code hf_httpstore_stream(struct hf_httpstore *h, struct hf_http_request *req,
                                         struct hf_http_stream **out, struct hf_err *err);

struct hf_attempts {
    struct hf_retry retry;
    bool is_unknown; /* a failed try may have had its effect */
    bool had_stale;
    bool has_reauthorized; /* the store's own: a second try with another token or clock */
};

/* What came of one try. */
struct hf_attempt {
    enum hf_code rc;
    int status;
    const char *retry_after; /* header, NULL without */
    bool was_sent;
    bool is_stale;
};

struct hf_attempt hf_attempt_of(enum hf_code rc, const struct hf_http_reply *reply);
/* True after having waited, when another try makes sense: lost answers and connections, and the
 * statuses of hf_retry_is_status. */
bool hf_attempts_again(struct hf_attempts *a, struct hf_attempt t);

/* "bytes=FROM-TO" for len bytes from offset on. */
void hf_range_format(uint64_t offset, size_t len, char out[64]);
/* For an answer of at most len bytes (or an error's error_max) into a buffer that is used again:
 * lend initialises reply with out's memory, return gives it back and frees the rest. is_empty: the
 * body that came is an error's and not wanted. */
void hf_reply_lend(struct hf_http_reply *reply, struct hf_buf *out, size_t len, size_t error_max);
void hf_reply_return(struct hf_http_reply *reply, struct hf_buf *out, bool is_empty);

/* Escaped text appended: one query parameter, "&name=value" ("name=value" for the first). */
HF_MUST enum hf_code hf_query_add(struct hf_buf *query, const char *name, const char *value,
                                  struct hf_err *err);

#endif
