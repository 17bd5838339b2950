#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "os/fault.h"
#include "os/file.h"
#include "replica/compact.h"
#include "replica/kit_test.h"
#include "replica/plan.h"

static const struct hf_page_hook no_hook = {NULL, NULL};
static const enum hf_ltx_form block = HF_LTX_FORM_BLOCK;

static struct kit kit;

static int setup(void **state)
{
    (void)state;
    kit_init(&kit, 512, 7);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    kit_deinit(&kit);
    return hf_fault_arm(NULL, &err) == HF_OK ? 0 : -1;
}

/* The names of a level, in order: "1-5 6-9". */
static void expect_level(int level, const char *want)
{
    struct hf_ltx_list l = {NULL, 0, 0};
    struct hf_err err = HF_ERR_INIT;
    char got[1000] = "";
    assert_int_equal(hf_replica_list(kit.replica, level, 0, &l, &err), HF_OK);
    for (size_t i = 0; i < l.len; i++) {
        size_t n = strlen(got);
        snprintf(got + n, sizeof(got) - n, "%s%llu-%llu", n ? " " : "",
                 (unsigned long long)l.items[i].min_txid, (unsigned long long)l.items[i].max_txid);
    }
    hf_ltx_list_deinit(&l);
    assert_string_equal(got, want);
}

static void expect_latest_restores(void)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_ltx_list all = {NULL, 0, 0};
    struct hf_ltx_list plan = {NULL, 0, 0};
    struct hf_restore_target latest = {HF_TARGET_LATEST, 0, 0};
    kit_list(&kit, &all);
    if (hf_plan_restore(&all, &latest, &plan, &err) != HF_OK)
        fail_msg("%s", err.text);
    assert_int_equal(plan.items[plan.len - 1].max_txid, kit.txid);
    assert_true(kit_digest(&kit, &plan) == kit.digest[kit.txid]);
    hf_ltx_list_deinit(&all);
    hf_ltx_list_deinit(&plan);
}

static void commits(int n)
{
    while (n-- > 0) {
        kit.now_ms += 1000;
        kit_commit(&kit);
    }
}

static struct hf_compact_result compact(int level)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_compact_result res;
    enum hf_code rc = level == HF_LEVEL_SNAPSHOT
                          ? hf_compact_snapshot(kit.replica, block, kit.dir, &res, &err)
                          : hf_compact_level(kit.replica, level, block, no_hook, &res, &err);
    if (rc != HF_OK)
        fail_msg("%s", err.text);
    return res;
}

static void delete_file(int level, uint64_t min, uint64_t max)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_ltx_info info = {.level = level, .min_txid = min, .max_txid = max};
    assert_int_equal(hf_replica_delete(kit.replica, &info, 1, &err), HF_OK);
}

static void test_levels(void **state)
{
    (void)state;
    assert_false(compact(1).is_done);
    commits(4);
    struct hf_compact_result res = compact(1);
    assert_true(res.is_done && res.bytes > 0);
    assert_int_equal(res.out.min_txid, 1);
    assert_int_equal(res.out.max_txid, 4);
    assert_int_equal(res.out.timestamp_ms, kit.now_ms);
    assert_false(compact(1).is_done); /* nothing new */
    commits(3);
    compact(1);
    expect_level(1, "1-4 5-7");
    compact(2);
    expect_level(2, "1-7");
    commits(1);
    compact(1);
    compact(2);
    expect_level(2, "1-7 8-8");
    compact(3);
    expect_level(3, "1-8");
    expect_latest_restores();
    delete_file(3, 1, 8);
    delete_file(2, 1, 7);
    expect_latest_restores();
}

static void test_time_of_the_file_is_the_headers(void **state)
{
    (void)state;
    commits(3);
    int64_t last = kit.now_ms;
    compact(1);
    struct hf_ltx_list l = {NULL, 0, 0};
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_replica_list(kit.replica, 1, 0, &l, &err), HF_OK);
    assert_int_equal(l.items[0].time_ms, last);
    hf_ltx_list_deinit(&l);
}

static enum hf_code see_page(void *arg, uint32_t pgno, const void *page, struct hf_err *err)
{
    (void)err;
    assert_memory_equal(page, kit.pages + (size_t)(pgno - 1) * kit.page_size, kit.page_size);
    ++*(uint32_t *)arg;
    return HF_OK;
}

static void test_hook_sees_the_newest_pages(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_compact_result res;
    uint32_t seen = 0;
    commits(20);
    assert_int_equal(hf_compact_level(kit.replica, 1, HF_LTX_FORM_FRAME,
                                      (struct hf_page_hook){see_page, &seen}, &res, &err),
                     HF_OK);
    assert_int_equal(seen, kit.commit);
    expect_latest_restores();
}

static void test_gap_is_an_error_and_named(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_compact_result res = {.bytes = 77};
    commits(6);
    delete_file(0, 4, 4);
    assert_int_equal(hf_compact_level(kit.replica, 1, block, no_hook, &res, &err), HF_E_CORRUPT);
    assert_non_null(strstr(err.text, "0000000000000003-0000000000000003.ltx of level 0 and "
                                     "0000000000000005-0000000000000005.ltx"));
    assert_int_equal(res.bytes, 77);
    expect_level(1, "");
}

static void test_bridged_gap_is_stepped_over(void **state)
{
    (void)state;
    commits(2);
    compact(1);
    commits(3);
    assert_true(compact(HF_LEVEL_SNAPSHOT).is_done);
    delete_file(0, 4, 4);
    commits(1);
    compact(1);
    expect_level(1, "1-2 3-3");
    compact(1);
    expect_level(1, "1-2 3-3 5-6");
    delete_file(0, 3, 3);
    delete_file(0, 5, 5);
    expect_latest_restores();
}

static void test_empty_level_begins_behind_the_snapshot(void **state)
{
    (void)state;
    commits(4);
    compact(HF_LEVEL_SNAPSHOT);
    assert_false(compact(1).is_done);
    commits(2);
    compact(1);
    expect_level(1, "5-6");
    for (uint64_t t = 1; t <= 6; t++)
        delete_file(0, t, t);
    expect_latest_restores();
}

static void test_gap_behind_the_level(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_compact_result res;
    commits(3);
    compact(1);
    commits(3);
    delete_file(0, 4, 4);
    assert_int_equal(hf_compact_level(kit.replica, 1, block, no_hook, &res, &err), HF_E_CORRUPT);
    assert_non_null(strstr(err.text, "of level 1 and 0000000000000005"));
}

static void test_overlapping_inputs(void **state)
{
    (void)state;
    commits(2);
    compact(1); /* 1-2 */
    compact(2); /* 1-2 */
    delete_file(1, 1, 2);
    commits(2);
    compact(1); /* 1-4: the level was empty */
    expect_level(1, "1-4");
    compact(2); /* lies partly beyond 2: taken whole */
    expect_level(2, "1-2 1-4");
    expect_latest_restores();
}

static void test_snapshot(void **state)
{
    (void)state;
    assert_false(compact(HF_LEVEL_SNAPSHOT).is_done);
    commits(5);
    struct hf_compact_result res = compact(HF_LEVEL_SNAPSHOT);
    assert_true(res.is_done);
    assert_int_equal(res.out.max_txid, 5);
    assert_false(compact(HF_LEVEL_SNAPSHOT).is_done);
    commits(3);
    compact(HF_LEVEL_SNAPSHOT);
    expect_level(9, "1-5 1-8");
    for (uint64_t t = 1; t <= 8; t++)
        delete_file(0, t, t);
    expect_latest_restores();
}

static void test_many_inputs_in_runs(void **state)
{
    (void)state;
    commits(600);
    struct hf_compact_result res = compact(1);
    assert_int_equal(res.out.max_txid, 600);
    expect_latest_restores();
    compact(HF_LEVEL_SNAPSHOT);
    for (uint64_t t = 1; t <= 600; t++)
        delete_file(0, t, t);
    delete_file(1, 1, 600);
    expect_latest_restores();
}

/* A compaction that dies at any system call leaves the replica as good as it was, and the next one
 * does the work. */
static void test_crash_points(void **state)
{
    (void)state;
    static const char *const specs[] = {"write:1:ENOSPC", "write:1:SHORT", "fsync:1:EIO",
                                        "rename:1:EIO",   "read:3:EIO",    "open:4:EMFILE",
                                        "fsync:2:EIO"};
    commits(5);
    for (size_t i = 0; i < HF_ARRAY_LEN(specs); i++) {
        struct hf_err err = HF_ERR_INIT;
        struct hf_compact_result res;
        assert_int_equal(hf_fault_arm(specs[i], &err), HF_OK);
        enum hf_code rc = hf_compact_level(kit.replica, 1, block, no_hook, &res, &err);
        assert_int_equal(hf_fault_arm(NULL, &err), HF_OK);
        if (rc == HF_OK || err.text[0] == '\0')
            fail_msg("%s: no error", specs[i]);
        expect_latest_restores();
    }
    /* The last one failed behind the rename: the file is there, which is as good. */
    expect_level(1, "1-5");
    assert_false(compact(1).is_done);
    expect_latest_restores();
}

static void test_due(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int64_t interval;
        int64_t newest;
        int64_t now;
        bool want;
    } rows[] = {
        {"nothing there yet", 30000, 0, 1700000000000, true},
        {"newer than the last tick", 30000, 90001, 119999, false},
        {"a tick has passed", 30000, 90001, 120000, true},
        {"exactly at the tick is newer", 30000, 120000, 120000, false},
        {"long ago", 30000, 1, 1700000000000, true},
        {"a clock that went back", 30000, 200000, 120000, false},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        if (hf_compact_due(rows[i].interval, rows[i].newest, rows[i].now) != rows[i].want)
            fail_msg("%s", rows[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time_of_the_file_is_the_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hook_sees_the_newest_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gap_is_an_error_and_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bridged_gap_is_stepped_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_level_begins_behind_the_snapshot, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_gap_behind_the_level, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overlapping_inputs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_snapshot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_inputs_in_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_points, setup, teardown),
        cmocka_unit_test(test_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
