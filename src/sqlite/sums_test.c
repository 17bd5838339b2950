/*
 * The checksum file states one TXID or says that it can't be trusted; it never lies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/file.h"
#include "sqlite/sums.h"

static char path[] = "/tmp/hf-sums-XXXXXX";

static int make(void **state)
{
    (void)state;
    memcpy(path, "/tmp/hf-sums-XXXXXX", sizeof(path));
    int fd = mkstemp(path);
    return fd < 0 || close(fd) != 0;
}

static int drop(void **state)
{
    (void)state;
    return unlink(path);
}

static void fill(uint32_t pages, uint64_t txid)
{
    struct hf_sums *s = NULL;
    assert_int_equal(hf_sums_create(path, 4096, &s, NULL), HF_OK);
    for (uint32_t i = 1; i <= pages; i++)
        assert_int_equal(hf_sums_set(s, i, 1000u + i, NULL), HF_OK);
    assert_int_equal(hf_sums_commit(s, txid, pages, NULL), HF_OK);
    hf_sums_close(s);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct hf_sums *s = NULL;
    uint64_t got[4];
    fill(5000, 7);
    assert_int_equal(hf_sums_open(path, &s, NULL), HF_OK);
    assert_int_equal(hf_sums_txid(s), 7);
    assert_int_equal(hf_sums_pages(s), 5000);
    assert_int_equal(hf_sums_get(s, 4998, 4, got, NULL), HF_OK);
    assert_int_equal(got[2], 6000);
    assert_int_equal(got[3], 0); /* beyond the last */
    assert_int_equal(hf_sums_begin(s, NULL), HF_OK);
    assert_int_equal(hf_sums_set(s, 3, 42, NULL), HF_OK);
    assert_int_equal(hf_sums_set(s, 5001, 43, NULL), HF_OK);
    assert_int_equal(hf_sums_commit(s, 8, 5001, NULL), HF_OK);
    assert_int_equal(hf_sums_get(s, 1, 4, got, NULL), HF_OK);
    assert_int_equal(got[2], 42);
    assert_int_equal(got[3], 1004);
    hf_sums_close(s);
}

static void test_cut_short_is_told(void **state)
{
    (void)state;
    struct hf_sums *s = NULL;
    fill(100, 7);
    assert_int_equal(hf_sums_open(path, &s, NULL), HF_OK);
    assert_int_equal(hf_sums_begin(s, NULL), HF_OK);
    assert_int_equal(hf_sums_set(s, 3, 42, NULL), HF_OK);
    hf_sums_close(s); /* as if killed */
    assert_int_equal(hf_sums_open(path, &s, NULL), HF_E_CORRUPT);
}

static void test_damage_is_told(void **state)
{
    (void)state;
    for (uint64_t at = 0; at < 64; at += 3) {
        struct hf_sums *s = NULL;
        struct hf_file f = HF_FILE_CLOSED;
        uint8_t b = 0;
        fill(10, 7);
        assert_int_equal(hf_file_open(path, HF_FILE_WRITE, 0, &f, NULL), HF_OK);
        assert_int_equal(hf_file_read_at(&f, &b, 1, at, NULL), HF_OK);
        b ^= 0x10;
        assert_int_equal(hf_file_write_at(&f, &b, 1, at, NULL), HF_OK);
        hf_file_close(&f);
        if (hf_sums_open(path, &s, NULL) != HF_E_CORRUPT)
            fail_msg("a flipped bit at offset %d went unnoticed", (int)at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, make, drop),
        cmocka_unit_test_setup_teardown(test_cut_short_is_told, make, drop),
        cmocka_unit_test_setup_teardown(test_damage_is_told, make, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
