#include "replica/restore.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "os/file.h"
#include "replica/fetch.h"
#include "replica/image.h"
#include "replica/input.h"
#include "replica/times.h"

enum {
    FILE_PERM = 0600,
    DIR_PERM = 0755,
    PROGRESS_BYTES = 1 << 20,
    DIRECT_MIN = 64 << 20,
    REQUESTS = 2, /* at once, unless told: one restore of many */
};

/* ---- plan ---- */

static struct hf_v3_target v3_target(const struct hf_restore_options *o)
{
    struct hf_v3_target t = {INT64_MAX, o->generation, UINT32_MAX};
    if (o->target.kind == HF_TARGET_TIME)
        t.time_ms = o->target.time_ms;
    if (o->has_index)
        t.index = o->index;
    return t;
}

static void use_v3(struct hf_restore_plan *p)
{
    p->is_v3 = true;
    p->files.len = 0;
    p->txid = 0;
    p->time_ms = p->v3.time_ms;
    p->bytes = p->v3.snapshot_size;
    for (size_t i = 0; i < p->v3.len; i++)
        p->bytes += p->v3.segments[i].size;
}

static void use_ltx(struct hf_restore_plan *p)
{
    const struct hf_ltx_info *last = &p->files.items[p->files.len - 1];
    p->txid = last->max_txid;
    p->time_ms = last->time_ms;
    for (size_t i = 0; i < p->files.len; i++)
        p->bytes += p->files.items[i].size;
}

/* Nothing listed goes on from the plan's end: a pack that can't be read must not pass for none. */
static enum hf_code check_end(struct hf_replica *r, const struct hf_restore_options *o,
                              const struct hf_ltx_list *all, const struct hf_ltx_list *files,
                              struct hf_err *err)
{
    const struct hf_ltx_info *last = &files->items[files->len - 1];
    if (o->target.kind == HF_TARGET_TXID || hf_plan_reach(all, last->max_txid) != last->max_txid)
        return HF_OK;
    return hf_replica_check_end(r, last, err);
}

/* A replica may hold both layouts, after an upgrade: the fresher one is meant. A TXID is LTX, a
 * generation is 0.3. */
static enum hf_code choose(struct hf_replica *r, const struct hf_restore_options *o,
                           struct hf_restore_plan *p, struct hf_err *err)
{
    struct hf_ltx_list all = {NULL, 0, 0};
    struct hf_err v3_err = HF_ERR_INIT;
    struct hf_v3_target t = v3_target(o);
    bool is_v3_only = o->generation != NULL || o->has_index;
    enum hf_code v3_rc = HF_OK;
    if (o->target.kind != HF_TARGET_TXID || is_v3_only)
        v3_rc = hf_v3_plan(r, &t, &p->v3, &v3_err);
    if (v3_rc != HF_OK && v3_rc != HF_E_CORRUPT) {
        *err = v3_err;
        return v3_rc;
    }
    enum hf_code rc = hf_replica_list_all(r, &all, err);
    if (rc == HF_OK && is_v3_only)
        all.len = 0;
    if (rc == HF_OK && o->target.kind == HF_TARGET_TIME)
        rc = hf_replica_settle_times(r, &all, o->target.time_ms, err);
    if (rc == HF_OK)
        rc = hf_plan_restore(&all, &o->target, &p->files, err);
    if (rc == HF_OK)
        rc = check_end(r, o, &all, &p->files, err);
    hf_ltx_list_deinit(&all);
    bool has_ltx = p->files.len > 0;
    if (has_ltx)
        use_ltx(p);
    if (!has_ltx && v3_rc != HF_OK && rc == HF_E_NOT_FOUND)
        p->v3.is_found = true; /* its error is what matters */
    bool is_v3 = p->v3.is_found && (!has_ltx || p->v3.time_ms > p->time_ms) &&
                 (rc == HF_OK || rc == HF_E_NOT_FOUND || rc == HF_E_RANGE);
    if (!is_v3)
        return rc;
    if (v3_rc != HF_OK) {
        *err = v3_err;
        return v3_rc;
    }
    hf_err_reset(err);
    use_v3(p);
    return HF_OK;
}

enum hf_code hf_restore_plan_make(struct hf_replica *r, const struct hf_restore_options *o,
                                  struct hf_restore_plan *plan, struct hf_err *err)
{
    struct hf_restore_plan p = {.is_v3 = false};
    struct hf_err local = HF_ERR_INIT;
    enum hf_code rc = choose(r, o, &p, &local);
    if (rc != HF_OK) {
        hf_restore_plan_deinit(&p);
        if (err != NULL)
            *err = local;
        return hf_err_wrap(err, "%s", hf_replica_name(r));
    }
    *plan = p;
    return HF_OK;
}

void hf_restore_plan_deinit(struct hf_restore_plan *plan)
{
    hf_ltx_list_deinit(&plan->files);
    hf_v3_plan_deinit(&plan->v3);
}

/* ---- pages ---- */

struct restore {
    struct hf_replica *replica;
    const struct hf_restore_options *options;
    const struct hf_restore_plan *plan;
    char *dir; /* of the output */
    char *temp;
    uint32_t perm;
    bool is_there; /* something has the output's name: empty, or to be replaced */
    struct hf_restore_result result;
};

static enum hf_code report(const struct restore *t, uint64_t done, uint64_t total,
                           struct hf_err *err)
{
    struct hf_restore_progress p = {done, total};
    if (t->options->progress != NULL && !t->options->progress(t->options->progress_arg, &p))
        return hf_err_set(err, HF_E_CANCELED, "stopped");
    return HF_OK;
}

static enum hf_code missing_page(const struct restore *t, uint32_t pgno, struct hf_err *err)
{
    char txid[HF_TXID_TEXT];
    hf_txid_format(t->plan->txid, txid);
    hf_err_set(err, HF_E_CORRUPT, "page %u is in none of the files up to TXID %s", pgno, txid);
    hf_err_hint(err, "try an earlier -txid or -timestamp; `ltx` lists what there is");
    return HF_E_CORRUPT;
}

/* Every page but the lock page, in order, each once: a restored database has no holes. */
static enum hf_code copy_pages(struct restore *t, struct hf_ltx_merge *m,
                               const struct hf_ltx_header *h, struct hf_image *image,
                               struct hf_err *err)
{
    uint32_t lock = hf_lock_page(h->page_size);
    uint64_t total = (uint64_t)h->commit * h->page_size;
    uint64_t reported = 0;
    for (uint32_t want = 1;; want++) {
        struct hf_ltx_page p;
        HF_TRY(hf_ltx_merge_next(m, &p, err));
        want += want == lock;
        if (p.pgno == 0)
            return want > h->commit ? HF_OK : missing_page(t, want, err);
        if (p.pgno != want)
            return missing_page(t, want, err);
        hf_assert(p.pgno <= h->commit);
        uint64_t offset = (uint64_t)(p.pgno - 1) * h->page_size;
        HF_TRY(hf_image_write(image, offset, p.data, h->page_size, err));
        if (offset - reported >= PROGRESS_BYTES) {
            HF_TRY(report(t, offset, total, err));
            reported = offset;
        }
    }
}

/* A small one is likely opened at once; a check reads all of it. */
static bool is_direct(const struct restore *t, uint64_t size)
{
    return size >= DIRECT_MIN && t->options->parallelism != 1 &&
           t->options->integrity == HF_INTEGRITY_NONE;
}

static enum hf_code write_image(struct restore *t, struct hf_ltx_merge *m,
                                const struct hf_ltx_header *h, struct hf_err *err)
{
    struct hf_image *image = NULL;
    uint64_t size = (uint64_t)h->commit * h->page_size;
    struct hf_image_how how = {t->perm, t->options->parallelism != 1, is_direct(t, size)};
    HF_TRY(hf_image_new(t->temp, &how, &image, err));
    enum hf_code rc = copy_pages(t, m, h, image, err);
    if (rc == HF_OK)
        rc = hf_image_finish(image, err);
    if (rc == HF_OK) /* the lock page may be the last one */
        rc = hf_file_truncate(hf_image_file(image), size, err);
    if (rc == HF_OK)
        rc = hf_file_sync(hf_image_file(image), err);
    hf_image_free(image);
    if (rc != HF_OK)
        return rc;
    t->result.bytes = size;
    t->result.pages = h->commit;
    return report(t, size, size, err);
}

static unsigned requests_of(const struct hf_restore_options *o)
{
    int n = o->parallelism;
    return n < 1 ? REQUESTS : n < HF_FETCH_REQUESTS ? (unsigned)n : HF_FETCH_REQUESTS;
}

static enum hf_code write_ltx(struct restore *t, struct hf_err *err)
{
    struct hf_inputs *in = NULL;
    struct hf_ltx_merge *m = NULL;
    struct hf_ltx_header h;
    size_t n = 0;
    struct hf_inputs_how how = {t->dir, requests_of(t->options)};
    HF_TRY(hf_inputs_open_how(t->replica, &t->plan->files, &how, &in, err));
    const struct hf_source *sources = hf_inputs_sources(in, &n);
    enum hf_code rc = hf_ltx_merge_new(sources, n, &m, &h, err);
    if (rc == HF_OK)
        rc = write_image(t, m, &h, err);
    t->result.read_bytes = hf_inputs_bytes(in);
    hf_ltx_merge_free(m);
    hf_inputs_free(in);
    return rc;
}

static bool v3_step(void *arg, uint64_t done, uint64_t total)
{
    return report(arg, done, total, NULL) == HF_OK;
}

static enum hf_code write_v3(struct restore *t, struct hf_err *err)
{
    struct hf_v3_output to = {t->temp, t->perm, t->dir, requests_of(t->options), v3_step, t};
    uint32_t page_size = 0;
    HF_TRY(hf_v3_restore(t->replica, &t->plan->v3, &to, &t->result.bytes, &page_size, err));
    t->result.pages = t->result.bytes / page_size;
    t->result.read_bytes = t->plan->bytes;
    return HF_OK;
}

/* ---- the output's name ---- */

/* A WAL or hot journal beside a new database would be played into it. (An -shm is rebuilt.) */
static const char *const side_files[] = {"-wal", "-journal", "-shm"};

static enum hf_code check_output(struct restore *t, struct hf_err *err)
{
    const char *output = t->options->output;
    struct hf_file_stat st;
    struct hf_err ignored = HF_ERR_INIT;
    bool is_there = hf_path_stat(output, &st, &ignored) == HF_OK;
    t->is_there = is_there;
    if (is_there && !st.is_regular)
        return hf_err_set(err, HF_E_INVALID, "%s is not a file", output);
    if (is_there && st.size > 0 &&
        !t->options->is_force) { /* an empty file is no database; mktemp makes them */
        hf_err_set(err, HF_E_EXISTS,
                   "cannot restore, output path already exists and is not empty: %s", output);
        hf_err_hint(err, "-force replaces it, -if-db-not-exists skips it, -o names another");
        return HF_E_EXISTS;
    }
    if (is_there)
        t->perm = st.mode;
    for (size_t i = 0; i < 2 && !t->options->is_force; i++) {
        HF_AUTO_FREE char *side = hf_asprintf("%s%s", output, side_files[i]);
        if (!hf_path_exists(side))
            continue;
        hf_err_set(err, HF_E_EXISTS, "cannot restore, %s is left of another database", side);
        hf_err_hint(err, "SQLite would play it into the restored one; -force removes it");
        return HF_E_EXISTS;
    }
    return HF_OK;
}

/* The side files first: an old WAL must never meet the new database. */
static enum hf_code take_name(struct restore *t, struct hf_err *err)
{
    const char *output = t->options->output;
    for (size_t i = 0; i < HF_ARRAY_LEN(side_files) && t->options->is_force; i++) {
        HF_AUTO_FREE char *side = hf_asprintf("%s%s", output, side_files[i]);
        HF_TRY(hf_path_remove(side, err));
    }
    bool may_replace = t->options->is_force || t->is_there;
    HF_TRY(may_replace ? hf_path_rename(t->temp, output, err)
                       : hf_path_rename_new(t->temp, output, err));
    return hf_path_sync_dir(t->dir, err);
}

/* ---- run ---- */

static enum hf_code make_image(struct restore *t, struct hf_err *err)
{
    HF_TRY(t->plan->is_v3 ? write_v3(t, err) : write_ltx(t, err));
    return hf_sqlite_check(t->temp, t->options->integrity, err);
}

/* One plan carried out. */
static enum hf_code attempt(struct restore *t, struct hf_err *err)
{
    struct hf_restore_plan plan = {.is_v3 = false};
    HF_TRY(hf_restore_plan_make(t->replica, t->options, &plan, err));
    t->plan = &plan;
    t->result =
        (struct hf_restore_result){.txid = plan.txid, .time_ms = plan.time_ms, .is_v3 = plan.is_v3};
    HF_AUTO_FREE char *temp = hf_asprintf("%s.tmp-%08x", t->options->output, hf_random_u32());
    t->temp = temp;
    enum hf_code rc = make_image(t, err);
    if (rc == HF_OK)
        rc = take_name(t, err);
    if (rc != HF_OK) {
        struct hf_err ignored = HF_ERR_INIT; /* the first error is the one to tell */
        if (hf_path_remove(temp, &ignored) != HF_OK)
            hf_err_reset(&ignored);
        rc = hf_err_wrap(err, "restore %s", t->options->output);
    }
    hf_restore_plan_deinit(&plan);
    t->plan = NULL;
    t->temp = NULL;
    return rc;
}

/* Has a planned file vanished, or is there nothing to restore from? */
static bool can_plan_anew(struct restore *t)
{
    struct hf_restore_plan plan = {.is_v3 = false};
    struct hf_err ignored = HF_ERR_INIT;
    if (hf_restore_plan_make(t->replica, t->options, &plan, &ignored) != HF_OK)
        return false;
    hf_restore_plan_deinit(&plan);
    return true;
}

enum hf_code hf_restore_run(struct hf_replica *r, const struct hf_restore_options *o,
                            struct hf_restore_result *result, struct hf_err *err)
{
    hf_assert(o->output != NULL && o->output[0] != '\0');
    uint64_t start = hf_clock_mono_ns();
    struct hf_err local = HF_ERR_INIT;
    struct restore t = {.replica = r, .options = o, .perm = FILE_PERM};
    HF_AUTO_FREE char *dir = hf_path_dir(o->output);
    t.dir = dir;
    enum hf_code rc = check_output(&t, &local);
    if (rc == HF_OK)
        rc = hf_path_mkdirs(dir, DIR_PERM, &local);
    for (int i = 0; rc == HF_OK && i < HF_RESTORE_TRIES; i++) {
        hf_err_reset(&local);
        enum hf_code tried = attempt(&t, &local);
        if (tried != HF_E_NOT_FOUND || i + 1 == HF_RESTORE_TRIES || !can_plan_anew(&t)) {
            rc = tried;
            break;
        }
    }
    if (rc != HF_OK) {
        if (err != NULL)
            *err = local;
        return rc;
    }
    *result = t.result;
    result->seconds = (double)(hf_clock_mono_ns() - start) / 1e9;
    return HF_OK;
}
