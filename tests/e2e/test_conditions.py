"""Create-only puts are what two replicators on one path find out about each other by. At the start each service
is asked, once, whether it honours them; s3rver, which does not, is refused unless that is allowed."""
import os

import pytest

import azure
import dbtool
import faultproxy
import procs
import replicas
import servers


@pytest.fixture
def s3rver(tmp_path_factory, monkeypatch):
    if not servers.S3rver.is_there():
        pytest.fail("no s3rver: ./dev setup")
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    s = servers.S3rver(tmp_path_factory.mktemp("s3rver")).start()
    yield s
    s.stop()


def place(endpoint, path, **how):
    return dict({"type": "s3", "bucket": servers.S3rver.bucket, "path": path, "endpoint": endpoint, "region": "us-east-1",
                 "access-key-id": "S3RVER", "secret-access-key": "S3RVER", "sync-interval": "50ms"}, **how)


def probes(proxy):
    return [(m, p) for _, m, p in proxy.seen if "/probe/" in p or "?delete" in p]


def objects(server):
    """What lies in the bucket."""
    return [f for _, _, files in os.walk(os.path.join(server.directory, server.bucket)) for f in files]


def test_refused_at_start(s3rver, holdfast, make_db, tmp_path):
    """Before anything is followed, with what to do about it, and without a trace in the bucket."""
    dbs = {make_db("%d.db" % i, rows=10): place(s3rver.endpoint, "fleet/%d" % i) for i in range(5)}
    dbs[make_db("other.db", rows=10)] = str(tmp_path / "rep")
    r = holdfast("replicate", "-config", replicas.config(str(tmp_path / "c.yml"), dbs))
    r.failed(11, s3rver.bucket, "If-None-Match", "allow-unconditional-puts")
    assert r.err.count("If-None-Match: a name") == 1, r.err
    assert objects(s3rver) == []
    r = holdfast("replicate", make_db("one.db"), "s3://%s/x?endpoint=%s&region=us-east-1" % (s3rver.bucket, s3rver.endpoint),
                 env=s3rver.for_program())
    r.failed(11, "allow-unconditional-puts")


def test_allowed(s3rver, holdfast, make_db, tmp_path):
    """It is said once, and what is written can be restored; a name that is taken is still not written again."""
    dbs = {make_db("%d.db" % i, rows=100): place(s3rver.endpoint, "fleet/%d" % i, **{"allow-unconditional-puts": True})
           for i in range(3)}
    c = replicas.config(str(tmp_path / "c.yml"), dbs)
    p = holdfast.start("replicate", "-config", c)
    out = str(tmp_path / "out.db")

    def same(db):
        replicas.remove_db(out)
        return holdfast("restore", "-config", c, "-o", out, db).code == 0 and dbtool.digest(out) == dbtool.digest(db)
    for db in dbs:
        dbtool.commit(db, 2)
        procs.wait_until(lambda db=db: same(db), every=0.3, why=p.text)
    copy = make_db("copy.db", rows=5)  # another replicator on the path of the first
    q = holdfast.start("replicate", "-config", replicas.config(
        str(tmp_path / "again.yml"), {copy: place(s3rver.endpoint, "fleet/0", **{"allow-unconditional-puts": True})}))

    def is_noticed():
        dbtool.commit(next(iter(dbs)))
        dbtool.commit(copy)
        return any("another writer uses this replica path" in x.text() for x in (p, q))
    procs.wait_until(is_noticed, timeout=60, every=0.1, why=lambda: p.text() + q.text())
    q.stop()
    assert p.stop() == 0, p.text()
    assert p.text().count("writes are not protected") == 1, p.text()


def test_once_a_service(azurite, container, holdfast, make_db, tmp_path):
    """Three requests for five databases, though all want to ship at once; nothing stays."""
    proxy = faultproxy.FaultProxy(azurite.port)
    dbs = {make_db("%d.db" % i, rows=10): azure.replica(container, "fleet/%d" % i, proxy.port) for i in range(5)}
    p = holdfast.start("replicate", "-config", replicas.config(str(tmp_path / "c.yml"), dbs))
    procs.wait_until(lambda: all(container.top("fleet/%d" % i) for i in range(5)), why=p.text)
    assert sorted(m for m, _ in probes(proxy)) == ["DELETE", "PUT", "PUT"], probes(proxy)
    assert not any("/probe/" in name for name in container.list("fleet/"))
    assert p.stop() == 0, p.text()
    proxy.close()


def test_a_silent_service_delays_no_other(azurite, container, holdfast, make_db, tmp_path):
    """It takes the trial and says nothing: databases elsewhere are followed meanwhile; nothing is put there."""
    proxy = faultproxy.FaultProxy(azurite.port)
    hang = proxy.add("PUT", "/probe/", "hang")
    away, other = make_db("away.db", rows=10), make_db("other.db", rows=10)
    p = holdfast.start("replicate", "-config", replicas.config(
        str(tmp_path / "c.yml"), {away: azure.replica(container, "away", proxy.port), other: str(tmp_path / "rep")}))
    procs.wait_until(lambda: replicas.top_txid(str(tmp_path / "rep")), timeout=15, why=p.text)
    assert hang.hits == 1 and container.top("away") == 0
    assert not any(m == "PUT" and "/ltx/" in path for _, m, path in proxy.seen)
    p.kill()
    proxy.close()
