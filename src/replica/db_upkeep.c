/*
 * Upkeep of one replica: compaction, snapshots, retention, page checksums. When there is nothing
 * new nothing is done, so databases at rest cost nothing.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "replica/compact.h"
#include "replica/db.h"
#include "replica/sumsync.h"

enum {
    BIT_RETENTION = 1u,
    LARGE_BASE = 1 << 20,
    HEAL_GAP_MS = 3600 * 1000, /* between two full images because of damage */
};

void db_upkeep_shipped(struct db *db, const struct hf_position *pos)
{
    db->n_inputs[1]++;
    db->n_inputs[HF_LEVEL_SNAPSHOT]++;
    /* a large base becomes the first snapshot at once: no level then copies it again */
    if (pos->txid == 1 && (uint64_t)pos->commit * pos->page_size >= LARGE_BASE)
        db_upkeep_due(db, 1u << HF_LEVEL_SNAPSHOT);
}

static struct hf_retention policy(const struct db *db)
{
    return (struct hf_retention){
        .is_enabled = db->e->cfg->retention_enabled,
        .l0_retention_ms = db->e->cfg->l0_retention_ms,
        .snapshot_retention_ms = db->rconf->snapshot_retention_ms,
    };
}

static enum hf_code retain(struct db *db, bool l0_only, struct hf_err *err)
{
    struct hf_retention p = policy(db);
    size_t deleted = 0;
    HF_TRY(hf_retention_run(db->replica, &p, hf_clock_wall_ms(), l0_only, &deleted, err));
    if (deleted > 0)
        hf_log(HF_LOG_DEBUG, "retention", HF_F_STR("db", db->path), HF_F_U64("deleted", deleted),
               HF_F_END);
    return HF_OK;
}

static enum hf_code compact(struct db *db, int level, struct hf_err *err)
{
    struct hf_compact_result res;
    struct hf_page_hook none = {NULL, NULL};
    bool is_snapshot = level == HF_LEVEL_SNAPSHOT;
    if (is_snapshot)
        HF_TRY(hf_compact_snapshot(db->replica, db->form, db->meta, &res, err));
    else
        HF_TRY(hf_compact_level(db->replica, level, db->form, none, &res, err));
    if (!res.is_done)
        return HF_OK;
    db->n_done[level]++;
    hf_log(HF_LOG_DEBUG, "compacted", HF_F_STR("db", db->path), HF_F_I64("level", level),
           HF_F_TXID("max", res.out.max_txid), HF_F_U64("bytes", res.bytes), HF_F_END);
    if (level == 1)
        HF_TRY(hf_sums_catch_up(db->replica, db->meta, res.out.max_txid, NULL, err));
    return level == 1 || is_snapshot ? retain(db, !is_snapshot, err) : HF_OK;
}

static enum hf_code upkeep_work(struct db *db, struct hf_err *err)
{
    HF_TRY(hf_path_mkdirs(db->meta, 0700, err));
    for (int level = 1; level <= HF_LEVEL_SNAPSHOT; level++) {
        if ((db->doing & 1u << level) != 0)
            HF_TRY(compact(db, level, err));
    }
    if ((db->doing & BIT_RETENTION) != 0)
        HF_TRY(retain(db, true, err));
    return HF_OK;
}

static bool has_input(const struct db *db, int level)
{
    /* one file alone is as good as its copy a level up */
    return db->n_inputs[level] >= (level == HF_LEVEL_SNAPSHOT ? 1u : 2u);
}

/* The replica is damaged or somebody deleted files of it: a full image makes it whole again. */
static void heal(struct db *db, const struct hf_err *err)
{
    uint64_t now = hf_clock_mono_ms();
    bool is_free = (db->state == DB_LIVE || db->state == DB_COLD) && !db_lane_busy(db, LANE_SHIP) &&
                   !db_lane_busy(db, LANE_BASE);
    if (!is_free || (db->healed_ms != 0 && now - db->healed_ms < HEAL_GAP_MS))
        return;
    db->healed_ms = now;
    db->wants_new_chain = true;
    db_break(db, err->text);
}

static void upkeep_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    if (rc != HF_OK)
        hf_log(HF_LOG_ERROR, "upkeep failed", HF_F_STR("db", db->path),
               HF_F_STR("code", hf_code_word(rc)), HF_F_ERR(err), HF_F_END);
    for (int level = 1; level < HF_LIMIT_LEVELS; level++) {
        if (db->n_done[level] > 0 && level < HF_LEVEL_SNAPSHOT - 1)
            db->n_inputs[level + 1] += db->n_done[level];
        db->n_done[level] = 0;
    }
    db->doing = 0;
    if (rc == HF_E_CORRUPT)
        heal(db, err);
    if (db->due != 0)
        db_upkeep_due(db, 0);
}

void db_upkeep_due(struct db *db, unsigned levels)
{
    for (int level = 1; level < HF_LIMIT_LEVELS; level++) {
        if ((levels & 1u << level) != 0 && has_input(db, level))
            db->due |= 1u << level;
    }
    db->due |= levels & BIT_RETENTION;
    if (db->due == 0 || db_lane_busy(db, LANE_UPKEEP) || db->txid == 0 || !db->has_form)
        return;
    db->doing = db->due;
    db->due = 0;
    for (int level = 1; level < HF_LIMIT_LEVELS; level++) {
        if ((db->doing & 1u << level) != 0)
            db->n_inputs[level] = 0;
    }
    db_submit(db, LANE_UPKEEP, upkeep_work, upkeep_done);
}
