/*
 * SQLite's own check of a database file that nobody has open: a restored copy before it takes its
 * name. The file is opened read-only and immutable: no locks, no -wal, no -shm are made or read.
 *
 * Blocking; any thread, but never on a live database. Memory: SQLite's page cache of one connection
 * (2 MB).
 */
#ifndef HF_SQLITE_CHECK_H
#define HF_SQLITE_CHECK_H

#include "base/attr.h"
#include "base/err.h"

enum hf_integrity {
    HF_INTEGRITY_NONE,
    HF_INTEGRITY_QUICK, /* PRAGMA quick_check: structure */
    HF_INTEGRITY_FULL,  /* PRAGMA integrity_check: and that indexes agree with their tables */
};

/* HF_E_CORRUPT with SQLite's first finding in the text. */
HF_MUST enum hf_code hf_sqlite_check(const char *path, enum hf_integrity kind, struct hf_err *err);

#endif
