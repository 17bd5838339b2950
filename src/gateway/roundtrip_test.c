/*
 * Property tests: random conversations to another dialect and back say the same; random answers
 * through a chain of all dialects, as streams cut at random, arrive as they left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "gateway/translate.h"
#include "gateway/translate_json.h"

enum { ROUNDS = 300 };

static uint64_t seed;

static uint32_t roll(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static const char *const pieces[] = {"a",    "\"", "\\",    "\n", "\xc3\xa9", "\xf0\x9f\x98\x80",
                                     "{}",   "  ", "data:", "\t", "0",        "<|end|>",
                                     "\x01", "]"};

static json_t *random_text(void)
{
    char text[200] = "x"; /* blanks alone are left out towards Anthropic */
    size_t n = 1 + roll(12), len = 1;
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s",
                                pieces[roll(HF_ARRAY_LEN(pieces))]);
    return json_stringn(text, len);
}

static json_t *random_arguments(void)
{
    json_t *o = json_object();
    uint32_t n = roll(3);
    for (uint32_t i = 0; i < n; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%u", i);
        uint32_t kind = roll(4);
        json_object_set_new(o, key,
                            kind == 0   ? random_text()
                            : kind == 1 ? json_real((double)roll(1000) / 7)
                            : kind == 2 ? json_integer((json_int_t)seed)
                                        : json_pack("[b,n]", 1));
    }
    return o;
}

static char *dumped(const json_t *o)
{
    struct hf_buf text;
    hf_buf_init(&text, HF_MIB);
    struct hf_tw w = {&text, false};
    hf_tw_value(&w, o);
    char *copy = hf_strndup((const char *)text.data, text.len);
    hf_buf_deinit(&text);
    return copy;
}

/* ---- requests ---------------------------------------------------------------------------------
 */

static int n_ids;

static json_t *random_call(void)
{
    HF_AUTO_JSON json_t *arguments = random_arguments();
    HF_AUTO_FREE char *text = dumped(arguments);
    char id[24], name[24];
    snprintf(id, sizeof(id), "id_%d", n_ids++);
    snprintf(name, sizeof(name), "tool%u", roll(3));
    return json_pack("{s:s,s:s,s:{s:s,s:s}}", "id", id, "type", "function", "function", "name",
                     name, "arguments", text);
}

/* An assistant's turn: text, calls or both, and the answers to its calls. */
static void add_assistant(json_t *messages)
{
    json_t *m = json_pack("{s:s}", "role", "assistant");
    uint32_t n = roll(3);
    json_object_set_new(m, "content", n == 0 || roll(2) == 0 ? random_text() : json_null());
    json_array_append_new(messages, m);
    if (n == 0)
        return;
    json_t *calls = json_array();
    json_object_set_new(m, "tool_calls", calls);
    for (uint32_t i = 0; i < n; i++) {
        json_t *call = random_call();
        json_array_append_new(calls, call);
        json_array_append_new(messages,
                              json_pack("{s:s,s:O,s:o}", "role", "tool", "tool_call_id",
                                        json_object_get(call, "id"), "content", random_text()));
    }
}

static json_t *random_tools(void)
{
    return json_loads("[{\"type\":\"function\",\"function\":{\"name\":\"tool0\",\"description\":"
                      "\"d\",\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":"
                      "\"number\"}}}}},{\"type\":\"function\",\"function\":{\"name\":\"tool1\","
                      "\"parameters\":{\"type\":\"object\",\"properties\":{}}}}]",
                      0, NULL);
}

static json_t *random_request(void)
{
    json_t *o = json_pack("{s:s}", "model", "m"), *messages = json_array();
    n_ids = 0;
    json_object_set_new(o, "messages", messages);
    if (roll(2) == 0)
        json_array_append_new(messages,
                              json_pack("{s:s,s:o}", "role", "system", "content", random_text()));
    for (uint32_t i = 0, n = 1 + roll(3); i < n; i++) {
        json_array_append_new(messages,
                              json_pack("{s:s,s:o}", "role", "user", "content", random_text()));
        if (i + 1 < n)
            add_assistant(messages);
    }
    if (roll(2) == 0)
        json_object_set_new(o, "tools", random_tools());
    if (roll(2) == 0)
        json_object_set_new(o, "temperature", json_real((double)(roll(99) + 1) / 100));
    json_object_set_new(o, "max_tokens", json_integer(1 + roll(9000)));
    if (roll(2) == 0)
        json_object_set_new(o, "stop", json_pack("[o,o]", random_text(), random_text()));
    return o;
}

static json_t *translated(const json_t *body, enum hf_endpoint front, enum hf_dialect to)
{
    HF_AUTO_FREE char *text = dumped(body);
    struct hf_request_head h;
    struct hf_target t = {.dialect = to};
    struct hf_upstream_request up;
    struct hf_report report = {.n_dropped = 0};
    struct hf_err err = HF_ERR_INIT;
    struct hf_buf out;
    json_t *o = NULL;
    hf_buf_init(&out, HF_MIB);
    if (hf_request_peek(front, text, strlen(text), &h, &err) != HF_OK ||
        hf_translate_request(&h, text, strlen(text), &t, &out, &up, &report, &err) != HF_OK)
        fail_msg("%s of %s", err.text, text);
    if (report.n_dropped > 0)
        fail_msg("dropped %s of %s", report.dropped, text);
    assert_int_equal(hf_tj_load_object((const char *)out.data, out.len, &o, &err), HF_OK);
    hf_buf_deinit(&out);
    return o;
}

/* Streaming is another default in each dialect, and not what this is about. */
static void forget_stream(json_t *o)
{
    json_object_del(o, "stream");
    json_object_del(o, "stream_options");
}

static void test_requests(void **state)
{
    (void)state;
    static const struct {
        enum hf_dialect d;
        enum hf_endpoint ep;
    } rows[] = {{HF_DIALECT_OLLAMA, HF_EP_OLLAMA_CHAT},
                {HF_DIALECT_ANTHROPIC, HF_EP_ANTHROPIC_MESSAGES}};
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = seed;
        HF_AUTO_JSON json_t *request = random_request();
        for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
            HF_AUTO_JSON json_t *there = translated(request, HF_EP_OPENAI_CHAT, rows[i].d);
            HF_AUTO_JSON json_t *back = translated(there, rows[i].ep, HF_DIALECT_OPENAI);
            forget_stream(back);
            if (!json_equal(request, back)) {
                HF_AUTO_FREE char *a = dumped(request), *b = dumped(there);
                HF_AUTO_FREE char *c = dumped(back);
                fail_msg("seed %llu, %s:\n%s\n%s\n%s", (unsigned long long)start,
                         hf_dialect_word(rows[i].d), a, b, c);
            }
        }
    }
}

/* ---- answers ----------------------------------------------------------------------------------
 */

static json_t *random_answer(void)
{
    json_t *message = json_pack("{s:s}", "role", "assistant");
    uint32_t n = roll(3);
    n_ids = 0;
    json_object_set_new(message, "content", n == 0 || roll(2) == 0 ? random_text() : json_null());
    if (roll(2) == 0)
        json_object_set_new(message, "reasoning", random_text());
    if (n > 0)
        json_object_set_new(message, "tool_calls", json_array());
    for (uint32_t i = 0; i < n; i++)
        json_array_append_new(json_object_get(message, "tool_calls"), random_call());
    json_t *usage = json_pack("{s:i,s:i}", "prompt_tokens", (int)roll(1000) + 1,
                              "completion_tokens", (int)roll(1000) + 1);
    json_object_set_new(
        usage, "total_tokens",
        json_integer(hf_tj_i64(usage, "prompt_tokens") + hf_tj_i64(usage, "completion_tokens")));
    return json_pack("{s:s,s:s,s:i,s:s,s:[{s:i,s:o,s:n,s:s}],s:o}", "id", "chatcmpl-r", "object",
                     "chat.completion", "created", 5, "model", "m", "choices", "index", 0,
                     "message", message, "logprobs", "finish_reason", n > 0 ? "tool_calls" : "stop",
                     "usage", usage);
}

struct hop {
    enum hf_endpoint ep;
    bool is_stream;
};

/* The answer of one hop's form turned into the next one's, in pieces of random sizes. */
static void step(const struct hop *from, const struct hop *to, const struct hf_buf *in,
                 struct hf_buf *out)
{
    struct hf_answer_options opt = {.front = to->ep,
                                    .upstream = from->ep,
                                    .is_front_stream = to->is_stream,
                                    .is_upstream_stream = from->is_stream,
                                    .wants_usage = true,
                                    .model = "m",
                                    .id = "r",
                                    .started_ms = 5000};
    struct hf_answer *a = hf_answer_new(&opt);
    struct hf_err err = HF_ERR_INIT;
    hf_buf_reset(out);
    for (size_t at = 0, n; at < in->len; at += n) {
        n = 1 + roll(300);
        if (n > in->len - at)
            n = in->len - at;
        if (hf_answer_feed(a, in->data + at, n, 6000, out, &err) != HF_OK)
            fail_msg("%s", err.text);
    }
    if (hf_answer_finish(a, 6000, out, &err) != HF_OK)
        fail_msg("%s", err.text);
    assert_true(hf_answer_state(a)->is_done);
    hf_answer_free(a);
}

static void run_chain(const json_t *answer, const struct hop *hops, size_t n, struct hf_buf *last)
{
    struct hf_buf bufs[2];
    HF_AUTO_FREE char *text = dumped(answer);
    hf_buf_init(&bufs[0], HF_MIB);
    hf_buf_init(&bufs[1], HF_MIB);
    assert_int_equal(hf_buf_append(&bufs[0], text, strlen(text), NULL), HF_OK);
    for (size_t i = 0; i + 1 < n; i++)
        step(&hops[i], &hops[i + 1], &bufs[i % 2], &bufs[(i + 1) % 2]);
    *last = bufs[(n - 1) % 2];
    hf_buf_deinit(&bufs[n % 2]);
}

static void test_answers(void **state)
{
    (void)state;
    static const struct hop forms[] = {
        {HF_EP_OLLAMA_CHAT, true},        {HF_EP_OLLAMA_CHAT, false},
        {HF_EP_OPENAI_CHAT, true},        {HF_EP_OPENAI_CHAT, false},
        {HF_EP_ANTHROPIC_MESSAGES, true}, {HF_EP_ANTHROPIC_MESSAGES, false}};
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = seed;
        HF_AUTO_JSON json_t *answer = random_answer();
        HF_AUTO_JSON json_t *back = NULL;
        struct hop hops[6] = {{HF_EP_OPENAI_CHAT, false}};
        struct hf_buf last;
        for (size_t i = 1; i < 5; i++)
            hops[i] = forms[roll(HF_ARRAY_LEN(forms))];
        hops[5] = hops[0];
        run_chain(answer, hops, HF_ARRAY_LEN(hops), &last);
        assert_int_equal(hf_tj_load_object((const char *)last.data, last.len, &back, NULL), HF_OK);
        if (!json_equal(answer, back)) {
            HF_AUTO_FREE char *a = dumped(answer), *b = dumped(back);
            fail_msg("seed %llu, %s%d %s%d %s%d %s%d:\n%s\n%s", (unsigned long long)start,
                     hf_endpoint_word(hops[1].ep), hops[1].is_stream, hf_endpoint_word(hops[2].ep),
                     hops[2].is_stream, hf_endpoint_word(hops[3].ep), hops[3].is_stream,
                     hf_endpoint_word(hops[4].ep), hops[4].is_stream, a, b);
        }
        hf_buf_deinit(&last);
    }
}

int main(void)
{
    seed = hf_random_u64();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
