#include "sqlite/vfs.h"

#include "os/fault.h"
#include "sqlite/wal.h"

int hf_vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    if (hf_fault_hit(HF_FAULT_OPEN, name) != 0)
        return SQLITE_CANTOPEN;
    return vfs->xOpen(vfs, name, file, flags, out_flags);
}

int hf_vfs_read(sqlite3_file *file, const char *path, void *buf, int len, sqlite3_int64 offset)
{
    if (hf_fault_hit(HF_FAULT_READ, path) != 0)
        return SQLITE_IOERR_READ;
    return file->pMethods->xRead(file, buf, len, offset);
}

int hf_vfs_size(sqlite3_file *file, const char *path, sqlite3_int64 *size)
{
    if (hf_fault_hit(HF_FAULT_STAT, path) != 0)
        return SQLITE_IOERR_FSTAT;
    return file->pMethods->xFileSize(file, size);
}

int hf_vfs_sync(sqlite3_file *file, const char *path)
{
    if (hf_fault_hit(HF_FAULT_FSYNC, path) != 0)
        return SQLITE_IOERR_FSYNC;
    return file->pMethods->xSync(file, SQLITE_SYNC_FULL);
}

int hf_vfs_lock(sqlite3_file *file, const char *path, int level)
{
    if (hf_fault_hit(HF_FAULT_LOCK, path) != 0)
        return SQLITE_IOERR_LOCK;
    return file->pMethods->xLock(file, level);
}

int hf_vfs_shm_map(sqlite3_file *file, const char *path, int block, int is_extended,
                   void volatile **out)
{
    if (hf_fault_hit(HF_FAULT_MMAP, path) != 0)
        return SQLITE_IOERR_SHMMAP;
    return file->pMethods->xShmMap(file, block, HF_WALINDEX_BLOCK_SIZE, is_extended, out);
}

int hf_vfs_shm_lock(sqlite3_file *file, const char *path, int first, int n, int flags)
{
    if ((flags & SQLITE_SHM_LOCK) != 0 && hf_fault_hit(HF_FAULT_LOCK, path) != 0)
        return SQLITE_IOERR_SHMLOCK;
    return file->pMethods->xShmLock(file, first, n, flags);
}
