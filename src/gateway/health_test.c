/*
 * The health table: whole stories, row by row; every state and event does something defined.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gateway/health.h"

enum { INTERVAL = 5000 };

struct step {
    enum hf_health_event event;
    enum hf_health_state want;
};

static void test_stories(void **state)
{
    static const struct {
        const char *why;
        struct step steps[8];
        size_t n;
    } rows[] = {
        {"one failure is suspicion, a good probe forgives it",
         {{HF_HEALTH_PROBE_OK, HF_HEALTH_UP},
          {HF_HEALTH_PROBE_FAILED, HF_HEALTH_SUSPECT},
          {HF_HEALTH_PROBE_OK, HF_HEALTH_UP}},
         3},
        {"a refused request and a failed probe make it down; two good probes begin a slow start",
         {{HF_HEALTH_PROBE_OK, HF_HEALTH_UP},
          {HF_HEALTH_REFUSED, HF_HEALTH_SUSPECT},
          {HF_HEALTH_PROBE_FAILED, HF_HEALTH_DOWN},
          {HF_HEALTH_PROBE_OK, HF_HEALTH_DOWN},
          {HF_HEALTH_PROBE_FAILED, HF_HEALTH_DOWN},
          {HF_HEALTH_PROBE_OK, HF_HEALTH_DOWN},
          {HF_HEALTH_PROBE_OK, HF_HEALTH_RECOVERING},
          {HF_HEALTH_REFUSED, HF_HEALTH_DOWN}},
         8},
        {"a wrong key is not death, and a good answer ends it",
         {{HF_HEALTH_PROBE_OK, HF_HEALTH_UP},
          {HF_HEALTH_DENIED, HF_HEALTH_CONFIG},
          {HF_HEALTH_PROBE_OK, HF_HEALTH_UP}},
         3},
        {"drained stays drained whatever probes say",
         {{HF_HEALTH_DRAIN, HF_HEALTH_DRAINED},
          {HF_HEALTH_PROBE_OK, HF_HEALTH_DRAINED},
          {HF_HEALTH_PROBE_FAILED, HF_HEALTH_DRAINED},
          {HF_HEALTH_UNDRAIN, HF_HEALTH_NEW},
          {HF_HEALTH_PROBE_FAILED, HF_HEALTH_SUSPECT}},
         5},
    };
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_health h;
        hf_health_init(&h, 1000);
        for (size_t k = 0; k < rows[i].n; k++) {
            hf_health_step(&h, rows[i].steps[k].event, INTERVAL, 2000 + k, 7);
            if (h.state != rows[i].steps[k].want)
                fail_msg("%s: step %zu: %s", rows[i].why, k, hf_health_word(h.state));
        }
    }
}

static void test_when_to_probe(void **state)
{
    struct hf_health h;
    (void)state;
    hf_health_init(&h, 1000);
    assert_int_equal(h.next_probe_ms, 1000);
    hf_health_step(&h, HF_HEALTH_PROBE_OK, INTERVAL, 1000, 0);
    assert_int_equal(h.next_probe_ms, 1000 + INTERVAL * 3 / 4);
    hf_health_step(&h, HF_HEALTH_REFUSED, INTERVAL, 2000, 0);
    assert_int_equal(h.next_probe_ms, 2000); /* at once */
    hf_health_step(&h, HF_HEALTH_PROBE_FAILED, INTERVAL, 2000, 0);
    uint64_t last = 0;
    for (int i = 0; i < 10; i++) {
        uint64_t wait = h.next_probe_ms - 2000;
        assert_true(wait >= last && wait <= HF_HEALTH_BACKOFF_MAX * 5 / 4);
        last = wait;
        hf_health_step(&h, HF_HEALTH_PROBE_FAILED, INTERVAL, 2000, 0);
    }
    assert_int_equal(last, HF_HEALTH_BACKOFF_MAX * 3 / 4);
    for (uint32_t jitter = 0; jitter < 100000; jitter += 997) {
        hf_health_step(&h, HF_HEALTH_PROBE_FAILED, INTERVAL, 2000, jitter);
        assert_in_range(h.next_probe_ms - 2000, HF_HEALTH_BACKOFF_MAX * 3 / 4,
                        HF_HEALTH_BACKOFF_MAX * 5 / 4);
    }
}

static void test_slow_start(void **state)
{
    struct hf_health h;
    (void)state;
    hf_health_init(&h, 0);
    h.state = HF_HEALTH_DOWN;
    hf_health_step(&h, HF_HEALTH_PROBE_OK, INTERVAL, 0, 0);
    assert_true(hf_health_step(&h, HF_HEALTH_PROBE_OK, INTERVAL, 0, 0));
    assert_true(hf_health_is_routable(&h));
    assert_int_equal(hf_health_cap(&h, 0), 1);
    assert_int_equal(hf_health_cap(&h, 5000), 2);
    assert_int_equal(hf_health_cap(&h, 10000), 4);
    assert_false(hf_health_tick(&h, HF_HEALTH_SLOW_MS - 1));
    assert_true(hf_health_tick(&h, HF_HEALTH_SLOW_MS));
    assert_int_equal(h.state, HF_HEALTH_UP);
    assert_int_equal(hf_health_cap(&h, HF_HEALTH_SLOW_MS), 0);
}

/* Every pair is defined: routable and down exclude each other, words exist, the table prints. */
static void test_exhaustive(void **state)
{
    struct hf_buf out;
    (void)state;
    for (int s = 0; s < HF_HEALTH_STATES_; s++) {
        for (int e = 0; e < HF_HEALTH_EVENTS_; e++) {
            struct hf_health h;
            hf_health_init(&h, 0);
            h.state = (enum hf_health_state)s;
            h.failed = h.good = 5;
            bool is_changed =
                hf_health_step(&h, (enum hf_health_event)e, INTERVAL, 10, (uint32_t)e * 31);
            assert_int_equal(is_changed, (int)h.state != s);
            assert_false(hf_health_is_routable(&h) && hf_health_is_down(&h));
            assert_non_null(hf_health_word(h.state));
            if (s == HF_HEALTH_DRAINED)
                assert_int_equal(is_changed, e == HF_HEALTH_UNDRAIN);
        }
    }
    hf_buf_init(&out, 1 << 16);
    assert_int_equal(hf_health_table(&out, NULL), HF_OK);
    assert_non_null(strstr(hf_buf_str(&out), "up --> suspect: refused"));
    hf_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories),
        cmocka_unit_test(test_when_to_probe),
        cmocka_unit_test(test_slow_start),
        cmocka_unit_test(test_exhaustive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
