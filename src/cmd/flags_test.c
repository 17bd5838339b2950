#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "cmd/flags.h"

struct options {
    bool json;
    bool ours;
    const char *out;
    int64_t n;
    int64_t interval_ns;
    uint64_t txid;
    int64_t time_ms;
    int check;
    struct hf_flag_list tiers;
};

static const char *const checks[] = {"none", "quick", "full", NULL};

#define AT(field) .offset = offsetof(struct options, field)
static const struct hf_flag flags[] = {
    {.name = "json", .kind = HF_FLAG_BOOL, AT(json), .doc = "J."},
    {.name = "shape", .kind = HF_FLAG_BOOL, AT(json), .doc = "J."},
    {.name = "shape", .kind = HF_FLAG_BOOL, AT(ours), .marks = HF_FLAG_OURS, .doc = "J."},
    {.name = "o", .kind = HF_FLAG_STRING, AT(out), .value = "PATH", .doc = "O."},
    {.name = "n",
     .kind = HF_FLAG_INT,
     AT(n),
     .value = "N",
     .def = "8",
     .min = 1,
     .max = 64,
     .doc = "N."},
    {.name = "interval",
     .kind = HF_FLAG_NS,
     AT(interval_ns),
     .value = "DURATION",
     .def = "1s",
     .doc = "I."},
    {.name = "txid", .kind = HF_FLAG_TXID, AT(txid), .value = "TXID", .doc = "T."},
    {.name = "time", .kind = HF_FLAG_TIME_MS, AT(time_ms), .value = "TIME", .doc = "T."},
    {.name = "check",
     .kind = HF_FLAG_ENUM,
     AT(check),
     .value = "none|quick|full",
     .words = checks,
     .def = "none",
     .doc = "C."},
    {.name = "tier", .kind = HF_FLAG_LIST, AT(tiers), .value = "TIER,...", .doc = "T."},
};

static const struct hf_command cmd = {
    .name = "probe",
    .group = "Look",
    .summary = "probe",
    .args = "DB [URL]",
    .min_args = 1,
    .max_args = 2,
    .flags = flags,
    .n_flags = HF_ARRAY_LEN(flags),
    .options_size = sizeof(struct options),
};

struct row {
    const char *words[8]; /* ended by NULL */
    enum hf_code code;
    const char *text; /* of the error */
    const char *hint;
    struct options want;
    const char *args; /* joined by blanks */
    const char *why;
};

#define DEFAULTS .n = 8, .interval_ns = 1000000000, .time_ms = INT64_MIN
static const struct row rows[] = {
    {{"a"}, HF_OK, NULL, NULL, {DEFAULTS}, "a", "defaults"},
    {{"-json", "a"}, HF_OK, NULL, NULL, {DEFAULTS, .json = true}, "a", "one dash"},
    {{"-shape", "a"}, HF_OK, NULL, NULL, {DEFAULTS, .json = true}, "a", "there twice: one dash"},
    {{"--shape", "a"}, HF_OK, NULL, NULL, {DEFAULTS, .ours = true}, "a", "there twice: two"},
    {{"--json", "a"}, HF_OK, NULL, NULL, {DEFAULTS, .json = true}, "a", "two dashes"},
    {{"a", "-json"}, HF_OK, NULL, NULL, {DEFAULTS, .json = true}, "a", "flag behind argument"},
    {{"-json", "-json=false", "a"}, HF_OK, NULL, NULL, {DEFAULTS}, "a", "the last one wins"},
    {{"-json", "false", "a"},
     HF_OK,
     NULL,
     NULL,
     {DEFAULTS, .json = true},
     "false a",
     "a bool takes no separate value"},
    {{"-o", "x", "a"}, HF_OK, NULL, NULL, {DEFAULTS, .out = "x"}, "a", "separate value"},
    {{"-o=x=y", "a"}, HF_OK, NULL, NULL, {DEFAULTS, .out = "x=y"}, "a", "value with ="},
    {{"-o", "-x", "a"}, HF_OK, NULL, NULL, {DEFAULTS, .out = "-x"}, "a", "value with a dash"},
    {{"-o=", "a"}, HF_OK, NULL, NULL, {DEFAULTS, .out = ""}, "a", "empty value"},
    {{"--", "-json"}, HF_OK, NULL, NULL, {DEFAULTS}, "-json", "-- ends flags"},
    {{"-"}, HF_OK, NULL, NULL, {DEFAULTS}, "-", "- is an argument"},
    {{"-n", "64", "-interval", "20ms", "-txid", "1a", "a"},
     HF_OK,
     NULL,
     NULL,
     {.n = 64, .interval_ns = 20000000, .txid = 26, .time_ms = INT64_MIN},
     "a",
     "typed values"},
    {{"-time", "1970-01-01T00:00:01Z", "-check", "full", "a"},
     HF_OK,
     NULL,
     NULL,
     {.n = 8, .interval_ns = 1000000000, .time_ms = 1000, .check = 2},
     "a",
     "time and word"},
    {{"-jsn", "a"}, HF_E_INVALID, "there is no flag -jsn", "did you mean -json?", {0}, "", "typo"},
    {{"-zzzz=1", "a"},
     HF_E_INVALID,
     "there is no flag -zzzz",
     "holdfast probe -help lists them",
     {0},
     "",
     "nothing near"},
    {{"a", "-o"}, HF_E_INVALID, "-o needs a value (PATH)", "", {0}, "", "value missing"},
    {{"-json=maybe", "a"},
     HF_E_INVALID,
     "-json: 'maybe' is neither true nor false",
     "",
     {0},
     "",
     "bad bool"},
    {{"-n", "65", "a"}, HF_E_INVALID, "-n: '65' is not between 1 and 64", "", {0}, "", "range"},
    {{"-check", "some", "a"},
     HF_E_INVALID,
     "-check: 'some' is not one of none|quick|full",
     "",
     {0},
     "",
     "word"},
    {{"-interval=3", "a"},
     HF_E_INVALID,
     "-interval: '3' has no unit (try 3s)",
     "",
     {0},
     "",
     "duration"},
    {{NULL},
     HF_E_INVALID,
     "too few arguments",
     "usage: holdfast probe [flags] DB [URL]",
     {0},
     "",
     "none"},
    {{"a", "b", "c"},
     HF_E_INVALID,
     "too many arguments: c",
     "usage: holdfast probe [flags] DB [URL]",
     {0},
     "",
     "three"},
};

static void check_row(const struct row *row)
{
    struct options o;
    const char *args[10];
    char joined[100] = "";
    struct hf_err err = HF_ERR_INIT;
    struct hf_run run = {.cmd = &cmd, .options = &o, .args = args, .name = "probe"};
    bool help = false;
    int argc = 0;
    char *argv[8];
    memset(&o, 0, sizeof(o));
    for (; row->words[argc] != NULL; argc++)
        memcpy(&argv[argc], &row->words[argc], sizeof(char *));
    enum hf_code rc = hf_flags_parse(&run, argc, argv, &help, &err);
    if (rc != row->code)
        fail_msg("%s: code %d %s", row->why, rc, err.text);
    if (rc != HF_OK) {
        assert_string_equal(err.text, row->text);
        assert_string_equal(err.hint, row->hint);
        return;
    }
    for (int i = 0; i < run.n_args; i++) {
        size_t len = strlen(joined);
        snprintf(joined + len, sizeof(joined) - len, "%s%s", i == 0 ? "" : " ", args[i]);
    }
    assert_string_equal(joined, row->args);
    bool same_out =
        row->want.out == NULL ? o.out == NULL : o.out != NULL && strcmp(o.out, row->want.out) == 0;
    if (!same_out || o.json != row->want.json || o.n != row->want.n ||
        o.interval_ns != row->want.interval_ns || o.txid != row->want.txid ||
        o.time_ms != row->want.time_ms || o.check != row->want.check)
        fail_msg("%s: wrong options", row->why);
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++)
        check_row(&rows[i]);
}

static enum hf_code parse_tiers(struct options *o, int argc, char **argv, struct hf_err *err)
{
    const char *args[10];
    struct hf_run run = {.cmd = &cmd, .options = o, .args = args, .name = "probe"};
    bool help = false;
    memset(o, 0, sizeof(*o));
    return hf_flags_parse(&run, argc, argv, &help, err);
}

/* A list is split at commas, may be given again, and keeps its order. */
static void test_list(void **state)
{
    (void)state;
    static const char *const want[] = {"p0", "p1", "slow"};
    char flag[] = "-tier";
    char two[] = "p0,p1";
    char third[] = "--tier=slow";
    char hole[] = "p0,";
    char db[] = "a";
    char *argv[] = {flag, two, third, db};
    char *empty[] = {flag, hole, db};
    struct options o = {0};
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(parse_tiers(&o, 4, argv, &err), HF_OK);
    assert_int_equal(o.tiers.n, 3);
    for (size_t i = 0; i < HF_ARRAY_LEN(want); i++)
        assert_string_equal(o.tiers.items[i], want[i]);
    hf_flags_release(&cmd, &o);
    assert_int_equal(o.tiers.n, 0);
    assert_int_equal(parse_tiers(&o, 3, empty, &err), HF_E_INVALID);
    assert_string_equal(err.text, "-tier: 'p0,' has an empty part");
    hf_flags_release(&cmd, &o);
    char many[HF_FLAG_LIST_MAX * 2 + 4] = "";
    for (int i = 0; i <= HF_FLAG_LIST_MAX; i++)
        snprintf(many + (size_t)i * 2, 3, "a%s", i < HF_FLAG_LIST_MAX ? "," : "");
    char *too_many[] = {flag, many, db};
    assert_int_equal(parse_tiers(&o, 3, too_many, &err), HF_E_LIMIT);
    hf_flags_release(&cmd, &o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_list)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
