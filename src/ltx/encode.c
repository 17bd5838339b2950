/*
 * Bytes are collected in one buffer that always has room for a whole page frame, so a page is
 * compressed straight to where it leaves from.
 *
 *   file checksum = CRC(header | per page: page header, size word (block form), the page itself |
 *                   six zeros | index with its zero and size | post-apply)
 *
 * The index comes after the pages in the file and in the checksum, therefore it has to be kept;
 * past HF_LIMIT_SPILL_INDEX bytes it goes to an unnamed file and is read back once at the end.
 */
#include "ltx/encode.h"

#include <stdlib.h>
#include <string.h>

#include <lz4.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "base/mem.h"
#include "ltx/crc64.h"
#include "ltx/pageframe.h"
#include "ltx/varint.h"
#include "os/file.h"

#define ENCODER_MAGIC 0x4c545865u
#define CHECK_BIT (1ull << 63)

enum {
    OUT_SIZE = 64 << 10, /* below malloc's mmap threshold: short files come and go cheaply */
    INDEX_FIRST = 256,
    BLOCK_HEAD = HF_LTX_PAGE_HEADER_SIZE + 4,
    FRAME_HEAD = HF_LTX_PAGE_HEADER_SIZE + HF_PAGEFRAME_HEADER_MIN + 4,
    FRAME_EXTRA = FRAME_HEAD + HF_PAGEFRAME_TAIL, /* the larger of the two forms */
};

enum encoder_state { ENCODER_PAGES, ENCODER_DONE, ENCODER_FAILED };

struct hf_ltx_encoder {
    uint32_t magic;
    enum encoder_state state;
    struct hf_ltx_header header;
    enum hf_ltx_form form;
    struct hf_sink sink;
    char *spill_dir;
    uint32_t last_pgno;
    uint64_t crc;
    uint64_t flushed; /* bytes the sink has got */
    uint8_t *out;
    size_t out_len;
    size_t out_cap;
    size_t frame_max;
    uint8_t *index;
    size_t index_len;
    size_t index_cap;
    uint64_t spilled; /* index bytes in spill */
    struct hf_file spill;
    void *lz4;
};

static size_t frame_max_of(uint32_t page_size)
{
    return (size_t)LZ4_compressBound((int)page_size) + FRAME_EXTRA;
}

uint64_t hf_ltx_encoded_bound(uint32_t page_size, uint64_t pages)
{
    hf_assert(hf_page_size_is_valid(page_size));
    uint64_t fixed = HF_LTX_HEADER_SIZE + HF_LTX_PAGE_HEADER_SIZE + 1 + 8 + HF_LTX_TRAILER_SIZE;
    return fixed + pages * (frame_max_of(page_size) + HF_LTX_INDEX_ENTRY_MAX);
}

static enum hf_code flush(struct hf_ltx_encoder *e, struct hf_err *err)
{
    if (e->out_len == 0)
        return HF_OK;
    HF_TRY(e->sink.write(e->sink.arg, e->out, e->out_len, err));
    e->flushed += e->out_len;
    e->out_len = 0;
    return HF_OK;
}

/* Small pieces: appends, and counts them into the file checksum. */
static enum hf_code put_summed(struct hf_ltx_encoder *e, const void *data, size_t len,
                               struct hf_err *err)
{
    hf_assert(len <= e->out_cap);
    if (e->out_cap - e->out_len < len)
        HF_TRY(flush(e, err));
    memcpy(e->out + e->out_len, data, len);
    e->crc = hf_crc64(e->crc, data, len);
    e->out_len += len;
    return HF_OK;
}

enum hf_code hf_ltx_encoder_new(const struct hf_ltx_header *header, enum hf_ltx_form form,
                                struct hf_sink sink, const char *spill_dir,
                                struct hf_ltx_encoder **out, struct hf_err *err)
{
    hf_assert(header != NULL && sink.write != NULL && out != NULL);
    hf_assert(form == HF_LTX_FORM_FRAME || form == HF_LTX_FORM_BLOCK);
    HF_TRY(hf_ltx_header_check(header, err));
    if (header->flags != HF_LTX_FLAG_NO_CHECKSUM)
        return hf_err_set(err, HF_E_INVALID, "LTX header: flags must be 2 (no checksum)");
    if (header->commit == 0)
        return hf_err_set(err, HF_E_INVALID, "LTX header: a database of 0 pages has no file");
    struct hf_ltx_encoder *e = hf_calloc(1, sizeof(*e));
    *e = (struct hf_ltx_encoder){
        .magic = ENCODER_MAGIC,
        .header = *header,
        .form = form,
        .sink = sink,
        .spill_dir = spill_dir != NULL ? hf_strdup(spill_dir) : NULL,
        .frame_max = frame_max_of(header->page_size),
        .spill = HF_FILE_CLOSED,
    };
    e->out_cap = e->frame_max > OUT_SIZE ? e->frame_max : OUT_SIZE;
    e->out = hf_malloc(e->out_cap);
    e->lz4 = hf_malloc((size_t)LZ4_sizeofState());
    uint8_t packed[HF_LTX_HEADER_SIZE];
    hf_ltx_header_pack(header, packed);
    enum hf_code rc = put_summed(e, packed, sizeof(packed), err);
    hf_assert(rc == HF_OK); /* the buffer is empty and larger */
    *out = e;
    return HF_OK;
}

static enum hf_code check_pgno(const struct hf_ltx_encoder *e, uint32_t pgno, struct hf_err *err)
{
    uint32_t lock = hf_lock_page(e->header.page_size);
    if (pgno <= e->last_pgno)
        return hf_err_set(err, HF_E_INVALID, "page %u after page %u: not ascending", pgno,
                          e->last_pgno);
    if (pgno > e->header.commit)
        return hf_err_set(err, HF_E_INVALID, "page %u is beyond the %u pages of the database", pgno,
                          e->header.commit);
    if (pgno == lock)
        return hf_err_set(err, HF_E_INVALID, "page %u is the lock page", pgno);
    uint32_t next = e->last_pgno + 1 == lock ? lock + 1 : e->last_pgno + 1;
    if (e->header.min_txid == 1 && pgno != next)
        return hf_err_set(err, HF_E_INVALID, "page %u of a snapshot is missing (next is %u)", next,
                          pgno);
    return HF_OK;
}

static enum hf_code spill_index(struct hf_ltx_encoder *e, struct hf_err *err)
{
    if (e->spill.fd < 0) {
        const char *dir = e->spill_dir != NULL ? e->spill_dir : getenv("TMPDIR");
        HF_TRY(hf_file_open_temp(dir != NULL && dir[0] != '\0' ? dir : "/tmp", &e->spill, err));
    }
    HF_TRY(hf_file_write_at(&e->spill, e->index, e->index_len, e->spilled, err));
    e->spilled += e->index_len;
    e->index_len = 0;
    return HF_OK;
}

static enum hf_code index_room(struct hf_ltx_encoder *e, struct hf_err *err)
{
    if (e->index_cap - e->index_len >= HF_LTX_INDEX_ENTRY_MAX)
        return HF_OK;
    if (e->index_cap >= HF_LIMIT_SPILL_INDEX)
        return spill_index(e, err);
    e->index_cap = e->index_cap == 0 ? INDEX_FIRST : e->index_cap * 2;
    e->index = hf_realloc(e->index, e->index_cap, 1);
    return HF_OK;
}

/* Compresses (block == NULL) or copies into dst; the length. */
static size_t put_payload(struct hf_ltx_encoder *e, uint8_t *dst, const void *page,
                          const void *block, size_t block_len)
{
    int size = (int)e->header.page_size;
    if (block != NULL) {
        memcpy(dst, block, block_len);
        return block_len;
    }
    int n = LZ4_compress_fast_extState(e->lz4, page, (char *)dst, size, LZ4_compressBound(size), 1);
    hf_assert(n > 0); /* cannot fail within the bound */
    return (size_t)n;
}

/* Writes the frame behind out_len; its length. head_len: what of it counts into the checksum. */
static size_t put_block_form(struct hf_ltx_encoder *e, uint8_t *p, const void *page,
                             const void *block, size_t block_len)
{
    hf_put_be16(p + 4, 1);
    size_t n = put_payload(e, p + BLOCK_HEAD, page, block, block_len);
    hf_put_be32(p + HF_LTX_PAGE_HEADER_SIZE, (uint32_t)n);
    return BLOCK_HEAD + n;
}

static size_t put_frame_form(struct hf_ltx_encoder *e, uint8_t *p, const void *page,
                             const void *block, size_t block_len)
{
    uint32_t size = e->header.page_size;
    hf_put_be16(p + 4, 0);
    hf_pageframe_header_put(p + HF_LTX_PAGE_HEADER_SIZE);
    size_t n = put_payload(e, p + FRAME_HEAD, page, block, block_len);
    uint32_t word = (uint32_t)n;
    if (n >= size) { /* a frame's block may not exceed its maximum, 64 KiB: stored raw */
        memcpy(p + FRAME_HEAD, page, size);
        n = size;
        word = size | HF_PAGEFRAME_RAW;
    }
    hf_put_le32(p + FRAME_HEAD - 4, word);
    hf_put_le32(p + FRAME_HEAD + n, 0);
    hf_put_le32(p + FRAME_HEAD + n + 4, hf_xxh32(page, size));
    return FRAME_HEAD + n + HF_PAGEFRAME_TAIL;
}

static enum hf_code put_page(struct hf_ltx_encoder *e, uint32_t pgno, const void *page,
                             const void *block, size_t block_len, struct hf_err *err)
{
    HF_TRY(check_pgno(e, pgno, err));
    HF_TRY(index_room(e, err));
    if (e->out_cap - e->out_len < e->frame_max)
        HF_TRY(flush(e, err));
    uint8_t *p = e->out + e->out_len;
    uint64_t offset = e->flushed + e->out_len;
    bool is_block = e->form == HF_LTX_FORM_BLOCK;
    hf_put_be32(p, pgno);
    size_t len = is_block ? put_block_form(e, p, page, block, block_len)
                          : put_frame_form(e, p, page, block, block_len);
    hf_assert(len <= e->frame_max);
    e->crc = hf_crc64(e->crc, p, is_block ? BLOCK_HEAD : HF_LTX_PAGE_HEADER_SIZE);
    e->crc = hf_crc64(e->crc, page, e->header.page_size);
    e->out_len += len;
    e->index_len += hf_ltx_index_entry_put(e->index + e->index_len, pgno, offset, (uint32_t)len);
    e->last_pgno = pgno;
    return HF_OK;
}

enum hf_code hf_ltx_encoder_page_lz4(struct hf_ltx_encoder *e, uint32_t pgno, const void *page,
                                     const void *block, size_t block_len, struct hf_err *err)
{
    hf_assert_magic(e, ENCODER_MAGIC);
    hf_assert(page != NULL && e->state != ENCODER_DONE);
    hf_assert(block == NULL || (block_len > 0 && block_len + FRAME_EXTRA <= e->frame_max));
    if (e->state == ENCODER_FAILED)
        return hf_err_set(err, HF_E_INTERNAL, "the LTX encoder has failed before");
    enum hf_code rc = put_page(e, pgno, page, block, block_len, err);
    if (rc != HF_OK)
        e->state = ENCODER_FAILED;
    return rc;
}

enum hf_code hf_ltx_encoder_page(struct hf_ltx_encoder *e, uint32_t pgno, const void *page,
                                 struct hf_err *err)
{
    return hf_ltx_encoder_page_lz4(e, pgno, page, NULL, 0, err);
}

/* The spilled part, through the output buffer. */
static enum hf_code copy_spill(struct hf_ltx_encoder *e, struct hf_err *err)
{
    for (uint64_t at = 0; at < e->spilled;) {
        HF_TRY(flush(e, err));
        uint64_t left = e->spilled - at;
        size_t n = left < e->out_cap ? (size_t)left : e->out_cap;
        HF_TRY(hf_file_read_at(&e->spill, e->out, n, at, err));
        e->crc = hf_crc64(e->crc, e->out, n);
        e->out_len = n;
        at += n;
    }
    return HF_OK;
}

static enum hf_code put_index(struct hf_ltx_encoder *e, struct hf_err *err)
{
    HF_TRY(index_room(e, err));
    e->index[e->index_len++] = 0;
    uint64_t total = e->spilled + e->index_len;
    HF_TRY(copy_spill(e, err));
    for (size_t at = 0; at < e->index_len;) {
        size_t left = e->index_len - at;
        size_t n = left < e->out_cap ? left : e->out_cap;
        HF_TRY(put_summed(e, e->index + at, n, err));
        at += n;
    }
    uint8_t size[8];
    hf_put_be64(size, total);
    return put_summed(e, size, sizeof(size), err);
}

static enum hf_code finish(struct hf_ltx_encoder *e, struct hf_ltx_trailer *trailer,
                           struct hf_err *err)
{
    uint32_t commit = e->header.commit;
    uint32_t last = commit == hf_lock_page(e->header.page_size) ? commit - 1 : commit;
    if (e->header.min_txid == 1 && e->last_pgno != last)
        return hf_err_set(err, HF_E_INVALID, "a snapshot of %u pages ends at page %u", commit,
                          e->last_pgno);
    static const uint8_t zeros[HF_LTX_PAGE_HEADER_SIZE];
    HF_TRY(put_summed(e, zeros, sizeof(zeros), err));
    HF_TRY(put_index(e, err));
    uint8_t tail[HF_LTX_TRAILER_SIZE] = {0};
    HF_TRY(put_summed(e, tail, 8, err)); /* post-apply: 0 */
    trailer->post_apply = 0;
    trailer->file_checksum = e->crc | CHECK_BIT;
    hf_put_be64(tail, trailer->file_checksum);
    HF_TRY(put_summed(e, tail, 8, err));
    return flush(e, err);
}

enum hf_code hf_ltx_encoder_finish(struct hf_ltx_encoder *e, struct hf_ltx_trailer *trailer,
                                   uint64_t *size, struct hf_err *err)
{
    hf_assert_magic(e, ENCODER_MAGIC);
    hf_assert(e->state != ENCODER_DONE);
    if (e->state == ENCODER_FAILED)
        return hf_err_set(err, HF_E_INTERNAL, "the LTX encoder has failed before");
    struct hf_ltx_trailer done;
    enum hf_code rc = finish(e, &done, err);
    e->state = rc == HF_OK ? ENCODER_DONE : ENCODER_FAILED;
    if (rc != HF_OK)
        return rc;
    if (trailer != NULL)
        *trailer = done;
    if (size != NULL)
        *size = e->flushed;
    return HF_OK;
}

void hf_ltx_encoder_free(struct hf_ltx_encoder *e)
{
    if (e == NULL)
        return;
    hf_assert_magic(e, ENCODER_MAGIC);
    hf_file_close(&e->spill);
    hf_free(e->spill_dir);
    hf_free(e->out);
    hf_free(e->index);
    hf_free(e->lz4);
    e->magic = 0;
    hf_free(e);
}
