/*
 * Carrying files from one replica to another: what arrives is the same state, whatever was folded
 * on the way, under names that restores and Litestream understand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "os/file.h"
#include "replica/carry.h"
#include "replica/kit_test.h"
#include "replica/mark.h"
#include "replica/plan.h"
#include "replica/restore.h"

enum { PAGE = 512, STATES = 12 };

struct pair {
    struct kit k; /* from */
    struct hf_store *store;
    struct hf_replica *to;
};

static void pair_init(struct pair *p, uint64_t seed)
{
    kit_init(&p->k, PAGE, seed);
    for (int i = 0; i < STATES; i++) {
        kit_commit(&p->k);
        p->k.now_ms += 1000;
    }
    HF_AUTO_FREE char *url = kit_path(&p->k, "to");
    assert_int_equal(hf_store_open(url, &p->store, NULL), HF_OK);
    assert_int_equal(hf_replica_new(p->store, "", &p->to, NULL), HF_OK);
}

static void pair_deinit(struct pair *p)
{
    hf_replica_free(p->to);
    hf_store_close(p->store);
    kit_deinit(&p->k);
}

/* Files [first, last] of the source's L0 to a destination that stands at position. */
static enum hf_code carry(struct pair *p, uint64_t first, uint64_t last, uint64_t position,
                          struct hf_ltx_header *out)
{
    struct hf_ltx_list all = {NULL, 0, 0};
    uint64_t bytes = 0;
    assert_int_equal(hf_replica_list(p->k.replica, 0, 0, &all, NULL), HF_OK);
    struct hf_ltx_list chain = {&all.items[first - 1], last - first + 1, last - first + 1};
    struct hf_carry c = {p->k.replica, &chain, position, p->to, HF_LTX_FORM_BLOCK, NULL};
    enum hf_code rc = hf_carry_run(&c, out, &bytes, NULL);
    if (rc == HF_OK)
        assert_true(bytes > HF_LTX_HEADER_SIZE);
    hf_ltx_list_deinit(&all);
    return rc;
}

static uint64_t restored(struct pair *p, uint64_t txid)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_restore_result res;
    HF_AUTO_FREE char *out = kit_path(&p->k, "out.db");
    struct hf_restore_options o = {
        .output = out, .is_force = true, .target = {HF_TARGET_TXID, txid, 0}};
    if (hf_restore_run(p->to, &o, &res, &err) != HF_OK)
        fail_msg("restore %llu: %s", (unsigned long long)txid, err.text);
    return kit_file_digest(out);
}

static void is_there(struct pair *p, int level, uint64_t min, uint64_t max)
{
    struct hf_ltx_list l = {NULL, 0, 0};
    bool found = false;
    assert_int_equal(hf_replica_list(p->to, level, 0, &l, NULL), HF_OK);
    for (size_t i = 0; i < l.len; i++)
        found |= l.items[i].min_txid == min && l.items[i].max_txid == max;
    hf_ltx_list_deinit(&l);
    assert_true(found);
}

static void test_folds(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint64_t first, last, position;
        int level;
        uint64_t min;
    } rows[] = {
        {"the base image stays L0", 1, 1, 0, 0, 1},
        {"one file keeps its name", 2, 2, 1, 0, 2},
        {"several become one", 3, 7, 2, 0, 3},
        {"and another one follows", 8, 8, 7, 0, 8},
        {"from the beginning it is a snapshot", 1, 10, 0, 9, 1},
        {"also where something is held already", 1, 11, 8, 9, 1},
        {"a file that begins before the position", 11, 12, 11, 0, 12},
    };
    struct pair p;
    struct hf_ltx_header h;
    pair_init(&p, 3);
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        if (carry(&p, rows[i].first, rows[i].last, rows[i].position, &h) != HF_OK)
            fail_msg("%s", rows[i].why);
        assert_int_equal(h.min_txid, rows[i].min);
        assert_int_equal(h.max_txid, rows[i].last);
        is_there(&p, rows[i].level, rows[i].min, rows[i].last);
        if (restored(&p, rows[i].last) != p.k.digest[rows[i].last])
            fail_msg("%s: another state", rows[i].why);
    }
    pair_deinit(&p);
}

static void test_names_are_created_only(void **state)
{
    (void)state;
    struct pair p;
    struct hf_ltx_header h = {.max_txid = 77};
    pair_init(&p, 4);
    assert_int_equal(carry(&p, 1, 1, 0, &h), HF_OK);
    h.max_txid = 77;
    assert_int_equal(carry(&p, 1, 1, 0, &h), HF_E_EXISTS);
    assert_int_equal(h.max_txid, 77); /* untouched on failure */
    pair_deinit(&p);
}

/* Two histories are told apart by what stands at one TXID; a fold carries its last commit's time.
 */
static void test_knows_its_history(void **state)
{
    (void)state;
    struct pair p;
    struct hf_ltx_header a;
    struct hf_ltx_header b;
    pair_init(&p, 5);
    assert_int_equal(carry(&p, 1, 1, 0, &a), HF_OK);
    assert_int_equal(carry(&p, 2, 6, 1, &a), HF_OK);
    assert_int_equal(hf_carry_head_at(p.k.replica, 6, &b, NULL), HF_OK);
    assert_true(hf_carry_is_same(&a, &b));
    assert_int_equal(hf_carry_head_at(p.k.replica, 5, &b, NULL), HF_OK);
    assert_false(hf_carry_is_same(&a, &b));
    assert_int_equal(hf_carry_head_at(p.k.replica, 6, &b, NULL), HF_OK);
    b.timestamp_ms++;
    assert_false(hf_carry_is_same(&a, &b));
    assert_int_equal(hf_carry_head_at(p.to, 5, &b, NULL), HF_E_NOT_FOUND);
    pair_deinit(&p);
}

static void test_marks(void **state)
{
    (void)state;
    struct kit k;
    uint64_t txid = 9;
    kit_init(&k, PAGE, 6);
    HF_AUTO_FREE char *dir = kit_path(&k, "meta");
    assert_int_equal(hf_mark_load(dir, "file:///a", NULL, &txid, NULL), HF_E_NOT_FOUND);
    assert_int_equal(txid, 9);
    assert_int_equal(hf_mark_save(dir, "file:///a", NULL, 5, NULL), HF_OK);
    assert_int_equal(hf_mark_save(dir, "file:///b", NULL, 0x123456789abcdef, NULL), HF_OK);
    assert_int_equal(hf_mark_save(dir, "file:///a", NULL, 6, NULL), HF_OK);
    assert_int_equal(hf_mark_load(dir, "file:///a", NULL, &txid, NULL), HF_OK);
    assert_int_equal(txid, 6);
    assert_int_equal(hf_mark_load(dir, "file:///b", NULL, &txid, NULL), HF_OK);
    assert_true(txid == 0x123456789abcdef);
    /* one bucket name at two services is two places */
    assert_int_equal(hf_mark_load(dir, "file:///b", "http://other", &txid, NULL), HF_E_NOT_FOUND);
    hf_mark_clean(dir);
    assert_int_equal(hf_mark_load(dir, "file:///b", NULL, &txid, NULL), HF_E_NOT_FOUND);
    kit_deinit(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folds),
        cmocka_unit_test(test_names_are_created_only),
        cmocka_unit_test(test_knows_its_history),
        cmocka_unit_test(test_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
