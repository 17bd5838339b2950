/*
 * The rows of the command table; each is defined in the file of its command.
 */
#ifndef HF_CMD_ROWS_H
#define HF_CMD_ROWS_H

#include "cmd/command.h"

extern const struct hf_command hf_cmd_config;
extern const struct hf_command hf_cmd_cost;
extern const struct hf_command hf_cmd_databases;
extern const struct hf_command hf_cmd_demo;
extern const struct hf_command hf_cmd_gateway;
extern const struct hf_command hf_cmd_info;
extern const struct hf_command hf_cmd_keygen;
extern const struct hf_command hf_cmd_list;
extern const struct hf_command hf_cmd_ltx;
extern const struct hf_command hf_cmd_register;
extern const struct hf_command hf_cmd_replicate;
extern const struct hf_command hf_cmd_reset;
extern const struct hf_command hf_cmd_restore;
extern const struct hf_command hf_cmd_start;
extern const struct hf_command hf_cmd_status;
extern const struct hf_command hf_cmd_stop;
extern const struct hf_command hf_cmd_sync;
extern const struct hf_command hf_cmd_unregister;
extern const struct hf_command hf_cmd_verify;
extern const struct hf_command hf_cmd_version;

#endif
