/*
 * One live SQLite database held open through SQLite's own VFS, without a SQL connection: its SHARED
 * lock, its mapped wal-index, its WAL locks, and its log for reading.
 *
 * Why the VFS: a SQL read transaction leaves a gap each time it is renewed, and POSIX drops a
 * process's locks when any descriptor of a file closes, so in the process that captures nothing but
 * SQLite's VFS may open the main file and the -shm (os/file.h refuses them while one is live).
 * Holding SHARED is what every WAL connection does: the application's last close then neither
 * checkpoints nor deletes the log. A database that is not in WAL mode is let go of at once: our
 * SHARED would lock its application out.
 *
 * Used by capture.c and the engine's capture thread; one hf_live belongs to one thread. Two
 * descriptors (main, -shm), one more while the log is open. Calls may touch the disk but wait for
 * nobody: a lock that is taken is HF_E_BUSY.
 *
 * Source: SQLite's C interface (sqlite3_vfs, sqlite3_io_methods) and "WAL-mode File Format".
 */
#ifndef HF_SQLITE_LIVE_H
#define HF_SQLITE_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "sqlite/wal.h"

struct hf_live;

enum hf_live_kind {
    HF_LIVE_WAL,      /* open, SHARED held, wal-index mapped */
    HF_LIVE_EMPTY,    /* 0 bytes: page size and auto_vacuum are the application's to choose */
    HF_LIVE_ROLLBACK, /* rollback-journal mode, or a hot journal: must be converted first */
};

/* True if a writer died within a transaction in rollback-journal mode: what the main file holds is
 * not committed, its header may say WAL mode already, and only SQLite can roll it back. */
bool hf_live_has_hot_journal(const char *path);

/* Opens path (resolved through the VFS). *out is set for HF_LIVE_WAL only; for the other kinds
 * nothing stays open and nothing was created. HF_E_NOT_FOUND: no file. HF_E_INVALID: not a
 * database. HF_E_BUSY: somebody holds it exclusively (locking_mode=EXCLUSIVE or a recovery). */
HF_MUST enum hf_code hf_live_open(const char *path, struct hf_live **out, enum hf_live_kind *kind,
                                  struct hf_err *err);
/* Drops every lock and descriptor. NULL is allowed. */
void hf_live_close(struct hf_live *l);

const char *hf_live_path(const struct hf_live *l);
/* From the database header at open. */
uint32_t hf_live_page_size(const struct hf_live *l);
/* Device and inode of the open main file: tells a file replaced by rename. */
uint64_t hf_live_dev(const struct hf_live *l);
uint64_t hf_live_inode(const struct hf_live *l);

/* A consistent copy of the index header, and the backfill counter read after it. */
enum hf_walindex_state hf_live_index(const struct hf_live *l, struct hf_walindex *h,
                                     uint32_t *backfill);

/* True while frames are being copied back: a checkpoint announced how far it will go and is not
 * there yet (also after one that died). Reads shared memory only. */
bool hf_live_is_checkpointing(const struct hf_live *l);

/* Takes a read slot 1 to 4, shared, its mark set to 0xffffffff: the log can't be restarted while it
 * is held and checkpoints are not limited. HF_E_BUSY when readers hold all of them. */
HF_MUST enum hf_code hf_live_take_slot(struct hf_live *l, struct hf_err *err);
void hf_live_drop_slot(struct hf_live *l);
bool hf_live_has_slot(const struct hf_live *l);
/* Slot 0, shared: nothing can be copied back into the main file while it is held. */
HF_MUST enum hf_code hf_live_take_zero(struct hf_live *l, struct hf_err *err);
void hf_live_drop_zero(struct hf_live *l);
bool hf_live_has_zero(const struct hf_live *l);
/* The WRITE lock: nobody commits while it is held. Milliseconds only. */
HF_MUST enum hf_code hf_live_take_write(struct hf_live *l, struct hf_err *err);
void hf_live_drop_write(struct hf_live *l);

/* Pages of the main file as they stand now: len bytes from byte offset; what lies beyond its end
 * is zeros. */
HF_MUST enum hf_code hf_live_read_main(struct hf_live *l, void *buf, size_t len, uint64_t offset,
                                       struct hf_err *err);
HF_MUST enum hf_code hf_live_main_size(struct hf_live *l, uint64_t *size, struct hf_err *err);

/* Bytes of the log. The descriptor is opened on demand and kept until _wal_forget. */
HF_MUST enum hf_code hf_live_read_wal(struct hf_live *l, void *buf, size_t len, uint64_t offset,
                                      struct hf_err *err);
void hf_live_forget_wal(struct hf_live *l);
/* 0 when there is none. */
uint64_t hf_live_wal_size(const struct hf_live *l);

#endif
