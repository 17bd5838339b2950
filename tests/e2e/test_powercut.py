"""Power cuts: whatever a disk may have kept of the last moments, nothing that was acknowledged as
shipped is missing, no second history begins, and the next start makes the copy the source again.

What the programs do is recorded once (powercut.c); then the record is cut at many points, and each time
one of the states that the disk may be in is made (powercut.py), judged, and started from.
"""
import os
import shutil
import sqlite3
import sys

import pytest

import dbtool
import powercut
import procs
import replicas

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the recorder is written for Linux")
QUICK_LEVELS = dict(replicas.SHORT_LEVELS, **{"l0-retention": "300ms", "snapshot": {"interval": "1s", "retention": "2s"}})


class Scene:
    """A directory that is recorded: the database in app/, its replica in rep/; more in rep1/ ..."""
    n_replicas = 1

    def __init__(self, holdfast, running, tmp_path, levels=QUICK_LEVELS):
        self.holdfast, self.running, self.top, self.levels = holdfast, running, tmp_path, levels
        self.root = str(tmp_path / "disk")
        os.makedirs(self.root + "/app")
        self.db, self.replica = self.root + "/app/app.db", self.root + "/rep"
        self.n = 0

    def recorded(self):
        """From here on: a recorder of what is there now."""
        self.recorder = powercut.Recorder(self.root, self.top)
        return self.recorder

    def config(self, root, name="cut.yml"):
        where = [{"type": "file", "path": r, "sync-interval": "10ms"} for r in self.replicas(root)]
        # after a cut nothing old may go by retention: what was there before is asked for again
        kept = {} if root == self.root else {"l0-retention": "1h", "snapshot": {"interval": "1s", "retention": "1h"}}
        return replicas.config(str(self.top / name), {root + "/app/app.db": where}, **dict(self.levels, **kept))

    def replicas(self, root):
        return [root + "/rep%s" % (i or "") for i in range(self.n_replicas)]

    def start(self, *args):
        return self.holdfast.start(*args, env=self.recorder.env(self.holdfast.path))

    def write(self, **how):
        """A recorded writer; what it saw committed is in root/acks."""
        argv = [x for k, v in how.items() for x in ("--" + k.replace("_", "-"), v)]
        return self.running.start([sys.executable, dbtool.__file__, "write", self.db, self.root + "/acks",
                                   *argv], env=self.recorder.env())

    def cuts(self, rng, many):
        """(how many events had happened, the disk then) at points drawn by rng, in order."""
        events = self.recorder.events()
        turning = [i for i, e in enumerate(events) if e[0] in "REMULST"]
        points = sorted(rng.sample(turning, min(many // 2, len(turning))) +
                        rng.sample(range(len(events)), min(many - many // 2, len(events))))
        disk = self.recorder.start
        for i, e in enumerate(events):
            while points and points[0] == i:
                points.pop(0)
                yield i, disk
            disk.happened(e)
        yield len(events), disk

    def after(self, disk, rng):
        self.n += 1
        target = str(self.top / ("cut%d" % self.n))
        disk.leave(target, rng, lambda d: d == self.root + "/app")
        return target

    def acknowledged(self, upto):
        """(TXID the stored position named, sequence number the writer saw committed)"""
        live, txid, seq = {}, 0, 0
        for kind, ino, _, a, b in self.recorder.events()[:upto]:
            if kind in "CR":
                live[ino] = os.path.basename((b or a).decode())
            elif kind == "W" and live.get(ino) == "position":
                txid = max(txid, int.from_bytes(a[8:16], "big"))
            elif kind == "W" and live.get(ino) == "acks":
                seq = max(seq, dbtool.REC.unpack(a)[0])
        return txid, seq


@pytest.fixture
def scene(holdfast, running, tmp_path):
    return Scene(holdfast, running, tmp_path)


def assert_one_history(replica):
    """In each level every TXID is in one file at most."""
    for level in range(9):
        names = replicas.files(replica, level)
        for (_, last, path), (first, _, other) in zip(names, names[1:]):
            assert first > last, "%s and %s overlap" % (path, other)


def restored(scene, target, name, replica, *more):
    out = os.path.join(target, name)
    replicas.remove_db(out)
    scene.holdfast("restore", "-o", out, *more, replicas.url(replica)).ok()
    return out


def judge(scene, target, txid, seq):
    """Before we run again, then after. With one replica what is acknowledged is in it; with several it
    is in the spool, and in each of them once we ran again."""
    db, all_of_them = target + "/app/app.db", scene.replicas(target)
    tops = [replicas.top_txid(r) for r in all_of_them]
    assert scene.n_replicas > 1 or tops[0] >= txid, \
        "TXID %x was acknowledged, the replica ends at %x" % (txid, tops[0])
    before = [dbtool.digest(restored(scene, target, "before.db", r)) if top else None
              for r, top in zip(all_of_them, tops)]
    if os.path.exists(db) and os.path.getsize(db):
        c = sqlite3.connect(db)    # recovers, as a program that starts does
        assert c.execute("PRAGMA integrity_check").fetchone()[0] == "ok", "the model is too harsh: source"
        c.close()
        assert dbtool.last_seq(db) >= seq, "the model is too harsh: a synced commit is lost"
    scene.holdfast("replicate", "-once", "-config", scene.config(target)).ok()
    for r, top, was in zip(all_of_them, tops, before):
        replicas.assert_same_pages(db, restored(scene, target, "after.db", r), target)
        assert_one_history(r)
        assert replicas.top_txid(r) >= txid
        if was:
            old = restored(scene, target, "old.db", r, "-txid", "%016x" % top)
            assert dbtool.digest(old) == was, "TXID %x became another state" % top


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("n_replicas,synchronous", [(1, 1), (1, 2), pytest.param(2, 2, marks=pytest.mark.long)])
def test_replicating(scene, rounds, rng, n_replicas, synchronous):
    """Commits, checkpoints, restarts of the log, levels, snapshots and retention; with two replicas what
    waits for them lies in a spool."""
    scene.n_replicas = n_replicas
    dbtool.create(scene.db, rows=60)
    scene.recorded()
    p = scene.start("replicate", "-config", scene.config(scene.root))
    procs.wait_until(lambda: replicas.files(scene.replica), why=p.text)
    w = scene.write(seconds=3.5, rate=60, synchronous=synchronous, checkpoint_every=17, reopen_every=31,
                    seed=rng.randrange(1000))
    assert w.wait() == 0, w.text()
    procs.wait_until(lambda: replicas.files(scene.replica, 2) and replicas.files(scene.replica, 9), why=p.text)
    assert p.stop() == 0, p.text()
    n = 0
    for at, disk in scene.cuts(rng, rounds(14, 1500)):
        txid, seq = scene.acknowledged(at)
        target = scene.after(disk, rng)
        try:
            judge(scene, target, txid, seq if synchronous == 2 else 0)
        except Exception as e:
            raise AssertionError("cut before event %d (%s): %s" % (at, target, e)) from e
        shutil.rmtree(target)
        n += 1
    assert n > 10 and txid > 5 and seq > 50


def test_a_missing_fsync_is_noticed(scene, rng):
    """The harness' own oracle: a store that does not sync its files is found out."""
    dbtool.create(scene.db, rows=60)
    recorder = scene.recorded()
    for _ in range(3):
        p = scene.start("replicate", "-once", "-config", scene.config(scene.root))
        assert p.wait() == 0, p.text()
        dbtool.commit(scene.db)
    kept, ours = [], set()
    for e in recorder.events():
        if e[0] == "C" and b"/rep/" in e[3]:
            ours.add(e[1])
        if not (e[0] == "E" and e[1] in ours):
            kept.append(e)
    assert ours
    disk = recorder.start
    for e in kept:
        disk.happened(e)
    txid, _ = scene.acknowledged(len(recorder.events()))
    assert txid >= 3

    def is_noticed():
        try:
            judge(scene, scene.after(disk, rng), txid, 0)
        except AssertionError:
            return True
        return False
    assert any(is_noticed() for _ in range(12))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("old", ["nothing", "other"])
def test_restoring(scene, rounds, rng, old):
    """The name is there with all of the database, or as it was before."""
    dbtool.create(scene.db, rows=3000)
    for _ in range(3):
        scene.holdfast("replicate", "-once", "-config", scene.config(scene.root)).ok()
        dbtool.commit(scene.db, 5)
    out, was = scene.root + "/out/copy.db", b"what was there before"
    if old == "other":
        os.makedirs(scene.root + "/out")
        with open(out, "wb") as f:
            f.write(was)
    scene.recorded()
    p = scene.start("restore", "-force", "-o", out, replicas.url(scene.replica))
    assert p.wait() == 0, p.text()
    with open(out, "rb") as f:
        whole = f.read()
    seen = set()
    for at, disk in scene.cuts(rng, rounds(60, 2000)):
        target = scene.after(disk, rng)
        copy = target + "/out/copy.db"
        got = open(copy, "rb").read() if os.path.exists(copy) else None
        assert got in ((was,) if old == "other" else (None,)) + (whole,), "cut before event %d" % at
        seen.add(got)
        shutil.rmtree(target)
    assert len(seen) == 2 and got == whole, "the end of the record is the end of the restore"


def same_inode(disk, target, copy, state):
    """A copy made for a test is another file than the one the follower noted: note that one."""
    files = {p: f.ino for p, f in disk.names.items()}
    files.update({c.b or c.a: c.file.ino for c in disk.changes if c.kind != "U"})
    path = target + state
    if not os.path.exists(path) or not os.path.exists(target + copy):
        return
    lines = open(path).read().splitlines(True)
    words = lines[2].split()
    if int(words[2]) == files.get(disk.root + copy):
        st = os.stat(target + copy)
        lines[2] = "file %d %d\n" % (st.st_dev, st.st_ino)
        with open(path, "w") as f:
            f.write("".join(lines))


def noted(directory):
    """The follower's state, written anew whenever it starts or has copied back."""
    try:
        return os.stat(directory + "/.copy.db-holdfast/follow").st_ino
    except FileNotFoundError:
        return 0


@pytest.mark.timeout(3600)
def test_following(scene, holdfast, rounds, rng):
    """A standby after a power cut shows a committed state, goes on, and becomes the source."""
    dbtool.create(scene.db, rows=300)
    source = holdfast.start("replicate", "-config", scene.config(scene.root))
    procs.wait_until(lambda: replicas.files(scene.replica), why=source.text)
    os.makedirs(scene.root + "/copy")
    copy, rep = scene.root + "/copy/copy.db", scene.replica
    whole = scene.root
    scene.root = whole + "/copy"
    recorder = scene.recorded()
    f = scene.start("restore", "-f", "-follow-interval", "20ms", "-o", copy, replicas.url(rep))
    for _ in range(3):
        was = noted(scene.root)
        dbtool.Writer(scene.running, scene.db, seconds=0.8, rate=150, seed=rng.randrange(1000)).wait()
        procs.wait_until(lambda: os.path.exists(copy) and dbtool.digest(copy) == dbtool.digest(scene.db), why=f.text)
        procs.wait_until(lambda w=was: noted(scene.root) != w, why=f.text)
    f.kill()
    assert source.stop() == 0, source.text()
    n, seen = 0, set()
    for at, disk in scene.cuts(rng, rounds(16, 1500)):
        target = scene.after(disk, rng)
        same_inode(disk, target, "/copy.db", "/.copy.db-holdfast/follow")
        mine = target + "/copy.db"
        if os.path.exists(mine):
            assert dbtool.integrity(mine) == "ok", "cut before event %d: %s" % (at, target)
            seen.add(dbtool.last_seq(mine))
        was = noted(target)
        f = holdfast.start("restore", "-f", "-follow-interval", "20ms", "-o", mine, replicas.url(rep),
                           env=recorder.rebooted(holdfast.path))
        procs.wait_until(lambda: not f.alive or noted(target) != was and os.path.exists(mine) and
                         dbtool.digest(mine) == dbtool.digest(scene.db), why=f.text)
        assert f.stop() == 0, "cut before event %d (%s): %s" % (at, target, f.text())
        assert dbtool.integrity(mine) == "ok"
        shutil.rmtree(target)
        n += 1
    assert n > 10 and len(seen) > 1, seen
