/* holdfast keygen: a key for encrypted replicas, and the ids of keys there are. */
#include <string.h>

#include "base/mem.h"
#include "cmd/out.h"
#include "cmd/rows.h"
#include "os/file.h"
#include "store/keyring.h"

enum { KEY_PERM = 0600 };

struct options {
    bool show;
    bool json;
};

static const struct hf_flag flags[] = {
    {.name = "show",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct options, show),
     .marks = HF_FLAG_OURS,
     .doc = "Make no key: print the ids of those in FILE."},
    {.name = "json",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct options, json),
     .marks = HF_FLAG_OURS,
     .doc = "As JSON, schema holdfast.keygen/1. Holds the key only when there is no FILE."},
};

static enum hf_code print_ids(const struct hf_keyring *ring, const char *file, bool is_json,
                              struct hf_err *err)
{
    struct hf_out_json o;
    char id[HF_KEY_ID_TEXT];
    if (is_json) {
        hf_out_json_begin(&o, "holdfast.keygen/1");
        hf_json_kstr(&o.j, "file", file);
        hf_json_key(&o.j, "keys");
        hf_json_array_begin(&o.j);
    }
    for (size_t i = 0; i < hf_keyring_count(ring); i++) {
        hf_keyring_id_text(ring, i, id);
        if (is_json)
            hf_json_str(&o.j, id);
        else
            HF_TRY(hf_out_print(err, "%s%s\n", id, i == 0 ? "  writes" : "  only reads"));
    }
    if (!is_json)
        return HF_OK;
    hf_json_array_end(&o.j);
    return hf_out_json_end(&o, err);
}

static enum hf_code show(const char *file, bool is_json, struct hf_err *err)
{
    struct hf_config_encryption conf = {.enabled = true, .key_files = {&file, 1}};
    struct hf_keyring *ring = NULL;
    HF_TRY(hf_keyring_get(&conf, &ring, err));
    enum hf_code rc = print_ids(ring, file, is_json, err);
    hf_keyring_put(ring);
    return rc;
}

static enum hf_code save(const char *path, const char *text, struct hf_err *err)
{
    struct hf_file f = HF_FILE_CLOSED;
    HF_AUTO_FREE char *dir = hf_path_dir(path);
    enum hf_code rc = hf_file_open(path, HF_FILE_CREATE_NEW, KEY_PERM, &f, err);
    if (rc == HF_E_EXISTS)
        hf_err_hint(err,
                    "what was encrypted with its key needs it: name another file; --show prints "
                    "its id");
    if (rc != HF_OK)
        return rc;
    rc = hf_file_write_at(&f, text, strlen(text), 0, err);
    if (rc == HF_OK)
        rc = hf_file_sync(&f, err);
    hf_file_close(&f);
    return rc == HF_OK ? hf_path_sync_dir(dir, err) : rc;
}

static enum hf_code print_new(const char *file, const char *key, const char *id, bool is_json,
                              struct hf_err *err)
{
    struct hf_out_json o;
    if (!is_json && file == NULL)
        return hf_out_print(err, "# key id %s\n%s\n", id, key);
    if (!is_json)
        return hf_out_print(err,
                            "%s: key id %s; keep a copy elsewhere: without it nothing can be "
                            "restored\n",
                            file, id);
    hf_out_json_begin(&o, "holdfast.keygen/1");
    hf_json_kstr(&o.j, "file", file);
    hf_json_key(&o.j, "keys");
    hf_json_array_begin(&o.j);
    hf_json_str(&o.j, id);
    hf_json_array_end(&o.j);
    if (file == NULL)
        hf_json_kstr(&o.j, "key", key);
    return hf_out_json_end(&o, err);
}

static enum hf_code run_keygen(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    const char *file = run->n_args > 0 ? run->args[0] : NULL;
    char key[HF_KEY_TEXT];
    char id[HF_KEY_ID_TEXT];
    if (o->show && file == NULL)
        return hf_err_set(err, HF_E_INVALID, "--show needs the FILE of the keys");
    if (o->show)
        return show(file, o->json, err);
    HF_TRY(hf_keyring_generate(key, id, err));
    enum hf_code rc = HF_OK;
    if (file != NULL) {
        char *text = hf_asprintf("# key id %s\n%s\n", id, key);
        rc = save(file, text, err);
        hf_wipe(text, strlen(text));
        hf_free(text);
    }
    if (rc == HF_OK)
        rc = print_new(file, key, id, o->json, err);
    hf_wipe(key, sizeof(key));
    return rc;
}

static const struct hf_example examples[] = {
    {"holdfast keygen /etc/holdfast/backup.key", "a new key, readable by its owner only"},
    {"holdfast keygen --show /etc/holdfast/backup.key", "the ids of the keys in it"},
    {NULL, NULL},
};

const struct hf_command hf_cmd_keygen = {
    .name = "keygen",
    .group = "Set up",
    .summary = "make a key for encrypted replicas",
    .args = "[FILE]",
    .max_args = 1,
    .flags = flags,
    .n_flags = HF_ARRAY_LEN(flags),
    .options_size = sizeof(struct options),
    .examples = examples,
    .run = run_keygen,
    .doc = "Writes 32 random bytes as base64 into FILE, which must not exist, or prints them. "
           "encryption: {key-file: FILE} of a replica takes it. The id of a key is a hash that "
           "tells nothing about it; every encrypted object bears the id of its key.\n\n"
           "To change keys, put the new one in front of the old one: key-file: [NEW, OLD]. What "
           "the old one wrote is read with it until retention has removed it.",
    .exits = "4 when FILE exists.",
};
