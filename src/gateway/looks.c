/*
 * What hosts are asked without a request: whether they are alive, what models they have (tags), and
 * which of them are loaded (ps). One of each kind at a time.
 *
 * Whether it is alive is asked at its addresses in turn, HF_GW_ADDRESS_MS after each other or when
 * one failed; the first answer counts, and says where requests go. A second address must not double
 * the time until a host that lost its power is noticed: the whole round has probe-timeout, or
 * HF_GW_FAST_LOOK_MS while the host is suspect or keeps a request waiting in silence. With the
 * silence before it and two rounds a power cut shows within 5 s. On the transfer thread.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "codec/jsonscan.h"
#include "gateway/gateway_int.h"

/* LOOK_ALIVE and what follows it: one an address. */
enum { LOOK_TAGS, LOOK_PS, LOOK_ALIVE };

static const char *look_path(const struct hf_gw_live_host *h, int what)
{
    if (what == LOOK_PS)
        return "/api/ps";
    if (h->conf->kind == HF_CONFIG_OLLAMA)
        return what >= LOOK_ALIVE ? "/api/version" : "/api/tags";
    return "/v1/models";
}

static enum hf_http_flow look_body(void *arg, const uint8_t *data, size_t len)
{
    struct hf_gw_look *l = arg;
    return hf_buf_append(&l->body, data, len, NULL) == HF_OK ? HF_HTTP_GO : HF_HTTP_STOP;
}

static void look_head(void *arg, const struct hf_http_head *head)
{
    struct hf_gw_look *l = arg;
    l->status = head->status;
}

static void take_list(struct hf_gw_look *l, const struct hf_http_result *res)
{
    struct hf_gw_live_host *h = l->host;
    struct hf_models list = {0};
    struct hf_err err = HF_ERR_INIT;
    h->g->is_unpause_due = h->g->is_unpause_due || !h->has_tags; /* also when none came */
    if (res->code != HF_OK || l->status != 200 ||
        hf_models_parse(hf_gw_dialect(h->conf->kind), hf_buf_str(&l->body), l->body.len, &list,
                        &err) != HF_OK)
        return;
    struct hf_models *old = l->what == LOOK_PS ? &h->ps : &h->tags;
    hf_models_deinit(old);
    *old = list;
    h->has_tags = h->has_tags || l->what != LOOK_PS;
    h->has_ps = h->has_ps || l->what == LOOK_PS;
}

static void take_version(struct hf_gw_live_host *h, const char *text, size_t len)
{
    static const char *const keys[] = {"version"};
    struct hf_jsonscan_value v;
    char version[sizeof(h->version)];
    if (h->conf->kind != HF_CONFIG_OLLAMA ||
        hf_jsonscan_find(text, len, keys, 1, &v, NULL) != HF_OK ||
        hf_jsonscan_str(&v, version, sizeof(version), NULL) != HF_OK)
        return;
    if (version[strspn(version, "0123456789abcdefghijklmnopqrstuvwxyz.+-")] == '\0')
        memcpy(h->version, version, sizeof(version));
}

/* Discovery would look at its list, and there is none yet. */
static bool is_unlisted(const struct hf_gw_live_host *h)
{
    return !h->has_tags && !h->conf->is_gone && !h->conf->is_cloud &&
           h->conf->kind != HF_CONFIG_ANTHROPIC;
}

bool hf_gw_is_list_due(const struct hf_gateway *g)
{
    for (size_t i = 0; i < g->n_hosts; i++) {
        const struct hf_gw_live_host *h = &g->hosts[i];
        bool is_asked = h->tags_ms == 0 || h->looks[LOOK_TAGS].call != NULL;
        if (is_unlisted(h) &&
            (h->health.state == HF_HEALTH_NEW || (hf_health_is_routable(&h->health) && is_asked)))
            return true;
    }
    return false;
}

bool hf_gw_unlisted(const struct hf_gateway *g, char *out, size_t cap)
{
    size_t len = 0;
    for (size_t i = 0; i < g->n_hosts; i++) {
        if (!is_unlisted(&g->hosts[i]) || len >= cap)
            continue;
        int n =
            snprintf(out + len, cap - len, "%s%s", len == 0 ? "" : ", ", g->hosts[i].conf->name);
        len += n > 0 ? (size_t)n : 0;
    }
    return len > 0;
}

static bool is_round_under_way(const struct hf_gw_live_host *h)
{
    for (size_t i = 0; i < HF_GW_URLS; i++) {
        if (h->looks[LOOK_ALIVE + i].call != NULL)
            return true;
    }
    return false;
}

static void end_round(struct hf_gw_live_host *h)
{
    h->is_round_over = true;
    for (size_t i = 0; i < HF_GW_URLS; i++) {
        if (h->looks[LOOK_ALIVE + i].call != NULL)
            hf_http_cancel(h->looks[LOOK_ALIVE + i].call);
    }
}

static bool is_alive(const struct hf_gw_look *l, const struct hf_http_result *res)
{
    return res->code == HF_OK && l->status < 500 && l->status != 401 && l->status != 403;
}

/* The last address has failed. */
static void take_dead(struct hf_gw_look *l, const struct hf_http_result *res, uint64_t now_ms)
{
    struct hf_gw_live_host *h = l->host;
    bool is_denied = res->code == HF_OK && l->status < 500;
    h->g->is_unpause_due = h->g->is_unpause_due || !h->has_tags;
    if (res->code == HF_OK)
        snprintf(h->last_error, sizeof(h->last_error), "health check: status %d", l->status);
    else
        snprintf(h->last_error, sizeof(h->last_error), "health check: %.150s", res->err->text);
    hf_gw_host_event(h, is_denied ? HF_HEALTH_DENIED : HF_HEALTH_PROBE_FAILED, now_ms);
}

static bool look(struct hf_gw_live_host *h, int what, size_t url_at, uint64_t timeout_ms);

/* The round's next address, the best one first: a host that left the house and came back is spoken
 * to at home again. False when there is none. */
static bool look_on(struct hf_gw_live_host *h, uint64_t now_ms)
{
    while (!h->is_round_over && h->round_at < h->conf->n_urls) {
        size_t at = h->round_at++;
        uint64_t left_ms = h->round_end_ms > now_ms ? h->round_end_ms - now_ms : 0;
        uint64_t least_ms = (h->round_end_ms - h->round_ms) / 2;
        h->round_next_ms = now_ms + HF_GW_ADDRESS_MS;
        if (look(h, LOOK_ALIVE + (int)at, at, left_ms > least_ms ? left_ms : least_ms))
            return true;
    }
    return false;
}

static void begin_round(struct hf_gw_live_host *h, uint64_t timeout_ms, uint64_t now_ms)
{
    h->is_round_over = false;
    h->round_at = 0;
    h->round_ms = now_ms;
    h->round_end_ms = now_ms + timeout_ms;
    look_on(h, now_ms);
}

static void alive_done(struct hf_gw_look *l, const struct hf_http_result *res, uint64_t now_ms)
{
    struct hf_gw_live_host *h = l->host;
    if (is_alive(l, res)) {
        end_round(h);
        h->url_at = l->url_at < h->conf->n_urls ? l->url_at : 0; /* they may be other ones now */
        take_version(h, hf_buf_str(&l->body), l->body.len);
        hf_gw_host_event(h, HF_HEALTH_PROBE_OK, now_ms);
    } else if (!look_on(h, now_ms) && !is_round_under_way(h)) {
        take_dead(l, res, now_ms);
    }
}

static void look_done(void *arg, const struct hf_http_result *res)
{
    struct hf_gw_look *l = arg;
    struct hf_gw_live_host *h = l->host;
    hf_http_call_free(l->call);
    l->call = NULL;
    bool is_ended = res->code == HF_E_CANCELED || h->conf->is_gone;
    if (!is_ended && l->what >= LOOK_ALIVE)
        alive_done(l, res, hf_clock_mono_ms());
    else if (!is_ended)
        take_list(l, res);
    hf_buf_deinit(&l->body);
}

static const struct hf_http_events look_events = {
    .on_head = look_head, .on_body = look_body, .on_done = look_done};

static bool look(struct hf_gw_live_host *h, int what, size_t url_at, uint64_t timeout_ms)
{
    struct hf_gw_look *l = &h->looks[what];
    const struct hf_gw_host *c = h->conf;
    const char *base = c->urls[url_at];
    const char *path = look_path(h, what);
    size_t len = strlen(base);
    bool has_v1 = len > 3 && strcmp(base + len - 3, "/v1") == 0 && strncmp(path, "/v1", 3) == 0;
    HF_AUTO_FREE char *url = hf_asprintf("%s%s", base, path + (has_v1 ? 3 : 0));
    HF_AUTO_FREE char *bearer = hf_asprintf("Bearer %s", c->api_key == NULL ? "" : c->api_key);
    struct hf_http_header headers[2];
    size_t n = 0;
    if (c->api_key != NULL && c->kind == HF_CONFIG_ANTHROPIC)
        headers[n++] = (struct hf_http_header){"x-api-key", c->api_key};
    else if (c->api_key != NULL)
        headers[n++] = (struct hf_http_header){"Authorization", bearer};
    if (c->kind == HF_CONFIG_ANTHROPIC)
        headers[n++] = (struct hf_http_header){"anthropic-version", c->api_version};
    struct hf_http_request req = {
        .method = "GET",
        .url = url,
        .headers = headers,
        .n_headers = n,
        .deadlines = {.connect_ms = (uint32_t)timeout_ms, .total_ms = (uint32_t)timeout_ms}};
    l->g = h->g;
    l->host = h;
    l->what = what;
    l->url_at = url_at;
    l->status = 0;
    hf_buf_init(&l->body, HF_GW_LIST_BYTES);
    if (hf_http_start(h->g->client, &req, &look_events, l, &l->call, NULL) == HF_OK)
        return true;
    l->call = NULL;
    return false;
}

/* A round that began while nothing was unclear has more time than there is now. */
static void cut_round_short(struct hf_gw_live_host *h, uint64_t now_ms)
{
    end_round(h);
    snprintf(h->last_error, sizeof(h->last_error), "health check: no answer within %d ms",
             HF_GW_FAST_LOOK_MS);
    hf_gw_host_event(h, HF_HEALTH_PROBE_FAILED, now_ms);
}

/* A host with requests in silence is looked at every second: a power cut shows at once. */
static void note_silence(struct hf_gateway *g, uint64_t now_ms)
{
    for (size_t i = 0; i < g->n_hosts; i++)
        g->hosts[i].is_silent = false;
    for (const struct hf_gw_request *r = g->first; r != NULL; r = r->next) {
        uint64_t heard_ms = r->last_byte_ms > 0 ? r->last_byte_ms : r->sent_ms;
        if (r->up != NULL && r->slot != NULL && now_ms - heard_ms > HF_HEALTH_FAST_MS)
            r->slot->host->is_silent = true;
    }
}

static void tick_host(struct hf_gw_live_host *h, uint64_t now_ms)
{
    if (h->conf->is_gone)
        return;
    bool is_up = hf_health_is_routable(&h->health);
    uint64_t due_ms = h->health.next_probe_ms;
    uint64_t timeout_ms = (uint64_t)h->conf->probe_timeout_ms;
    if (hf_health_tick(&h->health, now_ms))
        h->g->is_health_dirty = true;
    bool is_watched = is_up && h->is_silent;
    bool is_urgent = is_watched || h->health.state == HF_HEALTH_SUSPECT;
    if (is_urgent && timeout_ms > HF_GW_FAST_LOOK_MS)
        timeout_ms = HF_GW_FAST_LOOK_MS;
    if (is_watched && h->health.last_ok_ms + HF_HEALTH_FAST_MS < due_ms)
        due_ms = h->health.last_ok_ms + HF_HEALTH_FAST_MS;
    bool is_looking = is_round_under_way(h);
    if (is_looking && is_urgent && !h->is_round_over && now_ms - h->round_ms >= timeout_ms)
        cut_round_short(h, now_ms);
    else if (is_looking && now_ms >= h->round_next_ms)
        look_on(h, now_ms);
    else if (!is_looking && now_ms >= due_ms)
        begin_round(h, timeout_ms, now_ms);
    if (!is_up || h->health.state == HF_HEALTH_NEW || h->conf->kind == HF_CONFIG_ANTHROPIC)
        return;
    bool is_tags_due = h->tags_ms == 0 || now_ms - h->tags_ms >= HF_GW_LIST_MS;
    if (is_tags_due && h->looks[LOOK_TAGS].call == NULL) {
        h->tags_ms = now_ms;
        look(h, LOOK_TAGS, h->url_at, (uint64_t)h->conf->probe_timeout_ms);
    }
    bool is_ps_due = h->ps_ms == 0 || now_ms - h->ps_ms >= (uint64_t)h->g->conf->probe_interval_ms;
    if (h->conf->kind == HF_CONFIG_OLLAMA && is_ps_due && h->looks[LOOK_PS].call == NULL) {
        h->ps_ms = now_ms;
        look(h, LOOK_PS, h->url_at, (uint64_t)h->conf->probe_timeout_ms);
    }
    hf_gw_prewarm_tick(h);
}

void hf_gw_hosts_tick(struct hf_gateway *g, uint64_t now_ms)
{
    note_silence(g, now_ms);
    for (size_t i = 0; i < g->n_hosts; i++)
        tick_host(&g->hosts[i], now_ms);
}
