#include "replica/ship.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/file.h"

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
    if (!s->is_new_chain)
        return 0;
    h->min_txid = 1;
    return HF_LEVEL_SNAPSHOT;
}

/* A file of several TXIDs that is shipped, not compacted, is a new chain's snapshot. */
static int level_of(const struct hf_ltx_header *h)
{
    return h->min_txid < h->max_txid ? HF_LEVEL_SNAPSHOT : 0;
}

static enum hf_code write_buf(void *arg, const void *data, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, data, len, err);
}

enum hf_code hf_ship_encode_pages(const struct hf_ship *s, const struct hf_batch *batch,
                                  struct hf_ltx_encoder *e, struct hf_err *err)
{
    struct hf_file wal = HF_FILE_CLOSED;
    HF_AUTO_FREE uint8_t *page = NULL;
    enum hf_code rc = HF_OK;
    if (hf_pageset_has_refs(batch->pages)) {
        HF_TRY(hf_file_open(s->wal_path, HF_FILE_READ, 0, &wal, err));
        page = hf_malloc(batch->page_size);
    }
    size_t n = hf_pageset_count(batch->pages);
    for (size_t i = 0; i < n && rc == HF_OK; i++) {
        struct hf_pageset_item it = hf_pageset_item(batch->pages, i);
        if (it.data == NULL)
            rc = hf_file_read_at(
                &wal, page, batch->page_size,
                hf_wal_frame_offset(batch->page_size, it.frame) + HF_WAL_FRAME_HEADER_SIZE, err);
        if (rc == HF_OK)
            rc = hf_ltx_encoder_page(e, it.pgno, it.data == NULL ? page : it.data, err);
    }
    hf_file_close(&wal);
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
    enum hf_code rc = encode(s, batch, h, sink, bytes, err);
    if (rc == HF_OK)
        rc = hf_replica_put(s->replica, level_of(h), h, buf.data, buf.len, err);
    hf_buf_deinit(&buf);
    return rc;
}

static enum hf_code ship_large(const struct hf_ship *s, const struct hf_batch *batch,
                               const struct hf_ltx_header *h, uint64_t *bytes, struct hf_err *err)
{
    struct hf_store_writer *w = NULL;
    HF_TRY(hf_replica_writer_new(s->replica, level_of(h), h, &w, err));
    enum hf_code rc = encode(s, batch, h, hf_replica_sink(w), bytes, err);
    if (rc == HF_OK)
        return hf_store_writer_commit(w, err);
    hf_store_writer_abort(w);
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
