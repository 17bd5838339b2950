#include "sqlite/testdb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/file.h"

enum { SQL_MAX = 8192 };

static _Noreturn void serve(int fd, const char *path)
{
    sqlite3 *db = NULL;
    char sql[SQL_MAX];
    if (sqlite3_open(path, &db) != SQLITE_OK)
        _exit(9);
    sqlite3_busy_timeout(db, 20);
    for (;;) {
        ssize_t n = recv(fd, sql, sizeof(sql) - 1, 0);
        if (n <= 0)
            break;
        sql[n] = '\0';
        int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
        if (send(fd, &rc, sizeof(rc), 0) < 0)
            break;
    }
    sqlite3_close(db);
    _exit(0);
}

void hf_testdb_start(struct hf_testdb *t, const char *path)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    t->pid = fork();
    assert_true(t->pid >= 0);
    if (t->pid == 0) {
        close(fds[0]);
        serve(fds[1], path);
    }
    close(fds[1]);
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    t->fd = fds[0];
}

int hf_testdb_exec(struct hf_testdb *t, const char *fmt, ...)
{
    char sql[SQL_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(sql, sizeof(sql), fmt, ap);
    va_end(ap);
    assert_in_range(n, 1, SQL_MAX - 1);
    assert_int_equal(send(t->fd, sql, (size_t)n, 0), n);
    int rc = -1;
    assert_int_equal(recv(t->fd, &rc, sizeof(rc), 0), sizeof(rc));
    return rc;
}

void hf_testdb_stop(struct hf_testdb *t)
{
    shutdown(t->fd, SHUT_RDWR);
    close(t->fd);
    int status = 0;
    waitpid(t->pid, &status, 0);
    t->pid = 0;
}

void hf_testdb_kill(struct hf_testdb *t)
{
    kill(t->pid, SIGKILL);
    waitpid(t->pid, NULL, 0);
    close(t->fd);
    t->pid = 0;
}

static void copy_file(const char *from, const char *to)
{
    char buf[65536];
    int in = open(from, O_RDONLY);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (in < 0 || out < 0)
        return;
    for (;;) {
        ssize_t n = read(in, buf, sizeof(buf));
        if (n <= 0 || write(out, buf, (size_t)n) != n)
            break;
    }
    close(in);
    close(out);
}

void hf_testdb_image(const char *path, uint8_t **data, size_t *len)
{
    HF_AUTO_FREE char *copy = hf_asprintf("%s.image", path);
    HF_AUTO_FREE char *copy_wal = hf_asprintf("%s-wal", copy);
    HF_AUTO_FREE char *wal = hf_asprintf("%s-wal", path);
    pid_t pid = fork(); /* closing a copy's descriptor here would drop this process's locks */
    assert_true(pid >= 0);
    if (pid == 0) {
        copy_file(path, copy);
        copy_file(wal, copy_wal);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(copy, &db), SQLITE_OK);
    sqlite3_exec(db, "select count(*) from sqlite_schema; pragma wal_checkpoint(truncate)", NULL,
                 NULL, NULL);
    sqlite3_close(db);
    char *text = NULL;
    assert_int_equal(hf_path_read(copy, 1u << 30, &text, len, NULL), HF_OK);
    *data = (uint8_t *)text;
    unlink(copy);
    unlink(copy_wal);
}

void hf_test_image_page(struct hf_test_image *im, uint32_t page_size, uint32_t pgno,
                        const void *page)
{
    if (pgno > im->pages)
        hf_test_image_commit(im, page_size, pgno);
    memcpy(im->data + (size_t)(pgno - 1) * page_size, page, page_size);
}

void hf_test_image_commit(struct hf_test_image *im, uint32_t page_size, uint32_t commit)
{
    im->page_size = page_size;
    im->data = hf_realloc(im->data, commit, page_size);
    if (commit > im->pages)
        memset(im->data + (size_t)im->pages * page_size, 0,
               (size_t)(commit - im->pages) * page_size);
    im->pages = commit;
}

void hf_test_image_check(const struct hf_test_image *im, const char *path, const char *what)
{
    uint8_t *data = NULL;
    size_t len = 0;
    hf_testdb_image(path, &data, &len);
    if (len != (size_t)im->pages * im->page_size)
        fail_msg("%s: %zu bytes at the source, %zu here", what, len,
                 (size_t)im->pages * im->page_size);
    for (uint32_t i = 0; i < im->pages; i++) {
        if (memcmp(data + (size_t)i * im->page_size, im->data + (size_t)i * im->page_size,
                   im->page_size) != 0)
            fail_msg("%s: page %u differs", what, i + 1);
    }
    hf_free(data);
}
