#include "config/url.h"

#include <ctype.h>
#include <string.h>

static size_t scheme_len(const char *text)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) ||
           (n > 0 && strchr("+-._", text[n]) != NULL && text[n] != '\0'))
        n++;
    return n > 0 && strncmp(text + n, "://", 3) == 0 ? n : 0;
}

bool hf_url_is(const char *text)
{
    return scheme_len(text) > 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %XX decoded; a '%' without two hex digits stays as it is. */
static char *decoded(struct hf_arena *arena, const char *s, size_t len)
{
    char *out = hf_arena_strndup(arena, s, len);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        bool is_escape =
            s[i] == '%' && i + 2 < len && hex_value(s[i + 1]) >= 0 && hex_value(s[i + 2]) >= 0;
        if (is_escape && (s[i + 1] != '0' || s[i + 2] != '0')) {
            out[n++] = (char)((unsigned)hex_value(s[i + 1]) << 4 | (unsigned)hex_value(s[i + 2]));
            i += 2;
        } else {
            out[n++] = s[i];
        }
    }
    out[n] = '\0';
    return out;
}

/* The last '@' of the authority: a password may hold one. (memrchr is not everywhere.) */
static const char *last_at(const char *s, size_t len)
{
    while (len > 0) {
        if (s[--len] == '@')
            return s + len;
    }
    return NULL;
}

enum hf_code hf_url_parse(struct hf_arena *arena, const char *text, struct hf_url *out,
                          struct hf_err *err)
{
    size_t n = scheme_len(text);
    struct hf_url url = {.path = ""};
    if (n == 0)
        return hf_err_set(err, HF_E_INVALID, "'%.60s' is not a URL (try file:///var/backups/app)",
                          text);
    char *scheme = hf_arena_strndup(arena, text, n);
    for (char *c = scheme; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    url.scheme = scheme;
    const char *authority = text + n + 3;
    size_t authority_len = strcspn(authority, "/?");
    const char *rest = authority + authority_len;
    const char *at = last_at(authority, authority_len);
    const char *host = at == NULL ? authority : at + 1;
    url.host = hf_arena_strndup(arena, host, (size_t)(rest - host));
    if (at != NULL) {
        const char *colon = memchr(authority, ':', (size_t)(at - authority));
        const char *user_end = colon == NULL ? at : colon;
        url.user = decoded(arena, authority, (size_t)(user_end - authority));
        if (colon != NULL)
            url.password = decoded(arena, colon + 1, (size_t)(at - colon) - 1);
    }
    const char *query = strchr(rest, '?');
    url.path = decoded(arena, rest, query == NULL ? strlen(rest) : (size_t)(query - rest));
    if (query != NULL)
        url.query = hf_arena_strdup(arena, query + 1);
    *out = url;
    return HF_OK;
}

const char *hf_url_option(struct hf_arena *arena, const struct hf_url *url, const char *name)
{
    size_t name_len = strlen(name);
    for (const char *p = url->query; p != NULL && *p != '\0';) {
        size_t len = strcspn(p, "&");
        bool is_it = len > name_len && p[name_len] == '=' && strncmp(p, name, name_len) == 0;
        if (is_it)
            return decoded(arena, p + name_len + 1, len - name_len - 1);
        p += len + (p[len] == '&');
    }
    return NULL;
}
