/*
 * The inside of struct hf_answer: decoders turn an upstream's bytes into blocks (text, thinking,
 * tool calls), encoders write blocks for the client. Between the files translate*.c only.
 *
 *   bytes ─► sse | ndjson | whole ─► decoder ─► hf_answer_text/think/call/... ─► encoder ─► out
 *                                                     └► blocks (whole answers are made of them)
 *
 * An answer that passes through (same endpoint on both sides) is decoded just the same, for usage
 * and its end, but the bytes written are the upstream's.
 */
#ifndef HF_GATEWAY_TRANSLATE_ANSWER_H
#define HF_GATEWAY_TRANSLATE_ANSWER_H

#include <jansson.h>

#include "codec/ndjson.h"
#include "codec/sse.h"
#include "gateway/translate.h"
#include "gateway/translate_json.h"
#include "gateway/translate_quick.h"

enum hf_block_kind { HF_BLOCK_NONE, HF_BLOCK_TEXT, HF_BLOCK_THINK, HF_BLOCK_CALL };

/* Text is kept only where somebody needs it again: whole answers, tool calls. */
struct hf_block {
    enum hf_block_kind kind;
    struct hf_buf text;      /* text, thinking, arguments as JSON text */
    struct hf_buf signature; /* of thinking */
    char *id;                /* of a call */
    char *name;
};

struct hf_answer;

/* How a stream is written; each writes to a->w. open and close are called in pairs. */
struct hf_encoder {
    void (*start)(struct hf_answer *a); /* before the first block or the end */
    void (*open)(struct hf_answer *a, struct hf_block *b);
    void (*delta)(struct hf_answer *a, struct hf_block *b, const char *s, size_t n);
    void (*close)(struct hf_answer *a, struct hf_block *b);
    void (*finish)(struct hf_answer *a);
};

struct hf_answer {
    uint32_t magic;
    struct hf_answer_options opt;
    char *model;
    char *id;
    struct hf_answer_state st;
    struct hf_tw w;
    int64_t now_ms;
    bool is_passing;
    bool is_keeping; /* block texts are kept */
    bool is_started;
    bool is_over; /* nothing more is read: done, error or nonsense */
    enum hf_code failed;
    char failed_text[200];

    struct hf_sse sse;
    struct hf_ndjson lines;
    struct hf_buf whole; /* upstream's answer, when it does not stream */
    struct hf_buf plain; /* a piece of text without its escapes */
    struct hf_quick_shape shape;

    struct hf_block *blocks;
    size_t n_blocks;
    size_t cap_blocks;
    bool is_open;      /* the last block is */
    size_t kept_bytes; /* in all blocks */
    int n_calls;
    int sequence; /* responses: number of the next event */

    bool is_skipping;            /* Anthropic: a block whose deltas are not ours */
    int call_index;              /* OpenAI: index of the open call */
    enum hf_finish said_finish;  /* OpenAI: before [DONE]; Anthropic: before message_stop */
    struct hf_usage usage_start; /* Anthropic: of message_start */
};

/* Called by decoders. */
void hf_answer_text(struct hf_answer *a, const json_t *text);
void hf_answer_think(struct hf_answer *a, const json_t *text);
void hf_answer_signature(struct hf_answer *a, const json_t *text);
void hf_answer_call(struct hf_answer *a, const json_t *id, const json_t *name);
void hf_answer_arguments(struct hf_answer *a, const char *s, size_t n);
void hf_answer_close(struct hf_answer *a);
/* The terminator was seen. */
void hf_answer_done(struct hf_answer *a, enum hf_finish finish);
void hf_answer_error(struct hf_answer *a, const json_t *event);
/* The upstream talks nonsense. */
void hf_answer_nonsense(struct hf_answer *a, enum hf_code code, const char *fmt, ...)
    HF_PRINTF(3, 4);

/* One event, line or whole body of the upstream, parsed. */
void hf_decode_ollama(struct hf_answer *a, const json_t *line);
void hf_decode_openai(struct hf_answer *a, const json_t *event, bool is_whole);
/* "[DONE]" */
void hf_decode_openai_done(struct hf_answer *a);
void hf_decode_anthropic(struct hf_answer *a, const json_t *event);
void hf_decode_anthropic_whole(struct hf_answer *a, const json_t *body);
enum hf_finish hf_finish_of_openai(const json_t *word);

/* NULL when the front has no stream form. */
const struct hf_encoder *hf_encoder_of(enum hf_endpoint front);
extern const struct hf_encoder hf_encoder_responses;
/* The whole answer out of the blocks. */
void hf_encode_whole(struct hf_answer *a);
void hf_encode_whole_responses(struct hf_answer *a, const char *status);

/* Words of the dialects. */
const char *hf_finish_openai(const struct hf_answer *a);
const char *hf_finish_anthropic(const struct hf_answer *a);
const char *hf_finish_ollama(const struct hf_answer *a);
void hf_write_usage_openai(struct hf_answer *a);
void hf_write_usage_anthropic(struct hf_answer *a);
/* {"name":...,"arguments":{...}} of Ollama needs an object: the text, or {}. */
void hf_write_arguments(struct hf_answer *a, const struct hf_block *b);
/* The client's model name in quotes. */
void hf_write_model(struct hf_answer *a);
void hf_write_ollama_head(struct hf_answer *a);
void hf_write_ollama_tail(struct hf_answer *a);

/* Embeddings and counts, whole bodies; text is the upstream's. */
bool hf_is_embedding(enum hf_endpoint ep);
HF_MUST enum hf_code hf_embed_observe(struct hf_answer *a, const char *text, size_t len,
                                      struct hf_err *err);
HF_MUST enum hf_code hf_embed_translate(struct hf_answer *a, const char *text, size_t len,
                                        struct hf_err *err);
/* ---- passing through (translate_through.c): the event as it came, written to a->w ---- */

/* A JSON text with the client's name of the model. */
void hf_pass_json(struct hf_answer *a, const char *text, size_t len);
/* The same where the place of the name is known. */
void hf_pass_renamed(struct hf_answer *a, const char *text, size_t len,
                     const struct hf_jsonscan_value *model);
/* "event: name" (not for "message") and the beginning of the data line. */
void hf_pass_event_head(struct hf_answer *a, const char *event);
/* A whole event; a whole body: what hf_pass_parsed passes on with. */
void hf_pass_event(struct hf_answer *a, const char *event, const char *data, size_t len);
void hf_pass_body(struct hf_answer *a, const char *event, const char *text, size_t len);
/* text, or, if o (the same, read) had something to mend, o as text again. */
void hf_pass_parsed(struct hf_answer *a, json_t *o, const char *text, size_t len,
                    void (*pass)(struct hf_answer *a, const char *event, const char *text,
                                 size_t len),
                    const char *event);
/* A chunk that only brings the usage which we, not the client, asked for. */
bool hf_pass_is_usage_only(const json_t *event);

#endif
