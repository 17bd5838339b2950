/*
 * Getting rid of old packs.
 *
 * Retention releases files of packs as it deletes those of ltx/0: once a compacted file holds them.
 * A pack whose files are all released goes. What is left in an old one (the newest change of a
 * database that rests; all changes of one nobody ships any more) is copied to its replica's ltx/0,
 * byte for byte, where it may stay for ever. A copy and its original are one file to who lists
 * them.
 */
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "ltx/crc64.h"
#include "replica/packs_int.h"

/* A file that keeps an old pack. */
struct kept {
    struct hf_ltx_info info;
    uint64_t crc;
    char *path;
    struct hf_replica *replica; /* NULL: nobody here ships it */
};

struct kept_list {
    struct kept *items;
    size_t n;
};

static void kept_deinit(struct kept_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        hf_free(l->items[i].path);
    hf_free(l->items);
    *l = (struct kept_list){NULL, 0};
}

static bool is_old(const struct hf_packs_policy *policy, const struct pack_item *it, bool is_member)
{
    int64_t age = is_member ? policy->own_age_ms : policy->other_age_ms;
    return it->pack.time_ms != 0 && policy->now_ms - it->pack.time_ms > age;
}

static bool is_kept(const struct hf_packs *p, const struct hf_packs_policy *policy,
                    const struct pack_item *it, size_t k, struct hf_replica **replica)
{
    const struct hf_pack_entry *e = &it->pack.entries[k];
    const struct hf_packs_member *m = packs_member(p, e->path);
    *replica = m == NULL ? NULL : m->replica;
    return !it->is_released[k] && !e->is_elsewhere && is_old(policy, it, m != NULL);
}

static void add_kept(const struct pack_item *it, size_t k, struct hf_replica *replica,
                     struct kept_list *l)
{
    const struct hf_pack_entry *e = &it->pack.entries[k];
    if ((l->n & (l->n - 1)) == 0)
        l->items = hf_realloc(l->items, l->n == 0 ? 1 : l->n * 2, sizeof(*l->items));
    l->items[l->n++] = (struct kept){.crc = e->crc,
                                     .path = hf_strdup(e->path),
                                     .replica = replica,
                                     .info = {.min_txid = e->min_txid,
                                              .max_txid = e->max_txid,
                                              .size = e->size,
                                              .time_ms = e->time_ms,
                                              .pack = it->number,
                                              .offset = e->offset}};
}

/* Of all packs but the newest. */
static struct kept_list find_kept(struct hf_packs *p, const struct hf_packs_policy *policy)
{
    struct kept_list l = {NULL, 0};
    struct hf_replica *replica = NULL;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i + 1 < p->n_items; i++) {
        const struct pack_item *it = &p->items[i];
        for (size_t k = 0; it->n_kept > 0 && k < it->pack.n; k++) {
            if (is_kept(p, policy, it, k, &replica))
                add_kept(it, k, replica, &l);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return l;
}

bool hf_packs_is_untidy(struct hf_packs *p, const struct hf_packs_policy *policy)
{
    bool is_untidy = false;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i + 1 < p->n_items && !is_untidy; i++)
        is_untidy = is_old(policy, &p->items[i], true);
    pthread_mutex_unlock(&p->lock);
    return is_untidy;
}

/* ---- copying out ---- */

static enum hf_code copy_out(struct hf_packs *p, const struct kept *k, struct hf_err *err)
{
    char name[HF_LTX_NAME_SIZE];
    HF_AUTO_FREE uint8_t *data = hf_malloc(k->info.size);
    HF_TRY(hf_packs_read(p, &k->info, data, err));
    if (hf_crc64(0, data, k->info.size) != k->crc)
        return hf_err_set(err, HF_E_CORRUPT, "pack %016llx: the file of %s is damaged",
                          (unsigned long long)k->info.pack, k->path);
    hf_ltx_name_format(k->info.min_txid, k->info.max_txid, name);
    HF_AUTO_FREE char *object = hf_asprintf("%s%s/ltx/0/%s", p->base, k->path, name);
    enum hf_code rc = hf_store_put(p->store, object, data, k->info.size, HF_STORE_CREATE_ONLY,
                                   k->info.time_ms, err);
    if (rc == HF_E_EXISTS) { /* we were killed after it, or another one tidies, too */
        hf_err_reset(err);
        rc = HF_OK;
    }
    if (rc == HF_OK)
        hf_packs_release(p, k->path, &k->info, 1);
    return rc;
}

/* One damaged file keeps its pack, not the others. */
static enum hf_code copy_all(struct hf_packs *p, const struct kept_list *l, struct hf_err *err)
{
    enum hf_code rc = HF_OK;
    for (size_t i = 0; i < l->n; i++) {
        struct hf_err local = HF_ERR_INIT;
        enum hf_code one = copy_out(p, &l->items[i], &local);
        if (one == HF_OK || rc != HF_OK)
            continue;
        rc = one;
        if (err != NULL)
            *err = local;
        if (one != HF_E_CORRUPT && one != HF_E_NOT_FOUND)
            break;
    }
    return rc;
}

/* ---- deleting ---- */

static char *next_deletable(struct hf_packs *p, const struct hf_packs_policy *policy, size_t *at,
                            uint64_t *number)
{
    char *name = NULL;
    pthread_mutex_lock(&p->lock);
    for (; *at + 1 < p->n_items && name == NULL; ++*at) {
        const struct pack_item *it = &p->items[*at];
        if (it->n_kept > 0 || !is_old(policy, it, true))
            continue;
        *number = it->number;
        name = hf_packs_object(p, it->number);
    }
    pthread_mutex_unlock(&p->lock);
    return name;
}

enum { DELETE_MAX = 256 };

static enum hf_code delete_empty(struct hf_packs *p, const struct hf_packs_policy *policy,
                                 struct hf_err *err)
{
    char *names[DELETE_MAX];
    uint64_t numbers[DELETE_MAX];
    size_t at = 0;
    size_t n = 0;
    while (n < DELETE_MAX && (names[n] = next_deletable(p, policy, &at, &numbers[n])) != NULL)
        n++;
    enum hf_code rc = hf_store_delete(p->store, (const char *const *)names, n, err);
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < n; i++) {
        size_t k = packs_find(p, numbers[i]);
        if (rc == HF_OK && k < p->n_items && p->items[k].number == numbers[i])
            packs_remove(p, k);
        hf_free(names[i]);
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

/* Each member once. */
static enum hf_code retain_members(const struct hf_packs_policy *policy, const struct kept_list *l,
                                   struct hf_err *err)
{
    for (size_t i = 0; i < l->n && policy->retain != NULL; i++) {
        bool is_first = l->items[i].replica != NULL;
        for (size_t k = 0; k < i && is_first; k++)
            is_first = l->items[k].replica != l->items[i].replica;
        if (is_first)
            HF_TRY(policy->retain(policy->arg, l->items[i].replica, err));
    }
    return HF_OK;
}

enum hf_code hf_packs_tidy(struct hf_packs *p, const struct hf_packs_policy *policy,
                           struct hf_err *err)
{
    hf_assert_magic(p, PACKS_MAGIC);
    struct kept_list l = find_kept(p, policy);
    enum hf_code rc = retain_members(policy, &l, err);
    kept_deinit(&l);
    if (rc == HF_OK) {
        l = find_kept(p, policy);
        rc = copy_all(p, &l, err);
        kept_deinit(&l);
    }
    struct hf_err *delete_err = rc == HF_OK ? err : NULL;
    enum hf_code deleted = delete_empty(p, policy, delete_err);
    return rc == HF_OK ? deleted : rc;
}
