/*
 * What replica.c (lists, writing) and replica_read.c share. Private to them.
 */
#ifndef HF_REPLICA_REPLICA_INT_H
#define HF_REPLICA_REPLICA_INT_H

#include <pthread.h>

#include "replica/kept.h"
#include "replica/packs.h"
#include "replica/replica.h"

enum { REPLICA_MAGIC = 0x72706c63 };

struct hf_replica {
    uint32_t magic;
    struct hf_store *store; /* borrowed */
    char *path;             /* "" or "a/b" */
    char *name;
    struct hf_kept *kept; /* borrowed; NULL: nothing is kept */
    struct hf_kept_list kept_files;

    pthread_mutex_t lock; /* guards what follows, but for what hf_replica_pack sets */
    struct hf_packs *packs;
    bool owns_packs;                /* found by a marker, only read */
    struct hf_packs_member *member; /* its L0 files are packed */
    char *packs_path;
    unsigned packs_up;
    bool has_marker;
    uint64_t packs_from; /* the lowest that a marker names */
    bool has_told;       /* that there are no packs */
};

/* NULL: none are known. */
struct hf_packs *replica_packs_of(struct hf_replica *r);

#endif
