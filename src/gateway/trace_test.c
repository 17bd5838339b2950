/* Which traceparent goes on, and what is made when none came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/trace.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static const uint8_t noise[HF_TRACE_RANDOM] = {1, 2, 3, 4, 5, 6, 7, 8, 0xaa, 0xbb};

static void test_incoming(void **state)
{
    static const struct {
        const char *why;
        const char *in;
        const char *want; /* NULL: a new one */
    } rows[] = {
        {"as it should be", "00-" TRACE "-" SPAN "-01", "00-" TRACE "-0102030405060708-01"},
        {"not sampled", "00-" TRACE "-" SPAN "-00", "00-" TRACE "-0102030405060708-00"},
        {"a version to come", "cc-" TRACE "-" SPAN "-01-more", "00-" TRACE "-0102030405060708-01"},
        {"none", NULL, NULL},
        {"empty", "", NULL},
        {"version 00 has no more", "00-" TRACE "-" SPAN "-01-more", NULL},
        {"version ff is none", "ff-" TRACE "-" SPAN "-01", NULL},
        {"upper case", "00-0AF7651916cd43dd8448eb211c80319c-" SPAN "-01", NULL},
        {"a trace of zeros", "00-00000000000000000000000000000000-" SPAN "-01", NULL},
        {"a span of zeros", "00-" TRACE "-0000000000000000-01", NULL},
        {"too short", "00-" TRACE "-" SPAN "-0", NULL},
        {"no dashes", "00_" TRACE "_" SPAN "_01", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hf_trace t;
        hf_trace_begin(&t, rows[i].in, noise);
        const char *want = rows[i].want != NULL
                               ? rows[i].want
                               : "00-aabb0000000000000000000000000000-0102030405060708-00";
        if (t.is_ours != (rows[i].want == NULL) || strcmp(t.parent, want) != 0)
            fail_msg("%s: %s", rows[i].why, t.parent);
    }
}

static void test_never_zero(void **state)
{
    static const uint8_t zeros[HF_TRACE_RANDOM] = {0};
    struct hf_trace t;
    char id[HF_TRACE_ID];
    (void)state;
    hf_trace_begin(&t, NULL, zeros);
    assert_string_equal(t.parent, "00-00000000000000000000000000000001-0000000000000001-00");
    hf_trace_id(&t, id);
    assert_string_equal(id, "00000000000000000000000000000001");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_incoming),
        cmocka_unit_test(test_never_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
