/*
 * Files of a replica read: one at a time, fetched ahead for a merge, or only their begin.
 */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "replica/fetch.h"
#include "replica/input.h"
#include "replica/replica_int.h"

struct hf_replica_input {
    struct hf_store *store;
    char *object;
    char *name;                     /* for messages: with the store's URL */
    struct hf_store_reader *reader; /* NULL between reads, or at the end */
    struct hf_fetched *fetched;     /* instead of a reader; borrowed */
    uint64_t offset;
    uint8_t *bytes; /* all of it: one out of a pack, or kept */
    uint64_t size;  /* of bytes */
    bool is_frugal;
    bool is_at_end;
};

/* A file in a pack is small: it is read at once, no pack is held open. */
static enum hf_code open_packed(struct hf_replica *r, const struct hf_ltx_info *info,
                                struct hf_replica_input *in, struct hf_err *err)
{
    struct hf_packs *packs = replica_packs_of(r);
    in->object = hf_packs_object(packs, info->pack);
    in->name = hf_asprintf("%s/%s", hf_store_url(r->store), in->object);
    in->size = info->size;
    in->bytes = hf_malloc(info->size);
    return hf_packs_read(packs, info, in->bytes, err);
}

static enum hf_code open_object(struct hf_replica *r, const struct hf_ltx_info *info,
                                struct hf_replica_input *in, struct hf_err *err)
{
    in->object = hf_replica_object(r, info);
    in->name = hf_asprintf("%s/%s", hf_store_url(r->store), in->object);
    return hf_store_reader_new(r->store, in->object, 0, &in->reader, err);
}

enum hf_code hf_replica_input_new(struct hf_replica *r, const struct hf_ltx_info *info,
                                  struct hf_replica_input **out, struct hf_err *err)
{
    hf_assert_magic(r, REPLICA_MAGIC);
    struct hf_replica_input *in = hf_calloc(1, sizeof(*in));
    in->store = r->store;
    enum hf_code rc =
        info->pack != 0 ? open_packed(r, info, in, err) : open_object(r, info, in, err);
    if (rc != HF_OK) {
        hf_replica_input_free(in);
        return rc;
    }
    *out = in;
    return HF_OK;
}

enum hf_code hf_replica_input_fetch(struct hf_replica *r, const struct hf_ltx_info *info,
                                    struct hf_fetch *f, struct hf_replica_input **out,
                                    struct hf_err *err)
{
    hf_assert_magic(r, REPLICA_MAGIC);
    if (info->pack != 0)
        return hf_replica_input_new(r, info, out, err);
    HF_AUTO_FREE char *object = hf_replica_object(r, info);
    uint8_t *kept = NULL;
    if (r->kept != NULL && info->level == 0)
        kept = hf_kept_copy(r->kept, &r->kept_files, info);
    struct hf_fetched *fetched = kept == NULL ? hf_fetch_add(f, object, info->size) : NULL;
    if (kept == NULL && fetched == NULL)
        return hf_replica_input_new(r, info, out, err);
    struct hf_replica_input *in = hf_calloc(1, sizeof(*in));
    in->store = r->store;
    in->name = hf_asprintf("%s/%s", hf_store_url(r->store), object);
    in->fetched = fetched;
    in->bytes = kept;
    in->size = info->size;
    *out = in;
    return HF_OK;
}

static void drop_reader(struct hf_replica_input *in)
{
    hf_store_reader_free(in->reader);
    in->reader = NULL;
}

/* Out of the bytes at hand. */
static size_t read_bytes(struct hf_replica_input *in, void *buf, size_t cap)
{
    size_t left = in->size - in->offset;
    size_t n = left < cap ? left : cap;
    memcpy(buf, in->bytes + in->offset, n);
    in->offset += n;
    return n;
}

static enum hf_code input_read(void *arg, void *buf, size_t cap, size_t *got, struct hf_err *err)
{
    struct hf_replica_input *in = arg;
    *got = 0;
    if (in->is_at_end)
        return HF_OK;
    if (in->bytes != NULL) {
        *got = read_bytes(in, buf, cap);
        return HF_OK;
    }
    if (in->reader == NULL && in->fetched == NULL)
        HF_TRY(hf_store_reader_new(in->store, in->object, in->offset, &in->reader, err));
    HF_TRY(in->fetched != NULL ? hf_fetched_read(in->fetched, buf, cap, got, err)
                               : hf_store_reader_read(in->reader, buf, cap, got, err));
    in->offset += *got;
    in->is_at_end = *got < cap;
    if (in->is_at_end || (in->is_frugal && !hf_store_reader_rest(in->reader)))
        drop_reader(in);
    return HF_OK;
}

struct hf_source hf_replica_input_source(struct hf_replica_input *in)
{
    return (struct hf_source){input_read, in, in->name};
}

void hf_replica_input_set_frugal(struct hf_replica_input *in)
{
    hf_assert(in->offset == 0);
    if (in->bytes != NULL || in->fetched != NULL || hf_store_reader_is_light(in->reader))
        return; /* to open it again would be a request more, and save nothing */
    in->is_frugal = true;
    if (!hf_store_reader_rest(in->reader))
        drop_reader(in);
}

uint64_t hf_replica_input_bytes(const struct hf_replica_input *in)
{
    return in->offset;
}

void hf_replica_input_free(struct hf_replica_input *in)
{
    if (in == NULL)
        return;
    drop_reader(in);
    hf_free(in->bytes);
    hf_free(in->object);
    hf_free(in->name);
    hf_free(in);
}

enum hf_code hf_replica_read_header(struct hf_replica *r, const struct hf_ltx_info *info,
                                    struct hf_ltx_header *h, struct hf_err *err)
{
    struct hf_replica_input *in = NULL;
    HF_TRY(hf_replica_input_new(r, info, &in, err));
    uint8_t raw[HF_LTX_HEADER_SIZE];
    size_t got = 0;
    enum hf_code rc = input_read(in, raw, sizeof(raw), &got, err);
    if (rc == HF_OK && got < sizeof(raw))
        rc = hf_err_set(err, HF_E_CORRUPT, "%s: %zu bytes, shorter than a header", in->name, got);
    if (rc == HF_OK && (rc = hf_ltx_header_unpack(raw, h, err)) != HF_OK)
        hf_err_wrap(err, "%s", in->name);
    hf_replica_input_free(in);
    return rc;
}

static enum hf_code form_of(struct hf_replica *r, const struct hf_ltx_info *info,
                            enum hf_ltx_form *form, struct hf_err *err)
{
    struct hf_replica_input *in = NULL;
    struct hf_ltx_decoder *d = NULL;
    HF_TRY(hf_replica_input_new(r, info, &in, err));
    enum hf_code rc = hf_ltx_decoder_new(hf_replica_input_source(in), &d, err);
    if (rc == HF_OK) {
        struct hf_ltx_page page;
        rc = hf_ltx_decoder_next(d, &page, err);
        if (rc == HF_OK)
            *form = hf_ltx_decoder_form(d);
        hf_ltx_decoder_free(d);
    }
    hf_replica_input_free(in);
    return rc;
}

/* The newest L0 says what the last writer wrote; without L0 it is the newest of all. */
static enum hf_code newest_file(struct hf_replica *r, struct hf_ltx_info *newest,
                                struct hf_err *err)
{
    struct hf_ltx_list l = {NULL, 0, 0};
    enum hf_code rc = hf_store_has_deep_lists(r->store) ? hf_replica_list_all(r, &l, err)
                                                        : hf_replica_list(r, 0, 0, &l, err);
    if (rc == HF_OK && l.len == 0 && !hf_store_has_deep_lists(r->store))
        rc = hf_replica_list_all(r, &l, err);
    bool has_l0 = l.len > 0 && l.items[0].level == 0; /* lists go upwards */
    for (size_t i = 0; i < l.len; i++) {
        if (l.items[i].max_txid > newest->max_txid && (l.items[i].level == 0 || !has_l0))
            *newest = l.items[i];
    }
    hf_ltx_list_deinit(&l);
    return rc;
}

enum hf_code hf_replica_form(struct hf_replica *r, enum hf_ltx_form *form, struct hf_err *err)
{
    struct hf_ltx_info newest = {.max_txid = 0};
    enum hf_code rc = newest_file(r, &newest, err);
    if (rc != HF_OK)
        return rc;
    *form = HF_LTX_FORM_BLOCK;
    if (newest.max_txid == 0)
        return HF_OK;
    rc = form_of(r, &newest, form, err);
    if (rc != HF_E_CORRUPT)
        return rc;
    hf_err_reset(err); /* a damaged file may not keep new ones from being written */
    return HF_OK;
}
