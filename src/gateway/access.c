/* Who may: the key of a request or a page, and what it allows. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/limits.h"
#include "gateway/gateway_int.h"
#include "gateway/hostnames.h"

enum { MACHINE_BYTES = 256 };

static uint64_t hash_text(const char *text)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (; *text != '\0'; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return h;
}

static const struct hf_gw_key *key_of(const struct hf_gw_keys *keys,
                                      const struct hf_httpd_call *call)
{
    return hf_gw_key_of(keys, hf_httpd_call_header(call, "Authorization"),
                        hf_httpd_call_header(call, "x-api-key"));
}

const struct hf_gw_key *hf_gw_key_of_call(const struct hf_gateway *g,
                                          const struct hf_httpd_call *call)
{
    return key_of(&g->plan->keys, call);
}

uint64_t hf_gw_client_of(const struct hf_httpd_call *call, const struct hf_gw_key *key)
{
    if (key != NULL)
        return hash_text(key->name);
    const char *shown = hf_httpd_call_header(call, "Authorization");
    shown = shown != NULL ? shown : hf_httpd_call_header(call, "x-api-key");
    return hash_text(shown != NULL ? shown : hf_httpd_call_peer(call));
}

bool hf_gw_is_private(const struct hf_gw_request *r)
{
    return r->bill.key != NULL && r->bill.key->is_private;
}

bool hf_gw_is_from_here(const struct hf_httpd_call *call)
{
    const char *peer = hf_httpd_call_peer(call);
    return strcmp(peer, "unix") == 0 || strcmp(peer, "::1") == 0 || strncmp(peer, "127.", 4) == 0 ||
           strncmp(peer, "::ffff:127.", 11) == 0;
}

/* A page that somebody's browser shows, from elsewhere. It sends what needs no leave (POST of plain
 * text), so without keys it could pull models and use them. Programs say no origin, or one of their
 * own scheme; "null" is a page that hides where it is from. */
static bool is_foreign_page(const struct hf_httpd_call *call)
{
    const char *origin = hf_httpd_call_header(call, "Origin");
    const char *host = hf_httpd_call_header(call, "Host");
    if (origin == NULL)
        return false;
    bool is_web = strncasecmp(origin, "http://", 7) == 0 || strncasecmp(origin, "https://", 8) == 0;
    if (!is_web)
        return strcmp(origin, "null") == 0;
    const char *from = strstr(origin, "//") + 2;
    return !hf_gw_is_loopback(origin) && (host == NULL || strcasecmp(from, host) != 0);
}

/* By a name that is not ours, which a page of that name would be behind. On an address that is
 * there for others clients come by names that we can't know: there only what says it is a browser
 * is looked at, and a browser says so whenever it sends something. */
static bool is_strange_host(const struct hf_gateway *g, const struct hf_httpd_call *call)
{
    const struct hf_config_gateway *conf = g->conf;
    const char *host = hf_httpd_call_header(call, "Host");
    char machine[MACHINE_BYTES] = "";
    bool is_safe = g->plan->keys.n > 0 || conf->tls_cert != NULL ||
                   strcmp(hf_httpd_call_peer(call), "unix") == 0;
    bool is_browser = hf_httpd_call_header(call, "Origin") != NULL ||
                      hf_httpd_call_header(call, "Referer") != NULL ||
                      hf_httpd_call_header(call, "Sec-Fetch-Site") != NULL;
    if (conf->allowed_hosts.n == 0 &&
        (is_safe || (!is_browser && !hf_gw_is_loopback(conf->listen))))
        return false;
    if (hf_gw_hostname_is_ours(host, machine, &conf->allowed_hosts))
        return false; /* without a system call, as nearly always */
    (void)gethostname(machine, sizeof(machine) - 1);
    return !hf_gw_hostname_is_ours(host, machine, &conf->allowed_hosts);
}

/* What may not ask although no key is missing; true if it is that, with what to say. */
static bool is_stranger(const struct hf_gateway *g, const struct hf_httpd_call *call,
                        struct hf_api_error *e)
{
    if (is_strange_host(g, call))
        hf_api_error_set(e, HF_API_AUTH,
                         "Host %.100s is no name of this gateway: gateway.allowed-hosts would make "
                         "it one",
                         hf_httpd_call_header(call, "Host"));
    else if (g->plan->keys.n == 0 && is_foreign_page(call))
        hf_api_error_set(
            e, HF_API_AUTH,
            "a web page of another origin may not ask here: gateway.keys would allow it");
    else
        return false;
    e->status = 403;
    return true;
}

static const char no_key[] = "no key, or one that nobody here knows: send it as Authorization: "
                             "Bearer or x-api-key";

static void forbid(struct hf_api_error *e)
{
    e->status = 403;
}

/* 403 with the scope that does not allow it; false if nothing is against it. */
static bool is_forbidden(struct hf_gw_request *r)
{
    const struct hf_gw_key *k = r->bill.key;
    if (!hf_gw_key_may_ask(k, r->head.model)) {
        hf_api_error_set(&r->error, HF_API_AUTH,
                         "key %s may not ask for model '%s' (its scope: "
                         "models)",
                         k->name, r->head.model);
    } else if (!k->may_pin && hf_httpd_call_header(r->call, "X-Holdfast-Pin-Host") != NULL) {
        hf_api_error_set(&r->error, HF_API_AUTH, "key %s may not name a host (its scope: pin)",
                         k->name);
    } else {
        return false;
    }
    forbid(&r->error);
    r->last = HF_GW_SCOPE;
    return true;
}

void hf_gw_refuse_private(struct hf_gw_request *r)
{
    r->last = HF_GW_SCOPE;
    bool is_key = hf_gw_is_private(r);
    hf_api_error_set(
        &r->error, HF_API_AUTH, "%s %s is private: no host of the house has model '%s'",
        is_key ? "key" : "route", is_key ? r->bill.key->name : r->route->name, r->head.model);
    forbid(&r->error);
}

static bool is_beyond_limit(struct hf_gw_request *r, uint64_t now_ms)
{
    const struct hf_gw_key *k = r->bill.key;
    struct hf_gw_account *a = r->bill.account;
    if (k->parallel > 0 && a->active > k->parallel) {
        r->retry_after_ms = 1000;
        hf_api_error_set(&r->error, HF_API_RATE,
                         "key %s has %lld requests under way, more than it "
                         "may (parallel)",
                         k->name, (long long)k->parallel);
    } else if (k->per_minute > 0 &&
               !hf_gw_rate_take(&a->rate, k->per_minute, now_ms, &r->retry_after_ms)) {
        hf_api_error_set(&r->error, HF_API_RATE,
                         "key %s has had its %lld requests a minute "
                         "(requests-per-minute)",
                         k->name, (long long)k->per_minute);
    } else {
        return false;
    }
    r->last = HF_GW_KEY_LIMIT;
    return true;
}

/* Finds key and account; false: there is none, r->error says so. */
static bool find_account(struct hf_gw_request *r)
{
    const struct hf_gw_keys *keys = &r->plan->keys;
    struct hf_gw_bill *b = &r->bill;
    if (is_stranger(r->g, r->call, &r->error)) {
        r->last = HF_GW_SCOPE;
        return false;
    }
    if (keys->n > 0)
        b->key = key_of(keys, r->call);
    if (keys->n > 0 && b->key == NULL) {
        r->last = HF_GW_NO_KEY;
        hf_api_error_set(&r->error, HF_API_AUTH, "%s", no_key);
        return false;
    }
    b->account = hf_gw_account_get(r->g, b->key == NULL ? "" : b->key->name);
    if (b->account == NULL) {
        r->last = HF_GW_KEY_LIMIT;
        hf_api_error_set(&r->error, HF_API_BUSY, "more than %d keys were seen since the start",
                         HF_LIMIT_GATEWAY_ACCOUNTS);
        return false;
    }
    b->account->active++;
    return true;
}

bool hf_gw_access(struct hf_gw_request *r, uint64_t now_ms)
{
    bool is_ok = find_account(r);
    const struct hf_gw_key *k = r->bill.key;
    if (is_ok && k != NULL) {
        r->entry.client = hf_gw_client_of(r->call, k);
        if (k->is_batch)
            r->entry.class_ = HF_GWQ_BATCH;
        is_ok = !is_forbidden(r) && !is_beyond_limit(r, now_ms);
    }
    if (!is_ok)
        hf_gw_request_refuse(r);
    return is_ok;
}

/* ---- pages ---- */

enum page_scope { SCOPE_OPEN, SCOPE_KEY, SCOPE_ADMIN };

/* A path that changes a host or shows what all clients did is for admins. */
static enum page_scope scope_of(const char *path)
{
    static const char *const open[] = {"/", "/healthz", "/readyz", "/api/version", "/api/status"};
    for (size_t i = 0; i < HF_ARRAY_LEN(open); i++) {
        if (strcmp(path, open[i]) == 0)
            return SCOPE_OPEN;
    }
    if (strcmp(path, "/metrics") == 0 || strncmp(path, "/holdfast/", 10) == 0 ||
        hf_gw_path_is_managing(path))
        return SCOPE_ADMIN;
    return SCOPE_KEY;
}

bool hf_gw_page_access(struct hf_gateway *g, struct hf_httpd_call *call)
{
    const struct hf_gw_keys *keys = &g->plan->keys;
    enum page_scope scope = scope_of(hf_httpd_call_path(call));
    struct hf_api_error e;
    struct hf_gw_headers h = {.n = 0};
    if (scope != SCOPE_OPEN && is_stranger(g, call, &e)) {
        hf_gw_reply_error(call, hf_gw_path_dialect(call), &e, NULL);
        return false;
    }
    if (keys->n == 0 || scope == SCOPE_OPEN)
        return true;
    if (scope == SCOPE_ADMIN && !hf_gw_keys_have_admin(keys) && hf_gw_is_from_here(call))
        return true;
    const struct hf_gw_key *k = key_of(keys, call);
    if (k != NULL && (scope == SCOPE_KEY || k->is_admin))
        return true;
    if (k == NULL) {
        hf_api_error_set(&e, HF_API_AUTH, "%s", no_key);
    } else {
        hf_api_error_set(&e, HF_API_AUTH, "key %s may not see this (its scope: admin)", k->name);
        forbid(&e);
    }
    if (k == NULL)
        hf_gw_header(&h, "WWW-Authenticate", "Bearer");
    hf_gw_reply_error(call, hf_gw_path_dialect(call), &e, &h);
    return false;
}
