#include "cmd/prices.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/jsonscan.h"
#include "os/file.h"

extern const char hf_prices_builtin[]; /* packaging/prices.json */

enum { FILE_MAX = 256 << 10 };

struct field {
    const char *key;
    size_t offset;
    bool is_required;
};

#define F(name) offsetof(struct hf_cost_prices, name)
static const struct field numbers[] = {
    {"storage_gb", F(storage_gb), true},
    {"writes_million", F(writes_m), true},
    {"reads_million", F(reads_m), true},
    {"lists_million", F(lists_m), true},
    {"egress_gb", F(egress_gb), true},
    {"list_page", F(list_page), true},
    {"free_storage_gb", F(free_storage_gb), false},
    {"free_writes", F(free_writes), false},
    {"free_reads", F(free_reads), false},
    {"free_lists", F(free_lists), false},
    {"free_egress_gb", F(free_egress_gb), false},
    {"free_egress_of_stored", F(free_egress_of_stored), false},
};
static const struct {
    const char *key;
    size_t offset;
    size_t size;
} texts[] = {
    {"id", F(id), sizeof(((struct hf_cost_prices *)0)->id)},
    {"name", F(name), sizeof(((struct hf_cost_prices *)0)->name)},
    {"as_of", F(as_of), sizeof(((struct hf_cost_prices *)0)->as_of)},
    {"source", F(source), sizeof(((struct hf_cost_prices *)0)->source)},
};
#undef F

static enum hf_code find_one(const struct hf_jsonscan_value *table, const char *key,
                             struct hf_jsonscan_value *out, struct hf_err *err)
{
    return hf_jsonscan_find(table->text, table->len, &key, 1, out, err);
}

static enum hf_code read_number(const struct hf_jsonscan_value *table, const struct field *f,
                                struct hf_cost_prices *p, struct hf_err *err)
{
    struct hf_jsonscan_value v;
    char text[40];
    char *end = text;
    HF_TRY(find_one(table, f->key, &v, err));
    if (v.kind == HF_JSON_ABSENT && !f->is_required)
        return HF_OK;
    snprintf(text, sizeof(text), "%.*s", (int)(v.len < sizeof(text) ? v.len : 0), v.text);
    double n = v.kind == HF_JSON_NUMBER ? strtod(text, &end) : -1;
    if (end == text || *end != '\0' || !isfinite(n) || n < 0)
        return hf_err_set(err, HF_E_INVALID, "price table '%s': %s is not a number from 0 on",
                          p->id, f->key);
    memcpy((char *)p + f->offset, &n, sizeof(n));
    return HF_OK;
}

static enum hf_code read_table(const struct hf_jsonscan_value *table, struct hf_cost_prices *p,
                               struct hf_err *err)
{
    *p = (struct hf_cost_prices){.id = ""};
    if (table->kind != HF_JSON_OBJECT)
        return hf_err_set(err, HF_E_INVALID, "a price table is not an object");
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++) {
        struct hf_jsonscan_value v;
        HF_TRY(find_one(table, texts[i].key, &v, err));
        if (v.kind != HF_JSON_STRING)
            return hf_err_set(err, HF_E_INVALID, "price table '%s' has no %s", p->id, texts[i].key);
        HF_TRY(hf_jsonscan_str(&v, (char *)p + texts[i].offset, texts[i].size, err));
    }
    for (size_t i = 0; i < HF_ARRAY_LEN(numbers); i++)
        HF_TRY(read_number(table, &numbers[i], p, err));
    if (p->list_page < 1)
        return hf_err_set(err, HF_E_INVALID, "price table '%s': list_page is 0", p->id);
    return HF_OK;
}

enum hf_code hf_prices_parse(const char *text, size_t len, struct hf_cost_tables *out,
                             struct hf_err *err)
{
    static const char key[] = "tables";
    const char *keys[] = {key};
    struct hf_jsonscan_value all;
    struct hf_jsonscan scan;
    *out = (struct hf_cost_tables){.n = 0};
    HF_TRY(hf_jsonscan_find(text, len, keys, 1, &all, err));
    if (all.kind != HF_JSON_ARRAY)
        return hf_err_set(err, HF_E_INVALID, "there is no list 'tables'");
    HF_TRY(hf_jsonscan_open(&scan, all.text, all.len, err));
    for (;;) {
        struct hf_jsonscan_value table;
        bool is_member = false;
        HF_TRY(hf_jsonscan_next(&scan, NULL, &table, &is_member, err));
        if (!is_member)
            break;
        if (out->n == HF_PRICES_MAX)
            return hf_err_set(err, HF_E_LIMIT, "more than %d price tables", HF_PRICES_MAX);
        HF_TRY(read_table(&table, &out->items[out->n], err));
        out->n++;
    }
    return out->n > 0 ? HF_OK : hf_err_set(err, HF_E_INVALID, "there is no price table");
}

enum hf_code hf_prices_load(const char *file, struct hf_cost_tables *out, struct hf_err *err)
{
    HF_AUTO_FREE char *text = NULL;
    size_t len = 0;
    if (file == NULL)
        return hf_prices_parse(hf_prices_builtin, strlen(hf_prices_builtin), out, err);
    HF_TRY(hf_path_read(file, FILE_MAX, &text, &len, err));
    enum hf_code rc = hf_prices_parse(text, len, out, err);
    if (rc != HF_OK)
        hf_err_wrap(err, "%s", file);
    return rc;
}

const struct hf_cost_prices *hf_prices_find(const struct hf_cost_tables *t, const char *id)
{
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->items[i].id, id) == 0)
            return &t->items[i];
    }
    return NULL;
}

const struct hf_cost_prices *hf_prices_of(const struct hf_cost_tables *t,
                                          const struct hf_config_replica *r)
{
    static const struct {
        const char *in_endpoint;
        const char *id;
    } services[] = {
        {".r2.cloudflarestorage.com", "r2"},
        {".backblazeb2.com", "b2"},
        {".amazonaws.com", "s3"},
    };
    if (r->type == HF_REPLICA_ABS)
        return hf_prices_find(t, "azure");
    if (r->type != HF_REPLICA_S3)
        return NULL;
    if (r->endpoint == NULL)
        return hf_prices_find(t, "s3");
    for (size_t i = 0; i < HF_ARRAY_LEN(services); i++) {
        if (strstr(r->endpoint, services[i].in_endpoint) != NULL)
            return hf_prices_find(t, services[i].id);
    }
    return NULL;
}
