/*
 * CRC-64/ISO against a bit-at-a-time reference, on every short length, many long ones, every
 * alignment, split anywhere; both paths.
 */
#include "ltx/crc64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"

static uint64_t bitwise(uint64_t sum, const uint8_t *p, size_t len)
{
    uint64_t v = ~sum;
    for (size_t i = 0; i < len; i++) {
        v ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            v = (v >> 1) ^ ((v & 1) ? 0xD800000000000000ull : 0);
    }
    return ~v;
}

static void fill(uint8_t *p, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (uint8_t)(seed >> 24);
    }
}

static void known_values(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t want;
        const char *why;
    } rows[] = {
        {"", 0, "nothing changes nothing"},
        {"123456789", 0xb90956c775a41001ull, "the catalogue's check value"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        print_message("%s\n", rows[i].why);
        assert_int_equal(hf_crc64(0, rows[i].text, strlen(rows[i].text)), rows[i].want);
        assert_int_equal(hf_crc64_portable(0, rows[i].text, strlen(rows[i].text)), rows[i].want);
    }
}

static void every_length_and_alignment(void **state)
{
    (void)state;
    enum { MAX = 1200 };
    uint8_t *p = hf_malloc(MAX + 16);
    fill(p, MAX + 16, 1);
    for (size_t len = 0; len <= MAX; len++) {
        const uint8_t *at = p + len % 16;
        uint64_t seed = len * 0x9e3779b97f4a7c15ull;
        uint64_t want = bitwise(seed, at, len);
        assert_int_equal(hf_crc64(seed, at, len), want);
        assert_int_equal(hf_crc64_portable(seed, at, len), want);
    }
    for (size_t shift = 0; shift < 16; shift++)
        assert_int_equal(hf_crc64(7, p + shift, MAX), bitwise(7, p + shift, MAX));
    hf_free(p);
}

static void random_splits(void **state)
{
    (void)state;
    uint32_t seed = hf_random_u32();
    print_message("seed %u\n", seed);
    enum { MAX = 70000 };
    uint8_t *p = hf_malloc(MAX);
    fill(p, MAX, seed);
    for (int round = 0; round < 60; round++) {
        seed = seed * 1664525u + 1013904223u;
        size_t len = (seed >> 8) % MAX;
        size_t cut = len == 0 ? 0 : (seed >> 3) % len;
        uint64_t want = bitwise(0, p, len);
        assert_int_equal(hf_crc64(hf_crc64(0, p, cut), p + cut, len - cut), want);
        assert_int_equal(hf_crc64_portable(hf_crc64(0, p, cut), p + cut, len - cut), want);
    }
    hf_free(p);
}

static void page_sum_binds_the_number(void **state)
{
    (void)state;
    uint8_t page[516] = {0, 0, 0, 9};
    fill(page + 4, 512, 3);
    assert_int_equal(hf_page_checksum(9, page + 4, 512), bitwise(0, page, 516) | 1ull << 63);
    assert_int_not_equal(hf_page_checksum(9, page + 4, 512), hf_page_checksum(8, page + 4, 512));
}

/* Not a test of anything but the figure itself: prints it, so a slow path shows in the log. */
static void speed(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20, ROUNDS = 64 };
    uint8_t *p = hf_malloc(SIZE);
    fill(p, SIZE, 5);
    volatile uint64_t keep = 0;
    static const size_t chunks[] = {4106, SIZE};
    for (size_t c = 0; c < HF_ARRAY_LEN(chunks); c++) {
        uint64_t ns[2];
        for (int portable = 0; portable < 2; portable++) {
            uint64_t t0 = hf_clock_mono_ns();
            for (int r = 0; r < ROUNDS; r++) {
                for (size_t at = 0; at + chunks[c] <= SIZE; at += chunks[c])
                    keep = portable ? hf_crc64_portable(keep, p + at, chunks[c])
                                    : hf_crc64(keep, p + at, chunks[c]);
            }
            ns[portable] = hf_clock_mono_ns() - t0;
        }
        print_message("%zu bytes: %s %.2f GB/s, slicing16 %.2f GB/s\n", chunks[c], hf_crc64_kind(),
                      (double)SIZE * ROUNDS / (double)ns[0], (double)SIZE * ROUNDS / (double)ns[1]);
    }
    hf_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),  cmocka_unit_test(every_length_and_alignment),
        cmocka_unit_test(random_splits), cmocka_unit_test(page_sum_binds_the_number),
        cmocka_unit_test(speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
