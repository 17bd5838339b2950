#include "base/base64.h"

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *hf_base64_encode(const void *data, size_t len)
{
    const uint8_t *p = data;
    char *out = hf_malloc((len + 2) / 3 * 4 + 1);
    char *o = out;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);
        *o++ = alphabet[v >> 18];
        *o++ = alphabet[v >> 12 & 63];
        *o++ = left > 1 ? alphabet[v >> 6 & 63] : '=';
        *o++ = left > 2 ? alphabet[v & 63] : '=';
    }
    *o = '\0';
    return out;
}

/* By comparison, not by table: secrets must not choose which cache line is touched. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One group of four characters, n of them no padding: n - 1 bytes. False if it is not base64. */
static bool decode_group(const char *s, size_t n, uint8_t out[3])
{
    uint32_t v = 0;
    for (size_t i = 0; i < 4; i++) {
        int bits = i < n ? value_of(s[i]) : 0;
        if (bits < 0)
            return false;
        v = v << 6 | (uint32_t)bits;
    }
    out[0] = (uint8_t)(v >> 16);
    out[1] = (uint8_t)(v >> 8);
    out[2] = (uint8_t)v;
    return (n > 3 || out[2] == 0) && (n > 2 || out[1] == 0);
}

enum hf_code hf_base64_decode(const char *text, size_t len, struct hf_buf *out, struct hf_err *err)
{
    size_t before = out->len;
    for (size_t i = 0; i < len; i += 4) {
        uint8_t bytes[3];
        size_t n = 4;
        if (i + 4 == len && text[i + 3] == '=')
            n = text[i + 2] == '=' ? 2 : 3;
        if (len - i < 4 || !decode_group(text + i, n, bytes)) {
            out->len = before;
            return hf_err_set(err, HF_E_INVALID, "is not base64");
        }
        enum hf_code rc = hf_buf_append(out, bytes, n - 1, err);
        if (rc != HF_OK) {
            out->len = before;
            return rc;
        }
    }
    return HF_OK;
}
