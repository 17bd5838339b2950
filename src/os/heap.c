#include "os/heap.h"

#include <stdlib.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

void hf_heap_for_server(void)
{
#if defined(__GLIBC__)
    (void)mallopt(M_MMAP_THRESHOLD, 64 << 10);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
    (void)mallopt(M_TOP_PAD, 256 << 10);
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
