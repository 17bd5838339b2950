/*
 * The durable position of one database: what has been shipped, and how to prove that the database
 * found later continues it. One small file, "position", in the database's local state directory.
 *
 *   magic "HFPOS001" | TXID u64 | page size u32 | pages u32 | salts 2 x u32 | frame u32 |
 *   frame checksum 2 x u32 | is_clean u32 | main file: device, inode, size, mtime ns, ctime ns (u64
 *   each) | CRC-64; big-endian
 *
 * Written after each upload without fsync: it proves itself against the log (the cumulative frame
 * checksum), so after a power cut a stale one only costs a re-base. Any thread, one writer.
 */
#ifndef HF_REPLICA_POSITION_H
#define HF_REPLICA_POSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "os/file.h"
#include "sqlite/capture.h"

struct hf_position {
    uint64_t txid; /* newest one in the replica; 0 = nothing shipped */
    uint32_t page_size;
    uint32_t commit; /* database size in pages */
    struct hf_wal_pos pos;
    bool is_clean; /* the main file held all of txid, with these attributes: */
    uint64_t dev;
    uint64_t inode;
    uint64_t size;
    int64_t mtime_ns;
    int64_t ctime_ns;
};

/* dir: the local state directory. HF_E_NOT_FOUND: none. HF_E_CORRUPT: damaged or half written. */
HF_MUST enum hf_code hf_position_load(const char *dir, struct hf_position *p, struct hf_err *err);
/* The directory is created if missing (0700). */
HF_MUST enum hf_code hf_position_save(const char *dir, const struct hf_position *p,
                                      struct hf_err *err);

/* Copies what identifies the main file. */
void hf_position_set_main(struct hf_position *p, const struct hf_file_stat *st);
/* True if is_clean and the file is the same, unchanged. */
bool hf_position_main_is(const struct hf_position *p, const struct hf_file_stat *st);

#endif
