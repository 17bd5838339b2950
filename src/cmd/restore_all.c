#include "cmd/restore_all.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/standby_show.h"

enum {
    DRAW_MS = 500,
    LINE_MS = 1000,  /* JSON lines while following */
    SCAN_TIMES = 10, /* directories are listed again after so many follow intervals */
    SCAN_MIN_MS = 1000,
    SUMMARY_MS = 300 * 1000, /* a line in the log that all is well */
    ROWS_UNKNOWN = 24,
};

/* Set before signals are caught; the handler only stops it. */
static struct hf_standby *running;

static void on_signal(int number)
{
    (void)number;
    hf_standby_stop(running);
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

struct call {
    const struct hf_cmd_restore_all *c;
    struct hf_cmd_fleet fleet;
    struct hf_standby *standby;
    size_t n_added; /* members handed to the standby */
    bool is_live;   /* the table is drawn on a terminal */
    size_t drawn_lines;
    uint64_t drawn_ms;
    uint64_t scanned_ms;
    uint64_t logged_ms;
    enum hf_code scan_rc; /* of the last look at the directories' replicas */
    enum hf_code write_rc;
    struct hf_err err; /* of either */
};

/* ---- members to items ---- */

static void add_new(struct call *k)
{
    for (; k->n_added < k->fleet.n; k->n_added++) {
        const struct hf_cmd_member *m = k->fleet.members[k->n_added];
        if (m->n_replicas == 0)
            continue; /* counted at the end */
        struct hf_standby_item item = {.name = m->db->path,
                                       .path = m->path,
                                       .replicas = m->replicas,
                                       .n_replicas = m->n_replicas};
        hf_standby_add(k->standby, &item);
    }
}

static void scan_again(struct call *k)
{
    struct hf_err err = HF_ERR_INIT;
    uint64_t pause = k->c->standby.interval_ms * SCAN_TIMES;
    uint64_t now = hf_clock_mono_ms();
    if (k->fleet.cfg->n_dirs == 0 || !k->c->standby.is_follow ||
        now - k->scanned_ms < (pause < SCAN_MIN_MS ? SCAN_MIN_MS : pause))
        return;
    enum hf_code rc = hf_cmd_fleet_scan(&k->fleet, &err);
    if (rc != HF_OK && rc != k->scan_rc)
        hf_log(HF_LOG_ERROR, "cannot look for databases", HF_F_ERR(&err), HF_F_END);
    k->scan_rc = rc;
    k->scanned_ms = hf_clock_mono_ms();
    add_new(k);
}

/* ---- showing ---- */

static size_t terminal_rows(void)
{
    struct winsize w;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_row < 6)
        return ROWS_UNKNOWN;
    return w.ws_row;
}

static size_t count_lines(const struct hf_buf *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->len; i++)
        n += b->data[i] == '\n';
    return n;
}

static enum hf_code draw(struct call *k, struct hf_buf *out, struct hf_err *err)
{
    char line[HF_STANDBY_TEXT];
    hf_standby_summary(k->standby, line);
    if (k->drawn_lines > 0)
        HF_TRY(hf_buf_appendf(out, err, "\033[%zuA\033[J", k->drawn_lines));
    HF_TRY(hf_standby_table(k->standby, terminal_rows() - 4, out, err));
    HF_TRY(hf_buf_appendf(out, err, "%s\n", line));
    k->drawn_lines = count_lines(out);
    return hf_out_write((const char *)out->data, out->len, err);
}

static enum hf_code put_line(struct call *k, struct hf_buf *out, struct hf_err *err)
{
    HF_TRY(hf_standby_json(k->standby, true, out, err));
    return hf_out_write((const char *)out->data, out->len, err);
}

static void log_summary(struct call *k, uint64_t now)
{
    char line[HF_STANDBY_TEXT];
    if (!k->c->standby.is_follow || now - k->logged_ms < SUMMARY_MS)
        return;
    k->logged_ms = now;
    hf_standby_summary(k->standby, line);
    hf_log(HF_LOG_INFO, "standby", HF_F_STR("state", line), HF_F_END);
}

static bool on_tick(void *arg)
{
    struct call *k = arg;
    uint64_t now = hf_clock_mono_ms();
    scan_again(k);
    log_summary(k, now);
    bool is_line = k->c->is_json && k->c->standby.is_follow;
    if ((!k->is_live && !is_line) || now - k->drawn_ms < (is_line ? LINE_MS : DRAW_MS))
        return true;
    struct hf_buf out;
    hf_buf_init(&out, HF_OUT_MAX);
    k->drawn_ms = now;
    k->write_rc = is_line ? put_line(k, &out, &k->err) : draw(k, &out, &k->err);
    hf_buf_deinit(&out);
    return k->write_rc == HF_OK; /* a reader that went away ends it */
}

static enum hf_code show_end(struct call *k, struct hf_err *err)
{
    bool is_follow = k->c->standby.is_follow;
    struct hf_buf out;
    hf_buf_init(&out, HF_OUT_MAX);
    enum hf_code rc = HF_OK;
    if (k->c->is_json) {
        rc = hf_standby_json(k->standby, is_follow, &out, err);
    } else {
        char line[HF_STANDBY_TEXT];
        hf_standby_summary(k->standby, line);
        if (k->drawn_lines > 0)
            rc = hf_buf_appendf(&out, err, "\033[%zuA\033[J", k->drawn_lines);
        if (rc == HF_OK)
            rc = hf_standby_table(k->standby, 0, &out, err);
        if (rc == HF_OK)
            rc = hf_buf_appendf(&out, err, "%s\n", line);
    }
    if (rc == HF_OK)
        rc = hf_out_write((const char *)out.data, out.len, err);
    hf_buf_deinit(&out);
    return rc;
}

/* ---- the result ---- */

struct verdict {
    enum hf_code code; /* of the first that failed */
    size_t n;
    char names[400];
};

static void count_failure(struct verdict *v, const char *path, enum hf_code code)
{
    size_t at = strlen(v->names);
    if (v->n == 0)
        v->code = code;
    v->n++;
    if (at + strlen(path) + 40 < sizeof(v->names))
        snprintf(v->names + at, sizeof(v->names) - at, "%s%s (%s)", at == 0 ? "" : ", ", path,
                 hf_code_word(code));
    else if (at > 3 && strcmp(v->names + at - 3, "...") != 0)
        snprintf(v->names + at, sizeof(v->names) - at, ", ...");
}

static enum hf_code judge(const struct call *k, struct hf_err *err)
{
    struct verdict v = {.code = HF_OK};
    for (size_t i = 0; i < k->fleet.n; i++) {
        const struct hf_cmd_member *m = k->fleet.members[i];
        if (m->n_replicas == 0)
            count_failure(&v, m->path, m->err.code);
    }
    for (size_t i = 0; i < hf_standby_count(k->standby); i++) {
        struct hf_standby_row r;
        hf_standby_row(k->standby, i, &r);
        bool is_waiting = r.state == HF_STANDBY_WAITING && r.code == HF_E_NOT_FOUND;
        bool is_cut = r.state == HF_STANDBY_QUEUED || r.state == HF_STANDBY_RESTORING;
        if (is_cut)
            count_failure(&v, r.path, HF_E_CANCELED);
        else if (r.code != HF_OK && !is_waiting)
            count_failure(&v, r.path, r.code);
    }
    if (v.n == 0)
        return HF_OK;
    return hf_err_set(err, v.code, "%zu of %zu databases failed: %s", v.n, k->fleet.n, v.names);
}

static void warn_left_out(const struct call *k)
{
    for (size_t i = 0; i < k->fleet.n; i++) {
        const struct hf_cmd_member *m = k->fleet.members[i];
        if (m->err.code != HF_OK)
            fprintf(stderr, "holdfast restore: %s: a replica is left out: %s\n", m->db->path,
                    m->err.text);
    }
}

/* ---- doing it ---- */

static enum hf_code first_scan(struct call *k, struct hf_err *err)
{
    enum hf_code rc = hf_cmd_fleet_scan(&k->fleet, err);
    k->scanned_ms = hf_clock_mono_ms();
    if (rc == HF_OK || rc == HF_E_INVALID || !k->c->standby.is_follow)
        return rc;
    hf_log(HF_LOG_ERROR, "cannot look for databases", HF_F_ERR(err), HF_F_END);
    k->scan_rc = rc;
    hf_err_reset(err);
    return HF_OK;
}

static enum hf_code run(struct call *k, struct hf_err *err)
{
    struct hf_standby_options o = k->c->standby;
    HF_TRY(first_scan(k, err));
    o.is_endless = o.is_follow && k->fleet.cfg->n_dirs > 0;
    o.tick = on_tick;
    o.tick_arg = k;
    HF_TRY(hf_standby_new(&o, &k->standby, err));
    add_new(k);
    warn_left_out(k);
    running = k->standby;
    catch_signals();
    hf_standby_run(k->standby);
    if (k->write_rc != HF_OK) {
        *err = k->err;
        return k->write_rc;
    }
    HF_TRY(show_end(k, err));
    return judge(k, err);
}

enum hf_code hf_cmd_restore_all(const struct hf_cmd_restore_all *c, struct hf_err *err)
{
    struct call *k = hf_calloc(1, sizeof(*k));
    k->c = c;
    k->logged_ms = hf_clock_mono_ms();
    k->is_live = !c->is_json && hf_out_is_terminal(STDOUT_FILENO);
    enum hf_code rc = hf_cmd_fleet_open(&c->fleet, &k->fleet, err);
    if (rc == HF_OK) {
        enum hf_config_log_type type = k->fleet.cfg->logging.type;
        /* Data is on stdout; what is drawn there must not be torn by the log. */
        hf_log_setup(k->is_live ? HF_LOG_ERROR : (enum hf_log_level)k->fleet.cfg->logging.level,
                     type == HF_CONFIG_LOG_JSON ? HF_LOG_JSON : HF_LOG_TEXT, true);
        rc = run(k, err);
    }
    hf_standby_free(k->standby);
    hf_cmd_fleet_close(&k->fleet);
    hf_free(k);
    return rc;
}
