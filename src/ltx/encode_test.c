/*
 * What the encoder writes: the worked examples byte for byte, every page size in both forms, what
 * it refuses, the spilled index, failing sinks.
 */
#include "ltx/encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "ltx/testkit.h"

/* Reads m to its end; every page must be kit_page(pgno, version, kind). Number of pages. */
static size_t check_pages(struct kit_mem *m, uint32_t version, enum kit_kind kind)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_ltx_decoder *d = NULL;
    if (hf_ltx_decoder_new(kit_source(m, "mem"), &d, &err) != HF_OK)
        fail_msg("%s", err.text);
    size_t size = hf_ltx_decoder_header(d)->page_size;
    uint8_t *want = hf_malloc(size);
    size_t n = 0;
    for (;; n++) {
        struct hf_ltx_page page;
        if (hf_ltx_decoder_next(d, &page, &err) != HF_OK)
            fail_msg("%s", err.text);
        if (page.pgno == 0)
            break;
        kit_page(want, size, page.pgno, version, kind);
        assert_memory_equal(page.data, want, size);
    }
    assert_int_equal(hf_ltx_decoder_offset(d), m->len);
    hf_free(want);
    hf_ltx_decoder_free(d);
    return n;
}

/* The payload is taken from the example (encoders of LZ4 may differ), everything else is made. */
static void worked_examples(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        const char *db;
        enum hf_ltx_form form;
    } rows[] = {
        {"ex1.ltx", "a.db", HF_LTX_FORM_BLOCK},
        {"ex1f.ltx", "a.db", HF_LTX_FORM_FRAME},
        {"ex2.ltx", "b.db", HF_LTX_FORM_BLOCK},
        {"ex2f.ltx", "b.db", HF_LTX_FORM_FRAME},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        print_message("%s\n", rows[i].file);
        struct kit_mem want = kit_fixture(HF_FIXTURES, rows[i].file);
        struct kit_mem db = kit_fixture(HF_FIXTURES, rows[i].db);
        struct kit_mem made = {0};
        struct hf_ltx_decoder *d = NULL;
        struct hf_ltx_encoder *e = NULL;
        struct hf_ltx_trailer trailer;
        uint64_t size = 0;
        assert_int_equal(hf_ltx_decoder_new(kit_source(&want, "ex"), &d, NULL), HF_OK);
        const struct hf_ltx_header *h = hf_ltx_decoder_header(d);
        assert_int_equal(hf_ltx_encoder_new(h, rows[i].form, kit_sink(&made), NULL, &e, NULL),
                         HF_OK);
        for (;;) {
            struct hf_ltx_page p;
            assert_int_equal(hf_ltx_decoder_next(d, &p, NULL), HF_OK);
            assert_int_equal(hf_ltx_decoder_form(d), rows[i].form);
            if (p.pgno == 0)
                break;
            assert_memory_equal(p.data, db.data + (p.pgno - 1) * 512, 512);
            assert_int_equal(hf_ltx_encoder_page_lz4(e, p.pgno, p.data, p.block, p.block_len, NULL),
                             HF_OK);
        }
        assert_int_equal(hf_ltx_encoder_finish(e, &trailer, &size, NULL), HF_OK);
        assert_int_equal(size, want.len);
        assert_int_equal(made.len, want.len);
        assert_memory_equal(made.data, want.data, want.len);
        assert_int_equal(trailer.file_checksum, hf_ltx_decoder_trailer(d).file_checksum);
        hf_ltx_encoder_free(e);
        hf_ltx_decoder_free(d);
        kit_free(&made);
        kit_free(&db);
        kit_free(&want);
    }
}

static void encode_run(struct kit_mem *m, const struct hf_ltx_header *h, enum hf_ltx_form form,
                       enum kit_kind kind)
{
    struct hf_ltx_encoder *e = NULL;
    struct hf_err err = HF_ERR_INIT;
    uint64_t size = 0;
    uint8_t *page = hf_malloc(h->page_size);
    assert_int_equal(hf_ltx_encoder_new(h, form, kit_sink(m), NULL, &e, &err), HF_OK);
    for (uint32_t pgno = 1; pgno <= h->commit; pgno++) {
        kit_page(page, h->page_size, pgno, 3, kind);
        if (hf_ltx_encoder_page(e, pgno, page, &err) != HF_OK)
            fail_msg("%s", err.text);
    }
    assert_int_equal(hf_ltx_encoder_finish(e, NULL, &size, &err), HF_OK);
    assert_int_equal(size, m->len);
    assert_true(size <= hf_ltx_encoded_bound(h->page_size, h->commit));
    hf_ltx_encoder_free(e);
    hf_free(page);
}

static void round_trips(void **state)
{
    (void)state;
    for (uint32_t size = 512; size <= 65536; size *= 2) {
        for (int form = HF_LTX_FORM_FRAME; form <= HF_LTX_FORM_BLOCK; form++) {
            for (int kind = KIT_ZERO; kind <= KIT_NOISE; kind++) {
                struct kit_mem m = {0};
                struct hf_ltx_header h = kit_header(size, 9, 1, 4);
                encode_run(&m, &h, (enum hf_ltx_form)form, (enum kit_kind)kind);
                assert_int_equal(check_pages(&m, 3, (enum kit_kind)kind), 9);
                kit_free(&m);
            }
        }
    }
}

static void empty_file_is_legal(void **state)
{
    (void)state;
    struct hf_ltx_header h = kit_header(4096, 7, 2, 2);
    h.node_id = 42;
    struct kit_mem m = kit_file(&h, HF_LTX_FORM_BLOCK, (const uint32_t[]){0}, 0);
    assert_int_equal(m.len, 100 + 6 + 1 + 8 + 16);
    struct hf_ltx_header back;
    assert_int_equal(hf_ltx_verify(kit_source(&m, "m"), &back, NULL, NULL), HF_OK);
    assert_int_equal(back.node_id, 42);
    kit_free(&m);
}

static void refused_headers(void **state)
{
    (void)state;
    struct {
        struct hf_ltx_header h;
        const char *why;
    } rows[] = {
        {kit_header(4096, 7, 0, 2), "min TXID 0"},
        {kit_header(4096, 7, 3, 2), "max below min"},
        {kit_header(1000, 7, 1, 1), "page size"},
        {kit_header(4096, 0, 2, 2), "a database without pages cannot be written"},
        {kit_header(4096, 7, 1, 1), "checksummed files break Litestream's compaction"},
    };
    rows[4].h.flags = 0;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        print_message("%s\n", rows[i].why);
        struct kit_mem m = {0};
        struct hf_ltx_encoder *e = NULL;
        struct hf_err err = HF_ERR_INIT;
        assert_int_equal(
            hf_ltx_encoder_new(&rows[i].h, HF_LTX_FORM_BLOCK, kit_sink(&m), NULL, &e, &err),
            HF_E_INVALID);
        assert_null(e);
        assert_int_equal(m.len, 0);
    }
}

static void refused_pages(void **state)
{
    (void)state;
    static const struct {
        uint32_t pages[5];
        uint64_t min;
        uint32_t commit;
        bool at_finish;
        const char *why;
    } rows[] = {
        {{1, 3}, 1, 3, false, "a snapshot leaves out a page"},
        {{2}, 1, 3, false, "a snapshot begins at page 2"},
        {{1, 2}, 1, 3, true, "a snapshot ends early"},
        {{0}, 1, 3, true, "a snapshot without pages"},
        {{5, 5}, 2, 9, false, "the same page twice"},
        {{5, 4}, 2, 9, false, "descending"},
        {{9, 10}, 2, 9, false, "beyond commit"},
        {{16384, 16385}, 2, 20000, false, "the lock page"},
    };
    uint8_t *page = hf_calloc(1, 65536);
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        print_message("%s\n", rows[i].why);
        struct kit_mem m = {0};
        struct hf_ltx_encoder *e = NULL;
        struct hf_err err = HF_ERR_INIT;
        struct hf_ltx_header h = kit_header(65536, rows[i].commit, rows[i].min, rows[i].min);
        enum hf_code rc = hf_ltx_encoder_new(&h, HF_LTX_FORM_BLOCK, kit_sink(&m), NULL, &e, &err);
        for (size_t k = 0; rc == HF_OK && rows[i].pages[k] != 0; k++)
            rc = hf_ltx_encoder_page(e, rows[i].pages[k], page, &err);
        assert_int_equal(rc, rows[i].at_finish ? HF_OK : HF_E_INVALID);
        rc = hf_ltx_encoder_finish(e, NULL, NULL, &err);
        assert_int_equal(rc, rows[i].at_finish ? HF_E_INVALID : HF_E_INTERNAL);
        hf_ltx_encoder_free(e);
        kit_free(&m);
    }
    hf_free(page);
}

/* An increment may have pages on both sides of the lock page, for every page size. */
static void beside_the_lock_page(void **state)
{
    (void)state;
    for (uint32_t size = 512; size <= 65536; size *= 2) {
        uint32_t lock = hf_lock_page(size);
        struct hf_ltx_header h = kit_header(size, lock + 1, 2, 2);
        struct kit_mem m =
            kit_file(&h, HF_LTX_FORM_BLOCK, (const uint32_t[]){lock - 1, lock + 1, 0}, 1);
        assert_int_equal(check_pages(&m, 1, KIT_TEXT), 2);
        kit_free(&m);
    }
}

/* 400,000 pages make about 3.1 MB of index: it must go through the file and come back the same. */
static void spilled_index(void **state)
{
    (void)state;
    enum { PAGES = 400000 };
    struct hf_ltx_header h = kit_header(512, PAGES, 1, 1);
    uint8_t page[512] = {0};
    struct kit_mem block = kit_compress(page, sizeof(page));
    struct kit_mem m = {0};
    struct hf_ltx_encoder *e = NULL;
    uint64_t size = 0;
    assert_int_equal(hf_ltx_encoder_new(&h, HF_LTX_FORM_BLOCK, kit_sink(&m), NULL, &e, NULL),
                     HF_OK);
    for (uint32_t pgno = 1; pgno <= PAGES; pgno++)
        assert_int_equal(hf_ltx_encoder_page_lz4(e, pgno, page, block.data, block.len, NULL),
                         HF_OK);
    assert_int_equal(hf_ltx_encoder_finish(e, NULL, &size, NULL), HF_OK);
    hf_ltx_encoder_free(e);
    uint64_t index = hf_be64(m.data + m.len - 24);
    assert_true(index > 2 * (uint64_t)HF_LIMIT_SPILL_INDEX);
    struct hf_err err = HF_ERR_INIT;
    if (hf_ltx_verify(kit_source(&m, "m"), NULL, NULL, &err) != HF_OK)
        fail_msg("%s", err.text);
    kit_free(&block);
    kit_free(&m);
}

static void spill_into_nowhere(void **state)
{
    (void)state;
    struct hf_ltx_header h = kit_header(512, 400000, 1, 1);
    uint8_t page[512] = {0};
    struct kit_mem m = {0};
    struct hf_ltx_encoder *e = NULL;
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc =
        hf_ltx_encoder_new(&h, HF_LTX_FORM_BLOCK, kit_sink(&m), "/nonexistent/dir", &e, &err);
    for (uint32_t pgno = 1; rc == HF_OK && pgno <= h.commit; pgno++)
        rc = hf_ltx_encoder_page(e, pgno, page, &err);
    assert_int_equal(rc, HF_E_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/dir"));
    hf_ltx_encoder_free(e);
    kit_free(&m);
}

/* The sink's error comes out as it is, wherever it strikes, and nothing more is written. */
static void failing_sink(void **state)
{
    (void)state;
    for (size_t limit = 1; limit < 300000; limit += 20011) {
        struct kit_mem m = {.fail_after = limit};
        struct hf_ltx_header h = kit_header(4096, 80, 1, 1);
        struct hf_ltx_encoder *e = NULL;
        struct hf_err err = HF_ERR_INIT;
        uint8_t page[4096];
        enum hf_code rc = hf_ltx_encoder_new(&h, HF_LTX_FORM_BLOCK, kit_sink(&m), NULL, &e, &err);
        for (uint32_t pgno = 1; rc == HF_OK && pgno <= 80; pgno++) {
            kit_page(page, sizeof(page), pgno, 0, KIT_NOISE);
            rc = hf_ltx_encoder_page(e, pgno, page, &err);
        }
        if (rc == HF_OK)
            rc = hf_ltx_encoder_finish(e, NULL, NULL, &err);
        assert_int_equal(rc, HF_E_IO);
        assert_int_equal(hf_ltx_encoder_finish(e, NULL, NULL, &err), HF_E_INTERNAL);
        hf_ltx_encoder_free(e);
        kit_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worked_examples),     cmocka_unit_test(round_trips),
        cmocka_unit_test(empty_file_is_legal), cmocka_unit_test(refused_headers),
        cmocka_unit_test(refused_pages),       cmocka_unit_test(beside_the_lock_page),
        cmocka_unit_test(spilled_index),       cmocka_unit_test(spill_into_nowhere),
        cmocka_unit_test(failing_sink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
