#include "codec/httpurl.h"

#include <ctype.h>
#include <string.h>

enum hf_code hf_url_escape(struct hf_buf *out, const char *text, bool keep_slash,
                           struct hf_err *err)
{
    static const char hex[] = "0123456789ABCDEF";
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool is_plain =
            (*p < 0x80 && isalnum(*p)) || strchr("-._~", *p) != NULL || (keep_slash && *p == '/');
        char coded[3] = {'%', hex[*p >> 4], hex[*p & 15]};
        HF_TRY(hf_buf_append(out, is_plain ? (const void *)p : coded, is_plain ? 1 : 3, err));
    }
    return HF_OK;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum hf_code hf_url_unescape(char *text, struct hf_err *err)
{
    for (const char *p = text; *p; p++) { /* looked at first: nothing changes on failure */
        if (*p == '%' && (digit(p[1]) < 0 || digit(p[2]) < 0 || (p[1] == '0' && p[2] == '0')))
            return hf_err_set(err, HF_E_INVALID, "URL holds a broken %% escape");
    }
    char *out = text;
    for (const char *p = text; *p; p++) {
        if (*p == '%') {
            *out++ = (char)(digit(p[1]) * 16 + digit(p[2]));
            p += 2;
        } else {
            *out++ = *p;
        }
    }
    *out = '\0';
    return HF_OK;
}
