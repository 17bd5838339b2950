#include "sqlite/apply.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "sqlite/apply_int.h"
#include "sqlite/vfs.h"

enum { LOCK_BYTE = 0x40000000 };

static size_t frame_size(const struct hf_apply *a)
{
    return HF_WAL_FRAME_HEADER_SIZE + a->page_size;
}

enum hf_code hf_apply_expect(struct hf_apply *a, const struct hf_apply_mark *marks, unsigned n,
                             struct hf_err *err)
{
    hf_assert_magic(a, HF_APPLY_MAGIC);
    hf_assert(a->state == HF_APPLY_IDLE);
    if (a->last.max_frame == 0)
        return HF_OK;
    for (unsigned i = 0; i < n; i++) {
        if (marks[i].max_frame == a->last.max_frame &&
            marks[i].cksum[0] == a->last.frame_cksum[0] &&
            marks[i].cksum[1] == a->last.frame_cksum[1])
            return HF_OK;
    }
    hf_err_set(err, HF_E_CONFLICT,
               "%s was written by somebody else while nobody followed: its log ends at frame %u, "
               "which is not ours",
               a->path, (unsigned)a->last.max_frame);
    hf_err_hint(err, "a copy that is followed may only be read; restore it anew");
    return HF_E_CONFLICT;
}

/* The log is empty: gives it a header. What is left in the file has other salts. */
static enum hf_code start_log(struct hf_apply *a, const struct hf_walindex *h, struct hf_err *err)
{
    a->log = (struct hf_wal_header){.page_size = a->page_size,
                                    .salt = {h->salt[0], h->salt[1]},
                                    .is_big_endian = hf_wal_host_is_big_endian()};
    if (h->salt[0] == 0 && h->salt[1] == 0)
        hf_random_bytes(a->log.salt, sizeof(a->log.salt));
    uint8_t head[HF_WAL_HEADER_SIZE];
    struct hf_wal_header old;
    size_t got = 0;
    HF_TRY(hf_file_read_some(&a->wal, head, sizeof(head), 0, &got, err));
    if (got == sizeof(head) && hf_wal_header_parse(head, &old, NULL) == HF_OK)
        a->log.seq = old.seq + 1;
    hf_wal_header_build(&a->log, head);
    hf_walindex_set_backfill(a->region0, 0);
    hf_apply_step(a, "wal-header");
    HF_TRY(hf_file_write_at(&a->wal, head, sizeof(head), 0, err));
    hf_apply_step(a, "wal-header-sync");
    HF_TRY(hf_file_sync(&a->wal, err));
    a->cksum[0] = a->log.cksum[0];
    a->cksum[1] = a->log.cksum[1];
    return HF_OK;
}

/* The log goes on behind the last commit. */
static enum hf_code continue_log(struct hf_apply *a, const struct hf_walindex *h,
                                 struct hf_err *err)
{
    a->log = (struct hf_wal_header){.page_size = a->page_size,
                                    .salt = {h->salt[0], h->salt[1]},
                                    .is_big_endian = h->is_big_endian};
    a->cksum[0] = h->frame_cksum[0];
    a->cksum[1] = h->frame_cksum[1];
    uint32_t block = hf_walindex_block_of(h->max_frame);
    if (hf_walindex_block_of(h->max_frame + 1) != block)
        return HF_OK; /* the first entry of a block clears it */
    volatile void *p = NULL;
    HF_TRY(hf_apply_map(a, block, true, &p, err));
    if (hf_walindex_is_set(p, h->max_frame + 1)) {
        hf_apply_step(a, "index-truncate");
        hf_walindex_truncate(p, h->max_frame);
    }
    return HF_OK;
}

static enum hf_code begin_locked(struct hf_apply *a, const struct hf_walindex *h,
                                 struct hf_err *err)
{
    a->frames = h->max_frame;
    a->first_frame = h->max_frame + 1;
    a->batch_len = 0;
    a->block = NULL;
    if (a->batch == NULL)
        a->batch = hf_malloc(a->batch_cap * frame_size(a));
    if (h->max_frame == 0)
        return start_log(a, h, err);
    return continue_log(a, h, err);
}

enum hf_code hf_apply_begin(struct hf_apply *a, uint32_t page_size, uint32_t commit,
                            struct hf_err *err)
{
    hf_assert_magic(a, HF_APPLY_MAGIC);
    hf_assert(a->state == HF_APPLY_IDLE);
    if (page_size != a->page_size)
        return hf_err_set(err, HF_E_UNSUPPORTED,
                          "%s: page size changes from %u to %u: needs a new base", a->path,
                          (unsigned)a->page_size, (unsigned)page_size);
    if (commit == 0)
        return hf_err_set(err, HF_E_INVALID, "%s: a transaction that leaves no pages", a->path);
    struct hf_walindex h;
    HF_TRY(hf_apply_enter(a, HF_APPLY_BUSY_MS, &h, err));
    enum hf_code rc = begin_locked(a, &h, err);
    if (rc != HF_OK) {
        hf_apply_leave(a);
        return rc;
    }
    a->commit = commit;
    a->state = HF_APPLY_OPEN;
    return HF_OK;
}

static enum hf_code index_frame(struct hf_apply *a, uint32_t frame, uint32_t pgno,
                                struct hf_err *err)
{
    uint32_t block = hf_walindex_block_of(frame);
    if (a->block == NULL || a->block_no != block) {
        HF_TRY(hf_apply_map(a, block, true, &a->block, err));
        hf_assert(a->block != NULL);
        a->block_no = block;
    }
    if (!hf_walindex_append(a->block, frame, pgno))
        return hf_err_set(err, HF_E_CORRUPT, "%s-shm: hash table of block %u is full", a->path,
                          (unsigned)block);
    return HF_OK;
}

/* Packs the frames of the batch and goes on with the checksum; commit: 0, or the last one ends the
 * transaction. */
static void seal_batch(struct hf_apply *a, uint32_t commit)
{
    size_t size = frame_size(a);
    for (uint32_t i = 0; i < a->batch_len; i++) {
        uint8_t *f = a->batch + i * size;
        uint32_t last = i + 1 == a->batch_len ? commit : 0;
        hf_wal_frame_build(&a->log, hf_be32(f), last, f + HF_WAL_FRAME_HEADER_SIZE, a->cksum, f);
    }
}

/* Writes the packed batch behind the last frame. After a failure only abort may follow. */
static enum hf_code write_batch(struct hf_apply *a, struct hf_err *err)
{
    size_t size = frame_size(a);
    hf_apply_step(a, "frames");
    HF_TRY(hf_file_write_at(&a->wal, a->batch, a->batch_len * size,
                            hf_wal_frame_offset(a->page_size, a->frames + 1), err));
    hf_apply_step(a, "index");
    for (uint32_t i = 0; i < a->batch_len; i++) {
        if (i == a->batch_len / 2)
            hf_apply_step(a, "index-half");
        HF_TRY(index_frame(a, a->frames + 1 + i, hf_be32(a->batch + i * size), err));
    }
    a->frames += a->batch_len;
    a->batch_len = 0;
    return HF_OK;
}

static enum hf_code flush(struct hf_apply *a, struct hf_err *err)
{
    seal_batch(a, 0);
    return write_batch(a, err);
}

enum hf_code hf_apply_page(struct hf_apply *a, uint32_t pgno, const void *data, struct hf_err *err)
{
    hf_assert_magic(a, HF_APPLY_MAGIC);
    hf_assert(a->state == HF_APPLY_OPEN);
    if (pgno == 0 || pgno > a->commit || pgno == LOCK_BYTE / a->page_size + 1)
        return hf_err_set(err, HF_E_INVALID, "%s: page %u in a transaction that leaves %u pages",
                          a->path, (unsigned)pgno, (unsigned)a->commit);
    if (a->batch_len == a->batch_cap)
        HF_TRY(flush(a, err));
    uint8_t *f = a->batch + a->batch_len * frame_size(a);
    hf_put_be32(f, pgno);
    memcpy(f + HF_WAL_FRAME_HEADER_SIZE, data, a->page_size);
    if (pgno == 1) {
        f[HF_WAL_FRAME_HEADER_SIZE + 18] = 2;
        f[HF_WAL_FRAME_HEADER_SIZE + 19] = 2;
    }
    a->batch_len++;
    return HF_OK;
}

/* The index header as commit will publish it. */
static struct hf_walindex next_header(const struct hf_apply *a)
{
    struct hf_walindex h = a->last;
    uint32_t frames = a->frames + a->batch_len;
    if (frames == a->last.max_frame)
        return h;
    h.change++;
    h.is_init = true;
    h.is_big_endian = a->log.is_big_endian;
    h.page_size = a->page_size;
    h.max_frame = frames;
    h.pages = a->commit;
    h.frame_cksum[0] = a->cksum[0];
    h.frame_cksum[1] = a->cksum[1];
    h.salt[0] = a->log.salt[0];
    h.salt[1] = a->log.salt[1];
    return h;
}

struct hf_apply_mark hf_apply_mark_of(const struct hf_walindex *h)
{
    return (struct hf_apply_mark){
        .change = h->change,
        .max_frame = h->max_frame,
        .cksum = {h->frame_cksum[0], h->frame_cksum[1]},
    };
}

void hf_apply_prepare(struct hf_apply *a, struct hf_apply_mark *mark)
{
    hf_assert_magic(a, HF_APPLY_MAGIC);
    hf_assert(a->state == HF_APPLY_OPEN);
    seal_batch(a, a->commit);
    a->state = HF_APPLY_PREPARED;
    struct hf_walindex h = next_header(a);
    *mark = h.max_frame != a->last.max_frame ? hf_apply_mark_of(&h) : a->kept;
}

static void publish(struct hf_apply *a, const struct hf_walindex *h)
{
    hf_apply_step(a, "publish");
    if (a->step_fn != NULL) {
        hf_walindex_write_half(a->region0, h);
        hf_apply_step(a, "publish-half");
    }
    hf_walindex_write(a->region0, h);
    hf_apply_step(a, "published");
}

enum hf_code hf_apply_commit(struct hf_apply *a, struct hf_err *err)
{
    struct hf_apply_mark mark;
    hf_assert_magic(a, HF_APPLY_MAGIC);
    if (a->state == HF_APPLY_OPEN)
        hf_apply_prepare(a, &mark);
    hf_assert(a->state == HF_APPLY_PREPARED);
    struct hf_walindex h = next_header(a);
    if (h.max_frame != a->last.max_frame) {
        HF_TRY(write_batch(a, err));
        hf_assert(h.max_frame > a->last.max_frame);
        publish(a, &h);
        a->last = h;
        a->kept = hf_apply_mark_of(&h);
    }
    hf_apply_leave(a);
    a->state = HF_APPLY_IDLE;
    return HF_OK;
}

void hf_apply_abort(struct hf_apply *a)
{
    hf_assert_magic(a, HF_APPLY_MAGIC);
    if (a->state == HF_APPLY_IDLE)
        return;
    /* A commit frame may be in the file (commit failed half-way): a recovery must not find it. */
    static const uint8_t zero[HF_WAL_FRAME_HEADER_SIZE];
    if (a->state == HF_APPLY_PREPARED && a->frames + a->batch_len != a->last.max_frame)
        (void)!hf_file_write_at(&a->wal, zero, sizeof(zero),
                                hf_wal_frame_offset(a->page_size, a->first_frame), NULL);
    hf_apply_leave(a);
    a->state = HF_APPLY_IDLE;
}

static uint32_t pages_in_file(const struct hf_apply *a)
{
    sqlite3_int64 size = 0;
    if (hf_vfs_size(a->file, a->path, &size) != SQLITE_OK)
        return 0;
    return (uint32_t)(size / a->page_size);
}

struct hf_apply_info hf_apply_info(const struct hf_apply *a)
{
    struct hf_walindex h;
    struct hf_file_stat st = {0};
    struct hf_file wal = a->wal;
    if (hf_walindex_read(a->region0, &h) != HF_WALINDEX_OK)
        h = a->last;
    if (hf_file_stat(&wal, &st, NULL) != HF_OK)
        st.size = 0;
    return (struct hf_apply_info){
        .page_size = a->page_size,
        .pages = h.max_frame != 0 ? h.pages : pages_in_file(a),
        .frames = h.max_frame,
        .copied = hf_walindex_backfill(a->region0),
        .wal_bytes = st.size,
    };
}

struct hf_apply_mark hf_apply_mark(const struct hf_apply *a)
{
    return a->kept;
}
