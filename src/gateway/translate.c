#include "gateway/translate.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "codec/jsonscan.h"
#include "gateway/translate_form.h"
#include "gateway/translate_media.h"

struct endpoint_row {
    enum hf_dialect dialect;
    const char *method;
    const char *path;
    const char *word;
};

static const struct endpoint_row endpoints[HF_EP_COUNT_] = {
#define X(name, dialect, method, path, word) [name] = {dialect, method, path, word},
    HF_ENDPOINTS(X)
#undef X
};

enum hf_dialect hf_endpoint_dialect(enum hf_endpoint ep)
{
    hf_assert(ep < HF_EP_COUNT_);
    return endpoints[ep].dialect;
}

const char *hf_endpoint_path(enum hf_endpoint ep)
{
    hf_assert(ep < HF_EP_COUNT_);
    return endpoints[ep].path;
}

const char *hf_endpoint_word(enum hf_endpoint ep)
{
    hf_assert(ep < HF_EP_COUNT_);
    return endpoints[ep].word;
}

const char *hf_dialect_word(enum hf_dialect d)
{
    static const char *const words[] = {"ollama", "openai", "anthropic"};
    return words[d];
}

bool hf_endpoint_of_path(const char *path, enum hf_endpoint *out)
{
    for (size_t i = 0; i < HF_EP_COUNT_; i++) {
        if (strcmp(endpoints[i].path, path) == 0) {
            *out = (enum hf_endpoint)i;
            return true;
        }
    }
    return false;
}

bool hf_ollama_name_equal(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b), tag = strlen(":latest");
    const char *base_a = strrchr(a, '/'), *base_b = strrchr(b, '/');
    bool has_a = strchr(base_a != NULL ? base_a : a, ':') != NULL;
    bool has_b = strchr(base_b != NULL ? base_b : b, ':') != NULL;
    if (has_a != has_b && (has_a ? la : lb) > tag) {
        const char *longer = has_a ? a : b;
        size_t cut = (has_a ? la : lb) - tag;
        return cut == (has_a ? lb : la) && strcasecmp(longer + cut, ":latest") == 0 &&
               strncasecmp(a, b, cut) == 0;
    }
    return strcasecmp(a, b) == 0;
}

/* ---- peeking ----------------------------------------------------------------------------------
 */

enum peek_key {
    K_MODEL,
    K_STREAM,
    K_N,
    K_BEST_OF,
    K_LOGPROBS,
    K_TOP_LOGPROBS,
    K_MODALITIES,
    K_STREAM_OPTIONS,
    K_ENCODING,
    K_MAX_TOKENS,
    K_MAX_COMPLETION,
    K_MAX_OUTPUT,
    K_OPTIONS,
    K_MESSAGES,
    K_PROMPT,
    K_AMOUNT,
};

static const char *const peek_keys[K_AMOUNT] = {"model",
                                                "stream",
                                                "n",
                                                "best_of",
                                                "logprobs",
                                                "top_logprobs",
                                                "modalities",
                                                "stream_options",
                                                "encoding_format",
                                                "max_tokens",
                                                "max_completion_tokens",
                                                "max_output_tokens",
                                                "options",
                                                "messages",
                                                "prompt"};

static bool says_nothing(const struct hf_jsonscan_value *v)
{
    int64_t n;
    return v->kind == HF_JSON_ABSENT || v->kind == HF_JSON_NULL || v->kind == HF_JSON_FALSE ||
           (hf_jsonscan_i64(v, &n) && n == 0);
}

static bool is_one(const struct hf_jsonscan_value *v)
{
    int64_t n;
    return says_nothing(v) || (hf_jsonscan_i64(v, &n) && n == 1);
}

static bool is_empty_list(const struct hf_jsonscan_value *v)
{
    struct hf_jsonscan s;
    struct hf_jsonscan_value item;
    bool is_member = false;
    if (v->kind == HF_JSON_STRING)
        return v->len == 2;
    if (v->kind != HF_JSON_ARRAY)
        return v->kind == HF_JSON_ABSENT || v->kind == HF_JSON_NULL;
    return hf_jsonscan_open(&s, v->text, v->len, NULL) == HF_OK &&
           hf_jsonscan_next(&s, NULL, &item, &is_member, NULL) == HF_OK && !is_member;
}

static void peek_nested(const struct hf_jsonscan_value *v, const char *key,
                        struct hf_jsonscan_value *out)
{
    *out = (struct hf_jsonscan_value){HF_JSON_ABSENT, NULL, 0};
    if (v->kind == HF_JSON_OBJECT && hf_jsonscan_find(v->text, v->len, &key, 1, out, NULL) != HF_OK)
        *out = (struct hf_jsonscan_value){HF_JSON_ABSENT, NULL, 0};
}

enum { NUMBER_TEXT = 40 };

/* A count as any host may read it: 100.0 and 1e2 are 100. None, 0 or less: 0, no limit. */
static enum hf_code peek_count(const struct hf_jsonscan_value *v, const char *name, int64_t *out,
                               struct hf_err *err)
{
    char text[NUMBER_TEXT];
    *out = 0;
    if (v->kind == HF_JSON_ABSENT || v->kind == HF_JSON_NULL)
        return HF_OK;
    if (v->kind != HF_JSON_NUMBER || v->len >= sizeof(text))
        return hf_err_set(err, HF_E_INVALID, "%s: a number is expected", name);
    if (!hf_jsonscan_i64(v, out)) {
        memcpy(text, v->text, v->len);
        text[v->len] = '\0';
        double d = strtod(text, NULL);
        *out = d >= (double)HF_TOKENS_SAID_MAX ? HF_TOKENS_SAID_MAX : d > 0 ? (int64_t)d + 1 : 0;
    }
    *out = *out < 0 ? 0 : *out > HF_TOKENS_SAID_MAX ? HF_TOKENS_SAID_MAX : *out;
    return HF_OK;
}

/* The limit that the endpoint knows; where there are two words for it, a host may go by either. */
static enum hf_code peek_max(enum hf_endpoint ep, const struct hf_jsonscan_value *v,
                             struct hf_request_head *h, struct hf_err *err)
{
    struct hf_jsonscan_value predict;
    int64_t other = 0;
    if (hf_endpoint_dialect(ep) == HF_DIALECT_OLLAMA) {
        peek_nested(&v[K_OPTIONS], "num_predict", &predict);
        return peek_count(&predict, "options.num_predict", &h->max_tokens, err);
    }
    if (ep == HF_EP_OPENAI_RESPONSES)
        return peek_count(&v[K_MAX_OUTPUT], peek_keys[K_MAX_OUTPUT], &h->max_tokens, err);
    HF_TRY(peek_count(&v[K_MAX_TOKENS], peek_keys[K_MAX_TOKENS], &h->max_tokens, err));
    if (hf_endpoint_dialect(ep) == HF_DIALECT_OPENAI)
        HF_TRY(peek_count(&v[K_MAX_COMPLETION], peek_keys[K_MAX_COMPLETION], &other, err));
    h->max_tokens = other > h->max_tokens ? other : h->max_tokens;
    return HF_OK;
}

/* best_of answers are made, and paid for, whatever n says. */
static enum hf_code peek_answers(const struct hf_jsonscan_value *v, struct hf_request_head *h,
                                 struct hf_err *err)
{
    int64_t best_of = 0;
    HF_TRY(peek_count(&v[K_N], peek_keys[K_N], &h->n_answers, err));
    HF_TRY(peek_count(&v[K_BEST_OF], peek_keys[K_BEST_OF], &best_of, err));
    h->n_answers = best_of > h->n_answers ? best_of : h->n_answers;
    return HF_OK;
}

static enum hf_code peek_model(const struct hf_jsonscan_value *v, struct hf_request_head *h,
                               struct hf_err *err)
{
    if (v->kind != HF_JSON_STRING || v->len == 2)
        return hf_err_set(err, HF_E_INVALID, "model: %s",
                          v->kind == HF_JSON_ABSENT ? "is required" : "a name is expected");
    enum hf_code rc = hf_jsonscan_str(v, h->model, sizeof(h->model), err);
    if (rc != HF_OK) {
        hf_err_wrap(err, "model");
        return rc;
    }
    return HF_OK;
}

static struct hf_body_span span(const struct hf_jsonscan_value *v, const char *body)
{
    if (v->kind == HF_JSON_ABSENT)
        return (struct hf_body_span){0, 0};
    return (struct hf_body_span){(size_t)(v->text - body), v->len};
}

enum hf_code hf_request_peek(enum hf_endpoint ep, const char *body, size_t len,
                             struct hf_request_head *out, struct hf_err *err)
{
    struct hf_jsonscan_value v[K_AMOUNT], usage;
    struct hf_request_head h = {.ep = ep};
    HF_TRY(hf_jsonscan_find_sure(body, len, peek_keys, K_AMOUNT, v, err));
    HF_TRY(peek_model(&v[K_MODEL], &h, err));
    enum hf_jsonscan_kind stream = v[K_STREAM].kind;
    if (stream != HF_JSON_ABSENT && stream != HF_JSON_NULL && stream != HF_JSON_TRUE &&
        stream != HF_JSON_FALSE)
        return hf_err_set(err, HF_E_INVALID, "stream: true or false is expected");
    bool is_generation = ep == HF_EP_OLLAMA_CHAT || ep == HF_EP_OLLAMA_GENERATE;
    h.is_stream = stream == HF_JSON_TRUE || (is_generation && stream != HF_JSON_FALSE);
    if (ep == HF_EP_OLLAMA_EMBED || ep == HF_EP_OLLAMA_EMBEDDINGS ||
        ep == HF_EP_OPENAI_EMBEDDINGS || ep == HF_EP_ANTHROPIC_COUNT)
        h.is_stream = false;
    h.is_load = (ep == HF_EP_OLLAMA_CHAT && is_empty_list(&v[K_MESSAGES])) ||
                (ep == HF_EP_OLLAMA_GENERATE && is_empty_list(&v[K_PROMPT]));
    h.is_collectable = is_one(&v[K_N]) && says_nothing(&v[K_LOGPROBS]) &&
                       says_nothing(&v[K_TOP_LOGPROBS]) && says_nothing(&v[K_MODALITIES]);
    peek_nested(&v[K_STREAM_OPTIONS], "include_usage", &usage);
    h.wants_usage = usage.kind == HF_JSON_TRUE;
    h.wants_base64 = hf_jsonscan_is(&v[K_ENCODING], "base64");
    HF_TRY(peek_max(ep, v, &h, err));
    HF_TRY(peek_answers(v, &h, err));
    for (h.object_end = len - 1; body[h.object_end] != '}';)
        h.object_end--;
    h.spans[HF_BODY_MODEL] = span(&v[K_MODEL], body);
    h.spans[HF_BODY_STREAM] = span(&v[K_STREAM], body);
    h.spans[HF_BODY_OPTIONS] = span(&v[K_STREAM_OPTIONS], body);
    *out = h;
    return HF_OK;
}

/* A run of base64 this long may be an image or a file. */
enum { BASE64_RUN = 512 };

static bool is_base64(unsigned char c)
{
    return isalnum(c) || c == '+' || c == '/' || c == '=';
}

static size_t before_blanks(const char *body, size_t at)
{
    while (at > 0 && strchr(" \t\r\n", body[at - 1]) != NULL && body[at - 1] != '\0')
        at--;
    return at;
}

/* Whether a key stands in front of the value at body[at]. Bare quotes are never a client's text. */
static bool is_keyed(const char *body, size_t at, const char *key)
{
    size_t n = strlen(key);
    at = before_blanks(body, at);
    if (at == 0 || body[at - 1] != ':')
        return false;
    at = before_blanks(body, at - 1);
    return at >= n && memcmp(body + at - n, key, n) == 0;
}

enum { MEDIA_TYPE = 100 };

/* "url":"data:image/png;base64,RUN": OpenAI. */
static bool is_data_url(const char *body, size_t run)
{
    static const char *const keys[] = {"\"url\"", "\"image_url\"", "\"file_data\""};
    static const char head[] = "\"data:", tail[] = ";base64,";
    size_t quote = run;
    while (quote > 0 && run - quote < MEDIA_TYPE && body[quote] != '"')
        quote--;
    if (run - quote < sizeof(head) + sizeof(tail) - 2 ||
        memcmp(body + quote, head, sizeof(head) - 1) != 0 ||
        memcmp(body + run - (sizeof(tail) - 1), tail, sizeof(tail) - 1) != 0)
        return false;
    for (size_t i = 0; i < HF_ARRAY_LEN(keys); i++)
        if (is_keyed(body, quote, keys[i]))
            return true;
    return false;
}

/* "images":["RUN","RUN"]: Ollama. *list_end is behind the last of these, so that the next is one.
 */
static bool is_in_images(const char *body, size_t run, size_t *list_end)
{
    size_t at = before_blanks(body, run - 1);
    if (at == 0)
        return false;
    bool is_next = body[at - 1] == ',' && *list_end > 0 && before_blanks(body, at - 1) == *list_end;
    return is_next || (body[at - 1] == '[' && is_keyed(body, at - 1, "\"images\""));
}

/* Whether the run of base64 at body[run..end) is where the dialects have images and files, not in a
 * text: there each of its bytes may be a token. */
static bool is_file(const char *body, size_t run, size_t end, size_t *list_end)
{
    if (run < 2 || (body[run - 1] != '"' && body[run - 1] != ','))
        return false;
    if (body[run - 1] == ',')
        return is_data_url(body, run);
    bool is_listed = is_in_images(body, run, list_end);
    if (is_listed)
        *list_end = end + 1;
    return is_listed || is_keyed(body, run - 1, "\"data\"");
}

enum count { COUNT_USUAL, COUNT_MOST, COUNT_NO_MEDIA };

/* Bytes that are text, and media as if they were some: what an image is said to cost, or the most
 * that they can. */
static size_t text_bytes(const char *body, size_t len, enum count how)
{
    size_t text = 0, run = 0, list_end = 0;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && is_base64((unsigned char)body[i])) {
            run++;
            continue;
        }
        /* An image costs about what 1,500 tokens do, whatever its size in bytes. */
        bool is_image =
            how != COUNT_NO_MEDIA && run >= BASE64_RUN && is_file(body, i - run, i, &list_end);
        text += !is_image           ? run
                : how == COUNT_MOST ? (size_t)hf_media_bound(body + i - run, run)
                                    : 1500 * 7 / 2;
        text += i < len;
        run = 0;
    }
    return text;
}

int64_t hf_request_estimate_tokens(const char *body, size_t len)
{
    return (int64_t)(text_bytes(body, len, COUNT_USUAL) * 2 / 7) + 1;
}

int64_t hf_request_bound_tokens(const char *body, size_t len)
{
    bool has_text = false;
    int64_t links = hf_media_bound_of_links(body, len, &has_text);
    return (int64_t)text_bytes(body, len, has_text ? COUNT_NO_MEDIA : COUNT_MOST) + links + 1;
}

/* ---- the same dialect -------------------------------------------------------------------------
 */

/* One num_ctx a model: a client's own would make the host load the model anew. */
static void edit_ollama(json_t *o, const struct hf_target *t, struct hf_report *report)
{
    if (t->keep_alive != NULL && hf_tj_get(o, "keep_alive") == NULL)
        hf_tj_set_new(o, "keep_alive", hf_tj_keep_alive(t->keep_alive));
    if (t->num_ctx <= 0)
        return;
    json_t *options = hf_tj_object(o, "options");
    if (options == NULL) {
        options = json_object();
        hf_tj_set_new(o, "options", options);
    }
    int64_t asked = hf_tj_i64(options, "num_ctx");
    if (asked != 0 && asked != t->num_ctx)
        hf_report_add(report, "options", "num_ctx");
    hf_tj_set_new(options, "num_ctx", json_integer(t->num_ctx));
}

static void edit_anthropic(json_t *o, const struct hf_target *t, struct hf_report *report)
{
    static const char *const sampling[] = {"temperature", "top_p", "top_k"};
    for (size_t i = 0; t->is_anthropic_2026 && i < HF_ARRAY_LEN(sampling); i++) {
        if (hf_tj_get(o, sampling[i]) != NULL)
            hf_report_add(report, "", sampling[i]);
        json_object_del(o, sampling[i]);
    }
}

static void edit_openai(json_t *o, const struct hf_target *t, bool is_stream)
{
    if (!is_stream || t->has_no_stream_options)
        return;
    json_t *options = hf_tj_object(o, "stream_options");
    if (options == NULL) {
        options = json_object();
        hf_tj_set_new(o, "stream_options", options);
    }
    hf_tj_set_new(options, "include_usage", json_true());
}

static bool can_stream(enum hf_endpoint ep)
{
    return ep == HF_EP_OLLAMA_CHAT || ep == HF_EP_OLLAMA_GENERATE || ep == HF_EP_OPENAI_CHAT ||
           ep == HF_EP_OPENAI_COMPLETIONS || ep == HF_EP_OPENAI_RESPONSES ||
           ep == HF_EP_ANTHROPIC_MESSAGES;
}

/* The request sets no limit of its own, and this host's answer has to have one. */
static void edit_limit(const struct hf_request_head *h, json_t *o, const struct hf_target *t)
{
    bool is_new = t->is_max_completion_tokens && h->ep == HF_EP_OPENAI_CHAT;
    if (t->cap_tokens <= 0 || h->max_tokens > 0 || !can_stream(h->ep) || h->is_load)
        return;
    json_t *in = o;
    const char *name = is_new ? "max_completion_tokens" : "max_tokens";
    if (t->dialect == HF_DIALECT_OLLAMA) {
        name = "num_predict";
        in = hf_tj_object(o, "options");
        if (in == NULL)
            hf_tj_set_new(o, "options", in = json_object());
    }
    json_object_del(in, "max_completion_tokens"); /* 0 or null: no limit */
    hf_tj_set_new(in, name, json_integer(t->cap_tokens));
}

static enum hf_code edit(const struct hf_request_head *h, json_t *o, const struct hf_target *t,
                         bool is_stream, struct hf_report *report)
{
    if (t->model != NULL)
        hf_tj_set_new(o, "model", json_string_nocheck(t->model));
    if (is_stream != h->is_stream)
        hf_tj_set_new(o, "stream", json_boolean(is_stream));
    edit_limit(h, o, t);
    if (t->dialect == HF_DIALECT_OLLAMA)
        edit_ollama(o, t, report);
    else if (t->dialect == HF_DIALECT_ANTHROPIC)
        edit_anthropic(o, t, report);
    else
        edit_openai(o, t, is_stream);
    return HF_OK;
}

/* OpenAI's /v1/responses goes to /v1/chat/completions: few servers have the former. */
bool hf_request_is_passed(const struct hf_request_head *h, const struct hf_target *t)
{
    return hf_endpoint_dialect(h->ep) == t->dialect && h->ep != HF_EP_OPENAI_RESPONSES;
}

void hf_request_passes_to(const struct hf_request_head *h, const struct hf_target *t,
                          struct hf_upstream_request *up)
{
    bool is_stream = can_stream(h->ep) && (h->is_stream || (t->force_stream && !h->is_load));
    *up = (struct hf_upstream_request){.ep = h->ep, .is_stream = is_stream, .is_same = true};
    up->strips_usage = t->dialect == HF_DIALECT_OPENAI && is_stream && !h->wants_usage &&
                       !t->has_no_stream_options;
}

static enum hf_code pass(const struct hf_request_head *h, const char *body, size_t len,
                         const struct hf_target *t, struct hf_buf *out,
                         struct hf_upstream_request *up, struct hf_report *report,
                         struct hf_err *err)
{
    struct hf_body_edits edits;
    struct hf_tw w = {out, false};
    if (hf_translate_edits(h, body, t, &edits, up)) {
        hf_body_edits_write(&edits, body, len, &w);
        return hf_tw_end(&w, err);
    }
    HF_AUTO_JSON json_t *o = NULL;
    hf_request_passes_to(h, t, up);
    HF_TRY(hf_tj_load_object(body, len, &o, err));
    HF_TRY(edit(h, o, t, up->is_stream, report));
    hf_tw_value(&w, o);
    return hf_tw_end(&w, err);
}

/* ---- another dialect --------------------------------------------------------------------------
 */

static enum hf_code read_form(struct hf_form *f, const struct hf_request_head *h,
                              const json_t *root, struct hf_err *err)
{
    switch (hf_endpoint_dialect(h->ep)) {
    case HF_DIALECT_OLLAMA:
        return hf_form_from_ollama(f, root, h->ep, err);
    case HF_DIALECT_ANTHROPIC:
        return hf_form_from_anthropic(f, root, err);
    case HF_DIALECT_OPENAI:
        break;
    }
    return h->ep == HF_EP_OPENAI_RESPONSES ? hf_form_from_responses(f, root, err)
                                           : hf_form_from_openai(f, root, h->ep, err);
}

static enum hf_code write_form(struct hf_form *f, const struct hf_target *t, json_t **out,
                               enum hf_endpoint *ep, struct hf_err *err)
{
    switch (t->dialect) {
    case HF_DIALECT_OLLAMA:
        return hf_form_to_ollama(f, t, out, ep, err);
    case HF_DIALECT_OPENAI:
        return hf_form_to_openai(f, t, out, ep, err);
    case HF_DIALECT_ANTHROPIC:
        break;
    }
    return hf_form_to_anthropic(f, t, out, ep, err);
}

static enum hf_code convert(struct hf_form *f, const struct hf_request_head *h, const json_t *root,
                            const struct hf_target *t, struct hf_buf *out,
                            struct hf_upstream_request *up, struct hf_err *err)
{
    HF_AUTO_JSON json_t *o = NULL;
    struct hf_tw w = {out, false};
    enum hf_endpoint ep = HF_EP_COUNT_;
    HF_TRY(read_form(f, h, root, err));
    hf_assert(f->model != NULL);
    f->is_stream = h->is_stream;
    if (t->cap_tokens > 0 && h->max_tokens <= 0)
        f->max_tokens = t->cap_tokens;
    HF_TRY(write_form(f, t, &o, &ep, err));
    *up = (struct hf_upstream_request){.ep = ep};
    up->is_stream = can_stream(ep) && (h->is_stream || t->force_stream);
    hf_tw_value(&w, o);
    return hf_tw_end(&w, err);
}

enum hf_code hf_translate_request(const struct hf_request_head *head, const char *body, size_t len,
                                  const struct hf_target *target, struct hf_buf *out,
                                  struct hf_upstream_request *up, struct hf_report *report,
                                  struct hf_err *err)
{
    struct hf_report told = {.n_dropped = 0};
    struct hf_upstream_request where = {.ep = head->ep};
    size_t kept = out->len;
    enum hf_code rc;
    if (hf_request_is_passed(head, target)) {
        rc = pass(head, body, len, target, out, &where, &told, err);
    } else if (head->ep == HF_EP_ANTHROPIC_COUNT) {
        rc = hf_err_set(err, HF_E_UNSUPPORTED, "this model's server does not count tokens");
    } else {
        HF_AUTO_JSON json_t *root = NULL;
        struct hf_form form;
        HF_TRY(hf_tj_load_object(body, len, &root, err));
        hf_form_init(&form, &told);
        rc = convert(&form, head, root, target, out, &where, err);
        hf_form_deinit(&form);
    }
    if (rc != HF_OK) {
        out->len = kept;
        return rc;
    }
    *up = where;
    *report = told;
    return HF_OK;
}

enum hf_code hf_count_tokens_write(int64_t tokens, struct hf_buf *out, struct hf_err *err)
{
    struct hf_tw w = {out, false};
    hf_tw_raw(&w, "{\"input_tokens\":");
    hf_tw_i64(&w, tokens);
    hf_tw_raw(&w, "}");
    return hf_tw_end(&w, err);
}
