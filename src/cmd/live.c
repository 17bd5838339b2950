#include "cmd/live.h"

#include "base/limits.h"
#include "base/mem.h"
#include "cmd/ctl.h"
#include "codec/jsonscan.h"

enum { TIMEOUT_S = 5 };

static const char *text_of(struct hf_live_rows *rows, const struct hf_jsonscan_value *v)
{
    char text[HF_LIMIT_PATH];
    if (hf_jsonscan_str(v, text, sizeof(text), NULL) != HF_OK)
        return "";
    return hf_arena_strdup(rows->arena, text);
}

static int64_t number_of(const struct hf_jsonscan_value *v)
{
    int64_t n = 0;
    return hf_jsonscan_i64(v, &n) ? n : 0;
}

static enum hf_code add_row(struct hf_live_rows *rows, const struct hf_jsonscan_value *o,
                            struct hf_err *err)
{
    static const char *const keys[] = {"path",         "replica",          "state",
                                       "error",        "lag_ms",           "wal_bytes",
                                       "last_sync_ms", "next_snapshot_ms", "errors"};
    struct hf_jsonscan_value v[HF_ARRAY_LEN(keys)];
    HF_TRY(hf_jsonscan_find(o->text, o->len, keys, HF_ARRAY_LEN(keys), v, err));
    if (rows->n == rows->cap) {
        rows->cap = rows->cap == 0 ? 64 : rows->cap * 2;
        rows->items = hf_realloc(rows->items, rows->cap, sizeof(*rows->items));
    }
    rows->items[rows->n++] = (struct hf_live_row){
        .path = text_of(rows, &v[0]),
        .replica = text_of(rows, &v[1]),
        .state = text_of(rows, &v[2]),
        .error = text_of(rows, &v[3]),
        .json = hf_arena_strndup(rows->arena, o->text, o->len),
        .lag_ms = number_of(&v[4]),
        .wal_bytes = number_of(&v[5]),
        .last_sync_ms = number_of(&v[6]),
        .next_snapshot_ms = number_of(&v[7]),
        .errors = number_of(&v[8]),
    };
    return HF_OK;
}

static enum hf_code read_rows(struct hf_live_rows *rows, const struct hf_buf *b, struct hf_err *err)
{
    static const char *const keys[] = {"schema", "databases"};
    struct hf_jsonscan_value v[2];
    struct hf_jsonscan scan;
    HF_TRY(hf_jsonscan_find((const char *)b->data, b->len, keys, 2, v, err));
    if (!hf_jsonscan_is(&v[0], "holdfast.live/1"))
        return hf_err_set(err, HF_E_UNSUPPORTED, "the control socket is not of this version");
    HF_TRY(hf_jsonscan_open(&scan, v[1].text, v[1].len, err));
    for (;;) {
        struct hf_jsonscan_value row;
        bool is_member = false;
        HF_TRY(hf_jsonscan_next(&scan, NULL, &row, &is_member, err));
        if (!is_member)
            return HF_OK;
        HF_TRY(add_row(rows, &row, err));
    }
}

enum hf_code hf_live_rows_load(struct hf_live_rows *rows, const char *socket_path,
                               struct hf_err *err)
{
    struct hf_ctl_flags flags = {.socket = socket_path, .timeout_s = TIMEOUT_S};
    struct hf_ctl_request r = {"GET", "/status", NULL};
    struct hf_buf answer;
    *rows = (struct hf_live_rows){.arena = hf_arena_new(4096)};
    hf_buf_init(&answer, HF_LIMIT_UNIXHTTP_ANSWER);
    enum hf_code rc = hf_ctl_do(&flags, &r, &answer, err);
    if (rc == HF_OK)
        rc = read_rows(rows, &answer, err);
    hf_buf_deinit(&answer);
    return rc;
}

void hf_live_rows_deinit(struct hf_live_rows *rows)
{
    hf_arena_free(rows->arena);
    hf_free(rows->items);
    *rows = (struct hf_live_rows){0};
}
