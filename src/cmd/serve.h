/*
 * What a running `replicate` answers: the control socket (Litestream's paths and messages, and
 * /status) and the metrics address (/metrics, /healthz).
 *
 * Threads: requests are taken on the server's, answered on a small pool of its own, because a sync
 * may wait. Start and stop on the main thread, inside the engine's life. How many requests wait is
 * bounded by the server's connections.
 */
#ifndef HF_CMD_SERVE_H
#define HF_CMD_SERVE_H

#include "config/config.h"
#include "replica/engine.h"

struct hf_serve;

enum {
    HF_SERVE_THREADS = 8,
    HF_SERVE_CONNECTIONS = 64, /* each of the two */
    HF_SERVE_BODY = 64 << 10,  /* a path and a URL */
    HF_SERVE_TIMEOUT_S = 30,   /* of a request that names none, as Litestream's */
    HF_SERVE_TIMEOUT_MAX_S = 3600,
};

/* Serves what cfg asks for; *out is NULL when that is nothing. Errors of hf_httpd_start, with the
 * key that named the address. */
HF_MUST enum hf_code hf_serve_start(const struct hf_config *cfg, struct hf_engine *engine,
                                    struct hf_serve **out, struct hf_err *err);
/* Ends open requests. NULL is allowed. */
void hf_serve_stop(struct hf_serve *s);

#endif
