#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum { BLOCK_MIN = 64, BLOCK_MAX = 64 * 1024, ALIGN = 16 };

struct block {
    struct block *next;
    size_t used;
    size_t size;
    size_t pad; /* keeps data aligned to ALIGN */
    uint8_t data[];
};

struct hf_arena {
    struct block *head; /* the one being filled; older ones behind it */
    size_t next_size;
};

_Static_assert(offsetof(struct block, data) % ALIGN == 0, "pieces are aligned");

struct hf_arena *hf_arena_new(size_t first_block)
{
    hf_assert(first_block >= BLOCK_MIN);
    struct hf_arena *a = hf_calloc(1, sizeof(*a));
    a->next_size = first_block;
    return a;
}

void hf_arena_free(struct hf_arena *a)
{
    if (a == NULL)
        return;
    for (struct block *b = a->head; b != NULL;) {
        struct block *next = b->next;
        hf_free(b);
        b = next;
    }
    hf_free(a);
}

static struct block *block_new(size_t size)
{
    struct block *b = hf_calloc(1, offsetof(struct block, data) + size);
    b->size = size;
    return b;
}

void *hf_arena_alloc(struct hf_arena *a, size_t n, size_t size)
{
    hf_assert(size == 0 || n <= (SIZE_MAX / 4) / size);
    size_t want = (n * size + ALIGN - 1) / ALIGN * ALIGN;
    struct block *b = a->head;
    if (b == NULL || want > b->size - b->used) {
        size_t block_size = want > a->next_size ? want : a->next_size;
        b = block_new(block_size);
        b->next = a->head;
        a->head = b;
        if (a->next_size < BLOCK_MAX)
            a->next_size *= 2;
    }
    void *p = b->data + b->used;
    b->used += want;
    hf_assert(b->used <= b->size);
    return p;
}

char *hf_arena_strdup(struct hf_arena *a, const char *s)
{
    return hf_arena_strndup(a, s, strlen(s));
}

char *hf_arena_strndup(struct hf_arena *a, const char *s, size_t len)
{
    hf_assert(len < SIZE_MAX);
    char *copy = hf_arena_alloc(a, len + 1, 1);
    memcpy(copy, s, len);
    return copy;
}

char *hf_arena_printf(struct hf_arena *a, const char *fmt, ...)
{
    va_list ap;
    hf_assert(fmt != NULL);
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    hf_assert(n >= 0);
    char *s = hf_arena_alloc(a, (size_t)n + 1, 1);
    va_start(ap, fmt);
    vsnprintf(s, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return s;
}
