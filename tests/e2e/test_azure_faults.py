"""More of what an object store does to its clients, on Azurite behind a proxy that harms: listings that
are stale, answers that never come, credentials that end, names that do not resolve, a full disk; and how
few requests a start and rest take. Each ends in the same replica as without the fault."""
import os
import time

import pytest

import azure
import dbtool
import procs
import replicas


pytestmark = pytest.mark.usefixtures("azure_key")


def replicated(holdfast, container, proxy, db, tmp_path, **top):
    """Replicating through the proxy, the first files are there."""
    c = replicas.config(str(tmp_path / "c.yml"), {db: azure.replica(container, "app", proxy.port)}, **top)
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: container.top("app") > 0, why=p.text)
    return p, c


def until_restored(holdfast, container, db, tmp_path, why):
    out = str(tmp_path / "restored.db")

    def same():
        replicas.remove_db(out)
        r = holdfast("restore", "-o", out, azure.url(container, "app"))
        return r.code == 0 and dbtool.digest(out) == dbtool.digest(db)
    procs.wait_until(same, timeout=60, every=0.3, why=why)


def assert_one_history(container):
    txids = container.txids("app", 0)
    assert txids and all(b[0] == a[1] + 1 for a, b in zip(txids, txids[1:])), txids


def test_stale_listing_is_doubted(container, proxy, holdfast, make_db, tmp_path):
    """Nothing is listed where something was put: asked again and said, not filled anew."""
    db = make_db(rows=200)
    p, c = replicated(holdfast, container, proxy, db, tmp_path, **{"l0-retention": "1h"})
    dbtool.commit(db, 2)
    until_restored(holdfast, container, db, tmp_path, p.text)
    assert p.stop() == 0, p.text()
    before = container.list("app/")
    stale = proxy.add("GET", "comp=list", "empty-list", times=3)
    dbtool.commit(db, 2)
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: "lists nothing, but held" in p.text(), timeout=40, why=p.text)
    procs.wait_until(lambda: stale.left == 0, timeout=40, why=p.text)
    until_restored(holdfast, container, db, tmp_path, p.text)
    assert p.stop() == 0, p.text()
    assert "filled anew" not in p.text(), p.text()
    assert set(before) <= set(container.list("app/"))
    assert_one_history(container)


def test_reset_fills_an_emptied_replica(container, proxy, holdfast, make_db, tmp_path):
    """Emptied on purpose: `reset` says so, and it is filled at once."""
    db = make_db(rows=100)
    p, c = replicated(holdfast, container, proxy, db, tmp_path, **{"shutdown-sync-timeout": "1s"})
    assert p.stop() == 0, p.text()
    for name in container.list("app/"):
        container.call("DELETE", name)
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: "lists nothing, but held" in p.text(), timeout=40, why=p.text)
    p.stop()  # whatever it says: not all of it is in the replica
    assert container.top("app") == 0
    holdfast("reset", "-config", c, db).ok()
    p = holdfast.start("replicate", "-config", c)
    until_restored(holdfast, container, db, tmp_path, p.text)
    assert p.stop() == 0, p.text()


def test_hanging_put_delays_nobody_else(container, proxy, holdfast, make_db, tmp_path):
    """A put without an answer is given up after its deadline; other databases go on meanwhile."""
    one, two = make_db("one.db", rows=50), make_db("two.db", rows=50)
    c = replicas.config(str(tmp_path / "c.yml"), {d: azure.replica(container, n, proxy.port)
                                                  for d, n in ((one, "one"), (two, "two"))})
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: container.top("one") > 0 and container.top("two") > 0, why=p.text)
    hang = proxy.add("PUT", "/one/ltx/0/", "hang")
    tops = container.top("one"), container.top("two")
    dbtool.commit(one, 1)
    procs.wait_until(lambda: hang.hits == 1, why=p.text)
    dbtool.commit(two, 1)
    procs.wait_until(lambda: container.top("two") > tops[1], timeout=15, why=p.text)
    assert container.top("one") == tops[0]
    procs.wait_until(lambda: container.top("one") > tops[0], timeout=60, why=p.text)
    assert p.stop() == 0, p.text()
    assert "another writer" not in p.text(), p.text()


def test_end_while_the_first_image_is_uploaded(container, proxy, holdfast, make_db, tmp_path):
    """Asked to stop while a large first image is under way, for longer than shutdown-sync-timeout: the end of
    the upload is waited for in any case, so what was committed meanwhile goes with it."""
    db = make_db(rows=6000, body=1000)    # beyond what is read in one go
    c = replicas.config(str(tmp_path / "c.yml"), {db: azure.replica(container, "app", proxy.port)},
                        **{"shutdown-sync-timeout": "1s"})
    slow = proxy.add("PUT", "/ltx/0/.*comp=blocklist", "slow-5")
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: slow.hits == 1, timeout=60, why=p.text)
    dbtool.commit(db, 20)
    assert p.stop(timeout=60) == 0, p.text()
    assert "its image" in p.text() and "is being uploaded" in p.text(), p.text()
    until_restored(holdfast, container, db, tmp_path, p.text)


def test_hanging_service_delays_no_other(container, proxy, holdfast, make_db, tmp_path):
    """More databases on it than there are threads for uploads, and one on another service."""
    many = [make_db("m%d.db" % i, rows=10) for i in range(20)]
    other = make_db("other.db", rows=10)
    dbs = {db: azure.replica(container, "m%d" % i, proxy.port) for i, db in enumerate(many)}
    dbs[other] = str(tmp_path / "rep")
    p = holdfast.start("replicate", "-config", replicas.config(str(tmp_path / "c.yml"), dbs))
    procs.wait_until(lambda: all(container.top("m%d" % i) for i in range(20)) and replicas.top_txid(dbs[other]),
                     timeout=60, why=p.text)
    hang = proxy.add("PUT", "/ltx/0/", "hang", times=1000)
    for db in many:
        dbtool.commit(db, 1)
    procs.wait_until(lambda: hang.hits >= 8, why=p.text)
    top = replicas.top_txid(dbs[other])
    dbtool.commit(other, 1)
    procs.wait_until(lambda: replicas.top_txid(dbs[other]) > top, timeout=12, why=p.text)
    p.kill()


def test_credentials_end_and_come_back(container, proxy, holdfast, make_db, tmp_path):
    """Refused for a while: one error, nothing lost, no restart needed."""
    db = make_db(rows=100)
    p, _ = replicated(holdfast, container, proxy, db, tmp_path)
    top = container.top("app")
    refused = proxy.add("PUT", "/ltx/0/", "status-403", times=3)
    dbtool.commit(db, 2)
    procs.wait_until(lambda: refused.left == 0, timeout=60, why=p.text)
    until_restored(holdfast, container, db, tmp_path, p.text)
    assert container.top("app") > top
    assert p.stop() == 0, p.text()
    assert p.text().count("upload failed") == 1, p.text()
    assert_one_history(container)


def test_name_does_not_resolve(holdfast, make_db, tmp_path):
    """Said with the host's name and within seconds; a database is not lost sight of."""
    where = "abs://%s@box/app?endpoint=http://no-such-host.invalid/%s" % (azure.ACCOUNT, azure.ACCOUNT)
    begun = time.monotonic()
    r = holdfast("restore", "-o", str(tmp_path / "x.db"), where)
    assert r.code != 0 and "no-such-host.invalid" in r.err, r.err
    assert time.monotonic() - begun < 60, r.err
    assert not os.path.exists(tmp_path / "x.db")
    db = make_db(rows=10)
    p = holdfast.start("replicate", db, where)  # does not end
    procs.wait_until(lambda: "no-such-host.invalid" in p.text(), timeout=60, why=p.text)
    dbtool.commit(db, 1)
    p.kill()


def test_disk_full_while_restoring(container, proxy, holdfast, make_db, tmp_path):
    """The copy can't be written: said, what was there stays, nothing is left behind."""
    db = make_db(rows=3000, body=1000)
    p, _ = replicated(holdfast, container, proxy, db, tmp_path)
    until_restored(holdfast, container, db, tmp_path, p.text)
    assert p.stop() == 0, p.text()
    d = tmp_path / "full"
    d.mkdir()
    (d / "out.db").write_bytes(b"what was there before")
    r = holdfast("restore", "-force", "-o", str(d / "out.db"), azure.url(container, "app"),
                 env={"HF_FAULT": "write:2+:ENOSPC:/full/"})
    assert r.code != 0 and "/full/" in r.err, r.err
    assert os.listdir(d) == ["out.db"] and (d / "out.db").read_bytes() == b"what was there before"
    holdfast("restore", "-force", "-o", str(d / "out.db"), azure.url(container, "app")).ok()
    dbtool.assert_same(db, str(d / "out.db"))


def test_few_requests_at_start_and_none_at_rest(container, proxy, holdfast, make_db, tmp_path):
    db = make_db(rows=100)
    c = replicas.config(str(tmp_path / "c.yml"), {db: azure.replica(container, "app", proxy.port)})
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: container.top("app") > 0, why=p.text)
    time.sleep(1)
    lists = [s for s in proxy.seen if "comp=list" in s[2]]
    assert len(lists) <= 4, lists
    n = len(proxy.seen)
    time.sleep(3)
    assert len(proxy.seen) == n, proxy.seen[n:]
    assert p.stop() == 0, p.text()
