#include "store/seal.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

static const char magic[] = "HFSEALED";

enum { AT_VERSION = 8, AT_FLAGS = 9, AT_ZERO = 10, AT_ID = 16, AT_STREAM = 24, VERSION = 1 };

_Static_assert(sizeof(magic) - 1 == HF_SEAL_MAGIC, "the magic has no NUL");
_Static_assert(HF_KEY_BYTES == crypto_secretstream_xchacha20poly1305_KEYBYTES,
               "keys are secretstream's");
_Static_assert(AT_STREAM + crypto_secretstream_xchacha20poly1305_HEADERBYTES == HF_SEAL_HEADER,
               "the header ends with secretstream's");

uint64_t hf_seal_size(uint64_t plain)
{
    uint64_t chunks = plain == 0 ? 1 : (plain - 1) / HF_SEAL_CHUNK + 1;
    return HF_SEAL_HEADER + plain + chunks * HF_SEAL_EXTRA;
}

uint64_t hf_seal_plain_size(uint64_t sealed)
{
    const uint64_t full = HF_SEAL_CHUNK + HF_SEAL_EXTRA;
    if (sealed < HF_SEAL_HEADER + HF_SEAL_EXTRA)
        return UINT64_MAX;
    uint64_t body = sealed - HF_SEAL_HEADER;
    uint64_t chunks = (body - 1) / full + 1;
    uint64_t last = body - (chunks - 1) * full;
    if (last < HF_SEAL_EXTRA || (chunks > 1 && last == HF_SEAL_EXTRA))
        return UINT64_MAX;
    return body - chunks * HF_SEAL_EXTRA;
}

bool hf_seal_is_sealed(const void *data, size_t len)
{
    return len >= HF_SEAL_MAGIC && memcmp(data, magic, HF_SEAL_MAGIC) == 0;
}

void hf_seal_key_id(const uint8_t header[HF_SEAL_HEADER], char out[HF_KEY_ID_TEXT])
{
    sodium_bin2hex(out, HF_KEY_ID_TEXT, header + AT_ID, HF_KEY_ID);
}

/* Lengths go first: no two pairs of name and path give the same bytes. */
static void hash_text(crypto_generichash_state *h, const char *text)
{
    uint8_t len[4];
    hf_put_be32(len, (uint32_t)strlen(text));
    crypto_generichash_update(h, len, sizeof(len));
    crypto_generichash_update(h, (const uint8_t *)text, strlen(text));
}

static void bind(struct hf_seal *s, const struct hf_seal_subject *what, const uint8_t *header)
{
    crypto_generichash_state h;
    bool is_bound = (header[AT_FLAGS] & HF_SEAL_PATH_BOUND) != 0;
    crypto_generichash_init(&h, NULL, 0, sizeof(s->binding));
    crypto_generichash_update(&h, header, AT_STREAM);
    hash_text(&h, what->name);
    hash_text(&h, is_bound ? what->path : "");
    crypto_generichash_final(&h, s->binding, sizeof(s->binding));
    s->is_first = true;
    s->is_over = false;
}

void hf_seal_begin(struct hf_seal *s, const struct hf_seal_subject *what,
                   const uint8_t id[HF_KEY_ID], uint8_t flags, uint8_t header[HF_SEAL_HEADER])
{
    hf_assert((flags & ~HF_SEAL_PATH_BOUND) == 0);
    memset(header, 0, HF_SEAL_HEADER);
    memcpy(header, magic, HF_SEAL_MAGIC);
    header[AT_VERSION] = VERSION;
    header[AT_FLAGS] = flags;
    memcpy(header + AT_ID, id, HF_KEY_ID);
    crypto_secretstream_xchacha20poly1305_init_push(&s->state, header + AT_STREAM, what->key);
    bind(s, what, header);
}

void hf_seal_chunk(struct hf_seal *s, const void *data, size_t len, bool is_last, uint8_t *out)
{
    hf_assert(!s->is_over && (is_last ? len <= HF_SEAL_CHUNK : len == HF_SEAL_CHUNK));
    hf_assert(len > 0 || s->is_first);
    uint8_t tag = is_last ? crypto_secretstream_xchacha20poly1305_TAG_FINAL : 0;
    crypto_secretstream_xchacha20poly1305_push(&s->state, out, NULL, data, len,
                                               s->is_first ? s->binding : NULL,
                                               s->is_first ? sizeof(s->binding) : 0, tag);
    s->is_first = false;
    s->is_over = is_last;
}

enum hf_code hf_seal_open(struct hf_seal *s, const struct hf_seal_subject *what,
                          const uint8_t header[HF_SEAL_HEADER], struct hf_err *err)
{
    hf_assert(hf_seal_is_sealed(header, HF_SEAL_HEADER));
    if (header[AT_VERSION] != VERSION || (header[AT_FLAGS] & ~HF_SEAL_PATH_BOUND) != 0) {
        hf_err_set(err, HF_E_UNSUPPORTED, "encrypted in form %u, flags %u: not known here",
                   header[AT_VERSION], header[AT_FLAGS]);
        hf_err_hint(err, "a newer holdfast wrote it");
        return HF_E_UNSUPPORTED;
    }
    crypto_secretstream_xchacha20poly1305_init_pull(&s->state, header + AT_STREAM, what->key);
    bind(s, what, header);
    return HF_OK;
}

/* Which of the ways it was damaged in can't be told: none of them opens. */
static enum hf_code refused(const struct hf_seal *s, struct hf_err *err)
{
    hf_err_set(err, HF_E_CORRUPT, "does not decrypt: %s",
               s->is_first ? "changed, cut short, or another object under this name"
                           : "a part of it was changed, moved or left out, or it is cut short");
    return HF_E_CORRUPT;
}

static enum hf_code cut(struct hf_err *err)
{
    return hf_err_set(err, HF_E_CORRUPT, "does not decrypt: cut short, its end is missing");
}

enum hf_code hf_seal_open_chunk(struct hf_seal *s, const uint8_t *data, size_t len, uint8_t *out,
                                struct hf_err *err)
{
    unsigned char tag = 0;
    bool is_full = len == HF_SEAL_CHUNK + HF_SEAL_EXTRA;
    bool may_be = len > HF_SEAL_EXTRA || (len == HF_SEAL_EXTRA && s->is_first);
    hf_assert(!s->is_over && len <= HF_SEAL_CHUNK + HF_SEAL_EXTRA);
    if (!may_be)
        return cut(err);
    int rc = crypto_secretstream_xchacha20poly1305_pull(&s->state, out, NULL, &tag, data, len,
                                                        s->is_first ? s->binding : NULL,
                                                        s->is_first ? sizeof(s->binding) : 0);
    if (rc != 0)
        return refused(s, err);
    s->is_first = false;
    s->is_over = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
    if (!s->is_over && !is_full)
        return cut(err);
    return HF_OK;
}
