/*
 * Answers of OpenAI's /v1/responses: a list of output items (reasoning, message, function_call), as
 * one object or as a stream of numbered events.
 *
 *   response.created, then per item: output_item.added, [content_part.added], deltas, their "done",
 *   [content_part.done], output_item.done; at last response.completed (or .incomplete) with all.
 */
#include <string.h>

#include "gateway/translate_answer.h"

static void str_of(struct hf_answer *a, const struct hf_buf *text)
{
    hf_tw_str(&a->w, text->len == 0 ? "" : (const char *)text->data, text->len);
}

static void arguments_of(struct hf_answer *a, const struct hf_block *b)
{
    if (b->text.len == 0)
        hf_tw_raw(&a->w, "\"{}\"");
    else
        str_of(a, &b->text);
}

/* msg_ID_3, fc_ID_3, rs_ID_3: without quotes. */
static void item_id(struct hf_answer *a, const struct hf_block *b)
{
    hf_tw_raw(&a->w, b->kind == HF_BLOCK_CALL ? "fc_" : b->kind == HF_BLOCK_THINK ? "rs_" : "msg_");
    hf_tw_escaped(&a->w, a->id, strlen(a->id));
    hf_tw_raw(&a->w, "_");
    hf_tw_i64(&a->w, b - a->blocks);
}

static void part(struct hf_answer *a, const struct hf_block *b, bool is_done)
{
    static const struct hf_buf empty = {0};
    hf_tw_raw(&a->w, b->kind == HF_BLOCK_THINK
                         ? "{\"type\":\"reasoning_text\",\"text\":"
                         : "{\"type\":\"output_text\",\"annotations\":[],\"text\":");
    str_of(a, is_done ? &b->text : &empty);
    hf_tw_raw(&a->w, "}");
}

static void item(struct hf_answer *a, const struct hf_block *b, bool is_done)
{
    hf_tw_raw(&a->w, "{\"id\":\"");
    item_id(a, b);
    hf_tw_raw(&a->w, "\",\"status\":");
    hf_tw_cstr(&a->w, is_done ? "completed" : "in_progress");
    if (b->kind == HF_BLOCK_CALL) {
        hf_tw_raw(&a->w, ",\"type\":\"function_call\",\"call_id\":");
        hf_tw_cstr(&a->w, b->id);
        hf_tw_raw(&a->w, ",\"name\":");
        hf_tw_cstr(&a->w, b->name);
        hf_tw_raw(&a->w, ",\"arguments\":");
        if (is_done)
            arguments_of(a, b);
        else
            hf_tw_raw(&a->w, "\"\"");
        hf_tw_raw(&a->w, "}");
        return;
    }
    hf_tw_raw(&a->w, b->kind == HF_BLOCK_THINK
                         ? ",\"type\":\"reasoning\",\"summary\":[],\"content\":["
                         : ",\"type\":\"message\",\"role\":\"assistant\",\"content\":[");
    if (is_done)
        part(a, b, true);
    hf_tw_raw(&a->w, "]}");
}

static void usage(struct hf_answer *a)
{
    const struct hf_usage *u = &a->st.usage;
    hf_tw_raw(&a->w, "{\"input_tokens\":");
    hf_tw_i64(&a->w, u->input);
    hf_tw_raw(&a->w, ",\"input_tokens_details\":{\"cached_tokens\":");
    hf_tw_i64(&a->w, u->cache_read);
    hf_tw_raw(&a->w, "},\"output_tokens\":");
    hf_tw_i64(&a->w, u->output);
    hf_tw_raw(&a->w, ",\"output_tokens_details\":{\"reasoning_tokens\":");
    hf_tw_i64(&a->w, u->reasoning);
    hf_tw_raw(&a->w, "},\"total_tokens\":");
    hf_tw_i64(&a->w, u->input + u->output);
    hf_tw_raw(&a->w, "}");
}

/* status NULL: what the finish says. */
void hf_encode_whole_responses(struct hf_answer *a, const char *status)
{
    bool is_short = a->st.finish == HF_FINISH_LENGTH || a->st.finish == HF_FINISH_REFUSED;
    bool is_running = status != NULL;
    hf_tw_raw(&a->w, "{\"id\":\"resp_");
    hf_tw_escaped(&a->w, a->id, strlen(a->id));
    hf_tw_raw(&a->w, "\",\"object\":\"response\",\"created_at\":");
    hf_tw_i64(&a->w, a->opt.started_ms / 1000);
    hf_tw_raw(&a->w, ",\"model\":");
    hf_write_model(a);
    hf_tw_raw(&a->w, ",\"status\":");
    hf_tw_cstr(&a->w, is_running ? status : is_short ? "incomplete" : "completed");
    hf_tw_raw(&a->w, ",\"incomplete_details\":");
    hf_tw_raw(&a->w, is_running || !is_short            ? "null"
                     : a->st.finish == HF_FINISH_LENGTH ? "{\"reason\":\"max_output_tokens\"}"
                                                        : "{\"reason\":\"content_filter\"}");
    hf_tw_raw(&a->w, ",\"error\":null,\"instructions\":null,\"metadata\":{},\"tools\":[],"
                     "\"tool_choice\":\"auto\",\"parallel_tool_calls\":true,\"output\":[");
    for (size_t i = 0; !is_running && i < a->n_blocks; i++) {
        if (i > 0)
            hf_tw_raw(&a->w, ",");
        item(a, &a->blocks[i], true);
    }
    hf_tw_raw(&a->w, "],\"usage\":");
    if (is_running)
        hf_tw_raw(&a->w, "null");
    else
        usage(a);
    hf_tw_raw(&a->w, "}");
}

/* ---- the stream -------------------------------------------------------------------------------
 */

static void event(struct hf_answer *a, const char *name)
{
    hf_tw_raw(&a->w, "event: ");
    hf_tw_raw(&a->w, name);
    hf_tw_raw(&a->w, "\ndata: {\"type\":\"");
    hf_tw_raw(&a->w, name);
    hf_tw_raw(&a->w, "\",\"sequence_number\":");
    hf_tw_i64(&a->w, a->sequence++);
}

static void item_event(struct hf_answer *a, const char *name, const struct hf_block *b,
                       bool has_part)
{
    event(a, name);
    hf_tw_raw(&a->w, ",\"item_id\":\"");
    item_id(a, b);
    hf_tw_raw(&a->w, "\",\"output_index\":");
    hf_tw_i64(&a->w, b - a->blocks);
    if (has_part)
        hf_tw_raw(&a->w, ",\"content_index\":0");
}

static void ended(struct hf_answer *a)
{
    hf_tw_raw(&a->w, "}\n\n");
}

static void response_event(struct hf_answer *a, const char *name, const char *status)
{
    event(a, name);
    hf_tw_raw(&a->w, ",\"response\":");
    hf_encode_whole_responses(a, status);
    ended(a);
}

static void start(struct hf_answer *a)
{
    response_event(a, "response.created", "in_progress");
    response_event(a, "response.in_progress", "in_progress");
}

static void added_or_done(struct hf_answer *a, const struct hf_block *b, bool is_done)
{
    event(a, is_done ? "response.output_item.done" : "response.output_item.added");
    hf_tw_raw(&a->w, ",\"output_index\":");
    hf_tw_i64(&a->w, b - a->blocks);
    hf_tw_raw(&a->w, ",\"item\":");
    item(a, b, is_done);
    ended(a);
}

static void part_event(struct hf_answer *a, const struct hf_block *b, bool is_done)
{
    if (b->kind == HF_BLOCK_CALL)
        return;
    item_event(a, is_done ? "response.content_part.done" : "response.content_part.added", b, true);
    hf_tw_raw(&a->w, ",\"part\":");
    part(a, b, is_done);
    ended(a);
}

static void open_item(struct hf_answer *a, struct hf_block *b)
{
    added_or_done(a, b, false);
    part_event(a, b, false);
}

static void delta(struct hf_answer *a, struct hf_block *b, const char *s, size_t n)
{
    static const char *const names[] = {"", "response.output_text.delta",
                                        "response.reasoning_text.delta",
                                        "response.function_call_arguments.delta"};
    item_event(a, names[b->kind], b, b->kind != HF_BLOCK_CALL);
    hf_tw_raw(&a->w, b->kind == HF_BLOCK_TEXT ? ",\"logprobs\":[],\"delta\":" : ",\"delta\":");
    hf_tw_str(&a->w, s, n);
    ended(a);
}

static void close_item(struct hf_answer *a, struct hf_block *b)
{
    static const char *const names[] = {"", "response.output_text.done",
                                        "response.reasoning_text.done",
                                        "response.function_call_arguments.done"};
    item_event(a, names[b->kind], b, b->kind != HF_BLOCK_CALL);
    if (b->kind == HF_BLOCK_CALL) {
        hf_tw_raw(&a->w, ",\"name\":");
        hf_tw_cstr(&a->w, b->name);
        hf_tw_raw(&a->w, ",\"arguments\":");
        arguments_of(a, b);
    } else {
        hf_tw_raw(&a->w, b->kind == HF_BLOCK_TEXT ? ",\"logprobs\":[],\"text\":" : ",\"text\":");
        str_of(a, &b->text);
    }
    ended(a);
    part_event(a, b, true);
    added_or_done(a, b, true);
}

static void finish(struct hf_answer *a)
{
    bool is_short = a->st.finish == HF_FINISH_LENGTH || a->st.finish == HF_FINISH_REFUSED;
    response_event(a, is_short ? "response.incomplete" : "response.completed", NULL);
}

const struct hf_encoder hf_encoder_responses = {start, open_item, delta, close_item, finish};
