#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

void hf_buf_init(struct hf_buf *b, size_t max)
{
    hf_assert(max > 0);
    *b = (struct hf_buf){.max = max};
}

void hf_buf_deinit(struct hf_buf *b)
{
    hf_free(b->data);
    *b = (struct hf_buf){0};
}

void hf_buf_reset(struct hf_buf *b)
{
    b->len = 0;
}

/* One byte more than asked for, so that hf_buf_str always has room for its NUL. */
static void grow(struct hf_buf *b, size_t need)
{
    if (need + 1 <= b->cap)
        return;
    size_t cap = b->cap < 256 ? 256 : b->cap * 2;
    if (cap < need + 1)
        cap = need + 1;
    b->data = hf_realloc(b->data, cap, 1);
    b->cap = cap;
}

enum hf_code hf_buf_reserve(struct hf_buf *b, size_t extra, struct hf_err *err)
{
    hf_assert(b->len <= b->max);
    if (extra > b->max - b->len)
        return hf_err_set(err, HF_E_LIMIT, "more than %zu bytes", b->max);
    grow(b, b->len + extra);
    return HF_OK;
}

enum hf_code hf_buf_append(struct hf_buf *b, const void *src, size_t len, struct hf_err *err)
{
    HF_TRY(hf_buf_reserve(b, len, err));
    if (len > 0)
        memcpy(b->data + b->len, src, len);
    b->len += len;
    return HF_OK;
}

enum hf_code hf_buf_appendf(struct hf_buf *b, struct hf_err *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    hf_assert(n >= 0);
    HF_TRY(hf_buf_reserve(b, (size_t)n, err));
    va_start(ap, fmt);
    vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
    return HF_OK;
}

const char *hf_buf_str(struct hf_buf *b)
{
    grow(b, b->len);
    b->data[b->len] = '\0';
    return (const char *)b->data;
}
