/*
 * How the calling thread is scheduled. Hints: where the system has no such thing nothing happens.
 */
#ifndef HF_OS_THREAD_H
#define HF_OS_THREAD_H

/* Name for debuggers and top, at most 15 bytes. */
void hf_thread_name(const char *name);
/* Sleeps of this thread end on time (Linux rounds them up by 50 us otherwise). */
void hf_thread_set_precise(void);
/* Runs after other people's work: the application we protect comes first. */
void hf_thread_set_background(void);

#endif
