#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "gateway/translate.h"

static const struct {
    enum hf_dialect d;
    int status;
    const char *body;
    enum hf_api_class want;
    const char *text;
} class_rows[] = {
    {HF_DIALECT_OLLAMA, 404, "{\"error\":\"model 'x' not found\"}", HF_API_MODEL,
     "model 'x' not found"},
    {HF_DIALECT_OLLAMA, 404, "{\"error\":\"model \\\"x\\\" not found, try pulling it first\"}",
     HF_API_MODEL, "try pulling"},
    {HF_DIALECT_OLLAMA, 503,
     "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}",
     HF_API_BUSY, "server busy"},
    {HF_DIALECT_OLLAMA, 403, "", HF_API_AUTH, "403 without a reason"},
    {HF_DIALECT_OLLAMA, 500, "{\"error\":\"llama runner process has terminated\"}", HF_API_SERVER,
     "llama runner"},
    {HF_DIALECT_OLLAMA, 400, "{\"error\":\"invalid options\"}", HF_API_INVALID, "invalid"},
    {HF_DIALECT_OLLAMA, 400, "{\"error\":\"the input length exceeds the context length\"}",
     HF_API_CONTEXT, "context"},
    {HF_DIALECT_OPENAI, 429,
     "{\"error\":{\"message\":\"You exceeded\",\"type\":\"insufficient_quota\","
     "\"param\":null,\"code\":\"insufficient_quota\"}}",
     HF_API_BILLING, "You exceeded"},
    {HF_DIALECT_OPENAI, 429,
     "{\"error\":{\"message\":\"Rate limit\",\"type\":\"requests\","
     "\"code\":\"rate_limit_exceeded\"}}",
     HF_API_RATE, "Rate"},
    {HF_DIALECT_OPENAI, 400,
     "{\"error\":{\"message\":\"maximum\",\"type\":\"invalid_request_error\","
     "\"code\":\"context_length_exceeded\"}}",
     HF_API_CONTEXT, "maximum"},
    {HF_DIALECT_OPENAI, 400,
     "{\"error\":{\"code\":400,\"message\":\"the request exceeds the available context size\","
     "\"type\":\"exceed_context_size_error\"}}",
     HF_API_CONTEXT, "exceeds"},
    {HF_DIALECT_OPENAI, 404,
     "{\"error\":{\"message\":\"The model `x` does not exist\",\"code\":\"model_not_found\"}}",
     HF_API_MODEL, "does not exist"},
    {HF_DIALECT_OPENAI, 401, "{\"error\":{\"message\":\"no key\"}}", HF_API_AUTH, "no key"},
    {HF_DIALECT_OPENAI, 402, "{\"error\":\"credit is used up\"}", HF_API_BILLING, "credit"},
    {HF_DIALECT_OPENAI, 502, "<html>Bad Gateway</html>", HF_API_SERVER, "502 without"},
    {HF_DIALECT_OPENAI, 504, "upstream request timeout", HF_API_TIMEOUT, "upstream request"},
    {HF_DIALECT_OPENAI, 200, "{\"error\":{\"message\":\"x\",\"code\":429}}", HF_API_RATE, "x"},
    {HF_DIALECT_OPENAI, 422, "{\"error\":{\"message\":\"x\"}}", HF_API_INVALID, "x"},
    {HF_DIALECT_ANTHROPIC, 529,
     "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"O\"}}",
     HF_API_BUSY, "O"},
    {HF_DIALECT_ANTHROPIC, 404,
     "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"model: x\"}}",
     HF_API_MODEL, "model: x"},
    {HF_DIALECT_ANTHROPIC, 400,
     "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
     "\"message\":\"prompt is too long: 9 tokens > 8 maximum\"}}",
     HF_API_CONTEXT, "too long"},
    {HF_DIALECT_ANTHROPIC, 429,
     "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"m\","
     "\"details\":{\"code\":\"enforced_spend_limit_reached\"}}}",
     HF_API_BILLING, "m"},
    {HF_DIALECT_ANTHROPIC, 413, "{\"error\":{\"type\":\"request_too_large\"}}", HF_API_TOO_LARGE,
     "413"},
    {HF_DIALECT_ANTHROPIC, 200,
     "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"O\"}}",
     HF_API_BUSY, "O"},
};

static void test_classes(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(class_rows); i++) {
        struct hf_api_error e;
        hf_api_error_parse(class_rows[i].d, class_rows[i].status, class_rows[i].body,
                           strlen(class_rows[i].body), &e);
        if (e.kind != class_rows[i].want || strstr(e.text, class_rows[i].text) == NULL)
            fail_msg("%d %s: %s, %s", class_rows[i].status, class_rows[i].body,
                     hf_api_class_word(e.kind), e.text);
    }
}

static void test_shapes(void **state)
{
    (void)state;
    struct hf_api_error e;
    struct hf_buf out;
    hf_api_error_set(&e, HF_API_BUSY, "all %d hosts are \"busy\"", 2);
    hf_buf_init(&out, 1000);
    assert_int_equal(hf_api_error_write(HF_DIALECT_OLLAMA, &e, "r", &out, NULL), HF_OK);
    assert_string_equal(hf_buf_str(&out), "{\"error\":\"all 2 hosts are \\\"busy\\\"\"}");
    hf_buf_reset(&out);
    assert_int_equal(hf_api_error_write(HF_DIALECT_OPENAI, &e, "r", &out, NULL), HF_OK);
    assert_string_equal(hf_buf_str(&out),
                        "{\"error\":{\"message\":\"all 2 hosts are \\\"busy\\\"\",\"type\":"
                        "\"api_error\",\"param\":null,\"code\":null}}");
    hf_buf_reset(&out);
    assert_int_equal(hf_api_error_write(HF_DIALECT_ANTHROPIC, &e, "r", &out, NULL), HF_OK);
    assert_string_equal(hf_buf_str(&out),
                        "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":"
                        "\"all 2 hosts are \\\"busy\\\"\"},\"request_id\":\"r\"}");
    assert_int_equal(hf_api_error_status(HF_DIALECT_OLLAMA, &e), 503);
    assert_int_equal(hf_api_error_status(HF_DIALECT_OPENAI, &e), 503);
    assert_int_equal(hf_api_error_status(HF_DIALECT_ANTHROPIC, &e), 529);
    hf_buf_deinit(&out);
}

/* A client's status tells what the upstream's told, where the dialects agree on it. */
static void test_status_is_kept(void **state)
{
    (void)state;
    static const int same[] = {400, 401, 402, 403, 404, 409, 413, 422, 429, 500, 504};
    for (size_t i = 0; i < HF_ARRAY_LEN(same); i++) {
        struct hf_api_error e;
        hf_api_error_parse(HF_DIALECT_OPENAI, same[i], "{}", 2, &e);
        assert_int_equal(hf_api_error_status(HF_DIALECT_OLLAMA, &e), same[i]);
        assert_int_equal(hf_api_error_status(HF_DIALECT_ANTHROPIC, &e), same[i]);
    }
}

static void test_long_text(void **state)
{
    (void)state;
    static const char head[] = {'{', '"', 'e', 'r', 'r', 'o', 'r', '"', ':', '"'};
    static const char accent[] = {'\xc3', '\xa9'}, tail[] = {'"', '}'};
    char body[3000];
    struct hf_api_error e;
    memset(body, 'x', sizeof(body));
    memcpy(body, head, sizeof(head));
    /* The cut falls into a two-byte character. */
    memcpy(body + sizeof(head) + HF_API_TEXT - 2, accent, sizeof(accent));
    memcpy(body + sizeof(body) - sizeof(tail), tail, sizeof(tail));
    hf_api_error_parse(HF_DIALECT_OLLAMA, 500, body, sizeof(body), &e);
    assert_int_equal(strlen(e.text), HF_API_TEXT - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_status_is_kept),
        cmocka_unit_test(test_long_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
