#include "replica/engine.h"

#include <fnmatch.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/thread.h"
#include "replica/db.h"

enum {
    ENGINE_MAGIC = 0x454e4730,
    TICK_MS = 1000,
    HOT_POLL_US = 500,     /* wal-index headers of busy databases */
    AWAIT_POLL_US = 60,    /* ... when the log of one is about to become free */
    COLD_CHECK_TICKS = 60, /* a cold database is looked at this seldom without an event */
    SHIP_THREADS = 2,
    SYNC_POLL_MS = 2,
};

/* A store and who uses it; databases on one store share it. */
struct store_ref {
    char *url;
    struct hf_store *store;
    struct store_ref *next;
};

struct hf_engine {
    struct engine in;
};

/* A request of the caller's thread, answered on the capture thread. */
struct engine_call {
    void (*fn)(struct engine *e, struct engine_call *call);
    void *arg;
    hf_db_status_fn *status_fn;
    bool is_done;
    bool result; /* the call was begun */
    char text[HF_LIMIT_PATH];
    struct engine_call *next;
};

/* ---- names to databases ---- */

static size_t bucket_of(const struct engine *e, const struct db_dir *dir, const char *name,
                        size_t len)
{
    size_t h = (size_t)dir >> 4;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)name[i]) * 1099511628211u;
    return (h ^ (h >> 31)) % e->n_buckets;
}

static struct db *find_db(const struct engine *e, const struct db_dir *dir, const char *name,
                          size_t len)
{
    struct db *db = e->by_name[bucket_of(e, dir, name, len)];
    while (db != NULL &&
           (db->dir != dir || strncmp(db->name, name, len) != 0 || db->name[len] != '\0'))
        db = db->hash_next;
    return db;
}

static void rehash(struct engine *e)
{
    e->n_buckets = e->n_dbs < 64 ? 127 : e->n_dbs * 2 + 1;
    hf_free(e->by_name);
    e->by_name = hf_calloc(e->n_buckets, sizeof(struct db *));
    for (size_t i = 0; i < e->n_dbs; i++) {
        struct db *db = e->dbs[i];
        size_t b = bucket_of(e, db->dir, db->name, strlen(db->name));
        db->hash_next = e->by_name[b];
        e->by_name[b] = db;
    }
}

/* ---- stores ---- */

static enum hf_code get_store(struct engine *e, const struct hf_config_replica *conf,
                              struct hf_store **out, struct hf_err *err)
{
    /* Two services may have a bucket of the same name. */
    HF_AUTO_FREE char *url =
        hf_asprintf("%s %s", conf->url, conf->endpoint == NULL ? "" : conf->endpoint);
    for (struct store_ref *s = e->stores; s != NULL; s = s->next) {
        if (strcmp(s->url, url) == 0) {
            *out = s->store;
            return HF_OK;
        }
    }
    struct hf_store *store = NULL;
    HF_TRY(hf_store_open_replica(conf, &store, err));
    struct store_ref *s = hf_calloc(1, sizeof(*s));
    s->url = hf_steal(&url);
    s->store = store;
    s->next = e->stores;
    e->stores = s;
    *out = store;
    return HF_OK;
}

/* ---- watching ---- */

static struct db *add_db(struct engine *e, const struct hf_config_db *conf, struct hf_err *err);

/* A new file in a watched directory that a directory entry of the configuration covers. */
static void adopt_new_file(struct db_dir *dir, const char *name)
{
    struct engine *e = dir->e;
    HF_AUTO_FREE char *path = hf_path_join(dir->path, name);
    for (size_t i = 0; i < e->cfg->n_dirs; i++) {
        const struct hf_config_db *entry = e->cfg->dirs[i];
        if (!entry->watch || !hf_config_dir_match(entry, path) || !hf_config_is_database(path))
            continue;
        struct hf_config_db *conf = hf_config_dir_db(entry, path);
        struct hf_err err = HF_ERR_INIT;
        struct db *db = add_db(e, conf, &err);
        if (db == NULL) {
            hf_log(HF_LOG_ERROR, "cannot replicate", HF_F_STR("db", path), HF_F_ERR(&err),
                   HF_F_END);
            hf_config_db_free(conf);
            return;
        }
        db->take_conf = conf;
        rehash(e);
        hf_log(HF_LOG_INFO, "new database", HF_F_STR("db", path), HF_F_END);
        db_start(db);
        return;
    }
}

static size_t strip_suffix(const char *name, bool *is_main)
{
    static const char *const suffixes[] = {"-wal", "-journal", "-shm"};
    size_t len = strlen(name);
    *is_main = true;
    for (size_t i = 0; i < HF_ARRAY_LEN(suffixes); i++) {
        size_t n = strlen(suffixes[i]);
        if (len > n && strcmp(name + len - n, suffixes[i]) == 0) {
            *is_main = false;
            return len - n;
        }
    }
    return len;
}

static void look_at_dir(struct engine *e, const struct db_dir *dir)
{
    for (size_t i = 0; i < e->n_dbs; i++) {
        if (e->dbs[i]->dir == dir)
            db_event(e->dbs[i], true);
    }
}

static void on_watch(void *arg, const char *name, unsigned events)
{
    struct db_dir *dir = arg;
    struct engine *e = dir->e;
    if (e->is_ending)
        return;
    if ((events & HF_WATCH_DIR_GONE) != 0) {
        hf_watch_remove(e->watch, dir->watch);
        dir->watch = NULL; /* the tick sets it anew when the directory is back */
    }
    if (name == NULL) {
        look_at_dir(e, dir);
        return;
    }
    bool is_main = true;
    size_t len = strip_suffix(name, &is_main);
    struct db *db = find_db(e, dir, name, len);
    if (db != NULL)
        db_event(db, is_main);
    else if (is_main && (events & (HF_WATCH_CREATED | HF_WATCH_MODIFIED)) != 0)
        adopt_new_file(dir, name);
}

static void set_watch(struct engine *e, struct db_dir *dir)
{
    struct hf_err err = HF_ERR_INIT;
    if (dir->watch != NULL || e->watch == NULL)
        return;
    enum hf_code rc = hf_watch_add(e->watch, dir->path, on_watch, dir, &dir->watch, &err);
    if (rc != HF_OK)
        dir->watch = NULL;
    if (rc == HF_OK && e->tick_count > 0)
        look_at_dir(e, dir);
    if (rc != HF_OK && rc != HF_E_NOT_FOUND && e->tick_count % 60 == 0)
        hf_log(HF_LOG_WARN, "cannot watch, looking every second instead",
               HF_F_STR("dir", dir->path), HF_F_ERR(&err), HF_F_END);
}

static struct db_dir *get_dir(struct engine *e, const char *path)
{
    for (struct db_dir *d = e->dirs; d != NULL; d = d->next) {
        if (strcmp(d->path, path) == 0)
            return d;
    }
    struct db_dir *d = hf_calloc(1, sizeof(*d));
    d->path = hf_strdup(path);
    d->e = e;
    d->next = e->dirs;
    e->dirs = d;
    set_watch(e, d);
    return d;
}

/* ---- databases ---- */

static enum hf_code open_replica(struct engine *e, struct db *db, struct hf_err *err)
{
    struct hf_store *store = NULL;
    HF_TRY(get_store(e, db->rconf, &store, err));
    return hf_replica_new(store, "", &db->replica, err);
}

/* The caller rehashes. NULL on failure. */
static struct db *add_db(struct engine *e, const struct hf_config_db *conf, struct hf_err *err)
{
    if (conf->n_replicas != 1) {
        hf_err_set(err, HF_E_UNSUPPORTED, "%s: %zu replicas; exactly one is supported so far",
                   conf->path, conf->n_replicas);
        return NULL;
    }
    struct db *db = db_new(e, conf, err);
    if (db == NULL)
        return NULL;
    if (open_replica(e, db, err) != HF_OK) {
        hf_err_wrap(err, "%s", conf->path);
        db_free(db);
        return NULL;
    }
    db_attach(db);
    HF_AUTO_FREE char *dir = hf_path_dir(db->path);
    db->dir = get_dir(e, dir);
    e->dbs = hf_realloc(e->dbs, e->n_dbs + 1, sizeof(struct db *));
    e->dbs[e->n_dbs++] = db;
    return db;
}

static enum hf_code add_all(struct engine *e, struct hf_err *err)
{
    for (size_t i = 0; i < e->cfg->n_dbs; i++) {
        if (add_db(e, e->cfg->dbs[i], err) == NULL)
            return err == NULL ? HF_E_INVALID : err->code;
    }
    for (size_t i = 0; i < e->cfg->n_dirs; i++)
        (void)get_dir(e, e->cfg->dirs[i]->path);
    rehash(e);
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
        if (job->db->state != DB_CLOSED)
            job->done(job->db, job->rc, err);
        hf_free(err);
        t = next;
    }
}

static void answer_calls(struct engine *e)
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

static void on_wake(void *arg)
{
    struct engine *e = arg;
    deliver(e);
    answer_calls(e);
}

static void wake_loop(void *arg)
{
    struct engine *e = arg;
    hf_loop_wake(&e->loop);
}

/* Levels whose boundary (a multiple of their interval) was passed since the last tick. */
static unsigned levels_due(struct engine *e, int64_t now_ms)
{
    unsigned due = 0;
    for (size_t i = 0; i < e->cfg->n_levels; i++) {
        int64_t iv = e->cfg->level_interval_ms[i];
        if (iv > 0 && now_ms / iv != e->last_level_ms[i + 1] / iv)
            due |= 1u << (i + 1);
        e->last_level_ms[i + 1] = now_ms;
    }
    return due;
}

static void upkeep_tick(struct engine *e, int64_t now_ms)
{
    unsigned due = levels_due(e, now_ms);
    for (size_t i = 0; i < e->n_dbs; i++) {
        struct db *db = e->dbs[i];
        unsigned mask = due;
        int64_t iv = db->rconf->snapshot_interval_ms;
        if (iv > 0 && now_ms / iv != e->last_level_ms[HF_LEVEL_SNAPSHOT] / iv)
            mask |= 1u << HF_LEVEL_SNAPSHOT;
        if (mask != 0)
            db_upkeep_due(db, mask);
    }
    e->last_level_ms[HF_LEVEL_SNAPSHOT] = now_ms;
}

static void net_tick(struct engine *e)
{
    for (struct db_dir *d = e->dirs; d != NULL; d = d->next)
        set_watch(e, d);
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

/* ---- calls from outside ---- */

static bool call_engine(struct engine *e, struct engine_call *call, uint64_t timeout_ms)
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

static void sync_call(struct engine *e, struct engine_call *call)
{
    const struct db *behind = NULL;
    bool is_first = !call->result;
    e->is_urgent = true;
    call->result = true;
    for (size_t i = 0; i < e->n_dbs; i++) {
        if (is_first || !db_is_synced(e->dbs[i]))
            db_step(e->dbs[i]);
        if (behind == NULL && !db_is_synced(e->dbs[i]))
            behind = e->dbs[i];
    }
    call->is_done = behind == NULL;
    if (behind != NULL)
        snprintf(call->text, sizeof(call->text), "%s is not in its replica: %s", behind->path,
                 behind->last_error == NULL ? db_state_word(behind->state) : behind->last_error);
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
    bool is_done = call_engine(e, call, timeout_ms);
    enum hf_code rc = is_done ? HF_OK : hf_err_set(err, HF_E_TIMEOUT, "%s", call->text);
    hf_free(call);
    call_engine(e, &over, 1000);
    return rc;
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

static void status_call(struct engine *e, struct engine_call *call)
{
    for (size_t i = 0; i < e->n_dbs; i++) {
        struct hf_db_status s;
        status_of(e->dbs[i], &s);
        call->status_fn(call->arg, &s);
    }
    call->is_done = true;
}

void hf_engine_status(struct hf_engine *he, hf_db_status_fn *fn, void *arg)
{
    struct engine_call *call = hf_calloc(1, sizeof(*call));
    call->fn = status_call;
    call->status_fn = fn;
    call->arg = arg;
    (void)call_engine(&he->in, call, 10000);
    hf_free(call);
}

static void end_call(struct engine *e, struct engine_call *call)
{
    e->is_ending = true;
    call->is_done = true;
}

/* ---- life ---- */

static enum hf_code start_threads(struct engine *e, struct hf_err *err)
{
    size_t n = hf_cpu_count() < SHIP_THREADS ? SHIP_THREADS : hf_cpu_count();
    HF_TRY(hf_pool_new("hf-ship", n > 8 ? 8 : n, true, &e->ship_pool, err));
    HF_TRY(hf_pool_new("hf-upkeep", 1, true, &e->upkeep_pool, err));
    return hf_pool_new("hf-sql", 1, false, &e->sql_pool, err);
}

static void init_loop(struct engine *e)
{
    hf_loop_init(&e->loop, on_wake, e);
    hf_timer_init(&e->tick, &e->loop, on_tick, e);
    hf_timer_start(&e->tick, TICK_MS, TICK_MS);
    pthread_mutex_init(&e->call_lock, NULL);
    e->mailbox = hf_mailbox_new(wake_loop, e);
    for (int i = 0; i < HF_LIMIT_LEVELS; i++)
        e->last_level_ms[i] = hf_clock_wall_ms();
}

static void free_engine(struct hf_engine *he)
{
    struct engine *e = &he->in;
    hf_pool_free(e->ship_pool);
    hf_pool_free(e->upkeep_pool);
    hf_pool_free(e->sql_pool);
    hf_sqlproc_free(e->sqlproc);
    for (size_t i = 0; i < e->n_dbs; i++)
        db_free(e->dbs[i]);
    hf_free(e->dbs);
    hf_free(e->by_name);
    while (e->dirs != NULL) {
        struct db_dir *d = e->dirs;
        e->dirs = d->next;
        hf_free(d->path);
        hf_free(d);
    }
    while (e->stores != NULL) {
        struct store_ref *s = e->stores;
        e->stores = s->next;
        hf_store_close(s->store);
        hf_free(s->url);
        hf_free(s);
    }
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
    struct engine_call call = {.fn = end_call};
    /* No wake behind it: the loop may be closed as soon as the call is done. */
    (void)call_engine(e, &call, UINT32_MAX);
    pthread_join(e->thread, NULL);
    free_engine(he);
}
