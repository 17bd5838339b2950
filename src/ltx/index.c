#include "ltx/index.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "ltx/varint.h"

enum {
    CHUNK = 32 << 10,
    TAIL = 8 + HF_LTX_TRAILER_SIZE, /* what follows the entries and their zero */
    FILE_MIN = HF_LTX_HEADER_SIZE + HF_LTX_PAGE_HEADER_SIZE + 1 + TAIL,
};

struct reader {
    struct hf_random in;
    const char *name;
    uint8_t *buf; /* CHUNK bytes */
    uint64_t base;
    size_t pos;
    size_t len;
    uint64_t start; /* of the index */
    uint64_t end;   /* behind its zero byte */
    struct hf_ltx_index_entry last;
    uint64_t entries;
};

static enum hf_code corrupt(const struct reader *r, uint64_t offset, const char *what,
                            struct hf_err *err)
{
    return hf_err_set(err, HF_E_CORRUPT, "%s: byte %llu: %s", r->name, (unsigned long long)offset,
                      what);
}

static enum hf_code load(struct reader *r, uint64_t offset, size_t len, struct hf_err *err)
{
    hf_assert(len <= CHUNK && offset + len <= r->in.size);
    if (r->in.read(r->in.arg, offset, r->buf, len, err) != HF_OK)
        return hf_err_wrap(err, "%s", r->name);
    r->base = offset;
    r->pos = 0;
    r->len = len;
    return HF_OK;
}

/* The end of the file first: it says where the index is and mostly holds it. */
static enum hf_code find(struct reader *r, struct hf_err *err)
{
    uint64_t size = r->in.size;
    if (size < FILE_MIN)
        return corrupt(r, size, "too short for an LTX file", err);
    size_t n = size < CHUNK ? (size_t)size : CHUNK;
    HF_TRY(load(r, size - n, n, err));
    uint64_t len = hf_be64(r->buf + n - TAIL);
    if (len == 0 || len > size - FILE_MIN + 1)
        return corrupt(r, size - TAIL, "the size of the page index is impossible", err);
    r->end = size - TAIL;
    r->start = r->end - len;
    r->last = (struct hf_ltx_index_entry){0, HF_LTX_HEADER_SIZE, 0};
    if (r->start < r->base) {
        n = len < CHUNK ? (size_t)len : CHUNK;
        return load(r, r->start, n, err);
    }
    r->pos = (size_t)(r->start - r->base);
    r->len = (size_t)(r->end - r->base);
    return HF_OK;
}

/* Makes a whole entry available where the index has one left. */
static enum hf_code refill(struct reader *r, struct hf_err *err)
{
    uint64_t here = r->base + r->pos;
    uint64_t left = r->end - here;
    if (r->len - r->pos >= HF_LTX_INDEX_ENTRY_MAX || r->base + r->len >= r->end)
        return HF_OK;
    return load(r, here, left < CHUNK ? (size_t)left : CHUNK, err);
}

static enum hf_code take(struct reader *r, uint64_t *out, struct hf_err *err)
{
    size_t n = hf_varint_get(r->buf + r->pos, r->len - r->pos, out);
    if (n == 0)
        return corrupt(r, r->base + r->pos, "a number of the page index does not end", err);
    r->pos += n;
    return HF_OK;
}

/* One entry behind its page number. */
static enum hf_code take_entry(struct reader *r, uint64_t pgno, struct hf_err *err)
{
    uint64_t here = r->base + r->pos;
    uint64_t offset = 0, size = 0;
    HF_TRY(take(r, &offset, err));
    HF_TRY(take(r, &size, err));
    if (pgno > UINT32_MAX || pgno <= r->last.pgno)
        return corrupt(r, here, "the page index is not in order", err);
    if (offset != r->last.offset + r->last.size || offset >= r->start)
        return corrupt(r, here, "the page index leaves a hole between two pages", err);
    if (size <= HF_LTX_PAGE_HEADER_SIZE || size > r->start - offset)
        return corrupt(r, here, "the page index gives a page an impossible size", err);
    r->last = (struct hf_ltx_index_entry){(uint32_t)pgno, offset, size};
    r->entries++;
    return HF_OK;
}

static enum hf_code read_entries(struct reader *r, hf_ltx_index_fn *fn, void *arg,
                                 struct hf_err *err)
{
    for (;;) {
        HF_TRY(refill(r, err));
        uint64_t pgno = 0;
        HF_TRY(take(r, &pgno, err));
        if (pgno == 0)
            break;
        HF_TRY(take_entry(r, pgno, err));
        HF_TRY(fn(arg, &r->last, err));
    }
    if (r->base + r->pos != r->end)
        return corrupt(r, r->base + r->pos, "the page index ends before its size", err);
    if (r->last.offset + r->last.size + HF_LTX_PAGE_HEADER_SIZE != r->start)
        return corrupt(r, r->start, "the page index does not begin where the pages end", err);
    return HF_OK;
}

enum hf_code hf_ltx_index_read(struct hf_random in, hf_ltx_index_fn *fn, void *arg,
                               uint64_t *entries, struct hf_err *err)
{
    hf_assert(in.read != NULL && fn != NULL);
    struct reader r = {.in = in, .name = in.name != NULL ? in.name : "LTX file"};
    r.buf = hf_malloc(CHUNK);
    enum hf_code rc = find(&r, err);
    if (rc == HF_OK)
        rc = read_entries(&r, fn, arg, err);
    hf_free(r.buf);
    if (rc == HF_OK && entries != NULL)
        *entries = r.entries;
    return rc;
}
