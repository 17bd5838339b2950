/*
 * Writing JSON into a buffer, value by value; commas, escapes and indentation are done here.
 *
 *   hf_json_object_begin(&j); hf_json_key(&j, "txid"); hf_json_u64(&j, 7); hf_json_object_end(&j);
 *
 * A buffer that is full (HF_E_LIMIT) is remembered: hf_json_end tells once. Strings that are not
 * UTF-8 get U+FFFD for each bad byte. One thread. Nesting of HF_JSON_DEPTH at most (asserted).
 */
#ifndef HF_BASE_JSON_H
#define HF_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum { HF_JSON_DEPTH = 32 };

struct hf_json {
    struct hf_buf *out;
    bool is_pretty; /* two blanks a level, else one line */
    bool is_full;   /* the buffer's limit was met */
    bool has_key;   /* a key is waiting for its value */
    int depth;
    bool has_items[HF_JSON_DEPTH];
};

void hf_json_init(struct hf_json *j, struct hf_buf *out, bool is_pretty);
void hf_json_object_begin(struct hf_json *j);
void hf_json_object_end(struct hf_json *j);
void hf_json_array_begin(struct hf_json *j);
void hf_json_array_end(struct hf_json *j);
void hf_json_key(struct hf_json *j, const char *key);
/* NULL is null. */
void hf_json_str(struct hf_json *j, const char *value);
void hf_json_i64(struct hf_json *j, int64_t value);
void hf_json_u64(struct hf_json *j, uint64_t value);
/* Not finite is null. */
void hf_json_dbl(struct hf_json *j, double value);
void hf_json_bool(struct hf_json *j, bool value);
void hf_json_null(struct hf_json *j);
/* JSON text that is already there. */
void hf_json_raw(struct hf_json *j, const char *text);
/* Key and value at once. */
void hf_json_kstr(struct hf_json *j, const char *key, const char *value);
void hf_json_ki64(struct hf_json *j, const char *key, int64_t value);
void hf_json_ku64(struct hf_json *j, const char *key, uint64_t value);
void hf_json_kdbl(struct hf_json *j, const char *key, double value);
void hf_json_kbool(struct hf_json *j, const char *key, bool value);
/* 16 hex digits in quotes, as TXIDs are written everywhere. */
void hf_json_ktxid(struct hf_json *j, const char *key, uint64_t txid);
/* Everything must be closed (asserted). HF_E_LIMIT if something did not fit. */
HF_MUST enum hf_code hf_json_end(struct hf_json *j, struct hf_err *err);

/* HF_E_INVALID with line and column unless text is one strict JSON value without duplicate keys. */
HF_MUST enum hf_code hf_json_check(const char *text, size_t len, struct hf_err *err);

#endif
