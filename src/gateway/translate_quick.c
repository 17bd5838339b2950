#include "gateway/translate_quick.h"

#include <string.h>

static bool is_nothing(const struct hf_jsonscan_value *v)
{
    return v->kind == HF_JSON_ABSENT || v->kind == HF_JSON_NULL;
}

static bool is_text_or_nothing(const struct hf_jsonscan_value *v)
{
    return is_nothing(v) || v->kind == HF_JSON_STRING;
}

/* Of an object whose members are all "role", name (a text, into *piece) or null. */
static bool only_text(const struct hf_jsonscan_value *o, const char *name,
                      struct hf_jsonscan_value *piece)
{
    struct hf_jsonscan s;
    piece->kind = HF_JSON_ABSENT;
    if (o->kind != HF_JSON_OBJECT || hf_jsonscan_open(&s, o->text, o->len, NULL) != HF_OK)
        return false;
    while (true) {
        struct hf_jsonscan_value key, value;
        bool is_member = false;
        if (hf_jsonscan_next(&s, &key, &value, &is_member, NULL) != HF_OK)
            return false;
        if (!is_member)
            return true;
        if (value.kind == HF_JSON_NULL || hf_jsonscan_is(&key, "role"))
            continue;
        if (!hf_jsonscan_is(&key, name) || value.kind != HF_JSON_STRING ||
            piece->kind != HF_JSON_ABSENT)
            return false;
        *piece = value;
    }
}

/* The only member of an array. */
static bool only_member(const struct hf_jsonscan_value *array, struct hf_jsonscan_value *out)
{
    struct hf_jsonscan s;
    struct hf_jsonscan_value more;
    bool is_member = false;
    return array->kind == HF_JSON_ARRAY &&
           hf_jsonscan_open(&s, array->text, array->len, NULL) == HF_OK &&
           hf_jsonscan_next(&s, NULL, out, &is_member, NULL) == HF_OK && is_member &&
           hf_jsonscan_next(&s, NULL, &more, &is_member, NULL) == HF_OK && !is_member;
}

static bool is_first(const struct hf_jsonscan_value *index)
{
    int64_t n = 0;
    return is_nothing(index) || (hf_jsonscan_i64(index, &n) && n == 0);
}

static bool quick_openai(const char *text, size_t len, struct hf_quick *out)
{
    enum { MODEL, CHOICES, ERROR, USAGE, AMOUNT };
    static const char *const keys[] = {"model", "choices", "error", "usage"};
    enum { INDEX, DELTA, MESSAGE, TEXT, FINISH, IN_CHOICE };
    static const char *const inner[] = {"index", "delta", "message", "text", "finish_reason"};
    struct hf_jsonscan_value v[AMOUNT], choice, c[IN_CHOICE];
    if (hf_jsonscan_find(text, len, keys, AMOUNT, v, NULL) != HF_OK || !is_nothing(&v[ERROR]) ||
        !is_nothing(&v[USAGE]) || !only_member(&v[CHOICES], &choice) ||
        choice.kind != HF_JSON_OBJECT ||
        hf_jsonscan_find(choice.text, choice.len, inner, IN_CHOICE, c, NULL) != HF_OK ||
        !is_first(&c[INDEX]) || !is_nothing(&c[FINISH]) || !is_nothing(&c[MESSAGE]))
        return false;
    out->model = v[MODEL];
    if (c[DELTA].kind == HF_JSON_OBJECT)
        return is_nothing(&c[TEXT]) && only_text(&c[DELTA], "content", &out->piece);
    out->piece = c[TEXT];
    return is_nothing(&c[DELTA]) && is_text_or_nothing(&c[TEXT]);
}

static bool quick_ollama(const char *text, size_t len, struct hf_quick *out)
{
    enum { MODEL, ERROR, MESSAGE, RESPONSE, THINKING, DONE, AMOUNT };
    static const char *const keys[] = {"model", "error", "message", "response", "thinking", "done"};
    struct hf_jsonscan_value v[AMOUNT];
    if (hf_jsonscan_find(text, len, keys, AMOUNT, v, NULL) != HF_OK || !is_nothing(&v[ERROR]) ||
        !is_nothing(&v[THINKING]) || v[DONE].kind != HF_JSON_FALSE)
        return false;
    out->model = v[MODEL];
    if (v[MESSAGE].kind == HF_JSON_OBJECT)
        return is_nothing(&v[RESPONSE]) && only_text(&v[MESSAGE], "content", &out->piece);
    out->piece = v[RESPONSE];
    return is_nothing(&v[MESSAGE]) && is_text_or_nothing(&v[RESPONSE]);
}

static bool quick_anthropic(const char *text, size_t len, struct hf_quick *out)
{
    enum { TYPE, DELTA, MODEL, MESSAGE, ERROR, AMOUNT };
    static const char *const keys[] = {"type", "delta", "model", "message", "error"};
    enum { INNER_TYPE, TEXT, IN_DELTA };
    static const char *const inner[] = {"type", "text"};
    struct hf_jsonscan_value v[AMOUNT], d[IN_DELTA];
    if (hf_jsonscan_find(text, len, keys, AMOUNT, v, NULL) != HF_OK ||
        !hf_jsonscan_is(&v[TYPE], "content_block_delta") || v[DELTA].kind != HF_JSON_OBJECT ||
        !is_nothing(&v[MODEL]) || !is_nothing(&v[MESSAGE]) || !is_nothing(&v[ERROR]) ||
        hf_jsonscan_find(v[DELTA].text, v[DELTA].len, inner, IN_DELTA, d, NULL) != HF_OK ||
        !hf_jsonscan_is(&d[INNER_TYPE], "text_delta") || d[TEXT].kind != HF_JSON_STRING)
        return false;
    out->piece = d[TEXT];
    return true;
}

/* \u escapes may hold what the tree refuses: a NUL, half a pair. */
static bool has_u_escape(const char *text, size_t len)
{
    for (const char *p = text, *end = text + len; (p = memchr(p, '\\', (size_t)(end - p))) != NULL;
         p += 2) {
        if (end - p < 2 || p[1] == 'u')
            return true;
        if (end - p == 2)
            return false;
    }
    return false;
}

bool hf_quick_event(enum hf_endpoint upstream, const char *text, size_t len, struct hf_quick *out)
{
    struct hf_quick q = {.piece = {.kind = HF_JSON_ABSENT}, .model = {.kind = HF_JSON_ABSENT}};
    bool is_quick = false;
    if (has_u_escape(text, len))
        return false;
    switch (hf_endpoint_dialect(upstream)) {
    case HF_DIALECT_OLLAMA:
        is_quick = quick_ollama(text, len, &q);
        break;
    case HF_DIALECT_OPENAI:
        is_quick = quick_openai(text, len, &q);
        break;
    case HF_DIALECT_ANTHROPIC:
        is_quick = quick_anthropic(text, len, &q);
        break;
    }
    if (!is_quick || !is_text_or_nothing(&q.model))
        return false;
    *out = q;
    return true;
}
