#include "config/expand.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

/* What follows a '$': the name (name_len 0: none) and how many bytes it takes away. */
struct reference {
    const char *name;
    size_t name_len;
    size_t taken;
    bool is_broken; /* "${" without an end, "${}": its characters vanish */
};

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* One-character names of the shell: "$$", "$5", "$*"... all of them are not set. */
static bool is_special(char c)
{
    return (c >= '0' && c <= '9') || (c != '\0' && strchr("*#$@!?-", c) != NULL);
}

static struct reference read_reference(const char *s, size_t len)
{
    struct reference ref = {.name = s};
    if (len > 0 && s[0] == '{') {
        const char *end = memchr(s, '}', len);
        if (end == NULL)
            return (struct reference){.name = s, .taken = 1, .is_broken = true};
        ref.name = s + 1;
        ref.name_len = (size_t)(end - s) - 1;
        ref.taken = ref.name_len + 2;
        ref.is_broken = ref.name_len == 0;
        return ref;
    }
    if (len > 0 && is_special(s[0])) {
        ref.name_len = ref.taken = 1;
        return ref;
    }
    while (ref.name_len < len && is_name_char(s[ref.name_len]))
        ref.name_len++;
    ref.taken = ref.name_len;
    return ref;
}

/* line 0: in a comment, where a variable that is not set harms nobody. */
static enum hf_code append_value(const struct reference *ref, int line,
                                 const struct hf_expand_env *env, struct hf_buf *out,
                                 struct hf_err *err)
{
    char pid[24];
    HF_AUTO_FREE char *name = hf_strndup(ref->name, ref->name_len);
    const char *value = env->lookup == NULL ? getenv(name) : env->lookup(env->arg, name);
    if (value == NULL && strcmp(name, "PID") == 0) {
        snprintf(pid, sizeof(pid), "%ld", (long)getpid());
        value = pid;
    }
    if (value == NULL && line > 0 && env->unset != NULL)
        env->unset(env->arg, name, line);
    return value == NULL ? HF_OK : hf_buf_append(out, value, strlen(value), err);
}

enum hf_code hf_expand(const char *text, size_t len, const struct hf_expand_env *env,
                       struct hf_buf *out, struct hf_err *err)
{
    int line = 1;
    bool in_comment = false;
    size_t kept = 0; /* text before it is in out */
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n') {
            line++;
            in_comment = false;
        }
        if (text[i] == '#' && (i == 0 || strchr(" \t\n", text[i - 1]) != NULL))
            in_comment = true;
        if (text[i] != '$')
            continue;
        struct reference ref = read_reference(text + i + 1, len - i - 1);
        if (ref.taken == 0)
            continue;
        HF_TRY(hf_buf_append(out, text + kept, i - kept, err));
        if (!ref.is_broken)
            HF_TRY(append_value(&ref, in_comment ? 0 : line, env, out, err));
        i += ref.taken;
        kept = i + 1;
    }
    return hf_buf_append(out, text + kept, len - kept, err);
}
