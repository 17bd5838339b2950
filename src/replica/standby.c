#include "replica/standby.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/loop.h"
#include "os/pool.h"
#include "os/watch.h"
#include "replica/follow.h"
#include "replica/follow_state.h"

enum {
    RETRY_MIN_MS = 1000,
    LOG_AGAIN_MS = 60000, /* a lasting failure is logged this often at first, then less */
    LOG_AGAIN_MAX_MS = 3600000,
    STEPS = 64, /* batches one follower applies before others have their turn */
};

struct item {
    struct hf_task task; /* first: the mailbox hands it back */
    struct hf_standby *s;
    const char *name;
    const char *path;
    struct hf_replica *replicas[HF_STANDBY_REPLICAS];
    size_t n_replicas;
    atomic_uint_fast64_t done;
    atomic_uint_fast64_t total;

    /* Written by the running task, read by the loop when it is back. */
    enum hf_code rc;
    struct hf_err err;
    bool is_skipped;
    bool is_more; /* the follower has not caught up */
    struct hf_replica *used;
    struct hf_restore_result result;
    struct hf_restore_plan plan; /* dry run: the numbers only */
    uint64_t good_ms;

    /* The loop's. */
    enum hf_standby_state state;
    struct hf_follow *follow;
    struct hf_follow_status last; /* when it was let go of */
    struct hf_timer timer;
    char *dir; /* to watch; NULL: none, or not asked yet */
    bool is_dir_known;
    struct hf_watch_dir *watch;
    bool is_watch_gone;
    bool is_hinted;
    bool is_busy;
    bool is_over; /* nothing will be done with it any more */
    uint64_t retry_ms;
    enum hf_code logged;
    uint64_t log_after_ms;
    uint64_t log_pause_ms;
};

struct hf_standby {
    struct hf_standby_options o;
    struct hf_loop loop;
    struct hf_timer tick;
    struct hf_watch *watch;
    struct hf_mailbox *mailbox;
    struct hf_pool *restorers;
    struct hf_pool *steppers;
    struct item **items;
    size_t n;
    size_t cap;
    size_t n_open; /* not over */
    size_t n_busy;
    bool is_closing;
    atomic_bool is_stopping;
};

const char *hf_standby_word(enum hf_standby_state s)
{
    static const char *const words[] = {
#define X(name, word, doc) word,
        HF_STANDBY_STATES(X)
#undef X
    };
    hf_assert((size_t)s < HF_ARRAY_LEN(words));
    return words[s];
}

/* ---- on a worker: choosing a replica ---- */

struct candidate {
    struct hf_replica *replica;
    struct hf_restore_plan plan;
    enum hf_code rc;
    struct hf_err err;
};

/* Later is fresher; the first configured of equals. */
static bool is_fresher(const struct hf_restore_plan *a, const struct hf_restore_plan *b)
{
    if (!a->is_v3 && !b->is_v3 && a->txid != b->txid)
        return a->txid > b->txid;
    return a->time_ms > b->time_ms;
}

static struct candidate *take_freshest(struct candidate *c, size_t n)
{
    struct candidate *best = NULL;
    for (size_t i = 0; i < n; i++) {
        if (c[i].rc == HF_OK && (best == NULL || is_fresher(&c[i].plan, &best->plan)))
            best = &c[i];
    }
    if (best != NULL)
        best->rc = HF_E_CANCELED; /* not twice */
    return best;
}

/* The most telling of their errors: "there is nothing" only if all say so. */
static enum hf_code worst_of(const struct candidate *c, size_t n, struct hf_err *err)
{
    const struct candidate *worst = &c[0];
    for (size_t i = 1; i < n; i++) {
        if (worst->rc == HF_E_NOT_FOUND)
            worst = &c[i];
    }
    *err = worst->err;
    return worst->rc;
}

static bool on_progress(void *arg, const struct hf_restore_progress *p)
{
    struct item *it = arg;
    atomic_store(&it->done, p->done);
    atomic_store(&it->total, p->total);
    return !atomic_load(&it->s->is_stopping);
}

static struct hf_restore_options restore_options(struct item *it)
{
    const struct hf_standby_options *o = &it->s->o;
    return (struct hf_restore_options){.output = it->path,
                                       .target = o->target,
                                       .integrity = o->integrity,
                                       .is_force = o->is_force,
                                       .progress = on_progress,
                                       .progress_arg = it};
}

static bool is_worth_another(enum hf_code rc)
{
    return rc == HF_E_CORRUPT || rc == HF_E_IO || rc == HF_E_NOT_FOUND || rc == HF_E_DENIED ||
           rc == HF_E_TIMEOUT || rc == HF_E_UNSUPPORTED;
}

/* ---- on a worker: restoring ---- */

typedef enum hf_code use_fn(struct item *it, struct candidate *c, struct hf_err *err);

/* use() with the freshest replica, then the next while that is worth trying. */
static enum hf_code with_freshest(struct item *it, use_fn *use, struct hf_err *err)
{
    struct candidate *c = hf_calloc(it->n_replicas, sizeof(*c));
    struct hf_restore_options ro = restore_options(it);
    for (size_t i = 0; i < it->n_replicas; i++) {
        c[i].replica = it->replicas[i];
        c[i].rc = hf_restore_plan_make(c[i].replica, &ro, &c[i].plan, &c[i].err);
    }
    struct candidate *k = take_freshest(c, it->n_replicas);
    enum hf_code rc = k == NULL ? worst_of(c, it->n_replicas, err) : HF_OK;
    while (k != NULL) {
        it->used = k->replica;
        rc = use(it, k, err);
        hf_restore_plan_deinit(&k->plan);
        k = is_worth_another(rc) ? take_freshest(c, it->n_replicas) : NULL;
        if (k != NULL) {
            hf_log(HF_LOG_WARN, "restore-next-replica", HF_F_STR("db", it->name),
                   HF_F_STR("replica", hf_replica_name(k->replica)), HF_F_ERR(err), HF_F_END);
            hf_err_reset(err);
        }
    }
    for (size_t i = 0; i < it->n_replicas; i++) {
        if (c[i].rc == HF_OK)
            hf_restore_plan_deinit(&c[i].plan);
    }
    hf_free(c);
    return rc;
}

static enum hf_code use_plan(struct item *it, struct candidate *c, struct hf_err *err)
{
    (void)err;
    it->plan = (struct hf_restore_plan){.is_v3 = c->plan.is_v3,
                                        .txid = c->plan.txid,
                                        .time_ms = c->plan.time_ms,
                                        .bytes = c->plan.bytes};
    return HF_OK;
}

static enum hf_code use_restore(struct item *it, struct candidate *c, struct hf_err *err)
{
    struct hf_restore_options ro = restore_options(it);
    return hf_restore_run(c->replica, &ro, &it->result, err);
}

static enum hf_code make_base(void *arg, const char *path, uint64_t *txid, struct hf_err *err)
{
    struct item *it = arg;
    struct hf_restore_options ro = restore_options(it);
    ro.output = path;
    ro.is_force = false;
    HF_TRY(hf_restore_run(it->used, &ro, &it->result, err));
    *txid = it->result.txid;
    return HF_OK;
}

static enum hf_code open_follow(struct item *it, struct hf_err *err)
{
    struct hf_follow_options fo = {.replica = it->used,
                                   .path = it->path,
                                   .interval_ms = it->s->o.interval_ms,
                                   .is_forced = it->s->o.is_force,
                                   .is_driven = true,
                                   .base = make_base,
                                   .base_arg = it};
    return hf_follow_open(&fo, &it->follow, err);
}

static enum hf_code use_follow(struct item *it, struct candidate *c, struct hf_err *err)
{
    if (c->plan.is_v3)
        return hf_err_set(err, HF_E_UNSUPPORTED, "%s: replicas of Litestream 0.3 can't be followed",
                          hf_replica_name(c->replica));
    return open_follow(it, err);
}

/* The replica an earlier copy follows, NULL if there is no such copy. */
static struct hf_replica *resumed(struct item *it)
{
    struct hf_follow_state s;
    struct hf_replica *found = NULL;
    bool is_there = false;
    bool is_litestream = false;
    hf_follow_state_init(&s, it->path, NULL);
    enum hf_code rc = hf_follow_state_load(&s, &is_there, &is_litestream, NULL);
    bool is_copy = rc == HF_OK && is_there && hf_path_exists(it->path);
    for (size_t i = 0; is_copy && i < it->n_replicas; i++) {
        bool is_it = s.replica != NULL && strcmp(s.replica, hf_replica_name(it->replicas[i])) == 0;
        if (found == NULL && (is_it || is_litestream))
            found = it->replicas[i];
    }
    hf_follow_state_deinit(&s);
    return found;
}

static enum hf_code begin_following(struct item *it, struct hf_err *err)
{
    it->used = resumed(it);
    return it->used != NULL ? open_follow(it, err) : with_freshest(it, use_follow, err);
}

static enum hf_code begin(struct item *it, struct hf_err *err)
{
    const struct hf_standby_options *o = &it->s->o;
    if (o->is_follow)
        return begin_following(it, err);
    if (o->if_db_not_exists && hf_path_exists(it->path)) {
        it->is_skipped = true;
        return HF_OK;
    }
    enum hf_code rc = with_freshest(it, o->is_dry_run ? use_plan : use_restore, err);
    it->is_skipped = rc == HF_E_NOT_FOUND && o->if_replica_exists;
    return it->is_skipped ? HF_OK : rc;
}

/* ---- on a worker: following ---- */

static enum hf_code step(struct item *it, struct hf_err *err)
{
    it->is_more = true;
    for (int i = 0; i < STEPS && it->is_more && !atomic_load(&it->s->is_stopping); i++)
        HF_TRY(hf_follow_step(it->follow, &it->is_more, err));
    it->good_ms = hf_clock_mono_ms();
    return HF_OK;
}

static void run_task(struct hf_task *task)
{
    struct item *it = (struct item *)task;
    hf_err_reset(&it->err);
    it->is_more = false;
    if (it->s->is_closing) {
        hf_follow_status(it->follow, &it->last);
        hf_follow_close(it->follow);
        it->follow = NULL;
    } else {
        it->rc = it->follow == NULL ? begin(it, &it->err) : step(it, &it->err);
    }
    hf_mailbox_post(it->s->mailbox, task);
}

/* ---- the loop ---- */

static void submit(struct item *it)
{
    struct hf_standby *s = it->s;
    if (it->is_busy || it->is_over || atomic_load(&s->is_stopping))
        return;
    bool is_first = it->follow == NULL;
    if (!is_first && it->is_hinted)
        hf_follow_hint(it->follow);
    it->is_hinted = false;
    it->is_busy = true;
    s->n_busy++;
    if (is_first)
        it->state = it->state == HF_STANDBY_QUEUED ? HF_STANDBY_RESTORING : it->state;
    hf_timer_stop(&it->timer);
    hf_pool_submit(is_first ? s->restorers : s->steppers, &it->task);
}

static void on_timer(void *arg)
{
    submit(arg);
}

static void end_item(struct item *it, enum hf_standby_state state)
{
    hf_assert(!it->is_over);
    it->state = state;
    it->is_over = true;
    it->s->n_open--;
}

static void log_failure(struct item *it)
{
    uint64_t now = hf_clock_mono_ms();
    if (it->rc != it->logged)
        it->log_pause_ms = LOG_AGAIN_MS;
    else if (now < it->log_after_ms)
        return;
    bool is_waiting = it->follow == NULL && it->rc == HF_E_NOT_FOUND;
    if (is_waiting)
        hf_log(HF_LOG_INFO, "follow-waits", HF_F_STR("db", it->name), HF_F_STR("why", it->err.text),
               HF_F_END);
    else
        hf_log(HF_LOG_ERROR, "follow-stuck", HF_F_STR("db", it->name), HF_F_ERR(&it->err),
               HF_F_END);
    it->logged = it->rc;
    it->log_after_ms = now + it->log_pause_ms;
    it->log_pause_ms =
        it->log_pause_ms * 2 > LOG_AGAIN_MAX_MS ? LOG_AGAIN_MAX_MS : it->log_pause_ms * 2;
}

static void log_good(struct item *it)
{
    struct hf_follow_status st;
    hf_follow_status(it->follow, &st);
    if (it->state != HF_STANDBY_FOLLOWING)
        hf_log(HF_LOG_INFO, "following", HF_F_STR("db", it->name), HF_F_STR("copy", it->path),
               HF_F_STR("replica", hf_replica_name(it->used)), HF_F_TXID("txid", st.txid),
               HF_F_END);
    else if (it->logged != HF_OK)
        hf_log(HF_LOG_INFO, "follow-goes-on", HF_F_STR("db", it->name), HF_F_TXID("txid", st.txid),
               HF_F_END);
    it->logged = HF_OK;
}

static void fail_or_retry(struct item *it)
{
    struct hf_standby *s = it->s;
    if (it->rc == HF_E_CANCELED && atomic_load(&s->is_stopping))
        return;
    if (!s->o.is_follow || hf_follow_is_fatal(it->rc)) {
        hf_log(HF_LOG_ERROR, "restore-failed", HF_F_STR("db", it->name), HF_F_ERR(&it->err),
               HF_F_END);
        end_item(it, HF_STANDBY_FAILED);
        return;
    }
    log_failure(it);
    if (it->follow == NULL)
        it->state = HF_STANDBY_WAITING;
    uint64_t least = s->o.interval_ms < RETRY_MIN_MS ? s->o.interval_ms : RETRY_MIN_MS;
    uint64_t most =
        s->o.interval_ms > HF_STANDBY_RETRY_MAX_MS ? s->o.interval_ms : HF_STANDBY_RETRY_MAX_MS;
    it->retry_ms = it->retry_ms == 0 ? least : it->retry_ms * 2;
    if (it->retry_ms > most)
        it->retry_ms = most;
    hf_timer_start(&it->timer, it->retry_ms, 0);
}

static void go_on(struct item *it)
{
    log_good(it);
    it->state = HF_STANDBY_FOLLOWING;
    it->retry_ms = 0;
    if (it->good_ms == 0)
        it->good_ms = hf_clock_mono_ms();
    bool is_now = it->is_more || it->is_hinted;
    hf_timer_start(&it->timer, is_now ? 0 : it->s->o.interval_ms, 0);
}

static void on_watch(void *arg, const char *name, unsigned events)
{
    struct item *it = arg;
    (void)name;
    if (events == HF_WATCH_MODIFIED) /* a file being written has not got its name yet */
        return;
    it->is_watch_gone = it->is_watch_gone || (events & HF_WATCH_DIR_GONE) != 0;
    it->is_hinted = true;
    submit(it);
}

static void set_watch(struct item *it)
{
    struct hf_standby *s = it->s;
    if (it->is_watch_gone) {
        hf_watch_remove(s->watch, it->watch);
        it->watch = NULL;
        it->is_watch_gone = false;
    }
    if (it->watch != NULL || it->state != HF_STANDBY_FOLLOWING || s->watch == NULL)
        return;
    if (!it->is_dir_known)
        it->dir = hf_follow_watch_dir(it->used);
    it->is_dir_known = true;
    if (it->dir == NULL)
        return;
    if (hf_watch_add(s->watch, it->dir, on_watch, it, &it->watch, NULL) != HF_OK) {
        it->watch = NULL; /* time alone wakes it */
        return;
    }
    it->is_hinted = true; /* what came before the watch was not seen */
    submit(it);
}

static void settle(struct item *it)
{
    struct hf_standby *s = it->s;
    it->is_busy = false;
    s->n_busy--;
    if (s->is_closing)
        return;
    if (it->rc != HF_OK) {
        fail_or_retry(it);
    } else if (it->is_skipped) {
        end_item(it, HF_STANDBY_SKIPPED);
    } else if (it->follow == NULL) {
        end_item(it, s->o.is_dry_run ? HF_STANDBY_PLANNED : HF_STANDBY_DONE);
    } else {
        bool is_first = it->state != HF_STANDBY_FOLLOWING;
        go_on(it);
        if (is_first)
            set_watch(it);
    }
}

static void on_wake(void *arg)
{
    struct hf_standby *s = arg;
    struct hf_task *t = hf_mailbox_take(s->mailbox);
    while (t != NULL) {
        struct hf_task *next = t->next;
        settle((struct item *)t);
        t = next;
    }
}

static void wake_loop(void *arg)
{
    hf_loop_wake(arg);
}

static void on_tick(void *arg)
{
    struct hf_standby *s = arg;
    for (size_t i = 0; i < s->n; i++)
        set_watch(s->items[i]);
    if (s->o.tick != NULL && !s->o.tick(s->o.tick_arg))
        atomic_store(&s->is_stopping, true);
}

/* ---- life ---- */

enum hf_code hf_standby_new(const struct hf_standby_options *o, struct hf_standby **out,
                            struct hf_err *err)
{
    hf_assert(o->parallelism >= 1 && o->parallelism <= 64);
    hf_assert(!o->is_follow || o->interval_ms > 0);
    struct hf_standby *s = hf_calloc(1, sizeof(*s));
    s->o = *o;
    hf_loop_init(&s->loop, on_wake, s);
    hf_timer_init(&s->tick, &s->loop, on_tick, s);
    s->mailbox = hf_mailbox_new(wake_loop, &s->loop);
    if (o->is_follow && hf_watch_new(&s->loop.uv, &s->watch, NULL) != HF_OK)
        s->watch = NULL; /* looked at every interval instead */
    enum hf_code rc = hf_pool_new("hf-restore", (size_t)o->parallelism, false, &s->restorers, err);
    if (rc == HF_OK && o->is_follow)
        rc = hf_pool_new("hf-follow", HF_STANDBY_STEPPERS, false, &s->steppers, err);
    if (rc != HF_OK) {
        hf_standby_free(s);
        return rc;
    }
    *out = s;
    return HF_OK;
}

void hf_standby_add(struct hf_standby *s, const struct hf_standby_item *item)
{
    hf_assert(item->n_replicas > 0 && !s->is_closing);
    struct item *it = hf_calloc(1, sizeof(*it));
    it->task.run = run_task;
    it->s = s;
    it->name = item->name;
    it->path = item->path;
    it->n_replicas =
        item->n_replicas < HF_STANDBY_REPLICAS ? item->n_replicas : HF_STANDBY_REPLICAS;
    memcpy(it->replicas, item->replicas, it->n_replicas * sizeof(it->replicas[0]));
    hf_timer_init(&it->timer, &s->loop, on_timer, it);
    if (s->n == s->cap) {
        s->cap = s->cap == 0 ? 16 : s->cap * 2;
        s->items = hf_realloc(s->items, s->cap, sizeof(struct item *));
    }
    s->items[s->n++] = it;
    s->n_open++;
    hf_timer_start(&it->timer, 0, 0);
}

/* Copying back and letting go, all of them at once. */
static void close_all(struct hf_standby *s)
{
    while (s->n_busy > 0)
        hf_loop_turn(&s->loop, true);
    s->is_closing = true;
    for (size_t i = 0; i < s->n; i++) {
        struct item *it = s->items[i];
        hf_timer_stop(&it->timer);
        if (it->follow == NULL)
            continue;
        it->is_busy = true;
        s->n_busy++;
        hf_pool_submit(s->steppers, &it->task);
    }
    while (s->n_busy > 0)
        hf_loop_turn(&s->loop, true);
}

void hf_standby_run(struct hf_standby *s)
{
    hf_timer_start(&s->tick, HF_STANDBY_TICK_MS, HF_STANDBY_TICK_MS);
    while (!atomic_load(&s->is_stopping) && (s->n_open > 0 || s->o.is_endless))
        hf_loop_turn(&s->loop, true);
    atomic_store(&s->is_stopping, true);
    hf_timer_stop(&s->tick);
    close_all(s);
}

void hf_standby_stop(struct hf_standby *s)
{
    atomic_store(&s->is_stopping, true);
    hf_loop_wake(&s->loop);
}

size_t hf_standby_count(const struct hf_standby *s)
{
    return s->n;
}

static void row_of_follow(const struct item *it, struct hf_standby_row *r)
{
    struct hf_follow_status st = it->last;
    if (it->follow != NULL)
        hf_follow_status(it->follow, &st);
    r->txid = st.txid;
    r->files = st.files;
    r->wal_bytes = st.wal_bytes;
    r->lag_ms = st.lag_ms;
    if (st.commit_time_ms != 0)
        r->time_ms = st.commit_time_ms;
}

void hf_standby_row(const struct hf_standby *s, size_t i, struct hf_standby_row *r)
{
    hf_assert(i < s->n);
    const struct item *it = s->items[i];
    bool is_planned = it->state == HF_STANDBY_PLANNED;
    bool is_settled = !it->is_busy; /* otherwise a worker may be writing what it tells */
    *r = (struct hf_standby_row){.name = it->name,
                                 .path = it->path,
                                 .state = it->state,
                                 .checked_ms = -1,
                                 .done = atomic_load(&it->done),
                                 .total = atomic_load(&it->total),
                                 .error = ""};
    if (it->state != HF_STANDBY_FOLLOWING && !is_settled)
        return;
    if (it->used != NULL)
        r->replica = hf_replica_name(it->used);
    r->txid = is_planned ? it->plan.txid : it->result.txid;
    r->time_ms = is_planned ? it->plan.time_ms : it->result.time_ms;
    r->bytes = is_planned ? it->plan.bytes : it->result.bytes;
    r->seconds = it->result.seconds;
    if (it->state == HF_STANDBY_FOLLOWING)
        row_of_follow(it, r);
    if (!is_settled)
        return;
    if (it->good_ms != 0)
        r->checked_ms = (int64_t)(hf_clock_mono_ms() - it->good_ms);
    r->code = it->rc;
    r->error = it->rc == HF_OK ? "" : it->err.text;
}

void hf_standby_free(struct hf_standby *s)
{
    if (s == NULL)
        return;
    hf_pool_free(s->restorers);
    hf_pool_free(s->steppers);
    if (s->watch != NULL)
        hf_watch_free(s->watch);
    hf_loop_deinit(&s->loop);
    for (size_t i = 0; i < s->n; i++) {
        hf_assert(s->items[i]->follow == NULL);
        hf_free(s->items[i]->dir);
        hf_free(s->items[i]);
    }
    hf_free(s->items);
    hf_mailbox_free(s->mailbox);
    hf_free(s);
}
