/*
 * `holdfast restore -all`: every database of a configuration, once or following. Main thread; takes
 * SIGINT and SIGTERM.
 */
#ifndef HF_CMD_RESTORE_ALL_H
#define HF_CMD_RESTORE_ALL_H

#include "cmd/fleet.h"
#include "replica/standby.h"

struct hf_cmd_restore_all {
    struct hf_cmd_fleet_options fleet;
    struct hf_standby_options standby; /* tick is set here */
    bool is_json;
};

/* Prints the table (drawn anew while it runs on a terminal), or JSON: one object at the end, with
 * -f one line a second meanwhile. The code is that of the first database that failed. */
HF_MUST enum hf_code hf_cmd_restore_all(const struct hf_cmd_restore_all *c, struct hf_err *err);

#endif
