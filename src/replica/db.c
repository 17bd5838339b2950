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
#include "ltx/crc64.h"

enum { DB_MAGIC = 0x48444230, REFUSED_TRIES = 2 };

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
    job->rc =
        job->dest != NULL ? job->dest_work(job->dest, job->err) : job->work(job->db, job->err);
    hf_mailbox_post(job->db->e->mailbox, task);
}

/* A pool of the service's own, so that one that hangs holds up no other; packed changes wait for
 * their pack in a pool of theirs. */
static struct hf_pool *lane_pool(const struct db *db, enum db_lane lane)
{
    struct engine *e = db->e;
    const struct lane_group *g = db_has_spool(db) ? NULL : db->dests[0].group;
    bool is_packed = !db_has_spool(db) && db->dests[0].conf->pack && e->pack_pool != NULL;
    if (lane == LANE_SQL)
        return e->sql_pool;
    if (lane == LANE_SHIP && is_packed)
        return e->pack_pool;
    return g != NULL ? g->ship : e->ship_pool;
}

static void submit(struct db *db, struct db_job *job, struct hf_pool *pool)
{
    hf_assert(!job->is_busy);
    job->task.run = run_job;
    job->db = db;
    job->err = hf_calloc(1, sizeof(*job->err));
    job->is_busy = true;
    db->e->busy_jobs++;
    hf_pool_submit(pool, &job->task);
}

void db_submit(struct db *db, enum db_lane lane, enum hf_code (*work)(struct db *, struct hf_err *),
               void (*done)(struct db *, enum hf_code, struct hf_err *))
{
    struct db_job *job = &db->jobs[lane];
    job->work = work;
    job->done = done;
    submit(db, job, lane_pool(db, lane));
}

void dest_submit(struct dest *d, enum hf_code (*work)(struct dest *, struct hf_err *),
                 void (*done)(struct dest *, enum hf_code, struct hf_err *))
{
    d->ship.dest = d;
    d->ship.dest_work = work;
    d->ship.dest_done = done;
    submit(d->db, &d->ship, d->group->ship);
}

void dest_submit_upkeep(struct dest *d, enum hf_code (*work)(struct dest *, struct hf_err *),
                        void (*done)(struct dest *, enum hf_code, struct hf_err *))
{
    d->upkeep.dest = d;
    d->upkeep.dest_work = work;
    d->upkeep.dest_done = done;
    submit(d->db, &d->upkeep, d->group == NULL ? d->db->e->upkeep_pool : d->group->upkeep);
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
    if (s != DB_BASE_PREP && s != DB_BASE_SCAN && s != DB_COLD_BASE)
        db_sums_release(db);
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

/* The same failure again: services put a number of the request behind what they say. */
static bool is_said_again(const char *was, const char *text)
{
    static const char mark[] = " (request ";
    const char *a = was == NULL ? NULL : strstr(was, mark);
    const char *b = strstr(text, mark);
    if (a == NULL || b == NULL)
        return was != NULL && strcmp(was, text) == 0;
    return a - was == b - text && memcmp(was, text, (size_t)(b - text)) == 0;
}

void db_note_refused(unsigned *n, enum hf_code rc)
{
    bool is_refused =
        rc == HF_E_DENIED || rc == HF_E_NOT_FOUND || rc == HF_E_INVALID || rc == HF_E_UNSUPPORTED;
    *n = is_refused ? *n + 1 : 0;
}

static void note_error(struct db *db, const char *what, const struct hf_err *err)
{
    db->errors++;
    db->last_code = err->code;
    db_note_refused(&db->n_refused, err->code);
    if (is_said_again(db->last_error, err->text))
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

void db_set_hot(struct db *db, bool is_hot)
{
    if (db->is_hot == is_hot)
        return;
    db->is_hot = is_hot;
    if (is_hot)
        db->e->n_hot++;
    else
        db->e->n_hot--;
}

void db_count(struct db *db)
{
    size_t bytes = (size_t)db->batch_bytes;
    uint64_t spilled = db->batch_spilled;
    if (db->cap != NULL) {
        bytes += hf_capture_pending_bytes(db->cap);
        spilled += hf_capture_spilled_bytes(db->cap);
    }
    db->e->pending_bytes += bytes - db->counted_bytes;
    db->e->spilled_bytes += spilled - db->counted_spilled;
    db->counted_bytes = bytes;
    db->counted_spilled = spilled;
}

void db_let_go(struct db *db)
{
    db_set_hot(db, false);
    db_base_drop(db);
    if (db->cap == NULL)
        return;
    if (db->batch.pages != NULL && db->batch_has_refs && !db_lane_busy(db, LANE_SHIP))
        db_drop_batch(db);
    hf_capture_free(db->cap);
    db->cap = NULL;
    db_count(db);
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
    db_let_go(db);
    if (is_busy)
        db->retry_ms = db->retry_ms == 0 ? DB_BUSY_MIN_MS : db->retry_ms * 2;
    else
        db->retry_ms = next_delay(db->retry_ms);
    db->retry_at = hf_clock_mono_ms() + db->retry_ms;
    db_set_state(db, DB_RETRY);
    db_wake_at(db, db->retry_at);
}

/* ---- life ---- */

void db_start(struct db *db)
{
    if (db_lane_busy(db, LANE_BASE) || db_lane_busy(db, LANE_SHIP)) {
        db_wake_at(db, hf_clock_mono_ms() + DB_RETRY_MIN_MS);
        return;
    }
    db_drop_batch(db);
    db_init_begin(db);
}

/* Not all databases of a program compact at one moment: that would stand in the way of what they
 * ship. Spread over the shortest level, at most DB_PHASE_MAX_MS; the same at each start. */
static int64_t phase_of(const struct db *db)
{
    int64_t spread_ms = db->e->cfg->n_levels > 0 ? db->e->cfg->level_interval_ms[0] : 0;
    if (spread_ms > DB_PHASE_MAX_MS)
        spread_ms = DB_PHASE_MAX_MS;
    uint64_t hash = hf_crc64(0, db->path, strlen(db->path));
    return spread_ms > 0 ? (int64_t)(hash % (uint64_t)spread_ms) : 0;
}

struct db *db_new(struct engine *e, const struct hf_config_db *conf, struct hf_err *err)
{
    struct db *db = hf_calloc(1, sizeof(*db));
    db->magic = DB_MAGIC;
    db->e = e;
    db->conf = conf;
    db->cold_after_ms = DB_COLD_MS;
    if (hf_path_absolute(conf->path, &db->path, err) != HF_OK) {
        hf_free(db);
        return NULL;
    }
    db->wal_path = hf_asprintf("%s-wal", db->path);
    db->name = strrchr(db->path, '/') + 1;
    db->meta = hf_strdup(conf->meta_path);
    db->phase_ms = phase_of(db);
    pthread_mutex_init(&db->sums_lock, NULL);
    if (db_dests_open(db, err) != HF_OK) {
        db_free(db);
        return NULL;
    }
    if (!db_has_spool(db)) {
        db->has_form = db->dests[0].has_form;
        db->form = db->dests[0].form;
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
    db_let_go(db);
    db_drop_batch(db);
    db_dests_free(db);
    pthread_mutex_destroy(&db->sums_lock);
    hf_config_db_free(db->take_conf);
    hf_config_free(db->take_cfg);
    hf_free(db->path);
    hf_free(db->wal_path);
    hf_free(db->meta);
    hf_free(db->sums_path);
    hf_free(db->last_error);
    db->magic = 0;
    hf_free(db);
}

static void cold_check(struct db *db)
{
    struct hf_file_stat st;
    if (db_log_is_empty(db) && hf_path_stat(db->path, &st, NULL) == HF_OK &&
        hf_position_main_is(&db->pos, &st))
        return;
    db_open(db);
}

void db_step(struct db *db)
{
    hf_assert_magic(db, DB_MAGIC);
    uint64_t now = hf_clock_mono_ms();
    db_dests_step(db);
    switch (db->state) {
    case DB_LIVE:
        db_live_step(db, now);
        break;
    case DB_BASE_SCAN:
        if (db_follow(db, now))
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
        db_init_step(db);
        break;
    case DB_COLD_BASE:
    case DB_SQL:
    case DB_BASE_PREP:
        break; /* the job under way looks anew when it is done */
    case DB_CLOSED:
    default:
        break;
    }
}

void db_event(struct db *db, bool is_main)
{
    db->last_event_ms = hf_clock_mono_ms();
    db->relook_ms = 0;
    if (is_main && (db->state == DB_LIVE || db->state == DB_BASE_SCAN) && db_was_replaced(db)) {
        db->pos = (struct hf_position){0};
        db_let_go(db);
        db_start(db);
        return;
    }
    /* somebody changed something: no reason to wait out a long delay */
    if (db->state == DB_RETRY && is_main && db->retry_at > db->last_event_ms + DB_RETRY_MIN_MS)
        db->retry_at = db->last_event_ms + DB_RETRY_MIN_MS;
    db_step(db);
}

static bool has_shipped(const struct db *db)
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

bool db_is_synced(const struct db *db)
{
    return db_dests_are_synced(db) && has_shipped(db);
}

bool db_is_refused(const struct db *db, enum hf_code *rc)
{
    if (!has_shipped(db)) {
        *rc = db->last_code;
        return db->n_refused >= REFUSED_TRIES;
    }
    return db_dests_are_refused(db, REFUSED_TRIES, rc);
}

/* While slot 0 is held nothing can be copied back: the main file is the shipped image, for as long
 * as its times stay what they are. */
static void note_clean(struct db *db)
{
    struct hf_file_stat st;
    bool is_rest = db->cap != NULL && hf_capture_state(db->cap) == HF_CAPTURE_DRAINED &&
                   hf_capture_batch(db->cap)->commit == 0 && db->batch.pages == NULL &&
                   db->pos.txid == db->txid && db->txid > 0;
    if (!is_rest || hf_path_stat(db->path, &st, NULL) != HF_OK || !db_file_is_settled(&st))
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
    db_set_hot(db, false);
    db_let_go(db);
    hf_timer_stop(&db->timer);
    db_set_state(db, DB_CLOSED);
}
