/*
 * Checkpoints of a standby and restarting its log.
 *
 * The restart, under WRITE and CKPT, when everything is copied back and no reader uses the log
 * (slots 1 to 4 can be had alone): nBackfill = 0 first, then the header with max_frame 0, then the
 * marks. The other way round a kill in between leaves an empty log of which nBackfill frames count
 * as copied: readers would skip the first frames that are written next.
 *
 * Holding CKPT keeps clear of the defect of SQLite 3.7.0 to 3.51.2 in which a checkpoint that
 * begins while the log is reset records a wrong nBackfill.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/random.h"
#include "sqlite/apply_int.h"
#include "sqlite/vfs.h"

enum { RETRY_US = 500 };

void hf_apply_set_wal_keep(struct hf_apply *a, uint64_t bytes)
{
    a->wal_keep = bytes;
}

static enum hf_code cut_log(struct hf_apply *a, struct hf_err *err)
{
    struct hf_file_stat st;
    HF_TRY(hf_file_stat(&a->wal, &st, err));
    if (st.size <= a->wal_keep)
        return HF_OK;
    hf_apply_step(a, "wal-truncate");
    return hf_file_truncate(&a->wal, 0, err);
}

/* All locks are held. */
static void restart_log(struct hf_apply *a, const struct hf_walindex *now)
{
    struct hf_walindex h = *now;
    h.max_frame = 0;
    h.salt[0]++;
    h.salt[1] = hf_random_u32();
    hf_apply_step(a, "restart-backfill");
    hf_walindex_set_backfill(a->region0, 0);
    hf_walindex_set_backfill_attempted(a->region0, 0);
    hf_apply_step(a, "restart-header");
    if (a->step_fn != NULL) {
        hf_walindex_write_half(a->region0, &h);
        hf_apply_step(a, "restart-half");
    }
    hf_walindex_write(a->region0, &h);
    hf_apply_step(a, "restart-marks");
    hf_walindex_set_mark(a->region0, 1, 0);
    for (int i = 2; i < HF_WAL_READ_MARKS; i++)
        hf_walindex_set_mark(a->region0, i, HF_WAL_MARK_UNUSED);
    a->last = h;
    hf_apply_step(a, "restarted");
}

/* WRITE and CKPT are held. */
static enum hf_code restart_without_readers(struct hf_apply *a, const struct hf_walindex *h,
                                            bool *is_restarted, struct hf_err *err)
{
    if (h->max_frame == 0 || hf_walindex_backfill(a->region0) != h->max_frame)
        return HF_OK;
    HF_TRY(hf_apply_lock(a, HF_WAL_LOCK_READ0, 1, false, err));
    enum hf_code rc = hf_apply_lock(a, HF_WAL_LOCK_READ0 + 1, HF_WAL_READ_MARKS - 1, true, err);
    if (rc == HF_OK) {
        restart_log(a, h);
        *is_restarted = true;
        rc = cut_log(a, err);
        hf_apply_unlock(a, HF_WAL_LOCK_READ0 + 1, HF_WAL_READ_MARKS - 1, true);
    }
    hf_apply_unlock(a, HF_WAL_LOCK_READ0, 1, false);
    return rc;
}

static enum hf_code restart(struct hf_apply *a, bool *is_restarted, struct hf_err *err)
{
    struct hf_walindex h;
    HF_TRY(hf_apply_enter(a, 0, &h, err));
    enum hf_code rc = hf_apply_lock(a, HF_WAL_LOCK_CKPT, 1, true, err);
    if (rc == HF_OK) {
        rc = restart_without_readers(a, &h, is_restarted, err);
        hf_apply_unlock(a, HF_WAL_LOCK_CKPT, 1, true);
    }
    hf_apply_leave(a);
    return rc;
}

/* Tries until the log is restarted or the deadline is over; somebody in the way is no error. */
static enum hf_code try_restart(struct hf_apply *a, uint64_t deadline, bool *is_restarted,
                                struct hf_err *err)
{
    for (;;) {
        enum hf_code rc = restart(a, is_restarted, err);
        if (rc != HF_OK && rc != HF_E_BUSY)
            return rc;
        if (rc == HF_OK || hf_clock_mono_ms() >= deadline)
            return HF_OK;
        hf_clock_sleep_us(RETRY_US);
    }
}

static enum hf_code copy_back(struct hf_apply *a, uint64_t deadline, bool *is_complete,
                              struct hf_err *err)
{
    for (;;) {
        hf_apply_step(a, "checkpoint");
        HF_TRY(hf_apply_sql(a, HF_APPLY_SQL_PASSIVE, is_complete, err));
        if (*is_complete || hf_clock_mono_ms() >= deadline)
            break;
        hf_clock_sleep_us(RETRY_US);
    }
    hf_apply_step(a, "checkpointed");
    if (!*is_complete)
        return HF_OK;
    /* Somebody else, who does not sync, may have copied all of it before. */
    int rc = hf_vfs_sync(a->file, a->path);
    return rc == SQLITE_OK ? HF_OK : hf_apply_sqlite_err(err, a, rc, "sync");
}

enum hf_code hf_apply_checkpoint(struct hf_apply *a, uint64_t wait_ms, struct hf_apply_ckpt *ckpt,
                                 struct hf_err *err)
{
    hf_assert_magic(a, HF_APPLY_MAGIC);
    hf_assert(a->state == HF_APPLY_IDLE);
    uint64_t deadline = hf_clock_mono_ms() + wait_ms;
    struct hf_apply_ckpt out = {false, false};
    enum hf_code rc = copy_back(a, deadline, &out.is_complete, err);
    if (rc == HF_OK && out.is_complete)
        rc = try_restart(a, deadline, &out.is_restarted, err);
    if (rc != HF_OK && rc != HF_E_BUSY)
        return rc;
    hf_err_reset(err);
    *ckpt = out;
    return HF_OK;
}
