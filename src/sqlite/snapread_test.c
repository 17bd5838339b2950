/*
 * A held state against the ground truth, a checkpoint of a copy: quiet, with a log that is copied
 * back wholly, partly or not at all, while writers and checkpoints go on, and in rollback mode.
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

#include "base/mem.h"
#include "sqlite/snapread.h"
#include "sqlite/testdb.h"

static char dir[64];
static char path[96];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/hf-snapread-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/app.db", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < HF_ARRAY_LEN(suffixes); i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        unlink(name);
    }
    rmdir(dir);
    return 0;
}

static void exec(struct hf_testdb *db, const char *sql)
{
    int rc = hf_testdb_exec(db, "%s", sql);
    if (rc != 0)
        fail_msg("%s: SQLite code %d", sql, rc);
}

static struct hf_snapread *must_open(bool is_exclusive)
{
    struct hf_snapread *s = NULL;
    struct hf_err err = HF_ERR_INIT;
    if (hf_snapread_open(path, is_exclusive, &s, &err) != HF_OK)
        fail_msg("%s", err.text);
    return s;
}

static void check(struct hf_snapread *s, const uint8_t *image, size_t len, const char *what)
{
    struct hf_err err = HF_ERR_INIT;
    uint32_t size = hf_snapread_page_size(s);
    uint8_t *page = hf_malloc(65536);
    if ((uint64_t)hf_snapread_pages(s) * size != len)
        fail_msg("%s: %u pages of %u, not %zu bytes", what, hf_snapread_pages(s), size, len);
    for (uint32_t n = 1; n <= hf_snapread_pages(s); n++) {
        if (hf_snapread_page(s, n, page, &err) != HF_OK)
            fail_msg("%s: page %u: %s", what, n, err.text);
        if (memcmp(page, image + (size_t)(n - 1) * size, size) != 0)
            fail_msg("%s: page %u differs", what, n);
    }
    hf_free(page);
}

static void check_now(const char *what)
{
    uint8_t *image = NULL;
    size_t len = 0;
    hf_testdb_image(path, &image, &len);
    struct hf_snapread *s = must_open(false);
    check(s, image, len, what);
    hf_snapread_close(s);
    hf_free(image);
}

static void test_states(void **state)
{
    (void)state;
    struct hf_testdb db;
    hf_testdb_start(&db, path);
    exec(&db, "PRAGMA page_size=1024");
    exec(&db, "PRAGMA journal_mode=wal");
    exec(&db, "PRAGMA wal_autocheckpoint=0");
    exec(&db, "CREATE TABLE t(x)");
    check_now("nothing copied back");
    exec(&db, "INSERT INTO t WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE "
              "i<500) SELECT randomblob(300) FROM c");
    check_now("many pages in the log");
    exec(&db, "PRAGMA wal_checkpoint(PASSIVE)");
    check_now("all copied back");
    exec(&db, "UPDATE t SET x=randomblob(300) WHERE rowid%7=0");
    check_now("a restarted log");
    exec(&db, "PRAGMA wal_checkpoint(PASSIVE)");
    exec(&db, "DELETE FROM t WHERE rowid>50");
    exec(&db, "VACUUM");
    check_now("smaller");
    exec(&db, "PRAGMA wal_checkpoint(TRUNCATE)");
    check_now("an empty log");
    hf_testdb_stop(&db);
    check_now("nobody else has it open");
}

/* What is held stays, whatever is committed and copied back meanwhile. */
static void test_held(void **state)
{
    (void)state;
    static const char *const begins[] = {"PRAGMA wal_checkpoint(PASSIVE)", "SELECT 1"};
    for (size_t i = 0; i < HF_ARRAY_LEN(begins); i++) {
        struct hf_testdb db;
        uint8_t *image = NULL;
        size_t len = 0;
        hf_testdb_start(&db, path);
        exec(&db, "PRAGMA journal_mode=wal");
        exec(&db, "CREATE TABLE IF NOT EXISTS t(x)");
        exec(&db, "INSERT INTO t VALUES(randomblob(9000)), (randomblob(9000))");
        exec(&db, begins[i]);
        hf_testdb_image(path, &image, &len);
        struct hf_snapread *s = must_open(false);
        for (int n = 0; n < 20; n++) {
            exec(&db, "UPDATE t SET x=randomblob(9000)");
            exec(&db, "INSERT INTO t VALUES(randomblob(5000))");
            exec(&db, "PRAGMA wal_checkpoint(PASSIVE)");
        }
        check(s, image, len, begins[i]);
        hf_snapread_close(s);
        exec(&db, "PRAGMA wal_checkpoint(TRUNCATE)");
        hf_testdb_stop(&db);
        hf_free(image);
        check_now("let go of");
    }
}

static void test_exclusive(void **state)
{
    (void)state;
    struct hf_testdb db;
    hf_testdb_start(&db, path);
    exec(&db, "PRAGMA journal_mode=wal");
    exec(&db, "PRAGMA busy_timeout=1");
    exec(&db, "CREATE TABLE t(x)");
    struct hf_snapread *s = must_open(true);
    assert_int_equal(hf_testdb_exec(&db, "INSERT INTO t VALUES(1)"), 5); /* SQLITE_BUSY */
    hf_snapread_close(s);
    exec(&db, "INSERT INTO t VALUES(1)");
    check_now("afterwards");
    hf_testdb_stop(&db);
}

static void test_rollback_and_empty(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_snapread *s = NULL;
    struct hf_testdb db;
    assert_int_equal(hf_snapread_open(path, false, &s, &err), HF_E_NOT_FOUND);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    s = must_open(false);
    assert_int_equal(hf_snapread_pages(s), 0);
    hf_snapread_close(s);
    hf_testdb_start(&db, path);
    exec(&db, "CREATE TABLE t(x)");
    exec(&db, "INSERT INTO t VALUES(randomblob(20000))");
    check_now("rollback mode");
    hf_testdb_stop(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_states, setup, teardown),
        cmocka_unit_test_setup_teardown(test_held, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exclusive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rollback_and_empty, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
