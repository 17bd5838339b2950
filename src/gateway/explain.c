/*
 * What would happen: /holdfast/explain?model=NAME[&down=HOST] for one model, with a verdict for
 * each candidate, and /holdfast/what-if?down=HOST for every route. The answers come from the
 * function that routes requests, fed with what is known now and, if asked, one host less.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "gateway/gateway_int.h"
#include "gateway/names.h"

enum { PAGE_BYTES = 16 << 20, HOUR_MS = 3600 * 1000 };

/* One model's way, with or without a host. */
struct outlook {
    const struct hf_gw_route *route;
    const struct hf_gw_pinned *pin; /* by an override; NULL: none */
    bool is_own;                    /* no route of the plan: own */
    struct hf_gw_route own;
    struct hf_gw_candidate found[HF_GW_CANDIDATES];
    struct hf_gw_choice choice;
};

/* dead: index of a host to be thought down; g->n_hosts: none. */
static void look_out(struct hf_gateway *g, const char *model, size_t dead, struct outlook *o)
{
    struct hf_gw_facts facts[HF_GW_CANDIDATES];
    memset(o, 0, sizeof(*o));
    o->own = (struct hf_gw_route){.name = model, .candidates = o->found};
    o->route = hf_gw_plan_route(g->plan, model);
    o->is_own = o->route == NULL;
    if (o->is_own) {
        hf_gw_discover(g, model, &o->own);
        o->route = &o->own;
    }
    o->pin = hf_gw_pin_of(g, model);
    uint64_t down = hf_gw_facts(g, o->route, 0, facts, hf_clock_mono_ms());
    for (size_t i = 0; dead < g->n_hosts && i < o->route->n_candidates; i++) {
        if (o->route->candidates[i].host == dead)
            facts[i].health = HF_HEALTH_DOWN;
    }
    struct hf_gw_ask ask = {.route = o->route,
                            .facts = facts,
                            .down = down | (dead < g->n_hosts ? HF_GW_BIT(dead) : 0),
                            .is_ranked_alike = o->is_own,
                            .may_cloud = true,
                            .pin = o->pin == NULL ? SIZE_MAX : o->pin->host};
    hf_gw_choose(&ask, &o->choice);
    if (o->pin != NULL && o->choice.reason == HF_GW_PIN)
        o->choice.reason = HF_GW_OVERRIDDEN;
}

/* NULL: nobody. */
static const struct hf_gw_candidate *taken(const struct outlook *o)
{
    return o->choice.is_found ? &o->route->candidates[o->choice.candidate] : NULL;
}

/* Its only places are clouds, and it may not go there. */
static bool is_kept_in(const struct outlook *o)
{
    for (size_t i = 0; i < o->route->n_candidates; i++) {
        if (o->choice.verdicts[i] == HF_GW_IS_PRIVATE)
            return true;
    }
    return false;
}

static const char *decision(const struct hf_gateway *g, const struct outlook *o)
{
    if (o->choice.is_found)
        return hf_gw_reason_word(o->choice.reason);
    if (o->choice.may_come_back || (o->route->n_candidates == 0 && hf_gw_is_list_due(g)))
        return "pause";
    return is_kept_in(o) ? "private" : "not found";
}

static void put_fit(struct hf_json *j, const struct hf_gw_live_host *h, const char *model)
{
    const struct hf_model *file = hf_models_find(&h->tags, model);
    if (h->conf->is_cloud)
        return;
    hf_json_kstr(j, "fit", hf_gw_fit_word(hf_gw_host_fit(h, model)));
    if (file != NULL && file->size > 0)
        hf_json_ki64(j, "need_bytes", hf_gw_fit_need(file->size));
}

static void put_candidate(struct hf_json *j, struct hf_gateway *g, const struct hf_gw_candidate *c,
                          enum hf_gw_verdict v)
{
    struct hf_gw_live_host *h = &g->hosts[c->host];
    hf_json_object_begin(j);
    hf_json_kstr(j, "host", h->conf->name);
    hf_json_kstr(j, "model", c->model);
    hf_json_key(j, "if_down");
    hf_json_array_begin(j);
    for (size_t i = 0; i < g->n_hosts; i++) {
        if ((c->when_down & HF_GW_BIT(i)) != 0)
            hf_json_str(j, g->hosts[i].conf->name);
    }
    hf_json_array_end(j);
    hf_json_kstr(j, "state", hf_health_word(h->health.state));
    put_fit(j, h, c->model);
    hf_json_kstr(j, "verdict", hf_gw_verdict_word(v));
    hf_json_object_end(j);
}

static bool bad_question(struct hf_httpd_call *call, bool is_bad, const char *text)
{
    struct hf_api_error e;
    if (!is_bad)
        return false;
    hf_api_error_set(&e, HF_API_INVALID, "%s", text);
    hf_gw_reply_error(call, HF_DIALECT_OLLAMA, &e, NULL);
    return true;
}

void hf_gw_page_explain(struct hf_gateway *g, struct hf_httpd_call *call)
{
    const char *model = hf_httpd_call_query(call, "model");
    const char *dead = hf_httpd_call_query(call, "down");
    size_t gone = dead == NULL ? g->n_hosts : hf_gw_plan_host(g->plan, dead);
    struct outlook o;
    struct hf_buf out;
    struct hf_json j;
    if (bad_question(call, model == NULL || (dead != NULL && gone == g->n_hosts),
                     "needs ?model=NAME, and &down= names a host"))
        return;
    look_out(g, model, gone, &o);
    hf_buf_init(&out, PAGE_BYTES);
    hf_json_init(&j, &out, false);
    hf_json_object_begin(&j);
    hf_json_kstr(&j, "schema", "holdfast.gateway-explain/1");
    hf_json_kstr(&j, "model", model);
    hf_json_kstr(&j, "route", o.is_own ? NULL : o.route->name);
    hf_json_kstr(&j, "decision", decision(g, &o));
    hf_gw_put_override(&j, o.pin == NULL ? NULL : &o.pin->o);
    hf_json_key(&j, "candidates");
    hf_json_array_begin(&j);
    for (size_t i = 0; i < o.route->n_candidates; i++)
        put_candidate(&j, g, &o.route->candidates[i], o.choice.verdicts[i]);
    hf_json_array_end(&j);
    hf_json_object_end(&j);
    hf_gw_reply_json(call, hf_json_end(&j, NULL), &out);
}

/* ---- what if ---- */

/* What becomes of one host when others' requests come. */
struct burden {
    int64_t added_bytes; /* models that are not loaded there and would be */
    size_t n_routes;
    char models[HF_GW_ROUTES / 64][HF_MODEL_NAME]; /* counted once each */
    size_t n_models;
};

/* What the answers to one question have in common. */
struct what_if {
    struct hf_gateway *g;
    size_t dead;
    struct burden *burdens;          /* one a host */
    const struct hf_gw_slot **moved; /* whose traffic is in the sum: routes may share one */
    size_t n_moved;
    int64_t micro; /* an hour, more than now */
};

static void add_burden(struct burden *b, const struct hf_gw_live_host *h, const char *model)
{
    const struct hf_model *file = hf_models_find(&h->tags, model);
    b->n_routes++;
    for (size_t i = 0; i < b->n_models; i++) {
        if (hf_gw_name_equal(b->models[i], model))
            return;
    }
    if (b->n_models == HF_ARRAY_LEN(b->models) || hf_models_find(&h->ps, model) != NULL)
        return;
    snprintf(b->models[b->n_models++], HF_MODEL_NAME, "%s", model);
    b->added_bytes += file == NULL ? 0 : hf_gw_fit_need(file->size);
}

static const char *what_happens(const struct hf_gateway *g, const struct hf_gw_candidate *now,
                                const struct hf_gw_candidate *then, const struct outlook *o)
{
    if (then == NULL)
        return o->choice.may_come_back ? "pauses" : "fails";
    if (now != NULL && now->host == then->host && strcmp(now->model, then->model) == 0)
        return "stays";
    return g->hosts[then->host].conf->is_cloud ? "goes to a cloud" : "redirects";
}

/* As the configuration writes it: HOST/MODEL. */
static void put_place(struct hf_json *j, const char *key, const struct hf_gateway *g,
                      const struct hf_gw_candidate *c)
{
    HF_AUTO_FREE char *text =
        c == NULL ? NULL : hf_asprintf("%s/%s", g->hosts[c->host].conf->name, c->model);
    hf_json_kstr(j, key, text);
}

static int64_t cost(const struct hf_gateway *g, const struct hf_gw_candidate *c,
                    const struct hf_gw_tokens *t)
{
    return hf_gw_cost(hf_gw_price_find(g->conf, g->hosts[c->host].conf->name, c->model), t);
}

/* Adds it to the sum unless another route has; the traffic of one place moves once. */
static void add_cost(struct what_if *w, const struct hf_gw_slot *s, int64_t micro)
{
    for (size_t i = 0; i < w->n_moved; i++) {
        if (w->moved[i] == s)
            return;
    }
    w->moved[w->n_moved++] = s;
    w->micro += micro;
}

/* Of the place a route goes to now, since the gateway started, and what that costs elsewhere. */
static void put_traffic(struct hf_json *j, struct what_if *w, const struct hf_gw_candidate *from,
                        const struct hf_gw_candidate *to)
{
    uint64_t up_ms = hf_clock_mono_ms() - w->g->started_ms;
    const struct hf_gw_slot *s =
        from == NULL ? NULL : hf_gw_slot_find(&w->g->hosts[from->host], from->model);
    if (s == NULL || up_ms == 0)
        return;
    struct hf_gw_tokens t = {.input = (int64_t)(s->tokens_in * HOUR_MS / up_ms),
                             .output = (int64_t)(s->tokens_out * HOUR_MS / up_ms)};
    hf_json_ku64(j, "requests_per_hour", s->n_ok * HOUR_MS / up_ms);
    hf_json_ki64(j, "tokens_in_per_hour", t.input);
    hf_json_ki64(j, "tokens_out_per_hour", t.output);
    if (to == NULL)
        return;
    int64_t more = cost(w->g, to, &t) - cost(w->g, from, &t);
    hf_json_kdbl(j, "cost_more_per_hour", (double)more / 1e6);
    add_cost(w, s, more);
}

static void put_route(struct hf_json *j, struct what_if *w, const struct hf_gw_route *route)
{
    struct hf_gateway *g = w->g;
    struct outlook now;
    struct outlook then;
    look_out(g, route->name, g->n_hosts, &now);
    look_out(g, route->name, w->dead, &then);
    const struct hf_gw_candidate *from = taken(&now);
    const struct hf_gw_candidate *to = taken(&then);
    const char *what = what_happens(g, from, to, &then);
    hf_json_object_begin(j);
    hf_json_kstr(j, "model", route->name);
    hf_json_kstr(j, "what", what);
    hf_json_kstr(j, "decision", decision(g, &then));
    put_place(j, "now", g, from);
    put_place(j, "then", g, to);
    if (to != NULL)
        put_fit(j, &g->hosts[to->host], to->model);
    put_traffic(j, w, from, to);
    hf_json_object_end(j);
    if (to != NULL && strcmp(what, "redirects") == 0)
        add_burden(&w->burdens[to->host], &g->hosts[to->host], to->model);
}

static void put_burden(struct hf_json *j, const struct hf_gw_live_host *h, const struct burden *b)
{
    struct hf_gw_memory m = hf_gw_host_memory(h);
    bool is_known = m.total > 0;
    hf_json_object_begin(j);
    hf_json_kstr(j, "name", h->conf->name);
    hf_json_kstr(j, "state", hf_health_word(h->health.state));
    hf_json_ku64(j, "routes_more", b->n_routes);
    hf_json_ki64(j, "memory_bytes", m.total);
    hf_json_ki64(j, "loaded_bytes", m.idle + m.in_use);
    hf_json_ki64(j, "added_bytes", b->added_bytes);
    hf_json_kstr(j, "fits",
                 !is_known && b->added_bytes > 0 ? "not known"
                 : b->added_bytes <= m.total - m.idle - m.in_use || b->added_bytes == 0 ? "yes"
                 : b->added_bytes <= m.total ? "not all at once: models swap"
                                             : "no");
    hf_json_object_end(j);
}

void hf_gw_page_what_if(struct hf_gateway *g, struct hf_httpd_call *call)
{
    const char *dead = hf_httpd_call_query(call, "down");
    size_t gone = dead == NULL ? g->plan->n_hosts : hf_gw_plan_host(g->plan, dead);
    struct hf_buf out;
    struct hf_json j;
    if (bad_question(call, dead == NULL, "needs ?down=HOST") ||
        bad_question(call, gone >= g->n_hosts, "down= names no host of this gateway"))
        return;
    struct what_if w = {.g = g,
                        .dead = gone,
                        .burdens = hf_calloc(g->n_hosts, sizeof(*w.burdens)),
                        .moved = hf_calloc(g->plan->n_routes + 1, sizeof(*w.moved))};
    hf_buf_init(&out, PAGE_BYTES);
    hf_json_init(&j, &out, false);
    hf_json_object_begin(&j);
    hf_json_kstr(&j, "schema", "holdfast.gateway-what-if/1");
    hf_json_kstr(&j, "down", dead);
    hf_json_key(&j, "routes");
    hf_json_array_begin(&j);
    for (size_t i = 0; i < g->plan->n_routes; i++)
        put_route(&j, &w, &g->plan->routes[i]);
    hf_json_array_end(&j);
    hf_json_kdbl(&j, "cost_more_per_hour", (double)w.micro / 1e6);
    hf_json_key(&j, "hosts");
    hf_json_array_begin(&j);
    for (size_t i = 0; i < g->n_hosts; i++) {
        if (i != gone && !g->hosts[i].conf->is_gone && !g->hosts[i].conf->is_cloud)
            put_burden(&j, &g->hosts[i], &w.burdens[i]);
    }
    hf_json_array_end(&j);
    hf_json_object_end(&j);
    hf_gw_reply_json(call, hf_json_end(&j, NULL), &out);
    hf_free(w.burdens);
    hf_free(w.moved);
}
