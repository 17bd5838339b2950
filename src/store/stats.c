#include "store/stats.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"

struct counter {
    atomic_uint_fast64_t calls;
    atomic_uint_fast64_t errors;
    atomic_uint_fast64_t bytes;
    atomic_uint_fast64_t ns;
};

static struct {
    _Atomic(const char *) type; /* set once; the first free one is taken */
    struct counter ops[HF_STORE_OPS];
} table[HF_STORE_TYPES];

/* NULL when there are more types than places. */
static struct counter *find(const char *type, enum hf_store_op op)
{
    for (size_t i = 0; i < HF_STORE_TYPES; i++) {
        const char *is = atomic_load(&table[i].type);
        if (is == NULL && atomic_compare_exchange_strong(&table[i].type, &is, type))
            is = type;
        if (strcmp(is, type) == 0)
            return &table[i].ops[op];
    }
    return NULL;
}

void hf_store_stats_note(const char *type, enum hf_store_op op, uint64_t begin_ns, enum hf_code rc)
{
    struct counter *c = find(type, op);
    if (c == NULL)
        return;
    bool is_answer =
        rc == HF_OK || rc == HF_E_NOT_FOUND || rc == HF_E_EXISTS || rc == HF_E_CANCELED;
    atomic_fetch_add(&c->calls, 1);
    atomic_fetch_add(&c->errors, is_answer ? 0 : 1);
    atomic_fetch_add(&c->ns, hf_clock_mono_ns() - begin_ns);
}

void hf_store_stats_bytes(const char *type, enum hf_store_op op, uint64_t bytes)
{
    struct counter *c = find(type, op);
    if (c != NULL)
        atomic_fetch_add(&c->bytes, bytes);
}

size_t hf_store_stats(struct hf_store_count out[HF_STORE_COUNTS])
{
    static const char *const words[HF_STORE_OPS] = {"PUT", "GET", "HEAD", "LIST", "DELETE"};
    size_t n = 0;
    for (size_t i = 0; i < HF_STORE_TYPES; i++) {
        const char *type = atomic_load(&table[i].type);
        for (size_t op = 0; type != NULL && op < HF_STORE_OPS; op++) {
            const struct counter *c = &table[i].ops[op];
            if (atomic_load(&c->calls) == 0)
                continue;
            out[n++] = (struct hf_store_count){type,
                                               words[op],
                                               atomic_load(&c->calls),
                                               atomic_load(&c->errors),
                                               atomic_load(&c->bytes),
                                               atomic_load(&c->ns)};
        }
    }
    return n;
}
