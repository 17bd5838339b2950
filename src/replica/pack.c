#include "replica/pack.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "base/mem.h"
#include "ltx/crc64.h"

enum {
    ENTRY_SIZE = 52, /* without the path */
    CRC_AT = 56,
    FLAG_ELSEWHERE = 1,
    NUMBER_HEX = 16,
    PATH_MAX_BYTES = HF_LIMIT_PATH / 2, /* store.c takes no longer ones */
};

/* A stray file with the highest name must not be the last pack there can be. */
static const uint64_t NUMBER_MAX = UINT64_MAX >> 8;

static const char magic[8] = {'H', 'F', 'P', 'A', 'C', 'K', '0', '1'};

void hf_pack_deinit(struct hf_pack *p)
{
    hf_free(p->entries);
    hf_free(p->paths);
    *p = (struct hf_pack){0};
}

/* ---- names ---- */

static bool parse_hex(const char *s, size_t digits, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = s[i];
        bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && (c < 'a' || c > 'f'))
            return false;
        v = v << 4 | (uint64_t)(is_digit ? c - '0' : c - 'a' + 10);
    }
    *out = v;
    return true;
}

void hf_pack_name_format(uint64_t number, char out[HF_PACK_NAME_SIZE])
{
    snprintf(out, HF_PACK_NAME_SIZE, "%016llx.pack", (unsigned long long)number);
}

bool hf_pack_name_parse(const char *name, uint64_t *number)
{
    return strlen(name) == HF_PACK_NAME_SIZE - 1 && strcmp(name + NUMBER_HEX, ".pack") == 0 &&
           parse_hex(name, NUMBER_HEX, number) && *number > 0 && *number <= NUMBER_MAX;
}

void hf_pack_marker_format(unsigned up, uint64_t from, char out[HF_PACK_MARKER_SIZE])
{
    hf_assert(up >= 1 && up <= HF_LIMIT_PACK_UP);
    snprintf(out, HF_PACK_MARKER_SIZE, "packs-%x-%016llx", up, (unsigned long long)from);
}

bool hf_pack_marker_parse(const char *name, unsigned *up, uint64_t *from)
{
    uint64_t steps = 0;
    if (strncmp(name, "packs-", 6) != 0)
        return false;
    name += 6;
    size_t digits = strcspn(name, "-");
    if (digits == 0 || digits > 2 || strlen(name) != digits + 1 + NUMBER_HEX ||
        !parse_hex(name, digits, &steps) || !parse_hex(name + digits + 1, NUMBER_HEX, from))
        return false;
    *up = (unsigned)steps;
    return steps >= 1 && steps <= HF_LIMIT_PACK_UP;
}

/* ---- reading ---- */

enum hf_code hf_pack_head_size(const uint8_t *data, size_t *size, struct hf_err *err)
{
    if (memcmp(data, magic, sizeof(magic)) != 0)
        return hf_err_set(err, HF_E_CORRUPT, "not a pack, or one of a later version");
    uint32_t table = hf_be32(data + 8);
    if (table > HF_LIMIT_PACK_TABLE)
        return hf_err_set(err, HF_E_CORRUPT, "a pack's table of %u bytes", table);
    *size = HF_PACK_HEADER_SIZE + (size_t)table;
    return HF_OK;
}

/* The names the store takes, see store.c: nothing leads out of the directory. */
static bool is_path_fine(const char *path)
{
    for (;;) {
        size_t n = strcspn(path, "/");
        if (n == 0 || (n == 1 && path[0] == '.') || (n == 2 && path[0] == '.' && path[1] == '.'))
            return false;
        if (path[n] == '\0')
            return true;
        path += n + 1;
    }
}

static bool is_entry_fine(const struct hf_pack_entry *e, size_t head)
{
    if (e->min_txid == 0 || e->min_txid > e->max_txid || !is_path_fine(e->path))
        return false;
    if (e->is_elsewhere)
        return e->size == 0;
    return e->size > 0 && e->size <= HF_LIMIT_PACK_FILE && e->offset >= head &&
           e->offset <= head + HF_LIMIT_PACK_BYTES * 2;
}

/* One entry at *at; its path goes to *paths. */
static bool parse_entry(const uint8_t *data, size_t size, size_t *at, char **paths,
                        struct hf_pack_entry *e)
{
    if (size - *at < ENTRY_SIZE)
        return false;
    const uint8_t *b = data + *at;
    size_t path_len = hf_be16(b + 50);
    if (path_len == 0 || path_len > PATH_MAX_BYTES || size - *at - ENTRY_SIZE < path_len)
        return false;
    if (memchr(b + ENTRY_SIZE, '\0', path_len) != NULL)
        return false;
    memcpy(*paths, b + ENTRY_SIZE, path_len);
    (*paths)[path_len] = '\0';
    *e = (struct hf_pack_entry){
        .min_txid = hf_be64(b),
        .max_txid = hf_be64(b + 8),
        .time_ms = (int64_t)hf_be64(b + 16),
        .offset = hf_be64(b + 24),
        .size = hf_be64(b + 32),
        .crc = hf_be64(b + 40),
        .is_elsewhere = (hf_be16(b + 48) & FLAG_ELSEWHERE) != 0,
        .path = *paths,
    };
    *paths += path_len + 1;
    *at += ENTRY_SIZE + path_len;
    return is_entry_fine(e, size);
}

static uint64_t crc_of(const uint8_t *data, size_t size)
{
    uint64_t crc = hf_crc64(0, data, CRC_AT);
    return hf_crc64(crc, data + HF_PACK_HEADER_SIZE, size - HF_PACK_HEADER_SIZE);
}

enum hf_code hf_pack_parse(const uint8_t *data, size_t size, struct hf_pack *out,
                           struct hf_err *err)
{
    size_t want = 0;
    hf_assert(size >= HF_PACK_HEADER_SIZE);
    HF_TRY(hf_pack_head_size(data, &want, err));
    if (want != size || crc_of(data, size) != hf_be64(data + CRC_AT))
        return hf_err_set(err, HF_E_CORRUPT, "the pack's table is damaged");
    size_t n = hf_be32(data + 12);
    if (n > (size - HF_PACK_HEADER_SIZE) / ENTRY_SIZE)
        return hf_err_set(err, HF_E_CORRUPT, "the pack's table is too short");
    struct hf_pack p = {.writer = hf_be64(data + 16),
                        .number = hf_be64(data + 24),
                        .time_ms = (int64_t)hf_be64(data + 32)};
    p.entries = hf_calloc(n + 1, sizeof(*p.entries));
    p.paths = hf_malloc(size);
    char *paths = p.paths;
    size_t at = HF_PACK_HEADER_SIZE;
    bool is_fine = true;
    for (; is_fine && p.n < n; p.n++)
        is_fine = parse_entry(data, size, &at, &paths, &p.entries[p.n]);
    if (!is_fine || at != size) {
        hf_pack_deinit(&p);
        return hf_err_set(err, HF_E_CORRUPT, "the pack's table makes no sense");
    }
    *out = p;
    return HF_OK;
}

/* ---- writing ---- */

size_t hf_pack_entry_size(const char *path)
{
    return ENTRY_SIZE + strlen(path);
}

static void write_entry(const struct hf_pack_entry *e, uint8_t *b)
{
    size_t path_len = strlen(e->path);
    hf_assert(path_len > 0 && path_len <= PATH_MAX_BYTES);
    hf_put_be64(b, e->min_txid);
    hf_put_be64(b + 8, e->max_txid);
    hf_put_be64(b + 16, (uint64_t)e->time_ms);
    hf_put_be64(b + 24, e->offset);
    hf_put_be64(b + 32, e->size);
    hf_put_be64(b + 40, e->crc);
    hf_put_be16(b + 48, e->is_elsewhere ? FLAG_ELSEWHERE : 0);
    hf_put_be16(b + 50, (uint16_t)path_len);
    memcpy(b + ENTRY_SIZE, e->path, path_len);
}

enum hf_code hf_pack_write(struct hf_pack *p, struct hf_buf *buf, struct hf_err *err)
{
    hf_assert(buf->len == 0);
    size_t size = HF_PACK_HEADER_SIZE;
    for (size_t i = 0; i < p->n; i++)
        size += hf_pack_entry_size(p->entries[i].path);
    if (size - HF_PACK_HEADER_SIZE > HF_LIMIT_PACK_TABLE)
        return hf_err_set(err, HF_E_LIMIT, "a pack's table of %zu bytes", size);
    HF_TRY(hf_buf_reserve(buf, size, err));
    uint8_t *b = (uint8_t *)buf->data;
    memset(b, 0, HF_PACK_HEADER_SIZE);
    memcpy(b, magic, sizeof(magic));
    hf_put_be32(b + 8, (uint32_t)(size - HF_PACK_HEADER_SIZE));
    hf_put_be32(b + 12, (uint32_t)p->n);
    hf_put_be64(b + 16, p->writer);
    hf_put_be64(b + 24, p->number);
    hf_put_be64(b + 32, (uint64_t)p->time_ms);
    uint64_t offset = size;
    size_t at = HF_PACK_HEADER_SIZE;
    for (size_t i = 0; i < p->n; i++) {
        struct hf_pack_entry *e = &p->entries[i];
        e->offset = offset;
        offset += e->size;
        write_entry(e, b + at);
        at += hf_pack_entry_size(e->path);
    }
    hf_assert(at == size);
    hf_put_be64(b + CRC_AT, crc_of(b, size));
    buf->len = size;
    return HF_OK;
}
