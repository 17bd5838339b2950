#include "base/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static void put(struct hf_json *j, const char *text, size_t len)
{
    if (!j->is_full && hf_buf_append(j->out, text, len, NULL) != HF_OK)
        j->is_full = true;
}

static void put_str(struct hf_json *j, const char *text)
{
    put(j, text, strlen(text));
}

void hf_json_init(struct hf_json *j, struct hf_buf *out, bool is_pretty)
{
    *j = (struct hf_json){.out = out, .is_pretty = is_pretty};
}

static void new_line(struct hf_json *j)
{
    if (!j->is_pretty)
        return;
    put_str(j, "\n");
    for (int i = 0; i < j->depth; i++)
        put_str(j, "  ");
}

/* What stands between the last value and the next one. */
static void before_value(struct hf_json *j)
{
    if (j->has_key) {
        j->has_key = false;
        return;
    }
    if (j->has_items[j->depth])
        put_str(j, ",");
    j->has_items[j->depth] = true;
    if (j->depth > 0)
        new_line(j);
}

static void open_scope(struct hf_json *j, const char *bracket)
{
    before_value(j);
    put_str(j, bracket);
    j->depth++;
    hf_assert(j->depth < HF_JSON_DEPTH);
    j->has_items[j->depth] = false;
}

static void close_scope(struct hf_json *j, const char *bracket)
{
    hf_assert(j->depth > 0 && !j->has_key);
    bool had_items = j->has_items[j->depth];
    j->depth--;
    if (had_items)
        new_line(j);
    put_str(j, bracket);
}

void hf_json_object_begin(struct hf_json *j)
{
    open_scope(j, "{");
}

void hf_json_object_end(struct hf_json *j)
{
    close_scope(j, "}");
}

void hf_json_array_begin(struct hf_json *j)
{
    open_scope(j, "[");
}

void hf_json_array_end(struct hf_json *j)
{
    close_scope(j, "]");
}

/* Length of the UTF-8 sequence at s, 0 if it is none (overlong, surrogate, cut, above U+10FFFF). */
static size_t utf8_len(const unsigned char *s)
{
    static const unsigned low[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80             ? 1
               : (s[0] & 0xe0) == 0xc0 ? 2
               : (s[0] & 0xf0) == 0xe0 ? 3
               : (s[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    if (n < 2)
        return n;
    unsigned v = s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (s[i] & 0x3fu);
    }
    bool is_bad = v < low[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff);
    return is_bad ? 0 : n;
}

static void put_escaped(struct hf_json *j, unsigned char c)
{
    char esc[8];
    const char *short_form = c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '\r' ? "\\r" : NULL;
    if (short_form != NULL) {
        put_str(j, short_form);
        return;
    }
    snprintf(esc, sizeof(esc), c == '"' || c == '\\' ? "\\%c" : "\\u%04x", c);
    put_str(j, esc);
}

static void put_quoted(struct hf_json *j, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    put_str(j, "\"");
    while (*s != '\0') {
        size_t n = utf8_len(s);
        if (n == 0) {
            put_str(j, "\xef\xbf\xbd");
            n = 1;
        } else if (*s < 0x20 || *s == '"' || *s == '\\') {
            put_escaped(j, *s);
        } else {
            put(j, (const char *)s, n);
        }
        s += n;
    }
    put_str(j, "\"");
}

void hf_json_key(struct hf_json *j, const char *key)
{
    hf_assert(!j->has_key && j->depth > 0);
    before_value(j);
    put_quoted(j, key);
    put_str(j, j->is_pretty ? ": " : ":");
    j->has_key = true;
}

void hf_json_raw(struct hf_json *j, const char *text)
{
    before_value(j);
    put_str(j, text);
}

void hf_json_str(struct hf_json *j, const char *value)
{
    if (value == NULL) {
        hf_json_null(j);
        return;
    }
    before_value(j);
    put_quoted(j, value);
}

void hf_json_i64(struct hf_json *j, int64_t value)
{
    char num[24];
    snprintf(num, sizeof(num), "%" PRId64, value);
    hf_json_raw(j, num);
}

void hf_json_u64(struct hf_json *j, uint64_t value)
{
    char num[24];
    snprintf(num, sizeof(num), "%" PRIu64, value);
    hf_json_raw(j, num);
}

void hf_json_dbl(struct hf_json *j, double value)
{
    char num[40];
    snprintf(num, sizeof(num), "%.6g", value);
    hf_json_raw(j, isfinite(value) ? num : "null");
}

void hf_json_bool(struct hf_json *j, bool value)
{
    hf_json_raw(j, value ? "true" : "false");
}

void hf_json_null(struct hf_json *j)
{
    hf_json_raw(j, "null");
}

void hf_json_kstr(struct hf_json *j, const char *key, const char *value)
{
    hf_json_key(j, key);
    hf_json_str(j, value);
}

void hf_json_ki64(struct hf_json *j, const char *key, int64_t value)
{
    hf_json_key(j, key);
    hf_json_i64(j, value);
}

void hf_json_ku64(struct hf_json *j, const char *key, uint64_t value)
{
    hf_json_key(j, key);
    hf_json_u64(j, value);
}

void hf_json_kdbl(struct hf_json *j, const char *key, double value)
{
    hf_json_key(j, key);
    hf_json_dbl(j, value);
}

void hf_json_kbool(struct hf_json *j, const char *key, bool value)
{
    hf_json_key(j, key);
    hf_json_bool(j, value);
}

void hf_json_ktxid(struct hf_json *j, const char *key, uint64_t txid)
{
    char text[20];
    snprintf(text, sizeof(text), "%016" PRIx64, txid);
    hf_json_kstr(j, key, text);
}

enum hf_code hf_json_end(struct hf_json *j, struct hf_err *err)
{
    hf_assert(j->depth == 0 && !j->has_key);
    if (j->is_full)
        return hf_err_set(err, HF_E_LIMIT, "JSON output is larger than %zu bytes", j->out->max);
    return HF_OK;
}

enum hf_code hf_json_check(const char *text, size_t len, struct hf_err *err)
{
    json_error_t why;
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (value == NULL)
        return hf_err_set(err, HF_E_INVALID, "line %d, column %d: %s", why.line, why.column,
                          why.text);
    json_decref(value);
    return HF_OK;
}
