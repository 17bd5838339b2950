#include "config/schema.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/parse.h"
#include "base/suggest.h"

enum { NAME_MAX_BYTES = 200, WARNINGS_MAX = 1000 };

/* A value that is shown in a message: secrets never, long ones shortened by the parsers. */
static enum hf_code fail_text(struct hf_reading *rd, const struct hf_yaml *at, const char *name,
                              const char *text)
{
    if (at->line == 0)
        return hf_err_set(rd->err, HF_E_INVALID, "%s: %s", name, text);
    return hf_err_set(rd->err, HF_E_INVALID, "%s:%d:%d %s%s%s", rd->file, at->line, at->column,
                      name, name[0] == '\0' ? "" : ": ", text);
}

enum hf_code hf_reading_fail(struct hf_reading *rd, const struct hf_yaml *at, const char *name,
                             const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return fail_text(rd, at, name, text);
}

void hf_reading_warn(struct hf_reading *rd, const struct hf_config_warning *w)
{
    struct hf_config *cfg = rd->cfg;
    if (cfg->n_warnings == WARNINGS_MAX || rd->is_muted)
        return;
    if (cfg->n_warnings == rd->cap_warnings) {
        size_t cap = rd->cap_warnings == 0 ? 8 : rd->cap_warnings * 2;
        struct hf_config_warning *all = hf_arena_alloc(cfg->arena, cap, sizeof(*all));
        if (cfg->n_warnings > 0)
            memcpy(all, cfg->warnings, cfg->n_warnings * sizeof(*all));
        cfg->warnings = all;
        rd->cap_warnings = cap;
    }
    cfg->warnings[cfg->n_warnings++] = *w;
}

const struct hf_key *hf_schema_find(const struct hf_section *section, const char *name)
{
    for (size_t i = 0; i < section->n_keys; i++) {
        if (strcmp(section->keys[i].name, name) == 0)
            return &section->keys[i];
    }
    return NULL;
}

static bool is_allowed(const struct hf_view *view, const struct hf_key *key)
{
    return view->mask == 0 || (key->flags & view->mask) != 0;
}

static void store_i64(const struct hf_key *key, void *base, int64_t value)
{
    memcpy((char *)base + key->offset, &value, sizeof(value));
}

static void store_bool(const struct hf_key *key, void *base, bool value)
{
    memcpy((char *)base + key->offset, &value, sizeof(value));
}

static void store_string(const struct hf_key *key, void *base, const char *value)
{
    memcpy((char *)base + key->offset, &value, sizeof(value));
}

static void store_enum(const struct hf_key *key, void *base, int value)
{
    memcpy((char *)base + key->offset, &value, sizeof(value));
}

static enum hf_code parse_octal(const char *text, int64_t max, int64_t *out, struct hf_err *err)
{
    const char *digits = strncmp(text, "0o", 2) == 0 ? text + 2 : text;
    size_t len = strlen(digits);
    long v =
        len >= 1 && len <= 6 && strspn(digits, "01234567") == len ? strtol(digits, NULL, 8) : -1;
    if (v < 0 || v > max)
        return hf_err_set(err, HF_E_INVALID, "'%.60s' are not permission bits (try 0600)", text);
    *out = v;
    return HF_OK;
}

static enum hf_code check_range(const struct hf_key *key, const char *text, int64_t value,
                                struct hf_err *err)
{
    char low[HF_DURATION_TEXT];
    char high[HF_DURATION_TEXT];
    if (key->max == 0 || (value >= key->min && value <= key->max))
        return HF_OK;
    bool is_duration = key->kind == HF_KEY_NS || key->kind == HF_KEY_MS;
    if (!is_duration)
        return hf_err_set(err, HF_E_INVALID, "'%.60s' is not between %" PRId64 " and %" PRId64,
                          text, key->min, key->max);
    int64_t unit = key->kind == HF_KEY_MS ? 1000000 : 1;
    hf_duration_format(key->min * unit, low);
    if (value < key->min)
        return hf_err_set(err, HF_E_INVALID, "'%.60s' is too short (at least %s)", text, low);
    if (key->max > INT64_MAX / unit)
        return hf_err_set(err, HF_E_INVALID, "'%.60s' is too long", text);
    hf_duration_format(key->max * unit, high);
    return hf_err_set(err, HF_E_INVALID, "'%.60s' is too long (at most %s)", text, high);
}

/* Milliseconds are rounded up: a tiny interval must not become 0, which means "off". */
static enum hf_code parse_ms(const char *text, int64_t *out, struct hf_err *err)
{
    int64_t ns;
    HF_TRY(hf_parse_duration_ns(text, &ns, err));
    *out = ns / 1000000 + (ns % 1000000 != 0);
    return HF_OK;
}

static enum hf_code parse_number(const struct hf_key *key, const char *text, int64_t *out,
                                 struct hf_err *err)
{
    int64_t v = 0;
    switch (key->kind) {
    case HF_KEY_OCTAL:
        return parse_octal(text, key->max, out, err);
    case HF_KEY_MICRO:
        return hf_parse_micro(text, key->max, out, err);
    case HF_KEY_SIZE:
        HF_TRY(hf_parse_size(text, &v, err));
        break;
    case HF_KEY_NS:
        HF_TRY(hf_parse_duration_ns(text, &v, err));
        break;
    case HF_KEY_MS:
        HF_TRY(parse_ms(text, &v, err));
        break;
    default:
        HF_TRY(hf_parse_i64(text, INT64_MIN, INT64_MAX, &v, err));
        break;
    }
    HF_TRY(check_range(key, text, v, err));
    *out = v;
    return HF_OK;
}

static enum hf_code parse_enum(const struct hf_key *key, const char *text, int *out,
                               struct hf_err *err)
{
    char words[160] = "";
    for (int i = 0; key->words[i] != NULL; i++) {
        if (strcasecmp(key->words[i], text) == 0) {
            *out = i;
            return HF_OK;
        }
        size_t len = strlen(words);
        snprintf(words + len, sizeof(words) - len, "%s%s", i == 0 ? "" : ", ", key->words[i]);
    }
    return hf_err_set(err, HF_E_INVALID, "'%.60s' is not one of %s", text, words);
}

/* LOG levels are also written "warning" and in capitals. */
static const char *normal_word(const char *text)
{
    return strcasecmp(text, "warning") == 0 ? "warn" : text;
}

/* One scalar by its kind. text is never NULL; strings are kept by pointer. */
static enum hf_code set_scalar(const struct hf_key *key, const char *text, void *base,
                               struct hf_err *err)
{
    int64_t number = 0;
    int word = 0;
    switch (key->kind) {
    case HF_KEY_BOOL:
        HF_TRY(hf_parse_bool(text, &word, err));
        store_bool(key, base, word != 0);
        return HF_OK;
    case HF_KEY_TRI:
        HF_TRY(hf_parse_bool(text, &word, err));
        store_i64(key, base, word);
        return HF_OK;
    case HF_KEY_ENUM:
        HF_TRY(parse_enum(key, normal_word(text), &word, err));
        store_enum(key, base, word);
        return HF_OK;
    case HF_KEY_STRING:
        store_string(key, base, text[0] == '\0' ? NULL : text);
        return HF_OK;
    default:
        HF_TRY(parse_number(key, text, &number, err));
        store_i64(key, base, number);
        return HF_OK;
    }
}

static bool is_number(enum hf_key_kind kind)
{
    return kind == HF_KEY_TRI || kind == HF_KEY_INT || kind == HF_KEY_OCTAL ||
           kind == HF_KEY_SIZE || kind == HF_KEY_NS || kind == HF_KEY_MS || kind == HF_KEY_MICRO;
}

void hf_schema_defaults(const struct hf_section *section, void *base)
{
    for (size_t i = 0; i < section->n_keys; i++) {
        const struct hf_key *key = &section->keys[i];
        if (key->kind == HF_KEY_SECTION) {
            hf_schema_defaults(key->section, (char *)base + key->offset);
        } else if (key->def != NULL) {
            enum hf_code rc = set_scalar(key, key->def, base, NULL);
            hf_assert(rc == HF_OK);
        } else if (is_number(key->kind)) {
            store_i64(key, base, -1);
        }
    }
}

static enum hf_code set_strings(struct hf_reading *rd, const struct hf_key *key,
                                const struct hf_yaml *value, const char *name, void *base)
{
    struct hf_config_strings list = {0};
    size_t n = value->kind == HF_YAML_LIST ? value->n : 1;
    list.items = hf_arena_alloc(rd->cfg->arena, n + 1, sizeof(*list.items));
    for (size_t i = 0; i < n; i++) {
        const struct hf_yaml *item = value->kind == HF_YAML_LIST ? value->items[i] : value;
        if (item->kind != HF_YAML_TEXT)
            return hf_reading_fail(rd, item, name, "needs plain text in each item");
        list.items[list.n++] = hf_arena_strdup(rd->cfg->arena, item->text);
    }
    memcpy((char *)base + key->offset, &list, sizeof(list));
    return HF_OK;
}

/* Once for each row: a fleet's file says the same of every database. */
static void warn_once(struct hf_reading *rd, const struct hf_key *key, struct hf_config_warning *w)
{
    for (size_t i = 0; i < rd->cfg->n_warnings; i++) {
        struct hf_config_warning *old = &rd->cfg->warnings[i];
        if (old->row != key || old->kind != w->kind)
            continue;
        old->n_more += !rd->is_muted;
        return;
    }
    w->row = key;
    hf_reading_warn(rd, w);
}

static void warn_of_row(struct hf_reading *rd, const struct hf_key *key,
                        const struct hf_yaml *value, const char *name)
{
    bool is_default =
        key->def != NULL && value->kind == HF_YAML_TEXT && strcasecmp(key->def, value->text) == 0;
    struct hf_config_warning w = {
        .line = value->line, .column = value->column, .key = hf_arena_strdup(rd->cfg->arena, name)};
    if (key->not_honoured != NULL && !is_default) {
        w.kind = HF_CONFIG_NOT_HONOURED;
        w.text = hf_arena_printf(rd->cfg->arena, "has no effect: %s", key->not_honoured);
        warn_once(rd, key, &w);
    } else if (key->differs != NULL) {
        w.kind = HF_CONFIG_DIFFERS;
        w.text = key->differs;
        warn_once(rd, key, &w);
    }
}

static enum hf_code set_text(struct hf_reading *rd, const struct hf_key *key,
                             const struct hf_yaml *value, const char *name, void *base)
{
    struct hf_err why = HF_ERR_INIT;
    if (value->kind != HF_YAML_TEXT)
        return hf_reading_fail(rd, value, name, "needs one value, not a %s",
                               value->kind == HF_YAML_LIST ? "list" : "mapping");
    const char *text = value->text;
    if (key->kind == HF_KEY_STRING)
        text = hf_arena_strdup(rd->cfg->arena, text);
    enum hf_code rc = set_scalar(key, text, base, &why);
    if (rc == HF_OK || (key->flags & HF_KEY_SECRET) == 0)
        return rc == HF_OK ? HF_OK : fail_text(rd, value, name, why.text);
    return hf_reading_fail(rd, value, name, "is not valid");
}

enum hf_code hf_schema_set(struct hf_reading *rd, const struct hf_key *key,
                           const struct hf_yaml *value, const char *name, void *base)
{
    if (key->kind == HF_KEY_REFUSED) {
        enum hf_code rc = hf_reading_fail(rd, value, name, "%s", key->not_honoured);
        if (rd->err != NULL)
            rd->err->code = HF_E_UNSUPPORTED;
        return rc == HF_OK ? HF_OK : HF_E_UNSUPPORTED;
    }
    if (value->kind == HF_YAML_NULL)
        return HF_OK; /* "key:" alone leaves the default */
    warn_of_row(rd, key, value, name);
    if (key->kind == HF_KEY_NODE)
        return HF_OK;
    if (key->kind == HF_KEY_STRINGS)
        return set_strings(rd, key, value, name, base);
    if (key->kind == HF_KEY_SECTION) {
        struct hf_view sub[] = {{key->section, 0, (char *)base + key->offset}, {NULL, 0, NULL}};
        return hf_schema_apply(rd, value, name, sub);
    }
    return set_text(rd, key, value, name, base);
}

/* Where else the name is a key: a misplaced key is a commoner mistake than a misspelt one. */
static const struct hf_section *other_home(const char *name)
{
    for (size_t i = 0; i < hf_n_sections; i++) {
        if (hf_schema_find(hf_sections[i], name) != NULL)
            return hf_sections[i];
    }
    return NULL;
}

static const char *unknown_text(struct hf_reading *rd, const char *name,
                                const struct hf_view *views)
{
    struct hf_suggest s;
    hf_suggest_init(&s, name);
    for (const struct hf_view *v = views; v->section != NULL; v++) {
        for (size_t i = 0; i < v->section->n_keys; i++) {
            if (is_allowed(v, &v->section->keys[i]))
                hf_suggest_offer(&s, v->section->keys[i].name);
        }
    }
    const struct hf_section *home = other_home(name);
    if (home != NULL && home->path[0] != '\0')
        return hf_arena_printf(rd->cfg->arena, "unknown key here (it belongs in %s)", home->path);
    if (home != NULL)
        return "unknown key here (it belongs at the top of the file)";
    if (s.best != NULL)
        return hf_arena_printf(rd->cfg->arena, "unknown key (did you mean %s?)", s.best);
    return "unknown key";
}

static void warn_unknown(struct hf_reading *rd, const struct hf_yaml_pair *pair, const char *name,
                         const struct hf_view *views)
{
    struct hf_config_warning w = {.kind = HF_CONFIG_UNKNOWN_KEY,
                                  .line = pair->line,
                                  .column = pair->column,
                                  .key = hf_arena_strdup(rd->cfg->arena, name)};
    if (rd->cfg->n_warnings == WARNINGS_MAX || rd->is_muted)
        return;
    w.text = unknown_text(rd, pair->key, views);
    hf_reading_warn(rd, &w);
}

enum hf_code hf_schema_apply(struct hf_reading *rd, const struct hf_yaml *node, const char *prefix,
                             const struct hf_view *views)
{
    if (node == NULL || node->kind == HF_YAML_NULL)
        return HF_OK;
    if (node->kind != HF_YAML_MAP)
        return hf_reading_fail(rd, node, prefix, "needs a mapping of keys and values");
    for (size_t i = 0; i < node->n; i++) {
        const struct hf_yaml_pair *pair = &node->pairs[i];
        char name[NAME_MAX_BYTES];
        snprintf(name, sizeof(name), "%.100s%s%.80s", prefix, prefix[0] == '\0' ? "" : ".",
                 pair->key);
        const struct hf_key *key = NULL;
        const struct hf_view *v = views;
        for (; v->section != NULL; v++) {
            key = hf_schema_find(v->section, pair->key);
            if (key != NULL && is_allowed(v, key))
                break;
            key = NULL;
        }
        if (key == NULL)
            warn_unknown(rd, pair, name, views);
        else
            HF_TRY(hf_schema_set(rd, key, pair->value, name, v->base));
    }
    return HF_OK;
}
