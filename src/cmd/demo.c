/*
 * holdfast demo: a database outlives its machine, in half a minute and one temporary folder.
 *
 * All roles are separate processes, as in earnest: the program that writes, `holdfast replicate`
 * and `holdfast restore -f` (this binary again). Only the demo knows of all of them.
 */
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cmd/demo.h"
#include "cmd/out.h"
#include "cmd/rows.h"
#include "os/file.h"
#include "os/loop.h"
#include "replica/follow_state.h"

enum {
    POLL_US = 5000,
    START_MS = 15000,   /* for each of the three to get going */
    CATCH_UP_MS = 3000, /* for the standby to reach the end of the replica */
    FOLLOWER_STOP_MS = 1000,
    PRIMARY_BUSY_MS = 2000,
    LOG_MAX = 1 << 20, /* of a child's output, when it is read for its last line */
};

static const char *const break_words[] = {"nothing", "stall", "gap", "edit", NULL};

#define AT(member) .offset = offsetof(struct hf_demo_options, member)

static const struct hf_flag flags[] = {
    {.name = "seconds",
     .kind = HF_FLAG_INT,
     AT(seconds),
     .value = "N",
     .def = "10",
     .min = 1,
     .max = HF_DEMO_SECONDS_MAX,
     .marks = HF_FLAG_OURS,
     .doc = "How long the primary is watched before it is killed."},
    {.name = "rate",
     .kind = HF_FLAG_INT,
     AT(rate),
     .value = "N",
     .def = "300",
     .min = 1,
     .max = HF_DEMO_RATE_MAX,
     .marks = HF_FLAG_OURS,
     .doc = "Commits a second of the program."},
    {.name = "sync-interval",
     .kind = HF_FLAG_NS,
     AT(sync_interval_ns),
     .value = "DURATION",
     .def = "1s",
     .marks = HF_FLAG_OURS,
     .doc = "Shortest time between two uploads: what may be lost."},
    {.name = "keep",
     .kind = HF_FLAG_BOOL,
     AT(keep),
     .marks = HF_FLAG_OURS,
     .doc = "Leave the folder with databases, replica and logs."},
    {.name = "dir",
     .kind = HF_FLAG_STRING,
     AT(dir),
     .value = "DIR",
     .marks = HF_FLAG_OURS,
     .doc = "Make the folder in this directory, not in TMPDIR or /tmp."},
    {.name = "json",
     .kind = HF_FLAG_BOOL,
     AT(json),
     .marks = HF_FLAG_OURS,
     .doc = "Only the result, as JSON on stdout, schema holdfast.demo/1."},
    {.name = "break",
     .kind = HF_FLAG_ENUM,
     AT(sabotage),
     .words = break_words,
     .def = "nothing",
     .value = "WHAT",
     .marks = HF_FLAG_OURS | HF_FLAG_HIDDEN,
     .doc = "Break a promise on purpose, for tests."},
};

/* ---- stopping ---- */

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_signal;
    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < HF_ARRAY_LEN(numbers); i++)
        sigaction(numbers[i], &sa, NULL);
}

enum hf_code hf_demo_check_signals(struct hf_err *err)
{
    if (stop_signal == 0)
        return HF_OK;
    return hf_err_set(err, HF_E_CANCELED, "stopped; everything it had started is stopped, too");
}

/* The last line of a child's output, for an error's text. */
static void last_line(const char *path, char *out, size_t size)
{
    char *text = NULL;
    size_t len = 0;
    out[0] = '\0';
    if (hf_path_read(path, LOG_MAX, &text, &len, NULL) != HF_OK)
        return;
    while (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    const char *line = strrchr(text, '\n');
    snprintf(out, size, "%s", line != NULL ? line + 1 : text);
    hf_free(text);
}

static enum hf_code check_child(struct hf_demo *d, struct hf_child *c, const char *name,
                                struct hf_err *err)
{
    char how[HF_CHILD_TEXT];
    char line[300];
    if (c->pid == 0 || hf_child_is_running(c))
        return HF_OK;
    HF_AUTO_FREE char *log = hf_asprintf("%s/%s.log", d->path.root, name);
    hf_child_describe(c, how);
    last_line(log, line, sizeof(line));
    return hf_err_set(err, HF_E_INTERNAL, "%s ended by itself (%s): %s", name, how, line);
}

enum hf_code hf_demo_check(struct hf_demo *d, struct hf_err *err)
{
    HF_TRY(hf_demo_check_signals(err));
    HF_TRY(check_child(d, &d->writer, "writer", err));
    HF_TRY(check_child(d, &d->replicator, "replicate", err));
    return check_child(d, &d->follower, "follow", err);
}

/* ---- the folder ---- */

static void name_paths(struct hf_demo *d, char *take_root)
{
    struct hf_demo_paths *p = &d->path;
    p->root = take_root;
    p->primary = hf_path_join(p->root, "primary");
    p->db = hf_path_join(p->primary, "app.db");
    p->wal = hf_path_join(p->primary, "app.db-wal");
    p->replica = hf_path_join(p->root, "replica");
    p->url = hf_asprintf("file://%s", p->replica);
    p->standby = hf_path_join(p->root, "standby");
    p->copy = hf_path_join(p->standby, "app.db");
    p->gone = hf_path_join(p->root, "primary-is-gone");
    p->gone_db = hf_path_join(p->gone, "app.db");
    p->then = hf_path_join(p->root, "earlier.db");
    p->acks = hf_path_join(p->root, "acknowledged");
}

static void free_paths(struct hf_demo_paths *p)
{
    char **all[] = {&p->root,    &p->primary, &p->db,   &p->wal,     &p->replica, &p->url,
                    &p->standby, &p->copy,    &p->gone, &p->gone_db, &p->then,    &p->acks};
    for (size_t i = 0; i < HF_ARRAY_LEN(all); i++)
        hf_free(*all[i]);
}

static enum hf_code make_folder(struct hf_demo *d, struct hf_err *err)
{
    const char *tmp = getenv("TMPDIR");
    const char *parent = d->o.dir != NULL ? d->o.dir : tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp";
    struct hf_file_stat st;
    HF_AUTO_FREE char *absolute = NULL;
    HF_TRY(hf_path_absolute(parent, &absolute, err));
    HF_TRY(hf_path_stat(absolute, &st, err));
    if (!st.is_dir)
        return hf_err_set(err, HF_E_INVALID, "%s is not a directory", absolute);
    char *root = hf_path_join(absolute, "holdfast-demo-XXXXXX");
    if (mkdtemp(root) == NULL) {
        hf_free(root);
        return hf_err_set(err, HF_E_IO, "cannot make a folder in %s", absolute);
    }
    name_paths(d, root);
    HF_TRY(hf_path_mkdirs(d->path.primary, 0700, err));
    return hf_path_mkdirs(d->path.standby, 0700, err);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

/* mkdtemp made it, so all of it is ours; links are not followed. */
static void remove_folder(struct hf_demo *d)
{
    if (d->path.root == NULL || d->o.keep)
        return;
    if (nftw(d->path.root, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        fprintf(stderr, "holdfast demo: cannot remove all of %s\n", d->path.root);
}

/* ---- starting the three ---- */

typedef bool ready_fn(struct hf_demo *d);

static enum hf_code wait_for(struct hf_demo *d, ready_fn *is_ready, const char *what,
                             struct hf_err *err)
{
    uint64_t end = hf_clock_mono_ms() + START_MS;
    while (!is_ready(d)) {
        HF_TRY(hf_demo_check(d, err));
        if (hf_clock_mono_ms() > end)
            return hf_err_set(err, HF_E_TIMEOUT, "%s: not within %d s", what, START_MS / 1000);
        hf_clock_sleep_us(POLL_US);
    }
    return HF_OK;
}

static bool is_acknowledging(struct hf_demo *d)
{
    uint64_t seq = 0;
    int64_t ms = 0;
    return hf_demo_acks_read(d->path.acks, &seq, &ms, NULL) == HF_OK && seq > 0;
}

static bool is_replicated(struct hf_demo *d)
{
    uint64_t txid = 0;
    return hf_replica_position(d->replica, &txid, NULL) == HF_OK && txid > 0;
}

static bool is_standby_there(struct hf_demo *d)
{
    struct hf_conn *c = NULL;
    uint64_t seq = 0;
    int64_t ms = 0;
    if (hf_conn_open(d->path.copy, HF_CONN_READ, 0, &c, NULL) != HF_OK)
        return false;
    bool is_there = hf_demo_newest(c, &seq, &ms, NULL) == HF_OK;
    hf_conn_close(c);
    return is_there;
}

static enum hf_code start(struct hf_demo *d, const char *const *argv, const char *name,
                          struct hf_child *out, struct hf_err *err)
{
    HF_AUTO_FREE char *log = hf_asprintf("%s/%s.log", d->path.root, name);
    struct hf_demo_app app = {d->path.db, d->path.acks, d->o.rate};
    struct hf_child_spec spec = {.argv = argv, .output = log};
    if (argv == NULL) {
        spec.run = hf_demo_app_run;
        spec.arg = &app;
    }
    return hf_child_start(&spec, out, err);
}

static enum hf_code start_writer(struct hf_demo *d, struct hf_err *err)
{
    hf_demo_step(
        d, 1,
        "A program writes to primary/app.db: %lld small transactions a second. It knows "
        "SQLite and nothing of Holdfast. What SQLite has committed counts as acknowledged.",
        (long long)d->o.rate);
    HF_TRY(start(d, NULL, "writer", &d->writer, err));
    return wait_for(d, is_acknowledging, "the program's first commit", err);
}

static enum hf_code start_replicator(struct hf_demo *d, struct hf_err *err)
{
    char interval[HF_DURATION_TEXT];
    hf_duration_format(d->o.sync_interval_ns, interval);
    const char *const argv[] = {d->exe,      "replicate", "--sync-interval", interval, d->path.db,
                                d->path.url, NULL};
    hf_demo_step(
        d, 2,
        "`holdfast replicate primary/app.db file://.../replica` ships what is committed, at most "
        "once per sync-interval (%s).",
        interval);
    HF_TRY(hf_store_open(d->path.url, &d->store, err));
    HF_TRY(hf_replica_new(d->store, "", &d->replica, err));
    HF_TRY(start(d, argv, "replicate", &d->replicator, err));
    return wait_for(d, is_replicated, "the first file in the replica", err);
}

static enum hf_code start_follower(struct hf_demo *d, struct hf_err *err)
{
    const char *const argv[] = {d->exe, "restore", "-f", "-o", d->path.copy, d->path.url, NULL};
    hf_demo_step(d, 3,
                 "`holdfast restore -f -o standby/app.db file://.../replica` keeps a warm copy "
                 "that follows. "
                 "Here it is a folder; in earnest, another machine.");
    HF_TRY(start(d, argv, "follow", &d->follower, err));
    return wait_for(d, is_standby_there, "the standby's first readable state", err);
}

/* ---- the death, and taking over ---- */

static enum hf_code kill_primary(struct hf_demo *d, struct hf_err *err)
{
    hf_child_kill(&d->writer);
    hf_child_kill(&d->replicator);
    HF_TRY(hf_path_rename(d->path.primary, d->path.gone, err));
    return hf_demo_acks_read(d->path.acks, &d->facts.acked, &d->facts.acked_ms, err);
}

/* How far the copy is, from what the follower notes before each commit. */
static uint64_t standby_txid(struct hf_demo *d)
{
    struct hf_follow_state s;
    bool is_there = false;
    bool is_litestream = false;
    hf_follow_state_init(&s, d->path.copy, NULL);
    uint64_t txid = 0;
    if (hf_follow_state_load(&s, &is_there, &is_litestream, NULL) == HF_OK && is_there)
        txid = s.ceiling > s.floor ? s.ceiling : s.floor;
    hf_follow_state_deinit(&s);
    return txid;
}

/* Until everything in the replica is on the standby; a standby that does not get there is opened
 * all the same, and the promises tell. */
static enum hf_code catch_up(struct hf_demo *d, struct hf_err *err)
{
    uint64_t end = hf_clock_mono_ms() + CATCH_UP_MS;
    uint64_t txid = 0;
    HF_TRY(hf_replica_position(d->replica, &txid, err));
    while (standby_txid(d) < txid && hf_clock_mono_ms() < end) {
        HF_TRY(hf_demo_check_signals(err));
        hf_clock_sleep_us(POLL_US);
    }
    return HF_OK;
}

static void count_losses(struct hf_demo_facts *f)
{
    if (f->standby_seq >= f->acked)
        return;
    f->lost = f->acked - f->standby_seq;
    f->lost_ms = f->acked_ms > f->standby_ms ? f->acked_ms - f->standby_ms : 0;
}

/* Plain SQLite from here on: nothing of Holdfast is needed to go on. */
static enum hf_code promote(struct hf_demo *d, struct hf_conn **out, struct hf_err *err)
{
    struct hf_demo_facts *f = &d->facts;
    (void)hf_child_stop(&d->follower, FOLLOWER_STOP_MS);
    HF_TRY(hf_conn_open(d->path.copy, HF_CONN_WRITE, PRIMARY_BUSY_MS, out, err));
    enum hf_code rc = hf_demo_newest(*out, &f->standby_seq, &f->standby_ms, err);
    if (rc == HF_OK)
        rc = hf_demo_app_commit(*out, f->standby_seq + 1, err);
    return rc == HF_OK ? HF_OK : hf_err_wrap(err, "opening the standby for writing");
}

static enum hf_code sabotage(struct hf_demo *d, struct hf_conn *c, struct hf_err *err)
{
    int64_t victim = (int64_t)(d->facts.standby_seq / 2);
    struct hf_conn_query q = {"DELETE FROM orders WHERE seq = ?1", &victim, 1, NULL, 0};
    if (d->o.sabotage == HF_DEMO_EDIT)
        q.sql = "UPDATE orders SET note = 'x' WHERE seq = ?1";
    bool is_asked = d->o.sabotage == HF_DEMO_GAP || d->o.sabotage == HF_DEMO_EDIT;
    return is_asked ? hf_conn_query(c, &q, err) : HF_OK;
}

static enum hf_code fail_over(struct hf_demo *d, struct hf_conn **c, struct hf_err *err)
{
    struct hf_demo_facts *f = &d->facts;
    hf_demo_step(d, 4,
                 "The primary dies: kill -9 for the program and for holdfast beside it, and "
                 "its folder is gone.");
    uint64_t start_ns = hf_clock_mono_ns();
    HF_TRY(kill_primary(d, err));
    HF_TRY(catch_up(d, err));
    f->catch_up_ms = (double)(hf_clock_mono_ns() - start_ns) / 1e6;
    HF_TRY(promote(d, c, err));
    f->rto_ms = (double)(hf_clock_mono_ns() - start_ns) / 1e6;
    count_losses(f);
    hf_demo_step(d, 5,
                 "The standby takes over: it has all the replica has (%.2f s), the follower stops, "
                 "the copy is opened with plain SQLite. First commit there %.2f s after the kill.",
                 f->catch_up_ms / 1000, f->rto_ms / 1000);
    return sabotage(d, *c, err);
}

/* ---- the command ---- */

static enum hf_code tell_story(struct hf_demo *d, struct hf_conn **c, struct hf_err *err)
{
    HF_TRY(make_folder(d, err));
    hf_demo_say(d, "A database outlives its machine. All in one folder%s:\n    %s\n",
                d->o.keep ? "" : ", removed at the end", d->path.root);
    HF_TRY(start_writer(d, err));
    HF_TRY(start_replicator(d, err));
    HF_TRY(start_follower(d, err));
    HF_TRY(hf_demo_live(d, err));
    HF_TRY(fail_over(d, c, err));
    hf_demo_step(d, 6,
                 "Proof: the standby is held against the dead primary's folder, and a moment "
                 "before the end is restored from the replica.");
    hf_demo_prove_figures(d);
    hf_demo_prove_standby(d, *c);
    return hf_demo_prove_then(d, err);
}

static enum hf_code broken(const struct hf_demo *d, struct hf_err *err)
{
    char names[400] = "";
    for (size_t i = 0; i < d->n_promises; i++) {
        const struct hf_demo_promise *p = &d->promises[i];
        size_t len = strlen(names);
        if (!p->is_kept)
            snprintf(names + len, sizeof(names) - len, "%s%s (%s)", len > 0 ? "; " : "", p->name,
                     p->why);
    }
    hf_err_set(err, HF_E_INTERNAL, "broken: %s", names);
    hf_err_hint(err, d->o.keep ? "logs and databases are in %s" : "--keep leaves the logs",
                d->path.root);
    return HF_E_INTERNAL;
}

static enum hf_code report(struct hf_demo *d, struct hf_err *err)
{
    hf_demo_show_result(d);
    if (d->o.json)
        HF_TRY(hf_demo_print_json(d, err));
    return hf_demo_n_broken(d) == 0 ? HF_OK : broken(d, err);
}

static void clean_up(struct hf_demo *d, struct hf_conn *c)
{
    hf_child_kill(&d->writer);
    hf_child_kill(&d->replicator);
    hf_child_kill(&d->follower);
    hf_conn_close(c);
    hf_replica_free(d->replica);
    hf_store_close(d->store);
    hf_demo_live_end(d);
    remove_folder(d);
    free_paths(&d->path);
}

static enum hf_code run_demo(struct hf_run *run, struct hf_err *err)
{
    struct hf_demo *d = hf_calloc(1, sizeof(*d));
    struct hf_conn *c = NULL;
    d->o = *(const struct hf_demo_options *)run->options;
    d->facts.start_ms = hf_clock_mono_ms();
    hf_demo_show_init(&d->show, d->o.json);
    catch_signals();
    enum hf_code rc = hf_exe_path(d->exe, sizeof(d->exe), err);
    if (rc == HF_OK)
        rc = tell_story(d, &c, err);
    if (rc == HF_OK)
        rc = report(d, err);
    clean_up(d, c);
    hf_free(d);
    return rc;
}

static const struct hf_example examples[] = {
    {"holdfast demo", "the story, in about fifteen seconds"},
    {"holdfast demo --sync-interval 50ms", "with less to lose"},
    {"holdfast demo --json", "for a script: the figures and each promise"},
    {NULL, NULL},
};

const struct hf_command hf_cmd_demo = {
    .name = "demo",
    .group = "Look",
    .summary = "watch a database outlive its machine",
    .args = "",
    .flags = flags,
    .n_flags = HF_ARRAY_LEN(flags),
    .options_size = sizeof(struct hf_demo_options),
    .examples = examples,
    .run = run_demo,
    .doc =
        "In a temporary folder: a program writes to a database, `replicate` ships it, "
        "`restore -f` keeps a standby. Then program and holdfast are killed with kill -9, the "
        "primary's folder goes, and the standby is opened for writing. Time and commits lost are "
        "measured, and what is on the standby is held against the dead primary row for row.\n\n"
        "Promises: first commit on the standby within 5 s; at most sync-interval + 1 s lost; no "
        "gap, no difference, no damage; the primary's WAL at most 32 MB; an earlier moment can "
        "be restored. That the primary is dead is known here at once; noticing it is another "
        "matter, and not measured.",
    .exits = "70 if a promise was broken; the error names it. 14 after a signal.",
};
