#include "replica/mark.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "ltx/crc64.h"
#include "os/file.h"

enum { MARK_SIZE = 24 };

static const char magic[8] = {'H', 'F', 'M', 'A', 'R', 'K', '0', '1'};
static const char prefix[] = "replica-";

static char *mark_path(const char *dir, const char *url, const char *endpoint)
{
    uint64_t hash = hf_crc64(0, url, strlen(url));
    if (endpoint != NULL)
        hash = hf_crc64(hash, endpoint, strlen(endpoint));
    return hf_asprintf("%s/%s%016llx", dir, prefix, (unsigned long long)hash);
}

enum hf_code hf_mark_load(const char *dir, const char *url, const char *endpoint, uint64_t *txid,
                          struct hf_err *err)
{
    HF_AUTO_FREE char *path = mark_path(dir, url, endpoint);
    HF_AUTO_FREE char *data = NULL;
    size_t len = 0;
    HF_TRY(hf_path_read(path, 4096, &data, &len, err));
    const uint8_t *b = (const uint8_t *)data;
    if (len != MARK_SIZE || memcmp(b, magic, sizeof(magic)) != 0 ||
        hf_be64(b + 16) != hf_crc64(0, b, 16))
        return hf_err_set(err, HF_E_CORRUPT, "%s is damaged", path);
    *txid = hf_be64(b + 8);
    return HF_OK;
}

enum hf_code hf_mark_save(const char *dir, const char *url, const char *endpoint, uint64_t txid,
                          struct hf_err *err)
{
    HF_AUTO_FREE char *path = mark_path(dir, url, endpoint);
    struct hf_file f = HF_FILE_CLOSED;
    uint8_t b[MARK_SIZE];
    memcpy(b, magic, sizeof(magic));
    hf_put_be64(b + 8, txid);
    hf_put_be64(b + 16, hf_crc64(0, b, 16));
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

static enum hf_code drop(void *arg, const char *name, bool is_dir, struct hf_err *err)
{
    (void)err;
    if (is_dir || strncmp(name, prefix, sizeof(prefix) - 1) != 0)
        return HF_OK;
    HF_AUTO_FREE char *path = hf_path_join(arg, name);
    (void)!hf_path_remove(path, NULL);
    return HF_OK;
}

void hf_mark_clean(const char *dir)
{
    HF_AUTO_FREE char *copy = hf_strdup(dir);
    (void)!hf_path_list(dir, drop, copy, NULL);
}
