/*
 * One replicated database: its state, its jobs, its timers. Private to the engine.
 *
 * Everything here belongs to the capture thread, except what a running job uses: a job's work()
 * runs on a worker thread and may touch only the fields listed with it; done() runs on the capture
 * thread again.
 */
#ifndef HF_REPLICA_DB_H
#define HF_REPLICA_DB_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/limits.h"
#include "os/loop.h"
#include "os/pool.h"
#include "os/watch.h"
#include "replica/base.h"
#include "replica/engine.h"
#include "replica/position.h"
#include "replica/replica.h"
#include "sqlite/capture.h"
#include "sqlite/sqlproc.h"

struct engine;

/* X(name, word shown to people, what it means) */
#define DB_STATES(X)                                                                               \
    X(DB_INIT, "starting", "reading the replica's position")                                       \
    X(DB_WAIT, "waiting", "no file, or an empty one: the directory watch wakes us")                \
    X(DB_COLD, "cold", "nothing open; main file proven to hold the shipped TXID")                  \
    X(DB_COLD_BASE, "snapshot", "image of a database nobody has open")                             \
    X(DB_SQL, "sql", "the SQL child converts, recovers or closes it")                              \
    X(DB_BASE_PREP, "image", "bringing page checksums to the replica's TXID")                      \
    X(DB_BASE_SCAN, "image", "reading the main file while capture goes on")                        \
    X(DB_LIVE, "replicating", "following the log")                                                 \
    X(DB_RETRY, "error", "waiting to try again")                                                   \
    X(DB_CLOSED, "closed", "the engine is ending")

enum db_state {
#define X(name, word, doc) name,
    DB_STATES(X)
#undef X
};

const char *db_state_word(enum db_state s);

enum {
    DB_SMALL_BYTES = 4 << 20,      /* images up to this are read in one go */
    DB_RUN_BYTES = 8 << 20,        /* captured pages that make an overlay run during a scan */
    DB_IDLE_CHECKPOINT_MS = 10000, /* quiet with frames not copied back: we checkpoint */
    DB_COLD_MS = 15000,            /* quiet and drained: try to close */
    DB_COLD_LARGE_MS = 600000,     /* the same for one whose re-base would be costly */
    DB_COLD_MAX_MS = 3600000,      /* ... at most this seldom when others keep it open */
    DB_GIVE_UP_MS = 2000,          /* batch full and the store does not take it: let the log go */
    DB_BUSY_MIN_MS = 2,            /* first retry of a lock that is taken */
    DB_BUSY_QUIET_MS = 1000,       /* busy for longer than this is an error */
    DB_RETRY_MIN_MS = 100,
    DB_RETRY_MAX_MS = 30000,
    DB_SETTLE_MS = 20, /* age of a main file's times before they prove anything */
    DB_APPEND_MS = 20, /* after an event: is somebody appending to a drained log? */
    DB_EMPTY_MS = 100, /* a restarted log may get its first frames so long after an event */
    DB_LONG_LOG_BYTES = 6 << 20, /* a log longer than this is let go of under the write lock ... */
    DB_DRAIN_HOLD_MS = 250,      /* ... kept at most so long while the application checkpoints */
    DB_DRAIN_START_MS = 20,      /* ... so long until it begins to, if it did lately */
    DB_DRAIN_IDLE_MS = 3,        /* ... and if it did not */
    DB_DRAIN_GAP_MIN_MS = 10,    /* between two that were of no use, doubled ... */
    DB_DRAIN_GAP_MAX_MS = 400,   /* ... up to this */
    DB_OWN_CKPT_MS = 10000,      /* an application that checkpointed so lately will do so again */
    DB_BEHIND_LONG_MS = 1000,    /* ... but not if its long log was left alone for so long */
    DB_BEHIND_MS = 50,           /* one that never does is given this long once */
    DB_CKPT_GAP_MS = 20,         /* between two checkpoints of ours */
    DB_ROOM_MIN_BYTES = 1 << 20, /* memory a database may always capture into */
    DB_SHIP_NOW_BYTES = 4 << 20, /* pending that is shipped at once */
    DB_SHIP_GAP_MS = 200,        /* between early uploads of less */
    DB_PHASE_MAX_MS = 30000,     /* levels of all databases are spread over so long */
    DB_TORN_MS = 10,             /* a wal-index torn for longer: is its writer alive? ... */
    DB_TORN_LOOK_MS = 50,        /* ... looked at at least this often */
    DB_CKPT_EVENT_MS = 500,      /* a checkpoint without a write for so long has died */
    DB_AWAIT_MS = 200,   /* fast polling for the end of an application's checkpoint, at most */
    DB_SPIN_US = 1000,   /* ... on the spot for a short one */
    DB_LOOKS = 8,        /* looks in a row when it has ended */
    DB_WARM_MS = 4,      /* commits this close together ... */
    DB_WARM_COMMITS = 8, /* ... so often in a row: polled. A burst of a few is over by then */
    DB_HOT_MS = 30,      /* no news for this long: no longer polled */
};

struct db;
struct dest;

/* Work of one lane; never queued twice. err is set while is_busy and after a failure until done().
 * Of a database, or (dest is set) of one of its destinations. */
struct db_job {
    struct hf_task task;
    struct db *db;
    struct dest *dest;
    enum hf_code (*work)(struct db *db, struct hf_err *err);
    void (*done)(struct db *db, enum hf_code rc, struct hf_err *err);
    enum hf_code (*dest_work)(struct dest *d, struct hf_err *err);
    void (*dest_done)(struct dest *d, enum hf_code rc, struct hf_err *err);
    struct hf_err *err;
    enum hf_code rc;
    bool is_busy;
};

enum db_lane { LANE_SHIP, LANE_BASE, LANE_SQL, LANE_TRIM, LANE_COUNT };

/* Worker threads for the destinations of one service: a dead one keeps only its own waiting. */
struct lane_group {
    char *key;
    struct hf_pool *ship;
    struct hf_pool *upkeep;
    struct lane_group *next;
};

/* X(name, word shown to people, what it means) */
#define DEST_STATES(X)                                                                             \
    X(DEST_NEW, "unknown", "what it holds is not known: to be listed")                             \
    X(DEST_CHECK, "checking", "is what it holds our history?")                                     \
    X(DEST_OK, "ok", "holds our history up to txid")                                               \
    X(DEST_FOREIGN, "other history", "holds another one up to txid: a snapshot beyond it is due")

enum dest_state {
#define X(name, word, doc) name,
    DEST_STATES(X)
#undef X
};

/* Another destination as a job sees it. */
struct dest_peer {
    struct hf_replica *replica;
    uint64_t txid;
};

/*
 * One destination of a database. With a single one it is where capture ships to, and only its
 * upkeep lives here; of several, each takes from the spool what it lacks (db_dest.c).
 */
struct dest {
    struct db *db;
    const struct hf_config_replica *conf;
    struct hf_replica *replica; /* owned, but for a single one: then db's */
    struct lane_group *group;   /* NULL for a single one */
    enum dest_state state;
    uint64_t txid;
    uint64_t mark; /* what we last knew it to hold, from before the start; 0 = nothing */
    struct hf_ltx_header head; /* of its newest file when it was listed */
    bool has_form;
    enum hf_ltx_form form;
    bool is_tried;     /* listed, or that failed once */
    int64_t behind_ms; /* wall time of the oldest commit it lacks; 0 = none */
    uint64_t behind_bytes;
    uint64_t stuck_since_ms; /* nobody has what it lacks */

    /* the ship job's */
    struct db_job ship;
    struct hf_ltx_list chain; /* in the spool; empty: from the peer */
    struct dest_peer peers[HF_LIMIT_REPLICAS];
    size_t n_peers;
    unsigned peer_turn;
    uint64_t
        newest_alone; /* TXID of the spool's newest file, if it holds that one alone; 0 = none */
    struct hf_ltx_header sent; /* or found */
    uint64_t sent_bytes;
    bool is_same;

    uint64_t retry_ms;
    uint64_t retry_at;
    uint64_t last_ship_ms;
    char *last_error;
    enum hf_code last_code; /* of it */
    unsigned n_refused;     /* see db_note_refused */
    uint64_t errors;
    int64_t last_sync_ms; /* wall time of the last upload; 0 = none yet */
    uint64_t ship_ms;     /* spent on uploads */
    uint64_t shipped_files;
    uint64_t shipped_bytes;

    /* upkeep lane: bit d = level d has new input; HF_LEVEL_SNAPSHOT, too */
    struct db_job upkeep;
    unsigned due;                       /* asked for */
    unsigned doing;                     /* the job's */
    unsigned n_inputs[HF_LIMIT_LEVELS]; /* files written to level - 1 since; [9]: any file */
    unsigned n_done[HF_LIMIT_LEVELS];   /* the job's: outputs by level */
    unsigned at;                        /* the job's: the bit it was at, where it failed */
    unsigned failing;                   /* bits that failed and have not worked since */
    enum hf_code upkeep_code;           /* of the failure that was said and stands; 0: none */
    uint64_t healed_ms;
    uint64_t empty_since_ms; /* it lists nothing though it held something; 0: it does not */
};

/* The L0 files (and snapshots of new chains) in the local state directory that some destination
 * still lacks, oldest first. The newest stays. */
struct spool {
    struct hf_store *store;
    struct hf_ltx_list files;
    uint64_t bytes;
    struct hf_ltx_list gone; /* the trim job's */
};

/* A watched directory and, while the watch can't be set, when to try again. */
struct db_dir {
    char *path;
    struct hf_watch_dir *watch;
    struct engine *e;
    bool is_found; /* below a recursive entry: forgotten when it goes */
    struct db_dir *next;
};

struct db {
    uint32_t magic;
    struct engine *e;
    const struct hf_config_db *conf;
    struct hf_config_db *take_conf; /* of a database found in a directory later; owned */
    char *path;
    char *wal_path;
    const char *name; /* last part of path */
    char *meta;
    int64_t phase_ms;           /* its levels are due so long after the boundary */
    struct hf_replica *replica; /* capture ships here: the only destination, or the spool */
    struct dest *dests;
    size_t n_dests;
    struct spool spool;        /* of several */
    uint64_t sync_interval_ms; /* the shortest */
    struct db_dir *dir;
    struct db *hash_next;

    enum db_state state;
    uint64_t txid;       /* newest in the replica */
    uint64_t taken_txid; /* highest that somebody else took in a destination: ours go beyond */
    bool has_form;
    enum hf_ltx_form form;
    struct hf_position pos; /* txid 0: not known */

    struct hf_capture *cap;
    uint32_t log_frames; /* as last seen */
    uint32_t backfill;

    /* ship lane: batch and the rest of it belong to the job while it is busy */
    struct hf_batch batch; /* pages NULL: none */
    bool is_image;         /* the batch (or base) is the first after a break */
    uint64_t batch_bytes;
    uint64_t batch_spilled;
    size_t counted_bytes; /* what this one adds to the engine's sums */
    uint64_t counted_spilled;
    uint64_t sent_bytes; /* of the job that ended */
    bool batch_has_refs; /* pages that are only in the log: it must not be restarted */
    struct hf_position next_pos;
    struct hf_position local_pos; /* of several destinations, before the start */
    uint64_t init_since_ms;
    uint64_t born_ms;
    bool is_local_known; /* the local state was read */
    bool has_history;    /* txid is known */
    uint64_t next_txid;
    uint64_t prep_txid; /* the replica's newest when an image was begun */
    int64_t batch_first_ms;

    /* base lane */
    struct hf_base *base;
    char *sums_path;
    bool wants_new_chain; /* upkeep found the replica damaged */
    bool is_new_chain;    /* the image can't continue what the replica holds */
    uint32_t base_pages;
    uint32_t base_next; /* next page to read */
    uint32_t chunk_first;
    uint32_t chunk_n;
    uint8_t *chunk;
    struct hf_batch run;
    bool run_has_refs;
    bool is_last_run; /* the main file is read: one more run, then the end */
    bool is_moved;    /* cold base: somebody opened the database meanwhile */
    bool is_rollback; /* cold base: must be converted first */

    /* sql lane */
    enum hf_sql_action sql_action;
    bool holds_write;         /* until an application's checkpoint has ended */
    bool is_drained_by_child; /* which holds the write lock */
    uint64_t write_since_ms;
    uint64_t drain_gap_ms;
    uint64_t app_ckpt_ms; /* when the application was last seen to checkpoint */
    struct hf_file_stat cold_stat;
    bool is_cold_try;

    /* page checksums: brought up by upkeep, held still while an image is compared with them */
    pthread_mutex_t sums_lock;
    atomic_bool are_sums_held;
    struct dest_peer sum_peers[HF_LIMIT_REPLICAS]; /* the base job's: who can supply them */
    size_t n_sum_peers;
    unsigned n_sum_fails;
    bool may_know_more;     /* the base job's: a destination has not answered yet */
    struct dest *base_dest; /* a full image of several goes here at once; NULL = the spool */

    struct db_job jobs[LANE_COUNT];

    struct hf_timer timer;
    uint64_t wake_ms;  /* when the timer fires; 0 = not set */
    uint64_t retry_ms; /* delay of the next retry, 0 = none failed */
    uint64_t retry_at;
    uint64_t ship_retry_ms;
    uint64_t ship_retry_at;
    uint64_t last_ship_ms;
    uint64_t last_new_ms;
    unsigned warm_commits; /* looks in a row that found something new within DB_WARM_MS */
    uint64_t last_event_ms;
    uint64_t hold_until_ms; /* a transaction is being appended to the log: no draining */
    uint64_t last_ckpt_ms;
    uint64_t behind_since_ms;
    uint64_t full_since_ms;
    uint64_t torn_since_ms;
    uint64_t cold_after_ms;
    uint64_t relook_ms;
    bool is_hot;
    uint64_t await_since_ms;
    bool is_awaiting;
    char *last_error;
    enum hf_code last_code;     /* of it */
    unsigned n_refused;         /* see db_note_refused */
    bool is_urgent;             /* sync asked for: its interval does not count */
    bool is_gone;               /* unregistered: closed, shown nowhere, freed with the engine */
    struct hf_config *take_cfg; /* of a database registered later; owned */
    int64_t last_sync_ms;       /* wall time of the last upload; 0 = none yet */
    uint64_t ship_ms;           /* spent on uploads */
    uint64_t errors;

    uint64_t shipped_files;
    uint64_t shipped_bytes;
    uint64_t rebases;
};

struct engine {
    uint32_t magic;
    struct hf_config *cfg;
    struct hf_loop loop;
    struct hf_timer tick;
    pthread_t thread;
    struct hf_watch *watch;
    struct hf_mailbox *mailbox;
    struct hf_pool *ship_pool;
    struct hf_pool *pack_pool; /* threads that wait for packs; NULL: nothing is packed */
    struct hf_pool *upkeep_pool;
    struct hf_pool *sql_pool;
    struct hf_sqlproc *sqlproc;
    struct db **dbs;
    size_t n_dbs;
    struct db **by_name; /* hash by directory and file name */
    size_t n_buckets;
    struct db_dir *dirs;
    size_t n_dirs;
    struct store_ref **stores; /* hash by URL and endpoint */
    struct packs_ref *packs;
    struct hf_kept *kept; /* what was just put on servers */
    uint64_t synced_ms;   /* when a sync was last asked for; 0 = never */
    struct lane_group *groups;
    size_t n_groups;
    char *home_key;       /* the service of the first database with one destination */
    uint64_t spool_bytes; /* over all databases */
    size_t n_hot;
    uint64_t now_ms; /* of this turn */
    uint64_t tick_count;
    int64_t last_tick_ms; /* wall time up to which upkeep was looked at */
    uint64_t last_sql_ms;
    size_t busy_jobs;
    size_t pending_bytes; /* captured pages over all databases, as of their last look: in memory */
    uint64_t spilled_bytes; /* ... in spill files */
    bool is_awaiting;       /* a busy database is polled fast */
    bool is_urgent;         /* sync asked for: intervals do not count */
    bool is_ending;
    struct engine_call *calls; /* from the caller's thread; guarded by call_lock */
    pthread_mutex_t call_lock;
};

struct hf_engine {
    struct engine in;
};

/* ---- db.c: states, jobs, errors, life ---- */
struct db *db_new(struct engine *e, const struct hf_config_db *conf, struct hf_err *err);
/* Puts its timer on the loop; from then on it is freed only after the loop. */
void db_attach(struct db *db);
void db_free(struct db *db);
/* First step of a new one. */
void db_start(struct db *db);
/* Something may have changed: looks, ships, moves on. */
void db_step(struct db *db);
/* The watch said so. is_main: the event was for the main file. */
void db_event(struct db *db, bool is_main);
/* True when everything committed is in the replica, or nothing can be done about it now. */
bool db_is_synced(const struct db *db);
/* Notes a clean position if it can be proven, lets go of the database. */
void db_close(struct db *db);
void db_set_state(struct db *db, enum db_state s);
/* Polled or no longer. */
void db_set_hot(struct db *db, bool is_hot);
/* Logs once per change of text, remembers for status, and schedules another try from the beginning.
 */
void db_fail(struct db *db, const char *what, const struct hf_err *err);
void db_clear_error(struct db *db);
void db_wake_at(struct db *db, uint64_t at_ms);
/* Gives up the log and what was captured but not taken. */
void db_let_go(struct db *db);
/* Brings the engine's sums up to date with what this database holds. */
void db_count(struct db *db);
void db_submit(struct db *db, enum db_lane lane, enum hf_code (*work)(struct db *, struct hf_err *),
               void (*done)(struct db *, enum hf_code, struct hf_err *));
bool db_lane_busy(const struct db *db, enum db_lane lane);

/* ---- db_open.c: what its files say decides how it goes on ---- */
void db_open(struct db *db);
/* Continuity is lost: lets go of the log, brings the checksums up to date, ships the difference. */
void db_break(struct db *db, const char *why);
bool db_log_is_empty(const struct db *db);
/* The file's times are old enough to prove that nothing was written since they were taken. */
bool db_file_is_settled(const struct hf_file_stat *st);
/* Quiet time after which it is closed; it is open. */
uint64_t db_cold_after(const struct db *db);

/* ---- db_follow.c: following the log ---- */
/* One look; false if the database is no longer being followed. */
bool db_follow(struct db *db, uint64_t now);
/* A look and what follows from it, in DB_LIVE. */
void db_live_step(struct db *db, uint64_t now);
/* A busy database: steps, and waits for a checkpoint that is about to end (see db_follow.c). */
void db_poll(struct db *db);
/* The path leads to another file, or to none: the old one is gone for good. */
bool db_was_replaced(struct db *db);
/* ---- db_drain.c: the write lock, for a log that is never quiet ---- */
/* Pages that are only in the log: it must not be restarted. */
bool db_batch_holds_log(const struct db *db);
/* Before and after each look at a log that is followed. */
void db_drain_begin(struct db *db, uint64_t now);
void db_drain_end(struct db *db);

/* ---- db_init.c: where a database stands before it is opened ---- */
/* On the destination's lane, when its listing is empty: HF_E_NOT_FOUND as long as that can't be
 * believed, because something was put there; then HF_OK, and it may be filled anew. */
HF_MUST enum hf_code db_doubt_empty(struct dest *d, struct hf_err *err);
/* Says so if something was put there. */
void db_log_empty(const struct dest *d);
/* next_pos into the local state, and that the only destination holds something. */
HF_MUST enum hf_code db_save_position(struct db *db, struct hf_err *err);
void db_init_begin(struct db *db);
void db_init_step(struct db *db);

/* ---- db_ship.c ---- */
/* TXID of the next file, and where that file begins: behind it unless others took TXIDs. */
uint64_t db_next_txid(const struct db *db);
void db_file_shipped(struct db *db, uint64_t txid, int64_t first_ms);
void db_ship_if_due(struct db *db);
void db_drop_batch(struct db *db);
uint64_t db_ship_due_at(const struct db *db);

/* ---- db_base.c ---- */
void db_base_cold(struct db *db);
void db_base_prepare(struct db *db);
void db_base_step(struct db *db);
/* A piece of work on an image is under way that only its end ends: an upload, a read of the
 * replica. */
bool db_base_is_leaving(const struct db *db);
/* How far an image is, in words; false if there is none under way. */
bool db_base_tell(const struct db *db, char *text, size_t size);
void db_base_drop(struct db *db);

/* ---- db_sql.c ---- */
/* Lets the SQL child act on a closed database, then opens it again. */
void db_sql_closed(struct db *db, enum hf_sql_action action);
/* Passive checkpoint while following. */
void db_sql_checkpoint(struct db *db);
/* The same under the write lock, and lets go of the log: for applications that never checkpoint. */
void db_sql_drain(struct db *db);
/* Tries to close it properly and go cold. */
void db_sql_cool_down(struct db *db);

/* ---- db_upkeep.c ---- */
/* A file arrived in d: L0 of that TXID, or pos is NULL for one that began elsewhere. */
void db_upkeep_shipped(struct dest *d, const struct hf_position *pos);
/* Levels whose time has come (bit mask; bit 0: retention only). Does nothing without new input. */
void db_upkeep_due(struct dest *d, unsigned levels);

/* ---- db_sums.c: page checksums of a database, whoever supplies them ---- */
/* Worker: at TXID target exactly, and held there until db_sums_release(). */
HF_MUST enum hf_code db_sums_prepare(struct db *db, uint64_t target, struct hf_err *err);
void db_sums_release(struct db *db);
/* Worker: forward to target, unless they are held or ahead. */
HF_MUST enum hf_code db_sums_forward(struct db *db, struct hf_replica *r,
                                     const struct hf_ltx_info *file, struct hf_err *err);

/* ---- db_dest.c: several destinations ---- */
const char *dest_state_word(enum dest_state s);
bool db_has_spool(const struct db *db);
/* Opens the destinations of the configuration (and the spool); db->replica is set then. */
HF_MUST enum hf_code db_dests_open(struct db *db, struct hf_err *err);
void db_dests_free(struct db *db);
/* When the next upload may be, the last one having begun at last_ms. */
uint64_t dest_due_at(const struct dest *d, uint64_t last_ms, uint64_t interval_ms);
/* What is to be done next for each of them. */
void db_dests_step(struct db *db);
bool db_dests_are_synced(const struct db *db);
/* One that lacks something, or NULL. */
const struct dest *db_dest_behind(const struct db *db);
/* All that are behind were refused, each so often; *rc: how the first was. */
bool db_dests_are_refused(const struct db *db, unsigned tries, enum hf_code *rc);
void dest_submit(struct dest *d, enum hf_code (*work)(struct dest *, struct hf_err *),
                 void (*done)(struct dest *, enum hf_code, struct hf_err *));
void dest_submit_upkeep(struct dest *d, enum hf_code (*work)(struct dest *, struct hf_err *),
                        void (*done)(struct dest *, enum hf_code, struct hf_err *));
/* What is at hand of the other destinations, best first; of all of them for d NULL. */
size_t db_dest_peers(const struct db *db, const struct dest *d, struct dest_peer *out);
/* For an image that is about to be taken: who can say what the replicas hold. */
void db_dests_ask(struct db *db);
/* A full image went there: it stands at txid now. */
void dest_has_image(struct dest *d, uint64_t txid, uint64_t bytes);
/* The one a full image goes to; NULL: the spool takes it. */
struct dest *db_dest_for_image(struct db *db);
/* Its next file must be a snapshot of another one's state. */
void dest_is_damaged(struct dest *d);

/* ---- db_spool.c: local files until every destination has them ---- */
/* Worker: what is there; clears what a single destination has no use for. */
HF_MUST enum hf_code db_spool_load(struct db *db, struct hf_err *err);
/* Then on the capture thread: that is the spool. */
void db_spool_adopt(struct db *db);
uint64_t db_spool_newest(const struct db *db);
/* A file was written; first_ms: wall time of its oldest commit. */
void db_spool_push(struct db *db, int level, uint64_t min_txid, uint64_t max_txid, uint64_t bytes,
                   int64_t first_ms);
/* Deletes what nobody needs; beyond the bound, what only those behind need. */
void db_spool_trim(struct db *db);
/* Nothing more fits: no destination takes what is there. */
bool db_spool_is_full(const struct db *db);
/* Files that lead from position on, at most one upload's worth. */
void db_spool_chain(const struct db *db, uint64_t position, struct hf_ltx_list *out);

/* ---- engine_stores.c: stores and the threads that serve them ---- */
HF_MUST enum hf_code engine_get_store(struct engine *e, const struct hf_config_replica *conf,
                                      struct hf_store **out, struct hf_err *err);
/* By service: kind of store and host or bucket; of directories by their place in the list. */
HF_MUST enum hf_code engine_get_group(struct engine *e, const struct hf_config_replica *conf,
                                      size_t index, struct lane_group **out, struct hf_err *err);
/* Of a database with one destination: NULL (the engine's own threads) for the first service there
 * is, else that service's: one that hangs holds up no other. */
HF_MUST enum hf_code engine_get_lone_group(struct engine *e, const struct hf_config_replica *conf,
                                           struct lane_group **out, struct hf_err *err);
void engine_free_stores(struct engine *e);
void engine_free_groups(struct engine *e);

/* ---- engine_packs.c: directories of packs ---- */
/* r's L0 files go into packs, as conf says. */
HF_MUST enum hf_code engine_pack(struct engine *e, const struct hf_config_replica *conf,
                                 struct hf_replica *r, struct hf_err *err);
/* Somebody waits for a sync. */
void engine_flush_packs(struct engine *e);
/* Each tick: old packs go, on the upkeep threads. */
void engine_tidy_packs(struct engine *e);
void engine_free_packs(struct engine *e);

/* ---- engine.c ---- */
/* NULL on failure; the caller rehashes. */
struct db *engine_add_db(struct engine *e, const struct hf_config_db *conf, struct hf_err *err);

/* ---- engine_dirs.c: directories and what lies in them ---- */
struct db_dir *engine_get_dir(struct engine *e, const char *path);
/* Sets the watch if it is not set; logs when it can't be. */
void engine_set_watch(struct engine *e, struct db_dir *dir);
/* Those of a directory entry that is recursive and watched, too. */
void engine_watch_below(struct engine *e, const struct hf_config_db *entry);
/* Forgets sub-directories that are gone and held no database. */
void engine_drop_gone_dirs(struct engine *e);
/* After databases were added. */
void engine_rehash(struct engine *e);

/* ---- engine_calls.c: requests of other threads, answered on the capture thread ---- */
/* fn sets is_done when there is nothing more to do for it; until then it is called after each
 * wake. */
struct engine_call {
    void (*fn)(struct engine *e, struct engine_call *call);
    void *arg;
    hf_db_status_fn *status_fn;
    bool is_done;
    bool result; /* the call was begun */
    enum hf_code rc;
    char text[HF_LIMIT_PATH];
    struct engine_call *next;
};
/* After a failure: counts those in a row that another try won't mend (refused, no such container,
 * not something we do). */
void db_note_refused(unsigned *n, enum hf_code rc);
/* All that db lacks was refused, more than once since the last sync began. *rc: how. */
bool db_is_refused(const struct db *db, enum hf_code *rc);
/* "PATH is not in its replica URL: why". */
void engine_tell_behind(const struct db *db, char *text, size_t size);
/* Any other thread; true if it was done within timeout_ms. */
bool engine_call_run(struct engine *e, struct engine_call *call, uint64_t timeout_ms);
void engine_answer_calls(struct engine *e);
/* Caller's thread: the loop ends; returns when it knows. */
void engine_call_end(struct engine *e);

#endif
