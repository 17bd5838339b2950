/* What is answered from what the gateway knows: lists, status, explanation, metrics. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "codec/prometheus.h"
#include "gateway/gateway_int.h"
#include "gateway/names.h"

enum { PAGE_BYTES = 16 << 20, WAITING_SHOWN = 100 };

static const char json_type[] = "application/json";

void hf_gw_reply_text(struct hf_httpd_call *call, int status, const char *type, const char *text,
                      size_t len)
{
    struct hf_httpd_reply r = {.status = status, .content_type = type, .body = text, .len = len};
    hf_httpd_call_reply(call, &r);
}

static void reply_buf(struct hf_httpd_call *call, enum hf_code rc, const char *type,
                      struct hf_buf *out)
{
    static const char full[] = "{\"error\":\"the page is larger than a page may be\"}";
    if (rc == HF_OK)
        hf_gw_reply_text(call, 200, type, (const char *)out->data, out->len);
    else
        hf_gw_reply_text(call, 500, json_type, full, sizeof(full) - 1);
    hf_buf_deinit(out);
}

void hf_gw_reply_json(struct hf_httpd_call *call, enum hf_code rc, struct hf_buf *out)
{
    reply_buf(call, rc, json_type, out);
}

void hf_gw_reply_error(struct hf_httpd_call *call, enum hf_dialect d, const struct hf_api_error *e,
                       const struct hf_gw_headers *extra)
{
    struct hf_buf out;
    hf_buf_init(&out, HF_GW_ERROR_BYTES);
    if (hf_api_error_write(d, e, NULL, &out, NULL) != HF_OK)
        hf_buf_reset(&out);
    struct hf_httpd_reply r = {.status = hf_api_error_status(d, e),
                               .content_type = json_type,
                               .headers = extra == NULL ? NULL : extra->list,
                               .n_headers = extra == NULL ? 0 : extra->n,
                               .body = out.data,
                               .len = out.len};
    hf_httpd_call_reply(call, &r);
    hf_buf_deinit(&out);
}

/* ---- lists ---- */

/* Only what the key (NULL: none is needed) may ask for. */
static void add_model(const struct hf_gw_key *key, const struct hf_model *m, struct hf_models *out)
{
    if (key == NULL || hf_gw_key_may_ask(key, m->name))
        hf_models_add(out, m);
}

static void merge(struct hf_gateway *g, const struct hf_gw_key *key, bool is_ps,
                  struct hf_models *out)
{
    for (size_t i = 0; i < g->n_hosts; i++) {
        const struct hf_models *from = is_ps ? &g->hosts[i].ps : &g->hosts[i].tags;
        bool is_ours = !g->hosts[i].conf->is_cloud && !g->hosts[i].conf->is_gone;
        for (size_t k = 0; is_ours && k < from->n; k++)
            add_model(key, &from->list[k], out);
    }
}

/* Names of routes are models, too. */
static void add_routes(struct hf_gateway *g, const struct hf_gw_key *key, struct hf_models *out)
{
    for (size_t i = 0; i < g->plan->n_routes; i++) {
        struct hf_model m = {0};
        HF_AUTO_FREE char *name = hf_strdup(g->plan->routes[i].name);
        m.name = name;
        add_model(key, &m, out);
    }
}

void hf_gw_models(struct hf_gateway *g, const struct hf_gw_key *key, struct hf_models *out)
{
    merge(g, key, false, out);
    add_routes(g, key, out);
}

static enum hf_model_list form_of(const struct hf_httpd_call *call)
{
    return hf_httpd_call_header(call, "anthropic-version") != NULL ? HF_LIST_ANTHROPIC
                                                                   : HF_LIST_OPENAI;
}

static void page_list(struct hf_gateway *g, struct hf_httpd_call *call, enum hf_model_list form)
{
    struct hf_models all = {0};
    struct hf_buf out;
    hf_buf_init(&out, PAGE_BYTES);
    const struct hf_gw_key *key = hf_gw_key_of_call(g, call);
    merge(g, key, form == HF_LIST_PS, &all);
    if (form != HF_LIST_PS)
        add_routes(g, key, &all);
    enum hf_code rc = hf_models_write(form, &all, &out, NULL);
    hf_models_deinit(&all);
    reply_buf(call, rc, json_type, &out);
}

static void page_tags(struct hf_gateway *g, struct hf_httpd_call *call)
{
    page_list(g, call, HF_LIST_TAGS);
}

static void page_ps(struct hf_gateway *g, struct hf_httpd_call *call)
{
    page_list(g, call, HF_LIST_PS);
}

static void page_models(struct hf_gateway *g, struct hf_httpd_call *call)
{
    page_list(g, call, form_of(call));
}

/* A page that waits for lists. */
struct hf_gw_held_page {
    struct hf_gw_held_page *next;
    struct hf_httpd_call *call;
};

void hf_gw_page_hold(struct hf_gateway *g, struct hf_httpd_call *call)
{
    struct hf_gw_held_page *p = hf_calloc(1, sizeof(*p));
    p->call = call;
    p->next = g->held;
    g->held = p;
}

void hf_gw_pages_unhold(struct hf_gateway *g)
{
    struct hf_gw_held_page *p = g->held;
    g->held = NULL;
    while (p != NULL) {
        struct hf_gw_held_page *next = p->next;
        hf_gw_page(g, p->call);
        hf_free(p);
        p = next;
    }
}

static void page_model(struct hf_gateway *g, struct hf_httpd_call *call)
{
    const char *name = hf_httpd_call_path(call) + sizeof("/v1/models/") - 1;
    enum hf_model_list form = form_of(call);
    struct hf_models all = {0};
    struct hf_buf out;
    hf_gw_models(g, hf_gw_key_of_call(g, call), &all);
    const struct hf_model *m = hf_models_find(&all, name);
    if (m == NULL && hf_gw_is_list_due(g)) {
        hf_gw_page_hold(g, call);
    } else if (m == NULL) {
        struct hf_api_error e;
        hf_api_error_set(&e, HF_API_MODEL, "model '%s' not found", name);
        hf_gw_reply_error(call, form == HF_LIST_OPENAI ? HF_DIALECT_OPENAI : HF_DIALECT_ANTHROPIC,
                          &e, NULL);
    } else {
        hf_buf_init(&out, PAGE_BYTES);
        reply_buf(call, hf_model_write(form, m, &out, NULL), json_type, &out);
    }
    hf_models_deinit(&all);
}

static void page_alive(struct hf_gateway *g, struct hf_httpd_call *call)
{
    static const char text[] = "Ollama is running";
    (void)g;
    hf_gw_reply_text(call, 200, "text/plain; charset=utf-8", text, sizeof(text) - 1);
}

static void page_version(struct hf_gateway *g, struct hf_httpd_call *call)
{
    char text[100];
    const char *lowest = NULL;
    for (size_t i = 0; i < g->n_hosts; i++) {
        const char *v = g->hosts[i].version;
        if (v[0] != '\0' && (lowest == NULL || strverscmp(v, lowest) < 0))
            lowest = v;
    }
    int n = snprintf(text, sizeof(text), "{\"version\":\"%s\"}", lowest == NULL ? "0.0.0" : lowest);
    hf_gw_reply_text(call, 200, json_type, text, (size_t)n);
}

/* Whether Ollama's cloud is switched off: not here, its hosts say so themselves with 403. */
static void page_cloud(struct hf_gateway *g, struct hf_httpd_call *call)
{
    static const char text[] = "{\"cloud\":{\"disabled\":false,\"source\":\"none\"}}";
    (void)g;
    hf_gw_reply_text(call, 200, json_type, text, sizeof(text) - 1);
}

/* ---- health of the gateway ---- */

static void page_healthz(struct hf_gateway *g, struct hf_httpd_call *call)
{
    (void)g;
    hf_gw_reply_text(call, 200, "text/plain", "ok\n", 3);
}

static void page_readyz(struct hf_gateway *g, struct hf_httpd_call *call)
{
    for (size_t i = 0; i < g->n_hosts; i++) {
        if (hf_health_is_routable(&g->hosts[i].health)) {
            hf_gw_reply_text(call, 200, "text/plain", "ok\n", 3);
            return;
        }
    }
    static const char none[] = "no host is up\n";
    hf_gw_reply_text(call, 503, "text/plain", none, sizeof(none) - 1);
}

/* ---- status ---- */

static void put_slot(struct hf_json *j, struct hf_gw_slot *s, uint64_t now_ms)
{
    hf_json_object_begin(j);
    hf_json_kstr(j, "model", s->model);
    hf_json_ki64(j, "active", s->active);
    hf_json_ku64(j, "queued", s->lane.n);
    hf_json_ki64(j, "room", hf_gw_slot_room(s, now_ms));
    hf_json_kstr(j, "breaker", hf_breaker_word(s->breaker.state));
    if (s->breaker.state == HF_BREAKER_OPEN && s->breaker.until_ms > now_ms)
        hf_json_ku64(j, "breaker_open_ms", s->breaker.until_ms - now_ms);
    hf_json_ku64(j, "ok", s->n_ok);
    hf_json_ku64(j, "failed", s->n_failed);
    hf_json_ku64(j, "mean_ms", s->mean_ms);
    hf_json_object_end(j);
}

void hf_gw_put_override(struct hf_json *j, const struct hf_gw_override *o)
{
    hf_json_key(j, "override");
    if (o == NULL) {
        hf_json_null(j);
        return;
    }
    hf_json_object_begin(j);
    hf_gw_override_json(j, o);
    hf_json_object_end(j);
}

static void put_host(struct hf_json *j, struct hf_gw_live_host *h, uint64_t now_ms)
{
    hf_json_object_begin(j);
    hf_json_kstr(j, "name", h->conf->name);
    hf_json_kstr(j, "kind", hf_dialect_word(hf_gw_dialect(h->conf->kind)));
    hf_json_kbool(j, "cloud", h->conf->is_cloud);
    hf_json_kstr(j, "state", hf_health_word(h->health.state));
    hf_json_kstr(j, "reason", h->health.reason);
    hf_json_kstr(j, "error", h->last_error[0] == '\0' ? NULL : h->last_error);
    hf_json_ku64(j, "since_ms", now_ms - h->health.since_ms);
    hf_json_kstr(j, "address", h->conf->urls[h->url_at]);
    hf_gw_put_override(j, h->override.is_out ? &h->override : NULL);
    hf_json_ki64(j, "active", h->active);
    hf_json_ki64(j, "parallel", h->conf->parallel);
    hf_json_ku64(j, "ok", h->n_ok);
    hf_json_ku64(j, "failed", h->n_failed);
    hf_json_ku64(j, "tokens_in", h->tokens_in);
    hf_json_ku64(j, "tokens_out", h->tokens_out);
    hf_json_ku64(j, "models", h->tags.n);
    struct hf_gw_memory m = hf_gw_host_memory(h);
    hf_json_ki64(j, "memory_bytes", m.total);
    hf_json_ki64(j, "loaded_bytes", m.idle + m.in_use);
    hf_json_key(j, "loaded");
    hf_json_array_begin(j);
    for (size_t i = 0; i < h->ps.n; i++)
        hf_json_str(j, h->ps.list[i].name);
    hf_json_array_end(j);
    hf_json_key(j, "slots");
    hf_json_array_begin(j);
    for (struct hf_gw_slot *s = h->slots; s != NULL; s = s->next)
        put_slot(j, s, now_ms);
    hf_json_array_end(j);
    hf_json_object_end(j);
}

static void put_pins(struct hf_json *j, const struct hf_gateway *g)
{
    hf_json_key(j, "pins");
    hf_json_array_begin(j);
    for (size_t i = 0; i < g->pins.n; i++) {
        hf_json_object_begin(j);
        hf_json_kstr(j, "route", g->pins.list[i].route);
        hf_json_kstr(j, "host", g->hosts[g->pins.list[i].host].conf->name);
        hf_gw_override_json(j, &g->pins.list[i].o);
        hf_json_object_end(j);
    }
    hf_json_array_end(j);
}

/* Who waits, as far as a page has room: model, place in its queue and an estimate. */
static void put_waiting(struct hf_json *j, struct hf_gateway *g, uint64_t now_ms)
{
    size_t n = 0;
    hf_json_key(j, "waiting");
    hf_json_array_begin(j);
    for (struct hf_gw_request *r = g->first; r != NULL && n < WAITING_SHOWN; r = r->next) {
        if (r->entry.lane == NULL)
            continue;
        bool is_paused = r->entry.lane == &g->paused;
        n++;
        hf_json_object_begin(j);
        hf_json_kstr(j, "id", r->id);
        hf_json_kstr(j, "model", r->head.model);
        hf_json_kstr(j, "for", is_paused ? "a host to come back" : r->slot->host->conf->name);
        hf_json_ku64(j, "position", hf_gw_queue_position(r));
        hf_json_ku64(j, "waited_ms", now_ms - r->entry.since_ms);
        if (!is_paused)
            hf_json_ku64(j, "estimate_ms", hf_gw_queue_wait_ms(r));
        hf_json_object_end(j);
    }
    hf_json_array_end(j);
}

static void page_status(struct hf_gateway *g, struct hf_httpd_call *call)
{
    uint64_t now_ms = hf_clock_mono_ms();
    struct hf_buf out;
    struct hf_json j;
    hf_buf_init(&out, PAGE_BYTES);
    hf_json_init(&j, &out, false);
    hf_json_object_begin(&j);
    hf_json_kstr(&j, "schema", "holdfast.gateway-status/1");
    hf_json_kstr(&j, "version", HF_VERSION);
    hf_json_ku64(&j, "uptime_ms", now_ms - g->started_ms);
    hf_json_ku64(&j, "requests", atomic_load(&g->n_requests));
    hf_json_ku64(&j, "queued", g->n_waiting);
    hf_json_ku64(&j, "paused", g->paused.n);
    hf_json_ki64(&j, "retries", g->n_retries);
    hf_json_key(&j, "hosts");
    hf_json_array_begin(&j);
    for (size_t i = 0; i < g->n_hosts; i++) {
        if (!g->hosts[i].conf->is_gone)
            put_host(&j, &g->hosts[i], now_ms);
    }
    hf_json_array_end(&j);
    put_waiting(&j, g, now_ms);
    put_pins(&j, g);
    hf_gw_money_status(g, &j);
    hf_json_object_end(&j);
    reply_buf(call, hf_json_end(&j, NULL), json_type, &out);
}

/* ---- metrics ---- */

static void metric(struct hf_buf *b, const char *name, const char *type, const char *help)
{
    if (hf_buf_appendf(b, NULL, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type) != HF_OK)
        hf_buf_reset(b);
}

static enum hf_code put_counts(struct hf_gateway *g, struct hf_buf *b)
{
    metric(b, "holdfast_gateway_requests_total", "counter", "Requests by how they ended.");
    for (int f = 0; f < HF_GW_FAILURES_; f++)
        HF_TRY(hf_buf_appendf(b, NULL, "holdfast_gateway_requests_total{outcome=\"%s\"} %llu\n",
                              hf_gw_failure_rule((enum hf_gw_failure)f)->word,
                              (unsigned long long)g->n_by_outcome[f]));
    metric(b, "holdfast_gateway_answers_total", "counter", "Answers by why their host was chosen.");
    for (int r = 0; r < HF_GW_REASONS_; r++)
        HF_TRY(hf_buf_appendf(b, NULL, "holdfast_gateway_answers_total{reason=\"%s\"} %llu\n",
                              hf_gw_reason_word((enum hf_gw_reason)r),
                              (unsigned long long)g->n_by_reason[r]));
    metric(b, "holdfast_gateway_queued", "gauge", "Requests that wait for a slot.");
    HF_TRY(hf_buf_appendf(b, NULL, "holdfast_gateway_queued %zu\n", g->n_waiting));
    metric(b, "holdfast_gateway_paused", "gauge", "Requests that wait for a host to come back.");
    HF_TRY(hf_buf_appendf(b, NULL, "holdfast_gateway_paused %zu\n", g->paused.n));
    metric(b, "holdfast_gateway_active", "gauge", "Requests under way.");
    return hf_buf_appendf(b, NULL, "holdfast_gateway_active %zu\n", atomic_load(&g->n_requests));
}

static enum hf_code put_hosts(struct hf_gateway *g, struct hf_buf *b)
{
    metric(b, "holdfast_gateway_host_up", "gauge", "1 if the host takes requests.");
    for (size_t i = 0; i < g->n_hosts; i++)
        HF_TRY(hf_buf_appendf(b, NULL, "holdfast_gateway_host_up{host=\"%s\"} %d\n",
                              g->hosts[i].conf->name, hf_health_is_routable(&g->hosts[i].health)));
    return HF_OK;
}

static enum hf_code put_genai(struct hf_gateway *g, struct hf_buf *b)
{
    struct hf_prom p;
    hf_prom_init(&p, b);
    hf_genai_write(g, &p);
    return hf_prom_end(&p, NULL);
}

static void page_metrics(struct hf_gateway *g, struct hf_httpd_call *call)
{
    struct hf_buf out;
    hf_buf_init(&out, PAGE_BYTES);
    enum hf_code rc = put_counts(g, &out);
    if (rc == HF_OK)
        rc = put_hosts(g, &out);
    if (rc == HF_OK)
        rc = hf_gw_money_metrics(g, &out);
    if (rc == HF_OK)
        rc = put_genai(g, &out);
    reply_buf(call, rc, HF_PROM_CONTENT_TYPE, &out);
}

/* ---- which page ---- */

typedef void page_fn(struct hf_gateway *g, struct hf_httpd_call *call);

static const struct {
    const char *path;
    page_fn *fn;
} pages[] = {
    {"/", page_alive},
    {"/api/version", page_version},
    {"/api/status", page_cloud},
    {"/api/tags", page_tags},
    {"/api/ps", page_ps},
    {"/v1/models", page_models},
    {"/healthz", page_healthz},
    {"/readyz", page_readyz},
    {"/metrics", page_metrics},
    {"/holdfast/status", page_status},
    {"/holdfast/explain", hf_gw_page_explain},
    {"/holdfast/what-if", hf_gw_page_what_if},
};

enum hf_dialect hf_gw_path_dialect(const struct hf_httpd_call *call)
{
    const char *path = hf_httpd_call_path(call);
    enum hf_endpoint ep;
    if (hf_endpoint_of_path(path, &ep))
        return hf_endpoint_dialect(ep);
    if (strncmp(path, "/v1/", 4) != 0)
        return HF_DIALECT_OLLAMA;
    bool is_anthropic =
        form_of(call) == HF_LIST_ANTHROPIC || strncmp(path, "/v1/messages", 12) == 0;
    return is_anthropic ? HF_DIALECT_ANTHROPIC : HF_DIALECT_OPENAI;
}

/* What Ollama has and this gateway has not: 404 would say that Ollama is too old. */
static bool is_left_out(const char *path)
{
    static const char *const left_out[] = {
        "/v1/audio/transcriptions",
        "/v1/images/generations",
        "/v1/images/edits",
        "/api/experimental/web_search",
        "/api/me",
        "/api/signout",
        "/api/experimental/web_fetch",
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(left_out); i++) {
        if (strcmp(path, left_out[i]) == 0)
            return true;
    }
    return false;
}

static void no_page(struct hf_httpd_call *call, const char *path, bool is_method)
{
    enum hf_endpoint ep;
    struct hf_api_error e;
    struct hf_buf out;
    bool is_known = is_left_out(path);
    is_method = is_method || hf_endpoint_of_path(path, &ep);
    hf_buf_init(&out, HF_GW_ERROR_BYTES);
    hf_api_error_set(&e, is_method || is_known ? HF_API_INVALID : HF_API_NOT_FOUND, "%s",
                     is_known    ? "this gateway does not offer that: ask an Ollama host itself"
                     : is_method ? "method not allowed"
                                 : "page not found");
    if (hf_api_error_write(hf_gw_path_dialect(call), &e, NULL, &out, NULL) != HF_OK)
        hf_buf_reset(&out);
    hf_gw_reply_text(call,
                     is_known    ? 501
                     : is_method ? 405
                                 : 404,
                     json_type, hf_buf_str(&out), out.len);
    hf_buf_deinit(&out);
}

void hf_gw_page(struct hf_gateway *g, struct hf_httpd_call *call)
{
    const char *path = hf_httpd_call_path(call);
    const char *method = hf_httpd_call_method(call);
    bool is_get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    bool is_method = strcmp(path, "/api/show") == 0;
    if (!hf_gw_page_access(g, call) || hf_gw_money_page(g, call) || hf_gw_forward(g, call))
        return;
    for (size_t i = 0; i < HF_ARRAY_LEN(pages); i++) {
        if (strcmp(path, pages[i].path) != 0)
            continue;
        is_method = !is_get;
        if (is_get) {
            pages[i].fn(g, call);
            return;
        }
    }
    if (is_get && strncmp(path, "/v1/models/", 11) == 0 && path[11] != '\0')
        page_model(g, call);
    else
        no_page(call, path, is_method);
}
