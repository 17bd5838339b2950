#include "replica/pace.h"

#include "base/assert.h"

enum {
    FARTHER = 32,        /* each trial in vain puts the next one so many times as far off */
    CLEARLY_TENTHS = 13, /* noise of a shared machine is less than 1.3 times */
};

#define PATIENCE_MAX (64ull << 30)
#define NS 1000000000ull

static void begin_stretch(struct hf_pace *p, uint64_t now_ns)
{
    p->from = p->at;
    p->from_ns = now_ns;
    p->waited_ns = 0;
}

void hf_pace_init(struct hf_pace *p, uint64_t size, uint64_t now_ns)
{
    *p = (struct hf_pace){.way = HF_PACE_STREAM, .size = size, .patience = HF_PACE_PROBE};
    begin_stretch(p, now_ns);
}

static uint64_t rate_of(const struct hf_pace *p, uint64_t now_ns)
{
    uint64_t us = (now_ns - p->from_ns) / 1000;
    return (p->at - p->from) * (NS / 1000) / (us > 0 ? us : 1);
}

static bool judge_stream(struct hf_pace *p, uint64_t now_ns)
{
    bool is_reader_slow = p->waited_ns < (now_ns - p->from_ns) / 2;
    p->stream_rate = rate_of(p, now_ns);
    begin_stretch(p, now_ns);
    if (is_reader_slow)
        return false;
    p->way = HF_PACE_RANGES;
    p->until = p->at + HF_PACE_PROBE;
    return true;
}

static bool judge_ranges(struct hf_pace *p, uint64_t now_ns)
{
    if (rate_of(p, now_ns) * 10 > p->stream_rate * CLEARLY_TENTHS) {
        p->until = p->size;
        return true;
    }
    p->way = HF_PACE_STREAM;
    p->patience = p->patience * FARTHER < PATIENCE_MAX ? p->patience * FARTHER : PATIENCE_MAX;
    begin_stretch(p, now_ns);
    return true;
}

bool hf_pace_read(struct hf_pace *p, uint64_t n, uint64_t waited_ns, uint64_t now_ns)
{
    hf_assert(p->at + n <= p->size && now_ns >= p->from_ns);
    p->at += n;
    p->waited_ns += waited_ns;
    if (p->way == HF_PACE_RANGES)
        return p->at >= p->until && p->until < p->size && judge_ranges(p, now_ns);
    bool is_time = p->at - p->from >= p->patience && p->size - p->at > 2ull * HF_PACE_PROBE;
    return is_time && judge_stream(p, now_ns);
}
