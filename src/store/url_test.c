#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "store/url.h"

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *url;
        const char *type; /* NULL: HF_E_INVALID */
        const char *path;
    } rows[] = {
        {"plain path", "/var/backups/app", "file", "/var/backups/app"},
        {"relative path", "backups/app", "file", "backups/app"},
        {"cleaned", "/var//backups/./x/../app/", "file", "/var/backups/app"},
        {"file URL", "file:///var/backups", "file", "/var/backups"},
        {"one slash", "file:/var/backups", "file", "/var/backups"},
        {"host part is a directory, as Litestream has it", "file://var/backups", "file",
         "/var/backups"},
        {"no percent decoding", "file:///a%20b", "file", "/a%20b"},
        {"upper case type", "FILE:///x", "file", NULL},
        {"the root", "file:///", "file", "/"},
        {"other type", "s3://bucket/path", "s3", NULL},
        {"colon in a path", "/var/a:b", "file", "/var/a:b"},
        {"colon in the first part", "a:b/c", "file", "a:b/c"},
        {"single letter and slash is a path", "a:/b", "file", "a:/b"},
        {"empty", "", NULL, NULL},
        {"empty file URL", "file://", NULL, NULL},
        {"no type", "://x", NULL, NULL},
        {"space in the type", "a b://x", NULL, NULL},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_store_url u = {NULL, NULL};
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = hf_store_url_parse(rows[i].url, &u, &err);
        if ((rc == HF_OK) != (rows[i].type != NULL))
            fail_msg("%s: code %d '%s'", rows[i].why, (int)rc, err.text);
        if (rows[i].type && strcmp(u.type, rows[i].type) != 0)
            fail_msg("%s: type %s", rows[i].why, u.type);
        if (rows[i].path && (!u.path || strcmp(u.path, rows[i].path) != 0))
            fail_msg("%s: path %s", rows[i].why, u.path ? u.path : "none");
        hf_store_url_deinit(&u);
    }
}

static void test_clean(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"a/../..", ".."}, {"../../a", "../../a"}, {"/..", "/"},     {"./", "."},
        {"a/..", "."},     {"/a/b/../../c", "/c"}, {"a///b", "a/b"}, {"..a/..", "."},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        HF_AUTO_FREE char *got = hf_store_path_clean(rows[i][0]);
        assert_string_equal(got, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
