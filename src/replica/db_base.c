/*
 * Base images and re-bases of one database.
 *
 * Three ways, cheapest first:
 *   cold    small, nobody has it open (no log, times settled): read on a worker, checked afterwards
 *   small   open, up to DB_SMALL_BYTES: read in one turn, shipped as an ordinary batch
 *   scan    chunk by chunk through the capture thread while capture goes on (replica/base.h)
 * When the replica holds something already, only pages whose checksum differs are shipped.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ltx/ltx.h"
#include "os/file.h"
#include "replica/db.h"
#include "replica/ship.h"
#include "sqlite/sums.h"

void db_base_drop(struct db *db)
{
    if (db_lane_busy(db, LANE_BASE))
        return; /* its done() finds the state changed and drops it */
    hf_base_free(db->base);
    db->base = NULL;
    hf_free(db->chunk);
    db->chunk = NULL;
    hf_batch_deinit(&db->run);
}

/* Brings the checksums to the replica's newest TXID; there are none for an empty replica. */
static enum hf_code prepare_sums(struct db *db, struct hf_err *err)
{
    hf_free(db->sums_path);
    db->sums_path = NULL;
    db->is_new_chain = false;
    if (db_has_spool(db))
        db->next_txid = db->txid;
    else
        HF_TRY(hf_replica_position(db->replica, &db->next_txid, err));
    db->prep_txid = db->next_txid;
    if (db->next_txid == 0)
        return HF_OK;
    if (db->wants_new_chain) {
        db->wants_new_chain = false;
        db->is_new_chain = true;
        return HF_OK;
    }
    enum hf_code rc = db_sums_prepare(db, db->next_txid, err);
    if (rc == HF_OK)
        return HF_OK;
    if (rc != HF_E_CORRUPT && rc != HF_E_RANGE)
        return rc;
    if (db->may_know_more)
        return hf_err_set(err, HF_E_BUSY, "no replica that answers leads to %016llx",
                          (unsigned long long)db->next_txid);
    /* a replica that can't be restored as it is: a full image makes it whole again */
    hf_log(HF_LOG_WARN, "replica is damaged, a full image follows", HF_F_STR("db", db->path),
           HF_F_STR("error", err->text), HF_F_END);
    hf_err_reset(err);
    db->is_new_chain = true;
    return HF_OK;
}

/* Checksums of another page size are of no use, and nothing can be merged across the change. */
static enum hf_code check_page_size(struct db *db, uint32_t page_size, struct hf_err *err)
{
    struct hf_sums *sums = NULL;
    if (db->sums_path == NULL)
        return HF_OK;
    HF_TRY(hf_sums_open(db->sums_path, &sums, err));
    bool is_same = hf_sums_page_size(sums) == page_size;
    hf_sums_close(sums);
    if (is_same)
        return HF_OK;
    hf_log(HF_LOG_INFO, "the page size changed, a new chain begins", HF_F_STR("db", db->path),
           HF_F_U64("page_size", page_size), HF_F_END);
    hf_free(db->sums_path);
    db->sums_path = NULL;
    db->is_new_chain = true;
    return HF_OK;
}

/* ---- cold ---- */

/* Puts the pages that the replica does not have into the batch. */
static enum hf_code keep_differing(struct db *db, struct hf_pageset *pages, uint32_t page_size,
                                   uint32_t n, const uint8_t *data, struct hf_err *err)
{
    uint32_t lock_page = hf_lock_page(page_size);
    HF_AUTO_FREE bool *differs = hf_malloc((size_t)n + 1);
    memset(differs, 1, n);
    if (db->sums_path != NULL)
        HF_TRY(hf_base_filter(db->sums_path, 1, n, page_size, data, differs, err));
    for (uint32_t i = 0; i < n; i++) {
        if (differs[i] && i + 1 != lock_page && !hf_pageset_has(pages, i + 1))
            hf_pageset_put(pages, i + 1, 0, data + (size_t)i * page_size);
    }
    return HF_OK;
}

/* The replica's newest one may be higher than what we knew. */
static uint64_t next_txid(const struct db *db, uint64_t newest)
{
    return (newest > db->taken_txid ? newest : db->taken_txid) + 1;
}

static enum hf_code cold_ship(struct db *db, uint32_t page_size, uint32_t n, const uint8_t *data,
                              struct hf_err *err)
{
    struct hf_batch batch = {.page_size = page_size, .commit = n};
    batch.pages = hf_pageset_new(page_size);
    enum hf_code rc = keep_differing(db, batch.pages, page_size, n, data, err);
    db->next_pos = (struct hf_position){
        .txid = db->next_txid, .page_size = page_size, .commit = n, .is_clean = true};
    hf_position_set_main(&db->next_pos, &db->cold_stat);
    if (rc == HF_OK && !db->has_form) {
        rc = hf_replica_form(db->replica, &db->form, err);
        db->has_form = rc == HF_OK;
    }
    struct hf_ship s = {.replica = db->replica,
                        .form = db->form,
                        .wal_path = db->wal_path,
                        .is_new_chain = db->is_new_chain,
                        .min_txid = db->next_txid + 1};
    bool is_needed = hf_pageset_count(batch.pages) > 0 || db->next_txid == 0 || db->is_new_chain;
    db->sent_bytes = 0;
    if (rc == HF_OK && is_needed) {
        db->next_txid = next_txid(db, db->next_txid);
        db->next_pos.txid = db->next_txid;
        rc = hf_ship_batch(&s, &batch, db->next_txid, &db->sent_bytes, err);
    }
    hf_batch_deinit(&batch);
    if (rc == HF_OK)
        rc = db_save_position(db, err);
    return rc;
}

/* Nobody has it open, so no lock of ours can be lost by reading it with an ordinary descriptor. */
static enum hf_code cold_read(struct db *db, char **data, size_t *len, struct hf_err *err)
{
    struct hf_file_stat after;
    HF_TRY(hf_path_stat(db->path, &db->cold_stat, err));
    HF_TRY(hf_path_read(db->path, DB_SMALL_BYTES, data, len, err));
    HF_TRY(hf_path_stat(db->path, &after, err));
    struct hf_position p = {.is_clean = true};
    struct hf_file_stat wal;
    hf_position_set_main(&p, &db->cold_stat);
    bool has_log = hf_path_stat(db->wal_path, &wal, NULL) == HF_OK && wal.size > 0;
    db->is_moved = has_log || !hf_position_main_is(&p, &after) || *len != after.size;
    return HF_OK;
}

static enum hf_code cold_work(struct db *db, struct hf_err *err)
{
    HF_AUTO_FREE char *data = NULL;
    size_t len = 0;
    db->is_moved = false;
    db->is_rollback = false;
    HF_TRY(prepare_sums(db, err));
    HF_TRY(cold_read(db, &data, &len, err));
    const uint8_t *b = (const uint8_t *)data;
    if (db->is_moved)
        return HF_OK;
    if (len < 100 || memcmp(b, "SQLite format 3", 16) != 0)
        return hf_err_set(err, HF_E_INVALID, "%s is not a SQLite database", db->path);
    uint32_t page_size = hf_be16(b + 16) == 1 ? 65536 : hf_be16(b + 16);
    db->is_rollback = b[18] != 2 || b[19] != 2 || hf_live_has_hot_journal(db->path);
    if (db->is_rollback)
        return HF_OK;
    if (!hf_page_size_is_valid(page_size) || len % page_size != 0)
        return hf_err_set(err, HF_E_CORRUPT, "%s: %zu bytes are not whole pages of %u", db->path,
                          len, page_size);
    HF_TRY(check_page_size(db, page_size, err));
    return cold_ship(db, page_size, (uint32_t)(len / page_size), b, err);
}

static void cold_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    if (rc == HF_E_NOT_FOUND || rc == HF_E_EXISTS || (rc == HF_OK && db->is_moved)) {
        db->retry_ms = DB_RETRY_MIN_MS; /* not this way again: through the VFS */
        db_start(db);
        return;
    }
    if (rc != HF_OK) {
        db_fail(db, "cannot take an image", err);
        return;
    }
    if (db->is_rollback) {
        db->retry_ms = DB_RETRY_MIN_MS;
        db_sql_closed(db, HF_SQL_CONVERT);
        return;
    }
    db->txid = db->prep_txid;
    if (db->next_txid != db->txid)
        db_file_shipped(db, db->next_txid, hf_clock_wall_ms());
    if (db->txid != db->prep_txid && db->prep_txid > 0)
        db->rebases++;
    db->pos = db->next_pos;
    db->retry_ms = 0;
    db_clear_error(db);
    db_set_state(db, DB_COLD);
    db_step(db);
}

void db_base_cold(struct db *db)
{
    db_dests_ask(db);
    db_set_state(db, DB_COLD_BASE);
    db_submit(db, LANE_BASE, cold_work, cold_done);
}

/* ---- open databases ---- */

/* Reads a small image in this turn: what was captured is newer than the main file, and what is
 * committed while we read is captured afterwards. */
static enum hf_code read_small(struct db *db, uint32_t pages, struct hf_err *err)
{
    struct hf_live *live = hf_capture_live(db->cap);
    uint32_t page_size = hf_live_page_size(live);
    struct hf_batch *b = hf_capture_batch(db->cap);
    struct hf_look l;
    HF_TRY(hf_capture_look(db->cap, HF_DRAIN_NO, &l, err));
    size_t len = (size_t)pages * page_size;
    HF_AUTO_FREE uint8_t *data = hf_malloc(len + 1);
    if (len > 0)
        HF_TRY(hf_live_read_main(live, data, len, 0, err));
    HF_TRY(keep_differing(db, b->pages, page_size, pages, data, err));
    /* what was committed while we read is newer than what we read */
    HF_TRY(hf_capture_look(db->cap, HF_DRAIN_NO, &l, err));
    if (hf_pageset_count(b->pages) > 0 || db->txid == 0 || db->is_new_chain ||
        hf_capture_commit(db->cap) != pages) {
        b->commit = hf_capture_commit(db->cap);
        b->to = hf_capture_pos(db->cap);
        if (b->first_wall_ms == 0)
            b->first_wall_ms = hf_clock_wall_ms();
    }
    return HF_OK;
}

/* The database is as the replica has it: only the position in the log is new. */
static void adopt_position(struct db *db)
{
    db->pos = (struct hf_position){
        .txid = db->txid,
        .page_size = hf_live_page_size(hf_capture_live(db->cap)),
        .commit = hf_capture_commit(db->cap),
        .pos = hf_capture_pos(db->cap),
    };
    (void)!hf_position_save(db->meta, &db->pos, NULL);
}

static void start_small(struct db *db, uint32_t pages)
{
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = read_small(db, pages, &err);
    if (rc != HF_OK) {
        db_fail(db, "cannot take an image", &err);
        return;
    }
    db_count(db);
    db->is_image = true;
    db->last_new_ms = hf_clock_mono_ms();
    if (hf_capture_batch(db->cap)->commit == 0)
        adopt_position(db);
    db->retry_ms = 0;
    db_clear_error(db);
    db_set_state(db, DB_LIVE);
    db->last_ship_ms = 0; /* at once */
    db_step(db);
}

static void start_scan(struct db *db, uint32_t pages)
{
    struct hf_err err = HF_ERR_INIT;
    uint32_t page_size = hf_live_page_size(hf_capture_live(db->cap));
    enum hf_code rc =
        hf_base_new(db->meta, page_size, pages, db->sums_path, db->wal_path, &db->base, &err);
    if (rc != HF_OK) {
        db_fail(db, "cannot take an image", &err);
        return;
    }
    db->base_pages = pages;
    db->base_next = 1;
    db->is_last_run = false;
    db->chunk = hf_malloc(HF_BASE_CHUNK);
    db->last_new_ms = hf_clock_mono_ms();
    /* the position a database that stays quiet will have */
    db->next_pos = (struct hf_position){
        .txid = db_next_txid(db),
        .page_size = page_size,
        .commit = pages,
        .pos = hf_capture_pos(db->cap),
    };
    hf_log(HF_LOG_INFO, "reading the database", HF_F_STR("db", db->path),
           HF_F_U64("bytes", (uint64_t)pages * page_size),
           HF_F_STR("kind", db->sums_path == NULL ? "full" : "difference"), HF_F_END);
    db_set_state(db, DB_BASE_SCAN);
    db_step(db);
}

static void open_base(struct db *db)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_live *live = NULL;
    enum hf_live_kind kind = HF_LIVE_EMPTY;
    uint32_t pages = 0;
    enum hf_code rc = hf_live_open(db->path, &live, &kind, &err);
    if (rc == HF_OK && kind != HF_LIVE_WAL) {
        db_open(db); /* emptied or converted meanwhile */
        return;
    }
    if (rc == HF_OK) {
        rc = hf_capture_new_base(live, &db->cap, &pages, &err);
        if (rc != HF_OK)
            hf_live_close(live);
    }
    if (rc == HF_E_NOT_FOUND) {
        db_open(db);
        return;
    }
    if (rc != HF_OK) {
        db_fail(db, "cannot take an image", &err);
        return;
    }
    rc = check_page_size(db, hf_live_page_size(hf_capture_live(db->cap)), &err);
    if (rc != HF_OK) {
        db_fail(db, "cannot take an image", &err);
        return;
    }
    uint64_t bytes = (uint64_t)pages * hf_live_page_size(hf_capture_live(db->cap));
    if (bytes <= DB_SMALL_BYTES)
        start_small(db, pages);
    else
        start_scan(db, pages);
}

static void prepare_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    if (rc != HF_OK) {
        db_fail(db, "replica unreachable", err);
        return;
    }
    db->txid = db->next_txid;
    open_base(db);
}

void db_base_prepare(struct db *db)
{
    if (db_lane_busy(db, LANE_BASE) || db_lane_busy(db, LANE_SHIP)) {
        struct hf_err err = HF_ERR_INIT;
        hf_err_set(&err, HF_E_BUSY, "an upload is under way");
        db_fail(db, "rebase waits", &err);
        return;
    }
    db_drop_batch(db);
    db_dests_ask(db);
    db_set_state(db, DB_BASE_PREP);
    db_submit(db, LANE_BASE, prepare_sums, prepare_done);
}

/* ---- scan ---- */

static enum hf_code chunk_work(struct db *db, struct hf_err *err)
{
    return hf_base_chunk(db->base, db->chunk_first, db->chunk_n, db->chunk, err);
}

static enum hf_code run_work(struct db *db, struct hf_err *err)
{
    return hf_base_run(db->base, &db->run, err);
}

static enum hf_code finish_work(struct db *db, struct hf_err *err)
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
    if (db->base_dest != NULL) {
        s.replica = db->base_dest->replica;
        s.form = db->base_dest->form;
    }
    struct hf_batch at = {.page_size = db->next_pos.page_size,
                          .commit = db->next_pos.commit,
                          .from = db->next_pos.pos,
                          .to = db->next_pos.pos};
    struct hf_ltx_header h;
    at.from.frame = 0;
    hf_ship_header(&at, db->next_pos.txid, hf_clock_wall_ms(), &h);
    db->sent_bytes = 0;
    HF_TRY(hf_base_finish(db->base, &s, &h, &db->sent_bytes, err));
    return db_save_position(db, err);
}

static bool scan_ended(struct db *db, enum hf_code rc, struct hf_err *err)
{
    if (db->state == DB_BASE_SCAN && rc == HF_OK)
        return false;
    if (db->state != DB_BASE_SCAN) { /* let go of while the job ran */
        db_base_drop(db);
        db_step(db);
        return true;
    }
    db_fail(db, "cannot take an image", err);
    return true;
}

static void piece_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    if (scan_ended(db, rc, err))
        return;
    hf_batch_deinit(&db->run);
    db->run_has_refs = false;
    db_step(db);
}

/* The others get it from there. */
static void image_arrived(struct db *db)
{
    db->txid = db->next_pos.txid;
    db->is_new_chain = false;
    db->shipped_files++;
    db->shipped_bytes += db->sent_bytes;
    dest_has_image(db->base_dest, db->txid, db->sent_bytes);
    db_upkeep_shipped(db->base_dest, &db->next_pos);
    for (size_t i = 0; i < db->n_dests; i++) {
        struct dest *d = &db->dests[i];
        if (d != db->base_dest && d->behind_ms == 0)
            d->behind_ms = hf_clock_wall_ms();
    }
}

static void finish_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    if (scan_ended(db, rc, err))
        return;
    hf_log(HF_LOG_INFO, "image shipped", HF_F_STR("db", db->path),
           HF_F_TXID("txid", db->next_pos.txid), HF_F_U64("pages", hf_base_kept(db->base)),
           HF_F_END);
    db_base_drop(db);
    if (db->base_dest == NULL)
        db_file_shipped(db, db->next_pos.txid, hf_clock_wall_ms());
    else
        image_arrived(db);
    db->pos = db->next_pos;
    db->rebases++;
    db->retry_ms = 0;
    db_clear_error(db);
    db_set_state(db, DB_LIVE);
    db_step(db);
}

static void take_run(struct db *db)
{
    struct hf_err err = HF_ERR_INIT;
    if (hf_capture_take(db->cap, &db->run, &err) != HF_OK) {
        db_break(db, err.text);
        return;
    }
    db_count(db);
    db->next_pos.commit = db->run.commit;
    db->next_pos.pos = db->run.to;
    db->run_has_refs = hf_pageset_has_refs(db->run.pages);
    db_submit(db, LANE_BASE, run_work, piece_done);
}

static void read_chunk(struct db *db)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_live *live = hf_capture_live(db->cap);
    uint32_t page_size = hf_live_page_size(live);
    uint32_t n = HF_BASE_CHUNK / page_size;
    if (n > db->base_pages - db->base_next + 1)
        n = db->base_pages - db->base_next + 1;
    enum hf_code rc = hf_live_read_main(live, db->chunk, (size_t)n * page_size,
                                        (uint64_t)(db->base_next - 1) * page_size, &err);
    if (rc != HF_OK) {
        db_fail(db, "cannot take an image", &err);
        return;
    }
    db->chunk_first = db->base_next;
    db->chunk_n = n;
    db->base_next += n;
    db_submit(db, LANE_BASE, chunk_work, piece_done);
}

static void finish_scan(struct db *db)
{
    bool is_same = hf_base_kept(db->base) == 0 && db->next_pos.commit == db->base_pages &&
                   db->sums_path != NULL && !hf_base_has_runs(db->base);
    if (is_same) {
        db_base_drop(db);
        adopt_position(db);
        db->retry_ms = 0;
        db_clear_error(db);
        db_set_state(db, DB_LIVE);
        db_step(db);
        return;
    }
    /* a full one is too large to lie here until everybody has it */
    db->base_dest = db->sums_path == NULL ? db_dest_for_image(db) : NULL;
    db_submit(db, LANE_BASE, finish_work, finish_done);
}

bool db_base_is_leaving(const struct db *db)
{
    bool is_read = db->state == DB_BASE_SCAN && db->base_next > db->base_pages;
    return db_lane_busy(db, LANE_BASE) &&
           (db->state == DB_COLD_BASE || db->state == DB_BASE_PREP || is_read);
}

bool db_base_tell(const struct db *db, char *text, size_t size)
{
    if (db->state == DB_BASE_PREP)
        snprintf(text, size, "what the replica holds is being read for an image");
    if (db->state != DB_BASE_SCAN)
        return db->state == DB_BASE_PREP;
    const char *kind = db->sums_path == NULL ? "its image" : "the difference to its replica";
    uint64_t page_size = db->next_pos.page_size;
    unsigned long long all = db->base_pages * page_size >> 20;
    unsigned long long done = (db->base_next - 1) * page_size >> 20;
    uint64_t since = hf_capture_pending_bytes(db->cap) + hf_capture_spilled_bytes(db->cap);
    if (db->base_next <= db->base_pages)
        snprintf(text, size, "%s is being read, %llu of %llu MiB", kind, done, all);
    else
        snprintf(text, size, "%s (%llu MiB) is being uploaded, %llu KiB committed since then wait",
                 kind, all, (unsigned long long)since >> 10);
    return true;
}

/* After a look: the next piece of work, if none is under way. */
void db_base_step(struct db *db)
{
    hf_assert(db->cap != NULL);
    if (db_lane_busy(db, LANE_BASE))
        return;
    bool has_commits = hf_capture_batch(db->cap)->commit != 0;
    bool is_read = db->base_next > db->base_pages;
    if (has_commits && (is_read || hf_capture_pending_bytes(db->cap) >= DB_RUN_BYTES)) {
        if (!is_read || !db->is_last_run) {
            db->is_last_run = is_read;
            take_run(db);
            return;
        }
    }
    if (!is_read)
        read_chunk(db);
    else
        finish_scan(db);
}
