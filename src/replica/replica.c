#include "replica/replica_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/gate.h"

/* ---- lists ---- */

void hf_ltx_list_deinit(struct hf_ltx_list *l)
{
    hf_free(l->items);
    *l = (struct hf_ltx_list){NULL, 0, 0};
}

void hf_ltx_list_push(struct hf_ltx_list *l, const struct hf_ltx_info *info)
{
    hf_assert(info->min_txid >= 1 && info->min_txid <= info->max_txid);
    if (l->len == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 32;
        l->items = hf_realloc(l->items, l->cap, sizeof(*l->items));
    }
    l->items[l->len++] = *info;
}

/* ---- life ---- */

enum hf_code hf_replica_new(struct hf_store *store, const char *path, struct hf_replica **out,
                            struct hf_err *err)
{
    path += strspn(path, "/");
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/')
        len--;
    if (len >= HF_LIMIT_PATH / 4)
        return hf_err_set(err, HF_E_INVALID, "replica path is longer than %d bytes",
                          HF_LIMIT_PATH / 4);
    struct hf_replica *r = hf_calloc(1, sizeof(*r));
    r->magic = REPLICA_MAGIC;
    r->store = store;
    pthread_mutex_init(&r->lock, NULL);
    r->path = hf_strndup(path, len);
    r->name = hf_asprintf("%s%s%s", hf_store_url(store), len ? "/" : "", r->path);
    *out = r;
    return HF_OK;
}

void hf_replica_free(struct hf_replica *r)
{
    if (r == NULL)
        return;
    hf_assert_magic(r, REPLICA_MAGIC);
    hf_replica_forget(r, UINT64_MAX);
    r->magic = 0;
    if (r->member != NULL)
        hf_packs_leave(r->packs, r->member, r);
    if (r->owns_packs)
        hf_packs_free(r->packs);
    pthread_mutex_destroy(&r->lock);
    hf_free(r->packs_path);
    hf_free(r->path);
    hf_free(r->name);
    hf_free(r);
}

void hf_replica_keep(struct hf_replica *r, struct hf_kept *kept)
{
    hf_assert_magic(r, REPLICA_MAGIC);
    hf_assert(r->kept == NULL);
    r->kept = kept;
}

void hf_replica_forget(struct hf_replica *r, uint64_t max_txid)
{
    hf_assert_magic(r, REPLICA_MAGIC);
    if (r->kept != NULL)
        hf_kept_forget(r->kept, &r->kept_files, max_txid);
}

struct hf_store *hf_replica_store(const struct hf_replica *r)
{
    hf_assert_magic(r, REPLICA_MAGIC);
    return r->store;
}

const char *hf_replica_path(const struct hf_replica *r)
{
    hf_assert_magic(r, REPLICA_MAGIC);
    return r->path;
}

const char *hf_replica_name(const struct hf_replica *r)
{
    hf_assert_magic(r, REPLICA_MAGIC);
    return r->name;
}

static char *level_prefix(const struct hf_replica *r, int level)
{
    hf_assert(level >= 0 && level < HF_LIMIT_LEVELS);
    return hf_asprintf("%s%sltx/%d", r->path, r->path[0] ? "/" : "", level);
}

char *hf_replica_object(const struct hf_replica *r, const struct hf_ltx_info *info)
{
    hf_assert_magic(r, REPLICA_MAGIC);
    char name[HF_LTX_NAME_SIZE];
    hf_ltx_name_format(info->min_txid, info->max_txid, name);
    HF_AUTO_FREE char *prefix = level_prefix(r, info->level);
    return hf_asprintf("%s/%s", prefix, name);
}

/* ---- packs ---- */

static int by_txid(const void *a, const void *b)
{
    const struct hf_ltx_info *x = a;
    const struct hf_ltx_info *y = b;
    if (x->level != y->level)
        return x->level < y->level ? -1 : 1;
    if (x->min_txid != y->min_txid)
        return x->min_txid < y->min_txid ? -1 : 1;
    if (x->max_txid != y->max_txid)
        return x->max_txid < y->max_txid ? -1 : 1;
    /* an object before its copy in a pack; of two packs the later one, whose writer may not have
     * been able to read the earlier */
    uint64_t a_last = x->pack - 1;
    uint64_t b_last = y->pack - 1;
    return a_last > b_last ? -1 : a_last < b_last;
}

static void sort_list(struct hf_ltx_list *l, size_t from)
{
    if (l->len - from > 1)
        qsort(l->items + from, l->len - from, sizeof(*l->items), by_txid);
    size_t n = from;
    for (size_t i = from; i < l->len; i++) {
        const struct hf_ltx_info *f = &l->items[i];
        bool is_same = n > from && l->items[n - 1].level == f->level &&
                       l->items[n - 1].min_txid == f->min_txid &&
                       l->items[n - 1].max_txid == f->max_txid;
        if (!is_same)
            l->items[n++] = *f;
    }
    l->len = n;
}

void hf_replica_above(const struct hf_replica *r, unsigned up, char **base, char **path)
{
    size_t len = strlen(r->path);
    size_t tail = strlen(r->name);
    struct hf_buf ups;
    hf_buf_init(&ups, 4 * HF_LIMIT_PACK_UP);
    for (unsigned i = 0; i < up; i++) {
        while (tail > 0 && r->name[tail - 1] != '/')
            tail--;
        tail -= tail > 0; /* the slash */
        if (len == 0)
            (void)!hf_buf_append(&ups, "../", 3, NULL);
        while (len > 0 && r->path[len - 1] != '/')
            len--;
        len -= len > 0;
    }
    const char *mid = len > 0 ? "/" : "";
    *base = hf_asprintf("%.*s%s%s", (int)len, r->path, mid, hf_buf_str(&ups));
    *path = hf_strdup(r->name + tail + 1);
    hf_buf_deinit(&ups);
}

void hf_replica_pack(struct hf_replica *r, struct hf_packs *packs, unsigned up)
{
    HF_AUTO_FREE char *base = NULL;
    hf_assert(r->packs == NULL && up >= 1 && up <= HF_LIMIT_PACK_UP);
    hf_replica_above(r, up, &base, &r->packs_path);
    r->packs = packs;
    r->packs_up = up;
    r->member = hf_packs_join(packs, r, r->packs_path);
}

struct hf_packs *replica_packs_of(struct hf_replica *r)
{
    pthread_mutex_lock(&r->lock);
    struct hf_packs *p = r->packs;
    pthread_mutex_unlock(&r->lock);
    return p;
}

/* A marker was listed. */
static enum hf_code note_marker(struct hf_replica *r, unsigned up, uint64_t from,
                                struct hf_err *err)
{
    enum hf_code rc = HF_OK;
    pthread_mutex_lock(&r->lock);
    if (r->packs == NULL) {
        HF_AUTO_FREE char *base = NULL;
        hf_replica_above(r, up, &base, &r->packs_path);
        r->packs = hf_packs_new(r->store, base, 0, 0);
        r->packs_up = up;
        r->owns_packs = true;
    }
    if (r->packs_up != up) {
        rc = hf_err_set(err, HF_E_CONFLICT, "%s has changes in packs %u directories up, not %u",
                        r->name, up, r->packs_up);
        hf_err_hint(err, "pack-path must stay what it was for this replica");
    }
    if (!r->has_marker || from < r->packs_from)
        r->packs_from = from;
    r->has_marker = true;
    pthread_mutex_unlock(&r->lock);
    return rc;
}

/* A marker that says a later number is from before the directory of packs was emptied. */
static bool has_marker_for(struct hf_replica *r, uint64_t number)
{
    pthread_mutex_lock(&r->lock);
    bool has_marker = r->has_marker && r->packs_from <= number;
    pthread_mutex_unlock(&r->lock);
    return has_marker;
}

/* Before its first file goes into a pack: who lists the replica must know where to look. */
static enum hf_code write_marker(struct hf_replica *r, struct hf_err *err)
{
    static const char text[] = "The newest changes of this replica are in the directory packs, as "
                               "many directories up as this object's name says. See "
                               "docs/formats/pack.md of Holdfast.\n";
    char name[HF_PACK_MARKER_SIZE];
    if (has_marker_for(r, hf_packs_next(r->packs)))
        return HF_OK;
    HF_TRY(hf_packs_refresh(r->packs, err));
    uint64_t from = hf_packs_next(r->packs);
    if (has_marker_for(r, from))
        return HF_OK;
    hf_pack_marker_format(r->packs_up, from, name);
    HF_AUTO_FREE char *dir = level_prefix(r, 0);
    HF_AUTO_FREE char *object = hf_asprintf("%s/%s", dir, name);
    enum hf_code rc = hf_store_put(r->store, object, text, sizeof(text) - 1, HF_STORE_CREATE_ONLY,
                                   hf_clock_wall_ms(), err);
    if (rc == HF_E_EXISTS)
        hf_err_reset(err);
    else
        HF_TRY(rc);
    return note_marker(r, r->packs_up, from, err);
}

/* The first file of a database is an object for everybody: its name is guard enough, and many new
 * databases do not wait for packs. */
static bool is_packable(const struct hf_replica *r, int level, const struct hf_ltx_header *h)
{
    return r->member != NULL && level == 0 && h->min_txid > 1;
}

struct hf_gate *hf_replica_gate(struct hf_replica *r)
{
    hf_assert_magic(r, REPLICA_MAGIC);
    return r->member == NULL ? NULL : hf_packs_gate(r->packs);
}

void hf_replica_begin_file(struct hf_replica *r)
{
    hf_assert_magic(r, REPLICA_MAGIC);
    if (r->member == NULL)
        return;
    hf_packs_coming(r->packs, 1);
    hf_gate_enter(hf_packs_gate(r->packs));
}

void hf_replica_end_file(struct hf_replica *r)
{
    if (r->member == NULL)
        return;
    hf_gate_leave(hf_packs_gate(r->packs));
    hf_packs_coming(r->packs, -1);
}

/* An L0 file of its own beside packs: they say that its TXIDs are taken. */
static enum hf_code reserve(struct hf_replica *r, int level, const struct hf_ltx_header *h,
                            struct hf_err *err)
{
    if (!is_packable(r, level, h))
        return HF_OK;
    HF_TRY(write_marker(r, err));
    return hf_packs_put(r->packs, r->member, h, NULL, 0, err);
}

/* ---- listing ---- */

struct listing {
    struct hf_replica *replica;
    struct hf_ltx_list *out;
    int level;
    uint64_t after;
};

static enum hf_code add_object(void *arg, const struct hf_store_object *o, struct hf_err *err)
{
    struct listing *l = arg;
    unsigned up = 0;
    uint64_t from = 0;
    if (l->level == 0 && hf_pack_marker_parse(o->name, &up, &from))
        return note_marker(l->replica, up, from, err);
    struct hf_ltx_info info = {.level = l->level, .size = o->size, .time_ms = o->time_ms};
    if (hf_ltx_name_parse(o->name, &info.min_txid, &info.max_txid) && info.max_txid > l->after)
        hf_ltx_list_push(l->out, &info);
    return HF_OK;
}

static enum hf_code list_objects(struct hf_replica *r, int level, uint64_t after,
                                 struct hf_ltx_list *out, struct hf_err *err)
{
    HF_AUTO_FREE char *prefix = level_prefix(r, level);
    struct listing l = {r, out, level, after};
    /* L0 files hold one TXID each, or as many as were behind; others may begin long before. */
    char start[HF_LTX_NAME_SIZE];
    bool can_seek = level == 0 && after > HF_LIMIT_FOLD_FILES;
    if (can_seek)
        hf_ltx_name_format(after - HF_LIMIT_FOLD_FILES, after, start);
    /* names are fixed-width hex: name order is min, then max */
    return hf_store_list(r->store, prefix, can_seek ? start : NULL, add_object, &l, err);
}

/* "LEVEL/NAME" */
static enum hf_code add_deep_object(void *arg, const struct hf_store_object *o, struct hf_err *err)
{
    struct listing *l = arg;
    if (o->name[0] < '0' || o->name[0] > '9' || o->name[1] != '/')
        return HF_OK;
    struct hf_store_object in_level = *o;
    in_level.name += 2;
    l->level = o->name[0] - '0';
    return add_object(l, &in_level, err);
}

enum { ALL_LEVELS = -1 }; /* by one request, and one more for each page */

static enum hf_code list_store(struct hf_replica *r, int level, uint64_t after,
                               struct hf_ltx_list *out, struct hf_err *err)
{
    if (level != ALL_LEVELS)
        return list_objects(r, level, after, out, err);
    HF_AUTO_FREE char *prefix = hf_asprintf("%s%sltx", r->path, r->path[0] ? "/" : "");
    struct listing l = {r, out, 0, after};
    return hf_store_list_deep(r->store, prefix, add_deep_object, &l, err);
}

/* A replica that was copied without its packs looks whole: who reads it is told, once. */
static void tell_if_gone(struct hf_replica *r, struct hf_packs *packs)
{
    if (!r->owns_packs || hf_packs_next(packs) > 1)
        return;
    pthread_mutex_lock(&r->lock);
    bool is_first = !r->has_told;
    r->has_told = true;
    pthread_mutex_unlock(&r->lock);
    if (!is_first)
        return;
    HF_AUTO_FREE char *object = hf_packs_object(packs, 1);
    HF_AUTO_FREE char *dir = hf_path_dir(object);
    hf_log(HF_LOG_WARN, "no packs", HF_F_STR("replica", r->name), HF_F_STR("directory", dir),
           HF_F_STR("hint", "its newest changes were in packs there; without them, what had not "
                            "been compacted is missing. Fine if pack was turned off since"),
           HF_F_END);
}

/* L0 is among what is listed. Packs first, as levels upwards: a file that is copied out of one is
 * seen twice, not missed. */
static enum hf_code list_with_packs(struct hf_replica *r, int level, uint64_t after,
                                    struct hf_ltx_list *out, struct hf_err *err)
{
    size_t before = out->len;
    struct hf_packs *packs = replica_packs_of(r);
    if (packs != NULL)
        HF_TRY(hf_packs_refresh(packs, err));
    HF_TRY(list_store(r, level, after, out, err));
    if (packs == NULL && (packs = replica_packs_of(r)) != NULL) { /* now we know */
        out->len = before;
        HF_TRY(hf_packs_refresh(packs, err));
        HF_TRY(list_store(r, level, after, out, err));
    }
    pthread_mutex_lock(&r->lock);
    bool has_marker = r->has_marker;
    uint64_t from = r->packs_from;
    pthread_mutex_unlock(&r->lock);
    if (!has_marker)
        return HF_OK;
    tell_if_gone(r, packs);
    hf_packs_list(packs, r->packs_path, from, after, out);
    sort_list(out, before);
    return HF_OK;
}

enum hf_code hf_replica_list(struct hf_replica *r, int level, uint64_t after,
                             struct hf_ltx_list *out, struct hf_err *err)
{
    hf_assert_magic(r, REPLICA_MAGIC);
    size_t before = out->len;
    enum hf_code rc = level == 0 ? list_with_packs(r, level, after, out, err)
                                 : list_store(r, level, after, out, err);
    if (rc == HF_OK)
        return HF_OK;
    out->len = before;
    return hf_err_wrap(err, "list level %d of %s", level, r->name);
}

/* The file of exactly these TXIDs among what is listed. */
static bool find_listed(const struct hf_ltx_list *l, struct hf_ltx_info *info)
{
    for (size_t i = 0; i < l->len; i++) {
        bool is_it =
            l->items[i].min_txid == info->min_txid && l->items[i].max_txid == info->max_txid;
        if (is_it)
            *info = l->items[i];
        if (is_it)
            return true;
    }
    return false;
}

enum hf_code hf_replica_look(struct hf_replica *r, struct hf_ltx_info *info, struct hf_err *err)
{
    hf_assert(info->level == 0);
    struct hf_packs *packs = replica_packs_of(r);
    if (packs != NULL) {
        struct hf_ltx_list l = {NULL, 0, 0};
        HF_TRY(hf_packs_refresh(packs, err));
        hf_packs_list(packs, r->packs_path, r->packs_from, info->min_txid - 1, &l);
        bool is_there = find_listed(&l, info);
        hf_ltx_list_deinit(&l);
        if (is_there)
            return HF_OK;
    }
    HF_AUTO_FREE char *name = hf_replica_object(r, info);
    return hf_store_head(r->store, name, &info->size, &info->time_ms, err);
}

char *hf_replica_watch_dir(struct hf_replica *r)
{
    struct hf_packs *packs = replica_packs_of(r);
    if (packs == NULL && hf_store_is_local(r->store)) { /* is it packed? */
        struct hf_ltx_list none = {NULL, 0, 0};
        (void)!list_objects(r, 0, UINT64_MAX, &none, NULL);
        hf_ltx_list_deinit(&none);
        packs = replica_packs_of(r);
    }
    if (packs == NULL) {
        HF_AUTO_FREE char *prefix = level_prefix(r, 0);
        return hf_store_watch_dir(r->store, prefix);
    }
    HF_AUTO_FREE char *object = hf_packs_object(packs, 1);
    *strrchr(object, '/') = '\0';
    return hf_store_watch_dir(r->store, object);
}

enum hf_code hf_replica_list_all(struct hf_replica *r, struct hf_ltx_list *out, struct hf_err *err)
{
    hf_assert_magic(r, REPLICA_MAGIC);
    size_t before = out->len;
    if (hf_store_has_deep_lists(r->store)) {
        enum hf_code rc = list_with_packs(r, ALL_LEVELS, 0, out, err);
        if (rc == HF_OK)
            return HF_OK;
        out->len = before;
        return hf_err_wrap(err, "list %s", r->name);
    }
    /* Upwards: a file that moves up between two listings is seen twice, not missed. */
    for (int level = 0; level < HF_LIMIT_LEVELS; level++) {
        enum hf_code rc = hf_replica_list(r, level, 0, out, err);
        if (rc != HF_OK) {
            out->len = before;
            return rc;
        }
    }
    return HF_OK;
}

enum hf_code hf_replica_check_end(struct hf_replica *r, const struct hf_ltx_info *last,
                                  struct hf_err *err)
{
    struct hf_packs *packs = replica_packs_of(r);
    uint64_t end = last->max_txid;
    struct hf_ltx_header h;
    if (packs == NULL || !has_marker_for(r, UINT64_MAX) ||
        hf_packs_hides(packs, r->packs_path, r->packs_from, end, INT64_MIN) == 0)
        return HF_OK;
    HF_TRY(hf_replica_read_header(r, last, &h, err)); /* lists may tell when it was put */
    uint64_t number = hf_packs_hides(packs, r->packs_path, r->packs_from, end, h.timestamp_ms);
    if (number == 0)
        return HF_OK;
    char txid[HF_TXID_TEXT];
    hf_txid_format(end, txid);
    HF_AUTO_FREE char *object = hf_packs_object(packs, number);
    hf_err_set(err, HF_E_CORRUPT, "%s/%s: its table is damaged; it may hold changes after TXID %s",
               hf_store_url(r->store), object, txid);
    hf_err_hint(err, "-txid %s restores what is whole", txid);
    return HF_E_CORRUPT;
}

enum hf_code hf_replica_position(struct hf_replica *r, uint64_t *txid, struct hf_err *err)
{
    struct hf_ltx_list all = {NULL, 0, 0};
    enum hf_code rc = hf_replica_list_all(r, &all, err);
    uint64_t max = 0;
    for (size_t i = 0; i < all.len; i++)
        max = all.items[i].max_txid > max ? all.items[i].max_txid : max;
    hf_ltx_list_deinit(&all);
    if (rc == HF_OK)
        *txid = max;
    return rc;
}

/* ---- writing ---- */

static struct hf_ltx_info info_of(int level, const struct hf_ltx_header *h)
{
    return (struct hf_ltx_info){.level = level,
                                .min_txid = h->min_txid,
                                .max_txid = h->max_txid,
                                .time_ms = h->timestamp_ms};
}

enum hf_code hf_replica_put(struct hf_replica *r, int level, const struct hf_ltx_header *h,
                            const void *data, size_t len, struct hf_err *err)
{
    hf_assert_magic(r, REPLICA_MAGIC);
    hf_assert(len >= HF_LTX_HEADER_SIZE);
    struct hf_ltx_info info = info_of(level, h);
    if (is_packable(r, level, h) && len <= HF_LIMIT_PACK_FILE) {
        HF_TRY(write_marker(r, err));
        return hf_packs_put(r->packs, r->member, h, data, len, err);
    }
    HF_TRY(reserve(r, level, h, err));
    HF_AUTO_FREE char *name = hf_replica_object(r, &info);
    hf_gate_enter(hf_replica_gate(r));
    enum hf_code rc =
        hf_store_put(r->store, name, data, len, HF_STORE_CREATE_ONLY, info.time_ms, err);
    hf_gate_leave(hf_replica_gate(r));
    if (rc == HF_OK && r->kept != NULL && level == 0)
        hf_kept_add(r->kept, &r->kept_files, &info, data, len);
    return rc;
}

enum hf_code hf_replica_writer_new(struct hf_replica *r, int level, const struct hf_ltx_header *h,
                                   struct hf_store_writer **out, struct hf_err *err)
{
    hf_assert_magic(r, REPLICA_MAGIC);
    struct hf_ltx_info info = info_of(level, h);
    HF_TRY(reserve(r, level, h, err));
    HF_AUTO_FREE char *name = hf_replica_object(r, &info);
    return hf_store_writer_new(r->store, name, HF_STORE_CREATE_ONLY, info.time_ms, out, err);
}

static enum hf_code sink_write(void *arg, const void *data, size_t len, struct hf_err *err)
{
    return hf_store_writer_write(arg, data, len, err);
}

struct hf_sink hf_replica_sink(struct hf_store_writer *w)
{
    return (struct hf_sink){sink_write, w};
}

enum hf_code hf_replica_delete(struct hf_replica *r, const struct hf_ltx_info *infos, size_t n,
                               struct hf_err *err)
{
    hf_assert_magic(r, REPLICA_MAGIC);
    if (n == 0)
        return HF_OK;
    char **names = hf_calloc(n, sizeof(*names));
    size_t n_names = 0;
    for (size_t i = 0; i < n; i++) {
        if (infos[i].pack == 0)
            names[n_names++] = hf_replica_object(r, &infos[i]);
    }
    enum hf_code rc = hf_store_delete(r->store, (const char *const *)names, n_names, err);
    struct hf_packs *packs = replica_packs_of(r);
    if (rc == HF_OK && packs != NULL)
        hf_packs_release(packs, r->packs_path, infos, n);
    for (size_t i = 0; i < n_names; i++)
        hf_free(names[i]);
    hf_free(names);
    return rc;
}
