/*
 * Streams for clients: what a block becomes in the words of each dialect.
 *
 * OpenAI      role first, alone; content, reasoning and pieces of tool calls; a finish chunk with
 * an empty delta; usage on an extra chunk if the client asked; [DONE]. Anthropic   message_start,
 * blocks with start, deltas and stop, message_delta, message_stop. Ollama      a line a piece; a
 * tool call as one line once it is whole; the last line has the counts.
 */
#include <string.h>

#include "codec/jsonscan.h"
#include "gateway/translate_answer.h"

/* ---- words ------------------------------------------------------------------------------------
 */

const char *hf_finish_openai(const struct hf_answer *a)
{
    static const char *const words[] = {"stop",       "stop",           "stop", "length",
                                        "tool_calls", "content_filter", "stop", "stop"};
    return words[a->st.finish];
}

const char *hf_finish_anthropic(const struct hf_answer *a)
{
    static const char *const words[] = {"end_turn", "end_turn", "stop_sequence", "max_tokens",
                                        "tool_use", "refusal",  "end_turn",      "end_turn"};
    return words[a->st.finish];
}

const char *hf_finish_ollama(const struct hf_answer *a)
{
    static const char *const words[] = {"stop", "stop", "stop", "length",
                                        "stop", "stop", "load", "unload"};
    return words[a->st.finish];
}

static void number(struct hf_answer *a, const char *before, int64_t v)
{
    hf_tw_raw(&a->w, before);
    hf_tw_i64(&a->w, v);
}

void hf_write_usage_openai(struct hf_answer *a)
{
    const struct hf_usage *u = &a->st.usage;
    number(a, "{\"prompt_tokens\":", u->input);
    number(a, ",\"completion_tokens\":", u->output);
    number(a, ",\"total_tokens\":", u->input + u->output);
    if (u->cache_read > 0) {
        number(a, ",\"prompt_tokens_details\":{\"cached_tokens\":", u->cache_read);
        hf_tw_raw(&a->w, "}");
    }
    if (u->reasoning > 0) {
        number(a, ",\"completion_tokens_details\":{\"reasoning_tokens\":", u->reasoning);
        hf_tw_raw(&a->w, "}");
    }
    hf_tw_raw(&a->w, "}");
}

/* Cached tokens are counted apart there. */
void hf_write_usage_anthropic(struct hf_answer *a)
{
    const struct hf_usage *u = &a->st.usage;
    int64_t fresh = u->input - u->cache_read - u->cache_write;
    number(a, "{\"input_tokens\":", fresh < 0 ? 0 : fresh);
    number(a, ",\"cache_creation_input_tokens\":", u->cache_write);
    number(a, ",\"cache_read_input_tokens\":", u->cache_read);
    number(a, ",\"output_tokens\":", u->output);
    hf_tw_raw(&a->w, "}");
}

void hf_write_arguments(struct hf_answer *a, const struct hf_block *b)
{
    HF_AUTO_JSON json_t *o = NULL;
    if (b->text.len == 0)
        hf_tw_raw(&a->w, "{}");
    else if (hf_tj_load_object((const char *)b->text.data, b->text.len, &o, NULL) == HF_OK)
        hf_tw_value(&a->w, o);
    else
        hf_answer_nonsense(a, HF_E_CORRUPT, "arguments of a tool call are no JSON object");
}

void hf_write_model(struct hf_answer *a)
{
    hf_tw_cstr(&a->w, a->model == NULL ? "" : a->model);
}

static void str_or_empty(struct hf_answer *a, const char *s)
{
    hf_tw_cstr(&a->w, s == NULL ? "" : s);
}

/* ---- OpenAI chat ------------------------------------------------------------------------------
 */

static void chunk_head(struct hf_answer *a, const char *prefix, const char *object)
{
    hf_tw_raw(&a->w, "data: {\"id\":\"");
    hf_tw_raw(&a->w, prefix);
    hf_tw_escaped(&a->w, a->id, strlen(a->id));
    hf_tw_raw(&a->w, "\",\"object\":\"");
    hf_tw_raw(&a->w, object);
    number(a, "\",\"created\":", a->opt.started_ms / 1000);
    hf_tw_raw(&a->w, ",\"model\":");
    hf_write_model(a);
    hf_tw_raw(&a->w, ",\"choices\":[");
}

static void chunk_tail(struct hf_answer *a)
{
    hf_tw_raw(&a->w, a->opt.wants_usage ? "],\"usage\":null}\n\n" : "]}\n\n");
}

static void usage_chunk(struct hf_answer *a, const char *prefix, const char *object)
{
    if (!a->opt.wants_usage)
        return;
    chunk_head(a, prefix, object);
    hf_tw_raw(&a->w, "],\"usage\":");
    hf_write_usage_openai(a);
    hf_tw_raw(&a->w, "}\n\n");
}

static void delta_head(struct hf_answer *a)
{
    chunk_head(a, "chatcmpl-", "chat.completion.chunk");
    hf_tw_raw(&a->w, "{\"index\":0,\"delta\":{");
}

static void delta_tail(struct hf_answer *a)
{
    hf_tw_raw(&a->w, "},\"finish_reason\":null}");
    chunk_tail(a);
}

static void openai_start(struct hf_answer *a)
{
    delta_head(a);
    hf_tw_raw(&a->w, "\"role\":\"assistant\",\"content\":\"\"");
    delta_tail(a);
}

static void openai_open(struct hf_answer *a, struct hf_block *b)
{
    if (b->kind != HF_BLOCK_CALL)
        return;
    delta_head(a);
    number(a, "\"tool_calls\":[{\"index\":", a->n_calls - 1);
    hf_tw_raw(&a->w, ",\"id\":");
    str_or_empty(a, b->id);
    hf_tw_raw(&a->w, ",\"type\":\"function\",\"function\":{\"name\":");
    str_or_empty(a, b->name);
    hf_tw_raw(&a->w, ",\"arguments\":\"\"}}]");
    delta_tail(a);
}

static void openai_delta(struct hf_answer *a, struct hf_block *b, const char *s, size_t n)
{
    delta_head(a);
    if (b->kind == HF_BLOCK_CALL) {
        number(a, "\"tool_calls\":[{\"index\":", a->n_calls - 1);
        hf_tw_raw(&a->w, ",\"function\":{\"arguments\":");
        hf_tw_str(&a->w, s, n);
        hf_tw_raw(&a->w, "}}]");
    } else {
        hf_tw_raw(&a->w, b->kind == HF_BLOCK_THINK ? "\"reasoning\":" : "\"content\":");
        hf_tw_str(&a->w, s, n);
    }
    delta_tail(a);
}

/* A call without arguments has the empty object: clients parse what they collected. */
static void openai_close(struct hf_answer *a, struct hf_block *b)
{
    if (b->kind == HF_BLOCK_CALL && b->text.len == 0)
        openai_delta(a, b, "{}", 2);
}

static void openai_finish(struct hf_answer *a)
{
    chunk_head(a, "chatcmpl-", "chat.completion.chunk");
    hf_tw_raw(&a->w, "{\"index\":0,\"delta\":{},\"finish_reason\":");
    hf_tw_cstr(&a->w, hf_finish_openai(a));
    hf_tw_raw(&a->w, "}");
    chunk_tail(a);
    usage_chunk(a, "chatcmpl-", "chat.completion.chunk");
    hf_tw_raw(&a->w, "data: [DONE]\n\n");
}

/* ---- OpenAI completions -----------------------------------------------------------------------
 */

static void nothing(struct hf_answer *a)
{
    (void)a;
}

static void nothing_block(struct hf_answer *a, struct hf_block *b)
{
    (void)a;
    (void)b;
}

static void text_chunk(struct hf_answer *a, const char *s, size_t n, const char *finish)
{
    chunk_head(a, "cmpl-", "text_completion");
    hf_tw_raw(&a->w, "{\"index\":0,\"text\":");
    hf_tw_str(&a->w, s, n);
    hf_tw_raw(&a->w, ",\"logprobs\":null,\"finish_reason\":");
    if (finish == NULL)
        hf_tw_raw(&a->w, "null}");
    else
        hf_tw_cstr(&a->w, finish);
    if (finish != NULL)
        hf_tw_raw(&a->w, "}");
    chunk_tail(a);
}

/* This endpoint has no place for thinking or tool calls; requests to it ask for neither. */
static void completion_delta(struct hf_answer *a, struct hf_block *b, const char *s, size_t n)
{
    if (b->kind == HF_BLOCK_TEXT)
        text_chunk(a, s, n, NULL);
}

static void completion_finish(struct hf_answer *a)
{
    text_chunk(a, "", 0, hf_finish_openai(a));
    usage_chunk(a, "cmpl-", "text_completion");
    hf_tw_raw(&a->w, "data: [DONE]\n\n");
}

/* ---- Anthropic --------------------------------------------------------------------------------
 */

static void anthropic_event(struct hf_answer *a, const char *event)
{
    hf_tw_raw(&a->w, "event: ");
    hf_tw_raw(&a->w, event);
    hf_tw_raw(&a->w, "\ndata: {\"type\":\"");
    hf_tw_raw(&a->w, event);
    hf_tw_raw(&a->w, "\"");
}

static void anthropic_start(struct hf_answer *a)
{
    anthropic_event(a, "message_start");
    hf_tw_raw(&a->w, ",\"message\":{\"id\":\"msg_");
    hf_tw_escaped(&a->w, a->id, strlen(a->id));
    hf_tw_raw(&a->w, "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    hf_write_model(a);
    hf_tw_raw(&a->w, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":");
    hf_write_usage_anthropic(a);
    hf_tw_raw(&a->w, "}}\n\n");
}

static void block_event(struct hf_answer *a, const char *event)
{
    anthropic_event(a, event);
    number(a, ",\"index\":", (int64_t)a->n_blocks - 1);
}

static void anthropic_open(struct hf_answer *a, struct hf_block *b)
{
    block_event(a, "content_block_start");
    if (b->kind == HF_BLOCK_TEXT) {
        hf_tw_raw(&a->w, ",\"content_block\":{\"type\":\"text\",\"text\":\"\"");
    } else if (b->kind == HF_BLOCK_THINK) {
        hf_tw_raw(&a->w,
                  ",\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"");
    } else {
        hf_tw_raw(&a->w, ",\"content_block\":{\"type\":\"tool_use\",\"id\":");
        str_or_empty(a, b->id);
        hf_tw_raw(&a->w, ",\"name\":");
        str_or_empty(a, b->name);
        hf_tw_raw(&a->w, ",\"input\":{}");
    }
    hf_tw_raw(&a->w, "}}\n\n");
}

static void anthropic_delta(struct hf_answer *a, struct hf_block *b, const char *s, size_t n)
{
    static const char *const deltas[] = {
        "", ",\"delta\":{\"type\":\"text_delta\",\"text\":",
        ",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":",
        ",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":"};
    block_event(a, "content_block_delta");
    hf_tw_raw(&a->w, deltas[b->kind]);
    hf_tw_str(&a->w, s, n);
    hf_tw_raw(&a->w, "}}\n\n");
}

static void anthropic_close(struct hf_answer *a, struct hf_block *b)
{
    (void)b;
    block_event(a, "content_block_stop");
    hf_tw_raw(&a->w, "}\n\n");
}

static void anthropic_finish(struct hf_answer *a)
{
    anthropic_event(a, "message_delta");
    hf_tw_raw(&a->w, ",\"delta\":{\"stop_reason\":");
    hf_tw_cstr(&a->w, hf_finish_anthropic(a));
    hf_tw_raw(&a->w, ",\"stop_sequence\":null},\"usage\":");
    hf_write_usage_anthropic(a);
    hf_tw_raw(&a->w, "}\n\n");
    anthropic_event(a, "message_stop");
    hf_tw_raw(&a->w, "}\n\n");
}

/* ---- Ollama -----------------------------------------------------------------------------------
 */

void hf_write_ollama_head(struct hf_answer *a)
{
    hf_tw_raw(&a->w, "{\"model\":");
    hf_write_model(a);
    hf_tw_raw(&a->w, ",\"created_at\":");
    hf_tw_time(&a->w, a->now_ms);
}

/* Zero counts are left out, as Ollama does. */
void hf_write_ollama_tail(struct hf_answer *a)
{
    const struct hf_usage *u = &a->st.usage;
    int64_t total_ns = (a->now_ms - a->opt.started_ms) * 1000000;
    hf_tw_raw(&a->w, ",\"done\":true,\"done_reason\":");
    hf_tw_cstr(&a->w, hf_finish_ollama(a));
    number(a, ",\"total_duration\":", total_ns < 0 ? 0 : total_ns);
    if (u->input > 0)
        number(a, ",\"prompt_eval_count\":", u->input);
    if (u->output > 0)
        number(a, ",\"eval_count\":", u->output);
    hf_tw_raw(&a->w, "}\n");
}

static bool is_chat(const struct hf_answer *a)
{
    return a->opt.front == HF_EP_OLLAMA_CHAT;
}

static void ollama_delta(struct hf_answer *a, struct hf_block *b, const char *s, size_t n)
{
    if (b->kind == HF_BLOCK_CALL)
        return;
    hf_write_ollama_head(a);
    if (b->kind == HF_BLOCK_TEXT) {
        hf_tw_raw(&a->w, is_chat(a) ? ",\"message\":{\"role\":\"assistant\",\"content\":"
                                    : ",\"response\":");
    } else {
        hf_tw_raw(&a->w, is_chat(a)
                             ? ",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":"
                             : ",\"response\":\"\",\"thinking\":");
    }
    hf_tw_str(&a->w, s, n);
    hf_tw_raw(&a->w, is_chat(a) ? "},\"done\":false}\n" : ",\"done\":false}\n");
}

static void ollama_close(struct hf_answer *a, struct hf_block *b)
{
    if (b->kind != HF_BLOCK_CALL || !is_chat(a))
        return;
    hf_write_ollama_head(a);
    hf_tw_raw(&a->w,
              ",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":");
    str_or_empty(a, b->id);
    number(a, ",\"function\":{\"index\":", a->n_calls - 1);
    hf_tw_raw(&a->w, ",\"name\":");
    str_or_empty(a, b->name);
    hf_tw_raw(&a->w, ",\"arguments\":");
    hf_write_arguments(a, b);
    hf_tw_raw(&a->w, "}}]},\"done\":false}\n");
}

static void ollama_finish(struct hf_answer *a)
{
    hf_write_ollama_head(a);
    hf_tw_raw(&a->w, is_chat(a) ? ",\"message\":{\"role\":\"assistant\",\"content\":\"\"}"
                                : ",\"response\":\"\"");
    hf_write_ollama_tail(a);
}

const struct hf_encoder *hf_encoder_of(enum hf_endpoint front)
{
    static const struct hf_encoder openai = {openai_start, openai_open, openai_delta, openai_close,
                                             openai_finish};
    static const struct hf_encoder completions = {nothing, nothing_block, completion_delta,
                                                  nothing_block, completion_finish};
    static const struct hf_encoder anthropic = {anthropic_start, anthropic_open, anthropic_delta,
                                                anthropic_close, anthropic_finish};
    static const struct hf_encoder ollama = {nothing, nothing_block, ollama_delta, ollama_close,
                                             ollama_finish};
    switch (front) {
    case HF_EP_OPENAI_CHAT:
        return &openai;
    case HF_EP_OPENAI_COMPLETIONS:
        return &completions;
    case HF_EP_OPENAI_RESPONSES:
        return &hf_encoder_responses;
    case HF_EP_ANTHROPIC_MESSAGES:
        return &anthropic;
    case HF_EP_OLLAMA_CHAT:
    case HF_EP_OLLAMA_GENERATE:
        return &ollama;
    default:
        return NULL;
    }
}
