/*
 * Reading: every stored example, files cut and flipped at every byte, files wrong in one way only,
 * frames of all shapes, sources that fail.
 */
#include "ltx/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lz4frame.h>

#include "ltx/testkit.h"

enum { SIZE = 512 };

static enum hf_code drain(struct kit_mem *m, struct hf_err *err)
{
    return hf_ltx_verify(kit_source(m, "the-file"), NULL, NULL, err);
}

/* Pages against the database they were made from, and the facts of the example. */
static void examples(void **state)
{
    (void)state;
    static const struct {
        const char *file, *db;
        uint32_t first;
        enum hf_ltx_form form;
        uint64_t pre, post, sum;
    } rows[] = {
        {"ex1.ltx", "a.db", 1, HF_LTX_FORM_BLOCK, 0, 0, 0xb27164f2c3c6db9d},
        {"ex2.ltx", "b.db", 2, HF_LTX_FORM_BLOCK, 0, 0, 0xf2babdd7ed01bb64},
        {"ex1f.ltx", "a.db", 1, HF_LTX_FORM_FRAME, 0, 0, 0xfdb59ed61debe2dd},
        {"ex2f.ltx", "b.db", 2, HF_LTX_FORM_FRAME, 0, 0, 0xa95bd39371493f53},
        {"ex3.ltx", "a.db", 1, HF_LTX_FORM_BLOCK, 0, 0xeb202abaa07f519e, 0xdfee453556c59a3b},
        {"ex4.ltx", "b.db", 2, HF_LTX_FORM_BLOCK, 0xeb202abaa07f519e, 0xf699f9c4b4354595,
         0xcb89530f6962d0d5},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        print_message("%s\n", rows[i].file);
        struct kit_mem m = kit_fixture(HF_FIXTURES, rows[i].file);
        struct kit_mem db = kit_fixture(HF_FIXTURES, rows[i].db);
        struct hf_ltx_decoder *d = NULL;
        struct hf_ltx_page page;
        assert_int_equal(hf_ltx_decoder_new(kit_source(&m, "ex"), &d, NULL), HF_OK);
        const struct hf_ltx_header *h = hf_ltx_decoder_header(d);
        assert_int_equal(h->page_size, SIZE);
        assert_int_equal(h->commit, 2);
        assert_int_equal(h->min_txid, rows[i].first);
        assert_int_equal(h->max_txid, rows[i].first);
        assert_int_equal(h->timestamp_ms, 1700000000000 + (rows[i].first - 1) * 1000);
        assert_int_equal(h->pre_apply, rows[i].pre);
        bool has_wal = rows[i].post == 0; /* the checksummed ones are LiteFS style, without */
        int64_t offset = rows[i].first == 1 ? 32 : 1104;
        assert_int_equal(h->wal_offset, has_wal ? offset : 0);
        assert_int_equal(h->wal_salt1, has_wal ? 0x11223344 : 0);
        for (uint32_t pgno = rows[i].first; pgno <= 2; pgno++) {
            assert_int_equal(hf_ltx_decoder_next(d, &page, NULL), HF_OK);
            assert_int_equal(page.pgno, pgno);
            assert_memory_equal(page.data, db.data + (pgno - 1) * SIZE, SIZE);
            assert_non_null(page.block);
        }
        assert_int_equal(hf_ltx_decoder_next(d, &page, NULL), HF_OK);
        assert_int_equal(page.pgno, 0);
        assert_int_equal(hf_ltx_decoder_form(d), rows[i].form);
        assert_int_equal(hf_ltx_decoder_trailer(d).post_apply, rows[i].post);
        assert_int_equal(hf_ltx_decoder_trailer(d).file_checksum, rows[i].sum);
        hf_ltx_decoder_free(d);
        kit_free(&db);
        kit_free(&m);
    }
}

struct walk {
    const char *dir;
    size_t files;
};

static enum hf_code verify_entry(void *arg, const char *name, bool is_dir, struct hf_err *err)
{
    struct walk *w = arg;
    HF_AUTO_FREE char *path = hf_path_join(w->dir, name);
    uint64_t min, max;
    if (is_dir) {
        struct walk sub = {path, 0};
        enum hf_code rc = hf_path_list(path, verify_entry, &sub, err);
        w->files += sub.files;
        return rc;
    }
    if (!hf_ltx_name_parse(name, &min, &max))
        return HF_OK;
    struct kit_mem m = kit_load(path);
    struct hf_ltx_header h;
    enum hf_code rc = hf_ltx_verify(kit_source(&m, path), &h, NULL, err);
    kit_free(&m);
    if (rc != HF_OK)
        return rc;
    assert_int_equal(h.min_txid, min);
    assert_int_equal(h.max_txid, max);
    w->files++;
    return HF_OK;
}

/* A replica as a Litestream of the 0.5 line left it. */
static void real_replica(void **state)
{
    (void)state;
    HF_AUTO_FREE char *dir = hf_path_join(HF_FIXTURES, "rep05/ltx");
    struct walk w = {dir, 0};
    struct hf_err err = HF_ERR_INIT;
    if (hf_path_list(dir, verify_entry, &w, &err) != HF_OK)
        fail_msg("%s", err.text);
    assert_true(w.files >= 20);
    print_message("%zu files\n", w.files);
}

static void cut_at_every_byte(void **state)
{
    (void)state;
    static const char *const files[] = {"ex1.ltx", "ex1f.ltx", "ex4.ltx"};
    for (size_t i = 0; i < HF_ARRAY_LEN(files); i++) {
        struct kit_mem m = kit_fixture(HF_FIXTURES, files[i]);
        size_t full = m.len;
        for (m.len = 0; m.len < full; m.len++) {
            struct hf_err err = HF_ERR_INIT;
            assert_int_equal(drain(&m, &err), HF_E_CORRUPT);
            char want[64];
            (void)snprintf(want, sizeof(want), "the-file: byte %zu: the file ends too early",
                           m.len);
            assert_string_equal(err.text, want);
        }
        assert_int_equal(drain(&m, NULL), HF_OK);
        m.len = 0;
        kit_free(&m);
    }
}

/* Where the compressed payloads of an example lie: the only bytes that may change unnoticed, and
 * then only if the page comes out the same. */
static bool is_payload(const struct kit_mem *m, size_t at)
{
    size_t index = m->len - 24 - (size_t)hf_be64(m->data + m->len - 24);
    return at >= HF_LTX_HEADER_SIZE + 6 && at < index - 6;
}

static void every_bit_flipped(void **state)
{
    (void)state;
    static const char *const files[] = {"ex1.ltx",  "ex1f.ltx", "ex2.ltx",
                                        "ex2f.ltx", "ex3.ltx",  "ex4.ltx"};
    for (size_t i = 0; i < HF_ARRAY_LEN(files); i++) {
        struct kit_mem m = kit_fixture(HF_FIXTURES, files[i]);
        size_t unnoticed = 0;
        for (size_t bit = 0; bit < m.len * 8; bit++) {
            m.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            struct hf_err err = HF_ERR_INIT;
            enum hf_code rc = drain(&m, &err);
            m.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            if (rc == HF_OK) {
                unnoticed++;
                struct kit_mem whole = m;
                assert_true(is_payload(&whole, bit / 8));
                continue;
            }
            assert_int_equal(rc, HF_E_CORRUPT);
            assert_non_null(strstr(err.text, "the-file: byte "));
        }
        print_message("%s: %zu of %zu bits changed nothing\n", files[i], unnoticed, m.len * 8);
        assert_true(unnoticed < m.len / 4);
        kit_free(&m);
    }
}

static void something_follows(void **state)
{
    (void)state;
    struct kit_mem m = kit_fixture(HF_FIXTURES, "ex1.ltx");
    kit_append(&m, "", 1);
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(drain(&m, &err), HF_E_CORRUPT);
    assert_string_equal(err.text, "the-file: byte 301: something follows the trailer");
    kit_free(&m);
}

/* A file as long as the first read: that it ends there is seen by an empty second read. */
static void ends_with_a_full_read(void **state)
{
    (void)state;
    enum { FIRST_READ = 4096, EXTRA = 100 + 10 + 6 + 5 + 8 + 16 };
    struct kit_mem block = {0};
    uint8_t page[4096];
    for (size_t noise = 3800; noise < 4000 && block.len != FIRST_READ - EXTRA; noise++) {
        kit_free(&block);
        kit_page(page, sizeof(page), 1, 0, KIT_NOISE);
        memset(page + noise, 7, sizeof(page) - noise);
        block = kit_compress(page, sizeof(page));
    }
    struct kit_craft c = {0};
    struct hf_ltx_header h = kit_header(4096, 1, 1, 1);
    kit_craft_header(&c, &h);
    kit_craft_page(&c, 1, 1, &block, page, sizeof(page));
    kit_craft_finish(&c, 0, 0);
    assert_int_equal(c.file.len, FIRST_READ);
    assert_int_equal(drain(&c.file, NULL), HF_OK);
    kit_append(&c.file, "x", 1);
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(drain(&c.file, &err), HF_E_CORRUPT);
    assert_string_equal(err.text, "the-file: byte 4096: something follows the trailer");
    kit_free(&block);
    kit_free(&c.file);
}

/* Files with right checksums that break one rule. */
enum flaw {
    NONE,
    LOCK,
    BEYOND,
    TWICE,
    DESCENDING,
    HOLE,
    SHORT,
    NOT_FIRST,
    BAD_FLAGS,
    POST,
    INDEX_SIZE,
    INDEX_MISSING,
    INDEX_WRONG,
    PAGE_SHORT,
    PAGE_LONG,
    BLOCK_EMPTY,
    PGNO_ZERO,
    POST_MISSING,
    POST_WRONG,
    POST_RIGHT
};

static void craft_pages(struct kit_craft *c, enum flaw flaw)
{
    uint8_t page[SIZE + 1] = {0};
    struct kit_mem block = kit_compress(page, SIZE + (flaw == PAGE_LONG) - (flaw == PAGE_SHORT));
    struct kit_mem none = {0};
    static const uint32_t pages[][4] = {
        [LOCK] = {1, 2097153}, [BEYOND] = {1, 2097199}, [TWICE] = {2, 2},     [DESCENDING] = {2, 1},
        [HOLE] = {1, 3},       [SHORT] = {1, 2},        [NOT_FIRST] = {2, 3},
    };
    if (flaw != NONE && flaw <= NOT_FIRST) {
        for (size_t i = 0; pages[flaw][i] != 0; i++)
            kit_craft_text(c, pages[flaw][i], SIZE);
    } else if (flaw == BLOCK_EMPTY) {
        kit_craft_page(c, 1, 1, &none, page, SIZE);
    } else {
        kit_craft_page(c, flaw == PGNO_ZERO ? 0 : 1, flaw == BAD_FLAGS ? 2 : 1, &block, page, SIZE);
    }
    if (flaw == INDEX_MISSING)
        c->index.len = 0;
    if (flaw == INDEX_WRONG)
        c->index.data[1]++;
    kit_free(&block);
}

static void one_flaw(void **state)
{
    (void)state;
    static const struct {
        enum flaw flaw;
        bool is_snapshot, has_sums;
        const char *text; /* NULL: the file is good */
    } rows[] = {
        {NONE, false, false, NULL},
        {LOCK, false, false, "lock page"},
        {BEYOND, false, false, "beyond the 2097170 pages"},
        {TWICE, false, false, "page 2 after page 2"},
        {DESCENDING, false, false, "page 1 after page 2"},
        {HOLE, true, false, "page 2 of the snapshot is missing"},
        {SHORT, true, false, "a snapshot of 3 pages ends at page 2"},
        {NOT_FIRST, true, false, "page 1 of the snapshot is missing"},
        {BAD_FLAGS, false, false, "unknown page flags 0x0002"},
        {PGNO_ZERO, false, false, "page 0 after page 0"},
        {POST, false, false, "post-apply checksum is not allowed"},
        {INDEX_SIZE, false, false, "the size of the page index is not 4"},
        {INDEX_MISSING, false, false, "the page index does not match"},
        {INDEX_WRONG, false, false, "the page index does not match"},
        {PAGE_SHORT, false, false, "does not decompress to a page"},
        {PAGE_LONG, false, false, "does not decompress to a page"},
        {BLOCK_EMPTY, false, false, "a page of 0 bytes"},
        {POST_MISSING, true, true, "the post-apply checksum is missing"},
        {POST_WRONG, true, true, "does not match the pages"},
        {POST_RIGHT, true, true, NULL},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct kit_craft c = {0};
        struct hf_ltx_header h = kit_header(SIZE, 2097170, 2, 2);
        enum flaw flaw = rows[i].flaw;
        if (rows[i].is_snapshot)
            h = kit_header(SIZE, rows[i].has_sums ? 1 : 3, 1, 1);
        if (rows[i].has_sums)
            h.flags = 0;
        uint8_t zeros[SIZE] = {0};
        uint64_t post = flaw == POST ? 1ull << 63 : 0;
        if (flaw == POST_WRONG)
            post = 1ull << 63 | 1;
        if (flaw == POST_RIGHT)
            post = hf_page_checksum(1, zeros, SIZE);
        kit_craft_header(&c, &h);
        craft_pages(&c, flaw);
        kit_craft_finish(&c, post, flaw == INDEX_SIZE);
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = drain(&c.file, &err);
        print_message("%s\n", rc == HF_OK ? "good" : err.text);
        assert_int_equal(rc, rows[i].text == NULL ? HF_OK : HF_E_CORRUPT);
        if (rows[i].text != NULL)
            assert_non_null(strstr(err.text, rows[i].text));
        kit_free(&c.file);
    }
}

/* LiteFS' first version: 4-byte page headers and raw pages behind the same magic. */
static void version_1_is_refused(void **state)
{
    (void)state;
    struct kit_mem m = {0};
    uint8_t raw[HF_LTX_HEADER_SIZE];
    struct hf_ltx_header h = kit_header(SIZE, 1, 1, 1);
    h.flags = 0;
    hf_ltx_header_pack(&h, raw);
    kit_append(&m, raw, sizeof(raw));
    uint8_t page[4 + SIZE + 4 + 16] = {0, 0, 0, 1};
    memcpy(page + 4, "SQLite format 3", 16);
    kit_append(&m, page, sizeof(page));
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(drain(&m, &err), HF_E_CORRUPT);
    assert_string_equal(err.text, "the-file: byte 104: unknown page flags 0x5351");
    assert_non_null(strstr(err.hint, "version 3"));
    m.data[7] = 1; /* its compression flag */
    assert_int_equal(drain(&m, &err), HF_E_CORRUPT);
    assert_string_equal(err.text, "the-file: byte 0: LTX header: unknown header flags");
    kit_free(&m);
}

/* A frame by liblz4 with the given settings around page. */
static struct kit_mem frame_of(const uint8_t *page, size_t size, unsigned bits, size_t piece)
{
    LZ4F_preferences_t prefs = {
        .frameInfo =
            {
                .blockSizeID = LZ4F_max64KB,
                .blockMode = (bits & 1) != 0 ? LZ4F_blockIndependent : LZ4F_blockLinked,
                .contentChecksumFlag =
                    (bits & 2) != 0 ? LZ4F_contentChecksumEnabled : LZ4F_noContentChecksum,
                .blockChecksumFlag =
                    (bits & 4) != 0 ? LZ4F_blockChecksumEnabled : LZ4F_noBlockChecksum,
                .contentSize = (bits & 8) != 0 ? size : 0,
            },
        .autoFlush = 1,
    };
    struct kit_mem m = {.cap = size * 2 + 4096};
    m.data = hf_malloc(m.cap);
    LZ4F_cctx *ctx = NULL;
    hf_assert(!LZ4F_isError(LZ4F_createCompressionContext(&ctx, LZ4F_VERSION)));
    m.len = LZ4F_compressBegin(ctx, m.data, m.cap, &prefs);
    for (size_t at = 0; at < size; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        size_t got = LZ4F_compressUpdate(ctx, m.data + m.len, m.cap - m.len, page + at, n, NULL);
        hf_assert(!LZ4F_isError(got));
        m.len += got;
    }
    m.len += LZ4F_compressEnd(ctx, m.data + m.len, m.cap - m.len, NULL);
    (void)LZ4F_freeCompressionContext(ctx);
    return m;
}

/* Frames other writers might make: in one piece or several, linked, with or without any checksum.
 */
static void frames_of_all_shapes(void **state)
{
    (void)state;
    enum { BIG = 65536 };
    uint8_t *page = hf_malloc(BIG);
    for (unsigned bits = 0; bits < 64; bits++) {
        size_t size = (bits & 32) != 0 ? BIG : 4096;
        enum kit_kind kind = (bits & 16) != 0 ? KIT_NOISE : KIT_TEXT;
        for (size_t piece = size / 4; piece <= size; piece *= 2) {
            kit_page(page, size, 5, 1, kind);
            struct kit_mem frame = frame_of(page, size, bits, piece);
            struct kit_craft c = {0};
            struct hf_ltx_header h = kit_header((uint32_t)size, 9, 2, 2);
            kit_craft_header(&c, &h);
            kit_craft_page(&c, 5, 0, &frame, page, size);
            kit_craft_finish(&c, 0, 0);
            struct hf_ltx_decoder *d = NULL;
            struct hf_ltx_page p;
            struct hf_err err = HF_ERR_INIT;
            assert_int_equal(hf_ltx_decoder_new(kit_source(&c.file, "f"), &d, &err), HF_OK);
            if (hf_ltx_decoder_next(d, &p, &err) != HF_OK)
                fail_msg("bits %u: %s", bits, err.text);
            assert_memory_equal(p.data, page, size);
            assert_int_equal(p.block != NULL, piece == size && kind == KIT_TEXT);
            assert_int_equal(hf_ltx_decoder_next(d, &p, &err), HF_OK);
            hf_ltx_decoder_free(d);
            /* a flipped byte of the frame is never taken for something else */
            for (size_t at = 110; at < 110 + frame.len; at += 1 + frame.len / 50) {
                c.file.data[at] ^= 0x11;
                assert_int_equal(drain(&c.file, &err), HF_E_CORRUPT);
                c.file.data[at] ^= 0x11;
            }
            kit_free(&frame);
            kit_free(&c.file);
        }
    }
    hf_free(page);
}

/* A block list that never ends must not grow anything or take long. */
static void endless_frame(void **state)
{
    (void)state;
    static const uint8_t head[] = {0x04, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7};
    uint8_t empty_block[5] = {1, 0, 0, 0, 0}; /* one token: no literals, the end */
    struct kit_mem frame = {0};
    uint8_t page[SIZE] = {0};
    kit_append(&frame, head, sizeof(head));
    for (int i = 0; i < 100000; i++)
        kit_append(&frame, empty_block, sizeof(empty_block));
    struct kit_craft c = {0};
    struct hf_ltx_header h = kit_header(SIZE, 9, 2, 2);
    kit_craft_header(&c, &h);
    kit_craft_page(&c, 1, 0, &frame, page, SIZE);
    kit_craft_finish(&c, 0, 0);
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(drain(&c.file, &err), HF_E_CORRUPT);
    print_message("%s\n", err.text);
    assert_true(c.file.pos < 300 << 10); /* one read buffer, not the whole file */
    kit_free(&frame);
    kit_free(&c.file);
}

/* The source's own error comes out, with the file's name in front; then the decoder stays failed.
 */
static void failing_source(void **state)
{
    (void)state;
    struct hf_ltx_header h = kit_header(4096, 200, 2, 2);
    uint32_t pages[181] = {0};
    for (uint32_t i = 0; i < 180; i++)
        pages[i] = i + 1;
    struct kit_mem m = kit_file(&h, HF_LTX_FORM_BLOCK, pages, 0);
    for (size_t limit = 50; limit < m.len; limit += 4001) {
        m.fail_after = limit;
        struct hf_ltx_decoder *d = NULL;
        struct hf_err err = HF_ERR_INIT;
        struct hf_ltx_page page = {.pgno = 1};
        enum hf_code rc = hf_ltx_decoder_new(kit_source(&m, "the-file"), &d, &err);
        assert_int_equal(rc == HF_OK, d != NULL);
        while (rc == HF_OK && page.pgno != 0)
            rc = hf_ltx_decoder_next(d, &page, &err);
        assert_int_equal(rc, HF_E_IO);
        assert_string_equal(err.text, "the-file: kit: read failed");
        if (d != NULL)
            assert_int_equal(hf_ltx_decoder_next(d, &page, &err), HF_E_CORRUPT);
        hf_ltx_decoder_free(d);
    }
    kit_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples),
        cmocka_unit_test(real_replica),
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(every_bit_flipped),
        cmocka_unit_test(something_follows),
        cmocka_unit_test(ends_with_a_full_read),
        cmocka_unit_test(one_flaw),
        cmocka_unit_test(version_1_is_refused),
        cmocka_unit_test(frames_of_all_shapes),
        cmocka_unit_test(endless_frame),
        cmocka_unit_test(failing_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
