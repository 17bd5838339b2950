/*
 * A body that goes on in the dialect it came in: what has to change is a few values at its top, so
 * they are changed in the text, where it lies. 150 KB of messages are neither parsed nor copied.
 *
 *   {"model":"tier-1","messages":[...]}
 *            ^replace                 ^insert
 *   {"model":"llama3.2:1b","messages":[...],"stream":true,"stream_options":{"include_usage":true}}
 */
#include <string.h>

#include "base/assert.h"
#include "codec/jsonscan.h"
#include "gateway/translate_form.h"

static struct hf_body_span *span_of(struct hf_request_head *h, enum hf_body_value which)
{
    return &h->spans[which];
}

static bool says(const char *body, const struct hf_body_span *s, const char *text)
{
    return s->len == strlen(text) && memcmp(body + s->at, text, s->len) == 0;
}

/* The value becomes text; where there is none, member (,"key":value) is put at the end. */
static void change(const struct hf_request_head *h, const char *body, enum hf_body_value which,
                   const char *text, const char *member, struct hf_body_edits *out)
{
    const struct hf_body_span *s = &h->spans[which];
    if (s->len > 0 && says(body, s, text))
        return;
    hf_assert(out->n < HF_BODY_EDITS && (s->len > 0 || member != NULL));
    struct hf_body_edit e = {.which = which, .at = s->at, .len = s->len, .text = text};
    if (s->len == 0) {
        e.at = h->object_end;
        e.text = member;
        e.value_at = strlen(member) - strlen(text);
    }
    e.value_len = strlen(text);
    size_t i = out->n++; /* the list runs from the end of the body to its beginning */
    for (; i > 0 && out->list[i - 1].at < e.at; i--)
        out->list[i] = out->list[i - 1];
    out->list[i] = e;
}

static bool asks_for_usage(const char *body, const struct hf_body_span *s)
{
    static const char *const key = "include_usage";
    struct hf_jsonscan_value v;
    return s->len > 0 && hf_jsonscan_find(body + s->at, s->len, &key, 1, &v, NULL) == HF_OK &&
           v.kind == HF_JSON_TRUE;
}

/* False when the options hold something else, too. */
static bool ask_for_usage(const struct hf_request_head *h, const char *body,
                          struct hf_body_edits *out)
{
    static const char asking[] = "{\"include_usage\":true}";
    static const char member[] = ",\"stream_options\":{\"include_usage\":true}";
    const struct hf_body_span *s = &h->spans[HF_BODY_OPTIONS];
    if (asks_for_usage(body, s))
        return true;
    if (s->len > 0 && !says(body, s, "null"))
        return false;
    change(h, body, HF_BODY_OPTIONS, asking, member, out);
    return true;
}

static bool quote(const char *model, char *out, size_t cap)
{
    struct hf_buf text;
    hf_buf_init(&text, cap - 1);
    struct hf_tw w = {&text, false};
    hf_tw_cstr(&w, model);
    if (!w.is_full)
        memcpy(out, hf_buf_str(&text), text.len + 1);
    hf_buf_deinit(&text);
    return !w.is_full;
}

bool hf_translate_edits(const struct hf_request_head *h, const char *body,
                        const struct hf_target *t, struct hf_body_edits *out,
                        struct hf_upstream_request *up)
{
    if (!hf_request_is_passed(h, t) || t->num_ctx > 0 || t->keep_alive != NULL ||
        (t->cap_tokens > 0 && h->max_tokens <= 0) ||
        (t->dialect == HF_DIALECT_ANTHROPIC && t->is_anthropic_2026))
        return false;
    out->n = 0;
    hf_request_passes_to(h, t, up);
    if (up->strips_usage && !ask_for_usage(h, body, out))
        return false;
    if (t->model != NULL) {
        if (!quote(t->model, out->model, sizeof(out->model)))
            return false;
        change(h, body, HF_BODY_MODEL, out->model, NULL, out);
    }
    const char *stream = up->is_stream ? "true" : "false";
    if (h->spans[HF_BODY_STREAM].len > 0 || up->is_stream != h->is_stream)
        change(h, body, HF_BODY_STREAM, stream,
               up->is_stream ? ",\"stream\":true" : ",\"stream\":false", out);
    return true;
}

void hf_body_edits_done(const struct hf_body_edits *e, struct hf_request_head *h)
{
    for (size_t i = 0; i < e->n; i++) {
        const struct hf_body_edit *d = &e->list[i];
        for (size_t k = 0; k < HF_BODY_VALUES; k++) {
            struct hf_body_span *s = span_of(h, (enum hf_body_value)k);
            if (s->len > 0 && s->at >= d->at + d->len)
                s->at = s->at - d->len + strlen(d->text);
        }
        h->object_end = h->object_end - d->len + strlen(d->text);
        *span_of(h, d->which) = (struct hf_body_span){d->at + d->value_at, d->value_len};
    }
}

void hf_body_edits_write(const struct hf_body_edits *e, const char *body, size_t len,
                         struct hf_tw *w)
{
    size_t at = 0;
    for (size_t i = e->n; i > 0; i--) {
        const struct hf_body_edit *d = &e->list[i - 1];
        hf_assert(d->at >= at && d->at + d->len <= len);
        hf_tw_bytes(w, body + at, d->at - at);
        hf_tw_raw(w, d->text);
        at = d->at + d->len;
    }
    hf_tw_bytes(w, body + at, len - at);
}
