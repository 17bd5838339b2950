#include "gateway/keys.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "gateway/names.h"
#include "os/file.h"

enum { FILE_BYTES = 4096, MINUTE_US = 60 * 1000 * 1000 };

static const char blanks[] = " \t\r\n";

/* ---- out of the configuration ---- */

static enum hf_code hash_text(const struct hf_config_gateway_key *c, const char *text, size_t len,
                              struct hf_gw_key *k, struct hf_err *err)
{
    if (len == 0 || len > HF_GW_KEY_BYTES)
        return hf_err_set(err, HF_E_INVALID, "gateway key %s: its secret has %zu bytes (1 to %d)",
                          c->name, len, HF_GW_KEY_BYTES);
    hf_sha256(text, len, k->hash);
    return HF_OK;
}

static enum hf_code read_secret(const struct hf_config_gateway_key *c, struct hf_gw_key *k,
                                struct hf_err *err)
{
    char *text = NULL;
    size_t len = 0;
    if (c->key != NULL)
        return hash_text(c, c->key, strlen(c->key), k, err);
    if (c->sha256 != NULL)
        return hf_sha256_parse(c->sha256, k->hash)
                   ? HF_OK
                   : hf_err_set(err, HF_E_INVALID, "gateway key %s: sha256 needs 64 hex digits",
                                c->name);
    if (hf_path_read(c->key_file, FILE_BYTES, &text, &len, err) != HF_OK)
        return hf_err_wrap(err, "gateway key %s", c->name);
    const char *from = text + strspn(text, blanks);
    size_t n = strlen(from);
    while (n > 0 && strchr(blanks, from[n - 1]) != NULL)
        n--;
    enum hf_code rc = hash_text(c, from, n, k, err);
    hf_wipe(text, len);
    hf_free(text);
    return rc;
}

static enum hf_code check_unique(const struct hf_gw_keys *keys, const struct hf_gw_key *k,
                                 struct hf_err *err)
{
    for (size_t i = 0; i < keys->n; i++) {
        if (strcmp(keys->list[i].name, k->name) == 0)
            return hf_err_set(err, HF_E_INVALID, "two gateway keys are called %s", k->name);
        if (hf_digest_equal(keys->list[i].hash, k->hash, HF_SHA256_BYTES))
            return hf_err_set(err, HF_E_INVALID, "gateway keys %s and %s are the same key",
                              keys->list[i].name, k->name);
    }
    return HF_OK;
}

static void copy(const struct hf_config_gateway_key *c, struct hf_arena *arena, struct hf_gw_key *k)
{
    *k = (struct hf_gw_key){.name = hf_arena_strdup(arena, c->name),
                            .n_models = c->models.n,
                            .is_private = c->is_private,
                            .is_admin = c->is_admin,
                            .may_pin = c->may_pin,
                            .is_batch = c->priority == 1,
                            .parallel = c->parallel,
                            .per_minute = c->per_minute,
                            .budget = c->budget};
    k->models = hf_arena_alloc(arena, c->models.n + 1, sizeof(*k->models));
    for (size_t i = 0; i < c->models.n; i++)
        k->models[i] = hf_arena_strdup(arena, c->models.items[i]);
}

enum hf_code hf_gw_keys_new(const struct hf_config_gateway *conf, struct hf_arena *arena,
                            struct hf_gw_keys *out, struct hf_err *err)
{
    struct hf_gw_keys keys = {0};
    keys.list = hf_arena_alloc(arena, conf->n_keys + 1, sizeof(*keys.list));
    for (size_t i = 0; i < conf->n_keys; i++) {
        const struct hf_config_gateway_key *c = &conf->keys[i];
        struct hf_gw_key *k = &keys.list[i];
        copy(c, arena, k);
        HF_TRY(read_secret(c, k, err));
        HF_TRY(check_unique(&keys, k, err));
        keys.n++;
    }
    *out = keys;
    return HF_OK;
}

/* ---- whose it is ---- */

const struct hf_gw_key *hf_gw_key_find(const struct hf_gw_keys *keys, const char *secret,
                                       size_t len)
{
    const struct hf_gw_key *found = NULL;
    uint8_t hash[HF_SHA256_BYTES];
    if (len == 0 || len > HF_GW_KEY_BYTES)
        return NULL;
    hf_sha256(secret, len, hash);
    for (size_t i = 0; i < keys->n; i++) { /* all of them: where it stands must not show */
        if (hf_digest_equal(keys->list[i].hash, hash, sizeof(hash)))
            found = &keys->list[i];
    }
    return found;
}

/* Of "user:password" in base64 the password. */
static const struct hf_gw_key *of_basic(const struct hf_gw_keys *keys, const char *text)
{
    struct hf_buf plain;
    const struct hf_gw_key *k = NULL;
    hf_buf_init(&plain, 2 * (size_t)HF_GW_KEY_BYTES);
    if (hf_base64_decode(&plain, text, strlen(text), NULL) == HF_OK) {
        const char *colon = strchr(hf_buf_str(&plain), ':');
        if (colon != NULL)
            k = hf_gw_key_find(keys, colon + 1, strlen(colon + 1));
        hf_wipe(plain.data, plain.len);
    }
    hf_buf_deinit(&plain);
    return k;
}

static const char *after_scheme(const char *value, const char *scheme)
{
    size_t n = strlen(scheme);
    if (value == NULL || strncasecmp(value, scheme, n) != 0 || value[n] != ' ')
        return NULL;
    return value + n + strspn(value + n, " ");
}

const struct hf_gw_key *hf_gw_key_of(const struct hf_gw_keys *keys, const char *authorization,
                                     const char *api_key)
{
    const struct hf_gw_key *k = NULL;
    const char *text = after_scheme(authorization, "Bearer");
    if (text != NULL)
        k = hf_gw_key_find(keys, text, strlen(text));
    text = after_scheme(authorization, "Basic");
    if (k == NULL && text != NULL)
        k = of_basic(keys, text);
    if (k == NULL && api_key != NULL)
        k = hf_gw_key_find(keys, api_key, strlen(api_key));
    return k;
}

bool hf_gw_keys_have_admin(const struct hf_gw_keys *keys)
{
    for (size_t i = 0; i < keys->n; i++) {
        if (keys->list[i].is_admin)
            return true;
    }
    return false;
}

/* ---- what it may ---- */

bool hf_gw_glob(const char *pattern, const char *text)
{
    const char *star = NULL; /* the last one seen, and what it stands for so far */
    const char *from = text;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            from = text;
        } else if (*pattern == '?' ||
                   tolower((unsigned char)*pattern) == tolower((unsigned char)*text)) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++from;
        } else {
            return false;
        }
    }
    return pattern[strspn(pattern, "*")] == '\0';
}

bool hf_gw_key_may_ask(const struct hf_gw_key *k, const char *model)
{
    for (size_t i = 0; i < k->n_models; i++) {
        if (hf_gw_name_equal(k->models[i], model) || hf_gw_glob(k->models[i], model))
            return true;
    }
    return k->n_models == 0;
}

bool hf_gw_rate_take(struct hf_gw_rate *r, int64_t per_minute, uint64_t now_ms, uint64_t *wait_ms)
{
    hf_assert(per_minute > 0);
    uint64_t now_us = now_ms * 1000;
    uint64_t full_us = r->full_us > now_us ? r->full_us : now_us;
    full_us += MINUTE_US / (uint64_t)per_minute;
    if (full_us > now_us + MINUTE_US) {
        *wait_ms = (full_us - now_us - MINUTE_US + 999) / 1000;
        return false;
    }
    r->full_us = full_us;
    return true;
}
