/*
 * Help, man page and completions, all from the command table. Texts go to out.
 */
#ifndef HF_CMD_HELP_H
#define HF_CMD_HELP_H

#include "base/buf.h"
#include "cmd/command.h"

/* "holdfast help": what the program is and its commands by group. */
HF_MUST enum hf_code hf_help_overview(struct hf_buf *out, struct hf_err *err);
/* One command; name as typed: "config check". */
HF_MUST enum hf_code hf_help_command(const struct hf_command *cmd, const char *name,
                                     struct hf_buf *out, struct hf_err *err);
/* holdfast.1: all commands. */
HF_MUST enum hf_code hf_help_man(struct hf_buf *out, struct hf_err *err);
/* shell: bash, zsh or fish; HF_E_INVALID for others. */
HF_MUST enum hf_code hf_help_completion(const char *shell, struct hf_buf *out, struct hf_err *err);

extern const struct hf_command hf_cmd_help;
extern const struct hf_command hf_cmd_completion;

#endif
