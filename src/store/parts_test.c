/*
 * Parts of an upload run side by side, keep their numbers and ETags, wait for room, and a failure
 * ends the upload.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/random.h"
#include "store/parts.h"

enum { PART = 4 << 20, PARTS = 40 };

struct target {
    atomic_uint running;
    atomic_uint most_running;
    atomic_uint seen[PARTS];
    unsigned fails_at;
};

static enum hf_code send(void *arg, struct hf_part *part, struct hf_err *err)
{
    struct target *t = arg;
    unsigned running = atomic_fetch_add(&t->running, 1) + 1;
    unsigned most = atomic_load(&t->most_running);
    while (running > most && !atomic_compare_exchange_weak(&t->most_running, &most, running)) {
    }
    hf_clock_sleep_us(hf_random_u64() % 3000);
    enum hf_code rc = HF_OK;
    if (part->number == t->fails_at)
        rc = hf_err_set(err, HF_E_BUSY, "part %u", part->number);
    if (part->body->len != 10 + part->number || part->body->data[0] != (uint8_t)part->number)
        rc = hf_err_set(err, HF_E_CORRUPT, "part %u holds another", part->number);
    snprintf(part->etag, sizeof(part->etag), "\"%u\"", part->number);
    atomic_fetch_add(&t->seen[part->number], 1);
    atomic_fetch_sub(&t->running, 1);
    return rc;
}

static enum hf_code upload(struct hf_parts *p, struct hf_err *err)
{
    struct hf_buf b;
    hf_buf_init(&b, PART);
    enum hf_code rc = HF_OK;
    for (unsigned i = 0; i < PARTS && rc == HF_OK; i++) {
        uint8_t data[10 + PARTS];
        memset(data, (int)i, sizeof(data));
        assert_int_equal(b.len, 0);
        assert_int_equal(hf_buf_append(&b, data, 10 + i, err), HF_OK);
        rc = hf_parts_send(p, &b, err);
    }
    hf_buf_deinit(&b);
    return rc == HF_OK ? hf_parts_wait(p, err) : rc;
}

static void test_all_arrive(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct target t = {.fails_at = PARTS};
    struct hf_parts *p = hf_parts_new(PART, 9, send, &t);
    assert_int_equal(upload(p, &err), HF_OK);
    assert_int_equal(hf_parts_count(p), PARTS);
    for (unsigned i = 0; i < PARTS; i++) {
        char want[16];
        snprintf(want, sizeof(want), "\"%u\"", i);
        assert_string_equal(hf_parts_etag(p, i), want);
        assert_int_equal(atomic_load(&t.seen[i]), 1);
    }
    assert_true(atomic_load(&t.most_running) > 1);
    assert_true(atomic_load(&t.most_running) <= HF_LIMIT_STORE_AHEAD / PART);
    hf_parts_free(p);
}

static void test_fewer_at_once(void **state)
{
    (void)state;
    for (unsigned at_once = 0; at_once <= 2; at_once++) {
        struct target t = {.fails_at = PARTS};
        struct hf_parts *p = hf_parts_new(PART, at_once, send, &t);
        assert_int_equal(upload(p, NULL), HF_OK);
        assert_true(atomic_load(&t.most_running) <= (at_once == 0 ? 1 : at_once));
        hf_parts_free(p);
    }
}

static void test_failure(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct target t = {.fails_at = 5};
    struct hf_parts *p = hf_parts_new(PART, 9, send, &t);
    assert_int_equal(upload(p, &err), HF_E_BUSY);
    assert_string_equal(err.text, "part 5");
    assert_true(hf_parts_count(p) < PARTS);
    hf_parts_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_arrive),
                                       cmocka_unit_test(test_fewer_at_once),
                                       cmocka_unit_test(test_failure)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
