#include "cmd/metrics.h"

#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "codec/prometheus.h"
#include "os/file.h"
#include "store/stats.h"

/* ---- the snapshot ---- */

static void copy_row(void *arg, const struct hf_db_status *row)
{
    struct hf_snapshot *s = arg;
    if (s->n == s->cap) {
        s->cap = s->cap == 0 ? 64 : s->cap * 2;
        s->rows = hf_realloc(s->rows, s->cap, sizeof(*s->rows));
    }
    struct hf_db_status *r = &s->rows[s->n++];
    *r = *row;
    r->path = hf_arena_strdup(s->arena, row->path);
    r->replica = hf_arena_strdup(s->arena, row->replica);
    r->state = hf_arena_strdup(s->arena, row->state);
    r->type = hf_arena_strdup(s->arena, row->type);
    r->error = hf_arena_strdup(s->arena, row->error);
}

void hf_snapshot_take(struct hf_snapshot *s, struct hf_engine *e)
{
    *s = (struct hf_snapshot){.arena = hf_arena_new(4096)};
    hf_engine_status(e, copy_row, s);
}

void hf_snapshot_deinit(struct hf_snapshot *s)
{
    hf_arena_free(s->arena);
    hf_free(s->rows);
    *s = (struct hf_snapshot){0};
}

bool hf_snapshot_is_first(const struct hf_snapshot *s, size_t i)
{
    return i == 0 || strcmp(s->rows[i].path, s->rows[i - 1].path) != 0;
}

const struct hf_db_status *hf_health_worst(const struct hf_snapshot *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct hf_db_status *r = &s->rows[i];
        if (!r->is_stopped && (r->error[0] != '\0' || r->lag_ms > HF_HEALTH_LAG_MS))
            return r;
    }
    return NULL;
}

/* ---- metrics of databases: one row a family ---- */

struct family {
    const char *name;
    const char *type;
    const char *help;
    double (*value)(const struct hf_db_status *r);
    bool is_per_replica; /* else one sample a database */
};

static double seconds(int64_t ms)
{
    return (double)ms / 1000;
}

#define FIELD(fn, expr)                                                                            \
    static double fn(const struct hf_db_status *r)                                                 \
    {                                                                                              \
        return (double)(expr);                                                                     \
    }
FIELD(db_size, r->db_bytes)
FIELD(wal_size, r->log_bytes)
FIELD(shipped_bytes, r->shipped_bytes)
FIELD(txid, r->txid)
FIELD(shipped_files, r->shipped_files)
FIELD(error_count, r->errors)
FIELD(ship_seconds, seconds((int64_t)r->ship_ms))
FIELD(disk_full, r->code == HF_E_NO_SPACE)
FIELD(lag_seconds, seconds(r->lag_ms))
FIELD(lag_bytes, r->pending_bytes)
FIELD(last_sync, seconds(r->last_sync_ms))
FIELD(next_snapshot, seconds(r->next_snapshot_ms))
FIELD(rebases, r->rebases)
FIELD(is_up, !r->is_stopped && r->error[0] == '\0')

static const struct family families[] = {
    {"litestream_db_size", "gauge", "Size of the database as of its newest TXID, in bytes.",
     db_size, false},
    {"litestream_wal_size", "gauge", "Size of the write-ahead log while it is open, in bytes.",
     wal_size, false},
    {"litestream_total_wal_bytes", "counter", "Bytes of LTX files shipped at level 0.",
     shipped_bytes, false},
    {"litestream_txid", "gauge", "Newest transaction id in the replica.", txid, false},
    {"litestream_sync_count", "counter", "Uploads of changes.", shipped_files, false},
    {"litestream_sync_error_count", "counter", "Failures while following or uploading.",
     error_count, false},
    {"litestream_sync_seconds", "counter", "Time spent on uploads of changes, in seconds.",
     ship_seconds, false},
    {"litestream_disk_full", "gauge", "1 while a full disk or store stops it.", disk_full, false},
    {"holdfast_replication_lag_seconds", "gauge",
     "Age of the oldest commit that is not in the replica; 0 when there is none.", lag_seconds,
     true},
    {"holdfast_replication_lag_bytes", "gauge", "Captured pages that are not in the replica.",
     lag_bytes, true},
    {"holdfast_last_sync_timestamp_seconds", "gauge",
     "When the last upload ended, Unix time; 0 before the first.", last_sync, true},
    {"holdfast_next_snapshot_timestamp_seconds", "gauge",
     "When the next snapshot is due if there are changes, Unix time; 0 for never.", next_snapshot,
     true},
    {"holdfast_rebases_total", "counter",
     "Breaks of continuity that were closed by a comparison or an image.", rebases, true},
    {"holdfast_replica_up", "gauge", "1 while no error stands; 0 for one that is stopped, too.",
     is_up, true},
};

static void put_family(struct hf_prom *p, const struct family *f, const struct hf_snapshot *s)
{
    hf_prom_family(p, f->name, f->type, f->help);
    for (size_t i = 0; i < s->n; i++) {
        const struct hf_db_status *r = &s->rows[i];
        struct hf_prom_label labels[] = {{"db", r->path}, {"replica", r->replica}};
        if (f->is_per_replica || hf_snapshot_is_first(s, i))
            hf_prom_value(p, labels, f->is_per_replica ? 2 : 1, f->value(r));
    }
}

/* ---- metrics of stores and of the process ---- */

static void put_store_family(struct hf_prom *p, const char *name, const char *help,
                             double (*value)(const struct hf_store_count *c))
{
    struct hf_store_count counts[HF_STORE_COUNTS];
    size_t n = hf_store_stats(counts);
    hf_prom_family(p, name, "counter", help);
    for (size_t i = 0; i < n; i++) {
        struct hf_prom_label labels[] = {{"replica_type", counts[i].type},
                                         {"operation", counts[i].operation}};
        hf_prom_value(p, labels, 2, value(&counts[i]));
    }
}

static double op_count(const struct hf_store_count *c)
{
    return (double)c->calls;
}

static double op_bytes(const struct hf_store_count *c)
{
    return (double)c->bytes;
}

static double op_errors(const struct hf_store_count *c)
{
    return (double)c->errors;
}

static double op_seconds(const struct hf_store_count *c)
{
    return (double)c->ns / 1e9;
}

static void put_stores(struct hf_prom *p)
{
    put_store_family(p, "litestream_replica_operation_total", "Operations on stores.", op_count);
    put_store_family(p, "litestream_replica_operation_bytes", "Bytes sent to and read from stores.",
                     op_bytes);
    put_store_family(p, "litestream_replica_operation_duration_seconds",
                     "Time spent in operations on stores.", op_seconds);
    put_store_family(p, "litestream_replica_operation_errors_total",
                     "Operations on stores that failed; an object that is not there is no failure.",
                     op_errors);
}

static double time_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void put_process(struct hf_prom *p, const struct hf_snapshot *s)
{
    struct rusage u;
    struct hf_prom_label version = {"version", HF_VERSION};
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += hf_snapshot_is_first(s, i);
    hf_prom_family(p, "holdfast_info", "gauge", "Always 1; the label tells the version.");
    hf_prom_value(p, &version, 1, 1);
    hf_prom_family(p, "holdfast_databases", "gauge", "Databases known to this process.");
    hf_prom_value(p, NULL, 0, (double)n);
    if (getrusage(RUSAGE_SELF, &u) != 0)
        return;
    hf_prom_family(p, "process_cpu_seconds_total", "counter", "User and system time.");
    hf_prom_value(p, NULL, 0, time_of(u.ru_utime) + time_of(u.ru_stime));
}

enum hf_code hf_metrics_write(const struct hf_snapshot *s, struct hf_buf *out, struct hf_err *err)
{
    struct hf_prom p;
    hf_prom_init(&p, out);
    for (size_t i = 0; i < HF_ARRAY_LEN(families); i++)
        put_family(&p, &families[i], s);
    put_stores(&p);
    put_process(&p, s);
    return hf_prom_end(&p, err);
}
