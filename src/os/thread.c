#include "os/thread.h"

#include <pthread.h>
#if defined(__linux__)
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define BACKGROUND_NICE 5
#define PRECISE_NICE (-5)

void hf_thread_name(const char *name)
{
#if defined(__APPLE__)
    pthread_setname_np(name);
#else
    pthread_setname_np(pthread_self(), name);
#endif
}

void hf_thread_set_precise(void)
{
#if defined(__linux__)
    (void)prctl(PR_SET_TIMERSLACK, 1000ul, 0ul, 0ul, 0ul);
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), PRECISE_NICE);
#endif
}

void hf_thread_set_background(void)
{
#if defined(__linux__) /* elsewhere a nice value is the whole process's */
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), BACKGROUND_NICE);
#endif
}
