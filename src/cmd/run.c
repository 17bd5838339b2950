#include "cmd/run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cmd/common.h"
#include "cmd/flags.h"
#include "cmd/help.h"
#include "cmd/out.h"
#include "os/fault.h"

enum { EXIT_USAGE = 2 };

static int print_help(const struct hf_command *cmd, const char *name)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_buf out;
    hf_buf_init(&out, HF_OUT_MAX);
    enum hf_code rc =
        cmd == NULL ? hf_help_overview(&out, &err) : hf_help_command(cmd, name, &out, &err);
    if (rc == HF_OK)
        rc = hf_out_write((const char *)out.data, out.len, &err);
    hf_buf_deinit(&out);
    if (rc != HF_OK)
        hf_cmd_print_error(name, &err);
    return hf_code_exit(rc);
}

static int run_command(const struct hf_command *cmd, const char *name, int argc, char **argv)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_run run = {.cmd = cmd, .name = name};
    bool wants_help = false;
    run.options = hf_calloc(1, cmd->options_size + 1);
    run.args = hf_calloc((size_t)argc + 1, sizeof(char *));
    enum hf_code rc = hf_flags_parse(&run, argc, argv, &wants_help, &err);
    if (rc == HF_OK && !wants_help)
        rc = cmd->run(&run, &err);
    int code = rc == HF_OK ? run.exit_code : hf_code_exit(rc);
    if (rc != HF_OK)
        hf_cmd_print_error(name, &err);
    else if (wants_help)
        code = print_help(cmd, name);
    hf_flags_release(cmd, run.options);
    hf_free(run.options);
    hf_free(run.args);
    return code;
}

static int unknown_command(const struct hf_command *const *list, const char *parent,
                           const char *word)
{
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = hf_command_unknown(list, parent, word, &err);
    hf_cmd_print_error("", &err);
    return hf_code_exit(rc);
}

static bool is_help(const char *word)
{
    return strcmp(word, "-h") == 0 || strcmp(word, "-help") == 0 || strcmp(word, "--help") == 0;
}

static int run_sub(const struct hf_command *cmd, int argc, char **argv)
{
    char name[120];
    if (argc == 0) {
        print_help(cmd, cmd->name);
        return EXIT_USAGE;
    }
    if (is_help(argv[0]))
        return print_help(cmd, cmd->name);
    const struct hf_command *sub = hf_command_find(cmd->subs, argv[0]);
    if (sub == NULL)
        return unknown_command(cmd->subs, cmd->name, argv[0]);
    snprintf(name, sizeof(name), "%s %s", cmd->name, sub->name);
    return run_command(sub, name, argc - 1, argv + 1);
}

static int dispatch(int argc, char **argv)
{
    /* A reader that goes away is an error of write(), not the end of a program that keeps data. */
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        print_help(NULL, "");
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (is_help(word))
        word = "help";
    if (strcmp(word, "-version") == 0 || strcmp(word, "--version") == 0 || strcmp(word, "-v") == 0)
        word = "version";
    const struct hf_command *cmd = hf_command_find(hf_commands, word);
    if (cmd == NULL)
        return unknown_command(hf_commands, "", word);
    return cmd->subs != NULL ? run_sub(cmd, argc - 2, argv + 2)
                             : run_command(cmd, word, argc - 2, argv + 2);
}

int hf_cmd_main(int argc, char **argv)
{
    struct hf_err err = HF_ERR_INIT;
    const char *fault = getenv("HF_FAULT");
    enum hf_code rc = hf_fault_arm(fault, &err);
    if (rc != HF_OK) {
        hf_cmd_print_error("", &err);
        return hf_code_exit(rc);
    }
    int code = dispatch(argc, argv);
    if (fault != NULL && fault[0] != '\0') /* tests learn from it how many points there are */
        fprintf(stderr, "holdfast: HF_FAULT: %lu calls\n", hf_fault_seen());
    return code;
}
