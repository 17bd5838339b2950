/*
 * K-way merge of LTX files that follow each other: for each page the newest image, pages beyond the
 * last commit dropped. What compaction, snapshots and restore run on.
 *
 * Inputs are given oldest first and must be contiguous (next.min <= prev.max + 1, next.max >
 * prev.max) and of one page size, otherwise HF_E_CORRUPT. Every input is verified to its end. A
 * heap over the inputs' current pages; memory = one decoder an input. One thread.
 */
#ifndef HF_LTX_MERGE_H
#define HF_LTX_MERGE_H

#include "ltx/decode.h"

struct hf_ltx_merge;

/* Opens n >= 1 sources (each is read from its start). header (out): page size and min TXID of the
 * first, commit, max TXID and timestamp of the last, WAL fields 0, flags 2. The sources' args must
 * outlive the merge. */
HF_MUST enum hf_code hf_ltx_merge_new(const struct hf_source *sources, size_t n,
                                      struct hf_ltx_merge **out, struct hf_ltx_header *header,
                                      struct hf_err *err);
/* The next page in ascending order; pgno 0 at the end, when every input has been verified. */
HF_MUST enum hf_code hf_ltx_merge_next(struct hf_ltx_merge *m, struct hf_ltx_page *page,
                                       struct hf_err *err);
void hf_ltx_merge_free(struct hf_ltx_merge *m);

#endif
