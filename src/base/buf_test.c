#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/mem.h"

static void test_append_and_str(void **state)
{
    (void)state;
    struct hf_buf b;
    hf_buf_init(&b, 100);
    assert_string_equal(hf_buf_str(&b), ""); /* never NULL, even when nothing was written */
    assert_int_equal(hf_buf_append(&b, "abc", 3, NULL), HF_OK);
    assert_int_equal(hf_buf_appendf(&b, NULL, "-%d-%s", 42, "x"), HF_OK);
    assert_string_equal(hf_buf_str(&b), "abc-42-x");
    assert_int_equal(b.len, 8);
    hf_buf_reset(&b);
    assert_string_equal(hf_buf_str(&b), "");
    hf_buf_deinit(&b);
    assert_null(b.data);
}

/* The maximum is exact: its last byte fits, the next one does not and changes nothing. */
static void test_limit(void **state)
{
    (void)state;
    struct hf_buf b;
    struct hf_err err = HF_ERR_INIT;
    hf_buf_init(&b, 4);
    assert_int_equal(hf_buf_append(&b, "abcd", 4, &err), HF_OK);
    assert_int_equal(hf_buf_append(&b, "e", 1, &err), HF_E_LIMIT);
    assert_int_equal(hf_buf_appendf(&b, &err, "%s", "e"), HF_E_LIMIT);
    assert_int_equal(hf_buf_append(&b, "", 0, &err), HF_OK);
    assert_string_equal(hf_buf_str(&b), "abcd");
    assert_string_equal(err.text, "more than 4 bytes");
    assert_int_equal(hf_buf_reserve(&b, SIZE_MAX, &err), HF_E_LIMIT); /* no wrap-around */
    hf_buf_deinit(&b);
}

static void test_grows_without_losing(void **state)
{
    (void)state;
    struct hf_buf b;
    hf_buf_init(&b, 1 << 20);
    for (uint32_t i = 0; i < 10000; i++)
        assert_int_equal(hf_buf_append(&b, &i, sizeof(i), NULL), HF_OK);
    for (uint32_t i = 0; i < 10000; i++) {
        uint32_t v;
        memcpy(&v, b.data + i * sizeof(v), sizeof(v));
        assert_int_equal(v, i);
    }
    hf_buf_deinit(&b);
}

static void test_err_wraps_outside_in(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_err_sys(&err, ENOENT, "open %s", "/x"), HF_E_NOT_FOUND);
    hf_err_hint(&err, "check the path");
    assert_int_equal(hf_err_wrap(&err, "restore %s", "app.db"), HF_E_NOT_FOUND);
    assert_string_equal(err.text, "restore app.db: open /x: No such file or directory");
    assert_int_equal(hf_err_wrap(&err, "restore %s", "app.db"), HF_E_NOT_FOUND); /* said already */
    assert_string_equal(err.text, "restore app.db: open /x: No such file or directory");
    assert_int_equal(hf_err_wrap(&err, "restore"), HF_E_NOT_FOUND); /* another word of it */
    assert_string_equal(err.text, "restore: restore app.db: open /x: No such file or directory");
    assert_string_equal(err.hint, "check the path");
    assert_int_equal(err.sys, ENOENT);
    assert_int_equal(hf_err_set(&err, HF_E_BUSY, "later"), HF_E_BUSY);
    assert_string_equal(err.hint, ""); /* a new error does not keep the old advice */
    assert_int_equal(hf_err_set(NULL, HF_E_IO, "nobody listens"), HF_E_IO);
}

/* Texts longer than the struct are cut, at any depth of wrapping. */
static void test_err_is_bounded(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    char big[5000];
    memset(big, 'a', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    hf_err_set(&err, HF_E_IO, "%s", big);
    hf_err_wrap(&err, "%s", big);
    hf_err_wrap(&err, "outer");
    assert_int_equal(strncmp(err.text, "outer: aaa", 10), 0);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

static void test_codes(void **state)
{
    (void)state;
    assert_int_equal(hf_code_exit(HF_OK), 0);
    assert_int_equal(hf_code_exit(HF_E_INVALID), 2);
    assert_int_equal(hf_code_http(HF_E_NOT_FOUND), 404);
    assert_string_equal(hf_code_word(HF_E_NO_SPACE), "no-space");
    assert_int_equal(hf_code_of_errno(EDQUOT), HF_E_NO_SPACE);
    assert_int_equal(hf_code_of_errno(EIO), HF_E_IO);
}

static void test_bytes(void **state)
{
    (void)state;
    uint8_t raw[9] = {0};
    hf_put_be64(raw + 1, UINT64_C(0x0102030405060708)); /* unaligned on purpose */
    assert_int_equal(raw[1], 1);
    assert_int_equal(raw[8], 8);
    assert_true(hf_be64(raw + 1) == UINT64_C(0x0102030405060708));
    assert_int_equal(hf_be32(raw + 1), 0x01020304);
    assert_int_equal(hf_be16(raw + 1), 0x0102);
    assert_int_equal(hf_le32(raw + 1), 0x04030201);
    hf_put_le32(raw + 1, 0x01020304);
    assert_int_equal(raw[1], 4);
}

static char *make(void)
{
    HF_AUTO_FREE char *s = hf_asprintf("%s-%d", "x", 1);
    return hf_steal(&s);
}

static void test_steal(void **state)
{
    (void)state;
    char *s = make();
    assert_string_equal(s, "x-1"); /* freed at the end of make() without the steal: ASan tells */
    hf_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_and_str),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_grows_without_losing),
        cmocka_unit_test(test_err_wraps_outside_in),
        cmocka_unit_test(test_err_is_bounded),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_steal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
