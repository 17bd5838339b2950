/*
 * How much is written: what the running process has counted since it started, else what the
 * replicas' newest level-0 files tell, else what the flags assume.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cmd/cost.h"
#include "cmd/ctl.h"
#include "cmd/live.h"
#include "codec/jsonscan.h"
#include "os/file.h"

enum { TIMEOUT_S = 5, MIN_UPTIME_S = 10 };
/* LZ4 on pages of typical databases; only where no snapshot tells better. */
#define SNAPSHOT_SHARE 0.5

/* A snapshot's size where nothing but the file is there to tell. */
static double guess_snapshot(const struct hf_config_db *db, double assumed)
{
    struct hf_file_stat st;
    if (assumed > 0)
        return assumed * SNAPSHOT_SHARE;
    return hf_path_stat(db->path, &st, NULL) == HF_OK ? (double)st.size * SNAPSHOT_SHARE : 0;
}

static enum hf_code parse_rate(const char *text, double *out, struct hf_err *err)
{
    char *end = NULL;
    errno = 0;
    double n = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !isfinite(n) || n < 0 || n > 1e6)
        return hf_err_set(err, HF_E_INVALID,
                          "--writes-per-second: '%.40s' is not a number from 0 to 1000000", text);
    *out = n;
    return HF_OK;
}

static enum hf_code assume(struct hf_cost_fleet *f, double db_bytes, struct hf_err *err)
{
    double commits = 0;
    HF_TRY(parse_rate(f->o->writes_per_second, &commits, err));
    for (size_t i = 0; i < f->n; i++) {
        struct hf_cost_entry *e = &f->items[i];
        e->from = "assumed";
        e->load = (struct hf_cost_load){.commits = commits,
                                        .bytes_per_commit = (double)f->o->bytes_per_write,
                                        .snapshot_bytes = guess_snapshot(e->db, db_bytes)};
    }
    return HF_OK;
}

/* ---- a running process ---- */

struct live {
    struct hf_live_rows rows;
    int64_t uptime_s; /* 0: nobody runs */
};

static enum hf_code ask_uptime(const char *socket, int64_t *out, struct hf_err *err)
{
    static const char *const keys[] = {"uptime_seconds"};
    struct hf_ctl_flags flags = {.socket = socket, .timeout_s = TIMEOUT_S};
    struct hf_ctl_request r = {"GET", "/info", NULL};
    struct hf_jsonscan_value v;
    struct hf_buf answer;
    hf_buf_init(&answer, HF_LIMIT_UNIXHTTP_ANSWER);
    enum hf_code rc = hf_ctl_do(&flags, &r, &answer, err);
    if (rc == HF_OK)
        rc = hf_jsonscan_find((const char *)answer.data, answer.len, keys, 1, &v, err);
    if (rc == HF_OK && !hf_jsonscan_i64(&v, out))
        rc = hf_err_set(err, HF_E_INVALID, "the control socket does not tell its uptime");
    hf_buf_deinit(&answer);
    return rc;
}

/* Nobody there is no error unless the socket was named. */
static enum hf_code ask_live(const struct hf_cost_fleet *f, struct live *l, struct hf_err *err)
{
    const struct hf_config_socket *conf = &f->cfg->socket;
    const char *socket = f->o->socket;
    struct hf_err why = HF_ERR_INIT;
    if (socket == NULL && conf->enabled)
        socket = conf->path;
    if (socket == NULL)
        return HF_OK;
    enum hf_code rc = ask_uptime(socket, &l->uptime_s, &why);
    if (rc == HF_OK)
        rc = hf_live_rows_load(&l->rows, socket, &why);
    if (rc == HF_OK && l->uptime_s < MIN_UPTIME_S)
        rc = hf_err_set(&why, HF_E_BUSY, "it has run for %llds only; ask again after %ds",
                        (long long)l->uptime_s, MIN_UPTIME_S);
    if (rc == HF_OK)
        return HF_OK;
    l->uptime_s = 0;
    if (f->o->socket == NULL)
        return HF_OK;
    if (err != NULL)
        *err = why;
    return rc;
}

static bool take_live(struct hf_cost_entry *e, const struct live *l)
{
    static const char *const keys[] = {"uploads", "uploaded_bytes"};
    for (size_t i = 0; i < l->rows.n; i++) {
        const struct hf_live_row *r = &l->rows.items[i];
        struct hf_jsonscan_value v[2];
        int64_t uploads = 0;
        int64_t bytes = 0;
        if (strcmp(r->path, e->db->path) != 0 || strcmp(r->replica, e->replica->url) != 0 ||
            hf_jsonscan_find(r->json, strlen(r->json), keys, 2, v, NULL) != HF_OK ||
            !hf_jsonscan_i64(&v[0], &uploads) || !hf_jsonscan_i64(&v[1], &bytes))
            continue;
        double s = (double)l->uptime_s;
        e->from = "running";
        e->load = hf_cost_load_of((double)uploads / s, (double)bytes / s, e->setup.sync_s,
                                  e->load.snapshot_bytes);
        return true;
    }
    return false;
}

/* ---- what the replica holds ---- */

/* Rates since the oldest level-0 file that is left: retention keeps those of the last minutes, and
 * of a quiet database the newest one. That first one is where the time begins, not in it. */
static struct hf_cost_load load_of_files(const struct hf_ltx_list *files, double sync_s,
                                         double snapshot_bytes)
{
    int64_t first_ms = files->len > 0 ? files->items[0].time_ms : 0;
    double bytes = 0;
    for (size_t i = 1; i < files->len; i++) {
        bytes += (double)files->items[i].size;
        first_ms = files->items[i].time_ms < first_ms ? files->items[i].time_ms : first_ms;
    }
    double s = (double)(hf_clock_wall_ms() - first_ms) / 1000;
    double n = files->len > 0 ? (double)(files->len - 1) : 0;
    if (files->len < 2 || s < 1)
        return (struct hf_cost_load){.snapshot_bytes = snapshot_bytes};
    return hf_cost_load_of(n / s, bytes / s, sync_s, snapshot_bytes);
}

static enum hf_code take_history(struct hf_cost_entry *e, struct hf_err *err)
{
    struct hf_store *store = NULL;
    struct hf_replica *replica = NULL;
    struct hf_ltx_list files = {NULL, 0, 0};
    struct hf_ltx_list snapshots = {NULL, 0, 0};
    HF_TRY(hf_cmd_open_replica(e->replica, &store, &replica, err));
    enum hf_code rc = hf_replica_list(replica, 0, 0, &files, err);
    if (rc == HF_OK)
        rc = hf_replica_list(replica, HF_LEVEL_SNAPSHOT, 0, &snapshots, err);
    if (rc == HF_OK && snapshots.len > 0)
        e->load.snapshot_bytes = (double)snapshots.items[snapshots.len - 1].size;
    if (rc == HF_OK && files.len + snapshots.len == 0)
        rc = hf_err_set(err, HF_E_NOT_FOUND, "the replica is empty");
    if (rc == HF_OK) {
        e->from = "history";
        e->load = load_of_files(&files, e->setup.sync_s, e->load.snapshot_bytes);
    }
    hf_ltx_list_deinit(&files);
    hf_ltx_list_deinit(&snapshots);
    hf_replica_free(replica);
    hf_store_close(store);
    return rc;
}

static void measure_one(struct hf_cost_entry *e, const struct live *l, double db_bytes)
{
    e->load = (struct hf_cost_load){.snapshot_bytes = guess_snapshot(e->db, db_bytes)};
    e->from = "unknown";
    if (l->uptime_s > 0 && take_live(e, l))
        return;
    if (take_history(e, &e->why) != HF_OK)
        e->from = "unknown";
}

enum hf_code hf_cost_measure(struct hf_cost_fleet *f, struct hf_err *err)
{
    struct live l = {.uptime_s = 0};
    int64_t db_bytes = 0;
    if (f->o->db_size != NULL && hf_parse_size(f->o->db_size, &db_bytes, err) != HF_OK) {
        hf_err_wrap(err, "--db-size");
        return HF_E_INVALID;
    }
    if (f->o->writes_per_second != NULL)
        return assume(f, (double)db_bytes, err);
    enum hf_code rc = ask_live(f, &l, err);
    for (size_t i = 0; i < f->n && rc == HF_OK; i++)
        measure_one(&f->items[i], &l, (double)db_bytes);
    if (l.rows.arena != NULL)
        hf_live_rows_deinit(&l.rows);
    return rc;
}
