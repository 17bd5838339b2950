#include "replica/base.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "ltx/crc64.h"
#include "ltx/merge.h"
#include "os/file.h"
#include "sqlite/sums.h"

enum { OUT_BUFFER = 256 * 1024 };

/* An LTX file of ours being written or read. */
struct piece {
    char *path;
    struct hf_file file;
    uint64_t at;  /* bytes written or read so far */
    uint8_t *buf; /* OUT_BUFFER while writing */
    size_t len;
};

struct hf_base {
    char *dir;
    char *sums_path;
    char *wal_path;
    uint32_t page_size;
    uint32_t pages;
    uint64_t kept;
    unsigned n_files;           /* made so far: their names */
    struct hf_ltx_encoder *enc; /* of pieces[0] */
    struct hf_ltx_header head;  /* of pieces[0] */
    struct piece *pieces[HF_BASE_RUNS_MAX + 1];
    uint64_t txids[HF_BASE_RUNS_MAX + 1]; /* max TXID each piece was given */
    size_t n_pieces;
    uint64_t next_txid;
    bool is_base_done;
};

static enum hf_code piece_flush(struct piece *p, struct hf_err *err)
{
    if (p->len == 0)
        return HF_OK;
    HF_TRY(hf_file_write_at(&p->file, p->buf, p->len, p->at, err));
    p->at += p->len;
    p->len = 0;
    return HF_OK;
}

static enum hf_code piece_write(void *arg, const void *data, size_t len, struct hf_err *err)
{
    struct piece *p = arg;
    if (p->len + len > OUT_BUFFER)
        HF_TRY(piece_flush(p, err));
    if (len > OUT_BUFFER) {
        HF_TRY(hf_file_write_at(&p->file, data, len, p->at, err));
        p->at += len;
        return HF_OK;
    }
    memcpy(p->buf + p->len, data, len);
    p->len += len;
    return HF_OK;
}

static enum hf_code piece_read(void *arg, void *buf, size_t cap, size_t *got, struct hf_err *err)
{
    struct piece *p = arg;
    HF_TRY(hf_file_read_some(&p->file, buf, cap, p->at, got, err));
    p->at += *got;
    return HF_OK;
}

static void piece_free(struct piece *p)
{
    if (p == NULL)
        return;
    hf_file_close(&p->file);
    (void)!hf_path_remove(p->path, NULL);
    hf_free(p->buf);
    hf_free(p->path);
    hf_free(p);
}

static enum hf_code piece_new(struct hf_base *b, struct piece **out, struct hf_err *err)
{
    struct piece *p = hf_calloc(1, sizeof(*p));
    p->path = hf_asprintf("%s/base-%u.tmp", b->dir, ++b->n_files);
    p->file = (struct hf_file)HF_FILE_CLOSED;
    enum hf_code rc = hf_file_open(p->path, HF_FILE_TRUNCATE, 0600, &p->file, err);
    if (rc != HF_OK) {
        piece_free(p);
        return rc;
    }
    p->buf = hf_malloc(OUT_BUFFER);
    *out = p;
    return HF_OK;
}

/* Written in full: from now on it is read. */
static enum hf_code piece_close_write(struct piece *p, struct hf_err *err)
{
    HF_TRY(piece_flush(p, err));
    hf_free(p->buf);
    p->buf = NULL;
    p->at = 0;
    return HF_OK;
}

static struct hf_ltx_header piece_header(const struct hf_base *b, uint64_t txid, uint32_t commit)
{
    return (struct hf_ltx_header){
        .flags = HF_LTX_FLAG_NO_CHECKSUM,
        .page_size = b->page_size,
        .commit = commit,
        .min_txid = txid,
        .max_txid = txid,
        .timestamp_ms = hf_clock_wall_ms(),
    };
}

static enum hf_code drop_piece(void *arg, const char *name, bool is_dir, struct hf_err *err)
{
    size_t n = strlen(name);
    (void)err;
    if (is_dir || strncmp(name, "base-", 5) != 0 || n < 4 || strcmp(name + n - 4, ".tmp") != 0)
        return HF_OK;
    HF_AUTO_FREE char *path = hf_path_join(arg, name);
    (void)!hf_path_remove(path, NULL);
    return HF_OK;
}

void hf_base_clean(const char *dir)
{
    HF_AUTO_FREE char *copy = hf_strdup(dir);
    (void)!hf_path_list(dir, drop_piece, copy, NULL);
}

enum hf_code hf_base_new(const char *dir, uint32_t page_size, uint32_t pages, const char *sums_path,
                         const char *wal_path, struct hf_base **out, struct hf_err *err)
{
    HF_TRY(hf_path_mkdirs(dir, 0700, err));
    hf_base_clean(dir);
    struct hf_base *b = hf_calloc(1, sizeof(*b));
    b->dir = hf_strdup(dir);
    b->sums_path = sums_path == NULL ? NULL : hf_strdup(sums_path);
    b->wal_path = hf_strdup(wal_path);
    b->page_size = page_size;
    b->pages = pages;
    /* a full image is a snapshot to the encoder (min TXID 1: every page); a difference is not */
    uint64_t first = sums_path == NULL ? 1 : 2;
    b->head = piece_header(b, first, pages);
    b->next_txid = first + 1;
    enum hf_code rc = piece_new(b, &b->pieces[0], err);
    if (rc == HF_OK) {
        b->n_pieces = 1;
        struct hf_sink sink = {piece_write, b->pieces[0]};
        rc = hf_ltx_encoder_new(&b->head, HF_LTX_FORM_BLOCK, sink, dir, &b->enc, err);
    }
    if (rc != HF_OK) {
        hf_base_free(b);
        return rc;
    }
    *out = b;
    return HF_OK;
}

enum hf_code hf_base_filter(const char *sums_path, uint32_t first, uint32_t n, uint32_t page_size,
                            const uint8_t *data, bool *differs, struct hf_err *err)
{
    struct hf_sums *sums = NULL;
    HF_TRY(hf_sums_open(sums_path, &sums, err));
    uint64_t *want = hf_calloc(n, sizeof(*want));
    enum hf_code rc = hf_sums_get(sums, first, n, want, err);
    for (uint32_t i = 0; i < n && rc == HF_OK; i++)
        differs[i] =
            hf_page_checksum(first + i, data + (size_t)i * page_size, page_size) != want[i];
    hf_free(want);
    hf_sums_close(sums);
    return rc;
}

enum hf_code hf_base_chunk(struct hf_base *b, uint32_t first, uint32_t n, const uint8_t *data,
                           struct hf_err *err)
{
    uint32_t lock_page = hf_lock_page(b->page_size);
    HF_AUTO_FREE bool *differs = hf_malloc(n * sizeof(*differs));
    memset(differs, 1, n * sizeof(*differs));
    if (b->sums_path != NULL)
        HF_TRY(hf_base_filter(b->sums_path, first, n, b->page_size, data, differs, err));
    for (uint32_t i = 0; i < n; i++) {
        if (!differs[i] || first + i == lock_page || first + i > b->pages)
            continue;
        HF_TRY(hf_ltx_encoder_page(b->enc, first + i, data + (size_t)i * b->page_size, err));
        b->kept++;
    }
    return HF_OK;
}

static enum hf_code encode_run(struct hf_base *b, struct hf_batch *batch, struct piece *p,
                               uint64_t txid, struct hf_err *err)
{
    struct hf_ltx_header h = piece_header(b, txid, batch->commit);
    struct hf_sink sink = {piece_write, p};
    struct hf_ltx_encoder *e = NULL;
    struct hf_ship s = {.wal_path = b->wal_path};
    HF_TRY(hf_ltx_encoder_new(&h, HF_LTX_FORM_BLOCK, sink, b->dir, &e, err));
    enum hf_code rc = hf_ship_encode_pages(&s, batch, e, err);
    if (rc == HF_OK)
        rc = hf_ltx_encoder_finish(e, NULL, NULL, err);
    hf_ltx_encoder_free(e);
    return rc == HF_OK ? piece_close_write(p, err) : rc;
}

static enum hf_code end_base(struct hf_base *b, struct hf_err *err)
{
    if (b->is_base_done)
        return HF_OK;
    HF_TRY(hf_ltx_encoder_finish(b->enc, NULL, NULL, err));
    b->is_base_done = true;
    return piece_close_write(b->pieces[0], err);
}

static enum hf_code copy_pages(struct hf_ltx_merge *m, struct hf_ltx_encoder *e, struct hf_err *err)
{
    struct hf_ltx_page page;
    for (;;) {
        HF_TRY(hf_ltx_merge_next(m, &page, err));
        if (page.pgno == 0)
            return HF_OK;
        if (page.block != NULL)
            HF_TRY(
                hf_ltx_encoder_page_lz4(e, page.pgno, page.data, page.block, page.block_len, err));
        else
            HF_TRY(hf_ltx_encoder_page(e, page.pgno, page.data, err));
    }
}

/* Merges pieces [from, n) into e. */
static enum hf_code merge_pieces(struct hf_base *b, size_t from, struct hf_ltx_encoder *e,
                                 struct hf_err *err)
{
    struct hf_source sources[HF_BASE_RUNS_MAX + 1];
    struct hf_ltx_merge *m = NULL;
    struct hf_ltx_header h;
    for (size_t i = from; i < b->n_pieces; i++) {
        b->pieces[i]->at = 0;
        sources[i - from] = (struct hf_source){piece_read, b->pieces[i], b->pieces[i]->path};
    }
    HF_TRY(hf_ltx_merge_new(sources, b->n_pieces - from, &m, &h, err));
    enum hf_code rc = copy_pages(m, e, err);
    hf_ltx_merge_free(m);
    return rc;
}

/* Too many runs: makes one of them, so that the last merge opens a bounded number of files. */
static enum hf_code fold_runs(struct hf_base *b, uint32_t commit, struct hf_err *err)
{
    struct piece *p = NULL;
    struct hf_ltx_encoder *e = NULL;
    struct hf_ltx_header h = piece_header(b, b->txids[b->n_pieces - 1], commit);
    h.min_txid = b->head.max_txid + 1;
    HF_TRY(piece_new(b, &p, err));
    struct hf_sink sink = {piece_write, p};
    enum hf_code rc = hf_ltx_encoder_new(&h, HF_LTX_FORM_BLOCK, sink, b->dir, &e, err);
    if (rc == HF_OK)
        rc = merge_pieces(b, 1, e, err);
    if (rc == HF_OK)
        rc = hf_ltx_encoder_finish(e, NULL, NULL, err);
    hf_ltx_encoder_free(e);
    if (rc == HF_OK)
        rc = piece_close_write(p, err);
    if (rc != HF_OK) {
        piece_free(p);
        return rc;
    }
    uint64_t last = b->txids[b->n_pieces - 1];
    while (b->n_pieces > 1)
        piece_free(b->pieces[--b->n_pieces]);
    b->pieces[1] = p;
    b->txids[1] = last;
    b->n_pieces = 2;
    return HF_OK;
}

enum hf_code hf_base_run(struct hf_base *b, struct hf_batch *batch, struct hf_err *err)
{
    struct piece *p = NULL;
    hf_assert(batch->commit > 0);
    if (b->n_pieces > HF_BASE_RUNS_MAX)
        HF_TRY(fold_runs(b, batch->commit, err));
    uint64_t txid = b->next_txid;
    HF_TRY(piece_new(b, &p, err));
    hf_pageset_sort(batch->pages);
    enum hf_code rc = encode_run(b, batch, p, txid, err);
    if (rc != HF_OK) {
        piece_free(p);
        return rc;
    }
    b->pieces[b->n_pieces] = p;
    b->txids[b->n_pieces++] = txid;
    b->next_txid = txid + 1;
    return HF_OK;
}

enum hf_code hf_base_finish(struct hf_base *b, const struct hf_ship *s,
                            const struct hf_ltx_header *h, uint64_t *bytes, struct hf_err *err)
{
    struct hf_store_writer *w = NULL;
    struct hf_ltx_encoder *e = NULL;
    struct hf_ltx_header out = *h;
    int level = hf_ship_level(s, &out);
    HF_TRY(end_base(b, err));
    HF_TRY(hf_replica_writer_new(s->replica, level, &out, &w, err));
    enum hf_code rc = hf_ltx_encoder_new(&out, s->form, hf_replica_sink(w), b->dir, &e, err);
    if (rc == HF_OK)
        rc = merge_pieces(b, 0, e, err);
    if (rc == HF_OK)
        rc = hf_ltx_encoder_finish(e, NULL, bytes, err);
    hf_ltx_encoder_free(e);
    if (rc == HF_OK)
        return hf_store_writer_commit(w, err);
    hf_store_writer_abort(w);
    return rc;
}

uint64_t hf_base_kept(const struct hf_base *b)
{
    return b->kept;
}

bool hf_base_has_runs(const struct hf_base *b)
{
    return b->n_pieces > 1;
}

void hf_base_free(struct hf_base *b)
{
    if (b == NULL)
        return;
    hf_ltx_encoder_free(b->enc);
    while (b->n_pieces > 0)
        piece_free(b->pieces[--b->n_pieces]);
    hf_free(b->dir);
    hf_free(b->sums_path);
    hf_free(b->wal_path);
    hf_free(b);
}
