#include "os/heap.h"

#include <stdlib.h>
#if defined(__GLIBC__) /* known from the header above */
#include <malloc.h>
#endif

enum { HEAPS = 2, LARGE_BLOCK = 256 << 10 };

void hf_heap_setup(void)
{
#if defined(__GLIBC__)
    (void)mallopt(M_ARENA_MAX, HEAPS);
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK); /* fixed: else it grows with what is freed */
#endif
}
