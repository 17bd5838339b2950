#include "store/keyring.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/child.h"
#include "os/file.h"

enum { SOURCE_BYTES = 64 << 10, COMMAND_MS = 30000 };

struct hf_keyring {
    struct hf_keyring *next;
    unsigned refs;
    char *spec; /* what it was read from */
    size_t n;
    uint8_t ids[HF_LIMIT_KEYS][HF_KEY_ID];
    uint8_t (*keys)[HF_KEY_BYTES]; /* of libsodium's memory */
};

/* Rings in use. */
static pthread_mutex_t rings_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hf_keyring *rings;

static void id_of(const uint8_t *key, uint8_t id[HF_KEY_ID])
{
    static const char what[] = "holdfast key id";
    uint8_t hash[crypto_generichash_BYTES];
    crypto_generichash(hash, sizeof(hash), (const uint8_t *)what, sizeof(what) - 1, key,
                       HF_KEY_BYTES);
    memcpy(id, hash, HF_KEY_ID);
}

/* ---- reading ---- */

static bool parse_key(const char *text, size_t len, uint8_t key[HF_KEY_BYTES])
{
    size_t got = 0;
    bool is_hex = len == (size_t)HF_KEY_BYTES * 2;
    int rc = is_hex ? sodium_hex2bin(key, HF_KEY_BYTES, text, len, NULL, &got, NULL)
                    : sodium_base642bin(key, HF_KEY_BYTES, text, len, NULL, &got, NULL,
                                        sodium_base64_VARIANT_ORIGINAL);
    return rc == 0 && got == HF_KEY_BYTES;
}

/* The line is in no message: it may be a key that lacks a letter. */
static enum hf_code add_line(struct hf_keyring *r, const char *line, size_t len, const char *where,
                             struct hf_err *err)
{
    const char *end = memchr(line, '#', len);
    len = end == NULL ? len : (size_t)(end - line);
    while (len > 0 && strchr(" \t\r", line[len - 1]) != NULL)
        len--;
    while (len > 0 && strchr(" \t", line[0]) != NULL) {
        line++;
        len--;
    }
    if (len == 0)
        return HF_OK;
    if (r->n == HF_LIMIT_KEYS)
        return hf_err_set(err, HF_E_LIMIT, "%s: more than %d keys", where, HF_LIMIT_KEYS);
    if (!parse_key(line, len, r->keys[r->n])) {
        hf_err_set(err, HF_E_INVALID, "%s: a line is no key: 32 bytes as base64 or hex, one a line",
                   where);
        hf_err_hint(err, "holdfast keygen makes one");
        return HF_E_INVALID;
    }
    id_of(r->keys[r->n], r->ids[r->n]);
    r->n++;
    return HF_OK;
}

static enum hf_code add_text(struct hf_keyring *r, const char *text, size_t len, const char *where,
                             struct hf_err *err)
{
    size_t before = r->n;
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t n = end == NULL ? len - at : (size_t)(end - (text + at));
        HF_TRY(add_line(r, text + at, n, where, err));
        at += n + 1;
    }
    if (r->n > before)
        return HF_OK;
    hf_err_set(err, HF_E_INVALID, "%s holds no key", where);
    hf_err_hint(err, "holdfast keygen makes one");
    return HF_E_INVALID;
}

static enum hf_code add_file(struct hf_keyring *r, const char *path, struct hf_err *err)
{
    HF_AUTO_FREE char *where = hf_asprintf("key file %s", path);
    HF_AUTO_FREE char *text = NULL;
    size_t len = 0;
    enum hf_code rc = hf_path_read(path, SOURCE_BYTES, &text, &len, err);
    if (rc != HF_OK) {
        hf_err_wrap(err, "key file");
        return rc;
    }
    rc = add_text(r, text, len, where, err);
    hf_wipe(text, len);
    return rc;
}

static enum hf_code add_env(struct hf_keyring *r, const char *name, struct hf_err *err)
{
    HF_AUTO_FREE char *where = hf_asprintf("environment variable %s", name);
    const char *text = getenv(name);
    if (text == NULL || text[0] == '\0')
        return hf_err_set(err, HF_E_NOT_FOUND, "%s, which should hold the key, is not set", where);
    return add_text(r, text, strlen(text), where, err);
}

/* The command is in no message: it may hold a password. */
static enum hf_code add_command(struct hf_keyring *r, const char *command, struct hf_err *err)
{
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    struct hf_err why = HF_ERR_INIT;
    struct hf_buf out;
    hf_buf_init(&out, SOURCE_BYTES);
    enum hf_code rc = hf_buf_reserve(&out, SOURCE_BYTES, &why); /* no copies while it grows */
    if (rc == HF_OK)
        rc = hf_child_output(argv, COMMAND_MS, &out, &why);
    if (rc == HF_OK)
        rc = add_text(r, (const char *)out.data, out.len, "output of key-command", &why);
    else
        hf_err_wrap(&why, "key-command");
    if (out.data != NULL)
        hf_wipe(out.data, out.cap);
    hf_buf_deinit(&out);
    if (rc != HF_OK && err != NULL)
        *err = why;
    return rc;
}

static enum hf_code read_sources(struct hf_keyring *r, const struct hf_config_encryption *conf,
                                 struct hf_err *err)
{
    for (size_t i = 0; i < conf->key_files.n; i++)
        HF_TRY(add_file(r, conf->key_files.items[i], err));
    if (conf->key_env != NULL)
        HF_TRY(add_env(r, conf->key_env, err));
    if (conf->key_command != NULL)
        HF_TRY(add_command(r, conf->key_command, err));
    return r->n > 0 ? HF_OK : hf_err_set(err, HF_E_INVALID, "no key is named");
}

/* ---- rings ---- */

static char *spec_of(const struct hf_config_encryption *conf)
{
    char *spec = hf_asprintf("%s\n%s", conf->key_env == NULL ? "" : conf->key_env,
                             conf->key_command == NULL ? "" : conf->key_command);
    for (size_t i = 0; i < conf->key_files.n; i++) {
        char *longer = hf_asprintf("%s\n%s", spec, conf->key_files.items[i]);
        hf_free(spec);
        spec = longer;
    }
    return spec;
}

static void ring_free(struct hf_keyring *r)
{
    sodium_free(r->keys); /* wipes */
    hf_free(r->spec);
    hf_free(r);
}

static enum hf_code ring_new(const struct hf_config_encryption *conf, struct hf_keyring **out,
                             struct hf_err *err)
{
    struct hf_keyring *r = hf_calloc(1, sizeof(*r));
    r->keys = sodium_allocarray(HF_LIMIT_KEYS, HF_KEY_BYTES);
    if (r->keys == NULL) {
        ring_free(r);
        return hf_err_set(err, HF_E_IO, "no locked memory for encryption keys");
    }
    enum hf_code rc = read_sources(r, conf, err);
    if (rc != HF_OK) {
        ring_free(r);
        return rc;
    }
    sodium_mprotect_readonly(r->keys);
    r->spec = spec_of(conf);
    *out = r;
    return HF_OK;
}

static enum hf_code init_library(struct hf_err *err)
{
    if (sodium_init() < 0)
        return hf_err_set(err, HF_E_INTERNAL, "libsodium does not start");
    return HF_OK;
}

static bool is_spec(const struct hf_keyring *r, const char *spec)
{
    hf_assert(r->spec != NULL); /* of every ring in the list */
    return strcmp(r->spec, spec) == 0;
}

/* rings_lock is held. */
static enum hf_code find_or_read(const struct hf_config_encryption *conf, const char *spec,
                                 struct hf_keyring **out, struct hf_err *err)
{
    struct hf_keyring *r = rings;
    while (r != NULL && !is_spec(r, spec))
        r = r->next;
    if (r == NULL) {
        HF_TRY(ring_new(conf, &r, err));
        hf_assert(r != NULL);
        r->next = rings;
        rings = r;
    }
    r->refs++;
    *out = r;
    return HF_OK;
}

enum hf_code hf_keyring_get(const struct hf_config_encryption *conf, struct hf_keyring **out,
                            struct hf_err *err)
{
    HF_TRY(init_library(err));
    HF_AUTO_FREE char *spec = spec_of(conf);
    pthread_mutex_lock(&rings_lock);
    enum hf_code rc = find_or_read(conf, spec, out, err);
    pthread_mutex_unlock(&rings_lock);
    return rc;
}

void hf_keyring_put(struct hf_keyring *r)
{
    if (r == NULL)
        return;
    pthread_mutex_lock(&rings_lock);
    hf_assert(r->refs > 0);
    if (--r->refs == 0) {
        struct hf_keyring **at = &rings;
        while (*at != r)
            at = &(*at)->next;
        *at = r->next;
        ring_free(r);
    }
    pthread_mutex_unlock(&rings_lock);
}

size_t hf_keyring_count(const struct hf_keyring *r)
{
    return r->n;
}

const uint8_t *hf_keyring_key(const struct hf_keyring *r, size_t i)
{
    hf_assert(i < r->n);
    return r->keys[i];
}

const uint8_t *hf_keyring_id(const struct hf_keyring *r, size_t i)
{
    hf_assert(i < r->n);
    return r->ids[i];
}

void hf_keyring_id_text(const struct hf_keyring *r, size_t i, char out[HF_KEY_ID_TEXT])
{
    sodium_bin2hex(out, HF_KEY_ID_TEXT, hf_keyring_id(r, i), HF_KEY_ID);
}

const uint8_t *hf_keyring_find(const struct hf_keyring *r, const char *id)
{
    for (size_t i = 0; i < r->n; i++) {
        char text[HF_KEY_ID_TEXT];
        hf_keyring_id_text(r, i, text);
        if (strcmp(text, id) == 0)
            return r->keys[i];
    }
    return NULL;
}

void hf_keyring_ids(const struct hf_keyring *r, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < r->n && len + HF_KEY_ID_TEXT + 2 < size; i++) {
        char text[HF_KEY_ID_TEXT];
        hf_keyring_id_text(r, i, text);
        len += (size_t)snprintf(out + len, size - len, "%s%s", i == 0 ? "" : ", ", text);
    }
}

enum hf_code hf_keyring_generate(char text[HF_KEY_TEXT], char id[HF_KEY_ID_TEXT],
                                 struct hf_err *err)
{
    uint8_t key[HF_KEY_BYTES];
    uint8_t raw_id[HF_KEY_ID];
    HF_TRY(init_library(err));
    randombytes_buf(key, sizeof(key));
    id_of(key, raw_id);
    sodium_bin2base64(text, HF_KEY_TEXT, key, sizeof(key), sodium_base64_VARIANT_ORIGINAL);
    sodium_bin2hex(id, HF_KEY_ID_TEXT, raw_id, sizeof(raw_id));
    sodium_memzero(key, sizeof(key));
    return HF_OK;
}
