#include "os/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"

enum { POLL_US = 2000, EXIT_CANNOT_RUN = 127 };

static void die_with_parent(pid_t parent)
{
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    if (getppid() != parent) /* it died before we asked */
        _exit(EXIT_CANNOT_RUN);
}

/* Between fork and exec: async-signal-safe calls only. */
static void reset_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD};
    sigset_t none;
    for (size_t i = 0; i < HF_ARRAY_LEN(numbers); i++)
        signal(numbers[i], SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void in_child(const struct hf_child_spec *spec, pid_t parent, int out, int null)
{
    setpgid(0, 0);
    die_with_parent(parent);
    reset_signals();
    dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    if (spec->output != NULL)
        dup2(out, STDERR_FILENO);
    if (spec->argv == NULL)
        _exit(spec->run(spec->arg));
    /* execv does not change the words; its type is older than const. */
    char *const *words;
    memcpy(&words, &spec->argv, sizeof(words));
    execv(words[0], words);
    _exit(EXIT_CANNOT_RUN);
}

enum hf_code hf_child_start(const struct hf_child_spec *spec, struct hf_child *out,
                            struct hf_err *err)
{
    hf_assert((spec->argv == NULL) != (spec->run == NULL));
    int log = spec->output == NULL
                  ? spec->stdout_fd
                  : open(spec->output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0)
        return hf_err_sys(err, errno, "open %s", spec->output);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pid_t parent = getpid();
    pid_t pid = null < 0 ? -1 : fork();
    if (pid == 0)
        in_child(spec, parent, log, null);
    int why = errno;
    if (spec->output != NULL)
        close(log);
    if (null >= 0)
        close(null);
    if (pid < 0)
        return hf_err_sys(err, why, "start a child process");
    setpgid(pid, pid); /* here, too: whoever comes first */
    *out = (struct hf_child){.pid = pid};
    return HF_OK;
}

bool hf_child_is_running(struct hf_child *c)
{
    if (c->pid == 0)
        return false;
    pid_t got = waitpid(c->pid, &c->status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR))
        return true;
    /* What it started itself is of no use without it. */
    kill(-c->pid, SIGKILL);
    c->pid = 0;
    return false;
}

bool hf_child_wait(struct hf_child *c, uint64_t timeout_ms)
{
    uint64_t end = hf_clock_mono_ms() + timeout_ms;
    while (hf_child_is_running(c)) {
        if (hf_clock_mono_ms() >= end)
            return false;
        hf_clock_sleep_us(POLL_US);
    }
    return true;
}

void hf_child_signal(struct hf_child *c, int signal_number)
{
    if (c->pid > 0)
        kill(-c->pid, signal_number);
}

void hf_child_kill(struct hf_child *c)
{
    if (c->pid <= 0)
        return;
    kill(-c->pid, SIGKILL);
    while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR)
        continue;
    c->pid = 0;
}

bool hf_child_stop(struct hf_child *c, uint64_t timeout_ms)
{
    if (c->pid > 0)
        kill(c->pid, SIGTERM); /* it ends its own children in its own order */
    if (hf_child_wait(c, timeout_ms))
        return true;
    hf_child_kill(c);
    return false;
}

/* Reads until the other end is closed or the time is over. */
static enum hf_code read_all(int fd, uint64_t end_ms, struct hf_buf *out, struct hf_err *err)
{
    for (;;) {
        uint8_t piece[512];
        uint64_t now = hf_clock_mono_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = now >= end_ms ? 0 : poll(&p, 1, (int)(end_ms - now));
        if (n == 0)
            return hf_err_set(err, HF_E_TIMEOUT, "it took too long");
        ssize_t got = n < 0 ? -1 : read(fd, piece, sizeof(piece));
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return hf_err_sys(err, errno, "read its output");
        enum hf_code rc = got > 0 ? hf_buf_append(out, piece, (size_t)got, err) : HF_OK;
        hf_wipe(piece, sizeof(piece)); /* it may be a secret */
        if (rc != HF_OK || got == 0)
            return rc;
    }
}

enum hf_code hf_child_output(const char *const *argv, uint64_t timeout_ms, struct hf_buf *out,
                             struct hf_err *err)
{
    struct hf_child c = {0};
    char how[HF_CHILD_TEXT];
    int fds[2];
    uint64_t end_ms = hf_clock_mono_ms() + timeout_ms;
    if (pipe(fds) != 0)
        return hf_err_sys(err, errno, "make a pipe");
    (void)fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    struct hf_child_spec spec = {.argv = argv, .stdout_fd = fds[1]};
    enum hf_code rc = hf_child_start(&spec, &c, err);
    close(fds[1]);
    if (rc == HF_OK)
        rc = read_all(fds[0], end_ms, out, err);
    close(fds[0]);
    uint64_t now = hf_clock_mono_ms();
    bool is_over = rc == HF_OK && hf_child_wait(&c, now < end_ms ? end_ms - now : 0);
    if (rc == HF_OK && !is_over)
        rc = hf_err_set(err, HF_E_TIMEOUT, "it took too long");
    hf_child_kill(&c);
    if (rc != HF_OK || c.status == 0)
        return rc;
    hf_child_describe(&c, how);
    return hf_err_set(err, HF_E_IO, "%s", how);
}

void hf_child_describe(const struct hf_child *c, char out[HF_CHILD_TEXT])
{
    if (c->pid != 0)
        snprintf(out, HF_CHILD_TEXT, "running");
    else if (WIFSIGNALED(c->status))
        snprintf(out, HF_CHILD_TEXT, "killed by signal %d (%s)", WTERMSIG(c->status),
                 strsignal(WTERMSIG(c->status)));
    else
        snprintf(out, HF_CHILD_TEXT, "exit code %d", WEXITSTATUS(c->status));
}
