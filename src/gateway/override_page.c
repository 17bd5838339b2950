/*
 * /holdfast/override: what is overridden, and changing it.
 *
 *   GET                                             the list
 *   POST   {"host":"forge","why":..,"by":..,"for":"2h" | "expires":TIME}    takes a host out
 *   POST   {"route":"coder","pin":"anvil",...}      pins a route to a host
 *   DELETE ?host=forge or ?route=coder              ends it
 *
 * The change is written into the override file on the helper thread; then the loop reads the file
 * and answers with the list. A page in somebody's browser cannot do it: the body must be
 * application/json, which a browser sends to strangers only if they agree.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "codec/jsonscan.h"
#include "gateway/gateway_int.h"
#include "gateway/translate_form.h"
#include "os/file.h"

enum {
    PAGE_BYTES = 1 << 20,
    FILE_BYTES = 1 << 20,
    DEFAULT_MS = 24 * 3600 * 1000,
    NAME = HF_GW_PIN_NAME + 8
};

static const char content_type[] = "application/json";

/* A change on its way to the file and back. */
struct change {
    struct hf_task task; /* the helper's, then the loop's */
    struct hf_gateway *g;
    struct hf_httpd_call *call;
    char *path;
    char member[NAME];
    char pin[HF_GW_PIN_NAME]; /* "": a host is taken out */
    struct hf_gw_override o;
    bool is_clear;
    enum hf_code rc;
    struct hf_err err;
};

static void refuse(struct hf_httpd_call *call, int status, const char *text)
{
    struct hf_api_error e;
    hf_api_error_set(&e, HF_API_INVALID, "%s", text);
    e.status = status;
    hf_gw_reply_error(call, HF_DIALECT_OLLAMA, &e, NULL);
}

/* ---- the list ---- */

static void put_entry(struct hf_json *j, const char *kind, const char *name,
                      const struct hf_gw_override *o)
{
    hf_json_object_begin(j);
    hf_json_kstr(j, "kind", kind);
    hf_json_kstr(j, "name", name);
    hf_gw_override_json(j, o);
}

static void reply_list(struct hf_gateway *g, struct hf_httpd_call *call, const char *warning)
{
    struct hf_buf out;
    struct hf_json j;
    hf_buf_init(&out, PAGE_BYTES);
    hf_json_init(&j, &out, false);
    hf_json_object_begin(&j);
    hf_json_kstr(&j, "schema", "holdfast.gateway-overrides/1");
    hf_json_kstr(&j, "file", g->conf->override_file);
    hf_json_kstr(&j, "warning", warning);
    hf_json_key(&j, "overrides");
    hf_json_array_begin(&j);
    for (size_t i = 0; i < g->n_hosts; i++) {
        if (!g->hosts[i].override.is_out)
            continue;
        put_entry(&j, "host", g->hosts[i].conf->name, &g->hosts[i].override);
        hf_json_kstr(&j, "pin", NULL);
        hf_json_object_end(&j);
    }
    for (size_t i = 0; i < g->pins.n; i++) {
        put_entry(&j, "route", g->pins.list[i].route, &g->pins.list[i].o);
        hf_json_kstr(&j, "pin", g->hosts[g->pins.list[i].host].conf->name);
        hf_json_object_end(&j);
    }
    hf_json_array_end(&j);
    hf_json_object_end(&j);
    if (hf_json_end(&j, NULL) == HF_OK)
        hf_gw_reply_text(call, 200, content_type, hf_buf_str(&out), out.len);
    else
        refuse(call, 500, "the list is larger than a page may be");
    hf_buf_deinit(&out);
}

/* ---- the file ---- */

static json_t *entry_of(const struct change *c)
{
    char when[HF_TIME_TEXT];
    json_t *e = json_object();
    hf_clock_format(c->o.until_ms, when);
    hf_tj_set_new(e, "healthy", json_boolean(c->pin[0] != '\0'));
    hf_tj_set_new(e, "override", json_true());
    if (c->pin[0] != '\0')
        hf_tj_set_new(e, "pin", json_string(c->pin));
    hf_tj_set_new(e, "by", json_string(c->o.by));
    hf_tj_set_new(e, "why", json_string(c->o.why));
    hf_tj_set_new(e, "expires", json_string(when));
    return e;
}

static enum hf_code load_file(struct change *c, json_t **out)
{
    HF_AUTO_FREE char *text = NULL;
    size_t len = 0;
    enum hf_code rc = hf_path_read(c->path, FILE_BYTES, &text, &len, &c->err);
    if (rc == HF_E_NOT_FOUND) {
        *out = json_object();
        return HF_OK;
    }
    HF_TRY(rc);
    if (hf_tj_load_object(text, len, out, &c->err) == HF_OK)
        return HF_OK;
    hf_err_wrap(&c->err, "%s is broken", c->path);
    return HF_E_CONFLICT;
}

static enum hf_code change_file(struct change *c)
{
    HF_AUTO_JSON json_t *all = NULL;
    HF_TRY(load_file(c, &all));
    if (!c->is_clear)
        hf_tj_set_new(all, c->member, entry_of(c));
    else if (json_object_del(all, c->member) != 0)
        return hf_err_set(&c->err, HF_E_NOT_FOUND, "there is no override of %s in %s", c->member,
                          c->path);
    struct hf_buf out;
    struct hf_tw w = {&out, false};
    hf_buf_init(&out, FILE_BYTES);
    hf_tw_value(&w, all);
    enum hf_code rc = hf_tw_end(&w, &c->err);
    if (rc == HF_OK)
        rc = hf_path_write_atomic(c->path, out.data, out.len, 0644, &c->err);
    hf_buf_deinit(&out);
    return rc;
}

static void free_change(struct change *c)
{
    hf_free(c->path);
    hf_free(c);
}

/* On the loop again. */
static void run_answer(struct hf_task *task)
{
    struct change *c = (struct change *)(void *)task;
    static const char no_end[] = "no end was given: it counts for 24h";
    if (c->rc != HF_OK) {
        refuse(c->call, hf_code_http(c->rc), c->err.text);
    } else {
        c->g->override_mtime_ns = -1;
        c->g->override_read_ms = 0;
        hf_gw_overrides_tick(c->g, hf_clock_mono_ms());
        reply_list(c->g, c->call, c->is_clear || c->o.has_expiry ? NULL : no_end);
    }
    free_change(c);
}

/* On the helper thread. */
static void run_change(struct hf_task *task)
{
    struct change *c = (struct change *)(void *)task;
    c->rc = change_file(c);
    c->task.run = run_answer;
    hf_http_client_post(c->g->client, &c->task);
}

/* ---- what is asked ---- */

static enum hf_code read_text(const struct hf_jsonscan_value *v, const char *name, char *out,
                              size_t cap, struct hf_err *err)
{
    out[0] = '\0';
    if (v->kind == HF_JSON_ABSENT || v->kind == HF_JSON_NULL)
        return HF_OK;
    if (hf_jsonscan_str(v, out, cap, NULL) == HF_OK)
        return HF_OK;
    return hf_err_set(err, HF_E_INVALID, "%s: a text of less than %zu bytes is expected", name,
                      cap);
}

static enum hf_code read_end(struct change *c, const char *expires, const char *span,
                             struct hf_err *err)
{
    int64_t now_ms = hf_clock_wall_ms();
    int64_t ns = 0;
    c->o.has_expiry = expires[0] != '\0' || span[0] != '\0';
    c->o.until_ms = now_ms + DEFAULT_MS;
    if (span[0] != '\0') {
        HF_TRY(hf_parse_duration_ns(span, &ns, err));
        c->o.until_ms = now_ms + ns / 1000000;
    } else if (expires[0] != '\0') {
        HF_TRY(hf_parse_time_ms(expires, &c->o.until_ms, err));
    }
    if (c->o.until_ms <= now_ms)
        return hf_err_set(err, HF_E_INVALID, "the override would be over already");
    return HF_OK;
}

/* A route can be pinned to a host only if that is one of its candidates, or has the model. */
static enum hf_code check_pin(struct change *c, const char *route, struct hf_err *err)
{
    struct hf_gateway *g = c->g;
    struct hf_gw_candidate found[HF_GW_CANDIDATES] = {{0}};
    struct hf_gw_route own = {.name = route, .candidates = found};
    size_t host = hf_gw_plan_host(g->plan, c->pin);
    const struct hf_gw_route *r = hf_gw_plan_route(g->plan, route);
    if (r == NULL) {
        hf_gw_discover(g, route, &own);
        r = &own;
    }
    for (size_t i = 0; i < r->n_candidates; i++) {
        if (r->candidates[i].host == host)
            return HF_OK;
    }
    return hf_err_set(err, HF_E_NOT_FOUND, "%s does not go to a host called '%s'", route, c->pin);
}

static enum hf_code set_subject(struct change *c, const char *host, const char *route,
                                struct hf_err *err)
{
    if ((host[0] == '\0') == (route[0] == '\0'))
        return hf_err_set(err, HF_E_INVALID, "needs a host or a route");
    if (host[0] != '\0' && !c->is_clear && hf_gw_plan_host(c->g->plan, host) == c->g->plan->n_hosts)
        return hf_err_set(err, HF_E_NOT_FOUND, "no host is called '%s'", host);
    snprintf(c->member, sizeof(c->member), "%s%s",
             route[0] == '\0' ? "" : "route:", route[0] == '\0' ? host : route);
    return HF_OK;
}

static enum hf_code read_body(struct change *c, struct hf_err *err)
{
    static const char *const keys[] = {"host", "route", "pin", "by", "why", "expires", "for"};
    struct hf_jsonscan_value v[HF_ARRAY_LEN(keys)];
    char host[HF_GW_PIN_NAME];
    char route[HF_GW_PIN_NAME];
    char expires[HF_GW_PIN_NAME];
    char span[HF_GW_PIN_NAME];
    size_t len = 0;
    const char *body = hf_httpd_call_body(c->call, &len);
    HF_TRY(hf_jsonscan_find(body, len, keys, HF_ARRAY_LEN(keys), v, err));
    HF_TRY(read_text(&v[0], keys[0], host, sizeof(host), err));
    HF_TRY(read_text(&v[1], keys[1], route, sizeof(route), err));
    HF_TRY(read_text(&v[2], keys[2], c->pin, sizeof(c->pin), err));
    HF_TRY(read_text(&v[3], keys[3], c->o.by, sizeof(c->o.by), err));
    HF_TRY(read_text(&v[4], keys[4], c->o.why, sizeof(c->o.why), err));
    HF_TRY(read_text(&v[5], keys[5], expires, sizeof(expires), err));
    HF_TRY(read_text(&v[6], keys[6], span, sizeof(span), err));
    HF_TRY(set_subject(c, host, route, err));
    HF_TRY(read_end(c, expires, span, err));
    if ((route[0] == '\0') != (c->pin[0] == '\0'))
        return hf_err_set(err, HF_E_INVALID, "a route needs pin: HOST, a host takes none");
    return route[0] == '\0' ? HF_OK : check_pin(c, route, err);
}

static enum hf_code read_query(struct change *c, struct hf_err *err)
{
    const char *host = hf_httpd_call_query(c->call, "host");
    const char *route = hf_httpd_call_query(c->call, "route");
    c->is_clear = true;
    return set_subject(c, host == NULL ? "" : host, route == NULL ? "" : route, err);
}

static bool is_json(const struct hf_httpd_call *call)
{
    const char *type = hf_httpd_call_header(call, "Content-Type");
    return type != NULL && strncmp(type, content_type, sizeof(content_type) - 1) == 0;
}

void hf_gw_override_page(struct hf_gateway *g, struct hf_httpd_call *call)
{
    const char *method = hf_httpd_call_method(call);
    bool is_delete = strcmp(method, "DELETE") == 0;
    struct hf_err err = HF_ERR_INIT;
    if (strcmp(method, "GET") == 0) {
        reply_list(g, call, NULL);
        return;
    }
    if (!is_delete && strcmp(method, "POST") != 0) {
        refuse(call, 405, "GET, POST or DELETE");
    } else if (g->plan->keys.n == 0 && !hf_gw_is_from_here(call)) {
        refuse(call, 403, "without gateway.keys overrides can be set from this machine only");
    } else if (g->conf->override_file == NULL) {
        refuse(call, 409, "gateway.override-file is not configured: overrides have no place");
    } else if (!is_delete && !is_json(call)) {
        refuse(call, 415, "the body must be application/json");
    } else {
        struct change *c = hf_calloc(1, sizeof(*c));
        c->g = g;
        c->call = call;
        c->path = hf_strdup(g->conf->override_file);
        enum hf_code rc = is_delete ? read_query(c, &err) : read_body(c, &err);
        if (rc != HF_OK) {
            refuse(call, hf_code_http(rc), err.text);
            free_change(c);
            return;
        }
        c->task.run = run_change;
        hf_pool_submit(g->money.helpers, &c->task);
    }
}
