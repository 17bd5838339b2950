/*
 * What needs SQL: conversion to WAL mode, recovery, checkpoints for applications that do not, and
 * the proper close of a database that went quiet.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "replica/db.h"

enum { SQL_GAP_MS = 100 }; /* between two housekeeping requests of the whole engine */

static enum hf_code sql_work(struct db *db, struct hf_err *err)
{
    uint32_t busy_ms = (uint32_t)db->conf->busy_timeout_ms;
    return hf_sqlproc_run(db->e->sqlproc, db->sql_action, db->path, busy_ms, NULL, err);
}

/* ---- on a database we do not hold ---- */

static void closed_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    if (db->state != DB_SQL)
        return;
    if (rc != HF_OK) {
        db_fail(db,
                db->sql_action == HF_SQL_CONVERT ? "cannot switch to WAL mode"
                                                 : "cannot recover the log",
                err);
        return;
    }
    if (db->sql_action == HF_SQL_CONVERT)
        hf_log(HF_LOG_INFO, "switched to WAL mode", HF_F_STR("db", db->path), HF_F_END);
    db_open(db);
}

void db_sql_closed(struct db *db, enum hf_sql_action action)
{
    hf_assert(db->cap == NULL);
    if (db_lane_busy(db, LANE_SQL)) {
        struct hf_err err = HF_ERR_INIT;
        hf_err_set(&err, HF_E_BUSY, "a checkpoint is under way");
        db_fail(db, "waiting", &err);
        return;
    }
    db->sql_action = action;
    db_set_state(db, DB_SQL);
    db_submit(db, LANE_SQL, sql_work, closed_done);
}

/* ---- while following ---- */

static void nothing_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    (void)rc;
    (void)err;
    db_step(db);
}

static void tell_failure(const struct db *db, enum hf_code rc, const struct hf_err *err)
{
    if (rc != HF_OK && rc != HF_E_BUSY)
        hf_log(HF_LOG_WARN, "checkpoint failed", HF_F_STR("db", db->path), HF_F_ERR(err), HF_F_END);
}

static void checkpoint_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    tell_failure(db, rc, err);
    db->last_event_ms = hf_clock_mono_ms();
    db->relook_ms = 0;
    db_step(db);
}

/* The child holds the write lock: nobody can append before we have let go of the log. */
static void drain_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    uint64_t now = hf_clock_mono_ms();
    uint64_t took_ms = now - db->last_ckpt_ms;
    tell_failure(db, rc, err);
    db->relook_ms = 0;
    db->last_ckpt_ms = now;
    db->is_drained_by_child = rc == HF_OK;
    db_step(db);
    db->is_drained_by_child = false;
    bool is_drained = db->cap != NULL && hf_capture_state(db->cap) == HF_CAPTURE_DRAINED;
    hf_log(HF_LOG_DEBUG, "log drained", HF_F_STR("db", db->path),
           HF_F_STR("done", is_drained ? "yes" : "no"), HF_F_STR("code", hf_code_word(rc)),
           HF_F_U64("frames", db->log_frames), HF_F_U64("copied_back", db->backfill),
           HF_F_U64("took_ms", took_ms), HF_F_END);
    if (rc != HF_OK || db_lane_busy(db, LANE_SQL))
        return;
    db->sql_action = HF_SQL_LET_GO;
    db_submit(db, LANE_SQL, sql_work, nothing_done);
}

void db_sql_checkpoint(struct db *db)
{
    uint64_t now = hf_clock_mono_ms();
    if (now - db->e->last_sql_ms < SQL_GAP_MS)
        return;
    db->last_ckpt_ms = now;
    db->e->last_sql_ms = now;
    db->sql_action = HF_SQL_CHECKPOINT;
    db_submit(db, LANE_SQL, sql_work, checkpoint_done);
}

void db_sql_drain(struct db *db)
{
    db->last_ckpt_ms = hf_clock_mono_ms();
    db->sql_action = HF_SQL_DRAIN;
    db_submit(db, LANE_SQL, sql_work, drain_done);
}

/* ---- going cold ---- */

static void cool_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    struct hf_file_stat st;
    struct hf_position before = {.is_clean = true};
    if (db->state != DB_SQL)
        return;
    hf_position_set_main(&before, &db->cold_stat);
    bool is_same = rc == HF_OK && hf_path_stat(db->path, &st, NULL) == HF_OK &&
                   hf_position_main_is(&before, &st);
    db->pos.is_clean = is_same;
    if (is_same) {
        hf_position_set_main(&db->pos, &st);
        (void)!hf_position_save(db->meta, &db->pos, NULL);
    } else if (rc != HF_OK) {
        hf_log(HF_LOG_DEBUG, "not closed", HF_F_STR("db", db->path), HF_F_ERR(err), HF_F_END);
    }
    db_open(db);
    if (db->state != DB_COLD) { /* others keep it open: ask less often */
        db->cold_after_ms *= 2;
        if (db->cold_after_ms > DB_COLD_MAX_MS)
            db->cold_after_ms = DB_COLD_MAX_MS;
    }
}

/* The child has it open now: we let go, and the child closes as the last one, unless something
 * moved meanwhile. */
static void hold_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    (void)err;
    bool is_rest = rc == HF_OK && db->state == DB_LIVE && db->cap != NULL &&
                   hf_capture_state(db->cap) == HF_CAPTURE_DRAINED &&
                   hf_capture_batch(db->cap)->commit == 0 && db->batch.pages == NULL &&
                   db->pos.txid == db->txid;
    db->sql_action = HF_SQL_LET_GO;
    if (!is_rest) {
        db_submit(db, LANE_SQL, sql_work, nothing_done);
        return;
    }
    db->pos.pos = hf_capture_pos(db->cap);
    hf_capture_free(db->cap);
    db->cap = NULL;
    db_count(db);
    db_set_state(db, DB_SQL);
    db_submit(db, LANE_SQL, sql_work, cool_done);
}

void db_sql_cool_down(struct db *db)
{
    uint64_t now = hf_clock_mono_ms();
    struct hf_live *live = hf_capture_live(db->cap);
    if (now - db->e->last_sql_ms < SQL_GAP_MS ||
        hf_path_stat(db->path, &db->cold_stat, NULL) != HF_OK)
        return;
    if (db->cold_stat.mtime_ns / 1000000 + DB_SETTLE_MS > hf_clock_wall_ms() ||
        db->pos.txid != db->txid || db->txid == 0 || hf_live_inode(live) != db->cold_stat.inode)
        return;
    db->e->last_sql_ms = now;
    db->sql_action = HF_SQL_HOLD;
    db_submit(db, LANE_SQL, sql_work, hold_done);
}
