#include "replica/position.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "ltx/crc64.h"

enum { POSITION_SIZE = 104, CRC_AT = 96 };

static const char magic[8] = {'H', 'F', 'P', 'O', 'S', '0', '0', '1'};

static void pack(const struct hf_position *p, uint8_t b[POSITION_SIZE])
{
    memset(b, 0, POSITION_SIZE);
    memcpy(b, magic, sizeof(magic));
    hf_put_be64(b + 8, p->txid);
    hf_put_be32(b + 16, p->page_size);
    hf_put_be32(b + 20, p->commit);
    hf_put_be32(b + 24, p->pos.salt[0]);
    hf_put_be32(b + 28, p->pos.salt[1]);
    hf_put_be32(b + 32, p->pos.frame);
    hf_put_be32(b + 36, p->pos.cksum[0]);
    hf_put_be32(b + 40, p->pos.cksum[1]);
    hf_put_be32(b + 44, p->is_clean);
    hf_put_be64(b + 48, p->dev);
    hf_put_be64(b + 56, p->inode);
    hf_put_be64(b + 64, p->size);
    hf_put_be64(b + 72, (uint64_t)p->mtime_ns);
    hf_put_be64(b + 80, (uint64_t)p->ctime_ns);
    hf_put_be64(b + CRC_AT, hf_crc64(0, b, CRC_AT));
}

static void unpack(const uint8_t b[POSITION_SIZE], struct hf_position *p)
{
    *p = (struct hf_position){
        .txid = hf_be64(b + 8),
        .page_size = hf_be32(b + 16),
        .commit = hf_be32(b + 20),
        .pos = {{hf_be32(b + 24), hf_be32(b + 28)},
                hf_be32(b + 32),
                {hf_be32(b + 36), hf_be32(b + 40)}},
        .is_clean = hf_be32(b + 44) != 0,
        .dev = hf_be64(b + 48),
        .inode = hf_be64(b + 56),
        .size = hf_be64(b + 64),
        .mtime_ns = (int64_t)hf_be64(b + 72),
        .ctime_ns = (int64_t)hf_be64(b + 80),
    };
}

enum hf_code hf_position_load(const char *dir, struct hf_position *p, struct hf_err *err)
{
    HF_AUTO_FREE char *path = hf_path_join(dir, "position");
    HF_AUTO_FREE char *data = NULL;
    size_t len = 0;
    HF_TRY(hf_path_read(path, 4096, &data, &len, err));
    const uint8_t *b = (const uint8_t *)data;
    if (len != POSITION_SIZE || memcmp(b, magic, sizeof(magic)) != 0 ||
        hf_be64(b + CRC_AT) != hf_crc64(0, b, CRC_AT))
        return hf_err_set(err, HF_E_CORRUPT, "%s is damaged", path);
    unpack(b, p);
    return HF_OK;
}

enum hf_code hf_position_save(const char *dir, const struct hf_position *p, struct hf_err *err)
{
    HF_AUTO_FREE char *path = hf_path_join(dir, "position");
    struct hf_file f = HF_FILE_CLOSED;
    uint8_t b[POSITION_SIZE];
    pack(p, b);
    enum hf_code rc = hf_file_open(path, HF_FILE_CREATE, 0600, &f, err);
    if (rc == HF_E_NOT_FOUND) {
        HF_TRY(hf_path_mkdirs(dir, 0700, err));
        rc = hf_file_open(path, HF_FILE_CREATE, 0600, &f, err);
    }
    if (rc == HF_OK)
        rc = hf_file_write_at(&f, b, sizeof(b), 0, err);
    hf_file_close(&f);
    return rc;
}

void hf_position_set_main(struct hf_position *p, const struct hf_file_stat *st)
{
    p->dev = st->dev;
    p->inode = st->inode;
    p->size = st->size;
    p->mtime_ns = st->mtime_ns;
    p->ctime_ns = st->ctime_ns;
}

bool hf_position_main_is(const struct hf_position *p, const struct hf_file_stat *st)
{
    return p->is_clean && p->dev == st->dev && p->inode == st->inode && p->size == st->size &&
           p->mtime_ns == st->mtime_ns && p->ctime_ns == st->ctime_ns;
}
