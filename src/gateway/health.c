#include "gateway/health.h"

#include "base/assert.h"

struct move {
    enum hf_health_state from;
    enum hf_health_event event;
    enum hf_health_state to;
    int at_least; /* only after so many of its kind in a row: good for PROBE_OK, failed else */
    const char *reason;
};

/* What is in no row changes nothing. The first row that fits counts. */
static const struct move health_moves[] = {
    {HF_HEALTH_NEW, HF_HEALTH_PROBE_OK, HF_HEALTH_UP, 1, "answers health checks"},
    {HF_HEALTH_NEW, HF_HEALTH_PROBE_FAILED, HF_HEALTH_SUSPECT, 1, "first health check failed"},
    {HF_HEALTH_NEW, HF_HEALTH_REFUSED, HF_HEALTH_SUSPECT, 1, "a request could not reach it"},
    {HF_HEALTH_NEW, HF_HEALTH_DENIED, HF_HEALTH_CONFIG, 1, "refuses us: key or host check"},
    {HF_HEALTH_UP, HF_HEALTH_PROBE_FAILED, HF_HEALTH_SUSPECT, 1, "a health check failed"},
    {HF_HEALTH_UP, HF_HEALTH_REFUSED, HF_HEALTH_SUSPECT, 1, "a request could not reach it"},
    {HF_HEALTH_UP, HF_HEALTH_DENIED, HF_HEALTH_CONFIG, 1, "refuses us: key or host check"},
    {HF_HEALTH_SUSPECT, HF_HEALTH_PROBE_OK, HF_HEALTH_UP, 1, "answers again"},
    {HF_HEALTH_SUSPECT, HF_HEALTH_PROBE_FAILED, HF_HEALTH_DOWN, 2, "failed twice"},
    {HF_HEALTH_SUSPECT, HF_HEALTH_REFUSED, HF_HEALTH_DOWN, 2, "failed twice"},
    {HF_HEALTH_SUSPECT, HF_HEALTH_DENIED, HF_HEALTH_CONFIG, 1, "refuses us: key or host check"},
    {HF_HEALTH_DOWN, HF_HEALTH_PROBE_OK, HF_HEALTH_RECOVERING, HF_HEALTH_RISE,
     "answers again: slow start"},
    {HF_HEALTH_DOWN, HF_HEALTH_DENIED, HF_HEALTH_CONFIG, 1, "refuses us: key or host check"},
    {HF_HEALTH_RECOVERING, HF_HEALTH_PROBE_FAILED, HF_HEALTH_DOWN, 1, "failed in slow start"},
    {HF_HEALTH_RECOVERING, HF_HEALTH_REFUSED, HF_HEALTH_DOWN, 1, "failed in slow start"},
    {HF_HEALTH_RECOVERING, HF_HEALTH_DENIED, HF_HEALTH_CONFIG, 1, "refuses us: key or host check"},
    {HF_HEALTH_CONFIG, HF_HEALTH_PROBE_OK, HF_HEALTH_UP, 1, "accepts us again"},
    {HF_HEALTH_CONFIG, HF_HEALTH_PROBE_FAILED, HF_HEALTH_DOWN, 2, "failed twice"},
    {HF_HEALTH_NEW, HF_HEALTH_DRAIN, HF_HEALTH_DRAINED, 0, "taken out by an override"},
    {HF_HEALTH_UP, HF_HEALTH_DRAIN, HF_HEALTH_DRAINED, 0, "taken out by an override"},
    {HF_HEALTH_SUSPECT, HF_HEALTH_DRAIN, HF_HEALTH_DRAINED, 0, "taken out by an override"},
    {HF_HEALTH_DOWN, HF_HEALTH_DRAIN, HF_HEALTH_DRAINED, 0, "taken out by an override"},
    {HF_HEALTH_RECOVERING, HF_HEALTH_DRAIN, HF_HEALTH_DRAINED, 0, "taken out by an override"},
    {HF_HEALTH_CONFIG, HF_HEALTH_DRAIN, HF_HEALTH_DRAINED, 0, "taken out by an override"},
    {HF_HEALTH_DRAINED, HF_HEALTH_UNDRAIN, HF_HEALTH_NEW, 0, "the override ended"},
};

static const char *const state_words[HF_HEALTH_STATES_] = {
    "new", "up", "suspect", "down", "recovering", "config-error", "drained",
};

static const char *const event_words[HF_HEALTH_EVENTS_] = {
    "probe ok", "probe failed", "refused", "denied", "drain", "undrain",
};

const char *hf_health_word(enum hf_health_state s)
{
    hf_assert(s < HF_HEALTH_STATES_);
    return state_words[s];
}

const char *hf_health_event_word(enum hf_health_event e)
{
    hf_assert(e < HF_HEALTH_EVENTS_);
    return event_words[e];
}

void hf_health_init(struct hf_health *h, uint64_t now_ms)
{
    *h = (struct hf_health){.since_ms = now_ms, .next_probe_ms = now_ms, .reason = "just started"};
}

static uint64_t backoff(int failed)
{
    uint64_t wait = HF_HEALTH_BACKOFF_MS;
    for (int i = 2; i < failed && wait < HF_HEALTH_BACKOFF_MAX; i++)
        wait *= 2;
    return wait < HF_HEALTH_BACKOFF_MAX ? wait : HF_HEALTH_BACKOFF_MAX;
}

static uint64_t probe_wait(const struct hf_health *h, uint64_t interval_ms)
{
    uint64_t fast = interval_ms < HF_HEALTH_FAST_MS ? interval_ms : HF_HEALTH_FAST_MS;
    switch (h->state) {
    case HF_HEALTH_SUSPECT:
        return h->failed <= 1 ? 0 : fast;
    case HF_HEALTH_DOWN:
        return h->good > 0 ? fast : backoff(h->failed);
    case HF_HEALTH_RECOVERING:
        return fast;
    case HF_HEALTH_CONFIG:
        return HF_HEALTH_CONFIG_MS;
    default:
        return interval_ms;
    }
}

static const struct move *find(const struct hf_health *h, enum hf_health_event ev)
{
    int n = ev == HF_HEALTH_PROBE_OK ? h->good : h->failed;
    for (size_t i = 0; i < HF_ARRAY_LEN(health_moves); i++) {
        const struct move *m = &health_moves[i];
        if (m->from == h->state && m->event == ev && n >= m->at_least)
            return m;
    }
    return NULL;
}

static void count(struct hf_health *h, enum hf_health_event ev, uint64_t now_ms)
{
    if (ev == HF_HEALTH_PROBE_OK) {
        h->good++;
        h->failed = 0;
        h->last_ok_ms = now_ms;
    } else if (ev == HF_HEALTH_PROBE_FAILED || ev == HF_HEALTH_REFUSED || ev == HF_HEALTH_DENIED) {
        h->failed++;
        h->good = 0;
    }
}

bool hf_health_step(struct hf_health *h, enum hf_health_event ev, uint64_t interval_ms,
                    uint64_t now_ms, uint32_t jitter)
{
    hf_assert(ev < HF_HEALTH_EVENTS_ && h->state < HF_HEALTH_STATES_);
    count(h, ev, now_ms);
    const struct move *m = find(h, ev);
    if (m != NULL) {
        h->state = m->to;
        h->since_ms = now_ms;
        h->reason = m->reason;
        if (ev == HF_HEALTH_UNDRAIN)
            h->good = h->failed = 0;
    }
    uint64_t wait = ev == HF_HEALTH_UNDRAIN ? 0 : probe_wait(h, interval_ms);
    h->next_probe_ms = now_ms + wait * 3 / 4 + (wait > 1 ? jitter % (wait / 2 + 1) : 0);
    return m != NULL;
}

bool hf_health_tick(struct hf_health *h, uint64_t now_ms)
{
    if (h->state != HF_HEALTH_RECOVERING || now_ms - h->since_ms < HF_HEALTH_SLOW_MS)
        return false;
    h->state = HF_HEALTH_UP;
    h->since_ms = now_ms;
    h->reason = "slow start is over";
    return true;
}

bool hf_health_is_routable(const struct hf_health *h)
{
    return h->state == HF_HEALTH_NEW || h->state == HF_HEALTH_UP ||
           h->state == HF_HEALTH_RECOVERING;
}

bool hf_health_is_down(const struct hf_health *h)
{
    return h->state == HF_HEALTH_DOWN || h->state == HF_HEALTH_SUSPECT ||
           h->state == HF_HEALTH_DRAINED;
}

int64_t hf_health_cap(const struct hf_health *h, uint64_t now_ms)
{
    if (h->state != HF_HEALTH_RECOVERING)
        return 0;
    uint64_t step = (now_ms - h->since_ms) / (HF_HEALTH_SLOW_MS / 6);
    return INT64_C(1) << (step < 6 ? step : 6);
}

enum hf_code hf_health_table(struct hf_buf *out, struct hf_err *err)
{
    HF_TRY(hf_buf_appendf(out, err, "stateDiagram-v2\n"));
    for (size_t i = 0; i < HF_ARRAY_LEN(health_moves); i++) {
        const struct move *m = &health_moves[i];
        HF_TRY(hf_buf_appendf(out, err, "    %s --> %s: %s (%s)\n", state_words[m->from],
                              state_words[m->to], event_words[m->event], m->reason));
    }
    return HF_OK;
}
