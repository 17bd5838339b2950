/* holdfast verify: restores databases into scratch space and compares them with their sources. */
#include "replica/verify.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "cmd/ctl.h"
#include "cmd/local.h"
#include "cmd/out.h"
#include "cmd/rows.h"
#include "codec/prometheus.h"
#include "os/file.h"

enum { STATE_BYTES = 200 };

struct options {
    struct hf_config_flags config;
    bool all;
    int64_t sample;
    const char *replica;
    const char *scratch;
    const char *socket;
    const char *metrics;
    int64_t wait_ns;
    int64_t hold_ns;
    bool json;
};

#define AT(member) .offset = offsetof(struct options, member)

static const struct hf_flag flags[] = {
    HF_CONFIG_FLAGS(struct options, config),
    {.name = "all",
     .kind = HF_FLAG_BOOL,
     AT(all),
     .marks = HF_FLAG_OURS,
     .doc = "Every database of the configuration."},
    {.name = "sample",
     .kind = HF_FLAG_INT,
     AT(sample),
     .value = "N",
     .min = 1,
     .max = 100000,
     .marks = HF_FLAG_OURS,
     .doc = "The N databases of the configuration that were verified longest ago, or never. From "
            "a timer this goes round the fleet."},
    {.name = "replica",
     .kind = HF_FLAG_STRING,
     AT(replica),
     .value = "NAME",
     .doc = "Only the replica of this name; without it all of a database's, one after the other."},
    {.name = "scratch",
     .kind = HF_FLAG_STRING,
     AT(scratch),
     .value = "DIR",
     .marks = HF_FLAG_OURS,
     .doc =
         "Where copies are made, one at a time: TMPDIR or /var/tmp without it. They are readable "
         "to this user only and removed at once."},
    {.name = "wait",
     .kind = HF_FLAG_NS,
     AT(wait_ns),
     .value = "DURATION",
     .def = "30s",
     .marks = HF_FLAG_OURS,
     .doc = "How long a replica may take to get past the state that is compared."},
    {.name = "hold",
     .kind = HF_FLAG_NS,
     AT(hold_ns),
     .value = "DURATION",
     .marks = HF_FLAG_OURS,
     .doc = "Let nobody commit for so long at most, if pages were written at every look. Writers "
            "wait for their busy timeout."},
    {.name = "socket",
     .kind = HF_FLAG_STRING,
     AT(socket),
     .value = "PATH",
     .marks = HF_FLAG_OURS,
     .doc = "Control socket of the running replicate, which then ships at once and can say that "
            "all is shipped. Without it: the configuration's."},
    {.name = "metrics",
     .kind = HF_FLAG_STRING,
     AT(metrics),
     .value = "FILE",
     .marks = HF_FLAG_OURS,
     .doc = "Write the results there as Prometheus metrics, for a textfile collector."},
    {.name = "json", .kind = HF_FLAG_BOOL, AT(json), .doc = "As JSON, schema holdfast.verify/1."},
};

/* One database and replica. */
struct row {
    const char *path;
    const char *replica;
    enum hf_code code; /* of the comparison itself; HF_OK: res counts */
    struct hf_err err;
    struct hf_verify_result res;
};

struct call {
    const struct options *o;
    struct hf_cmd_local local;
    const struct hf_config_db **dbs; /* to verify */
    size_t n_dbs;
    struct row *rows;
    size_t n_rows;
    char *scratch;
    const char *socket;
};

/* ---- stopping ---- */

static volatile sig_atomic_t is_stop_asked;

static void on_signal(int number)
{
    (void)number;
    is_stop_asked = 1;
}

static bool keep_on(void *arg)
{
    (void)arg;
    return !is_stop_asked;
}

/* ---- which databases ---- */

static char *state_file(const struct hf_config_db *db)
{
    return hf_path_join(db->meta_path, "verified");
}

/* When db was verified last; 0: never. */
static int64_t verified_ms(const struct hf_config_db *db)
{
    HF_AUTO_FREE char *file = state_file(db);
    HF_AUTO_FREE char *text = NULL;
    size_t len = 0;
    if (hf_path_read(file, STATE_BYTES, &text, &len, NULL) != HF_OK)
        return 0;
    return strncmp(text, "verified/1 ", 11) == 0 ? strtoll(text + 11, NULL, 10) : 0;
}

/* Only where local state is kept anyway; a failure costs the database another turn. */
static void note_verified(const struct hf_config_db *db, const struct hf_verify_result *r)
{
    HF_AUTO_FREE char *file = state_file(db);
    char text[STATE_BYTES];
    if (!hf_path_exists(db->meta_path))
        return;
    int len = snprintf(text, sizeof(text), "verified/1 %" PRId64 " %016" PRIx64 " %s\n",
                       hf_clock_wall_ms(), r->txid, hf_verdict_word(r->verdict));
    (void)!hf_path_write_atomic(file, text, (size_t)len, 0600, NULL);
}

struct aged {
    const struct hf_config_db *db;
    int64_t verified_ms;
    size_t index;
};

static int compare_aged(const void *pa, const void *pb)
{
    const struct aged *a = pa;
    const struct aged *b = pb;
    if (a->verified_ms != b->verified_ms)
        return a->verified_ms < b->verified_ms ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static void choose(struct call *c)
{
    size_t n = c->local.n;
    struct aged *list = hf_calloc(n + 1, sizeof(*list));
    for (size_t i = 0; i < n; i++)
        list[i] = (struct aged){c->local.dbs[i], 0, i};
    if (c->o->sample > 0) {
        for (size_t i = 0; i < n; i++)
            list[i].verified_ms = verified_ms(list[i].db);
        qsort(list, n, sizeof(*list), compare_aged);
        n = (uint64_t)c->o->sample < n ? (size_t)c->o->sample : n;
    }
    c->dbs = hf_calloc(n + 1, sizeof(struct hf_config_db *));
    for (size_t i = 0; i < n; i++)
        c->dbs[c->n_dbs++] = list[i].db;
    hf_free(list);
}

/* ---- asking the running process ---- */

struct asked {
    const struct call *c;
    const char *path;
};

static enum hf_code ask_sync(void *arg, uint64_t timeout_ms, struct hf_err *err)
{
    const struct asked *a = arg;
    struct hf_ctl_flags f = {.socket = a->c->socket, .timeout_s = (int64_t)(timeout_ms / 1000)};
    struct hf_buf body;
    struct hf_buf answer;
    struct hf_json j;
    if (f.timeout_s < 1)
        f.timeout_s = 1;
    hf_buf_init(&body, HF_OUT_MAX);
    hf_buf_init(&answer, HF_LIMIT_UNIXHTTP_ANSWER);
    hf_json_init(&j, &body, false);
    hf_json_object_begin(&j);
    hf_json_kstr(&j, "path", a->path);
    hf_json_kbool(&j, "wait", true);
    hf_json_ki64(&j, "timeout", f.timeout_s);
    hf_json_object_end(&j);
    enum hf_code rc = hf_json_end(&j, err);
    struct hf_ctl_request r = {"POST", "/sync", hf_buf_str(&body)};
    if (rc == HF_OK)
        rc = hf_ctl_do(&f, &r, &answer, err);
    hf_buf_deinit(&body);
    hf_buf_deinit(&answer);
    return rc;
}

/* ---- verifying ---- */

static enum hf_code verify_open(struct call *c, const struct hf_config_db *db,
                                struct hf_replica *replica, struct row *row)
{
    struct asked asked = {c, db->path};
    HF_AUTO_FREE char *copy = hf_asprintf("%s/copy.db", c->scratch);
    struct hf_verify_options o = {.replica = replica,
                                  .source = db->path,
                                  .meta_path = db->meta_path,
                                  .scratch = copy,
                                  .wait_ms = (uint64_t)c->o->wait_ns / 1000000,
                                  .hold_ms = (uint64_t)c->o->hold_ns / 1000000,
                                  .sync = c->socket == NULL ? NULL : ask_sync,
                                  .sync_arg = &asked,
                                  .keep_on = keep_on};
    return hf_verify_run(&o, &row->res, &row->err);
}

static void verify_one(struct call *c, const struct hf_config_db *db,
                       const struct hf_config_replica *conf)
{
    struct hf_store *store = NULL;
    struct hf_replica *replica = NULL;
    c->rows = hf_realloc(c->rows, c->n_rows + 1, sizeof(*c->rows));
    struct row *row = &c->rows[c->n_rows++];
    *row = (struct row){.path = db->path, .replica = conf->url};
    if (hf_path_exists(db->path)) {
        row->code = hf_cmd_open_replica(conf, &store, &replica, &row->err);
    } else {
        row->code =
            hf_err_set(&row->err, HF_E_NOT_FOUND, "no such database to compare with: %s", db->path);
        hf_err_hint(&row->err, "restore -integrity-check full -o COPY tries a replica alone");
    }
    if (row->code != HF_OK)
        return;
    row->code = verify_open(c, db, replica, row);
    hf_replica_free(replica);
    hf_store_close(store);
    if (row->code == HF_OK)
        note_verified(db, &row->res);
}

static enum hf_code verify_all(struct call *c, struct hf_err *err)
{
    bool is_known = c->o->replica == NULL;
    for (size_t i = 0; i < c->n_dbs && !is_stop_asked; i++) {
        const struct hf_config_db *db = c->dbs[i];
        for (size_t k = 0; k < db->n_replicas && !is_stop_asked; k++) {
            if (c->o->replica != NULL && strcmp(c->o->replica, db->replicas[k].name) != 0)
                continue;
            is_known = true;
            verify_one(c, db, &db->replicas[k]);
        }
    }
    if (!is_known)
        return hf_err_set(err, HF_E_NOT_FOUND, "no replica is named '%s'", c->o->replica);
    if (c->n_rows == 0) {
        hf_err_set(err, HF_E_INVALID, "there is nothing to verify");
        hf_err_hint(err, "a database outside the configuration needs its replica's URL, too");
        return HF_E_INVALID;
    }
    return HF_OK;
}

/* ---- telling ---- */

static const char *result_word(const struct row *r)
{
    return r->code == HF_OK ? hf_verdict_word(r->res.verdict) : "error";
}

static void remark(const struct row *r, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    if (r->code != HF_OK) {
        snprintf(out, size, "%s", r->err.text);
        return;
    }
    if (r->res.n_different == 0)
        return;
    at += (size_t)snprintf(out, size, "%" PRIu64 " page%s: ", r->res.n_different,
                           r->res.n_different == 1 ? "" : "s");
    for (size_t i = 0; i < r->res.n_shown && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%u", i == 0 ? "" : " ", r->res.shown[i]);
    if (r->res.n_different > r->res.n_shown && at < size)
        snprintf(out + at, size - at, " ...");
}

static enum hf_code print_table(const struct call *c, struct hf_err *err)
{
    static const char *const heads[] = {"database", "replica", "result", "txid",
                                        "pages",    "looks",   "time",   "remark"};
    struct hf_table t;
    hf_table_init(&t, HF_ARRAY_LEN(heads));
    for (size_t i = 0; i < HF_ARRAY_LEN(heads); i++)
        hf_table_cell(&t, heads[i]);
    for (size_t i = 0; i < c->n_rows; i++) {
        const struct row *r = &c->rows[i];
        char text[640];
        remark(r, text, sizeof(text));
        hf_table_cell(&t, r->path);
        hf_table_cell(&t, r->replica);
        hf_table_cell(&t, result_word(r));
        hf_table_cellf(&t, "%016" PRIx64, r->res.txid);
        hf_table_cellf(&t, "%u", r->res.pages);
        hf_table_cellf(&t, "%u", r->res.looks);
        hf_table_cellf(&t, "%.2fs", r->res.seconds);
        hf_table_cell(&t, text);
    }
    enum hf_code rc = hf_table_print(&t, err);
    hf_table_deinit(&t);
    return rc;
}

static void put_json(struct hf_json *j, const struct row *r)
{
    char when[HF_TIME_TEXT];
    hf_json_object_begin(j);
    hf_json_kstr(j, "db_path", r->path);
    hf_json_kstr(j, "url", r->replica);
    hf_json_kstr(j, "result", result_word(r));
    if (r->code != HF_OK) {
        hf_json_kstr(j, "code", hf_code_word(r->code));
        hf_json_kstr(j, "error", r->err.text);
        hf_json_object_end(j);
        return;
    }
    hf_clock_format(r->res.time_ms, when);
    hf_json_ktxid(j, "txid", r->res.txid);
    hf_json_kstr(j, "timestamp", when);
    hf_json_ku64(j, "pages", r->res.pages);
    hf_json_ku64(j, "page_size", r->res.page_size);
    hf_json_ku64(j, "different_pages", r->res.n_different);
    hf_json_key(j, "first_pages");
    hf_json_array_begin(j);
    for (size_t i = 0; i < r->res.n_shown; i++)
        hf_json_u64(j, r->res.shown[i]);
    hf_json_array_end(j);
    hf_json_ku64(j, "looks", r->res.looks);
    hf_json_ku64(j, "duration_ms", (uint64_t)(r->res.seconds * 1000));
    hf_json_object_end(j);
}

static enum hf_code print_json(const struct call *c, struct hf_err *err)
{
    struct hf_out_json o;
    hf_out_json_begin(&o, "holdfast.verify/1");
    hf_json_key(&o.j, "databases");
    hf_json_array_begin(&o.j);
    for (size_t i = 0; i < c->n_rows; i++)
        put_json(&o.j, &c->rows[i]);
    hf_json_array_end(&o.j);
    return hf_out_json_end(&o, err);
}

static bool is_same(const struct row *r)
{
    return r->code == HF_OK && r->res.verdict == HF_VERDICT_SAME;
}

static enum hf_code write_metrics(const struct call *c, struct hf_err *err)
{
    struct hf_buf out;
    struct hf_prom p;
    hf_buf_init(&out, HF_OUT_MAX);
    hf_prom_init(&p, &out);
    hf_prom_family(&p, "holdfast_verify_ok", "gauge",
                   "1 if the replica was restored and every page was equal to the source's.");
    for (size_t i = 0; i < c->n_rows; i++) {
        struct hf_prom_label l[] = {{"db", c->rows[i].path}, {"replica", c->rows[i].replica}};
        hf_prom_value(&p, l, 2, is_same(&c->rows[i]));
    }
    hf_prom_family(&p, "holdfast_verify_timestamp_seconds", "gauge", "When that was found.");
    for (size_t i = 0; i < c->n_rows; i++) {
        struct hf_prom_label l[] = {{"db", c->rows[i].path}, {"replica", c->rows[i].replica}};
        hf_prom_value(&p, l, 2, (double)hf_clock_wall_ms() / 1000);
    }
    enum hf_code rc = hf_prom_end(&p, err);
    if (rc == HF_OK)
        rc = hf_path_write_atomic(c->o->metrics, out.data, out.len, 0644, err);
    hf_buf_deinit(&out);
    return rc;
}

static enum hf_code code_of(const struct row *r)
{
    return r->code == HF_OK ? hf_verdict_code(r->res.verdict) : r->code;
}

/* A difference is worse than anything that kept us from looking. */
static bool is_worse(const struct row *a, const struct row *b)
{
    enum hf_code ca = code_of(a);
    enum hf_code cb = code_of(b);
    if (cb == HF_OK || ca == HF_OK)
        return ca != HF_OK;
    return ca == HF_E_CORRUPT && cb != HF_E_CORRUPT;
}

static enum hf_code judge(const struct call *c, struct hf_err *err)
{
    const struct row *worst = &c->rows[0];
    size_t n = 0;
    for (size_t i = 0; i < c->n_rows; i++) {
        const struct row *r = &c->rows[i];
        n += !is_same(r);
        if (is_worse(r, worst))
            worst = r;
    }
    if (is_stop_asked)
        return hf_err_set(err, HF_E_CANCELED, "stopped after %zu", c->n_rows);
    if (n == 0)
        return HF_OK;
    hf_err_set(err, code_of(worst), "%zu of %zu not proven equal; %s: %s", n, c->n_rows,
               worst->path, result_word(worst));
    if (worst->code != HF_OK)
        hf_err_hint(err, "%s", worst->err.hint);
    else if (worst->res.verdict == HF_VERDICT_BUSY)
        hf_err_hint(err, "the pages named were written at every look: --hold 2s lets nobody commit "
                         "for a moment");
    else if (worst->res.verdict == HF_VERDICT_BEHIND)
        hf_err_hint(err, "is replicate running, and what does holdfast status say?");
    else
        hf_err_hint(err, "do not trust this replica: keep it, and begin a new one elsewhere");
    return err == NULL ? code_of(worst) : err->code;
}

/* ---- the command ---- */

static enum hf_code make_scratch(struct call *c, struct hf_err *err)
{
    const char *dir = c->o->scratch != NULL ? c->o->scratch : getenv("TMPDIR");
    if (dir == NULL || dir[0] == '\0')
        dir = "/var/tmp";
    c->scratch = hf_asprintf("%s/holdfast-verify-%08x", dir, hf_random_u32());
    return hf_path_mkdirs(c->scratch, 0700, err);
}

static enum hf_code open_args(struct hf_run *run, struct call *c, struct hf_err *err)
{
    const struct options *o = run->options;
    bool is_many = o->all || o->sample > 0;
    if (is_many == (run->n_args > 0))
        return hf_err_set(err, HF_E_INVALID, "name a database, or -all, or -sample N");
    if (run->n_args < 2)
        return hf_cmd_local_open(&o->config, is_many ? NULL : run->args[0], &c->local, err);
    if (o->config.path != NULL)
        return hf_err_set(err, HF_E_INVALID, "give a database and its URL, or -config, not both");
    HF_TRY(hf_config_from_args(run->args[0], &run->args[1], 1, &c->local.cfg, err));
    c->local.one = c->local.cfg->dbs[0];
    c->local.dbs = &c->local.one;
    c->local.n = 1;
    return HF_OK;
}

static enum hf_code carry_out(struct call *c, struct hf_err *err)
{
    hf_assert(c->local.cfg != NULL);
    const struct hf_config_socket *socket = &c->local.cfg->socket;
    c->socket = c->o->socket != NULL ? c->o->socket : socket->enabled ? socket->path : NULL;
    choose(c);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    HF_TRY(make_scratch(c, err));
    HF_TRY(verify_all(c, err));
    HF_TRY(c->o->json ? print_json(c, err) : print_table(c, err));
    if (c->o->metrics != NULL)
        HF_TRY(write_metrics(c, err));
    return judge(c, err);
}

static enum hf_code run_verify(struct hf_run *run, struct hf_err *err)
{
    struct call c = {.o = run->options};
    HF_TRY(open_args(run, &c, err));
    enum hf_code rc = carry_out(&c, err);
    if (c.scratch != NULL)
        (void)!hf_path_rmdir(c.scratch, NULL);
    hf_free(c.scratch);
    hf_free(c.rows);
    hf_free(c.dbs);
    hf_cmd_local_close(&c.local);
    return rc;
}

static const struct hf_example examples[] = {
    {"holdfast verify /var/lib/app.db", "the replica of one database"},
    {"holdfast verify -all -config holdfast.yml", "of all of them"},
    {"holdfast verify -sample 5 --metrics /var/lib/node_exporter/verify.prom",
     "from a timer: the five whose turn it is"},
    {NULL, NULL},
};

const struct hf_command hf_cmd_verify = {
    .name = "verify",
    .group = "Protect",
    .summary = "restore databases and compare them with their sources",
    .args = "[DB_PATH [REPLICA_URL]]",
    .max_args = 2,
    .flags = flags,
    .n_flags = HF_ARRAY_LEN(flags),
    .options_size = sizeof(struct options),
    .examples = examples,
    .run = run_verify,
    .doc =
        "A backup nobody restored is a hope. Restores into scratch space, holds a committed state "
        "of the source still for the time of the comparison (writers go on), plays the copy "
        "forward to it and compares every page. Results: same; different (a restore would not "
        "be the database); behind (what is committed is not in the replica yet); busy (equal "
        "but for pages that were written at every look).",
    .exits = "5: different; 8: busy; 13: behind; others: a database could not be compared.",
};
