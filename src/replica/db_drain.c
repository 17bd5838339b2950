/*
 * Letting go of a log that is never quiet, under the write lock.
 *
 * A log can be let go of only between the end of a checkpoint and the next commit. While it is
 * short, that moment is waited for (db_poll). When the moment was missed and the log has become
 * long, the write lock makes it: taken right after a commit, while the application checkpoints, and
 * kept until everything is captured and copied back. The application's next transaction waits
 * hardly longer than for its own checkpoint; it needs a busy timeout (README). Why:
 * docs/decisions/0005.
 */
#include "base/clock.h"
#include "replica/db.h"

bool db_batch_holds_log(const struct db *db)
{
    return (db->batch.pages != NULL && db->batch_has_refs) ||
           (db->run.pages != NULL && db->run_has_refs);
}

static bool wants_draining(const struct db *db, uint64_t now)
{
    const struct hf_live *live = hf_capture_live(db->cap);
    struct hf_walindex h;
    uint32_t backfill = 0;
    bool is_held = db->holds_write || db_lane_busy(db, LANE_SQL) || db_batch_holds_log(db);
    if (is_held || hf_capture_state(db->cap) != HF_CAPTURE_FOLLOWING ||
        now - db->write_since_ms < db->drain_gap_ms ||
        (db->drain_gap_ms > 0 && now - db->app_ckpt_ms > DB_OWN_CKPT_MS) ||
        hf_live_index(live, &h, &backfill) != HF_WALINDEX_OK)
        return false;
    uint64_t bytes = (uint64_t)h.max_frame * hf_live_page_size(live);
    return bytes >= DB_LONG_LOG_BYTES && h.max_frame > backfill &&
           (hf_capture_ahead_bytes(db->cap) > 0 || hf_live_is_checkpointing(live));
}

void db_drain_begin(struct db *db, uint64_t now)
{
    if (!wants_draining(db, now) || hf_live_take_write(hf_capture_live(db->cap), NULL) != HF_OK)
        return;
    db->holds_write = true;
    db->write_since_ms = now;
}

static void drop_write(struct db *db)
{
    hf_live_drop_write(hf_capture_live(db->cap));
    db->holds_write = false;
}

/* How long the lock may be held while nothing is drained yet. */
static uint64_t patience(struct db *db, uint64_t now)
{
    bool is_running = hf_live_is_checkpointing(hf_capture_live(db->cap));
    bool has_ended = db->backfill == db->log_frames; /* slot 0 is let go of a moment later */
    if (is_running || has_ended)
        db->app_ckpt_ms = now;
    if (is_running)
        return DB_DRAIN_HOLD_MS;
    return now - db->app_ckpt_ms < DB_OWN_CKPT_MS ? DB_DRAIN_START_MS : DB_DRAIN_IDLE_MS;
}

static void drop_after_draining(struct db *db, uint64_t now)
{
    bool is_drained = hf_capture_state(db->cap) == HF_CAPTURE_DRAINED;
    if (!is_drained && now - db->write_since_ms < patience(db, now))
        return;
    drop_write(db);
    /* held for nothing (no checkpoint began, a reader keeps it from its end): less often */
    uint64_t gap = db->drain_gap_ms == 0 ? DB_DRAIN_GAP_MIN_MS : db->drain_gap_ms * 2;
    if (is_drained)
        gap = 0;
    db->drain_gap_ms = gap > DB_DRAIN_GAP_MAX_MS ? DB_DRAIN_GAP_MAX_MS : gap;
}

void db_drain_end(struct db *db)
{
    if (db->holds_write)
        drop_after_draining(db, hf_clock_mono_ms());
}
