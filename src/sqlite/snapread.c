#include "sqlite/snapread.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "os/file.h"
#include "sqlite/conn.h"
#include "sqlite/live.h"

enum { DB_HEADER = 100, SIZE_AT = 28, CHANGE_AT = 24, VALID_FOR_AT = 92, PAGE_SIZE_AT = 16 };

/* Where a page of the log is: its newest frame of the state. */
struct place {
    uint32_t pgno;
    uint32_t frame;
};

struct hf_snapread {
    struct hf_conn *conn;
    struct hf_live *live; /* WAL mode */
    struct hf_file main;  /* rollback mode: opened before the connection, closed after it */
    struct place *places; /* by page number */
    size_t n_places;
    uint32_t page_size;
    uint32_t pages;
    int64_t time_ms;
};

/* ---- which state it is ---- */

static bool is_same(const struct hf_walindex *a, const struct hf_walindex *b)
{
    return a->change == b->change && a->max_frame == b->max_frame && a->salt[0] == b->salt[0] &&
           a->salt[1] == b->salt[1] && a->frame_cksum[0] == b->frame_cksum[0] &&
           a->frame_cksum[1] == b->frame_cksum[1];
}

static enum hf_code begin(struct hf_snapread *s, bool is_exclusive, struct hf_err *err)
{
    int64_t n = 0;
    struct hf_conn_query q = {.sql = "SELECT count(*) FROM sqlite_schema", .out = &n, .n_out = 1};
    HF_TRY(hf_conn_run(s->conn, is_exclusive ? "BEGIN IMMEDIATE" : "BEGIN", err));
    enum hf_code rc = hf_conn_query(s->conn, &q, err);
    if (rc != HF_OK)
        (void)!hf_conn_run(s->conn, "ROLLBACK", NULL);
    return rc;
}

/* One try; *is_held: the transaction's state is the one in h. *backfill belongs to h: a restart of
 * the log publishes another header before it clears the counter. */
static enum hf_code try_hold(struct hf_snapread *s, bool is_exclusive, struct hf_walindex *h,
                             uint32_t *backfill, bool *is_held, struct hf_err *err)
{
    struct hf_walindex before;
    struct hf_walindex again;
    uint32_t other = 0;
    bool is_known = hf_live_index(s->live, &before, &other) == HF_WALINDEX_OK;
    HF_TRY(begin(s, is_exclusive, err));
    bool is_read = hf_live_index(s->live, h, backfill) == HF_WALINDEX_OK &&
                   hf_live_index(s->live, &again, &other) == HF_WALINDEX_OK;
    bool is_quiet = is_exclusive || (is_known && is_same(&before, h));
    *is_held = is_read && is_quiet && is_same(h, &again);
    return *is_held ? HF_OK : hf_conn_run(s->conn, "ROLLBACK", err);
}

static enum hf_code hold(struct hf_snapread *s, bool is_exclusive, struct hf_walindex *h,
                         uint32_t *backfill, struct hf_err *err)
{
    for (int i = 0; i < HF_SNAPREAD_TRIES; i++) {
        bool is_held = false;
        s->time_ms = hf_clock_wall_ms();
        HF_TRY(try_hold(s, is_exclusive, h, backfill, &is_held, err));
        if (is_held)
            return HF_OK;
    }
    return hf_err_set(err, HF_E_BUSY, "%s: is written faster than its state can be told",
                      hf_live_path(s->live));
}

/* ---- where its pages are ---- */

static int compare_places(const void *pa, const void *pb)
{
    const struct place *a = pa;
    const struct place *b = pb;
    if (a->pgno != b->pgno)
        return a->pgno < b->pgno ? -1 : 1;
    return a->frame < b->frame ? -1 : a->frame > b->frame;
}

/* Only the last of a page's frames stays. */
static void keep_newest(struct hf_snapread *s)
{
    size_t n = 0;
    qsort(s->places, s->n_places, sizeof(*s->places), compare_places);
    for (size_t i = 0; i < s->n_places; i++) {
        if (i + 1 == s->n_places || s->places[i + 1].pgno != s->places[i].pgno)
            s->places[n++] = s->places[i];
    }
    s->n_places = n;
}

static enum hf_code read_log(struct hf_snapread *s, const struct hf_walindex *h, struct hf_err *err)
{
    s->places = hf_calloc(h->max_frame, sizeof(*s->places));
    for (uint32_t frame = 1; frame <= h->max_frame; frame++) {
        uint8_t head[HF_WAL_FRAME_HEADER_SIZE];
        struct hf_wal_frame f;
        HF_TRY(hf_live_read_wal(s->live, head, sizeof(head),
                                hf_wal_frame_offset(h->page_size, frame), err));
        hf_wal_frame_parse(head, &f);
        if (f.salt[0] != h->salt[0] || f.salt[1] != h->salt[1] || f.pgno == 0)
            return hf_err_set(err, HF_E_CORRUPT, "%s-wal: frame %u is of another log",
                              hf_live_path(s->live), frame);
        s->places[s->n_places++] = (struct place){f.pgno, frame};
    }
    keep_newest(s);
    return HF_OK;
}

static uint32_t page_size_of(const uint8_t *head)
{
    uint32_t size = (uint32_t)head[PAGE_SIZE_AT] << 8 | head[PAGE_SIZE_AT + 1];
    return size == 1 ? 65536 : size;
}

/* The size in the header counts if the program that wrote last maintains it. */
static uint32_t pages_of(const uint8_t *head, uint32_t page_size, uint64_t file_size)
{
    uint32_t pages = hf_be32(head + SIZE_AT);
    bool is_valid = hf_be32(head + CHANGE_AT) == hf_be32(head + VALID_FOR_AT);
    return pages != 0 && is_valid ? pages : (uint32_t)(file_size / page_size);
}

static enum hf_code open_wal(struct hf_snapread *s, bool is_exclusive, struct hf_err *err)
{
    struct hf_walindex h;
    uint32_t backfill = 0;
    HF_TRY(hold(s, is_exclusive, &h, &backfill, err));
    s->page_size = h.page_size != 0 ? h.page_size : hf_live_page_size(s->live);
    /* All of it copied back: the log may be restarted under us, but the main file stays as it is
     * for as long as the transaction lasts. */
    if (h.max_frame > backfill)
        HF_TRY(read_log(s, &h, err));
    s->pages = h.pages;
    if (h.max_frame > 0)
        return HF_OK;
    uint8_t head[DB_HEADER];
    uint64_t size = 0;
    HF_TRY(hf_live_read_main(s->live, head, sizeof(head), 0, err));
    HF_TRY(hf_live_main_size(s->live, &size, err));
    s->pages = pages_of(head, s->page_size, size);
    return HF_OK;
}

static enum hf_code open_rollback(struct hf_snapread *s, bool is_exclusive, struct hf_err *err)
{
    uint8_t head[DB_HEADER];
    struct hf_file_stat st;
    s->time_ms = hf_clock_wall_ms();
    HF_TRY(begin(s, is_exclusive, err));
    HF_TRY(hf_file_stat(&s->main, &st, err));
    if (st.size < DB_HEADER)
        return HF_OK;
    HF_TRY(hf_file_read_at(&s->main, head, sizeof(head), 0, err));
    s->page_size = page_size_of(head);
    if (s->page_size < 512)
        return hf_err_set(err, HF_E_CORRUPT, "%s: page size %u", s->main.path, s->page_size);
    s->pages = pages_of(head, s->page_size, st.size);
    return HF_OK;
}

enum hf_code hf_snapread_open(const char *path, bool is_exclusive, struct hf_snapread **out,
                              struct hf_err *err)
{
    enum hf_live_kind kind = HF_LIVE_EMPTY;
    struct hf_live *live = NULL;
    HF_TRY(hf_live_open(path, &live, &kind, err));
    struct hf_snapread *s = hf_calloc(1, sizeof(*s));
    s->live = live;
    s->main = (struct hf_file)HF_FILE_CLOSED;
    s->time_ms = hf_clock_wall_ms();
    enum hf_code rc = HF_OK;
    if (kind == HF_LIVE_ROLLBACK)
        rc = hf_file_open(path, HF_FILE_READ, 0, &s->main, err);
    if (rc == HF_OK && kind != HF_LIVE_EMPTY)
        rc = hf_conn_open(path, is_exclusive ? HF_CONN_WRITE : HF_CONN_READ, HF_SNAPREAD_BUSY_MS,
                          &s->conn, err);
    if (rc == HF_OK && kind == HF_LIVE_WAL)
        rc = open_wal(s, is_exclusive, err);
    else if (rc == HF_OK && kind == HF_LIVE_ROLLBACK)
        rc = open_rollback(s, is_exclusive, err);
    if (rc != HF_OK) {
        hf_snapread_close(s);
        return rc;
    }
    *out = s;
    return HF_OK;
}

void hf_snapread_close(struct hf_snapread *s)
{
    if (s == NULL)
        return;
    hf_conn_close(s->conn);
    hf_live_close(s->live);
    hf_file_close(&s->main); /* drops this process's locks on the file: last */
    hf_free(s->places);
    hf_free(s);
}

uint32_t hf_snapread_page_size(const struct hf_snapread *s)
{
    return s->page_size;
}

uint32_t hf_snapread_pages(const struct hf_snapread *s)
{
    return s->pages;
}

int64_t hf_snapread_time_ms(const struct hf_snapread *s)
{
    return s->time_ms;
}

static const struct place *find_place(const struct hf_snapread *s, uint32_t pgno)
{
    size_t lo = 0;
    size_t hi = s->n_places;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->places[mid].pgno < pgno)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->n_places && s->places[lo].pgno == pgno ? &s->places[lo] : NULL;
}

enum hf_code hf_snapread_page(struct hf_snapread *s, uint32_t pgno, void *buf, struct hf_err *err)
{
    hf_assert(pgno >= 1 && pgno <= s->pages);
    uint64_t at = (uint64_t)(pgno - 1) * s->page_size;
    const struct place *p = find_place(s, pgno);
    if (p != NULL)
        return hf_live_read_wal(
            s->live, buf, s->page_size,
            hf_wal_frame_offset(s->page_size, p->frame) + HF_WAL_FRAME_HEADER_SIZE, err);
    if (s->live != NULL)
        return hf_live_read_main(s->live, buf, s->page_size, at, err);
    return hf_file_read_at(&s->main, buf, s->page_size, at, err);
}
