/*
 * A command is one struct hf_command: its row gives parsing, --help, completions and the man page.
 *
 * main.c finds the row in the table of commands.c, parses the flags into a fresh options struct of
 * the command's own type (flags.h), and calls run() on the main thread. How to add one: README.md.
 */
#ifndef HF_CMD_COMMAND_H
#define HF_CMD_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum hf_flag_kind {
    HF_FLAG_BOOL,    /* bool; "-x", "-x=false" */
    HF_FLAG_STRING,  /* const char *; NULL without */
    HF_FLAG_INT,     /* int64_t within [min, max] */
    HF_FLAG_NS,      /* int64_t nanoseconds, a duration */
    HF_FLAG_TXID,    /* uint64_t, hex digits; 0 without */
    HF_FLAG_TIME_MS, /* int64_t ms since the epoch, RFC 3339; INT64_MIN without */
    HF_FLAG_ENUM,    /* int: index into words */
    HF_FLAG_LIST,    /* struct hf_flag_list; the flag may be given again, values split at commas */
};

enum { HF_FLAG_LIST_MAX = 64 };

/* Values of an HF_FLAG_LIST, in their order. */
struct hf_flag_list {
    const char *items[HF_FLAG_LIST_MAX];
    size_t n;
    void *owned; /* hf_flags_release frees it */
};

enum {
    HF_FLAG_OURS = 1,  /* shown with two dashes; Litestream's are shown with one */
    HF_FLAG_HIDDEN = 2 /* accepted, not shown: an old name */
};

struct hf_flag {
    const char *name; /* without dashes */
    enum hf_flag_kind kind;
    size_t offset;            /* in the options struct */
    const char *value;        /* "FILE": what help shows for the value; NULL for BOOL */
    const char *def;          /* as it would be typed; NULL: zero, NULL, or as said at the kind */
    const char *const *words; /* ENUM, ended by NULL */
    int64_t min;
    int64_t max; /* 0: no range */
    unsigned marks;
    const char *doc; /* one or two sentences */
};

struct hf_example {
    const char *line; /* what to type */
    const char *what; /* what it does */
};

/* One call of a command. */
struct hf_run {
    const struct hf_command *cmd;
    void *options;     /* cmd->options_size bytes, filled from flags */
    const char **args; /* positional arguments */
    int n_args;
    int exit_code;    /* of a child program: run() may set it when it returns HF_OK */
    const char *name; /* "config check", for messages */
};

typedef enum hf_code hf_command_fn(struct hf_run *run, struct hf_err *err);

struct hf_command {
    const char *name;
    const char *alias;   /* a second name, NULL without */
    const char *group;   /* heading in help: "Protect", "Look", "Set up" */
    const char *summary; /* one line, lower case, no full stop */
    const char *words; /* "status hosts": what may stand for arguments, for completions; or NULL */
    const char *args;  /* "DB_PATH [REPLICA_URL...]"; "" for none */
    const char *doc;   /* paragraphs for help and man page; may be NULL */
    int min_args;
    int max_args; /* -1: any number */
    const struct hf_flag *flags;
    size_t n_flags;
    size_t options_size;
    const struct hf_example *examples;    /* ended by a NULL line; may be NULL */
    const char *exits;                    /* what its exit codes mean beyond docs/exit-codes.md */
    const struct hf_command *const *subs; /* sub-commands, ended by NULL; then run is not used */
    hf_command_fn *run;
};

/* All commands, in the order of help; ended by NULL. commands.c. */
extern const struct hf_command *const hf_commands[];

/* By name or alias in a list ended by NULL; NULL if there is none. */
const struct hf_command *hf_command_find(const struct hf_command *const *list, const char *name);

/* HF_E_INVALID that says so, with what may have been meant. list may be NULL; parent is "" or the
 * command whose subs it is. */
HF_MUST enum hf_code hf_command_unknown(const struct hf_command *const *list, const char *parent,
                                        const char *word, struct hf_err *err);

#endif
