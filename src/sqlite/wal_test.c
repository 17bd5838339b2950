/*
 * The formats against a reference: logs and indexes that SQLite itself wrote, and broken variants
 * of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "sqlite/wal.h"

struct sample {
    char dir[64];
    char db_path[96];
    sqlite3 *db;
    sqlite3_file *file;
    uint8_t *log;
    size_t log_len;
};

static void exec(sqlite3 *db, const char *sql)
{
    char *text = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
        fail_msg("%s: %s", sql, text);
}

static void sample_open(struct sample *s, uint32_t page_size)
{
    memset(s, 0, sizeof(*s));
    snprintf(s->dir, sizeof(s->dir), "/tmp/hf-wal-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->db_path, sizeof(s->db_path), "%s/a.db", s->dir);
    assert_int_equal(sqlite3_open(s->db_path, &s->db), SQLITE_OK);
    char sql[96];
    snprintf(sql, sizeof(sql), "PRAGMA page_size=%u; PRAGMA journal_mode=wal;",
             (unsigned)page_size);
    exec(s->db, sql);
    exec(s->db, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(i INTEGER PRIMARY KEY, x)");
    assert_int_equal(sqlite3_file_control(s->db, "main", SQLITE_FCNTL_FILE_POINTER, &s->file),
                     SQLITE_OK);
}

/* Writes until the log has more than frames frames, then reads it. */
static void sample_grow(struct sample *s, uint32_t page_size, uint32_t frames)
{
    char path[128];
    snprintf(path, sizeof(path), "%s-wal", s->db_path);
    uint64_t want = hf_wal_frame_offset(page_size, frames + 2);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    do {
        exec(s->db, "BEGIN; INSERT INTO t(x) WITH RECURSIVE c(n) AS (VALUES(1) UNION ALL "
                    "SELECT n+1 FROM c WHERE n<40) SELECT randomblob(900) FROM c; "
                    "DELETE FROM t WHERE i % 11 = 3; COMMIT");
        fseek(f, 0, SEEK_END);
        s->log_len = (size_t)ftell(f);
    } while (s->log_len < want);
    s->log = hf_malloc(s->log_len);
    rewind(f);
    assert_int_equal(fread(s->log, 1, s->log_len, f), s->log_len);
    fclose(f);
}

static volatile void *sample_block(struct sample *s, uint32_t block)
{
    volatile void *p = NULL;
    assert_int_equal(s->file->pMethods->xShmMap(s->file, (int)block, HF_WALINDEX_BLOCK_SIZE, 0, &p),
                     SQLITE_OK);
    assert_non_null(p);
    return p;
}

static void sample_close(struct sample *s)
{
    assert_int_equal(sqlite3_close(s->db), SQLITE_OK);
    hf_free(s->log);
    unlink(s->db_path);
    rmdir(s->dir);
}

static void check_index(struct sample *s, const struct hf_wal_scan *scan)
{
    struct hf_walindex h;
    assert_int_equal(hf_walindex_read(sample_block(s, 0), &h), HF_WALINDEX_OK);
    assert_int_equal(h.max_frame, scan->commit_frame);
    assert_int_equal(h.pages, scan->commit_pages);
    assert_int_equal(h.page_size, scan->header.page_size);
    assert_int_equal(h.frame_cksum[0], scan->commit_cksum[0]);
    assert_int_equal(h.frame_cksum[1], scan->commit_cksum[1]);
    assert_int_equal(h.salt[0], scan->header.salt[0]);
    assert_int_equal(h.salt[1], scan->header.salt[1]);
    assert_int_equal(h.is_big_endian, scan->header.is_big_endian);
}

/* Our blocks, built from the log alone, must hold what SQLite's hold, byte for byte. */
static void check_blocks(struct sample *s, const struct hf_wal_scan *scan)
{
    size_t frame_len = HF_WAL_FRAME_HEADER_SIZE + scan->header.page_size;
    uint8_t *ours = hf_malloc(HF_WALINDEX_BLOCK_SIZE);
    memset(ours, 0xee, HF_WALINDEX_BLOCK_SIZE);
    uint32_t last = hf_walindex_block_of(scan->commit_frame);
    for (uint32_t n = 1; n <= scan->commit_frame; n++) {
        struct hf_wal_frame f;
        hf_wal_frame_parse(s->log + HF_WAL_HEADER_SIZE + (n - 1) * frame_len, &f);
        uint32_t block = hf_walindex_block_of(n);
        assert_true(hf_walindex_append(ours, n, f.pgno));
        volatile void *theirs = sample_block(s, block);
        assert_int_equal(hf_walindex_pgno(theirs, n), f.pgno);
        assert_int_equal(hf_walindex_find(ours, block, f.pgno, n), n);
        bool is_full = n == hf_walindex_block_base(block + 1);
        if (!is_full && n != scan->commit_frame)
            continue;
        size_t from = block == 0 ? HF_WALINDEX_HEADER_SIZE : 0;
        for (size_t i = from; i < HF_WALINDEX_BLOCK_SIZE; i++) {
            if (ours[i] != ((volatile uint8_t *)theirs)[i])
                fail_msg("block %u of %u differs at byte %zu", (unsigned)block, (unsigned)last, i);
        }
    }
    hf_free(ours);
}

static void test_reads_what_sqlite_wrote(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint32_t page_size;
        uint32_t frames;
    } rows[] = {
        {"smallest page, four index blocks", 512, 4062 + 4096 + 4096 + 100},
        {"usual page, second block", 4096, 4062 + 500},
        {"65536 is stored as 1 in the index", 65536, 60},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sample s;
        sample_open(&s, rows[i].page_size);
        sample_grow(&s, rows[i].page_size, rows[i].frames);
        struct hf_wal_scan scan;
        assert_int_equal(hf_wal_scan_init(&scan, s.log, NULL), HF_OK);
        assert_int_equal(scan.header.page_size, rows[i].page_size);
        size_t frame_len = HF_WAL_FRAME_HEADER_SIZE + rows[i].page_size;
        size_t at = HF_WAL_HEADER_SIZE;
        while (at + frame_len <= s.log_len && hf_wal_scan_next(&scan, s.log + at, NULL))
            at += frame_len;
        assert_int_equal(at, s.log_len);
        assert_int_equal(scan.frames, scan.commit_frame);
        check_index(&s, &scan);
        check_blocks(&s, &scan);
        sample_close(&s);
    }
}

static void test_refuses_every_flipped_bit(void **state)
{
    (void)state;
    struct sample s;
    sample_open(&s, 512);
    sample_grow(&s, 512, 1);
    for (size_t byte = 0; byte < HF_WAL_HEADER_SIZE; byte++) {
        s.log[byte] ^= 0x10;
        struct hf_wal_header h;
        assert_int_not_equal(hf_wal_header_parse(s.log, &h, NULL), HF_OK);
        s.log[byte] ^= 0x10;
    }
    for (size_t byte = 0; byte < 536; byte++) {
        struct hf_wal_scan scan;
        assert_int_equal(hf_wal_scan_init(&scan, s.log, NULL), HF_OK);
        s.log[HF_WAL_HEADER_SIZE + byte] ^= 1;
        assert_false(hf_wal_scan_next(&scan, s.log + HF_WAL_HEADER_SIZE, NULL));
        assert_int_equal(scan.frames, 0);
        s.log[HF_WAL_HEADER_SIZE + byte] ^= 1;
        assert_true(hf_wal_scan_next(&scan, s.log + HF_WAL_HEADER_SIZE, NULL));
    }
    sample_close(&s);
}

/* What we build, in either byte order, SQLite recovers. */
static void test_sqlite_recovers_what_we_build(void **state)
{
    (void)state;
    for (int big = 0; big < 2; big++) {
        struct sample s;
        sample_open(&s, 512);
        sample_grow(&s, 512, 9);
        struct hf_wal_header h;
        assert_int_equal(hf_wal_header_parse(s.log, &h, NULL), HF_OK);
        h.is_big_endian = big != 0;
        h.salt[0] += 77;
        hf_wal_header_build(&h, s.log);
        uint32_t cksum[2] = {h.cksum[0], h.cksum[1]};
        for (size_t at = HF_WAL_HEADER_SIZE; at < s.log_len; at += 536) {
            struct hf_wal_frame f;
            hf_wal_frame_parse(s.log + at, &f);
            hf_wal_frame_build(&h, f.pgno, f.commit, s.log + at + 24, cksum, s.log + at);
        }
        char wal[128];
        char copy[128];
        snprintf(copy, sizeof(copy), "%s/copy.db", s.dir);
        snprintf(wal, sizeof(wal), "%s/copy.db-wal", s.dir);
        sqlite3 *db = NULL;
        assert_int_equal(sqlite3_open(copy, &db), SQLITE_OK);
        exec(db, "PRAGMA page_size=512; PRAGMA journal_mode=wal; VACUUM");
        sqlite3_close(db);
        FILE *f = fopen(wal, "wb");
        assert_int_equal(fwrite(s.log, 1, s.log_len, f), s.log_len);
        fclose(f);
        assert_int_equal(sqlite3_open(copy, &db), SQLITE_OK);
        exec(db, "SELECT count(*) FROM t");
        sqlite3_file *file = NULL;
        sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
        volatile void *p = NULL;
        file->pMethods->xShmMap(file, 0, HF_WALINDEX_BLOCK_SIZE, 0, &p);
        struct hf_walindex x;
        assert_int_equal(hf_walindex_read(p, &x), HF_WALINDEX_OK);
        assert_int_equal(x.max_frame, (s.log_len - 32) / 536);
        assert_int_equal(x.is_big_endian, big);
        assert_int_equal(x.frame_cksum[0], cksum[0]);
        assert_int_equal(x.frame_cksum[1], cksum[1]);
        assert_int_equal(x.salt[0], h.salt[0]);
        sqlite3_close(db);
        unlink(copy);
        sample_close(&s);
    }
}

static void test_index_header_round_trip(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint32_t page_size;
    } rows[] = {{"never had a frame", 0}, {"smallest", 512}, {"32768", 32768}, {"largest", 65536}};
    uint32_t words[HF_WALINDEX_HEADER_SIZE / 4];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memset(words, 0, sizeof(words));
        struct hf_walindex out;
        assert_int_equal(hf_walindex_read(words, &out), HF_WALINDEX_NOT_INIT);
        struct hf_walindex in = {.change = 7,
                                 .is_init = true,
                                 .page_size = rows[i].page_size,
                                 .max_frame = 3,
                                 .pages = 9,
                                 .frame_cksum = {1, 2},
                                 .salt = {0x01020304, 5}};
        hf_walindex_write_half(words, &in);
        assert_int_equal(hf_walindex_read(words, &out), HF_WALINDEX_TORN);
        hf_walindex_write(words, &in);
        assert_int_equal(hf_walindex_read(words, &out), HF_WALINDEX_OK);
        uint32_t again[HF_WALINDEX_HEADER_SIZE / 4] = {0};
        hf_walindex_write(again, &out);
        assert_memory_equal(words, again, sizeof(again));
        assert_int_equal(out.page_size, rows[i].page_size);
        assert_int_equal(out.frame_cksum[1], 2);
        assert_int_equal(out.salt[0], 0x01020304);
        assert_int_equal(((uint8_t *)words)[32], 1); /* salts: big-endian bytes */
        for (size_t byte = 0; byte < 40; byte++) {
            ((uint8_t *)words)[byte] ^= 0x20;
            ((uint8_t *)words)[byte + 48] ^= 0x20;
            assert_int_equal(hf_walindex_read(words, &out), HF_WALINDEX_TORN);
            ((uint8_t *)words)[byte] ^= 0x20;
            ((uint8_t *)words)[byte + 48] ^= 0x20;
        }
    }
}

static void test_index_block_edges(void **state)
{
    (void)state;
    static const struct {
        uint32_t frame;
        uint32_t block;
    } rows[] = {{1, 0}, {4062, 0}, {4063, 1}, {8158, 1}, {8159, 2}, {0xfffffffe, 1048576}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t block = hf_walindex_block_of(rows[i].frame);
        assert_int_equal(block, rows[i].block);
        assert_true(hf_walindex_block_base(block) < rows[i].frame);
    }
}

/* A dead writer's entries above the committed frame must not be found again. */
static void test_index_truncate(void **state)
{
    (void)state;
    uint32_t *p = hf_calloc(1, HF_WALINDEX_BLOCK_SIZE);
    for (uint32_t n = 1; n <= 2000; n++)
        assert_true(hf_walindex_append(p, n, n % 50 + 1));
    assert_false(hf_walindex_is_set(p, 2001));
    hf_walindex_truncate(p, 1500);
    assert_true(hf_walindex_is_set(p, 1500));
    assert_false(hf_walindex_is_set(p, 1501));
    assert_int_equal(hf_walindex_find(p, 0, 1, UINT32_MAX), 1500);
    assert_int_equal(hf_walindex_find(p, 0, 1, 1499), 1450);
    assert_true(hf_walindex_append(p, 1501, 777));
    assert_int_equal(hf_walindex_find(p, 0, 777, UINT32_MAX), 1501);
    assert_int_equal(hf_walindex_find(p, 0, 777, 1500), 0);
    hf_free(p);
}

static void test_append_to_a_broken_table_is_refused(void **state)
{
    (void)state;
    uint8_t *p = hf_malloc(HF_WALINDEX_BLOCK_SIZE);
    memset(p, 0xff, HF_WALINDEX_BLOCK_SIZE); /* no free slot anywhere: would search for ever */
    assert_false(hf_walindex_append(p, 5, 9));
    assert_int_equal(hf_walindex_find(p, 0, 9, 100), 0);
    hf_free(p);
}

/* Known sums by hand: s1 += a + s2, s2 += b + s1. */
static void test_checksum_by_hand(void **state)
{
    (void)state;
    uint8_t data[16] = {0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4};
    uint32_t s[2] = {0, 0};
    hf_wal_checksum(true, data, 16, s);
    assert_int_equal(s[0], 7);  /* 1; then 1 + 3 + 3 */
    assert_int_equal(s[1], 14); /* 3; then 3 + 4 + 7 */
    uint8_t swapped[16] = {1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0};
    uint32_t t[2] = {0, 0};
    hf_wal_checksum(false, swapped, 16, t);
    assert_int_equal(t[0], 7);
    assert_int_equal(t[1], 14);
    uint8_t page[4096];
    for (size_t i = 0; i < sizeof(page); i++)
        page[i] = (uint8_t)(i * 7 + i / 3);
    for (int big = 0; big < 2; big++) { /* in pieces = in one */
        uint32_t one[2] = {5, 6};
        uint32_t many[2] = {5, 6};
        hf_wal_checksum(big, page, sizeof(page), one);
        for (size_t at = 0; at < sizeof(page); at += 8)
            hf_wal_checksum(big, page + at, 8, many);
        assert_int_equal(one[0], many[0]);
        assert_int_equal(one[1], many[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum_by_hand),
        cmocka_unit_test(test_reads_what_sqlite_wrote),
        cmocka_unit_test(test_refuses_every_flipped_bit),
        cmocka_unit_test(test_sqlite_recovers_what_we_build),
        cmocka_unit_test(test_index_header_round_trip),
        cmocka_unit_test(test_index_block_edges),
        cmocka_unit_test(test_index_truncate),
        cmocka_unit_test(test_append_to_a_broken_table_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
