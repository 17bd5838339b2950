/*
 * An ordinary SQL connection, as any program has one: for commands that look into a copy or play an
 * application (demo), and facts about the SQLite library this program is linked with.
 *
 * Never in a process that captures the same database: closing the connection would drop the
 * process's locks (os/file.h). Blocking; a connection belongs to one thread.
 */
#ifndef HF_SQLITE_CONN_H
#define HF_SQLITE_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct hf_conn;

enum hf_conn_mode {
    HF_CONN_READ,   /* must exist; read-only */
    HF_CONN_WRITE,  /* must exist */
    HF_CONN_CREATE, /* created if missing */
};

/* busy_ms: SQLite's busy timeout. Errors as below; HF_E_NOT_FOUND if it must exist and does not. */
HF_MUST enum hf_code hf_conn_open(const char *path, enum hf_conn_mode mode, uint32_t busy_ms,
                                  struct hf_conn **out, struct hf_err *err);
/* NULL is allowed. */
void hf_conn_close(struct hf_conn *c);

/* All statements of sql; rows are dropped. HF_E_BUSY, HF_E_CORRUPT, HF_E_NO_SPACE, else HF_E_IO
 * with SQLite's text. */
HF_MUST enum hf_code hf_conn_run(struct hf_conn *c, const char *sql, struct hf_err *err);

struct hf_conn_query {
    const char *sql;     /* one statement */
    const int64_t *args; /* ?1, ?2... */
    size_t n_args;
    int64_t *out; /* the first row's columns as integers (NULL is 0) */
    size_t n_out; /* 0: no row is expected */
};
/* HF_E_NOT_FOUND if a row was expected and there is none. */
HF_MUST enum hf_code hf_conn_query(struct hf_conn *c, const struct hf_conn_query *q,
                                   struct hf_err *err);
/* PRAGMA integrity_check: HF_E_CORRUPT with SQLite's first finding. */
HF_MUST enum hf_code hf_conn_check(struct hf_conn *c, struct hf_err *err);

/*
 * A statement that is used again and again. Bound values are copied; they stay until they are bound
 * anew. Free statements before the connection is closed.
 */
struct hf_stmt;
HF_MUST enum hf_code hf_stmt_new(struct hf_conn *c, const char *sql, struct hf_stmt **out,
                                 struct hf_err *err);
/* NULL is allowed. */
void hf_stmt_free(struct hf_stmt *s);
/* at: 1 for ?1. */
void hf_stmt_bind_i64(struct hf_stmt *s, int at, int64_t value);
void hf_stmt_bind_text(struct hf_stmt *s, int at, const char *value);
/* To its end; rows are dropped. */
HF_MUST enum hf_code hf_stmt_run(struct hf_stmt *s, struct hf_err *err);
/* The next row; after the last one, and after a failure, the statement begins anew. */
HF_MUST enum hf_code hf_stmt_next(struct hf_stmt *s, bool *is_row, struct hf_err *err);
/* Of the present row; column 0 is the first. NULL is 0 and "". Text lives until the next call. */
int64_t hf_stmt_i64(struct hf_stmt *s, int column);
const char *hf_stmt_text(struct hf_stmt *s, int column);

/* "3.40.1": the library in use, not the one compiled against. */
const char *hf_sqlite_version(void);
int hf_sqlite_version_number(void);
/* True for 3.7.0 to 3.51.2: a checkpoint that begins while another connection resets the log may
 * note too much as copied back, and committed pages get lost. number: 3040001 for 3.40.1. A
 * distributor's own fix does not show in the number. */
bool hf_sqlite_has_reset_race(int number);

#endif
