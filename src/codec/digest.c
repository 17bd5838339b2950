#include "codec/digest.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/assert.h"

static void digest(const EVP_MD *md, const void *data, size_t len, uint8_t *out)
{
    hf_assert(EVP_Digest(data, len, out, NULL, md, NULL) == 1);
}

void hf_sha256(const void *data, size_t len, uint8_t out[HF_SHA256_BYTES])
{
    digest(EVP_sha256(), data, len, out);
}

void hf_md5(const void *data, size_t len, uint8_t out[HF_MD5_BYTES])
{
    digest(EVP_md5(), data, len, out);
}

void hf_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                    uint8_t out[HF_SHA256_BYTES])
{
    unsigned n = 0;
    hf_assert(key_len <= INT_MAX);
    hf_assert(HMAC(EVP_sha256(), key, (int)key_len, data, len, out, &n) != NULL && n == 32);
}

void hf_hex(const uint8_t *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * len] = '\0';
}

bool hf_digest_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

bool hf_sha256_parse(const char *text, uint8_t out[HF_SHA256_BYTES])
{
    uint8_t bytes[HF_SHA256_BYTES];
    size_t i = 0;
    for (; i < HF_SHA256_BYTES; i++) {
        int high = nibble(text[2 * i]);
        int low = high < 0 ? -1 : nibble(text[2 * i + 1]);
        if (low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    if (text[2 * i] != '\0')
        return false;
    memcpy(out, bytes, sizeof(bytes));
    return true;
}
