/*
 * libFuzzer target: any bytes as an LTX file. Decoding, the index reader and a merge of the input
 * with itself must neither crash nor hang nor allocate by the input's word; and whatever decodes
 * must survive being written again.
 *
 * The file checksum would stop the fuzzer at the first changed byte, so each input is tried as it
 * is and once more with header, trailer and size put right (see mend()).
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "ltx/index.h"
#include "ltx/merge.h"
#include "ltx/testkit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum hf_code read_at(void *arg, uint64_t offset, void *buf, size_t len, struct hf_err *err)
{
    struct kit_mem *m = arg;
    (void)err;
    hf_assert(offset + len <= m->len);
    memcpy(buf, m->data + offset, len);
    return HF_OK;
}

static enum hf_code ignore(void *arg, const struct hf_ltx_index_entry *entry, struct hf_err *err)
{
    (void)err;
    hf_assert(entry->pgno != 0 && entry->size > HF_LTX_PAGE_HEADER_SIZE);
    ++*(uint64_t *)arg;
    return HF_OK;
}

static void index_of(struct kit_mem *m)
{
    struct hf_err err = HF_ERR_INIT;
    uint64_t seen = 0, told = 0;
    struct hf_random in = {read_at, m, m->len, "fuzz"};
    if (hf_ltx_index_read(in, ignore, &seen, &told, &err) == HF_OK)
        hf_assert(seen == told);
    else
        hf_assert(err.code == HF_E_CORRUPT && err.text[0] != '\0');
}

static enum hf_code drain(struct kit_mem *m, uint64_t *sum)
{
    struct hf_source source = kit_source(m, "fuzz");
    struct hf_ltx_merge *merge = NULL;
    struct hf_ltx_header h;
    struct hf_err err = HF_ERR_INIT;
    struct hf_ltx_page page = {.pgno = 1};
    enum hf_code rc = hf_ltx_merge_new(&source, 1, &merge, &h, &err);
    while (rc == HF_OK && page.pgno != 0) {
        rc = hf_ltx_merge_next(merge, &page, &err);
        if (rc == HF_OK && page.pgno != 0)
            *sum ^= hf_page_checksum(page.pgno, page.data, h.page_size);
    }
    hf_assert(rc == HF_OK || err.code == HF_E_CORRUPT);
    hf_ltx_merge_free(merge);
    return rc;
}

/* Writes again what decoded; the pages must come out the same. */
static void again(struct kit_mem *m, uint64_t want)
{
    struct hf_ltx_decoder *d = NULL;
    struct hf_ltx_encoder *e = NULL;
    struct hf_ltx_page page = {.pgno = 1};
    struct kit_mem out = {0};
    hf_assert(hf_ltx_decoder_new(kit_source(m, "fuzz"), &d, NULL) == HF_OK);
    struct hf_ltx_header h = *hf_ltx_decoder_header(d);
    h.flags = HF_LTX_FLAG_NO_CHECKSUM;
    h.pre_apply = 0;
    if (h.commit != 0) {
        hf_assert(hf_ltx_encoder_new(&h, HF_LTX_FORM_FRAME, kit_sink(&out), NULL, &e, NULL) ==
                  HF_OK);
        while (page.pgno != 0) {
            hf_assert(hf_ltx_decoder_next(d, &page, NULL) == HF_OK);
            if (page.pgno != 0)
                hf_assert(hf_ltx_encoder_page_lz4(e, page.pgno, page.data, page.block,
                                                  page.block_len, NULL) == HF_OK);
        }
        hf_assert(hf_ltx_encoder_finish(e, NULL, NULL, NULL) == HF_OK);
        uint64_t sum = 0;
        hf_assert(drain(&out, &sum) == HF_OK && sum == want);
    }
    hf_ltx_encoder_free(e);
    hf_ltx_decoder_free(d);
    kit_free(&out);
}

static void try_one(struct kit_mem *m)
{
    uint64_t sum = 0;
    index_of(m);
    if (drain(m, &sum) == HF_OK)
        again(m, sum);
}

/* Replaces what lies behind the page block with an index and trailer that fit, as far as pages can
 * be walked: then only the pages themselves are left to be judged. */
static bool mend(const uint8_t *data, size_t size, struct kit_mem *out)
{
    struct kit_craft c = {0};
    struct hf_ltx_header h;
    if (size < HF_LTX_HEADER_SIZE || hf_ltx_header_unpack(data, &h, NULL) != HF_OK)
        return false;
    kit_craft_raw(&c, data, HF_LTX_HEADER_SIZE);
    uint8_t *page = hf_malloc(h.page_size);
    for (size_t at = HF_LTX_HEADER_SIZE; size - at >= 10 && hf_be16(data + at + 4) == 1;) {
        size_t n = hf_be32(data + at + 6);
        struct kit_mem payload = {.len = n};
        if (n > size - at - 10)
            break;
        payload.data = hf_malloc(n + 1);
        memcpy(payload.data, data + at + 10, n);
        memset(page, 0, h.page_size);
        (void)LZ4_decompress_safe((const char *)payload.data, (char *)page, (int)n,
                                  (int)h.page_size);
        kit_craft_page(&c, hf_be32(data + at), 1, &payload, page, h.page_size);
        kit_free(&payload);
        at += 10 + n;
    }
    kit_craft_finish(&c, 0, 0);
    hf_free(page);
    *out = c.file;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kit_mem m = {0};
    kit_append(&m, data, size);
    try_one(&m);
    kit_free(&m);
    if (mend(data, size, &m)) {
        try_one(&m);
        kit_free(&m);
    }
    return 0;
}
