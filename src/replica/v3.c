#include "replica/v3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lz4frame.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/file.h"
#include "replica/fetch.h"
#include "replica/image.h"
#include "sqlite/wal.h"

enum {
    GENERATION_LEN = 16,
    SEGMENTS_MAX = 1 << 22, /* ten days of one a second is a fifth of it */
    BUFFER = 256 << 10,
    SCAN_BYTES = 1 << 20,
};

/* ---- names ---- */

/* Between lo and hi hex digits at *p, which is moved behind them. */
static bool take_hex(const char **p, size_t lo, size_t hi, uint64_t *out)
{
    size_t n = strspn(*p, "0123456789abcdef");
    if (n < lo || n > hi)
        return false;
    *out = strtoull(*p, NULL, 16);
    *p += n;
    return true;
}

static bool parse_snapshot(const char *name, uint64_t *index)
{
    return take_hex(&name, 8, 8, index) && strcmp(name, ".snapshot.lz4") == 0;
}

static bool parse_segment(const char *name, uint64_t *index, uint64_t *offset)
{
    return take_hex(&name, 8, 8, index) && *name++ == '_' && take_hex(&name, 8, 16, offset) &&
           strcmp(name, ".wal.lz4") == 0;
}

static bool is_generation(const char *name)
{
    return strlen(name) == GENERATION_LEN && strspn(name, "0123456789abcdef") == GENERATION_LEN;
}

static char *prefix_of(struct hf_replica *r, const char *tail)
{
    const char *path = hf_replica_path(r);
    return hf_asprintf("%s%s%s", path, path[0] ? "/" : "", tail);
}

/* ---- planning ---- */

struct search {
    struct hf_replica *replica;
    const struct hf_v3_target *target;
    struct hf_v3_plan *plan;
    char **generations;
    size_t n_generations;
    const char *prefix; /* being listed */
    const char *generation;
};

static enum hf_code on_generation(void *arg, const struct hf_store_object *o, struct hf_err *err)
{
    (void)err;
    struct search *s = arg;
    bool is_wanted = s->target->generation == NULL || strcmp(s->target->generation, o->name) == 0;
    if (!is_generation(o->name) || !is_wanted)
        return HF_OK;
    s->generations = hf_realloc(s->generations, s->n_generations + 1, sizeof(*s->generations));
    s->generations[s->n_generations++] = hf_strdup(o->name);
    return HF_OK;
}

static enum hf_code on_snapshot(void *arg, const struct hf_store_object *o, struct hf_err *err)
{
    (void)err;
    struct search *s = arg;
    struct hf_v3_plan *p = s->plan;
    uint64_t index;
    if (!parse_snapshot(o->name, &index) || o->time_ms > s->target->time_ms ||
        index > s->target->index)
        return HF_OK;
    /* Within a generation times of copied objects may be equal; the index then decides. */
    bool is_newer =
        !p->is_found || o->time_ms > p->time_ms ||
        (o->time_ms == p->time_ms && strcmp(p->generation, s->generation) == 0 && index > p->index);
    if (!is_newer)
        return HF_OK;
    p->is_found = true;
    p->index = (uint32_t)index;
    p->time_ms = o->time_ms;
    p->snapshot_size = o->size;
    snprintf(p->generation, sizeof(p->generation), "%s", s->generation);
    hf_free(p->snapshot);
    p->snapshot = hf_asprintf("%s/%s", s->prefix, o->name);
    return HF_OK;
}

static enum hf_code on_segment(void *arg, const struct hf_store_object *o, struct hf_err *err)
{
    struct search *s = arg;
    struct hf_v3_plan *p = s->plan;
    uint64_t index;
    uint64_t offset;
    if (!parse_segment(o->name, &index, &offset) || o->time_ms > s->target->time_ms ||
        index < p->index || index > s->target->index)
        return HF_OK;
    if (p->len == SEGMENTS_MAX)
        return hf_err_set(err, HF_E_LIMIT, "more than %d WAL segments", SEGMENTS_MAX);
    if (p->len == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 64;
        p->segments = hf_realloc(p->segments, p->cap, sizeof(*p->segments));
    }
    p->segments[p->len++] =
        (struct hf_v3_segment){.index = (uint32_t)index,
                               .offset = offset,
                               .size = o->size,
                               .time_ms = o->time_ms,
                               .object = hf_asprintf("%s/%s", s->prefix, o->name)};
    return HF_OK;
}

static int by_position(const void *a, const void *b)
{
    const struct hf_v3_segment *x = a;
    const struct hf_v3_segment *y = b;
    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static enum hf_code list_one(struct search *s, const char *generation, const char *kind,
                             hf_store_list_fn *fn, struct hf_err *err)
{
    HF_AUTO_FREE char *tail = hf_asprintf("generations/%s/%s", generation, kind);
    HF_AUTO_FREE char *prefix = prefix_of(s->replica, tail);
    s->prefix = prefix;
    s->generation = generation;
    return hf_store_list(hf_replica_store(s->replica), prefix, NULL, fn, s, err);
}

/* Every WAL begins at 0 and no index is left out; holes inside one show when it is joined. */
static enum hf_code check_segments(const struct hf_v3_plan *p, struct hf_err *err)
{
    uint32_t next = p->index;
    for (size_t i = 0; i < p->len; i++) {
        const struct hf_v3_segment *s = &p->segments[i];
        bool is_first = i == 0 || s->index != p->segments[i - 1].index;
        if (!is_first)
            continue;
        if (s->index != next || s->offset != 0)
            return hf_err_set(err, HF_E_CORRUPT,
                              "generation %s: WAL segment %08x_%08x is missing (next is %s)",
                              p->generation, next, 0u, s->object);
        next++;
    }
    return HF_OK;
}

static enum hf_code plan_with(struct search *s, struct hf_err *err)
{
    struct hf_v3_plan *p = s->plan;
    HF_AUTO_FREE char *prefix = prefix_of(s->replica, "generations");
    HF_TRY(hf_store_list_prefixes(hf_replica_store(s->replica), prefix, on_generation, s, err));
    for (size_t i = 0; i < s->n_generations; i++)
        HF_TRY(list_one(s, s->generations[i], "snapshots", on_snapshot, err));
    if (!p->is_found)
        return HF_OK;
    HF_TRY(list_one(s, p->generation, "wal", on_segment, err));
    if (p->len > 1)
        qsort(p->segments, p->len, sizeof(*p->segments), by_position);
    for (size_t i = 0; i < p->len; i++)
        p->time_ms = p->segments[i].time_ms > p->time_ms ? p->segments[i].time_ms : p->time_ms;
    return check_segments(p, err);
}

enum hf_code hf_v3_plan(struct hf_replica *r, const struct hf_v3_target *target,
                        struct hf_v3_plan *plan, struct hf_err *err)
{
    *plan = (struct hf_v3_plan){.is_found = false};
    struct search s = {.replica = r, .target = target, .plan = plan};
    enum hf_code rc = plan_with(&s, err);
    for (size_t i = 0; i < s.n_generations; i++)
        hf_free(s.generations[i]);
    hf_free(s.generations);
    return rc == HF_OK ? HF_OK : hf_err_wrap(err, "%s", hf_replica_name(r));
}

void hf_v3_plan_deinit(struct hf_v3_plan *plan)
{
    for (size_t i = 0; i < plan->len; i++)
        hf_free(plan->segments[i].object);
    hf_free(plan->segments);
    hf_free(plan->snapshot);
    *plan = (struct hf_v3_plan){.is_found = false};
}

/* ---- decompressing ---- */

/* One object: fetched ahead, or read here. */
struct input {
    struct hf_fetched *fetched;
    struct hf_store_reader *reader;
};

struct restore {
    struct hf_replica *replica;
    const struct hf_v3_plan *plan;
    const struct hf_v3_output *to;
    struct hf_fetch *fetch;    /* NULL: the store is local */
    struct hf_fetched **ahead; /* the snapshot, then the segments; NULL: not fetched */
    LZ4F_dctx *lz4;
    uint8_t *in;
    uint8_t *out;
    uint64_t done; /* object bytes read */
    uint64_t total;
    struct hf_image *image;
    struct hf_file wal; /* unnamed; one index at a time */
    uint64_t end;       /* of what was written: of the image, then of the WAL */
    bool is_in_image;
    uint32_t page_size;
    uint64_t size; /* of the database */
};

static enum hf_code emit(struct restore *t, const void *data, size_t len, struct hf_err *err)
{
    enum hf_code rc = t->is_in_image ? hf_image_write(t->image, t->end, data, len, err)
                                     : hf_file_write_at(&t->wal, data, len, t->end, err);
    if (rc == HF_OK)
        t->end += len;
    return rc;
}

static enum hf_code inflate_piece(struct restore *t, const char *object, size_t len, size_t *left,
                                  struct hf_err *err)
{
    for (size_t at = 0; at < len;) {
        size_t out_len = BUFFER;
        size_t in_len = len - at;
        size_t n = LZ4F_decompress(t->lz4, t->out, &out_len, t->in + at, &in_len, NULL);
        if (LZ4F_isError(n))
            return hf_err_set(err, HF_E_CORRUPT, "%s: LZ4: %s", object, LZ4F_getErrorName(n));
        HF_TRY(emit(t, t->out, out_len, err));
        at += in_len;
        *left = n;
    }
    return HF_OK;
}

static bool is_age(const uint8_t *data, size_t len)
{
    static const char magic[] = "age-encryption.org/";
    return len >= sizeof(magic) - 1 && memcmp(data, magic, sizeof(magic) - 1) == 0;
}

static enum hf_code read_more(const struct input *in, uint8_t *buf, size_t cap, size_t *got,
                              struct hf_err *err)
{
    return in->fetched != NULL ? hf_fetched_read(in->fetched, buf, cap, got, err)
                               : hf_store_reader_read(in->reader, buf, cap, got, err);
}

static enum hf_code inflate_all(struct restore *t, const struct input *in, const char *object,
                                struct hf_err *err)
{
    size_t left = 1; /* 0 once a frame has ended */
    LZ4F_resetDecompressionContext(t->lz4);
    for (bool is_first = true;; is_first = false) {
        size_t got = 0;
        HF_TRY(read_more(in, t->in, BUFFER, &got, err));
        if (is_first && is_age(t->in, got)) {
            hf_err_set(err, HF_E_UNSUPPORTED, "%s is encrypted with age", object);
            hf_err_hint(err, "restore it with Litestream 0.3 and its age key");
            return HF_E_UNSUPPORTED;
        }
        HF_TRY(inflate_piece(t, object, got, &left, err));
        t->done += got;
        if (t->to->step != NULL && !t->to->step(t->to->arg, t->done, t->total))
            return hf_err_set(err, HF_E_CANCELED, "stopped");
        if (got < BUFFER)
            break;
    }
    return left == 0 ? HF_OK : hf_err_set(err, HF_E_CORRUPT, "%s: the LZ4 frame is cut", object);
}

/* fetched: NULL if it is not fetched ahead. */
static enum hf_code inflate(struct restore *t, const char *object, struct hf_fetched *fetched,
                            struct hf_err *err)
{
    struct input in = {.fetched = fetched};
    if (fetched == NULL)
        HF_TRY(hf_store_reader_new(hf_replica_store(t->replica), object, 0, &in.reader, err));
    enum hf_code rc = inflate_all(t, &in, object, err);
    hf_store_reader_free(in.reader);
    return rc;
}

/* ---- the database ---- */

static enum hf_code write_snapshot(struct restore *t, struct hf_err *err)
{
    uint8_t head[100];
    t->is_in_image = true;
    t->end = 0;
    HF_TRY(inflate(t, t->plan->snapshot, t->ahead[0], err));
    HF_TRY(hf_image_finish(t->image, err));
    t->is_in_image = false;
    t->size = t->end;
    if (t->size < sizeof(head))
        return hf_err_set(err, HF_E_CORRUPT, "%s: %llu bytes are no database", t->plan->snapshot,
                          (unsigned long long)t->size);
    HF_TRY(hf_file_read_at(hf_image_file(t->image), head, sizeof(head), 0, err));
    t->page_size = hf_be16(head + 16) == 1 ? 65536 : hf_be16(head + 16);
    if (memcmp(head, "SQLite format 3", 16) != 0 || t->page_size < HF_LIMIT_PAGE_SIZE_MIN ||
        (t->page_size & (t->page_size - 1)) != 0)
        return hf_err_set(err, HF_E_CORRUPT, "%s is not a database", t->plan->snapshot);
    return HF_OK;
}

/* Joins the segments [from, to) in the spill file. */
static enum hf_code join(struct restore *t, size_t from, size_t to, struct hf_err *err)
{
    t->end = 0;
    HF_TRY(hf_file_truncate(&t->wal, 0, err));
    for (size_t i = from; i < to; i++) {
        const struct hf_v3_segment *s = &t->plan->segments[i];
        if (s->offset != t->end)
            return hf_err_set(err, HF_E_CORRUPT,
                              "generation %s: WAL segment %08x_%08llx is missing (next is %s)",
                              t->plan->generation, s->index, (unsigned long long)t->end, s->object);
        HF_TRY(inflate(t, s->object, t->ahead[1 + i], err));
    }
    return HF_OK;
}

struct frames {
    uint8_t *buf;
    size_t frame_size;
    size_t per_read;
    uint32_t count; /* in the WAL */
};

typedef enum hf_code frame_fn(struct restore *t, void *arg, const uint8_t *frame,
                              struct hf_err *err);

static enum hf_code each_frame(struct restore *t, const struct frames *f, uint32_t count,
                               frame_fn *fn, void *arg, struct hf_err *err)
{
    uint64_t at = HF_WAL_HEADER_SIZE;
    for (uint32_t done = 0; done < count;) {
        uint32_t n = count - done < f->per_read ? count - done : (uint32_t)f->per_read;
        HF_TRY(hf_file_read_at(&t->wal, f->buf, n * f->frame_size, at, err));
        for (uint32_t i = 0; i < n; i++)
            HF_TRY(fn(t, arg, f->buf + i * f->frame_size, err));
        at += n * f->frame_size;
        done += n;
    }
    return HF_OK;
}

static enum hf_code scan_frame(struct restore *t, void *arg, const uint8_t *frame,
                               struct hf_err *err)
{
    (void)t;
    struct hf_wal_scan *s = arg;
    if (hf_wal_scan_next(s, frame, NULL))
        return HF_OK;
    uint64_t at = hf_wal_frame_offset(s->header.page_size, s->frames + 1);
    return hf_err_set(err, HF_E_CORRUPT, "WAL frame at byte %llu: wrong checksum or salt",
                      (unsigned long long)at);
}

static enum hf_code write_frame(struct restore *t, void *arg, const uint8_t *frame,
                                struct hf_err *err)
{
    (void)arg;
    struct hf_wal_frame info;
    hf_wal_frame_parse(frame, &info);
    uint64_t offset = (uint64_t)(info.pgno - 1) * t->page_size;
    return hf_file_write_at(hf_image_file(t->image), frame + HF_WAL_FRAME_HEADER_SIZE, t->page_size,
                            offset, err);
}

static enum hf_code apply_frames(struct restore *t, struct hf_wal_scan *scan, struct hf_err *err)
{
    struct frames f = {.frame_size = HF_WAL_FRAME_HEADER_SIZE + t->page_size};
    uint64_t body = t->end - HF_WAL_HEADER_SIZE;
    if (body % f.frame_size != 0 || body / f.frame_size > UINT32_MAX)
        return hf_err_set(err, HF_E_CORRUPT, "the WAL ends inside a frame, at byte %llu",
                          (unsigned long long)t->end);
    f.count = (uint32_t)(body / f.frame_size);
    f.per_read = SCAN_BYTES / f.frame_size;
    f.buf = hf_malloc(f.per_read * f.frame_size);
    enum hf_code rc = each_frame(t, &f, f.count, scan_frame, scan, err);
    if (rc == HF_OK)
        rc = each_frame(t, &f, scan->commit_frame, write_frame, NULL, err);
    hf_free(f.buf);
    if (rc != HF_OK || scan->commit_frame == 0)
        return rc;
    t->size = (uint64_t)scan->commit_pages * t->page_size;
    return hf_file_truncate(hf_image_file(t->image), t->size, err);
}

static enum hf_code apply_wal(struct restore *t, struct hf_err *err)
{
    uint8_t head[HF_WAL_HEADER_SIZE];
    struct hf_wal_scan scan;
    if (t->end < sizeof(head))
        return hf_err_set(err, HF_E_CORRUPT, "the WAL has %llu bytes, less than a header",
                          (unsigned long long)t->end);
    HF_TRY(hf_file_read_at(&t->wal, head, sizeof(head), 0, err));
    HF_TRY(hf_wal_scan_init(&scan, head, err));
    if (scan.header.page_size != t->page_size)
        return hf_err_set(err, HF_E_CORRUPT, "the WAL has pages of %u bytes, the snapshot of %u",
                          scan.header.page_size, t->page_size);
    return apply_frames(t, &scan, err);
}

static enum hf_code write_all(struct restore *t, struct hf_err *err)
{
    const struct hf_v3_plan *p = t->plan;
    HF_TRY(write_snapshot(t, err));
    for (size_t i = 0; i < p->len;) {
        size_t end = i;
        while (end < p->len && p->segments[end].index == p->segments[i].index)
            end++;
        HF_TRY(join(t, i, end, err));
        if (apply_wal(t, err) != HF_OK)
            return hf_err_wrap(err, "generation %s, WAL %08x", p->generation, p->segments[i].index);
        i = end;
    }
    return hf_file_sync(hf_image_file(t->image), err);
}

/* From a server, several at once: the snapshot first, then the segments in their order. */
static enum hf_code begin_fetch(struct restore *t, struct hf_err *err)
{
    const struct hf_v3_plan *p = t->plan;
    struct hf_store *store = hf_replica_store(t->replica);
    t->ahead = hf_calloc(p->len + 1, sizeof(*t->ahead));
    if (hf_store_is_local(store))
        return HF_OK;
    t->fetch = hf_fetch_new(store, t->to->requests, t->to->spill_dir);
    t->ahead[0] = hf_fetch_add(t->fetch, p->snapshot, p->snapshot_size);
    for (size_t i = 0; i < p->len; i++)
        t->ahead[1 + i] = hf_fetch_add(t->fetch, p->segments[i].object, p->segments[i].size);
    return hf_fetch_start(t->fetch, err);
}

enum hf_code hf_v3_restore(struct hf_replica *r, const struct hf_v3_plan *plan,
                           const struct hf_v3_output *to, uint64_t *bytes, uint32_t *page_size,
                           struct hf_err *err)
{
    hf_assert(plan->is_found && plan->snapshot != NULL);
    struct restore t = {.replica = r, .plan = plan, .to = to, .wal = HF_FILE_CLOSED};
    t.total = plan->snapshot_size;
    for (size_t i = 0; i < plan->len; i++)
        t.total += plan->segments[i].size;
    HF_TRY(hf_file_open_temp(to->spill_dir, &t.wal, err));
    struct hf_image_how how = {.perm = to->perm,
                               .is_threaded = true}; /* the WAL is played into it */
    enum hf_code rc = hf_image_new(to->path, &how, &t.image, err);
    if (rc == HF_OK) {
        hf_assert(!LZ4F_isError(LZ4F_createDecompressionContext(&t.lz4, LZ4F_VERSION)));
        t.in = hf_malloc(BUFFER);
        t.out = hf_malloc(BUFFER);
        rc = begin_fetch(&t, err);
        if (rc == HF_OK)
            rc = write_all(&t, err);
        hf_fetch_free(t.fetch);
        hf_free(t.ahead);
        LZ4F_freeDecompressionContext(t.lz4);
        hf_free(t.in);
        hf_free(t.out);
    }
    hf_image_free(t.image);
    hf_file_close(&t.wal);
    if (rc != HF_OK)
        return rc;
    *bytes = t.size;
    *page_size = t.page_size;
    return HF_OK;
}
