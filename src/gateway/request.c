/* The life of a request: admitted, routed, queued or paused, tried, answered. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/random.h"
#include "codec/jsonscan.h"
#include "gateway/gateway_int.h"

/* ---- answering ---- */

/* What vsnprintf does for "%s", which most headers are. */
static int copy_text(char *out, size_t room, const char *text)
{
    size_t len = strlen(text), n = len < room ? len : room - 1;
    memcpy(out, text, n);
    out[n] = '\0';
    return (int)n;
}

void hf_gw_header(struct hf_gw_headers *h, const char *name, const char *fmt, ...)
{
    va_list ap;
    size_t room = HF_GW_SCRATCH - h->used;
    if (h->n == HF_GW_ANSWER_HEADERS || room < 2)
        return;
    char *text = h->scratch + h->used;
    va_start(ap, fmt);
    int n = strcmp(fmt, "%s") == 0 ? copy_text(text, room, va_arg(ap, const char *))
                                   : vsnprintf(text, room, fmt, ap);
    va_end(ap);
    h->used += n < 0 ? 1 : ((size_t)n < room ? (size_t)n + 1 : room);
    for (char *p = text; *p != '\0'; p++) { /* a model's name is the client's text */
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
            *p = '?';
    }
    h->list[h->n++] = (struct hf_http_header){name, text};
}

void hf_gw_answer_headers(const struct hf_gw_request *r, struct hf_gw_headers *h)
{
    hf_gw_header(h, "X-Holdfast-Request-Id", "%s", r->id);
    if (r->slot != NULL) {
        hf_gw_header(h, "X-Holdfast-Host", "%s", r->slot->host->conf->name);
        hf_gw_header(h, "X-Holdfast-Model", "%s", r->slot->model);
        hf_gw_header(h, "X-Holdfast-Route-Reason", "%s", hf_gw_reason_word(r->reason));
    }
    if (r->attempts > 0)
        hf_gw_header(h, "X-Holdfast-Attempts", "%d", r->attempts);
    if (r->trail[0] != '\0')
        hf_gw_header(h, "X-Holdfast-Tried", "%s", r->trail);
    if (r->queued_ms > 0)
        hf_gw_header(h, "X-Holdfast-Queue-Ms", "%llu", (unsigned long long)r->queued_ms);
    if (r->bill.cost > 0) { /* of a stream it is not known yet */
        char cost[HF_MICRO_TEXT];
        hf_micro_format(r->bill.cost, cost);
        hf_gw_header(h, "X-Holdfast-Cost", "%s", cost);
    }
    if (r->bill.cap_tokens > 0)
        hf_gw_header(h, "X-Holdfast-Output-Limit", "%lld", (long long)r->bill.cap_tokens);
    if (r->report.n_dropped > 0)
        hf_gw_header(h, "X-Holdfast-Dropped-Params", "%s", r->report.dropped);
}

void hf_gw_plan_release(struct hf_gateway *g, struct hf_gw_plan *p)
{
    if (p == NULL)
        return;
    hf_assert(p->users > 0);
    if (--p->users == 0 && p != g->plan)
        hf_gw_plan_free(p);
}

/* The call is over for us; what follows may only free. */
static void end(struct hf_gw_request *r)
{
    struct hf_gateway *g = r->g;
    r->call = NULL;
    hf_gw_plan_release(g, r->plan);
    r->plan = NULL;
    r->route = NULL;
    hf_gwq_remove(&r->entry);
    if (r->is_retry)
        g->n_retries--;
    r->is_retry = false;
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        g->first = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    r->prev = r->next = NULL;
    hf_gw_request_unref(r);
}

void hf_gw_request_unref(struct hf_gw_request *r)
{
    hf_assert_magic(r, HF_GW_REQUEST_MAGIC);
    if (atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    hf_assert(r->call == NULL && r->up == NULL && r->entry.lane == NULL);
    hf_answer_free(r->answer);
    hf_buf_deinit(&r->up_body);
    hf_buf_deinit(&r->out);
    hf_buf_deinit(&r->error_body);
    hf_free(r->found.candidates);
    r->magic = 0;
    atomic_fetch_sub(&r->g->n_requests, 1);
    hf_free(r);
}

/* Which try of its own the client says this is; 0: the first, or it does not say. */
static int64_t client_retry(const struct hf_gw_request *r)
{
    const char *n = hf_httpd_call_header(r->call, "x-stainless-retry-count");
    return n == NULL ? 0 : (int64_t)strtoul(n, NULL, 10) % 1000;
}

/* What is told and charged when it ends, while its call is still there. */
static void log_request(struct hf_gw_request *r, enum hf_gw_failure f, uint64_t now_ms)
{
    const char *key = r->bill.key == NULL ? "-" : r->bill.key->name;
    hf_gw_bill_end(r, f, now_ms);
    char trace[HF_TRACE_ID];
    hf_trace_id(&r->trace, trace);
    const struct hf_answer_state *s = r->answer == NULL ? NULL : hf_answer_state(r->answer);
    hf_log(HF_LOG_INFO, "request", HF_F_STR("id", r->id), HF_F_STR("key", key),
           HF_F_STR("api", hf_endpoint_word(r->head.ep)), HF_F_STR("model", r->head.model),
           HF_F_STR("trace", trace), HF_F_STR("stream", r->head.is_stream ? "yes" : "no"),
           HF_F_I64("client_retry", client_retry(r)),
           HF_F_STR("host", r->slot == NULL ? "-" : r->slot->host->conf->name),
           HF_F_STR("served", r->slot == NULL ? "-" : r->slot->model),
           HF_F_STR("outcome", hf_gw_failure_rule(f)->word),
           HF_F_STR("reason", r->slot == NULL ? "-" : hf_gw_reason_word(r->reason)),
           HF_F_I64("attempts", r->attempts), HF_F_STR("tried", r->trail),
           HF_F_U64("queue_ms", r->queued_ms), HF_F_U64("ms", now_ms - r->start_ms),
           HF_F_U64("first_token_ms",
                    r->first_token_ms > r->start_ms ? r->first_token_ms - r->start_ms : 0),
           HF_F_I64("tokens_in", s == NULL ? 0 : s->usage.input),
           HF_F_I64("tokens_out", s == NULL ? 0 : s->usage.output), HF_F_END);
}

static void break_off(struct hf_gw_request *r, uint64_t now_ms);

void hf_gw_request_refuse(struct hf_gw_request *r)
{
    if (r->is_early) {
        break_off(r, hf_clock_mono_ms());
        return;
    }
    struct hf_gw_headers h = {.n = 0};
    enum hf_dialect d = hf_endpoint_dialect(r->head.ep);
    const struct hf_gw_rule *rule = hf_gw_failure_rule(r->last);
    hf_gw_answer_headers(r, &h);
    bool is_busy = r->error.kind == HF_API_BUSY || r->error.kind == HF_API_RATE;
    if (hf_gw_bill_headers(r, &h)) {
        /* said */
    } else if (is_busy) {
        hf_gw_header(&h, "Retry-After", "%d",
                     hf_gw_retry_after_s(r->retry_after_ms > 0 ? r->retry_after_ms : 5000));
    } else if (r->attempts > 1 || rule->may_other) {
        hf_gw_header(&h, "x-should-retry", "false"); /* everything was tried already */
    }
    r->g->n_by_outcome[r->last]++;
    log_request(r, r->last, hf_clock_mono_ms());
    hf_gw_reply_error(r->call, d, &r->error, &h);
    end(r);
}

static void measure(const struct hf_gw_request *r, uint64_t now_ms)
{
    enum hf_genai_op op = hf_genai_op(r->head.ep);
    struct hf_genai_sample s = {.start_ms = r->start_ms,
                                .sent_ms = r->sent_ms,
                                .first_token_ms = op == HF_GENAI_EMBEDDINGS ? 0 : r->first_token_ms,
                                .end_ms = now_ms,
                                .usage = &hf_answer_state(r->answer)->usage};
    if (r->slot->genai[op] == NULL)
        r->slot->genai[op] = hf_calloc(1, sizeof(*r->slot->genai[op]));
    hf_genai_add(r->slot->genai[op], &s);
}

static void succeed(struct hf_gw_request *r, uint64_t now_ms)
{
    const struct hf_answer_state *s = hf_answer_state(r->answer);
    struct hf_gw_slot *slot = r->slot;
    uint64_t took_ms = now_ms - r->sent_ms;
    slot->n_ok++;
    slot->mean_ms = slot->mean_ms == 0 ? took_ms : (slot->mean_ms * 7 + took_ms) / 8;
    if (r->sticky_key != 0)
        hf_sticky_put(r->g->sticky, r->sticky_key, (uint32_t)slot->host->index, now_ms);
    slot->host->tokens_in += (uint64_t)s->usage.input;
    slot->host->tokens_out += (uint64_t)s->usage.output;
    slot->tokens_in += (uint64_t)s->usage.input;
    slot->tokens_out += (uint64_t)s->usage.output;
    measure(r, now_ms);
    r->g->n_by_outcome[HF_GW_OK]++;
    r->g->n_by_reason[r->reason]++;
    log_request(r, HF_GW_OK, now_ms);
    struct hf_gw_headers h = {.n = 0};
    hf_gw_answer_headers(r, &h);
    struct hf_httpd_reply reply = {.status = 200,
                                   .content_type =
                                       hf_answer_content_type(r->head.ep, r->head.is_stream),
                                   .headers = h.list,
                                   .n_headers = h.n,
                                   .body = r->out.data,
                                   .len = r->out.len};
    if (!r->head.is_stream) {
        hf_httpd_call_reply(r->call, &reply);
    } else {
        if (!r->is_committed && !r->is_early)
            hf_httpd_call_start(r->call, &reply);
        if (r->out.len > 0 && hf_httpd_call_write(r->call, r->out.data, r->out.len, NULL) != HF_OK)
            hf_log(HF_LOG_DEBUG, "client left at the end", HF_F_STR("id", r->id), HF_F_END);
        hf_httpd_call_finish(r->call);
    }
    end(r);
}

/* In the middle of an answer: said in the client's dialect, then cut. */
static void break_off(struct hf_gw_request *r, uint64_t now_ms)
{
    struct hf_buf out;
    hf_buf_init(&out, HF_GW_ERROR_BYTES);
    r->g->n_by_outcome[r->last]++;
    log_request(r, r->last, now_ms);
    /* An early stream may have no answer yet. */
    bool has_words = (r->answer != NULL || hf_gw_answer_begin(r)) &&
                     hf_answer_abort(r->answer, &r->error, &out, NULL) == HF_OK && out.len > 0;
    if (has_words && hf_httpd_call_write(r->call, out.data, out.len, NULL) != HF_OK)
        hf_log(HF_LOG_DEBUG, "client left", HF_F_STR("id", r->id), HF_F_END);
    hf_buf_deinit(&out);
    hf_httpd_call_abort(r->call);
    end(r);
}

static void leave(struct hf_gw_request *r, uint64_t now_ms)
{
    r->last = HF_GW_CLIENT_LEFT;
    r->g->n_by_outcome[HF_GW_CLIENT_LEFT]++;
    log_request(r, HF_GW_CLIENT_LEFT, now_ms);
    hf_httpd_call_abort(r->call);
    end(r);
}

/* ---- settling a try ---- */

static void note_try(struct hf_gw_request *r, enum hf_gw_failure f)
{
    size_t len = strlen(r->trail);
    snprintf(r->trail + len, sizeof(r->trail) - len, "%s%s:%s", len == 0 ? "" : ",",
             r->slot->host->conf->name, hf_gw_failure_rule(f)->word);
}

static bool may_go_on(struct hf_gw_request *r, enum hf_gw_failure f, uint64_t now_ms)
{
    struct hf_gateway *g = r->g;
    if (!hf_gw_failure_rule(f)->may_other || r->attempts >= HF_GW_TRIES || now_ms >= r->deadline_ms)
        return false;
    /* A first move is free: a host that dies under many requests must not fail most of them. */
    if (r->is_retry || r->attempts == 1)
        return true;
    if (!hf_gw_retry_allowed((int64_t)atomic_load(&g->n_requests), g->n_retries))
        return false;
    r->is_retry = true;
    g->n_retries++;
    return true;
}

static void go_on(struct hf_gw_request *r, enum hf_gw_failure f, uint64_t now_ms)
{
    hf_gw_bill_try(r, f, now_ms);
    hf_gw_request_go(r, now_ms);
}

void hf_gw_request_settle(struct hf_gw_request *r, enum hf_gw_failure f, uint64_t now_ms)
{
    struct hf_gw_slot *slot = r->slot;
    struct hf_gw_live_host *h = slot->host;
    r->last = f;
    hf_gw_host_result(slot, f, now_ms);
    if (hf_gw_failure_rule(f)->says == HF_GW_SAYS_BUSY && r->retry_after_ms > 0)
        hf_breaker_hold(&slot->breaker, now_ms + r->retry_after_ms);
    if (r->call == NULL) {
        hf_gw_host_pump(h, now_ms);
        return;
    }
    if (f == HF_GW_OK) {
        succeed(r, now_ms);
    } else if (f == HF_GW_CLIENT_LEFT) {
        leave(r, now_ms);
    } else {
        slot->n_failed++;
        note_try(r, f);
        r->tried |= HF_GW_BIT(r->candidate);
        r->may_cloud = r->may_cloud && hf_gw_failure_rule(f)->may_cloud;
        enum hf_gw_says says = hf_gw_failure_rule(f)->says;
        if (says == HF_GW_SAYS_DEAD || says == HF_GW_SAYS_MODEL)
            r->failed_hosts |= HF_GW_BIT(h->index);
        if (r->is_committed)
            break_off(r, now_ms);
        else if (may_go_on(r, f, now_ms))
            go_on(r, f, now_ms);
        else
            hf_gw_request_refuse(r);
    }
    hf_gw_host_pump(h, now_ms);
}

/* ---- finding a place ---- */

static void launch(struct hf_gw_request *r, struct hf_gw_slot *slot, uint64_t now_ms)
{
    r->slot = slot;
    r->attempts++;
    r->url_at = slot->host->url_at;
    r->urls_tried = 0;
    r->was_stale = false;
    hf_gw_attempt_start(r, now_ms);
}

static void refuse_busy(struct hf_gw_request *r, const struct hf_gw_slot *slot, const char *why)
{
    r->last = HF_GW_UNAVAILABLE;
    r->retry_after_ms = slot->lane.n * slot->mean_ms / (uint64_t)slot->host->conf->parallel;
    hf_api_error_set(&r->error, HF_API_BUSY, "model %s on %s is busy: %s", slot->model,
                     slot->host->conf->name, why);
    r->g->n_refused++;
    hf_gw_request_refuse(r);
}

/* Sends it, or lets it wait for its turn. */
static void line_up(struct hf_gw_request *r, uint64_t now_ms)
{
    struct hf_gw_slot *slot = r->slot;
    struct hf_err err = HF_ERR_INIT;
    if (slot->lane.n == 0 && hf_gw_slot_room(slot, now_ms) > 0) {
        launch(r, slot, now_ms);
        return;
    }
    r->entry.since_ms = now_ms;
    r->entry.deadline_ms = now_ms + (uint64_t)r->g->conf->queue_timeout_ms;
    if (hf_gwq_push(&slot->lane, &r->entry, &err) != HF_OK)
        refuse_busy(r, slot, err.text);
}

static void place(struct hf_gw_request *r, const struct hf_gw_choice *c, uint64_t now_ms)
{
    const struct hf_gw_candidate *cand = &r->route->candidates[c->candidate];
    struct hf_gw_live_host *h = &r->g->hosts[cand->host];
    struct hf_gw_slot *slot = hf_gw_slot_get(h, cand->model);
    r->candidate = c->candidate;
    r->reason = c->reason;
    if (slot == NULL) {
        hf_api_error_set(&r->error, HF_API_BUSY, "host %s has too many models in use",
                         h->conf->name);
        hf_gw_request_refuse(r);
        return;
    }
    r->slot = slot;
    enum hf_gw_held held = hf_gw_bill_hold(r, h->conf, cand->model);
    if (held == HF_GW_HELD) {
        line_up(r, now_ms);
    } else if (held == HF_GW_OVER) { /* another may cost less, or nothing */
        r->tried |= HF_GW_BIT(c->candidate);
        hf_gw_request_go(r, now_ms);
    }
}

void hf_gw_request_held(struct hf_gw_request *r, bool is_written, uint64_t now_ms)
{
    if (is_written) {
        line_up(r, now_ms);
        return;
    }
    r->last = HF_GW_JOURNAL;
    r->retry_after_ms = 30000;
    hf_api_error_set(&r->error, HF_API_BUSY,
                     "the usage journal cannot be written: requests with a budget have to wait");
    hf_gw_request_refuse(r);
}

/* A cloud could have taken it. */
static bool is_kept_in(const struct hf_gw_request *r, const struct hf_gw_choice *c)
{
    for (size_t i = 0; i < r->route->n_candidates; i++) {
        if (c->verdicts[i] == HF_GW_IS_PRIVATE)
            return true;
    }
    return false;
}

/* In the first moment after a start no name is unknown. False: nothing is to be waited for. */
static bool wait_for_lists(struct hf_gw_request *r, uint64_t now_ms)
{
    if (r->route->n_candidates > 0 || !hf_gw_is_list_due(r->g))
        return false;
    r->entry.since_ms = now_ms;
    r->entry.deadline_ms = now_ms + (uint64_t)r->g->conf->queue_timeout_ms;
    if (hf_gwq_push(&r->g->paused, &r->entry, NULL) == HF_OK)
        return true;
    r->last = HF_GW_UNAVAILABLE;
    r->retry_after_ms = 1000;
    hf_api_error_set(&r->error, HF_API_BUSY, "the hosts' models are not known yet: try again");
    hf_gw_request_refuse(r);
    return true;
}

static void say_not_found(struct hf_gw_request *r)
{
    char silent[200];
    bool is_sure = !hf_gw_unlisted(r->g, silent, sizeof(silent));
    hf_api_error_set(&r->error, HF_API_MODEL, "model '%s' not found on any host%s%s%s",
                     r->head.model,
                     is_sure ? "" : " (not reached since the start: ", is_sure ? "" : silent,
                     is_sure ? "" : ")");
}

/* Nobody can take it. */
static void no_place(struct hf_gw_request *r, const struct hf_gw_choice *c, uint64_t now_ms)
{
    uint64_t wait_ms = (uint64_t)r->g->conf->pause_timeout_ms;
    r->slot = NULL;
    if (r->bill.is_over && r->attempts == 0) {
        hf_gw_bill_over(r);
        hf_gw_request_refuse(r);
        return;
    }
    if (wait_for_lists(r, now_ms))
        return;
    bool is_unreached =
        hf_gw_failure_rule(r->last)->says == HF_GW_SAYS_DEAD || r->last == HF_GW_HOST_DIED;
    if (c->may_come_back && wait_ms > 0 && r->attempts < HF_GW_TRIES &&
        (r->attempts == 0 || is_unreached)) {
        r->entry.since_ms = now_ms;
        if (r->paused_until_ms == 0) /* a host that comes and goes does not make it longer */
            r->paused_until_ms =
                now_ms + wait_ms < r->deadline_ms ? now_ms + wait_ms : r->deadline_ms;
        r->entry.deadline_ms = r->paused_until_ms;
        hf_gw_bill_release(r);
        r->tried = 0; /* after the pause everybody gets another chance */
        r->failed_hosts = 0;
        r->may_cloud = true;
        if (hf_gwq_push(&r->g->paused, &r->entry, NULL) == HF_OK)
            return;
    }
    if (r->attempts == 0) {
        r->last = c->may_come_back ? HF_GW_UNAVAILABLE : HF_GW_NO_MODEL;
        r->retry_after_ms = 30000;
        if (c->may_come_back)
            hf_api_error_set(&r->error, HF_API_BUSY,
                             "no host can take model '%s' now; /holdfast/explain?model= says why",
                             r->head.model);
        else if (is_kept_in(r, c))
            hf_gw_refuse_private(r);
        else
            say_not_found(r);
    }
    hf_gw_request_refuse(r);
}

static bool is_answered_here(struct hf_gw_request *r, const struct hf_gw_choice *c)
{
    struct hf_buf out;
    if (r->head.ep != HF_EP_ANTHROPIC_COUNT || !c->is_found)
        return false;
    const struct hf_gw_candidate *cand = &r->route->candidates[c->candidate];
    if (r->g->hosts[cand->host].conf->kind == HF_CONFIG_ANTHROPIC)
        return false;
    hf_buf_init(&out, HF_GW_ERROR_BYTES);
    bool is_ok =
        hf_count_tokens_write(hf_request_estimate_tokens(r->body, r->len), &out, NULL) == HF_OK;
    hf_gw_bill_end(r, HF_GW_OK, hf_clock_mono_ms());
    hf_gw_reply_text(r->call, is_ok ? 200 : 500, "application/json", hf_buf_str(&out), out.len);
    hf_buf_deinit(&out);
    end(r);
    return true;
}

/* Where its conversation was answered last, if hosts of the same rank can take it. */
static void mark_sticky(struct hf_gw_request *r, struct hf_gw_facts *facts, uint64_t now_ms)
{
    static const char *const keys[] = {"messages", "prompt", "input"};
    const char *session = hf_httpd_call_header(r->call, "X-Holdfast-Session");
    struct hf_jsonscan_value v[3];
    if (!r->g->conf->is_sticky || r->route != &r->found || r->route->n_candidates < 2)
        return;
    if (r->sticky_key == 0 && session != NULL)
        r->sticky_key = hf_sticky_key(r->head.model, session, strlen(session));
    if (r->sticky_key == 0 && hf_jsonscan_find(r->body, r->len, keys, 3, v, NULL) == HF_OK) {
        size_t at = v[0].kind != HF_JSON_ABSENT ? 0 : v[1].kind != HF_JSON_ABSENT ? 1 : 2;
        r->sticky_key = hf_sticky_key(r->head.model, v[at].text, v[at].len);
    }
    uint32_t host = hf_sticky_get(r->g->sticky, r->sticky_key, now_ms);
    for (size_t i = 0; host != HF_STICKY_NONE && i < r->route->n_candidates; i++) {
        /* Where the model was unloaded meanwhile, its cache went with it. */
        bool is_kept =
            facts[i].model == HF_GW_MODEL_LOADED || facts[i].model == HF_GW_MODEL_UNKNOWN;
        facts[i].is_sticky = is_kept && r->route->candidates[i].host == host;
    }
}

void hf_gw_request_go(struct hf_gw_request *r, uint64_t now_ms)
{
    struct hf_gateway *g = r->g;
    struct hf_gw_facts facts[HF_GW_CANDIDATES];
    struct hf_gw_choice choice;
    if (r->route == &r->found) { /* who has it may have changed */
        r->found.n_candidates = 0;
        hf_gw_discover(g, r->head.model, &r->found);
    }
    const struct hf_gw_pinned *pin = r->pin == SIZE_MAX ? hf_gw_pin_of(g, r->route->name) : NULL;
    uint64_t down = hf_gw_facts(g, r->route, r->tried, facts, now_ms);
    mark_sticky(r, facts, now_ms);
    struct hf_gw_ask ask = {.route = r->route,
                            .facts = facts,
                            .down = down | r->failed_hosts,
                            .is_ranked_alike = r->route == &r->found,
                            .may_cloud = r->may_cloud,
                            .is_private = hf_gw_is_private(r),
                            .pin = pin != NULL ? pin->host : r->pin};
    hf_gw_choose(&ask, &choice);
    if (pin != NULL && choice.reason == HF_GW_PIN)
        choice.reason = HF_GW_OVERRIDDEN;
    if (is_answered_here(r, &choice))
        return;
    if (choice.is_found)
        place(r, &choice, now_ms);
    else
        no_place(r, &choice, now_ms);
}

/* ---- admission ---- */

bool hf_gw_is_loop(const struct hf_gateway *g, const struct hf_httpd_call *call)
{
    const char *hops = hf_httpd_call_header(call, "X-Holdfast-Hop");
    return hops != NULL &&
           (strstr(hops, g->id) != NULL || strlen(hops) + HF_GW_ID >= HF_GW_HOPS_TEXT);
}

static void admit(struct hf_gw_request *r, uint64_t now_ms)
{
    const char *pin = hf_httpd_call_header(r->call, "X-Holdfast-Pin-Host");
    r->plan = r->g->plan;
    r->plan->users++;
    if (!hf_gw_access(r, now_ms))
        return;
    r->route = hf_gw_plan_route(r->plan, r->head.model);
    if (r->route == NULL) {
        r->found.name = r->head.model;
        r->found.candidates = hf_calloc(HF_GW_CANDIDATES, sizeof(*r->found.candidates));
        r->route = &r->found;
    }
    if (pin != NULL)
        r->pin = hf_gw_plan_host(r->g->plan, pin);
    if (hf_gw_is_loop(r->g, r->call) || (pin != NULL && r->pin == r->g->plan->n_hosts)) {
        r->last = HF_GW_REQUEST;
        hf_api_error_set(&r->error, HF_API_INVALID,
                         pin != NULL ? "X-Holdfast-Pin-Host names no host of this gateway"
                                     : "this request came from this gateway: its hosts lead back "
                                       "to it");
        hf_gw_request_refuse(r);
        return;
    }
    hf_gw_request_go(r, now_ms);
}

static void begin_trace(struct hf_gw_request *r)
{
    uint8_t random[HF_TRACE_RANDOM];
    hf_random_name_bytes(random, sizeof(random));
    hf_trace_begin(&r->trace, hf_httpd_call_header(r->call, "traceparent"), random);
}

void hf_gw_request_begin(struct hf_task *task)
{
    struct hf_gw_request *r =
        (struct hf_gw_request *)(void *)((char *)task - offsetof(struct hf_gw_request, begin_task));
    struct hf_gateway *g = r->g;
    const char *priority = hf_httpd_call_header(r->call, "X-Holdfast-Priority");
    hf_assert_magic(r, HF_GW_REQUEST_MAGIC);
    uint64_t now_ms = hf_clock_mono_ms();
    r->start_ms = now_ms;
    r->deadline_ms = now_ms + (uint64_t)g->conf->request_timeout_ms;
    r->entry.client = hf_gw_client_of(r->call, NULL);
    r->entry.class_ =
        priority != NULL && strcmp(priority, "batch") == 0 ? HF_GWQ_BATCH : HF_GWQ_INTERACTIVE;
    r->next = g->first;
    if (g->first != NULL)
        g->first->prev = r;
    g->first = r;
    r->is_begun = true;
    begin_trace(r);
    if (r->is_gone)
        leave(r, now_ms);
    else
        admit(r, now_ms);
}

/* ---- what happens to it meanwhile ---- */

void hf_gw_request_gone(struct hf_task *task)
{
    struct hf_gw_request *r =
        (struct hf_gw_request *)(void *)((char *)task - offsetof(struct hf_gw_request, gone_task));
    uint64_t now_ms = hf_clock_mono_ms();
    if (!r->is_begun)
        r->is_gone = true;
    else if (r->call != NULL && r->up != NULL)
        hf_gw_attempt_stop(r, HF_GW_CLIENT_LEFT);
    else if (r->call != NULL)
        leave(r, now_ms);
    hf_gw_request_unref(r);
}

void hf_gw_request_drain(struct hf_task *task)
{
    struct hf_gw_request *r =
        (struct hf_gw_request *)(void *)((char *)task - offsetof(struct hf_gw_request, drain_task));
    atomic_store(&r->is_drain_posted, false);
    if (r->up != NULL)
        hf_http_resume(r->up);
    hf_gw_request_unref(r);
}

static struct hf_gw_request *of_entry(struct hf_gwq_entry *e)
{
    struct hf_gw_request *r = (struct hf_gw_request *)(void *)e;
    hf_assert_magic(r, HF_GW_REQUEST_MAGIC);
    return r;
}

void hf_gw_host_pump(struct hf_gw_live_host *h, uint64_t now_ms)
{
    if (!hf_health_is_routable(&h->health))
        return;
    for (struct hf_gw_slot *s = h->slots; s != NULL; s = s->next) {
        while (s->lane.n > 0 && hf_gw_slot_room(s, now_ms) > 0 &&
               hf_breaker_allows(&s->breaker, now_ms)) {
            struct hf_gw_request *r = of_entry(hf_gwq_pop(&s->lane, now_ms));
            r->queued_ms += now_ms - r->entry.since_ms;
            launch(r, s, now_ms);
        }
    }
}

void hf_gw_host_move_away(struct hf_gw_live_host *h, uint64_t now_ms)
{
    bool is_down = h->health.state == HF_HEALTH_DOWN;
    for (struct hf_gw_slot *s = h->slots; s != NULL; s = s->next) {
        for (size_t n = s->lane.n; n > 0 && s->lane.n > 0; n--) {
            struct hf_gw_request *r = of_entry(hf_gwq_pop(&s->lane, now_ms));
            r->queued_ms += now_ms - r->entry.since_ms;
            hf_gw_request_go(r, now_ms);
        }
    }
    if (!is_down)
        return;
    for (struct hf_gw_request *r = h->g->first; r != NULL; r = r->next) {
        if (r->up == NULL || r->slot == NULL || r->slot->host != h || r->stop != HF_GW_OK)
            continue;
        hf_api_error_set(&r->error, HF_API_SERVER, "host %s died: %s", h->conf->name,
                         h->last_error);
        hf_gw_attempt_stop(r, HF_GW_HOST_DIED);
    }
}

void hf_gw_unpause(struct hf_gateway *g, uint64_t now_ms)
{
    hf_gw_pages_unhold(g);
    for (size_t n = g->paused.n; n > 0 && g->paused.n > 0; n--) {
        struct hf_gw_request *r = of_entry(hf_gwq_pop(&g->paused, now_ms));
        r->queued_ms += now_ms - r->entry.since_ms;
        hf_gw_request_go(r, now_ms);
    }
}

static void expire(struct hf_gwq_lane *lane, const char *what, uint64_t now_ms)
{
    struct hf_gwq_entry *e;
    while ((e = hf_gwq_expired(lane, now_ms)) != NULL) {
        struct hf_gw_request *r = of_entry(e);
        r->queued_ms += now_ms - e->since_ms;
        r->last = HF_GW_UNAVAILABLE;
        r->retry_after_ms = 30000;
        hf_api_error_set(&r->error, HF_API_BUSY, "model '%s': %s for %llu s", r->head.model, what,
                         (unsigned long long)(r->queued_ms / 1000));
        hf_gw_request_refuse(r);
    }
}

void hf_gw_requests_tick(struct hf_gateway *g, uint64_t now_ms)
{
    for (struct hf_gw_request *r = g->first; r != NULL; r = r->next)
        hf_gw_attempt_tick(r, now_ms);
    for (struct hf_gw_request *r = g->first; r != NULL; r = r->next)
        hf_gw_early_tick(r, now_ms);
    for (size_t i = 0; i < g->n_hosts; i++) {
        for (struct hf_gw_slot *s = g->hosts[i].slots; s != NULL; s = s->next) {
            expire(&s->lane, "no slot was free", now_ms);
            if (s->breaker.state == HF_BREAKER_OPEN && hf_breaker_allows(&s->breaker, now_ms))
                g->is_unpause_due = true; /* its time is over: one may try */
        }
        hf_gw_host_pump(&g->hosts[i], now_ms);
    }
    if (g->is_unpause_due) {
        g->is_unpause_due = false;
        hf_gw_unpause(g, now_ms);
    }
    expire(&g->paused, "no host came back", now_ms);
}
