/*
 * Is this server who it should be? The key it showed, held against the configured host-key, or
 * against the known_hosts files of the user and the system.
 *
 * A key in a line marked @revoked is refused whatever else says it is known; lines of
 * authorities (@cert-authority) and lines libssh2 can't read are left aside. libssh2 knows hashed
 * names but no patterns. Before the handshake the key types under which the server is known are put
 * first, or a server known by one key would be asked for another. Private to src/store; pure but
 * for reading the files.
 */
#ifndef HF_STORE_SFTP_HOST_H
#define HF_STORE_SFTP_HOST_H

#include <libssh2.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct hf_sftp_hosts;

/* host_key: "ssh-ed25519 AAAA... comment", then no file is read; NULL: known_hosts. */
HF_MUST enum hf_code hf_sftp_hosts_new(LIBSSH2_SESSION *ssh, const char *host_key,
                                       struct hf_sftp_hosts **out, struct hf_err *err);
void hf_sftp_hosts_free(struct hf_sftp_hosts *h);
/* HF_E_INVALID if text is not a public key of a type libssh2 knows. */
HF_MUST enum hf_code hf_sftp_host_key_check(const char *text, struct hf_err *err);

/* Before the handshake. */
HF_MUST enum hf_code hf_sftp_hosts_prefer(struct hf_sftp_hosts *h, const char *host, int port,
                                          struct hf_err *err);
/* After it. HF_E_DENIED with the key that was shown and what to do about it. */
HF_MUST enum hf_code hf_sftp_hosts_verify(struct hf_sftp_hosts *h, const char *host, int port,
                                          struct hf_err *err);

#endif
