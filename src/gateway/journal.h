/*
 * The journal: what every request used, in a SQLite file, written by a thread of its own.
 *
 *   loop ──► bounded queue ──► writer thread ──► one transaction for all that waits
 *                                               at once if a hold waits, else after 100 ms at most
 *
 *   usage  one row a try that was sent and one a request that was not: who, where, tokens, cost
 *   spent  sums a day and key, kept for good, in the same transactions as the rows
 *   hold   what was set aside for requests under way
 *
 * A request with a budget is sent only after its hold is on the disk (told), and its hold goes in
 * the transaction that brings its usage. So what a crash leaves in hold was sent and never settled:
 * at the next start it is charged in full, outcome "unsettled". Usage rows themselves may lose the
 * last 100 ms.
 *
 * When the disk refuses: holds fail (their requests are refused), usage rows wait in the queue and
 * are tried again every second; a full queue drops new rows and counts them. Both are logged as
 * errors. is_failing says so meanwhile.
 *
 * Threads: hf_journal_put and _stats from any; _open and _close on the main thread.
 */
#ifndef HF_GATEWAY_JOURNAL_H
#define HF_GATEWAY_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct hf_journal;

enum {
    HF_JOURNAL_NAME = 256, /* names of models; longer ones are cut */
    HF_JOURNAL_WORD = 64   /* names of keys and hosts, outcomes */
};

enum hf_journal_kind {
    HF_JOURNAL_HOLD, /* sets aside micro and tokens */
    HF_JOURNAL_DROP, /* the hold is over, nothing was used */
    HF_JOURNAL_USE   /* a row, and the hold of the same request and number is over */
};

struct hf_journal_record {
    struct hf_journal_record *next; /* the journal's */
    enum hf_journal_kind kind;
    char request[32]; /* id; with number the name of a hold */
    int64_t number;   /* which try */
    int64_t at_ms;    /* wall */
    int64_t day;      /* that it is charged to */
    char key[HF_JOURNAL_WORD];
    char route[HF_JOURNAL_NAME];
    char host[HF_JOURNAL_WORD];
    char model[HF_JOURNAL_NAME];
    int64_t tokens_in; /* of a hold: the bound */
    int64_t tokens_out;
    int64_t tokens_cached;
    int64_t micro; /* cost, millionths */
    int64_t took_ms;
    char outcome[HF_JOURNAL_WORD];
    bool is_last;      /* of its request */
    bool is_estimated; /* the host did not say how much */
    /* Of a hold: called once on the writer thread, or by put when it fails. */
    void (*told)(void *arg, bool is_held);
    void *arg;
};

struct hf_journal_opts {
    const char *path;
    int64_t keep_ms; /* age at which usage rows go */
};

struct hf_journal_sum {
    const char *key;
    int64_t day;
    int64_t micro;
    int64_t tokens;
};
typedef void hf_journal_sum_fn(void *arg, const struct hf_journal_sum *sum);

/* Opens or creates the file (0600), charges what a crash left, tells every sum, and starts the
 * writer. Errors as of hf_conn_open. */
HF_MUST enum hf_code hf_journal_open(const struct hf_journal_opts *o, hf_journal_sum_fn *fn,
                                     void *arg, struct hf_journal **out, struct hf_err *err);
/* Takes a record of hf_calloc. A hold that cannot be is told at once. */
void hf_journal_put(struct hf_journal *j, struct hf_journal_record *take_record);
/* Writes what waits (one try when the disk refuses) and ends the thread. NULL is allowed. */
void hf_journal_close(struct hf_journal *j);
const char *hf_journal_path(const struct hf_journal *j);

struct hf_journal_stats {
    uint64_t written; /* records */
    uint64_t dropped;
    uint64_t charged; /* holds of a crash that the start charged */
    uint64_t waiting;
    bool is_failing;
};
void hf_journal_stats(struct hf_journal *j, struct hf_journal_stats *out);

#endif
