#include "store/sftp_auth.h"

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "os/file.h"

/* What was tried, for the message. */
struct attempt {
    LIBSSH2_SESSION *ssh;
    int fd;
    const struct hf_sftp_login *login;
    char methods[128]; /* what the server takes: "publickey,password" */
    char tried[320];
    bool has_rsa;
};

void hf_sftp_login_deinit(struct hf_sftp_login *l)
{
    hf_free(l->user);
    if (l->password != NULL)
        hf_wipe(l->password, strlen(l->password));
    hf_free(l->password);
    hf_free(l->key_path);
    *l = (struct hf_sftp_login){NULL, NULL, NULL};
}

static void note(struct attempt *a, const char *what, const char *how)
{
    size_t n = strlen(a->tried);
    snprintf(a->tried + n, sizeof(a->tried) - n, "%s%.100s%s%s", n > 0 ? ", " : "", what,
             how[0] != '\0' ? ": " : "", how);
}

/* True when the connection is gone: no other way in will do better. libssh2's code does not tell:
 * the last step that failed has overwritten it. */
static bool is_cut(const struct attempt *a)
{
    char c;
    struct pollfd p = {.fd = a->fd, .events = POLLIN};
    if (poll(&p, 1, 0) <= 0)
        return false;
    return recv(a->fd, &c, 1, MSG_PEEK) <= 0;
}

static bool has_method(const struct attempt *a, const char *name)
{
    size_t len = strlen(name);
    for (const char *p = a->methods; *p != '\0';) {
        size_t n = strcspn(p, ",");
        if (n == len && strncmp(p, name, n) == 0)
            return true;
        p += n + (p[n] == ',');
    }
    return false;
}

static bool is_rsa_key(const char *path)
{
    HF_AUTO_FREE char *pub = hf_asprintf("%s.pub", path);
    char *text = NULL;
    size_t len = 0;
    if (hf_path_read(pub, 16 << 10, &text, &len, NULL) != HF_OK)
        return false;
    bool is_rsa = strncmp(text, "ssh-rsa ", 8) == 0;
    hf_free(text);
    return is_rsa;
}

static bool by_key_file(struct attempt *a, const char *path)
{
    if (!has_method(a, "publickey"))
        return false;
    if (libssh2_userauth_publickey_fromfile(a->ssh, a->login->user, NULL, path, NULL) == 0)
        return true;
    int code = libssh2_session_last_errno(a->ssh);
    bool is_unread = code == LIBSSH2_ERROR_FILE || code == LIBSSH2_ERROR_KEYFILE_AUTH_FAILED ||
                     code == LIBSSH2_ERROR_METHOD_NOT_SUPPORTED;
    a->has_rsa |= is_rsa_key(path);
    note(a, path, is_unread ? "not a key file we can read (has it a passphrase?)" : "refused");
    return false;
}

/* For servers that ask instead of taking a password: the password is the answer to everything. */
static LIBSSH2_USERAUTH_KBDINT_RESPONSE_FUNC(answer)
{
    (void)name;
    (void)name_len;
    (void)instruction;
    (void)instruction_len;
    (void)prompts;
    const struct attempt *a = *abstract;
    for (int i = 0; i < num_prompts; i++) {
        /* libssh2 frees it with the session's allocator, which is the C library's. */
        responses[i].length = (unsigned)strlen(a->login->password);
        responses[i].text = hf_strdup(a->login->password);
    }
}

static bool by_password(struct attempt *a)
{
    const struct hf_sftp_login *l = a->login;
    if (has_method(a, "password")) {
        if (libssh2_userauth_password(a->ssh, l->user, l->password) == 0)
            return true;
        note(a, "the password", "refused");
        if (is_cut(a))
            return false;
    }
    if (has_method(a, "keyboard-interactive")) {
        *libssh2_session_abstract(a->ssh) = a;
        int rc = libssh2_userauth_keyboard_interactive(a->ssh, l->user, answer);
        *libssh2_session_abstract(a->ssh) = NULL;
        if (rc == 0)
            return true;
        note(a, "the password as an answer", "refused");
    }
    return false;
}

static bool by_agent(struct attempt *a)
{
    const char *sock = getenv("SSH_AUTH_SOCK");
    if (sock == NULL || sock[0] == '\0' || !has_method(a, "publickey"))
        return false;
    LIBSSH2_AGENT *agent = libssh2_agent_init(a->ssh);
    bool is_in = false;
    if (agent != NULL && libssh2_agent_connect(agent) == 0) {
        struct libssh2_agent_publickey *key = NULL;
        struct libssh2_agent_publickey *prev = NULL;
        int n = 0;
        if (libssh2_agent_list_identities(agent) == 0) {
            /* sshd closes after six failures (MaxAuthTries): leave some for the key files. */
            while (!is_in && n++ < 3 && libssh2_agent_get_identity(agent, &key, prev) == 0) {
                is_in = libssh2_agent_userauth(agent, a->login->user, key) == 0;
                prev = key;
            }
        }
        libssh2_agent_disconnect(agent);
    }
    if (agent != NULL)
        libssh2_agent_free(agent);
    if (!is_in)
        note(a, "the keys of the agent", "refused");
    return is_in;
}

static bool by_usual_keys(struct attempt *a)
{
    static const char *const names[] = {"id_ed25519", "id_ecdsa", "id_rsa"};
    const char *home = getenv("HOME");
    for (size_t i = 0; home != NULL && i < HF_ARRAY_LEN(names) && !is_cut(a); i++) {
        HF_AUTO_FREE char *path = hf_asprintf("%s/.ssh/%s", home, names[i]);
        if (hf_path_exists(path) && by_key_file(a, path))
            return true;
    }
    return false;
}

static enum hf_code refused(const struct attempt *a, struct hf_err *err)
{
    if (is_cut(a))
        return hf_err_set(err, HF_E_IO, "log in as %.80s: the connection broke%s%s", a->login->user,
                          a->tried[0] != '\0' ? " behind: " : "", a->tried);
    hf_err_set(err, HF_E_DENIED, "log in as %.80s: %s (the server takes %s)", a->login->user,
               a->tried[0] != '\0' ? a->tried : "no key and no password", a->methods);
    bool signs_with_sha1 = libssh2_version(0x010b00) == NULL; /* older than 1.11 */
    if (a->has_rsa && signs_with_sha1)
        hf_err_hint(
            err,
            "libssh2 %s signs with RSA keys in a way that servers refuse since 2021: use an "
            "ed25519 or ecdsa key",
            libssh2_version(0));
    else
        hf_err_hint(err, "set key-path or password; the key's .pub belongs into the user's "
                         "~/.ssh/authorized_keys on the server");
    return HF_E_DENIED;
}

enum hf_code hf_sftp_log_in(LIBSSH2_SESSION *ssh, int fd, const struct hf_sftp_login *l,
                            struct hf_err *err)
{
    struct attempt a = {.ssh = ssh, .fd = fd, .login = l};
    const char *list = libssh2_userauth_list(ssh, l->user, (unsigned)strlen(l->user));
    if (list == NULL)
        return libssh2_userauth_authenticated(ssh) ? HF_OK : refused(&a, err);
    snprintf(a.methods, sizeof(a.methods), "%s", list);
    bool is_in = l->key_path != NULL && by_key_file(&a, l->key_path);
    if (!is_in && !is_cut(&a) && l->password != NULL)
        is_in = by_password(&a);
    if (l->key_path == NULL && l->password == NULL)
        is_in = by_agent(&a) || (!is_cut(&a) && by_usual_keys(&a));
    return is_in ? HF_OK : refused(&a, err);
}
