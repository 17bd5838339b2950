/*
 * The table of commands, in the order of help. A new command: its row's name in rows.h, one line
 * here, its file in meson.build.
 */
#include <string.h>

#include "base/suggest.h"
#include "cmd/command.h"
#include "cmd/help.h"
#include "cmd/rows.h"

const struct hf_command *const hf_commands[] = {
    &hf_cmd_replicate,  &hf_cmd_restore, &hf_cmd_verify, &hf_cmd_reset,
    &hf_cmd_databases,  &hf_cmd_status,  &hf_cmd_ltx,    &hf_cmd_cost,
    &hf_cmd_sync,       &hf_cmd_start,   &hf_cmd_stop,   &hf_cmd_register,
    &hf_cmd_unregister, &hf_cmd_list,    &hf_cmd_info,   &hf_cmd_gateway,
    &hf_cmd_demo,       &hf_cmd_config,  &hf_cmd_keygen, &hf_cmd_completion,
    &hf_cmd_help,       &hf_cmd_version, NULL,
};

const struct hf_command *hf_command_find(const struct hf_command *const *list, const char *name)
{
    for (; *list != NULL; list++) {
        bool is_alias = (*list)->alias != NULL && strcmp((*list)->alias, name) == 0;
        if (is_alias || strcmp((*list)->name, name) == 0)
            return *list;
    }
    return NULL;
}

/* What Litestream 0.3 had, and where it is now. */
static const struct {
    const char *old;
    const char *now;
} moved[] = {
    {"snapshots", "`holdfast ltx -level 9` lists the snapshots of a replica"},
    {"generations",
     "there are none any more; `holdfast ltx -level all` lists what a replica holds"},
};

static const char *moved_to(const char *word)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(moved); i++) {
        if (strcmp(moved[i].old, word) == 0)
            return moved[i].now;
    }
    return NULL;
}

enum hf_code hf_command_unknown(const struct hf_command *const *list, const char *parent,
                                const char *word, struct hf_err *err)
{
    const char *gap = parent[0] == '\0' ? "" : " ";
    const char *now = parent[0] == '\0' ? moved_to(word) : NULL;
    struct hf_suggest s;
    hf_suggest_init(&s, word);
    for (; list != NULL && *list != NULL; list++)
        hf_suggest_offer(&s, (*list)->name);
    hf_err_set(err, HF_E_INVALID, "there is no command %s%s%.60s", parent, gap, word);
    if (now != NULL)
        hf_err_hint(err, "%s", now);
    else if (s.best != NULL)
        hf_err_hint(err, "did you mean %s?", s.best);
    else
        hf_err_hint(err, "holdfast help%s%s lists them", gap, parent);
    return HF_E_INVALID;
}
