#include "replica/input.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "os/file.h"
#include "replica/fetch.h"

enum {
    MERGE_MAX = 512,  /* inputs of one merge: about 16 KiB each, and ten steps of a heap */
    FRUGAL_FROM = 64, /* beyond so many inputs, descriptors are not kept between reads */
    RUN_BUFFER = 256 << 10,
    REQUESTS = 4, /* at once, unless told: compaction is in no hurry */
};

/* A merged run in a file without a name. */
struct run {
    struct hf_file file;
    uint64_t size;
    uint64_t offset; /* of the next read */
    uint8_t *buf;    /* gathers the encoder's small writes */
    size_t buffered;
};

struct hf_inputs {
    struct hf_fetch *fetch; /* of files on a server */
    struct hf_replica_input **files;
    size_t n_files;
    struct run *runs;
    size_t n_runs;
    struct hf_source *sources;
    size_t n_sources;
    uint64_t total;
    uint64_t run_input_bytes; /* of files that were merged into runs and closed */
};

/* ---- runs ---- */

static enum hf_code run_flush(struct run *run, struct hf_err *err)
{
    HF_TRY(hf_file_write_at(&run->file, run->buf, run->buffered, run->size, err));
    run->size += run->buffered;
    run->buffered = 0;
    return HF_OK;
}

static enum hf_code run_write(void *arg, const void *data, size_t len, struct hf_err *err)
{
    struct run *run = arg;
    const uint8_t *p = data;
    while (len > 0) {
        size_t n = RUN_BUFFER - run->buffered;
        n = n < len ? n : len;
        memcpy(run->buf + run->buffered, p, n);
        run->buffered += n;
        p += n;
        len -= n;
        if (run->buffered == RUN_BUFFER)
            HF_TRY(run_flush(run, err));
    }
    return HF_OK;
}

static enum hf_code run_read(void *arg, void *buf, size_t cap, size_t *got, struct hf_err *err)
{
    struct run *run = arg;
    HF_TRY(hf_file_read_some(&run->file, buf, cap, run->offset, got, err));
    run->offset += *got;
    return HF_OK;
}

static enum hf_code copy_pages(struct hf_ltx_merge *m, struct hf_ltx_encoder *e, struct hf_err *err)
{
    for (;;) {
        struct hf_ltx_page page;
        HF_TRY(hf_ltx_merge_next(m, &page, err));
        if (page.pgno == 0)
            return HF_OK;
        if (page.block != NULL)
            HF_TRY(
                hf_ltx_encoder_page_lz4(e, page.pgno, page.data, page.block, page.block_len, err));
        else
            HF_TRY(hf_ltx_encoder_page(e, page.pgno, page.data, err));
    }
}

static enum hf_code run_fill(struct run *run, const struct hf_source *sources, size_t n,
                             const char *spill_dir, struct hf_err *err)
{
    struct hf_ltx_merge *m = NULL;
    struct hf_ltx_encoder *e = NULL;
    struct hf_ltx_header h;
    HF_TRY(hf_ltx_merge_new(sources, n, &m, &h, err));
    enum hf_code rc = hf_ltx_encoder_new(&h, HF_LTX_FORM_BLOCK, (struct hf_sink){run_write, run},
                                         spill_dir, &e, err);
    if (rc == HF_OK)
        rc = copy_pages(m, e, err);
    if (rc == HF_OK)
        rc = hf_ltx_encoder_finish(e, NULL, NULL, err);
    if (rc == HF_OK)
        rc = run_flush(run, err);
    hf_ltx_encoder_free(e);
    hf_ltx_merge_free(m);
    return rc;
}

/* ---- opening ---- */

static enum hf_code open_files(struct hf_replica *r, const struct hf_ltx_list *files,
                               const struct hf_inputs_how *how, struct hf_inputs *in,
                               struct hf_err *err)
{
    size_t n = files->len;
    if (!hf_store_is_local(hf_replica_store(r)))
        in->fetch = hf_fetch_new(hf_replica_store(r), how->requests, how->spill_dir);
    for (size_t i = 0; i < n; i++) {
        struct hf_replica_input *f = NULL;
        const struct hf_ltx_info *info = &files->items[i];
        HF_TRY(in->fetch != NULL ? hf_replica_input_fetch(r, info, in->fetch, &f, err)
                                 : hf_replica_input_new(r, info, &f, err));
        in->files[in->n_files++] = f;
        if (n > FRUGAL_FROM)
            hf_replica_input_set_frugal(f);
        in->sources[in->n_sources++] = hf_replica_input_source(f);
    }
    return in->fetch != NULL ? hf_fetch_start(in->fetch, err) : HF_OK;
}

static void inputs_init(struct hf_inputs *in, size_t files, size_t runs)
{
    in->files = hf_calloc(files, sizeof(struct hf_replica_input *));
    in->runs = hf_calloc(runs + 1, sizeof(*in->runs));
    in->sources = hf_calloc(files + runs, sizeof(*in->sources));
}

static void group_deinit(struct hf_inputs *group)
{
    for (size_t i = 0; i < group->n_files; i++)
        hf_replica_input_free(group->files[i]);
    hf_fetch_free(group->fetch);
    hf_free(group->files);
    hf_free(group->runs);
    hf_free(group->sources);
}

static enum hf_code add_run(struct hf_replica *r, const struct hf_ltx_list *part,
                            const struct hf_inputs_how *how, struct hf_inputs *in,
                            struct hf_err *err)
{
    struct run *run = &in->runs[in->n_runs];
    HF_TRY(hf_file_open_temp(how->spill_dir, &run->file, err));
    in->n_runs++;
    run->buf = hf_malloc(RUN_BUFFER);
    struct hf_inputs group = {0};
    inputs_init(&group, part->len, 0);
    enum hf_code rc = open_files(r, part, how, &group, err);
    if (rc == HF_OK)
        rc = run_fill(run, group.sources, group.n_sources, how->spill_dir, err);
    for (size_t i = 0; i < group.n_files; i++)
        in->run_input_bytes += hf_replica_input_bytes(group.files[i]);
    group_deinit(&group);
    hf_free(run->buf);
    run->buf = NULL;
    if (rc != HF_OK)
        return rc;
    in->sources[in->n_sources++] = (struct hf_source){run_read, run, "merged run"};
    return HF_OK;
}

static enum hf_code open_in_runs(struct hf_replica *r, const struct hf_ltx_list *files,
                                 const struct hf_inputs_how *how, struct hf_inputs *in,
                                 struct hf_err *err)
{
    struct hf_ltx_list base = {files->items, 1, 1};
    HF_TRY(open_files(r, &base, how, in, err)); /* it is read once, straight */
    for (size_t i = 1; i < files->len; i += MERGE_MAX) {
        size_t n = files->len - i < MERGE_MAX ? files->len - i : MERGE_MAX;
        struct hf_ltx_list part = {files->items + i, n, n};
        HF_TRY(add_run(r, &part, how, in, err));
    }
    return HF_OK;
}

enum hf_code hf_inputs_open(struct hf_replica *r, const struct hf_ltx_list *files,
                            const char *spill_dir, struct hf_inputs **out, struct hf_err *err)
{
    struct hf_inputs_how how = {spill_dir, REQUESTS};
    return hf_inputs_open_how(r, files, &how, out, err);
}

enum hf_code hf_inputs_open_how(struct hf_replica *r, const struct hf_ltx_list *files,
                                const struct hf_inputs_how *how, struct hf_inputs **out,
                                struct hf_err *err)
{
    hf_assert(files->len >= 1);
    bool is_many = files->len > MERGE_MAX;
    if (files->len > (size_t)MERGE_MAX * (MERGE_MAX - 1))
        return hf_err_set(err, HF_E_LIMIT, "%s: %zu files to merge, at most %d at once",
                          hf_replica_name(r), files->len, MERGE_MAX * (MERGE_MAX - 1));
    struct hf_inputs *in = hf_calloc(1, sizeof(*in));
    inputs_init(in, is_many ? 1 : files->len, is_many ? files->len / MERGE_MAX + 1 : 0);
    for (size_t i = 0; i < files->len; i++)
        in->total += files->items[i].size;
    enum hf_code rc =
        is_many ? open_in_runs(r, files, how, in, err) : open_files(r, files, how, in, err);
    if (rc != HF_OK) {
        hf_inputs_free(in);
        return rc;
    }
    hf_assert(in->n_sources >= 1 && in->n_sources <= MERGE_MAX);
    *out = in;
    return HF_OK;
}

const struct hf_source *hf_inputs_sources(const struct hf_inputs *in, size_t *n)
{
    *n = in->n_sources;
    return in->sources;
}

uint64_t hf_inputs_bytes(const struct hf_inputs *in)
{
    uint64_t bytes = in->run_input_bytes;
    for (size_t i = 0; i < in->n_files; i++)
        bytes += hf_replica_input_bytes(in->files[i]);
    return bytes;
}

uint64_t hf_inputs_total(const struct hf_inputs *in)
{
    return in->total;
}

void hf_inputs_free(struct hf_inputs *in)
{
    if (in == NULL)
        return;
    for (size_t i = 0; i < in->n_files; i++)
        hf_replica_input_free(in->files[i]);
    hf_fetch_free(in->fetch);
    for (size_t i = 0; i < in->n_runs; i++) {
        hf_file_close(&in->runs[i].file);
        hf_free(in->runs[i].buf);
    }
    hf_free(in->files);
    hf_free(in->runs);
    hf_free(in->sources);
    hf_free(in);
}
