/*
 * Any bytes as a pack's header and table: refused, or a table that is what is written from it.
 *
 * The checksum is made right first, so that the entries are reached.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "base/mem.h"
#include "ltx/crc64.h"
#include "replica/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *data, size_t size)
{
    struct hf_pack p;
    struct hf_pack again;
    struct hf_buf buf;
    if (hf_pack_parse(data, size, &p, NULL) != HF_OK)
        return;
    for (size_t i = 0; i < p.n; i++)
        hf_assert(p.entries[i].min_txid <= p.entries[i].max_txid && p.entries[i].path[0] != '/');
    hf_buf_init(&buf, HF_PACK_HEADER_SIZE + HF_LIMIT_PACK_TABLE);
    hf_assert(hf_pack_write(&p, &buf, NULL) == HF_OK && buf.len == size);
    if (hf_pack_parse((uint8_t *)buf.data, buf.len, &again, NULL) == HF_OK) { /* or too large */
        hf_assert(again.n == p.n && again.number == p.number);
        hf_pack_deinit(&again);
    }
    hf_buf_deinit(&buf);
    hf_pack_deinit(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned up = 0;
    uint64_t from = 0;
    if (size > HF_PACK_HEADER_SIZE + HF_LIMIT_PACK_TABLE)
        return 0;
    HF_AUTO_FREE char *name = hf_strndup((const char *)data, size < 64 ? size : 64);
    if (hf_pack_marker_parse(name, &up, &from))
        hf_assert(up >= 1 && up <= HF_LIMIT_PACK_UP);
    (void)hf_pack_name_parse(name, &from);
    if (size < HF_PACK_HEADER_SIZE)
        return 0;
    check(data, size);
    HF_AUTO_FREE uint8_t *right = hf_malloc(size);
    memcpy(right, data, size);
    static const uint8_t magic[8] = {'H', 'F', 'P', 'A', 'C', 'K', '0', '1'};
    memcpy(right, magic, sizeof(magic));
    hf_put_be32(right + 8, (uint32_t)(size - HF_PACK_HEADER_SIZE));
    uint64_t crc = hf_crc64(0, right, 56);
    hf_put_be64(right + 56, hf_crc64(crc, right + HF_PACK_HEADER_SIZE, size - HF_PACK_HEADER_SIZE));
    check(right, size);
    return 0;
}
