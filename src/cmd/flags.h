/*
 * Command lines: flags into an options struct, the rest as positional arguments.
 *
 * "-flag value", "-flag=value" with one dash or two, unless a command has both (-json as Litestream
 * prints it, --json with a schema); a bool takes no separate value ("-json",
 * "-json=false"). Flags and arguments may be mixed; "--" ends the flags, "-" is an argument.
 * Errors: HF_E_INVALID naming the flag, with a did-you-mean as hint.
 */
#ifndef HF_CMD_FLAGS_H
#define HF_CMD_FLAGS_H

#include "cmd/command.h"

/* argv: what follows the command's name. run->cmd, options (zeroed) and args (room for argc) are
 * given; fills options, args, n_args. *wants_help is set by -h, -help and --help. */
HF_MUST enum hf_code hf_flags_parse(struct hf_run *run, int argc, char *const *argv,
                                    bool *wants_help, struct hf_err *err);
/* Frees what flags of the kind HF_FLAG_LIST hold. */
void hf_flags_release(const struct hf_command *cmd, void *options);

#endif
