#include "gateway/translate_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "codec/jsonscan.h"

json_t *hf_tj_unconst(const json_t *v)
{
    json_t *same;
    memcpy(&same, &v, sizeof(same));
    return same;
}

void hf_tj_decref(json_t **v)
{
    json_decref(*v);
    *v = NULL;
}

enum hf_code hf_tj_load(const char *text, size_t len, json_t **out, struct hf_err *err)
{
    struct hf_jsonscan_value v;
    json_error_t why;
    HF_TRY(hf_jsonscan_value(text, len, &v, err));
    json_t *value =
        json_loadb(v.text, v.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    if (value == NULL)
        return hf_err_set(err, HF_E_INVALID, "JSON, line %d, column %d: %s", why.line, why.column,
                          why.text);
    *out = value;
    return HF_OK;
}

enum hf_code hf_tj_load_object(const char *text, size_t len, json_t **out, struct hf_err *err)
{
    json_t *value = NULL;
    HF_TRY(hf_tj_load(text, len, &value, err));
    if (!json_is_object(value)) {
        json_decref(value);
        return hf_err_set(err, HF_E_INVALID, "JSON: an object is expected");
    }
    *out = value;
    return HF_OK;
}

json_t *hf_tj_get(const json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    return json_is_null(v) ? NULL : v;
}

json_t *hf_tj_string(const json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    return json_is_string(v) ? v : NULL;
}

json_t *hf_tj_object(const json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    return json_is_object(v) ? v : NULL;
}

json_t *hf_tj_array(const json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    return json_is_array(v) ? v : NULL;
}

int64_t hf_tj_i64(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (json_is_integer(v))
        return json_integer_value(v);
    double d = json_is_real(v) ? json_real_value(v) : 0;
    if (d >= 9e18)
        return INT64_MAX;
    return d <= -9e18 ? INT64_MIN : (int64_t)d;
}

int64_t hf_tokens_said(int64_t n)
{
    if (n < 0)
        return 0;
    return n > HF_TOKENS_SAID_MAX ? HF_TOKENS_SAID_MAX : n;
}

int64_t hf_tj_tokens(const json_t *o, const char *key)
{
    return hf_tokens_said(hf_tj_i64(o, key));
}

bool hf_tj_is(const json_t *v, const char *want)
{
    return json_is_string(v) && json_string_length(v) == strlen(want) &&
           memcmp(json_string_value(v), want, strlen(want)) == 0;
}

bool hf_tj_is_nothing(const json_t *v)
{
    return v == NULL || json_is_null(v) || json_is_false(v) ||
           (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0);
}

void hf_tw_bytes(struct hf_tw *w, const char *p, size_t n)
{
    if (!w->is_full && hf_buf_append(w->out, p, n, NULL) != HF_OK)
        w->is_full = true;
}

void hf_tw_raw(struct hf_tw *w, const char *text)
{
    hf_tw_bytes(w, text, strlen(text));
}

static void put_escape(struct hf_tw *w, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    char esc[8] = {'\\'};
    const char *at = memchr(from, c, sizeof(from) - 1);
    if (at != NULL)
        esc[1] = to[at - from];
    else
        snprintf(esc + 1, sizeof(esc) - 1, "u%04x", c);
    hf_tw_bytes(w, esc, at != NULL ? 2 : 6);
}

void hf_tw_escaped(struct hf_tw *w, const char *s, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        hf_tw_bytes(w, s + kept, i - kept);
        put_escape(w, c);
        kept = i + 1;
    }
    hf_tw_bytes(w, s + kept, n - kept);
}

void hf_tw_str(struct hf_tw *w, const char *s, size_t n)
{
    hf_tw_raw(w, "\"");
    hf_tw_escaped(w, s, n);
    hf_tw_raw(w, "\"");
}

void hf_tw_cstr(struct hf_tw *w, const char *s)
{
    hf_tw_str(w, s, strlen(s));
}

void hf_tw_i64(struct hf_tw *w, int64_t v)
{
    char num[24];
    snprintf(num, sizeof(num), "%" PRId64, v);
    hf_tw_raw(w, num);
}

static void put_real(struct hf_tw *w, double v)
{
    char num[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(num, sizeof(num), "%.*g", digits, v);
        if (strtod(num, NULL) == v)
            break;
    }
    hf_tw_raw(w, num);
    if (strpbrk(num, ".eE") == NULL)
        hf_tw_raw(w, ".0");
}

static void put_object(struct hf_tw *w, const json_t *v)
{
    json_t *o = json_incref(hf_tj_unconst(v));
    const char *comma = "{";
    for (void *it = json_object_iter(o); it != NULL; it = json_object_iter_next(o, it)) {
        const char *key = json_object_iter_key(it);
        hf_tw_raw(w, comma);
        hf_tw_cstr(w, key);
        hf_tw_raw(w, ":");
        hf_tw_value(w, json_object_iter_value(it));
        comma = ",";
    }
    hf_tw_raw(w, json_object_size(o) == 0 ? "{}" : "}");
    json_decref(o);
}

static void put_array(struct hf_tw *w, const json_t *v)
{
    hf_tw_raw(w, "[");
    for (size_t i = 0; i < json_array_size(v); i++) {
        if (i > 0)
            hf_tw_raw(w, ",");
        hf_tw_value(w, json_array_get(v, i));
    }
    hf_tw_raw(w, "]");
}

/* Recursion is bounded: hf_tj_load lets nothing deeper in, and we add a handful of levels. */
void hf_tw_value(struct hf_tw *w, const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        put_object(w, v);
        break;
    case JSON_ARRAY:
        put_array(w, v);
        break;
    case JSON_STRING:
        hf_tw_str(w, json_string_value(v), json_string_length(v));
        break;
    case JSON_INTEGER:
        hf_tw_i64(w, json_integer_value(v));
        break;
    case JSON_REAL:
        put_real(w, json_real_value(v));
        break;
    case JSON_TRUE:
        hf_tw_raw(w, "true");
        break;
    case JSON_FALSE:
        hf_tw_raw(w, "false");
        break;
    case JSON_NULL:
        hf_tw_raw(w, "null");
        break;
    }
}

void hf_tw_time(struct hf_tw *w, int64_t ms)
{
    char text[48];
    struct tm tm;
    time_t s = (time_t)(ms / 1000);
    if (gmtime_r(&s, &tm) == NULL)
        memset(&tm, 0, sizeof(tm));
    size_t n = strftime(text, sizeof(text), "\"%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof(text) - n, ".%03dZ\"", (int)(ms % 1000));
    hf_tw_raw(w, text);
}

enum hf_code hf_tw_end(const struct hf_tw *w, struct hf_err *err)
{
    if (w->is_full)
        return hf_err_set(err, HF_E_LIMIT, "more than %zu bytes", w->out->max);
    return HF_OK;
}
