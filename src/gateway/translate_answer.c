#include "gateway/translate_answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/jsonscan.h"

enum { MAGIC = 0x616e7377 };

/* ---- life -------------------------------------------------------------------------------------
 */

struct hf_answer *hf_answer_new(const struct hf_answer_options *opt)
{
    struct hf_answer *a = hf_calloc(1, sizeof(*a));
    a->magic = MAGIC;
    a->opt = *opt;
    a->model = opt->model == NULL ? NULL : hf_strdup(opt->model);
    a->id = hf_strdup(opt->id == NULL ? "0" : opt->id);
    a->opt.model = a->model;
    a->opt.id = a->id;
    a->call_index = -1;
    a->is_passing = opt->front == opt->upstream && opt->is_front_stream == opt->is_upstream_stream;
    a->is_keeping = !opt->is_front_stream || opt->front == HF_EP_OPENAI_RESPONSES;
    hf_sse_init(&a->sse);
    hf_ndjson_init(&a->lines);
    hf_buf_init(&a->whole, HF_LIMIT_ANSWER);
    hf_buf_init(&a->plain, HF_LIMIT_STREAM_EVENT);
    hf_quick_shape_init(&a->shape);
    return a;
}

void hf_answer_free(struct hf_answer *a)
{
    if (a == NULL)
        return;
    hf_assert_magic(a, MAGIC);
    for (size_t i = 0; i < a->n_blocks; i++) {
        hf_buf_deinit(&a->blocks[i].text);
        hf_buf_deinit(&a->blocks[i].signature);
        hf_free(a->blocks[i].id);
        hf_free(a->blocks[i].name);
    }
    hf_free(a->blocks);
    hf_sse_deinit(&a->sse);
    hf_ndjson_deinit(&a->lines);
    hf_buf_deinit(&a->whole);
    hf_buf_deinit(&a->plain);
    hf_quick_shape_deinit(&a->shape);
    hf_free(a->model);
    hf_free(a->id);
    a->magic = 0;
    hf_free(a);
}

const struct hf_answer_state *hf_answer_state(const struct hf_answer *a)
{
    return &a->st;
}

void hf_answer_nonsense(struct hf_answer *a, enum hf_code code, const char *fmt, ...)
{
    va_list ap;
    if (a->failed != HF_OK)
        return;
    a->failed = code;
    a->is_over = true;
    a->st.is_done = false;
    va_start(ap, fmt);
    vsnprintf(a->failed_text, sizeof(a->failed_text), fmt, ap);
    va_end(ap);
}

/* ---- blocks, as decoders report them ----------------------------------------------------------
 */

static const struct hf_encoder *encoder(const struct hf_answer *a)
{
    return a->is_passing || !a->opt.is_front_stream ? NULL : hf_encoder_of(a->opt.front);
}

static void start(struct hf_answer *a)
{
    const struct hf_encoder *e = encoder(a);
    if (!a->is_started && e != NULL)
        e->start(a);
    a->is_started = true;
}

static struct hf_block *last_block(struct hf_answer *a)
{
    hf_assert(a->n_blocks > 0 && a->is_open);
    return &a->blocks[a->n_blocks - 1];
}

void hf_answer_close(struct hf_answer *a)
{
    const struct hf_encoder *e = encoder(a);
    if (!a->is_open)
        return;
    struct hf_block *b = last_block(a);
    if (e != NULL)
        e->close(a, b);
    if (!a->is_keeping)
        hf_buf_deinit(&b->text);
    a->is_open = false;
}

static char *copied(const json_t *text)
{
    return text == NULL ? NULL : hf_strdup(json_string_value(text));
}

static struct hf_block *next_block(struct hf_answer *a)
{
    if (a->n_blocks == a->cap_blocks) {
        a->cap_blocks = a->cap_blocks == 0 ? 4 : a->cap_blocks * 2;
        a->blocks = hf_realloc(a->blocks, a->cap_blocks, sizeof(*a->blocks));
    }
    return &a->blocks[a->n_blocks++];
}

static void open_block(struct hf_answer *a, enum hf_block_kind kind, const json_t *id,
                       const json_t *name)
{
    const struct hf_encoder *e = encoder(a);
    start(a);
    hf_answer_close(a);
    if (a->n_blocks >= HF_LIMIT_MESSAGES) {
        hf_answer_nonsense(a, HF_E_LIMIT, "more than %d parts in one answer", HF_LIMIT_MESSAGES);
        return;
    }
    struct hf_block *b = next_block(a);
    *b = (struct hf_block){.kind = kind, .name = copied(name)};
    hf_buf_init(&b->text, HF_LIMIT_ANSWER);
    hf_buf_init(&b->signature, HF_LIMIT_ANSWER);
    if (kind == HF_BLOCK_CALL)
        b->id = id != NULL && json_string_length(id) > 0
                    ? copied(id)
                    : hf_asprintf("call_%s_%d", a->id, a->n_calls);
    a->n_calls += kind == HF_BLOCK_CALL;
    a->is_open = true;
    if (e != NULL)
        e->open(a, b);
}

static void keep(struct hf_answer *a, struct hf_buf *text, const char *s, size_t n)
{
    a->kept_bytes += n;
    if (a->kept_bytes > HF_LIMIT_ANSWER || hf_buf_append(text, s, n, NULL) != HF_OK)
        hf_answer_nonsense(a, HF_E_LIMIT, "the answer is larger than %d bytes", HF_LIMIT_ANSWER);
}

static void piece(struct hf_answer *a, enum hf_block_kind kind, const char *s, size_t n)
{
    const struct hf_encoder *e = encoder(a);
    if (a->is_over || n == 0)
        return;
    if (!a->is_open || last_block(a)->kind != kind)
        open_block(a, kind, NULL, NULL);
    if (a->is_over)
        return;
    struct hf_block *b = last_block(a);
    a->st.is_meaningful = true;
    a->st.n_pieces++;
    if (!a->is_passing && (a->is_keeping || kind == HF_BLOCK_CALL))
        keep(a, &b->text, s, n);
    if (e != NULL)
        e->delta(a, b, s, n);
}

void hf_answer_text(struct hf_answer *a, const json_t *text)
{
    if (json_is_string(text))
        piece(a, HF_BLOCK_TEXT, json_string_value(text), json_string_length(text));
}

void hf_answer_think(struct hf_answer *a, const json_t *text)
{
    if (json_is_string(text))
        piece(a, HF_BLOCK_THINK, json_string_value(text), json_string_length(text));
}

void hf_answer_signature(struct hf_answer *a, const json_t *text)
{
    if (a->is_open && last_block(a)->kind == HF_BLOCK_THINK && json_is_string(text))
        keep(a, &last_block(a)->signature, json_string_value(text), json_string_length(text));
}

void hf_answer_call(struct hf_answer *a, const json_t *id, const json_t *name)
{
    if (a->is_over)
        return;
    if (a->is_passing) {
        a->st.is_meaningful = true;
        a->n_calls++;
        return;
    }
    if (!json_is_string(name)) {
        hf_answer_nonsense(a, HF_E_CORRUPT, "a tool call without a name");
        return;
    }
    open_block(a, HF_BLOCK_CALL, json_is_string(id) ? id : NULL, name);
    a->st.is_meaningful = true;
}

void hf_answer_arguments(struct hf_answer *a, const char *s, size_t n)
{
    if (a->is_passing)
        a->st.n_pieces++;
    else if (!a->is_over && (!a->is_open || last_block(a)->kind != HF_BLOCK_CALL))
        hf_answer_nonsense(a, HF_E_CORRUPT, "arguments of no tool call");
    else
        piece(a, HF_BLOCK_CALL, s, n);
}

void hf_answer_done(struct hf_answer *a, enum hf_finish finish)
{
    const struct hf_encoder *e = encoder(a);
    if (a->is_over)
        return;
    start(a);
    hf_answer_close(a);
    if (a->is_over || a->st.has_error)
        return;
    a->st.finish = finish == HF_FINISH_STOP && a->n_calls > 0 ? HF_FINISH_TOOLS : finish;
    if (e != NULL)
        e->finish(a);
    a->st.is_done = true;
    a->is_over = true;
}

void hf_answer_error(struct hf_answer *a, const json_t *event)
{
    struct hf_buf text;
    hf_buf_init(&text, HF_LIMIT_STREAM_EVENT + HF_KIB);
    struct hf_tw w = {&text, false};
    hf_tw_value(&w, event);
    hf_api_error_parse(hf_endpoint_dialect(a->opt.upstream), 200, (const char *)text.data, text.len,
                       &a->st.error);
    hf_buf_deinit(&text);
    a->st.has_error = true;
    a->is_over = true;
}

/* ---- bytes in ---------------------------------------------------------------------------------
 */

/* What an event wrote before it turned out to be nonsense or an error is taken back. */
static void decode(struct hf_answer *a, const json_t *event, bool is_whole)
{
    size_t kept = a->w.out->len;
    switch (hf_endpoint_dialect(a->opt.upstream)) {
    case HF_DIALECT_OLLAMA:
        hf_decode_ollama(a, event);
        break;
    case HF_DIALECT_OPENAI:
        hf_decode_openai(a, event, is_whole);
        break;
    case HF_DIALECT_ANTHROPIC:
        if (is_whole)
            hf_decode_anthropic_whole(a, event);
        else
            hf_decode_anthropic(a, event);
        break;
    }
    if (a->failed != HF_OK || a->st.has_error)
        a->w.out->len = kept;
}

static bool is_lines(const struct hf_answer *a)
{
    return hf_endpoint_dialect(a->opt.upstream) == HF_DIALECT_OLLAMA;
}

/* The piece as blocks want it; one that only passes through is counted, not read. */
static bool take_piece(struct hf_answer *a, const struct hf_jsonscan_value *v)
{
    const char *s = v->text + 1;
    size_t n = v->kind == HF_JSON_STRING ? v->len - 2 : 0;
    if (n > 0 && !a->is_passing && memchr(s, '\\', n) != NULL) {
        hf_buf_reset(&a->plain);
        if (hf_buf_reserve(&a->plain, n + 1, NULL) != HF_OK ||
            hf_jsonscan_str(v, (char *)a->plain.data, n + 1, NULL) != HF_OK)
            return false;
        s = (const char *)a->plain.data;
        n = strlen(s);
    }
    piece(a, HF_BLOCK_TEXT, s, n);
    return true;
}

/* An event that is nothing but a piece of text, or the end; false if it has to be read as a tree.
 */
static bool take_quickly(struct hf_answer *a, const char *event, const char *text, size_t len)
{
    struct hf_quick q;
    size_t kept = a->w.out->len;
    if (!hf_quick_event(&a->shape, a->opt.upstream, text, len, &q) ||
        (a->is_passing && memchr(text, '\n', len) != NULL) || !take_piece(a, &q.piece))
        return false;
    if (q.finish != HF_FINISH_NONE)
        a->said_finish = q.finish;
    if (a->failed != HF_OK)
        a->w.out->len = kept;
    if (a->failed != HF_OK || !a->is_passing)
        return true;
    if (!is_lines(a))
        hf_pass_event_head(a, event);
    if (q.model.kind == HF_JSON_STRING && a->model != NULL)
        hf_pass_renamed(a, text, len, &q.model);
    else
        hf_tw_bytes(&a->w, text, len);
    hf_tw_raw(&a->w, is_lines(a) ? "\n" : "\n\n");
    return true;
}

static enum hf_code settle(struct hf_answer *a, struct hf_err *err)
{
    if (a->failed != HF_OK)
        return hf_err_set(err, a->failed, "%s", a->failed_text);
    return HF_OK;
}

static enum hf_code on_event(void *arg, const char *event, const char *data, size_t len,
                             struct hf_err *err)
{
    struct hf_answer *a = arg;
    HF_AUTO_JSON json_t *o = NULL;
    a->st.n_events++;
    if (a->is_over)
        return HF_OK;
    if (len == 6 && memcmp(data, "[DONE]", 6) == 0) {
        hf_decode_openai_done(a);
        if (a->is_passing && a->st.is_done)
            hf_pass_event(a, event, data, len);
        return HF_OK;
    }
    if (take_quickly(a, event, data, len))
        return HF_OK;
    if (hf_tj_load_object(data, len, &o, err) != HF_OK) {
        hf_answer_nonsense(a, HF_E_CORRUPT, "an event is no JSON object");
        return HF_OK;
    }
    bool was_over = a->is_over;
    decode(a, o, false);
    bool is_good = a->failed == HF_OK && !a->st.has_error && !was_over;
    if (a->is_passing && is_good && !(a->opt.strips_usage && hf_pass_is_usage_only(o)))
        hf_pass_parsed(a, o, data, len, hf_pass_event, event);
    return HF_OK;
}

static enum hf_code on_line(void *arg, const char *line, size_t len, struct hf_err *err)
{
    struct hf_answer *a = arg;
    HF_AUTO_JSON json_t *o = NULL;
    a->st.n_events++;
    if (a->is_over)
        return HF_OK;
    if (take_quickly(a, "", line, len))
        return HF_OK;
    if (hf_tj_load_object(line, len, &o, err) != HF_OK) {
        hf_answer_nonsense(a, HF_E_CORRUPT, "a line is no JSON object");
        return HF_OK;
    }
    decode(a, o, false);
    if (a->is_passing && a->failed == HF_OK && !a->st.has_error) {
        hf_pass_json(a, line, len);
        hf_tw_raw(&a->w, "\n");
    }
    return HF_OK;
}

static void begin(struct hf_answer *a, int64_t now_ms, struct hf_buf *out)
{
    hf_assert_magic(a, MAGIC);
    a->w = (struct hf_tw){out, false};
    a->now_ms = now_ms;
}

static enum hf_code end(struct hf_answer *a, enum hf_code rc, struct hf_err *err)
{
    if (rc == HF_OK)
        rc = settle(a, err);
    if (rc == HF_OK)
        rc = hf_tw_end(&a->w, err);
    if (rc != HF_OK && a->failed == HF_OK)
        hf_answer_nonsense(a, rc, "%s", err == NULL ? "the answer failed" : err->text);
    return rc;
}

enum hf_code hf_answer_feed(struct hf_answer *a, const void *bytes, size_t len, int64_t now_ms,
                            struct hf_buf *out, struct hf_err *err)
{
    enum hf_code rc;
    begin(a, now_ms, out);
    a->st.n_bytes += (int64_t)len;
    if (a->is_over)
        return settle(a, err);
    if (!a->opt.is_upstream_stream)
        rc = hf_buf_append(&a->whole, bytes, len, err);
    else if (is_lines(a))
        rc = hf_ndjson_feed(&a->lines, bytes, len, on_line, a, err);
    else
        rc = hf_sse_feed(&a->sse, bytes, len, on_event, a, err);
    return end(a, rc, err);
}

/* ---- the end ----------------------------------------------------------------------------------
 */

static enum hf_code finish_whole(struct hf_answer *a, struct hf_err *err)
{
    const char *text = (const char *)a->whole.data;
    size_t len = a->whole.len;
    HF_AUTO_JSON json_t *o = NULL;
    if (len == 0)
        return hf_err_set(err, HF_E_IO, "the answer is empty");
    if (hf_is_embedding(a->opt.upstream) || a->opt.upstream == HF_EP_ANTHROPIC_COUNT)
        return a->is_passing ? hf_embed_observe(a, text, len, err)
                             : hf_embed_translate(a, text, len, err);
    if (hf_tj_load_object(text, len, &o, err) != HF_OK)
        return hf_err_set(err, HF_E_CORRUPT, "the answer is no JSON object, or cut");
    decode(a, o, true);
    if (a->is_passing && a->st.is_done && a->failed == HF_OK)
        hf_pass_parsed(a, o, text, len, hf_pass_body, "");
    return HF_OK;
}

static enum hf_code finish_stream(struct hf_answer *a, struct hf_err *err)
{
    if (is_lines(a))
        return hf_ndjson_finish(&a->lines, on_line, a, err);
    return hf_sse_finish(&a->sse, on_event, a, err);
}

enum hf_code hf_answer_finish(struct hf_answer *a, int64_t now_ms, struct hf_buf *out,
                              struct hf_err *err)
{
    size_t kept = out->len;
    begin(a, now_ms, out);
    enum hf_code rc = settle(a, err);
    if (rc == HF_OK && !a->is_over)
        rc = a->opt.is_upstream_stream ? finish_stream(a, err) : finish_whole(a, err);
    if (rc == HF_OK)
        rc = settle(a, err);
    if (rc == HF_OK && !a->st.is_done && !a->st.has_error)
        rc = hf_err_set(err, HF_E_IO, "the answer ended before its end was said");
    if (rc == HF_OK && a->st.is_done && !a->is_passing && !a->opt.is_front_stream &&
        !hf_is_embedding(a->opt.upstream))
        hf_encode_whole(a);
    if (!a->opt.is_front_stream && (rc != HF_OK || a->failed != HF_OK || a->st.has_error))
        out->len = kept;
    return end(a, rc, err);
}

const char *hf_answer_content_type(enum hf_endpoint front, bool is_stream)
{
    if (!is_stream)
        return "application/json";
    return hf_endpoint_dialect(front) == HF_DIALECT_OLLAMA ? "application/x-ndjson"
                                                           : "text/event-stream";
}

enum hf_code hf_answer_nothing(enum hf_endpoint front, const char *model, int64_t now_ms,
                               struct hf_buf *out, struct hf_err *err)
{
    struct hf_tw w = {out, false};
    if (hf_endpoint_dialect(front) == HF_DIALECT_OPENAI) {
        hf_tw_raw(&w, ": waiting\n\n");
    } else if (hf_endpoint_dialect(front) == HF_DIALECT_ANTHROPIC) {
        hf_tw_raw(&w, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
    } else {
        hf_tw_raw(&w, "{\"model\":");
        hf_tw_cstr(&w, model);
        hf_tw_raw(&w, ",\"created_at\":");
        hf_tw_time(&w, now_ms);
        hf_tw_raw(&w, front == HF_EP_OLLAMA_GENERATE
                          ? ",\"response\":\"\",\"done\":false}\n"
                          : ",\"message\":{\"role\":\"assistant\",\"content\":\"\"},"
                            "\"done\":false}\n");
    }
    return hf_tw_end(&w, err);
}
