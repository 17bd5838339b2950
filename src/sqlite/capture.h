/*
 * Follows the log of one live database without a gap and collects the newest image of every page
 * that was committed.
 *
 * What is held when:
 *
 *   following   one read slot k >= 1: the log can't be restarted, every frame stays readable
 *   drained     slot 0, entered at the first look that finds captured == mxFrame == nBackfill:
 * writers may restart the log; once the new one has a frame nothing can be copied back and it can't
 * be restarted again restart     seen while drained: take slot k, read the header anew, then drop
 * slot 0: frame 1 of the new log follows the last of the old one
 *
 * Continuity comes from these locks, never from the salts: while slot 0 has been held without a
 * break since "drained" was entered, every log seen begins at frame 1 as our successor whatever its
 * salts. A second, independent check: the index's change counter grows by exactly 1 a commit.
 *
 * Draining is eager, because while the log can't be restarted every commit past the application's
 * autocheckpoint threshold runs a checkpoint with fsync.
 *
 * One hf_capture belongs to one thread (the engine's capture thread). Pages are kept in memory up
 * to HF_LIMIT_BATCH_BYTES (less if told so), then in a spill file up to HF_LIMIT_SPILL_BYTES;
 * beyond that pages of one transaction are kept as references into the log, and the log is held
 * until they are shipped. Design: ARCHITECTURE.md, "Capture"; the format: sqlite/wal.h.
 */
#ifndef HF_SQLITE_CAPTURE_H
#define HF_SQLITE_CAPTURE_H

#include "sqlite/live.h"
#include "sqlite/pageset.h"

/* A place in a log, and the cumulative checksum that proves it. frame 0: before the first. */
struct hf_wal_pos {
    uint32_t salt[2];
    uint32_t frame;
    uint32_t cksum[2]; /* of that frame; meaningless for frame 0 */
};

/* True if the log with these salts is the one of pos. A log that never had a frame has salts 0, and
 * so has every other such log: it proves nothing. */
bool hf_wal_pos_is_of(const struct hf_wal_pos *pos, const uint32_t salt[2]);

/* Everything captured since the last take: the input of one LTX file. */
struct hf_batch {
    struct hf_pageset *pages;
    uint32_t page_size;
    uint32_t commit;        /* database size in pages at the end; 0 = nothing was captured */
    struct hf_wal_pos from; /* frames behind this one ... */
    struct hf_wal_pos to;   /* ... up to this one; other salts than from: the log was restarted */
    uint32_t n_commits;
    int64_t first_wall_ms; /* when the oldest commit in it was seen */
};

void hf_batch_deinit(struct hf_batch *b);

struct hf_capture;

enum hf_capture_state { HF_CAPTURE_FOLLOWING, HF_CAPTURE_DRAINED };

/* Whether a look may let go of the log when everything in it was copied back. A log that was just
 * restarted is empty until its first transaction commits; whoever rests on slot 0 then keeps that
 * transaction's own checkpoint from running, so an empty log is held while it is being written. */
enum hf_drain {
    HF_DRAIN_NO,    /* a reference into the log is still needed, or a checkpoint of ours runs */
    HF_DRAIN_ANY,   /* also an empty one: nobody is writing */
    HF_DRAIN_USED,  /* only one that has frames */
    HF_DRAIN_LEAVE, /* hold it again: frames are being appended (hf_capture_is_appended) */
};

/* What a look found. */
struct hf_look {
    bool has_new;          /* frames were captured */
    bool is_full;          /* the batch must be taken before more can be captured */
    bool wants_recovery;   /* nobody ran recovery, or a dead writer left a torn index: one SQL
                            connection must read once */
    bool is_waiting_drain; /* following with everything captured, backfill still behind */
    uint32_t log_frames;   /* mxFrame */
    uint32_t backfill;
};

/*
 * Starts at a position that is known to be shipped: HF_E_CONFLICT if the log does not continue it
 * (then use _new_base). is_main_unchanged: the main file's identity and times prove that nothing
 * was copied back since pos: then a log with other salts is a continuation if nBackfill is 0. live
 * is taken over on success only. Takes a slot (HF_E_BUSY if there is none).
 */
HF_MUST enum hf_code hf_capture_new(struct hf_live *take_live, const struct hf_wal_pos *pos,
                                    uint32_t commit, bool is_main_unchanged,
                                    struct hf_capture **out, struct hf_err *err);
/*
 * Starts for a base image: everything behind nBackfill is captured (by looks), everything before it
 * is in the main file. pages (out): size of the database in pages at the start.
 */
HF_MUST enum hf_code hf_capture_new_base(struct hf_live *take_live, struct hf_capture **out,
                                         uint32_t *pages, struct hf_err *err);
void hf_capture_free(struct hf_capture *c);

/* Where and how much may be kept: bytes of page images in memory, and in a spill file in spill_dir
 * (NULL: none; borrowed, for this and every batch that was taken). Holds from the next look on. */
void hf_capture_set_room(struct hf_capture *c, const char *spill_dir, size_t memory_bytes,
                         uint64_t spill_bytes);

/* Reads what is new and moves between following and drained. HF_E_BUSY: locks or the index are
 * being changed: look again in a moment. HF_E_CONFLICT: continuity was lost (a bug or somebody
 * broke the locks): free it and make a new base. drain: see there.
 * needed. */
HF_MUST enum hf_code hf_capture_look(struct hf_capture *c, enum hf_drain drain,
                                     struct hf_look *look, struct hf_err *err);

/* Adds the pages that a growing database never wrote to the log (free leaf pages), so that the
 * batch is complete, and hands it over; the caller deinits it. HF_E_NOT_FOUND if nothing was
 * captured. */
HF_MUST enum hf_code hf_capture_take(struct hf_capture *c, struct hf_batch *out,
                                     struct hf_err *err);
/* The batch being collected, for base images that add pages of the main file. */
struct hf_batch *hf_capture_batch(struct hf_capture *c);

enum hf_capture_state hf_capture_state(const struct hf_capture *c);
struct hf_live *hf_capture_live(struct hf_capture *c);
/* Drained, and a writer appends to the same log instead of restarting it: frames lie behind our
 * position that no commit has made visible yet. While slot 0 is held, the checkpoint that follows
 * that commit could not run. Reads the log. */
bool hf_capture_is_appended(const struct hf_capture *c);
/* Bytes of frames that are committed and not captured yet; 0 also while the index is being changed.
 */
uint64_t hf_capture_ahead_bytes(const struct hf_capture *c);
/* Bytes of page images waiting to be taken: in memory, in the spill file. */
size_t hf_capture_pending_bytes(const struct hf_capture *c);
uint64_t hf_capture_spilled_bytes(const struct hf_capture *c);
uint32_t hf_capture_commit(const struct hf_capture *c);
struct hf_wal_pos hf_capture_pos(const struct hf_capture *c);

#endif
