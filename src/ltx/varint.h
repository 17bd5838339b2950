/*
 * The page index's integers: unsigned LEB128, seven bits a byte, low group first; and one index
 * entry made of three of them. Pure, any thread.
 */
#ifndef HF_LTX_VARINT_H
#define HF_LTX_VARINT_H

#include <stddef.h>
#include <stdint.h>

enum {
    HF_VARINT_MAX = 10,          /* bytes of a 64-bit value */
    HF_LTX_INDEX_ENTRY_MAX = 20, /* page number 5, offset 10, size 5 */
};

static inline size_t hf_varint_put(uint8_t *out, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    return n;
}

/* Bytes used; 0 if the value goes on past len or does not fit 64 bits. */
static inline size_t hf_varint_get(const uint8_t *p, size_t len, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t n = 0; n < len && n < HF_VARINT_MAX; n++) {
        if (n == HF_VARINT_MAX - 1 && p[n] > 1)
            return 0;
        v |= (uint64_t)(p[n] & 0x7f) << (7 * n);
        if (p[n] < 0x80) {
            *out = v;
            return n + 1;
        }
    }
    return 0;
}

/* Writes the entry of one page; at most HF_LTX_INDEX_ENTRY_MAX bytes. */
static inline size_t hf_ltx_index_entry_put(uint8_t *out, uint32_t pgno, uint64_t offset,
                                            uint32_t size)
{
    size_t n = hf_varint_put(out, pgno);
    n += hf_varint_put(out + n, offset);
    return n + hf_varint_put(out + n, size);
}

#endif
