/*
 * The plan: which hosts there are and where each model name goes. Compiled from the gateway:
 * section and, unchanged, from a tier-routing.json; immutable afterwards, swapped as a whole on
 * reload.
 *
 *   tiers   {"1": {host, model}}                     ─► route "1", "tier-1", and one per model name
 *   rules   redirect_A_tiers + to_B_models           ─► candidate B/mapped "if A down"
 *           redirect_A_tiers + to_claude             ─► candidate claude/<hosts[].model> "if A
 * down" providers  url, model, when "A and B unreachable"  ─► candidate "if A and B down", on every
 * route
 *
 * A route is an ordered list of candidates HOST/MODEL. A candidate's condition names hosts that
 * must all be unreachable; busy is not unreachable. choose.h picks among them.
 *
 * A host has several addresses, best first. A loopback address counts only on the node of the
 * host's name; an address that is the gateway's own listener is an error, for it would be a loop.
 *
 * Pure apart from reading the tier file and key files in hf_gw_plan_new. Built on the main thread,
 * read by the gateway's loop.
 */
#ifndef HF_GATEWAY_PLAN_H
#define HF_GATEWAY_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "config/gateway.h"
#include "gateway/keys.h"

struct hf_arena;

enum {
    HF_GW_HOSTS = 64,      /* a fleet has 2 to 5, and some clouds; conditions are bit sets */
    HF_GW_URLS = 3,        /* LAN, Tailscale, one more */
    HF_GW_CANDIDATES = 64, /* of one route; a model may be on every host */
    HF_GW_ROUTES = 4096,
    HF_GW_TIER_FILE = 4 << 20 /* bytes of a tier file; the fleet's has 2 KiB */
};

/* Set of hosts by index. */
#define HF_GW_BIT(host) (UINT64_C(1) << (host))

struct hf_gw_host {
    const char *name;
    enum hf_config_host_kind kind;
    const char *urls[HF_GW_URLS]; /* without a slash at the end */
    size_t n_urls;
    const char *api_key; /* secret; NULL: none */
    const char *api_version;
    const char *model; /* NULL: none */
    bool is_cloud;
    bool is_openai; /* api.openai.com itself: stricter than those who speak its dialect */
    int64_t parallel;
    int64_t parallel_all; /* 0: no limit */
    int64_t memory_bytes; /* 0: not known */
    struct hf_config_strings prewarm;
    int64_t probe_timeout_ms;
    bool is_gone; /* of an earlier plan, not in this one: keeps its index, nothing else */
};

struct hf_gw_candidate {
    size_t host;
    const char *model;
    uint64_t when_down; /* all of these must be unreachable; 0: always */
};

struct hf_gw_route {
    const char *name;
    bool is_private;
    struct hf_gw_candidate *candidates;
    size_t n_candidates;
    int64_t num_ctx;        /* 0: the client's */
    const char *keep_alive; /* NULL: the client's */
};

struct hf_gw_plan {
    struct hf_arena *arena;
    struct hf_gw_host *hosts;
    size_t n_hosts;
    struct hf_gw_route *routes; /* an alias is a route of its own */
    size_t n_routes;
    struct hf_gw_keys keys;
    const char **warnings;
    size_t n_warnings;
    size_t users; /* the running gateway's: requests that were routed by it */
};

/* HF_E_INVALID with file and key for what cannot be meant: an unknown host, a loop to ourselves, a
 * host without address, two routes of one name. */
HF_MUST enum hf_code hf_gw_plan_new(const struct hf_config_gateway *conf, struct hf_gw_plan **out,
                                    struct hf_err *err);
/* The same for a reload: every host of before (may be NULL) keeps its index. */
HF_MUST enum hf_code hf_gw_plan_next(const struct hf_config_gateway *conf,
                                     const struct hf_gw_plan *before, struct hf_gw_plan **out,
                                     struct hf_err *err);
/* The same with the tier file's text at hand; NULL: none. */
struct hf_gw_plan_input {
    const struct hf_gw_plan *before; /* NULL: none */
    const char *tiers;               /* NULL: none */
    size_t len;
};
HF_MUST enum hf_code hf_gw_plan_parse(const struct hf_config_gateway *conf,
                                      const struct hf_gw_plan_input *in, struct hf_gw_plan **out,
                                      struct hf_err *err);
/* NULL is allowed. */
void hf_gw_plan_free(struct hf_gw_plan *p);
/* By model name; Ollama names are equal without regard to case and a tag "latest". NULL: none. */
const struct hf_gw_route *hf_gw_plan_route(const struct hf_gw_plan *p, const char *name);
/* Index, or p->n_hosts if there is none. */
size_t hf_gw_plan_host(const struct hf_gw_plan *p, const char *name);
/* True if url names a host of this machine only. */
bool hf_gw_is_loopback(const char *url);

#endif
