/*
 * Requests from other threads: sync, status, end. Each is a struct on the caller's side that the
 * capture thread takes up when it is woken.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "replica/db.h"

enum { SYNC_POLL_MS = 2, SYNC_ANEW_MS = 1000 };

void engine_answer_calls(struct engine *e)
{
    pthread_mutex_lock(&e->call_lock);
    struct engine_call **p = &e->calls;
    while (*p != NULL) {
        struct engine_call *call = *p;
        call->fn(e, call);
        if (!call->is_done) {
            p = &call->next;
            continue;
        }
        *p = call->next;
    }
    pthread_mutex_unlock(&e->call_lock);
}

bool engine_call_run(struct engine *e, struct engine_call *call, uint64_t timeout_ms)
{
    pthread_mutex_lock(&e->call_lock);
    call->next = e->calls;
    e->calls = call;
    hf_loop_wake(&e->loop);
    uint64_t end = hf_clock_mono_ms() + timeout_ms;
    while (!call->is_done && hf_clock_mono_ms() < end) {
        pthread_mutex_unlock(&e->call_lock);
        hf_loop_wake(&e->loop);
        hf_clock_sleep_us(SYNC_POLL_MS * 1000u);
        pthread_mutex_lock(&e->call_lock);
    }
    struct engine_call **p = &e->calls;
    while (*p != NULL && *p != call)
        p = &(*p)->next;
    if (*p == call)
        *p = call->next;
    pthread_mutex_unlock(&e->call_lock);
    return call->is_done;
}

void engine_tell_behind(const struct db *db, char *text, size_t size)
{
    const struct dest *d = db_dest_behind(db);
    char image[128] = "";
    const char *why = db->last_error;
    if (why == NULL)
        why = db_base_tell(db, image, sizeof(image)) ? image : db_state_word(db->state);
    if (d == NULL) {
        snprintf(text, size, "%s is not in its replica: %s", db->path, why);
        return;
    }
    if (d->last_error != NULL)
        why = d->last_error;
    snprintf(text, size, "%s is not in its replica %s: %s", db->path, hf_replica_name(d->replica),
             why);
}

static void cap(uint64_t *at_ms, uint64_t limit_ms)
{
    if (*at_ms > limit_ms)
        *at_ms = limit_ms;
}

/* A sync is asked for: what failed may work again, however long its next try was put off. */
static void hurry(struct db *db)
{
    uint64_t soon = hf_clock_mono_ms() + (uint64_t)db->e->cfg->shutdown_sync_interval_ms;
    cap(&db->retry_at, soon);
    cap(&db->ship_retry_at, soon);
    for (size_t i = 0; i < db->n_dests; i++)
        cap(&db->dests[i].retry_at, soon);
}

/* Calls that follow each other at once are one sync: what failed before it does not count. */
static void begin_sync(struct engine *e)
{
    uint64_t now = hf_clock_mono_ms();
    bool is_anew = now >= e->synced_ms + SYNC_ANEW_MS;
    e->synced_ms = now;
    for (size_t i = 0; is_anew && i < e->n_dbs; i++) {
        e->dbs[i]->n_refused = 0;
        for (size_t k = 0; k < e->dbs[i]->n_dests; k++)
            e->dbs[i]->dests[k].n_refused = 0;
    }
}

static void sync_call(struct engine *e, struct engine_call *call)
{
    const struct db *behind = NULL;
    bool is_first = !call->result;
    bool is_refused = true;
    enum hf_code rc = HF_OK;
    if (is_first)
        begin_sync(e);
    e->is_urgent = true;
    engine_flush_packs(e);
    call->result = true;
    for (size_t i = 0; i < e->n_dbs; i++) {
        if (is_first)
            hurry(e->dbs[i]);
        if (is_first || !db_is_synced(e->dbs[i]))
            db_step(e->dbs[i]);
        if (db_is_synced(e->dbs[i]))
            continue;
        is_refused =
            is_refused && db_is_refused(e->dbs[i], behind == NULL ? &rc : &(enum hf_code){0});
        if (behind == NULL)
            behind = e->dbs[i];
    }
    if (behind != NULL)
        engine_tell_behind(behind, call->text, sizeof(call->text));
    call->rc = behind != NULL && is_refused ? rc : HF_OK;
    call->is_done = behind == NULL || is_refused;
}

static void sync_over(struct engine *e, struct engine_call *call)
{
    e->is_urgent = false;
    call->is_done = true;
}

enum hf_code hf_engine_sync(struct hf_engine *he, uint32_t timeout_ms, struct hf_err *err)
{
    struct engine *e = &he->in;
    struct engine_call *call = hf_calloc(1, sizeof(*call));
    struct engine_call over = {.fn = sync_over};
    call->fn = sync_call;
    bool is_done = engine_call_run(e, call, timeout_ms);
    enum hf_code rc = is_done ? call->rc : HF_E_TIMEOUT;
    if (rc != HF_OK)
        hf_err_set(err, rc, "%s", call->text);
    hf_free(call);
    engine_call_run(e, &over, 1000);
    return rc;
}

/* Snapshots are due at multiples of their interval, if anything is new by then. */
static int64_t next_snapshot(const struct hf_config_replica *conf)
{
    int64_t iv = conf->snapshot_interval_ms;
    return iv <= 0 ? 0 : (hf_clock_wall_ms() / iv + 1) * iv;
}

static void status_of(const struct db *db, struct hf_db_status *s)
{
    int64_t oldest = db->batch.pages != NULL ? db->batch_first_ms : 0;
    if (oldest == 0 && db->cap != NULL && hf_capture_batch(db->cap)->commit != 0)
        oldest = hf_capture_batch(db->cap)->first_wall_ms;
    *s = (struct hf_db_status){
        .path = db->path,
        .replica = hf_replica_name(db->replica),
        .state = db_state_word(db->state),
        .dest = "ok",
        .spool_bytes = db->spool.bytes,
        .type = hf_replica_type_word(db->dests[0].conf->type),
        .is_stopped = db->state == DB_CLOSED,
        .is_image_leaving = db_base_is_leaving(db),
        .db_bytes = (uint64_t)db->pos.commit * db->pos.page_size,
        .last_sync_ms = db->last_sync_ms,
        .next_snapshot_ms = next_snapshot(db->dests[0].conf),
        .errors = db->errors,
        .ship_ms = db->ship_ms,
        .code = db->last_error == NULL ? HF_OK : db->last_code,
        .txid = db->txid,
        .lag_ms = oldest == 0 ? 0 : hf_clock_wall_ms() - oldest,
        .pending_bytes = db->batch_bytes,
        .log_bytes = db->cap == NULL ? 0 : hf_live_wal_size(hf_capture_live(db->cap)),
        .shipped_files = db->shipped_files,
        .shipped_bytes = db->shipped_bytes,
        .rebases = db->rebases,
        .error = db->last_error == NULL ? "" : db->last_error,
    };
}

/* One of several destinations: the database's status, with what is its own. */
static void dest_status(const struct dest *d, struct hf_db_status *s)
{
    int64_t oldest = d->behind_ms;
    uint64_t db_errors = s->errors;
    s->replica = hf_replica_name(d->replica);
    s->dest = dest_state_word(d->state);
    s->txid = d->state == DEST_OK ? d->txid : 0;
    if (oldest != 0)
        s->lag_ms = hf_clock_wall_ms() - oldest;
    s->pending_bytes += d->behind_bytes;
    s->shipped_files = d->shipped_files;
    s->shipped_bytes = d->shipped_bytes;
    s->type = hf_replica_type_word(d->conf->type);
    s->last_sync_ms = d->last_sync_ms;
    s->next_snapshot_ms = next_snapshot(d->conf);
    s->errors = db_errors + d->errors;
    s->ship_ms = d->ship_ms;
    if (d->last_error != NULL) {
        s->error = d->last_error;
        s->code = d->last_code;
    }
}

static void status_call(struct engine *e, struct engine_call *call)
{
    for (size_t i = 0; i < e->n_dbs; i++) {
        const struct db *db = e->dbs[i];
        for (size_t k = 0; !db->is_gone && k < db->n_dests; k++) {
            struct hf_db_status s;
            status_of(db, &s);
            if (db_has_spool(db))
                dest_status(&db->dests[k], &s);
            call->status_fn(call->arg, &s);
        }
    }
    call->is_done = true;
}

void hf_engine_status(struct hf_engine *he, hf_db_status_fn *fn, void *arg)
{
    struct engine_call *call = hf_calloc(1, sizeof(*call));
    call->fn = status_call;
    call->status_fn = fn;
    call->arg = arg;
    (void)engine_call_run(&he->in, call, 10000);
    hf_free(call);
}

static void end_call(struct engine *e, struct engine_call *call)
{
    e->is_ending = true;
    call->is_done = true;
}

void engine_call_end(struct engine *e)
{
    struct engine_call call = {.fn = end_call};
    /* No wake behind it: the loop may be closed as soon as the call is done. */
    (void)engine_call_run(e, &call, UINT32_MAX);
}
