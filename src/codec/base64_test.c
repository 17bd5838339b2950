#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "codec/base64.h"
#include "codec/digest.h"

/* RFC 4648 section 10. */
static void test_round_trip(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe\xfb", "//77"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_buf b;
        hf_buf_init(&b, 100);
        assert_int_equal(hf_base64_encode(&b, rows[i][0], strlen(rows[i][0]), NULL), HF_OK);
        assert_string_equal(hf_buf_str(&b), rows[i][1]);
        hf_buf_reset(&b);
        assert_int_equal(hf_base64_decode(&b, rows[i][1], strlen(rows[i][1]), NULL), HF_OK);
        assert_string_equal(hf_buf_str(&b), rows[i][0]);
        hf_buf_deinit(&b);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "Z", "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm\n9v", "Zg==Zg==", "Zm9-"};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_buf b;
        hf_buf_init(&b, 100);
        if (hf_base64_decode(&b, rows[i], strlen(rows[i]), NULL) != HF_E_INVALID || b.len != 0)
            fail_msg("%s was taken", rows[i]);
        hf_buf_deinit(&b);
    }
}

static void test_digests(void **state)
{
    (void)state;
    uint8_t d[HF_SHA256_BYTES];
    char hex[65];
    hf_sha256("", 0, d);
    hf_hex(d, 32, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hf_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, d); /* RFC 4231, case 2 */
    hf_hex(d, 32, hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    hf_md5("abc", 3, d);
    hf_hex(d, HF_MD5_BYTES, hex);
    assert_string_equal(hex, "900150983cd24fb0d6963f7d28e17f72");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
