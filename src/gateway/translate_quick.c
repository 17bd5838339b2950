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

/* The usual ends; other words are read as a tree, which knows how to mend them. */
static bool read_finish(const struct hf_jsonscan_value *word, enum hf_finish *out)
{
    if (is_nothing(word))
        *out = HF_FINISH_NONE;
    else if (hf_jsonscan_is(word, "stop"))
        *out = HF_FINISH_STOP;
    else if (hf_jsonscan_is(word, "length"))
        *out = HF_FINISH_LENGTH;
    else
        return false;
    return true;
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
        !is_first(&c[INDEX]) || !read_finish(&c[FINISH], &out->finish) || !is_nothing(&c[MESSAGE]))
        return false;
    out->model = v[MODEL];
    if (c[DELTA].kind == HF_JSON_OBJECT)
        return is_nothing(&c[TEXT]) && only_text(&c[DELTA], "content", &out->piece);
    out->piece = c[TEXT];
    return is_nothing(&c[DELTA]) && is_text_or_nothing(&c[TEXT]);
}

static bool quick_ollama(const char *text, size_t len, struct hf_quick *out)
{
    enum { MODEL, ERROR, MESSAGE, RESPONSE, THINKING, DONE, TIME, AMOUNT };
    static const char *const keys[] = {"model",    "error", "message",   "response",
                                       "thinking", "done",  "created_at"};
    struct hf_jsonscan_value v[AMOUNT];
    if (hf_jsonscan_find(text, len, keys, AMOUNT, v, NULL) != HF_OK || !is_nothing(&v[ERROR]) ||
        !is_nothing(&v[THINKING]) || v[DONE].kind != HF_JSON_FALSE)
        return false;
    out->model = v[MODEL];
    out->time = v[TIME];
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

static bool read_event(enum hf_endpoint upstream, const char *text, size_t len,
                       struct hf_quick *out)
{
    bool is_quick = false;
    if (has_u_escape(text, len))
        return false;
    switch (hf_endpoint_dialect(upstream)) {
    case HF_DIALECT_OLLAMA:
        is_quick = quick_ollama(text, len, out);
        break;
    case HF_DIALECT_OPENAI:
        is_quick = quick_openai(text, len, out);
        break;
    case HF_DIALECT_ANTHROPIC:
        is_quick = quick_anthropic(text, len, out);
        break;
    }
    return is_quick && is_text_or_nothing(&out->model);
}

/* ---- like the last one ---- */

void hf_quick_shape_init(struct hf_quick_shape *s)
{
    *s = (struct hf_quick_shape){.at = {.finish = HF_FINISH_NONE}};
    hf_buf_init(&s->text, HF_QUICK_SHAPE_BYTES);
}

void hf_quick_shape_deinit(struct hf_quick_shape *s)
{
    hf_buf_deinit(&s->text);
}

/* The same value in a copy of its text. */
static struct hf_jsonscan_value moved(struct hf_jsonscan_value v, const char *from, const char *to)
{
    if (v.kind != HF_JSON_ABSENT)
        v.text = to + (v.text - from);
    return v;
}

static void keep_shape(struct hf_quick_shape *s, const char *text, size_t len,
                       const struct hf_quick *q)
{
    hf_buf_reset(&s->text);
    if (q->piece.kind != HF_JSON_STRING || hf_buf_append(&s->text, text, len, NULL) != HF_OK)
        return;
    const char *copy = (const char *)s->text.data;
    s->at = (struct hf_quick){.piece = moved(q->piece, text, copy),
                              .model = moved(q->model, text, copy),
                              .time = moved(q->time, text, copy),
                              .finish = q->finish};
}

/* Walks the shape and an event side by side. */
struct pair {
    const char *shape;
    const char *p;
    const char *end;
};

static bool same_until(struct pair *w, const char *stop)
{
    size_t n = (size_t)(stop - w->shape);
    if ((size_t)(w->end - w->p) < n || memcmp(w->shape, w->p, n) != 0)
        return false;
    w->shape = stop;
    w->p += n;
    return true;
}

/* The same bytes up to v, then some other string in its place. */
static bool step_over(struct pair *w, const struct hf_jsonscan_value *v,
                      struct hf_jsonscan_value *out)
{
    if (v->kind != HF_JSON_STRING)
        return true;
    if (!same_until(w, v->text))
        return false;
    size_t n = hf_jsonscan_string(w->p, (size_t)(w->end - w->p));
    *out = (struct hf_jsonscan_value){HF_JSON_STRING, w->p, n};
    w->shape += v->len;
    w->p += n;
    return n > 0 && !has_u_escape(out->text, n);
}

/* Only strings differ whose contents nobody has looked into: all else is what it was. */
static bool is_like(const struct hf_quick_shape *s, const char *text, size_t len,
                    struct hf_quick *out)
{
    if (s->text.len == 0)
        return false;
    const struct hf_quick *at = &s->at;
    struct pair w = {(const char *)s->text.data, text, text + len};
    struct hf_quick q = {.finish = at->finish};
    const char *shape_end = w.shape + s->text.len;
    bool is_time_first = at->time.kind == HF_JSON_STRING && at->time.text < at->piece.text;
    if (is_time_first && !step_over(&w, &at->time, &q.time))
        return false;
    if (!step_over(&w, &at->piece, &q.piece))
        return false;
    if (!is_time_first && !step_over(&w, &at->time, &q.time))
        return false;
    if (!same_until(&w, shape_end) || w.p != w.end)
        return false;
    *out = q;
    return true;
}

/* The model's name is among what did not change: it moved with what stands before it. */
static struct hf_jsonscan_value moved_model(const struct hf_quick_shape *s, const char *text,
                                            const struct hf_quick *q)
{
    struct hf_jsonscan_value v = s->at.model;
    if (v.kind != HF_JSON_STRING)
        return v;
    size_t at = (size_t)(v.text - (const char *)s->text.data);
    if (s->at.piece.text < v.text)
        at = at + q->piece.len - s->at.piece.len;
    if (s->at.time.kind == HF_JSON_STRING && s->at.time.text < v.text)
        at = at + q->time.len - s->at.time.len;
    v.text = text + at;
    return v;
}

bool hf_quick_event(struct hf_quick_shape *s, enum hf_endpoint upstream, const char *text,
                    size_t len, struct hf_quick *out)
{
    struct hf_quick q = {.finish = HF_FINISH_NONE};
    if (is_like(s, text, len, &q)) {
        q.model = moved_model(s, text, &q);
    } else {
        if (!read_event(upstream, text, len, &q))
            return false;
        keep_shape(s, text, len, &q);
    }
    *out = q;
    return true;
}
