/* holdfast replicate: follows the configured databases until it is told to stop. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cmd/common.h"
#include "cmd/heartbeat.h"
#include "cmd/rows.h"
#include "cmd/serve.h"
#include "cmd/trial.h"
#include "os/file.h"
#include "os/loop.h"
#include "replica/compact.h"
#include "replica/engine.h"
#include "replica/restore.h"

enum {
    SYNC_SLICE_MS = 200,
    TRIAL_MS = 2000, /* to hear whether services honour create-only puts, before anything starts */
    IMAGE_GRACE_MS = 10000, /* after an image for what was committed meanwhile */
};

struct options {
    struct hf_config_flags config;
    const char *exec;
    const char *log_level;
    bool once;
    bool force_snapshot;
    bool enforce_retention;
    bool restore_if_db_not_exists;
    int64_t sync_interval_ns;
    bool is_check;
};

#define OPT(name_, kind_, member, ...)                                                             \
    {                                                                                              \
        .name = (name_), .kind = (kind_), .offset = offsetof(struct options, member), __VA_ARGS__  \
    }

static const struct hf_flag flags[] = {
    HF_CONFIG_FLAGS(struct options, config),
    OPT("exec", HF_FLAG_STRING, exec, .value = "CMD",
        .doc = "Runs CMD while replicating; signals are passed on to it, and when it ends "
               "everything is synced and its exit code is ours."),
    OPT("once", HF_FLAG_BOOL, once, .doc = "Ships what is committed now and ends."),
    OPT("force-snapshot", HF_FLAG_BOOL, force_snapshot,
        .doc = "With -once: writes a snapshot even if none is due."),
    OPT("enforce-retention", HF_FLAG_BOOL, enforce_retention,
        .doc = "With -once: deletes what retention no longer keeps."),
    OPT("restore-if-db-not-exists", HF_FLAG_BOOL, restore_if_db_not_exists,
        .doc = "Restores a database that is missing from its replica before following it."),
    OPT("log-level", HF_FLAG_STRING, log_level, .value = "LEVEL",
        .doc = "debug, info, warn or error."),
    OPT("sync-interval", HF_FLAG_NS, sync_interval_ns, .value = "DURATION", .marks = HF_FLAG_OURS,
        .doc = "Overrides sync-interval of every replica."),
    OPT("config-validate", HF_FLAG_BOOL, is_check, .marks = HF_FLAG_OURS,
        .doc = "The same as `holdfast config check`: reads the configuration and ends."),
};

/* ---- signals: blocked everywhere, taken by the main thread ---- */

static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, set, NULL);
}

static pid_t start_child(const char *command, const sigset_t *blocked, struct hf_err *err)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_sigmask(SIG_UNBLOCK, blocked, NULL);
        signal(SIGPIPE, SIG_DFL);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    if (pid < 0)
        hf_err_sys(err, errno, "start '%s'", command);
    return pid;
}

static int child_code(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Waits for a reason to end: a signal without a child, or the child's end. */
static void wait_for_end(const sigset_t *set, pid_t child, int *exit_code)
{
    for (;;) {
        int sig = 0;
        int status = 0;
        if (sigwait(set, &sig) != 0)
            continue;
        if (sig == SIGCHLD && child > 0 && waitpid(child, &status, WNOHANG) == child) {
            *exit_code = child_code(status);
            return;
        }
        if (sig == SIGCHLD)
            continue;
        hf_log(HF_LOG_INFO, "signal received, syncing", HF_F_STR("signal", strsignal(sig)),
               HF_F_END);
        if (child <= 0)
            return;
        kill(child, sig);
    }
}

static bool is_signal_pending(void)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1;
}

static bool is_again(const sigset_t *set)
{
    int sig = 0;
    if (!is_signal_pending())
        return false;
    sigwait(set, &sig);
    return true;
}

static void note_image(void *arg, const struct hf_db_status *s)
{
    bool *is_leaving = arg;
    *is_leaving = *is_leaving || s->is_image_leaving;
}

/* The end of an image's upload is waited for in any case: then with what was committed since. */
static uint64_t extend_for_image(struct hf_engine *e, uint64_t end_ms, bool *is_told,
                                 const struct hf_err *why)
{
    bool is_leaving = false;
    uint64_t now = hf_clock_mono_ms();
    if (now < end_ms)
        return end_ms;
    hf_engine_status(e, note_image, &is_leaving);
    if (!is_leaving)
        return end_ms;
    if (!*is_told)
        hf_log(HF_LOG_WARN, "waiting on for an image", HF_F_ERR(why), HF_F_END);
    *is_told = true;
    return now + IMAGE_GRACE_MS;
}

/* The last sync; a second signal ends it early. */
static enum hf_code final_sync(struct hf_engine *e, const sigset_t *set, int64_t timeout_ms,
                               struct hf_err *err)
{
    uint64_t end = hf_clock_mono_ms() + (uint64_t)timeout_ms;
    enum hf_code rc = HF_E_TIMEOUT;
    bool is_told = false;
    while (rc == HF_E_TIMEOUT) {
        rc = hf_engine_sync(e, SYNC_SLICE_MS, err);
        if (rc == HF_E_TIMEOUT && is_again(set))
            return hf_err_wrap(err, "last sync cut short by a second signal");
        if (rc == HF_E_TIMEOUT)
            end = extend_for_image(e, end, &is_told, err);
        if (hf_clock_mono_ms() >= end)
            break;
    }
    return rc;
}

static void note_failing(void *arg, const struct hf_db_status *s)
{
    bool *is_failing = arg;
    *is_failing = *is_failing || s->error[0] != '\0';
}

/* -once: however long it takes, but not while an error stands for longer than timeout_ms. */
static enum hf_code sync_once(struct hf_engine *e, const sigset_t *set, int64_t timeout_ms,
                              struct hf_err *err)
{
    uint64_t good_ms = hf_clock_mono_ms();
    for (;;) {
        bool is_failing = false;
        enum hf_code rc = hf_engine_sync(e, SYNC_SLICE_MS, err);
        if (rc != HF_E_TIMEOUT)
            return rc;
        if (is_again(set))
            return hf_err_wrap(err, "cut short by a signal");
        hf_engine_status(e, note_failing, &is_failing);
        uint64_t now = hf_clock_mono_ms();
        if (!is_failing)
            good_ms = now;
        if (now - good_ms >= (uint64_t)timeout_ms)
            return rc;
        hf_err_reset(err);
    }
}

/* ---- before and after ---- */

static enum hf_code restore_from(const struct hf_config_db *db, size_t i, struct hf_err *err)
{
    struct hf_store *store = NULL;
    struct hf_replica *r = NULL;
    struct hf_restore_result res;
    struct hf_restore_options o = {.output = db->path};
    HF_TRY(hf_cmd_open_replica(&db->replicas[i], &store, &r, err));
    enum hf_code rc = hf_restore_run(r, &o, &res, err);
    hf_replica_free(r);
    hf_store_close(store);
    if (rc == HF_OK)
        hf_log(HF_LOG_INFO, "restored", HF_F_STR("db", db->path),
               HF_F_STR("replica", db->replicas[i].url), HF_F_TXID("txid", res.txid), HF_F_END);
    return rc;
}

static enum hf_code position_at(const struct hf_config_replica *conf, uint64_t *txid,
                                struct hf_err *err)
{
    struct hf_store *store = NULL;
    struct hf_replica *r = NULL;
    HF_TRY(hf_cmd_open_replica(conf, &store, &r, err));
    enum hf_code rc = hf_replica_position(r, txid, err);
    hf_replica_free(r);
    hf_store_close(store);
    return rc;
}

/* The replica that is furthest of those not tried yet; n if there is none. */
static size_t furthest(const uint64_t *txids, const bool *is_tried, size_t n)
{
    size_t best = n;
    for (size_t i = 0; i < n; i++) {
        if (!is_tried[i] && (best == n || txids[i] > txids[best]))
            best = i;
    }
    return best;
}

/* From the replica that is furthest; from the next one if that fails. One that does not answer
 * comes last: the database may be in it. */
static enum hf_code restore_one(const struct hf_config_db *db, struct hf_err *err)
{
    size_t n = db->n_replicas;
    HF_AUTO_FREE uint64_t *txids = hf_calloc(n, sizeof(*txids));
    HF_AUTO_FREE bool *is_tried = hf_calloc(n, sizeof(*is_tried));
    enum hf_code worst = HF_OK;
    for (size_t i = 0; i < n && n > 1; i++)
        (void)!position_at(&db->replicas[i], &txids[i], NULL);
    for (size_t i = furthest(txids, is_tried, n); i < n; i = furthest(txids, is_tried, n)) {
        struct hf_err one = HF_ERR_INIT;
        is_tried[i] = true;
        enum hf_code rc = restore_from(db, i, &one);
        if (rc == HF_OK)
            return HF_OK;
        if (rc == HF_E_NOT_FOUND) /* nothing there yet */
            continue;
        hf_log(HF_LOG_WARN, "cannot restore from a replica", HF_F_STR("db", db->path),
               HF_F_STR("replica", db->replicas[i].url), HF_F_ERR(&one), HF_F_END);
        worst = rc;
        if (err != NULL)
            *err = one;
    }
    return worst == HF_OK ? HF_OK : hf_err_wrap(err, "restore %s", db->path);
}

static enum hf_code restore_missing(const struct hf_config *cfg, bool is_all, struct hf_err *err)
{
    for (size_t i = 0; i < cfg->n_dbs; i++) {
        const struct hf_config_db *db = cfg->dbs[i];
        if ((is_all || db->restore_if_db_not_exists) && !hf_path_exists(db->path) &&
            db->n_replicas > 0)
            HF_TRY(restore_one(db, err));
    }
    return HF_OK;
}

static enum hf_code tidy_one(const struct hf_config *cfg, const struct hf_config_replica *conf,
                             const struct options *o, struct hf_err *err)
{
    struct hf_store *store = NULL;
    struct hf_replica *r = NULL;
    enum hf_ltx_form form = HF_LTX_FORM_BLOCK;
    struct hf_compact_result res;
    struct hf_retention policy = {
        .is_enabled = true,
        .l0_retention_ms = cfg->l0_retention_ms,
        .snapshot_retention_ms = conf->snapshot_retention_ms,
    };
    HF_TRY(hf_cmd_open_replica(conf, &store, &r, err));
    enum hf_code rc = hf_replica_form(r, &form, err);
    if (rc == HF_OK && o->force_snapshot)
        rc = hf_compact_snapshot(r, form, NULL, &res, err);
    if (rc == HF_OK && o->enforce_retention)
        rc = hf_retention_run(r, &policy, hf_clock_wall_ms(), false, NULL, err);
    hf_replica_free(r);
    hf_store_close(store);
    return rc;
}

static enum hf_code tidy(const struct hf_config *cfg, const struct options *o, struct hf_err *err)
{
    if (!o->force_snapshot && !o->enforce_retention)
        return HF_OK;
    for (size_t i = 0; i < cfg->n_dbs; i++) {
        const struct hf_config_db *db = cfg->dbs[i];
        for (size_t k = 0; k < db->n_replicas; k++) {
            if (tidy_one(cfg, &db->replicas[k], o, err) != HF_OK)
                return hf_err_wrap(err, "%s", db->path);
        }
    }
    return HF_OK;
}

/* ---- the command ---- */

static enum hf_code needs_url(const char *arg, struct hf_err *err)
{
    const char *dot = strrchr(arg, '.');
    hf_err_set(err, HF_E_INVALID, "a database needs a replica URL: replicate %s URL", arg);
    if (dot != NULL && (strcmp(dot, ".yml") == 0 || strcmp(dot, ".yaml") == 0))
        hf_err_hint(err, "a configuration is named with -config %s", arg);
    return HF_E_INVALID;
}

static enum hf_code load(const struct hf_run *run, struct hf_config **cfg, struct hf_err *err)
{
    const struct options *o = run->options;
    if (run->n_args == 1)
        return needs_url(run->args[0], err);
    if (run->n_args >= 2 && o->config.path != NULL)
        return hf_err_set(err, HF_E_INVALID, "give a database and its URL, or -config, not both");
    if (run->n_args >= 2)
        HF_TRY(hf_config_from_args(run->args[0], run->args + 1, (size_t)run->n_args - 1, cfg, err));
    else
        HF_TRY(hf_cmd_load_config(&o->config, cfg, err));
    if (o->sync_interval_ns > 0)
        hf_config_set_sync_interval(*cfg, o->sync_interval_ns);
    return HF_OK;
}

static enum hf_code check_options(const struct options *o, const struct hf_config *cfg,
                                  struct hf_err *err)
{
    if (!o->once && (o->force_snapshot || o->enforce_retention))
        return hf_err_set(err, HF_E_INVALID,
                          "-force-snapshot and -enforce-retention go with -once");
    if (o->once && o->exec != NULL)
        return hf_err_set(err, HF_E_INVALID, "-once and -exec do not go together");
    if (cfg->n_dbs == 0 && cfg->n_dirs == 0)
        return hf_err_set(err, HF_E_INVALID, "%s names no database", cfg->file);
    return HF_OK;
}

/* What slow services answered, while databases are being followed. Without an answer: no matter. */
static enum hf_code wait_for_trials(struct hf_trials *trials, struct hf_err *err)
{
    enum hf_code rc = HF_E_TIMEOUT;
    while (rc == HF_E_TIMEOUT && !is_signal_pending())
        rc = hf_trials_wait(trials, SYNC_SLICE_MS, err);
    if (rc != HF_E_TIMEOUT)
        return rc;
    hf_err_reset(err);
    return HF_OK;
}

/* With the engine running: until the end, with its last sync. */
static enum hf_code follow(struct hf_run *run, const struct hf_config *cfg, struct hf_engine *e,
                           struct hf_trials *trials, const sigset_t *set, struct hf_err *err)
{
    const struct options *o = run->options;
    const char *command = o->exec != NULL ? o->exec : cfg->exec;
    pid_t child = 0;
    if (o->once)
        return sync_once(e, set, cfg->shutdown_sync_timeout_ms, err);
    if (command == NULL) /* a command is not kept waiting; a refused service gets nothing anyway */
        HF_TRY(wait_for_trials(trials, err));
    if (command != NULL) {
        child = start_child(command, set, err);
        if (child < 0)
            return err->code;
    }
    wait_for_end(set, child, &run->exit_code);
    enum hf_code rc = final_sync(e, set, cfg->shutdown_sync_timeout_ms, err);
    if (rc == HF_OK)
        return HF_OK;
    hf_log(HF_LOG_ERROR, "not everything was synced", HF_F_ERR(err), HF_F_END);
    return rc;
}

static enum hf_code run_engine(struct hf_run *run, struct hf_config *cfg, struct hf_trials *trials,
                               const sigset_t *set, struct hf_err *err)
{
    const struct options *o = run->options;
    struct hf_engine *e = NULL;
    char exe[HF_LIMIT_PATH];
    HF_TRY(hf_exe_path(exe, sizeof(exe), err));
    struct hf_engine_options eo = {.cfg = cfg, .exe = exe};
    HF_TRY(hf_engine_start(&eo, &e, err));
    struct hf_serve *serve = NULL;
    enum hf_code rc = hf_serve_start(cfg, e, &serve, err);
    if (rc != HF_OK) {
        hf_engine_stop(e);
        return rc;
    }
    hf_log(HF_LOG_INFO, "replicating", HF_F_STR("version", HF_VERSION),
           HF_F_U64("databases", cfg->n_dbs), HF_F_STR("config", cfg->file), HF_F_END);
    struct hf_heartbeat *heartbeat = NULL;
    rc = o->once ? HF_OK : hf_heartbeat_start(cfg, e, &heartbeat, err);
    if (rc == HF_OK)
        rc = follow(run, cfg, e, trials, set, err);
    hf_heartbeat_stop(heartbeat);
    hf_serve_stop(serve);
    hf_engine_stop(e);
    if (rc == HF_OK)
        rc = tidy(cfg, o, err);
    return rc;
}

static enum hf_code replicate(struct hf_run *run, struct hf_config *cfg, struct hf_err *err)
{
    const struct options *o = run->options;
    struct hf_trials *trials = NULL;
    sigset_t set;
    HF_TRY(hf_cmd_setup_log(cfg, o->log_level, err));
    HF_TRY(check_options(o, cfg, err));
    block_signals(&set);
    HF_TRY(restore_missing(cfg, o->restore_if_db_not_exists, err));
    HF_TRY(hf_trials_start(cfg, &trials, err));
    enum hf_code rc = hf_trials_wait(trials, TRIAL_MS, err);
    if (rc == HF_OK || rc == HF_E_TIMEOUT) {
        hf_err_reset(err);
        rc = run_engine(run, cfg, trials, &set, err);
    }
    hf_trials_free(trials);
    return rc;
}

static enum hf_code run_replicate(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    struct hf_config *cfg = NULL;
    if (o->is_check && run->n_args == 0) {
        struct hf_config_options opt = {o->config.path, o->config.no_expand_env};
        return hf_cmd_config_check(&opt, false, err);
    }
    HF_TRY(load(run, &cfg, err));
    hf_assert(cfg != NULL);
    enum hf_code rc = o->is_check ? HF_OK : replicate(run, cfg, err);
    hf_config_free(cfg);
    return rc;
}

static const struct hf_example examples[] = {
    {"holdfast replicate -config litestream.yml", "follows every database of the file"},
    {"holdfast replicate app.db file:///backups/app", "one database, without a file"},
    {"holdfast replicate -once app.db file:///backups/app", "ships what is there and ends"},
    {NULL, NULL},
};

const struct hf_command hf_cmd_replicate = {
    .name = "replicate",
    .group = "Protect",
    .summary = "stream databases to their replicas",
    .args = "[DB_PATH REPLICA_URL]",
    .min_args = 0,
    .max_args = -1,
    .flags = flags,
    .n_flags = HF_ARRAY_LEN(flags),
    .options_size = sizeof(struct options),
    .examples = examples,
    .run = run_replicate,
    .doc = "Follows the write-ahead log of each database and ships what is committed: the first "
           "commit after a quiet time at once, then at most once per sync-interval. Databases in "
           "rollback-journal mode are switched to WAL mode. SIGINT or SIGTERM sync once more and "
           "end; a second one ends without.",
    .exits = "with -exec, the exit code of the command",
};
