/*
 * libFuzzer target: any bytes as a write-ahead log and as a block of its index.
 *
 * A log: scanning must stop by itself, count no frame it did not check, and what was counted must
 * scan the same after being packed again. Checksums would stop the fuzzer at the first changed
 * byte, so each input is tried as it is and once more with every checksum put right (mend).
 *
 * An index block: another process may have scribbled over it, so lookups, appends and truncation
 * must end and stay inside the block whatever it holds.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "sqlite/wal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Scans; *end is where the valid part ends. */
static uint32_t scan(const uint8_t *log, size_t size, struct hf_wal_scan *s)
{
    struct hf_err err = HF_ERR_INIT;
    if (size < HF_WAL_HEADER_SIZE)
        return 0;
    if (hf_wal_scan_init(s, log, &err) != HF_OK) {
        hf_assert(err.code == HF_E_CORRUPT || err.code == HF_E_UNSUPPORTED);
        return 0;
    }
    size_t frame = HF_WAL_FRAME_HEADER_SIZE + s->header.page_size;
    size_t at = HF_WAL_HEADER_SIZE;
    struct hf_wal_frame info;
    while (size - at >= frame && hf_wal_scan_next(s, log + at, &info)) {
        hf_assert(info.pgno != 0);
        at += frame;
        hf_assert(at == hf_wal_frame_offset(s->header.page_size, s->frames + 1));
    }
    hf_assert(s->commit_frame <= s->frames);
    hf_assert((s->commit_frame == 0) == (s->commit_pages == 0));
    return s->frames;
}

/* Gives header and frames right magic, salts and checksums; false if there is no header. */
static bool mend(uint8_t *log, size_t size)
{
    if (size < HF_WAL_HEADER_SIZE)
        return false;
    uint32_t size_told = hf_be32(log + 8);
    bool is_size = size_told >= 512 && size_told <= 65536 && (size_told & (size_told - 1)) == 0;
    struct hf_wal_header h = {
        .page_size = is_size ? size_told : 512u << (log[11] & 7),
        .seq = hf_be32(log + 12),
        .salt = {hf_be32(log + 16), hf_be32(log + 20)},
        .is_big_endian = log[3] & 1,
    };
    hf_wal_header_build(&h, log);
    uint32_t cksum[2] = {h.cksum[0], h.cksum[1]};
    size_t frame = HF_WAL_FRAME_HEADER_SIZE + h.page_size;
    for (size_t at = HF_WAL_HEADER_SIZE; size - at >= frame; at += frame) {
        uint32_t pgno = hf_be32(log + at);
        if (pgno == 0)
            break;
        hf_wal_frame_build(&h, pgno, hf_be32(log + at + 4), log + at + HF_WAL_FRAME_HEADER_SIZE,
                           cksum, log + at);
    }
    return true;
}

static void fuzz_log(const uint8_t *data, size_t size)
{
    uint8_t *log = hf_malloc(size + 1);
    struct hf_wal_scan a;
    struct hf_wal_scan b;
    memcpy(log, data, size);
    uint32_t before = scan(log, size, &a);
    if (mend(log, size)) {
        uint32_t after = scan(log, size, &b);
        hf_assert(after >= before);
        /* what was valid already is unchanged by packing it again */
        if (before > 0) {
            size_t len = (size_t)hf_wal_frame_offset(a.header.page_size, before + 1);
            hf_assert(memcmp(log, data, len) == 0);
        }
    }
    hf_free(log);
}

static void fuzz_index(const uint8_t *data, size_t size)
{
    static uint64_t words[HF_WALINDEX_BLOCK_SIZE / 8];
    uint8_t *block = (uint8_t *)words;
    struct hf_walindex h;
    for (size_t at = 0; at < sizeof(words); at++)
        block[at] = size > 0 ? data[at % size] : 0;
    if (hf_walindex_read(block, &h) == HF_WALINDEX_OK)
        hf_walindex_write(block, &h);
    uint32_t seed = size >= 8 ? hf_be32(data + 4) : 1;
    for (uint32_t no = 0; no < 3; no++) {
        uint32_t base = hf_walindex_block_base(no);
        uint32_t frame = base + 2 + seed % 4000;
        uint32_t pgno = seed | 1;
        uint32_t found = hf_walindex_find(block, no, pgno, frame);
        hf_assert(found <= frame);
        if (hf_walindex_append(block, frame, pgno))
            hf_assert(hf_walindex_pgno(block, frame) == pgno);
        hf_walindex_truncate(block, frame - 1);
        hf_assert(!hf_walindex_is_set(block, frame));
    }
    hf_assert(hf_walindex_append(block, hf_walindex_block_base(1) + 1, 7)); /* clears the block */
    hf_assert(hf_walindex_find(block, 1, 7, UINT32_MAX) == hf_walindex_block_base(1) + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_log(data, size);
    fuzz_index(data, size);
    return 0;
}
