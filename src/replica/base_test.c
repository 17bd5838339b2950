/*
 * A base image with changes laid over it: the newest image of each page wins, also when so many
 * runs came in meanwhile that they had to be folded. (They once were folded into a file that the
 * next run then overwrote: a large database under a busy writer never got its first image.)
 */
#include "replica/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "os/file.h"
#include "replica/kit_test.h"

enum { SIZE = 512, PAGES = 50, GROWN = 60, RUNS = 3 * HF_BASE_RUNS_MAX + 5 };

static void fill(uint8_t page[SIZE], uint32_t pgno, uint32_t version)
{
    memset(page, (int)(pgno & 0xff), SIZE);
    memcpy(page, &version, sizeof(version));
}

static void add_run(struct hf_base *b, uint32_t pgno, uint32_t version, uint32_t commit)
{
    uint8_t page[SIZE];
    struct hf_batch batch = {.page_size = SIZE, .commit = commit};
    batch.pages = hf_pageset_new(SIZE);
    fill(page, pgno, version);
    hf_pageset_put(batch.pages, pgno, version, page);
    assert_int_equal(hf_base_run(b, &batch, NULL), HF_OK);
    hf_batch_deinit(&batch);
}

static void check_file(struct kit *k, const uint32_t want[GROWN + 1])
{
    struct hf_ltx_info info = {.level = 0, .min_txid = 1, .max_txid = 1};
    struct hf_replica_input *in = NULL;
    struct hf_ltx_decoder *d = NULL;
    struct hf_ltx_page p;
    uint8_t page[SIZE];
    assert_int_equal(hf_replica_input_new(k->replica, &info, &in, NULL), HF_OK);
    assert_int_equal(hf_ltx_decoder_new(hf_replica_input_source(in), &d, NULL), HF_OK);
    for (uint32_t pgno = 1; pgno <= GROWN; pgno++) {
        assert_int_equal(hf_ltx_decoder_next(d, &p, NULL), HF_OK);
        assert_int_equal(p.pgno, pgno);
        fill(page, pgno, want[pgno]);
        if (memcmp(page, p.data, SIZE) != 0)
            fail_msg("page %u is not version %u", pgno, want[pgno]);
    }
    assert_int_equal(hf_ltx_decoder_next(d, &p, NULL), HF_OK);
    assert_int_equal(p.pgno, 0);
    hf_ltx_decoder_free(d);
    hf_replica_input_free(in);
}

static void test_newest_wins_over_many_runs(void **state)
{
    (void)state;
    static struct kit k;
    uint8_t chunk[PAGES * SIZE];
    uint32_t want[GROWN + 1] = {0};
    struct hf_base *b = NULL;
    uint64_t bytes = 0;
    kit_init(&k, SIZE, 7);
    HF_AUTO_FREE char *dir = kit_path(&k, "state");
    for (uint32_t i = 0; i < PAGES; i++)
        fill(chunk + (size_t)i * SIZE, i + 1, 0);
    assert_int_equal(hf_base_new(dir, SIZE, PAGES, NULL, "/nonexistent-wal", &b, NULL), HF_OK);
    assert_int_equal(hf_base_chunk(b, 1, PAGES / 2, chunk, NULL), HF_OK);
    for (uint32_t v = 1; v <= RUNS; v++) {
        uint32_t pgno = v <= GROWN - PAGES ? PAGES + v : 1 + v * 7 % GROWN;
        want[pgno] = v;
        add_run(b, pgno, v, v <= GROWN - PAGES ? PAGES + v : GROWN);
    }
    assert_int_equal(
        hf_base_chunk(b, 1 + PAGES / 2, PAGES / 2, chunk + (size_t)PAGES / 2 * SIZE, NULL), HF_OK);
    struct hf_ship s = {k.replica, HF_LTX_FORM_BLOCK, "/nonexistent-wal", dir, false, 0};
    struct hf_ltx_header h = {.flags = HF_LTX_FLAG_NO_CHECKSUM,
                              .page_size = SIZE,
                              .commit = GROWN,
                              .min_txid = 1,
                              .max_txid = 1,
                              .timestamp_ms = 1000};
    assert_int_equal(hf_base_finish(b, &s, &h, &bytes, NULL), HF_OK);
    hf_base_free(b);
    check_file(&k, want);
    assert_int_equal(hf_path_rmdir(dir, NULL), HF_OK); /* no piece stayed behind */
    kit_deinit(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest_wins_over_many_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
