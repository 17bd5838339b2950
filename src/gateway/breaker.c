#include "gateway/breaker.h"

#include "base/assert.h"

const char *hf_breaker_word(enum hf_breaker_state s)
{
    static const char *const words[] = {"closed", "open", "half-open"};
    hf_assert(s <= HF_BREAKER_HALF_OPEN);
    return words[s];
}

bool hf_breaker_allows(struct hf_breaker *b, uint64_t now_ms)
{
    if (b->state == HF_BREAKER_OPEN && now_ms >= b->until_ms) {
        b->state = HF_BREAKER_HALF_OPEN;
        b->good = 0;
        b->is_trying = false;
    }
    return b->state == HF_BREAKER_CLOSED || (b->state == HF_BREAKER_HALF_OPEN && !b->is_trying);
}

void hf_breaker_sent(struct hf_breaker *b)
{
    b->is_trying = b->state == HF_BREAKER_HALF_OPEN;
}

void hf_breaker_dropped(struct hf_breaker *b)
{
    b->is_trying = false;
}

static void open_it(struct hf_breaker *b, uint64_t now_ms, uint32_t jitter)
{
    uint64_t wait = HF_BREAKER_OPEN_MS;
    for (int i = 0; i < b->openings && wait < HF_BREAKER_OPEN_MAX; i++)
        wait *= 2;
    wait = wait < HF_BREAKER_OPEN_MAX ? wait : HF_BREAKER_OPEN_MAX;
    b->openings++;
    b->state = HF_BREAKER_OPEN;
    b->until_ms = now_ms + wait * 4 / 5 + jitter % (wait * 2 / 5);
    b->row = b->total = b->failed = 0;
}

static void close_it(struct hf_breaker *b, uint64_t now_ms)
{
    *b = (struct hf_breaker){.state = HF_BREAKER_CLOSED, .window_ms = now_ms};
}

static void count(struct hf_breaker *b, bool is_ok, uint64_t now_ms)
{
    if (now_ms - b->window_ms > HF_BREAKER_WINDOW_MS) {
        b->window_ms = now_ms;
        b->total = b->failed = 0;
    }
    b->total++;
    b->failed += is_ok ? 0 : 1;
    b->row = is_ok ? 0 : b->row + 1;
}

bool hf_breaker_result(struct hf_breaker *b, bool is_ok, uint64_t now_ms, uint32_t jitter)
{
    b->is_trying = false;
    count(b, is_ok, now_ms);
    if (b->state == HF_BREAKER_HALF_OPEN) {
        b->good += is_ok ? 1 : 0;
        if (!is_ok)
            open_it(b, now_ms, jitter);
        else if (b->good >= HF_BREAKER_CLOSE_AFTER)
            close_it(b, now_ms);
        return !is_ok || b->state == HF_BREAKER_CLOSED;
    }
    bool is_bad = b->row >= HF_BREAKER_ROW ||
                  (b->total >= HF_BREAKER_WINDOW_MIN && b->failed * 2 >= b->total);
    if (b->state != HF_BREAKER_CLOSED || is_ok || !is_bad)
        return false;
    open_it(b, now_ms, jitter);
    return true;
}

void hf_breaker_hold(struct hf_breaker *b, uint64_t until_ms)
{
    if (b->state != HF_BREAKER_OPEN || b->until_ms < until_ms)
        b->until_ms = until_ms;
    b->state = HF_BREAKER_OPEN;
}
