/*
 * A pull scanner over JSON text (RFC 8259) that stays text: no tree, no memory, no copy.
 *
 *   {"model":"llama3.2","stream":true,"messages":[ ...150 KB... ]}
 *     ^key    ^value: a span of the text
 *
 * The gateway reads what routing needs (model, stream, usage) out of bodies it otherwise passes on
 * as they came. Everything that is stepped over is checked as well: syntax, UTF-8, escapes, nesting
 * of HF_JSONSCAN_DEPTH at most. What is refused here would be read differently by different
 * servers.
 *
 * hf_jsonscan_find() is the usual door; hf_jsonscan_open() and _next() walk any object or array.
 * Spans point into the caller's text. Pure, any thread.
 */
#ifndef HF_CODEC_JSONSCAN_H
#define HF_CODEC_JSONSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum {
    HF_JSONSCAN_DEPTH = 128, /* real tool schemas nest about 20 deep; the check recurses nowhere */
};

enum hf_jsonscan_kind {
    HF_JSON_ABSENT, /* hf_jsonscan_find: no such key */
    HF_JSON_OBJECT,
    HF_JSON_ARRAY,
    HF_JSON_STRING,
    HF_JSON_NUMBER,
    HF_JSON_TRUE,
    HF_JSON_FALSE,
    HF_JSON_NULL,
};

/* One value, quotes and brackets included. */
struct hf_jsonscan_value {
    enum hf_jsonscan_kind kind;
    const char *text;
    size_t len;
};

/* A walk over the members of one object or array. */
struct hf_jsonscan {
    const char *start;
    const char *end;
    const char *p;
    bool is_object;
    bool is_first;
    bool is_over; /* the closing bracket was read */
};

/* Checks all of text to be one JSON value; value's span is text without the blanks around it. */
HF_MUST enum hf_code hf_jsonscan_value(const char *text, size_t len, struct hf_jsonscan_value *out,
                                       struct hf_err *err);

/*
 * Checks all of text to be one JSON object and finds its members called keys[0..n-1]; out[i].kind
 * is HF_JSON_ABSENT when there is none. A wanted key that occurs twice is HF_E_INVALID. n <= 32.
 */
HF_MUST enum hf_code hf_jsonscan_find(const char *text, size_t len, const char *const *keys,
                                      size_t n, struct hf_jsonscan_value *out, struct hf_err *err);

/*
 * The same for bodies that go on to other readers: a key that differs from a wanted one by case
 * only is HF_E_INVALID, too. Go's encoding/json (so Ollama) takes "Model" for "model", and the last
 * one counts there.
 */
HF_MUST enum hf_code hf_jsonscan_find_sure(const char *text, size_t len, const char *const *keys,
                                           size_t n, struct hf_jsonscan_value *out,
                                           struct hf_err *err);

/* Starts a walk over text, which is an object or array; blanks may surround it. */
HF_MUST enum hf_code hf_jsonscan_open(struct hf_jsonscan *s, const char *text, size_t len,
                                      struct hf_err *err);
/*
 * The next member; key (may be NULL; kind HF_JSON_ABSENT in an array) and value. After the last
 * one *is_member is false, and what follows the closing bracket was checked to be blank.
 */
HF_MUST enum hf_code hf_jsonscan_next(struct hf_jsonscan *s, struct hf_jsonscan_value *key,
                                      struct hf_jsonscan_value *value, bool *is_member,
                                      struct hf_err *err);

/* Bytes of the string that text begins with, quotes included, checked as all else here; 0 if it
 * begins with none. What follows it is not looked at. */
size_t hf_jsonscan_string(const char *text, size_t len);

/* Whether the string value v, unescaped, is exactly the bytes of want. */
bool hf_jsonscan_is(const struct hf_jsonscan_value *v, const char *want);
/*
 * The string v, unescaped and ended by NUL, in out. HF_E_INVALID if v is no string, holds a NUL or
 * half a surrogate pair; HF_E_LIMIT if it needs more than cap bytes.
 */
HF_MUST enum hf_code hf_jsonscan_str(const struct hf_jsonscan_value *v, char *out, size_t cap,
                                     struct hf_err *err);
/* The number v as an integer; false if it is none, has a fraction or does not fit. */
bool hf_jsonscan_i64(const struct hf_jsonscan_value *v, int64_t *out);

#endif
