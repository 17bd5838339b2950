#include "store/url.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

enum { SCHEME_MAX = 16 };

/* Length of a leading "scheme:" that is followed by '/', 0 if there is none. */
static size_t scheme_len(const char *text)
{
    size_t n = 0;
    while (n < SCHEME_MAX && (isalnum((unsigned char)text[n]) || text[n] == '+' || text[n] == '-'))
        n++;
    if (n == 0 || text[n] != ':' || text[n + 1] != '/')
        return 0;
    /* One slash is enough for file:/path only: "C:/x" and "a:/b" stay paths. */
    if (text[n + 2] != '/' && !(n == 4 && strncmp(text, "file", 4) == 0))
        return 0;
    return n;
}

bool hf_store_url_has_scheme(const char *text)
{
    return scheme_len(text) > 0;
}

/* Drops the last part of out[0..len), never the leading '/'. A relative path may keep "..". */
static size_t drop_part(char *out, size_t len, size_t root)
{
    bool is_up = len - root >= 2 && memcmp(out + len - 2, "..", 2) == 0 &&
                 (len - root == 2 || out[len - 3] == '/');
    if (root == 0 && (len == 0 || is_up)) {
        if (len > 0)
            out[len++] = '/';
        memcpy(out + len, "..", 2);
        return len + 2;
    }
    while (len > root && out[len - 1] != '/')
        len--;
    return len > root ? len - 1 : root;
}

char *hf_store_path_clean(const char *path)
{
    size_t root = path[0] == '/' ? 1 : 0;
    char *out = hf_malloc(strlen(path) + 4);
    size_t len = 0;
    if (root)
        out[len++] = '/';
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.') {
            len = drop_part(out, len, root);
        } else if (n > 0 && !(n == 1 && p[0] == '.')) {
            if (len > root)
                out[len++] = '/';
            memcpy(out + len, p, n);
            len += n;
        }
        p += n;
        while (*p == '/')
            p++;
    }
    if (len == 0)
        out[len++] = '.';
    out[len] = '\0';
    return out;
}

static enum hf_code parse_path(const char *path, struct hf_store_url *out, struct hf_err *err)
{
    if (path[0] == '\0' || strlen(path) >= HF_LIMIT_PATH)
        return hf_err_set(err, HF_E_INVALID, "replica path is %s",
                          path[0] ? "longer than 4096 bytes" : "empty");
    out->type = hf_strdup("file");
    out->path = hf_store_path_clean(path);
    return HF_OK;
}

enum hf_code hf_store_url_parse(const char *url, struct hf_store_url *out, struct hf_err *err)
{
    if (url == NULL || url[0] == '\0') {
        hf_err_set(err, HF_E_INVALID, "replica URL is empty");
        hf_err_hint(err, "give a path or a URL such as file:///var/backups/app");
        return HF_E_INVALID;
    }
    size_t n = scheme_len(url);
    if (n == 0 && strstr(url, "://") != NULL) {
        hf_err_set(err, HF_E_INVALID, "replica URL has a malformed type before ://");
        hf_err_hint(err, "a URL looks like file:///var/backups/app");
        return HF_E_INVALID;
    }
    if (n == 0)
        return parse_path(url, out, err);
    char *type = hf_strndup(url, n);
    for (char *p = type; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (strcmp(type, "file") == 0) {
        hf_free(type);
        const char *path = url + n + 1;
        if (path[strspn(path, "/")] == '\0' && strlen(path) <= 2)
            return hf_err_set(err, HF_E_INVALID, "replica URL %s has no path", url);
        return parse_path(path, out, err);
    }
    out->type = type;
    out->path = NULL;
    return HF_OK;
}

void hf_store_url_deinit(struct hf_store_url *u)
{
    hf_free(u->type);
    hf_free(u->path);
    *u = (struct hf_store_url){NULL, NULL};
}
