#include <netdb.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/parse.h"
#include "net/httpserver_int.h"

enum {
    ARENA_BYTES = 2048,
    BODY_FIRST = 4096,       /* grows by doubling; a length that was announced is trusted up to */
    BODY_TRUSTED = 64 << 10, /* so much: mapped, and not touched before it comes */
    DISCARD_FACTOR = 2,
    EDIT_SLACK = 128,
    HEAD_LINE = 64,       /* what libmicrohttpd keeps beside the text of a header */
    HEAD_ANSWER = 2 << 10 /* of the connection's memory, for the head of the answer */
};

/* ---- life ---- */

static void free_body(struct hf_httpd_call *c)
{
    if (c->body_cap > 0)
        atomic_fetch_sub(&c->server->bodies, c->body_cap);
    hf_free(c->body);
    c->body = NULL;
    c->body_len = 0;
    c->body_cap = 0;
}

void hf_httpd_call_release(struct hf_httpd_call *c)
{
    bool is_last = --c->refs == 0;
    pthread_mutex_unlock(&c->lock);
    if (!is_last)
        return;
    struct hf_httpd *s = c->server;
    hf_assert(!c->is_listed && c->conn == NULL);
    if (c->response != NULL)
        MHD_destroy_response(c->response);
    free_body(c);
    hf_buf_deinit(&c->queue);
    pthread_mutex_destroy(&c->lock);
    c->magic = 0;
    hf_arena_free(c->arena);
    hf_free(c);
    hf_httpd_forget(s);
}

void hf_httpd_call_wake(struct hf_httpd_call *c)
{
    if (!c->is_asleep)
        return;
    c->is_asleep = false;
    MHD_resume_connection(c->conn);
    hf_httpd_note_due(c->server);
}

/* With the call locked. */
static void note_gone(struct hf_httpd_call *c)
{
    bool must_tell = !c->is_gone && c->is_handed && !c->is_finished;
    c->is_gone = true;
    if (must_tell && c->server->o.on_gone != NULL)
        c->server->o.on_gone(c->server->o.arg, c);
}

void hf_httpd_call_set_gone(struct hf_httpd_call *c)
{
    pthread_mutex_lock(&c->lock);
    if (c->conn != NULL) {
        /* In the middle of a body libmicrohttpd reads on, but if the end came together with the
         * last bytes it is told of no event: this makes one. */
        if (!c->is_gone && !c->is_handed)
            (void)shutdown(c->fd, SHUT_RD);
        note_gone(c);
        hf_httpd_call_wake(c);
    }
    hf_httpd_call_release(c);
}

void hf_httpd_on_completed(void *cls, struct MHD_Connection *conn, void **slot,
                           enum MHD_RequestTerminationCode toe)
{
    struct hf_httpd_call *c = *slot;
    (void)conn;
    (void)toe;
    hf_httpd_note_step(cls);
    if (c == NULL)
        return;
    *slot = NULL;
    hf_assert_magic(c, HF_HTTPD_CALL_MAGIC);
    hf_httpd_unlist(c->server, c);
    pthread_mutex_lock(&c->lock);
    note_gone(c);
    c->conn = NULL;
    c->is_asleep = false;
    hf_httpd_call_release(c);
}

/* ---- reading the request ---- */

static enum MHD_Result count_value(void *cls, enum MHD_ValueKind kind, const char *key,
                                   const char *value)
{
    size_t *n = cls;
    (void)kind;
    (void)key;
    (void)value;
    (*n)++;
    return MHD_YES;
}

struct fill {
    struct hf_arena *arena;
    struct hf_http_header *out;
    size_t n;
    size_t cap;
};

static enum MHD_Result fill_value(void *cls, enum MHD_ValueKind kind, const char *key,
                                  const char *value)
{
    struct fill *f = cls;
    (void)kind;
    if (f->n == f->cap)
        return MHD_NO;
    f->out[f->n++] = (struct hf_http_header){hf_arena_strdup(f->arena, key),
                                             hf_arena_strdup(f->arena, value == NULL ? "" : value)};
    return MHD_YES;
}

static size_t copy_values(struct hf_httpd_call *c, enum MHD_ValueKind kind,
                          struct hf_http_header **out)
{
    size_t n = 0;
    MHD_get_connection_values(c->conn, kind, count_value, &n);
    struct fill f = {.arena = c->arena, .cap = n < HF_HTTPD_HEADERS ? n : HF_HTTPD_HEADERS};
    if (f.cap == 0)
        return 0;
    f.out = hf_arena_alloc(c->arena, f.cap, sizeof(*f.out));
    MHD_get_connection_values(c->conn, kind, fill_value, &f);
    *out = f.out;
    return f.n;
}

static const char *peer_text(struct hf_httpd_call *c)
{
    char host[NI_MAXHOST];
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info == NULL || info->client_addr == NULL)
        return "unix";
    const struct sockaddr *sa = info->client_addr;
    socklen_t len =
        sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)
        return "unix";
    if (getnameinfo(sa, len, host, sizeof(host), NULL, 0, NI_NUMERICHOST) != 0)
        return "?";
    return hf_arena_strdup(c->arena, host);
}

static void read_length(struct hf_httpd_call *c)
{
    int64_t length = 0;
    const char *text = hf_httpd_call_header(c, "Content-Length");
    c->body_expected = SIZE_MAX;
    if (text == NULL || hf_parse_i64(text, 0, INT64_MAX, &length, NULL) != HF_OK)
        return;
    c->body_expected = (size_t)length;
    if (c->body_expected > c->server->o.max_body_bytes)
        c->refused = HF_E_LIMIT;
}

static struct hf_httpd_call *new_call(struct hf_httpd *s, struct MHD_Connection *conn,
                                      const char *url, const char *method)
{
    struct hf_httpd_call *c = hf_calloc(1, sizeof(*c));
    c->magic = HF_HTTPD_CALL_MAGIC;
    c->server = s;
    c->conn = conn;
    c->refs = 1;
    c->arena = hf_arena_new(ARENA_BYTES);
    c->method = hf_arena_strdup(c->arena, method);
    c->path = hf_arena_strdup(c->arena, url);
    c->n_headers = copy_values(c, MHD_HEADER_KIND, &c->headers);
    c->n_args = copy_values(c, MHD_GET_ARGUMENT_KIND, &c->args);
    c->peer = peer_text(c);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    c->fd = info == NULL ? -1 : info->connect_fd;
    pthread_mutex_init(&c->lock, NULL);
    hf_buf_init(&c->queue, HF_LIMIT_HTTPD_QUEUE);
    read_length(c);
    if (atomic_load(&s->is_draining))
        c->refused = HF_E_BUSY;
    hf_httpd_list(s, c);
    return c;
}

static bool take_share(struct hf_httpd *s, size_t extra)
{
    if (atomic_fetch_add(&s->bodies, extra) + extra <= s->o.max_bodies_bytes)
        return true;
    atomic_fetch_sub(&s->bodies, extra);
    return false;
}

/* Room for len more bytes and a NUL; false when all bodies together would be too large. */
static bool grow_body(struct hf_httpd_call *c, size_t len)
{
    size_t need = c->body_len + len + 1;
    if (need <= c->body_cap)
        return true;
    size_t first = c->body_expected == SIZE_MAX ? BODY_FIRST : BODY_TRUSTED;
    size_t cap = c->body_cap == 0 ? first : c->body_cap * 2;
    if (c->body_expected != SIZE_MAX && cap > c->body_expected + 1)
        cap = c->body_expected + 1;
    cap = cap < need ? need : cap;
    if (!take_share(c->server, cap - c->body_cap)) {
        cap = need;
        if (!take_share(c->server, cap - c->body_cap))
            return false;
    }
    c->body = hf_realloc(c->body, cap, 1);
    c->body_cap = cap;
    return true;
}

/* MHD_NO: so much more than is allowed that the connection is cut. */
static enum MHD_Result take_body(struct hf_httpd_call *c, const char *data, size_t len)
{
    if (c->refused == HF_OK && c->body_len + len > c->server->o.max_body_bytes)
        c->refused = HF_E_LIMIT;
    if (c->refused == HF_OK && !grow_body(c, len))
        c->refused = HF_E_BUSY;
    if (c->refused != HF_OK) {
        /* Read and dropped: answering before the client has sent it all would lose the answer. */
        free_body(c);
        c->discarded += len;
        return c->discarded / DISCARD_FACTOR > c->server->o.max_body_bytes + HF_MIB ? MHD_NO
                                                                                    : MHD_YES;
    }
    memcpy(c->body + c->body_len, data, len);
    c->body_len += len;
    c->body[c->body_len] = '\0';
    return MHD_YES;
}

static void refuse(struct hf_httpd_call *c)
{
    static const char large[] =
        "{\"error\":\"the request body is larger than this server takes\"}\n";
    static const char busy[] = "{\"error\":\"the server is full or stopping: try again later\"}\n";
    static const struct hf_http_header retry = {"Retry-After", "5"};
    struct hf_httpd *s = c->server;
    bool is_large = c->refused == HF_E_LIMIT;
    if (s->o.on_refused != NULL) {
        s->o.on_refused(s->o.arg, c, c->refused);
        return;
    }
    struct hf_httpd_reply r = {.status = is_large ? 413 : 503,
                               .content_type = "application/json",
                               .headers = &retry,
                               .n_headers = is_large ? 0 : 1,
                               .body = is_large ? large : busy,
                               .len = is_large ? sizeof(large) - 1 : sizeof(busy) - 1};
    hf_httpd_call_reply(c, &r);
}

static void hand_over(struct hf_httpd_call *c)
{
    c->start_ns = hf_clock_mono_ns();
    pthread_mutex_lock(&c->lock);
    c->is_handed = true;
    c->refs++;
    pthread_mutex_unlock(&c->lock);
    if (c->refused != HF_OK)
        refuse(c);
    else
        c->server->o.on_request(c->server->o.arg, c);
}

static enum MHD_Result queue(struct hf_httpd_call *c, struct MHD_Response *resp, int status)
{
    enum MHD_Result rc = MHD_queue_response(c->conn, (unsigned)status, resp);
    MHD_destroy_response(resp);
    return rc;
}

/* The answer if there is one, else the connection sleeps until there is. libmicrohttpd locks a
 * response while it reads from it, so none is touched with the call locked. */
static enum MHD_Result settle(struct hf_httpd_call *c)
{
    pthread_mutex_lock(&c->lock);
    bool is_cut = c->is_gone || (c->is_aborted && !c->is_stream);
    struct MHD_Response *resp = is_cut ? NULL : c->response;
    int status = c->status;
    is_cut = is_cut || (resp == NULL && atomic_load(&c->server->is_stopping));
    if (resp != NULL)
        c->response = NULL;
    c->is_asleep = !is_cut && resp == NULL;
    if (c->is_asleep)
        MHD_suspend_connection(c->conn);
    pthread_mutex_unlock(&c->lock);
    if (resp != NULL)
        return queue(c, resp, status);
    return is_cut ? MHD_NO : MHD_YES;
}

/* What says where a request ends, and how much of the connection's memory its head takes. */
struct head {
    unsigned lengths;
    unsigned codings;
    unsigned lines;
    bool is_bad;
};

static enum MHD_Result note_line(void *cls, enum MHD_ValueKind kind, const char *key,
                                 const char *value)
{
    struct head *h = cls;
    (void)kind;
    bool is_coding = strcasecmp(key, "Transfer-Encoding") == 0;
    h->lines++;
    h->lengths += strcasecmp(key, "Content-Length") == 0;
    h->codings += is_coding;
    h->is_bad = h->is_bad || strpbrk(key, " \t") != NULL ||
                (is_coding && (value == NULL || strcasecmp(value, "chunked") != 0));
    return MHD_YES;
}

struct refusal {
    unsigned status;
    const char *text;
};

/* Two readers may find different ends of such a request, and take what follows for another one:
 * a proxy in front would let it pass unseen (RFC 9112, 6.3 and 11.2). */
static const struct refusal doubtful = {
    MHD_HTTP_BAD_REQUEST, "{\"error\":\"where this request ends is not clear: it needs one "
                          "Content-Length, or Transfer-Encoding: chunked\"}\n"};
static const struct refusal too_large = {
    MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
    "{\"error\":\"the headers of this request are larger than the 14 KiB that this server "
    "takes\"}\n"};

static const struct refusal *refusal_of(struct MHD_Connection *conn)
{
    struct head h = {.is_bad = false};
    MHD_get_connection_values(conn, MHD_HEADER_KIND, note_line, &h);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    size_t bytes = (info == NULL ? 0 : info->header_size) + (size_t)h.lines * HEAD_LINE;
    if (h.is_bad || h.lengths + h.codings > 1)
        return &doubtful;
    /* libmicrohttpd closes without a word when the answer's head does not fit beside it. */
    return bytes > HF_LIMIT_HTTPD_HEAD - HEAD_ANSWER ? &too_large : NULL;
}

/* Before the body: the connection ends with the answer. */
static enum MHD_Result refuse_head(struct MHD_Connection *conn, const struct refusal *why)
{
    const struct hf_httpd_reply r = {.body = why->text, .len = strlen(why->text)};
    struct MHD_Response *resp = hf_httpd_whole_response(&r);
    MHD_add_response_header(resp, "Content-Type", "application/json");
    MHD_add_response_header(resp, "Connection", "close");
    enum MHD_Result rc = MHD_queue_response(conn, why->status, resp);
    MHD_destroy_response(resp);
    return rc;
}

enum MHD_Result hf_httpd_on_access(void *cls, struct MHD_Connection *conn, const char *url,
                                   const char *method, const char *version, const char *data,
                                   size_t *size, void **slot)
{
    struct hf_httpd_call *c = *slot;
    (void)version;
    hf_httpd_note_step(cls);
    if (c == NULL) {
        const struct refusal *why = refusal_of(conn);
        if (why != NULL)
            return refuse_head(conn, why);
        *slot = new_call(cls, conn, url, method);
        return MHD_YES;
    }
    hf_assert_magic(c, HF_HTTPD_CALL_MAGIC);
    if (*size > 0) {
        size_t len = *size;
        *size = 0;
        return take_body(c, data, len);
    }
    if (!c->is_handed)
        hand_over(c);
    return settle(c);
}

/* ---- the request, for the application ---- */

const char *hf_httpd_call_method(const struct hf_httpd_call *c)
{
    return c->method;
}

const char *hf_httpd_call_path(const struct hf_httpd_call *c)
{
    return c->path;
}

void hf_httpd_call_set_path(struct hf_httpd_call *c, const char *path)
{
    c->path = hf_arena_strdup(c->arena, path);
}

const char *hf_httpd_call_query(const struct hf_httpd_call *c, const char *name)
{
    for (size_t i = 0; i < c->n_args; i++) {
        if (strcmp(c->args[i].name, name) == 0)
            return c->args[i].value;
    }
    return NULL;
}

const char *hf_httpd_call_header(const struct hf_httpd_call *c, const char *name)
{
    for (size_t i = 0; i < c->n_headers; i++) {
        if (strcasecmp(c->headers[i].name, name) == 0)
            return c->headers[i].value;
    }
    return NULL;
}

size_t hf_httpd_call_headers(const struct hf_httpd_call *c, const struct hf_http_header **out)
{
    *out = c->headers;
    return c->n_headers;
}

const char *hf_httpd_call_body(const struct hf_httpd_call *c, size_t *len)
{
    *len = c->body_len;
    return c->body == NULL ? "" : c->body;
}

void hf_httpd_call_edit_body(struct hf_httpd_call *c, size_t at, size_t len, const char *text,
                             size_t n)
{
    hf_assert_magic(c, HF_HTTPD_CALL_MAGIC);
    hf_assert(at + len <= c->body_len && c->body != NULL);
    size_t need = c->body_len - len + n + 1;
    if (need >
        c->body_cap) { /* a few bytes: not worth a refusal when all bodies are at the limit */
        size_t cap = need + EDIT_SLACK;
        atomic_fetch_add(&c->server->bodies, cap - c->body_cap);
        c->body = hf_realloc(c->body, cap, 1);
        c->body_cap = cap;
    }
    memmove(c->body + at + n, c->body + at + len, c->body_len - at - len);
    memcpy(c->body + at, text, n);
    c->body_len = need - 1;
    c->body[c->body_len] = '\0';
}

const char *hf_httpd_call_peer(const struct hf_httpd_call *c)
{
    return c->peer;
}

void hf_httpd_call_set_data(struct hf_httpd_call *c, void *data)
{
    c->data = data;
}

void *hf_httpd_call_data(const struct hf_httpd_call *c)
{
    return c->data;
}

uint64_t hf_httpd_call_start_ns(const struct hf_httpd_call *c)
{
    return c->start_ns;
}

bool hf_httpd_call_is_gone(struct hf_httpd_call *c)
{
    pthread_mutex_lock(&c->lock);
    bool is_gone = c->is_gone;
    pthread_mutex_unlock(&c->lock);
    return is_gone;
}

void hf_httpd_call_drop_body(struct hf_httpd_call *c)
{
    free_body(c);
}
