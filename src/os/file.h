/*
 * Files: the only way the data path opens, reads, writes, syncs, renames and lists them.
 *
 * All calls go through one table of system calls (hf_file_sys), so a test can make any single call
 * fail (hf_fault_*). Reads and writes loop over short counts and EINTR. Paths in error texts are
 * the ones given. Blocking; any thread; an hf_file belongs to one thread at a time.
 *
 * A process that captures must never open a live SQLite main file or its -shm here: POSIX drops the
 * process's locks on a file when any descriptor of it is closed. hf_file_open() refuses names that
 * were registered with hf_file_guard_add().
 */
#ifndef HF_OS_FILE_H
#define HF_OS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"

struct hf_file {
    int fd;     /* -1 when closed */
    char *path; /* owned, for error texts */
};

#define HF_FILE_CLOSED                                                                             \
    {                                                                                              \
        -1, NULL                                                                                   \
    }

enum hf_file_mode {
    HF_FILE_READ,       /* must exist */
    HF_FILE_WRITE,      /* read and write, must exist */
    HF_FILE_CREATE,     /* read and write, created if missing, kept if there */
    HF_FILE_TRUNCATE,   /* read and write, created or emptied */
    HF_FILE_CREATE_NEW, /* HF_E_EXISTS if there */
};

struct hf_file_stat {
    bool is_dir;
    bool is_regular;
    uint64_t size;
    uint64_t dev;
    uint64_t inode;
    int64_t mtime_ns; /* since the epoch */
    int64_t ctime_ns;
    uint32_t mode; /* permission bits */
    uint32_t uid;
    uint32_t gid;
};

/* perm: permission bits of a file that is created (0600 for ours). */
HF_MUST enum hf_code hf_file_open(const char *path, enum hf_file_mode mode, uint32_t perm,
                                  struct hf_file *out, struct hf_err *err);
/* A file without a name in directory dir, gone when closed; for spilling. */
HF_MUST enum hf_code hf_file_open_temp(const char *dir, struct hf_file *out, struct hf_err *err);
/* Closing an HF_FILE_CLOSED one does nothing. Data is durable only after hf_file_sync. */
void hf_file_close(struct hf_file *f);

/* Exactly len bytes, or HF_E_CORRUPT "short read at offset" when the file ends before. */
HF_MUST enum hf_code hf_file_read_at(struct hf_file *f, void *buf, size_t len, uint64_t offset,
                                     struct hf_err *err);
/* Up to len bytes; *got < len only at the end of the file. */
HF_MUST enum hf_code hf_file_read_some(struct hf_file *f, void *buf, size_t len, uint64_t offset,
                                       size_t *got, struct hf_err *err);
HF_MUST enum hf_code hf_file_write_at(struct hf_file *f, const void *buf, size_t len,
                                      uint64_t offset, struct hf_err *err);
HF_MUST enum hf_code hf_file_truncate(struct hf_file *f, uint64_t size, struct hf_err *err);
/* fsync; F_FULLFSYNC on macOS. */
HF_MUST enum hf_code hf_file_sync(struct hf_file *f, struct hf_err *err);
/* Starts writing back [offset, offset+len) without waiting (sync_file_range on Linux, nothing
 * elsewhere). A hint: never fails. */
void hf_file_write_behind(struct hf_file *f, uint64_t offset, uint64_t len);
/* Writes past the page cache from now on, or no longer: memory, offset and length of each must be
 * multiples of HF_FILE_DIRECT_ALIGN then. False: this file can't, nothing has changed. */
enum { HF_FILE_DIRECT_ALIGN = 4096 };
bool hf_file_set_direct(struct hf_file *f, bool is_direct);
/* Tells the kernel the range will be read soon / is no longer needed. Hints. */
void hf_file_will_need(struct hf_file *f, uint64_t offset, uint64_t len);
void hf_file_dont_need(struct hf_file *f, uint64_t offset, uint64_t len);
HF_MUST enum hf_code hf_file_stat(struct hf_file *f, struct hf_file_stat *out, struct hf_err *err);
/* Shared writable mapping of [0, len); the file must be that long. */
HF_MUST enum hf_code hf_file_map(struct hf_file *f, size_t len, void **out, struct hf_err *err);
void hf_file_unmap(void *p, size_t len);
HF_MUST enum hf_code hf_file_set_mtime_ms(struct hf_file *f, int64_t wall_ms, struct hf_err *err);

/* By path. HF_E_NOT_FOUND where nothing is there; symbolic links are followed. */
HF_MUST enum hf_code hf_path_stat(const char *path, struct hf_file_stat *out, struct hf_err *err);
bool hf_path_exists(const char *path);
/* Replaces to atomically. */
HF_MUST enum hf_code hf_path_rename(const char *from, const char *to, struct hf_err *err);
/* Moves from to the name to unless to exists: HF_E_EXISTS, from stays. Atomic (link + unlink, or
 * renameat2 / renamex_np where the system has it). */
HF_MUST enum hf_code hf_path_rename_new(const char *from, const char *to, struct hf_err *err);
/* A missing file is success. */
HF_MUST enum hf_code hf_path_remove(const char *path, struct hf_err *err);
/* Removes an empty directory; a missing one is success. */
HF_MUST enum hf_code hf_path_rmdir(const char *path, struct hf_err *err);
/* With parents; an existing directory is success. New directories are made durable. */
HF_MUST enum hf_code hf_path_mkdirs(const char *path, uint32_t perm, struct hf_err *err);
/* fsync of a directory, so that a name in it survives a power cut. */
HF_MUST enum hf_code hf_path_sync_dir(const char *path, struct hf_err *err);
/* Whole small file, at most max bytes (HF_E_LIMIT). The caller frees *data; a NUL follows it. */
HF_MUST enum hf_code hf_path_read(const char *path, size_t max, char **data, size_t *len,
                                  struct hf_err *err);
/* Replaces path by temp + fsync + rename + directory fsync. */
HF_MUST enum hf_code hf_path_write_atomic(const char *path, const void *data, size_t len,
                                          uint32_t perm, struct hf_err *err);
/* Calls fn for every name but "." and ".."; unordered; is_dir from d_type or stat. Stops and
 * returns fn's code if it is not HF_OK. */
typedef enum hf_code hf_path_list_fn(void *arg, const char *name, bool is_dir, struct hf_err *err);
HF_MUST enum hf_code hf_path_list(const char *dir, hf_path_list_fn *fn, void *arg,
                                  struct hf_err *err);
/* "dir/name" (name may be empty), the part before the last '/', the part after it. Caller frees. */
HF_MUST char *hf_path_join(const char *dir, const char *name);
HF_MUST char *hf_path_dir(const char *path);
HF_MUST char *hf_path_base(const char *path);
/* Absolute, with symbolic links resolved as far as the path exists. Caller frees. */
HF_MUST enum hf_code hf_path_absolute(const char *path, char **out, struct hf_err *err);

/* Live databases this process holds locks on: the main file and its -shm. One
 * registration a path: a database is followed once. */
void hf_file_guard_add(const char *main_path);
void hf_file_guard_remove(const char *main_path);

#endif
