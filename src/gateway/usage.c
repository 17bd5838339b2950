#include "gateway/usage.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/parse.h"
#include "sqlite/conn.h"

enum { BUSY_MS = 2000, DAY_TEXT = 10, SQL_BYTES = 1024 };

struct group_row {
    const char *column;
    const char *word;
};

static const struct group_row groups[HF_USAGE_GROUPS_] = {
#define X(name, column, word) [name] = {column, word},
    HF_USAGE_GROUPS(X)
#undef X
};

static bool add_group(const char *word, size_t len, unsigned *out)
{
    for (unsigned i = 0; i < HF_USAGE_GROUPS_; i++) {
        if (strlen(groups[i].word) == len && strncmp(groups[i].word, word, len) == 0) {
            *out |= 1u << i;
            return true;
        }
    }
    return false;
}

enum hf_code hf_usage_parse_groups(const char *text, unsigned *out, struct hf_err *err)
{
    unsigned bits = 0;
    const char *p = text == NULL || text[0] == '\0' ? "key,model" : text;
    while (*p != '\0') {
        size_t len = strcspn(p, ",");
        if (!add_group(p, len, &bits))
            return hf_err_set(
                err, HF_E_INVALID,
                "'%.40s' is nothing to sum by (key, route, model, host, day, outcome)", p);
        p += len + (p[len] == ',');
    }
    *out = bits;
    return HF_OK;
}

enum hf_code hf_usage_parse_since(const char *text, int64_t now_ms, int64_t *out,
                                  struct hf_err *err)
{
    char whole[HF_TIME_TEXT];
    int64_t ns = 0;
    if (text == NULL || text[0] == '\0') {
        *out = 0;
        return HF_OK;
    }
    if (hf_parse_duration_ns(text, &ns, NULL) == HF_OK) {
        *out = now_ms - ns / 1000000;
        return HF_OK;
    }
    snprintf(whole, sizeof(whole), strlen(text) == DAY_TEXT ? "%.10sT00:00:00Z" : "%.31s", text);
    if (hf_parse_time_ms(whole, out, NULL) == HF_OK)
        return HF_OK;
    return hf_err_set(err, HF_E_INVALID,
                      "'%.40s' is no time (try 24h, 2026-11-27 or 2026-11-27T10:00:00Z)", text);
}

/* Columns of constants only: nothing of a client gets into it. */
static void make_sql(unsigned bits, char sql[SQL_BYTES])
{
    char by[200] = "";
    for (unsigned i = 0; i < HF_USAGE_GROUPS_; i++) {
        size_t len = strlen(by);
        if ((bits & 1u << i) != 0)
            snprintf(by + len, sizeof(by) - len, "%s%s", len == 0 ? "" : ", ", groups[i].column);
    }
    snprintf(sql, SQL_BYTES,
             "SELECT sum(is_last), sum(is_last AND outcome <> 'ok'), sum(tokens_in),"
             " sum(tokens_out), sum(tokens_cached), sum(micro) AS cost, sum(is_estimated)%s%s"
             " FROM usage WHERE at_ms >= ?1%s%s ORDER BY cost DESC, 1 DESC LIMIT ?2",
             by[0] == '\0' ? "" : ", ", by, by[0] == '\0' ? "" : " GROUP BY ", by);
}

static void put_group(struct hf_json *j, unsigned which, struct hf_stmt *st, int column)
{
    char day[HF_TIME_TEXT];
    if (which != HF_USAGE_DAY) {
        hf_json_kstr(j, groups[which].word, hf_stmt_text(st, column));
        return;
    }
    hf_clock_format(hf_stmt_i64(st, column) * 86400000, day);
    day[DAY_TEXT] = '\0';
    hf_json_kstr(j, groups[which].word, day);
}

static void put_row(struct hf_json *j, unsigned bits, struct hf_stmt *st)
{
    enum { FIRST_GROUP = 7 };
    static const char *const counts[] = {"requests", "failed", "tokens_in", "tokens_out",
                                         "tokens_cached"};
    char cost[HF_MICRO_TEXT];
    int column = FIRST_GROUP;
    hf_json_object_begin(j);
    for (unsigned i = 0; i < HF_USAGE_GROUPS_; i++) {
        if ((bits & 1u << i) != 0)
            put_group(j, i, st, column++);
    }
    for (int i = 0; i < (int)HF_ARRAY_LEN(counts); i++)
        hf_json_ki64(j, counts[i], hf_stmt_i64(st, i));
    hf_micro_format(hf_stmt_i64(st, 5), cost);
    hf_json_kstr(j, "cost", cost);
    hf_json_ki64(j, "estimated", hf_stmt_i64(st, 6));
    hf_json_object_end(j);
}

static enum hf_code put_rows(struct hf_stmt *st, const struct hf_usage_ask *ask, struct hf_json *j,
                             struct hf_err *err)
{
    bool is_row = false;
    hf_stmt_bind_i64(st, 1, ask->since_ms);
    hf_stmt_bind_i64(st, 2, HF_LIMIT_USAGE_ROWS);
    hf_json_array_begin(j);
    HF_TRY(hf_stmt_next(st, &is_row, err));
    while (is_row) {
        put_row(j, ask->groups, st);
        HF_TRY(hf_stmt_next(st, &is_row, err));
    }
    hf_json_array_end(j);
    return HF_OK;
}

enum hf_code hf_usage_write(const char *path, const struct hf_usage_ask *ask, struct hf_json *j,
                            struct hf_err *err)
{
    struct hf_conn *conn = NULL;
    struct hf_stmt *st = NULL;
    char sql[SQL_BYTES];
    make_sql(ask->groups, sql);
    HF_TRY(hf_conn_open(path, HF_CONN_READ, BUSY_MS, &conn, err));
    enum hf_code rc = hf_stmt_new(conn, sql, &st, err);
    if (rc == HF_OK)
        rc = put_rows(st, ask, j, err);
    hf_stmt_free(st);
    hf_conn_close(conn);
    return rc;
}
