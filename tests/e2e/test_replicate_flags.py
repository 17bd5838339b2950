"""replicate's flags as Litestream has them, and how it ends."""
import os
import signal
import time

import pytest

import dbtool
import procs
import replicas
from test_replicas_many import block, unblock


@pytest.fixture(params=[1, 2])
def set_up(request, make_db, tmp_path, holdfast):
    """A database with one replica, or with two; (db, replicas, configuration)."""
    def make(**top):
        db = make_db(rows=100)
        reps = [str(tmp_path / ("rep%d" % i)) for i in range(request.param)]
        where = [{"type": "file", "path": r, "name": os.path.basename(r), "sync-interval": "20ms"}
                 for r in reps]
        return db, reps, replicas.config(str(tmp_path / "flags.yml"), {db: where}, **top)
    return make


def same(holdfast, db, replica, tmp_path):
    out = str(tmp_path / "copy.db")
    replicas.remove_db(out)
    holdfast("restore", "-o", out, replicas.url(replica)).ok()
    replicas.assert_same_pages(db, out, tmp_path)


def test_force_snapshot_and_enforce_retention(set_up, holdfast, tmp_path):
    db, reps, conf = set_up(**{"l0-retention": "1ms", "snapshot": {"interval": "1h", "retention": "1ms"}})
    holdfast("replicate", "-once", "-config", conf).ok()
    for _ in range(2):
        dbtool.commit(db)
        holdfast("replicate", "-once", "-force-snapshot", "-config", conf).ok()
    for r in reps:
        assert len(replicas.files(r, 9)) == 2 and len(replicas.files(r, 0)) >= 3
    time.sleep(0.05)
    holdfast("replicate", "-once", "-enforce-retention", "-config", conf).ok()
    for r in reps:
        assert len(replicas.files(r, 9)) == 1 and len(replicas.files(r, 0)) == 1
        same(holdfast, db, r, tmp_path)


def test_restore_if_db_not_exists(set_up, holdfast, tmp_path):
    db, reps, conf = set_up()
    holdfast("replicate", "-once", "-restore-if-db-not-exists", "-config", conf).ok()  # new: as it is
    want = dbtool.digest(db)
    replicas.remove_db(db)
    replicas.remove_state(db)
    holdfast("replicate", "-once", "-restore-if-db-not-exists", "-config", conf).ok()
    assert dbtool.digest(db) == want
    dbtool.commit(db)
    holdfast("replicate", "-once", "-restore-if-db-not-exists", "-config", conf).ok()
    for r in reps:
        same(holdfast, db, r, tmp_path)
    replicas.remove_db(db)
    block(reps[0])
    if len(reps) == 1:  # it may be in there: no new database takes its place
        assert holdfast("replicate", "-once", "-restore-if-db-not-exists", "-config", conf).code != 0
        assert not os.path.exists(db)


def test_last_sync_is_retried(set_up, holdfast, tmp_path):
    db, reps, conf = set_up(**{"shutdown-sync-timeout": "60s", "shutdown-sync-interval": "100ms"})
    p = holdfast.start("replicate", "-config", conf)
    procs.wait_until(lambda: all(replicas.top_txid(r) for r in reps), why=p.text)
    block(reps[-1])
    dbtool.commit(db, 2)
    procs.wait_until(lambda: "upload failed" in p.text(), why=p.text)
    p.signal(signal.SIGTERM)
    time.sleep(1)
    assert p.alive
    unblock(reps[-1])
    assert p.wait(60) == 0
    for r in reps:
        same(holdfast, db, r, tmp_path)


def test_second_signal_ends_it(set_up, holdfast, tmp_path):
    db, reps, conf = set_up(**{"shutdown-sync-timeout": "10m"})
    p = holdfast.start("replicate", "-config", conf)
    procs.wait_until(lambda: all(replicas.top_txid(r) for r in reps), why=p.text)
    block(reps[-1])
    dbtool.commit(db, 2)
    p.signal(signal.SIGTERM)
    procs.wait_until(lambda: "signal received" in p.text(), why=p.text)
    time.sleep(0.5)
    assert p.alive
    p.signal(signal.SIGINT)
    assert p.wait(60) == 13, p.text()
    assert "second signal" in p.text() and reps[-1] in p.text()
    if len(reps) == 2:
        same(holdfast, db, reps[0], tmp_path)


def test_exec_ends_with_its_code(set_up, holdfast, tmp_path):
    db, reps, conf = set_up()
    script = "python3 -c \"import sqlite3; c=sqlite3.connect('%s'); c.execute('create table e(x)');" \
             " c.commit(); raise SystemExit(7)\"" % db
    assert holdfast("replicate", "-exec", script, "-config", conf).code == 7
    for r in reps:
        same(holdfast, db, r, tmp_path)
