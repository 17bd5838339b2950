#include "store/contract_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"

static const struct hf_store_contract *contract;
static enum hf_store_times times; /* of the store at hand */

static struct hf_store *open_fresh(void)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = NULL;
    if (hf_store_open(contract->fresh_url(contract->arg), &s, &err) != HF_OK)
        fail_msg("open: %s", err.text);
    times = hf_store_times(s);
    return s;
}

static void put_ok(struct hf_store *s, const char *name, const char *text, int64_t time_ms)
{
    struct hf_err err = HF_ERR_INIT;
    if (hf_store_put(s, name, text, strlen(text), 0, time_ms, &err) != HF_OK)
        fail_msg("put %s: %s", name, err.text);
}

static char *get_text(struct hf_store *s, const char *name, uint64_t offset)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_store_reader *r = NULL;
    if (hf_store_reader_new(s, name, offset, &r, &err) != HF_OK)
        fail_msg("read %s: %s", name, err.text);
    char *buf = hf_calloc(1, 4096);
    size_t got = 0;
    assert_int_equal(hf_store_reader_read(r, buf, 4095, &got, &err), HF_OK);
    hf_store_reader_free(r);
    return buf;
}

static void expect_text(struct hf_store *s, const char *name, const char *want)
{
    HF_AUTO_FREE char *text = get_text(s, name, 0);
    assert_string_equal(text, want);
}

enum { HOUR_MS = 3600 * 1000 };

struct seen {
    char text[2048]; /* "name:size:time " of each; without the time where lists have another */
    int stop_after;  /* 0 = never */
    struct hf_store *store;
};

static enum hf_code see(void *arg, const struct hf_store_object *o, struct hf_err *err)
{
    struct seen *s = arg;
    size_t n = strlen(s->text);
    int64_t age_ms = hf_clock_wall_ms() - o->time_ms;
    n += (size_t)snprintf(s->text + n, sizeof(s->text) - n, "%s:%llu:", o->name,
                          (unsigned long long)o->size);
    if (times == HF_STORE_TIMES_UPLOAD && age_ms > -HOUR_MS && age_ms < HOUR_MS)
        snprintf(s->text + n, sizeof(s->text) - n, "put ");
    else
        snprintf(s->text + n, sizeof(s->text) - n, "%lld ", (long long)o->time_ms);
    if (s->stop_after > 0 && --s->stop_after == 0)
        return hf_err_set(err, HF_E_CANCELED, "enough");
    return HF_OK;
}

/* Where lists tell when an object was put, that is lately, "put" stands for it. */
static void expect_seen(const struct seen *seen, const char *want, const char *why)
{
    char text[sizeof(seen->text)] = "";
    for (const char *p = want; *p != '\0'; p += strcspn(p, " ") + 1) {
        int name_and_size = (int)(strcspn(p, ":") + 1 + strcspn(strchr(p, ':') + 1, ":"));
        const char *time = p + name_and_size;
        bool is_put = times == HF_STORE_TIMES_UPLOAD && strncmp(time, ":0 ", 3) != 0;
        size_t n = strlen(text);
        snprintf(text + n, sizeof(text) - n, "%.*s%.*s ", name_and_size, p,
                 is_put ? 4 : (int)strcspn(time, " "), is_put ? ":put" : time);
    }
    if (strcmp(seen->text, text) != 0)
        fail_msg("%s: got '%s', not '%s'", why, seen->text, text);
}

static void test_nothing_until_put(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    struct seen seen = {0};
    assert_int_equal(hf_store_list(s, "ltx/0", NULL, see, &seen, &err), HF_OK);
    assert_int_equal(hf_store_list(s, "", NULL, see, &seen, &err), HF_OK);
    assert_int_equal(hf_store_list_prefixes(s, "", see, &seen, &err), HF_OK);
    assert_string_equal(seen.text, "");
    uint64_t size = 77;
    assert_int_equal(hf_store_head(s, "ltx/0/a", &size, NULL, &err), HF_E_NOT_FOUND);
    assert_int_equal(size, 77); /* outputs untouched on failure */
    struct hf_store_reader *r = NULL;
    assert_int_equal(hf_store_reader_new(s, "a", 0, &r, &err), HF_E_NOT_FOUND);
    assert_true(err.text[0] != '\0');
    hf_store_close(s);
}

static void test_put_and_read_back(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    put_ok(s, "ltx/0/a", "hello", 1700000000123);
    put_ok(s, "ltx/0/empty", "", 5);
    expect_text(s, "ltx/0/a", "hello");
    expect_text(s, "ltx/0/empty", "");
    uint64_t size = 0;
    int64_t time_ms = 0;
    assert_int_equal(hf_store_head(s, "ltx/0/a", &size, &time_ms, &err), HF_OK);
    assert_int_equal(size, 5);
    int64_t step = times == HF_STORE_TIMES_SECONDS ? 1000 : 1;
    assert_int_equal(time_ms, INT64_C(1700000000123) / step * step);
    HF_AUTO_FREE char *tail = get_text(s, "ltx/0/a", 3);
    assert_string_equal(tail, "lo");
    HF_AUTO_FREE char *past = get_text(s, "ltx/0/a", 100);
    assert_string_equal(past, "");
    hf_store_close(s);
}

static void test_replace_and_create_only(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    int only = HF_STORE_CREATE_ONLY;
    assert_int_equal(hf_store_put(s, "x/a", "one", 3, only, 1000, &err), HF_OK);
    assert_int_equal(hf_store_put(s, "x/a", "two!", 4, only, 2000, &err), HF_E_EXISTS);
    expect_text(s, "x/a", "one");
    int64_t time_ms = 0;
    assert_int_equal(hf_store_head(s, "x/a", NULL, &time_ms, &err), HF_OK);
    assert_int_equal(time_ms, 1000);
    put_ok(s, "x/a", "three", 3000); /* without the flag a name is replaced */
    expect_text(s, "x/a", "three");
    struct seen seen = {0};
    assert_int_equal(hf_store_list(s, "x", NULL, see, &seen, &err), HF_OK);
    expect_seen(&seen, "a:5:3000 ", "replaced");
    hf_store_close(s);
}

static void test_list_order_and_levels(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    put_ok(s, "p/c", "3", 3000);
    put_ok(s, "p/a", "1", 1000);
    put_ok(s, "p/B", "2", 2000);
    put_ok(s, "p/q/deep", "x", 1000);
    put_ok(s, "p/r/deep", "x", 1000);
    put_ok(s, "pp/other", "x", 1000);
    static const struct {
        const char *why;
        const char *start_after;
        const char *want;
    } rows[] = {
        {"byte order, nothing of deeper or neighbouring prefixes", NULL,
         "B:1:2000 a:1:1000 c:1:3000 "},
        {"start_after is exclusive", "a", "c:1:3000 "},
        {"start_after need not exist", "b", "c:1:3000 "},
        {"start_after past the end", "zz", ""},
        {"start_after before everything", "A", "B:1:2000 a:1:1000 c:1:3000 "},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct seen seen = {0};
        assert_int_equal(hf_store_list(s, "p", rows[i].start_after, see, &seen, &err), HF_OK);
        expect_seen(&seen, rows[i].want, rows[i].why);
    }
    struct seen seen = {0};
    assert_int_equal(hf_store_list_prefixes(s, "p", see, &seen, &err), HF_OK);
    expect_seen(&seen, "q:0:0 r:0:0 ", "prefixes");
    struct seen some = {.stop_after = 2};
    assert_int_equal(hf_store_list(s, "p", NULL, see, &some, &err), HF_E_CANCELED);
    expect_seen(&some, "B:1:2000 a:1:1000 ", "stopped");
    hf_store_close(s);
}

static void test_streaming_writer(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    struct hf_store_writer *w = NULL;
    enum { PIECE = 70001, PIECES = 40 };
    uint8_t *piece = hf_malloc(PIECE);
    assert_int_equal(hf_store_writer_new(s, "big", 0, 9000, &w, &err), HF_OK);
    for (int i = 0; i < PIECES; i++) {
        memset(piece, i, PIECE);
        size_t len = i % 3 == 0 ? PIECE : 17; /* large and small in turn: order must hold */
        assert_int_equal(hf_store_writer_write(w, piece, len, &err), HF_OK);
    }
    struct seen seen = {0};
    assert_int_equal(hf_store_list(s, "", NULL, see, &seen, &err), HF_OK);
    assert_string_equal(seen.text, ""); /* invisible before commit */
    assert_int_equal(hf_store_writer_commit(w, &err), HF_OK);
    struct hf_store_reader *r = NULL;
    assert_int_equal(hf_store_reader_new(s, "big", 0, &r, &err), HF_OK);
    for (int i = 0; i < PIECES; i++) {
        size_t len = i % 3 == 0 ? PIECE : 17;
        size_t got = 0;
        assert_int_equal(hf_store_reader_read(r, piece, len, &got, &err), HF_OK);
        assert_int_equal(got, len);
        for (size_t k = 0; k < len; k++)
            assert_int_equal(piece[k], i);
    }
    size_t got = 1;
    assert_int_equal(hf_store_reader_read(r, piece, 1, &got, &err), HF_OK);
    assert_int_equal(got, 0);
    hf_store_reader_free(r);
    hf_free(piece);
    hf_store_close(s);
}

static void test_abort_leaves_nothing(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    struct hf_store_writer *w = NULL;
    assert_int_equal(hf_store_writer_new(s, "d/a", HF_STORE_CREATE_ONLY, 1, &w, &err), HF_OK);
    assert_int_equal(hf_store_writer_write(w, "x", 1, &err), HF_OK);
    hf_store_writer_abort(w);
    struct seen seen = {0};
    assert_int_equal(hf_store_list(s, "d", NULL, see, &seen, &err), HF_OK);
    assert_string_equal(seen.text, "");
    assert_int_equal(hf_store_put(s, "d/a", "y", 1, HF_STORE_CREATE_ONLY, 1, &err), HF_OK);
    hf_store_close(s);
}

static void test_delete(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    put_ok(s, "d/a", "1", 1);
    put_ok(s, "d/b", "2", 2000);
    const char *names[] = {"d/a", "d/missing", "nowhere/x"};
    assert_int_equal(hf_store_delete(s, names, 3, &err), HF_OK);
    assert_int_equal(hf_store_delete(s, names, 0, &err), HF_OK);
    struct seen seen = {0};
    assert_int_equal(hf_store_list(s, "d", NULL, see, &seen, &err), HF_OK);
    expect_seen(&seen, "b:1:2000 ", "what was not deleted");
    hf_store_close(s);
}

static void test_bad_names(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *name;
    } rows[] = {
        {"empty", ""},         {"absolute", "/a"}, {"parent", "a/../b"}, {"dot", "./a"},
        {"only parent", ".."}, {"double", "a//b"}, {"slash end", "a/"},  {"unfinished", "a.tmp"},
    };
    struct hf_store *s = open_fresh();
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_err err = HF_ERR_INIT;
        if (hf_store_put(s, rows[i].name, "x", 1, 0, 1, &err) != HF_E_INVALID)
            fail_msg("%s: '%s' was taken", rows[i].why, rows[i].name);
    }
    hf_store_close(s);
}

/* Child: creates ROUNDS names; exit status = how many it won. */
enum { ROUNDS = 40, RACERS = 4 };

static int race_child(const char *url, const char *go)
{
    struct hf_store *s = NULL;
    struct hf_err err = HF_ERR_INIT;
    if (hf_store_open(url, &s, &err) != HF_OK)
        return 255;
    while (access(go, F_OK) != 0)
        usleep(100);
    int won = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char name[32];
        char me[32];
        snprintf(name, sizeof(name), "race/%03d", i);
        snprintf(me, sizeof(me), "%ld", (long)getpid());
        enum hf_code rc = hf_store_put(s, name, me, strlen(me), HF_STORE_CREATE_ONLY, 1000, &err);
        if (rc != HF_OK && rc != HF_E_EXISTS)
            return 254;
        won += rc == HF_OK;
    }
    hf_store_close(s);
    return won;
}

/* Two processes on one name: exactly one is told it won. */
static void test_create_only_race(void **state)
{
    (void)state;
    const char *url = contract->fresh_url(contract->arg);
    char go[] = "/tmp/holdfast-race-XXXXXX";
    int fd = mkstemp(go);
    assert_true(fd >= 0);
    close(fd);
    unlink(go);
    pid_t pids[RACERS];
    for (int i = 0; i < RACERS; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0)
            _exit(race_child(url, go));
    }
    FILE *f = fopen(go, "w");
    assert_non_null(f);
    fclose(f);
    int won = 0;
    for (int i = 0; i < RACERS; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= ROUNDS);
        won += WEXITSTATUS(status);
    }
    unlink(go);
    if (contract->is_racy)
        assert_in_range(won, ROUNDS, RACERS * ROUNDS);
    else
        assert_int_equal(won, ROUNDS);
}

static int teardown(void **state)
{
    (void)state;
    contract->done(contract->arg);
    return 0;
}

int hf_store_contract_run(const struct hf_store_contract *c)
{
    contract = c;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_nothing_until_put, teardown),
        cmocka_unit_test_teardown(test_put_and_read_back, teardown),
        cmocka_unit_test_teardown(test_replace_and_create_only, teardown),
        cmocka_unit_test_teardown(test_list_order_and_levels, teardown),
        cmocka_unit_test_teardown(test_streaming_writer, teardown),
        cmocka_unit_test_teardown(test_abort_leaves_nothing, teardown),
        cmocka_unit_test_teardown(test_delete, teardown),
        cmocka_unit_test_teardown(test_bad_names, teardown),
        cmocka_unit_test_teardown(test_create_only_race, teardown),
    };
    return cmocka_run_group_tests_name(c->name, tests, NULL, NULL);
}

/* The same through encryption; and what is there can't be read without the key. */
static void test_sealed(void **state)
{
    (void)state;
    static const char name[] = "HOLDFAST_ENCRYPTION_KEY";
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = NULL;
    struct hf_store_reader *r = NULL;
    char buf[64];
    size_t got = 0;
    HF_AUTO_FREE char *url = hf_strdup(contract->fresh_url(contract->arg));
    HF_AUTO_FREE char *key = hf_strdup(getenv(name));
    assert_int_equal(hf_store_open(url, &s, &err), HF_OK);
    assert_true(hf_store_is_encrypted(s));
    enum hf_code rc = hf_store_selftest(s, &err); /* conditional writes and reading them back */
    if (rc != HF_OK && rc != HF_E_UNSUPPORTED)
        fail_msg("selftest: %s", err.text);
    assert_int_equal(hf_store_put(s, "a", "text", 4, HF_STORE_CREATE_ONLY, 1000, &err), HF_OK);
    hf_store_close(s);
    unsetenv(name);
    assert_int_equal(hf_store_open(url, &s, &err), HF_OK);
    assert_false(hf_store_is_encrypted(s));
    assert_int_equal(hf_store_reader_new(s, "a", 0, &r, &err), HF_OK);
    assert_int_equal(hf_store_reader_read(r, buf, sizeof(buf), &got, &err), HF_E_DENIED);
    assert_non_null(strstr(err.text, "no key is given"));
    hf_store_reader_free(r);
    if (hf_store_has_ranges(s)) {
        struct hf_buf b;
        hf_buf_init(&b, 4096);
        assert_int_equal(hf_store_read_range(s, "a", 0, 60, &b, &err), HF_E_DENIED);
        hf_buf_deinit(&b);
    }
    hf_store_close(s);
    setenv(name, key, 1);
}

int hf_store_contract_run_sealed(const struct hf_store_contract *c)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_sealed, teardown)};
    contract = c;
    setenv("HOLDFAST_ENCRYPTION_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", 1);
    int failed = cmocka_run_group_tests_name("encrypted", tests, NULL, NULL);
    failed += hf_store_contract_run(c);
    unsetenv("HOLDFAST_ENCRYPTION_KEY");
    return failed;
}
