/*
 * Writes one LTX file, streaming: pages go in in ascending order, bytes come out at the sink.
 *
 * Memory does not depend on the number of pages: the page index beyond HF_LIMIT_SPILL_INDEX bytes
 * goes to an unnamed file in spill_dir. One encoder belongs to one thread.
 *
 *   hf_ltx_encoder_new → hf_ltx_encoder_page … → hf_ltx_encoder_finish → hf_ltx_encoder_free
 */
#ifndef HF_LTX_ENCODE_H
#define HF_LTX_ENCODE_H

#include "ltx/ltx.h"

struct hf_ltx_encoder;

/* Checks the header (HF_E_INVALID; also if flags is not 2 or commit is 0) and writes it to the
 * sink. spill_dir: an existing directory, NULL = TMPDIR or /tmp. sink is copied, what it points to
 * must outlive the encoder. The sink gets bytes from time to time, all of them by _finish. */
HF_MUST enum hf_code hf_ltx_encoder_new(const struct hf_ltx_header *header, enum hf_ltx_form form,
                                        struct hf_sink sink, const char *spill_dir,
                                        struct hf_ltx_encoder **out, struct hf_err *err);
/* page: page_size bytes. HF_E_INVALID if pgno is not above the last one, is the lock page, or is
 * past commit; for a snapshot (min TXID 1) also if a page is left out. */
HF_MUST enum hf_code hf_ltx_encoder_page(struct hf_ltx_encoder *e, uint32_t pgno, const void *page,
                                         struct hf_err *err);
/* The same with the payload already compressed (LZ4 block of exactly this page; page is still
 * needed for the checksum; not checked against each other). Frame form wraps it. For merging
 * without compressing again. block NULL: the same as hf_ltx_encoder_page. */
HF_MUST enum hf_code hf_ltx_encoder_page_lz4(struct hf_ltx_encoder *e, uint32_t pgno,
                                             const void *page, const void *block, size_t block_len,
                                             struct hf_err *err);
/* Ends the page block, writes index and trailer. *size (may be NULL): bytes written in all. */
HF_MUST enum hf_code hf_ltx_encoder_finish(struct hf_ltx_encoder *e, struct hf_ltx_trailer *trailer,
                                           uint64_t *size, struct hf_err *err);
void hf_ltx_encoder_free(struct hf_ltx_encoder *e);

/* Upper bound of the encoded size of pages pages, for buffers. */
uint64_t hf_ltx_encoded_bound(uint32_t page_size, uint64_t pages);

#endif
