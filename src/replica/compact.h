/*
 * Compaction (levels 1 to 8), snapshots (level 9) and retention of one replica.
 *
 * Everything is merged from what the replica holds; the database is never read. Blocking; called on
 * a maintenance thread, one call per replica at a time. Decisions are pure functions
 * (hf_compact_due, hf_retention_pick) with tables of cases in compact_test.c.
 */
#ifndef HF_REPLICA_COMPACT_H
#define HF_REPLICA_COMPACT_H

#include "replica/replica.h"

/* Sees every merged page of a compaction, in order: how page checksums are kept up to date. */
struct hf_page_hook {
    enum hf_code (*page)(void *arg, uint32_t pgno, const void *page, struct hf_err *err);
    void *arg; /* page == NULL: no hook */
};

/* Ticks are the multiples of interval_ms (> 0) of wall time, as Litestream aligns them: true if a
 * tick has passed since newest_ms, the time of the level's newest file (0 = none). Pure. */
bool hf_compact_due(int64_t interval_ms, int64_t newest_ms, int64_t now_ms);

struct hf_compact_result {
    bool is_done;             /* false: there was nothing to compact */
    struct hf_ltx_header out; /* of the file written */
    uint64_t bytes;           /* its size; 0: it was there already */
};

/* Merges the files of level - 1 that lie beyond level's highest TXID (of an empty level: beyond the
 * newest snapshot) into one file of level. More than HF_LIMIT_MERGE_INPUTS inputs are merged up to
 * that many (call again). A gap between them that no other level bridges is HF_E_CORRUPT naming
 * both files; at a bridged one the output ends (call again). form: page form to write. An already
 * existing output of the same name is success (we crashed after writing it). */
HF_MUST enum hf_code hf_compact_level(struct hf_replica *r, int level, enum hf_ltx_form form,
                                      struct hf_page_hook hook, struct hf_compact_result *res,
                                      struct hf_err *err);
/* Writes the snapshot 1..position to level 9 from the newest snapshot and what follows it;
 * is_done false if it would equal the newest one. spill_dir: for runs when inputs are too many. */
HF_MUST enum hf_code hf_compact_snapshot(struct hf_replica *r, enum hf_ltx_form form,
                                         const char *spill_dir, struct hf_compact_result *res,
                                         struct hf_err *err);

struct hf_retention {
    bool is_enabled;               /* retention.enabled */
    int64_t l0_retention_ms;       /* l0-retention; 0 = L0 files stay until compacted, then go */
    int64_t snapshot_retention_ms; /* snapshot.retention, or retention of 0.3 */
};

/* Picks the files to delete out of a complete listing. Pure. Rules and proof: retention.c. L0 once
 * a compacted file holds it and it is old enough, newest L0 kept; levels 1 to 9 what ends before
 * the newest snapshot that is older than its retention, newest of each level kept: any moment of
 * the retention stays restorable at the granularity there is. Appends to out. */
void hf_retention_pick(const struct hf_ltx_list *all, const struct hf_retention *policy,
                       int64_t now_ms, bool l0_only, struct hf_ltx_list *out);
/* Lists, picks and deletes; *deleted may be NULL. */
HF_MUST enum hf_code hf_retention_run(struct hf_replica *r, const struct hf_retention *policy,
                                      int64_t now_ms, bool l0_only, size_t *deleted,
                                      struct hf_err *err);

#endif
