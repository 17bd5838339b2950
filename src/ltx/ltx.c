/*
 * Header, file names and TXIDs: the fixed parts of an LTX file.
 *
 *   0 magic "LTX1"   4 flags        8 page size   12 commit      16 min TXID    24 max TXID
 *  32 timestamp ms  40 pre-apply   48 WAL offset  56 WAL size    64, 68 salts   72 node id
 *  80 twenty reserved bytes, zero when written, ignored but checksummed when read
 */
#include "ltx/ltx.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

#define CHECK_BIT (1ull << 63)

static const char magic[4] = {'L', 'T', 'X', '1'};

void hf_ltx_name_format(uint64_t min_txid, uint64_t max_txid, char out[HF_LTX_NAME_SIZE])
{
    int n =
        snprintf(out, HF_LTX_NAME_SIZE, "%016" PRIx64 "-%016" PRIx64 ".ltx", min_txid, max_txid);
    hf_assert(n == HF_LTX_NAME_SIZE - 1);
}

void hf_txid_format(uint64_t txid, char out[HF_TXID_TEXT])
{
    int n = snprintf(out, HF_TXID_TEXT, "%016" PRIx64, txid);
    hf_assert(n == HF_TXID_TEXT - 1);
}

/* 16 lower-case digits; upper-case ones are not names Litestream would see. */
static bool parse_hex16(const char *s, uint64_t *out)
{
    uint64_t v = 0;
    for (int i = 0; i < 16; i++) {
        char c = s[i];
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

bool hf_ltx_name_parse(const char *name, uint64_t *min_txid, uint64_t *max_txid)
{
    hf_assert(name != NULL && min_txid != NULL && max_txid != NULL);
    uint64_t min, max;
    if (strlen(name) != HF_LTX_NAME_SIZE - 1 || name[16] != '-' || strcmp(name + 33, ".ltx") != 0)
        return false;
    if (!parse_hex16(name, &min) || !parse_hex16(name + 17, &max) || min == 0 || max < min)
        return false;
    *min_txid = min;
    *max_txid = max;
    return true;
}

/* What is wrong with the WAL position, or NULL. */
static const char *wal_fault(const struct hf_ltx_header *h)
{
    if (h->wal_offset < 0)
        return "the WAL offset is negative";
    if (h->wal_size < 0)
        return "the WAL size is negative";
    if (h->wal_offset == 0 && (h->wal_salt1 != 0 || h->wal_salt2 != 0))
        return "there are WAL salts but no WAL offset";
    if (h->wal_offset == 0 && h->wal_size != 0)
        return "there is a WAL size but no WAL offset";
    return NULL;
}

static const char *pre_apply_fault(const struct hf_ltx_header *h)
{
    if (h->min_txid == 1 || (h->flags & HF_LTX_FLAG_NO_CHECKSUM) != 0)
        return h->pre_apply == 0 ? NULL : "a pre-apply checksum is not allowed here";
    return (h->pre_apply & CHECK_BIT) != 0 ? NULL : "the pre-apply checksum is missing";
}

static const char *header_fault(const struct hf_ltx_header *h)
{
    if ((h->flags & ~HF_LTX_FLAG_NO_CHECKSUM) != 0)
        return "unknown header flags";
    if (!hf_page_size_is_valid(h->page_size))
        return "the page size is not a power of two from 512 to 65536";
    if (h->min_txid == 0)
        return "the min TXID is 0";
    if (h->max_txid < h->min_txid)
        return "the max TXID is below the min TXID";
    const char *fault = wal_fault(h);
    return fault != NULL ? fault : pre_apply_fault(h);
}

enum hf_code hf_ltx_header_check(const struct hf_ltx_header *h, struct hf_err *err)
{
    hf_assert(h != NULL);
    const char *fault = header_fault(h);
    if (fault != NULL)
        return hf_err_set(err, HF_E_INVALID, "LTX header: %s", fault);
    return HF_OK;
}

void hf_ltx_header_pack(const struct hf_ltx_header *h, uint8_t out[HF_LTX_HEADER_SIZE])
{
    hf_assert(header_fault(h) == NULL);
    memset(out, 0, HF_LTX_HEADER_SIZE);
    memcpy(out, magic, sizeof(magic));
    hf_put_be32(out + 4, h->flags);
    hf_put_be32(out + 8, h->page_size);
    hf_put_be32(out + 12, h->commit);
    hf_put_be64(out + 16, h->min_txid);
    hf_put_be64(out + 24, h->max_txid);
    hf_put_be64(out + 32, (uint64_t)h->timestamp_ms);
    hf_put_be64(out + 40, h->pre_apply);
    hf_put_be64(out + 48, (uint64_t)h->wal_offset);
    hf_put_be64(out + 56, (uint64_t)h->wal_size);
    hf_put_be32(out + 64, h->wal_salt1);
    hf_put_be32(out + 68, h->wal_salt2);
    hf_put_be64(out + 72, h->node_id);
}

enum hf_code hf_ltx_header_unpack(const uint8_t in[HF_LTX_HEADER_SIZE], struct hf_ltx_header *h,
                                  struct hf_err *err)
{
    hf_assert(in != NULL && h != NULL);
    if (memcmp(in, magic, sizeof(magic)) != 0)
        return hf_err_set(err, HF_E_CORRUPT, "not an LTX file: it does not begin with LTX1");
    struct hf_ltx_header got = {
        .flags = hf_be32(in + 4),
        .page_size = hf_be32(in + 8),
        .commit = hf_be32(in + 12),
        .min_txid = hf_be64(in + 16),
        .max_txid = hf_be64(in + 24),
        .timestamp_ms = (int64_t)hf_be64(in + 32),
        .pre_apply = hf_be64(in + 40),
        .wal_offset = (int64_t)hf_be64(in + 48),
        .wal_size = (int64_t)hf_be64(in + 56),
        .wal_salt1 = hf_be32(in + 64),
        .wal_salt2 = hf_be32(in + 68),
        .node_id = hf_be64(in + 72),
    };
    const char *fault = header_fault(&got);
    if (fault != NULL)
        return hf_err_set(err, HF_E_CORRUPT, "LTX header: %s", fault);
    *h = got;
    return HF_OK;
}
