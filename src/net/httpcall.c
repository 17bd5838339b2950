/*
 * One request as libcurl sees it: options in, callbacks out, results into our codes.
 */
#include <ctype.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/httpclient_int.h"

enum { CONNECT_MS = 10000, RECV_BUFFER = 64 << 10, SEND_BUFFER = 64 << 10, DEAD_PEER_MS = 30000 };

const char *hf_http_head_get(const struct hf_http_head *head, const char *name)
{
    for (size_t i = 0; i < head->n_headers; i++) {
        if (strcasecmp(head->headers[i].name, name) == 0)
            return head->headers[i].value;
    }
    return NULL;
}

/* --- callbacks --- */

static size_t on_write(char *data, size_t size, size_t n, void *arg)
{
    struct hf_http_call *call = arg;
    hf_assert_magic(call, HF_HTTP_CALL_MAGIC);
    size_t len = size * n;
    if (atomic_load(&call->is_canceled))
        return CURL_WRITEFUNC_ERROR;
    call->last_ms = hf_clock_mono_ms();
    enum hf_http_flow flow = HF_HTTP_GO;
    if (call->events.on_body != NULL)
        flow = call->events.on_body(call->arg, (const uint8_t *)data, len);
    if (flow == HF_HTTP_PAUSE) {
        call->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (flow == HF_HTTP_STOP) {
        hf_err_set(&call->failed, HF_E_CANCELED, "%s: stopped by its reader", call->where);
        return CURL_WRITEFUNC_ERROR;
    }
    call->received += len;
    return len;
}

static size_t on_read(char *buf, size_t size, size_t n, void *arg)
{
    struct hf_http_call *call = arg;
    hf_assert_magic(call, HF_HTTP_CALL_MAGIC);
    if (atomic_load(&call->is_canceled))
        return CURL_READFUNC_ABORT;
    size_t got = 0;
    enum hf_http_flow flow = call->events.on_send(call->arg, (uint8_t *)buf, size * n, &got);
    hf_assert(got <= size * n);
    if (flow == HF_HTTP_PAUSE) {
        call->is_paused = true;
        return CURL_READFUNC_PAUSE;
    }
    if (flow == HF_HTTP_STOP) {
        hf_err_set(&call->failed, HF_E_CANCELED, "%s: stopped by its sender", call->where);
        return CURL_READFUNC_ABORT;
    }
    call->last_ms = hf_clock_mono_ms();
    return got;
}

static void add_header(struct hf_http_call *call, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    if (colon == NULL)
        return; /* libcurl has looked at it already: nothing we could use */
    if (call->head.n_headers == call->headers_cap) {
        size_t cap = call->headers_cap ? call->headers_cap * 2 : 16;
        struct hf_http_header *more = hf_arena_alloc(call->arena, cap, sizeof(*more));
        if (call->head.n_headers > 0)
            memcpy(more, call->headers, call->head.n_headers * sizeof(*more));
        call->headers = more;
        call->headers_cap = cap;
        call->head.headers = more;
    }
    const char *value = colon + 1;
    const char *end = line + len;
    while (value < end && isspace((unsigned char)*value))
        value++;
    while (end > value && isspace((unsigned char)end[-1]))
        end--;
    call->headers[call->head.n_headers++] = (struct hf_http_header){
        hf_arena_strndup(call->arena, line, (size_t)(colon - line)),
        hf_arena_strndup(call->arena, value, (size_t)(end - value)),
    };
}

/* Gets every header line, those of 1xx responses and trailers too. */
static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
    struct hf_http_call *call = arg;
    hf_assert_magic(call, HF_HTTP_CALL_MAGIC);
    size_t len = size * n;
    call->last_ms = hf_clock_mono_ms();
    if (call->has_head)
        return len; /* a trailer */
    call->head_bytes += len;
    if (call->head_bytes > HF_LIMIT_HTTP_HEAD) {
        hf_err_set(&call->failed, HF_E_LIMIT, "%s: response headers above %d KiB", call->where,
                   HF_LIMIT_HTTP_HEAD / 1024);
        return 0;
    }
    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        call->head.n_headers = 0;
        return len;
    }
    if (len > 2) {
        add_header(call, data, len);
        return len;
    }
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200)
        return len;
    call->head.status = (int)status;
    call->has_head = true;
    if (call->events.on_head != NULL)
        call->events.on_head(call->arg, &call->head);
    return len;
}

/* Before each sending of the request: the second time is a repetition that nobody asked for. */
static int on_send_soon(void *arg, char *ip, char *own_ip, int port, int own_port)
{
    struct hf_http_call *call = arg;
    (void)ip;
    (void)own_ip;
    (void)port;
    (void)own_port;
    hf_assert_magic(call, HF_HTTP_CALL_MAGIC);
    return ++call->n_sends == 1 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    (void)arg;
    (void)purpose;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* children must not keep our connections open */
#if defined(TCP_USER_TIMEOUT)
    unsigned ms = DEAD_PEER_MS; /* a peer that vanished while we send */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
#endif
    return CURL_SOCKOPT_OK;
}

/* --- setting up --- */

static bool is_token(const char *s)
{
    if (*s == '\0')
        return false;
    for (; *s; s++) {
        if (!isalnum((unsigned char)*s) && strchr("!#$%&'*+-.^_`|~", *s) == NULL)
            return false;
    }
    return true;
}

/* Visible text, blanks, tabs and bytes above ASCII; a line break would be a header of its own. */
static bool is_value(const char *s)
{
    for (; *s; s++) {
        if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
            return false;
    }
    return true;
}

static enum hf_code check_url(const char *url, struct hf_err *err)
{
    bool is_http = strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
    if (!is_http)
        return hf_err_set(err, HF_E_INVALID, "URL must begin with http:// or https://");
    if (strlen(url) > HF_LIMIT_HTTP_URL)
        return hf_err_set(err, HF_E_LIMIT, "URL longer than %d bytes", HF_LIMIT_HTTP_URL);
    for (const char *p = url; *p; p++) {
        if ((unsigned char)*p <= 0x20 || *p == 0x7f)
            return hf_err_set(err, HF_E_INVALID, "URL holds a blank or control character");
    }
    return HF_OK;
}

/* "PUT https://host:port" without user, path and query. */
static char *describe(const char *method, const char *url)
{
    const char *host = strstr(url, "://") + 3;
    size_t len = strcspn(host, "/?#");
    const char *at = memchr(host, '@', len);
    if (at != NULL) {
        len -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    return hf_asprintf("%s %.*s%.*s", method, (int)(strstr(url, "://") + 3 - url), url, (int)len,
                       host);
}

static enum hf_code add_line(struct hf_http_call *call, const char *name, const char *value,
                             struct hf_err *err)
{
    if (!is_token(name) || !is_value(value))
        return hf_err_set(err, HF_E_INVALID,
                          "%s: header '%s' holds a character that is not allowed", call->where,
                          is_token(name) ? name : "?");
    /* libcurl's way to say an empty value; "Name:" would remove the header. */
    HF_AUTO_FREE char *line = value[0] ? hf_concat(name, ": ", value) : hf_concat(name, ";", "");
    call->lines = curl_slist_append(call->lines, line);
    hf_assert(call->lines != NULL);
    return HF_OK;
}

static enum hf_code set_headers(struct hf_http_call *call, const struct hf_http_request *req,
                                struct hf_err *err)
{
    static const char *const off[] = {"Expect:", "Accept:"};
    bool has_type = false;
    bool has_accept = false;
    for (size_t i = 0; i < req->n_headers; i++) {
        HF_TRY(add_line(call, req->headers[i].name, req->headers[i].value, err));
        has_type |= strcasecmp(req->headers[i].name, "Content-Type") == 0;
        has_accept |= strcasecmp(req->headers[i].name, "Accept") == 0;
    }
    for (size_t i = 0; i < (has_accept ? 1u : 2u); i++)
        call->lines = curl_slist_append(call->lines, off[i]);
    if (!has_type) /* or libcurl calls a body a form */
        call->lines = curl_slist_append(call->lines, "Content-Type:");
    hf_assert(call->lines != NULL);
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->lines);
    return HF_OK;
}

/* The handle may have been another method's before. */
static void set_body(CURL *e, const struct hf_http_request *req)
{
    bool has_body = req->is_streamed || req->body_len > 0 || strcmp(req->method, "PUT") == 0 ||
                    strcmp(req->method, "POST") == 0;
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, NULL); /* makes it a POST: first */
    curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, NULL);
    curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)-1);
    if (strcmp(req->method, "HEAD") == 0) {
        curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
        return;
    }
    if (req->is_streamed) {
        curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)req->stream_len);
    } else if (has_body) {
        /* In memory: leaves in one piece with the head. */
        curl_easy_setopt(e, CURLOPT_POST, 1L);
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, req->body_len ? req->body : "");
    }
    if (has_body ? strcmp(req->method, "POST") != 0 || req->is_streamed
                 : strcmp(req->method, "GET") != 0)
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, req->method);
}

static void set_tls(CURL *e, const struct hf_tls_opts *tls)
{
    curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (tls->ca_file != NULL)
        curl_easy_setopt(e, CURLOPT_CAINFO, tls->ca_file);
    if (tls->cert_file != NULL)
        curl_easy_setopt(e, CURLOPT_SSLCERT, tls->cert_file);
    if (tls->key_file != NULL)
        curl_easy_setopt(e, CURLOPT_SSLKEY, tls->key_file);
    if (tls->is_unverified) {
        curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

/* What is the same for each call of a client. */
void hf_http_easy_set(CURL *e, const struct hf_http_client_opts *o)
{
    set_tls(e, &o->tls);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION,
                     (long)(o->use_http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    if (!o->use_env_proxy)
        curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "holdfast/" HF_VERSION);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, 15L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, 5L);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)(o->recv_buffer ? o->recv_buffer : RECV_BUFFER));
    curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE,
                     (long)(o->send_buffer ? o->send_buffer : SEND_BUFFER));
    curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, on_socket);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_send_soon);
}

static void set_call(struct hf_http_call *call, const struct hf_http_request *req)
{
    CURL *e = call->easy;
    const struct hf_http_deadlines *d = &req->deadlines;
    curl_easy_setopt(e, CURLOPT_PRIVATE, call);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, call->curl_text);
    curl_easy_setopt(e, CURLOPT_URL, req->url);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(d->connect_ms ? d->connect_ms : CONNECT_MS));
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, d->slow_s > 0 ? (long)d->slow_bytes_s : 0L);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)d->slow_s);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(e, CURLOPT_READDATA, call);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, call);
}

enum hf_code hf_http_call_new(struct hf_http_client *c, const struct hf_http_request *req,
                              struct hf_http_call **out, struct hf_err *err)
{
    HF_TRY(check_url(req->url, err));
    if (!is_token(req->method))
        return hf_err_set(err, HF_E_INVALID, "'%s' is not an HTTP method", req->method);
    struct hf_http_call *call = hf_calloc(1, sizeof(*call));
    call->magic = HF_HTTP_CALL_MAGIC;
    atomic_init(&call->refs, 1);
    atomic_init(&call->is_canceled, false);
    call->client = c;
    call->arena = hf_arena_new(1024);
    call->where = describe(req->method, req->url);
    call->deadlines = req->deadlines;
    call->easy = hf_http_easy_take(c);
    enum hf_code rc = set_headers(call, req, err);
    if (rc != HF_OK) {
        hf_http_call_unref(call);
        return rc;
    }
    set_call(call, req);
    set_body(call->easy, req);
    *out = call;
    return HF_OK;
}

void hf_http_call_unref(struct hf_http_call *call)
{
    hf_assert_magic(call, HF_HTTP_CALL_MAGIC);
    if (atomic_fetch_sub(&call->refs, 1) > 1)
        return;
    if (call->easy != NULL) /* never started; a call that ends gives it back at once */
        curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->lines);
    hf_arena_free(call->arena);
    hf_free(call->where);
    call->magic = 0;
    hf_free(call);
}

void hf_http_call_free(struct hf_http_call *call)
{
    if (call != NULL)
        hf_http_call_unref(call);
}

/* --- the end --- */

static bool is_late(uint64_t since_ms, uint64_t now_ms, uint32_t limit_ms)
{
    return limit_ms > 0 && now_ms >= since_ms + limit_ms;
}

bool hf_http_call_is_late(struct hf_http_call *call, uint64_t now_ms)
{
    const struct hf_http_deadlines *d = &call->deadlines;
    const char *what = NULL;
    uint32_t ms = 0;
    if (is_late(call->start_ms, now_ms, d->total_ms)) {
        what = "not finished";
        ms = d->total_ms;
    } else if (!call->has_head && is_late(call->start_ms, now_ms, d->first_byte_ms)) {
        what = "no answer";
        ms = d->first_byte_ms;
    } else if (!call->is_paused && is_late(call->last_ms, now_ms, d->idle_ms)) {
        /* A body in memory goes out without a callback: ask. */
        curl_off_t sent = 0;
        curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
        if (sent != call->sent) {
            call->sent = sent;
            call->last_ms = now_ms;
            return false;
        }
        what = "nothing moved";
        ms = d->idle_ms;
    }
    if (what == NULL)
        return false;
    hf_err_set(&call->failed, HF_E_TIMEOUT, "%s: %s within %u ms", call->where, what, ms);
    return true;
}

static uint64_t earlier(uint64_t due_ms, uint64_t since_ms, uint32_t limit_ms)
{
    return limit_ms > 0 && since_ms + limit_ms < due_ms ? since_ms + limit_ms : due_ms;
}

uint64_t hf_http_call_due_ms(const struct hf_http_call *call)
{
    const struct hf_http_deadlines *d = &call->deadlines;
    uint64_t due_ms = earlier(UINT64_MAX, call->start_ms, d->total_ms);
    due_ms = call->has_head ? due_ms : earlier(due_ms, call->start_ms, d->first_byte_ms);
    /* A call that is paused or moves has its deadline later: looked at once in vain. */
    return earlier(due_ms, call->last_ms, d->idle_ms);
}

static enum hf_code code_of(CURLcode rc)
{
    switch (rc) {
    case CURLE_OPERATION_TIMEDOUT:
        return HF_E_TIMEOUT;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return HF_E_INVALID;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return HF_E_DENIED;
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        return HF_E_INVALID;
    default:
        return HF_E_IO;
    }
}

/* "Failed to connect to HOST after 7 ms": who tells failures apart by their text would find each
 * another one. */
static void drop_duration(char *text)
{
    static const char *const units[] = {" milliseconds", " ms"};
    char *at = strstr(text, " after ");
    if (at == NULL)
        return;
    char *end = at + 7 + strspn(at + 7, "0123456789");
    for (size_t i = 0; i < HF_ARRAY_LEN(units) && end > at + 7; i++) {
        size_t n = strlen(units[i]);
        if (strncmp(end, units[i], n) == 0) {
            memmove(at, end + n, strlen(end + n) + 1);
            return;
        }
    }
}

static void describe_failure(struct hf_http_call *call, CURLcode rc, struct hf_err *err)
{
    drop_duration(call->curl_text);
    const char *text = call->curl_text[0] ? call->curl_text : curl_easy_strerror(rc);
    if (call->n_sends > 1)
        text = "the kept connection was closed before an answer";
    hf_err_set(err, code_of(rc), "%s: %s", call->where, text);
    if (err->code == HF_E_DENIED)
        hf_err_hint(err, "the server's certificate is not trusted: name the authority's file");
}

void hf_http_call_result(struct hf_http_call *call, CURLcode rc, struct hf_http_result *out,
                         struct hf_err *err)
{
    curl_off_t first_us = 0;
    curl_off_t total_us = 0;
    curl_easy_getinfo(call->easy, CURLINFO_STARTTRANSFER_TIME_T, &first_us);
    curl_easy_getinfo(call->easy, CURLINFO_TOTAL_TIME_T, &total_us);
    if (atomic_load(&call->is_canceled) && call->failed.code == HF_OK && rc != CURLE_OK)
        hf_err_set(err, HF_E_CANCELED, "%s: canceled", call->where);
    else if (call->failed.code != HF_OK)
        *err = call->failed;
    else if (rc != CURLE_OK)
        describe_failure(call, rc, err);
    *out = (struct hf_http_result){
        .code = err->code,
        .err = err,
        .status = call->head.status,
        .was_sent = call->n_sends > 0,
        .is_stale = call->n_sends > 1,
        .is_tls_refused = err->code == HF_E_DENIED,
        .first_byte_us = call->has_head ? (uint64_t)first_us : 0,
        .total_us = (uint64_t)total_us,
        .received_bytes = call->received,
    };
}
