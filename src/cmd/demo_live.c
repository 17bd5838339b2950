/*
 * Watches primary, replica and standby at work, about ten times a second.
 *
 * "Behind" is measured against the newest acknowledged commit: for the replica by the time in its
 * newest file, for the standby by the newest commit a reader of the copy sees.
 */
#include <signal.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "cmd/demo.h"
#include "os/file.h"

enum {
    READER_BUSY_MS = 50,
    RATE_SAMPLES = 10,
    THEN_PERCENT = 60,
    STALL_PERCENT = 25,
    PART_MAX_MS = 2000
};

struct watch {
    struct hf_demo *d;
    struct hf_conn *reader; /* of the standby */
    uint64_t start_ms;
    uint64_t first_acked;
    uint64_t newest_txid;
    int64_t newest_ms; /* time in the replica's newest file */
    int64_t standby_ms;
    uint64_t acked[RATE_SAMPLES]; /* a ring */
    uint64_t acked_at_ms[RATE_SAMPLES];
    size_t n_looks;
    bool is_stalled;
};

enum hf_code hf_demo_newest(struct hf_conn *c, uint64_t *seq, int64_t *wall_ms, struct hf_err *err)
{
    int64_t row[2] = {0, 0};
    struct hf_conn_query q = {"SELECT seq, at_ms FROM orders ORDER BY seq DESC LIMIT 1", NULL, 0,
                              row, 2};
    enum hf_code rc = hf_conn_query(c, &q, err);
    if (rc != HF_OK)
        return rc;
    *seq = (uint64_t)row[0];
    *wall_ms = row[1];
    return HF_OK;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

uint32_t hf_demo_percentile(struct hf_demo_samples *s, int percent)
{
    if (s->n == 0)
        return 0;
    qsort(s->ms, s->n, sizeof(s->ms[0]), by_value);
    return s->ms[(s->n - 1) * (size_t)percent / 100];
}

static void note(struct hf_demo_samples *s, uint32_t ms)
{
    if (s->n < HF_DEMO_SAMPLES)
        s->ms[s->n++] = ms;
}

static uint32_t behind(int64_t acked_ms, int64_t have_ms)
{
    int64_t ms = acked_ms - have_ms;
    return ms <= 0 ? 0 : ms > INT32_MAX ? INT32_MAX : (uint32_t)ms;
}

static enum hf_code look_at_replica(struct watch *w, struct hf_err *err)
{
    struct hf_ltx_list list = {0};
    enum hf_code rc = hf_replica_list(w->d->replica, 0, w->newest_txid, &list, err);
    if (rc == HF_OK && list.len > 0) {
        w->newest_txid = list.items[list.len - 1].max_txid;
        w->newest_ms = list.items[list.len - 1].time_ms;
    }
    hf_ltx_list_deinit(&list);
    return rc;
}

/* Over the last second. */
static double rate_of(struct watch *w, uint64_t acked, uint64_t now_ms)
{
    size_t slot = w->n_looks++ % RATE_SAMPLES;
    size_t oldest = w->n_looks > RATE_SAMPLES ? slot : 0;
    uint64_t before = w->acked[oldest];
    uint64_t before_ms = w->acked_at_ms[oldest];
    w->acked[slot] = acked;
    w->acked_at_ms[slot] = now_ms;
    if (w->n_looks == 1 || now_ms <= before_ms)
        return 0;
    return (double)(acked - before) * 1000 / (double)(now_ms - before_ms);
}

static enum hf_code look(struct watch *w, struct hf_demo_look *l, struct hf_err *err)
{
    struct hf_demo *d = w->d;
    struct hf_file_stat st;
    int64_t acked_ms = 0;
    uint64_t seq = 0;
    uint64_t now = hf_clock_mono_ms();
    HF_TRY(hf_demo_acks_read(d->path.acks, &l->acked, &acked_ms, err));
    HF_TRY(look_at_replica(w, err));
    /* A reader that meets a lock keeps its last figure. */
    (void)!hf_demo_newest(w->reader, &seq, &w->standby_ms, NULL);
    l->seconds = (double)(now - w->start_ms) / 1000;
    l->rate = rate_of(w, l->acked, now);
    l->replica_lag_ms = behind(acked_ms, w->newest_ms);
    l->standby_lag_ms = behind(acked_ms, w->standby_ms);
    l->wal_bytes = hf_path_stat(d->path.wal, &st, NULL) == HF_OK ? st.size : 0;
    if (l->wal_bytes > d->facts.wal_peak)
        d->facts.wal_peak = l->wal_bytes;
    note(&d->facts.replica_lag, l->replica_lag_ms);
    note(&d->facts.standby_lag, l->standby_lag_ms);
    return HF_OK;
}

/* What is due at some part of the phase. */
static void at_percent(struct watch *w, int percent)
{
    struct hf_demo *d = w->d;
    if (percent >= THEN_PERCENT && d->facts.then_ms == 0)
        d->facts.then_ms = hf_clock_wall_ms();
    if (d->o.sabotage != HF_DEMO_STALL || w->is_stalled || percent < STALL_PERCENT)
        return;
    hf_child_signal(&d->follower, SIGSTOP);
    w->is_stalled = true;
}

/* Death comes at any moment between two uploads, not always at the same one. */
static uint64_t some_part_ms(int64_t interval_ns)
{
    int64_t ms = interval_ns / 1000000;
    return ms <= 1 ? 0 : hf_random_u32() % (uint32_t)(ms < PART_MAX_MS ? ms : PART_MAX_MS);
}

static enum hf_code watch(struct watch *w, struct hf_err *err)
{
    struct hf_demo *d = w->d;
    uint64_t length_ms = (uint64_t)d->o.seconds * 1000 + some_part_ms(d->o.sync_interval_ns);
    struct hf_demo_look l = {0};
    uint64_t next = w->start_ms;
    while (hf_clock_mono_ms() < w->start_ms + length_ms) {
        HF_TRY(hf_demo_check(d, err));
        HF_TRY(look(w, &l, err));
        if (w->first_acked == 0)
            w->first_acked = l.acked;
        at_percent(w, (int)(l.seconds * 100000 / (double)length_ms));
        hf_demo_live_line(d, &l);
        /* Unevenly, not in step with the sync interval. */
        next += HF_DEMO_SAMPLE_MS / 2 + hf_random_u32() % HF_DEMO_SAMPLE_MS;
        uint64_t now = hf_clock_mono_ms();
        if (now < next)
            hf_clock_sleep_us((next - now) * 1000);
    }
    /* A moment after the replica's end is refused by restore, rightly. */
    if (d->facts.then_ms > w->newest_ms)
        d->facts.then_ms = w->newest_ms;
    d->facts.live_seconds = (double)(hf_clock_mono_ms() - w->start_ms) / 1000;
    if (l.seconds > 0)
        d->facts.rate = (double)(l.acked - w->first_acked) / l.seconds;
    return HF_OK;
}

enum hf_code hf_demo_live(struct hf_demo *d, struct hf_err *err)
{
    struct watch *w = hf_calloc(1, sizeof(*w));
    w->d = d;
    w->start_ms = hf_clock_mono_ms();
    enum hf_code rc = hf_conn_open(d->path.copy, HF_CONN_READ, READER_BUSY_MS, &w->reader, err);
    hf_demo_live_head(d);
    if (rc == HF_OK)
        rc = watch(w, err);
    hf_demo_live_end(d);
    hf_conn_close(w->reader);
    hf_free(w);
    return rc;
}
