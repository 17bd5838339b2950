#include "replica/fetch.h"

#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/pool.h"
#include "replica/pace.h"

enum {
    WINDOW_PER_REQUEST = 2 << 20,
    PARTS = 4, /* of one large object at once, as long as it is the only one */
    PART_MAX = 4 << 20,
    PART_MIN = 256 << 10,
    WINDOWS_MAX = 16, /* large objects with a window; more go to the file */
    STREAM_MIN = 2 * PART_MAX,
    STREAM_SHARE = 32, /* what is less of all large bytes is read too rarely to hold a connection */
    STREAMS_MAX = 8,
};

enum place { PLACE_KEPT, PLACE_FILE };
enum part_state { PART_FREE, PART_BUSY, PART_READY, PART_FAILED };

struct part {
    enum part_state state;
    struct hf_buf buf;
    struct hf_err err;
};

struct hf_fetched {
    struct hf_fetch *fetch;
    char *object;
    uint64_t size;
    bool is_window; /* the rest goes to: */
    bool is_paced;  /* a window that may be a stream instead, as pace says */
    struct hf_pace pace;
    struct hf_store_reader *stream; /* NULL: not open */
    enum place place;               /* settled when a worker takes it */
    uint64_t read;                  /* bytes handed out */
    bool is_at_end;
    bool is_taken; /* KEPT, FILE: a worker has it */
    /* without a window parts[0] is the whole object */
    struct part *parts;
    size_t n_parts;
    uint64_t base;    /* the parts begin here */
    uint64_t limit;   /* ... and end here */
    uint64_t next;    /* number of the next part to request; it goes to parts[next % n] */
    uint64_t current; /* number of the part that is being read */
    size_t in_part;   /* bytes read of it */
    uint64_t file_at; /* FILE: where it begins there */
    uint64_t file_len;
};

struct worker {
    struct hf_task task;
    struct hf_fetch *fetch;
};

struct hf_fetch {
    struct hf_store *store;
    char *spill_dir;
    unsigned requests;
    size_t part_size;
    struct hf_fetched **objects;
    size_t n;
    size_t cap;
    size_t n_windows;
    bool is_started;
    struct hf_pool *pool; /* NULL: there is nothing to fetch */
    struct worker workers[HF_FETCH_REQUESTS];

    pthread_mutex_t lock; /* guards all below, and the objects' states */
    pthread_cond_t has_work;
    pthread_cond_t has_bytes;
    size_t first; /* no whole object before this one is waiting to be taken */
    uint64_t kept;
    bool is_ending;
    struct hf_file file;
    uint64_t file_size; /* given out */
};

/* ---- what to do next ---- */

static bool is_window_open(const struct hf_fetched *o, const struct hf_fetch *f)
{
    return o->is_window && o->base + o->next * f->part_size < o->limit &&
           o->next - o->current < o->n_parts;
}

/* Large ones first: the reader waits for them with every page, for the others once. Under lock. */
static struct hf_fetched *next_window(struct hf_fetch *f)
{
    struct hf_fetched *best = NULL;
    for (size_t i = 0, seen = 0; i < f->n && seen < f->n_windows; i++) {
        struct hf_fetched *o = f->objects[i];
        if (!o->is_window)
            continue;
        seen++;
        if (is_window_open(o, f) &&
            (best == NULL || o->next - o->current < best->next - best->current))
            best = o;
    }
    return best;
}

static struct hf_fetched *next_whole(struct hf_fetch *f)
{
    for (; f->first < f->n; f->first++) {
        struct hf_fetched *o = f->objects[f->first];
        if (!o->is_window && !o->is_paced && !o->is_taken)
            return o;
    }
    return NULL;
}

/* ---- fetching ---- */

/* len bytes from offset on, by the store's ranges or from a reader at the beginning. */
static enum hf_code fetch_bytes(const struct hf_fetched *o, uint64_t offset, size_t len,
                                struct hf_buf *out, struct hf_err *err)
{
    const struct hf_fetch *f = o->fetch;
    if (len == 0)
        return HF_OK;
    if (hf_store_has_ranges(f->store))
        return hf_store_read_range(f->store, o->object, offset, len, out, err);
    hf_assert(offset == 0);
    struct hf_store_reader *r = NULL;
    hf_buf_reset(out);
    HF_TRY(hf_buf_reserve(out, len, err));
    HF_TRY(hf_store_reader_new(f->store, o->object, 0, &r, err));
    enum hf_code rc = hf_store_reader_read(r, out->data, len, &out->len, err);
    hf_store_reader_free(r);
    return rc;
}

static enum hf_code open_file(struct hf_fetch *f, struct hf_err *err)
{
    enum hf_code rc = HF_OK;
    pthread_mutex_lock(&f->lock);
    if (f->file.fd < 0)
        rc = hf_file_open_temp(f->spill_dir, &f->file, err);
    pthread_mutex_unlock(&f->lock);
    return rc;
}

static enum hf_code fetch_to_file(struct hf_fetch *f, struct hf_fetched *o, struct hf_buf *buf,
                                  struct hf_err *err)
{
    HF_TRY(open_file(f, err));
    while (o->file_len < o->size) {
        uint64_t left = o->size - o->file_len;
        size_t want = left < HF_LIMIT_FETCH_WHOLE ? (size_t)left : HF_LIMIT_FETCH_WHOLE;
        HF_TRY(fetch_bytes(o, o->file_len, want, buf, err));
        HF_TRY(hf_file_write_at(&f->file, buf->data, buf->len, o->file_at + o->file_len, err));
        o->file_len += buf->len;
        if (buf->len < want)
            break;
    }
    return HF_OK;
}

static enum hf_code too_short(const struct hf_fetched *o, struct hf_err *err)
{
    return hf_err_set(err, HF_E_CORRUPT, "%s/%s: %llu bytes are listed, there are fewer",
                      hf_store_url(o->fetch->store), o->object, (unsigned long long)o->size);
}

static void settle(struct hf_fetch *f, struct part *p, enum hf_code rc, const struct hf_err *err)
{
    pthread_mutex_lock(&f->lock);
    p->state = rc == HF_OK ? PART_READY : PART_FAILED;
    p->err = *err;
    pthread_cond_broadcast(&f->has_bytes);
    pthread_mutex_unlock(&f->lock);
}

static void do_whole(struct hf_fetch *f, struct hf_fetched *o)
{
    struct hf_err err = HF_ERR_INIT;
    struct part *p = &o->parts[0];
    enum hf_code rc = o->place == PLACE_FILE ? fetch_to_file(f, o, &p->buf, &err)
                                             : fetch_bytes(o, 0, (size_t)o->size, &p->buf, &err);
    if (o->place == PLACE_FILE || rc != HF_OK)
        hf_buf_deinit(&p->buf);
    settle(f, p, rc, &err);
}

static void do_part(struct hf_fetch *f, struct hf_fetched *o, uint64_t number)
{
    struct hf_err err = HF_ERR_INIT;
    struct part *p = &o->parts[number % o->n_parts];
    uint64_t offset = o->base + number * f->part_size;
    uint64_t left = o->limit - offset;
    size_t len = left < f->part_size ? (size_t)left : f->part_size;
    enum hf_code rc = fetch_bytes(o, offset, len, &p->buf, &err);
    if (rc == HF_OK && p->buf.len < len)
        rc = too_short(o, &err);
    settle(f, p, rc, &err);
}

/* Under lock. Where a whole object goes is decided when its turn comes. */
static void take_whole(struct hf_fetch *f, struct hf_fetched *o)
{
    o->is_taken = true;
    o->parts[0].state = PART_BUSY;
    if (o->size <= HF_LIMIT_FETCH_WHOLE && f->kept + o->size <= HF_LIMIT_FETCH_KEPT) {
        f->kept += o->size;
        return;
    }
    o->place = PLACE_FILE;
    o->file_at = f->file_size;
    f->file_size += o->size;
}

static void work(struct hf_task *task)
{
    struct hf_fetch *f = ((struct worker *)task)->fetch;
    pthread_mutex_lock(&f->lock);
    while (!f->is_ending) {
        struct hf_fetched *large = next_window(f);
        struct hf_fetched *whole = large == NULL ? next_whole(f) : NULL;
        if (large == NULL && whole == NULL) {
            pthread_cond_wait(&f->has_work, &f->lock);
            continue;
        }
        uint64_t number = 0;
        if (large != NULL) {
            number = large->next++;
            large->parts[number % large->n_parts].state = PART_BUSY;
        } else {
            take_whole(f, whole);
        }
        pthread_mutex_unlock(&f->lock);
        if (large != NULL)
            do_part(f, large, number);
        else
            do_whole(f, whole);
        pthread_mutex_lock(&f->lock);
    }
    pthread_mutex_unlock(&f->lock);
}

/* ---- reading ---- */

static enum hf_code wait_for(struct hf_fetch *f, struct part *p, struct hf_err *err)
{
    pthread_mutex_lock(&f->lock);
    while (p->state != PART_READY && p->state != PART_FAILED)
        pthread_cond_wait(&f->has_bytes, &f->lock);
    enum hf_code rc = p->state == PART_FAILED ? p->err.code : HF_OK;
    pthread_mutex_unlock(&f->lock);
    if (rc != HF_OK && err != NULL)
        *err = p->err;
    return rc;
}

static void release_kept(struct hf_fetched *o)
{
    struct hf_fetch *f = o->fetch;
    hf_buf_deinit(&o->parts[0].buf);
    pthread_mutex_lock(&f->lock);
    f->kept -= o->size;
    pthread_mutex_unlock(&f->lock);
}

static enum hf_code read_whole(struct hf_fetched *o, void *buf, size_t cap, size_t *got,
                               struct hf_err *err)
{
    struct part *p = &o->parts[0];
    HF_TRY(wait_for(o->fetch, p, err));
    bool is_kept = o->place == PLACE_KEPT;
    uint64_t left = (is_kept ? p->buf.len : o->file_len) - o->read;
    size_t n = left < cap ? (size_t)left : cap;
    if (is_kept && n > 0)
        memcpy(buf, p->buf.data + o->read, n);
    else if (n > 0)
        HF_TRY(hf_file_read_at(&o->fetch->file, buf, n, o->file_at + o->read, err));
    *got = n;
    if (n < cap && is_kept)
        release_kept(o);
    return HF_OK;
}

static void pass_part(struct hf_fetched *o, struct part *p)
{
    struct hf_fetch *f = o->fetch;
    pthread_mutex_lock(&f->lock);
    p->state = PART_FREE;
    o->current++;
    o->in_part = 0;
    pthread_cond_signal(&f->has_work);
    pthread_mutex_unlock(&f->lock);
}

static enum hf_code read_window(struct hf_fetched *o, void *buf, size_t cap, size_t *got,
                                struct hf_err *err)
{
    size_t done = 0;
    while (done < cap && o->read + done < o->limit) {
        struct part *p = &o->parts[o->current % o->n_parts];
        HF_TRY(wait_for(o->fetch, p, err));
        size_t n = p->buf.len - o->in_part;
        n = n < cap - done ? n : cap - done;
        memcpy((uint8_t *)buf + done, p->buf.data + o->in_part, n);
        o->in_part += n;
        done += n;
        if (o->in_part == p->buf.len)
            pass_part(o, p);
    }
    *got = done;
    return HF_OK;
}

static void close_stream(struct hf_fetched *o)
{
    hf_store_reader_free(o->stream);
    o->stream = NULL;
}

static enum hf_code read_stream(struct hf_fetched *o, void *buf, size_t cap, size_t *got,
                                struct hf_err *err)
{
    uint64_t left = o->size - o->read;
    size_t want = left < cap ? (size_t)left : cap;
    if (o->stream == NULL)
        HF_TRY(hf_store_reader_new(o->fetch->store, o->object, o->read, &o->stream, err));
    HF_TRY(hf_store_reader_read(o->stream, buf, want, got, err));
    if (*got < want)
        return too_short(o, err);
    if (want == left)
        close_stream(o);
    return HF_OK;
}

/* The parts [read, pace.until) are to be fetched, or none. */
static void follow_pace(struct hf_fetched *o)
{
    struct hf_fetch *f = o->fetch;
    bool is_ranges = o->pace.way == HF_PACE_RANGES;
    close_stream(o);
    pthread_mutex_lock(&f->lock);
    if (!o->is_window || !is_ranges) {
        hf_assert(o->next == o->current && o->in_part == 0);
        o->base = o->limit = o->pace.at;
        o->next = o->current = 0;
    }
    o->limit = is_ranges ? o->pace.until : o->limit;
    o->is_window = is_ranges;
    pthread_cond_broadcast(&f->has_work);
    pthread_mutex_unlock(&f->lock);
}

/* Up to the end of what its way holds for. */
static enum hf_code read_paced(struct hf_fetched *o, uint8_t *buf, size_t cap, size_t *got,
                               struct hf_err *err)
{
    size_t done = 0;
    while (done < cap && o->pace.at < o->size) {
        size_t n = 0;
        uint64_t start_ns = hf_clock_mono_ns();
        HF_TRY(o->is_window ? read_window(o, buf + done, cap - done, &n, err)
                            : read_stream(o, buf + done, cap - done, &n, err));
        uint64_t now_ns = hf_clock_mono_ns();
        done += n;
        o->read += n;
        if (hf_pace_read(&o->pace, n, now_ns - start_ns, now_ns))
            follow_pace(o);
    }
    o->read -= done; /* hf_fetched_read counts */
    *got = done;
    return HF_OK;
}

enum hf_code hf_fetched_read(struct hf_fetched *o, void *buf, size_t cap, size_t *got,
                             struct hf_err *err)
{
    size_t n = 0;
    hf_assert(o->fetch->is_started);
    *got = 0;
    if (o->is_at_end)
        return HF_OK;
    HF_TRY(o->is_paced    ? read_paced(o, buf, cap, &n, err)
           : o->is_window ? read_window(o, buf, cap, &n, err)
                          : read_whole(o, buf, cap, &n, err));
    o->read += n;
    o->is_at_end = n < cap;
    *got = n;
    return HF_OK;
}

/* ---- life ---- */

struct hf_fetch *hf_fetch_new(struct hf_store *store, unsigned requests, const char *spill_dir)
{
    hf_assert(requests >= 1 && requests <= HF_FETCH_REQUESTS);
    struct hf_fetch *f = hf_calloc(1, sizeof(*f));
    f->store = store;
    f->requests = requests;
    f->spill_dir = spill_dir != NULL ? hf_strdup(spill_dir) : NULL;
    f->file = (struct hf_file)HF_FILE_CLOSED;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->has_work, NULL);
    pthread_cond_init(&f->has_bytes, NULL);
    return f;
}

struct hf_fetched *hf_fetch_add(struct hf_fetch *f, const char *object, uint64_t size)
{
    hf_assert(!f->is_started);
    bool is_small = size <= HF_LIMIT_FETCH_WHOLE;
    if (!is_small && !hf_store_has_ranges(f->store))
        return NULL;
    struct hf_fetched *o = hf_calloc(1, sizeof(*o));
    o->fetch = f;
    o->object = hf_strdup(object);
    o->size = size;
    o->is_window = !is_small && f->n_windows < WINDOWS_MAX;
    f->n_windows += o->is_window;
    if (f->n == f->cap) {
        f->cap = f->cap > 0 ? f->cap * 2 : 32;
        f->objects = hf_realloc(f->objects, f->cap, sizeof(struct hf_fetched *));
    }
    f->objects[f->n++] = o;
    return o;
}

static size_t size_of_parts(const struct hf_fetch *f, size_t n_parts)
{
    size_t all = (size_t)f->requests * WINDOW_PER_REQUEST;
    size_t size = PART_MAX;
    while (size > PART_MIN && size * n_parts * f->n_windows > all)
        size /= 2;
    return size;
}

/* A stream waits while others are read, and where nothing of it is needed for long the server may
 * close it: the store's reader goes on with what is left, for one request more. */
static void choose_streams(struct hf_fetch *f)
{
    uint64_t large = 0;
    uint64_t now_ns = hf_clock_mono_ns();
    for (size_t i = 0; i < f->n; i++)
        large += f->objects[i]->size > HF_LIMIT_FETCH_WHOLE ? f->objects[i]->size : 0;
    for (size_t i = 0, streams = 0; i < f->n; i++) {
        struct hf_fetched *o = f->objects[i];
        o->limit = o->size;
        o->is_paced = o->is_window && o->size >= STREAM_MIN && o->size >= large / STREAM_SHARE &&
                      streams < STREAMS_MAX;
        streams += o->is_paced;
        if (!o->is_paced)
            continue;
        hf_pace_init(&o->pace, o->size, now_ns);
        o->is_window = false;
    }
}

enum hf_code hf_fetch_start(struct hf_fetch *f, struct hf_err *err)
{
    hf_assert(!f->is_started);
    size_t n_parts = f->n_windows > 1 ? 2 : PARTS;
    f->part_size = size_of_parts(f, n_parts);
    hf_assert(HF_PACE_PROBE % f->part_size == 0);
    choose_streams(f);
    for (size_t i = 0; i < f->n; i++) {
        struct hf_fetched *o = f->objects[i];
        bool has_parts = o->is_window || o->is_paced;
        o->n_parts = has_parts ? n_parts : 1;
        o->parts = hf_calloc(o->n_parts, sizeof(*o->parts));
        size_t max = has_parts ? f->part_size : HF_LIMIT_FETCH_WHOLE;
        for (size_t k = 0; k < o->n_parts; k++)
            hf_buf_init(&o->parts[k].buf, max);
    }
    f->is_started = true;
    size_t n_workers = f->requests < f->n ? f->requests : f->n;
    if (f->n_windows > 0)
        n_workers = f->requests;
    if (n_workers == 0)
        return HF_OK;
    HF_TRY(hf_pool_new("fetch", (unsigned)n_workers, false, &f->pool, err));
    for (size_t i = 0; i < n_workers; i++) {
        f->workers[i] = (struct worker){{work, NULL}, f};
        hf_pool_submit(f->pool, &f->workers[i].task);
    }
    return HF_OK;
}

static void object_free(struct hf_fetched *o)
{
    for (size_t i = 0; o->parts != NULL && i < o->n_parts; i++)
        hf_buf_deinit(&o->parts[i].buf);
    close_stream(o);
    hf_free(o->parts);
    hf_free(o->object);
    hf_free(o);
}

void hf_fetch_free(struct hf_fetch *f)
{
    if (f == NULL)
        return;
    pthread_mutex_lock(&f->lock);
    f->is_ending = true;
    pthread_cond_broadcast(&f->has_work);
    pthread_mutex_unlock(&f->lock);
    hf_pool_free(f->pool);
    for (size_t i = 0; i < f->n; i++)
        object_free(f->objects[i]);
    hf_free(f->objects);
    hf_file_close(&f->file);
    hf_free(f->spill_dir);
    pthread_cond_destroy(&f->has_work);
    pthread_cond_destroy(&f->has_bytes);
    pthread_mutex_destroy(&f->lock);
    hf_free(f);
}
