/* holdfast version. */
#include "cmd/out.h"
#include "cmd/rows.h"

/* Versions this was built with; set by meson. */
#ifndef HF_BUILT_WITH
#define HF_BUILT_WITH                                                                              \
    {                                                                                              \
        "", ""                                                                                     \
    }
#endif

struct options {
    bool verbose;
    bool json;
};

static const char *const built_with[][2] = {HF_BUILT_WITH};

static const struct hf_flag flags[] = {
    {.name = "v",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct options, verbose),
     .marks = HF_FLAG_OURS,
     .doc = "Also the versions of SQLite, LZ4 and libuv it was built with."},
    {.name = "json",
     .kind = HF_FLAG_BOOL,
     .offset = offsetof(struct options, json),
     .marks = HF_FLAG_OURS,
     .doc = "As JSON, schema holdfast.version/1."},
};

static enum hf_code print_json(struct hf_err *err)
{
    struct hf_out_json o;
    hf_out_json_begin(&o, "holdfast.version/1");
    hf_json_kstr(&o.j, "version", HF_VERSION);
    hf_json_key(&o.j, "libraries");
    hf_json_object_begin(&o.j);
    for (size_t i = 0; i < HF_ARRAY_LEN(built_with); i++)
        hf_json_kstr(&o.j, built_with[i][0], built_with[i][1]);
    hf_json_object_end(&o.j);
    return hf_out_json_end(&o, err);
}

static enum hf_code run_version(struct hf_run *run, struct hf_err *err)
{
    const struct options *o = run->options;
    if (o->json)
        return print_json(err);
    HF_TRY(hf_out_print(err, "%s\n", HF_VERSION));
    for (size_t i = 0; o->verbose && i < HF_ARRAY_LEN(built_with); i++)
        HF_TRY(hf_out_print(err, "%s %s\n", built_with[i][0], built_with[i][1]));
    return HF_OK;
}

const struct hf_command hf_cmd_version = {
    .name = "version",
    .group = "Set up",
    .summary = "print the version",
    .args = "",
    .flags = flags,
    .n_flags = HF_ARRAY_LEN(flags),
    .options_size = sizeof(struct options),
    .run = run_version,
};
