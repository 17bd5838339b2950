#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/file.h"
#include "replica/compact.h"
#include "replica/kit_test.h"
#include "replica/packs.h"
#include "replica/restore.h"

enum { KEEP_MS = 60000 };

static struct kit kit;
static struct hf_packs *packs;

static int setup(void **state)
{
    (void)state;
    kit_init(&kit, 512, 23);
    packs = hf_packs_new(kit.store, "", 1, KEEP_MS);
    hf_replica_pack(kit.replica, packs, 1);
    kit_commit(&kit); /* the first is an object, what follows is packed */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_deinit(&kit);
    hf_packs_free(packs);
    return 0;
}

/* As kit.replica, by somebody who only reads, or (p not NULL) another one who packs. */
static struct hf_replica *other(const char *path, struct hf_packs *p)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_replica *r = NULL;
    assert_int_equal(hf_replica_new(kit.store, path, &r, &err), HF_OK);
    if (p != NULL)
        hf_replica_pack(r, p, 1);
    return r;
}

static void list(struct hf_replica *r, uint64_t after, struct hf_ltx_list *out)
{
    struct hf_err err = HF_ERR_INIT;
    out->len = 0;
    if (hf_replica_list(r, 0, after, out, &err) != HF_OK)
        fail_msg("%s", err.text);
}

static size_t count_packs(void)
{
    size_t n = 0;
    for (uint64_t i = 1; i < 64; i++) {
        HF_AUTO_FREE char *name = hf_packs_object(packs, i);
        uint64_t size = 0;
        int64_t time_ms = 0;
        n += hf_store_head(kit.store, name, &size, &time_ms, NULL) == HF_OK;
    }
    return n;
}

/* ---- reading ---- */

static void check_view(struct hf_replica *r, size_t n)
{
    struct hf_ltx_list l = {NULL, 0, 0};
    list(r, 0, &l);
    assert_int_equal(l.len, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(l.items[i].min_txid, i + 1);
        struct hf_ltx_list part = {l.items, i + 1, i + 1};
        struct kit reader = kit;
        reader.replica = r;
        assert_int_equal(kit_digest(&reader, &part), kit.digest[i + 1]);
    }
    if (n > 2) {
        list(r, n - 2, &l);
        assert_int_equal(l.len, 2);
    }
    hf_ltx_list_deinit(&l);
}

static void test_view(void **state)
{
    (void)state;
    struct hf_replica *reader = other("db", NULL);
    check_view(reader, 1);
    assert_int_equal(count_packs(), 0);
    for (size_t i = 2; i <= 5; i++) {
        kit_commit(&kit);
        check_view(kit.replica, i);
        check_view(reader, i);
    }
    assert_int_equal(count_packs(), 4);
    struct hf_replica *stranger = other("db2", NULL);
    check_view(stranger, 0);
    hf_replica_free(stranger);
    hf_replica_free(reader);
}

static void test_look(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_replica *reader = other("db", NULL);
    struct hf_ltx_list l = {NULL, 0, 0};
    struct hf_ltx_info info = {.min_txid = 2, .max_txid = 2};
    kit_commit(&kit);
    list(reader, 0, &l);
    assert_int_equal(hf_replica_look(reader, &info, &err), HF_OK);
    assert_int_equal(info.pack, 1);
    assert_true(info.size > HF_LTX_HEADER_SIZE);
    info = (struct hf_ltx_info){.min_txid = 3, .max_txid = 3};
    assert_int_equal(hf_replica_look(reader, &info, NULL), HF_E_NOT_FOUND);
    kit_commit(&kit);
    assert_int_equal(hf_replica_look(reader, &info, &err), HF_OK);
    assert_int_equal(info.pack, 2);
    hf_ltx_list_deinit(&l);
    hf_replica_free(reader);
}

/* Compaction reads packs and writes an ordinary file. */
static void test_compaction(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_compact_result res;
    struct hf_page_hook none = {NULL, NULL};
    for (int i = 0; i < 5; i++)
        kit_commit(&kit);
    assert_int_equal(hf_compact_level(kit.replica, 1, HF_LTX_FORM_BLOCK, none, &res, &err), HF_OK);
    assert_true(res.is_done);
    assert_int_equal(res.out.max_txid, 6);
    struct hf_ltx_list l = {NULL, 0, 0};
    assert_int_equal(hf_replica_list(kit.replica, 1, 0, &l, &err), HF_OK);
    assert_int_equal(l.items[0].pack, 0);
    assert_int_equal(kit_digest(&kit, &l), kit.digest[6]);
    hf_ltx_list_deinit(&l);
}

static void damage(const char *pack)
{
    HF_AUTO_FREE char *name = hf_asprintf("rep/packs/%s.pack", pack);
    HF_AUTO_FREE char *path = kit_path(&kit, name);
    struct hf_file f = HF_FILE_CLOSED;
    assert_int_equal(hf_file_open(path, HF_FILE_WRITE, 0600, &f, NULL), HF_OK);
    assert_int_equal(hf_file_write_at(&f, "XX", 2, 70, NULL), HF_OK);
    hf_file_close(&f);
}

/* One damaged pack: what is in the others is found. */
static void test_damaged_pack(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        kit_commit(&kit);
    damage("0000000000000002");
    struct hf_replica *reader = other("db", NULL);
    struct hf_ltx_list l = {NULL, 0, 0};
    list(reader, 0, &l);
    assert_int_equal(l.len, 3);
    assert_int_equal(l.items[0].max_txid, 1);
    assert_int_equal(l.items[1].max_txid, 2);
    assert_int_equal(l.items[2].max_txid, 4);
    hf_ltx_list_deinit(&l);
    hf_replica_free(reader);
}

static enum hf_code plan(struct hf_replica *r, enum hf_target_kind kind, uint64_t txid,
                         struct hf_err *err)
{
    struct hf_restore_options o = {.target = {.kind = kind, .txid = txid, .time_ms = kit.now_ms}};
    struct hf_restore_plan p;
    hf_err_reset(err);
    enum hf_code rc = hf_restore_plan_make(r, &o, &p, err);
    if (rc == HF_OK)
        hf_restore_plan_deinit(&p);
    return rc;
}

/* What a pack held that can't be read is not known: the newest state is refused, not silently an
 * older one, until something shows that nothing is missing. */
static void test_damaged_end(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    for (int i = 0; i < 3; i++) {
        kit.now_ms += 1000;
        kit_commit(&kit);
    }
    damage("0000000000000003");
    struct hf_replica *reader = other("db", NULL);
    assert_int_equal(plan(reader, HF_TARGET_LATEST, 0, &err), HF_E_CORRUPT);
    assert_non_null(strstr(err.text, "0000000000000003.pack"));
    assert_non_null(strstr(err.text, "after TXID 0000000000000003"));
    assert_non_null(strstr(err.hint, "-txid 0000000000000003"));
    kit.now_ms -= 1000; /* of TXID 3 */
    assert_int_equal(plan(reader, HF_TARGET_TIME, 0, &err), HF_E_CORRUPT);
    kit.now_ms -= 1000; /* TXID 3 shows that nothing lies between */
    assert_int_equal(plan(reader, HF_TARGET_TIME, 0, &err), HF_OK);
    kit.now_ms += 2000;
    assert_int_equal(plan(reader, HF_TARGET_TXID, 3, &err), HF_OK);
    hf_replica_free(reader);
    /* The writer knows what it wrote, and goes on; L1 then holds it. */
    assert_int_equal(plan(kit.replica, HF_TARGET_LATEST, 0, &err), HF_OK);
    kit_commit(&kit);
    reader = other("db", NULL);
    assert_int_equal(plan(reader, HF_TARGET_LATEST, 0, &err), HF_E_CORRUPT);
    assert_non_null(strstr(err.text, "are missing"));
    struct hf_page_hook none = {NULL, NULL};
    struct hf_compact_result res;
    assert_int_equal(hf_compact_level(kit.replica, 1, HF_LTX_FORM_BLOCK, none, &res, &err), HF_OK);
    assert_int_equal(plan(reader, HF_TARGET_LATEST, 0, &err), HF_OK);
    hf_replica_free(reader);
}

/* ---- writing ---- */

static enum hf_code put_at(struct hf_replica *r, uint64_t txid)
{
    uint8_t data[HF_LTX_HEADER_SIZE] = {0};
    struct hf_ltx_header h = {.min_txid = txid, .max_txid = txid, .timestamp_ms = 1000};
    return hf_replica_put(r, 0, &h, data, sizeof(data), NULL);
}

/* Whoever finds changes of its database in packs it did not write is told, once, and only for that
 * database. */
static void test_two_writers(void **state)
{
    (void)state;
    struct hf_packs *theirs = hf_packs_new(kit.store, "", 1, KEEP_MS);
    struct hf_replica *same = other("db", theirs);
    struct hf_replica *apart = other("apart", theirs);
    struct hf_ltx_list l = {NULL, 0, 0};
    list(kit.replica, 0, &l);
    list(same, 0, &l);
    list(apart, 0, &l);
    assert_int_equal(put_at(kit.replica, 2), HF_OK);
    assert_int_equal(put_at(same, 2), HF_E_EXISTS);
    list(same, 0, &l);
    assert_int_equal(l.len, 2);
    assert_int_equal(put_at(same, 3), HF_OK);
    assert_int_equal(put_at(apart, 2), HF_OK);
    assert_int_equal(put_at(kit.replica, 3), HF_E_EXISTS);
    list(kit.replica, 0, &l);
    assert_int_equal(l.len, 3);
    assert_int_equal(put_at(kit.replica, 4), HF_OK);
    assert_int_equal(put_at(apart, 3), HF_OK);
    assert_int_equal(count_packs(), 5);
    hf_ltx_list_deinit(&l);
    hf_replica_free(same);
    hf_replica_free(apart);
    hf_packs_free(theirs);
}

/* A TXID in an object of its own is taken, too. */
static void test_two_writers_large(void **state)
{
    (void)state;
    struct hf_packs *theirs = hf_packs_new(kit.store, "", 1, KEEP_MS);
    struct hf_replica *same = other("db", theirs);
    struct hf_ltx_list l = {NULL, 0, 0};
    list(kit.replica, 0, &l);
    list(same, 0, &l);
    struct hf_ltx_header h = {.min_txid = 2, .max_txid = 2, .timestamp_ms = 1000};
    HF_AUTO_FREE uint8_t *data = hf_calloc(HF_LIMIT_PACK_FILE + 1, 1);
    assert_int_equal(hf_replica_put(kit.replica, 0, &h, data, HF_LIMIT_PACK_FILE + 1, NULL), HF_OK);
    assert_int_equal(put_at(same, 2), HF_E_EXISTS);
    list(same, 0, &l);
    assert_int_equal(l.len, 2);
    assert_int_equal(l.items[1].pack, 0);
    hf_ltx_list_deinit(&l);
    hf_replica_free(same);
    hf_packs_free(theirs);
}

enum { PUTTERS = 12, PUTS = 20 };

struct putter {
    struct hf_replica *replica;
    int n_failed;
};

static void *run_putter(void *arg)
{
    struct putter *p = arg;
    for (uint64_t i = 2; i < PUTS + 2; i++)
        p->n_failed += put_at(p->replica, i) != HF_OK;
    return NULL;
}

static void test_puts_share_packs(void **state)
{
    (void)state;
    struct hf_packs *shared = hf_packs_new(kit.store, "", 20, KEEP_MS);
    struct putter putters[PUTTERS];
    pthread_t threads[PUTTERS];
    for (size_t i = 0; i < PUTTERS; i++) {
        HF_AUTO_FREE char *path = hf_asprintf("many%zu", i);
        putters[i] = (struct putter){.replica = other(path, shared)};
        assert_int_equal(pthread_create(&threads[i], NULL, run_putter, &putters[i]), 0);
    }
    for (size_t i = 0; i < PUTTERS; i++) {
        struct hf_ltx_list l = {NULL, 0, 0};
        pthread_join(threads[i], NULL);
        assert_int_equal(putters[i].n_failed, 0);
        list(putters[i].replica, 0, &l);
        assert_int_equal(l.len, PUTS);
        hf_ltx_list_deinit(&l);
        hf_replica_free(putters[i].replica);
    }
    assert_true(count_packs() < PUTS * 2);
    hf_packs_free(shared);
}

/* Packs were turned off, their directory deleted, and turned on again: the marker from then names a
 * number that the new packs have not reached. */
static void test_numbers_begin_anew(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_ltx_list l = {NULL, 0, 0};
    assert_int_equal(hf_store_put(kit.store, "db/ltx/0/packs-1-0000000000000050", "old", 3,
                                  HF_STORE_CREATE_ONLY, 1000, &err),
                     HF_OK);
    list(kit.replica, 0, &l);
    kit_commit(&kit);
    kit_commit(&kit);
    check_view(kit.replica, 3);
    struct hf_replica *reader = other("db", NULL);
    check_view(reader, 3);
    hf_replica_free(reader);
    hf_ltx_list_deinit(&l);
}

/* ---- old packs ---- */

static void tidy(struct hf_packs *p, bool is_member_old)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_packs_policy policy = {.now_ms = hf_clock_wall_ms() + 10000,
                                     .own_age_ms = is_member_old ? 5000 : 50000,
                                     .other_age_ms = 5000};
    if (hf_packs_tidy(p, &policy, &err) != HF_OK)
        fail_msg("%s", err.text);
}

static void test_tidy(void **state)
{
    (void)state;
    struct hf_ltx_list l = {NULL, 0, 0};
    for (int i = 0; i < 4; i++)
        kit_commit(&kit);
    tidy(packs, false);
    assert_int_equal(count_packs(), 4);
    list(kit.replica, 0, &l);
    assert_int_equal(hf_replica_delete(kit.replica, l.items + 1, 1, NULL), HF_OK);
    assert_int_equal(count_packs(), 4);
    list(kit.replica, 0, &l);
    assert_int_equal(l.len, 4); /* the first packed one is let go of */
    tidy(packs, true);
    assert_int_equal(count_packs(), 1); /* the newest stays */
    struct hf_replica *reader = other("db", NULL);
    list(reader, 0, &l);
    assert_int_equal(l.len, 4);
    assert_int_equal(l.items[1].min_txid, 3);
    assert_int_equal(l.items[1].pack, 0); /* copied out */
    assert_int_equal(l.items[3].pack, 4);
    kit_commit(&kit);
    assert_int_equal(count_packs(), 2);
    hf_ltx_list_deinit(&l);
    hf_replica_free(reader);
}

/* Packs of a database nobody ships any more go, too, and nothing of it is lost. */
static void test_tidy_of_others(void **state)
{
    (void)state;
    struct hf_ltx_list l = {NULL, 0, 0};
    kit_commit(&kit);
    kit_commit(&kit);
    struct hf_packs *later = hf_packs_new(kit.store, "", 1, KEEP_MS);
    struct hf_replica *new_one = other("new", later);
    list(new_one, 0, &l);
    tidy(later, true);
    assert_int_equal(count_packs(), 1);
    struct hf_replica *reader = other("db", NULL);
    check_view(reader, 3);
    hf_replica_free(reader);
    assert_int_equal(put_at(new_one, 2), HF_OK);
    tidy(later, true);
    assert_int_equal(count_packs(), 1);
    reader = other("db", NULL);
    check_view(reader, 3);
    hf_replica_free(reader);
    hf_replica_free(new_one);
    hf_packs_free(later);
    hf_ltx_list_deinit(&l);
}

static enum hf_code count_retained(void *arg, struct hf_replica *r, struct hf_err *err)
{
    (void)err;
    assert_ptr_equal(r, kit.replica);
    ++*(int *)arg;
    return HF_OK;
}

/* A database whose other replica could not be opened is gone before its packs are: upkeep must not
 * look at its replica any more. */
static void test_tidy_after_leaving(void **state)
{
    (void)state;
    int n_retained = 0;
    struct hf_err err = HF_ERR_INIT;
    struct hf_replica *gone = other("gone", packs);
    struct hf_ltx_list l = {NULL, 0, 0};
    list(gone, 0, &l);
    assert_int_equal(put_at(gone, 2), HF_OK);
    kit_commit(&kit);
    kit_commit(&kit);
    hf_replica_free(gone);
    struct hf_packs_policy policy = {.now_ms = hf_clock_wall_ms() + 10000,
                                     .own_age_ms = 5000,
                                     .other_age_ms = 5000,
                                     .retain = count_retained,
                                     .arg = &n_retained};
    assert_int_equal(hf_packs_tidy(packs, &policy, &err), HF_OK);
    assert_int_equal(n_retained, 1);
    struct hf_replica *same = other("gone", packs);
    list(same, 0, &l);
    assert_int_equal(l.len, 1);
    assert_int_equal(put_at(same, 3), HF_OK);
    hf_ltx_list_deinit(&l);
    hf_replica_free(same);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_view),
        T(test_look),
        T(test_compaction),
        T(test_damaged_pack),
        T(test_damaged_end),
        T(test_two_writers),
        T(test_two_writers_large),
        T(test_puts_share_packs),
        T(test_numbers_begin_anew),
        T(test_tidy),
        T(test_tidy_of_others),
        T(test_tidy_after_leaving),
    };
    return cmocka_run_group_tests_name("packs", tests, NULL, NULL);
}
