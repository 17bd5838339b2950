#include "sqlite/conn.h"

#include <string.h>

#include <sqlite3.h>

#include "base/assert.h"
#include "base/mem.h"

struct hf_conn {
    sqlite3 *db;
    char *path;
};

static enum hf_code code_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return HF_E_BUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return HF_E_CORRUPT;
    case SQLITE_FULL:
        return HF_E_NO_SPACE;
    case SQLITE_PERM:
    case SQLITE_READONLY:
        return HF_E_DENIED;
    default:
        return HF_E_IO;
    }
}

static enum hf_code failed(struct hf_conn *c, struct hf_err *err)
{
    return hf_err_set(err, code_of(sqlite3_errcode(c->db)), "%s: %s", c->path,
                      sqlite3_errmsg(c->db));
}

enum hf_code hf_conn_open(const char *path, enum hf_conn_mode mode, uint32_t busy_ms,
                          struct hf_conn **out, struct hf_err *err)
{
    static const int flags[] = {
        [HF_CONN_READ] = SQLITE_OPEN_READONLY,
        [HF_CONN_WRITE] = SQLITE_OPEN_READWRITE,
        [HF_CONN_CREATE] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
    };
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, flags[mode] | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        bool is_missing = (rc & 0xff) == SQLITE_CANTOPEN && mode != HF_CONN_CREATE;
        hf_err_set(err, is_missing ? HF_E_NOT_FOUND : code_of(rc), "%s: %s", path,
                   db != NULL ? sqlite3_errmsg(db) : "out of memory");
        sqlite3_close(db);
        return is_missing ? HF_E_NOT_FOUND : code_of(rc);
    }
    sqlite3_busy_timeout(db, (int)busy_ms);
    struct hf_conn *c = hf_calloc(1, sizeof(*c));
    c->db = db;
    c->path = hf_strdup(path);
    *out = c;
    return HF_OK;
}

void hf_conn_close(struct hf_conn *c)
{
    if (c == NULL)
        return;
    int rc = sqlite3_close(c->db);
    hf_assert(rc == SQLITE_OK); /* else a statement is left open */
    hf_free(c->path);
    hf_free(c);
}

enum hf_code hf_conn_run(struct hf_conn *c, const char *sql, struct hf_err *err)
{
    return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? HF_OK : failed(c, err);
}

static enum hf_code take_row(struct hf_conn *c, sqlite3_stmt *st, const struct hf_conn_query *q,
                             struct hf_err *err)
{
    int rc = sqlite3_step(st);
    if (rc == SQLITE_DONE && q->n_out == 0)
        return HF_OK;
    if (rc == SQLITE_DONE)
        return hf_err_set(err, HF_E_NOT_FOUND, "%s: no row: %s", c->path, q->sql);
    if (rc != SQLITE_ROW)
        return failed(c, err);
    hf_assert((int)q->n_out <= sqlite3_column_count(st));
    for (size_t i = 0; i < q->n_out; i++)
        q->out[i] = sqlite3_column_int64(st, (int)i);
    return HF_OK;
}

enum hf_code hf_conn_query(struct hf_conn *c, const struct hf_conn_query *q, struct hf_err *err)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(c->db, q->sql, -1, &st, NULL) != SQLITE_OK)
        return failed(c, err);
    for (size_t i = 0; i < q->n_args; i++)
        hf_assert(sqlite3_bind_int64(st, (int)i + 1, q->args[i]) == SQLITE_OK);
    enum hf_code rc = take_row(c, st, q, err);
    sqlite3_finalize(st);
    return rc;
}

enum hf_code hf_conn_check(struct hf_conn *c, struct hf_err *err)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(c->db, "PRAGMA integrity_check(1)", -1, &st, NULL) != SQLITE_OK)
        return failed(c, err);
    enum hf_code rc = HF_OK;
    if (sqlite3_step(st) != SQLITE_ROW) {
        rc = failed(c, err);
    } else {
        const char *text = (const char *)sqlite3_column_text(st, 0);
        if (text == NULL || strcmp(text, "ok") != 0)
            rc = hf_err_set(err, HF_E_CORRUPT, "integrity check of %s: %s", c->path,
                            text != NULL ? text : "no result");
    }
    sqlite3_finalize(st);
    return rc;
}

/* ---- statements ---- */

struct hf_stmt {
    struct hf_conn *conn;
    sqlite3_stmt *st;
};

enum hf_code hf_stmt_new(struct hf_conn *c, const char *sql, struct hf_stmt **out,
                         struct hf_err *err)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK)
        return failed(c, err);
    struct hf_stmt *s = hf_calloc(1, sizeof(*s));
    s->conn = c;
    s->st = st;
    *out = s;
    return HF_OK;
}

void hf_stmt_free(struct hf_stmt *s)
{
    if (s == NULL)
        return;
    sqlite3_finalize(s->st);
    hf_free(s);
}

void hf_stmt_bind_i64(struct hf_stmt *s, int at, int64_t value)
{
    hf_assert(sqlite3_bind_int64(s->st, at, value) == SQLITE_OK);
}

void hf_stmt_bind_text(struct hf_stmt *s, int at, const char *value)
{
    hf_assert(sqlite3_bind_text(s->st, at, value, -1, SQLITE_TRANSIENT) == SQLITE_OK);
}

enum hf_code hf_stmt_next(struct hf_stmt *s, bool *is_row, struct hf_err *err)
{
    enum hf_code code = HF_OK;
    int rc = sqlite3_step(s->st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        code = failed(s->conn, err);
    if (rc != SQLITE_ROW)
        sqlite3_reset(s->st);
    if (code == HF_OK)
        *is_row = rc == SQLITE_ROW;
    return code;
}

enum hf_code hf_stmt_run(struct hf_stmt *s, struct hf_err *err)
{
    bool is_row = true;
    while (is_row)
        HF_TRY(hf_stmt_next(s, &is_row, err));
    return HF_OK;
}

int64_t hf_stmt_i64(struct hf_stmt *s, int column)
{
    return sqlite3_column_int64(s->st, column);
}

const char *hf_stmt_text(struct hf_stmt *s, int column)
{
    const char *text = (const char *)sqlite3_column_text(s->st, column);
    return text == NULL ? "" : text;
}

const char *hf_sqlite_version(void)
{
    return sqlite3_libversion();
}

int hf_sqlite_version_number(void)
{
    return sqlite3_libversion_number();
}

bool hf_sqlite_has_reset_race(int number)
{
    return number >= 3007000 && number <= 3051002;
}
