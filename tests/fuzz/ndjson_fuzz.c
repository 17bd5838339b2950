/*
 * libFuzzer target: any bytes as a stream. What comes out must not depend on where the bytes were
 * cut: once whole, once byte by byte, once in pieces whose sizes the first byte gives.
 */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "codec/ndjson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(struct hf_buf *out, const char *s, size_t n)
{
    hf_assert(hf_buf_append(out, s, n, NULL) == HF_OK &&
              hf_buf_append(out, "\n", 1, NULL) == HF_OK);
}

static enum hf_code note(void *arg, const char *data, size_t len, struct hf_err *err)
{
    (void)err;

    add(arg, data, len);
    return HF_OK;
}

static void run(const uint8_t *data, size_t size, size_t step, struct hf_buf *out)
{
    struct hf_ndjson p;
    hf_buf_init(out, HF_LIMIT_ANSWER);
    hf_ndjson_init(&p);
    for (size_t at = 0; at < size; at += step)
        hf_assert(hf_ndjson_feed(&p, data + at, size - at < step ? size - at : step, note, out,
                                 NULL) == HF_OK);
    hf_assert(hf_ndjson_finish(&p, note, out, NULL) == HF_OK);
    hf_ndjson_deinit(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_buf whole, bytes, pieces;
    if (size == 0 || size > 1 << 20)
        return 0;
    run(data, size, size, &whole);
    run(data, size, 1, &bytes);
    run(data, size, data[0] % 16 + 1u, &pieces);
    hf_assert(whole.len == bytes.len && whole.len == pieces.len);
    hf_assert(whole.len == 0 || memcmp(whole.data, bytes.data, whole.len) == 0);
    hf_assert(whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0);
    hf_buf_deinit(&whole);
    hf_buf_deinit(&bytes);
    hf_buf_deinit(&pieces);
    return 0;
}
