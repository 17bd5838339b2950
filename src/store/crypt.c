#include "store/crypt.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "store/seal.h"

enum {
    SEALED_CHUNK = HF_SEAL_CHUNK + HF_SEAL_EXTRA,
    IDS_SHOWN = 120,
};

struct crypt {
    struct hf_store base;
    struct hf_store_ops ops; /* base.ops: those below, with the type and times of inner */
    struct hf_store *inner;
    struct hf_keyring *ring;
    char *path;
    char key_id[HF_KEY_ID_TEXT]; /* of the key that writes */
    bool allow_plain;
    bool bind_path;
};

/* What is reached from another replica has the name that its own one has for it; what several share
 * has one, from however far below it is looked at. */
static const char *own_name(const char *name)
{
    if (strncmp(name, "../", 3) != 0)
        return name;
    while (strncmp(name, "../", 3) == 0)
        name += 3;
    for (const char *at; (at = strstr(name, "/ltx/")) != NULL;)
        name = at + 1;
    return name;
}

/* A subject of ours: the key is looked up later, for reading. */
static struct hf_seal_subject subject(const struct crypt *c, const char *name)
{
    name = own_name(name);
    return (struct hf_seal_subject){hf_keyring_key(c->ring, 0), name, c->path};
}

static void begin(const struct crypt *c, struct hf_seal *s, const char *name, uint8_t *header)
{
    struct hf_seal_subject what = subject(c, name);
    bool is_bound = c->bind_path && what.name == name;
    hf_seal_begin(s, &what, hf_keyring_id(c->ring, 0), is_bound ? HF_SEAL_PATH_BOUND : 0, header);
}

static enum hf_code plain_refused(struct hf_err *err)
{
    hf_err_set(err, HF_E_DENIED, "not encrypted, but this replica is");
    hf_err_hint(err, "somebody else put it there, or it is older than the encryption: then "
                     "encryption.allow-plain lets it be read");
    return HF_E_DENIED;
}

/* Begins to open: finds the key the header asks for. */
static enum hf_code open_header(const struct crypt *c, struct hf_seal *s, const char *name,
                                const uint8_t *header, struct hf_err *err)
{
    struct hf_seal_subject what = subject(c, name);
    char id[HF_KEY_ID_TEXT];
    char ours[IDS_SHOWN];
    hf_seal_key_id(header, id);
    what.key = hf_keyring_find(c->ring, id);
    if (what.key != NULL)
        return hf_seal_open(s, &what, header, err);
    hf_keyring_ids(c->ring, ours, sizeof(ours));
    hf_err_set(err, HF_E_DENIED, "encrypted with key %s, not with ours: %s", id, ours);
    hf_err_hint(err, "name the file of that key, too: keys behind the first one only read");
    return HF_E_DENIED;
}

/* Names the object an error of ours is about; the back end's errors do so themselves. */
static enum hf_code about(const struct crypt *c, const char *name, enum hf_code rc,
                          struct hf_err *err)
{
    if (rc != HF_OK)
        hf_err_wrap(err, "%s/%s", c->base.url, name);
    return rc;
}

/* ---- writing ---- */

struct crypt_writer {
    struct hf_store_writer base;
    struct hf_store_writer *inner;
    struct hf_seal seal;
    size_t len; /* bytes in plain */
    uint8_t plain[HF_SEAL_CHUNK];
    uint8_t sealed[SEALED_CHUNK];
};

static enum hf_code crypt_writer_new(struct hf_store *s, const struct hf_store_put_args *args,
                                     struct hf_store_writer **out, struct hf_err *err)
{
    struct crypt *c = (struct crypt *)s;
    uint8_t header[HF_SEAL_HEADER];
    struct hf_store_writer *inner = NULL;
    struct hf_store_put_args marked = *args;
    marked.key_id = c->key_id;
    HF_TRY(c->inner->ops->writer_new(c->inner, &marked, &inner, err));
    struct crypt_writer *w = hf_calloc(1, sizeof(*w));
    w->base.store = s;
    w->inner = inner;
    begin(c, &w->seal, args->name, header);
    enum hf_code rc = c->inner->ops->writer_write(inner, header, sizeof(header), err);
    if (rc != HF_OK) {
        c->inner->ops->writer_abort(inner);
        hf_free(w);
        return rc;
    }
    *out = &w->base;
    return HF_OK;
}

static enum hf_code put_chunk(struct crypt_writer *w, bool is_last, struct hf_err *err)
{
    struct hf_store *inner = w->inner->store;
    hf_seal_chunk(&w->seal, w->plain, w->len, is_last, w->sealed);
    size_t len = w->len + HF_SEAL_EXTRA;
    w->len = 0;
    return inner->ops->writer_write(w->inner, w->sealed, len, err);
}

/* A full chunk waits: only what follows tells that it is not the last. */
static enum hf_code crypt_writer_write(struct hf_store_writer *sw, const void *data, size_t len,
                                       struct hf_err *err)
{
    struct crypt_writer *w = (struct crypt_writer *)sw;
    const uint8_t *p = data;
    while (len > 0) {
        if (w->len == HF_SEAL_CHUNK)
            HF_TRY(put_chunk(w, false, err));
        size_t n = HF_SEAL_CHUNK - w->len < len ? HF_SEAL_CHUNK - w->len : len;
        memcpy(w->plain + w->len, p, n);
        w->len += n;
        p += n;
        len -= n;
    }
    return HF_OK;
}

static void writer_free(struct crypt_writer *w)
{
    hf_wipe(w, sizeof(*w));
    hf_free(w);
}

static enum hf_code crypt_writer_commit(struct hf_store_writer *sw, struct hf_err *err)
{
    struct crypt_writer *w = (struct crypt_writer *)sw;
    struct hf_store *inner = w->inner->store;
    enum hf_code rc = put_chunk(w, true, err);
    if (rc == HF_OK)
        rc = inner->ops->writer_commit(w->inner, err);
    else
        inner->ops->writer_abort(w->inner);
    writer_free(w);
    return rc;
}

static void crypt_writer_abort(struct hf_store_writer *sw)
{
    struct crypt_writer *w = (struct crypt_writer *)sw;
    w->inner->store->ops->writer_abort(w->inner);
    writer_free(w);
}

/* ---- reading ---- */

enum reader_state { READER_NEW, READER_PLAIN, READER_SEALED, READER_OVER };

struct crypt_reader {
    struct hf_store_reader base;
    struct hf_store_reader *inner; /* NULL while it rests */
    uint64_t inner_offset;
    char *name;
    enum reader_state state;
    uint64_t skip; /* bytes to drop before the first one that is wanted */
    struct hf_seal seal;
    uint8_t *out; /* what is opened and not yet taken: out[pos..len); NULL: nothing is */
    size_t pos;
    size_t len;
};

static struct crypt *crypt_of(const struct crypt_reader *r)
{
    return (struct crypt *)r->base.store;
}

static enum hf_code wake(struct crypt_reader *r, struct hf_err *err)
{
    struct hf_store *inner = crypt_of(r)->inner;
    if (r->inner != NULL)
        return HF_OK;
    return inner->ops->reader_new(inner, r->name, r->inner_offset, &r->inner, err);
}

static void drop_inner(struct crypt_reader *r)
{
    if (r->inner != NULL)
        r->inner->store->ops->reader_free(r->inner);
    r->inner = NULL;
}

static enum hf_code inner_read(struct crypt_reader *r, uint8_t *buf, size_t len, size_t *got,
                               struct hf_err *err)
{
    HF_TRY(wake(r, err));
    HF_TRY(r->inner->store->ops->reader_read(r->inner, buf, len, got, err));
    r->inner_offset += *got;
    return HF_OK;
}

static enum hf_code crypt_reader_new(struct hf_store *s, const char *name, uint64_t offset,
                                     struct hf_store_reader **out, struct hf_err *err)
{
    struct crypt *c = (struct crypt *)s;
    struct hf_store_reader *inner = NULL;
    HF_TRY(c->inner->ops->reader_new(c->inner, name, 0, &inner, err));
    struct crypt_reader *r = hf_calloc(1, sizeof(*r));
    r->base.store = s;
    r->inner = inner;
    r->name = hf_strdup(name);
    r->skip = offset;
    *out = &r->base;
    return HF_OK;
}

static void out_free(struct crypt_reader *r)
{
    if (r->out != NULL)
        hf_wipe(r->out, SEALED_CHUNK);
    hf_free(r->out);
    r->out = NULL;
    r->pos = r->len = 0;
}

/* A plain object: begins again where it is wanted. */
static enum hf_code begin_plain(struct crypt_reader *r, struct hf_err *err)
{
    if (!crypt_of(r)->allow_plain)
        return about(crypt_of(r), r->name, plain_refused(err), err);
    r->state = READER_PLAIN;
    r->inner_offset = r->skip;
    r->skip = 0;
    drop_inner(r);
    return HF_OK;
}

static enum hf_code begin_reading(struct crypt_reader *r, struct hf_err *err)
{
    uint8_t header[HF_SEAL_HEADER];
    size_t got = 0;
    HF_TRY(inner_read(r, header, sizeof(header), &got, err));
    if (!hf_seal_is_sealed(header, got))
        return begin_plain(r, err);
    struct crypt *c = crypt_of(r);
    enum hf_code rc = got < sizeof(header) ? hf_err_set(err, HF_E_CORRUPT,
                                                        "does not decrypt: cut short in its header")
                                           : open_header(c, &r->seal, r->name, header, err);
    if (rc != HF_OK)
        return about(c, r->name, rc, err);
    r->state = READER_SEALED;
    return HF_OK;
}

/* Nothing may follow the chunk that is tagged final. */
static enum hf_code check_end(struct crypt_reader *r, size_t got, struct hf_err *err)
{
    uint8_t extra = 0;
    r->state = READER_OVER;
    if (got < SEALED_CHUNK)
        return HF_OK; /* that was the end of the object */
    HF_TRY(inner_read(r, &extra, 1, &got, err));
    if (got == 0)
        return HF_OK;
    hf_err_set(err, HF_E_CORRUPT, "does not decrypt: bytes behind its end");
    return about(crypt_of(r), r->name, HF_E_CORRUPT, err);
}

/* Opens the next chunk into out. */
static enum hf_code next_chunk(struct crypt_reader *r, struct hf_err *err)
{
    uint8_t sealed[SEALED_CHUNK];
    size_t got = 0;
    HF_TRY(inner_read(r, sealed, sizeof(sealed), &got, err));
    if (r->out == NULL)
        r->out = hf_malloc(SEALED_CHUNK);
    HF_TRY(
        about(crypt_of(r), r->name, hf_seal_open_chunk(&r->seal, sealed, got, r->out, err), err));
    r->pos = 0;
    r->len = got - HF_SEAL_EXTRA;
    if (r->seal.is_over)
        HF_TRY(check_end(r, got, err));
    size_t n = r->skip < r->len ? (size_t)r->skip : r->len;
    r->pos += n;
    r->skip -= n;
    return HF_OK;
}

static enum hf_code crypt_reader_read(struct hf_store_reader *sr, void *buf, size_t len,
                                      size_t *got, struct hf_err *err)
{
    struct crypt_reader *r = (struct crypt_reader *)sr;
    size_t done = 0;
    if (r->state == READER_NEW)
        HF_TRY(begin_reading(r, err));
    if (r->state == READER_PLAIN)
        return inner_read(r, buf, len, got, err);
    while (done < len) {
        if (r->pos == r->len && r->state == READER_OVER)
            break;
        if (r->pos == r->len)
            HF_TRY(next_chunk(r, err));
        size_t n = r->len - r->pos < len - done ? r->len - r->pos : len - done;
        if (n > 0) /* an empty object has one empty chunk */
            memcpy((uint8_t *)buf + done, r->out + r->pos, n);
        r->pos += n;
        done += n;
    }
    *got = done;
    return HF_OK;
}

static void crypt_reader_free(struct hf_store_reader *sr)
{
    struct crypt_reader *r = (struct crypt_reader *)sr;
    drop_inner(r);
    out_free(r);
    hf_free(r->name);
    hf_wipe(r, sizeof(*r));
    hf_free(r);
}

static bool crypt_reader_is_light(const struct hf_store_reader *sr)
{
    const struct crypt_reader *r = (const struct crypt_reader *)sr;
    if (r->inner == NULL)
        return true;
    const struct hf_store_ops *ops = r->inner->store->ops;
    return ops->reader_is_light != NULL && ops->reader_is_light(r->inner);
}

static void crypt_reader_rest(struct hf_store_reader *sr)
{
    struct crypt_reader *r = (struct crypt_reader *)sr;
    if (!crypt_reader_is_light(sr))
        drop_inner(r);
    if (r->pos == r->len)
        out_free(r);
}

/* ---- what passes through ---- */

static uint64_t shown_size(const struct crypt *c, uint64_t stored)
{
    uint64_t plain = c->allow_plain ? UINT64_MAX : hf_seal_plain_size(stored);
    return plain == UINT64_MAX ? stored : plain;
}

static enum hf_code crypt_head(struct hf_store *s, const char *name, uint64_t *size,
                               int64_t *time_ms, struct hf_err *err)
{
    struct crypt *c = (struct crypt *)s;
    uint64_t stored = 0;
    HF_TRY(c->inner->ops->head(c->inner, name, &stored, time_ms, err));
    if (size != NULL)
        *size = shown_size(c, stored);
    return HF_OK;
}

struct crypt_listing {
    const struct crypt *c;
    const struct hf_store_list_query *query;
};

static enum hf_code show(void *arg, const struct hf_store_object *o, struct hf_err *err)
{
    const struct crypt_listing *l = arg;
    struct hf_store_object shown = *o;
    if (!l->query->is_prefixes)
        shown.size = shown_size(l->c, o->size);
    return l->query->fn(l->query->arg, &shown, err);
}

static enum hf_code crypt_list(struct hf_store *s, const struct hf_store_list_query *q,
                               struct hf_err *err)
{
    struct crypt *c = (struct crypt *)s;
    struct crypt_listing l = {c, q};
    struct hf_store_list_query inner = *q;
    inner.fn = show;
    inner.arg = &l;
    return c->inner->ops->list(c->inner, &inner, err);
}

static enum hf_code crypt_remove(struct hf_store *s, const char *const *names, size_t n,
                                 struct hf_err *err)
{
    struct crypt *c = (struct crypt *)s;
    return c->inner->ops->remove(c->inner, names, n, err);
}

static char *crypt_watch_dir(const struct hf_store *s, const char *name)
{
    const struct crypt *c = (const struct crypt *)s;
    return c->inner->ops->watch_dir(c->inner, name);
}

static void crypt_close(struct hf_store *s)
{
    struct crypt *c = (struct crypt *)s;
    c->inner->ops->close(c->inner);
    hf_keyring_put(c->ring);
    hf_free(c->path);
    hf_free(c->base.url);
    c->base.magic = 0;
    hf_free(c);
}

/* ---- versions: whole objects, small ones ---- */

static enum hf_code seal_whole(const struct crypt *c, const char *name, const uint8_t *data,
                               size_t len, struct hf_buf *out, struct hf_err *err)
{
    struct hf_seal s;
    HF_TRY(hf_buf_reserve(out, (size_t)hf_seal_size(len), err));
    begin(c, &s, name, out->data);
    out->len = HF_SEAL_HEADER;
    while (!s.is_over) {
        size_t n = len < HF_SEAL_CHUNK ? len : HF_SEAL_CHUNK;
        hf_seal_chunk(&s, data, n, n == len, out->data + out->len);
        out->len += n + HF_SEAL_EXTRA;
        data += n;
        len -= n;
    }
    return HF_OK;
}

static enum hf_code open_whole(const struct crypt *c, const char *name, const struct hf_buf *sealed,
                               struct hf_buf *out, struct hf_err *err)
{
    struct hf_seal s;
    size_t at = HF_SEAL_HEADER;
    if (!hf_seal_is_sealed(sealed->data, sealed->len))
        return c->allow_plain ? hf_buf_append(out, sealed->data, sealed->len, err)
                              : plain_refused(err);
    uint64_t plain = hf_seal_plain_size(sealed->len);
    if (plain == UINT64_MAX)
        return hf_err_set(err, HF_E_CORRUPT, "does not decrypt: its size is wrong");
    HF_TRY(open_header(c, &s, name, sealed->data, err));
    HF_TRY(hf_buf_reserve(out, (size_t)plain, err));
    while (at < sealed->len && !s.is_over) {
        size_t n = sealed->len - at < SEALED_CHUNK ? sealed->len - at : SEALED_CHUNK;
        HF_TRY(hf_seal_open_chunk(&s, sealed->data + at, n, out->data + out->len, err));
        out->len += n - HF_SEAL_EXTRA;
        at += n;
    }
    if (at < sealed->len || !s.is_over)
        return hf_err_set(err, HF_E_CORRUPT, "does not decrypt: its end is wrong");
    return HF_OK;
}

static enum hf_code crypt_put_if(struct hf_store *s, const struct hf_store_put_if_args *args,
                                 char etag[HF_STORE_ETAG], struct hf_err *err)
{
    struct crypt *c = (struct crypt *)s;
    struct hf_store_put_if_args sealed = *args;
    struct hf_buf b;
    hf_buf_init(&b, (size_t)hf_seal_size(args->len));
    enum hf_code rc = seal_whole(c, args->name, args->data, args->len, &b, err);
    sealed.data = b.data;
    sealed.len = b.len;
    sealed.key_id = c->key_id;
    if (rc == HF_OK)
        rc = c->inner->ops->put_if(c->inner, &sealed, etag, err);
    hf_buf_deinit(&b);
    return rc;
}

static enum hf_code crypt_get(struct hf_store *s, const char *name, struct hf_buf *out,
                              char etag[HF_STORE_ETAG], struct hf_err *err)
{
    struct crypt *c = (struct crypt *)s;
    struct hf_buf b;
    size_t before = out->len;
    hf_buf_init(&b, (size_t)hf_seal_size(out->max));
    enum hf_code rc = c->inner->ops->get(c->inner, name, &b, etag, err);
    if (rc == HF_OK)
        rc = about(c, name, open_whole(c, name, &b, out, err), err);
    if (rc != HF_OK)
        out->len = before;
    hf_buf_deinit(&b);
    return rc;
}

static struct hf_trial *crypt_trial(struct hf_store *s)
{
    struct hf_store *inner = ((struct crypt *)s)->inner;
    return inner->ops->trial(inner);
}

static const struct hf_store_ops crypt_ops = {
    .close = crypt_close,
    .watch_dir = crypt_watch_dir,
    .trial = crypt_trial,
    .writer_new = crypt_writer_new,
    .writer_write = crypt_writer_write,
    .writer_commit = crypt_writer_commit,
    .writer_abort = crypt_writer_abort,
    .reader_new = crypt_reader_new,
    .reader_read = crypt_reader_read,
    .reader_free = crypt_reader_free,
    .reader_is_light = crypt_reader_is_light,
    .reader_rest = crypt_reader_rest,
    .head = crypt_head,
    .list = crypt_list,
    .remove = crypt_remove,
    .put_if = crypt_put_if,
    .get = crypt_get,
};

/* What the back end behind can't do, we can't either. */
static void take_ops(struct crypt *c)
{
    const struct hf_store_ops *inner = c->inner->ops;
    c->ops = crypt_ops;
    c->ops.type = inner->type;
    c->ops.times = inner->times;
    c->ops.is_local = inner->is_local;
    c->ops.has_deep_lists = inner->has_deep_lists;
    if (inner->watch_dir == NULL)
        c->ops.watch_dir = NULL;
    if (inner->trial == NULL)
        c->ops.trial = NULL;
    if (inner->put_if == NULL)
        c->ops.put_if = NULL;
    if (inner->get == NULL)
        c->ops.get = NULL;
}

enum hf_code hf_store_crypt_open(struct hf_store *take_inner,
                                 const struct hf_config_encryption *conf, const char *path,
                                 struct hf_store **out, struct hf_err *err)
{
    struct hf_keyring *ring = NULL;
    hf_assert(conf->enabled);
    enum hf_code rc = hf_keyring_get(conf, &ring, err);
    if (rc != HF_OK) {
        hf_err_wrap(err, "%s", take_inner->url);
        hf_store_close(take_inner);
        return rc;
    }
    struct crypt *c = hf_calloc(1, sizeof(*c));
    c->inner = take_inner;
    c->ring = ring;
    c->path = hf_strdup(path);
    c->allow_plain = conf->allow_plain;
    c->bind_path = conf->bind_path;
    hf_keyring_id_text(ring, 0, c->key_id);
    take_ops(c);
    c->base = (struct hf_store){.magic = HF_STORE_MAGIC, .ops = &c->ops, .is_sealed = true};
    c->base.url = hf_strdup(take_inner->url);
    c->base.allows_unconditional = take_inner->allows_unconditional;
    *out = &c->base;
    return HF_OK;
}
