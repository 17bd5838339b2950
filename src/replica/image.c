#include "replica/image.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

enum {
    IMAGE_CHUNKS = 4,
    IMAGE_CHUNK = 2 << 20,               /* a multiple of HF_FILE_DIRECT_ALIGN */
    GAP_FILLED = HF_LIMIT_PAGE_SIZE_MAX, /* the lock page: what comes behind it stays aligned */
    WRITE_BEHIND = 8 << 20,
};

struct chunk {
    void *memory;
    uint8_t *data; /* in it, aligned */
    uint64_t offset;
    size_t len;
};

struct hf_image {
    struct hf_file file;
    bool is_direct; /* the writing side's, until it has ended */
    bool is_threaded;
    bool has_thread;
    bool is_finished;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    pthread_cond_t has_room;
    uint64_t end; /* of what the producer gave */
    struct chunk ring[IMAGE_CHUNKS];
    unsigned long head; /* chunks filled; the producer works in ring[head % IMAGE_CHUNKS] */
    unsigned long tail; /* chunks written */
    bool is_ending;
    enum hf_code code; /* first failure of the writing side */
    struct hf_err err;
    uint64_t behind_from; /* written, write-back not started */
    uint64_t behind_to;
};

static void end_direct(struct hf_image *im)
{
    if (im->is_direct)
        (void)hf_file_set_direct(&im->file, false);
    im->is_direct = false;
}

/* False: not written. The last chunk, or one that the file system does not want in this way. */
static bool write_direct(struct hf_image *im, const struct chunk *c, enum hf_code *rc,
                         struct hf_err *err)
{
    if (!im->is_direct)
        return false;
    bool is_aligned = c->offset % HF_FILE_DIRECT_ALIGN == 0 && c->len % HF_FILE_DIRECT_ALIGN == 0;
    *rc = is_aligned ? hf_file_write_at(&im->file, c->data, c->len, c->offset, err) : HF_OK;
    if (is_aligned && (*rc == HF_OK || err->sys != EINVAL))
        return true;
    hf_err_reset(err);
    end_direct(im);
    return false;
}

/* err: not NULL. */
static enum hf_code write_chunk(struct hf_image *im, const struct chunk *c, struct hf_err *err)
{
    enum hf_code rc = HF_OK;
    if (write_direct(im, c, &rc, err))
        return rc;
    HF_TRY(hf_file_write_at(&im->file, c->data, c->len, c->offset, err));
    im->behind_to = c->offset + c->len;
    if (im->behind_to - im->behind_from >= WRITE_BEHIND) {
        hf_file_write_behind(&im->file, im->behind_from, im->behind_to - im->behind_from);
        im->behind_from = im->behind_to;
    }
    return HF_OK;
}

static void *writer_main(void *arg)
{
    struct hf_image *im = arg;
    pthread_mutex_lock(&im->lock);
    for (;;) {
        while (im->tail == im->head && !im->is_ending)
            pthread_cond_wait(&im->has_work, &im->lock);
        if (im->tail == im->head)
            break;
        struct chunk *c = &im->ring[im->tail % IMAGE_CHUNKS];
        if (im->code == HF_OK) { /* after a failure chunks are only taken off */
            struct hf_err err = HF_ERR_INIT;
            pthread_mutex_unlock(&im->lock);
            enum hf_code rc = write_chunk(im, c, &err);
            pthread_mutex_lock(&im->lock);
            im->code = rc;
            im->err = err;
        }
        c->len = 0;
        im->tail++;
        pthread_cond_signal(&im->has_room);
    }
    pthread_mutex_unlock(&im->lock);
    return NULL;
}

static void chunk_init(struct chunk *c)
{
    c->memory = hf_malloc(IMAGE_CHUNK + HF_FILE_DIRECT_ALIGN);
    uintptr_t past = (uintptr_t)c->memory % HF_FILE_DIRECT_ALIGN;
    c->data = (uint8_t *)c->memory + (past > 0 ? HF_FILE_DIRECT_ALIGN - past : 0);
}

enum hf_code hf_image_new(const char *path, const struct hf_image_how *how, struct hf_image **out,
                          struct hf_err *err)
{
    struct hf_file f = HF_FILE_CLOSED;
    HF_TRY(hf_file_open(path, HF_FILE_CREATE_NEW, how->perm, &f, err));
    struct hf_image *im = hf_calloc(1, sizeof(*im));
    im->file = f;
    im->is_threaded = how->is_threaded;
    im->is_direct = how->is_direct && hf_file_set_direct(&im->file, true);
    for (size_t i = 0; i < (how->is_threaded ? IMAGE_CHUNKS : 1); i++)
        chunk_init(&im->ring[i]);
    pthread_mutex_init(&im->lock, NULL);
    pthread_cond_init(&im->has_work, NULL);
    pthread_cond_init(&im->has_room, NULL);
    *out = im;
    if (!how->is_threaded)
        return HF_OK;
    int sys = pthread_create(&im->thread, NULL, writer_main, im);
    if (sys != 0)
        im->is_threaded = false; /* slower, not wrong */
    im->has_thread = sys == 0;
    return HF_OK;
}

static struct chunk *current(struct hf_image *im)
{
    return im->is_threaded ? &im->ring[im->head % IMAGE_CHUNKS] : &im->ring[0];
}

static enum hf_code failure(struct hf_image *im, struct hf_err *err)
{
    if (err != NULL && im->code != HF_OK)
        *err = im->err;
    return im->code;
}

/* Hands the current chunk over and waits until the next one is free. */
static enum hf_code submit(struct hf_image *im, struct hf_err *err)
{
    struct chunk *c = current(im);
    if (c->len == 0)
        return HF_OK;
    if (!im->is_threaded) {
        im->code = write_chunk(im, c, &im->err);
        c->len = 0;
        return failure(im, err);
    }
    pthread_mutex_lock(&im->lock);
    im->head++;
    pthread_cond_signal(&im->has_work);
    while (im->head - im->tail >= IMAGE_CHUNKS)
        pthread_cond_wait(&im->has_room, &im->lock);
    enum hf_code rc = failure(im, err);
    pthread_mutex_unlock(&im->lock);
    return rc;
}

/* data NULL: zeros. */
static enum hf_code append(struct hf_image *im, uint64_t offset, const uint8_t *data, size_t len,
                           struct hf_err *err)
{
    while (len > 0) {
        struct chunk *c = current(im);
        if (c->len == 0)
            c->offset = offset;
        size_t n = IMAGE_CHUNK - c->len;
        n = n < len ? n : len;
        if (data != NULL)
            memcpy(c->data + c->len, data, n);
        else
            memset(c->data + c->len, 0, n);
        data = data != NULL ? data + n : NULL;
        c->len += n;
        offset += n;
        len -= n;
        if (c->len == IMAGE_CHUNK)
            HF_TRY(submit(im, err));
    }
    return HF_OK;
}

enum hf_code hf_image_write(struct hf_image *im, uint64_t offset, const void *data, size_t len,
                            struct hf_err *err)
{
    hf_assert(!im->is_finished && offset >= im->end);
    uint64_t gap = offset - im->end;
    if (gap > 0 && gap <= GAP_FILLED)
        HF_TRY(append(im, im->end, NULL, (size_t)gap, err));
    else if (gap > 0)
        HF_TRY(submit(im, err));
    im->end = offset + len;
    return append(im, offset, data, len, err);
}

static void join(struct hf_image *im)
{
    if (!im->has_thread)
        return;
    pthread_mutex_lock(&im->lock);
    im->is_ending = true;
    pthread_cond_signal(&im->has_work);
    pthread_mutex_unlock(&im->lock);
    pthread_join(im->thread, NULL);
    im->has_thread = false;
}

enum hf_code hf_image_finish(struct hf_image *im, struct hf_err *err)
{
    HF_TRY(submit(im, err));
    join(im);
    end_direct(im);
    im->is_finished = true;
    return failure(im, err);
}

struct hf_file *hf_image_file(struct hf_image *im)
{
    hf_assert(im->is_finished);
    return &im->file;
}

void hf_image_free(struct hf_image *im)
{
    if (im == NULL)
        return;
    join(im);
    hf_file_close(&im->file);
    for (size_t i = 0; i < IMAGE_CHUNKS; i++)
        hf_free(im->ring[i].memory);
    pthread_mutex_destroy(&im->lock);
    pthread_cond_destroy(&im->has_work);
    pthread_cond_destroy(&im->has_room);
    hf_free(im);
}
