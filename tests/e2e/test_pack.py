"""Packs: the changes of several databases in one object (docs/formats/pack.md)."""
import os
import shutil
import time

import pytest

import azure
import crash
import dbtool
import procs
import replicas
from conftest import find_holdfast

LEVELS = {"levels": [{"interval": "1s"}, {"interval": "1h"}]}
NO_LEVELS = {"levels": [{"interval": "1h"}]}


class Fleet:
    """Databases whose replicas lie beside each other, and their packs."""

    def __init__(self, holdfast, make_db, tmp_path, n=3, **top):
        self.holdfast, self.tmp = holdfast, tmp_path
        self.dbs = [make_db("d%d.db" % i, rows=5 + i) for i in range(n)]
        self.root = str(tmp_path / "rep")
        self.replicas = [os.path.join(self.root, "d%d" % i) for i in range(n)]
        self.config = self.write("pack.yml", **top)
        self.p = None

    def write(self, name, pack=True, **top):
        where = {db: {"type": "file", "path": r, "sync-interval": "100ms", "pack": pack}
                 for db, r in zip(self.dbs, self.replicas)}
        return replicas.config(str(self.tmp / name), where, **top)

    def start(self, config=None):
        self.p = self.holdfast.start("replicate", "-config", config or self.config,
                                     "-log-level", "debug")
        procs.wait_until(lambda: "msg=replicating" in self.p.text() or not self.p.alive,
                         why=self.p.text)
        self.until_same()

    def stop(self):
        assert self.p.stop() == 0, self.p.text()
        return self.p.text()

    def packs(self):
        d = os.path.join(self.root, "packs")
        return sorted(os.listdir(d)) if os.path.isdir(d) else []

    def copy(self, i, *args, where=None):
        out = str(self.tmp / "copy.db")
        replicas.remove_db(out)
        r = self.holdfast("restore", *args, "-o", out, replicas.url(where or self.replicas[i]))
        return out if r.code == 0 else None

    def is_same(self, i):
        out = self.copy(i)
        return out is not None and dbtool.digest(out) == dbtool.digest(self.dbs[i])

    def until_same(self):
        for i in range(len(self.dbs)):
            procs.wait_until(lambda i=i: self.is_same(i), every=0.1, why=self.p.text)


@pytest.fixture
def fleet(holdfast, make_db, tmp_path):
    def make(n=3, **top):
        return Fleet(holdfast, make_db, tmp_path, n, **top)
    return make


def test_restore_out_of_packs(fleet, holdfast, tmp_path):
    """Nothing is compacted: all there is comes out of packs; latest, each TXID, a time; a moved
    copy of the tree; and plain ltx and verify see the same list."""
    f = fleet(**NO_LEVELS)
    f.start()
    states = {}
    for _ in range(4):
        for db, r in zip(f.dbs, f.replicas):
            dbtool.commit(db)
        f.until_same()
        states[replicas.top_txid(f.replicas[0])] = dbtool.digest(f.dbs[0])
        time.sleep(0.01)
    f.stop()
    assert all(level == 0 or not replicas.files(r, level) for r in f.replicas for level in range(10))
    assert all([e[:2] for e in replicas.files(r)] == [(1, 1)] for r in f.replicas), "L0 holds more"
    n_changes = sum(len(replicas.packed(r)) for r in f.replicas)
    assert len(f.packs()) < n_changes, "nothing shared a pack"
    for txid, digest in states.items():
        assert dbtool.digest(f.copy(0, "-txid", "%016x" % txid)) == digest
    listed = holdfast("ltx", "--json", replicas.url(f.replicas[0])).ok()
    assert "%016x" % max(states) in listed.out
    holdfast("verify", "-config", f.config, f.dbs[0]).ok()
    alone = str(tmp_path / "alone" / "d0")
    shutil.copytree(f.replicas[0], alone)
    r = holdfast("restore", "-o", str(tmp_path / "old.db"), replicas.url(alone))
    assert "no packs" in r.err and "missing" in r.err, r.err
    moved = str(tmp_path / "moved")
    shutil.copytree(f.root, moved)
    shutil.rmtree(f.root)
    assert dbtool.digest(f.copy(0, where=os.path.join(moved, "d0"))) == dbtool.digest(f.dbs[0])


def test_compaction_unpacks_for_litestream(fleet, litestream, tmp_path):
    """L1 is ordinary: Litestream restores what has been compacted, markers do not disturb it."""
    f = fleet(**LEVELS)
    f.start()
    for _ in range(3):
        for db in f.dbs:
            dbtool.commit(db)
        time.sleep(0.4)
    f.until_same()
    for db in f.dbs:
        dbtool.commit(db, 2)

    def compacted(i):
        top = replicas.top_txid(f.replicas[i])
        return any(e[1] == top for e in replicas.files(f.replicas[i], 1))

    f.until_same()
    for _ in range(20):
        for i in range(3):
            if not compacted(i):
                dbtool.commit(f.dbs[i])
        time.sleep(0.7)
        f.until_same()
        if all(compacted(i) for i in range(3)):
            break
    f.stop()
    for db, r in zip(f.dbs, f.replicas):
        out = str(tmp_path / "theirs.db")
        replicas.remove_db(out)
        litestream("restore", "-o", out, replicas.url(r)).ok()
        l1 = replicas.files(r, 1)[-1][1]
        if l1 == replicas.top_txid(r):
            assert dbtool.digest(out) == dbtool.digest(db)
        assert dbtool.integrity(out) == "ok"


def test_old_packs_go(fleet):
    """Packs go when they are compacted; what a database at rest has in one is copied out of it."""
    f = fleet(**dict(LEVELS, **{"l0-retention": "1s"}))
    f.start()
    dbtool.commit(f.dbs[0])  # the others rest from the beginning
    for _ in range(12):
        dbtool.commit(f.dbs[0])
        time.sleep(0.15)
    f.until_same()
    early = f.packs()[0]

    def is_tidy():
        dbtool.commit(f.dbs[0])
        return len(f.packs()) > 0 and early not in f.packs()
    procs.wait_until(is_tidy, timeout=40, every=0.5, why=f.p.text)
    procs.wait_until(lambda: replicas.files(f.replicas[1]) and replicas.files(f.replicas[2]),
                     timeout=40, every=0.5, why=f.p.text)
    f.until_same()
    f.stop()
    f.start()
    dbtool.commit(f.dbs[1])
    f.until_same()
    f.stop()


def test_follow(fleet, holdfast, tmp_path):
    """A standby follows packs, across a restart of its own and of ours."""
    f = fleet(n=2, **dict(LEVELS, **{"l0-retention": "2s"}))
    f.start()
    copy = str(tmp_path / "standby.db")

    def caught_up():
        try:
            return dbtool.digest(copy) == dbtool.digest(f.dbs[0])
        except Exception:  # not there yet
            return False

    for part in range(3):
        s = holdfast.start("restore", "-f", "-follow-interval", "100ms", "-o", copy,
                           replicas.url(f.replicas[0]))
        for _ in range(5):
            for db in f.dbs:
                dbtool.commit(db)
            time.sleep(0.1)
        procs.wait_until(caught_up, every=0.05, why=lambda: s.text() + f.p.text())
        dbtool.commit(f.dbs[0])
        procs.wait_until(caught_up, every=0.05, why=lambda: s.text() + f.p.text())
        assert s.stop() == 0, s.text()
        if part == 1:
            f.stop()
            f.start()
    f.stop()


def test_large_changes_are_objects(fleet):
    """What is too large for a pack is an L0 file of its own; restores mix both."""
    f = fleet(n=2, **NO_LEVELS)
    f.start()
    dbtool.commit(f.dbs[0])
    f.until_same()
    for _ in range(2):
        dbtool.commit(f.dbs[0], 1, body=600000)
        f.until_same()
        dbtool.commit(f.dbs[0])
        f.until_same()
    f.stop()
    assert replicas.files(f.replicas[0]) and replicas.packed(f.replicas[0])


def test_two_writers(fleet, holdfast, tmp_path):
    """Two that pack the same databases notice each other, and what is shipped stays sound."""
    f = fleet(n=2, **LEVELS)
    f.start()
    dbtool.commit(f.dbs[0])
    f.until_same()
    other = str(tmp_path / "other.db")
    shutil.copy(f.copy(0), other)
    c = replicas.config(str(tmp_path / "other.yml"), {other: {
        "type": "file", "path": f.replicas[0], "sync-interval": "100ms", "pack": True}}, **LEVELS)
    two = holdfast.start("replicate", "-config", c, "-log-level", "debug")

    def noticed():
        dbtool.commit(f.dbs[0])
        dbtool.commit(other)
        return "another writer" in f.p.text() + two.text()
    procs.wait_until(noticed, timeout=30, every=0.2, why=lambda: f.p.text() + two.text())
    two.kill()
    dbtool.commit(f.dbs[0])
    procs.wait_until(lambda: f.is_same(0), timeout=40, every=0.5, why=f.p.text)
    f.stop()
    assert f.is_same(0) and f.is_same(1)


def test_two_hosts_share_packs(fleet, holdfast, make_db, tmp_path):
    """Different databases of two processes in one directory of packs: neither loses anything, and
    nobody calls the other a second writer of its databases."""
    f = fleet(n=2, **LEVELS)
    db = make_db("elsewhere.db")
    place = os.path.join(f.root, "elsewhere")
    c = replicas.config(str(tmp_path / "other.yml"), {db: {
        "type": "file", "path": place, "sync-interval": "100ms", "pack": True}}, **LEVELS)
    f.start()
    two = holdfast.start("replicate", "-config", c, "-log-level", "debug")
    for _ in range(20):
        dbtool.commit(f.dbs[0])
        dbtool.commit(db)
        time.sleep(0.05)
    f.until_same()
    assert two.stop() == 0, two.text()
    out = f.copy(0, where=place)
    assert out and dbtool.digest(out) == dbtool.digest(db)
    f.stop()
    assert "another writer" not in f.p.text() + two.text()


def test_switched_off(fleet):
    """pack: false later: what is in packs still counts."""
    f = fleet(n=2, **LEVELS)
    f.start()
    for _ in range(3):
        dbtool.commit(f.dbs[0])
    f.until_same()
    f.stop()
    plain = f.write("plain.yml", pack=False, **LEVELS)
    f.start(plain)
    dbtool.commit(f.dbs[0], 2)
    f.until_same()
    f.stop()
    assert f.is_same(0) and replicas.files(f.replicas[0])


def test_switched_on_again(fleet):
    """Between the two the packs were deleted, as their documentation allows: numbers begin anew."""
    f = fleet(n=2, **LEVELS)
    f.start()
    for _ in range(3):
        dbtool.commit(f.dbs[0])
        f.until_same()
    dbtool.commit(f.dbs[1])
    f.until_same()
    f.stop()
    for r in f.replicas:  # as of databases that came later
        d = replicas.ltx_dir(r, 0)
        old = next(n for n in os.listdir(d) if replicas.MARKER.match(n))
        os.rename(os.path.join(d, old), os.path.join(d, "packs-1-0000000000000050"))
    shutil.rmtree(os.path.join(f.root, "packs"))
    f.start()
    for _ in range(3):
        for db in f.dbs:
            dbtool.commit(db)
        f.until_same()
    f.stop()
    assert f.packs() and f.packs()[0] < "0000000000000050"


def test_wrong_place(holdfast, make_db, tmp_path):
    db = make_db()
    c = replicas.config(str(tmp_path / "c.yml"), {db: {
        "type": "file", "path": str(tmp_path / "rep"), "pack": True, "pack-path": "/elsewhere"}})
    r = holdfast("replicate", "-once", "-config", c)
    assert r.code != 0 and "pack-path" in r.err, r.err


def test_one_key_for_all_that_share(holdfast, make_db, tmp_path):
    """A pack is one object: who shares it shares its key; and it is bound to no replica's path."""
    env = {"PACK_KEY": "00" * 32}
    dbs = [make_db("a.db"), make_db("b.db")]
    c = replicas.config(str(tmp_path / "c.yml"), {db: dict(
        {"type": "file", "path": str(tmp_path / "rep" / str(i)), "pack": True},
        **({"encryption": {"key-env": "PACK_KEY"}} if i else {})) for i, db in enumerate(dbs)})
    holdfast("replicate", "-once", "-config", c, env=env).failed(2, "shares packs with replicas that have another", "pack-path")
    c = replicas.config(str(tmp_path / "c.yml"), {dbs[0]: {
        "type": "file", "path": str(tmp_path / "rep" / "a"), "pack": True,
        "encryption": {"key-env": "PACK_KEY", "bind-path": True}}})
    holdfast("replicate", "-once", "-config", c, env=env).failed(2, "pack and encryption.bind-path")
    assert not (tmp_path / "rep").exists()


class PackedStory(crash.Story):
    def write_config(self):
        r = self.rng
        where = [{"type": "file", "path": p, "pack": True,
                  "sync-interval": r.choice(("10ms", "50ms", "300ms"))} for p in self.replicas]
        self.config = replicas.config(os.path.join(self.dir, "crash.yml"), {self.db: where},
                                      levels=[{"interval": "1s"}, {"interval": "2s"}],
                                      snapshot={"interval": r.choice(("1s", "1h")), "retention": "2s"},
                                      **{"l0-retention": r.choice(("100ms", "1h"))})

    def ask_litestream(self):
        """It can't, what is packed is not for it."""


def test_crash_rounds(seed, rounds):
    """kill -9 of writers, of us, of both: crash.py's rules hold with packs."""
    failed, _ = crash.run(find_holdfast(), seed, rounds(16, 800), jobs=2, kind=PackedStory)
    assert not failed, "\n".join(failed)


def test_azure(azurite, holdfast, litestream, make_db, tmp_path, monkeypatch):
    """On a store of objects: through a URL alone, and Litestream's view of it."""
    monkeypatch.setenv("LITESTREAM_AZURE_ACCOUNT_KEY", azure.KEY)
    container = azure.Container(azurite.port, "packs%x" % (time.time_ns() & 0xffffffff))
    dbs = [make_db("a%d.db" % i, rows=20) for i in range(3)]
    c = replicas.config(str(tmp_path / "azure.yml"), {
        db: azure.replica(container, "fleet/a%d" % i, pack=True) for i, db in enumerate(dbs)},
        **LEVELS)
    p = holdfast.start("replicate", "-config", c, "-log-level", "debug")
    out = str(tmp_path / "out.db")

    def same(i, program):
        replicas.remove_db(out)
        r = program("restore", "-o", out, *(
            (azure.url(container, "fleet/a%d" % i),) if program is holdfast else ("-config", c, dbs[i])))
        return r.code == 0 and dbtool.digest(out) == dbtool.digest(dbs[i])
    for _ in range(4):
        for db in dbs:
            dbtool.commit(db)
        for i in range(3):
            procs.wait_until(lambda i=i: same(i, holdfast), timeout=30, every=0.2, why=p.text)
    assert container.list("fleet/packs/")

    def litestream_has():
        dbtool.commit(dbs[0])
        time.sleep(0.5)
        return container.txids("fleet/a0", 1)
    procs.wait_until(litestream_has, timeout=30, every=0.2, why=p.text)
    assert p.stop() == 0, p.text()
    plain = replicas.config(str(tmp_path / "plain.yml"), {dbs[0]: azure.replica(container, "fleet/a0")})
    replicas.remove_db(out)
    litestream("restore", "-config", plain, "-o", out, dbs[0]).ok()
    assert dbtool.integrity(out) == "ok"
