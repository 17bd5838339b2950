"""Replicas on a real OpenSSH server: replicate, restore, follow; a server that is not who it should
be, one that dies and comes back; and both ways with the real Litestream."""
import os
import time

import pytest

import dbtool
import procs
import replicas
import servers


@pytest.fixture
def sshd(tmp_path):
    if not servers.Sshd.is_there():
        pytest.fail("no sshd: ./dev setup")
    d = tmp_path / "sshd"
    d.mkdir()
    s = servers.Sshd(d, known=False).start()
    yield s
    s.stop()


def place(sshd, path, **more):
    return dict({"type": "sftp", "host": "127.0.0.1:%d" % sshd.port, "user": sshd.user, "path": path,
                 "key-path": sshd.key_path, "host-key": sshd.keys["ed25519"], "sync-interval": "50ms"}, **more)


SOON = {"shutdown-sync-timeout": "500ms"}  # the last sync is not waited for where it can't work


def conf(tmp_path, sshd, db, path, name="sftp.yml", host_key="ed25519", **top):
    settings = dict(replicas.SHORT_LEVELS, **{"l0-retention": "2s", "l0-retention-check-interval": "500ms",
                                              "snapshot": {"interval": "3s", "retention": "1h"}})
    settings.update(top)
    return replicas.config(str(tmp_path / name), {db: place(sshd, path, **{"host-key": sshd.keys[host_key]})},
                           **settings)


def until_same(program, c, db, tmp_path, why):
    out = str(tmp_path / "until.db")

    def same():
        replicas.remove_db(out)
        r = program("restore", "-config", c, "-o", out, db)
        return r.code == 0 and dbtool.digest(out) == dbtool.digest(db)
    procs.wait_until(same, timeout=60, every=0.3, why=why)


def test_replicates_restores_and_follows(sshd, holdfast, make_db, writer, tmp_path):
    """Levels, snapshots and retention run over SFTP as they do on files; nothing is left behind."""
    db, replica = make_db(rows=400), str(tmp_path / "replica")
    copy = str(tmp_path / "standby.db")
    c = conf(tmp_path, sshd, db, replica)
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: replicas.files(replica), why=p.text)
    f = holdfast.start("restore", "-f", "-follow-interval", "100ms", "-o", copy, "-config", c, db)
    writer(db, rate=100, seconds=4).wait()
    procs.wait_until(lambda: replicas.files(replica, 1), why=p.text)
    procs.wait_until(lambda: replicas.files(replica, 9), why=p.text)
    procs.wait_until(lambda: replicas.files(replica)[0][0] > 2, why=p.text)

    def caught_up():
        return os.path.exists(copy) and dbtool.digest(copy) == dbtool.digest(db)
    procs.wait_until(caught_up, every=0.1, why=lambda: f.text() + p.text())
    assert f.stop() == 0, f.text()
    assert p.stop() == 0, p.text()
    out = str(tmp_path / "out.db")
    holdfast("restore", "-config", c, "-o", out, "-integrity-check", "full", db).ok()
    replicas.assert_same_pages(db, out, tmp_path)
    litter = [n for _, _, names in os.walk(replica) for n in names if not n.endswith(".ltx")]
    assert not litter


def test_restore_by_url(sshd, holdfast, make_db, tmp_path):
    """A URL alone: the usual key files and known_hosts of the user, as ssh has them."""
    db, replica = make_db(rows=100), str(tmp_path / "replica")
    holdfast("replicate", "-once", "-config", conf(tmp_path, sshd, db, replica)).ok()
    out, url = str(tmp_path / "out.db"), sshd.url(replica)
    env = {"HOME": sshd.home, "SSH_AUTH_SOCK": ""}
    holdfast("restore", "-o", out, url, env=env).failed(12, "server's key is not known", "ed25519",
                                                        "known_hosts", "ssh-keyscan")
    assert not os.path.exists(out)
    with open(sshd.known_hosts, "w") as f:
        f.write("[127.0.0.1]:%d %s\n" % (sshd.port, sshd.keys["ecdsa"]))  # the type it is known by
    holdfast("restore", "-o", out, url, env=env).ok()
    dbtool.assert_same(db, out)
    assert "ltx" in holdfast("ltx", url, env=env).ok().out.lower() or replicas.files(replica)


def test_wrong_host_key(sshd, holdfast, make_db, tmp_path):
    """Nothing is sent to a server that shows another key; the log names it, once per change."""
    db, replica = make_db(rows=10), str(tmp_path / "replica")
    other = sshd.keygen("other", "ed25519")
    c = replicas.config(str(tmp_path / "bad.yml"), {db: place(sshd, replica, **{"host-key": other})}, **SOON)
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: "is not the one in host-key" in p.text(), why=p.text)
    assert p.alive
    p.stop()
    assert not os.path.exists(replica)
    holdfast("restore", "-config", c, "-o", str(tmp_path / "out.db"), db).failed(12, "host-key")


def test_password_stays_secret(sshd, holdfast, make_db, tmp_path):
    db = make_db(rows=10)
    how = place(sshd, str(tmp_path / "replica"), password="opensesame")
    del how["key-path"]
    c = replicas.config(str(tmp_path / "pw.yml"), {db: how}, **SOON)
    p = holdfast.start("replicate", "-config", c, "-log-level", "debug")
    procs.wait_until(lambda: "the server takes publickey" in p.text(), why=p.text)
    p.stop()
    assert "opensesame" not in p.text()
    assert "opensesame" not in holdfast("databases", "-config", c, "--json").ok().out


def test_server_dies_and_comes_back(sshd, holdfast, make_db, writer, tmp_path):
    """Commits go on meanwhile; nothing is lost, nothing is shipped twice, no restart is needed."""
    db, replica = make_db(rows=100), str(tmp_path / "replica")
    c = conf(tmp_path, sshd, db, replica, **{"l0-retention": "1h"})
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: replicas.files(replica), why=p.text)
    w = writer(db, rate=50, seconds=6)
    procs.wait_until(lambda: replicas.top_txid(replica) > 5, why=p.text)
    sshd.drop_connections()
    before = replicas.top_txid(replica)
    procs.wait_until(lambda: replicas.top_txid(replica) > before + 2, why=p.text)
    sshd.stop()
    dead = replicas.top_txid(replica)
    time.sleep(1.5)
    assert replicas.top_txid(replica) <= dead + 1
    sshd.start()
    procs.wait_until(lambda: replicas.top_txid(replica) > dead + 5, timeout=60, why=p.text)
    w.wait()
    until_same(holdfast, c, db, tmp_path, p.text)
    assert p.stop() == 0, p.text()
    l0 = replicas.files(replica)
    assert [a for a, _, _ in l0] == list(range(l0[0][0], l0[0][0] + len(l0)))
    out = str(tmp_path / "out.db")
    holdfast("restore", "-config", c, "-o", out, "-integrity-check", "full", db).ok()
    replicas.assert_same_pages(db, out, tmp_path)


def test_two_replicators_on_one_path(sshd, holdfast, make_db, tmp_path):
    """Exactly one wins each name; the other finds out and says so."""
    a, b, replica = make_db("a.db", rows=10), make_db("b.db", rows=10), str(tmp_path / "replica")
    ps = []
    for i, db in enumerate((a, b)):
        ps.append(holdfast.start("replicate", "-config", conf(tmp_path, sshd, db, replica, "two%d.yml" % i)))
        procs.wait_until(lambda: replicas.files(replica), why=ps[-1].text)
    end = time.monotonic() + 60
    while not any("another writer uses this replica path" in p.text() for p in ps):
        assert time.monotonic() < end, ps[0].text() + ps[1].text()
        dbtool.commit(a)
        dbtool.commit(b)
        time.sleep(0.1)


@pytest.mark.parametrize("first", ["litestream", "holdfast"])
def test_takeover(first, sshd, holdfast, litestream, make_db, writer, tmp_path):
    """One replicates, the other restores it, takes the path over, and is restored by the first.
    (Litestream does not ask for the kind of key it was told: it must be the one its library likes.)"""
    programs = {"holdfast": holdfast, "litestream": litestream}
    second = "holdfast" if first == "litestream" else "litestream"
    db, replica = make_db(rows=300), str(tmp_path / "replica")
    c = conf(tmp_path, sshd, db, replica, host_key="ecdsa")
    for who, other in ((first, second), (second, first)):
        p = programs[who].start("replicate", "-config", c)
        top = replicas.top_txid(replica)
        writer(db, rate=60, seconds=2).wait()
        procs.wait_until(lambda t=top: replicas.top_txid(replica) > t, timeout=40, why=p.text)
        until_same(programs[other], c, db, tmp_path, p.text)
        assert p.stop() == 0, p.text()
        until_same(programs[who], c, db, tmp_path, p.text)
