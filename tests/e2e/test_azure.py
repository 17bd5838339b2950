"""Azure Blob Storage, on Azurite: both ways with the real Litestream, following, and what happens
when the store fails in between."""
import os
import time

import pytest

import azure
import dbtool
import procs
import replicas

LEVELS = replicas.SHORT_LEVELS


pytestmark = pytest.mark.usefixtures("azure_key")


def conf(tmp_path, db, where, name="azure.yml", **top):
    return replicas.config(str(tmp_path / name), {db: where}, **dict(LEVELS, **top))


def until_same(holdfast, where, db, tmp_path, why, timeout=30):
    out = str(tmp_path / "same.db")

    def same():
        replicas.remove_db(out)
        r = holdfast("restore", "-o", out, where)
        return r.code == 0 and dbtool.digest(out) == dbtool.digest(db)
    procs.wait_until(same, timeout=timeout, every=0.3, why=why)
    assert dbtool.integrity(out) == "ok"


def test_ours_restored_by_both(container, holdfast, litestream, make_db, tmp_path):
    """Through a configuration and through a URL; times are in the metadata as Litestream writes them."""
    db = make_db(rows=400)
    c = conf(tmp_path, db, azure.replica(container, "fleet/app"), **{"l0-retention": "1h"})
    p = holdfast.start("replicate", "-config", c)
    for i in range(5):
        dbtool.commit(db, 2)
        procs.wait_until(lambda n=i: container.top("fleet/app") > n, why=p.text)
    assert p.stop() == 0, p.text()
    blobs = container.list("fleet/app/ltx/0/")
    assert blobs and all(m["litestreamtimestamp"].endswith("Z") for _, m in blobs.values())
    for name, program in (("theirs", litestream), ("ours", holdfast)):
        out = str(tmp_path / (name + ".db"))
        program("restore", "-config", c, "-o", out, db).ok()
        replicas.assert_same_pages(db, out, tmp_path)
    out = str(tmp_path / "url.db")
    holdfast("restore", "-o", out, azure.url(container, "fleet/app")).ok()
    replicas.assert_same_pages(db, out, tmp_path)
    listed = holdfast("ltx", "--json", azure.url(container, "fleet/app")).ok()
    assert "0000000000000001" in listed.out
    assert azure.KEY not in p.text() + listed.out + listed.err
    assert "abs" in holdfast("databases", "-config", c).ok().out


def test_theirs_restored_and_taken_over(container, holdfast, litestream, make_db, tmp_path):
    """Litestream writes, we restore, go on from its position, and it can take over again."""
    db = make_db(rows=3000, body=1000)
    c = conf(tmp_path, db, azure.replica(container, "app"))
    p = litestream.start("replicate", "-config", c)
    procs.wait_until(lambda: container.top("app") > 0, why=p.text)
    dbtool.commit(db, 3)
    procs.wait_until(lambda: container.top("app") > 1, why=p.text)
    assert p.stop() == 0
    out = str(tmp_path / "copy.db")
    holdfast("restore", "-o", out, azure.url(container, "app")).ok()
    dbtool.assert_same(db, out)
    top, before = container.top("app"), container.list("app/ltx/0/")
    dbtool.commit(db, 3)
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: container.top("app") > top, why=p.text)
    assert container.top("app") == top + 1
    assert p.stop() == 0
    new = [size for name, (size, _) in container.list("app/ltx/0/").items() if name not in before]
    assert new and sum(new) < 1 << 20, "a full image: %s" % new
    top = container.top("app")
    dbtool.commit(db, 2)
    p = litestream.start("replicate", "-config", c)
    procs.wait_until(lambda: container.top("app") > top, why=p.text)
    assert p.stop() == 0
    for name, program in (("theirs", litestream), ("ours", holdfast)):
        out = str(tmp_path / (name + ".db"))
        program("restore", "-config", c, "-o", out, db).ok()
        replicas.assert_same_pages(db, out, tmp_path)


def test_follow(container, holdfast, make_db, writer, tmp_path):
    """A standby polls, keeps up while levels are compacted and L0 goes, and resumes."""
    db, copy = make_db(rows=200), str(tmp_path / "standby.db")
    c = conf(tmp_path, db, azure.replica(container, "app"), **{
        "l0-retention": "1s", "l0-retention-check-interval": "500ms"})
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: container.top("app") > 0, why=p.text)

    def caught_up():
        try:
            return dbtool.digest(copy) == dbtool.digest(db)
        except Exception:  # not there yet
            return False

    for part in range(2):
        f = holdfast.start("restore", "-f", "-follow-interval", "200ms", "-o", copy,
                           azure.url(container, "app"))
        writer(db, rate=50, seconds=1, seed=part).wait()
        procs.wait_until(caught_up, every=0.1, timeout=40, why=lambda: f.text() + p.text())
        assert f.stop() == 0, f.text()
        writer(db, rate=50, seconds=1, seed=part + 10).wait()
    assert p.stop() == 0, p.text()
    assert container.txids("app", 1), "nothing was compacted"
    assert len(container.txids("app", 0)) < container.top("app") / 2, "L0 was not thinned"


def test_faults(container, proxy, holdfast, make_db, tmp_path):
    """Each fault at a put, in turn: no loss, no second history, and no conflict with ourselves."""
    db = make_db(rows=100)
    c = conf(tmp_path, db, azure.replica(container, "app", proxy.port))
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: container.top("app") > 0, why=p.text)
    for kind, times, after in (("reset-before", 1, None), ("reset-after", 1, None), ("status-503", 2, None),
                               ("status-429", 1, 1), ("status-500", 1, None), ("reset-after", 2, None)):
        fault = proxy.add("PUT", r"/ltx/0/", kind, times, after)
        top = container.top("app")
        begun = time.monotonic()
        dbtool.commit(db, 1)
        procs.wait_until(lambda t=top: container.top("app") > t, timeout=30, why=p.text)
        procs.wait_until(lambda f=fault: f.left == 0, timeout=30, why=p.text)
        if after:
            assert time.monotonic() - begun >= after, "Retry-After was not honoured"
        until_same(holdfast, azure.url(container, "app"), db, tmp_path, p.text)
    assert p.stop() == 0, p.text()
    assert "another writer" not in p.text() and "conflict" not in p.text(), p.text()
    txids = [t for t in container.txids("app", 0)]
    assert txids == [(n, n) for n in range(txids[0][0], txids[-1][1] + 1)], txids


def test_broken_reads(container, proxy, holdfast, make_db, tmp_path):
    """A restore over a line that cuts, slows and refuses is the same restore."""
    db = make_db(rows=1500, body=1000)
    c = conf(tmp_path, db, azure.replica(container, "app"))
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: container.top("app") > 0, why=p.text)
    assert p.stop() == 0
    for kind, pattern in (("truncate", r"\.ltx"), ("drip", r"\.ltx"), ("status-503", r"\.ltx"),
                          ("reset-before", r"\.ltx"), ("truncate", r"comp=list"), ("status-500", r"comp=list")):
        fault = proxy.add("GET", pattern, kind)
        out = str(tmp_path / ("%s%d.db" % (kind, len(proxy.faults))))
        holdfast("restore", "-o", out, azure.url(container, "app", proxy.port)).ok()
        assert fault.hits == 1, kind
        replicas.assert_same_pages(db, out, tmp_path)


def test_wrong_clock(container, proxy, holdfast, make_db, tmp_path):
    """Two hours off: the first refusal teaches the offset, and nothing is refused after it."""
    proxy.clock = 7200
    db = make_db(rows=100)
    c = conf(tmp_path, db, azure.replica(container, "app", proxy.port))
    p = holdfast.start("replicate", "-config", c)
    for i in range(3):
        dbtool.commit(db, 1)
        procs.wait_until(lambda n=i: container.top("app") > n, why=p.text)
    assert p.stop() == 0, p.text()
    assert proxy.refused == 1, p.text()
    assert "failed" not in p.text(), p.text()


def test_two_writers(container, holdfast, make_db, tmp_path):
    """On one path: one goes on, the other is told why; the replica stays one history."""
    one, two = make_db("one.db", rows=100), make_db("two.db", rows=100)
    procs_ = []
    for i, db in enumerate((one, two)):
        c = conf(tmp_path, db, azure.replica(container, "app"), name="c%d.yml" % i)
        procs_.append(holdfast.start("replicate", "-config", c))
        procs.wait_until(lambda: container.top("app") > 0, why=procs_[-1].text)
    end = time.monotonic() + 40
    while not any("another writer" in p.text() for p in procs_):
        assert time.monotonic() < end, "".join(p.text() for p in procs_)
        dbtool.commit(one, 1)
        dbtool.commit(two, 1)
        time.sleep(0.02)
    for p in procs_:
        p.stop()
    txids = container.txids("app", 0)
    assert all(b[0] <= a[1] + 1 for a, b in zip(txids, txids[1:])), txids
    out = str(tmp_path / "out.db")
    holdfast("restore", "-o", out, azure.url(container, "app")).ok()
    assert dbtool.integrity(out) == "ok"


def test_gone_and_back(container, proxy, holdfast, make_db, tmp_path):
    """The store is away while commits go on: one error line, and all of it arrives afterwards."""
    db = make_db(rows=100)
    c = conf(tmp_path, db, azure.replica(container, "app", proxy.port))
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: container.top("app") > 0, why=p.text)
    top = container.top("app")
    proxy.down = True
    for _ in range(20):
        dbtool.commit(db, 1)
        time.sleep(0.05)
    # an upload, or the list before one if the database was cold when the first commit came
    said = lambda: p.text().count("upload failed") + p.text().count("replica unreachable")
    procs.wait_until(said, timeout=60, why=p.text)
    assert container.top("app") == top
    proxy.down = False
    until_same(holdfast, azure.url(container, "app"), db, tmp_path, p.text, timeout=60)
    assert p.stop() == 0, p.text()
    assert said() == 1, p.text()


def test_says_what_is_wrong(container, holdfast, make_db, tmp_path, monkeypatch):
    """A missing container and a wrong key are named, not taken for an empty replica."""
    out = str(tmp_path / "x.db")
    where = azure.url(container, "app").replace(container.name, "no-such-container")
    r = holdfast("restore", "-o", out, where)
    r.failed(3, "no-such-container", "ContainerNotFound")
    p = holdfast.start("replicate", make_db(), where)
    procs.wait_until(lambda: "ContainerNotFound" in p.text(), why=p.text)
    time.sleep(1)  # some retries, each answered under another number
    p.kill()
    assert p.text().count('"replica unreachable"') == 1, p.text()
    monkeypatch.setenv("LITESTREAM_AZURE_ACCOUNT_KEY", "c2VjcmV0LXNlY3JldA==")
    r = holdfast("restore", "-o", out, azure.url(container, "app"))
    r.failed(12, "403")
    assert "c2VjcmV0" not in r.err

def test_restores_a_replica_of_litestream_03(azurite, holdfast, tmp_path):
    """Snapshot and segments are fetched side by side; the result is what the same replica gives as a directory."""
    fixture = os.path.join(azure.ROOT, "tests/fixtures/ltx/rep03")
    container = azure.Container(azurite.port, "v3%x" % (time.time_ns() & 0xffffffff))
    n = 0
    for d, _, names in os.walk(fixture):
        for name in names:
            path = os.path.join(d, name)
            with open(path, "rb") as f:
                body = f.read()
            blob = "old/" + os.path.relpath(path, fixture)
            assert container.call("PUT", blob, headers={"x-ms-blob-type": "BlockBlob"}, body=body)[0] == 201
            n += 1
    assert n > 2
    far, near = str(tmp_path / "far.db"), str(tmp_path / "near.db")
    holdfast("restore", "-o", near, "file://" + fixture).ok()
    for parallel in ("1", "8"):
        replicas.remove_db(far)
        holdfast("restore", "-parallelism", parallel, "-o", far, azure.url(container, "old")).ok()
        with open(far, "rb") as a, open(near, "rb") as b:
            assert a.read() == b.read()
