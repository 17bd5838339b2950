/*
 * The ordinary program of the demo. Each transaction is an order and the balance of its account: a
 * half transaction would show as a balance that is not the sum of its orders.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "cmd/demo.h"
#include "os/file.h"

enum { ACK_SIZE = 16, BUSY_MS = 5000, BEHIND_MAX_NS = 1000000000 };

static const char schema[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
    "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);"
    "CREATE TABLE orders(seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL,"
    "  account INTEGER NOT NULL, amount INTEGER NOT NULL, note TEXT NOT NULL);"
    "INSERT INTO account WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<100)"
    "  SELECT i, 0 FROM n;";

static const char insert_order[] =
    "INSERT INTO orders VALUES(?1, ?2, ?1 % 100 + 1, ?1 * 37 % 991 + 1, hex(randomblob(60)))";
static const char add_to_balance[] =
    "UPDATE account SET balance = balance + ?1 * 37 % 991 + 1 WHERE id = ?1 % 100 + 1";

enum hf_code hf_demo_app_commit(struct hf_conn *c, uint64_t seq, struct hf_err *err)
{
    const int64_t args[] = {(int64_t)seq, hf_clock_wall_ms()};
    struct hf_conn_query order = {insert_order, args, 2, NULL, 0};
    struct hf_conn_query balance = {add_to_balance, args, 1, NULL, 0};
    HF_TRY(hf_conn_run(c, "BEGIN IMMEDIATE", err));
    enum hf_code rc = hf_conn_query(c, &order, err);
    if (rc == HF_OK)
        rc = hf_conn_query(c, &balance, err);
    if (rc == HF_OK)
        rc = hf_conn_run(c, "COMMIT", err);
    if (rc != HF_OK)
        (void)!hf_conn_run(c, "ROLLBACK", NULL);
    return rc;
}

static enum hf_code acknowledge(int fd, uint64_t seq, struct hf_err *err)
{
    uint8_t record[ACK_SIZE];
    hf_put_be64(record, seq);
    hf_put_be64(record + 8, (uint64_t)hf_clock_wall_ms());
    if (write(fd, record, sizeof(record)) != (ssize_t)sizeof(record))
        return hf_err_set(err, HF_E_IO, "write the log of acknowledged commits");
    return HF_OK;
}

static enum hf_code commit_for_ever(struct hf_conn *c, const struct hf_demo_app *app, int acks,
                                    struct hf_err *err)
{
    uint64_t step_ns = 1000000000 / (uint64_t)app->rate;
    uint64_t due = hf_clock_mono_ns();
    for (uint64_t seq = 1;; seq++) {
        HF_TRY(hf_demo_app_commit(c, seq, err));
        HF_TRY(acknowledge(acks, seq, err));
        uint64_t now = hf_clock_mono_ns();
        due += step_ns;
        if (now < due)
            hf_clock_sleep_us((due - now) / 1000);
        else if (now - due > BEHIND_MAX_NS)
            due = now; /* a disk that cannot keep up is not made to catch up */
    }
}

int hf_demo_app_run(void *arg)
{
    const struct hf_demo_app *app = arg;
    struct hf_err err = HF_ERR_INIT;
    struct hf_conn *c = NULL;
    int acks = open(app->acks, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    enum hf_code rc = acks < 0 ? hf_err_set(&err, HF_E_IO, "open %s", app->acks)
                               : hf_conn_open(app->db, HF_CONN_CREATE, BUSY_MS, &c, &err);
    if (rc == HF_OK)
        rc = hf_conn_run(c, schema, &err);
    if (rc == HF_OK)
        rc = commit_for_ever(c, app, acks, &err);
    fprintf(stderr, "%s\n", err.text);
    return hf_code_exit(rc);
}

enum hf_code hf_demo_acks_read(const char *path, uint64_t *seq, int64_t *wall_ms,
                               struct hf_err *err)
{
    struct hf_file f = HF_FILE_CLOSED;
    struct hf_file_stat st;
    uint8_t record[ACK_SIZE];
    *seq = 0;
    *wall_ms = 0;
    HF_TRY(hf_file_open(path, HF_FILE_READ, 0, &f, err));
    enum hf_code rc = hf_file_stat(&f, &st, err);
    uint64_t n = rc == HF_OK ? st.size / ACK_SIZE : 0;
    if (n > 0)
        rc = hf_file_read_at(&f, record, sizeof(record), (n - 1) * ACK_SIZE, err);
    hf_file_close(&f);
    if (rc == HF_OK && n > 0) {
        *seq = hf_be64(record);
        *wall_ms = (int64_t)hf_be64(record + 8);
    }
    return rc;
}
