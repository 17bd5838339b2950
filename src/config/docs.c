#include "config/docs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/parse.h"
#include "base/suggest.h"
#include "config/schema.h"

/* A buffer that remembers its first failure, so that text is put without a check a line. */
struct page {
    struct hf_buf *out;
    struct hf_err *err;
    enum hf_code rc;
};

enum { NAMED = 160 }; /* bytes of a key with its section */

#define SAY(p, ...)                                                                                \
    do {                                                                                           \
        if ((p)->rc == HF_OK)                                                                      \
            (p)->rc = hf_buf_appendf((p)->out, (p)->err, __VA_ARGS__);                             \
    } while (0)

static const char *kind_text(const struct hf_key *key)
{
    switch (key->kind) {
    case HF_KEY_BOOL:
    case HF_KEY_TRI:
        return "true or false";
    case HF_KEY_INT:
        return "whole number";
    case HF_KEY_OCTAL:
        return "permission bits";
    case HF_KEY_MICRO:
        return "amount";
    case HF_KEY_SIZE:
        return "size";
    case HF_KEY_NS:
    case HF_KEY_MS:
        return "duration";
    case HF_KEY_STRING:
        return "text";
    case HF_KEY_STRINGS:
        return "list of texts";
    case HF_KEY_ENUM:
        return "word";
    case HF_KEY_REFUSED:
        return "refused";
    case HF_KEY_SECTION:
    case HF_KEY_NODE:
    default:
        return key->section == NULL ? "whole number" : "section";
    }
}

static void number_text(const struct hf_key *key, int64_t value, char out[HF_DURATION_TEXT])
{
    if (key->kind == HF_KEY_NS || key->kind == HF_KEY_MS)
        hf_duration_format(key->kind == HF_KEY_MS ? value * 1000000 : value, out);
    else if (key->kind == HF_KEY_MICRO)
        hf_micro_format(value, out);
    else
        snprintf(out, HF_DURATION_TEXT, "%" PRId64, value);
}

/* "1ms to 24h0m0s"; without an upper bound that means anything: "at least 1ms". */
static void range_text(const struct hf_key *key, char *out, size_t size)
{
    char low[HF_DURATION_TEXT];
    char high[HF_DURATION_TEXT];
    out[0] = '\0';
    if (key->max == 0 || key->kind == HF_KEY_OCTAL)
        return;
    number_text(key, key->min, low);
    bool is_open = key->kind == HF_KEY_MS && key->max > INT64_MAX / 1000000;
    if (key->kind == HF_KEY_MS && key->max > INT64_C(86400000) * 30000)
        is_open = true;
    if (is_open) {
        if (key->min > 0)
            snprintf(out, size, "at least %s", low);
        return;
    }
    number_text(key, key->max, high);
    snprintf(out, size, "%s to %s", low, high);
}

static void words_text(const struct hf_key *key, char *out, size_t size)
{
    out[0] = '\0';
    for (int i = 0; key->words != NULL && key->words[i] != NULL; i++) {
        size_t len = strlen(out);
        snprintf(out + len, size - len, "%s%s", i == 0 ? "" : ", ", key->words[i]);
    }
}

/* Default, range, replica types, secret...: what stands between name and text. */
static void facts_text(const struct hf_key *key, char *out, size_t size)
{
    char range[2 * HF_DURATION_TEXT + 16];
    char words[120];
    range_text(key, range, sizeof(range));
    words_text(key, words, sizeof(words));
    snprintf(out, size, "%s%s%s%s%s%s%s%s%s%s%s", kind_text(key), words[0] == '\0' ? "" : ": ",
             words, range[0] == '\0' ? "" : ", ", range, key->def == NULL ? "" : "; default ",
             key->def == NULL ? "" : key->def, key->only == NULL ? "" : "; for ",
             key->only == NULL ? "" : key->only,
             (key->flags & HF_KEY_SECRET) != 0 ? "; secret" : "",
             (key->flags & HF_KEY_DEPRECATED) != 0 ? "; deprecated" : "");
}

static const char *since_text(const struct hf_key *key)
{
    return strcmp(key->since, "holdfast") == 0 ? "ours"
           : strcmp(key->since, "0.3") == 0    ? "0.3 on"
                                               : "0.5 on";
}

static void reference_key(struct page *p, const struct hf_key *key)
{
    char facts[400];
    facts_text(key, facts, sizeof(facts));
    SAY(p, "| `%s` | %s | %s | %s%s%s%s", key->name, facts, since_text(key), key->doc,
        key->not_honoured == NULL || key->kind == HF_KEY_REFUSED ? "" : " **Has no effect**: ",
        key->not_honoured == NULL || key->kind == HF_KEY_REFUSED ? "" : key->not_honoured,
        key->not_honoured == NULL || key->kind == HF_KEY_REFUSED ? "" : ".");
    if (key->differs != NULL)
        SAY(p, " *Unlike Litestream*: %s.", key->differs);
    SAY(p, " |\n");
}

static void reference_section(struct page *p, const struct hf_section *s)
{
    if (s->path[0] == '\0')
        SAY(p, "\n## Top of the file\n\n%s\n", s->doc);
    else
        SAY(p, "\n## `%s`\n\n%s\n", s->path, s->doc);
    if (s->n_keys == 0)
        return;
    SAY(p, "\n| key | value | Litestream | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < s->n_keys; i++)
        reference_key(p, &s->keys[i]);
}

enum hf_code hf_docs_reference(struct hf_buf *out, struct hf_err *err)
{
    struct page p = {out, err, HF_OK};
    SAY(&p, "%s",
        "<!-- Written by `holdfast config docs` from src/config/schema_table.c; do not edit. -->\n"
        "# The configuration file\n\n"
        "YAML. `-config FILE` names it; else `HOLDFAST_CONFIG`, `LITESTREAM_CONFIG`, "
        "`/etc/holdfast.yml`, `/etc/litestream.yml`, the first there is. A `litestream.yml` of "
        "0.3 or 0.5 works as it stands; the column *Litestream* says since which version it "
        "knows a key.\n\n"
        "- `$NAME` and `${NAME}` anywhere in the text are replaced by environment variables before "
        "it is read (`-no-expand-env` turns that off). One that is not set is empty. There is no "
        "escape.\n"
        "- Durations: `500ms`, `10s`, `5m`, `24h`, `1h30m`. There are no days: 7 days are `168h`.\n"
        "- Sizes: `4096`, `64KB`, `5MB`, `1GB`; KB = 1024.\n"
        "- Amounts of money: `3`, `0.88`, in whatever currency the prices are in.\n"
        "- A key that nobody knows is named in a warning with a suggestion; "
        "`holdfast config check` fails on it.\n"
        "- Anchors, aliases and `<<` merges work.\n");
    for (size_t i = 0; i < hf_n_sections; i++)
        reference_section(&p, hf_sections[i]);
    return p.rc;
}

/* Text as comment lines of at most 90 columns. */
static void comment(struct page *p, const char *indent, const char *text)
{
    while (*text != '\0') {
        size_t len = strlen(text);
        size_t max = 90 - strlen(indent);
        if (len > max) {
            len = max;
            while (len > 0 && text[len] != ' ')
                len--;
        }
        SAY(p, "%s# %.*s\n", indent, (int)len, text);
        text += len;
        text += strspn(text, " ");
    }
}

static void example_keys(struct page *p, const struct hf_section *s, const char *indent)
{
    for (size_t i = 0; i < s->n_keys; i++) {
        const struct hf_key *key = &s->keys[i];
        if (key->kind == HF_KEY_NODE || key->kind == HF_KEY_REFUSED || key->not_honoured != NULL)
            continue;
        if (key->kind == HF_KEY_SECTION) {
            char deeper[16];
            snprintf(deeper, sizeof(deeper), "%s  ", indent);
            SAY(p, "\n%s#%s:\n", indent, key->name);
            example_keys(p, key->section, deeper);
            continue;
        }
        SAY(p, "\n");
        comment(p, indent, key->doc);
        SAY(p, "%s#%s: %s\n", indent, key->name, key->def == NULL ? "" : key->def);
    }
}

enum hf_code hf_docs_example(struct hf_buf *out, struct hf_err *err)
{
    struct page p = {out, err, HF_OK};
    SAY(&p, "%s",
        "# holdfast.yml: what is kept, and where. Every key: holdfast config docs.\n"
        "# Lines that begin with # show the other keys with their defaults.\n\n"
        "dbs:\n"
        "  - path: /var/lib/app/app.db\n"
        "    replicas:\n"
        "      - url: file:///var/backups/app\n"
        "        retention: 168h\n\n"
        "  # Every database of a directory, those that come later too:\n"
        "  #- dir: /var/lib/tenants\n"
        "  #  pattern: \"*.db\"\n"
        "  #  watch: true\n"
        "  #  replica:\n"
        "  #    url: file:///var/backups/tenants\n\n"
        "  # Further keys of a database:\n");
    example_keys(&p, &hf_section_db, "    ");
    SAY(&p, "\n    # Further keys of a replica:\n");
    example_keys(&p, &hf_section_replica, "        ");
    SAY(&p, "\n# Bundles of settings that a database takes by tier: NAME.\n"
            "#tiers:\n#  critical:\n#    sync-interval: 200ms\n#    retention: 720h\n"
            "\n# Compaction levels.\n#levels:\n#  - interval: 30s\n#  - interval: 5m\n"
            "#  - interval: 1h\n");
    example_keys(&p, &hf_section_root, "");
    return p.rc;
}

static void schema_object(struct hf_json *j, const struct hf_section *s, unsigned mask);

/* The keys of a section, each with its type, into an open "properties" object. */
static void schema_value(struct hf_json *j, const struct hf_key *key)
{
    switch (key->kind) {
    case HF_KEY_BOOL:
    case HF_KEY_TRI:
        hf_json_kstr(j, "type", "boolean");
        return;
    case HF_KEY_INT:
        hf_json_kstr(j, "type", "integer");
        hf_json_ki64(j, "minimum", key->min);
        hf_json_ki64(j, "maximum", key->max);
        return;
    case HF_KEY_NS:
    case HF_KEY_MS:
        hf_json_kstr(j, "type", "string");
        hf_json_kstr(j, "pattern", "^(0|([0-9.]+(ns|us|\xc2\xb5s|ms|s|m|h))+)$");
        return;
    case HF_KEY_ENUM:
        hf_json_key(j, "enum");
        hf_json_array_begin(j);
        for (int i = 0; key->words[i] != NULL; i++)
            hf_json_str(j, key->words[i]);
        hf_json_array_end(j);
        return;
    case HF_KEY_STRINGS:
        hf_json_kstr(j, "type", "array");
        hf_json_key(j, "items");
        hf_json_raw(j, "{\"type\": \"string\"}");
        return;
    case HF_KEY_OCTAL:
    case HF_KEY_SIZE:
        hf_json_key(j, "type");
        hf_json_raw(j, "[\"integer\", \"string\"]");
        return;
    case HF_KEY_MICRO:
        hf_json_key(j, "type");
        hf_json_raw(j, "[\"number\", \"string\"]");
        return;
    case HF_KEY_REFUSED:
        hf_json_key(j, "not");
        hf_json_raw(j, "{}");
        return;
    case HF_KEY_STRING:
    case HF_KEY_SECTION:
    case HF_KEY_NODE:
    default:
        hf_json_kstr(j, "type", key->kind == HF_KEY_STRING ? "string" : "integer");
        return;
    }
}

static void schema_tiers(struct hf_json *j)
{
    hf_json_kstr(j, "type", "object");
    hf_json_key(j, "additionalProperties");
    hf_json_object_begin(j);
    hf_json_kstr(j, "type", "object");
    hf_json_kbool(j, "additionalProperties", false);
    hf_json_key(j, "properties");
    hf_json_object_begin(j);
    schema_object(j, &hf_section_db, HF_KEY_TIER);
    schema_object(j, &hf_section_replica, HF_KEY_TIER);
    hf_json_object_end(j);
    hf_json_object_end(j);
}

/* A section, or a list of sections. */
static void schema_section(struct hf_json *j, const struct hf_key *key)
{
    bool is_list = key->kind == HF_KEY_NODE && strcmp(key->name, "replica") != 0;
    if (strcmp(key->name, "tiers") == 0) {
        schema_tiers(j);
        return;
    }
    if (is_list) {
        hf_json_kstr(j, "type", "array");
        hf_json_key(j, "items");
        hf_json_object_begin(j);
    }
    hf_json_kstr(j, "type", "object");
    hf_json_kbool(j, "additionalProperties", false);
    hf_json_key(j, "properties");
    hf_json_object_begin(j);
    schema_object(j, key->section, 0);
    hf_json_object_end(j);
    if (is_list)
        hf_json_object_end(j);
}

static void schema_object(struct hf_json *j, const struct hf_section *s, unsigned mask)
{
    for (size_t i = 0; i < s->n_keys; i++) {
        const struct hf_key *key = &s->keys[i];
        if (mask != 0 && (key->flags & mask) == 0)
            continue;
        hf_json_key(j, key->name);
        hf_json_object_begin(j);
        hf_json_kstr(j, "description", key->doc);
        if (key->section != NULL)
            schema_section(j, key);
        else
            schema_value(j, key);
        if (key->def != NULL)
            hf_json_kstr(j, "x-default", key->def);
        if ((key->flags & HF_KEY_SECRET) != 0)
            hf_json_kbool(j, "writeOnly", true);
        if ((key->flags & HF_KEY_DEPRECATED) != 0)
            hf_json_kbool(j, "deprecated", true);
        hf_json_kstr(j, "x-since", key->since);
        hf_json_object_end(j);
    }
}

enum hf_code hf_docs_json_schema(struct hf_buf *out, struct hf_err *err)
{
    struct hf_json j;
    hf_json_init(&j, out, true);
    hf_json_object_begin(&j);
    hf_json_kstr(&j, "$schema", "https://json-schema.org/draft/2020-12/schema");
    hf_json_kstr(&j, "title", "holdfast.yml");
    hf_json_kstr(&j, "type", "object");
    hf_json_kbool(&j, "additionalProperties", false);
    hf_json_key(&j, "properties");
    hf_json_object_begin(&j);
    schema_object(&j, &hf_section_root, 0);
    schema_object(&j, &hf_section_replica, HF_KEY_GLOBAL);
    hf_json_object_end(&j);
    hf_json_object_end(&j);
    HF_TRY(hf_json_end(&j, err));
    return hf_buf_append(out, "\n", 1, err);
}

/* "dbs[0].replicas[1].pack", as messages name a key, without what stands in brackets; one of
 * several replicas is in the section of the only one. */
static void without_indexes(const char *text, char out[NAMED])
{
    size_t n = 0;
    while (*text != '\0' && n + 1 < NAMED) {
        if (*text == '[')
            text += strcspn(text, "]");
        else
            out[n++] = *text;
        text += *text != '\0';
    }
    out[n] = '\0';
    char *several = strstr(out, "replicas.");
    if (several != NULL)
        memmove(several + strlen("replica"), several + strlen("replicas"),
                strlen(several + strlen("replicas")) + 1);
}

/* "dbs[].replica.sync-interval", "snapshot.retention" or "retention" name the key of a section. */
static bool is_named(const struct hf_section *s, const struct hf_key *key, const char *text)
{
    char full[NAMED];
    char plain[NAMED];
    char asked[NAMED];
    if (strcmp(text, key->name) == 0)
        return true;
    snprintf(full, sizeof(full), "%s.%s", s->path, key->name);
    without_indexes(full, plain);
    without_indexes(text, asked);
    snprintf(full, sizeof(full), "%s.%s", s->name, key->name);
    return strcmp(asked, plain) == 0 || strcmp(text, full) == 0;
}

static void explain_key(struct page *p, const struct hf_section *s, const struct hf_key *key)
{
    char facts[400];
    facts_text(key, facts, sizeof(facts));
    SAY(p, "%s%s%s%s\n  %s\n  %s\n", p->out->len == 0 ? "" : "\n", s->path,
        s->path[0] == '\0' ? "" : ".", key->name, key->doc, facts);
    if (strcmp(key->since, "holdfast") == 0)
        SAY(p, "  Holdfast's own; Litestream ignores it.\n");
    else
        SAY(p, "  Litestream %s and later.\n", key->since);
    if (key->not_honoured != NULL)
        SAY(p, "  %s: %s.\n", key->kind == HF_KEY_REFUSED ? "Refused" : "Has no effect",
            key->not_honoured);
    if (key->differs != NULL)
        SAY(p, "  Unlike Litestream: %s.\n", key->differs);
    if ((key->flags & HF_KEY_GLOBAL) != 0)
        SAY(p, "  At the top of the file it is the default of all replicas.\n");
    if ((key->flags & HF_KEY_TIER) != 0)
        SAY(p, "  May stand in a tier.\n");
}

static enum hf_code not_explained(const char *key, struct hf_err *err)
{
    struct hf_suggest best;
    hf_suggest_init(&best, key);
    for (size_t i = 0; i < hf_n_sections; i++) {
        for (size_t k = 0; k < hf_sections[i]->n_keys; k++)
            hf_suggest_offer(&best, hf_sections[i]->keys[k].name);
    }
    hf_err_set(err, HF_E_NOT_FOUND, "there is no key %.60s", key);
    if (best.best != NULL)
        hf_err_hint(err, "did you mean %s?", best.best);
    else
        hf_err_hint(err, "holdfast config docs lists them all");
    return HF_E_NOT_FOUND;
}

enum hf_code hf_docs_explain(const char *key, struct hf_buf *out, struct hf_err *err)
{
    struct page p = {out, err, HF_OK};
    size_t before = out->len;
    for (size_t i = 0; i < hf_n_sections; i++) {
        for (size_t k = 0; k < hf_sections[i]->n_keys; k++) {
            if (is_named(hf_sections[i], &hf_sections[i]->keys[k], key))
                explain_key(&p, hf_sections[i], &hf_sections[i]->keys[k]);
        }
    }
    if (p.rc == HF_OK && out->len == before)
        return not_explained(key, err);
    return p.rc;
}

static void explain_json_key(struct hf_json *j, const struct hf_section *s,
                             const struct hf_key *key)
{
    hf_json_object_begin(j);
    hf_json_kstr(j, "section", s->path);
    hf_json_kstr(j, "key", key->name);
    hf_json_kstr(j, "type", kind_text(key));
    hf_json_kstr(j, "default", key->def);
    hf_json_kstr(j, "since", key->since);
    hf_json_kstr(j, "replica_types", key->only);
    hf_json_kbool(j, "secret", (key->flags & HF_KEY_SECRET) != 0);
    hf_json_kstr(j, "doc", key->doc);
    hf_json_kstr(j, "not_honoured", key->not_honoured);
    hf_json_kstr(j, "differs", key->differs);
    hf_json_object_end(j);
}

enum hf_code hf_docs_explain_json(const char *key, struct hf_buf *out, struct hf_err *err)
{
    struct hf_json j;
    size_t found = 0;
    hf_json_init(&j, out, true);
    hf_json_object_begin(&j);
    hf_json_kstr(&j, "schema", "holdfast.config-explain/1");
    hf_json_key(&j, "keys");
    hf_json_array_begin(&j);
    for (size_t i = 0; i < hf_n_sections; i++) {
        for (size_t k = 0; k < hf_sections[i]->n_keys; k++) {
            if (!is_named(hf_sections[i], &hf_sections[i]->keys[k], key))
                continue;
            explain_json_key(&j, hf_sections[i], &hf_sections[i]->keys[k]);
            found++;
        }
    }
    hf_json_array_end(&j);
    hf_json_object_end(&j);
    HF_TRY(hf_json_end(&j, err));
    return found == 0 ? not_explained(key, err) : hf_buf_append(out, "\n", 1, err);
}
