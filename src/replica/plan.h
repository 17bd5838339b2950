/*
 * Which files of a replica to read, in which order: for a restore and for following.
 *
 * Pure: looks at a complete listing and nothing else. Called by restore, snapshots, follow and
 * `restore -dry-run`.
 *
 * A file [min, max] leads from any position in [min-1, max-1] to max; a position is the TXID a
 * database copy stands at, 0 being "no copy". A plan is a chain from the start to the target: each
 * file begins at or before position + 1 and ends behind it. Every level may continue every other (a
 * snapshot, too), so a hole in one level is bridged by any other. Among the chains that reach the
 * target the one with the fewest bytes to read is taken (an open counts as HF_PLAN_OPEN_BYTES);
 * O(n log n).
 *
 * Point in time: a file's time is when its last commit was captured, so a copy "as of T" is made of
 * files with time <= T, up to the highest TXID they reach. A compacted file counts as its last
 * time: the resolution is what retention has left.
 */
#ifndef HF_REPLICA_PLAN_H
#define HF_REPLICA_PLAN_H

#include "replica/replica.h"

enum { HF_PLAN_OPEN_BYTES = 4096 };

enum hf_target_kind {
    HF_TARGET_LATEST,
    HF_TARGET_TXID, /* exactly there */
    HF_TARGET_TIME, /* the last state not after it */
};

struct hf_restore_target {
    enum hf_target_kind kind;
    uint64_t txid;   /* HF_TARGET_TXID */
    int64_t time_ms; /* HF_TARGET_TIME */
};

/* Appends the chain to out, first file first; the last one's max TXID and time are what the copy
 * will be. Errors, with what is available in the text:
 * HF_E_NOT_FOUND  there are no files at all
 * HF_E_RANGE      the TXID or time lies outside what is kept, or inside a compacted file
 * HF_E_CORRUPT    TXIDs are missing that no level holds, or there is no file to begin with */
HF_MUST enum hf_code hf_plan_restore(const struct hf_ltx_list *all,
                                     const struct hf_restore_target *target,
                                     struct hf_ltx_list *out, struct hf_err *err);

/* From position cur (>= 1) as far as files lead. Appends nothing when cur is the newest. When
 * newer files exist but none continues cur: HF_E_CORRUPT naming the missing TXIDs. When the replica
 * ends before cur: HF_E_CONFLICT. A gap further on ends the plan there; the next call names it. */
HF_MUST enum hf_code hf_plan_follow(const struct hf_ltx_list *all, uint64_t cur,
                                    struct hf_ltx_list *out, struct hf_err *err);

/* The highest position files lead to from cur (0 = nothing yet); cur if none continues it. */
uint64_t hf_plan_reach(const struct hf_ltx_list *all, uint64_t cur);

/* Oldest and newest state a restore can reach by time; false if there is none. */
bool hf_plan_time_range(const struct hf_ltx_list *all, int64_t *oldest_ms, int64_t *newest_ms);

#endif
