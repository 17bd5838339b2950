/*
 * The server against plain sockets: whole answers at once and from another thread, streams with
 * back-pressure, cut streams, clients that leave, limits, unix sockets, drain.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/httpserver.h"
#include "net/listen.h"

enum { WAIT_MS = 20000, BIG = 4 << 20 };

static struct hf_httpd *server;
static struct hf_httpd_call *_Atomic held; /* a call the handler kept */
static atomic_int gone;
static atomic_int drained;
static atomic_int was_full;

static void on_gone(void *arg, struct hf_httpd_call *c)
{
    (void)arg;
    (void)c;
    atomic_fetch_add(&gone, 1);
}

static void on_drain(void *arg, struct hf_httpd_call *c)
{
    (void)arg;
    (void)c;
    atomic_fetch_add(&drained, 1);
}

static void reply_text(struct hf_httpd_call *c, int status, const char *text)
{
    struct hf_http_header h = {"X-Test", "yes"};
    struct hf_httpd_reply r = {.status = status,
                               .content_type = "text/plain",
                               .headers = &h,
                               .n_headers = 1,
                               .body = text,
                               .len = strlen(text)};
    hf_httpd_call_reply(c, &r);
}

/* /echo answers at once with what it saw; everything else is held for the test. */
static void on_request(void *arg, struct hf_httpd_call *c)
{
    size_t len = 0;
    assert_ptr_equal(arg, &server);
    const char *body = hf_httpd_call_body(c, &len);
    if (strcmp(hf_httpd_call_path(c), "/echo me") != 0) {
        atomic_store(&held, c);
        return;
    }
    const char *q = hf_httpd_call_query(c, "q");
    const char *h = hf_httpd_call_header(c, "x-thing");
    HF_AUTO_FREE char *text =
        hf_asprintf("%s %s %s %s %zu:%s", hf_httpd_call_method(c), q == NULL ? "-" : q,
                    h == NULL ? "-" : h, hf_httpd_call_peer(c), len, body);
    reply_text(c, 200, text);
}

static void start(const char *listen)
{
    struct hf_httpd_options o = {.listen = listen,
                                 .threads = 2,
                                 .max_body_bytes = 1000,
                                 .max_bodies_bytes = 1500,
                                 .on_request = on_request,
                                 .on_gone = on_gone,
                                 .on_drain = on_drain,
                                 .arg = &server};
    struct hf_err err = HF_ERR_INIT;
    atomic_store(&held, NULL);
    atomic_store(&gone, 0);
    atomic_store(&drained, 0);
    atomic_store(&was_full, 0);
    if (hf_httpd_start(&o, &server, &err) != HF_OK)
        fail_msg("%s", err.text);
}

static void stop(void)
{
    hf_httpd_stop(server);
    hf_httpd_free(server);
    server = NULL;
}

static int dial(void)
{
    const char *address = hf_httpd_address(server);
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    bool is_unix = strncmp(address, "unix:", 5) == 0;
    struct timeval tv = {.tv_sec = WAIT_MS / 1000};
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    if (is_unix) {
        snprintf(un.sun_path, sizeof(un.sun_path), "%s", address + 5);
        assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
        return fd;
    }
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons((uint16_t)strtol(strrchr(address, ':') + 1, NULL, 10));
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        assert_true(n > 0);
        text += n;
        len -= (size_t)n;
    }
}

/* Everything until the peer ends; *is_reset when it was cut. */
static char *hear(int fd, size_t *len)
{
    char *all = hf_malloc(1);
    size_t n = 0;
    char piece[8192];
    ssize_t got;
    while ((got = recv(fd, piece, sizeof(piece), 0)) > 0) {
        all = hf_realloc(all, n + (size_t)got + 1, 1);
        memcpy(all + n, piece, (size_t)got);
        n += (size_t)got;
    }
    all[n] = '\0';
    *len = n;
    close(fd);
    return all;
}

static char *ask(const char *request)
{
    size_t len;
    int fd = dial();
    say(fd, request);
    return hear(fd, &len);
}

static struct hf_httpd_call *wait_held(void)
{
    uint64_t end = hf_clock_mono_ms() + WAIT_MS;
    struct hf_httpd_call *c;
    while ((c = atomic_exchange(&held, NULL)) == NULL) {
        assert_true(hf_clock_mono_ms() < end);
        hf_clock_sleep_us(500);
    }
    return c;
}

static void wait_count(atomic_int *what, int want)
{
    uint64_t end = hf_clock_mono_ms() + WAIT_MS;
    while (atomic_load(what) < want) {
        assert_true(hf_clock_mono_ms() < end);
        hf_clock_sleep_us(500);
    }
}

static void test_echo(void **state)
{
    static const struct {
        const char *request;
        const char *want;
        const char *why;
    } rows[] = {
        {"GET /echo%20me?q=a%26b HTTP/1.1\r\nHost: x\r\nX-Thing: 7\r\nConnection: close\r\n\r\n",
         "GET a&b 7 127.0.0.1 0:", "query and headers"},
        {"POST /echo%20me HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: "
         "close\r\n\r\nhello",
         "POST - - 127.0.0.1 5:hello", "a body of known length"},
        {"POST /echo%20me HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: "
         "close\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
         "7:abcdefg", "a chunked body"},
    };
    (void)state;
    start("127.0.0.1:0");
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        HF_AUTO_FREE char *got = ask(rows[i].request);
        if (strstr(got, rows[i].want) == NULL || strstr(got, " 200 OK") == NULL ||
            strstr(got, "X-Test: yes") == NULL)
            fail_msg("%s: %s", rows[i].why, got);
    }
    stop();
}

static void test_limits(void **state)
{
    char request[3000];
    char body[1600];
    (void)state;
    memset(body, 'x', sizeof(body));
    start("127.0.0.1:0");
    snprintf(request, sizeof(request),
             "POST /echo%%20me HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\nConnection: "
             "close\r\n\r\n%.1001s",
             body);
    HF_AUTO_FREE char *large = ask(request);
    assert_non_null(strstr(large, " 413 "));
    snprintf(request, sizeof(request),
             "POST /echo%%20me HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: "
             "close\r\n\r\n5dc\r\n%.1500s\r\n0\r\n\r\n",
             body);
    HF_AUTO_FREE char *chunked = ask(request);
    assert_non_null(strstr(chunked, " 413 "));
    /* One held body of 900 leaves no room for another: busy, not a failure. */
    snprintf(request, sizeof(request),
             "POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n%.900s", body);
    int fd = dial();
    say(fd, request);
    struct hf_httpd_call *c = wait_held();
    snprintf(request, sizeof(request),
             "POST /echo%%20me HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\nConnection: "
             "close\r\n\r\n%.900s",
             body);
    HF_AUTO_FREE char *busy = ask(request);
    assert_non_null(strstr(busy, " 503 "));
    assert_non_null(strstr(busy, "Retry-After: 5"));
    hf_httpd_call_drop_body(c);
    HF_AUTO_FREE char *fits = ask(request);
    assert_non_null(strstr(fits, " 200 "));
    reply_text(c, 200, "late");
    close(fd);
    stop();
}

static void test_later(void **state)
{
    size_t len;
    (void)state;
    start("127.0.0.1:0");
    int fd = dial();
    say(fd, "GET /later HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    struct hf_httpd_call *c = wait_held();
    hf_clock_sleep_us(20000);
    reply_text(c, 404, "not yet");
    HF_AUTO_FREE char *got = hear(fd, &len);
    assert_non_null(strstr(got, " 404 "));
    assert_non_null(strstr(got, "not yet"));
    stop();
}

static void begin(struct hf_httpd_call *c)
{
    struct hf_httpd_reply r = {.status = 200, .content_type = "text/event-stream"};
    hf_httpd_call_start(c, &r);
}

/* A writer that obeys back-pressure, against a client that reads late. */
static void *write_big(void *arg)
{
    struct hf_httpd_call *c = arg;
    static char piece[10000];
    size_t sent = 0;
    memset(piece, 'y', sizeof(piece));
    begin(c);
    while (sent < BIG) {
        if (hf_httpd_call_queued(c) >= HF_HTTPD_HIGH_WATER) {
            atomic_store(&was_full, 1);
            hf_clock_sleep_us(500);
            continue;
        }
        assert_int_equal(hf_httpd_call_write(c, piece, sizeof(piece), NULL), HF_OK);
        sent += sizeof(piece);
    }
    hf_httpd_call_finish(c);
    return NULL;
}

static void test_stream(void **state)
{
    pthread_t th;
    size_t len;
    (void)state;
    start("127.0.0.1:0");
    int fd = dial();
    say(fd, "GET /s HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(pthread_create(&th, NULL, write_big, wait_held()), 0);
    wait_count(&was_full, 1); /* nobody reads yet */
    char *all = hf_malloc(1);
    size_t n = 0;
    char piece[8192];
    while (n < 5 || memcmp(all + n - 5, "0\r\n\r\n", 5) != 0) {
        ssize_t got = recv(fd, piece, sizeof(piece), 0);
        assert_true(got > 0);
        all = hf_realloc(all, n + (size_t)got, 1);
        memcpy(all + n, piece, (size_t)got);
        n += (size_t)got;
    }
    len = 0;
    for (size_t i = 0; i < n; i++)
        len += all[i] == 'y';
    hf_free(all);
    close(fd);
    pthread_join(th, NULL);
    assert_in_range(len, BIG, BIG + 10000);
    assert_true(atomic_load(&drained) > 0);
    assert_int_equal(atomic_load(&gone), 0);
    stop();
}

static void test_abort(void **state)
{
    size_t len;
    (void)state;
    start("127.0.0.1:0");
    int fd = dial();
    say(fd, "GET /s HTTP/1.1\r\nHost: x\r\n\r\n");
    struct hf_httpd_call *c = wait_held();
    begin(c);
    assert_int_equal(hf_httpd_call_write(c, "half", 4, NULL), HF_OK);
    hf_httpd_call_abort(c);
    HF_AUTO_FREE char *got = hear(fd, &len);
    assert_non_null(strstr(got, "Transfer-Encoding: chunked"));
    assert_non_null(strstr(got, "half"));
    assert_null(strstr(got, "0\r\n\r\n"));
    assert_null(strstr(got, "Connection: close"));
    /* Before an answer: no byte at all. */
    fd = dial();
    say(fd, "GET /s HTTP/1.1\r\nHost: x\r\n\r\n");
    hf_httpd_call_abort(wait_held());
    HF_AUTO_FREE char *none = hear(fd, &len);
    assert_string_equal(none, "");
    stop();
}

static void test_gone(void **state)
{
    (void)state;
    start("127.0.0.1:0");
    int fd = dial();
    say(fd, "GET /s HTTP/1.1\r\nHost: x\r\n\r\n");
    struct hf_httpd_call *waiting = wait_held();
    close(fd); /* before an answer */
    wait_count(&gone, 1);
    assert_true(hf_httpd_call_is_gone(waiting));
    reply_text(waiting, 200, "nobody hears it");

    fd = dial();
    say(fd, "GET /s HTTP/1.1\r\nHost: x\r\n\r\n");
    struct hf_httpd_call *streaming = wait_held();
    begin(streaming);
    assert_int_equal(hf_httpd_call_write(streaming, "x", 1, NULL), HF_OK);
    char piece[100];
    assert_true(recv(fd, piece, sizeof(piece), 0) > 0);
    close(fd); /* in the middle */
    wait_count(&gone, 2);
    assert_int_equal(hf_httpd_call_write(streaming, "x", 1, NULL), HF_E_CANCELED);
    hf_httpd_call_finish(streaming);
    stop();
}

static void test_unix_and_listen_errors(void **state)
{
    struct hf_err err = HF_ERR_INIT;
    char dir[] = "/tmp/hf-http-XXXXXX";
    char bound[HF_LISTEN_TEXT];
    int fd = -1;
    (void)state;
    assert_non_null(mkdtemp(dir));
    HF_AUTO_FREE char *address = hf_asprintf("unix:%s/s.sock", dir);
    start(address);
    HF_AUTO_FREE char *got = ask("GET /echo%20me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_non_null(strstr(got, "GET - - unix 0:"));
    assert_int_equal(hf_listen_open(address, 0600, &fd, bound, &err), HF_E_EXISTS);
    stop();
    assert_int_not_equal(access(address + 5, F_OK), 0);
    rmdir(dir);

    start("127.0.0.1:0");
    assert_int_equal(hf_listen_open(hf_httpd_address(server), 0, &fd, bound, &err), HF_E_EXISTS);
    assert_non_null(strstr(err.text, "in use"));
    stop();
    static const char *const bad[] = {"nonsense", "1.2.3.4:", "::1:80", "unix:rel", "h:123456"};
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++)
        assert_int_equal(hf_listen_open(bad[i], 0, &fd, bound, &err), HF_E_INVALID);
    struct hf_httpd_options o = {.listen = "127.0.0.1:0",
                                 .tls_cert_pem = "no certificate",
                                 .tls_key_pem = "no key",
                                 .on_request = on_request};
    assert_int_equal(hf_httpd_start(&o, &server, &err), HF_E_INVALID);
    assert_null(strstr(err.text, "no key"));
}

/* A proxy in front and this server must not find different ends of a request. */
static void test_doubtful_framing(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Content-Length: 40\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 40\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\nContent-Length: 3\r\n",
    };
    start("127.0.0.1:0");
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        HF_AUTO_FREE char *text =
            hf_asprintf("POST /echo%%20me HTTP/1.1\r\nHost: x\r\n%s\r\n0\r\n\r\n"
                        "GET /echo%%20me HTTP/1.1\r\nHost: x\r\n\r\n",
                        bad[i]);
        HF_AUTO_FREE char *got = ask(text);
        if (strncmp(got, "HTTP/1.1 400 ", 13) != 0 || strstr(got, "Connection: close") == NULL ||
            strstr(got + 1, "HTTP/1.1") != NULL)
            fail_msg("%s: %s", bad[i], got);
    }
    HF_AUTO_FREE char *good =
        ask("POST /echo%20me HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n"
            "Connection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
    assert_non_null(strstr(good, "2:hi"));
    stop();
}

static void test_drain_and_stop(void **state)
{
    size_t len;
    (void)state;
    start("127.0.0.1:0");
    int idle = dial();
    int fd = dial();
    say(fd, "GET /s HTTP/1.1\r\nHost: x\r\n\r\n");
    struct hf_httpd_call *c = wait_held();
    say(idle, "GET /echo%20me HTTP/1.1\r\nHost: x\r\n\r\n");
    char piece[1000];
    assert_true(recv(idle, piece, sizeof(piece), 0) > 0);
    assert_false(hf_httpd_drain(server, 20));
    assert_int_equal(hf_httpd_calls(server), 1);
    say(idle, "GET /echo%20me HTTP/1.1\r\nHost: x\r\n\r\n");
    HF_AUTO_FREE char *refused = hear(idle, &len);
    assert_non_null(strstr(refused, " 503 "));
    assert_non_null(strstr(refused, "Connection: close"));
    reply_text(c, 200, "done");
    assert_true(hf_httpd_drain(server, WAIT_MS));
    HF_AUTO_FREE char *done = hear(fd, &len);
    assert_non_null(strstr(done, "done"));
    stop();
    /* Stopping with a call open cuts it and tells. */
    start("127.0.0.1:0");
    fd = dial();
    say(fd, "GET /s HTTP/1.1\r\nHost: x\r\n\r\n");
    c = wait_held();
    hf_httpd_stop(server);
    assert_int_equal(atomic_load(&gone), 1);
    hf_httpd_call_abort(c);
    stop();
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_later),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_unix_and_listen_errors),
        cmocka_unit_test(test_doubtful_framing),
        cmocka_unit_test(test_drain_and_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
