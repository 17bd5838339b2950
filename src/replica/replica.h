/*
 * One database's replica: LTX files under <path>/ltx/<level>/ of a store, as Litestream lays them
 * out on files (ltx/0 raw, ltx/1..8 compacted, ltx/9 snapshots).
 *
 * Called by sync, compaction, restore and follow, from worker threads; the handle is stateless

 * apart from names and what it knows of packs, so any number of threads may use it at once. Format:
 docs/formats/ltx.md.
 */
#ifndef HF_REPLICA_REPLICA_H
#define HF_REPLICA_REPLICA_H

#include "ltx/decode.h"
#include "ltx/encode.h"
#include "ltx/ltx.h"
#include "store/store.h"

struct hf_replica;

/* One LTX file of a listing. */
struct hf_ltx_info {
    int level;
    uint64_t min_txid;
    uint64_t max_txid;
    uint64_t size;
    int64_t time_ms; /* as the store tells it: the header's timestamp */
    uint64_t pack;   /* number of the pack it is in; 0: an object of its own */
    uint64_t offset; /* in the pack */
};

struct hf_ltx_list {
    struct hf_ltx_info *items;
    size_t len;
    size_t cap;
};

void hf_ltx_list_deinit(struct hf_ltx_list *l);
void hf_ltx_list_push(struct hf_ltx_list *l, const struct hf_ltx_info *info);

/* store is borrowed and must outlive the replica; path: prefix inside the store, "" for its root.
 */
HF_MUST enum hf_code hf_replica_new(struct hf_store *store, const char *path,
                                    struct hf_replica **out, struct hf_err *err);
void hf_replica_free(struct hf_replica *r);
struct hf_store *hf_replica_store(const struct hf_replica *r);
/* The prefix inside the store, without slashes at its ends; "" for the root. */
const char *hf_replica_path(const struct hf_replica *r);
/* "file:///backups/app" for messages. */
const char *hf_replica_name(const struct hf_replica *r);

/* Its L0 files go into packs from now on (packs.h), which outlives it; up: directories from the
 * replica's up to the one that holds "packs". Before other threads use it. */
struct hf_packs;
void hf_replica_pack(struct hf_replica *r, struct hf_packs *packs, unsigned up);
/* L0 files put from now on are kept for their compaction (kept.h), which outlives it. Before other
 * threads use it. */
struct hf_kept;
void hf_replica_keep(struct hf_replica *r, struct hf_kept *kept);
/* What L0 holds up to this TXID is in L1 now. */
void hf_replica_forget(struct hf_replica *r, uint64_t max_txid);
/* How names begin, in the store, of what lies `up` directories above the replica ("../"), and the
 * replica's path below that one. The caller frees both. */
void hf_replica_above(const struct hf_replica *r, unsigned up, char **base, char **path);

/* "<path>/ltx/<level>/<name>"; the caller frees. */
char *hf_replica_object(const struct hf_replica *r, const struct hf_ltx_info *info);

/* Appends the files of a level with max TXID > after (0 = all), ascending by min then max. Other
 * names are ignored. L0 has what is in packs, too; a name in ltx/0 says that there is. L0 is sought
 * by name: one of its files that begins more than HF_LIMIT_FOLD_FILES before after is not found
 * then. */
HF_MUST enum hf_code hf_replica_list(struct hf_replica *r, int level, uint64_t after,
                                     struct hf_ltx_list *out, struct hf_err *err);
/* The L0 file of these TXIDs, in a pack or not: fills size, time and pack. HF_E_NOT_FOUND. */
HF_MUST enum hf_code hf_replica_look(struct hf_replica *r, struct hf_ltx_info *info,
                                     struct hf_err *err);
/* Around the encoding of a small file that is put then: of packed replicas few are encoded at once,
 * and their pack waits a moment for it. */
void hf_replica_begin_file(struct hf_replica *r);
void hf_replica_end_file(struct hf_replica *r);
/* To be entered by who encodes and sends a large one on one of many threads; NULL: not packed. */
struct hf_gate *hf_replica_gate(struct hf_replica *r);
/* A directory to watch for new L0 files, or NULL; see hf_store_watch_dir. */
char *hf_replica_watch_dir(struct hf_replica *r);
/* All ten levels. */
HF_MUST enum hf_code hf_replica_list_all(struct hf_replica *r, struct hf_ltx_list *out,
                                         struct hf_err *err);
/* What was listed ends with last: is that all there is? HF_E_CORRUPT: a pack that can't be read may
 * hold more. Costs a request only when there is such a pack. */
HF_MUST enum hf_code hf_replica_check_end(struct hf_replica *r, const struct hf_ltx_info *last,
                                          struct hf_err *err);
/* Highest max TXID over all levels; 0 for an empty replica. */
HF_MUST enum hf_code hf_replica_position(struct hf_replica *r, uint64_t *txid, struct hf_err *err);

/* Create-only put of an encoded file; the name and time come from the header given. */
HF_MUST enum hf_code hf_replica_put(struct hf_replica *r, int level, const struct hf_ltx_header *h,
                                    const void *data, size_t len, struct hf_err *err);
/* A create-only streaming put; writer as in store.h. */
HF_MUST enum hf_code hf_replica_writer_new(struct hf_replica *r, int level,
                                           const struct hf_ltx_header *h,
                                           struct hf_store_writer **out, struct hf_err *err);
/* A sink that writes to a store writer (arg = the writer). */
struct hf_sink hf_replica_sink(struct hf_store_writer *w);

/* Opens a file of the replica for decoding. The source's name and arg belong to the input;
 * reads go straight to the store, the decoder has the buffer. */
struct hf_replica_input;
HF_MUST enum hf_code hf_replica_input_new(struct hf_replica *r, const struct hf_ltx_info *info,
                                          struct hf_replica_input **out, struct hf_err *err);
struct hf_source hf_replica_input_source(struct hf_replica_input *in);
void hf_replica_input_free(struct hf_replica_input *in);

/* Only the header of a file. */
HF_MUST enum hf_code hf_replica_read_header(struct hf_replica *r, const struct hf_ltx_info *info,
                                            struct hf_ltx_header *h, struct hf_err *err);
/* The page form of the newest L0 (or, without L0, the newest file); block form for an empty one. */
HF_MUST enum hf_code hf_replica_form(struct hf_replica *r, enum hf_ltx_form *form,
                                     struct hf_err *err);
/* Deletes files. Missing ones are success. */
HF_MUST enum hf_code hf_replica_delete(struct hf_replica *r, const struct hf_ltx_info *infos,
                                       size_t n, struct hf_err *err);

#endif
