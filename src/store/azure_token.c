#include "store/azure_token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/jsonread.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/random.h"
#include "os/file.h"

#define STORAGE_SCOPE "https://storage.azure.com/.default"
#define STORAGE_RESOURCE "https://storage.azure.com/"

enum {
    ANSWER_MAX = 64 << 10, /* tokens are 1 to 4 KiB, with many groups more */
    TOKEN_MAX = 16 << 10,
    TRY_AGAIN_MS = 30000, /* after a failed renewal while the old token lives */
    REFUSED_MS = 60000,
};

enum source { FROM_SECRET, FROM_FILE, FROM_APP, FROM_MACHINE };

struct hf_azure_token {
    struct hf_httpstore *http;
    enum source source;
    char *url; /* of the token service, query included */
    char *client_id;
    char *secret; /* client secret, or the identity header */
    char *file;   /* of the federated token */
    pthread_mutex_t lock;
    pthread_mutex_t fetching;
    char *token;
    int64_t renew_ms; /* wall clock */
    int64_t end_ms;
    int64_t refused_ms;
};

static const char *env(const char *name)
{
    const char *v = getenv(name);
    return v != NULL && v[0] != '\0' ? v : NULL;
}

static char *copy(const char *s)
{
    return s ? hf_strdup(s) : NULL;
}

/* --- which service --- */

/* A secret goes there: only https, but for a service on this machine. */
static enum hf_code check_service(const char *url, bool may_be_plain, struct hf_err *err)
{
    bool is_tls = strncasecmp(url, "https://", 8) == 0;
    bool is_plain = strncasecmp(url, "http://", 7) == 0;
    if (is_tls || (is_plain && may_be_plain))
        return HF_OK;
    return hf_err_set(err, HF_E_INVALID,
                      "Azure token service: the address must begin with https://");
}

static enum hf_code find_entra(struct hf_azure_token *t, const char *tenant, struct hf_err *err)
{
    const char *host = env("AZURE_AUTHORITY_HOST");
    if (host == NULL)
        host = "https://login.microsoftonline.com";
    size_t len = strlen(host);
    while (len > 0 && host[len - 1] == '/')
        len--;
    t->url = hf_asprintf("%.*s/%s/oauth2/v2.0/token", (int)len, host, tenant);
    return check_service(t->url, false, err);
}

static enum hf_code find_identity(struct hf_azure_token *t, struct hf_err *err)
{
    const char *endpoint = env("IDENTITY_ENDPOINT");
    const char *header = env("IDENTITY_HEADER");
    const char *machine = env("AZURE_POD_IDENTITY_AUTHORITY_HOST");
    struct hf_buf query;
    hf_buf_init(&query, HF_LIMIT_HTTP_URL);
    bool is_app = endpoint != NULL && header != NULL;
    t->source = is_app ? FROM_APP : FROM_MACHINE;
    t->secret = copy(is_app ? header : NULL);
    enum hf_code rc =
        hf_query_add(&query, "api-version", is_app ? "2019-08-01" : "2018-02-01", err);
    if (rc == HF_OK)
        rc = hf_query_add(&query, "resource", STORAGE_RESOURCE, err);
    if (rc == HF_OK && t->client_id != NULL)
        rc = hf_query_add(&query, "client_id", t->client_id, err);
    if (is_app)
        t->url = hf_asprintf("%s?%s", endpoint, hf_buf_str(&query));
    else
        t->url = hf_asprintf("%s/metadata/identity/oauth2/token?%s",
                             machine ? machine : "http://169.254.169.254", hf_buf_str(&query));
    hf_buf_deinit(&query);
    return rc == HF_OK ? check_service(t->url, true, err) : rc;
}

static enum hf_code find_source(struct hf_azure_token *t, struct hf_err *err)
{
    const char *tenant = env("AZURE_TENANT_ID");
    const char *secret = env("AZURE_CLIENT_SECRET");
    const char *file = env("AZURE_FEDERATED_TOKEN_FILE");
    t->client_id = copy(env("AZURE_CLIENT_ID"));
    if (tenant == NULL || t->client_id == NULL || (secret == NULL && file == NULL))
        return find_identity(t, err);
    t->source = secret != NULL ? FROM_SECRET : FROM_FILE;
    t->secret = copy(secret);
    t->file = copy(secret == NULL ? file : NULL);
    return find_entra(t, tenant, err);
}

enum hf_code hf_azure_token_new(struct hf_httpstore *http, struct hf_azure_token **out,
                                struct hf_err *err)
{
    struct hf_azure_token *t = hf_calloc(1, sizeof(*t));
    t->http = http;
    pthread_mutex_init(&t->lock, NULL);
    pthread_mutex_init(&t->fetching, NULL);
    enum hf_code rc = find_source(t, err);
    if (rc != HF_OK) {
        hf_azure_token_free(t);
        return rc;
    }
    *out = t;
    return HF_OK;
}

void hf_azure_token_free(struct hf_azure_token *t)
{
    if (t == NULL)
        return;
    hf_free(t->url);
    hf_free(t->client_id);
    hf_free(t->secret);
    hf_free(t->file);
    hf_free(t->token);
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->fetching);
    hf_free(t);
}

const char *hf_azure_token_source(const struct hf_azure_token *t)
{
    static const char *const names[] = {"service principal", "federated token", "managed identity",
                                        "managed identity"};
    return names[t->source];
}

/* --- fetching --- */

static enum hf_code add_assertion(const struct hf_azure_token *t, struct hf_buf *form,
                                  struct hf_err *err)
{
    char *text = NULL;
    size_t len = 0;
    HF_TRY(hf_path_read(t->file, TOKEN_MAX, &text, &len, err)); /* rotates: read each time */
    while (len > 0 && strchr(" \r\n", text[len - 1]) != NULL)
        text[--len] = '\0';
    enum hf_code rc = hf_query_add(form, "client_assertion", text, err);
    hf_free(text);
    return rc;
}

static enum hf_code make_form(const struct hf_azure_token *t, struct hf_buf *form,
                              struct hf_err *err)
{
    HF_TRY(hf_query_add(form, "grant_type", "client_credentials", err));
    HF_TRY(hf_query_add(form, "scope", STORAGE_SCOPE, err));
    HF_TRY(hf_query_add(form, "client_id", t->client_id, err));
    if (t->source == FROM_SECRET)
        return hf_query_add(form, "client_secret", t->secret, err);
    HF_TRY(hf_query_add(form, "client_assertion_type",
                        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", err));
    return add_assertion(t, form, err);
}

/* The service's own words: "invalid_client", and the first line of what it says about it. */
static enum hf_code refused(const struct hf_azure_token *t, const struct hf_http_reply *reply,
                            struct hf_err *err)
{
    HF_AUTO_FREE char *error = NULL;
    HF_AUTO_FREE char *text = NULL;
    const char *body = (const char *)reply->body.data;
    if (reply->body.len > 0) {
        (void)!hf_json_member(body, reply->body.len, "error", &error, NULL);
        (void)!hf_json_member(body, reply->body.len, "error_description", &text, NULL);
    }
    hf_err_set(err, HF_E_DENIED, "Azure %s: the token service answers %d %s%s%.*s",
               hf_azure_token_source(t), reply->head.status, error ? error : "", text ? ": " : "",
               text ? (int)strcspn(text, "\r\n") : 0, text ? text : "");
    hf_err_hint(err, "check AZURE_TENANT_ID, AZURE_CLIENT_ID and the secret, or set account-key");
    return HF_E_DENIED;
}

static bool may_repeat(const struct hf_azure_token *t, int status)
{
    /* The metadata service says 404 and 410 while it is updated. */
    return hf_retry_is_status(status) ||
           (t->source == FROM_MACHINE && (status == 404 || status == 410));
}

static enum hf_code ask(struct hf_azure_token *t, struct hf_http_reply *reply, struct hf_err *err)
{
    struct hf_buf form;
    struct hf_attempts tries = {0};
    enum hf_code rc = HF_OK;
    bool is_form = t->source == FROM_SECRET || t->source == FROM_FILE;
    struct hf_http_header header = {"Content-Type", "application/x-www-form-urlencoded"};
    if (t->source == FROM_APP)
        header = (struct hf_http_header){"X-IDENTITY-HEADER", t->secret};
    if (t->source == FROM_MACHINE)
        header = (struct hf_http_header){"Metadata", "true"};
    hf_buf_init(&form, 3 * TOKEN_MAX + 4096);
    if (is_form)
        rc = make_form(t, &form, err);
    struct hf_attempt last = {0};
    do {
        struct hf_http_request req = {.method = is_form ? "POST" : "GET",
                                      .url = t->url,
                                      .headers = &header,
                                      .n_headers = 1,
                                      .body = form.data,
                                      .body_len = form.len};
        req.deadlines.connect_ms = t->source == FROM_MACHINE ? 2000 : 0;
        if (rc != HF_OK)
            break;
        rc = hf_httpstore_do(t->http, &req, 0, reply, err);
        last = hf_attempt_of(rc, reply);
        if (rc == HF_OK && may_repeat(t, last.status))
            last.status = 503;
        if (hf_attempts_again(&tries, last)) {
            hf_err_reset(err);
            rc = HF_OK;
            continue;
        }
        break;
    } while (true);
    hf_buf_deinit(&form);
    return rc;
}

static enum hf_code read_answer(struct hf_azure_token *t, const struct hf_http_reply *reply,
                                int64_t now_ms, struct hf_err *err)
{
    HF_AUTO_FREE char *token = NULL;
    HF_AUTO_FREE char *seconds = NULL;
    int64_t life_s = 3600;
    const char *body = (const char *)reply->body.data;
    if (reply->head.status != 200)
        return refused(t, reply, err);
    if (reply->body.len == 0 ||
        hf_json_member(body, reply->body.len, "access_token", &token, NULL) != HF_OK ||
        token[0] == '\0' || token[strcspn(token, "\r\n ")] != '\0')
        return hf_err_set(err, HF_E_CORRUPT, "Azure %s: the token service's answer has no token",
                          hf_azure_token_source(t));
    if (hf_json_member(body, reply->body.len, "expires_in", &seconds, NULL) == HF_OK)
        HF_TRY(hf_parse_i64(seconds, 1, 30 * 86400, &life_s, err));
    else if (hf_json_member(body, reply->body.len, "expires_on", &seconds, NULL) == HF_OK &&
             hf_parse_i64(seconds, 1, INT64_MAX / 1000, &life_s, NULL) == HF_OK)
        life_s = life_s - now_ms / 1000 > 1 ? life_s - now_ms / 1000 : 1;
    pthread_mutex_lock(&t->lock);
    hf_free(t->token);
    t->token = hf_steal(&token);
    t->end_ms = now_ms + life_s * 1000;
    /* Three quarters of its life, spread, so that a fleet does not ask at one moment. */
    t->renew_ms = now_ms + life_s * 1000 * (650 + (int64_t)(hf_random_u32() % 150)) / 1000;
    pthread_mutex_unlock(&t->lock);
    return HF_OK;
}

static enum hf_code fetch(struct hf_azure_token *t, struct hf_err *err)
{
    struct hf_http_reply reply;
    int64_t now_ms = hf_clock_wall_ms();
    hf_http_reply_init(&reply, ANSWER_MAX);
    enum hf_code rc = ask(t, &reply, err);
    if (rc == HF_OK)
        rc = read_answer(t, &reply, now_ms, err);
    else
        hf_err_wrap(err, "Azure %s", hf_azure_token_source(t));
    if (rc != HF_OK && t->source == FROM_MACHINE && reply.head.status == 0)
        hf_err_hint(err, "no credentials: set account-key or sas-token, AZURE_TENANT_ID with "
                         "AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or run where there is a managed "
                         "identity");
    hf_http_reply_deinit(&reply);
    return rc;
}

static bool is_due(struct hf_azure_token *t, int64_t now_ms, bool *lives)
{
    pthread_mutex_lock(&t->lock);
    *lives = t->token != NULL && now_ms < t->end_ms;
    bool due = !*lives || now_ms >= t->renew_ms;
    pthread_mutex_unlock(&t->lock);
    return due;
}

static enum hf_code renew(struct hf_azure_token *t, struct hf_err *err)
{
    bool lives = false;
    int64_t now_ms = hf_clock_wall_ms();
    if (!is_due(t, now_ms, &lives))
        return HF_OK;
    if (lives && pthread_mutex_trylock(&t->fetching) != 0)
        return HF_OK; /* somebody is at it, and the old one serves */
    if (!lives)
        pthread_mutex_lock(&t->fetching);
    enum hf_code rc = is_due(t, now_ms, &lives) ? fetch(t, err) : HF_OK;
    if (rc != HF_OK && lives) {
        hf_err_reset(err);
        rc = HF_OK;
        pthread_mutex_lock(&t->lock);
        t->renew_ms = now_ms + TRY_AGAIN_MS;
        pthread_mutex_unlock(&t->lock);
    }
    pthread_mutex_unlock(&t->fetching);
    return rc;
}

enum hf_code hf_azure_token_header(struct hf_azure_token *t, struct hf_buf *out, struct hf_err *err)
{
    HF_TRY(renew(t, err));
    pthread_mutex_lock(&t->lock);
    hf_assert(t->token != NULL);
    enum hf_code rc = hf_buf_appendf(out, err, "Bearer %s", t->token);
    pthread_mutex_unlock(&t->lock);
    return rc;
}

bool hf_azure_token_refused(struct hf_azure_token *t)
{
    int64_t now_ms = hf_clock_wall_ms();
    pthread_mutex_lock(&t->lock);
    bool may = now_ms - t->refused_ms > REFUSED_MS || t->refused_ms > now_ms;
    if (may) {
        t->refused_ms = now_ms;
        t->end_ms = 0;
    }
    pthread_mutex_unlock(&t->lock);
    return may;
}
