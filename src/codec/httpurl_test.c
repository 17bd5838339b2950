#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "codec/httpurl.h"

static void test_escape(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool keep_slash;
        const char *want;
    } rows[] = {
        {"", false, ""},
        {"AZaz09-._~", false, "AZaz09-._~"},
        {"a/b c", false, "a%2Fb%20c"},
        {"a/b c", true, "a/b%20c"},
        {"+=&?#%*'()!$,:;@", false, "%2B%3D%26%3F%23%25%2A%27%28%29%21%24%2C%3A%3B%40"},
        {"\xc3\xa4\x01\x7f", false, "%C3%A4%01%7F"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_buf b;
        hf_buf_init(&b, 100);
        assert_int_equal(hf_url_escape(&b, rows[i].text, rows[i].keep_slash, NULL), HF_OK);
        assert_string_equal(hf_buf_str(&b), rows[i].want);
        HF_AUTO_FREE char *back = hf_strdup(hf_buf_str(&b));
        assert_int_equal(hf_url_unescape(back, NULL), HF_OK);
        assert_string_equal(back, rows[i].text);
        hf_buf_deinit(&b);
    }
    struct hf_buf small;
    hf_buf_init(&small, 4);
    assert_int_equal(hf_url_escape(&small, "a  ", false, NULL), HF_E_LIMIT);
    hf_buf_deinit(&small);
}

static void test_unescape_refuses(void **state)
{
    (void)state;
    static const char *const rows[] = {"%", "a%2", "%zz", "%00", "x%0"};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        HF_AUTO_FREE char *text = hf_strdup(rows[i]);
        assert_int_equal(hf_url_unescape(text, NULL), HF_E_INVALID);
        assert_string_equal(text, rows[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_unescape_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
