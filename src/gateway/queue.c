#include "gateway/queue.h"

#include "base/assert.h"

enum { SHARE_FROM = 4 /* lanes shorter than this are nobody's problem */ };

void hf_gwq_init(struct hf_gwq_lane *lane, size_t max, size_t *total, size_t total_max)
{
    hf_assert(max > 0 && total != NULL);
    *lane = (struct hf_gwq_lane){.max = max, .total = total, .total_max = total_max};
}

static size_t count_of(const struct hf_gwq_lane *lane, uint64_t client)
{
    size_t n = 0;
    for (const struct hf_gwq_entry *e = lane->first; e != NULL; e = e->next)
        n += e->client == client ? 1 : 0;
    return n;
}

enum hf_code hf_gwq_push(struct hf_gwq_lane *lane, struct hf_gwq_entry *e, struct hf_err *err)
{
    hf_assert(e->lane == NULL);
    if (lane->n >= lane->max)
        return hf_err_set(err, HF_E_BUSY, "%zu requests wait for this model already", lane->n);
    if (*lane->total >= lane->total_max)
        return hf_err_set(err, HF_E_BUSY, "%zu requests wait already", *lane->total);
    if (lane->n >= SHARE_FROM && lane->max >= SHARE_FROM &&
        count_of(lane, e->client) >= (lane->max + 1) / 2)
        return hf_err_set(err, HF_E_BUSY,
                          "this client has taken its share (half) of the queue of this model");
    e->lane = lane;
    e->next = NULL;
    e->prev = lane->last;
    if (lane->last != NULL)
        lane->last->next = e;
    else
        lane->first = e;
    lane->last = e;
    lane->n++;
    ++*lane->total;
    return HF_OK;
}

void hf_gwq_remove(struct hf_gwq_entry *e)
{
    struct hf_gwq_lane *lane = e->lane;
    if (lane == NULL)
        return;
    hf_assert(lane->n > 0 && *lane->total > 0);
    if (e->prev != NULL)
        e->prev->next = e->next;
    else
        lane->first = e->next;
    if (e->next != NULL)
        e->next->prev = e->prev;
    else
        lane->last = e->prev;
    lane->n--;
    --*lane->total;
    e->lane = NULL;
    e->next = e->prev = NULL;
}

static struct hf_gwq_turn *turn_of(struct hf_gwq_lane *lane, uint64_t client)
{
    for (size_t i = 0; i < lane->n_turns; i++) {
        if (lane->turns[i].client == client)
            return &lane->turns[i];
    }
    return NULL;
}

static uint64_t served(struct hf_gwq_lane *lane, uint64_t client)
{
    const struct hf_gwq_turn *t = turn_of(lane, client);
    return t == NULL ? 0 : t->served;
}

static void note_served(struct hf_gwq_lane *lane, uint64_t client)
{
    struct hf_gwq_turn *t = turn_of(lane, client);
    if (t == NULL && lane->n_turns < HF_GWQ_CLIENTS)
        t = &lane->turns[lane->n_turns++];
    if (t == NULL) { /* forget who was served longest ago */
        t = &lane->turns[0];
        for (size_t i = 1; i < lane->n_turns; i++)
            t = lane->turns[i].served < t->served ? &lane->turns[i] : t;
    }
    *t = (struct hf_gwq_turn){client, ++lane->serial};
}

static enum hf_gwq_class class_now(const struct hf_gwq_entry *e, uint64_t now_ms)
{
    return now_ms - e->since_ms >= HF_GWQ_AGE_MS ? HF_GWQ_INTERACTIVE : e->class_;
}

struct hf_gwq_entry *hf_gwq_pop(struct hf_gwq_lane *lane, uint64_t now_ms)
{
    struct hf_gwq_entry *best = NULL;
    for (struct hf_gwq_entry *e = lane->first; e != NULL; e = e->next) {
        if (best == NULL || class_now(e, now_ms) < class_now(best, now_ms) ||
            (class_now(e, now_ms) == class_now(best, now_ms) &&
             served(lane, e->client) < served(lane, best->client)))
            best = e;
    }
    if (best == NULL)
        return NULL;
    note_served(lane, best->client);
    hf_gwq_remove(best);
    return best;
}

struct hf_gwq_entry *hf_gwq_expired(struct hf_gwq_lane *lane, uint64_t now_ms)
{
    for (struct hf_gwq_entry *e = lane->first; e != NULL; e = e->next) {
        if (now_ms >= e->deadline_ms) {
            hf_gwq_remove(e);
            return e;
        }
    }
    return NULL;
}
