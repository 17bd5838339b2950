/*
 * For the tests of this folder: a replica in a temporary directory and a model database whose every
 * state is remembered by a digest. Includes cmocka.
 */
#ifndef HF_REPLICA_KIT_TEST_H
#define HF_REPLICA_KIT_TEST_H

#include "replica/replica.h"

enum { KIT_TXIDS = 4096, KIT_PAGES = 256 };

struct kit {
    char dir[64]; /* temporary; replica in "<dir>/rep" */
    struct hf_store *store;
    struct hf_replica *replica;
    uint32_t page_size;
    uint32_t commit;
    uint8_t *pages;
    uint64_t txid;
    int64_t now_ms;
    uint64_t random;
    uint64_t digest[KIT_TXIDS]; /* of the database image at each TXID */
    enum hf_ltx_form form;
};

void kit_init(struct kit *k, uint32_t page_size, uint64_t seed);
void kit_deinit(struct kit *k);
uint64_t kit_random(struct kit *k, uint64_t below);
/* One random transaction (writes, growth, shrinking) as the next L0 file, time now_ms. */
void kit_commit(struct kit *k);
/* The pages of the files in files, merged, as a digest; fails the test on errors. */
uint64_t kit_digest(struct kit *k, const struct hf_ltx_list *files);
/* The digest of a file's bytes. */
uint64_t kit_file_digest(const char *path);
char *kit_path(const struct kit *k, const char *name);
void kit_list(struct kit *k, struct hf_ltx_list *out);

#endif
