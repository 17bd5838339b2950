/*
 * Requests about one database: sync, start, stop, register. Each is a struct on the caller's side
 * that the capture thread takes up when it is woken (engine_calls.c).
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include "replica/db.h"

enum { SETTLE_MS = 60000 }; /* jobs under way end within the limits of their stores */

struct request {
    struct engine_call call; /* first */
    const char *path;        /* absolute */
    bool is_forced;          /* stop: synced or not */
    bool is_forgotten;
    struct hf_config *cfg; /* register: taken from here */
    enum hf_code rc;
    struct hf_err err;
    struct hf_engine_result res;
};

static struct db *find_path(const struct engine *e, const char *path)
{
    for (size_t i = 0; i < e->n_dbs; i++) {
        if (!e->dbs[i]->is_gone && strcmp(e->dbs[i]->path, path) == 0)
            return e->dbs[i];
    }
    return NULL;
}

static void end_with(struct request *r, enum hf_code rc)
{
    r->rc = rc;
    r->call.is_done = true;
}

/* The database of a request; NULL after the request was ended. */
static struct db *wanted(struct engine *e, struct request *r)
{
    struct db *db = find_path(e, r->path);
    if (db == NULL)
        end_with(r, hf_err_set(&r->err, HF_E_NOT_FOUND, "database not found: %s", r->path));
    else
        r->res.txid = db->txid;
    return db;
}

static void set_behind(const struct db *db, struct hf_err *err)
{
    char text[sizeof(err->text)];
    engine_tell_behind(db, text, sizeof(text));
    hf_err_set(err, HF_E_TIMEOUT, "%s", text);
}

/* True when all of it is in the replica; a look first, if this is the first time. */
static bool try_sync(struct db *db, struct request *r)
{
    bool is_first = !r->call.result;
    db->is_urgent = true;
    engine_flush_packs(db->e);
    r->call.result = true;
    if (is_first || !db_is_synced(db))
        db_step(db);
    bool is_synced = db_is_synced(db);
    if (is_synced)
        db->is_urgent = false;
    else
        set_behind(db, &r->err);
    r->res.is_changed = r->res.is_changed || !is_synced;
    r->res.txid = db->txid;
    return is_synced;
}

static enum hf_code run(struct hf_engine *he, struct request *r, uint64_t timeout_ms,
                        struct hf_err *err)
{
    bool is_done = engine_call_run(&he->in, &r->call, timeout_ms);
    if (!is_done)
        r->rc = r->err.code != HF_OK ? r->err.code
                                     : hf_err_set(&r->err, HF_E_TIMEOUT, "%s: no answer", r->path);
    if (r->rc != HF_OK && err != NULL)
        *err = r->err;
    return r->rc;
}

/* ---- sync ---- */

static void sync_call(struct engine *e, struct engine_call *call)
{
    struct request *r = (struct request *)call;
    struct db *db = wanted(e, r);
    if (db == NULL)
        return;
    if (db->state == DB_CLOSED)
        end_with(r, hf_err_set(&r->err, HF_E_CONFLICT, "database not open: %s", db->path));
    else if (try_sync(db, r))
        end_with(r, HF_OK);
}

/* Begins, and leaves the flag to the upload that follows. */
static void begin_sync_call(struct engine *e, struct engine_call *call)
{
    sync_call(e, call);
    if (!call->is_done)
        end_with((struct request *)call, HF_OK);
}

static void calm_call(struct engine *e, struct engine_call *call)
{
    struct db *db = wanted(e, (struct request *)call);
    if (db != NULL)
        db->is_urgent = false;
    call->is_done = true;
}

enum hf_code hf_engine_sync_db(struct hf_engine *he, const char *path, uint32_t timeout_ms,
                               struct hf_engine_result *res, struct hf_err *err)
{
    HF_AUTO_FREE char *absolute = NULL;
    HF_TRY(hf_path_absolute(path, &absolute, err));
    struct request *r = hf_calloc(1, sizeof(*r));
    r->path = absolute;
    r->call.fn = timeout_ms == 0 ? begin_sync_call : sync_call;
    enum hf_code rc = run(he, r, timeout_ms == 0 ? SETTLE_MS : timeout_ms, err);
    *res = r->res;
    if (rc != HF_OK) {
        *r = (struct request){.path = absolute, .call = {.fn = calm_call}};
        (void)engine_call_run(&he->in, &r->call, SETTLE_MS);
    }
    hf_free(r);
    return rc;
}

/* ---- start ---- */

static void start_call(struct engine *e, struct engine_call *call)
{
    struct request *r = (struct request *)call;
    struct db *db = wanted(e, r);
    if (db == NULL)
        return;
    if (db->state == DB_CLOSED) {
        hf_log(HF_LOG_INFO, "started", HF_F_STR("db", db->path), HF_F_END);
        db->pos = (struct hf_position){0}; /* what it is proves itself anew */
        db_start(db);
        r->res.is_changed = true;
    }
    end_with(r, HF_OK);
}

enum hf_code hf_engine_start_db(struct hf_engine *he, const char *path,
                                struct hf_engine_result *res, struct hf_err *err)
{
    HF_AUTO_FREE char *absolute = NULL;
    HF_TRY(hf_path_absolute(path, &absolute, err));
    struct request *r = hf_calloc(1, sizeof(*r));
    r->path = absolute;
    r->call.fn = start_call;
    enum hf_code rc = run(he, r, SETTLE_MS, err);
    *res = r->res;
    hf_free(r);
    return rc;
}

/* ---- stop ---- */

static bool is_busy(const struct db *db)
{
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        if (db_lane_busy(db, (enum db_lane)lane))
            return true;
    }
    for (size_t i = 0; i < db->n_dests; i++) {
        if (db->dests[i].ship.is_busy || db->dests[i].upkeep.is_busy)
            return true;
    }
    return false;
}

static void stop_call(struct engine *e, struct engine_call *call)
{
    struct request *r = (struct request *)call;
    struct db *db = wanted(e, r);
    if (db == NULL)
        return;
    bool was_open = db->state != DB_CLOSED;
    if (was_open && !try_sync(db, r) && !r->is_forced)
        return;
    if (is_busy(db))
        return;
    if (was_open) {
        hf_log(HF_LOG_INFO, r->is_forgotten ? "unregistered" : "stopped", HF_F_STR("db", db->path),
               HF_F_TXID("txid", db->txid), HF_F_END);
        db_close(db);
    }
    db->is_urgent = false;
    db->is_gone = r->is_forgotten;
    r->res.is_changed = was_open || r->is_forgotten;
    end_with(r, HF_OK);
}

enum hf_code hf_engine_stop_db(struct hf_engine *he, const char *path, bool is_forgotten,
                               uint32_t timeout_ms, struct hf_engine_result *res,
                               struct hf_err *err)
{
    HF_AUTO_FREE char *absolute = NULL;
    HF_TRY(hf_path_absolute(path, &absolute, err));
    struct request *r = hf_calloc(1, sizeof(*r));
    r->path = absolute;
    r->is_forgotten = is_forgotten;
    r->call.fn = stop_call;
    enum hf_code rc = run(he, r, timeout_ms, err);
    if (rc == HF_E_TIMEOUT) {
        r->is_forced = true;
        struct hf_err forced = HF_ERR_INIT;
        if (run(he, r, SETTLE_MS, &forced) != HF_OK)
            rc = forced.code;
    }
    *res = r->res;
    hf_free(r);
    return rc;
}

/* ---- register ---- */

static void register_call(struct engine *e, struct engine_call *call)
{
    struct request *r = (struct request *)call;
    if (find_path(e, r->path) != NULL) {
        end_with(r, HF_OK);
        return;
    }
    struct db *db = engine_add_db(e, r->cfg->dbs[0], &r->err);
    if (db == NULL) {
        end_with(r, r->err.code);
        return;
    }
    db->take_cfg = r->cfg;
    r->cfg = NULL;
    engine_rehash(e);
    hf_log(HF_LOG_INFO, "registered", HF_F_STR("db", db->path),
           HF_F_STR("replica", hf_replica_name(db->replica)), HF_F_END);
    db_start(db);
    r->res.is_changed = true;
    end_with(r, HF_OK);
}

enum hf_code hf_engine_register(struct hf_engine *he, struct hf_config *take_cfg,
                                struct hf_engine_result *res, struct hf_err *err)
{
    hf_assert(take_cfg->n_dbs == 1 && take_cfg->dbs[0]->path != NULL);
    HF_AUTO_FREE char *absolute = NULL;
    enum hf_code rc = hf_path_absolute(take_cfg->dbs[0]->path, &absolute, err);
    if (rc == HF_OK) {
        struct request *r = hf_calloc(1, sizeof(*r));
        r->path = absolute;
        r->cfg = take_cfg;
        r->call.fn = register_call;
        rc = run(he, r, SETTLE_MS, err);
        *res = r->res;
        take_cfg = r->cfg;
        hf_free(r);
    }
    hf_config_free(take_cfg);
    return rc;
}
