#include "replica/sumsync.h"

#include "base/assert.h"
#include "base/mem.h"
#include "ltx/crc64.h"
#include "ltx/merge.h"
#include "os/file.h"
#include "replica/input.h"
#include "replica/plan.h"
#include "sqlite/sums.h"

/* Merges files [0, n) of the plan into the checksums. */
static enum hf_code merge_into(struct hf_ltx_merge *m, struct hf_sums *sums, uint32_t page_size,
                               struct hf_err *err)
{
    struct hf_ltx_page page;
    for (;;) {
        HF_TRY(hf_ltx_merge_next(m, &page, err));
        if (page.pgno == 0)
            return HF_OK;
        HF_TRY(
            hf_sums_set(sums, page.pgno, hf_page_checksum(page.pgno, page.data, page_size), err));
    }
}

static enum hf_code merge_inputs(struct hf_inputs *in, const char *path, struct hf_sums **sums,
                                 struct hf_err *err)
{
    size_t n = 0;
    const struct hf_source *sources = hf_inputs_sources(in, &n);
    struct hf_ltx_merge *m = NULL;
    struct hf_ltx_header h;
    HF_TRY(hf_ltx_merge_new(sources, n, &m, &h, err));
    enum hf_code rc = HF_OK;
    if (*sums != NULL && hf_sums_page_size(*sums) != h.page_size && h.min_txid == 1) {
        hf_sums_close(*sums); /* a new chain: nothing of the old one counts */
        *sums = NULL;
    }
    if (*sums == NULL)
        rc = hf_sums_create(path, h.page_size, sums, err);
    else if (hf_sums_page_size(*sums) != h.page_size)
        rc = hf_err_set(err, HF_E_CORRUPT, "the page size changed within the chain");
    else
        rc = hf_sums_begin(*sums, err);
    if (rc == HF_OK)
        rc = merge_into(m, *sums, h.page_size, err);
    if (rc == HF_OK)
        rc = hf_sums_commit(*sums, h.max_txid, h.commit, err);
    hf_ltx_merge_free(m);
    return rc;
}

/* The files from the checksums' TXID to target; from the beginning if there are none to go on from.
 */
static enum hf_code make_plan(const struct hf_ltx_list *all, struct hf_sums **sums, uint64_t target,
                              struct hf_ltx_list *plan, struct hf_err *err)
{
    if (*sums != NULL && hf_plan_follow(all, hf_sums_txid(*sums), plan, NULL) == HF_OK &&
        plan->len > 0 && plan->items[plan->len - 1].max_txid == target)
        return HF_OK;
    hf_sums_close(*sums);
    *sums = NULL;
    plan->len = 0;
    struct hf_restore_target t = {.kind = HF_TARGET_TXID, .txid = target};
    return hf_plan_restore(all, &t, plan, err);
}

/* Files beyond the target do not count: more may have been shipped meanwhile. */
static void drop_beyond(struct hf_ltx_list *all, uint64_t target)
{
    size_t n = 0;
    for (size_t i = 0; i < all->len; i++) {
        if (all->items[i].max_txid <= target)
            all->items[n++] = all->items[i];
    }
    all->len = n;
}

static enum hf_code merge_files(struct hf_replica *r, const char *path,
                                const struct hf_ltx_list *files, struct hf_sums **sums,
                                struct hf_err *err)
{
    struct hf_inputs *in = NULL;
    HF_AUTO_FREE char *dir = hf_path_dir(path);
    enum hf_code rc = hf_inputs_open(r, files, dir, &in, err);
    if (rc == HF_OK)
        rc = merge_inputs(in, path, sums, err);
    hf_inputs_free(in);
    return rc;
}

static enum hf_code catch_up(struct hf_replica *r, const char *path, uint64_t target,
                             struct hf_sums **sums, struct hf_err *err)
{
    struct hf_ltx_list all = {0};
    struct hf_ltx_list plan = {0};
    enum hf_code rc = hf_replica_list_all(r, &all, err);
    drop_beyond(&all, target);
    if (rc == HF_OK)
        rc = make_plan(&all, sums, target, &plan, err);
    if (rc == HF_OK)
        rc = merge_files(r, path, &plan, sums, err);
    hf_ltx_list_deinit(&all);
    hf_ltx_list_deinit(&plan);
    return rc;
}

enum hf_code hf_sums_catch_up(struct hf_replica *r, const char *dir, uint64_t target,
                              char **sums_path, struct hf_err *err)
{
    HF_AUTO_FREE char *path = hf_path_join(dir, "pages.sum");
    struct hf_sums *sums = NULL;
    hf_assert(target > 0);
    HF_TRY(hf_path_mkdirs(dir, 0700, err));
    if (hf_sums_open(path, &sums, NULL) != HF_OK)
        sums = NULL;
    enum hf_code rc = HF_OK;
    if (sums == NULL || hf_sums_txid(sums) != target)
        rc = catch_up(r, path, target, &sums, err);
    hf_sums_close(sums);
    if (rc == HF_OK && sums_path != NULL)
        *sums_path = hf_steal(&path);
    return rc;
}

enum hf_code hf_sums_follow(struct hf_replica *r, const char *dir, const struct hf_ltx_info *file,
                            struct hf_err *err)
{
    HF_AUTO_FREE char *path = hf_path_join(dir, "pages.sum");
    struct hf_sums *sums = NULL;
    struct hf_ltx_info one = *file;
    struct hf_ltx_list list = {&one, 1, 1};
    bool is_next = hf_sums_open(path, &sums, NULL) == HF_OK &&
                   hf_sums_txid(sums) + 1 >= file->min_txid && hf_sums_txid(sums) < file->max_txid;
    enum hf_code rc = is_next ? merge_files(r, path, &list, &sums, err) : HF_OK;
    hf_sums_close(sums);
    return is_next ? rc : hf_sums_catch_up(r, dir, file->max_txid, NULL, err);
}
