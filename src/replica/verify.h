/*
 * Is the replica the database? Restores it into scratch space and compares it, page by page, with a
 * state of the source that is held still (sqlite/snapread.h) while the source moves on.
 *
 * A held state S seldom has a TXID of its own: one L0 file carries all commits of an interval. So
 * the copy is played forward, file by file, past S:
 *
 *   restored at T0 ≤ S ──► T0+1 ──► ... ──► A ──► B ──► ...        A: captured before S was held
 *                                            └─ S ─┘               B: captured after
 *
 * If the copy equals S at some TXID, that is the proof. If S lies inside B, then every page in
 * which the copy at A differs from S must be one that B (or a file that was captured within
 * HF_VERIFY_SLACK_MS) changes: those are in flight and were proven by nothing. Any other page that
 * differs is a difference: something was not shipped. The source is then held anew; a page counts
 * as proven once it was equal at one look. Pages that are in flight at every look remain: `hold_ms`
 * lets nobody commit for that long, and S then gets a TXID.
 *
 * Never in a process that captures the database. Blocking, one thread. Memory: three bits a page;
 * disk: the restored copy.
 */
#ifndef HF_REPLICA_VERIFY_H
#define HF_REPLICA_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "replica/replica.h"

enum {
    HF_VERIFY_LOOKS = 6,
    HF_VERIFY_LOOKS_ALONE = 3, /* with nobody to ask each takes as long as the slack */
    HF_VERIFY_SLACK_MS =
        5000, /* a commit is captured so long after it at most, or it is "behind" */
    HF_VERIFY_POLL_MS = 100,
    HF_VERIFY_SHOWN = 8, /* page numbers that are remembered */
};

/* X(name, word, code of the command, what it means) */
#define HF_VERDICTS(X)                                                                             \
    X(HF_VERDICT_SAME, "same", HF_OK, "every page is equal")                                       \
    X(HF_VERDICT_BUSY, "busy", HF_E_BUSY, "equal but for pages that were written at every look")   \
    X(HF_VERDICT_BEHIND, "behind", HF_E_TIMEOUT, "the replica does not hold what is committed")    \
    X(HF_VERDICT_DIFFERENT, "different", HF_E_CORRUPT, "a restore would not be the database")

enum hf_verdict {
#define X(name, word, code, doc) name,
    HF_VERDICTS(X)
#undef X
};

const char *hf_verdict_word(enum hf_verdict v);
HF_MUST enum hf_code hf_verdict_code(enum hf_verdict v);

struct hf_verify_options {
    struct hf_replica *replica;
    const char *source;
    const char *meta_path; /* local state of the source; NULL: not looked at */
    const char *scratch;   /* path of the copy to make; it and its -wal are removed at the end */
    uint64_t wait_ms;      /* for the replica to get past a held state */
    uint64_t hold_ms;      /* 0: writers are never held */
    /* Asks the replicating process to ship what is committed; HF_OK: all of it is in the replica.
     * NULL, or another code: nobody to ask, time will tell. */
    enum hf_code (*sync)(void *arg, uint64_t timeout_ms, struct hf_err *err);
    void *sync_arg;
    /* False stops with HF_E_CANCELED. NULL = none. */
    bool (*keep_on)(void *arg);
    void *keep_on_arg;
};

struct hf_verify_result {
    enum hf_verdict verdict;
    uint64_t txid; /* the copy stood at, at the last comparison */
    int64_t time_ms;
    uint32_t pages;
    uint32_t page_size;
    uint64_t n_different;            /* or in flight, by the verdict */
    uint32_t shown[HF_VERIFY_SHOWN]; /* the first of them */
    size_t n_shown;
    unsigned looks;
    double seconds;
};

/* HF_OK whatever the verdict; errors are those of restoring and of reading the source.
 * HF_E_UNSUPPORTED for replicas in the layout of Litestream 0.3. */
HF_MUST enum hf_code hf_verify_run(const struct hf_verify_options *o, struct hf_verify_result *res,
                                   struct hf_err *err);

#endif
