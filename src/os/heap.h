/*
 * What the C library's allocator does with memory that is free again.
 */
#ifndef HF_OS_HEAP_H
#define HF_OS_HEAP_H

/*
 * For a server whose memory comes and goes with its requests: large pieces (64 KiB and more) go
 * back to the system when they are freed, and there is one heap instead of one a processor. Before
 * there are threads. Does nothing where the C library has no such settings.
 */
void hf_heap_for_server(void);
/* What is free goes back to the system: after a peak, it takes milliseconds. Any thread. */
void hf_heap_trim(void);

#endif
