/* tier-routing.json into hosts and routes. Unknown keys are left alone: other tools read it, too.
 */
#include <stdio.h>
#include <string.h>

#include "codec/jsonscan.h"
#include "gateway/budget.h"
#include "gateway/plan_int.h"

enum { NAME = 256, URL = 1024, RULES = 64, TIERS = 512 };

/* One failover rule: when host is down, its tiers go to to_host by the model map. */
struct rule {
    size_t host;
    size_t to_host; /* n_hosts: none */
    bool to_claude;
    const char *tiers[TIERS];
    size_t n_tiers;
    bool is_claude_said;          /* that claude has no model */
    struct hf_jsonscan_value map; /* {model: model there}; kind ABSENT: the same names */
};

struct tiers {
    struct hf_gw_builder *b;
    struct hf_jsonscan_value tiers;
    struct hf_jsonscan_value hosts;
    struct hf_jsonscan_value providers;
    struct hf_jsonscan_value rules;
    struct rule *all;
    size_t n_rules;
};

typedef enum hf_code member_fn(struct tiers *t, const char *key,
                               const struct hf_jsonscan_value *value);

static enum hf_code each(struct tiers *t, const struct hf_jsonscan_value *object, const char *what,
                         member_fn *fn)
{
    struct hf_jsonscan s;
    struct hf_jsonscan_value key;
    struct hf_jsonscan_value value;
    bool is_member = false;
    char name[NAME];
    if (object->kind == HF_JSON_ABSENT)
        return HF_OK;
    if (object->kind != HF_JSON_OBJECT)
        return hf_err_set(t->b->err, HF_E_INVALID, "%s is no object", what);
    HF_TRY(hf_jsonscan_open(&s, object->text, object->len, t->b->err));
    for (;;) {
        HF_TRY(hf_jsonscan_next(&s, &key, &value, &is_member, t->b->err));
        if (!is_member)
            return HF_OK;
        HF_TRY(hf_jsonscan_str(&key, name, sizeof(name), t->b->err));
        if (fn(t, name, &value) != HF_OK)
            return hf_err_wrap(t->b->err, "%s.%s", what, name);
    }
}

/* Finds string members; a missing one is "". */
static enum hf_code strings(struct tiers *t, const struct hf_jsonscan_value *object,
                            const char *const *keys, size_t n, char (*out)[URL])
{
    struct hf_jsonscan_value v[8];
    if (object->kind != HF_JSON_OBJECT)
        return hf_err_set(t->b->err, HF_E_INVALID, "is no object");
    HF_TRY(hf_jsonscan_find(object->text, object->len, keys, n, v, t->b->err));
    for (size_t i = 0; i < n; i++) {
        out[i][0] = '\0';
        if (v[i].kind != HF_JSON_ABSENT && v[i].kind != HF_JSON_NULL)
            HF_TRY(hf_jsonscan_str(&v[i], out[i], URL, t->b->err));
    }
    return HF_OK;
}

static enum hf_code add_host(struct tiers *t, const char *name,
                             const struct hf_jsonscan_value *value)
{
    static const char *const keys[] = {"url", "tailscale_url"};
    static const char *const timeout[] = {"health_timeout_ms"};
    char text[2][URL] = {{0}};
    struct hf_jsonscan_value v;
    int64_t ms = 0;
    HF_TRY(strings(t, value, keys, 2, text));
    HF_TRY(hf_jsonscan_find(value->text, value->len, timeout, 1, &v, t->b->err));
    struct hf_gw_host *h = hf_gw_builder_host(t->b, name);
    if (h == NULL)
        return t->b->err->code;
    if (hf_jsonscan_i64(&v, &ms) && ms >= 100 && ms <= 60000)
        h->probe_timeout_ms = ms;
    HF_TRY(hf_gw_builder_url(t->b, h, text[0]));
    return hf_gw_builder_url(t->b, h, text[1]);
}

/* Prices are the configuration's; one that stands here only would be taken for one that counts. */
static void warn_price(struct tiers *t, const struct hf_gw_host *h,
                       const struct hf_jsonscan_value *provider)
{
    static const char *const keys[] = {"price_per_million_tokens_usd"};
    struct hf_jsonscan_value v;
    if (hf_jsonscan_find(provider->text, provider->len, keys, 1, &v, NULL) != HF_OK ||
        v.kind != HF_JSON_NUMBER || v.len > 20 ||
        hf_gw_price_find(t->b->conf, h->name, h->model == NULL ? "" : h->model) != NULL)
        return;
    hf_gw_builder_warn(
        t->b,
        "the price of %s in the tier file does not count, its models are taken to cost "
        "nothing: gateway.prices: [{model: \"%s/*\", input: %.*s, output: %.*s}]",
        h->name, h->name, (int)v.len, v.text, (int)v.len, v.text);
}

static enum hf_code add_provider(struct tiers *t, const char *name,
                                 const struct hf_jsonscan_value *value)
{
    static const char *const keys[] = {"url", "model"};
    char text[2][URL] = {{0}};
    HF_TRY(strings(t, value, keys, 2, text));
    struct hf_gw_host *h = hf_gw_builder_host(t->b, name);
    if (h == NULL)
        return t->b->err->code;
    h->is_cloud = true;
    h->kind = strcmp(name, "claude") == 0 ? HF_CONFIG_ANTHROPIC : HF_CONFIG_OPENAI;
    if (text[1][0] != '\0' && strcmp(text[1], "from configuration") != 0)
        h->model = hf_arena_strdup(t->b->plan->arena, text[1]);
    warn_price(t, h, value);
    return hf_gw_builder_url(t->b, h, text[0]);
}

static enum hf_code open_file(struct tiers *t, struct hf_gw_builder *b, const char *text,
                              size_t len)
{
    static const char *const keys[] = {"tiers", "ollamaHosts", "providerFallback", "failoverRules"};
    struct hf_jsonscan_value v[4];
    *t = (struct tiers){.b = b};
    HF_TRY(hf_jsonscan_find(text, len, keys, 4, v, b->err));
    t->tiers = v[0];
    t->hosts = v[1];
    t->providers = v[2];
    t->rules = v[3];
    return HF_OK;
}

enum hf_code hf_gw_tiers_hosts(struct hf_gw_builder *b, const char *text, size_t len)
{
    struct tiers t;
    HF_TRY(open_file(&t, b, text, len));
    HF_TRY(each(&t, &t.hosts, "ollamaHosts", add_host));
    return each(&t, &t.providers, "providerFallback", add_provider);
}

/* ---- rules ---- */

/* "redirect_anvil_tiers" -> anvil; n_hosts when the key is none of that form. */
static size_t host_between(struct tiers *t, const char *key, const char *before, const char *after)
{
    char name[NAME];
    size_t len = strlen(key);
    size_t b = strlen(before);
    size_t a = strlen(after);
    if (len <= a + b || strncmp(key, before, b) != 0 || strcmp(key + len - a, after) != 0)
        return t->b->plan->n_hosts;
    snprintf(name, sizeof(name), "%.*s", (int)(len - a - b), key + b);
    return hf_gw_plan_host(t->b->plan, name);
}

static enum hf_code rule_tiers(struct tiers *t, struct rule *r,
                               const struct hf_jsonscan_value *value)
{
    struct hf_jsonscan s;
    struct hf_jsonscan_value item;
    bool is_member = false;
    char name[NAME];
    HF_TRY(hf_jsonscan_open(&s, value->text, value->len, t->b->err));
    for (;;) {
        HF_TRY(hf_jsonscan_next(&s, NULL, &item, &is_member, t->b->err));
        if (!is_member)
            return HF_OK;
        HF_TRY(hf_jsonscan_str(&item, name, sizeof(name), t->b->err));
        if (r->n_tiers == TIERS)
            return hf_err_set(t->b->err, HF_E_LIMIT, "more than %d tiers", TIERS);
        r->tiers[r->n_tiers++] = hf_arena_strdup(t->b->plan->arena, name);
    }
}

static enum hf_code rule_member(struct tiers *t, const char *key,
                                const struct hf_jsonscan_value *value)
{
    struct rule *r = &t->all[t->n_rules];
    size_t none = t->b->plan->n_hosts;
    size_t host = host_between(t, key, "redirect_", "_tiers");
    if (host != none) {
        r->host = host;
        return value->kind == HF_JSON_ARRAY
                   ? rule_tiers(t, r, value)
                   : hf_err_set(t->b->err, HF_E_INVALID, "is no list of tiers");
    }
    host = host_between(t, key, "to_", "_models");
    if (host != none) {
        r->to_host = host;
        r->map = *value;
    }
    if (strcmp(key, "to_claude") == 0)
        r->to_claude = value->kind == HF_JSON_TRUE;
    return HF_OK;
}

static enum hf_code add_rule(struct tiers *t, const char *name,
                             const struct hf_jsonscan_value *value)
{
    if (t->n_rules == RULES)
        return hf_err_set(t->b->err, HF_E_LIMIT, "more than %d rules", RULES);
    struct rule *r = &t->all[t->n_rules];
    r->host = r->to_host = t->b->plan->n_hosts;
    HF_TRY(each(t, value, name, rule_member));
    if (r->host == t->b->plan->n_hosts) {
        hf_gw_builder_warn(t->b, "failover rule %s names no known host: not used", name);
        return HF_OK;
    }
    t->n_rules++;
    return HF_OK;
}

/* The model that stands in for model by the rule's map; NULL if it has none. */
static const char *mapped(struct tiers *t, const struct rule *r, const char *model)
{
    struct hf_jsonscan_value v;
    char name[NAME];
    if (r->map.kind != HF_JSON_OBJECT ||
        hf_jsonscan_find(r->map.text, r->map.len, &model, 1, &v, NULL) != HF_OK ||
        v.kind != HF_JSON_STRING || hf_jsonscan_str(&v, name, sizeof(name), NULL) != HF_OK)
        return NULL;
    return hf_arena_strdup(t->b->plan->arena, name);
}

static bool has_tier(const struct rule *r, const char *tier)
{
    for (size_t i = 0; i < r->n_tiers; i++) {
        if (strcmp(r->tiers[i], tier) == 0)
            return true;
    }
    return false;
}

/* is_first: of the routes of a tier, its number, its name and its model; what is wrong is said
 * once. */
static void apply_rule(struct tiers *t, struct rule *r, struct hf_gw_route *route, bool is_first)
{
    struct hf_gw_plan *p = t->b->plan;
    struct hf_gw_candidate c = {.when_down = HF_GW_BIT(r->host)};
    const char *model = mapped(t, r, route->candidates[0].model);
    if (r->to_host < p->n_hosts && model != NULL) {
        c.host = r->to_host;
        c.model = model;
        hf_gw_builder_add(t->b, route, &c);
    } else if (r->to_host < p->n_hosts && is_first) {
        hf_gw_builder_warn(t->b,
                           "route %s: %s is not in the map to %s, so requests wait when %s "
                           "is down",
                           route->name, route->candidates[0].model, p->hosts[r->to_host].name,
                           p->hosts[r->host].name);
    }
    size_t claude = hf_gw_plan_host(p, "claude");
    if (!r->to_claude || claude == p->n_hosts)
        return;
    if (p->hosts[claude].model == NULL) {
        if (!r->is_claude_said)
            hf_gw_builder_warn(
                t->b,
                "what %s has goes to claude when %s is down, but claude has no model: "
                "gateway.hosts: [{name: claude, model: ...}]",
                p->hosts[r->host].name, p->hosts[r->host].name);
        r->is_claude_said = true;
        return;
    }
    c.host = claude;
    c.model = p->hosts[claude].model;
    hf_gw_builder_add(t->b, route, &c);
}

/* A provider's "when": "anvil and forge unreachable" -> those hosts. 0 if it names none. */
static uint64_t when_hosts(struct tiers *t, const char *text)
{
    uint64_t set = 0;
    char word[NAME];
    while (*text != '\0') {
        size_t len = strcspn(text, " ,");
        snprintf(word, sizeof(word), "%.*s", (int)(len < NAME ? len : NAME - 1), text);
        size_t host = hf_gw_plan_host(t->b->plan, word);
        set |= host < t->b->plan->n_hosts ? HF_GW_BIT(host) : 0;
        text += len;
        text += strspn(text, " ,");
    }
    return set;
}

static enum hf_code provider_route(struct tiers *t, const char *name,
                                   const struct hf_jsonscan_value *value)
{
    static const char *const keys[] = {"when"};
    char text[1][URL] = {{0}};
    struct hf_gw_plan *p = t->b->plan;
    HF_TRY(strings(t, value, keys, 1, text));
    struct hf_gw_candidate c = {.host = hf_gw_plan_host(p, name),
                                .when_down = when_hosts(t, text[0])};
    c.model = p->hosts[c.host].model;
    if (c.when_down == 0 || c.model == NULL)
        return HF_OK;
    for (size_t i = 0; i < p->n_routes; i++) {
        if (p->routes[i].n_candidates > 0 &&
            (HF_GW_BIT(p->routes[i].candidates[0].host) & c.when_down) != 0)
            hf_gw_builder_add(t->b, &p->routes[i], &c);
    }
    return HF_OK;
}

/* ---- routes ---- */

static enum hf_code tier_route(struct tiers *t, const char *tier, const char *name,
                               const struct hf_gw_candidate *first, bool *is_first)
{
    if (hf_gw_plan_route(t->b->plan, name) != NULL)
        return HF_OK; /* the configuration's own, or another tier with the same model */
    struct hf_gw_route *route = hf_gw_builder_route(t->b, name);
    if (route == NULL)
        return t->b->err->code;
    hf_gw_builder_add(t->b, route, first);
    for (size_t i = 0; i < t->n_rules; i++) {
        if (t->all[i].host == first->host && has_tier(&t->all[i], tier))
            apply_rule(t, &t->all[i], route, *is_first);
    }
    *is_first = false;
    return HF_OK;
}

static enum hf_code add_tier(struct tiers *t, const char *tier,
                             const struct hf_jsonscan_value *value)
{
    static const char *const keys[] = {"host", "model"};
    char text[2][URL] = {{0}};
    char name[NAME + 8];
    HF_TRY(strings(t, value, keys, 2, text));
    struct hf_gw_candidate c = {.host = hf_gw_plan_host(t->b->plan, text[0])};
    if (c.host == t->b->plan->n_hosts)
        return hf_err_set(t->b->err, HF_E_INVALID, "host '%.60s' is none of ollamaHosts", text[0]);
    if (text[1][0] == '\0')
        return hf_err_set(t->b->err, HF_E_INVALID, "has no model");
    c.model = hf_arena_strdup(t->b->plan->arena, text[1]);
    snprintf(name, sizeof(name), "tier-%s", tier);
    bool is_first = true;
    HF_TRY(tier_route(t, tier, tier, &c, &is_first));
    HF_TRY(tier_route(t, tier, name, &c, &is_first));
    return tier_route(t, tier, c.model, &c, &is_first);
}

enum hf_code hf_gw_tiers_routes(struct hf_gw_builder *b, const char *text, size_t len)
{
    struct tiers t;
    HF_TRY(open_file(&t, b, text, len));
    t.all = hf_arena_alloc(b->plan->arena, RULES + 1, sizeof(*t.all));
    HF_TRY(each(&t, &t.rules, "failoverRules", add_rule));
    HF_TRY(each(&t, &t.tiers, "tiers", add_tier));
    return each(&t, &t.providers, "providerFallback", provider_route);
}
