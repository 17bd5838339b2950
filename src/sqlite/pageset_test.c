/*
 * A page set gives back the newest image of each page, wherever it had to keep it: in memory, in
 * its spill file, or as a reference into the log.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/fault.h"
#include "os/file.h"
#include "sqlite/pageset.h"

enum { SIZE = 1024, PAGES = 300 };

static char dir[64];

static int make(void **state)
{
    (void)state;
    memcpy(dir, "/tmp/hf-pageset-XXXXXX", sizeof("/tmp/hf-pageset-XXXXXX"));
    return mkdtemp(dir) == NULL;
}

static int drop(void **state)
{
    (void)state;
    assert_int_equal(hf_fault_arm(NULL, NULL), HF_OK);
    return rmdir(dir); /* fails if the spill file has a name */
}

static const uint8_t *image_of(uint32_t pgno, unsigned version)
{
    static uint8_t page[SIZE];
    memset(page, (int)(pgno * 7 + version), SIZE);
    memcpy(page, &pgno, sizeof(pgno));
    return page;
}

static void check_item(struct hf_pageset *s, size_t i, unsigned version)
{
    uint8_t page[SIZE];
    struct hf_pageset_item it = hf_pageset_item(s, i);
    if (it.is_spilled) {
        assert_int_equal(hf_pageset_read_spilled(s, i, page, NULL), HF_OK);
        it.data = page;
    }
    assert_non_null(it.data);
    assert_memory_equal(it.data, image_of(it.pgno, version), SIZE);
}

static void test_spilled_pages_come_back(void **state)
{
    (void)state;
    struct hf_pageset *s = hf_pageset_new(SIZE);
    hf_pageset_set_spill_dir(s, dir);
    for (uint32_t p = PAGES; p >= 1; p--) {
        if (p % 3 == 0)
            hf_pageset_put(s, p, 1, image_of(p, 0));
        else
            assert_int_equal(hf_pageset_put_spilled(s, p, image_of(p, 0), NULL), HF_OK);
    }
    uint64_t spilled = hf_pageset_spilled_bytes(s);
    assert_int_equal(spilled, 200 * SIZE);
    /* newer images take the place of older ones: the file does not grow, memory stays memory */
    for (uint32_t p = 1; p <= PAGES; p++)
        assert_int_equal(hf_pageset_put_spilled(s, p, image_of(p, 1), NULL), HF_OK);
    assert_int_equal(hf_pageset_spilled_bytes(s), spilled);
    assert_false(hf_pageset_has_refs(s));
    hf_pageset_truncate(s, PAGES - 10);
    hf_pageset_sort(s);
    assert_int_equal(hf_pageset_count(s), PAGES - 10);
    for (size_t i = 0; i < hf_pageset_count(s); i++) {
        assert_int_equal(hf_pageset_item(s, i).pgno, i + 1);
        assert_int_equal(hf_pageset_item(s, i).is_spilled, (i + 1) % 3 != 0);
        check_item(s, i, 1);
    }
    hf_pageset_free(s);
}

static void test_moves_between_places(void **state)
{
    (void)state;
    struct hf_pageset *s = hf_pageset_new(SIZE);
    hf_pageset_set_spill_dir(s, dir);
    hf_pageset_put_ref(s, 1, 11);
    assert_true(hf_pageset_has_refs(s));
    assert_int_equal(hf_pageset_put_spilled(s, 1, image_of(1, 2), NULL), HF_OK);
    assert_false(hf_pageset_has_refs(s));
    hf_pageset_put_ref(s, 1, 12);
    assert_true(hf_pageset_has_refs(s));
    assert_int_equal(hf_pageset_put_spilled(s, 1, image_of(1, 3), NULL), HF_OK);
    hf_pageset_put(s, 1, 13, image_of(1, 4));
    assert_false(hf_pageset_has_refs(s));
    hf_pageset_sort(s);
    check_item(s, 0, 4);
    hf_pageset_free(s);
}

static void test_nowhere_to_spill(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_pageset *s = hf_pageset_new(SIZE);
    assert_int_equal(hf_pageset_put_spilled(s, 1, image_of(1, 0), &err), HF_E_UNSUPPORTED);
    HF_AUTO_FREE char *made = hf_path_join(dir, "made/when/needed");
    hf_pageset_set_spill_dir(s, made);
    assert_int_equal(hf_pageset_put_spilled(s, 1, image_of(1, 0), NULL), HF_OK);
    assert_true(hf_path_exists(made));
    /* the disk is full: the page must be put another way, what is there stays */
    assert_int_equal(hf_fault_arm("write:1:ENOSPC", NULL), HF_OK);
    assert_int_equal(hf_pageset_put_spilled(s, 2, image_of(2, 0), &err), HF_E_NO_SPACE);
    assert_int_equal(hf_fault_arm(NULL, NULL), HF_OK);
    assert_false(hf_pageset_has(s, 2));
    hf_pageset_put_ref(s, 2, 5);
    hf_pageset_sort(s);
    check_item(s, 0, 0);
    assert_null(hf_pageset_item(s, 1).data);
    assert_int_equal(hf_pageset_item(s, 1).frame, 5);
    hf_pageset_free(s);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rmdir(made), 0);
        *strrchr(made, '/') = '\0';
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_spilled_pages_come_back, make, drop),
        cmocka_unit_test_setup_teardown(test_moves_between_places, make, drop),
        cmocka_unit_test_setup_teardown(test_nowhere_to_spill, make, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
