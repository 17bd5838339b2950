#include "store/azure_auth.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/parse.h"
#include "codec/base64.h"
#include "codec/httpdate.h"
#include "codec/sharedkey.h"
#include "os/file.h"
#include "store/azure_token.h"
#include "store/backend.h"

enum { SKEW_MIN_MS = 5000, HEADER_TEXT = 8192 };

enum kind { KIND_SAS, KIND_KEY, KIND_TOKEN };

struct hf_azure_account {
    char *name;
    char *origin;    /* "https://NAME.blob.core.windows.net" */
    char *base_path; /* "", "/devstoreaccount1" */
    enum kind kind;
    pthread_mutex_t lock;
    char *sas;      /* without '?'; under lock where it is a file's */
    char *sas_path; /* NULL: it is not */
    struct hf_buf key;
    struct hf_azure_token *token;
    struct hf_httpstore *http;
    atomic_llong skew_ms; /* server's clock minus ours */
    atomic_bool has_no_start_from;
    struct hf_trial trial;
    unsigned refs; /* under the list's lock */
    struct hf_azure_account *next;
};

static struct {
    pthread_mutex_t lock;
    struct hf_azure_account *first;
} accounts = {PTHREAD_MUTEX_INITIALIZER, NULL};

/* --- requests --- */

void hf_azure_request_init(struct hf_azure_request *r, const char *method)
{
    *r = (struct hf_azure_request){.method = method};
    hf_buf_init(&r->path, HF_LIMIT_HTTP_URL);
    hf_buf_init(&r->query, HF_LIMIT_HTTP_URL);
    hf_buf_init(&r->url, HF_LIMIT_HTTP_URL);
    hf_buf_init(&r->authorization, HEADER_TEXT);
}

void hf_azure_request_deinit(struct hf_azure_request *r)
{
    hf_buf_deinit(&r->path);
    hf_buf_deinit(&r->query);
    hf_buf_deinit(&r->url);
    hf_buf_deinit(&r->authorization);
}

void hf_azure_request_header(struct hf_azure_request *r, const char *name, const char *value)
{
    hf_assert(r->n_headers < HF_AZURE_HEADERS);
    r->headers[r->n_headers++] = (struct hf_http_header){name, value};
}

/* --- accounts --- */

static const char *setting(const char *configured, const char *variable)
{
    if (configured != NULL && configured[0] != '\0')
        return configured;
    const char *env = getenv(variable);
    return env != NULL && env[0] != '\0' ? env : NULL;
}

static enum hf_code set_endpoint(struct hf_azure_account *a, const struct hf_config_replica *conf,
                                 struct hf_err *err)
{
    HF_AUTO_FREE char *usual = hf_asprintf("https://%s.blob.core.windows.net", a->name);
    const char *text = conf->endpoint && conf->endpoint[0] ? conf->endpoint : usual;
    const char *host = strstr(text, "://");
    bool is_http = strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0;
    if (!is_http || host[3] == '\0' || strpbrk(text, "?# @") != NULL) {
        hf_err_set(err, HF_E_INVALID, "endpoint of Azure account %s is not an http(s) URL",
                   a->name);
        hf_err_hint(err, "leave it out, or write %s", usual);
        return HF_E_INVALID;
    }
    size_t origin = (size_t)(host + 3 - text) + strcspn(host + 3, "/");
    size_t len = strlen(text);
    while (len > origin && text[len - 1] == '/')
        len--;
    a->origin = hf_strndup(text, origin);
    a->base_path = hf_strndup(text + origin, len - origin);
    return HF_OK;
}

enum { SAS_MAX = 4096 };

static void set_sas(struct hf_azure_account *a, char *take_sas)
{
    if (a->sas != NULL)
        hf_wipe(a->sas, strlen(a->sas));
    hf_free(a->sas);
    a->sas = take_sas;
}

/* From its file: whoever renews it writes it there. */
static enum hf_code read_sas(struct hf_azure_account *a, bool *is_new, struct hf_err *err)
{
    char *text = NULL;
    size_t len = 0;
    HF_TRY(hf_path_read(a->sas_path, SAS_MAX, &text, &len, err));
    size_t at = strspn(text, " \t\r\n?");
    char *sas = hf_strndup(text + at, strcspn(text + at, " \t\r\n"));
    hf_wipe(text, len);
    hf_free(text);
    pthread_mutex_lock(&a->lock);
    *is_new = sas[0] != '\0' && (a->sas == NULL || strcmp(a->sas, sas) != 0);
    if (*is_new)
        set_sas(a, hf_steal(&sas));
    bool is_there = a->sas != NULL;
    pthread_mutex_unlock(&a->lock);
    hf_free(sas);
    if (is_there)
        return HF_OK;
    return hf_err_set(err, HF_E_INVALID, "%s holds no SAS token", a->sas_path);
}

static enum hf_code set_credential(struct hf_azure_account *a, const struct hf_config_replica *conf,
                                   struct hf_err *err)
{
    const char *sas = setting(conf->abs.sas_token, "LITESTREAM_AZURE_SAS_TOKEN");
    const char *key = setting(conf->abs.account_key, "LITESTREAM_AZURE_ACCOUNT_KEY");
    if (sas != NULL) {
        a->kind = KIND_SAS;
        a->sas = hf_strdup(sas + (sas[0] == '?'));
        return HF_OK;
    }
    const char *path = setting(conf->abs.sas_token_path, "LITESTREAM_AZURE_SAS_TOKEN_FILE");
    if (path != NULL) {
        bool is_new = false;
        a->kind = KIND_SAS;
        a->sas_path = hf_strdup(path);
        return read_sas(a, &is_new, err);
    }
    if (key != NULL) {
        a->kind = KIND_KEY;
        if (hf_base64_decode(&a->key, key, strlen(key), NULL) == HF_OK)
            return HF_OK;
        return hf_err_set(err, HF_E_INVALID, "account key of Azure account %s is not base64",
                          a->name);
    }
    a->kind = KIND_TOKEN;
    if (strncasecmp(a->origin, "https://", 8) != 0) {
        hf_err_set(err, HF_E_INVALID,
                   "no account key or SAS token, and OAuth tokens are only sent over https, not %s",
                   a->origin);
        hf_err_hint(err, "set account-key, or LITESTREAM_AZURE_ACCOUNT_KEY in the environment");
        return HF_E_INVALID;
    }
    return hf_azure_token_new(a->http, &a->token, err);
}

static void destroy(struct hf_azure_account *a)
{
    hf_azure_token_free(a->token);
    hf_httpstore_put(a->http);
    hf_free(a->name);
    hf_free(a->origin);
    hf_free(a->base_path);
    set_sas(a, NULL);
    hf_free(a->sas_path);
    hf_buf_deinit(&a->key);
    pthread_mutex_destroy(&a->lock);
    hf_trial_deinit(&a->trial);
    hf_free(a);
}

static bool is_same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool is_same(const struct hf_azure_account *a, const struct hf_azure_account *b)
{
    return a->kind == b->kind && strcmp(a->name, b->name) == 0 &&
           strcmp(a->origin, b->origin) == 0 && strcmp(a->base_path, b->base_path) == 0 &&
           is_same_text(a->sas_path, b->sas_path) &&
           (a->sas_path != NULL || is_same_text(a->sas, b->sas)) && a->key.len == b->key.len &&
           (a->key.len == 0 || memcmp(a->key.data, b->key.data, a->key.len) == 0);
}

/* a, or an equal one there is already. */
static struct hf_azure_account *share(struct hf_azure_account *a)
{
    pthread_mutex_lock(&accounts.lock);
    struct hf_azure_account *old = accounts.first;
    while (old != NULL && !is_same(old, a))
        old = old->next;
    if (old != NULL) {
        old->refs++;
    } else {
        a->refs = 1;
        a->next = accounts.first;
        accounts.first = a;
    }
    pthread_mutex_unlock(&accounts.lock);
    if (old != NULL)
        destroy(a);
    return old != NULL ? old : a;
}

enum hf_code hf_azure_account_get(const struct hf_config_replica *conf,
                                  struct hf_azure_account **out, struct hf_err *err)
{
    hf_assert(conf->type == HF_REPLICA_ABS && conf->abs.account_name != NULL);
    struct hf_tls_opts tls = {0};
    struct hf_azure_account *a = hf_calloc(1, sizeof(*a));
    hf_trial_init(&a->trial);
    pthread_mutex_init(&a->lock, NULL);
    a->name = hf_strdup(conf->abs.account_name);
    hf_buf_init(&a->key, 1024);
    enum hf_code rc = hf_httpstore_get(&tls, &a->http, err);
    if (rc == HF_OK)
        rc = set_endpoint(a, conf, err);
    if (rc == HF_OK)
        rc = set_credential(a, conf, err);
    if (rc != HF_OK) {
        destroy(a);
        return rc;
    }
    *out = share(a);
    return HF_OK;
}

void hf_azure_account_put(struct hf_azure_account *a)
{
    if (a == NULL)
        return;
    pthread_mutex_lock(&accounts.lock);
    bool is_last = --a->refs == 0;
    struct hf_azure_account **p = &accounts.first;
    while (is_last && *p != a)
        p = &(*p)->next;
    if (is_last)
        *p = a->next;
    pthread_mutex_unlock(&accounts.lock);
    if (is_last)
        destroy(a);
}

struct hf_httpstore *hf_azure_http(struct hf_azure_account *a)
{
    return a->http;
}

const char *hf_azure_base_path(const struct hf_azure_account *a)
{
    return a->base_path;
}

const char *hf_azure_credential(const struct hf_azure_account *a)
{
    return a->kind == KIND_SAS   ? "SAS token"
           : a->kind == KIND_KEY ? "account key"
                                 : hf_azure_token_source(a->token);
}

/* --- one try --- */

static enum hf_code sign(struct hf_azure_account *a, struct hf_azure_request *r, struct hf_err *err)
{
    struct hf_sharedkey_request s = {
        .method = r->method,
        .path = hf_buf_str(&r->path),
        .query = hf_buf_str(&r->query),
        .headers = r->headers,
        .n_headers = r->n_headers,
        .content_length = r->body_len,
    };
    return hf_sharedkey_sign(a->name, &a->key, &s, &r->authorization, err);
}

static enum hf_code complete_url(struct hf_azure_account *a, struct hf_azure_request *r,
                                 struct hf_err *err)
{
    const char *query = hf_buf_str(&r->query);
    pthread_mutex_lock(&a->lock);
    const char *sas = a->kind == KIND_SAS ? a->sas : "";
    enum hf_code rc =
        hf_buf_appendf(&r->url, err, "%s%s%s%s%s%s", a->origin, hf_buf_str(&r->path),
                       query[0] || sas[0] ? "?" : "", query, query[0] && sas[0] ? "&" : "", sas);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

enum hf_code hf_azure_authorize(struct hf_azure_account *a, struct hf_azure_request *r,
                                struct hf_http_request *out, struct hf_err *err)
{
    r->n_headers -= r->n_own; /* of the try before */
    r->n_own = 0;
    hf_buf_reset(&r->url);
    hf_buf_reset(&r->authorization);
    size_t before = r->n_headers;
    hf_http_date_format(hf_clock_wall_ms() + atomic_load(&a->skew_ms), r->date);
    hf_nonce_make(r->id);
    hf_azure_request_header(r, "x-ms-version", r->version != NULL ? r->version : "2021-12-02");
    hf_azure_request_header(r, "x-ms-date", r->date);
    hf_azure_request_header(r, "x-ms-client-request-id", r->id);
    enum hf_code rc = HF_OK;
    if (a->kind == KIND_KEY)
        rc = sign(a, r, err);
    else if (a->kind == KIND_TOKEN)
        rc = hf_azure_token_header(a->token, &r->authorization, err);
    if (rc == HF_OK && r->authorization.len > 0)
        hf_azure_request_header(r, "Authorization", hf_buf_str(&r->authorization));
    r->n_own = r->n_headers - before;
    HF_TRY(rc);
    HF_TRY(complete_url(a, r, err));
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

bool hf_azure_learn(struct hf_azure_account *a, const struct hf_http_head *head)
{
    int64_t theirs = 0;
    const char *date = hf_http_head_get(head, "Date");
    bool is_refused = head->status == 401 || head->status == 403;
    bool is_new = false;
    if (date != NULL && hf_http_date_parse(date, &theirs, NULL) == HF_OK) {
        int64_t skew = theirs - hf_clock_wall_ms();
        int64_t old = atomic_load(&a->skew_ms);
        is_new = skew > old + SKEW_MIN_MS || skew < old - SKEW_MIN_MS;
        if (is_new)
            atomic_store(&a->skew_ms, skew);
    }
    if (!is_refused)
        return false;
    bool has_other = false;
    if (a->sas_path != NULL && read_sas(a, &has_other, NULL) != HF_OK)
        has_other = false;
    return a->kind == KIND_TOKEN ? hf_azure_token_refused(a->token) : is_new || has_other;
}

bool hf_azure_sas_end(struct hf_azure_account *a, char out[HF_AZURE_SAS_END])
{
    int64_t end_ms = INT64_MAX;
    size_t n = 0;
    pthread_mutex_lock(&a->lock);
    const char *p = a->sas == NULL || strncmp(a->sas, "se=", 3) == 0 ? a->sas : NULL;
    if (a->sas != NULL && p == NULL && (p = strstr(a->sas, "&se=")) != NULL)
        p++;
    for (p = p == NULL ? "" : p + 3; *p != '\0' && *p != '&' && n + 1 < HF_AZURE_SAS_END; n++) {
        bool is_colon = strncasecmp(p, "%3a", 3) == 0;
        out[n] = is_colon ? ':' : *p;
        p += is_colon ? 3 : 1;
    }
    pthread_mutex_unlock(&a->lock);
    out[n] = '\0';
    if (n == 0 || hf_parse_time_ms(out, &end_ms, NULL) != HF_OK)
        return false;
    return end_ms <= hf_clock_wall_ms() + atomic_load(&a->skew_ms);
}

const char *hf_azure_sas_path(const struct hf_azure_account *a)
{
    return a->sas_path;
}

struct hf_trial *hf_azure_trial(struct hf_azure_account *a)
{
    return &a->trial;
}

bool hf_azure_has_start_from(const struct hf_azure_account *a)
{
    return !atomic_load(&a->has_no_start_from);
}

void hf_azure_set_start_from(struct hf_azure_account *a, bool has)
{
    atomic_store(&a->has_no_start_from, !has);
}
