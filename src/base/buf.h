/*
 * A growing byte buffer that owns its bytes and is born with a maximum size.
 *
 * data may be NULL while len is 0. hf_buf_str() keeps a terminating NUL behind len. One owner, one
 * thread.
 */
#ifndef HF_BASE_BUF_H
#define HF_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct hf_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max; /* appending past it is HF_E_LIMIT */
};

void hf_buf_init(struct hf_buf *b, size_t max);
void hf_buf_deinit(struct hf_buf *b);
/* len = 0, memory is kept. */
void hf_buf_reset(struct hf_buf *b);
/* Makes room for extra more bytes behind len. HF_E_LIMIT when that would pass max. */
HF_MUST enum hf_code hf_buf_reserve(struct hf_buf *b, size_t extra, struct hf_err *err);
HF_MUST enum hf_code hf_buf_append(struct hf_buf *b, const void *src, size_t len,
                                   struct hf_err *err);
HF_MUST enum hf_code hf_buf_appendf(struct hf_buf *b, struct hf_err *err, const char *fmt, ...)
    HF_PRINTF(3, 4);
/* The bytes as a NUL-terminated string; valid until the next change. Never NULL. */
const char *hf_buf_str(struct hf_buf *b);

#endif
