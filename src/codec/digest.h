/*
 * SHA-256, HMAC-SHA-256 and MD5 over OpenSSL's EVP, and hex. Pure, any thread.
 */
#ifndef HF_CODEC_DIGEST_H
#define HF_CODEC_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HF_SHA256_BYTES = 32, HF_MD5_BYTES = 16 };

void hf_sha256(const void *data, size_t len, uint8_t out[HF_SHA256_BYTES]);
void hf_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                    uint8_t out[HF_SHA256_BYTES]);
/* For Content-MD5 only: guards a transport, not against people. */
void hf_md5(const void *data, size_t len, uint8_t out[HF_MD5_BYTES]);
/* Whether both are the same, in a time that does not tell where they differ: for secrets. */
bool hf_digest_equal(const void *a, const void *b, size_t len);
/* The 32 bytes of 64 hex digits; false for anything else. */
bool hf_sha256_parse(const char *text, uint8_t out[HF_SHA256_BYTES]);
/* Lower case, NUL-terminated: out holds 2 * len + 1 bytes. */
void hf_hex(const uint8_t *data, size_t len, char *out);

#endif
