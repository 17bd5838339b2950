#include "replica/compact.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "replica/input.h"
#include "replica/plan.h"

/* ---- writing a merged file ---- */

struct job {
    struct hf_replica *replica;
    int level; /* of the output */
    enum hf_ltx_form form;
    const char *spill_dir;
    struct hf_page_hook hook;
};

/* What the encoder refuses here came out of the replica: it is the replica that is wrong. */
static enum hf_code blame_input(enum hf_code rc, struct hf_err *err)
{
    if (rc != HF_E_INVALID)
        return rc;
    if (err != NULL)
        err->code = HF_E_CORRUPT;
    return HF_E_CORRUPT;
}

static enum hf_code encode_pages(const struct job *job, struct hf_ltx_merge *m,
                                 struct hf_ltx_encoder *e, struct hf_err *err)
{
    for (;;) {
        struct hf_ltx_page p;
        HF_TRY(hf_ltx_merge_next(m, &p, err));
        if (p.pgno == 0)
            return HF_OK;
        enum hf_code rc =
            p.block ? hf_ltx_encoder_page_lz4(e, p.pgno, p.data, p.block, p.block_len, err)
                    : hf_ltx_encoder_page(e, p.pgno, p.data, err);
        HF_TRY(blame_input(rc, err));
        if (job->hook.page != NULL)
            HF_TRY(job->hook.page(job->hook.arg, p.pgno, p.data, err));
    }
}

static enum hf_code encode_all(const struct job *job, struct hf_ltx_merge *m,
                               const struct hf_ltx_header *h, struct hf_store_writer *w,
                               struct hf_compact_result *res, struct hf_err *err)
{
    struct hf_ltx_encoder *e = NULL;
    HF_TRY(hf_ltx_encoder_new(h, job->form, hf_replica_sink(w), job->spill_dir, &e, err));
    enum hf_code rc = encode_pages(job, m, e, err);
    if (rc == HF_OK)
        rc = blame_input(hf_ltx_encoder_finish(e, NULL, &res->bytes, err), err);
    hf_ltx_encoder_free(e);
    return rc;
}

static enum hf_code write_output(const struct job *job, struct hf_ltx_merge *m,
                                 const struct hf_ltx_header *h, struct hf_compact_result *res,
                                 struct hf_err *err)
{
    struct hf_store_writer *w = NULL;
    HF_TRY(hf_replica_writer_new(job->replica, job->level, h, &w, err));
    enum hf_code rc = encode_all(job, m, h, w, res, err);
    if (rc != HF_OK) {
        hf_store_writer_abort(w);
        return rc;
    }
    rc = hf_store_writer_commit(w, err);
    if (rc == HF_E_EXISTS) { /* we were killed after writing it, or somebody else compacts, too */
        hf_err_reset(err);
        rc = HF_OK;
        res->bytes = 0;
    }
    return rc;
}

static enum hf_code merge_files(const struct job *job, const struct hf_ltx_list *files,
                                struct hf_compact_result *res, struct hf_err *err)
{
    struct hf_inputs *in = NULL;
    struct hf_ltx_merge *m = NULL;
    struct hf_compact_result done = {.is_done = true};
    HF_TRY(hf_inputs_open(job->replica, files, job->spill_dir, &in, err));
    size_t n = 0;
    const struct hf_source *sources = hf_inputs_sources(in, &n);
    enum hf_code rc = hf_ltx_merge_new(sources, n, &m, &done.out, err);
    if (rc == HF_OK)
        rc = write_output(job, m, &done.out, &done, err);
    hf_ltx_merge_free(m);
    hf_inputs_free(in);
    if (rc == HF_OK)
        *res = done;
    return rc;
}

/* ---- levels ---- */

bool hf_compact_due(int64_t interval_ms, int64_t newest_ms, int64_t now_ms)
{
    hf_assert(interval_ms > 0 && now_ms >= 0);
    return newest_ms < now_ms - now_ms % interval_ms;
}

static enum hf_code gap(const struct hf_replica *r, const struct hf_ltx_info *a,
                        const struct hf_ltx_info *b, struct hf_err *err)
{
    char name_a[HF_LTX_NAME_SIZE];
    char name_b[HF_LTX_NAME_SIZE];
    hf_ltx_name_format(a->min_txid, a->max_txid, name_a);
    hf_ltx_name_format(b->min_txid, b->max_txid, name_b);
    return hf_err_set(err, HF_E_CORRUPT,
                      "%s: TXIDs are missing between %s of level %d and %s of level %d, and no "
                      "other level has them",
                      hf_replica_name(r), name_a, a->level, name_b, b->level);
}

/* Other levels lead from position to just before file: restores do not need the missing ones. */
static enum hf_code is_bridged(struct hf_replica *r, uint64_t position,
                               const struct hf_ltx_info *file, bool *out, struct hf_err *err)
{
    struct hf_ltx_list all = {NULL, 0, 0};
    HF_TRY(hf_replica_list_all(r, &all, err));
    *out = hf_plan_reach(&all, position) >= file->max_txid;
    hf_ltx_list_deinit(&all);
    return HF_OK;
}

/* Picks from files (ascending) the chain that continues prev (max_txid 0: any start): *at is moved
 * past what was looked at and stops at a gap. */
static void take_chain(const struct hf_ltx_list *files, uint64_t position, size_t *at,
                       struct hf_ltx_list *chain)
{
    while (chain->len < HF_LIMIT_MERGE_INPUTS) {
        const struct hf_ltx_info *best = NULL;
        for (; *at < files->len && files->items[*at].min_txid <= position + 1; ++*at) {
            const struct hf_ltx_info *f = &files->items[*at];
            if (f->max_txid > position && (best == NULL || f->max_txid > best->max_txid))
                best = f;
        }
        if (best == NULL)
            return;
        hf_ltx_list_push(chain, best);
        position = best->max_txid;
    }
}

/* The inputs of a compaction: what continues the level's newest file. */
static enum hf_code pick_inputs(struct hf_replica *r, const struct hf_ltx_list *files,
                                const struct hf_ltx_info *newest, struct hf_ltx_list *chain,
                                struct hf_err *err)
{
    size_t at = 0;
    const struct hf_ltx_info *first = &files->items[0];
    uint64_t position = newest->max_txid;
    if (first->min_txid > position + 1) {
        bool is_fine = false;
        HF_TRY(is_bridged(r, position, first, &is_fine, err));
        if (!is_fine)
            return gap(r, newest, first, err);
        position = first->min_txid - 1;
    }
    take_chain(files, position, &at, chain);
    if (chain->len == 0 || at == files->len || chain->len == HF_LIMIT_MERGE_INPUTS)
        return HF_OK;
    const struct hf_ltx_info *last = &chain->items[chain->len - 1];
    bool is_fine = false;
    HF_TRY(is_bridged(r, last->max_txid, &files->items[at], &is_fine, err));
    return is_fine ? HF_OK : gap(r, last, &files->items[at], err);
}

static void newest_in(const struct hf_ltx_list *all, int level, struct hf_ltx_info *newest)
{
    *newest = (struct hf_ltx_info){.level = level};
    for (size_t i = 0; i < all->len; i++) {
        if (all->items[i].level == level && all->items[i].max_txid > newest->max_txid)
            *newest = all->items[i];
    }
}

static enum hf_code newest_of_level(struct hf_replica *r, int level, struct hf_ltx_info *newest,
                                    struct hf_err *err)
{
    struct hf_ltx_list l = {NULL, 0, 0};
    HF_TRY(hf_replica_list(r, level, 0, &l, err));
    newest_in(&l, level, newest);
    hf_ltx_list_deinit(&l);
    return HF_OK;
}

/* Damaged files that a snapshot covers are left behind: nothing but states between its predecessor
 * and it can still need them. */
static enum hf_code skip_damaged(struct hf_replica *r, struct hf_ltx_info *newest, bool *has_moved,
                                 struct hf_err *err)
{
    struct hf_ltx_info snapshot;
    HF_TRY(newest_of_level(r, HF_LEVEL_SNAPSHOT, &snapshot, err));
    *has_moved = snapshot.max_txid > newest->max_txid;
    if (*has_moved)
        *newest = snapshot;
    return HF_OK;
}

static void keep_behind(const struct hf_ltx_list *all, int level, uint64_t after,
                        struct hf_ltx_list *out)
{
    for (size_t i = 0; i < all->len; i++) {
        if (all->items[i].level == level && all->items[i].max_txid > after)
            hf_ltx_list_push(out, &all->items[i]);
    }
}

/* all: what is listed already, NULL: nothing. */
static enum hf_code compact_behind(const struct job *job, const struct hf_ltx_list *all,
                                   const struct hf_ltx_info *newest, struct hf_compact_result *res,
                                   struct hf_err *err)
{
    struct hf_compact_result none = {.is_done = false};
    struct hf_ltx_list files = {NULL, 0, 0};
    struct hf_ltx_list chain = {NULL, 0, 0};
    enum hf_code rc = HF_OK;
    if (all != NULL)
        keep_behind(all, job->level - 1, newest->max_txid, &files);
    else
        rc = hf_replica_list(job->replica, job->level - 1, newest->max_txid, &files, err);
    if (rc == HF_OK && files.len > 0)
        rc = pick_inputs(job->replica, &files, newest, &chain, err);
    if (rc == HF_OK && chain.len > 0)
        rc = merge_files(job, &chain, res, err);
    else if (rc == HF_OK)
        *res = none;
    hf_ltx_list_deinit(&files);
    hf_ltx_list_deinit(&chain);
    return rc;
}

/* An empty level begins behind the snapshot: the base is not copied into each level. */
static enum hf_code where_to_begin(struct hf_replica *r, const struct hf_ltx_list *all, int level,
                                   struct hf_ltx_info *newest, struct hf_err *err)
{
    const int levels[] = {level, HF_LEVEL_SNAPSHOT};
    *newest = (struct hf_ltx_info){.max_txid = 0};
    for (size_t i = 0; i < HF_ARRAY_LEN(levels) && newest->max_txid == 0; i++) {
        if (all != NULL)
            newest_in(all, levels[i], newest);
        else
            HF_TRY(newest_of_level(r, levels[i], newest, err));
    }
    return HF_OK;
}

enum hf_code hf_compact_level(struct hf_replica *r, int level, enum hf_ltx_form form,
                              struct hf_page_hook hook, struct hf_compact_result *res,
                              struct hf_err *err)
{
    hf_assert(level >= 1 && level < HF_LEVEL_SNAPSHOT);
    struct job job = {r, level, form, NULL, hook};
    struct hf_ltx_info newest;
    struct hf_ltx_list all = {NULL, 0, 0};
    bool is_deep = hf_store_has_deep_lists(hf_replica_store(r));
    if (is_deep) /* one request instead of three */
        HF_TRY(hf_replica_list_all(r, &all, err));
    enum hf_code rc = where_to_begin(r, is_deep ? &all : NULL, level, &newest, err);
    if (rc == HF_OK)
        rc = compact_behind(&job, is_deep ? &all : NULL, &newest, res, err);
    bool has_moved = false;
    if (rc == HF_E_CORRUPT && skip_damaged(r, &newest, &has_moved, NULL) == HF_OK && has_moved) {
        hf_err_reset(err);
        rc = compact_behind(&job, NULL, &newest, res, err);
    }
    hf_ltx_list_deinit(&all);
    return rc == HF_OK ? HF_OK : hf_err_wrap(err, "compact level %d", level);
}

/* ---- snapshots ---- */

static bool is_snapshot_at(const struct hf_ltx_list *all, uint64_t txid)
{
    for (size_t i = 0; i < all->len; i++) {
        const struct hf_ltx_info *f = &all->items[i];
        if (f->level == HF_LEVEL_SNAPSHOT && f->min_txid == 1 && f->max_txid == txid)
            return true;
    }
    return false;
}

enum hf_code hf_compact_snapshot(struct hf_replica *r, enum hf_ltx_form form, const char *spill_dir,
                                 struct hf_compact_result *res, struct hf_err *err)
{
    struct job job = {r, HF_LEVEL_SNAPSHOT, form, spill_dir, {NULL, NULL}};
    struct hf_compact_result none = {.is_done = false};
    struct hf_restore_target latest = {HF_TARGET_LATEST, 0, 0};
    struct hf_ltx_list all = {NULL, 0, 0};
    struct hf_ltx_list plan = {NULL, 0, 0};
    enum hf_code rc = hf_replica_list_all(r, &all, err);
    if (rc == HF_OK && all.len > 0)
        rc = hf_plan_restore(&all, &latest, &plan, err);
    if (rc == HF_OK && plan.len > 0 && !is_snapshot_at(&all, plan.items[plan.len - 1].max_txid))
        rc = merge_files(&job, &plan, res, err);
    else if (rc == HF_OK)
        *res = none;
    hf_ltx_list_deinit(&all);
    hf_ltx_list_deinit(&plan);
    return rc == HF_OK ? HF_OK : hf_err_wrap(err, "snapshot of %s", hf_replica_name(r));
}
