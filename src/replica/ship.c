#include "replica/ship.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/gate.h"

enum {
    ONE_PUT_BYTES = 4 << 20, /* encoded size up to which a file is built in memory */
    SINK_MAX = (4 << 20) + (1 << 20),
};

static int64_t wal_offset(uint32_t page_size, uint32_t frame)
{
    return (int64_t)hf_wal_frame_offset(page_size, frame + 1);
}

void hf_ship_header(const struct hf_batch *batch, uint64_t txid, int64_t now_ms,
                    struct hf_ltx_header *h)
{
    bool is_same_log = batch->from.salt[0] == batch->to.salt[0] &&
                       batch->from.salt[1] == batch->to.salt[1] &&
                       batch->from.frame <= batch->to.frame;
    uint32_t from = is_same_log ? batch->from.frame : 0;
    *h = (struct hf_ltx_header){
        .flags = HF_LTX_FLAG_NO_CHECKSUM,
        .page_size = batch->page_size,
        .commit = batch->commit,
        .min_txid = txid,
        .max_txid = txid,
        .timestamp_ms = now_ms,
        .wal_offset = wal_offset(batch->page_size, from),
        .wal_salt1 = batch->to.salt[0],
        .wal_salt2 = batch->to.salt[1],
    };
    h->wal_size = wal_offset(batch->page_size, batch->to.frame) - h->wal_offset;
}

int hf_ship_level(const struct hf_ship *s, struct hf_ltx_header *h)
{
    if (s->is_new_chain)
        h->min_txid = 1;
    else if (s->min_txid != 0)
        h->min_txid = s->min_txid;
    return s->is_new_chain ? HF_LEVEL_SNAPSHOT : 0;
}

static int level_of(const struct hf_ship *s)
{
    return s->is_new_chain ? HF_LEVEL_SNAPSHOT : 0;
}

static enum hf_code write_buf(void *arg, const void *data, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, data, len, err);
}

/* Reads pages that are references into the log. */
struct log_reader {
    struct hf_file file;
    struct hf_wal_header head;
    uint8_t *frame; /* header and page */
};

static enum hf_code log_open(struct log_reader *r, const char *path, const struct hf_batch *batch,
                             struct hf_err *err)
{
    uint8_t head[HF_WAL_HEADER_SIZE];
    HF_TRY(hf_file_open(path, HF_FILE_READ, 0, &r->file, err));
    HF_TRY(hf_file_read_at(&r->file, head, sizeof(head), 0, err));
    HF_TRY(hf_wal_header_parse(head, &r->head, err));
    if (r->head.salt[0] != batch->to.salt[0] || r->head.salt[1] != batch->to.salt[1])
        return hf_err_set(err, HF_E_CONFLICT, "%s was restarted while it was needed", path);
    r->frame = hf_malloc(HF_WAL_FRAME_HEADER_SIZE + (size_t)batch->page_size);
    return HF_OK;
}

static void log_close(struct log_reader *r)
{
    hf_file_close(&r->file);
    hf_free(r->frame);
}

/* The page of a frame, proven by the checksum that goes on from the frame before: should the log
 * have been let go of meanwhile, what stands there now is something else. */
static enum hf_code log_read(struct log_reader *r, const struct hf_pageset_item *it,
                             const uint8_t **page, struct hf_err *err)
{
    uint8_t before[HF_WAL_FRAME_HEADER_SIZE];
    struct hf_wal_frame f;
    uint32_t size = r->head.page_size;
    uint32_t cksum[2] = {r->head.cksum[0], r->head.cksum[1]};
    if (it->frame > 1) {
        HF_TRY(hf_file_read_at(&r->file, before, sizeof(before),
                               hf_wal_frame_offset(size, it->frame - 1), err));
        hf_wal_frame_parse(before, &f);
        cksum[0] = f.cksum[0];
        cksum[1] = f.cksum[1];
    }
    HF_TRY(hf_file_read_at(&r->file, r->frame, HF_WAL_FRAME_HEADER_SIZE + (size_t)size,
                           hf_wal_frame_offset(size, it->frame), err));
    hf_wal_frame_parse(r->frame, &f);
    *page = r->frame + HF_WAL_FRAME_HEADER_SIZE;
    if (f.pgno != it->pgno || !hf_wal_frame_check(&r->head, r->frame, *page, cksum))
        return hf_err_set(err, HF_E_CONFLICT, "%s: frame %u changed while it was needed",
                          r->file.path, it->frame);
    return HF_OK;
}

static enum hf_code encode_items(const struct hf_batch *batch, struct log_reader *log,
                                 struct hf_ltx_encoder *e, struct hf_err *err)
{
    size_t n = hf_pageset_count(batch->pages);
    HF_AUTO_FREE uint8_t *page = hf_malloc(batch->page_size);
    for (size_t i = 0; i < n; i++) {
        struct hf_pageset_item it = hf_pageset_item(batch->pages, i);
        if (it.is_spilled) {
            HF_TRY(hf_pageset_read_spilled(batch->pages, i, page, err));
            it.data = page;
        }
        if (it.data == NULL)
            HF_TRY(log_read(log, &it, &it.data, err));
        HF_TRY(hf_ltx_encoder_page(e, it.pgno, it.data, err));
    }
    return HF_OK;
}

enum hf_code hf_ship_encode_pages(const struct hf_ship *s, const struct hf_batch *batch,
                                  struct hf_ltx_encoder *e, struct hf_err *err)
{
    struct log_reader log = {.file = HF_FILE_CLOSED};
    enum hf_code rc = HF_OK;
    if (hf_pageset_has_refs(batch->pages))
        rc = log_open(&log, s->wal_path, batch, err);
    if (rc == HF_OK)
        rc = encode_items(batch, &log, e, err);
    log_close(&log);
    return rc;
}

static enum hf_code encode(const struct hf_ship *s, const struct hf_batch *batch,
                           const struct hf_ltx_header *h, struct hf_sink sink, uint64_t *bytes,
                           struct hf_err *err)
{
    struct hf_ltx_encoder *e = NULL;
    HF_TRY(hf_ltx_encoder_new(h, s->form, sink, s->spill_dir, &e, err));
    enum hf_code rc = hf_ship_encode_pages(s, batch, e, err);
    if (rc == HF_OK)
        rc = hf_ltx_encoder_finish(e, NULL, bytes, err);
    hf_ltx_encoder_free(e);
    return rc;
}

static enum hf_code ship_small(const struct hf_ship *s, const struct hf_batch *batch,
                               const struct hf_ltx_header *h, uint64_t *bytes, struct hf_err *err)
{
    struct hf_buf buf;
    hf_buf_init(&buf, SINK_MAX);
    struct hf_sink sink = {write_buf, &buf};
    hf_replica_begin_file(s->replica);
    enum hf_code rc = encode(s, batch, h, sink, bytes, err);
    hf_replica_end_file(s->replica);
    if (rc == HF_OK)
        rc = hf_replica_put(s->replica, level_of(s), h, buf.data, buf.len, err);
    hf_buf_deinit(&buf);
    return rc;
}

static enum hf_code send_large(const struct hf_ship *s, const struct hf_batch *batch,
                               const struct hf_ltx_header *h, struct hf_store_writer *w,
                               uint64_t *bytes, struct hf_err *err)
{
    enum hf_code rc = encode(s, batch, h, hf_replica_sink(w), bytes, err);
    if (rc == HF_OK)
        return hf_store_writer_commit(w, err);
    hf_store_writer_abort(w);
    return rc;
}

static enum hf_code ship_large(const struct hf_ship *s, const struct hf_batch *batch,
                               const struct hf_ltx_header *h, uint64_t *bytes, struct hf_err *err)
{
    struct hf_store_writer *w = NULL;
    HF_TRY(hf_replica_writer_new(s->replica, level_of(s), h, &w, err));
    hf_gate_enter(hf_replica_gate(s->replica));
    enum hf_code rc = send_large(s, batch, h, w, bytes, err);
    hf_gate_leave(hf_replica_gate(s->replica));
    return rc;
}

enum hf_code hf_ship_batch(const struct hf_ship *s, struct hf_batch *batch, uint64_t txid,
                           uint64_t *bytes, struct hf_err *err)
{
    struct hf_ltx_header h;
    hf_ship_header(batch, txid, hf_clock_wall_ms(), &h);
    (void)hf_ship_level(s, &h);
    hf_pageset_sort(batch->pages);
    uint64_t bound = hf_ltx_encoded_bound(batch->page_size, hf_pageset_count(batch->pages));
    if (bound <= ONE_PUT_BYTES)
        return ship_small(s, batch, &h, bytes, err);
    return ship_large(s, batch, &h, bytes, err);
}
