"""A follower starts beside readers that come and go.

It once ended with "database is locked" when a reader opened the copy in the instant between its
restore and its first lock: found by the demo, whose live figures are such a reader.
"""
import os
import sqlite3
import threading

import dbtool
import procs


def read_again_and_again(path, stop, seen):
    while not stop.is_set():
        try:
            c = sqlite3.connect("file:%s?mode=ro" % path, uri=True, timeout=0)
            c.execute("SELECT count(*) FROM ledger").fetchone()
            seen.append(1)
            c.close()
        except sqlite3.Error:
            pass


def test_readers_at_the_start(holdfast, make_db, tmp_path, rounds):
    db = make_db()
    replica = "file://%s-replica" % db
    dbtool.commit(db, 3)
    holdfast("replicate", "-once", db, replica).ok()
    for i in range(rounds(12, 300)):
        copy, stop, seen = str(tmp_path / ("copy%d.db" % i)), threading.Event(), []
        threads = [threading.Thread(target=read_again_and_again, args=(copy, stop, seen)) for _ in range(2)]
        for t in threads:
            t.start()
        p = holdfast.start("restore", "-f", "-o", copy, replica)
        try:
            procs.wait_until(lambda: "msg=following" in p.text() or not p.alive, why=p.text)
            procs.wait_until(lambda: seen or not p.alive, why=p.text)
        finally:
            stop.set()
            for t in threads:
                t.join()
        assert p.alive, p.text()
        assert seen and os.path.exists(copy)
        assert p.stop() == 0
