#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "replica/pack.h"

/* ---- names ---- */

static void test_pack_names(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *name;
        uint64_t number; /* 0: not a pack's */
    } rows[] = {
        {"as it is written", "000000000000002a.pack", 0x2a},
        {"the last one there can be", "00ffffffffffffff.pack", UINT64_MAX >> 8},
        {"no number behind it: a stray file", "ffffffffffffffff.pack", 0},
        {"numbers begin at 1", "0000000000000000.pack", 0},
        {"lower case only: names sort", "000000000000002A.pack", 0},
        {"another end", "000000000000002a.ltxx", 0},
        {"too short", "2a.pack", 0},
        {"too long", "0000000000000002a.pack", 0},
        {"empty", "", 0},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        uint64_t number = 0;
        bool is_pack = hf_pack_name_parse(rows[i].name, &number);
        if (is_pack != (rows[i].number != 0) || (is_pack && number != rows[i].number))
            fail_msg("%s: %s", rows[i].why, rows[i].name);
        char name[HF_PACK_NAME_SIZE];
        hf_pack_name_format(rows[i].number, name);
        if (is_pack)
            assert_string_equal(name, rows[i].name);
    }
}

static void test_marker_names(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *name;
        unsigned up; /* 0: not a marker */
        uint64_t from;
    } rows[] = {
        {"as it is written", "packs-1-0000000000000007", 1, 7},
        {"16 directories up, no more", "packs-10-0000000000000007", 16, 7},
        {"17", "packs-11-0000000000000007", 0, 0},
        {"none", "packs-0-0000000000000007", 0, 0},
        {"no number", "packs-1-", 0, 0},
        {"no steps", "packs--0000000000000007", 0, 0},
        {"three digits", "packs-001-0000000000000007", 0, 0},
        {"more behind it", "packs-1-00000000000000070", 0, 0},
        {"an LTX file", "0000000000000001-0000000000000001.ltx", 0, 0},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        unsigned up = 0;
        uint64_t from = 0;
        bool is_marker = hf_pack_marker_parse(rows[i].name, &up, &from);
        if (is_marker != (rows[i].up != 0))
            fail_msg("%s: %s", rows[i].why, rows[i].name);
        if (!is_marker)
            continue;
        assert_int_equal(up, rows[i].up);
        assert_int_equal(from, rows[i].from);
        char name[HF_PACK_MARKER_SIZE];
        hf_pack_marker_format(up, from, name);
        assert_string_equal(name, rows[i].name);
    }
    assert_true(strcmp("packs-1-0000000000000000", "ffffffffffffffff-ffffffffffffffff.ltx") > 0);
}

/* ---- tables ---- */

static struct hf_pack_entry entries[] = {
    {.min_txid = 1, .max_txid = 1, .time_ms = 5, .size = 100, .crc = 7, .path = "a"},
    {.min_txid = 2, .max_txid = 9, .time_ms = 6, .is_elsewhere = true, .path = "a/b"},
    {.min_txid = 3, .max_txid = 4, .time_ms = 7, .size = 50, .crc = 8, .path = "b c"},
};

static void write_table(struct hf_buf *buf)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_pack p = {.writer = 11, .number = 12, .time_ms = 13, .entries = entries, .n = 3};
    hf_buf_init(buf, HF_LIMIT_PACK_TABLE);
    assert_int_equal(hf_pack_write(&p, buf, &err), HF_OK);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_buf buf;
    struct hf_pack got;
    size_t size = 0;
    write_table(&buf);
    assert_int_equal(hf_pack_head_size((uint8_t *)buf.data, &size, &err), HF_OK);
    assert_int_equal(size, buf.len);
    assert_int_equal(hf_pack_parse((uint8_t *)buf.data, size, &got, &err), HF_OK);
    assert_int_equal(got.writer, 11);
    assert_int_equal(got.number, 12);
    assert_int_equal(got.time_ms, 13);
    assert_int_equal(got.n, 3);
    uint64_t offset = size;
    for (size_t i = 0; i < got.n; i++) {
        const struct hf_pack_entry *e = &got.entries[i];
        assert_string_equal(e->path, entries[i].path);
        assert_int_equal(e->min_txid, entries[i].min_txid);
        assert_int_equal(e->max_txid, entries[i].max_txid);
        assert_int_equal(e->time_ms, entries[i].time_ms);
        assert_int_equal(e->size, entries[i].size);
        assert_int_equal(e->crc, entries[i].crc);
        assert_int_equal(e->is_elsewhere, entries[i].is_elsewhere);
        assert_int_equal(e->offset, offset);
        offset += e->size;
    }
    hf_pack_deinit(&got);
    hf_buf_deinit(&buf);
}

/* Any changed byte, any missing end. */
static void test_damage(void **state)
{
    (void)state;
    struct hf_buf buf;
    write_table(&buf);
    uint8_t *b = (uint8_t *)buf.data;
    for (size_t i = 0; i < buf.len; i++) {
        struct hf_pack got;
        b[i] ^= 0x10;
        assert_int_equal(hf_pack_parse(b, buf.len, &got, NULL), HF_E_CORRUPT);
        b[i] ^= 0x10;
    }
    for (size_t n = HF_PACK_HEADER_SIZE; n < buf.len; n++) {
        struct hf_pack got;
        assert_int_equal(hf_pack_parse(b, n, &got, NULL), HF_E_CORRUPT);
    }
    hf_buf_deinit(&buf);
}

/* A table with a good checksum whose entry makes no sense. */
static void test_senseless(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct hf_pack_entry e;
    } rows[] = {
        {"TXID 0", {.min_txid = 0, .max_txid = 1, .size = 1, .path = "a"}},
        {"backwards", {.min_txid = 2, .max_txid = 1, .size = 1, .path = "a"}},
        {"a path that leads out", {.min_txid = 1, .max_txid = 1, .size = 1, .path = "../a"}},
        {"one from the root", {.min_txid = 1, .max_txid = 1, .size = 1, .path = "/a"}},
        {"one with an empty part", {.min_txid = 1, .max_txid = 1, .size = 1, .path = "a//b"}},
        {"no bytes", {.min_txid = 1, .max_txid = 1, .size = 0, .path = "a"}},
        {"more than a file may have",
         {.min_txid = 1, .max_txid = 1, .size = HF_LIMIT_PACK_FILE + 1, .path = "a"}},
        {"elsewhere, and yet bytes",
         {.min_txid = 1, .max_txid = 1, .size = 1, .is_elsewhere = true, .path = "a"}},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_err err = HF_ERR_INIT;
        struct hf_buf buf;
        struct hf_pack_entry e = rows[i].e;
        struct hf_pack p = {.number = 1, .entries = &e, .n = 1};
        struct hf_pack got;
        hf_buf_init(&buf, HF_LIMIT_PACK_TABLE);
        assert_int_equal(hf_pack_write(&p, &buf, &err), HF_OK);
        if (hf_pack_parse((uint8_t *)buf.data, buf.len, &got, &err) != HF_E_CORRUPT)
            fail_msg("%s was taken", rows[i].why);
        hf_buf_deinit(&buf);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_buf buf;
    enum { N = 200 };
    struct hf_pack_entry many[N];
    HF_AUTO_FREE char *path = hf_calloc(2001, 1);
    memset(path, 'x', 2000);
    for (size_t i = 0; i < N; i++)
        many[i] = (struct hf_pack_entry){.min_txid = 1, .max_txid = 1, .size = 1, .path = path};
    struct hf_pack p = {.number = 1, .entries = many, .n = N};
    hf_buf_init(&buf, 4 << 20);
    assert_int_equal(hf_pack_write(&p, &buf, &err), HF_E_LIMIT);
    hf_buf_deinit(&buf);
    uint8_t head[HF_PACK_HEADER_SIZE] = "HFPACK01\xff\xff\xff\xff";
    size_t size = 0;
    assert_int_equal(hf_pack_head_size(head, &size, &err), HF_E_CORRUPT);
    head[7] = '2';
    assert_int_equal(hf_pack_head_size(head, &size, &err), HF_E_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack_names), cmocka_unit_test(test_marker_names),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_senseless),  cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
