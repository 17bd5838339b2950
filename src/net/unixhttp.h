/*
 * One HTTP request over a Unix socket: what commands ask a running holdfast (or Litestream).
 *
 * HTTP/1.0 and one connection a request, so that an answer ends with its connection and is never
 * chunked. Blocking; any thread; the program ignores SIGPIPE. Limits: HF_LIMIT_UNIXHTTP_ANSWER.
 */
#ifndef HF_NET_UNIXHTTP_H
#define HF_NET_UNIXHTTP_H

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

struct hf_unixhttp {
    const char *socket_path;
    const char *method; /* "GET" */
    const char *target; /* "/txid?path=%2Fa.db": encoded already */
    const char *body;   /* JSON; NULL: none */
    uint32_t timeout_ms;
};

/* body: what came behind the head, appended. HF_E_NOT_FOUND: nobody listens there; HF_E_TIMEOUT;
 * HF_E_CORRUPT: not HTTP. Any status is HF_OK. */
HF_MUST enum hf_code hf_unixhttp_do(const struct hf_unixhttp *r, int *status, struct hf_buf *body,
                                    struct hf_err *err);

#endif
