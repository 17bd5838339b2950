#include "codec/ndjson.h"

#include <string.h>

#include "base/limits.h"

void hf_ndjson_init(struct hf_ndjson *n)
{
    hf_buf_init(&n->line, HF_LIMIT_STREAM_EVENT);
}

void hf_ndjson_deinit(struct hf_ndjson *n)
{
    hf_buf_deinit(&n->line);
}

static enum hf_code take_line(const char *line, size_t len, hf_ndjson_line_fn *fn, void *arg,
                              struct hf_err *err)
{
    size_t blanks = 0;
    if (len > 0 && line[len - 1] == '\r')
        len--;
    while (blanks < len && (line[blanks] == ' ' || line[blanks] == '\t'))
        blanks++;
    return blanks == len ? HF_OK : fn(arg, line, len, err);
}

enum hf_code hf_ndjson_feed(struct hf_ndjson *n, const void *bytes, size_t len,
                            hf_ndjson_line_fn *fn, void *arg, struct hf_err *err)
{
    const char *p = bytes, *end = p + len;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (stop == NULL)
            return hf_buf_append(&n->line, p, (size_t)(end - p), err);
        const char *line = p;
        size_t line_len = (size_t)(stop - p);
        if (n->line.len > 0) {
            HF_TRY(hf_buf_append(&n->line, p, line_len, err));
            line = (const char *)n->line.data;
            line_len = n->line.len;
        }
        hf_buf_reset(&n->line);
        p = stop + 1;
        HF_TRY(take_line(line, line_len, fn, arg, err));
    }
    return HF_OK;
}

enum hf_code hf_ndjson_finish(struct hf_ndjson *n, hf_ndjson_line_fn *fn, void *arg,
                              struct hf_err *err)
{
    size_t len = n->line.len;
    hf_buf_reset(&n->line);
    return len == 0 ? HF_OK : take_line((const char *)n->line.data, len, fn, arg, err);
}
