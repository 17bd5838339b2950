/*
 * The replicating engine: every database of a configuration, followed and shipped.
 *
 * Threads:
 *   caller        hf_engine_* (any one thread)
 *   capture       a libuv loop: directory watches, wal-index headers, timers; owns every struct db;
 *                 copies committed pages into bounded batches; never waits for a disk write
 *   ship pool     encodes, compresses, puts; base images
 *   upkeep        compaction, snapshots, retention, page checksums
 *   sql           requests to the SQL child (sqlite/sqlproc.h)
 *
 * A database is one state machine (db.c, states in db.h) and has at most one task in each
 * lane, so every queue is bounded by the number of databases.
 */
#ifndef HF_REPLICA_ENGINE_H
#define HF_REPLICA_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "config/config.h"

struct hf_engine;

struct hf_engine_options {
    struct hf_config *cfg; /* borrowed; must outlive the engine */
    const char *exe;       /* this program, for the SQL child; NULL in tests */
};

/* Starts the threads and begins to follow. HF_E_UNSUPPORTED for stores or settings we do not have.
 */
HF_MUST enum hf_code hf_engine_start(const struct hf_engine_options *opt, struct hf_engine **out,
                                     struct hf_err *err);

/* Ships what is committed now, without waiting for sync intervals, and returns when every database
 * is in its replica, or HF_E_TIMEOUT naming one that is not. When all that are not were refused,
 * more than once, it returns at once with that code (HF_E_DENIED, HF_E_NOT_FOUND...). Calls within
 * a second of each other are one sync. */
HF_MUST enum hf_code hf_engine_sync(struct hf_engine *e, uint32_t timeout_ms, struct hf_err *err);

/* Ends: stops following, notes clean positions, joins the threads, frees. NULL is allowed. */
void hf_engine_stop(struct hf_engine *e);

/* One destination of one database as it stands. */
struct hf_db_status {
    const char *path;
    const char *replica;
    const char *state;    /* word of enum db_state */
    const char *dest;     /* word of enum dest_state */
    uint64_t txid;        /* newest one in the replica */
    uint64_t spool_bytes; /* local files some destination lacks; 0 with a single one */
    int64_t lag_ms;       /* age of the oldest commit not in the replica; 0 = none */
    uint64_t pending_bytes;
    uint64_t log_bytes;
    uint64_t shipped_files;
    uint64_t shipped_bytes;
    uint64_t rebases;
    const char *type;         /* of the replica: "file" */
    bool is_stopped;          /* hf_engine_stop_db */
    bool is_image_leaving;    /* work on an image that hf_engine_stop would wait for */
    uint64_t db_bytes;        /* as of the newest TXID */
    int64_t last_sync_ms;     /* wall time of the last upload; 0 = none since the start */
    int64_t next_snapshot_ms; /* wall time; 0 = none by time */
    uint64_t errors;          /* since the start */
    uint64_t ship_ms;         /* spent on uploads */
    enum hf_code code;        /* of error */
    const char *error;        /* "" = none */
};
typedef void hf_db_status_fn(void *arg, const struct hf_db_status *s);
/* Calls fn for every destination of every database, on the capture thread, while the caller waits.
 */
void hf_engine_status(struct hf_engine *e, hf_db_status_fn *fn, void *arg);

/*
 * Single databases, by any spelling of their path; from any thread but the engine's own, several at
 * a time. HF_E_NOT_FOUND for one it does not know. (engine_ctl.c)
 */
struct hf_engine_result {
    bool is_changed; /* false: it was so already */
    uint64_t txid;   /* newest in the replica */
};
/* Ships what is committed now. HF_E_CONFLICT: it is stopped. HF_E_TIMEOUT says what it waits for;
 * with timeout_ms 0 the sync is only begun. */
HF_MUST enum hf_code hf_engine_sync_db(struct hf_engine *e, const char *path, uint32_t timeout_ms,
                                       struct hf_engine_result *res, struct hf_err *err);
/* Follows it again. */
HF_MUST enum hf_code hf_engine_start_db(struct hf_engine *e, const char *path,
                                        struct hf_engine_result *res, struct hf_err *err);
/* Syncs, then lets go of it: other programs may do with it what they like. When it can't be synced
 * within timeout_ms it is let go of all the same, and HF_E_TIMEOUT says what is missing in the
 * replica. is_forgotten: it is no longer known either. */
HF_MUST enum hf_code hf_engine_stop_db(struct hf_engine *e, const char *path, bool is_forgotten,
                                       uint32_t timeout_ms, struct hf_engine_result *res,
                                       struct hf_err *err);
/* Adds the database of a configuration (hf_config_from_args), which is taken in any case.
 * is_changed is false when it is known already. */
HF_MUST enum hf_code hf_engine_register(struct hf_engine *e, struct hf_config *take_cfg,
                                        struct hf_engine_result *res, struct hf_err *err);

#endif
