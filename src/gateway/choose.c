#include "gateway/choose.h"

#include <string.h>

#include "base/assert.h"

const char *hf_gw_verdict_word(enum hf_gw_verdict v)
{
    static const char *const words[] = {
#define X(name, word) word,
        HF_GW_VERDICTS(X)
#undef X
    };
    hf_assert(v < HF_GW_VERDICTS_);
    return words[v];
}

const char *hf_gw_reason_word(enum hf_gw_reason r)
{
    static const char *const words[] = {"primary", "failover",   "cloud",   "fail-open",
                                        "pin",     "discovered", "override"};
    hf_assert(r < HF_GW_REASONS_);
    return words[r];
}

static enum hf_gw_verdict by_health(enum hf_health_state s)
{
    switch (s) {
    case HF_HEALTH_SUSPECT:
        return HF_GW_IS_SUSPECT;
    case HF_HEALTH_DOWN:
        return HF_GW_IS_DOWN;
    case HF_HEALTH_CONFIG:
        return HF_GW_IS_CONFIG;
    case HF_HEALTH_DRAINED:
        return HF_GW_IS_DRAINED;
    default:
        return HF_GW_SPARE;
    }
}

/* HF_GW_SPARE: it could take the request. */
static enum hf_gw_verdict judge(const struct hf_gw_ask *ask, size_t i)
{
    const struct hf_gw_candidate *c = &ask->route->candidates[i];
    const struct hf_gw_facts *f = &ask->facts[i];
    if (ask->pin != SIZE_MAX && c->host != ask->pin)
        return HF_GW_PINNED;
    if (f->is_cloud && (ask->is_private || ask->route->is_private))
        return HF_GW_IS_PRIVATE;
    if (f->is_tried)
        return HF_GW_TRIED;
    if ((c->when_down & ~ask->down) != 0 && ask->pin == SIZE_MAX)
        return HF_GW_NOT_YET;
    if (f->is_cloud && !ask->may_cloud)
        return HF_GW_NO_CLOUD;
    enum hf_gw_verdict v = by_health(f->health);
    if (v != HF_GW_SPARE)
        return v;
    if (f->model == HF_GW_MODEL_MISSING)
        return HF_GW_HAS_NOT;
    if (f->is_open)
        return HF_GW_IS_OPEN;
    return hf_gw_fit_is_bad(f->fit) ? HF_GW_NO_ROOM : HF_GW_SPARE;
}

static bool is_better(const struct hf_gw_facts *a, const struct hf_gw_facts *b)
{
    bool a_free = a->free_slots > 0;
    bool b_free = b->free_slots > 0;
    if (a_free != b_free)
        return a_free;
    if (a->is_sticky != b->is_sticky)
        return a->is_sticky;
    if ((a->model == HF_GW_MODEL_LOADED) != (b->model == HF_GW_MODEL_LOADED))
        return a->model == HF_GW_MODEL_LOADED;
    if ((a->fit == HF_GW_FIT_SWAP) != (b->fit == HF_GW_FIT_SWAP))
        return b->fit == HF_GW_FIT_SWAP;
    return a->free_slots > b->free_slots;
}

static enum hf_gw_reason reason_of(const struct hf_gw_ask *ask, size_t i)
{
    if (ask->pin != SIZE_MAX)
        return HF_GW_PIN;
    if (ask->facts[i].is_cloud && i > 0)
        return HF_GW_TO_CLOUD;
    if (ask->is_ranked_alike)
        return HF_GW_DISCOVERED;
    return i == 0 ? HF_GW_PRIMARY : HF_GW_FAILOVER;
}

/* The first (or best) candidate with that verdict; SIZE_MAX if none. */
static size_t pick(const struct hf_gw_ask *ask, const struct hf_gw_choice *out,
                   enum hf_gw_verdict want)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < ask->route->n_candidates; i++) {
        if (out->verdicts[i] != want)
            continue;
        if (best == SIZE_MAX ||
            (ask->is_ranked_alike && is_better(&ask->facts[i], &ask->facts[best])))
            best = i;
    }
    return best;
}

/* Waiting for it makes sense, also if this request has tried it. */
static bool may_come_back(const struct hf_gw_ask *ask, size_t i, enum hf_gw_verdict v)
{
    const struct hf_gw_facts *f = &ask->facts[i];
    if (v == HF_GW_PINNED || v == HF_GW_NO_CLOUD || v == HF_GW_NOT_YET || v == HF_GW_IS_PRIVATE)
        return false;
    return f->is_open || f->health == HF_HEALTH_SUSPECT || f->health == HF_HEALTH_DOWN ||
           f->health == HF_HEALTH_DRAINED;
}

void hf_gw_choose(const struct hf_gw_ask *ask, struct hf_gw_choice *out)
{
    hf_assert(ask->route != NULL && ask->route->n_candidates <= HF_GW_CANDIDATES);
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < ask->route->n_candidates; i++) {
        out->verdicts[i] = judge(ask, i);
        out->may_come_back = out->may_come_back || may_come_back(ask, i, out->verdicts[i]);
    }
    size_t best = pick(ask, out, HF_GW_SPARE);
    size_t tight = pick(ask, out, HF_GW_NO_ROOM);
    if (tight != SIZE_MAX && (best == SIZE_MAX || (ask->facts[best].is_cloud && best > tight)))
        best = tight;
    bool is_open = best == SIZE_MAX;
    if (is_open)
        best = pick(ask, out, HF_GW_IS_SUSPECT);
    if (best == SIZE_MAX)
        return;
    out->is_found = true;
    out->candidate = best;
    out->reason = is_open ? HF_GW_FAIL_OPEN : reason_of(ask, best);
    out->verdicts[best] = HF_GW_TAKEN;
}
