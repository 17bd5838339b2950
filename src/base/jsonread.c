#include "base/jsonread.h"

#include <jansson.h>

#include "base/mem.h"

enum hf_code hf_json_member(const char *text, size_t len, const char *key, char **out,
                            struct hf_err *err)
{
    json_error_t why;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    enum hf_code rc = HF_OK;
    if (!json_is_object(root)) {
        json_decref(root);
        return hf_err_set(err, HF_E_INVALID, "not a JSON object");
    }
    const json_t *value = json_object_get(root, key);
    if (json_is_string(value))
        *out = hf_strdup(json_string_value(value));
    else if (json_is_integer(value))
        *out = hf_asprintf("%lld", (long long)json_integer_value(value));
    else
        rc = hf_err_set(err, HF_E_NOT_FOUND, "no text or integer member '%s'", key);
    json_decref(root);
    return rc;
}
