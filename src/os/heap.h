/*
 * How freed memory is given back. A hint: where the C library has no such thing nothing happens.
 */
#ifndef HF_OS_HEAP_H
#define HF_OS_HEAP_H

/* Once, before the first thread: large blocks go back to the system when they are freed, and
 * threads share few heaps. Many short-lived threads and buffers would otherwise hold several times
 * what is in use. */
void hf_heap_setup(void);

#endif
