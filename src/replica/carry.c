#include "replica/carry.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "replica/input.h"

enum {
    ONE_PUT_BYTES = 3 << 20, /* of inputs: beyond, the output is streamed */
    ONE_PUT_MAX = 8 << 20,
};

static enum hf_code write_buf(void *arg, const void *data, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, data, len, err);
}

static enum hf_code copy_pages(struct hf_ltx_merge *m, struct hf_ltx_encoder *e, struct hf_err *err)
{
    for (;;) {
        struct hf_ltx_page p;
        HF_TRY(hf_ltx_merge_next(m, &p, err));
        if (p.pgno == 0)
            return HF_OK;
        HF_TRY(hf_ltx_encoder_page_lz4(e, p.pgno, p.data, p.block, p.block_len, err));
    }
}

static enum hf_code encode(const struct hf_carry *c, struct hf_ltx_merge *m,
                           const struct hf_ltx_header *h, struct hf_sink sink, uint64_t *bytes,
                           struct hf_err *err)
{
    struct hf_ltx_encoder *e = NULL;
    HF_TRY(hf_ltx_encoder_new(h, c->form, sink, c->spill_dir, &e, err));
    enum hf_code rc = copy_pages(m, e, err);
    if (rc == HF_OK)
        rc = hf_ltx_encoder_finish(e, NULL, bytes, err);
    hf_ltx_encoder_free(e);
    return rc;
}

static int level_of(const struct hf_ltx_header *h)
{
    return h->min_txid == 1 && h->max_txid > 1 ? HF_LEVEL_SNAPSHOT : 0;
}

static enum hf_code put_small(const struct hf_carry *c, struct hf_ltx_merge *m,
                              const struct hf_ltx_header *h, uint64_t *bytes, struct hf_err *err)
{
    struct hf_buf buf;
    hf_buf_init(&buf, ONE_PUT_MAX);
    struct hf_sink sink = {write_buf, &buf};
    enum hf_code rc = encode(c, m, h, sink, bytes, err);
    if (rc == HF_OK)
        rc = hf_replica_put(c->to, level_of(h), h, buf.data, buf.len, err);
    hf_buf_deinit(&buf);
    return rc;
}

static enum hf_code put_large(const struct hf_carry *c, struct hf_ltx_merge *m,
                              const struct hf_ltx_header *h, uint64_t *bytes, struct hf_err *err)
{
    struct hf_store_writer *w = NULL;
    HF_TRY(hf_replica_writer_new(c->to, level_of(h), h, &w, err));
    enum hf_code rc = encode(c, m, h, hf_replica_sink(w), bytes, err);
    if (rc == HF_OK)
        return hf_store_writer_commit(w, err);
    hf_store_writer_abort(w);
    return rc;
}

/* What the output's header says; the merge's own is right but for where it begins. */
static enum hf_code make_header(const struct hf_carry *c, struct hf_ltx_header *h,
                                struct hf_err *err)
{
    const struct hf_ltx_info *first = &c->chain->items[0];
    if (c->chain->len == 1 && (first->min_txid == c->position + 1 || first->min_txid == 1))
        return hf_replica_read_header(c->from, first, h, err); /* with its place in the log */
    if (first->min_txid > 1)
        h->min_txid = c->position + 1;
    return HF_OK;
}

static uint64_t size_of(const struct hf_ltx_list *chain)
{
    uint64_t n = 0;
    for (size_t i = 0; i < chain->len; i++)
        n += chain->items[i].size;
    return n;
}

enum hf_code hf_carry_run(const struct hf_carry *c, struct hf_ltx_header *out, uint64_t *bytes,
                          struct hf_err *err)
{
    struct hf_inputs *in = NULL;
    struct hf_ltx_merge *m = NULL;
    struct hf_ltx_header h;
    size_t n = 0;
    hf_assert(c->chain->len > 0 && c->chain->items[0].min_txid <= c->position + 1);
    HF_TRY(hf_inputs_open(c->from, c->chain, c->spill_dir, &in, err));
    const struct hf_source *sources = hf_inputs_sources(in, &n);
    enum hf_code rc = hf_ltx_merge_new(sources, n, &m, &h, err);
    if (rc == HF_OK)
        rc = make_header(c, &h, err);
    if (rc == HF_OK)
        rc = size_of(c->chain) <= ONE_PUT_BYTES ? put_small(c, m, &h, bytes, err)
                                                : put_large(c, m, &h, bytes, err);
    hf_ltx_merge_free(m);
    hf_inputs_free(in);
    if (rc == HF_OK)
        *out = h;
    return rc;
}

enum hf_code hf_carry_head_at(struct hf_replica *r, uint64_t txid, struct hf_ltx_header *h,
                              struct hf_err *err)
{
    struct hf_ltx_list all = {NULL, 0, 0};
    enum hf_code rc = hf_replica_list_all(r, &all, err);
    const struct hf_ltx_info *found = NULL;
    for (size_t i = 0; i < all.len && found == NULL; i++) {
        if (all.items[i].max_txid == txid)
            found = &all.items[i];
    }
    if (rc == HF_OK)
        rc = found == NULL ? hf_err_set(err, HF_E_NOT_FOUND, "%s: no file ends at %016llx",
                                        hf_replica_name(r), (unsigned long long)txid)
                           : hf_replica_read_header(r, found, h, err);
    hf_ltx_list_deinit(&all);
    return rc;
}

bool hf_carry_is_same(const struct hf_ltx_header *a, const struct hf_ltx_header *b)
{
    return a->max_txid == b->max_txid && a->timestamp_ms == b->timestamp_ms &&
           a->commit == b->commit && a->page_size == b->page_size;
}
