#include "net/httpserver_tls.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"

enum { CHAIN = 16, KEY_ID = 64 };

struct cert {
    struct cert *older;
    gnutls_pcert_st chain[CHAIN];
    unsigned n;
    gnutls_privkey_t key;
};

static struct {
    pthread_mutex_t lock;
    struct cert *newest;
} shown = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void cert_free(struct cert *c)
{
    for (unsigned i = 0; i < c->n; i++)
        gnutls_pcert_deinit(&c->chain[i]);
    if (c->key != NULL)
        gnutls_privkey_deinit(c->key);
    hf_free(c);
}

static enum hf_code bad(struct hf_err *err, const char *what, int rc)
{
    return hf_err_set(err, HF_E_INVALID, "%s: %s", what, gnutls_strerror(rc));
}

/* GnuTLS reads it, though its pointer is not const. */
static gnutls_datum_t datum_of(const char *pem)
{
    gnutls_datum_t d = {.size = (unsigned)strlen(pem)};
    memcpy(&d.data, &pem, sizeof(pem));
    return d;
}

static bool is_pair(const struct cert *c)
{
    gnutls_pubkey_t pub = NULL;
    unsigned char of_cert[KEY_ID];
    unsigned char of_key[KEY_ID];
    size_t n = sizeof(of_cert);
    size_t m = sizeof(of_key);
    if (gnutls_pubkey_init(&pub) != 0)
        return false;
    bool is_same = gnutls_pubkey_import_privkey(pub, c->key, 0, 0) == 0 &&
                   gnutls_pubkey_get_key_id(pub, 0, of_key, &m) == 0 &&
                   gnutls_pubkey_get_key_id(c->chain[0].pubkey, 0, of_cert, &n) == 0 && n == m &&
                   memcmp(of_cert, of_key, n) == 0;
    gnutls_pubkey_deinit(pub);
    return is_same;
}

static enum hf_code fill(struct cert *c, const char *cert_pem, const char *key_pem,
                         struct hf_err *err)
{
    gnutls_datum_t cert = datum_of(cert_pem);
    gnutls_datum_t key = datum_of(key_pem);
    unsigned n = CHAIN;
    int rc = gnutls_pcert_list_import_x509_raw(c->chain, &n, &cert, GNUTLS_X509_FMT_PEM, 0);
    if (rc != 0)
        return bad(err, "the certificate is no chain in PEM", rc);
    c->n = n;
    rc = gnutls_privkey_init(&c->key);
    if (rc == 0)
        rc = gnutls_privkey_import_x509_raw(c->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (rc != 0)
        return bad(err, "the key is no private key in PEM", rc);
    if (n == 0 || !is_pair(c))
        return hf_err_set(err, HF_E_INVALID, "the key is not that of the certificate");
    return HF_OK;
}

static bool is_shown(const struct cert *c)
{
    const struct cert *now = shown.newest;
    bool is_same = now != NULL && now->n == c->n;
    for (unsigned i = 0; is_same && i < c->n; i++) {
        const gnutls_datum_t *a = &c->chain[i].cert;
        const gnutls_datum_t *b = &now->chain[i].cert;
        is_same = a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
    }
    return is_same;
}

enum hf_code hf_httpd_tls_show(const char *cert_pem, const char *key_pem, struct hf_err *err)
{
    struct cert *c = hf_calloc(1, sizeof(*c));
    enum hf_code rc = fill(c, cert_pem, key_pem, err);
    if (rc != HF_OK) {
        cert_free(c);
        return rc;
    }
    pthread_mutex_lock(&shown.lock);
    bool is_old = is_shown(c);
    c->older = shown.newest;
    if (!is_old)
        shown.newest = c;
    pthread_mutex_unlock(&shown.lock);
    if (is_old)
        cert_free(c);
    return HF_OK;
}

static int retrieve(gnutls_session_t session, const gnutls_datum_t *ca, int n_ca,
                    const gnutls_pk_algorithm_t *algos, int n_algos, gnutls_pcert_st **chain,
                    unsigned *n, gnutls_privkey_t *key)
{
    (void)session;
    (void)ca;
    (void)n_ca;
    (void)algos;
    (void)n_algos;
    pthread_mutex_lock(&shown.lock);
    struct cert *c = shown.newest;
    pthread_mutex_unlock(&shown.lock);
    if (c == NULL)
        return -1;
    *chain = c->chain;
    *n = c->n;
    *key = c->key;
    return 0;
}

void *hf_httpd_tls_callback(void)
{
    gnutls_certificate_retrieve_function2 *fn = retrieve;
    void *p;
    memcpy(&p, &fn, sizeof(p)); /* C has no cast for it */
    return p;
}

bool hf_httpd_tls_is_used(void)
{
    pthread_mutex_lock(&shown.lock);
    bool is_used = shown.newest != NULL;
    pthread_mutex_unlock(&shown.lock);
    return is_used;
}

void hf_httpd_tls_forget(void)
{
    pthread_mutex_lock(&shown.lock);
    struct cert *c = shown.newest;
    shown.newest = NULL;
    pthread_mutex_unlock(&shown.lock);
    while (c != NULL) {
        struct cert *older = c->older;
        cert_free(c);
        c = older;
    }
}
