/*
 * Where a database stands before it is opened: its newest TXID and the position in its log.
 *
 * With one destination the replica says it. With several the local state and every destination that
 * answers do: the spool, if it holds anything, is the history (what a destination has beyond it is
 * somebody else's); without one the destination with the highest TXID is. One that does not answer
 * is not waited for longer than INIT_WAIT_MS as long as something else is known.
 */
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "replica/db.h"
#include "replica/mark.h"

enum { INIT_WAIT_MS = 2000 };

/* ---- a replica that lists nothing ---- */

enum hf_code db_doubt_empty(struct dest *d, struct hf_err *err)
{
    uint64_t now = hf_clock_mono_ms();
    if (d->mark == 0 || hf_store_is_local(hf_replica_store(d->replica)))
        return HF_OK;
    if (d->empty_since_ms == 0)
        d->empty_since_ms = now;
    char txid[HF_TXID_TEXT];
    hf_txid_format(d->mark, txid);
    if (now - d->empty_since_ms < HF_LIMIT_EMPTY_DOUBT_MS) {
        hf_err_set(err, HF_E_NOT_FOUND,
                   "%s lists nothing, but held TXID %s: it is asked again for %d s",
                   hf_replica_name(d->replica), txid, HF_LIMIT_EMPTY_DOUBT_MS / 1000);
        hf_err_hint(err,
                    "if it was emptied on purpose, `holdfast reset` lets it be filled at once");
        return HF_E_NOT_FOUND;
    }
    return HF_OK;
}

void db_log_empty(const struct dest *d)
{
    if (d->mark > 0)
        hf_log(HF_LOG_WARN, "replica is empty, it is filled anew", HF_F_STR("db", d->db->path),
               HF_F_STR("replica", hf_replica_name(d->replica)), HF_F_TXID("held", d->mark),
               HF_F_END);
}

/* With one destination: once a process is enough to know that something was put there. */
static void note_held(struct db *db)
{
    struct dest *d = &db->dests[0];
    if (db_has_spool(db) || d->mark > 0 || hf_store_is_local(hf_replica_store(db->replica)))
        return;
    if (hf_mark_save(db->meta, d->conf->url, d->conf->endpoint, db->next_pos.txid, NULL) == HF_OK)
        d->mark = db->next_pos.txid;
}

enum hf_code db_save_position(struct db *db, struct hf_err *err)
{
    HF_TRY(hf_position_save(db->meta, &db->next_pos, err));
    note_held(db);
    return HF_OK;
}

/* ---- one destination ---- */

static enum hf_code load_position(struct db *db, uint64_t txid)
{
    struct hf_position pos = {0};
    if (hf_position_load(db->meta, &pos, NULL) != HF_OK || (txid > 0 && pos.txid != txid))
        pos = (struct hf_position){0};
    db->next_pos = pos;
    return HF_OK;
}

static enum hf_code single_work(struct db *db, struct hf_err *err)
{
    uint64_t txid = 0;
    struct dest *d = &db->dests[0];
    HF_TRY(hf_replica_position(db->replica, &txid, err));
    HF_TRY(db_spool_load(db, err));
    if (txid == 0 && d->mark == 0 &&
        hf_mark_load(db->meta, d->conf->url, d->conf->endpoint, &d->mark, NULL) != HF_OK)
        d->mark = 0;
    if (txid > 0)
        d->empty_since_ms = 0;
    else
        HF_TRY(db_doubt_empty(d, err));
    if (txid == 0)
        db_log_empty(d);
    db->next_txid = txid;
    HF_TRY(load_position(db, 0));
    if (db->next_pos.txid != txid)
        db->next_pos = (struct hf_position){0};
    return HF_OK;
}

static void single_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    if (rc != HF_OK) {
        db_fail(db, "replica unreachable", err);
        return;
    }
    db->txid = db->next_txid;
    db->pos = db->next_pos;
    db_open(db);
}

/* ---- several ---- */

static enum hf_code local_work(struct db *db, struct hf_err *err)
{
    HF_TRY(load_position(db, db->has_history ? db->txid : 0));
    if (db->is_local_known)
        return HF_OK;
    HF_TRY(db_spool_load(db, err));
    for (size_t i = 0; i < db->n_dests; i++) {
        struct dest *d = &db->dests[i];
        if (hf_mark_load(db->meta, d->conf->url, d->conf->endpoint, &d->mark, NULL) != HF_OK)
            d->mark = 0;
    }
    return HF_OK;
}

static void local_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    if (rc != HF_OK) {
        db_fail(db, "cannot read the local state", err);
        return;
    }
    db->local_pos = db->next_pos;
    if (!db->is_local_known)
        db_spool_adopt(db);
    db->is_local_known = true;
    db_init_step(db);
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The destination that is furthest; NULL if none has anything. */
static struct dest *furthest(struct db *db)
{
    struct dest *best = NULL;
    for (size_t i = 0; i < db->n_dests; i++) {
        struct dest *d = &db->dests[i];
        if (d->state == DEST_CHECK && (best == NULL || d->txid > best->txid))
            best = d;
    }
    return best;
}

static void choose_history(struct db *db)
{
    struct dest *best = furthest(db);
    uint64_t spooled = db_spool_newest(db);
    uint64_t local = max_u64(spooled, db->local_pos.txid);
    for (size_t i = 0; i < db->n_dests; i++)
        local = max_u64(local, db->dests[i].mark);
    if (spooled == 0 && best != NULL && best->txid >= local) {
        best->state = DEST_OK;
        local = best->txid;
    }
    db->txid = local;
    db->has_history = true;
}

/* Enough is known to begin. */
static bool is_enough(struct db *db, uint64_t now)
{
    size_t n_tried = 0;
    size_t n_known = 0;
    for (size_t i = 0; i < db->n_dests; i++) {
        n_tried += db->dests[i].is_tried;
        n_known += db->dests[i].state != DEST_NEW;
    }
    bool is_over = n_tried == db->n_dests || now >= db->init_since_ms + INIT_WAIT_MS;
    if (is_over && n_known == 0 && db_spool_newest(db) == 0) {
        struct hf_err err = HF_ERR_INIT;
        const struct dest *d = &db->dests[0];
        hf_err_set(&err, HF_E_BUSY, "no replica answers: %s",
                   d->last_error == NULL ? hf_replica_name(d->replica) : d->last_error);
        db->retry_ms = max_u64(db->retry_ms, DB_BUSY_QUIET_MS);
        db_fail(db, "replica unreachable", &err);
        return false;
    }
    if (!is_over)
        db_wake_at(db, db->init_since_ms + INIT_WAIT_MS);
    return is_over;
}

void db_init_step(struct db *db)
{
    if (!db_has_spool(db) || db_lane_busy(db, LANE_BASE) || !db->is_local_known)
        return;
    if (!db->has_history && !is_enough(db, hf_clock_mono_ms()))
        return;
    if (!db->has_history)
        choose_history(db);
    db_dests_step(db); /* some need no more than that to be ours */
    db->pos = db->local_pos;
    if (db->pos.txid != db->txid)
        db->pos = (struct hf_position){0};
    db_open(db);
}

void db_init_begin(struct db *db)
{
    struct hf_err err = HF_ERR_INIT;
    if (db_has_spool(db) && db_spool_is_full(db)) {
        hf_err_set(&err, HF_E_NO_SPACE, "no replica takes what waits in %s", db->meta);
        db_fail(db, "falling behind", &err);
        return;
    }
    db_set_state(db, DB_INIT);
    db->init_since_ms = hf_clock_mono_ms();
    if (db->born_ms == 0)
        db->born_ms = db->init_since_ms;
    if (db_has_spool(db))
        db_submit(db, LANE_BASE, local_work, local_done);
    else
        db_submit(db, LANE_BASE, single_work, single_done);
}
