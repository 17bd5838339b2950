/*
 * Client keys: who a request comes from and what that one may do.
 *
 *   Authorization: Bearer KEY | Basic base64(anybody:KEY)     x-api-key: KEY
 *         └─► SHA-256 ─► compared with every configured key's, each in constant time
 *
 * Only hashes are kept. No key configured: everybody may do everything. Part of a plan: immutable,
 * read by the gateway's loop. Pure but for the key files that hf_gw_keys_new reads.
 */
#ifndef HF_GATEWAY_KEYS_H
#define HF_GATEWAY_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "codec/digest.h"
#include "config/gateway.h"

struct hf_arena;

enum { HF_GW_KEY_BYTES = 512 /* of a key as clients send it; providers' have about 170 */ };

struct hf_gw_key {
    const char *name;
    uint8_t hash[HF_SHA256_BYTES];
    const char **models; /* globs */
    size_t n_models;     /* 0: every model */
    bool is_private;
    bool is_admin;
    bool may_pin;
    bool is_batch;
    int64_t parallel;   /* 0: no limit */
    int64_t per_minute; /* 0: no limit */
    struct hf_config_budget budget;
};

struct hf_gw_keys {
    struct hf_gw_key *list;
    size_t n;
};

/* HF_E_INVALID for a name or a key that is there twice, a bad hash, an empty key; the code of the
 * file for a key file that cannot be read. Everything is copied into the arena. */
HF_MUST enum hf_code hf_gw_keys_new(const struct hf_config_gateway *conf, struct hf_arena *arena,
                                    struct hf_gw_keys *out, struct hf_err *err);
/* NULL if it is nobody's. */
const struct hf_gw_key *hf_gw_key_find(const struct hf_gw_keys *keys, const char *secret,
                                       size_t len);
/* The one that one of the two headers (each may be NULL) shows; NULL if none does. */
const struct hf_gw_key *hf_gw_key_of(const struct hf_gw_keys *keys, const char *authorization,
                                     const char *api_key);
bool hf_gw_key_may_ask(const struct hf_gw_key *k, const char *model);
bool hf_gw_keys_have_admin(const struct hf_gw_keys *keys);

/* * is any text, ? any character; case does not matter. */
bool hf_gw_glob(const char *pattern, const char *text);

/* Requests a minute: per_minute at once, then one each 60 s / per_minute. */
struct hf_gw_rate {
    uint64_t full_us; /* when everything would be allowed again */
};
/* Takes one; false with the wait when there is none to take. */
bool hf_gw_rate_take(struct hf_gw_rate *r, int64_t per_minute, uint64_t now_ms, uint64_t *wait_ms);

#endif
