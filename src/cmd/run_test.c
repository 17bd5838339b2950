/*
 * Commands through hf_cmd_main with stdout and stderr caught: exit codes, exact error lines, and
 * what every row of the command table must have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "cmd/help.h"
#include "cmd/out.h"
#include "cmd/run.h"

struct result {
    int code;
    char *out;
    char *err;
};

static char *slurp(FILE *f)
{
    struct hf_buf b;
    char part[4096];
    size_t n;
    hf_buf_init(&b, 4 << 20);
    rewind(f);
    while ((n = fread(part, 1, sizeof(part), f)) > 0)
        assert_int_equal(hf_buf_append(&b, part, n, NULL), HF_OK);
    char *text = hf_strdup(hf_buf_str(&b));
    hf_buf_deinit(&b);
    fclose(f);
    return text;
}

static struct result call(const char *const *words)
{
    struct result r;
    char *argv[10] = {NULL};
    int argc = 0;
    for (; words[argc] != NULL; argc++)
        memcpy(&argv[argc], &words[argc], sizeof(char *));
    FILE *out = tmpfile();
    FILE *err = tmpfile();
    fflush(stdout);
    int keep_out = dup(STDOUT_FILENO);
    int keep_err = dup(STDERR_FILENO);
    dup2(fileno(out), STDOUT_FILENO);
    dup2(fileno(err), STDERR_FILENO);
    r.code = hf_cmd_main(argc, argv);
    fflush(stdout);
    dup2(keep_out, STDOUT_FILENO);
    dup2(keep_err, STDERR_FILENO);
    close(keep_out);
    close(keep_err);
    r.out = slurp(out);
    r.err = slurp(err);
    return r;
}

static void result_free(struct result *r)
{
    hf_free(r->out);
    hf_free(r->err);
}

#define CALL(...) call((const char *const[]){"holdfast", __VA_ARGS__, NULL})

static void expect(struct result r, int code, const char *err)
{
    if (r.code != code || strcmp(r.err, err) != 0)
        fail_msg("code %d, wanted %d\n got: %s\nwant: %s", r.code, code, r.err, err);
    result_free(&r);
}

static void test_wrong_words(void **state)
{
    (void)state;
    expect(CALL("databse"), 2,
           "holdfast: there is no command databse\n  did you mean databases?\n");
    expect(CALL("zzzzzzzz"), 2,
           "holdfast: there is no command zzzzzzzz\n  holdfast help lists them\n");
    expect(CALL("config", "chekc"), 2,
           "holdfast: there is no command config chekc\n  did you mean check?\n");
    expect(CALL("help", "restor"), 2,
           "holdfast help: there is no command restor\n  did you mean restore?\n");
    expect(CALL("help", "config", "chekc"), 2,
           "holdfast help: there is no command config chekc\n  did you mean check?\n");
    expect(CALL("help", "restore", "what"), 2,
           "holdfast help: there is no command restore what\n  holdfast help restore lists them\n");
    expect(CALL("replicate", "--hlep"), 2,
           "holdfast replicate: there is no flag -hlep\n  did you mean -help?\n");
    expect(CALL("replicate", "my.yml"), 2,
           "holdfast replicate: a database needs a replica URL: replicate my.yml URL\n"
           "  a configuration is named with -config my.yml\n");
    expect(CALL("config", "check", "-jsn"), 2,
           "holdfast config check: there is no flag -jsn\n  did you mean -json?\n");
    expect(CALL("databases", "-config", "/nowhere.yml"), 3,
           "holdfast databases: open /nowhere.yml: No such file or directory\n");
    expect(CALL("completion", "tcsh"), 2,
           "holdfast completion: there is no completion for 'tcsh' (try bash, zsh or fish)\n");
    expect(CALL("config", "explain", "retentoin"), 3,
           "holdfast config explain: there is no key retentoin\n  did you mean retention?\n");
}

static void test_version(void **state)
{
    (void)state;
    struct result r = CALL("version");
    assert_int_equal(r.code, 0);
    assert_string_equal(r.out, HF_VERSION "\n");
    result_free(&r);
    r = CALL("--version");
    assert_string_equal(r.out, HF_VERSION "\n");
    result_free(&r);
    r = CALL("-v");
    assert_string_equal(r.out, HF_VERSION "\n");
    result_free(&r);
    r = CALL("--help", "version"); /* as of the command, not of the whole program */
    assert_non_null(strstr(r.out, "usage: holdfast version"));
    result_free(&r);
    r = CALL("version", "-json");
    assert_int_equal(hf_json_check(r.out, strlen(r.out), NULL), HF_OK);
    assert_non_null(strstr(r.out, "\"schema\": \"holdfast.version/1\""));
    assert_non_null(strstr(r.out, "\"sqlite\": \"3."));
    result_free(&r);
}

/* A terminal of 80 columns breaks no line of a help text in two. */
static void check_width(const char *text, const char *name)
{
    for (size_t len; *text != '\0'; text += len + (text[len] == '\n')) {
        len = strcspn(text, "\n");
        if (len > 80)
            fail_msg("help of %s: longer than 80: %.*s", name, (int)len, text);
    }
}

static void check_row(const struct hf_command *cmd, const char *name)
{
    struct hf_buf out;
    assert_non_null(cmd->summary);
    assert_non_null(cmd->group);
    assert_non_null(cmd->args);
    assert_true(cmd->run != NULL || cmd->subs != NULL);
    if (cmd->summary[strlen(cmd->summary) - 1] == '.' || strchr(cmd->summary, '\'') != NULL)
        fail_msg("%s: the summary ends in a full stop or holds a quote", name);
    hf_buf_init(&out, 1 << 20);
    assert_int_equal(hf_help_command(cmd, name, &out, NULL), HF_OK);
    check_width(hf_buf_str(&out), name);
    for (size_t i = 0; i < cmd->n_flags; i++) {
        const struct hf_flag *f = &cmd->flags[i];
        char shown[80];
        assert_non_null(f->doc);
        assert_true((f->kind == HF_FLAG_BOOL) == (f->value == NULL));
        assert_true((f->kind == HF_FLAG_ENUM) == (f->words != NULL));
        assert_true(f->offset < cmd->options_size);
        for (size_t k = 0; k < i; k++) /* twice only as -x and --x */
            assert_true(strcmp(cmd->flags[k].name, f->name) != 0 ||
                        ((cmd->flags[k].marks ^ f->marks) & HF_FLAG_OURS) != 0);
        snprintf(shown, sizeof(shown), "\n  %s%s", (f->marks & HF_FLAG_OURS) ? "--" : "-", f->name);
        bool is_shown = strstr(hf_buf_str(&out), shown) != NULL;
        if (is_shown == ((f->marks & HF_FLAG_HIDDEN) != 0))
            fail_msg("%s: help and -%s", name, f->name);
    }
    hf_buf_deinit(&out);
}

static void test_every_row(void **state)
{
    (void)state;
    for (size_t i = 0; hf_commands[i] != NULL; i++) {
        const struct hf_command *cmd = hf_commands[i];
        check_row(cmd, cmd->name);
        assert_ptr_equal(hf_command_find(hf_commands, cmd->name), cmd);
        for (size_t k = 0; cmd->subs != NULL && cmd->subs[k] != NULL; k++)
            check_row(cmd->subs[k], cmd->subs[k]->name);
    }
}

/* Overview, man page and completions name every command and flag. */
static void test_texts_are_complete(void **state)
{
    (void)state;
    struct result texts[] = {CALL("help"), CALL("help", "--man"), CALL("completion", "bash"),
                             CALL("completion", "fish")};
    for (size_t t = 0; t < HF_ARRAY_LEN(texts); t++) {
        assert_int_equal(texts[t].code, 0);
        if (t == 0)
            check_width(texts[t].out, "all");
        else if (strstr(texts[t].out, t == 1 ? "what\\-if" : "what-if") == NULL)
            fail_msg("text %zu does not name the gateway's questions", t);
        for (size_t i = 0; hf_commands[i] != NULL; i++) {
            if (strstr(texts[t].out, hf_commands[i]->name) == NULL)
                fail_msg("text %zu does not name %s", t, hf_commands[i]->name);
        }
        result_free(&texts[t]);
    }
}

static void test_help_of_one(void **state)
{
    (void)state;
    struct result q = CALL("help", "gateway", "usage"); /* a word of it, not a row */
    assert_int_equal(q.code, 0);
    assert_non_null(strstr(q.out, "usage: holdfast gateway [flags] [QUESTION]\n"));
    result_free(&q);
    struct result a = CALL("help", "databases");
    struct result b = CALL("databases", "-h");
    struct result c = CALL("databases", "--help");
    assert_int_equal(a.code, 0);
    assert_string_equal(a.out, b.out);
    assert_string_equal(a.out, c.out);
    assert_int_equal(strncmp(a.out,
                             "holdfast databases: list the databases of the configuration\n\n"
                             "usage: holdfast databases [flags]\n",
                             94),
                     0);
    assert_non_null(strstr(a.out, "\n  -config FILE\n"));
    result_free(&a);
    result_free(&b);
    result_free(&c);
}

static char *write_config(const char *text)
{
    char *path = hf_strdup("/tmp/hf-run-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static void test_databases(void **state)
{
    (void)state;
    char *file =
        write_config("dbs:\n"
                     "  - {path: /d/a.db, replica: {path: /r/a}}\n"
                     "  - {path: /d/longer.db, replicas: [{path: /r/b}, {url: 's3://b/p'}]}\n");
    struct result r = CALL("databases", "-config", file);
    assert_int_equal(r.code, 0);
    assert_string_equal(r.out, "path          replica\n"
                               "/d/a.db       file\n"
                               "/d/longer.db  file,s3\n");
    assert_string_equal(r.err, "");
    result_free(&r);
    r = CALL("databases", "-json", "-config", file);
    assert_int_equal(hf_json_check(r.out, strlen(r.out), NULL), HF_OK);
    assert_non_null(strstr(r.out, "\"url\": \"s3://b/p\""));
    result_free(&r);
    unlink(file);
    hf_free(file);
}

static void test_config_check(void **state)
{
    (void)state;
    char *good = write_config("dbs: [{path: /d/a.db, replica: {path: /r/a}}]\n");
    char *odd = write_config("adr: x\nmcp-addr: ':1'\n");
    char *gw = write_config("gateway: {hosts: [{name: a, url: 'http://10.9.9.9:11434'}],\n"
                            "  routes: [{name: r, to: [a/m]}]}\n");
    char *bad = write_config("gateway: {hosts: [{name: a, url: 'http://10.9.9.9:11434'}],\n"
                             "  routes: [{name: r, to: [nosuch/m]}]}\n");
    char want[400];
    struct result r = CALL("config", "check", good);
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(r.out, ": 1 database, 0 directories, 1 replica\n"));
    result_free(&r);
    r = CALL("config", "check", odd);
    assert_int_equal(r.code, 2);
    snprintf(want, sizeof(want),
             "holdfast: warning: %s:1:1 adr: unknown key (did you mean addr?)\n", odd);
    assert_non_null(strstr(r.err, want));
    assert_non_null(strstr(r.err, "mcp-addr: has no effect: "));
    assert_non_null(strstr(r.err, "holdfast config check: 1 unknown key\n"));
    result_free(&r);
    r = CALL("config", "check", gw);
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(r.out, ": gateway of 1 host, 1 route\n"));
    result_free(&r);
    r = CALL("config", "check", "--json", gw);
    assert_non_null(strstr(r.out, "\"routes\": 1"));
    result_free(&r);
    r = CALL("config", "check", bad);
    assert_int_equal(r.code, 2);
    assert_non_null(strstr(r.err, "nosuch"));
    result_free(&r);
    r = CALL("config", "migrate", odd);
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(r.out, "# holdfast: adr unknown key (did you mean addr?)\nadr: x\n"));
    result_free(&r);
    unlink(good);
    unlink(odd);
    unlink(gw);
    unlink(bad);
    hf_free(good);
    hf_free(odd);
    hf_free(gw);
    hf_free(bad);
}

static void test_size_text(void **state)
{
    (void)state;
    char text[HF_SIZE_TEXT];
    hf_size_format(0, text);
    assert_string_equal(text, "0 B");
    hf_size_format(1536, text);
    assert_string_equal(text, "1.5 KB");
    hf_size_format(UINT64_C(150) << 20, text);
    assert_string_equal(text, "150 MB");
    hf_size_format(UINT64_MAX, text);
    assert_string_equal(text, "16384 PB");
}

static void test_table_widths(void **state)
{
    (void)state;
    struct hf_table t;
    hf_table_init(&t, 2);
    hf_table_cell(&t, "\xc3\xa6\xc3\xb8"); /* two columns, four bytes */
    hf_table_cell(&t, "x");
    hf_table_cell(&t, "a\nb");
    hf_table_cell(&t, NULL);
    FILE *f = tmpfile();
    fflush(stdout);
    int keep = dup(STDOUT_FILENO);
    dup2(fileno(f), STDOUT_FILENO);
    enum hf_code rc = hf_table_print(&t, NULL);
    dup2(keep, STDOUT_FILENO);
    close(keep);
    char *text = slurp(f);
    assert_int_equal(rc, HF_OK);
    assert_string_equal(text, "\xc3\xa6\xc3\xb8   x\na?b\n");
    hf_free(text);
    hf_table_deinit(&t);
}

/* A screen too narrow for a line gets blocks. */
static void test_narrow_table(void **state)
{
    (void)state;
    static const char *const cells[] = {"path", "status", "txid", "/d/a.db", "ok",
                                        "7",    "/b",     "bad",  "-"};
    struct hf_table t;
    struct hf_buf out;
    hf_table_init(&t, 3);
    for (size_t i = 0; i < HF_ARRAY_LEN(cells); i++)
        hf_table_cell(&t, cells[i]);
    hf_buf_init(&out, 4096);
    assert_int_equal(hf_table_format_for(&t, 20, &out, NULL), HF_OK);
    assert_string_equal(hf_buf_str(&out),
                        "/d/a.db\n  status  ok\n  txid    7\n/b\n  status  bad\n");
    hf_buf_reset(&out);
    assert_int_equal(hf_table_format_for(&t, 21, &out, NULL), HF_OK); /* 7 + 2 + 6 + 2 + 4 */
    assert_string_equal(hf_buf_str(&out),
                        "path     status  txid\n/d/a.db  ok      7\n/b       bad     -\n");
    hf_buf_deinit(&out);
    hf_table_deinit(&t);
}

/* A screen that is redrawn: one line a row, however narrow it is. */
static void test_cut_table(void **state)
{
    (void)state;
    static const char *const cells[] = {"path",           "txid", "state", "remark",
                                        "/d/\xc3\xa6.db", "7",    "ok",    "fell off a truck"};
    static const char *const drop[] = {"txid", "none such", NULL};
    static const struct {
        size_t columns;
        const char *want;
    } rows[] = {
        {0, "path     txid  state  remark\n/d/\xc3\xa6.db  7     ok     fell off a truck\n"},
        {38, "path     txid  state  remark\n/d/\xc3\xa6.db  7     ok     fell off a truck\n"},
        {32, "path     state  remark\n/d/\xc3\xa6.db  ok     fell off a truck\n"},
        {20, "path     state  rema\n/d/\xc3\xa6.db  ok     fell\n"},
        {4, "path\n/d/\xc3\xa6\n"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_table t;
        struct hf_buf out;
        hf_table_init(&t, 4);
        hf_buf_init(&out, 4096);
        for (size_t k = 0; k < HF_ARRAY_LEN(cells); k++)
            hf_table_cell(&t, cells[k]);
        assert_int_equal(hf_table_format_cut(&t, rows[i].columns, drop, &out, NULL), HF_OK);
        assert_string_equal(hf_buf_str(&out), rows[i].want);
        hf_buf_deinit(&out);
        hf_table_deinit(&t);
    }
}

/* A full disk behind stdout is an error, not silence. */
static void test_full_stdout(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY);
    if (full < 0)
        skip(); /* not every system has one */
    fflush(stdout);
    int keep = dup(STDOUT_FILENO);
    dup2(full, STDOUT_FILENO);
    enum hf_code rc = hf_out_print(NULL, "x");
    dup2(keep, STDOUT_FILENO);
    close(keep);
    close(full);
    assert_int_equal(rc, HF_E_NO_SPACE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_words),  cmocka_unit_test(test_version),
        cmocka_unit_test(test_every_row),    cmocka_unit_test(test_texts_are_complete),
        cmocka_unit_test(test_help_of_one),  cmocka_unit_test(test_databases),
        cmocka_unit_test(test_config_check), cmocka_unit_test(test_size_text),
        cmocka_unit_test(test_table_widths), cmocka_unit_test(test_narrow_table),
        cmocka_unit_test(test_cut_table),    cmocka_unit_test(test_full_stdout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
