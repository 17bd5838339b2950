/*
 * xxHash32 against its published values, frame headers against liblz4's own.
 */
#include "ltx/pageframe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <lz4frame.h>

#include "base/attr.h"

static void xxh32(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t want;
        const char *why;
    } rows[] = {
        {"", 0x02cc5d05, "empty"},
        {"a", 0x550d7456, "one byte of tail"},
        {"abc", 0x32d153ff, "three bytes of tail"},
        {"Nobody inspects the spammish repetition", 0xe2293b2f, "two stripes, a word, a tail"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        print_message("%s\n", rows[i].why);
        assert_int_equal(hf_xxh32(rows[i].text, strlen(rows[i].text)), rows[i].want);
    }
}

static void headers_of_liblz4(void **state)
{
    (void)state;
    unsigned unnoticed = 0;
    for (unsigned bits = 0; bits < 16; bits++) {
        LZ4F_preferences_t prefs = {
            .frameInfo = {
                .blockSizeID = LZ4F_max64KB,
                .blockMode = (bits & 1) != 0 ? LZ4F_blockIndependent : LZ4F_blockLinked,
                .contentChecksumFlag =
                    (bits & 2) != 0 ? LZ4F_contentChecksumEnabled : LZ4F_noContentChecksum,
                .blockChecksumFlag =
                    (bits & 4) != 0 ? LZ4F_blockChecksumEnabled : LZ4F_noBlockChecksum,
                .contentSize = (bits & 8) != 0 ? 0x123456789aull : 0,
            }};
        LZ4F_cctx *ctx = NULL;
        uint8_t out[LZ4F_HEADER_SIZE_MAX];
        assert_false(LZ4F_isError(LZ4F_createCompressionContext(&ctx, LZ4F_VERSION)));
        size_t n = LZ4F_compressBegin(ctx, out, sizeof(out), &prefs);
        assert_int_equal(hf_pageframe_header_len(out), n);
        struct hf_pageframe f;
        assert_null(hf_pageframe_parse(out, &f));
        assert_int_equal(f.is_linked, (bits & 1) == 0);
        assert_int_equal(f.has_content_sum, (bits & 2) != 0);
        assert_int_equal(f.has_block_sums, (bits & 4) != 0);
        assert_int_equal(f.has_content_size, (bits & 8) != 0);
        assert_int_equal(f.content_size, (bits & 8) != 0 ? 0x123456789aull : 0);
        if (bits == 3) {
            uint8_t ours[HF_PAGEFRAME_HEADER_MIN];
            hf_pageframe_header_put(ours);
            assert_memory_equal(ours, out, sizeof(ours));
        }
        for (size_t at = 0; at < n; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                out[at] ^= (uint8_t)(1u << bit);
                if (hf_pageframe_header_len(out) <= n)
                    unnoticed += hf_pageframe_parse(out, &f) == NULL;
                out[at] ^= (uint8_t)(1u << bit);
            }
        }
        (void)LZ4F_freeCompressionContext(ctx);
    }
    /* the header's check is one byte: 1 of 256 flips in 16 headers may slip through */
    print_message("%u flips unnoticed\n", unnoticed);
    assert_true(unnoticed <= 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xxh32),
        cmocka_unit_test(headers_of_liblz4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
