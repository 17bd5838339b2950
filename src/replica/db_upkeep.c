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

enum {
    BIT_RETENTION = 1u,
    LARGE_BASE = 1 << 20,
    HEAL_GAP_MS = 3600 * 1000, /* between two full images because of damage */
};

static enum hf_ltx_form form_of(const struct dest *d)
{
    return db_has_spool(d->db) ? d->form : d->db->form;
}

static bool is_ready(const struct dest *d)
{
    if (db_has_spool(d->db))
        return d->state == DEST_OK && d->txid > 0;
    return d->db->txid > 0 && d->db->has_form;
}

void db_upkeep_shipped(struct dest *d, const struct hf_position *pos)
{
    d->n_inputs[1]++;
    d->n_inputs[HF_LEVEL_SNAPSHOT]++;
    /* a large base becomes the first snapshot at once: no level then copies it again */
    if (pos->txid == 1 && (uint64_t)pos->commit * pos->page_size >= LARGE_BASE)
        db_upkeep_due(d, 1u << HF_LEVEL_SNAPSHOT);
}

static struct hf_retention policy(const struct dest *d)
{
    return (struct hf_retention){
        .is_enabled = d->db->e->cfg->retention_enabled,
        .l0_retention_ms = d->db->e->cfg->l0_retention_ms,
        .snapshot_retention_ms = d->conf->snapshot_retention_ms,
    };
}

static enum hf_code retain(struct dest *d, bool l0_only, struct hf_err *err)
{
    struct hf_retention p = policy(d);
    size_t deleted = 0;
    HF_TRY(hf_retention_run(d->replica, &p, hf_clock_wall_ms(), l0_only, &deleted, err));
    if (deleted > 0)
        hf_log(HF_LOG_DEBUG, "retention", HF_F_STR("db", d->db->path), HF_F_U64("deleted", deleted),
               HF_F_END);
    return HF_OK;
}

static enum hf_code compact(struct dest *d, int level, struct hf_err *err)
{
    struct hf_compact_result res;
    struct hf_page_hook none = {NULL, NULL};
    bool is_snapshot = level == HF_LEVEL_SNAPSHOT;
    if (is_snapshot)
        HF_TRY(hf_compact_snapshot(d->replica, form_of(d), d->db->meta, &res, err));
    else
        HF_TRY(hf_compact_level(d->replica, level, form_of(d), none, &res, err));
    if (!res.is_done)
        return HF_OK;
    d->n_done[level]++;
    hf_log(HF_LOG_DEBUG, "compacted", HF_F_STR("db", d->db->path), HF_F_I64("level", level),
           HF_F_TXID("max", res.out.max_txid), HF_F_U64("bytes", res.bytes), HF_F_END);
    struct hf_ltx_info file = {.level = level,
                               .min_txid = res.out.min_txid,
                               .max_txid = res.out.max_txid,
                               .size = res.bytes};
    if (level == 1 && d == &d->db->dests[0])
        HF_TRY(db_sums_forward(d->db, d->replica, &file, err));
    if (level == 1)
        hf_replica_forget(d->replica, res.out.max_txid);
    return level == 1 || is_snapshot ? retain(d, !is_snapshot, err) : HF_OK;
}

static enum hf_code upkeep_work(struct dest *d, struct hf_err *err)
{
    d->at = 1u << 1;
    HF_TRY(hf_path_mkdirs(d->db->meta, 0700, err));
    for (int level = 1; level <= HF_LEVEL_SNAPSHOT; level++) {
        d->at = 1u << level;
        if ((d->doing & d->at) != 0)
            HF_TRY(compact(d, level, err));
    }
    d->at = BIT_RETENTION;
    if ((d->doing & BIT_RETENTION) != 0)
        HF_TRY(retain(d, true, err));
    return HF_OK;
}

/* One file is enough. If it waited for a second one, which may come days later, both would be one
 * file then, and the state between them gone when retention takes the level below. */
static bool has_input(const struct dest *d, int level)
{
    return d->n_inputs[level] > 0;
}

/* The replica is damaged or somebody deleted files of it: a full image makes it whole again. */
static void heal(struct dest *d, const struct hf_err *err)
{
    struct db *db = d->db;
    uint64_t now = hf_clock_mono_ms();
    bool is_free = (db->state == DB_LIVE || db->state == DB_COLD) && !db_lane_busy(db, LANE_SHIP) &&
                   !db_lane_busy(db, LANE_BASE);
    if (d->healed_ms != 0 && now - d->healed_ms < HEAL_GAP_MS)
        return;
    if (db_has_spool(db))
        dest_is_damaged(d);
    if (db_has_spool(db) || !is_free)
        return;
    d->healed_ms = now;
    db->wants_new_chain = true;
    db_break(db, err->text);
}

/* What worked, of what was to do: retention comes last. */
static unsigned worked(const struct dest *d, enum hf_code rc)
{
    if (rc == HF_OK)
        return d->doing;
    return d->doing & ~BIT_RETENTION & (d->at == BIT_RETENTION ? ~0u : d->at - 1);
}

/* Once, until it works again, what failed and not something else, or fails in another way. Not at
 * all while uploads there fail, which was said already. */
static void tell(struct dest *d, enum hf_code rc, const struct hf_err *err)
{
    const char *known = db_has_spool(d->db) ? d->last_error : d->db->last_error;
    bool is_new = (d->failing & d->at) == 0 && rc == HF_E_CORRUPT;
    d->failing &= ~worked(d, rc);
    d->failing |= rc == HF_OK ? 0 : d->at;
    if ((rc == d->upkeep_code && !is_new) || (rc == HF_OK && d->failing != 0))
        return;
    if (rc != HF_OK && rc != HF_E_CORRUPT && known != NULL)
        return;
    if (rc != HF_OK)
        hf_log(HF_LOG_ERROR, "upkeep failed", HF_F_STR("db", d->db->path),
               HF_F_STR("replica", hf_replica_name(d->replica)), HF_F_STR("code", hf_code_word(rc)),
               HF_F_ERR(err), HF_F_END);
    else
        hf_log(HF_LOG_INFO, "upkeep recovered", HF_F_STR("db", d->db->path),
               HF_F_STR("replica", hf_replica_name(d->replica)), HF_F_END);
    d->upkeep_code = rc;
}

/* What could not be done is due again at the level's next interval, also if nothing new comes. */
static void owe(struct dest *d)
{
    for (int level = 1; level < HF_LIMIT_LEVELS; level++) {
        bool is_left = (d->doing & 1u << level) != 0 && d->n_done[level] == 0;
        if (is_left && d->n_inputs[level] == 0)
            d->n_inputs[level] = 1;
    }
}

static void upkeep_done(struct dest *d, enum hf_code rc, struct hf_err *err)
{
    tell(d, rc, err);
    if (rc != HF_OK && rc != HF_E_CORRUPT) /* that is healed by an image */
        owe(d);
    for (int level = 1; level < HF_LIMIT_LEVELS; level++) {
        if (d->n_done[level] > 0 && level < HF_LEVEL_SNAPSHOT - 1)
            d->n_inputs[level + 1] += d->n_done[level];
        d->n_done[level] = 0;
    }
    d->doing = 0;
    if (rc == HF_E_CORRUPT)
        heal(d, err);
    if (d->due != 0)
        db_upkeep_due(d, 0);
}

void db_upkeep_due(struct dest *d, unsigned levels)
{
    for (int level = 1; level < HF_LIMIT_LEVELS; level++) {
        if ((levels & 1u << level) != 0 && has_input(d, level))
            d->due |= 1u << level;
    }
    d->due |= levels & BIT_RETENTION;
    if (d->due == 0 || d->upkeep.is_busy || !is_ready(d))
        return;
    d->doing = d->due;
    d->due = 0;
    for (int level = 1; level < HF_LIMIT_LEVELS; level++) {
        if ((d->doing & 1u << level) != 0)
            d->n_inputs[level] = 0;
    }
    dest_submit_upkeep(d, upkeep_work, upkeep_done);
}
