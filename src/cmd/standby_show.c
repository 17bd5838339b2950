#include "cmd/standby_show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

/* ---- sums ---- */

void hf_standby_sum(const struct hf_standby *s, struct hf_standby_sums *out)
{
    *out = (struct hf_standby_sums){.worst_lag_ms = 0};
    for (size_t i = 0; i < hf_standby_count(s); i++) {
        struct hf_standby_row r;
        hf_standby_row(s, i, &r);
        bool is_following = r.state == HF_STANDBY_FOLLOWING;
        out->n[r.state]++;
        out->stuck += is_following && r.code != HF_OK;
        out->bytes += r.bytes;
        if (is_following && r.lag_ms > out->worst_lag_ms)
            out->worst_lag_ms = r.lag_ms;
    }
}

void hf_standby_summary(const struct hf_standby *s, char out[HF_STANDBY_TEXT])
{
    struct hf_standby_sums sums;
    size_t n = hf_standby_count(s);
    hf_standby_sum(s, &sums);
    int at = snprintf(out, HF_STANDBY_TEXT, "%zu database%s", n, n == 1 ? "" : "s");
    const char *sep = ": ";
    for (int i = 0; i <= HF_STANDBY_FAILED && at < HF_STANDBY_TEXT; i++) {
        if (sums.n[i] == 0)
            continue;
        at += snprintf(out + at, (size_t)(HF_STANDBY_TEXT - at), "%s%zu %s", sep, sums.n[i],
                       hf_standby_word((enum hf_standby_state)i));
        sep = ", ";
    }
    if (sums.stuck > 0 && at < HF_STANDBY_TEXT)
        at += snprintf(out + at, (size_t)(HF_STANDBY_TEXT - at), " (%zu stuck)", sums.stuck);
    if (sums.n[HF_STANDBY_FOLLOWING] > 0 && at < HF_STANDBY_TEXT)
        snprintf(out + at, (size_t)(HF_STANDBY_TEXT - at), "; worst lag %.2fs",
                 (double)sums.worst_lag_ms / 1000);
}

/* ---- table ---- */

/* Smaller is more telling. */
static int rank_of(const struct hf_standby_row *r)
{
    static const int ranks[] = {
        [HF_STANDBY_FAILED] = 0,    [HF_STANDBY_WAITING] = 2, [HF_STANDBY_RESTORING] = 3,
        [HF_STANDBY_FOLLOWING] = 4, [HF_STANDBY_QUEUED] = 5,  [HF_STANDBY_PLANNED] = 6,
        [HF_STANDBY_SKIPPED] = 7,   [HF_STANDBY_DONE] = 8,
    };
    return r->state == HF_STANDBY_FOLLOWING && r->code != HF_OK ? 1 : ranks[r->state];
}

struct ranked {
    size_t index;
    int rank;
    int64_t lag_ms;
};

static int compare_ranked(const void *pa, const void *pb)
{
    const struct ranked *a = pa;
    const struct ranked *b = pb;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->lag_ms != b->lag_ms)
        return a->lag_ms > b->lag_ms ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static void put_progress(struct hf_table *t, const struct hf_standby_row *r)
{
    char size[HF_SIZE_TEXT];
    if (r->state == HF_STANDBY_RESTORING && r->total > 0) {
        hf_size_format(r->total, size);
        hf_table_cellf(t, "%d %% of %s", (int)(r->done * 100 / r->total), size);
        return;
    }
    hf_size_format(r->bytes, size);
    hf_table_cell(t, r->bytes == 0 ? "-" : size);
}

static void put_seconds(struct hf_table *t, bool is_known, double seconds)
{
    if (is_known)
        hf_table_cellf(t, "%.2fs", seconds);
    else
        hf_table_cell(t, "-");
}

static void put_row(struct hf_table *t, const struct hf_standby_row *r)
{
    bool is_following = r->state == HF_STANDBY_FOLLOWING;
    char when[HF_TIME_TEXT] = "-";
    if (r->time_ms != 0)
        hf_clock_format(r->time_ms, when);
    hf_table_cell(t, r->path);
    hf_table_cell(t, is_following && r->code != HF_OK ? "stuck" : hf_standby_word(r->state));
    if (r->txid != 0)
        hf_table_cellf(t, "%016llx", (unsigned long long)r->txid);
    else
        hf_table_cell(t, "-");
    hf_table_cell(t, when);
    put_seconds(t, is_following && r->lag_ms != 0, (double)r->lag_ms / 1000);
    put_seconds(t, r->checked_ms >= 0, (double)r->checked_ms / 1000);
    put_progress(t, r);
    hf_table_cell(t, r->error);
}

enum hf_code hf_standby_table(const struct hf_standby *s, size_t max_rows, struct hf_buf *out,
                              struct hf_err *err)
{
    static const char *const heads[] = {"database", "state",   "txid", "last commit",
                                        "lag",      "checked", "size", "remark"};
    /* Of a table that is redrawn, what a narrow screen can do without. */
    static const char *const drop[] = {"last commit", "txid", "checked", "size", NULL};
    size_t n = hf_standby_count(s);
    struct ranked *order = hf_calloc(n + 1, sizeof(*order));
    for (size_t i = 0; i < n; i++) {
        struct hf_standby_row r;
        hf_standby_row(s, i, &r);
        order[i] = (struct ranked){i, rank_of(&r), r.lag_ms};
    }
    if (max_rows > 0)
        qsort(order, n, sizeof(*order), compare_ranked);
    struct hf_table t;
    hf_table_init(&t, HF_ARRAY_LEN(heads));
    for (size_t i = 0; i < HF_ARRAY_LEN(heads); i++)
        hf_table_cell(&t, heads[i]);
    for (size_t i = 0; i < n && (max_rows == 0 || i < max_rows); i++) {
        struct hf_standby_row r;
        hf_standby_row(s, order[i].index, &r);
        put_row(&t, &r);
    }
    size_t columns = hf_out_columns();
    enum hf_code rc = max_rows > 0 ? hf_table_format_cut(&t, columns, drop, out, err)
                                   : hf_table_format_for(&t, columns, out, err);
    hf_table_deinit(&t);
    hf_free(order);
    return rc;
}

/* ---- JSON ---- */

static void put_time(struct hf_json *j, const char *key, int64_t time_ms)
{
    char text[HF_TIME_TEXT];
    if (time_ms != 0)
        hf_clock_format(time_ms, text);
    hf_json_kstr(j, key, time_ms == 0 ? NULL : text);
}

static void put_json(struct hf_json *j, const struct hf_standby_row *r)
{
    hf_json_object_begin(j);
    hf_json_kstr(j, "db_path", r->name);
    hf_json_kstr(j, "path", r->path);
    hf_json_kstr(j, "state", hf_standby_word(r->state));
    hf_json_kstr(j, "url", r->replica);
    if (r->txid != 0)
        hf_json_ktxid(j, "txid", r->txid);
    else
        hf_json_kstr(j, "txid", NULL);
    put_time(j, "timestamp", r->time_ms);
    hf_json_ku64(j, "bytes", r->bytes);
    if (r->state == HF_STANDBY_RESTORING) {
        hf_json_ku64(j, "done_bytes", r->done);
        hf_json_ku64(j, "total_bytes", r->total);
    }
    if (r->state == HF_STANDBY_FOLLOWING) {
        hf_json_ki64(j, "lag_ms", r->lag_ms);
        if (r->checked_ms >= 0)
            hf_json_ki64(j, "checked_ms", r->checked_ms);
        hf_json_ku64(j, "files", r->files);
        hf_json_ku64(j, "wal_bytes", r->wal_bytes);
    }
    hf_json_ku64(j, "duration_ms", (uint64_t)(r->seconds * 1000));
    hf_json_kstr(j, "code", hf_code_word(r->code));
    if (r->error[0] != '\0')
        hf_json_kstr(j, "error", r->error);
    hf_json_object_end(j);
}

enum hf_code hf_standby_json(const struct hf_standby *s, bool is_line, struct hf_buf *out,
                             struct hf_err *err)
{
    struct hf_json j;
    char now[HF_TIME_TEXT];
    hf_clock_format(hf_clock_wall_ms(), now);
    hf_json_init(&j, out, !is_line);
    hf_json_object_begin(&j);
    hf_json_kstr(&j, "schema", "holdfast.restore-all/1");
    hf_json_kstr(&j, "time", now);
    hf_json_key(&j, "databases");
    hf_json_array_begin(&j);
    for (size_t i = 0; i < hf_standby_count(s); i++) {
        struct hf_standby_row r;
        hf_standby_row(s, i, &r);
        put_json(&j, &r);
    }
    hf_json_array_end(&j);
    hf_json_object_end(&j);
    HF_TRY(hf_json_end(&j, err));
    return hf_buf_append(out, "\n", 1, err);
}
