#include "base/random.h"

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
