/*
 * Loads the models that the configuration wants warm, one after the other, when a host comes up:
 * an empty /api/generate, which is how Ollama is told to load. Never more than fit: with memory
 * known, as long as there is room beside what is loaded; else the first only. On the transfer
 * thread.
 */
#include <stdio.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/gateway_int.h"

static void on_done(void *arg, const struct hf_http_result *res)
{
    struct hf_gw_live_host *h = arg;
    hf_http_call_free(h->warm.call);
    h->warm.call = NULL;
    hf_buf_deinit(&h->warm.body);
    h->has_ps = false; /* what is loaded has changed: look before the next one */
    h->ps_ms = 0;
    bool is_ok = res->code == HF_OK && res->status == 200;
    if (res->code != HF_E_CANCELED)
        hf_log(is_ok ? HF_LOG_INFO : HF_LOG_WARN, "prewarm", HF_F_STR("host", h->conf->name),
               HF_F_STR("model", h->warm.model),
               HF_F_STR("outcome", is_ok                ? "loaded"
                                   : res->code != HF_OK ? res->err->text
                                                        : "refused"),
               HF_F_I64("status", res->status), HF_F_END);
    h->n_warmed += is_ok;
}

static const struct hf_http_events events = {.on_done = on_done};

static void load(struct hf_gw_live_host *h, const char *model)
{
    static const struct hf_http_header header = {"Content-Type", "application/json"};
    const struct hf_config_gateway *conf = h->g->conf;
    struct hf_json j;
    HF_AUTO_FREE char *url = hf_asprintf("%s/api/generate", h->conf->urls[h->url_at]);
    hf_buf_init(&h->warm.body, HF_GW_ERROR_BYTES);
    hf_json_init(&j, &h->warm.body, false);
    hf_json_object_begin(&j);
    hf_json_kstr(&j, "model", model);
    hf_json_kbool(&j, "stream", false);
    hf_json_object_end(&j);
    enum hf_code rc = hf_json_end(&j, NULL);
    struct hf_http_request req = {.method = "POST",
                                  .url = url,
                                  .headers = &header,
                                  .n_headers = 1,
                                  .body = h->warm.body.data,
                                  .body_len = h->warm.body.len,
                                  .deadlines = {.connect_ms = (uint32_t)conf->connect_timeout_ms,
                                                .total_ms = (uint32_t)conf->load_timeout_ms}};
    snprintf(h->warm.model, sizeof(h->warm.model), "%s", model);
    if (rc == HF_OK)
        rc = hf_http_start(h->g->client, &req, &events, h, &h->warm.call, NULL);
    if (rc != HF_OK)
        hf_buf_deinit(&h->warm.body);
}

/* Why not; NULL: load it. */
static const char *objection(const struct hf_gw_live_host *h, const char *model)
{
    enum hf_gw_fit fit = hf_gw_host_fit(h, model);
    if (fit == HF_GW_FIT_LOADED)
        return "loaded already";
    if (hf_gw_host_model(h, model) == HF_GW_MODEL_MISSING)
        return "the host does not have it";
    if (fit == HF_GW_FIT_FREE || (fit == HF_GW_FIT_UNKNOWN && h->ps.n == 0))
        return NULL;
    return fit == HF_GW_FIT_UNKNOWN
               ? "memory: of the host is not configured and something is loaded"
               : hf_gw_fit_word(fit);
}

void hf_gw_prewarm_tick(struct hf_gw_live_host *h)
{
    const struct hf_config_strings *list = &h->conf->prewarm;
    bool is_ready = hf_health_is_routable(&h->health) && h->health.state != HF_HEALTH_NEW &&
                    h->has_tags && h->has_ps && h->warm.call == NULL;
    if (!is_ready || h->warm.next >= list->n || h->conf->kind != HF_CONFIG_OLLAMA)
        return;
    const char *model = list->items[h->warm.next++];
    const char *why = objection(h, model);
    if (why == NULL)
        load(h, model);
    else
        hf_log(HF_LOG_INFO, "prewarm", HF_F_STR("host", h->conf->name), HF_F_STR("model", model),
               HF_F_STR("outcome", why), HF_F_END);
}

void hf_gw_prewarm_reset(struct hf_gw_live_host *h)
{
    h->warm.next = 0;
    h->has_ps = false;
    h->ps_ms = 0;
}
