/*
 * The text to sign, line by line as the service documents it; the signature as an independent
 * HMAC made it. That a server agrees is proven where a store meets Azurite.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "codec/base64.h"
#include "codec/sharedkey.h"

/* The emulator's well-known account key. */
static const char dev_key[] =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

static const struct hf_http_header headers[] = {
    {"x-ms-version", "2021-12-02"},   {"Content-Type", "application/octet-stream"},
    {"X-Ms-Meta-Nonce", "  a \t b "}, {"x-ms-date", "Sun, 22 Nov 2026 05:02:00 GMT"},
    {"If-None-Match", "*"},           {"Date", "never signed beside x-ms-date"},
    {"x-ms-blob-type", "BlockBlob"},  {"Range", "bytes=0-4"},
    {"X-Other", "not signed"},
};

static const struct hf_sharedkey_request full = {
    .method = "PUT",
    .path = "/devstoreaccount1/c/a%20b",
    .query = "prefix=ltx%2F0%2F&include=snapshots&comp=list&Include=metadata",
    .headers = headers,
    .n_headers = HF_ARRAY_LEN(headers),
    .content_length = 5,
};

static void test_text(void **state)
{
    (void)state;
    struct hf_buf b;
    hf_buf_init(&b, 4096);
    assert_int_equal(hf_sharedkey_text("devstoreaccount1", &full, &b, NULL), HF_OK);
    assert_string_equal(hf_buf_str(&b), "PUT\n\n\n5\n\napplication/octet-stream\n\n\n\n*\n\n"
                                        "bytes=0-4\n"
                                        "x-ms-blob-type:BlockBlob\n"
                                        "x-ms-date:Sun, 22 Nov 2026 05:02:00 GMT\n"
                                        "x-ms-meta-nonce:a b\n"
                                        "x-ms-version:2021-12-02\n"
                                        "/devstoreaccount1/devstoreaccount1/c/a%20b\n"
                                        "comp:list\ninclude:metadata,snapshots\nprefix:ltx/0/");
    hf_buf_reset(&b);
    struct hf_sharedkey_request bare = {.method = "GET", .path = "/c/b"};
    assert_int_equal(hf_sharedkey_text("a", &bare, &b, NULL), HF_OK);
    assert_string_equal(hf_buf_str(&b), "GET\n\n\n\n\n\n\n\n\n\n\n\n/a/c/b"); /* no length of 0 */
    hf_buf_reset(&b);
    bare.query = "a=%zz";
    assert_int_equal(hf_sharedkey_text("a", &bare, &b, NULL), HF_E_INVALID);
    hf_buf_deinit(&b);
}

static void test_signature(void **state)
{
    (void)state;
    struct hf_buf key;
    struct hf_buf b;
    hf_buf_init(&key, 200);
    hf_buf_init(&b, 200);
    assert_int_equal(hf_base64_decode(&key, dev_key, strlen(dev_key), NULL), HF_OK);
    assert_int_equal(key.len, 64);
    assert_int_equal(hf_sharedkey_sign("devstoreaccount1", &key, &full, &b, NULL), HF_OK);
    assert_string_equal(hf_buf_str(&b),
                        "SharedKey devstoreaccount1:QjZf0+XEEmkm8KUt0XaKx8UVdZKBL3MqFBCDIyjuuks=");
    hf_buf_deinit(&key);
    hf_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
