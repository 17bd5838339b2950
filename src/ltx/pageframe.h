/*
 * The LZ4 frame around one page, as the frame form of LTX stores it: header parsing and writing,
 * and the xxHash32 that guards it. Used by encode.c and decode.c only. Pure, any thread.
 *
 *   04 22 4d 18 | FLG BD [content size u64] HC | { block size u32, block [, sum] } … | 0 u32 |
 * [sum]
 *
 * Everything is little-endian. Source: the "LZ4 Frame Format Description" 1.6 and the "xxHash fast
 * digest algorithm" specification. Written by hand rather than with LZ4F because a merge wants the
 * raw block inside, and because LZ4F copies through buffers of its own.
 */
#ifndef HF_LTX_PAGEFRAME_H
#define HF_LTX_PAGEFRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HF_PAGEFRAME_HEADER_MIN = 7,
    HF_PAGEFRAME_HEADER_MAX = 15,
    HF_PAGEFRAME_TAIL = 8, /* end mark and content checksum */
};

#define HF_PAGEFRAME_RAW 0x80000000u /* in a block's size word: stored as it is */

struct hf_pageframe {
    bool is_linked; /* blocks refer to the ones before */
    bool has_block_sums;
    bool has_content_sum;
    bool has_content_size;
    uint64_t content_size;
};

/* Length of the whole header, from its first HF_PAGEFRAME_HEADER_MIN bytes. */
size_t hf_pageframe_header_len(const uint8_t *p);
/* Parses hf_pageframe_header_len(p) bytes. NULL, or what is wrong. */
const char *hf_pageframe_parse(const uint8_t *p, struct hf_pageframe *out);
/* The 7 bytes Litestream writes: 64 KiB blocks, independent, content checksum. */
void hf_pageframe_header_put(uint8_t out[HF_PAGEFRAME_HEADER_MIN]);

uint32_t hf_xxh32(const void *data, size_t len);

#endif
