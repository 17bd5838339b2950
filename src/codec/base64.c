#include "codec/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum hf_code hf_base64_encode(struct hf_buf *out, const void *data, size_t len, struct hf_err *err)
{
    const uint8_t *p = data;
    HF_TRY(hf_buf_reserve(out, (len + 2) / 3 * 4, err));
    for (; len > 0; p += 3, len -= len < 3 ? len : 3) {
        uint32_t v =
            (uint32_t)p[0] << 16 | (len > 1 ? (uint32_t)p[1] << 8 : 0) | (len > 2 ? p[2] : 0u);
        char four[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63],
                        len > 1 ? alphabet[v >> 6 & 63] : '=', len > 2 ? alphabet[v & 63] : '='};
        HF_TRY(hf_buf_append(out, four, 4, err));
    }
    return HF_OK;
}

static int value_of(char c)
{
    const char *p = c == '\0' ? NULL : strchr(alphabet, c);
    return p == NULL ? -1 : (int)(p - alphabet);
}

/* Bytes in text, or -1. */
static long check(const char *text, size_t len)
{
    if (len % 4 != 0)
        return -1;
    size_t pad = len > 0 && text[len - 1] == '=' ? (text[len - 2] == '=' ? 2 : 1) : 0;
    for (size_t i = 0; i < len - pad; i++) {
        if (value_of(text[i]) < 0)
            return -1;
    }
    /* The last character's unused bits must be zero, or two texts would mean the same bytes. */
    if (pad > 0 && (value_of(text[len - pad - 1]) & (pad == 2 ? 15 : 3)) != 0)
        return -1;
    return (long)(len / 4 * 3 - pad);
}

enum hf_code hf_base64_decode(struct hf_buf *out, const char *text, size_t len, struct hf_err *err)
{
    long bytes = check(text, len);
    if (bytes < 0)
        return hf_err_set(err, HF_E_INVALID, "not base64");
    HF_TRY(hf_buf_reserve(out, (size_t)bytes, err));
    for (size_t i = 0; i < len; i += 4) {
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++)
            v = v << 6 | (text[i + k] == '=' ? 0u : (uint32_t)value_of(text[i + k]));
        uint8_t three[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        size_t n = bytes < 3 ? (size_t)bytes : 3;
        HF_TRY(hf_buf_append(out, three, n, err));
        bytes -= (long)n;
    }
    return HF_OK;
}
