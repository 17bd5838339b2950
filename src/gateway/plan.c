#include "gateway/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/mem.h"
#include "gateway/names.h"
#include "gateway/plan_int.h"
#include "os/file.h"

enum { AUTHORITY = 256, OLLAMA_PARALLEL = 1, OTHER_PARALLEL = 32, WARNINGS = 200 };

/* ---- addresses ---- */

/* "host" and "port" of a URL or of a listen address; false if it has none. */
static bool split_authority(const char *text, char host[AUTHORITY], char port[8])
{
    const char *from = strstr(text, "://");
    bool is_tls = strncmp(text, "https:", 6) == 0;
    from = from == NULL ? text : from + 3;
    size_t len = strcspn(from, "/?#");
    const char *colon = NULL;
    for (size_t i = 0; i < len; i++) {
        if (from[i] == ':')
            colon = from + i;
        if (from[i] == ']')
            colon = NULL;
    }
    size_t host_len = colon == NULL ? len : (size_t)(colon - from);
    size_t port_len = colon == NULL ? 0 : len - host_len - 1;
    if (host_len >= AUTHORITY || port_len >= 8)
        return false;
    memcpy(host, from, host_len);
    host[host_len] = '\0';
    snprintf(port, 8, "%.*s", (int)port_len, colon == NULL ? "" : colon + 1);
    if (port_len == 0)
        snprintf(port, 8, "%s", is_tls ? "443" : "80");
    return true;
}

static bool is_loopback_host(const char *host)
{
    return strcasecmp(host, "localhost") == 0 ||
           (strncmp(host, "127.", 4) == 0 && host[strspn(host, "0123456789.")] == '\0') ||
           strcmp(host, "[::1]") == 0;
}

bool hf_gw_is_loopback(const char *url)
{
    char host[AUTHORITY];
    char port[8];
    return split_authority(url, host, port) && is_loopback_host(host);
}

/* True when a client of url would reach our own listener. */
static bool is_own_listener(const char *url, const char *listen)
{
    char host[AUTHORITY];
    char port[8];
    char own_host[AUTHORITY];
    char own_port[8];
    if (strncmp(listen, "unix:", 5) == 0 || !split_authority(url, host, port) ||
        !split_authority(listen, own_host, own_port) || strcmp(port, own_port) != 0)
        return false;
    bool is_any =
        own_host[0] == '\0' || strcmp(own_host, "0.0.0.0") == 0 || strcmp(own_host, "[::]") == 0;
    if (is_loopback_host(host))
        return is_any || is_loopback_host(own_host);
    return strcasecmp(host, own_host) == 0;
}

enum hf_code hf_gw_builder_url(struct hf_gw_builder *b, struct hf_gw_host *h, const char *url)
{
    if (url == NULL || url[0] == '\0')
        return HF_OK;
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return hf_err_set(b->err, HF_E_INVALID, "host %s: '%.100s' is no http or https URL",
                          h->name, url);
    bool is_node = b->conf->node != NULL && strcmp(b->conf->node, h->name) == 0;
    if (hf_gw_is_loopback(url) && !is_node && b->conf->node != NULL)
        return HF_OK;
    if (is_own_listener(url, b->conf->listen)) {
        hf_err_set(b->err, HF_E_INVALID,
                   "host %s: %s is the gateway's own address (gateway.listen %s): requests would "
                   "go round in circles",
                   h->name, url, b->conf->listen);
        hf_err_hint(b->err, "let the host listen on another port, or the gateway");
        return HF_E_INVALID;
    }
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/')
        len--;
    const char *clean = hf_arena_strndup(b->plan->arena, url, len);
    for (size_t i = 0; i < h->n_urls; i++) {
        if (strcmp(h->urls[i], clean) == 0)
            return HF_OK;
    }
    if (h->n_urls == HF_GW_URLS)
        return hf_err_set(b->err, HF_E_LIMIT, "host %s has more than %d addresses", h->name,
                          HF_GW_URLS);
    h->urls[h->n_urls++] = clean;
    return HF_OK;
}

/* ---- pieces ---- */

void hf_gw_builder_warn(struct hf_gw_builder *b, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    if (b->plan->n_warnings == WARNINGS)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    b->plan->warnings[b->plan->n_warnings++] = hf_arena_strdup(b->plan->arena, text);
}

static size_t find_host(const struct hf_gw_plan *p, const char *name)
{
    size_t i = 0;
    while (i < p->n_hosts && strcmp(p->hosts[i].name, name) != 0)
        i++;
    return i;
}

size_t hf_gw_plan_host(const struct hf_gw_plan *p, const char *name)
{
    size_t i = find_host(p, name);
    return i < p->n_hosts && p->hosts[i].is_gone ? p->n_hosts : i;
}

struct hf_gw_host *hf_gw_builder_host(struct hf_gw_builder *b, const char *name)
{
    struct hf_gw_plan *p = b->plan;
    size_t i = find_host(p, name);
    if (i < p->n_hosts) {
        p->hosts[i].is_gone = false;
        return &p->hosts[i];
    }
    if (p->n_hosts == HF_GW_HOSTS) {
        hf_err_set(b->err, HF_E_LIMIT, "more than %d gateway hosts", HF_GW_HOSTS);
        return NULL;
    }
    struct hf_gw_host *h = &p->hosts[p->n_hosts++];
    h->name = hf_arena_strdup(p->arena, name);
    h->probe_timeout_ms = b->conf->probe_timeout_ms;
    h->parallel = -1;
    return h;
}

struct hf_gw_route *hf_gw_builder_route(struct hf_gw_builder *b, const char *name)
{
    struct hf_gw_plan *p = b->plan;
    if (hf_gw_plan_route(p, name) != NULL) {
        hf_err_set(b->err, HF_E_INVALID, "two gateway routes are called %.100s", name);
        return NULL;
    }
    if (p->n_routes == HF_GW_ROUTES) {
        hf_err_set(b->err, HF_E_LIMIT, "more than %d gateway routes", HF_GW_ROUTES);
        return NULL;
    }
    struct hf_gw_route *r = &p->routes[p->n_routes++];
    r->name = hf_arena_strdup(p->arena, name);
    r->candidates = hf_arena_alloc(p->arena, HF_GW_CANDIDATES, sizeof(*r->candidates));
    return r;
}

void hf_gw_builder_add(struct hf_gw_builder *b, struct hf_gw_route *r,
                       const struct hf_gw_candidate *c)
{
    if (r->is_private && b->plan->hosts[c->host].is_cloud)
        return;
    for (size_t i = 0; i < r->n_candidates; i++) {
        if (r->candidates[i].host == c->host && strcmp(r->candidates[i].model, c->model) == 0)
            return;
    }
    if (r->n_candidates < HF_GW_CANDIDATES)
        r->candidates[r->n_candidates++] = *c;
}

const struct hf_gw_route *hf_gw_plan_route(const struct hf_gw_plan *p, const char *name)
{
    for (size_t i = 0; i < p->n_routes; i++) {
        if (hf_gw_name_equal(p->routes[i].name, name))
            return &p->routes[i];
    }
    return NULL;
}

/* ---- from the configuration ---- */

static enum hf_code read_host(struct hf_gw_builder *b, const struct hf_config_gateway_host *c)
{
    struct hf_gw_host *h = hf_gw_builder_host(b, c->name);
    if (h == NULL)
        return b->err->code;
    h->kind = (enum hf_config_host_kind)c->kind;
    h->api_key = c->api_key != NULL ? c->api_key : h->api_key;
    h->api_version = c->api_version != NULL ? c->api_version : h->api_version;
    h->model = c->model != NULL ? c->model : h->model;
    h->is_cloud = c->local < 0 ? c->kind != HF_CONFIG_OLLAMA : c->local == 0;
    h->parallel = c->parallel > 0 ? c->parallel : h->parallel;
    h->parallel_all = c->parallel_all;
    h->memory_bytes = c->memory_bytes;
    h->prewarm = c->prewarm;
    HF_TRY(hf_gw_builder_url(b, h, c->url));
    return hf_gw_builder_url(b, h, c->tailscale_url);
}

/* " if anvil and forge down" after a candidate; text is at the blank. */
static enum hf_code read_condition(struct hf_gw_builder *b, const char *text, const char *whole,
                                   uint64_t *when_down)
{
    char word[AUTHORITY];
    int at = 0;
    bool is_first = true;
    if (strncmp(text, " if ", 4) != 0)
        return hf_err_set(b->err, HF_E_INVALID,
                          "gateway route to '%.100s': after HOST/MODEL comes ' if A and B down'",
                          whole);
    text += 4;
    while (sscanf(text, " %200s%n", word, &at) == 1) {
        text += at;
        if (strcmp(word, "down") == 0 && !is_first)
            return text[strspn(text, " ")] == '\0'
                       ? HF_OK
                       : hf_err_set(b->err, HF_E_INVALID,
                                    "gateway route to '%.100s': text after "
                                    "'down'",
                                    whole);
        if (strcmp(word, "and") == 0)
            continue;
        size_t host = hf_gw_plan_host(b->plan, word);
        if (host == b->plan->n_hosts)
            return hf_err_set(b->err, HF_E_INVALID,
                              "gateway route to '%.100s': no host is "
                              "called %.60s",
                              whole, word);
        *when_down |= HF_GW_BIT(host);
        is_first = false;
    }
    return hf_err_set(b->err, HF_E_INVALID,
                      "gateway route to '%.100s': the condition must end in "
                      "'down'",
                      whole);
}

static enum hf_code read_candidate(struct hf_gw_builder *b, const char *text,
                                   struct hf_gw_candidate *out)
{
    char host[AUTHORITY];
    const char *slash = strchr(text, '/');
    const char *blank = strchr(text, ' ');
    if (slash == NULL || slash == text || (size_t)(slash - text) >= sizeof(host))
        return hf_err_set(b->err, HF_E_INVALID, "gateway route to '%.100s': needs HOST/MODEL",
                          text);
    snprintf(host, sizeof(host), "%.*s", (int)(slash - text), text);
    out->host = hf_gw_plan_host(b->plan, host);
    if (out->host == b->plan->n_hosts)
        return hf_err_set(b->err, HF_E_INVALID, "gateway route to '%.100s': no host is called %s",
                          text, host);
    size_t len = blank == NULL ? strlen(slash + 1) : (size_t)(blank - slash - 1);
    if (len == 0)
        return hf_err_set(b->err, HF_E_INVALID, "gateway route to '%.100s': needs a model", text);
    out->model = hf_arena_strndup(b->plan->arena, slash + 1, len);
    return blank == NULL ? HF_OK : read_condition(b, blank, text, &out->when_down);
}

static enum hf_code read_route(struct hf_gw_builder *b, const struct hf_config_gateway_route *c,
                               const char *name)
{
    struct hf_gw_route *r = hf_gw_builder_route(b, name);
    if (r == NULL)
        return b->err->code;
    r->is_private = c->is_private;
    r->num_ctx = c->num_ctx;
    r->keep_alive = c->keep_alive;
    for (size_t i = 0; i < c->to.n; i++) {
        struct hf_gw_candidate cand = {0};
        HF_TRY(read_candidate(b, c->to.items[i], &cand));
        hf_gw_builder_add(b, r, &cand);
    }
    if (r->n_candidates == 0)
        return hf_err_set(b->err, HF_E_INVALID,
                          "gateway route %.100s is private and names no local host", name);
    return HF_OK;
}

static enum hf_code read_routes(struct hf_gw_builder *b)
{
    for (size_t i = 0; i < b->conf->n_routes; i++) {
        const struct hf_config_gateway_route *c = &b->conf->routes[i];
        HF_TRY(read_route(b, c, c->name));
        for (size_t k = 0; k < c->aliases.n; k++)
            HF_TRY(read_route(b, c, c->aliases.items[k]));
    }
    return HF_OK;
}

static enum hf_code check_hosts(struct hf_gw_builder *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->plan->n_hosts; i++) {
        struct hf_gw_host *h = &b->plan->hosts[i];
        if (h->is_gone)
            continue;
        n++;
        if (h->parallel < 0)
            h->parallel = h->kind == HF_CONFIG_OLLAMA ? OLLAMA_PARALLEL : OTHER_PARALLEL;
        if (h->api_version == NULL && h->kind == HF_CONFIG_ANTHROPIC)
            h->api_version = "2023-06-01";
        if (h->is_cloud && h->api_key == NULL)
            hf_gw_builder_warn(b, "host %s has no api-key: it will refuse requests", h->name);
        h->is_openai = h->kind == HF_CONFIG_OPENAI && h->n_urls > 0 &&
                       strncmp(h->urls[0], "https://api.openai.com/", 23) == 0;
        if (h->n_urls > 0)
            continue;
        hf_err_set(b->err, HF_E_INVALID, "host %s has no address that can be used here", h->name);
        hf_err_hint(b->err, "a loopback url counts only on the node of that name (gateway.node): "
                            "add tailscale-url, or another url");
        return HF_E_INVALID;
    }
    if (n == 0)
        return hf_err_set(b->err, HF_E_INVALID,
                          "the gateway has no hosts: add gateway.hosts or gateway.tier-routing");
    return HF_OK;
}

static enum hf_code keep_indexes(struct hf_gw_builder *b, const struct hf_gw_plan *before)
{
    for (size_t i = 0; before != NULL && i < before->n_hosts; i++) {
        struct hf_gw_host *h = hf_gw_builder_host(b, before->hosts[i].name);
        if (h == NULL)
            return b->err->code;
        h->is_gone = true;
    }
    return HF_OK;
}

static enum hf_code build(struct hf_gw_builder *b, const struct hf_gw_plan_input *in)
{
    HF_TRY(keep_indexes(b, in->before));
    if (in->tiers != NULL)
        HF_TRY(hf_gw_tiers_hosts(b, in->tiers, in->len));
    for (size_t i = 0; i < b->conf->n_hosts; i++)
        HF_TRY(read_host(b, &b->conf->hosts[i]));
    HF_TRY(check_hosts(b));
    HF_TRY(read_routes(b));
    return in->tiers == NULL ? HF_OK : hf_gw_tiers_routes(b, in->tiers, in->len);
}

enum hf_code hf_gw_plan_parse(const struct hf_config_gateway *conf,
                              const struct hf_gw_plan_input *in, struct hf_gw_plan **out,
                              struct hf_err *err)
{
    struct hf_err own = HF_ERR_INIT;
    struct hf_arena *arena = hf_arena_new(4096);
    struct hf_gw_plan *p = hf_arena_alloc(arena, 1, sizeof(*p));
    struct hf_gw_builder b = {.plan = p, .conf = conf, .err = err == NULL ? &own : err};
    hf_assert(conf->listen != NULL);
    p->arena = arena;
    p->hosts = hf_arena_alloc(arena, HF_GW_HOSTS, sizeof(*p->hosts));
    p->routes = hf_arena_alloc(arena, HF_GW_ROUTES, sizeof(*p->routes));
    p->warnings = hf_arena_alloc(arena, WARNINGS, sizeof(*p->warnings));
    enum hf_code rc = build(&b, in);
    if (rc != HF_OK) {
        hf_gw_plan_free(p);
        return rc;
    }
    *out = p;
    return HF_OK;
}

static enum hf_code read_tiers(const char *file, char **text, size_t *len, struct hf_err *err)
{
    enum hf_code rc = hf_path_read(file, HF_GW_TIER_FILE, text, len, err);
    return rc == HF_OK ? rc : hf_err_wrap(err, "gateway.tier-routing");
}

enum hf_code hf_gw_plan_next(const struct hf_config_gateway *conf, const struct hf_gw_plan *before,
                             struct hf_gw_plan **out, struct hf_err *err)
{
    HF_AUTO_FREE char *text = NULL;
    struct hf_gw_plan_input in = {.before = before};
    if (conf->tier_routing != NULL)
        HF_TRY(read_tiers(conf->tier_routing, &text, &in.len, err));
    in.tiers = text;
    struct hf_gw_plan *p = NULL;
    enum hf_code rc = hf_gw_plan_parse(conf, &in, &p, err);
    if (rc != HF_OK && conf->tier_routing != NULL)
        return hf_err_wrap(err, "%s", conf->tier_routing);
    HF_TRY(rc);
    rc = hf_gw_keys_new(conf, p->arena, &p->keys, err);
    if (rc != HF_OK) {
        hf_gw_plan_free(p);
        return rc;
    }
    *out = p;
    return HF_OK;
}

enum hf_code hf_gw_plan_new(const struct hf_config_gateway *conf, struct hf_gw_plan **out,
                            struct hf_err *err)
{
    return hf_gw_plan_next(conf, NULL, out, err);
}

void hf_gw_plan_free(struct hf_gw_plan *p)
{
    if (p != NULL)
        hf_arena_free(p->arena);
}
