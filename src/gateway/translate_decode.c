/*
 * Upstreams' answers, one event at a time, in the words of each dialect.
 *
 * Ollama      every line is an object; "done":true is the end, {"error":"..."} a failure at any
 *             point under status 200. Counts that are zero are left out.
 * OpenAI      choices[0].delta; the end is a finish_reason and [DONE], both. Usage may come on
 *             every chunk, with the last, on an extra one, or never: the last seen counts.
 * Anthropic   message_start, content_block_start/_delta/_stop, message_delta (output tokens so
 *             far, in all), message_stop is the end. Unknown events are ignored.
 */
#include <string.h>

#include "base/limits.h"
#include "gateway/translate_answer.h"

/* ---- Ollama -----------------------------------------------------------------------------------
 */

static void call_with_object(struct hf_answer *a, const json_t *id, const json_t *name,
                             const json_t *arguments)
{
    struct hf_buf text;
    hf_buf_init(&text, HF_MIB * 8);
    struct hf_tw w = {&text, false};
    hf_answer_call(a, id, name);
    if (json_is_object(arguments))
        hf_tw_value(&w, arguments);
    else if (json_is_string(arguments))
        hf_tw_bytes(&w, json_string_value(arguments), json_string_length(arguments));
    hf_answer_arguments(a, (const char *)text.data, text.len);
    hf_answer_close(a);
    hf_buf_deinit(&text);
}

static void ollama_usage(struct hf_answer *a, const json_t *line)
{
    a->st.usage.is_known = true;
    a->st.usage.input = hf_tj_tokens(line, "prompt_eval_count");
    a->st.usage.output = hf_tj_tokens(line, "eval_count");
}

static enum hf_finish finish_of_ollama(const json_t *word)
{
    return hf_tj_is(word, "length")   ? HF_FINISH_LENGTH
           : hf_tj_is(word, "load")   ? HF_FINISH_LOAD
           : hf_tj_is(word, "unload") ? HF_FINISH_UNLOAD
                                      : HF_FINISH_STOP;
}

void hf_decode_ollama(struct hf_answer *a, const json_t *line)
{
    if (hf_tj_get(line, "error") != NULL) {
        hf_answer_error(a, line);
        return;
    }
    const json_t *message = hf_tj_object(line, "message");
    const json_t *calls = hf_tj_array(message, "tool_calls");
    hf_answer_think(a, hf_tj_get(message != NULL ? message : line, "thinking"));
    hf_answer_text(a, hf_tj_get(message, "content"));
    hf_answer_text(a, hf_tj_get(line, "response"));
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i), *function = hf_tj_object(call, "function");
        call_with_object(a, hf_tj_get(call, "id"), hf_tj_get(function, "name"),
                         hf_tj_get(function, "arguments"));
    }
    if (!json_is_true(hf_tj_get(line, "done")))
        return;
    ollama_usage(a, line);
    hf_answer_done(a, finish_of_ollama(hf_tj_get(line, "done_reason")));
}

/* ---- OpenAI -----------------------------------------------------------------------------------
 */

enum hf_finish hf_finish_of_openai(const json_t *word)
{
    static const struct {
        const char *word;
        enum hf_finish finish;
    } words[] = {{"length", HF_FINISH_LENGTH},
                 {"tool_calls", HF_FINISH_TOOLS},
                 {"function_call", HF_FINISH_TOOLS},
                 {"content_filter", HF_FINISH_REFUSED}};
    for (size_t i = 0; i < HF_ARRAY_LEN(words); i++)
        if (hf_tj_is(word, words[i].word))
            return words[i].finish;
    return HF_FINISH_STOP;
}

static void openai_usage(struct hf_answer *a, const json_t *usage)
{
    if (usage == NULL)
        return;
    a->st.usage.is_known = true;
    a->st.usage.input = hf_tj_tokens(usage, "prompt_tokens");
    a->st.usage.output = hf_tj_tokens(usage, "completion_tokens");
    a->st.usage.cache_read =
        hf_tj_tokens(hf_tj_object(usage, "prompt_tokens_details"), "cached_tokens");
    a->st.usage.reasoning =
        hf_tj_tokens(hf_tj_object(usage, "completion_tokens_details"), "reasoning_tokens");
}

/*
 * A piece of a tool call. A new index begins the next call; so does a new id under the same index,
 * which some servers send. Pieces of calls that are closed already make no sense.
 */
static void openai_call(struct hf_answer *a, const json_t *call)
{
    const json_t *function = hf_tj_object(call, "function");
    json_t *id = hf_tj_string(call, "id"), *name = hf_tj_string(function, "name");
    json_t *arguments = hf_tj_get(function, "arguments");
    int index =
        hf_tj_get(call, "index") == NULL ? a->call_index + 1 : (int)hf_tj_i64(call, "index");
    const struct hf_block *open = a->is_open ? &a->blocks[a->n_blocks - 1] : NULL;
    bool is_open = open != NULL && open->kind == HF_BLOCK_CALL && index == a->call_index;
    bool is_other = id != NULL && json_string_length(id) > 0 && is_open &&
                    strcmp(open->id, json_string_value(id)) != 0 && name != NULL;
    if (!is_open || is_other) {
        hf_answer_call(a, id, name);
        a->call_index = index;
    }
    if (json_is_string(arguments))
        hf_answer_arguments(a, json_string_value(arguments), json_string_length(arguments));
    else if (json_is_object(arguments))
        hf_answer_nonsense(a, HF_E_CORRUPT, "arguments of a tool call are no text");
}

static void openai_message(struct hf_answer *a, const json_t *message)
{
    const json_t *calls = hf_tj_array(message, "tool_calls");
    json_t *thinking = hf_tj_string(message, "reasoning");
    if (thinking == NULL)
        thinking = hf_tj_string(message, "reasoning_content");
    hf_answer_think(a, thinking);
    hf_answer_text(a, hf_tj_get(message, "content"));
    hf_answer_text(a, hf_tj_get(message, "refusal"));
    for (size_t i = 0; i < json_array_size(calls); i++)
        openai_call(a, json_array_get(calls, i));
}

/* Of several answers (n > 1, passed through) only the first is looked into. */
static void openai_choice(struct hf_answer *a, const json_t *choice)
{
    json_t *finish = hf_tj_get(choice, "finish_reason");
    if (hf_tj_i64(choice, "index") == 0) {
        openai_message(a, hf_tj_object(choice, "delta"));
        openai_message(a, hf_tj_object(choice, "message"));
        hf_answer_text(a, hf_tj_get(choice, "text"));
    }
    if (json_is_string(finish))
        a->said_finish = hf_finish_of_openai(finish);
}

void hf_decode_openai(struct hf_answer *a, const json_t *event, bool is_whole)
{
    const json_t *choices = hf_tj_array(event, "choices");
    if (hf_tj_get(event, "error") != NULL) {
        hf_answer_error(a, event);
        return;
    }
    openai_usage(a, hf_tj_object(event, "usage"));
    for (size_t i = 0; i < json_array_size(choices); i++)
        openai_choice(a, json_array_get(choices, i));
    if (!is_whole)
        return;
    if (json_array_size(choices) == 0 || a->said_finish == HF_FINISH_NONE)
        hf_answer_nonsense(a, HF_E_CORRUPT, "an answer without choices or finish_reason");
    else
        hf_answer_done(a, a->said_finish);
}

void hf_decode_openai_done(struct hf_answer *a)
{
    if (a->said_finish != HF_FINISH_NONE)
        hf_answer_done(a, a->said_finish);
    else
        hf_answer_nonsense(a, HF_E_IO, "[DONE] came before any finish_reason");
}

/* ---- Anthropic --------------------------------------------------------------------------------
 */

static void anthropic_usage(struct hf_answer *a, const json_t *usage)
{
    struct hf_usage *u = &a->st.usage;
    if (usage == NULL)
        return;
    u->is_known = true;
    if (hf_tj_get(usage, "cache_read_input_tokens") != NULL)
        u->cache_read = hf_tj_tokens(usage, "cache_read_input_tokens");
    if (hf_tj_get(usage, "cache_creation_input_tokens") != NULL)
        u->cache_write = hf_tj_tokens(usage, "cache_creation_input_tokens");
    if (hf_tj_get(usage, "input_tokens") != NULL)
        a->usage_start.input = hf_tj_tokens(usage, "input_tokens");
    u->input = a->usage_start.input + u->cache_read + u->cache_write;
    if (hf_tj_get(usage, "output_tokens") != NULL)
        u->output = hf_tj_tokens(usage, "output_tokens");
}

static enum hf_finish finish_of_anthropic(const json_t *word)
{
    static const struct {
        const char *word;
        enum hf_finish finish;
    } words[] = {{"max_tokens", HF_FINISH_LENGTH},
                 {"model_context_window_exceeded", HF_FINISH_LENGTH},
                 {"tool_use", HF_FINISH_TOOLS},
                 {"stop_sequence", HF_FINISH_STOP_SEQUENCE},
                 {"refusal", HF_FINISH_REFUSED}};
    for (size_t i = 0; i < HF_ARRAY_LEN(words); i++)
        if (hf_tj_is(word, words[i].word))
            return words[i].finish;
    return HF_FINISH_STOP;
}

static void block_start(struct hf_answer *a, const json_t *block)
{
    const json_t *type = hf_tj_get(block, "type"), *input = hf_tj_object(block, "input");
    hf_answer_close(a);
    a->is_skipping = hf_tj_is(type, "server_tool_use") || hf_tj_is(type, "mcp_tool_use");
    if (hf_tj_is(type, "tool_use")) {
        hf_answer_call(a, hf_tj_get(block, "id"), hf_tj_get(block, "name"));
    } else if (hf_tj_is(type, "text")) {
        hf_answer_text(a, hf_tj_get(block, "text"));
    } else if (hf_tj_is(type, "thinking")) {
        hf_answer_think(a, hf_tj_get(block, "thinking"));
    }
    if (input != NULL && json_object_size(input) > 0 && hf_tj_is(type, "tool_use")) {
        struct hf_buf text;
        hf_buf_init(&text, HF_MIB * 8);
        struct hf_tw w = {&text, false};
        hf_tw_value(&w, input);
        hf_answer_arguments(a, (const char *)text.data, text.len);
        hf_buf_deinit(&text);
    }
}

static void block_delta(struct hf_answer *a, const json_t *delta)
{
    const json_t *type = hf_tj_get(delta, "type");
    json_t *json = hf_tj_string(delta, "partial_json");
    if (hf_tj_is(type, "text_delta"))
        hf_answer_text(a, hf_tj_get(delta, "text"));
    else if (hf_tj_is(type, "thinking_delta"))
        hf_answer_think(a, hf_tj_get(delta, "thinking"));
    else if (hf_tj_is(type, "signature_delta"))
        hf_answer_signature(a, hf_tj_get(delta, "signature"));
    else if (hf_tj_is(type, "input_json_delta") && json != NULL && !a->is_skipping)
        hf_answer_arguments(a, json_string_value(json), json_string_length(json));
}

static void message_delta(struct hf_answer *a, const json_t *event)
{
    json_t *reason = hf_tj_string(hf_tj_object(event, "delta"), "stop_reason");
    anthropic_usage(a, hf_tj_object(event, "usage"));
    if (reason != NULL)
        a->said_finish = finish_of_anthropic(reason);
}

void hf_decode_anthropic(struct hf_answer *a, const json_t *event)
{
    const json_t *type = hf_tj_get(event, "type");
    if (hf_tj_is(type, "error"))
        hf_answer_error(a, event);
    else if (hf_tj_is(type, "message_start"))
        anthropic_usage(a, hf_tj_object(hf_tj_object(event, "message"), "usage"));
    else if (hf_tj_is(type, "content_block_start"))
        block_start(a, hf_tj_object(event, "content_block"));
    else if (hf_tj_is(type, "content_block_delta"))
        block_delta(a, hf_tj_object(event, "delta"));
    else if (hf_tj_is(type, "content_block_stop"))
        hf_answer_close(a);
    else if (hf_tj_is(type, "message_delta"))
        message_delta(a, event);
    else if (hf_tj_is(type, "message_stop"))
        hf_answer_done(a, a->said_finish == HF_FINISH_NONE ? HF_FINISH_STOP : a->said_finish);
}

void hf_decode_anthropic_whole(struct hf_answer *a, const json_t *body)
{
    const json_t *blocks = hf_tj_array(body, "content");
    if (hf_tj_is(hf_tj_get(body, "type"), "error")) {
        hf_answer_error(a, body);
        return;
    }
    if (blocks == NULL || hf_tj_get(body, "stop_reason") == NULL) {
        hf_answer_nonsense(a, HF_E_CORRUPT, "an answer without content or stop_reason");
        return;
    }
    anthropic_usage(a, hf_tj_object(body, "usage"));
    for (size_t i = 0; i < json_array_size(blocks); i++) {
        const json_t *block = json_array_get(blocks, i);
        block_start(a, block);
        hf_answer_signature(a, hf_tj_get(block, "signature"));
        hf_answer_close(a);
    }
    hf_answer_done(a, finish_of_anthropic(hf_tj_get(body, "stop_reason")));
}
