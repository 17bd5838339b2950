/*
 * What the files of the S3 store share. Nobody else includes this.
 */
#ifndef HF_STORE_S3_INT_H
#define HF_STORE_S3_INT_H

#include "store/backend.h"
#include "store/s3_auth.h"

struct s3 {
    struct hf_store base;
    struct hf_s3_bucket *bucket;
    char *prefix;         /* "" or "a/b/" */
    size_t part_size;     /* a larger object is sent in parts of it */
    unsigned concurrency; /* ... so many at once */
};

enum { S3_ERROR_MAX = 64 << 10 }; /* an error's body, or another short answer's */

/* A request on an object of the store. name NULL: on the bucket. */
HF_MUST enum hf_code s3_request_init(struct s3 *s, const char *method, const char *name,
                                     struct hf_s3_request *r, struct hf_err *err);
/* "ltx/0/NAME" as its key below the prefix: Litestream's level directories on S3 are "0000/". */
char *s3_key(const struct s3 *s, const char *name);
/* All tries of it. HF_OK: an answer came, of any status but those worth another try. */
HF_MUST enum hf_code s3_do(struct s3 *s, struct hf_s3_request *r, struct hf_attempts *a,
                           struct hf_http_reply *reply, struct hf_err *err);
/* The error that an answer is. what: "put ltx/0/..." */
HF_MUST enum hf_code s3_error(const struct s3 *s, const char *what, const struct hf_http_head *head,
                              const struct hf_buf *body, struct hf_err *err);
/* True if the answer teaches a clock or region; body may be NULL. */
bool s3_learn(struct s3 *s, const struct hf_http_head *head, const struct hf_buf *body);
/* "2026-11-22T04:40:58.41Z" as Litestream writes it into metadata. */
void s3_stamp_format(int64_t time_ms, char out[32]);

/* The marks of an object as it is now. */
struct s3_head {
    uint64_t size;
    int64_t time_ms;
    char nonce[HF_NONCE_TEXT];
    char etag[HF_STORE_ETAG];
};
HF_MUST enum hf_code s3_head(struct s3 *s, const char *name, struct s3_head *out,
                             struct hf_err *err);

/* s3_write.c */
HF_MUST enum hf_code s3_writer_new(struct hf_store *s, const struct hf_store_put_args *args,
                                   struct hf_store_writer **out, struct hf_err *err);
HF_MUST enum hf_code s3_writer_write(struct hf_store_writer *w, const void *data, size_t len,
                                     struct hf_err *err);
HF_MUST enum hf_code s3_writer_commit(struct hf_store_writer *w, struct hf_err *err);
void s3_writer_abort(struct hf_store_writer *w);
HF_MUST enum hf_code s3_put_if(struct hf_store *base, const struct hf_store_put_if_args *args,
                               char etag[HF_STORE_ETAG], struct hf_err *err);

/* s3_read.c */
HF_MUST enum hf_code s3_reader_new(struct hf_store *s, const char *name, uint64_t offset,
                                   struct hf_store_reader **out, struct hf_err *err);
HF_MUST enum hf_code s3_reader_read(struct hf_store_reader *base, void *buf, size_t len,
                                    size_t *got, struct hf_err *err);
void s3_reader_free(struct hf_store_reader *base);
HF_MUST enum hf_code s3_read_range(struct hf_store *base, const char *name,
                                   struct hf_store_range range, struct hf_buf *out,
                                   struct hf_err *err);
HF_MUST enum hf_code s3_get(struct hf_store *base, const char *name, struct hf_buf *out,
                            char etag[HF_STORE_ETAG], struct hf_err *err);

/* s3_delete.c */
HF_MUST enum hf_code s3_remove(struct hf_store *base, const char *const *names, size_t n,
                               struct hf_err *err);

#endif
