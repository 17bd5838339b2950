/*
 * What the C library's allocator does with memory that is free again. Hints: where the C library
 * has no such settings nothing happens.
 */
#ifndef HF_OS_HEAP_H
#define HF_OS_HEAP_H

/* Once, before the first thread: large blocks (256 KiB) go back to the system when they are freed,
 * and threads share two heaps. Many short-lived threads and buffers would otherwise hold several
 * times what is in use. */
void hf_heap_setup(void);
/* After it, for a server whose memory comes and goes with its requests: the same from 64 KiB on,
 * and one heap. Before there are threads. */
void hf_heap_for_server(void);
/* What is free goes back to the system: after a peak, it takes milliseconds. Any thread. */
void hf_heap_trim(void);

#endif
