/*
 * One buffer, refilled by large reads; pages are decompressed out of it where they lie. The page
 * header (and size word) is copied in front of the decompressed page so that the file checksum,
 * which covers both, is fed one contiguous piece a page.
 *
 * The page index is not kept: what it must be follows from the pages, so its expected bytes are
 * digested on the way (length and CRC) and compared with those read.
 *
 * Nothing from the file sizes an allocation except the page size, which is checked first.
 */
#include "ltx/decode.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <lz4.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "base/mem.h"
#include "ltx/crc64.h"
#include "ltx/pageframe.h"
#include "ltx/varint.h"

#define DECODER_MAGIC 0x4c545864u
#define CHECK_BIT (1ull << 63)

enum {
    FIRST_READ = 4096, /* most L0 files are smaller; the full buffer is for those that are not */
    PAGE_PAD = 64,     /* room in front of the page, keeping it aligned */
    BLOCK_HEAD = HF_LTX_PAGE_HEADER_SIZE + 4,
    FRAME_SLACK = 1024, /* headers, and size words of a page cut into many blocks */
    EXPECT_SIZE = 512,
    FLAG_BLOCK = 1,
};

enum decoder_state { DECODER_PAGES, DECODER_DONE, DECODER_FAILED };

struct hf_ltx_decoder {
    uint32_t magic;
    enum decoder_state state;
    struct hf_source source;
    char *name;
    struct hf_ltx_header header;
    struct hf_ltx_trailer trailer;
    enum hf_ltx_form form;
    bool has_form;
    uint32_t last_pgno;
    uint64_t crc;     /* of the file so far */
    uint64_t rolling; /* of the pages, when the file carries checksums */

    uint8_t *buf;
    size_t cap;
    size_t full_cap;
    size_t pos;       /* next byte to take */
    size_t len;       /* bytes in buf */
    uint64_t base;    /* file offset of buf[0] */
    bool is_at_end;   /* the source has no more */
    size_t frame_max; /* longest page frame accepted */
    size_t block_max; /* longest LZ4 block of a page */
    uint8_t *page_mem;
    uint8_t *page;

    uint64_t index_len; /* of the expected index, without the final zero */
    uint64_t index_crc;
    uint8_t expect[EXPECT_SIZE]; /* its last bytes, not digested yet */
    size_t expect_len;
};

static uint64_t here(const struct hf_ltx_decoder *d)
{
    return d->base + d->pos;
}

HF_PRINTF(4, 5)
static enum hf_code corrupt(const struct hf_ltx_decoder *d, uint64_t offset, struct hf_err *err,
                            const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return hf_err_set(err, HF_E_CORRUPT, "%s: byte %llu: %s", d->name, (unsigned long long)offset,
                      text);
}

/* Moves what is left to the front and makes the buffer its full size, once the first read was not
 * the whole file. */
static void make_room(struct hf_ltx_decoder *d)
{
    if (d->pos > 0) {
        memmove(d->buf, d->buf + d->pos, d->len - d->pos);
        d->base += d->pos;
        d->len -= d->pos;
        d->pos = 0;
    }
    if (d->len > 0 || d->base > 0) {
        if (d->cap < d->full_cap) {
            d->buf = hf_realloc(d->buf, d->full_cap, 1);
            d->cap = d->full_cap;
        }
    }
}

/* Makes n bytes contiguous at pos; pointers into the buffer are void afterwards. */
static enum hf_code peek(struct hf_ltx_decoder *d, size_t n, struct hf_err *err)
{
    if (d->len - d->pos >= n)
        return HF_OK;
    hf_assert(n <= d->full_cap);
    while (d->len - d->pos < n) {
        if (d->is_at_end)
            return corrupt(d, d->base + d->len, err, "the file ends too early");
        make_room(d);
        size_t got = 0;
        size_t room = d->cap - d->len;
        hf_assert(room > 0);
        if (d->source.read(d->source.arg, d->buf + d->len, room, &got, err) != HF_OK)
            return hf_err_wrap(err, "%s", d->name);
        hf_assert(got <= room);
        d->is_at_end = got < room;
        d->len += got;
    }
    return HF_OK;
}

static const uint8_t *at(const struct hf_ltx_decoder *d, size_t offset)
{
    return d->buf + d->pos + offset;
}

static enum hf_code read_header(struct hf_ltx_decoder *d, size_t read_ahead, struct hf_err *err)
{
    HF_TRY(peek(d, HF_LTX_HEADER_SIZE, err));
    if (hf_ltx_header_unpack(at(d, 0), &d->header, err) != HF_OK)
        return hf_err_wrap(err, "%s: byte 0", d->name);
    d->crc = hf_crc64(0, at(d, 0), HF_LTX_HEADER_SIZE);
    d->pos += HF_LTX_HEADER_SIZE;
    d->block_max = (size_t)LZ4_compressBound((int)d->header.page_size);
    d->frame_max = d->block_max + FRAME_SLACK;
    d->full_cap = read_ahead > d->frame_max ? read_ahead : d->frame_max;
    if (d->full_cap < FIRST_READ)
        d->full_cap = FIRST_READ;
    d->page_mem = hf_malloc(PAGE_PAD + d->header.page_size);
    d->page = d->page_mem + PAGE_PAD;
    d->rolling = CHECK_BIT;
    return HF_OK;
}

enum hf_code hf_ltx_decoder_new_sized(struct hf_source source, size_t read_ahead,
                                      struct hf_ltx_decoder **out, struct hf_err *err)
{
    hf_assert(source.read != NULL && out != NULL);
    struct hf_ltx_decoder *d = hf_calloc(1, sizeof(*d));
    d->magic = DECODER_MAGIC;
    d->source = source;
    d->name = hf_strdup(source.name != NULL ? source.name : "LTX file");
    d->form = HF_LTX_FORM_BLOCK;
    d->cap = FIRST_READ;
    d->full_cap = FIRST_READ;
    d->buf = hf_malloc(d->cap);
    enum hf_code rc = read_header(d, read_ahead, err);
    if (rc != HF_OK) {
        hf_ltx_decoder_free(d);
        return rc;
    }
    *out = d;
    return HF_OK;
}

enum hf_code hf_ltx_decoder_new(struct hf_source source, struct hf_ltx_decoder **out,
                                struct hf_err *err)
{
    return hf_ltx_decoder_new_sized(source, HF_LIMIT_READ_AHEAD, out, err);
}

const struct hf_ltx_header *hf_ltx_decoder_header(const struct hf_ltx_decoder *d)
{
    hf_assert_magic(d, DECODER_MAGIC);
    return &d->header;
}

/* The only page a snapshot may go on with. */
static uint32_t snapshot_next(const struct hf_ltx_decoder *d)
{
    uint32_t next = d->last_pgno + 1;
    return next == hf_lock_page(d->header.page_size) ? next + 1 : next;
}

static enum hf_code check_pgno(const struct hf_ltx_decoder *d, uint32_t pgno, struct hf_err *err)
{
    if (pgno <= d->last_pgno)
        return corrupt(d, here(d), err, "page %u after page %u", pgno, d->last_pgno);
    if (pgno > d->header.commit)
        return corrupt(d, here(d), err, "page %u is beyond the %u pages of the database", pgno,
                       d->header.commit);
    if (pgno == hf_lock_page(d->header.page_size))
        return corrupt(d, here(d), err, "page %u is the lock page", pgno);
    if (d->header.min_txid == 1 && pgno != snapshot_next(d))
        return corrupt(d, here(d), err, "page %u of the snapshot is missing", snapshot_next(d));
    return HF_OK;
}

/* One data block of a frame. *off: its place in the frame; *done: page bytes so far. */
static enum hf_code read_frame_block(struct hf_ltx_decoder *d, const struct hf_pageframe *frame,
                                     size_t *off, size_t *done, struct hf_err *err)
{
    uint32_t word = hf_le32(at(d, *off));
    size_t n = word & ~HF_PAGEFRAME_RAW;
    size_t sum_len = frame->has_block_sums ? 4 : 0;
    size_t size = d->header.page_size;
    if (n > d->block_max)
        return corrupt(d, here(d) + *off, err, "an LZ4 block of %zu bytes is too large", n);
    if (*off + 4 + n + sum_len + HF_PAGEFRAME_TAIL > d->frame_max)
        return corrupt(d, here(d), err, "the LZ4 frame is longer than a page's can be");
    HF_TRY(peek(d, *off + 4 + n + sum_len, err));
    const uint8_t *src = at(d, *off + 4);
    if (sum_len > 0 && hf_le32(src + n) != hf_xxh32(src, n))
        return corrupt(d, here(d) + *off, err, "the checksum of an LZ4 block does not match");
    size_t room = size - *done;
    int got = -1;
    if ((word & HF_PAGEFRAME_RAW) != 0) {
        got = n <= room ? (int)n : -1;
        memcpy(d->page + *done, src, n <= room ? n : 0);
    } else if (frame->is_linked && *done > 0) {
        got = LZ4_decompress_safe_usingDict((const char *)src, (char *)d->page + *done, (int)n,
                                            (int)room, (const char *)d->page, (int)*done);
    } else {
        got = LZ4_decompress_safe((const char *)src, (char *)d->page + *done, (int)n, (int)room);
    }
    if (got < 0)
        return corrupt(d, here(d) + *off, err, "an LZ4 block does not decompress to a page");
    *done += (size_t)got;
    *off += 4 + n + sum_len;
    return HF_OK;
}

/* Fills d->page; *len: of the whole frame with its page header; where the block lies in it. */
static enum hf_code read_frame_form(struct hf_ltx_decoder *d, size_t *len, size_t *block_at,
                                    size_t *block_len, struct hf_err *err)
{
    size_t off = HF_LTX_PAGE_HEADER_SIZE;
    HF_TRY(peek(d, off + HF_PAGEFRAME_HEADER_MIN, err));
    size_t head = hf_pageframe_header_len(at(d, off));
    HF_TRY(peek(d, off + head, err));
    struct hf_pageframe frame;
    const char *fault = hf_pageframe_parse(at(d, off), &frame);
    if (fault != NULL)
        return corrupt(d, here(d) + off, err, "%s", fault);
    off += head;
    size_t done = 0;
    *block_len = 0;
    for (unsigned blocks = 0;; blocks++) {
        HF_TRY(peek(d, off + 4, err));
        uint32_t word = hf_le32(at(d, off));
        if (word == 0)
            break;
        size_t start = off + 4;
        HF_TRY(read_frame_block(d, &frame, &off, &done, err));
        bool is_whole =
            blocks == 0 && done == d->header.page_size && (word & HF_PAGEFRAME_RAW) == 0;
        *block_at = start;
        *block_len = is_whole ? word : 0;
    }
    size_t tail = frame.has_content_sum ? HF_PAGEFRAME_TAIL : 4;
    HF_TRY(peek(d, off + tail, err));
    if (done != d->header.page_size || (frame.has_content_size && frame.content_size != done))
        return corrupt(d, here(d), err, "the page decompresses to %zu bytes", done);
    if (frame.has_content_sum && hf_le32(at(d, off + 4)) != hf_xxh32(d->page, done))
        return corrupt(d, here(d) + off + 4, err, "the checksum of the LZ4 frame does not match");
    *len = off + tail;
    return HF_OK;
}

static enum hf_code read_block_form(struct hf_ltx_decoder *d, size_t *len, size_t *block_at,
                                    size_t *block_len, struct hf_err *err)
{
    HF_TRY(peek(d, BLOCK_HEAD, err));
    uint32_t n = hf_be32(at(d, HF_LTX_PAGE_HEADER_SIZE));
    if (n == 0 || n > d->block_max)
        return corrupt(d, here(d) + HF_LTX_PAGE_HEADER_SIZE, err, "a page of %u bytes", n);
    HF_TRY(peek(d, BLOCK_HEAD + n, err));
    int size = (int)d->header.page_size;
    if (LZ4_decompress_safe((const char *)at(d, BLOCK_HEAD), (char *)d->page, (int)n, size) != size)
        return corrupt(d, here(d) + BLOCK_HEAD, err, "the LZ4 block does not decompress to a page");
    *block_at = BLOCK_HEAD;
    *block_len = n;
    *len = BLOCK_HEAD + n;
    return HF_OK;
}

static void digest_expected(struct hf_ltx_decoder *d)
{
    d->index_crc = hf_crc64(d->index_crc, d->expect, d->expect_len);
    d->index_len += d->expect_len;
    d->expect_len = 0;
}

static void expect_entry(struct hf_ltx_decoder *d, uint32_t pgno, size_t len)
{
    if (EXPECT_SIZE - d->expect_len < HF_LTX_INDEX_ENTRY_MAX)
        digest_expected(d);
    d->expect_len +=
        hf_ltx_index_entry_put(d->expect + d->expect_len, pgno, here(d), (uint32_t)len);
}

static enum hf_code read_page(struct hf_ltx_decoder *d, uint32_t pgno, bool is_block,
                              struct hf_ltx_page *page, struct hf_err *err)
{
    HF_TRY(check_pgno(d, pgno, err));
    size_t len = 0, block_at = 0, block_len = 0;
    if (is_block)
        HF_TRY(read_block_form(d, &len, &block_at, &block_len, err));
    else
        HF_TRY(read_frame_form(d, &len, &block_at, &block_len, err));
    size_t head = is_block ? BLOCK_HEAD : HF_LTX_PAGE_HEADER_SIZE;
    memcpy(d->page - head, at(d, 0), head);
    d->crc = hf_crc64(d->crc, d->page - head, head + d->header.page_size);
    if ((d->header.flags & HF_LTX_FLAG_NO_CHECKSUM) == 0 && d->header.min_txid == 1)
        d->rolling ^= hf_page_checksum(pgno, d->page, d->header.page_size);
    expect_entry(d, pgno, len);
    if (!d->has_form)
        d->form = is_block ? HF_LTX_FORM_BLOCK : HF_LTX_FORM_FRAME;
    d->has_form = true;
    d->last_pgno = pgno;
    *page = (struct hf_ltx_page){
        .pgno = pgno,
        .data = d->page,
        .block = block_len > 0 ? at(d, block_at) : NULL,
        .block_len = block_len,
    };
    d->pos += len;
    return HF_OK;
}

/* Index entries, the zero behind them and the size word. */
static enum hf_code read_index(struct hf_ltx_decoder *d, struct hf_err *err)
{
    static const uint8_t zero[1];
    digest_expected(d);
    uint64_t want = hf_crc64(d->index_crc, zero, 1);
    uint64_t total = d->index_len + 1;
    uint64_t start = here(d);
    uint64_t got = 0;
    for (uint64_t left = total; left > 0;) {
        HF_TRY(peek(d, 1, err));
        size_t have = d->len - d->pos;
        size_t n = left < have ? (size_t)left : have;
        got = hf_crc64(got, at(d, 0), n);
        d->crc = hf_crc64(d->crc, at(d, 0), n);
        d->pos += n;
        left -= n;
    }
    if (got != want)
        return corrupt(d, start, err, "the page index does not match the pages");
    HF_TRY(peek(d, 8, err));
    if (hf_be64(at(d, 0)) != total)
        return corrupt(d, here(d), err, "the size of the page index is not %llu",
                       (unsigned long long)total);
    d->crc = hf_crc64(d->crc, at(d, 0), 8);
    d->pos += 8;
    return HF_OK;
}

static enum hf_code check_post_apply(const struct hf_ltx_decoder *d, uint64_t post,
                                     struct hf_err *err)
{
    if ((d->header.flags & HF_LTX_FLAG_NO_CHECKSUM) != 0) {
        if (post != 0)
            return corrupt(d, here(d), err, "a post-apply checksum is not allowed here");
        return HF_OK;
    }
    if ((post & CHECK_BIT) == 0)
        return corrupt(d, here(d), err, "the post-apply checksum is missing");
    if (d->header.min_txid == 1 && post != (d->rolling | CHECK_BIT))
        return corrupt(d, here(d), err, "the post-apply checksum does not match the pages");
    return HF_OK;
}

static enum hf_code read_trailer(struct hf_ltx_decoder *d, struct hf_err *err)
{
    HF_TRY(peek(d, HF_LTX_TRAILER_SIZE, err));
    uint64_t post = hf_be64(at(d, 0));
    uint64_t sum = hf_be64(at(d, 8));
    d->crc = hf_crc64(d->crc, at(d, 0), 8);
    if (sum != (d->crc | CHECK_BIT))
        return corrupt(d, here(d) + 8, err, "the file checksum does not match");
    HF_TRY(check_post_apply(d, post, err));
    d->pos += HF_LTX_TRAILER_SIZE;
    d->trailer = (struct hf_ltx_trailer){.post_apply = post, .file_checksum = sum};
    if (d->pos == d->len && d->is_at_end)
        return HF_OK;
    uint8_t extra;
    size_t got = d->len - d->pos;
    if (got == 0 && d->source.read(d->source.arg, &extra, 1, &got, err) != HF_OK)
        return hf_err_wrap(err, "%s", d->name);
    if (got > 0)
        return corrupt(d, here(d), err, "something follows the trailer");
    return HF_OK;
}

static enum hf_code read_end(struct hf_ltx_decoder *d, struct hf_err *err)
{
    uint32_t commit = d->header.commit;
    uint32_t last = commit == hf_lock_page(d->header.page_size) ? commit - 1 : commit;
    if (d->header.min_txid == 1 && d->last_pgno != last)
        return corrupt(d, here(d), err, "a snapshot of %u pages ends at page %u", commit,
                       d->last_pgno);
    d->crc = hf_crc64(d->crc, at(d, 0), HF_LTX_PAGE_HEADER_SIZE);
    d->pos += HF_LTX_PAGE_HEADER_SIZE;
    HF_TRY(read_index(d, err));
    HF_TRY(read_trailer(d, err));
    d->state = DECODER_DONE;
    return HF_OK;
}

static enum hf_code next(struct hf_ltx_decoder *d, struct hf_ltx_page *page, struct hf_err *err)
{
    HF_TRY(peek(d, HF_LTX_PAGE_HEADER_SIZE, err));
    uint32_t pgno = hf_be32(at(d, 0));
    uint16_t flags = hf_be16(at(d, 4));
    if (pgno == 0 && flags == 0) {
        HF_TRY(read_end(d, err));
        *page = (struct hf_ltx_page){0};
        return HF_OK;
    }
    if (flags > FLAG_BLOCK) {
        (void)corrupt(d, here(d) + 4, err, "unknown page flags 0x%04x", flags);
        hf_err_hint(err, "LTX files older than version 3 (LiteFS) are not supported");
        return HF_E_CORRUPT;
    }
    return read_page(d, pgno, flags == FLAG_BLOCK, page, err);
}

enum hf_code hf_ltx_decoder_next(struct hf_ltx_decoder *d, struct hf_ltx_page *page,
                                 struct hf_err *err)
{
    hf_assert_magic(d, DECODER_MAGIC);
    hf_assert(page != NULL);
    if (d->state == DECODER_FAILED)
        return corrupt(d, here(d), err, "reading has failed before");
    if (d->state == DECODER_DONE) {
        *page = (struct hf_ltx_page){0};
        return HF_OK;
    }
    enum hf_code rc = next(d, page, err);
    if (rc != HF_OK)
        d->state = DECODER_FAILED;
    return rc;
}

struct hf_ltx_trailer hf_ltx_decoder_trailer(const struct hf_ltx_decoder *d)
{
    hf_assert_magic(d, DECODER_MAGIC);
    hf_assert(d->state == DECODER_DONE);
    return d->trailer;
}

enum hf_ltx_form hf_ltx_decoder_form(const struct hf_ltx_decoder *d)
{
    hf_assert_magic(d, DECODER_MAGIC);
    return d->form;
}

uint64_t hf_ltx_decoder_offset(const struct hf_ltx_decoder *d)
{
    hf_assert_magic(d, DECODER_MAGIC);
    return here(d);
}

void hf_ltx_decoder_free(struct hf_ltx_decoder *d)
{
    if (d == NULL)
        return;
    hf_assert_magic(d, DECODER_MAGIC);
    hf_free(d->name);
    hf_free(d->buf);
    hf_free(d->page_mem);
    d->magic = 0;
    hf_free(d);
}

enum hf_code hf_ltx_verify(struct hf_source source, struct hf_ltx_header *header,
                           struct hf_ltx_trailer *trailer, struct hf_err *err)
{
    struct hf_ltx_decoder *d;
    HF_TRY(hf_ltx_decoder_new(source, &d, err));
    struct hf_ltx_page page = {.pgno = 1};
    enum hf_code rc = HF_OK;
    while (rc == HF_OK && page.pgno != 0)
        rc = hf_ltx_decoder_next(d, &page, err);
    if (rc == HF_OK && header != NULL)
        *header = d->header;
    if (rc == HF_OK && trailer != NULL)
        *trailer = d->trailer;
    hf_ltx_decoder_free(d);
    return rc;
}
