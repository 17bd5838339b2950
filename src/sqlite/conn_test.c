#include "sqlite/conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "os/file.h"

static char dir[] = "/tmp/hf-conn-XXXXXX";

static int64_t one(struct hf_conn *c, const char *sql, int64_t arg)
{
    int64_t out = -1;
    struct hf_conn_query q = {sql, &arg, 1, &out, 1};
    assert_int_equal(hf_conn_query(c, &q, NULL), HF_OK);
    return out;
}

static void test_statements(void **state)
{
    (void)state;
    HF_AUTO_FREE char *path = hf_path_join(dir, "a.db");
    struct hf_err err = HF_ERR_INIT;
    struct hf_conn *c = NULL;
    struct hf_conn *other = NULL;
    int64_t args[] = {7, 8};
    assert_int_equal(hf_conn_open(path, HF_CONN_READ, 0, &c, &err), HF_E_NOT_FOUND);
    assert_non_null(strstr(err.text, "a.db"));
    assert_int_equal(hf_conn_open(path, HF_CONN_CREATE, 0, &c, NULL), HF_OK);
    assert_int_equal(hf_conn_run(c, "CREATE TABLE t(a, b); INSERT INTO t VALUES(1, 2)", NULL),
                     HF_OK);
    struct hf_conn_query insert = {"INSERT INTO t VALUES(?1, ?2)", args, 2, NULL, 0};
    assert_int_equal(hf_conn_query(c, &insert, NULL), HF_OK);
    assert_int_equal(one(c, "SELECT b FROM t WHERE a=?1", 7), 8);
    struct hf_conn_query none = {"SELECT b FROM t WHERE a=99", NULL, 0, args, 1};
    assert_int_equal(hf_conn_query(c, &none, NULL), HF_E_NOT_FOUND);
    assert_int_equal(args[0], 7);
    assert_int_equal(hf_conn_run(c, "INSERT INTO nowhere VALUES(1)", &err), HF_E_IO);
    assert_non_null(strstr(err.text, "no such table: nowhere"));
    assert_int_equal(hf_conn_check(c, NULL), HF_OK);
    assert_int_equal(hf_conn_run(c, "BEGIN EXCLUSIVE", NULL), HF_OK);
    assert_int_equal(hf_conn_open(path, HF_CONN_WRITE, 0, &other, NULL), HF_OK);
    assert_int_equal(hf_conn_run(other, "BEGIN IMMEDIATE", &err), HF_E_BUSY);
    hf_conn_close(other);
    hf_conn_close(c);
    assert_int_equal(hf_conn_open(path, HF_CONN_READ, 0, &c, NULL), HF_OK);
    assert_int_equal(hf_conn_run(c, "DELETE FROM t", NULL), HF_E_DENIED);
    hf_conn_close(c);
    hf_conn_close(NULL);
}

static void test_statements_used_again(void **state)
{
    (void)state;
    HF_AUTO_FREE char *path = hf_path_join(dir, "again.db");
    struct hf_conn *c = NULL;
    struct hf_stmt *put = NULL;
    struct hf_stmt *get = NULL;
    struct hf_err err = HF_ERR_INIT;
    bool is_row = false;
    assert_int_equal(hf_conn_open(path, HF_CONN_CREATE, 0, &c, NULL), HF_OK);
    assert_int_equal(hf_conn_run(c, "CREATE TABLE t(a PRIMARY KEY, b)", NULL), HF_OK);
    assert_int_equal(hf_stmt_new(c, "no statement", &put, &err), HF_E_IO);
    assert_int_equal(hf_stmt_new(c, "INSERT INTO t VALUES(?1, ?2)", &put, NULL), HF_OK);
    for (int64_t i = 0; i < 3; i++) {
        char text[] = "x0";
        text[1] = (char)('0' + i);
        hf_stmt_bind_i64(put, 1, i);
        hf_stmt_bind_text(put, 2, text); /* copied */
        text[0] = '?';
        assert_int_equal(hf_stmt_run(put, NULL), HF_OK);
    }
    assert_int_equal(hf_stmt_run(put, &err),
                     HF_E_IO); /* the key is there: said, and again usable */
    assert_non_null(strstr(err.text, "UNIQUE"));
    hf_stmt_bind_i64(put, 1, 7);
    assert_int_equal(hf_stmt_run(put, NULL), HF_OK);
    assert_int_equal(hf_stmt_new(c, "SELECT a, b, NULL FROM t ORDER BY a", &get, NULL), HF_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(hf_stmt_next(get, &is_row, NULL), HF_OK);
        assert_true(is_row && hf_stmt_i64(get, 0) == 0);
        assert_string_equal(hf_stmt_text(get, 1), "x0");
        assert_string_equal(hf_stmt_text(get, 2), "");
        assert_int_equal(hf_stmt_run(get, NULL), HF_OK); /* the rest is dropped, it begins anew */
    }
    hf_stmt_free(put);
    hf_stmt_free(get);
    hf_stmt_free(NULL);
    hf_conn_close(c);
}

/* An index that does not agree with its table. */
static void test_check_finds_damage(void **state)
{
    (void)state;
    HF_AUTO_FREE char *path = hf_path_join(dir, "b.db");
    struct hf_err err = HF_ERR_INIT;
    struct hf_conn *c = NULL;
    assert_int_equal(hf_conn_open(path, HF_CONN_CREATE, 0, &c, NULL), HF_OK);
    assert_int_equal(hf_conn_run(c,
                                 "CREATE TABLE t(a); CREATE INDEX i ON t(a);"
                                 "INSERT INTO t VALUES(1); PRAGMA writable_schema=1;"
                                 "DELETE FROM sqlite_master WHERE name='i'",
                                 NULL),
                     HF_OK);
    hf_conn_close(c);
    assert_int_equal(hf_conn_open(path, HF_CONN_READ, 0, &c, NULL), HF_OK);
    assert_int_equal(hf_conn_check(c, &err), HF_E_CORRUPT);
    assert_non_null(strstr(err.text, "b.db"));
    hf_conn_close(c);
}

static void test_reset_race(void **state)
{
    (void)state;
    static const struct {
        int number;
        bool is_affected;
        const char *why;
    } rows[] = {
        {3006023, false, "before there was a log"},
        {3007000, true, "first version with a log"},
        {3040001, true, "Debian 12"},
        {3051002, true, "the last one"},
        {3051003, false, "mended"},
        {3053000, false, "later"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        if (hf_sqlite_has_reset_race(rows[i].number) != rows[i].is_affected)
            fail_msg("%d: %s", rows[i].number, rows[i].why);
    }
    char text[32];
    int n = hf_sqlite_version_number();
    snprintf(text, sizeof(text), "%d.%d.%d", n / 1000000, n / 1000 % 1000, n % 1000);
    assert_string_equal(text, hf_sqlite_version());
}

static enum hf_code remove_one(void *arg, const char *name, bool is_dir, struct hf_err *err)
{
    (void)is_dir;
    HF_AUTO_FREE char *path = hf_path_join(arg, name);
    return hf_path_remove(path, err);
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statements),
        cmocka_unit_test(test_statements_used_again),
        cmocka_unit_test(test_check_finds_damage),
        cmocka_unit_test(test_reset_race),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    (void)!hf_path_list(dir, remove_one, dir, NULL);
    rmdir(dir);
    return rc;
}
