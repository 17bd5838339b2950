#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "gateway/models.h"

static const char TAGS[] =
    "{\"models\":[{\"name\":\"llama3.2:latest\",\"model\":\"llama3.2:latest\","
    "\"modified_at\":\"2026-11-22T10:00:00.5+01:00\",\"size\":2019393189,\"digest\":\"a80c\","
    "\"details\":{\"family\":\"llama\",\"parameter_size\":\"3.2B\"},\"capabilities\":[\"tools\"]},"
    "{\"name\":\"big:cloud\",\"size\":1},{\"name\":\"x\",\"remote_host\":\"https://o\"},"
    "{\"size\":7},{\"name\":\"LLAMA3.2\"}]}";

static void test_tags(void **state)
{
    (void)state;
    struct hf_models m;
    assert_int_equal(hf_models_parse(HF_DIALECT_OLLAMA, TAGS, strlen(TAGS), &m, NULL), HF_OK);
    assert_int_equal(m.n, 3);
    assert_string_equal(m.list[0].name, "llama3.2:latest");
    assert_int_equal(m.list[0].size, 2019393189);
    assert_int_equal(m.list[0].created_s, 1795338000);
    assert_string_equal(m.list[0].details, "{\"family\":\"llama\",\"parameter_size\":\"3.2B\"}");
    assert_false(m.list[0].is_remote);
    assert_true(m.list[1].is_remote && m.list[2].is_remote);
    assert_non_null(hf_models_find(&m, "Llama3.2"));
    assert_null(hf_models_find(&m, "llama3.2:1b"));
    hf_models_deinit(&m);
}

/* What is written for a dialect reads back as the same list. */
static void test_there_and_back(void **state)
{
    (void)state;
    static const struct {
        enum hf_model_list form;
        enum hf_dialect d;
    } rows[] = {{HF_LIST_TAGS, HF_DIALECT_OLLAMA},
                {HF_LIST_PS, HF_DIALECT_OLLAMA},
                {HF_LIST_OPENAI, HF_DIALECT_OPENAI},
                {HF_LIST_ANTHROPIC, HF_DIALECT_ANTHROPIC}};
    struct hf_models m, again;
    assert_int_equal(hf_models_parse(HF_DIALECT_OLLAMA, TAGS, strlen(TAGS), &m, NULL), HF_OK);
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_buf out;
        hf_buf_init(&out, HF_MIB);
        assert_int_equal(hf_models_write(rows[i].form, &m, &out, NULL), HF_OK);
        assert_int_equal(hf_models_parse(rows[i].d, hf_buf_str(&out), out.len, &again, NULL),
                         HF_OK);
        assert_int_equal(again.n, m.n);
        for (size_t k = 0; k < m.n; k++)
            assert_string_equal(again.list[k].name, m.list[k].name);
        if (rows[i].form != HF_LIST_PS)
            assert_int_equal(again.list[0].created_s, m.list[0].created_s);
        hf_models_deinit(&again);
        hf_buf_reset(&out);
        assert_int_equal(hf_model_write(rows[i].form, &m.list[0], &out, NULL), HF_OK);
        assert_int_equal(hf_json_check(hf_buf_str(&out), out.len, NULL), HF_OK);
        hf_buf_deinit(&out);
    }
    hf_models_deinit(&m);
}

static void test_shapes(void **state)
{
    (void)state;
    static const struct {
        enum hf_dialect d;
        const char *body;
        enum hf_code rc;
        size_t n;
    } rows[] = {
        {HF_DIALECT_OLLAMA, "{\"models\":[]}", HF_OK, 0},
        {HF_DIALECT_OLLAMA, "{\"models\":null}", HF_OK, 0},
        {HF_DIALECT_OLLAMA, "{\"error\":\"x\"}", HF_E_CORRUPT, 0},
        {HF_DIALECT_OLLAMA, "{\"models\":[{\"name\":\"a\"}", HF_E_CORRUPT, 0},
        {HF_DIALECT_OPENAI, "{\"object\":\"list\",\"data\":[{\"id\":\"a\"},{\"id\":\"b\"}]}", HF_OK,
         2},
        {HF_DIALECT_OPENAI, "[{\"id\":\"meta-llama/L\"},{\"id\":\"x\"}]", HF_OK, 2},
        {HF_DIALECT_ANTHROPIC,
         "{\"data\":[{\"type\":\"model\",\"id\":\"c\",\"created_at\":\"2026-01-01T00:00:00Z\"}]}",
         HF_OK, 1},
        {HF_DIALECT_OPENAI, "Bad Gateway", HF_E_CORRUPT, 0},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_models m = {NULL, 0};
        assert_int_equal(hf_models_parse(rows[i].d, rows[i].body, strlen(rows[i].body), &m, NULL),
                         rows[i].rc);
        assert_int_equal(m.n, rows[i].n);
        hf_models_deinit(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
