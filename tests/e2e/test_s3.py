"""Replicas on S3, against moto with authentication on (with --long s3s-fs, too): replicate, restore, follow; a service
that is away for a while; and both ways with the real Litestream, whose names on S3 differ from those on files."""
import datetime
import os
import time

import pytest

import dbtool
import procs
import replicas
import servers


@pytest.fixture(scope="module", params=["moto", pytest.param("s3s", marks=pytest.mark.long)])
def server(request, tmp_path_factory):
    kind = servers.KINDS[request.param]
    if not kind.is_there():
        pytest.fail("no %s: ./dev setup, ./dev setup --long" % kind.program)
    s = kind(tmp_path_factory.mktemp(request.param)).start()
    yield s
    s.stop()


@pytest.fixture
def moto(server, monkeypatch):
    """One server for all tests here: each has a path of its own."""
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)  # the machine's own settings are none of the test's business
    return server


def conf(tmp_path, moto, db, name="s3.yml", **top):
    settings = dict(replicas.SHORT_LEVELS, **{"l0-retention": "2s", "l0-retention-check-interval": "500ms",
                                              "snapshot": {"interval": "3s", "retention": "1h"}})
    settings.update(top)
    where = {"type": "s3", "bucket": moto.bucket, "path": "fleet/" + tmp_path.name, "endpoint": moto.endpoint, "region": "us-east-1",
             "access-key-id": moto.key_id, "secret-access-key": moto.secret, "sync-interval": "100ms"}
    return replicas.config(str(tmp_path / name), {db: where}, **settings)


def until_same(program, c, db, tmp_path, why):
    out = str(tmp_path / "until.db")

    def same():
        replicas.remove_db(out)
        r = program("restore", "-config", c, "-o", out, db)
        return r.code == 0 and dbtool.digest(out) == dbtool.digest(db)
    procs.wait_until(same, timeout=60, every=0.3, why=why)


def test_replicates_restores_and_follows(moto, holdfast, make_db, writer, tmp_path):
    db, copy = make_db(rows=400), str(tmp_path / "standby.db")
    c = conf(tmp_path, moto, db)
    p = holdfast.start("replicate", "-config", c)
    until_same(holdfast, c, db, tmp_path, p.text)
    f = holdfast.start("restore", "-f", "-follow-interval", "100ms", "-o", copy, "-config", c, db)
    writer(db, rate=60, seconds=4).wait()

    def caught_up():
        return os.path.exists(copy) and dbtool.digest(copy) == dbtool.digest(db)
    procs.wait_until(caught_up, timeout=40, every=0.1, why=lambda: f.text() + p.text())
    assert f.stop() == 0, f.text()
    assert p.stop() == 0, p.text()
    out = str(tmp_path / "out.db")
    holdfast("restore", "-config", c, "-o", out, "-integrity-check", "full", db).ok()
    replicas.assert_same_pages(db, out, tmp_path)
    for text in (p.text(), f.text()):
        assert moto.secret not in text


def test_restore_by_url(moto, holdfast, make_db, tmp_path):
    """Credentials of the environment, the rest in the URL, as Litestream's users write it."""
    db, out = make_db(rows=100), str(tmp_path / "out.db")
    url, env = moto.url("/fleet/" + tmp_path.name), moto.credentials()
    p = holdfast.start("replicate", db, url, env=env)
    procs.wait_until(lambda: holdfast("restore", "-o", out, url, env=env).code == 0, every=0.2, why=p.text)
    assert p.stop() == 0
    dbtool.assert_same(db, out)
    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    holdfast("restore", "-o", out + "2", url, env=none).failed(2, "no credentials", "AWS_ACCESS_KEY_ID")
    bad = dict(env, AWS_SECRET_ACCESS_KEY="wrong")
    holdfast("restore", "-o", out + "2", url, env=bad).failed(12, "SignatureDoesNotMatch")


def test_service_goes_away_and_comes_back(moto, holdfast, make_db, writer, tmp_path):
    """Stopped, not killed: moto keeps its objects in memory. Answers are late, then all is well."""
    db = make_db(rows=100)
    c = conf(tmp_path, moto, db, **{"l0-retention": "1h"})
    p = holdfast.start("replicate", "-config", c)
    until_same(holdfast, c, db, tmp_path, p.text)
    w = writer(db, rate=50, seconds=4)
    time.sleep(0.5)
    moto.pause()
    time.sleep(2)
    moto.resume()
    w.wait()
    until_same(holdfast, c, db, tmp_path, p.text)
    assert p.stop() == 0, p.text()
    out = str(tmp_path / "out.db")
    holdfast("restore", "-config", c, "-o", out, "-integrity-check", "full", db).ok()
    replicas.assert_same_pages(db, out, tmp_path)


def test_two_replicators_on_one_path(moto, holdfast, make_db, tmp_path):
    """Exactly one wins each name; the other finds out and says so."""
    a, b = make_db("a.db", rows=10), make_db("b.db", rows=10)
    ps = []
    for i, db in enumerate((a, b)):
        ps.append(holdfast.start("replicate", "-config", conf(tmp_path, moto, db, name="two%d.yml" % i)))
        procs.wait_until(lambda d=db, i=i: holdfast("restore", "-config", str(tmp_path / ("two%d.yml" % i)),
                                                    "-dry-run", d).code == 0, every=0.2, why=ps[-1].text)
    end = time.monotonic() + 60
    while not any("another writer uses this replica path" in p.text() for p in ps):
        assert time.monotonic() < end, ps[0].text() + ps[1].text()
        dbtool.commit(a)
        dbtool.commit(b)
        time.sleep(0.1)


@pytest.mark.parametrize("first", ["litestream", "holdfast"])
def test_takeover(first, moto, holdfast, litestream, make_db, writer, tmp_path):
    """One replicates, the other restores it, takes the path over, and is restored by the first."""
    programs = {"holdfast": holdfast, "litestream": litestream}
    second = "holdfast" if first == "litestream" else "litestream"
    db = make_db(rows=300)
    c = conf(tmp_path, moto, db)
    for who, other in ((first, second), (second, first)):
        p = programs[who].start("replicate", "-config", c)
        writer(db, rate=40, seconds=2).wait()
        until_same(programs[other], c, db, tmp_path, p.text)
        assert p.stop() == 0, p.text()
        until_same(programs[who], c, db, tmp_path, p.text)


@pytest.mark.parametrize("who", ["litestream", "holdfast"])
def test_restores_to_a_time(who, moto, holdfast, litestream, make_db, tmp_path):
    """By when it was committed, though S3's lists only tell when it was uploaded."""
    db = make_db(rows=50)
    c = conf(tmp_path, moto, db, **{"l0-retention": "1h"})
    p = {"holdfast": holdfast, "litestream": litestream}[who].start("replicate", "-config", c)
    until_same(holdfast, c, db, tmp_path, p.text)
    marks = []
    for _ in range(4):
        dbtool.commit(db, 2)
        until_same(holdfast, c, db, tmp_path, p.text)
        marks.append((datetime.datetime.now(datetime.timezone.utc), dbtool.digest(db)))
        time.sleep(0.1)
    assert p.stop() == 0
    for i, (when, want) in enumerate(marks[:-1]):
        out = str(tmp_path / ("at%d.db" % i))
        holdfast("restore", "-config", c, "-o", out, "-timestamp", when.isoformat().replace("+00:00", "Z"),
                 db).ok()
        assert dbtool.digest(out) == want, "mark %d" % i
