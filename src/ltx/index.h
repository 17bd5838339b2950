/*
 * Reads the page index of an LTX file given random access: which byte range holds which page.
 *
 * For reading single pages out of a large file in a store. Two reads for most files: the last
 * 32 KiB, and the rest of the index if it is longer; memory is one such piece whatever the size.
 * The index is checked for form (pages ascending, frames back to back from the header to the
 * index), not against the file checksum: that needs the whole file. One call, one thread.
 *
 *   per page: varint pgno, varint offset, varint size … | 0 | u64 index size | trailer (16)
 */
#ifndef HF_LTX_INDEX_H
#define HF_LTX_INDEX_H

#include "ltx/ltx.h"

/* A file that can be read anywhere. read() fills exactly len bytes or fails. */
struct hf_random {
    enum hf_code (*read)(void *arg, uint64_t offset, void *buf, size_t len, struct hf_err *err);
    void *arg;
    uint64_t size;    /* bytes of the file */
    const char *name; /* for error texts */
};

struct hf_ltx_index_entry {
    uint32_t pgno;
    uint64_t offset; /* of the page header in the file */
    uint64_t size;   /* page header, size word or frame, and payload */
};

/* Gets each page in ascending order; what it returns other than HF_OK ends the reading. */
typedef enum hf_code hf_ltx_index_fn(void *arg, const struct hf_ltx_index_entry *entry,
                                     struct hf_err *err);

/* HF_E_CORRUPT with name and offset if it is not an index. *entries (may be NULL): how many. */
HF_MUST enum hf_code hf_ltx_index_read(struct hf_random in, hf_ltx_index_fn *fn, void *arg,
                                       uint64_t *entries, struct hf_err *err);

#endif
