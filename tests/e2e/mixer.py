"""The writer of the crash tests: a random mix of everything programs do to a database.

Run as a program: `mixer.py DB LOG SEED [SECONDS]`. Every transaction keeps a ledger: the newest row's
`sum` is the sum of a checksum over all rows of the data tables. A copy whose tables do not add up to
its newest ledger row is no state that was ever committed. LOG gets a number after its COMMIT returned.
"""
import os
import random
import sqlite3
import struct
import sys
import time
import zlib

REC = struct.Struct("<Q")
TABLES = 3
PAGE_SIZE = os.environ.get("MIXER_PAGE_SIZE", "1") == "1"
SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger(seq INTEGER PRIMARY KEY, sum INTEGER NOT NULL, body BLOB);
CREATE TABLE IF NOT EXISTS t0(id INTEGER PRIMARY KEY, k INTEGER, body BLOB);
CREATE INDEX IF NOT EXISTS t0k ON t0(k);
"""


def crc(row_id, k, body):
    return zlib.crc32(b"%d,%d" % (row_id, k) + bytes(body))


def tables(c):
    return [r[0] for r in c.execute(
        "SELECT name FROM sqlite_master WHERE type='table' AND name GLOB 't[0-9]' ORDER BY name")]


def total(c):
    return sum(crc(*row) for t in tables(c) for row in c.execute("SELECT id, k, body FROM " + t))


def check(path):
    """The number of the committed state that path holds. Fails if it is none."""
    c = sqlite3.connect("file:%s?mode=ro" % path, uri=True, timeout=5, isolation_level=None)
    try:
        c.execute("BEGIN")  # one state, also where a follower applies meanwhile
        ok = c.execute("PRAGMA integrity_check").fetchone()[0]
        assert ok == "ok", "%s: integrity_check: %s" % (path, ok)
        row = c.execute("SELECT seq, sum FROM ledger ORDER BY seq DESC LIMIT 1").fetchone()
        if row is None:
            return 0
        assert row[1] == total(c), "%s: rows do not add up at %d" % (path, row[0])
        return row[0]
    finally:
        c.close()


def acked(log):
    try:
        with open(log, "rb") as f:
            b = f.read()
    except OSError:
        return 0
    n = len(b) // REC.size
    return max((REC.unpack_from(b, i * REC.size)[0] for i in range(n)), default=0)


def create(path, rng):
    c = sqlite3.connect(path, isolation_level=None)
    c.execute("PRAGMA page_size=%d" % rng.choice((512, 1024, 4096, 4096, 4096, 8192, 65536)))
    c.execute("PRAGMA auto_vacuum=%d" % rng.choice((0, 0, 1, 2)))
    c.execute("PRAGMA journal_mode=%s" % rng.choice(("wal", "wal", "wal", "delete")))
    c.executescript(SCHEMA)
    for i in range(rng.choice((0, 10, 200))):
        c.execute("INSERT INTO t0 VALUES(?,?,?)", (i, 1, b"x" * rng.randrange(300)))
    c.execute("INSERT OR REPLACE INTO ledger VALUES(1, ?, NULL)", (total(c),))
    c.close()


class Mixer:
    def __init__(self, path, log, seed):
        self.path, self.rng = path, random.Random(seed)
        self.log = open(log, "ab", buffering=0)
        self.c = None
        self.reopen()

    def reopen(self):
        if self.c is not None:
            self.c.close()
        r = self.rng
        self.c = sqlite3.connect(self.path, timeout=10, isolation_level=None)
        self.c.execute("PRAGMA wal_autocheckpoint=%d" % r.choice((0, 1, 20, 1000, 1000)))
        self.c.execute("PRAGMA journal_size_limit=%d" % r.choice((-1, -1, 0, 20000)))
        self.c.execute("PRAGMA synchronous=%d" % r.choice((0, 1, 2)))
        self.c.execute("PRAGMA cache_size=%d" % r.choice((-2000, 5)))  # 5: dirty pages spill early

    def put(self, t, n, size):
        """Rows added, changed, removed; by how much the sum changes."""
        r, d = self.rng, 0
        for _ in range(n):
            row_id, k, body = r.randrange(300), r.randrange(50), r.randbytes(r.randrange(size))
            old = self.c.execute("SELECT id, k, body FROM %s WHERE id=?" % t, (row_id,)).fetchone()
            d -= crc(*old) if old else 0
            if old and r.random() < 0.3:
                self.c.execute("DELETE FROM %s WHERE id=?" % t, (row_id,))
            else:
                self.c.execute("INSERT OR REPLACE INTO %s VALUES(?,?,?)" % t, (row_id, k, body))
                d += crc(row_id, k, body)
        return d

    def clear(self, t, sql):
        d = -sum(crc(*row) for row in self.c.execute("SELECT id, k, body FROM " + t))
        self.c.execute(sql % t)
        return d

    def schema(self):
        t, have = "t%d" % self.rng.randrange(TABLES), tables(self.c)
        if t not in have:
            self.c.execute("CREATE TABLE %s(id INTEGER PRIMARY KEY, k INTEGER, body BLOB)" % t)
            self.c.execute("CREATE INDEX %sk ON %s(k)" % (t, t))
            return self.put(t, 5, 100)
        return self.clear(t, "DROP TABLE %s") if t != "t0" else self.clear(t, "DELETE FROM %s")

    def transaction(self):
        r = self.rng
        self.c.execute("BEGIN IMMEDIATE")
        seq, s = self.c.execute("SELECT seq, sum FROM ledger ORDER BY seq DESC LIMIT 1").fetchone()
        x, t = r.random(), r.choice(tables(self.c))
        if x < 0.75:
            s += self.put(t, r.randrange(1, 4), 200)
        elif x < 0.85:
            s += self.put(t, r.randrange(20, 120), 2000)
        elif x < 0.93:
            s += self.schema()
        else:
            s += self.clear(t, "DELETE FROM %s")
        self.c.execute("INSERT INTO ledger VALUES(?,?,?)", (seq + 1, s, r.randbytes(r.randrange(40))))
        if seq % 50 == 0:
            self.c.execute("DELETE FROM ledger WHERE seq < ?", (seq - 20,))
        if r.random() < 0.05:
            self.c.execute("ROLLBACK")
            return
        self.c.execute("COMMIT")
        self.log.write(REC.pack(seq + 1))

    def other(self):
        r, c = self.rng, self.c
        x = r.randrange(10)
        if x < 4:
            mode = r.choice(("PASSIVE", "FULL", "RESTART", "TRUNCATE"))
            for _ in range(r.choice((1, 1, 2))):
                c.execute("PRAGMA wal_checkpoint(%s)" % mode).fetchall()
        elif x == 4:
            c.execute("VACUUM")
        elif x == 5:
            c.execute("PRAGMA incremental_vacuum(%d)" % r.randrange(1, 50)).fetchall()
        elif x == 6:
            time.sleep(r.random() * 0.1)
        elif x == 7 and r.random() < 0.3 and PAGE_SIZE:
            self.page_size()
        else:
            self.reopen()

    def page_size(self):
        """Only possible while nobody else has it open."""
        c = self.c
        c.execute("PRAGMA busy_timeout=100")
        try:
            c.execute("PRAGMA journal_mode=delete").fetchone()
            c.execute("PRAGMA page_size=%d" % self.rng.choice((512, 1024, 4096, 8192)))
            c.execute("VACUUM")
            if self.rng.random() < 0.8:
                c.execute("PRAGMA journal_mode=wal").fetchone()
        finally:
            c.execute("PRAGMA busy_timeout=10000")

    def run(self, seconds):
        end = time.monotonic() + seconds
        pause = self.rng.choice((0, 0, 0.002, 0.02))
        while time.monotonic() < end:
            try:
                if self.rng.random() < 0.9:
                    self.transaction()
                else:
                    self.other()
            except sqlite3.OperationalError as e:
                if "locked" not in str(e) and "busy" not in str(e):
                    raise
                if self.c.in_transaction:
                    self.c.execute("ROLLBACK")
            time.sleep(pause)
        self.c.close()


if __name__ == "__main__":
    import signal
    signal.signal(signal.SIGTERM, lambda *a: sys.exit(0))
    Mixer(sys.argv[1], sys.argv[2], int(sys.argv[3])).run(float((sys.argv + ["60"])[4]))
