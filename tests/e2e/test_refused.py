"""The last sync, of -once and of SIGTERM, where another try won't help: it ends at once with the service's
word and its exit code, not after shutdown-sync-timeout with "timeout". What may come back is waited for."""
import os

import pytest

import azure
import dbtool
import faultproxy
import procs
import replicas
import servers

LONG = {"shutdown-sync-timeout": "1h"}  # a test that waits for it does not end
SHORT = {"shutdown-sync-timeout": "1s"}


def abs_with(container, **how):
    return dict(azure.replica(container, "a"), **how)


def check(holdfast, c, db, code, *texts):
    """Both ways to the last sync."""
    holdfast("replicate", "-once", "-config", c).failed(code, db, *texts)
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: texts[0] in p.text(), why=p.text)
    assert p.stop() == code, p.text()
    assert "not everything was synced" in p.text()


@pytest.mark.parametrize("how, code, text", [
    ({"account-key": "c2VjcmV0"}, 12, "403 Authorization"),
    ({"bucket": "nosuchcontainer"}, 3, "ContainerNotFound"),
], ids=["key", "container"])
def test_azure(how, code, text, container, holdfast, make_db, tmp_path):
    db = make_db(rows=5)
    check(holdfast, replicas.config(tmp_path / "c.yml", {db: abs_with(container, **how)}, **LONG), db, code, text)


def test_one_of_two_replicas(container, holdfast, make_db, tmp_path):
    """The other one gets everything first."""
    db, good = make_db(rows=5), str(tmp_path / "good")
    where = [{"type": "file", "path": good}, abs_with(container, **{"account-key": "c2VjcmV0"})]
    c = replicas.config(tmp_path / "c.yml", {db: where}, **LONG)
    check(holdfast, c, db, 12, "403 Authorization")
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: "403 Authorization" in p.text(), why=p.text)
    dbtool.commit(db, 3)
    assert p.stop() == 12, p.text()
    holdfast("restore", "-o", str(tmp_path / "out.db"), replicas.url(good)).ok()
    dbtool.assert_same(db, str(tmp_path / "out.db"))


@pytest.mark.parametrize("how, code, text", [
    ({"secret-access-key": "wrong"}, 12, "SignatureDoesNotMatch"),
    ({"bucket": "no-such-bucket"}, 3, "NoSuchBucket"),
], ids=["key", "bucket"])
def test_s3(how, code, text, holdfast, make_db, tmp_path, monkeypatch):
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    moto = servers.Moto(tmp_path).start()
    try:
        where = dict({"type": "s3", "bucket": moto.bucket, "path": "a", "endpoint": moto.endpoint, "region": "us-east-1",
                      "access-key-id": moto.key_id, "secret-access-key": moto.secret}, **how)
        db = make_db(rows=5)
        check(holdfast, replicas.config(tmp_path / "c.yml", {db: where}, **LONG), db, code, text)
    finally:
        moto.stop()


def test_sftp_host_key(holdfast, make_db, tmp_path):
    (tmp_path / "sshd").mkdir()
    sshd = servers.Sshd(tmp_path / "sshd", known=False).start()
    try:
        where = {"type": "sftp", "host": "127.0.0.1:%d" % sshd.port, "user": sshd.user, "key-path": sshd.key_path,
                 "path": str(tmp_path / "rep"), "host-key": sshd.keygen("other", "ed25519")}
        db = make_db(rows=5)
        check(holdfast, replicas.config(tmp_path / "c.yml", {db: where}, **LONG), db, 12, "is not the one in host-key")
    finally:
        sshd.stop()


def test_unreachable_is_waited_for(container, holdfast, make_db, tmp_path):
    db = make_db(rows=5)
    where = abs_with(container, endpoint=azure.endpoint(servers.free_port()))
    c = replicas.config(tmp_path / "c.yml", {db: where}, **SHORT)
    holdfast("replicate", "-once", "-config", c).failed(13, db)


def test_refused_now_and_then(azurite, container, holdfast, make_db, writer, tmp_path):
    """One upload is refused and then taken, another one later: each is tried again, -once does not end for the sum."""
    proxy = faultproxy.FaultProxy(azurite.port)
    db = make_db(rows=5)
    first = proxy.add("PUT", "0001.ltx", "status-403")
    slow = proxy.add("PUT", "0001.ltx", "slow-2")
    second = proxy.add("PUT", "0002.ltx", "status-403")
    keeps_open = dbtool.connect(db)
    keeps_open.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    p = holdfast.start("replicate", "-once", "-config", replicas.config(
        tmp_path / "c.yml", {db: azure.replica(container, "a", proxy.port)}, **LONG))
    procs.wait_until(lambda: slow.hits, why=p.text)
    dbtool.commit(db)
    assert p.wait() == 0, p.text()
    assert first.hits == second.hits == 1
    keeps_open.close()
    holdfast("restore", "-o", str(tmp_path / "out.db"), "-config", str(tmp_path / "c.yml"), db).ok()
    dbtool.assert_same(db, str(tmp_path / "out.db"))
    proxy.close()
