/*
 * Replicas as Litestream 0.3 laid them out; read only.
 *
 *   <path>/generations/<16 hex>/snapshots/<index, 8 hex>.snapshot.lz4
 *   <path>/generations/<16 hex>/wal/<index, 8 hex>_<offset, 8 to 16 hex>.wal.lz4
 *
 * Each object is one LZ4 frame. A snapshot is a database file. The WAL segments of one index,
 * joined by offset, are a WAL file; it is applied to the snapshot of its index, then the next
 * index. Only whole transactions count. Objects encrypted with age (0.3 could) are
 * HF_E_UNSUPPORTED.
 *
 * Called by restore, on its thread. Memory: a few buffers; one WAL at a time lies in an unnamed
 * file.
 */
#ifndef HF_REPLICA_V3_H
#define HF_REPLICA_V3_H

#include "replica/replica.h"

struct hf_v3_segment {
    uint32_t index;
    uint64_t offset; /* in the WAL */
    uint64_t size;   /* of the object */
    int64_t time_ms;
    char *object;
};

/* What to read for a restore. */
struct hf_v3_plan {
    bool is_found; /* false: the replica has no data of this layout for the target */
    char generation[17];
    uint32_t index; /* of the snapshot */
    char *snapshot; /* object name */
    uint64_t snapshot_size;
    int64_t time_ms; /* of the newest object used */
    struct hf_v3_segment *segments;
    size_t len;
    size_t cap;
};

struct hf_v3_target {
    int64_t time_ms;        /* objects up to it; INT64_MAX = latest */
    const char *generation; /* only this one; NULL = any */
    uint32_t index;         /* WAL up to this index; UINT32_MAX = all */
};

/* The newest snapshot within the target, over all generations, and the WAL behind it. plan is
 * initialized by the call; free it with _deinit in any case. HF_E_CORRUPT for missing segments. */
HF_MUST enum hf_code hf_v3_plan(struct hf_replica *r, const struct hf_v3_target *target,
                                struct hf_v3_plan *plan, struct hf_err *err);
void hf_v3_plan_deinit(struct hf_v3_plan *plan);

struct hf_v3_output {
    const char *path; /* created; HF_E_EXISTS if there. Left as it is on failure */
    uint32_t perm;
    const char *spill_dir; /* for one WAL at a time, and what a server gives faster than is read */
    unsigned requests;     /* to a server at once, 1 to HF_FETCH_REQUESTS */
    bool (*step)(void *arg, uint64_t done,
                 uint64_t total); /* object bytes; false = stop; or NULL */
    void *arg;
};

/* Writes the database, synced. *bytes: its size. */
HF_MUST enum hf_code hf_v3_restore(struct hf_replica *r, const struct hf_v3_plan *plan,
                                   const struct hf_v3_output *to, uint64_t *bytes,
                                   uint32_t *page_size, struct hf_err *err);

#endif
