/*
 * What the files of the Azure store share. Nobody else includes this.
 */
#ifndef HF_STORE_AZURE_INT_H
#define HF_STORE_AZURE_INT_H

#include "store/azure_auth.h"
#include "store/backend.h"

struct azure {
    struct hf_store base;
    struct hf_azure_account *account;
    char *container;
    char *prefix; /* "" or "a/b/" */
};

enum { AZURE_ERROR_MAX = 16 << 10 }; /* an error's body */

/* A request on an object of the store. name NULL: on the container. */
HF_MUST enum hf_code azure_request_init(struct azure *s, const char *method, const char *name,
                                        struct hf_azure_request *r, struct hf_err *err);
/* All tries of it. HF_OK: an answer came, of any status but those worth another try. */
HF_MUST enum hf_code azure_do(struct azure *s, struct hf_azure_request *r, struct hf_attempts *a,
                              struct hf_http_reply *reply, struct hf_err *err);
/* The error that an answer is. what: "put ltx/0/..." */
HF_MUST enum hf_code azure_error(const struct azure *s, const char *what,
                                 const struct hf_http_head *head, const struct hf_buf *body,
                                 struct hf_err *err);
/* "2026-11-22T04:40:58.41Z" as Litestream writes it into metadata. */
void azure_stamp_format(int64_t time_ms, char out[32]);
int64_t azure_time(const char *stamp, const char *created, const char *modified);

/* The marks of an object as it is now. Any out may be NULL. */
struct azure_head {
    uint64_t size;
    int64_t time_ms;
    char nonce[HF_NONCE_TEXT];
    char etag[HF_STORE_ETAG];
};
HF_MUST enum hf_code azure_head(struct azure *s, const char *name, struct azure_head *out,
                                struct hf_err *err);

/* azure_write.c */
HF_MUST enum hf_code azure_writer_new(struct hf_store *s, const struct hf_store_put_args *args,
                                      struct hf_store_writer **out, struct hf_err *err);
HF_MUST enum hf_code azure_writer_write(struct hf_store_writer *w, const void *data, size_t len,
                                        struct hf_err *err);
HF_MUST enum hf_code azure_writer_commit(struct hf_store_writer *w, struct hf_err *err);
void azure_writer_abort(struct hf_store_writer *w);
HF_MUST enum hf_code azure_put_if(struct hf_store *s, const struct hf_store_put_if_args *args,
                                  char etag[HF_STORE_ETAG], struct hf_err *err);

/* azure_read.c */
HF_MUST enum hf_code azure_reader_new(struct hf_store *s, const char *name, uint64_t offset,
                                      struct hf_store_reader **out, struct hf_err *err);
HF_MUST enum hf_code azure_reader_read(struct hf_store_reader *r, void *buf, size_t len,
                                       size_t *got, struct hf_err *err);
void azure_reader_free(struct hf_store_reader *r);
HF_MUST enum hf_code azure_read_range(struct hf_store *s, const char *name,
                                      struct hf_store_range range, struct hf_buf *out,
                                      struct hf_err *err);
bool azure_reader_is_light(const struct hf_store_reader *r);
HF_MUST enum hf_code azure_get(struct hf_store *s, const char *name, struct hf_buf *out,
                               char etag[HF_STORE_ETAG], struct hf_err *err);

/* azure_delete.c */
HF_MUST enum hf_code azure_remove(struct hf_store *s, const char *const *names, size_t n,
                                  struct hf_err *err);

#endif
