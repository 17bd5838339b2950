/*
 * One request, three dialects: what a client says is turned into what an upstream understands, and
 * the answer back, while it streams.
 *
 *   client bytes ─► hf_request_peek ─► route ─► hf_translate_request ─► upstream
 *   client bytes ◄─ hf_answer_feed / _finish / _abort (incremental) ◄─ upstream bytes
 *
 * Same dialect on both sides: the bytes pass through; only the model's name (and what the target
 * sets) is changed in them, and they are watched for usage, errors and a proper end. Different
 * dialects: through the neutral form of translate_form.h. What cannot be said in the other dialect
 * is named in a report (a header tells the client) or refused with a text, never dropped in
 * silence.
 *
 * An answer is whole only if its dialect's terminator was seen: hf_answer_state says so. It also
 * says when the first meaningful event came, until when the caller may still go elsewhere: nothing
 * in here decides that. Errors in the middle are not written to the client by themselves; the
 * caller retries or calls hf_answer_abort().
 *
 * Facts about the dialects: docs/formats/llm-dialects.md. Pure: no clock, no I/O; one thread an
 * object.
 */
#ifndef HF_GATEWAY_TRANSLATE_H
#define HF_GATEWAY_TRANSLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum hf_dialect { HF_DIALECT_OLLAMA, HF_DIALECT_OPENAI, HF_DIALECT_ANTHROPIC };

/* X(name, dialect, method, path, word): where generation and embedding requests come in or go. */
#define HF_ENDPOINTS(X)                                                                            \
    X(HF_EP_OLLAMA_CHAT, HF_DIALECT_OLLAMA, "POST", "/api/chat", "ollama-chat")                    \
    X(HF_EP_OLLAMA_GENERATE, HF_DIALECT_OLLAMA, "POST", "/api/generate", "ollama-generate")        \
    X(HF_EP_OLLAMA_EMBED, HF_DIALECT_OLLAMA, "POST", "/api/embed", "ollama-embed")                 \
    X(HF_EP_OLLAMA_EMBEDDINGS, HF_DIALECT_OLLAMA, "POST", "/api/embeddings", "ollama-embeddings")  \
    X(HF_EP_OPENAI_CHAT, HF_DIALECT_OPENAI, "POST", "/v1/chat/completions", "openai-chat")         \
    X(HF_EP_OPENAI_COMPLETIONS, HF_DIALECT_OPENAI, "POST", "/v1/completions",                      \
      "openai-completions")                                                                        \
    X(HF_EP_OPENAI_EMBEDDINGS, HF_DIALECT_OPENAI, "POST", "/v1/embeddings", "openai-embeddings")   \
    X(HF_EP_OPENAI_RESPONSES, HF_DIALECT_OPENAI, "POST", "/v1/responses", "openai-responses")      \
    X(HF_EP_ANTHROPIC_MESSAGES, HF_DIALECT_ANTHROPIC, "POST", "/v1/messages",                      \
      "anthropic-messages")                                                                        \
    X(HF_EP_ANTHROPIC_COUNT, HF_DIALECT_ANTHROPIC, "POST", "/v1/messages/count_tokens",            \
      "anthropic-count-tokens")

enum hf_endpoint {
#define X(name, dialect, method, path, word) name,
    HF_ENDPOINTS(X)
#undef X
        HF_EP_COUNT_,
};

enum hf_dialect hf_endpoint_dialect(enum hf_endpoint ep);
const char *hf_endpoint_path(enum hf_endpoint ep);
const char *hf_endpoint_word(enum hf_endpoint ep);
const char *hf_dialect_word(enum hf_dialect d);
/* The endpoint of a path (no query); false if it is none of the table. */
bool hf_endpoint_of_path(const char *path, enum hf_endpoint *out);

enum {
    HF_MODEL_NAME = 256,   /* longest model name with its NUL */
    HF_REPORT_TEXT = 1024, /* longest list of dropped fields: it becomes a header */
    HF_API_TEXT = 512,     /* error text kept of an upstream */
};

/* ---- the request, as it came ------------------------------------------------------------- */

/* Values at the top of a body that may have to change on its way. */
enum hf_body_value { HF_BODY_MODEL, HF_BODY_STREAM, HF_BODY_OPTIONS, HF_BODY_VALUES };

/* A value in the text, quotes and brackets included; len is 0 where there is none. */
struct hf_body_span {
    size_t at, len;
};

/* What routing and budgets need, read without building a tree. */
struct hf_request_head {
    enum hf_endpoint ep;
    char model[HF_MODEL_NAME];
    size_t object_end; /* where the body's closing bracket is */
    struct hf_body_span spans[HF_BODY_VALUES];
    bool is_stream;      /* by the dialect's default when the field is absent */
    bool is_load;        /* Ollama: no prompt or messages, so load (or unload) only */
    bool is_collectable; /* an answer that is collected from a stream loses nothing:
                            no logprobs, no n > 1, no modalities */
    bool wants_usage;    /* OpenAI: stream_options.include_usage */
    bool wants_base64;   /* OpenAI embeddings: encoding_format base64 */
    int64_t max_tokens;  /* 0: the request sets none */
    int64_t n_answers;   /* n; 0 and 1: one */
};

/*
 * HF_E_INVALID with a text for the client: not a JSON object, nested too deep, model missing or no
 * text, stream no boolean, a key that matters given twice.
 */
HF_MUST enum hf_code hf_request_peek(enum hf_endpoint ep, const char *body, size_t len,
                                     struct hf_request_head *out, struct hf_err *err);

/* Rough count of input tokens: bytes of the body / 3.5, base64 images not counted as text. */
int64_t hf_request_estimate_tokens(const char *body, size_t len);

/* At most so many: a token has a byte at least; media as translate_media.h says. */
int64_t hf_request_bound_tokens(const char *body, size_t len);

/* ---- the request, for an upstream ---------------------------------------------------------- */

enum hf_thinking {
    HF_THINKING_DEFAULT,  /* Anthropic: like NONE; others: as the client asks */
    HF_THINKING_NONE,     /* the model takes no thinking field: leave it out and report */
    HF_THINKING_BUDGET,   /* thinking.budget_tokens */
    HF_THINKING_ADAPTIVE, /* thinking.type adaptive with output_config.effort */
};

/* What is known about the upstream's model; zero means: nothing special. */
struct hf_target {
    enum hf_dialect dialect;
    const char *model;             /* id at the upstream; NULL: as the client said */
    const char *keep_alive;        /* Ollama: "5m", "-1"...; NULL: the client's */
    int64_t num_ctx;               /* Ollama: 0: the client's. One value a model, or it reloads */
    int64_t default_max_tokens;    /* Anthropic needs one; 0: 4096 */
    int64_t cap_tokens;            /* of an answer whose request sets no limit; 0: none */
    bool is_anthropic_2026;        /* version 2026-10-21: sampling fields are refused there */
    enum hf_thinking thinking;     /* Anthropic */
    bool is_plain_openai;          /* OpenAI itself: no top_k, min_p, repeat_penalty; newer
                                      fields. Not set: vLLM, llama.cpp, Together */
    bool force_stream;             /* ask for a stream though the client wants one answer */
    bool is_max_completion_tokens; /* OpenAI's newer models refuse max_tokens */
    bool has_no_stream_options;    /* a server that refuses stream_options */
};

/* What the client has to be told. */
struct hf_report {
    char dropped[HF_REPORT_TEXT]; /* "logit_bias, messages.name"; empty: nothing */
    int n_dropped;                /* more than the text holds, at times */
};

/* Where a request of endpoint ep is sent in the target's dialect, by what it asks for. */
struct hf_upstream_request {
    enum hf_endpoint ep;
    bool is_stream;    /* the upstream will stream */
    bool is_same;      /* passed through: same endpoint, bytes kept but for what had to change */
    bool strips_usage; /* a usage chunk was asked for that the client did not ask for */
};

/*
 * Writes the upstream's request body into out (appended). HF_E_INVALID or HF_E_UNSUPPORTED with a
 * text for the client when the request is wrong or cannot be said in the target's dialect
 * (answer 400); HF_E_LIMIT when out is full.
 */
HF_MUST enum hf_code hf_translate_request(const struct hf_request_head *head, const char *body,
                                          size_t len, const struct hf_target *target,
                                          struct hf_buf *out, struct hf_upstream_request *up,
                                          struct hf_report *report, struct hf_err *err);

/* ---- the same, changed where it lies ------------------------------------------------------- */

enum {
    HF_BODY_EDITS = HF_BODY_VALUES,
    HF_BODY_QUOTED = 6 * HF_MODEL_NAME + 4, /* a name that is all escapes */
};

/* body[at..at+len) becomes text. */
struct hf_body_edit {
    enum hf_body_value which;
    size_t at, len;
    const char *text;
    size_t value_at, value_len; /* the value in text */
};

/* From the end of the body to its beginning: made in this order, no place moves another. */
struct hf_body_edits {
    struct hf_body_edit list[HF_BODY_EDITS];
    size_t n;
    char model[HF_BODY_QUOTED]; /* of which a text may be */
};

struct hf_tw;
/*
 * What hf_translate_request would change in a body that passes through. head must be that of the
 * body as it lies now (hf_body_edits_done). False: it changes more than such values or passes
 * nothing through; ask hf_translate_request.
 */
bool hf_translate_edits(const struct hf_request_head *head, const char *body,
                        const struct hf_target *target, struct hf_body_edits *out,
                        struct hf_upstream_request *up);
/* The edits were made: head's spans are those of the body now. */
void hf_body_edits_done(const struct hf_body_edits *e, struct hf_request_head *head);
/* The body with the edits made, as a copy. */
void hf_body_edits_write(const struct hf_body_edits *e, const char *body, size_t len,
                         struct hf_tw *w);

/* ---- the answer ----------------------------------------------------------------------------- */

enum hf_finish {
    HF_FINISH_NONE,
    HF_FINISH_STOP,
    HF_FINISH_STOP_SEQUENCE,
    HF_FINISH_LENGTH,
    HF_FINISH_TOOLS,
    HF_FINISH_REFUSED,
    HF_FINISH_LOAD,
    HF_FINISH_UNLOAD,
};

struct hf_usage {
    bool is_known; /* the upstream said it; else the caller estimates from n_pieces */
    int64_t input; /* all of it, cached included */
    int64_t output;
    int64_t cache_read;  /* part of input */
    int64_t cache_write; /* part of input */
    int64_t reasoning;   /* part of output */
};

/* What kind of failure an upstream reported: decides whether and where to go next. */
enum hf_api_class {
    HF_API_NONE,
    HF_API_INVALID,   /* the request: never again anywhere */
    HF_API_CONTEXT,   /* too long for this model */
    HF_API_AUTH,      /* key or host check: configuration */
    HF_API_BILLING,   /* no money, or a spending limit: do not retry there */
    HF_API_MODEL,     /* no such model there */
    HF_API_NOT_FOUND, /* something else is not there */
    HF_API_CONFLICT,
    HF_API_TOO_LARGE,
    HF_API_RATE,   /* we ask too often */
    HF_API_BUSY,   /* they are overloaded: 503, 529 */
    HF_API_SERVER, /* 500, 502 */
    HF_API_TIMEOUT,
};

struct hf_api_error {
    enum hf_api_class kind;
    int status; /* HTTP status it came with; 200: inside a stream */
    char type[64];
    char code[64];
    char text[HF_API_TEXT];
};

struct hf_answer_state {
    bool is_meaningful; /* text, thinking or a tool call was seen: the commit point */
    bool is_done;       /* the dialect's terminator was seen */
    bool has_error;     /* an in-band error was seen: see error */
    enum hf_finish finish;
    struct hf_usage usage;
    struct hf_api_error error;
    int64_t n_pieces; /* text, thinking and argument pieces: about one token each in a stream */
    int64_t n_events; /* all events, pings and comments included */
    int64_t n_bytes;  /* upstream bytes fed */
};

struct hf_answer_options {
    enum hf_endpoint front;    /* the client's */
    enum hf_endpoint upstream; /* hf_upstream_request.ep */
    bool is_front_stream;
    bool is_upstream_stream;
    bool wants_usage;  /* hf_request_head.wants_usage */
    bool strips_usage; /* hf_upstream_request.strips_usage */
    bool wants_base64; /* hf_request_head.wants_base64 */
    const char *model; /* the name the client used; NULL: leave the upstream's */
    const char *id;    /* request id, [A-Za-z0-9_-]: ids in the answer are made of it */
    int64_t started_ms;
};

struct hf_answer;

HF_MUST struct hf_answer *hf_answer_new(const struct hf_answer_options *opt);
/* NULL is allowed. */
void hf_answer_free(struct hf_answer *a);
/*
 * Bytes of the upstream's answer (status 200) in, the client's bytes appended to out. A client that
 * does not stream gets its bytes in hf_answer_finish. HF_E_CORRUPT when the upstream talks
 * nonsense, HF_E_LIMIT when an event or the whole answer is too large, HF_E_IO when it said its end
 * without having come to one. After an error, or once has_error is set, nothing more is written and
 * more bytes are ignored; what whole events before it gave stays in out.
 */
HF_MUST enum hf_code hf_answer_feed(struct hf_answer *a, const void *bytes, size_t len,
                                    int64_t now_ms, struct hf_buf *out, struct hf_err *err);
/*
 * The upstream's answer ended. HF_E_IO if it was cut before its terminator, HF_E_CORRUPT if it was
 * nonsense; an in-band error is HF_OK with has_error. A client that does not stream gets nothing
 * then.
 */
HF_MUST enum hf_code hf_answer_finish(struct hf_answer *a, int64_t now_ms, struct hf_buf *out,
                                      struct hf_err *err);
const struct hf_answer_state *hf_answer_state(const struct hf_answer *a);
/*
 * What tells a client in the middle of a stream that its answer failed, in its dialect. The caller
 * then cuts the connection without the final chunk.
 */
HF_MUST enum hf_code hf_answer_abort(struct hf_answer *a, const struct hf_api_error *why,
                                     struct hf_buf *out, struct hf_err *err);
/* Content type of what the client gets. */
const char *hf_answer_content_type(enum hf_endpoint front, bool is_stream);
/*
 * What keeps a client's stream alive without saying anything, before the answer's beginning: an
 * empty piece (Ollama), a ping (Anthropic), a comment.
 */
HF_MUST enum hf_code hf_answer_nothing(enum hf_endpoint front, const char *model, int64_t now_ms,
                                       struct hf_buf *out, struct hf_err *err);

/* ---- errors --------------------------------------------------------------------------------- */

/* Reads an upstream's error answer of any shape; body may be empty or no JSON. Never fails. */
void hf_api_error_parse(enum hf_dialect d, int status, const char *body, size_t len,
                        struct hf_api_error *out);
/* An error of our own. */
void hf_api_error_set(struct hf_api_error *e, enum hf_api_class kind, const char *fmt, ...)
    HF_PRINTF(3, 4);
/* The status a client of dialect d gets for it. */
int hf_api_error_status(enum hf_dialect d, const struct hf_api_error *e);
/* The error's body in dialect d, appended. request_id may be NULL. */
HF_MUST enum hf_code hf_api_error_write(enum hf_dialect d, const struct hf_api_error *e,
                                        const char *request_id, struct hf_buf *out,
                                        struct hf_err *err);
const char *hf_api_class_word(enum hf_api_class kind);

/* ---- small requests ---------------------------------------------------------------------------
 */

/* Anthropic's count_tokens, answered by estimate when the upstream cannot count. */
HF_MUST enum hf_code hf_count_tokens_write(int64_t tokens, struct hf_buf *out, struct hf_err *err);

/* Ollama names: a missing tag is ":latest", case does not matter. */
bool hf_ollama_name_equal(const char *a, const char *b);

#endif
