/*
 * OpenAI's /v1/responses, reading only: it is answered through /v1/chat/completions or another
 * dialect. Nothing is stored here, so a request that leans on an earlier response is refused.
 */
#include <string.h>

#include "base/limits.h"
#include "gateway/translate_form.h"

static enum hf_code wrong(struct hf_err *err, const char *what, const char *want)
{
    return hf_err_set(err, HF_E_INVALID, "%s: %s is expected", what, want);
}

static enum hf_code read_part(struct hf_form *f, struct hf_message *m, const json_t *part,
                              struct hf_err *err)
{
    static const char *const texts[] = {"input_text", "output_text", "text", "refusal"};
    const json_t *type = hf_tj_get(part, "type");
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++) {
        if (!hf_tj_is(type, texts[i]))
            continue;
        json_t *text = hf_tj_string(part, strcmp(texts[i], "refusal") == 0 ? "refusal" : "text");
        if (text == NULL)
            return wrong(err, "input: content", "a text");
        hf_form_add_part(f, m, HF_PART_TEXT)->text = text;
        return HF_OK;
    }
    json_t *url = hf_tj_string(part, "image_url");
    if (!hf_tj_is(type, "input_image") || url == NULL)
        return hf_err_set(err, HF_E_UNSUPPORTED,
                          "input: content of type '%s' cannot be sent to this model's server",
                          json_is_string(type) ? json_string_value(type) : "?");
    return hf_form_image_url(f, hf_form_add_part(f, m, HF_PART_IMAGE), url, err);
}

static enum hf_code read_message(struct hf_form *f, const json_t *item, struct hf_err *err)
{
    const json_t *role = hf_tj_get(item, "role");
    json_t *content = hf_tj_get(item, "content");
    struct hf_message *m = NULL;
    enum hf_role r = hf_tj_is(role, "assistant") ? HF_ROLE_ASSISTANT
                     : hf_tj_is(role, "user")    ? HF_ROLE_USER
                                                 : HF_ROLE_SYSTEM;
    if (r == HF_ROLE_SYSTEM && !hf_tj_is(role, "system") && !hf_tj_is(role, "developer"))
        return wrong(err, "input: role", "system, developer, user or assistant");
    HF_TRY(hf_form_add_message(f, r, &m, err));
    if (json_is_string(content)) {
        hf_form_add_part(f, m, HF_PART_TEXT)->text = content;
        return HF_OK;
    }
    if (!json_is_array(content))
        return wrong(err, "input: content", "a text or a list of parts");
    for (size_t i = 0; i < json_array_size(content); i++)
        HF_TRY(read_part(f, m, json_array_get(content, i), err));
    return HF_OK;
}

/* Calls in a row belong to one message of the assistant. */
static enum hf_code read_call(struct hf_form *f, const json_t *item, struct hf_err *err)
{
    json_t *id = hf_tj_string(item, "call_id"), *name = hf_tj_string(item, "name");
    json_t *arguments = NULL;
    struct hf_message *m = f->n_messages > 0 ? &f->messages[f->n_messages - 1] : NULL;
    if (id == NULL || name == NULL)
        return wrong(err, "input: function_call", "a call_id and a name");
    HF_TRY(hf_form_arguments(f, hf_tj_get(item, "arguments"), &arguments, err));
    if (m == NULL || m->role != HF_ROLE_ASSISTANT)
        HF_TRY(hf_form_add_message(f, HF_ROLE_ASSISTANT, &m, err));
    struct hf_part *p = hf_form_add_part(f, m, HF_PART_TOOL_CALL);
    p->id = id;
    p->name = name;
    p->arguments = arguments;
    return HF_OK;
}

static enum hf_code read_output(struct hf_form *f, const json_t *item, struct hf_err *err)
{
    json_t *id = hf_tj_string(item, "call_id"), *output = hf_tj_get(item, "output");
    struct hf_message tmp = {.role = HF_ROLE_TOOL}, *m = NULL;
    if (id == NULL)
        return wrong(err, "input: function_call_output", "a call_id");
    for (size_t i = 0; json_is_array(output) && i < json_array_size(output); i++)
        HF_TRY(read_part(f, &tmp, json_array_get(output, i), err));
    json_t *name = hf_form_tool_name(f, id);
    HF_TRY(hf_form_add_message(f, HF_ROLE_TOOL, &m, err));
    struct hf_part *p = hf_form_add_part(f, m, HF_PART_TOOL_RESULT);
    p->id = id;
    p->name = name;
    p->text = json_is_string(output) ? output : hf_form_join(f, &tmp, HF_PART_TEXT, "\n");
    if (p->text == NULL)
        p->text = hf_form_text(f, "", 0);
    return HF_OK;
}

static enum hf_code read_item(struct hf_form *f, const json_t *item, struct hf_err *err)
{
    const json_t *type = hf_tj_get(item, "type");
    if (type == NULL || hf_tj_is(type, "message"))
        return read_message(f, item, err);
    if (hf_tj_is(type, "function_call"))
        return read_call(f, item, err);
    if (hf_tj_is(type, "function_call_output"))
        return read_output(f, item, err);
    if (!hf_tj_is(type, "reasoning"))
        return hf_err_set(err, HF_E_UNSUPPORTED, "input: an item of type '%s' is not supported",
                          json_is_string(type) ? json_string_value(type) : "?");
    hf_report_add(f->report, "input", "reasoning");
    return HF_OK;
}

static enum hf_code read_tools(struct hf_form *f, const json_t *list, struct hf_err *err)
{
    size_t n = json_array_size(list);
    if (n > HF_LIMIT_TOOLS)
        return hf_err_set(err, HF_E_LIMIT, "tools: more than %d", HF_LIMIT_TOOLS);
    f->tools = n == 0 ? NULL : hf_arena_alloc(f->arena, n, sizeof(*f->tools));
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i), *type = hf_tj_get(item, "type");
        struct hf_tool *t = &f->tools[f->n_tools];
        if (!hf_tj_is(type, "function")) {
            hf_report_add(f->report, "tools",
                          json_is_string(type) ? json_string_value(type) : "type");
            continue;
        }
        t->name = hf_tj_string(item, "name");
        if (t->name == NULL)
            return wrong(err, "tools", "a name");
        t->description = hf_tj_string(item, "description");
        t->schema = hf_tj_object(item, "parameters");
        t->strict = hf_tj_get(item, "strict");
        f->n_tools++;
    }
    return HF_OK;
}

static enum hf_code read_choice(struct hf_form *f, const json_t *choice, struct hf_err *err)
{
    if (choice == NULL)
        return HF_OK;
    f->choice_name = hf_tj_string(choice, "name");
    f->choice = hf_tj_is(choice, "auto")       ? HF_CHOICE_AUTO
                : hf_tj_is(choice, "required") ? HF_CHOICE_ANY
                : hf_tj_is(choice, "none")     ? HF_CHOICE_NONE
                : f->choice_name != NULL       ? HF_CHOICE_NAMED
                                               : HF_CHOICE_UNSET;
    return f->choice == HF_CHOICE_UNSET
               ? wrong(err, "tool_choice", "auto, required, none or a function")
               : HF_OK;
}

static enum hf_code read_format(struct hf_form *f, const json_t *format, struct hf_err *err)
{
    const json_t *type = hf_tj_get(format, "type");
    if (format == NULL || hf_tj_is(type, "text"))
        return HF_OK;
    f->format = hf_tj_is(type, "json_object") ? HF_FORMAT_JSON : HF_FORMAT_SCHEMA;
    f->schema = hf_tj_object(format, "schema");
    f->schema_name = hf_tj_string(format, "name");
    f->schema_strict = hf_tj_get(format, "strict");
    return f->format == HF_FORMAT_JSON || f->schema != NULL
               ? HF_OK
               : wrong(err, "text.format", "text, json_object or json_schema with a schema");
}

static enum hf_code read_input(struct hf_form *f, const json_t *root, struct hf_err *err)
{
    json_t *input = hf_tj_get(root, "input"), *instructions = hf_tj_string(root, "instructions");
    struct hf_message *m = NULL;
    if (instructions != NULL) {
        HF_TRY(hf_form_add_message(f, HF_ROLE_SYSTEM, &m, err));
        hf_form_add_part(f, m, HF_PART_TEXT)->text = instructions;
    }
    if (json_is_string(input)) {
        HF_TRY(hf_form_add_message(f, HF_ROLE_USER, &m, err));
        hf_form_add_part(f, m, HF_PART_TEXT)->text = input;
        return HF_OK;
    }
    if (!json_is_array(input))
        return wrong(err, "input", "a text or a list of items");
    for (size_t i = 0; i < json_array_size(input); i++)
        HF_TRY(read_item(f, json_array_get(input, i), err));
    return HF_OK;
}

enum hf_code hf_form_from_responses(struct hf_form *f, const json_t *root, struct hf_err *err)
{
    static const char *const known[] = {"model",        "input",       "instructions",
                                        "tools",        "tool_choice", "parallel_tool_calls",
                                        "temperature",  "top_p",       "max_output_tokens",
                                        "stream",       "text",        "reasoning",
                                        "user",         "store",       "previous_response_id",
                                        "conversation", "background",  NULL};
    f->kind = HF_FORM_CHAT;
    f->model = hf_tj_string(root, "model");
    f->is_stream = json_is_true(hf_tj_get(root, "stream"));
    f->user = hf_tj_string(root, "user");
    f->max_tokens = hf_tj_i64(root, "max_output_tokens");
    f->no_parallel = json_is_false(json_object_get(root, "parallel_tool_calls"));
    hf_form_unknown(f, root, "", known);
    if (hf_tj_get(root, "previous_response_id") != NULL ||
        hf_tj_get(root, "conversation") != NULL || json_is_true(hf_tj_get(root, "background")))
        return hf_err_set(err, HF_E_UNSUPPORTED,
                          "previous_response_id, conversation and background need a server that "
                          "stores responses: send the whole conversation in input");
    const json_t *effort = hf_tj_get(hf_tj_object(root, "reasoning"), "effort");
    f->think = hf_think_of_word(effort);
    if (json_is_true(hf_tj_get(root, "store")))
        hf_report_add(f->report, "", "store");
    HF_TRY(hf_form_params(f, root, HF_DIALECT_OPENAI, err));
    HF_TRY(read_input(f, root, err));
    HF_TRY(read_tools(f, hf_tj_array(root, "tools"), err));
    HF_TRY(read_choice(f, hf_tj_get(root, "tool_choice"), err));
    return read_format(f, hf_tj_object(hf_tj_object(root, "text"), "format"), err);
}
