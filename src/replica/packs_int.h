/*
 * What packs.c (what is known), pack_load.c (looking), pack_put.c (writing) and pack_tidy.c
 * (deleting) share. Private to them.
 */
#ifndef HF_REPLICA_PACKS_INT_H
#define HF_REPLICA_PACKS_INT_H

#include <pthread.h>

#include "replica/packs.h"

enum { PACKS_MAGIC = 0x7061636b };

struct hf_packs_member {
    char *path;
    struct hf_replica *replica;
    unsigned refs;   /* replicas that joined by this path */
    bool is_touched; /* somebody else packed changes of it */
    struct hf_packs_member *next;
};

/* A pack as known. */
struct pack_item {
    uint64_t number;
    struct hf_pack pack;
    bool *is_released; /* by entry */
    size_t n_kept;     /* entries that are not; those elsewhere never count */
    uint8_t *bytes;    /* the whole object, or NULL */
    size_t size;       /* of bytes */
    int64_t listed_ms; /* the object's time; 0: it is ours */
    bool is_damaged;   /* what it holds is not known */
};

/* A file that waits for its pack; lives on its putter's stack. */
struct pack_wait {
    struct hf_packs_member *member;
    struct hf_pack_entry entry;
    const void *data;
    enum hf_code rc;
    struct hf_err err;
    bool has_result;
    bool is_done; /* guarded by lock */
    struct pack_wait *next;
};

struct hf_packs {
    uint32_t magic;
    struct hf_store *store;
    char *base;
    char *dir; /* base and "packs" */
    uint64_t writer;
    uint64_t interval_ms;
    struct hf_gate *gate;
    uint64_t trust_ms;       /* what is known is believed for so long */
    pthread_mutex_t io_lock; /* taken before lock */
    pthread_mutex_t lock;    /* guards what follows */
    struct pack_item *items; /* ascending */
    size_t n_items;
    size_t cap_items;
    size_t cached_bytes;
    bool is_loaded;
    uint64_t known_ms; /* when it was listed or added to by us */
    bool is_stale;     /* something is not as it is known: list again */
    struct hf_packs_member *members;

    pthread_cond_t done;
    struct pack_wait *queue;
    struct pack_wait **queue_end;
    size_t n_queued;
    size_t queued_bytes;
    size_t queued_table;
    int n_coming; /* files that are being encoded */
    bool has_leader;
    uint64_t last_begin_ms; /* of the newest pack; 0 = none yet */
    uint64_t urgent_until_ms;
};

/* io_lock held. Reads what is new; a member somebody else packed changes of is touched. */
HF_MUST enum hf_code packs_load(struct hf_packs *p, struct hf_err *err);
/* Up to size bytes; *got is fewer only at the end. */
HF_MUST enum hf_code packs_read_all(struct hf_store_reader *r, uint8_t *data, size_t size,
                                    size_t *got, struct hf_err *err);
/* lock held. Takes pack (and bytes, may be NULL) as the newest item. */
void packs_add(struct hf_packs *p, struct hf_pack *take_pack, uint8_t *take_bytes, size_t size);
/* lock held. */
uint64_t packs_next_number(const struct hf_packs *p);
/* Index of the first with that number or a higher one. */
size_t packs_find(const struct hf_packs *p, uint64_t number);
void packs_remove(struct hf_packs *p, size_t i);
struct hf_packs_member *packs_member(const struct hf_packs *p, const char *path);

#endif
