/*
 * What the processor can do, beyond what the compiler was told. Any thread.
 */
#ifndef HF_OS_CPU_H
#define HF_OS_CPU_H

#include <stdbool.h>

/* Carry-less multiplication of 64-bit values: PCLMULQDQ (with SSE 4.1) or PMULL. */
bool hf_cpu_has_clmul(void);

/* One turn of a short wait on shared memory: lets the other hardware thread run. */
static inline void hf_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
