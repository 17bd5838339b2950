#include "sqlite/wal.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

enum {
    COPY_SIZE = 48, /* one copy of the index header */
    COPY_WORDS = 12,
    COPY_SUMMED = 40,
    BACKFILL_AT = 96,
    MARKS_AT = 100,
    ATTEMPTED_AT = 128,
    HASH_AT = 16384,
    HASH_SLOTS = 8192,
    HASH_FACTOR = 383,
};

/* ---- checksums ---- */

bool hf_wal_host_is_big_endian(void)
{
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
}

/* Both sums depend on each other, so the speed is that of the chain of additions: two a pair of
 * words, which the brackets spell out for the compiler. */
#define STEP(x0, x1)                                                                               \
    do {                                                                                           \
        s1 = (s1 + (x0)) + s2;                                                                     \
        s2 = (s2 + (x1)) + s1;                                                                     \
    } while (0)

static void checksum_native(const uint8_t *p, size_t len, uint32_t s[2])
{
    uint32_t s1 = s[0];
    uint32_t s2 = s[1];
    const uint8_t *end = p + len;
    uint32_t w[8];
    for (; end - p >= 32; p += 32) {
        memcpy(w, p, 32);
        STEP(w[0], w[1]);
        STEP(w[2], w[3]);
        STEP(w[4], w[5]);
        STEP(w[6], w[7]);
    }
    for (; p < end; p += 8) {
        memcpy(w, p, 8);
        STEP(w[0], w[1]);
    }
    s[0] = s1;
    s[1] = s2;
}

static void checksum_swapped(const uint8_t *p, size_t len, uint32_t s[2])
{
    uint32_t s1 = s[0];
    uint32_t s2 = s[1];
    const uint8_t *end = p + len;
    uint32_t w[2];
    for (; p < end; p += 8) {
        memcpy(w, p, 8);
        STEP(__builtin_bswap32(w[0]), __builtin_bswap32(w[1]));
    }
    s[0] = s1;
    s[1] = s2;
}

void hf_wal_checksum(bool is_big_endian, const void *data, size_t len, uint32_t s[2])
{
    hf_assert(len % 8 == 0);
    if (is_big_endian == hf_wal_host_is_big_endian())
        checksum_native(data, len, s);
    else
        checksum_swapped(data, len, s);
}

/* ---- the log ---- */

static bool is_page_size(uint32_t n)
{
    return n >= 512 && n <= 65536 && (n & (n - 1)) == 0;
}

enum hf_code hf_wal_header_parse(const uint8_t in[HF_WAL_HEADER_SIZE], struct hf_wal_header *h,
                                 struct hf_err *err)
{
    uint32_t magic = hf_be32(in);
    if ((magic & ~1u) != HF_WAL_MAGIC)
        return hf_err_set(err, HF_E_CORRUPT, "not a WAL: magic %08x at byte 0", (unsigned)magic);
    uint32_t version = hf_be32(in + 4);
    if (version != HF_WAL_VERSION)
        return hf_err_set(err, HF_E_UNSUPPORTED, "WAL format version %u at byte 4, known is %u",
                          (unsigned)version, (unsigned)HF_WAL_VERSION);
    uint32_t page_size = hf_be32(in + 8);
    if (!is_page_size(page_size))
        return hf_err_set(err, HF_E_CORRUPT, "WAL page size %u at byte 8", (unsigned)page_size);
    bool is_big_endian = (magic & 1) != 0;
    uint32_t s[2] = {0, 0};
    hf_wal_checksum(is_big_endian, in, 24, s);
    if (s[0] != hf_be32(in + 24) || s[1] != hf_be32(in + 28))
        return hf_err_set(err, HF_E_CORRUPT, "WAL header checksum at byte 24");
    *h = (struct hf_wal_header){
        .page_size = page_size,
        .seq = hf_be32(in + 12),
        .salt = {hf_be32(in + 16), hf_be32(in + 20)},
        .is_big_endian = is_big_endian,
        .cksum = {s[0], s[1]},
    };
    return HF_OK;
}

void hf_wal_header_build(struct hf_wal_header *h, uint8_t out[HF_WAL_HEADER_SIZE])
{
    hf_assert(is_page_size(h->page_size));
    hf_put_be32(out, HF_WAL_MAGIC | (h->is_big_endian ? 1u : 0u));
    hf_put_be32(out + 4, HF_WAL_VERSION);
    hf_put_be32(out + 8, h->page_size);
    hf_put_be32(out + 12, h->seq);
    hf_put_be32(out + 16, h->salt[0]);
    hf_put_be32(out + 20, h->salt[1]);
    h->cksum[0] = 0;
    h->cksum[1] = 0;
    hf_wal_checksum(h->is_big_endian, out, 24, h->cksum);
    hf_put_be32(out + 24, h->cksum[0]);
    hf_put_be32(out + 28, h->cksum[1]);
}

void hf_wal_frame_parse(const uint8_t in[HF_WAL_FRAME_HEADER_SIZE], struct hf_wal_frame *f)
{
    *f = (struct hf_wal_frame){
        .pgno = hf_be32(in),
        .commit = hf_be32(in + 4),
        .salt = {hf_be32(in + 8), hf_be32(in + 12)},
        .cksum = {hf_be32(in + 16), hf_be32(in + 20)},
    };
}

bool hf_wal_frame_check(const struct hf_wal_header *h, const uint8_t head[HF_WAL_FRAME_HEADER_SIZE],
                        const void *page, uint32_t cksum[2])
{
    struct hf_wal_frame f;
    hf_wal_frame_parse(head, &f);
    if (f.pgno == 0 || f.salt[0] != h->salt[0] || f.salt[1] != h->salt[1])
        return false;
    uint32_t s[2] = {cksum[0], cksum[1]};
    hf_wal_checksum(h->is_big_endian, head, 8, s);
    hf_wal_checksum(h->is_big_endian, page, h->page_size, s);
    if (s[0] != f.cksum[0] || s[1] != f.cksum[1])
        return false;
    cksum[0] = s[0];
    cksum[1] = s[1];
    return true;
}

void hf_wal_frame_build(const struct hf_wal_header *h, uint32_t pgno, uint32_t commit,
                        const void *page, uint32_t cksum[2], uint8_t out[HF_WAL_FRAME_HEADER_SIZE])
{
    hf_assert(pgno != 0);
    hf_put_be32(out, pgno);
    hf_put_be32(out + 4, commit);
    hf_put_be32(out + 8, h->salt[0]);
    hf_put_be32(out + 12, h->salt[1]);
    hf_wal_checksum(h->is_big_endian, out, 8, cksum);
    hf_wal_checksum(h->is_big_endian, page, h->page_size, cksum);
    hf_put_be32(out + 16, cksum[0]);
    hf_put_be32(out + 20, cksum[1]);
}

uint64_t hf_wal_frame_offset(uint32_t page_size, uint32_t frame)
{
    hf_assert(frame != 0);
    return HF_WAL_HEADER_SIZE + (uint64_t)(frame - 1) * (HF_WAL_FRAME_HEADER_SIZE + page_size);
}

enum hf_code hf_wal_scan_init(struct hf_wal_scan *s, const uint8_t head[HF_WAL_HEADER_SIZE],
                              struct hf_err *err)
{
    struct hf_wal_header h;
    HF_TRY(hf_wal_header_parse(head, &h, err));
    *s = (struct hf_wal_scan){
        .header = h,
        .cksum = {h.cksum[0], h.cksum[1]},
        .commit_cksum = {h.cksum[0], h.cksum[1]},
    };
    return HF_OK;
}

bool hf_wal_scan_next(struct hf_wal_scan *s, const uint8_t *frame, struct hf_wal_frame *info)
{
    if (s->frames == UINT32_MAX ||
        !hf_wal_frame_check(&s->header, frame, frame + HF_WAL_FRAME_HEADER_SIZE, s->cksum))
        return false;
    struct hf_wal_frame f;
    hf_wal_frame_parse(frame, &f);
    s->frames++;
    if (f.commit != 0) {
        s->commit_frame = s->frames;
        s->commit_pages = f.commit;
        s->commit_cksum[0] = s->cksum[0];
        s->commit_cksum[1] = s->cksum[1];
    }
    if (info != NULL)
        *info = f;
    return true;
}

/* ---- the index: shared memory ---- */

static uint32_t load32(const volatile void *region, size_t at)
{
    const volatile uint8_t *p = (const volatile uint8_t *)region + at;
    return __atomic_load_n((const volatile uint32_t *)(const volatile void *)p, __ATOMIC_ACQUIRE);
}

static void store32(volatile void *region, size_t at, uint32_t v)
{
    volatile uint8_t *p = (volatile uint8_t *)region + at;
    __atomic_store_n((volatile uint32_t *)(volatile void *)p, v, __ATOMIC_RELEASE);
}

static uint16_t load_slot(const volatile void *block, uint32_t slot)
{
    const volatile uint8_t *p = (const volatile uint8_t *)block + HASH_AT + slot * 2;
    return __atomic_load_n((const volatile uint16_t *)(const volatile void *)p, __ATOMIC_ACQUIRE);
}

static void store_slot(volatile void *block, uint32_t slot, uint16_t v)
{
    volatile uint8_t *p = (volatile uint8_t *)block + HASH_AT + slot * 2;
    __atomic_store_n((volatile uint16_t *)(volatile void *)p, v, __ATOMIC_RELEASE);
}

void hf_walindex_barrier(void)
{
    __sync_synchronize(); /* a fence the thread sanitizer of gcc accepts */
}

static void load_copy(const volatile void *region0, size_t at, uint8_t out[COPY_SIZE])
{
    for (size_t i = 0; i < COPY_WORDS; i++) {
        uint32_t w = load32(region0, at + i * 4);
        memcpy(out + i * 4, &w, 4);
    }
}

static void store_copy(volatile void *region0, size_t at, const uint8_t in[COPY_SIZE])
{
    for (size_t i = 0; i < COPY_WORDS; i++) {
        uint32_t w;
        memcpy(&w, in + i * 4, 4);
        store32(region0, at + i * 4, w);
    }
}

static uint32_t host32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static void put_host32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

enum hf_walindex_state hf_walindex_read(const volatile void *region0, struct hf_walindex *h)
{
    uint8_t a[COPY_SIZE];
    uint8_t b[COPY_SIZE];
    load_copy(region0, 0, a);
    hf_walindex_barrier();
    load_copy(region0, COPY_SIZE, b);
    if (memcmp(a, b, COPY_SIZE) != 0)
        return HF_WALINDEX_TORN;
    if (a[12] == 0)
        return HF_WALINDEX_NOT_INIT;
    uint32_t s[2] = {0, 0};
    checksum_native(a, COPY_SUMMED, s);
    if (s[0] != host32(a + 40) || s[1] != host32(a + 44))
        return HF_WALINDEX_TORN;
    if (host32(a) != HF_WAL_VERSION)
        return HF_WALINDEX_FOREIGN;
    uint16_t size;
    memcpy(&size, a + 14, 2);
    *h = (struct hf_walindex){
        .change = host32(a + 8),
        .is_init = true,
        .is_big_endian = a[13] != 0,
        /* 65536 does not fit: stored with its bit 16 moved to bit 0 */
        .page_size = (uint32_t)(size & 0xfe00) + ((uint32_t)(size & 0x0001) << 16),
        .max_frame = host32(a + 16),
        .pages = host32(a + 20),
        .frame_cksum = {host32(a + 24), host32(a + 28)},
        .salt = {hf_be32(a + 32), hf_be32(a + 36)},
    };
    return HF_WALINDEX_OK;
}

static void pack_copy(const struct hf_walindex *h, uint8_t out[COPY_SIZE])
{
    hf_assert(h->page_size == 0 || is_page_size(h->page_size));
    memset(out, 0, COPY_SIZE);
    put_host32(out, HF_WAL_VERSION);
    put_host32(out + 8, h->change);
    out[12] = 1;
    out[13] = h->is_big_endian ? 1 : 0;
    uint16_t size = (uint16_t)((h->page_size & 0xff00) | (h->page_size >> 16));
    memcpy(out + 14, &size, 2);
    put_host32(out + 16, h->max_frame);
    put_host32(out + 20, h->pages);
    put_host32(out + 24, h->frame_cksum[0]);
    put_host32(out + 28, h->frame_cksum[1]);
    hf_put_be32(out + 32, h->salt[0]);
    hf_put_be32(out + 36, h->salt[1]);
    uint32_t s[2] = {0, 0};
    checksum_native(out, COPY_SUMMED, s);
    put_host32(out + 40, s[0]);
    put_host32(out + 44, s[1]);
}

void hf_walindex_write_half(volatile void *region0, const struct hf_walindex *h)
{
    uint8_t copy[COPY_SIZE];
    pack_copy(h, copy);
    store_copy(region0, COPY_SIZE, copy);
    hf_walindex_barrier();
}

void hf_walindex_write(volatile void *region0, const struct hf_walindex *h)
{
    uint8_t copy[COPY_SIZE];
    hf_walindex_write_half(region0, h);
    pack_copy(h, copy);
    store_copy(region0, 0, copy);
}

uint32_t hf_walindex_backfill(const volatile void *region0)
{
    return load32(region0, BACKFILL_AT);
}

uint32_t hf_walindex_backfill_attempted(const volatile void *region0)
{
    return load32(region0, ATTEMPTED_AT);
}

void hf_walindex_set_backfill(volatile void *region0, uint32_t frames)
{
    store32(region0, BACKFILL_AT, frames);
}

void hf_walindex_set_backfill_attempted(volatile void *region0, uint32_t frames)
{
    store32(region0, ATTEMPTED_AT, frames);
}

uint32_t hf_walindex_mark(const volatile void *region0, int slot)
{
    hf_assert(slot >= 0 && slot < HF_WAL_READ_MARKS);
    return load32(region0, MARKS_AT + (size_t)slot * 4);
}

void hf_walindex_set_mark(volatile void *region0, int slot, uint32_t frame)
{
    hf_assert(slot >= 0 && slot < HF_WAL_READ_MARKS);
    store32(region0, MARKS_AT + (size_t)slot * 4, frame);
}

/* ---- the index: blocks ---- */

uint32_t hf_walindex_block_of(uint32_t frame)
{
    hf_assert(frame != 0);
    if (frame <= HF_WALINDEX_ENTRIES_FIRST)
        return 0;
    return (frame - HF_WALINDEX_ENTRIES_FIRST - 1) / HF_WALINDEX_ENTRIES + 1;
}

uint32_t hf_walindex_block_base(uint32_t block)
{
    if (block == 0)
        return 0;
    return HF_WALINDEX_ENTRIES_FIRST + (block - 1) * HF_WALINDEX_ENTRIES;
}

static size_t entries_at(uint32_t block)
{
    return block == 0 ? HF_WALINDEX_HEADER_SIZE : 0;
}

static size_t entry_at(uint32_t frame)
{
    uint32_t block = hf_walindex_block_of(frame);
    return entries_at(block) + (size_t)(frame - hf_walindex_block_base(block) - 1) * 4;
}

static uint32_t hash_of(uint32_t pgno)
{
    return (pgno * HASH_FACTOR) & (HASH_SLOTS - 1);
}

uint32_t hf_walindex_pgno(const volatile void *p, uint32_t frame)
{
    return load32(p, entry_at(frame));
}

bool hf_walindex_is_set(const volatile void *p, uint32_t frame)
{
    return load32(p, entry_at(frame)) != 0;
}

static void zero_from(volatile void *p, size_t at)
{
    for (; at < HF_WALINDEX_BLOCK_SIZE; at += 4)
        store32(p, at, 0);
}

bool hf_walindex_append(volatile void *p, uint32_t frame, uint32_t pgno)
{
    hf_assert(pgno != 0);
    uint32_t block = hf_walindex_block_of(frame);
    uint32_t entry = frame - hf_walindex_block_base(block);
    if (entry == 1)
        zero_from(p, entries_at(block));
    uint32_t slot = hash_of(pgno);
    uint32_t tries = entry;
    /* There are at most entry - 1 slots in use: more collisions mean a broken table. */
    while (load_slot(p, slot) != 0) {
        if (tries-- == 0)
            return false;
        slot = (slot + 1) & (HASH_SLOTS - 1);
    }
    store32(p, entry_at(frame), pgno);
    store_slot(p, slot, (uint16_t)entry);
    return true;
}

void hf_walindex_truncate(volatile void *p, uint32_t max_frame)
{
    uint32_t block = hf_walindex_block_of(max_frame);
    uint32_t limit = max_frame - hf_walindex_block_base(block);
    for (uint32_t i = 0; i < HASH_SLOTS; i++) {
        if (load_slot(p, i) > limit)
            store_slot(p, i, 0);
    }
    for (size_t at = entries_at(block) + (size_t)limit * 4; at < HASH_AT; at += 4)
        store32(p, at, 0);
}

uint32_t hf_walindex_find(const volatile void *p, uint32_t block, uint32_t pgno, uint32_t max_frame)
{
    uint32_t base = hf_walindex_block_base(block);
    uint32_t found = 0;
    uint32_t slot = hash_of(pgno);
    for (uint32_t tries = 0; tries < HASH_SLOTS; tries++) {
        uint32_t entry = load_slot(p, slot);
        uint32_t entries = block == 0 ? HF_WALINDEX_ENTRIES_FIRST : HF_WALINDEX_ENTRIES;
        if (entry == 0 || entry > entries)
            break;
        if (base + entry <= max_frame && hf_walindex_pgno(p, base + entry) == pgno)
            found = base + entry;
        slot = (slot + 1) & (HASH_SLOTS - 1);
    }
    return found;
}
