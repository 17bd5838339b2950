/* Reads the lists of the gateway: section; what is a plain key, the schema rows have read. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "config/place.h"
#include "config/schema.h"

enum { NAME_BYTES = 64, LIST_MAX = 1000, ZONE_PATH = 200 };

/* Paths in the file count from the file's own folder. */
static const char *beside(const struct hf_config *cfg, const char *path)
{
    if (path == NULL || path[0] == '/' || path[0] == '~')
        return path == NULL ? NULL : hf_place_absolute(cfg->arena, path);
    const char *slash = strrchr(cfg->file, '/');
    if (slash == NULL)
        return hf_place_absolute(cfg->arena, path);
    return hf_place_absolute(
        cfg->arena,
        hf_arena_printf(cfg->arena, "%.*s/%s", (int)(slash - cfg->file), cfg->file, path));
}

static enum hf_code read_host(struct hf_reading *rd, const struct hf_yaml *node, const char *name,
                              struct hf_config_gateway_host *h)
{
    struct hf_view views[] = {{&hf_section_gateway_host, 0, h}, {NULL, 0, NULL}};
    hf_schema_defaults(&hf_section_gateway_host, h);
    HF_TRY(hf_schema_apply(rd, node, name, views));
    h->line = node->line;
    if (h->name == NULL || strpbrk(h->name, "/ ") != NULL)
        return hf_reading_fail(rd, node, name, "needs a name without blanks and slashes");
    return HF_OK;
}

static enum hf_code read_route(struct hf_reading *rd, const struct hf_yaml *node, const char *name,
                               struct hf_config_gateway_route *r)
{
    struct hf_view views[] = {{&hf_section_gateway_route, 0, r}, {NULL, 0, NULL}};
    hf_schema_defaults(&hf_section_gateway_route, r);
    HF_TRY(hf_schema_apply(rd, node, name, views));
    r->line = node->line;
    if (r->name == NULL || r->to.n == 0)
        return hf_reading_fail(rd, node, name, "needs a name and to: [HOST/MODEL]");
    return HF_OK;
}

static enum hf_code read_key(struct hf_reading *rd, const struct hf_yaml *node, const char *name,
                             struct hf_config_gateway_key *k)
{
    struct hf_view views[] = {{&hf_section_gateway_key, 0, k}, {NULL, 0, NULL}};
    hf_schema_defaults(&hf_section_gateway_key, k);
    HF_TRY(hf_schema_apply(rd, node, name, views));
    k->line = node->line;
    k->key_file = beside(rd->cfg, k->key_file);
    hf_reading_check_private(rd, node, "key-file", k->key_file);
    if (k->name == NULL || strlen(k->name) >= NAME_BYTES)
        return hf_reading_fail(rd, node, name, "needs a name of at most %d bytes", NAME_BYTES - 1);
    if ((k->key != NULL) + (k->key_file != NULL) + (k->sha256 != NULL) != 1)
        return hf_reading_fail(rd, node, name, "needs one of key, key-file and sha256");
    return HF_OK;
}

static enum hf_code read_price(struct hf_reading *rd, const struct hf_yaml *node, const char *name,
                               struct hf_config_gateway_price *p)
{
    struct hf_view views[] = {{&hf_section_gateway_price, 0, p}, {NULL, 0, NULL}};
    hf_schema_defaults(&hf_section_gateway_price, p);
    HF_TRY(hf_schema_apply(rd, node, name, views));
    p->line = node->line;
    if (p->model == NULL || strchr(p->model, '/') == NULL)
        return hf_reading_fail(rd, node, name, "needs model: HOST/MODEL");
    return HF_OK;
}

static bool is_limited(const struct hf_config_budget *b)
{
    return b->money_day >= 0 || b->money_all >= 0 || b->tokens_day >= 0 || b->tokens_all >= 0;
}

static bool two_digits(const char *text, int64_t max, int64_t *out)
{
    bool is_it = text[0] >= '0' && text[0] <= '9' && text[1] >= '0' && text[1] <= '9';
    *out = is_it ? (text[0] - '0') * 10 + (text[1] - '0') : 0;
    return is_it && *out <= max;
}

/* Where the C library looks for "Europe/Berlin". */
static bool is_zone_name(const char *text)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/";
    char path[ZONE_PATH];
    bool is_name = text[0] >= 'A' && text[0] <= 'Z' && text[strspn(text, letters)] == '\0';
    int n = snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", text);
    return is_name && n > 0 && (size_t)n < sizeof(path) && access(path, R_OK) == 0;
}

/* "UTC", "+02:00", "-03:30", "Europe/Berlin" */
static bool parse_zone(const char *text, int64_t *minutes)
{
    int64_t hours = 0;
    int64_t rest = 0;
    *minutes = 0;
    if (strcasecmp(text, "utc") == 0)
        return true;
    if (is_zone_name(text)) {
        *minutes = HF_CONFIG_ZONE_NAMED;
        return true;
    }
    if (strlen(text) != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':' ||
        !two_digits(text + 1, 14, &hours) || !two_digits(text + 4, 59, &rest))
        return false;
    *minutes = (hours * 60 + rest) * (text[0] == '-' ? -1 : 1);
    return true;
}

static enum hf_code check_money(struct hf_reading *rd, const struct hf_yaml *section)
{
    struct hf_config_gateway *g = &rd->cfg->gateway;
    bool is_needed = is_limited(&g->budget);
    for (size_t i = 0; i < g->n_keys; i++)
        is_needed = is_needed || is_limited(&g->keys[i].budget);
    if (is_needed && g->journal == NULL)
        return hf_reading_fail(rd, section, "gateway",
                               "a budget needs journal: FILE, or a restart "
                               "would forget what was spent");
    if (!parse_zone(g->budget_zone, &g->budget_zone_min))
        return hf_reading_fail(rd, section, "gateway.budget-zone",
                               "'%.40s' is neither UTC, an offset such as +01:00, nor a zone that "
                               "this system has in /usr/share/zoneinfo",
                               g->budget_zone);
    return HF_OK;
}

static enum hf_code list_of(struct hf_reading *rd, const struct hf_yaml *section, const char *key,
                            const struct hf_yaml **out)
{
    const struct hf_yaml *list = hf_yaml_get(section, key);
    char name[NAME_BYTES];
    snprintf(name, sizeof(name), "gateway.%s", key);
    *out = NULL;
    if (list == NULL || list->kind == HF_YAML_NULL)
        return HF_OK;
    if (list->kind != HF_YAML_LIST)
        return hf_reading_fail(rd, list, name, "needs a list (- name: ...)");
    if (list->n > LIST_MAX)
        return hf_reading_fail(rd, list, name, "has %zu entries (at most %d)", list->n, LIST_MAX);
    *out = list;
    return HF_OK;
}

/* Keys and prices. */
static enum hf_code read_money(struct hf_reading *rd, const struct hf_yaml *section)
{
    struct hf_config *cfg = rd->cfg;
    struct hf_config_gateway *g = &cfg->gateway;
    const struct hf_yaml *list = NULL;
    char name[NAME_BYTES];
    HF_TRY(list_of(rd, section, "keys", &list));
    g->n_keys = list == NULL ? 0 : list->n;
    g->keys = hf_arena_alloc(cfg->arena, g->n_keys + 1, sizeof(*g->keys));
    for (size_t i = 0; i < g->n_keys; i++) {
        snprintf(name, sizeof(name), "gateway.keys[%zu]", i);
        HF_TRY(read_key(rd, list->items[i], name, &g->keys[i]));
    }
    HF_TRY(list_of(rd, section, "prices", &list));
    g->n_prices = list == NULL ? 0 : list->n;
    g->prices = hf_arena_alloc(cfg->arena, g->n_prices + 1, sizeof(*g->prices));
    for (size_t i = 0; i < g->n_prices; i++) {
        snprintf(name, sizeof(name), "gateway.prices[%zu]", i);
        HF_TRY(read_price(rd, list->items[i], name, &g->prices[i]));
    }
    return check_money(rd, section);
}

enum hf_code hf_config_read_gateway(struct hf_reading *rd, const struct hf_yaml *root)
{
    struct hf_config *cfg = rd->cfg;
    struct hf_config_gateway *g = &cfg->gateway;
    const struct hf_yaml *section = hf_yaml_get(root, "gateway");
    const struct hf_yaml *list = NULL;
    char name[NAME_BYTES];
    if (section == NULL || section->kind != HF_YAML_MAP)
        return HF_OK;
    g->is_set = true;
    g->tier_routing = beside(cfg, g->tier_routing);
    g->health_file = beside(cfg, g->health_file);
    g->override_file = beside(cfg, g->override_file);
    g->journal = beside(cfg, g->journal);
    g->tls_cert = beside(cfg, g->tls_cert);
    g->tls_key = beside(cfg, g->tls_key);
    HF_TRY(list_of(rd, section, "hosts", &list));
    g->n_hosts = list == NULL ? 0 : list->n;
    g->hosts = hf_arena_alloc(cfg->arena, g->n_hosts + 1, sizeof(*g->hosts));
    for (size_t i = 0; i < g->n_hosts; i++) {
        snprintf(name, sizeof(name), "gateway.hosts[%zu]", i);
        HF_TRY(read_host(rd, list->items[i], name, &g->hosts[i]));
    }
    HF_TRY(list_of(rd, section, "routes", &list));
    g->n_routes = list == NULL ? 0 : list->n;
    g->routes = hf_arena_alloc(cfg->arena, g->n_routes + 1, sizeof(*g->routes));
    for (size_t i = 0; i < g->n_routes; i++) {
        snprintf(name, sizeof(name), "gateway.routes[%zu]", i);
        HF_TRY(read_route(rd, list->items[i], name, &g->routes[i]));
    }
    return read_money(rd, section);
}
