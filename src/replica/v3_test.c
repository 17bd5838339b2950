#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <lz4frame.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "ltx/crc64.h"
#include "os/file.h"
#include "replica/kit_test.h"
#include "replica/restore.h"
#include "sqlite/wal.h"

enum { PAGE = 512, PAGES = 8, WAL_MAX = 64 * 1024 };

#define GENERATION "00000000000000aa"

static struct kit kit;
static char out_path[128];

/* A made-up database and the WAL being built for it. */
static struct {
    uint8_t image[PAGES * PAGE]; /* after the last commit */
    uint32_t pages;
    uint8_t wal[WAL_MAX];
    size_t len;
    struct hf_wal_header header;
    uint32_t cksum[2];
} db;

static int setup(void **state)
{
    (void)state;
    kit_init(&kit, 512, 9);
    snprintf(out_path, sizeof(out_path), "%s/out.db", kit.dir);
    memset(&db, 0, sizeof(db));
    memcpy(db.image, "SQLite format 3", 16);
    hf_put_be16(db.image + 16, PAGE);
    db.pages = 4;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_deinit(&kit);
    return 0;
}

static void put(const char *name, const void *data, size_t len, int64_t time_ms)
{
    struct hf_err err = HF_ERR_INIT;
    HF_AUTO_FREE char *path = hf_asprintf("db/generations/%s", name);
    if (hf_store_put(kit.store, path, data, len, 0, time_ms, &err) != HF_OK)
        fail_msg("%s", err.text);
}

static void put_lz4(const char *name, const void *data, size_t len, int64_t time_ms)
{
    size_t cap = LZ4F_compressFrameBound(len, NULL);
    uint8_t *buf = hf_malloc(cap);
    size_t n = LZ4F_compressFrame(buf, cap, data, len, NULL);
    assert_false(LZ4F_isError(n));
    put(name, buf, n, time_ms);
    hf_free(buf);
}

static void snapshot(const char *generation, uint32_t index, int64_t time_ms)
{
    char name[100];
    snprintf(name, sizeof(name), "%s/snapshots/%08x.snapshot.lz4", generation, index);
    put_lz4(name, db.image, (size_t)db.pages * PAGE, time_ms);
}

static void wal_begin(uint32_t salt)
{
    db.header = (struct hf_wal_header){
        .page_size = PAGE, .salt = {salt, salt + 1}, .is_big_endian = hf_wal_host_is_big_endian()};
    hf_wal_header_build(&db.header, db.wal);
    db.len = HF_WAL_HEADER_SIZE;
    memcpy(db.cksum, db.header.cksum, sizeof(db.cksum));
}

/* One frame; commit 0 = the transaction goes on and the image stays. */
static void frame(uint32_t pgno, uint8_t fill, uint32_t commit)
{
    static uint8_t open_image[PAGES * PAGE];
    static bool is_open;
    if (!is_open)
        memcpy(open_image, db.image, sizeof(open_image));
    uint8_t *page = open_image + (size_t)(pgno - 1) * PAGE;
    memset(page + 100, fill, PAGE - 100);
    hf_wal_frame_build(&db.header, pgno, commit, page, db.cksum, db.wal + db.len);
    memcpy(db.wal + db.len + HF_WAL_FRAME_HEADER_SIZE, page, PAGE);
    db.len += HF_WAL_FRAME_HEADER_SIZE + PAGE;
    assert_true(db.len < WAL_MAX);
    is_open = commit == 0;
    if (commit > 0) {
        memcpy(db.image, open_image, sizeof(open_image));
        db.pages = commit;
    }
}

static void segment(const char *generation, uint32_t index, size_t from, int64_t time_ms)
{
    char name[100];
    snprintf(name, sizeof(name), "%s/wal/%08x_%08zx.wal.lz4", generation, index, from);
    put_lz4(name, db.wal + from, db.len - from, time_ms);
}

static uint64_t image_digest(void)
{
    return hf_crc64(0, db.image, (size_t)db.pages * PAGE);
}

static enum hf_code restore_as_of(int64_t time_ms, struct hf_restore_result *res,
                                  struct hf_err *err)
{
    struct hf_restore_options o = {.output = out_path, .is_force = true};
    if (time_ms > 0)
        o.target = (struct hf_restore_target){HF_TARGET_TIME, 0, time_ms};
    return hf_restore_run(kit.replica, &o, res, err);
}

static void expect_image(int64_t time_ms, uint64_t digest)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_restore_result res;
    if (restore_as_of(time_ms, &res, &err) != HF_OK)
        fail_msg("%s", err.text);
    assert_true(res.is_v3);
    assert_true(kit_file_digest(out_path) == digest);
}

static void test_two_wals_and_times(void **state)
{
    (void)state;
    snapshot(GENERATION, 3, 1000);
    uint64_t at_snapshot = image_digest();
    wal_begin(7);
    frame(2, 0x11, 4);
    segment(GENERATION, 3, 0, 2000);
    uint64_t first = image_digest();
    size_t from = db.len;
    frame(5, 0x22, 0);
    frame(6, 0x33, 6); /* grows */
    segment(GENERATION, 3, from, 3000);
    uint64_t second = image_digest();
    wal_begin(9);
    frame(1, 0x44, 6);
    frame(3, 0x55, 3); /* shrinks */
    segment(GENERATION, 4, 0, 4000);
    uint64_t third = image_digest();
    from = db.len;
    frame(2, 0x66, 0); /* never committed */
    segment(GENERATION, 4, from, 5000);
    expect_image(0, third);
    expect_image(1500, at_snapshot);
    expect_image(2000, first);
    expect_image(3999, second);
    expect_image(4500, third);
    struct hf_err err = HF_ERR_INIT;
    struct hf_restore_result res;
    assert_int_equal(restore_as_of(999, &res, &err), HF_E_NOT_FOUND);
    struct hf_restore_options o = {.output = out_path, .is_force = true};
    o.has_index = true;
    o.index = 3;
    assert_int_equal(hf_restore_run(kit.replica, &o, &res, &err), HF_OK);
    assert_true(kit_file_digest(out_path) == second);
}

static void test_newest_generation(void **state)
{
    (void)state;
    snapshot("00000000000000ff", 0, 1000);
    memset(db.image + 2 * PAGE, 0x77, PAGE);
    snapshot("00000000000000aa", 9, 3000);
    uint64_t newest = image_digest();
    put("not-a-generation/snapshots/x", "x", 1, 9000);
    put("00000000000000ff/snapshots/README", "x", 1, 9000);
    expect_image(0, newest);
    struct hf_err err = HF_ERR_INIT;
    struct hf_restore_result res;
    struct hf_restore_options o = {.output = out_path, .is_force = true};
    o.generation = "00000000000000ff";
    assert_int_equal(hf_restore_run(kit.replica, &o, &res, &err), HF_OK);
    assert_true(kit_file_digest(out_path) != newest);
}

/* After an upgrade both layouts lie in one path. */
static void test_fresher_of_both(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_restore_result res;
    snapshot(GENERATION, 0, 5000);
    kit.now_ms = 9000;
    kit_commit(&kit);
    assert_int_equal(restore_as_of(0, &res, &err), HF_OK);
    assert_false(res.is_v3);
    assert_int_equal(restore_as_of(8000, &res, &err), HF_OK); /* before the first LTX file */
    assert_true(res.is_v3);
    snapshot(GENERATION, 1, 10000);
    assert_int_equal(restore_as_of(0, &res, &err), HF_OK);
    assert_true(res.is_v3);
    struct hf_restore_options o = {.output = out_path, .is_force = true};
    o.target = (struct hf_restore_target){HF_TARGET_TXID, 1, 0};
    assert_int_equal(hf_restore_run(kit.replica, &o, &res, &err), HF_OK);
    assert_false(res.is_v3);
}

static void expect_error(enum hf_code want, const char *text)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_restore_result res;
    enum hf_code rc = restore_as_of(0, &res, &err);
    if (rc != want || strstr(err.text, text) == NULL)
        fail_msg("code %d '%s', want '%s'", (int)rc, err.text, text);
    assert_false(hf_path_exists(out_path));
}

static void test_holes(void **state)
{
    (void)state;
    snapshot(GENERATION, 3, 1000);
    wal_begin(7);
    frame(2, 0x11, 4);
    size_t first = db.len;
    frame(3, 0x22, 4);
    segment(GENERATION, 3, first, 3000);
    expect_error(HF_E_CORRUPT, "WAL segment 00000003_00000000 is missing");
    size_t end = db.len;
    db.len = first;
    segment(GENERATION, 3, 0, 2000);
    db.len = end;
    frame(4, 0x33, 4);
    size_t third = db.len;
    frame(4, 0x44, 4);
    segment(GENERATION, 3, third, 4000);
    char want[64];
    snprintf(want, sizeof(want), "WAL segment 00000003_%08zx is missing", end);
    expect_error(HF_E_CORRUPT, want);
}

static void test_missing_index(void **state)
{
    (void)state;
    snapshot(GENERATION, 3, 1000);
    wal_begin(7);
    frame(2, 0x11, 4);
    segment(GENERATION, 3, 0, 2000);
    segment(GENERATION, 5, 0, 3000);
    expect_error(HF_E_CORRUPT, "WAL segment 00000004_00000000 is missing");
}

static void test_bad_objects(void **state)
{
    (void)state;
    snapshot(GENERATION, 3, 1000);
    wal_begin(7);
    frame(2, 0x11, 4);
    frame(3, 0x22, 4);
    db.wal[HF_WAL_HEADER_SIZE + HF_WAL_FRAME_HEADER_SIZE + 50] ^= 1;
    segment(GENERATION, 3, 0, 2000);
    expect_error(HF_E_CORRUPT, "WAL 00000003: WAL frame at byte 32: wrong checksum or salt");
    db.len -= 100;
    segment(GENERATION, 3, 0, 2000);
    expect_error(HF_E_CORRUPT, "ends inside a frame");
    put(GENERATION "/wal/00000003_00000000.wal.lz4", "\x04\x22\x4d\x18rubbish", 11, 2000);
    expect_error(HF_E_CORRUPT, "LZ4");
    put(GENERATION "/wal/00000003_00000000.wal.lz4", "\x04\x22\x4d", 3, 2000);
    expect_error(HF_E_CORRUPT, "is cut");
    put(GENERATION "/wal/00000003_00000000.wal.lz4", "", 0, 2000);
    expect_error(HF_E_CORRUPT, "is cut");
    put(GENERATION "/wal/00000003_00000000.wal.lz4", "age-encryption.org/v1\n-> X25519", 31, 2000);
    expect_error(HF_E_UNSUPPORTED, "encrypted with age");
    put_lz4(GENERATION "/snapshots/00000003.snapshot.lz4", "no database", 11, 2000);
    expect_error(HF_E_CORRUPT, "are no database");
}

static void test_fixture_03(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *store = NULL;
    struct hf_replica *r = NULL;
    struct hf_restore_options o = {.output = out_path, .integrity = HF_INTEGRITY_FULL};
    struct hf_restore_result res;
    assert_int_equal(hf_store_open(HF_FIXTURES "/rep03", &store, &err), HF_OK);
    assert_int_equal(hf_replica_new(store, "", &r, &err), HF_OK);
    if (hf_restore_run(r, &o, &res, &err) != HF_OK)
        fail_msg("%s", err.text);
    assert_true(res.is_v3);
    assert_true(kit_file_digest(out_path) == 0xb498ae1a26a65b2dull);
    hf_replica_free(r);
    hf_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_wals_and_times, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newest_generation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fresher_of_both, setup, teardown),
        cmocka_unit_test_setup_teardown(test_holes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_index, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fixture_03, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
