/*
 * So many threads at once, and no more: for work that costs memory among threads that mostly wait.
 * Any thread; who enters leaves. NULL is a gate that is always open.
 */
#ifndef HF_OS_GATE_H
#define HF_OS_GATE_H

#include <stddef.h>

struct hf_gate;

struct hf_gate *hf_gate_new(size_t n);
/* Nobody is inside. */
void hf_gate_free(struct hf_gate *g);
void hf_gate_enter(struct hf_gate *g);
void hf_gate_leave(struct hf_gate *g);

#endif
