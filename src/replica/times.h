/*
 * When each file of a listing was written, for stores whose lists tell it only roughly (S3: when it
 * was uploaded; SFTP: to the second).
 *
 * The headers know, and within a level they do not go back as TXIDs go up: a binary search per
 * level reads a handful of headers. After it the times of the listing are right about one thing:
 * which files are not later than the wanted time. A clock that was set back while the files were
 * written makes the search end at one of the moments that had that time. Blocking; one thread.
 */
#ifndef HF_REPLICA_TIMES_H
#define HF_REPLICA_TIMES_H

#include "replica/replica.h"

/* all: of hf_replica_list_all. Does nothing where the store's times are exact. */
HF_MUST enum hf_code hf_replica_settle_times(struct hf_replica *r, struct hf_ltx_list *all,
                                             int64_t wanted_ms, struct hf_err *err);

#endif
