#include "gateway/hostnames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"

static void test_names(void **state)
{
    static const char *const allowed[] = {"gw.example.org", "*.lan"};
    static const struct hf_config_strings two = {(const char **)(uintptr_t)allowed, 2};
    static const struct {
        const char *host;
        bool is_ours;
    } rows[] = {
        {NULL, true},
        {"", true},
        {"localhost", true},
        {"LocalHost:4180", true},
        {"127.0.0.1:4180", true},
        {"192.168.1.5", true},
        {"203.0.113.9:80", true}, /* an address is no name that could be bound to another */
        {"[::1]:4180", true},
        {"[fe80::1]", true},
        {"forge:4180", true},
        {"a.localhost", true},
        {"forge.local:4180", true},
        {"forge.local.", true},
        {"host.docker.internal", true},
        {"anvil.example.net", true}, /* this machine */
        {"gw.example.org:443", true},
        {"a.lan", true},
        {"evil.example", false},
        {"evil.example:4180", false},
        {"evil.example.:4180", false},
        {"localhost.evil.example", false},
        {"127.0.0.1.evil.example", false},
        {"xlocal.example", false},
        {".local", false},
        {"anvil.example.net.evil.example", false},
        {"1.2.3", false}, /* short forms of addresses are none */
        {"gw.example.org.evil.example", false},
        {":4180", false},
        {"[::1", true},
    };
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        if (hf_gw_hostname_is_ours(rows[i].host, "anvil.example.net", &two) != rows[i].is_ours)
            fail_msg("%s", rows[i].host);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
