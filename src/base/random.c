#include "base/random.h"

#include <string.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <sys/random.h>
#endif

#include "base/assert.h"

void hf_random_bytes(void *out, size_t len)
{
    hf_assert(len <= 256);
    hf_assert(getentropy(out, len) == 0);
}

void hf_random_name_bytes(void *out, size_t len)
{
    static _Thread_local struct {
        uint8_t bytes[256];
        size_t left;
    } block;
    hf_assert(len <= sizeof(block.bytes));
    if (block.left < len) {
        hf_random_bytes(block.bytes, sizeof(block.bytes));
        block.left = sizeof(block.bytes);
    }
    block.left -= len;
    memcpy(out, block.bytes + block.left, len);
}

uint32_t hf_random_u32(void)
{
    uint32_t v;
    hf_random_bytes(&v, sizeof(v));
    return v;
}

uint64_t hf_random_u64(void)
{
    uint64_t v;
    hf_random_bytes(&v, sizeof(v));
    return v;
}
