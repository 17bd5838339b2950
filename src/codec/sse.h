/*
 * Server-sent events (WHATWG HTML, "9.2.6 Interpreting an event stream"), read piece by piece.
 *
 *   event: content_block_delta      "event" and "data" fields; "id" and "retry" are ignored
 *   data: {"type":"..."}            several data lines join with a newline
 *   : a comment                     counted, otherwise ignored
 *                                   an empty line hands the event over
 *
 * Lines end in LF, CRLF or CR; a byte order mark at the start is dropped; pieces may be cut at any
 * byte. Unlike a browser, hf_sse_finish() hands over an event whose empty line never came: servers
 * exist that close right behind "data: [DONE]". The reader of the data must therefore check it.
 *
 * A line and an event's data hold HF_LIMIT_STREAM_EVENT bytes at most. One thread.
 */
#ifndef HF_CODEC_SSE_H
#define HF_CODEC_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum { HF_SSE_NAME = 64 }; /* longest event name kept; longer ones are cut */

struct hf_sse {
    struct hf_buf line; /* a line whose end has not come */
    struct hf_buf data; /* data of the event so far */
    char event[HF_SSE_NAME];
    bool has_data;
    bool is_after_cr;
    uint8_t n_bom;       /* bytes of a byte order mark seen; 4: looked at already */
    uint64_t n_comments; /* comments so far: life, but no progress */
};

/* event is "message" when the stream named none; data is not NUL-terminated. An error stops. */
typedef enum hf_code hf_sse_event_fn(void *arg, const char *event, const char *data, size_t len,
                                     struct hf_err *err);

void hf_sse_init(struct hf_sse *s);
void hf_sse_deinit(struct hf_sse *s);
/* HF_E_LIMIT for a line or event that is too long; else what fn returned. */
HF_MUST enum hf_code hf_sse_feed(struct hf_sse *s, const void *bytes, size_t len,
                                 hf_sse_event_fn *fn, void *arg, struct hf_err *err);
/* The stream ended: hands over what is pending. */
HF_MUST enum hf_code hf_sse_finish(struct hf_sse *s, hf_sse_event_fn *fn, void *arg,
                                   struct hf_err *err);

#endif
