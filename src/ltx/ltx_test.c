/*
 * Names, TXIDs, the header's rules, the lock page.
 */
#include "ltx/ltx.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

static void names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool ok;
        uint64_t min, max;
        const char *why;
    } rows[] = {
        {"0000000000000001-000000000000000a.ltx", true, 1, 10, "lower-case hex"},
        {"ffffffffffffffff-ffffffffffffffff.ltx", true, UINT64_MAX, UINT64_MAX, "largest"},
        {"0000000000000001-000000000000000A.ltx", false, 0, 0, "upper case is not seen by others"},
        {"0000000000000000-0000000000000001.ltx", false, 0, 0, "TXIDs begin at 1"},
        {"0000000000000002-0000000000000001.ltx", false, 0, 0, "max below min"},
        {"0000000000000001-0000000000000001.ltx.tmp", false, 0, 0, "being written"},
        {"0000000000000001-0000000000000001.lt", false, 0, 0, "cut off"},
        {"0000000000000001_0000000000000001.ltx", false, 0, 0, "no dash"},
        {"000000000000001-0000000000000001.ltx", false, 0, 0, "15 digits"},
        {"00000000000000 1-0000000000000001.ltx", false, 0, 0, "a blank"},
        {"", false, 0, 0, "empty"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        print_message("%s: %s\n", rows[i].name, rows[i].why);
        uint64_t min = 77, max = 78;
        assert_int_equal(hf_ltx_name_parse(rows[i].name, &min, &max), rows[i].ok);
        assert_int_equal(min, rows[i].ok ? rows[i].min : 77); /* untouched on failure */
        assert_int_equal(max, rows[i].ok ? rows[i].max : 78);
        if (!rows[i].ok)
            continue;
        char back[HF_LTX_NAME_SIZE];
        hf_ltx_name_format(min, max, back);
        assert_string_equal(back, rows[i].name);
    }
    char text[HF_TXID_TEXT];
    hf_txid_format(0xabc, text);
    assert_string_equal(text, "0000000000000abc");
}

static const uint64_t sum = 1ull << 63 | 5;

static void header_rules(void **state)
{
    (void)state;
    static const struct hf_ltx_header good = {.flags = 2,
                                              .page_size = 4096,
                                              .commit = 3,
                                              .min_txid = 2,
                                              .max_txid = 5,
                                              .timestamp_ms = -1,
                                              .wal_offset = 32,
                                              .wal_size = 4120,
                                              .wal_salt1 = 1,
                                              .wal_salt2 = 2,
                                              .node_id = 9};
    static const struct {
        int off, size;
        uint64_t value;
        bool ok;
        const char *why;
    } rows[] = {
        {0, 4, 0x4c545831, true, "nothing changed"},
        {0, 4, 0x4c545832, false, "magic LTX2"},
        {4, 4, 3, false, "flag 0: version 1's compression"},
        {4, 4, 6, false, "unknown flag"},
        {4, 4, 0, false, "checksums on, min > 1, but no pre-apply"},
        {8, 4, 0, false, "page size 0"},
        {8, 4, 1, false, "page size 1 does not stand for 65536 here"},
        {8, 4, 256, false, "page size too small"},
        {8, 4, 4097, false, "not a power of two"},
        {8, 4, 65536, true, "largest page"},
        {8, 4, 131072, false, "page size too large"},
        {12, 4, 0, true, "a deletion file"},
        {16, 8, 0, false, "min TXID 0"},
        {16, 8, 6, false, "max below min"},
        {16, 8, 5, true, "one TXID"},
        {40, 8, 5, false, "pre-apply with the no-checksum flag"},
        {48, 8, 0, false, "salts without WAL offset"},
        {48, 8, 1ull << 63, false, "negative WAL offset"},
        {56, 8, 1ull << 63, false, "negative WAL size"},
        {72, 8, UINT64_MAX, true, "any node id"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        print_message("%s\n", rows[i].why);
        uint8_t raw[HF_LTX_HEADER_SIZE];
        hf_ltx_header_pack(&good, raw);
        if (rows[i].size == 4)
            hf_put_be32(raw + rows[i].off, (uint32_t)rows[i].value);
        else
            hf_put_be64(raw + rows[i].off, rows[i].value);
        struct hf_ltx_header h = {.commit = 12345};
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = hf_ltx_header_unpack(raw, &h, &err);
        assert_int_equal(rc, rows[i].ok ? HF_OK : HF_E_CORRUPT);
        if (rc != HF_OK)
            assert_int_equal(h.commit, 12345);
    }
}

static void header_rules_between_fields(void **state)
{
    (void)state;
    static const struct {
        struct hf_ltx_header h;
        bool ok;
        const char *why;
    } rows[] = {
        {{.flags = 0, .page_size = 512, .min_txid = 1, .max_txid = 1},
         true,
         "a checksummed snapshot has no pre-apply"},
        {{.flags = 0, .page_size = 512, .min_txid = 1, .max_txid = 1, .pre_apply = 1ull << 63},
         false,
         "a snapshot with pre-apply"},
        {{.flags = 0, .page_size = 512, .min_txid = 2, .max_txid = 2, .pre_apply = 1ull << 63},
         true,
         "a checksummed increment"},
        {{.flags = 0, .page_size = 512, .min_txid = 2, .max_txid = 2, .pre_apply = 5},
         false,
         "pre-apply without bit 63"},
        {{.flags = 2, .page_size = 512, .min_txid = 2, .max_txid = 2, .wal_size = 1},
         false,
         "WAL size without offset"},
        {{.flags = 2, .page_size = 512, .min_txid = 2, .max_txid = 2, .wal_offset = 32},
         true,
         "WAL offset without size or salts"},
        {{.flags = 2, .page_size = 512, .min_txid = 2, .max_txid = 2, .wal_salt2 = 1},
         false,
         "one salt is enough to want an offset"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        print_message("%s\n", rows[i].why);
        struct hf_err err = HF_ERR_INIT;
        assert_int_equal(hf_ltx_header_check(&rows[i].h, &err), rows[i].ok ? HF_OK : HF_E_INVALID);
    }
}

static void header_round_trip(void **state)
{
    (void)state;
    struct hf_ltx_header in = {
        0,   1024, 77,   0x1122334455667788, 0x2122334455667788, -5,
        sum, 4120, 8240, 0xdeadbeef,         0xfeedface,         0x0102030405060708};
    struct hf_ltx_header out;
    uint8_t raw[HF_LTX_HEADER_SIZE];
    hf_ltx_header_pack(&in, raw);
    assert_int_equal(hf_ltx_header_unpack(raw, &out, NULL), HF_OK);
    assert_int_equal(out.flags, in.flags);
    assert_int_equal(out.page_size, in.page_size);
    assert_int_equal(out.commit, in.commit);
    assert_int_equal(out.min_txid, in.min_txid);
    assert_int_equal(out.max_txid, in.max_txid);
    assert_int_equal(out.timestamp_ms, in.timestamp_ms);
    assert_int_equal(out.pre_apply, in.pre_apply);
    assert_int_equal(out.wal_offset, in.wal_offset);
    assert_int_equal(out.wal_size, in.wal_size);
    assert_int_equal(out.wal_salt1, in.wal_salt1);
    assert_int_equal(out.wal_salt2, in.wal_salt2);
    assert_int_equal(out.node_id, in.node_id);
}

static void lock_page(void **state)
{
    (void)state;
    static const struct {
        uint32_t size, page;
    } rows[] = {{512, 2097153}, {1024, 1048577}, {2048, 524289}, {4096, 262145},
                {8192, 131073}, {16384, 65537},  {32768, 32769}, {65536, 16385}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        assert_int_equal(hf_lock_page(rows[i].size), rows[i].page);
        /* the page that holds SQLite's pending byte */
        assert_int_equal((uint64_t)(rows[i].page - 1) * rows[i].size, 1u << 30);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(header_rules),
        cmocka_unit_test(header_rules_between_fields),
        cmocka_unit_test(header_round_trip),
        cmocka_unit_test(lock_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
