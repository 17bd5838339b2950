#include "gateway/journal.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/loop.h"
#include "os/thread.h"
#include "sqlite/conn.h"

enum {
    LINGER_MS = 100,
    RETRY_MS = 1000,
    BUSY_MS = 2000,        /* somebody reads the file */
    KEEP_EVERY_MS = 60000, /* between two looks for old rows */
    KEEP_ROWS = 5000,      /* that go in one of them */
    LOG_EVERY_MS = 10000   /* about rows that were dropped */
};

static const char schema[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
    "CREATE TABLE IF NOT EXISTS usage(id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL,"
    " day INTEGER NOT NULL, request TEXT NOT NULL, number INTEGER NOT NULL, key TEXT NOT NULL,"
    " route TEXT NOT NULL, host TEXT NOT NULL, model TEXT NOT NULL, tokens_in INTEGER NOT NULL,"
    " tokens_out INTEGER NOT NULL, tokens_cached INTEGER NOT NULL, micro INTEGER NOT NULL,"
    " took_ms INTEGER NOT NULL, outcome TEXT NOT NULL, is_last INTEGER NOT NULL,"
    " is_estimated INTEGER NOT NULL);"
    "CREATE INDEX IF NOT EXISTS usage_at ON usage(at_ms);"
    "CREATE TABLE IF NOT EXISTS spent(key TEXT NOT NULL, day INTEGER NOT NULL,"
    " micro INTEGER NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY(key, day)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS hold(request TEXT NOT NULL, number INTEGER NOT NULL,"
    " at_ms INTEGER NOT NULL, day INTEGER NOT NULL, key TEXT NOT NULL, route TEXT NOT NULL,"
    " host TEXT NOT NULL, model TEXT NOT NULL, tokens_in INTEGER NOT NULL,"
    " tokens_out INTEGER NOT NULL, micro INTEGER NOT NULL,"
    " PRIMARY KEY(request, number)) WITHOUT ROWID;";

static const char charge_left[] =
    "BEGIN IMMEDIATE;"
    "INSERT INTO usage(at_ms, day, request, number, key, route, host, model, tokens_in, tokens_out,"
    " tokens_cached, micro, took_ms, outcome, is_last, is_estimated)"
    " SELECT at_ms, day, request, number, key, route, host, model, tokens_in, tokens_out, 0, micro,"
    " 0, 'unsettled', 1, 1 FROM hold;"
    "INSERT INTO spent(key, day, micro, tokens)"
    " SELECT key, day, sum(micro), sum(tokens_in + tokens_out) FROM hold WHERE true GROUP BY 1, 2"
    " ON CONFLICT(key, day) DO UPDATE SET micro = micro + excluded.micro,"
    " tokens = tokens + excluded.tokens;"
    "DELETE FROM hold;"
    "COMMIT;";

/* The statements of the writer. */
enum { ST_HOLD, ST_DROP, ST_USE, ST_SPENT, ST_KEEP, ST_N };

static const char hold_sql[] =
    "INSERT INTO hold VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?12)";
static const char drop_sql[] = "DELETE FROM hold WHERE request = ?1 AND number = ?2";
static const char use_sql[] =
    "INSERT INTO usage(request, number, at_ms, day, key, route, host, model, tokens_in,"
    " tokens_out, tokens_cached, micro, took_ms, outcome, is_last, is_estimated)"
    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
static const char spent_sql[] =
    "INSERT INTO spent(key, day, micro, tokens) VALUES(?1, ?2, ?3, ?4)"
    " ON CONFLICT(key, day) DO UPDATE SET micro = micro + excluded.micro,"
    " tokens = tokens + excluded.tokens";
static const char keep_sql[] =
    "DELETE FROM usage WHERE id IN (SELECT id FROM usage WHERE at_ms < ?1 OR"
    " id <= (SELECT max(id) FROM usage) - ?2 ORDER BY id LIMIT ?3)";

static const char *const statements[ST_N] = {[ST_HOLD] = hold_sql,
                                             [ST_DROP] = drop_sql,
                                             [ST_USE] = use_sql,
                                             [ST_SPENT] = spent_sql,
                                             [ST_KEEP] = keep_sql};

struct hf_journal {
    char *path;
    int64_t keep_ms;
    pthread_t thread;
    struct hf_loop loop;
    pthread_mutex_t lock;
    /* under the lock */
    struct hf_journal_record *first;
    struct hf_journal_record *last;
    size_t n; /* queued, and taken but not written */
    bool has_hold;
    bool is_stopping;
    bool is_failing;
    uint64_t since_ms; /* of the first in the queue */
    uint64_t written;
    uint64_t dropped;
    uint64_t drop_logged_ms;
    uint64_t charged;
    /* the writer's */
    struct hf_conn *conn;
    struct hf_stmt *st[ST_N];
    struct hf_journal_record *todo; /* taken, not written yet */
    struct hf_timer timer;
    uint64_t kept_ms;
    uint64_t failed_ms;
    bool is_over;
};

/* ---- the file ---- */

static void close_file(struct hf_journal *j)
{
    for (int i = 0; i < ST_N; i++) {
        hf_stmt_free(j->st[i]);
        j->st[i] = NULL;
    }
    hf_conn_close(j->conn);
    j->conn = NULL;
}

static enum hf_code open_file(struct hf_journal *j, struct hf_err *err)
{
    struct hf_file f = HF_FILE_CLOSED;
    HF_TRY(hf_file_open(j->path, HF_FILE_CREATE, 0600, &f, err)); /* SQLite would make it 0644 */
    hf_file_close(&f);
    HF_TRY(hf_conn_open(j->path, HF_CONN_WRITE, BUSY_MS, &j->conn, err));
    enum hf_code rc = hf_conn_run(j->conn, schema, err);
    for (int i = 0; rc == HF_OK && i < ST_N; i++)
        rc = hf_stmt_new(j->conn, statements[i], &j->st[i], err);
    if (rc != HF_OK)
        close_file(j);
    return rc;
}

static enum hf_code charge(struct hf_journal *j, struct hf_err *err)
{
    int64_t n = 0;
    struct hf_conn_query q = {.sql = "SELECT count(*) FROM hold", .out = &n, .n_out = 1};
    HF_TRY(hf_conn_query(j->conn, &q, err));
    if (n == 0)
        return HF_OK;
    HF_TRY(hf_conn_run(j->conn, charge_left, err));
    j->charged = (uint64_t)n;
    hf_log(HF_LOG_WARN, "requests that never ended are charged in full", HF_F_I64("requests", n),
           HF_F_STR("journal", j->path), HF_F_END);
    return HF_OK;
}

static enum hf_code tell_sums(struct hf_journal *j, hf_journal_sum_fn *fn, void *arg,
                              struct hf_err *err)
{
    struct hf_stmt *st = NULL;
    bool is_row = false;
    HF_TRY(hf_stmt_new(j->conn, "SELECT key, day, micro, tokens FROM spent", &st, err));
    enum hf_code rc = hf_stmt_next(st, &is_row, err);
    while (rc == HF_OK && is_row) {
        struct hf_journal_sum sum = {.key = hf_stmt_text(st, 0),
                                     .day = hf_stmt_i64(st, 1),
                                     .micro = hf_stmt_i64(st, 2),
                                     .tokens = hf_stmt_i64(st, 3)};
        fn(arg, &sum);
        rc = hf_stmt_next(st, &is_row, err);
    }
    hf_stmt_free(st);
    return rc;
}

/* ---- writing ---- */

static enum hf_code drop_hold(struct hf_journal *j, const struct hf_journal_record *r,
                              struct hf_err *err)
{
    struct hf_stmt *st = j->st[ST_DROP];
    hf_stmt_bind_text(st, 1, r->request);
    hf_stmt_bind_i64(st, 2, r->number);
    return hf_stmt_run(st, err);
}

static enum hf_code add_spent(struct hf_journal *j, const struct hf_journal_record *r,
                              struct hf_err *err)
{
    struct hf_stmt *st = j->st[ST_SPENT];
    if (r->micro == 0 && r->tokens_in + r->tokens_out == 0)
        return HF_OK;
    hf_stmt_bind_text(st, 1, r->key);
    hf_stmt_bind_i64(st, 2, r->day);
    hf_stmt_bind_i64(st, 3, r->micro);
    hf_stmt_bind_i64(st, 4, r->tokens_in + r->tokens_out);
    return hf_stmt_run(st, err);
}

static void bind_common(struct hf_stmt *st, const struct hf_journal_record *r)
{
    hf_stmt_bind_text(st, 1, r->request);
    hf_stmt_bind_i64(st, 2, r->number);
    hf_stmt_bind_i64(st, 3, r->at_ms);
    hf_stmt_bind_i64(st, 4, r->day);
    hf_stmt_bind_text(st, 5, r->key);
    hf_stmt_bind_text(st, 6, r->route);
    hf_stmt_bind_text(st, 7, r->host);
    hf_stmt_bind_text(st, 8, r->model);
    hf_stmt_bind_i64(st, 9, r->tokens_in);
    hf_stmt_bind_i64(st, 10, r->tokens_out);
    hf_stmt_bind_i64(st, 12, r->micro);
}

static enum hf_code write_use(struct hf_journal *j, const struct hf_journal_record *r,
                              struct hf_err *err)
{
    struct hf_stmt *st = j->st[ST_USE];
    bind_common(st, r);
    hf_stmt_bind_i64(st, 11, r->tokens_cached);
    hf_stmt_bind_i64(st, 13, r->took_ms);
    hf_stmt_bind_text(st, 14, r->outcome);
    hf_stmt_bind_i64(st, 15, r->is_last);
    hf_stmt_bind_i64(st, 16, r->is_estimated);
    HF_TRY(hf_stmt_run(st, err));
    HF_TRY(add_spent(j, r, err));
    return drop_hold(j, r, err);
}

static enum hf_code write_one(struct hf_journal *j, const struct hf_journal_record *r,
                              struct hf_err *err)
{
    switch (r->kind) {
    case HF_JOURNAL_HOLD:
        bind_common(j->st[ST_HOLD], r);
        return hf_stmt_run(j->st[ST_HOLD], err);
    case HF_JOURNAL_DROP:
        return drop_hold(j, r, err);
    default:
        return write_use(j, r, err);
    }
}

static enum hf_code forget_old(struct hf_journal *j, struct hf_err *err)
{
    uint64_t now_ms = hf_clock_mono_ms();
    struct hf_stmt *st = j->st[ST_KEEP];
    if (j->kept_ms != 0 && now_ms - j->kept_ms < KEEP_EVERY_MS)
        return HF_OK;
    hf_stmt_bind_i64(st, 1, hf_clock_wall_ms() - j->keep_ms);
    hf_stmt_bind_i64(st, 2, HF_LIMIT_JOURNAL_ROWS);
    hf_stmt_bind_i64(st, 3, KEEP_ROWS);
    HF_TRY(hf_stmt_run(st, err));
    j->kept_ms = now_ms;
    return HF_OK;
}

/* All of todo in one transaction. */
static enum hf_code commit(struct hf_journal *j, struct hf_err *err)
{
    if (j->conn == NULL)
        HF_TRY(open_file(j, err));
    enum hf_code rc = hf_conn_run(j->conn, "BEGIN IMMEDIATE", err);
    for (struct hf_journal_record *r = j->todo; rc == HF_OK && r != NULL; r = r->next)
        rc = write_one(j, r, err);
    if (rc == HF_OK)
        rc = forget_old(j, err);
    if (rc == HF_OK)
        rc = hf_conn_run(j->conn, "COMMIT", err);
    if (rc != HF_OK)
        close_file(j); /* rolls back; the next try begins with a fresh connection */
    return rc;
}

/* ---- the thread ---- */

/* What the disk did not take: holds are refused now, rows stay. Returns how many are done with. */
static size_t sort_out(struct hf_journal *j, bool is_written)
{
    struct hf_journal_record *r = j->todo;
    struct hf_journal_record **end = &j->todo;
    size_t n = 0;
    j->todo = NULL;
    while (r != NULL) {
        struct hf_journal_record *next = r->next;
        if (!is_written && r->told == NULL) {
            r->next = NULL;
            *end = r;
            end = &r->next;
        } else {
            if (r->told != NULL)
                r->told(r->arg, is_written);
            hf_free(r);
            n++;
        }
        r = next;
    }
    return n;
}

static void note(struct hf_journal *j, enum hf_code rc, const struct hf_err *err, size_t n)
{
    pthread_mutex_lock(&j->lock);
    bool was_failing = j->is_failing;
    j->is_failing = rc != HF_OK;
    j->n -= n;
    j->written += rc == HF_OK ? n : 0;
    pthread_mutex_unlock(&j->lock);
    if (rc != HF_OK && !was_failing)
        hf_log(HF_LOG_ERROR,
               "the journal cannot be written: requests with a budget are refused, others go on",
               HF_F_STR("journal", j->path), HF_F_ERR(err), HF_F_END);
    else if (rc == HF_OK && was_failing)
        hf_log(HF_LOG_INFO, "the journal is written again", HF_F_STR("journal", j->path), HF_F_END);
}

/* Moves what is queued to todo if it is time to write; else *due_ms says when it will be. */
static bool take(struct hf_journal *j, uint64_t *due_ms)
{
    uint64_t now_ms = hf_clock_mono_ms();
    pthread_mutex_lock(&j->lock);
    *due_ms = j->first == NULL ? UINT64_MAX : j->since_ms + LINGER_MS;
    if (j->is_failing)
        *due_ms = j->failed_ms + RETRY_MS;
    bool is_due = j->is_stopping || j->has_hold || *due_ms <= now_ms;
    if (is_due) {
        struct hf_journal_record **end = &j->todo;
        while (*end != NULL)
            end = &(*end)->next;
        *end = j->first;
        j->first = j->last = NULL;
        j->has_hold = false;
    }
    pthread_mutex_unlock(&j->lock);
    return is_due;
}

static bool is_ending(struct hf_journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool is_it = j->is_stopping && j->first == NULL;
    pthread_mutex_unlock(&j->lock);
    return is_it;
}

/* On a wake and when the timer fires. */
static void look(void *arg)
{
    struct hf_journal *j = arg;
    uint64_t due_ms = 0;
    if (take(j, &due_ms)) {
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = commit(j, &err);
        if (rc != HF_OK)
            j->failed_ms = hf_clock_mono_ms();
        note(j, rc, &err, sort_out(j, rc == HF_OK));
        j->is_over = is_ending(j);
        due_ms = rc == HF_OK ? UINT64_MAX : j->failed_ms + RETRY_MS; /* a wake follows a put */
    }
    uint64_t now_ms = hf_clock_mono_ms();
    if (due_ms != UINT64_MAX)
        hf_timer_start(&j->timer, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

static void *run(void *arg)
{
    struct hf_journal *j = arg;
    hf_thread_name("hf-journal");
    while (!j->is_over)
        hf_loop_turn(&j->loop, true);
    return NULL;
}

/* ---- the door ---- */

static void free_all(struct hf_journal *j)
{
    while (j->todo != NULL) {
        struct hf_journal_record *r = j->todo;
        j->todo = r->next;
        hf_free(r);
    }
    close_file(j);
    hf_loop_deinit(&j->loop);
    pthread_mutex_destroy(&j->lock);
    hf_free(j->path);
    hf_free(j);
}

enum hf_code hf_journal_open(const struct hf_journal_opts *o, hf_journal_sum_fn *fn, void *arg,
                             struct hf_journal **out, struct hf_err *err)
{
    struct hf_journal *j = hf_calloc(1, sizeof(*j));
    j->path = hf_strdup(o->path);
    j->keep_ms = o->keep_ms;
    pthread_mutex_init(&j->lock, NULL);
    hf_loop_init(&j->loop, look, j);
    hf_timer_init(&j->timer, &j->loop, look, j);
    enum hf_code rc = open_file(j, err);
    if (rc == HF_OK)
        rc = charge(j, err);
    if (rc == HF_OK)
        rc = tell_sums(j, fn, arg, err);
    if (rc == HF_OK && pthread_create(&j->thread, NULL, run, j) != 0)
        rc = hf_err_set(err, HF_E_IO, "no thread for the journal");
    if (rc != HF_OK) {
        free_all(j);
        return rc;
    }
    *out = j;
    return HF_OK;
}

static void say_dropped(struct hf_journal *j, uint64_t dropped)
{
    hf_log(HF_LOG_ERROR, "the journal is behind: usage rows are dropped",
           HF_F_STR("journal", j->path), HF_F_U64("dropped", dropped), HF_F_END);
}

void hf_journal_put(struct hf_journal *j, struct hf_journal_record *take_record)
{
    struct hf_journal_record *r = take_record;
    uint64_t now_ms = hf_clock_mono_ms();
    bool is_hold = r->kind == HF_JOURNAL_HOLD;
    bool is_loud = false;
    bool must_wake = false;
    uint64_t dropped = 0;
    hf_assert(is_hold == (r->told != NULL));
    r->next = NULL;
    pthread_mutex_lock(&j->lock);
    bool is_taken = j->n < HF_LIMIT_JOURNAL_QUEUE && !(is_hold && j->is_failing);
    if (is_taken) {
        if (j->first == NULL)
            j->since_ms = now_ms;
        *(j->first == NULL ? &j->first : &j->last->next) = r;
        j->last = r;
        j->n++;
        j->has_hold = j->has_hold || is_hold;
        must_wake = is_hold || j->first == r;
    } else if (!is_hold) {
        dropped = ++j->dropped;
        is_loud = j->drop_logged_ms == 0 || now_ms - j->drop_logged_ms >= LOG_EVERY_MS;
        j->drop_logged_ms = is_loud ? now_ms : j->drop_logged_ms;
    }
    pthread_mutex_unlock(&j->lock);
    if (must_wake)
        hf_loop_wake(&j->loop);
    if (is_loud)
        say_dropped(j, dropped);
    if (is_taken)
        return;
    if (is_hold)
        r->told(r->arg, false);
    hf_free(r);
}

void hf_journal_close(struct hf_journal *j)
{
    if (j == NULL)
        return;
    pthread_mutex_lock(&j->lock);
    j->is_stopping = true;
    pthread_mutex_unlock(&j->lock);
    hf_loop_wake(&j->loop);
    pthread_join(j->thread, NULL);
    if (j->n > 0)
        say_dropped(j, j->n);
    free_all(j);
}

const char *hf_journal_path(const struct hf_journal *j)
{
    return j->path;
}

void hf_journal_stats(struct hf_journal *j, struct hf_journal_stats *out)
{
    pthread_mutex_lock(&j->lock);
    *out = (struct hf_journal_stats){.written = j->written,
                                     .dropped = j->dropped,
                                     .charged = j->charged,
                                     .waiting = j->n,
                                     .is_failing = j->is_failing};
    pthread_mutex_unlock(&j->lock);
}
