/*
 * YAML text as a tree of nodes that know their line and column.
 *
 * libyaml's events, with bounds: nesting HF_YAML_DEPTH, one document, no duplicate keys, keys are
 * plain text. Anchors and "<<" merges work (files written for Litestream use them to share
 * settings): an alias is a second pointer to the same node, so nothing is copied, and the sum of
 * what all aliases stand for is bounded by HF_YAML_WEIGHT (a few lines of nested aliases can stand
 * for billions of nodes). An alias inside its own anchor is an error.
 *
 * Pure; any thread; nodes and their strings live in the arena given.
 */
#ifndef HF_CONFIG_YAMLTREE_H
#define HF_CONFIG_YAMLTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

enum {
    HF_YAML_DEPTH = 16,         /* a configuration needs 6 */
    HF_YAML_WEIGHT = 2000000,   /* nodes, each counted as often as aliases repeat it: 10,000
                                 * databases of 3 replicas with 20 keys are 700,000 */
    HF_YAML_SCALAR = 64 * 1024, /* bytes of one value */
};

enum hf_yaml_kind { HF_YAML_NULL, HF_YAML_TEXT, HF_YAML_LIST, HF_YAML_MAP };

struct hf_yaml;

struct hf_yaml_pair {
    const char *key;
    int line; /* of the key, from 1 */
    int column;
    struct hf_yaml *value;
};

struct hf_yaml {
    enum hf_yaml_kind kind;
    int line; /* from 1 */
    int column;
    const char *text; /* TEXT */
    struct hf_yaml **items;
    struct hf_yaml_pair *pairs;
    size_t n; /* of items or pairs */
    size_t cap;
    uint64_t weight;
};

/* file: name in messages "FILE:LINE:COLUMN: text". An empty text is a NULL node. */
HF_MUST enum hf_code hf_yaml_parse(struct hf_arena *arena, const char *file, const char *text,
                                   size_t len, struct hf_yaml **out, struct hf_err *err);
/* The value of a key, NULL if node is no map or has no such key. */
struct hf_yaml *hf_yaml_get(const struct hf_yaml *node, const char *key);

#endif
