/*
 * Two short cuts beside the tree: events that are a piece of text, and bodies that are changed
 * where they lie. Both must say what the tree says, or leave it to the tree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/translate_json.h"
#include "gateway/translate_quick.h"

struct event_row {
    enum hf_endpoint ep;
    const char *text;
    const char *piece; /* as it is written; NULL: left to the tree; "": no text */
};

static const struct event_row events[] = {
    {HF_EP_OPENAI_CHAT,
     "{\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":"
     "\"Hold\"},\"finish_reason\":null}],\"usage\":null}",
     "Hold"},
    {HF_EP_OPENAI_CHAT, "{\"choices\":[{\"delta\":{\"content\":\"a\\\"b\"}}]}", "a\\\"b"},
    {HF_EP_OPENAI_CHAT, "{\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}", ""},
    {HF_EP_OPENAI_COMPLETIONS, "{\"choices\":[{\"index\":0,\"text\":\"x\"}]}", "x"},
    {HF_EP_OPENAI_CHAT, "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}", NULL},
    {HF_EP_OPENAI_CHAT, "{\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":{}}", NULL},
    {HF_EP_OPENAI_CHAT, "{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"x\"}}]}", NULL},
    {HF_EP_OPENAI_CHAT, "{\"choices\":[{\"delta\":{\"content\":\"x\"}},{\"index\":1}]}", NULL},
    {HF_EP_OPENAI_CHAT, "{\"choices\":[{\"delta\":{\"tool_calls\":[]}}]}", NULL},
    {HF_EP_OPENAI_CHAT, "{\"choices\":[{\"delta\":{\"reasoning\":\"x\"}}]}", NULL},
    {HF_EP_OPENAI_CHAT, "{\"choices\":[{\"delta\":{\"content\":\"\\u0000\"}}]}", NULL},
    {HF_EP_OPENAI_CHAT, "{\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"error\":{}}", NULL},
    {HF_EP_OPENAI_CHAT, "{\"choices\":[{\"delta\":{\"content\":\"x\",\"content\":\"y\"}}]}", NULL},
    {HF_EP_OPENAI_CHAT, "{\"choices\":[{\"delta\":{\"content\":\"x\"}}]", NULL},
    {HF_EP_OPENAI_CHAT, "[DONE]", NULL},
    {HF_EP_OLLAMA_CHAT,
     "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"x\"},\"done\":false}",
     "x"},
    {HF_EP_OLLAMA_GENERATE, "{\"model\":\"m\",\"response\":\"x\",\"done\":false}", "x"},
    {HF_EP_OLLAMA_CHAT, "{\"message\":{\"content\":\"x\"},\"done\":true}", NULL},
    {HF_EP_OLLAMA_CHAT, "{\"message\":{\"content\":\"x\"}}", NULL},
    {HF_EP_OLLAMA_CHAT, "{\"error\":\"x\",\"done\":false}", NULL},
    {HF_EP_OLLAMA_CHAT, "{\"message\":{\"content\":\"\",\"thinking\":\"x\"},\"done\":false}", NULL},
    {HF_EP_ANTHROPIC_MESSAGES,
     "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
     "\"text\":\"x\"}}",
     "x"},
    {HF_EP_ANTHROPIC_MESSAGES,
     "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":"
     "\"x\"}}",
     NULL},
    {HF_EP_ANTHROPIC_MESSAGES, "{\"type\":\"message_stop\"}", NULL},
};

static void test_events(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(events); i++) {
        const struct event_row *e = &events[i];
        struct hf_quick q;
        bool is_quick = hf_quick_event(e->ep, e->text, strlen(e->text), &q);
        if (is_quick != (e->piece != NULL))
            fail_msg("row %zu: %s", i, e->text);
        if (!is_quick)
            continue;
        assert_int_equal(q.piece.kind, e->piece[0] == '\0' ? HF_JSON_ABSENT : HF_JSON_STRING);
        if (e->piece[0] == '\0')
            continue;
        assert_int_equal(q.piece.len, strlen(e->piece) + 2);
        assert_memory_equal(q.piece.text + 1, e->piece, strlen(e->piece));
    }
}

struct edit_row {
    const char *body;
    bool is_forced;
    const char *want; /* NULL: left to the tree */
};

static const struct edit_row edits[] = {
    {"{\"model\":\"a\",\"messages\":[]}", false, "{\"model\":\"served\",\"messages\":[]}"},
    {"{\"model\":\"a\",\"messages\":[]}\n", true,
     "{\"model\":\"served\",\"messages\":[],\"stream\":true,\"stream_options\":{\"include_usage\":"
     "true}}\n"},
    {"{\"stream\":false,\"model\":\"a\"}", true,
     "{\"stream\":true,\"model\":\"served\",\"stream_options\":{\"include_usage\":true}}"},
    {"{\"stream\":true,\"stream_options\":null,\"model\":\"a\"}", false,
     "{\"stream\":true,\"stream_options\":{\"include_usage\":true},\"model\":\"served\"}"},
    {"{\"stream\":true,\"stream_options\":{\"include_usage\":true},\"model\":\"a\"}", false,
     "{\"stream\":true,\"stream_options\":{\"include_usage\":true},\"model\":\"served\"}"},
    {"{\"stream\":true,\"stream_options\":{\"x\":1},\"model\":\"a\"}", false, NULL},
};

static void one_edit(const struct edit_row *row)
{
    struct hf_request_head h;
    struct hf_body_edits e;
    struct hf_upstream_request up;
    struct hf_buf out;
    struct hf_target t = {
        .dialect = HF_DIALECT_OPENAI, .model = "served", .force_stream = row->is_forced};
    assert_int_equal(hf_request_peek(HF_EP_OPENAI_CHAT, row->body, strlen(row->body), &h, NULL),
                     HF_OK);
    bool is_edited = hf_translate_edits(&h, row->body, &t, &e, &up);
    assert_int_equal(is_edited, row->want != NULL);
    if (!is_edited)
        return;
    hf_buf_init(&out, 1000);
    struct hf_tw w = {&out, false};
    hf_body_edits_write(&e, row->body, strlen(row->body), &w);
    assert_string_equal(hf_buf_str(&out), row->want);
    /* A second host gets another name: the spans are right, and nothing is put in twice. */
    hf_body_edits_done(&e, &h);
    t.model = "b\"2";
    assert_true(hf_translate_edits(&h, row->want, &t, &e, &up));
    assert_int_equal(e.n, 1);
    assert_memory_equal(row->want + e.list[0].at, "\"served\"", e.list[0].len);
    assert_string_equal(e.list[0].text, "\"b\\\"2\"");
    assert_int_equal(row->want[h.object_end], '}');
    hf_buf_deinit(&out);
}

static void test_edits(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(edits); i++)
        one_edit(&edits[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_events), cmocka_unit_test(test_edits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
