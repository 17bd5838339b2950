#include "gateway/models.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/parse.h"
#include "gateway/translate_json.h"

static void free_model(struct hf_model *m)
{
    hf_free(m->name);
    hf_free(m->digest);
    hf_free(m->modified_at);
    hf_free(m->expires_at);
    hf_free(m->details);
    hf_free(m->owner);
    hf_free(m->capabilities);
    *m = (struct hf_model){0};
}

void hf_models_deinit(struct hf_models *m)
{
    for (size_t i = 0; i < m->n; i++)
        free_model(&m->list[i]);
    hf_free(m->list);
    *m = (struct hf_models){0};
}

static char *copied(const char *s)
{
    return s == NULL ? NULL : hf_strdup(s);
}

const struct hf_model *hf_models_find(const struct hf_models *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (hf_ollama_name_equal(list->list[i].name, name))
            return &list->list[i];
    return NULL;
}

bool hf_models_add(struct hf_models *list, const struct hf_model *m)
{
    if (list->n >= HF_MODELS_MAX || hf_models_find(list, m->name) != NULL)
        return false;
    list->list = hf_realloc(list->list, list->n + 1, sizeof(*list->list));
    struct hf_model *copy = &list->list[list->n++];
    *copy = *m;
    copy->name = copied(m->name);
    copy->digest = copied(m->digest);
    copy->modified_at = copied(m->modified_at);
    copy->expires_at = copied(m->expires_at);
    copy->details = copied(m->details);
    copy->owner = copied(m->owner);
    copy->capabilities = copied(m->capabilities);
    return true;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static char *text_of(const json_t *o, const char *key)
{
    json_t *v = hf_tj_string(o, key);
    return v == NULL || json_string_length(v) == 0 ? NULL : hf_strdup(json_string_value(v));
}

static char *json_of(const json_t *v)
{
    struct hf_buf text;
    if (v == NULL)
        return NULL;
    hf_buf_init(&text, HF_MIB);
    struct hf_tw w = {&text, false};
    hf_tw_value(&w, v);
    char *copy = w.is_full ? NULL : hf_strndup((const char *)text.data, text.len);
    hf_buf_deinit(&text);
    return copy;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcasecmp(s + n - m, end) == 0;
}

bool hf_model_name_is_remote(const char *name)
{
    return ends_with(name, ":cloud") || ends_with(name, "-cloud");
}

/* Models that Ollama serves from its own cloud are no capacity of the host. */
static bool is_remote(const json_t *o, const char *name)
{
    return hf_tj_string(o, "remote_model") != NULL || hf_tj_string(o, "remote_host") != NULL ||
           hf_model_name_is_remote(name);
}

/* Sizes are added up. */
static int64_t bytes_of(const json_t *o, const char *key)
{
    const int64_t max = INT64_C(1) << 50;
    int64_t n = hf_tj_i64(o, key);
    return n < 0 ? 0 : n > max ? max : n;
}

static void read_model(const json_t *o, enum hf_dialect d, struct hf_model *m)
{
    int64_t ms = 0;
    *m = (struct hf_model){0};
    m->name = text_of(o, d == HF_DIALECT_OLLAMA ? "name" : "id");
    if (m->name == NULL)
        m->name = text_of(o, "model");
    m->digest = text_of(o, "digest");
    m->modified_at = text_of(o, d == HF_DIALECT_ANTHROPIC ? "created_at" : "modified_at");
    m->expires_at = text_of(o, "expires_at");
    m->details = json_of(hf_tj_object(o, "details"));
    m->capabilities = json_of(hf_tj_array(o, "capabilities"));
    m->owner = text_of(o, "owned_by");
    m->size = bytes_of(o, "size");
    m->size_vram = bytes_of(o, "size_vram");
    m->context_length = hf_tj_i64(o, "context_length");
    m->created_s = hf_tj_i64(o, "created");
    if (m->modified_at != NULL && hf_parse_time_ms(m->modified_at, &ms, NULL) == HF_OK)
        m->created_s = ms / 1000;
    m->is_remote = d == HF_DIALECT_OLLAMA && m->name != NULL && is_remote(o, m->name);
}

enum hf_code hf_models_parse(enum hf_dialect d, const char *body, size_t len, struct hf_models *out,
                             struct hf_err *err)
{
    HF_AUTO_JSON json_t *root = NULL;
    struct hf_models list = {NULL, 0};
    if (hf_tj_load(body, len, &root, err) != HF_OK)
        return hf_err_set(err, HF_E_CORRUPT, "the list of models is no JSON, or cut");
    const json_t *models = json_is_array(root)      ? root
                           : d == HF_DIALECT_OLLAMA ? hf_tj_array(root, "models")
                                                    : hf_tj_array(root, "data");
    /* A host without models says null. */
    if (models == NULL && json_object_get(root, d == HF_DIALECT_OLLAMA ? "models" : "data") == NULL)
        return hf_err_set(err, HF_E_CORRUPT, "the answer is no list of models");
    if (json_array_size(models) > HF_MODELS_MAX)
        return hf_err_set(err, HF_E_LIMIT, "more than %d models", HF_MODELS_MAX);
    for (size_t i = 0; i < json_array_size(models); i++) {
        struct hf_model m;
        read_model(json_array_get(models, i), d, &m);
        if (m.name != NULL)
            hf_models_add(&list, &m);
        free_model(&m);
    }
    *out = list;
    return HF_OK;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static void key_text(struct hf_tw *w, const char *key, const char *text)
{
    if (text == NULL)
        return;
    hf_tw_raw(w, ",\"");
    hf_tw_raw(w, key);
    hf_tw_raw(w, "\":");
    hf_tw_cstr(w, text);
}

static void key_raw(struct hf_tw *w, const char *key, const char *json)
{
    if (json == NULL)
        return;
    hf_tw_raw(w, ",\"");
    hf_tw_raw(w, key);
    hf_tw_raw(w, "\":");
    hf_tw_raw(w, json);
}

static void key_number(struct hf_tw *w, const char *key, int64_t v)
{
    hf_tw_raw(w, ",\"");
    hf_tw_raw(w, key);
    hf_tw_raw(w, "\":");
    hf_tw_i64(w, v);
}

static const char NO_DETAILS[] = "{\"parent_model\":\"\",\"format\":\"\",\"family\":\"\","
                                 "\"families\":null,\"parameter_size\":\"\","
                                 "\"quantization_level\":\"\"}";

static void write_ollama(struct hf_tw *w, const struct hf_model *m, bool is_ps)
{
    hf_tw_raw(w, "{\"name\":");
    hf_tw_cstr(w, m->name);
    key_text(w, "model", m->name);
    if (!is_ps)
        key_text(w, "modified_at",
                 m->modified_at != NULL ? m->modified_at : "1970-01-01T00:00:00Z");
    key_number(w, "size", m->size);
    key_text(w, "digest", m->digest != NULL ? m->digest : "");
    key_raw(w, "details", m->details != NULL ? m->details : NO_DETAILS);
    if (is_ps) {
        key_text(w, "expires_at", m->expires_at != NULL ? m->expires_at : "1970-01-01T00:00:00Z");
        key_number(w, "size_vram", m->size_vram);
        key_number(w, "context_length", m->context_length);
    } else {
        key_raw(w, "capabilities", m->capabilities);
    }
    hf_tw_raw(w, "}");
}

static void write_openai(struct hf_tw *w, const struct hf_model *m)
{
    hf_tw_raw(w, "{\"id\":");
    hf_tw_cstr(w, m->name);
    key_text(w, "object", "model");
    key_number(w, "created", m->created_s);
    key_text(w, "owned_by", m->owner != NULL ? m->owner : "library");
    hf_tw_raw(w, "}");
}

static void write_anthropic(struct hf_tw *w, const struct hf_model *m)
{
    hf_tw_raw(w, "{\"type\":\"model\",\"id\":");
    hf_tw_cstr(w, m->name);
    key_text(w, "display_name", m->name);
    hf_tw_raw(w, ",\"created_at\":");
    hf_tw_time(w, m->created_s * 1000);
    hf_tw_raw(w, "}");
}

static void write_show(struct hf_tw *w, const struct hf_model *m)
{
    hf_tw_raw(w, "{\"modelfile\":\"\",\"parameters\":\"\",\"template\":\"\"");
    key_raw(w, "details", m->details != NULL ? m->details : NO_DETAILS);
    hf_tw_raw(w, ",\"model_info\":{\"general.basename\":");
    hf_tw_cstr(w, m->name);
    if (m->context_length > 0)
        key_number(w, "general.context_length", m->context_length);
    hf_tw_raw(w, "}");
    key_raw(w, "capabilities", m->capabilities != NULL ? m->capabilities : "[\"completion\"]");
    key_text(w, "modified_at", m->modified_at != NULL ? m->modified_at : "1970-01-01T00:00:00Z");
    hf_tw_raw(w, "}");
}

static void write_one(struct hf_tw *w, enum hf_model_list form, const struct hf_model *m)
{
    if (form == HF_LIST_OPENAI)
        write_openai(w, m);
    else if (form == HF_LIST_ANTHROPIC)
        write_anthropic(w, m);
    else
        write_ollama(w, m, form == HF_LIST_PS);
}

static void write_end(struct hf_tw *w, enum hf_model_list form, const struct hf_models *m)
{
    if (form != HF_LIST_ANTHROPIC) {
        hf_tw_raw(w, "]}");
        return;
    }
    hf_tw_raw(w, "],\"has_more\":false,\"first_id\":");
    if (m->n == 0) {
        hf_tw_raw(w, "null,\"last_id\":null}");
        return;
    }
    hf_tw_cstr(w, m->list[0].name);
    key_text(w, "last_id", m->list[m->n - 1].name);
    hf_tw_raw(w, "}");
}

enum hf_code hf_models_write(enum hf_model_list form, const struct hf_models *m, struct hf_buf *out,
                             struct hf_err *err)
{
    struct hf_tw w = {out, false};
    hf_tw_raw(&w, form == HF_LIST_OPENAI      ? "{\"object\":\"list\",\"data\":["
                  : form == HF_LIST_ANTHROPIC ? "{\"data\":["
                                              : "{\"models\":[");
    for (size_t i = 0; i < m->n; i++) {
        if (i > 0)
            hf_tw_raw(&w, ",");
        write_one(&w, form, &m->list[i]);
    }
    write_end(&w, form, m);
    return hf_tw_end(&w, err);
}

enum hf_code hf_model_write(enum hf_model_list form, const struct hf_model *m, struct hf_buf *out,
                            struct hf_err *err)
{
    struct hf_tw w = {out, false};
    if (form == HF_LIST_TAGS)
        write_show(&w, m);
    else
        write_one(&w, form, m);
    return hf_tw_end(&w, err);
}
