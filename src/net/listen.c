#include "net/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"

enum { BACKLOG = 1024, PORT_TEXT = 8 };

static const char unix_scheme[] = "unix:";

static enum hf_code bad_address(const char *address, struct hf_err *err)
{
    return hf_err_set(err, HF_E_INVALID,
                      "'%.100s' is no address to listen on (try 127.0.0.1:8080 or unix:/path)",
                      address);
}

/* "host:port" into its parts; brackets are taken off. */
static enum hf_code split(const char *address, char host[HF_LISTEN_TEXT], char port[PORT_TEXT],
                          struct hf_err *err)
{
    const char *colon = strrchr(address, ':');
    size_t digits = colon == NULL ? 0 : strlen(colon + 1);
    if (digits == 0 || digits >= PORT_TEXT || strspn(colon + 1, "0123456789") != digits)
        return bad_address(address, err);
    const char *from = address;
    size_t len = (size_t)(colon - address);
    if (len >= 2 && from[0] == '[' && from[len - 1] == ']') {
        from++;
        len -= 2;
    } else if (memchr(from, ':', len) != NULL) {
        return bad_address(address, err);
    }
    if (len >= HF_LISTEN_TEXT)
        return bad_address(address, err);
    memcpy(host, from, len);
    host[len] = '\0';
    memcpy(port, colon + 1, digits + 1);
    return HF_OK;
}

static enum hf_code bind_failed(int sys, const char *address, struct hf_err *err)
{
    enum hf_code rc = hf_err_sys(err, sys, "listen on %s", address);
    if (sys != EADDRINUSE)
        return rc;
    hf_err_set(err, HF_E_EXISTS, "listen on %s: the address is in use", address);
    hf_err_hint(err, "another program (perhaps another holdfast) listens there: stop it or choose "
                     "another port");
    return HF_E_EXISTS;
}

static int try_bind(const struct addrinfo *ai, int *sys)
{
    int one = 1;
    int fd = socket(ai->ai_family, SOCK_STREAM, 0);
    if (fd < 0) {
        *sys = errno;
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    *sys = errno;
    close(fd);
    return -1;
}

static void tell_bound(int fd, char bound[HF_LISTEN_TEXT])
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    char host[NI_MAXHOST] = "?";
    char port[NI_MAXSERV] = "0";
    if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
        (void)getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), port, sizeof(port),
                          NI_NUMERICHOST | NI_NUMERICSERV);
    bool is_v6 = strchr(host, ':') != NULL;
    snprintf(bound, HF_LISTEN_TEXT, "%s%.120s%s:%.8s", is_v6 ? "[" : "", host, is_v6 ? "]" : "",
             port);
}

static enum hf_code open_tcp(const char *address, int *fd, char bound[HF_LISTEN_TEXT],
                             struct hf_err *err)
{
    char host[HF_LISTEN_TEXT] = "";
    char port[PORT_TEXT];
    struct addrinfo *all = NULL;
    struct addrinfo want = {.ai_family = AF_UNSPEC,
                            .ai_socktype = SOCK_STREAM,
                            .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int sys = EADDRNOTAVAIL;
    int got = -1;
    HF_TRY(split(address, host, port, err));
    int rc = getaddrinfo(host[0] == '\0' ? NULL : host, port, &want, &all);
    if (rc != 0)
        return hf_err_set(err, HF_E_INVALID, "listen on %s: %s", address, gai_strerror(rc));
    for (struct addrinfo *ai = all; ai != NULL && got < 0; ai = ai->ai_next)
        got = try_bind(ai, &sys);
    freeaddrinfo(all);
    if (got < 0)
        return bind_failed(sys, address, err);
    tell_bound(got, bound);
    *fd = got;
    return HF_OK;
}

/* True when somebody answers at the socket. */
static bool is_live(const struct sockaddr_un *un)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return true;
    bool is_refused =
        connect(fd, (const struct sockaddr *)un, sizeof(*un)) != 0 && errno == ECONNREFUSED;
    close(fd);
    return !is_refused;
}

static enum hf_code open_unix(const char *path, uint32_t mode, int *fd, struct hf_err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct stat st;
    if (path[0] != '/' || strlen(path) >= sizeof(un.sun_path))
        return hf_err_set(err, HF_E_INVALID,
                          "'unix:%.100s': needs an absolute path of at most %zu bytes", path,
                          sizeof(un.sun_path) - 1);
    memcpy(un.sun_path, path, strlen(path) + 1);
    if (lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode) || is_live(&un))
            return hf_err_set(err, HF_E_EXISTS, "listen on unix:%s: %s", path,
                              S_ISSOCK(st.st_mode) ? "another program listens there"
                                                   : "there is a file that is no socket");
        unlink(path);
    }
    int got = socket(AF_UNIX, SOCK_STREAM, 0);
    if (got < 0)
        return hf_err_sys(err, errno, "listen on unix:%s", path);
    mode_t old = umask(0777 & ~(mode_t)mode);
    int rc = bind(got, (struct sockaddr *)&un, sizeof(un));
    int sys = errno;
    umask(old);
    if (rc == 0 && listen(got, BACKLOG) == 0) {
        *fd = got;
        return HF_OK;
    }
    sys = rc == 0 ? errno : sys;
    close(got);
    return bind_failed(sys, path, err);
}

enum hf_code hf_listen_open(const char *address, uint32_t unix_mode, int *fd,
                            char bound[HF_LISTEN_TEXT], struct hf_err *err)
{
    hf_assert(address != NULL);
    if (strncmp(address, unix_scheme, sizeof(unix_scheme) - 1) != 0)
        return open_tcp(address, fd, bound, err);
    HF_TRY(open_unix(address + sizeof(unix_scheme) - 1, unix_mode, fd, err));
    snprintf(bound, HF_LISTEN_TEXT, "%s", address);
    return HF_OK;
}

void hf_listen_close(int fd, const char *bound)
{
    if (fd >= 0)
        close(fd);
    if (strncmp(bound, unix_scheme, sizeof(unix_scheme) - 1) == 0)
        unlink(bound + sizeof(unix_scheme) - 1);
}
