/*
 * Applying against SQLite itself: a source database in WAL mode makes transactions, its log is read
 * with wal.h, and each goes to the standby. Other processes (this program again, started with a
 * mode word) read the standby all the time, write to it when they must not, or apply and are killed
 * between two steps. The oracle for log and index is SQLite's own recovery of a copy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "sqlite/apply_int.h"

static const char *self; /* argv[0] */

/* ---- small helpers ---- */

static void exec(sqlite3 *db, const char *sql)
{
    char *text = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
        fail_msg("%s: %s", sql, text);
}

static sqlite3_int64 query(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_int64 v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return v;
}

static pid_t start(const char *const *argv)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char *args[8] = {NULL};
        for (int i = 0; i < 7 && argv[i] != NULL; i++)
            args[i] = hf_strdup(argv[i]);
        execvp(args[0], args);
        _exit(127);
    }
    return pid;
}

static int finish(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* Copies in another process: an open and close here would drop this process's locks. */
static void copy(const char *from, const char *to)
{
    const char *argv[] = {"cp", "--", from, to, NULL};
    assert_int_equal(finish(start(argv)), 0);
}

/* Runs SQL on a database in another process; its exit status. */
static int other_sql(const char *path, const char *sql)
{
    const char *argv[] = {self, "sql", path, sql, NULL};
    return finish(start(argv));
}

static void must(enum hf_code rc, const struct hf_err *err)
{
    if (rc != HF_OK)
        fail_msg("%s: %s", hf_code_word(rc), err->text);
}

/* ---- a source and its transactions ---- */

struct rig {
    char dir[64];
    char src[96];
    char dst[96];
    sqlite3 *db;
    uint32_t page_size;
    uint32_t read_frames; /* of the source's log, applied or folded so far */
    uint32_t commit;
    uint8_t **pages; /* newest image of each page that is pending, by number */
    uint32_t pages_cap;
};

static void rig_pages_drop(struct rig *r)
{
    for (uint32_t i = 0; i < r->pages_cap; i++) {
        hf_free(r->pages[i]);
        r->pages[i] = NULL;
    }
}

static void rig_init_at(struct rig *r, uint32_t page_size)
{
    memset(r, 0, sizeof(*r));
    snprintf(r->dir, sizeof(r->dir), "/tmp/hf-apply-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->src, sizeof(r->src), "%s/src.db", r->dir);
    snprintf(r->dst, sizeof(r->dst), "%s/dst.db", r->dir);
    r->page_size = page_size;
    assert_int_equal(sqlite3_open(r->src, &r->db), SQLITE_OK);
    char sql[128];
    snprintf(sql, sizeof(sql), "PRAGMA page_size=%u; PRAGMA auto_vacuum=incremental;",
             (unsigned)page_size);
    exec(r->db, sql);
    exec(r->db, "PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0; "
                "CREATE TABLE t(i INTEGER PRIMARY KEY, x); CREATE TABLE acct(a PRIMARY KEY, v);"
                "CREATE TABLE n(k); INSERT INTO n VALUES(0);"
                "INSERT INTO acct WITH RECURSIVE c(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM c "
                "WHERE n<100) SELECT n, 0 FROM c");
    exec(r->db, "PRAGMA wal_checkpoint(TRUNCATE)");
    copy(r->src, r->dst);
}

static void rig_deinit(struct rig *r)
{
    rig_pages_drop(r);
    hf_free(r->pages);
    sqlite3_close(r->db);
    const char *argv[] = {"rm", "-rf", "--", r->dir, NULL};
    assert_int_equal(finish(start(argv)), 0);
}

static void pend(struct rig *r, uint32_t pgno, const uint8_t *page)
{
    if (pgno >= r->pages_cap) {
        uint32_t cap = pgno * 2 + 64;
        r->pages = hf_realloc(r->pages, cap, sizeof(*r->pages));
        memset(r->pages + r->pages_cap, 0, (cap - r->pages_cap) * sizeof(*r->pages));
        r->pages_cap = cap;
    }
    if (r->pages[pgno] == NULL)
        r->pages[pgno] = hf_malloc(r->page_size);
    memcpy(r->pages[pgno], page, r->page_size);
}

/* Collects the pages of the next transaction (or of all) in the source's log. False: none. */
static bool rig_collect(struct rig *r, bool all)
{
    char path[128];
    snprintf(path, sizeof(path), "%s-wal", r->src);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t size = HF_WAL_FRAME_HEADER_SIZE + r->page_size;
    uint8_t *frame = hf_malloc(size);
    bool found = false;
    fseek(f, (long)hf_wal_frame_offset(r->page_size, r->read_frames + 1), SEEK_SET);
    while (fread(frame, 1, size, f) == size) {
        struct hf_wal_frame h;
        hf_wal_frame_parse(frame, &h);
        pend(r, h.pgno, frame + HF_WAL_FRAME_HEADER_SIZE);
        r->read_frames++;
        if (h.commit == 0)
            continue;
        r->commit = h.commit;
        found = true;
        if (!all)
            break;
    }
    hf_free(frame);
    fclose(f);
    return found;
}

/* Applies what is pending as one transaction. */
static enum hf_code rig_apply(struct rig *r, struct hf_apply *a, struct hf_err *err)
{
    HF_TRY(hf_apply_begin(a, r->page_size, r->commit, err));
    for (uint32_t i = 1; i < r->pages_cap && i <= r->commit; i++) {
        if (r->pages[i] == NULL)
            continue;
        enum hf_code rc = hf_apply_page(a, i, r->pages[i], err);
        if (rc != HF_OK) {
            hf_apply_abort(a);
            return rc;
        }
    }
    enum hf_code rc = hf_apply_commit(a, err);
    if (rc != HF_OK)
        hf_apply_abort(a);
    return rc;
}

static void rig_apply_all(struct rig *r, struct hf_apply *a)
{
    struct hf_err err = HF_ERR_INIT;
    while (rig_collect(r, false)) {
        must(rig_apply(r, a, &err), &err);
        rig_pages_drop(r);
    }
}

/* One random transaction: tiny, bulk, shrinking, schema. Invariant: sum(v) = 0, n.k counts. */
static void rig_write(struct rig *r, unsigned *seed)
{
    char sql[512];
    int a = rand_r(seed) % 100 + 1;
    int b = rand_r(seed) % 100 + 1;
    exec(r->db, "BEGIN; UPDATE n SET k=k+1");
    snprintf(sql, sizeof(sql), "UPDATE acct SET v=v-1 WHERE a=%d; UPDATE acct SET v=v+1 WHERE a=%d",
             a, b);
    exec(r->db, sql);
    switch (rand_r(seed) % 8) {
    case 0:
        exec(r->db,
             "INSERT INTO t(x) WITH RECURSIVE c(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM c "
             "WHERE n<300) SELECT randomblob(700) FROM c");
        break;
    case 1:
        exec(r->db, "DELETE FROM t WHERE i % 3 = 0; PRAGMA incremental_vacuum(200)");
        break;
    case 2:
        snprintf(sql, sizeof(sql), "DROP TABLE IF EXISTS s%d; CREATE TABLE s%d(x)", a % 3, a % 3);
        exec(r->db, sql);
        break;
    default:
        exec(r->db, "INSERT INTO t(x) VALUES(randomblob(50))");
    }
    exec(r->db, "COMMIT");
    if (rand_r(seed) % 40 == 0)
        exec(r->db, "VACUUM");
}

/* ---- checks ---- */

/* Both databases through SQL, byte for byte; also integrity. */
static void check_same(struct rig *r)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(r->dst, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_int64 n = 0;
    sqlite3_int64 m = 0;
    unsigned char *ours = sqlite3_serialize(db, "main", &n, 0);
    unsigned char *theirs = sqlite3_serialize(r->db, "main", &m, 0);
    assert_non_null(ours);
    assert_int_equal(n, m);
    assert_memory_equal(ours, theirs, (size_t)n);
    sqlite3_free(ours);
    sqlite3_free(theirs);
    assert_int_equal(query(db, "SELECT count(*) FROM pragma_integrity_check WHERE "
                               "integrity_check<>'ok'"),
                     0);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static volatile void *block_of(sqlite3_file *f, uint32_t block)
{
    volatile void *p = NULL;
    assert_int_equal(f->pMethods->xShmMap(f, (int)block, HF_WALINDEX_BLOCK_SIZE, 0, &p), SQLITE_OK);
    assert_non_null(p);
    return p;
}

static uint32_t lookup(sqlite3_file *f, uint32_t pgno, uint32_t max_frame)
{
    for (uint32_t b = hf_walindex_block_of(max_frame) + 1; b-- > 0;) {
        uint32_t n = hf_walindex_find(block_of(f, b), b, pgno, max_frame);
        if (n != 0)
            return n;
    }
    return 0;
}

/* The oracle: what SQLite recovers from copies of main and log is what our index says. */
static void check_oracle(struct rig *r, struct hf_apply *a)
{
    char main_copy[128];
    char wal_copy[136];
    char wal[128];
    snprintf(main_copy, sizeof(main_copy), "%s/copy.db", r->dir);
    snprintf(wal_copy, sizeof(wal_copy), "%s-wal", main_copy);
    snprintf(wal, sizeof(wal), "%s-wal", r->dst);
    copy(r->dst, main_copy);
    copy(wal, wal_copy);
    sqlite3 *db = NULL;
    sqlite3_file *f = NULL;
    assert_int_equal(sqlite3_open(main_copy, &db), SQLITE_OK);
    assert_int_equal(query(db, "SELECT coalesce(sum(v),0) FROM acct"), 0);
    assert_int_equal(sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &f), SQLITE_OK);
    struct hf_walindex ours;
    struct hf_walindex theirs;
    assert_int_equal(hf_walindex_read(block_of(a->file, 0), &ours), HF_WALINDEX_OK);
    assert_int_equal(hf_walindex_read(block_of(f, 0), &theirs), HF_WALINDEX_OK);
    assert_int_equal(ours.max_frame, theirs.max_frame);
    if (ours.max_frame > 0) {
        assert_int_equal(ours.pages, theirs.pages);
        assert_int_equal(ours.page_size, theirs.page_size);
        assert_int_equal(ours.is_big_endian, theirs.is_big_endian);
        assert_memory_equal(ours.frame_cksum, theirs.frame_cksum, sizeof(ours.frame_cksum));
        assert_memory_equal(ours.salt, theirs.salt, sizeof(ours.salt));
        for (uint32_t p = 1; p <= ours.pages; p++)
            assert_int_equal(lookup(a->file, p, ours.max_frame), lookup(f, p, ours.max_frame));
    }
    sqlite3_close(db);
    unlink(main_copy);
    unlink(wal_copy);
}

static void checkpoint(struct hf_apply *a, bool want_complete, bool want_restarted)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_apply_ckpt c;
    must(hf_apply_checkpoint(a, 0, &c, &err), &err);
    assert_int_equal(c.is_complete, want_complete);
    assert_int_equal(c.is_restarted, want_restarted);
}

static struct hf_apply *open_dst(struct rig *r)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_apply *a = NULL;
    must(hf_apply_open(r->dst, &a, &err), &err);
    return a;
}

/* ---- other processes ---- */

/* Reads until the file "stop" appears beside the database; status 1 if anything is wrong. */
static int mode_reader(const char *path, const char *dir)
{
    char stop[128];
    snprintf(stop, sizeof(stop), "%s/stop", dir);
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        return 1;
    sqlite3_busy_timeout(db, 10000);
    sqlite3_int64 last = 0;
    for (unsigned n = 0; access(stop, F_OK) != 0; n++) {
        sqlite3_stmt *st = NULL;
        if (sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
            return 2;
        sqlite3_int64 seen[2] = {0, 0};
        for (int i = 0; i < 2; i++) {
            int rc = sqlite3_prepare_v2(
                db, "SELECT k, (SELECT sum(v) FROM acct), (SELECT count(x) FROM t) FROM n", -1, &st,
                NULL);
            if (rc != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW) {
                fprintf(stderr, "reader: %s\n", sqlite3_errmsg(db));
                return 3;
            }
            seen[i] = sqlite3_column_int64(st, 0) * 1000000 + sqlite3_column_int64(st, 2);
            if (sqlite3_column_int64(st, 1) != 0)
                return 4;
            sqlite3_finalize(st);
            if (n % 3 == 0)
                hf_clock_sleep_us(500);
        }
        if (seen[0] != seen[1] || seen[0] / 1000000 < last)
            return 5; /* a snapshot that moved, or time going back */
        last = seen[0] / 1000000;
        if (n % 16 == 0) {
            if (sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL) != SQLITE_OK ||
                sqlite3_step(st) != SQLITE_ROW ||
                strcmp((const char *)sqlite3_column_text(st, 0), "ok") != 0)
                return 6;
            sqlite3_finalize(st);
        }
        sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    }
    return sqlite3_close(db) == SQLITE_OK ? 0 : 7;
}

static int mode_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *text = NULL;
    sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
    sqlite3_busy_timeout(db, 3000);
    int rc = sqlite3_exec(db, sql, NULL, NULL, &text);
    if (rc != SQLITE_OK)
        fprintf(stderr, "sql: %s\n", text);
    sqlite3_close(db);
    return rc == SQLITE_OK ? 0 : 1;
}

/* Status 0 if the database is intact, balanced and not at a time before its base. */
static int mode_check(const char *path)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    int bad = 1;
    sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
    sqlite3_busy_timeout(db, 3000);
    int rc = sqlite3_prepare_v2(db,
                                "SELECT (SELECT group_concat(integrity_check) FROM "
                                "pragma_integrity_check), (SELECT sum(v) FROM acct)",
                                -1, &st, NULL);
    if (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        bad = strcmp((const char *)sqlite3_column_text(st, 0), "ok") != 0 ||
              sqlite3_column_int64(st, 1) != 0;
    if (bad)
        fprintf(stderr, "check: %s\n", sqlite3_errmsg(db));
    sqlite3_finalize(st);
    sqlite3_close(db);
    return bad;
}

/* Holds a read transaction until the file "stop" appears; "held" tells that it has begun. */
static int mode_hold(const char *path, const char *dir)
{
    char file[128];
    sqlite3 *db = NULL;
    sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
    if (sqlite3_exec(db, "BEGIN; SELECT * FROM n", NULL, NULL, NULL) != SQLITE_OK)
        return 1;
    snprintf(file, sizeof(file), "%s/held", dir);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    snprintf(file, sizeof(file), "%s/stop", dir);
    while (access(file, F_OK) != 0)
        hf_clock_sleep_us(1000);
    sqlite3_close(db);
    return 0;
}

static void touch(const struct rig *r, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", r->dir, name);
    close(open(path, O_CREAT | O_WRONLY, 0600));
}

static void wait_for(const struct rig *r, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", r->dir, name);
    for (int i = 0; i < 10000 && access(path, F_OK) != 0; i++)
        hf_clock_sleep_us(1000);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
}

static pid_t start_mode(struct rig *r, const char *mode)
{
    const char *argv[] = {self, mode, r->dst, r->dir, NULL};
    return start(argv);
}

static void stop_all(struct rig *r, pid_t *pids, int n)
{
    touch(r, "stop");
    for (int i = 0; i < n; i++) {
        int status = finish(pids[i]);
        if (status != 0)
            fail_msg("process %d ended with status %x", i, (unsigned)status);
    }
    char path[128];
    snprintf(path, sizeof(path), "%s/stop", r->dir);
    unlink(path);
}

/* Kills its own process at the chosen step. */
struct killer {
    unsigned long at;
    unsigned long seen;
};

static void kill_at(void *arg, const char *step)
{
    struct killer *k = arg;
    (void)step;
    if (++k->seen == k->at)
        kill(getpid(), SIGKILL);
}

static enum hf_code apply_thrice(struct rig *r, struct hf_apply *a, struct hf_err *err)
{
    for (int round = 0; round < 3; round++) {
        struct hf_apply_ckpt c;
        HF_TRY(rig_apply(r, a, err));
        HF_TRY(hf_apply_checkpoint(a, 0, &c, err));
    }
    return HF_OK;
}

/* Applies the whole of the source's log as one transaction, as a follower's fold from its floor
 * does, and checkpoints, three times; dies at the given step. */
static int mode_apply(const char *dst, const char *src, const char *page_size, const char *at)
{
    struct rig r = {.page_size = (uint32_t)strtoul(page_size, NULL, 10)};
    struct hf_err err = HF_ERR_INIT;
    struct hf_apply *a = NULL;
    struct killer k = {.at = strtoul(at, NULL, 10)};
    snprintf(r.src, sizeof(r.src), "%s", src);
    enum hf_code rc = hf_apply_open(dst, &a, &err);
    if (rc == HF_OK) {
        hf_apply_set_step_hook(a, kill_at, &k);
        rc = rig_collect(&r, true) ? apply_thrice(&r, a, &err) : HF_E_INTERNAL;
    }
    if (rc != HF_OK)
        fprintf(stderr, "apply: %s\n", err.text);
    hf_apply_close(a);
    rig_pages_drop(&r);
    hf_free(r.pages);
    return rc != HF_OK;
}

/* ---- tests ---- */

static void test_page_sizes(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {512, 1024, 4096, 8192, 32768, 65536};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct rig r;
        rig_init_at(&r, sizes[i]);
        struct hf_apply *a = open_dst(&r);
        unsigned seed = 7;
        for (int n = 0; n < 25; n++) {
            rig_write(&r, &seed);
            if (n % 10 == 9)
                rig_apply_all(&r, a);
        }
        rig_apply_all(&r, a);
        check_same(&r);
        check_oracle(&r, a);
        checkpoint(a, true, true);
        check_same(&r);
        hf_apply_close(a);
        check_same(&r);
        rig_deinit(&r);
    }
}

/* Index blocks end at frames 4062, 8158, 12254...: lookups on both sides of each edge. */
static void test_crosses_index_blocks(void **state)
{
    (void)state;
    struct rig r;
    rig_init_at(&r, 512);
    struct hf_apply *a = open_dst(&r);
    unsigned seed = 11;
    while (hf_apply_info(a).frames < 4062 + 4096 + 4096 + 50) {
        rig_write(&r, &seed);
        rig_apply_all(&r, a);
    }
    check_oracle(&r, a);
    check_same(&r);
    /* One folded transaction that spans several blocks by itself. */
    checkpoint(a, true, true);
    exec(r.db, "INSERT INTO t(x) WITH RECURSIVE c(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM c "
               "WHERE n<9000) SELECT randomblob(400) FROM c");
    rig_apply_all(&r, a);
    assert_true(hf_apply_info(a).frames > 8158);
    check_oracle(&r, a);
    check_same(&r);
    checkpoint(a, true, true);
    assert_int_equal(hf_apply_info(a).frames, 0);
    rig_write(&r, &seed);
    rig_apply_all(&r, a);
    check_oracle(&r, a);
    check_same(&r);
    hf_apply_close(a);
    rig_deinit(&r);
}

/* Exactly at the edges: the last entry of a block, then the first of the next. */
static void test_block_edges_exactly(void **state)
{
    (void)state;
    struct rig r;
    rig_init_at(&r, 512);
    struct hf_apply *a = open_dst(&r);
    struct hf_err err = HF_ERR_INIT;
    uint8_t page[512];
    uint32_t pages = hf_apply_info(a).pages;
    static const uint32_t ends[] = {4061, 4062, 4063, 8157, 8158, 8159};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        must(hf_apply_begin(a, 512, pages + 1, &err), &err);
        while (a->frames + a->batch_len < ends[i]) {
            memset(page, (int)(a->frames + a->batch_len), sizeof(page));
            must(hf_apply_page(a, pages + 1, page, &err), &err);
        }
        must(hf_apply_commit(a, &err), &err);
        assert_int_equal(hf_apply_info(a).frames, ends[i]);
        check_oracle(&r, a);
        /* and what an aborted one leaves behind each edge is not found */
        must(hf_apply_begin(a, 512, pages + 1, &err), &err);
        for (int n = 0; n < 700; n++)
            must(hf_apply_page(a, pages + 1, page, &err), &err);
        hf_apply_abort(a);
        check_oracle(&r, a);
    }
    hf_apply_close(a);
    rig_deinit(&r);
}

static void test_readers_all_the_time(void **state)
{
    (void)state;
    struct rig r;
    rig_init_at(&r, 1024);
    struct hf_apply *a = open_dst(&r);
    pid_t pids[3];
    for (int i = 0; i < 3; i++)
        pids[i] = start_mode(&r, "reader");
    unsigned seed = 3;
    unsigned restarts = 0;
    uint64_t until = hf_clock_mono_ms() + 4000;
    while (hf_clock_mono_ms() < until) {
        rig_write(&r, &seed);
        rig_apply_all(&r, a);
        if (hf_apply_info(a).frames > 500) {
            struct hf_err err = HF_ERR_INIT;
            struct hf_apply_ckpt c;
            must(hf_apply_checkpoint(a, 50, &c, &err), &err);
            restarts += c.is_restarted;
        }
    }
    stop_all(&r, pids, 3);
    assert_true(restarts > 0);
    check_oracle(&r, a);
    check_same(&r);
    hf_apply_close(a);
    rig_deinit(&r);
}

static void test_reader_keeps_its_snapshot_and_the_log(void **state)
{
    (void)state;
    struct rig r;
    rig_init_at(&r, 4096);
    struct hf_apply *a = open_dst(&r);
    unsigned seed = 5;
    rig_write(&r, &seed);
    rig_apply_all(&r, a);
    pid_t pid = start_mode(&r, "hold");
    wait_for(&r, "held");
    rig_write(&r, &seed);
    rig_apply_all(&r, a);
    checkpoint(a, false, false); /* frames behind the reader's mark must stay */
    stop_all(&r, &pid, 1);
    checkpoint(a, true, true);
    pid = start_mode(&r, "hold"); /* reads the main file only: in nobody's way */
    wait_for(&r, "held");
    rig_write(&r, &seed);
    rig_apply_all(&r, a);
    assert_true(hf_apply_info(a).frames > 0);
    checkpoint(a, false, false); /* but the main file must not change under it */
    check_oracle(&r, a);
    stop_all(&r, &pid, 1);
    checkpoint(a, true, true);
    check_same(&r);
    hf_apply_close(a);
    rig_deinit(&r);
}

/* What others may do in between: checkpoint in every mode, and reset the log. */
static void test_checkpoints_by_others(void **state)
{
    (void)state;
    static const char *const modes[] = {
        "PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA wal_checkpoint(FULL)",
        "PRAGMA wal_checkpoint(RESTART)", "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA wal_checkpoint(TRUNCATE)"};
    struct rig r;
    rig_init_at(&r, 1024);
    struct hf_apply *a = open_dst(&r);
    unsigned seed = 9;
    for (int n = 0; n < 40; n++) {
        rig_write(&r, &seed);
        rig_apply_all(&r, a);
        assert_int_equal(other_sql(r.dst, modes[n % 5]), 0);
        if (n % 7 == 0)
            check_oracle(&r, a);
        check_same(&r);
    }
    hf_apply_close(a);
    rig_deinit(&r);
}

static void test_foreign_writer_is_a_fork(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *sql;
    } rows[] = {
        {"a commit in the log", "INSERT INTO t(x) VALUES(1)"},
        {"commit, then the log restarted",
         "INSERT INTO t(x) VALUES(1); PRAGMA wal_checkpoint(RESTART)"},
        {"commit, then the log emptied",
         "INSERT INTO t(x) VALUES(1); PRAGMA wal_checkpoint(TRUNCATE)"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig r;
        rig_init_at(&r, 4096);
        struct hf_apply *a = open_dst(&r);
        unsigned seed = 1;
        rig_write(&r, &seed);
        rig_apply_all(&r, a);
        assert_int_equal(other_sql(r.dst, rows[i].sql), 0);
        rig_write(&r, &seed);
        assert_true(rig_collect(&r, true));
        struct hf_err err = HF_ERR_INIT;
        if (rig_apply(&r, a, &err) != HF_E_CONFLICT)
            fail_msg("%s: not detected", rows[i].why);
        struct hf_apply_ckpt c;
        assert_true(hf_apply_checkpoint(a, 0, &c, &err) == HF_E_CONFLICT || !c.is_restarted);
        hf_apply_close(a);
        rig_deinit(&r);
    }
}

/* Between two processes of ours: the marks tell whether somebody else wrote. */
static void test_marks_over_a_restart(void **state)
{
    (void)state;
    struct rig r;
    rig_init_at(&r, 4096);
    struct hf_err err = HF_ERR_INIT;
    struct hf_apply *a = open_dst(&r);
    unsigned seed = 1;
    rig_write(&r, &seed);
    rig_apply_all(&r, a);
    struct hf_apply_mark marks[2] = {hf_apply_mark(a), {9, 9, {9, 9}}};
    hf_apply_close(a);
    a = open_dst(&r);
    must(hf_apply_expect(a, marks, 2, &err), &err);
    assert_int_equal(hf_apply_expect(a, marks + 1, 1, &err), HF_E_CONFLICT);
    checkpoint(a, true, true);
    assert_int_equal(hf_apply_mark(a).max_frame, marks[0].max_frame);
    hf_apply_close(a);
    a = open_dst(&r); /* the file still holds the log of before the reset: recovered, and ours */
    must(hf_apply_expect(a, marks, 1, &err), &err);
    rig_write(&r, &seed);
    rig_apply_all(&r, a);
    hf_apply_close(a);
    pid_t pid = start_mode(&r, "hold"); /* keeps the log in being */
    wait_for(&r, "held");
    assert_int_equal(other_sql(r.dst, "INSERT INTO t(x) VALUES(2)"), 0);
    a = open_dst(&r);
    assert_int_equal(hf_apply_expect(a, marks, 2, &err), HF_E_CONFLICT);
    hf_apply_close(a);
    stop_all(&r, &pid, 1);
    rig_deinit(&r);
}

static void test_aborts_leave_nothing(void **state)
{
    (void)state;
    struct rig r;
    rig_init_at(&r, 1024);
    struct hf_err err = HF_ERR_INIT;
    struct hf_apply *a = open_dst(&r);
    unsigned seed = 21;
    for (int n = 0; n < 20; n++) {
        uint8_t junk[1024];
        memset(junk, 0xab, sizeof(junk));
        must(hf_apply_begin(a, 1024, 5000, &err), &err);
        for (uint32_t p = 1; p < 40u * (unsigned)n + 2; p++)
            must(hf_apply_page(a, p, junk, &err), &err);
        struct hf_apply_mark mark;
        if (n % 2 == 0)
            hf_apply_prepare(a, &mark);
        hf_apply_abort(a);
        check_oracle(&r, a);
        rig_write(&r, &seed);
        rig_apply_all(&r, a);
        check_oracle(&r, a);
        check_same(&r);
        if (n % 6 == 5)
            checkpoint(a, true, true);
    }
    hf_apply_close(a);
    rig_deinit(&r);
}

static void test_empty_transaction_and_bad_input(void **state)
{
    (void)state;
    struct rig r;
    rig_init_at(&r, 4096);
    struct hf_err err = HF_ERR_INIT;
    struct hf_apply *a = NULL;
    char path[128];
    snprintf(path, sizeof(path), "%s/none.db", r.dir);
    assert_int_equal(hf_apply_open(path, &a, &err), HF_E_NOT_FOUND);
    touch(&r, "none.db");
    assert_int_equal(hf_apply_open(path, &a, &err), HF_E_INVALID); /* SQLite would drop the log */
    assert_int_equal(other_sql(r.src, "SELECT 1"), 0);
    FILE *f = fopen(path, "wb");
    fputs("this is not a database, but long enough to be read as a header of one hundred bytes, "
          "which it is not",
          f);
    fclose(f);
    assert_int_equal(hf_apply_open(path, &a, &err), HF_E_INVALID);
    assert_int_equal(hf_apply_open(r.dir, &a, &err), HF_E_INVALID);

    a = open_dst(&r);
    uint8_t page[4096] = {0};
    uint32_t pages = hf_apply_info(a).pages;
    assert_int_equal(hf_apply_begin(a, 8192, pages, &err), HF_E_UNSUPPORTED);
    assert_int_equal(hf_apply_begin(a, 4096, 0, &err), HF_E_INVALID);
    must(hf_apply_begin(a, 4096, pages, &err), &err);
    assert_int_equal(hf_apply_page(a, 0, page, &err), HF_E_INVALID);
    assert_int_equal(hf_apply_page(a, pages + 1, page, &err), HF_E_INVALID);
    must(hf_apply_commit(a, &err), &err); /* a seal: no pages, no commit */
    assert_int_equal(hf_apply_info(a).frames, 0);
    must(hf_apply_begin(a, 4096, 0x40000000 / 4096 + 9, &err), &err);
    assert_int_equal(hf_apply_page(a, 0x40000000 / 4096 + 1, page, &err), HF_E_INVALID);
    hf_apply_abort(a);
    check_same(&r);
    hf_apply_close(a);
    rig_deinit(&r);
}

static void test_rollback_mode_is_converted(void **state)
{
    (void)state;
    struct rig r;
    rig_init_at(&r, 4096);
    assert_int_equal(other_sql(r.dst, "PRAGMA journal_mode=delete"), 0);
    struct hf_apply *a = open_dst(&r);
    unsigned seed = 4;
    exec(r.db, "PRAGMA user_version=7"); /* page 1 is in the transaction */
    rig_write(&r, &seed);
    rig_apply_all(&r, a);
    check_oracle(&r, a);
    check_same(&r);
    hf_apply_close(a);
    rig_deinit(&r);
}

static void test_page_1_is_forced_to_wal_mode(void **state)
{
    (void)state;
    struct rig r;
    rig_init_at(&r, 4096);
    struct hf_apply *a = open_dst(&r);
    struct hf_err err = HF_ERR_INIT;
    exec(r.db, "PRAGMA user_version=8");
    assert_true(rig_collect(&r, true));
    r.pages[1][18] = 1;
    r.pages[1][19] = 1;
    must(rig_apply(&r, a, &err), &err);
    check_same(&r);
    hf_apply_close(a);
    rig_deinit(&r);
}

static void test_replaced_file_is_noticed(void **state)
{
    (void)state;
    struct rig r;
    rig_init_at(&r, 4096);
    struct hf_apply *a = open_dst(&r);
    struct hf_err err = HF_ERR_INIT;
    char other[128];
    snprintf(other, sizeof(other), "%s/other.db", r.dir);
    copy(r.src, other);
    assert_int_equal(rename(other, r.dst), 0);
    assert_int_equal(hf_apply_begin(a, 4096, 1, &err), HF_E_CONFLICT);
    hf_apply_close(a);
    rig_deinit(&r);
}

/* A log that grew by one huge transaction is cut when it restarts. */
static void test_huge_log_is_cut(void **state)
{
    (void)state;
    struct rig r;
    rig_init_at(&r, 65536);
    struct hf_apply *a = open_dst(&r);
    exec(r.db, "INSERT INTO t(x) WITH RECURSIVE c(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM c "
               "WHERE n<400) SELECT randomblob(60000) FROM c");
    rig_apply_all(&r, a);
    assert_true(hf_apply_info(a).wal_bytes > HF_APPLY_WAL_KEEP);
    checkpoint(a, true, true);
    assert_int_equal(hf_apply_info(a).wal_bytes, 0);
    unsigned seed = 2;
    rig_write(&r, &seed);
    rig_apply_all(&r, a);
    check_oracle(&r, a);
    check_same(&r);
    hf_apply_close(a);
    rig_deinit(&r);
}

/*
 * kill -9 before every single step. After each kill the standby must be intact and at a committed
 * state, then folding everything from the front must lead to the source's state again. In every
 * second round a reader lives through the kill, so that log and index outlive the applier.
 */
static void test_kill_at_every_step(void **state)
{
    (void)state;
    struct rig r;
    rig_init_at(&r, 512);
    unsigned seed = 31;
    bool is_done = false;
    unsigned kills = 0;
    for (unsigned long at = 1; !is_done; at++) {
        char text[24];
        snprintf(text, sizeof(text), "%lu", at);
        if (at % 16 == 1) { /* new material every now and then */
            for (int n = 0; n < 6; n++)
                rig_write(&r, &seed);
        }
        pid_t reader = at % 2 ? start_mode(&r, "reader") : 0;
        const char *argv[] = {self, "apply", r.dst, r.src, "512", text, NULL};
        int status = finish(start(argv));
        is_done = WIFEXITED(status);
        if (is_done && WEXITSTATUS(status) != 0)
            fail_msg("step %lu: status %x", at, (unsigned)status);
        kills += WIFSIGNALED(status);
        if (reader != 0)
            stop_all(&r, &reader, 1);
        const char *check[] = {self, "check", r.dst, NULL};
        assert_int_equal(finish(start(check)), 0);
        if (at % 4 == 0) {
            struct hf_apply *a = open_dst(&r);
            check_oracle(&r, a);
            hf_apply_close(a);
        }
    }
    assert_true(kills > 20);
    struct hf_apply *a = open_dst(&r);
    check_oracle(&r, a);
    hf_apply_close(a);
    check_same(&r);
    rig_deinit(&r);
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc == 4 && strcmp(argv[1], "reader") == 0)
        return mode_reader(argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "hold") == 0)
        return mode_hold(argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "sql") == 0)
        return mode_sql(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "check") == 0)
        return mode_check(argv[2]);
    if (argc == 6 && strcmp(argv[1], "apply") == 0)
        return mode_apply(argv[2], argv[3], argv[4], argv[5]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_sizes),
        cmocka_unit_test(test_crosses_index_blocks),
        cmocka_unit_test(test_block_edges_exactly),
        cmocka_unit_test(test_readers_all_the_time),
        cmocka_unit_test(test_reader_keeps_its_snapshot_and_the_log),
        cmocka_unit_test(test_checkpoints_by_others),
        cmocka_unit_test(test_foreign_writer_is_a_fork),
        cmocka_unit_test(test_marks_over_a_restart),
        cmocka_unit_test(test_aborts_leave_nothing),
        cmocka_unit_test(test_empty_transaction_and_bad_input),
        cmocka_unit_test(test_rollback_mode_is_converted),
        cmocka_unit_test(test_page_1_is_forced_to_wal_mode),
        cmocka_unit_test(test_replaced_file_is_noticed),
        cmocka_unit_test(test_huge_log_is_cut),
        cmocka_unit_test(test_kill_at_every_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
