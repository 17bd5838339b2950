/*
 * The S3 store against real servers, started by tests/rig/servers.py, which says in the environment
 * where they are: moto with authentication on and s3s-fs, which check every signature (s3s-fs looks
 * whether a name is there before it writes, not while: HF_TEST_RACY), and s3rver, which ignores
 * conditions and must be refused (HF_TEST_IGNORES).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "config/config.h"
#include "store/contract_test.h"
#include "store/s3_int.h"

static const char *endpoint;
static const char *bucket;
static char url[512];

static const char *fresh_url(void *arg)
{
    (void)arg;
    static int n;
    snprintf(url, sizeof(url), "s3://%s/t%d/replica?endpoint=%s&region=us-east-1", bucket, ++n,
             endpoint);
    return url;
}

static void done(void *arg)
{
    (void)arg;
}

static struct hf_store *open_fresh(void)
{
    struct hf_store *s = NULL;
    struct hf_err err = HF_ERR_INIT;
    if (hf_store_open(fresh_url(NULL), &s, &err) != HF_OK)
        fail_msg("%s", err.text);
    return s;
}

/* A store of a replica with the keys in extra. */
static enum hf_code open_with(const char *extra, struct hf_store **out, struct hf_err *err)
{
    static int n;
    struct hf_config_options opt = {.no_expand_env = true};
    struct hf_config *cfg = NULL;
    HF_AUTO_FREE char *text = hf_asprintf(
        "dbs:\n - path: /tmp/x.db\n   replica:\n    type: s3\n    path: k%d/x\n%s", ++n, extra);
    HF_TRY(hf_config_parse("t.yml", text, strlen(text), &opt, &cfg, err));
    enum hf_code rc = hf_store_open_replica(&cfg->dbs[0]->replicas[0], out, err);
    hf_config_free(cfg);
    return rc;
}

static void expect_words(const struct hf_err *err, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strstr(err->text, words[i]) == NULL && strstr(err->hint, words[i]) == NULL)
            fail_msg("'%s' is not in '%s' '%s'", words[i], err->text, err->hint);
    }
}

static struct s3 *as_s3(struct hf_store *s)
{
    hf_assert(s != NULL);
    return (struct s3 *)s;
}

/* Litestream's names on S3. */
static void test_layout(void **state)
{
    (void)state;
    char prefix[] = "a/b/";
    struct s3 s = {.prefix = prefix};
    static const char *const rows[][2] = {
        {"ltx/0/x.ltx", "a/b/0000/x.ltx"},
        {"ltx/9/x.ltx", "a/b/0009/x.ltx"},
        {"ltx/3", "a/b/0003"},
        {"ltx/10/x", "a/b/ltx/10/x"},
        {"ltx", "a/b/ltx"},
        {"generations/0/wal", "a/b/generations/0/wal"},
        {"../packs/x", "a/packs/x"},
        {"../o/ltx/0/x.ltx", "a/o/0000/x.ltx"},
        {"../../../x", "x"},
        {"", "a/b"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        HF_AUTO_FREE char *key = s3_key(&s, rows[i][0]);
        assert_string_equal(key, rows[i][1]);
    }
}

/* Where requests go and how, from the settings alone. */
static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *extra;
        const char *url;
        const char *region;
    } rows[] = {
        {"AWS, a region", "    bucket: b\n    region: eu-west-1\n",
         "https://b.s3.eu-west-1.amazonaws.com/k", "eu-west-1"},
        {"AWS, a bucket with a dot", "    bucket: b.c\n    region: eu-west-1\n",
         "https://s3.eu-west-1.amazonaws.com/b.c/k", "eu-west-1"},
        {"an endpoint: path style", "    bucket: b\n    endpoint: https://s3.example.com:9000\n",
         "https://s3.example.com:9000/b/k", "us-east-1"},
        {"without a scheme: https", "    bucket: b\n    endpoint: s3.example.com/\n",
         "https://s3.example.com/b/k", "us-east-1"},
        {"this machine: http", "    bucket: b\n    endpoint: localhost:9000\n",
         "http://localhost:9000/b/k", "us-east-1"},
        {"virtual host asked for",
         "    bucket: b\n    endpoint: https://s3.example.com\n    force-path-style: false\n",
         "https://b.s3.example.com/k", "us-east-1"},
        {"R2", "    bucket: b\n    endpoint: https://acc.r2.cloudflarestorage.com\n",
         "https://acc.r2.cloudflarestorage.com/b/k", "auto"},
        {"Tigris, a region given",
         "    bucket: b\n    endpoint: https://fly.storage.tigris.dev\n    region: iad\n",
         "https://fly.storage.tigris.dev/b/k", "iad"},
        {"an access point", "    bucket: arn:aws:s3:eu-west-1:123456789012:accesspoint/mine\n",
         "https://mine-123456789012.s3-accesspoint.eu-west-1.amazonaws.com/k", "eu-west-1"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_store *s = NULL;
        struct hf_err err = HF_ERR_INIT;
        struct hf_s3_request r;
        struct hf_http_request req;
        if (open_with(rows[i].extra, &s, &err) != HF_OK)
            fail_msg("%s: %s", rows[i].why, err.text);
        struct s3 *s3 = as_s3(s);
        assert_int_equal(s3_request_init(s3, "GET", "x", &r, &err), HF_OK);
        assert_int_equal(hf_s3_authorize(s3->bucket, &r, &req, &err), HF_OK);
        if (strncmp(req.url, rows[i].url, strlen(rows[i].url)) != 0 ||
            strcmp(r.region, rows[i].region) != 0)
            fail_msg("%s: %s %s", rows[i].why, req.url, r.region);
        hf_s3_request_deinit(&r);
        hf_store_close(s);
    }
}

static bool has_header(const struct hf_http_request *req, const char *name, const char *value)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        if (strcmp(req->headers[i].name, name) == 0)
            return value == NULL || strcmp(req->headers[i].value, value) == 0;
    }
    return false;
}

static void test_headers(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *extra;
        const char *name;
        const char *value; /* NULL: any */
        bool is_there;
    } rows[] = {
        {"payload signed", "", "x-amz-content-sha256", HF_SIGV4_UNSIGNED, false},
        {"payload not signed", "    sign-payload: false\n", "x-amz-content-sha256",
         HF_SIGV4_UNSIGNED, true},
        {"signed over http whatever is asked",
         "    sign-payload: false\n    endpoint: http://127.0.0.1:1\n", "x-amz-content-sha256",
         HF_SIGV4_UNSIGNED, false},
        {"a KMS key", "    sse-kms-key-id: k1\n", "x-amz-server-side-encryption", "aws:kms", true},
        {"our own key", "    sse-customer-key: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n",
         "x-amz-server-side-encryption-customer-key-MD5", "hRasmdxgYDKV3nvbahU1MA==", true},
        {"a storage class", "    storage-class: GLACIER_IR\n", "x-amz-storage-class", "GLACIER_IR",
         true},
        {"Tigris reads what was written", "    endpoint: https://fly.storage.tigris.dev\n",
         "X-Tigris-Consistent", "true", true},
        {"nobody else", "", "X-Tigris-Consistent", NULL, false},
        {"no token without temporary credentials", "", "x-amz-security-token", NULL, false},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_store *s = NULL;
        struct hf_err err = HF_ERR_INIT;
        struct hf_s3_request r;
        struct hf_http_request req;
        HF_AUTO_FREE char *extra = hf_asprintf("    bucket: b\n%s", rows[i].extra);
        if (open_with(extra, &s, &err) != HF_OK)
            fail_msg("%s: %s", rows[i].why, err.text);
        struct s3 *s3 = as_s3(s);
        assert_int_equal(s3_request_init(s3, "PUT", "x", &r, &err), HF_OK);
        hf_s3_add_encryption(s3->bucket, &r, true);
        assert_int_equal(hf_s3_authorize(s3->bucket, &r, &req, &err), HF_OK);
        if (has_header(&req, rows[i].name, rows[i].value) != rows[i].is_there)
            fail_msg("%s", rows[i].why);
        hf_s3_request_deinit(&r);
        hf_store_close(s);
    }
}

static void test_credentials(void **state)
{
    (void)state;
    HF_AUTO_FREE char *id = hf_strdup(getenv("AWS_ACCESS_KEY_ID"));
    HF_AUTO_FREE char *secret = hf_strdup(getenv("AWS_SECRET_ACCESS_KEY"));
    struct hf_store *s = NULL;
    struct hf_err err = HF_ERR_INIT;
    struct hf_s3_request r;
    struct hf_http_request req;
    setenv("AWS_SESSION_TOKEN", "temporary", 1);
    assert_int_equal(open_with("    bucket: b\n", &s, &err), HF_OK);
    struct s3 *s3 = as_s3(s);
    assert_int_equal(s3_request_init(s3, "GET", "x", &r, &err), HF_OK);
    assert_int_equal(hf_s3_authorize(s3->bucket, &r, &req, &err), HF_OK);
    assert_true(has_header(&req, "x-amz-security-token", "temporary"));
    assert_non_null(strstr(hf_buf_str(&r.authorization), "x-amz-security-token"));
    hf_s3_request_deinit(&r);
    hf_store_close(s);
    unsetenv("AWS_SESSION_TOKEN");
    unsetenv("AWS_ACCESS_KEY_ID");
    assert_int_equal(open_with("    bucket: b\n", &s, &err), HF_E_INVALID);
    expect_words(&err, (const char *const[]){"no credentials", "AWS_ACCESS_KEY_ID", NULL});
    setenv("LITESTREAM_ACCESS_KEY_ID", id, 1);
    setenv("LITESTREAM_SECRET_ACCESS_KEY", secret, 1);
    assert_int_equal(open_with("    bucket: b\n", &s, &err), HF_OK);
    hf_store_close(s);
    setenv("AWS_ACCESS_KEY_ID", id, 1);
    assert_int_equal(open_with("    bucket: b\n    sse-customer-key: AAAA\n", &s, &err),
                     HF_E_INVALID);
    assert_int_equal(open_with("    bucket: b\n    endpoint: ftp://x\n", &s, &err), HF_E_INVALID);
}

/* ---- against the server ---- */

static enum hf_code put_one(const char *extra, struct hf_err *err)
{
    struct hf_store *s = NULL;
    HF_AUTO_FREE char *all = hf_asprintf("    endpoint: %s\n%s", endpoint, extra);
    HF_TRY(open_with(all, &s, err));
    enum hf_code rc = hf_store_put(s, "ltx/0/a", "x", 1, HF_STORE_CREATE_ONLY, 1, err);
    hf_store_close(s);
    return rc;
}

static void test_refusals_are_explained(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    HF_AUTO_FREE char *wrong =
        hf_asprintf("    bucket: %s\n    access-key-id: %s\n    secret-access-key: opensesame\n",
                    bucket, getenv("AWS_ACCESS_KEY_ID"));
    assert_int_equal(put_one(wrong, &err), HF_E_DENIED);
    expect_words(&err, (const char *const[]){"SignatureDoesNotMatch", "secret-access-key", NULL});
    assert_null(strstr(err.text, "opensesame"));
    HF_AUTO_FREE char *nobody = hf_asprintf(
        "    bucket: %s\n    access-key-id: NOBODY\n    secret-access-key: x\n", bucket);
    assert_int_equal(put_one(nobody, &err), HF_E_DENIED);
    expect_words(&err, (const char *const[]){"check access-key-id", NULL});
    assert_int_equal(put_one("    bucket: nowhere-at-all\n", &err), HF_E_NOT_FOUND);
    expect_words(&err, (const char *const[]){"NoSuchBucket", "create the bucket", NULL});
}

static enum hf_code count(void *arg, const struct hf_store_object *o, struct hf_err *err)
{
    (void)o;
    (void)err;
    ++*(int *)arg;
    return HF_OK;
}

/* Several parts; create-only stands on the call that completes them; an upload given up is gone. */
static void test_multipart(void **state)
{
    (void)state;
    enum { SIZE = 12 << 20 };
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    uint8_t *data = hf_malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 11);
    struct hf_store_writer *w = NULL;
    assert_int_equal(hf_store_writer_new(s, "ltx/9/a", HF_STORE_CREATE_ONLY, 1234567, &w, &err),
                     HF_OK);
    assert_int_equal(hf_store_writer_write(w, data, SIZE, &err), HF_OK);
    hf_store_writer_abort(w);
    assert_int_equal(hf_store_head(s, "ltx/9/a", NULL, NULL, &err), HF_E_NOT_FOUND);
    if (hf_store_put(s, "ltx/9/a", data, SIZE, HF_STORE_CREATE_ONLY, 1234567, &err) != HF_OK)
        fail_msg("%s", err.text);
    uint64_t size = 0;
    int64_t time_ms = 0;
    assert_int_equal(hf_store_head(s, "ltx/9/a", &size, &time_ms, &err), HF_OK);
    assert_int_equal(size, SIZE);
    assert_int_equal(time_ms, 1234567);
    assert_int_equal(hf_store_put(s, "ltx/9/a", data, SIZE, HF_STORE_CREATE_ONLY, 1, &err),
                     HF_E_EXISTS);
    struct hf_store_reader *r = NULL;
    uint8_t *got = hf_malloc(SIZE);
    size_t n = 0;
    assert_int_equal(hf_store_reader_new(s, "ltx/9/a", 100, &r, &err), HF_OK);
    assert_int_equal(hf_store_reader_read(r, got, SIZE, &n, &err), HF_OK);
    hf_store_reader_free(r);
    assert_int_equal(n, SIZE - 100);
    assert_memory_equal(got, data + 100, n);
    hf_free(got);
    hf_free(data);
    hf_store_close(s);
}

/* More than one page of a list, and one request that deletes them all. */
static void test_pages_and_batches(void **state)
{
    (void)state;
    enum { N = 1010 };
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    char **names = hf_calloc(N, sizeof(*names));
    for (int i = 0; i < N; i++) {
        names[i] = hf_asprintf("ltx/0/%04d%s", i, i == 3 ? "&<'\"> +%" : "");
        if (hf_store_put(s, names[i], "x", 1, 0, 1, &err) != HF_OK)
            fail_msg("%s", err.text);
    }
    int n = 0;
    assert_int_equal(hf_store_list(s, "ltx/0", NULL, count, &n, &err), HF_OK);
    assert_int_equal(n, N);
    n = 0;
    assert_int_equal(hf_store_list(s, "ltx/0", "0004", count, &n, &err), HF_OK);
    assert_int_equal(n, N - 5);
    if (hf_store_delete(s, (const char *const *)names, N, &err) != HF_OK)
        fail_msg("%s", err.text);
    n = 0;
    assert_int_equal(hf_store_list(s, "ltx/0", NULL, count, &n, &err), HF_OK);
    assert_int_equal(n, 0);
    for (int i = 0; i < N; i++)
        hf_free(names[i]);
    hf_free(names);
    hf_store_close(s);
}

/* A region learned from an answer, a clock from another: pure but for the store. */
static void test_learning(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = NULL;
    struct hf_http_header date = {"Date", "Thu, 01 Jan 2015 00:00:00 GMT"};
    struct hf_http_header region = {"x-amz-bucket-region", "eu-north-1"};
    struct hf_http_head skewed = {403, &date, 1};
    struct hf_http_head moved = {301, &region, 1};
    assert_int_equal(open_with("    bucket: learner\n", &s, &err), HF_OK);
    struct s3 *s3 = as_s3(s);
    assert_true(hf_s3_learn(s3->bucket, &skewed, "RequestTimeTooSkewed", ""));
    assert_false(hf_s3_learn(s3->bucket, &skewed, "RequestTimeTooSkewed", "")); /* known by now */
    assert_false(hf_s3_learn(s3->bucket, &skewed, "AccessDenied", ""));
    assert_true(hf_s3_learn(s3->bucket, &moved, "PermanentRedirect", ""));
    struct hf_s3_request r;
    struct hf_http_request req;
    assert_int_equal(s3_request_init(s3, "GET", "x", &r, &err), HF_OK);
    assert_int_equal(hf_s3_authorize(s3->bucket, &r, &req, &err), HF_OK);
    assert_string_equal(r.region, "eu-north-1");
    assert_true(strncmp(r.time, "2015010", 7) == 0);
    hf_s3_request_deinit(&r);
    hf_store_close(s);
}

static void test_self_test(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    enum hf_code rc = hf_store_selftest(s, &err);
    if (rc != HF_OK && !(rc == HF_E_UNSUPPORTED && getenv("HF_TEST_RACY") != NULL))
        fail_msg("%s", err.text);
    hf_store_close(s);
}

/* ---- a server that ignores conditions ---- */

static void test_ignored_conditions_are_refused(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hf_store_put(s, "ltx/0/a", "x", 1, HF_STORE_CREATE_ONLY, 1, &err),
                         HF_E_UNSUPPORTED);
        expect_words(&err, (const char *const[]){"service", "If-None-Match: *", NULL});
        assert_int_equal(hf_store_head(s, "ltx/0/a", NULL, NULL, &err), HF_E_NOT_FOUND);
    }
    assert_int_equal(hf_store_selftest(s, &err), HF_E_UNSUPPORTED);
    hf_store_close(s);
}

/* Allowed: a name is looked up before it is written, one part or several. */
static void test_unconditional_puts(void **state)
{
    (void)state;
    enum { SIZE = 6 << 20 };
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = NULL;
    bool is_ignored = false;
    int n = 0;
    HF_AUTO_FREE char *extra = hf_asprintf(
        "    bucket: %s\n    endpoint: %s\n    allow-unconditional-puts: true\n", bucket, endpoint);
    if (open_with(extra, &s, &err) != HF_OK ||
        hf_store_check_create_only(s, &is_ignored, &err) != HF_OK)
        fail_msg("%s", err.text);
    assert_true(is_ignored);
    assert_int_equal(hf_store_list(s, "probe", NULL, count, &n, &err), HF_OK);
    assert_int_equal(n, 0);
    uint8_t *data = hf_calloc(1, SIZE);
    const size_t sizes[] = {1, SIZE};
    for (size_t i = 0; i < HF_ARRAY_LEN(sizes); i++) {
        HF_AUTO_FREE char *name = hf_asprintf("ltx/0/%zu", i);
        if (hf_store_put(s, name, data, sizes[i], HF_STORE_CREATE_ONLY, 7000, &err) != HF_OK)
            fail_msg("%s", err.text);
        assert_int_equal(hf_store_put(s, name, "other", 5, HF_STORE_CREATE_ONLY, 1, &err),
                         HF_E_EXISTS);
        uint64_t size = 0;
        assert_int_equal(hf_store_head(s, name, &size, NULL, &err), HF_OK);
        assert_int_equal(size, sizes[i]);
    }
    hf_free(data);
    hf_store_close(s);
}

int main(void)
{
    endpoint = getenv("HF_TEST_ENDPOINT");
    bucket = getenv("HF_TEST_BUCKET");
    if (endpoint == NULL || bucket == NULL) {
        print_message("skipped: run by tests/rig/servers.py moto -- %s\n", "store_s3_test");
        return 77;
    }
    const struct CMUnitTest refusing[] = {cmocka_unit_test(test_ignored_conditions_are_refused),
                                          cmocka_unit_test(test_unconditional_puts)};
    if (getenv("HF_TEST_IGNORES") != NULL)
        return cmocka_run_group_tests_name("store/s3 refused", refusing, NULL, NULL);
    const struct hf_store_contract contract = {"store/s3 contract", fresh_url, done, NULL,
                                               getenv("HF_TEST_RACY") != NULL};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_refusals_are_explained),
        cmocka_unit_test(test_multipart),
        cmocka_unit_test(test_pages_and_batches),
        cmocka_unit_test(test_learning),
        cmocka_unit_test(test_self_test),
    };
    int failed = hf_store_contract_run(&contract);
    failed += hf_store_contract_run_sealed(&contract);
    return failed + cmocka_run_group_tests_name("store/s3", tests, NULL, NULL);
}
