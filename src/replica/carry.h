/*
 * Carries a chain of LTX files from one replica to another as one file.
 *
 * How a destination gets what it lacks: from the local spool (several L0 files become one when it
 * is behind), or from another destination when the spool no longer leads there. TXIDs name the same
 * states in every destination of a database, so what leads from p to q in one does so in all.
 *
 * Worker threads; blocking; memory: one merge, and 4 MiB for what goes up in one put.
 */
#ifndef HF_REPLICA_CARRY_H
#define HF_REPLICA_CARRY_H

#include "replica/replica.h"

struct hf_carry {
    struct hf_replica *from;
    const struct hf_ltx_list
        *chain;        /* contiguous, oldest first; begins at position + 1 or before */
    uint64_t position; /* where the destination stands; 0 = nothing */
    struct hf_replica *to;
    enum hf_ltx_form form;
    const char *spill_dir;
};

/* Writes L0 [position+1, max], or, of a chain that begins at TXID 1, the snapshot 1..max in L9 (the
 * first file of a new database, 1-1, stays L0). A single file keeps its header. out: what was
 * written; bytes: its size. HF_E_EXISTS: the name is taken. */
HF_MUST enum hf_code hf_carry_run(const struct hf_carry *c, struct hf_ltx_header *out,
                                  uint64_t *bytes, struct hf_err *err);

/* The header of a file of r that ends at txid; HF_E_NOT_FOUND if none does. */
HF_MUST enum hf_code hf_carry_head_at(struct hf_replica *r, uint64_t txid, struct hf_ltx_header *h,
                                      struct hf_err *err);

/* True if two files that end at one TXID come from one history: the time of its last commit, to the
 * millisecond, page size and pages are the same. */
bool hf_carry_is_same(const struct hf_ltx_header *a, const struct hf_ltx_header *b);

#endif
