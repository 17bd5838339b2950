#include "net/unixhttp.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"

enum { READ_BYTES = 16 << 10 };

static enum hf_code connect_to(const char *path, int *out, struct hf_err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(un.sun_path))
        return hf_err_set(err, HF_E_INVALID, "socket path %.200s is longer than %zu bytes", path,
                          sizeof(un.sun_path) - 1);
    memcpy(un.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return hf_err_sys(err, errno, "socket");
    if (connect(fd, (const struct sockaddr *)&un, sizeof(un)) == 0) {
        *out = fd;
        return HF_OK;
    }
    enum hf_code rc = hf_err_sys(err, errno, "connect to %s", path);
    bool is_nobody = errno == ECONNREFUSED || errno == ENOENT;
    close(fd);
    if (!is_nobody)
        return rc;
    hf_err_set(err, HF_E_NOT_FOUND, "nobody listens on the control socket %s", path);
    hf_err_hint(err, "holdfast replicate serves it with socket: {enabled: true}; -socket names "
                     "another one");
    return HF_E_NOT_FOUND;
}

static enum hf_code wait_for(int fd, short events, uint64_t end_ms, struct hf_err *err)
{
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        uint64_t now = hf_clock_mono_ms();
        if (now >= end_ms)
            return hf_err_set(err, HF_E_TIMEOUT, "no answer on the control socket in time");
        int n = poll(&p, 1, (int)(end_ms - now));
        if (n > 0)
            return HF_OK;
        if (n < 0 && errno != EINTR)
            return hf_err_sys(err, errno, "wait for the control socket");
    }
}

static enum hf_code send_all(int fd, const struct hf_buf *b, uint64_t end_ms, struct hf_err *err)
{
    for (size_t at = 0; at < b->len;) {
        HF_TRY(wait_for(fd, POLLOUT, end_ms, err));
        ssize_t n = send(fd, b->data + at, b->len - at, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
            continue;
        if (n < 0)
            return hf_err_sys(err, errno, "write to the control socket");
        at += (size_t)n;
    }
    return HF_OK;
}

static enum hf_code read_all(int fd, struct hf_buf *b, uint64_t end_ms, struct hf_err *err)
{
    for (;;) {
        char part[READ_BYTES];
        HF_TRY(wait_for(fd, POLLIN, end_ms, err));
        ssize_t n = recv(fd, part, sizeof(part), MSG_DONTWAIT);
        if (n == 0)
            return HF_OK;
        if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
            continue;
        if (n < 0)
            return hf_err_sys(err, errno, "read from the control socket");
        HF_TRY(hf_buf_append(b, part, (size_t)n, err));
    }
}

static enum hf_code put_request(const struct hf_unixhttp *r, struct hf_buf *b, struct hf_err *err)
{
    HF_TRY(hf_buf_appendf(b, err, "%s %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n",
                          r->method, r->target));
    if (r->body != NULL)
        HF_TRY(hf_buf_appendf(b, err, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                              strlen(r->body)));
    return hf_buf_appendf(b, err, "\r\n%s", r->body == NULL ? "" : r->body);
}

/* "HTTP/1.1 200 OK", headers, an empty line, the body. */
static enum hf_code take_apart(struct hf_buf *answer, int *status, struct hf_buf *body,
                               struct hf_err *err)
{
    const char *text = hf_buf_str(answer);
    const char *end = strstr(text, "\r\n\r\n");
    const char *space = strchr(text, ' ');
    if (strncmp(text, "HTTP/1.", 7) != 0 || end == NULL || space == NULL || space > end)
        return hf_err_set(err, HF_E_CORRUPT, "the control socket's answer is not HTTP");
    long code = strtol(space + 1, NULL, 10);
    if (code < 100 || code > 599)
        return hf_err_set(err, HF_E_CORRUPT, "the control socket's answer has no status");
    size_t head = (size_t)(end - text) + 4;
    HF_TRY(hf_buf_append(body, answer->data + head, answer->len - head, err));
    *status = (int)code;
    return HF_OK;
}

enum hf_code hf_unixhttp_do(const struct hf_unixhttp *r, int *status, struct hf_buf *body,
                            struct hf_err *err)
{
    uint64_t end_ms = hf_clock_mono_ms() + r->timeout_ms;
    struct hf_buf request;
    struct hf_buf answer;
    int fd = -1;
    HF_TRY(connect_to(r->socket_path, &fd, err));
    hf_buf_init(&request, HF_LIMIT_UNIXHTTP_ANSWER);
    hf_buf_init(&answer, HF_LIMIT_UNIXHTTP_ANSWER);
    enum hf_code rc = put_request(r, &request, err);
    if (rc == HF_OK)
        rc = send_all(fd, &request, end_ms, err);
    if (rc == HF_OK)
        rc = read_all(fd, &answer, end_ms, err);
    if (rc == HF_OK)
        rc = take_apart(&answer, status, body, err);
    close(fd);
    hf_buf_deinit(&request);
    hf_buf_deinit(&answer);
    return rc;
}
