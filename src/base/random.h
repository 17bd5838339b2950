/*
 * Random bytes from the operating system (getentropy). Any thread.
 */
#ifndef HF_BASE_RANDOM_H
#define HF_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* len <= 256. Aborts if the system has no entropy source. */
void hf_random_bytes(void *out, size_t len);
uint32_t hf_random_u32(void);
uint64_t hf_random_u64(void);

/* As good, but from a block that is fetched for many at once: for names of requests and traces,
 * which are public. Not for keys: bytes of the next names lie in memory, and a fork has the same.
 * len <= 256. */
void hf_random_name_bytes(void *out, size_t len);

#endif
