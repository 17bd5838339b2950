#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/random.h"

/* RFC 4648, section 10. */
static const char *const vectors[][2] = {
    {"", ""},         {"f", "Zg=="},         {"fo", "Zm8="},         {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
};

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(vectors); i++) {
        HF_AUTO_FREE char *text = hf_base64_encode(vectors[i][0], strlen(vectors[i][0]));
        assert_string_equal(text, vectors[i][1]);
        struct hf_buf b;
        hf_buf_init(&b, 100);
        assert_int_equal(hf_base64_decode(text, strlen(text), &b, NULL), HF_OK);
        assert_string_equal(hf_buf_str(&b), vectors[i][0]);
        hf_buf_deinit(&b);
    }
}

static void test_round_trips(void **state)
{
    (void)state;
    uint8_t data[200];
    for (size_t len = 0; len < sizeof(data); len++) {
        hf_random_bytes(data, sizeof(data));
        HF_AUTO_FREE char *text = hf_base64_encode(data, len);
        struct hf_buf b;
        hf_buf_init(&b, sizeof(data));
        assert_int_equal(hf_base64_decode(text, strlen(text), &b, NULL), HF_OK);
        assert_int_equal(b.len, len);
        assert_true(len == 0 || memcmp(b.data, data, len) == 0);
        hf_buf_deinit(&b);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *text;
    } rows[] = {
        {"no padding", "Zg"},           {"half padding", "Zg="},      {"too short", "Z==="},
        {"padding inside", "Zg==Zg=="}, {"white space", "Zm9v\n"},    {"other alphabet", "Zm9_"},
        {"lost bits", "Zh=="},          {"lost bits of two", "Zm9="}, {"only padding", "===="},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_err err = HF_ERR_INIT;
        struct hf_buf b;
        hf_buf_init(&b, 100);
        assert_int_equal(hf_buf_append(&b, "x", 1, &err), HF_OK);
        if (hf_base64_decode(rows[i].text, strlen(rows[i].text), &b, &err) != HF_E_INVALID)
            fail_msg("%s was taken", rows[i].why);
        assert_int_equal(b.len, 1);
        hf_buf_deinit(&b);
    }
    struct hf_err err = HF_ERR_INIT;
    struct hf_buf small;
    hf_buf_init(&small, 2);
    assert_int_equal(hf_base64_decode("Zm9v", 4, &small, &err), HF_E_LIMIT);
    assert_int_equal(small.len, 0);
    hf_buf_deinit(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("base/base64", tests, NULL, NULL);
}
