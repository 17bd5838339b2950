"""Whole configurations on Azurite: restored at once by one process, verified, and several replicas of one
database of which one is away."""
import os
import time

import pytest

import azure
import dbtool
import procs
import replicas


pytestmark = pytest.mark.usefixtures("azure_key")


def until_shipped(holdfast, container, dbs, tmp_path, why):
    """Each path of the container restores to its database."""
    out = str(tmp_path / "until.db")

    def is_there(path, db):
        replicas.remove_db(out)
        r = holdfast("restore", "-o", out, azure.url(container, path))
        return r.code == 0 and dbtool.digest(out) == dbtool.digest(db)
    for path, db in dbs.items():
        procs.wait_until(lambda p=path, d=db: is_there(p, d), timeout=60, every=0.3, why=why)


def test_all_restored_and_verified(container, holdfast, make_db, tmp_path):
    """Large and small databases, compacted and not; one command brings them all back, one checks them."""
    os.mkdir(tmp_path / "live")
    dbs = {"fleet/%d" % i: make_db("live/%d.db" % i, rows=2000 if i == 0 else 50, body=900) for i in range(6)}
    c = replicas.config(str(tmp_path / "c.yml"), {db: azure.replica(container, path) for path, db in dbs.items()},
                        **replicas.SHORT_LEVELS)
    p = holdfast.start("replicate", "-config", c)
    for _ in range(3):
        for db in dbs.values():
            dbtool.commit(db, 2)
        time.sleep(0.5)
    until_shipped(holdfast, container, dbs, tmp_path, p.text)
    v = holdfast("verify", "-all", "-config", c, "-json")
    assert v.code == 0, v.out + v.err
    assert p.stop() == 0, p.text()
    away = tmp_path / "standby"
    holdfast("restore", "-all", "-map", "%s=%s" % (tmp_path / "live", away), "-config", c).ok()
    assert sorted(os.listdir(away)) == ["%d.db" % i for i in range(6)]
    for db in dbs.values():
        dbtool.assert_same(db, str(away / os.path.basename(db)))


def test_one_of_two_replicas_is_away(container, proxy, holdfast, make_db, tmp_path):
    """The other one gets everything in time; restore falls back to it; the one that was away catches up."""
    db = make_db(rows=200)
    c = replicas.config(str(tmp_path / "c.yml"), {db: [dict(azure.replica(container, "near"), name="near"),
                                                       dict(azure.replica(container, "far", proxy.port), name="far")]})
    p = holdfast.start("replicate", "-config", c)
    until_shipped(holdfast, container, {"near": db, "far": db}, tmp_path, p.text)
    proxy.down = True
    top = container.top("far")
    dbtool.commit(db, 3)
    until_shipped(holdfast, container, {"near": db}, tmp_path, p.text)
    assert container.top("far") == top
    out = str(tmp_path / "out.db")
    holdfast("restore", "-config", c, "-o", out, db).ok()
    dbtool.assert_same(db, out)
    proxy.down = False
    until_shipped(holdfast, container, {"near": db, "far": db}, tmp_path, p.text)
    assert p.stop() == 0, p.text()


def test_compaction_reads_nothing_that_was_just_put(container, proxy, holdfast, make_db, tmp_path):
    """The first compaction takes place out of memory: on a server each read of it would be a request."""
    db = make_db(rows=200)
    c = replicas.config(str(tmp_path / "c.yml"), {db: azure.replica(container, "db", proxy.port)},
                        **replicas.SHORT_LEVELS)
    p = holdfast.start("replicate", "-config", c)

    def commit_until_compacted():
        dbtool.commit(db, 1)
        return len(container.txids("db", level=1)) >= 3
    procs.wait_until(commit_until_compacted, timeout=60, every=0.25, why=p.text)
    assert p.stop() == 0, p.text()
    reads = [path for _, method, path in proxy.seen if method == "GET" and "/ltx/0/" in path]
    assert [r for r in reads if "0000000000000001-" not in r] == []  # the image is put in pieces, and not kept
    out = str(tmp_path / "out.db")
    holdfast("restore", "-config", c, "-o", out, db).ok()
    dbtool.assert_same(db, out)
