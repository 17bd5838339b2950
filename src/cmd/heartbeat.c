#include "cmd/heartbeat.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/httpclient.h"
#include "os/thread.h"

enum {
    FIRST_LOOK_MS = 5000, /* databases have been opened by then */
    LOOK_MS = 5000,       /* how late one may be after a bad time is over; only when one is due */
    CALL_MS = 10000,
    BODY_MAX = 64 << 10, /* read and dropped */
};

struct hf_heartbeat {
    const struct hf_config *cfg;
    struct hf_engine *engine;
    struct hf_http_client *client;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_ending;
    /* The thread's own. */
    uint64_t pinged_ms;
    bool is_withheld; /* said so already */
    bool is_failing;
};

const struct hf_db_status *hf_heartbeat_late(const struct hf_snapshot *s, int64_t interval_ms,
                                             int64_t now_ms)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct hf_db_status *r = &s->rows[i];
        bool is_fresh = r->last_sync_ms > 0 && now_ms - r->last_sync_ms <= interval_ms;
        bool is_hurt = r->error[0] != '\0' && !is_fresh;
        if (r->is_stopped || r->txid == 0 || r->lag_ms > interval_ms || is_hurt)
            return r;
    }
    return NULL;
}

bool hf_heartbeat_is_due(uint64_t pinged_ms, int64_t interval_ms, uint64_t now_ms)
{
    return pinged_ms == 0 || now_ms - pinged_ms >= (uint64_t)interval_ms;
}

/* The URL is in no message: it is as good as a password. */
static enum hf_code ping(struct hf_heartbeat *h, struct hf_err *err)
{
    struct hf_http_request req = {
        .method = "GET", .url = h->cfg->heartbeat_url, .deadlines = {.total_ms = CALL_MS}};
    struct hf_http_reply reply;
    hf_http_reply_init(&reply, BODY_MAX);
    enum hf_code rc = hf_http_do(h->client, &req, &reply, err);
    if (rc == HF_E_LIMIT && reply.head.status >= 200 && reply.head.status < 300)
        rc = HF_OK; /* a page nobody wants to read */
    if (rc == HF_OK && (reply.head.status < 200 || reply.head.status >= 300))
        rc = hf_err_set(err, HF_E_IO, "status %d", reply.head.status);
    hf_http_reply_deinit(&reply);
    return rc;
}

static void note_withheld(struct hf_heartbeat *h, const struct hf_snapshot *s,
                          const struct hf_db_status *late)
{
    if (!h->is_withheld && s->n == 0)
        hf_log(HF_LOG_WARN, "heartbeat withheld", HF_F_STR("why", "there is no database"),
               HF_F_END);
    else if (!h->is_withheld)
        hf_log(HF_LOG_WARN, "heartbeat withheld", HF_F_STR("db", late->path),
               HF_F_STR("replica", late->replica), HF_F_STR("state", late->state),
               HF_F_I64("lag_ms", late->lag_ms), HF_F_STR("error", late->error), HF_F_END);
    h->is_withheld = true;
}

static void beat(struct hf_heartbeat *h)
{
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = ping(h, &err);
    if (rc == HF_E_CANCELED) /* we are ending */
        return;
    if (rc == HF_OK)
        h->pinged_ms = hf_clock_mono_ms();
    else if (!h->is_failing)
        hf_log(HF_LOG_WARN, "heartbeat failed", HF_F_ERR(&err), HF_F_END);
    if (rc == HF_OK && h->is_failing)
        hf_log(HF_LOG_INFO, "heartbeat arrives again", HF_F_END);
    h->is_failing = rc != HF_OK;
}

static void look(struct hf_heartbeat *h)
{
    struct hf_snapshot s;
    int64_t interval_ms = h->cfg->heartbeat_interval_ms;
    if (!hf_heartbeat_is_due(h->pinged_ms, interval_ms, hf_clock_mono_ms()))
        return;
    hf_snapshot_take(&s, h->engine);
    const struct hf_db_status *late = hf_heartbeat_late(&s, interval_ms, hf_clock_wall_ms());
    if (s.n == 0 || late != NULL) {
        note_withheld(h, &s, late);
    } else {
        h->is_withheld = false;
        beat(h);
    }
    hf_snapshot_deinit(&s);
}

/* False when it is time to end. */
static bool rest(struct hf_heartbeat *h, int64_t ms)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += ms / 1000;
    pthread_mutex_lock(&h->lock);
    int rc = 0;
    while (!h->is_ending && rc == 0)
        rc = pthread_cond_timedwait(&h->changed, &h->lock, &end);
    bool is_ending = h->is_ending;
    pthread_mutex_unlock(&h->lock);
    return !is_ending;
}

static void *heartbeat_main(void *arg)
{
    struct hf_heartbeat *h = arg;
    hf_thread_name("hf-heartbeat");
    for (bool goes_on = rest(h, FIRST_LOOK_MS); goes_on; goes_on = rest(h, LOOK_MS))
        look(h);
    return NULL;
}

static void heartbeat_free(struct hf_heartbeat *h)
{
    hf_http_client_free(h->client);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->changed);
    hf_free(h);
}

enum hf_code hf_heartbeat_start(const struct hf_config *cfg, struct hf_engine *engine,
                                struct hf_heartbeat **out, struct hf_err *err)
{
    struct hf_http_client_opts o = {.thread_name = "hf-heartbeat-tx", .use_env_proxy = true};
    *out = NULL;
    if (cfg->heartbeat_url == NULL)
        return HF_OK;
    struct hf_heartbeat *h = hf_calloc(1, sizeof(*h));
    h->cfg = cfg;
    h->engine = engine;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    enum hf_code rc = hf_http_client_new(&o, &h->client, err);
    int sys = rc == HF_OK ? pthread_create(&h->thread, NULL, heartbeat_main, h) : 0;
    if (sys != 0)
        rc = hf_err_sys(err, sys, "start a thread");
    if (rc != HF_OK) {
        heartbeat_free(h);
        return rc;
    }
    hf_log(HF_LOG_INFO, "heartbeat", HF_F_I64("interval_ms", cfg->heartbeat_interval_ms), HF_F_END);
    *out = h;
    return HF_OK;
}

void hf_heartbeat_stop(struct hf_heartbeat *h)
{
    if (h == NULL)
        return;
    pthread_mutex_lock(&h->lock);
    h->is_ending = true;
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
    hf_http_client_shutdown(h->client);
    pthread_join(h->thread, NULL);
    heartbeat_free(h);
}
