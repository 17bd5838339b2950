#include "replica/times.h"

#include "base/assert.h"

/* The first of items[0..n), one level's, that is later than wanted_ms; what was read is exact. */
static enum hf_code first_later(struct hf_replica *r, struct hf_ltx_info *items, size_t n,
                                int64_t wanted_ms, size_t *first, struct hf_err *err)
{
    size_t low = 0;
    size_t high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct hf_ltx_header h;
        HF_TRY(hf_replica_read_header(r, &items[middle], &h, err));
        items[middle].time_ms = h.timestamp_ms;
        if (h.timestamp_ms <= wanted_ms)
            low = middle + 1;
        else
            high = middle;
    }
    *first = low;
    return HF_OK;
}

static enum hf_code settle_level(struct hf_replica *r, struct hf_ltx_info *items, size_t n,
                                 int64_t wanted_ms, struct hf_err *err)
{
    size_t first = 0;
    HF_TRY(first_later(r, items, n, wanted_ms, &first, err));
    for (size_t i = 0; i < first; i++) {
        /* The one before the first later one was read, or is it. */
        int64_t bound = items[first - 1].time_ms;
        items[i].time_ms = items[i].time_ms < bound ? items[i].time_ms : bound;
    }
    for (size_t i = first; i < n; i++) {
        int64_t bound = items[first].time_ms;
        items[i].time_ms = items[i].time_ms > bound ? items[i].time_ms : bound;
    }
    return HF_OK;
}

enum hf_code hf_replica_settle_times(struct hf_replica *r, struct hf_ltx_list *all,
                                     int64_t wanted_ms, struct hf_err *err)
{
    if (hf_store_times(hf_replica_store(r)) == HF_STORE_TIMES_EXACT)
        return HF_OK;
    for (size_t i = 0; i < all->len;) {
        size_t n = 1;
        while (i + n < all->len && all->items[i + n].level == all->items[i].level)
            n++;
        HF_TRY(settle_level(r, all->items + i, n, wanted_ms, err));
        i += n;
    }
    return HF_OK;
}
