/*
 * OpenAI's requests: /v1/chat/completions, /v1/completions and /v1/embeddings, to and from the
 * neutral form. /v1/responses is in translate_responses.c.
 */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "gateway/translate_form.h"

static enum hf_code wrong(struct hf_err *err, const char *what, const char *want)
{
    return hf_err_set(err, HF_E_INVALID, "%s: %s is expected", what, want);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static enum hf_code read_image(struct hf_form *f, struct hf_message *m, const json_t *part,
                               struct hf_err *err)
{
    json_t *image = hf_tj_get(part, "image_url");
    json_t *url = json_is_string(image) ? image : hf_tj_string(image, "url");
    if (url == NULL)
        return wrong(err, "messages: image_url", "an object with a url");
    if (hf_tj_get(image, "detail") != NULL && !hf_tj_is(hf_tj_get(image, "detail"), "auto"))
        hf_report_add(f->report, "image_url", "detail");
    return hf_form_image_url(f, hf_form_add_part(f, m, HF_PART_IMAGE), url, err);
}

static enum hf_code read_part(struct hf_form *f, struct hf_message *m, const json_t *part,
                              struct hf_err *err)
{
    static const char *const known[] = {"type", "text", "image_url", "refusal", NULL};
    const json_t *type = hf_tj_get(part, "type");
    hf_form_unknown(f, part, "messages.content", known);
    if (hf_tj_is(type, "image_url"))
        return read_image(f, m, part, err);
    if (!hf_tj_is(type, "text") && !hf_tj_is(type, "refusal"))
        return hf_err_set(err, HF_E_UNSUPPORTED,
                          "messages: content of type '%s' cannot be sent to this model's server",
                          json_is_string(type) ? json_string_value(type) : "?");
    json_t *text = hf_tj_string(part, hf_tj_is(type, "text") ? "text" : "refusal");
    if (text == NULL)
        return wrong(err, "messages: content", "a text");
    hf_form_add_part(f, m, HF_PART_TEXT)->text = text;
    return HF_OK;
}

/* content: absent, a text, or an array of parts. */
static enum hf_code read_content(struct hf_form *f, struct hf_message *m, const json_t *msg,
                                 struct hf_err *err)
{
    json_t *content = hf_tj_get(msg, "content");
    if (content == NULL)
        return HF_OK;
    if (json_is_string(content)) {
        hf_form_add_part(f, m, HF_PART_TEXT)->text = content;
        return HF_OK;
    }
    if (!json_is_array(content))
        return wrong(err, "messages: content", "a text or a list of parts");
    for (size_t i = 0; i < json_array_size(content); i++)
        HF_TRY(read_part(f, m, json_array_get(content, i), err));
    return HF_OK;
}

static enum hf_code read_tool_call(struct hf_form *f, struct hf_message *m, const json_t *call,
                                   struct hf_err *err)
{
    const json_t *function = hf_tj_object(call, "function");
    json_t *name = hf_tj_string(function, "name"), *id = hf_tj_string(call, "id");
    json_t *arguments = NULL;
    if (name == NULL || id == NULL)
        return wrong(err, "messages: tool_calls", "an id and a function with a name");
    HF_TRY(hf_form_arguments(f, hf_tj_get(function, "arguments"), &arguments, err));
    struct hf_part *p = hf_form_add_part(f, m, HF_PART_TOOL_CALL);
    p->id = id;
    p->name = name;
    p->arguments = arguments;
    return HF_OK;
}

static enum hf_code read_assistant(struct hf_form *f, struct hf_message *m, const json_t *msg,
                                   struct hf_err *err)
{
    const json_t *calls = hf_tj_array(msg, "tool_calls");
    json_t *thinking = hf_tj_string(msg, "reasoning");
    if (thinking == NULL)
        thinking = hf_tj_string(msg, "reasoning_content");
    if (thinking != NULL && json_string_length(thinking) > 0)
        hf_form_add_part(f, m, HF_PART_THINKING)->text = thinking;
    HF_TRY(read_content(f, m, msg, err));
    json_t *refusal = hf_tj_string(msg, "refusal");
    if (refusal != NULL)
        hf_form_add_part(f, m, HF_PART_TEXT)->text = refusal;
    for (size_t i = 0; i < json_array_size(calls); i++)
        HF_TRY(read_tool_call(f, m, json_array_get(calls, i), err));
    return HF_OK;
}

static enum hf_code read_tool_result(struct hf_form *f, struct hf_message *m, const json_t *msg,
                                     struct hf_err *err)
{
    struct hf_message tmp = {.role = HF_ROLE_TOOL};
    json_t *id = hf_tj_string(msg, "tool_call_id");
    if (id == NULL)
        return wrong(err, "messages: a tool message", "a tool_call_id");
    HF_TRY(read_content(f, &tmp, msg, err));
    if (hf_message_has(&tmp, HF_PART_IMAGE))
        return hf_err_set(err, HF_E_UNSUPPORTED, "messages: an image in a tool message");
    struct hf_part *p = hf_form_add_part(f, m, HF_PART_TOOL_RESULT);
    p->id = id;
    p->name = hf_form_tool_name(f, id);
    p->text = hf_form_join(f, &tmp, HF_PART_TEXT, "\n");
    if (p->text == NULL)
        p->text = hf_form_text(f, "", 0);
    return HF_OK;
}

static enum hf_code read_message(struct hf_form *f, const json_t *msg, struct hf_err *err)
{
    static const char *const known[] = {"role",         "content",   "tool_calls",
                                        "tool_call_id", "reasoning", "reasoning_content",
                                        "refusal",      NULL};
    static const struct {
        const char *word;
        enum hf_role role;
    } roles[] = {{"system", HF_ROLE_SYSTEM},
                 {"developer", HF_ROLE_SYSTEM},
                 {"user", HF_ROLE_USER},
                 {"assistant", HF_ROLE_ASSISTANT},
                 {"tool", HF_ROLE_TOOL}};
    const json_t *word = hf_tj_get(msg, "role");
    struct hf_message *m = NULL;
    size_t i = 0;
    hf_form_unknown(f, msg, "messages", known);
    while (i < HF_ARRAY_LEN(roles) && !hf_tj_is(word, roles[i].word))
        i++;
    if (i == HF_ARRAY_LEN(roles))
        return hf_err_set(err, HF_E_INVALID,
                          "messages: role '%s' is none of system, developer, user, assistant, tool",
                          json_is_string(word) ? json_string_value(word) : "?");
    HF_TRY(hf_form_add_message(f, roles[i].role, &m, err));
    if (m->role == HF_ROLE_ASSISTANT)
        return read_assistant(f, m, msg, err);
    return m->role == HF_ROLE_TOOL ? read_tool_result(f, m, msg, err)
                                   : read_content(f, m, msg, err);
}

static enum hf_code read_tools(struct hf_form *f, const json_t *list, struct hf_err *err)
{
    size_t n = json_array_size(list);
    if (n > HF_LIMIT_TOOLS)
        return hf_err_set(err, HF_E_LIMIT, "tools: more than %d", HF_LIMIT_TOOLS);
    f->tools = n == 0 ? NULL : hf_arena_alloc(f->arena, n, sizeof(*f->tools));
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i), *type = hf_tj_get(item, "type");
        const json_t *function = hf_tj_object(item, "function");
        struct hf_tool *t = &f->tools[f->n_tools];
        if (type != NULL && !hf_tj_is(type, "function")) {
            hf_report_add(f->report, "tools",
                          json_is_string(type) ? json_string_value(type) : "type");
            continue;
        }
        t->name = hf_tj_string(function, "name");
        if (t->name == NULL)
            return wrong(err, "tools", "a function with a name");
        t->description = hf_tj_string(function, "description");
        t->schema = hf_tj_object(function, "parameters");
        t->strict = hf_tj_get(function, "strict");
        f->n_tools++;
    }
    return HF_OK;
}

static enum hf_code read_choice(struct hf_form *f, const json_t *choice, struct hf_err *err)
{
    static const struct {
        const char *word;
        enum hf_choice choice;
    } words[] = {{"auto", HF_CHOICE_AUTO}, {"required", HF_CHOICE_ANY}, {"none", HF_CHOICE_NONE}};
    if (choice == NULL)
        return HF_OK;
    for (size_t i = 0; i < HF_ARRAY_LEN(words); i++) {
        if (hf_tj_is(choice, words[i].word)) {
            f->choice = words[i].choice;
            return HF_OK;
        }
    }
    f->choice_name = hf_tj_string(hf_tj_object(choice, "function"), "name");
    if (f->choice_name == NULL)
        return wrong(err, "tool_choice", "auto, required, none or a function");
    f->choice = HF_CHOICE_NAMED;
    return HF_OK;
}

static enum hf_code read_format(struct hf_form *f, const json_t *format, struct hf_err *err)
{
    const json_t *type = hf_tj_get(format, "type");
    if (format == NULL || hf_tj_is(type, "text"))
        return HF_OK;
    if (hf_tj_is(type, "json_object")) {
        f->format = HF_FORMAT_JSON;
        return HF_OK;
    }
    const json_t *schema = hf_tj_object(format, "json_schema");
    f->schema = hf_tj_object(schema, "schema");
    if (!hf_tj_is(type, "json_schema") || f->schema == NULL)
        return wrong(err, "response_format", "text, json_object or json_schema with a schema");
    f->format = HF_FORMAT_SCHEMA;
    f->schema_name = hf_tj_string(schema, "name");
    f->schema_strict = hf_tj_get(schema, "strict");
    return HF_OK;
}

/* What the generating endpoints share. */
static enum hf_code read_common(struct hf_form *f, const json_t *root, struct hf_err *err)
{
    json_t *n = hf_tj_get(root, "n");
    f->is_stream = json_is_true(hf_tj_get(root, "stream"));
    if (n != NULL && !(json_is_integer(n) && json_integer_value(n) == 1))
        return hf_err_set(err, HF_E_UNSUPPORTED,
                          "n: only one answer a request can be had from this model's server");
    f->max_tokens = hf_tj_i64(root, "max_completion_tokens");
    if (f->max_tokens <= 0)
        f->max_tokens = hf_tj_i64(root, "max_tokens");
    f->user = hf_tj_string(root, "user");
    HF_TRY(hf_form_params(f, root, HF_DIALECT_OPENAI, err));
    return hf_form_stop(f, hf_tj_get(root, "stop"), "stop", err);
}

static enum hf_code read_chat(struct hf_form *f, const json_t *root, struct hf_err *err)
{
    static const char *const known[] = {"model",
                                        "messages",
                                        "tools",
                                        "tool_choice",
                                        "stream",
                                        "stream_options",
                                        "max_tokens",
                                        "max_completion_tokens",
                                        "temperature",
                                        "top_p",
                                        "top_k",
                                        "min_p",
                                        "seed",
                                        "presence_penalty",
                                        "frequency_penalty",
                                        "repetition_penalty",
                                        "stop",
                                        "n",
                                        "user",
                                        "response_format",
                                        "reasoning_effort",
                                        "parallel_tool_calls",
                                        "store",
                                        NULL};
    const json_t *messages = hf_tj_array(root, "messages");
    f->kind = HF_FORM_CHAT;
    hf_form_unknown(f, root, "", known);
    if (json_is_true(hf_tj_get(root, "store")))
        hf_report_add(f->report, "", "store");
    if (messages == NULL)
        return wrong(err, "messages", "a list");
    HF_TRY(read_common(f, root, err));
    for (size_t i = 0; i < json_array_size(messages); i++)
        HF_TRY(read_message(f, json_array_get(messages, i), err));
    HF_TRY(read_tools(f, hf_tj_array(root, "tools"), err));
    HF_TRY(read_choice(f, hf_tj_get(root, "tool_choice"), err));
    f->no_parallel = json_is_false(json_object_get(root, "parallel_tool_calls"));
    const json_t *effort = hf_tj_get(root, "reasoning_effort");
    f->think = hf_think_of_word(effort);
    if (effort != NULL && f->think == HF_THINK_UNSET)
        return wrong(err, "reasoning_effort", "none, minimal, low, medium, high or xhigh");
    return read_format(f, hf_tj_get(root, "response_format"), err);
}

static enum hf_code read_completion(struct hf_form *f, const json_t *root, struct hf_err *err)
{
    static const char *const known[] = {"model",
                                        "prompt",
                                        "suffix",
                                        "stream",
                                        "stream_options",
                                        "max_tokens",
                                        "temperature",
                                        "top_p",
                                        "top_k",
                                        "min_p",
                                        "seed",
                                        "stop",
                                        "n",
                                        "user",
                                        "presence_penalty",
                                        "frequency_penalty",
                                        "repetition_penalty",
                                        "best_of",
                                        NULL};
    f->kind = HF_FORM_COMPLETE;
    hf_form_unknown(f, root, "", known);
    if (hf_tj_i64(root, "best_of") > 1)
        hf_report_add(f->report, "", "best_of");
    HF_TRY(read_common(f, root, err));
    f->prompt = hf_tj_get(root, "prompt");
    if (json_is_array(f->prompt) && json_array_size(f->prompt) == 1)
        f->prompt = json_array_get(f->prompt, 0);
    if (!json_is_string(f->prompt))
        return wrong(err, "prompt", "one text");
    f->suffix = hf_tj_string(root, "suffix");
    return HF_OK;
}

static enum hf_code read_embed(struct hf_form *f, const json_t *root, struct hf_err *err)
{
    static const char *const known[] = {"model",      "input", "encoding_format",
                                        "dimensions", "user",  NULL};
    json_t *input = hf_tj_get(root, "input");
    f->kind = HF_FORM_EMBED;
    hf_form_unknown(f, root, "", known);
    f->user = hf_tj_string(root, "user");
    f->dimensions = hf_tj_get(root, "dimensions");
    if (json_is_string(input)) {
        f->input = hf_form_keep(f, json_array());
        return json_array_append(f->input, input) == 0 ? HF_OK : wrong(err, "input", "a text");
    }
    for (size_t i = 0; i < json_array_size(input); i++)
        if (!json_is_string(json_array_get(input, i)))
            return hf_err_set(err, HF_E_UNSUPPORTED,
                              "input: lists of tokens cannot be sent to this model's server");
    if (json_array_size(input) == 0)
        return wrong(err, "input", "a text or a list of texts");
    f->input = input;
    return HF_OK;
}

enum hf_code hf_form_from_openai(struct hf_form *f, const json_t *root, enum hf_endpoint ep,
                                 struct hf_err *err)
{
    f->model = hf_tj_string(root, "model");
    if (ep == HF_EP_OPENAI_EMBEDDINGS)
        return read_embed(f, root, err);
    return ep == HF_EP_OPENAI_COMPLETIONS ? read_completion(f, root, err) : read_chat(f, root, err);
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static json_t *text_part(json_t *text)
{
    json_t *o = json_object();
    hf_tj_set_new(o, "type", json_string("text"));
    hf_tj_set(o, "text", text);
    return o;
}

static json_t *image_part(const struct hf_part *p)
{
    json_t *o = json_object(), *image = json_object();
    hf_tj_set_new(o, "type", json_string("image_url"));
    hf_tj_set_new(o, "image_url", image);
    if (p->url != NULL)
        hf_tj_set(image, "url", p->url);
    else
        hf_tj_set_new(image, "url",
                      json_sprintf("data:%s;base64,%s", json_string_value(p->media_type),
                                   json_string_value(p->data)));
    return o;
}

static json_t *content_parts(const struct hf_message *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->n; i++) {
        const struct hf_part *p = &m->parts[i];
        if (p->kind == HF_PART_TEXT)
            json_array_append_new(list, text_part(p->text));
        if (p->kind == HF_PART_IMAGE)
            json_array_append_new(list, image_part(p));
    }
    return list;
}

static json_t *tool_calls(struct hf_form *f, const struct hf_message *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->n; i++) {
        const struct hf_part *p = &m->parts[i];
        if (p->kind != HF_PART_TOOL_CALL)
            continue;
        struct hf_buf text;
        hf_buf_init(&text, SIZE_MAX / 2);
        struct hf_tw w = {&text, false};
        hf_tw_value(&w, p->arguments);
        json_t *call = json_object(), *function = json_object();
        hf_tj_set(call, "id", p->id);
        hf_tj_set_new(call, "type", json_string("function"));
        hf_tj_set(function, "name", p->name);
        hf_tj_set(function, "arguments", hf_form_text(f, (const char *)text.data, text.len));
        hf_tj_set_new(call, "function", function);
        json_array_append_new(list, call);
        hf_buf_deinit(&text);
    }
    return list;
}

static json_t *write_message(struct hf_form *f, const struct hf_message *m)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    json_t *o = json_object();
    hf_tj_set_new(o, "role", json_string(roles[m->role]));
    if (m->role == HF_ROLE_TOOL) {
        hf_tj_set(o, "tool_call_id", m->parts[0].id);
        hf_tj_set(o, "content", m->parts[0].text);
        if (m->parts[0].is_error)
            hf_report_add(f->report, "messages", "is_error");
        return o;
    }
    if (hf_message_has(m, HF_PART_IMAGE)) {
        hf_tj_set_new(o, "content", content_parts(m));
        return o;
    }
    json_t *text = hf_form_join(f, m, HF_PART_TEXT, m->role == HF_ROLE_SYSTEM ? "\n\n" : "\n");
    bool has_calls = hf_message_has(m, HF_PART_TOOL_CALL);
    if (text == NULL)
        text = has_calls ? hf_form_keep(f, json_null()) : hf_form_text(f, "", 0);
    hf_tj_set(o, "content", text);
    if (has_calls)
        hf_tj_set_new(o, "tool_calls", tool_calls(f, m));
    if (hf_message_has(m, HF_PART_THINKING))
        hf_report_add(f->report, "messages", "thinking");
    return o;
}

static void write_params(struct hf_form *f, const struct hf_target *t, json_t *o)
{
    for (size_t i = 0; i < HF_PARAM_N; i++) {
        const struct hf_param_row *row = &hf_param_rows[i];
        if (f->params[i] == NULL)
            continue;
        if (row->openai == NULL || (row->is_extra && t->is_plain_openai))
            hf_report_add(f->report, "", row->ollama);
        else
            hf_tj_set(o, row->openai, f->params[i]);
    }
    json_t *options = json_incref(f->options);
    for (void *it = json_object_iter(options); it != NULL; it = json_object_iter_next(options, it))
        hf_report_add(f->report, "options", json_object_iter_key(it));
    json_decref(options);
    if (f->keep_alive != NULL)
        hf_report_add(f->report, "", "keep_alive");
}

static void write_common(struct hf_form *f, const struct hf_target *t, json_t *o)
{
    bool is_stream = f->is_stream || t->force_stream;
    hf_tj_set_new(o, "model", hf_form_model(f, t));
    if (f->max_tokens > 0)
        hf_tj_set_new(o, t->is_max_completion_tokens ? "max_completion_tokens" : "max_tokens",
                      json_integer(f->max_tokens));
    write_params(f, t, o);
    hf_tj_set(o, "stop", f->stop);
    hf_tj_set(o, "user", f->user);
    if (is_stream) {
        hf_tj_set_new(o, "stream", json_true());
        if (!t->has_no_stream_options)
            hf_tj_set_new(o, "stream_options", json_pack("{s:b}", "include_usage", 1));
    }
}

static void write_tools(struct hf_form *f, json_t *o)
{
    static const char *const words[] = {NULL, "auto", "required", "none", NULL};
    if (f->n_tools == 0)
        return;
    hf_tj_set_new(o, "tools", hf_form_tools_openai(f));
    if (words[f->choice] != NULL)
        hf_tj_set_new(o, "tool_choice", json_string(words[f->choice]));
    if (f->choice == HF_CHOICE_NAMED)
        hf_tj_set_new(
            o, "tool_choice",
            json_pack("{s:s,s:{s:O}}", "type", "function", "function", "name", f->choice_name));
    if (f->no_parallel)
        hf_tj_set_new(o, "parallel_tool_calls", json_false());
}

static void write_format(struct hf_form *f, json_t *o)
{
    if (f->format == HF_FORMAT_JSON)
        hf_tj_set_new(o, "response_format", json_pack("{s:s}", "type", "json_object"));
    if (f->format != HF_FORMAT_SCHEMA)
        return;
    json_t *schema = json_object();
    hf_tj_set_new(schema, "name",
                  f->schema_name != NULL ? json_incref(f->schema_name) : json_string("answer"));
    hf_tj_set(schema, "schema", f->schema);
    hf_tj_set(schema, "strict", f->schema_strict);
    hf_tj_set_new(o, "response_format",
                  json_pack("{s:s,s:o}", "type", "json_schema", "json_schema", schema));
}

static void write_think(struct hf_form *f, const struct hf_target *t, json_t *o)
{
    if (f->think == HF_THINK_UNSET)
        return;
    if (t->thinking == HF_THINKING_NONE)
        hf_report_add(f->report, "", "thinking");
    else
        hf_tj_set_new(o, "reasoning_effort",
                      json_string(f->think == HF_THINK_MAX ? "xhigh" : hf_think_word(f->think)));
}

static void write_chat(struct hf_form *f, const struct hf_target *t, json_t *o)
{
    json_t *messages = json_array();
    hf_tj_set_new(o, "messages", messages);
    for (size_t i = 0; i < f->n_messages; i++)
        json_array_append_new(messages, write_message(f, &f->messages[i]));
    write_tools(f, o);
    write_format(f, o);
    write_think(f, t, o);
}

/* A prompt that its server wraps in the model's template is a conversation of one turn. */
static void write_prompt_as_chat(struct hf_form *f, json_t *o)
{
    json_t *messages = json_pack("[{s:s,s:O}]", "role", "user", "content", f->prompt);
    hf_tj_set_new(o, "messages", messages);
    write_format(f, o);
}

enum hf_code hf_form_to_openai(struct hf_form *f, const struct hf_target *t, json_t **out,
                               enum hf_endpoint *ep, struct hf_err *err)
{
    json_t *o = json_object();
    (void)err;
    if (f->kind == HF_FORM_EMBED) {
        *ep = HF_EP_OPENAI_EMBEDDINGS;
        hf_tj_set_new(o, "model", hf_form_model(f, t));
        hf_tj_set(o, "input", f->input);
        hf_tj_set(o, "dimensions", f->dimensions);
        hf_tj_set_new(o, "encoding_format", json_string("float"));
        if (json_is_true(f->truncate))
            hf_report_add(f->report, "", "truncate");
        if (f->keep_alive != NULL)
            hf_report_add(f->report, "", "keep_alive");
        *out = o;
        return HF_OK;
    }
    write_common(f, t, o);
    *ep = HF_EP_OPENAI_CHAT;
    if (f->kind == HF_FORM_CHAT) {
        write_chat(f, t, o);
    } else if (f->is_raw || f->suffix != NULL) {
        *ep = HF_EP_OPENAI_COMPLETIONS;
        hf_tj_set(o, "prompt", f->prompt);
        hf_tj_set(o, "suffix", f->suffix);
    } else {
        write_prompt_as_chat(f, o);
    }
    *out = o;
    return HF_OK;
}
