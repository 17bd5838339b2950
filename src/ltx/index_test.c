/*
 * The page index read from the end of a file: the same places the decoder goes through, few reads,
 * and nothing but an error for damage.
 */
#include "ltx/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ltx/testkit.h"

struct remote {
    struct kit_mem *file;
    size_t reads;
    size_t largest;
    bool fails;
};

static enum hf_code read_at(void *arg, uint64_t offset, void *buf, size_t len, struct hf_err *err)
{
    struct remote *r = arg;
    if (r->fails)
        return hf_err_set(err, HF_E_IO, "gone");
    assert_true(offset + len <= r->file->len);
    memcpy(buf, r->file->data + offset, len);
    r->reads++;
    if (len > r->largest)
        r->largest = len;
    return HF_OK;
}

/* Each entry must say where that page's header is. */
static enum hf_code check_entry(void *arg, const struct hf_ltx_index_entry *e, struct hf_err *err)
{
    const struct remote *r = arg;
    (void)err;
    if (hf_be32(r->file->data + e->offset) != e->pgno)
        return hf_err_set(err, HF_E_INTERNAL, "page %u is not there", e->pgno);
    return HF_OK;
}

static enum hf_code stop(void *arg, const struct hf_ltx_index_entry *e, struct hf_err *err)
{
    (void)arg;
    (void)e;
    return hf_err_set(err, HF_E_CANCELED, "enough");
}

static struct kit_mem long_file(uint32_t pages)
{
    struct kit_mem m = {0};
    struct hf_ltx_header h = kit_header(512, pages, 1, 1);
    struct hf_ltx_encoder *e = NULL;
    uint8_t page[512];
    hf_assert(hf_ltx_encoder_new(&h, HF_LTX_FORM_BLOCK, kit_sink(&m), NULL, &e, NULL) == HF_OK);
    for (uint32_t p = 1; p <= pages; p++) {
        kit_page(page, sizeof(page), p, 0, p % 7 == 0 ? KIT_NOISE : KIT_ZERO);
        hf_assert(hf_ltx_encoder_page(e, p, page, NULL) == HF_OK);
    }
    hf_assert(hf_ltx_encoder_finish(e, NULL, NULL, NULL) == HF_OK);
    hf_ltx_encoder_free(e);
    return m;
}

static void places(void **state)
{
    (void)state;
    static const struct {
        uint32_t pages;
        size_t reads;
        const char *why;
    } rows[] = {
        {1, 1, "a small file is one read"},
        {3000, 1, "an index below 32 KiB is one read"},
        {5450, 3, "a little over 32 KiB: again from its start, and a rest"},
        {60000, 16, "a long index, in pieces"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct kit_mem m = long_file(rows[i].pages);
        struct remote r = {.file = &m};
        struct hf_err err = HF_ERR_INIT;
        uint64_t n = 0;
        if (hf_ltx_index_read((struct hf_random){read_at, &r, m.len, "m"}, check_entry, &r, &n,
                              &err) != HF_OK)
            fail_msg("%s", err.text);
        print_message("%s: index %llu bytes, %zu reads\n", rows[i].why,
                      (unsigned long long)hf_be64(m.data + m.len - 24), r.reads);
        assert_int_equal(n, rows[i].pages);
        assert_true(r.reads <= rows[i].reads);
        assert_true(r.largest <= 32 << 10);
        kit_free(&m);
    }
}

static void errors_pass_through(void **state)
{
    (void)state;
    struct kit_mem m = long_file(3);
    struct remote r = {.file = &m};
    struct hf_random in = {read_at, &r, m.len, "m"};
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_ltx_index_read(in, stop, &r, NULL, &err), HF_E_CANCELED);
    r.fails = true;
    assert_int_equal(hf_ltx_index_read(in, stop, &r, NULL, &err), HF_E_IO);
    assert_string_equal(err.text, "m: gone");
    kit_free(&m);
}

static enum hf_code ignore(void *arg, const struct hf_ltx_index_entry *e, struct hf_err *err)
{
    (void)arg;
    (void)e;
    (void)err;
    return HF_OK;
}

/* Every bit of the index and its size: an error with the place. Every shorter file too. */
static void damage(void **state)
{
    (void)state;
    struct kit_mem m = long_file(12);
    struct remote r = {.file = &m};
    size_t start = m.len - 24 - (size_t)hf_be64(m.data + m.len - 24);
    for (size_t bit = start * 8; bit < (m.len - 16) * 8; bit++) {
        struct hf_err err = HF_ERR_INIT;
        m.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        enum hf_code rc = hf_ltx_index_read((struct hf_random){read_at, &r, m.len, "m"}, ignore,
                                            NULL, NULL, &err);
        m.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        if (rc == HF_OK) /* a page number may be changed to another between its neighbours */
            continue;
        assert_int_equal(rc, HF_E_CORRUPT);
        assert_non_null(strstr(err.text, "m: byte "));
    }
    for (size_t len = 0; len < m.len; len++) {
        struct hf_err err = HF_ERR_INIT;
        assert_int_equal(
            hf_ltx_index_read((struct hf_random){read_at, &r, len, "m"}, ignore, NULL, NULL, &err),
            HF_E_CORRUPT);
    }
    kit_free(&m);
}

static void varints(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[11];
        size_t len, used;
        uint64_t value;
        const char *why;
    } rows[] = {
        {{0}, 1, 1, 0, "zero"},
        {{0x7f}, 1, 1, 127, "largest of one byte"},
        {{0xdc, 0x01}, 2, 2, 220, "the format's example"},
        {{0xdc}, 1, 0, 0, "goes on past the end"},
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 10, 10, UINT64_MAX, "max"},
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, 10, 0, 0, "65 bits"},
        {{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0}, 11, 0, 0, "11 bytes"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        print_message("%s\n", rows[i].why);
        uint64_t v = 0;
        assert_int_equal(hf_varint_get(rows[i].bytes, rows[i].len, &v), rows[i].used);
        assert_int_equal(v, rows[i].value);
        uint8_t back[HF_VARINT_MAX];
        if (rows[i].used != 0)
            assert_int_equal(hf_varint_put(back, v), rows[i].used);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),
        cmocka_unit_test(errors_pass_through),
        cmocka_unit_test(damage),
        cmocka_unit_test(varints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
