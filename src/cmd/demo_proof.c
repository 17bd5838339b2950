/*
 * The proof: what the standby and a restored file hold, held against the folder of the dead
 * primary. That folder is opened only here; taking over did not need it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cmd/demo.h"

enum { BUSY_MS = 2000, RESTORE_MS = 30000 };

static struct hf_demo_promise *add(struct hf_demo *d, const char *name, const char *text,
                                   bool is_kept)
{
    static struct hf_demo_promise overflow;
    if (d->n_promises == HF_DEMO_PROMISES_MAX)
        return &overflow;
    struct hf_demo_promise *p = &d->promises[d->n_promises++];
    *p = (struct hf_demo_promise){.name = name, .text = text, .is_kept = is_kept};
    return p;
}

static void add_checked(struct hf_demo *d, const char *name, const char *text,
                        const struct hf_err *err)
{
    bool is_kept = err->code == HF_OK;
    struct hf_demo_promise *p = add(d, name, text, is_kept);
    snprintf(p->measured, sizeof(p->measured), is_kept ? "yes" : "no");
    snprintf(p->why, sizeof(p->why), "%.*s", (int)sizeof(p->why) - 1, err->text);
}

/* ---- checks of one database; an error's text says what is wrong ---- */

/* Orders 1 to upto, all of them, and each balance the sum of its orders. */
static enum hf_code check_prefix(struct hf_conn *c, uint64_t upto, struct hf_err *err)
{
    int64_t arg = (int64_t)upto;
    int64_t row[3] = {0, 0, 0};
    int64_t n = 0;
    struct hf_conn_query count = {
        "SELECT count(*), ifnull(min(seq), 0), ifnull(max(seq), 0) FROM orders WHERE seq <= ?1",
        &arg, 1, row, 3};
    struct hf_conn_query first_gap = {
        "SELECT min(a.seq) + 1 FROM orders a"
        " WHERE NOT EXISTS (SELECT 1 FROM orders b WHERE b.seq = a.seq + 1)",
        NULL, 0, &n, 1};
    struct hf_conn_query torn = {
        "SELECT count(*) FROM account a LEFT JOIN"
        " (SELECT account, sum(amount) AS total FROM orders GROUP BY account) o"
        " ON o.account = a.id WHERE a.balance <> ifnull(o.total, 0)",
        NULL, 0, &n, 1};
    HF_TRY(hf_conn_query(c, &count, err));
    if (row[0] != arg || row[2] != arg || (arg > 0 && row[1] != 1)) {
        HF_TRY(hf_conn_query(c, &first_gap, err));
        return hf_err_set(err, HF_E_CORRUPT, "%lld of %lld commits are there, %lld is missing",
                          (long long)row[0], (long long)arg, (long long)(row[1] > 1 ? 1 : n));
    }
    HF_TRY(hf_conn_query(c, &torn, err));
    if (n != 0)
        return hf_err_set(err, HF_E_CORRUPT, "%lld balances are not the sum of their orders",
                          (long long)n);
    return HF_OK;
}

/* 'it''s': an SQL string. */
static char *quoted(const char *text)
{
    char *out = hf_malloc(2 * strlen(text) + 3);
    size_t n = 0;
    out[n++] = '\'';
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            out[n++] = '\'';
        out[n++] = *text;
    }
    out[n++] = '\'';
    out[n] = '\0';
    return out;
}

static enum hf_code attach(struct hf_conn *c, const char *gone_db, struct hf_err *err)
{
    HF_AUTO_FREE char *path = quoted(gone_db);
    HF_AUTO_FREE char *sql = hf_asprintf("ATTACH %s AS gone", path);
    return hf_conn_run(c, sql, err);
}

/* Row for row the same as the dead primary (attached as gone), up to that order. */
static enum hf_code check_same(struct hf_conn *c, uint64_t upto, struct hf_err *err)
{
    int64_t arg = (int64_t)upto;
    int64_t n[2] = {0, 0};
    struct hf_conn_query q = {
        "SELECT (SELECT count(*) FROM (SELECT * FROM main.orders WHERE seq <= ?1"
        " EXCEPT SELECT * FROM gone.orders)),"
        " (SELECT count(*) FROM (SELECT * FROM gone.orders WHERE seq <= ?1"
        " EXCEPT SELECT * FROM main.orders))",
        &arg, 1, n, 2};
    HF_TRY(hf_conn_query(c, &q, err));
    if (n[0] == 0 && n[1] == 0)
        return HF_OK;
    return hf_err_set(err, HF_E_CORRUPT,
                      "%lld rows are not as on the primary, %lld of the primary's are not here",
                      (long long)n[0], (long long)n[1]);
}

/* ---- the standby ---- */

void hf_demo_prove_standby(struct hf_demo *d, struct hf_conn *c)
{
    struct hf_demo_facts *f = &d->facts;
    struct hf_err prefix = HF_ERR_INIT;
    struct hf_err same = HF_ERR_INIT;
    struct hf_err sound = HF_ERR_INIT;
    (void)!hf_conn_check(c, &sound);
    (void)!check_prefix(c, f->standby_seq, &prefix);
    /* One commit may have been cut off between COMMIT and its acknowledgement. */
    if (prefix.code == HF_OK && f->standby_seq > f->acked + 1)
        hf_err_set(&prefix, HF_E_CORRUPT, "commit %llu was never made on the primary",
                   (unsigned long long)f->standby_seq);
    if (attach(c, d->path.gone_db, &same) == HF_OK)
        (void)!check_same(c, f->standby_seq, &same);
    add_checked(d, "prefix", "every commit up to the last one there, none half", &prefix);
    add_checked(d, "same", "row for row what the primary had", &same);
    add_checked(d, "integrity", "standby passes SQLite's integrity_check", &sound);
}

/* ---- a point in time ---- */

static enum hf_code restore_then(struct hf_demo *d, struct hf_err *err)
{
    char time[HF_TIME_TEXT];
    struct hf_child child = {0};
    HF_AUTO_FREE char *log = hf_asprintf("%s/restore.log", d->path.root);
    hf_clock_format(d->facts.then_ms, time);
    const char *const argv[] = {d->exe, "restore",    "-timestamp", time,
                                "-o",   d->path.then, d->path.url,  NULL};
    struct hf_child_spec spec = {.argv = argv, .output = log};
    uint64_t end = hf_clock_mono_ms() + RESTORE_MS;
    HF_TRY(hf_child_start(&spec, &child, err));
    enum hf_code rc = HF_OK;
    while (rc == HF_OK && !hf_child_wait(&child, 20)) {
        rc = hf_demo_check_signals(err);
        if (rc == HF_OK && hf_clock_mono_ms() > end)
            rc = hf_err_set(err, HF_E_TIMEOUT, "restore took more than %d s", RESTORE_MS / 1000);
    }
    hf_child_kill(&child);
    if (rc == HF_OK && child.status != 0) {
        char how[HF_CHILD_TEXT];
        hf_child_describe(&child, how);
        rc = hf_err_set(err, HF_E_INTERNAL, "restore: %s", how);
    }
    return rc;
}

/* As new as the sync interval lets it be, and nothing newer than asked for. */
static enum hf_code check_age(struct hf_demo *d, struct hf_conn *c, int64_t newest_ms,
                              struct hf_err *err)
{
    struct hf_demo_facts *f = &d->facts;
    int64_t slack_ms = d->o.sync_interval_ns / 1000000 + HF_DEMO_RPO_EXTRA_MS;
    int64_t arg = f->then_ms - slack_ms;
    int64_t at_least = 0;
    struct hf_conn_query q = {"SELECT ifnull(max(seq), 0) FROM gone.orders WHERE at_ms <= ?1", &arg,
                              1, &at_least, 1};
    if (newest_ms > f->then_ms)
        return hf_err_set(err, HF_E_CORRUPT, "it holds a commit %lld ms newer than asked for",
                          (long long)(newest_ms - f->then_ms));
    HF_TRY(hf_conn_query(c, &q, err));
    if (f->then_seq < (uint64_t)at_least)
        return hf_err_set(err, HF_E_CORRUPT, "it ends at commit %llu, %lld was due",
                          (unsigned long long)f->then_seq, (long long)at_least);
    return HF_OK;
}

static enum hf_code check_then(struct hf_demo *d, struct hf_conn *c, struct hf_err *err)
{
    int64_t newest_ms = 0;
    HF_TRY(hf_conn_check(c, err));
    HF_TRY(hf_demo_newest(c, &d->facts.then_seq, &newest_ms, err));
    HF_TRY(check_prefix(c, d->facts.then_seq, err));
    HF_TRY(attach(c, d->path.gone_db, err));
    HF_TRY(check_same(c, d->facts.then_seq, err));
    return check_age(d, c, newest_ms, err);
}

enum hf_code hf_demo_prove_then(struct hf_demo *d, struct hf_err *err)
{
    struct hf_err found = HF_ERR_INIT;
    struct hf_conn *c = NULL;
    enum hf_code rc = restore_then(d, &found);
    if (rc == HF_E_CANCELED) {
        *err = found;
        return rc;
    }
    if (rc == HF_OK)
        rc = hf_conn_open(d->path.then, HF_CONN_WRITE, BUSY_MS, &c, &found);
    if (rc == HF_OK)
        (void)!check_then(d, c, &found);
    hf_conn_close(c);
    add_checked(d, "point_in_time", "an earlier moment, restored, is as it was", &found);
    return HF_OK;
}

/* ---- figures ---- */

static void explain(struct hf_demo_promise *p)
{
    if (!p->is_kept)
        snprintf(p->why, sizeof(p->why), "%s, limit %s", p->measured, p->limit);
}

void hf_demo_prove_figures(struct hf_demo *d)
{
    const struct hf_demo_facts *f = &d->facts;
    int64_t rpo_limit = d->o.sync_interval_ns / 1000000 + HF_DEMO_RPO_EXTRA_MS;
    struct hf_demo_promise *p = add(d, "rto", "kill to first commit on the standby (RTO)",
                                    f->rto_ms <= HF_DEMO_RTO_LIMIT_MS);
    snprintf(p->measured, sizeof(p->measured), "%.2f s", f->rto_ms / 1000);
    snprintf(p->limit, sizeof(p->limit), "%.1f s", HF_DEMO_RTO_LIMIT_MS / 1000.0);
    explain(p);
    p = add(d, "rpo", "time lost (RPO)", f->lost_ms <= rpo_limit);
    snprintf(p->measured, sizeof(p->measured), "%.2f s", (double)f->lost_ms / 1000);
    snprintf(p->limit, sizeof(p->limit), "%.1f s", (double)rpo_limit / 1000);
    explain(p);
    p = add(d, "wal", "the primary's WAL stayed small", f->wal_peak <= HF_DEMO_WAL_LIMIT);
    snprintf(p->measured, sizeof(p->measured), "%.1f MB", (double)f->wal_peak / HF_MIB);
    snprintf(p->limit, sizeof(p->limit), "%d MB", (int)(HF_DEMO_WAL_LIMIT / HF_MIB));
    explain(p);
}
