/*
 * Objects fetched ahead come whole and in order, whatever their size and however the reader jumps
 * between them; memory stays bounded; failures reach the reader of the object they belong to.
 *
 * The store is a fake whose objects are computed: byte i of object n is a hash of both. Its answers
 * take random times, so that requests overtake each other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "replica/fetch.h"
#include "store/backend.h"

enum { OBJECTS_MAX = 600 };

struct fake {
    struct hf_store base;
    uint64_t sizes[OBJECTS_MAX];
    int64_t fails_from; /* byte of object 0 from which reads fail; -1: none */
    bool is_slow;
    atomic_uint running;
    atomic_uint most_running;
    atomic_uint requests;
    atomic_uint streams;
    uint64_t stream_ns_mib; /* of a stream; ranges are as fast as this machine */
};

static uint8_t byte_of(unsigned object, uint64_t i)
{
    uint64_t x = (i >> 3) * 0x9e3779b97f4a7c15u + object * 0xbf58476d1ce4e5b9u;
    x ^= x >> 29;
    return (uint8_t)(x >> (8 * (i & 7)));
}

static enum hf_code fake_read_range(struct hf_store *s, const char *name,
                                    struct hf_store_range range, struct hf_buf *out,
                                    struct hf_err *err)
{
    struct fake *f = (struct fake *)s;
    unsigned object = (unsigned)strtoul(name + 1, NULL, 10);
    unsigned running = atomic_fetch_add(&f->running, 1) + 1;
    unsigned most = atomic_load(&f->most_running);
    while (running > most && !atomic_compare_exchange_weak(&f->most_running, &most, running)) {
    }
    atomic_fetch_add(&f->requests, 1);
    if (f->is_slow)
        hf_clock_sleep_us(hf_random_u64() % 1500);
    enum hf_code rc = HF_OK;
    uint64_t size = f->sizes[object];
    uint64_t left = range.offset < size ? size - range.offset : 0;
    size_t n = left < range.len ? (size_t)left : range.len;
    if (object == 0 && f->fails_from >= 0 && range.offset + n > (uint64_t)f->fails_from)
        rc = hf_err_set(err, HF_E_NOT_FOUND, "gone");
    if (rc == HF_OK)
        rc = hf_buf_reserve(out, n, err);
    for (size_t i = 0; rc == HF_OK && i < n; i++)
        out->data[i] = byte_of(object, range.offset + i);
    out->len = rc == HF_OK ? n : 0;
    atomic_fetch_sub(&f->running, 1);
    return rc;
}

struct fake_reader {
    struct hf_store_reader base;
    unsigned object;
    uint64_t at;
};

static enum hf_code fake_reader_new(struct hf_store *s, const char *name, uint64_t offset,
                                    struct hf_store_reader **out, struct hf_err *err)
{
    struct fake *f = (struct fake *)s;
    (void)err;
    struct fake_reader *r = hf_calloc(1, sizeof(*r));
    r->base.store = s;
    r->object = (unsigned)strtoul(name + 1, NULL, 10);
    r->at = offset;
    atomic_fetch_add(&f->requests, 1);
    atomic_fetch_add(&f->streams, 1);
    *out = &r->base;
    return HF_OK;
}

static enum hf_code fake_reader_read(struct hf_store_reader *base, void *buf, size_t len,
                                     size_t *got, struct hf_err *err)
{
    struct fake_reader *r = (struct fake_reader *)base;
    struct fake *f = (struct fake *)base->store;
    uint64_t left = f->sizes[r->object] - r->at;
    size_t n = left < len ? (size_t)left : len;
    if (r->object == 0 && f->fails_from >= 0 && r->at + n > (uint64_t)f->fails_from)
        return hf_err_set(err, HF_E_NOT_FOUND, "gone");
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)buf)[i] = byte_of(r->object, r->at + i);
    if (f->stream_ns_mib > 0)
        hf_clock_sleep_us(f->stream_ns_mib * n / (1000ull << 20));
    r->at += n;
    *got = n;
    return HF_OK;
}

static void fake_reader_free(struct hf_store_reader *r)
{
    hf_free(r);
}

static void fake_close(struct hf_store *s)
{
    (void)s;
}

static const struct hf_store_ops fake_ops = {.type = "fake",
                                             .close = fake_close,
                                             .reader_new = fake_reader_new,
                                             .reader_read = fake_reader_read,
                                             .reader_free = fake_reader_free,
                                             .read_range = fake_read_range};

static void fake_init(struct fake *f)
{
    memset(f, 0, sizeof(*f));
    static char url[] = "fake://";
    f->base = (struct hf_store){.magic = HF_STORE_MAGIC, .ops = &fake_ops, .url = url};
    f->fails_from = -1;
}

/* Reads n objects side by side in pieces of random sizes and compares every byte. */
static void read_all(struct fake *f, unsigned n, unsigned requests)
{
    struct hf_fetched *o[OBJECTS_MAX];
    static uint64_t at[OBJECTS_MAX];
    static bool is_done[OBJECTS_MAX];
    struct hf_err err = HF_ERR_INIT;
    struct hf_fetch *fetch = hf_fetch_new(&f->base, requests, NULL);
    atomic_store(&f->most_running, 0);
    for (unsigned i = 0; i < n; i++) {
        HF_AUTO_FREE char *name = hf_asprintf("o%u", i);
        o[i] = hf_fetch_add(fetch, name, f->sizes[i]);
        assert_non_null(o[i]);
        at[i] = 0;
        is_done[i] = false;
    }
    assert_int_equal(hf_fetch_start(fetch, &err), HF_OK);
    size_t cap = 300000;
    HF_AUTO_FREE uint8_t *buf = hf_malloc(cap);
    for (unsigned left = n; left > 0;) {
        unsigned i = (unsigned)(hf_random_u64() % n);
        while (is_done[i])
            i = (i + 1) % n;
        size_t want = 1 + hf_random_u64() % cap;
        size_t got = 0;
        if (hf_fetched_read(o[i], buf, want, &got, &err) != HF_OK)
            fail_msg("%s", err.text);
        for (size_t k = 0; k < got; k++) {
            if (buf[k] != byte_of(i, at[i] + k))
                fail_msg("object %u differs at byte %llu", i, (unsigned long long)at[i] + k);
        }
        at[i] += got;
        is_done[i] = got < want;
        left -= is_done[i];
        if (is_done[i])
            assert_int_equal(at[i], f->sizes[i]);
    }
    hf_fetch_free(fetch);
    assert_true(atomic_load(&f->most_running) <= requests);
}

static void test_mixed(void **state)
{
    (void)state;
    static struct fake f;
    fake_init(&f);
    f.is_slow = true;
    /* a base, some large ones, many small ones; around each bound */
    f.sizes[0] = (19u << 20) + 17;
    f.sizes[1] = HF_LIMIT_FETCH_WHOLE;
    f.sizes[2] = HF_LIMIT_FETCH_WHOLE + 1;
    f.sizes[3] = 0;
    f.sizes[4] = 1;
    f.sizes[5] = 4u << 20;
    for (unsigned i = 6; i < 60; i++)
        f.sizes[i] = hf_random_u64() % 60000;
    read_all(&f, 60, 8);
    assert_true(atomic_load(&f.most_running) > 1);
    assert_int_equal(atomic_load(&f.streams), 1); /* the base */
    read_all(&f, 60, 1);
}

/* Streams that are slower than ranges give way to them, and every byte still comes once. */
static void test_slow_streams(void **state)
{
    (void)state;
    static struct fake f;
    fake_init(&f);
    f.stream_ns_mib = 50000000;
    f.sizes[0] = (150ull << 20) + 77;
    f.sizes[1] = (20u << 20) + 1;
    f.sizes[2] = (2u << 20) + 1;
    read_all(&f, 3, 4);
    assert_int_equal(atomic_load(&f.streams), 2);
    assert_true(atomic_load(&f.requests) > 2 + 110 / 4);
}

/* Fewer bytes than were listed are no end of the object. */
static void test_short_stream(void **state)
{
    (void)state;
    static struct fake f;
    fake_init(&f);
    f.sizes[0] = 9u << 20;
    struct hf_err err = HF_ERR_INIT;
    struct hf_fetch *fetch = hf_fetch_new(&f.base, 2, NULL);
    struct hf_fetched *o = hf_fetch_add(fetch, "o0", f.sizes[0] + 1);
    assert_int_equal(hf_fetch_start(fetch, &err), HF_OK);
    HF_AUTO_FREE uint8_t *buf = hf_malloc(1 << 20);
    enum hf_code rc = HF_OK;
    size_t got = 1;
    for (unsigned i = 0; rc == HF_OK && i < 10; i++)
        rc = hf_fetched_read(o, buf, 1 << 20, &got, &err);
    assert_int_equal(rc, HF_E_CORRUPT);
    hf_fetch_free(fetch);
}

/* More than may wait in memory: the file takes them, and each is still one request. */
static void test_spill(void **state)
{
    (void)state;
    static struct fake f;
    fake_init(&f);
    for (unsigned i = 0; i < 40; i++)
        f.sizes[i] = 700000 + i;
    read_all(&f, 40, 4);
    assert_int_equal(atomic_load(&f.requests), 40);
}

/* More large ones than there are windows. */
static void test_many_large(void **state)
{
    (void)state;
    static struct fake f;
    fake_init(&f);
    for (unsigned i = 0; i < 24; i++)
        f.sizes[i] = (2u << 20) + i * 100000;
    read_all(&f, 24, 8);
}

static void test_failure(void **state)
{
    (void)state;
    static struct fake f;
    fake_init(&f);
    f.sizes[0] = 30u << 20;
    f.sizes[1] = 1000;
    f.fails_from = 17 << 20;
    struct hf_err err = HF_ERR_INIT;
    struct hf_fetch *fetch = hf_fetch_new(&f.base, 4, NULL);
    struct hf_fetched *large = hf_fetch_add(fetch, "o0", f.sizes[0]);
    struct hf_fetched *small = hf_fetch_add(fetch, "o1", f.sizes[1]);
    assert_int_equal(hf_fetch_start(fetch, &err), HF_OK);
    HF_AUTO_FREE uint8_t *buf = hf_malloc(1 << 20);
    uint64_t at = 0;
    enum hf_code rc = HF_OK;
    while (rc == HF_OK) {
        size_t got = 0;
        rc = hf_fetched_read(large, buf, 1 << 20, &got, &err);
        at += got;
        assert_true(at < f.sizes[0]);
    }
    assert_int_equal(rc, HF_E_NOT_FOUND);
    assert_true(at > 0 && at <= 17 << 20);
    hf_err_reset(&err);
    size_t got = 0;
    assert_int_equal(hf_fetched_read(small, buf, 2000, &got, &err), HF_OK);
    assert_int_equal(got, 1000);
    hf_fetch_free(fetch);
}

/* Freed with requests under way and nothing read. */
static void test_abandoned(void **state)
{
    (void)state;
    static struct fake f;
    fake_init(&f);
    f.is_slow = true;
    f.sizes[0] = 50u << 20;
    struct hf_err err = HF_ERR_INIT;
    struct hf_fetch *fetch = hf_fetch_new(&f.base, 4, NULL);
    assert_non_null(hf_fetch_add(fetch, "o0", f.sizes[0]));
    assert_int_equal(hf_fetch_start(fetch, &err), HF_OK);
    hf_fetch_free(fetch);
    assert_int_equal(atomic_load(&f.running), 0);
    assert_true(atomic_load(&f.requests) < 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mixed),        cmocka_unit_test(test_spill),
        cmocka_unit_test(test_many_large),   cmocka_unit_test(test_failure),
        cmocka_unit_test(test_abandoned),    cmocka_unit_test(test_slow_streams),
        cmocka_unit_test(test_short_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
