#include "cmd/serve.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/metrics.h"
#include "cmd/out.h"
#include "codec/jsonscan.h"
#include "codec/prometheus.h"
#include "net/httpserver.h"
#include "os/file.h"
#include "os/pool.h"

enum { SLICE_MS = 200 }; /* a waiting sync looks this often whether the server ends */

struct hf_serve {
    struct hf_engine *engine;
    struct hf_httpd *control;
    struct hf_httpd *metrics;
    struct hf_pool *pool;
    int64_t started_ms;
    atomic_bool is_stopping;
};

/* A request's arguments, from its body or its query. */
struct args {
    char path[HF_LIMIT_PATH];
    char replica_url[HF_LIMIT_PATH];
    uint32_t timeout_ms;
    bool wait;
};

struct answer {
    int status;
    const char *type;
    struct hf_buf body;
    struct hf_json j;
};

/* ---- answers ---- */

static void put_error(struct answer *a, int status, const char *text, const char *details)
{
    hf_buf_reset(&a->body);
    hf_json_init(&a->j, &a->body, false);
    hf_json_object_begin(&a->j);
    hf_json_kstr(&a->j, "error", text);
    if (details != NULL && details[0] != '\0')
        hf_json_kstr(&a->j, "details", details);
    hf_json_object_end(&a->j);
    a->status = status;
}

static void put_failure(struct answer *a, const struct hf_err *err)
{
    put_error(a, hf_code_http(err->code), err->text, err->hint);
}

static void put_time(struct hf_json *j, const char *key, int64_t wall_ms)
{
    char text[HF_TIME_TEXT];
    hf_clock_format(wall_ms, text);
    hf_json_kstr(j, key, text);
}

/* {"status": ..., "path": ..., "txid": ...}: what start, stop and unregister answer. */
static void put_state(struct answer *a, const char *status, const char *path, uint64_t txid)
{
    hf_json_kstr(&a->j, "status", status);
    hf_json_kstr(&a->j, "path", path);
    hf_json_ku64(&a->j, "txid", txid);
}

/* ---- the control socket ---- */

static void do_start(struct hf_serve *s, const struct args *in, struct answer *a)
{
    struct hf_engine_result res = {false, 0};
    struct hf_err err = HF_ERR_INIT;
    if (hf_engine_start_db(s->engine, in->path, &res, &err) != HF_OK)
        put_failure(a, &err);
    else
        put_state(a, res.is_changed ? "started" : "already_running", in->path, res.txid);
}

static void do_stop(struct hf_serve *s, const struct args *in, struct answer *a)
{
    struct hf_engine_result res = {false, 0};
    struct hf_err err = HF_ERR_INIT;
    if (hf_engine_stop_db(s->engine, in->path, false, in->timeout_ms, &res, &err) != HF_OK)
        put_failure(a, &err);
    else
        put_state(a, res.is_changed ? "stopped" : "already_stopped", in->path, res.txid);
}

static void do_unregister(struct hf_serve *s, const struct args *in, struct answer *a)
{
    struct hf_engine_result res = {false, 0};
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = hf_engine_stop_db(s->engine, in->path, true, in->timeout_ms, &res, &err);
    if (rc == HF_OK)
        put_state(a, "unregistered", in->path, res.txid);
    else if (rc == HF_E_NOT_FOUND)
        put_state(a, "already_unregistered", in->path, 0);
    else
        put_failure(a, &err);
}

static void do_register(struct hf_serve *s, const struct args *in, struct answer *a)
{
    struct hf_engine_result res = {false, 0};
    struct hf_err err = HF_ERR_INIT;
    struct hf_config *cfg = NULL;
    const char *urls[] = {in->replica_url};
    enum hf_code rc = hf_config_from_args(in->path, urls, 1, &cfg, &err);
    if (rc == HF_OK)
        rc = hf_engine_register(s->engine, cfg, &res, &err);
    if (rc != HF_OK) {
        put_failure(a, &err);
        return;
    }
    hf_json_kstr(&a->j, "status", res.is_changed ? "registered" : "already_registered");
    hf_json_kstr(&a->j, "path", in->path);
}

/* In slices: the server may end meanwhile. */
static enum hf_code sync_waiting(struct hf_serve *s, const struct args *in,
                                 struct hf_engine_result *res, struct hf_err *err)
{
    uint64_t end = hf_clock_mono_ms() + in->timeout_ms;
    bool is_changed = false;
    for (;;) {
        hf_err_reset(err);
        enum hf_code rc = hf_engine_sync_db(s->engine, in->path, SLICE_MS, res, err);
        is_changed = is_changed || res->is_changed;
        res->is_changed = is_changed;
        if (rc != HF_E_TIMEOUT || hf_clock_mono_ms() >= end || atomic_load(&s->is_stopping))
            return rc;
    }
}

static void do_sync(struct hf_serve *s, const struct args *in, struct answer *a)
{
    struct hf_engine_result res = {false, 0};
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = in->wait ? sync_waiting(s, in, &res, &err)
                               : hf_engine_sync_db(s->engine, in->path, 0, &res, &err);
    if (rc != HF_OK) {
        put_failure(a, &err);
        return;
    }
    put_state(a, res.is_changed ? "synced" : "no_change", in->path, res.txid);
    /* There is no local copy that could be ahead: what has a TXID is in the replica. */
    hf_json_ku64(&a->j, "replicated_txid", res.txid);
}

static void do_txid(struct hf_serve *s, const struct args *in, struct answer *a)
{
    struct hf_snapshot snap;
    hf_snapshot_take(&snap, s->engine);
    size_t i = 0;
    while (i < snap.n && strcmp(snap.rows[i].path, in->path) != 0)
        i++;
    if (i < snap.n)
        hf_json_ku64(&a->j, "txid", snap.rows[i].txid);
    else
        put_error(a, 404, "database not found", NULL);
    hf_snapshot_deinit(&snap);
}

static void do_list(struct hf_serve *s, const struct args *in, struct answer *a)
{
    struct hf_snapshot snap;
    (void)in;
    hf_snapshot_take(&snap, s->engine);
    hf_json_key(&a->j, "databases");
    hf_json_array_begin(&a->j);
    for (size_t i = 0; i < snap.n; i++) {
        const struct hf_db_status *r = &snap.rows[i];
        if (!hf_snapshot_is_first(&snap, i))
            continue;
        hf_json_object_begin(&a->j);
        hf_json_kstr(&a->j, "path", r->path);
        hf_json_kstr(&a->j, "status", r->is_stopped ? "stopped" : "replicating");
        if (r->last_sync_ms != 0)
            put_time(&a->j, "last_sync_at", r->last_sync_ms);
        hf_json_object_end(&a->j);
    }
    hf_json_array_end(&a->j);
    hf_snapshot_deinit(&snap);
}

static void do_info(struct hf_serve *s, const struct args *in, struct answer *a)
{
    struct hf_snapshot snap;
    size_t n = 0;
    (void)in;
    hf_snapshot_take(&snap, s->engine);
    for (size_t i = 0; i < snap.n; i++)
        n += hf_snapshot_is_first(&snap, i);
    hf_snapshot_deinit(&snap);
    hf_json_kstr(&a->j, "version", HF_VERSION);
    hf_json_ki64(&a->j, "pid", getpid());
    hf_json_ki64(&a->j, "uptime_seconds", (hf_clock_wall_ms() - s->started_ms) / 1000);
    put_time(&a->j, "started_at", s->started_ms);
    hf_json_ku64(&a->j, "database_count", n);
}

static void put_row(struct hf_json *j, const struct hf_db_status *r)
{
    hf_json_object_begin(j);
    hf_json_kstr(j, "path", r->path);
    hf_json_kstr(j, "replica", r->replica);
    hf_json_kstr(j, "state", r->is_stopped ? "stopped" : r->state);
    hf_json_ktxid(j, "txid", r->txid);
    hf_json_ki64(j, "lag_ms", r->lag_ms);
    hf_json_ku64(j, "lag_bytes", r->pending_bytes);
    hf_json_ku64(j, "wal_bytes", r->log_bytes);
    hf_json_ku64(j, "db_bytes", r->db_bytes);
    hf_json_ki64(j, "last_sync_ms", r->last_sync_ms);
    hf_json_ki64(j, "next_snapshot_ms", r->next_snapshot_ms);
    hf_json_ku64(j, "uploads", r->shipped_files);
    hf_json_ku64(j, "uploaded_bytes", r->shipped_bytes);
    hf_json_ku64(j, "rebases", r->rebases);
    hf_json_ku64(j, "errors", r->errors);
    hf_json_kstr(j, "error", r->error);
    hf_json_object_end(j);
}

static void do_status(struct hf_serve *s, const struct args *in, struct answer *a)
{
    struct hf_snapshot snap;
    (void)in;
    hf_snapshot_take(&snap, s->engine);
    hf_json_kstr(&a->j, "schema", "holdfast.live/1");
    hf_json_ki64(&a->j, "pid", getpid());
    hf_json_key(&a->j, "databases");
    hf_json_array_begin(&a->j);
    for (size_t i = 0; i < snap.n; i++)
        put_row(&a->j, &snap.rows[i]);
    hf_json_array_end(&a->j);
    hf_snapshot_deinit(&snap);
}

/* ---- the metrics address ---- */

static void do_metrics(struct hf_serve *s, const struct args *in, struct answer *a)
{
    struct hf_snapshot snap;
    struct hf_err err = HF_ERR_INIT;
    (void)in;
    hf_snapshot_take(&snap, s->engine);
    hf_buf_reset(&a->body);
    a->type = HF_PROM_CONTENT_TYPE;
    if (hf_metrics_write(&snap, &a->body, &err) != HF_OK) {
        a->type = "application/json";
        put_failure(a, &err);
    }
    hf_snapshot_deinit(&snap);
}

static void do_health(struct hf_serve *s, const struct args *in, struct answer *a)
{
    struct hf_snapshot snap;
    (void)in;
    hf_snapshot_take(&snap, s->engine);
    const struct hf_db_status *worst = hf_health_worst(&snap);
    a->status = worst == NULL ? 200 : 503;
    hf_json_kbool(&a->j, "ok", worst == NULL);
    if (worst != NULL) {
        hf_json_kstr(&a->j, "path", worst->path);
        hf_json_kstr(&a->j, "replica", worst->replica);
        hf_json_ki64(&a->j, "lag_ms", worst->lag_ms);
        hf_json_kstr(&a->j, "error", worst->error);
    }
    hf_snapshot_deinit(&snap);
}

/* ---- routes ---- */

enum { NEEDS_PATH = 1, NEEDS_URL = 2, IS_POST = 4, ON_METRICS = 8, IS_RAW = 16 };

static const struct route {
    const char *path;
    unsigned marks;
    void (*fn)(struct hf_serve *s, const struct args *in, struct answer *a);
} routes[] = {
    {"/start", IS_POST | NEEDS_PATH, do_start},
    {"/stop", IS_POST | NEEDS_PATH, do_stop},
    {"/register", IS_POST | NEEDS_PATH | NEEDS_URL, do_register},
    {"/unregister", IS_POST | NEEDS_PATH, do_unregister},
    {"/sync", IS_POST | NEEDS_PATH, do_sync},
    {"/txid", NEEDS_PATH, do_txid},
    {"/list", 0, do_list},
    {"/info", 0, do_info},
    {"/status", 0, do_status},
    {"/metrics", ON_METRICS | IS_RAW, do_metrics},
    {"/healthz", ON_METRICS, do_health},
};

struct work {
    struct hf_task task; /* first */
    struct hf_serve *s;
    struct hf_httpd_call *call;
    const struct route *route;
};

static enum hf_code read_body(const struct hf_httpd_call *call, struct args *in, struct hf_err *err)
{
    static const char *const keys[] = {"path", "replica_url", "timeout", "wait"};
    struct hf_jsonscan_value v[HF_ARRAY_LEN(keys)];
    int64_t timeout_s = HF_SERVE_TIMEOUT_S;
    size_t len = 0;
    const char *body = hf_httpd_call_body(call, &len);
    HF_TRY(hf_jsonscan_find(body, len, keys, HF_ARRAY_LEN(keys), v, err));
    if (v[0].kind != HF_JSON_ABSENT)
        HF_TRY(hf_jsonscan_str(&v[0], in->path, sizeof(in->path), err));
    if (v[1].kind != HF_JSON_ABSENT)
        HF_TRY(hf_jsonscan_str(&v[1], in->replica_url, sizeof(in->replica_url), err));
    if (v[2].kind != HF_JSON_ABSENT && !hf_jsonscan_i64(&v[2], &timeout_s))
        return hf_err_set(err, HF_E_INVALID, "timeout is not a whole number of seconds");
    if (timeout_s < 0 || timeout_s > HF_SERVE_TIMEOUT_MAX_S)
        return hf_err_set(err, HF_E_INVALID, "timeout is not between 0 and %d seconds",
                          HF_SERVE_TIMEOUT_MAX_S);
    in->timeout_ms = (uint32_t)(timeout_s == 0 ? HF_SERVE_TIMEOUT_S : timeout_s) * 1000;
    in->wait = v[3].kind == HF_JSON_TRUE;
    return HF_OK;
}

/* The spelling databases are known by; links are followed as when they were opened. */
static bool make_absolute(struct args *in, struct answer *a)
{
    HF_AUTO_FREE char *path = NULL;
    struct hf_err err = HF_ERR_INIT;
    if (in->path[0] == '\0')
        return true;
    if (hf_path_absolute(in->path, &path, &err) == HF_OK && strlen(path) < sizeof(in->path)) {
        memcpy(in->path, path, strlen(path) + 1);
        return true;
    }
    put_error(a, 400, "invalid path", err.text);
    return false;
}

/* False after an error was put. */
static bool read_args(const struct work *w, struct args *in, struct answer *a)
{
    struct hf_err err = HF_ERR_INIT;
    const char *path = hf_httpd_call_query(w->call, "path");
    if ((w->route->marks & IS_POST) != 0 && read_body(w->call, in, &err) != HF_OK) {
        put_error(a, 400, "invalid request body", err.text);
        return false;
    }
    if ((w->route->marks & IS_POST) == 0 && path != NULL && strlen(path) < sizeof(in->path))
        memcpy(in->path, path, strlen(path) + 1);
    if ((w->route->marks & NEEDS_PATH) != 0 && in->path[0] == '\0')
        put_error(a, 400, "path required", NULL);
    else if ((w->route->marks & NEEDS_URL) != 0 && in->replica_url[0] == '\0')
        put_error(a, 400, "replica_url required", NULL);
    else
        return make_absolute(in, a);
    return false;
}

static void send_answer(struct hf_httpd_call *call, struct answer *a)
{
    struct hf_httpd_reply r = {
        .status = a->status, .content_type = a->type, .body = a->body.data, .len = a->body.len};
    hf_httpd_call_reply(call, &r);
}

static void run_work(struct hf_task *task)
{
    struct work *w = (struct work *)task;
    struct args *in = hf_calloc(1, sizeof(*in));
    struct answer a = {.status = 200, .type = "application/json"};
    bool is_raw = (w->route->marks & IS_RAW) != 0;
    hf_buf_init(&a.body, HF_OUT_MAX);
    hf_json_init(&a.j, &a.body, false);
    if (!is_raw)
        hf_json_object_begin(&a.j);
    if (read_args(w, in, &a))
        w->route->fn(w->s, in, &a);
    if (!is_raw && a.j.depth == 1)
        hf_json_object_end(&a.j);
    if (!is_raw && hf_buf_append(&a.body, "\n", 1, NULL) != HF_OK)
        put_error(&a, 500, "the answer is too large", NULL);
    send_answer(w->call, &a);
    hf_buf_deinit(&a.body);
    hf_free(in);
    hf_free(w);
}

static void refuse(struct hf_httpd_call *call, int status, const char *text)
{
    struct answer a = {.type = "application/json"};
    hf_buf_init(&a.body, HF_SERVE_BODY);
    put_error(&a, status, text, NULL);
    send_answer(call, &a);
    hf_buf_deinit(&a.body);
}

static void take_request(struct hf_serve *s, struct hf_httpd_call *call, bool is_metrics)
{
    const char *path = hf_httpd_call_path(call);
    const char *method = hf_httpd_call_method(call);
    for (size_t i = 0; i < HF_ARRAY_LEN(routes); i++) {
        const struct route *r = &routes[i];
        if (strcmp(path, r->path) != 0 || (is_metrics && (r->marks & ON_METRICS) == 0))
            continue;
        bool is_get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
        if ((r->marks & IS_POST) != 0 ? strcmp(method, "POST") != 0 : !is_get) {
            refuse(call, 405, "method not allowed");
            return;
        }
        struct work *w = hf_calloc(1, sizeof(*w));
        *w = (struct work){.task = {.run = run_work}, .s = s, .call = call, .route = r};
        hf_pool_submit(s->pool, &w->task);
        return;
    }
    refuse(call, 404, "no such path");
}

static void on_control(void *arg, struct hf_httpd_call *call)
{
    take_request(arg, call, false);
}

static void on_metrics(void *arg, struct hf_httpd_call *call)
{
    take_request(arg, call, true);
}

/* ---- life ---- */

static enum hf_code start_control(struct hf_serve *s, const struct hf_config_socket *conf,
                                  struct hf_err *err)
{
    HF_AUTO_FREE char *address = hf_asprintf("unix:%s", conf->path);
    struct hf_httpd_options o = {.listen = address,
                                 .threads = 1,
                                 .max_connections = HF_SERVE_CONNECTIONS,
                                 .max_body_bytes = HF_SERVE_BODY,
                                 .idle_s = HF_SERVE_TIMEOUT_MAX_S + HF_SERVE_TIMEOUT_S,
                                 .unix_mode = (uint32_t)conf->permissions,
                                 .on_request = on_control,
                                 .arg = s};
    if (hf_httpd_start(&o, &s->control, err) != HF_OK)
        return err == NULL ? HF_E_INVALID : hf_err_wrap(err, "socket.path");
    hf_log(HF_LOG_INFO, "control socket", HF_F_STR("path", conf->path), HF_F_END);
    return HF_OK;
}

static enum hf_code start_metrics(struct hf_serve *s, const char *addr, struct hf_err *err)
{
    struct hf_httpd_options o = {.listen = addr,
                                 .threads = 1,
                                 .max_connections = HF_SERVE_CONNECTIONS,
                                 .max_body_bytes = HF_SERVE_BODY,
                                 .on_request = on_metrics,
                                 .arg = s};
    if (hf_httpd_start(&o, &s->metrics, err) != HF_OK)
        return err == NULL ? HF_E_INVALID : hf_err_wrap(err, "addr");
    hf_log(HF_LOG_INFO, "metrics", HF_F_STR("addr", hf_httpd_address(s->metrics)), HF_F_END);
    return HF_OK;
}

enum hf_code hf_serve_start(const struct hf_config *cfg, struct hf_engine *engine,
                            struct hf_serve **out, struct hf_err *err)
{
    *out = NULL;
    if (!cfg->socket.enabled && cfg->addr == NULL)
        return HF_OK;
    struct hf_serve *s = hf_calloc(1, sizeof(*s));
    s->engine = engine;
    s->started_ms = hf_clock_wall_ms();
    enum hf_code rc = hf_pool_new("hf-control", HF_SERVE_THREADS, false, &s->pool, err);
    if (rc == HF_OK && cfg->socket.enabled)
        rc = start_control(s, &cfg->socket, err);
    if (rc == HF_OK && cfg->addr != NULL)
        rc = start_metrics(s, cfg->addr, err);
    if (rc != HF_OK) {
        hf_serve_stop(s);
        return rc;
    }
    *out = s;
    return HF_OK;
}

void hf_serve_stop(struct hf_serve *s)
{
    if (s == NULL)
        return;
    atomic_store(&s->is_stopping, true);
    if (s->control != NULL)
        hf_httpd_stop(s->control);
    if (s->metrics != NULL)
        hf_httpd_stop(s->metrics);
    hf_pool_free(s->pool); /* answers what is open */
    hf_httpd_free(s->control);
    hf_httpd_free(s->metrics);
    hf_free(s);
}
