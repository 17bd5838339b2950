/*
 * The sftp store against a real OpenSSH server, started by tests/rig/servers.py, which says in the
 * environment where it is. A broken connection is made by shutting down our own end of it.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sanitizer/lsan_interface.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "config/config.h"
#include "os/file.h"
#include "store/contract_test.h"
#include "store/sftp_host.h"

static const char *base_url; /* of an empty directory on the server */
static const char *data_dir; /* the same directory, as we see it */
static char url[512];
static char dir[512];

static const char *fresh_url(void *arg)
{
    (void)arg;
    static int n;
    snprintf(url, sizeof(url), "%s/t%d/replica", base_url, ++n);
    snprintf(dir, sizeof(dir), "%s/t%d/replica", data_dir, n);
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

/* libssh2 1.10 forgets a key (1 kB) when a connection breaks in the middle of a key exchange; the
 * stack of it shows libcrypto only. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libcrypto\n";
}

/* ---- connections of this process ---- */

static int port_of_url(void)
{
    const char *colon = strrchr(base_url, ':');
    return (int)strtol(colon + 1, NULL, 10);
}

/* Counts our connections to the server, and ends them if asked to. */
static int connections(bool must_end)
{
    int n = 0;
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in a = {0};
        socklen_t len = sizeof(a);
        if (getpeername(fd, (struct sockaddr *)&a, &len) != 0 || a.sin_family != AF_INET ||
            ntohs(a.sin_port) != port_of_url())
            continue;
        n++;
        if (must_end)
            shutdown(fd, SHUT_RDWR);
    }
    return n;
}

/* ---- opening ---- */

static struct hf_config *config_of(const char *text)
{
    struct hf_config_options opt = {.no_expand_env = true};
    struct hf_config *cfg = NULL;
    struct hf_err err = HF_ERR_INIT;
    if (hf_config_parse("t.yml", text, strlen(text), &opt, &cfg, &err) != HF_OK)
        fail_msg("%s", err.text);
    return cfg;
}

/* A store of a replica with the keys in extra, and the result of asking it for something. */
static enum hf_code ask(const char *extra, struct hf_err *err)
{
    HF_AUTO_FREE char *text =
        hf_asprintf("dbs:\n - path: /tmp/x.db\n   replica:\n    url: %s\n%s", base_url, extra);
    struct hf_config *cfg = config_of(text);
    struct hf_store *s = NULL;
    enum hf_code rc = hf_store_open_replica(&cfg->dbs[0]->replicas[0], &s, err);
    hf_config_free(cfg);
    if (rc != HF_OK)
        return rc;
    rc = hf_store_head(s, "nothing", NULL, NULL, err);
    hf_store_close(s);
    return rc;
}

static void expect_words(const struct hf_err *err, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strstr(err->text, words[i]) == NULL && strstr(err->hint, words[i]) == NULL)
            fail_msg("'%s' is not in '%s' '%s'", words[i], err->text, err->hint);
    }
}

static void test_host_key(void **state)
{
    (void)state;
    const char *key = getenv("HF_TEST_HOST_KEY");
    const char *other =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    HF_AUTO_FREE char *right = hf_asprintf("    host-key: %s comment\n", key);
    HF_AUTO_FREE char *wrong = hf_asprintf("    host-key: %s\n", other);
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(ask(right, &err), HF_E_NOT_FOUND); /* connected; the object is not there */
    assert_int_equal(ask(wrong, &err), HF_E_DENIED);
    expect_words(&err, (const char *const[]){"not the one in host-key", "SHA256:", NULL});
    assert_int_equal(ask("    host-key: ssh-ed25519 ???\n", &err), HF_E_INVALID);
    assert_int_equal(ask("    host-key: nonsense AAAA\n", &err), HF_E_INVALID);
    expect_words(&err, (const char *const[]){"nonsense", "ssh-keyscan", NULL});
}

/* HOME with a known_hosts of its own; the key files stay where they are. */
static void with_known_hosts(const char *text)
{
    HF_AUTO_FREE char *home = hf_asprintf("%s/home-%08x", data_dir, hf_random_u32());
    HF_AUTO_FREE char *ssh = hf_asprintf("%s/.ssh", home);
    HF_AUTO_FREE char *known = hf_asprintf("%s/known_hosts", ssh);
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_path_mkdirs(ssh, 0700, &err), HF_OK);
    assert_int_equal(hf_path_write_atomic(known, text, strlen(text), 0600, &err), HF_OK);
    setenv("HOME", home, 1);
}

static void test_known_hosts(void **state)
{
    (void)state;
    const char *was = getenv("HOME");
    HF_AUTO_FREE char *home = hf_strdup(was == NULL ? "/" : was);
    HF_AUTO_FREE char *key_path = hf_asprintf("    key-path: %s/.ssh/id_ed25519\n", home);
    const char *key = getenv("HF_TEST_HOST_KEY");
    hf_assert(key != NULL);
    const char *body = strchr(key, ' ') + 1;
    const char *at = "[127.0.0.1]";
    int port = port_of_url();
    HF_AUTO_FREE char *good =
        hf_asprintf("# nothing\n\nnonsense\n@cert-authority * %s\n%s:%d %s\n", key, at, port, key);
    HF_AUTO_FREE char *changed = hf_asprintf(
        "%s:%d ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        at, port);
    HF_AUTO_FREE char *revoked =
        hf_asprintf("%s:%d %s\n@revoked %s:%d %s\n", at, port, key, at, port, key);
    struct {
        const char *why;
        const char *known;
        enum hf_code want;
        const char *words[4];
    } rows[] = {
        {"known", good, HF_E_NOT_FOUND, {NULL}},
        {"empty", "", HF_E_DENIED, {"not known", body, "host-key: \"ssh-ed25519", NULL}},
        {"another key", changed, HF_E_DENIED, {"not the one in known_hosts", "in between", NULL}},
        {"revoked", revoked, HF_E_DENIED, {"revoked", NULL}},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_err err = HF_ERR_INIT;
        with_known_hosts(rows[i].known);
        enum hf_code rc = ask(key_path, &err);
        setenv("HOME", home, 1);
        if (rc != rows[i].want)
            fail_msg("%s: %d '%s'", rows[i].why, (int)rc, err.text);
        expect_words(&err, rows[i].words);
    }
}

static void test_refused_logins(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(ask("    key-path: /nowhere/id\n", &err), HF_E_DENIED);
    expect_words(&err, (const char *const[]){"/nowhere/id", "publickey", "authorized_keys", NULL});
    assert_int_equal(ask("    password: opensesame\n", &err), HF_E_DENIED);
    assert_null(strstr(err.text, "opensesame"));
    struct hf_store *s = NULL;
    assert_int_equal(hf_store_open("sftp://127.0.0.1/x", &s, &err), HF_E_INVALID);
    expect_words(&err, (const char *const[]){"no user", NULL});
    assert_int_equal(hf_store_open("sftp://me@127.0.0.1:1/x", &s, &err), HF_OK);
    assert_int_equal(hf_store_head(s, "x", NULL, NULL, &err), HF_E_IO);
    expect_words(&err, (const char *const[]){"sftp://me@127.0.0.1:1", "refused", NULL});
    hf_store_close(s);
}

/* ---- what is on the server ---- */

static void test_modes_and_litter(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    assert_int_equal(hf_store_put(s, "ltx/0/a", "x", 1, HF_STORE_CREATE_ONLY, 1999, &err), HF_OK);
    assert_int_equal(hf_store_put(s, "ltx/0/a", "x", 1, HF_STORE_CREATE_ONLY, 1, &err),
                     HF_E_EXISTS);
    struct stat st;
    HF_AUTO_FREE char *sub = hf_path_join(dir, "ltx/0");
    HF_AUTO_FREE char *file = hf_path_join(sub, "a");
    assert_int_equal(stat(sub, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700); /* replicas hold the database's secrets */
    assert_int_equal(st.st_nlink, 2);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_mtim.tv_sec, 1);
    hf_store_close(s);
}

static enum hf_code count(void *arg, const struct hf_store_object *o, struct hf_err *err)
{
    (void)o;
    (void)err;
    ++*(int *)arg;
    return HF_OK;
}

static enum hf_code count_any(void *arg, const char *name, bool is_dir, struct hf_err *err)
{
    (void)name;
    (void)is_dir;
    (void)err;
    ++*(int *)arg;
    return HF_OK;
}

/* Ours go a day after the time in their name; a young one may belong to a living writer, and other
 * programs' are none of our business. None is ever listed. */
static void test_stale_temp_files(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    assert_int_equal(hf_store_put(s, "d/a", "x", 1, 0, 1000, &err), HF_OK);
    long long now = hf_clock_wall_ms() / 1000;
    const long long ages[] = {60, 3600, 25 * 3600};
    HF_AUTO_FREE char *sub = hf_path_join(dir, "d");
    for (size_t i = 0; i < HF_ARRAY_LEN(ages); i++) {
        HF_AUTO_FREE char *p = hf_asprintf("%s/b%zu.%08llx01234567.tmp", sub, i, now - ages[i]);
        assert_int_equal(hf_path_write_atomic(p, "x", 1, 0600, &err), HF_OK);
    }
    HF_AUTO_FREE char *theirs = hf_path_join(sub, "c.tmp");
    assert_int_equal(hf_path_write_atomic(theirs, "x", 1, 0600, &err), HF_OK);
    int n = 0;
    assert_int_equal(hf_store_list(s, "d", NULL, count, &n, &err), HF_OK);
    assert_int_equal(n, 1);
    int all = 0;
    assert_int_equal(hf_path_list(sub, count_any, &all, &err), HF_OK);
    assert_int_equal(all, 4); /* a, two young ones, theirs */
    hf_store_close(s);
}

/* Relative paths are below the login directory. */
static void test_no_permission(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    assert_int_equal(hf_store_put(s, "d/a", "x", 1, 0, 1000, &err), HF_OK);
    /* A file where a directory is needed: no answer but "failure". */
    assert_int_not_equal(hf_store_put(s, "d/a/b", "x", 1, 0, 1000, &err), HF_OK);
    assert_true(strncmp(err.text, url, 20) == 0);
    assert_int_equal(hf_store_put(s, "d/c", "x", 1, 0, 1000, &err), HF_OK);
    hf_store_close(s);
}

/* ---- broken connections ---- */

static void test_reads_go_on(void **state)
{
    (void)state;
    enum { SIZE = 3 << 20, PIECE = 100000 };
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    uint8_t *data = hf_malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    assert_int_equal(hf_store_put(s, "big", data, SIZE, 0, 1000, &err), HF_OK);
    struct hf_store_reader *r = NULL;
    assert_int_equal(hf_store_reader_new(s, "big", 17, &r, &err), HF_OK);
    uint8_t *piece = hf_malloc(PIECE);
    int ended = 0;
    for (size_t at = 17; at < SIZE;) {
        size_t got = 0;
        size_t want = SIZE - at < PIECE ? SIZE - at : PIECE;
        if (at > SIZE / 4 && ended < 3)
            ended += connections(true) > 0;
        if (hf_store_reader_read(r, piece, want, &got, &err) != HF_OK)
            fail_msg("at %zu: %s", at, err.text);
        assert_int_equal(got, want);
        assert_memory_equal(piece, data + at, want);
        at += want;
    }
    assert_int_equal(ended, 3);
    hf_store_reader_free(r);
    hf_free(piece);
    hf_free(data);
    hf_store_close(s);
}

/* A long write can't be sent again: it fails, leaves no object, and the next one works. */
static void test_long_write_fails_whole(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    struct hf_store_writer *w = NULL;
    HF_AUTO_FREE char *piece = hf_calloc(1, HF_LIMIT_SFTP_BUFFER);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(hf_store_writer_new(s, "d/big", HF_STORE_CREATE_ONLY, 1000, &w, &err),
                         HF_OK);
        enum hf_code rc = HF_OK;
        for (int i = 0; i < 3 && rc == HF_OK; i++) {
            if (i == 2 && round == 0)
                assert_true(connections(true) > 0);
            rc = hf_store_writer_write(w, piece, HF_LIMIT_SFTP_BUFFER, &err);
        }
        if (rc == HF_OK)
            rc = hf_store_writer_commit(w, &err);
        else
            hf_store_writer_abort(w);
        assert_int_equal(rc == HF_OK, round == 1);
        assert_int_equal(hf_store_head(s, "d/big", NULL, NULL, &err),
                         round == 1 ? HF_OK : HF_E_NOT_FOUND);
    }
    hf_store_close(s);
}

static atomic_bool must_stop;

static void *break_connections(void *arg)
{
    (void)arg;
    while (!atomic_load(&must_stop)) {
        hf_clock_sleep_us(10000 + hf_random_u32() % 200000); /* a log-in takes 50 ms */
        connections(true);
    }
    return NULL;
}

/* Connections break at any moment, also between a rename and its answer. A create-only put that
 * meets no other writer never says "exists", and one that says "ok" is there, whole. */
static void test_puts_under_broken_connections(void **state)
{
    (void)state;
    enum { PUTS = 150 };
    struct hf_store *s = open_fresh();
    pthread_t thread;
    atomic_store(&must_stop, false);
    assert_int_equal(pthread_create(&thread, NULL, break_connections, NULL), 0);
    int good = 0;
    int n_odd = 0;
    bool is_good[PUTS] = {false};
    for (int i = 0; i < PUTS; i++) {
        struct hf_err err = HF_ERR_INIT;
        char name[32];
        snprintf(name, sizeof(name), "d/%03d", i);
        enum hf_code rc = hf_store_put(s, name, name, strlen(name), HF_STORE_CREATE_ONLY, 1, &err);
        is_good[i] = rc == HF_OK;
        good += rc == HF_OK;
        bool is_odd = rc != HF_OK && rc != HF_E_IO && rc != HF_E_TIMEOUT;
        n_odd += is_odd;
        if (is_odd)
            print_message("%s: %d '%s'\n", name, (int)rc, err.text);
    }
    atomic_store(&must_stop, true);
    pthread_join(thread, NULL);
    print_message("%d of %d puts got through\n", good, PUTS);
    assert_true(good > 0);
    assert_int_equal(n_odd, 0);
    for (int i = 0; i < PUTS; i++) {
        struct hf_err err = HF_ERR_INIT;
        char name[32];
        char text[32] = "";
        size_t got = 0;
        struct hf_store_reader *r = NULL;
        snprintf(name, sizeof(name), "d/%03d", i);
        enum hf_code rc = hf_store_reader_new(s, name, 0, &r, &err);
        if (rc == HF_E_NOT_FOUND && !is_good[i])
            continue;
        if (rc != HF_OK)
            fail_msg("%s: %s", name, err.text);
        assert_int_equal(hf_store_reader_read(r, text, sizeof(text) - 1, &got, &err), HF_OK);
        hf_store_reader_free(r);
        assert_string_equal(text, name);
    }
    hf_store_close(s);
}

/* ---- threads ---- */

static void *put_many(void *arg)
{
    struct hf_store *s = arg;
    for (int i = 0; i < 20; i++) {
        struct hf_err err = HF_ERR_INIT;
        char name[40];
        snprintf(name, sizeof(name), "d/%08x%d", hf_random_u32(), i);
        if (hf_store_put(s, name, name, strlen(name), HF_STORE_CREATE_ONLY, 1, &err) != HF_OK)
            return hf_asprintf("%s", err.text);
    }
    return NULL;
}

/* Several stores of one server share its few connections, and the last one closes them. */
static void test_connections_are_shared(void **state)
{
    (void)state;
    enum { THREADS = 12 };
    struct hf_store *a = open_fresh();
    struct hf_store *b = open_fresh();
    pthread_t threads[THREADS];
    int n_failed = 0;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, i % 2 ? a : b), 0);
    for (int i = 0; i < THREADS; i++) {
        void *said = NULL;
        pthread_join(threads[i], &said);
        if (said != NULL)
            print_message("%s\n", (char *)said);
        n_failed += said != NULL;
        hf_free(said);
    }
    assert_int_equal(n_failed, 0);
    int n = connections(false);
    assert_true(n >= 1 && n <= HF_LIMIT_SFTP_SESSIONS);
    hf_store_close(a);
    assert_int_equal(connections(false), n);
    hf_store_close(b);
    assert_int_equal(connections(false), 0);
}

int main(void)
{
    base_url = getenv("HF_TEST_URL");
    data_dir = getenv("HF_TEST_DATA");
    if (base_url == NULL || data_dir == NULL) {
        print_message("skipped: run by tests/rig/servers.py sshd -- %s\n", "store_sftp_test");
        return 77;
    }
    const struct hf_store_contract contract = {
        .name = "store/sftp contract", .fresh_url = fresh_url, .done = done};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_key),
        cmocka_unit_test(test_known_hosts),
        cmocka_unit_test(test_refused_logins),
        cmocka_unit_test(test_modes_and_litter),
        cmocka_unit_test(test_stale_temp_files),
        cmocka_unit_test(test_no_permission),
        cmocka_unit_test(test_reads_go_on),
        cmocka_unit_test(test_long_write_fails_whole),
        cmocka_unit_test(test_puts_under_broken_connections),
        cmocka_unit_test(test_connections_are_shared),
    };
    int failed = hf_store_contract_run(&contract);
    failed += hf_store_contract_run_sealed(&contract);
    return failed + cmocka_run_group_tests_name("store/sftp", tests, NULL, NULL);
}
