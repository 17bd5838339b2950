/*
 * Encrypted objects: whatever stands in one, the reader ends, writes no more than the size says,
 * and never takes for whole what was not sealed with the key. The first byte says how the rest is
 * used: as an object as it is, or as a change to a sealed one.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "store/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t key[HF_KEY_BYTES] = "an example of 32 bytes of a key";
static const struct hf_seal_subject subject = {key, "ltx/0/a.ltx", "fleet/app"};

enum { CHUNK = HF_SEAL_CHUNK + HF_SEAL_EXTRA, TEXT = HF_SEAL_CHUNK + 100 };

/* HF_OK: whole. */
static enum hf_code open_all(const uint8_t *sealed, size_t len)
{
    struct hf_seal s;
    size_t at = HF_SEAL_HEADER;
    uint8_t out[HF_SEAL_CHUNK];
    uint64_t plain = 0;
    if (len < HF_SEAL_HEADER || !hf_seal_is_sealed(sealed, len))
        return HF_E_CORRUPT;
    HF_TRY(hf_seal_open(&s, &subject, sealed, NULL));
    while (!s.is_over) {
        size_t n = len - at < CHUNK ? len - at : CHUNK;
        HF_TRY(hf_seal_open_chunk(&s, sealed + at, n, out, NULL));
        plain += n - HF_SEAL_EXTRA;
        at += n;
    }
    hf_assert(at < len || plain == hf_seal_plain_size(len));
    return at == len ? HF_OK : HF_E_CORRUPT;
}

static uint8_t *make(size_t *len)
{
    static const uint8_t id[HF_KEY_ID] = "exampleI";
    struct hf_seal s;
    uint8_t *text = hf_calloc(1, TEXT);
    uint8_t *out = hf_malloc((size_t)hf_seal_size(TEXT));
    hf_seal_begin(&s, &subject, id, 0, out);
    hf_seal_chunk(&s, text, HF_SEAL_CHUNK, false, out + HF_SEAL_HEADER);
    hf_seal_chunk(&s, text, TEXT - HF_SEAL_CHUNK, true, out + HF_SEAL_HEADER + CHUNK);
    hf_free(text);
    *len = (size_t)hf_seal_size(TEXT);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t len = 0;
    if (size == 0)
        return 0;
    if (data[0] % 2 == 0) {
        hf_assert(open_all(data + 1, size - 1) != HF_OK);
        return 0;
    }
    /* XOR the bytes that follow into it at an offset, or cut it. */
    HF_AUTO_FREE uint8_t *sealed = make(&len);
    size_t at = size >= 3 ? ((size_t)data[1] << 8 | data[2]) % len : 0;
    bool is_changed = false;
    for (size_t i = 3; i < size && at + i - 3 < len; i++) {
        sealed[at + i - 3] ^= data[i];
        is_changed = is_changed || data[i] != 0;
    }
    size_t cut = size == 3 ? at : len;
    hf_assert((open_all(sealed, cut) == HF_OK) == (!is_changed && cut == len));
    return 0;
}
