/* Reads the lists of the gateway: section; what is a plain key, the schema rows have read. */
#include <stdio.h>
#include <string.h>

#include "config/place.h"
#include "config/schema.h"

enum { NAME_BYTES = 64, LIST_MAX = 1000 };

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
    return HF_OK;
}
