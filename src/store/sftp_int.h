/*
 * What the two halves of the sftp back end share: sftp.c (reads, lists, deletes) and sftp_put.c.
 *
 * A call is a function that gets a session and may run several times, on a new connection each
 * time, when the one before broke. Any thread. Private to these files.
 */
#ifndef HF_STORE_SFTP_INT_H
#define HF_STORE_SFTP_INT_H

#include <stdint.h>

#include "store/backend.h"
#include "store/sftp_conn.h"

struct sftp_store {
    struct hf_store base;
    struct hf_sftp_server *server;
    char *root;   /* absolute, or relative to the login directory */
    size_t piece; /* bytes of one write: more than a packet puts several requests in flight */
};

/* "<object>.<8 hex: seconds since the epoch><8 hex: random>.tmp" */
enum { SFTP_TEMP_HEX = 16 };

typedef enum hf_code sftp_call_fn(struct hf_sftp_session *s, void *arg, struct hf_err *err);

/* Runs fn, again after a broken connection, at most HF_LIMIT_SFTP_TRIES times. An answer of the
 * server is final, whatever it says. */
HF_MUST enum hf_code sftp_call(struct sftp_store *st, sftp_call_fn *fn, void *arg,
                               struct hf_err *err);
/* A call: removes the file arg (a path); one that is not there is success. */
HF_MUST enum hf_code sftp_unlink(struct hf_sftp_session *s, void *arg, struct hf_err *err);
char *sftp_path(const struct hf_store *s, const char *name);
/* Do two files on the server hold the same bytes? By path. */
HF_MUST enum hf_code sftp_same_content(struct hf_store *s, const char *a, const char *b,
                                       bool *is_same, struct hf_err *err);

/* struct hf_store_ops; sftp_put.c */
HF_MUST enum hf_code sftp_writer_new(struct hf_store *s, const struct hf_store_put_args *args,
                                     struct hf_store_writer **out, struct hf_err *err);
HF_MUST enum hf_code sftp_writer_write(struct hf_store_writer *sw, const void *data, size_t len,
                                       struct hf_err *err);
HF_MUST enum hf_code sftp_writer_commit(struct hf_store_writer *sw, struct hf_err *err);
void sftp_writer_abort(struct hf_store_writer *sw);

#endif
