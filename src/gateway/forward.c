/*
 * What is asked of one host and passed on as it is: /api/show, and the management of models.
 *
 *   show     goes where a request for that model would go; the name in it becomes the host's. The
 *            next candidate is asked when one fails; when nobody answers, what the lists know is
 *            said
 *   manage   pull, push, create, copy, delete, blobs change one host, so one must be named:
 *            X-Holdfast-Pin-Host or ?host=; a single Ollama host needs no name. The answer streams.
 *
 * On the transfer thread.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/jsonscan.h"
#include "gateway/gateway_int.h"

enum {
    FORWARD_MAGIC = 0x66776467,
    SHOW_MS = 10000,        /* Ollama answers from disk */
    MANAGE_IDLE_MS = 600000 /* copying and hashing 40 GB between two lines of progress */
};

struct hf_gw_forward {
    uint32_t magic;
    struct hf_gateway *g;
    struct hf_gw_forward *next;
    struct hf_httpd_call *call;
    struct hf_http_call *up; /* NULL: none under way */
    struct hf_gw_live_host *host;
    char model[HF_MODEL_NAME];     /* of show; empty: management */
    struct hf_jsonscan_value name; /* where it stands in the body */
    uint64_t tried;
    struct hf_buf body;
    struct hf_buf out; /* of show: its answer */
    int status;
    bool is_started;
};

static void end(struct hf_gw_forward *f)
{
    struct hf_gw_forward **at = &f->g->forwards;
    hf_assert_magic(f, FORWARD_MAGIC);
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    hf_http_call_free(f->up);
    hf_buf_deinit(&f->body);
    hf_buf_deinit(&f->out);
    f->magic = 0;
    hf_free(f);
}

static void refuse(struct hf_gw_forward *f, enum hf_api_class kind, const char *text)
{
    struct hf_api_error e;
    hf_api_error_set(&e, kind, "%s", text);
    hf_gw_reply_error(f->call, HF_DIALECT_OLLAMA, &e, NULL);
    end(f);
}

static void show_next(struct hf_gw_forward *f);

static void on_head(void *arg, const struct hf_http_head *head)
{
    struct hf_gw_forward *f = arg;
    const char *type = hf_http_head_get(head, "content-type");
    f->status = head->status;
    if (f->model[0] != '\0')
        return;
    struct hf_http_header h = {"X-Holdfast-Host", f->host->conf->name};
    struct hf_httpd_reply r = {.status = head->status,
                               .content_type = type == NULL ? "application/json" : type,
                               .headers = &h,
                               .n_headers = 1};
    hf_httpd_call_start(f->call, &r);
    f->is_started = true;
}

static enum hf_http_flow on_body(void *arg, const uint8_t *data, size_t len)
{
    struct hf_gw_forward *f = arg;
    enum hf_code rc = f->model[0] != '\0' ? hf_buf_append(&f->out, data, len, NULL)
                                          : hf_httpd_call_write(f->call, data, len, NULL);
    return rc == HF_OK ? HF_HTTP_GO : HF_HTTP_STOP; /* progress is small: who reads none is cut */
}

static void show_done(struct hf_gw_forward *f, const struct hf_http_result *res)
{
    bool is_answer = res->code == HF_OK && f->status < 500 && f->status != 404;
    if (!is_answer) {
        show_next(f);
        return;
    }
    struct hf_http_header h = {"X-Holdfast-Host", f->host->conf->name};
    struct hf_httpd_reply r = {.status = f->status,
                               .content_type = "application/json",
                               .headers = &h,
                               .n_headers = 1,
                               .body = f->out.data,
                               .len = f->out.len};
    hf_httpd_call_reply(f->call, &r);
    end(f);
}

static void on_done(void *arg, const struct hf_http_result *res)
{
    struct hf_gw_forward *f = arg;
    char text[300];
    hf_assert_magic(f, FORWARD_MAGIC);
    hf_http_call_free(f->up);
    f->up = NULL;
    if (f->model[0] == '\0')
        hf_gw_host_refresh(f->host);
    if (hf_httpd_call_is_gone(f->call)) {
        hf_httpd_call_abort(f->call);
        end(f);
    } else if (f->model[0] != '\0') {
        show_done(f, res);
    } else if (!f->is_started) {
        snprintf(text, sizeof(text), "host %s: %.200s", f->host->conf->name,
                 res->code == HF_OK ? "no answer" : res->err->text);
        refuse(f, HF_API_BUSY, text);
    } else {
        if (res->code == HF_OK)
            hf_httpd_call_finish(f->call);
        else
            hf_httpd_call_abort(f->call);
        end(f);
    }
}

static const struct hf_http_events events = {
    .on_head = on_head, .on_body = on_body, .on_done = on_done};

/* False: that host cannot be asked (no call was started). */
static bool send_it(struct hf_gw_forward *f, const char *path, const struct hf_http_deadlines *d)
{
    char hop[HF_GW_HOPS_TEXT];
    const char *hops = hf_httpd_call_header(f->call, "X-Holdfast-Hop");
    snprintf(hop, sizeof(hop), "%s%s%s", hops == NULL ? "" : hops, hops == NULL ? "" : ",",
             f->g->id);
    struct hf_http_header h[] = {{"Content-Type", "application/json"}, {"X-Holdfast-Hop", hop}};
    HF_AUTO_FREE char *url = hf_asprintf("%s%s", f->host->conf->urls[f->host->url_at], path);
    struct hf_http_request req = {.method = hf_httpd_call_method(f->call),
                                  .url = url,
                                  .headers = h,
                                  .n_headers = HF_ARRAY_LEN(h),
                                  .body = f->body.data,
                                  .body_len = f->body.len,
                                  .deadlines = *d};
    return hf_http_start(f->g->client, &req, &events, f, &f->up, NULL) == HF_OK;
}

/* ---- show ---- */

/* The request with the host's name of the model. */
static enum hf_code show_body(struct hf_gw_forward *f, const char *model)
{
    size_t len = 0;
    const char *body = hf_httpd_call_body(f->call, &len);
    size_t at = (size_t)(f->name.text - body);
    struct hf_json j;
    hf_buf_reset(&f->body);
    HF_TRY(hf_buf_append(&f->body, body, at, NULL));
    hf_json_init(&j, &f->body, false);
    hf_json_str(&j, model);
    HF_TRY(hf_json_end(&j, NULL));
    return hf_buf_append(&f->body, f->name.text + f->name.len, len - at - f->name.len, NULL);
}

/* Nobody is left to ask. */
static void show_known(struct hf_gw_forward *f)
{
    struct hf_models all = {0};
    struct hf_buf out;
    char text[HF_MODEL_NAME + 40];
    hf_buf_init(&out, HF_GW_LIST_BYTES);
    hf_gw_models(f->g, hf_gw_key_of_call(f->g, f->call), &all);
    const struct hf_model *m = hf_models_find(&all, f->model);
    if (m != NULL && hf_model_write(HF_LIST_TAGS, m, &out, NULL) == HF_OK) {
        hf_gw_reply_text(f->call, 200, "application/json", hf_buf_str(&out), out.len);
        end(f);
    } else {
        snprintf(text, sizeof(text), "model '%s' not found", f->model);
        refuse(f, HF_API_MODEL, text);
    }
    hf_buf_deinit(&out);
    hf_models_deinit(&all);
}

static void show_next(struct hf_gw_forward *f)
{
    struct hf_gw_candidate found[HF_GW_CANDIDATES] = {{0}};
    struct hf_gw_route own = {.name = f->model, .candidates = found};
    struct hf_gw_facts facts[HF_GW_CANDIDATES];
    struct hf_gw_choice choice;
    const struct hf_gw_route *route = hf_gw_plan_route(f->g->plan, f->model);
    static const struct hf_http_deadlines limits = {.connect_ms = 1000, .total_ms = SHOW_MS};
    if (route == NULL)
        hf_gw_discover(f->g, f->model, &own);
    route = route == NULL ? &own : route;
    uint64_t down = hf_gw_facts(f->g, route, f->tried, facts, hf_clock_mono_ms());
    struct hf_gw_ask ask = {.route = route, .facts = facts, .down = down, .pin = SIZE_MAX};
    hf_gw_choose(&ask, &choice);
    const struct hf_gw_candidate *c = &route->candidates[choice.candidate];
    if (route->n_candidates == 0 && hf_gw_is_list_due(f->g)) {
        hf_gw_page_hold(f->g, f->call);
        end(f);
        return;
    }
    if (!choice.is_found || f->g->hosts[c->host].conf->kind != HF_CONFIG_OLLAMA) {
        show_known(f);
        return;
    }
    f->tried |= HF_GW_BIT(choice.candidate);
    f->host = &f->g->hosts[c->host];
    hf_buf_reset(&f->out);
    if (show_body(f, c->model) != HF_OK || !send_it(f, "/api/show", &limits))
        show_known(f);
}

static void show(struct hf_gw_forward *f)
{
    static const char *const keys[] = {"model", "name"};
    struct hf_jsonscan_value v[2];
    struct hf_err err = HF_ERR_INIT;
    size_t len = 0;
    const char *body = hf_httpd_call_body(f->call, &len);
    enum hf_code rc = hf_jsonscan_find_sure(body, len, keys, 2, v, &err);
    f->name = v[rc == HF_OK && v[0].kind != HF_JSON_ABSENT ? 0 : 1];
    if (rc == HF_OK && f->name.kind != HF_JSON_STRING)
        rc = hf_err_set(&err, HF_E_INVALID, "model is required");
    if (rc == HF_OK)
        rc = hf_jsonscan_str(&f->name, f->model, sizeof(f->model), &err);
    if (rc == HF_OK && f->model[0] == '\0')
        rc = hf_err_set(&err, HF_E_INVALID, "model is required");
    const struct hf_gw_key *key = hf_gw_key_of_call(f->g, f->call);
    if (rc != HF_OK)
        refuse(f, HF_API_INVALID, err.text);
    else if (key != NULL && !hf_gw_key_may_ask(key, f->model))
        refuse(f, HF_API_MODEL, "no model of that name is in this key's scope");
    else
        show_next(f);
}

/* ---- management ---- */

static struct hf_gw_live_host *only_host(struct hf_gateway *g)
{
    struct hf_gw_live_host *one = NULL;
    for (size_t i = 0; i < g->n_hosts; i++) {
        const struct hf_gw_host *c = g->hosts[i].conf;
        if (c->kind != HF_CONFIG_OLLAMA || c->is_gone)
            continue;
        if (one != NULL)
            return NULL;
        one = &g->hosts[i];
    }
    return one;
}

static void manage(struct hf_gw_forward *f)
{
    static const struct hf_http_deadlines limits = {.connect_ms = 3000, .idle_ms = MANAGE_IDLE_MS};
    struct hf_gateway *g = f->g;
    const char *name = hf_httpd_call_header(f->call, "X-Holdfast-Pin-Host");
    size_t len = 0;
    const char *body = hf_httpd_call_body(f->call, &len);
    name = name != NULL ? name : hf_httpd_call_query(f->call, "host");
    size_t at = name == NULL ? g->n_hosts : hf_gw_plan_host(g->plan, name);
    f->host = name == NULL ? only_host(g) : at < g->plan->n_hosts ? &g->hosts[at] : NULL;
    if (f->host == NULL || f->host->conf->kind != HF_CONFIG_OLLAMA) {
        refuse(f, HF_API_INVALID,
               name == NULL ? "this changes one host, and there are several: name it with the "
                              "header X-Holdfast-Pin-Host or with ?host=NAME"
                            : "the host that was named is no Ollama host of this gateway");
        return;
    }
    if (hf_buf_append(&f->body, body, len, NULL) != HF_OK ||
        !send_it(f, hf_httpd_call_path(f->call), &limits))
        refuse(f, HF_API_BUSY, "the gateway has too many calls under way: try again");
}

static const struct {
    const char *path;
    const char *method;
} managing[] = {
    {"/api/pull", "POST"}, {"/api/push", "POST"},     {"/api/create", "POST"},
    {"/api/copy", "POST"}, {"/api/delete", "DELETE"},
};
static const char blobs[] = "/api/blobs/";

bool hf_gw_path_is_managing(const char *path)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(managing); i++) {
        if (strcmp(path, managing[i].path) == 0)
            return true;
    }
    return strncmp(path, blobs, sizeof(blobs) - 1) == 0;
}

static bool is_managed(const char *path, const char *method)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(managing); i++) {
        if (strcmp(path, managing[i].path) == 0 && strcmp(method, managing[i].method) == 0)
            return true;
    }
    bool is_blob =
        strncmp(path, "/api/blobs/sha256", 17) == 0 && strpbrk(path + 17, "/?# ") == NULL;
    return is_blob && (strcmp(method, "POST") == 0 || strcmp(method, "HEAD") == 0);
}

bool hf_gw_forward(struct hf_gateway *g, struct hf_httpd_call *call)
{
    const char *path = hf_httpd_call_path(call);
    const char *method = hf_httpd_call_method(call);
    bool is_show = strcmp(path, "/api/show") == 0 && strcmp(method, "POST") == 0;
    if (!is_show && !is_managed(path, method))
        return false;
    struct hf_gw_forward *f = hf_calloc(1, sizeof(*f));
    f->magic = FORWARD_MAGIC;
    f->g = g;
    f->call = call;
    f->next = g->forwards;
    g->forwards = f;
    hf_buf_init(&f->body, g->max_body + HF_MIB);
    hf_buf_init(&f->out, HF_GW_LIST_BYTES);
    if (hf_gw_is_loop(g, call))
        refuse(f, HF_API_INVALID, "this request came from this gateway: its hosts lead back to it");
    else if (is_show)
        show(f);
    else
        manage(f);
    return true;
}

struct gone {
    struct hf_task task;
    struct hf_gateway *g;
    const struct hf_httpd_call *call;
};

static void run_gone(struct hf_task *task)
{
    struct gone *n = (struct gone *)(void *)task;
    for (struct hf_gw_forward *f = n->g->forwards; f != NULL; f = f->next) {
        if (f->call == n->call && f->up != NULL)
            hf_http_cancel(f->up); /* on_done ends it */
    }
    hf_free(n);
}

void hf_gw_forward_gone(struct hf_gateway *g, const struct hf_httpd_call *call)
{
    struct gone *n = hf_calloc(1, sizeof(*n));
    n->task.run = run_gone;
    n->g = g;
    n->call = call;
    hf_http_client_post(g->client, &n->task);
}
