#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gateway/journal.h"
#include "gateway/usage.h"
#include "os/file.h"
#include "sqlite/conn.h"

#define NOW_MS INT64_C(1795780800000)

struct box {
    char dir[64];
    char path[128];
    struct hf_journal *j;
    int64_t micro; /* sums told at open */
    int64_t tokens;
    atomic_int n_held;
    atomic_int n_refused;
};

static void on_sum(void *arg, const struct hf_journal_sum *sum)
{
    struct box *b = arg;
    assert_string_equal(sum->key, "kim");
    b->micro += sum->micro;
    b->tokens += sum->tokens;
}

static void on_told(void *arg, bool is_held)
{
    struct box *b = arg;
    atomic_fetch_add(is_held ? &b->n_held : &b->n_refused, 1);
}

static void open_it(struct box *b)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_journal_opts o = {.path = b->path, .keep_ms = INT64_C(86400000) * 36500};
    b->micro = b->tokens = 0;
    if (hf_journal_open(&o, on_sum, b, &b->j, &err) != HF_OK)
        fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    struct box *b = hf_calloc(1, sizeof(*b));
    snprintf(b->dir, sizeof(b->dir), "/tmp/journal-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    snprintf(b->path, sizeof(b->path), "%s/usage.db", b->dir);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct box *b = *state;
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < HF_ARRAY_LEN(ends); i++) {
        char path[160];
        snprintf(path, sizeof(path), "%s%s", b->path, ends[i]);
        assert_int_equal(hf_path_remove(path, NULL), HF_OK);
    }
    assert_int_equal(hf_path_rmdir(b->dir, NULL), HF_OK);
    hf_free(b);
    return 0;
}

static struct hf_journal_record *record(enum hf_journal_kind kind, const char *request,
                                        int64_t micro)
{
    struct hf_journal_record *r = hf_calloc(1, sizeof(*r));
    r->kind = kind;
    snprintf(r->request, sizeof(r->request), "%s", request);
    snprintf(r->key, sizeof(r->key), "kim");
    snprintf(r->host, sizeof(r->host), "cloud");
    snprintf(r->model, sizeof(r->model), "sonnet");
    snprintf(r->outcome, sizeof(r->outcome), "ok");
    r->number = 1;
    r->at_ms = NOW_MS;
    r->day = 20784;
    r->tokens_in = 10;
    r->tokens_out = 5;
    r->micro = micro;
    r->is_last = kind == HF_JOURNAL_USE;
    return r;
}

static void hold(struct box *b, const char *request, int64_t micro)
{
    struct hf_journal_record *r = record(HF_JOURNAL_HOLD, request, micro);
    r->told = on_told;
    r->arg = b;
    hf_journal_put(b->j, r);
}

static void wait_for(atomic_int *n, int want)
{
    for (int i = 0; i < 20000 && atomic_load(n) < want; i++)
        hf_clock_sleep_us(1000);
    assert_int_equal(atomic_load(n), want);
}

static char *usage_of(struct box *b, const char *by)
{
    struct hf_usage_ask ask = {0};
    struct hf_buf out;
    struct hf_json j;
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_usage_parse_groups(by, &ask.groups, &err), HF_OK);
    hf_buf_init(&out, 1 << 20);
    hf_json_init(&j, &out, false);
    if (hf_usage_write(b->path, &ask, &j, &err) != HF_OK)
        fail_msg("%s", err.text);
    assert_int_equal(hf_json_end(&j, NULL), HF_OK);
    char *text = hf_strdup(hf_buf_str(&out));
    hf_buf_deinit(&out);
    return text;
}

static void test_rows_and_sums(void **state)
{
    struct box *b = *state;
    struct hf_file_stat st;
    open_it(b);
    hold(b, "one", 1000);
    wait_for(&b->n_held, 1);
    hf_journal_put(b->j, record(HF_JOURNAL_USE, "one", 300));
    hf_journal_put(b->j, record(HF_JOURNAL_USE, "two", 44));
    hold(b, "three", 1000);
    wait_for(&b->n_held, 2);
    hf_journal_put(b->j, record(HF_JOURNAL_DROP, "three", 0));
    hf_journal_close(b->j);
    HF_AUTO_FREE char *text = usage_of(b, "key,model,day");
    assert_string_equal(text, "[{\"key\":\"kim\",\"model\":\"sonnet\",\"day\":\"2026-11-27\","
                              "\"requests\":2,\"failed\":0,\"tokens_in\":20,\"tokens_out\":10,"
                              "\"tokens_cached\":0,\"cost\":\"0.000344\",\"estimated\":0}]");
    assert_int_equal(hf_path_stat(b->path, &st, NULL), HF_OK);
    assert_int_equal(st.mode & 0777, 0600);
    open_it(b);
    assert_int_equal(b->micro, 344);
    assert_int_equal(b->tokens, 30);
    hf_journal_close(b->j);
}

/* What was sent and never settled is charged in full at the next start, once. */
static void test_a_crash_is_charged(void **state)
{
    struct box *b = *state;
    struct hf_journal_stats st;
    open_it(b);
    hold(b, "lost", 1000);
    hold(b, "settled", 1000);
    wait_for(&b->n_held, 2);
    hf_journal_put(b->j, record(HF_JOURNAL_USE, "settled", 300));
    hf_journal_close(b->j);
    for (int i = 0; i < 2; i++) {
        open_it(b);
        assert_int_equal(b->micro, 1300);
        hf_journal_stats(b->j, &st);
        assert_int_equal(st.charged, i == 0 ? 1 : 0);
        hf_journal_close(b->j);
    }
    HF_AUTO_FREE char *text = usage_of(b, "outcome");
    assert_non_null(strstr(text, "\"unsettled\",\"requests\":1,\"failed\":1"));
}

/* While the file is locked holds fail and rows wait; then they are written. */
static void test_a_disk_that_refuses(void **state)
{
    struct box *b = *state;
    struct hf_conn *lock = NULL;
    struct hf_journal_stats st;
    open_it(b);
    assert_int_equal(hf_conn_open(b->path, HF_CONN_WRITE, 0, &lock, NULL), HF_OK);
    assert_int_equal(hf_conn_run(lock, "BEGIN EXCLUSIVE", NULL), HF_OK);
    hf_journal_put(b->j, record(HF_JOURNAL_USE, "one", 5));
    hold(b, "two", 1000);
    wait_for(&b->n_refused, 1);
    hold(b, "three", 1000); /* known to be failing: told at once */
    wait_for(&b->n_refused, 2);
    hf_journal_stats(b->j, &st);
    assert_true(st.is_failing && st.waiting == 1 && st.dropped == 0);
    assert_int_equal(hf_conn_run(lock, "ROLLBACK", NULL), HF_OK);
    hf_conn_close(lock);
    for (int i = 0; i < 20000 && st.is_failing; i++) {
        hf_clock_sleep_us(1000);
        hf_journal_stats(b->j, &st);
    }
    assert_false(st.is_failing);
    assert_int_equal(st.waiting, 0);
    hold(b, "four", 1000);
    wait_for(&b->n_held, 1);
    hf_journal_put(b->j, record(HF_JOURNAL_DROP, "four", 0));
    hf_journal_close(b->j);
    HF_AUTO_FREE char *text = usage_of(b, "key");
    assert_non_null(strstr(text, "\"requests\":1,"));
    assert_non_null(strstr(text, "\"cost\":\"0.000005\""));
}

static void test_old_rows_go_and_sums_stay(void **state)
{
    struct box *b = *state;
    open_it(b);
    hf_journal_put(b->j, record(HF_JOURNAL_USE, "old", 7));
    hf_journal_close(b->j);
    struct hf_journal_opts o = {.path = b->path, .keep_ms = 1};
    assert_int_equal(hf_journal_open(&o, on_sum, b, &b->j, NULL), HF_OK);
    struct hf_journal_record *r = record(HF_JOURNAL_USE, "new", 1);
    r->at_ms = hf_clock_wall_ms() + 3600000;
    hf_journal_put(b->j, r);
    hf_journal_close(b->j);
    HF_AUTO_FREE char *text = usage_of(b, "key");
    assert_non_null(strstr(text, "\"requests\":1,"));
    open_it(b);
    assert_int_equal(b->micro, 8);
    hf_journal_close(b->j);
}

static void test_questions(void **state)
{
    unsigned bits = 0;
    int64_t at = -1;
    (void)state;
    assert_int_equal(hf_usage_parse_groups("key,colour", &bits, NULL), HF_E_INVALID);
    assert_int_equal(hf_usage_parse_groups(NULL, &bits, NULL), HF_OK);
    assert_int_equal(bits, 1u << HF_USAGE_KEY | 1u << HF_USAGE_MODEL);
    assert_int_equal(hf_usage_parse_since("1h", NOW_MS, &at, NULL), HF_OK);
    assert_int_equal(at, NOW_MS - 3600000);
    assert_int_equal(hf_usage_parse_since("2026-11-27", NOW_MS, &at, NULL), HF_OK);
    assert_int_equal(at, NOW_MS - INT64_C(43200000));
    assert_int_equal(hf_usage_parse_since("2026-11-27T12:00:00Z", NOW_MS, &at, NULL), HF_OK);
    assert_int_equal(at, NOW_MS);
    assert_int_equal(hf_usage_parse_since("yesterday", NOW_MS, &at, NULL), HF_E_INVALID);
    assert_int_equal(hf_usage_parse_since(NULL, NOW_MS, &at, NULL), HF_OK);
    assert_int_equal(at, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows_and_sums, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_crash_is_charged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_disk_that_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_old_rows_go_and_sums_stay, set_up, tear_down),
        cmocka_unit_test(test_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
