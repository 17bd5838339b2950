#include "store/sftp_host.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "os/file.h"

static const struct key_type {
    const char *name;
    int known; /* the type's bits in libssh2's lists */
    int shown; /* what libssh2_session_hostkey tells */
    const char *methods[4];
} key_types[] = {
    {"ssh-ed25519", LIBSSH2_KNOWNHOST_KEY_ED25519, LIBSSH2_HOSTKEY_TYPE_ED25519, {"ssh-ed25519"}},
    {"ecdsa-sha2-nistp256",
     LIBSSH2_KNOWNHOST_KEY_ECDSA_256,
     LIBSSH2_HOSTKEY_TYPE_ECDSA_256,
     {"ecdsa-sha2-nistp256"}},
    {"ecdsa-sha2-nistp384",
     LIBSSH2_KNOWNHOST_KEY_ECDSA_384,
     LIBSSH2_HOSTKEY_TYPE_ECDSA_384,
     {"ecdsa-sha2-nistp384"}},
    {"ecdsa-sha2-nistp521",
     LIBSSH2_KNOWNHOST_KEY_ECDSA_521,
     LIBSSH2_HOSTKEY_TYPE_ECDSA_521,
     {"ecdsa-sha2-nistp521"}},
    {"ssh-rsa",
     LIBSSH2_KNOWNHOST_KEY_SSHRSA,
     LIBSSH2_HOSTKEY_TYPE_RSA,
     {"rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"}},
};

enum { BLOB_MAX = 8 << 10 /* an RSA key of 16,384 bits is 2 KiB */ };

struct hf_sftp_hosts {
    LIBSSH2_SESSION *ssh;
    LIBSSH2_KNOWNHOSTS *known; /* NULL when one key is configured */
    LIBSSH2_KNOWNHOSTS *revoked;
    const struct key_type *type; /* of the configured key */
    struct hf_buf blob;
};

/* ---- the configured key ---- */

static const struct key_type *parse_key(const char *text, struct hf_buf *blob, struct hf_err *err)
{
    text += strspn(text, " \t");
    size_t len = strcspn(text, " \t");
    const char *key = text + len + strspn(text + len, " \t");
    for (size_t i = 0; i < HF_ARRAY_LEN(key_types); i++) {
        const struct key_type *t = &key_types[i];
        if (strlen(t->name) != len || strncmp(t->name, text, len) != 0)
            continue;
        if (key[0] == '\0' || hf_base64_decode(blob, key, strcspn(key, " \t\r\n"), err) != HF_OK) {
            hf_err_set(err, HF_E_INVALID, "host-key: no base64 behind %s", t->name);
            return NULL;
        }
        return t;
    }
    hf_err_set(err, HF_E_INVALID, "host-key: '%.40s' is not a key type", text);
    hf_err_hint(err, "it looks like: host-key: ssh-ed25519 AAAAC3Nza... (ssh-keyscan prints it)");
    return NULL;
}

enum hf_code hf_sftp_host_key_check(const char *text, struct hf_err *err)
{
    struct hf_buf blob;
    hf_buf_init(&blob, BLOB_MAX);
    const struct key_type *t = parse_key(text, &blob, err);
    hf_buf_deinit(&blob);
    return t == NULL ? HF_E_INVALID : HF_OK;
}

/* ---- known_hosts ---- */

/* len counts the line's newline: libssh2 takes a character off a line that is followed by one. */
static void add_line(struct hf_sftp_hosts *h, const char *line, size_t len)
{
    static const char revoked[] = "@revoked";
    LIBSSH2_KNOWNHOSTS *to = h->known;
    size_t lead = sizeof(revoked) - 1;
    if (len > lead && strncmp(line, revoked, lead) == 0) {
        to = h->revoked;
        line += lead;
        len -= lead;
    } else if (len > 0 && line[0] == '@') {
        return;
    }
    /* What can't be read leaves a host unknown, which is refused: no reason to fail here. */
    (void)libssh2_knownhost_readline(to, line, len, LIBSSH2_KNOWNHOST_FILE_OPENSSH);
}

static enum hf_code add_file(struct hf_sftp_hosts *h, const char *path, struct hf_err *err)
{
    char *text = NULL;
    size_t len = 0;
    enum hf_code rc = hf_path_read(path, HF_LIMIT_KNOWN_HOSTS, &text, &len, err);
    if (rc == HF_E_NOT_FOUND) {
        hf_err_reset(err);
        return HF_OK;
    }
    HF_TRY(rc);
    for (const char *p = text; *p != '\0';) {
        size_t n = strcspn(p, "\n");
        n += p[n] == '\n';
        add_line(h, p, n);
        p += n;
    }
    hf_free(text);
    return HF_OK;
}

static enum hf_code read_known_hosts(struct hf_sftp_hosts *h, struct hf_err *err)
{
    h->known = libssh2_knownhost_init(h->ssh);
    h->revoked = libssh2_knownhost_init(h->ssh);
    hf_assert(h->known != NULL && h->revoked != NULL);
    const char *home = getenv("HOME");
    if (home != NULL && home[0] != '\0') {
        HF_AUTO_FREE char *path = hf_asprintf("%s/.ssh/known_hosts", home);
        HF_TRY(add_file(h, path, err));
    }
    return add_file(h, "/etc/ssh/ssh_known_hosts", err);
}

enum hf_code hf_sftp_hosts_new(LIBSSH2_SESSION *ssh, const char *host_key,
                               struct hf_sftp_hosts **out, struct hf_err *err)
{
    struct hf_sftp_hosts *h = hf_calloc(1, sizeof(*h));
    h->ssh = ssh;
    hf_buf_init(&h->blob, BLOB_MAX);
    enum hf_code rc = HF_OK;
    if (host_key == NULL)
        rc = read_known_hosts(h, err);
    else if ((h->type = parse_key(host_key, &h->blob, err)) == NULL)
        rc = HF_E_INVALID;
    if (rc != HF_OK) {
        hf_sftp_hosts_free(h);
        return rc;
    }
    *out = h;
    return HF_OK;
}

void hf_sftp_hosts_free(struct hf_sftp_hosts *h)
{
    if (h == NULL)
        return;
    if (h->known != NULL)
        libssh2_knownhost_free(h->known);
    if (h->revoked != NULL)
        libssh2_knownhost_free(h->revoked);
    hf_buf_deinit(&h->blob);
    hf_free(h);
}

static int look_up(LIBSSH2_KNOWNHOSTS *in, const char *host, int port, const char *key, size_t len,
                   int type)
{
    return libssh2_knownhost_checkp(
        in, host, port, key, len,
        LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_RAW | type, NULL);
}

/* ---- before the handshake ---- */

static bool is_expected(const struct hf_sftp_hosts *h, const struct key_type *t, const char *host,
                        int port)
{
    if (h->known == NULL)
        return h->type == t;
    /* No key is this one: a mismatch tells that the host has one of the type. */
    return look_up(h->known, host, port, "-", 1, t->known) == LIBSSH2_KNOWNHOST_CHECK_MISMATCH;
}

static enum hf_code add_methods(struct hf_buf *list, const struct key_type *t, const char **can,
                                int n_can, struct hf_err *err)
{
    for (size_t i = 0; t->methods[i] != NULL; i++) {
        for (int k = 0; k < n_can; k++) {
            if (strcmp(can[k], t->methods[i]) == 0)
                HF_TRY(hf_buf_appendf(list, err, "%s%s", list->len > 0 ? "," : "", can[k]));
        }
    }
    return HF_OK;
}

enum hf_code hf_sftp_hosts_prefer(struct hf_sftp_hosts *h, const char *host, int port,
                                  struct hf_err *err)
{
    /* Only what it knows: libssh2 1.10 takes others out of the list by an overlapping memcpy. */
    const char **can = NULL;
    int n_can = libssh2_session_supported_algs(h->ssh, LIBSSH2_METHOD_HOSTKEY, &can);
    struct hf_buf list;
    hf_buf_init(&list, 512);
    enum hf_code rc = HF_OK;
    for (size_t i = 0; i < 2 * HF_ARRAY_LEN(key_types) && rc == HF_OK; i++) {
        bool is_first_pass = i < HF_ARRAY_LEN(key_types);
        const struct key_type *t = &key_types[i % HF_ARRAY_LEN(key_types)];
        if (is_expected(h, t, host, port) == is_first_pass)
            rc = add_methods(&list, t, can, n_can, err);
    }
    if (can != NULL)
        libssh2_free(h->ssh, can);
    if (rc == HF_OK &&
        libssh2_session_method_pref(h->ssh, LIBSSH2_METHOD_HOSTKEY, hf_buf_str(&list)) != 0)
        rc = hf_err_set(err, HF_E_INTERNAL, "libssh2 takes none of the key types '%s'",
                        hf_buf_str(&list));
    hf_buf_deinit(&list);
    return rc;
}

/* ---- after it ---- */

static const struct key_type *shown_type(int type)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(key_types); i++) {
        if (key_types[i].shown == type)
            return &key_types[i];
    }
    return NULL;
}

static char *base64(const char *data, size_t len)
{
    struct hf_buf b;
    hf_buf_init(&b, 2 * BLOB_MAX);
    bool is_done = hf_base64_encode(&b, data, len, NULL) == HF_OK;
    char *text = hf_strdup(is_done ? hf_buf_str(&b) : "?");
    hf_buf_deinit(&b);
    return text;
}

/* "SHA256:..." as ssh-keygen -l prints it. */
static void fingerprint(LIBSSH2_SESSION *ssh, char out[64])
{
    const char *hash = libssh2_hostkey_hash(ssh, LIBSSH2_HOSTKEY_HASH_SHA256);
    HF_AUTO_FREE char *text = base64(hash == NULL ? "" : hash, hash == NULL ? 0 : 32);
    snprintf(out, 64, "SHA256:%.*s", (int)strcspn(text, "="), text);
}

struct shown {
    const char *host;
    int port;
    const char *key;
    size_t len;
    const struct key_type *type;
};

static enum hf_code refuse(const struct hf_sftp_hosts *h, const struct shown *k, const char *why,
                           struct hf_err *err)
{
    char print[64];
    fingerprint(h->ssh, print);
    HF_AUTO_FREE char *text = base64(k->key, k->len);
    bool is_short =
        k->len <= 200; /* RSA keys would fill the message: the hint tells how to see it */
    hf_err_set(err, HF_E_DENIED, "%s: it shows %s %s (%s)", why, k->type->name,
               is_short ? text : "...", print);
    return HF_E_DENIED;
}

static enum hf_code refuse_unknown(const struct hf_sftp_hosts *h, const struct shown *k,
                                   struct hf_err *err)
{
    refuse(h, k, "the server's key is not known", err);
    hf_err_hint(err,
                "if that key is the server's, add it to the replica as host-key: \"%s ...\", or to "
                "~/.ssh/known_hosts (ssh-keyscan -p %d %.80s)",
                k->type->name, k->port, k->host);
    return HF_E_DENIED;
}

static enum hf_code refuse_changed(const struct hf_sftp_hosts *h, const struct shown *k,
                                   const char *where, struct hf_err *err)
{
    HF_AUTO_FREE char *why = hf_asprintf("the server's key is not the one in %s", where);
    refuse(h, k, why, err);
    hf_err_hint(err,
                "somebody may be in between; only if the server was given a new key, replace "
                "the old one in %s",
                where);
    return HF_E_DENIED;
}

enum hf_code hf_sftp_hosts_verify(struct hf_sftp_hosts *h, const char *host, int port,
                                  struct hf_err *err)
{
    int type = 0;
    struct shown k = {.host = host, .port = port};
    k.key = libssh2_session_hostkey(h->ssh, &k.len, &type);
    k.type = shown_type(type);
    if (k.key == NULL || k.type == NULL)
        return hf_err_set(err, HF_E_DENIED, "the server shows a key of a type we don't know");
    if (h->known == NULL) {
        if (k.len == h->blob.len && memcmp(k.key, h->blob.data, k.len) == 0)
            return HF_OK;
        return refuse_changed(h, &k, "host-key", err);
    }
    if (look_up(h->revoked, host, port, k.key, k.len, k.type->known) ==
        LIBSSH2_KNOWNHOST_CHECK_MATCH)
        return refuse(h, &k, "the server's key is marked as revoked in known_hosts", err);
    switch (look_up(h->known, host, port, k.key, k.len, k.type->known)) {
    case LIBSSH2_KNOWNHOST_CHECK_MATCH:
        return HF_OK;
    case LIBSSH2_KNOWNHOST_CHECK_MISMATCH:
        return refuse_changed(h, &k, "known_hosts", err);
    default:
        return refuse_unknown(h, &k, err);
    }
}
