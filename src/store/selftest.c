/*
 * The start-up self-test of conditional writes: what a lease and two writers on one path rest on
 * is tried, not believed. Servers exist that drop the conditions without a word.
 *
 * Two sizes: hf_store_selftest tries all a lease needs, some sixty requests; what shipping needs,
 * create-only puts, takes three (hf_store_check_create_only), at the start of a process or before
 * its first put.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/backend.h"
#include "store/retry.h"

enum { RACES = 20, BODY_MAX = 256 };

struct racer {
    struct hf_store *store;
    char name[64];
    pthread_barrier_t *gate;
    enum hf_code rc;
    struct hf_err err;
};

static enum hf_code broken(struct hf_err *err, const struct hf_store *s, const char *what)
{
    hf_err_set(err, HF_E_UNSUPPORTED, "%s: conditional writes do not work there: %s",
               hf_store_url(s), what);
    hf_err_hint(err, "two writers could not find out about each other on this store");
    return HF_E_UNSUPPORTED;
}

/* The call must end with want. */
static enum hf_code expect(struct hf_store *s, enum hf_code rc, enum hf_code want, const char *what,
                           struct hf_err *err)
{
    if (rc == want)
        return HF_OK;
    if (rc == HF_OK || rc == HF_E_EXISTS || rc == HF_E_CONFLICT || rc == HF_E_NOT_FOUND)
        return broken(err, s, what);
    return rc; /* the store could not be asked */
}

static enum hf_code check_body(struct hf_store *s, const char *name, const char *want,
                               struct hf_err *err)
{
    struct hf_buf b;
    char etag[HF_STORE_ETAG];
    hf_buf_init(&b, BODY_MAX);
    enum hf_code rc = hf_store_get(s, name, &b, etag, err);
    bool is_same = rc == HF_OK && strcmp(hf_buf_str(&b), want) == 0;
    hf_buf_deinit(&b);
    if (rc == HF_OK && !is_same)
        return broken(err, s, "a refused write changed the object");
    return rc;
}

static enum hf_code check_conditions(struct hf_store *s, const char *name, struct hf_err *err)
{
    char first[HF_STORE_ETAG];
    char second[HF_STORE_ETAG];
    char other[HF_STORE_ETAG];
    HF_TRY(expect(s, hf_store_put_if(s, name, "one", 3, NULL, first, err), HF_OK,
                  "a new name was refused", err));
    HF_TRY(expect(s, hf_store_put_if(s, name, "two", 3, NULL, other, err), HF_E_EXISTS,
                  "a name that exists was created again", err));
    HF_TRY(check_body(s, name, "one", err));
    HF_TRY(expect(s, hf_store_put_if(s, name, "two", 3, first, second, err), HF_OK,
                  "a write on the right version was refused", err));
    if (strcmp(first, second) == 0)
        return broken(err, s, "a changed object kept its ETag");
    HF_TRY(expect(s, hf_store_put_if(s, name, "three", 5, first, other, err), HF_E_CONFLICT,
                  "a write on an old version was taken", err));
    HF_TRY(check_body(s, name, "two", err));
    HF_AUTO_FREE char *absent = hf_asprintf("%s-absent", name);
    return expect(s, hf_store_put_if(s, absent, "x", 1, first, other, err), HF_E_CONFLICT,
                  "a write on a version of an absent object was taken", err);
}

static enum hf_code note_seen(void *arg, const struct hf_store_object *o, struct hf_err *err)
{
    (void)err;
    struct racer *want = arg;
    if (strcmp(o->name, want->name) == 0)
        want->rc = HF_OK;
    return HF_OK;
}

static void *race(void *arg)
{
    struct racer *r = arg;
    char etag[HF_STORE_ETAG];
    pthread_barrier_wait(r->gate);
    r->rc = hf_store_put_if(r->store, r->name, "race", 4, NULL, etag, &r->err);
    return NULL;
}

static enum hf_code race_once(struct hf_store *s, const char *name, struct hf_err *err)
{
    pthread_barrier_t gate;
    pthread_t th;
    struct racer r[2] = {{.store = s, .gate = &gate}, {.store = s, .gate = &gate}};
    for (int i = 0; i < 2; i++)
        snprintf(r[i].name, sizeof(r[i].name), "%s", name);
    pthread_barrier_init(&gate, NULL, 2);
    int sys = pthread_create(&th, NULL, race, &r[0]);
    if (sys == 0) {
        race(&r[1]);
        pthread_join(th, NULL);
    }
    pthread_barrier_destroy(&gate);
    if (sys != 0)
        return hf_err_sys(err, sys, "start a thread");
    for (int i = 0; i < 2; i++) {
        if (r[i].rc != HF_OK && r[i].rc != HF_E_EXISTS) {
            if (err != NULL)
                *err = r[i].err;
            return r[i].rc;
        }
    }
    if ((r[0].rc == HF_OK) == (r[1].rc == HF_OK))
        return broken(err, s,
                      r[0].rc == HF_OK ? "two writers created one name"
                                       : "two writers of one name both lost");
    return HF_OK;
}

static enum hf_code run(struct hf_store *s, const char *prefix, struct hf_err *err)
{
    struct racer seen = {.rc = HF_E_NOT_FOUND, .name = "cas"};
    HF_AUTO_FREE char *cas = hf_asprintf("%s/cas", prefix);
    HF_TRY(check_conditions(s, cas, err));
    HF_TRY(hf_store_list(s, prefix, NULL, note_seen, &seen, err));
    if (seen.rc != HF_OK)
        return broken(err, s, "a new object is not in the listing");
    for (int i = 0; i < RACES; i++) {
        HF_AUTO_FREE char *name = hf_asprintf("%s/race-%02d", prefix, i);
        HF_TRY(race_once(s, name, err));
    }
    return HF_OK;
}

static void clean(struct hf_store *s, const char *prefix)
{
    char *names[RACES + 2];
    const char *borrowed[RACES + 2];
    for (int i = 0; i < RACES; i++)
        names[i] = hf_asprintf("%s/race-%02d", prefix, i);
    names[RACES] = hf_asprintf("%s/cas", prefix);
    names[RACES + 1] = hf_asprintf("%s/cas-absent", prefix);
    for (int i = 0; i < RACES + 2; i++)
        borrowed[i] = names[i];
    (void)!hf_store_delete(s, borrowed, RACES + 2, NULL);
    for (int i = 0; i < RACES + 2; i++)
        hf_free(names[i]);
}

enum hf_code hf_store_selftest(struct hf_store *s, struct hf_err *err)
{
    char nonce[HF_NONCE_TEXT];
    hf_nonce_make(nonce);
    HF_AUTO_FREE char *prefix = hf_asprintf("probe/%s", nonce);
    enum hf_code rc = run(s, prefix, err);
    clean(s, prefix);
    return rc;
}

/* ---- create-only alone ---- */

static enum hf_code try_twice(struct hf_store *s, const char *name, struct hf_err *err)
{
    static const char text[] = "is create-only honoured?\n";
    char etag[HF_STORE_ETAG];
    HF_TRY(hf_store_put_if(s, name, text, sizeof(text) - 1, NULL, etag, err));
    enum hf_code rc = hf_store_put_if(s, name, text, sizeof(text) - 1, NULL, etag, err);
    if (rc == HF_E_EXISTS) {
        hf_err_reset(err);
        return HF_OK;
    }
    HF_TRY(rc);
    return hf_err_set(
        err, HF_E_UNSUPPORTED,
        "%s: the service ignores If-None-Match: a name that is taken was written again",
        hf_store_url(s));
}

static enum hf_code try_once(struct hf_store *s, struct hf_trial *t, struct hf_err *err)
{
    char nonce[HF_NONCE_TEXT];
    hf_nonce_make(nonce);
    HF_AUTO_FREE char *name = hf_asprintf("probe/%s", nonce);
    const char *const names[] = {name};
    enum hf_code rc = try_twice(s, name, err);
    if (rc != HF_OK && rc != HF_E_UNSUPPORTED)
        return rc;
    (void)!hf_store_delete(s, names, 1, NULL); /* a probe that stays harms nobody */
    atomic_store(&t->holds, rc == HF_OK ? 1 : -1);
    return rc;
}

void hf_trial_init(struct hf_trial *t)
{
    pthread_mutex_init(&t->lock, NULL);
    atomic_init(&t->holds, 0);
}

void hf_trial_deinit(struct hf_trial *t)
{
    pthread_mutex_destroy(&t->lock);
}

enum hf_code hf_store_check_create_only(struct hf_store *s, bool *is_ignored, struct hf_err *err)
{
    enum hf_code rc = HF_OK;
    struct hf_err why = HF_ERR_INIT;
    struct hf_trial *t = s->ops->trial == NULL ? NULL : s->ops->trial(s);
    if (t != NULL && atomic_load(&t->holds) == 0) {
        pthread_mutex_lock(&t->lock);
        if (atomic_load(&t->holds) == 0)
            rc = try_once(s, t, &why);
        pthread_mutex_unlock(&t->lock);
    }
    bool is_broken = t != NULL && atomic_load(&t->holds) < 0;
    if (is_broken && !s->allows_unconditional) {
        if (why.code == HF_OK)
            hf_err_set(&why, HF_E_UNSUPPORTED, "%s: the service does not honour create-only puts",
                       hf_store_url(s));
        hf_err_hint(&why, "two replicators on one path could overwrite each other there: use a "
                          "service that honours If-None-Match: *, or set allow-unconditional-puts "
                          "and see that there is only one");
        rc = HF_E_UNSUPPORTED;
    } else if (is_broken) {
        rc = HF_OK;
    }
    if (rc == HF_OK)
        *is_ignored = is_broken;
    else if (err != NULL)
        *err = why;
    return rc;
}
