"""Databases of a test: made, written by another process, compared row by row.

Run as a program it is the writer: `dbtool.py write DB LOG --rate N --seconds S ...`. It commits
numbered transactions and appends a number to LOG only after its COMMIT returned: what LOG holds was
acknowledged, what a restored copy holds beyond it was committed but not seen to be.
"""
import argparse
import hashlib
import os
import random
import sqlite3
import struct
import sys
import time

SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger(seq INTEGER PRIMARY KEY, total INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS item(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS item_n ON item(n);
"""
REC = struct.Struct("<QQ")      # seq, time of the acknowledgement in ns


def connect(path, timeout=5.0):
    c = sqlite3.connect(path, timeout=timeout, isolation_level=None)
    c.execute("PRAGMA busy_timeout=%d" % int(timeout * 1000))
    return c


def create(path, rows=50, page_size=4096, journal="wal", auto_vacuum=0, body=200):
    c = connect(path)
    c.execute("PRAGMA page_size=%d" % page_size)
    c.execute("PRAGMA auto_vacuum=%d" % auto_vacuum)
    c.execute("PRAGMA journal_mode=%s" % journal)
    c.executescript(SCHEMA)
    rng = random.Random(rows)
    c.execute("BEGIN")
    c.executemany("INSERT INTO item(n, body) VALUES(?, ?)",
                  [(rng.randrange(1000), rng.randbytes(body)) for _ in range(rows)])
    c.execute("COMMIT")
    c.close()


def commit(path, n=1, body=200):
    """n transactions from a connection of their own; the last sequence number."""
    c = connect(path)
    for _ in range(n):
        seq = write_one(c, random.Random(), body)
    c.close()
    return seq


def write_one(c, rng, body):
    """A transaction whose halves must both arrive: the ledger's total is the number of its rows."""
    c.execute("BEGIN IMMEDIATE")
    seq = (c.execute("SELECT max(seq) FROM ledger").fetchone()[0] or 0) + 1
    c.execute("INSERT INTO ledger VALUES(?, ?, ?)", (seq, seq, rng.randbytes(rng.randrange(1, body * 2))))
    c.execute("UPDATE item SET n=n+1, body=? WHERE id=?", (rng.randbytes(body), rng.randrange(1, 50)))
    if rng.random() < 0.2:
        c.execute("INSERT INTO item(n, body) VALUES(?, ?)", (seq % 1000, rng.randbytes(body * 5)))
    c.execute("COMMIT")
    return seq


def digest(path, own=("_litestream",)):
    """Hash of schema and rows, without the replicators' tables."""
    c = sqlite3.connect("file:%s?mode=ro" % path, uri=True, timeout=5)
    h = hashlib.sha256()
    tables = c.execute("SELECT name, sql FROM sqlite_master WHERE type='table' ORDER BY name").fetchall()
    for name, sql in tables:
        if name.startswith(own):
            continue
        h.update(repr(sql).encode())
        for row in c.execute('SELECT * FROM "%s" ORDER BY rowid' % name):
            h.update(repr(row).encode())
    c.close()
    return h.hexdigest()


def integrity(path):
    c = sqlite3.connect("file:%s?mode=ro" % path, uri=True, timeout=5)
    r = c.execute("PRAGMA integrity_check").fetchone()[0]
    c.close()
    return r


def last_seq(path):
    """The highest committed number; fails when a transaction is missing or half there."""
    c = sqlite3.connect("file:%s?mode=ro" % path, uri=True, timeout=5)
    n, top, total = c.execute("SELECT count(*), ifnull(max(seq),0), ifnull(max(total),0) FROM ledger").fetchone()
    c.close()
    assert n == top == total, "ledger: %d rows, highest %d, total %d" % (n, top, total)
    return top


def assert_same(a, b):
    assert integrity(b) == "ok"
    assert digest(a) == digest(b), "%s and %s differ: ledger %d, %d" % (a, b, last_seq(a), last_seq(b))


def acknowledged(log):
    """[(seq, ns)] of a writer's log; a torn last record was not acknowledged."""
    try:
        with open(log, "rb") as f:
            b = f.read()
    except OSError:
        return []
    return list(REC.iter_unpack(b[:len(b) // REC.size * REC.size]))


class Writer:
    """A separate process, so that it can be killed without warning."""

    def __init__(self, group, db, **how):
        self.log = "%s.writer%d" % (db, len(group.all))
        args = [x for k, v in how.items() for x in ("--" + k.replace("_", "-"), v)]
        self.proc = group.start([sys.executable, os.path.abspath(__file__), "write", db, self.log, *args])

    def acked(self):
        a = acknowledged(self.log)
        return a[-1][0] if a else 0

    def wait(self, timeout=60):
        code = self.proc.wait(timeout)
        assert code == 0, self.proc.text()
        return self.acked()

    def stop(self):
        self.proc.stop()
        return self.acked()

    def kill(self):
        self.proc.kill()
        return self.acked()


def write_main(argv):
    ap = argparse.ArgumentParser()
    ap.add_argument("db")
    ap.add_argument("log")
    ap.add_argument("--rate", type=float, default=0, help="transactions a second, 0 = as fast as it goes")
    ap.add_argument("--seconds", type=float, default=5)
    ap.add_argument("--count", type=int, default=0)
    ap.add_argument("--body", type=int, default=200)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--autocheckpoint", type=int, default=1000)
    ap.add_argument("--synchronous", type=int, default=1)
    ap.add_argument("--checkpoint-every", type=int, default=0, help="wal_checkpoint(TRUNCATE) every N")
    ap.add_argument("--vacuum-every", type=int, default=0)
    ap.add_argument("--reopen-every", type=int, default=0)
    ap.add_argument("--rollback-every", type=int, default=0)
    ap.add_argument("--exclusive", type=int, default=0)
    a = ap.parse_args(argv)
    rng = random.Random(a.seed)

    def fresh():
        c = connect(a.db)
        if a.exclusive:
            c.execute("PRAGMA locking_mode=EXCLUSIVE")
        c.execute("PRAGMA wal_autocheckpoint=%d" % a.autocheckpoint)
        c.execute("PRAGMA synchronous=%d" % a.synchronous)
        return c

    c, t0, n = fresh(), time.monotonic(), 0
    with open(a.log, "ab", buffering=0) as log:
        while time.monotonic() - t0 < a.seconds and (not a.count or n < a.count):
            log.write(REC.pack(write_one(c, rng, a.body), time.time_ns()))
            n += 1
            if a.checkpoint_every and n % a.checkpoint_every == 0:
                c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if a.vacuum_every and n % a.vacuum_every == 0:
                c.execute("VACUUM")
            if a.reopen_every and n % a.reopen_every == 0:
                c.close()
                c = fresh()
            if a.rollback_every and n % a.rollback_every == 0:
                c.execute("BEGIN IMMEDIATE")
                c.execute("DELETE FROM item")
                c.execute("ROLLBACK")
            if a.rate:
                time.sleep(max(0.0, t0 + n / a.rate - time.monotonic()))
    c.close()


if __name__ == "__main__":
    if sys.argv[1:2] != ["write"]:
        sys.exit("usage: dbtool.py write DB LOG [options]")
    write_main(sys.argv[2:])
