/*
 * The gateway: section of the configuration, as plain values. What it means (which candidate takes
 * over from which) is gateway/plan.h's business.
 *
 * Part of struct hf_config: read-only after loading, strings live as long as it does.
 */
#ifndef HF_CONFIG_GATEWAY_H
#define HF_CONFIG_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_config_strings {
    const char **items;
    size_t n;
};

/* What a host speaks. */
enum hf_config_host_kind { HF_CONFIG_OLLAMA, HF_CONFIG_OPENAI, HF_CONFIG_ANTHROPIC };

struct hf_config_gateway_host {
    const char *name;
    const char *url;           /* base URL; for openai with the /v1 */
    const char *tailscale_url; /* second way to it; NULL: none */
    int kind;                  /* enum hf_config_host_kind */
    const char *api_key;       /* secret */
    const char *api_version;   /* Anthropic's version header; NULL: 2023-06-01 */
    const char *model;         /* model of a provider that the tier file leaves to us; NULL: none */
    int64_t local;             /* 1: ours, 0: a cloud, -1: by kind (ollama is ours) */
    int64_t parallel;          /* requests at a time for one model; -1: 1 for ollama, else 32 */
    int64_t parallel_all;      /* for all models together; 0: no such limit */
    int64_t memory_bytes;      /* for models; 0: not known */
    struct hf_config_strings prewarm; /* models to load when it comes up */
    int line;
};

struct hf_config_gateway_route {
    const char *name;
    struct hf_config_strings aliases;
    struct hf_config_strings to; /* "HOST/MODEL" or "HOST/MODEL if A and B down", best first */
    bool is_private;             /* never leaves the house */
    int64_t num_ctx;             /* context length Ollama is asked for; 0: the client's */
    const char *keep_alive;      /* for Ollama, if the client says none; NULL: none */
    int line;
};

/* Limits; -1: none. Money in millionths of the currency the prices are in. */
struct hf_config_budget {
    int64_t money_day;
    int64_t money_all; /* since the journal began */
    int64_t tokens_day;
    int64_t tokens_all;
};

/* What a client shows to be let in, and what it may then do. */
struct hf_config_gateway_key {
    const char *name;
    const char *key;                 /* secret */
    const char *key_file;            /* absolute; NULL: none */
    const char *sha256;              /* hex digits of the hash of the key */
    struct hf_config_strings models; /* globs; none: every model */
    bool is_private;                 /* its requests never leave the house */
    bool is_admin;
    bool may_pin;
    int priority;       /* 0: interactive, 1: batch */
    int64_t parallel;   /* 0: no limit */
    int64_t per_minute; /* 0: no limit */
    struct hf_config_budget budget;
    int line;
};

/* Prices in millionths of the currency for a million tokens. */
struct hf_config_gateway_price {
    const char *model; /* glob over HOST/MODEL */
    int64_t input;
    int64_t output;
    int64_t cached;      /* -1: as input */
    int64_t cache_write; /* -1: as input */
    int64_t max_output;  /* tokens; 0: not known */
    int line;
};

#define HF_CONFIG_ZONE_NAMED INT64_MAX

struct hf_config_gateway {
    bool is_set; /* the section is there */
    const char *listen;
    const char *node;         /* name of this machine among the hosts */
    const char *tier_routing; /* absolute path of a tier-routing.json; NULL: none */
    const char *health_file;  /* NULL: not written */
    const char *override_file;
    const char *tls_cert; /* both or none */
    const char *tls_key;
    int64_t probe_interval_ms;
    int64_t probe_timeout_ms;
    int64_t connect_timeout_ms;
    int64_t load_timeout_ms;
    int64_t idle_timeout_ms;
    int64_t request_timeout_ms;
    int64_t queue_timeout_ms;
    int64_t pause_timeout_ms;
    int64_t drain_timeout_ms;
    int64_t early_commit_ms; /* silence after which a stream is begun with nothing; 0: never */
    struct hf_config_strings allowed_hosts;
    bool is_sticky; /* a conversation goes back to the host that has it in its cache */
    int64_t max_body_bytes;
    int64_t max_bodies_bytes;
    int64_t per_address; /* connections of one client's address */
    int64_t queue_per_model;
    int64_t queue_all;
    struct hf_config_gateway_host *hosts;
    size_t n_hosts;
    struct hf_config_gateway_route *routes;
    size_t n_routes;
    struct hf_config_gateway_key *keys;
    size_t n_keys;
    struct hf_config_gateway_price *prices;
    size_t n_prices;
    const char *journal; /* absolute; NULL: none */
    int64_t journal_keep_ms;
    const char *budget_zone; /* "UTC", "+02:00", "Europe/Berlin" */
    int64_t budget_zone_min; /* the same in minutes east of UTC, or HF_CONFIG_ZONE_NAMED */
    int64_t default_output_tokens;
    struct hf_config_budget budget; /* of all keys together */
};

#endif
