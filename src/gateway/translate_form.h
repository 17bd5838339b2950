/*
 * The neutral form: what a request says and what an answer brings, in no dialect.
 *
 * Between the files translate*.c only. Values are borrowed json_t of the request as it was loaded,
 * or of new ones that the form keeps; nothing is copied that need not be. Ownership: everything
 * lives as long as the form. One thread.
 */
#ifndef HF_GATEWAY_TRANSLATE_FORM_H
#define HF_GATEWAY_TRANSLATE_FORM_H

#include <jansson.h>

#include "base/arena.h"
#include "gateway/translate.h"
#include "gateway/translate_json.h"

/* ---- requests ---------------------------------------------------------------------------------
 */

enum hf_form_kind { HF_FORM_CHAT, HF_FORM_COMPLETE, HF_FORM_EMBED };

enum hf_role { HF_ROLE_SYSTEM, HF_ROLE_USER, HF_ROLE_ASSISTANT, HF_ROLE_TOOL };

enum hf_part_kind {
    HF_PART_TEXT,
    HF_PART_IMAGE,       /* data and media_type, or url */
    HF_PART_THINKING,    /* text, signature; or data: encrypted thinking */
    HF_PART_TOOL_CALL,   /* id, name, arguments (an object) */
    HF_PART_TOOL_RESULT, /* id, name, text, is_error; alone in a message of HF_ROLE_TOOL */
};

/* Fields that do not belong to the kind are NULL. */
struct hf_part {
    enum hf_part_kind kind;
    bool is_error;
    bool is_answered; /* HF_PART_TOOL_CALL */
    json_t *text;
    json_t *media_type;
    json_t *data;
    json_t *url;
    json_t *signature;
    json_t *id;
    json_t *name;
    json_t *arguments;
};

struct hf_message {
    enum hf_role role;
    struct hf_part *parts;
    size_t n;
    size_t cap;
};

struct hf_tool {
    json_t *name;
    json_t *description; /* may be NULL */
    json_t *schema;      /* an object; NULL: takes nothing */
    json_t *strict;      /* may be NULL */
};

enum hf_choice { HF_CHOICE_UNSET, HF_CHOICE_AUTO, HF_CHOICE_ANY, HF_CHOICE_NONE, HF_CHOICE_NAMED };

enum hf_format { HF_FORMAT_TEXT, HF_FORMAT_JSON, HF_FORMAT_SCHEMA };

enum hf_think {
    HF_THINK_UNSET,
    HF_THINK_OFF,
    HF_THINK_ON,
    HF_THINK_LOW,
    HF_THINK_MEDIUM,
    HF_THINK_HIGH,
    HF_THINK_MAX,
};

/* Sampling numbers that pass as they are: one row a field in translate_form.c. */
enum hf_param {
    HF_PARAM_TEMPERATURE,
    HF_PARAM_TOP_P,
    HF_PARAM_TOP_K,
    HF_PARAM_MIN_P,
    HF_PARAM_SEED,
    HF_PARAM_PRESENCE,
    HF_PARAM_FREQUENCY,
    HF_PARAM_REPEAT,
    HF_PARAM_N,
};

/* NULL: the dialect has no such field. Names of Ollama stand in "options". */
struct hf_param_row {
    const char *ollama;
    const char *openai;
    const char *anthropic;
    bool is_extra; /* OpenAI's servers don't know it, most compatible ones do */
};
extern const struct hf_param_row hf_param_rows[HF_PARAM_N];

struct hf_form {
    struct hf_arena *arena;
    json_t *keep; /* array: every value that is not the request's own */
    struct hf_report *report;

    enum hf_form_kind kind;
    bool is_stream;
    bool is_raw;      /* HF_FORM_COMPLETE: no template around the prompt */
    bool no_parallel; /* at most one tool call */
    json_t *model;    /* string */
    struct hf_message *messages;
    size_t n_messages;
    size_t cap_messages;
    size_t n_calls; /* tool calls so far, while reading */
    struct hf_tool *tools;
    size_t n_tools;
    enum hf_choice choice;
    json_t *choice_name;
    json_t *params[HF_PARAM_N]; /* numbers */
    int64_t max_tokens;         /* 0: none */
    json_t *stop;               /* array of strings, or NULL */
    enum hf_format format;
    json_t *schema;      /* HF_FORMAT_SCHEMA */
    json_t *schema_name; /* may be NULL */
    json_t *schema_strict;
    enum hf_think think;
    int64_t think_budget; /* 0: none said */
    json_t *user;         /* string */
    json_t *keep_alive;
    json_t *options; /* Ollama's options that have no other name, or NULL */

    json_t *prompt; /* HF_FORM_COMPLETE */
    json_t *suffix;

    json_t *input; /* HF_FORM_EMBED: array of strings */
    json_t *dimensions;
    json_t *truncate;
};

void hf_form_init(struct hf_form *f, struct hf_report *report);
void hf_form_deinit(struct hf_form *f);
/* Keeps take_v as long as the form lives; returns it, borrowed. */
json_t *hf_form_keep(struct hf_form *f, json_t *take_v);
json_t *hf_form_text(struct hf_form *f, const char *s, size_t n);
/* The next message and part, zeroed. HF_E_LIMIT past HF_LIMIT_MESSAGES. */
HF_MUST enum hf_code hf_form_add_message(struct hf_form *f, enum hf_role role,
                                         struct hf_message **out, struct hf_err *err);
struct hf_part *hf_form_add_part(struct hf_form *f, struct hf_message *m, enum hf_part_kind kind);
/* The texts of a message's parts of that kind, joined by sep; NULL if there are none. */
json_t *hf_form_join(struct hf_form *f, const struct hf_message *m, enum hf_part_kind kind,
                     const char *sep);
bool hf_message_has(const struct hf_message *m, enum hf_part_kind kind);
/* The name of the tool that call id names, looked up in the messages before; NULL if none. */
json_t *hf_form_tool_name(const struct hf_form *f, const json_t *id);
/* Splits "data:image/png;base64,..." into the part; anything else is kept as its url. */
HF_MUST enum hf_code hf_form_image_url(struct hf_form *f, struct hf_part *part, json_t *url,
                                       struct hf_err *err);
/* A tool call's arguments: text of a JSON object ("" is {}), or the object itself. */
HF_MUST enum hf_code hf_form_arguments(struct hf_form *f, json_t *value, json_t **out,
                                       struct hf_err *err);
/* Reads the numbers of hf_param_rows out of o, by the names of dialect d. */
HF_MUST enum hf_code hf_form_params(struct hf_form *f, const json_t *o, enum hf_dialect d,
                                    struct hf_err *err);
/* stop: a text or an array of texts. */
HF_MUST enum hf_code hf_form_stop(struct hf_form *f, json_t *value, const char *what,
                                  struct hf_err *err);
/* Reports each member of o that is not in known (ended by NULL) and says something. */
void hf_form_unknown(struct hf_form *f, const json_t *o, const char *where,
                     const char *const *known);
/* Name as it stands in the client's request; repeated names count once. */
void hf_report_add(struct hf_report *r, const char *where, const char *name);

/* From each dialect; root stays owned by the form. HF_E_INVALID, HF_E_UNSUPPORTED: for the client.
 */
HF_MUST enum hf_code hf_form_from_ollama(struct hf_form *f, const json_t *root, enum hf_endpoint ep,
                                         struct hf_err *err);
HF_MUST enum hf_code hf_form_from_openai(struct hf_form *f, const json_t *root, enum hf_endpoint ep,
                                         struct hf_err *err);
HF_MUST enum hf_code hf_form_from_responses(struct hf_form *f, const json_t *root,
                                            struct hf_err *err);
HF_MUST enum hf_code hf_form_from_anthropic(struct hf_form *f, const json_t *root,
                                            struct hf_err *err);
/* Into each dialect: a new object in *out, and the endpoint. */
HF_MUST enum hf_code hf_form_to_ollama(struct hf_form *f, const struct hf_target *t, json_t **out,
                                       enum hf_endpoint *ep, struct hf_err *err);
HF_MUST enum hf_code hf_form_to_openai(struct hf_form *f, const struct hf_target *t, json_t **out,
                                       enum hf_endpoint *ep, struct hf_err *err);
HF_MUST enum hf_code hf_form_to_anthropic(struct hf_form *f, const struct hf_target *t,
                                          json_t **out, enum hf_endpoint *ep, struct hf_err *err);

/* Small helpers of the builders: new references are taken. */
void hf_tj_set(json_t *o, const char *key, json_t *borrowed);
void hf_tj_set_new(json_t *o, const char *key, json_t *take_v);
/* The name the target knows the model by; a new reference. */
json_t *hf_form_model(const struct hf_form *f, const struct hf_target *t);
/* Ollama's keep_alive: a number of seconds, or a duration as text. */
json_t *hf_tj_keep_alive(const char *text);
/* {"type":"function","function":{name,description,parameters}}: OpenAI's form, and Ollama's. */
json_t *hf_form_tools_openai(const struct hf_form *f);
const char *hf_think_word(enum hf_think t);
enum hf_think hf_think_of_word(const json_t *word);

/* Whether a request goes on in its own dialect, and what is asked for then. */
bool hf_request_is_passed(const struct hf_request_head *h, const struct hf_target *t);
void hf_request_passes_to(const struct hf_request_head *h, const struct hf_target *t,
                          struct hf_upstream_request *up);

#endif
