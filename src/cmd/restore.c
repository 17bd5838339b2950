/* holdfast restore: a database out of its replica, once or following. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/out.h"
#include "cmd/restore_all.h"
#include "cmd/rows.h"
#include "cmd/target.h"
#include "os/file.h"
#include "replica/follow.h"
#include "replica/restore.h"

enum { SOURCES_MAX = 64 };

static const char *const integrity_words[] = {"none", "quick", "full", NULL};

struct options {
    struct hf_config_flags config;
    const char *output;
    uint64_t txid;
    int64_t timestamp_ms;
    int64_t parallelism;
    int64_t follow_interval_ns;
    int integrity;
    const char *replica;
    const char *generation;
    const char *index;
    bool if_db_not_exists;
    bool if_replica_exists;
    bool dry_run;
    bool force;
    bool json;
    bool follow;
    bool all;
    struct hf_flag_list tiers;
    struct hf_flag_list maps;
};

#define AT(member) .offset = offsetof(struct options, member)

static const struct hf_flag flags[] = {
    {.name = "o",
     .kind = HF_FLAG_STRING,
     AT(output),
     .value = "PATH",
     .doc = "Where to put the database. Without it: where the configuration has it."},
    {.name = "txid",
     .kind = HF_FLAG_TXID,
     AT(txid),
     .value = "TXID",
     .doc = "The state right after this transaction id (hex)."},
    {.name = "timestamp",
     .kind = HF_FLAG_TIME_MS,
     AT(timestamp_ms),
     .value = "TIME",
     .doc = "The last state not after this time (RFC 3339). How fine it is depends on what "
            "retention has left: `ltx -level all` shows it."},
    {.name = "force",
     .kind = HF_FLAG_BOOL,
     AT(force),
     .doc = "Replace an existing database together with its -wal, -shm and -journal."},
    {.name = "if-db-not-exists",
     .kind = HF_FLAG_BOOL,
     AT(if_db_not_exists),
     .doc = "Do nothing and succeed if the database is there already."},
    {.name = "if-replica-exists",
     .kind = HF_FLAG_BOOL,
     AT(if_replica_exists),
     .doc = "Do nothing and succeed if there is no backup."},
    {.name = "dry-run",
     .kind = HF_FLAG_BOOL,
     AT(dry_run),
     .doc = "Show which files would be read; write nothing."},
    {.name = "integrity-check",
     .kind = HF_FLAG_ENUM,
     AT(integrity),
     .words = integrity_words,
     .value = "none|quick|full",
     .def = "none",
     .doc = "Let SQLite check the copy before it gets its name. Every checksum of the replica is "
            "verified in any case."},
    {.name = "f",
     .kind = HF_FLAG_BOOL,
     AT(follow),
     .doc = "Follow: restore, or resume an earlier copy, then keep applying new transactions "
            "until stopped. Programs may read the copy meanwhile."},
    {.name = "follow-interval",
     .kind = HF_FLAG_NS,
     AT(follow_interval_ns),
     .value = "DURATION",
     .def = "1s",
     .doc = "Longest time between two looks when following; replicas on files are "
            "watched and followed at once."},
    {.name = "parallelism",
     .kind = HF_FLAG_INT,
     AT(parallelism),
     .value = "N",
     .def = "8",
     .min = 1,
     .max = 64,
     .doc = "Requests to a server at once, 8 at most; 1 also decodes and writes on one thread. "
            "With -all: databases restored at a time, each with two requests at once."},
    {.name = "json",
     .kind = HF_FLAG_BOOL,
     AT(json),
     .doc = "As JSON, schema holdfast.restore/1 (holdfast.restore-plan/1 with -dry-run; "
            "holdfast.restore-all/1 with -all, one line a second with -f)."},
    {.name = "all",
     .kind = HF_FLAG_BOOL,
     AT(all),
     .doc = "Every database of the configuration, several at a time; with -f all of them are "
            "followed by this one process. Directories are looked up in their replicas."},
    {.name = "tier",
     .kind = HF_FLAG_LIST,
     AT(tiers),
     .value = "TIER,...",
     .doc = "With -all: only the databases of these tiers, in this order."},
    {.name = "map",
     .kind = HF_FLAG_LIST,
     AT(maps),
     .value = "/FROM=/TO,...",
     .doc = "With -all: databases below /FROM go below /TO. The longest /FROM that fits counts."},
    HF_CONFIG_FLAGS(struct options, config),
    {.name = "replica",
     .kind = HF_FLAG_STRING,
     AT(replica),
     .value = "NAME",
     .doc = "Only the replica of this name. Without it the freshest of the database's replicas, "
            "and the next one if that fails."},
    {.name = "generation",
     .kind = HF_FLAG_STRING,
     AT(generation),
     .value = "ID",
     .doc = "For replicas of Litestream 0.3: only this generation."},
    {.name = "index",
     .kind = HF_FLAG_STRING,
     AT(index),
     .value = "HEX",
     .doc = "For replicas of Litestream 0.3: WAL files up to this index."},
};

/* ---- stopping ---- */

/* Set by SIGINT and SIGTERM; a restore then removes what it has written, following ends. */
static struct {
    volatile sig_atomic_t is_asked;
    struct hf_follow *follow;
} stop;

static void on_signal(int number)
{
    (void)number;
    stop.is_asked = 1;
    if (stop.follow != NULL)
        hf_follow_stop(stop.follow);
}

static void catch_signals(void)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_signal;
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

/* ---- options ---- */

static enum hf_code check_options(const struct options *o, struct hf_err *err)
{
    bool has_time = o->timestamp_ms != INT64_MIN;
    if (o->txid != 0 && has_time)
        return hf_err_set(err, HF_E_INVALID, "cannot specify both -txid and -timestamp");
    if (o->follow && (o->txid != 0 || has_time))
        return hf_err_set(err, HF_E_INVALID, "cannot use follow mode with -txid or -timestamp");
    if (o->follow && (o->dry_run || o->generation != NULL || o->index != NULL))
        return hf_err_set(err, HF_E_INVALID,
                          "cannot use follow mode with -dry-run, -generation or -index");
    if (o->follow && o->follow_interval_ns < 1000000)
        return hf_err_set(err, HF_E_INVALID, "-follow-interval is less than 1ms");
    if (o->txid != 0 && (o->generation != NULL || o->index != NULL))
        return hf_err_set(err, HF_E_INVALID, "generations of Litestream 0.3 have no TXIDs");
    return HF_OK;
}

static enum hf_code fill(const struct options *o, const char *output, struct hf_restore_options *r,
                         struct hf_err *err)
{
    *r = (struct hf_restore_options){.output = output,
                                     .integrity = (enum hf_integrity)o->integrity,
                                     .is_force = o->force,
                                     .parallelism = (int)o->parallelism,
                                     .generation = o->generation};
    if (o->txid != 0)
        r->target = (struct hf_restore_target){HF_TARGET_TXID, o->txid, 0};
    else if (o->timestamp_ms != INT64_MIN)
        r->target = (struct hf_restore_target){HF_TARGET_TIME, 0, o->timestamp_ms};
    if (o->index == NULL)
        return HF_OK;
    size_t len = strspn(o->index, "0123456789abcdefABCDEF");
    if (len == 0 || len > 8 || o->index[len] != '\0')
        return hf_err_set(err, HF_E_INVALID, "-index: '%.40s' is not a hex number of 8 digits",
                          o->index);
    r->has_index = true;
    r->index = (uint32_t)strtoul(o->index, NULL, 16);
    return HF_OK;
}

/* ---- which replica ---- */

struct candidate {
    const struct hf_cmd_source *source;
    struct hf_restore_plan plan;
    enum hf_code code; /* of planning */
    struct hf_err err;
    bool is_used;
};

struct call {
    const struct options *options;
    struct hf_restore_options restore;
    struct hf_cmd_target target;
    struct candidate candidates[SOURCES_MAX];
    size_t n;
    struct hf_progress bar;
    bool has_bar;
};

static void plan_all(struct call *c)
{
    c->n = c->target.n < SOURCES_MAX ? c->target.n : SOURCES_MAX;
    for (size_t i = 0; i < c->n; i++) {
        struct candidate *k = &c->candidates[i];
        k->source = &c->target.sources[i];
        k->code = hf_restore_plan_make(k->source->replica, &c->restore, &k->plan, &k->err);
        /* An empty place and a place that is not there are told apart for people. */
        if (k->code == HF_E_NOT_FOUND && hf_cmd_source_check(k->source, &k->err) != HF_OK)
            k->code = k->err.code;
    }
}

/* Later is fresher; the first configured of equals. */
static bool is_fresher(const struct candidate *a, const struct candidate *b)
{
    if (!a->plan.is_v3 && !b->plan.is_v3 && a->plan.txid != b->plan.txid)
        return a->plan.txid > b->plan.txid;
    return a->plan.time_ms > b->plan.time_ms;
}

static struct candidate *next_candidate(struct call *c)
{
    struct candidate *best = NULL;
    for (size_t i = 0; i < c->n; i++) {
        struct candidate *k = &c->candidates[i];
        if (k->code != HF_OK || k->is_used)
            continue;
        if (best == NULL || is_fresher(k, best))
            best = k;
    }
    if (best != NULL)
        best->is_used = true;
    return best;
}

/* No replica can be used: the most telling of their errors. */
static enum hf_code no_candidate(const struct call *c, struct hf_err *err)
{
    const struct candidate *worst = &c->candidates[0];
    for (size_t i = 1; i < c->n; i++) {
        if (worst->code == HF_E_NOT_FOUND && c->candidates[i].code != HF_E_NOT_FOUND)
            worst = &c->candidates[i];
    }
    *err = worst->err;
    return worst->code;
}

/* ---- output ---- */

static enum hf_code print_plan_json(const struct call *c, const struct candidate *k,
                                    struct hf_err *err)
{
    struct hf_out_json o;
    char text[HF_TIME_TEXT];
    char name[HF_LTX_NAME_SIZE];
    hf_out_json_begin(&o, "holdfast.restore-plan/1");
    hf_json_kstr(&o.j, "source", hf_replica_name(k->source->replica));
    hf_json_kstr(&o.j, "target_path", c->restore.output);
    hf_json_kstr(&o.j, "replica", k->source->name);
    hf_json_kstr(&o.j, "format", k->plan.is_v3 ? "0.3" : "ltx");
    hf_json_ktxid(&o.j, "max_txid", k->plan.txid);
    hf_clock_format(k->plan.time_ms, text);
    hf_json_kstr(&o.j, "timestamp", text);
    hf_json_ku64(&o.j, "bytes", k->plan.bytes);
    hf_json_key(&o.j, "files");
    hf_json_array_begin(&o.j);
    for (size_t i = 0; i < k->plan.files.len; i++) {
        const struct hf_ltx_info *f = &k->plan.files.items[i];
        hf_clock_format(f->time_ms, text);
        hf_ltx_name_format(f->min_txid, f->max_txid, name);
        hf_json_object_begin(&o.j);
        hf_json_ki64(&o.j, "level", f->level);
        hf_json_kstr(&o.j, "name", name);
        hf_json_ktxid(&o.j, "min_txid", f->min_txid);
        hf_json_ktxid(&o.j, "max_txid", f->max_txid);
        hf_json_ku64(&o.j, "size", f->size);
        hf_json_kstr(&o.j, "timestamp", text);
        hf_json_object_end(&o.j);
    }
    hf_json_array_end(&o.j);
    return hf_out_json_end(&o, err);
}

static enum hf_code print_plan_v3(const struct hf_v3_plan *p, struct hf_err *err)
{
    HF_TRY(hf_out_print(err, "  generation: %s (Litestream 0.3)\n\nFiles to fetch:\n  %s\n",
                        p->generation, p->snapshot));
    for (size_t i = 0; i < p->len; i++)
        HF_TRY(hf_out_print(err, "  %s\n", p->segments[i].object));
    return HF_OK;
}

static enum hf_code print_plan_table(const struct hf_ltx_list *files, struct hf_err *err)
{
    struct hf_table t;
    char text[HF_TIME_TEXT];
    char name[HF_LTX_NAME_SIZE];
    static const char *const heads[] = {"level",    "file", "min_txid",
                                        "max_txid", "size", "timestamp"};
    hf_table_init(&t, HF_ARRAY_LEN(heads));
    for (size_t i = 0; i < HF_ARRAY_LEN(heads); i++)
        hf_table_cell(&t, heads[i]);
    for (size_t i = 0; i < files->len; i++) {
        const struct hf_ltx_info *f = &files->items[i];
        hf_clock_format(f->time_ms, text);
        hf_ltx_name_format(f->min_txid, f->max_txid, name);
        hf_table_cellf(&t, "%d", f->level);
        hf_table_cell(&t, name);
        hf_table_cellf(&t, "%016llx", (unsigned long long)f->min_txid);
        hf_table_cellf(&t, "%016llx", (unsigned long long)f->max_txid);
        hf_table_cellf(&t, "%llu", (unsigned long long)f->size);
        hf_table_cell(&t, text);
    }
    enum hf_code rc = hf_table_print(&t, err);
    hf_table_deinit(&t);
    return rc;
}

static enum hf_code print_plan(const struct call *c, const struct candidate *k, struct hf_err *err)
{
    if (c->options->json)
        return print_plan_json(c, k, err);
    char size[HF_SIZE_TEXT];
    char text[HF_TIME_TEXT];
    hf_size_format(k->plan.bytes, size);
    hf_clock_format(k->plan.time_ms, text);
    HF_TRY(hf_out_print(err,
                        "Restore plan:\n  source: %s\n  target: %s\n  replica: %s\n"
                        "  state of: %s\n  to read: %s\n",
                        hf_replica_name(k->source->replica), c->restore.output, k->source->name,
                        text, size));
    if (k->plan.is_v3)
        return print_plan_v3(&k->plan.v3, err);
    HF_TRY(hf_out_print(err, "  txid range: %016llx - %016llx\n\nFiles to fetch:\n",
                        (unsigned long long)k->plan.files.items[0].min_txid,
                        (unsigned long long)k->plan.txid));
    return print_plan_table(&k->plan.files, err);
}

static enum hf_code print_result(const struct call *c, const struct candidate *k,
                                 const struct hf_restore_result *r, struct hf_err *err)
{
    char time[HF_TIME_TEXT];
    char size[HF_SIZE_TEXT];
    hf_clock_format(r->time_ms, time);
    hf_size_format(r->bytes, size);
    if (!c->options->json && r->is_v3)
        return hf_out_print(err, "restored %s as of %s: %s in %.2f s\n", c->restore.output, time,
                            size, r->seconds);
    if (!c->options->json)
        return hf_out_print(err, "restored %s as of %s, TXID %016llx: %s in %.2f s\n",
                            c->restore.output, time, (unsigned long long)r->txid, size, r->seconds);
    struct hf_out_json o;
    hf_out_json_begin(&o, "holdfast.restore/1");
    hf_json_kstr(&o.j, "db_path", c->restore.output);
    hf_json_kstr(&o.j, "replica", k->source->name);
    hf_json_kstr(&o.j, "url", hf_replica_name(k->source->replica));
    hf_json_kstr(&o.j, "format", r->is_v3 ? "0.3" : "ltx");
    hf_json_ktxid(&o.j, "txid", r->txid);
    hf_json_kstr(&o.j, "timestamp", time);
    hf_json_ku64(&o.j, "bytes", r->bytes);
    hf_json_ku64(&o.j, "pages", r->pages);
    hf_json_ku64(&o.j, "read_bytes", r->read_bytes);
    hf_json_ku64(&o.j, "duration_ms", (uint64_t)(r->seconds * 1000));
    hf_json_kstr(&o.j, "integrity_check", integrity_words[c->options->integrity]);
    return hf_out_json_end(&o, err);
}

static bool show_progress(void *arg, const struct hf_restore_progress *p)
{
    struct call *c = arg;
    if (!c->has_bar)
        hf_progress_init(&c->bar, "restore", p->total);
    c->has_bar = true;
    hf_progress_set(&c->bar, p->done);
    return !stop.is_asked;
}

/* ---- doing it ---- */

static enum hf_code restore_from(struct call *c, const struct candidate *k,
                                 struct hf_restore_result *res, struct hf_err *err)
{
    c->has_bar = false;
    enum hf_code rc = hf_restore_run(k->source->replica, &c->restore, res, err);
    if (c->has_bar)
        hf_progress_end(&c->bar);
    return rc;
}

/* A replica that turns out damaged is not the end if there is another. */
static bool is_worth_another(enum hf_code rc)
{
    return rc == HF_E_CORRUPT || rc == HF_E_IO || rc == HF_E_NOT_FOUND || rc == HF_E_DENIED ||
           rc == HF_E_TIMEOUT || rc == HF_E_UNSUPPORTED;
}

/* Another one is used: say which could not be. */
static void tell_left_out(const struct call *c)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct candidate *k = &c->candidates[i];
        if (k->code != HF_OK)
            fprintf(stderr, "holdfast restore: warning: replica %s is left out: %s\n",
                    k->source->name, k->err.text);
    }
    if (c->target.skipped.code != HF_OK)
        fprintf(stderr, "holdfast restore: warning: a replica is left out: %s\n",
                c->target.skipped.text);
}

static enum hf_code restore_once(struct call *c, struct hf_err *err)
{
    struct candidate *k = next_candidate(c);
    if (k == NULL)
        return no_candidate(c, err);
    tell_left_out(c);
    if (c->options->dry_run)
        return print_plan(c, k, err);
    for (;;) {
        struct hf_restore_result res;
        enum hf_code rc = restore_from(c, k, &res, err);
        if (rc == HF_OK)
            return print_result(c, k, &res, err);
        k = is_worth_another(rc) ? next_candidate(c) : NULL;
        if (k == NULL)
            return rc;
        fprintf(stderr, "holdfast restore: warning: %s; trying replica %s\n", err->text,
                k->source->name);
        hf_err_reset(err);
    }
}

static enum hf_code follow_base(void *arg, const char *path, uint64_t *txid, struct hf_err *err)
{
    struct call *c = arg;
    struct hf_restore_result res;
    struct hf_restore_options o = c->restore;
    o.output = path;
    o.is_force = false;
    c->has_bar = false;
    enum hf_code rc = hf_restore_run(c->candidates[0].source->replica, &o, &res, err);
    if (c->has_bar)
        hf_progress_end(&c->bar);
    if (rc == HF_OK)
        *txid = res.txid;
    return rc;
}

static enum hf_code follow(struct call *c, struct hf_err *err)
{
    struct candidate *k = next_candidate(c);
    if (k == NULL)
        return no_candidate(c, err);
    tell_left_out(c);
    if (k->plan.is_v3)
        return hf_err_set(err, HF_E_UNSUPPORTED, "%s: replicas of Litestream 0.3 can't be followed",
                          hf_replica_name(k->source->replica));
    c->candidates[0].source = k->source;
    uint64_t interval_ms = (uint64_t)c->options->follow_interval_ns / 1000000;
    struct hf_follow_options o = {.replica = k->source->replica,
                                  .path = c->restore.output,
                                  .interval_ms = interval_ms,
                                  .is_forced = c->options->force,
                                  .base = follow_base,
                                  .base_arg = c};
    struct hf_follow *f = NULL;
    HF_TRY(hf_follow_open(&o, &f, err));
    stop.follow = f;
    struct hf_follow_status st;
    hf_follow_status(f, &st);
    hf_log(HF_LOG_INFO, "following", HF_F_STR("db", c->restore.output),
           HF_F_STR("replica", hf_replica_name(k->source->replica)), HF_F_TXID("txid", st.txid),
           HF_F_END);
    enum hf_code rc = stop.is_asked ? HF_OK : hf_follow_run(f, err);
    hf_follow_status(f, &st);
    hf_log(HF_LOG_INFO, "follow-stopped", HF_F_STR("db", c->restore.output),
           HF_F_TXID("txid", st.txid), HF_F_U64("files", st.files), HF_F_END);
    stop.follow = NULL;
    hf_follow_close(f);
    return rc;
}

/* True: one of the -if flags says there is nothing to do. */
static bool is_skipped(const struct options *o, enum hf_code rc, const char *output)
{
    if (o->if_db_not_exists && !o->follow && hf_path_exists(output)) {
        fputs("database already exists, skipping\n", stderr);
        return true;
    }
    if (o->if_replica_exists && rc == HF_E_NOT_FOUND) {
        fputs("no matching backups found, skipping\n", stderr);
        return true;
    }
    return false;
}

static enum hf_code prepare(struct call *c, const char *arg, struct hf_err *err)
{
    const struct options *o = c->options;
    HF_TRY(hf_cmd_target_open(&o->config, arg, o->replica, &c->target, err));
    const char *output = o->output != NULL ? o->output : c->target.db_path;
    if (output == NULL) {
        hf_err_set(err, HF_E_INVALID, "-o is required when restoring from a replica URL");
        hf_err_hint(err, "holdfast restore -o /path/to/db %s", arg);
        return HF_E_INVALID;
    }
    if (c->target.skipped.code != HF_OK)
        fprintf(stderr, "holdfast restore: warning: a replica is left out: %s\n",
                c->target.skipped.text);
    HF_TRY(fill(o, output, &c->restore, err));
    c->restore.progress = show_progress;
    c->restore.progress_arg = c;
    return HF_OK;
}

static enum hf_code carry_out(struct call *c, struct hf_err *err)
{
    if (is_skipped(c->options, HF_OK, c->restore.output))
        return HF_OK;
    catch_signals();
    plan_all(c);
    enum hf_code rc = c->options->follow ? follow(c, err) : restore_once(c, err);
    if (rc != HF_OK && is_skipped(c->options, rc, c->restore.output))
        rc = HF_OK;
    return rc;
}

static enum hf_code check_all(const struct hf_run *run, const struct options *o, struct hf_err *err)
{
    if (run->n_args > 0)
        return hf_err_set(err, HF_E_INVALID, "-all takes no database or URL: %.200s", run->args[0]);
    if (o->output != NULL) {
        hf_err_set(err, HF_E_INVALID, "-o is for one database");
        hf_err_hint(err, "with -all, -map /var/lib=%s says where databases go", o->output);
        return HF_E_INVALID;
    }
    if (o->txid != 0 || o->generation != NULL || o->index != NULL)
        return hf_err_set(err, HF_E_INVALID,
                          "-txid, -generation and -index are for one database; -timestamp goes "
                          "with -all");
    return HF_OK;
}

static enum hf_code restore_all(const struct hf_run *run, const struct options *o,
                                struct hf_err *err)
{
    HF_TRY(check_all(run, o, err));
    struct hf_cmd_restore_all c = {
        .fleet = {&o->config, &o->tiers, &o->maps, o->replica},
        .standby = {.integrity = (enum hf_integrity)o->integrity,
                    .is_force = o->force,
                    .is_follow = o->follow,
                    .is_dry_run = o->dry_run,
                    .if_db_not_exists = o->if_db_not_exists,
                    .if_replica_exists = o->if_replica_exists,
                    .parallelism = (int)o->parallelism,
                    .interval_ms = (uint64_t)o->follow_interval_ns / 1000000},
        .is_json = o->json,
    };
    if (o->timestamp_ms != INT64_MIN)
        c.standby.target = (struct hf_restore_target){HF_TARGET_TIME, 0, o->timestamp_ms};
    return hf_cmd_restore_all(&c, err);
}

static enum hf_code run_restore(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    HF_TRY(check_options(o, err));
    if (o->all)
        return restore_all(run, o, err);
    if (o->tiers.n > 0 || o->maps.n > 0)
        return hf_err_set(err, HF_E_INVALID, "-tier and -map go with -all");
    if (run->n_args == 0) {
        hf_err_set(err, HF_E_INVALID, "database path or replica URL required");
        hf_err_hint(err, "holdfast restore -o /path/to/db file:///var/backups/app");
        return HF_E_INVALID;
    }
    struct call *c = hf_calloc(1, sizeof(*c));
    c->options = o;
    enum hf_code rc = prepare(c, run->args[0], err);
    if (rc == HF_OK)
        rc = carry_out(c, err);
    for (size_t i = 0; i < c->n; i++) {
        if (c->candidates[i].code == HF_OK)
            hf_restore_plan_deinit(&c->candidates[i].plan);
    }
    hf_cmd_target_close(&c->target);
    hf_free(c);
    return rc;
}

static const struct hf_example examples[] = {
    {"holdfast restore /var/lib/app.db", "the newest state, to where the configuration has it"},
    {"holdfast restore -o /tmp/copy.db file:///var/backups/app", "out of a replica, elsewhere"},
    {"holdfast restore -timestamp 2026-11-22T10:00:00Z -o copy.db /var/lib/app.db",
     "as it was at ten"},
    {"holdfast restore -f -o /srv/standby.db file:///mnt/backups/app", "a copy that stays current"},
    {"holdfast restore -all -f -map /var/lib=/srv/standby", "a warm standby of every database"},
    {NULL, NULL},
};

const struct hf_command hf_cmd_restore = {
    .name = "restore",
    .group = "Protect",
    .summary = "restore a database from its replica",
    .args = "DB_PATH | REPLICA_URL | -all",
    .max_args = 1,
    .flags = flags,
    .n_flags = HF_ARRAY_LEN(flags),
    .options_size = sizeof(struct options),
    .examples = examples,
    .run = run_restore,
    .doc = "Writes the database beside its final name, verifies every checksum on the way, and "
           "renames it: a failed restore leaves what was there. Replicas of Litestream 0.5 and 0.3 "
           "are understood.",
    .exits = "3: no backup there; 4: the database exists already; 5: the replica is damaged; "
             "10: the TXID or time is outside what is kept. With -all: that of the first database "
             "that failed; the message names them.",
};
