#include "replica/follow_state.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/parse.h"
#include "ltx/crc64.h"
#include "ltx/ltx.h"

enum {
    SLOT = 128,
    SLOT_SUMMED = 120,
    SEQ_AT = 64,
    CEILING_AT = 72,
    MARKS_AT = 80,
    STATE_MAX = 16384,
};

void hf_follow_state_init(struct hf_follow_state *s, const char *copy, const char *dir)
{
    memset(s, 0, sizeof(*s));
    s->mark_file = (struct hf_file)HF_FILE_CLOSED;
    s->sidecar = hf_asprintf("%s-txid", copy);
    hf_boot_id(s->boot);
    if (dir != NULL) {
        s->dir = hf_strdup(dir);
        return;
    }
    HF_AUTO_FREE char *parent = hf_path_dir(copy);
    HF_AUTO_FREE char *base = hf_path_base(copy);
    HF_AUTO_FREE char *name = hf_asprintf(".%s-holdfast", base);
    s->dir = hf_path_join(parent, name);
}

void hf_follow_state_deinit(struct hf_follow_state *s)
{
    hf_file_close(&s->mark_file);
    hf_free(s->dir);
    hf_free(s->sidecar);
    hf_free(s->replica);
}

/* ---- the durable part ---- */

static char *cut_line(char **rest)
{
    char *line = *rest;
    char *end = strchr(line, '\n');
    if (end == NULL)
        return NULL;
    *end = '\0';
    *rest = end + 1;
    return line;
}

/* "word <int> <int>"; cuts text. */
static bool parse_pair(char *text, const char *word, int64_t out[2])
{
    size_t len = strlen(word);
    if (text == NULL || strncmp(text, word, len) != 0 || text[len] != ' ')
        return false;
    char *first = text + len + 1;
    char *second = strchr(first, ' ');
    if (second == NULL)
        return false;
    *second++ = '\0';
    return hf_parse_i64(first, INT64_MIN, INT64_MAX, &out[0], NULL) == HF_OK &&
           hf_parse_i64(second, INT64_MIN, INT64_MAX, &out[1], NULL) == HF_OK;
}

static bool parse_floor(const char *text, uint64_t *floor)
{
    if (text == NULL || strncmp(text, "floor ", 6) != 0)
        return false;
    *floor = 0;
    return strcmp(text + 6, "0000000000000000") == 0 ||
           hf_parse_txid(text + 6, floor, NULL) == HF_OK;
}

static enum hf_code parse_state(struct hf_follow_state *s, char *text)
{
    char *rest = text;
    char *lines[5];
    for (size_t i = 0; i < HF_ARRAY_LEN(lines); i++) {
        lines[i] = cut_line(&rest);
        if (lines[i] == NULL)
            return HF_E_CORRUPT;
    }
    int64_t file[2];
    int64_t clean[2];
    uint64_t floor = 0;
    if (strcmp(lines[0], "holdfast-follow 1") != 0 || strncmp(lines[1], "replica ", 8) != 0 ||
        !parse_pair(lines[2], "file", file) || !parse_floor(lines[3], &floor) ||
        !parse_pair(lines[4], "clean", clean))
        return HF_E_CORRUPT;
    hf_free(s->replica);
    s->replica = hf_strdup(lines[1] + 8);
    s->dev = (uint64_t)file[0];
    s->inode = (uint64_t)file[1];
    s->floor = floor;
    s->clean_size = (uint64_t)clean[0];
    s->clean_mtime_ns = clean[1];
    return HF_OK;
}

static enum hf_code load_sidecar(struct hf_follow_state *s, bool *is_there, struct hf_err *err)
{
    char *text = NULL;
    size_t len = 0;
    *is_there = false;
    enum hf_code rc = hf_path_read(s->sidecar, STATE_MAX, &text, &len, err);
    if (rc == HF_E_NOT_FOUND)
        return HF_OK;
    HF_TRY(rc);
    text[strcspn(text, "\r\n")] = '\0';
    rc = hf_parse_txid(text, &s->floor, err);
    hf_free(text);
    if (rc != HF_OK)
        return hf_err_set(err, HF_E_CORRUPT, "%s: not a TXID", s->sidecar);
    *is_there = true;
    return HF_OK;
}

/* ---- the fast part ---- */

static void pack_slot(const struct hf_follow_state *s, uint8_t out[SLOT])
{
    memset(out, 0, SLOT);
    memcpy(out, s->boot, sizeof(s->boot));
    hf_put_be64(out + SEQ_AT, s->seq);
    hf_put_be64(out + CEILING_AT, s->ceiling);
    for (int i = 0; i < 2; i++) {
        uint8_t *p = out + MARKS_AT + i * 16;
        hf_put_be32(p, s->marks[i].change);
        hf_put_be32(p + 4, s->marks[i].max_frame);
        hf_put_be32(p + 8, s->marks[i].cksum[0]);
        hf_put_be32(p + 12, s->marks[i].cksum[1]);
    }
    hf_put_be64(out + SLOT_SUMMED, hf_crc64(0, out, SLOT_SUMMED));
}

static void unpack_slot(struct hf_follow_state *s, const uint8_t in[SLOT])
{
    if (hf_crc64(0, in, SLOT_SUMMED) != hf_be64(in + SLOT_SUMMED) || hf_be64(in + SEQ_AT) < s->seq)
        return;
    s->seq = hf_be64(in + SEQ_AT);
    s->ceiling = hf_be64(in + CEILING_AT);
    s->has_marks = s->boot[0] != '\0' && memcmp(in, s->boot, sizeof(s->boot)) == 0;
    for (int i = 0; i < 2; i++) {
        const uint8_t *p = in + MARKS_AT + i * 16;
        s->marks[i] = (struct hf_apply_mark){
            .change = hf_be32(p),
            .max_frame = hf_be32(p + 4),
            .cksum = {hf_be32(p + 8), hf_be32(p + 12)},
        };
    }
}

static enum hf_code load_marks(struct hf_follow_state *s, struct hf_err *err)
{
    HF_AUTO_FREE char *path = hf_path_join(s->dir, "follow-mark");
    char *data = NULL;
    size_t len = 0;
    s->seq = 0;
    s->ceiling = 0;
    s->has_marks = false;
    enum hf_code rc = hf_path_read(path, STATE_MAX, &data, &len, err);
    if (rc == HF_E_NOT_FOUND)
        return HF_OK;
    HF_TRY(rc);
    for (size_t at = 0; at + SLOT <= len && at < 2 * SLOT; at += SLOT)
        unpack_slot(s, (const uint8_t *)data + at);
    hf_free(data);
    return HF_OK;
}

enum hf_code hf_follow_state_load(struct hf_follow_state *s, bool *is_there, bool *is_litestream,
                                  struct hf_err *err)
{
    HF_AUTO_FREE char *path = hf_path_join(s->dir, "follow");
    char *text = NULL;
    size_t len = 0;
    *is_litestream = false;
    enum hf_code rc = hf_path_read(path, STATE_MAX, &text, &len, err);
    if (rc == HF_E_NOT_FOUND) {
        HF_TRY(load_sidecar(s, is_there, err));
        *is_litestream = *is_there;
        return HF_OK;
    }
    HF_TRY(rc);
    rc = parse_state(s, text);
    hf_free(text);
    if (rc != HF_OK)
        return hf_err_set(err, rc, "%s: not the state of a follower", path);
    *is_there = true;
    return load_marks(s, err);
}

enum hf_code hf_follow_state_save(struct hf_follow_state *s, uint64_t floor, struct hf_err *err)
{
    hf_assert(s->replica != NULL);
    char hex[HF_TXID_TEXT];
    hf_txid_format(floor, hex);
    HF_AUTO_FREE char *path = hf_path_join(s->dir, "follow");
    HF_AUTO_FREE char *text =
        hf_asprintf("holdfast-follow 1\nreplica %s\nfile %lld %lld\nfloor %s\nclean %lld %lld\n",
                    s->replica, (long long)s->dev, (long long)s->inode, hex,
                    (long long)s->clean_size, (long long)s->clean_mtime_ns);
    HF_TRY(hf_path_mkdirs(s->dir, 0700, err));
    HF_TRY(hf_path_write_atomic(path, text, strlen(text), 0600, err));
    s->floor = floor;
    if (floor == 0)
        return hf_path_remove(s->sidecar, err);
    HF_AUTO_FREE char *line = hf_asprintf("%s\n", hex);
    return hf_path_write_atomic(s->sidecar, line, strlen(line), 0600, err);
}

enum hf_code hf_follow_state_note(struct hf_follow_state *s, uint64_t ceiling,
                                  const struct hf_apply_mark marks[2], struct hf_err *err)
{
    if (s->mark_file.fd < 0) {
        HF_AUTO_FREE char *path = hf_path_join(s->dir, "follow-mark");
        HF_TRY(hf_path_mkdirs(s->dir, 0700, err));
        HF_TRY(hf_file_open(path, HF_FILE_CREATE, 0600, &s->mark_file, err));
    }
    s->seq++;
    s->ceiling = ceiling;
    s->marks[0] = marks[0];
    s->marks[1] = marks[1];
    uint8_t slot[SLOT];
    pack_slot(s, slot);
    return hf_file_write_at(&s->mark_file, slot, SLOT, (s->seq & 1) * SLOT, err);
}
