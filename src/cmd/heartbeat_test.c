/* When a heartbeat may go out: every database synced within the interval, and none before it is
 * due again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "cmd/heartbeat.h"

enum { NOW = 10000000, INTERVAL = 300000 };

static void test_who_is_late(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        bool is_late;
        struct hf_db_status s;
    } rows[] = {
        {"at rest since the start", false, {.txid = 7, .error = ""}},
        {"just synced", false, {.txid = 7, .error = "", .last_sync_ms = NOW - 10}},
        {"synced long ago, nothing since", false, {.txid = 7, .error = "", .last_sync_ms = 5}},
        {"never replicated", true, {.txid = 0, .error = ""}},
        {"stopped", true, {.txid = 7, .error = "", .is_stopped = true}},
        {"a commit waits, not for long", false, {.txid = 7, .error = "", .lag_ms = INTERVAL}},
        {"a commit waits for too long", true, {.txid = 7, .error = "", .lag_ms = INTERVAL + 1}},
        {"an error, synced within the interval",
         false,
         {.txid = 7, .error = "x", .last_sync_ms = NOW - INTERVAL}},
        {"an error, the last sync is older",
         true,
         {.txid = 7, .error = "x", .last_sync_ms = NOW - INTERVAL - 1}},
        {"an error, no sync since the start", true, {.txid = 7, .error = "x"}},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_db_status two[2] = {{.txid = 1, .error = ""}, rows[i].s};
        struct hf_snapshot s = {.rows = two, .n = 2};
        const struct hf_db_status *late = hf_heartbeat_late(&s, INTERVAL, NOW);
        if (late != (rows[i].is_late ? &two[1] : NULL))
            fail_msg("%s", rows[i].why);
    }
}

static void test_due(void **state)
{
    (void)state;
    assert_true(hf_heartbeat_is_due(0, INTERVAL, 5));
    assert_false(hf_heartbeat_is_due(1000, INTERVAL, 1000 + INTERVAL - 1));
    assert_true(hf_heartbeat_is_due(1000, INTERVAL, 1000 + INTERVAL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_is_late),
        cmocka_unit_test(test_due),
    };
    return cmocka_run_group_tests_name("heartbeat", tests, NULL, NULL);
}
