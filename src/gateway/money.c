#include "gateway/money.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/parse.h"
#include "codec/prometheus.h"
#include "gateway/gateway_int.h"
#include "gateway/zone.h"

static const struct hf_config_budget unlimited = {-1, -1, -1, -1};

static const struct hf_config_budget *limits_of(const struct hf_gw_key *key)
{
    return key == NULL ? &unlimited : &key->budget;
}

/* ---- accounts ---- */

struct hf_gw_account *hf_gw_account_get(struct hf_gateway *g, const char *name)
{
    struct hf_gw_money *m = &g->money;
    for (struct hf_gw_account *a = m->accounts; a != NULL; a = a->next) {
        if (strcmp(a->name, name) == 0)
            return a;
    }
    if (m->n_accounts == HF_LIMIT_GATEWAY_ACCOUNTS)
        return NULL;
    struct hf_gw_account *a = hf_calloc(1, sizeof(*a));
    snprintf(a->name, sizeof(a->name), "%s", name);
    hf_gw_budget_roll(&a->budget, m->day);
    a->next = m->accounts;
    m->accounts = a;
    m->n_accounts++;
    return a;
}

/* A day never comes twice, also when the clock or the zone is set back. */
static void roll(struct hf_gateway *g)
{
    struct hf_gw_money *m = &g->money;
    int64_t day = hf_gw_zone_day(g->conf, hf_clock_wall_ms());
    if (day <= m->day)
        return;
    m->day = day;
    hf_gw_budget_roll(&m->all.budget, day);
    for (struct hf_gw_account *a = m->accounts; a != NULL; a = a->next)
        hf_gw_budget_roll(&a->budget, day);
}

static void take_sum(void *arg, const struct hf_journal_sum *sum)
{
    struct hf_gateway *g = arg;
    struct hf_gw_amount used = {.micro = sum->micro < 0 ? 0 : sum->micro,
                                .tokens = sum->tokens < 0 ? 0 : sum->tokens};
    struct hf_gw_account *a = hf_gw_account_get(g, sum->key);
    if (a != NULL)
        hf_gw_budget_settle(&a->budget, NULL, sum->day, &used);
    hf_gw_budget_settle(&g->money.all.budget, NULL, sum->day, &used);
}

enum hf_code hf_gw_money_init(struct hf_gateway *g, struct hf_err *err)
{
    struct hf_gw_money *m = &g->money;
    const struct hf_config_gateway *conf = g->conf;
    struct hf_journal_opts o = {.path = conf->journal, .keep_ms = conf->journal_keep_ms};
    m->series = hf_calloc(HF_LIMIT_GATEWAY_SERIES, sizeof(*m->series));
    roll(g);
    HF_TRY(hf_pool_new("hf-gw-files", 1, true, &m->helpers, err));
    if (conf->journal == NULL)
        return HF_OK;
    enum hf_code rc = hf_journal_open(&o, take_sum, g, &m->journal, err);
    return rc == HF_OK ? HF_OK : hf_err_wrap(err, "gateway.journal");
}

void hf_gw_money_deinit(struct hf_gateway *g)
{
    struct hf_gw_money *m = &g->money;
    hf_pool_free(m->helpers);
    hf_journal_close(m->journal);
    while (m->accounts != NULL) {
        struct hf_gw_account *a = m->accounts;
        m->accounts = a->next;
        hf_free(a);
    }
    hf_free(m->series);
}

/* ---- records ---- */

static void cut_copy(char *out, size_t cap, const char *text)
{
    snprintf(out, cap, "%s", text == NULL ? "" : text);
}

static struct hf_journal_record *new_record(const struct hf_gw_request *r, enum hf_journal_kind k)
{
    const struct hf_gw_bill *b = &r->bill;
    struct hf_journal_record *rec = hf_calloc(1, sizeof(*rec));
    rec->kind = k;
    rec->number = b->number;
    rec->at_ms = hf_clock_wall_ms();
    rec->day = b->is_held ? b->hold.day : r->g->money.day;
    cut_copy(rec->request, sizeof(rec->request), r->id);
    cut_copy(rec->key, sizeof(rec->key), b->account->name);
    cut_copy(rec->route, sizeof(rec->route),
             r->route == NULL || r->route == &r->found ? "" : r->route->name);
    return rec;
}

static void set_place(struct hf_journal_record *rec, const char *host, const char *model)
{
    cut_copy(rec->host, sizeof(rec->host), host);
    cut_copy(rec->model, sizeof(rec->model), model);
}

/* ---- holding ---- */

/* Loading a model and counting tokens are no generation: nobody charges for them. */
static bool is_for_free(const struct hf_gw_request *r)
{
    return r->head.is_load || r->head.ep == HF_EP_ANTHROPIC_COUNT;
}

/* Of an answer whose request sets no limit: what the model writes at most, if that is known, else
 * what it will be told. */
static int64_t default_output(const struct hf_gw_request *r,
                              const struct hf_config_gateway_price *price)
{
    bool is_known = price != NULL && price->max_output > 0;
    return is_known ? price->max_output : r->g->conf->default_output_tokens;
}

static int64_t output_bound(const struct hf_gw_request *r,
                            const struct hf_config_gateway_price *price)
{
    const struct hf_request_head *h = &r->head;
    if (h->ep == HF_EP_OLLAMA_EMBED || h->ep == HF_EP_OLLAMA_EMBEDDINGS ||
        h->ep == HF_EP_OPENAI_EMBEDDINGS)
        return 0;
    int64_t max = h->max_tokens > 0 ? h->max_tokens : default_output(r, price);
    int64_t n = h->n_answers > 1 ? h->n_answers : 1;
    return max > HF_GW_TOKENS_MAX / n ? HF_GW_TOKENS_MAX : max * n;
}

/* The writer thread, or this one. */
static void told(void *arg, bool is_held)
{
    struct hf_gw_request *r = arg;
    r->bill.is_written = is_held;
    hf_http_client_post(r->g->client, &r->bill.told_task);
}

static void run_told(struct hf_task *task)
{
    struct hf_gw_request *r =
        (struct hf_gw_request *)(void *)((char *)task -
                                         offsetof(struct hf_gw_request, bill.told_task));
    hf_assert_magic(r, HF_GW_REQUEST_MAGIC);
    hf_assert(r->bill.is_waiting);
    r->bill.is_waiting = false;
    if (r->call != NULL)
        hf_gw_request_held(r, r->bill.is_written, hf_clock_mono_ms());
    hf_gw_request_unref(r);
}

static void settle(struct hf_gw_request *r, const struct hf_gw_amount *used)
{
    struct hf_gw_bill *b = &r->bill;
    struct hf_gw_money *m = &r->g->money;
    const struct hf_gw_hold *hold = b->is_held ? &b->hold : NULL;
    int64_t day = b->is_held ? b->hold.day : m->day;
    hf_gw_budget_settle(&b->account->budget, hold, day, used);
    hf_gw_budget_settle(&m->all.budget, hold, day, used);
    b->is_held = false;
}

void hf_gw_bill_release(struct hf_gw_request *r)
{
    static const struct hf_gw_amount nothing = {0};
    if (!r->bill.is_held)
        return;
    if (r->g->money.journal != NULL)
        hf_journal_put(r->g->money.journal, new_record(r, HF_JOURNAL_DROP));
    settle(r, &nothing);
}

static void write_hold(struct hf_gw_request *r, const struct hf_gw_host *host, const char *model,
                       int64_t input)
{
    struct hf_gw_bill *b = &r->bill;
    b->number++;
    struct hf_journal_record *rec = new_record(r, HF_JOURNAL_HOLD);
    set_place(rec, host->name, model);
    rec->tokens_in = input;
    rec->tokens_out = b->hold.amount.tokens - input;
    rec->micro = b->hold.amount.micro;
    rec->told = told;
    rec->arg = r;
    b->is_waiting = true;
    b->told_task.run = run_told;
    atomic_fetch_add(&r->refs, 1);
    hf_journal_put(r->g->money.journal, rec);
}

static bool is_over(struct hf_gw_request *r, const struct hf_gw_amount *want)
{
    struct hf_gw_bill *b = &r->bill;
    b->over = hf_gw_budget_check(&b->account->budget, limits_of(b->key), want);
    b->is_over_all = b->over == HF_GW_LIMITS_;
    if (b->is_over_all)
        b->over = hf_gw_budget_check(&r->g->money.all.budget, &r->g->conf->budget, want);
    b->is_over = b->over != HF_GW_LIMITS_;
    b->wanted = *want;
    return b->is_over;
}

enum hf_gw_held hf_gw_bill_hold(struct hf_gw_request *r, const struct hf_gw_host *host,
                                const char *model)
{
    struct hf_gateway *g = r->g;
    struct hf_gw_bill *b = &r->bill;
    const struct hf_config_budget *own = limits_of(b->key);
    hf_assert(b->account != NULL && !b->is_waiting);
    hf_gw_bill_release(r);
    b->cap_tokens = 0;
    if ((!hf_gw_is_limited(own) && !hf_gw_is_limited(&g->conf->budget)) || is_for_free(r))
        return HF_GW_HELD;
    const struct hf_config_gateway_price *price = hf_gw_price_find(g->conf, host->name, model);
    if (price == NULL && !hf_gw_has_token_limit(own) && !hf_gw_has_token_limit(&g->conf->budget))
        return HF_GW_HELD;
    int64_t input = hf_request_bound_tokens(r->body, r->len);
    int64_t output = output_bound(r, price);
    struct hf_gw_amount want = {.micro = hf_gw_cost_bound(price, input, output),
                                .tokens = input + output};
    roll(g);
    if (is_over(r, &want))
        return HF_GW_OVER;
    b->hold = (struct hf_gw_hold){.day = g->money.day, .amount = want};
    b->is_held = true;
    bool is_known = price != NULL && price->max_output > 0;
    b->cap_tokens =
        r->head.max_tokens > 0 || output == 0 || is_known ? 0 : g->conf->default_output_tokens;
    hf_gw_budget_hold(&b->account->budget, &b->hold);
    hf_gw_budget_hold(&g->money.all.budget, &b->hold);
    if (g->money.journal == NULL)
        return HF_GW_HELD;
    write_hold(r, host, model, input);
    return HF_GW_WAITS;
}

/* ---- settling ---- */

static bool was_never_sent(enum hf_gw_failure f)
{
    return f == HF_GW_REFUSED || f == HF_GW_CONNECT_TIMEOUT || f == HF_GW_STALE ||
           f == HF_GW_UNTRANSLATABLE;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* What the present try used; true if that is an estimate, because the host did not say. */
static bool used_by(const struct hf_gw_request *r, enum hf_gw_failure f, struct hf_gw_tokens *t)
{
    const struct hf_answer_state *s = r->answer == NULL ? NULL : hf_answer_state(r->answer);
    *t = (struct hf_gw_tokens){0};
    if (is_for_free(r) || was_never_sent(f) || r->status >= 300)
        return false;
    if (s != NULL)
        *t = (struct hf_gw_tokens){.input = s->usage.input,
                                   .output = s->usage.output,
                                   .cached = s->usage.cache_read,
                                   .cache_write = s->usage.cache_write};
    if (s != NULL && s->usage.is_known && s->is_done)
        return false;
    t->input = most(t->input, hf_request_estimate_tokens(r->body, r->len));
    t->output = most(t->output, s == NULL ? 0 : s->n_pieces);
    return true;
}

static struct hf_gw_series *series_of(struct hf_gw_money *m, const char *key, const char *model)
{
    for (size_t i = 0; i < m->n_series; i++) {
        struct hf_gw_series *s = &m->series[i];
        if (strcmp(s->model, model) == 0 && strcmp(s->key, key) == 0)
            return s;
    }
    bool is_last = m->n_series + 1 >= HF_LIMIT_GATEWAY_SERIES;
    struct hf_gw_series *s = &m->series[is_last ? HF_LIMIT_GATEWAY_SERIES - 1 : m->n_series];
    cut_copy(s->key, sizeof(s->key), is_last ? "other" : key);
    cut_copy(s->model, sizeof(s->model), is_last ? "other" : model);
    m->n_series = is_last ? HF_LIMIT_GATEWAY_SERIES : m->n_series + 1;
    return s;
}

static void count(struct hf_gw_request *r, const struct hf_gw_tokens *t, int64_t micro)
{
    struct hf_gw_series *s = series_of(&r->g->money, r->bill.account->name, r->slot->model);
    s->tokens.input += t->input;
    s->tokens.output += t->output;
    s->tokens.cached += t->cached;
    s->micro += micro;
    s->n++;
}

struct ending {
    enum hf_gw_failure f;
    bool is_last;
    uint64_t now_ms;
};

static void write_use(struct hf_gw_request *r, const struct ending *e, const struct hf_gw_tokens *t,
                      const struct hf_gw_amount *used, bool is_estimated)
{
    struct hf_gw_bill *b = &r->bill;
    bool is_sent = r->attempts > b->billed;
    if (r->g->money.journal == NULL)
        return;
    b->number += b->is_held ? 0 : 1;
    struct hf_journal_record *rec = new_record(r, HF_JOURNAL_USE);
    if (is_sent)
        set_place(rec, r->slot->host->conf->name, r->slot->model);
    else
        set_place(rec, "", r->head.model);
    rec->tokens_in = t->input;
    rec->tokens_out = t->output;
    rec->tokens_cached = t->cached;
    rec->micro = used->micro;
    rec->took_ms = (int64_t)(e->now_ms - (e->is_last ? r->start_ms : r->sent_ms));
    rec->is_last = e->is_last;
    rec->is_estimated = is_estimated;
    cut_copy(rec->outcome, sizeof(rec->outcome), hf_gw_failure_rule(e->f)->word);
    hf_journal_put(r->g->money.journal, rec);
}

static void close_try(struct hf_gw_request *r, const struct ending *e)
{
    struct hf_gw_bill *b = &r->bill;
    struct hf_gw_tokens t = {0};
    struct hf_gw_amount used = {0};
    bool is_sent = r->attempts > b->billed;
    bool is_estimated = false;
    roll(r->g);
    if (is_sent) {
        const struct hf_gw_host *host = r->slot->host->conf;
        is_estimated = used_by(r, e->f, &t);
        used.micro = hf_gw_cost(hf_gw_price_find(r->g->conf, host->name, r->slot->model), &t);
        used.tokens = t.input + t.output;
        count(r, &t, used.micro);
    }
    write_use(r, e, &t, &used, is_estimated);
    settle(r, &used);
    b->cost += used.micro;
    b->billed = r->attempts;
}

void hf_gw_bill_try(struct hf_gw_request *r, enum hf_gw_failure f, uint64_t now_ms)
{
    struct ending e = {.f = f, .now_ms = now_ms};
    if (r->bill.account != NULL)
        close_try(r, &e);
}

void hf_gw_bill_end(struct hf_gw_request *r, enum hf_gw_failure f, uint64_t now_ms)
{
    struct ending e = {.f = f, .is_last = true, .now_ms = now_ms};
    if (r->bill.account == NULL)
        return;
    close_try(r, &e);
    hf_assert(r->bill.account->active > 0);
    r->bill.account->active--;
    r->bill.account = NULL;
}

/* ---- refusing ---- */

void hf_gw_bill_over(struct hf_gw_request *r)
{
    struct hf_gateway *g = r->g;
    const struct hf_gw_bill *b = &r->bill;
    const struct hf_config_budget *limits = b->is_over_all ? &g->conf->budget : limits_of(b->key);
    const struct hf_gw_budget *budget = b->is_over_all ? &g->money.all.budget : &b->account->budget;
    bool is_money = hf_gw_limit_is_money(b->over);
    int64_t scale = is_money ? 1 : 1000000;
    char limit[HF_MICRO_TEXT];
    char left[HF_MICRO_TEXT];
    char wanted[HF_MICRO_TEXT];
    char when[HF_TIME_TEXT] = "";
    hf_micro_format(hf_gw_limit_of(limits, b->over) * scale, limit);
    hf_micro_format(hf_gw_budget_left(budget, limits, b->over) * scale, left);
    hf_micro_format((is_money ? b->wanted.micro : b->wanted.tokens) * scale, wanted);
    int64_t end_ms = hf_gw_zone_day_end_ms(g->conf, g->money.day);
    if (hf_gw_limit_is_day(b->over))
        hf_clock_format(end_ms, when);
    int64_t wait_ms = end_ms - hf_clock_wall_ms();
    r->retry_after_ms = hf_gw_limit_is_day(b->over) && wait_ms > 0 ? (uint64_t)wait_ms : 0;
    r->last = HF_GW_BUDGET;
    hf_api_error_set(&r->error, HF_API_RATE,
                     "budget %s of %s%s: %s of %s left, this request may need %s; %s%s",
                     hf_gw_limit_word(b->over), b->is_over_all ? "all keys together" : "key ",
                     b->is_over_all ? "" : b->account->name, left, limit, wanted,
                     when[0] == '\0' ? "it does not begin anew" : "it begins anew at ", when);
    snprintf(r->error.code, sizeof(r->error.code), "insufficient_quota");
}

bool hf_gw_bill_headers(const struct hf_gw_request *r, struct hf_gw_headers *h)
{
    if (r->last == HF_GW_NO_KEY)
        hf_gw_header(h, "WWW-Authenticate", "Bearer");
    if (r->last != HF_GW_BUDGET && r->last != HF_GW_KEY_LIMIT && r->last != HF_GW_NO_KEY)
        return false;
    if (r->retry_after_ms > 0)
        hf_gw_header(h, "Retry-After", "%" PRIu64, (r->retry_after_ms + 999) / 1000);
    if (r->last == HF_GW_BUDGET)
        hf_gw_header(h, "x-should-retry", "false");
    return true;
}

/* ---- what is shown ---- */

static void put_amount(struct hf_json *j, const char *key, int64_t value, bool is_money)
{
    char text[HF_MICRO_TEXT];
    hf_micro_format(value, text);
    if (is_money)
        hf_json_kstr(j, key, text);
    else
        hf_json_ki64(j, key, value);
}

static void put_budgets(struct hf_gateway *g, struct hf_json *j, const struct hf_gw_budget *b,
                        const struct hf_config_budget *limits)
{
    hf_json_key(j, "budgets");
    hf_json_array_begin(j);
    for (int i = 0; i < HF_GW_LIMITS_; i++) {
        enum hf_gw_limit which = (enum hf_gw_limit)i;
        int64_t limit = hf_gw_limit_of(limits, which);
        char when[HF_TIME_TEXT];
        if (limit < 0)
            continue;
        bool is_money = hf_gw_limit_is_money(which);
        hf_clock_format(hf_gw_zone_day_end_ms(g->conf, g->money.day), when);
        hf_json_object_begin(j);
        hf_json_kstr(j, "budget", hf_gw_limit_word(which));
        put_amount(j, "limit", limit, is_money);
        put_amount(j, "left", hf_gw_budget_left(b, limits, which), is_money);
        hf_json_kstr(j, "resets", hf_gw_limit_is_day(which) ? when : NULL);
        hf_json_object_end(j);
    }
    hf_json_array_end(j);
}

static void put_account(struct hf_gateway *g, struct hf_json *j, const struct hf_gw_account *a,
                        const struct hf_config_budget *limits)
{
    const struct hf_gw_budget *b = &a->budget;
    hf_json_object_begin(j);
    hf_json_kstr(j, "name", a == &g->money.all ? "(all)" : a->name);
    hf_json_ki64(j, "active", a->active);
    put_amount(j, "cost_today", b->spent_day.micro, true);
    hf_json_ki64(j, "tokens_today", b->spent_day.tokens);
    put_amount(j, "cost_held", b->held_all.micro, true);
    put_amount(j, "cost_in_all", b->spent_all.micro, true);
    put_budgets(g, j, b, limits);
    hf_json_object_end(j);
}

static void put_journal(struct hf_json *j, struct hf_journal *journal)
{
    struct hf_journal_stats st;
    hf_json_key(j, "journal");
    if (journal == NULL) {
        hf_json_null(j);
        return;
    }
    hf_journal_stats(journal, &st);
    hf_json_object_begin(j);
    hf_json_kstr(j, "path", hf_journal_path(journal));
    hf_json_kbool(j, "failing", st.is_failing);
    hf_json_ku64(j, "written", st.written);
    hf_json_ku64(j, "waiting", st.waiting);
    hf_json_ku64(j, "dropped", st.dropped);
    hf_json_ku64(j, "charged_at_start", st.charged);
    hf_json_object_end(j);
}

static const struct hf_gw_key *key_named(const struct hf_gw_keys *keys, const char *name)
{
    for (size_t i = 0; i < keys->n; i++) {
        if (strcmp(keys->list[i].name, name) == 0)
            return &keys->list[i];
    }
    return NULL;
}

/* Keys that nobody has used yet are shown, too. */
static void meet_keys(struct hf_gateway *g)
{
    const struct hf_gw_keys *keys = &g->plan->keys;
    for (size_t i = 0; i < keys->n && hf_gw_account_get(g, keys->list[i].name) != NULL; i++)
        continue;
    roll(g);
}

void hf_gw_money_status(struct hf_gateway *g, struct hf_json *j)
{
    meet_keys(g);
    hf_json_key(j, "keys");
    hf_json_array_begin(j);
    put_account(g, j, &g->money.all, &g->conf->budget);
    for (const struct hf_gw_account *a = g->money.accounts; a != NULL; a = a->next)
        put_account(g, j, a, limits_of(key_named(&g->plan->keys, a->name)));
    hf_json_array_end(j);
    put_journal(j, g->money.journal);
}

static void put_series(const struct hf_gw_money *m, struct hf_prom *p)
{
    hf_prom_family(p, "holdfast_gateway_tokens_total", "counter",
                   "Tokens by key, model and type; cached ones are part of input.");
    for (size_t i = 0; i < m->n_series; i++) {
        const struct hf_gw_series *s = &m->series[i];
        const struct {
            const char *word;
            int64_t n;
        } types[] = {
            {"input", s->tokens.input}, {"output", s->tokens.output}, {"cached", s->tokens.cached}};
        for (size_t k = 0; k < HF_ARRAY_LEN(types); k++) {
            struct hf_prom_label l[] = {
                {"key", s->key}, {"model", s->model}, {"type", types[k].word}};
            hf_prom_value(p, l, 3, (double)types[k].n);
        }
    }
    hf_prom_family(p, "holdfast_gateway_cost_total", "counter",
                   "Cost by key and model, in the currency of the prices.");
    for (size_t i = 0; i < m->n_series; i++) {
        struct hf_prom_label l[] = {{"key", m->series[i].key}, {"model", m->series[i].model}};
        hf_prom_value(p, l, 2, (double)m->series[i].micro / 1e6);
    }
}

static void put_left(struct hf_prom *p, const char *name, const struct hf_gw_budget *b,
                     const struct hf_config_budget *limits)
{
    for (int i = 0; i < HF_GW_LIMITS_; i++) {
        enum hf_gw_limit which = (enum hf_gw_limit)i;
        struct hf_prom_label l[] = {{"key", name}, {"budget", hf_gw_limit_word(which)}};
        if (hf_gw_limit_of(limits, which) < 0)
            continue;
        double left = (double)hf_gw_budget_left(b, limits, which);
        hf_prom_value(p, l, 2, hf_gw_limit_is_money(which) ? left / 1e6 : left);
    }
}

enum hf_code hf_gw_money_metrics(struct hf_gateway *g, struct hf_buf *out)
{
    struct hf_gw_money *m = &g->money;
    struct hf_prom p;
    meet_keys(g);
    hf_prom_init(&p, out);
    put_series(m, &p);
    hf_prom_family(&p, "holdfast_gateway_budget_remaining", "gauge",
                   "What is neither spent nor set aside; money in the currency of the prices.");
    put_left(&p, "(all)", &m->all.budget, &g->conf->budget);
    for (const struct hf_gw_account *a = m->accounts; a != NULL; a = a->next)
        put_left(&p, a->name, &a->budget, limits_of(key_named(&g->plan->keys, a->name)));
    if (m->journal != NULL) {
        struct hf_journal_stats st;
        hf_journal_stats(m->journal, &st);
        hf_prom_family(&p, "holdfast_gateway_journal_up", "gauge",
                       "0 while the usage journal cannot be written.");
        hf_prom_value(&p, NULL, 0, st.is_failing ? 0 : 1);
        hf_prom_family(&p, "holdfast_gateway_journal_dropped_total", "counter",
                       "Usage rows that were lost because the journal could not be written.");
        hf_prom_value(&p, NULL, 0, (double)st.dropped);
    }
    return hf_prom_end(&p, NULL);
}
