/*
 * Azure Blob Storage (type abs): objects as block blobs of one container, Litestream's names below
 * the replica's path, the time of an object in its metadata (litestreamtimestamp), a nonce of its
 * writer beside it (holdfastnonce).
 *
 * What goes wrong, and what happens then:
 *   the answer to a put is lost     the next try finds the name taken; the nonce tells whose it is
 *   503, 429, 500, 408, reset       another try after a jittered wait, Retry-After honoured; the
 *                                   caller waits longer between its own
 *   our clock is wrong              403; the offset is learned from the Date of the answer
 *   a token ends or is withdrawn    401; another is fetched, once
 *   a SAS token ends                403; its file is read again, where it has one
 *   a body ends too early           read on from there, if the object is still the same (ETag)
 *   two writers of one name         If-None-Match: * ; 409 BlobAlreadyExists for the loser
 *
 * A page of a listing may be short or empty and still not be the last: only an empty NextMarker
 * is. Listings that start behind a name say so with startFrom (service version 2026-02-06, from the
 * name on, itself included). Whoever refuses that version or parameter is not asked again: then,
 * and where it is ignored, the pages are read from the prefix's beginning and what lies before is
 * passed over. A name appended to the prefix would find that one object only.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/parse.h"
#include "codec/httpdate.h"
#include "codec/httpurl.h"
#include "codec/storexml.h"
#include "store/azure_int.h"

enum { MARKER_MAX = 4096 };
static const char start_from_version[] = "2026-02-06";

/* --- requests --- */

enum hf_code azure_request_init(struct azure *s, const char *method, const char *name,
                                struct hf_azure_request *r, struct hf_err *err)
{
    hf_azure_request_init(r, method);
    enum hf_code rc = hf_buf_appendf(&r->path, err, "%s/", hf_azure_base_path(s->account));
    if (rc == HF_OK)
        rc = hf_url_escape(&r->path, s->container, false, err);
    if (rc == HF_OK && name != NULL)
        rc = hf_buf_append(&r->path, "/", 1, err);
    HF_AUTO_FREE char *key = name == NULL ? NULL : hf_store_join(s->prefix, name);
    if (rc == HF_OK && key != NULL)
        rc = hf_url_escape(&r->path, key, true, err);
    if (rc != HF_OK)
        hf_azure_request_deinit(r);
    return rc;
}

enum hf_code azure_do(struct azure *s, struct hf_azure_request *r, struct hf_attempts *a,
                      struct hf_http_reply *reply, struct hf_err *err)
{
    for (;;) {
        struct hf_http_request req;
        HF_TRY(hf_azure_authorize(s->account, r, &req, err));
        enum hf_code rc = hf_httpstore_do(hf_azure_http(s->account), &req, r->expects, reply, err);
        bool has_other = hf_azure_learn(s->account, &reply->head) && !a->has_reauthorized;
        a->has_reauthorized |= has_other;
        if (!has_other && !hf_attempts_again(a, hf_attempt_of(rc, reply)))
            return rc;
        hf_err_reset(err);
    }
}

/* --- errors --- */

struct known_error {
    const char *code;
    enum hf_code rc;
    const char *hint;
};

static const struct known_error known[] = {
    {"BlobAlreadyExists", HF_E_EXISTS, NULL},
    {"UnauthorizedBlobOverwrite", HF_E_EXISTS, NULL},
    {"BlobNotFound", HF_E_NOT_FOUND, NULL},
    {"ContainerNotFound", HF_E_NOT_FOUND, "create the container, or correct its name"},
    {"ContainerBeingDeleted", HF_E_BUSY, "the container is being deleted"},
    {"ConditionNotMet", HF_E_CONFLICT, NULL},
    {"LeaseIdMissing", HF_E_BUSY, "somebody holds a lease on this blob"},
    {"AuthenticationFailed", HF_E_DENIED,
     "check the account name, the key or token, and the clock"},
    {"AuthorizationPermissionMismatch", HF_E_DENIED,
     "it lacks a permission: an identity needs the role Storage Blob Data Contributor, a SAS "
     "rwdlc"},
    {"AuthorizationFailure", HF_E_DENIED,
     "check the account name and the key or token; the account's network rules may refuse, too"},
    {"AuthorizationPermissionDenied", HF_E_DENIED, "a SAS token needs the permissions rwdlc"},
    {"InsufficientAccountPermissions", HF_E_DENIED, "a SAS token needs rwdlc"},
    {"AccountIsDisabled", HF_E_DENIED, "the storage account is disabled"},
    {"QuotaExceeded", HF_E_NO_SPACE, NULL},
};

static enum hf_code code_of_status(int status)
{
    switch (status) {
    case 404:
        return HF_E_NOT_FOUND;
    case 401:
    case 403:
        return HF_E_DENIED;
    case 412:
        return HF_E_CONFLICT;
    case 413:
        return HF_E_LIMIT;
    case 429:
    case 500:
    case 503:
        return HF_E_BUSY;
    default:
        return HF_E_IO;
    }
}

static void hint_denied(const struct azure *s, const char *hint, struct hf_err *err)
{
    char end[HF_AZURE_SAS_END];
    const char *path = hf_azure_sas_path(s->account);
    if (!hf_azure_sas_end(s->account, end))
        hf_err_hint(err, "authorised by %s%s%s", hf_azure_credential(s->account), hint ? ": " : "",
                    hint ? hint : "");
    else if (path != NULL)
        hf_err_hint(err, "the SAS token ended at %s: write a new one to %s", end, path);
    else
        hf_err_hint(err,
                    "the SAS token ended at %s: restart with a new one, or keep it in a file "
                    "(sas-token-path), which is read again",
                    end);
}

enum hf_code azure_error(const struct azure *s, const char *what, const struct hf_http_head *head,
                         const struct hf_buf *body, struct hf_err *err)
{
    struct hf_storexml_error xml = {0};
    if (body != NULL && body->len > 0)
        (void)!hf_storexml_error(body, &xml, NULL);
    const char *code = hf_http_head_get(head, "x-ms-error-code");
    const char *id = hf_http_head_get(head, "x-ms-request-id");
    if (code == NULL)
        code = xml.code;
    enum hf_code rc = code_of_status(head->status);
    const char *hint = NULL;
    for (size_t i = 0; i < HF_ARRAY_LEN(known); i++) {
        if (strcmp(code, known[i].code) == 0) {
            rc = known[i].rc;
            hint = known[i].hint;
        }
    }
    hf_err_set(err, rc, "%s in container %s: %d %s%s%s%s%s%s", what, s->container, head->status,
               code, xml.message[0] ? ": " : "", xml.message, id ? " (request " : "", id ? id : "",
               id ? ")" : "");
    if (rc == HF_E_DENIED)
        hint_denied(s, hint, err);
    else if (hint != NULL)
        hf_err_hint(err, "%s", hint);
    return rc;
}

/* --- times --- */

void azure_stamp_format(int64_t time_ms, char out[32])
{
    char text[HF_TIME_TEXT];
    hf_clock_format(time_ms, text); /* ...05.120Z */
    size_t len = strlen(text) - 1;
    while (text[len - 1] == '0')
        len--;
    if (text[len - 1] == '.')
        len--;
    snprintf(out, 32, "%.*sZ", (int)len, text);
}

int64_t azure_time(const char *stamp, const char *created, const char *modified)
{
    int64_t ms = 0;
    if (stamp != NULL && hf_parse_time_ms(stamp, &ms, NULL) == HF_OK)
        return ms;
    if (created != NULL && hf_http_date_parse(created, &ms, NULL) == HF_OK)
        return ms;
    if (modified != NULL && hf_http_date_parse(modified, &ms, NULL) == HF_OK)
        return ms;
    return 0;
}

/* --- head --- */

static enum hf_code read_head(const struct hf_http_head *h, struct azure_head *out,
                              struct hf_err *err)
{
    const char *size = hf_http_head_get(h, "Content-Length");
    const char *nonce = hf_http_head_get(h, "x-ms-meta-holdfastnonce");
    const char *etag = hf_http_head_get(h, "ETag");
    int64_t n = 0;
    if (size == NULL || hf_parse_i64(size, 0, INT64_MAX, &n, err) != HF_OK)
        return hf_err_set(err, HF_E_CORRUPT, "answer without a length");
    *out = (struct azure_head){.size = (uint64_t)n};
    out->time_ms =
        azure_time(hf_http_head_get(h, "x-ms-meta-litestreamtimestamp"),
                   hf_http_head_get(h, "x-ms-creation-time"), hf_http_head_get(h, "Last-Modified"));
    snprintf(out->nonce, sizeof(out->nonce), "%s", nonce ? nonce : "");
    snprintf(out->etag, sizeof(out->etag), "%s", etag ? etag : "");
    return HF_OK;
}

enum hf_code azure_head(struct azure *s, const char *name, struct azure_head *out,
                        struct hf_err *err)
{
    struct hf_azure_request r;
    struct hf_http_reply reply;
    struct hf_attempts a = {0};
    HF_TRY(azure_request_init(s, "HEAD", name, &r, err));
    hf_http_reply_init(&reply, AZURE_ERROR_MAX);
    HF_AUTO_FREE char *what = hf_asprintf("look at %s", name);
    enum hf_code rc = azure_do(s, &r, &a, &reply, err);
    if (rc == HF_OK && reply.head.status != 200)
        rc = azure_error(s, what, &reply.head, NULL, err);
    else if (rc == HF_OK)
        rc = read_head(&reply.head, out, err);
    else
        hf_err_wrap(err, "%s", what);
    hf_http_reply_deinit(&reply);
    hf_azure_request_deinit(&r);
    return rc;
}

static enum hf_code store_head(struct hf_store *base, const char *name, uint64_t *size,
                               int64_t *time_ms, struct hf_err *err)
{
    struct azure_head h = {0};
    HF_TRY(azure_head((struct azure *)base, name, &h, err));
    if (size != NULL)
        *size = h.size;
    if (time_ms != NULL)
        *time_ms = h.time_ms;
    return HF_OK;
}

/* --- listing --- */

struct listing {
    const struct hf_store_list_query *q;
    const char *prefix; /* of blob names: the store's, the query's, '/' */
    size_t prefix_len;
    const char *start_from; /* whole name; NULL: from the beginning */
};

static enum hf_code on_item(void *arg, const struct hf_storexml_item *item, struct hf_err *err)
{
    struct listing *l = arg;
    if (strncmp(item->name, l->prefix, l->prefix_len) != 0)
        return hf_err_set(err, HF_E_CORRUPT, "listing of %s holds another prefix", l->prefix);
    const char *name = item->name + l->prefix_len;
    size_t len = strlen(name);
    HF_AUTO_FREE char *dir = item->is_prefix && len > 1 ? hf_strndup(name, len - 1) : NULL;
    if (item->is_prefix != l->q->is_prefixes || len == 0 || (item->is_prefix && dir == NULL))
        return HF_OK;
    struct hf_store_object o = {.name = dir ? dir : name, .size = item->size};
    if (!item->is_prefix)
        o.time_ms = azure_time(item->stamp, item->created, item->time);
    if (l->q->start_after != NULL && strcmp(o.name, l->q->start_after) <= 0)
        return HF_OK;
    return l->q->fn(l->q->arg, &o, err);
}

static enum hf_code list_query(const struct listing *l, const char *marker,
                               struct hf_azure_request *r, struct hf_err *err)
{
    const char *const fixed[][2] = {{"restype", "container"},
                                    {"comp", "list"},
                                    {"prefix", l->prefix},
                                    {"maxresults", "5000"},
                                    {"include", "metadata"}};
    struct hf_buf *query = &r->query;
    hf_buf_reset(query);
    for (size_t i = 0; i < HF_ARRAY_LEN(fixed); i++)
        HF_TRY(hf_query_add(query, fixed[i][0], fixed[i][1], err));
    if (!l->q->is_deep)
        HF_TRY(hf_query_add(query, "delimiter", "/", err));
    if (marker[0] != '\0')
        HF_TRY(hf_query_add(query, "marker", marker, err));
    r->version = l->start_from != NULL ? start_from_version : NULL;
    return l->start_from != NULL ? hf_query_add(query, "startFrom", l->start_from, err) : HF_OK;
}

/* One page. A service that does not know startFrom says so with 400. */
static enum hf_code list_page(struct azure *s, struct hf_azure_request *r, const char *marker,
                              struct hf_http_reply *reply, struct listing *l, struct hf_err *err)
{
    struct hf_attempts a = {0};
    HF_TRY(list_query(l, marker, r, err));
    HF_TRY(azure_do(s, r, &a, reply, err));
    if (reply->head.status != 400 || l->start_from == NULL)
        return HF_OK;
    hf_azure_set_start_from(s->account, false);
    l->start_from = NULL;
    HF_TRY(list_query(l, marker, r, err));
    return azure_do(s, r, &a, reply, err);
}

static enum hf_code list_pages(struct azure *s, struct hf_azure_request *r,
                               struct hf_http_reply *reply, struct listing *l, struct hf_err *err)
{
    struct hf_buf marker;
    HF_AUTO_FREE char *what = hf_asprintf("list %s", l->prefix);
    hf_buf_init(&marker, MARKER_MAX);
    enum hf_code rc;
    do {
        rc = list_page(s, r, hf_buf_str(&marker), reply, l, err);
        if (rc == HF_OK && reply->head.status != 200)
            rc = azure_error(s, what, &reply->head, &reply->body, err);
        else if (rc == HF_OK)
            rc = hf_storexml_list(&hf_storexml_azure, &reply->body, on_item, l, &marker, err);
    } while (rc == HF_OK && marker.len > 0);
    hf_buf_deinit(&marker);
    return rc;
}

static enum hf_code azure_list(struct hf_store *base, const struct hf_store_list_query *q,
                               struct hf_err *err)
{
    struct azure *s = (struct azure *)base;
    struct hf_azure_request r;
    struct hf_http_reply reply;
    HF_AUTO_FREE char *key = hf_store_join(s->prefix, q->prefix);
    HF_AUTO_FREE char *prefix = hf_asprintf("%s%s", key, key[0] ? "/" : "");
    HF_AUTO_FREE char *start = q->start_after != NULL && hf_azure_has_start_from(s->account)
                                   ? hf_asprintf("%s%s", prefix, q->start_after)
                                   : NULL;
    struct listing l = {q, prefix, strlen(prefix), start};
    HF_TRY(azure_request_init(s, "GET", NULL, &r, err));
    hf_http_reply_init(&reply, HF_LIMIT_XML);
    enum hf_code rc = list_pages(s, &r, &reply, &l, err);
    hf_http_reply_deinit(&reply);
    hf_azure_request_deinit(&r);
    return rc;
}

/* --- life --- */

static void azure_close(struct hf_store *base)
{
    struct azure *s = (struct azure *)base;
    hf_azure_account_put(s->account);
    hf_free(s->container);
    hf_free(s->prefix);
    hf_free(s->base.url);
    s->base.magic = 0;
    hf_free(s);
}

static struct hf_trial *azure_trial(struct hf_store *s)
{
    return hf_azure_trial(((struct azure *)s)->account);
}

static const struct hf_store_ops azure_ops = {
    .type = "abs",
    .close = azure_close,
    .trial = azure_trial,
    .writer_new = azure_writer_new,
    .writer_write = azure_writer_write,
    .writer_commit = azure_writer_commit,
    .writer_abort = azure_writer_abort,
    .reader_new = azure_reader_new,
    .reader_read = azure_reader_read,
    .reader_free = azure_reader_free,
    .reader_is_light = azure_reader_is_light,
    .read_range = azure_read_range,
    .has_deep_lists = true,
    .head = store_head,
    .list = azure_list,
    .remove = azure_remove,
    .put_if = azure_put_if,
    .get = azure_get,
};

enum hf_code hf_store_azure_open(const struct hf_config_replica *conf, struct hf_store **out,
                                 struct hf_err *err)
{
    struct hf_azure_account *account = NULL;
    enum hf_code rc = hf_azure_account_get(conf, &account, err);
    if (rc != HF_OK)
        return hf_err_wrap(err, "%s", conf->url);
    struct azure *s = hf_calloc(1, sizeof(*s));
    s->base =
        (struct hf_store){.magic = HF_STORE_MAGIC, .ops = &azure_ops, .url = hf_strdup(conf->url)};
    s->account = account;
    s->container = hf_strdup(conf->bucket);
    s->prefix = hf_asprintf("%s%s", conf->path, conf->path[0] ? "/" : "");
    *out = &s->base;
    return HF_OK;
}
