/*
 * Memory of one life span: many small pieces, freed together.
 *
 * Used for a configuration, a request, a task. One owner, one thread at a time. Pieces are aligned
 * for any type and never move. Blocks grow by doubling from first_block bytes up to 64 KiB; larger
 * pieces get a block of their own.
 */
#ifndef HF_BASE_ARENA_H
#define HF_BASE_ARENA_H

#include <stddef.h>

#include "base/attr.h"

struct hf_arena;

/* first_block: bytes of the first block, 64 at least. */
HF_MUST struct hf_arena *hf_arena_new(size_t first_block);
/* NULL is allowed. */
void hf_arena_free(struct hf_arena *a);
/* Zeroed. n * size is checked for overflow. */
void *hf_arena_alloc(struct hf_arena *a, size_t n, size_t size);
char *hf_arena_strdup(struct hf_arena *a, const char *s);
char *hf_arena_strndup(struct hf_arena *a, const char *s, size_t len);
char *hf_arena_printf(struct hf_arena *a, const char *fmt, ...) HF_PRINTF(2, 3);

#endif
