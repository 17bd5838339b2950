/*
 * The examples of AWS's documentation: "Signature Calculations for the Authorization Header" of S3,
 * and the general one of IAM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "codec/sigv4.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define S3_HOST                                                                                    \
    {                                                                                              \
        "Host", "examplebucket.s3.amazonaws.com"                                                   \
    }
#define S3_DATE                                                                                    \
    {                                                                                              \
        "x-amz-date", "20130524T000000Z"                                                           \
    }

static const struct hf_sigv4_key s3_key = {
    "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3"};
static const struct hf_sigv4_key iam_key = {
    "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "iam"};

struct row {
    const char *why;
    const struct hf_sigv4_key *key;
    const char *method;
    const char *path;
    const char *query;
    const char *time;
    struct hf_http_header headers[6];
    size_t n_headers;
    const char *hash;
    const char *signature;
};

static const struct row rows[] = {
    {"get a range",
     &s3_key,
     "GET",
     "/test.txt",
     "",
     "20130524T000000Z",
     {S3_HOST, {"Range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY}, S3_DATE},
     4,
     EMPTY,
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"put, a '$' in the name",
     &s3_key,
     "PUT",
     "/test%24file.text",
     NULL,
     "20130524T000000Z",
     {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
      S3_HOST,
      {"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
      S3_DATE,
      {"x-amz-storage-class", "  REDUCED_REDUNDANCY "}},
     5,
     "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"a parameter without a value",
     &s3_key,
     "GET",
     "/",
     "lifecycle",
     "20130524T000000Z",
     {S3_HOST, {"x-amz-content-sha256", EMPTY}, S3_DATE},
     3,
     EMPTY,
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"a list, its parameters in another order",
     &s3_key,
     "GET",
     "/",
     "prefix=J&max-keys=2",
     "20130524T000000Z",
     {S3_DATE, {"x-amz-content-sha256", EMPTY}, S3_HOST},
     3,
     EMPTY,
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    {"another service",
     &iam_key,
     "GET",
     "/",
     "Action=ListUsers&Version=2010-05-08",
     "20150830T123600Z",
     {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"},
      {"Host", "iam.amazonaws.com"},
      {"X-Amz-Date", "20150830T123600Z"}},
     3,
     EMPTY,
     "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"},
};

static struct hf_sigv4_request request_of(const struct row *r)
{
    return (struct hf_sigv4_request){r->method,    r->path, r->query, r->headers,
                                     r->n_headers, r->hash, r->time};
}

static void test_published_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_buf out;
        struct hf_err err = HF_ERR_INIT;
        struct hf_sigv4_request req = request_of(&rows[i]);
        hf_buf_init(&out, 4096);
        assert_int_equal(hf_sigv4_sign(rows[i].key, &req, &out, &err), HF_OK);
        const char *at = strstr(hf_buf_str(&out), ",Signature=");
        if (at == NULL || strcmp(at + 11, rows[i].signature) != 0)
            fail_msg("%s: %s", rows[i].why, hf_buf_str(&out));
        assert_null(strstr(hf_buf_str(&out), rows[i].key->secret));
        hf_buf_deinit(&out);
    }
}

static void test_canonical_text(void **state)
{
    (void)state;
    struct hf_buf out;
    struct hf_err err = HF_ERR_INIT;
    struct hf_sigv4_request req = request_of(&rows[3]);
    hf_buf_init(&out, 4096);
    assert_int_equal(hf_sigv4_canonical(&req, &out, &err), HF_OK);
    assert_string_equal(hf_buf_str(&out), "GET\n/\nmax-keys=2&prefix=J\n"
                                          "host:examplebucket.s3.amazonaws.com\n"
                                          "x-amz-content-sha256:" EMPTY "\n"
                                          "x-amz-date:20130524T000000Z\n\n"
                                          "host;x-amz-content-sha256;x-amz-date\n" EMPTY);
    hf_buf_deinit(&out);
}

static void test_times_and_hashes(void **state)
{
    (void)state;
    char time[HF_SIGV4_TIME];
    char hash[HF_SIGV4_HASH];
    hf_sigv4_time(INT64_C(1369353600999), time);
    assert_string_equal(time, "20130524T000000Z");
    hf_sigv4_payload_hash(NULL, 0, hash);
    assert_string_equal(hash, EMPTY);
    hf_sigv4_payload_hash("Welcome to Amazon S3.", 21, hash);
    assert_string_equal(hash, rows[1].hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_examples),
        cmocka_unit_test(test_canonical_text),
        cmocka_unit_test(test_times_and_hashes),
    };
    return cmocka_run_group_tests_name("codec/sigv4", tests, NULL, NULL);
}
