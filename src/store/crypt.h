/*
 * Client-side encryption: a back end in front of another one. What is written is sealed (seal.h,
 * which has the form), what is read is opened; names, times, conditions and lists are those of the
 * back end behind it. So nothing above the store knows, and every store can do it.
 *
 * What is not encrypted is refused on reading (HF_E_DENIED): who may write to the store could
 * otherwise put plain objects of his own in place of ours. With allow_plain it is read as it is,
 * for a replica that is older than its encryption.
 *
 * Sizes: those of what was put, told from the stored size without reading. With allow_plain the
 * stored size, up to 0.1 % and 65 bytes larger.
 *
 * secretstream is read from its beginning: a reader that is to begin further on reads and drops
 * what stands before. A reader that rests (hf_store_reader_rest) keeps its place, so nobody needs
 * to do that. Memory: 32 KiB a writer or reader, less while it rests.
 */
#ifndef HF_STORE_CRYPT_H
#define HF_STORE_CRYPT_H

#include "store/backend.h"

/* Takes inner, on failure, too: then it is closed. conf->enabled must be set. path: of the replica,
 * bound to each object with conf->bind_path. */
HF_MUST enum hf_code hf_store_crypt_open(struct hf_store *take_inner,
                                         const struct hf_config_encryption *conf, const char *path,
                                         struct hf_store **out, struct hf_err *err);

#endif
