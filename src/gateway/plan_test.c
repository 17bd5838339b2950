/*
 * From configuration and tier-routing.json to hosts and routes: the fleet's own file compiles
 * unchanged; what cannot be meant is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/plan.h"
#include "os/file.h"

static struct hf_config_gateway_host claude = {.name = "claude",
                                               .kind = HF_CONFIG_ANTHROPIC,
                                               .api_key = "k",
                                               .model = "claude-x",
                                               .local = -1,
                                               .parallel = -1};

static struct hf_config_gateway base_conf(void)
{
    return (struct hf_config_gateway){
        .listen = "127.0.0.1:4180", .probe_timeout_ms = 3000, .node = "anvil"};
}

static char *fleet_file(size_t *len)
{
    char *text = NULL;
    assert_int_equal(
        hf_path_read(HF_FIXTURES "/../fleet/tier-routing.json", HF_GW_TIER_FILE, &text, len, NULL),
        HF_OK);
    return text;
}

/* "anvil/llama3.1:8b; forge/x if anvil" in a form that is easy to compare. */
static void show(const struct hf_gw_plan *p, const char *route, char out[600])
{
    const struct hf_gw_route *r = hf_gw_plan_route(p, route);
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; r != NULL && i < r->n_candidates; i++) {
        const struct hf_gw_candidate *c = &r->candidates[i];
        at += (size_t)snprintf(out + at, 600 - at, "%s%s/%s", i == 0 ? "" : "; ",
                               p->hosts[c->host].name, c->model);
        for (size_t h = 0; h < p->n_hosts; h++) {
            if ((c->when_down & HF_GW_BIT(h)) != 0)
                at += (size_t)snprintf(out + at, 600 - at, " if %s", p->hosts[h].name);
        }
    }
}

static void test_fleet_file(void **state)
{
    static const char together[] =
        "; together/meta-llama/Llama-3.3-70B-Instruct-Turbo if anvil if forge";
    static const struct {
        const char *route;
        const char *want;
        bool has_together;
    } rows[] = {
        {"1", "anvil/llama3.1:8b; forge/llama3.1:8b if anvil", true},
        {"tier-2", "anvil/qwen2.5-coder:32b; forge/qwen2.5-coder:32b-instruct-q8_0 if anvil", true},
        {"2cHQ", "anvil/qwen2.5-coder:32b; forge/qwen2.5-coder:32b-instruct-q8_0 if anvil", true},
        {"2t", "anvil/fleet-task:3b", true},
        {"3", "forge/deepseek-r1:70b; claude/claude-x if forge", true},
        {"llama3.1:8b", "anvil/llama3.1:8b; forge/llama3.1:8b if anvil", true},
        {"DeepSeek-R1:70b", "forge/deepseek-r1:70b; claude/claude-x if forge", true},
        {"nothing", "", false},
    };
    struct hf_config_gateway conf = base_conf();
    struct hf_gw_plan *p = NULL;
    struct hf_err err = HF_ERR_INIT;
    size_t len = 0;
    HF_AUTO_FREE char *text = fleet_file(&len);
    char got[600];
    char want[600];
    (void)state;
    conf.hosts = &claude;
    conf.n_hosts = 1;
    if (hf_gw_plan_parse(&conf, &(struct hf_gw_plan_input){.tiers = text, .len = len}, &p, &err) !=
        HF_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        show(p, rows[i].route, got);
        snprintf(want, sizeof(want), "%s%s", rows[i].want, rows[i].has_together ? together : "");
        assert_string_equal(got, want);
    }
    assert_int_equal(p->n_hosts, 4);
    assert_string_equal(p->hosts[0].urls[0], "http://localhost:11434"); /* we are anvil */
    assert_string_equal(p->hosts[1].urls[0], "http://10.0.0.2:11434");
    assert_string_equal(p->hosts[1].urls[1], "http://100.64.0.2:11434");
    assert_true(p->hosts[2].is_cloud && p->hosts[3].is_cloud);
    /* "2t" is in a rule, but not in its map; together has no key. */
    assert_true(p->n_warnings >= 2);
    hf_gw_plan_free(p);
}

static void test_elsewhere(void **state)
{
    struct hf_config_gateway conf = base_conf();
    struct hf_gw_plan *p = NULL;
    size_t len = 0;
    HF_AUTO_FREE char *text = fleet_file(&len);
    (void)state;
    conf.node = "forge";
    assert_int_equal(
        hf_gw_plan_parse(&conf, &(struct hf_gw_plan_input){.tiers = text, .len = len}, &p, NULL),
        HF_OK);
    assert_int_equal(p->hosts[0].n_urls, 1); /* localhost is not anvil here */
    assert_string_equal(p->hosts[0].urls[0], "http://100.64.0.1:11434");
    hf_gw_plan_free(p);
    /* In Ollama's place on its own machine: a loop, unless Ollama moved. */
    conf.node = "anvil";
    conf.listen = ":11434";
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(
        hf_gw_plan_parse(&conf, &(struct hf_gw_plan_input){.tiers = text, .len = len}, &p, &err),
        HF_E_INVALID);
    assert_non_null(strstr(err.text, "own address"));
}

static void test_refused(void **state)
{
    static const struct {
        const char *to;
        const char *want;
    } rows[] = {
        {"a/m if b down", "no host is called b"},
        {"x/m", "no host is called x"},
        {"a", "needs HOST/MODEL"},
        {"a/", "needs a model"},
        {"a/m when a down", "comes ' if A and B down'"},
        {"a/m if a", "must end in 'down'"},
        {"a/m if down", "no host is called down"},
        {"a/m if a down now", "text after"},
    };
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_config_gateway conf = base_conf();
        struct hf_config_gateway_host host = {
            .name = "a", .url = "http://10.0.0.1:1", .local = -1, .parallel = -1};
        const char *to[] = {rows[i].to};
        struct hf_config_gateway_route route = {.name = "r", .to = {to, 1}};
        struct hf_err err = HF_ERR_INIT;
        struct hf_gw_plan *p = NULL;
        conf.hosts = &host;
        conf.n_hosts = 1;
        conf.routes = &route;
        conf.n_routes = 1;
        assert_int_equal(
            hf_gw_plan_parse(&conf, &(struct hf_gw_plan_input){.tiers = NULL, .len = 0}, &p, &err),
            HF_E_INVALID);
        if (strstr(err.text, rows[i].want) == NULL)
            fail_msg("%s: %s", rows[i].to, err.text);
    }
}

static void test_tier_file_errors(void **state)
{
    static const char *const rows[] = {
        "",
        "[]",
        "{\"tiers\":{\"1\":{\"host\":\"x\",\"model\":\"m\"}}}",
        "{\"tiers\":[1]}",
        "{\"ollamaHosts\":{\"a\":{\"url\":\"ftp://x\"}}}",
        "{\"ollamaHosts\":{\"a\":{\"url\":\"http://x\"}},\"tiers\":{\"1\":{\"host\":\"a\"}}}",
        "{\"ollamaHosts\":{\"a\":{\"url\":\"http://x\"},\"a\":{}}",
    };
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_config_gateway conf = base_conf();
        struct hf_gw_plan *p = NULL;
        struct hf_err err = HF_ERR_INIT;
        if (hf_gw_plan_parse(&conf,
                             &(struct hf_gw_plan_input){.tiers = rows[i], .len = strlen(rows[i])},
                             &p, &err) == HF_OK)
            fail_msg("accepted: %s", rows[i]);
        assert_true(strlen(err.text) > 0);
    }
}

static void test_private(void **state)
{
    struct hf_config_gateway conf = base_conf();
    struct hf_config_gateway_host hosts[] = {
        {.name = "a", .url = "http://10.0.0.1:1", .local = -1, .parallel = -1},
        {.name = "c", .url = "https://x", .kind = HF_CONFIG_OPENAI, .local = -1, .parallel = -1}};
    const char *to[] = {"a/m", "c/n if a down"};
    const char *aliases[] = {"other"};
    struct hf_config_gateway_route route = {
        .name = "r", .to = {to, 2}, .aliases = {aliases, 1}, .is_private = true};
    struct hf_gw_plan *p = NULL;
    char got[600];
    (void)state;
    conf.hosts = hosts;
    conf.n_hosts = 2;
    conf.routes = &route;
    conf.n_routes = 1;
    assert_int_equal(
        hf_gw_plan_parse(&conf, &(struct hf_gw_plan_input){.tiers = NULL, .len = 0}, &p, NULL),
        HF_OK);
    show(p, "other", got);
    assert_string_equal(got, "a/m");
    assert_int_equal(p->hosts[0].parallel, 1);
    assert_int_equal(p->hosts[1].parallel, 32);
    hf_gw_plan_free(p);
}

/* After a reload every host has the index it had; one that left may not be named any longer. */
static void test_reload(void **state)
{
    struct hf_config_gateway conf = base_conf();
    struct hf_config_gateway_host hosts[] = {
        {.name = "a", .url = "http://10.0.0.1:1", .local = -1, .parallel = -1},
        {.name = "b", .url = "http://10.0.0.2:1", .local = -1, .parallel = -1},
        {.name = "c", .url = "http://10.0.0.3:1", .local = -1, .parallel = -1}};
    const char *to[] = {"a/m"};
    struct hf_config_gateway_route route = {.name = "r", .to = {to, 1}};
    struct hf_gw_plan *first = NULL;
    struct hf_gw_plan *second = NULL;
    struct hf_gw_plan *third = NULL;
    struct hf_err err = HF_ERR_INIT;
    (void)state;
    conf.hosts = hosts;
    conf.n_hosts = 2;
    assert_int_equal(hf_gw_plan_new(&conf, &first, NULL), HF_OK);
    conf.hosts = hosts + 1;
    assert_int_equal(hf_gw_plan_next(&conf, first, &second, NULL), HF_OK);
    assert_int_equal(second->n_hosts, 3);
    assert_true(second->hosts[0].is_gone && !second->hosts[1].is_gone);
    assert_int_equal(hf_gw_plan_host(second, "b"), 1);
    assert_int_equal(hf_gw_plan_host(second, "c"), 2);
    assert_int_equal(hf_gw_plan_host(second, "a"), second->n_hosts);
    conf.routes = &route;
    conf.n_routes = 1;
    assert_int_equal(hf_gw_plan_next(&conf, second, &third, &err), HF_E_INVALID);
    assert_non_null(strstr(err.text, "no host is called a"));
    conf.hosts = hosts;
    conf.n_hosts = 3;
    assert_int_equal(hf_gw_plan_next(&conf, second, &third, NULL), HF_OK);
    assert_int_equal(hf_gw_plan_host(third, "a"), 0); /* back in its place */
    assert_int_equal(third->hosts[0].parallel, 1);
    hf_gw_plan_free(first);
    hf_gw_plan_free(second);
    hf_gw_plan_free(third);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fleet_file), cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_tier_file_errors),
        cmocka_unit_test(test_private),    cmocka_unit_test(test_reload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
