/* holdfast start | stop | sync | register | unregister | list | info: over the control socket. */
#include "cmd/ctl.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cmd/out.h"
#include "cmd/rows.h"
#include "codec/jsonscan.h"
#include "net/unixhttp.h"
#include "os/file.h"

/* The server ends a wait by itself, with a better text than "no answer". */
enum { GRACE_MS = 5000 };

static const char default_socket[] = "/var/run/holdfast.sock";

struct options {
    struct hf_ctl_flags ctl;
    const char *replica;
    bool wait;
    bool dry_run;
};

/* ---- the socket ---- */

static enum hf_code take_path(struct hf_ctl_flags *flags, const struct hf_config *cfg,
                              struct hf_err *err)
{
    size_t len = strlen(cfg->socket.path);
    if (!cfg->socket.enabled) {
        hf_err_set(err, HF_E_INVALID, "%s does not turn the control socket on", cfg->file);
        hf_err_hint(err, "socket: {enabled: true} there, and start replicate anew; or name another "
                         "one with -socket");
        return HF_E_INVALID;
    }
    if (len >= sizeof(flags->found))
        return hf_err_set(err, HF_E_INVALID, "%s: socket.path is too long for a socket", cfg->file);
    memcpy(flags->found, cfg->socket.path, len + 1);
    return HF_OK;
}

enum hf_code hf_ctl_find(struct hf_ctl_flags *flags, struct hf_err *err)
{
    struct hf_config_options o = {.path = flags->config.path,
                                  .no_expand_env = flags->config.no_expand_env};
    struct hf_config *cfg = NULL;
    if (flags->socket != NULL)
        return HF_OK;
    memcpy(flags->found, default_socket, sizeof(default_socket));
    enum hf_code rc = hf_config_load(&o, &cfg, err);
    if (rc == HF_OK)
        rc = take_path(flags, cfg, err);
    if (cfg != NULL)
        hf_config_free(cfg);
    if (rc != HF_OK && o.path != NULL)
        return rc;
    hf_err_reset(err); /* nobody named that file */
    flags->socket = flags->found;
    return HF_OK;
}

/* ---- asking ---- */

static enum hf_code code_of_status(int status)
{
    static const struct {
        int status;
        enum hf_code code;
    } map[] = {{400, HF_E_INVALID}, {403, HF_E_DENIED},   {404, HF_E_NOT_FOUND},
               {405, HF_E_INVALID}, {409, HF_E_CONFLICT}, {501, HF_E_UNSUPPORTED},
               {503, HF_E_BUSY},    {504, HF_E_TIMEOUT},  {507, HF_E_NO_SPACE}};
    for (size_t i = 0; i < HF_ARRAY_LEN(map); i++) {
        if (map[i].status == status)
            return map[i].code;
    }
    return HF_E_IO;
}

static enum hf_code tell_failure(int status, const struct hf_buf *body, struct hf_err *err)
{
    static const char *const keys[] = {"error", "details"};
    struct hf_jsonscan_value v[2];
    char text[400] = "";
    char details[200] = "";
    if (hf_jsonscan_find((const char *)body->data, body->len, keys, 2, v, NULL) != HF_OK ||
        hf_jsonscan_str(&v[0], text, sizeof(text), NULL) != HF_OK)
        return hf_err_set(err, code_of_status(status), "the control socket answered status %d",
                          status);
    if (hf_jsonscan_str(&v[1], details, sizeof(details), NULL) != HF_OK)
        details[0] = '\0';
    hf_err_set(err, code_of_status(status), "%s", text);
    hf_err_hint(err, "%s", details);
    return code_of_status(status);
}

enum hf_code hf_ctl_do(const struct hf_ctl_flags *flags, const struct hf_ctl_request *r,
                       struct hf_buf *out, struct hf_err *err)
{
    struct hf_unixhttp u = {.socket_path = flags->socket,
                            .method = r->method,
                            .target = r->target,
                            .body = r->body,
                            .timeout_ms = (uint32_t)flags->timeout_s * 1000 + GRACE_MS};
    int status = 0;
    HF_TRY(hf_unixhttp_do(&u, &status, out, err));
    return status == 200 ? HF_OK : tell_failure(status, out, err);
}

static enum hf_code post(const struct hf_run *run, const char *target, const char *path,
                         struct hf_buf *answer, struct hf_err *err)
{
    const struct options *o = run->options;
    struct hf_json j;
    struct hf_buf body;
    hf_buf_init(&body, HF_OUT_MAX);
    hf_json_init(&j, &body, false);
    hf_json_object_begin(&j);
    hf_json_kstr(&j, "path", path);
    hf_json_ki64(&j, "timeout", o->ctl.timeout_s);
    if (o->wait)
        hf_json_kbool(&j, "wait", true);
    if (o->replica != NULL)
        hf_json_kstr(&j, "replica_url", o->replica);
    hf_json_object_end(&j);
    enum hf_code rc = hf_json_end(&j, err);
    struct hf_ctl_request r = {"POST", target, hf_buf_str(&body)};
    if (rc == HF_OK)
        rc = hf_ctl_do(&o->ctl, &r, answer, err);
    hf_buf_deinit(&body);
    return rc;
}

/* ---- answers of one database ---- */

struct fields {
    char status[40];
    char path[HF_LIMIT_PATH];
    int64_t txid;
    int64_t replica_txid;
};

static enum hf_code read_fields(const struct hf_buf *b, struct fields *f, struct hf_err *err)
{
    static const char *const keys[] = {"status", "path", "txid", "replicated_txid"};
    struct hf_jsonscan_value v[HF_ARRAY_LEN(keys)];
    *f = (struct fields){.txid = 0};
    HF_TRY(hf_jsonscan_find((const char *)b->data, b->len, keys, HF_ARRAY_LEN(keys), v, err));
    HF_TRY(hf_jsonscan_str(&v[0], f->status, sizeof(f->status), err));
    HF_TRY(hf_jsonscan_str(&v[1], f->path, sizeof(f->path), err));
    (void)hf_jsonscan_i64(&v[2], &f->txid);
    (void)hf_jsonscan_i64(&v[3], &f->replica_txid);
    return HF_OK;
}

/* One line of an answer; text NULL: the number. */
struct line {
    const char *key;
    const char *text;
    int64_t number;
};

static enum hf_code print_lines(bool is_json, const struct line *lines, size_t n,
                                struct hf_err *err)
{
    if (is_json) {
        struct hf_buf buf;
        struct hf_json j;
        hf_buf_init(&buf, HF_OUT_MAX);
        hf_json_init(&j, &buf, true);
        hf_json_object_begin(&j);
        for (size_t i = 0; i < n; i++) {
            if (lines[i].text != NULL)
                hf_json_kstr(&j, lines[i].key, lines[i].text);
            else
                hf_json_ki64(&j, lines[i].key, lines[i].number);
        }
        hf_json_object_end(&j);
        enum hf_code rc = hf_json_end(&j, err);
        if (rc == HF_OK)
            rc = hf_out_print(err, "%s\n", hf_buf_str(&buf));
        hf_buf_deinit(&buf);
        return rc;
    }
    for (size_t i = 0; i < n; i++) {
        if (lines[i].text != NULL)
            HF_TRY(hf_out_print(err, "%s: %s\n", lines[i].key, lines[i].text));
        else
            HF_TRY(hf_out_print(err, "%s: %lld\n", lines[i].key, (long long)lines[i].number));
    }
    return HF_OK;
}

/* The path the way the running process knows it; the answer in fields. */
static enum hf_code ask(const struct hf_run *run, const char *target, struct fields *f,
                        struct hf_err *err)
{
    HF_AUTO_FREE char *path = NULL;
    struct hf_buf answer;
    HF_TRY(hf_path_absolute(run->args[0], &path, err));
    hf_buf_init(&answer, HF_LIMIT_UNIXHTTP_ANSWER);
    enum hf_code rc = post(run, target, path, &answer, err);
    if (rc == HF_OK)
        rc = read_fields(&answer, f, err);
    hf_buf_deinit(&answer);
    return rc;
}

static enum hf_code change_state(const struct hf_run *run, const char *target, const char *state,
                                 struct hf_err *err)
{
    const struct options *o = run->options;
    struct fields f;
    HF_TRY(ask(run, target, &f, err));
    struct line lines[] = {{"status", f.status, 0},
                           {"db_path", f.path, 0},
                           {"state", state, 0},
                           {"txid", NULL, f.txid},
                           {"socket", o->ctl.socket, 0}};
    return print_lines(o->ctl.json, lines, HF_ARRAY_LEN(lines), err);
}

static enum hf_code run_start(struct hf_run *run, struct hf_err *err)
{
    return change_state(run, "/start", "running", err);
}

static enum hf_code run_stop(struct hf_run *run, struct hf_err *err)
{
    return change_state(run, "/stop", "stopped", err);
}

static enum hf_code run_sync(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    struct fields f;
    uint64_t begin = hf_clock_mono_ms();
    HF_TRY(ask(run, "/sync", &f, err));
    struct line lines[4] = {{"db_path", f.path, 0}, {"txid", NULL, f.txid}};
    size_t n = 2;
    if (o->wait)
        lines[n++] = (struct line){"replica_txid", NULL, f.replica_txid};
    lines[n++] = (struct line){"duration_ms", NULL, (int64_t)(hf_clock_mono_ms() - begin)};
    return print_lines(o->ctl.json, lines, n, err);
}

static enum hf_code run_register(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    struct fields f;
    if (o->replica == NULL)
        return hf_err_set(err, HF_E_INVALID, "-replica is required: where %s goes", run->args[0]);
    HF_TRY(ask(run, "/register", &f, err));
    struct line lines[] = {{"status", f.status, 0},
                           {"db_path", f.path, 0},
                           {"replica", o->replica, 0},
                           {"socket", o->ctl.socket, 0}};
    return print_lines(o->ctl.json, lines, HF_ARRAY_LEN(lines), err);
}

static enum hf_code preview(const struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    HF_AUTO_FREE char *path = NULL;
    HF_TRY(hf_path_absolute(run->args[0], &path, err));
    struct line lines[] = {{"status", "dry_run", 0},
                           {"db_path", path, 0},
                           {"final_sync", "what is committed is shipped before it is let go of", 0},
                           {"timeout_seconds", NULL, o->ctl.timeout_s},
                           {"socket", o->ctl.socket, 0}};
    return print_lines(o->ctl.json, lines, HF_ARRAY_LEN(lines), err);
}

static enum hf_code run_unregister(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    struct fields f;
    if (o->dry_run)
        return preview(run, err);
    HF_TRY(ask(run, "/unregister", &f, err));
    struct line lines[] = {{"status", f.status, 0},
                           {"db_path", f.path, 0},
                           {"final_txid", NULL, f.txid},
                           {"socket", o->ctl.socket, 0}};
    return print_lines(o->ctl.json, lines, HF_ARRAY_LEN(lines), err);
}

/* ---- list and info ---- */

static enum hf_code get(const struct hf_run *run, const char *target, struct hf_buf *answer,
                        struct hf_err *err)
{
    const struct options *o = run->options;
    struct hf_ctl_request r = {"GET", target, NULL};
    hf_buf_init(answer, HF_LIMIT_UNIXHTTP_ANSWER);
    return hf_ctl_do(&o->ctl, &r, answer, err);
}

static enum hf_code print_listed(const struct hf_jsonscan_value *db, struct hf_err *err)
{
    static const char *const keys[] = {"path", "status", "last_sync_at"};
    struct hf_jsonscan_value v[3];
    char path[HF_LIMIT_PATH];
    char status[40];
    char when[HF_TIME_TEXT] = "";
    HF_TRY(hf_jsonscan_find(db->text, db->len, keys, 3, v, err));
    HF_TRY(hf_jsonscan_str(&v[0], path, sizeof(path), err));
    HF_TRY(hf_jsonscan_str(&v[1], status, sizeof(status), err));
    if (v[2].kind != HF_JSON_STRING)
        return hf_out_print(err, "%s [%s]\n", path, status);
    HF_TRY(hf_jsonscan_str(&v[2], when, sizeof(when), err));
    return hf_out_print(err, "%s [%s] (last sync: %s)\n", path, status, when);
}

static enum hf_code print_list(const struct hf_buf *answer, struct hf_err *err)
{
    static const char *const keys[] = {"databases"};
    struct hf_jsonscan_value list;
    struct hf_jsonscan scan;
    bool is_member = false;
    size_t n = 0;
    HF_TRY(hf_jsonscan_find((const char *)answer->data, answer->len, keys, 1, &list, err));
    HF_TRY(hf_jsonscan_open(&scan, list.text, list.len, err));
    for (;; n++) {
        struct hf_jsonscan_value db;
        HF_TRY(hf_jsonscan_next(&scan, NULL, &db, &is_member, err));
        if (!is_member)
            break;
        HF_TRY(print_listed(&db, err));
    }
    return n > 0 ? HF_OK : hf_out_print(err, "No databases configured\n");
}

static enum hf_code run_list(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    struct hf_buf answer;
    enum hf_code rc = get(run, "/list", &answer, err);
    if (rc == HF_OK)
        rc = o->ctl.json ? hf_out_write((const char *)answer.data, answer.len, err)
                         : print_list(&answer, err);
    hf_buf_deinit(&answer);
    return rc;
}

static enum hf_code print_info(const struct hf_buf *answer, struct hf_err *err)
{
    static const char *const keys[] = {"version", "pid", "uptime_seconds", "started_at",
                                       "database_count"};
    struct hf_jsonscan_value v[HF_ARRAY_LEN(keys)];
    char version[60];
    char started[HF_TIME_TEXT];
    int64_t pid = 0;
    int64_t uptime_s = 0;
    int64_t n = 0;
    HF_TRY(hf_jsonscan_find((const char *)answer->data, answer->len, keys, 5, v, err));
    HF_TRY(hf_jsonscan_str(&v[0], version, sizeof(version), err));
    HF_TRY(hf_jsonscan_str(&v[3], started, sizeof(started), err));
    (void)hf_jsonscan_i64(&v[1], &pid);
    (void)hf_jsonscan_i64(&v[2], &uptime_s);
    (void)hf_jsonscan_i64(&v[4], &n);
    return hf_out_print(err,
                        "version:    %s\npid:        %lld\nuptime:     %llds\nstarted at: %s\n"
                        "databases:  %lld\n",
                        version, (long long)pid, (long long)uptime_s, started, (long long)n);
}

static enum hf_code run_info(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    struct hf_buf answer;
    enum hf_code rc = get(run, "/info", &answer, err);
    if (rc == HF_OK)
        rc = o->ctl.json ? hf_out_write((const char *)answer.data, answer.len, err)
                         : print_info(&answer, err);
    hf_buf_deinit(&answer);
    return rc;
}

/* ---- rows ---- */

static const struct hf_flag flags[] = {HF_CTL_FLAGS(struct options, ctl, "30")};
static const struct hf_flag look_flags[] = {HF_CTL_FLAGS(struct options, ctl, "10")};

static const struct hf_flag sync_flags[] = {
    {.name = "wait",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct options, wait),
     .doc = "Return when everything that is committed now is in the replica."},
    HF_CTL_FLAGS(struct options, ctl, "30"),
};

static const struct hf_flag register_flags[] = {
    {.name = "replica",
     .kind = HF_FLAG_STRING,
     .offset = offsetof(struct options, replica),
     .value = "URL",
     .doc = "Where the database goes; required."},
    HF_CTL_FLAGS(struct options, ctl, "30"),
};

static const struct hf_flag unregister_flags[] = {
    {.name = "dry-run",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct options, dry_run),
     .doc = "Say what would be asked for; ask for nothing."},
    HF_CTL_FLAGS(struct options, ctl, "30"),
};

typedef enum hf_code run_fn(struct hf_run *run, struct hf_err *err);

static enum hf_code run_found(run_fn *fn, struct hf_run *run, struct hf_err *err)
{
    struct options *o = run->options;
    HF_TRY(hf_ctl_find(&o->ctl, err));
    return fn(run, err);
}

#define ROW(id, name_, summary_, args_, n_args, flags_)                                            \
    static enum hf_code find_and_##id(struct hf_run *run, struct hf_err *err)                      \
    {                                                                                              \
        return run_found(run_##id, run, err);                                                      \
    }                                                                                              \
    const struct hf_command hf_cmd_##id = {                                                        \
        .name = (name_),                                                                           \
        .group = "Steer",                                                                          \
        .summary = (summary_),                                                                     \
        .args = (args_),                                                                           \
        .min_args = (n_args),                                                                      \
        .max_args = (n_args),                                                                      \
        .flags = (flags_),                                                                         \
        .n_flags = HF_ARRAY_LEN(flags_),                                                           \
        .options_size = sizeof(struct options),                                                    \
        .run = find_and_##id,                                                                      \
        .doc = "Asks the running `replicate` over its control socket, which the configuration "    \
               "turns on with socket: {enabled: true}. Litestream's socket is understood, too.",   \
        .exits = "3: nobody listens there, or the database is not known; 13: not in time.",        \
    }

ROW(start, "start", "follow a database again that was stopped", "DB_PATH", 1, flags);
ROW(stop, "stop", "sync a database and let go of it until start", "DB_PATH", 1, flags);
ROW(sync, "sync", "ship what is committed now", "DB_PATH", 1, sync_flags);
ROW(register, "register", "follow one more database", "DB_PATH", 1, register_flags);
ROW(unregister, "unregister", "sync a database and forget it", "DB_PATH", 1, unregister_flags);
ROW(list, "list", "list the databases of the running process", "", 0, look_flags);
ROW(info, "info", "show the running process", "", 0, look_flags);
