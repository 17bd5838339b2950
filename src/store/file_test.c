#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "os/fault.h"
#include "os/file.h"
#include "store/contract_test.h"

static char top[64];
static char url[128];

static const char *fresh_url(void *arg)
{
    (void)arg;
    snprintf(top, sizeof(top), "/tmp/holdfast-store-XXXXXX");
    assert_non_null(mkdtemp(top));
    snprintf(url, sizeof(url), "file://%s/replica", top);
    return url;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void done(void *arg)
{
    (void)arg;
    nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int teardown(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_fault_arm(NULL, &err), HF_OK);
    done(NULL);
    return 0;
}

static struct hf_store *open_fresh(void)
{
    struct hf_store *s = NULL;
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_store_open(fresh_url(NULL), &s, &err), HF_OK);
    return s;
}

static enum hf_code count(void *arg, const struct hf_store_object *o, struct hf_err *err)
{
    (void)o;
    (void)err;
    ++*(int *)arg;
    return HF_OK;
}

static enum hf_code count_any(void *arg, const char *name, bool is_dir, struct hf_err *err)
{
    (void)name;
    (void)is_dir;
    (void)err;
    ++*(int *)arg;
    return HF_OK;
}

static void test_url_and_modes(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    assert_string_equal(hf_store_url(s), url);
    assert_string_equal(hf_store_type(s), "file");
    assert_int_equal(hf_store_put(s, "ltx/0/a", "x", 1, 0, 1000, &err), HF_OK);
    HF_AUTO_FREE char *dir = hf_store_watch_dir(s, "ltx/0");
    struct stat st;
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700); /* replicas hold the database's secrets */
    HF_AUTO_FREE char *path = hf_path_join(dir, "a");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_mtim.tv_sec, 1);
    hf_store_close(s);
}

/* A killed writer's file goes when it is old; a young one may belong to a living writer, and other
 * programs' .tmp files are none of our business. None is ever listed. */
static void test_stale_temp_files(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    assert_int_equal(hf_store_put(s, "d/a", "x", 1, 0, 1000, &err), HF_OK);
    HF_AUTO_FREE char *dir = hf_store_watch_dir(s, "d");
    static const char *const names[] = {"b.0123456789abcdef.tmp", "c.tmp"};
    for (size_t i = 0; i < HF_ARRAY_LEN(names); i++) {
        HF_AUTO_FREE char *p = hf_path_join(dir, names[i]);
        struct hf_file f = HF_FILE_CLOSED;
        assert_int_equal(hf_file_open(p, HF_FILE_CREATE_NEW, 0600, &f, &err), HF_OK);
        /* An old mtime alone is no sign of age: it is the object's own time. */
        assert_int_equal(hf_file_set_mtime_ms(&f, 1000, &err), HF_OK);
        hf_file_close(&f);
    }
    int n = 0;
    assert_int_equal(hf_store_list(s, "d", NULL, count, &n, &err), HF_OK);
    assert_int_equal(n, 1);
    int all = 0;
    assert_int_equal(hf_path_list(dir, count_any, &all, &err), HF_OK);
    assert_int_equal(all, 3);
    hf_store_close(s);
}

static void test_directory_removed_behind_our_back(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    assert_int_equal(hf_store_put(s, "d/e/a", "x", 1, 0, 1, &err), HF_OK);
    nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    assert_int_equal(hf_store_put(s, "d/e/b", "x", 1, 0, 1, &err), HF_OK);
    hf_store_close(s);
}

/* Each system call of a put made to fail in turn: an error, no object, no litter, and the next put
 * works. */
static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        enum hf_code want;
    } rows[] = {
        {"open:1:EACCES:/d/", HF_E_DENIED}, {"mkdir:1:ENOSPC", HF_E_NO_SPACE},
        {"write:1:ENOSPC", HF_E_NO_SPACE},  {"write:1:SHORT", HF_E_NO_SPACE},
        {"fsync:1:EIO:.tmp", HF_E_IO},      {"rename:1:EIO", HF_E_IO},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_err err = HF_ERR_INIT;
        struct hf_store *s = open_fresh();
        assert_int_equal(hf_fault_arm(rows[i].spec, &err), HF_OK);
        enum hf_code rc = hf_store_put(s, "d/a", "text", 4, HF_STORE_CREATE_ONLY, 1, &err);
        if (rc != rows[i].want)
            fail_msg("%s: %d '%s'", rows[i].spec, (int)rc, err.text);
        assert_int_equal(hf_fault_arm(NULL, &err), HF_OK);
        HF_AUTO_FREE char *dir = hf_store_watch_dir(s, "d");
        int n = 0;
        if (hf_path_exists(dir))
            assert_int_equal(hf_path_list(dir, count_any, &n, &err), HF_OK);
        if (n != 0)
            fail_msg("%s: left something behind", rows[i].spec);
        assert_int_equal(hf_store_put(s, "d/a", "text", 4, HF_STORE_CREATE_ONLY, 1, &err), HF_OK);
        hf_store_close(s);
        done(NULL);
    }
}

static void test_unsupported_types(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *url;
        enum hf_code want;
    } rows[] = {
        {"gs: through S3", "gs://bucket/x", HF_E_UNSUPPORTED},
        {"oss: through S3", "oss://bucket/x", HF_E_UNSUPPORTED},
        {"nats: others", "nats://host/bucket/x", HF_E_UNSUPPORTED},
        {"webdav: others", "webdav://host/x", HF_E_UNSUPPORTED},
        {"a type nobody knows", "foo://bar", HF_E_INVALID},
        {"empty", "", HF_E_INVALID},
        {"no path", "file://", HF_E_INVALID},
        {"malformed scheme", "://x", HF_E_INVALID},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_err err = HF_ERR_INIT;
        struct hf_store *s = NULL;
        enum hf_code rc = hf_store_open(rows[i].url, &s, &err);
        if (rc != rows[i].want || s != NULL || err.text[0] == '\0')
            fail_msg("%s: %d '%s'", rows[i].why, (int)rc, err.text);
        /* What is valid but not built in comes with an alternative. */
        if (rc == HF_E_UNSUPPORTED && strstr(err.hint, "s3") == NULL &&
            strstr(err.hint, "sftp") == NULL)
            fail_msg("%s: '%s'", rows[i].why, err.hint);
    }
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = NULL;
    assert_int_equal(hf_store_open("sftp://:secret@host/x", &s, &err), HF_E_INVALID);
    assert_null(strstr(err.text, "secret"));
}

int main(void)
{
    const struct hf_store_contract contract = {
        .name = "store/file contract", .fresh_url = fresh_url, .done = done};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_url_and_modes, teardown),
        cmocka_unit_test_teardown(test_stale_temp_files, teardown),
        cmocka_unit_test_teardown(test_directory_removed_behind_our_back, teardown),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_unsupported_types),
    };
    int failed = hf_store_contract_run(&contract);
    return failed + cmocka_run_group_tests_name("store/file", tests, NULL, NULL);
}
