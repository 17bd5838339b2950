/*
 * Files: what the contract promises, and that every failure can be provoked and is told with its
 * path and offset.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/fault.h"
#include "os/file.h"

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    memcpy(dir, "/tmp/hf-file-XXXXXX", sizeof("/tmp/hf-file-XXXXXX"));
    return mkdtemp(dir) == NULL;
}

static int drop_dir(void **state)
{
    (void)state;
    assert_int_equal(hf_fault_arm(NULL, NULL), HF_OK);
    static const char *const names[] = {"a", "b", "sub/x", "sub", "app.db"};
    for (size_t i = 0; i < HF_ARRAY_LEN(names); i++) {
        HF_AUTO_FREE char *p = hf_path_join(dir, names[i]);
        if (unlink(p) != 0)
            rmdir(p);
    }
    return rmdir(dir);
}

static void test_read_write(void **state)
{
    (void)state;
    HF_AUTO_FREE char *path = hf_path_join(dir, "a");
    struct hf_file f = HF_FILE_CLOSED;
    struct hf_err err = HF_ERR_INIT;
    char buf[8];
    assert_int_equal(hf_file_open(path, HF_FILE_CREATE_NEW, 0600, &f, &err), HF_OK);
    assert_int_equal(hf_file_write_at(&f, "abcdef", 6, 2, &err), HF_OK);
    assert_int_equal(hf_file_read_at(&f, buf, 6, 2, &err), HF_OK);
    assert_memory_equal(buf, "abcdef", 6);
    assert_int_equal(hf_file_read_at(&f, buf, 8, 2, &err), HF_E_CORRUPT);
    assert_non_null(strstr(err.text, "offset 8"));
    hf_file_close(&f);
    assert_int_equal(hf_file_open(path, HF_FILE_CREATE_NEW, 0600, &f, &err), HF_E_EXISTS);
    assert_non_null(strstr(err.text, path));
}

static void test_rename_new(void **state)
{
    (void)state;
    HF_AUTO_FREE char *a = hf_path_join(dir, "a");
    HF_AUTO_FREE char *b = hf_path_join(dir, "b");
    struct hf_err err = HF_ERR_INIT;
    char *data = NULL;
    size_t len = 0;
    assert_int_equal(hf_path_write_atomic(a, "A", 1, 0600, &err), HF_OK);
    assert_int_equal(hf_path_write_atomic(b, "B", 1, 0600, &err), HF_OK);
    assert_int_equal(hf_path_rename_new(a, b, &err), HF_E_EXISTS);
    assert_int_equal(hf_path_read(b, 10, &data, &len, &err), HF_OK);
    assert_string_equal(data, "B");
    hf_free(data);
    assert_int_equal(hf_path_remove(b, &err), HF_OK);
    assert_int_equal(hf_path_rename_new(a, b, &err), HF_OK);
    assert_false(hf_path_exists(a));
}

static void test_dirs_and_limits(void **state)
{
    (void)state;
    HF_AUTO_FREE char *sub = hf_path_join(dir, "sub");
    HF_AUTO_FREE char *x = hf_path_join(sub, "x");
    struct hf_err err = HF_ERR_INIT;
    char *data = NULL;
    size_t len = 0;
    assert_int_equal(hf_path_mkdirs(sub, 0700, &err), HF_OK);
    assert_int_equal(hf_path_mkdirs(sub, 0700, &err), HF_OK);
    assert_int_equal(hf_path_write_atomic(x, "12345", 5, 0600, &err), HF_OK);
    assert_int_equal(hf_path_read(x, 4, &data, &len, &err), HF_E_LIMIT);
    assert_int_equal(hf_path_mkdirs(x, 0700, &err), HF_E_NOT_FOUND);
}

/* A raw open and close of a live database would drop its locks: refused, main and -shm alike. */
static void test_guard(void **state)
{
    (void)state;
    HF_AUTO_FREE char *db = hf_path_join(dir, "app.db");
    HF_AUTO_FREE char *shm = hf_asprintf("%s-shm", db);
    struct hf_file f = HF_FILE_CLOSED;
    hf_file_guard_add(db);
    assert_int_equal(hf_file_open(db, HF_FILE_CREATE, 0600, &f, NULL), HF_E_INTERNAL);
    assert_int_equal(hf_file_open(shm, HF_FILE_CREATE, 0600, &f, NULL), HF_E_INTERNAL);
    hf_file_guard_remove(db);
    assert_int_equal(hf_file_open(db, HF_FILE_CREATE, 0600, &f, NULL), HF_OK);
    hf_file_close(&f);
}

static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        enum hf_code want;
        const char *why;
    } rows[] = {
        {"open:1:EACCES", HF_E_DENIED, "the temporary file can't be made"},
        {"write:1:ENOSPC", HF_E_NO_SPACE, "no room for the content"},
        {"write:1:SHORT", HF_E_NO_SPACE, "half of it fits"},
        {"fsync:1:EIO", HF_E_IO, "content not durable"},
        {"fsync:2:EIO", HF_E_IO, "name not durable"},
        {"rename:1:EIO:/a", HF_E_IO, "name can't be put in place"},
        {"rename:1:EIO:/other", HF_OK, "another path is not hit"},
    };
    HF_AUTO_FREE char *a = hf_path_join(dir, "a");
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_err err = HF_ERR_INIT;
        assert_int_equal(hf_fault_arm(rows[i].spec, &err), HF_OK);
        enum hf_code rc = hf_path_write_atomic(a, "abcd", 4, 0600, &err);
        if (rc != rows[i].want)
            fail_msg("%s (%s): got %s", rows[i].spec, rows[i].why, hf_code_word(rc));
        assert_true(rc == HF_OK || strstr(err.text, dir) != NULL);
    }
    assert_int_equal(hf_fault_arm("nonsense", NULL), HF_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read_write, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(test_rename_new, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(test_dirs_and_limits, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(test_guard, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(test_faults, make_dir, drop_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
