/*
 * Merging: newest wins, gaps and strangers refused, shrinking and growing, many inputs, the lock
 * page, damage anywhere in any input.
 */
#include "ltx/merge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ltx/testkit.h"

enum { SIZE = 512, MAX_INPUTS = 200 };

struct spec {
    uint64_t min, max;
    uint32_t commit;
    uint32_t pages[8];
};

static struct kit_mem make(const struct spec *s, uint32_t version)
{
    struct hf_ltx_header h = kit_header(SIZE, s->commit, s->min, s->max);
    /* both forms, mixed in one merge */
    return kit_file(&h, version % 2 == 0 ? HF_LTX_FORM_BLOCK : HF_LTX_FORM_FRAME, s->pages,
                    version);
}

/* Inputs of a row are versions 0, 1, 2...; want[i] is page want[i].pgno in that version. */
static void sequences(void **state)
{
    (void)state;
    static const struct {
        struct spec in[4];
        size_t n;
        struct {
            uint32_t pgno, version;
        } want[8];
        const char *why;
    } rows[] = {
        {{{1, 1, 3, {1, 2, 3}}}, 1, {{1, 0}, {2, 0}, {3, 0}}, "one input passes through"},
        {{{1, 1, 3, {1, 2, 3}}, {2, 2, 3, {2}}}, 2, {{1, 0}, {2, 1}, {3, 0}}, "newer page wins"},
        {{{1, 2, 2, {1, 2}}, {1, 3, 3, {1, 2, 3}}},
         2,
         {{1, 1}, {2, 1}, {3, 1}},
         "overlap 1-2 then 1-3 is normal in a Litestream plan"},
        {{{1, 2, 2, {1, 2}}, {2, 3, 3, {3}}}, 2, {{1, 0}, {2, 0}, {3, 1}}, "growth"},
        {{{1, 1, 4, {1, 2, 3, 4}}, {2, 2, 2, {1}}}, 2, {{1, 1}, {2, 0}}, "shrinking drops pages"},
        {{{1, 1, 4, {1, 2, 3, 4}}, {2, 2, 1, {0}}, {3, 3, 3, {2, 3}}},
         3,
         {{1, 0}, {2, 2}, {3, 2}},
         "shrunk, then grown again: the new images"},
        {{{1, 1, 2, {1, 2}}, {2, 2, 2, {2}}, {3, 3, 2, {2}}, {4, 4, 2, {1}}},
         4,
         {{1, 3}, {2, 2}},
         "the same page in several inputs: the newest"},
        {{{5, 5, 9, {2, 7}}, {6, 6, 9, {3, 9}}},
         2,
         {{2, 0}, {3, 1}, {7, 0}, {9, 1}},
         "increments only need not be complete"},
        {{{5, 5, 9, {0}}, {6, 6, 9, {0}}}, 2, {{0, 0}}, "inputs without pages"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        print_message("%s\n", rows[i].why);
        struct kit_mem files[4];
        struct hf_source sources[4];
        for (size_t k = 0; k < rows[i].n; k++) {
            files[k] = make(&rows[i].in[k], (uint32_t)k);
            sources[k] = kit_source(&files[k], "in");
        }
        struct hf_ltx_merge *m = NULL;
        struct hf_ltx_header h;
        struct hf_err err = HF_ERR_INIT;
        assert_int_equal(hf_ltx_merge_new(sources, rows[i].n, &m, &h, &err), HF_OK);
        const struct spec *last = &rows[i].in[rows[i].n - 1];
        assert_int_equal(h.min_txid, rows[i].in[0].min);
        assert_int_equal(h.max_txid, last->max);
        assert_int_equal(h.commit, last->commit);
        assert_int_equal(h.timestamp_ms, 1700000000000 + (int64_t)last->max);
        assert_int_equal(h.flags, 2);
        struct hf_ltx_page page;
        for (size_t k = 0;; k++) {
            if (hf_ltx_merge_next(m, &page, &err) != HF_OK)
                fail_msg("%s", err.text);
            assert_int_equal(page.pgno, rows[i].want[k].pgno);
            if (page.pgno == 0)
                break;
            uint8_t want[SIZE];
            kit_page(want, SIZE, page.pgno, rows[i].want[k].version, KIT_TEXT);
            assert_memory_equal(page.data, want, SIZE);
        }
        /* asking again stays at the end */
        assert_int_equal(hf_ltx_merge_next(m, &page, &err), HF_OK);
        assert_int_equal(page.pgno, 0);
        hf_ltx_merge_free(m);
        for (size_t k = 0; k < rows[i].n; k++)
            kit_free(&files[k]);
    }
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        struct spec in[3];
        size_t n;
        const char *text;
        const char *why;
    } rows[] = {
        {{{1, 1, 1, {1}}, {3, 3, 1, {1}}}, 2, "begins at TXID 3", "TXID 2 is missing"},
        {{{1, 3, 1, {1}}, {2, 3, 1, {1}}}, 2, "already holds", "brings nothing new"},
        {{{1, 3, 1, {1}}, {2, 2, 1, {1}}}, 2, "already holds", "goes back"},
        {{{1, 1, 1, {1}}, {2, 2, 3, {3}}}, 2, "page 2 of the database", "growth left out page 2"},
        {{{1, 1, 1, {1}}, {2, 2, 3, {2}}}, 2, "page 3 of the database", "growth left out the end"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        print_message("%s\n", rows[i].why);
        struct kit_mem files[3];
        struct hf_source sources[3];
        for (size_t k = 0; k < rows[i].n; k++) {
            files[k] = make(&rows[i].in[k], 0);
            sources[k] = kit_source(&files[k], k == 0 ? "first" : "second");
        }
        struct hf_ltx_merge *m = NULL;
        struct hf_ltx_header h;
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = hf_ltx_merge_new(sources, rows[i].n, &m, &h, &err);
        struct hf_ltx_page page = {.pgno = 1};
        while (rc == HF_OK && page.pgno != 0)
            rc = hf_ltx_merge_next(m, &page, &err);
        assert_int_equal(rc, HF_E_CORRUPT);
        print_message("  %s\n", err.text);
        assert_non_null(strstr(err.text, rows[i].text));
        hf_ltx_merge_free(m);
        for (size_t k = 0; k < rows[i].n; k++)
            kit_free(&files[k]);
    }
}

static void page_sizes_must_agree(void **state)
{
    (void)state;
    struct hf_ltx_header a = kit_header(512, 1, 1, 1), b = kit_header(1024, 1, 2, 2), h;
    struct kit_mem files[2] = {kit_file(&a, HF_LTX_FORM_BLOCK, (const uint32_t[]){1, 0}, 0),
                               kit_file(&b, HF_LTX_FORM_BLOCK, (const uint32_t[]){1, 0}, 0)};
    struct hf_source sources[2] = {kit_source(&files[0], "a"), kit_source(&files[1], "b")};
    struct hf_ltx_merge *m = NULL;
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_ltx_merge_new(sources, 2, &m, &h, &err), HF_E_CORRUPT);
    assert_null(m);
    assert_non_null(strstr(err.text, "page size 1024, but 512"));
    kit_free(&files[0]);
    kit_free(&files[1]);
}

/* 200 increments over 64 pages in a fixed pseudo-random pattern, against an array as the model. */
static void many_inputs(void **state)
{
    (void)state;
    enum { PAGES = 64 };
    struct kit_mem files[MAX_INPUTS];
    struct hf_source sources[MAX_INPUTS];
    uint32_t model[PAGES + 1] = {0};
    uint32_t seed = 1;
    for (uint32_t v = 0; v < MAX_INPUTS; v++) {
        uint32_t pages[PAGES + 1];
        size_t n = 0;
        for (uint32_t pgno = 1; pgno <= PAGES; pgno++) {
            seed = seed * 1664525u + 1013904223u;
            if (v != 0 && seed >> 29 != 0)
                continue;
            pages[n++] = pgno;
            model[pgno] = v;
        }
        pages[n] = 0;
        struct hf_ltx_header h = kit_header(SIZE, PAGES, v + 1, v + 1);
        files[v] = kit_file(&h, HF_LTX_FORM_BLOCK, pages, v);
        sources[v] = kit_source(&files[v], "in");
    }
    struct hf_ltx_merge *m = NULL;
    struct hf_ltx_header h;
    struct hf_ltx_page page;
    assert_int_equal(hf_ltx_merge_new(sources, MAX_INPUTS, &m, &h, NULL), HF_OK);
    for (uint32_t pgno = 1; pgno <= PAGES; pgno++) {
        uint8_t want[SIZE];
        assert_int_equal(hf_ltx_merge_next(m, &page, NULL), HF_OK);
        assert_int_equal(page.pgno, pgno);
        kit_page(want, SIZE, pgno, model[pgno], KIT_TEXT);
        assert_memory_equal(page.data, want, SIZE);
    }
    assert_int_equal(hf_ltx_merge_next(m, &page, NULL), HF_OK);
    assert_int_equal(page.pgno, 0);
    hf_ltx_merge_free(m);
    for (size_t v = 0; v < MAX_INPUTS; v++)
        kit_free(&files[v]);
}

/* A database past 1 GiB of 64 KiB pages: page 16385 is in no file and is not missed. */
static void over_the_lock_page(void **state)
{
    (void)state;
    static const uint32_t commits[] = {16385, 16386};
    uint8_t *zeros = hf_calloc(1, 65536);
    struct kit_mem block = kit_compress(zeros, 65536);
    for (size_t i = 0; i < HF_ARRAY_LEN(commits); i++) {
        struct hf_ltx_header h = kit_header(65536, commits[i], 1, 1), out;
        struct kit_mem file = {0};
        struct hf_ltx_encoder *e = NULL;
        assert_int_equal(hf_ltx_encoder_new(&h, HF_LTX_FORM_BLOCK, kit_sink(&file), NULL, &e, NULL),
                         HF_OK);
        for (uint32_t p = 1; p <= commits[i]; p++) {
            if (p != 16385)
                assert_int_equal(hf_ltx_encoder_page_lz4(e, p, zeros, block.data, block.len, NULL),
                                 HF_OK);
        }
        assert_int_equal(hf_ltx_encoder_finish(e, NULL, NULL, NULL), HF_OK);
        hf_ltx_encoder_free(e);
        struct hf_source source = kit_source(&file, "big");
        struct hf_ltx_merge *m = NULL;
        struct hf_ltx_page page = {.pgno = 1};
        uint32_t n = 0;
        assert_int_equal(hf_ltx_merge_new(&source, 1, &m, &out, NULL), HF_OK);
        while (page.pgno != 0) {
            assert_int_equal(hf_ltx_merge_next(m, &page, NULL), HF_OK);
            n += page.pgno != 0;
            assert_int_not_equal(page.pgno, 16385);
        }
        assert_int_equal(n, commits[i] < 16385 ? commits[i] : commits[i] - 1);
        hf_ltx_merge_free(m);
        kit_free(&file);
    }
    kit_free(&block);
    hf_free(zeros);
}

/* A flipped bit in any byte of any input either fails the merge or changes nothing. */
static void damage_anywhere(void **state)
{
    (void)state;
    const struct spec specs[2] = {{1, 1, 3, {1, 2, 3}}, {2, 2, 2, {2}}};
    struct kit_mem files[2] = {make(&specs[0], 0), make(&specs[1], 1)};
    size_t failures = 0;
    for (size_t k = 0; k < 2; k++) {
        for (size_t at = 0; at < files[k].len; at++) {
            files[k].data[at] ^= 1;
            struct hf_source sources[2] = {kit_source(&files[0], "a"), kit_source(&files[1], "b")};
            struct hf_ltx_merge *m = NULL;
            struct hf_ltx_header h;
            struct hf_err err = HF_ERR_INIT;
            struct hf_ltx_page page = {.pgno = 1};
            enum hf_code rc = hf_ltx_merge_new(sources, 2, &m, &h, &err);
            while (rc == HF_OK && page.pgno != 0)
                rc = hf_ltx_merge_next(m, &page, &err);
            assert_true(rc == HF_OK || rc == HF_E_CORRUPT);
            failures += rc != HF_OK;
            hf_ltx_merge_free(m);
            files[k].data[at] ^= 1;
        }
    }
    assert_true(failures > (files[0].len + files[1].len) * 9 / 10);
    kit_free(&files[0]);
    kit_free(&files[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences),
        cmocka_unit_test(refused),
        cmocka_unit_test(page_sizes_must_agree),
        cmocka_unit_test(many_inputs),
        cmocka_unit_test(over_the_lock_page),
        cmocka_unit_test(damage_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
