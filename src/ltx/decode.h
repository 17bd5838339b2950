/*
 * Reads one LTX file, streaming, in either page form, and verifies everything it passes: header,
 * order, page sizes, index, index size, file checksum, and that nothing follows the trailer.
 *
 * Memory is one page, one compressed page and a read buffer, whatever the size of the file. All
 * errors are HF_E_CORRUPT with the source's name and the byte offset. One decoder, one thread.
 *
 *   hf_ltx_decoder_new (reads the header) → hf_ltx_decoder_next … until *pgno == 0 → _free
 */
#ifndef HF_LTX_DECODE_H
#define HF_LTX_DECODE_H

#include "ltx/ltx.h"

struct hf_ltx_decoder;

HF_MUST enum hf_code hf_ltx_decoder_new(struct hf_source source, struct hf_ltx_decoder **out,
                                        struct hf_err *err);
/* The same with a read buffer of read_ahead bytes (at least one page frame): for many at once. */
HF_MUST enum hf_code hf_ltx_decoder_new_sized(struct hf_source source, size_t read_ahead,
                                              struct hf_ltx_decoder **out, struct hf_err *err);
const struct hf_ltx_header *hf_ltx_decoder_header(const struct hf_ltx_decoder *d);

struct hf_ltx_page {
    uint32_t pgno;        /* 0: the end was reached and the whole file verified */
    const uint8_t *data;  /* page_size bytes, valid until the next call */
    const uint8_t *block; /* the LZ4 block as stored; NULL if the page was stored raw in a frame */
    size_t block_len;
};

/* The next page. After pgno 0 has been returned the trailer is available. */
HF_MUST enum hf_code hf_ltx_decoder_next(struct hf_ltx_decoder *d, struct hf_ltx_page *page,
                                         struct hf_err *err);
/* Only after the end was reached. */
struct hf_ltx_trailer hf_ltx_decoder_trailer(const struct hf_ltx_decoder *d);
/* The form of the first page (block form if the file has no page). After the first _next. */
enum hf_ltx_form hf_ltx_decoder_form(const struct hf_ltx_decoder *d);
/* Bytes read so far. */
uint64_t hf_ltx_decoder_offset(const struct hf_ltx_decoder *d);
void hf_ltx_decoder_free(struct hf_ltx_decoder *d);

/* Reads to the end: the verification of one file. header and trailer may be NULL. */
HF_MUST enum hf_code hf_ltx_verify(struct hf_source source, struct hf_ltx_header *header,
                                   struct hf_ltx_trailer *trailer, struct hf_err *err);

#endif
