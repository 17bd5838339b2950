/*
 * Answers of object stores: listings of both forms and error bodies. Whatever comes, the reader
 * ends, stays within its limits and gives names that are not empty.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "codec/storexml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum hf_code see(void *arg, const struct hf_storexml_item *item, struct hf_err *err)
{
    (void)err;
    size_t *n = arg;
    hf_assert(item->name != NULL && item->etag != NULL && item->stamp != NULL);
    hf_assert(item->is_prefix || item->name[0] != '\0');
    (*n)++;
    return HF_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_buf xml;
    struct hf_buf next;
    struct hf_storexml_error e;
    size_t n = 0;
    hf_buf_init(&next, 4096);
    hf_buf_init(&xml, size + 1);
    hf_assert(hf_buf_append(&xml, data, size, NULL) == HF_OK);
    enum hf_code rc = hf_storexml_list(&hf_storexml_azure, &xml, see, &n, &next, NULL);
    hf_assert(rc == HF_OK || rc == HF_E_CORRUPT || rc == HF_E_LIMIT || rc == HF_E_INVALID);
    rc = hf_storexml_list(&hf_storexml_s3, &xml, see, &n, &next, NULL);
    hf_assert(n <= size &&
              (rc == HF_OK || rc == HF_E_CORRUPT || rc == HF_E_LIMIT || rc == HF_E_INVALID));
    rc = hf_storexml_error(&xml, &e, NULL);
    hf_assert((rc == HF_OK) == (e.code[0] != '\0'));
    hf_buf_deinit(&next);
    hf_buf_deinit(&xml);
    return 0;
}
