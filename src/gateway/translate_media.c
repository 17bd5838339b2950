#include "gateway/translate_media.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/attr.h"

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

/* The text behind "key" : at p; NULL if it is none. In a client's text quotes are escaped, so a
 * key is one. */
static const char *text_of(const char *p, const char *end)
{
    while (p < end && strchr(" \t\r\n", *p) != NULL)
        p++;
    if (p == end || *p++ != ':')
        return NULL;
    while (p < end && strchr(" \t\r\n", *p) != NULL)
        p++;
    return p < end && *p == '"' ? p + 1 : NULL;
}

static int64_t count_links(const char *body, size_t len, const char *key)
{
    const char *end = body + len;
    int64_t n = 0;
    for (const char *p = body; p != NULL && p < end;) {
        p = memmem(p, (size_t)(end - p), key, strlen(key));
        if (p == NULL)
            break;
        p += strlen(key);
        const char *text = text_of(p, end);
        bool is_data = text != NULL && end - text >= 5 && strncasecmp(text, "data:", 5) == 0;
        n += text != NULL && !is_data;
    }
    return n;
}

int64_t hf_media_bound_of_links(const char *body, size_t len)
{
    static const char document[] = "\"document\"";
    /* Anthropic's documents and images have the same "url". */
    bool has_document = memmem(body, len, document, sizeof(document) - 1) != NULL;
    int64_t n_files =
        count_links(body, len, "\"file_url\"") + count_links(body, len, "\"file_id\"");
    int64_t n_any = count_links(body, len, "\"url\"") + count_links(body, len, "\"image_url\"");
    return n_files * HF_MEDIA_FILE + n_any * (has_document ? HF_MEDIA_FILE : HF_MEDIA_IMAGE);
}
