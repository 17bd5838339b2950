/* Files that hold secrets should be their owner's alone. */
#include <string.h>

#include "base/mem.h"
#include "config/place.h"
#include "config/schema.h"
#include "os/file.h"

enum { NOT_OWNER = 0077 };

void hf_reading_check_private(struct hf_reading *rd, const struct hf_yaml *at, const char *key,
                              const char *path)
{
    struct hf_file_stat st;
    if (path == NULL || hf_path_stat(path, &st, NULL) != HF_OK || (st.mode & NOT_OWNER) == 0)
        return; /* one that is missing is told by who needs it */
    struct hf_config_warning w = {
        .kind = HF_CONFIG_EXPOSED, .line = at->line, .column = at->column, .key = key};
    w.text = hf_arena_printf(rd->cfg->arena,
                             "%s has mode %04o: others than its owner can read the secret in it "
                             "(chmod 600 %s)",
                             path, st.mode, path);
    for (size_t i = 0; i < rd->cfg->n_warnings; i++) {
        struct hf_config_warning *old = &rd->cfg->warnings[i];
        if (old->kind != HF_CONFIG_EXPOSED || strcmp(old->text, w.text) != 0)
            continue;
        old->n_more++;
        return;
    }
    hf_reading_warn(rd, &w);
}
