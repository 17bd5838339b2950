#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "cmd/fleet.h"

static const struct {
    const char *maps[3];
    const char *path;
    const char *want;
    const char *why;
} rows[] = {
    {{NULL}, "/a/x.db", "/a/x.db", "no map"},
    {{"/a=/b"}, "/a/x.db", "/b/x.db", "a leading directory"},
    {{"/a/=/b/"}, "/a/x.db", "/b/x.db", "slashes at the ends do not count"},
    {{"/a=/b"}, "/ab/x.db", "/ab/x.db", "half a name is no directory"},
    {{"/a=/b"}, "/a", "/b", "the whole path"},
    {{"/a/x.db=/b/y.db"}, "/a/x.db", "/b/y.db", "one database"},
    {{"/=/copy"}, "/a/x.db", "/copy/a/x.db", "the root"},
    {{"/a=/"}, "/a/x.db", "/x.db", "to the root"},
    {{"/a=/b", "/a/c=/d"}, "/a/c/x.db", "/d/x.db", "the longer one counts"},
    {{"/a/c=/d", "/a=/b"}, "/a/c/x.db", "/d/x.db", "whatever their order"},
    {{"/z=/b"}, "/a/x.db", "/a/x.db", "another directory"},
    {{"/a=/b=c"}, "/a/x.db", "/b=c/x.db", "the first = is the map's"},
};

static void test_map(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_flag_list maps = {.n = 0};
        while (maps.n < 3 && rows[i].maps[maps.n] != NULL) {
            maps.items[maps.n] = rows[i].maps[maps.n];
            maps.n++;
        }
        HF_AUTO_FREE char *got = hf_cmd_fleet_map(&maps, rows[i].path);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: %s becomes %s", rows[i].why, rows[i].path, got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_map)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
