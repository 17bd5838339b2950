/*
 * TLS settings, the same for clients and servers. Borrowed strings; NULL means the default. A peer
 * is verified unless somebody said otherwise in so many words.
 */
#ifndef HF_NET_TLS_H
#define HF_NET_TLS_H

#include <stdbool.h>

struct hf_tls_opts {
    const char *ca_file;   /* PEM; NULL: the system's list */
    const char *cert_file; /* our own certificate chain, PEM: servers, and clients that show one */
    const char *key_file;  /* its key, PEM, without passphrase */
    bool is_unverified;    /* take any certificate ("skip-verify"): never set by default */
};

#endif
