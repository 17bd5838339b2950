/*
 * An image has the bytes that were given, zeros between them, and the right length, whichever way
 * it is written; and nothing of the way is left when somebody patches it afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/mem.h"
#include "os/fault.h"
#include "replica/image.h"

enum { PAGE = 1024, PAGES = 12000, LOCK = 7001 };

struct way {
    const char *why;
    bool is_threaded;
    bool is_direct;
    uint32_t first; /* page number of a hole that is larger than a page */
    uint32_t hole;
    uint32_t pages;
};

static const struct way ways[] = {
    {"caller's thread", false, false, 0, 0, PAGES},
    {"a thread", true, false, 0, 0, PAGES},
    {"direct", true, true, 0, 0, PAGES},
    {"direct, ends off alignment", true, true, 0, 0, PAGES - 3},
    {"direct, shorter than one block", true, true, 0, 0, 3},
    {"direct, a hole ends off alignment", true, true, 3001, 333, PAGES},
    {"direct, on the caller's thread", false, true, 0, 0, PAGES},
};

static void page_of(uint32_t pgno, uint8_t out[PAGE])
{
    for (unsigned i = 0; i < PAGE; i++)
        out[i] = (uint8_t)(pgno * 31 + i * 7 + 1);
}

static bool is_left_out(const struct way *w, uint32_t pgno)
{
    return pgno == LOCK || (pgno >= w->first && pgno < w->first + w->hole);
}

static void fill(struct hf_image *im, const struct way *w)
{
    struct hf_err err = HF_ERR_INIT;
    uint8_t page[PAGE];
    for (uint32_t pgno = 1; pgno <= w->pages; pgno++) {
        page_of(pgno, page);
        if (!is_left_out(w, pgno))
            assert_int_equal(hf_image_write(im, (uint64_t)(pgno - 1) * PAGE, page, PAGE, &err),
                             HF_OK);
    }
}

static void compare(struct hf_file *f, const struct way *w)
{
    static const uint8_t zeros[PAGE];
    struct hf_err err = HF_ERR_INIT;
    struct hf_file_stat st;
    uint8_t want[PAGE];
    uint8_t got[PAGE];
    assert_int_equal(hf_file_stat(f, &st, &err), HF_OK);
    assert_int_equal(st.size, (uint64_t)w->pages * PAGE);
    for (uint32_t pgno = 1; pgno <= w->pages; pgno++) {
        page_of(pgno, want);
        assert_int_equal(hf_file_read_at(f, got, PAGE, (uint64_t)(pgno - 1) * PAGE, &err), HF_OK);
        if (memcmp(got, is_left_out(w, pgno) ? zeros : want, PAGE) != 0)
            fail_msg("%s: page %u differs", w->why, pgno);
    }
}

static char *scratch(void)
{
    char dir[] = "/tmp/hf-image-XXXXXX";
    assert_non_null(mkdtemp(dir));
    return hf_strdup(dir);
}

static struct hf_image *begin(const char *path, const struct way *w)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_image_how how = {0600, w->is_threaded, w->is_direct};
    struct hf_image *im = NULL;
    assert_int_equal(hf_image_new(path, &how, &im, &err), HF_OK);
    return im;
}

static void test_ways(void **state)
{
    (void)state;
    HF_AUTO_FREE char *dir = scratch();
    HF_AUTO_FREE char *path = hf_asprintf("%s/image", dir);
    for (size_t i = 0; i < HF_ARRAY_LEN(ways); i++) {
        struct hf_err err = HF_ERR_INIT;
        struct hf_image *im = begin(path, &ways[i]);
        fill(im, &ways[i]);
        assert_int_equal(hf_image_finish(im, &err), HF_OK);
        compare(hf_image_file(im), &ways[i]);
        /* any bytes at any place */
        assert_int_equal(hf_file_write_at(hf_image_file(im), "patch", 5, 1001, &err), HF_OK);
        hf_image_free(im);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(dir), 0);
}

/* The disk is full: told by a write or by the end, and nothing hangs. */
static void test_no_space(void **state)
{
    (void)state;
    HF_AUTO_FREE char *dir = scratch();
    HF_AUTO_FREE char *path = hf_asprintf("%s/image", dir);
    for (size_t i = 0; i < HF_ARRAY_LEN(ways); i++) {
        struct hf_err err = HF_ERR_INIT;
        struct hf_image *im = begin(path, &ways[i]);
        uint8_t page[PAGE];
        page_of(1, page);
        assert_int_equal(hf_fault_arm("write:2+:ENOSPC:image", &err), HF_OK);
        enum hf_code rc = HF_OK;
        for (uint32_t k = 0; rc == HF_OK && k < PAGES; k++)
            rc = hf_image_write(im, (uint64_t)k * PAGE, page, PAGE, &err);
        if (rc == HF_OK)
            rc = hf_image_finish(im, &err);
        assert_int_equal(rc, HF_E_NO_SPACE);
        assert_int_equal(hf_fault_arm("", &err), HF_OK);
        hf_image_free(im);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ways),
                                       cmocka_unit_test(test_no_space)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
