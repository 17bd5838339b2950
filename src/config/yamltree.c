#include "config/yamltree.h"

#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "base/assert.h"

struct anchor {
    const char *name;
    struct hf_yaml *node;
    struct anchor *next;
};

struct reader {
    yaml_parser_t parser;
    struct hf_arena *arena;
    const char *file;
    struct anchor *anchors; /* newest first: a later anchor of the same name wins */
    struct hf_err *err;
};

static enum hf_code parse_node(struct reader *r, yaml_event_t *event, int depth,
                               struct hf_yaml **out);

static enum hf_code fail_at(struct reader *r, yaml_mark_t mark, const char *text, const char *arg)
{
    return hf_err_set(r->err, HF_E_INVALID, "%s:%zu:%zu: %s%s", r->file, mark.line + 1,
                      mark.column + 1, text, arg);
}

static enum hf_code next_event(struct reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event))
        return HF_OK;
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem == NULL ? "not valid YAML" : p->problem;
    if (p->error == YAML_READER_ERROR)
        return hf_err_set(r->err, HF_E_INVALID, "%s: byte %zu: %s", r->file, p->problem_offset,
                          problem);
    return fail_at(r, p->problem_mark, problem, "");
}

static struct hf_yaml *node_new(struct reader *r, enum hf_yaml_kind kind, yaml_mark_t mark)
{
    struct hf_yaml *n = hf_arena_alloc(r->arena, 1, sizeof(*n));
    n->kind = kind;
    n->line = (int)mark.line + 1;
    n->column = (int)mark.column + 1;
    n->weight = 1;
    return n;
}

static void add_anchor(struct reader *r, const yaml_char_t *name, struct hf_yaml *node)
{
    if (name == NULL)
        return;
    struct anchor *a = hf_arena_alloc(r->arena, 1, sizeof(*a));
    a->name = hf_arena_strdup(r->arena, (const char *)name);
    a->node = node;
    a->next = r->anchors;
    r->anchors = a;
}

static bool is_null_word(const char *text)
{
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0;
}

static enum hf_code parse_scalar(struct reader *r, yaml_event_t *event, struct hf_yaml **out)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (strlen(text) != len)
        return fail_at(r, event->start_mark, "a value holds a NUL byte", "");
    if (len > HF_YAML_SCALAR)
        return fail_at(r, event->start_mark, "a value is longer than 64 KiB", "");
    bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    struct hf_yaml *n = node_new(r, is_plain && is_null_word(text) ? HF_YAML_NULL : HF_YAML_TEXT,
                                 event->start_mark);
    n->text = hf_arena_strndup(r->arena, text, len);
    add_anchor(r, event->data.scalar.anchor, n);
    *out = n;
    return HF_OK;
}

static enum hf_code parse_alias(struct reader *r, yaml_event_t *event, struct hf_yaml **out)
{
    const char *name = (const char *)event->data.alias.anchor;
    for (struct anchor *a = r->anchors; a != NULL; a = a->next) {
        if (strcmp(a->name, name) != 0)
            continue;
        *out = a->node;
        return HF_OK;
    }
    return fail_at(r, event->start_mark, "no anchor stands before the alias *", name);
}

/* Doubles an array that lives in the arena; the old one stays there until the arena goes. */
static void *grown(struct reader *r, const void *old, size_t n, size_t *cap, size_t size)
{
    size_t want = *cap == 0 ? 4 : *cap * 2;
    void *p = hf_arena_alloc(r->arena, want, size);
    if (n > 0)
        memcpy(p, old, n * size);
    *cap = want;
    return p;
}

static enum hf_code add_weight(struct reader *r, struct hf_yaml *parent, uint64_t weight,
                               yaml_mark_t mark)
{
    parent->weight += weight; /* both are below the limit: no overflow */
    if (parent->weight > HF_YAML_WEIGHT)
        return fail_at(r, mark, "aliases repeat more than 2,000,000 values", "");
    return HF_OK;
}

static void push_item(struct reader *r, struct hf_yaml *list, struct hf_yaml *item)
{
    if (list->n == list->cap)
        list->items = grown(r, list->items, list->n, &list->cap, sizeof(*list->items));
    list->items[list->n++] = item;
}

static void push_pair(struct reader *r, struct hf_yaml *map, const struct hf_yaml_pair *pair)
{
    if (map->n == map->cap)
        map->pairs = grown(r, map->pairs, map->n, &map->cap, sizeof(*map->pairs));
    map->pairs[map->n++] = *pair;
}

static enum hf_code parse_list(struct reader *r, struct hf_yaml *list, int depth)
{
    for (;;) {
        yaml_event_t event;
        struct hf_yaml *item = NULL;
        HF_TRY(next_event(r, &event));
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return HF_OK;
        }
        yaml_mark_t mark = event.start_mark;
        HF_TRY(parse_node(r, &event, depth + 1, &item));
        hf_assert(item != NULL);
        HF_TRY(add_weight(r, list, item->weight, mark));
        push_item(r, list, item);
    }
}

/* Adds the pairs of from that map has no key for: what "<<" means. */
static enum hf_code merge_map(struct reader *r, struct hf_yaml *map, const struct hf_yaml *from,
                              yaml_mark_t mark)
{
    if (from->kind != HF_YAML_MAP)
        return fail_at(r, mark, "<< needs a mapping", "");
    for (size_t i = 0; i < from->n; i++) {
        if (hf_yaml_get(map, from->pairs[i].key) != NULL)
            continue;
        HF_TRY(add_weight(r, map, from->pairs[i].value->weight, mark));
        push_pair(r, map, &from->pairs[i]);
    }
    return HF_OK;
}

static enum hf_code merge(struct reader *r, struct hf_yaml *map, const struct hf_yaml *from,
                          yaml_mark_t mark)
{
    if (from->kind != HF_YAML_LIST)
        return merge_map(r, map, from, mark);
    for (size_t i = 0; i < from->n; i++)
        HF_TRY(merge_map(r, map, from->items[i], mark));
    return HF_OK;
}

/* Keys are compared with all before them: quadratic, therefore bounded. No section has 100 keys. */
enum { MAP_KEYS_MAX = 1000 };

static enum hf_code check_key(struct reader *r, const struct hf_yaml *map,
                              const struct hf_yaml *key, yaml_mark_t mark)
{
    if (key->kind != HF_YAML_TEXT)
        return fail_at(r, mark, "a key must be plain text", "");
    if (map->n >= MAP_KEYS_MAX)
        return fail_at(r, mark, "more than 1,000 keys in one mapping", "");
    for (size_t i = 0; i < map->n; i++) {
        if (strcmp(map->pairs[i].key, key->text) != 0)
            continue;
        return hf_err_set(r->err, HF_E_INVALID,
                          "%s:%zu:%zu: %.60s is here a second time (first on line %d)", r->file,
                          mark.line + 1, mark.column + 1, key->text, map->pairs[i].line);
    }
    return HF_OK;
}

static enum hf_code parse_pair(struct reader *r, struct hf_yaml *map, yaml_event_t *key_event,
                               int depth, struct hf_yaml **merge_from)
{
    yaml_mark_t mark = key_event->start_mark;
    yaml_event_t event;
    struct hf_yaml *key = NULL;
    struct hf_yaml_pair pair = {0};
    HF_TRY(parse_node(r, key_event, depth + 1, &key));
    HF_TRY(check_key(r, map, key, mark));
    HF_TRY(next_event(r, &event));
    HF_TRY(parse_node(r, &event, depth + 1, &pair.value));
    if (strcmp(key->text, "<<") == 0) {
        *merge_from = pair.value;
        return HF_OK;
    }
    HF_TRY(add_weight(r, map, pair.value->weight, mark));
    pair.key = key->text;
    pair.line = (int)mark.line + 1;
    pair.column = (int)mark.column + 1;
    push_pair(r, map, &pair);
    return HF_OK;
}

static enum hf_code parse_map(struct reader *r, struct hf_yaml *map, int depth)
{
    struct hf_yaml *merge_from = NULL;
    for (;;) {
        yaml_event_t event;
        HF_TRY(next_event(r, &event));
        yaml_mark_t mark = event.start_mark;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return merge_from == NULL ? HF_OK : merge(r, map, merge_from, mark);
        }
        HF_TRY(parse_pair(r, map, &event, depth, &merge_from));
    }
}

/* Reads the node that event begins; deletes the event. */
static enum hf_code parse_node(struct reader *r, yaml_event_t *event, int depth,
                               struct hf_yaml **out)
{
    enum hf_code rc = HF_OK;
    struct hf_yaml *n = NULL;
    yaml_char_t *name = NULL;
    yaml_event_type_t type = event->type;
    if (depth > HF_YAML_DEPTH) {
        rc = fail_at(r, event->start_mark, "nested too deeply", "");
    } else if (type == YAML_SCALAR_EVENT) {
        rc = parse_scalar(r, event, &n);
    } else if (type == YAML_ALIAS_EVENT) {
        rc = parse_alias(r, event, &n);
    } else if (type == YAML_SEQUENCE_START_EVENT) {
        n = node_new(r, HF_YAML_LIST, event->start_mark);
        name = event->data.sequence_start.anchor;
        rc = parse_list(r, n, depth);
    } else if (type == YAML_MAPPING_START_EVENT) {
        n = node_new(r, HF_YAML_MAP, event->start_mark);
        name = event->data.mapping_start.anchor;
        rc = parse_map(r, n, depth);
    } else {
        rc = fail_at(r, event->start_mark, "a value is missing", "");
    }
    if (rc == HF_OK) {
        add_anchor(r, name, n); /* only now: an alias inside its own anchor finds nothing */
        *out = n;
    }
    yaml_event_delete(event);
    return rc;
}

/* Skips the stream's and document's start; then the one document; then nothing may follow. */
static enum hf_code parse_stream(struct reader *r, struct hf_yaml **out)
{
    struct hf_yaml *root = NULL;
    for (;;) {
        yaml_event_t event;
        HF_TRY(next_event(r, &event));
        yaml_mark_t mark = event.start_mark;
        yaml_event_type_t type = event.type;
        bool is_node = type == YAML_SCALAR_EVENT || type == YAML_ALIAS_EVENT ||
                       type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT;
        if (is_node) {
            HF_TRY(parse_node(r, &event, 1, &root));
            continue;
        }
        yaml_event_delete(&event);
        if (type == YAML_DOCUMENT_START_EVENT && root != NULL)
            return fail_at(r, mark, "a second YAML document begins here", "");
        if (type == YAML_STREAM_END_EVENT)
            break;
    }
    *out = root == NULL ? node_new(r, HF_YAML_NULL, (yaml_mark_t){0}) : root;
    return HF_OK;
}

enum hf_code hf_yaml_parse(struct hf_arena *arena, const char *file, const char *text, size_t len,
                           struct hf_yaml **out, struct hf_err *err)
{
    struct reader r = {.arena = arena, .file = file, .err = err};
    int ready = yaml_parser_initialize(&r.parser);
    hf_assert(ready == 1); /* fails only without memory */
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    enum hf_code rc = parse_stream(&r, out);
    yaml_parser_delete(&r.parser);
    return rc;
}

struct hf_yaml *hf_yaml_get(const struct hf_yaml *node, const char *key)
{
    if (node == NULL || node->kind != HF_YAML_MAP)
        return NULL;
    for (size_t i = 0; i < node->n; i++) {
        if (strcmp(node->pairs[i].key, key) == 0)
            return node->pairs[i].value;
    }
    return NULL;
}
