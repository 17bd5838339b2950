#include "replica/engine.h"

#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/thread.h"
#include "replica/db.h"
#include "replica/kept.h"

enum {
    ENGINE_MAGIC = 0x454e4730,
    TICK_MS = 1000,
    HOT_POLL_US = 500,  /* wal-index headers of busy databases */
    AWAIT_POLL_US = 60, /* ... when the log of one is about to become free */
    DIR_CHECK_TICKS = 10,
    COLD_CHECK_TICKS = 60, /* a cold database is looked at this seldom without an event */
    SHIP_THREADS = 2,
    REMOTE_SHIP_THREADS = 8, /* they wait for a network, not for a core */
    REMOTE_UPKEEP_THREADS = 3,
};

/* ---- databases ---- */

struct db *engine_add_db(struct engine *e, const struct hf_config_db *conf, struct hf_err *err)
{
    struct db *db = db_new(e, conf, err);
    if (db == NULL) {
        hf_err_wrap(err, "%s", conf->path);
        return NULL;
    }
    db_attach(db);
    HF_AUTO_FREE char *dir = hf_path_dir(db->path);
    db->dir = engine_get_dir(e, dir);
    e->dbs = hf_realloc(e->dbs, e->n_dbs + 1, sizeof(struct db *));
    e->dbs[e->n_dbs++] = db;
    return db;
}

static enum hf_code add_all(struct engine *e, struct hf_err *err)
{
    for (size_t i = 0; i < e->cfg->n_dbs; i++) {
        if (engine_add_db(e, e->cfg->dbs[i], err) == NULL)
            return err == NULL ? HF_E_INVALID : err->code;
    }
    for (size_t i = 0; i < e->cfg->n_dirs; i++)
        engine_watch_below(e, e->cfg->dirs[i]);
    engine_rehash(e);
    return HF_OK;
}

/* ---- the loop ---- */

static void deliver(struct engine *e)
{
    struct hf_task *t = hf_mailbox_take(e->mailbox);
    while (t != NULL) {
        struct hf_task *next = t->next;
        struct db_job *job = (struct db_job *)t;
        struct hf_err *err = job->err;
        job->is_busy = false;
        job->err = NULL;
        e->busy_jobs--;
        if (job->db->state != DB_CLOSED && job->dest != NULL)
            job->dest_done(job->dest, job->rc, err);
        else if (job->db->state != DB_CLOSED)
            job->done(job->db, job->rc, err);
        hf_free(err);
        t = next;
    }
}

static void on_wake(void *arg)
{
    struct engine *e = arg;
    deliver(e);
    engine_answer_calls(e);
}

static void wake_loop(void *arg)
{
    struct engine *e = arg;
    hf_loop_wake(&e->loop);
}

/* A multiple of the interval, moved by the phase, lies between the last tick and now. */
static bool is_passed(const struct engine *e, int64_t interval_ms, int64_t phase_ms, int64_t now_ms)
{
    return interval_ms > 0 &&
           (now_ms - phase_ms) / interval_ms != (e->last_tick_ms - phase_ms) / interval_ms;
}

static void dest_upkeep_tick(struct engine *e, struct dest *d, int64_t now_ms)
{
    unsigned due = 0;
    for (size_t i = 0; i < e->cfg->n_levels; i++) {
        int64_t interval_ms = e->cfg->level_interval_ms[i];
        if (d->n_inputs[i + 1] > 0 && is_passed(e, interval_ms, d->db->phase_ms, now_ms))
            due |= 1u << (i + 1);
    }
    if (is_passed(e, d->conf->snapshot_interval_ms, 0, now_ms))
        due |= 1u << HF_LEVEL_SNAPSHOT;
    if (due != 0)
        db_upkeep_due(d, due);
}

static void upkeep_tick(struct engine *e, int64_t now_ms)
{
    for (size_t i = 0; i < e->n_dbs; i++) {
        for (size_t k = 0; k < e->dbs[i]->n_dests; k++)
            dest_upkeep_tick(e, &e->dbs[i]->dests[k], now_ms);
    }
    e->last_tick_ms = now_ms;
}

static void net_tick(struct engine *e)
{
    if (e->tick_count % DIR_CHECK_TICKS == 0)
        engine_drop_gone_dirs(e);
    for (struct db_dir *d = e->dirs; d != NULL; d = d->next)
        engine_set_watch(e, d);
    for (size_t i = 0; i < e->n_dbs; i++) {
        struct db *db = e->dbs[i];
        bool is_rest = db->state == DB_COLD || db->state == DB_WAIT;
        bool has_watch = db->dir->watch != NULL;
        if (is_rest && has_watch && (i + e->tick_count) % COLD_CHECK_TICKS != 0)
            continue;
        db_step(db);
    }
}

static void on_tick(void *arg)
{
    struct engine *e = arg;
    if (e->is_ending)
        return;
    e->tick_count++;
    net_tick(e);
    upkeep_tick(e, hf_clock_wall_ms());
    engine_tidy_packs(e);
}

static void poll_hot(struct engine *e)
{
    hf_clock_sleep_us(e->is_awaiting ? AWAIT_POLL_US : HOT_POLL_US);
    e->is_awaiting = false;
    for (size_t i = 0; i < e->n_dbs && e->n_hot > 0; i++) {
        if (!e->dbs[i]->is_hot)
            continue;
        db_poll(e->dbs[i]);
        e->is_awaiting = e->is_awaiting || e->dbs[i]->is_awaiting;
    }
}

static void end_loop(struct engine *e)
{
    for (size_t i = 0; i < e->n_dbs; i++)
        db_close(e->dbs[i]);
    while (e->busy_jobs > 0) { /* jobs under way end; their results no longer matter */
        deliver(e);
        hf_clock_sleep_us(500);
    }
    hf_watch_free(e->watch);
    e->watch = NULL;
    hf_loop_deinit(&e->loop);
}

static void *run_loop(void *arg)
{
    struct engine *e = arg;
    hf_thread_name("hf-capture");
    hf_thread_set_precise();
    for (size_t i = 0; i < e->n_dbs; i++)
        db_start(e->dbs[i]);
    while (!e->is_ending) {
        hf_loop_turn(&e->loop, e->n_hot == 0);
        if (e->n_hot > 0)
            poll_hot(e);
    }
    end_loop(e);
    return NULL;
}

/* ---- life ---- */

static bool has_packs(const struct hf_config *cfg)
{
    for (size_t i = 0; i < cfg->n_dbs; i++) {
        if (cfg->dbs[i]->replicas[0].pack)
            return true;
    }
    for (size_t i = 0; i < cfg->n_dirs; i++) {
        if (cfg->dirs[i]->replicas[0].pack)
            return true;
    }
    return false;
}

/* Some database is driven by a replica that is not a directory. */
static bool has_remote(const struct hf_config *cfg)
{
    for (size_t i = 0; i < cfg->n_dbs; i++) {
        if (cfg->dbs[i]->replicas[0].type != HF_REPLICA_FILE)
            return true;
    }
    for (size_t i = 0; i < cfg->n_dirs; i++) {
        if (cfg->dirs[i]->replicas[0].type != HF_REPLICA_FILE)
            return true;
    }
    return false;
}

static enum hf_code start_threads(struct engine *e, struct hf_err *err)
{
    bool is_remote = has_remote(e->cfg);
    size_t n = hf_cpu_count() < SHIP_THREADS ? SHIP_THREADS : hf_cpu_count();
    if (is_remote || n > REMOTE_SHIP_THREADS)
        n = REMOTE_SHIP_THREADS;
    HF_TRY(hf_pool_new("hf-ship", n, true, &e->ship_pool, err));
    if (has_packs(e->cfg)) /* they wait for a pack */
        HF_TRY(hf_pool_new("hf-pack", HF_LIMIT_PACK_SHIPPERS, true, &e->pack_pool, err));
    n = is_remote ? REMOTE_UPKEEP_THREADS : 1;
    HF_TRY(hf_pool_new("hf-upkeep", n, true, &e->upkeep_pool, err));
    return hf_pool_new("hf-sql", 1, false, &e->sql_pool, err);
}

static void init_loop(struct engine *e)
{
    hf_loop_init(&e->loop, on_wake, e);
    hf_timer_init(&e->tick, &e->loop, on_tick, e);
    hf_timer_start(&e->tick, TICK_MS, TICK_MS);
    pthread_mutex_init(&e->call_lock, NULL);
    e->kept = hf_kept_new(HF_LIMIT_KEPT);
    e->mailbox = hf_mailbox_new(wake_loop, e);
    e->last_tick_ms = hf_clock_wall_ms();
}

static void free_engine(struct hf_engine *he)
{
    struct engine *e = &he->in;
    hf_pool_free(e->ship_pool);
    hf_pool_free(e->pack_pool);
    hf_pool_free(e->upkeep_pool);
    hf_pool_free(e->sql_pool);
    engine_free_groups(e);
    hf_sqlproc_free(e->sqlproc);
    for (size_t i = 0; i < e->n_dbs; i++)
        db_free(e->dbs[i]);
    engine_free_packs(e);
    hf_kept_free(e->kept);
    hf_free(e->dbs);
    hf_free(e->by_name);
    while (e->dirs != NULL) {
        struct db_dir *d = e->dirs;
        e->dirs = d->next;
        hf_free(d->path);
        hf_free(d);
    }
    engine_free_stores(e);
    hf_mailbox_free(e->mailbox);
    pthread_mutex_destroy(&e->call_lock);
    hf_free(he);
}

enum hf_code hf_engine_start(const struct hf_engine_options *opt, struct hf_engine **out,
                             struct hf_err *err)
{
    struct hf_engine *he = hf_calloc(1, sizeof(*he));
    struct engine *e = &he->in;
    e->magic = ENGINE_MAGIC;
    e->cfg = opt->cfg;
    init_loop(e);
    e->sqlproc = hf_sqlproc_new(opt->exe);
    struct hf_err watch_err = HF_ERR_INIT;
    if (hf_watch_new(&e->loop.uv, &e->watch, &watch_err) != HF_OK)
        hf_log(HF_LOG_WARN, "cannot watch files, looking every second instead",
               HF_F_ERR(&watch_err), HF_F_END);
    enum hf_code rc = add_all(e, err);
    if (rc == HF_OK)
        rc = start_threads(e, err);
    if (rc == HF_OK && pthread_create(&e->thread, NULL, run_loop, e) != 0)
        rc = hf_err_set(err, HF_E_INTERNAL, "start the capture thread");
    if (rc != HF_OK) {
        end_loop(e);
        free_engine(he);
        return rc;
    }
    *out = he;
    return HF_OK;
}

void hf_engine_stop(struct hf_engine *he)
{
    if (he == NULL)
        return;
    struct engine *e = &he->in;
    hf_assert_magic(e, ENGINE_MAGIC);
    engine_call_end(e);
    pthread_join(e->thread, NULL);
    free_engine(he);
}
