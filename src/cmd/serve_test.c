/*
 * The control socket and the metrics address beside a working engine, asked by several clients at
 * once and stopped while some of them wait. Meant for ThreadSanitizer as much as for its results.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cmd/serve.h"
#include "sqlite/testdb.h"

enum { CLIENTS = 6, ROUNDS = 12 };

struct rig {
    char dir[64];
    char *db;
    char *socket;
    char *metrics;
    char *addr; /* unix:<metrics> */
    struct hf_testdb w;
    struct hf_config *cfg;
    struct hf_engine *e;
    struct hf_serve *s;
};

static void rig_init(struct rig *r)
{
    struct hf_err err = HF_ERR_INIT;
    *r = (struct rig){.dir = "/tmp/hf-serve-XXXXXX"};
    assert_non_null(mkdtemp(r->dir));
    r->db = hf_asprintf("%s/app.db", r->dir);
    r->socket = hf_asprintf("%s/control", r->dir);
    r->metrics = hf_asprintf("%s/metrics", r->dir);
    r->addr = hf_asprintf("unix:%s", r->metrics);
    hf_testdb_start(&r->w, r->db);
    assert_int_equal(hf_testdb_exec(&r->w, "pragma journal_mode=wal; create table t(x)"), 0);
    HF_AUTO_FREE char *url = hf_asprintf("file://%s/rep", r->dir);
    const char *urls[] = {url};
    assert_int_equal(hf_config_from_args(r->db, urls, 1, &r->cfg, &err), HF_OK);
    hf_config_set_sync_interval(r->cfg, 10 * 1000 * 1000);
    r->cfg->socket.enabled = true;
    r->cfg->socket.path = r->socket;
    r->cfg->socket.permissions = 0600;
    r->cfg->addr = r->addr;
    struct hf_engine_options o = {.cfg = r->cfg};
    if (hf_engine_start(&o, &r->e, &err) != HF_OK ||
        hf_serve_start(r->cfg, r->e, &r->s, &err) != HF_OK)
        fail_msg("%s", err.text);
    assert_non_null(r->s);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void rig_deinit(struct rig *r)
{
    hf_serve_stop(r->s);
    hf_engine_stop(r->e);
    hf_config_free(r->cfg);
    hf_testdb_stop(&r->w);
    nftw(r->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    hf_free(r->db);
    hf_free(r->socket);
    hf_free(r->metrics);
    hf_free(r->addr);
}

/* The status of the answer, 0 without one; the whole answer in text. */
static int ask(const char *path, const char *method, const char *target, const char *body,
               char text[8192])
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char head[1024];
    size_t got = 0;
    int status = 0;
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    int n = snprintf(head, sizeof(head),
                     "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n"
                     "\r\n%s",
                     method, target, strlen(body), body);
    bool is_sent = connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
                   send(fd, head, (size_t)n, MSG_NOSIGNAL) == n;
    while (is_sent && got < 8191) {
        ssize_t r = recv(fd, text + got, 8191 - got, 0);
        if (r <= 0)
            break;
        got += (size_t)r;
    }
    text[got] = '\0';
    close(fd);
    if (sscanf(text, "HTTP/1.%*d %d", &status) != 1)
        return 0;
    return status;
}

struct client {
    pthread_t thread;
    struct rig *r;
    int nr;
    int bad; /* answers that are none of those a route may give */
    int good;
};

static const struct {
    bool is_metrics;
    const char *method;
    const char *target;
    const char *more; /* behind "path" in the body */
    int codes[4];
} calls[] = {
    {false, "GET", "/status", NULL, {200}},
    {false, "GET", "/list", NULL, {200}},
    {false, "GET", "/info", NULL, {200}},
    {false, "POST", "/sync", ",\"wait\":true,\"timeout\":5", {200, 404, 409, 503}},
    {false, "POST", "/stop", "", {200, 404, 409, 503}},
    {false, "POST", "/start", "", {200, 404, 409, 503}},
    {true, "GET", "/metrics", NULL, {200}},
    {true, "GET", "/healthz", NULL, {200, 503}},
    {false, "GET", "/sync", NULL, {405}},
    {false, "GET", "/nothing", NULL, {404}},
    {true, "GET", "/status", NULL, {404}},
};

static bool is_one_of(int code, const int codes[4])
{
    for (int i = 0; i < 4; i++) {
        if (codes[i] != 0 && codes[i] == code)
            return true;
    }
    return false;
}

static void call(struct client *c, size_t i)
{
    char text[8192];
    char body[512] = "";
    if (calls[i].more != NULL)
        snprintf(body, sizeof(body), "{\"path\":\"%s\"%s}", c->r->db, calls[i].more);
    int code = ask(calls[i].is_metrics ? c->r->metrics : c->r->socket, calls[i].method,
                   calls[i].target, body, text);
    if (is_one_of(code, calls[i].codes)) {
        c->good++;
        return;
    }
    c->bad++;
    print_error("%s %s: %.300s\n", calls[i].method, calls[i].target, text);
}

static void *client_run(void *arg)
{
    struct client *c = arg;
    for (int i = 0; i < ROUNDS; i++)
        call(c, (size_t)(c->nr + i * 5) % HF_ARRAY_LEN(calls));
    return NULL;
}

static void test_many_clients(void **state)
{
    (void)state;
    struct rig r;
    struct client clients[CLIENTS];
    char text[8192];
    char body[512];
    rig_init(&r);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.r = &r, .nr = i};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, client_run, &clients[i]), 0);
    }
    for (int i = 0; i < 30; i++)
        assert_int_equal(hf_testdb_exec(&r.w, "insert into t values(randomblob(300))"), 0);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].bad, 0);
        assert_int_equal(clients[i].good, ROUNDS);
    }
    snprintf(body, sizeof(body), "{\"path\":\"%s\",\"wait\":true}", r.db);
    assert_int_equal(ask(r.socket, "POST", "/start", body, text), 200);
    assert_int_equal(ask(r.socket, "POST", "/sync", body, text), 200);
    assert_non_null(strstr(text, "\"replicated_txid\""));
    rig_deinit(&r);
}

/* A sync that can't end: the replica's directory can't be made. */
static void *wait_run(void *arg)
{
    struct client *c = arg;
    char text[8192];
    char body[512];
    snprintf(body, sizeof(body), "{\"path\":\"%s\",\"wait\":true,\"timeout\":600}", c->r->db);
    c->good = ask(c->r->socket, "POST", "/sync", body, text);
    return NULL;
}

static void test_stopped_while_clients_wait(void **state)
{
    (void)state;
    struct rig r;
    struct client clients[CLIENTS];
    char name[128];
    rig_init(&r);
    assert_int_equal(hf_engine_sync(r.e, 20000, NULL), HF_OK);
    snprintf(name, sizeof(name), "%s/rep/ltx", r.dir);
    char moved[160];
    snprintf(moved, sizeof(moved), "%s.moved", name);
    assert_int_equal(rename(name, moved), 0);
    FILE *f = fopen(name, "w"); /* a file where the directory should be */
    assert_non_null(f);
    fclose(f);
    assert_int_equal(hf_testdb_exec(&r.w, "insert into t values(1)"), 0);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.r = &r};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, wait_run, &clients[i]), 0);
    }
    hf_clock_sleep_us(300000);
    uint64_t before = hf_clock_mono_ms();
    hf_serve_stop(r.s);
    r.s = NULL;
    assert_true(hf_clock_mono_ms() - before < 30000);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_not_equal(clients[i].good, 200);
    }
    rig_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_clients),
        cmocka_unit_test(test_stopped_while_clients_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
