/*
 * The two XML answers every object store has: a page of a listing, and an error. One reader for
 * Azure Blob and S3; a form says how the elements are called. Pure, any thread.
 *
 * Normalised on the way: ETags get the quotes they have in headers (Azure lists them bare), names
 * with Encoded="true" (Azure) are unescaped.
 */
#ifndef HF_CODEC_STOREXML_H
#define HF_CODEC_STOREXML_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

/* Paths of a listing's elements; those below item are relative to it. NULL: the form has none. */
struct hf_storexml_form {
    const char *item;
    const char *name;
    const char *size;
    const char *etag;
    const char *time;    /* last change */
    const char *created; /* creation */
    const char *stamp;   /* the time we gave: metadata */
    const char *prefix;  /* of a sub-prefix: its whole path */
    const char *next;    /* token of the next page */
};

extern const struct hf_storexml_form hf_storexml_azure;
extern const struct hf_storexml_form hf_storexml_s3;

/* Valid during the callback; a text that was not there is "". */
struct hf_storexml_item {
    bool is_prefix; /* name is a sub-prefix with its '/', all else is empty */
    const char *name;
    uint64_t size;
    const char *etag;
    const char *time;
    const char *created;
    const char *stamp;
};

typedef enum hf_code hf_storexml_fn(void *arg, const struct hf_storexml_item *item,
                                    struct hf_err *err);
/* Items in the page's order. next is set to the next page's token, empty on the last one. */
HF_MUST enum hf_code hf_storexml_list(const struct hf_storexml_form *form, const struct hf_buf *xml,
                                      hf_storexml_fn *fn, void *arg, struct hf_buf *next,
                                      struct hf_err *err);

struct hf_storexml_error {
    char code[64];     /* "BlobAlreadyExists" */
    char message[256]; /* its first line */
    char region[64];   /* S3: the right region of a bucket */
};

/* HF_E_CORRUPT if it is no error document; out is then empty. Too long texts are cut. */
HF_MUST enum hf_code hf_storexml_error(const struct hf_buf *xml, struct hf_storexml_error *out,
                                       struct hf_err *err);

#endif
