/*
 * Objects of a store fetched ahead, several requests at once, for one thread that reads them side
 * by side, each from its beginning to its end: a merge.
 *
 *   hf_fetch_new → hf_fetch_add for each object → hf_fetch_start → hf_fetched_read … →
 * hf_fetch_free
 *
 * How an object is fetched depends on its size alone:
 *
 *   small (HF_LIMIT_FETCH_WHOLE)  whole, in the order they were added, and kept in memory until
 * read; beyond HF_LIMIT_FETCH_KEPT bytes in all, in one file without a name. No connection waits,
 * nothing is asked for twice. large                         in parts that are requested side by
 * side and delivered in order; at most a window of them is in memory, over all large objects.
 *   large, of 8 MiB and more      as one stream, read by the reading thread itself; in parts as
 * above where those turn out to be faster (pace.h). large, too many of them, or   whole into the
 * file; where the store has no ranges it is not taken no ranges                     (hf_fetch_add
 * returns NULL) and the caller reads it itself.
 *
 * Memory: requests * 2 MiB of window, HF_LIMIT_FETCH_KEPT, and one part per request that goes to
 * the file. Bytes in flight are the store's shared budget on top of that. Threads: one per request;
 * the functions are for the one reading thread.
 */
#ifndef HF_REPLICA_FETCH_H
#define HF_REPLICA_FETCH_H

#include "base/attr.h"
#include "base/err.h"
#include "store/store.h"

struct hf_fetch;
struct hf_fetched;

enum { HF_FETCH_REQUESTS = 8 }; /* at once, at most */

/* store is borrowed. requests: 1 to HF_FETCH_REQUESTS at once. spill_dir: an existing directory,
 * copied; NULL = the system's temporary one. */
struct hf_fetch *hf_fetch_new(struct hf_store *store, unsigned requests, const char *spill_dir);
/* Before the start. size as listed. The result belongs to f. */
struct hf_fetched *hf_fetch_add(struct hf_fetch *f, const char *object, uint64_t size);
HF_MUST enum hf_code hf_fetch_start(struct hf_fetch *f, struct hf_err *err);
/* *got < cap only at the object's end. Waits for what is not there yet; errors are the store's, or
 * the file's (HF_E_NO_SPACE). */
HF_MUST enum hf_code hf_fetched_read(struct hf_fetched *o, void *buf, size_t cap, size_t *got,
                                     struct hf_err *err);
/* Waits for requests under way. NULL is allowed. */
void hf_fetch_free(struct hf_fetch *f);

#endif
