/*
 * The keys of encrypted replicas: read from a file, the environment or a program's output.
 *
 * A key is 32 random bytes, written as base64 or hex, one a line; empty lines and what follows a
 * '#' don't count. The first key of the first source writes, all of them read: to change keys, the
 * new one is put in front of the old ones. A key's id is a hash of it, keyed by the key itself, so
 * it tells nothing about it; ids may be shown, keys never are.
 *
 * Keys lie in memory of libsodium's that is locked (as far as the system allows), surrounded by
 * guard pages, read-only, left out of core dumps and wiped when given back. Rings of one source are
 * shared: a program is asked once however many replicas name it. Any thread; a ring is immutable.
 */
#ifndef HF_STORE_KEYRING_H
#define HF_STORE_KEYRING_H

#include "config/config.h"

struct hf_keyring;

enum {
    HF_KEY_BYTES = 32,
    HF_KEY_ID = 8,
    HF_KEY_ID_TEXT = HF_KEY_ID * 2 + 1,
    HF_KEY_TEXT = 45, /* base64, NUL included */
};

/* HF_E_NOT_FOUND when a source is not there, HF_E_INVALID for what is no key, else what reading
 * gave. */
HF_MUST enum hf_code hf_keyring_get(const struct hf_config_encryption *conf,
                                    struct hf_keyring **out, struct hf_err *err);
/* NULL is allowed. */
void hf_keyring_put(struct hf_keyring *r);
size_t hf_keyring_count(const struct hf_keyring *r);
/* [0] is the one that writes. Valid as long as the ring. */
const uint8_t *hf_keyring_key(const struct hf_keyring *r, size_t i);
const uint8_t *hf_keyring_id(const struct hf_keyring *r, size_t i);
void hf_keyring_id_text(const struct hf_keyring *r, size_t i, char out[HF_KEY_ID_TEXT]);
/* By the id as text; NULL if it is not there. */
const uint8_t *hf_keyring_find(const struct hf_keyring *r, const char *id);
/* "0123456789abcdef, ..." into out, cut to fit. */
void hf_keyring_ids(const struct hf_keyring *r, char *out, size_t size);

/* A new key as base64, and its id. The caller wipes text. */
HF_MUST enum hf_code hf_keyring_generate(char text[HF_KEY_TEXT], char id[HF_KEY_ID_TEXT],
                                         struct hf_err *err);

#endif
