/*
 * Golden files: tests/fixtures/gateway/requests/NAME.json translated for four targets, and each
 * stream or whole answer in streams/ translated for every front, compared with NAME.expected.
 * HF_GOLDEN=write in the environment writes what came out instead; read it before you keep it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "gateway/translate.h"
#include "gateway/translate_json.h"

static const struct {
    const char *name;
    struct hf_target target;
} targets[] = {
    {"ollama", {.dialect = HF_DIALECT_OLLAMA, .num_ctx = 8192, .keep_alive = "-1"}},
    {"openai", {.dialect = HF_DIALECT_OPENAI, .model = "served"}},
    {"anthropic",
     {.dialect = HF_DIALECT_ANTHROPIC, .model = "served", .thinking = HF_THINKING_BUDGET}},
    {"anthropic-2026",
     {.dialect = HF_DIALECT_ANTHROPIC,
      .is_anthropic_2026 = true,
      .thinking = HF_THINKING_ADAPTIVE}},
};

static void read_file(const char *path, struct hf_buf *out)
{
    char piece[4096];
    size_t n;
    FILE *f = fopen(path, "rb");
    hf_buf_init(out, HF_LIMIT_ANSWER);
    if (f == NULL)
        return;
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
        assert_int_equal(hf_buf_append(out, piece, n, NULL), HF_OK);
    fclose(f);
}

/* Compares got with the file, or writes the file. */
static void settle(const char *path, struct hf_buf *got)
{
    struct hf_buf want;
    if (getenv("HF_GOLDEN") != NULL) {
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        fwrite(got->data, 1, got->len, f);
        fclose(f);
        return;
    }
    read_file(path, &want);
    if (strcmp(hf_buf_str(&want), hf_buf_str(got)) != 0)
        fail_msg("%s differs; came out:\n%s", path, hf_buf_str(got));
    hf_buf_deinit(&want);
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static enum hf_endpoint endpoint_of(const char *word, size_t len)
{
    for (int i = 0; i < HF_EP_COUNT_; i++)
        if (strlen(hf_endpoint_word((enum hf_endpoint)i)) == len &&
            memcmp(hf_endpoint_word((enum hf_endpoint)i), word, len) == 0)
            return (enum hf_endpoint)i;
    fail_msg("no endpoint %s", word);
    return HF_EP_COUNT_;
}

static void each_file(const char *folder, const char *end, void (*run)(const char *path))
{
    char path[600];
    int n = 0;
    snprintf(path, sizeof(path), "%s/%s", HF_FIXTURES, folder);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (!ends_with(e->d_name, end))
            continue;
        snprintf(path, sizeof(path), "%s/%s/%s", HF_FIXTURES, folder, e->d_name);
        run(path);
        n++;
    }
    closedir(dir);
    assert_true(n > 10);
}

static void expected_path(char *out, size_t cap, const char *path)
{
    snprintf(out, cap, "%.*s.expected", (int)(strrchr(path, '.') - path), path);
}

/* ---- requests ---------------------------------------------------------------------------------
 */

static int add(const char *text, size_t len, void *arg)
{
    return hf_buf_append(arg, text, len, NULL) == HF_OK ? 0 : -1;
}

static void translate_for(size_t i, const struct hf_request_head *h, const struct hf_buf *body,
                          struct hf_buf *got)
{
    struct hf_buf out;
    struct hf_upstream_request up;
    struct hf_report report = {.n_dropped = 0};
    struct hf_err err = HF_ERR_INIT;
    hf_buf_init(&out, HF_LIMIT_ANSWER);
    enum hf_code rc = hf_translate_request(h, (const char *)body->data, body->len,
                                           &targets[i].target, &out, &up, &report, &err);
    assert_int_equal(hf_buf_appendf(got, NULL, "== %s\n", targets[i].name), HF_OK);
    if (rc != HF_OK) {
        assert_int_equal(out.len, 0);
        assert_int_equal(
            hf_buf_appendf(got, NULL, "refused (%s): %s\n", hf_code_word(rc), err.text), HF_OK);
    } else {
        HF_AUTO_JSON json_t *o = NULL;
        assert_int_equal(hf_tj_load_object((const char *)out.data, out.len, &o, &err), HF_OK);
        assert_int_equal(hf_buf_appendf(got, NULL, "%s%s%s\ndropped: %s\n", hf_endpoint_path(up.ep),
                                        up.is_stream ? " stream" : "",
                                        up.is_same ? " (passed)" : "", report.dropped),
                         HF_OK);
        assert_int_equal(json_dump_callback(o, add, got, JSON_INDENT(1) | JSON_REAL_PRECISION(15)),
                         0);
        assert_int_equal(hf_buf_append(got, "\n", 1, NULL), HF_OK);
    }
    hf_buf_deinit(&out);
}

static void run_request(const char *path)
{
    struct hf_buf file, body, got;
    struct hf_request_head h;
    char expected[700];
    HF_AUTO_JSON json_t *o = NULL;
    read_file(path, &file);
    assert_int_equal(hf_tj_load_object((const char *)file.data, file.len, &o, NULL), HF_OK);
    const char *front = json_string_value(json_object_get(o, "front"));
    hf_buf_init(&body, HF_LIMIT_ANSWER);
    hf_buf_init(&got, HF_LIMIT_ANSWER);
    struct hf_tw w = {&body, false};
    hf_tw_value(&w, json_object_get(o, "body"));
    assert_int_equal(hf_request_peek(endpoint_of(front, strlen(front)), (const char *)body.data,
                                     body.len, &h, NULL),
                     HF_OK);
    for (size_t i = 0; i < HF_ARRAY_LEN(targets); i++)
        translate_for(i, &h, &body, &got);
    expected_path(expected, sizeof(expected), path);
    settle(expected, &got);
    hf_buf_deinit(&file);
    hf_buf_deinit(&body);
    hf_buf_deinit(&got);
}

static void test_requests(void **state)
{
    (void)state;
    each_file("requests", ".json", run_request);
}

/* ---- answers ----------------------------------------------------------------------------------
 */

static void answer_once(const struct hf_answer_options *opt, const struct hf_buf *in, size_t step,
                        struct hf_buf *out)
{
    struct hf_answer *a = hf_answer_new(opt);
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = HF_OK;
    for (size_t at = 0; at < in->len && rc == HF_OK; at += step)
        rc = hf_answer_feed(a, in->data + at, in->len - at < step ? in->len - at : step,
                            1700000001000, out, &err);
    if (rc == HF_OK)
        rc = hf_answer_finish(a, 1700000001000, out, &err);
    const struct hf_answer_state *st = hf_answer_state(a);
    assert_int_equal(
        hf_buf_appendf(out, NULL, "\n-- %s%s meaningful=%d done=%d finish=%d in=%d out=%d%s%s\n",
                       rc == HF_OK ? "ok" : hf_code_word(rc), rc == HF_OK ? "" : err.text,
                       st->is_meaningful, st->is_done, (int)st->finish, (int)st->usage.input,
                       (int)st->usage.output, st->usage.is_known ? "" : " (unknown)",
                       st->has_error ? " ERROR" : ""),
        HF_OK);
    if (st->has_error || rc != HF_OK) {
        assert_false(st->is_done);
        struct hf_api_error why = st->error;
        if (!st->has_error)
            hf_api_error_set(&why, HF_API_SERVER, "%s", err.text);
        assert_int_equal(hf_buf_appendf(out, NULL, "%s %d\n", hf_api_class_word(why.kind),
                                        hf_api_error_status(hf_endpoint_dialect(opt->front), &why)),
                         HF_OK);
        assert_int_equal(hf_answer_abort(a, &why, out, NULL), HF_OK);
    }
    hf_answer_free(a);
}

static void answer_for(const struct hf_answer_options *opt, const struct hf_buf *in,
                       struct hf_buf *got)
{
    struct hf_buf whole, cut;
    hf_buf_init(&whole, HF_LIMIT_ANSWER);
    hf_buf_init(&cut, HF_LIMIT_ANSWER);
    answer_once(opt, in, in->len, &whole);
    /* The result must not depend on where the bytes were cut. */
    for (size_t step = 1; step < 20; step += 6) {
        hf_buf_reset(&cut);
        answer_once(opt, in, step, &cut);
        assert_string_equal(hf_buf_str(&whole), hf_buf_str(&cut));
    }
    assert_int_equal(hf_buf_appendf(got, NULL, "== %s%s\n%s\n", hf_endpoint_word(opt->front),
                                    opt->is_front_stream ? " stream" : "", hf_buf_str(&whole)),
                     HF_OK);
    hf_buf_deinit(&whole);
    hf_buf_deinit(&cut);
}

static bool is_embed(enum hf_endpoint ep)
{
    return strstr(hf_endpoint_word(ep), "embed") != NULL;
}

static void run_answer(const char *path)
{
    struct hf_buf in, got;
    char expected[700];
    const char *word = strchr(strrchr(path, '/'), '.') + 1;
    enum hf_endpoint up = endpoint_of(word, (size_t)(strchr(word, '.') - word));
    struct hf_answer_options opt = {.upstream = up,
                                    .model = "asked",
                                    .id = "req1",
                                    .wants_usage = true,
                                    .started_ms = 1700000000000};
    opt.is_upstream_stream = strstr(word, ".stream.") != NULL;
    read_file(path, &in);
    hf_buf_init(&got, HF_LIMIT_ANSWER);
    for (int front = 0; front < HF_EP_ANTHROPIC_COUNT; front++) {
        opt.front = (enum hf_endpoint)front;
        opt.wants_base64 = opt.front == HF_EP_OPENAI_EMBEDDINGS;
        if (is_embed(up) != is_embed(opt.front))
            continue;
        opt.is_front_stream = false;
        answer_for(&opt, &in, &got);
        opt.is_front_stream = true;
        if (!is_embed(up))
            answer_for(&opt, &in, &got);
    }
    expected_path(expected, sizeof(expected), path);
    settle(expected, &got);
    hf_buf_deinit(&in);
    hf_buf_deinit(&got);
}

static void test_answers(void **state)
{
    (void)state;
    each_file("streams", ".txt", run_answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
