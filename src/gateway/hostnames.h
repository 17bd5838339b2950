/*
 * Whether a request came by a name that can be this gateway's: against DNS rebinding, where a web
 * page of evil.example lets its own name lead to 127.0.0.1 and is then of the same origin as what
 * answers there. The one thing that page cannot do is send another name in the Host header.
 *
 * Names that nobody on the Internet can register are ours: addresses, names without a dot,
 * localhost and .localhost, .local, .internal (as Ollama has it), and this machine's own name.
 * Pure, any thread.
 */
#ifndef HF_GATEWAY_HOSTNAMES_H
#define HF_GATEWAY_HOSTNAMES_H

#include <stdbool.h>

#include "config/gateway.h"

/* host: the header, with or without a port; NULL or empty: an old client, no browser. machine: name
 * of this machine. allowed: further ones, * and ? stand for anything. */
bool hf_gw_hostname_is_ours(const char *host, const char *machine,
                            const struct hf_config_strings *allowed);

#endif
