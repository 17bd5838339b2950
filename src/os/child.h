/*
 * Child processes that must not outlive us: started with their output in a file, stopped by their
 * own process group, waited for with a limit.
 *
 * A child leads a process group of its own: what it starts is stopped with it, and a ^C at the
 * terminal reaches only us, who then decide. On Linux a child is also killed when its parent dies
 * (prctl); elsewhere a parent that is killed with SIGKILL leaves it behind. One thread, the one
 * that started the child. A struct hf_child that is not running has pid 0.
 */
#ifndef HF_OS_CHILD_H
#define HF_OS_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

struct hf_child {
    pid_t pid;  /* 0: none */
    int status; /* as waitpid tells it, once it has ended */
};

struct hf_child_spec {
    const char *const *argv; /* ended by NULL, argv[0] is the path of the program; or NULL: */
    int (*run)(void *arg);   /* runs in the child instead; only while single-threaded */
    void *arg;
    const char *output; /* stdout and stderr are appended to this file; NULL: */
    int stdout_fd;      /* stdout goes there and stderr stays ours */
};

/* HF_E_IO, HF_E_NOT_FOUND... for the output file; a program that can't be started ends with 127. */
HF_MUST enum hf_code hf_child_start(const struct hf_child_spec *spec, struct hf_child *out,
                                    struct hf_err *err);
/* Runs a program and appends what it prints on stdout to out (HF_E_LIMIT beyond its maximum). Any
 * exit code but 0 is HF_E_IO, longer than timeout_ms HF_E_TIMEOUT; it is stopped then. */
HF_MUST enum hf_code hf_child_output(const char *const *argv, uint64_t timeout_ms,
                                     struct hf_buf *out, struct hf_err *err);
/* False once it has ended (and was waited for). */
bool hf_child_is_running(struct hf_child *c);
/* True when it has ended within timeout_ms. */
bool hf_child_wait(struct hf_child *c, uint64_t timeout_ms);
/* To the whole group; nothing if it is not running. */
void hf_child_signal(struct hf_child *c, int signal_number);
/* SIGKILL to the group, and waits. Safe to call at any time, again too. */
void hf_child_kill(struct hf_child *c);
/* SIGTERM, then SIGKILL after timeout_ms. True if the former was enough. */
bool hf_child_stop(struct hf_child *c, uint64_t timeout_ms);
/* "exit code 3", "killed by signal 9 (Killed)", "running". Buffer of 80 bytes. */
#define HF_CHILD_TEXT 80
void hf_child_describe(const struct hf_child *c, char out[HF_CHILD_TEXT]);

#endif
