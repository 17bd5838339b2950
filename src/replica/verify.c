#include "replica/verify.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "os/file.h"
#include "replica/input.h"
#include "replica/plan.h"
#include "replica/position.h"
#include "replica/restore.h"
#include "sqlite/snapread.h"

enum { WORD_BITS = 64 };

/* ---- sets of pages ---- */

struct bits {
    uint64_t *words;
    size_t n_words;
    uint64_t count;
};

static void bits_grow(struct bits *b, uint32_t pgno)
{
    size_t need = pgno / WORD_BITS + 1;
    if (need <= b->n_words)
        return;
    b->words = hf_realloc(b->words, need, sizeof(*b->words));
    memset(b->words + b->n_words, 0, (need - b->n_words) * sizeof(*b->words));
    b->n_words = need;
}

static bool bits_has(const struct bits *b, uint32_t pgno)
{
    size_t w = pgno / WORD_BITS;
    return w < b->n_words && (b->words[w] >> pgno % WORD_BITS & 1) != 0;
}

static void bits_set(struct bits *b, uint32_t pgno, bool is_in)
{
    bits_grow(b, pgno);
    if (bits_has(b, pgno) == is_in)
        return;
    b->words[pgno / WORD_BITS] ^= UINT64_C(1) << pgno % WORD_BITS;
    b->count += is_in ? 1 : UINT64_MAX;
}

static void bits_clear(struct bits *b)
{
    hf_free(b->words);
    *b = (struct bits){NULL, 0, 0};
}

/* ---- one verification ---- */

struct verify {
    const struct hf_verify_options *o;
    struct hf_file copy;
    uint64_t txid; /* the copy's */
    int64_t time_ms;
    uint32_t page_size;
    uint32_t pages; /* the copy's */
    uint8_t *a;
    uint8_t *b;

    struct hf_snapread *snap; /* the look's */
    struct bits different;    /* pages of the copy that are not S's */
    struct bits at_a;         /* the same when the copy was at A */
    bool has_a;
    struct bits in_flight; /* changed by files that were captured after A */
    struct bits unproven;  /* in flight at every look so far */
    bool has_unproven;
    bool is_settled; /* a file captured well after S was held has been seen */
};

static enum hf_code check_on(const struct verify *v, struct hf_err *err)
{
    if (v->o->keep_on == NULL || v->o->keep_on(v->o->keep_on_arg))
        return HF_OK;
    return hf_err_set(err, HF_E_CANCELED, "stopped");
}

static bool on_progress(void *arg, const struct hf_restore_progress *p)
{
    const struct verify *v = arg;
    (void)p;
    return check_on(v, NULL) == HF_OK;
}

static enum hf_code restore(struct verify *v, struct hf_err *err)
{
    struct hf_restore_options ro = {
        .output = v->o->scratch, .progress = on_progress, .progress_arg = v};
    struct hf_restore_result r;
    HF_TRY(hf_restore_run(v->o->replica, &ro, &r, err));
    if (r.is_v3) {
        hf_err_set(err, HF_E_UNSUPPORTED, "%s: replicas of Litestream 0.3 can't be compared",
                   hf_replica_name(v->o->replica));
        hf_err_hint(err, "restore -integrity-check full tells whether one can be restored");
        return HF_E_UNSUPPORTED;
    }
    v->txid = r.txid;
    v->time_ms = r.time_ms;
    v->pages = (uint32_t)r.pages;
    v->page_size = r.pages == 0 ? 0 : (uint32_t)(r.bytes / r.pages);
    return hf_file_open(v->o->scratch, HF_FILE_WRITE, 0600, &v->copy, err);
}

/* ---- comparing ---- */

static bool is_skipped(const struct verify *v, uint32_t pgno)
{
    return pgno == hf_lock_page(v->page_size); /* never part of a backup */
}

static enum hf_code compare_page(struct verify *v, uint32_t pgno, const void *page,
                                 struct hf_err *err)
{
    bool is_different = pgno > hf_snapread_pages(v->snap) || pgno > v->pages;
    if (is_skipped(v, pgno))
        return HF_OK;
    if (!is_different) {
        HF_TRY(hf_snapread_page(v->snap, pgno, v->b, err));
        is_different = memcmp(page, v->b, v->page_size) != 0;
    }
    bits_set(&v->different, pgno, is_different);
    return HF_OK;
}

static enum hf_code compare_all(struct verify *v, struct hf_err *err)
{
    uint32_t source = hf_snapread_pages(v->snap);
    uint32_t n = source > v->pages ? source : v->pages;
    bits_clear(&v->different);
    for (uint32_t pgno = 1; pgno <= n; pgno++) {
        uint64_t at = (uint64_t)(pgno - 1) * v->page_size;
        if (pgno <= v->pages)
            HF_TRY(hf_file_read_at(&v->copy, v->a, v->page_size, at, err));
        HF_TRY(compare_page(v, pgno, v->a, err));
        if (pgno % 1024 == 0)
            HF_TRY(check_on(v, err));
    }
    return HF_OK;
}

/* ---- playing the copy forward ---- */

static enum hf_code take_pages(struct verify *v, struct hf_ltx_merge *m, bool is_after,
                               struct hf_err *err)
{
    for (;;) {
        struct hf_ltx_page p;
        HF_TRY(hf_ltx_merge_next(m, &p, err));
        if (p.pgno == 0)
            return HF_OK;
        uint64_t at = (uint64_t)(p.pgno - 1) * v->page_size;
        HF_TRY(hf_file_write_at(&v->copy, p.data, v->page_size, at, err));
        HF_TRY(compare_page(v, p.pgno, p.data, err));
        if (is_after)
            bits_set(&v->in_flight, p.pgno, true);
    }
}

/* The size changed: what lies between the two sizes is different or no longer there. */
static enum hf_code resize(struct verify *v, uint32_t pages, bool is_after, struct hf_err *err)
{
    uint32_t from = pages < v->pages ? pages : v->pages;
    uint32_t to = pages < v->pages ? v->pages : pages;
    HF_TRY(hf_file_truncate(&v->copy, (uint64_t)pages * v->page_size, err));
    v->pages = pages;
    for (uint32_t pgno = from + 1; pgno <= to; pgno++) {
        /* A page that is new counts as different until the file brings it. */
        bits_set(&v->different, pgno, pgno <= pages || pgno <= hf_snapread_pages(v->snap));
        if (is_after)
            bits_set(&v->in_flight, pgno, true);
    }
    return HF_OK;
}

static enum hf_code apply_open(struct verify *v, const struct hf_source *source, bool is_after,
                               struct hf_err *err)
{
    struct hf_ltx_merge *m = NULL;
    struct hf_ltx_header h;
    HF_TRY(hf_ltx_merge_new(source, 1, &m, &h, err));
    enum hf_code rc = HF_OK;
    if (h.page_size != v->page_size)
        rc = hf_err_set(err, HF_E_BUSY, "the page size changed meanwhile: verify again");
    if (rc == HF_OK && h.commit != v->pages)
        rc = resize(v, h.commit, is_after, err);
    if (rc == HF_OK)
        rc = take_pages(v, m, is_after, err);
    hf_ltx_merge_free(m);
    HF_TRY(rc);
    v->txid = h.max_txid;
    v->time_ms = h.timestamp_ms;
    return HF_OK;
}

/* What the copy at A differed in, before the first file behind it is applied. */
static void note_a(struct verify *v)
{
    if (v->has_a)
        return;
    v->has_a = true;
    for (uint32_t i = 0; i < v->different.n_words * WORD_BITS; i++) {
        if (bits_has(&v->different, i))
            bits_set(&v->at_a, i, true);
    }
}

static enum hf_code apply(struct verify *v, const struct hf_ltx_info *info, struct hf_err *err)
{
    struct hf_replica_input *in = NULL;
    int64_t held_ms = hf_snapread_time_ms(v->snap);
    bool is_after = info->time_ms >= held_ms;
    if (is_after)
        note_a(v);
    HF_TRY(hf_replica_input_new(v->o->replica, info, &in, err));
    struct hf_source source = hf_replica_input_source(in);
    enum hf_code rc = apply_open(v, &source, is_after, err);
    hf_replica_input_free(in);
    v->is_settled = v->is_settled || info->time_ms >= held_ms + HF_VERIFY_SLACK_MS;
    return rc;
}

/* The next files: L0 one by one where they are, else whatever continues. */
static enum hf_code find_next(struct verify *v, struct hf_ltx_list *out, struct hf_err *err)
{
    HF_TRY(hf_replica_list(v->o->replica, 0, v->txid, out, err));
    if (out->len > 0 && out->items[0].min_txid == v->txid + 1)
        return HF_OK;
    struct hf_ltx_list all = {NULL, 0, 0};
    out->len = 0;
    enum hf_code rc = hf_replica_list_all(v->o->replica, &all, err);
    if (rc == HF_OK)
        rc = hf_plan_follow(&all, v->txid, out, err);
    hf_ltx_list_deinit(&all);
    return rc;
}

static bool is_equal(const struct verify *v)
{
    return v->different.count == 0 && v->pages == hf_snapread_pages(v->snap);
}

/* *is_news: at least one file was applied. Ends early when the copy is S. */
static enum hf_code go_forward(struct verify *v, bool *is_news, struct hf_err *err)
{
    struct hf_ltx_list next = {NULL, 0, 0};
    enum hf_code rc = find_next(v, &next, err);
    *is_news = false;
    for (size_t i = 0; rc == HF_OK && i < next.len && !is_equal(v) && !v->is_settled; i++) {
        if (next.items[i].min_txid > v->txid + 1)
            break;
        if (next.items[i].max_txid <= v->txid)
            continue;
        rc = apply(v, &next.items[i], err);
        *is_news = true;
    }
    hf_ltx_list_deinit(&next);
    return rc;
}

/* ---- one look ---- */

/* The local state says that the main file, unchanged since, is what the replica's newest TXID
 * holds: nobody has to be waited for. */
static bool is_proven_complete(const struct verify *v)
{
    struct hf_position pos;
    struct hf_file_stat st;
    HF_AUTO_FREE char *wal = hf_asprintf("%s-wal", v->o->source);
    if (hf_path_stat(wal, &st, NULL) == HF_OK && st.size > 0)
        return false;
    if (v->o->meta_path == NULL || hf_position_load(v->o->meta_path, &pos, NULL) != HF_OK)
        return false;
    return pos.txid == v->txid && hf_path_stat(v->o->source, &st, NULL) == HF_OK &&
           hf_position_main_is(&pos, &st);
}

static void tell(const struct verify *v, struct hf_verify_result *r, enum hf_verdict verdict,
                 const struct bits *pages)
{
    r->verdict = verdict;
    r->n_different = pages == NULL ? 0 : pages->count;
    r->n_shown = 0;
    for (uint32_t i = 0; pages != NULL && i < pages->n_words * WORD_BITS; i++) {
        if (bits_has(pages, i) && r->n_shown < HF_VERIFY_SHOWN)
            r->shown[r->n_shown++] = i;
    }
    r->txid = v->txid;
    r->time_ms = v->time_ms;
    r->pages = hf_snapread_pages(v->snap);
    r->page_size = v->page_size;
}

/* Differences at A that no later file explains. */
static void keep_unexplained(const struct verify *v, struct bits *out)
{
    for (uint32_t i = 0; i < v->at_a.n_words * WORD_BITS; i++) {
        if (bits_has(&v->at_a, i) && !bits_has(&v->in_flight, i))
            bits_set(out, i, true);
    }
}

static void narrow_unproven(struct verify *v)
{
    struct bits both = {NULL, 0, 0};
    for (uint32_t i = 0; i < v->at_a.n_words * WORD_BITS; i++) {
        if (bits_has(&v->at_a, i) && (!v->has_unproven || bits_has(&v->unproven, i)))
            bits_set(&both, i, true);
    }
    bits_clear(&v->unproven);
    v->unproven = both;
    v->has_unproven = true;
}

/* The copy has gone past S without being it. */
static void judge_passed(struct verify *v, struct hf_verify_result *r)
{
    struct bits unexplained = {NULL, 0, 0};
    note_a(v);
    keep_unexplained(v, &unexplained);
    if (unexplained.count > 0) {
        tell(v, r, HF_VERDICT_DIFFERENT, &unexplained);
    } else {
        narrow_unproven(v);
        bool is_proven = v->unproven.count == 0;
        tell(v, r, is_proven ? HF_VERDICT_SAME : HF_VERDICT_BUSY, &v->unproven);
    }
    bits_clear(&unexplained);
}

static enum hf_code past_held_state(struct verify *v, bool is_hold, struct hf_verify_result *r,
                                    struct hf_err *err)
{
    struct hf_err asked = HF_ERR_INIT;
    if (is_equal(v)) { /* nobody need be asked for anything */
        tell(v, r, HF_VERDICT_SAME, NULL);
        return HF_OK;
    }
    uint64_t patience_ms = is_hold ? v->o->hold_ms : v->o->wait_ms;
    bool is_complete =
        v->o->sync != NULL && v->o->sync(v->o->sync_arg, patience_ms, &asked) == HF_OK;
    uint64_t end = hf_clock_mono_ms() + patience_ms;
    for (;;) {
        bool is_news = false;
        HF_TRY(go_forward(v, &is_news, err));
        if (is_equal(v)) {
            tell(v, r, HF_VERDICT_SAME, NULL);
            return HF_OK;
        }
        if (is_news && !v->is_settled)
            continue;
        bool is_past = v->is_settled || is_complete || is_proven_complete(v);
        if (is_past) {
            judge_passed(v, r);
            return HF_OK;
        }
        if (hf_clock_mono_ms() >= end) {
            if (!is_hold) /* else it stays as the looks before left it */
                tell(v, r, HF_VERDICT_BEHIND, &v->different);
            return HF_OK;
        }
        HF_TRY(check_on(v, err));
        hf_clock_sleep_us(HF_VERIFY_POLL_MS * 1000u);
    }
}

static enum hf_code look(struct verify *v, bool is_hold, struct hf_verify_result *r,
                         struct hf_err *err)
{
    v->has_a = false;
    v->is_settled = false;
    bits_clear(&v->at_a);
    bits_clear(&v->in_flight);
    HF_TRY(hf_snapread_open(v->o->source, is_hold, &v->snap, err));
    r->looks++;
    enum hf_code rc = HF_OK;
    if (hf_snapread_page_size(v->snap) != v->page_size && hf_snapread_pages(v->snap) > 0)
        rc = hf_err_set(err, HF_E_BUSY, "page size %u, the replica has %u: not shipped yet",
                        hf_snapread_page_size(v->snap), v->page_size);
    if (rc == HF_OK)
        rc = compare_all(v, err);
    if (rc == HF_OK)
        rc = past_held_state(v, is_hold, r, err);
    hf_snapread_close(v->snap);
    v->snap = NULL;
    return rc;
}

static enum hf_code verify(struct verify *v, struct hf_verify_result *r, struct hf_err *err)
{
    HF_TRY(restore(v, err));
    v->a = hf_malloc(v->page_size + 1);
    v->b = hf_malloc(v->page_size + 1);
    unsigned most = v->o->sync == NULL ? HF_VERIFY_LOOKS_ALONE : HF_VERIFY_LOOKS;
    do {
        HF_TRY(look(v, false, r, err));
    } while (r->verdict == HF_VERDICT_BUSY && r->looks < most);
    if (r->verdict != HF_VERDICT_BUSY || v->o->hold_ms == 0)
        return HF_OK;
    return look(v, true, r, err);
}

static void remove_copy(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < HF_ARRAY_LEN(suffixes); i++) {
        HF_AUTO_FREE char *name = hf_asprintf("%s%s", path, suffixes[i]);
        (void)!hf_path_remove(name, NULL);
    }
}

const char *hf_verdict_word(enum hf_verdict v)
{
    static const char *const words[] = {
#define X(name, word, code, doc) word,
        HF_VERDICTS(X)
#undef X
    };
    hf_assert((size_t)v < HF_ARRAY_LEN(words));
    return words[v];
}

enum hf_code hf_verdict_code(enum hf_verdict v)
{
    static const enum hf_code codes[] = {
#define X(name, word, code, doc) code,
        HF_VERDICTS(X)
#undef X
    };
    hf_assert((size_t)v < HF_ARRAY_LEN(codes));
    return codes[v];
}

enum hf_code hf_verify_run(const struct hf_verify_options *o, struct hf_verify_result *res,
                           struct hf_err *err)
{
    struct verify v = {.o = o, .copy = HF_FILE_CLOSED};
    struct hf_verify_result r = {.verdict = HF_VERDICT_BEHIND};
    struct hf_err why = HF_ERR_INIT;
    uint64_t begin_ns = hf_clock_mono_ns();
    enum hf_code rc = verify(&v, &r, &why);
    hf_file_close(&v.copy);
    remove_copy(o->scratch);
    bits_clear(&v.different);
    bits_clear(&v.at_a);
    bits_clear(&v.in_flight);
    bits_clear(&v.unproven);
    hf_free(v.a);
    hf_free(v.b);
    if (rc != HF_OK) {
        if (err != NULL)
            *err = why;
        return rc;
    }
    r.seconds = (double)(hf_clock_mono_ns() - begin_ns) / 1e9;
    *res = r;
    return HF_OK;
}
