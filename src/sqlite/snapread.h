/*
 * A committed state of a live database, held still and read page by page, exactly as a checkpoint
 * would leave it: for comparing a backup with its source.
 *
 * A read transaction of an ordinary connection holds the state: no checkpoint may overwrite what it
 * needs, no writer may restart the log under it. Which frames belong to it is read off the
 * wal-index before and after it began: only when nothing was committed in between is it that one
 * (else again). The pages then come from the log's newest frame of that state or from the main
 * file, through SQLite's VFS (live.h). In rollback-journal mode the transaction's SHARED lock does
 * the same, and writers wait.
 *
 * Never in a process that captures the database. Blocking, one thread. While it is open the log
 * grows with every commit: seconds, not hours. Memory: 8 bytes a frame of the log.
 */
#ifndef HF_SQLITE_SNAPREAD_H
#define HF_SQLITE_SNAPREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum {
    HF_SNAPREAD_TRIES = 2000, /* writers that commit between the looks */
    HF_SNAPREAD_BUSY_MS = 5000,
};

struct hf_snapread;

/* is_exclusive: nobody commits while it is open (BEGIN IMMEDIATE); writers wait for their busy
 * timeout: milliseconds. HF_E_NOT_FOUND: no file; HF_E_BUSY: locked, or writers commit faster than
 * we look. */
HF_MUST enum hf_code hf_snapread_open(const char *path, bool is_exclusive, struct hf_snapread **out,
                                      struct hf_err *err);
/* NULL is allowed. */
void hf_snapread_close(struct hf_snapread *s);
/* 0 for an empty database. */
uint32_t hf_snapread_page_size(const struct hf_snapread *s);
uint32_t hf_snapread_pages(const struct hf_snapread *s);
/* Wall time when the state was certainly the newest. */
int64_t hf_snapread_time_ms(const struct hf_snapread *s);
/* pgno 1 to pages. */
HF_MUST enum hf_code hf_snapread_page(struct hf_snapread *s, uint32_t pgno, void *buf,
                                      struct hf_err *err);

#endif
