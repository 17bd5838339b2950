/*
 * Several destinations of one database: each takes what it lacks, at its own interval, on threads
 * of its service, with its own retries (docs/decisions/0050-several-replicas.md).
 *
 *   NEW ──listed──► CHECK ──same history──► OK ◄─── snapshot ─── FOREIGN
 *    ▲                └────another─────────────────────────────────▲
 *    └── a name was taken by somebody else ◄── OK
 *
 * OK: from the spool what leads on from txid (several files become one when it is behind); when the
 * spool does not lead there any more, from the destination that has most. FOREIGN: a snapshot of
 * another one's state, beyond its own highest TXID. The newest TXID always goes as a file of its
 * own: Litestream takes its position from the newest L0 file and expects it to hold one TXID.
 */
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include "replica/carry.h"
#include "replica/db.h"
#include "replica/mark.h"
#include "replica/plan.h"

enum {
    DEST_STUCK_MS = 5000,            /* nobody has what it lacks for so long: an image */
    DEST_ANSWER_MS = 10000,          /* after the start; then an image is taken without it */
    DEST_CONFLICT_MS = 5000,         /* another writer: let it finish or be noticed */
    DEST_AGAIN_MS = 3600 * 1000,     /* two conflicts within this: */
    DEST_AGAIN_WAIT_MS = 300 * 1000, /* ... the next snapshot waits */
};

static const char *const state_words[] = {
#define X(name, word, doc) [name] = word,
    DEST_STATES(X)
#undef X
};

const char *dest_state_word(enum dest_state s)
{
    return state_words[s];
}

bool db_has_spool(const struct db *db)
{
    return db->n_dests > 1;
}

/* ---- life ---- */

static void set_form(struct dest *d)
{
    if (d->conf->page_format == HF_PAGE_FORMAT_AUTO)
        return;
    d->has_form = true;
    d->form = d->conf->page_format == HF_PAGE_FORMAT_FRAME ? HF_LTX_FORM_FRAME : HF_LTX_FORM_BLOCK;
}

static enum hf_code open_dest(struct db *db, size_t i, struct hf_err *err)
{
    struct dest *d = &db->dests[i];
    struct hf_store *store = NULL;
    d->db = db;
    d->conf = &db->conf->replicas[i];
    set_form(d);
    HF_TRY(engine_get_store(db->e, d->conf, &store, err));
    HF_TRY(hf_replica_new(store, "", &d->replica, err));
    if (d->conf->pack)
        HF_TRY(engine_pack(db->e, d->conf, d->replica, err));
    else if (!hf_store_is_local(store))
        hf_replica_keep(d->replica, db->e->kept);
    uint64_t interval = (uint64_t)(d->conf->sync_interval_ns / 1000000);
    if (i == 0 || interval < db->sync_interval_ms)
        db->sync_interval_ms = interval;
    return db_has_spool(db) ? engine_get_group(db->e, d->conf, i, &d->group, err)
                            : engine_get_lone_group(db->e, d->conf, &d->group, err);
}

static enum hf_code open_spool(struct db *db, struct hf_err *err)
{
    /* In the clear whatever the replicas and the environment say: it lies beside the database. */
    HF_AUTO_FREE char *dir = hf_asprintf("%s/spool", db->meta);
    struct hf_config_replica conf = {.type = HF_REPLICA_FILE, .path = dir};
    HF_TRY(hf_store_open_replica(&conf, &db->spool.store, err));
    HF_TRY(hf_replica_new(db->spool.store, "", &db->replica, err));
    db->has_form = true;
    db->form = HF_LTX_FORM_BLOCK;
    return HF_OK;
}

enum hf_code db_dests_open(struct db *db, struct hf_err *err)
{
    size_t n = db->conf->n_replicas;
    if (n == 0 || n > HF_LIMIT_REPLICAS)
        return hf_err_set(err, HF_E_UNSUPPORTED, "%zu replicas; 1 to %d are possible", n,
                          HF_LIMIT_REPLICAS);
    db->dests = hf_calloc(n, sizeof(*db->dests));
    db->n_dests = n;
    for (size_t i = 0; i < n; i++)
        HF_TRY(open_dest(db, i, err));
    if (db_has_spool(db))
        return open_spool(db, err);
    db->replica = db->dests[0].replica;
    return HF_OK;
}

void db_dests_free(struct db *db)
{
    for (size_t i = 0; i < db->n_dests; i++) {
        hf_replica_free(db->dests[i].replica);
        hf_ltx_list_deinit(&db->dests[i].chain);
        hf_free(db->dests[i].last_error);
    }
    if (db_has_spool(db))
        hf_replica_free(db->replica);
    hf_store_close(db->spool.store);
    hf_ltx_list_deinit(&db->spool.files);
    hf_ltx_list_deinit(&db->spool.gone);
    hf_free(db->dests);
}

/* ---- errors ---- */

static void dest_failed(struct dest *d, const char *what, const struct hf_err *err)
{
    d->errors++;
    d->last_code = err->code;
    db_note_refused(&d->n_refused, err->code);
    d->retry_ms = d->retry_ms == 0 ? DB_RETRY_MIN_MS : d->retry_ms * 2;
    if (d->retry_ms > DB_RETRY_MAX_MS)
        d->retry_ms = DB_RETRY_MAX_MS;
    d->retry_at = hf_clock_mono_ms() + d->retry_ms;
    db_wake_at(d->db, d->retry_at);
    if (d->last_error != NULL)
        return;
    hf_log(HF_LOG_ERROR, what, HF_F_STR("db", d->db->path),
           HF_F_STR("replica", hf_replica_name(d->replica)),
           HF_F_STR("code", hf_code_word(err->code)), HF_F_ERR(err), HF_F_END);
    d->last_error = hf_strdup(err->text);
}

static void dest_fine(struct dest *d)
{
    d->retry_ms = 0;
    d->retry_at = 0;
    d->stuck_since_ms = 0;
    if (d->last_error == NULL)
        return;
    hf_log(HF_LOG_INFO, "replica recovered", HF_F_STR("db", d->db->path),
           HF_F_STR("replica", hf_replica_name(d->replica)), HF_F_STR("was", d->last_error),
           HF_F_END);
    hf_free(d->last_error);
    d->last_error = NULL;
}

/* ---- what it holds ---- */

static enum hf_code newest_of(struct hf_replica *r, struct hf_ltx_info *newest, struct hf_err *err)
{
    struct hf_ltx_list all = {NULL, 0, 0};
    enum hf_code rc = hf_replica_list_all(r, &all, err);
    *newest = (struct hf_ltx_info){.max_txid = 0};
    for (size_t i = 0; i < all.len; i++) {
        if (all.items[i].max_txid > newest->max_txid)
            *newest = all.items[i];
    }
    hf_ltx_list_deinit(&all);
    return rc;
}

static enum hf_code list_work(struct dest *d, struct hf_err *err)
{
    struct hf_ltx_info newest;
    d->sent = (struct hf_ltx_header){.max_txid = 0};
    HF_TRY(newest_of(d->replica, &newest, err));
    if (newest.max_txid > 0)
        d->empty_since_ms = 0;
    HF_TRY(newest.max_txid == 0 ? db_doubt_empty(d, err)
                                : hf_replica_read_header(d->replica, &newest, &d->sent, err));
    if (!d->has_form) {
        HF_TRY(hf_replica_form(d->replica, &d->form, err));
        d->has_form = true;
    }
    return HF_OK;
}

static void list_done(struct dest *d, enum hf_code rc, struct hf_err *err)
{
    d->is_tried = true;
    if (rc != HF_OK) {
        dest_failed(d, "replica unreachable", err);
    } else {
        dest_fine(d);
        d->head = d->sent;
        d->txid = d->head.max_txid;
        d->state = d->txid == 0 ? DEST_OK : DEST_CHECK;
        if (d->txid == 0)
            db_log_empty(d);
    }
    db_step(d->db);
}

/* ---- whose history it is ---- */

static enum hf_code check_work(struct dest *d, struct hf_err *err)
{
    struct hf_ltx_header ours;
    enum hf_code rc = hf_carry_head_at(d->db->replica, d->txid, &ours, err);
    for (size_t i = 0; rc != HF_OK && i < d->n_peers; i++) {
        hf_err_reset(err);
        rc = hf_carry_head_at(d->peers[i].replica, d->txid, &ours, err);
    }
    d->is_same = rc == HF_OK && hf_carry_is_same(&d->head, &ours);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

static void set_foreign(struct dest *d, const char *why)
{
    uint64_t now = hf_clock_mono_ms();
    struct db *db = d->db;
    hf_log(HF_LOG_WARN, "replica holds another history, a snapshot follows",
           HF_F_STR("db", db->path), HF_F_STR("replica", hf_replica_name(d->replica)),
           HF_F_TXID("txid", d->txid), HF_F_STR("reason", why), HF_F_END);
    if (d->healed_ms != 0 && now - d->healed_ms < DEST_AGAIN_MS)
        d->retry_at = now + DEST_AGAIN_WAIT_MS;
    d->healed_ms = now;
    d->state = DEST_FOREIGN;
    if (d->txid > db->taken_txid)
        db->taken_txid = d->txid;
}

static void check_done(struct dest *d, enum hf_code rc, struct hf_err *err)
{
    if (rc != HF_OK) {
        dest_failed(d, "cannot compare replicas", err);
        return;
    }
    dest_fine(d);
    if (d->is_same)
        d->state = DEST_OK;
    else
        set_foreign(d, "its newest file is not ours");
    db_step(d->db);
}

static void check(struct dest *d)
{
    struct db *db = d->db;
    if (d->mark == d->txid && d->txid <= db->txid) {
        d->state = DEST_OK;
        return;
    }
    if (d->txid > db->txid) {
        set_foreign(d, "it is ahead of us");
        return;
    }
    d->n_peers = db_dest_peers(db, d, d->peers);
    dest_submit(d, check_work, check_done);
}

/* ---- shipping ---- */

static void sent(struct dest *d, bool is_image)
{
    struct db *db = d->db;
    d->txid = d->sent.max_txid;
    d->state = DEST_OK;
    d->n_refused = 0;
    d->shipped_files++;
    d->shipped_bytes += d->sent_bytes;
    d->last_sync_ms = hf_clock_wall_ms();
    d->ship_ms += d->last_ship_ms == 0 ? 0 : hf_clock_mono_ms() - d->last_ship_ms;
    if (d->conf->pack) /* back into step, had it missed its pack */
        d->last_ship_ms = hf_clock_mono_ms();
    d->behind_bytes = d->behind_bytes > d->sent_bytes ? d->behind_bytes - d->sent_bytes : 0;
    if (d->txid >= db->txid) {
        d->behind_ms = 0;
        d->behind_bytes = 0;
    } else if (!is_image) {
        d->behind_ms = d->sent.timestamp_ms;
    }
    dest_fine(d);
    hf_log(HF_LOG_DEBUG, is_image ? "carried over" : "uploaded", HF_F_STR("db", db->path),
           HF_F_STR("replica", hf_replica_name(d->replica)), HF_F_TXID("txid", d->txid),
           HF_F_U64("bytes", d->sent_bytes), HF_F_END);
    struct hf_position at = {
        .txid = d->sent.min_txid == 1 ? d->txid : 2, /* 1: a base image */
        .commit = d->sent.commit,
        .page_size = d->sent.page_size,
    };
    db_upkeep_shipped(d, &at);
    if (db_dests_are_synced(db))
        db->is_urgent = false; /* who waits for more asks again */
}

/* The replica has it; a mark that can't be noted only costs a look later. */
static void note_mark(struct dest *d)
{
    struct hf_err err = HF_ERR_INIT;
    if (hf_mark_save(d->db->meta, d->conf->url, d->conf->endpoint, d->sent.max_txid, &err) != HF_OK)
        hf_log(HF_LOG_WARN, "mark not saved", HF_F_STR("db", d->db->path), HF_F_ERR(&err),
               HF_F_END);
}

static enum hf_code carry(struct dest *d, struct hf_replica *from, const struct hf_ltx_list *chain,
                          uint64_t position, struct hf_err *err)
{
    struct hf_carry c = {from, chain, position, d->replica, d->form, d->db->meta};
    HF_TRY(hf_path_mkdirs(d->db->meta, 0700, err));
    HF_TRY(hf_carry_run(&c, &d->sent, &d->sent_bytes, err));
    note_mark(d);
    return HF_OK;
}

static uint64_t position_of(const struct dest *d)
{
    return d->state == DEST_FOREIGN ? 0 : d->txid;
}

static enum hf_code upload_work(struct dest *d, struct hf_err *err)
{
    struct hf_ltx_list rest = d->chain;
    struct hf_ltx_list last = {.items = &rest.items[rest.len - 1], .len = 1, .cap = 1};
    uint64_t bytes = 0;
    if (rest.len == 1 || last.items[0].max_txid != d->newest_alone)
        return carry(d, d->db->replica, &rest, position_of(d), err);
    rest.len--;
    HF_TRY(carry(d, d->db->replica, &rest, position_of(d), err));
    bytes = d->sent_bytes;
    /* what went up counts; the rest is tried again by itself */
    if (carry(d, d->db->replica, &last, d->sent.max_txid, NULL) == HF_OK)
        d->sent_bytes += bytes;
    return HF_OK;
}

/* A name that is taken: by ourselves, if an answer got lost, or by another writer. */
static void name_taken(struct dest *d, const struct hf_err *err)
{
    struct hf_err told = *err;
    hf_err_wrap(&told, "another writer may use this replica path");
    dest_failed(d, "conflict", &told);
    d->retry_at = hf_clock_mono_ms() + DEST_CONFLICT_MS;
    d->state = DEST_NEW;
    d->mark = 0;
}

static void ship_ended(struct dest *d, enum hf_code rc, struct hf_err *err, bool is_image)
{
    d->chain.len = 0;
    if (rc == HF_E_EXISTS)
        name_taken(d, err);
    else if (rc != HF_OK)
        dest_failed(d, is_image ? "cannot catch up" : "upload failed", err);
    else
        sent(d, is_image);
    db_spool_trim(d->db);
    db_step(d->db);
}

static void upload_done(struct dest *d, enum hf_code rc, struct hf_err *err)
{
    ship_ended(d, rc, err, false);
}

/* From another destination: what leads on, or all of it. */
static enum hf_code plan_from(struct dest *d, const struct hf_ltx_list *all, uint64_t *position,
                              struct hf_ltx_list *plan, struct hf_err *err)
{
    struct hf_restore_target latest = {HF_TARGET_LATEST, 0, 0};
    enum hf_code rc = HF_E_CORRUPT;
    *position = position_of(d);
    plan->len = 0;
    if (*position > 0)
        rc = hf_plan_follow(all, *position, plan, NULL);
    if (rc == HF_E_CORRUPT) {
        *position = 0;
        plan->len = 0;
        rc = hf_plan_restore(all, &latest, plan, err);
    }
    if (rc == HF_OK && (plan->len == 0 || plan->items[plan->len - 1].max_txid <= d->txid))
        rc = hf_err_set(err, HF_E_BUSY, "the other replica is not further");
    return rc;
}

static void drop_beyond(struct hf_ltx_list *l, uint64_t txid)
{
    size_t n = 0;
    for (size_t i = 0; i < l->len; i++) {
        if (l->items[i].max_txid <= txid)
            l->items[n++] = l->items[i];
    }
    l->len = n;
}

/* Up to what the spool still has, if that is possible: its newest file follows alone. */
static enum hf_code plan_carry(struct dest *d, struct hf_replica *from, uint64_t *position,
                               struct hf_ltx_list *plan, struct hf_err *err)
{
    struct hf_ltx_list all = {NULL, 0, 0};
    enum hf_code rc = hf_replica_list_all(from, &all, err);
    size_t n = all.len;
    HF_AUTO_FREE struct hf_ltx_info *copy = hf_malloc((n + 1) * sizeof(*copy));
    if (n > 0)
        memcpy(copy, all.items, n * sizeof(*copy));
    bool is_done = false;
    if (rc == HF_OK && d->newest_alone > d->txid + 1) {
        drop_beyond(&all, d->newest_alone - 1);
        is_done = plan_from(d, &all, position, plan, NULL) == HF_OK &&
                  plan->items[plan->len - 1].max_txid == d->newest_alone - 1;
    }
    if (rc == HF_OK && !is_done) {
        struct hf_ltx_list whole = {.items = copy, .len = n, .cap = n + 1};
        rc = plan_from(d, &whole, position, plan, err);
    }
    hf_ltx_list_deinit(&all);
    return rc;
}

static enum hf_code peer_work(struct dest *d, struct hf_err *err)
{
    struct hf_replica *from = d->peers[d->peer_turn % d->n_peers].replica;
    struct hf_ltx_list plan = {NULL, 0, 0};
    uint64_t position = 0;
    HF_TRY(hf_path_mkdirs(d->db->meta, 0700, err));
    enum hf_code rc = plan_carry(d, from, &position, &plan, err);
    if (rc == HF_OK)
        rc = carry(d, from, &plan, position, err);
    hf_ltx_list_deinit(&plan);
    return rc == HF_OK ? HF_OK : hf_err_wrap(err, "catch up from %s", hf_replica_name(from));
}

static void peer_done(struct dest *d, enum hf_code rc, struct hf_err *err)
{
    if (rc != HF_OK)
        d->peer_turn++; /* another one next time */
    ship_ended(d, rc, err, true);
}

/* Nobody has what it lacks: the database itself does. */
static void ask_for_image(struct dest *d, uint64_t now)
{
    struct db *db = d->db;
    if (d->stuck_since_ms == 0)
        d->stuck_since_ms = now;
    db_wake_at(db, now + DEST_STUCK_MS);
    bool is_free = (db->state == DB_LIVE || db->state == DB_COLD) && !db_lane_busy(db, LANE_SHIP) &&
                   !db_lane_busy(db, LANE_BASE);
    if (!is_free || now - d->stuck_since_ms < DEST_STUCK_MS)
        return;
    d->stuck_since_ms = 0;
    db->wants_new_chain = true;
    db_break(db, "no replica has what another one lacks");
}

static void catch_up(struct dest *d, uint64_t now)
{
    d->n_peers = db_dest_peers(d->db, d, d->peers);
    while (d->n_peers > 0 && d->peers[d->n_peers - 1].txid <= d->txid)
        d->n_peers--; /* best first: those behind us are last */
    if (d->n_peers > 0)
        dest_submit(d, peer_work, peer_done);
    else
        ask_for_image(d, now);
}

uint64_t dest_due_at(const struct dest *d, uint64_t last_ms, uint64_t interval_ms)
{
    /* together with all others of its packs; see pack_put.c */
    return d->conf->pack ? (last_ms / interval_ms + 1) * interval_ms : last_ms + interval_ms;
}

static bool is_due(const struct dest *d, uint64_t now)
{
    uint64_t interval = (uint64_t)(d->conf->sync_interval_ns / 1000000);
    uint64_t due = dest_due_at(d, d->last_ship_ms, interval);
    if (d->db->e->is_urgent || d->db->is_urgent || d->behind_bytes >= DB_SHIP_NOW_BYTES ||
        now >= due)
        return true;
    db_wake_at(d->db, due);
    return false;
}

static uint64_t newest_alone(const struct db *db)
{
    const struct hf_ltx_list *l = &db->spool.files;
    const struct hf_ltx_info *f = l->len == 0 ? NULL : &l->items[l->len - 1];
    return f != NULL && f->min_txid == f->max_txid ? f->max_txid : 0;
}

/* Holds our history, or must get it. */
static void advance(struct dest *d, uint64_t now)
{
    struct db *db = d->db;
    if (d->state == DEST_OK && d->txid >= db->txid)
        return;
    if (!is_due(d, now))
        return;
    d->newest_alone = newest_alone(db);
    db_spool_chain(db, position_of(d), &d->chain);
    bool leads = d->chain.len > 0 && d->chain.items[d->chain.len - 1].max_txid > d->txid;
    if (!leads) {
        d->chain.len = 0;
        catch_up(d, now);
        return;
    }
    d->last_ship_ms = now;
    dest_submit(d, upload_work, upload_done);
}

static void dest_step(struct dest *d, uint64_t now)
{
    if (d->ship.is_busy)
        return;
    if (now < d->retry_at) {
        db_wake_at(d->db, d->retry_at);
        return;
    }
    if (d->state == DEST_NEW)
        dest_submit(d, list_work, list_done);
    if (d->state == DEST_CHECK && d->db->has_history)
        check(d);
    if (d->state >= DEST_OK && d->db->has_history && !d->ship.is_busy)
        advance(d, now);
}

void db_dests_step(struct db *db)
{
    if (!db_has_spool(db) || !db->is_local_known)
        return;
    uint64_t now = hf_clock_mono_ms();
    for (size_t i = 0; i < db->n_dests; i++)
        dest_step(&db->dests[i], now);
}

/* ---- asked by others ---- */

static bool is_behind(const struct dest *d)
{
    return d->state != DEST_OK || d->txid < d->db->txid;
}

const struct dest *db_dest_behind(const struct db *db)
{
    for (size_t i = 0; db_has_spool(db) && i < db->n_dests; i++) {
        if (is_behind(&db->dests[i]))
            return &db->dests[i];
    }
    return NULL;
}

bool db_dests_are_refused(const struct db *db, unsigned tries, enum hf_code *rc)
{
    const struct dest *first = db_dest_behind(db);
    for (size_t i = 0; db_has_spool(db) && i < db->n_dests; i++) {
        if (is_behind(&db->dests[i]) && db->dests[i].n_refused < tries)
            return false;
    }
    if (first != NULL)
        *rc = first->last_code;
    return first != NULL;
}

bool db_dests_are_synced(const struct db *db)
{
    return db_dest_behind(db) == NULL;
}

size_t db_dest_peers(const struct db *db, const struct dest *d, struct dest_peer *out)
{
    size_t n = 0;
    for (size_t i = 0; i < db->n_dests; i++) {
        const struct dest *p = &db->dests[i];
        if (p == d || p->state != DEST_OK || p->txid == 0)
            continue;
        size_t at = n++;
        for (; at > 0 && out[at - 1].txid < p->txid; at--)
            out[at] = out[at - 1];
        out[at] = (struct dest_peer){p->replica, p->txid};
    }
    return n;
}

void db_dests_ask(struct db *db)
{
    bool is_young = hf_clock_mono_ms() < db->born_ms + DEST_ANSWER_MS;
    db->n_sum_peers = db_dest_peers(db, NULL, db->sum_peers);
    db->may_know_more = false;
    for (size_t i = 0; db_has_spool(db) && i < db->n_dests; i++)
        db->may_know_more |= is_young && db->dests[i].state < DEST_OK;
}

struct dest *db_dest_for_image(struct db *db)
{
    struct dest *best = NULL;
    for (size_t i = 0; db_has_spool(db) && i < db->n_dests; i++) {
        struct dest *d = &db->dests[i];
        if (d->state < DEST_OK || d->last_error != NULL || d->ship.is_busy)
            continue;
        if (best == NULL)
            best = d;
    }
    return best;
}

void dest_has_image(struct dest *d, uint64_t txid, uint64_t bytes)
{
    d->state = DEST_OK;
    d->txid = txid;
    d->mark = txid;
    d->shipped_files++;
    d->shipped_bytes += bytes;
    d->behind_ms = 0;
    d->behind_bytes = 0;
    dest_fine(d);
}

void dest_is_damaged(struct dest *d)
{
    if (d->state == DEST_OK && !d->ship.is_busy)
        set_foreign(d, "it is damaged");
    db_step(d->db);
}
