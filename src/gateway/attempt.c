/* One try of a request on one host: from translating it to the end of the host's answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/gateway_int.h"

enum { HEADERS_MAX = 8, RETRY_AFTER_MAX_MS = 3600 * 1000 };

void hf_gw_attempt_clear(struct hf_gw_request *r)
{
    hf_answer_free(r->answer);
    r->answer = NULL;
    hf_buf_deinit(&r->up_body);
    hf_buf_deinit(&r->out);
    hf_buf_deinit(&r->error_body);
    hf_buf_init(&r->up_body, r->g->max_body + HF_MIB);
    hf_buf_init(&r->out, HF_LIMIT_ANSWER);
    hf_buf_init(&r->error_body, HF_GW_ERROR_BYTES);
    r->status = 0;
    r->stop = HF_GW_OK;
    r->first_byte_ms = r->last_byte_ms = r->progress_ms = r->done_ms = r->first_token_ms = 0;
    r->pieces = 0;
}

void hf_gw_attempt_stop(struct hf_gw_request *r, enum hf_gw_failure why)
{
    if (r->up == NULL)
        return;
    r->stop = r->stop == HF_GW_OK ? why : r->stop;
    hf_http_cancel(r->up);
}

/* ---- the answer, as it comes ---- */

static void fail_answer(struct hf_gw_request *r, enum hf_gw_failure why, enum hf_api_class kind,
                        const char *text)
{
    r->stop = why;
    hf_api_error_set(&r->error, kind, "%s", text);
}

bool hf_gw_answer_begin(struct hf_gw_request *r)
{
    struct hf_answer_options o = {.front = r->head.ep,
                                  .upstream = r->upr.ep,
                                  .is_front_stream = r->head.is_stream,
                                  .is_upstream_stream = r->upr.is_stream,
                                  .wants_usage = r->head.wants_usage,
                                  .strips_usage = r->upr.strips_usage,
                                  .wants_base64 = r->head.wants_base64,
                                  .model = r->head.model,
                                  .id = r->id,
                                  .started_ms = hf_clock_wall_ms()};
    r->answer = hf_answer_new(&o);
    return r->answer != NULL;
}

static void on_head(void *arg, const struct hf_http_head *head)
{
    struct hf_gw_request *r = arg;
    const char *after = hf_http_head_get(head, "retry-after-ms");
    hf_assert_magic(r, HF_GW_REQUEST_MAGIC);
    r->status = head->status;
    r->first_byte_ms = r->last_byte_ms = r->progress_ms = hf_clock_mono_ms();
    r->retry_after_ms = 0;
    if (after != NULL) {
        r->retry_after_ms = strtoull(after, NULL, 10);
    } else if ((after = hf_http_head_get(head, "retry-after")) != NULL) {
        r->retry_after_ms = hf_gw_retry_after_ms(after, hf_clock_wall_ms());
    }
    if (r->retry_after_ms > RETRY_AFTER_MAX_MS)
        r->retry_after_ms = RETRY_AFTER_MAX_MS;
    if (head->status == 200)
        hf_gw_answer_begin(r);
}

/* The client hears from now on: no way back. */
static void commit(struct hf_gw_request *r)
{
    struct hf_gw_headers h = {.n = 0};
    hf_gw_answer_headers(r, &h);
    struct hf_httpd_reply reply = {.status = 200,
                                   .content_type = hf_answer_content_type(r->head.ep, true),
                                   .headers = h.list,
                                   .n_headers = h.n};
    if (!r->is_early)
        hf_httpd_call_start(r->call, &reply);
    r->is_committed = true;
}

/* What is held goes to the client, if it may hear by now. False when the client is gone. */
static bool pass_on(struct hf_gw_request *r)
{
    const struct hf_answer_state *s = hf_answer_state(r->answer);
    if (!r->head.is_stream || r->call == NULL)
        return r->call != NULL;
    bool must = s->is_meaningful || s->is_done || s->n_events > HF_GW_HOLD_EVENTS ||
                r->out.len > HF_GW_HOLD_BYTES;
    if (!r->is_committed && !must)
        return true;
    if (!r->is_committed)
        commit(r);
    if (r->out.len == 0)
        return true;
    enum hf_code rc = hf_httpd_call_write(r->call, r->out.data, r->out.len, NULL);
    hf_buf_reset(&r->out);
    return rc == HF_OK;
}

static void note_progress(struct hf_gw_request *r, uint64_t now_ms)
{
    const struct hf_answer_state *s = hf_answer_state(r->answer);
    r->last_byte_ms = now_ms;
    if (s->is_meaningful && r->first_token_ms == 0)
        r->first_token_ms = now_ms;
    if (s->n_pieces != r->pieces || s->is_done)
        r->progress_ms = now_ms;
    if (s->is_done && r->done_ms == 0)
        r->done_ms = now_ms;
    r->pieces = s->n_pieces;
}

static enum hf_http_flow on_body(void *arg, const uint8_t *data, size_t len)
{
    struct hf_gw_request *r = arg;
    struct hf_err err = HF_ERR_INIT;
    hf_assert_magic(r, HF_GW_REQUEST_MAGIC);
    if (r->stop != HF_GW_OK)
        return HF_HTTP_STOP;
    if (r->answer == NULL) {
        size_t room = r->error_body.max - r->error_body.len;
        enum hf_code rc = hf_buf_append(&r->error_body, data, len < room ? len : room, NULL);
        r->last_byte_ms = hf_clock_mono_ms();
        return rc == HF_OK ? HF_HTTP_GO : HF_HTTP_STOP;
    }
    if (r->is_committed && r->call != NULL && hf_httpd_call_queued(r->call) >= HF_HTTPD_HIGH_WATER)
        return HF_HTTP_PAUSE; /* on_drain goes on */
    if (hf_answer_feed(r->answer, data, len, hf_clock_wall_ms(), &r->out, &err) != HF_OK) {
        fail_answer(r, HF_GW_NONSENSE, HF_API_SERVER, err.text);
        return HF_HTTP_STOP;
    }
    note_progress(r, hf_clock_mono_ms());
    if (hf_answer_state(r->answer)->has_error) {
        r->error = hf_answer_state(r->answer)->error;
        r->stop = HF_GW_IN_BAND;
        return HF_HTTP_STOP;
    }
    if (!pass_on(r)) {
        r->stop = HF_GW_CLIENT_LEFT;
        return HF_HTTP_STOP;
    }
    return HF_HTTP_GO;
}

/* ---- its end ---- */

static enum hf_gw_failure of_api_class(const struct hf_gw_request *r)
{
    switch (r->error.kind) {
    case HF_API_CONTEXT:
        return HF_GW_CONTEXT;
    case HF_API_AUTH:
        return HF_GW_DENIED;
    case HF_API_BILLING:
        return HF_GW_BILLING;
    case HF_API_MODEL:
        return HF_GW_NO_MODEL;
    case HF_API_RATE:
        return HF_GW_RATE;
    case HF_API_BUSY:
        return HF_GW_UNAVAILABLE;
    default:
        return hf_gw_failure_of_status(r->status);
    }
}

static enum hf_gw_failure refused_answer(struct hf_gw_request *r)
{
    const struct hf_gw_host *h = r->slot->host->conf;
    hf_api_error_parse(hf_gw_dialect(h->kind), r->status, hf_buf_str(&r->error_body),
                       r->error_body.len, &r->error);
    return of_api_class(r);
}

static enum hf_gw_failure whole_answer(struct hf_gw_request *r)
{
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = hf_answer_finish(r->answer, hf_clock_wall_ms(), &r->out, &err);
    const struct hf_answer_state *s = hf_answer_state(r->answer);
    if (s->has_error) {
        r->error = s->error;
        return HF_GW_IN_BAND;
    }
    if (rc == HF_OK)
        return HF_GW_OK;
    hf_api_error_set(&r->error, HF_API_SERVER, "%s: %s", r->slot->host->conf->name, err.text);
    return rc == HF_E_IO ? HF_GW_CUT : HF_GW_NONSENSE;
}

static enum hf_gw_failure broken_transfer(struct hf_gw_request *r, const struct hf_http_result *res)
{
    bool is_timeout = res->code == HF_E_TIMEOUT;
    hf_api_error_set(&r->error, is_timeout ? HF_API_TIMEOUT : HF_API_SERVER, "host %s: %s",
                     r->slot->host->conf->name, res->err->text);
    snprintf(r->slot->host->last_error, sizeof(r->slot->host->last_error), "%.190s",
             res->err->text);
    if (!res->was_sent)
        return is_timeout ? HF_GW_CONNECT_TIMEOUT : HF_GW_REFUSED;
    if (res->is_stale)
        return HF_GW_STALE;
    if (is_timeout && hf_clock_mono_ms() >= r->deadline_ms)
        return HF_GW_DEADLINE;
    if (is_timeout)
        return r->first_byte_ms == 0 ? HF_GW_FIRST_BYTE_TIMEOUT : HF_GW_IDLE_TIMEOUT;
    return r->first_byte_ms == 0 ? HF_GW_RESET : HF_GW_CUT;
}

static enum hf_gw_failure class_of(struct hf_gw_request *r, const struct hf_http_result *res)
{
    if (r->stop != HF_GW_OK)
        return r->stop;
    /* An answer that has its terminator is whole, however the connection ended. */
    if (r->answer != NULL && (res->code == HF_OK || hf_answer_state(r->answer)->is_done))
        return whole_answer(r);
    if (res->code == HF_OK)
        return refused_answer(r);
    if (res->code == HF_E_CANCELED) {
        hf_api_error_set(&r->error, HF_API_BUSY, "the gateway is stopping");
        return HF_GW_DEADLINE;
    }
    return broken_transfer(r, res);
}

/* Some servers repeat the key that they refuse; it is ours, not the client's. */
static void hide_key(struct hf_gw_request *r)
{
    static const char stars[] = "***";
    const char *key = r->slot->host->conf->api_key;
    size_t len = key == NULL ? 0 : strlen(key);
    char *at = r->error.text;
    while (len >= sizeof(stars) - 1 && (at = strstr(at, key)) != NULL) {
        memcpy(at, stars, sizeof(stars) - 1);
        at += sizeof(stars) - 1;
        memmove(at, at + len - (sizeof(stars) - 1), strlen(at + len - (sizeof(stars) - 1)) + 1);
    }
}

static void free_slot(struct hf_gw_request *r)
{
    hf_assert(r->slot->active > 0 && r->slot->host->active > 0);
    r->slot->active--;
    r->slot->host->active--;
}

static void on_done(void *arg, const struct hf_http_result *res)
{
    struct hf_gw_request *r = arg;
    uint64_t now_ms = hf_clock_mono_ms();
    hf_assert_magic(r, HF_GW_REQUEST_MAGIC);
    enum hf_gw_failure f = class_of(r, res);
    hide_key(r);
    hf_http_call_free(r->up);
    r->up = NULL;
    struct hf_gw_live_host *h = r->slot->host;
    bool is_unreached = f == HF_GW_REFUSED || f == HF_GW_CONNECT_TIMEOUT;
    if (is_unreached && ++r->urls_tried < h->conf->n_urls && r->call != NULL) {
        r->url_at = (r->url_at + 1) % h->conf->n_urls;
        free_slot(r);
        hf_gw_attempt_start(r, now_ms);
        return;
    }
    if (f == HF_GW_STALE && !r->was_stale && r->call != NULL) {
        r->was_stale = true;
        free_slot(r);
        hf_gw_attempt_start(r, now_ms);
        return;
    }
    if (!is_unreached)
        h->url_at = r->url_at;
    free_slot(r);
    hf_gw_request_settle(r, f, now_ms);
}

static const struct hf_http_events events = {
    .on_head = on_head, .on_body = on_body, .on_done = on_done};

/* ---- its start ---- */

/* A body that passes through is not copied: it is changed where it lies. */
static bool edit_body(struct hf_gw_request *r, const struct hf_target *t)
{
    struct hf_body_edits edits;
    if (!hf_translate_edits(&r->head, r->body, t, &edits, &r->upr))
        return false;
    for (size_t i = 0; i < edits.n; i++) {
        const struct hf_body_edit *e = &edits.list[i];
        hf_httpd_call_edit_body(r->call, e->at, e->len, e->text, strlen(e->text));
    }
    hf_body_edits_done(&edits, &r->head);
    r->body = hf_httpd_call_body(r->call, &r->len);
    r->report = (struct hf_report){.n_dropped = 0};
    return true;
}

static bool translate(struct hf_gw_request *r, struct hf_err *err)
{
    const struct hf_gw_live_host *h = r->slot->host;
    const struct hf_gw_candidate *c = &r->route->candidates[r->candidate];
    enum hf_dialect d = hf_gw_dialect(h->conf->kind);
    bool is_chat = r->head.ep != HF_EP_OLLAMA_EMBED && r->head.ep != HF_EP_OLLAMA_EMBEDDINGS &&
                   r->head.ep != HF_EP_OPENAI_EMBEDDINGS && r->head.ep != HF_EP_ANTHROPIC_COUNT;
    struct hf_target t = {
        .dialect = d,
        .model = c->model,
        .num_ctx = r->route->num_ctx,
        .keep_alive = r->route->keep_alive,
        .is_anthropic_2026 =
            h->conf->api_version != NULL && strcmp(h->conf->api_version, "2026-10-21") >= 0,
        .default_max_tokens = r->g->conf->default_output_tokens, /* as was set aside */
        .cap_tokens = r->bill.cap_tokens,
        .is_plain_openai = h->conf->is_openai,
        .is_max_completion_tokens = h->conf->is_openai,
        .force_stream = is_chat && !r->head.is_stream && r->head.is_collectable && !r->head.is_load,
    };
    r->is_in_place = edit_body(r, &t);
    return r->is_in_place || hf_translate_request(&r->head, r->body, r->len, &t, &r->up_body,
                                                  &r->upr, &r->report, err) == HF_OK;
}

struct header_texts {
    char bearer[1024];
    char hops[HF_GW_HOPS_TEXT];
};

static size_t put_headers(const struct hf_gw_request *r, struct hf_http_header *h,
                          struct header_texts *t)
{
    const char *hops = hf_httpd_call_header(r->call, "X-Holdfast-Hop");
    const struct hf_gw_host *c = r->slot->host->conf;
    const char *beta = hf_httpd_call_header(r->call, "anthropic-beta");
    const char *state = hf_httpd_call_header(r->call, "tracestate");
    size_t n = 0;
    h[n++] = (struct hf_http_header){"Content-Type", "application/json"};
    snprintf(t->hops, sizeof(t->hops), "%s%s%s", hops == NULL ? "" : hops, hops == NULL ? "" : ",",
             r->g->id);
    h[n++] = (struct hf_http_header){"X-Holdfast-Hop", t->hops};
    if (c->kind == HF_CONFIG_ANTHROPIC)
        h[n++] = (struct hf_http_header){"anthropic-version", c->api_version};
    if (c->api_key != NULL && c->kind == HF_CONFIG_ANTHROPIC) {
        h[n++] = (struct hf_http_header){"x-api-key", c->api_key};
    } else if (c->api_key != NULL) {
        snprintf(t->bearer, sizeof(t->bearer), "Bearer %s", c->api_key);
        h[n++] = (struct hf_http_header){"Authorization", t->bearer};
    }
    h[n++] = (struct hf_http_header){"traceparent", r->trace.parent};
    if (state != NULL && !r->trace.is_ours)
        h[n++] = (struct hf_http_header){"tracestate", state};
    if (beta != NULL && c->kind == HF_CONFIG_ANTHROPIC)
        h[n++] = (struct hf_http_header){"anthropic-beta", beta};
    hf_assert(n <= HEADERS_MAX);
    return n;
}

static uint32_t remaining(uint64_t deadline_ms, uint64_t now_ms)
{
    return deadline_ms > now_ms ? (uint32_t)(deadline_ms - now_ms) : 1;
}

static enum hf_code send_it(struct hf_gw_request *r, uint64_t now_ms, struct hf_err *err)
{
    const struct hf_config_gateway *conf = r->g->conf;
    const struct hf_gw_host *c = r->slot->host->conf;
    struct hf_http_header headers[HEADERS_MAX];
    struct header_texts texts;
    const char *base = c->urls[r->url_at];
    const char *path = hf_endpoint_path(r->upr.ep);
    size_t len = strlen(base);
    bool has_v1 = len > 3 && strcmp(base + len - 3, "/v1") == 0 && strncmp(path, "/v1", 3) == 0;
    bool is_patient = c->is_cloud || r->url_at > 0;
    HF_AUTO_FREE char *url = hf_concat(base, path + (has_v1 ? 3 : 0), "");
    struct hf_http_request req = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .n_headers = put_headers(r, headers, &texts),
        .body = r->is_in_place ? r->body : (const char *)r->up_body.data,
        .body_len = r->is_in_place ? r->len : r->up_body.len,
        .deadlines = {.connect_ms = (uint32_t)conf->connect_timeout_ms * (is_patient ? 3 : 1),
                      .first_byte_ms = (uint32_t)conf->load_timeout_ms,
                      .total_ms = remaining(r->deadline_ms, now_ms)}};
    return hf_http_start(r->g->client, &req, &events, r, &r->up, err);
}

void hf_gw_attempt_start(struct hf_gw_request *r, uint64_t now_ms)
{
    struct hf_err err = HF_ERR_INIT;
    hf_assert(r->up == NULL && r->slot != NULL && r->call != NULL && !r->is_committed);
    hf_gw_attempt_clear(r);
    if (!translate(r, &err)) {
        hf_api_error_set(&r->error, HF_API_INVALID, "%s", err.text);
        hf_gw_request_settle(r, HF_GW_UNTRANSLATABLE, now_ms);
        return;
    }
    r->sent_ms = now_ms;
    if (send_it(r, now_ms, &err) != HF_OK) {
        r->up = NULL;
        hf_api_error_set(&r->error, HF_API_BUSY, "%s", err.text);
        hf_gw_request_settle(r, HF_GW_DEADLINE, now_ms);
        return;
    }
    r->slot->active++;
    r->slot->host->active++;
    hf_breaker_sent(&r->slot->breaker);
}

void hf_gw_attempt_tick(struct hf_gw_request *r, uint64_t now_ms)
{
    uint64_t idle_ms = (uint64_t)r->g->conf->idle_timeout_ms;
    if (r->up == NULL || r->first_byte_ms == 0 || r->stop != HF_GW_OK)
        return;
    if (r->done_ms > 0) { /* whole: class_of says so, whatever the host still wants */
        if (now_ms - r->done_ms >= HF_GW_END_MS)
            hf_http_cancel(r->up);
        return;
    }
    bool is_full =
        r->is_committed && r->call != NULL && hf_httpd_call_queued(r->call) >= HF_HTTPD_LOW_WATER;
    if (is_full) { /* the client is slow, not the host */
        r->last_byte_ms = r->progress_ms = now_ms;
        return;
    }
    if (now_ms - r->last_byte_ms < idle_ms && now_ms - r->progress_ms < idle_ms * HF_GW_LIVENESS)
        return;
    hf_api_error_set(&r->error, HF_API_TIMEOUT, "host %s: nothing for %llu s in mid-answer",
                     r->slot->host->conf->name, (unsigned long long)(idle_ms / 1000));
    hf_gw_attempt_stop(r, HF_GW_IDLE_TIMEOUT);
}
