/*
 * Shipping what was captured: when, and what happens after it went well or not.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "replica/db.h"
#include "replica/ship.h"

static uint64_t due_at(const struct db *db)
{
    if (db_has_spool(db))
        return db->last_ship_ms + db->sync_interval_ms;
    return dest_due_at(&db->dests[0], db->last_ship_ms, db->sync_interval_ms);
}

uint64_t db_next_txid(const struct db *db)
{
    return (db->txid > db->taken_txid ? db->txid : db->taken_txid) + 1;
}

void db_drop_batch(struct db *db)
{
    hf_assert(!db_lane_busy(db, LANE_SHIP));
    if (db->batch.pages == NULL)
        return;
    hf_batch_deinit(&db->batch);
    db->batch_bytes = 0;
    db->batch_spilled = 0;
    db_count(db);
    db->batch_has_refs = false;
}

static enum hf_code ship_work(struct db *db, struct hf_err *err)
{
    if (!db->has_form) {
        HF_TRY(hf_replica_form(db->replica, &db->form, err));
        db->has_form = true;
    }
    struct hf_ship s = {.replica = db->replica,
                        .form = db->form,
                        .wal_path = db->wal_path,
                        .spill_dir = db->meta,
                        .is_new_chain = db->is_new_chain,
                        .min_txid = db->txid + 1};
    db->sent_bytes = 0;
    if (db->batch_bytes > HF_LIMIT_PENDING_BYTES) /* the encoder may spill there */
        HF_TRY(hf_path_mkdirs(db->meta, 0700, err));
    HF_TRY(hf_ship_batch(&s, &db->batch, db->next_txid, &db->sent_bytes, err));
    /* the replica has it; a position that can't be noted only costs a re-base after a crash */
    struct hf_err local = HF_ERR_INIT;
    if (db_save_position(db, &local) != HF_OK)
        hf_log(HF_LOG_WARN, "position not saved", HF_F_STR("db", db->path), HF_F_ERR(&local),
               HF_F_END);
    return HF_OK;
}

static void other_writer(struct db *db, const struct hf_err *err)
{
    struct hf_err told = *err;
    hf_err_wrap(&told, "another writer uses this replica path");
    hf_err_hint(&told, "stop one of the two; this one goes on from what the replica holds");
    db_drop_batch(db);
    db->pos = (struct hf_position){0};
    db_fail(db, "conflict", &told);
    db->retry_at = hf_clock_mono_ms() + 5000; /* let the other one finish or be noticed */
}

static void ship_failed(struct db *db, enum hf_code rc, struct hf_err *err)
{
    if (rc == HF_E_EXISTS) {
        other_writer(db, err);
        return;
    }
    db->errors++;
    db->last_code = rc;
    db_note_refused(&db->n_refused, rc);
    db->ship_retry_ms = db->ship_retry_ms == 0 ? DB_RETRY_MIN_MS : db->ship_retry_ms * 2;
    if (db->ship_retry_ms > DB_RETRY_MAX_MS)
        db->ship_retry_ms = DB_RETRY_MAX_MS;
    db->ship_retry_at = hf_clock_mono_ms() + db->ship_retry_ms;
    if (db->last_error == NULL) {
        hf_log(HF_LOG_ERROR, "upload failed", HF_F_STR("db", db->path),
               HF_F_STR("code", hf_code_word(rc)), HF_F_ERR(err), HF_F_END);
        db->last_error = hf_strdup(err->text);
    }
    /* pages that are only references into the log are lost with it */
    if (db->batch_has_refs && (db->cap == NULL || rc == HF_E_CONFLICT)) {
        db_drop_batch(db);
        if (db->cap != NULL)
            db_break(db, err->text);
        else
            db_wake_at(db, hf_clock_mono_ms());
        return;
    }
    db_wake_at(db, db->ship_retry_at);
}

static void ship_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    if (rc != HF_OK) {
        ship_failed(db, rc, err);
        return;
    }
    hf_log(HF_LOG_DEBUG, "shipped", HF_F_STR("db", db->path), HF_F_TXID("txid", db->next_txid),
           HF_F_U64("pages", hf_pageset_count(db->batch.pages)), HF_F_END);
    db_file_shipped(db, db->next_txid, db->batch_first_ms);
    db->pos = db->next_pos;
    if (!db_has_spool(db))
        db->is_urgent = false; /* who waits for more asks again */
    db->last_sync_ms = hf_clock_wall_ms();
    db->ship_ms += hf_clock_mono_ms() - db->last_ship_ms;
    if (db->dests[0].conf->pack && !db_has_spool(db)) /* back into step, had it missed its pack */
        db->last_ship_ms = hf_clock_mono_ms();
    db->ship_retry_ms = 0;
    db->ship_retry_at = 0;
    if (db->is_image)
        db->rebases++;
    db->is_image = false;
    db_drop_batch(db);
    db_clear_error(db);
    if (db->state == DB_RETRY)
        db_start(db);
    else
        db_step(db);
}

/* A file that begins behind db->txid is in the replica or the spool. */
void db_file_shipped(struct db *db, uint64_t txid, int64_t first_ms)
{
    uint64_t first = db->is_new_chain ? 1 : db->txid + 1;
    int level = db->is_new_chain ? HF_LEVEL_SNAPSHOT : 0;
    db->txid = txid;
    db->is_new_chain = false;
    db->n_refused = 0;
    db->shipped_files++;
    db->shipped_bytes += db->sent_bytes;
    if (db_has_spool(db))
        db_spool_push(db, level, first, txid, db->sent_bytes, first_ms);
    else
        db_upkeep_shipped(&db->dests[0], &db->next_pos);
}

static void submit(struct db *db)
{
    if (db_has_spool(db) && db_spool_is_full(db)) {
        struct hf_err err = HF_ERR_INIT;
        hf_err_set(&err, HF_E_NO_SPACE, "no replica takes what waits in %s", db->meta);
        ship_failed(db, HF_E_NO_SPACE, &err);
        return;
    }
    db->last_ship_ms = hf_clock_mono_ms();
    db_submit(db, LANE_SHIP, ship_work, ship_done);
}

/* Early, when much is pending; but not so often that our fsyncs slow the writer down. */
static bool is_early(const struct db *db, uint64_t now, size_t pending)
{
    if (pending >= DB_SHIP_NOW_BYTES)
        return true;
    return pending >= HF_LIMIT_PENDING_BYTES && now >= db->last_ship_ms + DB_SHIP_GAP_MS;
}

static bool is_due(const struct db *db, uint64_t now)
{
    if (db->e->is_urgent || db->is_urgent || now >= due_at(db))
        return true;
    size_t pending = hf_capture_pending_bytes(db->cap);
    if (db->e->pending_bytes > HF_LIMIT_PENDING_ALL)
        return pending > HF_LIMIT_PENDING_BYTES / 16;
    return is_early(db, now, pending);
}

uint64_t db_ship_due_at(const struct db *db)
{
    if (db_lane_busy(db, LANE_SHIP))
        return 0;
    if (db->batch.pages != NULL)
        return db->ship_retry_at;
    if (db->cap == NULL || hf_capture_batch(db->cap)->commit == 0)
        return 0;
    return due_at(db);
}

static void take(struct db *db)
{
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = hf_capture_take(db->cap, &db->batch, &err);
    if (rc != HF_OK) {
        db_break(db, err.text);
        return;
    }
    db->batch_bytes = hf_pageset_bytes(db->batch.pages);
    db->batch_spilled = hf_pageset_spilled_bytes(db->batch.pages);
    db_count(db);
    db->batch_has_refs = hf_pageset_has_refs(db->batch.pages);
    db->batch_first_ms = db->batch.first_wall_ms;
    db->next_txid = db_next_txid(db);
    db->next_pos = (struct hf_position){
        .txid = db->next_txid,
        .page_size = db->batch.page_size,
        .commit = db->batch.commit,
        .pos = db->batch.to,
    };
    submit(db);
}

void db_ship_if_due(struct db *db)
{
    uint64_t now = hf_clock_mono_ms();
    if (db_lane_busy(db, LANE_SHIP))
        return;
    if (db->batch.pages != NULL) {
        if (now >= db->ship_retry_at)
            submit(db);
        else
            db_wake_at(db, db->ship_retry_at);
        return;
    }
    if (db->cap != NULL && hf_capture_batch(db->cap)->commit != 0 && is_due(db, now))
        take(db);
}
