/*
 * SQLite's write-ahead log and its index: the two formats, packed, unpacked and checked. Pure
 * functions over memory that the caller read or mapped; capture reads with them, apply writes.
 *
 * The log, "app.db-wal", is a 32-byte header and then frames of 24 + page size bytes. All integers
 * are big-endian:
 *
 *   header  magic 0x377f0682 (checksums over little-endian words) or ...83 (big-endian words),
 *           version 3007000, page size, checkpoint sequence, salt-1, salt-2, checksum (2 words) of
 *           the 24 bytes before it
 *   frame   page number, pages in the database after this commit (0: not the last frame of its
 *           transaction), salt-1, salt-2, checksum (2 words), then the page
 *
 * A frame's checksum goes on from the one before it (the first from the header's) over the frame
 * header's first 8 bytes and the page. A frame counts if its salts are the header's, its checksum
 * is right, its page number is not 0, and a commit frame follows it or is it.
 *
 * The index, "app.db-shm", is shared memory in blocks of 32 KiB, in host byte order. Block 0 begins
 * with 136 bytes of header:
 *
 *     0  version u32, unused u32, change counter u32, isInit u8, big-endian checksums u8,
 *        page size u16 (1 = 65536, 0 = the log never had a frame), last valid frame u32, pages in
 *        the database u32, last frame's checksum u32 x 2, salts (the header's bytes as they
 *        stand), checksum u32 x 2 of the 40 bytes before it (always over host words)
 *    48  a second copy
 *    96  nBackfill u32, aReadMark u32 x 5, eight lock bytes, nBackfillAttempted u32, unused u32
 *   136  page numbers
 *
 * Every block holds the page numbers of its frames (4,062 in block 0, 4,096 in the others, from
 * byte 0) and at 16384 a hash table of 8,192 u16: slot (pgno * 383) mod 8192 and on from there, the
 * value is the entry's number in the block, from 1; 0 ends the search.
 *
 * A writer stores copy 2, a barrier, copy 1; a reader takes copy 1, a barrier, copy 2 and believes
 * them if they are equal and the checksum is right. Another process may change the shared memory at
 * any time, therefore all access goes through the functions here (atomic loads and stores).
 *
 * Source: "WAL-mode File Format" and "Database File Format" of SQLite's documentation. Any thread.
 */
#ifndef HF_SQLITE_WAL_H
#define HF_SQLITE_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum {
    HF_WAL_HEADER_SIZE = 32,
    HF_WAL_FRAME_HEADER_SIZE = 24,
    HF_WAL_VERSION = 3007000,
    HF_WAL_READ_MARKS = 5,
    HF_WALINDEX_BLOCK_SIZE = 32768,
    HF_WALINDEX_HEADER_SIZE = 136,
    HF_WALINDEX_ENTRIES_FIRST = 4062,
    HF_WALINDEX_ENTRIES = 4096,
};

#define HF_WAL_MAGIC 0x377f0682u       /* | 1: checksums over big-endian words */
#define HF_WAL_MARK_UNUSED 0xffffffffu /* read mark of a slot nobody needs */

/* Lock numbers for xShmLock. */
enum {
    HF_WAL_LOCKS_AT = 120, /* byte of the -shm that lock 0 is */
    HF_WAL_LOCK_WRITE = 0,
    HF_WAL_LOCK_CKPT = 1,
    HF_WAL_LOCK_RECOVER = 2,
    HF_WAL_LOCK_READ0 = 3, /* read slot i is at HF_WAL_LOCK_READ0 + i */
};

/* ---- the log ---- */

struct hf_wal_header {
    uint32_t page_size; /* 512 to 65536 */
    uint32_t seq;       /* checkpoint sequence number */
    uint32_t salt[2];
    bool is_big_endian; /* checksums over big-endian words */
    uint32_t cksum[2];  /* of the header; the first frame's begins with it */
};

struct hf_wal_frame {
    uint32_t pgno;
    uint32_t commit; /* pages in the database, 0 if the transaction goes on */
    uint32_t salt[2];
    uint32_t cksum[2];
};

/* Goes on with the checksum s over len bytes (a multiple of 8). is_big_endian: as in the header. */
void hf_wal_checksum(bool is_big_endian, const void *data, size_t len, uint32_t s[2]);
/* True on a machine whose own words are big-endian: the is_big_endian of logs it starts. */
bool hf_wal_host_is_big_endian(void);

/* HF_E_CORRUPT for a wrong magic, page size or checksum, HF_E_UNSUPPORTED for another version. */
HF_MUST enum hf_code hf_wal_header_parse(const uint8_t in[HF_WAL_HEADER_SIZE],
                                         struct hf_wal_header *h, struct hf_err *err);
/* Packs h and sets h->cksum. */
void hf_wal_header_build(struct hf_wal_header *h, uint8_t out[HF_WAL_HEADER_SIZE]);

/* Takes the header of a frame apart; checks nothing. */
void hf_wal_frame_parse(const uint8_t in[HF_WAL_FRAME_HEADER_SIZE], struct hf_wal_frame *f);
/* True if a frame follows: salts, page number and the checksum that goes on from cksum are right;
 * cksum is then the frame's. page: h->page_size bytes. False leaves cksum alone. */
bool hf_wal_frame_check(const struct hf_wal_header *h, const uint8_t head[HF_WAL_FRAME_HEADER_SIZE],
                        const void *page, uint32_t cksum[2]);
/* Packs the header of a frame; cksum goes on from the frame before. pgno is not 0. */
void hf_wal_frame_build(const struct hf_wal_header *h, uint32_t pgno, uint32_t commit,
                        const void *page, uint32_t cksum[2], uint8_t out[HF_WAL_FRAME_HEADER_SIZE]);
/* Byte where frame n (from 1) begins; for n = frames + 1 the length of a log. */
uint64_t hf_wal_frame_offset(uint32_t page_size, uint32_t frame);

/* Reads a log front to back, as recovery does: init with the header, then one frame after another
 * until one is refused. */
struct hf_wal_scan {
    struct hf_wal_header header;
    uint32_t frames;       /* valid so far, committed or not */
    uint32_t cksum[2];     /* of the last valid frame */
    uint32_t commit_frame; /* the last commit frame, 0 = none */
    uint32_t commit_pages; /* pages in the database after it */
    uint32_t commit_cksum[2];
};
HF_MUST enum hf_code hf_wal_scan_init(struct hf_wal_scan *s, const uint8_t head[HF_WAL_HEADER_SIZE],
                                      struct hf_err *err);
/* frame: 24 + page_size bytes. False: the log ends before it. info may be NULL. */
bool hf_wal_scan_next(struct hf_wal_scan *s, const uint8_t *frame, struct hf_wal_frame *info);

/* ---- the index ---- */

struct hf_walindex {
    uint32_t change; /* grows by 1 a commit; recovery sets it to 0 */
    bool is_init;
    bool is_big_endian; /* of the log's frame checksums */
    uint32_t page_size; /* 0: the log never had a frame */
    uint32_t max_frame; /* last valid frame */
    uint32_t pages;     /* in the database */
    uint32_t frame_cksum[2];
    uint32_t salt[2]; /* as numbers, like hf_wal_header's */
};

enum hf_walindex_state {
    HF_WALINDEX_OK,
    HF_WALINDEX_NOT_INIT, /* copies equal, isInit 0: nobody went through recovery yet */
    HF_WALINDEX_TORN,     /* copies differ or checksum wrong: being written, or its writer died */
    HF_WALINDEX_FOREIGN,  /* another format version */
};

/* region0: block 0 as xShmMap gave it. h is set for OK only. */
enum hf_walindex_state hf_walindex_read(const volatile void *region0, struct hf_walindex *h);
/* Publishes h (copy 2, barrier, copy 1), is_init set. Only under the WRITE lock. */
void hf_walindex_write(volatile void *region0, const struct hf_walindex *h);
/* The first half only: stops after copy 2. For tests of a writer that dies between the copies. */
void hf_walindex_write_half(volatile void *region0, const struct hf_walindex *h);
/* A full memory barrier, as xShmBarrier. */
void hf_walindex_barrier(void);

uint32_t hf_walindex_backfill(const volatile void *region0);
uint32_t hf_walindex_backfill_attempted(const volatile void *region0);
void hf_walindex_set_backfill(volatile void *region0, uint32_t frames);
void hf_walindex_set_backfill_attempted(volatile void *region0, uint32_t frames);
/* slot 0 to 4 */
uint32_t hf_walindex_mark(const volatile void *region0, int slot);
void hf_walindex_set_mark(volatile void *region0, int slot, uint32_t frame);

/* The block frame (from 1) is in, and the number of frames in the blocks before block. */
uint32_t hf_walindex_block_of(uint32_t frame);
uint32_t hf_walindex_block_base(uint32_t block);
/* The page number recorded for frame; p is its block. 0 = none. */
uint32_t hf_walindex_pgno(const volatile void *p, uint32_t frame);
/* Records that frame holds pgno; p is its block. The first frame of a block zeroes the block.
 * False: the hash table is not usable (a corrupt index; then nothing was stored). Under WRITE only;
 * call hf_walindex_truncate first if a writer died (see apply.c). */
HF_MUST bool hf_walindex_append(volatile void *p, uint32_t frame, uint32_t pgno);
/* True if an entry for frame is set already although it was never published: leftovers. */
bool hf_walindex_is_set(const volatile void *p, uint32_t frame);
/* Forgets all entries above max_frame in its block p (max_frame > 0). Under WRITE only. */
void hf_walindex_truncate(volatile void *p, uint32_t max_frame);
/* The newest frame <= max_frame of block p that holds pgno, 0 = none. */
uint32_t hf_walindex_find(const volatile void *p, uint32_t block, uint32_t pgno,
                          uint32_t max_frame);

#endif
