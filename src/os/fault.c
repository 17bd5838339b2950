#include "os/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"

enum { FAULT_KILL = -2 };

struct fault_state {
    bool is_armed;
    bool is_lasting; /* "3+": every call from the third on */
    unsigned ops;    /* bit per enum hf_fault_op */
    unsigned long nth;
    int sys;
    char path_part[256];
    atomic_ulong seen;
};

static struct fault_state state;

static const char *const op_words[HF_FAULT_OP_COUNT] = {
    [HF_FAULT_OPEN] = "open",   [HF_FAULT_READ] = "read",     [HF_FAULT_WRITE] = "write",
    [HF_FAULT_FSYNC] = "fsync", [HF_FAULT_RENAME] = "rename", [HF_FAULT_UNLINK] = "unlink",
    [HF_FAULT_MKDIR] = "mkdir", [HF_FAULT_MMAP] = "mmap",     [HF_FAULT_TRUNCATE] = "truncate",
    [HF_FAULT_STAT] = "stat",   [HF_FAULT_LOCK] = "lock",
};

static const struct {
    const char *word;
    int sys;
} errno_words[] = {
    {"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EACCES", EACCES},        {"EMFILE", EMFILE},
    {"ENOMEM", ENOMEM}, {"EROFS", EROFS},   {"SHORT", HF_FAULT_SHORT}, {"KILL", FAULT_KILL},
    {"ENOENT", ENOENT},
};

/* Copies the part of *spec up to ':' (or the end) and moves *spec behind it. */
static bool take_part(const char **spec, char *out, size_t cap)
{
    size_t n = strcspn(*spec, ":");
    if (n >= cap)
        return false;
    memcpy(out, *spec, n);
    out[n] = '\0';
    *spec += n;
    if (**spec == ':')
        (*spec)++;
    return true;
}

static bool parse_ops(char *text, unsigned *ops)
{
    *ops = 0;
    char *save = NULL;
    for (char *w = strtok_r(text, ",", &save); w != NULL; w = strtok_r(NULL, ",", &save)) {
        bool is_known = false;
        for (int i = 0; i < HF_FAULT_OP_COUNT; i++) {
            if (strcmp(w, op_words[i]) == 0 || strcmp(w, "any") == 0) {
                *ops |= 1u << i;
                is_known = true;
            }
        }
        if (!is_known)
            return false;
    }
    return *ops != 0;
}

static bool parse_errno(const char *text, int *sys)
{
    for (size_t i = 0; i < HF_ARRAY_LEN(errno_words); i++) {
        if (strcmp(text, errno_words[i].word) == 0) {
            *sys = errno_words[i].sys;
            return true;
        }
    }
    return false;
}

enum hf_code hf_fault_arm(const char *spec, struct hf_err *err)
{
    state.is_armed = false;
    atomic_store(&state.seen, 0);
    if (spec == NULL || spec[0] == '\0')
        return HF_OK;
    const char *rest = spec;
    char ops[128];
    char nth[24];
    char sys[16];
    int64_t n = 0;
    bool is_ok = take_part(&rest, ops, sizeof(ops)) && take_part(&rest, nth, sizeof(nth)) &&
                 take_part(&rest, sys, sizeof(sys)) && strlen(rest) < sizeof(state.path_part);
    size_t len = is_ok ? strlen(nth) : 0;
    state.is_lasting = len > 0 && nth[len - 1] == '+';
    if (state.is_lasting)
        nth[len - 1] = '\0';
    if (!is_ok || !parse_ops(ops, &state.ops) || !parse_errno(sys, &state.sys) ||
        hf_parse_i64(nth, 0, INT64_MAX, &n, NULL) != HF_OK)
        return hf_err_set(err, HF_E_INVALID, "HF_FAULT '%s' is not op:nth:errno[:path-part]", spec);
    state.nth = (unsigned long)n;
    memcpy(state.path_part, rest, strlen(rest) + 1);
    state.is_armed = true;
    return HF_OK;
}

int hf_fault_hit(enum hf_fault_op op, const char *path)
{
    if (__builtin_expect(!state.is_armed, 1) || (state.ops & (1u << op)) == 0)
        return 0;
    if (state.path_part[0] != '\0' && (path == NULL || strstr(path, state.path_part) == NULL))
        return 0;
    unsigned long n = atomic_fetch_add(&state.seen, 1) + 1;
    bool is_due = n == state.nth || (state.is_lasting && n > state.nth);
    if (!is_due)
        return 0;
    if (state.sys == FAULT_KILL)
        kill(getpid(), SIGKILL);
    return state.sys;
}

unsigned long hf_fault_seen(void)
{
    return atomic_load(&state.seen);
}
