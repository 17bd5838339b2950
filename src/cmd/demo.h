/*
 * The pieces of `holdfast demo`: a primary, its replica and a standby in one folder, as three child
 * processes; then the primary is killed and the standby takes over.
 *
 *   demo.c         the command: set-up, the story step by step, clean-up
 *   demo_app.c     the ordinary program: SQL only, and its log of acknowledged commits
 *   demo_live.c    watches the three at work: rate, lags, WAL
 *   demo_proof.c   afterwards: what is on the standby, held against the dead primary
 *   demo_show.c    words, the live line, the result as table or JSON
 *
 * What is acknowledged: a commit whose number the program has written to its log after COMMIT
 * returned. The log stands for the program's clients, so it lives outside the primary's folder.
 *
 * Main thread of one process; every wait has a limit and ends at SIGINT, SIGTERM and SIGHUP.
 */
#ifndef HF_CMD_DEMO_H
#define HF_CMD_DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/limits.h"
#include "os/child.h"
#include "replica/replica.h"
#include "sqlite/conn.h"

enum {
    HF_DEMO_RTO_LIMIT_MS = 5000,  /* kill to first commit */
    HF_DEMO_RPO_EXTRA_MS = 1000,  /* time lost: sync interval and this */
    HF_DEMO_WAL_LIMIT = 32 << 20, /* bytes of the primary's log */
    HF_DEMO_SECONDS_MAX = 300,    /* of the live phase */
    HF_DEMO_SAMPLE_MS = 100,      /* between two looks, on average */
    HF_DEMO_SAMPLES = HF_DEMO_SECONDS_MAX * 1000 / HF_DEMO_SAMPLE_MS,
    HF_DEMO_RATE_MAX = 5000, /* commits a second asked for */
    HF_DEMO_PROMISES_MAX = 12,
};

/* Breaks a promise on purpose, for tests: a check that cannot fail shows nothing. */
enum hf_demo_break { HF_DEMO_SOUND, HF_DEMO_STALL, HF_DEMO_GAP, HF_DEMO_EDIT };

struct hf_demo_options {
    int64_t seconds; /* of the live phase */
    int64_t rate;    /* commits a second */
    int64_t sync_interval_ns;
    const char *dir; /* NULL: TMPDIR or /tmp */
    bool keep;
    bool json;
    int sabotage; /* enum hf_demo_break */
};

struct hf_demo_paths {
    char *root;
    char *primary; /* folder */
    char *db;
    char *wal;
    char *replica; /* folder */
    char *url;     /* of it */
    char *standby; /* folder */
    char *copy;    /* the database in it */
    char *gone;    /* the primary's folder after its death */
    char *gone_db;
    char *then; /* restored to a point in time */
    char *acks;
};

struct hf_demo_samples {
    uint32_t ms[HF_DEMO_SAMPLES];
    size_t n;
};

struct hf_demo_facts {
    uint64_t start_ms; /* monotonic, of the whole run */
    double live_seconds;
    double rate;    /* commits a second in the live phase */
    uint64_t acked; /* number of the last acknowledged commit */
    int64_t acked_ms;
    uint64_t standby_seq; /* newest commit of the primary on the standby */
    int64_t standby_ms;
    uint64_t lost;
    int64_t lost_ms;
    double rto_ms;
    double catch_up_ms; /* part of it: until the standby had what the replica had */
    uint64_t wal_peak;
    struct hf_demo_samples replica_lag;
    struct hf_demo_samples standby_lag;
    int64_t then_ms; /* the point in time */
    uint64_t then_seq;
};

struct hf_demo_promise {
    const char *name; /* for JSON: "rto" */
    const char *text;
    bool is_kept;
    char measured[48];
    char limit[32];
    char why[240]; /* of a broken one */
};

struct hf_demo_show {
    int fd; /* -1: silent */
    bool is_terminal;
    bool has_color;
    bool is_drawn;    /* a live line stands unfinished */
    double next_line; /* second of the next one, where there is no terminal */
};

struct hf_demo {
    struct hf_demo_options o;
    struct hf_demo_paths path;
    struct hf_demo_show show;
    char exe[HF_LIMIT_PATH];
    struct hf_child writer;
    struct hf_child replicator;
    struct hf_child follower;
    struct hf_store *store;
    struct hf_replica *replica;
    struct hf_demo_facts facts;
    struct hf_demo_promise promises[HF_DEMO_PROMISES_MAX];
    size_t n_promises;
};

/* ---- demo.c ---- */

/* HF_E_CANCELED after a signal. */
HF_MUST enum hf_code hf_demo_check_signals(struct hf_err *err);
/* Also an error if one of the children has ended; tells the last line of its output. */
HF_MUST enum hf_code hf_demo_check(struct hf_demo *d, struct hf_err *err);

/* ---- demo_app.c ---- */

struct hf_demo_app {
    const char *db;
    const char *acks;
    int64_t rate;
};
/* The program: creates the database and commits until it is killed. arg: struct hf_demo_app. */
int hf_demo_app_run(void *arg);
/* One transaction of it: order number seq. */
HF_MUST enum hf_code hf_demo_app_commit(struct hf_conn *c, uint64_t seq, struct hf_err *err);
/* Last acknowledged commit: number and time; 0 and 0 before the first. */
HF_MUST enum hf_code hf_demo_acks_read(const char *path, uint64_t *seq, int64_t *wall_ms,
                                       struct hf_err *err);

/* ---- demo_live.c ---- */

/* Watches for o.seconds; fills live_seconds, rate, lags, wal_peak, then_ms. */
HF_MUST enum hf_code hf_demo_live(struct hf_demo *d, struct hf_err *err);
/* Newest commit a database holds, 0 and 0 if none. HF_E_NOT_FOUND: no such table yet, or no file.
 */
HF_MUST enum hf_code hf_demo_newest(struct hf_conn *c, uint64_t *seq, int64_t *wall_ms,
                                    struct hf_err *err);
/* 0 <= percent <= 100; 0 without samples. Sorts. */
uint32_t hf_demo_percentile(struct hf_demo_samples *s, int percent);

/* ---- demo_proof.c ---- */

/* c: the standby, after its first commit. Adds the promises about what it holds. */
void hf_demo_prove_standby(struct hf_demo *d, struct hf_conn *c);
/* Restores to facts.then_ms into a fresh file and adds its promise. Only signals are errors. */
HF_MUST enum hf_code hf_demo_prove_then(struct hf_demo *d, struct hf_err *err);
/* The promises that are figures. */
void hf_demo_prove_figures(struct hf_demo *d);

/* ---- demo_show.c ---- */

void hf_demo_show_init(struct hf_demo_show *s, bool is_json);
void hf_demo_say(struct hf_demo *d, const char *fmt, ...) HF_PRINTF(2, 3);
/* A numbered paragraph. */
void hf_demo_step(struct hf_demo *d, int number, const char *fmt, ...) HF_PRINTF(3, 4);
struct hf_demo_look {
    double seconds;
    uint64_t acked;
    double rate;
    uint32_t replica_lag_ms;
    uint32_t standby_lag_ms;
    uint64_t wal_bytes;
};
void hf_demo_live_head(struct hf_demo *d);
void hf_demo_live_line(struct hf_demo *d, const struct hf_demo_look *look);
/* Ends an unfinished line. */
void hf_demo_live_end(struct hf_demo *d);
void hf_demo_show_result(struct hf_demo *d);
HF_MUST enum hf_code hf_demo_print_json(struct hf_demo *d, struct hf_err *err);
size_t hf_demo_n_broken(const struct hf_demo *d);

#endif
