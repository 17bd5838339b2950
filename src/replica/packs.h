/*
 * A directory of packs as one process knows it: which there are, what of which replica is in them,
 * and the next one that is being filled.
 *
 *   put ──┐
 *   put ──┼─ gathered until the interval's next tick ──► one create-only object NUMBER.pack
 *   put ──┘                                              all puts return
 *
 * The numbers have no gaps when they are made and are what writers compete for: who finds the next
 * one taken reads it before it tries the one behind. So nobody writes without having seen every
 * pack before, and two that ship one database notice each other: HF_E_EXISTS, as from a name in
 * ltx/0.
 *
 * The newest pack is never deleted: numbers must not begin anew.
 *
 * Any thread. A put blocks until its pack is durable; whoever finds no pack being written writes
 * the next one. Tables are read under io_lock, which is held over requests; everything else under
 * lock, which is not.
 */
#ifndef HF_REPLICA_PACKS_H
#define HF_REPLICA_PACKS_H

#include "replica/pack.h"
#include "replica/replica.h"

struct hf_packs;
struct hf_packs_member;

/* store is borrowed; base: how names in it begin that lie beside the packs' directory: "../", "" or
 * "a/b/". interval_ms: between two packs; 0: it is only read. keep_ms: no pack is deleted sooner by
 * anybody. */
struct hf_packs *hf_packs_new(struct hf_store *store, const char *base, uint64_t interval_ms,
                              uint64_t keep_ms);
void hf_packs_free(struct hf_packs *p);

/* A replica that is to be packed (borrowed until it leaves); path: below base. */
struct hf_packs_member *hf_packs_join(struct hf_packs *p, struct hf_replica *r, const char *path);
/* r, which joined as m, is about to go; no put of it is under way. */
void hf_packs_leave(struct hf_packs *p, struct hf_packs_member *m, const struct hf_replica *r);
/* One of the members ships this often: packs are written as often as the fastest needs. */
void hf_packs_hurry(struct hf_packs *p, uint64_t interval_ms);

/* Looks for packs it does not know. One that writes learns of others' when it writes itself: it
 * looks only the first time, and when a pack was gone. */
HF_MUST enum hf_code hf_packs_refresh(struct hf_packs *p, struct hf_err *err);
/* Appends the L0 files of a replica with max TXID > after in the packs known, from number `from`
 * on. */
void hf_packs_list(struct hf_packs *p, const char *path, uint64_t from, uint64_t after,
                   struct hf_ltx_list *out);
/* A pack from number `from` on whose table is damaged, and which may hold what comes after txid,
 * the end of what is known of a replica, committed at time_ms. 0: there is none. */
uint64_t hf_packs_hides(struct hf_packs *p, const char *path, uint64_t from, uint64_t txid,
                        int64_t time_ms);
/* The next pack's number as far as known. */
uint64_t hf_packs_next(struct hf_packs *p);

/* Blocks. len 0: only that these TXIDs are taken. HF_E_EXISTS: another writer ships this replica,
 * too (told once, to whoever puts next). */
HF_MUST enum hf_code hf_packs_put(struct hf_packs *p, struct hf_packs_member *m,
                                  const struct hf_ltx_header *h, const void *data, size_t len,
                                  struct hf_err *err);

/* Of its many putters so many do at once what takes memory: not held while one waits in a put. */
struct hf_gate *hf_packs_gate(struct hf_packs *p);
/* 1: a file is about to be encoded, the next pack may wait a moment for it. -1: it was. */
void hf_packs_coming(struct hf_packs *p, int more);

/* The object a file is in; the caller frees. */
char *hf_packs_object(const struct hf_packs *p, uint64_t number);
/* Somebody waits for a sync: for a moment packs go without waiting for their interval. */
void hf_packs_flush(struct hf_packs *p);

/* Reads a file out of its pack: info->size bytes. HF_E_NOT_FOUND: the pack is gone. */
HF_MUST enum hf_code hf_packs_read(struct hf_packs *p, const struct hf_ltx_info *info, uint8_t *out,
                                   struct hf_err *err);

/* Files of a replica that nobody needs any more. */
void hf_packs_release(struct hf_packs *p, const char *path, const struct hf_ltx_info *infos,
                      size_t n);

/* How a pack is rid of what keeps it. */
struct hf_packs_policy {
    int64_t now_ms;
    int64_t own_age_ms;   /* files of members in packs older than this are looked at ... */
    int64_t other_age_ms; /* ... and of replicas nobody here ships */
    /* Releases what retention lets go of in a member's replica; may be NULL. */
    enum hf_code (*retain)(void *arg, struct hf_replica *r, struct hf_err *err);
    void *arg;
};
/* Something could be done: cheap, no requests. */
bool hf_packs_is_untidy(struct hf_packs *p, const struct hf_packs_policy *policy);
/* Old packs: what retention does not release is copied to its replica's ltx/0, then they go. So a
 * database that rests, or is gone, keeps no pack. */
HF_MUST enum hf_code hf_packs_tidy(struct hf_packs *p, const struct hf_packs_policy *policy,
                                   struct hf_err *err);

#endif
