/*
 * Which candidate takes a request, as a table of situations with the reason for each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/choose.h"

/* Route: anvil/m; forge/m if anvil down; cloud/m if anvil and forge down. */
static struct hf_gw_candidate candidates[] = {
    {0, "m", 0},
    {1, "m", 1},
    {2, "m", 3},
};
static const struct hf_gw_route route = {.name = "r", .candidates = candidates, .n_candidates = 3};

enum { NONE = 9 };

struct row {
    const char *why;
    struct hf_gw_facts facts[3];
    uint64_t down;
    int want;
    enum hf_gw_reason reason;
    enum hf_gw_verdict second; /* of forge */
};

#define UP                                                                                         \
    {                                                                                              \
        .health = HF_HEALTH_UP, .model = HF_GW_MODEL_ON_DISK, .free_slots = 1                      \
    }
#define CLOUD                                                                                      \
    {                                                                                              \
        .health = HF_HEALTH_UP, .is_cloud = true, .free_slots = 32                                 \
    }
#define IS(state)                                                                                  \
    {                                                                                              \
        .health = (state), .model = HF_GW_MODEL_ON_DISK, .free_slots = 1                           \
    }

static const struct row rows[] = {
    {"all is well", {UP, UP, CLOUD}, 0, 0, HF_GW_PRIMARY, HF_GW_NOT_YET},
    {"busy is not down: the request queues at home",
     {{.health = HF_HEALTH_UP, .free_slots = -5}, UP, CLOUD},
     0,
     0,
     HF_GW_PRIMARY,
     HF_GW_NOT_YET},
    {"anvil is down", {IS(HF_HEALTH_DOWN), UP, CLOUD}, 1, 1, HF_GW_FAILOVER, HF_GW_TAKEN},
    {"anvil failed this request",
     {{.health = HF_HEALTH_UP, .is_tried = true}, UP, CLOUD},
     1,
     1,
     HF_GW_FAILOVER,
     HF_GW_TAKEN},
    {"both are down: the cloud",
     {IS(HF_HEALTH_DOWN), IS(HF_HEALTH_DOWN), CLOUD},
     3,
     2,
     HF_GW_TO_CLOUD,
     HF_GW_IS_DOWN},
    {"forge lacks the model, but is not down: no cloud",
     {IS(HF_HEALTH_DOWN), {.health = HF_HEALTH_UP, .model = HF_GW_MODEL_MISSING}, CLOUD},
     1,
     NONE,
     0,
     HF_GW_HAS_NOT},
    {"a suspect host rather than none",
     {IS(HF_HEALTH_SUSPECT), {.health = HF_HEALTH_UP, .is_open = true}, CLOUD},
     1,
     0,
     HF_GW_FAIL_OPEN,
     HF_GW_IS_OPEN},
    {"never one that refuses us",
     {IS(HF_HEALTH_CONFIG), IS(HF_HEALTH_DRAINED), {.health = HF_HEALTH_DOWN, .is_cloud = true}},
     3,
     NONE,
     0,
     HF_GW_IS_DRAINED},
    {"no room beside what is in use: the next one of ours",
     {{.health = HF_HEALTH_UP, .fit = HF_GW_FIT_IN_USE}, UP, CLOUD},
     1,
     1,
     HF_GW_FAILOVER,
     HF_GW_TAKEN},
    {"... but no cloud for that",
     {{.health = HF_HEALTH_UP, .fit = HF_GW_FIT_NEVER}, IS(HF_HEALTH_DOWN), CLOUD},
     3,
     0,
     HF_GW_PRIMARY,
     HF_GW_IS_DOWN},
    {"... and it is named where it is not taken",
     {UP, {.health = HF_HEALTH_UP, .fit = HF_GW_FIT_IN_USE}, CLOUD},
     1,
     0,
     HF_GW_PRIMARY,
     HF_GW_NO_ROOM},
    {"idle models make room",
     {{.health = HF_HEALTH_UP, .fit = HF_GW_FIT_SWAP}, UP, CLOUD},
     1,
     0,
     HF_GW_PRIMARY,
     HF_GW_SPARE},
    {"slow start takes requests",
     {IS(HF_HEALTH_RECOVERING), UP, CLOUD},
     0,
     0,
     HF_GW_PRIMARY,
     HF_GW_NOT_YET},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        struct hf_gw_ask ask = {.route = &route,
                                .facts = r->facts,
                                .down = r->down,
                                .may_cloud = true,
                                .pin = SIZE_MAX};
        struct hf_gw_choice c;
        hf_gw_choose(&ask, &c);
        int got = c.is_found ? (int)c.candidate : NONE;
        if (got != r->want || (c.is_found && c.reason != r->reason) || c.verdicts[1] != r->second)
            fail_msg("%s: candidate %d, %s, forge: %s", r->why, got, hf_gw_reason_word(c.reason),
                     hf_gw_verdict_word(c.verdicts[1]));
    }
}

static void test_cloud_not_allowed(void **state)
{
    struct hf_gw_facts facts[] = {IS(HF_HEALTH_DOWN), IS(HF_HEALTH_DOWN), CLOUD};
    struct hf_gw_ask ask = {.route = &route, .facts = facts, .down = 3, .pin = SIZE_MAX};
    struct hf_gw_choice c;
    (void)state;
    hf_gw_choose(&ask, &c);
    assert_false(c.is_found);
    assert_true(c.may_come_back);
    assert_int_equal(c.verdicts[2], HF_GW_NO_CLOUD);
}

/* A private key's request waits for its own hosts, and is refused where only clouds are. */
static void test_private_key(void **state)
{
    struct hf_gw_facts facts[3] = {IS(HF_HEALTH_DOWN), IS(HF_HEALTH_DOWN), CLOUD};
    struct hf_gw_ask ask = {.route = &route,
                            .facts = facts,
                            .down = 3,
                            .may_cloud = true,
                            .is_private = true,
                            .pin = SIZE_MAX};
    struct hf_gw_choice c;
    (void)state;
    hf_gw_choose(&ask, &c);
    assert_false(c.is_found);
    assert_true(c.may_come_back);
    assert_int_equal(c.verdicts[2], HF_GW_IS_PRIVATE);
    ask.pin = 2;
    hf_gw_choose(&ask, &c);
    assert_false(c.is_found || c.may_come_back);
}

static void test_ranked_alike_and_pin(void **state)
{
    static struct hf_gw_candidate two[] = {{0, "m", 0}, {1, "m", 0}};
    static const struct hf_gw_route found = {.name = "m", .candidates = two, .n_candidates = 2};
    struct hf_gw_facts facts[] = {
        UP, {.health = HF_HEALTH_UP, .model = HF_GW_MODEL_LOADED, .free_slots = 1}};
    struct hf_gw_ask ask = {.route = &found,
                            .facts = facts,
                            .is_ranked_alike = true,
                            .may_cloud = true,
                            .pin = SIZE_MAX};
    struct hf_gw_choice c;
    (void)state;
    hf_gw_choose(&ask, &c);
    assert_int_equal(c.candidate, 1); /* the model is loaded there */
    facts[0].is_sticky = true;
    hf_gw_choose(&ask, &c);
    assert_int_equal(c.candidate, 0); /* but the conversation was there */
    facts[0].free_slots = 0;
    hf_gw_choose(&ask, &c);
    assert_int_equal(c.candidate, 1); /* where it would queue now */
    facts[0].free_slots = 1;
    facts[0].is_sticky = false;
    facts[1].free_slots = 0;
    hf_gw_choose(&ask, &c);
    assert_int_equal(c.candidate, 0); /* but it is busy */
    ask.pin = 1;
    hf_gw_choose(&ask, &c);
    assert_int_equal(c.candidate, 1);
    assert_int_equal(c.reason, HF_GW_PIN);
    assert_int_equal(c.verdicts[0], HF_GW_PINNED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_cloud_not_allowed),
        cmocka_unit_test(test_private_key),
        cmocka_unit_test(test_ranked_alike_and_pin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
