#include "gateway/translate_form.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/parse.h"

const struct hf_param_row hf_param_rows[HF_PARAM_N] = {
    [HF_PARAM_TEMPERATURE] = {"temperature", "temperature", "temperature", false},
    [HF_PARAM_TOP_P] = {"top_p", "top_p", "top_p", false},
    [HF_PARAM_TOP_K] = {"top_k", "top_k", "top_k", true},
    [HF_PARAM_MIN_P] = {"min_p", "min_p", NULL, true},
    [HF_PARAM_SEED] = {"seed", "seed", NULL, false},
    [HF_PARAM_PRESENCE] = {"presence_penalty", "presence_penalty", NULL, false},
    [HF_PARAM_FREQUENCY] = {"frequency_penalty", "frequency_penalty", NULL, false},
    [HF_PARAM_REPEAT] = {"repeat_penalty", "repetition_penalty", NULL, true},
};

void hf_form_init(struct hf_form *f, struct hf_report *report)
{
    *f = (struct hf_form){.report = report};
    f->arena = hf_arena_new(4096);
    f->keep = json_array();
}

void hf_form_deinit(struct hf_form *f)
{
    json_decref(f->keep);
    hf_arena_free(f->arena);
    *f = (struct hf_form){0};
}

json_t *hf_form_keep(struct hf_form *f, json_t *take_v)
{
    hf_assert(take_v != NULL);
    hf_assert(json_array_append_new(f->keep, take_v) == 0);
    return take_v;
}

json_t *hf_form_text(struct hf_form *f, const char *s, size_t n)
{
    return hf_form_keep(f, json_stringn_nocheck(s, n));
}

/* Room for one more of size bytes in an array of the arena. */
static void *grown(struct hf_arena *a, void *list, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return list;
    size_t want = *cap == 0 ? 4 : *cap * 2;
    void *bigger = hf_arena_alloc(a, want, size);
    if (n > 0)
        memcpy(bigger, list, n * size);
    *cap = want;
    return bigger;
}

enum hf_code hf_form_add_message(struct hf_form *f, enum hf_role role, struct hf_message **out,
                                 struct hf_err *err)
{
    if (f->n_messages >= HF_LIMIT_MESSAGES)
        return hf_err_set(err, HF_E_LIMIT, "messages: more than %d", HF_LIMIT_MESSAGES);
    f->messages =
        grown(f->arena, f->messages, f->n_messages, &f->cap_messages, sizeof(*f->messages));
    struct hf_message *m = &f->messages[f->n_messages++];
    *m = (struct hf_message){.role = role};
    *out = m;
    return HF_OK;
}

struct hf_part *hf_form_add_part(struct hf_form *f, struct hf_message *m, enum hf_part_kind kind)
{
    m->parts = grown(f->arena, m->parts, m->n, &m->cap, sizeof(*m->parts));
    struct hf_part *p = &m->parts[m->n++];
    *p = (struct hf_part){.kind = kind};
    return p;
}

bool hf_message_has(const struct hf_message *m, enum hf_part_kind kind)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->parts[i].kind == kind)
            return true;
    return false;
}

json_t *hf_form_join(struct hf_form *f, const struct hf_message *m, enum hf_part_kind kind,
                     const char *sep)
{
    json_t *only = NULL;
    size_t n = 0, len = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct hf_part *p = &m->parts[i];
        if (p->kind != kind || p->text == NULL)
            continue;
        only = p->text;
        len += json_string_length(p->text) + strlen(sep);
        n++;
    }
    if (n < 2)
        return only;
    char *text = hf_arena_alloc(f->arena, len + 1, 1);
    size_t at = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct hf_part *p = &m->parts[i];
        if (p->kind != kind || p->text == NULL)
            continue;
        if (at > 0) {
            for (const char *c = sep; *c != '\0'; c++)
                text[at++] = *c;
        }
        memcpy(text + at, json_string_value(p->text), json_string_length(p->text));
        at += json_string_length(p->text);
    }
    return hf_form_text(f, text, at);
}

json_t *hf_form_tool_name(const struct hf_form *f, const json_t *id)
{
    json_t *name = NULL;
    for (size_t i = 0; id != NULL && i < f->n_messages; i++) {
        const struct hf_message *m = &f->messages[i];
        for (size_t k = 0; k < m->n; k++)
            if (m->parts[k].kind == HF_PART_TOOL_CALL && json_equal(m->parts[k].id, id))
                name = m->parts[k].name;
    }
    return name;
}

enum hf_code hf_form_image_url(struct hf_form *f, struct hf_part *part, json_t *url,
                               struct hf_err *err)
{
    const char *s = json_string_value(url);
    size_t len = json_string_length(url);
    if (strncmp(s, "data:", 5) != 0) {
        if (strncmp(s, "https:", 6) != 0 && strncmp(s, "http:", 5) != 0)
            return hf_err_set(err, HF_E_INVALID,
                              "an image URL must start with data:, https: or http:");
        part->url = url;
        return HF_OK;
    }
    const char *comma = memchr(s, ',', len);
    const char *base64 = comma == NULL ? NULL : comma - strlen(";base64");
    if (comma == NULL || base64 < s + 5 || memcmp(base64, ";base64", 7) != 0)
        return hf_err_set(err, HF_E_INVALID, "an image's data: URL must be base64");
    const char *media_end = memchr(s, ';', len);
    part->media_type = hf_form_text(f, s + 5, (size_t)(media_end - s) - 5);
    part->data = hf_form_text(f, comma + 1, len - (size_t)(comma + 1 - s));
    return HF_OK;
}

enum hf_code hf_form_arguments(struct hf_form *f, json_t *value, json_t **out, struct hf_err *err)
{
    if (value == NULL || (json_is_string(value) && json_string_length(value) == 0)) {
        *out = hf_form_keep(f, json_object());
        return HF_OK;
    }
    if (json_is_object(value)) {
        *out = value;
        return HF_OK;
    }
    if (!json_is_string(value))
        return hf_err_set(err, HF_E_INVALID, "a tool call's arguments must be a JSON object");
    json_t *parsed = NULL;
    enum hf_code rc =
        hf_tj_load_object(json_string_value(value), json_string_length(value), &parsed, err);
    if (rc != HF_OK) {
        hf_err_wrap(err, "a tool call's arguments");
        return rc;
    }
    *out = hf_form_keep(f, parsed);
    return HF_OK;
}

static const char *param_name(const struct hf_param_row *row, enum hf_dialect d)
{
    return d == HF_DIALECT_OLLAMA   ? row->ollama
           : d == HF_DIALECT_OPENAI ? row->openai
                                    : row->anthropic;
}

enum hf_code hf_form_params(struct hf_form *f, const json_t *o, enum hf_dialect d,
                            struct hf_err *err)
{
    for (size_t i = 0; i < HF_PARAM_N; i++) {
        const char *name = param_name(&hf_param_rows[i], d);
        json_t *v = name == NULL ? NULL : hf_tj_get(o, name);
        if (v == NULL)
            continue;
        if (!json_is_number(v))
            return hf_err_set(err, HF_E_INVALID, "%s: a number is expected", name);
        f->params[i] = v;
    }
    return HF_OK;
}

enum hf_code hf_form_stop(struct hf_form *f, json_t *value, const char *what, struct hf_err *err)
{
    if (value == NULL)
        return HF_OK;
    if (json_is_string(value)) {
        f->stop = hf_form_keep(f, json_array());
        hf_assert(json_array_append(f->stop, value) == 0);
        return HF_OK;
    }
    bool is_good = json_is_array(value);
    for (size_t i = 0; is_good && i < json_array_size(value); i++)
        is_good = json_is_string(json_array_get(value, i));
    if (!is_good)
        return hf_err_set(err, HF_E_INVALID, "%s: a text or a list of texts is expected", what);
    f->stop = json_array_size(value) == 0 ? NULL : value;
    return HF_OK;
}

static bool is_in(const char *const *list, const char *word)
{
    for (; *list != NULL; list++)
        if (strcmp(*list, word) == 0)
            return true;
    return false;
}

void hf_form_unknown(struct hf_form *f, const json_t *o, const char *where,
                     const char *const *known)
{
    json_t *all = json_incref(hf_tj_unconst(o));
    for (void *it = json_object_iter(all); it != NULL; it = json_object_iter_next(all, it)) {
        const char *key = json_object_iter_key(it);
        if (!is_in(known, key) && !hf_tj_is_nothing(json_object_iter_value(it)))
            hf_report_add(f->report, where, key);
    }
    json_decref(all);
}

/* A name becomes part of a header: only what is harmless there. */
static void clean(char *out, size_t cap, const char *where, const char *name)
{
    snprintf(out, cap, "%s%s%s", where, *where == '\0' ? "" : ".", name);
    for (char *p = out; *p != '\0'; p++) {
        bool is_good = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                       (*p >= '0' && *p <= '9') || strchr("_-.", *p) != NULL;
        if (!is_good)
            *p = '?';
    }
}

static bool is_listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = strstr(list, name); p != NULL; p = strstr(p + 1, name))
        if ((p == list || p[-1] == ' ') && (p[n] == '\0' || p[n] == ','))
            return true;
    return false;
}

void hf_report_add(struct hf_report *r, const char *where, const char *name)
{
    char text[96];
    size_t len = strlen(r->dropped);
    clean(text, sizeof(text), where, name);
    if (is_listed(r->dropped, text))
        return;
    r->n_dropped++;
    if (len + strlen(text) + 3 < sizeof(r->dropped))
        snprintf(r->dropped + len, sizeof(r->dropped) - len, "%s%s", len > 0 ? ", " : "", text);
}

void hf_tj_set(json_t *o, const char *key, json_t *borrowed)
{
    if (borrowed != NULL)
        hf_assert(json_object_set(o, key, borrowed) == 0);
}

void hf_tj_set_new(json_t *o, const char *key, json_t *take_v)
{
    hf_assert(take_v != NULL && json_object_set_new(o, key, take_v) == 0);
}

json_t *hf_form_model(const struct hf_form *f, const struct hf_target *t)
{
    return t->model != NULL ? json_string_nocheck(t->model) : json_incref(f->model);
}

json_t *hf_tj_keep_alive(const char *text)
{
    int64_t seconds;
    if (hf_parse_i64(text, INT32_MIN, INT32_MAX, &seconds, NULL) == HF_OK)
        return json_integer(seconds);
    return json_string(text);
}

json_t *hf_form_tools_openai(const struct hf_form *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->n_tools; i++) {
        const struct hf_tool *t = &f->tools[i];
        json_t *function = json_object(), *tool = json_object();
        hf_tj_set(function, "name", t->name);
        hf_tj_set(function, "description", t->description);
        if (t->schema != NULL)
            hf_tj_set(function, "parameters", t->schema);
        hf_tj_set(function, "strict", t->strict);
        hf_tj_set_new(tool, "type", json_string("function"));
        hf_tj_set_new(tool, "function", function);
        hf_assert(json_array_append_new(list, tool) == 0);
    }
    return list;
}

static const struct {
    const char *word;
    enum hf_think think;
} think_words[] = {
    {"none", HF_THINK_OFF},      {"minimal", HF_THINK_LOW}, {"low", HF_THINK_LOW},
    {"medium", HF_THINK_MEDIUM}, {"high", HF_THINK_HIGH},   {"max", HF_THINK_MAX},
    {"xhigh", HF_THINK_MAX},     {"ultra", HF_THINK_MAX},
};

const char *hf_think_word(enum hf_think t)
{
    static const char *const words[] = {"", "none", "medium", "low", "medium", "high", "max"};
    return words[t];
}

enum hf_think hf_think_of_word(const json_t *word)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(think_words); i++)
        if (hf_tj_is(word, think_words[i].word))
            return think_words[i].think;
    return HF_THINK_UNSET;
}
