/*
 * The parts of one large upload, a few under way at once: the blocks of a blob, the parts of a
 * multipart upload.
 *
 *   hf_parts_new → hf_parts_send for each part, in order → hf_parts_wait → (etags) → hf_parts_free
 *
 * The callback sends one part; it runs on threads of this, several at a time. Memory: the parts
 * under way, at most HF_LIMIT_STORE_AHEAD bytes of them or one. The functions are for the one
 * writing thread.
 */
#ifndef HF_STORE_PARTS_H
#define HF_STORE_PARTS_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "store/store.h"

struct hf_parts;

struct hf_part {
    unsigned number; /* from 0 on */
    const struct hf_buf *body;
    char etag[HF_STORE_ETAG]; /* may be set by the callback */
};

typedef enum hf_code hf_parts_fn(void *arg, struct hf_part *part, struct hf_err *err);

/* at_once: parts under way at most; fewer where they would not fit into memory. */
struct hf_parts *hf_parts_new(size_t part_size, unsigned at_once, hf_parts_fn *fn, void *arg);
enum { HF_PARTS_AT_ONCE = 4 }; /* ... and never more */
/* Takes what body holds and leaves it empty. Waits for room; the error is that of an earlier part.
 */
HF_MUST enum hf_code hf_parts_send(struct hf_parts *p, struct hf_buf *body, struct hf_err *err);
/* Until all have been sent; the error of the first that was not. */
HF_MUST enum hf_code hf_parts_wait(struct hf_parts *p, struct hf_err *err);
unsigned hf_parts_count(const struct hf_parts *p);
/* After the wait: what the callback set for part i. */
const char *hf_parts_etag(const struct hf_parts *p, unsigned i);
/* Waits for those under way. NULL is allowed. */
void hf_parts_free(struct hf_parts *p);

#endif
