/*
 * $VAR and ${VAR} in the whole text of a configuration, before it is YAML, as Litestream does it.
 *
 * A name is letters, digits and '_'; ${...} takes anything up to '}'. A variable that is not set is
 * empty. $PID is the process id (unless a variable PID is set). There is no escape: "$$" is empty
 * too, a '$' that no name follows stays. A value may hold several lines; positions in later
 * messages count in the expanded text.
 */
#ifndef HF_CONFIG_EXPAND_H
#define HF_CONFIG_EXPAND_H

#include "base/buf.h"
#include "base/err.h"

typedef const char *hf_expand_lookup_fn(void *arg, const char *name);

/* Called for each name that is not set, but not in comments; line from 1, of the text as it was. */
typedef void hf_expand_unset_fn(void *arg, const char *name, int line);

struct hf_expand_env {
    hf_expand_lookup_fn *lookup; /* NULL: the process's environment */
    hf_expand_unset_fn *unset;   /* NULL: nobody wants to know */
    void *arg;
};

/* Appends to out; HF_E_LIMIT when it is full. */
HF_MUST enum hf_code hf_expand(const char *text, size_t len, const struct hf_expand_env *env,
                               struct hf_buf *out, struct hf_err *err);

#endif
