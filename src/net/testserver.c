#include "net/testserver.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"

enum { REQUEST_MAX = 4 << 20 };

struct conn {
    struct hf_testserver *server;
    int fd;
    bool is_spent;
    char *in; /* REQUEST_MAX + 1 */
    size_t len;
    size_t request_len;
};

static bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool send_text(int fd, const char *text)
{
    return send_all(fd, text, strlen(text));
}

/* A whole request into c->in; false at the connection's end. */
static bool read_request(struct conn *c)
{
    for (;;) {
        c->in[c->len] = '\0';
        char *end = strstr(c->in, "\r\n\r\n");
        if (end != NULL) {
            size_t head = (size_t)(end + 4 - c->in);
            const char *cl = strcasestr(c->in, "\r\nContent-Length:");
            size_t body = cl && cl < end ? strtoul(cl + 17, NULL, 10) : 0;
            const char *te = strcasestr(c->in, "\r\nTransfer-Encoding: chunked");
            const char *last = te && te < end ? strstr(end, "0\r\n\r\n") : NULL;
            c->request_len = last ? (size_t)(last + 5 - c->in) : head + body;
            if ((te == NULL || te > end || last != NULL) && c->len >= c->request_len)
                return true;
        }
        ssize_t n = recv(c->fd, c->in + c->len, REQUEST_MAX - c->len, 0);
        if (n <= 0)
            return false;
        c->len += (size_t)n;
    }
}

static bool send_bytes(int fd, size_t n)
{
    char piece[26000];
    for (size_t i = 0; i < sizeof(piece); i++)
        piece[i] = (char)('a' + i % 26);
    HF_AUTO_FREE char *head = hf_asprintf("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
    bool ok = send_text(fd, head);
    while (ok && n > 0) {
        size_t k = n < sizeof(piece) ? n : sizeof(piece);
        ok = send_all(fd, piece, k);
        n -= k;
    }
    return ok;
}

static bool send_headers(int fd, size_t n)
{
    bool ok = send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
    for (size_t i = 0; ok && i < n; i += 100) {
        HF_AUTO_FREE char *line = hf_asprintf("X-Pad-%05zu: %085d\r\n", i / 100, 7);
        ok = send_text(fd, line);
    }
    return ok && send_text(fd, "\r\n");
}

static bool drip(struct conn *c)
{
    bool ok = send_text(c->fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (ok && !atomic_load(&c->server->is_stopping)) {
        ok = send_text(c->fd, "1\r\nx\r\n");
        hf_clock_sleep_us(10000);
    }
    return false;
}

static bool hang(struct conn *c)
{
    char byte;
    while (!atomic_load(&c->server->is_stopping) && recv(c->fd, &byte, 1, MSG_DONTWAIT) != 0)
        hf_clock_sleep_us(5000);
    return false;
}

static bool echo(struct conn *c)
{
    HF_AUTO_FREE char *head =
        hf_asprintf("HTTP/1.1 200 OK\r\nX-Twice: one\r\nx-twice: two\r\nX-Empty:\r\n"
                    "Content-Length: %zu\r\n\r\n",
                    c->request_len);
    return send_text(c->fd, head) && send_all(c->fd, c->in, c->request_len);
}

static bool send_status(int fd, const char *number)
{
    HF_AUTO_FREE char *head =
        hf_asprintf("HTTP/1.1 %.3s Whatever\r\nContent-Length: 0\r\n\r\n", number);
    return send_text(fd, head);
}

/* False closes the connection. */
static bool answer(struct conn *c, const char *path)
{
    static const struct {
        const char *path;
        const char *text;
        bool is_kept;
    } fixed[] = {
        {"/chunked ",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n"
         "5\r\nthree\r\n0\r\nX-Trailer: t\r\n\r\n",
         true},
        {"/continue ",
         "HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n"
         "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate",
         true},
        {"/redirect ", "HTTP/1.1 302 Found\r\nLocation: /status/200\r\nContent-Length: 0\r\n\r\n",
         true},
        {"/cut ", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789", false},
        {"/close ", "", false},
        {"/spent ", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(fixed); i++) {
        if (strncmp(path, fixed[i].path, strlen(fixed[i].path)) == 0)
            return send_text(c->fd, fixed[i].text) && fixed[i].is_kept;
    }
    if (strncmp(path, "/echo", 5) == 0)
        return echo(c);
    if (strncmp(path, "/status/", 8) == 0)
        return send_status(c->fd, path + 8);
    if (strncmp(path, "/bytes/", 7) == 0)
        return send_bytes(c->fd, strtoul(path + 7, NULL, 10));
    if (strncmp(path, "/headers/", 9) == 0)
        return send_headers(c->fd, strtoul(path + 9, NULL, 10));
    return strncmp(path, "/drip", 5) == 0 ? drip(c) : hang(c);
}

static void *serve(void *arg)
{
    struct conn *c = arg;
    while (read_request(c)) {
        atomic_fetch_add(&c->server->requests, 1);
        const char *path = strchr(c->in, ' ') + 1;
        bool is_next_fatal = strncmp(path, "/spent ", 7) == 0;
        if (c->is_spent || !answer(c, path))
            break;
        c->is_spent = is_next_fatal;
        memmove(c->in, c->in + c->request_len, c->len - c->request_len);
        c->len -= c->request_len;
    }
    close(c->fd);
    atomic_fetch_sub(&c->server->open, 1);
    hf_free(c->in);
    hf_free(c);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct hf_testserver *s = arg;
    int fd;
    while ((fd = accept(s->fd, NULL, NULL)) >= 0 && !atomic_load(&s->is_stopping)) {
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        struct conn *c = hf_calloc(1, sizeof(*c));
        c->server = s;
        c->fd = fd;
        c->in = hf_malloc(REQUEST_MAX + 1);
        atomic_fetch_add(&s->conns, 1);
        atomic_fetch_add(&s->open, 1);
        pthread_t th;
        hf_assert(pthread_create(&th, NULL, serve, c) == 0);
        pthread_detach(th);
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

void hf_testserver_start(struct hf_testserver *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    *s = (struct hf_testserver){0};
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    hf_assert(s->fd >= 0 && bind(s->fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    hf_assert(listen(s->fd, 128) == 0);
    hf_assert(getsockname(s->fd, (struct sockaddr *)&a, &len) == 0);
    s->port = ntohs(a.sin_port);
    pthread_t th;
    hf_assert(pthread_create(&th, NULL, accept_all, s) == 0);
    s->thread = (unsigned long)th;
}

/* Connections end when their clients go: stop after the client is freed. */
void hf_testserver_stop(struct hf_testserver *s)
{
    atomic_store(&s->is_stopping, true);
    shutdown(s->fd, SHUT_RDWR);
    pthread_join((pthread_t)s->thread, NULL);
    close(s->fd);
    while (atomic_load(&s->open) > 0)
        hf_clock_sleep_us(1000);
}
