/*
 * What the processor can do, beyond what the compiler was told. Any thread.
 */
#ifndef HF_OS_CPU_H
#define HF_OS_CPU_H

#include <stdbool.h>

/* Carry-less multiplication of 64-bit values: PCLMULQDQ (with SSE 4.1) or PMULL. */
bool hf_cpu_has_clmul(void);

#endif
