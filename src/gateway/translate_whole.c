/*
 * Whole answers for clients that do not stream, made of the blocks that were collected.
 */
#include <string.h>

#include "gateway/translate_answer.h"

static void joined(struct hf_answer *a, enum hf_block_kind kind)
{
    hf_tw_raw(&a->w, "\"");
    for (size_t i = 0; i < a->n_blocks; i++) {
        const struct hf_block *b = &a->blocks[i];
        if (b->kind == kind && b->text.len > 0)
            hf_tw_escaped(&a->w, (const char *)b->text.data, b->text.len);
    }
    hf_tw_raw(&a->w, "\"");
}

static bool has(const struct hf_answer *a, enum hf_block_kind kind)
{
    for (size_t i = 0; i < a->n_blocks; i++)
        if (a->blocks[i].kind == kind)
            return true;
    return false;
}

static void text_of(struct hf_answer *a, const struct hf_buf *text)
{
    hf_tw_str(&a->w, text->len == 0 ? "" : (const char *)text->data, text->len);
}

/* ---- OpenAI -----------------------------------------------------------------------------------
 */

static void openai_head(struct hf_answer *a, const char *prefix, const char *object)
{
    hf_tw_raw(&a->w, "{\"id\":\"");
    hf_tw_raw(&a->w, prefix);
    hf_tw_escaped(&a->w, a->id, strlen(a->id));
    hf_tw_raw(&a->w, "\",\"object\":");
    hf_tw_cstr(&a->w, object);
    hf_tw_raw(&a->w, ",\"created\":");
    hf_tw_i64(&a->w, a->opt.started_ms / 1000);
    hf_tw_raw(&a->w, ",\"model\":");
    hf_write_model(a);
    hf_tw_raw(&a->w, ",\"choices\":[{\"index\":0,");
}

static void openai_tail(struct hf_answer *a)
{
    hf_tw_raw(&a->w, ",\"logprobs\":null,\"finish_reason\":");
    hf_tw_cstr(&a->w, hf_finish_openai(a));
    hf_tw_raw(&a->w, "}],\"usage\":");
    hf_write_usage_openai(a);
    hf_tw_raw(&a->w, "}");
}

static void openai_calls(struct hf_answer *a)
{
    const char *comma = ",\"tool_calls\":[";
    for (size_t i = 0; i < a->n_blocks; i++) {
        const struct hf_block *b = &a->blocks[i];
        if (b->kind != HF_BLOCK_CALL)
            continue;
        hf_tw_raw(&a->w, comma);
        hf_tw_raw(&a->w, "{\"id\":");
        hf_tw_cstr(&a->w, b->id);
        hf_tw_raw(&a->w, ",\"type\":\"function\",\"function\":{\"name\":");
        hf_tw_cstr(&a->w, b->name);
        hf_tw_raw(&a->w, ",\"arguments\":");
        if (b->text.len == 0)
            hf_tw_raw(&a->w, "\"{}\"");
        else
            text_of(a, &b->text);
        hf_tw_raw(&a->w, "}}");
        comma = ",";
    }
    hf_tw_raw(&a->w, "]");
}

static void whole_chat(struct hf_answer *a)
{
    bool has_calls = has(a, HF_BLOCK_CALL);
    openai_head(a, "chatcmpl-", "chat.completion");
    hf_tw_raw(&a->w, "\"message\":{\"role\":\"assistant\",\"content\":");
    if (has_calls && !has(a, HF_BLOCK_TEXT))
        hf_tw_raw(&a->w, "null");
    else
        joined(a, HF_BLOCK_TEXT);
    if (has(a, HF_BLOCK_THINK)) {
        hf_tw_raw(&a->w, ",\"reasoning\":");
        joined(a, HF_BLOCK_THINK);
    }
    if (has_calls)
        openai_calls(a);
    hf_tw_raw(&a->w, "}");
    openai_tail(a);
}

static void whole_completion(struct hf_answer *a)
{
    openai_head(a, "cmpl-", "text_completion");
    hf_tw_raw(&a->w, "\"text\":");
    joined(a, HF_BLOCK_TEXT);
    openai_tail(a);
}

/* ---- Anthropic --------------------------------------------------------------------------------
 */

static void anthropic_block(struct hf_answer *a, const struct hf_block *b)
{
    if (b->kind == HF_BLOCK_TEXT) {
        hf_tw_raw(&a->w, "{\"type\":\"text\",\"text\":");
        text_of(a, &b->text);
    } else if (b->kind == HF_BLOCK_THINK) {
        hf_tw_raw(&a->w, "{\"type\":\"thinking\",\"thinking\":");
        text_of(a, &b->text);
        hf_tw_raw(&a->w, ",\"signature\":");
        text_of(a, &b->signature);
    } else {
        hf_tw_raw(&a->w, "{\"type\":\"tool_use\",\"id\":");
        hf_tw_cstr(&a->w, b->id);
        hf_tw_raw(&a->w, ",\"name\":");
        hf_tw_cstr(&a->w, b->name);
        hf_tw_raw(&a->w, ",\"input\":");
        hf_write_arguments(a, b);
    }
    hf_tw_raw(&a->w, "}");
}

static void whole_message(struct hf_answer *a)
{
    hf_tw_raw(&a->w, "{\"id\":\"msg_");
    hf_tw_escaped(&a->w, a->id, strlen(a->id));
    hf_tw_raw(&a->w, "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    hf_write_model(a);
    hf_tw_raw(&a->w, ",\"content\":[");
    for (size_t i = 0; i < a->n_blocks; i++) {
        if (i > 0)
            hf_tw_raw(&a->w, ",");
        anthropic_block(a, &a->blocks[i]);
    }
    hf_tw_raw(&a->w, "],\"stop_reason\":");
    hf_tw_cstr(&a->w, hf_finish_anthropic(a));
    hf_tw_raw(&a->w, ",\"stop_sequence\":null,\"usage\":");
    hf_write_usage_anthropic(a);
    hf_tw_raw(&a->w, "}");
}

/* ---- Ollama -----------------------------------------------------------------------------------
 */

static void ollama_calls(struct hf_answer *a)
{
    const char *comma = ",\"tool_calls\":[";
    int n = 0;
    for (size_t i = 0; i < a->n_blocks; i++) {
        const struct hf_block *b = &a->blocks[i];
        if (b->kind != HF_BLOCK_CALL)
            continue;
        hf_tw_raw(&a->w, comma);
        hf_tw_raw(&a->w, "{\"id\":");
        hf_tw_cstr(&a->w, b->id);
        hf_tw_raw(&a->w, ",\"function\":{\"index\":");
        hf_tw_i64(&a->w, n++);
        hf_tw_raw(&a->w, ",\"name\":");
        hf_tw_cstr(&a->w, b->name);
        hf_tw_raw(&a->w, ",\"arguments\":");
        hf_write_arguments(a, b);
        hf_tw_raw(&a->w, "}}");
        comma = ",";
    }
    if (n > 0)
        hf_tw_raw(&a->w, "]");
}

static void whole_ollama(struct hf_answer *a, bool is_chat)
{
    hf_write_ollama_head(a);
    hf_tw_raw(&a->w,
              is_chat ? ",\"message\":{\"role\":\"assistant\",\"content\":" : ",\"response\":");
    joined(a, HF_BLOCK_TEXT);
    if (has(a, HF_BLOCK_THINK)) {
        hf_tw_raw(&a->w, ",\"thinking\":");
        joined(a, HF_BLOCK_THINK);
    }
    if (is_chat) {
        ollama_calls(a);
        hf_tw_raw(&a->w, "}");
    }
    hf_write_ollama_tail(a);
}

void hf_encode_whole(struct hf_answer *a)
{
    switch (a->opt.front) {
    case HF_EP_OPENAI_CHAT:
        whole_chat(a);
        break;
    case HF_EP_OPENAI_COMPLETIONS:
        whole_completion(a);
        break;
    case HF_EP_OPENAI_RESPONSES:
        hf_encode_whole_responses(a, NULL);
        break;
    case HF_EP_ANTHROPIC_MESSAGES:
        whole_message(a);
        break;
    default:
        whole_ollama(a, a->opt.front == HF_EP_OLLAMA_CHAT);
        break;
    }
}
