/*
 * JSON for the translation: strict loading, small getters, and a writer that appends to an hf_buf.
 *
 * Numbers are written so that they read back as the same double in as few digits as that takes.
 * The writer remembers that its buffer was full; hf_tw_end() tells once. Pure, one thread.
 */
#ifndef HF_GATEWAY_TRANSLATE_JSON_H
#define HF_GATEWAY_TRANSLATE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* Freed at the end of its scope. */
#define HF_AUTO_JSON HF_CLEANUP(hf_tj_decref)
void hf_tj_decref(json_t **v);
/* For jansson's iterators, which take no const; nothing is changed through it. */
json_t *hf_tj_unconst(const json_t *v);

/*
 * One strict JSON value: no duplicate keys, HF_JSONSCAN_DEPTH deep at most, whole. The caller owns
 * *out. HF_E_INVALID with the place.
 */
HF_MUST enum hf_code hf_tj_load(const char *text, size_t len, json_t **out, struct hf_err *err);
/* The same, and it must be an object. */
HF_MUST enum hf_code hf_tj_load_object(const char *text, size_t len, json_t **out,
                                       struct hf_err *err);

/* Member key of o, borrowed; NULL if o is no object, or the member is absent or null. */
json_t *hf_tj_get(const json_t *o, const char *key);
/* The same if it is a string, object, array; else NULL. */
json_t *hf_tj_string(const json_t *o, const char *key);
json_t *hf_tj_object(const json_t *o, const char *key);
json_t *hf_tj_array(const json_t *o, const char *key);
/* A number as an integer (0 if it is none, clipped to int64). */
int64_t hf_tj_i64(const json_t *o, const char *key);
/* What a host says of tokens, made possible: 0 to HF_TOKENS_SAID_MAX. Sums of it are money. */
enum { HF_TOKENS_SAID_MAX = 1000000000 };
int64_t hf_tokens_said(int64_t n);
int64_t hf_tj_tokens(const json_t *o, const char *key);
/* Whether v is the string want. */
bool hf_tj_is(const json_t *v, const char *want);
/* Whether leaving the value out says the same: null, false, empty text, array or object. */
bool hf_tj_is_nothing(const json_t *v);

struct hf_tw {
    struct hf_buf *out;
    bool is_full;
};

void hf_tw_raw(struct hf_tw *w, const char *text);
void hf_tw_bytes(struct hf_tw *w, const char *p, size_t n);
/* Quoted and escaped. */
void hf_tw_str(struct hf_tw *w, const char *s, size_t n);
void hf_tw_cstr(struct hf_tw *w, const char *s);
/* s without the quotes around it. */
void hf_tw_escaped(struct hf_tw *w, const char *s, size_t n);
void hf_tw_i64(struct hf_tw *w, int64_t v);
/* Any value, on one line. */
void hf_tw_value(struct hf_tw *w, const json_t *v);
/* "2026-11-25T00:40:30.123Z" in quotes. */
void hf_tw_time(struct hf_tw *w, int64_t ms);
HF_MUST enum hf_code hf_tw_end(const struct hf_tw *w, struct hf_err *err);

#endif
