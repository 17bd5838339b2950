/*
 * The spool of a database with several destinations: what was captured, one fsynced, create-only
 * LTX file an upload, in spool/ltx/0 (ltx/9 for the snapshot that begins a new chain) of the local
 * state directory, where meta-path may have Litestream's own ltx/0, too. A file goes when every
 * destination has it; beyond HF_LIMIT_SPOOL_BYTES when any has it: those that lack it then are
 * caught up from one that does not. What nobody else has stays.
 */
#include "base/log.h"
#include "base/mem.h"
#include "replica/db.h"
#include "replica/mark.h"

/* ---- loading ---- */

static void forget(struct db *db)
{
    db->spool.files.len = 0;
    db->e->spool_bytes -= db->spool.bytes;
    db->spool.bytes = 0;
}

static enum hf_code drop_name(void *arg, const char *name, bool is_dir, struct hf_err *err)
{
    HF_AUTO_FREE char *path = hf_path_join(arg, name);
    return is_dir ? HF_OK : hf_path_remove(path, err);
}

/* Of a time with several destinations; with one it must not be taken for the truth later. */
static void clear_leftovers(struct db *db)
{
    static const char *const dirs[] = {"spool/ltx/0", "spool/ltx/9", "spool/ltx", "spool"};
    HF_AUTO_FREE char *spool = hf_path_join(db->meta, "spool");
    if (!hf_path_exists(spool))
        return;
    hf_mark_clean(db->meta);
    for (size_t i = 0; i < HF_ARRAY_LEN(dirs); i++) {
        HF_AUTO_FREE char *dir = hf_path_join(db->meta, dirs[i]);
        (void)!hf_path_list(dir, drop_name, dir, NULL);
        (void)!hf_path_rmdir(dir, NULL);
    }
}

enum hf_code db_spool_load(struct db *db, struct hf_err *err)
{
    if (!db_has_spool(db)) {
        clear_leftovers(db);
        return HF_OK;
    }
    struct hf_ltx_list *l = &db->spool.gone; /* handed over by db_spool_adopt */
    l->len = 0;
    HF_TRY(hf_replica_list(db->replica, 0, 0, l, err));
    HF_TRY(hf_replica_list(db->replica, HF_LEVEL_SNAPSHOT, 0, l, err));
    return HF_OK;
}

static void add(struct db *db, const struct hf_ltx_info *f)
{
    hf_ltx_list_push(&db->spool.files, f);
    db->spool.bytes += f->size;
    db->e->spool_bytes += f->size;
}

void db_spool_adopt(struct db *db)
{
    struct hf_ltx_list l = db->spool.gone;
    db->spool.gone = (struct hf_ltx_list){NULL, 0, 0};
    forget(db);
    /* two ascending runs: by max TXID they are one */
    while (l.len > 0) {
        size_t least = 0;
        for (size_t i = 1; i < l.len; i++) {
            if (l.items[i].max_txid < l.items[least].max_txid)
                least = i;
        }
        add(db, &l.items[least]);
        for (size_t i = least + 1; i < l.len; i++)
            l.items[i - 1] = l.items[i];
        l.len--;
    }
    hf_ltx_list_deinit(&l);
}

uint64_t db_spool_newest(const struct db *db)
{
    const struct hf_ltx_list *l = &db->spool.files;
    return l->len == 0 ? 0 : l->items[l->len - 1].max_txid;
}

/* ---- filling ---- */

void db_spool_push(struct db *db, int level, uint64_t min_txid, uint64_t max_txid, uint64_t bytes,
                   int64_t first_ms)
{
    struct hf_ltx_info f = {
        .level = level, .min_txid = min_txid, .max_txid = max_txid, .size = bytes};
    add(db, &f);
    for (size_t i = 0; i < db->n_dests; i++) {
        struct dest *d = &db->dests[i];
        if (d->behind_ms == 0)
            d->behind_ms = first_ms;
        d->behind_bytes += bytes;
    }
}

static bool leads_on(const struct hf_ltx_info *f, uint64_t position)
{
    return f->min_txid <= position + 1 && f->max_txid > position;
}

void db_spool_chain(const struct db *db, uint64_t position, struct hf_ltx_list *out)
{
    const struct hf_ltx_list *l = &db->spool.files;
    uint64_t bytes = 0;
    size_t at = 0;
    out->len = 0;
    while (out->len < HF_LIMIT_FOLD_FILES && bytes < HF_LIMIT_FOLD_BYTES) {
        while (at < l->len && !leads_on(&l->items[at], position))
            at++;
        if (at == l->len || (l->items[at].level == HF_LEVEL_SNAPSHOT && out->len > 0))
            return; /* nothing is merged across the begin of a chain */
        hf_ltx_list_push(out, &l->items[at]);
        bytes += l->items[at].size;
        position = l->items[at].max_txid;
        if (l->items[at].level == HF_LEVEL_SNAPSHOT)
            return;
    }
}

/* ---- emptying ---- */

static enum hf_code trim_work(struct db *db, struct hf_err *err)
{
    return hf_replica_delete(db->replica, db->spool.gone.items, db->spool.gone.len, err);
}

static void trim_done(struct db *db, enum hf_code rc, struct hf_err *err)
{
    if (rc != HF_OK) /* found again at the next start */
        hf_log(HF_LOG_WARN, "local files stay", HF_F_STR("db", db->path), HF_F_ERR(err), HF_F_END);
    db->spool.gone.len = 0;
    db_spool_trim(db);
}

static bool is_over(const struct db *db)
{
    return db->spool.bytes > HF_LIMIT_SPOOL_BYTES || db->e->spool_bytes > HF_LIMIT_SPOOL_ALL;
}

/* Up to where every destination has it; with is_any, where one has. One that holds another history
 * is caught up from the others, not from here, unless there are none. */
static uint64_t floor_of(const struct db *db, bool is_any)
{
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    for (size_t i = 0; i < db->n_dests; i++) {
        const struct dest *d = &db->dests[i];
        uint64_t has = d->state == DEST_OK ? d->txid : 0;
        if (d->state != DEST_FOREIGN)
            least = has < least ? has : least;
        most = has > most ? has : most;
    }
    return is_any || least == UINT64_MAX ? most : least;
}

/* A file an upload is reading stays. */
static bool is_in_use(const struct db *db, const struct hf_ltx_info *f)
{
    for (size_t i = 0; i < db->n_dests; i++) {
        const struct dest *d = &db->dests[i];
        if (d->ship.is_busy && d->chain.len > 0 && f->max_txid >= d->chain.items[0].max_txid)
            return true;
    }
    return db_lane_busy(db, LANE_BASE);
}

void db_spool_trim(struct db *db)
{
    struct spool *s = &db->spool;
    if (db_lane_busy(db, LANE_TRIM))
        return;
    uint64_t floor = floor_of(db, is_over(db));
    size_t n = 0;
    while (n + 1 < s->files.len && s->files.items[n].max_txid <= floor &&
           !is_in_use(db, &s->files.items[n])) {
        hf_ltx_list_push(&s->gone, &s->files.items[n]);
        s->bytes -= s->files.items[n].size;
        db->e->spool_bytes -= s->files.items[n].size;
        n++;
    }
    if (n == 0)
        return;
    for (size_t i = n; i < s->files.len; i++)
        s->files.items[i - n] = s->files.items[i];
    s->files.len -= n;
    db_submit(db, LANE_TRIM, trim_work, trim_done);
}

bool db_spool_is_full(const struct db *db)
{
    return is_over(db) && floor_of(db, true) < db->txid;
}
