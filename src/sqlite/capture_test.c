/*
 * Capture follows real writers in other processes without losing a page: after any mix of commits,
 * checkpoints, restarts and vacuums the collected pages make up the source, byte for byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "os/file.h"
#include "sqlite/capture.h"
#include "sqlite/sqlproc.h"
#include "sqlite/testdb.h"

struct rig {
    char dir[64];
    char *path;
    struct hf_testdb w; /* the writer */
    struct hf_capture *c;
    struct hf_test_image im;
    struct hf_wal_pos shipped;
    uint32_t commit;
};

static void rig_open(struct rig *r, const char *setup)
{
    *r = (struct rig){0};
    memcpy(r->dir, "/tmp/hf-capture-XXXXXX", sizeof("/tmp/hf-capture-XXXXXX"));
    assert_non_null(mkdtemp(r->dir));
    r->path = hf_path_join(r->dir, "app.db");
    hf_testdb_start(&r->w, r->path);
    assert_int_equal(hf_testdb_exec(&r->w, "%s", setup), 0);
}

static enum hf_code drop_name(void *arg, const char *name, bool is_dir, struct hf_err *err)
{
    (void)is_dir;
    HF_AUTO_FREE char *p = hf_path_join(arg, name);
    return hf_path_remove(p, err);
}

static void rig_close(struct rig *r)
{
    hf_capture_free(r->c);
    if (r->w.pid != 0)
        hf_testdb_stop(&r->w);
    hf_free(r->im.data);
    hf_free(r->path);
    assert_int_equal(hf_path_list(r->dir, drop_name, r->dir, NULL), HF_OK);
    rmdir(r->dir);
}

/* The main file's pages, read as a base image does, through the live handle. */
static void take_base(struct rig *r)
{
    struct hf_live *live = NULL;
    enum hf_live_kind kind;
    struct hf_err err = HF_ERR_INIT;
    uint32_t pages = 0;
    if (hf_live_open(r->path, &live, &kind, &err) != HF_OK)
        fail_msg("open: %s", err.text);
    assert_int_equal(kind, HF_LIVE_WAL);
    if (hf_capture_new_base(live, &r->c, &pages, &err) != HF_OK)
        fail_msg("base: %s", err.text);
    uint32_t ps = hf_live_page_size(live);
    uint8_t *page = hf_malloc(ps);
    for (uint32_t i = 1; i <= pages; i++) {
        assert_int_equal(hf_live_read_main(live, page, ps, (uint64_t)(i - 1) * ps, &err), HF_OK);
        hf_test_image_page(&r->im, ps, i, page);
    }
    hf_test_image_commit(&r->im, ps, pages);
    hf_free(page);
    r->commit = pages;
}

static void apply_batch(struct rig *r, struct hf_batch *b)
{
    hf_test_image_commit(&r->im, b->page_size, b->commit);
    hf_pageset_sort(b->pages);
    uint8_t *page = hf_malloc(b->page_size);
    for (size_t i = 0; i < hf_pageset_count(b->pages); i++) {
        struct hf_pageset_item it = hf_pageset_item(b->pages, i);
        if (it.is_spilled)
            assert_int_equal(hf_pageset_read_spilled(b->pages, i, page, NULL), HF_OK);
        else if (it.data == NULL)
            assert_int_equal(hf_live_read_wal(hf_capture_live(r->c), page, b->page_size,
                                              hf_wal_frame_offset(b->page_size, it.frame) + 24,
                                              NULL),
                             HF_OK);
        hf_test_image_page(&r->im, b->page_size, it.pgno, it.data == NULL ? page : it.data);
    }
    hf_free(page);
    r->shipped = b->to;
    r->commit = b->commit;
}

static struct hf_look look(struct rig *r)
{
    struct hf_look l;
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = HF_E_BUSY;
    for (int i = 0; i < 1000 && rc == HF_E_BUSY; i++) {
        rc = hf_capture_look(r->c, HF_DRAIN_ANY, &l, &err);
        if (rc == HF_E_BUSY)
            hf_clock_sleep_us(100);
    }
    if (rc != HF_OK)
        fail_msg("look: %s", err.text);
    return l;
}

static void look_and_take(struct rig *r)
{
    struct hf_batch b = {0};
    look(r);
    if (hf_capture_take(r->c, &b, NULL) != HF_OK)
        return;
    apply_batch(r, &b);
    hf_batch_deinit(&b);
    look(r);
}

#define SETUP                                                                                      \
    "pragma page_size=1024; pragma journal_mode=wal; pragma synchronous=off;"                      \
    "create table t(a integer primary key, b blob); create table u(x);"                            \
    "insert into t values(1, zeroblob(100));"

static void test_state_of_rest_is_drained(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, SETUP "pragma wal_checkpoint(passive);");
    take_base(&r);
    look_and_take(&r);
    assert_int_equal(hf_capture_state(r.c), HF_CAPTURE_DRAINED);
    assert_true(hf_live_has_zero(hf_capture_live(r.c)));
    assert_false(hf_live_has_slot(hf_capture_live(r.c)));
    /* a restart while drained is followed, and held as soon as it has a frame */
    assert_int_equal(hf_testdb_exec(&r.w, "insert into u values(1)"), 0);
    assert_true(look(&r).has_new);
    assert_int_equal(hf_capture_state(r.c), HF_CAPTURE_FOLLOWING);
    look_and_take(&r);
    hf_test_image_check(&r.im, r.path, "after the restart");
    rig_close(&r);
}

/* Nothing of ours may keep an application from checkpointing in full once we have caught up. */
static void test_truncate_by_application(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, SETUP);
    take_base(&r);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(hf_testdb_exec(&r.w, "insert into u values(%d)", i), 0);
        look_and_take(&r);
        assert_int_equal(hf_testdb_exec(&r.w, "pragma wal_checkpoint(passive)"), 0);
        look_and_take(&r);
        assert_int_equal(hf_capture_state(r.c), HF_CAPTURE_DRAINED);
        assert_int_equal(hf_testdb_exec(&r.w, "pragma wal_checkpoint(truncate);"
                                              "pragma wal_checkpoint(truncate)"),
                         0);
        look_and_take(&r);
        hf_test_image_check(&r.im, r.path, "after truncate");
    }
    assert_int_equal(hf_live_wal_size(hf_capture_live(r.c)), 0);
    rig_close(&r);
}

/* Salts only tell that it is another log: a second connection that never checkpointed draws random
 * ones, two truncates add 2. */
static void test_restart_with_foreign_salts(void **state)
{
    (void)state;
    struct rig r;
    struct hf_testdb w2;
    rig_open(&r, SETUP);
    take_base(&r);
    look_and_take(&r);
    hf_testdb_start(&w2, r.path);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(hf_testdb_exec(&r.w,
                                        "insert into u values(%d); "
                                        "pragma wal_checkpoint(passive)",
                                        i),
                         0);
        look_and_take(&r);
        assert_int_equal(hf_capture_state(r.c), HF_CAPTURE_DRAINED);
        assert_int_equal(hf_testdb_exec(&r.w, "pragma wal_checkpoint(truncate);"
                                              "pragma wal_checkpoint(truncate)"),
                         0);
        assert_int_equal(hf_testdb_exec(&w2, "insert into u values('w2-%d')", i), 0);
        look_and_take(&r);
        hf_test_image_check(&r.im, r.path, "second connection");
    }
    hf_testdb_stop(&w2);
    rig_close(&r);
}

#define TEN "(values (1),(2),(3),(4),(5),(6),(7),(8),(9),(10))"

static const char *const mix[] = {
    "insert into t(b) values(randomblob(300))",
    "insert into t(b) values(randomblob(3000))",
    "update t set b = randomblob(200) where a %% 7 = %d",
    "delete from t where a %% 11 = %d",
    "insert into t(b) select randomblob(700) from " TEN "," TEN "," TEN,
    "pragma wal_checkpoint(passive)",
    "pragma wal_checkpoint(full)",
    "pragma wal_checkpoint(restart)",
    "pragma wal_checkpoint(truncate)",
    "create table if not exists n%d(x); insert into n%d values(1)",
    "drop table if exists n%d",
    "vacuum",
    "pragma wal_autocheckpoint=%d",
    "pragma journal_size_limit=65536",
    "begin; insert into t(b) values(randomblob(5000)); rollback",
    "delete from t",
    "pragma incremental_vacuum(3)",
};

static void run_mix(const char *setup, unsigned seed)
{
    struct rig r;
    char what[64];
    rig_open(&r, setup);
    take_base(&r);
    for (int i = 0; i < 150; i++) {
        const char *sql = mix[(unsigned)rand_r(&seed) % HF_ARRAY_LEN(mix)];
        int n = rand_r(&seed) % 7;
        int rc = hf_testdb_exec(&r.w, sql, n, n);
        assert_true(rc == 0 || rc == 5 /* a checkpoint waits for our slot */);
        if (rand_r(&seed) % 3 == 0)
            continue;
        look_and_take(&r);
        if (i % 10 == 0) {
            snprintf(what, sizeof(what), "seed %u step %d", seed, i);
            hf_test_image_check(&r.im, r.path, what);
        }
    }
    look_and_take(&r);
    hf_test_image_check(&r.im, r.path, "at the end");
    rig_close(&r);
}

static void test_random_mix(void **state)
{
    (void)state;
    static const char *const setups[] = {
        SETUP,
        "pragma page_size=512; pragma auto_vacuum=2; pragma journal_mode=wal;"
        "pragma synchronous=off; create table t(a integer primary key, b blob)",
        "pragma page_size=65536; pragma journal_mode=wal; pragma synchronous=off;"
        "create table t(a integer primary key, b blob)",
        "pragma page_size=4096; pragma journal_mode=wal; pragma synchronous=off;"
        "pragma wal_autocheckpoint=1; create table t(a integer primary key, b blob)",
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(setups); i++) {
        for (unsigned seed = 1; seed <= 3; seed++)
            run_mix(setups[i], seed * 977 + (unsigned)i);
    }
}

/* A capture that goes away and comes back continues when the log proves it, and refuses when the
 * log was restarted meanwhile. */
static void test_continue_or_refuse(void **state)
{
    (void)state;
    struct rig r;
    struct hf_err err = HF_ERR_INIT;
    struct hf_live *live = NULL;
    enum hf_live_kind kind;
    rig_open(&r, SETUP);
    take_base(&r);
    look_and_take(&r);
    hf_capture_free(r.c);
    assert_int_equal(hf_testdb_exec(&r.w, "insert into u values(1)"), 0);
    assert_int_equal(hf_live_open(r.path, &live, &kind, &err), HF_OK);
    assert_int_equal(hf_capture_new(live, &r.shipped, r.commit, false, &r.c, &err), HF_OK);
    look_and_take(&r);
    hf_test_image_check(&r.im, r.path, "continued");

    hf_capture_free(r.c);
    r.c = NULL;
    assert_int_equal(hf_testdb_exec(&r.w, "pragma wal_checkpoint(restart);"
                                          "insert into u values(2)"),
                     0);
    assert_int_equal(hf_live_open(r.path, &live, &kind, &err), HF_OK);
    assert_int_equal(hf_capture_new(live, &r.shipped, r.commit, false, &r.c, &err), HF_E_CONFLICT);
    assert_non_null(strstr(err.text, "restarted"));
    hf_live_close(live);
    r.c = NULL;
    rig_close(&r);
}

/* The log was empty when we stopped; a program then wrote, closed and took the log with it. The
 * next empty log has the same salts (none), but the main file is another: that was taken for no
 * change. */
static void test_continue_empty_log(void **state)
{
    (void)state;
    struct rig r;
    struct hf_err err = HF_ERR_INIT;
    struct hf_live *live = NULL;
    enum hf_live_kind kind;
    rig_open(&r, SETUP);
    hf_testdb_stop(&r.w);
    take_base(&r);
    struct hf_wal_pos empty = hf_capture_pos(r.c);
    assert_int_equal(empty.frame, 0);
    hf_capture_free(r.c);
    r.c = NULL;
    hf_testdb_start(&r.w, r.path);
    assert_int_equal(hf_testdb_exec(&r.w, "insert into u values(1)"), 0);
    hf_testdb_stop(&r.w);
    r.w.pid = 0;
    assert_int_equal(hf_live_open(r.path, &live, &kind, &err), HF_OK);
    assert_int_equal(hf_capture_new(live, &empty, r.commit, false, &r.c, &err), HF_E_CONFLICT);
    hf_live_close(live);
    rig_close(&r);
}

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *setup;
        enum hf_code rc;
        enum hf_live_kind kind;
        const char *why;
    } rows[] = {
        {"create table t(x)", HF_OK, HF_LIVE_ROLLBACK, "rollback journal: must be converted"},
        {"select 1", HF_OK, HF_LIVE_EMPTY, "0 bytes: page size is still open"},
        {"pragma journal_mode=wal; create table t(x)", HF_OK, HF_LIVE_WAL, "what we follow"},
        {"pragma locking_mode=exclusive; pragma journal_mode=wal; create table t(x)", HF_E_BUSY,
         HF_LIVE_WAL, "the application came first and shares with nobody"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct rig r;
        struct hf_live *live = NULL;
        enum hf_live_kind kind = HF_LIVE_WAL;
        struct hf_err err = HF_ERR_INIT;
        rig_open(&r, rows[i].setup);
        enum hf_code rc = hf_live_open(r.path, &live, &kind, &err);
        if (rc != rows[i].rc || (rc == HF_OK && kind != rows[i].kind))
            fail_msg("%s: %s kind %d %s", rows[i].why, hf_code_word(rc), (int)kind, err.text);
        /* and the application is not locked out by what we did */
        assert_int_equal(hf_testdb_exec(&r.w, "create table v(x); insert into v values(1)"), 0);
        hf_live_close(live);
        rig_close(&r);
    }
}

/* One transaction larger than the batch limit: pages become references into the log, which is held.
 */
static void test_huge_transaction(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, SETUP);
    take_base(&r);
    assert_int_equal(hf_testdb_exec(&r.w,
                                    "with recursive c(x) as (select 1 union all select x+1 from c "
                                    "where x < 60000) insert into t(b) select randomblob(1000) "
                                    "from c"),
                     0);
    struct hf_look l = look(&r);
    assert_true(l.is_full);
    assert_int_equal(hf_capture_state(r.c), HF_CAPTURE_FOLLOWING);
    assert_true(hf_capture_pending_bytes(r.c) < 40u << 20);
    look_and_take(&r);
    hf_test_image_check(&r.im, r.path, "huge transaction");
    rig_close(&r);
}

/* With room in a spill file the log is let go of although nothing was shipped. */
static void test_huge_transaction_is_spilled(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, SETUP);
    take_base(&r);
    hf_capture_set_room(r.c, r.dir, 4 << 20, 1 << 30);
    assert_int_equal(hf_testdb_exec(&r.w,
                                    "with recursive c(x) as (select 1 union all select x+1 from c "
                                    "where x < 20000) insert into t(b) select randomblob(1000) "
                                    "from c"),
                     0);
    assert_false(look(&r).is_full);
    assert_true(hf_capture_pending_bytes(r.c) < 5u << 20);
    assert_true(hf_capture_spilled_bytes(r.c) > 10u << 20);
    assert_int_equal(hf_testdb_exec(&r.w, "pragma wal_checkpoint(passive)"), 0);
    look(&r);
    assert_int_equal(hf_capture_state(r.c), HF_CAPTURE_DRAINED);
    assert_int_equal(hf_testdb_exec(&r.w, "update t set b = zeroblob(900) where a %% 7 = 0"), 0);
    look_and_take(&r);
    hf_test_image_check(&r.im, r.path, "spilled transaction");
    rig_close(&r);
}

/* A writer that never checkpoints: the child copies everything back and keeps others from appending
 * until we have let go of the log. */
static void test_drained_by_child(void **state)
{
    (void)state;
    struct rig r;
    struct hf_sql_result res;
    rig_open(&r, "pragma wal_autocheckpoint=0;" SETUP);
    struct hf_sqlproc *proc = hf_sqlproc_new(NULL);
    take_base(&r);
    assert_int_equal(hf_testdb_exec(&r.w, "insert into t(b) values(zeroblob(30000))"), 0);
    look(&r);
    assert_int_equal(hf_capture_state(r.c), HF_CAPTURE_FOLLOWING);
    assert_int_equal(hf_sqlproc_run(proc, HF_SQL_DRAIN, r.path, 100, &res, NULL), HF_OK);
    assert_int_equal(res.log_frames, res.ckpt_frames);
    assert_int_equal(hf_testdb_exec(&r.w, "insert into u values(2)"), 5); /* SQLITE_BUSY */
    look(&r);
    assert_int_equal(hf_capture_state(r.c), HF_CAPTURE_DRAINED);
    assert_int_equal(hf_sqlproc_run(proc, HF_SQL_LET_GO, r.path, 100, NULL, NULL), HF_OK);
    assert_int_equal(hf_testdb_exec(&r.w, "insert into u values(3)"), 0);
    look_and_take(&r);
    hf_test_image_check(&r.im, r.path, "after the restart");
    /* nobody says let go: the lock is given back all the same */
    assert_int_equal(hf_testdb_exec(&r.w, "insert into u values(4)"), 0);
    assert_int_equal(hf_sqlproc_run(proc, HF_SQL_DRAIN, r.path, 100, NULL, NULL), HF_OK);
    int rc = 5;
    for (int i = 0; i < 1000 && rc == 5; i++) {
        rc = hf_testdb_exec(&r.w, "insert into u values(5)");
        hf_clock_sleep_us(10000);
    }
    assert_int_equal(rc, 0);
    hf_sqlproc_free(proc);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_state_of_rest_is_drained),
        cmocka_unit_test(test_truncate_by_application),
        cmocka_unit_test(test_restart_with_foreign_salts),
        cmocka_unit_test(test_continue_or_refuse),
        cmocka_unit_test(test_continue_empty_log),
        cmocka_unit_test(test_huge_transaction),
        cmocka_unit_test(test_huge_transaction_is_spilled),
        cmocka_unit_test(test_drained_by_child),
        cmocka_unit_test(test_random_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
