#include "replica/kit_test.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ltx/crc64.h"
#include "ltx/merge.h"
#include "os/file.h"
#include "replica/input.h"

void kit_init(struct kit *k, uint32_t page_size, uint64_t seed)
{
    struct hf_err err = HF_ERR_INIT;
    memset(k, 0, sizeof(*k));
    snprintf(k->dir, sizeof(k->dir), "/tmp/holdfast-kit-XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    k->page_size = page_size;
    k->pages = hf_calloc(KIT_PAGES, page_size);
    k->random = seed * 2654435761u + 88172645463325252ull;
    k->now_ms = 1700000000000;
    k->form = HF_LTX_FORM_BLOCK;
    HF_AUTO_FREE char *url = kit_path(k, "rep");
    assert_int_equal(hf_store_open(url, &k->store, &err), HF_OK);
    assert_int_equal(hf_replica_new(k->store, "db", &k->replica, &err), HF_OK);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void kit_deinit(struct kit *k)
{
    hf_replica_free(k->replica);
    hf_store_close(k->store);
    hf_free(k->pages);
    nftw(k->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

uint64_t kit_random(struct kit *k, uint64_t below)
{
    k->random ^= k->random << 13;
    k->random ^= k->random >> 7;
    k->random ^= k->random << 17;
    return (k->random >> 11) % below;
}

char *kit_path(const struct kit *k, const char *name)
{
    return hf_path_join(k->dir, name);
}

static void scribble(struct kit *k, uint8_t *page)
{
    size_t n = 1 + kit_random(k, 64);
    size_t at = kit_random(k, k->page_size - 100);
    for (size_t i = 0; i < n; i++)
        page[at + i] = (uint8_t)kit_random(k, 256);
}

static enum hf_code to_buf(void *arg, const void *data, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, data, len, err);
}

void kit_commit(struct kit *k)
{
    struct hf_err err = HF_ERR_INIT;
    bool is_dirty[KIT_PAGES] = {false};
    uint32_t before = k->commit;
    uint64_t dice = kit_random(k, 10);
    if (k->commit == 0 || (dice < 3 && k->commit + 12 < KIT_PAGES))
        k->commit += 1 + (uint32_t)kit_random(k, 10);
    else if (dice == 3 && k->commit > 20)
        k->commit -= 1 + (uint32_t)kit_random(k, 15);
    for (uint32_t i = before; i < k->commit; i++) {
        memset(k->pages + (size_t)i * k->page_size, 0, k->page_size);
        is_dirty[i] = true;
    }
    for (uint64_t n = 1 + kit_random(k, 6); n > 0; n--)
        is_dirty[kit_random(k, k->commit)] = true;
    struct hf_ltx_header h = {.flags = HF_LTX_FLAG_NO_CHECKSUM,
                              .page_size = k->page_size,
                              .commit = k->commit,
                              .min_txid = k->txid + 1,
                              .max_txid = k->txid + 1,
                              .timestamp_ms = k->now_ms};
    struct hf_buf buf;
    hf_buf_init(&buf, 64 << 20);
    struct hf_ltx_encoder *e = NULL;
    assert_int_equal(
        hf_ltx_encoder_new(&h, k->form, (struct hf_sink){to_buf, &buf}, NULL, &e, &err), HF_OK);
    for (uint32_t i = 0; i < k->commit; i++) {
        uint8_t *page = k->pages + (size_t)i * k->page_size;
        if (!is_dirty[i])
            continue;
        scribble(k, page);
        if (hf_ltx_encoder_page(e, i + 1, page, &err) != HF_OK)
            fail_msg("%s", err.text);
    }
    assert_int_equal(hf_ltx_encoder_finish(e, NULL, NULL, &err), HF_OK);
    hf_ltx_encoder_free(e);
    if (hf_replica_put(k->replica, 0, &h, buf.data, buf.len, &err) != HF_OK)
        fail_msg("%s", err.text);
    hf_buf_deinit(&buf);
    k->txid++;
    assert_true(k->txid < KIT_TXIDS);
    k->digest[k->txid] = hf_crc64(0, k->pages, (size_t)k->commit * k->page_size);
}

uint64_t kit_digest(struct kit *k, const struct hf_ltx_list *files)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_inputs *in = NULL;
    struct hf_ltx_merge *m = NULL;
    struct hf_ltx_header h;
    if (hf_inputs_open(k->replica, files, k->dir, &in, &err) != HF_OK)
        fail_msg("%s", err.text);
    size_t n = 0;
    const struct hf_source *sources = hf_inputs_sources(in, &n);
    if (hf_ltx_merge_new(sources, n, &m, &h, &err) != HF_OK)
        fail_msg("%s", err.text);
    uint64_t digest = 0;
    uint32_t pages = 0;
    for (;;) {
        struct hf_ltx_page page;
        if (hf_ltx_merge_next(m, &page, &err) != HF_OK)
            fail_msg("%s", err.text);
        if (page.pgno == 0)
            break;
        assert_int_equal(page.pgno, ++pages);
        digest = hf_crc64(digest, page.data, k->page_size);
    }
    assert_int_equal(pages, h.commit);
    hf_ltx_merge_free(m);
    hf_inputs_free(in);
    return digest;
}

uint64_t kit_file_digest(const char *path)
{
    struct hf_err err = HF_ERR_INIT;
    char *data = NULL;
    size_t len = 0;
    if (hf_path_read(path, 1 << 30, &data, &len, &err) != HF_OK)
        fail_msg("%s", err.text);
    uint64_t digest = hf_crc64(0, data, len);
    hf_free(data);
    return digest;
}

void kit_list(struct kit *k, struct hf_ltx_list *out)
{
    struct hf_err err = HF_ERR_INIT;
    out->len = 0;
    if (hf_replica_list_all(k->replica, out, &err) != HF_OK)
        fail_msg("%s", err.text);
}
