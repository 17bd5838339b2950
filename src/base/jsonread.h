/*
 * One member of a JSON object: for the small answers of token services. Strict, like
 * hf_json_check. Pure, any thread.
 */
#ifndef HF_BASE_JSONREAD_H
#define HF_BASE_JSONREAD_H

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"

/* A member at the top: a string as it is, an integer in decimal. HF_E_INVALID for text that is no
 * JSON object, HF_E_NOT_FOUND without such a member or of another type. The caller frees *out. */
HF_MUST enum hf_code hf_json_member(const char *text, size_t len, const char *key, char **out,
                                    struct hf_err *err);

#endif
