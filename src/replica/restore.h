/*
 * Restores a database from a replica: one pass from the merged LTX files straight into place.
 *
 * The image is written to "<output>.tmp-<8 hex>", every checksum on the way verified, synced,
 * optionally checked by SQLite, and renamed. What had the name before stays until then. A planned
 * file that vanishes under our hands (the primary's retention) makes a new plan, RESTORE_TRIES
 * times.
 *
 * Blocking; any thread, one call per output at a time. Memory: 8 MiB of output, the merge's 16 MiB
 * of read buffers and a page or two per input; descriptors: at most about 70. See plan.h for what a
 * target means and v3.h for replicas of Litestream 0.3. From a server: 2 MiB per request at once
 * and 8 MiB more (fetch.h).
 */
#ifndef HF_REPLICA_RESTORE_H
#define HF_REPLICA_RESTORE_H

#include "replica/plan.h"
#include "replica/replica.h"
#include "replica/v3.h"
#include "sqlite/check.h"

enum { HF_RESTORE_TRIES = 5 };

struct hf_restore_progress {
    uint64_t done; /* bytes, of the database or (0.3) of the replica's objects */
    uint64_t total;
};

struct hf_restore_options {
    const char *output; /* path of the database to make; its directory is made, too */
    struct hf_restore_target target;
    enum hf_integrity integrity;
    bool is_force;          /* replace what is there */
    int parallelism;        /* requests to a server at once, up to HF_FETCH_REQUESTS; 0: two. 1:
                               decode and write on one thread; otherwise on two */
    const char *generation; /* 0.3: restore from this generation only; NULL */
    bool has_index;         /* 0.3: and WAL up to this index only */
    uint32_t index;
    /* About once a MiB; false stops with HF_E_CANCELED. NULL = none. */
    bool (*progress)(void *arg, const struct hf_restore_progress *p);
    void *progress_arg;
};

struct hf_restore_result {
    uint64_t txid; /* the copy stands at; 0 for 0.3 */
    int64_t time_ms;
    uint64_t bytes;
    uint64_t pages;
    uint64_t read_bytes; /* of the replica */
    double seconds;
    bool is_v3;
};

struct hf_restore_plan {
    bool is_v3;
    struct hf_ltx_list files; /* oldest first; empty for 0.3 */
    struct hf_v3_plan v3;
    uint64_t txid;
    int64_t time_ms;
    uint64_t bytes; /* to read */
};

/* What would be read. Errors of plan.h; HF_E_NOT_FOUND "no matching backup files available". */
HF_MUST enum hf_code hf_restore_plan_make(struct hf_replica *r, const struct hf_restore_options *o,
                                          struct hf_restore_plan *plan, struct hf_err *err);
void hf_restore_plan_deinit(struct hf_restore_plan *plan);

/* HF_E_EXISTS if the output (not empty), or a -wal or -journal of its name, is there and is_force
 * is not set. */
HF_MUST enum hf_code hf_restore_run(struct hf_replica *r, const struct hf_restore_options *o,
                                    struct hf_restore_result *result, struct hf_err *err);

#endif
