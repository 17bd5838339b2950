/*
 * The page checksums of a database (replica/sumsync.h): who supplies them, and that they stand
 * still while an image is compared with them.
 */
#include "base/log.h"
#include "base/mem.h"
#include "replica/db.h"
#include "replica/sumsync.h"
#include "sqlite/sums.h"

enum { SUM_TRIES = 6 }; /* with 0.1 to 3 s in between, then an image is taken without them */

/* From another destination as far as it leads, then from the spool. */
static enum hf_code from_peer(struct db *db, const struct dest_peer *p, uint64_t target,
                              char **path, struct hf_err *err)
{
    uint64_t first = p->txid < target ? p->txid : target;
    if (first == target)
        return hf_sums_catch_up(p->replica, db->meta, target, path, err);
    HF_TRY(hf_sums_catch_up(p->replica, db->meta, first, NULL, err));
    return hf_sums_catch_up(db->replica, db->meta, target, path, err);
}

/* It was read, and does not lead there. */
static bool is_answer(enum hf_code rc)
{
    return rc == HF_OK || rc == HF_E_CORRUPT || rc == HF_E_RANGE || rc == HF_E_NOT_FOUND ||
           rc == HF_E_CONFLICT;
}

static enum hf_code catch_up_many(struct db *db, uint64_t target, struct hf_err *err)
{
    struct hf_err one = HF_ERR_INIT;
    enum hf_code silent = HF_OK;
    enum hf_code rc = hf_sums_catch_up(db->replica, db->meta, target, &db->sums_path, &one);
    for (size_t i = 0; rc != HF_OK && i < db->n_sum_peers; i++) {
        hf_err_reset(&one);
        rc = from_peer(db, &db->sum_peers[i], target, &db->sums_path, &one);
        if (!is_answer(rc) && silent == HF_OK && err != NULL) {
            silent = rc;
            *err = one;
        }
    }
    if (rc == HF_OK)
        db->n_sum_fails = 0;
    if (rc == HF_OK || (silent != HF_OK && ++db->n_sum_fails < SUM_TRIES))
        return rc == HF_OK ? HF_OK : silent;
    return hf_err_set(err, HF_E_RANGE, "no replica that answers leads to %016llx",
                      (unsigned long long)target);
}

enum hf_code db_sums_prepare(struct db *db, uint64_t target, struct hf_err *err)
{
    pthread_mutex_lock(&db->sums_lock);
    atomic_store(&db->are_sums_held, true);
    enum hf_code rc = db_has_spool(db)
                          ? catch_up_many(db, target, err)
                          : hf_sums_catch_up(db->replica, db->meta, target, &db->sums_path, err);
    pthread_mutex_unlock(&db->sums_lock);
    return rc;
}

void db_sums_release(struct db *db)
{
    atomic_store(&db->are_sums_held, false);
}

static uint64_t stated(const struct db *db)
{
    HF_AUTO_FREE char *path = hf_path_join(db->meta, "pages.sum");
    struct hf_sums *sums = NULL;
    if (hf_sums_open(path, &sums, NULL) != HF_OK)
        return 0;
    uint64_t txid = hf_sums_txid(sums);
    hf_sums_close(sums);
    return txid;
}

enum hf_code db_sums_forward(struct db *db, struct hf_replica *r, const struct hf_ltx_info *file,
                             struct hf_err *err)
{
    enum hf_code rc = HF_OK;
    pthread_mutex_lock(&db->sums_lock);
    if (!atomic_load(&db->are_sums_held) && stated(db) < file->max_txid)
        rc = file->size > 0 ? hf_sums_follow(r, db->meta, file, err)
                            : hf_sums_catch_up(r, db->meta, file->max_txid, NULL, err);
    pthread_mutex_unlock(&db->sums_lock);
    return rc;
}
