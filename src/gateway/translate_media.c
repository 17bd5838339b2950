#include "gateway/translate_media.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/attr.h"
#include "codec/jsonscan.h"

enum media { MEDIA_IMAGE, MEDIA_PDF, MEDIA_SOUND };

/* Base64 of the first bytes; a dot stands for anything. */
static const struct {
    const char *magic;
    enum media is;
} magics[] = {
    {"iVBORw0KGgo", MEDIA_IMAGE}, {"/9j/", MEDIA_IMAGE},
    {"R0lGOD", MEDIA_IMAGE},      {"UklGR......XRUJQ", MEDIA_IMAGE}, /* RIFF....WEBP */
    {"JVBERi0", MEDIA_PDF},       {"SUQz", MEDIA_SOUND},
    {"//", MEDIA_SOUND},          {"UklGR......XQVZF", MEDIA_SOUND}, /* RIFF....WAVE */
    {"T2dnUw", MEDIA_SOUND},      {"ZkxhQw", MEDIA_SOUND},
    {"GkXfo", MEDIA_SOUND},
};

static bool begins(const char *text, size_t len, const char *magic)
{
    size_t n = strlen(magic);
    for (size_t i = 0; i < n; i++) {
        if (i >= len || (magic[i] != '.' && magic[i] != text[i]))
            return false;
    }
    return true;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t hf_media_bound(const char *base64, size_t len)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(magics); i++) {
        if (!begins(base64, len, magics[i].magic))
            continue;
        switch (magics[i].is) {
        case MEDIA_IMAGE:
            return HF_MEDIA_IMAGE;
        case MEDIA_PDF:
            return least((int64_t)len, HF_MEDIA_FILE);
        case MEDIA_SOUND:
            return (int64_t)len / HF_MEDIA_SOUND_BYTES + 1;
        }
    }
    return (int64_t)len;
}

/* ---- what is only pointed to ---- */

enum {
    WORD = 24,      /* longer than any word below */
    LINK = 16 << 10 /* longer ones are no links, but what they point to itself */
};

struct links {
    int64_t n_files;
    int64_t n_any; /* an image, or a file if the body has any word of files */
    bool has_files;
    bool has_text;
};

static const char *behind_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
        p++;
    return p;
}

static bool is_one_of(const char *word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcasecmp(word, words[i]) == 0)
            return true;
    return false;
}

/* A data URL whose bytes a host may read as text. */
static bool is_text_url(const char *url, size_t len)
{
    static const char *const known[] = {"data:image/", "data:audio/", "data:application/pdf"};
    for (size_t i = 0; i < HF_ARRAY_LEN(known); i++)
        if (len >= strlen(known[i]) && strncasecmp(url, known[i], strlen(known[i])) == 0)
            return false;
    return true;
}

/* Hosts read strings without their escapes, so we do. False: none of the words below. */
static bool read_word(const char *text, size_t n, char word[WORD])
{
    const struct hf_jsonscan_value v = {HF_JSON_STRING, text, n};
    return n <= 6 * (size_t)WORD && hf_jsonscan_str(&v, word, WORD, NULL) == HF_OK;
}

/* The value of the member whose key was read; p is behind that. */
static void take_link(struct links *l, const char *key, const char *p, const char *end)
{
    static const char *const any[] = {"url", "image_url"};
    static const char *const files[] = {"file_url", "file_id", "file_data", "video_url",
                                        "audio_url"};
    p = behind_blanks(p + 1, end);
    size_t n = hf_jsonscan_string(p, (size_t)(end - p));
    if (n == 0)
        return;
    char word[WORD];
    if (strcmp(key, "media_type") == 0 && read_word(p, n, word) &&
        strcasecmp(word, "text/plain") == 0)
        l->has_text = true;
    bool is_data = n > 5 && strncasecmp(p + 1, "data:", 5) == 0;
    if (is_data)
        l->has_text = l->has_text || is_text_url(p + 1, n - 1);
    else if (n <= LINK && is_one_of(key, files, HF_ARRAY_LEN(files)))
        l->n_files++;
    else if (n <= LINK)
        l->n_any += is_one_of(key, any, HF_ARRAY_LEN(any));
}

/* One string of the body, key or value. */
static void take_string(struct links *l, const char *text, size_t n, const char *end)
{
    static const char *const of_files[] = {"document", "video_url", "audio_url"};
    const char *next = behind_blanks(text + n, end);
    char word[WORD];
    if (!read_word(text, n, word))
        return;
    l->has_files = l->has_files || is_one_of(word, of_files, HF_ARRAY_LEN(of_files));
    if (next < end && *next == ':')
        take_link(l, word, next, end);
}

int64_t hf_media_bound_of_links(const char *body, size_t len, bool *has_text)
{
    const char *end = body + len;
    struct links l = {.has_files = false};
    for (const char *p = body; p != NULL && p < end;) {
        p = memchr(p, '"', (size_t)(end - p));
        size_t n = p == NULL ? 0 : hf_jsonscan_string(p, (size_t)(end - p));
        if (n > 0)
            take_string(&l, p, n, end);
        if (p != NULL)
            p += n > 0 ? n : 1;
    }
    *has_text = l.has_text;
    return l.n_files * HF_MEDIA_FILE + l.n_any * (l.has_files ? HF_MEDIA_FILE : HF_MEDIA_IMAGE);
}
