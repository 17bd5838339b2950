/*
 * The gateway: takes requests in the dialects of Ollama, OpenAI and Anthropic, sends each to a host
 * that can answer it, and goes elsewhere when that one fails, as long as nothing was answered.
 *
 *   client ─► net/httpserver ─► peek ─► choose (pure) ─► queue (pure) ─► net/httpclient ─► host
 *   client ◄─ bounded buffer ◄─ hold until meaningful ◄─ answer (translate.h) ◄──────────── host
 *
 * Threads: everything is the transfer thread's of the gateway's own HTTP client: requests as they
 * are read, hosts, queues, answers. No locks. (Where the server has to have threads of its own,
 * requests are posted.) start, reload and stop are the main thread's.
 *
 * Commit point: a streaming client hears nothing until the host has said something meaningful
 * (HF_GW_HOLD_* at most); one that does not stream hears nothing until the answer is whole. Before
 * it a failure moves the request on (failure.h); after it the client is told in its own dialect and
 * the connection is cut.
 *
 * Pages beside the dialects: /healthz, /readyz, /metrics, /holdfast/status, /holdfast/explain,
 * /holdfast/usage, /holdfast/override. With keys configured all but the first two want one.
 */
#ifndef HF_GATEWAY_GATEWAY_H
#define HF_GATEWAY_GATEWAY_H

#include "base/attr.h"
#include "base/err.h"
#include "config/gateway.h"

struct hf_gateway;
struct hf_gw_plan;

/* Listens and starts probing. conf must live until the gateway is stopped. Takes the plan. */
HF_MUST enum hf_code hf_gateway_start(const struct hf_config_gateway *conf,
                                      struct hf_gw_plan *take_plan, struct hf_gateway **out,
                                      struct hf_err *err);
/* Shows the certificate of conf's files from now on, if it is another; HF_E_INVALID or HF_E_IO: the
 * old one stays. Before hf_gateway_reload. */
HF_MUST enum hf_code hf_gateway_reload_cert(struct hf_gateway *g,
                                            const struct hf_config_gateway *conf,
                                            struct hf_err *err);
/* Takes over a new configuration while requests run: hosts, routes and times; what was set at start
 * (listen, tls, max-body, max-bodies, queue lengths) stays. plan: hf_gw_plan_next of the current
 * one. When it returns nothing of the old configuration is used any longer. Main thread. */
void hf_gateway_reload(struct hf_gateway *g, const struct hf_config_gateway *conf,
                       struct hf_gw_plan *take_plan);
/* The plan in use; main thread, valid until the next reload. */
const struct hf_gw_plan *hf_gateway_plan(const struct hf_gateway *g);
const char *hf_gateway_address(const struct hf_gateway *g);
/* Stops accepting, lets running answers finish (conf's drain-timeout), then cuts what is left and
 * frees. */
void hf_gateway_stop(struct hf_gateway *g);

#endif
