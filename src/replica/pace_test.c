/*
 * Who is faster is found out, and a slow reader or a slow server causes no ranges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "replica/pace.h"

enum { PIECE = 256 << 10 };
#define MIB (1ull << 20)

struct world {
    const char *why;
    uint64_t stream_mib_s;
    uint64_t ranges_mib_s;
    uint64_t reader_mib_s; /* decodes while bytes arrive */
    uint64_t size_mib;
    enum hf_pace_way end;
    unsigned trials; /* at most */
};

static uint64_t ns_of(uint64_t mib_s)
{
    return 1000000000ull * PIECE / (mib_s * MIB);
}

static void run(const struct world *w)
{
    struct hf_pace p;
    uint64_t now = 5;
    uint64_t in_ranges = 0;
    unsigned trials = 0;
    hf_pace_init(&p, w->size_mib * MIB, now);
    for (uint64_t at = 0; at < p.size; at += PIECE) {
        bool is_stream = p.way == HF_PACE_STREAM;
        uint64_t arrive = ns_of(is_stream ? w->stream_mib_s : w->ranges_mib_s);
        uint64_t decode = ns_of(w->reader_mib_s);
        uint64_t waited = arrive > decode ? arrive - decode : 0;
        in_ranges += is_stream ? 0 : PIECE;
        now += decode + waited;
        if (hf_pace_read(&p, PIECE, waited, now) && p.way == HF_PACE_RANGES && p.until < p.size)
            trials++;
        assert_true(p.way == HF_PACE_STREAM || p.until > p.at || p.at == p.size);
    }
    if (p.way != w->end || trials > w->trials)
        fail_msg("%s: ends %s after %u trials", w->why,
                 p.way == HF_PACE_STREAM ? "as a stream" : "with ranges", trials);
    if (p.way == HF_PACE_STREAM)
        assert_int_equal(in_ranges, trials * (uint64_t)HF_PACE_PROBE);
}

static void test_worlds(void **state)
{
    (void)state;
    static const struct world worlds[] = {
        {"a connection is the limit", 60, 240, 900, 4096, HF_PACE_RANGES, 1},
        {"the server's CPU is the limit", 500, 120, 1500, 1024, HF_PACE_STREAM, 1},
        {"the same, 64 GiB: trials get rare", 500, 120, 1500, 65536, HF_PACE_STREAM, 3},
        {"the reader is the limit", 900, 3000, 400, 4096, HF_PACE_STREAM, 0},
        {"no difference", 100, 110, 900, 4096, HF_PACE_STREAM, 3},
        {"too little is left to try", 60, 240, 900, 90, HF_PACE_STREAM, 0},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(worlds); i++)
        run(&worlds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_worlds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
