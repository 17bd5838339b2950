/*
 * encryption: of a replica. A replica that should be encrypted must never become plain text by a
 * mistake in the file: a section without a key is an error, not "off".
 */
#include <stdlib.h>

#include "config/place.h"

void hf_place_enter_encryption(const struct hf_yaml *node, struct hf_raw_replica *raw)
{
    static const char *const sources[] = {"key-file", "key-env", "key-command"};
    struct hf_config_encryption *e = &raw->r.encryption;
    const struct hf_yaml *section = hf_yaml_get(node, "encryption");
    if (section == NULL)
        return;
    raw->has_encryption = true;
    for (size_t i = 0; i < HF_ARRAY_LEN(sources); i++) {
        if (hf_yaml_get(section, sources[i]) == NULL)
            continue;
        e->key_files = (struct hf_config_strings){NULL, 0};
        e->key_env = e->key_command = NULL;
    }
}

enum hf_code hf_place_encryption(struct hf_reading *rd, struct hf_raw_replica *raw,
                                 const struct hf_yaml *at, const char *name)
{
    struct hf_config_encryption *e = &raw->r.encryption;
    if (!raw->has_encryption || !e->enabled) {
        *e = (struct hf_config_encryption){.enabled = false};
        return HF_OK;
    }
    int sources = (e->key_files.n > 0) + (e->key_env != NULL) + (e->key_command != NULL);
    if (sources == 0)
        return hf_reading_fail(rd, at, name,
                               "encryption has no key: key-file, key-env or key-command");
    if (sources > 1)
        return hf_reading_fail(rd, at, name,
                               "encryption has several of key-file, key-env and key-command: "
                               "keep one");
    if (raw->r.pack && e->bind_path)
        return hf_reading_fail(rd, at, name,
                               "pack and encryption.bind-path do not go together (a pack is of "
                               "many replicas): pack: false here, or bind-path: false");
    const char **files = hf_arena_alloc(rd->cfg->arena, e->key_files.n + 1, sizeof(*files));
    for (size_t i = 0; i < e->key_files.n; i++)
        files[i] = hf_place_absolute(rd->cfg->arena, e->key_files.items[i]);
    for (size_t i = 0; i < e->key_files.n; i++)
        hf_reading_check_private(rd, at, "encryption.key-file", files[i]);
    e->key_files.items = files;
    return HF_OK;
}

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0';
}

void hf_config_encryption_from_env(struct hf_config_encryption *out, const char **key_file)
{
    static const char key[] = "HOLDFAST_ENCRYPTION_KEY";
    *out = (struct hf_config_encryption){.enabled = true};
    if (is_set("HOLDFAST_ENCRYPTION_KEY_FILE")) {
        *key_file = getenv("HOLDFAST_ENCRYPTION_KEY_FILE");
        out->key_files = (struct hf_config_strings){key_file, 1};
    } else if (is_set(key)) {
        out->key_env = key;
    } else if (is_set("HOLDFAST_ENCRYPTION_KEY_COMMAND")) {
        out->key_command = getenv("HOLDFAST_ENCRYPTION_KEY_COMMAND");
    } else {
        out->enabled = false;
    }
}
