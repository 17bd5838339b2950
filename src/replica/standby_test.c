/*
 * Standby copies of several databases while an engine in this process ships what writers commit:
 * restores and followers on their threads, stopped from another one. Meant for ThreadSanitizer as
 * much as for its results.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "os/file.h"
#include "replica/engine.h"
#include "replica/standby.h"
#include "sqlite/testdb.h"

enum { DBS = 4, SYNC_MS = 20000, WAIT_MS = 60000 };

struct rig {
    char dir[64];
    char *db[DBS];
    char *copy[DBS];
    struct hf_testdb w[DBS];
    struct hf_config *cfg;
    struct hf_engine *e;
    struct hf_store *store[DBS];
    struct hf_replica *replica[DBS];
    struct hf_standby *s;
    pthread_t thread;

    /* Written by tick(), on the thread that runs the standby. */
    atomic_uint_fast64_t txid[DBS];
    atomic_size_t n_following;
    uint64_t deadline_ms;
};

static void start_engine(struct rig *r)
{
    struct hf_err err = HF_ERR_INIT;
    char text[4096] = "dbs:\n";
    size_t len = strlen(text);
    for (int i = 0; i < DBS; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len,
                                "  - path: %s\n    replica: {type: file, path: %s/rep%d, "
                                "sync-interval: 10ms}\n",
                                r->db[i], r->dir, i);
    assert_true(len < sizeof(text));
    if (hf_config_parse("test.yml", text, len, NULL, &r->cfg, &err) != HF_OK)
        fail_msg("%s", err.text);
    struct hf_engine_options o = {.cfg = r->cfg};
    if (hf_engine_start(&o, &r->e, &err) != HF_OK)
        fail_msg("%s", err.text);
}

static void sync_engine(struct rig *r)
{
    struct hf_err err = HF_ERR_INIT;
    if (hf_engine_sync(r->e, SYNC_MS, &err) != HF_OK)
        fail_msg("%s", err.text);
}

static void rig_init(struct rig *r)
{
    struct hf_err err = HF_ERR_INIT;
    *r = (struct rig){.dir = "/tmp/hf-standby-XXXXXX"};
    assert_non_null(mkdtemp(r->dir));
    for (int i = 0; i < DBS; i++) {
        r->db[i] = hf_asprintf("%s/app%d.db", r->dir, i);
        r->copy[i] = hf_asprintf("%s/copies/app%d.db", r->dir, i);
        hf_testdb_start(&r->w[i], r->db[i]);
        assert_int_equal(hf_testdb_exec(&r->w[i], "pragma journal_mode=wal; create table t(x);"
                                                  "insert into t values(randomblob(9000))"),
                         0);
        HF_AUTO_FREE char *url = hf_asprintf("file://%s/rep%d", r->dir, i);
        assert_int_equal(hf_store_open(url, &r->store[i], &err), HF_OK);
        assert_int_equal(hf_replica_new(r->store[i], "", &r->replica[i], &err), HF_OK);
    }
    start_engine(r);
    sync_engine(r);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void rig_deinit(struct rig *r)
{
    hf_standby_free(r->s);
    if (r->e != NULL)
        hf_engine_stop(r->e);
    hf_config_free(r->cfg);
    for (int i = 0; i < DBS; i++) {
        hf_testdb_stop(&r->w[i]);
        hf_replica_free(r->replica[i]);
        hf_store_close(r->store[i]);
        hf_free(r->db[i]);
        hf_free(r->copy[i]);
    }
    nftw(r->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static bool on_tick(void *arg)
{
    struct rig *r = arg;
    size_t n = 0;
    for (size_t i = 0; i < hf_standby_count(r->s); i++) {
        struct hf_standby_row row;
        hf_standby_row(r->s, i, &row);
        assert_non_null(row.error);
        atomic_store(&r->txid[i], row.txid);
        n += row.state == HF_STANDBY_FOLLOWING;
    }
    atomic_store(&r->n_following, n);
    return hf_clock_mono_ms() < r->deadline_ms;
}

static void *run(void *arg)
{
    hf_standby_run(((struct rig *)arg)->s);
    return NULL;
}

static void start(struct rig *r, struct hf_standby_options o)
{
    struct hf_err err = HF_ERR_INIT;
    o.target.kind = HF_TARGET_LATEST;
    o.parallelism = 2;
    o.interval_ms = 20;
    o.tick = on_tick;
    o.tick_arg = r;
    r->deadline_ms = hf_clock_mono_ms() + WAIT_MS;
    if (hf_standby_new(&o, &r->s, &err) != HF_OK)
        fail_msg("%s", err.text);
    for (int i = 0; i < DBS; i++) {
        struct hf_standby_item item = {
            .name = r->db[i], .path = r->copy[i], .replicas = &r->replica[i], .n_replicas = 1};
        hf_standby_add(r->s, &item);
    }
    assert_int_equal(pthread_create(&r->thread, NULL, run, r), 0);
}

static void check_copies(struct rig *r)
{
    for (int i = 0; i < DBS; i++) {
        uint8_t *want = NULL;
        uint8_t *got = NULL;
        size_t want_len = 0;
        size_t got_len = 0;
        hf_testdb_image(r->db[i], &want, &want_len);
        hf_testdb_image(r->copy[i], &got, &got_len);
        assert_int_equal(got_len, want_len);
        /* behind the header's counters, which a copy that was let go of has of its own */
        assert_memory_equal(got + 100, want + 100, want_len - 100);
        hf_free(want);
        hf_free(got);
    }
}

struct newest {
    uint64_t txid[DBS];
    size_t n;
};

static void note_txid(void *arg, const struct hf_db_status *s)
{
    struct newest *n = arg;
    n->txid[n->n++] = s->txid;
}

/* Until every copy is where the engine is. */
static void await_copies(struct rig *r)
{
    struct newest want = {.n = 0};
    hf_engine_status(r->e, note_txid, &want);
    assert_int_equal(want.n, DBS);
    for (int i = 0; i < DBS; i++) {
        while (atomic_load(&r->txid[i]) < want.txid[i]) {
            assert_true(hf_clock_mono_ms() < r->deadline_ms);
            hf_clock_sleep_us(2000);
        }
    }
}

static void test_follows_while_it_is_written(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    start(&r, (struct hf_standby_options){.is_follow = true, .is_endless = true});
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < DBS; i++)
            assert_int_equal(
                hf_testdb_exec(&r.w[i], "insert into t values(randomblob(%d))", 500 * round + i),
                0);
        sync_engine(&r);
    }
    await_copies(&r);
    assert_int_equal(atomic_load(&r.n_following), DBS);
    hf_standby_stop(r.s); /* from a thread that does not run it */
    pthread_join(r.thread, NULL);
    check_copies(&r);
    rig_deinit(&r);
}

static void test_restores_and_ends(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    start(&r, (struct hf_standby_options){.is_force = true});
    pthread_join(r.thread, NULL);
    for (size_t i = 0; i < DBS; i++) {
        struct hf_standby_row row;
        hf_standby_row(r.s, i, &row);
        assert_int_equal(row.state, HF_STANDBY_DONE);
        assert_int_equal(row.code, HF_OK);
        assert_true(row.bytes > 9000);
    }
    check_copies(&r);
    rig_deinit(&r);
}

/* Stopped at any moment: nothing half is left under a copy's name, and nothing runs on. */
static void test_stopped_early(void **state)
{
    (void)state;
    for (unsigned us = 0; us < 40000; us = us * 2 + 500) {
        struct rig r;
        rig_init(&r);
        start(&r, (struct hf_standby_options){.is_follow = true});
        hf_clock_sleep_us(us);
        hf_standby_stop(r.s);
        pthread_join(r.thread, NULL);
        for (int i = 0; i < DBS; i++) {
            uint8_t *image = NULL;
            size_t len = 0;
            if (!hf_path_exists(r.copy[i]))
                continue;
            hf_testdb_image(r.copy[i], &image, &len);
            assert_true(len > 9000);
            hf_free(image);
        }
        rig_deinit(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follows_while_it_is_written),
        cmocka_unit_test(test_restores_and_ends),
        cmocka_unit_test(test_stopped_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
