/*
 * A follower against a real database: a source in WAL mode whose commits become L0 files, and a
 * copy that is compared with it through SQL after each step. Kills happen in other processes (this
 * program again with a mode word) at single system calls, by HF_FAULT.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/fault.h"
#include "replica/compact.h"
#include "replica/follow.h"
#include "replica/restore.h"
#include "sqlite/testdb.h"
#include "sqlite/wal.h"

enum { PAGE = 1024, PAGES_MAX = 8192 };

static const char *self;

struct rig {
    char dir[64];
    char src[96];
    char dst[96];
    char rep[96];
    struct hf_testdb db;
    enum hf_code run_rc;
    struct hf_store *store;
    struct hf_replica *replica;
    struct hf_follow *follow;
    uint64_t txid;
    uint32_t read_frames;
    unsigned seed;
};

static void must(enum hf_code rc, const struct hf_err *err)
{
    if (rc != HF_OK)
        fail_msg("%s: %s", hf_code_word(rc), err->text);
}

static void exec(struct hf_testdb *db, const char *sql)
{
    int rc = hf_testdb_exec(db, "%s", sql);
    if (rc != 0)
        fail_msg("%s: SQLite code %d", sql, rc);
}

static enum hf_code base_run(void *arg, const char *path, uint64_t *txid, struct hf_err *err)
{
    struct hf_restore_options o = {.output = path, .target = {.kind = HF_TARGET_LATEST}};
    struct hf_restore_result res;
    HF_TRY(hf_restore_run(arg, &o, &res, err));
    *txid = res.txid;
    return HF_OK;
}

/* ---- the source ---- */

static enum hf_code to_buf(void *arg, const void *data, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, data, len, err);
}

struct pageset {
    uint8_t *pages[PAGES_MAX];
};

static void put_file(struct rig *r, struct hf_ltx_header *h, struct pageset *set)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_buf buf;
    struct hf_ltx_encoder *e = NULL;
    hf_buf_init(&buf, 64u << 20);
    h->flags = HF_LTX_FLAG_NO_CHECKSUM;
    h->timestamp_ms = hf_clock_wall_ms();
    must(hf_ltx_encoder_new(h, HF_LTX_FORM_BLOCK, (struct hf_sink){to_buf, &buf}, NULL, &e, &err),
         &err);
    for (uint32_t i = 1; set != NULL && i <= h->commit; i++) {
        if (set->pages[i] != NULL)
            must(hf_ltx_encoder_page(e, i, set->pages[i], &err), &err);
    }
    struct hf_ltx_trailer t;
    must(hf_ltx_encoder_finish(e, &t, NULL, &err), &err);
    hf_ltx_encoder_free(e);
    must(hf_replica_put(r->replica, 0, h, buf.data, buf.len, &err), &err);
    hf_buf_deinit(&buf);
}

/* All commits of the source's log since the last call, as one L0 file. */
static void ship(struct rig *r)
{
    char path[128];
    snprintf(path, sizeof(path), "%s-wal", r->src);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    struct pageset *set = hf_calloc(1, sizeof(*set));
    uint8_t frame[HF_WAL_FRAME_HEADER_SIZE + PAGE];
    struct hf_ltx_header h = {.page_size = PAGE, .min_txid = r->txid + 1, .max_txid = r->txid + 1};
    fseek(f, (long)hf_wal_frame_offset(PAGE, r->read_frames + 1), SEEK_SET);
    while (fread(frame, 1, sizeof(frame), f) == sizeof(frame)) {
        struct hf_wal_frame info;
        hf_wal_frame_parse(frame, &info);
        assert_true(info.pgno < PAGES_MAX);
        if (set->pages[info.pgno] == NULL)
            set->pages[info.pgno] = hf_malloc(PAGE);
        memcpy(set->pages[info.pgno], frame + HF_WAL_FRAME_HEADER_SIZE, PAGE);
        h.commit = info.commit != 0 ? info.commit : h.commit;
        r->read_frames++;
    }
    fclose(f);
    put_file(r, &h, set);
    r->txid++;
    for (uint32_t i = 0; i < PAGES_MAX; i++)
        hf_free(set->pages[i]);
    hf_free(set);
}

static void commit(struct rig *r)
{
    exec(&r->db, "BEGIN; UPDATE n SET k=k+1");
    switch (rand_r(&r->seed) % 6) {
    case 0:
        exec(&r->db,
             "INSERT INTO t(x) WITH RECURSIVE c(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM c "
             "WHERE n<120) SELECT randomblob(700) FROM c");
        break;
    case 1:
        exec(&r->db, "DELETE FROM t WHERE i % 3 = 0; PRAGMA incremental_vacuum(100)");
        break;
    default:
        exec(&r->db, "INSERT INTO t(x) VALUES(randomblob(50)); UPDATE t SET x=randomblob(60) WHERE "
                     "i % 17 = 4");
    }
    exec(&r->db, "COMMIT");
    ship(r);
}

static void rig_open_replica(struct rig *r)
{
    struct hf_err err = HF_ERR_INIT;
    must(hf_store_open(r->rep, &r->store, &err), &err);
    must(hf_replica_new(r->store, "db", &r->replica, &err), &err);
}

static void rig_init_new(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    r->seed = 77;
    snprintf(r->dir, sizeof(r->dir), "/tmp/hf-follow-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->src, sizeof(r->src), "%s/src.db", r->dir);
    snprintf(r->dst, sizeof(r->dst), "%s/dst.db", r->dir);
    snprintf(r->rep, sizeof(r->rep), "%s/rep", r->dir);
    rig_open_replica(r);
    hf_testdb_start(&r->db, r->src);
    exec(&r->db, "PRAGMA page_size=1024; PRAGMA auto_vacuum=incremental; PRAGMA journal_mode=wal;"
                 "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(i INTEGER PRIMARY KEY, x);"
                 "CREATE TABLE n(k); INSERT INTO n VALUES(0)");
    ship(r); /* TXID 1: every page is in the log */
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void rig_deinit(struct rig *r)
{
    hf_follow_close(r->follow);
    hf_replica_free(r->replica);
    hf_store_close(r->store);
    hf_testdb_stop(&r->db);
    nftw(r->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- the follower ---- */

static enum hf_code open_follow(struct rig *r, bool is_forced, struct hf_err *err)
{
    struct hf_follow_options o = {.replica = r->replica,
                                  .path = r->dst,
                                  .interval_ms = 20,
                                  .is_forced = is_forced,
                                  .base = base_run,
                                  .base_arg = r->replica};
    return hf_follow_open(&o, &r->follow, err);
}

static void follow(struct rig *r)
{
    struct hf_err err = HF_ERR_INIT;
    must(open_follow(r, false, &err), &err);
}

static void unfollow(struct rig *r)
{
    hf_follow_close(r->follow);
    r->follow = NULL;
}

static void catch_up(struct rig *r)
{
    struct hf_err err = HF_ERR_INIT;
    bool is_applied = true;
    uint64_t until = hf_clock_mono_ms() + 10000;
    struct hf_follow_status st;
    do {
        must(hf_follow_step(r->follow, &is_applied, &err), &err);
        hf_follow_status(r->follow, &st);
    } while ((is_applied || st.txid < r->txid) && hf_clock_mono_ms() < until);
    assert_int_equal(st.txid, r->txid);
}

static void check_same(struct rig *r)
{
    uint8_t *ours = NULL;
    uint8_t *theirs = NULL;
    size_t n = 0;
    size_t m = 0;
    hf_testdb_image(r->dst, &ours, &n);
    hf_testdb_image(r->src, &theirs, &m);
    assert_int_equal(n, m);
    assert_memory_equal(ours, theirs, n);
    hf_free(ours);
    hf_free(theirs);
}

static int run_self(const char *mode, const char *a, const char *b, const char *fault)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (fault != NULL)
            setenv("HF_FAULT", fault, 1);
        execl(self, self, mode, a, b, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return status;
}

static int mode_sql(const char *path, const char *sql)
{
    struct hf_testdb db;
    hf_testdb_start(&db, path);
    int rc = hf_testdb_exec(&db, "%s", sql);
    hf_testdb_stop(&db);
    return rc;
}

/* Follows until nothing is left to apply, copies back, ends in order. */
static int mode_follow(const char *dst, const char *rep)
{
    struct rig r = {0};
    struct hf_err err = HF_ERR_INIT;
    snprintf(r.dst, sizeof(r.dst), "%s", dst);
    snprintf(r.rep, sizeof(r.rep), "%s", rep);
    if (hf_fault_arm(getenv("HF_FAULT"), &err) != HF_OK)
        return 3;
    enum hf_code rc = hf_store_open(r.rep, &r.store, &err);
    if (rc == HF_OK)
        rc = hf_replica_new(r.store, "db", &r.replica, &err);
    if (rc == HF_OK)
        rc = open_follow(&r, false, &err);
    for (bool is_applied = true; rc == HF_OK && is_applied;)
        rc = hf_follow_step(r.follow, &is_applied, &err);
    if (rc != HF_OK)
        fprintf(stderr, "follow: %s: %s\n", hf_code_word(rc), err.text);
    hf_follow_close(r.follow);
    hf_replica_free(r.replica);
    hf_store_close(r.store);
    return rc == HF_OK ? 0 : 1;
}

/* ---- tests ---- */

static void test_follows_from_an_empty_place(void **state)
{
    (void)state;
    struct rig r;
    rig_init_new(&r);
    for (int i = 0; i < 5; i++)
        commit(&r);
    follow(&r);
    check_same(&r);
    for (int i = 0; i < 60; i++) {
        commit(&r);
        if (i % 5 == 0) {
            catch_up(&r);
            check_same(&r);
        }
    }
    catch_up(&r);
    check_same(&r);
    struct hf_follow_status st;
    hf_follow_status(r.follow, &st);
    assert_true(st.commit_time_ms > 0 && st.lag_ms < 60000);
    unfollow(&r);
    char path[128];
    char text[32] = "";
    char want[32];
    snprintf(path, sizeof(path), "%s-txid", r.dst);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(text, 1, sizeof(text) - 1, f), 17);
    fclose(f);
    snprintf(want, sizeof(want), "%016llx\n", (unsigned long long)r.txid);
    assert_string_equal(text, want); /* as Litestream's followers leave it */
    commit(&r);
    follow(&r); /* resumes */
    catch_up(&r);
    check_same(&r);
    rig_deinit(&r);
}

static void delete_l0(struct rig *r, uint64_t keep_from)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_ltx_list l = {0};
    must(hf_replica_list(r->replica, 0, 0, &l, &err), &err);
    for (size_t i = 0; i < l.len; i++) {
        if (l.items[i].max_txid < keep_from)
            must(hf_replica_delete(r->replica, &l.items[i], 1, &err), &err);
    }
    hf_ltx_list_deinit(&l);
}

static void test_gaps(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        bool has_level1;
        bool has_snapshot;
    } rows[] = {
        {"L0 is gone, level 1 continues", true, false},
        {"only a snapshot is left", false, true},
        {"both", true, true},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct rig r;
        struct hf_err err = HF_ERR_INIT;
        struct hf_compact_result res;
        rig_init_new(&r);
        commit(&r);
        follow(&r);
        for (int n = 0; n < 20; n++)
            commit(&r);
        if (rows[i].has_level1)
            must(hf_compact_level(r.replica, 1, HF_LTX_FORM_BLOCK, (struct hf_page_hook){0}, &res,
                                  &err),
                 &err);
        if (rows[i].has_snapshot)
            must(hf_compact_snapshot(r.replica, HF_LTX_FORM_BLOCK, NULL, &res, &err), &err);
        for (int n = 0; n < 3; n++)
            commit(&r);
        delete_l0(&r, r.txid - 2);
        catch_up(&r);
        check_same(&r);
        rig_deinit(&r);
    }
}

static void test_unbridged_gap_is_said_and_mended(void **state)
{
    (void)state;
    struct rig r;
    struct hf_err err = HF_ERR_INIT;
    rig_init_new(&r);
    commit(&r);
    follow(&r);
    catch_up(&r);
    uint64_t had = r.txid;
    commit(&r);
    commit(&r);
    commit(&r);
    struct hf_ltx_info missing = {.min_txid = had + 1, .max_txid = had + 1};
    HF_AUTO_FREE char *name = hf_replica_object(r.replica, &missing);
    HF_AUTO_FREE char *path = hf_asprintf("%s/%s", r.rep, name);
    HF_AUTO_FREE char *aside = hf_asprintf("%s/aside", r.dir);
    assert_int_equal(rename(path, aside), 0);
    enum hf_code rc = HF_OK;
    for (int i = 0; i < 1000 && rc == HF_OK; i++) {
        bool is_applied;
        rc = hf_follow_step(r.follow, &is_applied, &err);
        hf_clock_sleep_us(10000);
    }
    assert_int_equal(rc, HF_E_CORRUPT);
    assert_false(hf_follow_is_fatal(rc));
    struct hf_follow_status st;
    hf_follow_status(r.follow, &st);
    assert_int_equal(st.code, HF_E_CORRUPT);
    assert_true(strlen(st.text) > 0);
    assert_int_equal(st.txid, had);
    assert_int_equal(rename(aside, path), 0);
    catch_up(&r);
    check_same(&r);
    rig_deinit(&r);
}

static void test_seal_and_page_size(void **state)
{
    (void)state;
    struct rig r;
    struct hf_err err = HF_ERR_INIT;
    rig_init_new(&r);
    commit(&r);
    follow(&r);
    size_t bytes = 0;
    uint8_t *image = NULL;
    hf_testdb_image(r.src, &image, &bytes);
    hf_free(image);
    struct hf_ltx_header h = {.page_size = PAGE,
                              .commit = (uint32_t)(bytes / PAGE),
                              .min_txid = r.txid + 1,
                              .max_txid = r.txid + 1,
                              .node_id = 5};
    put_file(&r, &h, NULL); /* a seal: no pages */
    r.txid++;
    catch_up(&r);
    check_same(&r);
    commit(&r);
    catch_up(&r);
    check_same(&r);
    struct pageset *set = hf_calloc(1, sizeof(*set));
    uint8_t page[4096] = {1};
    set->pages[1] = page;
    h = (struct hf_ltx_header){
        .page_size = 4096, .commit = 1, .min_txid = r.txid + 1, .max_txid = r.txid + 1};
    put_file(&r, &h, set);
    bool is_applied;
    /* a replica from which no new copy can be made: the old one stays, and it is tried again */
    enum hf_code rc = hf_follow_step(r.follow, &is_applied, &err);
    assert_int_equal(rc, HF_E_CORRUPT);
    check_same(&r);
    hf_err_reset(&err);
    assert_int_equal(hf_follow_step(r.follow, &is_applied, &err), HF_E_BUSY);
    hf_free(set);
    check_same(&r);
    rig_deinit(&r);
}

static void test_forks(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        bool while_running; /* otherwise between two lives */
        const char *sql;
    } rows[] = {
        {"written while it is followed", true, "INSERT INTO t(x) VALUES(1)"},
        {"written after it was let go of", false, "INSERT INTO t(x) VALUES(1)"},
        {"the same, its log copied back by the last close", false,
         "INSERT INTO t(x) VALUES(1); PRAGMA wal_checkpoint(TRUNCATE)"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct rig r;
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = HF_OK;
        bool is_applied;
        rig_init_new(&r);
        commit(&r);
        follow(&r);
        commit(&r);
        catch_up(&r);
        if (!rows[i].while_running)
            unfollow(&r);
        assert_int_equal(run_self("sql", r.dst, rows[i].sql, NULL), 0);
        commit(&r);
        if (!rows[i].while_running)
            rc = open_follow(&r, false, &err);
        if (rc == HF_OK)
            rc = hf_follow_step(r.follow, &is_applied, &err);
        if (rc != HF_E_CONFLICT)
            fail_msg("%s: %s", rows[i].why, hf_code_word(rc));
        unfollow(&r);
        must(open_follow(&r, true, &err), &err); /* -force: made anew */
        catch_up(&r);
        check_same(&r);
        rig_deinit(&r);
    }
}

static void test_refuses_what_is_not_ours(void **state)
{
    (void)state;
    struct rig r;
    struct hf_err err = HF_ERR_INIT;
    rig_init_new(&r);
    commit(&r);
    FILE *f = fopen(r.dst, "wb");
    fputs("mine", f);
    fclose(f);
    assert_int_equal(open_follow(&r, false, &err), HF_E_EXISTS);
    must(open_follow(&r, true, &err), &err);
    catch_up(&r);
    check_same(&r);
    unfollow(&r);
    /* replaced by another file of the same name */
    HF_AUTO_FREE char *other = hf_asprintf("%s/other", r.dir);
    must(base_run(r.replica, other, &r.txid, &err), &err);
    assert_int_equal(rename(other, r.dst), 0);
    assert_int_equal(open_follow(&r, false, &err), HF_E_EXISTS);
    rig_deinit(&r);
}

static void test_replica_that_was_set_back(void **state)
{
    (void)state;
    struct rig r;
    struct hf_err err = HF_ERR_INIT;
    bool is_applied;
    rig_init_new(&r);
    for (int i = 0; i < 4; i++)
        commit(&r);
    follow(&r);
    commit(&r);
    catch_up(&r);
    unfollow(&r);
    struct hf_ltx_info last = {.min_txid = r.txid, .max_txid = r.txid};
    must(hf_replica_delete(r.replica, &last, 1, &err), &err);
    follow(&r);
    assert_int_equal(hf_follow_step(r.follow, &is_applied, &err), HF_E_CONFLICT);
    rig_deinit(&r);
}

/* What a follower of Litestream leaves: a rollback-mode file and its TXID beside it. */
static void test_takes_over_from_litestream(void **state)
{
    (void)state;
    struct rig r;
    struct hf_err err = HF_ERR_INIT;
    uint64_t txid = 0;
    rig_init_new(&r);
    commit(&r);
    must(base_run(r.replica, r.dst, &txid, &err), &err);
    assert_int_equal(run_self("sql", r.dst, "PRAGMA journal_mode=delete", NULL), 0);
    HF_AUTO_FREE char *path = hf_asprintf("%s-txid", r.dst);
    FILE *f = fopen(path, "wb");
    fprintf(f, "%016llx\n", (unsigned long long)txid);
    fclose(f);
    for (int i = 0; i < 5; i++)
        commit(&r);
    follow(&r);
    catch_up(&r);
    exec(&r.db, "PRAGMA user_version=3"); /* page 1 */
    ship(&r);
    catch_up(&r);
    check_same(&r);
    rig_deinit(&r);
}

/* kill -9 before every single write, fsync, rename... of a follower, each time with new files. */
static void test_killed_at_every_call(void **state)
{
    (void)state;
    static const char *const ops[] = {"write", "fsync", "rename", "truncate", "open"};
    struct rig r;
    rig_init_new(&r);
    commit(&r);
    unsigned kills = 0;
    for (size_t op = 0; op < HF_ARRAY_LEN(ops); op++) {
        for (int nth = 1; nth < 60; nth++) {
            char fault[64];
            for (int n = 0; n < 3; n++)
                commit(&r);
            snprintf(fault, sizeof(fault), "%s:%d:KILL", ops[op], nth);
            int status = run_self("follow", r.dst, r.rep, fault);
            if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
                fail_msg("%s: status %x", fault, (unsigned)status);
            kills += WIFSIGNALED(status);
            if (nth % 5 == 0) { /* otherwise kill follows kill */
                assert_int_equal(run_self("follow", r.dst, r.rep, NULL), 0);
                check_same(&r);
            }
            if (nth % 7 == 0 && access(r.dst, F_OK) == 0)
                assert_int_equal(run_self("sql", r.dst, "PRAGMA integrity_check", NULL), 0);
            if (WIFEXITED(status))
                break;
        }
    }
    assert_true(kills > 20);
    assert_int_equal(run_self("follow", r.dst, r.rep, NULL), 0);
    check_same(&r);
    rig_deinit(&r);
}

/* Failing calls: an error, nothing lost, and on it goes. */
static void test_every_call_fails_once(void **state)
{
    (void)state;
    static const char *const ops[] = {"write", "fsync", "rename", "truncate", "open", "read"};
    struct rig r;
    rig_init_new(&r);
    commit(&r);
    for (size_t op = 0; op < HF_ARRAY_LEN(ops); op++) {
        for (int nth = 1; nth < 20; nth++) {
            char fault[64];
            commit(&r);
            snprintf(fault, sizeof(fault), "%s:%d:%s", ops[op], nth, nth % 2 ? "ENOSPC" : "EIO");
            int status = run_self("follow", r.dst, r.rep, fault);
            assert_true(WIFEXITED(status));
            assert_int_equal(run_self("follow", r.dst, r.rep, NULL), 0);
            check_same(&r);
        }
    }
    rig_deinit(&r);
}

static void *run_thread(void *arg)
{
    struct rig *r = arg;
    struct hf_err err = HF_ERR_INIT;
    r->run_rc = hf_follow_run(r->follow, &err);
    return NULL;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A new file is visible to readers soon after it appears, long before the interval is over. */
static void test_reacts_at_once(void **state)
{
    (void)state;
    enum { ROUNDS = 60 };
    struct rig r;
    rig_init_new(&r);
    commit(&r);
    struct hf_err err = HF_ERR_INIT;
    struct hf_follow_options o = {.replica = r.replica,
                                  .path = r.dst,
                                  .interval_ms = 10000,
                                  .base = base_run,
                                  .base_arg = r.replica};
    must(hf_follow_open(&o, &r.follow, &err), &err);
    pthread_t thread;
    pthread_create(&thread, NULL, run_thread, &r);
    hf_clock_sleep_us(50000);
    uint64_t us[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        exec(&r.db, "INSERT INTO t(x) VALUES(randomblob(50))");
        uint64_t start = hf_clock_mono_ns();
        ship(&r);
        struct hf_follow_status st;
        do {
            hf_clock_sleep_us(100);
            hf_follow_status(r.follow, &st);
        } while (st.txid < r.txid && hf_clock_mono_ns() - start < 8000000000u);
        us[i] = (hf_clock_mono_ns() - start) / 1000;
        hf_clock_sleep_us(5000);
    }
    uint64_t stop_ms = hf_clock_mono_ms();
    hf_follow_stop(r.follow);
    pthread_join(thread, NULL);
    assert_int_equal(r.run_rc, HF_OK);
    assert_true(hf_clock_mono_ms() - stop_ms < 2000);
    qsort(us, ROUNDS, sizeof(us[0]), compare_u64);
    printf("put to visible: p50 %llu us, max %llu us\n", (unsigned long long)us[ROUNDS / 2],
           (unsigned long long)us[ROUNDS - 1]);
    fflush(stdout); /* or every fork below prints it again */
    assert_true(us[ROUNDS / 2] < 50000);
    check_same(&r);
    rig_deinit(&r);
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc == 4 && strcmp(argv[1], "sql") == 0)
        return mode_sql(argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "follow") == 0)
        return mode_follow(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follows_from_an_empty_place),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_unbridged_gap_is_said_and_mended),
        cmocka_unit_test(test_seal_and_page_size),
        cmocka_unit_test(test_forks),
        cmocka_unit_test(test_refuses_what_is_not_ours),
        cmocka_unit_test(test_replica_that_was_set_back),
        cmocka_unit_test(test_takes_over_from_litestream),
        cmocka_unit_test(test_killed_at_every_call),
        cmocka_unit_test(test_every_call_fails_once),
        cmocka_unit_test(test_reacts_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
