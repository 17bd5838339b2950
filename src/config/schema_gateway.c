/*
 * The rows of the gateway: section and of its lists; schema.h says what the columns mean. Laid out
 * by hand, as schema_table.c is.
 */
#include <stddef.h>

#include "config/schema.h"

/* clang-format off */

static const char *const kind_words[] = {"ollama", "openai", "anthropic", NULL};

#define MIN_MS INT64_C(60000)

#define F(field) offsetof(struct hf_config_gateway_host, field)
static const struct hf_key host_keys[] = {
    {.name = "name", .kind = HF_KEY_STRING, .offset = F(name), .since = "holdfast",
     .doc = "Name of the host in routes, overrides and on the status page."},
    {.name = "url", .kind = HF_KEY_STRING, .offset = F(url), .since = "holdfast",
     .doc = "Base URL: http://10.0.0.2:11434 for Ollama, https://api.together.xyz/v1 for a server "
            "that speaks OpenAI's dialect, https://api.anthropic.com for Anthropic. A loopback URL "
            "is used only on the node of the host's name."},
    {.name = "tailscale-url", .kind = HF_KEY_STRING, .offset = F(tailscale_url),
     .since = "holdfast", .doc = "A second way to the host, tried when url does not connect."},
    {.name = "kind", .kind = HF_KEY_ENUM, .offset = F(kind), .def = "ollama",
     .words = kind_words, .since = "holdfast", .doc = "The dialect it speaks."},
    {.name = "api-key", .kind = HF_KEY_STRING, .offset = F(api_key), .since = "holdfast",
     .flags = HF_KEY_SECRET, .doc = "Key sent to it; best as $VARIABLE."},
    {.name = "api-version", .kind = HF_KEY_STRING, .offset = F(api_version), .since = "holdfast",
     .doc = "anthropic-version header; 2023-06-01 without it. With 2026-10-21 the sampling fields "
            "are left out, because that version refuses them."},
    {.name = "model", .kind = HF_KEY_STRING, .offset = F(model), .since = "holdfast",
     .doc = "Model to ask a provider for where the tier file does not name one."},
    {.name = "local", .kind = HF_KEY_TRI, .offset = F(local), .since = "holdfast",
     .doc = "Whether the host is ours (true) or a cloud; private routes use only ours. Without it: "
            "ollama hosts are ours, others are not."},
    {.name = "parallel", .kind = HF_KEY_INT, .offset = F(parallel), .min = 1, .max = 1024,
     .since = "holdfast", .doc = "Requests sent to it at a time for one model, the rest queues "
            "here. Set it to OLLAMA_NUM_PARALLEL. Without it: 1 for ollama, 32 for others."},
    {.name = "parallel-all", .kind = HF_KEY_INT, .offset = F(parallel_all), .def = "0",
     .max = 4096, .since = "holdfast", .doc = "The same for all of its models together; 0 = no "
            "such limit."},
    {.name = "memory", .kind = HF_KEY_SIZE, .offset = F(memory_bytes), .def = "0",
     .max = INT64_C(1) << 44, .since = "holdfast", .doc = "Memory of the host that models may fill "
            "(of the GPU, where there is one): a model that would push one in use out goes to "
            "another host of ours if one can take it. 0 = not known."},
    {.name = "prewarm", .kind = HF_KEY_STRINGS, .offset = F(prewarm), .since = "holdfast",
     .doc = "Models to load, in this order, when the gateway starts and when the host comes back: "
            "never more than fit in memory; without memory only the first."},
};
#undef F
const struct hf_section hf_section_gateway_host = {
    "gateway-host", "gateway.hosts[]", "A server that models run on.", host_keys,
    HF_ARRAY_LEN(host_keys)};

#define F(field) offsetof(struct hf_config_gateway_route, field)
static const struct hf_key route_keys[] = {
    {.name = "name", .kind = HF_KEY_STRING, .offset = F(name), .since = "holdfast",
     .doc = "Model name that clients ask for."},
    {.name = "aliases", .kind = HF_KEY_STRINGS, .offset = F(aliases), .since = "holdfast",
     .doc = "More names for the same."},
    {.name = "to", .kind = HF_KEY_STRINGS, .offset = F(to), .since = "holdfast",
     .doc = "Where it goes, best first: HOST/MODEL, or HOST/MODEL if A and B down, which counts "
            "only while those hosts cannot be reached."},
    {.name = "private", .kind = HF_KEY_BOOL, .offset = F(is_private), .def = "false",
     .since = "holdfast", .doc = "Never leaves the house: hosts that are not local are left out."},
    {.name = "num-ctx", .kind = HF_KEY_INT, .offset = F(num_ctx), .def = "0",
     .max = INT64_C(1) << 24, .since = "holdfast", .doc = "Context length (tokens) Ollama hosts "
            "are asked for, whatever the client says: differing ones make a host load the model "
            "anew. 0 = the client's."},
    {.name = "keep-alive", .kind = HF_KEY_STRING, .offset = F(keep_alive), .since = "holdfast",
     .doc = "How long Ollama hosts keep the model loaded (30m, -1 for ever) unless the client "
            "says so itself."},
};
#undef F
const struct hf_section hf_section_gateway_route = {
    "gateway-route", "gateway.routes[]", "A model name and where it goes.", route_keys,
    HF_ARRAY_LEN(route_keys)};

static const char *const priority_words[] = {"interactive", "batch", NULL};

#define MONEY_MAX INT64_C(1000000000000000) /* 10^9 of any currency */
#define PRICE_MAX INT64_C(10000000000)      /* 10^4: 10^8 tokens of it still fit 63 bits */
#define TOKENS_MAX INT64_C(1000000000000000)

/* The limits of a budget, of a key and of all. */
#define BUDGET_ROWS(whose) \
    {.name = "money-per-day", .kind = HF_KEY_MICRO, .offset = F(budget.money_day), \
     .max = MONEY_MAX, .since = "holdfast", .doc = "Money that " whose " may cost a day. A " \
     "request is set aside for before it is sent, so that many at once cannot pass it; models " \
     "without a price still answer when it is used up. Needs journal."}, \
    {.name = "money-in-all", .kind = HF_KEY_MICRO, .offset = F(budget.money_all), \
     .max = MONEY_MAX, .since = "holdfast", .doc = "The same since the journal began."}, \
    {.name = "tokens-per-day", .kind = HF_KEY_INT, .offset = F(budget.tokens_day), \
     .min = 0, .max = TOKENS_MAX, .since = "holdfast", .doc = "Tokens, read and written, that " \
     whose " may use a day, also those of models without a price. Needs journal."}, \
    {.name = "tokens-in-all", .kind = HF_KEY_INT, .offset = F(budget.tokens_all), \
     .min = 0, .max = TOKENS_MAX, .since = "holdfast", \
     .doc = "The same since the journal began."}

#define F(field) offsetof(struct hf_config_gateway_key, field)
static const struct hf_key key_keys[] = {
    {.name = "name", .kind = HF_KEY_STRING, .offset = F(name), .since = "holdfast",
     .doc = "Who it is, in the journal, on the status page and in the queue."},
    {.name = "key", .kind = HF_KEY_STRING, .offset = F(key), .flags = HF_KEY_SECRET,
     .since = "holdfast", .doc = "What the client sends, as Authorization: Bearer, x-api-key or "
            "the password of Basic; best as $VARIABLE. One of key, key-file and sha256."},
    {.name = "key-file", .kind = HF_KEY_STRING, .offset = F(key_file), .since = "holdfast",
     .doc = "A file that holds it; white space around it does not count."},
    {.name = "sha256", .kind = HF_KEY_STRING, .offset = F(sha256), .since = "holdfast",
     .doc = "Its SHA-256 in 64 hex digits, as sha256sum prints it for the key without a line "
            "end."},
    {.name = "models", .kind = HF_KEY_STRINGS, .offset = F(models), .since = "holdfast",
     .doc = "Names that it may ask for: models, routes, tiers; * and ? stand for anything. "
            "Without it: all."},
    {.name = "private", .kind = HF_KEY_BOOL, .offset = F(is_private), .def = "false",
     .since = "holdfast", .doc = "Its requests never leave the house: hosts that are not local "
            "are left out."},
    {.name = "admin", .kind = HF_KEY_BOOL, .offset = F(is_admin), .def = "false",
     .since = "holdfast", .doc = "It may see status, usage and metrics and set overrides. With "
            "keys but none that is admin, these are for this machine only."},
    {.name = "pin", .kind = HF_KEY_BOOL, .offset = F(may_pin), .def = "true",
     .since = "holdfast", .doc = "It may name a host with X-Holdfast-Pin-Host."},
    {.name = "priority", .kind = HF_KEY_ENUM, .offset = F(priority), .def = "interactive",
     .words = priority_words, .since = "holdfast", .doc = "Its best place in the queue; a request "
            "may ask for batch by X-Holdfast-Priority."},
    {.name = "parallel", .kind = HF_KEY_INT, .offset = F(parallel), .def = "0", .max = 65536,
     .since = "holdfast", .doc = "Requests it may have under way, queued ones included; 0 = no "
            "limit."},
    {.name = "requests-per-minute", .kind = HF_KEY_INT, .offset = F(per_minute), .def = "0",
     .max = 1000000, .since = "holdfast", .doc = "That many a minute, and as many at once; 0 = "
            "no limit."},
    BUDGET_ROWS("its requests"),
};
#undef F
const struct hf_section hf_section_gateway_key = {
    "gateway-key", "gateway.keys[]", "A client, what it may ask for and what it may spend. "
    "Without any, everybody who reaches the gateway may use it.", key_keys,
    HF_ARRAY_LEN(key_keys)};

#define F(field) offsetof(struct hf_config_gateway_price, field)
static const struct hf_key price_keys[] = {
    {.name = "model", .kind = HF_KEY_STRING, .offset = F(model), .since = "holdfast",
     .doc = "HOST/MODEL, as in routes; * and ? stand for anything. The first that fits counts; a "
            "model that none fits costs nothing."},
    {.name = "input", .kind = HF_KEY_MICRO, .offset = F(input), .def = "0", .max = PRICE_MAX,
     .since = "holdfast", .doc = "For a million tokens read."},
    {.name = "output", .kind = HF_KEY_MICRO, .offset = F(output), .def = "0", .max = PRICE_MAX,
     .since = "holdfast", .doc = "For a million tokens written."},
    {.name = "cached-input", .kind = HF_KEY_MICRO, .offset = F(cached), .max = PRICE_MAX,
     .since = "holdfast", .doc = "For a million tokens read from the provider's cache; without "
            "it as input."},
    {.name = "cache-write", .kind = HF_KEY_MICRO, .offset = F(cache_write), .max = PRICE_MAX,
     .since = "holdfast", .doc = "For a million tokens written to that cache; without it as "
            "input."},
    {.name = "max-output", .kind = HF_KEY_INT, .offset = F(max_output), .def = "0",
     .max = 10000000, .since = "holdfast", .doc = "The most tokens that the model writes in an "
            "answer; 0 = not known. A budget holds that much for a request that says no limit of "
            "its own, instead of default-output-tokens."},
};
#undef F
const struct hf_section hf_section_gateway_price = {
    "gateway-price", "gateway.prices[]", "What tokens cost, in any one currency.", price_keys,
    HF_ARRAY_LEN(price_keys)};

#define F(field) offsetof(struct hf_config_gateway, field)
static const struct hf_key gateway_keys[] = {
    {.name = "listen", .kind = HF_KEY_STRING, .offset = F(listen), .def = "127.0.0.1:4180",
     .since = "holdfast", .doc = "Address clients connect to: HOST:PORT, :PORT or unix:/path."},
    {.name = "node", .kind = HF_KEY_STRING, .offset = F(node), .since = "holdfast",
     .doc = "Name of this machine among the hosts: a host's loopback URL counts only here."},
    {.name = "tier-routing", .kind = HF_KEY_STRING, .offset = F(tier_routing),
     .since = "holdfast", .doc = "A tier-routing.json: its hosts, tiers and failover rules become "
            "hosts and routes, named by tier and by model."},
    {.name = "health-file", .kind = HF_KEY_STRING, .offset = F(health_file), .since = "holdfast",
     .doc = "Written whenever a host's health changes, and every 15s, for other tools: "
            "{\"HOST\":{\"healthy\":true,\"last_check\":TIME}}. Never read."},
    {.name = "override-file", .kind = HF_KEY_STRING, .offset = F(override_file),
     .since = "holdfast", .doc = "Read when it changes: {\"HOST\":{\"healthy\":false,"
            "\"override\":true,\"expires\":TIME,\"by\":WHO,\"why\":TEXT}} takes a host out. "
            "Without expires it counts for 24h from when the file was written."},
    {.name = "tls-cert", .kind = HF_KEY_STRING, .offset = F(tls_cert), .since = "holdfast",
     .doc = "Certificate chain (PEM) for clients; needs tls-key. SIGHUP reads both anew, for "
            "connections to come."},
    {.name = "tls-key", .kind = HF_KEY_STRING, .offset = F(tls_key), .since = "holdfast",
     .doc = "Key (PEM) of tls-cert."},
    {.name = "probe-interval", .kind = HF_KEY_MS, .offset = F(probe_interval_ms), .def = "5s",
     .min = 100, .max = 10 * MIN_MS, .since = "holdfast",
     .doc = "Time between two health checks of a host that is up."},
    {.name = "probe-timeout", .kind = HF_KEY_MS, .offset = F(probe_timeout_ms), .def = "3s",
     .min = 100, .max = MIN_MS, .since = "holdfast", .doc = "How long a check may take."},
    {.name = "connect-timeout", .kind = HF_KEY_MS, .offset = F(connect_timeout_ms), .def = "1s",
     .min = 50, .max = MIN_MS, .since = "holdfast",
     .doc = "For local hosts; clouds and second addresses get three times as long."},
    {.name = "load-timeout", .kind = HF_KEY_MS, .offset = F(load_timeout_ms), .def = "5m",
     .min = 1000, .max = 60 * MIN_MS, .since = "holdfast",
     .doc = "How long a host may stay silent before its first byte while it loads a model and "
            "reads the prompt, as long as its health checks are answered."},
    {.name = "idle-timeout", .kind = HF_KEY_MS, .offset = F(idle_timeout_ms), .def = "1m",
     .min = 1000, .max = 60 * MIN_MS, .since = "holdfast",
     .doc = "Longest pause between two pieces of an answer."},
    {.name = "request-timeout", .kind = HF_KEY_MS, .offset = F(request_timeout_ms), .def = "15m",
     .min = 1000, .max = 1440 * MIN_MS, .since = "holdfast",
     .doc = "Longest time for a request, all tries together."},
    {.name = "queue-timeout", .kind = HF_KEY_MS, .offset = F(queue_timeout_ms), .def = "30s",
     .min = 100, .max = 60 * MIN_MS, .since = "holdfast",
     .doc = "Longest wait for a free slot of a host that is up."},
    {.name = "pause-timeout", .kind = HF_KEY_MS, .offset = F(pause_timeout_ms), .def = "10m",
     .max = 60 * MIN_MS, .since = "holdfast",
     .doc = "Longest wait for a host to come back when no other candidate can take the request; "
            "0 answers at once."},
    {.name = "drain-timeout", .kind = HF_KEY_MS, .offset = F(drain_timeout_ms), .def = "1m",
     .max = 60 * MIN_MS, .since = "holdfast",
     .doc = "How long SIGTERM waits for running answers."},
    {.name = "early-commit", .kind = HF_KEY_MS, .offset = F(early_commit_ms), .def = "0s",
     .max = 10 * MIN_MS, .since = "holdfast", .doc = "After this much silence a stream is begun "
            "with nothing in it (comments, pings, empty pieces) for clients with short time-outs; "
            "an error can then no longer be told by the status. 0s = never."},
    {.name = "allowed-hosts", .kind = HF_KEY_STRINGS, .offset = F(allowed_hosts),
     .since = "holdfast", .doc = "Names by which requests may come (Host header; * and ? stand for "
            "anything), beside addresses, names without a dot, .localhost, .local, .internal and "
            "this machine's: a guard against web pages that let their own name lead here. Without "
            "it requests with a key, over TLS or to a Unix socket may come by any name, on "
            "addresses that are not loopback all but web pages."},
    {.name = "sticky", .kind = HF_KEY_BOOL, .offset = F(is_sticky), .def = "true",
     .since = "holdfast", .doc = "Among hosts of the same rank a conversation goes back to the one "
            "that answered it last, whose prompt cache knows its beginning, unless it would queue "
            "there."},
    {.name = "max-body", .kind = HF_KEY_SIZE, .offset = F(max_body_bytes), .def = "32MB",
     .min = 1024, .max = INT64_C(1) << 30, .since = "holdfast",
     .doc = "Largest request; it is kept in memory until it is answered, to be sent elsewhere if "
            "a host fails."},
    {.name = "max-bodies", .kind = HF_KEY_SIZE, .offset = F(max_bodies_bytes), .def = "256MB",
     .min = 1024, .max = INT64_C(1) << 40, .since = "holdfast",
     .doc = "All requests in memory together; more are answered 503."},
    {.name = "connections-per-client", .kind = HF_KEY_INT, .offset = F(per_address), .def = "2048",
     .min = 1, .max = 4096, .since = "holdfast",
     .doc = "Connections of one IP address; more are closed at once. Of all there may be 4096, so "
            "that one client cannot take them all. Counts from the start of the gateway on."},
    {.name = "queue-per-model", .kind = HF_KEY_INT, .offset = F(queue_per_model), .def = "64",
     .min = 1, .max = 65536, .since = "holdfast",
     .doc = "Requests that may wait for one model of one host."},
    {.name = "queue-all", .kind = HF_KEY_INT, .offset = F(queue_all), .def = "256", .min = 1,
     .max = 65536, .since = "holdfast", .doc = "Requests that may wait in all."},
    {.name = "hosts", .kind = HF_KEY_NODE, .section = &hf_section_gateway_host,
     .since = "holdfast", .doc = "The servers that models run on. An entry that the tier file "
            "names as well adds to what is said there."},
    {.name = "routes", .kind = HF_KEY_NODE, .section = &hf_section_gateway_route,
     .since = "holdfast", .doc = "Model names and where they go. A name that is no route goes to "
            "a host that has a model of that name."},
    {.name = "keys", .kind = HF_KEY_NODE, .section = &hf_section_gateway_key,
     .since = "holdfast", .doc = "The clients that may use it, and for what."},
    {.name = "prices", .kind = HF_KEY_NODE, .section = &hf_section_gateway_price,
     .since = "holdfast", .doc = "What models cost."},
    {.name = "journal", .kind = HF_KEY_STRING, .offset = F(journal), .since = "holdfast",
     .doc = "A SQLite file that gets a row for every request: who, where, tokens, cost, outcome. "
            "Budgets need it. It counts from the start of the gateway on."},
    {.name = "journal-keep", .kind = HF_KEY_MS, .offset = F(journal_keep_ms), .def = "2160h",
     .min = 60 * MIN_MS, .max = INT64_C(87600) * 60 * MIN_MS, .since = "holdfast",
     .doc = "How long its rows are kept; the sums of days and keys are kept for good."},
    {.name = "budget-zone", .kind = HF_KEY_STRING, .offset = F(budget_zone), .def = "UTC",
     .since = "holdfast", .doc = "Where a day of a budget begins at midnight: UTC, an offset "
            "from it such as +01:00, or a zone of the system such as Europe/Berlin, whose days "
            "have 23 and 25 hours when clocks change. Another name counts after a restart."},
    {.name = "default-output-tokens", .kind = HF_KEY_INT, .offset = F(default_output_tokens),
     .def = "4096", .min = 1, .max = 10000000, .since = "holdfast",
     .doc = "When a request says no limit of its own and a budget counts it: what is set aside for "
            "its answer, and the limit that its host is told, unless the price has max-output. "
            "The answer's header X-Holdfast-Output-Limit says so. Towards Anthropic, which wants a "
            "limit, also without a budget."},
    BUDGET_ROWS("all requests together"),
};
#undef F
const struct hf_section hf_section_gateway = {
    "gateway", "gateway", "The gateway for model requests.", gateway_keys,
    HF_ARRAY_LEN(gateway_keys)};

/* clang-format on */
