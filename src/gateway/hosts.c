#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "codec/jsonscan.h"
#include "gateway/gateway_int.h"
#include "gateway/names.h"

enum hf_dialect hf_gw_dialect(enum hf_config_host_kind kind)
{
    switch (kind) {
    case HF_CONFIG_OPENAI:
        return HF_DIALECT_OPENAI;
    case HF_CONFIG_ANTHROPIC:
        return HF_DIALECT_ANTHROPIC;
    default:
        return HF_DIALECT_OLLAMA;
    }
}

/* ---- slots ---- */

struct hf_gw_slot *hf_gw_slot_find(const struct hf_gw_live_host *h, const char *model)
{
    for (struct hf_gw_slot *s = h->slots; s != NULL; s = s->next) {
        if (hf_gw_name_equal(s->model, model))
            return s;
    }
    return NULL;
}

struct hf_gw_slot *hf_gw_slot_get(struct hf_gw_live_host *h, const char *model)
{
    struct hf_gw_slot *s = hf_gw_slot_find(h, model);
    if (s != NULL || h->n_slots == HF_GW_SLOTS)
        return s;
    s = hf_calloc(1, sizeof(*s));
    s->host = h;
    s->model = hf_strdup(model);
    hf_gwq_init(&s->lane, (size_t)h->g->conf->queue_per_model, &h->g->n_waiting,
                (size_t)h->g->conf->queue_all);
    s->next = h->slots;
    h->slots = s;
    h->n_slots++;
    return s;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t hf_gw_slot_room(const struct hf_gw_slot *s, uint64_t now_ms)
{
    const struct hf_gw_live_host *h = s->host;
    int64_t room = h->conf->parallel - s->active;
    int64_t cap = hf_health_cap(&h->health, now_ms);
    if (h->conf->parallel_all > 0)
        room = least(room, h->conf->parallel_all - h->active);
    if (cap > 0)
        room = least(room, cap - h->active);
    return room;
}

enum hf_gw_model_state hf_gw_host_model(const struct hf_gw_live_host *h, const char *model)
{
    if (h->conf->kind != HF_CONFIG_OLLAMA || !h->has_tags)
        return HF_GW_MODEL_UNKNOWN;
    if (hf_models_find(&h->ps, model) != NULL)
        return HF_GW_MODEL_LOADED;
    return hf_models_find(&h->tags, model) != NULL ? HF_GW_MODEL_ON_DISK : HF_GW_MODEL_MISSING;
}

struct hf_gw_memory hf_gw_host_memory(const struct hf_gw_live_host *h)
{
    struct hf_gw_memory m = {.total = h->conf->memory_bytes};
    for (size_t i = 0; i < h->ps.n; i++) {
        const struct hf_model *loaded = &h->ps.list[i];
        const struct hf_gw_slot *s = hf_gw_slot_find(h, loaded->name);
        if (s != NULL && (s->active > 0 || s->lane.n > 0))
            m.in_use += loaded->size;
        else
            m.idle += loaded->size;
    }
    return m;
}

enum hf_gw_fit hf_gw_host_fit(const struct hf_gw_live_host *h, const char *model)
{
    bool is_loaded = hf_models_find(&h->ps, model) != NULL;
    struct hf_gw_memory m = {.total = h->conf->memory_bytes};
    const struct hf_model *file = NULL;
    if (m.total > 0 && !is_loaded) {
        m = hf_gw_host_memory(h);
        file = hf_models_find(&h->tags, model);
    }
    return hf_gw_fit(&m, file == NULL ? 0 : hf_gw_fit_need(file->size), is_loaded);
}

/* Out of the house: the host is, or it hands this model on to Ollama's cloud. */
static bool is_away(const struct hf_gw_live_host *h, const char *model)
{
    if (h->conf->is_cloud || h->conf->kind != HF_CONFIG_OLLAMA)
        return h->conf->is_cloud;
    const struct hf_model *m = hf_models_find(&h->tags, model);
    return m == NULL ? hf_model_name_is_remote(model) : m->is_remote;
}

uint64_t hf_gw_facts(struct hf_gateway *g, const struct hf_gw_route *route, uint64_t tried,
                     struct hf_gw_facts *out, uint64_t now_ms)
{
    uint64_t down = 0;
    for (size_t i = 0; i < g->n_hosts; i++)
        down |= hf_health_is_down(&g->hosts[i].health) ? HF_GW_BIT(i) : 0;
    for (size_t i = 0; i < route->n_candidates; i++) {
        const struct hf_gw_candidate *c = &route->candidates[i];
        struct hf_gw_live_host *h = &g->hosts[c->host];
        struct hf_gw_slot *s = hf_gw_slot_find(h, c->model);
        out[i] = (struct hf_gw_facts){
            .health = h->health.state,
            .model = hf_gw_host_model(h, c->model),
            .is_open = s != NULL && !hf_breaker_allows(&s->breaker, now_ms),
            .is_tried = (tried & HF_GW_BIT(i)) != 0,
            .is_cloud = is_away(h, c->model),
            .fit = hf_gw_host_fit(h, c->model),
            .free_slots =
                s == NULL ? h->conf->parallel : hf_gw_slot_room(s, now_ms) - (int64_t)s->lane.n};
    }
    return down;
}

void hf_gw_discover(struct hf_gateway *g, const char *model, struct hf_gw_route *out)
{
    for (size_t i = 0; i < g->n_hosts && out->n_candidates < HF_GW_CANDIDATES; i++) {
        struct hf_gw_live_host *h = &g->hosts[i];
        const struct hf_model *m = hf_models_find(&h->tags, model);
        if (m == NULL || m->is_remote || h->conf->is_cloud || h->conf->is_gone)
            continue;
        out->candidates[out->n_candidates++] = (struct hf_gw_candidate){.host = i, .model = model};
    }
}

/* ---- health ---- */

void hf_gw_host_event(struct hf_gw_live_host *h, enum hf_health_event ev, uint64_t now_ms)
{
    struct hf_gateway *g = h->g;
    enum hf_health_state was = h->health.state;
    if (!hf_health_step(&h->health, ev, (uint64_t)g->conf->probe_interval_ms, now_ms,
                        hf_random_u32()))
        return;
    g->is_health_dirty = true;
    hf_log(hf_health_is_down(&h->health) ? HF_LOG_WARN : HF_LOG_INFO, "host",
           HF_F_STR("host", h->conf->name), HF_F_STR("was", hf_health_word(was)),
           HF_F_STR("is", hf_health_word(h->health.state)), HF_F_STR("reason", h->health.reason),
           HF_F_STR("error", h->last_error), HF_F_END);
    if (!hf_health_is_routable(&h->health)) {
        hf_sticky_drop(g->sticky, (uint32_t)h->index);
        hf_gw_prewarm_reset(h);
        hf_gw_host_move_away(h, now_ms);
    } else {
        h->last_error[0] = '\0';
        hf_gw_host_refresh(h);
        hf_gw_unpause(g, now_ms);
        hf_gw_host_pump(h, now_ms);
    }
}

void hf_gw_host_refresh(struct hf_gw_live_host *h)
{
    h->tags_ms = 0;
    h->ps_ms = 0;
}

/* How much later than asked: each answer asks for it, few use it. */
static uint32_t spread(void)
{
    uint32_t v;
    hf_random_name_bytes(&v, sizeof(v));
    return v;
}

void hf_gw_host_result(struct hf_gw_slot *s, enum hf_gw_failure f, uint64_t now_ms)
{
    struct hf_gw_live_host *h = s->host;
    enum hf_gw_says says = hf_gw_failure_rule(f)->says;
    h->n_ok += says == HF_GW_SAYS_GOOD;
    h->n_failed += says == HF_GW_SAYS_MODEL || says == HF_GW_SAYS_DEAD;
    if (says != HF_GW_SAYS_GOOD && says != HF_GW_SAYS_MODEL)
        hf_breaker_dropped(&s->breaker); /* else half-open would wait for its result for ever */
    if (says == HF_GW_SAYS_DEAD)
        hf_gw_host_event(h, HF_HEALTH_REFUSED, now_ms);
    if (says == HF_GW_SAYS_DENIED)
        hf_gw_host_event(h, HF_HEALTH_DENIED, now_ms);
    if (says == HF_GW_SAYS_MISSING)
        hf_gw_host_refresh(h);
    if (says != HF_GW_SAYS_GOOD && says != HF_GW_SAYS_MODEL)
        return;
    bool is_changed = hf_breaker_result(&s->breaker, says == HF_GW_SAYS_GOOD, now_ms, spread());
    h->g->is_unpause_due |= is_changed || s->breaker.state == HF_BREAKER_HALF_OPEN;
    if (is_changed)
        hf_log(HF_LOG_WARN, "breaker", HF_F_STR("host", h->conf->name), HF_F_STR("model", s->model),
               HF_F_STR("is", hf_breaker_word(s->breaker.state)), HF_F_END);
}

/* ---- the set of hosts ---- */

static void add_new_hosts(struct hf_gateway *g, uint64_t now_ms)
{
    for (; g->n_hosts < g->plan->n_hosts; g->n_hosts++) {
        struct hf_gw_live_host *h = &g->hosts[g->n_hosts];
        h->g = g;
        h->conf = &g->plan->hosts[g->n_hosts];
        h->index = g->n_hosts;
        hf_health_init(&h->health, now_ms);
    }
}

/* All the room at once: requests and slots point into it. */
void hf_gw_hosts_init(struct hf_gateway *g, uint64_t now_ms)
{
    g->hosts = hf_calloc(HF_GW_HOSTS, sizeof(*g->hosts));
    add_new_hosts(g, now_ms);
}

void hf_gw_hosts_reload(struct hf_gateway *g, uint64_t now_ms)
{
    for (size_t i = 0; i < g->n_hosts; i++) {
        struct hf_gw_live_host *h = &g->hosts[i];
        h->conf = &g->plan->hosts[i];
        h->url_at = h->url_at < h->conf->n_urls ? h->url_at : 0;
    }
    add_new_hosts(g, now_ms);
    for (size_t i = 0; i < g->n_hosts; i++) {
        struct hf_gw_live_host *h = &g->hosts[i];
        bool is_out = h->conf->is_gone || h->override.is_out;
        bool was_out = h->health.state == HF_HEALTH_DRAINED;
        if (is_out != was_out)
            hf_gw_host_event(h, is_out ? HF_HEALTH_DRAIN : HF_HEALTH_UNDRAIN, now_ms);
        hf_gw_host_refresh(h);
        hf_gw_prewarm_reset(h);
    }
}

void hf_gw_hosts_deinit(struct hf_gateway *g)
{
    for (size_t i = 0; i < g->n_hosts; i++) {
        struct hf_gw_live_host *h = &g->hosts[i];
        hf_models_deinit(&h->tags);
        hf_models_deinit(&h->ps);
        while (h->slots != NULL) {
            struct hf_gw_slot *s = h->slots;
            h->slots = s->next;
            hf_assert(s->lane.n == 0);
            for (int op = 0; op < HF_GENAI_OPS; op++)
                hf_free(s->genai[op]);
            hf_free(s->model);
            hf_free(s);
        }
    }
    hf_free(g->hosts);
}
