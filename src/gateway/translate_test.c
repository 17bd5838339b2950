#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "gateway/translate.h"
#include "gateway/translate_json.h"
#include "gateway/translate_media.h"

static void test_paths(void **state)
{
    (void)state;
    enum hf_endpoint ep;
    for (int i = 0; i < HF_EP_COUNT_; i++) {
        assert_true(hf_endpoint_of_path(hf_endpoint_path((enum hf_endpoint)i), &ep));
        assert_int_equal(ep, i);
    }
    assert_false(hf_endpoint_of_path("/v1/chat/completions/", &ep));
    assert_false(hf_endpoint_of_path("", &ep));
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        bool is_equal;
    } rows[] = {
        {"llama3.2", "llama3.2:latest", true},
        {"llama3.2:LATEST", "Llama3.2", true},
        {"llama3.2:1b", "llama3.2", false},
        {"llama3.2:1b", "llama3.2:1B", true},
        {"llama3", "llama3.2:latest", false},
        {"hf.co:443/a/b", "hf.co:443/a/b:latest", true},
        {"a", "b", false},
        {"a:b", "a:latest", false},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        assert_int_equal(hf_ollama_name_equal(rows[i].a, rows[i].b), rows[i].is_equal);
        assert_int_equal(hf_ollama_name_equal(rows[i].b, rows[i].a), rows[i].is_equal);
    }
}

static struct hf_request_head peeked(enum hf_endpoint ep, const char *body)
{
    struct hf_request_head h;
    struct hf_err err = HF_ERR_INIT;
    if (hf_request_peek(ep, body, strlen(body), &h, &err) != HF_OK)
        fail_msg("%s: %s", body, err.text);
    return h;
}

static void test_peek(void **state)
{
    (void)state;
    struct hf_request_head h = peeked(HF_EP_OPENAI_CHAT, " {\"model\" : \"a\\u0062\" }");
    assert_string_equal(h.model, "ab");
    assert_int_equal(h.spans[HF_BODY_MODEL].at, 12);
    assert_int_equal(h.spans[HF_BODY_MODEL].len, 9);
    assert_false(h.is_stream);
    assert_true(h.is_collectable);
    h = peeked(HF_EP_OLLAMA_CHAT, "{\"model\":\"a\",\"messages\":[ ]}");
    assert_true(h.is_stream && h.is_load);
    h = peeked(HF_EP_OLLAMA_GENERATE, "{\"model\":\"a\",\"prompt\":\"x\",\"stream\":false,"
                                      "\"options\":{\"num_predict\":9}}");
    assert_false(h.is_stream || h.is_load);
    assert_int_equal(h.max_tokens, 9);
    h = peeked(HF_EP_OLLAMA_EMBED, "{\"model\":\"a\",\"input\":\"x\"}");
    assert_false(h.is_stream);
    h = peeked(HF_EP_OPENAI_CHAT, "{\"model\":\"a\",\"n\":2}");
    assert_false(h.is_collectable);
    h = peeked(HF_EP_OPENAI_CHAT, "{\"model\":\"a\",\"logprobs\":true,\"max_tokens\":3}");
    assert_false(h.is_collectable);
    h = peeked(HF_EP_OPENAI_CHAT, "{\"model\":\"a\",\"n\":1,\"logprobs\":false,\"top_logprobs\":0,"
                                  "\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    assert_true(h.is_collectable && h.wants_usage && h.is_stream);
    h = peeked(HF_EP_OPENAI_EMBEDDINGS, "{\"model\":\"a\",\"encoding_format\":\"base64\"}");
    assert_true(h.wants_base64);
}

static void test_peek_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *says;
    } rows[] = {
        {"", "JSON"},
        {"[]", "object"},
        {"{\"model\":\"a\"", "JSON"},
        {"{}", "model: is required"},
        {"{\"model\":7}", "model: a name"},
        {"{\"model\":\"\"}", "model: a name"},
        {"{\"model\":\"a\",\"model\":\"b\"}", "twice"},
        {"{\"model\":\"a\",\"stream\":\"yes\"}", "stream: true or false"},
        {"{\"model\":\"a\\u0000b\"}", "NUL"},
        {"{\"model\":\"a\",\"Model\":\"b\"}", "case"},
        {"{\"model\":\"a\",\"\xc5\xbftream\":true}", "case"},
        {"{\"model\":\"a\",\"max_tokens\":\"9000\"}", "max_tokens: a number"},
        {"{\"model\":\"a\",\"n\":true}", "n: a number"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_request_head h;
        struct hf_err err = HF_ERR_INIT;
        assert_int_equal(
            hf_request_peek(HF_EP_OPENAI_CHAT, rows[i].body, strlen(rows[i].body), &h, &err),
            HF_E_INVALID);
        if (strstr(err.text, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].body, err.text);
    }
}

/* What a budget sets aside must not be less than any host would make of the body. */
static void test_peek_counts(void **state)
{
    (void)state;
    static const struct {
        enum hf_endpoint ep;
        const char *more;
        int64_t max_tokens;
        int64_t n_answers;
        const char *why;
    } rows[] = {
        {HF_EP_OPENAI_CHAT, "\"max_tokens\":9000,\"max_completion_tokens\":1", 9000, 0,
         "hosts differ in which one they obey"},
        {HF_EP_OPENAI_CHAT, "\"max_tokens\":9000.0,\"n\":3.0", 9001, 4, "hosts read 9000.0"},
        {HF_EP_OPENAI_CHAT, "\"max_tokens\":9e3", 9001, 0, "and 9e3"},
        {HF_EP_OPENAI_CHAT, "\"max_tokens\":1e300", HF_TOKENS_SAID_MAX, 0, "too large"},
        {HF_EP_OPENAI_CHAT, "\"max_tokens\":-5,\"n\":-1", 0, 0, "says nothing"},
        {HF_EP_OPENAI_CHAT, "\"max_tokens\":null", 0, 0, "says nothing"},
        {HF_EP_OPENAI_CHAT, "\"options\":{\"num_predict\":1}", 0, 0, "no word of OpenAI's"},
        {HF_EP_OPENAI_COMPLETIONS, "\"n\":1,\"best_of\":20", 0, 20, "twenty are paid for"},
        {HF_EP_OPENAI_RESPONSES, "\"max_tokens\":1,\"max_output_tokens\":9000", 9000, 0,
         "max_tokens is no word of it"},
        {HF_EP_ANTHROPIC_MESSAGES, "\"max_tokens\":9000,\"max_output_tokens\":1", 9000, 0, ""},
        {HF_EP_OLLAMA_CHAT, "\"max_tokens\":1,\"options\":{\"num_predict\":9000}", 9000, 0,
         "max_tokens is no word of Ollama's"},
        {HF_EP_OLLAMA_CHAT, "\"options\":{\"num_predict\":-1}", 0, 0, "no end"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char body[200];
        snprintf(body, sizeof(body), "{\"model\":\"a\",%s}", rows[i].more);
        struct hf_request_head h = peeked(rows[i].ep, body);
        if (h.max_tokens != rows[i].max_tokens || h.n_answers != rows[i].n_answers)
            fail_msg("%s: %s: %lld, %lld", rows[i].more, rows[i].why, (long long)h.max_tokens,
                     (long long)h.n_answers);
    }
}

/* A host's numbers are money: negative ones would fill a budget up again, huge ones overflow. */
static void test_usage_is_made_possible(void **state)
{
    (void)state;
    static const struct {
        enum hf_endpoint ep;
        const char *body;
        int64_t input;
        int64_t output;
    } rows[] = {
        {HF_EP_OLLAMA_CHAT,
         "{\"message\":{\"content\":\"x\"},\"done\":true,\"prompt_eval_count\":-7,"
         "\"eval_count\":9223372036854775807}",
         0, HF_TOKENS_SAID_MAX},
        {HF_EP_OPENAI_CHAT,
         "{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}],"
         "\"usage\":{\"prompt_tokens\":1e300,\"completion_tokens\":-1}}",
         HF_TOKENS_SAID_MAX, 0},
        {HF_EP_ANTHROPIC_MESSAGES,
         "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":"
         "\"x\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":-3,"
         "\"cache_read_input_tokens\":-9223372036854775808,\"output_tokens\":5}}",
         0, 5},
        {HF_EP_OPENAI_EMBEDDINGS,
         "{\"data\":[{\"embedding\":[1]}],\"usage\":{\"prompt_tokens\":-5}}", 0, 0},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_answer_options o = {
            .front = rows[i].ep, .upstream = rows[i].ep, .model = "m", .id = "i"};
        struct hf_answer *a = hf_answer_new(&o);
        struct hf_buf out;
        struct hf_err err = HF_ERR_INIT;
        assert_non_null(a);
        hf_buf_init(&out, 10000);
        assert_int_equal(
            hf_answer_feed(a, (const uint8_t *)rows[i].body, strlen(rows[i].body), 0, &out, &err),
            HF_OK);
        if (hf_answer_finish(a, 0, &out, &err) != HF_OK)
            fail_msg("row %zu: %s", i, err.text);
        assert_int_equal(hf_answer_state(a)->usage.input, rows[i].input);
        assert_int_equal(hf_answer_state(a)->usage.output, rows[i].output);
        hf_answer_free(a);
        hf_buf_deinit(&out);
    }
}

static void test_long_model(void **state)
{
    (void)state;
    char body[HF_MODEL_NAME + 40];
    struct hf_request_head h;
    int n = snprintf(body, sizeof(body), "{\"model\":\"%0*d\"}", HF_MODEL_NAME, 1);
    assert_int_equal(hf_request_peek(HF_EP_OPENAI_CHAT, body, (size_t)n, &h, NULL), HF_E_LIMIT);
}

/* What passes keeps every byte but the model's name, whatever else is in it. */
static void test_splice(void **state)
{
    (void)state;
    static const char body[] = "{\"x\": 1.50,\n \"model\":\"a\" ,\"y\":[ 1e2 ],\"x2\":\"\\u00e9\"}";
    static const char want[] =
        "{\"x\": 1.50,\n \"model\":\"s\\\"1\" ,\"y\":[ 1e2 ],\"x2\":\"\\u00e9\"}";
    struct hf_request_head h = peeked(HF_EP_OPENAI_CHAT, body);
    struct hf_target t = {.dialect = HF_DIALECT_OPENAI, .model = "s\"1"};
    struct hf_upstream_request up;
    struct hf_report report;
    struct hf_buf out;
    hf_buf_init(&out, 1000);
    assert_int_equal(hf_translate_request(&h, body, strlen(body), &t, &out, &up, &report, NULL),
                     HF_OK);
    assert_string_equal(hf_buf_str(&out), want);
    assert_true(up.is_same);
    assert_false(up.strips_usage);
    hf_buf_reset(&out);
    t.model = NULL;
    assert_int_equal(hf_translate_request(&h, body, strlen(body), &t, &out, &up, &report, NULL),
                     HF_OK);
    assert_string_equal(hf_buf_str(&out), body);
    hf_buf_deinit(&out);
}

/* One answer for the client, a stream from the upstream, so that it can be retried in the middle.
 */
static void test_force_stream(void **state)
{
    (void)state;
    static const char body[] = "{\"model\":\"a\",\"messages\":[],\"odd\":1}";
    struct hf_request_head h = peeked(HF_EP_OPENAI_CHAT, body);
    struct hf_target t = {.dialect = HF_DIALECT_OPENAI, .force_stream = true};
    struct hf_upstream_request up;
    struct hf_report report;
    struct hf_buf out;
    hf_buf_init(&out, 1000);
    assert_int_equal(hf_translate_request(&h, body, strlen(body), &t, &out, &up, &report, NULL),
                     HF_OK);
    assert_true(up.is_stream && up.strips_usage && up.is_same);
    assert_string_equal(hf_buf_str(&out),
                        "{\"model\":\"a\",\"messages\":[],\"odd\":1,\"stream\":true,"
                        "\"stream_options\":{\"include_usage\":true}}");
    /* A load has nothing to stream. */
    hf_buf_reset(&out);
    h = peeked(HF_EP_OLLAMA_CHAT, "{\"model\":\"a\",\"stream\":false}");
    t.dialect = HF_DIALECT_OLLAMA;
    assert_int_equal(hf_translate_request(&h, "{\"model\":\"a\",\"stream\":false}", 28, &t, &out,
                                          &up, &report, NULL),
                     HF_OK);
    assert_false(up.is_stream);
    hf_buf_deinit(&out);
}

static void test_output_limit(void **state)
{
    (void)state;
    static const char body[] =
        "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}";
    struct hf_request_head h = peeked(HF_EP_OPENAI_CHAT, body);
    for (int d = HF_DIALECT_OLLAMA; d <= HF_DIALECT_ANTHROPIC; d++) {
        struct hf_target t = {.dialect = (enum hf_dialect)d};
        struct hf_upstream_request up;
        struct hf_report report;
        struct hf_buf out;
        hf_buf_init(&out, 20);
        assert_int_equal(hf_buf_append(&out, "kept", 4, NULL), HF_OK);
        assert_int_equal(hf_translate_request(&h, body, strlen(body), &t, &out, &up, &report, NULL),
                         HF_E_LIMIT);
        assert_string_equal(hf_buf_str(&out), "kept");
        hf_buf_deinit(&out);
    }
}

/* Strings with NUL, and numbers at the edge, go through a translation unharmed. */
static void test_odd_values(void **state)
{
    (void)state;
    static const char body[] =
        "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"x\\u0000y\\u2028\"}],"
        "\"seed\":9007199254740993,\"temperature\":0.1,\"top_p\":1e-7}";
    struct hf_request_head h = peeked(HF_EP_OPENAI_CHAT, body);
    struct hf_target t = {.dialect = HF_DIALECT_OLLAMA};
    struct hf_upstream_request up;
    struct hf_report report;
    struct hf_buf out;
    hf_buf_init(&out, 1000);
    assert_int_equal(hf_translate_request(&h, body, strlen(body), &t, &out, &up, &report, NULL),
                     HF_OK);
    const char *text = hf_buf_str(&out);
    assert_non_null(strstr(text, "\"x\\u0000y\xe2\x80\xa8\""));
    assert_non_null(strstr(text, "\"seed\":9007199254740993"));
    assert_non_null(strstr(text, "\"temperature\":0.1,"));
    assert_non_null(strstr(text, "\"top_p\":1e-07"));
    hf_buf_deinit(&out);
}

static void test_limits(void **state)
{
    (void)state;
    struct hf_buf body, out;
    struct hf_upstream_request up;
    struct hf_report report;
    struct hf_target t = {.dialect = HF_DIALECT_ANTHROPIC};
    hf_buf_init(&body, HF_LIMIT_ANSWER);
    hf_buf_init(&out, HF_LIMIT_ANSWER);
    assert_int_equal(hf_buf_appendf(&body, NULL, "{\"model\":\"a\",\"messages\":["), HF_OK);
    for (int i = 0; i <= HF_LIMIT_MESSAGES; i++)
        assert_int_equal(hf_buf_appendf(&body, NULL, "%s{\"role\":\"user\",\"content\":\"x\"}",
                                        i > 0 ? "," : ""),
                         HF_OK);
    assert_int_equal(hf_buf_appendf(&body, NULL, "]}"), HF_OK);
    struct hf_request_head h = peeked(HF_EP_OPENAI_CHAT, hf_buf_str(&body));
    assert_int_equal(
        hf_translate_request(&h, (const char *)body.data, body.len, &t, &out, &up, &report, NULL),
        HF_E_LIMIT);
    hf_buf_deinit(&body);
    hf_buf_deinit(&out);
}

/* The bound holds for a token a byte. Images are none of it, but only where images can be: a long
 * word in a text would otherwise be a way past a budget. */
static void test_estimate(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        int images; /* of two runs; the rest is text */
    } rows[] = {
        {"[{\"type\":\"image_url\",\"image_url\":{\"url\" : \"data:image/png;base64,%s\"}},%s", 1},
        {"\"image_url\":\"data:image/png;base64,%s\",\"url\":\"data:image/x;base64,%s\"", 2},
        {"\"source\":{\"media_type\":\"image/png\",\"data\":\"%s\"},\"data\":\"%s\"", 2},
        {"\"images\" : [ \"%s\" , \"%s\" ]", 2},
        {"\"file_data\":\"data:image/png;base64,%s\",\"input\":[\"%s\"]", 1},
        {"\"content\":\"%s\",\"text\":\"data:image/png;base64,%s\"", 0},
        {"\"text\":\"\\\"data\\\":\\\"%s \\\"images\\\":[\\\"%s\"", 0},
        {"%s,%s", 0},
        {"\"file_data\":\"x;base64,%s\",\"images\":\"%s\"", 0},
    };
    enum { RUN = 20000 };
    char *run = hf_malloc(RUN + 1);
    char *body = hf_malloc(3 * RUN);
    memset(run, 'A', RUN);
    memcpy(run, "iVBORw0KGgo", 11);
    run[RUN] = '\0';
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        size_t len = (size_t)snprintf(body, 3 * RUN, rows[i].format, run, run);
        int64_t text = (2 - rows[i].images) * RUN, image = rows[i].images * 5250;
        int64_t bound = hf_request_bound_tokens(body, len);
        if (bound < text + image || bound > text + image + 200)
            fail_msg("row %zu: %lld", i, (long long)bound);
        int64_t estimate = hf_request_estimate_tokens(body, len);
        assert_in_range(estimate, bound * 2 / 7 - 1, bound * 2 / 7 + 1);
    }
    hf_free(run);
    hf_free(body);
    assert_int_equal(hf_request_estimate_tokens("", 0), 1);
    assert_in_range(hf_request_estimate_tokens("The quick brown fox jumps over it.", 34), 8, 12);
    assert_int_equal(hf_request_bound_tokens("", 0), 1);
    assert_int_equal(hf_request_bound_tokens("\xe4\xbd\xa0\xe5\xa5\xbd", 6), 7);
}

/* What it is its first bytes tell, whatever type the client says it is of. */
static void test_media_are_bounded(void **state)
{
    (void)state;
    enum { RUN = 640000, SHORT = 20000 };
    static const struct {
        const char *begin;
        int64_t most;
        int64_t most_short;
    } rows[] = {
        {"iVBORw0KGgo", 5250, 5250},
        {"/9j/4AAQ", 5250, 5250},
        {"R0lGODlh", 5250, 5250},
        {"UklGRgECAwRXRUJQVlA4", 5250, 5250},
        {"UklGRv////9XQVZFZm10", RUN / 64 + 1, SHORT / 64 + 1},
        {"//uQ", RUN / 64 + 1, SHORT / 64 + 1},
        {"SUQz", RUN / 64 + 1, SHORT / 64 + 1},
        {"JVBERi0x", 300000, SHORT},
        {"UEsDBBQA", RUN, SHORT}, /* a zip: whatever a host makes of it */
    };
    char *run = hf_malloc(RUN);
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        memset(run, 'A', RUN);
        memcpy(run, rows[i].begin, strlen(rows[i].begin));
        assert_int_equal(hf_media_bound(run, RUN), rows[i].most);
        assert_int_equal(hf_media_bound(run, SHORT), rows[i].most_short);
    }
    assert_int_equal(hf_media_bound("UklG", 4), 4);
    hf_free(run);
}

static void test_links_are_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int64_t most;
    } rows[] = {
        {"", 0},
        {"{\"url\"", 0},
        {"{\"url\":", 0},
        {"{\"url\":\"https://a/b.png\"}", 5250},
        {"{\"image_url\" : \n{\"url\" : \"https://a/b.png\"}}", 5250},
        {"{\"image_url\":\"https://a/b.png\",\"url\":\"ftp://x\"}", 10500},
        {"{\"url\":\"data:image/png;base64,AAAA\"}", 0},
        {"{\"text\":\"\\\"url\\\":\\\"https://a/b.png\\\"\"}", 0},
        {"{\"properties\":{\"url\":{\"type\":\"string\"}}}", 0},
        {"{\"file_id\":\"f-1\",\"file_url\":\"https://a/b.pdf\"}", 600000},
        {"{\"type\":\"document\",\"source\":{\"type\":\"url\",\"url\":\"https://a\"}}", 300000},
        {"{\"video_url\":{\"url\":\"https://a/b.mp4\"}}", 300000},
        {"{\"file_data\":\"https://a/b.pdf\"}", 300000},
        {"{\"file_data\":\"data:application/pdf;base64,JVBE\"}", 0},
        /* Hosts read keys without their escapes. */
        {"{\"\\u0075rl\":\"https://a/b.png\"}", 5250},
        {"{\"type\":\"docum\\u0065nt\",\"url\":\"\\u0064ata:https://a\"}", 300000},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        bool has_text = true;
        int64_t most = hf_media_bound_of_links(rows[i].body, strlen(rows[i].body), &has_text);
        if (most != rows[i].most || has_text)
            fail_msg("%s", rows[i].body);
    }
}

/* A text may begin as an image does, and costs what a text does. */
static void test_texts_are_no_media(void **state)
{
    (void)state;
    enum { RUN = 20000 };
    static const struct {
        const char *before;
        const char *behind;
        bool is_text;
    } rows[] = {
        {"{\"media_type\":\"image/png\",\"data\":\"", "\"}", false},
        {"{\"media_type\":\"text/plain\",\"data\":\"", "\"}", true},
        {"{\"data\":\"", "\",\"media_type\":\"Text\\/pl\\u0061in\"}", true},
        {"{\"url\":\"data:image/png;base64,", "\"}", false},
        {"{\"enum\":[\"text/plain\"],\"images\":[\"", "\"]}", false},
        {"{\"file_data\":\"data:text/plain;base64,", "\"}", true},
        {"{\"file_data\":\"data:te\\u0078t/plain;base64,", "\"}", true},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char run[RUN + 1];
        memset(run, 'A', RUN);
        memcpy(run, "iVBORw0KGgo", 11);
        run[RUN] = '\0';
        char *body = hf_concat(rows[i].before, run, rows[i].behind);
        if ((hf_request_bound_tokens(body, strlen(body)) > RUN) != rows[i].is_text)
            fail_msg("row %zu", i);
        hf_free(body);
    }
}

static void test_report_is_bounded(void **state)
{
    (void)state;
    struct hf_buf body, out;
    struct hf_upstream_request up;
    struct hf_report report;
    struct hf_target t = {.dialect = HF_DIALECT_OLLAMA};
    hf_buf_init(&body, HF_MIB);
    hf_buf_init(&out, HF_MIB);
    assert_int_equal(hf_buf_appendf(&body, NULL, "{\"model\":\"a\",\"messages\":[]"), HF_OK);
    for (int i = 0; i < 500; i++)
        assert_int_equal(hf_buf_appendf(&body, NULL, ",\"field-%d\":1", i), HF_OK);
    assert_int_equal(hf_buf_appendf(&body, NULL, "}"), HF_OK);
    struct hf_request_head h = peeked(HF_EP_OPENAI_CHAT, hf_buf_str(&body));
    assert_int_equal(
        hf_translate_request(&h, (const char *)body.data, body.len, &t, &out, &up, &report, NULL),
        HF_OK);
    assert_int_equal(report.n_dropped, 500);
    assert_true(strlen(report.dropped) < HF_REPORT_TEXT);
    assert_non_null(strstr(report.dropped, "field-0, field-1, "));
    hf_buf_deinit(&body);
    hf_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_peek),
        cmocka_unit_test(test_peek_refuses),
        cmocka_unit_test(test_peek_counts),
        cmocka_unit_test(test_usage_is_made_possible),
        cmocka_unit_test(test_long_model),
        cmocka_unit_test(test_splice),
        cmocka_unit_test(test_force_stream),
        cmocka_unit_test(test_output_limit),
        cmocka_unit_test(test_odd_values),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_estimate),
        cmocka_unit_test(test_media_are_bounded),
        cmocka_unit_test(test_links_are_bounded),
        cmocka_unit_test(test_texts_are_no_media),
        cmocka_unit_test(test_report_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
