#include "replica/follow.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/dirwait.h"
#include "replica/follow_state.h"
#include "replica/input.h"
#include "replica/plan.h"
#include "sqlite/apply.h"

enum {
    CKPT_RETRY_MS = 100,                               /* while readers are in the way */
    CKPT_PATIENT_FRAMES = 4 * HF_APPLY_RESTART_FRAMES, /* from here on commits wait for readers */
    CKPT_PATIENCE_MS = 20,
    LOG_AGAIN_MS = 1000, /* a lasting failure is logged after 1, 2, 4... s */
    LOG_AGAIN_MAX_MS = 300000,
    RELIST_TRIES = 3,     /* files that vanish between list and read: retention */
    OPEN_BUSY_MS = 10000, /* a copy that stays locked is somebody's in exclusive mode */
    OPEN_RETRY_US = 2000,
    SETTLE_MS = 2000,       /* to find the moment without readers in which a copy is replaced */
    RENEW_PAUSE_MS = 10000, /* a copy that could not be made anew is not tried again sooner */
};

struct hf_follow {
    struct hf_replica *replica;
    char *path;
    uint64_t interval_ms;
    struct hf_follow_state state;
    hf_follow_base_fn *base;
    void *base_arg;
    struct hf_apply *apply; /* NULL: its page size changed and no new copy is in place yet */
    struct hf_dirwait *wait;
    atomic_bool is_stopping;

    uint64_t cur;        /* applied; the floor, as long as must_reach says so */
    uint64_t must_reach; /* the next transaction leads at least there; 0 = anywhere */
    bool must_list;
    bool is_hinted; /* the directory changed: the next name may not be all */
    bool has_watch;
    uint64_t listed_ms; /* monotonic: last look at L0's names, and at all levels */
    uint64_t listed_all_ms;
    uint64_t chain_ms; /* last look for the snapshot a new chain begins with */
    uint64_t applied_ms;
    uint64_t ckpt_after_ms;
    bool is_other_size; /* the page size changed: nothing more can be applied to this copy */
    uint64_t renew_after_ms;

    enum hf_code logged;
    uint64_t log_after_ms;
    uint64_t log_pause_ms;

    pthread_mutex_t lock; /* over status */
    struct hf_follow_status status;
};

bool hf_follow_is_fatal(enum hf_code code)
{
    return code == HF_E_CONFLICT || code == HF_E_UNSUPPORTED || code == HF_E_INVALID ||
           code == HF_E_EXISTS;
}

/* ---- one transaction ---- */

static enum hf_code copy_pages(struct hf_follow *f, struct hf_ltx_merge *m, struct hf_err *err)
{
    for (;;) {
        struct hf_ltx_page page;
        HF_TRY(hf_ltx_merge_next(m, &page, err));
        if (page.pgno == 0)
            return HF_OK;
        HF_TRY(hf_apply_page(f->apply, page.pgno, page.data, err));
    }
}

static enum hf_code write_transaction(struct hf_follow *f, struct hf_ltx_merge *m,
                                      const struct hf_ltx_header *h, struct hf_err *err)
{
    HF_TRY(hf_apply_begin(f->apply, h->page_size, h->commit, err));
    enum hf_code rc = copy_pages(f, m, err);
    if (rc == HF_OK) {
        struct hf_apply_mark marks[2] = {hf_apply_mark(f->apply), {0}};
        hf_apply_prepare(f->apply, &marks[1]);
        uint64_t ceiling = h->max_txid > f->state.ceiling ? h->max_txid : f->state.ceiling;
        rc = hf_follow_state_note(&f->state, ceiling, marks, err);
    }
    if (rc == HF_OK)
        rc = hf_apply_commit(f->apply, err);
    if (rc != HF_OK)
        hf_apply_abort(f->apply);
    return rc;
}

static void note_applied(struct hf_follow *f, const struct hf_ltx_header *h, size_t files)
{
    struct hf_apply_info info = hf_apply_info(f->apply);
    pthread_mutex_lock(&f->lock);
    f->status.txid = h->max_txid;
    f->status.commit_time_ms = h->timestamp_ms;
    f->status.lag_ms = hf_clock_wall_ms() - h->timestamp_ms;
    f->status.files += files;
    f->status.wal_bytes = info.wal_bytes;
    pthread_mutex_unlock(&f->lock);
}

static enum hf_code apply_inputs(struct hf_follow *f, struct hf_inputs *in,
                                 const struct hf_ltx_list *files, struct hf_err *err)
{
    size_t n = 0;
    const struct hf_source *sources = hf_inputs_sources(in, &n);
    struct hf_ltx_merge *m = NULL;
    struct hf_ltx_header h;
    HF_TRY(hf_ltx_merge_new(sources, n, &m, &h, err));
    enum hf_code rc = HF_OK;
    if (h.min_txid > f->cur + 1 || h.max_txid != files->items[files->len - 1].max_txid)
        rc =
            hf_err_set(err, HF_E_CORRUPT, "%s: header and name of a file differ after TXID %016llx",
                       hf_replica_name(f->replica), (unsigned long long)f->cur);
    f->is_other_size = rc == HF_OK && h.page_size != hf_apply_info(f->apply).page_size;
    if (rc == HF_OK)
        rc = write_transaction(f, m, &h, err);
    hf_ltx_merge_free(m);
    HF_TRY(rc);
    f->cur = h.max_txid;
    f->must_reach = 0;
    f->applied_ms = hf_clock_mono_ms();
    note_applied(f, &h, files->len);
    return HF_OK;
}

/* All files as one transaction. */
static enum hf_code apply_files(struct hf_follow *f, const struct hf_ltx_list *files,
                                struct hf_err *err)
{
    hf_assert(files->len > 0 && files->items[files->len - 1].max_txid > f->cur);
    struct hf_inputs *in = NULL;
    HF_TRY(hf_inputs_open(f->replica, files, f->state.dir, &in, err));
    enum hf_code rc = apply_inputs(f, in, files, err);
    hf_inputs_free(in);
    return rc;
}

/* ---- what comes next ---- */

/* The files whose names follow from the position: one look each, no list. */
static enum hf_code probe_next(struct hf_follow *f, struct hf_ltx_list *out, struct hf_err *err)
{
    uint64_t bytes = 0;
    while (out->len < HF_FOLLOW_BATCH_FILES && bytes < HF_FOLLOW_BATCH_BYTES) {
        struct hf_ltx_info info = {.min_txid = f->cur + 1 + out->len,
                                   .max_txid = f->cur + 1 + out->len};
        enum hf_code rc = hf_replica_look(f->replica, &info, err);
        if (rc == HF_E_NOT_FOUND)
            return HF_OK;
        HF_TRY(rc);
        hf_ltx_list_push(out, &info);
        bytes += info.size;
    }
    return HF_OK;
}

/* Drops the end of a plan that one transaction need not hold. */
static enum hf_code cut_plan(struct hf_follow *f, struct hf_ltx_list *plan, struct hf_err *err)
{
    uint64_t bytes = 0;
    f->must_list = false;
    for (size_t i = 0; i + 1 < plan->len; i++) {
        bytes += plan->items[i].size;
        if (bytes < HF_FOLLOW_BATCH_BYTES || plan->items[i].max_txid < f->must_reach)
            continue;
        plan->len = i + 1;
        f->must_list = true; /* the rest need not be L0 */
    }
    bool must_all = f->must_reach == UINT64_MAX;
    if (must_all || plan->len == 0 || plan->items[plan->len - 1].max_txid >= f->must_reach)
        return HF_OK;
    return hf_err_set(
        err, HF_E_CORRUPT,
        "%s leads from TXID %016llx to %016llx only; the copy may hold %016llx already",
        hf_replica_name(f->replica), (unsigned long long)f->cur,
        (unsigned long long)plan->items[plan->len - 1].max_txid, (unsigned long long)f->must_reach);
}

/* A replica that ends before what was applied has been set back: another history may follow. */
static enum hf_code check_not_behind(struct hf_follow *f, const struct hf_ltx_list *all,
                                     struct hf_err *err)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < all->len; i++)
        newest = all->items[i].max_txid > newest ? all->items[i].max_txid : newest;
    uint64_t have = f->cur > f->state.ceiling ? f->cur : f->state.ceiling;
    if (newest == 0)
        return hf_err_set(err, HF_E_NOT_FOUND, "%s holds no files", hf_replica_name(f->replica));
    if (newest >= have)
        return HF_OK;
    hf_err_set(err, HF_E_CONFLICT, "%s ends at TXID %016llx, before the copy's %016llx: a fork",
               hf_replica_name(f->replica), (unsigned long long)newest, (unsigned long long)have);
    hf_err_hint(err, "if the replica is the one to keep, restore the copy anew (-force)");
    return HF_E_CONFLICT;
}

static enum hf_code plan_next(struct hf_follow *f, struct hf_ltx_list *out, struct hf_err *err)
{
    struct hf_ltx_list all = {0};
    enum hf_code rc = hf_replica_list_all(f->replica, &all, err);
    if (rc == HF_OK)
        rc = check_not_behind(f, &all, err);
    if (rc == HF_OK)
        rc = hf_plan_follow(&all, f->cur, out, err);
    if (rc == HF_OK)
        rc = cut_plan(f, out, err);
    hf_ltx_list_deinit(&all);
    HF_TRY(rc);
    f->listed_all_ms = hf_clock_mono_ms();
    if (out->len == 0)
        f->must_reach = 0; /* the replica ends where the copy is known to be */
    return HF_OK;
}

/* A chain of another page size begins with a snapshot, which no file of L0 announces. */
static enum hf_code look_for_chain(struct hf_follow *f, uint64_t now, struct hf_err *err)
{
    if (f->must_list || now - f->chain_ms < HF_FOLLOW_QUIET_LIST_MS)
        return HF_OK;
    struct hf_ltx_info info = {.level = HF_LEVEL_SNAPSHOT, .min_txid = 1, .max_txid = f->cur + 1};
    HF_AUTO_FREE char *name = hf_replica_object(f->replica, &info);
    enum hf_code rc =
        hf_store_head(hf_replica_store(f->replica), name, &info.size, &info.time_ms, err);
    f->chain_ms = now;
    f->must_list = rc == HF_OK;
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

/* Looks at L0's names for what the next name did not show: a gap, or a file of several TXIDs. */
static enum hf_code look_for_others(struct hf_follow *f, struct hf_err *err)
{
    uint64_t now = hf_clock_mono_ms();
    if (now - f->listed_all_ms >= HF_FOLLOW_LIST_MS)
        f->must_list = true;
    uint64_t pause = f->has_watch && !f->is_hinted ? HF_FOLLOW_QUIET_LIST_MS : f->interval_ms;
    if (f->must_list || now - f->listed_ms < pause)
        return HF_OK;
    f->is_hinted = false;
    struct hf_ltx_list l0 = {0};
    enum hf_code rc = hf_replica_list(f->replica, 0, f->cur, &l0, err);
    f->must_list = rc == HF_OK && l0.len > 0;
    f->listed_ms = now;
    hf_ltx_list_deinit(&l0);
    return rc == HF_OK ? look_for_chain(f, now, err) : rc;
}

static enum hf_code find_next(struct hf_follow *f, struct hf_ltx_list *out, struct hf_err *err)
{
    if (!f->must_list) {
        HF_TRY(probe_next(f, out, err));
        if (out->len > 0)
            return HF_OK;
        HF_TRY(look_for_others(f, err));
    }
    return f->must_list ? plan_next(f, out, err) : HF_OK;
}

static enum hf_code apply_next(struct hf_follow *f, bool *is_applied, struct hf_err *err)
{
    for (int i = 0;; i++) {
        struct hf_ltx_list files = {0};
        enum hf_code rc = find_next(f, &files, err);
        size_t n = files.len;
        if (rc == HF_OK && n > 0)
            rc = apply_files(f, &files, err);
        hf_ltx_list_deinit(&files);
        *is_applied = rc == HF_OK && n > 0;
        if (rc == HF_OK)
            return HF_OK;
        f->must_list = true;
        if (rc != HF_E_NOT_FOUND || n == 0 || i == RELIST_TRIES)
            return rc;
    }
}

/* ---- copying back ---- */

static enum hf_code checkpoint(struct hf_follow *f, uint64_t wait_ms, struct hf_apply_ckpt *ckpt,
                               struct hf_err *err)
{
    HF_TRY(hf_apply_checkpoint(f->apply, wait_ms, ckpt, err));
    f->ckpt_after_ms = hf_clock_mono_ms() + CKPT_RETRY_MS;
    /* While must_reach is set the copy may be ahead of cur, never behind it. */
    if (ckpt->is_complete && f->state.floor != f->cur)
        HF_TRY(hf_follow_state_save(&f->state, f->cur, err));
    struct hf_apply_info info = hf_apply_info(f->apply);
    pthread_mutex_lock(&f->lock);
    f->status.floor = f->state.floor;
    f->status.wal_bytes = info.wal_bytes;
    pthread_mutex_unlock(&f->lock);
    return HF_OK;
}

static enum hf_code checkpoint_if_due(struct hf_follow *f, bool is_applied, struct hf_err *err)
{
    uint64_t now = hf_clock_mono_ms();
    struct hf_apply_info info = hf_apply_info(f->apply);
    bool is_long = info.frames >= HF_APPLY_RESTART_FRAMES && now >= f->ckpt_after_ms;
    bool is_idle = !is_applied && now - f->applied_ms >= HF_FOLLOW_IDLE_MS &&
                   now >= f->ckpt_after_ms + HF_FOLLOW_IDLE_MS - CKPT_RETRY_MS &&
                   (f->state.floor != f->cur || info.copied != info.frames);
    if (!is_long && !is_idle)
        return HF_OK;
    struct hf_apply_ckpt ckpt;
    return checkpoint(f, info.frames >= CKPT_PATIENT_FRAMES ? CKPT_PATIENCE_MS : 0, &ckpt, err);
}

/* ---- making the copy ---- */

static enum hf_code identify(struct hf_follow *f, struct hf_err *err)
{
    struct hf_file_stat st;
    HF_TRY(hf_path_stat(f->path, &st, err));
    f->state.dev = st.dev;
    f->state.inode = st.inode;
    hf_free(f->state.replica);
    f->state.replica = hf_strdup(hf_replica_name(f->replica));
    return HF_OK;
}

/* A log or journal of a file that is gone would be played into the new one. */
static enum hf_code remove_beside(struct hf_follow *f, struct hf_err *err)
{
    static const char *const suffixes[] = {"-wal", "-shm", "-journal"};
    for (size_t i = 0; i < HF_ARRAY_LEN(suffixes); i++) {
        HF_AUTO_FREE char *path = hf_asprintf("%s%s", f->path, suffixes[i]);
        HF_TRY(hf_path_remove(path, err));
    }
    HF_AUTO_FREE char *mark = hf_path_join(f->state.dir, "follow-mark");
    return hf_path_remove(mark, err);
}

/* Floor 0: a kill from here on must not leave a file that seems to be somebody's. */
static enum hf_code begin_copy(struct hf_follow *f, struct hf_err *err)
{
    hf_free(f->state.replica);
    f->state.replica = hf_strdup(hf_replica_name(f->replica));
    f->state.dev = 0;
    f->state.inode = 0;
    f->state.ceiling = 0;
    f->state.clean_size = 0;
    f->state.clean_mtime_ns = 0;
    f->state.has_marks = false;
    f->state.seq = 0;
    hf_file_close(&f->state.mark_file);
    f->must_reach = 0;
    f->must_list = true;
    return hf_follow_state_save(&f->state, 0, err);
}

static enum hf_code adopt_copy(struct hf_follow *f, uint64_t txid, struct hf_err *err)
{
    hf_assert(txid > 0);
    HF_TRY(identify(f, err));
    HF_TRY(hf_follow_state_save(&f->state, txid, err));
    f->cur = txid;
    return HF_OK;
}

static enum hf_code make_base(struct hf_follow *f, struct hf_err *err)
{
    uint64_t txid = 0;
    hf_assert(f->base != NULL);
    HF_TRY(begin_copy(f, err));
    HF_TRY(hf_path_remove(f->path, err));
    HF_TRY(remove_beside(f, err));
    HF_TRY(f->base(f->base_arg, f->path, &txid, err));
    return adopt_copy(f, txid, err);
}

/* A reader that opens or closes the copy at the same moment locks its index for an instant. */
static enum hf_code open_patiently(struct hf_follow *f, struct hf_err *err)
{
    uint64_t end = hf_clock_mono_ms() + OPEN_BUSY_MS;
    for (;;) {
        enum hf_code rc = hf_apply_open(f->path, &f->apply, err);
        if (rc != HF_E_BUSY || hf_clock_mono_ms() >= end)
            return rc;
        hf_clock_sleep_us(OPEN_RETRY_US);
    }
}

static enum hf_code open_apply(struct hf_follow *f, struct hf_err *err)
{
    HF_TRY(open_patiently(f, err));
    if (f->state.has_marks)
        HF_TRY(hf_apply_expect(f->apply, f->state.marks, 2, err));
    return HF_OK;
}

/* ---- a changed page size ---- */

/* The main file alone is the copy, and nobody else wrote to it: the log can go. */
static enum hf_code settle_copy(struct hf_follow *f, struct hf_err *err)
{
    struct hf_apply_ckpt ckpt = {false, false};
    HF_TRY(checkpoint(f, SETTLE_MS, &ckpt, err));
    bool is_empty = ckpt.is_restarted || hf_apply_info(f->apply).frames == 0;
    if (ckpt.is_complete && is_empty)
        return HF_OK;
    return hf_err_set(err, HF_E_BUSY,
                      "%s: the page size changed, and readers keep the copy from being made anew",
                      f->path);
}

static enum hf_code swap_in(struct hf_follow *f, const char *anew, uint64_t txid,
                            struct hf_err *err)
{
    HF_AUTO_FREE char *dir = hf_path_dir(f->path);
    HF_TRY(settle_copy(f, err));
    HF_TRY(begin_copy(f, err));
    hf_apply_close(f->apply);
    f->apply = NULL;
    HF_TRY(remove_beside(f, err));
    HF_TRY(hf_path_rename(anew, f->path, err));
    HF_TRY(hf_path_sync_dir(dir, err));
    HF_TRY(adopt_copy(f, txid, err));
    f->renew_after_ms = 0;
    return open_apply(f, err);
}

/* Restored beside the copy, which readers may use until the new one takes its name. Those that have
 * it open go on to see the old one until they open it anew. */
static enum hf_code renew(struct hf_follow *f, struct hf_err *err)
{
    HF_AUTO_FREE char *anew = hf_asprintf("%s.anew", f->path);
    uint64_t txid = 0;
    HF_TRY(settle_copy(f, err)); /* rather before the work than after it */
    HF_TRY(hf_path_remove(anew, err));
    f->renew_after_ms = hf_clock_mono_ms() + RENEW_PAUSE_MS;
    enum hf_code rc = f->base(f->base_arg, anew, &txid, err);
    if (rc == HF_OK)
        rc = swap_in(f, anew, txid, err);
    if (rc != HF_OK) {
        (void)!hf_path_remove(anew, NULL); /* what stays is removed by the next try */
        return rc;
    }
    hf_log(HF_LOG_WARN, "copy-made-anew", HF_F_STR("db", f->path),
           HF_F_STR("why", "the page size changed; programs that have it open see the old one"),
           HF_F_TXID("txid", txid), HF_F_END);
    pthread_mutex_lock(&f->lock);
    f->status.txid = txid;
    f->status.floor = txid;
    pthread_mutex_unlock(&f->lock);
    return HF_OK;
}

static enum hf_code renew_if_due(struct hf_follow *f, bool *is_applied, struct hf_err *err)
{
    if (f->base == NULL)
        return HF_E_UNSUPPORTED;
    if (hf_clock_mono_ms() < f->renew_after_ms)
        return hf_err_set(err, HF_E_BUSY,
                          "%s: the page size changed; soon it is tried again to make the copy anew",
                          f->path);
    hf_err_reset(err);
    HF_TRY(renew(f, err));
    *is_applied = true;
    return HF_OK;
}

/* One that was lost on the way to a new one is made from nothing. */
static enum hf_code have_copy(struct hf_follow *f, struct hf_err *err)
{
    if (f->apply != NULL)
        return HF_OK;
    if (f->state.floor == 0)
        HF_TRY(make_base(f, err));
    return open_apply(f, err);
}

/* ---- a step ---- */

enum hf_code hf_follow_step(struct hf_follow *f, bool *is_applied, struct hf_err *err)
{
    *is_applied = false;
    f->is_other_size = false;
    enum hf_code rc = have_copy(f, err);
    if (rc == HF_OK)
        rc = apply_next(f, is_applied, err);
    if (rc == HF_E_UNSUPPORTED && f->is_other_size)
        rc = renew_if_due(f, is_applied, err);
    if (rc == HF_OK)
        rc = checkpoint_if_due(f, *is_applied, err);
    pthread_mutex_lock(&f->lock);
    f->status.code = rc;
    snprintf(f->status.text, sizeof(f->status.text), "%s", rc != HF_OK && err ? err->text : "");
    pthread_mutex_unlock(&f->lock);
    return rc;
}

void hf_follow_hint(struct hf_follow *f)
{
    f->is_hinted = true;
}

char *hf_follow_watch_dir(struct hf_replica *r)
{
    return hf_replica_watch_dir(r);
}

/* ---- running ---- */

static void log_failure(struct hf_follow *f, enum hf_code rc, const struct hf_err *err)
{
    uint64_t now = hf_clock_mono_ms();
    if (rc != f->logged)
        f->log_pause_ms = LOG_AGAIN_MS;
    else if (now < f->log_after_ms)
        return;
    hf_log(HF_LOG_ERROR, "follow-stuck", HF_F_STR("db", f->path), HF_F_TXID("txid", f->cur),
           HF_F_ERR(err), HF_F_END);
    f->logged = rc;
    f->log_after_ms = now + f->log_pause_ms;
    f->log_pause_ms *= 2;
    if (f->log_pause_ms > LOG_AGAIN_MAX_MS)
        f->log_pause_ms = LOG_AGAIN_MAX_MS;
}

static void log_recovery(struct hf_follow *f)
{
    if (f->logged == HF_OK)
        return;
    hf_log(HF_LOG_INFO, "follow-goes-on", HF_F_STR("db", f->path), HF_F_TXID("txid", f->cur),
           HF_F_END);
    f->logged = HF_OK;
}

enum hf_code hf_follow_run(struct hf_follow *f, struct hf_err *err)
{
    hf_assert(f->wait != NULL);
    struct hf_err local = HF_ERR_INIT;
    struct hf_err *e = err != NULL ? err : &local;
    while (!atomic_load(&f->is_stopping)) {
        bool is_applied = false;
        enum hf_code rc = hf_follow_step(f, &is_applied, e);
        if (hf_follow_is_fatal(rc))
            return rc;
        if (rc != HF_OK)
            log_failure(f, rc, e);
        else
            log_recovery(f);
        if (rc != HF_OK || !is_applied)
            f->is_hinted |= hf_dirwait_wait(f->wait, f->interval_ms);
    }
    hf_err_reset(e);
    return HF_OK;
}

void hf_follow_stop(struct hf_follow *f)
{
    atomic_store(&f->is_stopping, true);
    if (f->wait != NULL)
        hf_dirwait_wake(f->wait);
}

void hf_follow_status(struct hf_follow *f, struct hf_follow_status *out)
{
    pthread_mutex_lock(&f->lock);
    *out = f->status;
    pthread_mutex_unlock(&f->lock);
}

/* ---- opening ---- */

static enum hf_code refuse(struct hf_follow *f, enum hf_code code, const char *why,
                           struct hf_err *err)
{
    hf_err_set(err, code, "%s exists and %s", f->path, why);
    hf_err_hint(err, "use another path, or -force to replace it by a copy made anew");
    return code;
}

static enum hf_code resume(struct hf_follow *f, bool is_litestream, struct hf_err *err)
{
    struct hf_follow_state *s = &f->state;
    struct hf_file_stat st;
    HF_TRY(hf_path_stat(f->path, &st, err));
    if (!is_litestream && strcmp(s->replica, hf_replica_name(f->replica)) != 0)
        return refuse(f, HF_E_EXISTS, "follows another replica", err);
    if (!is_litestream && (st.dev != s->dev || st.inode != s->inode))
        return refuse(f, HF_E_EXISTS, "is not the file that was followed", err);
    if (s->clean_mtime_ns != 0 && (st.mtime_ns != s->clean_mtime_ns || st.size != s->clean_size))
        return refuse(f, HF_E_CONFLICT, "was written by somebody else since it was let go of", err);
    f->cur = s->floor;
    /* Without believable marks nothing bounds what is in the copy but the replica's end. */
    bool is_exact = s->clean_mtime_ns != 0;
    f->must_reach = is_exact ? 0 : s->has_marks ? s->ceiling : UINT64_MAX;
    HF_TRY(identify(f, err));
    s->clean_size = 0;
    s->clean_mtime_ns = 0;
    return hf_follow_state_save(s, s->floor, err);
}

static enum hf_code resume_copy(struct hf_follow *f, bool is_ours, bool is_litestream,
                                struct hf_err *err)
{
    if (!is_ours)
        return refuse(f, HF_E_EXISTS, "is not a copy that is followed", err);
    HF_TRY(resume(f, is_litestream, err));
    return open_apply(f, err);
}

static enum hf_code open_copy(struct hf_follow *f, const struct hf_follow_options *o,
                              struct hf_err *err)
{
    bool is_ours = false;
    bool is_litestream = false;
    enum hf_code rc = hf_follow_state_load(&f->state, &is_ours, &is_litestream, err);
    if (rc != HF_OK && !o->is_forced)
        return rc;
    bool is_unfinished = is_ours && !is_litestream && f->state.floor == 0;
    if (hf_path_exists(f->path) && !is_unfinished) {
        rc = resume_copy(f, is_ours, is_litestream, err);
        /* Some forks show only when the replica is looked at. */
        bool is_applied;
        if (rc == HF_OK && o->is_forced)
            rc = hf_follow_step(f, &is_applied, err);
        if (!o->is_forced || !hf_follow_is_fatal(rc))
            return o->is_forced && f->apply != NULL ? HF_OK : rc;
        hf_apply_close(f->apply);
        f->apply = NULL;
    }
    HF_TRY(make_base(f, err));
    return open_apply(f, err);
}

enum hf_code hf_follow_open(const struct hf_follow_options *o, struct hf_follow **out,
                            struct hf_err *err)
{
    hf_assert(o->replica != NULL && o->path != NULL && o->interval_ms > 0);
    char *path = NULL;
    HF_TRY(hf_path_absolute(o->path, &path, err));
    struct hf_follow *f = hf_calloc(1, sizeof(*f));
    f->replica = o->replica;
    f->path = path;
    f->interval_ms = o->interval_ms;
    f->base = o->base;
    f->base_arg = o->base_arg;
    f->must_list = true;
    pthread_mutex_init(&f->lock, NULL);
    hf_follow_state_init(&f->state, f->path, o->state_dir);
    HF_AUTO_FREE char *dir = hf_follow_watch_dir(f->replica);
    f->has_watch = dir != NULL;
    enum hf_code rc = o->is_driven ? HF_OK : hf_dirwait_new(dir, &f->wait, err);
    if (rc == HF_OK)
        rc = open_copy(f, o, err);
    if (rc != HF_OK) {
        f->status.txid = 0;
        hf_follow_close(f);
        return rc;
    }
    f->status.txid = f->cur;
    f->status.floor = f->state.floor;
    f->applied_ms = hf_clock_mono_ms();
    *out = f;
    return HF_OK;
}

/* Everything copied back and the log empty: then any later change of the file is somebody else's.
 */
static void let_go(struct hf_follow *f)
{
    struct hf_apply_ckpt ckpt = {false, false};
    struct hf_file_stat st;
    hf_apply_set_wal_keep(f->apply, 0);
    if (checkpoint(f, CKPT_RETRY_MS, &ckpt, NULL) != HF_OK || !ckpt.is_complete ||
        hf_apply_info(f->apply).wal_bytes != 0 || f->must_reach != 0 ||
        hf_path_stat(f->path, &st, NULL) != HF_OK)
        return;
    f->state.clean_size = st.size;
    f->state.clean_mtime_ns = st.mtime_ns;
    /* Not saved: the next start folds from the floor, as after a kill. */
    (void)!hf_follow_state_save(&f->state, f->cur, NULL);
}

void hf_follow_close(struct hf_follow *f)
{
    if (f == NULL)
        return;
    if (f->apply != NULL && f->status.txid != 0)
        let_go(f);
    hf_apply_close(f->apply);
    hf_dirwait_free(f->wait);
    hf_follow_state_deinit(&f->state);
    pthread_mutex_destroy(&f->lock);
    hf_free(f->path);
    hf_free(f);
}
