/*
 * The arithmetic of `holdfast cost`: uploads from commits and back, levels, snapshots, money.
 * Expected numbers are worked out by hand in the rows.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "cmd/costmodel.h"

static void near(double got, double want, double part, const char *why)
{
    if (fabs(got - want) > fabs(want) * part + 1e-12)
        fail_msg("%s: %.9g, not %.9g", why, got, want);
}

static void test_uploads(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        double commits;
        double sync_s;
        double want;
    } rows[] = {
        {"at rest", 0, 1, 0},
        {"far fewer commits than intervals: one upload each", 0.001, 1, 0.001},
        {"far more: one an interval", 1000, 1, 1},
        {"one a second on average: 1/(1 + e^-1)", 1, 1, 0.7310585786},
        {"the same at another scale", 0.1, 10, 0.07310585786},
        {"as often as it likes", 50, 0.001, 49.94},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++)
        near(hf_cost_uploads(rows[i].commits, rows[i].sync_s), rows[i].want, 0.001, rows[i].why);
}

static void test_commits_from_uploads(void **state)
{
    (void)state;
    static const double commits[] = {0.0003, 0.02, 0.5, 1, 3};
    static const double syncs[] = {0.2, 1, 10};
    for (size_t i = 0; i < HF_ARRAY_LEN(commits); i++) {
        for (size_t k = 0; k < HF_ARRAY_LEN(syncs); k++) {
            double uploads = hf_cost_uploads(commits[i], syncs[k]);
            double back = hf_cost_commits(uploads, syncs[k]);
            if (uploads * syncs[k] < 0.97)
                near(back, commits[i], 1e-6, "there and back");
            else /* can't be told; but what it makes under another interval can */
                near(hf_cost_uploads(back, syncs[k] * 5), 1 / (syncs[k] * 5), 0.02, "saturated");
        }
    }
    assert_true(hf_cost_commits(0, 1) == 0);
    assert_true(isfinite(hf_cost_commits(1, 1)) && isfinite(hf_cost_commits(7, 1)));
}

static const struct hf_cost_setup usual = {.sync_s = 1,
                                           .levels_s = {30, 300, 3600},
                                           .n_levels = 3,
                                           .l0_retention_s = 300,
                                           .snapshot_s = 86400,
                                           .retention_s = 86400};

static void test_busy_database(void **state)
{
    (void)state;
    const struct hf_cost_load l = {
        .commits = 1000, .bytes_per_commit = 10, .snapshot_bytes = 100e6};
    struct hf_cost_use u;
    hf_cost_predict(&usual, &l, 1e9, &u);
    const double day = HF_COST_MONTH_S / 86400;
    /* A day: 86400 L0 of 1, 2880 L1, 288 L2, 24 L3; L2 and L3 are 3 MB and 36 MB: 1 and 10 calls;
     * a snapshot of 100 MB in 24 parts and the call that joins them. */
    near(u.writes / day, 86400 + 2880 + 288 + 24 * 10 + 25, 0.002, "writes");
    /* Each file is read by the level above, L3 by the snapshot, and that reads the one before. */
    near(u.reads / day, 86400 + 2880 + 288 + 24 + 1, 0.002, "reads");
    /* Two a compaction, one more with L1; two a snapshot. */
    near(u.lists / day, 2880 * 3 + 288 * 2 + 24 * 2 + 2, 0.002, "lists");
    double flow = 1000 * 10 + 220; /* bytes a second */
    near(u.up_bytes / day, 4 * flow * 86400 + 100e6, 0.01, "sent");
    near(u.down_bytes / day, 4 * flow * 86400 + 100e6, 0.01, "read");
    near(u.stored_bytes, flow * 330 + 3 * flow * 2 * 86400 + 200e6, 0.01, "kept");
}

static void test_small_database_written_much(void **state)
{
    (void)state;
    /* 1 MB/s into a database of 50 kB: no level holds a page twice. */
    const struct hf_cost_load l = {.commits = 100, .bytes_per_commit = 1e4, .snapshot_bytes = 5e4};
    struct hf_cost_use u;
    hf_cost_predict(&usual, &l, 1000, &u);
    const double day = HF_COST_MONTH_S / 86400;
    near(u.up_bytes / day, 86400e6 + 5.02e4 * (2880 + 288 + 24 + 1) + 86400 * 220, 0.01, "sent");
    assert_true(u.stored_bytes < 330e6 + 5.1e4 * (2880 + 288 + 24) * 2 + 1e6);
}

static void test_rest_and_rare(void **state)
{
    (void)state;
    struct hf_cost_load l = {.commits = 0, .bytes_per_commit = 0, .snapshot_bytes = 1e6};
    struct hf_cost_use u;
    hf_cost_predict(&usual, &l, 1000, &u);
    assert_true(u.writes == 0 && u.reads == 0 && u.lists == 0 && u.up_bytes == 0);
    near(u.stored_bytes, 1e6, 1e-9, "at rest the base stays");
    /* One commit an hour: each level has it in a file of its own. */
    l.commits = 1.0 / 3600;
    hf_cost_predict(&usual, &l, 1000, &u);
    double hours = HF_COST_MONTH_S / 3600;
    near(u.writes, hours * (1 + 1 + 1 + 1) + HF_COST_MONTH_S / 86400, 0.01, "writes");
}

static void test_without_levels_or_snapshots(void **state)
{
    (void)state;
    struct hf_cost_setup s = usual;
    struct hf_cost_load l = {.commits = 1, .bytes_per_commit = 100, .snapshot_bytes = 1e6};
    struct hf_cost_use u;
    s.n_levels = 0;
    s.snapshot_s = 0;
    hf_cost_predict(&s, &l, 1000, &u);
    near(u.writes, 0.7310585786 * HF_COST_MONTH_S, 1e-6, "only uploads");
    assert_true(u.reads == 0 && u.lists == 0);
}

static void test_measured(void **state)
{
    (void)state;
    struct hf_cost_load l = hf_cost_load_of(0.7310585786, 1000, 1, 5e6);
    struct hf_cost_use u;
    near(l.commits, 1, 1e-6, "commits");
    near(l.bytes_per_commit, 1000 - 220 * 0.7310585786, 1e-6,
         "what each file has once is taken off");
    struct hf_cost_setup s = usual;
    s.n_levels = 0;
    s.snapshot_s = 0;
    hf_cost_predict(&s, &l, 1000, &u);
    near(u.up_bytes / HF_COST_MONTH_S, 1000, 1e-6, "what was measured comes out");
    s.sync_s = 60;
    hf_cost_predict(&s, &l, 1000, &u);
    assert_true(u.writes < HF_COST_MONTH_S / 59 && u.up_bytes < 1000 * HF_COST_MONTH_S);
}

static void test_pack(void **state)
{
    (void)state;
    struct hf_cost_use u;
    hf_cost_pack(30, 60, 1, &u); /* thirty busy databases: one object a second */
    near(u.writes, -29 * HF_COST_MONTH_S, 1e-6, "writes");
    hf_cost_pack(0.01, 0.01, 1, &u); /* one alone: nothing to share */
    assert_true(u.writes > -0.0002 * HF_COST_MONTH_S && u.writes <= 0);
}

static void test_money(void **state)
{
    (void)state;
    static const struct hf_cost_prices p = {.storage_gb = 0.02,
                                            .writes_m = 5,
                                            .reads_m = 0.4,
                                            .lists_m = 4,
                                            .egress_gb = 0.1,
                                            .free_storage_gb = 10,
                                            .free_writes = 1e6,
                                            .free_egress_of_stored = 3,
                                            .list_page = 1000};
    static const struct hf_cost_use u = {.writes = 3e6,
                                         .reads = 1e6,
                                         .lists = 5e5,
                                         .up_bytes = 1e12,
                                         .down_bytes = 100e9,
                                         .stored_bytes = 20e9};
    near(hf_cost_money(&p, &u, false, false), 0.4 + 15 + 0.4 + 2 + 10, 1e-9, "all of it");
    near(hf_cost_money(&p, &u, true, false), 0.2 + 10 + 0.4 + 2 + 4, 1e-9, "allowances");
    near(hf_cost_money(&p, &u, false, true), 0.4 + 15 + 0.4 + 2, 1e-9, "in the same region");
    static const struct hf_cost_use none = {0};
    assert_true(hf_cost_money(&p, &none, true, false) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uploads),       cmocka_unit_test(test_commits_from_uploads),
        cmocka_unit_test(test_busy_database), cmocka_unit_test(test_small_database_written_much),
        cmocka_unit_test(test_rest_and_rare), cmocka_unit_test(test_without_levels_or_snapshots),
        cmocka_unit_test(test_measured),      cmocka_unit_test(test_pack),
        cmocka_unit_test(test_money),
    };
    return cmocka_run_group_tests_name("costmodel", tests, NULL, NULL);
}
