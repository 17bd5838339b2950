/*
 * Tables of listings and what must come of them. A listing is written as words "level:min-max@time"
 * with "*size" if it matters (decimal TXIDs; time 10 * max and size 100 by default); the answer as
 * the files in order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "replica/plan.h"

static struct hf_ltx_list parse(const char *text)
{
    struct hf_ltx_list l = {NULL, 0, 0};
    const char *p = text;
    while (*p != '\0') {
        struct hf_ltx_info f = {0};
        char *end;
        f.level = (int)strtol(p, &end, 10);
        f.min_txid = f.max_txid = strtoull(end + 1, &end, 10);
        if (*end == '-')
            f.max_txid = strtoull(end + 1, &end, 10);
        f.time_ms = (int64_t)f.max_txid * 10;
        f.size = 100;
        if (*end == '@')
            f.time_ms = strtoll(end + 1, &end, 10);
        if (*end == '*')
            f.size = strtoull(end + 1, &end, 10);
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
        if (f->min_txid == f->max_txid)
            snprintf(out + n, cap - n, "%s%d:%llu", n ? " " : "", f->level,
                     (unsigned long long)f->min_txid);
        else
            snprintf(out + n, cap - n, "%s%d:%llu-%llu", n ? " " : "", f->level,
                     (unsigned long long)f->min_txid, (unsigned long long)f->max_txid);
    }
}

struct row {
    const char *why;
    const char *all;
    struct hf_restore_target target;
    enum hf_code code;
    const char *want; /* the plan, or a part of the error text */
};

#define LATEST                                                                                     \
    {                                                                                              \
        HF_TARGET_LATEST, 0, 0                                                                     \
    }
#define TXID(n)                                                                                    \
    {                                                                                              \
        HF_TARGET_TXID, n, 0                                                                       \
    }
#define TIME(t)                                                                                    \
    {                                                                                              \
        HF_TARGET_TIME, 0, t                                                                       \
    }

static const struct row rows[] = {
    {"nothing there", "", LATEST, HF_E_NOT_FOUND, "no matching backup"},
    {"one snapshot", "9:1-5", LATEST, HF_OK, "9:1-5"},
    {"an L0 chain without any snapshot level", "0:1 0:2 0:3", LATEST, HF_OK, "0:1 0:2 0:3"},
    {"snapshot, then increments", "9:1-5 0:4 0:5 0:6 0:7", LATEST, HF_OK, "9:1-5 0:6 0:7"},
    {"levels in turn", "9:1-2 2:3-4 1:5-8 2:5-18 0:19 0:20", LATEST, HF_OK,
     "9:1-2 2:3-4 2:5-18 0:19 0:20"},
    {"a level's own first file makes the snapshot needless", "9:1-2 2:1-3 2:4-18 0:19", LATEST,
     HF_OK, "2:1-3 2:4-18 0:19"},
    {"fewer bytes win: a small compacted file over many", "9:1-2 0:3 0:4 0:5 1:3-5*200", LATEST,
     HF_OK, "9:1-2 1:3-5"},
    {"fewer bytes win: small L0 files over a large compacted one", "9:1-2 0:3 0:4 1:3-4*90000",
     LATEST, HF_OK, "9:1-2 0:3 0:4"},
    {"an older snapshot and a small increment beat a new large one",
     "9:1-5*10000 1:6-9*500 9:1-9*90000", LATEST, HF_OK, "9:1-5 1:6-9"},
    {"a newer snapshot beats an old one and a large increment",
     "9:1-5*10000 1:6-9*50000 9:1-9*11000", LATEST, HF_OK, "9:1-9"},
    {"the first compaction into a level is a snapshot in effect", "1:1-4 0:5", LATEST, HF_OK,
     "1:1-4 0:5"},
    {"a hole in L0 bridged by L1", "9:1-2 0:3 0:6 1:4-5", LATEST, HF_OK, "9:1-2 0:3 1:4-5 0:6"},
    {"a hole in L0 bridged by L3 that overlaps both sides", "9:1-2 0:3 3:2-7 0:8", LATEST, HF_OK,
     "9:1-2 3:2-7 0:8"},
    {"a hole bridged only by a later snapshot", "9:1-2 0:3 9:1-7 0:8", LATEST, HF_OK, "9:1-7 0:8"},
    {"a hole in a high level does not matter when L0 has it", "9:1-2 2:3-4 2:8-9 0:5 0:6 0:7",
     LATEST, HF_OK, "9:1-2 2:3-4 0:5 0:6 0:7 2:8-9"},
    {"a hole nobody bridges, named", "9:1-2 0:3 0:6 0:7", LATEST, HF_E_CORRUPT,
     "TXIDs 0000000000000004 to 0000000000000005 are missing on every level (files lead up to "
     "0000000000000003 and go on from 0000000000000006 to 0000000000000007)"},
    {"no file begins at 1", "0:4 0:5", LATEST, HF_E_CORRUPT,
     "TXIDs 0000000000000001 to 0000000000000003 are missing"},
    {"of equals the higher level, which stays longer", "9:1 0:2 1:2", LATEST, HF_OK, "9:1 1:2"},

    {"TXID at a snapshot", "9:1-5 0:6 0:7", TXID(5), HF_OK, "9:1-5"},
    {"TXID inside L0", "9:1-5 0:6 0:7", TXID(6), HF_OK, "9:1-5 0:6"},
    {"TXID before the newest snapshot", "9:1-5 0:6 0:7 0:8 9:1-8", TXID(7), HF_OK, "9:1-5 0:6 0:7"},
    {"a level that goes past the target is left out", "9:1-2 1:3-6 0:3 0:4", TXID(4), HF_OK,
     "9:1-2 0:3 0:4"},
    {"TXID 1 of an L0 chain", "0:1 0:2", TXID(1), HF_OK, "0:1"},
    {"TXID newer than all", "9:1-5 0:6", TXID(9), HF_E_RANGE,
     "oldest 0000000000000005, newest 0000000000000006"},
    {"TXID older than all", "9:1-5 0:6", TXID(3), HF_E_RANGE,
     "oldest 0000000000000005, newest 0000000000000006"},
    {"TXID compacted away: the neighbours are named", "9:1-2 1:3-6 0:6 0:7", TXID(4), HF_E_RANGE,
     "nearest kept states are 0000000000000002 and 0000000000000006"},
    {"TXID behind a hole", "9:1-2 0:5 0:6", TXID(6), HF_E_CORRUPT,
     "0000000000000003 to 0000000000000004 are missing"},
    {"TXID in a hole with files behind it", "9:1-2 0:5 0:6", TXID(4), HF_E_CORRUPT,
     "0000000000000003 to 0000000000000004 are missing"},
    {"TXID in a hole that a snapshot jumps over", "9:1-2 9:1-6", TXID(4), HF_E_RANGE,
     "nearest kept states are 0000000000000002 and 0000000000000006"},
    {"TXID 0 is no state", "9:1-2", TXID(0), HF_E_RANGE, "oldest 0000000000000002"},
    {"TXID without a base", "0:4 0:5", TXID(5), HF_E_CORRUPT, "no snapshot"},

    {"time between two files", "9:1-5 0:6 0:7", TIME(65), HF_OK, "9:1-5 0:6"},
    {"time exactly of a file: with it", "9:1-5 0:6 0:7", TIME(60), HF_OK, "9:1-5 0:6"},
    {"time of the newest file", "9:1-5 0:6 0:7", TIME(70), HF_OK, "9:1-5 0:6 0:7"},
    {"time of the oldest file", "9:1-5 0:6 0:7", TIME(50), HF_OK, "9:1-5"},
    {"time before all", "9:1-5 0:6", TIME(49), HF_E_RANGE,
     "oldest 1970-01-01T00:00:00.050Z, newest 1970-01-01T00:00:00.060Z"},
    {"time after all", "9:1-5 0:6", TIME(61), HF_E_RANGE, "newest 1970-01-01T00:00:00.060Z"},
    {"time inside a compacted file: what came before it", "9:1-5 1:6-9 0:9", TIME(70), HF_OK,
     "9:1-5"},
    {"time inside a compacted file while its L0 files are kept", "9:1-5 1:6-9 0:6 0:7 0:8 0:9",
     TIME(75), HF_OK, "9:1-5 0:6 0:7"},
    {"a later snapshot is no help for an earlier time", "9:1-2 0:3 0:4 9:1-4", TIME(35), HF_OK,
     "9:1-2 0:3"},
    {"time behind a hole: not silently the state before it", "9:1-2 0:5 0:6", TIME(55),
     HF_E_CORRUPT, "0000000000000003 to 0000000000000004 are missing"},
    {"time before a hole is all right", "9:1-2 0:3 0:6", TIME(35), HF_OK, "9:1-2 0:3"},
    {"a clock that went back: the file of the jump is left out with all behind it",
     "9:1-2 0:3@500 0:4@40", TIME(45), HF_OK, "9:1-2"},
    {"time without a base", "0:4 0:5", TIME(45), HF_E_CORRUPT, "no snapshot"},
};

static void test_restore(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        struct hf_err err = HF_ERR_INIT;
        struct hf_ltx_list all = parse(r->all);
        struct hf_ltx_list out = {NULL, 0, 0};
        char got[600];
        enum hf_code rc = hf_plan_restore(&all, &r->target, &out, &err);
        print(&out, got, sizeof(got));
        if (rc != r->code)
            fail_msg("%s: code %d '%s' plan '%s'", r->why, (int)rc, err.text, got);
        if (rc == HF_OK && strcmp(got, r->want) != 0)
            fail_msg("%s: plan '%s', want '%s'", r->why, got, r->want);
        if (rc != HF_OK && (strstr(err.text, r->want) == NULL || out.len != 0))
            fail_msg("%s: text '%s'", r->why, err.text);
        hf_ltx_list_deinit(&all);
        hf_ltx_list_deinit(&out);
    }
}

static void test_follow(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *all;
        uint64_t cur;
        enum hf_code code;
        const char *want;
    } cases[] = {
        {"nothing new", "9:1-5 0:6", 6, HF_OK, ""},
        {"the next L0", "9:1-5 0:6 0:7", 6, HF_OK, "0:7"},
        {"ahead of the daily snapshot, the normal state", "9:1-5 0:90 0:91", 90, HF_OK, "0:91"},
        {"older than the newest snapshot, but L1 goes on", "9:1-9*90000 1:4-8 0:9 0:10", 5, HF_OK,
         "1:4-8 0:9 0:10"},
        {"L0 gone, L2 bridges", "9:1-2 2:3-8 0:9", 4, HF_OK, "2:3-8 0:9"},
        {"only a snapshot goes on", "9:1-8 0:9", 4, HF_OK, "9:1-8 0:9"},
        {"an increment is cheaper than the snapshot", "9:1-8*100000 1:5-8 0:9", 4, HF_OK,
         "1:5-8 0:9"},
        {"a hole is named", "9:1-2 0:6 0:7", 4, HF_E_CORRUPT,
         "TXIDs 0000000000000005 to 0000000000000005 are missing"},
        {"as far as it goes, then a hole", "9:1-2 0:3 0:6", 2, HF_OK, "0:3"},
        {"the replica was reset", "9:1-2", 4, HF_E_CONFLICT, "ends at TXID 0000000000000002"},
        {"the replica was emptied", "", 4, HF_E_CONFLICT, "ends at TXID 0000000000000000"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        struct hf_err err = HF_ERR_INIT;
        struct hf_ltx_list all = parse(cases[i].all);
        struct hf_ltx_list out = {NULL, 0, 0};
        char got[600];
        enum hf_code rc = hf_plan_follow(&all, cases[i].cur, &out, &err);
        print(&out, got, sizeof(got));
        const char *text = rc == HF_OK ? got : err.text;
        bool is_right =
            rc == HF_OK ? strcmp(text, cases[i].want) == 0 : strstr(text, cases[i].want) != NULL;
        if (rc != cases[i].code || !is_right)
            fail_msg("%s: code %d '%s'", cases[i].why, (int)rc, text);
        hf_ltx_list_deinit(&all);
        hf_ltx_list_deinit(&out);
    }
}

/* Cheapest cost from 0 to target by trying everything: the reference for small listings. */
static uint64_t brute(const struct hf_ltx_list *all, uint64_t cur, uint64_t target)
{
    if (cur == target)
        return 0;
    uint64_t best = UINT64_MAX;
    for (size_t i = 0; i < all->len; i++) {
        const struct hf_ltx_info *f = &all->items[i];
        if (f->min_txid > cur + 1 || f->max_txid <= cur || f->max_txid > target)
            continue;
        uint64_t rest = brute(all, f->max_txid, target);
        if (rest != UINT64_MAX && rest + f->size + HF_PLAN_OPEN_BYTES < best)
            best = rest + f->size + HF_PLAN_OPEN_BYTES;
    }
    return best;
}

static void check_random(unsigned seed)
{
    unsigned x = seed * 2654435761u + 1;
    struct hf_ltx_list all = {NULL, 0, 0};
    size_t n = 1 + seed % 9;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        struct hf_ltx_info f = {.level = (int)(x >> 28) % 10, .size = (x >> 8) % 30000};
        f.min_txid = 1 + ((x >> 3) % 3) * ((x >> 20) % 5);
        f.max_txid = f.min_txid + (x >> 12) % 5;
        hf_ltx_list_push(&all, &f);
    }
    for (uint64_t target = 1; target < 20; target++) {
        struct hf_err err = HF_ERR_INIT;
        struct hf_ltx_list out = {NULL, 0, 0};
        struct hf_restore_target t = {HF_TARGET_TXID, target, 0};
        enum hf_code rc = hf_plan_restore(&all, &t, &out, &err);
        uint64_t want = brute(&all, 0, target);
        uint64_t got = 0;
        uint64_t cur = 0;
        for (size_t i = 0; i < out.len; i++) {
            assert_true(out.items[i].min_txid <= cur + 1 && out.items[i].max_txid > cur);
            cur = out.items[i].max_txid;
            got += out.items[i].size + HF_PLAN_OPEN_BYTES;
        }
        if ((rc == HF_OK) != (want != UINT64_MAX) ||
            (rc == HF_OK && (got != want || cur != target)))
            fail_msg("seed %u target %llu: code %d cost %llu, best %llu", seed,
                     (unsigned long long)target, (int)rc, (unsigned long long)got,
                     (unsigned long long)want);
        hf_ltx_list_deinit(&out);
    }
    hf_ltx_list_deinit(&all);
}

static void test_cheapest_by_brute_force(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 3000; seed++)
        check_random(seed);
}

static void test_time_range(void **state)
{
    (void)state;
    int64_t oldest = 1;
    int64_t newest = 2;
    struct hf_ltx_list all = parse("9:1-5 9:1-8 0:9");
    assert_true(hf_plan_time_range(&all, &oldest, &newest));
    assert_int_equal(oldest, 50);
    assert_int_equal(newest, 90);
    assert_int_equal(hf_plan_reach(&all, 0), 9);
    hf_ltx_list_deinit(&all);
    all = parse("0:9");
    assert_false(hf_plan_time_range(&all, &oldest, &newest));
    assert_int_equal(hf_plan_reach(&all, 0), 0);
    hf_ltx_list_deinit(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restore),
        cmocka_unit_test(test_follow),
        cmocka_unit_test(test_cheapest_by_brute_force),
        cmocka_unit_test(test_time_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
