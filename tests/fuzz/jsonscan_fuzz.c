/*
 * libFuzzer target: any bytes as JSON. The scanner must neither crash nor read past the end; what
 * the tree parser takes it must take (the other also refuses duplicates and lone surrogates), and a
 * walk over the members must see what a single look saw.
 */
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
    if (hf_jsonscan_find(text, size, keys, 3, found, NULL) == HF_OK)
        hf_assert(rc == HF_OK && v.kind == HF_JSON_OBJECT);
    /* The tree parser overlooks a NUL behind the value. */
    bool has_nul = size > 0 && memchr(text, 0, size) != NULL;
    if (!has_nul && hf_json_check(text, size, NULL) == HF_OK && rc != HF_OK)
        hf_assert(strstr(err.text, "too deep") != NULL);
    hf_free(text);
    return 0;
}
