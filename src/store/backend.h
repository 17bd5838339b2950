/*
 * What a store back end implements; only files of src/store include this.
 *
 * store.c checks names, forwards each call through one table of functions and offers put on top of
 * the streaming writer. A back end embeds the structs below as the first member of its own. The
 * calls' meaning, threads and errors are those of store.h; every back end passes contract_test.h.
 */
#ifndef HF_STORE_BACKEND_H
#define HF_STORE_BACKEND_H

#include <pthread.h>
#include <stdatomic.h>

#include "config/config.h"
#include "store/store.h"

enum { HF_STORE_MAGIC = 0x68667374 };

struct hf_store_list_query {
    const char *prefix;      /* "" for the root */
    const char *start_after; /* NULL = all */
    bool is_prefixes;        /* sub-prefixes instead of objects */
    bool is_deep;            /* what lies below sub-prefixes, too; only with has_deep_lists */
    hf_store_list_fn *fn;
    void *arg;
};

struct hf_store_put_args {
    const char *name;
    int flags;
    int64_t time_ms;
    const char *key_id; /* of an encrypted object, for its metadata; NULL: none */
};

/* Bytes of an object. */
struct hf_store_range {
    uint64_t offset;
    size_t len;
};

struct hf_store_put_if_args {
    const char *name;
    const void *data;
    size_t len;
    const char *etag; /* NULL: only if there is none */
    int64_t time_ms;
    const char *key_id; /* as above */
};

/* Whether create-only puts hold at a service, tried once; shared by its stores. Any thread. */
struct hf_trial {
    pthread_mutex_t lock; /* held by whoever tries: others wait for the answer */
    atomic_int holds;     /* 0 not tried yet, 1 yes, -1 no */
};
void hf_trial_init(struct hf_trial *t);
void hf_trial_deinit(struct hf_trial *t);

struct hf_store_ops {
    const char *type;
    enum hf_store_times times;
    bool is_local;
    void (*close)(struct hf_store *s);
    char *(*watch_dir)(const struct hf_store *s, const char *name); /* may be NULL */
    struct hf_trial *(*trial)(struct hf_store *s); /* NULL: create-only needs none */
    enum hf_code (*writer_new)(struct hf_store *s, const struct hf_store_put_args *args,
                               struct hf_store_writer **out, struct hf_err *err);
    enum hf_code (*writer_write)(struct hf_store_writer *w, const void *data, size_t len,
                                 struct hf_err *err);
    enum hf_code (*writer_commit)(struct hf_store_writer *w, struct hf_err *err);
    void (*writer_abort)(struct hf_store_writer *w);
    enum hf_code (*reader_new)(struct hf_store *s, const char *name, uint64_t offset,
                               struct hf_store_reader **out, struct hf_err *err);
    enum hf_code (*reader_read)(struct hf_store_reader *r, void *buf, size_t len, size_t *got,
                                struct hf_err *err);
    void (*reader_free)(struct hf_store_reader *r);
    bool (*reader_is_light)(const struct hf_store_reader *r); /* NULL: never */
    /* NULL: reading from the middle on costs more than its bytes, or gains nothing. */
    enum hf_code (*read_range)(struct hf_store *s, const char *name, struct hf_store_range range,
                               struct hf_buf *out, struct hf_err *err);
    /* A list of everything below a prefix is one request, whatever lies there. */
    bool has_deep_lists;
    void (*reader_rest)(struct hf_store_reader *r); /* NULL: it can't */
    enum hf_code (*head)(struct hf_store *s, const char *name, uint64_t *size, int64_t *time_ms,
                         struct hf_err *err);
    enum hf_code (*list)(struct hf_store *s, const struct hf_store_list_query *q,
                         struct hf_err *err);
    enum hf_code (*remove)(struct hf_store *s, const char *const *names, size_t n,
                           struct hf_err *err);
    /* Both NULL where the store has no versions. */
    enum hf_code (*put_if)(struct hf_store *s, const struct hf_store_put_if_args *args,
                           char etag[HF_STORE_ETAG], struct hf_err *err);
    enum hf_code (*get)(struct hf_store *s, const char *name, struct hf_buf *out,
                        char etag[HF_STORE_ETAG], struct hf_err *err);
};

struct hf_store {
    uint32_t magic;
    const struct hf_store_ops *ops;
    char *url;                 /* owned; without secrets */
    bool is_sealed;            /* readers get what was decrypted */
    bool allows_unconditional; /* allow-unconditional-puts */
};

struct hf_store_writer {
    struct hf_store *store;
};

struct hf_store_reader {
    struct hf_store *store;
    char *object; /* store.c's: its name until something was read from its beginning */
};

/* name below root ("a/b", "a/b/" or "/a/b"); each "../" at the name's begin takes the last part of
 * root away, at most all of them. The caller frees. */
char *hf_store_join(const char *root, const char *name);

/* The file back end: path is made absolute. */
HF_MUST enum hf_code hf_store_file_open(const char *path, struct hf_store **out,
                                        struct hf_err *err);
HF_MUST enum hf_code hf_store_sftp_open(const struct hf_config_replica *conf, struct hf_store **out,
                                        struct hf_err *err);

/* S3 and what speaks its language. */
HF_MUST enum hf_code hf_store_s3_open(const struct hf_config_replica *conf, struct hf_store **out,
                                      struct hf_err *err);
/* Azure Blob Storage. */
HF_MUST enum hf_code hf_store_azure_open(const struct hf_config_replica *conf,
                                         struct hf_store **out, struct hf_err *err);

#endif
