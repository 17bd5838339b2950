#include "sqlite/capture.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"

enum { CAPTURE_MAGIC = 0x43415054, READ_BYTES = 256 * 1024 };

struct hf_capture {
    uint32_t magic;
    struct hf_live *live;
    enum hf_capture_state state;
    uint32_t page_size;
    bool is_big_endian;    /* of the log's checksums */
    struct hf_wal_pos pos; /* last captured frame */
    uint32_t change;       /* index's change counter at pos */
    bool has_change;
    uint32_t commit;     /* pages in the database at pos */
    uint32_t min_commit; /* smallest size since the last take: pages above it may be missing */
    struct hf_batch batch;
    uint8_t *buf; /* frames being read; allocated while reading only */
    const char *spill_dir;
    size_t memory_bytes; /* of the batch */
    uint64_t spill_bytes;
};

void hf_batch_deinit(struct hf_batch *b)
{
    hf_pageset_free(b->pages);
    *b = (struct hf_batch){0};
}

static bool same_salt(const uint32_t a[2], const uint32_t b[2])
{
    return a[0] == b[0] && a[1] == b[1];
}

bool hf_wal_pos_is_of(const struct hf_wal_pos *pos, const uint32_t salt[2])
{
    return same_salt(pos->salt, salt) && (salt[0] != 0 || salt[1] != 0);
}

static void start_batch(struct hf_capture *c)
{
    c->batch = (struct hf_batch){
        .pages = hf_pageset_new(c->page_size),
        .page_size = c->page_size,
        .from = c->pos,
        .to = c->pos,
    };
    hf_pageset_set_spill_dir(c->batch.pages, c->spill_dir);
    c->min_commit = c->commit;
}

static enum hf_code index_problem(enum hf_walindex_state s, const char *path, struct hf_err *err)
{
    if (s == HF_WALINDEX_FOREIGN)
        return hf_err_set(err, HF_E_UNSUPPORTED, "the wal-index of %s has an unknown version",
                          path);
    return hf_err_set(err, HF_E_BUSY, "the wal-index of %s is being changed", path);
}

/* The log's header as the chain's beginning: checksum and byte order. */
static enum hf_code read_wal_header(struct hf_capture *c, const struct hf_walindex *h,
                                    struct hf_err *err)
{
    uint8_t head[HF_WAL_HEADER_SIZE];
    struct hf_wal_header wal;
    HF_TRY(hf_live_read_wal(c->live, head, sizeof(head), 0, err));
    enum hf_code rc = hf_wal_header_parse(head, &wal, err);
    if (rc != HF_OK)
        return hf_err_wrap(err, "%s-wal", hf_live_path(c->live));
    if (!same_salt(wal.salt, h->salt) || wal.page_size != c->page_size)
        return hf_err_set(err, HF_E_CONFLICT, "%s-wal is not the log its index speaks of",
                          hf_live_path(c->live));
    c->is_big_endian = wal.is_big_endian;
    memcpy(c->pos.salt, wal.salt, sizeof(wal.salt));
    memcpy(c->pos.cksum, wal.cksum, sizeof(wal.cksum));
    c->pos.frame = 0;
    return HF_OK;
}

/* In memory, else in the spill file, else as a reference into the log. */
static void keep_page(struct hf_capture *c, uint32_t pgno, const uint8_t *page)
{
    struct hf_pageset *pages = c->batch.pages;
    if (hf_pageset_bytes(pages) < c->memory_bytes) {
        hf_pageset_put(pages, pgno, c->pos.frame, page);
        return;
    }
    bool has_room = hf_pageset_spilled_bytes(pages) < c->spill_bytes || hf_pageset_has(pages, pgno);
    if (!has_room || hf_pageset_put_spilled(pages, pgno, page, NULL) != HF_OK)
        hf_pageset_put_ref(pages, pgno, c->pos.frame);
}

/* Takes one verified frame into the batch. */
static void keep_frame(struct hf_capture *c, const struct hf_wal_frame *f, const uint8_t *page)
{
    keep_page(c, f->pgno, page);
    if (f->commit == 0)
        return;
    c->commit = f->commit;
    c->batch.commit = f->commit;
    c->batch.to = c->pos;
    c->batch.n_commits++;
    c->change++;
    if (f->commit < c->min_commit)
        c->min_commit = f->commit;
}

/* Verifies and keeps the n frames in c->buf that follow c->pos. */
static enum hf_code keep_frames(struct hf_capture *c, uint32_t n, struct hf_err *err)
{
    size_t frame_size = HF_WAL_FRAME_HEADER_SIZE + (size_t)c->page_size;
    struct hf_wal_header h = {.page_size = c->page_size, .is_big_endian = c->is_big_endian};
    memcpy(h.salt, c->pos.salt, sizeof(h.salt));
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *at = c->buf + i * frame_size;
        struct hf_wal_frame f;
        if (!hf_wal_frame_check(&h, at, at + HF_WAL_FRAME_HEADER_SIZE, c->pos.cksum))
            return hf_err_set(
                err, HF_E_CORRUPT, "%s-wal: frame %u at offset %llu is damaged",
                hf_live_path(c->live), c->pos.frame + 1,
                (unsigned long long)hf_wal_frame_offset(c->page_size, c->pos.frame + 1));
        hf_wal_frame_parse(at, &f);
        c->pos.frame++;
        keep_frame(c, &f, at + HF_WAL_FRAME_HEADER_SIZE);
    }
    return HF_OK;
}

/* Reads frames up to and with last, which the index says are committed. Stops behind a commit when
 * the batch is full. */
static enum hf_code read_frames(struct hf_capture *c, uint32_t last, struct hf_err *err)
{
    size_t frame_size = HF_WAL_FRAME_HEADER_SIZE + (size_t)c->page_size;
    uint32_t per_read = (uint32_t)(READ_BYTES / frame_size);
    if (per_read == 0)
        per_read = 1;
    if (per_read > last - c->pos.frame)
        per_read = last - c->pos.frame;
    c->buf = hf_malloc(per_read * frame_size);
    enum hf_code rc = HF_OK;
    if (c->batch.commit == 0)
        c->batch.first_wall_ms = hf_clock_wall_ms();
    while (rc == HF_OK && c->pos.frame < last) {
        uint32_t n = last - c->pos.frame < per_read ? last - c->pos.frame : per_read;
        rc = hf_live_read_wal(c->live, c->buf, n * frame_size,
                              hf_wal_frame_offset(c->page_size, c->pos.frame + 1), err);
        if (rc == HF_OK)
            rc = keep_frames(c, n, err);
    }
    hf_free(c->buf);
    c->buf = NULL;
    return rc;
}

/* The frame of pos must still be there with the checksum that proves everything before it. */
static enum hf_code check_pos(struct hf_capture *c, const struct hf_walindex *h, struct hf_err *err)
{
    uint8_t head[HF_WAL_FRAME_HEADER_SIZE];
    struct hf_wal_frame f;
    if (c->pos.frame > h->max_frame)
        return hf_err_set(err, HF_E_CONFLICT, "the log of %s is shorter than what was shipped",
                          hf_live_path(c->live));
    if (c->pos.frame == 0)
        return HF_OK;
    HF_TRY(hf_live_read_wal(c->live, head, sizeof(head),
                            hf_wal_frame_offset(c->page_size, c->pos.frame), err));
    hf_wal_frame_parse(head, &f);
    if (!same_salt(f.salt, c->pos.salt) || !same_salt(f.cksum, c->pos.cksum))
        return hf_err_set(err, HF_E_CONFLICT, "the log of %s was rewritten", hf_live_path(c->live));
    return HF_OK;
}

static struct hf_capture *new_capture(struct hf_live *live)
{
    struct hf_capture *c = hf_calloc(1, sizeof(*c));
    c->magic = CAPTURE_MAGIC;
    c->live = live;
    c->page_size = hf_live_page_size(live);
    c->state = HF_CAPTURE_FOLLOWING;
    c->memory_bytes = HF_LIMIT_BATCH_BYTES;
    return c;
}

static void adopt_index(struct hf_capture *c, const struct hf_walindex *h)
{
    c->is_big_endian = h->is_big_endian;
    c->has_change = false;
}

/* Where to go on: after pos in the same log, or at the beginning of one that must be its successor.
 */
static enum hf_code find_start(struct hf_capture *c, const struct hf_walindex *h, uint32_t backfill,
                               bool is_main_unchanged, struct hf_err *err)
{
    adopt_index(c, h);
    if (h->page_size != 0 && h->page_size != c->page_size)
        return hf_err_set(err, HF_E_CONFLICT, "the page size of %s changed", hf_live_path(c->live));
    if (hf_wal_pos_is_of(&c->pos, h->salt) && h->max_frame >= c->pos.frame)
        return check_pos(c, h, err);
    if (!is_main_unchanged || backfill != 0)
        return hf_err_set(err, HF_E_CONFLICT, "the log of %s was restarted while nobody watched",
                          hf_live_path(c->live));
    c->pos.frame = 0;
    memcpy(c->pos.salt, h->salt, sizeof(h->salt));
    return h->max_frame == 0 ? HF_OK : read_wal_header(c, h, err);
}

enum hf_code hf_capture_new(struct hf_live *take_live, const struct hf_wal_pos *pos,
                            uint32_t commit, bool is_main_unchanged, struct hf_capture **out,
                            struct hf_err *err)
{
    struct hf_walindex h;
    uint32_t backfill = 0;
    HF_TRY(hf_live_take_slot(take_live, err));
    enum hf_walindex_state s = hf_live_index(take_live, &h, &backfill);
    if (s == HF_WALINDEX_NOT_INIT && hf_live_wal_size(take_live) == 0) {
        h = (struct hf_walindex){0};
        s = HF_WALINDEX_OK;
    }
    struct hf_capture *c = new_capture(take_live);
    c->pos = *pos;
    c->commit = commit;
    enum hf_code rc = s == HF_WALINDEX_OK ? find_start(c, &h, backfill, is_main_unchanged, err)
                                          : index_problem(s, hf_live_path(take_live), err);
    if (rc != HF_OK) {
        hf_live_drop_slot(take_live);
        hf_free(c);
        return rc;
    }
    start_batch(c);
    *out = c;
    return HF_OK;
}

/* The checksum of frame n, from its header. */
static enum hf_code load_frame_cksum(struct hf_capture *c, uint32_t frame, struct hf_err *err)
{
    uint8_t head[HF_WAL_FRAME_HEADER_SIZE];
    struct hf_wal_frame f;
    HF_TRY(hf_live_read_wal(c->live, head, sizeof(head), hf_wal_frame_offset(c->page_size, frame),
                            err));
    hf_wal_frame_parse(head, &f);
    if (!same_salt(f.salt, c->pos.salt))
        return hf_err_set(err, HF_E_CORRUPT, "%s-wal: frame %u is not of this log",
                          hf_live_path(c->live), frame);
    c->pos.frame = frame;
    memcpy(c->pos.cksum, f.cksum, sizeof(f.cksum));
    return HF_OK;
}

static enum hf_code find_base_start(struct hf_capture *c, const struct hf_walindex *h,
                                    uint32_t backfill, struct hf_err *err)
{
    uint64_t size = 0;
    adopt_index(c, h);
    HF_TRY(hf_live_main_size(c->live, &size, err));
    c->commit = h->max_frame > 0 ? h->pages : (uint32_t)(size / c->page_size);
    memcpy(c->pos.salt, h->salt, sizeof(h->salt));
    if (h->max_frame == 0)
        return HF_OK;
    HF_TRY(read_wal_header(c, h, err));
    return backfill == 0 ? HF_OK : load_frame_cksum(c, backfill, err);
}

enum hf_code hf_capture_new_base(struct hf_live *take_live, struct hf_capture **out,
                                 uint32_t *pages, struct hf_err *err)
{
    struct hf_walindex h;
    uint32_t backfill = 0;
    HF_TRY(hf_live_take_slot(take_live, err));
    enum hf_walindex_state s = hf_live_index(take_live, &h, &backfill);
    if (s == HF_WALINDEX_NOT_INIT && hf_live_wal_size(take_live) == 0) {
        h = (struct hf_walindex){0};
        s = HF_WALINDEX_OK;
    }
    struct hf_capture *c = new_capture(take_live);
    enum hf_code rc = s == HF_WALINDEX_OK ? find_base_start(c, &h, backfill, err)
                                          : index_problem(s, hf_live_path(take_live), err);
    if (rc != HF_OK) {
        hf_live_drop_slot(take_live);
        hf_free(c);
        return rc;
    }
    *pages = c->commit;
    start_batch(c);
    *out = c;
    return HF_OK;
}

void hf_capture_free(struct hf_capture *c)
{
    if (c == NULL)
        return;
    hf_assert_magic(c, CAPTURE_MAGIC);
    hf_batch_deinit(&c->batch);
    hf_live_close(c->live);
    c->magic = 0;
    hf_free(c);
}

/* Following -> drained: slot 0 first, then the header once more; only if nothing moved does the
 * slot go. */
static void try_drain(struct hf_capture *c, const struct hf_walindex *seen)
{
    struct hf_walindex h;
    uint32_t backfill = 0;
    if (hf_live_take_zero(c->live, NULL) != HF_OK)
        return; /* a checkpoint holds it: next look */
    bool is_still = hf_live_index(c->live, &h, &backfill) == HF_WALINDEX_OK &&
                    same_salt(h.salt, seen->salt) && h.max_frame == seen->max_frame &&
                    h.change == seen->change && backfill == seen->max_frame;
    if (!is_still) {
        hf_live_drop_zero(c->live);
        return;
    }
    hf_live_drop_slot(c->live);
    c->state = HF_CAPTURE_DRAINED;
}

/* Drained and the log has something new: hold it with a slot before slot 0 goes. The header is read
 * again in between: the writer may have gone on. */
static enum hf_code leave_drained(struct hf_capture *c, struct hf_walindex *h, uint32_t *backfill,
                                  struct hf_err *err)
{
    HF_TRY(hf_live_take_slot(c->live, err));
    enum hf_walindex_state s = hf_live_index(c->live, h, backfill);
    if (s != HF_WALINDEX_OK) {
        hf_live_drop_slot(c->live);
        return index_problem(s, hf_live_path(c->live), err);
    }
    bool is_restart = !same_salt(h->salt, c->pos.salt);
    enum hf_code rc = is_restart && h->max_frame > 0 ? read_wal_header(c, h, err) : HF_OK;
    if (rc != HF_OK) {
        hf_live_drop_slot(c->live);
        return rc;
    }
    hf_live_drop_zero(c->live);
    c->state = HF_CAPTURE_FOLLOWING;
    return HF_OK;
}

/* Salts of a log nobody wrote to yet: nothing to capture, and it continues us. */
static enum hf_code adopt_empty_log(struct hf_capture *c, const struct hf_walindex *h,
                                    bool was_drained, struct hf_err *err)
{
    if (!was_drained && c->pos.frame != 0)
        return hf_err_set(err, HF_E_CONFLICT, "the log of %s was emptied although it was held",
                          hf_live_path(c->live));
    memcpy(c->pos.salt, h->salt, sizeof(h->salt));
    c->pos.frame = 0;
    if (c->batch.commit == 0)
        c->batch.from = c->pos;
    return HF_OK;
}

/* New frames in the log that is being followed. */
static enum hf_code follow(struct hf_capture *c, const struct hf_walindex *h, struct hf_err *err)
{
    if (!same_salt(h->salt, c->pos.salt) || c->pos.frame == 0) {
        /* a log that had no frame may get its header any time; one that had must stay */
        if (c->pos.frame != 0 && !same_salt(h->salt, c->pos.salt))
            return hf_err_set(err, HF_E_CONFLICT,
                              "the log of %s was restarted although it was held",
                              hf_live_path(c->live));
        HF_TRY(read_wal_header(c, h, err));
        if (c->batch.commit == 0)
            c->batch.from = c->pos;
    }
    if (h->max_frame < c->pos.frame)
        return hf_err_set(err, HF_E_CONFLICT, "the log of %s became shorter although it was held",
                          hf_live_path(c->live));
    HF_TRY(read_frames(c, h->max_frame, err));
    uint32_t expected = c->change; /* read_frames counted the commits */
    bool is_gap = c->has_change && h->change > expected && h->change - expected < 1u << 30;
    c->change = h->change;
    c->has_change = true;
    if (is_gap)
        return hf_err_set(err, HF_E_CONFLICT, "%u commits of %s were not seen",
                          h->change - expected, hf_live_path(c->live));
    return HF_OK;
}

static bool is_same(const struct hf_capture *c, const struct hf_walindex *h)
{
    return same_salt(h->salt, c->pos.salt) && h->max_frame == c->pos.frame;
}

static bool is_batch_full(const struct hf_capture *c)
{
    return hf_pageset_bytes(c->batch.pages) >= c->memory_bytes &&
           (hf_pageset_has_refs(c->batch.pages) ||
            hf_pageset_spilled_bytes(c->batch.pages) >= c->spill_bytes);
}

/* The index moved: captures what is new. h and backfill are read anew when the state changes. */
static enum hf_code catch_up(struct hf_capture *c, struct hf_walindex *h, uint32_t *backfill,
                             struct hf_look *look, struct hf_err *err)
{
    bool was_drained = c->state == HF_CAPTURE_DRAINED;
    if (was_drained)
        HF_TRY(leave_drained(c, h, backfill, err));
    if (h->max_frame == 0)
        return adopt_empty_log(c, h, was_drained, err);
    if (is_same(c, h))
        return HF_OK;
    HF_TRY(follow(c, h, err));
    look->has_new = true;
    look->is_full = is_batch_full(c);
    return HF_OK;
}

static bool may_drain(enum hf_drain drain, uint32_t frames)
{
    return drain == HF_DRAIN_ANY || (drain == HF_DRAIN_USED && frames > 0);
}

bool hf_capture_is_appended(const struct hf_capture *c)
{
    uint8_t head[HF_WAL_FRAME_HEADER_SIZE];
    struct hf_wal_frame f;
    if (c->state != HF_CAPTURE_DRAINED || c->pos.frame == 0 ||
        hf_live_read_wal(c->live, head, sizeof(head),
                         hf_wal_frame_offset(c->page_size, c->pos.frame + 1), NULL) != HF_OK)
        return false;
    hf_wal_frame_parse(head, &f);
    return same_salt(f.salt, c->pos.salt);
}

enum hf_code hf_capture_look(struct hf_capture *c, enum hf_drain drain, struct hf_look *look,
                             struct hf_err *err)
{
    hf_assert_magic(c, CAPTURE_MAGIC);
    struct hf_walindex h;
    uint32_t backfill = 0;
    *look = (struct hf_look){0};
    enum hf_walindex_state s = hf_live_index(c->live, &h, &backfill);
    if (s == HF_WALINDEX_NOT_INIT) {
        look->wants_recovery = hf_live_wal_size(c->live) > 0;
        return HF_OK;
    }
    if (s != HF_WALINDEX_OK) {
        look->wants_recovery = s == HF_WALINDEX_TORN;
        return index_problem(s, hf_live_path(c->live), err);
    }
    if (h.page_size != 0 && h.page_size != c->page_size)
        return hf_err_set(err, HF_E_CONFLICT, "the page size of %s changed", hf_live_path(c->live));
    look->is_full = is_batch_full(c);
    if (!is_same(c, &h) && !look->is_full)
        HF_TRY(catch_up(c, &h, &backfill, look, err));
    if (is_same(c, &h) && !c->has_change) {
        c->change = h.change;
        c->has_change = true;
    }
    if (drain == HF_DRAIN_LEAVE && c->state == HF_CAPTURE_DRAINED)
        HF_TRY(leave_drained(c, &h, &backfill, err));
    look->log_frames = h.max_frame;
    look->backfill = backfill;
    bool is_captured = is_same(c, &h);
    if (c->state == HF_CAPTURE_FOLLOWING && is_captured && backfill == h.max_frame &&
        may_drain(drain, h.max_frame) && !hf_pageset_has_refs(c->batch.pages))
        try_drain(c, &h);
    look->is_waiting_drain = c->state == HF_CAPTURE_FOLLOWING && is_captured;
    return HF_OK;
}

/* The newest frame of the log that holds pgno, by its frame headers; 0 if there is none. */
static enum hf_code find_in_log(struct hf_capture *c, uint32_t pgno, uint32_t *frame,
                                struct hf_err *err)
{
    uint8_t head[HF_WAL_FRAME_HEADER_SIZE];
    *frame = 0;
    for (uint32_t n = c->pos.frame; n >= 1; n--) {
        HF_TRY(hf_live_read_wal(c->live, head, sizeof(head), hf_wal_frame_offset(c->page_size, n),
                                err));
        if (hf_be32(head) == pgno) {
            *frame = n;
            return HF_OK;
        }
    }
    return HF_OK;
}

/*
 * A page that became part of the database without being written to the log is a free leaf page: its
 * content means nothing to SQLite, but an LTX chain must hold every page. It gets what the source's
 * own main file will have after a checkpoint: an older frame of this log, else the main file, else
 * zeros.
 */
static enum hf_code fill_page(struct hf_capture *c, uint32_t pgno, uint8_t *page,
                              struct hf_err *err)
{
    uint32_t frame = 0;
    if (c->state == HF_CAPTURE_FOLLOWING && c->pos.frame > 0)
        HF_TRY(find_in_log(c, pgno, &frame, err));
    if (frame == 0)
        HF_TRY(hf_live_read_main(c->live, page, c->page_size, (uint64_t)(pgno - 1) * c->page_size,
                                 err));
    else
        HF_TRY(hf_live_read_wal(c->live, page, c->page_size,
                                hf_wal_frame_offset(c->page_size, frame) + HF_WAL_FRAME_HEADER_SIZE,
                                err));
    hf_pageset_put(c->batch.pages, pgno, frame, page);
    return HF_OK;
}

static enum hf_code fill_gaps(struct hf_capture *c, struct hf_err *err)
{
    if (c->batch.commit <= c->min_commit)
        return HF_OK;
    uint32_t lock_page = 0x40000000u / c->page_size + 1;
    HF_AUTO_FREE uint8_t *page = hf_malloc(c->page_size);
    for (uint32_t pgno = c->min_commit + 1; pgno <= c->batch.commit; pgno++) {
        if (pgno != lock_page && !hf_pageset_has(c->batch.pages, pgno))
            HF_TRY(fill_page(c, pgno, page, err));
    }
    return HF_OK;
}

enum hf_code hf_capture_take(struct hf_capture *c, struct hf_batch *out, struct hf_err *err)
{
    hf_assert_magic(c, CAPTURE_MAGIC);
    if (c->batch.commit == 0)
        return hf_err_set(err, HF_E_NOT_FOUND, "nothing was captured");
    hf_assert(c->batch.to.frame == c->pos.frame || c->pos.frame == 0);
    HF_TRY(fill_gaps(c, err));
    hf_pageset_truncate(c->batch.pages, c->batch.commit);
    *out = c->batch;
    start_batch(c);
    return HF_OK;
}

struct hf_batch *hf_capture_batch(struct hf_capture *c)
{
    return &c->batch;
}

enum hf_capture_state hf_capture_state(const struct hf_capture *c)
{
    return c->state;
}

struct hf_live *hf_capture_live(struct hf_capture *c)
{
    return c->live;
}

uint64_t hf_capture_ahead_bytes(const struct hf_capture *c)
{
    struct hf_walindex h;
    uint32_t backfill = 0;
    if (hf_live_index(c->live, &h, &backfill) != HF_WALINDEX_OK)
        return 0;
    uint32_t done = same_salt(h.salt, c->pos.salt) ? c->pos.frame : 0;
    return h.max_frame > done ? (uint64_t)(h.max_frame - done) * c->page_size : 0;
}

size_t hf_capture_pending_bytes(const struct hf_capture *c)
{
    return hf_pageset_bytes(c->batch.pages);
}

uint64_t hf_capture_spilled_bytes(const struct hf_capture *c)
{
    return hf_pageset_spilled_bytes(c->batch.pages);
}

void hf_capture_set_room(struct hf_capture *c, const char *spill_dir, size_t memory_bytes,
                         uint64_t spill_bytes)
{
    hf_assert_magic(c, CAPTURE_MAGIC);
    c->spill_dir = spill_dir;
    c->memory_bytes = memory_bytes;
    c->spill_bytes = spill_dir == NULL ? 0 : spill_bytes;
    hf_pageset_set_spill_dir(c->batch.pages, spill_dir);
}

uint32_t hf_capture_commit(const struct hf_capture *c)
{
    return c->commit;
}

struct hf_wal_pos hf_capture_pos(const struct hf_capture *c)
{
    return c->pos;
}
