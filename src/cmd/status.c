/*
 * holdfast status: how far each database is, from local files, and what the running process says
 * about it when its control socket is there. Nothing is opened that a running holdfast or a writer
 * could notice.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cmd/live.h"
#include "cmd/local.h"
#include "cmd/out.h"
#include "cmd/rows.h"
#include "ltx/ltx.h"
#include "os/file.h"
#include "replica/follow_state.h"
#include "replica/mark.h"
#include "replica/position.h"
#include "sqlite/conn.h"

struct options {
    struct hf_config_flags config;
    const char *socket;
    bool theirs; /* -json, Litestream's form */
    bool json;
    bool watch;
};

enum { WATCH_MS = 1000, SLICE_US = 50000 };

static const struct hf_flag flags[] = {
    HF_CONFIG_FLAGS(struct options, config),
    {.name = "json",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct options, theirs),
     .doc = "As JSON the way Litestream prints it: an array."},
    {.name = "json",
     .kind = HF_FLAG_BOOL,
     .marks = HF_FLAG_OURS,
     .offset = offsetof(struct options, json),
     .doc = "As JSON, schema holdfast.status/1."},
    {.name = "socket",
     .kind = HF_FLAG_STRING,
     .offset = offsetof(struct options, socket),
     .value = "PATH",
     .marks = HF_FLAG_OURS,
     .doc = "Control socket of the running process. Without it: the configuration's, if it is "
            "turned on there."},
    {.name = "watch",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct options, watch),
     .marks = HF_FLAG_OURS,
     .doc = "Again every second, until stopped; a narrow screen gets fewer columns."},
};

/* Everything one look needs. */
struct view {
    const struct options *options;
    struct hf_cmd_local local;
    struct hf_live_rows live;        /* n 0: no running process */
    const struct hf_config_db **dbs; /* the configuration's, then those only the process knows */
    size_t n_dbs;
    struct hf_config **registered; /* these are in them */
    size_t n_registered;
};

/* One of several replicas, as it was noted at the last upload. */
struct replica_row {
    const struct hf_config_replica *conf;
    const char *word;
    uint64_t txid; /* 0: not known */
};

struct row {
    struct replica_row replicas[HF_LIMIT_REPLICAS];
    size_t n_replicas; /* 0 with a single one */
    const char *path;
    const char *word;
    uint64_t txid; /* 0: none */
    bool has_wal;
    uint64_t wal_bytes;
    bool is_encrypted; /* a replica is: Litestream can't read it */
    bool is_error;
    struct hf_err err; /* then */
};

/* ---- looking ---- */

static void set_error(struct row *r)
{
    r->word = "error";
    r->is_error = true;
}

/* A copy that `restore -f` keeps: its floor is what the main file holds for certain. */
static void look_standby(const char *path, struct row *r)
{
    struct hf_follow_state s;
    bool is_there = false;
    bool is_litestream = false;
    hf_follow_state_init(&s, path, NULL);
    enum hf_code rc = hf_follow_state_load(&s, &is_there, &is_litestream, &r->err);
    if (rc != HF_OK) {
        set_error(r);
    } else if (is_there && !is_litestream) {
        r->word = "standby";
        r->txid = s.floor;
    }
    hf_follow_state_deinit(&s);
}

static void look_at_replicas(const struct hf_config_db *db, struct row *r)
{
    size_t n = db->n_replicas > HF_LIMIT_REPLICAS ? HF_LIMIT_REPLICAS : db->n_replicas;
    r->n_replicas = n > 1 ? n : 0;
    for (size_t i = 0; i < r->n_replicas; i++) {
        struct replica_row *one = &r->replicas[i];
        *one = (struct replica_row){.conf = &db->replicas[i], .word = "unknown"};
        if (hf_mark_load(db->meta_path, one->conf->url, one->conf->endpoint, &one->txid, NULL) !=
            HF_OK)
            continue;
        one->word = one->txid < r->txid ? "behind" : "ok";
    }
}

static void look(const struct hf_config_db *db, struct row *r)
{
    HF_AUTO_FREE char *wal = hf_asprintf("%s-wal", db->path);
    struct hf_file_stat st;
    struct hf_position pos;
    *r = (struct row){.path = db->path, .word = "not initialized"};
    for (size_t i = 0; i < db->n_replicas; i++)
        r->is_encrypted = r->is_encrypted || db->replicas[i].encryption.enabled;
    enum hf_code rc = hf_path_stat(db->path, &st, &r->err);
    if (rc == HF_E_NOT_FOUND) {
        r->word = "no database";
        return;
    }
    if (rc != HF_OK) {
        set_error(r);
        return;
    }
    r->has_wal = hf_path_stat(wal, &st, NULL) == HF_OK;
    r->wal_bytes = r->has_wal ? st.size : 0;
    rc = hf_position_load(db->meta_path, &pos, &r->err);
    if (rc == HF_E_NOT_FOUND) {
        look_standby(db->path, r);
    } else if (rc != HF_OK) {
        set_error(r);
    } else if (pos.txid > 0) {
        r->word = "ok";
        r->txid = pos.txid;
    }
    look_at_replicas(db, r);
}

/* ---- telling ---- */

/* The running process's word on a database; NULL if it has none. Of several replicas the one that
 * is furthest behind. */
static const struct hf_live_row *find_live(const struct hf_live_rows *live, const char *path,
                                           const char *replica)
{
    const struct hf_live_row *worst = NULL;
    for (size_t i = 0; i < live->n; i++) {
        const struct hf_live_row *l = &live->items[i];
        bool is_it = replica == NULL || strcmp(l->replica, replica) == 0;
        if (is_it && strcmp(l->path, path) == 0 && (worst == NULL || l->lag_ms > worst->lag_ms))
            worst = l;
    }
    return worst;
}

static void put_wall(struct hf_table *t, int64_t wall_ms)
{
    char text[HF_TIME_TEXT];
    hf_clock_format(wall_ms, text);
    hf_table_cell(t, wall_ms == 0 ? "-" : text);
}

static void put_live_cells(struct hf_table *t, const struct hf_live_row *l)
{
    if (l == NULL) {
        for (int i = 0; i < 6; i++)
            hf_table_cell(t, "-");
        return;
    }
    hf_table_cell(t, l->state);
    hf_table_cellf(t, "%.2fs", (double)l->lag_ms / 1000);
    put_wall(t, l->last_sync_ms);
    put_wall(t, l->next_snapshot_ms);
    hf_table_cellf(t, "%lld", (long long)l->errors);
    hf_table_cell(t, l->error[0] == '\0' ? "-" : l->error);
}

static void put_table_row(struct hf_table *t, const struct row *r)
{
    char size[HF_SIZE_TEXT];
    hf_size_format(r->wal_bytes, size);
    hf_table_cell(t, r->path);
    hf_table_cellf(t, "%s%s", r->word, r->is_encrypted ? ", encrypted" : "");
    if (r->txid > 0)
        hf_table_cellf(t, "%016llx", (unsigned long long)r->txid);
    else
        hf_table_cell(t, "-");
    hf_table_cell(t, r->has_wal ? size : "-");
}

static void put_replica_row(struct hf_table *t, const struct replica_row *r)
{
    hf_table_cellf(t, "  %s", r->conf->url);
    hf_table_cellf(t, "%s%s", r->word, r->conf->encryption.enabled ? ", encrypted" : "");
    if (r->txid > 0)
        hf_table_cellf(t, "%016llx", (unsigned long long)r->txid);
    else
        hf_table_cell(t, "-");
    hf_table_cell(t, "-");
}

static void put_replica_rows(struct hf_table *t, const struct row *r, const struct hf_live_rows *l)
{
    for (size_t k = 0; k < r->n_replicas; k++) {
        put_replica_row(t, &r->replicas[k]);
        if (l->n > 0)
            put_live_cells(t, find_live(l, r->path, r->replicas[k].conf->url));
    }
}

/* For --watch, which draws it again on the same screen. */
static enum hf_code print_cut(struct hf_table *t, struct hf_err *err)
{
    static const char *const drop[] = {"next snapshot", "last upload", "wal size",
                                       "local txid",    "errors",      NULL};
    struct hf_buf out;
    hf_buf_init(&out, HF_OUT_MAX);
    enum hf_code rc = hf_table_format_cut(t, hf_out_columns(), drop, &out, err);
    if (rc == HF_OK)
        rc = hf_out_write((const char *)out.data, out.len, err);
    hf_buf_deinit(&out);
    return rc;
}

static enum hf_code print_table(const struct view *v, struct hf_err *err)
{
    /* The first four are Litestream's; the others need a running process. */
    static const char *const heads[] = {"database", "status",    "local txid",  "wal size",
                                        "state",    "lag",       "last upload", "next snapshot",
                                        "errors",   "last error"};
    size_t columns = v->live.n > 0 ? HF_ARRAY_LEN(heads) : 4;
    struct hf_table t;
    hf_table_init(&t, columns);
    for (size_t i = 0; i < columns; i++)
        hf_table_cell(&t, heads[i]);
    for (size_t i = 0; i < v->n_dbs; i++) {
        struct row r;
        look(v->dbs[i], &r);
        put_table_row(&t, &r);
        if (columns > 4)
            put_live_cells(&t, find_live(&v->live, r.path, NULL));
        put_replica_rows(&t, &r, &v->live);
        if (r.is_error)
            fprintf(stderr, "holdfast status: %s: %s\n", r.path, r.err.text);
    }
    enum hf_code rc = v->options->watch ? print_cut(&t, err) : hf_table_print(&t, err);
    hf_table_deinit(&t);
    if (rc == HF_OK && hf_sqlite_has_reset_race(hf_sqlite_version_number()))
        fprintf(stderr, "warning: SQLite %s can lose commits, rarely: upgrade, writers too\n",
                hf_sqlite_version());
    return rc;
}

/* What came over the socket, one object a replica. */
static void put_live_json(struct hf_json *j, const struct hf_live_rows *live, const char *path)
{
    hf_json_key(j, "live");
    hf_json_array_begin(j);
    for (size_t i = 0; i < live->n; i++) {
        if (strcmp(live->items[i].path, path) == 0)
            hf_json_raw(j, live->items[i].json);
    }
    hf_json_array_end(j);
}

static void put_json_replicas(struct hf_json *j, const struct row *r)
{
    hf_json_key(j, "replicas");
    hf_json_array_begin(j);
    for (size_t i = 0; i < r->n_replicas; i++) {
        const struct replica_row *one = &r->replicas[i];
        hf_json_object_begin(j);
        hf_json_kstr(j, "name", one->conf->name);
        hf_json_kstr(j, "url", one->conf->url);
        hf_json_kstr(j, "status", one->word);
        hf_json_kbool(j, "encrypted", one->conf->encryption.enabled);
        hf_json_ktxid(j, "txid", one->txid);
        hf_json_object_end(j);
    }
    hf_json_array_end(j);
}

/* Litestream's four keys, texts for people. */
static void put_their_row(struct hf_json *j, const struct row *r)
{
    char size[HF_SIZE_TEXT];
    hf_size_format(r->wal_bytes, size);
    hf_json_object_begin(j);
    hf_json_kstr(j, "database", r->path);
    hf_json_kstr(j, "status", r->word);
    if (r->txid > 0)
        hf_json_ktxid(j, "local_txid", r->txid);
    else
        hf_json_kstr(j, "local_txid", "-");
    hf_json_kstr(j, "wal_size", r->has_wal ? size : "-");
    hf_json_object_end(j);
}

static void put_json_row(struct hf_json *j, const struct row *r, const struct hf_live_rows *live)
{
    hf_json_object_begin(j);
    hf_json_kstr(j, "path", r->path);
    hf_json_kstr(j, "status", r->word);
    hf_json_kbool(j, "encrypted", r->is_encrypted);
    if (r->txid > 0) {
        hf_json_ktxid(j, "local_txid", r->txid);
    } else {
        hf_json_key(j, "local_txid");
        hf_json_null(j);
    }
    if (r->has_wal) {
        hf_json_ku64(j, "wal_bytes", r->wal_bytes);
    } else {
        hf_json_key(j, "wal_bytes");
        hf_json_null(j);
    }
    if (r->is_error)
        hf_json_kstr(j, "error", r->err.text);
    if (r->n_replicas > 0)
        put_json_replicas(j, r);
    if (live->n > 0)
        put_live_json(j, live, r->path);
    hf_json_object_end(j);
}

static enum hf_code print_json(const struct view *v, struct hf_err *err)
{
    struct hf_out_json o;
    bool has_schema = v->options->json;
    hf_out_json_begin(&o, has_schema ? "holdfast.status/1" : NULL);
    hf_out_json_list_begin(&o, "databases");
    for (size_t i = 0; i < v->n_dbs; i++) {
        struct row r;
        look(v->dbs[i], &r);
        if (has_schema)
            put_json_row(&o.j, &r, &v->live);
        else
            put_their_row(&o.j, &r);
    }
    hf_out_json_list_end(&o);
    if (!has_schema)
        return hf_out_json_end(&o, err);
    hf_json_key(&o.j, "sqlite");
    hf_json_object_begin(&o.j);
    hf_json_kstr(&o.j, "version", hf_sqlite_version());
    hf_json_kbool(&o.j, "has_wal_reset_race", hf_sqlite_has_reset_race(hf_sqlite_version_number()));
    hf_json_object_end(&o.j);
    return hf_out_json_end(&o, err);
}

/* ---- the running process ---- */

/* A socket that nobody serves is no error unless it was asked for. */
static enum hf_code load_live(struct view *v, struct hf_err *err)
{
    const struct hf_config_socket *conf = &v->local.cfg->socket;
    const char *path = v->options->socket;
    bool is_asked = path != NULL;
    v->live = (struct hf_live_rows){0};
    if (!is_asked && conf->enabled)
        path = conf->path;
    if (path == NULL)
        return HF_OK;
    struct hf_err why = HF_ERR_INIT;
    enum hf_code rc = hf_live_rows_load(&v->live, path, &why);
    if (rc == HF_OK)
        return HF_OK;
    hf_live_rows_deinit(&v->live);
    if (is_asked) {
        *err = why;
        return rc;
    }
    if (rc != HF_E_NOT_FOUND)
        fprintf(stderr, "holdfast status: warning: %s\n", why.text);
    return HF_OK;
}

static bool is_listed(const struct view *v, const char *path)
{
    for (size_t i = 0; i < v->n_dbs; i++) {
        if (strcmp(v->dbs[i]->path, path) == 0)
            return true;
    }
    return false;
}

/* Those that were registered while the process runs are in no file. */
static enum hf_code list_dbs(struct view *v, bool is_one, struct hf_err *err)
{
    const struct hf_cmd_local *l = &v->local;
    size_t n_live = is_one ? 0 : v->live.n;
    v->dbs = hf_calloc(l->n + n_live + 1, sizeof(*v->dbs));
    v->registered = hf_calloc(n_live + 1, sizeof(struct hf_config *));
    for (; v->n_dbs < l->n; v->n_dbs++)
        v->dbs[v->n_dbs] = l->dbs[v->n_dbs];
    for (size_t i = 0; i < n_live; i++) {
        struct hf_config **cfg = &v->registered[v->n_registered];
        if (is_listed(v, v->live.items[i].path))
            continue;
        HF_TRY(hf_config_from_args(v->live.items[i].path, NULL, 0, cfg, err));
        v->n_registered++;
        v->dbs[v->n_dbs++] = (*cfg)->dbs[0];
    }
    return HF_OK;
}

static void free_dbs(struct view *v)
{
    for (size_t i = 0; i < v->n_registered; i++)
        hf_config_free(v->registered[i]);
    hf_free(v->registered);
    hf_free(v->dbs);
}

static enum hf_code show_once(const struct hf_run *run, struct hf_err *err)
{
    struct view v = {.options = run->options};
    const char *path = run->n_args > 0 ? run->args[0] : NULL;
    HF_TRY(hf_cmd_local_open(&v.options->config, path, &v.local, err));
    enum hf_code rc = load_live(&v, err);
    if (rc == HF_OK)
        rc = list_dbs(&v, path != NULL, err);
    if (rc == HF_OK)
        rc = v.options->json || v.options->theirs ? print_json(&v, err) : print_table(&v, err);
    free_dbs(&v);
    if (v.live.arena != NULL)
        hf_live_rows_deinit(&v.live);
    hf_cmd_local_close(&v.local);
    return rc;
}

static volatile sig_atomic_t is_stop_asked;

static void on_signal(int number)
{
    (void)number;
    is_stop_asked = 1;
}

static enum hf_code run_status(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    if (!o->watch)
        return show_once(run, err);
    bool is_screen = hf_out_is_terminal(STDOUT_FILENO) && !o->json && !o->theirs;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    while (!is_stop_asked) {
        if (is_screen)
            HF_TRY(hf_out_print(err, "\033[H\033[J"));
        HF_TRY(show_once(run, err));
        for (int i = 0; i < WATCH_MS * 1000 / SLICE_US && !is_stop_asked; i++)
            hf_clock_sleep_us(SLICE_US);
    }
    return HF_OK;
}

static const struct hf_example examples[] = {
    {"holdfast status", "every database of /etc/holdfast.yml"},
    {"holdfast status --watch", "again every second"},
    {"holdfast status /var/lib/app.db", "only this one; needs no configuration"},
    {NULL, NULL},
};

const struct hf_command hf_cmd_status = {
    .name = "status",
    .group = "Look",
    .summary = "show how far each database is",
    .args = "[DB_PATH]",
    .max_args = 1,
    .flags = flags,
    .n_flags = HF_ARRAY_LEN(flags),
    .options_size = sizeof(struct options),
    .examples = examples,
    .run = run_status,
    .doc =
        "Reads local files; holdfast need not run. When it does and its control socket is there "
        "(socket: in the configuration), its own word is added: state, lag (age of the oldest "
        "commit that is not in the replica), last upload, next snapshot, errors. Status is ok, not "
        "initialized (never "
        "replicated, or reset), no database, standby (a copy that `restore -f` keeps) or error. "
        "The local TXID is the newest one that is safe in the replica; of a standby, in its main "
        "file. Of several replicas each has a row of its own: ok, behind, or unknown, with the "
        "TXID "
        "it held after the last upload; the database's TXID is then the newest one safe on the "
        "local "
        "disk. \", encrypted\" stands behind the status where a replica is encrypted: Litestream "
        "can't read it.\n\nWarns on stderr when the SQLite library in use has the race between "
        "checkpoint "
        "and log reset of versions 3.7.0 to 3.51.2.",
};
