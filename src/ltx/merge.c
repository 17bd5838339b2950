/*
 * A binary heap over the inputs, ordered by current page number, then newest input first: the top
 * is always the next page in its newest form, and older images of it come to the top right after
 * it. They are read (every byte of every input is verified) and dropped.
 *
 * An input is moved on only when the next page is asked for, so the page handed out stays valid
 * that long. Pages beyond the final commit are drained the same way.
 */
#include "ltx/merge.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

#define MERGE_MAGIC 0x4c54586du

enum {
    READ_AHEAD_ALL =
        16 << 20, /* read buffers of all inputs together: a restore stays below 64 MB */
    READ_AHEAD_MIN = 16 << 10,
};

struct input {
    struct hf_ltx_decoder *decoder; /* NULL when read to its end */
    struct hf_ltx_page page;
};

struct hf_ltx_merge {
    uint32_t magic;
    bool has_failed;
    struct input *inputs; /* oldest first */
    size_t n_inputs;
    size_t *heap; /* indexes into inputs */
    size_t n_heap;
    struct hf_ltx_header header;
    uint32_t last_pgno; /* handed out; its images are still on the heap */
};

static bool is_before(const struct hf_ltx_merge *m, size_t a, size_t b)
{
    uint32_t pa = m->inputs[a].page.pgno;
    uint32_t pb = m->inputs[b].page.pgno;
    return pa != pb ? pa < pb : a > b;
}

static void sift_down(struct hf_ltx_merge *m, size_t i)
{
    size_t moving = m->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= m->n_heap)
            break;
        if (child + 1 < m->n_heap && is_before(m, m->heap[child + 1], m->heap[child]))
            child++;
        if (!is_before(m, m->heap[child], moving))
            break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = moving;
}

/* Reads the next page of the input at the top, or takes it off when it has ended. */
static enum hf_code advance_top(struct hf_ltx_merge *m, struct hf_err *err)
{
    struct input *in = &m->inputs[m->heap[0]];
    HF_TRY(hf_ltx_decoder_next(in->decoder, &in->page, err));
    if (in->page.pgno == 0) {
        hf_ltx_decoder_free(in->decoder);
        in->decoder = NULL;
        m->heap[0] = m->heap[--m->n_heap];
        if (m->n_heap == 0)
            return HF_OK;
    }
    sift_down(m, 0);
    return HF_OK;
}

static const char *name_of(const struct hf_source *s)
{
    return s->name != NULL ? s->name : "LTX file";
}

/* b, the header of sources[1], must go on where a, that of sources[0], ends. */
static enum hf_code check_follows(const struct hf_source *sources, const struct hf_ltx_header *a,
                                  const struct hf_ltx_header *b, struct hf_err *err)
{
    const char *older = name_of(&sources[0]);
    const char *newer = name_of(&sources[1]);
    unsigned long long prev_max = a->max_txid, min = b->min_txid, max = b->max_txid;
    if (b->page_size != a->page_size)
        return hf_err_set(err, HF_E_CORRUPT, "%s: byte 8: page size %u, but %u in %s", newer,
                          b->page_size, a->page_size, older);
    if (min - 1 > prev_max)
        return hf_err_set(err, HF_E_CORRUPT,
                          "%s: byte 16: begins at TXID %llx, but %s ends at %llx", newer, min,
                          older, prev_max);
    if (max <= prev_max)
        return hf_err_set(err, HF_E_CORRUPT,
                          "%s: byte 24: ends at TXID %llx, which %s (to %llx) already holds", newer,
                          max, older, prev_max);
    return HF_OK;
}

static enum hf_code open_inputs(struct hf_ltx_merge *m, const struct hf_source *sources,
                                struct hf_err *err)
{
    size_t read_ahead = READ_AHEAD_ALL / m->n_inputs;
    if (read_ahead > HF_LIMIT_READ_AHEAD)
        read_ahead = HF_LIMIT_READ_AHEAD;
    if (read_ahead < READ_AHEAD_MIN)
        read_ahead = READ_AHEAD_MIN;
    for (size_t i = 0; i < m->n_inputs; i++) {
        HF_TRY(hf_ltx_decoder_new_sized(sources[i], read_ahead, &m->inputs[i].decoder, err));
        const struct hf_ltx_header *h = hf_ltx_decoder_header(m->inputs[i].decoder);
        if (i > 0)
            HF_TRY(check_follows(&sources[i - 1], hf_ltx_decoder_header(m->inputs[i - 1].decoder),
                                 h, err));
    }
    const struct hf_ltx_header *first = hf_ltx_decoder_header(m->inputs[0].decoder);
    const struct hf_ltx_header *last = hf_ltx_decoder_header(m->inputs[m->n_inputs - 1].decoder);
    m->header = (struct hf_ltx_header){
        .flags = HF_LTX_FLAG_NO_CHECKSUM,
        .page_size = first->page_size,
        .commit = last->commit,
        .min_txid = first->min_txid,
        .max_txid = last->max_txid,
        .timestamp_ms = last->timestamp_ms,
    };
    return HF_OK;
}

enum hf_code hf_ltx_merge_new(const struct hf_source *sources, size_t n, struct hf_ltx_merge **out,
                              struct hf_ltx_header *header, struct hf_err *err)
{
    hf_assert(sources != NULL && n >= 1 && n <= HF_LIMIT_MERGE_INPUTS);
    hf_assert(out != NULL && header != NULL);
    struct hf_ltx_merge *m = hf_calloc(1, sizeof(*m));
    m->magic = MERGE_MAGIC;
    m->n_inputs = n;
    m->inputs = hf_calloc(n, sizeof(*m->inputs));
    m->heap = hf_calloc(n, sizeof(*m->heap));
    enum hf_code rc = open_inputs(m, sources, err);
    if (rc != HF_OK) {
        hf_ltx_merge_free(m);
        return rc;
    }
    /* Every input starts at page 0, which is never handed out: the first call moves them all on. */
    for (size_t i = 0; i < n; i++)
        m->heap[i] = n - 1 - i;
    m->n_heap = n;
    *header = m->header;
    *out = m;
    return HF_OK;
}

/* A merge that begins at TXID 1 is a whole database: a missing page is damage, found here and not
 * when the restored database is opened. */
static enum hf_code check_complete(const struct hf_ltx_merge *m, uint32_t pgno, struct hf_err *err)
{
    if (m->header.min_txid != 1)
        return HF_OK;
    uint32_t lock = hf_lock_page(m->header.page_size);
    uint64_t want = (uint64_t)m->last_pgno + 1;
    if (want == lock)
        want++;
    uint64_t end = (uint64_t)m->header.commit + 1;
    if (end == lock)
        end++;
    if (want == (pgno != 0 ? pgno : end))
        return HF_OK;
    return hf_err_set(err, HF_E_CORRUPT, "page %llu of the database is in none of the %zu files",
                      (unsigned long long)want, m->n_inputs);
}

static enum hf_code next(struct hf_ltx_merge *m, struct hf_ltx_page *page, struct hf_err *err)
{
    while (m->n_heap > 0) {
        const struct input *top = &m->inputs[m->heap[0]];
        bool is_wanted = top->page.pgno > m->last_pgno && top->page.pgno <= m->header.commit;
        if (is_wanted)
            break;
        HF_TRY(advance_top(m, err));
    }
    uint32_t pgno = m->n_heap > 0 ? m->inputs[m->heap[0]].page.pgno : 0;
    HF_TRY(check_complete(m, pgno, err));
    *page = pgno != 0 ? m->inputs[m->heap[0]].page : (struct hf_ltx_page){0};
    if (pgno != 0)
        m->last_pgno = pgno;
    return HF_OK;
}

enum hf_code hf_ltx_merge_next(struct hf_ltx_merge *m, struct hf_ltx_page *page, struct hf_err *err)
{
    hf_assert_magic(m, MERGE_MAGIC);
    hf_assert(page != NULL);
    if (m->has_failed)
        return hf_err_set(err, HF_E_CORRUPT, "the merge has failed before");
    enum hf_code rc = next(m, page, err);
    m->has_failed = rc != HF_OK;
    return rc;
}

void hf_ltx_merge_free(struct hf_ltx_merge *m)
{
    if (m == NULL)
        return;
    hf_assert_magic(m, MERGE_MAGIC);
    for (size_t i = 0; i < m->n_inputs; i++)
        hf_ltx_decoder_free(m->inputs[i].decoder);
    hf_free(m->inputs);
    hf_free(m->heap);
    m->magic = 0;
    hf_free(m);
}
