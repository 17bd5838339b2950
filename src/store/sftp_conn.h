/*
 * Connections to SFTP servers: opened when needed, kept warm, shared by every store of the process
 * that names the same server and credentials, replaced when they break.
 *
 *   hf_sftp_server_get → hf_sftp_acquire → libssh2 calls on ->ssh and ->sftp → hf_sftp_release
 *                                                                        → hf_sftp_server_put
 *
 * A session is used by one thread at a time, between acquire and release; at most
 * HF_LIMIT_SFTP_SESSIONS are open to one server, further callers wait. File handles outlive a
 * release: who keeps one holds a reference to its session (hf_sftp_keep) and takes exactly that one
 * again with hf_sftp_acquire_same. A session that failed is cut and forgotten at its release;
 * what is left of it is freed with its last reference.
 *
 * libssh2 blocks at most HF_LIMIT_SFTP_TIMEOUT_MS a call. Any thread. Private to src/store.
 */
#ifndef HF_STORE_SFTP_CONN_H
#define HF_STORE_SFTP_CONN_H

#include <libssh2.h>
#include <libssh2_sftp.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "config/config.h"

struct hf_sftp_server;

struct hf_sftp_session {
    struct hf_sftp_server *server;
    LIBSSH2_SESSION *ssh;
    LIBSSH2_SFTP *sftp;
    int fd;
    unsigned refs;    /* the pool's, while it is in it, and one a kept handle */
    bool is_busy;     /* between acquire and release */
    bool is_broken;   /* set by hf_sftp_fail: cut at the release */
    bool has_no_sync; /* the server knows no fsync@openssh.com */
};

/* The server of conf; nothing is connected yet. HF_E_INVALID for settings that can't work. */
HF_MUST enum hf_code hf_sftp_server_get(const struct hf_config_sftp *conf,
                                        struct hf_sftp_server **out, struct hf_err *err);
void hf_sftp_server_put(struct hf_sftp_server *server);
/* "HOST:PORT" for messages. */
const char *hf_sftp_server_name(const struct hf_sftp_server *server);

/* An idle session, or a new one. HF_E_DENIED: the server's key is not known or ours is refused;
 * HF_E_IO, HF_E_TIMEOUT: try again later. */
HF_MUST enum hf_code hf_sftp_acquire(struct hf_sftp_server *server, struct hf_sftp_session **out,
                                     struct hf_err *err);
/* The session of a kept handle; waits until it is idle. May be broken. */
void hf_sftp_acquire_same(struct hf_sftp_session *s);
void hf_sftp_release(struct hf_sftp_session *s);
/* For a handle that is kept, while acquired. */
void hf_sftp_keep(struct hf_sftp_session *s);
/* Closes a kept handle and gives its reference back; not while acquired. */
void hf_sftp_drop_handle(struct hf_sftp_session *s, LIBSSH2_SFTP_HANDLE *handle);

/* After a libssh2_sftp_ call failed: the code and text of what the server said, or, when there was
 * no answer, HF_E_IO or HF_E_TIMEOUT and a broken session. */
HF_MUST enum hf_code hf_sftp_fail(struct hf_sftp_session *s, struct hf_err *err, const char *fmt,
                                  ...) HF_PRINTF(3, 4);

#endif
