#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A long value from outside is shown shortened, so that the advice behind it is not cut off. */
#define SHOWN "%.60s"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

enum hf_code hf_parse_i64(const char *text, int64_t min, int64_t max, int64_t *out,
                          struct hf_err *err)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (!is_digit(digits[0]))
        return hf_err_set(err, HF_E_INVALID, "'" SHOWN "' is not a whole number", text);
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (*end != '\0')
        return hf_err_set(err, HF_E_INVALID, "'" SHOWN "' is not a whole number", text);
    if (errno == ERANGE || v < min || v > max)
        return hf_err_set(err, HF_E_INVALID, "'" SHOWN "' is not between %" PRId64 " and %" PRId64,
                          text, min, max);
    *out = v;
    return HF_OK;
}

enum { MICRO_DIGITS = 6 };

enum hf_code hf_parse_micro(const char *text, int64_t max, int64_t *out, struct hf_err *err)
{
    const char *p = text;
    int64_t v = 0;
    int n_digits = 0;
    int n_behind = -1; /* -1: no point yet */
    bool is_large = false;
    for (; is_digit(*p) || (*p == '.' && n_behind < 0); p++) {
        if (*p == '.') {
            n_behind = 0;
            continue;
        }
        is_large = is_large || v > (INT64_MAX - 9) / 10;
        v = is_large ? v : v * 10 + (*p - '0');
        n_digits++;
        n_behind += n_behind >= 0;
    }
    if (*p != '\0' || n_digits == 0 || n_behind > MICRO_DIGITS)
        return hf_err_set(err, HF_E_INVALID,
                          "'" SHOWN "' is not an amount (try 2.50; six digits behind the point)",
                          text);
    for (int i = n_behind < 0 ? 0 : n_behind; i < MICRO_DIGITS; i++) {
        is_large = is_large || v > INT64_MAX / 10;
        v = is_large ? v : v * 10;
    }
    if (is_large || v > max)
        return hf_err_set(err, HF_E_INVALID, "'" SHOWN "' is more than %" PRId64, text,
                          max / 1000000);
    *out = v;
    return HF_OK;
}

void hf_micro_format(int64_t micro, char out[HF_MICRO_TEXT])
{
    uint64_t v = micro < 0 ? 0 - (uint64_t)micro : (uint64_t)micro;
    int n = snprintf(out, HF_MICRO_TEXT, "%s%" PRIu64 ".%06" PRIu64, micro < 0 ? "-" : "",
                     v / 1000000, v % 1000000);
    while (n > 0 && out[n - 1] == '0')
        out[--n] = '\0';
    if (n > 0 && out[n - 1] == '.')
        out[n - 1] = '\0';
}

struct unit {
    const char *word;
    int64_t factor;
};

/* Longer words first: "ms" must be seen before "m". Both ways to write the micro sign. */
static const struct unit duration_units[] = {
    {"ns", 1},
    {"us", 1000},
    {"\xc2\xb5s", 1000},
    {"\xce\xbcs", 1000},
    {"ms", 1000000},
    {"s", INT64_C(1000000000)},
    {"m", INT64_C(60000000000)},
    {"h", INT64_C(3600000000000)},
};

static const struct unit *find_unit(const char *p, const struct unit *units, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strncmp(p, units[i].word, strlen(units[i].word)) == 0)
            return &units[i];
    }
    return NULL;
}

/* number * factor of "12", "0.02", ".5"; moves *p behind the number. False on overflow or when no
 * digit is there. Fraction digits beyond what factor can show are dropped. */
static bool take_number(const char **p, int64_t *whole, double *fraction)
{
    const char *s = *p;
    int64_t v = 0;
    double scale = 1;
    double part = 0;
    int digits = 0;
    for (; is_digit(*s); s++, digits++) {
        if (v > (INT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (*s - '0');
    }
    if (*s == '.') {
        for (s++; is_digit(*s); s++, digits++) {
            scale /= 10;
            part += (*s - '0') * scale;
        }
    }
    *p = s;
    *whole = v;
    *fraction = part;
    return digits > 0;
}

/* total += (whole + fraction) * factor; false on overflow. */
static bool add_scaled(int64_t *total, int64_t whole, double fraction, int64_t factor)
{
    int64_t v;
    if (__builtin_mul_overflow(whole, factor, &v))
        return false;
    int64_t rest = (int64_t)(fraction * (double)factor + 0.5);
    return !__builtin_add_overflow(v, rest, &v) && !__builtin_add_overflow(*total, v, total);
}

static enum hf_code bad_duration(const char *text, struct hf_err *err)
{
    int64_t n = 0;
    if (hf_parse_i64(text, 0, INT64_MAX, &n, NULL) == HF_OK)
        return hf_err_set(err, HF_E_INVALID, "'" SHOWN "' has no unit (try %" PRId64 "s)", text, n);
    size_t len = strlen(text);
    if (len > 1 && len < 8 && text[len - 1] == 'd' && strspn(text, "0123456789") == len - 1)
        return hf_err_set(err, HF_E_INVALID, "'%s' is not a duration: there are no days (try %ldh)",
                          text, strtol(text, NULL, 10) * 24);
    return hf_err_set(err, HF_E_INVALID, "'" SHOWN "' is not a duration (try 10s)", text);
}

enum hf_code hf_parse_duration_ns(const char *text, int64_t *out, struct hf_err *err)
{
    const char *p = text[0] == '+' ? text + 1 : text;
    int64_t total = 0;
    if (strcmp(p, "0") == 0) {
        *out = 0;
        return HF_OK;
    }
    if (*p == '-')
        return hf_err_set(err, HF_E_INVALID, "'" SHOWN "' is negative (try 10s)", text);
    if (*p == '\0')
        return bad_duration(text, err);
    while (*p != '\0') {
        int64_t whole;
        double fraction;
        if (!take_number(&p, &whole, &fraction))
            return bad_duration(text, err);
        const struct unit *u = find_unit(p, duration_units, HF_ARRAY_LEN(duration_units));
        if (u == NULL)
            return bad_duration(text, err);
        if (!add_scaled(&total, whole, fraction, u->factor))
            return hf_err_set(err, HF_E_INVALID, "'" SHOWN "' is longer than 290 years", text);
        p += strlen(u->word);
    }
    *out = total;
    return HF_OK;
}

static int64_t size_factor(const char *unit)
{
    static const struct unit units[] = {
        {"", 1},
        {"B", 1},
        {"K", 1 << 10},
        {"KB", 1 << 10},
        {"KIB", 1 << 10},
        {"M", 1 << 20},
        {"MB", 1 << 20},
        {"MIB", 1 << 20},
        {"G", 1 << 30},
        {"GB", 1 << 30},
        {"GIB", 1 << 30},
        {"T", INT64_C(1) << 40},
        {"TB", INT64_C(1) << 40},
        {"TIB", INT64_C(1) << 40},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(units); i++) {
        if (strcasecmp(unit, units[i].word) == 0)
            return units[i].factor;
    }
    return 0;
}

enum hf_code hf_parse_size(const char *text, int64_t *out, struct hf_err *err)
{
    const char *p = text;
    int64_t whole;
    double fraction;
    int64_t total = 0;
    if (!take_number(&p, &whole, &fraction))
        return hf_err_set(err, HF_E_INVALID, "'" SHOWN "' is not a size (try 64KB)", text);
    while (*p == ' ')
        p++;
    int64_t factor = size_factor(p);
    if (factor == 0)
        return hf_err_set(err, HF_E_INVALID, "'" SHOWN "' is not a size (try 64KB)", text);
    if (!add_scaled(&total, whole, fraction, factor))
        return hf_err_set(err, HF_E_INVALID, "'" SHOWN "' is larger than 8 EiB", text);
    *out = total;
    return HF_OK;
}

/* n digits at *p as a number in [lo, hi]; moves *p. */
static bool take_digits(const char **p, int n, int lo, int hi, int *out)
{
    int v = 0;
    for (int i = 0; i < n; i++) {
        char c = (*p)[i];
        if (!is_digit(c))
            return false;
        v = v * 10 + (c - '0');
    }
    *p += n;
    *out = v;
    return v >= lo && v <= hi;
}

static bool take_char(const char **p, const char *any_of)
{
    if (**p == '\0' || strchr(any_of, **p) == NULL)
        return false;
    (*p)++;
    return true;
}

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar, years counted from March so
 * that the leap day is the last one. */
static int64_t days_of_date(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y >= 0 ? y / 400 : (y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* ".125": milliseconds, the rest is cut off, as Go's UnixMilli does. */
static bool take_fraction_ms(const char **p, int *ms)
{
    int digits = 0;
    *ms = 0;
    if (**p != '.')
        return true;
    for ((*p)++; is_digit(**p); (*p)++, digits++) {
        if (digits < 3)
            *ms = *ms * 10 + (**p - '0');
    }
    for (int i = digits; i < 3; i++)
        *ms *= 10;
    return digits > 0;
}

static bool take_offset_minutes(const char **p, int *minutes)
{
    int h;
    int m;
    *minutes = 0;
    if (take_char(p, "Zz"))
        return true;
    int sign = **p == '-' ? -1 : 1;
    if (!take_char(p, "+-") || !take_digits(p, 2, 0, 23, &h) || !take_char(p, ":") ||
        !take_digits(p, 2, 0, 59, &m))
        return false;
    *minutes = sign * (h * 60 + m);
    return true;
}

enum hf_code hf_parse_time_ms(const char *text, int64_t *out, struct hf_err *err)
{
    const char *p = text;
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, ms = 0, offset = 0;
    bool ok = take_digits(&p, 4, 0, 9999, &year) && take_char(&p, "-") &&
              take_digits(&p, 2, 1, 12, &month) && take_char(&p, "-") &&
              take_digits(&p, 2, 1, days_in_month(year, month), &day) && take_char(&p, "Tt ") &&
              take_digits(&p, 2, 0, 23, &hour) && take_char(&p, ":") &&
              take_digits(&p, 2, 0, 59, &minute) && take_char(&p, ":") &&
              take_digits(&p, 2, 0, 59, &second) && take_fraction_ms(&p, &ms) &&
              take_offset_minutes(&p, &offset) && *p == '\0';
    if (!ok)
        return hf_err_set(err, HF_E_INVALID,
                          "'" SHOWN "' is not an RFC 3339 time (try 2026-11-22T10:49:03Z)", text);
    int64_t minutes = days_of_date(year, month, day) * 1440 + hour * 60 + minute - offset;
    *out = (minutes * 60 + second) * 1000 + ms;
    return HF_OK;
}

enum hf_code hf_parse_txid(const char *text, uint64_t *out, struct hf_err *err)
{
    size_t len = strlen(text);
    uint64_t v = 0;
    bool ok = len >= 1 && len <= 16;
    for (size_t i = 0; ok && i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        ok = isxdigit(c) != 0;
        v = v << 4 | (uint64_t)(is_digit(text[i]) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (!ok)
        return hf_err_set(err, HF_E_INVALID,
                          "'" SHOWN "' is not a TXID of 1 to 16 hex digits (try 000000000000001a)",
                          text);
    if (v == 0)
        return hf_err_set(err, HF_E_INVALID, "'" SHOWN "' is not a TXID: they begin at 1", text);
    *out = v;
    return HF_OK;
}

/* value with its fraction (in units of 10^-digits) without trailing zeros: "1.5", "20". */
static void put_decimal(char *out, size_t size, uint64_t value, int digits)
{
    uint64_t scale = 1;
    for (int i = 0; i < digits; i++)
        scale *= 10;
    uint64_t part = value % scale;
    while (digits > 0 && part % 10 == 0) {
        part /= 10;
        digits--;
    }
    if (digits == 0)
        snprintf(out, size, "%" PRIu64, value / scale);
    else
        snprintf(out, size, "%" PRIu64 ".%0*" PRIu64, value / scale, digits, part);
}

void hf_duration_format(int64_t ns, char out[HF_DURATION_TEXT])
{
    char num[48];
    const char *sign = ns < 0 ? "-" : "";
    uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    if (v == 0 || v >= 1000000000u) {
        uint64_t minutes = v / 60000000000u;
        put_decimal(num, sizeof(num), v % 60000000000u, 9);
        if (minutes >= 60)
            snprintf(out, HF_DURATION_TEXT, "%s%" PRIu64 "h%" PRIu64 "m%.12ss", sign, minutes / 60,
                     minutes % 60, num);
        else if (minutes > 0)
            snprintf(out, HF_DURATION_TEXT, "%s%" PRIu64 "m%.12ss", sign, minutes, num);
        else
            snprintf(out, HF_DURATION_TEXT, "%s%.20ss", sign, num);
        return;
    }
    int digits = v >= 1000000 ? 6 : v >= 1000 ? 3 : 0;
    put_decimal(num, sizeof(num), v, digits);
    snprintf(out, HF_DURATION_TEXT, "%s%.20s%s", sign, num,
             digits == 6   ? "ms"
             : digits == 3 ? "\xc2\xb5s"
                           : "ns");
}

enum hf_code hf_parse_bool(const char *text, int *out, struct hf_err *err)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    for (int i = 0; i < 6; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *out = i % 2;
            return HF_OK;
        }
    }
    return hf_err_set(err, HF_E_INVALID, "'" SHOWN "' is neither true nor false", text);
}
