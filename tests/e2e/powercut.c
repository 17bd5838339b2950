/*
 * Records what processes do to the files below one directory, for the simulation of power cuts
 * (powercut.py): LD_PRELOAD it with POWERCUT_ROOT (the directory, no slash at its end) and
 * POWERCUT_LOG. POWERCUT_BOOT names a file to read in place of the system's boot id. Linux only.
 *
 * A record is: kind (1 byte), then little-endian u64 inode, u64 number, u32 length, u32 length, and
 * two byte strings of those lengths.
 *
 *   C create    inode, path                M mkdir     inode, path
 *   T truncate  inode, size                U unlink    path (rmdir, too)
 *   W write     inode, offset, data        R rename    inode, from, to
 *   S fsync begins, inode, thread          L link      inode, from, to
 *   E fsync has ended, inode, thread
 *
 * A change and its record are made under one lock of all recorded processes, so the order of records
 * is the order of changes. An fsync stands in the log twice: it covers what was written before it
 * began, and holds once it has ended. Nothing of ours or SQLite's but the -shm is written through a
 * mapping, and that file means nothing after a power cut.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, #name))

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static pid_t log_pid;

/* Before the change: the record must not come after somebody else's later one. */
static void enter(void)
{
    int keep = errno;
    pthread_mutex_lock(&mutex);
    if (log_fd < 0 || log_pid != getpid()) { /* a lock is shared with what forked us */
        const char *path = getenv("POWERCUT_LOG");
        log_fd = path == NULL ? -1
                              : (int)syscall(SYS_openat, AT_FDCWD, path,
                                             O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        log_pid = getpid();
    }
    if (log_fd >= 0)
        flock(log_fd, LOCK_EX);
    errno = keep;
}

static void leave(void)
{
    int keep = errno;
    if (log_fd >= 0)
        flock(log_fd, LOCK_UN);
    pthread_mutex_unlock(&mutex);
    errno = keep;
}

static void put(char kind, uint64_t ino, uint64_t n, const void *a, size_t a_len, const void *b,
                size_t b_len)
{
    int keep = errno;
    unsigned char h[25];
    uint32_t lens[2] = {(uint32_t)a_len, (uint32_t)b_len};
    h[0] = (unsigned char)kind;
    memcpy(h + 1, &ino, 8);
    memcpy(h + 9, &n, 8);
    memcpy(h + 17, lens, 8);
    struct iovec v[3] = {{h, sizeof(h)}, {(void *)a, a_len}, {(void *)b, b_len}};
    if (log_fd >= 0 && syscall(SYS_writev, log_fd, v, 3) != (long)(sizeof(h) + a_len + b_len))
        abort();
    errno = keep;
}

/* The path made absolute, NULL when it is not below the root. */
static const char *below(const char *path, char *buf, size_t cap)
{
    const char *root = getenv("POWERCUT_ROOT");
    if (root == NULL || path == NULL)
        return NULL;
    if (path[0] != '/') {
        if (getcwd(buf, cap / 2) == NULL)
            return NULL;
        size_t n = strlen(buf);
        snprintf(buf + n, cap - n, "/%s", path);
        path = buf;
    }
    size_t len = strlen(root);
    return strncmp(path, root, len) == 0 && path[len] == '/' ? path : NULL;
}

/* True for files and directories below the root: their inode. */
static int is_ours(int fd, uint64_t *ino)
{
    char name[64];
    char path[4096];
    struct stat st;
    int keep = errno;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, path, sizeof(path) - 1);
    int is = n > 0 && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
    if (is) {
        const char *root = getenv("POWERCUT_ROOT");
        size_t len = root == NULL ? 0 : strlen(root);
        path[n] = '\0';
        *ino = st.st_ino;
        is = len > 0 && strncmp(path, root, len) == 0 && (path[len] == '/' || path[len] == '\0');
    }
    errno = keep;
    return is;
}

static uint64_t inode_of(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 ? st.st_ino : 0;
}

/* ---- names ---- */

static int do_open(int dir, const char *path, int flags, mode_t mode)
{
    char buf[8192];
    const char *boot = getenv("POWERCUT_BOOT");
    if (boot != NULL && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        path = boot;
    const char *p = (flags & (O_CREAT | O_TRUNC)) != 0 ? below(path, buf, sizeof(buf)) : NULL;
    if (p == NULL)
        return (int)syscall(SYS_openat, dir, path, flags, mode);
    enter();
    int is_new = inode_of(p) == 0;
    int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    if (fd >= 0 && is_new)
        put('C', inode_of(p), 0, p, strlen(p), "", 0);
    if (fd >= 0 && !is_new && (flags & O_TRUNC) != 0)
        put('T', inode_of(p), 0, "", 0, "", 0);
    leave();
    return fd;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode_t mode = (flags & O_CREAT) != 0 ? va_arg(ap, mode_t) : 0;                             \
        va_end(ap);                                                                                \
        return do_open(AT_FDCWD, path, flags, mode);                                               \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                               \
    int name(int dir, const char *path, int flags, ...)                                            \
    {                                                                                              \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode_t mode = (flags & O_CREAT) != 0 ? va_arg(ap, mode_t) : 0;                             \
        va_end(ap);                                                                                \
        return do_open(dir, path, flags, mode);                                                    \
    }
OPENAT(openat)
OPENAT(openat64)

#define MKSTEMP(name)                                                                              \
    int name(char *path)                                                                           \
    {                                                                                              \
        char buf[8192];                                                                            \
        enter();                                                                                   \
        int fd = REAL(int (*)(char *), name)(path);                                                \
        const char *p = below(path, buf, sizeof(buf));                                             \
        if (fd >= 0 && p != NULL)                                                                  \
            put('C', inode_of(p), 0, p, strlen(p), "", 0);                                         \
        leave();                                                                                   \
        return fd;                                                                                 \
    }

MKSTEMP(mkstemp)
MKSTEMP(mkstemp64)

static int moved(char kind, const char *from, const char *to, int rc)
{
    char one[8192];
    char two[8192];
    const char *a = below(from, one, sizeof(one));
    const char *b = below(to, two, sizeof(two));
    if (rc == 0 && a != NULL && b != NULL)
        put(kind, inode_of(b), 0, a, strlen(a), b, strlen(b));
    return rc;
}

int rename(const char *from, const char *to)
{
    enter();
    int rc = moved('R', from, to, (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
    leave();
    return rc;
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
    enter();
    int rc = moved('R', from, to, (int)syscall(SYS_renameat2, a, from, b, to, flags));
    leave();
    return rc;
}

int link(const char *from, const char *to)
{
    enter();
    int rc = moved('L', from, to, (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0));
    leave();
    return rc;
}

static int removed(const char *path, int flags)
{
    char buf[8192];
    enter();
    const char *p = below(path, buf, sizeof(buf));
    int rc = (int)syscall(SYS_unlinkat, AT_FDCWD, path, flags);
    if (rc == 0 && p != NULL)
        put('U', 0, 0, p, strlen(p), "", 0);
    leave();
    return rc;
}

int unlink(const char *path)
{
    return removed(path, 0);
}

int rmdir(const char *path)
{
    return removed(path, AT_REMOVEDIR);
}

int mkdir(const char *path, mode_t mode)
{
    char buf[8192];
    enter();
    const char *p = below(path, buf, sizeof(buf));
    int rc = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (rc == 0 && p != NULL)
        put('M', inode_of(p), 0, p, strlen(p), "", 0);
    leave();
    return rc;
}

/* ---- contents ---- */

static ssize_t do_pwrite(int fd, const void *data, size_t len, off_t at)
{
    uint64_t ino = 0;
    if (!is_ours(fd, &ino))
        return syscall(SYS_pwrite64, fd, data, len, at);
    enter();
    ssize_t n = syscall(SYS_pwrite64, fd, data, len, at);
    if (n > 0)
        put('W', ino, (uint64_t)at, data, (size_t)n, "", 0);
    leave();
    return n;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    return do_pwrite(fd, data, len, at);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off_t at)
{
    return do_pwrite(fd, data, len, at);
}

ssize_t write(int fd, const void *data, size_t len)
{
    uint64_t ino = 0;
    if (!is_ours(fd, &ino))
        return syscall(SYS_write, fd, data, len);
    enter();
    ssize_t n = syscall(SYS_write, fd, data, len);
    off_t end = lseek(fd, 0, SEEK_CUR);
    if (n > 0)
        put('W', ino, (uint64_t)(end - n), data, (size_t)n, "", 0);
    leave();
    return n;
}

static int do_truncate(int fd, off_t size)
{
    uint64_t ino = 0;
    if (!is_ours(fd, &ino))
        return (int)syscall(SYS_ftruncate, fd, size);
    enter();
    int rc = (int)syscall(SYS_ftruncate, fd, size);
    if (rc == 0)
        put('T', ino, (uint64_t)size, "", 0, "", 0);
    leave();
    return rc;
}

int ftruncate(int fd, off_t size)
{
    return do_truncate(fd, size);
}

int ftruncate64(int fd, off_t size)
{
    return do_truncate(fd, size);
}

static int synced(int fd, long call)
{
    uint64_t ino = 0;
    if (!is_ours(fd, &ino))
        return (int)syscall(call, fd);
    uint64_t thread = (uint64_t)syscall(SYS_gettid);
    enter();
    put('S', ino, thread, "", 0, "", 0);
    leave();
    int rc = (int)syscall(call, fd);
    enter();
    if (rc == 0)
        put('E', ino, thread, "", 0, "", 0);
    leave();
    return rc;
}

int fsync(int fd)
{
    return synced(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return synced(fd, SYS_fdatasync);
}
