/*
 * Many copies at once: restores, or restores and follows, every database of a list; a bounded
 * number of restores at a time, all followers on a few threads.
 *
 *   hf_standby_new → hf_standby_add for each → hf_standby_run until all are done or stopped →
 *   hf_standby_row for the results → hf_standby_free
 *
 * Each database is a state machine of its own (the table below); one that fails never holds up
 * another. A database is restored from the freshest of its replicas, and from the next if that one
 * turns out damaged. A copy that is followed keeps to the replica its state names (follow.h).
 *
 * Threads: the caller's runs the loop, the watches and tick(); restores run on `parallelism`
 * threads, followers' steps on HF_STANDBY_STEPPERS others, so that a large restore delays no
 * follower. Every function is for the caller's thread, but hf_standby_stop.
 */
#ifndef HF_REPLICA_STANDBY_H
#define HF_REPLICA_STANDBY_H

#include <stdbool.h>
#include <stdint.h>

#include "replica/restore.h"

enum {
    HF_STANDBY_STEPPERS = 8,  /* a step on a remote store is one or two requests of latency */
    HF_STANDBY_TICK_MS = 200, /* tick(), and missing watches are set */
    HF_STANDBY_RETRY_MAX_MS = 30000, /* a failing database is looked at this often at last */
};

/* X(name, word shown to people, what it means) */
#define HF_STANDBY_STATES(X)                                                                       \
    X(HF_STANDBY_QUEUED, "queued", "its turn has not come yet")                                    \
    X(HF_STANDBY_WAITING, "waiting", "there is no replica yet, or it can't be read: tried again")  \
    X(HF_STANDBY_RESTORING, "restoring", "being read from its replica")                            \
    X(HF_STANDBY_FOLLOWING, "following", "a copy that readers may use and that is kept current")   \
    X(HF_STANDBY_DONE, "restored", "whole, verified and in place")                                 \
    X(HF_STANDBY_PLANNED, "planned", "what a restore would read; nothing was written")             \
    X(HF_STANDBY_SKIPPED, "skipped", "nothing to do, as an -if flag says")                         \
    X(HF_STANDBY_FAILED, "failed", "given up, for the reason given")

enum hf_standby_state {
#define X(name, word, doc) name,
    HF_STANDBY_STATES(X)
#undef X
};

const char *hf_standby_word(enum hf_standby_state s);

struct hf_standby_options {
    struct hf_restore_target target;
    enum hf_integrity integrity;
    bool is_force;
    bool is_follow;
    bool is_dry_run;
    bool is_endless;        /* more databases may come: hf_standby_run ends only when stopped */
    bool if_db_not_exists;  /* an existing database is skipped; not when following */
    bool if_replica_exists; /* a missing replica is no failure; not when following */
    int parallelism;        /* restores at a time, 1 to 64 */
    uint64_t interval_ms;   /* longest time between two looks of a follower */
    /* Called about every HF_STANDBY_TICK_MS; false stops. NULL = none. */
    bool (*tick)(void *arg);
    void *tick_arg;
};

/* Borrowed: must live until hf_standby_free. */
struct hf_standby_item {
    const char *name; /* the database as configured */
    const char *path; /* the copy to make */
    struct hf_replica *const *replicas;
    size_t n_replicas; /* at least one, HF_STANDBY_REPLICAS at most; the rest is not looked at */
};

enum { HF_STANDBY_REPLICAS = 16 };

struct hf_standby_row {
    const char *name;
    const char *path;
    const char *replica; /* URL of the one in use, NULL before one was chosen */
    enum hf_standby_state state;
    uint64_t txid;      /* the copy stands at (planned: would stand at); 0 = none, or 0.3 */
    int64_t time_ms;    /* when its last commit was captured; 0 = not known */
    int64_t lag_ms;     /* following: from then to when readers of the copy saw it */
    int64_t checked_ms; /* following: since the last good look at the replica; -1 = none yet */
    uint64_t bytes;     /* of the database; planned: to read */
    uint64_t done;      /* restoring: of total */
    uint64_t total;
    uint64_t files;     /* following: applied */
    uint64_t wal_bytes; /* following: the copy's log */
    double seconds;     /* restored in */
    enum hf_code code;  /* of the last failure, HF_OK without one */
    const char *error;  /* its text, "" without one; valid until the next call */
};

struct hf_standby;

HF_MUST enum hf_code hf_standby_new(const struct hf_standby_options *o, struct hf_standby **out,
                                    struct hf_err *err);
/* Also from tick(). */
void hf_standby_add(struct hf_standby *s, const struct hf_standby_item *item);
/* Until every database is done, skipped, planned or failed, or until stopped; then the copies that
 * are followed are let go of, as ordinary databases. */
void hf_standby_run(struct hf_standby *s);
/* Ends hf_standby_run soon: what is half restored is removed. Any thread, signal handlers too. */
void hf_standby_stop(struct hf_standby *s);
size_t hf_standby_count(const struct hf_standby *s);
void hf_standby_row(const struct hf_standby *s, size_t i, struct hf_standby_row *out);
/* NULL is allowed. */
void hf_standby_free(struct hf_standby *s);

#endif
