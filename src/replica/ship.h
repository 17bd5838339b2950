/*
 * Turns what capture collected into one LTX file of the replica: encode, compress, put.
 *
 * Runs on a worker thread; everything it needs is in the arguments. Small files go up in one put,
 * large ones are streamed. Names are created, never overwritten: HF_E_EXISTS means that another
 * writer took this TXID.
 */
#ifndef HF_REPLICA_SHIP_H
#define HF_REPLICA_SHIP_H

#include "replica/replica.h"
#include "sqlite/capture.h"

/* Fills the header of the L0 file of a batch: min = max = txid, WAL fields from its positions. */
void hf_ship_header(const struct hf_batch *batch, uint64_t txid, int64_t now_ms,
                    struct hf_ltx_header *h);

struct hf_ship {
    struct hf_replica *replica;
    enum hf_ltx_form form;
    const char *wal_path;  /* for pages that are references into the log */
    const char *spill_dir; /* see hf_ltx_encoder_new */
    /* What came before can't be continued (another page size, a damaged replica): a complete image
     * goes to the snapshot level as 1..txid, and everything later follows from it. */
    bool is_new_chain;
    uint64_t min_txid; /* where the file begins, if others took TXIDs in between; 0: at its TXID */
};

/* The level the file of a ship belongs to; sets the header's min TXID for a new chain. */
int hf_ship_level(const struct hf_ship *s, struct hf_ltx_header *h);

/* Sorts the batch's pages. bytes (out): size of the file. The batch stays the caller's: after a
 * failure the same call may be made again. */
HF_MUST enum hf_code hf_ship_batch(const struct hf_ship *s, struct hf_batch *batch, uint64_t txid,
                                   uint64_t *bytes, struct hf_err *err);

/* Feeds a sorted batch's pages to an encoder; only wal_path of s is used. */
HF_MUST enum hf_code hf_ship_encode_pages(const struct hf_ship *s, const struct hf_batch *batch,
                                          struct hf_ltx_encoder *e, struct hf_err *err);

#endif
