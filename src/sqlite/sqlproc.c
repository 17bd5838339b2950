#include "sqlite/sqlproc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "sqlite/wal.h"

enum { ANSWER_EXTRA_MS = 60000 };

struct request {
    int32_t action;
    uint32_t busy_ms;
    char path[HF_LIMIT_PATH];
};

struct answer {
    int32_t code; /* enum hf_code */
    struct hf_sql_result result;
    char text[400];
};

struct hf_sqlproc {
    char *exe; /* NULL: fork only */
    pthread_mutex_t lock;
    pid_t pid; /* 0: none */
    int fd;
};

/* ---- child ---- */

static void fail(struct answer *a, sqlite3 *db, int rc, const char *what)
{
    int base = rc & 0xff;
    a->code = base == SQLITE_BUSY || base == SQLITE_LOCKED ? HF_E_BUSY : HF_E_IO;
    if (base == SQLITE_NOTADB || base == SQLITE_CORRUPT)
        a->code = HF_E_CORRUPT;
    if (base == SQLITE_FULL)
        a->code = HF_E_NO_SPACE;
    if (base == SQLITE_READONLY || base == SQLITE_CANTOPEN)
        a->code = HF_E_DENIED;
    snprintf(a->text, sizeof(a->text), "%s: %s", what,
             db == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(db));
}

/* Runs sql; the first row's columns (as integers, as text) go to the outputs that are not NULL. */
static int run(sqlite3 *db, const char *sql, int32_t cols[3], char *text, size_t cap)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        for (int i = 0; cols != NULL && i < 3 && i < sqlite3_column_count(st); i++)
            cols[i] = sqlite3_column_int(st, i);
        const unsigned char *t = sqlite3_column_text(st, 0);
        if (text != NULL && t != NULL)
            snprintf(text, cap, "%s", (const char *)t);
    }
    while (rc == SQLITE_ROW)
        rc = sqlite3_step(st);
    int fin = sqlite3_finalize(st);
    return fin != SQLITE_OK ? fin : rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void convert(sqlite3 *db, struct answer *a)
{
    char mode[16] = "";
    int rc = run(db, "PRAGMA journal_mode=wal", NULL, mode, sizeof(mode));
    if (rc != SQLITE_OK) {
        fail(a, db, rc, "switch to WAL mode");
        return;
    }
    if (strcmp(mode, "wal") != 0) {
        a->code = HF_E_BUSY;
        snprintf(a->text, sizeof(a->text), "switch to WAL mode: it stayed in %s mode", mode);
    }
}

static void checkpoint(sqlite3 *db, struct answer *a)
{
    int32_t cols[3] = {0, -1, -1};
    int rc = run(db, "PRAGMA wal_checkpoint(PASSIVE)", cols, NULL, 0);
    if (rc != SQLITE_OK)
        fail(a, db, rc, "checkpoint");
    a->result.log_frames = cols[1];
    a->result.ckpt_frames = cols[2];
}

/* What the child keeps open between two requests. */
struct kept {
    sqlite3 *db;
    int shm; /* holds the WRITE lock of db's log; -1: none */
};

/* The descriptor goes after the connection: closing it drops all of this process's locks on the
 * file.
 */
static void let_go(struct kept *k)
{
    struct flock l = {.l_type = F_UNLCK,
                      .l_whence = SEEK_SET,
                      .l_start = HF_WAL_LOCKS_AT + HF_WAL_LOCK_WRITE,
                      .l_len = 1};
    if (k->shm >= 0)
        (void)fcntl(k->shm, F_SETLK, &l);
    sqlite3_close(k->db);
    k->db = NULL;
    if (k->shm >= 0)
        close(k->shm);
    k->shm = -1;
}

static void on_alarm(int sig)
{
    (void)sig; /* ends the wait below */
}

/* SQLite only tries its locks, and one that is free for some microseconds between two transactions
 * is seldom met by trying; the system's queue for the same byte is. */
static bool wait_for_lock(int fd)
{
    struct sigaction sa = {.sa_handler = on_alarm};
    struct itimerval wait = {{0, 20000}, {0, HF_SQL_LOCK_WAIT_MS * 1000}};
    struct itimerval off = {{0, 0}, {0, 0}};
    struct flock l = {.l_type = F_WRLCK,
                      .l_whence = SEEK_SET,
                      .l_start = HF_WAL_LOCKS_AT + HF_WAL_LOCK_WRITE,
                      .l_len = 1};
    sigaction(SIGALRM, &sa, NULL); /* no SA_RESTART */
    setitimer(ITIMER_REAL, &wait, NULL);
    int rc = fcntl(fd, F_SETLKW, &l);
    setitimer(ITIMER_REAL, &off, NULL);
    return rc == 0;
}

/* The caller lets go of what is kept; db is NULL when it is kept. */
static void drain(sqlite3 **db, const char *path, struct answer *a, struct kept *k)
{
    char shm[HF_LIMIT_PATH + 8];
    checkpoint(*db, a);
    if (a->code != HF_OK)
        return;
    snprintf(shm, sizeof(shm), "%s-shm", path);
    k->shm = open(shm, O_RDWR | O_CLOEXEC);
    k->db = *db;
    *db = NULL;
    if (k->shm < 0 || !wait_for_lock(k->shm)) {
        a->code = HF_E_BUSY;
        snprintf(a->text, sizeof(a->text), "wait for the write lock: %s", strerror(errno));
        let_go(k);
        return;
    }
    checkpoint(k->db, a);
    if (a->code != HF_OK)
        let_go(k);
}

static void serve_one(const struct request *q, struct answer *a, struct kept *k)
{
    sqlite3 *db = NULL;
    memset(a, 0, sizeof(*a));
    a->result = (struct hf_sql_result){-1, -1};
    if (q->action == HF_SQL_HOLD || q->action == HF_SQL_LET_GO || k->shm >= 0)
        let_go(k);
    if (q->action == HF_SQL_LET_GO)
        return;
    int rc = sqlite3_open_v2(q->path, &db, SQLITE_OPEN_READWRITE, NULL);
    if (rc != SQLITE_OK) {
        fail(a, db, rc, "open");
        sqlite3_close(db);
        return;
    }
    sqlite3_busy_timeout(db, (int)q->busy_ms);
    /* our own checkpoints are asked for, never automatic */
    (void)run(db, "PRAGMA wal_autocheckpoint=0", NULL, NULL, 0);
    /* without reading a row the connection knows of no log and a checkpoint does nothing */
    rc = run(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, 0);
    if (rc != SQLITE_OK)
        fail(a, db, rc, "read");
    else if (q->action == HF_SQL_CONVERT)
        convert(db, a);
    else if (q->action == HF_SQL_CHECKPOINT)
        checkpoint(db, a);
    else if (q->action == HF_SQL_DRAIN) {
        let_go(k);
        drain(&db, q->path, a, k);
    } else if (q->action == HF_SQL_HOLD) {
        k->db = db;
        db = NULL;
    }
    sqlite3_close(db);
}

/* A lock that nobody asks to be let go of is not kept: its caller may have died. */
static void keep_lock(int fd, struct kept *k)
{
    struct pollfd pf = {.fd = fd, .events = POLLIN};
    if (k->shm >= 0 && poll(&pf, 1, HF_SQL_LOCK_KEEP_MS) == 0)
        let_go(k);
}

/* The whole struct, or false at end of file. */
static bool transfer(int fd, void *buf, size_t len, bool is_read)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = is_read ? read(fd, (char *)buf + done, len - done)
                            : write(fd, (char *)buf + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

int hf_sqlproc_serve(int fd)
{
    static struct request q;
    static struct answer a;
    struct kept kept = {.shm = -1};
    signal(SIGINT, SIG_IGN); /* a terminal's ^C is the parent's to handle */
    signal(SIGTERM, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    while (transfer(fd, &q, sizeof(q), true)) {
        q.path[sizeof(q.path) - 1] = '\0';
        serve_one(&q, &a, &kept);
        if (!transfer(fd, &a, sizeof(a), false))
            break;
        keep_lock(fd, &kept);
    }
    let_go(&kept);
    return 0;
}

/* ---- parent ---- */

struct hf_sqlproc *hf_sqlproc_new(const char *exe)
{
    struct hf_sqlproc *p = hf_calloc(1, sizeof(*p));
    p->exe = exe == NULL ? NULL : hf_strdup(exe);
    p->fd = -1;
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

static void end_child(struct hf_sqlproc *p, bool is_kill)
{
    if (p->pid == 0)
        return;
    close(p->fd);
    p->fd = -1;
    if (is_kill)
        kill(p->pid, SIGKILL);
    while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    p->pid = 0;
}

void hf_sqlproc_free(struct hf_sqlproc *p)
{
    if (p == NULL)
        return;
    end_child(p, false);
    pthread_mutex_destroy(&p->lock);
    hf_free(p->exe);
    hf_free(p);
}

/* Only async-signal-safe calls between fork and exec: other threads may hold locks. */
static _Noreturn void become_child(const struct hf_sqlproc *p, int fd)
{
    if (p->exe == NULL)
        _exit(hf_sqlproc_serve(fd));
    if (fd != HF_SQLPROC_FD && dup2(fd, HF_SQLPROC_FD) < 0)
        _exit(127);
    if (fd == HF_SQLPROC_FD)
        fcntl(fd, F_SETFD, 0);
    execl(p->exe, "holdfast", HF_SQLPROC_ARG, (char *)NULL);
    _exit(127);
}

static enum hf_code start_child(struct hf_sqlproc *p, struct hf_err *err)
{
    int fds[2];
    if (p->pid != 0)
        return HF_OK;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        return hf_err_sys(err, errno, "start the SQL helper");
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        become_child(p, fds[1]);
    }
    int sys = errno;
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return hf_err_sys(err, sys, "start the SQL helper");
    }
    p->pid = pid;
    p->fd = fds[0];
    return HF_OK;
}

static enum hf_code ask(struct hf_sqlproc *p, struct request *q, struct answer *a,
                        struct hf_err *err)
{
    HF_TRY(start_child(p, err));
    if (!transfer(p->fd, q, sizeof(*q), false)) {
        end_child(p, true);
        return hf_err_set(err, HF_E_IO, "the SQL helper is gone");
    }
    struct pollfd pf = {.fd = p->fd, .events = POLLIN};
    int n;
    do {
        n = poll(&pf, 1, (int)q->busy_ms + ANSWER_EXTRA_MS);
    } while (n < 0 && errno == EINTR);
    if (n == 0) {
        end_child(p, true);
        return hf_err_set(err, HF_E_TIMEOUT, "the SQL helper did not answer");
    }
    if (!transfer(p->fd, a, sizeof(*a), true)) {
        end_child(p, true);
        return hf_err_set(err, HF_E_IO, "the SQL helper died");
    }
    return HF_OK;
}

enum hf_code hf_sqlproc_run(struct hf_sqlproc *p, enum hf_sql_action action, const char *path,
                            uint32_t busy_ms, struct hf_sql_result *result, struct hf_err *err)
{
    if (strlen(path) >= HF_LIMIT_PATH)
        return hf_err_set(err, HF_E_LIMIT, "a path of more than %d bytes", HF_LIMIT_PATH - 1);
    struct request *q = hf_calloc(1, sizeof(*q));
    struct answer *a = hf_calloc(1, sizeof(*a));
    q->action = (int32_t)action;
    q->busy_ms = busy_ms;
    memcpy(q->path, path, strlen(path));
    pthread_mutex_lock(&p->lock);
    enum hf_code rc = ask(p, q, a, err);
    pthread_mutex_unlock(&p->lock);
    a->text[sizeof(a->text) - 1] = '\0';
    if (rc == HF_OK && a->code != HF_OK)
        rc = hf_err_set(err, (enum hf_code)a->code, "%s: %s", path, a->text);
    if (rc == HF_OK && result != NULL)
        *result = a->result;
    hf_free(q);
    hf_free(a);
    return rc;
}
