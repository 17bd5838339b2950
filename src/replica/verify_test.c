/*
 * Verdicts on a real source: a database in WAL mode whose commits this test ships itself, so that a
 * held state can be made to lie anywhere: at a TXID, inside a file, before a file that lost a page.
 * What a running process would do while it is asked to sync happens in the sync callback.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "replica/verify.h"
#include "sqlite/testdb.h"
#include "sqlite/wal.h"

enum { PAGE = 1024, PAGES_MAX = 4096, HOLD_MS = 1234 };

enum mode { SHIP, SHIP_INSIDE_ONCE, SHIP_INSIDE_ALWAYS };

static struct rig {
    char dir[64];
    char src[96];
    char rep[96];
    struct hf_testdb db;
    struct hf_store *store;
    struct hf_replica *replica;
    uint64_t txid;
    uint32_t read_frames;
    uint32_t drop; /* a page the next file leaves out */
    uint32_t dropped;
    enum mode mode;
    unsigned asked;
} rig;

static void must(enum hf_code rc, const struct hf_err *err)
{
    if (rc != HF_OK)
        fail_msg("%s: %s", hf_code_word(rc), err->text);
}

static void exec(const char *sql)
{
    int rc = hf_testdb_exec(&rig.db, "%s", sql);
    if (rc != 0)
        fail_msg("%s: SQLite code %d", sql, rc);
}

/* ---- shipping ---- */

static enum hf_code to_buf(void *arg, const void *data, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, data, len, err);
}

static void put_file(struct hf_ltx_header *h, uint8_t *const *pages)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_buf buf;
    struct hf_ltx_encoder *e = NULL;
    struct hf_ltx_trailer t;
    hf_buf_init(&buf, 64u << 20);
    h->flags = HF_LTX_FLAG_NO_CHECKSUM;
    h->timestamp_ms = hf_clock_wall_ms();
    must(hf_ltx_encoder_new(h, HF_LTX_FORM_BLOCK, (struct hf_sink){to_buf, &buf}, NULL, &e, &err),
         &err);
    for (uint32_t i = 1; i <= h->commit; i++) {
        if (pages[i] == NULL)
            continue;
        if (rig.drop != 0 && i >= rig.drop && rig.dropped == 0) {
            rig.dropped = i;
            continue;
        }
        must(hf_ltx_encoder_page(e, i, pages[i], &err), &err);
    }
    must(hf_ltx_encoder_finish(e, &t, NULL, &err), &err);
    hf_ltx_encoder_free(e);
    must(hf_replica_put(rig.replica, 0, h, buf.data, buf.len, &err), &err);
    hf_buf_deinit(&buf);
}

/* All commits of the source's log since the last call, as one L0 file; nothing without commits. */
static void ship(void)
{
    char path[128];
    uint8_t **pages = hf_calloc(PAGES_MAX, sizeof(*pages));
    uint8_t frame[HF_WAL_FRAME_HEADER_SIZE + PAGE];
    struct hf_ltx_header h = {
        .page_size = PAGE, .min_txid = rig.txid + 1, .max_txid = rig.txid + 1};
    snprintf(path, sizeof(path), "%s-wal", rig.src);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, (long)hf_wal_frame_offset(PAGE, rig.read_frames + 1), SEEK_SET);
    while (fread(frame, 1, sizeof(frame), f) == sizeof(frame)) {
        struct hf_wal_frame info;
        hf_wal_frame_parse(frame, &info);
        assert_true(info.pgno < PAGES_MAX);
        if (pages[info.pgno] == NULL)
            pages[info.pgno] = hf_malloc(PAGE);
        memcpy(pages[info.pgno], frame + HF_WAL_FRAME_HEADER_SIZE, PAGE);
        h.commit = info.commit != 0 ? info.commit : h.commit;
        rig.read_frames++;
    }
    fclose(f);
    if (h.commit != 0) {
        put_file(&h, pages);
        rig.txid++;
    }
    for (uint32_t i = 0; i < PAGES_MAX; i++)
        hf_free(pages[i]);
    hf_free(pages);
}

static void change(int row)
{
    char sql[100];
    snprintf(sql, sizeof(sql), "UPDATE t SET x=randomblob(600) WHERE i=%d", row);
    exec(sql);
}

/* ---- the rig ---- */

static int setup(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    memset(&rig, 0, sizeof(rig));
    snprintf(rig.dir, sizeof(rig.dir), "/tmp/hf-verify-XXXXXX");
    assert_non_null(mkdtemp(rig.dir));
    snprintf(rig.src, sizeof(rig.src), "%s/src.db", rig.dir);
    snprintf(rig.rep, sizeof(rig.rep), "%s/rep", rig.dir);
    must(hf_store_open(rig.rep, &rig.store, &err), &err);
    must(hf_replica_new(rig.store, "db", &rig.replica, &err), &err);
    hf_testdb_start(&rig.db, rig.src);
    exec("PRAGMA page_size=1024; PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0;"
         "CREATE TABLE t(i INTEGER PRIMARY KEY, x);"
         "INSERT INTO t(x) WITH RECURSIVE c(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM c WHERE "
         "n<200) SELECT randomblob(600) FROM c");
    ship();
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    hf_testdb_stop(&rig.db);
    hf_replica_free(rig.replica);
    hf_store_close(rig.store);
    nftw(rig.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}

/* What the replicating process does when it is asked, and what writers do meanwhile. */
static enum hf_code on_sync(void *arg, uint64_t timeout_ms, struct hf_err *err)
{
    (void)arg;
    (void)err;
    bool is_held = timeout_ms == HOLD_MS; /* then nobody can commit */
    bool is_inside =
        rig.mode == SHIP_INSIDE_ALWAYS || (rig.mode == SHIP_INSIDE_ONCE && rig.asked == 0);
    rig.asked++;
    if (is_inside && !is_held)
        change(100); /* a later commit of the same file */
    ship();
    if (rig.mode == SHIP_INSIDE_ALWAYS && !is_held)
        change(100); /* not shipped when the next state is held */
    return HF_OK;
}

static struct hf_verify_result verify(bool can_ask, uint64_t hold_ms)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_verify_result r;
    char scratch[128];
    snprintf(scratch, sizeof(scratch), "%s/scratch/copy.db", rig.dir);
    struct hf_verify_options o = {.replica = rig.replica,
                                  .source = rig.src,
                                  .scratch = scratch,
                                  .wait_ms = can_ask ? 20000 : 300,
                                  .hold_ms = hold_ms,
                                  .sync = can_ask ? on_sync : NULL};
    must(hf_verify_run(&o, &r, &err), &err);
    assert_int_not_equal(access(scratch, F_OK), 0);
    return r;
}

static void expect(const struct hf_verify_result *r, enum hf_verdict verdict, unsigned looks)
{
    if (r->verdict != verdict || r->looks != looks)
        fail_msg("%s after %u looks, %llu pages (first %u)", hf_verdict_word(r->verdict), r->looks,
                 (unsigned long long)r->n_different, r->shown[0]);
}

/* ---- verdicts ---- */

static void test_at_rest(void **state)
{
    (void)state;
    change(7);
    ship();
    struct hf_verify_result r = verify(true, 0);
    expect(&r, HF_VERDICT_SAME, 1);
    assert_int_equal(r.txid, 2);
    assert_int_equal(r.page_size, PAGE);
    assert_int_equal(rig.asked, 0);
}

static void test_shipped_when_asked(void **state)
{
    (void)state;
    change(7);
    exec("DELETE FROM t WHERE i > 150; VACUUM");
    struct hf_verify_result r = verify(true, 0);
    expect(&r, HF_VERDICT_SAME, 1);
    assert_int_equal(rig.asked, 1);
}

static void test_behind(void **state)
{
    (void)state;
    change(7);
    struct hf_verify_result r = verify(false, 0);
    expect(&r, HF_VERDICT_BEHIND, 1);
    assert_int_equal(r.n_different, 1);
}

/* The held state lies inside the file that is shipped next: its page is in flight, and proven at
 * the second look. */
static void test_inside_a_file(void **state)
{
    (void)state;
    change(100);
    rig.mode = SHIP_INSIDE_ONCE;
    struct hf_verify_result r = verify(true, 0);
    expect(&r, HF_VERDICT_SAME, 2);
}

static void test_always_in_flight(void **state)
{
    (void)state;
    change(100);
    rig.mode = SHIP_INSIDE_ALWAYS;
    struct hf_verify_result r = verify(true, 0);
    expect(&r, HF_VERDICT_BUSY, HF_VERIFY_LOOKS);
    assert_int_equal(r.n_different, 1);
    r = verify(true, HOLD_MS);
    expect(&r, HF_VERDICT_SAME, HF_VERIFY_LOOKS + 1);
}

static void lose(int row)
{
    change(row);
    rig.drop = 5; /* the first changed page from here on */
    ship();
    rig.drop = 0;
    assert_int_not_equal(rig.dropped, 0);
}

static void test_lost_page(void **state)
{
    (void)state;
    lose(60);
    struct hf_verify_result r = verify(true, 0);
    expect(&r, HF_VERDICT_DIFFERENT, 1);
    assert_int_equal(r.n_different, 1);
    assert_int_equal(r.shown[0], rig.dropped);
    /* Without anybody who says that all is shipped it may still come. */
    r = verify(false, 0);
    expect(&r, HF_VERDICT_BEHIND, 1);
}

static void test_lost_page_behind_pages_in_flight(void **state)
{
    (void)state;
    lose(60);
    change(100);
    rig.mode = SHIP_INSIDE_ALWAYS;
    struct hf_verify_result r = verify(true, HOLD_MS);
    expect(&r, HF_VERDICT_DIFFERENT, 1);
    assert_int_equal(r.shown[0], rig.dropped);
    assert_int_equal(r.n_different, 1);
    /* Written again it is whole again. */
    rig.mode = SHIP;
    change(60);
    ship();
    r = verify(true, 0);
    expect(&r, HF_VERDICT_SAME, 1);
}

static void test_stopped(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_verify_result r;
    struct hf_verify_options o = {
        .replica = rig.replica, .source = "/tmp/hf-verify-nope.db", .scratch = rig.rep};
    char scratch[128];
    snprintf(scratch, sizeof(scratch), "%s/copy.db", rig.dir);
    o.scratch = scratch;
    assert_int_equal(hf_verify_run(&o, &r, &err), HF_E_NOT_FOUND);
    assert_int_not_equal(access(scratch, F_OK), 0);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_at_rest),          CASE(test_shipped_when_asked),
        CASE(test_behind),           CASE(test_inside_a_file),
        CASE(test_always_in_flight), CASE(test_lost_page),
        CASE(test_stopped),          CASE(test_lost_page_behind_pages_in_flight)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
