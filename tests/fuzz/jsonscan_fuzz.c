/*
 * libFuzzer target: any bytes as JSON. The scanner must neither crash nor read past the end; what
 * the tree parser takes it must take (the other also refuses duplicates and lone surrogates), and a
 * walk over the members must see what a single look saw. Where both take it they say the same: the
 * same members in the same order, strings with the same bytes, the same whole numbers.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/mem.h"
#include "codec/jsonscan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct hf_jsonscan_value *v)
{
    struct hf_jsonscan s;
    struct hf_jsonscan_value key, value;
    bool is_member = true;
    char text[64];
    hf_assert(hf_jsonscan_open(&s, v->text, v->len, NULL) == HF_OK);
    while (is_member) {
        hf_assert(hf_jsonscan_next(&s, &key, &value, &is_member, NULL) == HF_OK);
        if (!is_member)
            break;
        hf_assert(value.text >= v->text && value.text + value.len <= v->text + v->len);
        int64_t n;
        hf_jsonscan_i64(&value, &n);
        if (hf_jsonscan_str(&value, text, sizeof(text), NULL) == HF_OK)
            hf_assert(hf_jsonscan_is(&value, text));
    }
}

static bool has_nul(const json_t *s)
{
    return memchr(json_string_value(s), 0, json_string_length(s)) != NULL;
}

static void same_string(const struct hf_jsonscan_value *v, const json_t *s)
{
    size_t room = v->len + 1;
    char *text = hf_malloc(room);
    hf_assert(v->kind == HF_JSON_STRING && hf_jsonscan_string(v->text, v->len) == v->len);
    if (!has_nul(s)) {
        hf_assert(hf_jsonscan_str(v, text, room, NULL) == HF_OK);
        hf_assert(strcmp(text, json_string_value(s)) == 0);
        hf_assert(hf_jsonscan_is(v, json_string_value(s)));
    }
    hf_free(text);
}

static void same_value(const struct hf_jsonscan_value *v, json_t *t);

/* Members come in the order of the text, in jansson's objects, too. */
static void same_members(const struct hf_jsonscan_value *v, json_t *t)
{
    struct hf_jsonscan s;
    struct hf_jsonscan_value key, value;
    bool is_member = false;
    void *at = json_is_object(t) ? json_object_iter(t) : NULL;
    size_t n = json_is_object(t) ? json_object_size(t) : json_array_size(t);
    hf_assert(hf_jsonscan_open(&s, v->text, v->len, NULL) == HF_OK);
    for (size_t i = 0; i < n; i++) {
        hf_assert(hf_jsonscan_next(&s, &key, &value, &is_member, NULL) == HF_OK && is_member);
        if (json_is_object(t)) {
            hf_assert(hf_jsonscan_is(&key, json_object_iter_key(at)));
            same_value(&value, json_object_iter_value(at));
            at = json_object_iter_next(t, at);
        } else {
            same_value(&value, json_array_get(t, i));
        }
    }
    hf_assert(hf_jsonscan_next(&s, &key, &value, &is_member, NULL) == HF_OK && !is_member);
}

static void same_value(const struct hf_jsonscan_value *v, json_t *t)
{
    int64_t n = 0;
    hf_assert((v->kind == HF_JSON_STRING) == json_is_string(t));
    hf_assert((v->kind == HF_JSON_OBJECT) == json_is_object(t));
    hf_assert((v->kind == HF_JSON_ARRAY) == json_is_array(t));
    hf_assert((v->kind == HF_JSON_NULL) == json_is_null(t));
    hf_assert((v->kind == HF_JSON_FALSE) == json_is_false(t));
    if (json_is_string(t))
        same_string(v, t);
    else if (json_is_integer(t))
        hf_assert(hf_jsonscan_i64(v, &n) && n == json_integer_value(t));
    else if (json_is_object(t) || json_is_array(t))
        same_members(v, t);
}

static void same_as_tree(const struct hf_jsonscan_value *v, const char *text, size_t size)
{
    json_t *t =
        json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (t != NULL)
        same_value(v, t);
    json_decref(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"model", "stream", "usage"};
    struct hf_jsonscan_value v, found[3];
    /* A copy of its own size, so that reading past the end is seen. */
    char *text = hf_malloc(size + 1);
    memcpy(text, data, size);
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = hf_jsonscan_value(text, size, &v, &err);
    hf_assert(rc == HF_OK || (err.code == rc && err.text[0] != '\0'));
    if (rc == HF_OK && (v.kind == HF_JSON_OBJECT || v.kind == HF_JSON_ARRAY))
        walk(&v);
    if (rc == HF_OK)
        same_as_tree(&v, text, size);
    if (hf_jsonscan_find(text, size, keys, 3, found, NULL) == HF_OK)
        hf_assert(rc == HF_OK && v.kind == HF_JSON_OBJECT);
    /* The tree parser overlooks a NUL behind the value. */
    bool has_nul = size > 0 && memchr(text, 0, size) != NULL;
    if (!has_nul && hf_json_check(text, size, NULL) == HF_OK && rc != HF_OK)
        hf_assert(strstr(err.text, "too deep") != NULL);
    hf_free(text);
    return 0;
}
