/*
 * The form of an encrypted object: libsodium's secretstream (XChaCha20-Poly1305) in chunks of one
 * size, behind a header that says which key it takes.
 *
 *   offset  bytes
 *        0      8  "HFSEALED"
 *        8      1  version, 1
 *        9      1  flags: 1 = the replica's path is bound, too
 *       10      6  zero
 *       16      8  key id
 *       24     24  secretstream header (random)
 *       48      -  chunks: HF_SEAL_CHUNK bytes each, the last one any number up to that, each
 *                  with 17 bytes of tag and authenticator; the last one is tagged final
 *
 * The first chunk carries as associated data a hash of the header's first 24 bytes, the object's
 * name and, if bound, the replica's path: an object does not open under another name. secretstream
 * chains the chunks: one that is changed, left out, moved or repeated does not open; one missing at
 * the end shows by the final tag, one too many by what follows it. An empty object is one final
 * chunk of no bytes, so what is not empty never ends in an empty chunk, and sizes can be told
 * without reading.
 *
 * Pure but for the random header; no memory of its own. One thread a struct.
 */
#ifndef HF_STORE_SEAL_H
#define HF_STORE_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sodium.h>

#include "base/attr.h"
#include "base/err.h"
#include "store/keyring.h"

enum {
    HF_SEAL_MAGIC = 8,
    HF_SEAL_HEADER = 48,
    HF_SEAL_CHUNK = 16 << 10, /* a reader holds one; 17 bytes in 16 KiB are 0.1 % */
    HF_SEAL_EXTRA = crypto_secretstream_xchacha20poly1305_ABYTES,
    HF_SEAL_PATH_BOUND = 1, /* a flag */
};

/* What an object is: key as keyring.h gives it, name inside its replica, path of the replica. */
struct hf_seal_subject {
    const uint8_t *key; /* HF_KEY_BYTES bytes */
    const char *name;
    const char *path; /* counts with HF_SEAL_PATH_BOUND only */
};

struct hf_seal {
    crypto_secretstream_xchacha20poly1305_state state;
    uint8_t binding[crypto_generichash_BYTES]; /* associated data of the first chunk */
    bool is_first;
    bool is_over;
};

/* Bytes of the object that holds so many. */
uint64_t hf_seal_size(uint64_t plain);
/* ... and back: UINT64_MAX for a size no object has. */
uint64_t hf_seal_plain_size(uint64_t sealed);
bool hf_seal_is_sealed(const void *data, size_t len);
/* The key id of a header, as text. */
void hf_seal_key_id(const uint8_t header[HF_SEAL_HEADER], char out[HF_KEY_ID_TEXT]);

/* Writing: the header first, then chunks; all but the last have HF_SEAL_CHUNK bytes. */
void hf_seal_begin(struct hf_seal *s, const struct hf_seal_subject *what,
                   const uint8_t id[HF_KEY_ID], uint8_t flags, uint8_t header[HF_SEAL_HEADER]);
/* len + HF_SEAL_EXTRA bytes to out. */
void hf_seal_chunk(struct hf_seal *s, const void *data, size_t len, bool is_last, uint8_t *out);

/* Reading. HF_E_UNSUPPORTED for a version we don't know, HF_E_CORRUPT for other nonsense. */
HF_MUST enum hf_code hf_seal_open(struct hf_seal *s, const struct hf_seal_subject *what,
                                  const uint8_t header[HF_SEAL_HEADER], struct hf_err *err);
/* The next chunk; len is HF_SEAL_CHUNK + HF_SEAL_EXTRA or, at the end of the object, less. Writes
 * len - HF_SEAL_EXTRA bytes to out. is_over is true behind the last one. */
HF_MUST enum hf_code hf_seal_open_chunk(struct hf_seal *s, const uint8_t *data, size_t len,
                                        uint8_t *out, struct hf_err *err);

#endif
