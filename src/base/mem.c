#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static void *checked(void *p, size_t size)
{
    if (p != NULL || size == 0)
        return p;
    fprintf(stderr, "holdfast: out of memory (%zu bytes wanted)\n", size);
    abort();
}

void *hf_malloc(size_t size)
{
    return checked(malloc(size), size);
}

void *hf_calloc(size_t n, size_t size)
{
    return checked(calloc(n, size), n * size);
}

void *hf_realloc(void *p, size_t n, size_t size)
{
    hf_assert(size == 0 || n <= SIZE_MAX / size);
    return checked(realloc(p, n * size), n * size);
}

char *hf_strdup(const char *s)
{
    return hf_strndup(s, strlen(s));
}

char *hf_strndup(const char *s, size_t len)
{
    char *copy = hf_malloc(len + 1);
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *hf_asprintf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    hf_assert(n >= 0);
    char *s = hf_malloc((size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(s, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return s;
}

void hf_free(void *p)
{
    free(p);
}

void hf_free_auto(void *pp)
{
    void *p;
    memcpy(&p, pp, sizeof(p));
    free(p);
}

void *hf_steal(void *pp)
{
    void *p;
    void *none = NULL;
    memcpy(&p, pp, sizeof(p));
    memcpy(pp, &none, sizeof(none));
    return p;
}

void hf_wipe(void *p, size_t len)
{
    volatile unsigned char *b = p;
    while (len > 0)
        b[--len] = 0;
}

static char *append(char *out, const char *s, size_t len)
{
    memcpy(out, s, len);
    return out + len;
}

char *hf_concat(const char *a, const char *b, const char *c)
{
    size_t na = strlen(a), nb = strlen(b), nc = strlen(c);
    char *out = hf_malloc(na + nb + nc + 1);
    *append(append(append(out, a, na), b, nb), c, nc) = '\0';
    return out;
}
