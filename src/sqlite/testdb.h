/*
 * For tests of this folder and of replica/: SQLite connections in processes of their own, so that
 * locks are real, and images of a database at rest.
 *
 * Not part of the product (compiled into tests only).
 */
#ifndef HF_SQLITE_TESTDB_H
#define HF_SQLITE_TESTDB_H

#include <stdint.h>
#include <sys/types.h>

#include "sqlite/pageset.h"

/* A child process with one connection that runs SQL on demand. */
struct hf_testdb {
    pid_t pid;
    int fd;
};

/* Opens path (created if missing) in a new process. */
void hf_testdb_start(struct hf_testdb *t, const char *path);
/* Runs SQL to its end; returns SQLite's result code (0 = ok). */
int hf_testdb_exec(struct hf_testdb *t, const char *fmt, ...) HF_PRINTF(2, 3);
/* Closes the connection as a program would, ends the process. */
void hf_testdb_stop(struct hf_testdb *t);
/* kill -9. */
void hf_testdb_kill(struct hf_testdb *t);

/* The committed content of the database, byte for byte as its main file would be after a
 * checkpoint: main and -wal are copied by another process and checkpointed there. The caller frees
 * *data. */
void hf_testdb_image(const char *path, uint8_t **data, size_t *len);

/* An image kept up to date from batches: applies pages, cuts at commit. */
struct hf_test_image {
    uint8_t *data;
    uint32_t page_size;
    uint32_t pages;
};
void hf_test_image_page(struct hf_test_image *im, uint32_t page_size, uint32_t pgno,
                        const void *page);
void hf_test_image_commit(struct hf_test_image *im, uint32_t page_size, uint32_t commit);
/* Fails the test with the first differing page. */
void hf_test_image_check(const struct hf_test_image *im, const char *path, const char *what);

#endif
