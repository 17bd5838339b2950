/*
 * Lines of a newline-delimited stream, read piece by piece: what Ollama answers with.
 *
 * A line ends in LF (CRLF is accepted); blank lines are skipped; pieces may be cut at any byte. The
 * last line needs no end, so its reader must check that it is whole. A line holds
 * HF_LIMIT_STREAM_EVENT bytes at most. Knows nothing of JSON. One thread.
 */
#ifndef HF_CODEC_NDJSON_H
#define HF_CODEC_NDJSON_H

#include <stddef.h>

#include "base/buf.h"

struct hf_ndjson {
    struct hf_buf line; /* a line whose end has not come */
};

/* line is not NUL-terminated. An error stops. */
typedef enum hf_code hf_ndjson_line_fn(void *arg, const char *line, size_t len, struct hf_err *err);

void hf_ndjson_init(struct hf_ndjson *n);
void hf_ndjson_deinit(struct hf_ndjson *n);
/* HF_E_LIMIT for a line that is too long; else what fn returned. */
HF_MUST enum hf_code hf_ndjson_feed(struct hf_ndjson *n, const void *bytes, size_t len,
                                    hf_ndjson_line_fn *fn, void *arg, struct hf_err *err);
/* The stream ended: hands over a last line that has no end. */
HF_MUST enum hf_code hf_ndjson_finish(struct hf_ndjson *n, hf_ndjson_line_fn *fn, void *arg,
                                      struct hf_err *err);

#endif
