/*
 * Overrides: a host that is taken out, a route that is pinned to a host; each with an owner, a
 * reason and an end. They live in the override file, which people and tools may write as well, and
 * which the API writes.
 *
 *   {"forge":{"healthy":false,"override":true,"expires":TIME,"by":WHO,"why":TEXT},
 *    "route:coder":{"healthy":true,"override":true,"pin":"anvil","expires":TIME,...}}
 *
 * The file is read when it changes (once a second); all of it before any of it counts; a broken one
 * leaves what was said before. Without expires an entry counts for 24 h from when the file was
 * written. What others put into it stays when the API writes.
 *
 * On the gateway's loop; writing is done on the helper thread. Private to gateway/.
 */
#ifndef HF_GATEWAY_OVERRIDES_H
#define HF_GATEWAY_OVERRIDES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "net/httpserver.h"

struct hf_gateway;
struct hf_gw_live_host;

enum { HF_GW_PINS = 64, HF_GW_OVERRIDE_TEXT = 200, HF_GW_PIN_NAME = 256 };

struct hf_gw_override {
    bool is_out; /* of a host */
    bool has_expiry;
    int64_t until_ms; /* wall */
    char by[HF_GW_OVERRIDE_TEXT];
    char why[HF_GW_OVERRIDE_TEXT];
};

struct hf_gw_pinned {
    char route[HF_GW_PIN_NAME];
    size_t host;
    struct hf_gw_override o;
};

struct hf_gw_pins {
    struct hf_gw_pinned list[HF_GW_PINS];
    size_t n;
};

/* Reads the file if it changed and is due; ends what has expired. */
void hf_gw_overrides_tick(struct hf_gateway *g, uint64_t now_ms);
/* The pin of a route (or of a model that is no route); NULL: none. */
const struct hf_gw_pinned *hf_gw_pin_of(const struct hf_gateway *g, const char *route);
/* Members by, why and expires of an open object. */
void hf_gw_override_json(struct hf_json *j, const struct hf_gw_override *o);
/* GET, POST and DELETE of /holdfast/override. */
void hf_gw_override_page(struct hf_gateway *g, struct hf_httpd_call *call);

#endif
