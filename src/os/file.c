#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "os/fault.h"

enum { GUARD_MAX = 65536 };

/* Live databases of this process; see hf_file_guard_add. Sorted array of device and inode would
 * need a descriptor to look at, so names it is: the engine registers resolved paths. */
struct guard {
    pthread_mutex_t lock;
    char **paths; /* open-addressing hash set */
    size_t cap;
    size_t len;
};

static struct guard guard = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t hash_text(const char *s, size_t len)
{
    size_t h = 1469598103934665603u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)s[i]) * 1099511628211u;
    return h ^ (h >> 29);
}

/* The slot that holds the first len bytes of path, or the free one where it would go. */
static size_t guard_slot(const char *path, size_t len)
{
    size_t i = hash_text(path, len) & (guard.cap - 1);
    while (guard.paths[i] != NULL &&
           (strlen(guard.paths[i]) != len || memcmp(guard.paths[i], path, len) != 0))
        i = (i + 1) & (guard.cap - 1);
    return i;
}

static void guard_grow(void)
{
    char **old = guard.paths;
    size_t old_cap = guard.cap;
    guard.cap = old_cap == 0 ? 256 : old_cap * 2;
    guard.paths = hf_calloc(guard.cap, sizeof(*guard.paths));
    for (size_t i = 0; i < old_cap; i++) {
        if (old[i] != NULL)
            guard.paths[guard_slot(old[i], strlen(old[i]))] = old[i];
    }
    hf_free(old);
}

void hf_file_guard_add(const char *main_path)
{
    pthread_mutex_lock(&guard.lock);
    hf_assert(guard.len < GUARD_MAX);
    if (guard.len * 2 >= guard.cap)
        guard_grow();
    size_t i = guard_slot(main_path, strlen(main_path));
    if (guard.paths[i] == NULL) {
        guard.paths[i] = hf_strdup(main_path);
        guard.len++;
    }
    pthread_mutex_unlock(&guard.lock);
}

void hf_file_guard_remove(const char *main_path)
{
    pthread_mutex_lock(&guard.lock);
    if (guard.cap > 0) {
        size_t i = guard_slot(main_path, strlen(main_path));
        hf_free(guard.paths[i]);
        if (guard.paths[i] != NULL)
            guard.len--;
        guard.paths[i] = NULL;
        /* close the gap: move up what was pushed behind it */
        for (size_t j = (i + 1) & (guard.cap - 1); guard.paths[j] != NULL;
             j = (j + 1) & (guard.cap - 1)) {
            char *p = guard.paths[j];
            guard.paths[j] = NULL;
            guard.paths[guard_slot(p, strlen(p))] = p;
        }
    }
    pthread_mutex_unlock(&guard.lock);
}

static bool is_guarded(const char *path)
{
    size_t len = strlen(path);
    if (len > 4 && memcmp(path + len - 4, "-shm", 4) == 0)
        len -= 4;
    pthread_mutex_lock(&guard.lock);
    bool found = guard.cap > 0 && guard.paths[guard_slot(path, len)] != NULL;
    pthread_mutex_unlock(&guard.lock);
    return found;
}

static int open_flags(enum hf_file_mode mode)
{
    switch (mode) {
    case HF_FILE_READ:
        return O_RDONLY;
    case HF_FILE_WRITE:
        return O_RDWR;
    case HF_FILE_CREATE:
        return O_RDWR | O_CREAT;
    case HF_FILE_TRUNCATE:
        return O_RDWR | O_CREAT | O_TRUNC;
    case HF_FILE_CREATE_NEW:
    default:
        return O_RDWR | O_CREAT | O_EXCL;
    }
}

static int open_retry(const char *path, int flags, uint32_t perm)
{
    int sys = hf_fault_hit(HF_FAULT_OPEN, path);
    if (sys != 0) {
        errno = sys;
        return -1;
    }
    int fd;
    do {
        fd = open(path, flags | O_CLOEXEC, (mode_t)perm);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

enum hf_code hf_file_open(const char *path, enum hf_file_mode mode, uint32_t perm,
                          struct hf_file *out, struct hf_err *err)
{
    if (is_guarded(path))
        return hf_err_set(err, HF_E_INTERNAL,
                          "open %s: refused, it is a live database (closing it would drop locks)",
                          path);
    int fd = open_retry(path, open_flags(mode), perm);
    if (fd < 0)
        return hf_err_sys(err, errno, "open %s", path);
    *out = (struct hf_file){.fd = fd, .path = hf_strdup(path)};
    return HF_OK;
}

enum hf_code hf_file_open_temp(const char *dir, struct hf_file *out, struct hf_err *err)
{
    HF_AUTO_FREE char *path = hf_asprintf("%s/.holdfast-spill-XXXXXX", dir == NULL ? "/tmp" : dir);
    int sys = hf_fault_hit(HF_FAULT_OPEN, path);
    int fd = -1;
    errno = sys;
    if (sys == 0)
        fd = mkstemp(path);
    if (fd < 0)
        return hf_err_sys(err, errno, "create a temporary file in %s", dir == NULL ? "/tmp" : dir);
    unlink(path);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    *out = (struct hf_file){.fd = fd, .path = hf_steal(&path)};
    return HF_OK;
}

void hf_file_close(struct hf_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    hf_free(f->path);
    *f = (struct hf_file)HF_FILE_CLOSED;
}

enum hf_code hf_file_read_some(struct hf_file *f, void *buf, size_t len, uint64_t offset,
                               size_t *got, struct hf_err *err)
{
    hf_assert(f->fd >= 0);
    size_t done = 0;
    int sys = hf_fault_hit(HF_FAULT_READ, f->path);
    while (done < len) {
        errno = sys;
        ssize_t n =
            sys != 0 ? -1 : pread(f->fd, (uint8_t *)buf + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hf_err_sys(err, errno, "read %s at offset %llu", f->path,
                              (unsigned long long)(offset + done));
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *got = done;
    return HF_OK;
}

enum hf_code hf_file_read_at(struct hf_file *f, void *buf, size_t len, uint64_t offset,
                             struct hf_err *err)
{
    size_t got = 0;
    HF_TRY(hf_file_read_some(f, buf, len, offset, &got, err));
    if (got != len)
        return hf_err_set(err, HF_E_CORRUPT, "%s ends at offset %llu, %zu more bytes were expected",
                          f->path, (unsigned long long)(offset + got), len - got);
    return HF_OK;
}

enum hf_code hf_file_write_at(struct hf_file *f, const void *buf, size_t len, uint64_t offset,
                              struct hf_err *err)
{
    hf_assert(f->fd >= 0);
    size_t done = 0;
    int sys = hf_fault_hit(HF_FAULT_WRITE, f->path);
    if (sys == HF_FAULT_SHORT) {
        ssize_t half = pwrite(f->fd, buf, len / 2, (off_t)offset);
        (void)half;
        sys = ENOSPC;
    }
    while (done < len) {
        errno = sys;
        ssize_t n = sys != 0 ? -1
                             : pwrite(f->fd, (const uint8_t *)buf + done, len - done,
                                      (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hf_err_sys(err, errno, "write %s at offset %llu", f->path,
                              (unsigned long long)(offset + done));
        done += (size_t)n;
    }
    return HF_OK;
}

enum hf_code hf_file_truncate(struct hf_file *f, uint64_t size, struct hf_err *err)
{
    int sys = hf_fault_hit(HF_FAULT_TRUNCATE, f->path);
    if (sys == 0 && ftruncate(f->fd, (off_t)size) != 0)
        sys = errno;
    if (sys != 0)
        return hf_err_sys(err, sys, "set the size of %s to %llu", f->path,
                          (unsigned long long)size);
    return HF_OK;
}

static int full_sync(int fd)
{
#if defined(F_FULLFSYNC)
    if (fcntl(fd, F_FULLFSYNC) == 0)
        return 0;
#endif
    int rc;
    do {
        rc = fsync(fd);
    } while (rc != 0 && errno == EINTR);
    return rc;
}

enum hf_code hf_file_sync(struct hf_file *f, struct hf_err *err)
{
    int sys = hf_fault_hit(HF_FAULT_FSYNC, f->path);
    if (sys == 0 && full_sync(f->fd) != 0)
        sys = errno;
    if (sys != 0)
        return hf_err_sys(err, sys, "fsync %s", f->path);
    return HF_OK;
}

void hf_file_write_behind(struct hf_file *f, uint64_t offset, uint64_t len)
{
#if defined(__linux__)
    (void)sync_file_range(f->fd, (off_t)offset, (off_t)len, SYNC_FILE_RANGE_WRITE);
#else
    (void)f;
    (void)offset;
    (void)len;
#endif
}

bool hf_file_set_direct(struct hf_file *f, bool is_direct)
{
#if defined(__linux__)
    int flags = fcntl(f->fd, F_GETFL);
    if (flags < 0)
        return false;
    flags = is_direct ? flags | O_DIRECT : flags & ~O_DIRECT;
    return fcntl(f->fd, F_SETFL, flags) == 0;
#elif defined(F_NOCACHE)
    return fcntl(f->fd, F_NOCACHE, is_direct ? 1 : 0) == 0;
#else
    (void)f;
    return !is_direct;
#endif
}

void hf_file_will_need(struct hf_file *f, uint64_t offset, uint64_t len)
{
#if defined(__linux__)
    (void)posix_fadvise(f->fd, (off_t)offset, (off_t)len, POSIX_FADV_WILLNEED);
#else
    (void)f;
    (void)offset;
    (void)len;
#endif
}

void hf_file_dont_need(struct hf_file *f, uint64_t offset, uint64_t len)
{
#if defined(__linux__)
    (void)posix_fadvise(f->fd, (off_t)offset, (off_t)len, POSIX_FADV_DONTNEED);
#else
    (void)f;
    (void)offset;
    (void)len;
#endif
}

static void fill_stat(const struct stat *st, struct hf_file_stat *out)
{
#if defined(__APPLE__)
    struct timespec m = st->st_mtimespec;
    struct timespec c = st->st_ctimespec;
#else
    struct timespec m = st->st_mtim;
    struct timespec c = st->st_ctim;
#endif
    *out = (struct hf_file_stat){
        .is_dir = S_ISDIR(st->st_mode),
        .is_regular = S_ISREG(st->st_mode),
        .size = (uint64_t)st->st_size,
        .dev = (uint64_t)st->st_dev,
        .inode = (uint64_t)st->st_ino,
        .mtime_ns = (int64_t)m.tv_sec * 1000000000 + m.tv_nsec,
        .ctime_ns = (int64_t)c.tv_sec * 1000000000 + c.tv_nsec,
        .mode = (uint32_t)st->st_mode & 07777u,
        .uid = st->st_uid,
        .gid = st->st_gid,
    };
}

enum hf_code hf_file_stat(struct hf_file *f, struct hf_file_stat *out, struct hf_err *err)
{
    struct stat st;
    int sys = hf_fault_hit(HF_FAULT_STAT, f->path);
    if (sys == 0 && fstat(f->fd, &st) != 0)
        sys = errno;
    if (sys != 0)
        return hf_err_sys(err, sys, "stat %s", f->path);
    fill_stat(&st, out);
    return HF_OK;
}

enum hf_code hf_file_map(struct hf_file *f, size_t len, void **out, struct hf_err *err)
{
    hf_assert(len > 0);
    int sys = hf_fault_hit(HF_FAULT_MMAP, f->path);
    void *p = MAP_FAILED;
    errno = sys;
    if (sys == 0)
        p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
    if (p == MAP_FAILED)
        return hf_err_sys(err, errno, "map %zu bytes of %s", len, f->path);
    *out = p;
    return HF_OK;
}

void hf_file_unmap(void *p, size_t len)
{
    if (p != NULL)
        munmap(p, len);
}

enum hf_code hf_file_set_mtime_ms(struct hf_file *f, int64_t wall_ms, struct hf_err *err)
{
    struct timespec ts = {.tv_sec = (time_t)(wall_ms / 1000),
                          .tv_nsec = (long)(wall_ms % 1000) * 1000000};
    struct timespec both[2] = {ts, ts};
    if (futimens(f->fd, both) != 0)
        return hf_err_sys(err, errno, "set the time of %s", f->path);
    return HF_OK;
}

enum hf_code hf_path_stat(const char *path, struct hf_file_stat *out, struct hf_err *err)
{
    struct stat st;
    int sys = hf_fault_hit(HF_FAULT_STAT, path);
    if (sys == 0 && stat(path, &st) != 0)
        sys = errno;
    if (sys != 0)
        return hf_err_sys(err, sys, "stat %s", path);
    fill_stat(&st, out);
    return HF_OK;
}

bool hf_path_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}
