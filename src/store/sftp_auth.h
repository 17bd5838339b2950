/*
 * Logging in to an SSH server: with the key file and password of the configuration, or, when it
 * names neither, as ssh does: the keys of an agent, then the user's usual key files.
 *
 * Private to src/store; one session, one thread.
 */
#ifndef HF_STORE_SFTP_AUTH_H
#define HF_STORE_SFTP_AUTH_H

#include <libssh2.h>

#include "base/attr.h"
#include "base/err.h"

struct hf_sftp_login {
    char *user;
    char *password; /* NULL: none */
    char *key_path; /* NULL: none */
};

void hf_sftp_login_deinit(struct hf_sftp_login *l);
/* HF_E_DENIED says what was tried and what the server takes; never a password. HF_E_IO: the
 * connection of fd broke. */
HF_MUST enum hf_code hf_sftp_log_in(LIBSSH2_SESSION *ssh, int fd, const struct hf_sftp_login *l,
                                    struct hf_err *err);

#endif
