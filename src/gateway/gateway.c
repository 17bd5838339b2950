#include "gateway/gateway.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "gateway/gateway_int.h"
#include "os/file.h"
#include "os/heap.h"

enum {
    PEM_BYTES = 1 << 20,
    CONNECTIONS = 4096,
    STREAMS = 4096,
    TRIM_FROM = 64,
    TRIM_FIRST_MS = 1000,
    TRIM_LAST_MS = 64000
};

/* A page that is answered on the transfer thread. */
struct page {
    struct hf_task task;
    struct hf_gateway *g;
    struct hf_httpd_call *call;
};

static void run_page(struct hf_task *task)
{
    struct page *p = (struct page *)(void *)task;
    hf_gw_page(p->g, p->call);
    hf_free(p);
}

static void post_page(struct hf_gateway *g, struct hf_httpd_call *call)
{
    struct page *p = hf_calloc(1, sizeof(*p));
    p->task.run = run_page;
    p->g = g;
    p->call = call;
    hf_http_client_post(g->client, &p->task);
}

/* ---- as requests come in: on the transfer thread, or on the server's own where it has some ----
 */

static void make_id(char id[HF_GW_ID])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    uint8_t raw[HF_GW_ID];
    hf_random_name_bytes(raw, sizeof(raw));
    memcpy(id, "hf-", 3);
    for (int i = 3; i < HF_GW_ID - 1; i++)
        id[i] = digits[raw[i] & 31];
    id[HF_GW_ID - 1] = '\0';
}

static void refuse_now(struct hf_httpd_call *call, enum hf_endpoint ep, enum hf_api_class kind,
                       const char *text)
{
    struct hf_api_error e;
    hf_api_error_set(&e, kind, "%s", text);
    hf_gw_reply_error(call, hf_endpoint_dialect(ep), &e, NULL);
}

static bool is_coded(const struct hf_httpd_call *call)
{
    const char *coding = hf_httpd_call_header(call, "Content-Encoding");
    return coding != NULL && strcmp(coding, "identity") != 0;
}

static void start_request(struct hf_gateway *g, struct hf_httpd_call *call, enum hf_endpoint ep)
{
    struct hf_err err = HF_ERR_INIT;
    size_t len = 0;
    const char *body = hf_httpd_call_body(call, &len);
    if (is_coded(call)) {
        refuse_now(call, ep, HF_API_INVALID, "compressed request bodies are not understood here");
        return;
    }
    struct hf_gw_request *r = hf_calloc(1, sizeof(*r));
    if (hf_request_peek(ep, body, len, &r->head, &err) != HF_OK) {
        hf_free(r);
        refuse_now(call, ep, HF_API_INVALID, err.text);
        return;
    }
    r->magic = HF_GW_REQUEST_MAGIC;
    atomic_store(&r->refs, 1);
    r->g = g;
    r->call = call;
    r->body = body;
    r->len = len;
    r->pin = SIZE_MAX;
    r->may_cloud = true;
    r->begin_task.run = hf_gw_request_begin;
    r->gone_task.run = hf_gw_request_gone;
    r->drain_task.run = hf_gw_request_drain;
    make_id(r->id);
    hf_gw_attempt_clear(r);
    atomic_fetch_add(&g->n_requests, 1);
    hf_httpd_call_set_data(call, r);
    if (hf_http_client_is_here(g->client))
        hf_gw_request_begin(&r->begin_task);
    else
        hf_http_client_post(g->client, &r->begin_task);
}

/* Clients of other gateways leave /v1 out, and probes know other names. */
static void follow_alias(struct hf_httpd_call *call)
{
    static const char models[] = "/models/";
    static const struct {
        const char *alias;
        const char *path;
    } aliases[] = {{"/chat/completions", "/v1/chat/completions"},
                   {"/completions", "/v1/completions"},
                   {"/embeddings", "/v1/embeddings"},
                   {"/responses", "/v1/responses"},
                   {"/models", "/v1/models"},
                   {"/health", "/healthz"},
                   {"/health/liveliness", "/healthz"},
                   {"/health/liveness", "/healthz"},
                   {"/health/readiness", "/readyz"}};
    const char *path = hf_httpd_call_path(call);
    for (size_t i = 0; i < HF_ARRAY_LEN(aliases); i++) {
        if (strcmp(path, aliases[i].alias) == 0) {
            hf_httpd_call_set_path(call, aliases[i].path);
            return;
        }
    }
    if (strncmp(path, models, sizeof(models) - 1) == 0) {
        HF_AUTO_FREE char *whole = hf_concat("/v1", path, "");
        hf_httpd_call_set_path(call, whole);
    }
}

static void on_request(void *arg, struct hf_httpd_call *call)
{
    struct hf_gateway *g = arg;
    enum hf_endpoint ep;
    follow_alias(call);
    bool is_post = strcmp(hf_httpd_call_method(call), "POST") == 0;
    if (is_post && hf_endpoint_of_path(hf_httpd_call_path(call), &ep))
        start_request(g, call, ep);
    else if (hf_http_client_is_here(g->client))
        hf_gw_page(g, call);
    else
        post_page(g, call);
}

static void on_gone(void *arg, struct hf_httpd_call *call)
{
    struct hf_gateway *g = arg;
    struct hf_gw_request *r = hf_httpd_call_data(call);
    if (r == NULL) {
        hf_gw_forward_gone(g, call);
        return;
    }
    atomic_fetch_add(&r->refs, 1);
    hf_http_client_post(g->client, &r->gone_task);
}

static void on_drain(void *arg, struct hf_httpd_call *call)
{
    struct hf_gateway *g = arg;
    struct hf_gw_request *r = hf_httpd_call_data(call);
    if (r == NULL || atomic_exchange(&r->is_drain_posted, true))
        return;
    atomic_fetch_add(&r->refs, 1);
    hf_http_client_post(g->client, &r->drain_task);
}

static void on_refused(void *arg, struct hf_httpd_call *call, enum hf_code why)
{
    enum hf_endpoint ep = HF_EP_OLLAMA_CHAT;
    struct hf_api_error e;
    struct hf_gw_headers h = {.n = 0};
    (void)arg;
    follow_alias(call);
    if (!hf_endpoint_of_path(hf_httpd_call_path(call), &ep))
        ep = HF_EP_OLLAMA_CHAT;
    if (why == HF_E_LIMIT) {
        hf_api_error_set(&e, HF_API_TOO_LARGE,
                         "the request is larger than the gateway's max-body allows");
    } else {
        hf_api_error_set(&e, HF_API_BUSY, "the gateway is full or stopping: try again");
        hf_gw_header(&h, "Retry-After", "5");
    }
    hf_gw_reply_error(call, hf_endpoint_dialect(ep), &e, &h);
}

/* ---- on the transfer thread ---- */

/* After many requests at a time, what they held goes back to the system: again and again at longer
 * intervals, because connections are closed when their clients like to. */
static void give_back_memory(struct hf_gateway *g, uint64_t now_ms)
{
    size_t n = atomic_load(&g->n_requests);
    g->busiest = n > g->busiest ? n : g->busiest;
    if (g->busiest >= TRIM_FROM && n <= g->busiest / 8) {
        g->busiest = n;
        g->trim_wait_ms = TRIM_FIRST_MS;
        g->trim_due_ms = now_ms;
    }
    if (g->trim_wait_ms == 0 || now_ms < g->trim_due_ms)
        return;
    g->trim_due_ms = now_ms + g->trim_wait_ms;
    g->trim_wait_ms = g->trim_wait_ms < TRIM_LAST_MS ? g->trim_wait_ms * 2 : 0;
    hf_heap_trim();
}

static void tick(void *arg)
{
    struct hf_gateway *g = arg;
    uint64_t now_ms = hf_clock_mono_ms();
    hf_gw_hosts_tick(g, now_ms);
    hf_gw_requests_tick(g, now_ms);
    hf_gw_files_tick(g, now_ms);
    give_back_memory(g, now_ms);
}

static void init_loop(struct hf_task *task)
{
    struct hf_gateway *g =
        (struct hf_gateway *)(void *)((char *)task - offsetof(struct hf_gateway, init_task));
    hf_timer_init(&g->tick, hf_http_client_loop(g->client), tick, g);
    hf_timer_start(&g->tick, 0, HF_GW_TICK_MS);
}

struct reload {
    struct hf_task task;
    struct hf_gateway *g;
    const struct hf_config_gateway *conf;
    struct hf_gw_plan *plan;
    atomic_bool is_done;
};

static void run_reload(struct hf_task *task)
{
    struct reload *l = (struct reload *)(void *)task;
    struct hf_gateway *g = l->g;
    struct hf_gw_plan *old = g->plan;
    uint64_t now_ms = hf_clock_mono_ms();
    g->conf = l->conf;
    g->plan = l->plan;
    hf_gw_hosts_reload(g, now_ms);
    if (old->users == 0)
        hf_gw_plan_free(old);
    g->override_mtime_ns = -1; /* another file, perhaps */
    hf_gw_unpause(g, now_ms);
    atomic_store(&l->is_done, true);
}

static enum hf_code read_pem(const char *path, char **out, struct hf_err *err)
{
    size_t len;
    if (path == NULL)
        return HF_OK;
    return hf_path_read(path, PEM_BYTES, out, &len, err);
}

enum hf_code hf_gateway_reload_cert(struct hf_gateway *g, const struct hf_config_gateway *conf,
                                    struct hf_err *err)
{
    HF_AUTO_FREE char *cert = NULL;
    HF_AUTO_FREE char *key = NULL;
    if (g->tls_cert == NULL || conf->tls_cert == NULL)
        return HF_OK;
    HF_TRY(read_pem(conf->tls_cert, &cert, err));
    HF_TRY(read_pem(conf->tls_key, &key, err));
    bool is_new = strcmp(cert, g->tls_cert) != 0;
    enum hf_code rc = hf_httpd_set_cert(g->server, cert, key, err);
    if (rc != HF_OK)
        return hf_err_wrap(err, "gateway.tls-cert %s", conf->tls_cert);
    if (!is_new)
        return HF_OK;
    hf_free(g->tls_cert);
    g->tls_cert = cert;
    cert = NULL;
    hf_log(HF_LOG_INFO, "certificate", HF_F_STR("file", conf->tls_cert), HF_F_END);
    return HF_OK;
}

void hf_gateway_reload(struct hf_gateway *g, const struct hf_config_gateway *conf,
                       struct hf_gw_plan *take_plan)
{
    struct reload l = {.task.run = run_reload, .g = g, .conf = conf, .plan = take_plan};
    hf_http_client_post(g->client, &l.task);
    while (!atomic_load(&l.is_done))
        hf_clock_sleep_us(1000);
}

const struct hf_gw_plan *hf_gateway_plan(const struct hf_gateway *g)
{
    return g->plan;
}

/* ---- start and stop ---- */

static enum hf_code start(struct hf_gateway *g, struct hf_err *err)
{
    const struct hf_config_gateway *conf = g->conf;
    struct hf_http_client_opts co = {.thread_name = "hf-gateway",
                                     .conns_per_host = STREAMS,
                                     .conns_all = STREAMS,
                                     .recv_buffer = 4 << 10,
                                     .send_buffer = 16 << 10};
    struct hf_httpd_options so = {.listen = conf->listen,
                                  .max_connections = CONNECTIONS,
                                  .max_per_address = (size_t)conf->per_address,
                                  .max_body_bytes = (size_t)conf->max_body_bytes,
                                  .max_bodies_bytes = (size_t)conf->max_bodies_bytes,
                                  .on_request = on_request,
                                  .on_gone = on_gone,
                                  .on_drain = on_drain,
                                  .on_refused = on_refused,
                                  .arg = g};
    HF_TRY(read_pem(conf->tls_cert, &g->tls_cert, err));
    HF_TRY(read_pem(conf->tls_key, &g->tls_key, err));
    so.tls_cert_pem = g->tls_cert;
    so.tls_key_pem = g->tls_key;
    HF_TRY(hf_gw_money_init(g, err));
    HF_TRY(hf_http_client_new(&co, &g->client, err));
    g->init_task.run = init_loop;
    hf_http_client_post(g->client, &g->init_task);
    so.on_client = g->client;
    return hf_httpd_start(&so, &g->server, err);
}

static void free_all(struct hf_gateway *g)
{
    if (g->server != NULL)
        hf_httpd_stop(g->server);
    /* Every request hears that its client is gone and ends. */
    while (atomic_load(&g->n_requests) > 0)
        hf_clock_sleep_us(1000);
    while (g->server != NULL && hf_httpd_calls(g->server) > 0)
        hf_clock_sleep_us(1000);
    hf_httpd_free(g->server);
    hf_gw_money_deinit(g);
    hf_http_client_free(g->client);
    hf_gw_hosts_deinit(g);
    hf_gw_plan_free(g->plan);
    hf_free(g->sticky);
    hf_free(g->tls_cert);
    hf_free(g->tls_key);
    hf_free(g);
}

enum hf_code hf_gateway_start(const struct hf_config_gateway *conf, struct hf_gw_plan *take_plan,
                              struct hf_gateway **out, struct hf_err *err)
{
    struct hf_gateway *g = hf_calloc(1, sizeof(*g));
    hf_assert(take_plan != NULL && take_plan->n_hosts > 0);
    g->conf = conf;
    g->plan = take_plan;
    g->max_body = (size_t)conf->max_body_bytes;
    g->started_ms = hf_clock_mono_ms();
    make_id(g->id);
    hf_gwq_init(&g->paused, HF_GW_PAUSED, &g->n_paused, HF_GW_PAUSED);
    g->sticky = hf_calloc(1, sizeof(*g->sticky));
    hf_gw_hosts_init(g, g->started_ms);
    enum hf_code rc = start(g, err);
    if (rc != HF_OK) {
        free_all(g);
        return rc;
    }
    if (take_plan->keys.n == 0 && strncmp(conf->listen, "unix:", 5) != 0 &&
        !hf_gw_is_loopback(conf->listen))
        hf_log(HF_LOG_WARN,
               "anybody who reaches this address may use every model: gateway.keys "
               "would change that",
               HF_F_STR("listen", conf->listen), HF_F_END);
    *out = g;
    return HF_OK;
}

const char *hf_gateway_address(const struct hf_gateway *g)
{
    return hf_httpd_address(g->server);
}

void hf_gateway_stop(struct hf_gateway *g)
{
    if (!hf_httpd_drain(g->server, (uint64_t)g->conf->drain_timeout_ms))
        hf_log(HF_LOG_WARN, "answers are cut", HF_F_U64("calls", hf_httpd_calls(g->server)),
               HF_F_END);
    free_all(g);
}
