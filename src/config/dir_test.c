#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/config.h"
#include "os/file.h"

static char root[] = "/tmp/hf-dir-test-XXXXXX";

static void put(const char *name, const char *data, size_t len)
{
    HF_AUTO_FREE char *path = hf_path_join(root, name);
    HF_AUTO_FREE char *dir = hf_path_dir(path);
    struct hf_err err = HF_ERR_INIT;
    if (hf_path_mkdirs(dir, 0700, &err) != HF_OK ||
        hf_path_write_atomic(path, data, len, 0600, &err) != HF_OK)
        fail_msg("%s", err.text);
}

#define DB_BYTES "SQLite format 3\0...", 19

static int make_tree(void **state)
{
    (void)state;
    if (mkdtemp(root) == NULL)
        return -1;
    put("b.db", DB_BYTES);
    put("a.db", DB_BYTES);
    put("text.db", "hello, this is no database", 26);
    put("short.db", "SQLite", 6);
    put("empty.db", "", 0);
    put("c.sqlite", DB_BYTES);
    put("sub/d.db", DB_BYTES);
    put("sub/deep/e.db", DB_BYTES);
    put(".hidden.db", DB_BYTES);
    put(".a.db-holdfast/x.db", DB_BYTES);
    HF_AUTO_FREE char *link_path = hf_path_join(root, "sub/up");
    HF_AUTO_FREE char *link_path2 = hf_path_join(root, "sub/up2");
    return symlink("..", link_path) != 0 || symlink("../sub", link_path2) != 0;
}

static int remove_tree(void **state)
{
    (void)state;
    static const char *const names[] = {
        "b.db",     "a.db",     "text.db",       "short.db",   "empty.db",
        "c.sqlite", "sub/d.db", "sub/deep/e.db", ".hidden.db", ".a.db-holdfast/x.db",
        "sub/up",   "sub/up2",  "sub/deep",      "sub",        ".a.db-holdfast",
        ""};
    for (size_t i = 0; i < HF_ARRAY_LEN(names); i++) {
        HF_AUTO_FREE char *path = hf_path_join(root, names[i]);
        if (remove(path) != 0)
            return -1;
    }
    return 0;
}

static struct hf_config *load(const char *more)
{
    HF_AUTO_FREE char *text = hf_asprintf("dbs:\n  - dir: %s/\n    pattern: '*.db'\n%s"
                                          "    replica: {path: /r}\n",
                                          root, more);
    struct hf_config *cfg = NULL;
    struct hf_err err = HF_ERR_INIT;
    if (hf_config_parse("f", text, strlen(text), NULL, &cfg, &err) != HF_OK)
        fail_msg("%s", err.text);
    return cfg;
}

static void assert_found(const struct hf_config *cfg, const char *const *names, size_t n)
{
    assert_int_equal(cfg->n_dbs, n);
    for (size_t i = 0; i < n; i++) {
        HF_AUTO_FREE char *path = hf_path_join(root, names[i]);
        assert_string_equal(cfg->dbs[i]->path, path);
    }
}

static void test_flat(void **state)
{
    (void)state;
    static const char *const want[] = {"a.db", "b.db"};
    struct hf_config *cfg = load("");
    assert_int_equal(hf_config_scan_dirs(cfg, NULL), HF_OK);
    assert_found(cfg, want, 2);
    assert_string_equal(cfg->dbs[0]->replicas[0].url, "file:///r/a.db");
    assert_int_equal(hf_config_scan_dirs(cfg, NULL), HF_OK); /* a second look adds nothing */
    assert_found(cfg, want, 2);
    hf_config_free(cfg);
}

static void test_recursive(void **state)
{
    (void)state;
    static const char *const want[] = {"a.db", "b.db", "sub/d.db", "sub/deep/e.db"};
    struct hf_config *cfg = load("    recursive: true\n    meta-dir: /m\n");
    assert_int_equal(hf_config_scan_dirs(cfg, NULL), HF_OK);
    assert_found(cfg, want, 4); /* once each: the links that point upwards are not followed */
    assert_string_equal(cfg->dbs[3]->replicas[0].path, "/r/sub/deep/e.db");
    assert_string_equal(cfg->dbs[3]->meta_path, "/m/sub/deep/.e.db-holdfast");
    assert_string_equal(cfg->dbs[0]->meta_path, "/m/.a.db-holdfast");
    hf_config_free(cfg);
}

static void test_own_entry_wins(void **state)
{
    (void)state;
    HF_AUTO_FREE char *text = hf_asprintf("dbs:\n  - {path: %s/a.db, replica: {path: /own}}\n"
                                          "  - {dir: %s, pattern: '*.db', replica: {path: /r}}\n",
                                          root, root);
    struct hf_config *cfg = NULL;
    assert_int_equal(hf_config_parse("f", text, strlen(text), NULL, &cfg, NULL), HF_OK);
    assert_int_equal(hf_config_scan_dirs(cfg, NULL), HF_OK);
    assert_int_equal(cfg->n_dbs, 2);
    assert_string_equal(cfg->dbs[0]->replicas[0].url, "file:///own");
    assert_string_equal(cfg->dbs[1]->replicas[0].url, "file:///r/b.db");
    hf_config_free(cfg);
}

static void test_missing_dir(void **state)
{
    (void)state;
    const char *text = "dbs: [{dir: /nowhere/at/all, pattern: '*', replica: {path: /r}}]";
    struct hf_config *cfg = NULL;
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_config_parse("f", text, strlen(text), NULL, &cfg, NULL), HF_OK);
    assert_int_equal(hf_config_scan_dirs(cfg, &err), HF_E_NOT_FOUND);
    assert_non_null(strstr(err.text, "f:1 dir: "));
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    hf_config_free(cfg);
}

struct match_row {
    const char *path;
    bool flat;
    bool recursive;
    const char *why;
};

static void test_match(void **state)
{
    (void)state;
    static const struct match_row rows[] = {
        {"/data/x.db", true, true, "in the directory"},
        {"/data/s/x.db", false, true, "below it"},
        {"/data/x.db-wal", false, false, "another name"},
        {"/data/.x.db", false, false, "hidden"},
        {"/database/x.db", false, false, "a sibling with the same beginning"},
        {"/data", false, false, "the directory itself"},
        {"/other/x.db", false, false, "elsewhere"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_config_db dir = {.is_dir = true, .path = "/data", .pattern = "*.db"};
        if (hf_config_dir_match(&dir, rows[i].path) != rows[i].flat)
            fail_msg("%s flat (%s)", rows[i].path, rows[i].why);
        dir.recursive = true;
        if (hf_config_dir_match(&dir, rows[i].path) != rows[i].recursive)
            fail_msg("%s recursive (%s)", rows[i].path, rows[i].why);
    }
}

static void test_single(void **state)
{
    (void)state;
    struct hf_config *cfg = load("    busy-timeout: 9s\n");
    HF_AUTO_FREE char *path = hf_path_join(root, "new.db");
    struct hf_config_db *db = hf_config_dir_db(cfg->dirs[0], path);
    assert_int_equal(db->busy_timeout_ms, 9000);
    assert_false(db->is_dir);
    assert_string_equal(db->replicas[0].url, "file:///r/new.db");
    hf_config_db_free(db);
    hf_config_free(cfg);
    assert_false(hf_config_is_database("/dev/null"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flat),           cmocka_unit_test(test_recursive),
        cmocka_unit_test(test_own_entry_wins), cmocka_unit_test(test_missing_dir),
        cmocka_unit_test(test_match),          cmocka_unit_test(test_single),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
