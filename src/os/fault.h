/*
 * Fault injection for tests: makes one chosen system call of the data path fail.
 *
 * HF_FAULT="op[,op...]:nth:errno[:path-part]" in the environment, e.g. "fsync:3:ENOSPC" or
 * "write,rename:1:EIO:/ltx/0/" (errno SHORT = a short write, then ENOSPC; KILL = kill -9 of the
 * process at that call). nth counts matching calls from 1 (0: none fails, they are only counted);
 * "nth+" fails all from there on. cmd/run.c arms it and ends by telling the count. Compiled
 * in always: one predictable branch when off. Set before threads start; the counter is atomic.
 */
#ifndef HF_OS_FAULT_H
#define HF_OS_FAULT_H

#include <stdbool.h>

#include "base/err.h"

enum hf_fault_op {
    HF_FAULT_OPEN,
    HF_FAULT_READ,
    HF_FAULT_WRITE,
    HF_FAULT_FSYNC,
    HF_FAULT_RENAME,
    HF_FAULT_UNLINK,
    HF_FAULT_MKDIR,
    HF_FAULT_MMAP,
    HF_FAULT_TRUNCATE,
    HF_FAULT_STAT,
    HF_FAULT_LOCK,
    HF_FAULT_OP_COUNT,
};

#define HF_FAULT_SHORT (-1) /* returned instead of an errno: write half, then fail */

/* Arms from a specification text (NULL or "" disarms). */
HF_MUST enum hf_code hf_fault_arm(const char *spec, struct hf_err *err);
/* The errno this call must fail with, 0 for none, HF_FAULT_SHORT for a short write. */
int hf_fault_hit(enum hf_fault_op op, const char *path);
/* Matching calls seen since arming: lets a test find out how many points there are. */
unsigned long hf_fault_seen(void);

#endif
