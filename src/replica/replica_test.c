#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "os/file.h"
#include "replica/kit_test.h"

static struct kit kit;

static int setup(void **state)
{
    (void)state;
    kit_init(&kit, 512, 11);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_deinit(&kit);
    return 0;
}

static void test_names(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_ltx_info info = {.level = 9, .min_txid = 1, .max_txid = 0x1f};
    HF_AUTO_FREE char *name = hf_replica_object(kit.replica, &info);
    assert_string_equal(name, "db/ltx/9/0000000000000001-000000000000001f.ltx");
    HF_AUTO_FREE char *want = hf_asprintf("file://%s/rep/db", kit.dir);
    assert_string_equal(hf_replica_name(kit.replica), want);
    struct hf_replica *root = NULL;
    assert_int_equal(hf_replica_new(kit.store, "/", &root, &err), HF_OK);
    HF_AUTO_FREE char *at_root = hf_replica_object(root, &info);
    assert_string_equal(at_root, "ltx/9/0000000000000001-000000000000001f.ltx");
    hf_replica_free(root);
}

static void test_empty(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_ltx_list l = {NULL, 0, 0};
    uint64_t txid = 7;
    enum hf_ltx_form form = HF_LTX_FORM_FRAME;
    assert_int_equal(hf_replica_list_all(kit.replica, &l, &err), HF_OK);
    assert_int_equal(l.len, 0);
    assert_int_equal(hf_replica_position(kit.replica, &txid, &err), HF_OK);
    assert_int_equal(txid, 0);
    assert_int_equal(hf_replica_form(kit.replica, &form, &err), HF_OK);
    assert_int_equal(form, HF_LTX_FORM_BLOCK);
}

static void put_raw(const char *name)
{
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_store_put(kit.store, name, "x", 1, 0, 5000, &err), HF_OK);
}

static void test_listing(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    for (int i = 0; i < 4; i++) {
        kit.now_ms += 1000;
        kit_commit(&kit);
    }
    put_raw("db/ltx/0/README");
    put_raw("db/ltx/0/0000000000000009-0000000000000008.ltx"); /* max below min */
    put_raw("db/ltx/0/000000000000000A-000000000000000A.ltx"); /* upper case */
    put_raw("db/ltx/2/0000000000000001-0000000000000003.ltx");
    put_raw("db/ltx/2/0000000000000001-0000000000000020.ltx");
    put_raw("db/ltx/2/0000000000000004-0000000000000006.ltx");
    static const struct {
        const char *why;
        int level;
        uint64_t after;
        const char *want;
    } rows[] = {
        {"foreign names are ignored", 0, 0, "1-1 2-2 3-3 4-4 "},
        {"L0 after", 0, 2, "3-3 4-4 "},
        {"L0 after the last", 0, 4, ""},
        {"a compacted file that reaches beyond", 2, 3, "1-32 4-6 "},
        {"ascending by min, then max", 2, 0, "1-3 1-32 4-6 "},
        {"an empty level", 5, 0, ""},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_ltx_list l = {NULL, 0, 0};
        char got[300] = "";
        assert_int_equal(hf_replica_list(kit.replica, rows[i].level, rows[i].after, &l, &err),
                         HF_OK);
        for (size_t k = 0; k < l.len; k++) {
            size_t n = strlen(got);
            snprintf(got + n, sizeof(got) - n, "%llu-%llu ",
                     (unsigned long long)l.items[k].min_txid,
                     (unsigned long long)l.items[k].max_txid);
        }
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: '%s'", rows[i].why, got);
        hf_ltx_list_deinit(&l);
    }
    uint64_t txid = 0;
    assert_int_equal(hf_replica_position(kit.replica, &txid, &err), HF_OK);
    assert_int_equal(txid, 32); /* over all levels, not L0 only */
}

static void test_put_is_create_only(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    kit_commit(&kit);
    struct hf_ltx_info info = {.level = 0, .min_txid = 1, .max_txid = 1};
    struct hf_ltx_header h;
    assert_int_equal(hf_replica_read_header(kit.replica, &info, &h, &err), HF_OK);
    assert_int_equal(h.commit, kit.commit);
    assert_int_equal(h.timestamp_ms, kit.now_ms);
    uint8_t other[200] = {0};
    assert_int_equal(hf_replica_put(kit.replica, 0, &h, other, sizeof(other), &err), HF_E_EXISTS);
    info.max_txid = 2;
    assert_int_equal(hf_replica_read_header(kit.replica, &info, &h, &err), HF_E_NOT_FOUND);
}

static void test_form_of_the_newest(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    enum hf_ltx_form form = HF_LTX_FORM_BLOCK;
    kit_commit(&kit);
    kit.form = HF_LTX_FORM_FRAME;
    kit_commit(&kit);
    assert_int_equal(hf_replica_form(kit.replica, &form, &err), HF_OK);
    assert_int_equal(form, HF_LTX_FORM_FRAME);
    kit.form = HF_LTX_FORM_BLOCK;
    kit_commit(&kit);
    assert_int_equal(hf_replica_form(kit.replica, &form, &err), HF_OK);
    assert_int_equal(form, HF_LTX_FORM_BLOCK);
}

static void test_short_header(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    put_raw("db/ltx/0/0000000000000001-0000000000000001.ltx");
    struct hf_ltx_info info = {.level = 0, .min_txid = 1, .max_txid = 1};
    struct hf_ltx_header h;
    assert_int_equal(hf_replica_read_header(kit.replica, &info, &h, &err), HF_E_CORRUPT);
    assert_non_null(strstr(err.text, "0000000000000001-0000000000000001.ltx"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_is_create_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_form_of_the_newest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_short_header, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
