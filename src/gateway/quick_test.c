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

#include "base/mem.h"
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
    {HF_EP_OPENAI_CHAT, "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}", ""},
    {HF_EP_OPENAI_CHAT,
     "{\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"length\"}],\"model\":\"m\"}",
     "x"},
    {HF_EP_OPENAI_CHAT, "{\"choices\":[{\"delta\":{},\"finish_reason\":\"eos\"}]}", NULL},
    {HF_EP_OPENAI_CHAT, "{\"choices\":[{\"delta\":{},\"finish_reason\":7}]}", NULL},
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
    {HF_EP_OLLAMA_CHAT,
     "{\"created_at\":\"2026-01-01T00:00:00.1Z\",\"model\":\"m\",\"message\":{\"content\":\"x\"},"
     "\"done\":false}",
     "x"},
    {HF_EP_OLLAMA_CHAT,
     "{\"message\":{\"content\":\"x\"},\"created_at\":\"2026-01-01T00:00:00Z\",\"done\":false,"
     "\"model\":\"m\"}",
     "x"},
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
        struct hf_quick_shape s;
        struct hf_quick q;
        hf_quick_shape_init(&s);
        bool is_quick = hf_quick_event(&s, e->ep, e->text, strlen(e->text), &q);
        hf_quick_shape_deinit(&s);
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

/* ---- one event behind another ---- */

static void same_value(const struct hf_jsonscan_value *a, const struct hf_jsonscan_value *b,
                       const char *why)
{
    bool is_text = a->kind == HF_JSON_STRING;
    if (is_text != (b->kind == HF_JSON_STRING) ||
        (is_text && (a->text != b->text || a->len != b->len)))
        fail_msg("%s", why);
}

/* What is said of an event does not depend on what came before it. */
static void same_alone(struct hf_quick_shape *s, enum hf_endpoint ep, const char *text, size_t len)
{
    struct hf_quick_shape none;
    struct hf_quick q, alone;
    hf_quick_shape_init(&none);
    bool is_alone = hf_quick_event(&none, ep, text, len, &alone);
    if (hf_quick_event(s, ep, text, len, &q) != is_alone)
        fail_msg("alone %d: %.*s", is_alone, (int)len, text);
    if (is_alone) {
        same_value(&q.piece, &alone.piece, text);
        same_value(&q.model, &alone.model, text);
        same_value(&q.time, &alone.time, text);
        assert_int_equal(q.finish, alone.finish);
    }
    hf_quick_shape_deinit(&none);
}

/* The text with the only x in a string of its own replaced; false if it has none. */
static bool with_piece(const char *text, const char *piece, char *out, size_t cap)
{
    const char *at = strstr(text, "\"x\"");
    if (at == NULL)
        return false;
    int n = snprintf(out, cap, "%.*s%s%s", (int)(at + 1 - text), text, piece, at + 2);
    assert_true(n > 0 && (size_t)n < cap);
    return true;
}

static void test_behind_each_other(void **state)
{
    static const char *const pieces[] = {"x",        "",      "longer than a word of eight",
                                         "a\\nb",    "\\u41", "\\u0041",
                                         "a\"b",     "\xff",  "\t",
                                         "\xc3\xa4", "\\",    "x\",\"model\":\"other"};
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(events); i++) {
        for (size_t k = 0; k < HF_ARRAY_LEN(events); k++) {
            const struct event_row *e = &events[i];
            struct hf_quick_shape s;
            struct hf_quick q;
            char text[512];
            hf_quick_shape_init(&s);
            (void)hf_quick_event(&s, e->ep, e->text, strlen(e->text), &q);
            for (size_t p = 0; p < HF_ARRAY_LEN(pieces); p++) {
                if (events[k].ep == e->ep &&
                    with_piece(events[k].text, pieces[p], text, sizeof(text)))
                    same_alone(&s, e->ep, text, strlen(text));
            }
            hf_quick_shape_deinit(&s);
        }
    }
}

/* Every event, cut and with every byte changed, behind the whole one. */
static void test_behind_itself_damaged(void **state)
{
    static const char marks[] = {'"', '\\', '{', 'x', '\0', '\n', ','};
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(events); i++) {
        const struct event_row *e = &events[i];
        size_t len = strlen(e->text);
        for (size_t at = 0; at < len; at++) {
            struct hf_quick_shape s;
            struct hf_quick q;
            char *text = hf_strdup(e->text); /* exactly as long: reads beyond it show */
            hf_quick_shape_init(&s);
            (void)hf_quick_event(&s, e->ep, e->text, len, &q);
            same_alone(&s, e->ep, text, at);
            for (size_t m = 0; m < sizeof(marks); m++) {
                text[at] = marks[m];
                same_alone(&s, e->ep, text, len);
            }
            hf_quick_shape_deinit(&s);
            hf_free(text);
        }
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events), cmocka_unit_test(test_behind_each_other),
        cmocka_unit_test(test_behind_itself_damaged), cmocka_unit_test(test_edits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
