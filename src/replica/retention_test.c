#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "replica/compact.h"
#include "replica/kit_test.h"
#include "replica/plan.h"

/* Listings are words "level:min-max@time" (decimal TXIDs, seconds). */
static struct hf_ltx_list parse(const char *text)
{
    struct hf_ltx_list l = {NULL, 0, 0};
    const char *p = text;
    while (*p != '\0') {
        struct hf_ltx_info f = {.size = 100};
        char *end;
        f.level = (int)strtol(p, &end, 10);
        f.min_txid = f.max_txid = strtoull(end + 1, &end, 10);
        if (*end == '-')
            f.max_txid = strtoull(end + 1, &end, 10);
        f.time_ms = 1000 * strtoll(end + 1, &end, 10);
        hf_ltx_list_push(&l, &f);
        p = end + strspn(end, " ");
    }
    return l;
}

static void print(const struct hf_ltx_list *l, char *out, size_t cap)
{
    out[0] = '\0';
    for (size_t i = 0; i < l->len; i++) {
        const struct hf_ltx_info *f = &l->items[i];
        size_t n = strlen(out);
        snprintf(out + n, cap - n, "%s%d:%llu-%llu", n ? " " : "", f->level,
                 (unsigned long long)f->min_txid, (unsigned long long)f->max_txid);
    }
}

/* now is 1000 s, l0-retention 100 s, snapshot retention 500 s (the window begins at 500). */
static void test_decisions(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *all;
        const char *want;
    } rows[] = {
        {"nothing", "", ""},
        {"L0 in L1 and old", "0:1@1 0:2@2 0:3@3 1:1-2@2", "0:1-1 0:2-2"},
        {"L0 not compacted yet stays, however old", "0:1@1 0:2@2 0:3@3", ""},
        {"young L0 stays", "0:1@950 0:2@960 1:1-2@960", ""},
        {"the scan ends at the first that is too young", "0:1@1 0:2@950 0:3@3 0:4@999 1:1-4@999",
         "0:1-1"},
        {"the newest L0 stays: Litestream's position", "0:1@1 0:2@2 1:1-2@2", "0:1-1"},
        {"L0 that L1 has not although L1 goes further", "0:1@1 0:3@1 0:4@1 0:9@2 1:1-2@2 1:4-8@2",
         "0:1-1 0:4-4"},
        {"L0 held by L2 after L1 lost it", "0:1@1 0:2@2 0:3@3 2:1-2@2", "0:1-1 0:2-2"},
        {"L0 held by a snapshot only stays while L1 may still take it",
         "0:1@1 0:2@2 0:3@3 0:4@3 1:1-1@1 9:1-3@2", "0:1-1"},
        {"L0 held by a snapshot that L1 began behind", "0:1@1 0:2@2 0:3@3 0:4@3 1:3-3@3 9:1-2@2",
         "0:1-1 0:2-2 0:3-3"},
        {"L0 held by a snapshot that L1 will begin behind", "0:1@1 0:2@2 0:3@3 9:1-2@2",
         "0:1-1 0:2-2"},

        {"the only snapshot stays", "9:1-5@1", ""},
        {"the window's base stays, older ones go", "9:1-5@100 9:1-6@200 9:1-7@400 9:1-8@900",
         "9:1-5 9:1-6"},
        {"a snapshot as old as the window and one in it: both needed", "9:1-5@100 9:1-8@600", ""},
        {"all snapshots are young", "9:1-5@600 9:1-8@900", ""},
        {"all are old: the newest stays", "9:1-5@100 9:1-8@200 9:1-9@300", "9:1-5 9:1-8"},
        {"increments before the base go, behind it stay",
         "1:1-3@50 1:4-5@99 1:6-8@300 1:9-9@450 9:1-5@100 9:1-9@450 2:1-5@99 2:6-9@450",
         "1:1-3 1:4-5 1:6-8 9:1-5 2:1-5"},
        {"an increment that ends at the base stays one round", "1:4-7@400 1:8-9@700 9:1-7@400", ""},
        {"the newest of a level stays although the base has it all", "1:1-3@50 3:1-3@50 9:1-9@450",
         ""},
        {"the first compacted file is a base, too: times before the first snapshot stay kept",
         "1:1-2@100 1:3-5@300 1:6-8@700 9:1-8@700", ""},
        {"no base is old enough: nothing goes", "1:3-5@100 1:6-8@200 9:1-8@700", ""},
        {"files from the future stay", "9:1-5@100 1:3-4@2000 1:5-6@50 9:1-9@400 1:9-9@600",
         "9:1-5 1:5-6"},
    };
    struct hf_retention policy = {true, 100000, 500000};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_ltx_list all = parse(rows[i].all);
        struct hf_ltx_list out = {NULL, 0, 0};
        char got[600];
        hf_retention_pick(&all, &policy, 1000000, false, &out);
        print(&out, got, sizeof(got));
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: picked '%s', want '%s'", rows[i].why, got, rows[i].want);
        hf_ltx_list_deinit(&all);
        hf_ltx_list_deinit(&out);
    }
}

static void test_policy(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct hf_retention policy;
        bool l0_only;
        size_t want;
    } rows[] = {
        {"retention.enabled false deletes nothing", {false, 0, 0}, false, 0},
        {"L0 only", {true, 100000, 500000}, true, 2},
        {"everything", {true, 100000, 500000}, false, 3},
        {"l0-retention 0: as soon as compacted", {true, 0, 5000000}, false, 3},
        {"retention 0: the newest snapshot only", {true, 100000, 0}, false, 4},
        {"a long retention keeps all", {true, 5000000, 5000000}, false, 0},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_ltx_list all =
            parse("0:1@1 0:2@2 0:3@980 0:4@990 1:1-3@980 9:1-1@1 9:1-2@2 9:1-3@980");
        struct hf_ltx_list out = {NULL, 0, 0};
        hf_retention_pick(&all, &rows[i].policy, 1000000, rows[i].l0_only, &out);
        if (out.len != rows[i].want)
            fail_msg("%s: %zu picked", rows[i].why, out.len);
        hf_ltx_list_deinit(&all);
        hf_ltx_list_deinit(&out);
    }
}

/* ---- property: any history, any retention, any crash in the middle of it ---- */

enum { WINDOW_MS = 200000, L0_MS = 20000, STEPS = 400, MAX_FILES = 8192 };

struct history {
    struct hf_ltx_list all;
    uint64_t txid;
    int64_t now_ms;
    uint64_t x;
};

static uint64_t roll(struct history *h, uint64_t below)
{
    h->x ^= h->x << 13;
    h->x ^= h->x >> 7;
    h->x ^= h->x << 17;
    return (h->x >> 11) % below;
}

static uint64_t level_max(const struct history *h, int level)
{
    uint64_t max = 0;
    for (size_t i = 0; i < h->all.len; i++) {
        if (h->all.items[i].level == level && h->all.items[i].max_txid > max)
            max = h->all.items[i].max_txid;
    }
    return max;
}

static void add(struct history *h, int level, uint64_t min, uint64_t max, int64_t time_ms)
{
    struct hf_ltx_info f = {.level = level,
                            .min_txid = min,
                            .max_txid = max,
                            .size = 100 + (max - min) * 10,
                            .time_ms = time_ms};
    hf_ltx_list_push(&h->all, &f);
}

/* As hf_compact_level does it. */
static void history_compact(struct history *h, int level)
{
    uint64_t have = level_max(h, level);
    uint64_t min = UINT64_MAX;
    uint64_t max = 0;
    int64_t time_ms = 0;
    for (size_t i = 0; i < h->all.len; i++) {
        const struct hf_ltx_info *f = &h->all.items[i];
        if (f->level != level - 1 || f->max_txid <= have)
            continue;
        min = f->min_txid < min ? f->min_txid : min;
        if (f->max_txid > max) {
            max = f->max_txid;
            time_ms = f->time_ms;
        }
    }
    if (max > 0)
        add(h, level, min, max, time_ms);
}

static void history_snapshot(struct history *h)
{
    if (h->txid > level_max(h, HF_LEVEL_SNAPSHOT))
        add(h, HF_LEVEL_SNAPSHOT, 1, h->txid, h->now_ms);
}

static bool restorable(const struct hf_ltx_list *all, struct hf_restore_target t, uint64_t *txid)
{
    struct hf_ltx_list plan = {NULL, 0, 0};
    struct hf_err err = HF_ERR_INIT;
    bool is_ok = hf_plan_restore(all, &t, &plan, &err) == HF_OK;
    if (is_ok && txid != NULL)
        *txid = plan.items[plan.len - 1].max_txid;
    hf_ltx_list_deinit(&plan);
    return is_ok;
}

/* What must hold between the listing before a retention run and what is left after it. */
static void check_left(const struct history *h, const struct hf_ltx_list *left, unsigned seed)
{
    struct hf_restore_target latest = {HF_TARGET_LATEST, 0, 0};
    if (!restorable(left, latest, NULL))
        fail_msg("seed %u: the newest state is lost", seed);
    uint64_t newest_l0 = 0;
    uint64_t newest_l9 = 0;
    for (size_t i = 0; i < left->len; i++) {
        const struct hf_ltx_info *f = &left->items[i];
        if (f->level == 0 && f->max_txid > newest_l0)
            newest_l0 = f->max_txid;
        if (f->level == HF_LEVEL_SNAPSHOT && f->max_txid > newest_l9)
            newest_l9 = f->max_txid;
        if (hf_plan_reach(left, f->max_txid) != h->txid)
            fail_msg("seed %u: a copy at %llu cannot go on", seed, (unsigned long long)f->max_txid);
    }
    assert_int_equal(newest_l0, level_max(h, 0));
    assert_int_equal(newest_l9, level_max(h, HF_LEVEL_SNAPSHOT));
    /* Every moment of the window: restorable as before, to a state not older than the resolution of
     * the lowest compacted level allows; what L0 gave may become coarser, nothing else. */
    struct hf_ltx_list coarse = {NULL, 0, 0};
    for (size_t i = 0; i < h->all.len; i++) {
        if (h->all.items[i].level > 0 || h->all.items[i].time_ms > h->now_ms - L0_MS)
            hf_ltx_list_push(&coarse, &h->all.items[i]);
    }
    for (int64_t t = h->now_ms - WINDOW_MS; t <= h->now_ms; t += 7000) {
        struct hf_restore_target at = {HF_TARGET_TIME, 0, t};
        uint64_t before = 0;
        uint64_t after = 0;
        if (!restorable(&coarse, at, &before))
            continue;
        if (!restorable(left, at, &after) || after < before)
            fail_msg("seed %u: time %lld gave TXID %llu, now %llu", seed, (long long)t,
                     (unsigned long long)before, (unsigned long long)after);
    }
    hf_ltx_list_deinit(&coarse);
}

static bool is_same(const struct hf_ltx_info *a, const struct hf_ltx_info *b)
{
    return a->level == b->level && a->min_txid == b->min_txid && a->max_txid == b->max_txid &&
           a->time_ms == b->time_ms;
}

/* Deletes what was picked, each with probability kept_of/8 surviving (a crash in the middle). */
static void history_retention(struct history *h, unsigned seed)
{
    struct hf_retention policy = {true, L0_MS, WINDOW_MS};
    struct hf_ltx_list gone = {NULL, 0, 0};
    struct hf_ltx_list left = {NULL, 0, 0};
    hf_retention_pick(&h->all, &policy, h->now_ms, roll(h, 2) == 0, &gone);
    uint64_t survive = roll(h, 3) == 0 ? roll(h, 8) : 0;
    for (size_t i = 0; i < h->all.len; i++) {
        const struct hf_ltx_info *f = &h->all.items[i];
        bool is_gone = false;
        for (size_t k = 0; k < gone.len; k++)
            is_gone |= is_same(&gone.items[k], f);
        if (!is_gone || roll(h, 8) < survive)
            hf_ltx_list_push(&left, f);
    }
    check_left(h, &left, seed);
    hf_ltx_list_deinit(&h->all);
    hf_ltx_list_deinit(&gone);
    h->all = left;
}

static void run_history(unsigned seed)
{
    struct history h = {.now_ms = 1000, .x = seed * 7919u + 12345};
    /* How often each thing happens differs from history to history. */
    uint64_t every[6];
    for (size_t i = 0; i < 6; i++)
        every[i] = 2 + roll(&h, 40);
    for (int step = 0; step < STEPS; step++) {
        h.now_ms += (int64_t)roll(&h, 3000);
        h.txid++;
        add(&h, 0, h.txid, h.txid, h.now_ms);
        for (int level = 1; level <= 3; level++) {
            if (roll(&h, every[level]) == 0)
                history_compact(&h, level);
        }
        if (roll(&h, every[4] * 3) == 0)
            history_snapshot(&h);
        if (roll(&h, every[5]) == 0)
            history_retention(&h, seed);
    }
    hf_ltx_list_deinit(&h.all);
}

static void test_random_histories(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 60; seed++)
        run_history(seed);
}

/* The same with real files: deleted ones are gone, the rest restores. */
static void test_run_on_files(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_compact_result res;
    static struct kit k;
    kit_init(&k, 512, 3);
    struct hf_page_hook no_hook = {NULL, NULL};
    int64_t start = k.now_ms;
    for (int i = 0; i < 30; i++) {
        k.now_ms = start + i * 10000;
        kit_commit(&k);
        if (i % 5 == 4)
            assert_int_equal(hf_compact_level(k.replica, 1, HF_LTX_FORM_BLOCK, no_hook, &res, &err),
                             HF_OK);
        if (i == 10 || i == 20)
            assert_int_equal(hf_compact_snapshot(k.replica, HF_LTX_FORM_BLOCK, k.dir, &res, &err),
                             HF_OK);
    }
    struct hf_retention policy = {true, 30000, 60000};
    size_t deleted = 0;
    assert_int_equal(hf_retention_run(k.replica, &policy, k.now_ms, false, &deleted, &err), HF_OK);
    struct hf_ltx_list all = {NULL, 0, 0};
    struct hf_ltx_list plan = {NULL, 0, 0};
    struct hf_restore_target latest = {HF_TARGET_LATEST, 0, 0};
    kit_list(&k, &all);
    char left[1000];
    print(&all, left, sizeof(left));
    assert_string_equal(left, "0:27-27 0:28-28 0:29-29 0:30-30 1:21-25 1:26-30 9:1-21");
    assert_int_equal(deleted, 26 + 4 + 1);
    assert_int_equal(hf_plan_restore(&all, &latest, &plan, &err), HF_OK);
    assert_true(kit_digest(&k, &plan) == k.digest[30]);
    assert_int_equal(hf_retention_run(k.replica, &policy, k.now_ms, false, &deleted, &err), HF_OK);
    assert_int_equal(deleted, 0);
    hf_ltx_list_deinit(&all);
    hf_ltx_list_deinit(&plan);
    kit_deinit(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_random_histories),
        cmocka_unit_test(test_run_on_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
