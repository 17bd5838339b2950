/*
 * The two files other tools share with us: the health file, written from the router's own state and
 * never read, and the override file, read when it changes.
 *
 *   health    {"anvil":{"healthy":true,"last_check":"2026-04-20T20:00:00Z"}}
 *   override  {"forge":{"healthy":false,"override":true,"expires":TIME,"by":WHO,"why":TEXT}}
 */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "codec/jsonscan.h"
#include "gateway/gateway_int.h"
#include "os/file.h"

enum {
    WRITE_MS = 15000,
    READ_MS = 1000,
    OVERRIDE_BYTES = 1 << 20,
    OVERRIDE_DEFAULT_MS = 24 * 3600 * 1000,
    TEXT = 200
};

/* ---- health ---- */

static enum hf_code health_text(struct hf_gateway *g, uint64_t now_ms, struct hf_buf *out)
{
    struct hf_json j;
    char when[HF_TIME_TEXT];
    hf_json_init(&j, out, false);
    hf_json_object_begin(&j);
    for (size_t i = 0; i < g->n_hosts; i++) {
        const struct hf_gw_live_host *h = &g->hosts[i];
        if (h->conf->is_gone)
            continue;
        bool is_checked = h->health.last_ok_ms > 0;
        int64_t age = (int64_t)(now_ms - (is_checked ? h->health.last_ok_ms : g->started_ms));
        hf_clock_format(hf_clock_wall_ms() - age, when);
        hf_json_key(&j, h->conf->name);
        hf_json_object_begin(&j);
        hf_json_kbool(&j, "healthy", hf_health_is_routable(&h->health));
        hf_json_kstr(&j, "last_check", when);
        hf_json_kstr(&j, "state", hf_health_word(h->health.state));
        if (h->is_override)
            hf_json_kbool(&j, "override", true);
        hf_json_object_end(&j);
    }
    hf_json_object_end(&j);
    return hf_json_end(&j, NULL);
}

static void write_health(struct hf_gateway *g, uint64_t now_ms)
{
    struct hf_buf out;
    struct hf_err err = HF_ERR_INIT;
    if (g->conf->health_file == NULL ||
        (!g->is_health_dirty && now_ms - g->health_written_ms < WRITE_MS))
        return;
    g->is_health_dirty = false;
    g->health_written_ms = now_ms;
    hf_buf_init(&out, OVERRIDE_BYTES);
    HF_AUTO_FREE char *temp = hf_asprintf("%s.new", g->conf->health_file);
    struct hf_file f = HF_FILE_CLOSED;
    enum hf_code rc = health_text(g, now_ms, &out);
    /* Renamed into place, not synced: it is written anew every few seconds. */
    if (rc == HF_OK)
        rc = hf_file_open(temp, HF_FILE_TRUNCATE, 0644, &f, &err);
    if (rc == HF_OK)
        rc = hf_file_write_at(&f, out.data, out.len, 0, &err);
    hf_file_close(&f);
    if (rc == HF_OK)
        rc = hf_path_rename(temp, g->conf->health_file, &err);
    if (rc != HF_OK)
        hf_log(HF_LOG_ERROR, "health file not written", HF_F_ERR(&err), HF_F_END);
    hf_buf_deinit(&out);
}

/* ---- overrides ---- */

struct override {
    bool is_out;
    int64_t until_ms; /* wall */
    bool has_expiry;
    char by[TEXT];
    char why[TEXT];
};

static void text_of(const struct hf_jsonscan_value *v, char out[TEXT])
{
    if (v->kind != HF_JSON_STRING || hf_jsonscan_str(v, out, TEXT, NULL) != HF_OK)
        out[0] = '\0';
}

static enum hf_code read_one(const struct hf_jsonscan_value *value, int64_t written_ms,
                             struct override *o, struct hf_err *err)
{
    static const char *const keys[] = {"healthy", "override", "expires", "by", "why"};
    struct hf_jsonscan_value v[5];
    char when[TEXT];
    memset(o, 0, sizeof(*o));
    HF_TRY(hf_jsonscan_find(value->text, value->len, keys, 5, v, err));
    o->is_out = v[0].kind == HF_JSON_FALSE && v[1].kind == HF_JSON_TRUE;
    o->until_ms = written_ms + OVERRIDE_DEFAULT_MS;
    text_of(&v[2], when);
    if (when[0] != '\0') {
        HF_TRY(hf_parse_time_ms(when, &o->until_ms, err));
        o->has_expiry = true;
    }
    text_of(&v[3], o->by);
    text_of(&v[4], o->why);
    return HF_OK;
}

static void apply(struct hf_gateway *g, struct hf_gw_live_host *h, const struct override *o,
                  uint64_t now_ms)
{
    bool is_out = o->is_out && hf_clock_wall_ms() < o->until_ms;
    h->override_until_ms = o->until_ms;
    if (is_out == h->is_override)
        return;
    h->is_override = is_out;
    g->is_health_dirty = true;
    hf_log(HF_LOG_WARN, is_out ? "override" : "override ended", HF_F_STR("host", h->conf->name),
           HF_F_STR("by", o->by), HF_F_STR("why", o->why), HF_F_END);
    if (is_out && !o->has_expiry)
        hf_log(HF_LOG_WARN, "override without expires counts for 24h",
               HF_F_STR("host", h->conf->name), HF_F_END);
    hf_gw_host_event(h, is_out ? HF_HEALTH_DRAIN : HF_HEALTH_UNDRAIN, now_ms);
}

/* All of the file is read before any of it counts. */
static enum hf_code read_all(struct hf_gateway *g, const char *text, size_t len, int64_t written_ms,
                             struct override *all, struct hf_err *err)
{
    struct hf_jsonscan s;
    struct hf_jsonscan_value whole;
    struct hf_jsonscan_value key;
    struct hf_jsonscan_value value;
    bool is_member = false;
    char name[TEXT];
    HF_TRY(hf_jsonscan_value(text, len, &whole, err));
    if (whole.kind != HF_JSON_OBJECT)
        return hf_err_set(err, HF_E_INVALID, "is no JSON object");
    HF_TRY(hf_jsonscan_open(&s, text, len, err));
    for (;;) {
        HF_TRY(hf_jsonscan_next(&s, &key, &value, &is_member, err));
        if (!is_member)
            return HF_OK;
        HF_TRY(hf_jsonscan_str(&key, name, sizeof(name), err));
        size_t i = hf_gw_plan_host(g->plan, name);
        if (value.kind != HF_JSON_OBJECT)
            return hf_err_set(err, HF_E_INVALID, "%s is no object", name);
        if (i >= g->n_hosts)
            hf_log(HF_LOG_WARN, "override of an unknown host", HF_F_STR("host", name), HF_F_END);
        else if (read_one(&value, written_ms, &all[i], err) != HF_OK)
            return hf_err_wrap(err, "%s", name);
    }
}

static void read_overrides(struct hf_gateway *g, uint64_t now_ms)
{
    struct hf_file_stat st = {0};
    struct hf_err err = HF_ERR_INIT;
    struct override all[HF_GW_HOSTS];
    HF_AUTO_FREE char *text = NULL;
    size_t len = 0;
    memset(all, 0, sizeof(all));
    bool is_there = hf_path_stat(g->conf->override_file, &st, NULL) == HF_OK;
    int64_t mtime = is_there ? st.mtime_ns : 0;
    if (mtime == g->override_mtime_ns)
        return;
    g->override_mtime_ns = mtime;
    enum hf_code rc = HF_OK;
    if (is_there)
        rc = hf_path_read(g->conf->override_file, OVERRIDE_BYTES, &text, &len, &err);
    if (rc == HF_OK && is_there)
        rc = read_all(g, text, len, mtime / 1000000, all, &err);
    if (rc != HF_OK) {
        hf_err_wrap(&err, "%s", g->conf->override_file);
        hf_log(HF_LOG_ERROR, "override file is broken: what it said before stays", HF_F_ERR(&err),
               HF_F_END);
        return;
    }
    for (size_t i = 0; i < g->n_hosts; i++)
        apply(g, &g->hosts[i], &all[i], now_ms);
}

static void end_overrides(struct hf_gateway *g, uint64_t now_ms)
{
    static const struct override none = {.is_out = false};
    for (size_t i = 0; i < g->n_hosts; i++) {
        struct hf_gw_live_host *h = &g->hosts[i];
        if (h->is_override && hf_clock_wall_ms() >= h->override_until_ms)
            apply(g, h, &none, now_ms);
    }
}

void hf_gw_files_tick(struct hf_gateway *g, uint64_t now_ms)
{
    if (g->conf->override_file != NULL && now_ms - g->override_read_ms >= READ_MS) {
        g->override_read_ms = now_ms;
        read_overrides(g, now_ms);
        end_overrides(g, now_ms);
    }
    write_health(g, now_ms);
}
