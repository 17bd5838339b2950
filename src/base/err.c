#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct code_row {
    int exit_code;
    int http;
    const char *word;
};

static const struct code_row rows[] = {
#define X(name, exit_code, http, word) [name] = {exit_code, http, word},
    HF_CODES(X)
#undef X
};

enum hf_code hf_err_set(struct hf_err *err, enum hf_code code, const char *fmt, ...)
{
    if (err == NULL)
        return code;
    err->code = code;
    err->sys = 0;
    err->hint[0] = '\0';
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    return code;
}

enum hf_code hf_err_sys(struct hf_err *err, int sys, const char *fmt, ...)
{
    enum hf_code code = hf_code_of_errno(sys);
    if (err == NULL)
        return code;
    err->code = code;
    err->sys = sys;
    err->hint[0] = '\0';
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(err->text))
        snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s", strerror(sys));
    return code;
}

enum hf_code hf_err_wrap(struct hf_err *err, const char *fmt, ...)
{
    if (err == NULL)
        return HF_E_INTERNAL;
    char old[sizeof(err->text)];
    memcpy(old, err->text, sizeof(old));
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t)n < sizeof(old) && memcmp(old, err->text, (size_t)n) == 0 &&
        old[n] == ':') { /* the inner text says so itself */
        memcpy(err->text, old, sizeof(old));
        return err->code;
    }
    /* What does not fit of the inner text is cut on purpose: the precision says so to gcc. */
    int room = n < 0 ? 0 : (int)sizeof(err->text) - 3 - n;
    if (room > 0)
        snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %.*s", room, old);
    return err->code;
}

void hf_err_hint(struct hf_err *err, const char *fmt, ...)
{
    if (err == NULL)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
    va_end(ap);
}

void hf_err_reset(struct hf_err *err)
{
    if (err == NULL)
        return;
    err->code = HF_OK;
    err->sys = 0;
    err->text[0] = '\0';
    err->hint[0] = '\0';
}

enum hf_code hf_code_of_errno(int sys)
{
    switch (sys) {
    case ENOENT:
    case ENOTDIR:
        return HF_E_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return HF_E_EXISTS;
    case ENOSPC:
    case EDQUOT:
        return HF_E_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return HF_E_DENIED;
    case EAGAIN:
    case EBUSY:
        return HF_E_BUSY;
    case ETIMEDOUT:
        return HF_E_TIMEOUT;
    default:
        return HF_E_IO;
    }
}

int hf_code_exit(enum hf_code code)
{
    return rows[code].exit_code;
}

int hf_code_http(enum hf_code code)
{
    return rows[code].http;
}

const char *hf_code_word(enum hf_code code)
{
    return rows[code].word;
}
