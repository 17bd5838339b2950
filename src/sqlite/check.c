#include "sqlite/check.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

#include "base/mem.h"

/* "file:/a%3fb?immutable=1" for /a?b. */
static char *uri_of(const char *path)
{
    static const char head[] = "file:";
    static const char tail[] = "?immutable=1";
    char *uri = hf_malloc(sizeof(head) + 3 * strlen(path) + sizeof(tail));
    size_t n = sizeof(head) - 1;
    memcpy(uri, head, n);
    for (const char *p = path; *p; p++) {
        if (*p == '%' || *p == '?' || *p == '#')
            n += (size_t)snprintf(uri + n, 4, "%%%02x", (unsigned char)*p);
        else
            uri[n++] = *p;
    }
    memcpy(uri + n, tail, sizeof(tail));
    return uri;
}

static enum hf_code of_sqlite(sqlite3 *db, const char *path, struct hf_err *err)
{
    int rc = sqlite3_errcode(db) & 0xff;
    enum hf_code code = rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB ? HF_E_CORRUPT : HF_E_IO;
    return hf_err_set(err, code, "integrity check of %s: %s", path, sqlite3_errmsg(db));
}

static enum hf_code run(sqlite3 *db, const char *path, enum hf_integrity kind, struct hf_err *err)
{
    const char *sql =
        kind == HF_INTEGRITY_FULL ? "PRAGMA integrity_check(1)" : "PRAGMA quick_check(1)";
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
        return of_sqlite(db, path, err);
    enum hf_code rc;
    if (sqlite3_step(st) != SQLITE_ROW) {
        rc = of_sqlite(db, path, err);
    } else {
        const char *text = (const char *)sqlite3_column_text(st, 0);
        bool is_ok = text != NULL && strcmp(text, "ok") == 0;
        rc = is_ok ? HF_OK
                   : hf_err_set(err, HF_E_CORRUPT, "integrity check of %s: %s", path,
                                text != NULL ? text : "no result");
    }
    sqlite3_finalize(st);
    return rc;
}

enum hf_code hf_sqlite_check(const char *path, enum hf_integrity kind, struct hf_err *err)
{
    if (kind == HF_INTEGRITY_NONE)
        return HF_OK;
    sqlite3 *db = NULL;
    HF_AUTO_FREE char *uri = uri_of(path);
    enum hf_code rc;
    if (sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        rc = of_sqlite(db, path, err);
    else
        rc = run(db, path, kind, err);
    sqlite3_close(db);
    return rc;
}
