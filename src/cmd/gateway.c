/*
 * holdfast gateway: serves model requests until it is told to stop; with an argument it asks a
 * running gateway what it knows.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "cmd/common.h"
#include "cmd/gateway_ask.h"
#include "cmd/gateway_money.h"
#include "cmd/out.h"
#include "cmd/rows.h"
#include "gateway/gateway.h"
#include "gateway/plan.h"
#include "gateway/zone.h"
#include "os/heap.h"

enum { WATCH_MS = 2000 };

struct options {
    struct hf_config_flags config;
    const char *log_level;
    const char *down;
    bool json;
    bool is_check;
    bool is_watch;
    struct hf_gateway_usage usage;
    struct hf_gateway_override override;
};

#define OPT(name_, kind_, member, ...)                                                             \
    {                                                                                              \
        .name = (name_), .kind = (kind_), .offset = offsetof(struct options, member), __VA_ARGS__  \
    }

static const struct hf_flag flags[] = {
    HF_CONFIG_FLAGS(struct options, config),
    OPT("log-level", HF_FLAG_STRING, log_level, .value = "LEVEL",
        .doc = "debug, info, warn or error."),
    OPT("down", HF_FLAG_STRING, down, .value = "HOST", .marks = HF_FLAG_OURS,
        .doc = "With explain and what-if: as if HOST could not be reached."),
    OPT("json", HF_FLAG_BOOL, json, .marks = HF_FLAG_OURS,
        .doc = "With a question: as JSON, schemas holdfast.gateway-status/1, -explain/1, "
               "-routes/1, -what-if/1, -usage/1 and -overrides/1."),
    OPT("by", HF_FLAG_STRING, usage.by, .value = "WORDS", .marks = HF_FLAG_OURS,
        .doc = "With usage: what to sum by, of key, route, model, host, day and outcome; without "
               "it key,model. With override: who does it; without it $USER."),
    OPT("since", HF_FLAG_STRING, usage.since, .value = "TIME", .marks = HF_FLAG_OURS,
        .doc = "With usage: 24h, 2026-11-27 or 2026-11-27T10:00:00Z."),
    OPT("watch", HF_FLAG_BOOL, is_watch, .marks = HF_FLAG_OURS,
        .doc = "With whatever changes nothing: again every two seconds."),
    OPT("for", HF_FLAG_STRING, override.span, .value = "TIME", .marks = HF_FLAG_OURS,
        .doc = "With override set and pin: how long it counts, such as 2h. Without it 24h."),
    OPT("why", HF_FLAG_STRING, override.why, .value = "TEXT", .marks = HF_FLAG_OURS,
        .doc = "With override set and pin: the reason, for whoever wonders later."),
    OPT("config-validate", HF_FLAG_BOOL, is_check, .marks = HF_FLAG_OURS,
        .doc = "Only compiles configuration and tier file, and ends."),
};

static void print_warnings(const struct hf_gw_plan *p)
{
    for (size_t i = 0; i < p->n_warnings; i++)
        fprintf(stderr, "holdfast gateway: warning: %s\n", p->warnings[i]);
}

static int wait_for_signal(sigset_t *set)
{
    int sig = 0;
    while (sigwait(set, &sig) != 0)
        continue;
    return sig;
}

/* What is wrong with the new configuration is said, and the old one stays. */
static void reload(struct hf_gateway *g, const struct options *o, struct hf_config **cfg)
{
    struct hf_config *next = NULL;
    struct hf_gw_plan *plan = NULL;
    struct hf_err err = HF_ERR_INIT;
    enum hf_code rc = hf_cmd_load_config(&o->config, &next, &err);
    if (rc == HF_OK)
        rc = hf_gw_plan_next(&next->gateway, hf_gateway_plan(g), &plan, &err);
    const struct hf_config_gateway *now = &(*cfg)->gateway;
    if (rc == HF_OK && next->gateway.budget_zone_min == HF_CONFIG_ZONE_NAMED &&
        strcmp(next->gateway.budget_zone, now->budget_zone) != 0)
        rc = hf_err_set(&err, HF_E_UNSUPPORTED,
                        "gateway.budget-zone: %s counts only after a restart",
                        next->gateway.budget_zone);
    if (rc == HF_OK)
        rc = hf_gateway_reload_cert(g, &next->gateway, &err);
    if (rc != HF_OK) {
        hf_log(HF_LOG_ERROR, "configuration not reloaded", HF_F_ERR(&err), HF_F_END);
        hf_gw_plan_free(plan);
        hf_config_free(next);
        return;
    }
    print_warnings(plan);
    if (strcmp(next->gateway.listen, (*cfg)->gateway.listen) != 0)
        hf_log(HF_LOG_WARN, "listen counts only after a restart",
               HF_F_STR("listen", next->gateway.listen), HF_F_END);
    if ((next->gateway.tls_cert == NULL) != ((*cfg)->gateway.tls_cert == NULL))
        hf_log(HF_LOG_WARN, "tls counts only after a restart", HF_F_END);
    bool had_journal = (*cfg)->gateway.journal != NULL;
    if (had_journal != (next->gateway.journal != NULL) ||
        (had_journal && strcmp((*cfg)->gateway.journal, next->gateway.journal) != 0))
        hf_log(HF_LOG_WARN, "journal counts only after a restart", HF_F_END);
    hf_gateway_reload(g, &next->gateway, plan);
    hf_config_free(*cfg);
    *cfg = next;
    hf_log(HF_LOG_INFO, "configuration reloaded", HF_F_U64("routes", plan->n_routes), HF_F_END);
}

static enum hf_code serve(struct hf_config **cfg, const struct options *o, struct hf_gw_plan *plan,
                          struct hf_err *err)
{
    struct hf_gateway *g = NULL;
    sigset_t set;
    int sig;
    HF_TRY(hf_cmd_setup_log(*cfg, o->log_level, err));
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    hf_heap_for_server();
    hf_gw_zone_use(&(*cfg)->gateway);
    HF_TRY(hf_gateway_start(&(*cfg)->gateway, plan, &g, err));
    hf_log(HF_LOG_INFO, "gateway", HF_F_STR("version", HF_VERSION),
           HF_F_STR("listen", hf_gateway_address(g)), HF_F_U64("hosts", plan->n_hosts),
           HF_F_U64("routes", plan->n_routes), HF_F_STR("config", (*cfg)->file), HF_F_END);
    while ((sig = wait_for_signal(&set)) == SIGHUP)
        reload(g, o, cfg);
    hf_log(HF_LOG_INFO, "signal received, draining", HF_F_STR("signal", strsignal(sig)), HF_F_END);
    hf_gateway_stop(g);
    return HF_OK;
}

/* What is asked of a running gateway. */
struct question {
    const struct hf_gateway_ask *ask;
    const struct hf_gw_plan *plan;
    const struct options *o;
    const char **args; /* behind the words */
};
typedef enum hf_code question_fn(const struct question *q, struct hf_err *err);

static enum hf_code q_status(const struct question *q, struct hf_err *err)
{
    return hf_gateway_ask_status(q->ask, err);
}

static enum hf_code q_hosts(const struct question *q, struct hf_err *err)
{
    return hf_gateway_ask_hosts(q->ask, err);
}

static enum hf_code q_routes(const struct question *q, struct hf_err *err)
{
    return hf_gateway_ask_routes(q->ask, q->plan, err);
}

static enum hf_code q_explain(const struct question *q, struct hf_err *err)
{
    return hf_gateway_ask_explain(q->ask, q->args[0], err);
}

static enum hf_code q_what_if(const struct question *q, struct hf_err *err)
{
    if (q->o->down == NULL)
        return hf_err_set(err, HF_E_INVALID, "which host? try what-if --down HOST");
    return hf_gateway_ask_what_if(q->ask, err);
}

static enum hf_code q_usage(const struct question *q, struct hf_err *err)
{
    return hf_gateway_usage_show(q->ask, &q->o->usage, err);
}

static enum hf_code change_override(const struct question *q, const char *verb, struct hf_err *err)
{
    struct hf_gateway_override o = q->o->override;
    o.verb = verb;
    o.subject = q->args[0];
    o.host = strcmp(verb, "pin") == 0 ? q->args[1] : NULL;
    o.by = q->o->usage.by;
    return hf_gateway_override_do(q->ask, &o, err);
}

static enum hf_code q_override_list(const struct question *q, struct hf_err *err)
{
    struct hf_gateway_override o = {.verb = "list"};
    return hf_gateway_override_do(q->ask, &o, err);
}

static enum hf_code q_override_set(const struct question *q, struct hf_err *err)
{
    return change_override(q, "set", err);
}

static enum hf_code q_override_pin(const struct question *q, struct hf_err *err)
{
    return change_override(q, "pin", err);
}

static enum hf_code q_override_clear(const struct question *q, struct hf_err *err)
{
    return change_override(q, "clear", err);
}

static const struct {
    const char *word;
    const char *second; /* NULL: none */
    int n_args;         /* behind the words */
    question_fn *fn;
    bool is_change;
} questions[] = {
    {"status", NULL, 0, q_status, false},
    {"hosts", NULL, 0, q_hosts, false},
    {"routes", NULL, 0, q_routes, false},
    {"routes", "explain", 1, q_explain, false},
    {"explain", NULL, 1, q_explain, false},
    {"what-if", NULL, 0, q_what_if, false},
    {"usage", NULL, 0, q_usage, false},
    {"override", NULL, 0, q_override_list, false},
    {"override", "list", 0, q_override_list, false},
    {"override", "set", 1, q_override_set, true},
    {"override", "pin", 2, q_override_pin, true},
    {"override", "clear", 1, q_override_clear, true},
};

/* Wrong words, or too few or too many behind right ones. */
static enum hf_code unknown_question(const struct hf_run *run, struct hf_err *err)
{
    struct hf_suggest s;
    hf_suggest_init(&s, run->args[0]);
    for (size_t i = 0; i < HF_ARRAY_LEN(questions); i++)
        hf_suggest_offer(&s, questions[i].word);
    bool is_known = s.best != NULL && s.best_distance == 0;
    if (is_known)
        hf_err_set(err, HF_E_INVALID, "%.60s does not go with these words", run->args[0]);
    else
        hf_err_set(err, HF_E_INVALID, "no such question: %.60s", run->args[0]);
    if (is_known || s.best == NULL)
        hf_err_hint(err, "holdfast gateway -help lists the questions and what each needs");
    else
        hf_err_hint(err, "did you mean %s?", s.best);
    return HF_E_INVALID;
}

/* Until it is stopped, or fails. */
static enum hf_code watch(const struct question *q, question_fn *fn, struct hf_err *err)
{
    bool is_screen = !q->o->json && hf_out_is_terminal(STDOUT_FILENO);
    while (true) {
        if (is_screen)
            HF_TRY(hf_out_print(err, "\033[H\033[2J"));
        HF_TRY(fn(q, err));
        hf_clock_sleep_us((uint64_t)WATCH_MS * 1000);
    }
}

static enum hf_code ask(const struct hf_run *run, const struct hf_config *cfg,
                        const struct hf_gw_plan *plan, struct hf_err *err)
{
    const struct options *o = run->options;
    struct hf_gateway_ask a = {.conf = &cfg->gateway, .is_json = o->json, .down = o->down};
    struct question q = {.ask = &a, .plan = plan, .o = o};
    for (size_t i = 0; i < HF_ARRAY_LEN(questions); i++) {
        int n_words = questions[i].second == NULL ? 1 : 2;
        if (strcmp(run->args[0], questions[i].word) != 0 ||
            run->n_args != n_words + questions[i].n_args ||
            (n_words == 2 && strcmp(run->args[1], questions[i].second) != 0))
            continue;
        q.args = run->args + n_words;
        if (o->is_watch && questions[i].is_change)
            return hf_err_set(err, HF_E_INVALID,
                              "--watch is for questions, this changes something");
        return o->is_watch ? watch(&q, questions[i].fn, err) : questions[i].fn(&q, err);
    }
    return unknown_question(run, err);
}

static enum hf_code run_gateway(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    struct hf_config *cfg = NULL;
    struct hf_gw_plan *plan = NULL;
    HF_TRY(hf_cmd_load_config(&o->config, &cfg, err));
    enum hf_code rc = hf_gw_plan_new(&cfg->gateway, &plan, err);
    if (rc == HF_OK && !cfg->gateway.is_set)
        rc = hf_err_set(err, HF_E_INVALID, "%s has no gateway: section", cfg->file);
    if (rc == HF_OK && run->n_args == 0) {
        print_warnings(plan);
        if (o->is_check) {
            rc = hf_out_print(err, "%s: %zu hosts, %zu routes\n", cfg->file, plan->n_hosts,
                              plan->n_routes);
        } else {
            rc = serve(&cfg, o, plan, err);
            plan = NULL; /* the gateway's */
        }
    } else if (rc == HF_OK) {
        rc = ask(run, cfg, plan, err);
    }
    hf_gw_plan_free(plan);
    hf_config_free(cfg);
    return rc;
}

static const struct hf_example examples[] = {
    {"holdfast gateway -config holdfast.yml", "serves until SIGTERM"},
    {"holdfast gateway hosts", "what the running gateway thinks of its hosts"},
    {"holdfast gateway routes explain qwen3:32b", "where a request for it would go now, and why"},
    {"holdfast gateway what-if --down anvil", "what would become of every route"},
    {"holdfast gateway usage --by key,model --since 24h", "who used what, and what it cost"},
    {"holdfast gateway override set forge --for 2h --why 'new fan'", "takes a host out"},
    {"holdfast gateway override pin coder anvil --for 8h", "sends a route to one host"},
    {NULL, NULL},
};

const struct hf_command hf_cmd_gateway = {
    .name = "gateway",
    .group = "Model requests",
    .summary = "keep model requests answered when a host dies",
    .args = "[QUESTION]",
    .words = "status hosts routes explain what-if usage override list set pin clear",
    .min_args = 0,
    .max_args = 4,
    .flags = flags,
    .n_flags = HF_ARRAY_LEN(flags),
    .options_size = sizeof(struct options),
    .examples = examples,
    .run = run_gateway,
    .doc = "Takes requests in the dialects of Ollama, OpenAI and Anthropic at gateway.listen and "
           "sends each to a host of the configuration that can answer it; when that host fails "
           "before anything was answered, to the next one.\n\n"
           "With a QUESTION it asks the gateway that runs with the same configuration:\n"
           "  status                   what it is doing, and who has spent what\n"
           "  hosts                    what it thinks of its hosts, and why\n"
           "  routes                   where each route goes now\n"
           "  routes explain MODEL     where a request would go now, and why\n"
           "  what-if --down HOST      what would become of every route\n"
           "  usage                    who used what, and what it cost\n"
           "  override [list]          what is taken out or pinned\n"
           "  override set HOST        takes a host out\n"
           "  override pin ROUTE HOST  sends a route to one host\n"
           "  override clear NAME      ends either\n"
           "Where gateway.keys are set it shows an admin key of the configuration, or "
           "HOLDFAST_GATEWAY_KEY.\n\n"
           "SIGHUP reads the configuration again: hosts, routes and times are taken over while "
           "requests run, one that is wrong is named in the log and changes nothing. SIGTERM "
           "drains: running answers get gateway.drain-timeout to end.",
};
