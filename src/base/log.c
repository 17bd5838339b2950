#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
    LINE_MAX_BYTES = 4096,
    HELD_BYTES = LINE_MAX_BYTES /* PIPE_BUF of Linux: other threads' lines do not get between */
};

struct log_state {
    enum hf_log_level level;
    enum hf_log_format format;
    int fd;
};

/* Process-wide, set once before threads start. */
static struct log_state state = {HF_LOG_INFO, HF_LOG_TEXT, STDERR_FILENO};

/* Lines of this thread that wait; text is NULL where none may. */
static _Thread_local struct {
    char *text;
    size_t len;
} held;

static const char *const level_words[] = {"debug", "info", "warn", "error"};

struct line {
    char text[LINE_MAX_BYTES];
    size_t len;
};

static size_t room_of(const struct line *l)
{
    return sizeof(l->text) - 2 - l->len;
}

static void put(struct line *l, const char *s, size_t n)
{
    size_t room = room_of(l);
    if (n > room)
        n = room;
    memcpy(l->text + l->len, s, n);
    l->len += n;
}

static void put_str(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

/* JSON string escapes; also used for text values that hold blanks or quotes. A value that is too
 * long is cut where its closing quote still fits: the line stays valid JSON. */
static void put_quoted(struct line *l, const char *s)
{
    put(l, "\"", 1);
    for (; *s != '\0' && room_of(l) > 8; s++) {
        unsigned char c = (unsigned char)*s;
        char esc[8];
        if (c == '"' || c == '\\') {
            snprintf(esc, sizeof(esc), "\\%c", c);
            put_str(l, esc);
        } else if (c < 0x20 || c == 0x7f) {
            snprintf(esc, sizeof(esc), "\\u%04x", c);
            put_str(l, esc);
        } else {
            put(l, s, 1);
        }
    }
    put(l, "\"", 1);
}

/* A client chooses some of these texts, and the log is read on terminals: no control characters. */
static bool is_plain(const char *s)
{
    const char *p = s;
    while ((unsigned char)*p > ' ' && *p != 0x7f && *p != '"' && *p != '=' && *p != '\\')
        p++;
    return *s != '\0' && *p == '\0';
}

static void put_u64(struct line *l, uint64_t v)
{
    char digits[20];
    size_t n = sizeof(digits);
    do {
        digits[--n] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    put(l, digits + n, sizeof(digits) - n);
}

static void put_value(struct line *l, const struct hf_log_field *f, bool json)
{
    char num[40];
    const char *text = f->str == NULL ? "" : f->str;
    switch (f->kind) {
    case HF_LOG_K_STR:
        if (!json && is_plain(text))
            put_str(l, text);
        else
            put_quoted(l, text);
        return;
    case HF_LOG_K_TXID:
        snprintf(num, sizeof(num), json ? "\"%016" PRIx64 "\"" : "%016" PRIx64, f->u64);
        break;
    case HF_LOG_K_I64:
        if (f->i64 < 0)
            put(l, "-", 1);
        put_u64(l, f->i64 < 0 ? 0 - (uint64_t)f->i64 : (uint64_t)f->i64);
        return;
    case HF_LOG_K_U64:
        put_u64(l, f->u64);
        return;
    case HF_LOG_K_DBL:
    case HF_LOG_K_END:
    default:
        snprintf(num, sizeof(num), "%.3f", f->dbl);
        break;
    }
    put_str(l, num);
}

void hf_log_setup(enum hf_log_level level, enum hf_log_format format, bool to_stderr)
{
    state.level = level;
    state.format = format;
    state.fd = to_stderr ? STDERR_FILENO : STDOUT_FILENO;
}

bool hf_log_is_on(enum hf_log_level level)
{
    return level >= state.level;
}

static void put_fields(struct line *l, const struct hf_log_field *fields, bool json)
{
    for (const struct hf_log_field *f = fields; f->kind != HF_LOG_K_END; f++) {
        if (f->kind == HF_LOG_K_STR && (f->str == NULL || f->str[0] == '\0'))
            continue;
        if (room_of(l) < strlen(f->key) + 64)
            return; /* no room for another field */
        put(l, json ? "," : " ", 1);
        if (json)
            put_quoted(l, f->key);
        else
            put_str(l, f->key);
        put(l, json ? ":" : "=", 1);
        put_value(l, f, json);
    }
}

static void write_out(const char *text, size_t len)
{
    ssize_t n = write(state.fd, text, len);
    (void)n; /* nowhere to report that the log can't be written */
}

void hf_log_flush(void)
{
    if (held.len > 0)
        write_out(held.text, held.len);
    held.len = 0;
}

void hf_log_hold(bool is_on)
{
    hf_log_flush();
    if (is_on == (held.text != NULL))
        return;
    hf_free(held.text);
    held.text = is_on ? hf_malloc(HELD_BYTES) : NULL;
}

static void send_line(enum hf_log_level level, const struct line *l)
{
    bool may_wait = held.text != NULL && level <= HF_LOG_INFO;
    if (!may_wait || held.len + l->len > HELD_BYTES)
        hf_log_flush();
    if (!may_wait) {
        write_out(l->text, l->len);
        return;
    }
    memcpy(held.text + held.len, l->text, l->len);
    held.len += l->len;
}

void hf_log_write(enum hf_log_level level, const char *event, const struct hf_log_field *fields)
{
    struct line l;
    char when[HF_TIME_TEXT];
    bool json = state.format == HF_LOG_JSON;
    l.len = 0;
    hf_clock_format(hf_clock_wall_ms(), when);
    put_str(&l, json ? "{\"time\":\"" : "time=");
    put_str(&l, when);
    put_str(&l, json ? "\",\"level\":\"" : " level=");
    put_str(&l, level_words[level]);
    put_str(&l, json ? "\",\"msg\":" : " msg=");
    if (json || !is_plain(event))
        put_quoted(&l, event);
    else
        put_str(&l, event);
    put_fields(&l, fields, json);
    if (json)
        l.text[l.len++] = '}';
    l.text[l.len++] = '\n';
    send_line(level, &l);
}

bool hf_log_parse_level(const char *text, enum hf_log_level *level)
{
    if (strcasecmp(text, "warning") == 0) {
        *level = HF_LOG_WARN;
        return true;
    }
    for (int i = 0; i < 4; i++) {
        if (strcasecmp(text, level_words[i]) == 0) {
            *level = (enum hf_log_level)i;
            return true;
        }
    }
    return false;
}
