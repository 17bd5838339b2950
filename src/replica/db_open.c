/*
 * Opening a database: what its files say decides how it goes on. Cold (main file proven to hold the
 * shipped TXID), live (the log continues the shipped position), a new base, or SQL first.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "replica/db.h"

bool db_log_is_empty(const struct db *db)
{
    struct hf_file_stat st;
    return hf_path_stat(db->wal_path, &st, NULL) != HF_OK || st.size == 0;
}

static void go_wait(struct db *db)
{
    db_let_go(db);
    db->retry_ms = 0;
    db_set_state(db, DB_WAIT);
}

/* A cold database that is written by a program which ends at once is re-based: cheap for a small
 * one, a pass over all of it for a large one. */
uint64_t db_cold_after(const struct db *db)
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
    if (db->cold_after_ms < db_cold_after(db))
        db->cold_after_ms = db_cold_after(db);
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
        if (is_known && db->last_error == NULL) /* else it was said before the retry */
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
bool db_file_is_settled(const struct hf_file_stat *st)
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
    if (is_same && db_log_is_empty(db)) {
        db->retry_ms = 0;
        db_clear_error(db);
        db_set_state(db, DB_COLD);
        return;
    }
    if (!is_same && db_log_is_empty(db) && st.size <= DB_SMALL_BYTES && db_file_is_settled(&st) &&
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
    db_let_go(db);
    db->pos = (struct hf_position){0};
    db_base_prepare(db);
}
