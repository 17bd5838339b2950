/*
 * The certificate that a TLS server shows, which can be changed while it runs: GnuTLS, which
 * libmicrohttpd speaks TLS with, asks at each handshake. A certificate that was shown is kept until
 * the server ends, because a handshake may still be under way with it.
 *
 * libmicrohttpd's callback says nothing of the server it is for, so a process has one TLS server.
 * Private to net/.
 */
#ifndef HF_NET_HTTPSERVER_TLS_H
#define HF_NET_HTTPSERVER_TLS_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"

/* From PEM texts (chain and key); what was shown before stays when it fails: HF_E_INVALID for what
 * is no certificate, no key, or not the key of that certificate. The one that is shown already
 * changes nothing. Any thread. */
HF_MUST enum hf_code hf_httpd_tls_show(const char *cert_pem, const char *key_pem,
                                       struct hf_err *err);
/* gnutls_certificate_retrieve_function2, for MHD_OPTION_HTTPS_CERT_CALLBACK. */
void *hf_httpd_tls_callback(void);
/* A server shows one already. */
bool hf_httpd_tls_is_used(void);
/* After the server ended. */
void hf_httpd_tls_forget(void);

#endif
