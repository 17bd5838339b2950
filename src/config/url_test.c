#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "config/config.h"
#include "config/url.h"

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

struct url_row {
    const char *text;
    struct hf_url want;
};

static void test_pieces(void **state)
{
    (void)state;
    static const struct url_row rows[] = {
        {"file:///a/b", {"file", NULL, NULL, "", "/a/b", NULL}},
        {"S3://b/p?region=x&y", {"s3", NULL, NULL, "b", "/p", "region=x&y"}},
        {"sftp://u:p%40w@h:22/x", {"sftp", "u", "p@w", "h:22", "/x", NULL}},
        {"sftp://u:a@b@h/x", {"sftp", "u", "a@b", "h", "/x", NULL}},
        {"abs://acc@c", {"abs", "acc", NULL, "c", "", NULL}},
        {"s3://b/a%20b%zz%00", {"s3", NULL, NULL, "b", "/a b%zz%00", NULL}},
        {"s3://b?x=1", {"s3", NULL, NULL, "b", "", "x=1"}},
    };
    struct hf_arena *a = hf_arena_new(256);
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_url u;
        const struct hf_url *w = &rows[i].want;
        assert_int_equal(hf_url_parse(a, rows[i].text, &u, NULL), HF_OK);
        if (!same(u.scheme, w->scheme) || !same(u.user, w->user) ||
            !same(u.password, w->password) || !same(u.host, w->host) || !same(u.path, w->path) ||
            !same(u.query, w->query))
            fail_msg("%s", rows[i].text);
    }
    hf_arena_free(a);
}

static void test_is_url(void **state)
{
    (void)state;
    assert_true(hf_url_is("file:///x"));
    assert_true(hf_url_is("sqlite3://x"));
    assert_false(hf_url_is("/x://y"));
    assert_false(hf_url_is("://y"));
    assert_false(hf_url_is("C:/x"));
    assert_false(hf_url_is(""));
}

static void test_options(void **state)
{
    (void)state;
    struct hf_arena *a = hf_arena_new(256);
    struct hf_url u = {.query = "ab=1&b=2%2F3&=x&c"};
    assert_string_equal(hf_url_option(a, &u, "b"), "2/3");
    assert_string_equal(hf_url_option(a, &u, "ab"), "1");
    assert_null(hf_url_option(a, &u, "c"));
    assert_null(hf_url_option(a, &u, "d"));
    hf_arena_free(a);
}

/* What a URL means: type, bucket, path, url shown, and one more field of the type. */
struct place_row {
    const char *text;
    enum hf_replica_type type;
    const char *bucket;
    const char *path;
    const char *shown;
    const char *endpoint;
};

static void test_places(void **state)
{
    (void)state;
    static const struct place_row rows[] = {
        {"file:///var/b", HF_REPLICA_FILE, NULL, "/var/b", "file:///var/b", NULL},
        {"s3://b/p/q/", HF_REPLICA_S3, "b", "p/q", "s3://b/p/q", NULL},
        {"s3://b.s3.eu-west-1.amazonaws.com/p", HF_REPLICA_S3, "b", "p", "s3://b/p", NULL},
        {"s3://b.fra1.digitaloceanspaces.com/p", HF_REPLICA_S3, "b", "p", "s3://b/p",
         "https://fra1.digitaloceanspaces.com"},
        {"s3://b.s3.us-west-000.backblazeb2.com/p", HF_REPLICA_S3, "b", "p", "s3://b/p",
         "https://s3.us-west-000.backblazeb2.com"},
        {"s3://my.dotted.bucket/p", HF_REPLICA_S3, "my.dotted.bucket", "p",
         "s3://my.dotted.bucket/p", NULL},
        {"s3://b/p?endpoint=http://localhost:9000", HF_REPLICA_S3, "b", "p", "s3://b/p",
         "http://localhost:9000"},
        {"s3://arn:aws:s3:eu-north-1:1234:accesspoint/ap/p", HF_REPLICA_S3,
         "arn:aws:s3:eu-north-1:1234:accesspoint/ap", "p",
         "s3://arn:aws:s3:eu-north-1:1234:accesspoint/ap/p", NULL},
        {"abs://acc@cont/p", HF_REPLICA_ABS, "cont", "p", "abs://acc@cont/p", NULL},
        {"abs://acc@cont/p?endpoint=http://127.0.0.1:10000/acc", HF_REPLICA_ABS, "cont", "p",
         "abs://acc@cont/p", "http://127.0.0.1:10000/acc"},
        {"gs://b/p", HF_REPLICA_GS, "b", "p", "gs://b/p", NULL},
        {"gs://b/p//x/../y", HF_REPLICA_GS, "b", "p/y", "gs://b/p/y", NULL},
        {"sftp://u:secret@h/p", HF_REPLICA_SFTP, NULL, "/p", "sftp://u@h:22/p", NULL},
        {"sftp://h:2222/p", HF_REPLICA_SFTP, NULL, "/p", "sftp://h:2222/p", NULL},
        {"nats://u:secret@h:4222/b/p", HF_REPLICA_NATS, "b", "p", "nats://h:4222/b/p", NULL},
        {"webdav://u:secret@h/p", HF_REPLICA_WEBDAV, NULL, "p", "webdav://h/p", NULL},
        {"webdavs://h/p", HF_REPLICA_WEBDAV, NULL, "p", "webdavs://h/p", NULL},
        {"oss://b/p", HF_REPLICA_OSS, "b", "p", "oss://b/p", NULL},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        const struct place_row *w = &rows[i];
        struct hf_config *cfg = NULL;
        struct hf_err err = HF_ERR_INIT;
        if (hf_config_from_args("/d/a.db", &w->text, 1, &cfg, &err) != HF_OK)
            fail_msg("%s: %s", w->text, err.text);
        const struct hf_config_replica *r = &cfg->dbs[0]->replicas[0];
        if (r->type != w->type || !same(r->bucket, w->bucket) || !same(r->path, w->path) ||
            !same(r->url, w->shown) || !same(r->endpoint, w->endpoint))
            fail_msg("%s: type %d bucket %s path %s url %s endpoint %s", w->text, r->type,
                     r->bucket == NULL ? "-" : r->bucket, r->path, r->url,
                     r->endpoint == NULL ? "-" : r->endpoint);
        assert_null(strstr(r->url, "secret"));
        hf_config_free(cfg);
    }
}

static void test_s3_options(void **state)
{
    (void)state;
    const char *url = "s3://b/p?region=r&forcePathStyle=true&skipVerify=true&signPayload=false"
                      "&requireContentMD5=false&storageClass=IA&partSize=8MB&concurrency=3"
                      "&allowUnconditionalPuts=true";
    const char *bad = "s3://b/p?partSize=tiny";
    struct hf_config *cfg = NULL;
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_config_from_args("/d/a.db", &url, 1, &cfg, &err), HF_OK);
    const struct hf_config_s3 *s3 = &cfg->dbs[0]->replicas[0].s3;
    assert_string_equal(s3->region, "r");
    assert_string_equal(s3->storage_class, "IA");
    assert_true(s3->force_path_style && s3->skip_verify && s3->allow_unconditional_puts);
    assert_false(s3->sign_payload || s3->require_content_md5);
    assert_int_equal(s3->part_size_bytes, 8 << 20);
    assert_int_equal(s3->concurrency, 3);
    hf_config_free(cfg);
    assert_int_equal(hf_config_from_args("/d/a.db", &bad, 1, &cfg, &err), HF_E_INVALID);
    assert_string_equal(err.text, "replica URL?partSize: 'tiny' is not a size (try 64KB)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),     cmocka_unit_test(test_is_url),
        cmocka_unit_test(test_options),    cmocka_unit_test(test_places),
        cmocka_unit_test(test_s3_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
