#include "codec/sse.h"

#include <string.h>

#include "base/limits.h"

static const char BOM[3] = {'\xef', '\xbb', '\xbf'};

void hf_sse_init(struct hf_sse *s)
{
    *s = (struct hf_sse){.is_after_cr = false};
    hf_buf_init(&s->line, HF_LIMIT_STREAM_EVENT);
    hf_buf_init(&s->data, HF_LIMIT_STREAM_EVENT);
}

void hf_sse_deinit(struct hf_sse *s)
{
    hf_buf_deinit(&s->line);
    hf_buf_deinit(&s->data);
}

static enum hf_code hand_over(struct hf_sse *s, hf_sse_event_fn *fn, void *arg, struct hf_err *err)
{
    enum hf_code rc = HF_OK;
    const char *event = s->event[0] == '\0' ? "message" : s->event;
    if (s->has_data)
        rc = fn(arg, event, (const char *)s->data.data, s->data.len, err);
    hf_buf_reset(&s->data);
    s->has_data = false;
    s->event[0] = '\0';
    return rc;
}

static bool is_field(const char *line, size_t len, const char *name)
{
    size_t n = strlen(name);
    return len >= n && memcmp(line, name, n) == 0 && (len == n || line[n] == ':');
}

static enum hf_code add_data(struct hf_sse *s, const char *value, size_t len, struct hf_err *err)
{
    if (s->has_data)
        HF_TRY(hf_buf_append(&s->data, "\n", 1, err));
    s->has_data = true;
    return hf_buf_append(&s->data, value, len, err);
}

/* One line without its end. */
static enum hf_code take_line(struct hf_sse *s, const char *line, size_t len, hf_sse_event_fn *fn,
                              void *arg, struct hf_err *err)
{
    if (len == 0)
        return hand_over(s, fn, arg, err);
    if (line[0] == ':') {
        s->n_comments++;
        return HF_OK;
    }
    const char *colon = memchr(line, ':', len);
    const char *value = colon == NULL ? line + len : colon + 1;
    size_t n = (size_t)(line + len - value);
    if (n > 0 && value[0] == ' ') {
        value++;
        n--;
    }
    if (is_field(line, len, "data"))
        return add_data(s, value, n, err);
    if (is_field(line, len, "event")) {
        if (n >= sizeof(s->event))
            n = sizeof(s->event) - 1;
        memcpy(s->event, value, n);
        s->event[n] = '\0';
    }
    return HF_OK;
}

/* Drops a byte order mark, which may come in pieces; what was no mark becomes part of the line. */
static enum hf_code skip_bom(struct hf_sse *s, const char **p, const char *end, struct hf_err *err)
{
    while (s->n_bom < 3 && *p < end) {
        if (**p != BOM[s->n_bom]) {
            size_t n = s->n_bom;
            s->n_bom = 4;
            return hf_buf_append(&s->line, BOM, n, err);
        }
        s->n_bom++;
        (*p)++;
    }
    if (s->n_bom == 3)
        s->n_bom = 4;
    return HF_OK;
}

static const char *line_end(const char *p, const char *end)
{
    size_t len = (size_t)(end - p);
    const char *lf = memchr(p, '\n', len);
    const char *cr = memchr(p, '\r', lf == NULL ? len : (size_t)(lf - p));
    return cr != NULL ? cr : lf;
}

enum hf_code hf_sse_feed(struct hf_sse *s, const void *bytes, size_t len, hf_sse_event_fn *fn,
                         void *arg, struct hf_err *err)
{
    const char *p = bytes, *end = p + len;
    if (s->n_bom < 4)
        HF_TRY(skip_bom(s, &p, end, err));
    while (p < end) {
        if (s->is_after_cr && *p == '\n')
            p++;
        s->is_after_cr = false;
        const char *stop = p < end ? line_end(p, end) : NULL;
        if (stop == NULL)
            return hf_buf_append(&s->line, p, (size_t)(end - p), err);
        const char *line = p;
        size_t n = (size_t)(stop - p);
        if (s->line.len > 0) {
            HF_TRY(hf_buf_append(&s->line, p, n, err));
            line = (const char *)s->line.data;
            n = s->line.len;
        }
        hf_buf_reset(&s->line);
        s->is_after_cr = *stop == '\r';
        p = stop + 1;
        HF_TRY(take_line(s, line, n, fn, arg, err));
    }
    return HF_OK;
}

enum hf_code hf_sse_finish(struct hf_sse *s, hf_sse_event_fn *fn, void *arg, struct hf_err *err)
{
    if (s->line.len > 0) {
        size_t n = s->line.len;
        hf_buf_reset(&s->line);
        HF_TRY(take_line(s, (const char *)s->line.data, n, fn, arg, err));
    }
    return hand_over(s, fn, arg, err);
}
