"""Every system call of the data path made to fail in turn (src/os/fault.h).

A run either recovers or ends with a code of docs/exit-codes.md and one line that names a file; it never
crashes and never loses anything: the next run without the fault makes the copy the source again. The
normal run draws points by seed, --long takes them all.
"""
import os
import re
import shutil
import subprocess
import sys

import pytest

import dbtool
import procs
import replicas

OPS = ("open", "read", "write", "fsync", "rename", "mkdir", "unlink", "truncate", "mmap", "stat", "lock")
ERRNOS = {"open": ("EIO", "EMFILE", "EACCES"), "write": ("EIO", "ENOSPC", "SHORT"),
          "fsync": ("EIO", "ENOSPC"), "rename": ("EIO", "ENOSPC"), "mkdir": ("ENOSPC", "EACCES"),
          "mmap": ("ENOMEM",)}
HOLD = ("import sqlite3,sys; c=sqlite3.connect(sys.argv[1],isolation_level=None)\n"
        "c.execute('CREATE TABLE held(x)'); print(flush=True); sys.stdin.read()")
CALLS = re.compile(r"HF_FAULT: (\d+) calls")
# what an error may name: a path of the test, or a store's URL
NAMES = re.compile(r"/[\w.-]+")


class Rig:
    """A database with a replica of two files, ready to be copied for each fault."""

    def __init__(self, holdfast, tmp_path):
        self.holdfast, self.top = holdfast, tmp_path
        self.n = 0
        self.seed_dir = str(tmp_path / "seed")
        os.makedirs(self.seed_dir)
        db = os.path.join(self.seed_dir, "app.db")
        dbtool.create(db, rows=60)
        self.run(self.seed_dir, "replicate").ok()
        dbtool.commit(db, 3)
        self.run(self.seed_dir, "replicate").ok()

    def fresh(self, what="replicate"):
        self.n += 1
        d = str(self.top / ("d%d" % self.n))
        shutil.copytree(self.seed_dir, d)
        if what not in ("restore", "follow"):
            dbtool.commit(os.path.join(d, "app.db"), 3)
        return d

    def follow(self, d, env):
        """A copy that follows until it is the source, or until it ends by itself; then once more, so that
        something is applied to it."""
        db, out = os.path.join(d, "app.db"), os.path.join(d, "copy.db")
        args = ["restore", "-f", "-follow-interval", "50ms", "-o", out, replicas.url(os.path.join(d, "replica"))]

        def is_same():
            return os.path.exists(out) and dbtool.digest(out) == dbtool.digest(db)
        for e in ({}, env):
            p = self.holdfast.start(*args, env=e)
            procs.wait_until(lambda: not p.alive or "following" in p.text() and is_same(), why=p.text)
            code = p.stop()
            if e is not env:
                assert code == 0, p.text()
                dbtool.commit(db, 3)
                self.run(d, "replicate").ok()
        return procs.Result(p.argv, code, "", p.text())

    def held(self, d, env):
        """Replicates while a program has the database open: through its log and its locks."""
        p = subprocess.Popen([sys.executable, "-c", HOLD, os.path.join(d, "app.db")], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        try:
            p.stdout.readline()
            return self.run(d, "replicate", env.get("HF_FAULT"))
        finally:
            p.kill()
            p.wait()

    def run(self, d, what, fault=None):
        db, url = os.path.join(d, "app.db"), replicas.url(os.path.join(d, "replica"))
        env = {"HF_FAULT": fault} if fault else {}
        if what in ("follow", "held"):
            return getattr(self, what)(d, env)
        if what == "restore":
            return self.holdfast("restore", "-force", "-o", os.path.join(d, "out.db"), url, env=env)
        if what == "first":
            shutil.rmtree(os.path.join(d, "replica"), ignore_errors=True)
            replicas.remove_state(db)
        more = ["-force-snapshot", "-enforce-retention"] if what == "upkeep" else []
        config = replicas.config(os.path.join(d, "fault.yml"), {db: os.path.join(d, "replica")},
                                 **{"shutdown-sync-timeout": "1s"})
        return self.holdfast("replicate", "-once", *more, "-config", config, env=env)

    def points(self, what, op):
        d = self.fresh(what)
        r = self.run(d, what, op + ":0:EIO")
        shutil.rmtree(d)
        return int(CALLS.search(r.err).group(1))

    def whole(self, d):
        """Without the fault: everything is there."""
        self.run(d, "replicate").ok()
        if os.path.exists(os.path.join(d, "copy.db")):
            self.follow(d, {})
        self.run(d, "restore").ok()
        replicas.assert_same_pages(os.path.join(d, "app.db"), os.path.join(d, "out.db"), d)
        # a follower's NAME-txid stays; one that is killed may leave the file that was to replace it
        left = [n for n in os.listdir(d) if n.endswith((".tmp", ".restore", "-txid"))
                and not n.startswith("copy.db-txid")]
        assert not left, left


@pytest.fixture
def rig(holdfast, tmp_path):
    return Rig(holdfast, tmp_path)


def one_fault(rig, what, fault):
    d = rig.fresh(what)
    before = open(os.path.join(d, "out.db"), "wb") if what == "restore" else None
    if before:
        before.write(b"what was there before")
        before.close()
    r = rig.run(d, what, fault)
    text = "%s %s: exit %d\n%s%s" % (what, fault, r.code, r.out, r.err)
    if fault.split(":")[2] == "KILL":
        assert r.code in (0, -9), text
    else:
        assert 0 <= r.code < 64, text
        if r.code:
            assert NAMES.search(r.err), "names no file: " + text
    if r.code and what == "restore":
        with open(os.path.join(d, "out.db"), "rb") as f:
            got = f.read()
        # behind the rename (fsync of the directory) it is the new one, whole
        assert got in (b"what was there before", replicas.image(os.path.join(d, "app.db"), d)), \
            "a failed restore left half of something: " + text
    rig.whole(d)
    shutil.rmtree(d)
    return r.code


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("what", ["first", "replicate", "held", "upkeep", "restore", "follow"])
def test_each_call_fails_once(rig, what, rng, is_long):
    plan = []
    for op in OPS:
        n = rig.points(what, op)
        for nth in range(1, n + 1):
            plan += [(op, nth, e) for e in ERRNOS.get(op, ("EIO",))]
        plan += [(op, nth, "KILL") for nth in range(1, n + 1)]
    assert len(plan) > 20
    chosen = plan if is_long else rng.sample(plan, 10 if what == "follow" else 18)
    codes = [one_fault(rig, what, "%s:%d:%s" % p) for p in chosen]
    print("%s: %d of %d points, %d ended with an error" % (what, len(chosen), len(plan),
                                                         sum(c > 0 for c in codes)))


@pytest.mark.parametrize("op", ["write", "fsync", "open", "rename", "mkdir"])
def test_store_fails_for_good(rig, op):
    """Nothing can be put: said with the file's name, non-zero, and nothing is lost."""
    d = rig.fresh()
    r = rig.run(d, "replicate", "%s:1+:ENOSPC:/replica/" % op)
    if op != "mkdir":
        assert r.code in (6, 7, 13), (r.code, r.err)
        assert "/replica" in r.err + r.out
    rig.whole(d)


@pytest.mark.parametrize("errno", ["EIO", "ENOSPC", "EACCES"])
def test_local_state_fails_for_good(rig, errno):
    """Our own directory cannot be written: replication goes on, at the price of a re-base later."""
    d = rig.fresh()
    r = rig.run(d, "replicate", "write,open,mkdir:1+:%s:-holdfast" % errno)
    assert 0 <= r.code < 64, (r.code, r.err)
    rig.whole(d)
