/*
 * For the tests of this folder and of those that need LTX files: files in memory, deterministic
 * pages, and a writer without scruples that makes files that are wrong in one way only (its
 * checksums are right). Not part of the program.
 */
#ifndef HF_LTX_TESTKIT_H
#define HF_LTX_TESTKIT_H

#include <stdio.h>
#include <string.h>

#include <lz4.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "ltx/crc64.h"
#include "ltx/decode.h"
#include "ltx/encode.h"
#include "ltx/varint.h"
#include "os/file.h"

/* A growing file; fail_after: writes or reads past that many bytes fail with HF_E_IO (0: never). */
struct kit_mem {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t pos;
    size_t fail_after;
};

HF_MUST static inline enum hf_code kit_write(void *arg, const void *data, size_t len,
                                             struct hf_err *err)
{
    struct kit_mem *m = arg;
    if (len == 0)
        return HF_OK;
    if (m->fail_after != 0 && m->len + len > m->fail_after)
        return hf_err_set(err, HF_E_IO, "kit: write failed");
    if (m->len + len > m->cap) {
        m->cap = (m->len + len) * 2;
        m->data = hf_realloc(m->data, m->cap, 1);
    }
    memcpy(m->data + m->len, data, len);
    m->len += len;
    return HF_OK;
}

HF_MUST static inline enum hf_code kit_read(void *arg, void *buf, size_t cap, size_t *got,
                                            struct hf_err *err)
{
    struct kit_mem *m = arg;
    size_t n = m->len - m->pos < cap ? m->len - m->pos : cap;
    if (m->fail_after != 0 && m->pos + n > m->fail_after)
        return hf_err_set(err, HF_E_IO, "kit: read failed");
    if (n > 0)
        memcpy(buf, m->data + m->pos, n);
    m->pos += n;
    *got = n;
    return HF_OK;
}

static inline void kit_free(struct kit_mem *m)
{
    hf_free(m->data);
    *m = (struct kit_mem){0};
}

static inline struct hf_sink kit_sink(struct kit_mem *m)
{
    return (struct hf_sink){kit_write, m};
}

static inline struct hf_source kit_source(struct kit_mem *m, const char *name)
{
    m->pos = 0;
    return (struct hf_source){kit_read, m, name};
}

static inline void kit_append(struct kit_mem *m, const void *data, size_t len)
{
    enum hf_code rc = kit_write(m, data, len, NULL);
    hf_assert(rc == HF_OK);
}

static inline struct kit_mem kit_load(const char *path)
{
    char *data = NULL;
    size_t len = 0;
    struct hf_err err = HF_ERR_INIT;
    if (hf_path_read(path, 64 << 20, &data, &len, &err) != HF_OK)
        (void)fprintf(stderr, "%s\n", err.text);
    hf_assert(data != NULL);
    return (struct kit_mem){.data = (uint8_t *)data, .len = len, .cap = len};
}

static inline struct kit_mem kit_fixture(const char *dir, const char *name)
{
    HF_AUTO_FREE char *path = hf_path_join(dir, name);
    return kit_load(path);
}

enum kit_kind { KIT_ZERO, KIT_TEXT, KIT_NOISE };

/* The page that (pgno, version, kind) stands for. */
static inline void kit_page(uint8_t *page, size_t size, uint32_t pgno, uint32_t version,
                            enum kit_kind kind)
{
    memset(page, 0, size);
    if (kind == KIT_ZERO)
        return;
    uint64_t seed = (uint64_t)pgno << 32 | (version + 1);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        page[i] = kind == KIT_NOISE ? (uint8_t)(seed >> 56)
                                    : (uint8_t)("holdfast keeps pages "[i % 21] + (seed >> 62));
    }
}

static inline struct hf_ltx_header kit_header(uint32_t page_size, uint32_t commit, uint64_t min,
                                              uint64_t max)
{
    return (struct hf_ltx_header){
        .flags = HF_LTX_FLAG_NO_CHECKSUM,
        .page_size = page_size,
        .commit = commit,
        .min_txid = min,
        .max_txid = max,
        .timestamp_ms = 1700000000000 + (int64_t)max,
    };
}

/* A file of the given pages (ended by 0), each kit_page(pgno, version, KIT_TEXT). */
static inline struct kit_mem kit_file(const struct hf_ltx_header *h, enum hf_ltx_form form,
                                      const uint32_t *pgnos, uint32_t version)
{
    struct kit_mem m = {0};
    struct hf_ltx_encoder *e = NULL;
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = hf_ltx_encoder_new(h, form, kit_sink(&m), NULL, &e, &err);
    hf_assert(rc == HF_OK);
    uint8_t *page = hf_malloc(h->page_size);
    for (; *pgnos != 0 && rc == HF_OK; pgnos++) {
        kit_page(page, h->page_size, *pgnos, version, KIT_TEXT);
        rc = hf_ltx_encoder_page(e, *pgnos, page, &err);
    }
    if (rc == HF_OK)
        rc = hf_ltx_encoder_finish(e, NULL, NULL, &err);
    if (rc != HF_OK)
        (void)fprintf(stderr, "kit_file: %s\n", err.text);
    hf_assert(rc == HF_OK);
    hf_ltx_encoder_free(e);
    hf_free(page);
    return m;
}

/* The writer without scruples. Everything is counted into the checksum as the format wants it. */
struct kit_craft {
    struct kit_mem file;
    struct kit_mem index;
    uint64_t crc;
};

static inline void kit_craft_raw(struct kit_craft *c, const void *data, size_t len)
{
    kit_append(&c->file, data, len);
    c->crc = hf_crc64(c->crc, data, len);
}

static inline void kit_craft_header(struct kit_craft *c, const struct hf_ltx_header *h)
{
    uint8_t packed[HF_LTX_HEADER_SIZE];
    hf_ltx_header_pack(h, packed);
    kit_craft_raw(c, packed, sizeof(packed));
}

/* payload: what lies behind the page header and, if flags is 1, the size word. page may be NULL. */
static inline void kit_craft_page(struct kit_craft *c, uint32_t pgno, uint16_t flags,
                                  const struct kit_mem *payload, const uint8_t *page, size_t size)
{
    uint8_t entry[64];
    uint8_t head[10];
    size_t head_len = flags == 1 ? 10 : 6;
    size_t n =
        hf_ltx_index_entry_put(entry, pgno, c->file.len, (uint32_t)(head_len + payload->len));
    kit_append(&c->index, entry, n);
    hf_put_be32(head, pgno);
    hf_put_be16(head + 4, flags);
    hf_put_be32(head + 6, (uint32_t)payload->len);
    kit_craft_raw(c, head, head_len);
    kit_append(&c->file, payload->data, payload->len);
    c->crc = hf_crc64(c->crc, page, size);
}

static inline struct kit_mem kit_compress(const uint8_t *page, size_t size)
{
    struct kit_mem m = {.cap = (size_t)LZ4_compressBound((int)size)};
    m.data = hf_malloc(m.cap);
    int n = LZ4_compress_default((const char *)page, (char *)m.data, (int)size, (int)m.cap);
    hf_assert(n > 0);
    m.len = (size_t)n;
    return m;
}

/* Page of KIT_TEXT in block form. */
static inline void kit_craft_text(struct kit_craft *c, uint32_t pgno, size_t size)
{
    uint8_t *page = hf_malloc(size);
    kit_page(page, size, pgno, 0, KIT_TEXT);
    struct kit_mem block = kit_compress(page, size);
    kit_craft_page(c, pgno, 1, &block, page, size);
    kit_free(&block);
    hf_free(page);
}

/* off_by: added to the index size word. */
static inline void kit_craft_finish(struct kit_craft *c, uint64_t post_apply, int off_by)
{
    uint8_t word[8] = {0};
    kit_craft_raw(c, word, 6);
    kit_craft_raw(c, c->index.data, c->index.len);
    kit_craft_raw(c, word, 1);
    hf_put_be64(word, c->index.len + 1 + (uint64_t)(int64_t)off_by);
    kit_craft_raw(c, word, 8);
    hf_put_be64(word, post_apply);
    kit_craft_raw(c, word, 8);
    hf_put_be64(word, c->crc | 1ull << 63);
    kit_append(&c->file, word, 8);
    kit_free(&c->index);
}

#endif
