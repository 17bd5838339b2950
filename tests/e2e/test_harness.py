"""The harness itself: the real Litestream replicates and restores, writers die, reports are seen."""
import os

import pytest

import dbtool
import procs
from conftest import SANITIZER


def ltx_files(replica, level):
    d = os.path.join(replica, "ltx", str(level))
    return sorted(os.listdir(d)) if os.path.isdir(d) else []


def test_litestream_round_trip(litestream, make_db, writer, tmp_path):
    assert litestream("version").ok().out.strip() == "0.5.17"
    db, replica = make_db(), str(tmp_path / "replica")
    p = litestream.start("replicate", db, "file://" + replica)
    procs.wait_until(lambda: ltx_files(replica, 0), why=p.text)
    top = writer(db, rate=200, seconds=1).wait()
    assert top > 50
    assert p.stop() == 0
    out = str(tmp_path / "out.db")
    litestream("restore", "-o", out, "file://" + replica).ok()
    assert dbtool.last_seq(out) == top
    dbtool.assert_same(db, out)


def test_killed_writer_leaves_what_it_acknowledged(make_db, writer):
    db = make_db()
    w = writer(db, seconds=60, checkpoint_every=7, reopen_every=11, rollback_every=3, vacuum_every=50)
    procs.wait_until(lambda: w.acked() > 60, why=w.proc.text)
    acked = w.kill()
    assert acked <= dbtool.last_seq(db) <= acked + 1


def test_digest_sees_a_changed_row(make_db):
    a, b = make_db("a.db"), make_db("b.db")
    assert dbtool.digest(a) == dbtool.digest(b)
    dbtool.commit(b)
    assert dbtool.digest(a) != dbtool.digest(b)


def test_lost_ledger_row_is_noticed(make_db):
    db = make_db()
    dbtool.commit(db, 5)
    c = dbtool.connect(db)
    c.execute("DELETE FROM ledger WHERE seq=3")
    c.close()
    with pytest.raises(AssertionError):
        dbtool.last_seq(db)


@pytest.mark.parametrize("line", ["==1==ERROR: AddressSanitizer: heap-use-after-free",
                                  "src/a.c:1:2: runtime error: signed integer overflow",
                                  "WARNING: ERROR: LeakSanitizer: detected memory leaks"])
def test_sanitizer_reports_are_recognised(line):
    assert SANITIZER.search(line)
