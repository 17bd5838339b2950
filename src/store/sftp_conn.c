#include "store/sftp_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "store/sftp_auth.h"
#include "store/sftp_host.h"

struct hf_sftp_server {
    struct hf_sftp_server *next; /* in the list of all */
    unsigned refs;               /* under the list's lock */
    char *name;                  /* "HOST:PORT" */
    char *host;                  /* without brackets */
    int port;
    struct hf_sftp_login login;
    char *host_key;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct hf_sftp_session *pool[HF_LIMIT_SFTP_SESSIONS];
    unsigned n; /* in the pool and being opened */
};

static pthread_mutex_t servers_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hf_sftp_server *servers; /* all that some store uses */

/* ---- servers ---- */

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static char *copy(const char *s)
{
    return s == NULL ? NULL : hf_strdup(s);
}

static char *without_brackets(const char *host)
{
    size_t len = strlen(host);
    bool has = len > 2 && host[0] == '[' && host[len - 1] == ']';
    return has ? hf_strndup(host + 1, len - 2) : hf_strdup(host);
}

static enum hf_code check_settings(const struct hf_config_sftp *conf, struct hf_err *err)
{
    if (conf->host == NULL || conf->host[0] == '\0')
        return hf_err_set(err, HF_E_INVALID, "an sftp replica needs host");
    if (conf->user == NULL || conf->user[0] == '\0') {
        hf_err_set(err, HF_E_INVALID, "sftp://%s: no user", conf->host);
        hf_err_hint(err, "set user: or write sftp://USER@%s/PATH", conf->host);
        return HF_E_INVALID;
    }
    return conf->host_key == NULL ? HF_OK : hf_sftp_host_key_check(conf->host_key, err);
}

static struct hf_sftp_server *server_new(const struct hf_config_sftp *conf)
{
    struct hf_sftp_server *s = hf_calloc(1, sizeof(*s));
    s->refs = 1;
    s->host = without_brackets(conf->host);
    s->port = (int)conf->port;
    s->name = hf_asprintf("%s:%d", conf->host, s->port);
    s->host_key = copy(conf->host_key);
    s->login = (struct hf_sftp_login){copy(conf->user), copy(conf->password), copy(conf->key_path)};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    return s;
}

static bool is_same(const struct hf_sftp_server *s, const struct hf_config_sftp *conf)
{
    HF_AUTO_FREE char *host = without_brackets(conf->host);
    return strcmp(s->host, host) == 0 && s->port == conf->port &&
           is_same_text(s->login.user, conf->user) &&
           is_same_text(s->login.password, conf->password) &&
           is_same_text(s->login.key_path, conf->key_path) &&
           is_same_text(s->host_key, conf->host_key);
}

enum hf_code hf_sftp_server_get(const struct hf_config_sftp *conf, struct hf_sftp_server **out,
                                struct hf_err *err)
{
    static bool is_ready;
    HF_TRY(check_settings(conf, err));
    pthread_mutex_lock(&servers_lock);
    if (!is_ready && libssh2_init(0) != 0) {
        pthread_mutex_unlock(&servers_lock);
        return hf_err_set(err, HF_E_INTERNAL, "libssh2 does not start");
    }
    is_ready = true;
    struct hf_sftp_server *s = servers;
    while (s != NULL && !is_same(s, conf))
        s = s->next;
    if (s == NULL) {
        s = server_new(conf);
        s->next = servers;
        servers = s;
    } else {
        s->refs++;
    }
    pthread_mutex_unlock(&servers_lock);
    *out = s;
    return HF_OK;
}

const char *hf_sftp_server_name(const struct hf_sftp_server *server)
{
    return server->name;
}

/* ---- sessions ---- */

/* A dead connection first, so that nothing libssh2 still wants to say waits for an answer. */
static void cut(struct hf_sftp_session *s)
{
    if (s->fd >= 0)
        shutdown(s->fd, SHUT_RDWR);
}

static void session_free(struct hf_sftp_session *s)
{
    hf_assert(s->refs == 0);
    if (s->is_broken)
        cut(s);
    if (s->sftp != NULL)
        libssh2_sftp_shutdown(s->sftp);
    if (s->ssh != NULL) {
        if (!s->is_broken)
            libssh2_session_disconnect(s->ssh, "done");
        libssh2_session_free(s->ssh);
    }
    if (s->fd >= 0)
        close(s->fd);
    hf_free(s);
}

void hf_sftp_server_put(struct hf_sftp_server *server)
{
    pthread_mutex_lock(&servers_lock);
    hf_assert(server->refs > 0);
    bool is_last = --server->refs == 0;
    struct hf_sftp_server **p = &servers;
    while (is_last && *p != server)
        p = &(*p)->next;
    if (is_last)
        *p = server->next;
    pthread_mutex_unlock(&servers_lock);
    if (!is_last)
        return;
    for (size_t i = 0; i < HF_LIMIT_SFTP_SESSIONS; i++) {
        struct hf_sftp_session *s = server->pool[i];
        if (s == NULL)
            continue;
        hf_assert(!s->is_busy && s->refs == 1); /* readers are freed before their store */
        s->refs = 0;
        session_free(s);
    }
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->changed);
    hf_sftp_login_deinit(&server->login);
    hf_free(server->host_key);
    hf_free(server->name);
    hf_free(server->host);
    hf_free(server);
}

static enum hf_code wait_connected(int fd, struct hf_err *err)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int n;
    do {
        n = poll(&p, 1, HF_LIMIT_SFTP_CONNECT_MS);
    } while (n < 0 && errno == EINTR);
    if (n == 0)
        return hf_err_set(err, HF_E_TIMEOUT, "no answer in %d s", HF_LIMIT_SFTP_CONNECT_MS / 1000);
    int sys = 0;
    socklen_t len = sizeof(sys);
    if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &len) != 0)
        sys = errno;
    return sys == 0 ? HF_OK : hf_err_sys(err, sys, "connect");
}

static enum hf_code connect_one(const struct addrinfo *a, int *out, struct hf_err *err)
{
    int fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
    if (fd < 0)
        return hf_err_sys(err, errno, "socket");
    int on = 1;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    enum hf_code rc = HF_OK;
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0)
        rc = errno == EINPROGRESS ? wait_connected(fd, err) : hf_err_sys(err, errno, "connect");
    if (rc != HF_OK) {
        close(fd);
        return rc;
    }
    *out = fd;
    return HF_OK;
}

static enum hf_code connect_to(const struct hf_sftp_server *server, int *out, struct hf_err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *all = NULL;
    char port[16];
    snprintf(port, sizeof(port), "%d", server->port);
    int rc = getaddrinfo(server->host, port, &hints, &all);
    if (rc != 0)
        return hf_err_set(err, HF_E_IO, "look up %s: %s", server->host, gai_strerror(rc));
    enum hf_code code = HF_E_IO;
    for (const struct addrinfo *a = all; a != NULL && code != HF_OK; a = a->ai_next)
        code = connect_one(a, out, err);
    freeaddrinfo(all);
    return code;
}

static enum hf_code handshake(struct hf_sftp_session *s, struct hf_err *err)
{
    const struct hf_sftp_server *server = s->server;
    struct hf_sftp_hosts *hosts = NULL;
    HF_TRY(hf_sftp_hosts_new(s->ssh, server->host_key, &hosts, err));
    enum hf_code rc = hf_sftp_hosts_prefer(hosts, server->host, server->port, err);
    if (rc == HF_OK && libssh2_session_handshake(s->ssh, s->fd) != 0) {
        rc = hf_sftp_fail(s, err, "handshake");
        int code = libssh2_session_last_errno(s->ssh);
        if (code == LIBSSH2_ERROR_KEX_FAILURE || code == LIBSSH2_ERROR_METHOD_NONE)
            hf_err_hint(err,
                        "no algorithm is known to both sides (libssh2 %s): the server needs a host "
                        "key of type ed25519 or ecdsa",
                        libssh2_version(0));
    }
    if (rc == HF_OK)
        rc = hf_sftp_hosts_verify(hosts, server->host, server->port, err);
    hf_sftp_hosts_free(hosts);
    return rc;
}

static enum hf_code open_session(struct hf_sftp_session *s, struct hf_err *err)
{
    HF_TRY(connect_to(s->server, &s->fd, err));
    s->ssh = libssh2_session_init();
    hf_assert(s->ssh != NULL);
    libssh2_session_set_timeout(s->ssh, HF_LIMIT_SFTP_TIMEOUT_MS);
    HF_TRY(handshake(s, err));
    HF_TRY(hf_sftp_log_in(s->ssh, s->fd, &s->server->login, err));
    s->sftp = libssh2_sftp_init(s->ssh);
    if (s->sftp != NULL)
        return HF_OK;
    enum hf_code rc = hf_sftp_fail(s, err, "start sftp");
    hf_err_hint(err, "does the server offer the sftp subsystem to this user?");
    return rc;
}

static enum hf_code session_new(struct hf_sftp_server *server, struct hf_sftp_session **out,
                                struct hf_err *err)
{
    struct hf_sftp_session *s = hf_calloc(1, sizeof(*s));
    s->server = server;
    s->fd = -1;
    enum hf_code rc = open_session(s, err);
    if (rc != HF_OK) {
        s->is_broken = true;
        session_free(s);
        return hf_err_wrap(err, "sftp://%s@%s", server->login.user, server->name);
    }
    s->refs = 1;
    s->is_busy = true;
    *out = s;
    return HF_OK;
}

/* ---- the pool ---- */

static struct hf_sftp_session *take_idle(struct hf_sftp_server *server)
{
    for (size_t i = 0; i < HF_LIMIT_SFTP_SESSIONS; i++) {
        struct hf_sftp_session *s = server->pool[i];
        if (s != NULL && !s->is_busy) {
            hf_assert(!s->is_broken);
            s->is_busy = true;
            return s;
        }
    }
    return NULL;
}

static void add_to_pool(struct hf_sftp_server *server, struct hf_sftp_session *s)
{
    size_t i = 0;
    while (i < HF_LIMIT_SFTP_SESSIONS && server->pool[i] != NULL)
        i++;
    hf_assert(i < HF_LIMIT_SFTP_SESSIONS);
    server->pool[i] = s;
}

enum hf_code hf_sftp_acquire(struct hf_sftp_server *server, struct hf_sftp_session **out,
                             struct hf_err *err)
{
    pthread_mutex_lock(&server->lock);
    struct hf_sftp_session *s = take_idle(server);
    while (s == NULL && server->n == HF_LIMIT_SFTP_SESSIONS) {
        pthread_cond_wait(&server->changed, &server->lock);
        s = take_idle(server);
    }
    if (s == NULL)
        server->n++;
    pthread_mutex_unlock(&server->lock);
    if (s == NULL) {
        enum hf_code rc = session_new(server, &s, err);
        pthread_mutex_lock(&server->lock);
        if (rc == HF_OK)
            add_to_pool(server, s);
        else
            server->n--;
        pthread_cond_broadcast(&server->changed);
        pthread_mutex_unlock(&server->lock);
        HF_TRY(rc);
    }
    *out = s;
    return HF_OK;
}

void hf_sftp_acquire_same(struct hf_sftp_session *s)
{
    struct hf_sftp_server *server = s->server;
    pthread_mutex_lock(&server->lock);
    hf_assert(s->refs > 0);
    while (s->is_busy)
        pthread_cond_wait(&server->changed, &server->lock);
    s->is_busy = true;
    pthread_mutex_unlock(&server->lock);
}

static void forget(struct hf_sftp_session *s)
{
    struct hf_sftp_server *server = s->server;
    for (size_t i = 0; i < HF_LIMIT_SFTP_SESSIONS; i++) {
        if (server->pool[i] != s)
            continue;
        server->pool[i] = NULL;
        server->n--;
        s->refs--;
        cut(s);
    }
}

void hf_sftp_release(struct hf_sftp_session *s)
{
    struct hf_sftp_server *server = s->server;
    pthread_mutex_lock(&server->lock);
    hf_assert(s->is_busy);
    s->is_busy = false;
    if (s->is_broken)
        forget(s);
    bool is_last = s->refs == 0;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    if (is_last)
        session_free(s);
}

void hf_sftp_keep(struct hf_sftp_session *s)
{
    pthread_mutex_lock(&s->server->lock);
    hf_assert(s->is_busy);
    s->refs++;
    pthread_mutex_unlock(&s->server->lock);
}

void hf_sftp_drop_handle(struct hf_sftp_session *s, LIBSSH2_SFTP_HANDLE *handle)
{
    struct hf_sftp_server *server = s->server;
    hf_sftp_acquire_same(s);
    /* Of a broken session, too: it frees the handle's memory. */
    if (libssh2_sftp_close_handle(handle) != 0)
        s->is_broken = true;
    pthread_mutex_lock(&server->lock);
    s->refs--;
    pthread_mutex_unlock(&server->lock);
    hf_sftp_release(s);
}

/* ---- errors ---- */

static const struct {
    unsigned long status;
    enum hf_code code;
    const char *text;
} statuses[] = {
    {LIBSSH2_FX_NO_SUCH_FILE, HF_E_NOT_FOUND, "no such file or directory"},
    {LIBSSH2_FX_NO_SUCH_PATH, HF_E_NOT_FOUND, "no such directory"},
    {LIBSSH2_FX_PERMISSION_DENIED, HF_E_DENIED, "permission denied"},
    {LIBSSH2_FX_WRITE_PROTECT, HF_E_DENIED, "write protected"},
    {LIBSSH2_FX_FILE_ALREADY_EXISTS, HF_E_EXISTS, "exists already"},
    {LIBSSH2_FX_NO_SPACE_ON_FILESYSTEM, HF_E_NO_SPACE, "no space left on the server"},
    {LIBSSH2_FX_QUOTA_EXCEEDED, HF_E_NO_SPACE, "quota exceeded on the server"},
    {LIBSSH2_FX_OP_UNSUPPORTED, HF_E_UNSUPPORTED, "the server does not support this"},
    {LIBSSH2_FX_FAILURE, HF_E_IO, "the server failed without saying why"},
};

static enum hf_code status_error(unsigned long status, struct hf_err *err)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(statuses); i++) {
        if (statuses[i].status == status)
            return hf_err_set(err, statuses[i].code, "%s", statuses[i].text);
    }
    return hf_err_set(err, HF_E_IO, "the server answered with status %lu", status);
}

enum hf_code hf_sftp_fail(struct hf_sftp_session *s, struct hf_err *err, const char *fmt, ...)
{
    char what[HF_LIMIT_PATH];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    enum hf_code rc;
    char *text = NULL;
    int code = libssh2_session_last_error(s->ssh, &text, NULL, 0);
    if (code == LIBSSH2_ERROR_SFTP_PROTOCOL && s->sftp != NULL) {
        rc = status_error(libssh2_sftp_last_error(s->sftp), err);
    } else {
        s->is_broken = true;
        bool is_late = code == LIBSSH2_ERROR_TIMEOUT || code == LIBSSH2_ERROR_SOCKET_TIMEOUT;
        rc = hf_err_set(err, is_late ? HF_E_TIMEOUT : HF_E_IO, "connection failed: %s",
                        text == NULL || text[0] == '\0' ? "closed by the server" : text);
    }
    hf_err_wrap(err, "%.400s", what);
    return rc;
}
