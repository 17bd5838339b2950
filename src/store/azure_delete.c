/*
 * Deleting blobs: up to HF_LIMIT_STORE_DELETES requests at once for a first try; what that leaves
 * is done one by one with the usual retries.
 */
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "store/azure_int.h"

struct batch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t n_open;
};

struct one {
    struct batch *batch;
    struct hf_azure_request r;
    bool is_started;
    bool is_done; /* gone, or never was */
};

static void on_done(void *arg, const struct hf_http_result *res)
{
    struct one *o = arg;
    pthread_mutex_lock(&o->batch->lock);
    o->is_done = res->code == HF_OK && (res->status == 202 || res->status == 404);
    o->batch->n_open--;
    pthread_cond_signal(&o->batch->changed);
    pthread_mutex_unlock(&o->batch->lock);
}

static enum hf_code make(struct azure *s, const char *name, struct hf_azure_request *r,
                         struct hf_err *err)
{
    HF_TRY(azure_request_init(s, "DELETE", name, r, err));
    hf_azure_request_header(r, "x-ms-delete-snapshots", "include");
    return HF_OK;
}

static enum hf_code start(struct azure *s, const char *name, struct one *o, struct hf_err *err)
{
    static const struct hf_http_events events = {.on_done = on_done};
    struct hf_http_request req;
    struct hf_httpstore *h = hf_azure_http(s->account);
    HF_TRY(make(s, name, &o->r, err));
    o->is_started = true;
    HF_TRY(hf_azure_authorize(s->account, &o->r, &req, err));
    req.deadlines = (struct hf_http_deadlines){.connect_ms = 5000, .total_ms = 30000};
    pthread_mutex_lock(&o->batch->lock);
    while (o->batch->n_open >= HF_LIMIT_STORE_DELETES)
        pthread_cond_wait(&o->batch->changed, &o->batch->lock);
    o->batch->n_open++;
    pthread_mutex_unlock(&o->batch->lock);
    hf_budget_take(hf_httpstore_budget(h), 0);
    enum hf_code rc = hf_http_start(hf_httpstore_client(h), &req, &events, o, NULL, err);
    if (rc != HF_OK) {
        pthread_mutex_lock(&o->batch->lock);
        o->batch->n_open--;
        pthread_mutex_unlock(&o->batch->lock);
    }
    return rc;
}

static enum hf_code remove_one(struct azure *s, const char *name, struct hf_err *err)
{
    struct hf_azure_request r;
    struct hf_http_reply reply;
    struct hf_attempts a = {0};
    HF_TRY(make(s, name, &r, err));
    HF_AUTO_FREE char *what = hf_asprintf("delete %s", name);
    hf_http_reply_init(&reply, AZURE_ERROR_MAX);
    enum hf_code rc = azure_do(s, &r, &a, &reply, err);
    if (rc == HF_OK && reply.head.status != 202 && reply.head.status != 404)
        rc = azure_error(s, what, &reply.head, &reply.body, err);
    else if (rc != HF_OK)
        hf_err_wrap(err, "%s", what);
    hf_http_reply_deinit(&reply);
    hf_azure_request_deinit(&r);
    return rc;
}

enum hf_code azure_remove(struct hf_store *base, const char *const *names, size_t n,
                          struct hf_err *err)
{
    struct azure *s = (struct azure *)base;
    struct batch b = {.n_open = 0};
    enum hf_code rc = HF_OK;
    if (n == 1)
        return remove_one(s, names[0], err);
    struct one *ones = hf_calloc(n, sizeof(*ones));
    pthread_mutex_init(&b.lock, NULL);
    pthread_cond_init(&b.changed, NULL);
    for (size_t i = 0; i < n; i++) {
        ones[i].batch = &b;
        if (start(s, names[i], &ones[i], NULL) != HF_OK)
            break; /* remove_one below tells why */
    }
    pthread_mutex_lock(&b.lock);
    while (b.n_open > 0)
        pthread_cond_wait(&b.changed, &b.lock);
    pthread_mutex_unlock(&b.lock);
    for (size_t i = 0; i < n; i++) {
        if (rc == HF_OK && !ones[i].is_done)
            rc = remove_one(s, names[i], err);
        if (ones[i].is_started)
            hf_azure_request_deinit(&ones[i].r);
    }
    pthread_cond_destroy(&b.changed);
    pthread_mutex_destroy(&b.lock);
    hf_free(ones);
    return rc;
}
