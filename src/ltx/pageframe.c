#include "ltx/pageframe.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

#define PRIME1 2654435761u
#define PRIME2 2246822519u
#define PRIME3 3266489917u
#define PRIME4 668265263u
#define PRIME5 374761393u

enum {
    FLG_DICT = 0x01,
    FLG_RESERVED = 0x02,
    FLG_CONTENT_SUM = 0x04,
    FLG_CONTENT_SIZE = 0x08,
    FLG_BLOCK_SUMS = 0x10,
    FLG_INDEPENDENT = 0x20,
    FLG_VERSION = 0xc0,
    FLG_VERSION_1 = 0x40,
    BD_RESERVED = 0x8f,
};

static const uint8_t frame_magic[4] = {0x04, 0x22, 0x4d, 0x18};

static uint32_t rotl(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}

static uint32_t round32(uint32_t acc, const uint8_t *p)
{
    return rotl(acc + hf_le32(p) * PRIME2, 13) * PRIME1;
}

uint32_t hf_xxh32(const void *data, size_t len)
{
    hf_assert(data != NULL && len <= UINT32_MAX);
    const uint8_t *p = data;
    const uint8_t *end = p + len;
    uint32_t h = PRIME5;
    if (len >= 16) {
        uint32_t a = PRIME1 + PRIME2, b = PRIME2, c = 0, d = 0u - PRIME1;
        for (; end - p >= 16; p += 16) {
            a = round32(a, p);
            b = round32(b, p + 4);
            c = round32(c, p + 8);
            d = round32(d, p + 12);
        }
        h = rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18);
    }
    h += (uint32_t)len;
    for (; end - p >= 4; p += 4)
        h = rotl(h + hf_le32(p) * PRIME3, 17) * PRIME4;
    for (; p < end; p++)
        h = rotl(h + *p * PRIME5, 11) * PRIME1;
    h = (h ^ h >> 15) * PRIME2;
    h = (h ^ h >> 13) * PRIME3;
    return h ^ h >> 16;
}

size_t hf_pageframe_header_len(const uint8_t *p)
{
    return HF_PAGEFRAME_HEADER_MIN + ((p[4] & FLG_CONTENT_SIZE) != 0 ? 8u : 0u);
}

const char *hf_pageframe_parse(const uint8_t *p, struct hf_pageframe *out)
{
    size_t len = hf_pageframe_header_len(p);
    uint8_t flg = p[4];
    if (memcmp(p, frame_magic, sizeof(frame_magic)) != 0)
        return "the page's LZ4 frame has no magic";
    if ((flg & FLG_VERSION) != FLG_VERSION_1 || (flg & FLG_RESERVED) != 0 ||
        (p[5] & BD_RESERVED) != 0)
        return "the page's LZ4 frame is of an unknown version";
    if ((flg & FLG_DICT) != 0)
        return "the page's LZ4 frame wants a dictionary";
    if (p[len - 1] != (uint8_t)(hf_xxh32(p + 4, len - 5) >> 8))
        return "the checksum of the LZ4 frame's header does not match";
    *out = (struct hf_pageframe){
        .is_linked = (flg & FLG_INDEPENDENT) == 0,
        .has_block_sums = (flg & FLG_BLOCK_SUMS) != 0,
        .has_content_sum = (flg & FLG_CONTENT_SUM) != 0,
        .has_content_size = (flg & FLG_CONTENT_SIZE) != 0,
    };
    if (out->has_content_size)
        out->content_size = (uint64_t)hf_le32(p + 6) | (uint64_t)hf_le32(p + 10) << 32;
    return NULL;
}

void hf_pageframe_header_put(uint8_t out[HF_PAGEFRAME_HEADER_MIN])
{
    static const uint8_t bytes[HF_PAGEFRAME_HEADER_MIN] = {0x04, 0x22, 0x4d, 0x18,
                                                           0x64, 0x40, 0xa7};
    memcpy(out, bytes, sizeof(bytes));
}
