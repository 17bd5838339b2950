/*
 * Following the log of one database: looks at it, when to let go of it, checkpoints for
 * applications that do not, and polling one that is busy.
 */
#include "base/clock.h"
#include "base/log.h"
#include "os/cpu.h"
#include "replica/db.h"

/* When frames are there but not yet copied back, or the event came before the header: look again
 * soon, then ever later. */
static void plan_relook(struct db *db, uint64_t now, bool is_needed)
{
    if (!is_needed) {
        db->relook_ms = 0;
        return;
    }
    if (now - db->last_event_ms > 200)
        return;
    db->relook_ms = db->relook_ms == 0 ? 1 : db->relook_ms * 2;
    if (db->relook_ms <= 64)
        db_wake_at(db, now + db->relook_ms);
}

static uint64_t log_bytes(const struct db *db, uint32_t frames)
{
    return (uint64_t)frames * hf_live_page_size(hf_capture_live(db->cap));
}

/* Frames were not copied back for long after the last commit. */
static bool wants_checkpoint(const struct db *db, uint64_t now)
{
    return db->log_frames > db->backfill && now - db->last_new_ms >= DB_IDLE_CHECKPOINT_MS &&
           now - db->last_ckpt_ms >= DB_IDLE_CHECKPOINT_MS;
}

/* The application does not checkpoint its long log. */
static bool wants_drain(const struct db *db, uint64_t now)
{
    bool does_itself = now - db->app_ckpt_ms < DB_OWN_CKPT_MS;
    uint64_t wait = does_itself ? DB_BEHIND_LONG_MS : db->last_ckpt_ms == 0 ? DB_BEHIND_MS : 0;
    return log_bytes(db, db->log_frames - db->backfill) >= DB_LONG_LOG_BYTES &&
           now - db->behind_since_ms >= wait && now - db->last_ckpt_ms >= DB_CKPT_GAP_MS &&
           !hf_live_is_checkpointing(hf_capture_live(db->cap));
}

static void look_after_log(struct db *db, uint64_t now)
{
    if (db_lane_busy(db, LANE_SQL) || db->holds_write)
        return;
    if (wants_drain(db, now))
        db_sql_drain(db);
    else if (wants_checkpoint(db, now))
        db_sql_checkpoint(db);
}

static void look_quiet(struct db *db, uint64_t now)
{
    bool is_quiet = hf_capture_state(db->cap) == HF_CAPTURE_DRAINED &&
                    hf_capture_batch(db->cap)->commit == 0 && db->batch.pages == NULL &&
                    now - db->last_new_ms >= db->cold_after_ms && !db_lane_busy(db, LANE_SQL);
    if (is_quiet && !db->e->is_ending)
        db_sql_cool_down(db);
}

/* The batch is full and nothing takes it: rather than let the log grow without end, let it go; what
 * was not shipped is shipped as a difference when the store is back. */
static bool gave_up(struct db *db, bool is_full, uint64_t now)
{
    if (!is_full || db->batch.pages == NULL) {
        db->full_since_ms = 0;
        return false;
    }
    if (db->full_since_ms == 0)
        db->full_since_ms = now;
    if (now - db->full_since_ms < DB_GIVE_UP_MS || db_lane_busy(db, LANE_SHIP))
        return false;
    struct hf_err err = HF_ERR_INIT;
    hf_err_set(&err, HF_E_BUSY, "the replica does not take what is written; the log is let go");
    db_drop_batch(db);
    db->pos = (struct hf_position){0};
    db_fail(db, "falling behind", &err);
    return true;
}

static void after_look(struct db *db, const struct hf_look *look, uint64_t now)
{
    db->torn_since_ms = 0;
    if (log_bytes(db, look->log_frames - look->backfill) < DB_LONG_LOG_BYTES ||
        look->backfill != db->backfill)
        db->behind_since_ms = now; /* the application checkpoints itself */
    db->log_frames = look->log_frames;
    db->backfill = look->backfill;
    bool is_running = hf_live_is_checkpointing(hf_capture_live(db->cap));
    if (is_running && !db_lane_busy(db, LANE_SQL))
        db->app_ckpt_ms = now;
    /* the end of a running checkpoint must not be missed; but one that died leaves its traces */
    bool is_ending =
        is_running && look->is_waiting_drain && now - db->last_event_ms < DB_CKPT_EVENT_MS;
    /* one commit is an event; many so close together are a load that events would follow too late
     */
    if (look->has_new)
        db->warm_commits = now - db->last_new_ms <= DB_WARM_MS ? db->warm_commits + 1 : 0;
    bool is_warm = look->has_new && db->warm_commits >= DB_WARM_COMMITS;
    bool is_recent = is_warm || (db->is_hot && now - db->last_new_ms <= DB_HOT_MS);
    if (look->has_new) {
        db->last_new_ms = now;
        db->hold_until_ms = 0;
        db->cold_after_ms = db_cold_after(db);
    }
    db_set_hot(db, is_ending || is_recent || db->holds_write);
    if (look->log_frames == look->backfill && hf_capture_state(db->cap) == HF_CAPTURE_FOLLOWING)
        db_wake_at(db, now + DB_EMPTY_MS + 1);
    bool is_behind = look->is_waiting_drain && (look->log_frames >= 900 || look->backfill > 0);
    plan_relook(db, now, is_behind || (!look->has_new && now - db->last_event_ms < 20));
}

/* The header of the index is half written. While somebody holds the write lock he is alive: held up
 * by a page fault or a busy machine, he will finish it. With the lock in our hand nobody will. */
static bool is_index_abandoned(struct db *db, uint64_t now)
{
    struct hf_walindex h;
    uint32_t backfill = 0;
    struct hf_live *live = hf_capture_live(db->cap);
    if (now - db->torn_since_ms <= DB_TORN_MS)
        return false;
    if (!db->holds_write && hf_live_take_write(live, NULL) != HF_OK)
        return false;
    bool is_torn = hf_live_index(live, &h, &backfill) == HF_WALINDEX_TORN;
    hf_live_drop_write(live);
    db->holds_write = false;
    return is_torn;
}

static void look_failed(struct db *db, const struct hf_look *look, enum hf_code rc,
                        struct hf_err *err, uint64_t now)
{
    if (rc == HF_E_CONFLICT || rc == HF_E_CORRUPT) {
        db_break(db, err->text);
        return;
    }
    if (rc != HF_E_BUSY) {
        db_fail(db, "cannot read", err);
        return;
    }
    if (db->torn_since_ms == 0)
        db->torn_since_ms = now;
    if (look->wants_recovery && db->batch.pages == NULL && is_index_abandoned(db, now)) {
        hf_log(HF_LOG_WARN, "wal-index left half written, recovering", HF_F_STR("db", db->path),
               HF_F_U64("torn_ms", now - db->torn_since_ms), HF_F_END);
        db_let_go(db);
        db_sql_closed(db, HF_SQL_TOUCH);
        return;
    }
    uint64_t wait = (now - db->torn_since_ms) / 8;
    db_wake_at(db, now + (wait < 1 ? 1 : wait < DB_TORN_LOOK_MS ? wait : DB_TORN_LOOK_MS));
}

static uint64_t room(uint64_t limit, uint64_t used, uint64_t max)
{
    uint64_t left = used < limit ? limit - used : 0;
    return left < max ? left : max;
}

/* Memory and spill space are shared by all databases: what others hold is not to be had. */
static void set_room(struct db *db)
{
    const struct engine *e = db->e;
    size_t own = hf_capture_pending_bytes(db->cap);
    uint64_t own_spilled = hf_capture_spilled_bytes(db->cap);
    db_count(db);
    uint64_t memory = room(HF_LIMIT_PENDING_ALL, e->pending_bytes - own, HF_LIMIT_BATCH_BYTES);
    uint64_t spill = room(HF_LIMIT_SPILL_ALL, e->spilled_bytes - own_spilled, HF_LIMIT_SPILL_BYTES);
    if (memory < DB_ROOM_MIN_BYTES)
        memory = DB_ROOM_MIN_BYTES;
    hf_capture_set_room(db->cap, db->meta, (size_t)memory, spill);
}

/* A checkpoint of ours runs only while a slot is held: SQLite before 3.51.3 can lose pages when the
 * log is reset under a checkpoint that is beginning. */
static enum hf_drain may_let_go(struct db *db, uint64_t now)
{
    bool is_ours = db_lane_busy(db, LANE_SQL) &&
                   (db->sql_action == HF_SQL_CHECKPOINT || db->sql_action == HF_SQL_DRAIN);
    if (db_batch_holds_log(db) || is_ours)
        return HF_DRAIN_NO;
    if (db->holds_write || db->is_drained_by_child) /* nobody can append */
        return HF_DRAIN_USED;
    if (now - db->last_event_ms < DB_APPEND_MS && hf_capture_is_appended(db->cap)) {
        db->hold_until_ms = now + DB_EMPTY_MS;
        return HF_DRAIN_LEAVE;
    }
    if (now < db->hold_until_ms)
        return HF_DRAIN_NO;
    return now - db->last_event_ms < DB_EMPTY_MS ? HF_DRAIN_USED : HF_DRAIN_ANY;
}

static bool look(struct db *db, uint64_t now)
{
    struct hf_look l;
    struct hf_err err = HF_ERR_INIT;
    enum hf_drain drain = may_let_go(db, now);
    set_room(db);
    enum hf_code rc = hf_capture_look(db->cap, drain, &l, &err);
    if (rc != HF_OK) {
        look_failed(db, &l, rc, &err, now);
        return db->cap != NULL;
    }
    db_count(db);
    if (l.wants_recovery) {
        db_let_go(db);
        db_sql_closed(db, HF_SQL_TOUCH);
        return false;
    }
    after_look(db, &l, now);
    return !gave_up(db, l.is_full, now);
}

/* The write lock is taken before the look, which may take longer than a checkpoint. */
bool db_follow(struct db *db, uint64_t now)
{
    db_drain_begin(db, now);
    if (!look(db, now))
        return false;
    db_drain_end(db);
    return true;
}

/* The path leads to another file, or to none: the old one is gone for good. */
bool db_was_replaced(struct db *db)
{
    struct hf_file_stat st;
    struct hf_live *live = hf_capture_live(db->cap);
    if (hf_path_stat(db->path, &st, NULL) == HF_OK && st.dev == hf_live_dev(live) &&
        st.inode == hf_live_inode(live))
        return false;
    hf_log(HF_LOG_INFO, "database file replaced or removed", HF_F_STR("db", db->path), HF_F_END);
    return true;
}

void db_live_step(struct db *db, uint64_t now)
{
    if (!db_follow(db, now))
        return;
    db_ship_if_due(db);
    if (db->cap == NULL || db->state != DB_LIVE)
        return;
    uint64_t due = db_ship_due_at(db);
    if (due != 0)
        db_wake_at(db, due);
    look_after_log(db, now);
    if (db->cap != NULL)
        look_quiet(db, now);
}

static bool is_following(const struct db *db)
{
    return (db->state == DB_LIVE || db->state == DB_BASE_SCAN) &&
           hf_capture_state(db->cap) == HF_CAPTURE_FOLLOWING;
}

/* A checkpoint of a few frames is over in some 0.3 ms, most of which its process waits for its
 * disk: that end is awaited on the spot, reading shared memory. */
static void await_short_checkpoint(struct db *db)
{
    const struct hf_live *live = hf_capture_live(db->cap);
    uint64_t end = hf_clock_mono_ns() + DB_SPIN_US * 1000u;
    while (hf_live_is_checkpointing(live) && hf_clock_mono_ns() < end)
        hf_cpu_relax();
    /* slot 0 is let go of a moment after the counter says so */
    for (int i = 0; i < DB_LOOKS && is_following(db); i++) {
        db_step(db);
        if (db->backfill < db->log_frames)
            return;
    }
}

/*
 * The moment between the end of an application's checkpoint and its next commit is the only one in
 * which a log that is written without a pause can be let go of: some 20 us. Missed, the next commit
 * appends and runs another checkpoint, with its fsync, and so does every one after it. So while a
 * checkpoint runs on the log of a busy database, or has run, it is polled faster (is_awaiting).
 */
void db_poll(struct db *db)
{
    uint64_t now = hf_clock_mono_ms();
    db_step(db);
    if (!is_following(db) || db_batch_holds_log(db)) {
        db->is_awaiting = false;
        return;
    }
    bool is_running = hf_live_is_checkpointing(hf_capture_live(db->cap));
    bool was_awaiting = db->is_awaiting;
    db->is_awaiting = is_running || db->backfill > 0;
    if (db->is_awaiting && !was_awaiting)
        db->await_since_ms = now;
    if (now - db->await_since_ms > DB_AWAIT_MS) /* a reader holds it up, or its process died */
        db->is_awaiting = false;
    if (db->is_awaiting && is_running && db->backfill > 0)
        await_short_checkpoint(db);
}
