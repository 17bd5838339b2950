#include "cmd/help.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cmd/out.h"

/* A text that remembers its first failure, so that lines are put without a check each. */
struct text {
    struct hf_buf *out;
    struct hf_err *err;
    enum hf_code rc;
};

#define SAY(t, ...)                                                                                \
    do {                                                                                           \
        if ((t)->rc == HF_OK)                                                                      \
            (t)->rc = hf_buf_appendf((t)->out, (t)->err, __VA_ARGS__);                             \
    } while (0)

enum { COLUMNS = 80 }; /* of a terminal nobody made wider */

/* Paragraphs broken at blanks; '\n' in s is kept. */
static void wrap(struct text *t, const char *indent, const char *s)
{
    while (*s != '\0') {
        size_t line = strcspn(s, "\n");
        size_t max = COLUMNS - strlen(indent);
        size_t len = line;
        if (len > max) {
            len = max;
            while (len > 0 && s[len] != ' ')
                len--;
            if (len == 0)
                len = max;
        }
        SAY(t, "%s%.*s\n", len == 0 ? "" : indent, (int)len, s);
        s += len;
        if (*s == '\n')
            s++;
        else
            s += strspn(s, " ");
    }
}

static const char *dashes(const struct hf_flag *flag)
{
    return (flag->marks & HF_FLAG_OURS) != 0 ? "--" : "-";
}

static void help_flags(struct text *t, const struct hf_command *cmd)
{
    if (cmd->n_flags > 0)
        SAY(t, "\nFlags:\n");
    for (size_t i = 0; i < cmd->n_flags; i++) {
        const struct hf_flag *f = &cmd->flags[i];
        if ((f->marks & HF_FLAG_HIDDEN) != 0)
            continue;
        SAY(t, "  %s%s%s%s%s%s%s\n", dashes(f), f->name, f->value == NULL ? "" : " ",
            f->value == NULL ? "" : f->value, f->def == NULL ? "" : "  (default ",
            f->def == NULL ? "" : f->def, f->def == NULL ? "" : ")");
        wrap(t, "      ", f->doc);
    }
}

static void help_examples(struct text *t, const struct hf_command *cmd)
{
    if (cmd->examples == NULL)
        return;
    SAY(t, "\nExamples:\n");
    for (const struct hf_example *e = cmd->examples; e->line != NULL; e++)
        SAY(t, "  %s\n      %s\n", e->line, e->what);
}

static void list_commands(struct text *t, const struct hf_command *const *list)
{
    for (; *list != NULL; list++)
        SAY(t, "  %-12s %s\n", (*list)->name, (*list)->summary);
}

enum hf_code hf_help_command(const struct hf_command *cmd, const char *name, struct hf_buf *out,
                             struct hf_err *err)
{
    struct text t = {out, err, HF_OK};
    SAY(&t, "holdfast %s: %s\n\nusage: holdfast %s%s%s%s\n", name, cmd->summary, name,
        cmd->n_flags == 0 ? "" : " [flags]", cmd->args[0] == '\0' ? "" : " ", cmd->args);
    if (cmd->alias != NULL)
        SAY(&t, "Also called: %s\n", cmd->alias);
    if (cmd->doc != NULL) {
        SAY(&t, "\n");
        wrap(&t, "", cmd->doc);
    }
    if (cmd->subs != NULL) {
        SAY(&t, "\nCommands:\n");
        list_commands(&t, cmd->subs);
    }
    help_flags(&t, cmd);
    help_examples(&t, cmd);
    if (cmd->exits != NULL) {
        SAY(&t, "\nExit codes:\n");
        wrap(&t, "  ", cmd->exits);
    }
    return t.rc;
}

/* True for the first command of its group. */
static bool begins_group(const struct hf_command *const *list, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        hf_assert(list[k] != NULL); /* i lies inside the list */
        if (strcmp(list[k]->group, list[i]->group) == 0)
            return false;
    }
    return true;
}

enum hf_code hf_help_overview(struct hf_buf *out, struct hf_err *err)
{
    struct text t = {out, err, HF_OK};
    const struct hf_command *const *list = hf_commands;
    SAY(&t, "holdfast: SQLite databases that survive their machine\n\n"
            "usage: holdfast COMMAND [flags] [arguments]\n");
    for (size_t i = 0; list[i] != NULL; i++) {
        if (!begins_group(list, i))
            continue;
        SAY(&t, "\n%s:\n", list[i]->group);
        for (size_t k = i; list[k] != NULL; k++) {
            if (strcmp(list[k]->group, list[i]->group) == 0)
                SAY(&t, "  %-12s %s\n", list[k]->name, list[k]->summary);
        }
    }
    SAY(&t, "\nholdfast help COMMAND explains one. Flags take one dash or two. The\n"
            "configuration is /etc/holdfast.yml, or a litestream.yml as it stands.\n");
    return t.rc;
}

/* Text for roff: backslashes and leading dots would be commands, plain dashes hyphens. */
static void roff(struct text *t, const char *s)
{
    for (bool at_start = true; *s != '\0'; at_start = *s == '\n', s++) {
        if (at_start && (*s == '.' || *s == '\''))
            SAY(t, "\\&");
        if (*s == '\\')
            SAY(t, "\\e");
        else if (*s == '-')
            SAY(t, "\\-");
        else
            SAY(t, "%c", *s);
    }
}

static void man_command(struct text *t, const struct hf_command *cmd, const char *name)
{
    SAY(t, ".SS holdfast %s ", name);
    roff(t, cmd->args);
    SAY(t, "\n");
    roff(t, cmd->doc != NULL ? cmd->doc : cmd->summary);
    SAY(t, "\n");
    for (size_t i = 0; i < cmd->n_flags; i++) {
        const struct hf_flag *f = &cmd->flags[i];
        if ((f->marks & HF_FLAG_HIDDEN) != 0)
            continue;
        SAY(t, ".TP\n.B \\-%s", (f->marks & HF_FLAG_OURS) != 0 ? "\\-" : "");
        roff(t, f->name);
        if (f->value != NULL)
            SAY(t, " \\fI%s\\fR", f->value);
        SAY(t, "\n");
        roff(t, f->doc);
        SAY(t, "\n");
    }
}

enum hf_code hf_help_man(struct hf_buf *out, struct hf_err *err)
{
    struct text t = {out, err, HF_OK};
    char name[80];
    SAY(&t,
        ".TH HOLDFAST 1 \"\" \"holdfast %s\"\n.SH NAME\n"
        "holdfast \\- SQLite databases that survive their machine\n"
        ".SH SYNOPSIS\n.B holdfast\n.I COMMAND\n[flags] [arguments]\n.SH COMMANDS\n",
        HF_VERSION);
    for (size_t i = 0; hf_commands[i] != NULL; i++) {
        const struct hf_command *cmd = hf_commands[i];
        man_command(&t, cmd, cmd->name);
        for (size_t k = 0; cmd->subs != NULL && cmd->subs[k] != NULL; k++) {
            snprintf(name, sizeof(name), "%s %s", cmd->name, cmd->subs[k]->name);
            man_command(&t, cmd->subs[k], name);
        }
    }
    SAY(&t, ".SH EXIT STATUS\n");
#define X(code, exit_code, http, word) SAY(&t, ".TP\n.B %d\n%s\n", exit_code, word);
    HF_CODES(X)
#undef X
    SAY(&t, ".SH FILES\n/etc/holdfast.yml, /etc/litestream.yml\n"
            ".SH ENVIRONMENT\nHOLDFAST_CONFIG, LITESTREAM_CONFIG, LOG_LEVEL, NO_COLOR,\n"
            "HOLDFAST_GATEWAY_KEY, HOLDFAST_ENCRYPTION_KEY_FILE, HOLDFAST_ENCRYPTION_KEY,\n"
            "HOLDFAST_ENCRYPTION_KEY_COMMAND\n");
    return t.rc;
}

static void flag_words(struct text *t, const struct hf_command *cmd)
{
    for (size_t i = 0; i < cmd->n_flags; i++) {
        if ((cmd->flags[i].marks & HF_FLAG_HIDDEN) == 0)
            SAY(t, " %s%s", dashes(&cmd->flags[i]), cmd->flags[i].name);
    }
}

static void complete_bash(struct text *t)
{
    SAY(t, "_holdfast() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} words=\n"
           "    case \"${COMP_WORDS[1]}\" in\n");
    for (size_t i = 0; hf_commands[i] != NULL; i++) {
        const struct hf_command *cmd = hf_commands[i];
        SAY(t, "    %s%s%s) words=\"-help", cmd->name, cmd->alias == NULL ? "" : "|",
            cmd->alias == NULL ? "" : cmd->alias);
        if (cmd->words != NULL)
            SAY(t, " %s", cmd->words);
        flag_words(t, cmd);
        for (size_t k = 0; cmd->subs != NULL && cmd->subs[k] != NULL; k++) {
            SAY(t, " %s", cmd->subs[k]->name);
            flag_words(t, cmd->subs[k]);
        }
        SAY(t, "\" ;;\n");
    }
    SAY(t, "    esac\n    [ \"$COMP_CWORD\" = 1 ] && words=\"");
    for (size_t i = 0; hf_commands[i] != NULL; i++)
        SAY(t, "%s%s", i == 0 ? "" : " ", hf_commands[i]->name);
    SAY(t, "\"\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
           "    [ ${#COMPREPLY[@]} = 0 ] && COMPREPLY=($(compgen -f -- \"$cur\"))\n}\n");
}

static void complete_fish_flags(struct text *t, const struct hf_command *cmd, const char *name)
{
    for (size_t i = 0; i < cmd->n_flags; i++) {
        const struct hf_flag *f = &cmd->flags[i];
        if ((f->marks & HF_FLAG_HIDDEN) == 0)
            SAY(t, "complete -c holdfast -n '__fish_seen_subcommand_from %s' -o %s%s\n", name,
                f->name, f->value == NULL ? "" : " -r");
    }
}

static void complete_fish(struct text *t)
{
    for (size_t i = 0; hf_commands[i] != NULL; i++) {
        const struct hf_command *cmd = hf_commands[i];
        SAY(t, "complete -c holdfast -f -n __fish_use_subcommand -a %s -d '%s'\n", cmd->name,
            cmd->summary);
        if (cmd->words != NULL)
            SAY(t, "complete -c holdfast -f -n '__fish_seen_subcommand_from %s' -a '%s'\n",
                cmd->name, cmd->words);
        complete_fish_flags(t, cmd, cmd->name);
        for (size_t k = 0; cmd->subs != NULL && cmd->subs[k] != NULL; k++) {
            SAY(t, "complete -c holdfast -f -n '__fish_seen_subcommand_from %s' -a %s -d '%s'\n",
                cmd->name, cmd->subs[k]->name, cmd->subs[k]->summary);
            complete_fish_flags(t, cmd->subs[k], cmd->subs[k]->name);
        }
    }
}

enum hf_code hf_help_completion(const char *shell, struct hf_buf *out, struct hf_err *err)
{
    struct text t = {out, err, HF_OK};
    bool is_zsh = strcmp(shell, "zsh") == 0;
    if (is_zsh)
        SAY(&t, "#compdef holdfast\nautoload -U +X bashcompinit && bashcompinit\n");
    if (is_zsh || strcmp(shell, "bash") == 0) {
        complete_bash(&t);
        SAY(&t, "complete -o filenames -F _holdfast holdfast\n");
    } else if (strcmp(shell, "fish") == 0) {
        complete_fish(&t);
    } else {
        return hf_err_set(err, HF_E_INVALID,
                          "there is no completion for '%.40s' (try bash, zsh or "
                          "fish)",
                          shell);
    }
    return t.rc;
}

struct help_options {
    bool man;
};

static const struct hf_flag help_flag_rows[] = {
    {.name = "man",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct help_options, man),
     .marks = HF_FLAG_OURS,
     .doc = "Print the man page: holdfast help --man | man -l -"},
};

/* "usage" is one of "status hosts usage". */
static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);
    while (words != NULL && *words != '\0') {
        size_t n = strcspn(words, " ");
        if (n == len && memcmp(words, word, n) == 0)
            return true;
        words += n;
        words += strspn(words, " ");
    }
    return false;
}

static enum hf_code help_text(const struct hf_run *run, struct hf_buf *out, struct hf_err *err)
{
    const struct help_options *o = run->options;
    char name[120];
    if (o->man)
        return hf_help_man(out, err);
    if (run->n_args == 0)
        return hf_help_overview(out, err);
    const struct hf_command *cmd = hf_command_find(hf_commands, run->args[0]);
    if (cmd == NULL)
        return hf_command_unknown(hf_commands, "", run->args[0], err);
    if (run->n_args == 1 || has_word(cmd->words, run->args[1]))
        return hf_help_command(cmd, cmd->name, out, err);
    const struct hf_command *sub =
        cmd->subs == NULL ? NULL : hf_command_find(cmd->subs, run->args[1]);
    if (sub == NULL)
        return hf_command_unknown(cmd->subs, cmd->name, run->args[1], err);
    snprintf(name, sizeof(name), "%s %s", cmd->name, sub->name);
    return hf_help_command(sub, name, out, err);
}

static enum hf_code print_buf(struct hf_buf *out, enum hf_code rc, struct hf_err *err)
{
    if (rc == HF_OK)
        rc = hf_out_write((const char *)out->data, out->len, err);
    hf_buf_deinit(out);
    return rc;
}

static enum hf_code run_help(struct hf_run *run, struct hf_err *err)
{
    struct hf_buf out;
    hf_buf_init(&out, HF_OUT_MAX);
    return print_buf(&out, help_text(run, &out, err), err);
}

static enum hf_code run_completion(struct hf_run *run, struct hf_err *err)
{
    struct hf_buf out;
    hf_buf_init(&out, HF_OUT_MAX);
    return print_buf(&out, hf_help_completion(run->args[0], &out, err), err);
}

const struct hf_command hf_cmd_help = {
    .name = "help",
    .group = "Set up",
    .summary = "explain a command",
    .args = "[COMMAND [SUBCOMMAND]]",
    .max_args = 3,
    .flags = help_flag_rows,
    .n_flags = HF_ARRAY_LEN(help_flag_rows),
    .options_size = sizeof(struct help_options),
    .run = run_help,
};

static const struct hf_example completion_examples[] = {
    {"holdfast completion bash > /etc/bash_completion.d/holdfast", "for every bash user"},
    {"holdfast completion zsh > \"${fpath[1]}/_holdfast\"", "for zsh"},
    {"holdfast completion fish > ~/.config/fish/completions/holdfast.fish", "for fish"},
    {NULL, NULL},
};

const struct hf_command hf_cmd_completion = {
    .name = "completion",
    .group = "Set up",
    .summary = "print completions for a shell",
    .args = "bash|zsh|fish",
    .words = "bash zsh fish",
    .min_args = 1,
    .max_args = 1,
    .examples = completion_examples,
    .run = run_completion,
};
