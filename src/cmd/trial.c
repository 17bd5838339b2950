#include "cmd/trial.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/thread.h"
#include "store/store.h"

struct trial {
    struct hf_trials *all;
    char *key;
    struct hf_store *store;
    pthread_t thread;
    bool is_running; /* under lock, as what follows */
    bool is_ignored;
    enum hf_code rc;
    struct hf_err err;
};

struct hf_trials {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t n;
    size_t n_running;
    struct trial trials[HF_LIMIT_SHIP_GROUPS];
};

static void *ask(void *arg)
{
    struct trial *t = arg;
    struct hf_err err = HF_ERR_INIT;
    bool is_ignored = false;
    hf_thread_name("hf-trial");
    enum hf_code rc = hf_store_check_create_only(t->store, &is_ignored, &err);
    pthread_mutex_lock(&t->all->lock);
    t->rc = rc;
    t->err = err;
    t->is_ignored = is_ignored;
    t->all->n_running--;
    pthread_cond_signal(&t->all->changed);
    pthread_mutex_unlock(&t->all->lock);
    return NULL;
}

/* "s3://bucket endpoint": one question for all databases there. */
static char *key_of(const struct hf_config_replica *conf)
{
    const char *sep = strstr(conf->url, "://");
    size_t len = sep == NULL ? 0 : (size_t)(sep + 3 - conf->url) + strcspn(sep + 3, "/?");
    return hf_asprintf("%.*s %s", (int)len, conf->url, conf->endpoint ? conf->endpoint : "");
}

static bool is_known(const struct hf_trials *t, const char *key)
{
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->trials[i].key, key) == 0)
            return true;
    }
    return false;
}

static enum hf_code add(struct hf_trials *all, const struct hf_config_replica *conf,
                        struct hf_err *err)
{
    HF_AUTO_FREE char *key = key_of(conf);
    if (conf->type == HF_REPLICA_FILE || is_known(all, key) || all->n == HF_LIMIT_SHIP_GROUPS)
        return HF_OK;
    struct trial *t = &all->trials[all->n];
    HF_TRY(hf_store_open_replica(conf, &t->store, err));
    t->all = all;
    t->key = hf_steal(&key);
    all->n++;
    return HF_OK;
}

static enum hf_code add_all(struct hf_trials *all, struct hf_config_db *const *dbs, size_t n,
                            struct hf_err *err)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < dbs[i]->n_replicas; k++) {
            if (add(all, &dbs[i]->replicas[k], err) != HF_OK)
                return hf_err_wrap(err, "%s", dbs[i]->path);
        }
    }
    return HF_OK;
}

static void run_all(struct hf_trials *all)
{
    pthread_mutex_lock(&all->lock);
    for (size_t i = 0; i < all->n; i++) {
        struct trial *t = &all->trials[i];
        t->is_running = pthread_create(&t->thread, NULL, ask, t) == 0;
        all->n_running += t->is_running; /* without a thread the first upload asks */
    }
    pthread_mutex_unlock(&all->lock);
}

enum hf_code hf_trials_start(const struct hf_config *cfg, struct hf_trials **out,
                             struct hf_err *err)
{
    struct hf_trials *all = hf_calloc(1, sizeof(*all));
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->changed, NULL);
    enum hf_code rc = add_all(all, cfg->dbs, cfg->n_dbs, err);
    if (rc == HF_OK)
        rc = add_all(all, cfg->dirs, cfg->n_dirs, err);
    if (rc != HF_OK) {
        hf_trials_free(all);
        return rc;
    }
    run_all(all);
    *out = all;
    return HF_OK;
}

static void warn_of_ignored(struct trial *t)
{
    struct hf_err err = HF_ERR_INIT;
    t->is_ignored = false;
    hf_err_set(&err, HF_E_UNSUPPORTED,
               "the service ignores create-only puts, which allow-unconditional-puts permits: two "
               "replicators on one path may overwrite each other");
    hf_log(HF_LOG_WARN, "writes are not protected", HF_F_STR("replica", hf_store_url(t->store)),
           HF_F_ERR(&err), HF_F_END);
}

static enum hf_code look(struct hf_trials *all, struct hf_err *err)
{
    for (size_t i = 0; i < all->n; i++) {
        struct trial *t = &all->trials[i];
        if (t->rc == HF_E_UNSUPPORTED) {
            *err = t->err;
            return t->rc;
        }
        if (t->is_ignored)
            warn_of_ignored(t);
    }
    if (all->n_running > 0)
        return hf_err_set(err, HF_E_TIMEOUT, "%zu services did not answer yet", all->n_running);
    return HF_OK;
}

enum hf_code hf_trials_wait(struct hf_trials *all, uint32_t timeout_ms, struct hf_err *err)
{
    struct timespec end;
    int64_t end_ms = hf_clock_wall_ms() + timeout_ms;
    end.tv_sec = (time_t)(end_ms / 1000);
    end.tv_nsec = (long)(end_ms % 1000) * 1000000;
    pthread_mutex_lock(&all->lock);
    while (all->n_running > 0 && pthread_cond_timedwait(&all->changed, &all->lock, &end) == 0) {
    }
    enum hf_code rc = look(all, err);
    pthread_mutex_unlock(&all->lock);
    return rc;
}

void hf_trials_free(struct hf_trials *all)
{
    if (all == NULL)
        return;
    for (size_t i = 0; i < all->n; i++) {
        struct trial *t = &all->trials[i];
        if (t->is_running)
            pthread_join(t->thread, NULL);
        hf_store_close(t->store);
        hf_free(t->key);
    }
    pthread_mutex_destroy(&all->lock);
    pthread_cond_destroy(&all->changed);
    hf_free(all);
}
