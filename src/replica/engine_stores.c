/*
 * Stores, shared by the databases that name the same one, and the threads that serve them.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ltx/crc64.h"
#include "replica/db.h"

enum {
    GROUP_SHIP_THREADS = 2,
    GROUP_REMOTE_SHIP_THREADS = 8,
    STORE_BUCKETS = 4096, /* every database of a directory has a place of its own */
};

/* A store and who uses it; databases on one store share it. */
struct store_ref {
    char *url;
    struct hf_store *store;
    struct store_ref *next;
};

enum hf_code engine_get_store(struct engine *e, const struct hf_config_replica *conf,
                              struct hf_store **out, struct hf_err *err)
{
    /* Two services may have a bucket of the same name. */
    HF_AUTO_FREE char *url =
        hf_asprintf("%s %s", conf->url, conf->endpoint == NULL ? "" : conf->endpoint);
    if (e->stores == NULL)
        e->stores = hf_calloc(STORE_BUCKETS, sizeof(struct store_ref *));
    struct store_ref **bucket = &e->stores[hf_crc64(0, url, strlen(url)) % STORE_BUCKETS];
    for (struct store_ref *s = *bucket; s != NULL; s = s->next) {
        if (strcmp(s->url, url) == 0) {
            *out = s->store;
            return HF_OK;
        }
    }
    struct hf_store *store = NULL;
    HF_TRY(hf_store_open_replica(conf, &store, err));
    struct store_ref *s = hf_calloc(1, sizeof(*s));
    s->url = hf_steal(&url);
    s->store = store;
    s->next = *bucket;
    *bucket = s;
    *out = store;
    return HF_OK;
}

void engine_free_stores(struct engine *e)
{
    for (size_t i = 0; e->stores != NULL && i < STORE_BUCKETS; i++) {
        while (e->stores[i] != NULL) {
            struct store_ref *s = e->stores[i];
            e->stores[i] = s->next;
            hf_store_close(s->store);
            hf_free(s->url);
            hf_free(s);
        }
    }
    hf_free(e->stores);
}

/* "s3://bucket", "file 1"; what is packed has threads that wait, and goes by itself. */
static void group_key(const struct hf_config_replica *conf, size_t index, char *out, size_t size)
{
    const char *sep = strstr(conf->url, "://");
    const char *packs = conf->pack ? " packs" : "";
    if (conf->type == HF_REPLICA_FILE || sep == NULL) {
        snprintf(out, size, "%s %zu%s", hf_replica_type_word(conf->type), index, packs);
        return;
    }
    size_t len = (size_t)(sep + 3 - conf->url) + strcspn(sep + 3, "/?");
    snprintf(out, size, "%.*s %s%s", (int)len, conf->url, conf->endpoint ? conf->endpoint : "",
             packs);
}

static size_t ship_threads(const struct hf_config_replica *conf)
{
    if (conf->pack)
        return HF_LIMIT_PACK_SHIPPERS; /* they wait for a pack */
    return conf->type == HF_REPLICA_FILE ? GROUP_SHIP_THREADS : GROUP_REMOTE_SHIP_THREADS;
}

static enum hf_code new_group(struct engine *e, const char *key, size_t n, struct lane_group **out,
                              struct hf_err *err)
{
    struct lane_group *g = hf_calloc(1, sizeof(*g));
    enum hf_code rc = hf_pool_new("hf-dest", n, true, &g->ship, err);
    if (rc == HF_OK)
        rc = hf_pool_new("hf-dest-upkeep", 1, true, &g->upkeep, err);
    if (rc != HF_OK) {
        hf_pool_free(g->ship);
        hf_free(g);
        return rc;
    }
    g->key = hf_strdup(key);
    g->next = e->groups;
    e->groups = g;
    e->n_groups++;
    *out = g;
    return HF_OK;
}

enum hf_code engine_get_group(struct engine *e, const struct hf_config_replica *conf, size_t index,
                              struct lane_group **out, struct hf_err *err)
{
    char key[512];
    group_key(conf, index, key, sizeof(key));
    for (struct lane_group *g = e->groups; g != NULL; g = g->next) {
        if (strcmp(g->key, key) == 0 || (e->n_groups >= HF_LIMIT_SHIP_GROUPS && g->next == NULL)) {
            *out = g;
            return HF_OK;
        }
    }
    return new_group(e, key, ship_threads(conf), out, err);
}

enum hf_code engine_get_lone_group(struct engine *e, const struct hf_config_replica *conf,
                                   struct lane_group **out, struct hf_err *err)
{
    char key[512];
    struct hf_config_replica service = *conf;
    service.pack = false; /* a pool of the engine's has its packs */
    group_key(&service, 0, key, sizeof(key));
    if (e->home_key == NULL)
        e->home_key = hf_strdup(key);
    if (strcmp(e->home_key, key) != 0)
        return engine_get_group(e, &service, 0, out, err);
    *out = NULL;
    return HF_OK;
}

void engine_free_groups(struct engine *e)
{
    hf_free(e->home_key);
    e->home_key = NULL;
    while (e->groups != NULL) {
        struct lane_group *g = e->groups;
        e->groups = g->next;
        hf_pool_free(g->ship);
        hf_pool_free(g->upkeep);
        hf_free(g->key);
        hf_free(g);
    }
}
