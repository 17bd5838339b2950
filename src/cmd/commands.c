/*
 * The table of commands, in the order of help. A new command: its row's name in rows.h, one line
 * here, its file in meson.build.
 */
#include <string.h>

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
