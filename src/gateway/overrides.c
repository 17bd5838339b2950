#include "gateway/overrides.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "codec/jsonscan.h"
#include "gateway/gateway_int.h"
#include "gateway/names.h"
#include "os/file.h"

enum {
    READ_MS = 1000,
    OVERRIDE_BYTES = 1 << 20,
    OVERRIDE_DEFAULT_MS = 24 * 3600 * 1000,
    TEXT = HF_GW_OVERRIDE_TEXT
};

static const char route_prefix[] = "route:";

/* All of a file. */
struct reading {
    struct hf_gateway *g;
    int64_t written_ms;
    struct hf_gw_override hosts[HF_GW_HOSTS];
    struct hf_gw_pins pins;
};

static void text_of(const struct hf_jsonscan_value *v, char out[TEXT])
{
    if (v->kind != HF_JSON_STRING || hf_jsonscan_str(v, out, TEXT, NULL) != HF_OK)
        out[0] = '\0';
}

/* An entry that says "override"; *pin gets the host it names, "" for none. */
static enum hf_code read_one(const struct reading *rd, const struct hf_jsonscan_value *value,
                             struct hf_gw_override *o, char pin[TEXT], struct hf_err *err)
{
    static const char *const keys[] = {"healthy", "override", "expires", "by", "why", "pin"};
    struct hf_jsonscan_value v[HF_ARRAY_LEN(keys)];
    char when[TEXT];
    memset(o, 0, sizeof(*o));
    HF_TRY(hf_jsonscan_find(value->text, value->len, keys, HF_ARRAY_LEN(keys), v, err));
    o->is_out = v[0].kind == HF_JSON_FALSE && v[1].kind == HF_JSON_TRUE;
    o->until_ms = rd->written_ms + OVERRIDE_DEFAULT_MS;
    text_of(&v[2], when);
    if (when[0] != '\0') {
        HF_TRY(hf_parse_time_ms(when, &o->until_ms, err));
        o->has_expiry = true;
    }
    text_of(&v[3], o->by);
    text_of(&v[4], o->why);
    text_of(&v[5], pin);
    if (v[1].kind != HF_JSON_TRUE)
        pin[0] = '\0';
    return HF_OK;
}

static enum hf_code read_route(struct reading *rd, const char *route,
                               const struct hf_jsonscan_value *value, struct hf_err *err)
{
    struct hf_gw_pins *pins = &rd->pins;
    struct hf_gw_pinned p = {.host = 0};
    char host[TEXT];
    HF_TRY(read_one(rd, value, &p.o, host, err));
    if (host[0] == '\0' || p.o.until_ms <= hf_clock_wall_ms())
        return HF_OK;
    p.host = hf_gw_plan_host(rd->g->plan, host);
    if (p.host >= rd->g->n_hosts || pins->n == HF_GW_PINS) {
        hf_log(HF_LOG_WARN, p.host >= rd->g->n_hosts ? "pin to an unknown host" : "too many pins",
               HF_F_STR("route", route), HF_F_STR("host", host), HF_F_END);
        return HF_OK;
    }
    hf_assert(strlen(route) < sizeof(p.route)); /* read_all takes no longer names */
    memcpy(p.route, route, strlen(route) + 1);
    pins->list[pins->n++] = p;
    return HF_OK;
}

static enum hf_code read_host(struct reading *rd, const char *name,
                              const struct hf_jsonscan_value *value, struct hf_err *err)
{
    size_t i = hf_gw_plan_host(rd->g->plan, name);
    char pin[TEXT];
    if (i < rd->g->n_hosts)
        return read_one(rd, value, &rd->hosts[i], pin, err);
    hf_log(HF_LOG_WARN, "override of an unknown host", HF_F_STR("host", name), HF_F_END);
    return HF_OK;
}

static enum hf_code read_member(struct reading *rd, const char *name,
                                const struct hf_jsonscan_value *value, struct hf_err *err)
{
    size_t n = sizeof(route_prefix) - 1;
    bool is_route = strncmp(name, route_prefix, n) == 0;
    if (value->kind != HF_JSON_OBJECT)
        return hf_err_set(err, HF_E_INVALID, "%s is no object", name);
    enum hf_code rc =
        is_route ? read_route(rd, name + n, value, err) : read_host(rd, name, value, err);
    return rc == HF_OK ? HF_OK : hf_err_wrap(err, "%s", name);
}

static enum hf_code read_all(struct reading *rd, const char *text, size_t len, struct hf_err *err)
{
    struct hf_jsonscan s;
    struct hf_jsonscan_value whole;
    struct hf_jsonscan_value key;
    struct hf_jsonscan_value value;
    bool is_member = false;
    char name[HF_GW_PIN_NAME + sizeof(route_prefix) - 1];
    HF_TRY(hf_jsonscan_value(text, len, &whole, err));
    if (whole.kind != HF_JSON_OBJECT)
        return hf_err_set(err, HF_E_INVALID, "is no JSON object");
    HF_TRY(hf_jsonscan_open(&s, text, len, err));
    for (;;) {
        HF_TRY(hf_jsonscan_next(&s, &key, &value, &is_member, err));
        if (!is_member)
            return HF_OK;
        HF_TRY(hf_jsonscan_str(&key, name, sizeof(name), err));
        HF_TRY(read_member(rd, name, &value, err));
    }
}

/* ---- what it means ---- */

static void apply(struct hf_gw_live_host *h, const struct hf_gw_override *o, uint64_t now_ms)
{
    bool was_out = h->override.is_out;
    h->override = *o;
    h->override.is_out = o->is_out && hf_clock_wall_ms() < o->until_ms;
    if (h->override.is_out == was_out)
        return;
    h->g->is_health_dirty = true;
    hf_log(HF_LOG_WARN, was_out ? "override ended" : "override", HF_F_STR("host", h->conf->name),
           HF_F_STR("by", o->by), HF_F_STR("why", o->why), HF_F_END);
    if (!was_out && !o->has_expiry)
        hf_log(HF_LOG_WARN, "override without expires counts for 24h",
               HF_F_STR("host", h->conf->name), HF_F_END);
    hf_gw_host_event(h, was_out ? HF_HEALTH_UNDRAIN : HF_HEALTH_DRAIN, now_ms);
}

static void log_pin(const struct hf_gateway *g, const struct hf_gw_pinned *p, const char *event)
{
    hf_log(HF_LOG_WARN, event, HF_F_STR("route", p->route),
           HF_F_STR("host", g->hosts[p->host].conf->name), HF_F_STR("by", p->o.by),
           HF_F_STR("why", p->o.why), HF_F_END);
}

static const struct hf_gw_pinned *find(const struct hf_gw_pins *pins, const char *route)
{
    for (size_t i = 0; i < pins->n; i++) {
        if (hf_gw_name_equal(pins->list[i].route, route))
            return &pins->list[i];
    }
    return NULL;
}

static void apply_pins(struct hf_gateway *g, const struct hf_gw_pins *next)
{
    for (size_t i = 0; i < g->pins.n; i++) {
        if (find(next, g->pins.list[i].route) == NULL)
            log_pin(g, &g->pins.list[i], "pin ended");
    }
    for (size_t i = 0; i < next->n; i++) {
        const struct hf_gw_pinned *p = &next->list[i];
        const struct hf_gw_pinned *old = find(&g->pins, p->route);
        if (old != NULL && old->host == p->host)
            continue;
        log_pin(g, p, "pin");
        if (!p->o.has_expiry)
            hf_log(HF_LOG_WARN, "override without expires counts for 24h",
                   HF_F_STR("route", p->route), HF_F_END);
    }
    g->pins = *next;
}

static void read_overrides(struct hf_gateway *g, uint64_t now_ms)
{
    struct hf_file_stat st = {0};
    struct hf_err err = HF_ERR_INIT;
    HF_AUTO_FREE char *text = NULL;
    size_t len = 0;
    bool is_there = hf_path_stat(g->conf->override_file, &st, NULL) == HF_OK;
    int64_t mtime = is_there ? st.mtime_ns : 0;
    if (mtime == g->override_mtime_ns)
        return;
    g->override_mtime_ns = mtime;
    HF_AUTO_FREE struct reading *rd = hf_calloc(1, sizeof(*rd));
    rd->g = g;
    rd->written_ms = mtime / 1000000;
    enum hf_code rc = HF_OK;
    if (is_there)
        rc = hf_path_read(g->conf->override_file, OVERRIDE_BYTES, &text, &len, &err);
    if (rc == HF_OK && is_there)
        rc = read_all(rd, text, len, &err);
    if (rc != HF_OK) {
        hf_err_wrap(&err, "%s", g->conf->override_file);
        hf_log(HF_LOG_ERROR, "override file is broken: what it said before stays", HF_F_ERR(&err),
               HF_F_END);
        return;
    }
    apply_pins(g, &rd->pins);
    for (size_t i = 0; i < g->n_hosts; i++)
        apply(&g->hosts[i], &rd->hosts[i], now_ms);
    hf_gw_unpause(g, now_ms); /* a pin may have gone that kept requests waiting */
}

static void end_overrides(struct hf_gateway *g, uint64_t now_ms)
{
    static const struct hf_gw_override none = {.is_out = false};
    int64_t wall_ms = hf_clock_wall_ms();
    for (size_t i = 0; i < g->n_hosts; i++) {
        struct hf_gw_live_host *h = &g->hosts[i];
        if (h->override.is_out && wall_ms >= h->override.until_ms)
            apply(h, &none, now_ms);
    }
    for (size_t i = 0; i < g->pins.n; i++) {
        if (wall_ms < g->pins.list[i].o.until_ms)
            continue;
        log_pin(g, &g->pins.list[i], "pin ended");
        g->pins.list[i--] = g->pins.list[--g->pins.n];
    }
}

void hf_gw_overrides_tick(struct hf_gateway *g, uint64_t now_ms)
{
    if (g->conf->override_file == NULL || now_ms - g->override_read_ms < READ_MS)
        return;
    g->override_read_ms = now_ms;
    read_overrides(g, now_ms);
    end_overrides(g, now_ms);
}

const struct hf_gw_pinned *hf_gw_pin_of(const struct hf_gateway *g, const char *route)
{
    return g->pins.n == 0 ? NULL : find(&g->pins, route);
}

void hf_gw_override_json(struct hf_json *j, const struct hf_gw_override *o)
{
    char when[HF_TIME_TEXT];
    hf_clock_format(o->until_ms, when);
    hf_json_kstr(j, "by", o->by);
    hf_json_kstr(j, "why", o->why);
    hf_json_kstr(j, "expires", when);
}
