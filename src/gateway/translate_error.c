/*
 * Errors of upstreams, classed, and told to clients in their own dialect.
 *
 *   Ollama      {"error":"text"}
 *   OpenAI      {"error":{"message","type","param","code"}}; Together also {"error":"text"}
 *   Anthropic   {"type":"error","error":{"type","message"},"request_id"}
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "gateway/translate_answer.h"

/* What each class is in each dialect. Status 529 is known to Anthropic's clients only. */
static const struct class_row {
    const char *word;
    int status;
    int status_anthropic;
    const char *openai;
    const char *anthropic;
} classes[] = {
    [HF_API_NONE] = {"none", 500, 500, "api_error", "api_error"},
    [HF_API_INVALID] = {"invalid", 400, 400, "invalid_request_error", "invalid_request_error"},
    [HF_API_CONTEXT] = {"context", 400, 400, "invalid_request_error", "invalid_request_error"},
    [HF_API_AUTH] = {"auth", 401, 401, "authentication_error", "authentication_error"},
    [HF_API_BILLING] = {"billing", 402, 402, "insufficient_quota", "billing_error"},
    [HF_API_MODEL] = {"model", 404, 404, "not_found_error", "not_found_error"},
    [HF_API_NOT_FOUND] = {"not-found", 404, 404, "not_found_error", "not_found_error"},
    [HF_API_CONFLICT] = {"conflict", 409, 409, "conflict_error", "conflict_error"},
    [HF_API_TOO_LARGE] = {"too-large", 413, 413, "invalid_request_error", "request_too_large"},
    [HF_API_RATE] = {"rate", 429, 429, "rate_limit_error", "rate_limit_error"},
    [HF_API_BUSY] = {"busy", 503, 529, "api_error", "overloaded_error"},
    [HF_API_SERVER] = {"server", 502, 502, "api_error", "api_error"},
    [HF_API_TIMEOUT] = {"timeout", 504, 504, "api_error", "timeout_error"},
};

const char *hf_api_class_word(enum hf_api_class kind)
{
    hf_assert((size_t)kind < HF_ARRAY_LEN(classes));
    return classes[kind].word;
}

static enum hf_api_class class_of_status(int status)
{
    static const struct {
        int status;
        enum hf_api_class kind;
    } rows[] = {{401, HF_API_AUTH},      {402, HF_API_BILLING}, {403, HF_API_AUTH},
                {404, HF_API_NOT_FOUND}, {408, HF_API_TIMEOUT}, {409, HF_API_CONFLICT},
                {413, HF_API_TOO_LARGE}, {429, HF_API_RATE},    {503, HF_API_BUSY},
                {504, HF_API_TIMEOUT},   {529, HF_API_BUSY}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].kind;
    return status >= 400 && status < 500 ? HF_API_INVALID : HF_API_SERVER;
}

/* Words that servers use; the first that fits. Types and codes before texts. */
static const struct word_row {
    const char *word;
    enum hf_api_class kind;
    bool is_text; /* looked for inside the message, not compared with type and code */
} words[] = {
    {"insufficient_quota", HF_API_BILLING, false},
    {"enforced_spend_limit_reached", HF_API_BILLING, false},
    {"billing_error", HF_API_BILLING, false},
    {"context_length_exceeded", HF_API_CONTEXT, false},
    {"exceed_context_size_error", HF_API_CONTEXT, false},
    {"model_not_found", HF_API_MODEL, false},
    {"model_not_available", HF_API_MODEL, false},
    {"authentication_error", HF_API_AUTH, false},
    {"permission_error", HF_API_AUTH, false},
    {"invalid_api_key", HF_API_AUTH, false},
    {"rate_limit_error", HF_API_RATE, false},
    {"rate_limit_exceeded", HF_API_RATE, false},
    {"dynamic_request_limited", HF_API_RATE, false},
    {"dynamic_token_limited", HF_API_RATE, false},
    {"overloaded_error", HF_API_BUSY, false},
    {"timeout_error", HF_API_TIMEOUT, false},
    {"request_too_large", HF_API_TOO_LARGE, false},
    {"prompt is too long", HF_API_CONTEXT, true},
    {"maximum context length", HF_API_CONTEXT, true},
    {"context window", HF_API_CONTEXT, true},
    {"exceeds the available context", HF_API_CONTEXT, true},
    {"input length exceeds", HF_API_CONTEXT, true},
    {"server busy", HF_API_BUSY, true},
    {"try pulling it first", HF_API_MODEL, true},
};

static bool has_text(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (; *text != '\0'; text++)
        if (strncasecmp(text, word, n) == 0)
            return true;
    return false;
}

static bool is_model_missing(const struct hf_api_error *e)
{
    return e->status == 404 && has_text(e->text, "model") &&
           (has_text(e->text, "not found") || has_text(e->text, "does not exist"));
}

static enum hf_api_class classify(const struct hf_api_error *e)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(words); i++) {
        const struct word_row *r = &words[i];
        if (r->is_text ? has_text(e->text, r->word)
                       : strcmp(e->type, r->word) == 0 || strcmp(e->code, r->word) == 0)
            return r->kind;
    }
    if (is_model_missing(e))
        return HF_API_MODEL;
    if (e->status == 200 && strcmp(e->type, "invalid_request_error") == 0)
        return HF_API_INVALID;
    /* Anthropic's 404 can only mean the model: the path is ours. */
    if (e->status == 404 && strcmp(e->type, "not_found_error") == 0)
        return HF_API_MODEL;
    return class_of_status(e->status);
}

/* Copies at most cap - 1 bytes, never half a UTF-8 sequence; control characters become blanks. */
static void copy_text(char *out, size_t cap, const char *s, size_t n)
{
    if (n >= cap) {
        n = cap - 1;
        while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
            n--;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)s[i] < 0x20 ? ' ' : s[i];
    out[n] = '\0';
}

static void copy_json(char *out, size_t cap, const json_t *v)
{
    if (json_is_string(v))
        copy_text(out, cap, json_string_value(v), json_string_length(v));
    else if (json_is_integer(v))
        snprintf(out, cap, "%lld", (long long)json_integer_value(v));
}

static void read_object(const json_t *body, struct hf_api_error *e)
{
    const json_t *error = hf_tj_get(body, "error"), *details = hf_tj_object(error, "details");
    if (json_is_string(error))
        copy_json(e->text, sizeof(e->text), error);
    if (hf_tj_is(hf_tj_get(body, "object"), "error"))
        error = body;
    copy_json(e->text, sizeof(e->text), hf_tj_get(error, "message"));
    copy_json(e->type, sizeof(e->type), hf_tj_get(error, "type"));
    copy_json(e->code, sizeof(e->code), hf_tj_get(error, "code"));
    copy_json(e->code, sizeof(e->code), hf_tj_get(details, "code"));
    /* Inside a stream some servers give the status they would have answered with as the code. */
    int64_t status = hf_tj_i64(error, "code");
    if (e->status == 200 && status >= 400 && status < 600)
        e->status = (int)status;
    if (e->text[0] == '\0')
        copy_json(e->text, sizeof(e->text), hf_tj_get(body, "message"));
}

/* What a server that speaks no JSON said, if it can be read. */
static void read_text(const char *body, size_t len, struct hf_api_error *e)
{
    if (len == 0)
        return;
    bool is_plain = body[0] != '<';
    for (size_t i = 0; i < len && i < sizeof(e->text); i++)
        is_plain = is_plain && (unsigned char)body[i] < 0x80;
    if (is_plain)
        copy_text(e->text, sizeof(e->text), body, len);
}

void hf_api_error_parse(enum hf_dialect d, int status, const char *body, size_t len,
                        struct hf_api_error *out)
{
    struct hf_api_error e = {.status = status};
    HF_AUTO_JSON json_t *o = NULL;
    if (len > 0 && hf_tj_load_object(body, len, &o, NULL) == HF_OK)
        read_object(o, &e);
    else
        read_text(body, len, &e);
    if (e.text[0] == '\0')
        snprintf(e.text, sizeof(e.text), "the %s server answered %d without a reason",
                 hf_dialect_word(d), status);
    e.kind = classify(&e);
    *out = e;
}

void hf_api_error_set(struct hf_api_error *e, enum hf_api_class kind, const char *fmt, ...)
{
    va_list ap;
    *e = (struct hf_api_error){.kind = kind, .status = classes[kind].status};
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
}

int hf_api_error_status(enum hf_dialect d, const struct hf_api_error *e)
{
    const struct class_row *row = &classes[e->kind];
    if (e->kind == HF_API_INVALID && e->status >= 400 && e->status < 500)
        return e->status;
    if (e->kind == HF_API_AUTH && e->status == 403)
        return 403;
    if (e->kind == HF_API_SERVER && e->status == 500)
        return 500;
    return d == HF_DIALECT_ANTHROPIC ? row->status_anthropic : row->status;
}

static void quoted(struct hf_tw *w, const char *before, const char *text)
{
    hf_tw_raw(w, before);
    hf_tw_cstr(w, text);
}

static void write_openai(struct hf_tw *w, const struct hf_api_error *e)
{
    quoted(w, "{\"error\":{\"message\":", e->text);
    quoted(w, ",\"type\":", classes[e->kind].openai);
    const char *code = e->code[0] != '\0'          ? e->code
                       : e->kind == HF_API_MODEL   ? "model_not_found"
                       : e->kind == HF_API_CONTEXT ? "context_length_exceeded"
                       : e->kind == HF_API_BILLING ? "insufficient_quota"
                                                   : NULL;
    hf_tw_raw(w, ",\"param\":null");
    if (code == NULL)
        hf_tw_raw(w, ",\"code\":null");
    else
        quoted(w, ",\"code\":", code);
    hf_tw_raw(w, "}}");
}

static void write_anthropic(struct hf_tw *w, const struct hf_api_error *e, const char *request_id)
{
    quoted(w, "{\"type\":\"error\",\"error\":{\"type\":",
           e->kind == HF_API_AUTH && e->status == 403 ? "permission_error"
                                                      : classes[e->kind].anthropic);
    quoted(w, ",\"message\":", e->text);
    hf_tw_raw(w, "}");
    if (request_id != NULL)
        quoted(w, ",\"request_id\":", request_id);
    hf_tw_raw(w, "}");
}

static void write_error(struct hf_tw *w, enum hf_dialect d, const struct hf_api_error *e,
                        const char *request_id)
{
    if (d == HF_DIALECT_OPENAI) {
        write_openai(w, e);
    } else if (d == HF_DIALECT_ANTHROPIC) {
        write_anthropic(w, e, request_id);
    } else {
        quoted(w, "{\"error\":", e->text);
        hf_tw_raw(w, "}");
    }
}

enum hf_code hf_api_error_write(enum hf_dialect d, const struct hf_api_error *e,
                                const char *request_id, struct hf_buf *out, struct hf_err *err)
{
    struct hf_tw w = {out, false};
    write_error(&w, d, e, request_id);
    return hf_tw_end(&w, err);
}

enum hf_code hf_answer_abort(struct hf_answer *a, const struct hf_api_error *why,
                             struct hf_buf *out, struct hf_err *err)
{
    enum hf_dialect d = hf_endpoint_dialect(a->opt.front);
    struct hf_tw w = {out, false};
    a->is_over = true;
    if (d == HF_DIALECT_ANTHROPIC)
        hf_tw_raw(&w, "event: error\n");
    if (a->opt.front == HF_EP_OPENAI_RESPONSES)
        hf_tw_raw(&w, "event: error\n");
    if (d != HF_DIALECT_OLLAMA)
        hf_tw_raw(&w, "data: ");
    if (a->opt.front == HF_EP_OPENAI_RESPONSES) {
        quoted(&w, "{\"type\":\"error\",\"code\":", classes[why->kind].openai);
        quoted(&w, ",\"message\":", why->text);
        hf_tw_raw(&w, ",\"param\":null,\"sequence_number\":");
        hf_tw_i64(&w, a->sequence);
        hf_tw_raw(&w, "}");
    } else {
        write_error(&w, d, why, a->id);
    }
    hf_tw_raw(&w, d == HF_DIALECT_OLLAMA ? "\n" : "\n\n");
    return hf_tw_end(&w, err);
}
