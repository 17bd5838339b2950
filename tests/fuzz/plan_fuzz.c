/*
 * Any listing, any target: the plan is a chain from the start to the target, or an error with a
 * text and no plan; and retention never takes away the newest state.
 *
 * Input: target kind u8, target u16, then six bytes a file: level, min, length, time u16, size.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "replica/compact.h"
#include "replica/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 3, FILE_BYTES = 6, TIME_UNIT = 1000 };

static void parse(const uint8_t *data, size_t size, struct hf_ltx_list *all)
{
    for (; size >= FILE_BYTES; data += FILE_BYTES, size -= FILE_BYTES) {
        struct hf_ltx_info f = {.level = data[0] % 10, .min_txid = 1 + data[1]};
        f.max_txid = f.min_txid + data[2];
        if (data[2] == 0xff)
            f.max_txid = UINT64_MAX - data[3];
        f.time_ms = (int64_t)hf_be16(data + 3) * TIME_UNIT;
        f.size = data[5] == 0xff ? UINT64_MAX : (uint64_t)data[5] * 1024;
        hf_ltx_list_push(all, &f);
    }
}

static uint64_t check_chain(const struct hf_ltx_list *plan, uint64_t cur)
{
    for (size_t i = 0; i < plan->len; i++) {
        hf_assert(plan->items[i].min_txid <= cur + 1);
        hf_assert(plan->items[i].max_txid > cur);
        cur = plan->items[i].max_txid;
    }
    return cur;
}

static void check_restore(const struct hf_ltx_list *all, struct hf_restore_target target)
{
    struct hf_ltx_list plan = {NULL, 0, 0};
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = hf_plan_restore(all, &target, &plan, &err);
    hf_assert((rc == HF_OK) == (plan.len > 0));
    hf_assert((rc == HF_OK) == (err.text[0] == '\0'));
    if (rc == HF_OK) {
        uint64_t end = check_chain(&plan, 0);
        hf_assert(target.kind != HF_TARGET_TXID || end == target.txid);
        for (size_t i = 0; i < plan.len && target.kind == HF_TARGET_TIME; i++)
            hf_assert(plan.items[i].time_ms <= target.time_ms);
    }
    hf_ltx_list_deinit(&plan);
}

static void check_follow(const struct hf_ltx_list *all, uint64_t cur)
{
    struct hf_ltx_list plan = {NULL, 0, 0};
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = hf_plan_follow(all, cur, &plan, &err);
    hf_assert(rc == HF_OK || plan.len == 0);
    if (rc == HF_OK)
        hf_assert(check_chain(&plan, cur) == hf_plan_reach(all, cur));
    hf_ltx_list_deinit(&plan);
}

static bool is_picked(const struct hf_ltx_list *gone, const struct hf_ltx_info *f)
{
    for (size_t i = 0; i < gone->len; i++) {
        const struct hf_ltx_info *g = &gone->items[i];
        if (g->level == f->level && g->min_txid == f->min_txid && g->max_txid == f->max_txid)
            return true;
    }
    return false;
}

static void check_retention(const struct hf_ltx_list *all, int64_t now_ms)
{
    struct hf_retention policy = {true, 10 * TIME_UNIT, 200 * TIME_UNIT};
    struct hf_ltx_list gone = {NULL, 0, 0};
    struct hf_ltx_list left = {NULL, 0, 0};
    hf_retention_pick(all, &policy, now_ms, false, &gone);
    for (size_t i = 0; i < all->len; i++) {
        if (!is_picked(&gone, &all->items[i]))
            hf_ltx_list_push(&left, &all->items[i]);
    }
    hf_assert(hf_plan_reach(&left, 0) == hf_plan_reach(all, 0));
    hf_ltx_list_deinit(&gone);
    hf_ltx_list_deinit(&left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD || size > HEAD + FILE_BYTES * 64)
        return 0;
    struct hf_ltx_list all = {NULL, 0, 0};
    uint16_t value = hf_be16(data + 1);
    struct hf_restore_target target = {(enum hf_target_kind)(data[0] % 3), value,
                                       (int64_t)value * TIME_UNIT};
    parse(data + HEAD, size - HEAD, &all);
    check_restore(&all, target);
    check_follow(&all, 1 + value % 300);
    check_retention(&all, (int64_t)value * TIME_UNIT);
    hf_ltx_list_deinit(&all);
    return 0;
}
