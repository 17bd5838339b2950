/*
 * An answer that passes through: the upstream's bytes, with the model's name that the client knows,
 * and what clients trip over mended.
 */
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/jsonscan.h"
#include "gateway/translate_answer.h"

/* Where the model's name stands in an event of each dialect. */
static const char *model_parent(enum hf_endpoint ep)
{
    return ep == HF_EP_ANTHROPIC_MESSAGES ? "message" : NULL;
}

static bool find_model(const char *text, size_t len, struct hf_jsonscan_value *out)
{
    static const char *const key = "model";
    return hf_jsonscan_find(text, len, &key, 1, out, NULL) == HF_OK && out->kind == HF_JSON_STRING;
}

void hf_pass_renamed(struct hf_answer *a, const char *text, size_t len,
                     const struct hf_jsonscan_value *model)
{
    hf_tw_bytes(&a->w, text, (size_t)(model->text - text));
    hf_tw_cstr(&a->w, a->model);
    hf_tw_bytes(&a->w, model->text + model->len, (size_t)(text + len - model->text) - model->len);
}

void hf_pass_json(struct hf_answer *a, const char *text, size_t len)
{
    struct hf_jsonscan_value model, inner;
    const char *parent = model_parent(a->opt.front);
    bool is_found = a->model != NULL && find_model(text, len, &model);
    if (!is_found && a->model != NULL && parent != NULL &&
        hf_jsonscan_find(text, len, &parent, 1, &inner, NULL) == HF_OK &&
        inner.kind == HF_JSON_OBJECT)
        is_found = find_model(inner.text, inner.len, &model);
    if (is_found)
        hf_pass_renamed(a, text, len, &model);
    else
        hf_tw_bytes(&a->w, text, len);
}

bool hf_pass_is_usage_only(const json_t *event)
{
    json_t *choices = json_object_get(event, "choices");
    return json_is_array(choices) && json_array_size(choices) == 0 &&
           hf_tj_object(event, "usage") != NULL;
}

/* Together says "eos" where clients know "stop". True if o was changed. */
static bool mend_finish(const struct hf_answer *a, json_t *o)
{
    static const char *const known[] = {"stop", "length", "tool_calls", "content_filter",
                                        "function_call"};
    json_t *choices = hf_tj_array(o, "choices");
    bool is_changed = false;
    if (hf_endpoint_dialect(a->opt.front) != HF_DIALECT_OPENAI)
        return false;
    for (size_t i = 0; i < json_array_size(choices); i++) {
        json_t *choice = json_array_get(choices, i), *word = hf_tj_string(choice, "finish_reason");
        size_t k = 0;
        while (k < HF_ARRAY_LEN(known) && !hf_tj_is(word, known[k]))
            k++;
        if (word == NULL || k < HF_ARRAY_LEN(known))
            continue;
        hf_assert(json_object_set_new(choice, "finish_reason", json_string("stop")) == 0);
        is_changed = true;
    }
    return is_changed;
}

/* The event as it came, or, if something in it had to be mended, as it is now. */
void hf_pass_parsed(struct hf_answer *a, json_t *o, const char *text, size_t len,
                    void (*pass)(struct hf_answer *a, const char *event, const char *text,
                                 size_t len),
                    const char *event)
{
    struct hf_buf mended;
    if (!mend_finish(a, o)) {
        pass(a, event, text, len);
        return;
    }
    hf_buf_init(&mended, HF_LIMIT_ANSWER);
    struct hf_tw w = {&mended, false};
    hf_tw_value(&w, o);
    if (w.is_full)
        hf_answer_nonsense(a, HF_E_LIMIT, "the answer is larger than %d bytes", HF_LIMIT_ANSWER);
    else
        pass(a, event, (const char *)mended.data, mended.len);
    hf_buf_deinit(&mended);
}

void hf_pass_body(struct hf_answer *a, const char *event, const char *text, size_t len)
{
    (void)event;
    hf_pass_json(a, text, len);
}

void hf_pass_event_head(struct hf_answer *a, const char *event)
{
    if (strcmp(event, "message") != 0) {
        hf_tw_raw(&a->w, "event: ");
        hf_tw_raw(&a->w, event);
        hf_tw_raw(&a->w, "\n");
    }
    hf_tw_raw(&a->w, "data: ");
}

void hf_pass_event(struct hf_answer *a, const char *event, const char *data, size_t len)
{
    hf_pass_event_head(a, event);
    if (memchr(data, '\n', len) == NULL) {
        hf_pass_json(a, data, len);
    } else {
        /* Several data lines are one JSON text: line ends in it are only blanks. */
        char *line = hf_strndup(data, len);
        for (size_t i = 0; i < len; i++)
            if (line[i] == '\n' || line[i] == '\0')
                line[i] = ' ';
        hf_pass_json(a, line, len);
        hf_free(line);
    }
    hf_tw_raw(&a->w, "\n\n");
}
