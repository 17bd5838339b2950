/*
 * Many files of a replica opened for one merge, with few descriptors and little memory.
 *
 * A merge of thousands of L0 files must not hold a descriptor each, and must not read a large base
 * twice. So: an input gives its descriptor back as soon as it has been read to its end, and inputs
 * of a large set between reads, too; and more than MERGE_MAX inputs are first merged, oldest first
 * and all but the base, into runs in unnamed files of spill_dir. Read buffers are the decoder's.
 * What lies on a server is fetched ahead, several requests at once (fetch.h).
 *
 * Used by compaction, snapshots and restore; one thread.
 */
#ifndef HF_REPLICA_INPUT_H
#define HF_REPLICA_INPUT_H

#include "ltx/merge.h"
#include "replica/replica.h"

struct hf_fetch;

/* Like hf_replica_input_new, but fetched by f, if f takes it. Readable once f has started. */
HF_MUST enum hf_code hf_replica_input_fetch(struct hf_replica *r, const struct hf_ltx_info *info,
                                            struct hf_fetch *f, struct hf_replica_input **out,
                                            struct hf_err *err);
/* Between reads no descriptor is kept. Before the first read. */
void hf_replica_input_set_frugal(struct hf_replica_input *in);
/* Bytes read so far. */
uint64_t hf_replica_input_bytes(const struct hf_replica_input *in);

struct hf_inputs;

struct hf_inputs_how {
    const char *spill_dir; /* an existing directory, NULL = the system's temporary one; used beyond
                              512 files, and for what a server gives faster than it is read */
    unsigned requests;     /* to a server at once, at most HF_FETCH_REQUESTS */
};

/* Opens n >= 1 files, oldest first, as hf_ltx_merge_new wants them. spill_dir: an existing
 * directory, see above; some requests at once. HF_E_NOT_FOUND when a file has vanished (also from
 * later reads). */
HF_MUST enum hf_code hf_inputs_open(struct hf_replica *r, const struct hf_ltx_list *files,
                                    const char *spill_dir, struct hf_inputs **out,
                                    struct hf_err *err);
HF_MUST enum hf_code hf_inputs_open_how(struct hf_replica *r, const struct hf_ltx_list *files,
                                        const struct hf_inputs_how *how, struct hf_inputs **out,
                                        struct hf_err *err);
/* The sources, oldest first; they belong to the inputs. */
const struct hf_source *hf_inputs_sources(const struct hf_inputs *in, size_t *n);
/* Bytes of the replica's files read so far, and their size in all. */
uint64_t hf_inputs_bytes(const struct hf_inputs *in);
uint64_t hf_inputs_total(const struct hf_inputs *in);
void hf_inputs_free(struct hf_inputs *in);

#endif
