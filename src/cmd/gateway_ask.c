#include "cmd/gateway_ask.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "cmd/out.h"
#include "codec/httpurl.h"
#include "codec/jsonscan.h"
#include "gateway/plan.h"
#include "net/httpclient.h"
#include "os/file.h"

enum { ANSWER_BYTES = 16 << 20, TIMEOUT_MS = 10000, TEXT = 300, KEY_BYTES = 4096 };

/* ---- asking ---- */

/* "http://127.0.0.1:4180" of "127.0.0.1:4180" or ":4180". */
static char *base_url(const struct hf_config_gateway *conf)
{
    const char *scheme = conf->tls_cert != NULL ? "https" : "http";
    const char *listen = conf->listen;
    if (strncmp(listen, "0.0.0.0:", 8) == 0)
        listen += 7;
    return hf_asprintf("%s://%s%s", scheme, listen[0] == ':' ? "127.0.0.1" : "", listen);
}

/* The secret to show; NULL: none. The caller frees it. */
static enum hf_code admin_key(const struct hf_config_gateway *conf, char **out, struct hf_err *err)
{
    const char *said = getenv("HOLDFAST_GATEWAY_KEY");
    size_t len = 0;
    *out = said == NULL ? NULL : hf_strdup(said);
    for (size_t i = 0; *out == NULL && i < conf->n_keys; i++) {
        const struct hf_config_gateway_key *k = &conf->keys[i];
        if (!k->is_admin)
            continue;
        if (k->key != NULL)
            *out = hf_strdup(k->key);
        else if (k->key_file != NULL)
            HF_TRY(hf_path_read(k->key_file, KEY_BYTES, out, &len, err));
    }
    if (*out != NULL)
        (*out)[strcspn(*out, "\r\n")] = '\0';
    return HF_OK;
}

/* What the gateway says is wrong: the text of {"error": ...}, else what it sent. */
static enum hf_code explain_status(const char *base, struct hf_http_reply *reply,
                                   struct hf_err *err)
{
    static const char *const keys[] = {"error"};
    struct hf_jsonscan_value v;
    char said[TEXT];
    int status = reply->head.status;
    enum hf_code code = status == 404                    ? HF_E_NOT_FOUND
                        : status == 401 || status == 403 ? HF_E_DENIED
                                                         : HF_E_INVALID;
    const char *body = hf_buf_str(&reply->body);
    if (hf_jsonscan_find(body, reply->body.len, keys, 1, &v, NULL) != HF_OK ||
        v.kind != HF_JSON_STRING || hf_jsonscan_str(&v, said, sizeof(said), NULL) != HF_OK)
        snprintf(said, sizeof(said), "%s", body);
    hf_err_set(err, code, "%s answered %d: %s", base, status, said);
    if (status == 401)
        hf_err_hint(err, "set HOLDFAST_GATEWAY_KEY to a key that is admin");
    return code;
}

enum hf_code hf_gateway_ask_call(const struct hf_gateway_ask *a, const struct hf_gateway_call *c,
                                 struct hf_http_reply *reply, struct hf_err *err)
{
    struct hf_http_client *client = NULL;
    struct hf_http_client_opts o = {.tls = {.ca_file = a->conf->tls_cert}};
    HF_AUTO_FREE char *base = base_url(a->conf);
    HF_AUTO_FREE char *url = hf_asprintf("%s%s", base, c->path);
    HF_AUTO_FREE char *key = NULL;
    struct hf_http_header headers[2] = {{"Content-Type", "application/json"}};
    struct hf_http_request req = {.method = c->method,
                                  .url = url,
                                  .headers = headers,
                                  .n_headers = 1,
                                  .body = c->body,
                                  .body_len = c->body == NULL ? 0 : strlen(c->body),
                                  .deadlines = {.total_ms = TIMEOUT_MS}};
    if (strncmp(a->conf->listen, "unix:", 5) == 0)
        return hf_err_set(err, HF_E_UNSUPPORTED,
                          "the gateway listens on a unix socket; ask it with curl --unix-socket");
    HF_TRY(admin_key(a->conf, &key, err));
    HF_AUTO_FREE char *bearer = hf_asprintf("Bearer %s", key == NULL ? "" : key);
    if (key != NULL)
        headers[req.n_headers++] = (struct hf_http_header){"Authorization", bearer};
    HF_TRY(hf_http_client_new(&o, &client, err));
    enum hf_code rc = hf_http_do(client, &req, reply, err);
    if (rc == HF_OK && reply->head.status != 200) {
        rc = explain_status(base, reply, err);
    } else if (rc != HF_OK) {
        hf_err_hint(err, "is `holdfast gateway` running with this configuration?");
    }
    hf_http_client_free(client);
    return rc;
}

static enum hf_code get(const struct hf_gateway_ask *a, const char *path,
                        struct hf_http_reply *reply, struct hf_err *err)
{
    struct hf_gateway_call c = {.method = "GET", .path = path};
    return hf_gateway_ask_call(a, &c, reply, err);
}

/* ---- reading ---- */

/* "kim until 2026-11-28T10:00:00.000Z: new fan" */
static void override_text(const struct hf_jsonscan_value *v, char out[TEXT])
{
    static const char *const keys[] = {"by", "expires", "why"};
    struct hf_jsonscan_value m[3];
    char text[3][90];
    if (hf_jsonscan_find(v->text, v->len, keys, 3, m, NULL) != HF_OK)
        return;
    for (int i = 0; i < 3; i++) {
        if (hf_jsonscan_str(&m[i], text[i], sizeof(text[i]), NULL) != HF_OK)
            snprintf(text[i], sizeof(text[i]), "?");
    }
    snprintf(out, TEXT, "%s until %s: %s", text[0], text[1], text[2]);
}

/* A member as text for a cell: strings unescaped, numbers as they are. */
static const char *cell(const struct hf_jsonscan_value *v, char out[TEXT])
{
    out[0] = '\0';
    if (v->kind == HF_JSON_STRING) {
        if (hf_jsonscan_str(v, out, TEXT, NULL) != HF_OK)
            snprintf(out, TEXT, "?");
    } else if (v->kind == HF_JSON_OBJECT) {
        override_text(v, out);
    } else if (v->kind == HF_JSON_NUMBER || v->kind == HF_JSON_TRUE || v->kind == HF_JSON_FALSE) {
        snprintf(out, TEXT, "%.*s", (int)(v->len < 100 ? v->len : 100), v->text);
    }
    return out;
}

#define SIZE "_bytes"

static bool is_size(const char *key)
{
    size_t len = strlen(key);
    return len > strlen(SIZE) && strcmp(key + len - strlen(SIZE), SIZE) == 0;
}

/* A cell of the column key. */
static const char *cell_of(const char *key, const struct hf_jsonscan_value *v, char out[TEXT])
{
    int64_t bytes = 0;
    char size[HF_SIZE_TEXT];
    if (!is_size(key) || !hf_jsonscan_i64(v, &bytes) || bytes < 0)
        return cell(v, out);
    hf_size_format((uint64_t)bytes, size);
    snprintf(out, TEXT, "%s", size);
    return out;
}

/* "tokens_out" -> "tokens out"; sizes are shown with their unit. */
static const char *heading(const char *key, char out[TEXT])
{
    snprintf(out, TEXT, "%.*s", (int)(strlen(key) - (is_size(key) ? strlen(SIZE) : 0)), key);
    for (char *c = out; *c != '\0'; c++) {
        if (*c == '_')
            *c = ' ';
    }
    return out;
}

/* One row a member of the array, one column a key; "none" if it is empty. */
enum hf_code hf_gateway_ask_table(const struct hf_jsonscan_value *array, const char *const *keys,
                                  size_t n, struct hf_err *err)
{
    struct hf_jsonscan s;
    struct hf_jsonscan_value item;
    struct hf_jsonscan_value v[16];
    struct hf_table t;
    char text[TEXT];
    bool is_member = true;
    size_t n_rows = 0;
    hf_table_init(&t, n);
    for (size_t i = 0; i < n; i++)
        hf_table_cell(&t, heading(keys[i], text));
    enum hf_code rc = hf_jsonscan_open(&s, array->text, array->len, err);
    while (rc == HF_OK) {
        rc = hf_jsonscan_next(&s, NULL, &item, &is_member, err);
        if (rc != HF_OK || !is_member)
            break;
        rc = hf_jsonscan_find(item.text, item.len, keys, n, v, err);
        for (size_t i = 0; rc == HF_OK && i < n; i++) {
            const char *shown = cell_of(keys[i], &v[i], text);
            hf_table_cell(&t, shown[0] == '\0' ? "-" : shown);
        }
        n_rows++;
    }
    if (rc == HF_OK)
        rc = n_rows > 0 ? hf_table_print(&t, err) : hf_out_print(err, "none\n");
    hf_table_deinit(&t);
    return rc;
}

static enum hf_code print_json(struct hf_http_reply *r, struct hf_err *err)
{
    return hf_out_print(err, "%s\n", hf_buf_str(&r->body));
}

/* ---- the questions ---- */

/* "money-per-day 1.25 of 5" and so on, all budgets of a key. */
static void budgets_text(const struct hf_jsonscan_value *array, char out[TEXT])
{
    static const char *const keys[] = {"budget", "left", "limit"};
    struct hf_jsonscan s;
    struct hf_jsonscan_value item;
    struct hf_jsonscan_value v[3];
    char text[3][TEXT];
    bool is_member = false;
    out[0] = '\0';
    if (array->kind != HF_JSON_ARRAY ||
        hf_jsonscan_open(&s, array->text, array->len, NULL) != HF_OK)
        return;
    while (hf_jsonscan_next(&s, NULL, &item, &is_member, NULL) == HF_OK && is_member) {
        size_t len = strlen(out);
        if (hf_jsonscan_find(item.text, item.len, keys, 3, v, NULL) != HF_OK)
            return;
        snprintf(out + len, TEXT - len, "%s%.30s %.30s of %.30s", len == 0 ? "" : ", ",
                 cell(&v[0], text[0]), cell(&v[1], text[1]), cell(&v[2], text[2]));
    }
}

static enum hf_code account_row(const struct hf_jsonscan_value *item, struct hf_table *t,
                                struct hf_err *err)
{
    static const char *const keys[] = {"name",       "active",      "tokens_today",
                                       "cost_today", "cost_in_all", "budgets"};
    struct hf_jsonscan_value v[HF_ARRAY_LEN(keys)];
    char text[TEXT];
    HF_TRY(hf_jsonscan_find(item->text, item->len, keys, HF_ARRAY_LEN(keys), v, err));
    for (size_t i = 0; i + 1 < HF_ARRAY_LEN(keys); i++)
        hf_table_cell(t, cell(&v[i], text));
    budgets_text(&v[HF_ARRAY_LEN(keys) - 1], text);
    hf_table_cell(t, text);
    return HF_OK;
}

static enum hf_code accounts_text(struct hf_http_reply *r, struct hf_err *err)
{
    static const char *const keys[] = {"keys"};
    static const char *const columns[] = {"key",        "active",      "tokens today",
                                          "cost today", "cost in all", "left"};
    struct hf_jsonscan s;
    struct hf_jsonscan_value all;
    struct hf_jsonscan_value item;
    struct hf_table t;
    bool is_member = true;
    HF_TRY(hf_jsonscan_find(hf_buf_str(&r->body), r->body.len, keys, 1, &all, err));
    HF_TRY(hf_jsonscan_open(&s, all.text, all.len, err));
    HF_TRY(hf_out_print(err, "\n"));
    hf_table_init(&t, HF_ARRAY_LEN(columns));
    for (size_t i = 0; i < HF_ARRAY_LEN(columns); i++)
        hf_table_cell(&t, columns[i]);
    enum hf_code rc = HF_OK;
    while (rc == HF_OK) {
        rc = hf_jsonscan_next(&s, NULL, &item, &is_member, err);
        if (rc != HF_OK || !is_member)
            break;
        rc = account_row(&item, &t, err);
    }
    if (rc == HF_OK)
        rc = hf_table_print(&t, err);
    hf_table_deinit(&t);
    return rc;
}

static enum hf_code status_text(struct hf_http_reply *r, struct hf_err *err)
{
    static const char *const keys[] = {"version", "uptime_ms", "requests",
                                       "queued",  "paused",    "retries"};
    static const char *const shown[] = {"version", "uptime", "under way",
                                        "queued",  "paused", "retries"};
    struct hf_jsonscan_value v[HF_ARRAY_LEN(keys)];
    char text[TEXT];
    HF_TRY(hf_jsonscan_find(hf_buf_str(&r->body), r->body.len, keys, HF_ARRAY_LEN(keys), v, err));
    int64_t ms = 0;
    char since[HF_DURATION_TEXT];
    (void)hf_jsonscan_i64(&v[1], &ms);
    hf_duration_format(ms / 1000 * 1000000000, since);
    for (size_t i = 0; i < HF_ARRAY_LEN(keys); i++)
        HF_TRY(hf_out_print(err, "%-10s %s\n", shown[i], i == 1 ? since : cell(&v[i], text)));
    return accounts_text(r, err);
}

enum hf_code hf_gateway_ask_status(const struct hf_gateway_ask *a, struct hf_err *err)
{
    struct hf_http_reply r;
    hf_http_reply_init(&r, ANSWER_BYTES);
    enum hf_code rc = get(a, "/holdfast/status", &r, err);
    if (rc == HF_OK)
        rc = a->is_json ? print_json(&r, err) : status_text(&r, err);
    hf_http_reply_deinit(&r);
    return rc;
}

static enum hf_code hosts_text(struct hf_http_reply *r, struct hf_err *err)
{
    static const char *const keys[] = {"hosts"};
    static const char *const columns[] = {"name", "state",  "reason",   "address", "active",
                                          "ok",   "failed", "override", "error"};
    struct hf_jsonscan_value v;
    HF_TRY(hf_jsonscan_find(hf_buf_str(&r->body), r->body.len, keys, 1, &v, err));
    return hf_gateway_ask_table(&v, columns, HF_ARRAY_LEN(columns), err);
}

enum hf_code hf_gateway_ask_hosts(const struct hf_gateway_ask *a, struct hf_err *err)
{
    struct hf_http_reply r;
    hf_http_reply_init(&r, ANSWER_BYTES);
    enum hf_code rc = get(a, "/holdfast/status", &r, err);
    if (rc == HF_OK)
        rc = a->is_json ? print_json(&r, err) : hosts_text(&r, err);
    hf_http_reply_deinit(&r);
    return rc;
}

static enum hf_code explain(const struct hf_gateway_ask *a, const char *model,
                            struct hf_http_reply *r, struct hf_err *err)
{
    struct hf_buf path;
    hf_buf_init(&path, HF_GW_TIER_FILE);
    enum hf_code rc = hf_buf_appendf(&path, err, "/holdfast/explain?model=");
    if (rc == HF_OK)
        rc = hf_url_escape(&path, model, false, err);
    if (rc == HF_OK && a->down != NULL)
        rc = hf_buf_appendf(&path, err, "&down=");
    if (rc == HF_OK && a->down != NULL)
        rc = hf_url_escape(&path, a->down, false, err);
    if (rc == HF_OK)
        rc = get(a, hf_buf_str(&path), r, err);
    hf_buf_deinit(&path);
    return rc;
}

static enum hf_code explain_text(struct hf_http_reply *r, struct hf_err *err)
{
    static const char *const keys[] = {"model", "route", "decision", "candidates", "override"};
    static const char *const columns[] = {"host", "model", "state", "fit", "verdict"};
    struct hf_jsonscan_value v[5];
    char text[TEXT];
    HF_TRY(hf_jsonscan_find(hf_buf_str(&r->body), r->body.len, keys, 5, v, err));
    if (v[4].kind == HF_JSON_OBJECT)
        HF_TRY(hf_out_print(err, "%-9s %s\n", keys[4], cell(&v[4], text)));
    for (size_t i = 0; i < 3; i++)
        HF_TRY(hf_out_print(err, "%-9s %s\n", keys[i], cell(&v[i], text)));
    return hf_gateway_ask_table(&v[3], columns, HF_ARRAY_LEN(columns), err);
}

/* The exit code says where a request would end: nowhere is an error. */
static enum hf_code explain_end(struct hf_http_reply *r, const char *model, struct hf_err *err)
{
    static const char *const keys[] = {"decision"};
    struct hf_jsonscan_value v;
    char text[TEXT];
    HF_TRY(hf_jsonscan_find(hf_buf_str(&r->body), r->body.len, keys, 1, &v, err));
    cell(&v, text);
    if (strcmp(text, "not found") == 0)
        return hf_err_set(err, HF_E_NOT_FOUND, "no host has a model '%.100s'", model);
    if (strcmp(text, "private") == 0)
        return hf_err_set(err, HF_E_DENIED,
                          "'%.100s' is private, and no host of the house has its model", model);
    return HF_OK;
}

enum hf_code hf_gateway_ask_explain(const struct hf_gateway_ask *a, const char *model,
                                    struct hf_err *err)
{
    struct hf_http_reply r;
    hf_http_reply_init(&r, ANSWER_BYTES);
    enum hf_code rc = explain(a, model, &r, err);
    if (rc == HF_OK)
        rc = a->is_json ? print_json(&r, err) : explain_text(&r, err);
    if (rc == HF_OK)
        rc = explain_end(&r, model, err);
    hf_http_reply_deinit(&r);
    return rc;
}

/* "forge / llama3.1:8b": the candidate that was taken. */
static void taken_of(const struct hf_jsonscan_value *array, char out[TEXT])
{
    static const char *const keys[] = {"host", "model", "verdict"};
    struct hf_jsonscan s;
    struct hf_jsonscan_value item;
    struct hf_jsonscan_value v[3];
    char host[TEXT];
    char model[TEXT];
    bool is_member = false;
    snprintf(out, TEXT, "-");
    if (hf_jsonscan_open(&s, array->text, array->len, NULL) != HF_OK)
        return;
    while (hf_jsonscan_next(&s, NULL, &item, &is_member, NULL) == HF_OK && is_member) {
        if (hf_jsonscan_find(item.text, item.len, keys, 3, v, NULL) != HF_OK ||
            !hf_jsonscan_is(&v[2], "taken"))
            continue;
        snprintf(out, TEXT, "%.100s / %.150s", cell(&v[0], host), cell(&v[1], model));
        return;
    }
}

static enum hf_code route_row(const struct hf_gateway_ask *a, const char *name, struct hf_table *t,
                              struct hf_err *err)
{
    static const char *const keys[] = {"decision", "candidates"};
    struct hf_http_reply r;
    struct hf_jsonscan_value v[2];
    char text[TEXT];
    hf_http_reply_init(&r, ANSWER_BYTES);
    enum hf_code rc = explain(a, name, &r, err);
    if (rc == HF_OK)
        rc = hf_jsonscan_find(hf_buf_str(&r.body), r.body.len, keys, 2, v, err);
    if (rc == HF_OK) {
        hf_table_cell(t, name);
        hf_table_cell(t, cell(&v[0], text));
        taken_of(&v[1], text);
        hf_table_cell(t, text);
    }
    hf_http_reply_deinit(&r);
    return rc;
}

/* All answers in one JSON document. */
static enum hf_code routes_json(const struct hf_gateway_ask *a, const struct hf_gw_plan *plan,
                                struct hf_err *err)
{
    struct hf_out_json o;
    enum hf_code rc = HF_OK;
    hf_out_json_begin(&o, "holdfast.gateway-routes/1");
    hf_json_kstr(&o.j, "down", a->down);
    hf_json_key(&o.j, "routes");
    hf_json_array_begin(&o.j);
    for (size_t i = 0; rc == HF_OK && i < plan->n_routes; i++) {
        struct hf_http_reply r;
        hf_http_reply_init(&r, ANSWER_BYTES);
        rc = explain(a, plan->routes[i].name, &r, err);
        if (rc == HF_OK)
            hf_json_raw(&o.j, hf_buf_str(&r.body));
        hf_http_reply_deinit(&r);
    }
    hf_json_array_end(&o.j);
    if (rc == HF_OK)
        return hf_out_json_end(&o, err);
    hf_buf_deinit(&o.buf);
    return rc;
}

enum hf_code hf_gateway_ask_routes(const struct hf_gateway_ask *a, const struct hf_gw_plan *plan,
                                   struct hf_err *err)
{
    struct hf_table t;
    enum hf_code rc = HF_OK;
    if (a->is_json)
        return routes_json(a, plan, err);
    hf_table_init(&t, 3);
    hf_table_cell(&t, "route");
    hf_table_cell(&t, "decision");
    hf_table_cell(&t, "goes to");
    for (size_t i = 0; rc == HF_OK && i < plan->n_routes; i++)
        rc = route_row(a, plan->routes[i].name, &t, err);
    if (rc == HF_OK)
        rc = hf_table_print(&t, err);
    hf_table_deinit(&t);
    return rc;
}

static enum hf_code what_if_text(struct hf_http_reply *r, struct hf_err *err)
{
    static const char *const keys[] = {"routes", "hosts", "cost_more_per_hour"};
    static const char *const routes[] = {"model",
                                         "what",
                                         "now",
                                         "then",
                                         "fit",
                                         "requests_per_hour",
                                         "tokens_out_per_hour",
                                         "cost_more_per_hour"};
    static const char *const hosts[] = {
        "name", "state", "routes_more", "memory_bytes", "loaded_bytes", "added_bytes", "fits"};
    struct hf_jsonscan_value v[3];
    char text[TEXT];
    HF_TRY(hf_jsonscan_find(hf_buf_str(&r->body), r->body.len, keys, 3, v, err));
    HF_TRY(hf_gateway_ask_table(&v[0], routes, HF_ARRAY_LEN(routes), err));
    HF_TRY(hf_out_print(err, "\ncost more per hour: %s\n\n", cell(&v[2], text)));
    return hf_gateway_ask_table(&v[1], hosts, HF_ARRAY_LEN(hosts), err);
}

enum hf_code hf_gateway_ask_what_if(const struct hf_gateway_ask *a, struct hf_err *err)
{
    struct hf_http_reply r;
    struct hf_buf path;
    hf_buf_init(&path, HF_GW_TIER_FILE);
    hf_http_reply_init(&r, ANSWER_BYTES);
    enum hf_code rc = hf_buf_appendf(&path, err, "/holdfast/what-if?down=");
    if (rc == HF_OK)
        rc = hf_url_escape(&path, a->down, false, err);
    if (rc == HF_OK)
        rc = get(a, hf_buf_str(&path), &r, err);
    if (rc == HF_OK)
        rc = a->is_json ? print_json(&r, err) : what_if_text(&r, err);
    hf_http_reply_deinit(&r);
    hf_buf_deinit(&path);
    return rc;
}
