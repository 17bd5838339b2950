#include "store/s3_auth.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "codec/digest.h"
#include "codec/httpdate.h"
#include "codec/httpurl.h"
#include "os/file.h"
#include "store/backend.h"

enum { SKEW_MIN_MS = 5000, HEADER_TEXT = 8192, KEY_MAX = 4096, SSE_KEY_BYTES = 32 };

struct hf_s3_bucket {
    char *origin;    /* "https://s3.eu-west-1.amazonaws.com" */
    char *host;      /* of origin, with its port: what is signed */
    char *base_path; /* "/" or "/BUCKET/" */
    char *id;
    char *secret;
    char *token; /* of temporary credentials; NULL: none */
    char *storage_class;
    char *kms_key; /* NULL: none */
    char *sse_key; /* base64; NULL: none */
    char *sse_md5; /* base64 */
    bool is_signing_payload;
    bool wants_md5;
    bool has_batches;
    bool wants_consistent; /* Tigris: read what was just written, from anywhere */
    bool is_unverified;
    bool is_region_guessed;
    struct hf_httpstore *http;
    atomic_llong skew_ms; /* server's clock minus ours */
    struct hf_trial trial;
    pthread_mutex_t lock;
    char region[64]; /* under lock */
    unsigned refs;   /* under the list's lock */
    struct hf_s3_bucket *next;
};

static struct {
    pthread_mutex_t lock;
    struct hf_s3_bucket *first;
} buckets = {PTHREAD_MUTEX_INITIALIZER, NULL};

/* What providers want differently, by the end of the endpoint's host. */
static const struct provider {
    const char *host;
    const char *region;
    bool no_md5;
    bool no_batches;
    bool wants_consistent;
} providers[] = {
    {.host = "r2.cloudflarestorage.com", .region = "auto"},
    {.host = "fly.storage.tigris.dev", .region = "auto", .no_md5 = true, .wants_consistent = true},
    {.host = "t3.storage.dev", .region = "auto", .no_md5 = true, .wants_consistent = true},
    {.host = "storage.googleapis.com", .region = "auto", .no_batches = true},
};

/* --- requests --- */

void hf_s3_request_init(struct hf_s3_request *r, const char *method)
{
    *r = (struct hf_s3_request){.method = method};
    hf_buf_init(&r->path, HF_LIMIT_HTTP_URL);
    hf_buf_init(&r->query, HF_LIMIT_HTTP_URL);
    hf_buf_init(&r->url, HF_LIMIT_HTTP_URL);
    hf_buf_init(&r->authorization, HEADER_TEXT);
}

void hf_s3_request_deinit(struct hf_s3_request *r)
{
    hf_buf_deinit(&r->path);
    hf_buf_deinit(&r->query);
    hf_buf_deinit(&r->url);
    hf_buf_deinit(&r->authorization);
}

void hf_s3_request_header(struct hf_s3_request *r, const char *name, const char *value)
{
    hf_assert(r->n_headers < HF_S3_HEADERS);
    r->headers[r->n_headers++] = (struct hf_http_header){name, value};
}

/* --- settings --- */

static const char *env(const char *name)
{
    const char *v = getenv(name);
    return v != NULL && v[0] != '\0' ? v : NULL;
}

static char *copy(const char *s)
{
    return s == NULL || s[0] == '\0' ? NULL : hf_strdup(s);
}

static bool set_credentials(struct hf_s3_bucket *b, const struct hf_config_s3 *c)
{
    const char *const pairs[][2] = {
        {c->access_key_id, c->secret_access_key},
        {env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")},
        {env("LITESTREAM_ACCESS_KEY_ID"), env("LITESTREAM_SECRET_ACCESS_KEY")},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(pairs) && b->id == NULL; i++) {
        if (pairs[i][0] == NULL || pairs[i][1] == NULL)
            continue;
        b->id = hf_strdup(pairs[i][0]);
        b->secret = hf_strdup(pairs[i][1]);
        b->token = i == 1 ? copy(env("AWS_SESSION_TOKEN")) : NULL;
    }
    return b->id != NULL;
}

static bool host_ends_with(const char *host, const char *tail)
{
    size_t len = strcspn(host, ":");
    size_t n = strlen(tail);
    return len >= n && strncasecmp(host + len - n, tail, n) == 0 &&
           (len == n || host[len - n - 1] == '.');
}

static const struct provider *provider_of(const char *host)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(providers); i++) {
        if (host_ends_with(host, providers[i].host))
            return &providers[i];
    }
    return NULL;
}

static void set_region(struct hf_s3_bucket *b, const char *configured, const struct provider *p)
{
    const char *region = configured;
    if (region == NULL || region[0] == '\0')
        region = p != NULL ? p->region : env("AWS_REGION");
    if (region == NULL)
        region = env("AWS_DEFAULT_REGION");
    b->is_region_guessed = region == NULL;
    snprintf(b->region, sizeof(b->region), "%s", region == NULL ? "us-east-1" : region);
}

/* arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME -> NAME-ACCOUNT.s3-accesspoint.REGION.amazonaws.com */
static enum hf_code set_access_point(struct hf_s3_bucket *b, const char *arn, struct hf_err *err)
{
    char region[32];
    char account[32];
    char name[80];
    if (sscanf(arn, "arn:%*[^:]:s3:%31[^:]:%31[^:]:accesspoint/%79[^/]", region, account, name) !=
        3)
        return hf_err_set(err, HF_E_INVALID, "'%.120s' is not the ARN of an access point", arn);
    snprintf(b->region, sizeof(b->region), "%s", region);
    b->host = hf_asprintf("%s-%s.s3-accesspoint.%s.amazonaws.com", name, account, region);
    b->origin = hf_asprintf("https://%s", b->host);
    b->base_path = hf_strdup("/");
    return HF_OK;
}

/* "https://HOST:PORT" of the endpoint; without a scheme https, but for this machine. */
static enum hf_code split_endpoint(const char *text, char **scheme, char **host, struct hf_err *err)
{
    const char *at = strstr(text, "://");
    bool is_local = strncmp(text, "localhost", 9) == 0 || strncmp(text, "127.", 4) == 0;
    *scheme =
        at == NULL ? hf_strdup(is_local ? "http" : "https") : hf_strndup(text, (size_t)(at - text));
    const char *h = at == NULL ? text : at + 3;
    size_t len = strcspn(h, "/");
    *host = hf_strndup(h, len);
    bool is_http = strcasecmp(*scheme, "http") == 0 || strcasecmp(*scheme, "https") == 0;
    if (is_http && len > 0 && strpbrk(*host, "?#@ ") == NULL &&
        (h[len] == '\0' || h[len + 1] == '\0'))
        return HF_OK;
    hf_err_set(err, HF_E_INVALID, "endpoint is not an http(s) address without a path");
    hf_err_hint(err, "it looks like https://s3.example.com:9000");
    return HF_E_INVALID;
}

static enum hf_code set_address(struct hf_s3_bucket *b, const struct hf_config_replica *conf,
                                struct hf_err *err)
{
    if (strncmp(conf->bucket, "arn:", 4) == 0)
        return set_access_point(b, conf->bucket, err);
    /* Without a region: the name that leads to a bucket of any; the answer tells which it is. */
    HF_AUTO_FREE char *usual = b->is_region_guessed
                                   ? hf_strdup("https://s3.amazonaws.com")
                                   : hf_asprintf("https://s3.%s.amazonaws.com", b->region);
    HF_AUTO_FREE char *scheme = NULL;
    HF_AUTO_FREE char *host = NULL;
    const char *endpoint = conf->endpoint != NULL && conf->endpoint[0] ? conf->endpoint : usual;
    HF_TRY(split_endpoint(endpoint, &scheme, &host, err));
    /* A certificate for *.HOST does not cover a bucket with dots. */
    bool is_tls = strcasecmp(scheme, "https") == 0;
    bool is_path = conf->s3.force_path_style || (is_tls && strchr(conf->bucket, '.') != NULL);
    struct hf_buf path;
    hf_buf_init(&path, 1024);
    enum hf_code rc = hf_buf_append(&path, "/", 1, err);
    if (rc == HF_OK && is_path)
        rc = hf_url_escape(&path, conf->bucket, false, err);
    if (rc == HF_OK && is_path)
        rc = hf_buf_append(&path, "/", 1, err);
    b->base_path = hf_strdup(hf_buf_str(&path));
    hf_buf_deinit(&path);
    b->host = is_path ? hf_strdup(host) : hf_asprintf("%s.%s", conf->bucket, host);
    b->origin = hf_asprintf("%s://%s", scheme, b->host);
    return rc;
}

static enum hf_code set_customer_key(struct hf_s3_bucket *b, const struct hf_config_s3 *c,
                                     struct hf_err *err)
{
    HF_AUTO_FREE char *text = copy(c->sse_customer_key);
    size_t len = 0;
    if (text == NULL && c->sse_customer_key_path != NULL)
        HF_TRY(hf_path_read(c->sse_customer_key_path, KEY_MAX, &text, &len, err));
    if (text == NULL)
        return HF_OK;
    text[strcspn(text, "\r\n")] = '\0';
    struct hf_buf key;
    struct hf_buf md5;
    uint8_t sum[HF_MD5_BYTES];
    hf_buf_init(&key, KEY_MAX);
    hf_buf_init(&md5, 64);
    enum hf_code rc = hf_base64_decode(&key, text, strlen(text), NULL);
    if (rc != HF_OK || key.len != SSE_KEY_BYTES)
        rc = hf_err_set(err, HF_E_INVALID, "sse-customer-key is not %d bytes in base64",
                        SSE_KEY_BYTES);
    if (rc == HF_OK) {
        hf_md5(key.data, key.len, sum);
        rc = hf_base64_encode(&md5, sum, sizeof(sum), err);
        b->sse_key = hf_strdup(text);
        b->sse_md5 = hf_strdup(hf_buf_str(&md5));
    }
    hf_wipe(text, strlen(text));
    hf_buf_deinit(&key);
    hf_buf_deinit(&md5);
    return rc;
}

static enum hf_code configure(struct hf_s3_bucket *b, const struct hf_config_replica *conf,
                              struct hf_err *err)
{
    const struct hf_config_s3 *c = &conf->s3;
    const char *endpoint = conf->endpoint == NULL ? "" : conf->endpoint;
    const char *host = strstr(endpoint, "://");
    HF_AUTO_FREE char *only_host = hf_strdup(host == NULL ? endpoint : host + 3);
    only_host[strcspn(only_host, "/")] = '\0';
    const struct provider *p = provider_of(only_host);
    if (!set_credentials(b, c)) {
        hf_err_set(err, HF_E_INVALID, "no credentials for S3");
        hf_err_hint(err, "set access-key-id and secret-access-key, or AWS_ACCESS_KEY_ID and "
                         "AWS_SECRET_ACCESS_KEY in the environment (profiles and instance roles "
                         "are not read)");
        return HF_E_INVALID;
    }
    set_region(b, c->region, p);
    HF_TRY(set_address(b, conf, err));
    bool is_tls = strncasecmp(b->origin, "https", 5) == 0;
    b->is_signing_payload = c->sign_payload || !is_tls;
    b->wants_md5 = c->require_content_md5 && !(p != NULL && p->no_md5);
    b->has_batches = !(p != NULL && p->no_batches);
    b->wants_consistent = p != NULL && p->wants_consistent;
    b->storage_class = copy(c->storage_class);
    b->kms_key = copy(c->sse_kms_key_id);
    b->is_unverified = c->skip_verify;
    HF_TRY(set_customer_key(b, c, err));
    if (b->sse_key != NULL && !is_tls)
        return hf_err_set(err, HF_E_INVALID, "sse-customer-key is only sent over https");
    struct hf_tls_opts tls = {.is_unverified = b->is_unverified};
    return hf_httpstore_get(&tls, &b->http, err);
}

/* --- sharing --- */

static void free_secret(char *text)
{
    if (text != NULL)
        hf_wipe(text, strlen(text));
    hf_free(text);
}

static void destroy(struct hf_s3_bucket *b)
{
    hf_httpstore_put(b->http);
    free_secret(b->secret);
    free_secret(b->token);
    free_secret(b->sse_key);
    char *const texts[] = {b->origin,        b->host,    b->base_path, b->id,
                           b->storage_class, b->kms_key, b->sse_md5};
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++)
        hf_free(texts[i]);
    pthread_mutex_destroy(&b->lock);
    hf_trial_deinit(&b->trial);
    hf_free(b);
}

static bool is_same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool is_same(const struct hf_s3_bucket *a, const struct hf_s3_bucket *b)
{
    const char *const pairs[][2] = {
        {a->origin, b->origin},   {a->base_path, b->base_path},
        {a->id, b->id},           {a->secret, b->secret},
        {a->token, b->token},     {a->storage_class, b->storage_class},
        {a->kms_key, b->kms_key}, {a->sse_key, b->sse_key},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(pairs); i++) {
        if (!is_same_text(pairs[i][0], pairs[i][1]))
            return false;
    }
    return a->is_signing_payload == b->is_signing_payload && a->wants_md5 == b->wants_md5 &&
           a->is_unverified == b->is_unverified;
}

enum hf_code hf_s3_bucket_get(const struct hf_config_replica *conf, struct hf_s3_bucket **out,
                              struct hf_err *err)
{
    hf_assert(conf->type == HF_REPLICA_S3 && conf->bucket != NULL);
    struct hf_s3_bucket *b = hf_calloc(1, sizeof(*b));
    pthread_mutex_init(&b->lock, NULL);
    hf_trial_init(&b->trial);
    enum hf_code rc = configure(b, conf, err);
    if (rc != HF_OK) {
        destroy(b);
        return rc;
    }
    pthread_mutex_lock(&buckets.lock);
    struct hf_s3_bucket *old = buckets.first;
    while (old != NULL && !is_same(old, b))
        old = old->next;
    if (old != NULL) {
        old->refs++;
    } else {
        b->refs = 1;
        b->next = buckets.first;
        buckets.first = b;
    }
    pthread_mutex_unlock(&buckets.lock);
    if (old != NULL)
        destroy(b);
    *out = old != NULL ? old : b;
    return HF_OK;
}

void hf_s3_bucket_put(struct hf_s3_bucket *b)
{
    if (b == NULL)
        return;
    pthread_mutex_lock(&buckets.lock);
    bool is_last = --b->refs == 0;
    struct hf_s3_bucket **p = &buckets.first;
    while (is_last && *p != b)
        p = &(*p)->next;
    if (is_last)
        *p = b->next;
    pthread_mutex_unlock(&buckets.lock);
    if (is_last)
        destroy(b);
}

struct hf_httpstore *hf_s3_http(struct hf_s3_bucket *b)
{
    return b->http;
}

const char *hf_s3_base_path(const struct hf_s3_bucket *b)
{
    return b->base_path;
}

bool hf_s3_wants_md5(const struct hf_s3_bucket *b)
{
    return b->wants_md5;
}

bool hf_s3_has_batches(const struct hf_s3_bucket *b)
{
    return b->has_batches;
}

struct hf_trial *hf_s3_trial(struct hf_s3_bucket *b)
{
    return &b->trial;
}

void hf_s3_add_encryption(const struct hf_s3_bucket *b, struct hf_s3_request *r, bool is_put)
{
    if (b->sse_key != NULL) {
        hf_s3_request_header(r, "x-amz-server-side-encryption-customer-algorithm", "AES256");
        hf_s3_request_header(r, "x-amz-server-side-encryption-customer-key", b->sse_key);
        hf_s3_request_header(r, "x-amz-server-side-encryption-customer-key-MD5", b->sse_md5);
    } else if (b->kms_key != NULL && is_put) {
        hf_s3_request_header(r, "x-amz-server-side-encryption", "aws:kms");
        hf_s3_request_header(r, "x-amz-server-side-encryption-aws-kms-key-id", b->kms_key);
    }
    if (b->storage_class != NULL && is_put)
        hf_s3_request_header(r, "x-amz-storage-class", b->storage_class);
}

/* --- one try --- */

static enum hf_code sign(struct hf_s3_bucket *b, struct hf_s3_request *r, struct hf_err *err)
{
    struct hf_sigv4_key key = {b->id, b->secret, r->region, "s3"};
    struct hf_sigv4_request s = {
        .method = r->method,
        .path = hf_buf_str(&r->path),
        .query = hf_buf_str(&r->query),
        .headers = r->headers,
        .n_headers = r->n_headers,
        .payload_hash = r->hash,
        .time = r->time,
    };
    return hf_sigv4_sign(&key, &s, &r->authorization, err);
}

enum hf_code hf_s3_authorize(struct hf_s3_bucket *b, struct hf_s3_request *r,
                             struct hf_http_request *out, struct hf_err *err)
{
    r->n_headers -= r->n_own; /* of the try before */
    r->n_own = 0;
    hf_buf_reset(&r->url);
    hf_buf_reset(&r->authorization);
    size_t before = r->n_headers;
    hf_sigv4_time(hf_clock_wall_ms() + atomic_load(&b->skew_ms), r->time);
    if (b->is_signing_payload)
        hf_sigv4_payload_hash(r->body, r->body_len, r->hash);
    else
        snprintf(r->hash, sizeof(r->hash), "%s", HF_SIGV4_UNSIGNED);
    pthread_mutex_lock(&b->lock);
    memcpy(r->region, b->region, sizeof(r->region));
    pthread_mutex_unlock(&b->lock);
    hf_s3_request_header(r, "Host", b->host);
    hf_s3_request_header(r, "x-amz-date", r->time);
    hf_s3_request_header(r, "x-amz-content-sha256", r->hash);
    if (b->token != NULL)
        hf_s3_request_header(r, "x-amz-security-token", b->token);
    if (b->wants_consistent)
        hf_s3_request_header(r, "X-Tigris-Consistent", "true");
    enum hf_code rc = sign(b, r, err);
    if (rc == HF_OK)
        hf_s3_request_header(r, "Authorization", hf_buf_str(&r->authorization));
    r->n_own = r->n_headers - before;
    HF_TRY(rc);
    HF_TRY(hf_buf_appendf(&r->url, err, "%s%s%s%s", b->origin, hf_buf_str(&r->path),
                          r->query.len > 0 ? "?" : "", hf_buf_str(&r->query)));
    *out = (struct hf_http_request){
        .method = r->method,
        .url = hf_buf_str(&r->url),
        .headers = r->headers,
        .n_headers = r->n_headers,
        .body = r->body,
        .body_len = r->body_len,
    };
    return HF_OK;
}

static bool learn_clock(struct hf_s3_bucket *b, const struct hf_http_head *head)
{
    int64_t theirs = 0;
    const char *date = hf_http_head_get(head, "Date");
    if (date == NULL || hf_http_date_parse(date, &theirs, NULL) != HF_OK)
        return false;
    int64_t skew = theirs - hf_clock_wall_ms();
    int64_t old = atomic_load(&b->skew_ms);
    bool is_new = skew > old + SKEW_MIN_MS || skew < old - SKEW_MIN_MS;
    if (is_new)
        atomic_store(&b->skew_ms, skew);
    return is_new;
}

bool hf_s3_learn(struct hf_s3_bucket *b, const struct hf_http_head *head, const char *code,
                 const char *region)
{
    bool is_new_clock = learn_clock(b, head);
    if (head->status == 403 && (strcmp(code, "RequestTimeTooSkewed") == 0 || code[0] == '\0' ||
                                strcmp(code, "RequestExpired") == 0))
        return is_new_clock;
    if (head->status != 301 && head->status != 307 && head->status != 400)
        return false;
    const char *named = hf_http_head_get(head, "x-amz-bucket-region");
    named = named != NULL ? named : region;
    pthread_mutex_lock(&b->lock);
    bool is_new = named[0] != '\0' && strcmp(named, b->region) != 0;
    if (is_new)
        snprintf(b->region, sizeof(b->region), "%s", named);
    pthread_mutex_unlock(&b->lock);
    return is_new;
}
