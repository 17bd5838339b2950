/*
 * The engine in this process, writers in processes of their own: what it ships restores to the
 * source, byte for byte; what it says about itself is so; and it goes on where it stopped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "os/file.h"
#include "replica/db.h"
#include "replica/engine.h"
#include "replica/replica.h"
#include "replica/restore.h"
#include "sqlite/testdb.h"
#include "store/store.h"

enum { SYNC_MS = 20000, WAIT_MS = 10000 };

struct rig {
    char dir[64];
    char *db;
    char *copy;
    char *url;
    char *url2; /* a second replica, or NULL */
    struct hf_testdb w;
    struct hf_config *cfg;
    struct hf_engine *e;
    struct hf_db_status st; /* texts copied below */
    char state[32];
    char error[512];
};

static void rig_init(struct rig *r)
{
    *r = (struct rig){0};
    memcpy(r->dir, "/tmp/hf-engine-XXXXXX", sizeof("/tmp/hf-engine-XXXXXX"));
    assert_non_null(mkdtemp(r->dir));
    r->db = hf_path_join(r->dir, "app.db");
    r->copy = hf_path_join(r->dir, "copy.db");
    r->url = hf_asprintf("file://%s/rep", r->dir);
    hf_testdb_start(&r->w, r->db);
}

static void sql(struct rig *r, const char *text)
{
    assert_int_equal(hf_testdb_exec(&r->w, "%s", text), 0);
}

static void engine_start(struct rig *r)
{
    struct hf_err err = HF_ERR_INIT;
    const char *urls[] = {r->url, r->url2};
    size_t n = r->url2 == NULL ? 1 : 2;
    assert_int_equal(hf_config_from_args(r->db, urls, n, &r->cfg, &err), HF_OK);
    hf_config_set_sync_interval(r->cfg, 10 * 1000 * 1000);
    struct hf_engine_options o = {.cfg = r->cfg, .exe = NULL};
    if (hf_engine_start(&o, &r->e, &err) != HF_OK)
        fail_msg("start: %s", err.text);
}

static void engine_stop(struct rig *r)
{
    hf_engine_stop(r->e);
    hf_config_free(r->cfg);
    r->e = NULL;
    r->cfg = NULL;
}

static void engine_sync(struct rig *r)
{
    struct hf_err err = HF_ERR_INIT;
    if (hf_engine_sync(r->e, SYNC_MS, &err) != HF_OK)
        fail_msg("sync: %s", err.text);
}

static enum hf_code drop(void *arg, const char *name, bool is_dir, struct hf_err *err)
{
    HF_AUTO_FREE char *p = hf_path_join(arg, name);
    if (!is_dir)
        return hf_path_remove(p, err);
    HF_TRY(hf_path_list(p, drop, p, err));
    return rmdir(p) == 0 ? HF_OK : HF_E_IO;
}

static void rig_deinit(struct rig *r)
{
    if (r->e != NULL)
        engine_stop(r);
    if (r->w.pid != 0)
        hf_testdb_stop(&r->w);
    assert_int_equal(hf_path_list(r->dir, drop, r->dir, NULL), HF_OK);
    rmdir(r->dir);
    hf_free(r->db);
    hf_free(r->copy);
    hf_free(r->url);
    hf_free(r->url2);
}

static void note(void *arg, const struct hf_db_status *s)
{
    struct rig *r = arg;
    r->st = *s;
    snprintf(r->state, sizeof(r->state), "%s", s->state);
    snprintf(r->error, sizeof(r->error), "%s", s->error);
}

static void status(struct rig *r)
{
    hf_engine_status(r->e, note, r);
}

/* Restores and compares with what SQLite makes of main file and log. */
static void check_one(struct rig *r, const char *url, const char *what)
{
    struct hf_store *store = NULL;
    struct hf_replica *rep = NULL;
    struct hf_restore_result res;
    struct hf_err err = HF_ERR_INIT;
    struct hf_restore_options o = {
        .output = r->copy, .is_force = true, .integrity = HF_INTEGRITY_FULL};
    assert_int_equal(hf_store_open(url, &store, &err), HF_OK);
    assert_int_equal(hf_replica_new(store, "", &rep, &err), HF_OK);
    if (hf_restore_run(rep, &o, &res, &err) != HF_OK)
        fail_msg("%s: restore: %s", what, err.text);
    hf_replica_free(rep);
    hf_store_close(store);
    uint8_t *want = NULL;
    size_t want_len = 0;
    HF_AUTO_FREE char *got = NULL;
    size_t len = 0;
    hf_testdb_image(r->db, &want, &want_len);
    assert_int_equal(hf_path_read(r->copy, 64 << 20, &got, &len, &err), HF_OK);
    if (len != want_len || memcmp(got, want, len) != 0)
        fail_msg("%s: the copy is not the source (%zu and %zu bytes)", what, len, want_len);
    hf_free(want);
}

static void check(struct rig *r, const char *what)
{
    check_one(r, r->url, what);
    if (r->url2 != NULL)
        check_one(r, r->url2, what);
}

#define SCHEMA                                                                                     \
    "pragma journal_mode=wal; create table t(id integer primary key, x);"                          \
    "insert into t(x) values(randomblob(3000))"

static void test_ships_and_says_so(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    sql(&r, SCHEMA);
    engine_start(&r);
    engine_sync(&r);
    check(&r, "first image");
    sql(&r, "insert into t(x) values(randomblob(300)); insert into t(x) values(randomblob(300))");
    engine_sync(&r);
    check(&r, "two commits");
    status(&r);
    assert_string_equal(r.state, "replicating");
    assert_string_equal(r.error, "");
    assert_int_equal(r.st.lag_ms, 0);
    assert_int_equal(r.st.pending_bytes, 0);
    assert_true(r.st.txid >= 2);
    assert_true(r.st.shipped_files >= 2);
    rig_deinit(&r);
}

/* Nothing that is provably unchanged is shipped, or even looked at, again. */
static void test_goes_on_without_a_rebase(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    sql(&r, SCHEMA);
    engine_start(&r);
    engine_sync(&r);
    sql(&r, "insert into t(x) values(1)");
    engine_sync(&r);
    status(&r);
    uint64_t txid = r.st.txid;
    engine_stop(&r);
    sql(&r, "insert into t(x) values(2)"); /* the log goes on while nobody watches */
    engine_start(&r);
    engine_sync(&r);
    status(&r);
    assert_int_equal(r.st.rebases, 0);
    assert_int_equal(r.st.txid, txid + 1);
    check(&r, "after a stop");
    rig_deinit(&r);
}

/* The log was restarted meanwhile: only what differs is shipped. */
static void test_rebase_ships_the_difference(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    sql(&r, SCHEMA);
    sql(&r, "with recursive n(i) as (select 1 union all select i+1 from n where i < 400)"
            "insert into t(x) select randomblob(3000) from n");
    engine_start(&r);
    engine_sync(&r);
    engine_stop(&r);
    sql(&r, "update t set x=7 where id=200; pragma wal_checkpoint(truncate);"
            "update t set x=8 where id=201; pragma wal_checkpoint(truncate)");
    engine_start(&r);
    engine_sync(&r);
    status(&r);
    assert_int_equal(r.st.rebases, 1);
    assert_true(r.st.shipped_bytes < 100 * 1024);
    check(&r, "re-based");
    rig_deinit(&r);
}

static void wait_for_txid(struct rig *r, uint64_t txid)
{
    uint64_t end = hf_clock_mono_ms() + WAIT_MS;
    do {
        hf_clock_sleep_us(5000);
        status(r);
    } while (r->st.txid < txid && hf_clock_mono_ms() < end);
    if (r->st.txid < txid)
        fail_msg("still %s, %s", r->state, r->error);
}

/* Not there, then empty, then a database; nobody asks for a sync. */
static void test_comes_to_life(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    engine_start(&r);
    engine_sync(&r);
    status(&r);
    assert_string_equal(r.state, "waiting");
    assert_int_equal(r.st.txid, 0);
    sql(&r, SCHEMA);
    wait_for_txid(&r, 1);
    engine_sync(&r);
    check(&r, "came to life");
    rig_deinit(&r);
}

static void test_rollback_mode_is_converted(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    sql(&r, "create table t(id integer primary key, x); insert into t(x) values(1)");
    engine_start(&r);
    wait_for_txid(&r, 1);
    sql(&r, "insert into t(x) values(2)");
    engine_sync(&r);
    check(&r, "converted");
    rig_deinit(&r);
}

/* Somebody else's file has the next TXID: it is not overwritten, that is said, and we go on behind.
 */
static void test_other_writer(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    sql(&r, SCHEMA);
    engine_start(&r);
    engine_sync(&r);
    status(&r);
    HF_AUTO_FREE char *mine = hf_asprintf("%s/rep/ltx/0/%016x-%016x.ltx", r.dir, 1, 1);
    HF_AUTO_FREE char *theirs = hf_asprintf("%s/rep/ltx/0/%016x-%016x.ltx", r.dir, 2, 2);
    assert_int_equal(r.st.txid, 1);
    assert_int_equal(link(mine, theirs), 0);
    sql(&r, "insert into t(x) values(2)");
    uint64_t end = hf_clock_mono_ms() + WAIT_MS;
    do {
        hf_clock_sleep_us(5000);
        status(&r);
    } while (r.error[0] == '\0' && hf_clock_mono_ms() < end);
    assert_non_null(strstr(r.error, "another writer"));
    assert_int_equal(hf_path_remove(theirs, NULL), HF_OK);
    wait_for_txid(&r, 2);
    engine_sync(&r);
    check(&r, "behind the other one");
    rig_deinit(&r);
}

static const char *const mix[] = {
    "insert into t(x) values(randomblob(200))",
    "insert into t(x) select randomblob(2000) from t limit 50",
    "delete from t where id % 3 = 0",
    "update t set x=randomblob(100) where id in (select id from t limit 5)",
    "pragma wal_checkpoint(passive)",
    "pragma wal_checkpoint(truncate)",
    "pragma wal_checkpoint(truncate); pragma wal_checkpoint(restart)",
    "vacuum",
    "begin; insert into t(x) values(1); rollback",
    "create table if not exists u(y); insert into u values(1)",
    "drop table if exists u",
    "pragma wal_autocheckpoint=0",
    "pragma wal_autocheckpoint=10",
};

static void test_random_mix(void **state)
{
    (void)state;
    static const char *const setups[] = {"pragma page_size=512", "pragma auto_vacuum=1",
                                         "pragma page_size=65536", "pragma user_version=1"};
    for (unsigned seed = 0; seed < HF_ARRAY_LEN(setups); seed++) {
        struct rig r;
        unsigned x = seed * 2654435761u + 1;
        char what[64];
        rig_init(&r);
        sql(&r, setups[seed]);
        sql(&r, SCHEMA);
        engine_start(&r);
        for (int i = 0; i < 80; i++) {
            x = x * 1664525u + 1013904223u;
            sql(&r, mix[(x >> 16) % HF_ARRAY_LEN(mix)]);
            if (i % 20 != 19)
                continue;
            snprintf(what, sizeof(what), "seed %u, step %d", seed, i);
            engine_sync(&r);
            check(&r, what);
            if (i % 40 == 39) {
                engine_stop(&r);
                sql(&r, mix[(x >> 8) % HF_ARRAY_LEN(mix)]);
                engine_start(&r);
            }
        }
        engine_sync(&r);
        status(&r);
        assert_string_equal(r.error, "");
        check(&r, "at the end");
        rig_deinit(&r);
    }
}

/* The same with two destinations; threads of both at work (TSan runs this, too). */
static void test_two_replicas(void **state)
{
    (void)state;
    struct rig r;
    unsigned x = 5;
    rig_init(&r);
    r.url2 = hf_asprintf("file://%s/rep2", r.dir);
    sql(&r, SCHEMA);
    engine_start(&r);
    for (int i = 0; i < 60; i++) {
        x = x * 1664525u + 1013904223u;
        sql(&r, mix[(x >> 16) % HF_ARRAY_LEN(mix)]);
        if (i % 12 != 11)
            continue;
        engine_sync(&r);
        check(&r, "two replicas");
        if (i % 24 == 23) {
            engine_stop(&r);
            engine_start(&r);
        }
    }
    engine_sync(&r);
    status(&r);
    assert_string_equal(r.error, "");
    assert_int_equal(r.st.lag_ms, 0);
    rig_deinit(&r);
}

/* Whoever comes first says how many threads a group has: changes that wait for a pack, one a
 * thread, must not come into a group for those that do not wait. */
static void test_packs_have_their_own_threads(void **state)
{
    (void)state;
    struct engine e = {.n_groups = 0};
    struct hf_err err = HF_ERR_INIT;
    struct hf_config_replica plain = {.type = HF_REPLICA_FILE, .url = "file:///a"};
    struct hf_config_replica packed = {.type = HF_REPLICA_FILE, .url = "file:///b", .pack = true};
    struct lane_group *groups[3] = {NULL};
    assert_int_equal(engine_get_group(&e, &plain, 0, &groups[0], &err), HF_OK);
    assert_int_equal(engine_get_group(&e, &packed, 0, &groups[1], &err), HF_OK);
    assert_int_equal(engine_get_group(&e, &packed, 0, &groups[2], &err), HF_OK);
    assert_ptr_not_equal(groups[0], groups[1]);
    assert_ptr_equal(groups[1], groups[2]);
    struct lane_group *lone = NULL;
    assert_int_equal(engine_get_lone_group(&e, &plain, &lone, &err), HF_OK);
    assert_null(lone);
    assert_int_equal(engine_get_lone_group(&e, &packed, &lone, &err), HF_OK);
    assert_null(lone);
    engine_free_groups(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ships_and_says_so),
        cmocka_unit_test(test_goes_on_without_a_rebase),
        cmocka_unit_test(test_rebase_ships_the_difference),
        cmocka_unit_test(test_comes_to_life),
        cmocka_unit_test(test_rollback_mode_is_converted),
        cmocka_unit_test(test_other_writer),
        cmocka_unit_test(test_random_mix),
        cmocka_unit_test(test_two_replicas),
        cmocka_unit_test(test_packs_have_their_own_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
