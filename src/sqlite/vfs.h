/*
 * The calls of SQLite's VFS that capture and apply make themselves, each a fault point (os/fault.h)
 * like every other system call of the data path. They return SQLite's codes; an injected fault is
 * the SQLITE_IOERR_ or SQLITE_CANTOPEN that the VFS would give.
 *
 * Unlocking, unmapping and closing can't fail and are called directly. Thread: that of the file.
 * path names the database, for faults that are meant for one file.
 */
#ifndef HF_SQLITE_VFS_H
#define HF_SQLITE_VFS_H

#include <sqlite3.h>

/* name as from sqlite3_create_filename(). */
int hf_vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags);
int hf_vfs_read(sqlite3_file *file, const char *path, void *buf, int len, sqlite3_int64 offset);
/* Bytes. */
int hf_vfs_size(sqlite3_file *file, const char *path, sqlite3_int64 *size);
int hf_vfs_sync(sqlite3_file *file, const char *path);
/* level: SQLITE_LOCK_SHARED and above. */
int hf_vfs_lock(sqlite3_file *file, const char *path, int level);
/* A block of the wal-index; *out is NULL if it is not there and should not be made. */
int hf_vfs_shm_map(sqlite3_file *file, const char *path, int block, int is_extended,
                   void volatile **out);
/* n locks from first; flags: SQLITE_SHM_LOCK or _UNLOCK with _SHARED or _EXCLUSIVE. */
int hf_vfs_shm_lock(sqlite3_file *file, const char *path, int first, int n, int flags);

#endif
