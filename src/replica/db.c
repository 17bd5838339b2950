/*
 * The state machine of one database, on the capture thread.
 *
 *   INIT ──► open ──► COLD_BASE ──► COLD ◄──────────────┐
 *              │                      │ event           │ quiet, drained, nobody else
 *              ├─► WAIT (no file, empty)                │
 *              ├─► SQL (convert, recover) ──► open      │
 *              ├─► LIVE (position continues) ───────────┘
 *              └─► BASE_PREP ──► BASE_SCAN ──► LIVE
 *   any failure ──► RETRY ──► open;   LIVE, continuity lost ──► BASE_PREP
 */
#include "replica/db.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/cpu.h"

enum { DB_MAGIC = 0x48444230 };

static const char *const state_words[] = {
#define X(name, word, doc) [name] = word,
    DB_STATES(X)
#undef X
};

const char *db_state_word(enum db_state s)
{
    return state_words[s];
}

/* ---- jobs ---- */

static void run_job(struct hf_task *task)
{
    struct db_job *job = (struct db_job *)task;
    job->rc = job->work(job->db, job->err);
    hf_mailbox_post(job->db->e->mailbox, task);
}

static struct hf_pool *lane_pool(struct engine *e, enum db_lane lane)
{
    switch (lane) {
    case LANE_SQL:
        return e->sql_pool;
    case LANE_UPKEEP:
        return e->upkeep_pool;
    case LANE_SHIP:
    case LANE_BASE:
    case LANE_COUNT:
    default:
        return e->ship_pool;
    }
}

void db_submit(struct db *db, enum db_lane lane, enum hf_code (*work)(struct db *, struct hf_err *),
               void (*done)(struct db *, enum hf_code, struct hf_err *))
{
    struct db_job *job = &db->jobs[lane];
    hf_assert(!job->is_busy);
    job->task.run = run_job;
    job->db = db;
    job->work = work;
    job->done = done;
    job->err = hf_calloc(1, sizeof(*job->err));
    job->is_busy = true;
    db->e->busy_jobs++;
    hf_pool_submit(lane_pool(db->e, lane), &job->task);
}

bool db_lane_busy(const struct db *db, enum db_lane lane)
{
    return db->jobs[lane].is_busy;
}

/* ---- timers, errors ---- */

static void on_timer(void *arg)
{
    struct db *db = arg;
    db->wake_ms = 0;
    db_step(db);
}

void db_wake_at(struct db *db, uint64_t at_ms)
{
    if (db->wake_ms != 0 && db->wake_ms <= at_ms)
        return;
    uint64_t now = hf_clock_mono_ms();
    db->wake_ms = at_ms;
    hf_timer_start(&db->timer, at_ms > now ? at_ms - now : 0, 0);
}

void db_set_state(struct db *db, enum db_state s)
{
    if (db->state == s)
        return;
    hf_log(HF_LOG_DEBUG, "state", HF_F_STR("db", db->path),
           HF_F_STR("from", db_state_word(db->state)), HF_F_STR("to", db_state_word(s)), HF_F_END);
    db->state = s;
}

void db_clear_error(struct db *db)
{
    if (db->last_error == NULL)
        return;
    hf_log(HF_LOG_INFO, "recovered", HF_F_STR("db", db->path), HF_F_STR("was", db->last_error),
           HF_F_END);
    hf_free(db->last_error);
    db->last_error = NULL;
}

static void note_error(struct db *db, const char *what, const struct hf_err *err)
{
    if (db->last_error != NULL && strcmp(db->last_error, err->text) == 0)
        return;
    hf_log(HF_LOG_ERROR, what, HF_F_STR("db", db->path), HF_F_STR("code", hf_code_word(err->code)),
           HF_F_ERR(err), HF_F_END);
    hf_free(db->last_error);
    db->last_error = hf_strdup(err->text);
}

static uint64_t next_delay(uint64_t delay)
{
    delay = delay == 0 ? DB_RETRY_MIN_MS : delay * 2;
    return delay > DB_RETRY_MAX_MS ? DB_RETRY_MAX_MS : delay;
}

static void set_hot(struct db *db, bool is_hot)
{
    if (db->is_hot == is_hot)
        return;
    db->is_hot = is_hot;
    if (is_hot)
        db->e->n_hot++;
    else
        db->e->n_hot--;
}

static void let_go(struct db *db)
{
    set_hot(db, false);
    db_base_drop(db);
    if (db->cap == NULL)
        return;
    if (db->batch.pages != NULL && db->batch_has_refs && !db_lane_busy(db, LANE_SHIP))
        db_drop_batch(db);
    db->e->pending_bytes -= hf_capture_pending_bytes(db->cap);
    hf_capture_free(db->cap);
    db->cap = NULL;
    db->holds_write = false;
    db->torn_since_ms = 0;
    db->full_since_ms = 0;
}

/* A lock that is taken for a moment (an application that closes, a recovery) is no news. */
static bool is_passing(const struct db *db, const struct hf_err *err)
{
    return err->code == HF_E_BUSY && db->retry_ms < DB_BUSY_QUIET_MS;
}

void db_fail(struct db *db, const char *what, const struct hf_err *err)
{
    bool is_busy = is_passing(db, err);
    if (!is_busy)
        note_error(db, what, err);
    let_go(db);
    if (is_busy)
        db->retry_ms = db->retry_ms == 0 ? DB_BUSY_MIN_MS : db->retry_ms * 2;
    else
        db->retry_ms = next_delay(db->retry_ms);
    db->retry_at = hf_clock_mono_ms() + db->retry_ms;
    db_set_state(db, DB_RETRY);
    db_wake_at(db, db->retry_at);
}

/* ---- life ---- */

static enum hf_code init_work(struct db *db, struct hf_err *err)
{
    uint64_t txid = 0;
    HF_TRY(hf_replica_position(db->replica, &txid, err));
    struct hf_position pos = {0};
    if (hf_position_load(db->meta, &pos, NULL) != HF_OK || pos.txid != txid)
        pos = (struct hf_position){0};
    db->next_txid = txid;
    db->next_pos = pos;
    return HF_OK;
}

static void init_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    if (rc != HF_OK) {
        db_fail(db, "replica unreachable", err);
        return;
    }
    db->txid = db->next_txid;
    db->pos = db->next_pos;
    db_open(db);
}

void db_start(struct db *db)
{
    if (db_lane_busy(db, LANE_BASE) || db_lane_busy(db, LANE_SHIP)) {
        db_wake_at(db, hf_clock_mono_ms() + DB_RETRY_MIN_MS);
        return;
    }
    db_drop_batch(db);
    db_set_state(db, DB_INIT);
    db_submit(db, LANE_BASE, init_work, init_done);
}

struct db *db_new(struct engine *e, const struct hf_config_db *conf, struct hf_err *err)
{
    struct db *db = hf_calloc(1, sizeof(*db));
    db->magic = DB_MAGIC;
    db->e = e;
    db->conf = conf;
    db->rconf = &conf->replicas[0];
    db->cold_after_ms = DB_COLD_MS;
    db->write_gap_ms = DB_WRITE_GAP_MIN_MS;
    if (hf_path_absolute(conf->path, &db->path, err) != HF_OK) {
        hf_free(db);
        return NULL;
    }
    db->wal_path = hf_asprintf("%s-wal", db->path);
    db->name = strrchr(db->path, '/') + 1;
    db->meta = hf_strdup(conf->meta_path);
    if (db->rconf->page_format != HF_PAGE_FORMAT_AUTO) {
        db->has_form = true;
        db->form =
            db->rconf->page_format == HF_PAGE_FORMAT_FRAME ? HF_LTX_FORM_FRAME : HF_LTX_FORM_BLOCK;
    }
    return db;
}

void db_attach(struct db *db)
{
    hf_timer_init(&db->timer, &db->e->loop, on_timer, db);
}

void db_free(struct db *db)
{
    if (db == NULL)
        return;
    hf_assert_magic(db, DB_MAGIC);
    let_go(db);
    db_drop_batch(db);
    hf_replica_free(db->replica);
    hf_config_db_free(db->take_conf);
    hf_free(db->path);
    hf_free(db->wal_path);
    hf_free(db->meta);
    hf_free(db->sums_path);
    hf_free(db->last_error);
    db->magic = 0;
    hf_free(db);
}

/* ---- opening ---- */

static bool log_is_empty(const struct db *db)
{
    struct hf_file_stat st;
    return hf_path_stat(db->wal_path, &st, NULL) != HF_OK || st.size == 0;
}

static void go_wait(struct db *db)
{
    let_go(db);
    db->retry_ms = 0;
    db_set_state(db, DB_WAIT);
}

/* A cold database that is written by a program which ends at once is re-based: cheap for a small
 * one, a pass over all of it for a large one. */
static uint64_t cold_after(const struct db *db)
{
    uint64_t bytes =
        (uint64_t)hf_capture_commit(db->cap) * hf_live_page_size(hf_capture_live(db->cap));
    return bytes <= DB_SMALL_BYTES ? DB_COLD_MS : DB_COLD_LARGE_MS;
}

/* Ready to follow: position known, log held. */
static void go_live(struct db *db, struct hf_capture *cap)
{
    db->cap = cap;
    db->retry_ms = 0;
    db->last_new_ms = hf_clock_mono_ms();
    if (db->cold_after_ms < cold_after(db))
        db->cold_after_ms = cold_after(db);
    db_clear_error(db);
    db_set_state(db, DB_LIVE);
    db_step(db);
}

/* The index must be one that somebody recovered; otherwise one SQL connection reads once. */
static bool index_is_usable(const struct hf_live *live)
{
    struct hf_walindex h;
    uint32_t backfill = 0;
    uint64_t end = hf_clock_mono_ms() + 10;
    enum hf_walindex_state s = hf_live_index(live, &h, &backfill);
    while (s == HF_WALINDEX_TORN && hf_clock_mono_ms() < end)
        s = hf_live_index(live, &h, &backfill);
    if (s == HF_WALINDEX_NOT_INIT)
        return hf_live_wal_size(live) == 0;
    return s == HF_WALINDEX_OK;
}

/* The main file was looked at before the log was held. If the log is another one, "unchanged" must
 * still be true now that nothing can restart it. */
static bool is_still_unchanged(const struct db *db, const struct hf_capture *cap)
{
    struct hf_file_stat st;
    struct hf_wal_pos pos = hf_capture_pos(cap);
    if (hf_wal_pos_is_of(&db->pos.pos, pos.salt))
        return true;
    return hf_path_stat(db->path, &st, NULL) == HF_OK && hf_position_main_is(&db->pos, &st);
}

static void open_live(struct db *db, struct hf_live *live, bool is_main_unchanged)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_capture *cap = NULL;
    if (!index_is_usable(live)) {
        hf_live_close(live);
        db_sql_closed(db, HF_SQL_TOUCH);
        return;
    }
    bool is_known =
        db->pos.txid == db->txid && db->txid > 0 && db->pos.page_size == hf_live_page_size(live);
    enum hf_code rc = HF_E_CONFLICT;
    if (is_known)
        rc = hf_capture_new(live, &db->pos.pos, db->pos.commit, is_main_unchanged, &cap, &err);
    if (rc == HF_OK && is_main_unchanged && !is_still_unchanged(db, cap)) {
        hf_capture_free(cap);
        db_break(db, "the database changed while it was being opened");
        return;
    }
    if (rc == HF_OK) {
        go_live(db, cap);
        return;
    }
    hf_live_close(live);
    if (rc == HF_E_CONFLICT || rc == HF_E_CORRUPT) {
        if (is_known)
            hf_log(HF_LOG_INFO, "rebase", HF_F_STR("db", db->path), HF_F_STR("reason", err.text),
                   HF_F_END);
        db_base_prepare(db);
    } else {
        db_fail(db, "cannot follow", &err);
    }
}

static void open_through_vfs(struct db *db, bool is_main_unchanged)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_live *live = NULL;
    enum hf_live_kind kind = HF_LIVE_EMPTY;
    enum hf_code rc = hf_live_open(db->path, &live, &kind, &err);
    if (rc == HF_E_NOT_FOUND)
        go_wait(db);
    else if (rc != HF_OK)
        db_fail(db, "cannot open", &err);
    else if (kind == HF_LIVE_EMPTY)
        go_wait(db);
    else if (kind == HF_LIVE_ROLLBACK)
        db_sql_closed(db, HF_SQL_CONVERT);
    else
        open_live(db, live, is_main_unchanged);
}

/* The main file's times are old enough to prove that nothing was written since they were taken. */
static bool is_settled(const struct hf_file_stat *st)
{
    int64_t age = hf_clock_wall_ms() - st->mtime_ns / 1000000;
    return age > DB_SETTLE_MS || age < 0;
}

void db_open(struct db *db)
{
    struct hf_file_stat st;
    struct hf_err err = HF_ERR_INIT;
    hf_assert(db->cap == NULL && !db_lane_busy(db, LANE_BASE) && !db_lane_busy(db, LANE_SQL));
    enum hf_code rc = hf_path_stat(db->path, &st, &err);
    if (rc == HF_E_NOT_FOUND || (rc == HF_OK && st.is_regular && st.size == 0)) {
        go_wait(db);
        return;
    }
    if (rc != HF_OK) {
        db_fail(db, "cannot open", &err);
        return;
    }
    bool is_known = db->txid > 0 && db->pos.txid == db->txid;
    bool is_same = is_known && hf_position_main_is(&db->pos, &st);
    if (is_same && log_is_empty(db)) {
        db->retry_ms = 0;
        db_clear_error(db);
        db_set_state(db, DB_COLD);
        return;
    }
    if (!is_same && log_is_empty(db) && st.size <= DB_SMALL_BYTES && is_settled(&st) &&
        db->retry_ms == 0) {
        db_base_cold(db);
        return;
    }
    open_through_vfs(db, is_same);
}

void db_break(struct db *db, const char *why)
{
    hf_log(HF_LOG_WARN, "rebase", HF_F_STR("db", db->path), HF_F_STR("reason", why),
           HF_F_TXID("txid", db->txid), HF_F_END);
    let_go(db);
    db->pos = (struct hf_position){0};
    db_base_prepare(db);
}

/* ---- following ---- */

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

static bool wants_checkpoint(const struct db *db, uint64_t now)
{
    uint32_t behind = db->log_frames - db->backfill;
    uint64_t since = now - db->last_ckpt_ms;
    if (behind == 0 || db_lane_busy(db, LANE_SQL) || db->holds_write)
        return false;
    if (behind > DB_BEHIND_FRAMES)
        return since >= DB_CKPT_GAP_MS && now - db->behind_since_ms >= DB_BEHIND_MS &&
               !hf_live_is_checkpointing(hf_capture_live(db->cap));
    return now - db->last_new_ms >= DB_IDLE_CHECKPOINT_MS && since >= DB_IDLE_CHECKPOINT_MS;
}

uint32_t db_lock_limit(const struct db *db)
{
    uint32_t share = db->log_frames / 8;
    return share < DB_WRITE_LOCK_FRAMES ? DB_WRITE_LOCK_FRAMES : share;
}

/* A writer that never checkpoints and never pauses: passive checkpoints leave a rest that is never
 * empty; it is copied back under the write lock when it is short. */
static bool wants_write_lock(const struct db *db, uint64_t now)
{
    return hf_capture_state(db->cap) == HF_CAPTURE_FOLLOWING && !db_lane_busy(db, LANE_SQL) &&
           !db->holds_write && db->log_frames > DB_LONG_LOG_FRAMES &&
           db->log_frames > db->backfill && db->log_frames - db->backfill <= db_lock_limit(db) &&
           now - db->write_since_ms >= db->write_gap_ms;
}

static void look_after_log(struct db *db, uint64_t now)
{
    if (wants_checkpoint(db, now))
        db_sql_checkpoint(db, false);
    else if (wants_write_lock(db, now))
        db_sql_checkpoint(db, true);
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
    if (look->log_frames - look->backfill <= DB_BEHIND_FRAMES || look->backfill != db->backfill)
        db->behind_since_ms = now; /* the application checkpoints itself */
    db->log_frames = look->log_frames;
    db->backfill = look->backfill;
    /* the end of a running checkpoint must not be missed; but one that died leaves its traces */
    bool is_ending = look->is_waiting_drain && now - db->last_event_ms < DB_CKPT_EVENT_MS &&
                     hf_live_is_checkpointing(hf_capture_live(db->cap));
    bool is_recent = now - db->last_new_ms <= (db->is_hot ? DB_HOT_MS : DB_WARM_MS);
    if (look->has_new) {
        db->last_new_ms = now;
        db->hold_until_ms = 0;
        db->cold_after_ms = cold_after(db);
    }
    set_hot(db, is_ending || is_recent);
    if (look->log_frames == look->backfill && hf_capture_state(db->cap) == HF_CAPTURE_FOLLOWING)
        db_wake_at(db, now + DB_EMPTY_MS + 1);
    bool is_behind = look->is_waiting_drain && (look->log_frames >= 900 || look->backfill > 0);
    plan_relook(db, now, is_behind || (!look->has_new && now - db->last_event_ms < 20));
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
    if (look->wants_recovery && now - db->torn_since_ms > 10 && db->batch.pages == NULL) {
        let_go(db);
        db_sql_closed(db, HF_SQL_TOUCH);
        return;
    }
    db_wake_at(db, now + 1);
}

static bool batch_holds_log(const struct db *db)
{
    return (db->batch.pages != NULL && db->batch_has_refs) ||
           (db->run.pages != NULL && db->run_has_refs);
}

/* While an upload runs, what is captured beside it is limited: the log holds the rest. */
static bool must_hold(const struct db *db, size_t pending)
{
    if (db->batch.pages == NULL && db->run.pages == NULL)
        return false;
    return pending >= DB_HOLD_BYTES ||
           db->batch_bytes + pending + hf_capture_ahead_bytes(db->cap) > DB_MEMORY_BYTES;
}

/* A checkpoint of ours runs only while a slot is held: SQLite before 3.51.3 can lose pages when the
 * log is reset under a checkpoint that is beginning. */
static enum hf_drain may_let_go(struct db *db, uint64_t now)
{
    bool is_ours = db_lane_busy(db, LANE_SQL) && db->sql_action == HF_SQL_CHECKPOINT;
    if (batch_holds_log(db) || is_ours)
        return HF_DRAIN_NO;
    if (now - db->last_event_ms < DB_APPEND_MS && hf_capture_is_appended(db->cap)) {
        db->hold_until_ms = now + DB_EMPTY_MS;
        return HF_DRAIN_LEAVE;
    }
    if (now < db->hold_until_ms)
        return HF_DRAIN_NO;
    return now - db->last_event_ms < DB_EMPTY_MS ? HF_DRAIN_USED : HF_DRAIN_ANY;
}

/* One look; false if the database is no longer being followed. */
static bool look(struct db *db, uint64_t now)
{
    struct hf_look l;
    struct hf_err err = HF_ERR_INIT;
    enum hf_drain drain = may_let_go(db, now);
    size_t before = hf_capture_pending_bytes(db->cap);
    if (must_hold(db, before))
        return !gave_up(db, true, now);
    enum hf_code rc = hf_capture_look(db->cap, drain, &l, &err);
    if (rc != HF_OK) {
        look_failed(db, &l, rc, &err, now);
        return db->cap != NULL;
    }
    db->e->pending_bytes += hf_capture_pending_bytes(db->cap) - before;
    if (l.wants_recovery) {
        let_go(db);
        db_sql_closed(db, HF_SQL_TOUCH);
        return false;
    }
    after_look(db, &l, now);
    return !gave_up(db, l.is_full, now);
}

/* The path leads to another file, or to none: the old one is gone for good. */
static bool was_replaced(struct db *db)
{
    struct hf_file_stat st;
    struct hf_live *live = hf_capture_live(db->cap);
    if (hf_path_stat(db->path, &st, NULL) == HF_OK && st.dev == hf_live_dev(live) &&
        st.inode == hf_live_inode(live))
        return false;
    hf_log(HF_LOG_INFO, "database file replaced or removed", HF_F_STR("db", db->path), HF_F_END);
    return true;
}

static void live_step(struct db *db, uint64_t now)
{
    if (!look(db, now))
        return;
    if (db->holds_write && now - db->write_since_ms > DB_WRITE_HOLD_MS) {
        hf_live_drop_write(hf_capture_live(db->cap));
        db->holds_write = false;
    }
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

static void cold_check(struct db *db)
{
    struct hf_file_stat st;
    if (log_is_empty(db) && hf_path_stat(db->path, &st, NULL) == HF_OK &&
        hf_position_main_is(&db->pos, &st))
        return;
    db_open(db);
}

void db_step(struct db *db)
{
    hf_assert_magic(db, DB_MAGIC);
    uint64_t now = hf_clock_mono_ms();
    switch (db->state) {
    case DB_LIVE:
        live_step(db, now);
        break;
    case DB_BASE_SCAN:
        if (look(db, now))
            db_base_step(db);
        break;
    case DB_COLD:
        cold_check(db);
        break;
    case DB_WAIT:
        if (hf_path_exists(db->path) && !db_lane_busy(db, LANE_BASE))
            db_open(db);
        break;
    case DB_RETRY:
        if (now >= db->retry_at && db->batch.pages != NULL)
            db_ship_if_due(db);
        else if (now >= db->retry_at)
            db_start(db);
        else
            db_wake_at(db, db->retry_at);
        break;
    case DB_INIT:
    case DB_COLD_BASE:
    case DB_SQL:
    case DB_BASE_PREP:
        break; /* the job under way looks anew when it is done */
    case DB_CLOSED:
    default:
        break;
    }
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
    if (!is_following(db) || db->holds_write || batch_holds_log(db)) {
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

void db_event(struct db *db, bool is_main)
{
    db->last_event_ms = hf_clock_mono_ms();
    db->relook_ms = 0;
    if (is_main && (db->state == DB_LIVE || db->state == DB_BASE_SCAN) && was_replaced(db)) {
        db->pos = (struct hf_position){0};
        let_go(db);
        db_start(db);
        return;
    }
    /* somebody changed something: no reason to wait out a long delay */
    if (db->state == DB_RETRY && is_main && db->retry_at > db->last_event_ms + DB_RETRY_MIN_MS)
        db->retry_at = db->last_event_ms + DB_RETRY_MIN_MS;
    db_step(db);
}

bool db_is_synced(const struct db *db)
{
    switch (db->state) {
    case DB_WAIT:
    case DB_COLD:
    case DB_CLOSED:
        return true;
    case DB_LIVE:
        return db->batch.pages == NULL && hf_capture_batch(db->cap)->commit == 0;
    case DB_INIT:
    case DB_COLD_BASE:
    case DB_SQL:
    case DB_BASE_PREP:
    case DB_BASE_SCAN:
    case DB_RETRY:
    default:
        return false;
    }
}

/* While slot 0 is held nothing can be copied back: the main file is the shipped image, for as long
 * as its times stay what they are. */
static void note_clean(struct db *db)
{
    struct hf_file_stat st;
    bool is_rest = db->cap != NULL && hf_capture_state(db->cap) == HF_CAPTURE_DRAINED &&
                   hf_capture_batch(db->cap)->commit == 0 && db->batch.pages == NULL &&
                   db->pos.txid == db->txid && db->txid > 0;
    if (!is_rest || hf_path_stat(db->path, &st, NULL) != HF_OK || !is_settled(&st))
        return;
    db->pos.is_clean = true;
    db->pos.pos = hf_capture_pos(db->cap);
    hf_position_set_main(&db->pos, &st);
    (void)!hf_position_save(db->meta, &db->pos, NULL);
}

void db_close(struct db *db)
{
    if (db->state == DB_LIVE)
        note_clean(db);
    set_hot(db, false);
    let_go(db);
    hf_timer_stop(&db->timer);
    db_set_state(db, DB_CLOSED);
}
