/*
 * Assertions that stay in release builds.
 *
 * A failed assertion is a bug of ours, never a reaction to input from outside: it prints the
 * condition and the place to stderr and aborts. A crash is a restart that is rehearsed; a wrong
 * page is for ever. Callable from any thread.
 */
#ifndef HF_BASE_ASSERT_H
#define HF_BASE_ASSERT_H

#define hf_assert(cond) ((cond) ? (void)0 : hf_assert_failed(#cond, __FILE__, __LINE__, __func__))

/* Checks that a struct reached through void * is the one it claims to be; magic is a uint32_t. */
#define hf_assert_magic(ptr, want) hf_assert((ptr) != NULL && (ptr)->magic == (want))

_Noreturn void hf_assert_failed(const char *cond, const char *file, int line, const char *func);

#endif
