#include "codec/jsonscan.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* Where a check stands. Failing sets why; the position then tells the place. */
struct cursor {
    const char *start;
    const char *p;
    const char *end;
    const char *why;
};

static bool fail(struct cursor *c, const char *why)
{
    if (c->why == NULL)
        c->why = why;
    return false;
}

static enum hf_code failed(const struct cursor *c, struct hf_err *err)
{
    return hf_err_set(err, HF_E_INVALID, "JSON, byte %zu: %s", (size_t)(c->p - c->start),
                      c->why == NULL ? "not readable" : c->why);
}

static void skip_blanks(struct cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
        c->p++;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits of a \u escape at p; -1 if they are none. */
static int hex4(const char *p, const char *end)
{
    int v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit(p[i]);
        if (d < 0)
            return -1;
        v = v << 4 | d;
    }
    return v;
}

/* One escape; c->p is behind the backslash. */
static bool step_escape(struct cursor *c)
{
    if (c->p == c->end)
        return fail(c, "the text ends inside a string");
    if (*c->p == 'u') {
        if (hex4(c->p + 1, c->end) < 0)
            return fail(c, "\\u needs four hex digits");
        c->p += 5;
        return true;
    }
    if (*c->p == '\0' || strchr("\"\\/bfnrt", *c->p) == NULL)
        return fail(c, "unknown escape in a string");
    c->p++;
    return true;
}

/* Length of the UTF-8 sequence at p (first byte >= 0x80), 0 if it is none. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    static const unsigned low[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = (p[0] & 0xe0) == 0xc0   ? 2
               : (p[0] & 0xf0) == 0xe0 ? 3
               : (p[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    if (n == 0 || n > left)
        return 0;
    unsigned v = p[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (p[i] & 0x3fu);
    }
    bool is_bad = v < low[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff);
    return is_bad ? 0 : n;
}

/* Of eight bytes: the high bit of the first one that is a quote, a backslash, a control character
 * or not ASCII is the lowest bit set; 0 if there is none. (Bytes behind a hit may be taken for one,
 * too: a borrow runs upwards.) */
static uint64_t specials(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
    uint64_t hit = ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | (w - ones * 0x20) | w;
    return hit & highs;
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
static size_t plain_bytes(uint64_t hits)
{
    return (size_t)__builtin_ctzll(hits) / 8;
}
#else
static size_t plain_bytes(uint64_t hits)
{
    (void)hits;
    return 0;
}
#endif

static void skip_plain(struct cursor *c)
{
    while (c->end - c->p >= 8) {
        uint64_t w;
        memcpy(&w, c->p, sizeof(w));
        uint64_t hits = specials(w);
        if (hits != 0) {
            c->p += plain_bytes(hits);
            return;
        }
        c->p += 8;
    }
}

/* A whole string; c->p is on its first quote. */
static bool step_string(struct cursor *c)
{
    c->p++;
    while (true) {
        skip_plain(c);
        if (c->p == c->end)
            return fail(c, "the text ends inside a string");
        unsigned char b = (unsigned char)*c->p;
        if (b == '"') {
            c->p++;
            return true;
        }
        if (b < 0x20)
            return fail(c, "a control character inside a string");
        if (b == '\\') {
            c->p++;
            if (!step_escape(c))
                return false;
            continue;
        }
        size_t n = b < 0x80 ? 1 : utf8_len((const unsigned char *)c->p, (size_t)(c->end - c->p));
        if (n == 0)
            return fail(c, "not UTF-8");
        c->p += n;
    }
}

static bool step_digits(struct cursor *c)
{
    const char *from = c->p;
    while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
        c->p++;
    return c->p > from ? true : fail(c, "a digit is missing in a number");
}

static bool step_number(struct cursor *c)
{
    if (*c->p == '-')
        c->p++;
    const char *first = c->p;
    if (!step_digits(c))
        return false;
    if (*first == '0' && c->p - first > 1)
        return fail(c, "a number starts with 0");
    if (c->p < c->end && *c->p == '.') {
        c->p++;
        if (!step_digits(c))
            return false;
    }
    if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
        c->p++;
        if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
            c->p++;
        return step_digits(c);
    }
    return true;
}

static bool step_word(struct cursor *c, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
        return fail(c, "a value is expected");
    c->p += n;
    return true;
}

static enum hf_jsonscan_kind kind_at(const struct cursor *c)
{
    if (c->p == c->end)
        return HF_JSON_ABSENT;
    switch (*c->p) {
    case '{':
        return HF_JSON_OBJECT;
    case '[':
        return HF_JSON_ARRAY;
    case '"':
        return HF_JSON_STRING;
    case 't':
        return HF_JSON_TRUE;
    case 'f':
        return HF_JSON_FALSE;
    case 'n':
        return HF_JSON_NULL;
    default:
        return *c->p == '-' || (*c->p >= '0' && *c->p <= '9') ? HF_JSON_NUMBER : HF_JSON_ABSENT;
    }
}

static bool step_scalar(struct cursor *c, enum hf_jsonscan_kind kind)
{
    switch (kind) {
    case HF_JSON_STRING:
        return step_string(c);
    case HF_JSON_NUMBER:
        return step_number(c);
    case HF_JSON_TRUE:
        return step_word(c, "true");
    case HF_JSON_FALSE:
        return step_word(c, "false");
    case HF_JSON_NULL:
        return step_word(c, "null");
    default:
        return fail(c, c->p == c->end ? "the text ends too early" : "a value is expected");
    }
}

/* The key and colon of an object's member; c->p is on what should be the quote. */
static bool step_key(struct cursor *c)
{
    skip_blanks(c);
    if (c->p == c->end || *c->p != '"')
        return fail(c, "a key in quotes is expected");
    if (!step_string(c))
        return false;
    skip_blanks(c);
    if (c->p == c->end || *c->p != ':')
        return fail(c, "a colon is expected behind a key");
    c->p++;
    skip_blanks(c);
    return true;
}

/* One level of nesting, in one bit each: set for an object. */
struct levels {
    uint64_t is_object[HF_JSONSCAN_DEPTH / 64];
    int depth;
};

static bool in_object(const struct levels *l)
{
    int i = l->depth - 1;
    return (l->is_object[i / 64] >> (i % 64) & 1) != 0;
}

static bool push(struct cursor *c, struct levels *l)
{
    if (l->depth == HF_JSONSCAN_DEPTH)
        return fail(c, "nested too deep");
    uint64_t bit = (uint64_t)1 << (l->depth % 64);
    if (*c->p == '{')
        l->is_object[l->depth / 64] |= bit;
    else
        l->is_object[l->depth / 64] &= ~bit;
    l->depth++;
    c->p++;
    return true;
}

/* Enters the bracket at c->p; leaves it again at once when it is empty. */
static bool enter(struct cursor *c, struct levels *l, bool *is_value_next)
{
    bool is_object = *c->p == '{';
    if (!push(c, l))
        return false;
    skip_blanks(c);
    if (c->p < c->end && *c->p == (is_object ? '}' : ']')) {
        c->p++;
        l->depth--;
        *is_value_next = false;
        return true;
    }
    *is_value_next = true;
    return is_object ? step_key(c) : true;
}

/* Behind a value inside l->depth levels: closing brackets, then a comma (and key) or the end. */
static bool after_value(struct cursor *c, struct levels *l)
{
    while (l->depth > 0) {
        skip_blanks(c);
        if (c->p == c->end)
            return fail(c, "the text ends too early");
        if (*c->p == ',') {
            c->p++;
            if (in_object(l))
                return step_key(c);
            skip_blanks(c);
            return true;
        }
        if (*c->p != (in_object(l) ? '}' : ']'))
            return fail(c, in_object(l) ? "',' or '}' is expected" : "',' or ']' is expected");
        c->p++;
        l->depth--;
    }
    return true;
}

/* A whole value of any kind, without recursion; c->p is on its first character. */
static bool step_value(struct cursor *c, enum hf_jsonscan_kind *kind)
{
    struct levels l = {.depth = 0};
    *kind = kind_at(c);
    do {
        enum hf_jsonscan_kind here = kind_at(c);
        bool is_value_next = false;
        if (here == HF_JSON_OBJECT || here == HF_JSON_ARRAY) {
            if (!enter(c, &l, &is_value_next))
                return false;
        } else if (!step_scalar(c, here)) {
            return false;
        }
        if (!is_value_next && !after_value(c, &l))
            return false;
        skip_blanks(c);
    } while (l.depth > 0);
    return true;
}

static bool take_value(struct cursor *c, struct hf_jsonscan_value *out)
{
    const char *from = c->p;
    if (!step_value(c, &out->kind))
        return false;
    const char *to = c->p;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\n' || to[-1] == '\r'))
        to--;
    out->text = from;
    out->len = (size_t)(to - from);
    return true;
}

enum hf_code hf_jsonscan_value(const char *text, size_t len, struct hf_jsonscan_value *out,
                               struct hf_err *err)
{
    struct cursor c = {text, text, text + len, NULL};
    struct hf_jsonscan_value v;
    skip_blanks(&c);
    if (!take_value(&c, &v))
        return failed(&c, err);
    skip_blanks(&c);
    if (c.p != c.end && !fail(&c, "something follows the value"))
        return failed(&c, err);
    *out = v;
    return HF_OK;
}

enum hf_code hf_jsonscan_open(struct hf_jsonscan *s, const char *text, size_t len,
                              struct hf_err *err)
{
    struct cursor c = {text, text, text + len, NULL};
    skip_blanks(&c);
    if ((c.p == c.end || (*c.p != '{' && *c.p != '[')) &&
        !fail(&c, "an object or array is expected"))
        return failed(&c, err);
    *s = (struct hf_jsonscan){text, text + len, c.p + 1, *c.p == '{', true, false};
    return HF_OK;
}

/* Steps to the next member's first character or over the closing bracket. */
static bool step_between(struct cursor *c, struct hf_jsonscan *s)
{
    skip_blanks(c);
    if (c->p == c->end)
        return fail(c, "the text ends too early");
    if (*c->p == (s->is_object ? '}' : ']')) {
        c->p++;
        skip_blanks(c);
        s->is_over = true;
        return c->p == c->end ? true : fail(c, "something follows the value");
    }
    if (!s->is_first) {
        if (*c->p != ',')
            return fail(c, s->is_object ? "',' or '}' is expected" : "',' or ']' is expected");
        c->p++;
        skip_blanks(c);
    }
    s->is_first = false;
    return true;
}

enum hf_code hf_jsonscan_next(struct hf_jsonscan *s, struct hf_jsonscan_value *key,
                              struct hf_jsonscan_value *value, bool *is_member, struct hf_err *err)
{
    hf_assert(!s->is_over);
    struct cursor c = {s->start, s->p, s->end, NULL};
    struct hf_jsonscan_value k = {HF_JSON_ABSENT, NULL, 0};
    bool is_good = step_between(&c, s);
    if (is_good && !s->is_over && s->is_object) {
        k.text = c.p;
        is_good = step_key(&c);
        k.kind = HF_JSON_STRING;
        const char *close = c.p;
        while (is_good && close[-1] != '"')
            close--;
        k.len = (size_t)(close - k.text);
    }
    if (is_good && !s->is_over)
        is_good = take_value(&c, value);
    if (!is_good)
        return failed(&c, err);
    s->p = c.p;
    *is_member = !s->is_over;
    if (key != NULL)
        *key = k;
    return HF_OK;
}

static size_t index_of(const struct hf_jsonscan_value *key, const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (hf_jsonscan_is(key, keys[i]))
            return i;
    return n;
}

static size_t unescape_one(const char **p, const char *end, char out[4]);

/* Small letters; the two letters beyond ASCII that Go folds onto ASCII ones become those. */
static size_t fold(char piece[4], size_t n)
{
    if (n == 1 && *piece >= 'A' && *piece <= 'Z')
        *piece = (char)(*piece - 'A' + 'a');
    if (n == 2 && memcmp(piece, "\xc5\xbf", 2) == 0)
        *piece = 's';
    else if (n == 3 && memcmp(piece, "\xe2\x84\xaa", 3) == 0)
        *piece = 'k';
    else
        return n;
    return 1;
}

static bool is_alike(const struct hf_jsonscan_value *key, const char *want)
{
    const char *p = key->text + 1, *end = key->text + key->len - 1;
    while (p < end && *want != '\0') {
        char piece[4] = {*p};
        unsigned char first = (unsigned char)*p;
        size_t n = first < 0x80 ? 0 : utf8_len((const unsigned char *)p, (size_t)(end - p));
        if (n > 0)
            memcpy(piece, p, n);
        p += n;
        n = n > 0 ? n : unescape_one(&p, end, piece);
        if (n == 0 || fold(piece, n) != 1 || *piece != *want++)
            return false;
    }
    return p == end && *want == '\0';
}

static enum hf_code refuse_alike(const struct hf_jsonscan_value *key, const char *const *keys,
                                 size_t n, struct hf_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (is_alike(key, keys[i]))
            return hf_err_set(err, HF_E_INVALID, "JSON: a key differs from '%s' by case only",
                              keys[i]);
    return HF_OK;
}

static enum hf_code find(const char *text, size_t len, const char *const *keys, size_t n,
                         bool is_sure, struct hf_jsonscan_value *out, struct hf_err *err)
{
    struct hf_jsonscan_value found[32];
    struct hf_jsonscan s = {.is_over = false};
    hf_assert(n <= HF_ARRAY_LEN(found));
    for (size_t i = 0; i < n; i++)
        found[i] = (struct hf_jsonscan_value){HF_JSON_ABSENT, NULL, 0};
    HF_TRY(hf_jsonscan_open(&s, text, len, err));
    if (!s.is_object)
        return hf_err_set(err, HF_E_INVALID, "JSON: an object is expected");
    while (!s.is_over) {
        struct hf_jsonscan_value key = {HF_JSON_ABSENT, NULL, 0}, value = key;
        bool is_member = false;
        HF_TRY(hf_jsonscan_next(&s, &key, &value, &is_member, err));
        size_t i = is_member ? index_of(&key, keys, n) : n;
        if (i == n && is_member && is_sure)
            HF_TRY(refuse_alike(&key, keys, n, err));
        if (i == n)
            continue;
        if (found[i].kind != HF_JSON_ABSENT)
            return hf_err_set(err, HF_E_INVALID, "JSON: '%s' is there twice", keys[i]);
        found[i] = value;
    }
    memcpy(out, found, n * sizeof(found[0]));
    return HF_OK;
}

enum hf_code hf_jsonscan_find(const char *text, size_t len, const char *const *keys, size_t n,
                              struct hf_jsonscan_value *out, struct hf_err *err)
{
    return find(text, len, keys, n, false, out, err);
}

enum hf_code hf_jsonscan_find_sure(const char *text, size_t len, const char *const *keys, size_t n,
                                   struct hf_jsonscan_value *out, struct hf_err *err)
{
    return find(text, len, keys, n, true, out, err);
}

static size_t utf8_put(char *out, unsigned cp)
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (cp & 0x3f));
        cp >>= 6;
    }
    out[0] = (char)((0xf00u >> n & 0xf0u) | cp);
    return n;
}

/* The code point of a \u escape at p (on the 'u'), pairs joined; SIZE_MAX in *used if it is bad. */
static unsigned read_u(const char *p, const char *end, size_t *used)
{
    int hi = hex4(p + 1, end);
    *used = 5;
    if (hi < 0xd800 || hi > 0xdfff)
        return (unsigned)hi;
    int lo = end - p > 6 && p[5] == '\\' && p[6] == 'u' ? hex4(p + 7, end) : -1;
    *used = SIZE_MAX;
    if (hi > 0xdbff || lo < 0xdc00 || lo > 0xdfff)
        return 0;
    *used = 11;
    return 0x10000u + ((unsigned)(hi - 0xd800) << 10) + (unsigned)(lo - 0xdc00);
}

/* Unescapes the piece at *p (before end) into out[0..3]; its length, 0 for half a pair. */
static size_t unescape_one(const char **p, const char *end, char out[4])
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (**p != '\\') {
        out[0] = *(*p)++;
        return 1;
    }
    (*p)++;
    if (**p == 'u') {
        size_t used;
        unsigned cp = read_u(*p, end, &used);
        if (used == SIZE_MAX)
            return 0;
        *p += used;
        return utf8_put(out, cp);
    }
    const char *at = memchr(from, **p, sizeof(from) - 1);
    hf_assert(at != NULL);
    out[0] = to[at - from];
    (*p)++;
    return 1;
}

size_t hf_jsonscan_string(const char *text, size_t len)
{
    struct cursor c = {text, text, text + len, NULL};
    return len > 0 && *text == '"' && step_string(&c) ? (size_t)(c.p - text) : 0;
}

bool hf_jsonscan_is(const struct hf_jsonscan_value *v, const char *want)
{
    /* most keys differ in their first letter; a key has its closing quote to look at */
    if (v->kind != HF_JSON_STRING || (v->text[1] != *want && v->text[1] != '\\' && *want != '\0'))
        return false;
    size_t len = strlen(want);
    const char *p = v->text + 1, *end = v->text + v->len - 1;
    if (memchr(p, '\\', (size_t)(end - p)) == NULL)
        return (size_t)(end - p) == len && memcmp(p, want, len) == 0;
    while (p < end) {
        char piece[4];
        size_t n = unescape_one(&p, end, piece);
        if (n == 0 || n > len || memcmp(piece, want, n) != 0)
            return false;
        want += n;
        len -= n;
    }
    return len == 0;
}

enum hf_code hf_jsonscan_str(const struct hf_jsonscan_value *v, char *out, size_t cap,
                             struct hf_err *err)
{
    if (v->kind != HF_JSON_STRING)
        return hf_err_set(err, HF_E_INVALID, "a text is expected");
    const char *p = v->text + 1, *end = v->text + v->len - 1;
    size_t len = 0;
    while (p < end) {
        char piece[4];
        size_t n = unescape_one(&p, end, piece);
        if (n == 0 || piece[0] == '\0')
            return hf_err_set(err, HF_E_INVALID, "a text holds %s",
                              n == 0 ? "half a surrogate pair" : "a NUL");
        if (len + n >= cap)
            return hf_err_set(err, HF_E_LIMIT, "a text is longer than %zu bytes", cap - 1);
        memcpy(out + len, piece, n);
        len += n;
    }
    if (len >= cap)
        return hf_err_set(err, HF_E_LIMIT, "a text is longer than %zu bytes", cap - 1);
    out[len] = '\0';
    return HF_OK;
}

bool hf_jsonscan_i64(const struct hf_jsonscan_value *v, int64_t *out)
{
    if (v->kind != HF_JSON_NUMBER || v->len == 0 || v->len > 20)
        return false;
    bool is_negative = v->text[0] == '-';
    uint64_t n = 0, max = is_negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    for (size_t i = is_negative ? 1 : 0; i < v->len; i++) {
        unsigned d = (unsigned char)v->text[i] - (unsigned)'0';
        if (d > 9 || n > (max - d) / 10)
            return false;
        n = n * 10 + d;
    }
    *out = is_negative ? (int64_t)(0 - n) : (int64_t)n;
    return true;
}
