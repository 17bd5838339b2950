/*
 * Ollama's requests: /api/chat, /api/generate, /api/embed and /api/embeddings, to and from the
 * neutral form. Towards Ollama always these and never its own /v1 layer: that one overrides the
 * Modelfile's defaults, cannot set num_ctx, and swallows errors in the middle of a stream.
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

/* Ollama takes bare base64; the first bytes tell what it is. */
static const char *media_type_of(const char *base64)
{
    static const struct {
        const char *start;
        const char *type;
    } kinds[] = {{"iVBOR", "image/png"},
                 {"/9j/", "image/jpeg"},
                 {"R0lG", "image/gif"},
                 {"UklGR", "image/webp"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++)
        if (strncmp(base64, kinds[i].start, strlen(kinds[i].start)) == 0)
            return kinds[i].type;
    return "image/png";
}

static enum hf_code read_images(struct hf_form *f, struct hf_message *m, const json_t *list,
                                struct hf_err *err)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *data = json_array_get(list, i);
        if (!json_is_string(data))
            return wrong(err, "images", "a list of base64 texts");
        struct hf_part *p = hf_form_add_part(f, m, HF_PART_IMAGE);
        const char *type = media_type_of(json_string_value(data));
        p->data = data;
        p->media_type = hf_form_text(f, type, strlen(type));
    }
    return HF_OK;
}

/* Calls of the conversation get numbers where the client gave no ids. */
static json_t *made_id(struct hf_form *f)
{
    return hf_form_keep(f, json_sprintf("call_%d", (int)f->n_calls));
}

static enum hf_code read_calls(struct hf_form *f, struct hf_message *m, const json_t *calls,
                               struct hf_err *err)
{
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i), *function = hf_tj_object(call, "function");
        json_t *name = hf_tj_string(function, "name"), *id = hf_tj_string(call, "id");
        json_t *arguments = NULL;
        if (name == NULL)
            return wrong(err, "messages: tool_calls", "a function with a name");
        HF_TRY(hf_form_arguments(f, hf_tj_get(function, "arguments"), &arguments, err));
        struct hf_part *p = hf_form_add_part(f, m, HF_PART_TOOL_CALL);
        p->id = id != NULL && json_string_length(id) > 0 ? id : made_id(f);
        f->n_calls++;
        p->name = name;
        p->arguments = arguments;
    }
    return HF_OK;
}

/* The call of that id; without one, the first that has no answer, of that name if one is given. */
static struct hf_part *find_call(struct hf_form *f, const json_t *id, const json_t *name)
{
    for (size_t i = 0; i < f->n_messages; i++) {
        struct hf_message *m = &f->messages[i];
        for (size_t k = 0; k < m->n; k++) {
            struct hf_part *p = &m->parts[k];
            bool is_it = id != NULL
                             ? json_equal(p->id, id)
                             : !p->is_answered && (name == NULL || json_equal(p->name, name));
            if (p->kind == HF_PART_TOOL_CALL && is_it)
                return p;
        }
    }
    return NULL;
}

static enum hf_code read_result(struct hf_form *f, struct hf_message *m, const json_t *msg,
                                struct hf_err *err)
{
    json_t *name = hf_tj_string(msg, "tool_name"), *id = hf_tj_string(msg, "tool_call_id");
    struct hf_part *call = find_call(f, id, name);
    if (id == NULL && call == NULL)
        return hf_err_set(err, HF_E_INVALID,
                          "messages: a tool message answers no tool call before it");
    if (call != NULL)
        call->is_answered = true;
    struct hf_part *p = hf_form_add_part(f, m, HF_PART_TOOL_RESULT);
    p->id = id != NULL ? id : call->id;
    p->name = name != NULL ? name : call != NULL ? call->name : NULL;
    p->text = hf_tj_string(msg, "content");
    if (p->text == NULL)
        p->text = hf_form_text(f, "", 0);
    return HF_OK;
}

static enum hf_code read_message(struct hf_form *f, const json_t *msg, struct hf_err *err)
{
    static const char *const known[] = {"role",       "content",   "thinking",     "images",
                                        "tool_calls", "tool_name", "tool_call_id", NULL};
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    const json_t *word = hf_tj_get(msg, "role");
    json_t *text = hf_tj_string(msg, "content"), *thinking = hf_tj_string(msg, "thinking");
    struct hf_message *m = NULL;
    size_t role = 0;
    hf_form_unknown(f, msg, "messages", known);
    while (role < HF_ARRAY_LEN(roles) && !hf_tj_is(word, roles[role]))
        role++;
    if (role == HF_ARRAY_LEN(roles))
        return wrong(err, "messages: role", "system, user, assistant or tool");
    HF_TRY(hf_form_add_message(f, (enum hf_role)role, &m, err));
    if (m->role == HF_ROLE_TOOL)
        return read_result(f, m, msg, err);
    if (thinking != NULL && json_string_length(thinking) > 0)
        hf_form_add_part(f, m, HF_PART_THINKING)->text = thinking;
    HF_TRY(read_images(f, m, hf_tj_array(msg, "images"), err));
    if (text != NULL && json_string_length(text) > 0)
        hf_form_add_part(f, m, HF_PART_TEXT)->text = text;
    return read_calls(f, m, hf_tj_array(msg, "tool_calls"), err);
}

static enum hf_code read_tools(struct hf_form *f, const json_t *list, struct hf_err *err)
{
    size_t n = json_array_size(list);
    if (n > HF_LIMIT_TOOLS)
        return hf_err_set(err, HF_E_LIMIT, "tools: more than %d", HF_LIMIT_TOOLS);
    f->tools = n == 0 ? NULL : hf_arena_alloc(f->arena, n, sizeof(*f->tools));
    for (size_t i = 0; i < n; i++) {
        const json_t *function = hf_tj_object(json_array_get(list, i), "function");
        struct hf_tool *t = &f->tools[f->n_tools++];
        t->name = hf_tj_string(function, "name");
        t->description = hf_tj_string(function, "description");
        t->schema = hf_tj_object(function, "parameters");
        if (t->name == NULL)
            return wrong(err, "tools", "a function with a name");
    }
    return HF_OK;
}

/* "options": the numbers with names elsewhere, the rest kept together. */
static enum hf_code read_options(struct hf_form *f, const json_t *root, struct hf_err *err)
{
    static const char *const taken[] = {"num_predict", "stop", NULL};
    json_t *options = hf_tj_object(root, "options");
    if (options == NULL)
        return HF_OK;
    HF_TRY(hf_form_params(f, options, HF_DIALECT_OLLAMA, err));
    HF_TRY(hf_form_stop(f, hf_tj_get(options, "stop"), "options.stop", err));
    f->max_tokens = hf_tj_i64(options, "num_predict");
    f->options = hf_form_keep(f, json_copy(options));
    for (size_t i = 0; i < HF_PARAM_N; i++)
        json_object_del(f->options, hf_param_rows[i].ollama);
    for (size_t i = 0; taken[i] != NULL; i++)
        json_object_del(f->options, taken[i]);
    return HF_OK;
}

static enum hf_code read_format(struct hf_form *f, json_t *format, struct hf_err *err)
{
    if (format == NULL || (json_is_string(format) && json_string_length(format) == 0))
        return HF_OK;
    f->format = json_is_object(format) ? HF_FORMAT_SCHEMA : HF_FORMAT_JSON;
    f->schema = json_is_object(format) ? format : NULL;
    return f->schema != NULL || hf_tj_is(format, "json")
               ? HF_OK
               : wrong(err, "format", "\"json\" or a JSON schema");
}

static enum hf_code read_think(struct hf_form *f, const json_t *think, struct hf_err *err)
{
    if (think == NULL)
        return HF_OK;
    if (json_is_boolean(think))
        f->think = json_is_true(think) ? HF_THINK_ON : HF_THINK_OFF;
    else
        f->think = hf_think_of_word(think);
    return f->think == HF_THINK_UNSET
               ? wrong(err, "think", "true, false, \"low\", \"medium\", \"high\" or \"max\"")
               : HF_OK;
}

static enum hf_code read_common(struct hf_form *f, const json_t *root, struct hf_err *err)
{
    f->is_stream = !json_is_false(json_object_get(root, "stream"));
    f->keep_alive = hf_tj_get(root, "keep_alive");
    HF_TRY(read_options(f, root, err));
    HF_TRY(read_think(f, hf_tj_get(root, "think"), err));
    return read_format(f, hf_tj_get(root, "format"), err);
}

static enum hf_code read_chat(struct hf_form *f, const json_t *root, struct hf_err *err)
{
    static const char *const known[] = {"model", "messages",   "tools",  "format", "options",
                                        "think", "keep_alive", "stream", NULL};
    const json_t *messages = hf_tj_array(root, "messages");
    f->kind = HF_FORM_CHAT;
    hf_form_unknown(f, root, "", known);
    HF_TRY(read_common(f, root, err));
    for (size_t i = 0; i < json_array_size(messages); i++)
        HF_TRY(read_message(f, json_array_get(messages, i), err));
    return read_tools(f, hf_tj_array(root, "tools"), err);
}

/* A prompt with a system text, images or thinking is a conversation of one turn. */
static enum hf_code read_generate(struct hf_form *f, const json_t *root, struct hf_err *err)
{
    static const char *const known[] = {"model",      "prompt", "suffix", "system",
                                        "stream",     "raw",    "format", "options",
                                        "keep_alive", "images", "think",  NULL};
    json_t *system = hf_tj_string(root, "system"), *prompt = hf_tj_string(root, "prompt");
    hf_form_unknown(f, root, "", known);
    HF_TRY(read_common(f, root, err));
    f->is_raw = json_is_true(hf_tj_get(root, "raw"));
    f->suffix = hf_tj_string(root, "suffix");
    f->prompt = prompt != NULL ? prompt : hf_form_text(f, "", 0);
    f->kind = HF_FORM_COMPLETE;
    if (f->is_raw || f->suffix != NULL) {
        if (system != NULL && json_string_length(system) > 0)
            hf_report_add(f->report, "", "system");
        if (json_array_size(hf_tj_array(root, "images")) > 0)
            hf_report_add(f->report, "", "images");
        return HF_OK;
    }
    f->kind = HF_FORM_CHAT;
    struct hf_message *m = NULL;
    if (system != NULL && json_string_length(system) > 0) {
        HF_TRY(hf_form_add_message(f, HF_ROLE_SYSTEM, &m, err));
        hf_form_add_part(f, m, HF_PART_TEXT)->text = system;
    }
    HF_TRY(hf_form_add_message(f, HF_ROLE_USER, &m, err));
    HF_TRY(read_images(f, m, hf_tj_array(root, "images"), err));
    hf_form_add_part(f, m, HF_PART_TEXT)->text = f->prompt;
    return HF_OK;
}

static enum hf_code read_embed(struct hf_form *f, const json_t *root, const char *field,
                               struct hf_err *err)
{
    static const char *const known[] = {"model",      "input",      "prompt",  "truncate",
                                        "keep_alive", "dimensions", "options", NULL};
    json_t *input = hf_tj_get(root, field);
    f->kind = HF_FORM_EMBED;
    hf_form_unknown(f, root, "", known);
    f->keep_alive = hf_tj_get(root, "keep_alive");
    f->dimensions = hf_tj_get(root, "dimensions");
    f->truncate = json_object_get(root, "truncate");
    f->options = hf_tj_object(root, "options");
    bool is_good = json_is_string(input) || json_array_size(input) > 0;
    for (size_t i = 0; i < json_array_size(input); i++)
        is_good = is_good && json_is_string(json_array_get(input, i));
    if (!is_good)
        return wrong(err, field, "a text or a list of texts");
    f->input = json_is_array(input) ? input : hf_form_keep(f, json_pack("[O]", input));
    return HF_OK;
}

enum hf_code hf_form_from_ollama(struct hf_form *f, const json_t *root, enum hf_endpoint ep,
                                 struct hf_err *err)
{
    f->model = hf_tj_string(root, "model");
    if (ep == HF_EP_OLLAMA_EMBED || ep == HF_EP_OLLAMA_EMBEDDINGS)
        return read_embed(f, root, ep == HF_EP_OLLAMA_EMBED ? "input" : "prompt", err);
    return ep == HF_EP_OLLAMA_GENERATE ? read_generate(f, root, err) : read_chat(f, root, err);
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static json_t *tool_calls(const struct hf_message *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->n; i++) {
        const struct hf_part *p = &m->parts[i];
        if (p->kind != HF_PART_TOOL_CALL)
            continue;
        json_t *call = json_object();
        hf_tj_set(call, "id", p->id);
        hf_tj_set_new(call, "function",
                      json_pack("{s:O,s:O}", "name", p->name, "arguments", p->arguments));
        json_array_append_new(list, call);
    }
    return list;
}

static enum hf_code add_images(const struct hf_message *m, json_t *o, struct hf_err *err)
{
    json_t *list = NULL;
    for (size_t i = 0; i < m->n; i++) {
        const struct hf_part *p = &m->parts[i];
        if (p->kind != HF_PART_IMAGE)
            continue;
        if (p->data == NULL)
            return hf_err_set(err, HF_E_UNSUPPORTED,
                              "messages: an image must be sent in the request (as base64), since "
                              "this model's server does not fetch URLs");
        if (list == NULL) {
            list = json_array();
            hf_tj_set_new(o, "images", list);
        }
        json_array_append(list, p->data);
    }
    return HF_OK;
}

static enum hf_code write_message(struct hf_form *f, const struct hf_message *m, json_t *o,
                                  struct hf_err *err)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    hf_tj_set_new(o, "role", json_string(roles[m->role]));
    if (m->role == HF_ROLE_TOOL) {
        hf_tj_set(o, "content", m->parts[0].text);
        hf_tj_set(o, "tool_name", m->parts[0].name);
        hf_tj_set(o, "tool_call_id", m->parts[0].id);
        if (m->parts[0].is_error)
            hf_report_add(f->report, "messages", "is_error");
        return HF_OK;
    }
    json_t *text = hf_form_join(f, m, HF_PART_TEXT, m->role == HF_ROLE_SYSTEM ? "\n\n" : "\n");
    hf_tj_set(o, "content", text != NULL ? text : hf_form_text(f, "", 0));
    hf_tj_set(o, "thinking", hf_form_join(f, m, HF_PART_THINKING, "\n"));
    if (hf_message_has(m, HF_PART_TOOL_CALL))
        hf_tj_set_new(o, "tool_calls", tool_calls(m));
    return add_images(m, o, err);
}

static void write_options(struct hf_form *f, const struct hf_target *t, json_t *o)
{
    json_t *options = f->options != NULL ? json_copy(f->options) : json_object();
    for (size_t i = 0; i < HF_PARAM_N; i++)
        hf_tj_set(options, hf_param_rows[i].ollama, f->params[i]);
    hf_tj_set(options, "stop", f->stop);
    if (f->max_tokens != 0)
        hf_tj_set_new(options, "num_predict", json_integer(f->max_tokens));
    if (t->num_ctx > 0)
        hf_tj_set_new(options, "num_ctx", json_integer(t->num_ctx));
    if (json_object_size(options) > 0)
        hf_tj_set_new(o, "options", options);
    else
        json_decref(options);
}

static void write_think(struct hf_form *f, const struct hf_target *t, json_t *o)
{
    if (f->think == HF_THINK_UNSET)
        return;
    if (t->thinking == HF_THINKING_NONE)
        hf_report_add(f->report, "", "thinking");
    else if (f->think == HF_THINK_ON || f->think == HF_THINK_OFF)
        hf_tj_set_new(o, "think", json_boolean(f->think == HF_THINK_ON));
    else
        hf_tj_set_new(o, "think", json_string(hf_think_word(f->think)));
}

static void write_tools(struct hf_form *f, json_t *o)
{
    if (f->choice == HF_CHOICE_ANY || f->choice == HF_CHOICE_NAMED)
        hf_report_add(f->report, "", "tool_choice");
    if (f->no_parallel)
        hf_report_add(f->report, "", "parallel_tool_calls");
    if (f->n_tools > 0 && f->choice != HF_CHOICE_NONE)
        hf_tj_set_new(o, "tools", hf_form_tools_openai(f));
}

static void write_common(struct hf_form *f, const struct hf_target *t, json_t *o)
{
    hf_tj_set_new(o, "model", hf_form_model(f, t));
    if (t->keep_alive != NULL)
        hf_tj_set_new(o, "keep_alive", hf_tj_keep_alive(t->keep_alive));
    else
        hf_tj_set(o, "keep_alive", f->keep_alive);
    write_options(f, t, o);
    if (f->user != NULL)
        hf_report_add(f->report, "", "user");
}

static void write_generation(struct hf_form *f, const struct hf_target *t, json_t *o)
{
    hf_tj_set_new(o, "stream", json_boolean(f->is_stream || t->force_stream));
    if (f->format == HF_FORMAT_JSON)
        hf_tj_set_new(o, "format", json_string("json"));
    else if (f->format == HF_FORMAT_SCHEMA)
        hf_tj_set(o, "format", f->schema);
    write_think(f, t, o);
}

static enum hf_code write_chat(struct hf_form *f, json_t *o, struct hf_err *err)
{
    json_t *messages = json_array();
    hf_tj_set_new(o, "messages", messages);
    for (size_t i = 0; i < f->n_messages; i++) {
        json_t *m = json_object();
        json_array_append_new(messages, m);
        HF_TRY(write_message(f, &f->messages[i], m, err));
    }
    write_tools(f, o);
    return HF_OK;
}

enum hf_code hf_form_to_ollama(struct hf_form *f, const struct hf_target *t, json_t **out,
                               enum hf_endpoint *ep, struct hf_err *err)
{
    HF_AUTO_JSON json_t *o = json_object();
    write_common(f, t, o);
    if (f->kind == HF_FORM_EMBED) {
        *ep = HF_EP_OLLAMA_EMBED;
        hf_tj_set(o, "input", f->input);
        hf_tj_set(o, "dimensions", f->dimensions);
        hf_tj_set(o, "truncate", f->truncate);
    } else if (f->kind == HF_FORM_CHAT) {
        *ep = HF_EP_OLLAMA_CHAT;
        write_generation(f, t, o);
        HF_TRY(write_chat(f, o, err));
    } else {
        *ep = HF_EP_OLLAMA_GENERATE;
        write_generation(f, t, o);
        hf_tj_set(o, "prompt", f->prompt);
        hf_tj_set(o, "suffix", f->suffix);
        if (f->is_raw)
            hf_tj_set_new(o, "raw", json_true());
    }
    *out = json_incref(o);
    return HF_OK;
}
