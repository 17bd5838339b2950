#include "os/heap.h"

#include <stdlib.h>
#if defined(__GLIBC__) /* known from the header above */
#include <malloc.h>
#endif

enum { HEAPS = 2, LARGE_BLOCK = 256 << 10, SERVER_BLOCK = 64 << 10, SERVER_SPARE = 256 << 10 };

void hf_heap_setup(void)
{
#if defined(__GLIBC__)
    (void)mallopt(M_ARENA_MAX, HEAPS);
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK); /* fixed: else it grows with what is freed */
#endif
}

void hf_heap_for_server(void)
{
#if defined(__GLIBC__)
    (void)mallopt(M_MMAP_THRESHOLD, SERVER_BLOCK);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
    (void)mallopt(M_TOP_PAD, SERVER_SPARE);
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MXFAST, 0); /* small pieces are cached by thread anyway */
#endif
}

void hf_heap_trim(void)
{
#if defined(__GLIBC__)
    (void)malloc_trim(0);
#endif
}
