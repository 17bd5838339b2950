/*
 * What the running process says about its databases (GET /status of the control socket), for
 * `status`. Main thread.
 */
#ifndef HF_CMD_LIVE_H
#define HF_CMD_LIVE_H

#include "base/arena.h"
#include "base/buf.h"

/* One database and replica. Strings and json live as long as the struct hf_live_rows. */
struct hf_live_row {
    const char *path;
    const char *replica;
    const char *state;
    const char *error; /* "" = none */
    const char *json;  /* the object as it came */
    int64_t lag_ms;
    int64_t wal_bytes;
    int64_t last_sync_ms;
    int64_t next_snapshot_ms;
    int64_t errors;
};

struct hf_live_rows {
    struct hf_arena *arena;
    struct hf_live_row *items;
    size_t n;
    size_t cap;
};

/* rows is initialized in any case. HF_E_NOT_FOUND: nobody listens there. */
HF_MUST enum hf_code hf_live_rows_load(struct hf_live_rows *rows, const char *socket_path,
                                       struct hf_err *err);
void hf_live_rows_deinit(struct hf_live_rows *rows);

#endif
