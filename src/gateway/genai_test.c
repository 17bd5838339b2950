/* What one request adds to its histograms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/genai.h"

static void test_a_stream(void **state)
{
    struct hf_genai g;
    struct hf_usage usage = {.is_known = true, .input = 300, .output = 11};
    struct hf_genai_sample s = {
        .start_ms = 1000, .sent_ms = 1500, .first_token_ms = 1700, .end_ms = 2700, .usage = &usage};
    (void)state;
    memset(&g, 0, sizeof(g));
    hf_genai_add(&g, &s);
    assert_int_equal(g.duration.count, 1);
    assert_int_equal(g.duration.counts[8], 1);    /* 1.7 s: up to 2.56 */
    assert_int_equal(g.first_token.counts[8], 1); /* 0.2 s of its own try: up to 0.25 */
    assert_int_equal(g.per_token.counts[4], 1);   /* 1 s over 10 tokens: up to 0.1 */
    assert_int_equal(g.input.counts[5], 1);       /* up to 1024 */
    assert_true(g.input.sum == 300 && g.output.sum == 11);
}

static void test_what_is_not_known_is_not_counted(void **state)
{
    struct hf_genai g;
    struct hf_usage usage = {.is_known = false};
    struct hf_genai_sample s = {
        .start_ms = 1000, .sent_ms = 1000, .end_ms = 900000, .usage = &usage};
    (void)state;
    memset(&g, 0, sizeof(g));
    hf_genai_add(&g, &s);
    assert_int_equal(g.duration.counts[HF_GENAI_BUCKETS], 1); /* beyond all bounds */
    assert_int_equal(g.first_token.count + g.per_token.count + g.input.count + g.output.count, 0);
}

static void test_operations(void **state)
{
    (void)state;
    assert_int_equal(hf_genai_op(HF_EP_ANTHROPIC_MESSAGES), HF_GENAI_CHAT);
    assert_int_equal(hf_genai_op(HF_EP_OLLAMA_GENERATE), HF_GENAI_COMPLETION);
    assert_int_equal(hf_genai_op(HF_EP_OPENAI_EMBEDDINGS), HF_GENAI_EMBEDDINGS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream),
        cmocka_unit_test(test_what_is_not_known_is_not_counted),
        cmocka_unit_test(test_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
