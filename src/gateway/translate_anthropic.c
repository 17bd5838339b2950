/*
 * Anthropic's requests: /v1/messages, to and from the neutral form.
 *
 * What differs most: the system text stands outside the messages; tool results are blocks of a user
 * message, first in it; two messages of one role in a row are one; empty texts are refused;
 * max_tokens is required; earlier thinking is worth nothing without its signature.
 */
#include <string.h>

#include "base/limits.h"
#include "gateway/translate_form.h"

static enum hf_code wrong(struct hf_err *err, const char *what, const char *want)
{
    return hf_err_set(err, HF_E_INVALID, "%s: %s is expected", what, want);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static enum hf_code read_image(struct hf_form *f, struct hf_message *m, const json_t *block,
                               struct hf_err *err)
{
    const json_t *source = hf_tj_object(block, "source"), *type = hf_tj_get(source, "type");
    struct hf_part *p = hf_form_add_part(f, m, HF_PART_IMAGE);
    if (hf_tj_is(type, "url") && hf_tj_string(source, "url") != NULL)
        return hf_form_image_url(f, p, hf_tj_string(source, "url"), err);
    p->data = hf_tj_string(source, "data");
    p->media_type = hf_tj_string(source, "media_type");
    if (!hf_tj_is(type, "base64") || p->data == NULL || p->media_type == NULL)
        return wrong(err, "messages: an image's source", "base64 with media_type and data, or url");
    return HF_OK;
}

static enum hf_code read_tool_use(struct hf_form *f, struct hf_message *m, const json_t *block,
                                  struct hf_err *err)
{
    json_t *id = hf_tj_string(block, "id"), *name = hf_tj_string(block, "name");
    json_t *arguments = NULL;
    if (id == NULL || name == NULL)
        return wrong(err, "messages: tool_use", "an id and a name");
    HF_TRY(hf_form_arguments(f, hf_tj_get(block, "input"), &arguments, err));
    struct hf_part *p = hf_form_add_part(f, m, HF_PART_TOOL_CALL);
    p->id = id;
    p->name = name;
    p->arguments = arguments;
    return HF_OK;
}

static void read_thinking(struct hf_form *f, struct hf_message *m, const json_t *block)
{
    struct hf_part *p = hf_form_add_part(f, m, HF_PART_THINKING);
    p->text = hf_tj_string(block, "thinking");
    p->signature = hf_tj_string(block, "signature");
    p->data = hf_tj_string(block, "data");
}

/* A block of a message or of a tool's result; tool results themselves are read elsewhere. */
static enum hf_code read_block(struct hf_form *f, struct hf_message *m, const json_t *block,
                               struct hf_err *err)
{
    static const char *const known[] = {"type",  "text", "source",    "id",       "name",
                                        "input", "data", "signature", "thinking", NULL};
    const json_t *type = hf_tj_get(block, "type");
    hf_form_unknown(f, block, "messages.content", known);
    if (hf_tj_is(type, "image"))
        return read_image(f, m, block, err);
    if (hf_tj_is(type, "tool_use"))
        return read_tool_use(f, m, block, err);
    if (hf_tj_is(type, "thinking") || hf_tj_is(type, "redacted_thinking")) {
        read_thinking(f, m, block);
        return HF_OK;
    }
    if (!hf_tj_is(type, "text"))
        return hf_err_set(err, HF_E_UNSUPPORTED,
                          "messages: content of type '%s' cannot be sent to this model's server",
                          json_is_string(type) ? json_string_value(type) : "?");
    json_t *text = hf_tj_string(block, "text");
    if (text == NULL)
        return wrong(err, "messages: text", "a text");
    hf_form_add_part(f, m, HF_PART_TEXT)->text = text;
    return HF_OK;
}

static enum hf_code read_blocks(struct hf_form *f, struct hf_message *m, json_t *content,
                                struct hf_err *err)
{
    if (json_is_string(content)) {
        hf_form_add_part(f, m, HF_PART_TEXT)->text = content;
        return HF_OK;
    }
    if (content != NULL && !json_is_array(content))
        return wrong(err, "messages: content", "a text or a list of blocks");
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *block = json_array_get(content, i);
        if (!hf_tj_is(hf_tj_get(block, "type"), "tool_result"))
            HF_TRY(read_block(f, m, block, err));
    }
    return HF_OK;
}

/* Images of a tool's result go to *images: elsewhere only users can send them. */
static enum hf_code read_result(struct hf_form *f, const json_t *block, struct hf_message *images,
                                struct hf_err *err)
{
    static const char *const known[] = {"type", "tool_use_id", "content", "is_error", NULL};
    struct hf_message tmp = {.role = HF_ROLE_TOOL}, *m = NULL;
    json_t *id = hf_tj_string(block, "tool_use_id");
    hf_form_unknown(f, block, "messages.content", known);
    if (id == NULL)
        return wrong(err, "messages: tool_result", "a tool_use_id");
    HF_TRY(read_blocks(f, &tmp, hf_tj_get(block, "content"), err));
    for (size_t i = 0; i < tmp.n; i++)
        if (tmp.parts[i].kind == HF_PART_IMAGE)
            *hf_form_add_part(f, images, HF_PART_IMAGE) = tmp.parts[i];
    json_t *name = hf_form_tool_name(f, id);
    HF_TRY(hf_form_add_message(f, HF_ROLE_TOOL, &m, err));
    struct hf_part *p = hf_form_add_part(f, m, HF_PART_TOOL_RESULT);
    p->id = id;
    p->name = name;
    p->is_error = json_is_true(hf_tj_get(block, "is_error"));
    p->text = hf_form_join(f, &tmp, HF_PART_TEXT, "\n");
    if (p->text == NULL)
        p->text = hf_form_text(f, "", 0);
    return HF_OK;
}

static enum hf_code read_user(struct hf_form *f, json_t *content, struct hf_err *err)
{
    struct hf_message rest = {.role = HF_ROLE_USER}, *m = NULL;
    bool has_results = false;
    for (size_t i = 0; json_is_array(content) && i < json_array_size(content); i++) {
        const json_t *block = json_array_get(content, i);
        if (!hf_tj_is(hf_tj_get(block, "type"), "tool_result"))
            continue;
        has_results = true;
        HF_TRY(read_result(f, block, &rest, err));
    }
    HF_TRY(read_blocks(f, &rest, content, err));
    if (rest.n == 0 && has_results)
        return HF_OK;
    HF_TRY(hf_form_add_message(f, HF_ROLE_USER, &m, err));
    *m = rest;
    return HF_OK;
}

static enum hf_code read_message(struct hf_form *f, const json_t *msg, struct hf_err *err)
{
    static const char *const known[] = {"role", "content", NULL};
    const json_t *role = hf_tj_get(msg, "role");
    json_t *content = hf_tj_get(msg, "content");
    struct hf_message *m = NULL;
    hf_form_unknown(f, msg, "messages", known);
    if (hf_tj_is(role, "user"))
        return read_user(f, content, err);
    if (!hf_tj_is(role, "assistant") && !hf_tj_is(role, "system"))
        return wrong(err, "messages: role", "user or assistant");
    HF_TRY(hf_form_add_message(f, hf_tj_is(role, "system") ? HF_ROLE_SYSTEM : HF_ROLE_ASSISTANT, &m,
                               err));
    return read_blocks(f, m, content, err);
}

static enum hf_code read_system(struct hf_form *f, json_t *system, struct hf_err *err)
{
    struct hf_message *m = NULL;
    if (system == NULL)
        return HF_OK;
    HF_TRY(hf_form_add_message(f, HF_ROLE_SYSTEM, &m, err));
    return read_blocks(f, m, system, err);
}

static enum hf_code read_tools(struct hf_form *f, const json_t *list, struct hf_err *err)
{
    static const char *const known[] = {"type",         "name",   "description",
                                        "input_schema", "strict", NULL};
    size_t n = json_array_size(list);
    if (n > HF_LIMIT_TOOLS)
        return hf_err_set(err, HF_E_LIMIT, "tools: more than %d", HF_LIMIT_TOOLS);
    f->tools = n == 0 ? NULL : hf_arena_alloc(f->arena, n, sizeof(*f->tools));
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i), *type = hf_tj_get(item, "type");
        struct hf_tool *t = &f->tools[f->n_tools];
        if (type != NULL && !hf_tj_is(type, "custom")) {
            hf_report_add(f->report, "tools",
                          json_is_string(type) ? json_string_value(type) : "type");
            continue;
        }
        hf_form_unknown(f, item, "tools", known);
        t->name = hf_tj_string(item, "name");
        if (t->name == NULL)
            return wrong(err, "tools", "a name");
        t->description = hf_tj_string(item, "description");
        t->schema = hf_tj_object(item, "input_schema");
        t->strict = hf_tj_get(item, "strict");
        f->n_tools++;
    }
    return HF_OK;
}

static enum hf_code read_choice(struct hf_form *f, const json_t *choice, struct hf_err *err)
{
    static const struct {
        const char *word;
        enum hf_choice choice;
    } words[] = {{"auto", HF_CHOICE_AUTO},
                 {"any", HF_CHOICE_ANY},
                 {"none", HF_CHOICE_NONE},
                 {"tool", HF_CHOICE_NAMED}};
    if (choice == NULL)
        return HF_OK;
    for (size_t i = 0; i < HF_ARRAY_LEN(words); i++)
        if (hf_tj_is(hf_tj_get(choice, "type"), words[i].word))
            f->choice = words[i].choice;
    f->choice_name = hf_tj_string(choice, "name");
    f->no_parallel = json_is_true(hf_tj_get(choice, "disable_parallel_tool_use"));
    if (f->choice == HF_CHOICE_UNSET || (f->choice == HF_CHOICE_NAMED && f->choice_name == NULL))
        return wrong(err, "tool_choice", "a type auto, any, none, or tool with a name");
    return HF_OK;
}

/* thinking and output_config: how much of it, and what shape the answer has. */
static enum hf_code read_output(struct hf_form *f, const json_t *root, struct hf_err *err)
{
    const json_t *thinking = hf_tj_object(root, "thinking"), *type = hf_tj_get(thinking, "type");
    const json_t *config = hf_tj_object(root, "output_config");
    const json_t *format = hf_tj_object(config, "format");
    enum hf_think effort = hf_think_of_word(hf_tj_get(config, "effort"));
    f->think_budget = hf_tj_i64(thinking, "budget_tokens");
    if (hf_tj_is(type, "disabled"))
        f->think = HF_THINK_OFF;
    else if (hf_tj_is(type, "adaptive") || hf_tj_is(type, "enabled"))
        f->think = effort != HF_THINK_UNSET ? effort : HF_THINK_ON;
    else if (thinking != NULL)
        return wrong(err, "thinking", "a type enabled, adaptive or disabled");
    if (thinking == NULL && effort != HF_THINK_UNSET)
        hf_report_add(f->report, "output_config", "effort");
    if (format == NULL)
        return HF_OK;
    f->format = HF_FORMAT_SCHEMA;
    f->schema = hf_tj_object(format, "schema");
    if (!hf_tj_is(hf_tj_get(format, "type"), "json_schema") || f->schema == NULL)
        return wrong(err, "output_config.format", "a json_schema with a schema");
    return HF_OK;
}

enum hf_code hf_form_from_anthropic(struct hf_form *f, const json_t *root, struct hf_err *err)
{
    static const char *const known[] = {
        "model",  "messages",    "system",      "max_tokens",    "stop_sequences",
        "stream", "metadata",    "temperature", "top_p",         "top_k",
        "tools",  "tool_choice", "thinking",    "output_config", NULL};
    const json_t *messages = hf_tj_array(root, "messages");
    f->kind = HF_FORM_CHAT;
    f->model = hf_tj_string(root, "model");
    f->is_stream = json_is_true(hf_tj_get(root, "stream"));
    f->max_tokens = hf_tj_i64(root, "max_tokens");
    f->user = hf_tj_string(hf_tj_object(root, "metadata"), "user_id");
    hf_form_unknown(f, root, "", known);
    if (messages == NULL)
        return wrong(err, "messages", "a list");
    HF_TRY(hf_form_params(f, root, HF_DIALECT_ANTHROPIC, err));
    HF_TRY(hf_form_stop(f, hf_tj_get(root, "stop_sequences"), "stop_sequences", err));
    HF_TRY(read_system(f, hf_tj_get(root, "system"), err));
    for (size_t i = 0; i < json_array_size(messages); i++)
        HF_TRY(read_message(f, json_array_get(messages, i), err));
    HF_TRY(read_tools(f, hf_tj_array(root, "tools"), err));
    HF_TRY(read_choice(f, hf_tj_get(root, "tool_choice"), err));
    return read_output(f, root, err);
}

/* ---- writing ----------------------------------------------------------------------------------
 */

/* Texts of nothing but blanks are refused there. */
static bool is_blank(const json_t *text)
{
    return text == NULL || strspn(json_string_value(text), " \t\r\n") == json_string_length(text);
}

/* Ids are letters, digits, '_' and '-' there; other servers use dots and colons, too. */
static json_t *clean_id(struct hf_form *f, json_t *id)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t len = json_string_length(id);
    if (strspn(json_string_value(id), good) == len)
        return id;
    char *text = hf_arena_strndup(f->arena, json_string_value(id), len);
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\0' || strchr(good, text[i]) == NULL)
            text[i] = '_';
    return hf_form_text(f, text, len);
}

static void add_text(json_t *blocks, json_t *text)
{
    if (!is_blank(text))
        json_array_append_new(blocks, json_pack("{s:s,s:O}", "type", "text", "text", text));
}

static void add_image(json_t *blocks, const struct hf_part *p)
{
    json_t *source = p->url != NULL ? json_pack("{s:s,s:O}", "type", "url", "url", p->url)
                                    : json_pack("{s:s,s:O,s:O}", "type", "base64", "media_type",
                                                p->media_type, "data", p->data);
    json_array_append_new(blocks, json_pack("{s:s,s:o}", "type", "image", "source", source));
}

static void add_thinking(struct hf_form *f, json_t *blocks, const struct hf_part *p)
{
    if (p->data != NULL)
        json_array_append_new(blocks,
                              json_pack("{s:s,s:O}", "type", "redacted_thinking", "data", p->data));
    else if (p->text != NULL && p->signature != NULL && json_string_length(p->signature) > 0)
        json_array_append_new(blocks, json_pack("{s:s,s:O,s:O}", "type", "thinking", "thinking",
                                                p->text, "signature", p->signature));
    else
        hf_report_add(f->report, "messages", "thinking");
}

static void add_part(struct hf_form *f, json_t *blocks, const struct hf_part *p)
{
    json_t *block = NULL;
    switch (p->kind) {
    case HF_PART_TEXT:
        add_text(blocks, p->text);
        break;
    case HF_PART_IMAGE:
        add_image(blocks, p);
        break;
    case HF_PART_THINKING:
        add_thinking(f, blocks, p);
        break;
    case HF_PART_TOOL_CALL:
        json_array_append_new(blocks, json_pack("{s:s,s:O,s:O,s:O}", "type", "tool_use", "id",
                                                clean_id(f, p->id), "name", p->name, "input",
                                                p->arguments));
        break;
    case HF_PART_TOOL_RESULT:
        block = json_pack("{s:s,s:O,s:O}", "type", "tool_result", "tool_use_id", clean_id(f, p->id),
                          "content", p->text);
        if (p->is_error)
            hf_tj_set_new(block, "is_error", json_true());
        json_array_append_new(blocks, block);
        break;
    }
}

/* The list of blocks that a message of that role goes into: the last one's, if it is the same. */
static json_t *blocks_of(json_t *messages, const char *role)
{
    json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    if (last != NULL && hf_tj_is(hf_tj_get(last, "role"), role))
        return hf_tj_array(last, "content");
    json_t *blocks = json_array();
    json_array_append_new(messages, json_pack("{s:s,s:o}", "role", role, "content", blocks));
    return blocks;
}

static void write_messages(struct hf_form *f, json_t *o)
{
    json_t *messages = json_array(), *kept = json_array();
    struct hf_message system = {.role = HF_ROLE_SYSTEM};
    for (size_t i = 0; i < f->n_messages; i++) {
        const struct hf_message *m = &f->messages[i];
        for (size_t k = 0; k < m->n; k++) {
            if (m->role == HF_ROLE_SYSTEM)
                *hf_form_add_part(f, &system, HF_PART_TEXT) = m->parts[k];
            else
                add_part(f,
                         blocks_of(messages, m->role == HF_ROLE_ASSISTANT ? "assistant" : "user"),
                         &m->parts[k]);
        }
    }
    /* Blocks that were all left out leave no message behind. */
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (json_array_size(hf_tj_array(json_array_get(messages, i), "content")) > 0)
            json_array_append(kept, json_array_get(messages, i));
    json_decref(messages);
    hf_tj_set_new(o, "messages", kept);
    json_t *text = hf_form_join(f, &system, HF_PART_TEXT, "\n\n");
    if (text != NULL && json_string_length(text) > 0)
        hf_tj_set(o, "system", text);
}

static void write_tools(struct hf_form *f, json_t *o)
{
    static const char *const words[] = {"auto", "auto", "any", "none", "tool"};
    if (f->n_tools == 0)
        return;
    json_t *list = json_array();
    hf_tj_set_new(o, "tools", list);
    for (size_t i = 0; i < f->n_tools; i++) {
        const struct hf_tool *t = &f->tools[i];
        json_t *tool = json_object();
        hf_tj_set(tool, "name", t->name);
        hf_tj_set(tool, "description", t->description);
        hf_tj_set_new(tool, "input_schema",
                      t->schema != NULL ? json_incref(t->schema)
                                        : json_pack("{s:s,s:{}}", "type", "object", "properties"));
        hf_tj_set(tool, "strict", t->strict);
        json_array_append_new(list, tool);
    }
    if (f->choice == HF_CHOICE_UNSET && !f->no_parallel)
        return;
    json_t *choice = json_pack("{s:s}", "type", words[f->choice]);
    if (f->choice == HF_CHOICE_NAMED)
        hf_tj_set(choice, "name", f->choice_name);
    if (f->no_parallel && f->choice != HF_CHOICE_NONE)
        hf_tj_set_new(choice, "disable_parallel_tool_use", json_true());
    hf_tj_set_new(o, "tool_choice", choice);
}

/* 0 to 1 here, 0 to 2 elsewhere. */
static json_t *clamped(json_t *temperature)
{
    return json_number_value(temperature) > 1 ? json_integer(1) : json_incref(temperature);
}

static void write_params(struct hf_form *f, const struct hf_target *t, json_t *o, bool is_thinking)
{
    for (size_t i = 0; i < HF_PARAM_N; i++) {
        const struct hf_param_row *row = &hf_param_rows[i];
        json_t *v = f->params[i];
        if (v == NULL)
            continue;
        bool is_said = row->anthropic != NULL && !t->is_anthropic_2026;
        if (is_said && i == HF_PARAM_TEMPERATURE && !is_thinking) {
            if (json_number_value(v) > 1)
                hf_report_add(f->report, "", "temperature-above-1");
            hf_tj_set_new(o, row->anthropic, clamped(v));
        } else if (is_said && i == HF_PARAM_TOP_P && f->params[HF_PARAM_TEMPERATURE] == NULL) {
            hf_tj_set(o, row->anthropic, v);
        } else if (is_said && i == HF_PARAM_TOP_K && !is_thinking) {
            hf_tj_set(o, row->anthropic, v);
        } else if (row->anthropic != NULL || json_number_value(v) != 0) {
            hf_report_add(f->report, "", row->openai);
        }
    }
    json_t *options = json_incref(f->options);
    for (void *it = json_object_iter(options); it != NULL; it = json_object_iter_next(options, it))
        hf_report_add(f->report, "options", json_object_iter_key(it));
    json_decref(options);
    if (f->keep_alive != NULL)
        hf_report_add(f->report, "", "keep_alive");
}

static int64_t budget_of(const struct hf_form *f)
{
    static const int64_t budgets[] = {0, 0, 8192, 1024, 8192, 16384, 32000};
    return f->think_budget > 0 ? f->think_budget : budgets[f->think];
}

/* Whether the model will think; only what the target's model is known to take is sent. */
static bool write_think(struct hf_form *f, const struct hf_target *t, int64_t max_tokens, json_t *o)
{
    if (f->think == HF_THINK_UNSET || f->think == HF_THINK_OFF)
        return false;
    int64_t budget = budget_of(f);
    if (budget >= max_tokens)
        budget = max_tokens - 1;
    if (t->thinking == HF_THINKING_ADAPTIVE) {
        hf_tj_set_new(o, "thinking", json_pack("{s:s}", "type", "adaptive"));
        if (f->think != HF_THINK_ON)
            hf_tj_set_new(o, "output_config",
                          json_pack("{s:s}", "effort", hf_think_word(f->think)));
        return true;
    }
    if (t->thinking == HF_THINKING_BUDGET && budget >= 1024) {
        hf_tj_set_new(
            o, "thinking",
            json_pack("{s:s,s:I}", "type", "enabled", "budget_tokens", (json_int_t)budget));
        return true;
    }
    hf_report_add(f->report, "", "thinking");
    return false;
}

static void write_format(struct hf_form *f, json_t *o)
{
    if (f->format == HF_FORMAT_JSON)
        hf_report_add(f->report, "", "response_format");
    if (f->format != HF_FORMAT_SCHEMA)
        return;
    json_t *config = hf_tj_object(o, "output_config");
    if (config == NULL) {
        config = json_object();
        hf_tj_set_new(o, "output_config", config);
    }
    hf_tj_set_new(config, "format",
                  json_pack("{s:s,s:O}", "type", "json_schema", "schema", f->schema));
}

static enum hf_code prompt_to_message(struct hf_form *f, struct hf_err *err)
{
    struct hf_message *m = NULL;
    if (f->is_raw || f->suffix != NULL)
        return hf_err_set(err, HF_E_UNSUPPORTED, "%s: this model's server takes conversations only",
                          f->is_raw ? "raw" : "suffix");
    HF_TRY(hf_form_add_message(f, HF_ROLE_USER, &m, err));
    hf_form_add_part(f, m, HF_PART_TEXT)->text = f->prompt;
    return HF_OK;
}

enum hf_code hf_form_to_anthropic(struct hf_form *f, const struct hf_target *t, json_t **out,
                                  enum hf_endpoint *ep, struct hf_err *err)
{
    if (f->kind == HF_FORM_EMBED)
        return hf_err_set(err, HF_E_UNSUPPORTED, "this model's server makes no embeddings");
    if (f->kind == HF_FORM_COMPLETE)
        HF_TRY(prompt_to_message(f, err));
    int64_t max = f->max_tokens > 0           ? f->max_tokens
                  : t->default_max_tokens > 0 ? t->default_max_tokens
                                              : 4096;
    json_t *o = json_object();
    hf_tj_set_new(o, "model", hf_form_model(f, t));
    hf_tj_set_new(o, "max_tokens", json_integer(max));
    write_messages(f, o);
    write_tools(f, o);
    write_params(f, t, o, write_think(f, t, max, o));
    write_format(f, o);
    hf_tj_set(o, "stop_sequences", f->stop);
    if (f->user != NULL)
        hf_tj_set_new(o, "metadata", json_pack("{s:O}", "user_id", f->user));
    if (f->is_stream || t->force_stream)
        hf_tj_set_new(o, "stream", json_true());
    *ep = HF_EP_ANTHROPIC_MESSAGES;
    *out = o;
    return HF_OK;
}
