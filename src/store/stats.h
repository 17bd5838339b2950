/*
 * How often each kind of store was asked for what, since the program started: for metrics. Kept by
 * store.c, one line of counters for each store type and operation. Any thread.
 */
#ifndef HF_STORE_STATS_H
#define HF_STORE_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum hf_store_op {
    HF_STORE_OP_PUT,
    HF_STORE_OP_GET,
    HF_STORE_OP_HEAD,
    HF_STORE_OP_LIST,
    HF_STORE_OP_DELETE,
    HF_STORE_OPS
};
enum { HF_STORE_TYPES = 8, HF_STORE_COUNTS = HF_STORE_TYPES * HF_STORE_OPS };

struct hf_store_count {
    const char *type;      /* "file" */
    const char *operation; /* "PUT", "GET", "HEAD", "LIST", "DELETE" */
    uint64_t calls;
    uint64_t errors; /* but HF_E_NOT_FOUND, HF_E_EXISTS and HF_E_CANCELED, which are answers */
    uint64_t bytes;
    uint64_t ns;
};

/* type: static text, as a back end's table has it. */
void hf_store_stats_note(const char *type, enum hf_store_op op, uint64_t begin_ns, enum hf_code rc);
void hf_store_stats_bytes(const char *type, enum hf_store_op op, uint64_t bytes);
/* Those that occurred; returns how many. */
size_t hf_store_stats(struct hf_store_count out[HF_STORE_COUNTS]);

#endif
