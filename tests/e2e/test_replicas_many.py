"""Several replicas of one database: none waits for another, all get to the same history."""
import os
import random
import shutil
import time

import pytest

import crash
import dbtool
import procs
import replicas
from conftest import find_holdfast, find_litestream


class Pair:
    """A database with two replicas on files."""

    def __init__(self, holdfast, db, top, **how):
        self.holdfast, self.db, self.top = holdfast, db, str(top)
        self.a, self.b = os.path.join(self.top, "a"), os.path.join(self.top, "b")
        self.how = how
        self.p = None
        self.config = self.write("pair.yml", (self.a, self.b))

    def write(self, name, places, **more):
        where = [{"type": "file", "path": p, "name": os.path.basename(p), "sync-interval": "50ms",
                  **more} for p in places]
        return replicas.config(os.path.join(self.top, name), {self.db: where},
                               **dict({"shutdown-sync-timeout": "1s"}, **self.how))

    def start(self, **env):
        self.p = self.holdfast.start("replicate", "-config", self.config, "-log-level", "debug",
                                     env=env)

    def stop(self):
        code = self.p.stop()
        self.p = None
        return code

    def until_at(self, replica, txid, why=""):
        procs.wait_until(lambda: replicas.top_txid(replica) >= txid, why=why or self.p.text)

    def commit(self, n=1, into=None):
        """Each in the replicas named before the next is made."""
        for _ in range(n):
            dbtool.commit(self.db)
            for r in into if into is not None else (self.a, self.b):
                self.until_same(r)

    def copy(self, replica):
        out = os.path.join(self.top, "copy.db")
        replicas.remove_db(out)
        r = self.holdfast("restore", "-o", out, replicas.url(replica))
        return out if r.code == 0 else None

    def until_same(self, replica):
        want = dbtool.digest(self.db)

        def same():
            out = self.copy(replica)
            return out is not None and dbtool.digest(out) == want
        procs.wait_until(same, every=0.1, why=lambda: self.p.text() if self.p else replica)

    def spooled(self):
        d, n = os.path.split(self.db)
        return replicas.sizes(os.path.join(d, ".%s-holdfast" % n, "spool"))


def block(path):
    """A replica that fails every call: its directory is a link to itself (root ignores modes)."""
    if os.path.isdir(path):
        os.rename(path, path + ".away")
    os.symlink(path, path)


def unblock(path):
    os.unlink(path)
    if os.path.isdir(path + ".away"):
        os.rename(path + ".away", path)


@pytest.fixture
def pair(holdfast, make_db, tmp_path):
    return Pair(holdfast, make_db(rows=400), tmp_path)


def memory(running):
    """Resident bytes."""
    with open("/proc/%d/statm" % running.pid) as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def full_images(replica):
    return [f for level in (0, 9) for f in replicas.files(replica, level) if f[0] == 1]


def test_both_get_the_same_history(pair, litestream, tmp_path):
    pair.start()
    pair.commit(5)
    assert pair.stop() == 0
    top = replicas.top_txid(pair.a)
    assert top == replicas.top_txid(pair.b) >= 5
    assert len(pair.spooled()) == 1, pair.spooled()  # all have everything: the newest stays
    for r in (pair.a, pair.b):
        out = pair.copy(r)
        replicas.assert_same_pages(pair.db, out, tmp_path)
        replicas.remove_db(out)
        litestream("restore", "-o", out, replicas.url(r)).ok()
        replicas.assert_same_pages(pair.db, out, tmp_path, by="litestream")


def test_a_dead_one_delays_nobody_and_catches_up_without_an_image(pair):
    pair.start()
    pair.commit(2)
    block(pair.b)
    before = replicas.top_txid(pair.b + ".away")
    rss = memory(pair.p)
    lags = []
    for _ in range(10):
        dbtool.commit(pair.db)
        want, t0 = replicas.top_txid(pair.a) + 1, time.monotonic()
        pair.until_at(pair.a, want)
        lags.append(time.monotonic() - t0)
    assert sorted(lags)[5] < 2, lags
    assert memory(pair.p) < rss + (64 << 20)
    rows = pair.holdfast("status", "-config", pair.config, "--json").ok().json()["databases"]
    assert [x["status"] for x in rows[0]["replicas"]] == ["ok", "behind"], rows
    procs.wait_until(lambda: "upload failed" in pair.p.text(), why=pair.p.text)
    unblock(pair.b)
    pair.until_same(pair.b)
    assert "replica recovered" in pair.p.text()
    assert len(full_images(pair.b)) == 1, replicas.files(pair.b)
    new = [f for f in replicas.files(pair.b) if f[1] > before]
    assert new[0][0] == before + 1 and len(new) < 10, new  # several became one
    assert new[-1][0] == new[-1][1], new  # Litestream's position: one TXID
    assert pair.stop() == 0


def test_dead_over_a_restart(pair):
    pair.start()
    pair.commit(2)
    block(pair.b)
    pair.commit(3, into=[pair.a])
    pair.p.kill()
    pair.start()
    pair.commit(3, into=[pair.a])
    unblock(pair.b)
    pair.until_same(pair.b)
    assert len(full_images(pair.b)) == 1, replicas.files(pair.b)
    text = pair.p.text()
    assert pair.stop() == 0
    assert "another history" not in text


def test_first_one_dead_from_the_start(pair):
    """The order in the file is no rank: the second is enough to begin with."""
    block(pair.a)
    pair.start()
    pair.commit(3, into=[pair.b])
    unblock(pair.a)
    pair.until_same(pair.a)
    assert pair.stop() == 0
    assert replicas.top_txid(pair.a) == replicas.top_txid(pair.b)


def test_neither_there(pair):
    block(pair.a)
    block(pair.b)
    pair.start()
    procs.wait_until(lambda: "replica unreachable" in pair.p.text(), why=pair.p.text)
    dbtool.commit(pair.db, 3)
    unblock(pair.a)
    pair.until_same(pair.a)
    unblock(pair.b)
    pair.until_same(pair.b)
    assert pair.stop() == 0


def test_local_files_are_bounded(holdfast, tmp_path, make_db):
    """One is dead for long: what waits for it does not grow without end, and it is caught up from
    the other one, without another image of the database."""
    db = make_db(rows=10)
    pair = Pair(holdfast, db, tmp_path)
    pair.start()
    pair.commit(1)
    block(pair.b)
    rng, worst, total = random.Random(1), 0, 0
    c = dbtool.connect(db, timeout=30)
    c.execute("CREATE TABLE big(id INTEGER PRIMARY KEY, body BLOB)")
    while total < 80 << 20:
        c.execute("INSERT OR REPLACE INTO big VALUES(?, ?)", (rng.randrange(40), rng.randbytes(1 << 20)))
        total += 1 << 20
        spool = sum(pair.spooled().values())
        worst = max(worst, spool)
    c.close()
    pair.until_same(pair.a)
    worst = max(worst, sum(pair.spooled().values()))
    assert worst < 100 << 20, worst
    procs.wait_until(lambda: sum(pair.spooled().values()) < 70 << 20, why=pair.p.text)
    unblock(pair.b)
    pair.until_same(pair.b)
    assert "carried over" in pair.p.text()
    # level 9 may hold a snapshot that was merged out of what is there
    assert [f[1] for f in replicas.files(pair.b) if f[0] == 1] == [1], replicas.files(pair.b)
    pair.commit(1)
    procs.wait_until(lambda: len(pair.spooled()) == 1, why=pair.p.text)
    assert pair.stop() == 0


@pytest.mark.parametrize("dead", ["none", "first"])
def test_a_large_one(holdfast, make_db, tmp_path, dead):
    """Its first image goes straight to one replica, and from there to the other; then a difference
    after a break, through the spool."""
    db = make_db(rows=3000, body=4000)
    assert os.path.getsize(db) > 8 << 20
    pair = Pair(holdfast, db, tmp_path)
    if dead == "first":
        block(pair.a)
    pair.start()
    pair.until_same(pair.b)
    assert sum(pair.spooled().values()) < 1 << 20
    if dead == "first":
        unblock(pair.a)
    pair.until_same(pair.a)
    pair.commit(2)
    pair.p.kill()
    c = dbtool.connect(db)
    c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    c.close()
    dbtool.commit(db, 3)
    pair.start()
    pair.commit(2)
    assert "kind=difference" in pair.p.text()
    assert pair.stop() == 0
    for r in (pair.a, pair.b):
        assert len(full_images(r)) <= 2, full_images(r)  # the image in L0, and as first snapshot
        replicas.assert_same_pages(db, pair.copy(r), tmp_path)


def test_one_is_added_and_one_is_taken_away(pair, tmp_path):
    both = pair.config
    pair.config = pair.write("one.yml", (pair.a,))
    pair.start()
    pair.commit(3, into=[pair.a])
    assert pair.stop() == 0
    pair.config = both
    pair.start()
    pair.until_same(pair.b)
    pair.commit(2)
    assert pair.stop() == 0
    assert len(full_images(pair.a)) == 1, "the old replica got another image"
    pair.config = pair.write("other.yml", (pair.b,))
    pair.start()
    pair.commit(2, into=[pair.b])
    assert pair.stop() == 0
    assert not pair.spooled()
    pair.config = both
    pair.start()  # a is behind with our own history, or one that is not: either way it gets there
    pair.commit(2)
    assert pair.stop() == 0
    for r in (pair.a, pair.b):
        replicas.assert_same_pages(pair.db, pair.copy(r), tmp_path)


def test_reset_forgets_what_waits(pair):
    pair.start()
    pair.commit(2)
    block(pair.b)
    pair.commit(2, into=[pair.a])
    pair.p.kill()
    assert len(pair.spooled()) >= 2
    pair.holdfast("reset", "-config", pair.config, pair.db).ok()
    d, n = os.path.split(pair.db)
    assert not os.path.exists(os.path.join(d, ".%s-holdfast" % n))


@pytest.mark.parametrize("what", ["local", "local and one"])
def test_lost_state(pair, tmp_path, what):
    """Without local state the replicas say where they are: equal ones are not written anew."""
    pair.start()
    pair.commit(3)
    assert pair.stop() == 0
    replicas.remove_state(pair.db)
    if what != "local":
        shutil.rmtree(pair.b)
    dbtool.commit(pair.db)
    pair.start()
    pair.commit(2)
    assert pair.stop() == 0
    assert len(full_images(pair.a)) == 1
    assert len(full_images(pair.b)) == 1, replicas.files(pair.b, 9)
    for r in (pair.a, pair.b):
        replicas.assert_same_pages(pair.db, pair.copy(r), tmp_path)


def test_replicas_of_two_histories(holdfast, make_db, tmp_path):
    """Two databases were replicated apart; one configuration names both replicas: the higher TXID
    is taken over, the other one gets a snapshot beyond its own."""
    db, other = make_db("app.db", rows=100), make_db("other.db", rows=300)
    pair = Pair(holdfast, db, tmp_path)
    for source, replica, n in ((db, pair.a, 2), (other, pair.b, 6)):
        p = holdfast.start("replicate", source, replicas.url(replica), "--sync-interval", "10ms")
        for _ in range(n):
            before = replicas.top_txid(replica)
            procs.wait_until(lambda: replicas.top_txid(replica) > 0, why=p.text)
            dbtool.commit(source)
            procs.wait_until(lambda b=before, r=replica: replicas.top_txid(r) > b, why=p.text)
        assert p.stop() == 0
    replicas.remove_state(db)
    pair.start()
    pair.commit(2)
    procs.wait_until(lambda: "another history" in pair.p.text(), why=pair.p.text)
    assert pair.stop() == 0
    assert replicas.top_txid(pair.a) == replicas.top_txid(pair.b)
    for r in (pair.a, pair.b):
        replicas.assert_same_pages(db, pair.copy(r), tmp_path)


def test_litestream_takes_over_either(pair, litestream, tmp_path):
    """It expects the newest L0 file to hold one TXID, also where several went up as one."""
    pair.config = pair.write("slow.yml", (pair.a, pair.b), **{"sync-interval": "400ms"})
    pair.start()
    for _ in range(8):
        dbtool.commit(pair.db)
        time.sleep(0.1)
    pair.commit(1)
    assert pair.stop() == 0
    for r in (pair.a, pair.b):
        d, n = os.path.split(pair.db)
        shutil.rmtree(os.path.join(d, ".%s-litestream" % n), ignore_errors=True)
        p = litestream.start("replicate", "-config", replicas.config(
            str(tmp_path / "ls.yml"), {pair.db: {"type": "file", "path": r, "sync-interval": "50ms"}}))
        before = replicas.top_txid(r)
        dbtool.commit(pair.db, 2)
        procs.wait_until(lambda b=before, r=r: replicas.top_txid(r) > b, why=p.text)
        want = dbtool.digest(pair.db)

        def same(r=r, want=want):
            out = pair.copy(r)
            return out and dbtool.digest(out) == want
        procs.wait_until(same, every=0.2, why=p.text)
        assert p.stop() == 0


def test_restore_takes_the_next_one(pair, tmp_path):
    """From a configuration: a damaged replica is left for a healthy one, and that is said."""
    pair.start()
    pair.commit(2)
    assert pair.stop() == 0
    want = dbtool.digest(pair.db)
    for f in replicas.files(pair.a)[:1]:
        with open(f[2], "r+b") as file:
            file.seek(200)
            file.write(b"damage")
    out = str(tmp_path / "again.db")
    r = pair.holdfast("restore", "-config", pair.config, "-o", out, pair.db).ok()
    assert dbtool.digest(out) == want
    assert "trying replica b" in r.err and pair.a in r.err, r.err
    os.rename(pair.a, pair.a + ".gone")
    block(pair.a)
    r = pair.holdfast("restore", "-force", "-config", pair.config, "-o", out, pair.db).ok()
    assert "replica a is left out" in r.err, r.err
    assert dbtool.digest(out) == want
    replicas.remove_db(pair.db)
    replicas.remove_state(pair.db)
    pair.holdfast("replicate", "-once", "-restore-if-db-not-exists", "-config", pair.config)
    assert dbtool.digest(pair.db) == want
    r = pair.holdfast("ltx", "-config", pair.config, "-replica", "b", pair.db).ok()
    assert r.out.count("\n") >= 3
    rows = pair.holdfast("databases", "-config", pair.config, "--json").ok().json()["databases"]
    assert [x["name"] for x in rows[0]["replicas"]] == ["a", "b"]


class TwoReplicas(crash.Story):
    n_replicas = 2


@pytest.mark.timeout(3600)
def test_killed_at_random_with_two(rounds, seed):
    failed, done = crash.run(find_holdfast(), seed, rounds(40, 2000), jobs=2,
                             litestream=find_litestream(), seconds=rounds(15, 0), kind=TwoReplicas)
    print("%d rounds, seed %d" % (done, seed))
    assert not failed, "\n\n".join(failed)
    assert done >= 4
