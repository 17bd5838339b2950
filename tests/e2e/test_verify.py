"""verify: a replica against its source, at rest, while writers go on, and when something is missing."""
import glob
import os
import shutil

import pytest

import dbtool
import procs
import replicas

def served(holdfast, tmp_path, dbs, interval="50ms", sock=True):
    conf, path = str(tmp_path / "v.yml"), str(tmp_path / "v.sock")
    top = {"socket": {"enabled": True, "path": path}} if sock else {}
    replicas.config(conf, {db: {"path": db + "-rep", "sync-interval": interval} for db in dbs}, **top)
    p = holdfast.start("replicate", "-config", conf)
    for db in dbs:
        procs.wait_until(lambda db=db: replicas.files(db + "-rep"), why=p.text)
    return conf, p


def verify(holdfast, conf, *args, **how):
    return holdfast("verify", "-config", conf, "-scratch", os.path.dirname(conf), "-json", *args, **how)


def results(r):
    return {os.path.basename(d["db_path"]): d for d in r.json()["databases"]}


def nothing_left(tmp_path):
    return not glob.glob(str(tmp_path / "holdfast-verify-*"))


def test_at_rest(holdfast, make_db, tmp_path):
    db = make_db()
    holdfast("replicate", "-once", db, "file://%s-rep" % db).ok()
    r = holdfast("verify", db, "file://%s-rep" % db, "-scratch", tmp_path, "-json").ok()
    got = results(r)["app.db"]
    assert r.json()["schema"] == "holdfast.verify/1"
    assert got["result"] == "same" and got["looks"] == 1 and got["different_pages"] == 0
    assert got["pages"] * got["page_size"] == os.path.getsize(db)
    assert nothing_left(tmp_path)
    # What was committed since is not there, and nobody runs to ship it.
    dbtool.commit(db)
    r = holdfast("verify", db, "file://%s-rep" % db, "-scratch", tmp_path, "--wait", "300ms", "-json")
    r.failed(13, "1 of 1 not proven equal", "behind", "is replicate running")
    assert results(r)["app.db"]["different_pages"] > 0


def test_replica_of_litestream(holdfast, litestream, make_db, tmp_path):
    db = make_db()
    litestream("replicate", "-once", db, "file://%s-rep" % db).ok()
    got = results(holdfast("verify", db, "file://%s-rep" % db, "-scratch", tmp_path, "-json").ok())["app.db"]
    assert got["result"] == "same"


@pytest.mark.parametrize("sock,rate,interval", [(True, 300, "200ms"), (False, 3, "20ms")])
def test_while_a_writer_goes_on(holdfast, make_db, writer, tmp_path, sock, rate, interval):
    db = make_db()
    conf, p = served(holdfast, tmp_path, [db], interval, sock)
    w = writer(db, rate=rate, seconds=120)
    procs.wait_until(lambda: w.acked() > 3, why=w.proc.text)
    r = verify(holdfast, conf, db, "--hold", "5s", timeout=100)
    got = results(r)["app.db"]
    # It may take several looks, and the last of them stops the writer for a moment.
    assert got["result"] == "same", (got, r.err)
    assert w.proc.alive
    w.stop()
    assert p.stop() == 0
    assert nothing_left(tmp_path)


def test_busy_is_said_to_be_so(holdfast, make_db, writer, tmp_path):
    """One row that every transaction changes: it is in flight at every look."""
    db = make_db()
    conf, p = served(holdfast, tmp_path, [db], "300ms")
    w = writer(db, rate=400, seconds=120)
    procs.wait_until(lambda: w.acked() > 50, why=w.proc.text)
    seen = set()
    for _ in range(3):
        got = results(verify(holdfast, conf, db, timeout=100))["app.db"]
        seen.add(got["result"])
        assert got["result"] in ("same", "busy"), got
        assert got["result"] == "same" or (got["looks"] == 6 and got["first_pages"])
    w.stop()
    assert p.stop() == 0


def test_a_lost_change_is_found(holdfast, make_db, tmp_path):
    """A replica that is whole and valid, of a database in which one page is another one."""
    db = make_db(rows=2000)
    other = str(tmp_path / "other.db")
    shutil.copyfile(db, other)
    with open(other, "r+b") as f:
        f.seek(30 * 4096 + 2000)
        f.write(b"\x55\xaa\x55")
    holdfast("replicate", "-once", other, "file://%s-rep" % other).ok()
    # Nobody says that everything was shipped: it may still come.
    r = holdfast("verify", db, "file://%s-rep" % other, "-scratch", tmp_path, "--wait", "200ms", "-json")
    assert r.code == 13 and results(r)["app.db"]["first_pages"] == [31]
    # The running process says it was: then it is lost.
    conf, p = served(holdfast, tmp_path, [db])
    r = holdfast("verify", db, "file://%s-rep" % other, "-scratch", tmp_path, "-socket", tmp_path / "v.sock", "-json")
    r.failed(5, "app.db: different", "do not trust this replica")
    assert results(r)["app.db"]["first_pages"] == [31] and results(r)["app.db"]["different_pages"] == 1
    assert results(verify(holdfast, conf, db).ok())["app.db"]["result"] == "same"
    assert p.stop() == 0


def test_damaged_and_missing(holdfast, make_db, tmp_path):
    good, bad, gone, lost = (make_db(n) for n in ("good.db", "bad.db", "gone.db", "lost.db"))
    conf, p = served(holdfast, tmp_path, [good, bad, gone, lost])
    assert p.stop() == 0
    for path in glob.glob(bad + "-rep/ltx/*/*.ltx"):
        os.truncate(path, 150)
    shutil.rmtree(gone + "-rep")
    os.remove(lost)
    prom = str(tmp_path / "v.prom")
    r = verify(holdfast, conf, "-all", "--metrics", prom).failed(5, "3 of 4 not proven equal", "bad.db")
    got = results(r)
    assert {k: v["result"] for k, v in got.items()} == {
        "good.db": "same", "bad.db": "error", "gone.db": "error", "lost.db": "error"}
    assert got["bad.db"]["code"] == "corrupt" and got["gone.db"]["code"] == "not-found"
    text = open(prom).read()
    assert 'holdfast_verify_ok{db="%s",replica="file://%s-rep"} 1' % (good, good) in text
    assert 'holdfast_verify_ok{db="%s",replica="file://%s-rep"} 0' % (bad, bad) in text
    assert nothing_left(tmp_path)


def test_sample_goes_round(holdfast, make_db, tmp_path):
    dbs = [make_db("%d.db" % i) for i in range(5)]
    conf, p = served(holdfast, tmp_path, dbs)
    seen = [sorted(results(verify(holdfast, conf, "-sample", "2").ok())) for _ in range(5)]
    assert seen[0] == ["0.db", "1.db"] and seen[1] == ["2.db", "3.db"] and seen[2] == ["0.db", "4.db"]
    counts = {}
    for names in seen:
        for n in names:
            counts[n] = counts.get(n, 0) + 1
    assert set(counts.values()) == {2}
    assert p.stop() == 0


def test_wrong_use_and_stop(holdfast, make_db, tmp_path):
    db = make_db()
    holdfast("verify").failed(2, "name a database, or -all, or -sample N")
    holdfast("verify", "-all", db).failed(2, "name a database, or -all, or -sample N")
    holdfast("verify", tmp_path / "nope.db", "file://%s-rep" % db, "-scratch", tmp_path).failed(
        3, "not proven equal", "error")
    holdfast("replicate", "-once", db, "file://%s-rep" % db).ok()
    dbtool.commit(db)
    p = holdfast.start("verify", db, "file://%s-rep" % db, "-scratch", tmp_path, "--wait", "60s")
    procs.wait_until(lambda: glob.glob(str(tmp_path / "holdfast-verify-*/copy.db")), why=p.text)
    p.signal(15)
    assert p.wait(60) == 14
    assert nothing_left(tmp_path)
