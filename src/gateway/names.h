/*
 * Model names: Ollama's compare without regard to case, and a missing tag means "latest". Pure.
 */
#ifndef HF_GATEWAY_NAMES_H
#define HF_GATEWAY_NAMES_H

#include <stdbool.h>

bool hf_gw_name_equal(const char *a, const char *b);

#endif
