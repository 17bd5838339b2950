#include "sqlite/sums.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "ltx/crc64.h"
#include "ltx/ltx.h"
#include "os/file.h"

enum {
    HEADER_SIZE = 64,
    STATE_WHOLE = 1,
    STATE_CHANGING = 2,
    WINDOW = 1024, /* sums gathered for one write */
};

static const char magic[8] = {'H', 'F', 'S', 'U', 'M', 'S', '0', '1'};

struct hf_sums {
    struct hf_file file;
    uint32_t page_size;
    uint32_t pages;
    uint64_t txid;
    bool is_changing;
    uint32_t last_set;
    uint32_t win_first; /* page of window[0] */
    uint32_t win_len;
    uint8_t window[WINDOW * 8];
};

static uint64_t offset_of(uint32_t pgno)
{
    return HEADER_SIZE + (uint64_t)(pgno - 1) * 8;
}

static enum hf_code write_header(struct hf_sums *s, uint32_t state, struct hf_err *err)
{
    uint8_t h[HEADER_SIZE] = {0};
    memcpy(h, magic, sizeof(magic));
    hf_put_be32(h + 8, s->page_size);
    hf_put_be32(h + 12, s->pages);
    hf_put_be64(h + 16, s->txid);
    hf_put_be32(h + 24, state);
    hf_put_be64(h + 56, hf_crc64(0, h, 56));
    return hf_file_write_at(&s->file, h, sizeof(h), 0, err);
}

static enum hf_code read_header(struct hf_sums *s, struct hf_err *err)
{
    uint8_t h[HEADER_SIZE];
    struct hf_file_stat st;
    HF_TRY(hf_file_read_at(&s->file, h, sizeof(h), 0, err));
    HF_TRY(hf_file_stat(&s->file, &st, err));
    s->page_size = hf_be32(h + 8);
    s->pages = hf_be32(h + 12);
    s->txid = hf_be64(h + 16);
    if (memcmp(h, magic, sizeof(magic)) != 0 || hf_be64(h + 56) != hf_crc64(0, h, 56) ||
        !hf_page_size_is_valid(s->page_size))
        return hf_err_set(err, HF_E_CORRUPT, "%s: the header is damaged", s->file.path);
    if (hf_be32(h + 24) != STATE_WHOLE)
        return hf_err_set(err, HF_E_CORRUPT, "%s: a change was cut short", s->file.path);
    if (st.size < offset_of(s->pages + 1))
        return hf_err_set(err, HF_E_CORRUPT, "%s is shorter than it says", s->file.path);
    return HF_OK;
}

enum hf_code hf_sums_open(const char *path, struct hf_sums **out, struct hf_err *err)
{
    struct hf_sums *s = hf_calloc(1, sizeof(*s));
    s->file = (struct hf_file)HF_FILE_CLOSED;
    enum hf_code rc = hf_file_open(path, HF_FILE_WRITE, 0, &s->file, err);
    if (rc == HF_OK)
        rc = read_header(s, err);
    if (rc != HF_OK) {
        hf_sums_close(s);
        return rc;
    }
    *out = s;
    return HF_OK;
}

enum hf_code hf_sums_create(const char *path, uint32_t page_size, struct hf_sums **out,
                            struct hf_err *err)
{
    hf_assert(hf_page_size_is_valid(page_size));
    struct hf_sums *s = hf_calloc(1, sizeof(*s));
    s->page_size = page_size;
    s->file = (struct hf_file)HF_FILE_CLOSED;
    enum hf_code rc = hf_file_open(path, HF_FILE_TRUNCATE, 0600, &s->file, err);
    if (rc == HF_OK)
        rc = hf_sums_begin(s, err);
    if (rc != HF_OK) {
        hf_sums_close(s);
        return rc;
    }
    *out = s;
    return HF_OK;
}

void hf_sums_close(struct hf_sums *s)
{
    if (s == NULL)
        return;
    hf_file_close(&s->file);
    hf_free(s);
}

uint64_t hf_sums_txid(const struct hf_sums *s)
{
    return s->txid;
}

uint32_t hf_sums_pages(const struct hf_sums *s)
{
    return s->pages;
}

uint32_t hf_sums_page_size(const struct hf_sums *s)
{
    return s->page_size;
}

enum hf_code hf_sums_begin(struct hf_sums *s, struct hf_err *err)
{
    hf_assert(!s->is_changing);
    HF_TRY(write_header(s, STATE_CHANGING, err));
    HF_TRY(hf_file_sync(&s->file, err));
    s->is_changing = true;
    s->last_set = 0;
    s->win_len = 0;
    return HF_OK;
}

static enum hf_code flush(struct hf_sums *s, struct hf_err *err)
{
    if (s->win_len == 0)
        return HF_OK;
    HF_TRY(hf_file_write_at(&s->file, s->window, (size_t)s->win_len * 8, offset_of(s->win_first),
                            err));
    s->win_len = 0;
    return HF_OK;
}

enum hf_code hf_sums_set(struct hf_sums *s, uint32_t pgno, uint64_t sum, struct hf_err *err)
{
    hf_assert(s->is_changing && pgno > s->last_set);
    bool is_next = s->win_len > 0 && pgno == s->win_first + s->win_len && s->win_len < WINDOW;
    if (!is_next) {
        HF_TRY(flush(s, err));
        s->win_first = pgno;
    }
    hf_put_be64(s->window + (size_t)s->win_len * 8, sum);
    s->win_len++;
    s->last_set = pgno;
    return HF_OK;
}

enum hf_code hf_sums_commit(struct hf_sums *s, uint64_t txid, uint32_t pages, struct hf_err *err)
{
    hf_assert(s->is_changing);
    HF_TRY(flush(s, err));
    HF_TRY(hf_file_truncate(&s->file, offset_of(pages + 1), err));
    HF_TRY(hf_file_sync(&s->file, err));
    s->txid = txid;
    s->pages = pages;
    HF_TRY(write_header(s, STATE_WHOLE, err));
    s->is_changing = false;
    return HF_OK;
}

enum hf_code hf_sums_get(struct hf_sums *s, uint32_t first, uint32_t n, uint64_t *out,
                         struct hf_err *err)
{
    hf_assert(first >= 1 && !s->is_changing);
    uint32_t have = first > s->pages ? 0 : s->pages - first + 1;
    if (have > n)
        have = n;
    uint8_t *raw = (uint8_t *)out;
    if (have > 0)
        HF_TRY(hf_file_read_at(&s->file, raw, (size_t)have * 8, offset_of(first), err));
    for (uint32_t i = 0; i < n; i++)
        out[i] = i < have ? hf_be64(raw + (size_t)i * 8) : 0;
    return HF_OK;
}
