/*
 * Heap memory. Out of memory aborts (CONVENTIONS: sizes from outside are limited first), so no
 * caller checks for NULL. The only place that calls malloc. Any thread.
 */
#ifndef HF_BASE_MEM_H
#define HF_BASE_MEM_H

#include <stddef.h>

#include "base/attr.h"

HF_MUST void *hf_malloc(size_t size);
/* Zeroed; n * size is checked for overflow. */
HF_MUST void *hf_calloc(size_t n, size_t size);
/* p may be NULL. n * size is checked for overflow. */
HF_MUST void *hf_realloc(void *p, size_t n, size_t size);
HF_MUST char *hf_strdup(const char *s);
HF_MUST char *hf_strndup(const char *s, size_t len);
/* A string made by printf rules; the caller frees it. */
HF_MUST char *hf_asprintf(const char *fmt, ...) HF_PRINTF(1, 2);
/* The three texts as one. */
char *hf_concat(const char *a, const char *b, const char *c);
/* NULL is allowed. */
void hf_free(void *p);

/* Overwrites a secret before it is freed; not left out by the compiler. */
void hf_wipe(void *p, size_t len);

/* HF_AUTO_FREE char *s = ...; is freed at the end of its scope. */
void hf_free_auto(void *pp);
#define HF_AUTO_FREE HF_CLEANUP(hf_free_auto)

/* Takes the value out of *pp and leaves NULL: the return of an HF_AUTO_FREE variable. */
void *hf_steal(void *pp);

#endif
