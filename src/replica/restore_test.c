#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "os/fault.h"
#include "os/file.h"
#include "replica/compact.h"
#include "replica/kit_test.h"
#include "replica/restore.h"

static struct kit kit;
static char out_path[128];

static int setup(void **state)
{
    (void)state;
    kit_init(&kit, 1024, 5);
    snprintf(out_path, sizeof(out_path), "%s/out/app.db", kit.dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    kit_deinit(&kit);
    return hf_fault_arm(NULL, &err) == HF_OK ? 0 : -1;
}

static struct hf_restore_options options(void)
{
    return (struct hf_restore_options){.output = out_path, .is_force = true};
}

static enum hf_code count(void *arg, const char *name, bool is_dir, struct hf_err *err)
{
    (void)name;
    (void)is_dir;
    (void)err;
    ++*(int *)arg;
    return HF_OK;
}

static int files_in_out(void)
{
    struct hf_err err = HF_ERR_INIT;
    int n = 0;
    HF_AUTO_FREE char *dir = kit_path(&kit, "out");
    if (hf_path_exists(dir))
        assert_int_equal(hf_path_list(dir, count, &n, &err), HF_OK);
    return n;
}

static struct hf_restore_result restore(struct hf_restore_options o)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_restore_result res;
    if (hf_restore_run(kit.replica, &o, &res, &err) != HF_OK)
        fail_msg("%s", err.text);
    assert_int_equal(files_in_out(), 1);
    return res;
}

static void commits(int n)
{
    while (n-- > 0) {
        kit.now_ms += 1000;
        kit_commit(&kit);
    }
}

static void compact(int level)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_compact_result res;
    struct hf_page_hook no_hook = {NULL, NULL};
    enum hf_code rc =
        level == HF_LEVEL_SNAPSHOT
            ? hf_compact_snapshot(kit.replica, HF_LTX_FORM_BLOCK, kit.dir, &res, &err)
            : hf_compact_level(kit.replica, level, HF_LTX_FORM_BLOCK, no_hook, &res, &err);
    if (rc != HF_OK)
        fail_msg("%s", err.text);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_every_txid(void **state)
{
    (void)state;
    int64_t start = kit.now_ms;
    for (int i = 0; i < 6; i++) {
        commits(5);
        compact(1);
        if (i % 2)
            compact(2);
        if (i == 3)
            compact(HF_LEVEL_SNAPSHOT);
    }
    for (int threads = 1; threads <= 2; threads++) {
        for (uint64_t txid = 1; txid <= kit.txid; txid++) {
            struct hf_restore_options o = options();
            o.parallelism = threads;
            o.target = (struct hf_restore_target){HF_TARGET_TXID, txid, 0};
            struct hf_restore_result res = restore(o);
            assert_int_equal(res.txid, txid);
            assert_true(kit_file_digest(out_path) == kit.digest[txid]);
            o.target = (struct hf_restore_target){HF_TARGET_TIME, 0, start + (int64_t)txid * 1000};
            res = restore(o);
            assert_int_equal(res.txid, txid);
            assert_true(kit_file_digest(out_path) == kit.digest[txid]);
        }
    }
    struct hf_restore_result res = restore(options());
    assert_int_equal(res.txid, 30);
    assert_int_equal(res.time_ms, kit.now_ms);
    assert_int_equal(res.bytes, (uint64_t)kit.commit * kit.page_size);
    assert_int_equal(res.pages, kit.commit);
    assert_false(res.is_v3);
}

static void test_page_sizes(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {512, 4096, 65536};
    for (size_t i = 0; i < HF_ARRAY_LEN(sizes); i++) {
        kit_deinit(&kit);
        kit_init(&kit, sizes[i], i);
        snprintf(out_path, sizeof(out_path), "%s/out/app.db", kit.dir);
        kit.form = i == 1 ? HF_LTX_FORM_FRAME : HF_LTX_FORM_BLOCK;
        commits(12);
        compact(HF_LEVEL_SNAPSHOT);
        commits(3);
        restore(options());
        assert_true(kit_file_digest(out_path) == kit.digest[15]);
    }
}

static void test_many_files(void **state)
{
    (void)state;
    commits(700); /* more than one merge takes */
    struct hf_restore_result res = restore(options());
    assert_int_equal(res.txid, 700);
    assert_true(kit_file_digest(out_path) == kit.digest[700]);
}

static void expect_error(struct hf_restore_options o, enum hf_code want, const char *text)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_restore_result res = {.txid = 77};
    enum hf_code rc = hf_restore_run(kit.replica, &o, &res, &err);
    if (rc != want || strstr(err.text, text) == NULL)
        fail_msg("code %d '%s', want '%s'", (int)rc, err.text, text);
    assert_int_equal(res.txid, 77);
}

static void test_output_exists(void **state)
{
    (void)state;
    commits(3);
    HF_AUTO_FREE char *wal = hf_asprintf("%s-wal", out_path);
    HF_AUTO_FREE char *shm = hf_asprintf("%s-shm", out_path);
    HF_AUTO_FREE char *journal = hf_asprintf("%s-journal", out_path);
    struct hf_restore_options o = options();
    o.is_force = false;
    restore(o);
    expect_error(o, HF_E_EXISTS, "output path already exists and is not empty");
    write_text(out_path, ""); /* as mktemp leaves them */
    restore(o);
    assert_int_equal(unlink(out_path), 0);

    /* SQLite would play these into the restored database. */
    write_text(wal, "old");
    expect_error(o, HF_E_EXISTS, "app.db-wal is left of another database");
    assert_int_equal(rename(wal, journal), 0);
    expect_error(o, HF_E_EXISTS, "app.db-journal is left");
    assert_int_equal(files_in_out(), 1);

    write_text(out_path, "old");
    write_text(wal, "old");
    write_text(shm, "old");
    assert_int_equal(chmod(out_path, 0640), 0);
    o.is_force = true;
    restore(o);
    struct stat st;
    assert_int_equal(stat(out_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_true(kit_file_digest(out_path) == kit.digest[3]);

    assert_int_equal(unlink(out_path), 0);
    assert_int_equal(mkdir(out_path, 0700), 0);
    expect_error(o, HF_E_INVALID, "is not a file");
    assert_int_equal(rmdir(out_path), 0);
    restore(o);
    assert_int_equal(stat(out_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_errors(void **state)
{
    (void)state;
    struct hf_restore_options o = options();
    expect_error(o, HF_E_NOT_FOUND, "no matching backup files available");
    commits(4);
    o.target = (struct hf_restore_target){HF_TARGET_TXID, 9, 0};
    expect_error(o, HF_E_RANGE, "newest 0000000000000004");
    o.target = (struct hf_restore_target){HF_TARGET_TIME, 0, 1000};
    expect_error(o, HF_E_RANGE, "oldest 2023-11-14T22:13:21.000Z, newest 2023-11-14T22:13:24");
    o.target = (struct hf_restore_target){HF_TARGET_LATEST, 0, 0};
    o.generation = "0123456789abcdef";
    expect_error(o, HF_E_NOT_FOUND, "no matching backup files available");
    assert_int_equal(files_in_out(), 0);
}

static char *object_path(uint64_t txid)
{
    struct hf_ltx_info info = {.level = 0, .min_txid = txid, .max_txid = txid};
    HF_AUTO_FREE char *object = hf_replica_object(kit.replica, &info);
    HF_AUTO_FREE char *tail = hf_asprintf("rep/%s", object);
    return kit_path(&kit, tail);
}

/* A flipped bit anywhere in any file is found: the target stays as it was and nothing is left. */
static void test_flipped_bytes(void **state)
{
    (void)state;
    commits(3);
    restore(options());
    uint64_t before = kit_file_digest(out_path);
    for (uint64_t txid = 1; txid <= 3; txid++) {
        HF_AUTO_FREE char *path = object_path(txid);
        FILE *f = fopen(path, "r+");
        assert_non_null(f);
        fseek(f, 0, SEEK_END);
        long size = ftell(f);
        for (long at = 0; at < size; at += 1 + size / 60) {
            fseek(f, at, SEEK_SET);
            int c = fgetc(f);
            fseek(f, at, SEEK_SET);
            fputc(c ^ 0x10, f);
            fflush(f);
            struct hf_err err = HF_ERR_INIT;
            struct hf_restore_result res;
            struct hf_restore_options o = options();
            enum hf_code rc = hf_restore_run(kit.replica, &o, &res, &err);
            /* A bit of compressed data may be one that does not matter; then the page is right. */
            if (rc == HF_OK)
                assert_true(kit_file_digest(out_path) == before);
            else if (rc != HF_E_CORRUPT || strstr(err.text, ".ltx") == NULL)
                fail_msg("byte %ld of %s: %d '%s'", at, path, (int)rc, err.text);
            assert_int_equal(files_in_out(), 1);
            fseek(f, at, SEEK_SET);
            fputc(c, f);
            fflush(f);
        }
        fclose(f);
    }
    restore(options());
    assert_true(kit_file_digest(out_path) == before);
}

/* Each system call of a restore made to fail in turn: an error, nothing left, the old file kept. */
static void test_faults(void **state)
{
    (void)state;
    static const char *const ops[] = {"open", "read", "write", "fsync", "rename", "truncate"};
    commits(6);
    restore(options());
    uint64_t before = kit_file_digest(out_path);
    commits(1);
    for (size_t i = 0; i < HF_ARRAY_LEN(ops); i++) {
        unsigned failures = 0;
        for (unsigned nth = 1;; nth++) {
            struct hf_err err = HF_ERR_INIT;
            struct hf_restore_result res;
            struct hf_restore_options o = options();
            char spec[32];
            snprintf(spec, sizeof(spec), "%s:%u:EIO", ops[i], nth);
            assert_int_equal(hf_fault_arm(spec, &err), HF_OK);
            enum hf_code rc = hf_restore_run(kit.replica, &o, &res, &err);
            bool was_hit = hf_fault_seen() >= nth;
            assert_int_equal(hf_fault_arm(NULL, &err), HF_OK);
            assert_int_equal(files_in_out(), 1);
            if (!was_hit)
                break;
            if (rc == HF_OK) /* listings close to the hit may do without */
                fail_msg("%s: no error", spec);
            failures++;
            /* Only the directory's fsync comes after the rename. */
            uint64_t now = kit_file_digest(out_path);
            assert_true(now == before || (now == kit.digest[7] && strcmp(ops[i], "fsync") == 0));
        }
        if (failures == 0)
            fail_msg("%s: never hit", ops[i]);
        restore(options());
        commits(1);
        compact(1);
        restore(options());
        before = kit_file_digest(out_path);
        kit.digest[7] = before;
    }
}

/* The primary's retention deletes a planned file between plan and reading it. */
static void test_planned_file_vanishes(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    commits(80); /* so many that they are opened again while being read */
    for (unsigned nth = 1; nth < 160; nth += 13) {
        char spec[64];
        snprintf(spec, sizeof(spec), "open:%u:ENOENT:.ltx", nth);
        assert_int_equal(hf_fault_arm(spec, &err), HF_OK);
        struct hf_restore_result res = restore(options());
        assert_true(hf_fault_seen() > nth);
        assert_int_equal(hf_fault_arm(NULL, &err), HF_OK);
        assert_int_equal(res.txid, 80);
        assert_true(kit_file_digest(out_path) == kit.digest[80]);
    }
    assert_int_equal(unlink(out_path), 0);
    assert_int_equal(hf_fault_arm("open:1+:ENOENT:.ltx", &err), HF_OK);
    expect_error(options(), HF_E_NOT_FOUND, ".ltx");
    assert_int_equal(hf_fault_arm(NULL, &err), HF_OK);
    assert_int_equal(files_in_out(), 0);
}

static void put_page_file(uint64_t txid, uint32_t commit, uint32_t pgno)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_ltx_header h = {.flags = HF_LTX_FLAG_NO_CHECKSUM,
                              .page_size = 1024,
                              .commit = commit,
                              .min_txid = txid,
                              .max_txid = txid,
                              .timestamp_ms = kit.now_ms};
    struct hf_store_writer *w = NULL;
    struct hf_ltx_encoder *e = NULL;
    uint8_t page[1024] = {1};
    assert_int_equal(hf_replica_writer_new(kit.replica, 0, &h, &w, &err), HF_OK);
    assert_int_equal(hf_ltx_encoder_new(&h, HF_LTX_FORM_BLOCK, hf_replica_sink(w), NULL, &e, &err),
                     HF_OK);
    assert_int_equal(hf_ltx_encoder_page(e, pgno, page, &err), HF_OK);
    assert_int_equal(hf_ltx_encoder_finish(e, NULL, NULL, &err), HF_OK);
    hf_ltx_encoder_free(e);
    assert_int_equal(hf_store_writer_commit(w, &err), HF_OK);
}

/* Litestream's bug 1323: an increment grew the database and left new pages out. */
static void test_missing_pages(void **state)
{
    (void)state;
    commits(1);
    put_page_file(2, kit.commit + 2, kit.commit + 2);
    expect_error(options(), HF_E_CORRUPT, "is in none of the");
    struct hf_err err = HF_ERR_INIT;
    struct hf_ltx_info info = {.level = 0, .min_txid = 2, .max_txid = 2};
    assert_int_equal(hf_replica_delete(kit.replica, &info, 1, &err), HF_OK);
    put_page_file(2, kit.commit + 2, 1);
    expect_error(options(), HF_E_CORRUPT, "is in none of the");
    assert_int_equal(files_in_out(), 0);
}

static bool stop_at_once(void *arg, const struct hf_restore_progress *p)
{
    (void)p;
    ++*(int *)arg;
    return false;
}

static void test_stop(void **state)
{
    (void)state;
    commits(3);
    int calls = 0;
    struct hf_restore_options o = options();
    o.progress = stop_at_once;
    o.progress_arg = &calls;
    expect_error(o, HF_E_CANCELED, "stopped");
    assert_int_equal(calls, 1);
    assert_int_equal(files_in_out(), 0);
}

static void test_integrity(void **state)
{
    (void)state;
    commits(3); /* random bytes, not a database */
    struct hf_restore_options o = options();
    o.integrity = HF_INTEGRITY_QUICK;
    expect_error(o, HF_E_CORRUPT, "integrity check of");
    assert_int_equal(files_in_out(), 0);
}

/* What Litestream's own code wrote, against what Litestream's own restore made of it. */
static void test_fixture_05(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *store = NULL;
    struct hf_replica *r = NULL;
    assert_int_equal(hf_store_open(HF_FIXTURES, &store, &err), HF_OK);
    assert_int_equal(hf_replica_new(store, "rep05", &r, &err), HF_OK);
    struct hf_restore_options o = options();
    struct hf_restore_result res;
    o.integrity = HF_INTEGRITY_FULL;
    if (hf_restore_run(r, &o, &res, &err) != HF_OK)
        fail_msg("%s", err.text);
    assert_int_equal(res.txid, 0x16);
    assert_true(kit_file_digest(out_path) == 0xbf640e3700827efcull);
    o.target = (struct hf_restore_target){HF_TARGET_TXID, 0x14, 0};
    assert_int_equal(hf_restore_run(r, &o, &res, &err), HF_OK);
    assert_true(kit_file_digest(out_path) == 0x8eadd50243f74a35ull);
    hf_replica_free(r);
    hf_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_txid, setup, teardown),
        cmocka_unit_test_setup_teardown(test_page_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_output_exists, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flipped_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_planned_file_vanishes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_integrity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fixture_05, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
