/*
 * Errors: a code that decides, a text that explains, a hint that helps.
 *
 * Every function that can fail returns enum hf_code and takes a struct hf_err * as its last
 * argument (NULL is allowed: the text is then dropped). Outputs are untouched on failure. Lower
 * layers never log; each layer may add context with hf_err_wrap() on the way out, and the layer
 * that decides what to do next logs or prints once. Any thread; an hf_err belongs to one thread.
 */
#ifndef HF_BASE_ERR_H
#define HF_BASE_ERR_H

#include "base/attr.h"

/* X(name, exit code of the program, HTTP status, word for logs and JSON) */
#define HF_CODES(X)                                                                                \
    X(HF_OK, 0, 200, "ok")                                                                         \
    X(HF_E_INVALID, 2, 400, "invalid")          /* input, flags or configuration is wrong */       \
    X(HF_E_NOT_FOUND, 3, 404, "not-found")      /* no such file, object, database, position */     \
    X(HF_E_EXISTS, 4, 409, "exists")            /* create-only target is already there */          \
    X(HF_E_CORRUPT, 5, 500, "corrupt")          /* bytes that are not what their checksum says */  \
    X(HF_E_IO, 6, 500, "io")                    /* the system refused a read, write, open... */    \
    X(HF_E_NO_SPACE, 7, 507, "no-space")        /* disk or quota is full */                        \
    X(HF_E_BUSY, 8, 503, "busy")                /* locked by somebody else: try again */           \
    X(HF_E_CONFLICT, 9, 409, "conflict")        /* somebody else wrote here: a fork */             \
    X(HF_E_RANGE, 10, 416, "range")             /* TXID or time outside what is kept */            \
    X(HF_E_UNSUPPORTED, 11, 501, "unsupported") /* valid, but not something we do */               \
    X(HF_E_DENIED, 12, 403, "denied")           /* permissions */                                  \
    X(HF_E_TIMEOUT, 13, 504, "timeout")         /* gave up waiting */                              \
    X(HF_E_CANCELED, 14, 499, "canceled")       /* asked to stop */                                \
    X(HF_E_LIMIT, 15, 413, "limit")             /* larger than a limit of base/limits.h */         \
    X(HF_E_INTERNAL, 70, 500, "internal")       /* a state that should not occur */

enum hf_code {
#define X(name, exit_code, http, word) name,
    HF_CODES(X)
#undef X
};

struct hf_err {
    enum hf_code code;
    int sys;        /* errno behind it, 0 if none */
    char text[600]; /* outer context first: "restore app.db: open /x: No such file or directory" */
    char hint[240]; /* what to do about it; may be empty */
};

#define HF_ERR_INIT                                                                                \
    {                                                                                              \
        HF_OK, 0, "", ""                                                                           \
    }

/* Sets code and text (overwriting both, clearing the hint) and returns code. */
enum hf_code hf_err_set(struct hf_err *err, enum hf_code code, const char *fmt, ...)
    HF_PRINTF(3, 4);
/* Like hf_err_set with the code derived from errno value sys and ": strerror" appended. */
enum hf_code hf_err_sys(struct hf_err *err, int sys, const char *fmt, ...) HF_PRINTF(3, 4);
/* Puts "context: " in front of the text; returns err->code (HF_E_INTERNAL if err is NULL). */
enum hf_code hf_err_wrap(struct hf_err *err, const char *fmt, ...) HF_PRINTF(2, 3);
/* Sets the hint. */
void hf_err_hint(struct hf_err *err, const char *fmt, ...) HF_PRINTF(2, 3);
/* Back to HF_ERR_INIT. */
void hf_err_reset(struct hf_err *err);

/* The code an errno stands for (ENOENT -> HF_E_NOT_FOUND, ENOSPC and EDQUOT -> HF_E_NO_SPACE...).
 */
enum hf_code hf_code_of_errno(int sys);
/* The table's columns. */
int hf_code_exit(enum hf_code code);
int hf_code_http(enum hf_code code);
const char *hf_code_word(enum hf_code code);

/* Returns from the calling function when the call fails. */
#define HF_TRY(call)                                                                               \
    do {                                                                                           \
        enum hf_code hf_try_rc_ = (call);                                                          \
        if (hf_try_rc_ != HF_OK)                                                                   \
            return hf_try_rc_;                                                                     \
    } while (0)

#endif
