/*
 * The hf_path_* half of os/file.h: names and directories.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/random.h"
#include "os/fault.h"
#include "os/file.h"

enum hf_code hf_path_rename(const char *from, const char *to, struct hf_err *err)
{
    int sys = hf_fault_hit(HF_FAULT_RENAME, to);
    if (sys == 0 && rename(from, to) != 0)
        sys = errno;
    if (sys != 0)
        return hf_err_sys(err, sys, "rename %s to %s", from, to);
    return HF_OK;
}

/* link() fails where the name exists on every file system that has hard links; where it has none
 * the kernel's own exclusive rename is the way. */
static int rename_excl(const char *from, const char *to)
{
#if defined(__linux__) && defined(RENAME_NOREPLACE)
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
#elif defined(__APPLE__)
    if (renamex_np(from, to, RENAME_EXCL) == 0)
        return 0;
    if (errno != ENOTSUP && errno != EINVAL)
        return errno;
#endif
    if (link(from, to) != 0)
        return errno;
    unlink(from);
    return 0;
}

enum hf_code hf_path_rename_new(const char *from, const char *to, struct hf_err *err)
{
    int sys = hf_fault_hit(HF_FAULT_RENAME, to);
    if (sys == 0)
        sys = rename_excl(from, to);
    if (sys != 0)
        return hf_err_sys(err, sys, "rename %s to %s", from, to);
    return HF_OK;
}

enum hf_code hf_path_remove(const char *path, struct hf_err *err)
{
    int sys = hf_fault_hit(HF_FAULT_UNLINK, path);
    if (sys == 0 && unlink(path) != 0 && errno != ENOENT)
        sys = errno;
    if (sys != 0)
        return hf_err_sys(err, sys, "remove %s", path);
    return HF_OK;
}

enum hf_code hf_path_rmdir(const char *path, struct hf_err *err)
{
    int sys = hf_fault_hit(HF_FAULT_UNLINK, path);
    if (sys == 0 && rmdir(path) != 0 && errno != ENOENT)
        sys = errno;
    if (sys != 0)
        return hf_err_sys(err, sys, "remove directory %s", path);
    return HF_OK;
}

static enum hf_code mkdir_one(const char *path, uint32_t perm, bool *is_new, struct hf_err *err)
{
    int sys = hf_fault_hit(HF_FAULT_MKDIR, path);
    *is_new = false;
    if (sys == 0 && mkdir(path, (mode_t)perm) == 0) {
        *is_new = true;
        return HF_OK;
    }
    if (sys == 0)
        sys = errno;
    struct stat st;
    if (sys == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return HF_OK;
    return hf_err_sys(err, sys == EEXIST ? ENOTDIR : sys, "create directory %s", path);
}

enum hf_code hf_path_mkdirs(const char *path, uint32_t perm, struct hf_err *err)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return HF_OK;
    HF_AUTO_FREE char *p = hf_strdup(path);
    size_t len = strlen(p);
    for (size_t i = 1; i <= len; i++) {
        if (p[i] != '/' && p[i] != '\0')
            continue;
        char keep = p[i];
        bool is_new = false;
        p[i] = '\0';
        if (stat(p, &st) != 0 || !S_ISDIR(st.st_mode))
            HF_TRY(mkdir_one(p, perm, &is_new, err));
        if (is_new) {
            HF_AUTO_FREE char *parent = hf_path_dir(p);
            HF_TRY(hf_path_sync_dir(parent, err));
        }
        p[i] = keep;
    }
    return HF_OK;
}

enum hf_code hf_path_sync_dir(const char *path, struct hf_err *err)
{
    int sys = hf_fault_hit(HF_FAULT_FSYNC, path);
    if (sys != 0)
        return hf_err_sys(err, sys, "fsync directory %s", path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return hf_err_sys(err, errno, "open directory %s", path);
    int rc = fsync(fd);
    sys = errno;
    close(fd);
    if (rc != 0 && sys != EINVAL) /* some file systems have no directory fsync */
        return hf_err_sys(err, sys, "fsync directory %s", path);
    return HF_OK;
}

enum hf_code hf_path_read(const char *path, size_t max, char **data, size_t *len,
                          struct hf_err *err)
{
    struct hf_file f = HF_FILE_CLOSED;
    struct hf_file_stat st;
    HF_TRY(hf_file_open(path, HF_FILE_READ, 0, &f, err));
    enum hf_code rc = hf_file_stat(&f, &st, err);
    if (rc == HF_OK && st.is_dir)
        rc = hf_err_set(err, HF_E_INVALID, "%s is a directory", path);
    if (rc == HF_OK && st.size > max)
        rc = hf_err_set(err, HF_E_LIMIT, "%s has %llu bytes, the limit is %zu", path,
                        (unsigned long long)st.size, max);
    if (rc != HF_OK) {
        hf_file_close(&f);
        return rc;
    }
    /* size is 0 for pipes and files of /proc: read what comes, up to max */
    size_t cap = st.is_regular && st.size > 0 ? (size_t)st.size : max;
    char *buf = hf_malloc(cap + 1);
    size_t got = 0;
    rc = hf_file_read_some(&f, buf, cap, 0, &got, err);
    hf_file_close(&f);
    if (rc != HF_OK) {
        hf_free(buf);
        return rc;
    }
    buf[got] = '\0';
    *data = buf;
    *len = got;
    return HF_OK;
}

static enum hf_code write_temp(const char *tmp, const void *data, size_t len, uint32_t perm,
                               struct hf_err *err)
{
    struct hf_file f = HF_FILE_CLOSED;
    HF_TRY(hf_file_open(tmp, HF_FILE_CREATE_NEW, perm, &f, err));
    enum hf_code rc = hf_file_write_at(&f, data, len, 0, err);
    if (rc == HF_OK)
        rc = hf_file_sync(&f, err);
    hf_file_close(&f);
    return rc;
}

enum hf_code hf_path_write_atomic(const char *path, const void *data, size_t len, uint32_t perm,
                                  struct hf_err *err)
{
    HF_AUTO_FREE char *tmp = hf_asprintf("%s.%08x.tmp", path, hf_random_u32());
    HF_AUTO_FREE char *dir = hf_path_dir(path);
    enum hf_code rc = write_temp(tmp, data, len, perm, err);
    if (rc == HF_OK)
        rc = hf_path_rename(tmp, path, err);
    if (rc != HF_OK) {
        unlink(tmp);
        return rc;
    }
    return hf_path_sync_dir(dir, err);
}

static bool entry_is_dir(const char *dir, const struct dirent *e)
{
    if (e->d_type == DT_DIR)
        return true;
    if (e->d_type != DT_UNKNOWN && e->d_type != DT_LNK)
        return false;
    struct stat st;
    HF_AUTO_FREE char *p = hf_path_join(dir, e->d_name);
    return stat(p, &st) == 0 && S_ISDIR(st.st_mode);
}

enum hf_code hf_path_list(const char *dir, hf_path_list_fn *fn, void *arg, struct hf_err *err)
{
    int sys = hf_fault_hit(HF_FAULT_OPEN, dir);
    DIR *d = NULL;
    errno = sys;
    if (sys == 0)
        d = opendir(dir);
    if (d == NULL)
        return hf_err_sys(err, errno, "open directory %s", dir);
    enum hf_code rc = HF_OK;
    while (rc == HF_OK) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (e == NULL && errno != 0)
            rc = hf_err_sys(err, errno, "read directory %s", dir);
        if (e == NULL)
            break;
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = fn(arg, e->d_name, entry_is_dir(dir, e), err);
    }
    closedir(d);
    return rc;
}

char *hf_path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);
    if (n == 0)
        return hf_strdup(name);
    if (name[0] == '\0')
        return hf_strdup(dir);
    return hf_asprintf(dir[n - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}

char *hf_path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return hf_strdup(".");
    return slash == path ? hf_strdup("/") : hf_strndup(path, (size_t)(slash - path));
}

char *hf_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return hf_strdup(slash == NULL ? path : slash + 1);
}

enum hf_code hf_path_absolute(const char *path, char **out, struct hf_err *err)
{
    if (path[0] == '\0')
        return hf_err_set(err, HF_E_INVALID, "an empty path");
    char whole[PATH_MAX];
    if (realpath(path, whole) != NULL) {
        *out = hf_strdup(whole);
        return HF_OK;
    }
    if (errno != ENOENT && errno != ENOTDIR)
        return hf_err_sys(err, errno, "resolve %s", path);
    HF_AUTO_FREE char *dir = hf_path_dir(path);
    HF_AUTO_FREE char *base = hf_path_base(path);
    if (strcmp(dir, path) == 0 || base[0] == '\0')
        return hf_err_set(err, HF_E_INVALID, "cannot resolve %s", path);
    HF_AUTO_FREE char *parent = NULL;
    HF_TRY(hf_path_absolute(dir, &parent, err));
    hf_assert(parent != NULL);
    *out = hf_path_join(parent, base);
    return HF_OK;
}
