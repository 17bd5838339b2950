/*
 * The HTTP client against a real server on loopback (testserver.h): requests, streams, deadlines,
 * cancels, limits, and that nothing is ever sent twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/httpclient.h"
#include "net/testserver.h"
#include "os/pool.h"

static struct hf_testserver server;
static struct hf_http_client *client;

static int set_up(void **state)
{
    (void)state;
    struct hf_http_client_opts o = {0};
    hf_testserver_start(&server);
    return hf_http_client_new(&o, &client, NULL) == HF_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    hf_http_client_free(client);
    hf_testserver_stop(&server);
    return 0;
}

static char *url_of(const char *path)
{
    return hf_asprintf("http://127.0.0.1:%d%s", server.port, path);
}

static enum hf_code get(const char *path, struct hf_http_deadlines d, struct hf_http_reply *r,
                        struct hf_err *err)
{
    HF_AUTO_FREE char *url = url_of(path);
    struct hf_http_request req = {.method = "GET", .url = url, .deadlines = d};
    return hf_http_do(client, &req, r, err);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const struct hf_http_header headers[] = {{"X-Ours", "v 1"}, {"X-Empty", ""}};
    static const struct {
        const char *why;
        const char *method;
        const char *body;
        const char *want[4]; /* parts of the request as the server saw it */
        const char *never;
    } rows[] = {
        {"get",
         "GET",
         "",
         {"GET /echo?a=b HTTP/1.1\r\n", "X-Ours: v 1\r\n", "X-Empty:"},
         "Content-"},
        {"put", "PUT", "hello", {"PUT /echo", "Content-Length: 5\r\n", "\r\n\r\nhello"}, "Expect"},
        {"empty put has a length",
         "PUT",
         "",
         {"PUT /echo", "Content-Length: 0\r\n"},
         "Content-Type"},
        {"post is no form", "POST", "x=1", {"POST /echo", "\r\n\r\nx=1"}, "Content-Type"},
        {"delete", "DELETE", "", {"DELETE /echo?a=b HTTP/1.1\r\n"}, "Accept:"},
        {"any method with a body", "PATCH", "zz", {"PATCH /echo", "\r\n\r\nzz"}, "Transfer-"},
    };
    HF_AUTO_FREE char *url = url_of("/echo?a=b");
    struct hf_http_reply r;
    hf_http_reply_init(&r, 65536);
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_err err = HF_ERR_INIT;
        struct hf_http_request req = {.method = rows[i].method,
                                      .url = url,
                                      .headers = headers,
                                      .n_headers = 2,
                                      .body = rows[i].body,
                                      .body_len = strlen(rows[i].body)};
        if (hf_http_do(client, &req, &r, &err) != HF_OK)
            fail_msg("%s: %s", rows[i].why, err.text);
        assert_int_equal(r.head.status, 200);
        assert_string_equal(hf_http_head_get(&r.head, "X-TWICE"), "one");
        assert_string_equal(hf_http_head_get(&r.head, "x-empty"), "");
        assert_null(hf_http_head_get(&r.head, "x-none"));
        for (size_t k = 0; k < 4 && rows[i].want[k]; k++) {
            if (strstr(hf_buf_str(&r.body), rows[i].want[k]) == NULL)
                fail_msg("%s: no %s in %s", rows[i].why, rows[i].want[k], hf_buf_str(&r.body));
        }
        if (strstr(hf_buf_str(&r.body), rows[i].never) != NULL)
            fail_msg("%s: %s", rows[i].why, hf_buf_str(&r.body));
    }
    assert_int_equal(atomic_load(&server.conns), 1); /* the connection is kept */
    assert_int_equal(atomic_load(&server.requests), HF_ARRAY_LEN(rows));
    hf_http_reply_deinit(&r);
}

static void test_statuses_are_answers(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int status;
        const char *body;
    } rows[] = {{"/status/404", 404, ""},
                {"/status/503", 503, ""},
                {"/redirect", 302, ""},
                {"/chunked", 200, "onetwothree"},
                {"/continue", 200, "late"}};
    struct hf_http_reply r;
    hf_http_reply_init(&r, 100);
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        assert_int_equal(get(rows[i].path, (struct hf_http_deadlines){0}, &r, NULL), HF_OK);
        assert_int_equal(r.head.status, rows[i].status);
        assert_string_equal(hf_buf_str(&r.body), rows[i].body);
        assert_null(hf_http_head_get(&r.head, "X-Trailer"));
        assert_null(hf_http_head_get(&r.head, "X-Early"));
    }
    HF_AUTO_FREE char *url = url_of("/echo");
    struct hf_http_request req = {.method = "HEAD", .url = url};
    assert_int_equal(hf_http_do(client, &req, &r, NULL), HF_OK);
    assert_int_equal(r.body.len, 0);
    hf_http_reply_deinit(&r);
}

static void test_failures(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *path;
        struct hf_http_deadlines deadlines;
        enum hf_code code;
        int status;
        bool was_sent;
        const char *text;
    } rows[] = {
        {"no answer", "/hang", {.first_byte_ms = 60}, HF_E_TIMEOUT, 0, true, "no answer within 60"},
        {"idle", "/hang", {.idle_ms = 60}, HF_E_TIMEOUT, 0, true, "nothing moved within 60 ms"},
        {"total, though bytes come",
         "/drip",
         {.total_ms = 150, .idle_ms = 5000},
         HF_E_TIMEOUT,
         200,
         true,
         "not finished within 150 ms"},
        {"slow", "/drip", {.slow_bytes_s = 100000, .slow_s = 1}, HF_E_TIMEOUT, 200, true, "slow"},
        {"closed without answer", "/close", {0}, HF_E_IO, 0, true, "mpty reply"},
        {"body cut", "/cut", {0}, HF_E_IO, 200, true, "90 bytes remaining"},
        {"endless headers", "/headers/200000", {0}, HF_E_LIMIT, 0, true, "headers above 64 KiB"},
        {"body too large", "/bytes/200000", {0}, HF_E_LIMIT, 200, true, "answer: more than 65536"},
    };
    struct hf_http_reply r;
    hf_http_reply_init(&r, 65536);
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = get(rows[i].path, rows[i].deadlines, &r, &err);
        if (rc != rows[i].code || strstr(err.text, rows[i].text) == NULL)
            fail_msg("%s: %d '%s'", rows[i].why, (int)rc, err.text);
        if (r.result.status != rows[i].status || r.result.was_sent != rows[i].was_sent ||
            r.result.code != rc)
            fail_msg("%s: status %d code %d", rows[i].why, r.result.status, r.result.code);
    }
    hf_http_reply_deinit(&r);
}

static void test_bad_requests(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *method;
        const char *url;
        struct hf_http_header header;
    } rows[] = {
        {"a line break in a value", "GET", "http://127.0.0.1:1/", {"X-A", "b\r\nX-Evil: 1"}},
        {"a bad name", "GET", "http://127.0.0.1:1/", {"X A", "b"}},
        {"a bad method", "GET /x", "http://127.0.0.1:1/", {"X-A", "b"}},
        {"another scheme", "GET", "file:///etc/passwd", {"X-A", "b"}},
        {"a blank in the URL", "GET", "http://127.0.0.1:1/a b", {"X-A", "b"}},
    };
    struct hf_http_reply r;
    hf_http_reply_init(&r, 100);
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_http_request req = {.method = rows[i].method,
                                      .url = rows[i].url,
                                      .headers = &rows[i].header,
                                      .n_headers = 1};
        if (hf_http_do(client, &req, &r, NULL) != HF_E_INVALID)
            fail_msg("%s was taken", rows[i].why);
    }
    /* Secrets of user part, path and query stay out of the text; nothing was sent. */
    struct hf_err err = HF_ERR_INIT;
    struct hf_http_request req = {.method = "GET",
                                  .url = "http://u:secret@127.0.0.1:1/secret?sig=secret"};
    assert_int_equal(hf_http_do(client, &req, &r, &err), HF_E_IO);
    assert_false(r.result.was_sent);
    assert_null(strstr(err.text, "secret"));
    assert_non_null(strstr(err.text, "GET http://127.0.0.1:1: "));
    hf_http_reply_deinit(&r);
}

/* A kept connection that was closed meanwhile: libcurl would send the request again, we must not.
 */
static void test_never_sent_twice(void **state)
{
    (void)state;
    struct hf_http_reply r;
    struct hf_err err = HF_ERR_INIT;
    hf_http_reply_init(&r, 1000);
    assert_int_equal(get("/spent", (struct hf_http_deadlines){0}, &r, NULL), HF_OK);
    HF_AUTO_FREE char *url = url_of("/echo");
    struct hf_http_request req = {.method = "PUT", .url = url, .body = "x", .body_len = 1};
    assert_int_equal(hf_http_do(client, &req, &r, &err), HF_E_IO);
    assert_true(r.result.is_stale && r.result.was_sent);
    assert_non_null(strstr(err.text, "kept connection"));
    assert_int_equal(atomic_load(&server.requests), 2);
    assert_int_equal(hf_http_do(client, &req, &r, &err), HF_OK);
    hf_http_reply_deinit(&r);
}

static void test_stream(void **state)
{
    (void)state;
    enum { SIZE = 5000000 };
    HF_AUTO_FREE char *url = hf_asprintf("http://127.0.0.1:%d/bytes/%d", server.port, SIZE);
    struct hf_http_request req = {.method = "GET", .url = url, .deadlines = {.idle_ms = 20000}};
    struct hf_http_stream *s = NULL;
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_http_stream_open(client, &req, &s, &err), HF_OK);
    assert_int_equal(hf_http_stream_head(s)->status, 200);
    hf_clock_sleep_us(50000); /* the ring fills, the transfer pauses */
    HF_AUTO_FREE char *buf = hf_malloc(100003);
    size_t at = 0;
    size_t got = 0;
    do {
        assert_int_equal(hf_http_stream_read(s, buf, 100003, &got, &err), HF_OK);
        for (size_t i = 0; i < got; i++) {
            if (buf[i] != (char)('a' + (at + i) % 26000 % 26))
                fail_msg("byte %zu is %d", at + i, buf[i]);
        }
        at += got;
    } while (got == 100003);
    assert_int_equal(at, SIZE);
    hf_http_stream_free(s);

    HF_AUTO_FREE char *cut = url_of("/cut");
    req.url = cut;
    assert_int_equal(hf_http_stream_open(client, &req, &s, &err), HF_OK);
    assert_int_equal(hf_http_stream_read(s, buf, 10, &got, &err), HF_OK);
    assert_int_equal(got, 10);
    assert_int_equal(hf_http_stream_read(s, buf, 1, &got, &err), HF_E_IO);
    hf_http_stream_free(s);

    req.url = url; /* freed in the middle */
    assert_int_equal(hf_http_stream_open(client, &req, &s, &err), HF_OK);
    assert_int_equal(hf_http_stream_read(s, buf, 10, &got, &err), HF_OK);
    hf_http_stream_free(s);
}

/* --- asynchronous --- */

struct probe {
    atomic_int done;
    enum hf_code code;
    int status;
    size_t body;
    int pauses_left;
    const char *to_send;
    bool has_paused_send;
    struct hf_http_call *call;
};

static enum hf_http_flow probe_body(void *arg, const uint8_t *data, size_t len)
{
    struct probe *p = arg;
    (void)data;
    if (p->pauses_left > 0) {
        p->pauses_left--;
        return HF_HTTP_PAUSE;
    }
    p->body += len;
    return HF_HTTP_GO;
}

static enum hf_http_flow probe_send(void *arg, uint8_t *buf, size_t cap, size_t *got)
{
    struct probe *p = arg;
    if (!p->has_paused_send) {
        p->has_paused_send = true;
        return HF_HTTP_PAUSE;
    }
    *got = strlen(p->to_send) < cap ? strlen(p->to_send) : cap;
    memcpy(buf, p->to_send, *got);
    p->to_send += *got;
    return HF_HTTP_GO;
}

static void probe_done(void *arg, const struct hf_http_result *result)
{
    struct probe *p = arg;
    p->code = result->code;
    p->status = result->status;
    atomic_store(&p->done, 1);
}

static const struct hf_http_events probe_events = {NULL, probe_body, probe_send, probe_done};

static void wait_done(struct probe *p, bool resumes)
{
    for (int i = 0; i < 30000 && !atomic_load(&p->done); i++) {
        hf_clock_sleep_us(1000);
        if (resumes)
            hf_http_resume(p->call);
    }
    assert_true(atomic_load(&p->done));
}

static void start(struct probe *p, const char *path, struct hf_http_request req)
{
    HF_AUTO_FREE char *url = url_of(path);
    struct hf_err err = HF_ERR_INIT;
    req.url = url;
    if (hf_http_start(client, &req, &probe_events, p, &p->call, &err) != HF_OK)
        fail_msg("%s", err.text);
}

static void test_pause_and_resume(void **state)
{
    (void)state;
    struct probe p = {.pauses_left = 5};
    start(&p, "/bytes/300000", (struct hf_http_request){.method = "GET"});
    wait_done(&p, true);
    assert_int_equal(p.code, HF_OK);
    assert_int_equal(p.body, 300000);
    assert_int_equal(p.pauses_left, 0);
    hf_http_call_free(p.call);

    struct probe up = {.to_send = "streamed body"};
    start(&up, "/echo",
          (struct hf_http_request){.method = "PUT", .is_streamed = true, .stream_len = -1});
    wait_done(&up, true);
    assert_int_equal(up.status, 200);
    hf_http_call_free(up.call);
    struct probe known = {.to_send = "streamed body"};
    start(&known, "/echo",
          (struct hf_http_request){.method = "POST", .is_streamed = true, .stream_len = 13});
    wait_done(&known, true);
    assert_int_equal(known.status, 200);
    hf_http_call_free(known.call);
}

static void test_paused_is_not_idle(void **state)
{
    (void)state;
    struct probe p = {.pauses_left = 1};
    start(&p, "/bytes/300000",
          (struct hf_http_request){.method = "GET", .deadlines = {.idle_ms = 100}});
    hf_clock_sleep_us(400000);
    assert_false(atomic_load(&p.done));
    wait_done(&p, true);
    assert_int_equal(p.code, HF_OK);
    hf_http_call_free(p.call);
}

static void test_cancel(void **state)
{
    (void)state;
    static const char *const paths[] = {"/hang", "/drip"};
    for (size_t i = 0; i < 2; i++) {
        struct probe p = {0};
        start(&p, paths[i], (struct hf_http_request){.method = "GET"});
        hf_clock_sleep_us(i * 30000); /* before it is taken up, and in the middle */
        hf_http_cancel(p.call);
        wait_done(&p, false);
        assert_int_equal(p.code, HF_E_CANCELED);
        hf_http_cancel(p.call); /* after the end: harmless */
        hf_http_resume(p.call);
        hf_http_call_free(p.call);
    }
}

static void test_many_share_few_connections(void **state)
{
    (void)state;
    enum { N = 200 };
    struct hf_http_client_opts o = {.conns_per_host = 4, .thread_name = "few"};
    struct hf_http_client *few = NULL;
    assert_int_equal(hf_http_client_new(&o, &few, NULL), HF_OK);
    HF_AUTO_FREE char *url = url_of("/bytes/1000");
    struct hf_http_request req = {.method = "GET", .url = url};
    struct probe *p = hf_calloc(N, sizeof(*p));
    for (int i = 0; i < N; i++)
        assert_int_equal(hf_http_start(few, &req, &probe_events, &p[i], NULL, NULL), HF_OK);
    for (int i = 0; i < N; i++) {
        wait_done(&p[i], false);
        assert_int_equal(p[i].body, 1000);
    }
    assert_in_range(atomic_load(&server.conns), 1, 4);
    hf_free(p);
    hf_http_client_free(few);
}

static void test_shutdown_ends_all(void **state)
{
    (void)state;
    enum { N = 20 };
    struct probe p[N] = {0};
    for (int i = 0; i < N; i++)
        start(&p[i], "/hang", (struct hf_http_request){.method = "GET"});
    hf_http_client_shutdown(client);
    for (int i = 0; i < N; i++) {
        wait_done(&p[i], false);
        assert_int_equal(p[i].code, HF_E_CANCELED);
        hf_http_call_free(p[i].call);
    }
    struct hf_http_reply r;
    hf_http_reply_init(&r, 10);
    assert_int_equal(get("/status/200", (struct hf_http_deadlines){0}, &r, NULL), HF_E_CANCELED);
    hf_http_reply_deinit(&r);
}

static void *get_many(void *arg)
{
    struct hf_http_reply r;
    hf_http_reply_init(&r, 65536);
    for (int i = 0; i < 50; i++) {
        if (get("/bytes/20000", (struct hf_http_deadlines){0}, &r, NULL) != HF_OK ||
            r.body.len != 20000)
            atomic_fetch_add((atomic_int *)arg, 1);
    }
    hf_http_reply_deinit(&r);
    return NULL;
}

static void test_many_threads(void **state)
{
    (void)state;
    atomic_int failures = 0;
    pthread_t th[6];
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&th[i], NULL, get_many, &failures), 0);
    for (int i = 0; i < 6; i++)
        pthread_join(th[i], NULL);
    assert_int_equal(atomic_load(&failures), 0);
}

static atomic_int posted;

static void on_posted(struct hf_task *t)
{
    (void)t;
    atomic_store(&posted, 1);
}

static void test_post(void **state)
{
    (void)state;
    struct hf_task t = {.run = on_posted};
    atomic_store(&posted, 0);
    hf_http_client_post(client, &t);
    for (int i = 0; i < 10000 && !atomic_load(&posted); i++)
        hf_clock_sleep_us(1000);
    assert_true(atomic_load(&posted));
}

static void test_options(void **state)
{
    (void)state;
    struct hf_http_client_opts o = {.tls = {.ca_file = "/nonexistent/ca.pem"}};
    struct hf_http_client *c = NULL;
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_http_client_new(&o, &c, &err), HF_E_INVALID);
    assert_non_null(strstr(err.text, "/nonexistent/ca.pem"));
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_round_trip),
        CASE(test_statuses_are_answers),
        CASE(test_failures),
        CASE(test_bad_requests),
        CASE(test_never_sent_twice),
        CASE(test_stream),
        CASE(test_pause_and_resume),
        CASE(test_paused_is_not_idle),
        CASE(test_cancel),
        CASE(test_many_share_few_connections),
        CASE(test_shutdown_ends_all),
        CASE(test_many_threads),
        CASE(test_post),
        CASE(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
