/*
 * Listening sockets by address text. Blocking calls of start-up; any thread.
 */
#ifndef HF_NET_LISTEN_H
#define HF_NET_LISTEN_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define HF_LISTEN_TEXT 200

/* Binds and listens on "HOST:PORT", ":PORT", "[IPV6]:PORT" or "unix:/path". A stale unix socket
 * (nobody answers there) is replaced, a live one is HF_E_EXISTS. unix_mode: its permission bits.
 * bound: the address really bound, with the port the system chose for port 0. */
HF_MUST enum hf_code hf_listen_open(const char *address, uint32_t unix_mode, int *fd,
                                    char bound[HF_LISTEN_TEXT], struct hf_err *err);
/* Closes; removes the path of a unix socket. */
void hf_listen_close(int fd, const char *bound);

#endif
